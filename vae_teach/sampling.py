"""Sampling and judging: evidence, latent walks, aggregated posterior, Fréchet distance.

Axes: B images, k draws of z for each, K latent dimensions, T points of a walk,
F features. Evidence is in nats an image.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vae_teach.common import checkpoint, require, runs
from vae_teach.common.data import ImageData
from vae_teach.common.device import free_memory
from vae_teach.kl import Estimate
from vae_teach.vae import VAE, check_images

# Sizes with "_" are checked by the guards, which say what to do.
Images = Float[Tensor, "_B _C _H _W"]
Code = Float[Tensor, "_"]
Codes = Matrix = Float[Tensor, "_ _"]

CACHED = 1000  # decodings at a time: more would leave the cache, and be slower


class Evidence(NamedTuple):
    """Of each image: ln p(x), its standard error, and how many draws really count."""

    log_evidence: Tensor
    standard_error: Tensor
    effective_draws: Tensor


def summarise(log_w: Float[Tensor, "*B k"]) -> Evidence:
    r"""The evidence from log-weights along the last axis (sampling-estimator).

    The error is that of the logarithm (sampling-error); of one draw it is infinite.

    Raises:
        ValueError: no weight, or one that is NaN or plus infinity.
    """
    k = log_w.shape[-1]
    if k == 0 or not bool((log_w < math.inf).all()):
        raise ValueError("log_w needs k >= 1 log-weights an image, none NaN or +inf.")
    total = torch.logsumexp(log_w, -1)
    effective = torch.exp(2 * total - torch.logsumexp(2 * log_w, -1)).nan_to_num(0)
    spread = k / effective - 1 if k > 1 else torch.full_like(total, math.inf)
    error = (spread.clamp(min=0) / max(k - 1, 1)).sqrt()
    return Evidence(total - math.log(k), error, effective)


@torch.no_grad()
def log_weights(model: VAE, x: Images, k: int, chunk: int | None = None) -> Matrix:
    r"""ln p(x|z) + ln p(z) - ln q(z|x), of k draws of q an image (sampling-weight).

    Image by image: so the draws do not depend on ``chunk``, how many are decoded at
    a time. By default that is what memory and cache allow.

    Raises:
        TypeError, ValueError: ``x`` is no float image batch in [0, 1], is empty, or
            grey under a Bernoulli likelihood; k or chunk below 1.
    """
    _check_for(model, x)
    require.at_least(k, 1, "k")
    chunk = int(require.at_least(chunk or chunk_size(x), 1, "chunk"))
    rows = []
    for image in x:
        q_z_given_x = model.encode(image[None])
        z = q_z_given_x.sample((k,))
        log_ratio = model.p_z.log_prob(z) - q_z_given_x.log_prob(z)
        log_p = [model.decode(some[:, 0]).log_prob(image) for some in z.split(chunk)]
        rows.append(torch.cat(log_p) + log_ratio[:, 0])
    return torch.stack(rows)


def evidence(model: VAE, x: Images, k: int, chunk: int | None = None) -> Evidence:
    """:func:`log_weights`, summarised image by image: only k of them are ever held."""
    _check_for(model, x)
    found = torch.empty(3, len(x), dtype=torch.float64)
    for i, one in enumerate(x.split(1)):
        found[:, i] = torch.cat(summarise(log_weights(model, one, k, chunk).double()))
    return Evidence(*found)


def log_evidence(model: VAE, x: Images, k: int, chunk: int | None = None) -> Code:
    """An estimate of ln p(x) for each image; its mean rises to ln p(x) with k."""
    return evidence(model, x, k, chunk).log_evidence


def chunk_size(x: Images) -> int:
    """Decodings, at 100 floats a pixel, that a quarter of the free memory holds."""
    return max(1, min(CACHED, free_memory(x.device) // (4 * 400 * x[0].numel())))


def _check_for(model: VAE, x: Images) -> None:
    if len(check_images(x)) == 0:
        raise ValueError("x holds no images.")
    if model.likelihood.name == "bernoulli" and bool(((x > 0) & (x < 1)).any()):
        hint = "Binarise x, for instance with torch.bernoulli(x)."
        raise ValueError(f"a Bernoulli likelihood takes black and white only. {hint}")


def lerp(z_1: Code, z_2: Code, t: Float[Tensor, "T"]) -> Float[Tensor, "T K"]:
    """Points (1 - t) z_1 + t z_2 of the straight line (sampling-lerp)."""
    require.finite(z_1, "z_1"), require.finite(z_2, "z_2")
    require.same_shape(z_1, z_2, "z_1 and z_2")
    return (1 - t)[:, None] * z_1 + t[:, None] * z_2


def slerp(z_1: Code, z_2: Code, t: Float[Tensor, "T"]) -> Float[Tensor, "T K"]:
    r"""Points of the great circle (sampling-slerp); the norm changes evenly.

    Raises:
        ValueError: a code is zero, so has no direction, or they point opposite ways.
    """
    norms = torch.stack([z_1.norm(), z_2.norm()])
    if not bool(norms.min() > 0):
        raise ValueError("a code that is zero, or not a number, has no direction.")
    u_1, u_2 = z_1 / norms[0], z_2 / norms[1]
    direction = lerp(u_1, u_2, t)  # the chord
    # Unlike acos(u_1 · u_2) this keeps its digits for small and for wide angles.
    omega = 2 * torch.atan2((u_1 - u_2).norm(), (u_1 + u_2).norm())
    if omega > math.pi - 1e-3:
        raise ValueError("opposite codes have no shortest circle. Move one a little.")
    if omega > 1e-3:  # else arc and chord agree to seven digits
        weights = torch.sin(omega * torch.stack([1 - t, t], 1)) / torch.sin(omega)
        direction = weights @ torch.stack([u_1, u_2])
    return direction * lerp(norms[:1], norms[1:], t)


def attribute_vector(mu: Codes, has: Bool[Tensor, "_"]) -> Code:
    """Mean code of those that have it, less that of the others (sampling-attribute)."""
    if len(has) != len(mu) or not 0 < int(has.sum()) < len(has):
        raise ValueError("has needs a True or False for each code, and some of each.")
    return require.finite(mu, "mu")[has].mean(0) - mu[~has].mean(0)


def manifold_grid(n: int) -> Float[Tensor, "_ 2"]:
    r"""Codes at quantiles (i + ½)/n, row by row from the top (sampling-quantiles)."""
    side = torch.special.ndtri((torch.arange(require.at_least(n, 1, "n")) + 0.5) / n)
    down, right = torch.meshgrid(-side, side, indexing="ij")
    return torch.stack([right, down], -1).reshape(-1, 2)


def log_aggregated(z: Codes, mu: Codes, log_var: Codes) -> Code:
    r"""ln q(z), with q(z) the mean of q(z|x) over N images (sampling-aggregated)."""
    _check_codes(mu, log_var, z.shape[-1])
    z, mu, log_var = z.double(), mu.double(), log_var.double()
    precision = torch.exp(-log_var)  # Σⱼ (z - μ)²/σ² is multiplied out:
    square = z**2 @ precision.mT - 2 * z @ (mu * precision).mT
    constant = (mu**2 * precision + log_var + math.log(2 * math.pi)).sum(1)
    return torch.logsumexp(-(square + constant) / 2, 1) - math.log(len(mu))


def aggregated_kl(mu: Codes, log_var: Codes, n: int) -> Estimate:
    """KL of the aggregated posterior q(z) to N(0, I), from n draws of q(z)."""
    _check_codes(mu, log_var, mu.shape[-1])
    pick = torch.randint(len(mu), (int(require.at_least(n, 2, "n")),))
    z = mu[pick] + torch.exp(log_var[pick] / 2) * torch.randn(n, mu.shape[1])
    log_prior = -(z**2 + math.log(2 * math.pi)).sum(1).double() / 2
    terms = log_aggregated(z, mu, log_var) - log_prior
    return Estimate(terms.mean(), terms.std() / math.sqrt(n))


def _check_codes(mu: Codes, log_var: Codes, latent: int) -> None:
    require.same_shape(mu, log_var, "mu and log_var")
    require.finite(mu, "mu"), require.finite(log_var, "log_var")
    if len(mu) == 0 or mu.shape[-1] != latent:
        raise ValueError("mu needs at least one code, with as many dimensions as z.")


def moments(features: Matrix) -> tuple[Code, Matrix]:
    """Mean and covariance of the rows of ``features``, in float64."""
    if len(require.finite(features, "features")) < 2:
        raise ValueError(f"a covariance needs two rows or more, got {len(features)}.")
    return features.double().mean(0), torch.atleast_2d(features.double().T.cov())


def symmetric_root(cov: Matrix, name: str = "cov") -> Matrix:
    """The symmetric R with R R = cov, by eigenvalues, which may be zero."""
    require.finite(cov, name)
    if cov.shape[0] != cov.shape[1] or not torch.allclose(cov, cov.mT):
        raise ValueError(f"{name} must be square and symmetric.")
    values, vectors = torch.linalg.eigh(cov)
    if values[0] < -1e-6 * values[-1].abs():
        raise ValueError(f"{name} has a negative eigenvalue; a covariance has none.")
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


def frechet_distance(mu_1: Code, cov_1: Matrix, mu_2: Code, cov_2: Matrix) -> Tensor:
    r"""Squared 2-Wasserstein distance of two Gaussians (sampling-frechet); its unit is
    that of the features, squared. What the literature reports is this square."""
    require.finite(mu_1, "mu_1"), require.finite(mu_2, "mu_2")
    for a, name in [(mu_2, "mu_2"), (cov_1[0], "cov_1[0]"), (cov_2[0], "cov_2[0]")]:
        require.same_shape(mu_1, a, f"mu_1 and {name}")
    cross = symmetric_root(cov_1, "cov_1") @ symmetric_root(cov_2, "cov_2")
    common = torch.linalg.svdvals(cross).sum()  # tr (Σ₁^½ Σ₂ Σ₁^½)^½
    return ((mu_1 - mu_2) ** 2).sum() + cov_1.trace() + cov_2.trace() - 2 * common


class Classifier(nn.Sequential):
    """Digits by two convolutions; the layer before the last holds its features."""

    def __init__(self, width: int = 16, features: int = 64, classes: int = 10):
        pairs = (1, width), (width, 2 * width)
        first, second = (nn.Conv2d(*pair, 3, 2, 1) for pair in pairs)
        head = nn.Linear(98 * width, features), nn.ReLU(), nn.Linear(features, classes)
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), *head)

    @torch.no_grad()
    def features(self, x: Images) -> Float[Tensor, "_ F"]:
        """The features of images (B, 1, 28, 28) in [0, 1], a thousand at a time."""
        body = nn.Sequential(*list(self)[:-1])
        return torch.cat([body(some) for some in check_images(x).split(1000)])


def train_classifier(images: ImageData, epochs: int = 6, seed: int = 0) -> Classifier:
    """Adam on the cross-entropy; half of the images are binarised anew each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for index in torch.randperm(len(images)).repeat(epochs).split(128):
            x = images.batch(index)
            binary = torch.rand(len(x), 1, 1, 1) < 0.5
            x = torch.where(binary, torch.bernoulli(x), x)
            optimizer.zero_grad()
            F.cross_entropy(network(x), images.labels[index]).backward()
            optimizer.step()
    return network.eval()


def classifier() -> Classifier:
    """The classifier that comes with the course (``make results`` trained it)."""
    network, folder = Classifier().eval(), runs.shipped("sampling")
    checkpoint.restore(folder / "classifier.safetensors", network)
    return network


def nearest(x: Images, images: Images) -> tuple[Float[Tensor, "_"], Int[Tensor, "_"]]:
    """Distance to, and index of, the image nearest to each x, pixel by pixel."""
    require.same_shape(x[0], images[0], "an x and an image")
    x, images = x.flatten(1), images.flatten(1)
    parts = [torch.cdist(some, images).min(1) for some in x.split(100)]
    return tuple(map(torch.cat, zip(*parts)))

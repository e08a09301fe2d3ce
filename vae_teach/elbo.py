r"""The ELBO: five routes to one bound, its parts, its gradients, and what it leaves out.

Exact on the linear-Gaussian model. Axes: N points, n draws, D observed and K latent
dimensions. A ``q`` is a Gaussian for each point: a ``MultivariateNormal`` of batch
``(N,)`` and event ``(K,)``. All values in nats. Every function raises ``ValueError``
for shapes that do not fit and for values that are not finite.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from vae_teach.common import require
from vae_teach.kl import kl
from vae_teach.latent_variables import LinearGaussian
from vae_teach.reparam import Terms

Points = Float[Tensor, "N D"]
Point = Float[Tensor, "D"]
Values = Float[Tensor, "N"]
Vector = Float[Tensor, "K"]


class Parts(NamedTuple):
    """What ln p(x) is made of, each ``(N,)``: see :func:`exact_parts`."""

    log_evidence: Tensor
    elbo: Tensor
    gap: Tensor  # KL(q ‖ p(z|x))
    reconstruction: Tensor  # E_q ln p(x|z)
    prior_kl: Tensor  # KL(q ‖ p(z))
    energy: Tensor  # E_q ln p(x, z), minus the energy
    entropy: Tensor  # H(q)


def exact_parts(model: LinearGaussian, q: MultivariateNormal, x: Points) -> Parts:
    r"""The ELBO and its parts; evidence, ELBO and gap by separate formulas (elbo-closed)."""
    _fits(model, q, x)
    m, S, W = q.mean, q.covariance_matrix, model.W
    blur = ((W.T @ W) * S).sum((-2, -1)) / (2 * model.sigma**2)  # tr(WᵀWS)/2σ²
    reconstruction = model.p_x_given_z(m).log_prob(x) - blur
    prior_kl = kl(q, _standard_normal(model))
    spread = S.diagonal(dim1=-2, dim2=-1).sum(-1)  # tr S
    energy = reconstruction + model.p_z.log_prob(m) - spread / 2
    elbo, gap = reconstruction - prior_kl, kl(q, model.posterior(x))
    evidence = model.log_evidence(x)
    return Parts(evidence, elbo, gap, reconstruction, prior_kl, energy, q.entropy())


def _standard_normal(model: LinearGaussian) -> MultivariateNormal:
    return MultivariateNormal(model.p_z.mean, torch.diag(model.p_z.variance))


def _fits(model: LinearGaussian, q: MultivariateNormal, x: Tensor) -> None:
    D, K = model.W.shape
    if x.ndim != 2 or len(x) == 0 or x.shape[1] != D:
        raise ValueError(f"x must be (N, {D}) with N ≥ 1, got {tuple(x.shape)}. One point needs x[None].")
    if (q.batch_shape, q.event_shape) != ((len(x),), (K,)):
        got = f"batch {tuple(q.batch_shape)} and event {tuple(q.event_shape)}"
        raise ValueError(f"q must hold {len(x)} Gaussians of {K} dimensions, one a point, got {got}. The same for all: q.expand((N,)).")
    require.finite(x, "x")


def log_weights(
    model: LinearGaussian, q: MultivariateNormal, x: Points, n: int
) -> Float[Tensor, "n N"]:
    r"""ln w = ln p(x, z) - ln q(z|x) at ``n`` draws of q; its mean is the ELBO.

    The draws are reparameterised, so that gradients pass (elbo-weight).
    """
    _fits(model, q, x)
    z = q.rsample((int(require.at_least(n, 1, "n")),))
    return model.log_joint(x, z) - q.log_prob(z)


def multi_sample_bound(log_w: Float[Tensor, "n N"], k: int) -> Float[Tensor, "m N"]:
    r"""ln of the average weight of each ``k`` draws; its mean is L_k (elbo-multi).

    k = 1 gives back ``log_w``. Draws that fill no group of k are left out.
    """
    if not 1 <= k <= len(require.finite(log_w, "log_w")):
        raise ValueError(f"k must lie between 1 and the {len(log_w)} draws, got {k}.")
    groups = log_w[: len(log_w) // k * k].reshape(-1, k, log_w.shape[1])
    return groups.logsumexp(1) - math.log(k)  # exp(log_w) itself would underflow


def weight_variance(posterior: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    r"""Var_q[w/p(x)], infinite if q is too narrow (elbo-weight-variance)."""
    V, S = torch.broadcast_tensors(posterior.covariance_matrix, q.covariance_matrix)
    rest, d = 2 * S - V, posterior.mean - q.mean
    square = (d * torch.linalg.solve(rest, d[..., None])[..., 0]).sum(-1)
    log_size = torch.logdet(S) - (torch.logdet(V) + torch.linalg.slogdet(rest)[1]) / 2
    wide_enough = torch.linalg.eigvalsh(rest)[..., 0] > 0
    return torch.where(wide_enough, torch.expm1(log_size + square), torch.inf)


def gauss_hermite(q: MultivariateNormal, n: int = 5) -> tuple[Tensor, Tensor]:
    r"""Places ``(n^K, N, K)`` and weights ``(n^K,)`` for means under q, exact up to degree 2n - 1."""
    K, like = q.event_shape[0], q.mean
    x, weight = np.polynomial.hermite_e.hermegauss(int(require.at_least(n, 1, "n")))
    grid = like.new_tensor(list(itertools.product(x, repeat=K)))
    weight = like.new_tensor(list(itertools.product(weight / weight.sum(), repeat=K)))
    return q.mean + torch.einsum("...ij,mj->m...i", q.scale_tril, grid), weight.prod(-1)


def route_lines(
    model: LinearGaussian, q: MultivariateNormal, x: Points, n: int = 30
) -> dict[str, list[Values]]:
    r"""Routes 1, 2, its gap, and 3: each line's value, from log-densities alone."""
    _fits(model, q, x)
    z, weight = gauss_hermite(q, n)
    mean = lambda values: torch.einsum("m,mn->n", weight, values)  # noqa: E731
    p_x, p_xz = model.log_evidence(x), model.log_joint(x, z)  # logarithms, all of them
    p_z_x, q_z = model.posterior(x).log_prob(z), q.log_prob(z)
    p_z, p_x_z = model.p_z.log_prob(z), model.p_x_given_z(z).log_prob(x)
    log_w, one = p_xz - q_z, torch.ones_like(p_xz)
    mean_w = (log_w + weight.log()[:, None]).logsumexp(0)  # ln E_q[w]
    split, together = mean(p_xz - q_z) + mean(q_z - p_z_x), (p_xz - q_z) + (q_z - p_z_x)
    parts = mean(q_z - p_z) - mean(p_x_z) + p_x
    return {
        "1": [p_x * mean(one), mean(p_x * one), mean(p_xz - p_z_x), mean(together), split],
        "2": [mean_w, mean(log_w)],
        "gap": [p_x - mean(log_w), mean(p_x - log_w), mean(p_x - (p_z_x + p_x - q_z)), mean(q_z - p_z_x)],
        "3": [mean(q_z - p_z_x), mean(q_z - (p_x_z + p_z - p_x)), mean(q_z - p_x_z - p_z + p_x), parts],
    }


class LinearEncoder(NamedTuple):
    r"""An amortised q(z|x) = N(A x + c, S) (elbo-encoder)."""

    A: Float[Tensor, "K D"]
    c: Vector
    S: Float[Tensor, "K K"]

    def q_z_given_x(self, x: Points) -> MultivariateNormal:
        """One Gaussian a point, batch ``(N,)``, event ``(K,)``."""
        return MultivariateNormal(x @ self.A.T + self.c, self.S)

    def aggregate(self, data: MultivariateNormal) -> MultivariateNormal:
        r"""q(z): the law of a code of a random x from ``data`` (elbo-aggregate)."""
        cov = self.A @ data.covariance_matrix @ self.A.T + self.S
        return MultivariateNormal(self.A @ data.mean + self.c, cov)


class Averages(NamedTuple):
    """Means over a Gaussian law of the data: see :func:`average_parts`."""

    log_evidence: Tensor
    elbo: Tensor
    gap: Tensor
    reconstruction: Tensor
    prior_kl: Tensor
    mutual_information: Tensor
    marginal_kl: Tensor
    joint_kl: Tensor


def average_parts(model: LinearGaussian, encoder: LinearEncoder, data: MultivariateNormal) -> Averages:
    r"""The theoretical objective and its parts, exactly (elbo-split, elbo-route-four)."""
    # A log-density is quadratic in x: its mean is its value at the data's mean plus a trace.
    (W, b, sigma), (A, c, S) = (model.W, model.b, model.sigma), encoder
    m, C, (D, K) = data.mean, data.covariance_matrix, W.shape
    if A.shape != (K, D) or m.shape != (D,):
        raise ValueError(f"the encoder needs A of shape ({K}, {D}), the data {D} dimensions, got {tuple(A.shape)} and {tuple(m.shape)}.")
    at = exact_parts(model, encoder.q_z_given_x(m[None]), m[None])
    left = torch.eye(D).to(W) - W @ A  # how x - E_q[W z] moves with x
    apart = A - torch.linalg.solve(model.precision, W.T) / sigma**2  # and the means of q and p(z|x)
    reconstruction = at.reconstruction[0] - (left @ C @ left.T).trace() / (2 * sigma**2)
    prior_kl = at.prior_kl[0] + (A @ C @ A.T).trace() / 2
    q_z, p_z, p_x = encoder.aggregate(data), _standard_normal(model), MultivariateNormal(b, W @ W.T + sigma**2 * torch.eye(D).to(W))
    return Averages(
        log_evidence=-data.entropy() - kl(data, p_x),
        elbo=reconstruction - prior_kl,
        gap=at.gap[0] + (model.precision @ apart @ C @ apart.T).trace() / 2,
        reconstruction=reconstruction,
        prior_kl=prior_kl,
        mutual_information=(torch.logdet(q_z.covariance_matrix) - torch.logdet(S)) / 2,
        marginal_kl=kl(q_z, p_z),
        joint_kl=kl(_pair(q_z, data, A @ C), _pair(p_z, p_x, W.T)),
    )


def _pair(z: MultivariateNormal, x: MultivariateNormal, cov: Tensor) -> MultivariateNormal:
    rows = torch.cat([z.covariance_matrix, cov], 1), torch.cat([cov.T, x.covariance_matrix], 1)
    return MultivariateNormal(torch.cat([z.mean, x.mean]), torch.cat(rows))


def nearest_factorised(posterior: MultivariateNormal) -> tuple[MultivariateNormal, Tensor]:
    r"""The best q with independent dimensions, and the gap it leaves (elbo-mean-field)."""
    precision = posterior.precision_matrix
    diagonal = precision.diagonal(dim1=-2, dim2=-1)
    gap = (diagonal.log().sum(-1) - torch.logdet(precision)) / 2
    return MultivariateNormal(posterior.mean, torch.diag_embed(1 / diagonal)), gap


def exact_gradient(model: LinearGaussian, x: Point, mu: Vector, sigma: Vector) -> Terms:
    r"""∇ELBO by mu and sigma of q = N(mu, diag sigma²) (elbo-exact-gradient)."""
    require.finite(x, "x"), require.finite(mu, "mu"), require.positive(sigma, "sigma")
    require.same_shape(mu, sigma, "mu and sigma"), require.same_shape(mu, model.W[0], "mu and a row of W")
    by_mu = model.W.T @ (x - model.b) / model.sigma**2 - model.precision @ mu
    return Terms(by_mu, 1 / sigma - model.precision.diagonal() * sigma)


def gradient_terms(
    model: LinearGaussian, x: Point, mu: Vector, sigma: Vector, n: int
) -> dict[str, Terms]:
    r"""Four candidates for ∇ELBO at the same n draws of q = N(mu, diag sigma²).

    ``seen``: taken inside with z held; its mean is zero (elbo-seen). ``score``
    (elbo-score), ``pathwise`` (elbo-pathwise), ``sticking`` (elbo-sticking).
    """
    exact_gradient(model, x, mu, sigma)  # refuses what does not fit
    epsilon = torch.randn(int(require.at_least(n, 1, "n")), len(mu)).to(mu)
    z = (mu + sigma * epsilon).detach().requires_grad_()
    log_w = model.log_joint(x, z) - Normal(mu, sigma).log_prob(z).sum(-1)
    (slope,) = torch.autograd.grad(log_w.sum(), z)  # by z; mu and sigma of ln q held
    scores = Terms(epsilon / sigma, (epsilon**2 - 1) / sigma)  # ∇ ln q, z held
    paths = Terms(slope, slope * epsilon)  # ∂z/∂mu = 1, ∂z/∂sigma = epsilon
    return {
        "seen": Terms(*(-s for s in scores)),
        "score": Terms(*(log_w.detach()[:, None] * s for s in scores)),
        "pathwise": Terms(*(p - s for p, s in zip(paths, scores))),
        "sticking": paths,
    }


def gradient_variances(model: LinearGaussian, x: Point, mu: Vector, sigma: Vector) -> dict[str, Vector]:
    r"""Exact variances of the four terms by mu (elbo-variances)."""
    g = sigma * exact_gradient(model, x, mu, sigma).mu  # ln w = c + gᵀε + ½ εᵀBε
    eye = torch.eye(len(mu)).to(mu)
    B = eye - sigma[:, None] * model.precision * sigma
    c = model.log_joint(x, mu) - Normal(mu, sigma).log_prob(mu).sum()
    own, trace, square = B.diagonal(), B.trace(), B @ B
    score = c**2 + g @ g + g**2 + c * (trace + 2 * own) + (trace**2 + 2 * square.trace()) / 4 + trace * own + 2 * square.diagonal()
    every = {"seen": torch.ones_like(mu), "score": score, "pathwise": ((B - eye) ** 2).sum(1), "sticking": square.diagonal()}
    return {name: v / sigma**2 for name, v in every.items()}

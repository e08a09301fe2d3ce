"""The variational autoencoder: three distributions and one bound (Kingma and Welling, 2014; Rezende et al., 2014).

Axes: M samples of z, B images, C·H·W pixels (D = C·H·W), K latent dimensions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vae_teach.common import likelihood as likelihoods
from vae_teach.common import require
from vae_teach.common.train import Recipe, Warmup
from vae_teach.kl import kl_standard_normal_terms

#: What ``vae-teach train vae`` trains, and on what.
DATASET = "mnist"
RECIPE = Recipe(epochs=20, batch_size=128, lr=1e-3, binarize=True)


class Bound(NamedTuple):
    """The ELBO and its two parts, in nats an image, each of shape ``(B,)``."""

    elbo: Float[Tensor, "B"]
    reconstruction: Float[Tensor, "B"]
    kl: Float[Tensor, "B"]


class VAE(nn.Module):
    r"""A Gaussian posterior :math:`q_\phi(z\mid x)`, a likelihood :math:`p_\theta(x\mid z)`, and the prior :math:`\mathcal N(0,I)`.

    Args:
        encoder: maps images ``(B, C, H, W)`` to ``(B, 2K)``: mu, then log_var, which is :math:`\ln\sigma^2` and nothing else.
        decoder: maps ``(B, K)`` to ``(B, P * C, H, W)``, with P numbers a pixel as the likelihood asks.
        likelihood: one of :mod:`vae_teach.common.likelihood`.
        latent: K.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: likelihoods.Likelihood, latent: int):
        super().__init__()
        self.encoder, self.decoder, self.likelihood, self.latent = encoder, decoder, likelihood, latent

    def encode(self, x: Float[Tensor, "B C H W"]) -> Distribution:
        r""":math:`q_\phi(z\mid x)=\mathcal N(\mu_{\phi,x},\operatorname{diag}\sigma^2_{\phi,x})`, batch ``(B,)``, event ``(K,)``."""
        mu, log_var = self.posterior(x)
        return Independent(Normal(mu, torch.exp(log_var / 2), validate_args=False), 1)

    def posterior(self, x: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
        r"""The inference network :math:`f_I(x;\phi)`: mu and log_var."""
        mu, log_var = self.encoder(x).float().chunk(2, dim=-1)
        return mu, log_var

    def decode(self, z: Float[Tensor, "*M K"]) -> Distribution:
        r""":math:`p_\theta(x\mid z)`, batch shape of ``z`` without K, event ``(C, H, W)``; its mean is the picture."""
        out = self.decoder(z.reshape(-1, self.latent)).float()
        return self.likelihood.distribution(out.reshape(*z.shape[:-1], *out.shape[1:]))

    @property
    def p_z(self) -> Distribution:
        """The prior, event ``(K,)``."""
        zeros = next(self.parameters()).new_zeros(self.latent)
        return Independent(Normal(zeros, zeros + 1, validate_args=False), 1)

    def elbo(self, x: Float[Tensor, "B C H W"], beta: float = 1.0, n_samples: int = 1, free_bits: float = 0.0, validate: bool = True) -> Bound:
        r"""The evidence lower bound of each image, by ``n_samples`` draws of z.

        .. math:: \mathbb E_{q_\phi(z\mid x)}[\ln p_\theta(x\mid z)]-\beta\,\mathrm{KL}(q_\phi(z\mid x)\Vert p(z))

        Args:
            x: images in [0, 1].
            beta: weight of the KL; only at 1 is the result a bound on the evidence.
            free_bits: nats that each latent dimension's batch average may hold before it costs anything (Kingma et al., 2016).
            validate: check ``x``; training turns it off, as its images are right by construction.

        Raises:
            TypeError, ValueError: ``x`` is no float image batch in [0, 1], or beta, n_samples or free_bits is too small.
        """
        if validate:
            check_images(x)
            require.at_least(beta, 0, "beta")
            require.at_least(n_samples, 1, "n_samples")
            require.at_least(free_bits, 0, "free_bits")
        mu, log_var = self.posterior(x)
        z = reparameterize(mu, log_var, n_samples)                    # z ~ q(z|x)             (M, B, K)
        p_x_given_z = self.decode(z)                                  # p(x|z)                 batch (M, B)
        reconstruction = p_x_given_z.log_prob(x).mean(0)              # E_q ln p(x|z)          (B,)
        kl = kl_standard_normal_terms(mu, log_var)                    # KL, each dimension     (B, K)
        cost = torch.clamp(kl.mean(0), min=free_bits).sum() if free_bits else kl.sum(-1)
        return Bound(reconstruction - beta * cost, reconstruction, kl.sum(-1))

    forward = elbo

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n C H W"]:
        r"""Pictures of n draws from the prior: the mean of :math:`p_\theta(x\mid z)`, :math:`z\sim p(z)`."""
        return self.decode(self.p_z.sample((n,))).mean

    @torch.no_grad()
    def reconstruct(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        r"""The mean of :math:`p_\theta(x\mid z)` at the posterior's mean: for looking, not for measuring a bound."""
        return self.decode(self.posterior(check_images(x))[0]).mean


class Autoencoder(VAE):
    """The same two networks without the probability: the code is mu, nothing is sampled, the KL costs nothing."""

    def elbo(self, x: Float[Tensor, "B C H W"], beta: float = 1.0, n_samples: int = 1, free_bits: float = 0.0, validate: bool = True) -> Bound:
        """Reconstruction alone, in the same units, so that the one training loop serves both."""
        mu, log_var = self.posterior(check_images(x) if validate else x)
        reconstruction = self.decode(mu).log_prob(x)
        return Bound(reconstruction, reconstruction, kl_standard_normal_terms(mu, log_var).detach().sum(-1))


def reparameterize(mu: Float[Tensor, "*B K"], log_var: Float[Tensor, "*B K"], n_samples: int = 1) -> Float[Tensor, "M *B K"]:
    r"""``n_samples`` draws of :math:`z=\mu+\sigma\odot\epsilon`, :math:`\epsilon\sim\mathcal N(0,I)`, that gradients pass through."""
    require.same_shape(mu, log_var, "mu and log_var")
    sigma = torch.exp(log_var / 2)
    epsilon = torch.randn((n_samples, *mu.shape), device=mu.device, dtype=mu.dtype)
    return mu + sigma * epsilon


def mlp_vae(shape: tuple[int, ...] = (1, 28, 28), hidden: int = 400, latent: int = 20, likelihood: likelihoods.Likelihood | None = None, cls: type[VAE] = VAE) -> VAE:
    """One hidden layer each way: 784-400-20 by default, Bernoulli by default.

    Args:
        shape: (C, H, W) of an image.
        cls: :class:`VAE` or :class:`Autoencoder`.
    """
    likelihood = likelihood or likelihoods.bernoulli()
    pixels = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent))
    decoder = nn.Sequential(
        nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, likelihood.n_params * pixels),
        nn.Unflatten(-1, (likelihood.n_params * shape[0], *shape[1:])),
    )  # fmt: skip
    return cls(encoder, decoder, likelihood, latent)


def build(shape: tuple[int, ...] = (1, 28, 28)) -> VAE:
    """The model of this topic for images of this shape."""
    return mlp_vae(shape)


def active_units(mu: Float[Tensor, "N K"], threshold: float = 0.01) -> int:
    r"""How many latent dimensions answer to the image: :math:`\mathrm{Var}_x[\mu_{\phi,x}]>` ``threshold`` (Burda et al., 2016)."""
    if mu.shape[0] < 2:
        raise ValueError(f"a variance needs at least two images, got {mu.shape[0]}.")
    return int((require.finite(mu, "mu").var(0) > threshold).sum())


def hidden_beta(pixels: int, latent: int, reconstruction: str = "sum", kl: str = "sum", weight: float = 1.0, half: bool = True) -> float:
    r"""The :math:`\beta` that a squared-error or cross-entropy loss with these reductions really trains with.

    A loss whose terms are both sums over an image's own numbers has :math:`\beta=` ``weight``. A mean over D pixels
    divides the reconstruction by D, a mean over K latents the KL by K, and squared error without its one half
    doubles the reconstruction of a unit-variance Gaussian: :math:`\beta=w\,D^{[\text{mean}]}/K^{[\text{mean}]}/2^{[\text{no half}]}`.

    Args:
        pixels: D. latent: K.
        reconstruction, kl: ``"sum"`` or ``"mean"`` over one image's pixels or latents (both are averaged over the batch).
        weight: the factor in front of the KL.
        half: False for squared error written without 1/2.
    """
    for name, reduction in (("reconstruction", reconstruction), ("kl", kl)):
        if reduction not in ("sum", "mean"):
            raise ValueError(f"{name} must be 'sum' or 'mean', got {reduction!r}.")
    require.at_least(pixels, 1, "pixels"), require.at_least(latent, 1, "latent"), require.at_least(weight, 0, "weight")
    return weight * (pixels if reconstruction == "mean" else 1) / (latent if kl == "mean" else 1) / (1 if half else 2)


def check_images(x: Tensor) -> Tensor:
    """``x``, unless it is no batch of images ``(B, C, H, W)`` in [0, 1]."""
    if x.ndim != 4:
        raise ValueError(f"images must have shape (batch, channels, height, width), got {tuple(x.shape)}. One image needs x[None].")
    return require.unit_interval(x, "images")


__all__ = ["VAE", "Autoencoder", "Bound", "Recipe", "Warmup", "active_units", "build", "hidden_beta", "mlp_vae", "reparameterize"]

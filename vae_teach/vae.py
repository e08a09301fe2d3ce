"""The variational autoencoder: three distributions and one bound.

Kingma and Welling (2014), Rezende et al. (2014). Axes: M samples of z, B images,
D = C·H·W pixels, K latent dimensions.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vae_teach.common import require
from vae_teach.common.likelihood import Likelihood, bernoulli
from vae_teach.common.train import Bound, Plan, Recipe
from vae_teach.kl import kl_standard_normal_terms
from vae_teach.reparam import reparameterize

#: What ``vae-teach train vae`` trains, and on what.
DATASET = "mnist"
RECIPE = Recipe(epochs=20, batch_size=128, lr=1e-3, binarize=True)

Images = Float[Tensor, "B C H W"]
Codes = Float[Tensor, "B K"]
Each = Float[Tensor, "B"]


class VAE(nn.Module):
    r"""q(z|x) Gaussian, p(x|z) of any likelihood, and the prior N(0, I).

    Args:
        encoder: images ``(B, C, H, W)`` to ``(B, 2K)``: mu, then log_var.
        decoder: codes ``(B, K)`` to ``(B, P·C, H, W)``; the likelihood says what P is.
        likelihood: one of :mod:`vae_teach.common.likelihood`.
        latent: K.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, latent: int
    ):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.likelihood, self.latent = likelihood, latent

    def posterior(self, x: Images) -> tuple[Codes, Codes]:
        r"""The inference network: mu and log_var, :math:`\ln\sigma^2`."""
        mu, log_var = _widen(self.encoder(x)).chunk(2, dim=-1)
        return mu, log_var

    def encode(self, x: Images) -> Distribution:
        r"""q(z|x) = N(mu, diag sigma²), batch ``(B,)``, event ``(K,)``."""
        mu, log_var = self.posterior(x)
        return Independent(Normal(mu, torch.exp(log_var / 2), validate_args=False), 1)

    def decode(self, z: Float[Tensor, "*M K"]) -> Distribution:
        r"""p(x|z), batch shape of ``z`` without K, event ``(C, H, W)``."""
        out = _widen(self.decoder(z.reshape(-1, self.latent)))
        return self.likelihood.distribution(out.reshape(*z.shape[:-1], *out.shape[1:]))

    @property
    def p_z(self) -> Distribution:
        """The prior, event ``(K,)``."""
        zeros = next(self.parameters()).new_zeros(self.latent)
        return Independent(Normal(zeros, zeros + 1, validate_args=False), 1)

    def elbo(
        self,
        x: Images,
        beta: float = 1.0,
        n_samples: int = 1,
        free_bits: float = 0.0,
        validate: bool = True,
    ) -> Bound:
        r"""The evidence lower bound of each image (vae-elbo), by draws of z.

        Args:
            x: images in [0, 1].
            beta: weight of the KL; only at 1 is the result a bound on the evidence.
            n_samples: M.
            free_bits: nats a dimension's batch average may hold at no cost.
            validate: check the arguments; training has checked its images.

        Raises:
            TypeError, ValueError: ``x`` is no float image batch in [0, 1], or a
                number is too small.
        """
        if validate:
            check_images(x)
            require.at_least(beta, 0, "beta")
            require.at_least(n_samples, 1, "n_samples")
            require.at_least(free_bits, 0, "free_bits")
        mu, log_var = self.posterior(x)  # q(z|x)
        z = reparameterize(mu, log_var, n_samples)  # z ~ q(z|x)
        p_x_given_z = self.decode(z)  # p(x|z)
        reconstruction = p_x_given_z.log_prob(x).mean(0)  # E_q ln p(x|z)
        kl = kl_standard_normal_terms(mu, log_var)  # KL(q(z|x) ‖ p(z)), by dimension
        total = kl.sum(-1)
        cost = free_bits_cost(kl, free_bits) if free_bits else total
        return Bound(reconstruction - beta * cost, reconstruction, total)

    @torch.no_grad()
    def sample(self, n: int) -> Images:
        r"""Pictures of n draws from the prior: the mean of p(x|z), z ~ p(z)."""
        return self.decode(self.p_z.sample((n,))).mean

    @torch.no_grad()
    def reconstruct(self, x: Images) -> Images:
        r"""The mean of p(x|z) at the posterior's mean: to look at, not a bound."""
        return self.decode(self.posterior(check_images(x))[0]).mean


class Autoencoder(VAE):
    """The same two networks without the probability: the code is mu, and costs nothing."""

    def elbo(self, x: Images, *_, validate: bool = True, **__) -> Bound:
        """Reconstruction alone, in the same units: one training loop serves both."""
        mu, _ = self.posterior(check_images(x) if validate else x)
        reconstruction = self.decode(mu).log_prob(x)
        return Bound(reconstruction, reconstruction, torch.zeros_like(reconstruction))


def free_bits_cost(kl: Codes, free_bits: float) -> Tensor:
    r"""The KL that is charged when each dimension has ``free_bits`` nats free.

    Kingma et al. (2016), (vae-free-bits); one number for the batch.
    """
    return kl.mean(0).clamp(min=free_bits).sum()


def active_units(mu: Codes, threshold: float = 0.01) -> int:
    r"""How many dimensions of mu vary with the image (vae-active; Burda et al., 2016).

    Raises:
        ValueError: fewer than two images, or values that are not finite.
    """
    if len(mu) < 2:
        raise ValueError(f"a variance needs at least two images, got {len(mu)}.")
    return int((require.finite(mu, "mu").var(0) > threshold).sum())


def hidden_beta(
    pixels: int,
    latent: int,
    reconstruction: str = "sum",
    kl: str = "sum",
    weight: float = 1.0,
    half: bool = True,
) -> float:
    r"""The beta that a loss with these reductions really trains with (vae-hidden-beta).

    Args:
        pixels, latent: D and K.
        reconstruction, kl: ``"sum"`` or ``"mean"`` over one image's pixels or latents.
        weight: the factor in front of the KL.
        half: False for squared error written without its 1/2.

    Raises:
        ValueError: an unknown reduction or a number that is too small.
    """
    for name, reduction in (("reconstruction", reconstruction), ("kl", kl)):
        if reduction not in ("sum", "mean"):
            raise ValueError(f"{name} must be 'sum' or 'mean', got {reduction!r}.")
    require.at_least(pixels, 1, "pixels"), require.at_least(latent, 1, "latent")
    beta = require.at_least(weight, 0, "weight")
    beta = beta * pixels if reconstruction == "mean" else beta
    beta = beta / latent if kl == "mean" else beta
    return beta if half else beta / 2


def mlp_vae(
    shape: tuple[int, ...] = (1, 28, 28),
    hidden: int = 400,
    latent: int = 20,
    likelihood: Likelihood | None = None,
    cls: type[VAE] = VAE,
) -> VAE:
    """One hidden layer each way: 784-400-20 and Bernoulli, unless told otherwise.

    Args:
        shape: (C, H, W) of an image.
        cls: :class:`VAE` or :class:`Autoencoder`.
    """
    likelihood = likelihood or bernoulli()
    pixels, out = math.prod(shape), (likelihood.n_params * shape[0], *shape[1:])
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent)
    )
    decoder = nn.Sequential(
        nn.Linear(latent, hidden),
        nn.ReLU(),
        nn.Linear(hidden, math.prod(out)),
        nn.Unflatten(-1, out),
    )
    return cls(encoder, decoder, likelihood, latent)


def build(shape: tuple[int, ...] = (1, 28, 28)) -> VAE:
    """The model of this topic for images of this shape."""
    return mlp_vae(shape)


def pocket(shape: tuple[int, ...] = (1, 28, 28)) -> VAE:
    """784-128-2: small enough for the chapter's page to carry the decoder."""
    return mlp_vae(shape, hidden=128, latent=2)


POCKET = Plan("mnist", replace(RECIPE, epochs=60), pocket)


def _widen(t: Tensor) -> Tensor:
    # Autocast networks answer in bfloat16; the terms of the bound need more digits.
    return t.float() if t.dtype == torch.bfloat16 else t


def check_images(x: Tensor) -> Tensor:
    """``x``, unless it is no batch of images ``(B, C, H, W)`` in [0, 1]."""
    return require.images(x, "images")

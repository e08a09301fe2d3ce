"""Pitfalls: wrong code that circulates, each piece beside the right one.

A function under ``@specimen`` is wrong on purpose; ``PITFALLS`` lists the chapter's mistakes. Axes: M
draws, B images, D pixels, K latent dimensions. Values are nats, one an image.
"""

from __future__ import annotations

import math
from functools import wraps
from typing import Callable, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import ContinuousBernoulli, Independent
from torch.distributions import MultivariateNormal, Normal

from vae_teach.common import require
from vae_teach.common.likelihood import Likelihood
from vae_teach.kl import kl_standard_normal, kl_standard_normal_terms
from vae_teach.reparam import reparameterize
from vae_teach.vae import VAE

Codes = Float[Tensor, "B K"]
Draws = Float[Tensor, "M B K"]
Flat = Float[Tensor, "B D"]
Each = Float[Tensor, "B"]
Images = Float[Tensor, "B C H W"]


def specimen(f: Callable) -> Callable:
    """Marks ``f`` as wrong on purpose. Its input must be right: finite tensors, the
    first two of one shape, positive numbers; or ``ValueError``."""
    @wraps(f)
    def guarded(*given, **named):
        values = [*given, *named.values()]
        tensors = [require.finite(v, "input") for v in values if isinstance(v, Tensor)]
        require.same_shape(tensors[0], tensors[:2][-1], "the first two tensors")
        if any(isinstance(v, (int, float)) and not 0 < v < math.inf for v in values):
            raise ValueError("numbers must be positive and finite: sigma > 0, n >= 1.")
        return f(*given, **named)

    return guarded


@specimen
def kl_log_sigma(mu: Codes, log_var: Codes) -> Each:
    """log_var read as ln σ (pitfalls-log-sigma)."""
    return 0.5 * (torch.exp(2 * log_var) + mu**2 - 1 - 2 * log_var).sum(-1)


@specimen
def kl_squared_variance(mu: Codes, log_var: Codes) -> Each:
    """exp(log_var), which is σ² already, squared (pitfalls-squared-variance)."""
    return 0.5 * (torch.exp(log_var) ** 2 + mu**2 - 1 - log_var).sum(-1)


@specimen
def kl_lost_constant(mu: Codes, log_var: Codes) -> Each:
    """The -1 of each dimension lost (pitfalls-constant)."""
    return 0.5 * (torch.exp(log_var) + mu**2 - log_var).sum(-1)


@specimen
def kl_flipped(mu: Codes, log_var: Codes) -> Each:
    """The right number with the wrong sign (pitfalls-flipped)."""
    return 0.5 * (1 + log_var - mu**2 - torch.exp(log_var)).sum(-1)


@specimen
def kl_three_errors(mu: Codes, log_var: Codes) -> Each:
    """No half, a mean over dimensions, log_var read as ln σ (pitfalls-three)."""
    return (torch.exp(2 * log_var) + mu**2 - 1 - 2 * log_var).mean(-1)


@specimen
def draw_exp_log_var(mu: Codes, log_var: Codes, n_samples: int = 1) -> Draws:
    """exp(log_var) taken for σ (pitfalls-draw-exp)."""
    return mu + torch.exp(log_var) * torch.randn((n_samples, *mu.shape)).to(mu)


@specimen
def draw_added(mu: Codes, log_var: Codes, n_samples: int = 1) -> Draws:
    """A plus sign where a product belongs (pitfalls-added)."""
    epsilon = torch.randn((n_samples, *mu.shape)).to(mu)
    return mu + torch.exp(0.5 * log_var) + epsilon


@specimen
def draw_scaled(mu: Codes, log_var: Codes, n_samples: int = 1) -> Draws:
    """The bracket in the wrong place (pitfalls-scaled)."""
    epsilon = torch.randn((n_samples, *mu.shape)).to(mu)
    return (mu + epsilon) * torch.exp(0.5 * log_var)


def cross_entropy_loss(x: Flat, logits: Flat) -> Each:
    """Minus a Bernoulli's log-probability of x; right for pixels that are 0 or 1."""
    require.finite(x, "x"), require.finite(logits, "logits")
    return nn.BCEWithLogitsLoss(reduction="none")(logits, x).sum(-1)


@specimen
def loss_wide_targets(x: Flat, logits: Flat) -> Each:
    """Cross-entropy of pixels that were scaled to [-1, 1] (pitfalls-targets)."""
    return cross_entropy_loss(2 * x - 1, logits)


@specimen
def loss_by_logarithms(x: Flat, logits: Flat) -> Each:
    """The right formula in the wrong numbers (pitfalls-saturation)."""
    p = torch.sigmoid(logits)
    return -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(-1)


@specimen
def log_p_no_constant(x: Flat, x_hat: Flat, sigma: float) -> Each:
    """A Gaussian's squares without its normaliser (pitfalls-normaliser)."""
    return -((x - x_hat) ** 2).sum(-1) / (2 * sigma**2)


@specimen
def log_p_many_constants(x: Flat, x_hat: Flat, sigma: float) -> Each:
    """The constant of all D pixels, once in every pixel (pitfalls-d-squared)."""
    constant = x.shape[-1] * math.log(2 * math.pi * sigma**2)
    return -0.5 * ((x - x_hat) ** 2 / sigma**2 + constant).sum(-1)


def reduced_loss(
    x: Flat, x_hat: Float[Tensor, "*M B D"], mu: Codes, log_var: Codes,
    reconstruction: str = "mean", kl: str = "sum", weight: float = 1, half: bool = True,
) -> Float[Tensor, ""]:  # fmt: skip
    """Squared error plus KL, reduced as told; :func:`~vae_teach.vae.hidden_beta`
    takes the same words and says which β that is (pitfalls-reduced)."""
    if {reconstruction, kl} - {"sum", "mean"}:
        raise ValueError(f"'sum' or 'mean', not {reconstruction!r} and {kl!r}.")
    require.finite(x, "x"), require.same_shape(mu, log_var, "mu and log_var")
    error = getattr((x - x_hat) ** 2, reconstruction)(-1) * (0.5 if half else 1.0)
    cost = getattr(kl_standard_normal_terms(mu, log_var), kl)(-1)
    return (error + weight * cost).mean()


def fit_linear(x: Flat, latent: int, **reductions) -> VAE:
    """The linear VAE that minimises :func:`reduced_loss` on x, found by L-BFGS.

    Its mean over z is exact with 2K points, mu ± √K σ_j in each dimension, so that
    nothing is random but the start. Images are (B, 1, 1, D).
    """
    pixels = require.finite(x, "x").shape[-1]
    require.at_least(latent, 1, "latent")
    law = Likelihood("unit_gaussian", 1, lambda out: Independent(Normal(out, 1.0), 3), True)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2 * latent))
    decoder = nn.Sequential(nn.Linear(latent, pixels), nn.Unflatten(-1, (1, 1, pixels)))
    model = VAE(encoder, decoder, law, latent).to(x)
    corners = math.sqrt(latent) * torch.cat([torch.eye(latent), -torch.eye(latent)]).to(x)
    options = {"max_iter": 1000, "max_eval": 2000, "line_search_fn": "strong_wolfe"}
    descent = torch.optim.LBFGS(model.parameters(), tolerance_change=0, **options)

    def closure():
        descent.zero_grad()
        mu, log_var = model.posterior(x[:, None, None])
        z = mu + torch.exp(0.5 * log_var) * corners[:, None]
        loss = reduced_loss(x, model.decoder(z).flatten(-3), mu, log_var, **reductions)
        loss.backward()
        return loss

    descent.step(closure)
    return model


def linear_minimum(x: Flat, latent: int, beta: float) -> tuple[Tensor, Tensor]:
    """Where it must be (pitfalls-moved): squared columns of W, variances of q."""
    require.at_least(beta, 1e-12, "beta"), require.finite(x, "x")
    kappa = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)[:latent]
    return (kappa - beta).clamp(min=0), (beta / kappa).clamp(max=1)


def linear_evidence(model: VAE, x: Flat) -> Each:
    """ln p(x) of a model of :func:`fit_linear`, exactly: x is N(b, WWᵀ + I)."""
    weight, bias = (tensor.detach() for tensor in model.decoder[0].parameters())
    cov = weight @ weight.T + torch.eye(len(bias)).to(weight)
    return MultivariateNormal(bias, cov).log_prob(require.finite(x, "x"))


@specimen
@torch.no_grad()
def elbo_at_mean(model: VAE, x: Images) -> Each:
    """The bound with z = mu, no draw (pitfalls-at-mean)."""
    mu, log_var = model.posterior(x)
    return model.decode(mu).log_prob(x) - kl_standard_normal(mu, log_var)


@specimen
@torch.no_grad()
def evidence_called_true(model: VAE, x: Images, n: int = 1000) -> Each:
    """ln of the mean of p(x|z) over n draws of p(z) (pitfalls-monte-carlo)."""
    log_p = model.decode(model.p_z.sample((n, 1))).log_prob(x)
    return torch.logsumexp(log_p, 0) - math.log(n)


def bounded_log_var(log_var: Codes, limit: float = 10.0) -> Codes:
    """log_var bent into (-limit, limit), so that exp never overflows."""
    require.finite(log_var, "log_var")
    return limit * torch.tanh(log_var / require.at_least(limit, 1e-3, "limit"))


class Pitfall(NamedTuple):
    """A mistake; ``rows`` are those of the course's list of them."""

    group: str
    rows: tuple[int, ...]
    wrong: Callable
    right: Callable
    symptom: str


#: Every pitfall of the chapter by name. Wrong and right take the same arguments.
PITFALLS = {
    "log sigma": Pitfall("KL", (3,), kl_log_sigma, kl_standard_normal, "The KL is too dear wherever σ is not 1."),
    "squared variance": Pitfall("KL", (3,), kl_squared_variance, kl_standard_normal, "The KL can fall below zero."),
    "lost constant": Pitfall("KL", (4,), kl_lost_constant, kl_standard_normal, "The KL never falls below K/2; gradients are right."),
    "flipped sign": Pitfall("KL", (4,), kl_flipped, kl_standard_normal, "The loss has no end, and the codes fly apart."),
    "variance as deviation": Pitfall("draw", (3,), draw_exp_log_var, reparameterize, "The bound is too high, and codes are drawn too narrowly."),
    "plus for times": Pitfall("draw", (5,), draw_added, reparameterize, "The noise cannot be turned down; codes spread out to outrun it."),
    "bracket": Pitfall("draw", (5,), draw_scaled, reparameterize, "Draws are centred at μσ, so pictures decoded from μ are wrong."),
    "unread argument": Pitfall("draw", (22,), lambda mu, log_var, n_samples: reparameterize(mu, log_var), reparameterize, "More samples change nothing."),
    "targets in [-1, 1]": Pitfall("likelihood", (6,), loss_wide_targets, cross_entropy_loss, "The loss falls below zero, without end."),
    "bytes as targets": Pitfall("likelihood", (6,), lambda x, logits: cross_entropy_loss(255 * x, logits), cross_entropy_loss, "The loss is far below zero after a few steps, without end."),
    "Tanh for logits": Pitfall("likelihood", (6,), lambda x, out: cross_entropy_loss(x, torch.tanh(out)), cross_entropy_loss, "Pictures are grey on grey, and the loss has a floor."),
    "two sigmoids": Pitfall("likelihood", (6,), lambda x, out: cross_entropy_loss(x, torch.sigmoid(out)), cross_entropy_loss, "Black comes out grey, and the loss has a floor."),
    "grey Bernoulli": Pitfall("likelihood", (7,), lambda x, logits: -cross_entropy_loss(x, logits), lambda x, logits: ContinuousBernoulli(logits=logits).log_prob(x).sum(-1), "A table compares a number that is no log-likelihood."),
    "no normaliser": Pitfall("likelihood", (9,), log_p_no_constant, lambda x, x_hat, sigma: Normal(x_hat, sigma).log_prob(x).sum(-1), "Bits per pixel that no other model can be compared with."),
    "constant in every pixel": Pitfall("likelihood", (21,), log_p_many_constants, lambda x, x_hat, sigma: Normal(x_hat, sigma).log_prob(x).sum(-1), "Hundreds of thousands of nats away from anything."),
    "mean and sum": Pitfall("sums", (1,), reduced_loss, lambda *given: reduced_loss(*given, "sum", "sum"), "One blurred picture for every input."),
    "mean over the code": Pitfall("sums", (2,), lambda mu, log_var: kl_standard_normal(mu, log_var) / mu.shape[-1], kl_standard_normal, "Fine reconstructions, poor samples."),
    "lost half": Pitfall("sums", (8,), lambda *given: reduced_loss(*given, "sum", "sum", half=False), lambda *given: reduced_loss(*given, "sum", "sum"), "A KL half as dear as meant."),
    "wrong count": Pitfall("sums", (25,), lambda losses, size: torch.stack([part.mean() for part in losses.split(size)]).mean(), lambda losses, size: losses.mean(), "The average depends on the size of a batch."),
    "bound at the mean": Pitfall("reports", (10,), elbo_at_mean, lambda model, x: model.elbo(x, n_samples=1000, validate=False).elbo, "A lower bound above the evidence."),
    "minus ELBO as NLL": Pitfall("reports", (11,), lambda model, x: -model.elbo(x, n_samples=1000, validate=False).elbo, lambda model, x: -linear_evidence(model, x.flatten(1)), "A comparison of bounds that is told as one of models."),
    "two weights": Pitfall("reports", (12,), lambda bound, beta: (beta * bound.kl - bound.reconstruction).mean(), lambda bound, beta: -bound.elbo.mean(), "Training and validation curves lie apart from the first epoch."),
    "test set in training": Pitfall("reports", (13,), lambda train, test: torch.cat([train, test]), lambda train, test: train, "Held-out scores that never turn."),
    "estimate called true": Pitfall("reports", (23,), evidence_called_true, lambda model, x: linear_evidence(model, x.flatten(1)), "A 'true' value that moves with the seed, too low on average."),
    "likelihood as posterior": Pitfall("reports", (26,), lambda x, z, w: Normal(w * z, 1.0).log_prob(x), lambda x, z, w: Normal(w * x / (w**2 + 1), (w**2 + 1) ** -0.5).log_prob(z), "A 'law of z' that does not integrate to one."),
    "noise to the encoder": Pitfall("reports", (25,), lambda model, x: model.reconstruct(torch.rand_like(x)), lambda model, x: model.sample(len(x)), "'Samples' that all look alike."),
    "overflow": Pitfall("numbers", (14,), lambda log_var: torch.exp(log_var), lambda log_var: torch.exp(bounded_log_var(log_var)), "Loss inf, then NaN; weights NaN within two steps."),
    "logarithm of a sigmoid": Pitfall("numbers", (14,), loss_by_logarithms, cross_entropy_loss, "NaN once the decoder is sure."),
    "mean size as deviation": Pitfall("numbers", (24,), lambda r: r.abs().mean() ** 2, lambda r: r.square().mean(), "A noise variance 36 % too low."),
}  # fmt: skip

"""Reparameterisation: the gradient of an expectation, and draws that let it through.

Axes: M or n draws, B images, K latent dimensions, N categories. A function ``h`` takes
draws ``(n, K)`` and gives one value a draw, ``(n,)``. Every function raises
``ValueError`` for values not finite, scales not positive, shapes that do not fit, or
no draws; the exceptions are named where they are.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vae_teach.common import require

Codes = Float[Tensor, "B K"]
Samples = Float[Tensor, "M B K"]
Vector = Float[Tensor, "K"]
Draws = Float[Tensor, "n K"]
Values = Float[Tensor, "n"]
Logits = Float[Tensor, "N"]
Scalar = Float[Tensor, ""]
Any = Float[Tensor, "*S"]
Function = Callable[[Tensor], Tensor]


def reparameterize(mu: Codes, log_var: Codes, n_samples: int = 1) -> Samples:
    r"""Draws of z = mu + sigma·epsilon that gradients pass through (reparam-normal).

    Values may be NaN: this stands in the training loop, which looks for them itself.
    """
    require.same_shape(mu, log_var, "mu and log_var")
    require.at_least(n_samples, 1, "n_samples")
    sigma = torch.exp(0.5 * log_var)
    epsilon = torch.randn((n_samples, *mu.shape), device=mu.device, dtype=mu.dtype)
    return mu + sigma * epsilon


def correlated_normal(mu: Vector, cov: Float[Tensor, "K K"], n: int) -> Draws:
    """Draws of N(mu, cov) as mu + L·epsilon with cov = L Lᵀ (reparam-cholesky)."""
    require.finite(mu, "mu"), require.at_least(n, 1, "n")
    epsilon = torch.randn((n, *mu.shape), device=mu.device, dtype=mu.dtype)
    return mu + epsilon @ require.cholesky(cov, "cov").mT  # a row is εᵀ Lᵀ


class Terms(NamedTuple):
    """One gradient term a draw, by mu and by sigma; their mean is the estimate."""

    mu: Draws
    sigma: Draws


def score_terms(
    h: Function, mu: Vector, sigma: Vector, n: int, baseline: float = 0.0
) -> Terms:
    r"""Terms (h(z) - b) ∇ ln N(z; mu, sigma²), from values of h (reparam-score-mc)."""
    epsilon = _noise(mu, sigma, n)
    score_mu, score_sigma = epsilon / sigma, (epsilon**2 - 1) / sigma
    weight = (_values(h, mu + sigma * epsilon) - baseline)[:, None]
    return Terms(weight * score_mu, weight * score_sigma)


def pathwise_terms(h: Function, mu: Vector, sigma: Vector, n: int) -> Terms:
    r"""Terms h'(z) ∂z/∂(mu, sigma), for an h without jumps (reparam-pathwise-mc).

    Raises:
        ValueError: autograd cannot follow h.
    """
    epsilon = _noise(mu, sigma, n)
    z = (mu + sigma * epsilon).detach().requires_grad_()
    values = _values(h, z)
    if not values.requires_grad:
        raise ValueError("autograd cannot follow h; score_terms needs no slope of it.")
    (slope,) = torch.autograd.grad(values.sum(), z)
    return Terms(slope, slope * epsilon)  # ∂z/∂mu = 1, ∂z/∂sigma = epsilon


def _noise(mu: Tensor, sigma: Tensor, n: int) -> Tensor:
    require.finite(mu, "mu"), require.positive(sigma, "sigma")
    require.same_shape(mu, sigma, "mu and sigma"), require.at_least(n, 1, "n")
    return torch.randn((n, *mu.shape), device=mu.device, dtype=mu.dtype)


def _values(h: Function, z: Tensor) -> Tensor:
    values = h(z)
    if values.shape != z.shape[:1]:
        got = tuple(values.shape)
        raise ValueError(f"h must give shape ({len(z)},), got {got}; sum its last axis")
    return values


def best_baseline(h_z: Values, score: Draws) -> Vector:
    r"""The b of least variance, E[h s²]/E[s²], from h and scores s at n draws.

    One for each parameter (reparam-best-baseline).
    """
    require.finite(h_z, "h_z")
    weight = require.finite(score, "score") ** 2
    if not bool((weight.sum(0) > 0).all()):
        raise ValueError("a score is zero at every draw; drop that parameter.")
    return (h_z[:, None] * weight).sum(0) / weight.sum(0)


def square_variances(mu: Vector, sigma: Vector) -> tuple[Vector, Vector, Vector]:
    r"""Exact variances of one term by mu for h(z) = ‖z‖² (reparam-variances).

    Of the score function, of the same with its best baseline, of the pathwise one.
    """
    require.finite(mu, "mu"), require.positive(sigma, "sigma")
    require.same_shape(mu, sigma, "mu and sigma")
    m, s = mu**2, sigma**2
    mean, spread = m + s, 2 * s**2 + 4 * m * s  # of each square z_j²
    r, v = mean.sum() - mean, spread.sum() - spread  # of the other coordinates' sum
    baseline = 8 * m + 6 * s + v / s
    return baseline + (m + 3 * s + r) ** 2 / s, baseline, 4 * s


def exponential_from_uniform(u: Any, rate: Scalar) -> Any:
    """-ln(1 - u)/rate, exponential if u is uniform on (0, 1) (reparam-exponential)."""
    return -torch.log1p(-_open(u)) / _above_zero(rate, "rate")


def logistic_from_uniform(u: Any, mu: Scalar, scale: Scalar) -> Any:
    """mu + scale·ln(u/(1 - u)), logistic if u is uniform (reparam-logistic)."""
    return mu + _above_zero(scale, "scale") * torch.logit(_open(u))


def gumbel_from_uniform(u: Any) -> Any:
    """-ln(-ln u), standard Gumbel if u is uniform on (0, 1) (reparam-gumbel)."""
    return -torch.log(-torch.log(_open(u)))


def _open(u: Tensor) -> Tensor:
    if not bool(((u > 0) & (u < 1)).all()):  # also for NaN
        raise ValueError("u must lie strictly between 0 and 1; clamp torch.rand first.")
    return u


def _above_zero(value: Tensor | float, name: str) -> Tensor | float:
    number = float(torch.as_tensor(value).detach())
    if not 0 < number < float("inf"):
        raise ValueError(f"{name} must be > 0 and finite, got {number:g}.")
    return value


def gumbel_max(logits: Logits, n: int) -> Int[Tensor, "n"]:
    """Draws of a category with probabilities softmax(logits) (reparam-gumbel-max)."""
    return (logits + _gumbels(logits, n)).argmax(-1)


def gumbel_softmax(logits: Logits, n: int, temperature: float) -> Float[Tensor, "n N"]:
    """Soft one-hot vectors of Jang et al. and Maddison et al. (reparam-softmax)."""
    _above_zero(temperature, "temperature")
    return torch.softmax((logits + _gumbels(logits, n)) / temperature, -1)


def _gumbels(logits: Tensor, n: int) -> Tensor:
    require.finite(logits, "logits"), require.at_least(n, 1, "n")
    u = torch.rand((n, *logits.shape), dtype=logits.dtype, device=logits.device)
    return gumbel_from_uniform(u.clamp(min=torch.finfo(u.dtype).tiny))  # rand may be 0


def straight_through(hard: Any, soft: Any) -> Any:
    """``hard`` forwards, ``soft`` backwards (reparam-straight; Bengio et al., 2013)."""
    require.same_shape(hard, soft, "hard and soft")
    return hard.detach() + (soft - soft.detach())  # the bracket is zero, its slope one


def categorical_gradient(logits: Logits, h_k: Logits) -> Logits:
    r"""The gradient of Σ p_k h_k by the logits, p = softmax (reparam-categorical)."""
    p = torch.softmax(require.finite(logits, "logits"), -1)
    return p * (require.finite(h_k, "h_k") - (p * h_k).sum())


#: Three functions h to try estimators on, each with E[h(z)] for z ~ N(m, s²).
EXAMPLES = {
    "square": (torch.square, lambda m, s: m**2 + s**2),
    "sine": (torch.sin, lambda m, s: torch.exp(-(s**2) / 2) * torch.sin(m)),
    "step": (lambda z: (1 + torch.sign(z)) / 2, lambda m, s: torch.special.ndtr(m / s)),
}


def expectation(name: str, mu: Any, sigma: Any) -> tuple[Any, Any, Any]:
    """E[h(z)] and its derivatives by mu and sigma, exactly (reparam-examples)."""
    if name not in EXAMPLES:
        raise ValueError(f"no example {name!r}; there are {', '.join(EXAMPLES)}.")
    require.finite(mu, "mu"), require.positive(sigma, "sigma")
    m, s = (t.detach().clone().requires_grad_() for t in (mu, sigma))
    mean = EXAMPLES[name][1](m, s)
    return mean.detach(), *torch.autograd.grad(mean.sum(), (m, s))

"""Kullback-Leibler divergence: closed forms, estimators and fits. All values in nats.

The order of arguments is the order on paper: ``kl(q, p)`` is :math:`\\mathrm{KL}(q\\Vert p)`.
"""

from __future__ import annotations

import math
from typing import Callable, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MultivariateNormal, Normal

from vae_teach.common import require

NATS_PER_BIT = math.log(2)

# Axes: B batch, N outcomes, K latent dimensions, D dimensions.
Batch = Float[Tensor, "*B"]
Probs = Float[Tensor, "*B N"]
Codes = Float[Tensor, "*B K"]
Vector = Float[Tensor, "*B D"]
Matrix = Float[Tensor, "*B D D"]
Table = Float[Tensor, "X Z"]


def entropy(p: Probs) -> Batch:
    r""":math:`H(p)=-\sum_x p(x)\ln p(x)`, with :math:`0\ln0=0` (kl-entropy)."""
    return torch.special.entr(require.probabilities(p, "p")).sum(-1)


def cross_entropy(p: Probs, q: Probs) -> Batch:
    r""":math:`H(p,q)=-\sum_x p(x)\ln q(x)`; infinite where :math:`q(x)=0<p(x)`."""
    return entropy(p) + kl_categorical(p, q)


def kl_categorical(p: Probs, q: Probs) -> Batch:
    r"""KL of two probability vectors (kl-discrete).

    Terms with p(x) = 0 count nothing; infinite where q(x) = 0 < p(x).

    Raises:
        ValueError: shapes differ, or a vector is not a probability vector.
    """
    require.probabilities(p, "p"), require.probabilities(q, "q")
    require.same_shape(p, q, "p and q")
    terms = torch.special.xlogy(p, p) - torch.special.xlogy(p, q)
    # q - p sums to zero and makes each term at least zero: rounding cannot matter.
    return (terms + q - p).clamp(min=0).sum(-1)


def kl_normal(mu_1: Batch, sigma_1: Batch, mu_2: Batch, sigma_2: Batch) -> Batch:
    r"""KL of N(mu_1, sigma_1²) to N(mu_2, sigma_2²), element by element (kl-normal).

    Raises:
        ValueError: shapes differ, a standard deviation is not positive, or a
            value is not finite.
    """
    require.finite(mu_1, "mu_1"), require.finite(mu_2, "mu_2")
    require.positive(sigma_1, "sigma_1"), require.positive(sigma_2, "sigma_2")
    for other, name in [(sigma_1, "sigma_1"), (mu_2, "mu_2"), (sigma_2, "sigma_2")]:
        require.same_shape(mu_1, other, f"mu_1 and {name}")
    log_ratio = 2 * torch.log(sigma_1 / sigma_2)  # ln σ₁²/σ₂²
    shift = ((mu_1 - mu_2) / sigma_2) ** 2  # (μ₁-μ₂)²/σ₂²
    return (torch.expm1(log_ratio) - log_ratio + shift) / 2


def kl_standard_normal_terms(mu: Codes, log_var: Codes) -> Codes:
    r"""Each dimension's share of :func:`kl_standard_normal` (kl-standard)."""
    # expm1(log_var) - log_var is σ² - 1 - ln σ², without losing digits near σ = 1.
    return 0.5 * (torch.expm1(log_var) - log_var + mu**2)


def kl_standard_normal(mu: Codes, log_var: Codes) -> Batch:
    r"""KL of N(mu, diag σ²) to N(0, I), summed over the K dimensions (kl-standard).

    ``log_var`` is :math:`\ln\sigma^2`; half of it is :math:`\ln\sigma`.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    require.finite(mu, "mu"), require.finite(log_var, "log_var")
    require.same_shape(mu, log_var, "mu and log_var")
    return kl_standard_normal_terms(mu, log_var).sum(-1)


def kl_multivariate_normal(
    mu_1: Vector, cov_1: Matrix, mu_2: Vector, cov_2: Matrix
) -> Batch:
    r"""KL of N(mu_1, cov_1) to N(mu_2, cov_2), by Cholesky factors (kl-mvn).

    Raises:
        ValueError: shapes differ, a mean is not finite, or a covariance is not
            symmetric and positive definite.
    """
    require.finite(mu_1, "mu_1"), require.finite(mu_2, "mu_2")
    require.same_shape(mu_1, mu_2, "mu_1 and mu_2")
    require.same_shape(cov_1, cov_2, "cov_1 and cov_2")
    chol_1, chol_2 = (require.cholesky(c, f"cov_{i}") for i, c in ((1, cov_1), (2, cov_2)))
    solve = torch.linalg.solve_triangular
    ratio = solve(chol_2, chol_1, upper=False)  # L₂⁻¹L₁
    shift = solve(chol_2, (mu_2 - mu_1)[..., None], upper=False)  # L₂⁻¹(μ₂-μ₁)
    log_dets = [c.diagonal(dim1=-2, dim2=-1).log().sum(-1) for c in (chol_1, chol_2)]
    trace = (ratio**2).sum((-2, -1))  # tr Σ₂⁻¹Σ₁
    square = (shift**2).sum((-2, -1))  # (μ₂-μ₁)ᵀΣ₂⁻¹(μ₂-μ₁)
    return (trace + square - mu_1.shape[-1]) / 2 + log_dets[1] - log_dets[0]


def kl(q: Distribution, p: Distribution) -> Tensor:
    r"""KL(q ‖ p) in closed form, of two ``Normal``, ``Categorical``, ``MultivariateNormal``, or ``Independent`` of these.

    Raises:
        NotImplementedError: no closed form here; use :func:`kl_monte_carlo`.
    """
    kinds, together = (type(q), type(p)), torch.broadcast_tensors
    # Exactly these types: a subclass, such as a Gaussian cut into bins, is another law.
    if kinds == (Independent, Independent) and (n := q.reinterpreted_batch_ndims) == p.reinterpreted_batch_ndims:
        each = kl(q.base_dist, p.base_dist)
        return each.sum(tuple(range(-n, 0))) if n else each
    if kinds == (Normal, Normal):
        return kl_normal(*together(q.mean, q.stddev, p.mean, p.stddev))
    if kinds == (Categorical, Categorical):
        return kl_categorical(*together(q.probs, p.probs))
    if kinds == (MultivariateNormal, MultivariateNormal):
        mu_1, mu_2 = together(q.mean, p.mean)
        cov_1, cov_2 = together(q.covariance_matrix, p.covariance_matrix)
        return kl_multivariate_normal(mu_1, cov_1, mu_2, cov_2)
    raise NotImplementedError(f"no closed form for KL({type(q).__name__} ‖ {type(p).__name__}); estimate it with kl_monte_carlo.")


class Estimate(NamedTuple):
    """A Monte Carlo mean and its standard error, the terms' deviation over √n."""

    mean: Tensor
    standard_error: Tensor


def kl_monte_carlo(q: Distribution, p: Distribution, n: int, estimator: str = "plain") -> Estimate:
    r"""Estimate KL(q ‖ p) from ``n`` draws of q (kl-estimators).

    With r = p(x)/q(x), ``"plain"`` averages -ln r; ``"nonnegative"`` averages (r - 1) - ln r, which has the same mean
    where q covers p (Schulman, 2020).

    Raises:
        ValueError: fewer than two draws, or an unknown estimator.
    """
    if estimator not in ("plain", "nonnegative"):
        raise ValueError(f"estimator must be 'plain' or 'nonnegative', not {estimator!r}.")
    x = q.sample((int(require.at_least(n, 2, "n")),))
    log_r = p.log_prob(x) - q.log_prob(x)
    terms = -log_r if estimator == "plain" else torch.expm1(log_r) - log_r
    return Estimate(terms.mean(0), terms.std(0) / math.sqrt(n))


def fit_normal(log_target: Callable[[Tensor], Tensor], direction: str, start: tuple[float, float] = (0.0, 1.0), steps: int = 400, limit: float = 12.0) -> tuple[float, float]:
    r"""The Gaussian nearest to a one-dimensional target, ``(mu, sigma)``: descent on a KL that is summed over a grid on [-limit, limit].

    Args:
        log_target: normalised log-density of the target p.
        direction: ``"forward"`` for KL(p ‖ q), ``"reverse"`` for KL(q ‖ p).
        start: mu and sigma to begin with; the reverse problem may have several minima.

    Raises:
        ValueError: an unknown direction, a start with sigma not positive, or a target whose mass on the grid is not one.
    """
    if direction not in ("forward", "reverse"):
        raise ValueError(f"direction must be 'forward' or 'reverse', got {direction!r}.")
    x = torch.linspace(-limit, limit, 2001, dtype=torch.float64)
    dx = x[1] - x[0]
    log_p = require.finite(log_target(x), "log_target")
    if abs((mass := float(log_p.exp().sum() * dx)) - 1) > 0.01:
        raise ValueError(f"the target has mass {mass:.3g} on [-{limit:g}, {limit:g}] instead of 1. Normalise it, or raise limit.")
    mu, sigma = torch.tensor(start, dtype=torch.float64).unbind()
    mu, log_sigma = mu.clone().requires_grad_(), require.positive(sigma, "start sigma").log().requires_grad_()
    optimizer = torch.optim.Adam([mu, log_sigma], lr=0.05)
    for _ in range(steps):
        log_q = Normal(mu, log_sigma.exp()).log_prob(x)
        first, second = (log_p, log_q) if direction == "forward" else (log_q, log_p)
        loss = (first.exp() * (first - second)).sum() * dx
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return mu.item(), log_sigma.exp().item()


def kl_chain(p_xz: Table, q_xz: Table) -> tuple[Tensor, Tensor, Tensor]:
    r"""KL of two joint tables and its parts: joint, marginal, conditional (kl-chain).

    Raises:
        ValueError: shapes differ, or a table is no probability table.
    """
    require.same_shape(p_xz, q_xz, "p_xz and q_xz")
    joint = kl_categorical(p_xz.flatten(), q_xz.flatten())
    p_x, q_x = p_xz.sum(1), q_xz.sum(1)
    # Where q(x) = 0 < p(x) the marginal part is infinite, whatever q(z|x) would be.
    seen = (p_x > 0) & (q_x > 0)
    rows = kl_categorical(p_xz[seen] / p_x[seen, None], q_xz[seen] / q_x[seen, None])
    return joint, kl_categorical(p_x, q_x), (p_x[seen] * rows).sum()

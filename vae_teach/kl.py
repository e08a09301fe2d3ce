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


def entropy(p: Float[Tensor, "*B N"]) -> Float[Tensor, "*B"]:
    r""":math:`H(p)=-\sum_x p(x)\ln p(x)`, with :math:`0\ln0=0`."""
    return torch.special.entr(require.probabilities(p, "p")).sum(-1)


def cross_entropy(p: Float[Tensor, "*B N"], q: Float[Tensor, "*B N"]) -> Float[Tensor, "*B"]:
    r""":math:`H(p,q)=-\sum_x p(x)\ln q(x)`; infinite where :math:`q(x)=0<p(x)`."""
    require.same_shape(require.probabilities(p, "p"), require.probabilities(q, "q"), "p and q")
    return -torch.special.xlogy(p, q).sum(-1)


def kl_categorical(p: Float[Tensor, "*B N"], q: Float[Tensor, "*B N"]) -> Float[Tensor, "*B"]:
    r""":math:`\mathrm{KL}(p\Vert q)=\sum_x p(x)\ln\frac{p(x)}{q(x)}` of probability vectors.

    Terms with :math:`p(x)=0` count nothing; the sum is infinite where :math:`q(x)=0<p(x)`.

    Raises:
        ValueError: shapes differ, or a vector is not a probability vector.
    """
    require.same_shape(require.probabilities(p, "p"), require.probabilities(q, "q"), "p and q")
    # Adding q - p, which sums to zero, makes every term non-negative: rounding cannot push the sum below zero.
    terms = torch.special.xlogy(p, p) - torch.special.xlogy(p, q) + q - p
    return terms.clamp(min=0).sum(-1)


def kl_normal(mu_1: Float[Tensor, "*B"], sigma_1: Float[Tensor, "*B"], mu_2: Float[Tensor, "*B"], sigma_2: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    r""":math:`\ln\frac{\sigma_2}{\sigma_1}+\frac{\sigma_1^2+(\mu_1-\mu_2)^2}{2\sigma_2^2}-\frac12`, element by element.

    Args:
        sigma_1, sigma_2: standard deviations, not variances.

    Raises:
        ValueError: a standard deviation is not positive, or a value is not finite.
    """
    sigma_1, sigma_2 = require.positive(sigma_1, "sigma_1"), require.positive(sigma_2, "sigma_2")
    mu_1, mu_2 = require.finite(mu_1, "mu_1"), require.finite(mu_2, "mu_2")
    log_ratio = 2 * torch.log(sigma_1 / sigma_2)          # ln σ₁²/σ₂²
    shift = ((mu_1 - mu_2) / sigma_2) ** 2                # (μ₁-μ₂)²/σ₂²
    return (torch.expm1(log_ratio) - log_ratio + shift) / 2


def kl_standard_normal_terms(mu: Float[Tensor, "*B K"], log_var: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
    r"""Each dimension's share of :func:`kl_standard_normal`: :math:`\frac12(\sigma_j^2+\mu_j^2-1-\ln\sigma_j^2)`.

    ``expm1(log_var) - log_var`` is :math:`\sigma^2-1-\ln\sigma^2` without losing the digits near :math:`\sigma=1`.
    """
    return (torch.expm1(log_var) - log_var + mu**2) / 2


def kl_standard_normal(mu: Float[Tensor, "*B K"], log_var: Float[Tensor, "*B K"]) -> Float[Tensor, "*B"]:
    r""":math:`\mathrm{KL}(\mathcal N(\mu,\operatorname{diag}\sigma^2)\Vert\mathcal N(0,I))`, summed over the K dimensions.

    Args:
        mu: means.
        log_var: :math:`\ln\sigma^2`; half of it is :math:`\ln\sigma`.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    require.same_shape(require.finite(mu, "mu"), require.finite(log_var, "log_var"), "mu and log_var")
    return kl_standard_normal_terms(mu, log_var).sum(-1)


def kl_multivariate_normal(mu_1: Float[Tensor, "*B D"], cov_1: Float[Tensor, "*B D D"], mu_2: Float[Tensor, "*B D"], cov_2: Float[Tensor, "*B D D"]) -> Float[Tensor, "*B"]:
    r""":math:`\frac12\big(\mathrm{tr}(\Sigma_2^{-1}\Sigma_1)+(\mu_2-\mu_1)^\top\Sigma_2^{-1}(\mu_2-\mu_1)-D+\ln\frac{|\Sigma_2|}{|\Sigma_1|}\big)`.

    Computed with Cholesky factors :math:`\Sigma=LL^\top`: no inverse, no determinant.

    Raises:
        ValueError: a covariance is not symmetric positive definite.
    """
    chol_1, chol_2 = cholesky(cov_1, "cov_1"), cholesky(cov_2, "cov_2")
    whitened = torch.linalg.solve_triangular(chol_2, chol_1, upper=False)                              # L₂⁻¹L₁
    shift = torch.linalg.solve_triangular(chol_2, (mu_2 - mu_1)[..., None], upper=False)[..., 0]       # L₂⁻¹(μ₂-μ₁)
    log_det = 2 * (chol_2.diagonal(dim1=-2, dim2=-1).log() - chol_1.diagonal(dim1=-2, dim2=-1).log()).sum(-1)
    return ((whitened**2).sum((-2, -1)) + (shift**2).sum(-1) - mu_1.shape[-1] + log_det) / 2


def cholesky(cov: Float[Tensor, "*B D D"], name: str) -> Float[Tensor, "*B D D"]:
    """The lower factor L of a covariance ``cov = L @ L.T``, or an error that names the argument."""
    factor, failed = torch.linalg.cholesky_ex(require.finite(cov, name))
    if bool(failed.any()) or not torch.allclose(cov, cov.mT, rtol=1e-4, atol=1e-6):
        raise ValueError(f"{name} must be symmetric and positive definite. Add a small multiple of the identity if it is a sample covariance.")
    return factor


def kl(q: Distribution, p: Distribution) -> Tensor:
    r""":math:`\mathrm{KL}(q\Vert p)` of two distributions of one family, by this module's closed forms.

    Args:
        q, p: both ``Normal``, ``Categorical``, ``MultivariateNormal``, or ``Independent`` of one of them.

    Raises:
        NotImplementedError: no closed form here for the pair; use :func:`kl_monte_carlo`.
    """
    if isinstance(q, Independent) and isinstance(p, Independent) and q.reinterpreted_batch_ndims == p.reinterpreted_batch_ndims:
        terms = kl(q.base_dist, p.base_dist)
        return terms.sum(tuple(range(-q.reinterpreted_batch_ndims, 0)))
    if isinstance(q, Normal) and isinstance(p, Normal):
        return kl_normal(*torch.broadcast_tensors(q.mean, q.stddev, p.mean, p.stddev))
    if isinstance(q, Categorical) and isinstance(p, Categorical):
        return kl_categorical(*torch.broadcast_tensors(q.probs, p.probs))
    if isinstance(q, MultivariateNormal) and isinstance(p, MultivariateNormal):
        return kl_multivariate_normal(q.mean, q.covariance_matrix, p.mean, p.covariance_matrix)
    raise NotImplementedError(f"no closed form for KL({type(q).__name__} ‖ {type(p).__name__}); estimate it with kl_monte_carlo.")


class Estimate(NamedTuple):
    """A Monte Carlo mean and its standard error, the standard deviation of the terms over √n."""

    mean: Tensor
    standard_error: Tensor


def kl_monte_carlo(q: Distribution, p: Distribution, n: int, estimator: str = "plain") -> Estimate:
    r"""Estimate :math:`\mathrm{KL}(q\Vert p)` from ``n`` draws of q.

    With :math:`r=p(x)/q(x)`, ``"plain"`` averages :math:`-\ln r`; ``"nonnegative"`` averages :math:`(r-1)-\ln r`, which has the
    same mean, since :math:`\mathbb E_q[r]=1` wherever q covers p, and no negative term (Schulman, 2020).

    Raises:
        ValueError: fewer than two draws, or an unknown estimator.
    """
    require.at_least(n, 2, "n")
    x = q.sample((n,))
    log_r = p.log_prob(x) - q.log_prob(x)
    if estimator == "plain":
        terms = -log_r
    elif estimator == "nonnegative":
        terms = torch.expm1(log_r) - log_r
    else:
        raise ValueError(f"estimator must be 'plain' or 'nonnegative', got {estimator!r}.")
    return Estimate(terms.mean(0), terms.std(0) / math.sqrt(n))


def fit_normal(log_target: Callable[[Tensor], Tensor], direction: str, start: tuple[float, float] = (0.0, 1.0), steps: int = 400, limit: float = 12.0) -> tuple[float, float]:
    r"""The one Gaussian nearest to a one-dimensional target, by gradient descent on a grid: ``(mu, sigma)``.

    Args:
        log_target: log-density of the target p, up to nothing: it must integrate to one on [-limit, limit].
        direction: ``"forward"`` minimises :math:`\mathrm{KL}(p\Vert q)`, ``"reverse"`` :math:`\mathrm{KL}(q\Vert p)`.
        start: mu and sigma to begin with; the reverse problem has several minima.
    """
    if direction not in ("forward", "reverse"):
        raise ValueError(f"direction must be 'forward' or 'reverse', got {direction!r}.")
    x = torch.linspace(-limit, limit, 2001, dtype=torch.float64)
    dx = x[1] - x[0]
    log_p = log_target(x)
    mu = torch.tensor(start[0], dtype=torch.float64, requires_grad=True)
    log_sigma = torch.tensor(math.log(start[1]), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([mu, log_sigma], lr=0.05)
    for _ in range(steps):
        log_q = Normal(mu, log_sigma.exp()).log_prob(x)
        here, there = (log_p, log_q) if direction == "forward" else (log_q, log_p)
        loss = (here.exp() * (here - there)).sum() * dx
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(mu), float(log_sigma.exp())


def kl_chain(p_xz: Float[Tensor, "X Z"], q_xz: Float[Tensor, "X Z"]) -> tuple[Tensor, Tensor, Tensor]:
    r"""KL of two joint tables and its two parts, ``(joint, marginal, conditional)``.

    :math:`\mathrm{KL}(p(x,z)\Vert q(x,z))=\mathrm{KL}(p(x)\Vert q(x))+\mathbb E_{p(x)}\mathrm{KL}(p(z\mid x)\Vert q(z\mid x))`
    """
    joint = kl_categorical(p_xz.flatten(), q_xz.flatten())
    p_x, q_x = p_xz.sum(1), q_xz.sum(1)
    rows = p_x > 0
    conditional = kl_categorical(p_xz[rows] / p_x[rows, None], q_xz[rows] / q_x[rows, None])
    return joint, kl_categorical(p_x, q_x), (p_x[rows] * conditional).sum()

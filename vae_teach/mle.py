"""Maximum likelihood: closed forms, gradient ascent, and EM for mixtures of Gaussians.

Log-likelihoods are sums over the data, in nats. Only gradient_ascent takes a mean.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, Normal

from vae_teach.common import require

# Axes: B problems, N data points, D dimensions, J components, T steps, P parameters.
Batch = Float[Tensor, "*B"]
Sample = Float[Tensor, "*B N"]
Points = Float[Tensor, "*B N D"]
Table = Float[Tensor, "*B N J"]
Theta = Float[Tensor, "P"]

#: Made-up lengths, in cm, of forty fish of two species that nobody wrote down.
FISH = (
    *(7.0, 7.6, 8.0, 8.3, 8.6, 8.8, 9.0, 9.2, 9.4, 9.5, 9.7, 9.8, 10.0, 10.1),
    *(10.3, 10.4, 10.6, 10.8, 11.0, 11.2, 11.5, 11.8, 12.2, 12.4, 12.9, 13.5, 14.2),
    *(14.7, 15.2, 15.6, 16.0, 16.3, 16.7, 17.0, 17.4, 17.8, 18.3, 18.8, 19.5, 20.6),
)


def log_likelihood(p: Distribution, x: Tensor) -> Float[Tensor, ""]:
    r""":math:`\ell=\sum_i\ln p(x_i)`, in nats, for N draws (mle-log-likelihood)."""
    require.at_least(x.numel(), 1, "the number of data points")
    return p.log_prob(require.finite(x, "x")).sum()


def bernoulli_mle(x: Sample) -> Batch:
    r""":math:`\hat\pi=\frac1N\sum_ix_i`; x holds only 0 and 1 (mle-bernoulli)."""
    require.at_least(x.shape[-1], 1, "the number of tosses")
    if not bool(((x == 0) | (x == 1)).all()):
        raise ValueError("x must hold only 0 and 1; threshold grey values first.")
    return x.mean(-1)


def categorical_mle(x: Int[Tensor, "N"], n: int) -> Float[Tensor, "n"]:
    r""":math:`\hat p_k=N_k/N` of ``n`` outcomes, numbered from 0 (mle-categorical)."""
    require.at_least(len(x), 1, "the number of outcomes in x")
    if int(x.min()) < 0 or int(x.max()) >= n:
        raise ValueError(f"outcomes must lie in 0 … {n - 1}; count from 0, or raise n.")
    return torch.bincount(x, minlength=n) / len(x)


def normal_mle(x: Sample) -> tuple[Batch, Batch]:
    r"""Mean and standard deviation under which x is most probable (mle-normal).

    The variance divides by N, and is too small by (N - 1)/N on average (mle-bias).

    Raises:
        ValueError: no data, or all values equal: no sigma > 0 is then the best.
    """
    require.at_least(require.finite(x, "x").shape[-1], 1, "the number of data points")
    mu = x.mean(-1)
    sigma = ((x - mu[..., None]) ** 2).mean(-1).sqrt()
    if bool((x == x[..., :1]).all(-1).any()):
        raise ValueError(
            "all values are equal: the likelihood grows without bound as sigma falls "
            "to 0. Collect more data, or fix sigma at the precision of x."
        )
    return mu, sigma


def gradient_ascent(
    log_p: Callable[[Theta], Tensor], start: Theta, lr: float = 0.5, steps: int = 100
) -> Float[Tensor, "T P"]:
    r"""The path of :math:`\theta\leftarrow\theta+\eta\,\nabla\frac1N\ell` (mle-ascent).

    Args:
        log_p: from theta, any real numbers, to the N log-probabilities of the data.
        lr: the step size, eta; too large a one is an error.
    """
    require.at_least(lr, 0, "lr"), require.at_least(steps, 1, "steps")
    path = [require.finite(start, "start").detach()]
    for step in range(steps):
        theta = path[-1].clone().requires_grad_()
        try:
            (slope,) = torch.autograd.grad(log_p(theta).mean(), theta)
            path.append(require.finite(path[-1] + lr * slope, "theta"))
        except ValueError as error:
            raise ValueError(f"lost at step {step}; take a smaller lr.") from error
    return torch.stack(path)


def loss_variance(n_pixels: int, average: bool, half: bool) -> float:
    r"""Variance of the Gaussian that a squared-error loss stands for (mle-reduction).

    Args:
        average: whether the loss averages over the D pixels, or sums.
        half: whether the factor ½ is there.
    """
    require.at_least(n_pixels, 1, "n_pixels")
    return (1.0 if half else 0.5) * (n_pixels if average else 1)


class Mixture(NamedTuple):
    """J Gaussians with independent dimensions: weights (J,), mu and sigma (J, D)."""

    weights: Tensor
    mu: Tensor
    sigma: Tensor


class Round(NamedTuple):
    """One round of EM: the responsibilities (N, J), the new mixture, the chain."""

    q: Tensor
    mixture: Mixture
    bound_e: Tensor  # after the E step: equals the log-likelihood before
    bound_m: Tensor  # after the M step
    log_likelihood: Tensor


def em_start(x: Points, mu: Float[Tensor, "*B J D"]) -> Mixture:
    """Equal weights, the given means, and for every component the data's own spread."""
    _check_points(x, mu)
    sigma = x.std(-2, correction=0)[..., None, :].expand(mu.shape)
    weights = torch.full_like(mu[..., 0], 1 / mu.shape[-2])
    return Mixture(weights, require.finite(mu, "mu"), require.positive(sigma, "spread"))


def log_joint(x: Points, mixture: Mixture) -> Table:
    r"""The table :math:`\ln w_j+\ln\mathcal N(x_i;\mu_j,\sigma_j^2)` (mle-mixture)."""
    _check_points(x, mixture.mu)
    weights = require.probabilities(mixture.weights, "weights")
    sigma = require.positive(mixture.sigma, "sigma")
    parts = Normal(mixture.mu[..., None, :, :], sigma[..., None, :, :])
    log_p = parts.log_prob(x[..., :, None, :]).sum(-1)
    return weights.log()[..., None, :] + log_p


def _check_points(x: Tensor, mu: Tensor) -> None:
    require.finite(x, "x")
    if x.ndim < 2 or x.shape[-1] != mu.shape[-1] or x.shape[-2] < 2:
        raise ValueError(
            f"x must be at least two points (N, D) with D = {mu.shape[-1]}, got shape "
            f"{tuple(x.shape)}. A plain list of numbers becomes one by x[:, None]."
        )


def mixture_log_likelihood(log_p: Table) -> Batch:
    r""":math:`\ell=\sum_i\ln\sum_j p(x_i,j)` from the table of :func:`log_joint`."""
    return log_p.logsumexp(-1).sum(-1)


def e_step(log_p: Table) -> Table:
    r"""Responsibilities :math:`q_i(j)=p(j\mid x_i)` from that table (mle-e-step)."""
    return log_p.softmax(-1)


def m_step(x: Points, q: Table, sigma_min: float = 0.0) -> Mixture:
    r"""The mixture that makes the bound largest for these q (mle-m-step, mle-floor).

    Args:
        sigma_min: the smallest standard deviation a component may take, as x.

    Raises:
        ValueError: a component without points, or collapsed while ``sigma_min`` is 0.
    """
    require.at_least(sigma_min, 0, "sigma_min"), require.probabilities(q, "q")
    count = q.sum(-2)[..., None]  # N_j
    if not bool((count > 0).all()):
        raise ValueError("a component has lost all points; start it nearer to them.")
    mu = q.mT @ x / count
    square = (x[..., :, None, :] - mu[..., None, :, :]) ** 2
    sigma = ((q[..., None] * square).sum(-3) / count).sqrt().clamp(min=sigma_min)
    if not bool((sigma > 1e-6 * x.std(-2, correction=0)[..., None, :]).all()):
        raise ValueError(
            "a component has collapsed onto one value, where the likelihood is "
            "unbounded. Give sigma_min, the precision of x, or another start."
        )
    return Mixture(count[..., 0] / x.shape[-2], mu, sigma)


def bound(q: Table, log_p: Table) -> Batch:
    r""":math:`\mathcal L=\sum_{i,j}q_i(j)\ln(p(x_i,j)/q_i(j))` (mle-bound)."""
    return (q * log_p + torch.special.entr(q)).sum((-2, -1))


def em(x: Points, start: Mixture, rounds: int, sigma_min: float = 0.0) -> list[Round]:
    """Rounds of an E step and an M step, with the values of the chain (mle-chain)."""
    require.at_least(rounds, 1, "rounds")
    log_p, history = log_joint(x, start), []
    for _ in range(rounds):
        q = e_step(log_p)
        mixture, bound_e = m_step(x, q, sigma_min), bound(q, log_p)
        log_p = log_joint(x, mixture)
        ends = bound(q, log_p), mixture_log_likelihood(log_p)
        history.append(Round(q, mixture, bound_e, *ends))
    return history

"""Markov chains: laws, stationary laws, mixing, sampling, AR(1) and Metropolis.

``P[i, j]`` is the probability of going from state i to state j. Rows sum to one,
and a law is a row: it multiplies from the left, ``pi @ P``. Times are in steps.
"""

from __future__ import annotations

import math
from typing import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vae_teach.common import require
from vae_teach.kl import Estimate, kl_normal

# Axes: S states, T times, n paths; "_" where a guard names a wrong size.
Matrix = Float[Tensor, "_ _"]
Law = Float[Tensor, "_"]
Paths = Int[Tensor, "n T"]
Values = Float[Tensor, "..."]


def transition(P: Matrix) -> Matrix:
    """``P`` in float64; a ValueError if it is no transition matrix (markov-rows)."""
    if P.shape[0] != P.shape[1] or P.numel() == 0:
        raise ValueError(f"P must be square and not empty, got {tuple(P.shape)}.")
    columns, rows = ((P.sum(axis) - 1).abs().max() for axis in (0, 1))
    if rows > 1e-5 > columns:
        raise ValueError("the columns of P sum to 1, its rows do not. Take P.T.")
    P = require.probabilities(P, "P").double()
    return P / P.sum(1, keepdim=True)


def _pair(pi: Law, P: Matrix) -> tuple[Tensor, Tensor]:
    pi, P = require.probabilities(pi, "pi").double(), transition(P)
    require.same_shape(pi, P[0], "pi and a row of P")
    return pi, P


def laws(pi: Law, P: Matrix, steps: int) -> Float[Tensor, "T S"]:
    r"""The laws :math:`\pi_0,\pi_0P,\pi_0P^2,\dots` up to ``steps`` (markov-step)."""
    pi, P = _pair(pi, P)
    rows = [pi]
    for _ in range(int(require.at_least(steps, 0, "steps"))):
        rows.append(rows[-1] @ P)
    return torch.stack(rows)


def total_variation(p: Values, q: Values) -> Values:
    r""":math:`\tfrac12\sum_i|p_i-q_i|` along the last axis, 0 to 1 (markov-tv)."""
    require.probabilities(p, "p"), require.probabilities(q, "q")
    require.same_shape(p, q, "p and q")
    return (p - q).abs().sum(-1) / 2


def stationary(P: Matrix) -> Law:
    r"""The law with :math:`\pi=\pi P`, an eigenvector of Pᵀ (markov-stationary).

    Raises:
        ValueError: there is more than one such law.
    """
    values, vectors = torch.linalg.eig(transition(P).mT)
    ones = (values - 1).abs() < 1e-10
    if int(ones.sum()) != 1:
        raise ValueError(
            f"P has {int(ones.sum())} independent stationary laws: it is reducible. "
            "Keep one closed set of states, or ask laws() where a start leads."
        )
    pi = vectors[:, ones][:, 0].abs()  # its entries have one sign, up to rounding
    return pi / pi.sum()


def power_iteration(pi: Law, P: Matrix, tolerance=1e-12, limit=10_000):
    """Step until the law moves by less than ``tolerance``: the law, and the steps."""
    pi, P = _pair(pi, P)
    for step in range(1, limit + 1):
        pi, before = pi @ P, pi
        if total_variation(pi, before) < tolerance:
            return pi, step
    raise ValueError(
        f"the law still moves after {limit} steps: the chain is periodic, or slow. "
        "The lazy chain (I + P) / 2 has the same stationary law and no period."
    )


def second_eigenvalue(P: Matrix) -> float:
    r"""The second largest modulus :math:`|\lambda_2|`; 0 for one state."""
    moduli = torch.linalg.eigvals(transition(P)).abs().sort(descending=True).values
    return float(moduli[1:2].sum())


def contraction(P: Matrix) -> float:
    """Dobrushin's coefficient: the largest distance of two rows (markov-dobrushin)."""
    P = transition(P)
    return float(max(total_variation(P, row.expand_as(P)).max() for row in P))


def period(P: Matrix) -> int:
    """The greatest common divisor of the lengths of all returns; 0 if reducible."""
    edges, common = (transition(P) > 0).double(), 0
    seen = walks = torch.eye(len(P), dtype=torch.float64)
    for length in range(1, 3 * len(P)):  # long enough to go by every cycle
        walks = ((walks @ edges) > 0).double()
        seen = seen + walks
        common = math.gcd(common, length) if walks[0, 0] else common
    return common if bool((seen > 0).all()) else 0


def sample(pi: Law, P: Matrix, steps: int, n: int, generator=None) -> Paths:
    """Ancestral sampling: ``n`` paths of ``steps`` steps and a start (markov-joint)."""
    pi, P = _pair(pi, P)
    path = [torch.multinomial(pi, n, replacement=True, generator=generator)]
    for _ in range(int(require.at_least(steps, 0, "steps"))):
        path.append(torch.multinomial(P[path[-1]], 1, generator=generator)[:, 0])
    return torch.stack(path, 1)


def log_joint(path: Paths, pi: Law, P: Matrix) -> Float[Tensor, "n"]:
    r""":math:`\ln p(x_{0:T})` of each path, in nats (markov-joint)."""
    pi, P = _pair(pi, P)
    if not 0 <= int(path.min()) <= int(path.max()) < len(P):
        raise ValueError(f"path must hold states from 0 to {len(P) - 1}.")
    return pi[path[:, 0]].log() + P[path[:, :-1], path[:, 1:]].log().sum(1)


def time_average(values: Float[Tensor, "T"], batches: int = 30) -> Estimate:
    """Mean along one path; its error from means of long batches (markov-batches)."""
    size = len(values) // int(require.at_least(batches, 2, "batches"))
    require.at_least(size, 1, "values per batch"), require.finite(values, "values")
    means = values[: size * batches].reshape(batches, size).mean(1)
    return Estimate(values.mean(), means.std() / math.sqrt(batches))


def autocorrelation_time(P: Matrix, f: Law) -> float:
    r"""Exact :math:`\tau_{\mathrm{int}}=1+2\sum_k\rho_k` of f in the stationary chain (markov-tau)."""
    P, pi = transition(P), stationary(P)
    f = require.finite(f, "f").double() - pi @ f.double()
    require.positive(pi @ f**2, "the variance of f")
    future = torch.linalg.solve(torch.eye(len(P)) - P + pi, P @ f)  # Pf + P²f + …
    return float(1 + 2 * (pi * f) @ future / (pi @ f**2))


def ar1(x_0: Values, noise: float, steps: int, generator=None) -> Values:
    r""":math:`x_t=\sqrt{1-\beta}\,x_{t-1}+\sqrt\beta\,\epsilon`, times first."""
    keep, path = math.sqrt(1 - _share(noise)), [require.finite(x_0, "x_0")]
    for _ in range(int(require.at_least(steps, 0, "steps"))):
        epsilon = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        path.append(keep * path[-1] + math.sqrt(noise) * epsilon)
    return torch.stack(path)


def _share(noise: float) -> float:
    if 0 < noise < 1:
        return noise
    raise ValueError(f"noise, the β of the chain, must lie in (0, 1), got {noise}.")


def ar1_law(x_0: Values, noise: float, t: int) -> tuple[Values, Values]:
    """Mean and standard deviation of x_t given x_0 (markov-ar-law)."""
    log_kept = require.at_least(t, 0, "t") * math.log1p(-_share(noise))
    mu = math.exp(log_kept / 2) * require.finite(x_0, "x_0")
    return mu, torch.full_like(mu, math.sqrt(-math.expm1(log_kept)))


def ar1_kl(x_0: Values, noise: float, t: int) -> Values:
    """KL in nats of x_t given x_0 to N(0, 1), t at least 1 (markov-ar-kl)."""
    mu, sigma = ar1_law(x_0, noise, require.at_least(t, 1, "t"))
    return kl_normal(mu, sigma, torch.zeros_like(mu), torch.ones_like(mu))


def metropolis(
    log_target: Callable, x_0: Values, width: float, steps: int, generator=None
) -> Values:
    """Random-walk Metropolis, a chain for each element of x_0; times first.

    Moves have deviation ``width``; ``log_target`` may lack a constant (markov-accept).
    """
    require.positive(torch.tensor(float(width)), "width")
    x, log_p, path = x_0, require.finite(log_target(x_0), "log_target(x_0)"), [x_0]
    for _ in range(int(require.at_least(steps, 1, "steps"))):
        move = x + width * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        log_move = log_target(move)
        u = torch.rand(x.shape, generator=generator, dtype=x.dtype)
        accept = u.log() < log_move - log_p
        x, log_p = move.where(accept, x), log_move.where(accept, log_p)
        path.append(x)
    return torch.stack(path)


def metropolis_matrix(target: Law, proposal: Matrix) -> Matrix:
    """Metropolis on finitely many states, as a matrix (markov-metropolis)."""
    target, proposal = _pair(target, proposal)
    if not torch.allclose(proposal, proposal.mT):
        raise ValueError("proposal must be symmetric: as likely there as back.")
    P = proposal * (target / require.positive(target, "target")[:, None]).clamp(max=1)
    return P + torch.diag(1 - P.sum(1))

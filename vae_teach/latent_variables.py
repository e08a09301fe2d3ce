r"""Latent variables: evidence and posterior, exact in the linear-Gaussian model, and three ways to fit it.

Axes: N points, D observed and K latent dimensions. Log-densities in nats.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vae_teach.common import require

Points = Float[Tensor, "N D"]
Values = Float[Tensor, "N"]
LOG_2PI = math.log(2 * math.pi)


class LinearGaussian:
    r"""Probabilistic PCA, the reference model (latent-variables-ppca).

    p(z) = N(0, I_K), p(x|z) = N(W z + b, sigma² I_D). Evidence and posterior are exact. Any of
    the three may require gradients.

    Args:
        W: loadings, ``(D, K)``, in the unit of x for one unit of z.
        b: mean of x, ``(D,)``.
        sigma: standard deviation of the noise, not its variance.

    Raises:
        ValueError: shapes that do not fit, a value that is not finite, sigma not positive.
    """

    def __init__(self, W: Tensor, b: Tensor, sigma: float | Float[Tensor, ""]):
        if W.ndim != 2 or 0 in W.shape or b.shape != W.shape[:1]:
            raise ValueError(
                "W must be (D, K) and b (D,), with the same D and none of them zero, "
                f"got {tuple(W.shape)} and {tuple(b.shape)}."
            )
        self.W, self.b = require.finite(W, "W"), require.finite(b, "b")
        require.positive(torch.as_tensor(sigma), "sigma")
        self.sigma = sigma

    @property
    def p_z(self) -> Distribution:
        """The prior N(0, I), event ``(K,)``."""
        zeros = self.W.new_zeros(self.W.shape[1])
        return Independent(Normal(zeros, zeros + 1), 1)

    def p_x_given_z(self, z: Float[Tensor, "*M K"]) -> Distribution:
        """The likelihood, batch shape of ``z`` without K, event ``(D,)``."""
        _width(z, self.W.shape[1], "z")
        return Independent(Normal(z @ self.W.T + self.b, self.sigma), 1)

    def log_joint(self, x: Float[Tensor, "*B D"], z: Float[Tensor, "*M K"]) -> Tensor:
        """ln p(x, z) = ln p(z) + ln p(x|z), broadcast over the axes before the last."""
        _width(x, self.W.shape[0], "x")
        return self.p_z.log_prob(z) + self.p_x_given_z(z).log_prob(x)

    @property
    def precision(self) -> Float[Tensor, "K K"]:
        r""":math:`\Lambda=I+W^\top W/\sigma^2`, inverse covariance of each posterior."""
        eye = torch.eye(self.W.shape[1], dtype=self.W.dtype, device=self.W.device)
        return eye + self.W.T @ self.W / self.sigma**2

    def posterior(self, x: Float[Tensor, "*N D"]) -> MultivariateNormal:
        r"""p(z|x) = N(Λ⁻¹Wᵀ(x-b)/σ², Λ⁻¹) (latent-variables-posterior), batch ``(N,)``, event ``(K,)``.

        Raises:
            ValueError: x has not D columns, or is not finite.
        """
        _width(x, self.W.shape[0], "x")
        factor = torch.linalg.cholesky(self.precision)
        cov = torch.cholesky_inverse(factor)
        mean = torch.cholesky_solve(self.W.T @ (x - self.b)[..., None], factor)[..., 0]
        return MultivariateNormal(mean / self.sigma**2, cov)

    def log_evidence(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N"]:
        r"""ln p(x) = ln p(x, z) - ln p(z|x), the same at every z (latent-variables-evidence).

        At the posterior's mean, where nothing cancels: K×K matrices only, never D×D.
        """
        posterior = self.posterior(x)
        return self.log_joint(x, posterior.mean) - posterior.log_prob(posterior.mean)

    def sample(self, n: int) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n K"]]:
        """``n`` pairs (x, z), ancestrally: first z from the prior, then x from p(x|z)."""
        z = self.p_z.sample((int(require.at_least(n, 1, "n")),))
        return self.p_x_given_z(z).sample(), z


def _width(values: Tensor, width: int, name: str) -> Tensor:
    if values.ndim == 0 or values.shape[-1] != width:
        raise ValueError(
            f"{name} must have {width} values on its last axis, got shape {tuple(values.shape)}."
        )
    return require.finite(values, name)


class Evidence(NamedTuple):
    """A Monte Carlo estimate of ln p(x), each field of shape ``(N,)``."""

    log_evidence: Tensor
    standard_error: Tensor
    effective_draws: Tensor


def naive_evidence(
    model: LinearGaussian, x: Points, n: int, at_once: int = 2**22
) -> Evidence:
    r"""ln of the average of p(x|z_i) over ``n`` draws of the prior (latent-variables-naive).

    The standard error is the average's relative one (the delta method); it can be trusted only
    while the effective number of draws, (Σw)²/Σw², is large. Any model with ``p_z`` and
    ``p_x_given_z`` will do.

    Args:
        at_once: numbers held in memory at a time; n may be as large as patience.

    Raises:
        ValueError: fewer than two draws, x that is no ``(N, D)`` or not finite.
    """
    n = int(require.at_least(n, 2, "n"))
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"x must be (N, D) with N ≥ 1, got {tuple(x.shape)}. One point needs x[None].")
    require.finite(x, "x")
    chunk = max(1, at_once // x.numel())
    sums = []  # for each chunk: ln Σw and ln Σw², each (N,)
    with torch.no_grad():
        for start in range(0, n, chunk):
            z = model.p_z.sample((min(chunk, n - start), 1))
            log_w = model.p_x_given_z(z).log_prob(x)
            sums.append(torch.stack([(k * log_w).logsumexp(0) for k in (1, 2)]))
    log_sum, log_squares = torch.stack(sums).logsumexp(0)
    effective = (2 * log_sum - log_squares).exp()
    error = ((n / effective - 1).clamp(min=0) / (n - 1)).sqrt()
    return Evidence(log_sum - math.log(n), error, effective)

r"""Latent variables: the linear-Gaussian model, exactly, and three ways to fit it.

Axes: N points, D observed and K latent dimensions; densities in nats. Every function
raises ``ValueError`` for values not finite, shapes that do not fit, or too few draws;
further errors are named where they are. Source: Tipping and Bishop (1999).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vae_teach.common import require

Points, Codes = Float[Tensor, "N D"], Float[Tensor, "N K"]
Values, Cov = Float[Tensor, "N"], Float[Tensor, "*N K K"]


class LinearGaussian:
    r"""Probabilistic PCA, the reference model of Part II (latent-variables-model).

    p(z) = N(0, I_K), p(x|z) = N(W z + b, sigma² I_D). All three may need gradients.

    Args:
        W: loadings, ``(D, K)``, in the unit of x for one unit of z.
        b: mean of x, ``(D,)``.
        sigma: standard deviation of the noise, not its variance.
    """

    def __init__(self, W: Tensor, b: Tensor, sigma: float | Float[Tensor, ""]):
        if W.ndim != 2 or 0 in W.shape or b.shape != W.shape[:1]:
            got = f"{tuple(W.shape)} and {tuple(b.shape)}"
            raise ValueError(f"W must be (D, K) and b (D,), D and K ≥ 1, not {got}.")
        require.positive(torch.as_tensor(sigma), "sigma")
        require.finite(W, "W"), require.finite(b, "b")
        self.W, self.b, self.sigma = W, b, sigma

    @property
    def p_z(self) -> Distribution:
        """The prior N(0, I), event ``(K,)``."""
        zeros = self.W.new_zeros(self.W.shape[1])
        return Independent(Normal(zeros, zeros + 1, validate_args=False), 1)

    def p_x_given_z(self, z: Float[Tensor, "*M K"]) -> Distribution:
        """The likelihood, batch shape of ``z`` without K, event ``(D,)``."""
        _width(z, self.W.shape[1], "z")
        mean = z @ self.W.T + self.b
        return Independent(Normal(mean, self.sigma, validate_args=False), 1)

    def log_joint(self, x: Float[Tensor, "*B D"], z: Float[Tensor, "*M K"]) -> Tensor:
        """ln p(z) + ln p(x|z), broadcast over the axes before the last."""
        _width(x, self.W.shape[0], "x")
        return self.p_z.log_prob(z) + self.p_x_given_z(z).log_prob(x)

    @property
    def precision(self) -> Float[Tensor, "K K"]:
        r""":math:`\Lambda=I+W^\top W/\sigma^2`, the inverse of each posterior's cov."""
        eye = torch.eye(self.W.shape[1], dtype=self.W.dtype, device=self.W.device)
        return eye + self.W.T @ self.W / self.sigma**2

    def posterior(self, x: Float[Tensor, "*N D"]) -> MultivariateNormal:
        """p(z|x), batch ``(N,)``, event ``(K,)`` (latent-variables-posterior)."""
        _width(x, self.W.shape[0], "x")
        factor = torch.linalg.cholesky(self.precision)
        pull = (x - self.b) @ self.W / self.sigma**2
        mean = torch.cholesky_solve(pull[..., None], factor)[..., 0]
        cov = torch.cholesky_inverse(factor)
        return MultivariateNormal(mean, cov, validate_args=False)

    def log_evidence(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N"]:
        """ln p(x) = ln p(x, z) - ln p(z|x) at any z (latent-variables-candidate).

        Here z is the posterior's mean, where nothing cancels. Never a D×D matrix.
        """
        p_z_given_x = self.posterior(x)
        z = p_z_given_x.mean
        return self.log_joint(x, z) - p_z_given_x.log_prob(z)

    def sample(self, n: int) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n K"]]:
        """``n`` pairs (x, z): first z from the prior, then x from p(x|z)."""
        z = self.p_z.sample((int(require.at_least(n, 1, "n")),))
        return self.p_x_given_z(z).sample(), z


def _width(values: Tensor, width: int, name: str) -> None:
    if values.ndim == 0 or values.shape[-1] != width:
        raise ValueError(f"{name} must have {width} values on its last axis.")
    require.finite(values, name)


def _points(x: Tensor) -> Tensor:
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"x must be points (N, D), not {tuple(x.shape)}: x[None]?")
    return require.finite(x, "x")


class Evidence(NamedTuple):
    """A Monte Carlo estimate of ln p(x), each field of shape ``(N,)``."""

    log_evidence: Tensor
    standard_error: Tensor
    effective_draws: Tensor


def naive_evidence(
    model: LinearGaussian, x: Points, n: int, at_once: int = 2**22
) -> Evidence:
    """ln of the mean of w = p(x|z) over ``n`` prior draws (latent-variables-naive).

    The standard error is the mean's relative one (delta method). Trust it only while
    the effective number of draws, (Σw)²/Σw², is large (latent-variables-effective).
    At most ``at_once`` numbers are held in memory at a time.
    """
    n, sums = int(require.at_least(n, 2, "n")), []
    chunk = max(1, at_once // _points(x).numel())
    with torch.no_grad():
        for start in range(0, n, chunk):
            z = model.p_z.sample((min(chunk, n - start), 1))
            log_w = model.p_x_given_z(z).log_prob(x)
            sums.append(torch.stack([(k * log_w).logsumexp(0) for k in (1, 2)]))
    log_sum, log_squares = torch.stack(sums).logsumexp(0)  # ln Σw, ln Σw²
    effective = (2 * log_sum - log_squares).exp()
    error = ((n / effective - 1).clamp(min=0) / (n - 1)).sqrt()
    return Evidence(log_sum - math.log(n), error, effective)


def relative_variance(model: LinearGaussian, x: Points) -> Values:
    r"""Var(p(x|z))/p(x)² under the prior, exactly (latent-variables-variance)."""
    sharper = LinearGaussian(model.W, model.b, model.sigma / math.sqrt(2))
    constant = -len(model.b) / 2 * math.log(4 * math.pi * float(model.sigma) ** 2)
    square = constant + sharper.log_evidence(_points(x))
    return torch.expm1(square - 2 * model.log_evidence(x))


def grid_evidence(
    model: LinearGaussian, x: Points, points: int, limit: float = 8.0
) -> Values:
    """ln p(x) by a sum over a grid in [-limit, limit]^K (latent-variables-grid).

    ``points`` in each dimension make points^K nodes; above 2²² it is refused.
    """
    points, width = int(require.at_least(points, 2, "points")), model.W.shape[1]
    if points**width > 2**22:
        raise ValueError(f"{points}^{width} nodes are too many. Do not fill the space.")
    axis = torch.linspace(-limit, limit, points, dtype=model.W.dtype)
    nodes = torch.cartesian_prod(*[axis] * width).reshape(-1, 1, width)
    chunks = nodes.split(max(1, 2**22 // _points(x).numel()))
    sums = torch.stack([model.log_joint(x, z).logsumexp(0) for z in chunks])
    return sums.logsumexp(0) + width * torch.log(axis[1] - axis[0])


def ring(z: Float[Tensor, "n 2"], inner: float, outer: float) -> Float[Tensor, "n 2"]:
    """N(0, I) moved to the uniform law of a ring (latent-variables-ring)."""
    if not 0 <= inner < outer < math.inf:
        raise ValueError(f"0 ≤ inner < outer is needed, got {inner} and {outer}.")
    length = require.finite(z, "z").norm(dim=-1, keepdim=True)
    share = -torch.expm1(-(length**2) / 2)  # of the plane's mass that lies further in
    return (inner**2 + share * (outer**2 - inner**2)).sqrt() * z / length


def ppca(x: Points, n_latent: int) -> LinearGaussian:
    """The maximum-likelihood model, from eigenvectors (latent-variables-ml)."""
    b, most = _points(x).mean(0), min(x.shape[1], len(x)) - 1
    if not 1 <= n_latent <= most:
        raise ValueError(f"n_latent must be from 1 to {most}, got {n_latent}.")
    values, vectors = torch.linalg.eigh((x - b).T @ (x - b) / len(x))
    values, vectors = values.flip(0), vectors.flip(1)  # largest first
    noise = values[n_latent:].mean()
    if not float(noise) > 1e-12 * float(values[0]):
        raise ValueError(f"x fits into {n_latent} dimensions: no noise is left.")
    W = vectors[:, :n_latent] * (values[:n_latent] - noise).clamp(min=0).sqrt()
    return LinearGaussian(W, b, float(noise.sqrt()))


def m_step(x: Points, mu: Codes, cov: Float[Tensor, "K K"]) -> LinearGaussian:
    """The best model for q_i = N(mu_i, cov) (latent-variables-m-step)."""
    codes, about = mu - mu.mean(0), _points(x) - x.mean(0)
    W = torch.linalg.solve(codes.T @ codes + len(x) * cov, codes.T @ about).T
    left = ((about - codes @ W.T) ** 2).sum(1).mean()  # what no code explains
    spread = torch.trace(W @ cov @ W.T)  # what the doubt about the codes adds
    sigma = float(((left + spread) / x.shape[1]).sqrt())
    return LinearGaussian(W, x.mean(0) - W @ mu.mean(0), sigma)


def em(x: Points, start: LinearGaussian, rounds: int) -> list[LinearGaussian]:
    """The models after 0, 1, …, ``rounds`` rounds of EM."""
    models = [start]
    for _ in range(int(require.at_least(rounds, 1, "rounds"))):
        q = models[-1].posterior(_points(x))  # E step
        models.append(m_step(x, q.mean, q.covariance_matrix[0]))
    return models


def bound(model: LinearGaussian, x: Points, mu: Codes, cov: Cov) -> Values:
    """Lower bound on ln p(x_i) by q_i = N(mu_i, cov_i) (latent-variables-bound).

    Args:
        cov: ``(K, K)``, the same for all points, or ``(N, K, K)``.
    """
    at_mean = model.log_joint(_points(x), mu)
    spread = (model.precision * cov).sum((-2, -1)) / 2  # tr(Λ cov)/2
    factor = require.cholesky(cov, "cov").diagonal(dim1=-2, dim2=-1)
    entropy = mu.shape[1] / 2 * (1 + math.log(2 * math.pi)) + factor.log().sum(-1)
    return at_mean - spread + entropy


def mean_field(model: LinearGaussian, x: Points) -> Distribution:
    """The best q with independent dimensions (latent-variables-mean-field)."""
    mean = model.posterior(_points(x)).mean
    sigma = model.precision.diagonal().rsqrt()
    return Independent(Normal(mean, sigma.expand_as(mean)), 1)


def gaps(model: LinearGaussian, x: Points, mu: Codes, log_var: Codes):
    """The family's gap, and the amortisation gap of q = N(mu, diag exp(log_var)), both
    ``(N,)`` and in nats (latent-variables-gaps)."""
    best = mean_field(model, x)
    ceiling = bound(model, x, best.mean, torch.diag_embed(best.variance))
    mine = bound(model, x, mu, torch.diag_embed(log_var.exp()))
    return model.log_evidence(x) - ceiling, ceiling - mine


class PerPoint(nn.Module):
    """One q for each point: a table of mu_i and log_var_i that does not look at x."""

    def __init__(self, n: int, n_latent: int, dtype: torch.dtype = torch.float64):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(n, 2 * n_latent, dtype=dtype))

    def forward(self, x: Points) -> Float[Tensor, "N C"]:
        """The table, mu before log_var."""
        return self.table


def fit(
    x: Points, start: LinearGaussian, encoder: nn.Module, rounds: int,
    lr: float = 0.02, learn_model: bool = True,
) -> tuple[LinearGaussian, Float[Tensor, "T"], Float[Tensor, "T"]]:
    """In each round a step on q, then one on θ (latent-variables-alternate). Returns
    the last model, and the mean bound and mean ln p(x) before each round.

    Args:
        encoder: from x to ``(N, 2K)``, mu before log_var: :class:`PerPoint` (weights λ)
            or any network (weights φ). It is trained in place.
        lr: Adam's; it falls to zero over the rounds, so that the end is steady.
        learn_model: False trains q alone, for the model ``start``.
    """
    rounds = int(require.at_least(rounds, 1, "rounds"))
    theta = [start.W, start.b, torch.as_tensor(start.sigma, dtype=x.dtype).log()]
    theta = [t.detach().clone().requires_grad_() for t in theta]
    turns = [encoder.parameters(), theta] if learn_model else [encoder.parameters()]
    steps = [torch.optim.Adam(weights, lr=lr) for weights in turns]
    fading = [torch.optim.lr_scheduler.CosineAnnealingLR(s, rounds) for s in steps]
    history = []
    for _ in range(rounds):
        for step, fade in zip(steps, fading):
            model = LinearGaussian(theta[0], theta[1], theta[2].exp())
            mu, log_var = encoder(_points(x)).chunk(2, -1)
            value = bound(model, x, mu, torch.diag_embed(log_var.exp())).mean()
            if step is steps[0]:
                history.append((value.item(), model.log_evidence(x).mean().item()))
            step.zero_grad(), (-value).backward(), step.step(), fade.step()
    W, b, log_sigma = (t.detach() for t in theta)
    values = torch.tensor(history, dtype=x.dtype).T
    return LinearGaussian(W, b, float(log_sigma.exp())), values[0], values[1]

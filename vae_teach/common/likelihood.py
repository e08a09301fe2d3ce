r"""Likelihoods that fit images: from what a decoder puts out to a distribution :math:`p_\theta(x\mid z)`.

A decoder returns ``out`` of shape ``(..., P * C, H, W)``: P numbers for each of the C·H·W pixels. A likelihood
turns them into a distribution whose event is one image ``(C, H, W)`` in [0, 1], so ``log_prob`` is one number
an image, in nats, with every constant kept. Arguments are checked once, by the model, not at each call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import ContinuousBernoulli, Distribution, Independent, Normal, constraints

#: Smallest log-variance a learned Gaussian may reach. Without a floor a constant pixel has an infinite density.
LOG_VAR_FLOOR = -6.0


@dataclass(frozen=True)
class Likelihood:
    """A named likelihood: ``n_params`` numbers a pixel, ``distribution(out)``, and whether its values are densities.

    Log-densities (of continuous x) and log-probabilities (of discrete x) are not comparable.
    """

    name: str
    n_params: int
    distribution: Callable[[Tensor], Distribution]
    is_density: bool


def bernoulli() -> Likelihood:
    r""":math:`\ln p(x\mid z)=\sum_i x_i\ln\pi_i+(1-x_i)\ln(1-\pi_i)`, for x in {0, 1}.

    On grey x in (0, 1) the same expression is a cross-entropy, a useful loss, but no likelihood of anything.
    """
    return Likelihood("bernoulli", 1, BinaryImages, is_density=False)


class BinaryImages(Distribution):
    r"""Independent Bernoulli pixels, with :math:`\ln p=\sum_i x_ia_i-\ln(1+e^{a_i})` in two passes over them."""

    arg_constraints: dict = {}
    support = constraints.independent(constraints.boolean, 3)

    def __init__(self, logits: Tensor):
        self.logits = logits
        super().__init__(logits.shape[:-3], logits.shape[-3:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        nats = F.binary_cross_entropy_with_logits(self.logits, value.expand_as(self.logits), reduction="none")
        return -nats.sum((-3, -2, -1))


def continuous_bernoulli() -> Likelihood:
    r""":math:`p(x\mid\lambda)=C(\lambda)\,\lambda^x(1-\lambda)^{1-x}` on [0, 1]: the Bernoulli form made a density (Loaiza-Ganem and Cunningham, 2019)."""
    return Likelihood("continuous_bernoulli", 1, lambda out: Independent(ContinuousBernoulli(logits=out, validate_args=False), 3), is_density=True)


def gaussian(sigma: float) -> Likelihood:
    r""":math:`\mathcal N(x;\mu_{\theta,z},\sigma^2I)` with one fixed standard deviation: squared error divided by :math:`2\sigma^2`, plus a constant."""
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be a positive standard deviation in pixel units, got {sigma!r}.")
    return Likelihood("gaussian", 1, lambda out: Independent(Normal(torch.sigmoid(out), sigma, validate_args=False), 3), is_density=True)


def gaussian_learned() -> Likelihood:
    r""":math:`\mathcal N(x;\mu_{\theta,z},\operatorname{diag}\sigma^2_{\theta,z})`: the decoder also gives each pixel its log-variance, at least :data:`LOG_VAR_FLOOR`."""

    def distribution(out: Tensor) -> Distribution:
        mean, log_var = out.chunk(2, dim=-3)
        log_var = LOG_VAR_FLOOR + F.softplus(log_var - LOG_VAR_FLOOR)
        return Independent(Normal(torch.sigmoid(mean), torch.exp(log_var / 2), validate_args=False), 3)

    return Likelihood("gaussian_learned", 2, distribution, is_density=True)


def discretized_logistic() -> Likelihood:
    """Probability of each of the 256 grey levels under a logistic law cut into bins (:class:`DiscretizedLogistic`)."""

    def distribution(out: Tensor) -> Distribution:
        loc, log_scale = out.chunk(2, dim=-3)
        # At 7 all inner levels are equally probable already, at -7 the law is narrower than one; far beyond, exp overflows.
        return Independent(DiscretizedLogistic(torch.sigmoid(loc), log_scale.clamp(-7.0, 7.0)), 3)

    return Likelihood("discretized_logistic", 2, distribution, is_density=False)


class DiscretizedLogistic(Distribution):
    r"""A logistic law on [0, 1] cut into 256 bins, one a grey level (Salimans et al., 2017).

    With bin edges :math:`x\pm\frac1{510}`, :math:`P(x)=\sigma(b)-\sigma(a)`, where
    :math:`a,b=(x\mp\frac1{510}-\mu)/s`; the first and the last bin reach to infinity.
    """

    arg_constraints: dict = {}
    support = constraints.unit_interval

    def __init__(self, loc: Tensor, log_scale: Tensor):
        self.loc, self.log_scale = loc, log_scale
        super().__init__(torch.broadcast_shapes(loc.shape, log_scale.shape), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return mean_of_levels(lambda edge: torch.sigmoid((self.loc - edge) * torch.exp(-self.log_scale)))

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        with torch.no_grad():
            u = torch.rand(self._extended_shape(sample_shape), device=self.loc.device).clamp(1e-6, 1 - 1e-6)
            x = self.loc + self.log_scale.exp() * torch.logit(u)
            return (x.clamp(0, 1) * 255).round() / 255

    def log_prob(self, value: Tensor) -> Tensor:
        inv_scale = torch.exp(-self.log_scale)
        upper = (value - self.loc + 1 / 510) * inv_scale
        lower = (value - self.loc - 1 / 510) * inv_scale
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - e^(a-b)): no difference of nearly equal numbers.
        log_width = torch.log(-torch.expm1(-inv_scale / 255))
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + log_width
        return torch.where(value < 1 / 510, F.logsigmoid(upper), torch.where(value > 1 - 1 / 510, F.logsigmoid(-lower), inside))


def mean_of_levels(above: Callable[[float], Tensor]) -> Tensor:
    r"""The mean of a law on the grey levels :math:`0,\frac1{255},\dots,1`, from ``above(t)``, its probability of a level above t.

    A level is the sum of the steps below it, so :math:`\mathbb E[X]=\frac1{255}\sum_{k=0}^{254}P(X>(k+\frac12)/255)`.
    """
    return sum(above((k + 0.5) / 255) for k in range(255)) / 255


#: Every likelihood by name; ``gaussian`` takes ``sigma``.
LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {
    f.__name__: f for f in (bernoulli, continuous_bernoulli, gaussian, gaussian_learned, discretized_logistic)
}

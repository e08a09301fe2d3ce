"""Likelihoods: proper, with every constant, against SciPy, quadrature and direct sums."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from vae_teach.common import likelihood
from vae_teach.fashion_mnist import binned_gaussian

LEVELS = torch.arange(256, dtype=torch.float64) / 255


def pixel(*params):
    """A decoder's output for one pixel."""
    return torch.tensor(params, dtype=torch.float64).reshape(1, len(params), 1, 1)


def one(x):
    return torch.tensor(float(x), dtype=torch.float64).reshape(1, 1, 1, 1)


@given(st.floats(-6, 6), st.floats(-7, 2))
def test_discretized_logistic_sums_to_one_and_agrees_with_differences(loc, log_scale):
    law = likelihood.discretized_logistic().distribution(pixel(loc, log_scale))
    p = torch.stack([law.log_prob(one(x)) for x in LEVELS]).exp()[:, 0]
    assert float(p.sum()) == pytest.approx(1, abs=1e-9)
    logistic = stats.logistic(1 / (1 + math.exp(-loc)), math.exp(log_scale))
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
    direct = np.diff(logistic.cdf(edges))
    np.testing.assert_allclose(p.numpy(), direct, atol=1e-12, rtol=1e-6)


@given(st.floats(-200, 200, width=32), st.floats(-200, 200, width=32), st.integers(0, 255))
def test_discretized_logistic_and_its_gradients_stay_finite_far_out(loc, log_scale, level):
    out = torch.tensor([loc, log_scale]).reshape(1, 2, 1, 1).requires_grad_()
    value = likelihood.discretized_logistic().distribution(out).log_prob(torch.full((1, 1, 1, 1), level / 255))
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(out.grad).all()
    assert value <= 0


def test_discretized_logistic_draws_what_it_says():
    """Chi-square over the levels; false-alarm rate 1e-6."""
    torch.manual_seed(0)
    law = likelihood.discretized_logistic().distribution(pixel(0.3, -2.5))
    draws = (law.sample((20_000,)).flatten() * 255).round().long()
    p = torch.stack([law.log_prob(one(x)) for x in LEVELS]).exp()[:, 0].numpy()
    counts = np.bincount(draws.numpy(), minlength=256)
    big = p * len(draws) >= 5
    observed, wanted = np.append(counts[big], counts[~big].sum()), np.append(p[big], p[~big].sum()) * len(draws)
    assert stats.chisquare(observed, wanted).pvalue > 1e-6


@given(st.floats(-6, 6), st.floats(0.01, 3), st.floats(0, 1))
def test_gaussian_is_scipys(logit, sigma, x):
    law = likelihood.gaussian(sigma).distribution(pixel(logit))
    assert float(law.log_prob(one(x))) == pytest.approx(stats.norm(1 / (1 + math.exp(-logit)), sigma).logpdf(x), rel=1e-9, abs=1e-9)


@given(st.floats(-6, 6), st.floats(-50, 5), st.floats(0, 1))
def test_learned_gaussian_has_a_floor(logit, raw, x):
    law = likelihood.gaussian_learned().distribution(pixel(logit, raw))
    floor = likelihood.LOG_VAR_FLOOR
    log_var = floor + math.log1p(math.exp(raw - floor))
    wanted = stats.norm(1 / (1 + math.exp(-logit)), math.exp(log_var / 2)).logpdf(x)
    assert float(law.log_prob(one(x))) == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert float(law.log_prob(one(x))) <= -0.5 * floor


@pytest.mark.parametrize("logit", [-4.0, -0.7, 0.0, 1e-3, 2.5])
def test_continuous_bernoulli_integrates_to_one(logit):
    law = likelihood.continuous_bernoulli().distribution(pixel(logit))
    total, _ = integrate.quad(lambda x: math.exp(law.log_prob(one(x))), 0, 1)
    assert total == pytest.approx(1, abs=1e-5)


def test_bernoulli_is_cross_entropy_and_on_bits_a_probability():
    torch.manual_seed(0)
    logits, x = torch.randn(5, 1, 4, 4), torch.rand(5, 1, 4, 4)
    law = likelihood.bernoulli().distribution(logits)
    cross = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
    torch.testing.assert_close(law.log_prob(x), -cross)
    single = likelihood.bernoulli().distribution(pixel(0.4))
    assert sum(math.exp(single.log_prob(one(x))) for x in (0, 1)) == pytest.approx(1)


@pytest.mark.parametrize("name", likelihood.LIKELIHOODS)
def test_shapes_means_and_samples(name):
    """The sampled mean lies within six standard errors of the mean.

    Six standard errors are passed by chance in 2e-9 of trials; with 18 pixels and 5 likelihoods, false-alarm rate 2e-7.
    """
    torch.manual_seed(0)
    made = likelihood.LIKELIHOODS[name](**({"sigma": 0.1} if name == "gaussian" else {}))
    out = torch.randn(2, made.n_params, 3, 3)
    if made.n_params == 2:
        out[:, 1] = -4.0
    law = made.distribution(out)
    assert made.name == name
    assert law.log_prob(torch.full((2, 1, 3, 3), 1.0)).shape == (2,)
    assert law.mean.shape == (2, 1, 3, 3)
    draws = law.sample((4000,))
    error = (draws.mean(0) - law.mean).abs()
    assert (error < 6 * draws.std(0) / math.sqrt(4000)).all()


@pytest.mark.parametrize("logit", [-4.0, 0.3, 5.0])
@pytest.mark.parametrize("name", ["discretized_logistic", "binned_gaussian"])
def test_the_mean_of_a_law_on_grey_levels_is_the_sum_over_them(name, logit):
    """At the edges of the range it is not the place of the bell."""
    made = likelihood.discretized_logistic() if name == "discretized_logistic" else binned_gaussian(0.2)
    out = pixel(*[logit, -2.0][: made.n_params])
    law, levels = made.distribution(out), torch.linspace(0, 1, 256, dtype=out.dtype)
    by_sum = sum(level * law.log_prob(one(float(level))).exp() for level in levels)
    assert float(law.mean) == pytest.approx(float(by_sum), abs=1e-6)
    assert abs(logit) < 1 or abs(float(law.mean) - 1 / (1 + math.exp(-logit))) > 0.01


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_gaussian_needs_a_width(sigma):
    with pytest.raises(ValueError, match="sigma must be a positive"):
        likelihood.gaussian(sigma)

"""Sampling and judging: evidence against exact models and quadrature, walks against geometry, distances against SciPy and by optimisation.

Randomised tests use fixed seeds; each states its false-alarm rate, at most 1e-7: right code with another seed would fail that often.
"""

import importlib.util
import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy import integrate, stats
from torch import nn
from torch.distributions import Independent, Normal

from vae_teach import kl, sampling, vae
from vae_teach.common import checkpoint, data, device, likelihood, living, runs

ROOT = Path(__file__).resolve().parent.parent
F64 = torch.float64
RARE = 1e-7  # false-alarm rate of one test on random draws
SIX = 6.0  # standard errors: 2e-9

seeds = st.integers(0, 2**31 - 1)


def linear_vae(seed=0, latent=2, sigma=0.3, spread=0.0):
    """A VAE whose evidence is known: x = W z + b + σ ε. Its encoder gives the posterior's means; ``spread`` is added to its log-variances."""
    torch.manual_seed(seed)
    W, b = torch.randn(4, latent, dtype=F64) * 0.4, torch.rand(4, dtype=F64)
    inner = torch.eye(latent, dtype=F64) + W.T @ W / sigma**2
    encoder, decoder = nn.Linear(4, 2 * latent, dtype=F64), nn.Linear(latent, 4, dtype=F64)
    with torch.no_grad():
        gain = torch.linalg.solve(inner, W.T / sigma**2)
        encoder.weight[:latent], encoder.bias[:latent] = gain, -gain @ b
        encoder.weight[latent:], encoder.bias[latent:] = 0, torch.linalg.inv(inner).diagonal().log() + spread
        decoder.weight[:], decoder.bias[:] = W, b
    plain = likelihood.Likelihood("linear", 1, lambda out: Independent(Normal(out, sigma, validate_args=False), 3), True)
    model = vae.VAE(nn.Sequential(nn.Flatten(), encoder), nn.Sequential(decoder, nn.Unflatten(-1, (1, 2, 2))), plain, latent).double()
    law = torch.distributions.MultivariateNormal(b, W @ W.T + sigma**2 * torch.eye(4, dtype=F64))
    return model, law


def small_binary(seed=0):
    """A tiny Bernoulli VAE with two latent dimensions, untrained, and three black-and-white images."""
    torch.manual_seed(seed)
    model = vae.mlp_vae((1, 4, 4), hidden=8, latent=2).double().eval()
    return model, torch.bernoulli(torch.rand(3, 1, 4, 4, dtype=F64))


@torch.no_grad()
def by_quadrature(model, x, step=0.05, parts=5, limit=6.0):
    """ln p(x) as a sum over the latent plane: on a coarse grid, then on a fine one where the terms are."""

    def log_joint(z, one):
        return torch.cat([model.decode(some).log_prob(one) + model.p_z.log_prob(some) for some in z.split(1000)]).double()

    dtype = next(model.parameters()).dtype
    side = torch.arange(-limit, limit + step / 2, step, dtype=dtype)
    coarse = torch.cartesian_prod(side, side)
    inside = ((torch.arange(parts, dtype=dtype) + 0.5) / parts - 0.5) * step
    found = []
    for one in x:
        height = log_joint(coarse, one)
        fine = coarse[height > height.max() - 20][:, None] + torch.cartesian_prod(inside, inside)
        found.append(torch.logsumexp(log_joint(fine.reshape(-1, 2), one), 0) + 2 * math.log(step / parts))
    return torch.stack(found)


# Two ways to draw


@pytest.mark.equation("sampling-prior", "sampling-posterior")
def test_draws_of_the_prior_and_of_the_posterior_have_their_laws():
    """100 000 pictures from the linear model: mean and covariance of p(x); codes of one picture: those of q(z|x). Six errors: 30 comparisons at 2e-9."""
    model, law = linear_vae(1)
    torch.manual_seed(2)
    n = 100_000
    z = model.p_z.sample((n,)).double()
    x = model.decode(z).sample().flatten(1)
    error = (law.variance / n).sqrt()
    assert ((x.mean(0) - law.mean).abs() < SIX * error).all()
    scale = law.variance.sqrt()
    assert ((x.T.cov() - law.covariance_matrix).abs() < SIX * math.sqrt(2 / n) * torch.outer(scale, scale)).all()
    q = model.encode(torch.rand(1, 1, 2, 2, dtype=F64))
    codes = q.sample((n,))[:, 0].detach()
    assert ((codes.mean(0) - q.mean[0]).abs() < SIX * q.stddev[0] / math.sqrt(n)).all()
    assert ((codes.std(0) / q.stddev[0] - 1).abs() < SIX / math.sqrt(2 * n)).all()


@pytest.mark.equation("sampling-variance")
@given(seeds)
def test_a_pixel_varies_by_its_mean_and_around_its_mean(seed):
    """Exactly, over all values of a code with five values: total variance p(1 - p) is the sum of the two parts."""
    rng = np.random.default_rng(seed)
    weights, probability = rng.dirichlet(np.ones(5)), rng.random(5)
    p = weights @ probability
    between, within = weights @ (probability - p) ** 2, weights @ (probability * (1 - probability))
    assert p * (1 - p) == pytest.approx(between + within, abs=1e-12)


# Norms and walks


@pytest.mark.equation("sampling-norm")
@pytest.mark.parametrize("K", [1, 2, 20, 100])
def test_the_squared_norm_has_mean_k_and_variance_2k(K):
    z = sympy.symbols("z", real=True)
    density = sympy.exp(-(z**2) / 2) / sympy.sqrt(2 * sympy.pi)
    second, fourth = (sympy.integrate(z**n * density, (z, -sympy.oo, sympy.oo)) for n in (2, 4))
    assert (second, fourth) == (1, 3) and K * second == K and K * (fourth - second**2) == 2 * K
    assert stats.chi2(K).stats() == (K, 2 * K)


@pytest.mark.equation("sampling-shell", "sampling-chebyshev")
def test_the_norm_lies_near_root_k():
    for K in (2, 10, 20, 100, 1000):
        law = stats.chi(K)
        assert law.mean() == pytest.approx(math.sqrt(K), rel=1 / (3 * K))
        assert law.std() == pytest.approx(math.sqrt(0.5), rel=0.3 / K)
        for eta in (0.1, 0.3, 1.0):
            outside = stats.chi2(K).cdf(K * (1 - eta)) + stats.chi2(K).sf(K * (1 + eta))
            assert outside <= 2 / (K * eta**2)


@pytest.mark.equation("sampling-chi")
@given(st.integers(1, 60), st.floats(0.05, 12))
def test_the_density_of_the_norm(K, r):
    density = r ** (K - 1) * math.exp(-r * r / 2) / (2 ** (K / 2 - 1) * math.gamma(K / 2))
    assert density == pytest.approx(stats.chi(K).pdf(r), rel=1e-9, abs=1e-300)
    if K > 1:
        top = math.sqrt(K - 1)
        assert stats.chi(K).pdf(top) >= max(stats.chi(K).pdf(top * 0.999), stats.chi(K).pdf(top * 1.001))


@pytest.mark.equation("sampling-lerp", "sampling-lerp-law")
@given(seeds, st.floats(0, 1))
def test_the_straight_line(seed, t):
    z_1, z_2 = torch.randn(2, 6, dtype=F64, generator=torch.Generator().manual_seed(seed))
    here = sampling.lerp(z_1, z_2, torch.tensor([0.0, t, 1.0], dtype=F64))
    assert torch.equal(here[0], z_1) and torch.equal(here[2], z_2)
    assert torch.allclose(here[1], z_1 + t * (z_2 - z_1), atol=1e-12)


def test_points_of_a_line_between_gaussians_are_too_short():
    """100 000 pairs in 20 dimensions: the second moment is ((1-t)² + t²) K; 3 comparisons at 2e-9."""
    n, K = 100_000, 20
    pairs = torch.randn(2, n, K, generator=torch.Generator().manual_seed(3))
    for t in (0.1, 0.25, 0.5):
        square = (((1 - t) * pairs[0] + t * pairs[1]) ** 2).sum(1).double()
        assert abs(float(square.mean()) - ((1 - t) ** 2 + t**2) * K) < SIX * float(square.std()) / math.sqrt(n)


@pytest.mark.equation("sampling-plane", "sampling-slerp")
@given(seeds, st.integers(2, 30))
def test_the_great_circle(seed, K):
    """In the plane of the two codes, at even angles, and with a norm that changes evenly."""
    z_1, z_2 = torch.randn(2, K, dtype=F64, generator=torch.Generator().manual_seed(seed))
    t = torch.linspace(0, 1, 9, dtype=F64)
    walk = sampling.slerp(z_1, z_2, t)
    assert torch.allclose(walk[[0, -1]], torch.stack([z_1, z_2]), atol=1e-12)
    assert torch.allclose(walk.norm(dim=1), (1 - t) * z_1.norm() + t * z_2.norm(), atol=1e-9)
    u, v = z_1 / z_1.norm(), z_2 / z_2.norm()
    omega = math.acos(float((u @ v).clamp(-1, 1)))
    side = (v - math.cos(omega) * u) / math.sin(omega)  # the second axis of the plane
    assert float(side @ u) == pytest.approx(0, abs=1e-9) and float(side.norm()) == pytest.approx(1, abs=1e-9)
    by_axes = torch.cos(t * omega)[:, None] * u + torch.sin(t * omega)[:, None] * side
    assert torch.allclose(walk / walk.norm(dim=1, keepdim=True), by_axes, atol=1e-8)


def test_slerp_of_nearly_equal_codes_is_the_line_and_in_float32_too():
    z = torch.randn(20, generator=torch.Generator().manual_seed(0))
    for step in (0.0, 1e-7, 1e-4, 2e-3, 1e-2):
        other = z + step
        t = torch.linspace(0, 1, 7)
        assert torch.allclose(sampling.slerp(z, other, t), sampling.lerp(z, other, t), atol=2e-5)
    assert torch.allclose(sampling.slerp(z, 3 * z, torch.tensor([0.5])), 2 * z[None])


@pytest.mark.equation("sampling-cosine", "sampling-slerp-law")
def test_independent_codes_are_nearly_orthogonal():
    """E cos² = 1/K; cos α z₁ + sin α z₂ is standard normal: variance 1 in each of 20 dimensions, six errors."""
    n = 100_000
    for K in (2, 20, 200):
        z = torch.randn(2, n // 10, K, generator=torch.Generator().manual_seed(K)).double()
        cosine = (z[0] * z[1]).sum(1) / (z[0].norm(dim=1) * z[1].norm(dim=1))
        square = cosine**2
        assert abs(float(square.mean()) - 1 / K) < SIX * float(square.std()) / math.sqrt(n // 10)
    z = torch.randn(2, n, 20, generator=torch.Generator().manual_seed(1))
    for alpha in (0.3, 0.8, 1.4):
        mixed = math.cos(alpha) * z[0] + math.sin(alpha) * z[1]
        assert ((mixed.var(0) - 1).abs() < SIX * math.sqrt(2 / n)).all() and (mixed.mean(0).abs() < SIX / math.sqrt(n)).all()


@pytest.mark.equation("sampling-attribute")
@given(seeds)
def test_an_attribute_vector_carries_one_mean_to_the_other(seed):
    rng = np.random.default_rng(seed)
    mu, has = torch.tensor(rng.normal(size=(30, 4))), torch.tensor(np.r_[True, False, rng.random(28) < 0.4])
    v = sampling.attribute_vector(mu, has)
    assert torch.allclose((mu[~has] + v).mean(0), mu[has].mean(0), atol=1e-12)
    # Twice the slope of a regression on ±1: the same vector by least squares.
    design = np.c_[np.ones(30), np.where(has, 0.5, -0.5)]
    assert np.allclose(np.linalg.lstsq(design, mu.numpy(), rcond=None)[0][1], v, atol=1e-9)


@pytest.mark.equation("sampling-quantiles")
@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_the_manifold_grid_is_that_of_equal_chances(n):
    grid = sampling.manifold_grid(n).double()
    assert grid.shape == (n * n, 2)
    side = stats.norm.ppf((np.arange(n) + 0.5) / n)
    expected = np.array([[side[j], -side[i]] for i in range(n) for j in range(n)])
    assert np.allclose(grid, expected, atol=1e-5)
    share = np.diff(stats.norm.cdf(np.r_[-np.inf, stats.norm.ppf(np.arange(1, n) / n), np.inf]))
    assert np.allclose(share, 1 / n)


# The evidence


@pytest.mark.equation("sampling-weight", "sampling-unbiased", "sampling-estimator")
def test_the_mean_weight_is_the_evidence():
    """On the linear model, 200 000 weights an image: their mean is p(x), within six standard errors."""
    model, law = linear_vae(4, spread=0.5)
    x = torch.rand(4, 1, 2, 2, dtype=F64)
    torch.manual_seed(5)
    log_w = sampling.log_weights(model, x, 200_000)
    ratio = (log_w - law.log_prob(x.flatten(1))[:, None]).exp()  # w / p(x), mean one
    assert ((ratio.mean(1) - 1).abs() < SIX * ratio.std(1) / math.sqrt(200_000)).all()
    found = sampling.summarise(log_w)
    assert torch.allclose(found.log_evidence, torch.log(ratio.mean(1)) + law.log_prob(x.flatten(1)), atol=1e-10)


def test_a_weight_is_what_its_formula_says():
    model, x = small_binary()
    torch.manual_seed(6)
    log_w = sampling.log_weights(model, x[:1], 7)[0]
    torch.manual_seed(6)
    with torch.no_grad():
        mu, log_var = model.posterior(x[:1])
        z = mu + torch.exp(log_var / 2) * torch.randn(7, 1, 2, dtype=F64)
        probability = torch.sigmoid(model.decoder(z[:, 0]))
    likelihood_ = (x[0] * probability.log() + (1 - x[0]) * (1 - probability).log()).sum((1, 2, 3))
    prior = stats.norm.logpdf(z[:, 0].numpy()).sum(1)
    posterior = stats.norm.logpdf(z[:, 0].numpy(), mu.numpy(), torch.exp(log_var / 2).numpy()).sum(1)
    assert np.allclose(log_w.numpy(), likelihood_.numpy() + prior - posterior, atol=1e-9)


def test_the_evidence_against_quadrature():
    """A Bernoulli model in the plane, k = 100 000: within six standard errors and 0.001."""
    model, x = small_binary(1)
    exact = by_quadrature(model, x, step=0.2, parts=2)  # untrained: nothing is narrow
    torch.manual_seed(7)
    found = sampling.evidence(model, x, 100_000)
    assert ((found.log_evidence - exact).abs() < SIX * found.standard_error + 1e-3).all()
    torch.manual_seed(7)
    assert torch.equal(sampling.log_evidence(model, x, 100_000), found.log_evidence)


def test_the_shipped_pocket_model_against_quadrature():
    model = runs.pretrained("vae-pocket").model
    x = torch.bernoulli(data.load("mnist", "test", fallback=True, download=False).take(slice(0, 3)).batch(), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(8)
    found = sampling.evidence(model, x, 5000)
    # Real weights have long tails, so a margin beside the errors: 0.02 nats.
    assert ((found.log_evidence - by_quadrature(model, x)).abs() < SIX * found.standard_error + 0.02).all()


@pytest.mark.equation("sampling-lower", "sampling-monotone", "sampling-average")
def test_the_mean_of_the_logarithm_rises_to_the_evidence():
    """A weight with three values: all draws enumerated, so every mean is exact."""
    values, chances = np.array([0.1, 1.0, 6.0]), np.array([0.5, 0.4, 0.1])
    p = values @ chances
    means = []
    for k in range(1, 9):
        grids = np.meshgrid(*[np.arange(3)] * k, indexing="ij")
        index = np.stack([g.ravel() for g in grids])
        chance, weights = chances[index].prod(0), values[index]
        assert (weights.mean(0) * chance).sum() == pytest.approx(p, abs=1e-12), "unbiased for every k"
        means.append((np.log(weights.mean(0)) * chance).sum())
        if k > 1:  # the average over all that leave one out is the average of all
            left_out = np.stack([np.delete(weights, i, 0).mean(0) for i in range(k)])
            assert np.allclose(left_out.mean(0), weights.mean(0))
            assert (np.log(left_out).mean(0) <= np.log(weights.mean(0)) + 1e-12).all()
    assert means[0] == pytest.approx(np.log(values) @ chances)
    assert (np.diff(means) > 0).all() and means[-1] < math.log(p)


@pytest.mark.equation("sampling-bias")
def test_the_bias_of_the_logarithm_to_first_order():
    """Weights uniform on [½, 3/2]: the mean of ln of k of them by quadrature over their exact law is -Var/(2k) to within 1/k²."""
    rng = np.random.default_rng(9)
    for k in (8, 32):
        means = rng.uniform(0.5, 1.5, (400_000, k)).mean(1)
        # Control variates: the first two powers of the mean are known, so that noise is 1e-5.
        bias = (np.log(means) - (means - 1) + (means - 1) ** 2 / 2).mean() - 1 / 12 / k / 2
        assert bias == pytest.approx(-1 / 24 / k, abs=0.2 / k**2)


@pytest.mark.equation("sampling-error", "sampling-effective")
@given(seeds, st.integers(2, 50))
def test_error_and_effective_number_by_their_formulas(seed, k):
    log_w = torch.tensor(np.random.default_rng(seed).normal(-100, 1.5, (3, k)))
    found = sampling.summarise(log_w)
    w = torch.exp(log_w + 100)
    assert torch.allclose(found.log_evidence, w.mean(1).log() - 100, atol=1e-10)
    assert torch.allclose(found.effective_draws, w.sum(1) ** 2 / (w**2).sum(1), rtol=1e-9)
    assert torch.allclose(found.standard_error, w.std(1) / (math.sqrt(k) * w.mean(1)), atol=1e-9)
    assert (found.effective_draws <= k + 1e-9).all() and (found.effective_draws >= 1 - 1e-9).all()


def test_the_standard_error_is_that_of_repeated_estimates():
    """Well-behaved weights: the spread of 400 estimates agrees with the error they report, within six of its own errors."""
    model, _ = linear_vae(10)
    x = torch.rand(1, 1, 2, 2, dtype=F64)
    torch.manual_seed(11)
    found = sampling.summarise(sampling.log_weights(model, x, 400 * 500).reshape(400, 500))
    assert float(found.log_evidence.std()) == pytest.approx(float(found.standard_error.mean()), rel=SIX / math.sqrt(800))


def test_summaries_at_the_edges():
    one = sampling.summarise(torch.tensor([[-5.0]]))
    assert one.log_evidence == -5 and one.standard_error == math.inf and one.effective_draws == 1
    equal = sampling.summarise(torch.full((2, 9), -3.0, dtype=F64))
    assert torch.allclose(equal.log_evidence, torch.tensor(-3.0, dtype=F64)) and (equal.standard_error < 1e-7).all()
    assert torch.allclose(equal.effective_draws, torch.tensor(9.0, dtype=F64))
    nothing = sampling.summarise(torch.full((3,), -math.inf))
    assert nothing.log_evidence == -math.inf and nothing.effective_draws == 0 and nothing.standard_error == math.inf
    huge = sampling.summarise(torch.tensor([-2000.0, -2001.0], dtype=F64))
    assert float(huge.log_evidence) == pytest.approx(-2000 + math.log((1 + math.exp(-1)) / 2))


def test_the_chunk_changes_memory_and_nothing_else(monkeypatch):
    model, x = small_binary(2)
    asked, honest = [], vae.VAE.decode
    monkeypatch.setattr(vae.VAE, "decode", lambda self, z: asked.append(len(z)) or honest(self, z))
    results = []
    for chunk in (1000, 64, 7):
        torch.manual_seed(12)
        results.append(sampling.log_weights(model, x, 200, chunk))
        assert max(asked) == min(chunk, 200) and sum(asked) == 600
        asked.clear()
    assert torch.allclose(results[0], results[1]) and torch.allclose(results[0], results[2])
    torch.manual_seed(12)
    alone = sampling.log_weights(model, x[:2], 200)
    assert torch.allclose(alone, results[0][:2]), "an image's draws do not depend on those after it"


def test_the_chunk_comes_from_the_free_memory(monkeypatch):
    x = torch.zeros(5, 1, 28, 28)
    assert 1 <= sampling.chunk_size(x) <= sampling.CACHED
    for free, want in [(10**12, sampling.CACHED), (4 * 400 * 784 * 50, 50), (0, 1)]:
        monkeypatch.setattr(sampling, "free_memory", lambda _: free)
        assert sampling.chunk_size(x) == want


def test_free_memory_where_the_system_tells_and_where_not(monkeypatch):
    assert device.free_memory(torch.device("cpu")) > 10**6
    monkeypatch.setattr(device.os, "sysconf", lambda name: {}[name], raising=False)
    with pytest.raises(KeyError):
        device.free_memory(torch.device("cpu"))  # any other error is not hidden
    monkeypatch.delattr(device.os, "sysconf")
    assert device.free_memory(torch.device("cpu")) == 2**30


@pytest.mark.equation("sampling-at-the-mean")
def test_the_bound_at_the_posterior_mean_is_none():
    """For a Gaussian decoder, exactly: E ln p(x|z) is ln p(x|z = μ) less ½ tr(WᵀW Σ)/σ². And the wrong number exceeds the evidence."""
    model, law = linear_vae(13)
    x = torch.rand(3, 1, 2, 2, dtype=F64)
    with torch.no_grad():
        mu, log_var = model.posterior(x)
        at_mean = model.decode(mu).log_prob(x)
        W = model.decoder[0].weight
        drop = 0.5 * (W**2 * log_var.exp()[:, None]).sum((1, 2)) / 0.3**2
        torch.manual_seed(14)
        n = 100_000
        terms = model.decode(vae.reparameterize(mu, log_var, n)).log_prob(x)
        assert ((terms.mean(0) - (at_mean - drop)).abs() < SIX * terms.std(0) / math.sqrt(n)).all()
        assert (at_mean - kl.kl_standard_normal(mu, log_var) > law.log_prob(x.flatten(1))).all()
        assert (at_mean - drop - kl.kl_standard_normal(mu, log_var) < law.log_prob(x.flatten(1)) + 1e-9).all()


@pytest.mark.equation("sampling-noise")
@given(seeds)
def test_a_sum_of_independent_pixels_by_enumeration(seed):
    """Six pixels with three values each: mean and variance over all 729 pictures."""
    rng = np.random.default_rng(seed)
    w, b, values, chances = rng.normal(size=6), rng.normal(), rng.random(3), rng.dirichlet(np.ones(3))
    index = np.stack([g.ravel() for g in np.meshgrid(*[np.arange(3)] * 6, indexing="ij")])
    chance, a = chances[index].prod(0), b + w @ values[index]
    m = values @ chances
    assert chance @ a == pytest.approx(b + m * w.sum(), abs=1e-10)
    assert chance @ (a - chance @ a) ** 2 == pytest.approx((chances @ (values - m) ** 2) * (w**2).sum(), abs=1e-10)


# Aggregated posterior


def codes(seed=0, n=7, K=3):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, K))), torch.tensor(rng.normal(-1, 0.5, (n, K)))


@pytest.mark.equation("sampling-aggregated")
@given(seeds)
def test_the_aggregated_density_against_scipy(seed):
    mu, log_var = codes(seed)
    z = torch.tensor(np.random.default_rng(seed + 1).normal(size=(5, 3)) * 2)
    each = [[stats.multivariate_normal(m, np.diag(np.exp(v))).pdf(point) for m, v in zip(mu.numpy(), log_var.numpy())] for point in z.numpy()]
    assert np.allclose(sampling.log_aggregated(z, mu, log_var), np.log(np.mean(each, 1)), atol=1e-9)


@pytest.mark.equation("sampling-split")
def test_the_average_kl_is_information_plus_kl_of_the_aggregate():
    """In one dimension all three by quadrature; our estimate of the last within six errors."""
    mu, log_var = codes(3, 5, 1)
    grid = torch.linspace(-12, 12, 20_001, dtype=F64)
    q = torch.stack([torch.distributions.Normal(m, (v / 2).exp()).log_prob(grid) for m, v in zip(mu[:, 0], log_var[:, 0])])
    together, prior = torch.logsumexp(q, 0) - math.log(5), torch.distributions.Normal(0.0, 1.0).log_prob(grid)
    information = torch.trapezoid((q.exp() * (q - together)).mean(0), grid)
    marginal = torch.trapezoid(together.exp() * (together - prior), grid)
    average = kl.kl_standard_normal(mu, log_var).mean()
    assert float(average) == pytest.approx(float(information + marginal), abs=1e-8)
    assert 0 <= float(information) <= math.log(5)
    torch.manual_seed(4)
    found = sampling.aggregated_kl(mu, log_var, 20_000)
    assert abs(float(found.mean - marginal)) < SIX * float(found.standard_error)


@pytest.mark.equation("sampling-above", "sampling-below", "sampling-gauss")
def test_the_brackets_around_the_kl_of_the_aggregate():
    """Five pictures, codes on the line, all by quadrature and over all pairs of pictures: above, below, and the split by a Gaussian."""
    mu, log_var = codes(6, 5, 1)
    grid = torch.linspace(-14, 14, 20_001, dtype=F64)
    q = torch.stack([torch.distributions.Normal(m, (v / 2).exp()).log_prob(grid) for m, v in zip(mu[:, 0], log_var[:, 0])])
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid)

    def mean(of, log_density):
        return float(torch.trapezoid(log_density.exp() * of, grid))

    together = torch.logsumexp(q, 0) - math.log(5)
    true = mean(together - prior, together)
    pairs = [torch.logsumexp(q[[i, j]], 0) - math.log(2) for i in range(5) for j in range(5)]
    assert np.mean([mean(pair - prior, pair) for pair in pairs]) > true
    assert np.mean([mean(pair - prior, together) for pair in pairs]) < true
    centre = mean(grid, together)
    g = torch.distributions.Normal(centre, math.sqrt(mean((grid - centre) ** 2, together))).log_prob(grid)
    assert mean(together - g, together) + mean(g - prior, g) == pytest.approx(true, abs=1e-6)
    assert mean(g - prior, together) == pytest.approx(mean(g - prior, g), abs=1e-6)


def test_a_perfect_aggregate_has_no_kl():
    torch.manual_seed(5)
    found = sampling.aggregated_kl(torch.zeros(4, 3), torch.zeros(4, 3), 50)
    assert abs(float(found.mean)) < 1e-6 and float(found.standard_error) < 1e-6


# Fréchet distance


def gaussians(seed, F=4):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, F, F))
    return [torch.tensor(rng.normal(size=F)) for _ in range(2)], [torch.tensor(r @ r.T + 0.05 * np.eye(F)) for r in roots]


@pytest.mark.equation("sampling-frechet")
@given(seeds, st.integers(1, 8))
def test_frechet_against_scipys_matrix_root(seed, F):
    (mu_1, mu_2), (cov_1, cov_2) = gaussians(seed, F)
    found = float(sampling.frechet_distance(mu_1, cov_1, mu_2, cov_2))
    root = scipy.linalg.sqrtm(cov_1.numpy() @ cov_2.numpy()).real
    assert found == pytest.approx(float(((mu_1 - mu_2) ** 2).sum()) + np.trace(cov_1.numpy() + cov_2.numpy() - 2 * root), rel=1e-6, abs=1e-6)
    inner = scipy.linalg.sqrtm(cov_1.numpy()).real
    inner = scipy.linalg.sqrtm(inner @ cov_2.numpy() @ inner).real
    assert found == pytest.approx(float(((mu_1 - mu_2) ** 2).sum()) + np.trace(cov_1.numpy() + cov_2.numpy() - 2 * inner), rel=1e-6, abs=1e-6)
    assert found == pytest.approx(float(sampling.frechet_distance(mu_2, cov_2, mu_1, cov_1)), abs=1e-9)
    assert float(sampling.frechet_distance(mu_1, cov_1, mu_1, cov_1)) == pytest.approx(0, abs=1e-9)


@pytest.mark.equation("sampling-frechet-diagonal")
def test_frechet_in_closed_forms():
    mu_1, mu_2 = torch.tensor([1.0, -2.0], dtype=F64), torch.tensor([0.5, 1.0], dtype=F64)
    sigma_1, sigma_2 = torch.tensor([1.0, 3.0], dtype=F64), torch.tensor([0.5, 0.0], dtype=F64)  # one of them without width
    found = sampling.frechet_distance(mu_1, torch.diag(sigma_1**2), mu_2, torch.diag(sigma_2**2))
    assert float(found) == pytest.approx(float(((mu_1 - mu_2) ** 2 + (sigma_1 - sigma_2) ** 2).sum()))
    turn = torch.tensor(stats.ortho_group.rvs(5, random_state=0))
    (a, b), (cov_1, cov_2) = gaussians(6, 5)
    turned = sampling.frechet_distance(turn @ a, turn @ cov_1 @ turn.T, turn @ b, turn @ cov_2 @ turn.T)
    assert float(turned) == pytest.approx(float(sampling.frechet_distance(a, cov_1, b, cov_2)))


@pytest.mark.equation("sampling-wasserstein", "sampling-coupling")
def test_no_pairing_of_finitely_many_points_is_cheaper():
    """On the line, 400 quantiles of each Gaussian: the best pairing, found as an assignment, costs what the formula says."""
    level = (np.arange(400) + 0.5) / 400
    x, y = stats.norm.ppf(level) * 1.5 + 0.3, stats.norm.ppf(level) * 0.6 - 1
    cost = (x[:, None] - np.random.default_rng(0).permutation(y)[None]) ** 2
    rows, columns = scipy.optimize.linear_sum_assignment(cost)
    best = cost[rows, columns].mean()
    one = lambda v: torch.tensor([v], dtype=F64)  # noqa: E731
    found = float(sampling.frechet_distance(one(0.3), one(1.5**2)[None], one(-1.0), one(0.6**2)[None]))
    assert best == pytest.approx(found, abs=0.02)
    assert cost.mean() == pytest.approx(1.3**2 + x.var() + y.var(), rel=1e-6), "independent pairs: nothing is taken off"
    cross = ((x - x.mean()) * (np.sort(y) - y.mean())).mean()
    assert best == pytest.approx(1.3**2 + x.var() + y.var() - 2 * cross, abs=1e-9)


@pytest.mark.equation("sampling-contraction", "sampling-svd", "sampling-attained")
@given(seeds)
def test_the_proof_of_the_frechet_distance(seed):
    """Correlations of white variables are contractions; none beats the sum of singular values, and one reaches it."""
    _, (cov_1, cov_2) = gaussians(seed)
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(4, 4))
    mix *= rng.random() / np.linalg.norm(mix, 2)  # any contraction is a possible correlation
    joint = np.block([[np.eye(4), mix], [mix.T, np.eye(4)]])
    assert np.linalg.eigvalsh(joint).min() > -1e-9
    a, b = rng.normal(size=(2, 4))
    assert abs(a @ mix @ b) <= np.linalg.norm(a) * np.linalg.norm(b) + 1e-12
    R_1, R_2 = (sampling.symmetric_root(c).numpy() for c in (cov_1, cov_2))
    U, s, Vt = np.linalg.svd(R_2 @ R_1)  # tr(R₁ K R₂) = tr(K R₂R₁)
    assert np.trace(R_1 @ mix @ R_2) == pytest.approx(np.sum(s * np.diag(Vt @ mix @ U)))
    assert np.trace(R_1 @ mix @ R_2) <= s.sum() + 1e-9
    best = Vt.T @ U.T
    assert np.trace(R_1 @ best @ R_2) == pytest.approx(s.sum())
    T = R_2 @ best.T @ np.linalg.inv(R_1)
    assert np.allclose(T @ cov_1.numpy() @ T.T, cov_2, atol=1e-7), "Y = T X has the covariance of the second law"
    assert s.sum() == pytest.approx(np.trace(scipy.linalg.sqrtm(R_1 @ cov_2.numpy() @ R_1).real), rel=1e-6)


def test_the_optimal_map_found_by_descent():
    """An independent witness: minimise E|X - Y|² over couplings Y = R₂ Q R₁⁻¹X by gradient descent on the orthogonal Q."""
    (mu_1, mu_2), (cov_1, cov_2) = gaussians(7, 3)
    R_1, R_2 = sampling.symmetric_root(cov_1), sampling.symmetric_root(cov_2)
    found = math.inf
    for sign in (1.0, -1.0):
        skew = torch.zeros(3, 3, dtype=F64, requires_grad=True)
        base = torch.diag(torch.tensor([1.0, 1.0, sign], dtype=F64))
        optimizer = torch.optim.Adam([skew], lr=0.05)
        for _ in range(400):
            Q = base @ torch.linalg.matrix_exp(skew - skew.T)
            cost = cov_1.trace() + cov_2.trace() - 2 * torch.trace(R_1 @ Q @ R_2)
            optimizer.zero_grad(), cost.backward(), optimizer.step()
        found = min(found, float(cost.detach()))
    assert found == pytest.approx(float(sampling.frechet_distance(mu_1, cov_1, mu_1, cov_2)), abs=1e-3)


@pytest.mark.equation("sampling-mean-bias")
def test_the_distance_of_two_sample_means_is_too_large():
    """20 000 pairs of samples of sizes 40 and 25: E|m₁ - m₂|² is the true one plus tr Σ₁/n + tr Σ₂/m; within six errors."""
    rng = np.random.default_rng(8)
    true = np.array([0.2, -0.1, 0.3])
    first, second = rng.normal(size=(20_000, 40, 3)) * [1, 2, 0.5] + true, rng.normal(size=(20_000, 25, 3))
    square = ((first.mean(1) - second.mean(1)) ** 2).sum(1)
    assert abs(square.mean() - (true @ true + 5.25 / 40 + 3 / 25)) < SIX * square.std() / math.sqrt(20_000)


def test_the_frechet_distance_of_equal_laws_falls_with_the_sample():
    """Both parts of its bias are of order 1/n: ten times the sample, about a tenth of the distance."""
    rng = np.random.default_rng(9)

    def distance(n):
        pairs = [sampling.moments(torch.tensor(rng.normal(size=(n, 8)))) for _ in range(2)]
        return float(sampling.frechet_distance(*pairs[0], *pairs[1]))

    small, large = (np.mean([distance(n) for _ in range(30)]) for n in (200, 2000))
    assert small > 0 and small / large == pytest.approx(10, rel=0.2)


@given(seeds)
def test_moments_and_roots_against_numpy(seed):
    features = np.random.default_rng(seed).normal(size=(9, 3))
    mean, cov = sampling.moments(torch.tensor(features))
    assert np.allclose(mean, features.mean(0)) and np.allclose(cov, np.cov(features.T))
    root = sampling.symmetric_root(cov)
    assert torch.allclose(root @ root, cov, atol=1e-9) and torch.allclose(root, root.T)
    assert np.allclose(root, scipy.linalg.sqrtm(cov.numpy()).real, atol=1e-7)
    assert sampling.moments(torch.tensor([[1.0], [3.0]]))[1].shape == (1, 1)


# Two laws that fool a measure


@pytest.mark.equation("sampling-mixture")
@given(st.floats(1e-6, 1.0), st.floats(-800, -20), st.floats(-800, -20))
def test_a_mixture_loses_at_most_the_logarithm_of_its_share(share, good, bad):
    both = np.logaddexp(math.log(share) + good, math.log1p(-share) + bad if share < 1 else -math.inf)
    assert both >= good + math.log(share) - 1e-9


spec = importlib.util.spec_from_file_location("results_tool", ROOT / "tools/results.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.mark.equation("sampling-memoriser")
def test_the_memorisers_evidence_by_enumeration():
    """Four pixels, all 16 pictures: their probabilities sum to one and agree with a loop."""
    pictures = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).reshape(16, 1, 2, 2)
    train = pictures[[0, 3, 3, 9]]
    p = tool.log_memoriser(pictures, train, 0.1).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-5)
    by_hand = [np.mean([np.prod(np.where(a == b, 0.9, 0.1)) for b in train.numpy()]) for a in pictures.numpy()]
    assert np.allclose(p, by_hand, atol=1e-5)


@given(seeds)
def test_the_nearest_image_by_a_loop(seed):
    x, images = (torch.tensor(np.random.default_rng(seed + i).random((n, 1, 3, 3), np.float32)) for i, n in ((0, 4), (1, 6)))
    distance, index = sampling.nearest(x, images)
    for one, d, i in zip(x, distance, index):
        each = ((images - one) ** 2).sum((1, 2, 3)).sqrt()
        assert float(d) == pytest.approx(float(each.min()), abs=1e-3) and int(i) == int(each.argmin())


# The classifier and the results that come with the course

HERE = runs.shipped("sampling")


def real(name, split):
    try:
        return data.load(name, split, download=False)
    except data.DataError:
        pytest.skip(f"{name} is not on this machine")


def test_the_shipped_classifier_is_small_and_names_digits_as_it_says():
    path = HERE / "classifier.safetensors"
    assert path.stat().st_size <= 300_000
    facts = checkpoint.read(path).meta
    network = sampling.classifier()
    assert not network.training
    test = real("mnist", "test").take(slice(0, 1000))
    x = test.batch()
    assert tool.score(network, x, test.labels) == pytest.approx(facts["accuracy"]["grey, first 1000 test images"], abs=0.002)
    binary = tool.binary(real("mnist", "test"))[:1000]
    assert tool.score(network, binary, test.labels) == pytest.approx(facts["accuracy"]["binary, first 1000 test images"], abs=0.002)
    assert min(facts["accuracy"].values()) > 0.97


def test_features_are_what_the_last_layer_reads():
    network, x = sampling.classifier(), torch.rand(1001, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    features = network.features(x)
    with torch.no_grad():
        assert features.shape == (1001, 64) and torch.allclose(network[-1](features), network(x), atol=1e-4)


def test_training_the_classifier_learns():
    images = data.digits("train", size=28)
    before = torch.random.get_rng_state()
    network = sampling.train_classifier(images, epochs=6)
    assert torch.equal(before, torch.random.get_rng_state()), "the caller's random state is left as it was"
    test = data.digits("test", size=28)
    assert tool.score(network, test.batch(), test.labels) > 0.8 and not network.training


def judged():
    return json.loads((HERE / "judged.json").read_text())


def test_the_judged_numbers_hang_together():
    facts = judged()
    assert {"command", "seconds", "torch", "threads", "curve", "models", "bias"} <= facts.keys()
    rows = facts["curve"]["rows"]
    assert [row["k"] for row in rows] == list(tool.KS)
    values = [facts["curve"]["elbo"][0], *(row["log_p"][0] for row in rows[1:])]
    assert values == sorted(values), "the bound rises with k"
    assert rows[-1]["seconds"] <= 180 and len(facts["curve"]["log_p"]) == 1000
    assert np.mean(facts["curve"]["log_p"]) == pytest.approx(values[-1], abs=0.01)
    models = facts["models"]
    assert models["mostly_noise"]["log_p"][0] == pytest.approx(models["vae"]["log_p"][0] + math.log(0.01), abs=0.01)
    assert models["blunt"]["elbo"][0] < models["vae"]["elbo"][0] and models["copier"]["reconstruction_error"][0] == 0
    assert models["copier"]["log_p"][0] == pytest.approx(-784 * math.log(2), abs=0.01)
    assert [row["n"] for row in facts["bias"]][-1] == 10_000


def test_the_judged_evidence_can_be_computed_again():
    """The first 20 images at k = 1000: near what is stored for k = 5000. Both err by their standard errors, which long tails make larger than they say: 6 of them and 1 nat."""
    facts, model = judged()["curve"], runs.pretrained("vae").model
    x = tool.binary(real("mnist", "test"))[:20]
    torch.manual_seed(1)
    found = sampling.evidence(model, x, 1000)
    error = (found.standard_error**2 + torch.tensor(facts["standard_error"][:20]) ** 2).sqrt()
    assert ((found.log_evidence - torch.tensor(facts["log_p"][:20])).abs() < SIX * error + 1).all()
    assert float(tool.elbo(model, x).mean()) < float(found.log_evidence.mean())


def test_the_tools_models_are_models(monkeypatch):
    """On small digits: each draws black-and-white pictures, and no bound exceeds its evidence."""
    monkeypatch.setattr(tool, "DRAWS", 50)
    monkeypatch.setattr(tool, "KS", (1, 200))
    train, test = (tool.binary(data.digits(split, size=28)) for split in ("train", "test"))
    torch.manual_seed(0)
    for name, one in tool.models(train).items():
        x = one.draw()
        assert x.shape == (50, 1, 28, 28) and set(x.unique().tolist()) <= {0.0, 1.0}, name
        assert one.reconstruct(test[:4]).shape == (4, 1, 28, 28)
        assert (one.elbo(test[:4]) <= one.log_p(test[:4]) + (1e-3 if name in ("memoriser", "mean", "copier") else 5)).all(), name


# The living figure

SHIM = "globalThis.window = globalThis; globalThis.HTMLElement = class {}; globalThis.customElements = { get() {}, define() {} }; globalThis.document = {};"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_the_living_figure_computes_what_the_module_computes():
    """Both ways at 40 random pairs of codes, the law of the norm by SciPy, and the decoder against torch."""
    rng = np.random.default_rng(0)
    points = [[rng.normal(size=K).tolist(), rng.normal(size=K).tolist(), float(rng.random())] for K in (2, 2, 4, 20) for _ in range(10)]
    points += [[[1.0, 2.0], [2.0, 4.0], 0.3], [[1.0, 2.0], [-1.0, -2.0], 0.3], [[0.0, 0.0], [1.0, 0.0], 0.3]]
    norms = [[float(rng.uniform(0, 8)), K] for K in (2, 4, 20, 64) for _ in range(10)]
    weights = json.dumps(str(runs.shipped("vae-pocket") / "explorer.safetensors"))
    call = f"""
        const f = window.vaeLiving.formulas, model = f.readModel(Uint8Array.from(require("fs").readFileSync({weights})));
        console.log(JSON.stringify([{json.dumps(points)}.map((p) => [f.lerp(...p), f.slerp(...p)]), {json.dumps(norms)}.map((p) => f.shareShorter(...p)), Array.from(f.decode(model, [0.5, -1]))]));"""
    script = SHIM + "\n".join(path.read_text() for path in living.scripts("vae-interpolation")) + call
    walks, shares, pixels = json.loads(subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout)
    for (a, b, t), (straight, round_) in zip(points, walks):
        z_1, z_2, t = torch.tensor(a, dtype=F64), torch.tensor(b, dtype=F64), torch.tensor([t], dtype=F64)
        assert np.allclose(straight, sampling.lerp(z_1, z_2, t)[0], atol=1e-12)
        if round_ is None:
            with pytest.raises(ValueError, match="no direction|opposite"):
                sampling.slerp(z_1, z_2, t)
        else:
            assert np.allclose(round_, sampling.slerp(z_1, z_2, t)[0], atol=1e-9)
    assert [walk[1] is None for walk in walks[-3:]] == [False, True, True]
    assert np.allclose(shares, [stats.chi(K).cdf(r) for r, K in norms], atol=1e-9)
    with torch.no_grad():
        mean = runs.pretrained("vae-pocket").model.decode(torch.tensor([[0.5, -1.0]])).mean.flatten()
    assert np.allclose(pixels, mean, atol=0.005)


def test_a_figure_names_the_scripts_it_needs():
    assert [path.name for path in living.scripts("vae-interpolation")] == ["living.js", "decoder.js", "vae-interpolation.js"]
    assert [path.name for path in living.scripts("vae-kl-fit")] == ["living.js", "vae-kl-fit.js"]
    assert all(path.exists() for tag in living.SCRIPTS.glob("vae-*.js") for path in living.scripts(tag.stem))


# Bad input


def test_bad_images_and_numbers_are_named():
    model, x = small_binary()
    with pytest.raises(ValueError, match="x holds no images"):
        sampling.evidence(model, x[:0], 5)
    with pytest.raises(ValueError, match=r"black and white only. Binarise x, for instance with torch.bernoulli\(x\)"):
        sampling.log_evidence(model, torch.full((2, 1, 4, 4), 0.3, dtype=F64), 5)
    with pytest.raises((ValueError, TypeCheckError)):
        sampling.log_weights(model, x[0], 5)
    with pytest.raises(ValueError, match="images must lie in"):
        sampling.log_weights(model, x * math.nan, 5)
    with pytest.raises(ValueError, match="k must be at least 1"):
        sampling.log_weights(model, x, 0)
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        sampling.log_weights(model, x, 5, chunk=-3)
    for bad in (torch.zeros(3, 0), torch.tensor([0.0, math.nan]), torch.tensor([0.0, math.inf])):
        with pytest.raises(ValueError, match="k >= 1 log-weights"):
            sampling.summarise(bad)


def test_bad_codes_are_named():
    z, t = torch.ones(3), torch.linspace(0, 1, 2)
    with pytest.raises(ValueError, match="z_1 and z_2 must have the same shape"):
        sampling.lerp(z, torch.ones(2), t)
    with pytest.raises(ValueError, match="z_2 has 1 value"):
        sampling.lerp(z, torch.tensor([0.0, math.nan, 1.0]), t)
    for bad in (torch.zeros(3), torch.tensor([1.0, math.nan, 0.0])):
        with pytest.raises(ValueError, match="has no direction"):
            sampling.slerp(z, bad, t)
    with pytest.raises(ValueError, match="opposite codes"):
        sampling.slerp(z, -z, t)
    with pytest.raises(ValueError, match="NaN or infinite"):
        sampling.slerp(z, torch.tensor([1.0, math.inf, 0.0]), t)
    mu = torch.zeros(4, 2)
    for has in (torch.ones(4), torch.zeros(4), torch.tensor([1, 0, 1])):
        with pytest.raises(ValueError, match="True or False for each code"):
            sampling.attribute_vector(mu, has.bool())
    with pytest.raises(ValueError, match="n must be at least 1"):
        sampling.manifold_grid(0)
    with pytest.raises(ValueError, match="as many dimensions as z"):
        sampling.log_aggregated(torch.zeros(1, 3), mu, mu)
    with pytest.raises(ValueError, match="at least one code"):
        sampling.aggregated_kl(mu[:0], mu[:0], 5)
    with pytest.raises(ValueError, match="mu and log_var must have the same shape"):
        sampling.aggregated_kl(mu, mu[:2], 5)
    with pytest.raises(ValueError, match="log_var has 1 value"):
        sampling.log_aggregated(torch.zeros(1, 2), mu, torch.where(torch.eye(4)[:, :2] * torch.tensor([1.0, 0]) > 0, math.inf, mu))
    with pytest.raises(ValueError, match="n must be at least 2"):
        sampling.aggregated_kl(mu, mu, 1)


def test_bad_moments_are_named():
    mu, cov = torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64)
    with pytest.raises(ValueError, match="two rows or more, got 1"):
        sampling.moments(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="features has"):
        sampling.moments(torch.full((4, 3), math.nan))
    with pytest.raises(ValueError, match="mu_1 and mu_2 must have the same shape"):
        sampling.frechet_distance(mu, cov, mu[:1], cov)
    with pytest.raises(ValueError, match=r"mu_1 and cov_2\[0\] must have the same shape"):
        sampling.frechet_distance(mu, cov, mu, torch.eye(3, dtype=F64))
    with pytest.raises(ValueError, match="cov_1 must be square and symmetric"):
        sampling.frechet_distance(mu, torch.tensor([[1.0, 0.5], [0, 1]], dtype=F64), mu, cov)
    with pytest.raises(ValueError, match="cov_2 has a negative eigenvalue"):
        sampling.frechet_distance(mu, cov, mu, -cov)
    with pytest.raises(ValueError, match="cov_2 has 4 value"):
        sampling.frechet_distance(mu, cov, mu, cov * math.nan)
    with pytest.raises(ValueError, match="an x and an image must have the same shape"):
        sampling.nearest(torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 4, 4))
    with pytest.raises(ValueError, match="images must lie in"):
        sampling.classifier().features(torch.full((1, 1, 28, 28), 2.0))

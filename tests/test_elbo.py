"""The ELBO: every line of every route by quadrature and by SymPy, gradients by autograd, estimators by their exact laws.

Randomised tests use fixed seeds; each states its false-alarm rate, at most 1e-7: right code with another seed would fail that often.
"""

import json
import math
import shutil
import subprocess

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_teach import elbo
from vae_teach.common import living
from vae_teach.latent_variables import LinearGaussian

F64 = torch.float64
SIX = 6.0  # standard errors: a normal leaves them with probability 2e-9


def reference(seed=0, D=4, K=2, N=5, dtype=F64):
    """A linear-Gaussian model, points of it, and a q for each that is not its posterior."""
    rng = np.random.default_rng(seed)
    t = lambda *shape: torch.tensor(rng.normal(size=shape), dtype=dtype)  # noqa: E731
    model = LinearGaussian(t(D, K), t(D), float(rng.uniform(0.5, 1.5)))
    x = t(N, D) * 1.5
    L = torch.tril(t(K, K)) * 0.3 + 0.5 * torch.eye(K, dtype=dtype)
    return model, MultivariateNormal(model.posterior(x).mean + 0.3 * t(N, K), L @ L.T).expand((N,)), x


def one(x=2.0, sigma=0.5, mu=0.5, s=0.8, dtype=F64):
    """The page's reading: z ~ N(0, 1), x ~ N(z, sigma²), q = N(mu, s²)."""
    t = lambda *v: torch.tensor(v, dtype=dtype)  # noqa: E731
    model = LinearGaussian(t(1.0)[:, None], t(0.0), sigma)
    return model, MultivariateNormal(t(mu)[None], (t(s)[None] ** 2)[None]), t(x)[None]


def linear(seed=1, D=4, K=2):
    rng = np.random.default_rng(seed)
    t = lambda *shape: torch.tensor(rng.normal(size=shape), dtype=F64)  # noqa: E731
    R, L = t(D, D), torch.tril(t(K, K)) * 0.3 + 0.6 * torch.eye(K, dtype=F64)
    model = reference(seed, D, K)[0]
    encoder = elbo.LinearEncoder(torch.linalg.solve(model.precision, model.W.T) / model.sigma**2 + 0.1 * t(K, D), 0.2 * t(K), L @ L.T)
    return model, encoder, MultivariateNormal(t(D), R @ R.T / 2 + torch.eye(D, dtype=F64))


def near(a, b, tolerance=1e-10):
    return bool((torch.as_tensor(a) - torch.as_tensor(b)).abs().max() <= tolerance)


# The identity


@pytest.mark.equation("elbo-product", "elbo-definition", "elbo-weight", "elbo-route-one", "elbo-reconstruction", "elbo-energy")
@pytest.mark.parametrize("dtype, tolerance", [(F64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("K", [1, 2])
def test_evidence_is_elbo_plus_gap(dtype, tolerance, K):
    """Three formulas without a common term; and the ELBO from weights at quadrature points, from energy, from reconstruction."""
    for seed in range(20):
        model, q, x = reference(seed, K=K, dtype=dtype)
        parts = elbo.exact_parts(model, q, x)
        assert near(parts.log_evidence, parts.elbo + parts.gap, tolerance)
        assert near(parts.elbo, parts.energy + parts.entropy, tolerance)
        assert near(parts.elbo, parts.reconstruction - parts.prior_kl, tolerance)
        z, weight = elbo.gauss_hermite(q, 4)
        mean = lambda values: torch.einsum("m,mn->n", weight, values)  # noqa: E731
        assert near(mean(model.log_joint(x, z) - q.log_prob(z)), parts.elbo, 10 * tolerance)
        assert near(mean(model.log_joint(x, z)), parts.energy, 10 * tolerance)
        assert near(mean(model.p_x_given_z(z).log_prob(x)), parts.reconstruction, 10 * tolerance)
        assert near(model.log_joint(x, z), model.posterior(x).log_prob(z) + parts.log_evidence, 100 * tolerance)
        assert (parts.gap > 0).all() and (parts.prior_kl > 0).all()


@pytest.mark.equation("elbo-route-one", "elbo-route-two", "elbo-route-two-gap", "elbo-route-three")
@pytest.mark.parametrize("dtype, tolerance", [(F64, 1e-10), (torch.float32, 1e-5)])
def test_every_line_of_three_routes(dtype, tolerance):
    for seed in range(10):
        model, q, x = reference(seed, K=1, dtype=dtype)
        parts, lines = elbo.exact_parts(model, q, x), elbo.route_lines(model, q, x, n=60)
        assert [len(lines[name]) for name in ("1", "2", "gap", "3")] == [5, 2, 4, 4]
        digits = tolerance * float(parts.log_evidence.abs().max())  # a line sums terms of this size
        for line in lines["1"]:
            assert near(line, parts.log_evidence, digits)
        for line in [*lines["gap"], *lines["3"]]:
            assert near(line, parts.gap, digits)
        assert near(lines["2"][1], parts.elbo, digits)
        posterior = model.posterior(x)
        wide = MultivariateNormal(posterior.mean + 0.1, 2 * posterior.covariance_matrix)  # ln E_q[w] is no polynomial: quadrature converges if q is wide
        assert near(elbo.route_lines(model, wide, x, n=60)["2"][0], parts.log_evidence, digits)


@pytest.mark.equation("elbo-route-two")
def test_the_first_lines_of_route_two_by_adaptive_quadrature():
    model, q, x = one()
    w = lambda z: float((model.log_joint(x, torch.tensor([[z]], dtype=F64)) - q.log_prob(torch.tensor([[z]], dtype=F64))).exp())  # noqa: E731
    density = lambda z: stats.norm.pdf(z, 0.5, 0.8)  # noqa: E731
    joint = lambda z: stats.norm.pdf(z) * stats.norm.pdf(2, z, 0.5)  # noqa: E731
    marginal = integrate.quad(joint, -12, 12, epsabs=1e-14)[0]
    weighted = integrate.quad(lambda z: density(z) * w(z), -12, 12, epsabs=1e-14)[0]
    assert math.log(marginal) == pytest.approx(float(model.log_evidence(x)), abs=1e-10)
    assert math.log(weighted) == pytest.approx(math.log(marginal), abs=1e-10)
    assert integrate.quad(lambda z: density(z) * math.log(w(z)), -8, 8, epsabs=1e-12)[0] == pytest.approx(float(elbo.exact_parts(model, q, x).elbo), abs=1e-9)


@pytest.mark.equation("elbo-route-one", "elbo-route-two-gap", "elbo-route-three", "elbo-one", "elbo-one-posterior")
def test_every_line_by_sympy():
    """One dimension, all letters free: the mean under q of a polynomial in z is taken by its moments."""
    x, z, W, b, mu = sp.symbols("x z W b mu", real=True)
    sigma, s = sp.symbols("sigma s", positive=True)

    def log_normal(v, mean, variance):
        return -sp.log(2 * sp.pi * variance) / 2 - (v - mean) ** 2 / (2 * variance)

    def mean(expression):
        moments = {0: 1, 1: mu, 2: mu**2 + s**2}
        return sum(c * moments[k] for (k,), c in sp.Poly(sp.expand(expression), z).terms())

    def same(a, b):
        return sp.simplify(sp.expand_log(sp.expand(a - b), force=True)) == 0

    precision = 1 + W**2 / sigma**2
    q, before, given_z = log_normal(z, mu, s**2), log_normal(z, 0, 1), log_normal(x, W * z + b, sigma**2)
    after = log_normal(z, W * (x - b) / (sigma**2 * precision), 1 / precision)
    evidence, joint = log_normal(x, b, W**2 + sigma**2), given_z + before
    assert same(joint, after + evidence)
    for line in [mean(joint - after), mean((joint - q) + (q - after)), mean(joint - q) + mean(q - after)]:
        assert same(line, evidence)
    gap = mean(q - after)
    for line in [evidence - mean(joint - q), mean(evidence - (joint - q)), mean(evidence - (after + evidence - q))]:
        assert same(line, gap)
    for line in [mean(q - (given_z + before - evidence)), mean(q - given_z - before + evidence), mean(q - before) - mean(given_z) + evidence]:
        assert same(line, gap)
    at = {W: 1, b: 0}
    assert same(evidence.subs(at), -sp.log(2 * sp.pi * (1 + sigma**2)) / 2 - x**2 / (2 * (1 + sigma**2)))
    assert same(mean(given_z).subs(at), -sp.log(2 * sp.pi * sigma**2) / 2 - ((x - mu) ** 2 + s**2) / (2 * sigma**2))
    assert same(mean(q - before), (mu**2 + s**2 - 1 - sp.log(s**2)) / 2)
    v = sigma**2 / (1 + sigma**2)
    assert same(gap.subs(at), (s**2 / v + (mu - x * v / sigma**2) ** 2 / v - 1 - sp.log(s**2 / v)) / 2)
    assert same(after.subs(at), log_normal(z, x / (1 + sigma**2), v))


@pytest.mark.equation("elbo-closed", "elbo-reference")
def test_closed_forms_against_torch_and_the_marginal():
    model, q, x = reference(3)
    parts = elbo.exact_parts(model, q, x)
    cov = model.W @ model.W.T + model.sigma**2 * torch.eye(4, dtype=F64)
    assert near(parts.log_evidence, MultivariateNormal(model.b, cov).log_prob(x))
    assert near(parts.gap, kl_divergence(q, model.posterior(x)))
    assert near(parts.prior_kl, kl_divergence(q, MultivariateNormal(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))))
    S, m = q.covariance_matrix, q.mean
    square = ((x - m @ model.W.T - model.b) ** 2).sum(-1) + torch.stack([(model.W @ s @ model.W.T).trace() for s in S])
    assert near(parts.reconstruction, -2 * math.log(2 * math.pi * model.sigma**2) - square / (2 * model.sigma**2))


@pytest.mark.equation("elbo-tight")
def test_the_bound_is_tight_at_the_posterior_and_only_there():
    model, q, x = reference(4)
    posterior = model.posterior(x)
    assert near(elbo.exact_parts(model, posterior, x).gap, 0, 1e-12)
    log_w = elbo.log_weights(model, posterior, x, 50)
    assert near(log_w, model.log_evidence(x).expand(50, 5), 1e-9), "every weight is p(x)"
    assert (elbo.exact_parts(model, q, x).elbo < model.log_evidence(x) - 1e-3).all()


@pytest.mark.equation("elbo-upper")
def test_the_mean_under_the_posterior_bounds_from_above():
    model, q, x = reference(5)
    posterior = model.posterior(x)
    z, weight = elbo.gauss_hermite(posterior, 4)
    above = torch.einsum("m,mn->n", weight, model.log_joint(x, z) - q.log_prob(z))
    assert near(above, model.log_evidence(x) + kl_divergence(posterior, q), 1e-9)
    assert (above > model.log_evidence(x)).all()


# Route 5


def weights_at(n):
    """ln w and probabilities of z on a grid for the page's reading, with a wide q so that quadrature converges."""
    model, q, x = one(mu=1.4, s=0.7)
    z, weight = elbo.gauss_hermite(q, n)
    return (model.log_joint(x, z) - q.log_prob(z))[:, 0], weight, float(model.log_evidence(x)), float(elbo.exact_parts(model, q, x).elbo)


@pytest.mark.equation("elbo-multi", "elbo-monotone")
def test_the_bounds_rise_with_k_exactly():
    """k = 1, 2, 3 by quadrature in as many dimensions."""
    log_w, p, evidence, at_one = weights_at(60)
    two = torch.logsumexp(torch.stack(torch.broadcast_tensors(log_w[:, None], log_w[None])), 0) - math.log(2)
    three = torch.logsumexp(torch.stack(torch.broadcast_tensors(log_w[:, None, None], log_w[None, :, None], log_w[None, None])), 0) - math.log(3)
    found = [float(log_w @ p), float(torch.einsum("ab,a,b", two, p, p)), float(torch.einsum("abc,a,b,c", three, p, p, p))]
    assert found[0] == pytest.approx(at_one, abs=1e-10)
    assert found[0] < found[1] - 0.01 < found[2] - 0.01 < evidence


@pytest.mark.equation("elbo-monotone")
@given(hnp.arrays(float, st.integers(2, 8), elements=st.floats(-30, 30)))
def test_leaving_one_out_of_an_average(values):
    """The inequality of the proof, draw by draw: the mean of the logs is at most the log of the mean, and the mean of the leave-one-out means is the mean."""
    log_w = torch.tensor(values)
    n = len(log_w)
    without = torch.stack([torch.cat([log_w[:j], log_w[j + 1 :]]).logsumexp(0) - math.log(n - 1) for j in range(n)])
    whole = log_w.logsumexp(0) - math.log(n)
    assert without.logsumexp(0) - math.log(n) == pytest.approx(float(whole), abs=1e-9)
    assert without.mean() <= whole + 1e-9
    assert log_w.mean() <= whole + 1e-9, "the difference in Fatou's lemma is never negative (elbo-limit)"


@pytest.mark.equation("elbo-limit", "elbo-rate", "elbo-weight-variance")
def test_the_bounds_tend_to_the_evidence_at_the_stated_rate():
    """Means within six standard errors (false alarm 2e-9 each); the weights' mean, subtracted, is a control variate."""
    torch.manual_seed(0)
    model, q, x = one(mu=1.5, s=0.6)
    evidence, spread = model.log_evidence(x), elbo.weight_variance(model.posterior(x), q)
    numeric = integrate.quad(lambda z: stats.norm.pdf(z, 1.6, math.sqrt(0.2)) ** 2 / stats.norm.pdf(z, 1.5, 0.6), -4, 7)[0] - 1
    assert float(spread) == pytest.approx(numeric, rel=1e-8)
    for k, repeats in ((20, 4000), (200, 4000), (1000, 1000)):
        log_r = elbo.log_weights(model, q, x, repeats * k) - evidence
        terms = elbo.multi_sample_bound(log_r, k)[:, 0] - (log_r.exp().reshape(repeats, k).mean(1) - 1)
        error = float(terms.std() / math.sqrt(repeats))
        gap = float(-terms.mean())
        assert 0 < gap and abs(gap - float(spread) / (2 * k)) < SIX * error + float(spread) * 4 / k**2
    assert elbo.weight_variance(model.posterior(x), one(mu=1.6, s=0.3)[1]) == math.inf
    assert near(elbo.weight_variance(model.posterior(x), model.posterior(x)), 0)


def test_weight_variance_in_two_dimensions_by_quadrature():
    model, _, x = reference(2)
    posterior = model.posterior(x)
    q = MultivariateNormal(posterior.mean + 0.1, 1.5 * posterior.covariance_matrix)
    z, weight = elbo.gauss_hermite(q, 40)
    ratio = posterior.log_prob(z) - q.log_prob(z)
    assert torch.allclose(elbo.weight_variance(posterior, q), torch.einsum("m,mn->n", weight, (2 * ratio).exp()) - 1, rtol=1e-6)


def test_sampled_bounds_have_the_exact_mean_and_gradients_pass():
    """Six standard errors: false alarm 2e-9 a point."""
    torch.manual_seed(1)
    model, q, x = reference(6)
    log_w = elbo.log_weights(model, q, x, 20_000)
    assert ((log_w.mean(0) - elbo.exact_parts(model, q, x).elbo).abs() < SIX * log_w.std(0) / math.sqrt(20_000)).all()
    assert torch.equal(elbo.multi_sample_bound(log_w, 1), log_w)
    assert elbo.multi_sample_bound(log_w, 3000).shape == (6, 5)
    assert near(elbo.multi_sample_bound(log_w[:10], 10)[0], log_w[:10].exp().mean(0).log())
    deep = torch.full((4, 1), -5000.0)
    assert torch.equal(elbo.multi_sample_bound(deep, 4), deep[:1])
    mean = q.mean.clone().requires_grad_()
    elbo.log_weights(model, MultivariateNormal(mean, q.covariance_matrix), x, 3).sum().backward()
    assert mean.grad.abs().min() > 0


# The mean over the data


@pytest.mark.equation("elbo-route-four", "elbo-objective")
def test_route_four_in_closed_form_and_line_by_line():
    model, encoder, data = linear()
    parts = elbo.average_parts(model, encoder, data)
    p_x = MultivariateNormal(model.b, model.W @ model.W.T + model.sigma**2 * torch.eye(4, dtype=F64))
    assert near(parts.joint_kl, -data.entropy() - parts.elbo)
    assert near(parts.joint_kl, kl_divergence(data, p_x) + parts.gap)
    assert near(parts.log_evidence, parts.elbo + parts.gap)
    x, p = elbo.gauss_hermite(data.expand((1,)), 3)  # 81 points: exact for what is quadratic in x
    x = x[:, 0]
    at = elbo.exact_parts(model, encoder.q_z_given_x(x), x)
    for name in ("log_evidence", "elbo", "gap", "reconstruction", "prior_kl"):
        assert near(p @ getattr(at, name), getattr(parts, name), 1e-9), name
    z, weight = elbo.gauss_hermite(encoder.q_z_given_x(x), 3)
    mean = lambda values: torch.einsum("m,n,mn->", weight, p, values)  # noqa: E731
    q, log_data = encoder.q_z_given_x(x).log_prob(z), data.log_prob(x).expand(len(z), -1)
    joint, after = model.log_joint(x, z), model.posterior(x).log_prob(z)
    for line in [mean(log_data + q - joint), mean(log_data) - mean(joint - q), mean(log_data - p_x.log_prob(x)) + mean(q - after)]:
        assert near(line, parts.joint_kl, 1e-9)


@pytest.mark.equation("elbo-encoder", "elbo-aggregate", "elbo-split", "elbo-split-gaussian")
def test_the_average_kl_splits():
    for seed in range(5):
        model, encoder, data = linear(seed)
        parts, q_z = elbo.average_parts(model, encoder, data), encoder.aggregate(data)
        assert near(parts.prior_kl, parts.mutual_information + parts.marginal_kl)
        joint = torch.cat([torch.cat([data.covariance_matrix, data.covariance_matrix @ encoder.A.T], 1), torch.cat([encoder.A @ data.covariance_matrix, q_z.covariance_matrix], 1)])
        apart = torch.block_diag(data.covariance_matrix, q_z.covariance_matrix)
        mean = torch.cat([data.mean, q_z.mean])
        assert near(parts.mutual_information, kl_divergence(MultivariateNormal(mean, joint), MultivariateNormal(mean, apart)))
        x, p = elbo.gauss_hermite(data.expand((1,)), 3)
        x = x[:, 0]
        z, weight = elbo.gauss_hermite(encoder.q_z_given_x(x), 3)
        mean = lambda values: torch.einsum("m,n,mn->", weight, p, values)  # noqa: E731
        q, p_z = encoder.q_z_given_x(x).log_prob(z), model.p_z.log_prob(z)
        for line in [mean(q - p_z), mean((q - q_z.log_prob(z)) + (q_z.log_prob(z) - p_z)), mean(q - q_z.log_prob(z)) + mean(q_z.log_prob(z) - p_z)]:
            assert near(line, parts.prior_kl, 1e-9)


def test_the_aggregate_is_the_law_of_codes():
    """A hundred thousand codes: mean and variances within six standard errors (false alarm below 1e-7 over all)."""
    model, encoder, data = linear(2)
    torch.manual_seed(2)
    z = encoder.q_z_given_x(data.sample((100_000,))).sample()
    q_z = encoder.aggregate(data)
    assert ((z.mean(0) - q_z.mean).abs() < SIX * q_z.stddev / math.sqrt(100_000)).all()
    assert ((z.var(0) / q_z.variance - 1).abs() < SIX * math.sqrt(2 / 100_000)).all()


@pytest.mark.equation("elbo-index", "elbo-split-index")
def test_with_n_pictures_the_information_is_at_most_ln_n():
    """The aggregate of a data set is a mixture; its entropy by a fine grid."""
    mu, s = torch.tensor([-2.0, -0.3, 0.1, 1.7], dtype=F64), torch.tensor([0.3, 0.5, 0.2, 0.4], dtype=F64)
    z = torch.linspace(-10, 10, 40_001, dtype=F64)
    each = Normal(mu, s).log_prob(z[:, None])
    whole, p_z = each.logsumexp(1) - math.log(4), Normal(0.0, 1.0).log_prob(z)
    under = lambda law, values: torch.trapezoid(law.exp() * values, z)  # noqa: E731
    average = torch.stack([under(e, e - p_z) for e in each.T]).mean()
    information, marginal = torch.stack([under(e, e - whole) for e in each.T]).mean(), under(whole, whole - p_z)
    assert near(average, information + marginal, 1e-9)
    assert 0 < information < math.log(4)
    posterior = (each - each.logsumexp(1, keepdim=True)).exp()  # of the number of the picture
    left = torch.trapezoid(whole.exp() * torch.special.entr(posterior).sum(1), z)
    assert near(information, math.log(4) - left, 1e-9)


@pytest.mark.equation("elbo-empirical", "elbo-noise")
def test_the_empirical_objective_is_unbiased_with_the_stated_variance():
    """20 000 replications: mean within six standard errors, variance within 8 % (its relative error is 1 %; false alarms below 1e-9)."""
    model, encoder, data = linear(3)
    torch.manual_seed(3)
    N, M, repeats = 5, 3, 20_000
    x = data.sample((repeats * N,))
    log_w = elbo.log_weights(model, encoder.q_z_given_x(x), x, M)
    estimates = log_w.mean(0).reshape(repeats, N).mean(1)
    exact = elbo.average_parts(model, encoder, data).elbo
    assert abs(estimates.mean() - exact) < SIX * estimates.std() / math.sqrt(repeats)
    many = data.sample((200_000,))
    across = elbo.exact_parts(model, encoder.q_z_given_x(many), many).elbo.var()
    within = elbo.log_weights(model, encoder.q_z_given_x(many), many, 4).var(0).mean()
    assert float(estimates.var() * N / (across + within / M)) == pytest.approx(1, abs=0.08)


# Gradients


@pytest.mark.equation("elbo-theta", "elbo-fisher")
def test_the_gradient_by_theta_passes_inside():
    model, q, x = reference(7)
    W, b = model.W.clone().requires_grad_(), model.b.clone().requires_grad_()
    free = LinearGaussian(W, b, model.sigma)
    z, weight = elbo.gauss_hermite(q, 4)
    inside = torch.autograd.grad(torch.einsum("m,mn->", weight, free.log_joint(x, z)), (W, b))
    outside = torch.autograd.grad(elbo.exact_parts(free, q, x).elbo.sum(), (W, b))
    residual = x - z @ model.W.T - model.b
    by_hand = torch.einsum("m,mnd->d", weight, residual) / model.sigma**2
    assert all(near(a, c, 1e-9) for a, c in zip(inside, outside)) and near(inside[1], by_hand, 1e-9)
    evidence = torch.autograd.grad(free.log_evidence(x).sum(), (W, b))
    gap = torch.autograd.grad(elbo.exact_parts(free, q, x).gap.sum(), (W, b))
    assert all(near(e - g, o, 1e-9) for e, g, o in zip(evidence, gap, outside)) and gap[0].abs().max() > 0.1
    exact = MultivariateNormal(model.posterior(x).mean, model.posterior(x).covariance_matrix)
    there = torch.autograd.grad(elbo.exact_parts(free, exact, x).elbo.sum(), (W, b))
    assert all(near(t, e, 1e-9) for t, e in zip(there, evidence))


def diagonal(seed=8, K=2):
    model, q, x = reference(seed, K=K)
    return model, x[0], q.mean[0], torch.tensor([0.5, 0.9, 0.7], dtype=F64)[:K]


@pytest.mark.equation("elbo-exact-gradient")
@pytest.mark.parametrize("K", [1, 2, 3])
def test_the_exact_gradient_is_autograds(K):
    model, x, mu, sigma = diagonal(K=K)
    mu, sigma = mu.requires_grad_(), sigma.requires_grad_()
    value = elbo.exact_parts(model, MultivariateNormal(mu[None], torch.diag(sigma**2)[None]), x[None]).elbo.sum()
    for found, wanted in zip(elbo.exact_gradient(model, x, mu, sigma), torch.autograd.grad(value, (mu, sigma))):
        assert near(found.detach(), wanted)


@pytest.mark.equation("elbo-seen", "elbo-score", "elbo-pathwise", "elbo-sticking")
def test_the_four_gradients_by_quadrature_and_by_draws():
    """Quadrature: exact. Draws: six standard errors for 16 means (false alarm below 1e-7)."""
    model, x, mu, sigma = diagonal()
    m, s = mu.clone().requires_grad_(), sigma.clone().requires_grad_()
    epsilon, weight = elbo.gauss_hermite(MultivariateNormal(torch.zeros(1, 2, dtype=F64), torch.eye(2, dtype=F64)), 8)
    epsilon = epsilon[:, 0]
    z, still = mu + sigma * epsilon, (mu + sigma * epsilon).detach()
    log_q = lambda z, m, s: Normal(m, s).log_prob(z).sum(-1)  # noqa: E731
    log_w = model.log_joint(x, still) - log_q(still, mu, sigma)
    exact = elbo.exact_gradient(model, x, mu, sigma)
    seen = torch.autograd.grad(weight @ (model.log_joint(x, still) - log_q(still, m, s)), (m, s))
    score = torch.autograd.grad(weight @ (log_w * log_q(still, m, s)), (m, s))
    z = m + s * epsilon
    pathwise = torch.autograd.grad(weight @ (model.log_joint(x, z) - log_q(z, m, s)), (m, s))
    z = m + s * epsilon
    sticking = torch.autograd.grad(weight @ (model.log_joint(x, z) - log_q(z, mu, sigma)), (m, s))
    for means, wanted in [(seen, (0 * mu, 0 * mu)), (score, exact), (pathwise, exact), (sticking, exact)]:
        assert all(near(a, b, 1e-9) for a, b in zip(means, wanted))
    torch.manual_seed(4)
    terms = elbo.gradient_terms(model, x, mu, sigma, 40_000)
    for name, wanted in [("seen", (0 * mu, 0 * mu)), ("score", exact), ("pathwise", exact), ("sticking", exact)]:
        for found, value in zip(terms[name], wanted):
            assert ((found.mean(0) - value).abs() < SIX * found.std(0) / 200).all(), name


@pytest.mark.equation("elbo-half")
def test_a_closed_kl_leaves_half_of_the_gradient():
    """With the KL in closed form and z held, what is seen is the KL's gradient alone: it leads to the prior."""
    model, x, mu, sigma = diagonal()
    m, s = mu.clone().requires_grad_(), sigma.clone().requires_grad_()
    z, weight = elbo.gauss_hermite(MultivariateNormal(mu[None], torch.diag(sigma**2)[None]), 4)
    prior_kl = ((s**2 + m**2 - 1) / 2 - s.log()).sum()
    value = weight @ model.p_x_given_z(z[:, 0]).log_prob(x) - prior_kl
    by_mu, by_sigma = torch.autograd.grad(value, (m, s))
    assert near(by_mu, -mu) and near(by_sigma, 1 / sigma - sigma)


@pytest.mark.equation("elbo-variances", "elbo-variances-one")
@pytest.mark.parametrize("K", [1, 2, 3])
def test_variances_of_gradient_terms_by_quadrature(K):
    model, x, mu, sigma = diagonal(K=K)
    found = elbo.gradient_variances(model, x, mu, sigma)
    epsilon, weight = elbo.gauss_hermite(MultivariateNormal(torch.zeros(1, K, dtype=F64), torch.eye(K, dtype=F64)), 7)
    epsilon = epsilon[:, 0]
    z = (mu + sigma * epsilon).requires_grad_()
    log_w = model.log_joint(x, z) - Normal(mu, sigma).log_prob(z).sum(-1)
    (slope,) = torch.autograd.grad(log_w.sum(), z)
    log_w, score = log_w.detach()[:, None], epsilon / sigma
    for name, term in {"seen": -score, "score": log_w * score, "pathwise": slope - score, "sticking": slope}.items():
        variance = weight @ term**2 - (weight @ term) ** 2
        assert torch.allclose(found[name], variance, rtol=1e-9), name
    if K == 1:
        precision, s = model.precision[0, 0], sigma[0]
        a, B = s * elbo.exact_gradient(model, x, mu, sigma).mu[0], 1 - s**2 * precision
        c = model.log_joint(x, mu) - Normal(mu, sigma).log_prob(mu).sum()
        by_hand = {"score": c**2 + 2 * a**2 + 15 * B**2 / 4 + 3 * c * B, "pathwise": (s**2 * precision) ** 2, "sticking": B**2}
        assert all(float(found[name]) == pytest.approx(float(v / s**2), rel=1e-10) for name, v in by_hand.items())


def test_measured_variances_agree():
    """40 000 draws; a variance's relative error is below 3 % here, six of it are allowed (false alarm below 1e-7)."""
    model, x, mu, sigma = diagonal()
    torch.manual_seed(5)
    terms = elbo.gradient_terms(model, x, mu, sigma, 40_000)
    for name, wanted in elbo.gradient_variances(model, x, mu, sigma).items():
        square = (terms[name].mu - terms[name].mu.mean(0)) ** 2
        assert ((square.mean(0) - wanted).abs() < SIX * square.std(0) / 200).all(), name


def test_sticking_the_landing_has_no_variance_at_the_posterior():
    model, _, x = reference(9, K=1)
    posterior = model.posterior(x)
    mu, sigma = posterior.mean[0], posterior.stddev[0]
    assert near(elbo.gradient_variances(model, x[0], mu, sigma)["sticking"], 0, 1e-20)
    terms = elbo.gradient_terms(model, x[0], mu, sigma, 100)
    assert near(terms["sticking"].mu, 0, 1e-9) and terms["pathwise"].mu.var() > 0.1


# What is lost, and what is not said


@pytest.mark.equation("elbo-mean-field")
@pytest.mark.parametrize("K", [2, 3, 4])
def test_the_best_factorised_gaussian(K):
    """Against a search, and against the closed form of the KL."""
    model, _, x = reference(10, D=5, K=K)
    posterior = model.posterior(x)
    best, gap = elbo.nearest_factorised(posterior)
    assert near(kl_divergence(best, posterior), gap)
    assert near(elbo.exact_parts(model, best, x).gap, gap) and (gap > 0.01).all()
    mu, log_s = torch.zeros(K, dtype=F64, requires_grad=True), torch.zeros(K, dtype=F64, requires_grad=True)
    optimizer = torch.optim.LBFGS([mu, log_s], max_iter=300, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = kl_divergence(MultivariateNormal(mu, torch.diag((2 * log_s).exp())), MultivariateNormal(posterior.mean[0], posterior.covariance_matrix[0]))
        value.backward()
        return value

    optimizer.step(loss)
    assert near(loss().detach(), gap[0], 1e-8) and near((2 * log_s).exp().detach(), best.variance[0], 1e-4)
    assert (best.variance <= posterior.variance).all(), "never wider than the posterior's own marginals"


@pytest.mark.equation("elbo-mean-field-two")
def test_in_two_dimensions_the_gap_is_that_of_a_correlation():
    model, _, x = reference(11)
    cov = model.posterior(x).covariance_matrix[0]
    rho = cov[0, 1] / (cov[0, 0] * cov[1, 1]).sqrt()
    assert near(elbo.nearest_factorised(model.posterior(x))[1], -torch.log(1 - rho**2) / 2)


def tilted(angle, length=2.0, sigma=1.0):
    """Two loadings of one length with an angle between them."""
    half = torch.as_tensor(angle, dtype=F64) / 2
    W = length * torch.stack([torch.stack([half.cos(), half.cos()]), torch.stack([half.sin(), -half.sin()])])
    return LinearGaussian(W, torch.zeros(2, dtype=F64), sigma)


def with_best_diagonal(model):
    A = torch.linalg.solve(model.precision, model.W.T) / model.sigma**2
    return elbo.LinearEncoder(A, torch.zeros(2, dtype=F64), torch.diag(1 / model.precision.diagonal()))


@pytest.mark.equation("elbo-tilt", "elbo-tilt-gap")
def test_a_restricted_family_pulls_the_model_towards_simple_posteriors():
    truth = math.radians(40)
    model = tilted(truth)
    data = MultivariateNormal(model.b, model.W @ model.W.T + torch.eye(2, dtype=F64))
    angles = [math.radians(a) for a in range(20, 91)]
    found = [elbo.average_parts(tilted(a), with_best_diagonal(tilted(a)), data) for a in angles]
    for a, parts in zip(angles, found):
        rho = 4 * math.cos(a) / 5
        assert float(parts.gap) == pytest.approx(-math.log(1 - rho**2) / 2, abs=1e-10)
        precision = tilted(a).precision
        assert float(precision[0, 1]) == pytest.approx(4 * math.cos(a), abs=1e-12) and float(precision[0, 0]) == pytest.approx(5)
    by_evidence = max(range(71), key=lambda i: found[i].log_evidence)
    by_elbo = max(range(71), key=lambda i: found[i].elbo)
    assert by_evidence == 20 and by_elbo > 22
    assert found[by_elbo].log_evidence < found[20].log_evidence - 1e-3, "a higher ELBO with a lower evidence"


@pytest.mark.equation("elbo-rotation")
def test_a_rotation_of_the_code_changes_the_bound_and_not_the_model():
    model, _, x = reference(12)
    values = []
    for angle in (0.0, 0.4, 0.8):
        R = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=F64)
        turned = LinearGaussian(model.W @ R, model.b, model.sigma)
        assert near(turned.log_evidence(x), model.log_evidence(x))
        values.append(float(elbo.nearest_factorised(turned.posterior(x))[1][0]))
    assert max(values) - min(values) > 0.005
    _, vectors = torch.linalg.eigh(model.W.T @ model.W)
    straight = LinearGaussian(model.W @ vectors, model.b, model.sigma)
    assert near(elbo.nearest_factorised(straight.posterior(x))[1], 0, 1e-12)


@pytest.mark.equation("elbo-two-gaps")
def test_the_gap_is_approximation_plus_amortisation():
    model, encoder, data = linear(4)
    encoder = encoder._replace(S=torch.diag(encoder.S.diagonal()))
    x = data.sample((20,))
    parts = elbo.exact_parts(model, encoder.q_z_given_x(x), x)
    best, approximation = elbo.nearest_factorised(model.posterior(x))
    amortisation = elbo.exact_parts(model, best, x).elbo - parts.elbo
    assert near(parts.gap, approximation + amortisation, 1e-9) and (amortisation > 0).all()


@pytest.mark.equation("elbo-at-mean", "elbo-at-mean-posterior")
def test_at_the_mean_the_bound_is_violated_upwards():
    model, q, x = reference(13)
    parts = elbo.exact_parts(model, q, x)
    at_mean = model.p_x_given_z(q.mean).log_prob(x) - parts.prior_kl
    excess = ((model.W.T @ model.W) * q.covariance_matrix[0]).sum() / (2 * model.sigma**2)
    assert near(at_mean - parts.elbo, excess)
    posterior = model.posterior(x)
    exact = elbo.exact_parts(model, posterior, x)
    above = model.p_x_given_z(posterior.mean).log_prob(x) - exact.prior_kl - exact.log_evidence
    kappa = torch.linalg.eigvalsh(model.W.T @ model.W) / model.sigma**2
    assert near(above, (kappa / (1 + kappa)).sum() / 2) and (above > 0.3).all()


@pytest.mark.equation("elbo-signs")
def test_signs():
    model, q, x = reference(14)
    parts = elbo.exact_parts(model, q, x)
    assert (-parts.log_evidence <= -parts.elbo).all() and near(-parts.elbo, -parts.reconstruction + parts.prior_kl)


# The living figure


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_the_living_figure_computes_what_the_module_does():
    rng = np.random.default_rng(8)
    cases = [[float(v) for v in (rng.uniform(-3, 3), rng.uniform(0.2, 2), rng.uniform(-4, 4), rng.uniform(0.16, 2))] for _ in range(30)]
    program = """
      globalThis.window = globalThis; globalThis.HTMLElement = class {};
      globalThis.customElements = { get() {}, define() {} };
      for (const file of process.argv.slice(1)) (0, eval)(require("fs").readFileSync(file, "utf8"));
      const f = window.vaeLiving.formulas, cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
      console.log(JSON.stringify(cases.map((c) => [...f.readingElbo(...c), ...f.readingPosterior(c[0], c[1])])));
    """
    files = [str(living.SCRIPTS / "living.js"), str(living.script("vae-elbo-gap"))]
    run = subprocess.run(["node", "-e", program, *files], input=json.dumps(cases), capture_output=True, text=True, check=True, timeout=60)
    for (x, sigma, mu, s), answer in zip(cases, json.loads(run.stdout)):
        model, q, point = one(x, sigma, mu, s)
        posterior = model.posterior(point)
        wanted = [float(v) for v in (*elbo.exact_parts(model, q, point)[:5], posterior.mean, posterior.stddev)]
        assert answer == pytest.approx(wanted, rel=1e-9, abs=1e-9)


# Bad input

ok_model, ok_q, ok_x = reference()
nan = torch.full((5, 4), math.nan, dtype=F64)
v2 = torch.ones(2, dtype=F64)
law = MultivariateNormal(torch.zeros(3, dtype=F64), torch.eye(3, dtype=F64))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: elbo.exact_parts(ok_model, ok_q, ok_x[:, :3]), r"x must be \(N, 4\)"),
        (lambda: elbo.exact_parts(ok_model, ok_q, ok_x[:0]), "N ≥ 1"),
        (lambda: elbo.exact_parts(ok_model, ok_q, ok_x[:2]), "q must hold 2 Gaussians of 2 dimensions"),
        (lambda: elbo.exact_parts(ok_model, ok_q, nan), "x has 20 value"),
        (lambda: elbo.route_lines(ok_model, one()[1], ok_x), r"q\.expand"),
        (lambda: elbo.log_weights(ok_model, ok_q, ok_x, 0), "n must be at least 1"),
        (lambda: elbo.log_weights(ok_model, ok_q, nan, 2), "x has 20 value"),
        (lambda: elbo.multi_sample_bound(ok_x, 6), "k must lie between 1 and the 5 draws"),
        (lambda: elbo.multi_sample_bound(ok_x, 0), "k must lie between"),
        (lambda: elbo.multi_sample_bound(nan, 2), "log_w has 20 value"),
        (lambda: elbo.gauss_hermite(ok_q, 0), "n must be at least 1"),
        (lambda: elbo.average_parts(ok_model, linear()[1], law), "the data 4 dimensions"),
        (lambda: elbo.exact_gradient(ok_model, ok_x[0], v2, 0 * v2), "sigma must be > 0"),
        (lambda: elbo.exact_gradient(ok_model, ok_x[0], v2[:1], v2[:1]), "mu and a row of W"),
        (lambda: elbo.gradient_terms(ok_model, nan[0], v2, v2, 5), "x has 4 value"),
        (lambda: elbo.gradient_terms(ok_model, ok_x[0], v2, v2, 0), "n must be at least 1"),
        (lambda: elbo.gradient_variances(ok_model, ok_x[0], v2 * math.inf, v2), "mu has 2 value"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

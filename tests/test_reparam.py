"""Reparameterisation: estimators against quadrature, SymPy and autograd; samplers by goodness of fit.

Randomised tests use fixed seeds. Where one would be random, its false-alarm rate is stated: a mean is accepted within
six standard errors (2e-9 each), a p-value above 1e-7.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch.distributions import Bernoulli, Categorical, Exponential, Gumbel, Independent, MultivariateNormal, Normal, OneHotCategorical

from vae_teach import reparam
from vae_teach.common import living

F64 = torch.float64
ALARM = 1e-7
MEANS, WIDTHS = st.floats(-2, 2), st.floats(0.3, 2)
DERIVATIVE = {"square": lambda z: 2 * z, "sine": np.cos}


def tensor(value):
    return torch.tensor(value, dtype=F64)


def near(samples, exact, axis=0):
    """The mean of the samples is within six standard errors of the exact value, everywhere."""
    samples = torch.as_tensor(samples)
    error = samples.std(axis) / math.sqrt(samples.shape[axis])
    return bool(((samples.mean(axis) - torch.as_tensor(exact)).abs() <= 6 * error + 1e-12).all())


def gaussian_mean(f, mu=0.0, sigma=1.0, at=()):
    """E[f(z)] for z ~ N(mu, sigma²) by quadrature, with breaks where f jumps."""
    law, edges = stats.norm(mu, sigma), sorted([mu - 12 * sigma, *at, mu + 12 * sigma])
    return sum(integrate.quad(lambda z: f(z) * law.pdf(z), a, b, epsabs=1e-12)[0] for a, b in zip(edges, edges[1:]))


def numeric(name):
    return lambda z: float(reparam.EXAMPLES[name][0](tensor(z)))


def one_value(name):
    """An example as a function of draws (n, K): summed over its dimensions."""
    return lambda z: reparam.EXAMPLES[name][0](z).sum(-1)


def draws(name, mu, sigma, n, seed, baseline=None):
    """Terms of one estimator of one example, in one dimension."""
    torch.manual_seed(seed)
    arguments = one_value(name), tensor([mu]), tensor([sigma]), n
    return reparam.pathwise_terms(*arguments) if baseline is None else reparam.score_terms(*arguments, baseline)


# The problem


@pytest.mark.equation("reparam-problem", "reparam-examples")
@pytest.mark.parametrize("name", reparam.EXAMPLES)
@given(MEANS, WIDTHS)
def test_exact_values_against_quadrature_and_finite_differences(name, mu, sigma):
    mean, by_mu, by_sigma = (float(t) for t in reparam.expectation(name, tensor(mu), tensor(sigma)))
    jumps = [0.0] if name == "step" and abs(mu) < 12 * sigma else []
    h, step = numeric(name), 1e-4
    assert mean == pytest.approx(gaussian_mean(h, mu, sigma, jumps), abs=1e-8)
    value = lambda m, s: float(reparam.expectation(name, tensor(m), tensor(s))[0])  # noqa: E731
    assert by_mu == pytest.approx((value(mu + step, sigma) - value(mu - step, sigma)) / (2 * step), abs=1e-5)
    assert by_sigma == pytest.approx((value(mu, sigma + step) - value(mu, sigma - step)) / (2 * step), abs=1e-4)
    printed = {
        "square": (mu**2 + sigma**2, 2 * mu, 2 * sigma),
        "sine": (math.exp(-(sigma**2) / 2) * math.sin(mu), math.exp(-(sigma**2) / 2) * math.cos(mu), -sigma * math.exp(-(sigma**2) / 2) * math.sin(mu)),
        "step": (stats.norm.cdf(mu / sigma), stats.norm.pdf(mu / sigma) / sigma, -mu / sigma**2 * stats.norm.pdf(mu / sigma)),
    }
    assert (mean, by_mu, by_sigma) == pytest.approx(printed[name], abs=1e-10)
    # The gradient is the integral of h against the derivative of the density, which is no density itself.
    slope = lambda z: h(z) * (z - mu) / sigma**2  # noqa: E731
    assert by_mu == pytest.approx(gaussian_mean(slope, mu, sigma, jumps), abs=1e-7)
    assert gaussian_mean(lambda z: (z - mu) / sigma**2, mu, sigma) == pytest.approx(0, abs=1e-8)


@pytest.mark.equation("reparam-inside")
def test_the_product_rule_has_two_terms():
    """h depends on a as well: z·a + z² under N(a, 1), whose mean is 2a² + 1."""
    z, a = sympy.symbols("z a", real=True)
    p, h = sympy.exp(-((z - a) ** 2) / 2) / sympy.sqrt(2 * sympy.pi), a * z + z**2
    whole = lambda f: sympy.simplify(sympy.integrate(sympy.expand(f) * p, (z, -sympy.oo, sympy.oo)))  # noqa: E731
    hidden, seen = whole(h * (z - a)), whole(sympy.diff(h, a))
    assert sympy.simplify(sympy.diff(whole(h), a) - hidden - seen) == 0
    assert sympy.simplify(hidden) != 0 and sympy.simplify(seen - a) == 0


# Score function


@pytest.mark.equation("reparam-log-trick", "reparam-score-normal")
def test_gaussian_scores_are_the_slopes_of_the_log_density():
    z, mu = sympy.symbols("z mu", real=True)
    sigma = sympy.symbols("sigma", positive=True)
    log_p = -sympy.log(sigma) - sympy.log(2 * sympy.pi) / 2 - (z - mu) ** 2 / (2 * sigma**2)
    epsilon = (z - mu) / sigma
    assert sympy.simplify(sympy.diff(log_p, mu) - epsilon / sigma) == 0
    assert sympy.simplify(sympy.diff(log_p, sigma) - (epsilon**2 - 1) / sigma) == 0
    assert sympy.simplify(sympy.diff(sympy.exp(log_p), mu) - sympy.exp(log_p) * sympy.diff(log_p, mu)) == 0


@pytest.mark.equation("reparam-score", "reparam-score-mc", "reparam-baseline")
@pytest.mark.parametrize("name", reparam.EXAMPLES)
@pytest.mark.parametrize("baseline", [0.0, 1.7])
def test_the_score_function_estimator_is_unbiased(name, baseline):
    """24 means, each within six standard errors: 5e-8 together."""
    for seed, (mu, sigma) in enumerate([(1.0, 1.0), (-0.4, 0.6)]):
        terms = draws(name, mu, sigma, 200_000, seed, baseline)
        _, by_mu, by_sigma = reparam.expectation(name, tensor(mu), tensor(sigma))
        assert near(terms.mu, by_mu) and near(terms.sigma, by_sigma)


def test_score_terms_are_those_of_autograd():
    """The same draws, with the log-density's gradient from torch.distributions."""
    mu, sigma = tensor([0.3, -1.0]), tensor([0.5, 2.0])
    torch.manual_seed(3)
    terms = reparam.score_terms(one_value("square"), mu, sigma, 7, baseline=0.4)
    torch.manual_seed(3)
    z = mu + sigma * torch.randn(7, 2, dtype=F64)
    for i in range(7):
        m, s = mu.clone().requires_grad_(), sigma.clone().requires_grad_()
        surrogate = (z[i].square().sum() - 0.4) * Normal(m, s).log_prob(z[i]).sum()
        torch.testing.assert_close((terms.mu[i], terms.sigma[i]), torch.autograd.grad(surrogate, (m, s)))


@pytest.mark.equation("reparam-score-zero")
@given(MEANS, WIDTHS)
def test_scores_have_mean_zero(mu, sigma):
    for score in (lambda z: (z - mu) / sigma**2, lambda z: ((z - mu) ** 2 / sigma**2 - 1) / sigma):
        assert gaussian_mean(score, mu, sigma) == pytest.approx(0, abs=1e-8)


@pytest.mark.equation("reparam-support")
@given(st.floats(0.2, 5))
def test_a_moving_support_breaks_the_score_function(alpha):
    """Z uniform on (0, alpha): the mean's slope is 1/2, the score's answer -1/2, and the missing boundary term 1."""
    inside = integrate.quad(lambda z: z * (-1 / alpha) / alpha, 0, alpha)[0]
    slope = ((alpha + 1e-4) / 2 - (alpha - 1e-4) / 2) / 2e-4
    assert inside == pytest.approx(-0.5) and slope == pytest.approx(0.5)
    assert slope - inside == pytest.approx(alpha * (1 / alpha))  # h p at the boundary, times its speed


@pytest.mark.equation("reparam-best-baseline", "reparam-baseline-normal")
@pytest.mark.parametrize("name", reparam.EXAMPLES)
def test_the_best_baseline_is_where_the_variance_is_least(name):
    mu, sigma = 0.8, 0.7
    mean, _, by_sigma = (float(t) for t in reparam.expectation(name, tensor(mu), tensor(sigma)))
    h, jumps = numeric(name), [0.0] if name == "step" else []
    hs2 = gaussian_mean(lambda z: h(z) * (z - mu) ** 2 / sigma**4, mu, sigma, jumps)
    exact = hs2 / (1 / sigma**2)
    assert exact == pytest.approx(mean + sigma * by_sigma, abs=1e-7)
    second = lambda b: gaussian_mean(lambda z: (h(z) - b) ** 2 * (z - mu) ** 2 / sigma**4, mu, sigma, jumps)  # noqa: E731
    assert second(exact) < min(second(exact - 0.05), second(exact + 0.05))
    assert second(0) - second(exact) == pytest.approx(hs2**2 * sigma**2, abs=1e-7)  # what it saves
    torch.manual_seed(0)
    epsilon = torch.randn(200_000, 1, dtype=F64)
    found = reparam.best_baseline(one_value(name)(mu + sigma * epsilon), epsilon / sigma)
    ratio = (torch.as_tensor(reparam.EXAMPLES[name][0](mu + sigma * epsilon)) - exact) * epsilon**2
    assert abs(float(found) - exact) < 6 * float(ratio.std()) / math.sqrt(len(epsilon)) * 1.05  # delta method; 2e-9


def test_a_baseline_from_the_same_draws_biases_and_one_from_the_others_does_not():
    """z² at mu = sigma = 1, whose gradient is 2, by n draws: (1 - 1/n) of it, or all; within six standard errors."""
    torch.manual_seed(0)
    for n in (2, 5):
        epsilon = torch.randn(200_000, n, dtype=F64)
        h = (1 + epsilon) ** 2
        others = (h.sum(1, keepdim=True) - h) / (n - 1)
        assert near(((h - h.mean(1, keepdim=True)) * epsilon).mean(1), 2 * (1 - 1 / n))
        assert near(((h - others) * epsilon).mean(1), 2.0)


# Pathwise


@pytest.mark.equation("reparam-lotus", "reparam-pathwise", "reparam-pathwise-mc")
@pytest.mark.parametrize("name", ["square", "sine"])
@given(MEANS, WIDTHS)
def test_the_path_gives_the_gradient(name, mu, sigma):
    mean, by_mu, by_sigma = reparam.expectation(name, tensor(mu), tensor(sigma))
    h, slope = numeric(name), DERIVATIVE[name]
    assert gaussian_mean(lambda e: h(mu + sigma * e)) == pytest.approx(float(mean), abs=1e-8)
    assert gaussian_mean(lambda e: slope(mu + sigma * e)) == pytest.approx(float(by_mu), abs=1e-8)
    assert gaussian_mean(lambda e: slope(mu + sigma * e) * e) == pytest.approx(float(by_sigma), abs=1e-8)
    torch.manual_seed(1)
    terms = reparam.pathwise_terms(one_value(name), tensor([mu]), tensor([sigma]), 500)
    torch.manual_seed(1)
    epsilon = torch.randn(500, 1, dtype=F64)
    by_hand = torch.as_tensor(slope((mu + sigma * epsilon).numpy()))
    torch.testing.assert_close(terms.mu, by_hand), torch.testing.assert_close(terms.sigma, by_hand * epsilon)


@pytest.mark.parametrize("name", ["square", "sine"])
def test_the_pathwise_estimator_is_unbiased(name):
    """Four means, each within six standard errors: 8e-9 together."""
    terms = draws(name, 1.0, 0.8, 100_000, 5)
    _, by_mu, by_sigma = reparam.expectation(name, tensor(1.0), tensor(0.8))
    assert near(terms.mu, by_mu) and near(terms.sigma, by_sigma)


@pytest.mark.equation("reparam-lipschitz", "reparam-step")
def test_kinks_are_harmless_and_jumps_are_not():
    """|z| keeps the bound of the condition; the step breaks it, and its pathwise terms are all zero."""
    mu, sigma, rng = 0.3, 0.7, np.random.default_rng(0)
    epsilon, shift = rng.normal(size=2000), rng.uniform(-1, 1, 2000)
    quotients = np.abs(np.abs(mu + shift + sigma * epsilon) - np.abs(mu + sigma * epsilon)) / np.abs(shift)
    assert quotients.max() <= 1 + 1e-9
    folded = lambda m: gaussian_mean(abs, m, sigma, [0.0])  # noqa: E731
    by_path = gaussian_mean(np.sign, mu, sigma, [0.0])
    assert by_path == pytest.approx((folded(mu + 1e-4) - folded(mu - 1e-4)) / 2e-4, abs=1e-6)

    _, exact, _ = reparam.expectation("step", tensor(mu), tensor(sigma))
    assert float(exact) == pytest.approx(stats.norm.pdf(mu / sigma) / sigma)
    assert torch.equal(draws("step", mu, sigma, 1000, 0).mu, torch.zeros(1000, 1, dtype=F64))
    for delta in (1e-1, 1e-2, 1e-3):  # quotients of the step are 1/delta, with a probability near delta times the slope
        hit = stats.norm.cdf((mu + delta) / sigma) - stats.norm.cdf(mu / sigma)
        assert hit / delta == pytest.approx(float(exact), rel=0.4 * delta / 0.1)


# The Gaussian


@pytest.mark.equation("reparam-normal", "reparam-slopes")
def test_a_draw_is_mu_plus_sigma_epsilon_and_its_slopes_are_as_printed():
    torch.manual_seed(0)
    mu, log_var = torch.randn(3, 2, dtype=F64, requires_grad=True), torch.randn(3, 2, dtype=F64, requires_grad=True)
    torch.manual_seed(1)
    z = reparam.reparameterize(mu, log_var, 4)
    torch.manual_seed(1)
    epsilon = torch.randn(4, 3, 2, dtype=F64)
    sigma = (log_var / 2).exp()
    assert z.shape == (4, 3, 2)
    torch.testing.assert_close(z, mu + sigma * epsilon)
    weights = torch.randn(4, 3, 2, dtype=F64)
    by_mu, by_log_var = torch.autograd.grad((weights * z).sum(), (mu, log_var))
    torch.testing.assert_close(by_mu, weights.sum(0))
    torch.testing.assert_close(by_log_var, (weights * sigma * epsilon / 2).sum(0))
    (by_sigma,) = torch.autograd.grad((weights * (mu.detach() + sigma * epsilon)).sum(), sigma)
    torch.testing.assert_close(by_sigma, (weights * epsilon).sum(0))


def test_gradients_of_a_draw_against_finite_differences():
    def draw(mu, log_var):
        torch.manual_seed(2)
        return reparam.reparameterize(mu, log_var, 3).sin().sum()

    assert torch.autograd.gradcheck(draw, (torch.randn(2, 3, dtype=F64, requires_grad=True), torch.randn(2, 3, dtype=F64, requires_grad=True)))


@pytest.mark.equation("reparam-jacobian")
@given(MEANS, WIDTHS, MEANS, WIDTHS, MEANS, MEANS)
def test_change_of_variables_gives_the_normal_density(m1, s1, m2, s2, z1, z2):
    inverse = lambda z: (z - tensor([m1, m2])) / tensor([s1, s2])  # noqa: E731
    z = tensor([z1, z2])
    jacobian = torch.autograd.functional.jacobian(inverse, z)
    by_rule = stats.norm.pdf(inverse(z).numpy()).prod() * abs(float(torch.linalg.det(jacobian)))
    assert by_rule == pytest.approx(stats.multivariate_normal([m1, m2], np.diag([s1**2, s2**2])).pdf([z1, z2]), rel=1e-9)
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1 / (s1 * s2))


@pytest.mark.equation("reparam-characteristic", "reparam-characteristic-one")
@given(st.floats(-4, 4), MEANS, WIDTHS)
def test_characteristic_functions_by_quadrature(t, mu, sigma):
    psi = lambda s: gaussian_mean(lambda e: math.cos(s * e))  # noqa: E731
    assert psi(t) == pytest.approx(math.exp(-(t**2) / 2), abs=1e-9)
    assert gaussian_mean(lambda e: math.sin(t * e)) == pytest.approx(0, abs=1e-9)
    centred = gaussian_mean(lambda y: math.cos(t * (y - mu)), mu, sigma)
    by_parts = gaussian_mean(lambda y: -(y - mu) * math.sin(t * (y - mu)), mu, sigma)
    assert by_parts == pytest.approx(-t * sigma**2 * centred, abs=1e-8)
    assert centred == pytest.approx(math.exp(-(t**2) * sigma**2 / 2), abs=1e-8)
    real, imaginary = (gaussian_mean(lambda z, f=f: f(t * z), mu, sigma) for f in (math.cos, math.sin))
    shrink = math.exp(-(t**2) * sigma**2 / 2)
    assert (real, imaginary) == pytest.approx((shrink * math.cos(t * mu), shrink * math.sin(t * mu)), abs=1e-8)


def test_draws_have_the_law_that_was_asked_for():
    """Kolmogorov–Smirnov on each of three dimensions: 1e-7 each."""
    torch.manual_seed(0)
    mu, log_var = tensor([[0.5, -2.0, 3.0]]), tensor([[-1.0, 0.0, 1.5]])
    z = reparam.reparameterize(mu, log_var, 50_000)[:, 0].numpy()
    for k in range(3):
        assert stats.kstest(z[:, k], stats.norm(mu[0, k].item(), math.exp(log_var[0, k].item() / 2)).cdf).pvalue > ALARM
    assert abs(np.corrcoef(z.T)[np.triu_indices(3, 1)]).max() < 6 / math.sqrt(50_000)  # independent dimensions, 6e-9


@pytest.mark.equation("reparam-wrong-laws")
def test_the_circulating_mistakes_have_other_laws_and_the_test_sees_them():
    torch.manual_seed(0)
    mu, log_var, n = 1.0, -1.5, 4000
    sigma, epsilon = math.exp(log_var / 2), torch.randn(4000, dtype=F64).numpy()
    wrong = {
        "sum": (mu + sigma + epsilon, stats.norm(mu + sigma, 1)),
        "bracket": ((mu + epsilon) * sigma, stats.norm(mu * sigma, sigma)),
        "exponent": (mu + math.exp(log_var) * epsilon, stats.norm(mu, sigma**2)),
    }
    right = stats.norm(mu, sigma)
    assert stats.kstwo(n).sf(0.05) < ALARM  # the page's threshold
    for z, printed in wrong.values():
        assert stats.kstest(z, printed.cdf).pvalue > ALARM
        assert stats.kstest(z, right.cdf).pvalue < 1e-12
    fixed = reparam.reparameterize(tensor([[mu]]), tensor([[log_var]]), n).flatten().numpy()
    assert stats.kstest(fixed, right.cdf).pvalue > ALARM


@pytest.mark.equation("reparam-cholesky")
def test_correlated_draws():
    """The whitened length is chi-squared, each margin is normal, and the mean and covariance agree: 1e-7 each."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 3))
    mu, cov = tensor([1.0, -2.0, 0.5]), torch.tensor(a @ a.T + 0.3 * np.eye(3))
    torch.manual_seed(0)
    z = reparam.correlated_normal(mu, cov, 40_000)
    shift = z - mu
    length = (shift @ torch.linalg.inv(cov) * shift).sum(-1).numpy()
    assert stats.kstest(length, stats.chi2(3).cdf).pvalue > ALARM
    for k in range(3):
        assert stats.kstest(z[:, k].numpy(), stats.norm(mu[k].item(), math.sqrt(cov[k, k].item())).cdf).pvalue > ALARM
    assert near(shift[:, :, None] * shift[:, None, :], cov)
    factor = torch.linalg.cholesky(cov)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=F64))[0]
    torch.testing.assert_close(factor @ factor.T, cov), torch.testing.assert_close(factor @ turn @ (factor @ turn).T, cov)
    point = tensor([0.2, -1.0, 1.5])
    inverse = torch.linalg.inv(factor)
    by_rule = (2 * math.pi) ** -1.5 * math.exp(-0.5 * float((inverse @ (point - mu)).square().sum())) * abs(float(torch.linalg.det(inverse)))
    assert by_rule == pytest.approx(stats.multivariate_normal(mu.numpy(), cov.numpy()).pdf(point.numpy()), rel=1e-9)
    t = tensor([0.3, -0.2, 0.4])  # the characteristic function, at one place
    exponent = -0.5 * float(t @ cov @ t)
    assert exponent == pytest.approx(-0.5 * float((factor.T @ t).square().sum()))
    phase = (z @ t).numpy()
    both = torch.tensor(np.stack([np.cos(phase), np.sin(phase)], 1))
    angle = float(t @ mu)
    assert near(both, tensor([math.exp(exponent) * math.cos(angle), math.exp(exponent) * math.sin(angle)]))


def test_correlated_draws_carry_gradients_to_the_covariance():
    def draw(mu, root):
        torch.manual_seed(0)
        return reparam.correlated_normal(mu, root @ root.T + torch.eye(2, dtype=F64), 3).square().sum()

    assert torch.autograd.gradcheck(draw, (torch.randn(2, dtype=F64, requires_grad=True), torch.randn(2, 2, dtype=F64, requires_grad=True)))


def test_sample_hides_its_parameters_and_rsample_does_not():
    mu, sigma = torch.tensor(1.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    assert not Normal(mu, sigma).sample().requires_grad
    torch.manual_seed(0)
    z = Normal(mu, sigma).rsample()
    torch.manual_seed(0)
    assert torch.isclose(z, mu + sigma * torch.randn(()))
    z.backward()
    assert mu.grad == 1 and torch.isclose(sigma.grad, ((z - mu) / sigma).detach())
    continuous = [Normal(0.0, 1.0), Independent(Normal(torch.zeros(2), 1.0), 1), MultivariateNormal(torch.zeros(2), torch.eye(2)), Exponential(1.0), Gumbel(0.0, 1.0)]
    discrete = [Bernoulli(0.5), Categorical(torch.ones(3)), OneHotCategorical(torch.ones(3))]
    assert [law.has_rsample for law in continuous] == [True] * 5 and [law.has_rsample for law in discrete] == [False] * 3


# Variances


@pytest.mark.equation("reparam-moments")
def test_moments_of_the_standard_normal():
    assert [gaussian_mean(lambda e, k=k: e**k) for k in (1, 2, 3, 4, 5, 6)] == pytest.approx([0, 1, 0, 3, 0, 15], abs=1e-8)


@pytest.mark.equation("reparam-variance-path", "reparam-variance-score", "reparam-variances", "reparam-ratio")
def test_variances_line_by_line():
    """Every expectation by SymPy for K = 3, then the printed formulas, then the function."""
    K = 3
    epsilon, mu = sympy.symbols("e1:4", real=True), sympy.symbols("m1:4", real=True)
    sigma = sympy.symbols("s1:4", positive=True)
    moment = {0: 1, 1: 0, 2: 1, 3: 0, 4: 3, 5: 0, 6: 15}

    def mean(expression):
        return sum(c * math.prod(moment[k] for k in powers) for powers, c in sympy.Poly(sympy.expand(expression), *epsilon).terms())

    z = [m + s * e for m, s, e in zip(mu, sigma, epsilon)]
    h, i = sum(t**2 for t in z), 0
    m, s, e = mu[i], sigma[i], epsilon[i]
    r, v = (sum(f(mu[j], sigma[j]) for j in range(K) if j != i) for f in (lambda m, s: m**2 + s**2, lambda m, s: 2 * s**4 + 4 * m**2 * s**2))
    rest = h - z[i] ** 2
    assert sympy.expand(mean(rest) - r) == 0 and sympy.expand(mean(rest**2) - r**2 - v) == 0
    assert sympy.expand(mean(z[i] ** 4 * e**2) - (m**4 + 18 * m**2 * s**2 + 15 * s**4)) == 0
    assert sympy.expand(mean(z[i] ** 2 * e**2) - (m**2 + 3 * s**2)) == 0
    best = sympy.expand(mean(h * e**2))
    assert sympy.expand(best - (m**2 + 3 * s**2 + r)) == 0
    path = mean((2 * z[i]) ** 2) - (2 * m) ** 2
    plain = mean((h * e / s) ** 2) - (2 * m) ** 2
    based = mean(((h - best) * e / s) ** 2) - (2 * m) ** 2
    assert sympy.expand(path - 4 * s**2) == 0
    assert sympy.simplify(based - (8 * m**2 + 6 * s**2 + v / s**2)) == 0
    assert sympy.simplify(plain - based - (m**2 + 3 * s**2 + r) ** 2 / s**2) == 0
    values = dict(zip([*mu, *sigma], [0.5, -1.0, 2.0, 0.7, 1.3, 0.4]))
    found = reparam.square_variances(tensor([0.5, -1.0, 2.0]), tensor([0.7, 1.3, 0.4]))
    assert [float(f[0]) for f in found] == pytest.approx([float(expression.subs(values)) for expression in (plain, based, path)])
    for k in (1, 2, 16, 256):  # all means and widths one
        plain, based, path = (float(f[0]) for f in reparam.square_variances(torch.ones(k, dtype=F64), torch.ones(k, dtype=F64)))
        assert path == 4 and based == pytest.approx(6 * k + 8) and plain == pytest.approx(4 * k**2 + 14 * k + 12)
        assert plain / path == pytest.approx(k**2 + 3.5 * k + 3) and based / path == pytest.approx(1.5 * k + 2)


@pytest.mark.parametrize("k", [1, 4, 32])
def test_measured_variances_agree_with_the_formulas(k):
    """The mean squared deviation from the exact gradient, within six standard errors: 2e-9 a number."""
    torch.manual_seed(k)
    mu, sigma, n = torch.ones(k, dtype=F64), torch.full((k,), 0.8, dtype=F64), 40_000
    plain, based, path = reparam.square_variances(mu, sigma)
    best = float(mu[0] ** 2 + 3 * sigma[0] ** 2 + (k - 1) * (mu[0] ** 2 + sigma[0] ** 2))
    for terms, exact in [
        (reparam.score_terms(one_value("square"), mu, sigma, n), plain),
        (reparam.score_terms(one_value("square"), mu, sigma, n, best), based),
        (reparam.pathwise_terms(one_value("square"), mu, sigma, n), path),
    ]:
        assert near((terms.mu - 2 * mu) ** 2, exact)


# Beyond Gaussians


@pytest.mark.equation("reparam-inverse-cdf", "reparam-exponential", "reparam-logistic", "reparam-gumbel")
def test_inverse_distribution_functions():
    """Against SciPy's quantiles, and by Kolmogorov–Smirnov on draws: 1e-7 each."""
    torch.manual_seed(0)
    u = torch.rand(20_000, dtype=F64).clamp(min=1e-12)
    for z, law in [
        (reparam.exponential_from_uniform(u, tensor(2.5)), stats.expon(scale=1 / 2.5)),
        (reparam.logistic_from_uniform(u, tensor(-1.0), tensor(0.7)), stats.logistic(-1, 0.7)),
        (reparam.gumbel_from_uniform(u), stats.gumbel_r()),
    ]:
        np.testing.assert_allclose(z, law.ppf(u.numpy()), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(law.cdf(z.numpy()), u, atol=1e-9)
        assert stats.kstest(z.numpy(), law.cdf).pvalue > ALARM
    grid = np.linspace(-3, 8, 50)
    np.testing.assert_allclose(stats.gumbel_r.cdf(grid), np.exp(-np.exp(-grid)))
    np.testing.assert_allclose(stats.logistic.cdf(grid), 1 / (1 + np.exp(-grid)))


@pytest.mark.equation("reparam-implicit")
def test_implicit_slopes_are_those_of_the_quantile():
    """-(dF/dalpha)/p against autograd through the quantile, and against the slopes of the Gaussian."""
    rate, u = tensor(1.7).requires_grad_(), tensor([0.1, 0.5, 0.9])
    z = reparam.exponential_from_uniform(u, rate)
    explicit = torch.stack([torch.autograd.grad(t, rate, retain_graph=True)[0] for t in z])
    z = z.detach()
    (by_rate,) = torch.autograd.functional.jacobian(lambda a: (1 - torch.exp(-a * z),), rate.detach())
    torch.testing.assert_close(explicit, -by_rate / (1.7 * torch.exp(-1.7 * z)))
    mu, sigma = tensor(0.4), tensor(1.3)
    z = mu + sigma * tensor([-1.2, 0.3, 2.0])
    density = Normal(mu, sigma).log_prob(z).exp()
    by_mu, by_sigma = torch.autograd.functional.jacobian(lambda m, s: Normal(m, s).cdf(z), (mu, sigma))
    torch.testing.assert_close(-by_mu / density, torch.ones(3, dtype=F64))
    torch.testing.assert_close(-by_sigma / density, (z - mu) / sigma)


@pytest.mark.equation("reparam-gumbel-max")
@pytest.mark.parametrize("logits", [[0.0, 0.0], [1.0, -1.0, 0.3], [2.0, -3.0, 0.5, 0.5, -0.2]])
def test_gumbel_max_draws_by_softmax(logits):
    """Each line's integral by quadrature; counts by chi-squared: 1e-7 each."""
    p = np.exp(logits) / np.exp(logits).sum()
    for k in range(len(logits)):
        others = [stats.gumbel_r(loc) for j, loc in enumerate(logits) if j != k]
        wins = integrate.quad(lambda g: stats.gumbel_r.pdf(g, logits[k]) * math.prod(law.cdf(g) for law in others), -12, 40, epsabs=1e-12)[0]
        total = np.exp(logits).sum()
        merged = integrate.quad(lambda g: math.exp(logits[k]) * math.exp(-g) * math.exp(-math.exp(-g) * total), -12, 40, epsabs=1e-12)[0]
        assert wins == pytest.approx(p[k], abs=1e-9) and merged == pytest.approx(p[k], abs=1e-9)
    torch.manual_seed(0)
    for drawn in (reparam.gumbel_max(tensor(logits), 50_000), reparam.gumbel_softmax(tensor(logits), 50_000, 0.7).argmax(-1)):
        counts = np.bincount(drawn.numpy(), minlength=len(logits))
        assert stats.chisquare(counts, 50_000 * p).pvalue > ALARM


@pytest.mark.equation("reparam-softmax")
def test_soft_categories_and_their_two_limits():
    logits = tensor([1.0, -0.5, 0.2])
    torch.manual_seed(0)
    soft = reparam.gumbel_softmax(logits, 1000, 0.5)
    torch.manual_seed(0)
    gumbel = -torch.log(-torch.log(torch.rand(1000, 3, dtype=F64)))
    torch.testing.assert_close(soft, torch.softmax((logits + gumbel) / 0.5, -1))
    cold, hot = reparam.gumbel_softmax(logits, 1000, 1e-3), reparam.gumbel_softmax(logits, 1000, 1e4)
    assert float(cold.max(-1).values.median()) > 1 - 1e-9 and float((hot - 1 / 3).abs().max()) < 1e-2

    def draw(logits):
        torch.manual_seed(1)
        return reparam.gumbel_softmax(logits, 5, 0.7).square().sum()

    assert torch.autograd.gradcheck(draw, logits.clone().requires_grad_())


def test_soft_categories_of_two_have_the_law_of_a_squeezed_logistic():
    """The difference of two Gumbels is logistic, so y = 1/(1+exp(-(l+L)/temperature)); Kolmogorov–Smirnov, 1e-7."""
    torch.manual_seed(0)
    temperature, gap = 0.6, 0.8
    y = reparam.gumbel_softmax(tensor([gap, 0.0]), 20_000, temperature)[:, 0]
    back = temperature * torch.logit(y.clamp(1e-15, 1 - 1e-15)) - gap
    assert stats.kstest(back.numpy(), stats.logistic().cdf).pvalue > ALARM


@pytest.mark.equation("reparam-straight", "reparam-categorical")
def test_straight_through_is_hard_forwards_and_soft_backwards():
    logits = tensor([0.3, -1.0, 0.6]).requires_grad_()
    soft, hard = torch.softmax(logits, -1), tensor([0.0, 0.0, 1.0])
    through = reparam.straight_through(hard, soft)
    assert torch.equal(through.detach(), hard)
    weights = tensor([1.0, 2.0, -3.0])
    (slope,) = torch.autograd.grad((weights * through).sum(), logits, retain_graph=True)
    (expected,) = torch.autograd.grad((weights * soft).sum(), logits)
    torch.testing.assert_close(slope, expected)
    torch.testing.assert_close(slope, reparam.categorical_gradient(logits.detach(), weights))
    assert float(slope.sum()) == pytest.approx(0, abs=1e-12)


@pytest.mark.equation("reparam-straight-bias")
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.floats(-2, 2))
def test_the_straight_through_bias_is_the_slope_of_the_spread(logits, levels, target):
    """h(y) = (v·y - t)²: exact gradient minus straight-through is the gradient of the variance of v."""
    logits, v = tensor(logits).requires_grad_(), tensor(levels)
    p = torch.softmax(logits, -1)
    mean = (p * v).sum()
    (exact,) = torch.autograd.grad((p * (v - target) ** 2).sum(), logits, retain_graph=True)
    (spread,) = torch.autograd.grad((p * v**2).sum() - mean**2, logits, retain_graph=True)
    (centre,) = torch.autograd.grad((mean - target) ** 2, logits, retain_graph=True)
    through = torch.zeros(3, dtype=F64)
    for k in range(3):  # every category with its probability: the estimator's mean without sampling
        hard = torch.nn.functional.one_hot(torch.tensor(k), 3).to(F64)
        y = reparam.straight_through(hard, torch.softmax(logits, -1))
        through += p[k].detach() * torch.autograd.grad(((v * y).sum() - target) ** 2, logits)[0]
    torch.testing.assert_close(exact, reparam.categorical_gradient(logits.detach(), (v - target) ** 2))
    torch.testing.assert_close(through, centre)
    torch.testing.assert_close(exact - through, spread)


def test_the_soft_estimator_is_unbiased_for_the_soft_expectation():
    """Two categories, h(y) = (y - 0.3)²: pathwise through the soft draw against quadrature; within six standard errors."""
    temperature, n = 2.0, 100_000
    soft = lambda gap, noise: 1 / (1 + math.exp(-(gap + noise) / temperature))  # noqa: E731
    value = lambda gap: integrate.quad(lambda x: (soft(gap, x) - 0.3) ** 2 * stats.logistic.pdf(x), -40, 40, epsabs=1e-12)[0]  # noqa: E731
    exact = (value(0.5 + 1e-4) - value(0.5 - 1e-4)) / 2e-4
    torch.manual_seed(0)
    logits = tensor([0.5, 0.0]).expand(n, 2).clone().requires_grad_()
    gumbel = Gumbel(tensor(0.0), tensor(1.0)).sample((n, 2))
    y = torch.softmax((logits + gumbel) / temperature, -1)
    (terms,) = torch.autograd.grad(((y[:, 0] - 0.3) ** 2).sum(), logits)
    assert near(terms[:, 0], exact)
    p = 1 / (1 + math.exp(-0.5))
    assert abs(exact - p * (1 - p) * (0.7**2 - 0.3**2)) > 0.01  # biased for the hard one


# An image


@pytest.mark.equation("reparam-decoder", "reparam-samples")
def test_the_expected_error_of_a_linear_decoder():
    """Closed form against both estimators, within six standard errors; and how many samples equal one."""
    rng = np.random.default_rng(0)
    W, x, c = torch.tensor(rng.normal(size=(7, 3))), torch.tensor(rng.normal(size=7)), torch.tensor(rng.normal(size=7))
    mu, sigma = tensor([0.2, -0.5, 1.0]), torch.full((3,), 0.4, dtype=F64)
    h = lambda z: ((x - c - z @ W.T) ** 2).sum(-1)  # noqa: E731
    m = mu.clone().requires_grad_()
    exact_value = h(m) + 0.4**2 * torch.trace(W.T @ W)
    torch.manual_seed(0)
    assert near(h(mu + sigma * torch.randn(100_000, 3, dtype=F64)), exact_value.detach())
    (exact,) = torch.autograd.grad(exact_value, m)
    torch.testing.assert_close(exact, -2 * W.T @ (x - c - W @ mu))
    score, path = reparam.score_terms(h, mu, sigma, 100_000), reparam.pathwise_terms(h, mu, sigma, 100_000)
    assert near(score.mu, exact) and near(path.mu, exact)
    total = [float(t.mu.var(0).sum()) for t in (score, path)]
    needed = math.ceil(total[0] / total[1])  # averages of so many score terms have the error of one pathwise term
    averages = score.mu[: needed * (100_000 // needed)].reshape(-1, needed, 3).mean(1)
    assert float(averages.var(0).sum()) == pytest.approx(total[1], rel=0.3)


# The living figure, and bad input

spec = importlib.util.spec_from_file_location("browser_tool", Path(__file__).resolve().parent.parent / "tools/browser.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def mulberry(seed, n):
    """The generator of the living figure, again: integers of 32 bits, then Box and Muller."""
    mask, state, found = 2**32 - 1, seed, []
    for _ in range(2 * n):
        state = (state + 0x6D2B79F5) & mask
        t = (state ^ (state >> 15)) * (1 | state) & mask
        t = (t + ((t ^ (t >> 7)) * (61 | t) & mask)) & mask ^ t
        found.append(((t ^ (t >> 14)) + 0.5) / 2**32)
    return [math.sqrt(-2 * math.log(a)) * math.cos(2 * math.pi * b) for a, b in zip(found[::2], found[1::2])]


@pytest.mark.browser
@pytest.mark.skipif(tool.find() is None, reason="no Chromium or Chrome on this machine")
def test_the_living_figure_computes_what_the_module_computes():
    """The draws pass Kolmogorov–Smirnov at 1e-7; everything else is equal to rounding."""
    from playwright.sync_api import sync_playwright

    rng = np.random.default_rng(0)
    points = [(name, m, s) for name in reparam.EXAMPLES for m, s in zip(rng.uniform(-2, 2, 20), rng.uniform(0.2, 1.5, 20))]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool.find(), args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        for path in (living.SCRIPTS / "living.js", living.script("vae-gradient-estimators")):
            tab.add_script_tag(path=str(path))
        ask = lambda name, *arguments: tab.evaluate(f"(given) => given.map((row) => vaeLiving.formulas.{name}(...row))", list(arguments))  # noqa: E731
        noise = ask("reparamNoise", [7, 20_000], [7, 20_000], [8, 50])
        exact = ask("reparamExact", *points)
        kinds = {kind: ask("reparamBaseline", *[(*point, kind) for point in points]) for kind in ("none", "mean", "best")}
        terms = ask("reparamTerms", *[(*point, e, 0.3) for point in points for e in (-1.1, 0.4)])
        estimates = ask("reparamEstimates", ["sine", 0.5, 0.8, 3, "best", 7])[0]
        browser.close()

    assert noise[0] == noise[1] and noise[2] == pytest.approx(mulberry(8, 50), abs=1e-12)
    assert stats.kstest(noise[0], stats.norm.cdf).pvalue > ALARM
    for i, (name, m, s) in enumerate(points):
        mean, by_mu, by_sigma = (float(t) for t in reparam.expectation(name, tensor(m), tensor(s)))
        assert exact[i] == pytest.approx([mean, by_mu, by_sigma], abs=1e-12)
        assert [kinds[k][i] for k in ("none", "mean", "best")] == pytest.approx([0, mean, mean + s * by_sigma], abs=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        for i, (point, e) in enumerate((point, e) for point in points for e in (-1.1, 0.4)):
            name, m, s = point
            patch.setattr(torch, "randn", lambda *shape, e=e, **_: torch.full((1, 1), e, dtype=F64))
            mine = [f(one_value(name), tensor([m]), tensor([s]), 1, *rest).mu.item() for f, rest in ((reparam.score_terms, [0.3]), (reparam.pathwise_terms, []))]
            assert terms[i] == pytest.approx(mine, abs=1e-12)
    mean, _, by_sigma = reparam.expectation("sine", tensor(0.5), tensor(0.8))
    epsilon = torch.tensor(noise[0][:1200], dtype=F64)
    z = 0.5 + 0.8 * epsilon
    score = (torch.sin(z) - (mean + 0.8 * by_sigma)) * epsilon / 0.8
    assert estimates[0] == pytest.approx(score.reshape(400, 3).mean(1).tolist(), abs=1e-12)
    assert estimates[1] == pytest.approx(torch.cos(z).reshape(400, 3).mean(1).tolist(), abs=1e-12)


one, two = torch.ones(1), torch.ones(2)
square = one_value("square")


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: reparam.reparameterize(torch.zeros(1, 2), torch.zeros(1, 2), 0), "n_samples must be at least 1"),
        (lambda: reparam.correlated_normal(torch.tensor([math.nan, 0.0]), torch.eye(2), 3), "mu has 1 value"),
        (lambda: reparam.correlated_normal(torch.zeros(2), -torch.eye(2), 3), "cov must be symmetric and positive definite"),
        (lambda: reparam.correlated_normal(torch.zeros(2), torch.eye(2), 0), "n must be at least 1"),
        (lambda: reparam.score_terms(square, one, 0 * one, 3), "sigma must be > 0"),
        (lambda: reparam.score_terms(square, one * math.inf, one, 3), "mu has 1 value"),
        (lambda: reparam.score_terms(square, one, one, 0), "n must be at least 1"),
        (lambda: reparam.score_terms(torch.square, two, two, 3), r"h must give shape \(3,\), got \(3, 2\)"),
        (lambda: reparam.pathwise_terms(square, one, -one, 3), "sigma must be > 0"),
        (lambda: reparam.pathwise_terms(lambda z: (z > 0).float().sum(-1), one, one, 3), "score_terms needs no slope"),
        (lambda: reparam.best_baseline(torch.ones(3), torch.zeros(3, 1)), "a score is zero at every draw"),
        (lambda: reparam.best_baseline(torch.ones(3), torch.full((3, 1), math.nan)), "score has 3 value"),
        (lambda: reparam.best_baseline(torch.ones(3) / 0, torch.ones(3, 1)), "h_z has 3 value"),
        (lambda: reparam.square_variances(one, 0 * one), "sigma must be > 0"),
        (lambda: reparam.exponential_from_uniform(torch.tensor([0.0, 0.5]), tensor(1.0)), "strictly between 0 and 1"),
        (lambda: reparam.exponential_from_uniform(torch.tensor([0.5]), tensor(-1.0)), "rate must be > 0"),
        (lambda: reparam.logistic_from_uniform(torch.tensor([1.0]), tensor(0.0), tensor(1.0)), "strictly between 0 and 1"),
        (lambda: reparam.logistic_from_uniform(torch.tensor([0.5]), tensor(0.0), tensor(0.0)), "scale must be > 0"),
        (lambda: reparam.gumbel_from_uniform(torch.tensor([math.nan])), "strictly between 0 and 1"),
        (lambda: reparam.gumbel_max(torch.tensor([math.nan, 0.0]), 3), "logits has 1 value"),
        (lambda: reparam.gumbel_max(torch.zeros(2), 0), "n must be at least 1"),
        (lambda: reparam.gumbel_softmax(torch.zeros(2), 3, 0.0), "temperature must be > 0 and finite, got 0"),
        (lambda: reparam.gumbel_softmax(torch.zeros(2), 3, math.inf), "temperature must be > 0 and finite"),
        (lambda: reparam.categorical_gradient(torch.zeros(2), torch.tensor([math.inf, 0.0])), "h_k has 1 value"),
        (lambda: reparam.expectation("cube", one, one), "no example 'cube'; there are square"),
        (lambda: reparam.expectation("sine", one, 0 * one), "sigma must be > 0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: reparam.reparameterize.__wrapped__(torch.zeros(2, 3), torch.zeros(1, 3)),
        lambda: reparam.score_terms.__wrapped__(square, torch.zeros(2), torch.ones(1), 3),
        lambda: reparam.straight_through.__wrapped__(torch.zeros(2), torch.zeros(3)),
        lambda: reparam.square_variances.__wrapped__(torch.zeros(2), torch.ones(1)),
    ],
)
def test_shapes_that_would_broadcast_are_refused_without_jaxtyping_too(call):
    with pytest.raises(ValueError, match="must have the same shape"):
        call()


def test_the_guards_do_not_stand_in_the_way_of_gradients():
    rate = torch.tensor(2.0, requires_grad=True)
    reparam.exponential_from_uniform(torch.tensor([0.5]), rate).sum().backward()
    assert float(rate.grad) == pytest.approx(-math.log(2) / 4)

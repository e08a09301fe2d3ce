"""KL: every closed form against quadrature, Monte Carlo, torch.distributions or SymPy.

Randomised tests use fixed seeds; where a test would be random, its false-alarm rate is stated.
"""

import math
import subprocess
import sys

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats
from torch.distributions import Bernoulli, Categorical, Independent, MultivariateNormal, Normal, kl_divergence

from vae_teach import kl
from vae_teach.fashion_mnist import binned_gaussian

F64 = torch.float64
probabilities = st.integers(1, 8).flatmap(lambda n: st.tuples(*[hnp.arrays(float, n, elements=st.floats(0, 1)).filter(lambda a: a.sum() > 1e-3)] * 2))


def vector(a):
    return torch.tensor(a / a.sum(), dtype=F64)


def tensors(*values):
    return [torch.tensor(v, dtype=F64) for v in values]


def covariance(rng, d):
    a = rng.normal(size=(d, d))
    return torch.tensor(a @ a.T + 0.3 * np.eye(d))


@pytest.mark.equation("kl-entropy", "kl-discrete")
@given(probabilities)
def test_tables_agree_with_scipy(pair):
    p, q = (vector(a) for a in pair)
    assert torch.isclose(kl.entropy(p), torch.tensor(stats.entropy(p)), atol=1e-12)
    if bool(((q == 0) & (p > 0)).any()):
        assert kl.kl_categorical(p, q) == math.inf == kl.cross_entropy(p, q)
    else:
        assert float(kl.kl_categorical(p, q)) == pytest.approx(stats.entropy(p, q), abs=1e-9)
        assert float(kl.cross_entropy(p, q) - kl.entropy(p)) == pytest.approx(stats.entropy(p, q), abs=1e-9)


@pytest.mark.equation("kl-nonnegative")
@given(probabilities)
def test_tables_are_never_negative(pair):
    p, q = (vector(a) for a in pair)
    assert kl.kl_categorical(p.float(), q.float()) >= 0
    assert kl.kl_categorical(p, p) == 0
    if (p - q).abs().max() > 1e-6:
        assert kl.kl_categorical(p, q) > 0


@pytest.mark.equation("kl-tangent")
def test_the_tangent_lies_above_the_logarithm():
    t = sympy.symbols("t", positive=True)
    f = t - 1 - sympy.log(t)
    assert sympy.solve(sympy.diff(f, t), t) == [1]
    assert f.subs(t, 1) == 0
    assert sympy.diff(f, t, 2).is_positive


@pytest.mark.equation("kl-jensen")
@given(hnp.arrays(float, 6, elements=st.floats(1e-3, 1e3)), hnp.arrays(float, 6, elements=st.floats(0.01, 1)))
def test_jensen(t, weights):
    w = weights / weights.sum()
    gap = math.log(w @ t) - w @ np.log(t)
    assert gap >= -1e-12
    if np.ptp(t) > 1e-3 * t.max():
        assert gap > 0


@pytest.mark.equation("kl-log-normal", "kl-log-mvn")
def test_log_densities_as_printed():
    x, mu, sigma = 0.7, -0.4, 1.7
    printed = -math.log(sigma) - 0.5 * math.log(2 * math.pi) - (x - mu) ** 2 / (2 * sigma**2)
    assert printed == pytest.approx(stats.norm(mu, sigma).logpdf(x), abs=1e-12)
    rng = np.random.default_rng(0)
    cov = covariance(rng, 3).numpy()
    x, mu = rng.normal(size=(2, 3))
    printed = -1.5 * math.log(2 * math.pi) - 0.5 * math.log(np.linalg.det(cov)) - 0.5 * (x - mu) @ np.linalg.inv(cov) @ (x - mu)
    assert printed == pytest.approx(stats.multivariate_normal(mu, cov).logpdf(x), abs=1e-10)


@pytest.mark.equation("kl-continuous", "kl-normal")
@pytest.mark.parametrize("values", [(0, 2, 1, 0.5), (1, 0.5, 0, 2), (-3, 1, 2, 1.5), (0, 1, 0, 1)])
def test_univariate_against_quadrature(values):
    m1, s1, m2, s2 = values
    q, p = stats.norm(m1, s1), stats.norm(m2, s2)
    integral, _ = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), m1 - 12 * s1, m1 + 12 * s1, epsabs=1e-12)
    assert float(kl.kl_normal(*tensors(*values))) == pytest.approx(integral, abs=1e-9)


@pytest.mark.equation("kl-normal")
def test_univariate_line_by_line():
    """Every line of the derivation has one value, the expectations taken by SymPy."""
    x, m1, m2 = sympy.symbols("x mu_1 mu_2", real=True)
    s1, s2 = sympy.symbols("sigma_1 sigma_2", positive=True)
    q = sympy.exp(-((x - m1) ** 2) / (2 * s1**2)) / (s1 * sympy.sqrt(2 * sympy.pi))

    def mean(f):
        return sympy.integrate(sympy.expand(f) * q, (x, -sympy.oo, sympy.oo))

    square_1, square_2 = mean((x - m1) ** 2), mean((x - m2) ** 2)
    lines = [
        mean(-sympy.log(s1) - (x - m1) ** 2 / (2 * s1**2) + sympy.log(s2) + (x - m2) ** 2 / (2 * s2**2)),
        sympy.log(s2 / s1) - square_1 / (2 * s1**2) + square_2 / (2 * s2**2),
        sympy.log(s2 / s1) - sympy.Rational(1, 2) + square_2 / (2 * s2**2),
        sympy.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - sympy.Rational(1, 2),
    ]
    for line in lines[:-1]:
        assert sympy.simplify(sympy.expand_log(line - lines[-1], force=True)) == 0


@given(st.floats(-5, 5), st.floats(0.05, 20), st.floats(-5, 5), st.floats(0.05, 20))
def test_univariate_against_torch(m1, s1, m2, s2):
    mine = kl.kl_normal(*tensors(m1, s1, m2, s2))
    theirs = kl_divergence(Normal(*tensors(m1, s1)), Normal(*tensors(m2, s2)))
    assert torch.isclose(mine, theirs, rtol=1e-9, atol=1e-11)
    assert mine >= 0


@pytest.mark.equation("kl-trace")
def test_trace_trick_by_monte_carlo():
    """Within six standard errors: false-alarm rate 2e-9."""
    rng = np.random.default_rng(1)
    cov, a = covariance(rng, 3).numpy(), rng.normal(size=(3, 3))
    mean, m = rng.normal(size=(2, 3))
    d = rng.multivariate_normal(mean, cov, 200_000) - m
    terms = np.einsum("ni,ij,nj->n", d, a, d)
    exact = np.trace(a @ cov) + (mean - m) @ a @ (mean - m)
    assert abs(terms.mean() - exact) < 6 * terms.std() / math.sqrt(len(terms))


@pytest.mark.equation("kl-mvn")
@pytest.mark.parametrize("d", [1, 2, 5])
def test_multivariate_against_torch_and_the_printed_formula(d):
    rng = np.random.default_rng(d)
    (m1, m2), s1, s2 = rng.normal(size=(2, d)), covariance(rng, d), covariance(rng, d)
    mine = kl.kl_multivariate_normal(torch.tensor(m1), s1, torch.tensor(m2), s2)
    theirs = kl_divergence(MultivariateNormal(torch.tensor(m1), s1), MultivariateNormal(torch.tensor(m2), s2))
    inverse = np.linalg.inv(s2.numpy())
    printed = 0.5 * (np.trace(inverse @ s1.numpy()) + (m2 - m1) @ inverse @ (m2 - m1) - d + math.log(np.linalg.det(s2.numpy()) / np.linalg.det(s1.numpy())))
    assert float(mine) == pytest.approx(float(theirs), rel=1e-9)
    assert float(mine) == pytest.approx(printed, rel=1e-9)


@pytest.mark.equation("kl-standard")
@given(hnp.arrays(float, (3, 4), elements=st.floats(-4, 4)), hnp.arrays(float, (3, 4), elements=st.floats(-6, 6)))
def test_standard_normal_against_torch_and_the_general_form(mu, log_var):
    mu, log_var = torch.tensor(mu), torch.tensor(log_var)
    mine = kl.kl_standard_normal(mu, log_var)
    q = Independent(Normal(mu, (log_var / 2).exp()), 1)
    p = Independent(Normal(torch.zeros(3, 4, dtype=F64), 1.0), 1)
    assert torch.allclose(mine, kl_divergence(q, p), rtol=1e-9, atol=1e-10)
    assert torch.allclose(mine, kl.kl(q, p), rtol=1e-9, atol=1e-10)
    assert mine.shape == (3,)


def test_float32_keeps_its_digits():
    """Relative error 1e-5 for |log_var| in [0.1, 80], absolute 1e-8 below, against float64."""
    for low, high in [(1e-7, 0.1), (0.1, 80.0)]:
        size = torch.logspace(math.log10(low), math.log10(high), 2000, dtype=F64)
        log_var = torch.cat([size, -size]).float()[:, None]
        mu = torch.zeros_like(log_var)
        got = kl.kl_standard_normal(mu, log_var).double()
        exact = kl.kl_standard_normal(mu.double(), log_var.double())
        error = (got - exact).abs()
        assert (error <= (1e-8 if high <= 0.1 else 1e-5 * exact)).all()


@pytest.mark.equation("kl-moments")
def test_forward_fit_matches_the_targets_moments():
    centres, weights = torch.tensor([-2.0, 2.0], dtype=F64), torch.tensor([0.6, 0.4], dtype=F64)

    def log_target(x):
        return torch.logsumexp(weights.log() + Normal(centres, 0.7).log_prob(x[:, None]), -1)

    mean = float((weights * centres).sum())
    sigma = math.sqrt(0.7**2 + float((weights * centres**2).sum()) - mean**2)
    assert kl.fit_normal(log_target, "forward", steps=2000) == pytest.approx((mean, sigma), abs=1e-3)
    left, right = (kl.fit_normal(log_target, "reverse", start=(s, 1.0), steps=2000) for s in (-2.0, 2.0))
    assert left[0] < -1.8 and right[0] > 1.8 and left[1] < 0.8 > right[1]


@pytest.mark.equation("kl-estimators")
@pytest.mark.parametrize("estimator", ["plain", "nonnegative"])
def test_estimators_are_unbiased(estimator):
    """Within six standard errors: false-alarm rate 2e-9 a case."""
    torch.manual_seed(0)
    for q, p in [(Normal(0.3, 1.1), Normal(0.0, 1.3)), (Categorical(torch.tensor([0.5, 0.3, 0.2])), Categorical(torch.tensor([0.2, 0.3, 0.5])))]:
        estimate = kl.kl_monte_carlo(q, p, 100_000, estimator)
        assert abs(estimate.mean - kl_divergence(q, p)) < 6 * estimate.standard_error


def test_the_nonnegative_estimator_is_never_negative():
    torch.manual_seed(1)
    q, p = Normal(torch.linspace(-1, 1, 200), 1.0), Normal(0.0, 1.0)
    assert (kl.kl_monte_carlo(q, p, 2, "nonnegative").mean >= 0).all()
    assert (kl.kl_monte_carlo(q, p, 2, "plain").mean < 0).any()


@pytest.mark.equation("kl-chain", "kl-joint-bound")
@given(hnp.arrays(float, (2, 3, 4), elements=st.floats(0.01, 1)))
def test_joints_split_and_bound_their_marginals(tables):
    p, q = (torch.tensor(t / t.sum()) for t in tables)
    joint, marginal, conditional = kl.kl_chain(p, q)
    by_hand = sum(p[i].sum() * kl.kl_categorical(p[i] / p[i].sum(), q[i] / q[i].sum()) for i in range(3))
    assert torch.isclose(joint, marginal + conditional, atol=1e-12)
    assert torch.isclose(conditional, by_hand, atol=1e-12)
    assert joint >= marginal - 1e-12


@pytest.mark.equation("kl-processing")
@given(probabilities, st.integers(0, 100))
def test_no_channel_makes_laws_easier_to_tell_apart(pair, seed):
    p, q = (vector(a + 1e-3) for a in pair)
    channel = torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(5), len(p)))
    assert kl.kl_categorical(p @ channel, q @ channel) <= kl.kl_categorical(p, q) + 1e-12


def test_dispatch_covers_the_families_and_refuses_others():
    rng = np.random.default_rng(3)
    pairs = [
        (Normal(0.0, 1.0), Normal(1.0, 2.0)),
        (Categorical(torch.tensor([0.2, 0.8])), Categorical(torch.tensor([0.5, 0.5]))),
        (MultivariateNormal(torch.zeros(2, dtype=F64), covariance(rng, 2)), MultivariateNormal(torch.ones(2, dtype=F64), covariance(rng, 2))),
        (Independent(Normal(torch.zeros(2, 3), 1.0), 2), Independent(Normal(torch.ones(2, 3), 2.0), 2)),
    ]
    for q, p in pairs:
        assert torch.allclose(kl.kl(q, p), kl_divergence(q, p))
        assert not torch.allclose(kl.kl(q, p), kl.kl(p, q)) or isinstance(q, Categorical)
    for q, p in [
        (Bernoulli(0.5), Normal(0.0, 1.0)),
        (binned_gaussian(0.1).distribution(torch.zeros(1, 2, 2)), binned_gaussian(0.2).distribution(torch.zeros(1, 2, 2))),
        (Independent(Normal(torch.zeros(2, 3), 1.0), 2), Independent(Normal(torch.zeros(2, 3), 1.0), 1)),
    ]:
        with pytest.raises(NotImplementedError, match="kl_monte_carlo"):
            kl.kl(q, p)


def test_dispatch_broadcasts_as_torch_does():
    row, one = Normal(torch.zeros(2, 3), 1.0), Normal(torch.tensor(1.0), 2.0)
    means, cov = torch.zeros(4, 2, dtype=F64), covariance(np.random.default_rng(0), 2)
    pairs = [
        (row, one),
        (one, row),
        (Independent(row, 0), Independent(one, 0)),
        (MultivariateNormal(means, cov), MultivariateNormal(means[0] + 1, 2 * cov)),
        (Independent(MultivariateNormal(means, cov), 1), Independent(MultivariateNormal(means + 1, cov), 1)),
    ]
    for q, p in pairs:
        want = kl_divergence(q, p) if not isinstance(q, Independent) or q.reinterpreted_batch_ndims else kl_divergence(q.base_dist, p.base_dist)
        assert torch.allclose(kl.kl(q, p), want) and kl.kl(q, p).shape == want.shape


def test_the_standard_error_is_that_of_the_mean():
    """1 000 estimates of 50 draws: their spread equals the reported standard error within 15 % (false alarms below 1e-9)."""
    torch.manual_seed(4)
    q, p = Normal(torch.full((1000,), 0.4), 1.2), Normal(0.0, 1.0)
    for name in ("plain", "nonnegative"):
        estimate = kl.kl_monte_carlo(q, p, 50, name)
        assert float(estimate.mean.std() / (estimate.standard_error**2).mean().sqrt()) == pytest.approx(1, abs=0.15)


def test_a_joint_table_may_have_empty_rows():
    p = torch.tensor([[0.5, 0.5], [0.0, 0.0]])
    q = torch.tensor([[0.25, 0.25], [0.5, 0.0]])
    joint, marginal, conditional = kl.kl_chain(p, q)
    assert float(joint) == pytest.approx(math.log(2)) == float(marginal) and conditional == 0
    joint, marginal, conditional = kl.kl_chain(q, p)
    assert joint == marginal == math.inf and conditional == 0


two = torch.tensor([0.5, 0.5])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: kl.kl_categorical(two, torch.tensor([0.5, 0.6])), "q must sum to 1"),
        (lambda: kl.kl_categorical(torch.tensor([1.5, -0.5]), two), "p has a negative"),
        (lambda: kl.kl_categorical(torch.tensor([math.nan, 1.0]), two), "p has 1 value"),
        (lambda: kl.entropy(torch.tensor([])), "at least one outcome"),
        (lambda: kl.kl_normal(*tensors(0, 0, 0, 1)), "sigma_1 must be > 0"),
        (lambda: kl.kl_normal(*tensors(0, 1, 0, -1)), "sigma_2 must be > 0"),
        (lambda: kl.kl_normal(*tensors(math.nan, 1, 0, 1)), "mu_1 has 1 value"),
        (lambda: kl.kl_standard_normal(torch.zeros(2), torch.tensor([math.inf, 0])), "log_var has 1 value"),
        (lambda: kl.kl_multivariate_normal(torch.zeros(2), torch.eye(2), torch.zeros(2), -torch.eye(2)), "cov_2 must be symmetric"),
        (lambda: kl.kl_multivariate_normal(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]), torch.zeros(2), torch.eye(2)), "cov_1 must be symmetric"),
        (lambda: kl.kl_monte_carlo(Normal(0.0, 1.0), Normal(0.0, 1.0), 1), "n must be at least 2"),
        (lambda: kl.kl_monte_carlo(Normal(0.0, 1.0), Normal(0.0, 1.0), 5, "best"), "estimator must be"),
        (lambda: kl.fit_normal(Normal(0.0, 1.0).log_prob, "sideways"), "direction must be"),
        (lambda: kl.fit_normal(Normal(30.0, 1.0).log_prob, "forward"), "the target has mass .* instead of 1"),
        (lambda: kl.fit_normal(lambda x: Normal(0.0, 1.0).log_prob(x) + 1, "reverse"), "the target has mass 2.72"),
        (lambda: kl.kl_multivariate_normal(torch.zeros(2), 1e-9 * torch.tensor([[1.0, 0.5], [0.0, 1.0]]), torch.zeros(2), torch.eye(2)), "cov_1 must be symmetric"),
        (lambda: kl.fit_normal(Normal(0.0, 1.0).log_prob, "forward", start=(0.0, 0.0)), "start sigma must be > 0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_shapes_are_enforced():
    with pytest.raises(Exception, match="(?i)type-check"):  # jaxtyping's, while tests run
        kl.kl_standard_normal_terms(torch.zeros(2, 3), torch.zeros(1, 3))


def test_shapes_are_guarded_without_the_type_checker():
    """Readers have no jaxtyping hook: the functions themselves refuse."""
    script = """
import torch
from vae_teach import kl
one, two = torch.ones(1), torch.ones(2)
calls = [
    lambda: kl.kl_categorical(one, two / 2), lambda: kl.kl_normal(one, one, two, one), lambda: kl.kl_standard_normal(one, two),
    lambda: kl.kl_multivariate_normal(two, torch.eye(2), one, torch.eye(2)), lambda: kl.kl_chain(torch.ones(2, 2) / 4, torch.ones(4, 1) / 4),
]
for call in calls:
    try:
        call()
    except ValueError as error:
        assert "must have the same shape" in str(error), error
    else:
        raise SystemExit("accepted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout

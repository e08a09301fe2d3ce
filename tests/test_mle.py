"""Maximum likelihood: every estimate against search, SymPy, autograd, torch.distributions or scikit-learn.

Randomised tests use fixed seeds; where a test would be random, its false-alarm rate is stated.
"""

import itertools
import json
import math
import shutil
import subprocess
import warnings

import numpy as np
import pytest
import sympy
import torch
import torch.nn.functional as F
from scipy import optimize, stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from vae_teach import kl, mle
from vae_teach.common import living

F64 = torch.float64
FISH = torch.tensor(mle.FISH, dtype=F64)[:, None]


def tensors(*values):
    return [torch.tensor(v, dtype=F64) for v in values]


def mixture(weights, mu, sigma):
    return mle.Mixture(*tensors(weights, [[m] for m in mu], [[s] for s in sigma]))


def law(m):
    """The same mixture by torch: the second witness."""
    return MixtureSameFamily(Categorical(m.weights), Independent(Normal(m.mu, m.sigma), 1))


def problem(seed, n=30, d=2, j=3):
    """Random points and a random mixture, far from their fit."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(n, d)) * 2 + rng.integers(0, 2, (n, 1)) * 3)
    return x, mle.Mixture(torch.tensor(rng.dirichlet(np.ones(j))), torch.tensor(rng.normal(size=(j, d))), torch.tensor(rng.uniform(0.5, 2, (j, d))))


# Likelihood and closed forms


@pytest.mark.equation("mle-likelihood", "mle-log-likelihood")
def test_the_likelihood_of_independent_draws_is_the_joint_density():
    x = torch.tensor(np.random.default_rng(0).normal(size=7))
    joint = MultivariateNormal(torch.full((7,), 0.3, dtype=F64), 1.69 * torch.eye(7, dtype=F64)).log_prob(x)
    one = Normal(*tensors(0.3, 1.3))
    assert torch.isclose(joint.exp(), one.log_prob(x).exp().prod(), rtol=1e-12)
    assert torch.isclose(mle.log_likelihood(one, x), joint, rtol=1e-12)
    grid = torch.linspace(0.001, 0.999, 999, dtype=F64)
    tosses = torch.tensor([1.0] * 7 + [0.0] * 3, dtype=F64)
    products = torch.stack([Bernoulli(p).log_prob(tosses).exp().prod() for p in grid])
    sums = torch.stack([mle.log_likelihood(Bernoulli(p), tosses) for p in grid])
    assert products.argmax() == sums.argmax() == (grid - 0.7).abs().argmin()
    assert torch.allclose(products * math.comb(10, 7), torch.tensor(stats.binom(10, grid.numpy()).pmf(7)))


@pytest.mark.equation("mle-bernoulli")
def test_bernoulli_line_by_line_and_by_search():
    p, n1, n = sympy.symbols("pi N_1 N", positive=True)
    ell = n1 * sympy.log(p) + (n - n1) * sympy.log(1 - p)
    assert sympy.simplify(sympy.diff(ell, p) - (n1 / p - (n - n1) / (1 - p))) == 0
    assert sympy.solve(sympy.diff(ell, p), p) == [n1 / n]
    assert sympy.simplify(sympy.diff(ell, p, 2) + n1 / p**2 + (n - n1) / (1 - p) ** 2) == 0  # negative throughout
    for seed in range(5):
        x = torch.tensor(np.random.default_rng(seed).integers(0, 2, 23).astype(float))
        found = optimize.minimize_scalar(lambda p: -float(mle.log_likelihood(Bernoulli(torch.tensor(p)), x)), bounds=(1e-6, 1 - 1e-6), method="bounded", options={"xatol": 1e-9})
        assert float(mle.bernoulli_mle(x)) == pytest.approx(found.x, abs=1e-6)
    assert mle.bernoulli_mle(torch.tensor([[1.0, 1.0], [0.0, 1.0]])).tolist() == [1.0, 0.5]


@pytest.mark.equation("mle-categorical")
def test_categorical_line_by_line_and_against_every_other_table():
    x = torch.tensor([0, 2, 2, 1, 2, 0, 2])
    best = mle.categorical_mle(x, 4).double()
    assert torch.allclose(best, torch.tensor([2, 1, 4, 0], dtype=F64) / 7)
    counts = torch.tensor([2.0, 1.0, 4.0, 0.0], dtype=F64)
    for p in torch.tensor(np.random.default_rng(0).dirichlet(np.ones(4), 500)):
        ell = mle.log_likelihood(Categorical(p), x)
        assert torch.isclose(ell, (counts * p.log()).sum())
        assert torch.isclose(ell, -7 * kl.cross_entropy(best, p))
        assert torch.isclose(ell, -7 * (kl.entropy(best) + kl.kl_categorical(best, p)))
        assert ell < -7 * kl.entropy(best)


@pytest.mark.equation("mle-normal")
def test_normal_line_by_line():
    mu, a, b, c = sympy.symbols("mu a b c", real=True)
    s = sympy.symbols("sigma", positive=True)
    x = [a, b, c]
    mean = sum(x) / 3
    ell = sum(-sympy.log(s) - sympy.log(2 * sympy.pi) / 2 - (v - mu) ** 2 / (2 * s**2) for v in x)
    assert sympy.simplify(sympy.diff(ell, mu) - 3 * (mean - mu) / s**2) == 0
    assert sympy.simplify(sympy.diff(ell, s) - (-3 / s + sum((v - mu) ** 2 for v in x) / s**3)) == 0
    assert sympy.simplify(sum((v - mu) ** 2 for v in x) - sum((v - mean) ** 2 for v in x) - 3 * (mean - mu) ** 2) == 0


@pytest.mark.equation("mle-normal")
@pytest.mark.parametrize("seed", range(5))
def test_normal_against_scipy_and_search(seed):
    x = np.random.default_rng(seed).normal(3, 2, 17)
    mu, sigma = mle.normal_mle(torch.tensor(x))
    assert (float(mu), float(sigma)) == pytest.approx(stats.norm.fit(x), rel=1e-12)
    found = optimize.minimize(lambda t: -stats.norm(t[0], math.exp(t[1])).logpdf(x).sum(), [0.0, 0.0], tol=1e-12)
    assert (float(mu), float(sigma.log())) == pytest.approx(tuple(found.x), abs=1e-4)


@pytest.mark.equation("mle-bias")
@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_variance_is_biased_by_exactly_that_factor(n):
    """Exactly, over all samples of a three-valued law; and by simulation, within six standard errors (false-alarm rate 2e-9 a case)."""
    if n <= 5:
        values, p = np.array([-1.0, 0.5, 4.0]), np.array([0.2, 0.5, 0.3])
        variance = p @ values**2 - (p @ values) ** 2
        index = np.array(list(itertools.product(range(3), repeat=n)))
        samples, chance = values[index], p[index].prod(1)
        assert chance @ samples.var(1) == pytest.approx((n - 1) / n * variance, rel=1e-12)
    generator = torch.Generator().manual_seed(n)
    x = 1.5 + 2 * torch.randn(100_000, n, generator=generator, dtype=F64)
    square = mle.normal_mle(x)[1] ** 2
    assert abs(square.mean() - (n - 1) / n * 4) < 6 * square.std() / math.sqrt(len(square))


# Gradient ascent


def normal_log_p(x):
    return lambda theta: Normal(theta[0], (theta[1] / 2).exp()).log_prob(x)


@pytest.mark.equation("mle-score")
def test_the_slopes_as_printed():
    x = torch.tensor(np.random.default_rng(1).normal(size=9))
    theta = torch.tensor([0.4, -0.7], dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(normal_log_p(x)(theta).mean(), theta)
    mu, var = 0.4, math.exp(-0.7)
    assert slope.tolist() == pytest.approx([float(x.mean() - mu) / var, 0.5 * (float(((x - mu) ** 2).mean()) / var - 1)])


@pytest.mark.equation("mle-ascent")
def test_gradient_ascent_steps_as_printed_and_reaches_the_closed_forms():
    x = torch.tensor(np.random.default_rng(2).normal(1.5, 2, 40))
    path = mle.gradient_ascent(normal_log_p(x), torch.zeros(2, dtype=F64), lr=0.3, steps=600)
    mu, sigma = mle.normal_mle(x)
    assert path.shape == (601, 2)
    first = torch.stack([x.mean(), ((x**2).mean() - 1) / 2])  # the printed slopes at (0, 0)
    assert torch.allclose(path[1], 0.3 * first)
    assert torch.allclose(path[-1], torch.stack([mu, 2 * sigma.log()]), atol=1e-8)
    tosses = torch.tensor([1.0] * 7 + [0.0] * 3, dtype=F64)
    logit = mle.gradient_ascent(lambda t: Bernoulli(logits=t[0]).log_prob(tosses), torch.zeros(1, dtype=F64), lr=2.0, steps=100)[-1]
    assert torch.isclose(torch.sigmoid(logit), mle.bernoulli_mle(tosses)).all()
    counts = torch.tensor([0, 2, 2, 1, 2, 0, 2])
    scores = mle.gradient_ascent(lambda t: Categorical(logits=t).log_prob(counts), torch.zeros(3, dtype=F64), lr=2.0, steps=400)[-1]
    assert torch.allclose(scores.softmax(0), mle.categorical_mle(counts, 3).double(), atol=1e-7)


# KL, squared error, cross-entropy, reductions


@pytest.mark.equation("mle-kl")
def test_the_best_model_is_the_one_nearest_in_kl():
    rng = np.random.default_rng(3)
    for p, q in torch.tensor(rng.dirichlet(np.ones(5), (50, 2))):
        assert torch.isclose((p * q.log()).sum(), -kl.entropy(p) - kl.kl_categorical(p, q))
    two_hills = MixtureSameFamily(Categorical(torch.tensor([0.6, 0.4], dtype=F64)), Normal(*tensors([-2, 2], [0.7, 0.7])))
    x = torch.linspace(-12, 12, 4001, dtype=F64)
    p = two_hills.log_prob(x).exp()

    def mean_log(mu, sigma):
        return float(torch.trapezoid(p * Normal(*tensors(mu, sigma)).log_prob(x), x))

    best = optimize.minimize(lambda t: -mean_log(t[0], math.exp(t[1])), [0.5, 0.0]).x
    nearest = kl.fit_normal(two_hills.log_prob, "forward", steps=2000)
    assert (best[0], math.exp(best[1])) == pytest.approx(nearest, abs=1e-3)


@pytest.mark.equation("mle-squared")
def test_gaussian_likelihood_is_squared_error():
    rng = np.random.default_rng(4)
    x, x_hat = (torch.tensor(v) for v in rng.uniform(size=(2, 6, 9)))
    sigma = 0.3
    law = Independent(Normal(x_hat, torch.full_like(x_hat, sigma)), 1)
    printed = ((x - x_hat) ** 2).sum(-1) / (2 * sigma**2) + 9 / 2 * math.log(2 * math.pi * sigma**2)
    assert torch.allclose(-law.log_prob(x), printed)
    assert float(-law.log_prob(x).sum()) == pytest.approx(float(F.mse_loss(x_hat, x, reduction="sum")) / (2 * sigma**2) + 6 * 9 / 2 * math.log(2 * math.pi * sigma**2))


@pytest.mark.equation("mle-bce")
def test_bernoulli_likelihood_is_binary_cross_entropy():
    rng = np.random.default_rng(5)
    x, p = torch.tensor(rng.integers(0, 2, (6, 9)).astype(float)), torch.tensor(rng.uniform(0.05, 0.95, (6, 9)))
    nats = -Independent(Bernoulli(p), 1).log_prob(x)
    assert torch.allclose(nats, -(x * p.log() + (1 - x) * (1 - p).log()).sum(-1))
    assert torch.isclose(nats.sum(), F.binary_cross_entropy(p, x, reduction="sum"))
    assert torch.isclose(nats.mean() / 9, F.binary_cross_entropy(p, x))


@pytest.mark.equation("mle-reduction")
@pytest.mark.parametrize("average, half", list(itertools.product([False, True], repeat=2)))
def test_a_loss_is_the_gaussian_of_that_variance(average, half):
    rng = np.random.default_rng(6)
    x, first, second = (torch.tensor(v) for v in rng.uniform(size=(3, 20)))
    law = Normal(0.0, math.sqrt(mle.loss_variance(20, average, half)))

    def loss(x_hat):
        return (0.5 if half else 1.0) * F.mse_loss(x_hat, x, reduction="mean" if average else "sum")

    by_law = law.log_prob(x - second).sum() - law.log_prob(x - first).sum()  # the constant cancels
    assert torch.isclose(loss(first) - loss(second), by_law)


@pytest.mark.equation("mle-price")
@pytest.mark.parametrize("d, variance", [(1, 1.0), (5, 0.5), (100, 50.0)])
def test_the_price_of_z_against_search(d, variance):
    x = np.random.default_rng(d).normal(2, 1, d)
    found = optimize.minimize_scalar(lambda z: ((x - z) ** 2).sum() / (2 * variance) + z**2 / 2, tol=1e-12)
    assert found.x == pytest.approx(d / (d + variance) * x.mean(), rel=1e-6)


@pytest.mark.equation("mle-half")
def test_a_lost_half_widens_sigma_by_root_two():
    x = torch.tensor(np.random.default_rng(7).normal(2, 3, 50))
    mu, s = (float(v) for v in mle.normal_mle(x))
    wrong = optimize.minimize_scalar(lambda t: t + float(((x - mu) ** 2).mean()) * math.exp(-2 * t), bounds=(-5, 5), method="bounded", options={"xatol": 1e-10})
    assert math.exp(wrong.x) == pytest.approx(math.sqrt(2) * s, rel=1e-6)
    loss = mle.log_likelihood(Normal(*tensors(mu, s)), x) - mle.log_likelihood(Normal(*tensors(mu, math.sqrt(2) * s)), x)
    assert float(loss) / 50 == pytest.approx(math.log(2) / 2 - 1 / 4, rel=1e-9)
    assert math.log(2) / 2 - 1 / 4 == pytest.approx(0.097, abs=5e-4)  # as printed


# Mixtures


@pytest.mark.equation("mle-mixture")
@pytest.mark.parametrize("seed", range(4))
def test_mixtures_agree_with_torch(seed):
    x, m = problem(seed)
    table = mle.log_joint(x, m)
    assert table.shape == (30, 3)
    assert torch.isclose(mle.mixture_log_likelihood(table), law(m).log_prob(x).sum(), rtol=1e-12)
    stacked = mle.Mixture(*(torch.stack([v, v.flip(0)]) for v in m))  # two problems at once; names of components do not matter
    assert torch.allclose(mle.mixture_log_likelihood(mle.log_joint(torch.stack([x, x]), stacked)), law(m).log_prob(x).sum())


@pytest.mark.equation("mle-slope")
@pytest.mark.parametrize("seed", range(4))
def test_the_slope_is_the_complete_slope_weighted_by_responsibilities(seed):
    x, m = problem(seed)
    mu = m.mu.clone().requires_grad_()
    table = mle.log_joint(x, m._replace(mu=mu))
    (slope,) = torch.autograd.grad(mle.mixture_log_likelihood(table), mu, retain_graph=True)
    q = mle.e_step(table).detach()
    (complete,) = torch.autograd.grad((q * table).sum(), mu)
    assert torch.allclose(slope, complete)
    printed = torch.einsum("nj,njd->jd", q, (x[:, None] - m.mu) / m.sigma**2)
    assert torch.allclose(slope, printed)


@pytest.mark.equation("mle-bound")
@pytest.mark.parametrize("seed", range(6))
def test_log_likelihood_is_bound_plus_kl_for_any_q(seed):
    x, m = problem(seed)
    q = torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(3), 30))
    table = mle.log_joint(x, m)
    gap = kl.kl_categorical(q, mle.e_step(table)).sum()
    assert torch.isclose(mle.mixture_log_likelihood(table), mle.bound(q, table) + gap, rtol=1e-12)
    assert torch.isclose(mle.bound(q, table), (q * (table - q.log())).sum(), rtol=1e-12)
    assert gap > 0


@pytest.mark.equation("mle-e-step")
@pytest.mark.parametrize("seed", range(4))
def test_the_e_step_is_bayes_rule_and_touches(seed):
    x, m = problem(seed)
    table = mle.log_joint(x, m)
    q = mle.e_step(table)
    by_bayes = m.weights * Independent(Normal(m.mu, m.sigma), 1).log_prob(x[:, None]).exp()
    assert torch.allclose(q, by_bayes / by_bayes.sum(1, keepdim=True))
    assert torch.isclose(mle.bound(q, table), mle.mixture_log_likelihood(table), rtol=1e-12)


@pytest.mark.equation("mle-m-step")
@pytest.mark.parametrize("seed", range(4))
def test_no_mixture_has_a_larger_bound_than_the_m_step(seed):
    x, m = problem(seed)
    q = mle.e_step(mle.log_joint(x, m))
    best = mle.m_step(x, q)
    value = mle.bound(q, mle.log_joint(x, best))
    free = [best.weights.log().clone(), best.mu.clone(), best.sigma.log().clone()]
    for v in free:
        v.requires_grad_()
    slopes = torch.autograd.grad(mle.bound(q, mle.log_joint(x, mle.Mixture(free[0].softmax(0), free[1], free[2].exp()))), free)
    assert max(float(s.abs().max()) for s in slopes) < 1e-10
    rng = np.random.default_rng(seed)
    for size in (0.01, 0.1, 1.0):
        for _ in range(50):
            step = [v.detach() + size * torch.tensor(rng.normal(size=v.shape)) for v in free]
            assert mle.bound(q, mle.log_joint(x, mle.Mixture(step[0].softmax(0), step[1], step[2].exp()))) < value


@pytest.mark.equation("mle-m-lines")
@pytest.mark.parametrize("seed", range(4))
def test_the_lines_of_the_m_step(seed):
    x, m = problem(seed, d=1)
    q = torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(3), 30))
    count, sigma = q.sum(0), m.sigma.clone().requires_grad_()
    value = mle.bound(q, mle.log_joint(x, m._replace(sigma=sigma)))
    log_p = Normal(m.mu[:, 0], sigma[:, 0]).log_prob(x)
    assert torch.isclose(value, (count * m.weights.log()).sum() + (q * log_p).sum() - torch.special.xlogy(q, q).sum())
    centre = (q * x).sum(0) / count
    assert torch.allclose((q * (x - m.mu[:, 0]) ** 2).sum(0), (q * (x - centre) ** 2).sum(0) + count * (centre - m.mu[:, 0]) ** 2)
    (slope,) = torch.autograd.grad(value, sigma)
    assert torch.allclose(slope[:, 0], -count / m.sigma[:, 0] + (q * (x - m.mu[:, 0]) ** 2).sum(0) / m.sigma[:, 0] ** 3)


@pytest.mark.equation("mle-floor")
def test_the_floor_is_the_best_sigma_that_is_allowed():
    s = sympy.symbols("sigma", positive=True)
    v = sympy.symbols("v", positive=True)
    slope = sympy.diff(-sympy.log(s) - v / (2 * s**2), s)
    assert sympy.simplify(slope - (v - s**2) / s**3) == 0  # rises below sqrt(v), falls above
    grid = torch.linspace(0.5, 5, 2000, dtype=F64)
    for variance in (0.01, 0.2, 0.25, 4.0):
        best = grid[(-grid.log() - variance / (2 * grid**2)).argmax()]
        assert float(best) == pytest.approx(max(math.sqrt(variance), 0.5), abs=2e-3)
    x, q = torch.tensor([[1.0], [1.2], [9.0], [10.0]], dtype=F64), torch.eye(2, dtype=F64).repeat_interleave(2, 0)
    assert mle.m_step(x, q, sigma_min=0.3).sigma.flatten().tolist() == pytest.approx([0.3, 0.5])


def chain(history):
    """The values of the chain, in order, round after round."""
    values = [torch.stack([r.bound_e, r.bound_m, r.log_likelihood]) for r in history]
    return torch.stack(values)  # (T, 3, *B)


@pytest.mark.equation("mle-chain")
@pytest.mark.parametrize("d, j, floor", [(1, 2, 0.05), (2, 3, 0.1), (1, 4, 0.3)])
def test_em_never_lowers_the_log_likelihood_of_a_thousand_problems(d, j, floor):
    """Every link of the chain, in every one of fifty rounds, to 1e-9."""
    generator = torch.Generator().manual_seed(d * 10 + j)
    x = torch.randn(1000, 25, d, generator=generator, dtype=F64) * 2 + 4 * torch.randint(0, 2, (1000, 25, 1), generator=generator)
    start = mle.em_start(x, x[:, :j])
    history = mle.em(x, start, 50, sigma_min=floor)
    values = chain(history)
    before = torch.cat([mle.mixture_log_likelihood(mle.log_joint(x, start))[None], values[:-1, 2]])
    assert (before - values[:, 0]).abs().max() < 1e-9  # equality
    assert (values[:, 1] - values[:, 0]).min() > -1e-9
    assert (values[:, 2] - values[:, 1]).min() > -1e-9
    assert (values[-1, 2] - before[0]).min() > 0
    gap = kl.kl_categorical(history[3].q, history[4].q).sum(-1)  # the next E step finds the posterior of this round's mixture
    assert torch.allclose(values[3, 2] - values[3, 1], gap, atol=1e-9)


def test_em_ends_where_the_slope_is_zero():
    x = FISH
    m = mle.em(x, mle.em_start(x, torch.tensor([[8.0], [16.0]], dtype=F64)), 3000)[-1].mixture
    mu, log_sigma = m.mu.clone().requires_grad_(), m.sigma.log().requires_grad_()
    ell = mle.mixture_log_likelihood(mle.log_joint(x, mle.Mixture(m.weights, mu, log_sigma.exp())))
    assert max(float(s.abs().max()) for s in torch.autograd.grad(ell, [mu, log_sigma])) < 1e-9
    logit, mu, log_sigma = (m.weights[0] / m.weights[1]).log().reshape(1), m.mu.flatten(), m.sigma.log().flatten()

    def log_p(theta):
        weights = torch.cat([theta[:1], torch.zeros(1, dtype=F64)]).softmax(0)
        return law(mle.Mixture(weights, theta[1:3, None], theta[3:, None].exp())).log_prob(x)

    found = mle.gradient_ascent(log_p, torch.cat([logit, mu, log_sigma]) + 0.05, lr=0.3, steps=4000)[-1]
    assert torch.allclose(found, torch.cat([logit, mu, log_sigma]), atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rounds", [1, 20])
def test_em_agrees_with_scikit_learn_from_the_same_start(seed, rounds):
    x, m = problem(seed, n=200)
    last = mle.em(x, m, rounds)[-1]
    theirs = GaussianMixture(3, covariance_type="diag", weights_init=m.weights, means_init=m.mu, precisions_init=1 / m.sigma**2, max_iter=rounds, tol=0, reg_covar=0, init_params="random", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(x.numpy())
    assert float(last.log_likelihood) == pytest.approx(theirs.score(x.numpy()) * 200, abs=1e-6)
    assert np.allclose(last.mixture.mu, theirs.means_, atol=1e-8)
    assert np.allclose(last.mixture.sigma**2, theirs.covariances_, atol=1e-8)
    assert np.allclose(mle.e_step(mle.log_joint(x, last.mixture)), theirs.predict_proba(x.numpy()), atol=1e-8)


@pytest.mark.equation("mle-collapse")
def test_the_likelihood_of_a_mixture_is_unbounded():
    x = FISH
    rest = mixture([0.5, 0.5], [7.0, 12.0], [1.0, 3.0])
    lower, values = [], []
    for sigma in (1e-2, 1e-20, 1e-100):
        m = rest._replace(sigma=torch.tensor([[sigma], [3.0]], dtype=F64))
        values.append(float(mle.mixture_log_likelihood(mle.log_joint(x, m))))
        others = float((math.log(0.5) + Normal(*tensors(12.0, 3.0)).log_prob(x[1:])).sum())
        lower.append(math.log(0.5) - math.log(sigma) - 0.5 * math.log(2 * math.pi) + others)
    assert all(v >= low - 1e-9 * abs(low) for v, low in zip(values, lower))
    assert values[2] - values[1] == pytest.approx(80 * math.log(10), rel=1e-6)
    x = torch.cat([torch.linspace(-1, 1, 20, dtype=F64), torch.tensor([50.0], dtype=F64)])[:, None]
    start = mixture([0.5, 0.5], [0.0, 50.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="collapsed onto one value"):
        mle.em(x, start, 20)
    assert mle.em(x, start, 20, sigma_min=0.1)[-1].mixture.sigma.min() == 0.1


def test_equal_starts_stay_equal():
    end = mle.em(FISH, mle.em_start(FISH, torch.full((2, 1), 11.0, dtype=F64)), 30)[-1]
    assert torch.allclose(end.mixture.mu, FISH.mean().expand(2, 1)) and torch.allclose(end.q, torch.full((40, 2), 0.5, dtype=F64))


# The living figure


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_the_living_figure_computes_what_the_module_does():
    rng = np.random.default_rng(8)
    cases = []
    for _ in range(20):
        mu = rng.uniform(4, 22, 2).tolist()
        m = [[w := rng.uniform(0.1, 0.9), 1 - w], mu, rng.uniform(0.5, 4, 2).tolist()]
        cases.append({"mixture": m, "mu": mu, "q": rng.uniform(0.05, 0.95, 40).tolist()})
    program = """
      globalThis.window = globalThis; globalThis.HTMLElement = class {};
      globalThis.customElements = { get() {}, define() {} };
      for (const file of process.argv.slice(1)) (0, eval)(require("fs").readFileSync(file, "utf8"));
      const f = window.vaeLiving.formulas, x = f.fish, pack = (m) => [m.weights, m.mu, m.sigma];
      const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
      console.log(JSON.stringify({ x, cases: cases.map(({ mixture, mu, q }) => {
        const [weights, means, sigma] = mixture, m = { weights, mu: means, sigma };
        return { start: pack(f.emStart(x, mu)), ell: f.mixtureLogLikelihood(x, m), q: f.responsibilities(x, m), bound: f.mixtureBound(x, q, m), step: pack(f.mStep(x, q)) };
      }) }));
    """
    files = [str(living.SCRIPTS / "living.js"), str(living.script("vae-em-steps"))]
    run = subprocess.run(["node", "-e", program, *files], input=json.dumps(cases), capture_output=True, text=True, check=True, timeout=60)
    answer = json.loads(run.stdout)
    assert tuple(answer["x"]) == mle.FISH
    for case, mine in zip(cases, answer["cases"]):
        m = mixture(*case["mixture"])
        table = mle.log_joint(FISH, m)
        q = torch.stack([torch.tensor(case["q"], dtype=F64), 1 - torch.tensor(case["q"], dtype=F64)], 1)
        assert mine["ell"] == pytest.approx(float(mle.mixture_log_likelihood(table)), rel=1e-12)
        assert mine["q"] == pytest.approx(mle.e_step(table)[:, 0].tolist(), abs=1e-12)
        assert mine["bound"] == pytest.approx(float(mle.bound(q, table)), rel=1e-12)
        for got, want in [(mine["step"], mle.m_step(FISH, q)), (mine["start"], mle.em_start(FISH, torch.tensor(case["mu"], dtype=F64)[:, None]))]:
            assert np.allclose(got, [v.flatten().tolist() for v in want], rtol=1e-12)


# Bad input

nan = torch.tensor([1.0, math.nan])
fit = mixture([0.5, 0.5], [0.0, 1.0], [1.0, 1.0])
two = torch.tensor([[0.0], [1.0]], dtype=F64)
half = torch.full((2, 2), 0.5, dtype=F64)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: mle.log_likelihood(Normal(0.0, 1.0), nan), "x has 1 value"),
        (lambda: mle.log_likelihood(Normal(0.0, 1.0), torch.tensor([])), "number of data points must be at least 1"),
        (lambda: mle.bernoulli_mle(torch.tensor([0.0, 0.5])), "threshold grey values"),
        (lambda: mle.bernoulli_mle(nan), "only 0 and 1"),
        (lambda: mle.bernoulli_mle(torch.tensor([])), "number of tosses must be at least 1"),
        (lambda: mle.categorical_mle(torch.tensor([0, 3]), 3), "count from 0, or raise n"),
        (lambda: mle.categorical_mle(torch.tensor([-1, 1]), 3), "outcomes must lie in 0 … 2"),
        (lambda: mle.categorical_mle(torch.tensor([], dtype=torch.long), 3), "number of outcomes in x"),
        (lambda: mle.normal_mle(nan), "x has 1 value"),
        (lambda: mle.normal_mle(torch.tensor([])), "number of data points"),
        (lambda: mle.normal_mle(torch.tensor([0.1] * 3)), "all values are equal"),
        (lambda: mle.gradient_ascent(normal_log_p(two.flatten()), torch.tensor([0.0, math.nan])), "start has 1 value"),
        (lambda: mle.gradient_ascent(normal_log_p(two.flatten()), torch.zeros(2, dtype=F64), lr=1e6), "take a smaller lr"),
        (lambda: mle.gradient_ascent(normal_log_p(two.flatten()), torch.zeros(2, dtype=F64), lr=-1.0), "lr must be at least 0"),
        (lambda: mle.gradient_ascent(normal_log_p(two.flatten()), torch.zeros(2, dtype=F64), steps=0), "steps must be at least 1"),
        (lambda: mle.loss_variance(0, True, True), "n_pixels must be at least 1"),
        (lambda: mle.em_start(two[:1], torch.zeros(2, 1, dtype=F64)), "at least two points"),
        (lambda: mle.log_joint(torch.ones(4, 3, dtype=F64), fit), "D = 1"),
        (lambda: mle.em_start(torch.ones(4, 1, dtype=F64), torch.zeros(2, 1, dtype=F64)), "spread must be > 0"),
        (lambda: mle.em_start(two, torch.tensor([[math.nan], [0.0]], dtype=F64)), "mu has 1 value"),
        (lambda: mle.log_joint(torch.tensor([[math.inf], [0.0]], dtype=F64), fit), "x has 1 value"),
        (lambda: mle.log_joint(two, fit._replace(weights=torch.tensor([0.5, 0.6], dtype=F64))), "weights must sum to 1"),
        (lambda: mle.log_joint(two, fit._replace(sigma=torch.tensor([[1.0], [0.0]], dtype=F64))), "sigma must be > 0"),
        (lambda: mle.m_step(two, 2 * half), "q must sum to 1"),
        (lambda: mle.m_step(two, half, sigma_min=-1.0), "sigma_min must be at least 0"),
        (lambda: mle.m_step(two, torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=F64)), "lost all points"),
        (lambda: mle.m_step(two, torch.eye(2, dtype=F64)), "collapsed onto one value"),
        (lambda: mle.em(two, fit, 0), "rounds must be at least 1"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_shapes_are_enforced():
    with pytest.raises(Exception, match="(?i)type-check"):  # jaxtyping's, while tests run
        mle.m_step(two, torch.full((3, 2), 0.5, dtype=F64))

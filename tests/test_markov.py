"""Markov chains: laws by enumeration, stationary laws by SciPy and by theory, samplers by goodness of fit.

Randomised tests use fixed seeds; each states its false-alarm rate, at most 1e-7: a right sampler with another seed would fail that often.
"""

import itertools
import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats

from vae_teach import kl, markov

F64 = torch.float64
RARE = 1e-7  # false-alarm rate of one test on random draws
CAT = torch.tensor([[0.90, 0.08, 0.02], [0.12, 0.40, 0.48], [0.24, 0.06, 0.70]], dtype=F64)
CAT_PI = torch.tensor([6.0, 1.0, 2.0], dtype=F64) / 9
START = torch.tensor([0.2, 0.3, 0.5], dtype=F64)
RING = torch.roll(torch.eye(3, dtype=F64), 1, 1)
ISLANDS = torch.block_diag(torch.tensor([[0.5, 0.5], [0.2, 0.8]], dtype=F64), torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=F64))

matrices = st.integers(2, 6).flatmap(lambda n: hnp.arrays(float, (n, n), elements=st.floats(0.01, 1))).map(lambda a: torch.tensor(a / a.sum(1, keepdims=True)))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def laws_for(P, seed=0):
    return torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(len(P)), 2))


# Laws


@pytest.mark.equation("markov-property", "markov-joint", "markov-rows")
def test_the_joint_is_a_law_and_has_the_markov_property():
    """All 81 paths of three steps: they sum to one, and given the present the past adds nothing."""
    paths = torch.tensor(list(itertools.product(range(3), repeat=4)))
    p = markov.log_joint(paths, START, CAT).exp()
    by_hand = [float(START[a] * CAT[a, b] * CAT[b, c] * CAT[c, d]) for a, b, c, d in paths.tolist()]
    assert p.tolist() == pytest.approx(by_hand, rel=1e-12)
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    table = p.reshape(3, 3, 3, 3)  # x_0, x_1, x_2, x_3
    given_all = table / table.sum(3, keepdim=True)
    assert torch.allclose(given_all, CAT.expand(3, 3, 3, 3), atol=1e-12)
    assert torch.allclose(CAT.sum(1), torch.ones(3, dtype=F64)) and (CAT >= 0).all()


@pytest.mark.equation("markov-independence")
def test_past_and_future_are_independent_given_the_present():
    paths = torch.tensor(list(itertools.product(range(3), repeat=4)))
    table = markov.log_joint(paths, START, CAT).exp().reshape(9, 3, 3)  # (x_0, x_1), x_2, x_3
    table = table.reshape(3, 3, 3, 3).permute(1, 0, 2, 3)  # the present is x_1
    for present in table:
        joint = present.reshape(3, 9) / present.sum()
        assert torch.allclose(joint, joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True), atol=1e-14)


@pytest.mark.equation("markov-step", "markov-power")
@given(matrices, st.integers(0, 12))
def test_laws_are_matrix_powers_and_sums_over_paths(P, steps):
    pi = laws_for(P)[0]
    rows = markov.laws(pi, P, steps)
    assert rows.shape == (steps + 1, len(P))
    assert torch.allclose(rows[-1], pi @ torch.linalg.matrix_power(P, steps), atol=1e-12)
    if steps:
        assert float(rows[1][0]) == pytest.approx(sum(float(pi[i] * P[i, 0]) for i in range(len(P))), abs=1e-12)


def test_laws_are_marginals_of_the_joint():
    paths = torch.tensor(list(itertools.product(range(3), repeat=5)))
    p = markov.log_joint(paths, START, CAT).exp()
    for t in range(5):
        marginal = torch.zeros(3, dtype=F64).index_add(0, paths[:, t], p)
        assert torch.allclose(marginal, markov.laws(START, CAT, 4)[t], atol=1e-12)


@pytest.mark.equation("markov-tv")
@given(matrices)
def test_total_variation_is_the_largest_difference_over_events(P):
    p, q = laws_for(P, 1)
    events = itertools.product([0.0, 1.0], repeat=len(P))
    largest = max(float((p - q) @ torch.tensor(e, dtype=F64)) for e in events)
    assert float(markov.total_variation(p, q)) == pytest.approx(largest, abs=1e-12)
    assert markov.total_variation(p, p) == 0


# Stationary laws


@pytest.mark.equation("markov-stationary")
@given(matrices)
def test_stationary_law_against_scipy_and_a_linear_system(P):
    pi = markov.stationary(P)
    null = scipy.linalg.null_space((P.numpy().T - np.eye(len(P))))[:, 0]
    assert np.allclose(pi, null / null.sum(), atol=1e-9)
    system = np.vstack([P.numpy().T - np.eye(len(P)), np.ones(len(P))])
    solved = np.linalg.lstsq(system, np.r_[np.zeros(len(P)), 1], rcond=None)[0]
    assert np.allclose(pi, solved, atol=1e-9)
    settled, _ = markov.power_iteration(laws_for(P)[0], P)
    assert markov.total_variation(settled, pi) < 1e-10


def test_the_cats_law_by_hand():
    assert torch.allclose(markov.stationary(CAT), CAT_PI, atol=1e-13)
    assert torch.allclose(markov.stationary(CAT.float()), CAT_PI, atol=1e-6)
    assert torch.allclose(markov.stationary(torch.ones(1, 1)), torch.ones(1, dtype=F64))
    absorbing = torch.tensor([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1.0]])
    assert torch.allclose(markov.stationary(absorbing), torch.tensor([0, 0, 1.0], dtype=F64), atol=1e-12)


@pytest.mark.equation("markov-cesaro")
@pytest.mark.parametrize("P", [CAT, RING, ISLANDS], ids=["cat", "ring", "islands"])
def test_averages_of_laws_become_stationary_on_any_chain(P):
    pi = laws_for(P)[0]
    for n in (1, 10, 1000):
        rows = markov.laws(pi, P, n)
        average = rows[:n].mean(0)
        assert torch.allclose(average @ P - average, (rows[n] - rows[0]) / n, atol=1e-12)
        assert (average @ P - average).abs().sum() <= 2 / n + 1e-12


@pytest.mark.equation("markov-harmonic")
@given(matrices)
def test_only_constants_are_harmonic(P):
    assert np.linalg.matrix_rank(P.numpy() - np.eye(len(P)), tol=1e-9) == len(P) - 1
    assert torch.allclose(P @ torch.ones(len(P), dtype=F64), torch.ones(len(P), dtype=F64))
    h = laws_for(P)[0] + torch.arange(len(P))
    assert (P @ h).max() < h.max()  # a mean that is not constant lies below the maximum


def test_the_counter_examples():
    assert (markov.period(CAT), markov.period(RING), markov.period(ISLANDS)) == (1, 3, 0)
    assert torch.allclose(markov.stationary(RING), torch.full((3,), 1 / 3, dtype=F64))
    assert markov.second_eigenvalue(RING) == pytest.approx(1) == markov.second_eigenvalue(ISLANDS)
    assert markov.contraction(RING) == 1 == markov.contraction(ISLANDS)
    corner = torch.tensor([1.0, 0, 0], dtype=F64)
    assert torch.equal(markov.laws(corner, RING, 300)[-1], corner)
    left, right = (torch.tensor(v, dtype=F64) for v in ([2 / 7, 5 / 7, 0, 0], [0, 0, 6 / 13, 7 / 13]))
    for share in (0.0, 0.3, 1.0):
        mixture = share * left + (1 - share) * right
        assert torch.allclose(mixture @ ISLANDS, mixture, atol=1e-12)
    lazy = (RING + torch.eye(3)) / 2
    assert markov.period(lazy) == 1
    assert torch.allclose(markov.power_iteration(corner, lazy)[0], torch.full((3,), 1 / 3, dtype=F64))


@given(st.integers(2, 6), st.integers(0, 10_000))
def test_period_against_eigenvalues(n, seed):
    """For an irreducible chain the period is the number of eigenvalues of modulus one (Perron and Frobenius)."""
    rng = np.random.default_rng(seed)
    edges = rng.random((n, n)) < 0.35
    edges[np.arange(n), rng.permutation(n)] = True
    P = torch.tensor(edges / edges.sum(1, keepdims=True))
    reach = np.linalg.matrix_power(edges + np.eye(n), n) > 0
    values = np.linalg.eigvals(P.numpy())
    assert markov.period(P) == (int((np.abs(values) > 1 - 1e-8).sum()) if reach.all() else 0)


@pytest.mark.equation("markov-numbers")
def test_two_neighbours_make_every_large_number():
    for a in range(1, 30):
        for m in range(a * a, a * a + 200):
            k, r = divmod(m, a)
            assert k >= r >= 0 and (k - r) * a + r * (a + 1) == m


# Mixing


@pytest.mark.equation("markov-dobrushin", "markov-doeblin", "markov-contract")
@given(matrices)
def test_a_step_contracts_by_the_largest_distance_of_rows(P):
    mu, nu = laws_for(P, 2)
    delta = markov.contraction(P)
    pairs = max(0.5 * float((P[i] - P[j]).abs().sum()) for i in range(len(P)) for j in range(len(P)))
    assert delta == pytest.approx(pairs, abs=1e-12)
    assert markov.total_variation(mu @ P, nu @ P) <= delta * markov.total_variation(mu, nu) + 1e-12
    overlap = float(P.amin(0).sum())
    assert delta <= 1 - overlap + 1e-12
    pi, start = markov.stationary(P), laws_for(P, 3)[0]
    for t, law in enumerate(markov.laws(start, P, 20)):
        assert markov.total_variation(law, pi) <= delta**t * markov.total_variation(start, pi) + 1e-12


@pytest.mark.equation("markov-difference")
def test_the_line_of_the_contraction_proof():
    """(μ − ν)P is the mean of differences of rows, weighted by where μ exceeds ν and where it falls short."""
    mu, nu = laws_for(CAT, 5)
    more, less = (mu - nu).clamp(min=0), (nu - mu).clamp(min=0)
    d = markov.total_variation(mu, nu)
    assert float(more.sum()) == pytest.approx(float(d)) == pytest.approx(float(less.sum()))
    written = sum(more[i] * less[j] / d * (CAT[i] - CAT[j]) for i in range(3) for j in range(3))
    assert torch.allclose((mu - nu) @ CAT, written, atol=1e-14)


@pytest.mark.equation("markov-sandwich", "markov-lower")
@given(matrices)
def test_distance_lies_between_eigenvalue_and_contraction(P):
    pi, slow, delta = markov.stationary(P), markov.second_eigenvalue(P), markov.contraction(P)
    power = torch.eye(len(P), dtype=F64)
    for t in range(15):
        distance = float(markov.total_variation(power / power.sum(1, keepdim=True), pi.expand_as(P)).max())
        assert slow**t / 2 - 1e-10 <= distance <= delta**t + 1e-10
        power = power @ P
    assert slow <= delta + 1e-8
    values, columns = torch.linalg.eig(P)
    for value, h in zip(values, columns.T):
        if abs(value - 1) > 1e-6:  # such a column has mean zero under pi, so taking pi from each row changes nothing
            assert abs(pi.to(h.dtype) @ h) < 1e-8
            assert torch.allclose(value**4 * h, (torch.linalg.matrix_power(P, 4) - pi).to(h.dtype) @ h, atol=1e-8)


@pytest.mark.equation("markov-spectral")
def test_laws_are_sums_of_powers_of_eigenvalues():
    values, right = torch.linalg.eig(CAT)
    left = torch.linalg.inv(right)
    rows = markov.laws(START, CAT, 30)
    for t in (0, 1, 7, 30):
        terms = [(START.to(values.dtype) @ right[:, k]) * values[k] ** t * left[k] for k in range(3)]
        assert torch.allclose(sum(terms).real, rows[t], atol=1e-12)
    ratio = markov.total_variation(rows[30], CAT_PI) / markov.total_variation(rows[29], CAT_PI)
    assert float(ratio) == pytest.approx(markov.second_eigenvalue(CAT), abs=1e-4)


@pytest.mark.equation("markov-time")
def test_enough_steps_are_enough():
    delta, pi = markov.contraction(CAT), CAT_PI
    for small in (0.1, 0.01, 1e-6):
        t = math.ceil(math.log(1 / small) / math.log(1 / delta))
        for row in torch.eye(3, dtype=F64):
            assert markov.total_variation(markov.laws(row, CAT, t)[-1], pi) <= small


@pytest.mark.equation("markov-kl")
@given(matrices)
def test_kl_to_the_stationary_law_never_rises(P):
    values = kl.kl_categorical(rows := markov.laws(laws_for(P, 4)[0], P, 8), markov.stationary(P).expand_as(rows))
    assert (values[1:] <= values[:-1] + 1e-12).all()


@pytest.mark.equation("markov-wrong")
@given(matrices)
def test_the_wrong_side_finds_a_constant(P):
    v = laws_for(P, 6)[0]
    far = torch.linalg.matrix_power(P, 20_000) @ v
    assert torch.allclose(far, (markov.stationary(P) @ v).expand(len(P)), atol=1e-8)
    assert torch.allclose(P @ v, torch.stack([row @ v for row in P]))


# Simulation


def chi_square(counts, p):
    return stats.chisquare(counts, p / p.sum() * counts.sum()).pvalue


@pytest.mark.equation("markov-pearson")
def test_sampled_paths_fit_the_joint_law():
    """All 27 paths of two steps, 200 000 draws: Pearson's test at 1e-7. A wrong sampler is caught at the same level."""
    paths = markov.sample(START, CAT, 2, 200_000, generator(0))
    all_paths = torch.tensor(list(itertools.product(range(3), repeat=3)))
    p = markov.log_joint(all_paths, START, CAT).exp().numpy()
    counts = torch.bincount(paths @ torch.tensor([9, 3, 1]), minlength=27).numpy()
    expected = p * counts.sum()
    assert expected.min() > 5
    assert chi_square(counts, p) > RARE
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, 26) == pytest.approx(chi_square(counts, p), rel=1e-9)
    off = markov.log_joint(all_paths, START, 0.97 * CAT + 0.03 / 3).exp().numpy()
    assert chi_square(counts, off) < RARE


def test_pearson_tests_raise_few_false_alarms():
    """Of 2000 right samples at level 5 %, 100 alarms are expected; 50 to 160 are allowed (binomial: rate below 1e-7)."""
    ends = markov.sample(START, CAT, 3, 2000 * 500, generator(1))[:, -1].reshape(2000, 500)
    law = markov.laws(START, CAT, 3)[-1].numpy()
    alarms = sum(chi_square(np.bincount(row, minlength=3), law) < 0.05 for row in ends.numpy())
    assert stats.binom.cdf(49, 2000, 0.05) + stats.binom.sf(160, 2000, 0.05) < RARE
    assert 50 <= alarms <= 160


@pytest.mark.equation("markov-variance", "markov-tau")
def test_variance_of_a_time_average():
    """The exact double sum of covariances against the single sum and, for long paths, σ²τ/n."""
    f = torch.tensor([1.0, 0.0, 0.0], dtype=F64)
    f0 = f - CAT_PI @ f
    gamma = [float((CAT_PI * f0) @ torch.linalg.matrix_power(CAT, k) @ f0) for k in range(400)]
    tau = markov.autocorrelation_time(CAT, f)
    assert tau == pytest.approx(1 + 2 * sum(gamma[1:]) / gamma[0], abs=1e-9)
    for n in (1, 5, 200):
        double = sum(gamma[abs(s - t)] for s in range(n) for t in range(n)) / n**2
        single = gamma[0] / n * (1 + 2 * sum((1 - k / n) * gamma[k] / gamma[0] for k in range(1, n)))
        assert double == pytest.approx(single, rel=1e-9)
    assert double == pytest.approx(gamma[0] * tau / n, rel=0.03)
    independent = CAT_PI.expand(3, 3).clone()
    assert markov.autocorrelation_time(independent, f) == pytest.approx(1)


@pytest.mark.equation("markov-batches")
def test_batch_means_give_honest_errors():
    """400 stationary paths. The mean squared bar and the mean of means lie within six standard errors: rate 2e-9 each."""
    f = torch.tensor([1.0, 0.0, 0.0], dtype=F64)
    paths = markov.sample(CAT_PI, CAT, 6000, 400, generator(2))
    estimates = [markov.time_average(f[row]) for row in paths]
    errors = torch.stack([e.standard_error for e in estimates])
    means = torch.stack([e.mean for e in estimates])
    exact = math.sqrt(float(CAT_PI[0] * (1 - CAT_PI[0])) * markov.autocorrelation_time(CAT, f) / 6001)
    spread = math.sqrt(2 / 29 / 400)  # relative, of a mean of 400 scaled chi-squares of 29 degrees of freedom
    assert abs(float((errors**2).mean()) / exact**2 - 1) < 6 * spread + 0.02  # batches of 200 steps: a bias of at most 2 %
    assert abs(float(means.mean()) - float(CAT_PI[0])) < 6 * exact / math.sqrt(400)
    few = markov.time_average(torch.tensor([1.0, 3.0, 2.0, 6.0]), batches=2)
    assert (float(few.mean), float(few.standard_error)) == pytest.approx((3.0, 1.0))


# AR(1)


@pytest.mark.equation("markov-ar", "markov-rotation")
def test_a_rotation_of_standard_normals_is_standard():
    x, y, a = sympy.symbols("x y a", real=True)
    u, v = sympy.cos(a) * x + sympy.sin(a) * y, -sympy.sin(a) * x + sympy.cos(a) * y
    assert sympy.simplify(u**2 + v**2 - x**2 - y**2) == 0
    assert sympy.simplify(sympy.Matrix([[u.diff(x), u.diff(y)], [v.diff(x), v.diff(y)]]).det()) == 1
    b, c = sympy.symbols("b c", positive=True)
    assert sympy.simplify(sympy.sqrt(b**2 + c**2) * (b / sympy.sqrt(b**2 + c**2) * x + c / sympy.sqrt(b**2 + c**2) * y) - (b * x + c * y)) == 0


@pytest.mark.equation("markov-ar-law", "markov-ar-induction")
def test_law_of_ar1_by_recursion_and_by_symbols():
    beta, x0 = sympy.symbols("beta x_0", positive=True)
    mean, variance = x0, sympy.Integer(0)
    for t in range(1, 6):
        mean, variance = sympy.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        assert sympy.expand(variance - (1 - (1 - beta) ** t)) == 0
        assert sympy.simplify(mean - (1 - beta) ** sympy.Rational(t, 2) * x0) == 0
        mu, sigma = markov.ar1_law(torch.tensor([1.7], dtype=F64), 0.03, t)
        assert float(mu) == pytest.approx(float(mean.subs({beta: 0.03, x0: 1.7})), rel=1e-12)
        assert float(sigma) == pytest.approx(math.sqrt(variance.subs(beta, 0.03)), rel=1e-12)


def test_simulated_ar1_has_that_law():
    """Kolmogorov and Smirnov on 50 000 draws, at 1e-8 for each of three times; the mistaken step is caught at the same level."""
    path = markov.ar1(torch.full((50_000,), 2.0, dtype=F64), 0.1, 20, generator(3))
    for t in (1, 5, 20):
        mu, sigma = markov.ar1_law(path[0, :1], 0.1, t)
        assert stats.kstest(path[t].numpy(), stats.norm(float(mu), float(sigma)).cdf).pvalue > 1e-8
    x = path[0]
    for _ in range(20):
        x = (1 - 0.1) * x + math.sqrt(0.1) * torch.randn(x.shape, generator=generator(4), dtype=F64)
    assert stats.kstest(x.numpy(), stats.norm(float(mu), float(sigma)).cdf).pvalue < 1e-8


@pytest.mark.equation("markov-ar-stationary", "markov-ar-correlation")
def test_ar1_keeps_the_standard_normal_and_forgets_at_its_rate():
    """Kolmogorov and Smirnov at 1e-8; correlations within six standard errors, 2e-9 each."""
    n = 40_000
    path = markov.ar1(torch.randn(n, generator=generator(5), dtype=F64), 0.2, 10, generator(6))
    assert stats.kstest(path[10].numpy(), stats.norm.cdf).pvalue > 1e-8
    for t in (1, 4, 10):
        products = path[0] * path[t]
        assert abs(float(products.mean()) - 0.8 ** (t / 2)) < 6 * float(products.std()) / math.sqrt(n)


@pytest.mark.equation("markov-ar-kl")
@given(st.floats(-3, 3), st.floats(0.001, 0.9), st.integers(1, 300))
def test_kl_of_ar1_by_quadrature_and_falling(x_0, noise, t):
    start = torch.tensor([x_0], dtype=F64)
    value = float(markov.ar1_kl(start, noise, t))
    kept = (1 - noise) ** t
    assert value == pytest.approx((kept * (x_0**2 - 1) - math.log1p(-kept)) / 2, abs=1e-9)
    assert float(markov.ar1_kl(start, noise, t + 1)) <= value + 1e-12
    if kept > 1e-3:
        q, p = stats.norm(math.sqrt(kept) * x_0, math.sqrt(1 - kept)), stats.norm()
        low, high = q.mean() - 12 * q.std(), q.mean() + 12 * q.std()
        integral, _ = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), low, high, epsabs=1e-11)
        assert value == pytest.approx(integral, abs=1e-8)


@pytest.mark.equation("markov-mistake")
def test_the_mistaken_ar1_has_another_variance():
    for beta in (0.01, 0.1, 0.5):
        variance = 0.0
        for _ in range(5000):
            variance = (1 - beta) ** 2 * variance + beta
        assert variance == pytest.approx(1 / (2 - beta), rel=1e-9)


# Metropolis


def two_hills(x):
    return torch.logaddexp(-((x - 2) ** 2) / 2, -((x + 2) ** 2) / 2)


@pytest.mark.equation("markov-balance", "markov-accept", "markov-metropolis")
@given(matrices, st.integers(0, 1000))
def test_metropolis_is_in_balance(P, seed):
    pi = laws_for(P, seed)[0] + 1e-6
    pi = pi / pi.sum()
    proposal = (P + P.mT) / 4  # symmetric; what is left stays
    proposal = proposal / proposal.sum(1).max()
    proposal = proposal + torch.diag(1 - proposal.sum(1))
    M = markov.metropolis_matrix(pi, proposal)
    flow = pi[:, None] * M
    assert torch.allclose(flow, flow.mT, atol=1e-13)
    assert torch.allclose(pi @ M, pi, atol=1e-13)
    for i in range(len(pi)):
        for j in range(len(pi)):
            if i != j:
                assert float(M[i, j]) == pytest.approx(float(proposal[i, j] * min(1, pi[j] / pi[i])), abs=1e-14)
    assert not torch.allclose(START[:, None] * CAT, (START[:, None] * CAT).mT)


def test_metropolis_samples_fit_their_target():
    """4000 chains of 300 steps, independent of each other: Kolmogorov and Smirnov at 1e-8. A sampler without the rejection is caught."""
    x_0 = torch.zeros(4000, dtype=F64)
    path = markov.metropolis(two_hills, x_0, 2.5, 300, generator(7))
    cdf = lambda x: (stats.norm(2).cdf(x) + stats.norm(-2).cdf(x)) / 2  # noqa: E731
    assert path.shape == (301, 4000)
    assert stats.kstest(path[-1].numpy(), cdf).pvalue > 1e-8
    free = markov.metropolis(torch.zeros_like, x_0, 2.5, 300, generator(7))
    assert stats.kstest(free[-1].numpy(), cdf).pvalue < 1e-8
    stays = (path[1:] == path[:-1]).double().mean()
    assert 0.1 < float(stays) < 0.9


def test_metropolis_never_enters_where_the_target_is_zero():
    path = markov.metropolis(lambda x: torch.where(x > 0, -x, -math.inf), torch.ones(500, dtype=F64), 1.0, 200, generator(8))
    assert (path > 0).all()


@pytest.mark.equation("markov-leak")
@given(matrices, st.integers(1, 40))
def test_a_bottleneck_bounds_the_way_out(P, steps):
    pi = markov.stationary(P)
    inside = torch.arange(len(P)) < (len(P) + 1) // 2
    rate = float((pi[inside] @ P[inside][:, ~inside].sum(1)) / pi[inside].sum())
    law = torch.where(inside, pi, 0.0) / pi[inside].sum()
    trapped = P * inside  # paths that leave are dropped
    left = 1 - float((law @ torch.linalg.matrix_power(trapped, steps)).sum())
    assert left <= steps * rate + 1e-12


# The living figure

LIVING = Path(__file__).resolve().parent.parent / "vae_teach/living"
SHIM = "globalThis.window = globalThis; globalThis.HTMLElement = class {}; globalThis.customElements = { get() {}, define() {} }; globalThis.document = {};"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_the_living_figure_computes_what_the_module_computes():
    rng = np.random.default_rng(0)
    points = [[*rng.uniform(0, 0.95, 3), rng.uniform(0, 1)] for _ in range(50)] + [[0.9, 0.4, 0.7, 0.8], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0.5, 0.5, 0.5], [0.9, 0.4, 0.7, 1]]
    call = """
        const f = window.vaeLiving.formulas, start = [0.2, 0.3, 0.5];
        console.log(JSON.stringify(POINTS.map((point) => {
          const P = f.chainMatrix(...point), pi = f.chainStationary(P);
          return [P, f.chainStep(start, P), pi, f.totalVariation(start, pi), f.secondModulus(P), f.chainLaw(start, P, 7), f.chainPeriod(P)];
        })));"""
    script = SHIM + "\n".join((LIVING / name).read_text() for name in ("living.js", "vae-chain-mixing.js")) + call.replace("POINTS", json.dumps([[float(v) for v in p] for p in points]))
    output = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout
    for (a, b, c, clockwise), (P, step, pi, distance, modulus, law, period) in zip(points, json.loads(output)):
        stay = np.diag([a, b, c])
        mine = torch.tensor(stay + (np.eye(3) - stay) @ (clockwise * np.roll(np.eye(3), 1, 1) + (1 - clockwise) * np.roll(np.eye(3), -1, 1)))
        assert torch.allclose(torch.tensor(P, dtype=F64), mine, atol=1e-12)
        assert torch.allclose(torch.tensor(step, dtype=F64), markov.laws(START, mine, 1)[1], atol=1e-12)
        assert torch.allclose(torch.tensor(law, dtype=F64), markov.laws(START, mine, 7)[7], atol=1e-12)
        assert torch.allclose(torch.tensor(pi, dtype=F64), markov.stationary(mine), atol=1e-9)
        assert distance == pytest.approx(float(markov.total_variation(START, markov.stationary(mine))), abs=1e-9)
        assert modulus == pytest.approx(markov.second_eigenvalue(mine), abs=1e-6)
        assert period == markov.period(mine)


# Bad input

nan = math.nan


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: markov.transition(torch.tensor([[0.5, 0.4], [0.5, 0.5]])), "P must sum to 1"),
        (lambda: markov.transition(torch.tensor([[1.5, -0.5], [0.5, 0.5]])), "P has a negative"),
        (lambda: markov.transition(torch.tensor([[nan, 1.0], [0.5, 0.5]])), "P has 1 value"),
        (lambda: markov.transition(torch.ones(2, 3) / 3), "P must be square"),
        (lambda: markov.transition(torch.ones(0, 0)), "P must be square"),
        (lambda: markov.transition(CAT.T), "Take P.T"),
        (lambda: markov.laws(torch.ones(2) / 2, CAT, 3), "same shape"),
        (lambda: markov.laws(torch.tensor([0.5, 0.5, 0.5]), CAT, 3), "pi must sum to 1"),
        (lambda: markov.laws(START, CAT, -1), "steps must be at least 0"),
        (lambda: markov.stationary(ISLANDS), "2 independent stationary laws"),
        (lambda: markov.power_iteration(torch.tensor([1.0, 0, 0]), RING), "lazy chain"),
        (lambda: markov.total_variation(START, START[:2] / START[:2].sum()), "same shape"),
        (lambda: markov.total_variation(START, START + 1), "q must sum"),
        (lambda: markov.second_eigenvalue(torch.ones(2, 2)), "P must sum to 1"),
        (lambda: markov.contraction(torch.ones(1, 2) / 2), "P must be square"),
        (lambda: markov.period(-torch.eye(2)), "negative"),
        (lambda: markov.sample(START, CAT, -2, 5), "steps must be"),
        (lambda: markov.log_joint(torch.tensor([[0, 3]]), START, CAT), "states from 0 to 2"),
        (lambda: markov.time_average(torch.ones(10)), "values per batch"),
        (lambda: markov.time_average(torch.ones(10), 1), "batches must be at least 2"),
        (lambda: markov.time_average(torch.full((90,), nan)), "values has 90"),
        (lambda: markov.autocorrelation_time(CAT, torch.ones(3)), "variance of f"),
        (lambda: markov.autocorrelation_time(ISLANDS, torch.ones(4)), "stationary laws"),
        (lambda: markov.ar1(torch.tensor([nan]), 0.1, 3), "x_0 has 1 value"),
        (lambda: markov.ar1(torch.zeros(1), 1.5, 3), "noise, the β"),
        (lambda: markov.ar1_law(torch.zeros(1), 0.0, 3), "noise, the β"),
        (lambda: markov.ar1_law(torch.zeros(1), 0.1, -3), "t must be at least 0"),
        (lambda: markov.ar1_kl(torch.zeros(1), 0.1, 0), "t must be at least 1"),
        (lambda: markov.metropolis(two_hills, torch.zeros(1), 0.0, 3), "width must be > 0"),
        (lambda: markov.metropolis(two_hills, torch.zeros(1), 1.0, 0), "steps must be"),
        (lambda: markov.metropolis(lambda x: x.log(), torch.zeros(1), 1.0, 3), "log_target"),
        (lambda: markov.metropolis_matrix(START, CAT), "symmetric"),
        (lambda: markov.metropolis_matrix(torch.tensor([0.0, 0.5, 0.5]), torch.full((3, 3), 1 / 3)), "target must be > 0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_shapes_are_enforced():
    with pytest.raises(Exception, match="(?i)type-check"):  # jaxtyping's, while tests run
        markov.log_joint(torch.zeros(3, dtype=torch.int64), START, CAT)

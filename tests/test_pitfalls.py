"""Pitfalls: every wrong one is wrong by the amount the page states, every right one agrees with a second witness.

Statistical tests have fixed seeds; their bounds are six standard errors or more, so that each would alarm falsely in less than 1 of 1e8 tries.
"""

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from scipy import integrate, optimize, stats
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vae_teach import pitfalls, vae
from vae_teach.kl import kl_standard_normal
from vae_teach.pitfalls import PITFALLS
from vae_teach.reparam import reparameterize

ROOT = Path(__file__).resolve().parent.parent
F64 = torch.float64


def generator(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F64)


def codes(seed=0, B=7, K=3):
    return normal(B, K, seed=seed), normal(B, K, seed=seed + 100)


def library_kl(mu, log_var):
    q, p = Normal(mu, torch.exp(log_var / 2)), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return kl_divergence(q, p).sum(-1)


def gap(s):
    """The f of the page."""
    return (torch.exp(2 * s) - torch.exp(s) - s) / 2


# Wrong KL


@pytest.mark.equation("pitfalls-log-sigma")
def test_log_sigma_is_too_dear_by_the_stated_amount():
    mu, log_var = codes()
    assert torch.allclose(pitfalls.kl_log_sigma(mu, log_var) - library_kl(mu, log_var), gap(log_var).sum(-1))
    s = sympy.Symbol("s", real=True)
    f = (sympy.exp(2 * s) - sympy.exp(s) - s) / 2
    slope = sympy.diff(f, s)
    assert sympy.simplify(slope - (2 * sympy.exp(s) + 1) * (sympy.exp(s) - 1) / 2) == 0  # one sign left of zero, the other right of it
    assert f.subs(s, 0) == 0
    grid = torch.linspace(-9, 5, 1401, dtype=F64)
    assert bool((gap(grid) >= -1e-15).all())


@pytest.mark.equation("pitfalls-squared-variance")
def test_the_squared_variance_lets_the_kl_fall_below_zero():
    mu, log_var = codes(1)
    off = (torch.exp(2 * log_var) - torch.exp(log_var)).sum(-1) / 2
    assert torch.allclose(pitfalls.kl_squared_variance(mu, log_var) - library_kl(mu, log_var), off)
    found = optimize.minimize_scalar(lambda s: float(pitfalls.kl_squared_variance(torch.zeros(1, 1, dtype=F64), torch.full((1, 1), s, dtype=F64))), bounds=(-3, 1), method="bounded", options={"xatol": 1e-10})
    assert found.fun == pytest.approx(-(1 - math.log(2)) / 4, abs=1e-12)
    assert found.x == pytest.approx(-math.log(2) / 2, abs=1e-5)


@pytest.mark.equation("pitfalls-constant")
def test_the_lost_constant_is_half_a_nat_a_dimension_and_no_gradient():
    mu, log_var = (t.requires_grad_() for t in codes(2))
    wrong, right = pitfalls.kl_lost_constant(mu, log_var), library_kl(mu, log_var)
    assert torch.allclose(wrong - right, torch.full((7,), 1.5, dtype=F64))
    for a, b in zip(torch.autograd.grad(wrong.sum(), (mu, log_var)), torch.autograd.grad(right.sum(), (mu, log_var))):
        assert torch.allclose(a, b)


@pytest.mark.equation("pitfalls-flipped")
def test_a_flipped_sign_misses_twice_the_kl_and_has_no_floor():
    mu, log_var = codes(3)
    assert torch.allclose(pitfalls.kl_flipped(mu, log_var) - library_kl(mu, log_var), -2 * library_kl(mu, log_var))
    far = [float(pitfalls.kl_flipped(torch.full((1, 1), m, dtype=F64), torch.zeros(1, 1, dtype=F64))) for m in (1.0, 10.0, 100.0)]
    assert far == pytest.approx([-0.5, -50.0, -5000.0])


def test_the_mean_over_the_code_is_the_kl_over_k():
    mu, log_var = codes(4)
    entry = PITFALLS["mean over the code"]
    assert torch.allclose(entry.wrong(mu, log_var), library_kl(mu, log_var) / 3)
    assert torch.allclose(entry.right(mu, log_var), library_kl(mu, log_var))


@pytest.mark.equation("pitfalls-three")
def test_three_errors_cancel_where_one_looks_first():
    mu, log_var = codes(5)
    assert torch.allclose(pitfalls.kl_three_errors(mu, log_var), 2 / 3 * pitfalls.kl_log_sigma(mu, log_var))
    for K in (1, 2, 5, 20):
        mu = normal(7, K, seed=K)
        start = torch.zeros_like(mu)
        assert torch.allclose(pitfalls.kl_three_errors(mu, start), 2 / K * library_kl(mu, start))
    assert not torch.allclose(pitfalls.kl_three_errors(*codes(6)), library_kl(*codes(6)), atol=0.5)  # the test that the page proposes


def test_the_right_kl_has_a_second_witness():
    mu, log_var = codes(7)
    assert torch.allclose(kl_standard_normal(mu, log_var), library_kl(mu, log_var))


# Wrong draws

N = 400_000


def moments(draw, mu=1.5, sigma=0.3):
    given = (torch.full((1, 1), value, dtype=F64) for value in (mu, 2 * math.log(sigma)))
    torch.manual_seed(0)
    z = draw(*given, N).flatten()
    return float(z.mean()), float(z.std()), z


@pytest.mark.parametrize(
    "draw, mean, deviation",
    [(reparameterize, 1.5, 0.3), (pitfalls.draw_exp_log_var, 1.5, 0.09), (pitfalls.draw_added, 1.8, 1.0), (pitfalls.draw_scaled, 0.45, 0.3)],
)
def test_draws_have_the_stated_law(draw, mean, deviation):
    m, s, z = moments(draw)
    assert abs(m - mean) < 6 * deviation / math.sqrt(N)
    assert abs(s - deviation) < 6 * deviation / math.sqrt(2 * N)
    assert stats.kstest(z[:20_000].numpy(), stats.norm(mean, deviation).cdf).pvalue > 1e-8


@pytest.mark.equation("pitfalls-draw-exp")
def test_the_narrow_draw_is_charged_too_little_by_the_same_f():
    s = torch.linspace(-4, 2, 13, dtype=F64)[:, None]
    mu = normal(13, 1)
    drawn = library_kl(mu, 2 * s)  # its deviation is exp(s), its log-variance 2s
    assert torch.allclose(drawn - kl_standard_normal(mu, s), gap(s).sum(-1))


@pytest.mark.equation("pitfalls-halved")
@pytest.mark.parametrize("a", [0.1, 1.0, 7.0, 300.0])
def test_learned_variances_are_those_of_the_formula(a):
    """Minimise a/2 times the drawn variance plus the charge, numerically."""

    def best(variance, charge):
        value = lambda s: a / 2 * math.exp(variance * s) + float(charge(torch.zeros(1, 1, dtype=F64), torch.full((1, 1), s, dtype=F64)))  # noqa: E731
        s = optimize.minimize_scalar(value, bounds=(-12, 2), method="bounded", options={"xatol": 1e-11}).x
        return math.exp(variance * s)

    assert best(1, kl_standard_normal) == pytest.approx(1 / (1 + a), rel=1e-5)
    assert best(2, kl_standard_normal) == pytest.approx(((math.sqrt(1 + 8 * a) - 1) / (4 * a)) ** 2, rel=1e-5)
    assert best(1, pitfalls.kl_log_sigma) == pytest.approx((math.sqrt(a**2 + 16) - a) / 4, rel=1e-5)


def test_the_limits_of_these_variances_are_a_half_and_two():
    a = sympy.Symbol("a", positive=True)
    narrow, wide = ((sympy.sqrt(1 + 8 * a) - 1) / (4 * a)) ** 2, (sympy.sqrt(a**2 + 16) - a) / 4
    assert sympy.limit(narrow * (1 + a), a, sympy.oo) == sympy.Rational(1, 2)
    assert sympy.limit(wide * (1 + a), a, sympy.oo) == 2


@pytest.mark.equation("pitfalls-added", "pitfalls-scaled")
@pytest.mark.parametrize("mu, sigma", [(1.5, 0.3), (-0.4, 0.05), (2.0, 1.7), (0.3, 1.0)])
def test_the_law_drawn_is_that_far_from_the_law_charged(mu, sigma):
    def by_quadrature(q, p):
        return integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), q.mean() - 12 * q.std(), q.mean() + 12 * q.std(), limit=400)[0]

    meant = stats.norm(mu, sigma)
    assert by_quadrature(stats.norm(mu + sigma, 1), meant) == pytest.approx(math.log(sigma) + 1 / (2 * sigma**2), rel=1e-6, abs=1e-9)
    assert by_quadrature(stats.norm(mu * sigma, sigma), meant) == pytest.approx(mu**2 * (1 - sigma) ** 2 / (2 * sigma**2), rel=1e-6, abs=1e-9)


def test_an_unread_argument_leaves_the_shape_and_the_spread():
    mu, log_var = torch.zeros(5, 2), torch.zeros(5, 2)
    entry = PITFALLS["unread argument"]
    assert entry.wrong(mu, log_var, 64).shape == (1, 5, 2) and entry.right(mu, log_var, 64).shape == (64, 5, 2)


# Wrong likelihoods


def pixels(seed=0, B=5, D=11):
    x = torch.randint(0, 2, (B, D), generator=generator(seed)).to(F64)
    return x, 2 * normal(B, D, seed=seed + 1)


def library_loss(x, logits):
    return -Independent(Bernoulli(logits=logits, validate_args=False), 1).log_prob(x)


def test_the_right_cross_entropy_has_a_second_witness():
    assert torch.allclose(pitfalls.cross_entropy_loss(*pixels()), library_loss(*pixels()))


@pytest.mark.equation("pitfalls-targets")
def test_a_target_outside_of_zero_and_one_takes_the_floor_away():
    x, logits = pixels(1)
    wide = (torch.nn.functional.softplus(logits) - (2 * x - 1) * logits).sum(-1)
    assert torch.allclose(pitfalls.loss_wide_targets(x, logits), wide)
    assert torch.allclose(PITFALLS["bytes as targets"].wrong(x, logits), (torch.nn.functional.softplus(logits) - 255 * x * logits).sum(-1))
    a, t = sympy.symbols("a t", real=True)
    h = sympy.log(1 + sympy.exp(a)) - t * a
    assert sympy.simplify(sympy.diff(h, a) - (1 / (1 + sympy.exp(-a)) - t)) == 0
    assert sympy.limit(h.subs(t, -1), a, -sympy.oo) == -sympy.oo and sympy.limit(h.subs(t, 255), a, sympy.oo) == -sympy.oo
    black, deep = torch.zeros(1, 1, dtype=F64), torch.full((1, 1), -1000.0, dtype=F64)
    assert float(pitfalls.loss_wide_targets(black, deep)) == pytest.approx(-1000)
    assert float(pitfalls.cross_entropy_loss(black, deep)) == 0


@pytest.mark.equation("pitfalls-floor")
def test_a_tanh_and_a_second_sigmoid_have_a_floor():
    out = torch.linspace(-60, 60, 4001, dtype=F64)[:, None]
    for target, floors in [(0.0, (math.log1p(math.exp(-1)), math.log(2))), (1.0, (math.log1p(math.exp(-1)), math.log1p(math.exp(-1))))]:
        x = torch.full_like(out, target)
        for f, floor in zip((PITFALLS["Tanh for logits"].wrong, PITFALLS["two sigmoids"].wrong), floors):
            assert float(f(x, out).min()) == pytest.approx(floor, abs=1e-12)
        assert float(pitfalls.cross_entropy_loss(x, out).min()) < 1e-20


@pytest.mark.equation("pitfalls-grey")
@pytest.mark.parametrize("p", [0.02, 0.3, 0.500001, 0.8, 0.999])
def test_grey_cross_entropy_misses_the_normaliser(p):
    mass = integrate.quad(lambda x: p**x * (1 - p) ** (1 - x), 0, 1)[0]
    logit = math.log(p / (1 - p))
    assert mass == pytest.approx((2 * p - 1) / logit, rel=1e-8)
    assert mass <= 0.5 + 1e-12
    x, logits = torch.tensor([[0.0, 0.25, 0.9]], dtype=F64), torch.full((1, 3), logit, dtype=F64)
    entry = PITFALLS["grey Bernoulli"]
    assert float(entry.right(x, logits) - entry.wrong(x, logits)) == pytest.approx(-3 * math.log(mass), rel=1e-4)
    total = integrate.quad(lambda v: float(entry.right(torch.tensor([[v]], dtype=F64), logits[:, :1]).exp()), 0, 1)[0]
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.equation("pitfalls-normaliser", "pitfalls-d-squared")
@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.5])
def test_gaussian_constants(sigma):
    x, x_hat = normal(4, 11), normal(4, 11, seed=1)
    proper = torch.tensor([stats.multivariate_normal(b, sigma**2).logpdf(a) for a, b in zip(x.numpy(), x_hat.numpy())])
    for name, off in [("no normaliser", 11 / 2 * math.log(2 * math.pi * sigma**2)), ("constant in every pixel", -11 * 10 / 2 * math.log(2 * math.pi * sigma**2))]:
        assert torch.allclose(PITFALLS[name].right(x, x_hat, sigma), proper)
        assert torch.allclose(PITFALLS[name].wrong(x, x_hat, sigma) - proper, torch.full((4,), off, dtype=F64))
    bits = (PITFALLS["no normaliser"].wrong(x, x_hat, sigma) - proper) / (11 * math.log(2))
    assert torch.allclose(bits, torch.full((4,), math.log2(2 * math.pi * sigma**2) / 2, dtype=F64))


# Wrong sums

WAYS = [(r, k, w, h) for r in ("sum", "mean") for k in ("sum", "mean") for w, h in ((1.0, True), (1.0, False), (0.3, True))]


@pytest.mark.equation("pitfalls-reduced", "pitfalls-width")
@pytest.mark.parametrize("reconstruction, kl, weight, half", WAYS)
def test_the_reduced_loss_is_a_factor_times_the_loss_with_the_hidden_beta(reconstruction, kl, weight, half):
    x, x_hat = normal(7, 11), normal(7, 11, seed=1)
    mu, log_var = codes(8)
    told = {"reconstruction": reconstruction, "kl": kl, "weight": weight, "half": half}
    beta = vae.hidden_beta(11, 3, **told)
    factor = (1 if half else 2) / (11 if reconstruction == "mean" else 1)
    error, cost = ((x - x_hat) ** 2).sum(-1) / 2, library_kl(mu, log_var)
    assert float(pitfalls.reduced_loss(x, x_hat, mu, log_var, **told)) == pytest.approx(float(factor * (error + beta * cost).mean()), rel=1e-12)
    log_p = Normal(x_hat, math.sqrt(beta)).log_prob(x).sum(-1)  # the decoder of variance beta, on the bound itself
    constant = 11 / 2 * math.log(2 * math.pi * beta)
    assert torch.allclose(error + beta * cost, -beta * (log_p - cost + constant))


@pytest.mark.equation("pitfalls-profile", "pitfalls-moved")
def test_the_minimum_in_one_direction():
    """Optimise v and the variance away by SymPy, then w numerically."""
    v, w, s, kappa, beta = sympy.symbols("v w s kappa beta", positive=True)
    loss = ((1 - w * v) ** 2 * kappa + w**2 * s) / 2 + beta / 2 * (v**2 * kappa + s - 1 - sympy.log(s))
    t = w**2 + beta
    best = {v: w / t, s: beta / t}
    for variable in (v, s):
        assert sympy.simplify(sympy.diff(loss, variable).subs(best)) == 0
    assert sympy.simplify(sympy.expand_log(loss.subs(best) - beta / 2 * (kappa / t + sympy.log(t) - sympy.log(beta)), force=True)) == 0
    for k, b in [(9.0, 1.0), (9.0, 12.0), (2.0, 0.5)]:
        found = optimize.minimize_scalar(lambda w2, k=k, b=b: k / (w2 + b) + math.log(w2 + b), bounds=(0, 40), method="bounded", options={"xatol": 1e-9}).x
        assert found == pytest.approx(max(k - b, 0), abs=1e-4)


def linear_data(seed=5, N=90, D=8):
    spectrum = torch.tensor([24.0, 9.0, 2.0] + [0.2] * (D - 3), dtype=F64)
    return normal(N, D, seed=seed) * spectrum.sqrt() @ torch.linalg.qr(normal(D, D, seed=seed + 1))[0]


@pytest.mark.equation("pitfalls-moved")
@pytest.mark.parametrize("told", [{"reconstruction": "sum"}, {"reconstruction": "mean"}, {"reconstruction": "mean", "kl": "mean", "half": False}, {"reconstruction": "sum", "weight": 30.0, "half": False}])
def test_a_trained_linear_vae_ends_where_the_formula_says(told):
    x = linear_data()
    beta = vae.hidden_beta(8, 2, **({"kl": "sum"} | told))
    torch.manual_seed(0)
    model = pitfalls.fit_linear(x, 2, **told)
    weight, (_, log_var) = model.decoder[0].weight.detach(), model.posterior(x[:, None, None])
    lengths, variances = pitfalls.linear_minimum(x, 2, beta)
    values = torch.linalg.eigvalsh(weight.T @ weight).flip(0)
    assert torch.allclose(values, lengths, atol=1e-3)
    assert torch.allclose(log_var.exp().mean(0).sort().values, variances, atol=1e-3)


@pytest.fixture(scope="module")
def linear():
    x = linear_data()
    torch.manual_seed(0)
    return pitfalls.fit_linear(x, 2, reconstruction="sum"), x


def test_registry_losses_are_those_of_the_sums(linear):
    x, x_hat = normal(7, 11), normal(7, 11, seed=1)
    given = (x, x_hat, *codes(9))
    error, cost = ((x - x_hat) ** 2).sum(-1) / 2, library_kl(*codes(9))
    for name, wrong in [("mean and sum", error / 11 + cost), ("lost half", 2 * error + cost)]:
        assert torch.allclose(PITFALLS[name].wrong(*given), wrong.mean())
        assert torch.allclose(PITFALLS[name].right(*given), (error + cost).mean())


@pytest.mark.equation("pitfalls-count")
@pytest.mark.parametrize("size", [128, 300, 999, 1000])
def test_the_average_of_averages_is_off_by_the_last_batch(size):
    losses, entry = normal(1000).exp(), PITFALLS["wrong count"]
    n, r = math.ceil(1000 / size), 1000 - (math.ceil(1000 / size) - 1) * size
    first, last = losses[: 1000 - r], losses[1000 - r :]
    off = (1 / n - r / 1000) * (float(last.mean()) - (float(first.mean()) if len(first) else 0))
    assert float(entry.wrong(losses, size) - np.mean(losses.numpy())) == pytest.approx(off, abs=1e-12)
    assert float(entry.right(losses, size)) == pytest.approx(np.mean(losses.numpy()))
    if size == 1000:
        assert off == 0


# Wrong reports


def test_the_exact_evidence_has_a_second_witness(linear):
    model, x = linear
    W, b = model.decoder[0].weight.detach(), model.decoder[0].bias.detach()
    witness = stats.multivariate_normal(b, (W @ W.T + torch.eye(8)).numpy()).logpdf(x.numpy())
    assert torch.allclose(pitfalls.linear_evidence(model, x), torch.tensor(witness))


@pytest.mark.equation("pitfalls-at-mean")
def test_the_bound_at_the_mean_lies_above_the_evidence_by_the_stated_amount(linear):
    model, x = linear
    evidence = pitfalls.linear_evidence(model, x)
    kappa = 1 + pitfalls.linear_minimum(x, 2, 1.0)[0]
    over = pitfalls.elbo_at_mean(model, x[:, None, None]) - evidence
    assert torch.allclose(over, torch.full_like(over, float((1 - 1 / kappa).sum() / 2)), atol=1e-4)
    assert float(over.min()) > 0
    mu, log_var = (t.detach() for t in model.posterior(x[:, None, None]))
    W, b = model.decoder[0].weight.detach(), model.decoder[0].bias.detach()
    at_mu = -((x - mu @ W.T - b) ** 2).sum(-1) / 2
    z = reparameterize(mu, log_var, 20_000)
    drawn = -((x - z @ W.T - b) ** 2).sum(-1) / 2
    exact = ((W**2).sum(0) * log_var.exp()).sum(-1) / 2
    assert bool(((at_mu - drawn.mean(0) - exact).abs() < 6 * drawn.std(0) / math.sqrt(20_000)).all())


@pytest.mark.equation("pitfalls-nll")
def test_minus_elbo_is_the_nll_plus_a_kl(linear):
    model, x = linear
    torch.manual_seed(1)
    entry = PITFALLS["minus ELBO as NLL"]
    nll = entry.right(model, x[:, None, None])
    assert torch.allclose(nll, -pitfalls.linear_evidence(model, x))
    shift = 2 * math.log(2)
    with torch.no_grad():
        model.encoder[1].bias[2:] -= shift
        wrong = entry.wrong(model, x[:, None, None])
        model.encoder[1].bias[2:] += shift
    gap_of_half = (0.25 - 1 + math.log(4)) / 2  # KL of N(m, s/4) to N(m, s)
    assert float((wrong - nll).mean()) == pytest.approx(2 * gap_of_half, abs=0.03)  # 90 points of 1000 draws: deviation below 0.004


@pytest.mark.equation("pitfalls-weights")
def test_two_weights_differ_by_the_kl():
    bound = vae.Bound(*(normal(7, seed=i) for i in range(2)), normal(7, seed=2).exp())
    bound = bound._replace(elbo=bound.reconstruction - bound.kl)
    entry = PITFALLS["two weights"]
    assert float(entry.right(bound, 0.03) - entry.wrong(bound, 0.03)) == pytest.approx(float((1 - 0.03) * bound.kl.mean()))
    assert float(entry.right(bound, 0.03)) == pytest.approx(float((bound.kl - bound.reconstruction).mean()))


def test_the_leak_is_the_test_set():
    train, held = normal(4, 2), normal(3, 2, seed=1)
    entry = PITFALLS["test set in training"]
    assert torch.equal(entry.right(train, held), train)
    assert torch.equal(entry.wrong(train, held)[4:], held)


@pytest.mark.equation("pitfalls-monte-carlo")
def test_an_estimate_of_the_evidence_is_low_by_its_variance():
    """One latent, one pixel: the relative variance of p(x|z) is known, and so is the bias to first order."""
    w, x, n = 0.8, 0.4, 20
    p = stats.norm(0, math.sqrt(w**2 + 1)).pdf(x)
    second = stats.norm(0, math.sqrt(w**2 + 0.5)).pdf(x) / math.sqrt(4 * math.pi)  # E p(x|z)²: a squared Gaussian is one of half the variance
    check = integrate.quad(lambda z: stats.norm(w * z, 1).pdf(x) ** 2 * stats.norm.pdf(z), -12, 12)[0]
    assert second == pytest.approx(check, rel=1e-8)
    bias = -(second / p**2 - 1) / (2 * n)
    z = np.random.default_rng(0).normal(size=(150_000, n))
    estimates = np.log(stats.norm.pdf(x - w * z).mean(1))
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - math.log(p) - bias) < 6 * error + abs(bias) / 20
    assert estimates.mean() < math.log(p) - 6 * error


def test_the_estimator_is_that_mean(linear):
    model, x = linear
    torch.manual_seed(3)
    found = pitfalls.evidence_called_true(model, x[:3, None, None], 500)
    torch.manual_seed(3)
    z = torch.randn(500, 1, 2, dtype=F64)
    p = Normal((z @ model.decoder[0].weight.T + model.decoder[0].bias).detach(), 1.0).log_prob(x[:3]).sum(-1).exp().mean(0)
    assert torch.allclose(found, p.log())


@pytest.mark.equation("pitfalls-not-posterior")
@pytest.mark.parametrize("w", [0.5, -2.0])
def test_a_likelihood_is_no_law_of_z(w):
    entry, x = PITFALLS["likelihood as posterior"], torch.tensor(1.3, dtype=F64)
    masses = [integrate.quad(lambda z, f=f: float(f(x, torch.tensor(z, dtype=F64), w).exp()), -60, 60, points=[1.3 / w], limit=400)[0] for f in (entry.wrong, entry.right)]
    assert masses == pytest.approx([1 / abs(w), 1.0], rel=1e-6)
    for z in (-1.0, 0.3):  # Bayes' rule
        joint = stats.norm(w * z, 1).logpdf(1.3) + stats.norm.logpdf(z) - stats.norm(0, math.sqrt(w**2 + 1)).logpdf(1.3)
        assert float(entry.right(x, torch.tensor(z, dtype=F64), w)) == pytest.approx(joint)


def test_noise_through_the_encoder_is_not_the_prior():
    torch.manual_seed(0)
    model = vae.mlp_vae((1, 4, 4), hidden=6, latent=2)
    x = torch.rand(9, 1, 4, 4)
    entry = PITFALLS["noise to the encoder"]
    torch.manual_seed(1)
    wrong = entry.wrong(model, x)
    torch.manual_seed(1)
    assert torch.equal(wrong, model.decode(model.posterior(torch.rand_like(x))[0]).mean)
    torch.manual_seed(1)
    right = entry.right(model, x)
    torch.manual_seed(1)
    assert torch.allclose(right, model.decode(torch.randn(9, 2)).mean)


# Wrong numbers


@pytest.mark.equation("pitfalls-overflow")
@pytest.mark.parametrize("kind, top", [(torch.float32, 128 * math.log(2)), (torch.float16, 16 * math.log(2)), (torch.bfloat16, 128 * math.log(2))])
def test_exp_overflows_where_the_page_says(kind, top):
    assert math.log(torch.finfo(kind).max) == pytest.approx(top, abs=5e-3)
    inside, outside = (torch.exp(torch.tensor(value, dtype=kind)) for value in (top - 0.5, top + 0.5))
    assert bool(torch.isfinite(inside)) and bool(torch.isinf(outside))
    entry = PITFALLS["overflow"]
    assert bool(torch.isinf(entry.wrong(torch.tensor([[90.0]]))).all()) and bool(torch.isfinite(entry.right(torch.tensor([[90.0]]))).all())


def test_the_bound_of_log_var_is_a_bound_and_nearly_nothing_inside():
    log_var = torch.linspace(-1e4, 1e4, 201, dtype=F64)[:, None]
    bent = pitfalls.bounded_log_var(log_var)
    assert float(bent.abs().max()) <= 10
    small = torch.linspace(-1, 1, 21, dtype=F64)[:, None]
    assert torch.allclose(pitfalls.bounded_log_var(small), torch.tensor(10 * np.tanh(small.numpy() / 10)))
    assert float((pitfalls.bounded_log_var(small) - small).abs().max()) < 0.004


@pytest.mark.equation("pitfalls-saturation")
def test_a_sigmoid_in_single_precision_is_one_from_there_on():
    edge = 24 * math.log(2)
    assert float(torch.sigmoid(torch.tensor(edge + 0.05))) == 1.0 > float(torch.sigmoid(torch.tensor(edge - 0.75)))
    one, nought = torch.ones(1, 1), torch.zeros(1, 1)
    for logit in (20.0, 80.0):
        at = torch.full((1, 1), logit)
        assert bool(torch.isnan(pitfalls.loss_by_logarithms(one, at))) and bool(torch.isinf(pitfalls.loss_by_logarithms(nought, at)))
        assert float(pitfalls.cross_entropy_loss(nought, at)) == pytest.approx(logit)
    x, logits = pixels(3)
    assert torch.allclose(pitfalls.loss_by_logarithms(x, logits), library_loss(x, logits))  # right where numbers can hold it


@pytest.mark.equation("pitfalls-absolute")
def test_the_mean_size_squared_is_two_over_pi_of_the_variance():
    sigma = 0.7
    exact = integrate.quad(lambda r: abs(r) * stats.norm(0, sigma).pdf(r), -9, 9, points=[0])[0]
    assert exact**2 == pytest.approx(2 / math.pi * sigma**2, rel=1e-8)
    r, entry = sigma * normal(N), PITFALLS["mean size as deviation"]
    assert float(entry.wrong(r)) == pytest.approx(2 / math.pi * sigma**2, rel=0.02)  # deviation 0.0024 of it
    assert float(entry.right(r)) == pytest.approx(np.var(r.numpy()) + np.mean(r.numpy()) ** 2)


# The registry and the page

OTHERS = {15, 16, 17, 18, 19, 20, 27}  # rows of later chapters


def test_the_registry_covers_every_row_and_nothing_of_later_chapters():
    assert {row for entry in PITFALLS.values() for row in entry.rows} == set(range(1, 28)) - OTHERS
    assert list(dict.fromkeys(entry.group for entry in PITFALLS.values())) == ["KL", "draw", "likelihood", "sums", "reports", "numbers"]
    for name, entry in PITFALLS.items():
        assert entry.wrong is not entry.right and entry.symptom.endswith("."), name


def test_the_page_has_every_entry_with_its_test_and_names_the_rows_of_others():
    page = (ROOT / "book/pitfalls.md").read_text()
    rows = {}
    for number, name, last in re.findall(r"^\| (\d+) \| ([^|]+) \|.*\| ([^|]+) \|$", page, re.M):
        rows[name.strip()] = int(number)
        assert len(last.split()) >= 4, f"{name}: a test that would have caught it"
    assert list(rows) == list(PITFALLS)
    for group in ("KL", "draw", "likelihood", "sums", "reports", "numbers"):
        assert f"## Wrong {group}" in page
    for word in ("VQ", "hierarchical", "mixture prior", "MIG"):
        assert word in page


def test_specimens_keep_their_names_for_the_page():
    for name in re.findall(r":pyobject: (\w+)", (ROOT / "book/pitfalls.md").read_text()):
        assert callable(getattr(pitfalls, name)), name


# The living figure

SHIM = "var window = globalThis; window.HTMLElement = class {}; var HTMLElement = window.HTMLElement; var customElements = { get() { return true; }, define() {} }; var document = {};\n"


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on this machine")
def test_the_calculator_is_hidden_beta():
    rng = np.random.default_rng(0)
    told = [[int(rng.integers(1, 129)) ** 2, int(rng.integers(1, 257)), str(rng.choice(["sum", "mean"])), str(rng.choice(["sum", "mean"])), float(10 ** rng.uniform(-6, 4)), bool(rng.integers(2))] for _ in range(200)]
    living = ROOT / "vae_teach/living"
    script = SHIM + "".join((living / name).read_text() for name in ("living.js", "vae-hidden-beta.js"))
    script += f"console.log(JSON.stringify({json.dumps(told)}.map((t) => [vaeLiving.formulas.hiddenBeta(...t), vaeLiving.formulas.hiddenSigma(...t)])));"
    answer = json.loads(subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout)
    for given, (beta, sigma) in zip(told, answer):
        assert beta == pytest.approx(vae.hidden_beta(*given), rel=1e-9)
        assert sigma == pytest.approx(math.sqrt(vae.hidden_beta(*given)), rel=1e-9)


# Bad input

NAN = torch.full((2, 3), math.nan)
OK = torch.zeros(2, 3)


@pytest.mark.parametrize("f", [pitfalls.kl_log_sigma, pitfalls.kl_squared_variance, pitfalls.kl_lost_constant, pitfalls.kl_flipped, pitfalls.kl_three_errors, pitfalls.draw_exp_log_var, pitfalls.draw_added, pitfalls.draw_scaled, pitfalls.loss_wide_targets, pitfalls.loss_by_logarithms])  # fmt: skip
def test_specimens_refuse_what_is_not_finite_or_not_alike(f):
    for given, message in [((NAN, OK), "NaN or infinite"), ((OK, NAN), "NaN or infinite"), ((OK, torch.zeros(2, 4)), "same shape")]:
        with pytest.raises(ValueError, match=message):
            f(*given)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pitfalls.draw_added(OK, OK, n_samples=0), "must be positive"),
        (lambda: pitfalls.log_p_no_constant(OK, OK, 0.0), "must be positive"),
        (lambda: pitfalls.log_p_no_constant(NAN, OK, 1.0), "NaN or infinite"),
        (lambda: pitfalls.log_p_many_constants(OK, OK, -1.0), "must be positive"),
        (lambda: pitfalls.log_p_many_constants(OK, torch.zeros(2, 2), 1.0), "same shape"),
        (lambda: pitfalls.cross_entropy_loss(NAN, OK), "x has 6 value"),
        (lambda: pitfalls.cross_entropy_loss(OK, NAN), "logits has 6 value"),
        (lambda: pitfalls.reduced_loss(OK, OK, OK, OK, reconstruction="average"), "'sum' or 'mean', not 'average'"),
        (lambda: pitfalls.reduced_loss(NAN, OK, OK, OK), "x has 6 value"),
        (lambda: pitfalls.fit_linear(NAN, 2), "x has 6 value"),
        (lambda: pitfalls.fit_linear(OK, 0), "latent must be at least 1"),
        (lambda: pitfalls.linear_minimum(NAN, 2, 1.0), "x has 6 value"),
        (lambda: pitfalls.linear_minimum(OK, 2, 0.0), "beta must be at least"),
        (lambda: pitfalls.elbo_at_mean(None, NAN.reshape(2, 1, 1, 3)), "NaN or infinite"),
        (lambda: pitfalls.evidence_called_true(None, OK.reshape(2, 1, 1, 3), 0), "must be positive"),
        (lambda: pitfalls.bounded_log_var(NAN), "log_var has 6 value"),
        (lambda: pitfalls.bounded_log_var(OK, 0.0), "limit must be at least"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("call", [lambda: pitfalls.reduced_loss(OK, OK, OK, torch.zeros(2, 1)), lambda: pitfalls.cross_entropy_loss(OK, torch.zeros(2, 4))])
def test_shapes_are_enforced(call):
    with pytest.raises(Exception, match="(?i)type-check"):  # jaxtyping's, while tests run
        call()


def test_the_evidence_refuses_what_is_not_finite(linear):
    with pytest.raises(ValueError, match="x has 8 value"):
        pitfalls.linear_evidence(linear[0], torch.full((1, 8), math.nan, dtype=F64))

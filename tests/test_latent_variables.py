"""Latent variables: the linear-Gaussian model against SciPy and quadrature, estimators against exact moments, fits against eigenvectors.

Randomised tests use fixed seeds; each states its false-alarm rate, at most 1e-7: right code with another seed would fail that often.
"""

import math
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from torch import nn
from torch.distributions import Normal, kl_divergence

from vae_teach import kl
from vae_teach import latent_variables as lv
from vae_teach.common import living

F64 = torch.float64
RARE = 1e-7  # false-alarm rate of one test on random draws
SIX = 6.0  # standard errors; a normal law exceeds them with probability 2e-9
IRIS = torch.tensor(load_iris().data)

models = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(0, 10_000), st.floats(0.05, 3))


def make(d, k, seed=0, sigma=0.7):
    rng = np.random.default_rng(seed)
    return lv.LinearGaussian(torch.tensor(rng.normal(size=(d, k))), torch.tensor(rng.normal(size=d)), sigma)


def covariance(model):
    W = model.W.numpy()
    return W @ W.T + model.sigma**2 * np.eye(len(W))


def points(model, n, seed=0):
    torch.manual_seed(seed)
    return model.sample(n)


# Four names


@pytest.mark.equation("latent-variables-joint", "latent-variables-evidence", "latent-variables-bayes", "latent-variables-kilns")
def test_the_kilns_by_hand():
    """Exact fractions, as printed: both factorisations give the same joint."""
    prior = {"A": Fraction(3, 5), "B": Fraction(2, 5)}
    crack = {"A": Fraction(1, 10), "B": Fraction(1, 2)}
    likelihood = {z: [(1 - c) ** 2, 2 * c * (1 - c), c**2] for z, c in crack.items()}
    joint = {z: [prior[z] * p for p in likelihood[z]] for z in prior}
    evidence = [joint["A"][x] + joint["B"][x] for x in range(3)]
    assert joint["A"][1] == Fraction(108, 1000) and joint["B"][1] == Fraction(200, 1000)
    assert evidence[1] == Fraction(308, 1000) and sum(evidence) == 1
    posterior = {z: [joint[z][x] / evidence[x] for x in range(3)] for z in prior}
    assert posterior["B"][1] == Fraction(50, 77) and round(float(posterior["B"][1]), 3) == 0.649
    assert posterior["B"][0] == Fraction(100, 586) and posterior["B"][2] == Fraction(100, 106)
    assert all(posterior[z][x] * evidence[x] == prior[z] * likelihood[z][x] for z in prior for x in range(3))


@pytest.mark.equation("latent-variables-plate")
def test_independent_points_multiply():
    """The evidence of three points, by one triple integral over their three codes."""
    model = make(1, 1, 3)
    x, _ = points(model, 3)

    def joint(a, b, c):
        z = torch.tensor([[a], [b], [c]], dtype=F64)
        return float(model.log_joint(x, z).sum().exp())

    axis = np.linspace(-7, 7, 57)  # the trapezoidal rule is exact here to rounding: smooth, and zero at both ends
    table = model.log_joint(x, torch.tensor(axis)[:, None, None]).exp().numpy()
    assert np.isclose(joint(0.3, -1.0, 2.0), math.prod(float(model.log_joint(x[i], torch.tensor([v], dtype=F64)).exp()) for i, v in enumerate((0.3, -1.0, 2.0))))
    triple = np.einsum("a,b,c->", *table.T) * (axis[1] - axis[0]) ** 3
    assert math.log(triple) == pytest.approx(float(model.log_evidence(x).sum()), abs=1e-9)


# The linear-Gaussian model


@pytest.mark.equation("latent-variables-model", "latent-variables-law", "latent-variables-candidate")
@given(models)
def test_evidence_against_scipy(setting):
    """Two ways to ln p(x): Bayes' rule at the posterior's mean, and the law of W z + b + noise."""
    d, k, seed, sigma = setting
    model = make(d, k, seed, sigma)
    x, z = points(model, 5, seed)
    want = np.atleast_1d(stats.multivariate_normal(model.b.numpy(), covariance(model)).logpdf(x.numpy() if d > 1 else x[:, 0].numpy()))
    assert np.allclose(model.log_evidence(x), want, rtol=1e-9, atol=1e-9)
    anywhere = model.log_joint(x, z) - model.posterior(x).log_prob(z)  # the same at every z
    assert np.allclose(anywhere, want, rtol=1e-8, atol=1e-8)
    assert np.allclose(model.log_evidence(x[0]), want[0], rtol=1e-9, atol=1e-9)  # one point without a batch


@pytest.mark.equation("latent-variables-evidence", "latent-variables-model")
@pytest.mark.parametrize("seed", range(4))
def test_evidence_against_quadrature(seed):
    model = make(3, 1, seed, 0.8)
    x, _ = points(model, 1, seed)
    integral, _ = integrate.quad(lambda z: float(model.log_joint(x[0], torch.tensor([z], dtype=F64)).exp()), -12, 12, epsabs=0, epsrel=1e-12, limit=200)
    assert math.log(integral) == pytest.approx(float(model.log_evidence(x)[0]), abs=1e-10)


@pytest.mark.equation("latent-variables-precision")
@given(models)
def test_the_joint_as_a_square(setting):
    """The last line of the derivation, at random codes."""
    d, k, seed, sigma = setting
    model = make(d, k, seed, sigma)
    x, z = points(model, 3, seed)
    r, m = x - model.b, model.posterior(x).mean
    h = r @ model.W / sigma**2
    c_0 = -(d + k) / 2 * math.log(2 * math.pi) - d / 2 * math.log(sigma**2)
    square = ((z - m) @ model.precision * (z - m)).sum(1)
    printed = c_0 - (r**2).sum(1) / (2 * sigma**2) + (h * m).sum(1) / 2 - square / 2
    assert torch.allclose(printed, model.log_joint(x, z), rtol=1e-8, atol=1e-7)


@pytest.mark.equation("latent-variables-posterior", "latent-variables-precision")
@pytest.mark.parametrize("seed", range(4))
def test_posterior_against_conditioning_and_quadrature(seed):
    """A second formula, that of conditioning the joint Gaussian of (x, z), and moments by quadrature."""
    model = make(4, 2, seed, 0.6)
    x, _ = points(model, 6, seed)
    p = model.posterior(x)
    W, C = model.W.numpy(), covariance(model)
    gain = W.T @ np.linalg.inv(C)
    assert np.allclose(p.mean, (x - model.b).numpy() @ gain.T, atol=1e-11)
    assert np.allclose(p.covariance_matrix[0], np.eye(2) - gain @ W, atol=1e-11)
    assert p.batch_shape == (6,) and p.event_shape == (2,)
    axis = torch.linspace(-9, 9, 601, dtype=F64)
    z = torch.cartesian_prod(axis, axis)
    weight = (model.log_joint(x[0], z) - model.log_evidence(x[0])).exp() * (axis[1] - axis[0]) ** 2
    assert float(weight.sum()) == pytest.approx(1, abs=1e-9)
    mean = weight @ z
    assert np.allclose(mean, p.mean[0], atol=1e-9)
    assert np.allclose((weight[:, None] * (z - mean)).T @ (z - mean), p.covariance_matrix[0], atol=1e-9)


@pytest.mark.equation("latent-variables-one")
def test_the_shrinking_bowl_by_hand():
    model = lv.LinearGaussian(torch.tensor([[2.0]], dtype=F64), torch.tensor([10.0], dtype=F64), 1.0)
    x = torch.tensor([[13.0]], dtype=F64)
    assert float(model.precision) == 5.0
    assert float(model.posterior(x).mean) == pytest.approx(1.2, abs=1e-14)
    assert float(model.posterior(x).variance) == pytest.approx(0.2, abs=1e-14)
    assert float(model.log_evidence(x)) == pytest.approx(stats.norm(10, math.sqrt(5)).logpdf(13), abs=1e-13)


@pytest.mark.equation("latent-variables-square")
def test_completing_the_square():
    rng = np.random.default_rng(0)
    for k in (1, 2, 5):
        A = rng.normal(size=(k, k))
        A = A @ A.T + np.eye(k)
        h, z = rng.normal(size=(2, k))
        m = np.linalg.solve(A, h)
        left = -0.5 * z @ A @ z + h @ z
        assert left == pytest.approx(-0.5 * (z - m) @ A @ (z - m) + 0.5 * h @ m, abs=1e-10)


@pytest.mark.equation("latent-variables-woodbury", "latent-variables-determinant")
@given(models)
def test_woodbury_and_the_determinant_lemma(setting):
    d, k, seed, sigma = setting
    model = make(d, k, seed, sigma)
    W, C, s2 = model.W.numpy(), covariance(model), model.sigma**2
    precision = model.precision.numpy()
    assert np.allclose(np.linalg.inv(C), np.eye(d) / s2 - W @ np.linalg.inv(precision) @ W.T / s2**2, rtol=1e-6, atol=1e-7 / s2)
    assert np.linalg.slogdet(C)[1] == pytest.approx(d * math.log(s2) + np.linalg.slogdet(precision)[1], abs=1e-8)


@pytest.mark.equation("latent-variables-woodbury")
def test_woodbury_as_the_page_multiplies_it_out():
    """C times the printed inverse is I, symbolically, line by line."""
    s2 = sympy.symbols("s", positive=True)
    W = sympy.Matrix(3, 2, sympy.symbols("w0:6"))
    precision = sympy.eye(2) + W.T * W / s2
    C = W * W.T + s2 * sympy.eye(3)
    values = dict(zip([*W, s2], [1, -2, 3, sympy.Rational(1, 2), 0, 4, sympy.Rational(3, 2)]))
    C, W, precision = (m.subs(values) for m in (C, W, precision))
    s = values[s2]
    assert C * W == s * W * precision  # the line that carries the proof
    assert C * (sympy.eye(3) / s - W * precision.inv() * W.T / s**2) == sympy.eye(3)
    assert C.det() == s**3 * precision.det()


def test_samples_have_the_model_s_law():
    """Means and covariances of x, z and both within six standard errors each: 2e-9 a number, 27 numbers, 6e-8."""
    model = make(3, 2, 1)
    n = 100_000
    x, z = points(model, n)
    both = torch.cat([x - model.b, z], 1)
    want = np.block([[covariance(model), model.W.numpy()], [model.W.numpy().T, np.eye(2)]])
    assert (both.mean(0).abs() < SIX * both.std(0) / math.sqrt(n)).all()
    products = both[:, :, None] * both[:, None, :]
    assert ((products.mean(0) - torch.tensor(want)).abs() < SIX * products.std(0) / math.sqrt(n)).all()


def test_gradients_reach_all_three_parameters():
    W, b = make(3, 2).W.requires_grad_(), make(3, 2).b.requires_grad_()
    sigma = torch.tensor(0.8, dtype=F64, requires_grad=True)
    x, _ = points(make(3, 2), 4)
    assert torch.autograd.gradcheck(lambda *t: lv.LinearGaussian(*t).log_evidence(x), (W, b, sigma))


# Any law from a normal


@pytest.mark.equation("latent-variables-inverse")
@pytest.mark.parametrize("law", [stats.expon(), stats.gamma(0.7), stats.beta(0.4, 0.5)])
def test_inverse_cdfs_make_any_law(law):
    """Kolmogorov–Smirnov with p above 1e-7."""
    z = np.random.default_rng(0).normal(size=20_000)
    assert stats.kstest(law.ppf(stats.norm.cdf(z)), law.cdf).pvalue > RARE


@pytest.mark.equation("latent-variables-rosenblatt")
def test_inverse_cdfs_one_after_another():
    """Density 2 on 0 < y < x < 1: F₁(x) = x², F₂(y|x) = y/x. Both marginals and a joint probability; 1e-7 each at most."""
    z = np.random.default_rng(1).normal(size=(40_000, 2))
    u = stats.norm.cdf(z)
    x = np.sqrt(u[:, 0])
    y = u[:, 1] * x
    assert stats.kstest(x, lambda t: t**2).pvalue > RARE
    assert stats.kstest(y, lambda t: 2 * t - t**2).pvalue > RARE
    inside = int(((x < 0.6) & (y > 0.2)).sum())  # a triangle of sides 0.4: probability 0.16
    assert stats.binomtest(inside, len(x), 0.16).pvalue > RARE


@pytest.mark.equation("latent-variables-radius", "latent-variables-ring")
@given(st.floats(0, 2), st.floats(0.1, 2))
def test_the_ring_has_radii_and_angles_of_a_uniform_law(inner, width):
    outer = inner + width
    z = torch.tensor(np.random.default_rng(2).normal(size=(5_000, 2)))
    assert stats.kstest((z**2).sum(1).numpy(), lambda s: 1 - np.exp(-s / 2)).pvalue > RARE
    x = lv.ring(z, inner, outer)
    radius, angle = x.norm(dim=1).numpy(), torch.atan2(x[:, 1], x[:, 0]).numpy()
    assert stats.kstest(radius**2, lambda s: np.clip((s - inner**2) / (outer**2 - inner**2), 0, 1)).pvalue > RARE
    assert stats.kstest(angle, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > RARE
    turned = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=F64)
    assert torch.allclose(lv.ring(z @ turned.T, inner, outer), x @ turned.T, atol=1e-9)  # it keeps every direction


# Why not integrate


@pytest.mark.equation("latent-variables-naive", "latent-variables-error")
def test_the_naive_estimate_is_unbiased_and_knows_its_error():
    """2000 estimates of p(x) from 64 draws each: their mean, and their variance. Six standard errors, the second by the fourth moment."""
    model = make(2, 1, 4)
    x, _ = points(model, 1, 4)
    p, rho = float(model.log_evidence(x).exp()), float(lv.relative_variance(model, x))
    torch.manual_seed(0)
    w = model.p_x_given_z(model.p_z.sample((2000, 64))).log_prob(x[0]).exp().mean(1) / p
    assert abs(float(w.mean()) - 1) < SIX * math.sqrt(rho / 64 / 2000)
    square = (w - 1) ** 2
    assert abs(float(square.mean()) - rho / 64) < SIX * float(square.std()) / math.sqrt(2000)


@pytest.mark.equation("latent-variables-naive", "latent-variables-effective")
def test_naive_evidence_is_the_formula_in_any_chunks():
    model = make(3, 2, 5)
    x, _ = points(model, 4, 5)
    torch.manual_seed(1)
    z = model.p_z.sample((1000, 1))
    w = model.p_x_given_z(z).log_prob(x).exp()
    torch.manual_seed(1)
    mine = lv.naive_evidence(model, x, 1000)
    assert torch.allclose(mine.log_evidence, w.mean(0).log(), atol=1e-12)
    assert torch.allclose(mine.effective_draws, w.sum(0) ** 2 / (w**2).sum(0), rtol=1e-10)
    assert torch.allclose(mine.standard_error, w.std(0) / w.mean(0) / math.sqrt(1000), rtol=1e-10)
    for at_once in (1, 12, 120, 10**9):
        torch.manual_seed(1)
        again = lv.naive_evidence(model, x, 1000, at_once)
        assert torch.allclose(again.log_evidence, mine.log_evidence, atol=0.5)  # other chunks, other draws of the same law
        assert ((again.log_evidence - model.log_evidence(x)).abs() < 12 * mine.standard_error + 0.2).all()
    far = lv.LinearGaussian(model.W, model.b, 1e-3)  # weights of e^-1e6: no underflow
    assert torch.isfinite(lv.naive_evidence(far, x + 1, 100).log_evidence).all()


def test_naive_evidence_covers_the_truth():
    """40 points, six standard errors where more than 1000 draws are effective: about 1e-7 in all."""
    model = make(3, 2, 6, 0.9)
    x, _ = points(model, 40, 6)
    torch.manual_seed(2)
    mine = lv.naive_evidence(model, x, 100_000)
    sure = mine.effective_draws > 1000
    assert int(sure.sum()) > 30
    assert ((mine.log_evidence - model.log_evidence(x)).abs() < SIX * mine.standard_error)[sure].all()


@pytest.mark.equation("latent-variables-variance")
@pytest.mark.parametrize("seed", range(4))
def test_relative_variance_against_quadrature(seed):
    model = make(2, 1, seed, 0.5)
    x, _ = points(model, 1, seed)

    def moment(power):
        def f(z):
            code = torch.tensor([z], dtype=F64)
            return float((power * model.p_x_given_z(code).log_prob(x[0]) + model.p_z.log_prob(code)).exp())

        return integrate.quad(f, -12, 12, epsabs=0, epsrel=1e-11, limit=300, points=[float(model.posterior(x).mean)])[0]

    assert float(lv.relative_variance(model, x)) == pytest.approx(moment(2) / moment(1) ** 2 - 1, rel=1e-8)


@pytest.mark.equation("latent-variables-growth")
@given(st.floats(0.1, 5), st.integers(1, 30))
def test_the_growth_a_dimension(s, d):
    """d independent dimensions with signal s times the noise, at a typical point: the formula of the page, to the power d."""
    sigma = 0.7
    model = lv.LinearGaussian(s * sigma * torch.eye(d, dtype=F64), torch.zeros(d, dtype=F64), sigma)
    x = torch.full((1, d), sigma * math.sqrt(1 + s**2), dtype=F64)
    rho = (1 + s**2) / math.sqrt(1 + 2 * s**2) * math.exp(s**2 / (1 + 2 * s**2))
    assert float(lv.relative_variance(model, x)) == pytest.approx(rho**d - 1, rel=1e-7, abs=1e-9)
    assert rho > 1


@pytest.mark.equation("latent-variables-log-bias")
def test_the_logarithm_of_the_average_is_too_low():
    """Mean of ln of 400-draw averages against -ρ/2n; 20 000 of them, six standard errors, plus 10 % for the terms left out."""
    model = make(1, 1, 7, 0.8)
    x, _ = points(model, 1, 7)
    n, rho = 400, float(lv.relative_variance(model, x))
    torch.manual_seed(3)
    logs = [model.p_x_given_z(model.p_z.sample((2000, n))).log_prob(x[0]).logsumexp(1) - math.log(n) for _ in range(10)]
    bias = torch.cat(logs) - model.log_evidence(x)
    want = -rho / (2 * n)
    assert float(bias.mean()) < 0
    assert abs(float(bias.mean()) - want) < SIX * float(bias.std()) / math.sqrt(len(bias)) + 0.1 * abs(want)


@pytest.mark.equation("latent-variables-grid")
@pytest.mark.parametrize("k, nodes", [(1, 400), (2, 300), (3, 70)])
def test_grid_evidence_against_the_exact_one(k, nodes):
    model = make(3, k, k, 1.0)
    x, _ = points(model, 3, k)
    assert torch.allclose(lv.grid_evidence(model, x, nodes), model.log_evidence(x), atol=1e-8)
    with pytest.raises(ValueError, match="nodes are too many"):
        lv.grid_evidence(make(3, 4), x, 100)


@pytest.mark.equation("latent-variables-mistake")
@given(models)
def test_averaging_the_logarithms_loses_a_kl(setting):
    """E ln p(x|z) under the prior, in closed form, is ln p(x) - KL(prior ‖ posterior)."""
    d, k, seed, sigma = setting
    model = make(d, k, seed, sigma)
    x, _ = points(model, 3, seed)
    W = model.W
    wrong = Normal(model.b, sigma).log_prob(x).sum(1) - float((W**2).sum()) / (2 * sigma**2)
    prior = torch.distributions.MultivariateNormal(torch.zeros(3, k, dtype=F64), torch.eye(k, dtype=F64))
    loss = kl_divergence(prior, model.posterior(x))
    assert torch.allclose(model.log_evidence(x) - wrong, loss, rtol=1e-6, atol=1e-6)


# From EM to amortised inference


@pytest.mark.equation("latent-variables-bound", "latent-variables-bound-normal")
@given(models)
def test_evidence_is_bound_plus_kl(setting):
    d, k, seed, sigma = setting
    model = make(d, k, seed, sigma)
    x, _ = points(model, 3, seed)
    rng = np.random.default_rng(seed)
    a = torch.tensor(rng.normal(size=(3, k, k)))
    mu, cov = torch.tensor(rng.normal(size=(3, k))), a @ a.mT + 0.2 * torch.eye(k, dtype=F64)
    p = model.posterior(x)
    gap = kl.kl_multivariate_normal(mu, cov, p.mean, p.covariance_matrix)
    assert torch.allclose(lv.bound(model, x, mu, cov) + gap, model.log_evidence(x), rtol=1e-8, atol=1e-8)
    assert torch.allclose(lv.bound(model, x, p.mean, p.covariance_matrix[0]), model.log_evidence(x), rtol=1e-9, atol=1e-9)


@pytest.mark.equation("latent-variables-bound")
def test_the_bound_is_the_mean_it_claims_to_be():
    """E_q[ln p(x, z) - ln q(z)] over 200 000 draws; six standard errors."""
    model = make(3, 2, 8)
    x, _ = points(model, 1, 8)
    mu, cov = torch.tensor([[0.3, -0.4]], dtype=F64), torch.tensor([[0.5, 0.2], [0.2, 0.4]], dtype=F64)
    q = torch.distributions.MultivariateNormal(mu, cov)
    torch.manual_seed(0)
    z = q.sample((200_000,))
    terms = model.log_joint(x, z) - q.log_prob(z)
    assert abs(float(terms.mean() - lv.bound(model, x, mu, cov))) < SIX * float(terms.std()) / math.sqrt(len(terms))


@pytest.mark.equation("latent-variables-m-lines")
def test_the_lines_of_the_m_step():
    """Q and its two gradients as printed, against the model's own log-density and autograd."""
    rng = np.random.default_rng(0)
    model = make(3, 2, 1)
    x, mu = torch.tensor(rng.normal(size=(7, 3))), torch.tensor(rng.normal(size=(7, 2)))
    V = torch.tensor([[0.5, 0.2], [0.2, 0.4]], dtype=F64)
    root = torch.linalg.cholesky(V)
    # E over N(mu, V) of a quadratic is its mean over the 2K points mu ± sqrt(K)·columns of the root.
    spots = torch.cat([math.sqrt(2) * root.T, -math.sqrt(2) * root.T])
    mean = torch.stack([model.p_x_given_z(mu + s).log_prob(x) for s in spots]).mean(0).sum()
    W, b = model.W.clone().requires_grad_(), model.b.clone().requires_grad_()

    def q(W, b):
        return ((x - b - mu @ W.T) ** 2).sum() + 7 * torch.trace(W @ V @ W.T)

    assert float(mean) == pytest.approx(-7 * 3 / 2 * math.log(2 * math.pi * 0.49) - q(W, b).item() / (2 * 0.49), rel=1e-10)
    (slope,) = torch.autograd.grad(q(W, b), b)
    assert torch.allclose(slope, -2 * (x - b - mu @ W.T).sum(0).detach())
    best = x.mean(0) - model.W @ mu.mean(0)
    (slope,) = torch.autograd.grad(q(W, best), W)
    xt, mt = x - x.mean(0), mu - mu.mean(0)
    assert torch.allclose(slope, -2 * (xt - mt @ model.W.T).T @ mt + 2 * 7 * model.W @ V)


@pytest.mark.equation("latent-variables-ml-lines")
@given(st.integers(0, 10_000))
def test_the_lines_of_the_maximum(seed):
    """The trace and its bound, and the bound on the likelihood, for random models and random data."""
    rng = np.random.default_rng(seed)
    n, d, k = 12, 4, 2
    model = make(d, k, seed, float(rng.uniform(0.3, 2)))
    x = torch.tensor(rng.normal(size=(n, d)))
    at_mean = lv.LinearGaussian(model.W, x.mean(0), model.sigma)
    S = np.cov(x.numpy().T, bias=True)
    c, u = np.linalg.eigh(covariance(model))
    s, v = np.linalg.eigh(S)
    c, u, s, v = c[::-1], u[:, ::-1], s[::-1], v[:, ::-1]
    trace = np.trace(np.linalg.solve(covariance(model), S))
    assert trace == pytest.approx((s[None] / c[:, None] * (u.T @ v) ** 2).sum(), rel=1e-9)
    assert trace >= (s / c).sum() - 1e-12 and np.allclose(c[k:], model.sigma**2)
    mean = float(at_mean.log_evidence(x).mean())
    assert mean == pytest.approx(-0.5 * (d * math.log(2 * math.pi) + np.log(c).sum() + trace), rel=1e-9)
    least = d * math.log(2 * math.pi) + (np.log(c[:k]) + s[:k] / c[:k]).sum() + (math.log(model.sigma**2) + s[k:] / model.sigma**2).sum()
    assert -2 * mean >= least - 1e-9


@pytest.mark.equation("latent-variables-mean-field")
@given(models)
def test_the_kl_that_mean_field_makes_small(setting):
    d, k, seed, sigma = setting
    model = make(d, k, seed, sigma)
    rng = np.random.default_rng(seed)
    mu, m, s2, L = rng.normal(size=k), rng.normal(size=k), rng.uniform(0.2, 2, k), model.precision.numpy()
    printed = 0.5 * ((np.diag(L) * s2 - np.log(s2)).sum() - k - np.linalg.slogdet(L)[1] + (mu - m) @ L @ (mu - m))
    exact = kl.kl_multivariate_normal(*(torch.tensor(v) for v in (mu, np.diag(s2), m, np.linalg.inv(L))))
    assert printed == pytest.approx(float(exact), rel=1e-6, abs=1e-7)


@pytest.mark.equation("latent-variables-m-step")
@pytest.mark.parametrize("seed", range(3))
def test_the_m_step_is_where_the_gradient_vanishes(seed):
    rng = np.random.default_rng(seed)
    x, mu = torch.tensor(rng.normal(size=(30, 4))) + 2, torch.tensor(rng.normal(size=(30, 2))) + 0.5
    cov = torch.tensor([[0.4, 0.1], [0.1, 0.3]], dtype=F64)
    best = lv.m_step(x, mu, cov)
    theta = [best.W.clone().requires_grad_(), best.b.clone().requires_grad_(), torch.tensor(best.sigma, dtype=F64, requires_grad=True)]
    lv.bound(lv.LinearGaussian(*theta), x, mu, cov).mean().backward()
    assert all(float(t.grad.abs().max()) < 1e-10 for t in theta)
    top = lv.bound(best, x, mu, cov).mean()
    for _ in range(50):  # and it is a maximum
        near = lv.LinearGaussian(best.W + torch.tensor(rng.normal(size=(4, 2))) * 0.1, best.b + torch.tensor(rng.normal(size=4)) * 0.1, best.sigma * math.exp(rng.normal() * 0.1))
        assert lv.bound(near, x, mu, cov).mean() < top


@pytest.mark.equation("latent-variables-ml")
def test_em_never_falls_and_ends_at_the_eigenvectors():
    torch.manual_seed(0)
    start = lv.LinearGaussian(torch.randn(4, 2, dtype=F64), IRIS.mean(0) + 1, 1.0)
    path = lv.em(IRIS, start, 800)
    values = torch.stack([m.log_evidence(IRIS).mean() for m in path])
    assert (values.diff() > -1e-12).all()
    best = lv.ppca(IRIS, 2)
    top = float(best.log_evidence(IRIS).mean())
    assert float(values[-1]) == pytest.approx(top, abs=1e-7)
    assert torch.allclose(path[-1].W @ path[-1].W.T, best.W @ best.W.T, atol=1e-3) and path[-1].sigma == pytest.approx(best.sigma, abs=1e-5)
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0):  # nothing near or far does better
        for _ in range(50):
            other = lv.LinearGaussian(best.W + size * torch.tensor(rng.normal(size=(4, 2))), best.b, best.sigma * math.exp(size * rng.normal()))
            assert float(other.log_evidence(IRIS).mean()) <= top + 1e-12


@pytest.mark.equation("latent-variables-ml")
@pytest.mark.parametrize("k", [1, 2, 3])
def test_ppca_against_scikit_learn(k):
    """sklearn divides its covariance by N - 1; its model scores what ours computes, and ours is the maximum."""
    theirs = PCA(k, svd_solver="full").fit(IRIS.numpy())
    mine = lv.ppca(IRIS, k)
    n = len(IRIS)
    assert mine.sigma**2 * n / (n - 1) == pytest.approx(theirs.noise_variance_, rel=1e-10)
    scale = np.sqrt(theirs.explained_variance_ - theirs.noise_variance_)
    same = lv.LinearGaussian(torch.tensor(theirs.components_.T * scale), torch.tensor(theirs.mean_), math.sqrt(theirs.noise_variance_))
    assert float(same.log_evidence(IRIS).mean()) == pytest.approx(theirs.score(IRIS.numpy()), abs=1e-10)
    assert float(mine.log_evidence(IRIS).mean()) > theirs.score(IRIS.numpy())


@pytest.mark.equation("latent-variables-mean-field", "latent-variables-mean-field-gap", "latent-variables-narrow")
@given(models)
def test_mean_field_is_the_best_factorised_gaussian(setting):
    d, k, seed, sigma = setting
    model = make(d, k, seed, sigma)
    x, _ = points(model, 2, seed)
    q, p = lv.mean_field(model, x), model.posterior(x)
    best = lv.bound(model, x, q.mean, torch.diag_embed(q.variance))
    gap = model.log_evidence(x) - best
    precision = model.precision.numpy()
    assert np.allclose(gap, 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]), atol=1e-7)
    assert (q.variance <= p.variance + 1e-12).all()
    mu = q.mean.clone().requires_grad_()
    log_var = q.variance.log().clone().requires_grad_()
    lv.bound(model, x, mu, torch.diag_embed(log_var.exp())).sum().backward()
    assert float(mu.grad.abs().max()) < 1e-6 and float(log_var.grad.abs().max()) < 1e-9


@pytest.mark.equation("latent-variables-mean-field-any")
def test_mean_field_is_best_among_all_factorised_laws():
    """On a grid, with no Gaussian assumed: coordinate ascent on ln q_j = E_{-j} ln p ends at variance 1/Λ_jj."""
    model = make(3, 2, 9, 0.9)
    x, _ = points(model, 1, 9)
    axis = torch.linspace(-5, 5, 401, dtype=F64)
    log_p = model.log_joint(x[0], torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1))
    q_2 = torch.softmax(-axis.abs(), 0)  # no Gaussian to begin with
    for _ in range(200):
        q_1 = torch.softmax(log_p @ q_2, 0)
        q_2 = torch.softmax(q_1 @ log_p, 0)
    best = lv.mean_field(model, x)
    for j, q in enumerate((q_1, q_2)):
        mean = q @ axis
        assert float(mean) == pytest.approx(float(best.mean[0, j]), abs=1e-8)
        assert float(q @ (axis - mean) ** 2) == pytest.approx(float(best.variance[0, j]), abs=1e-8)
        assert float(q @ (axis - mean) ** 4) == pytest.approx(3 * float(best.variance[0, j]) ** 2, abs=1e-7)  # a Gaussian's


@pytest.mark.equation("latent-variables-gaps")
def test_the_gaps_add_up_to_the_kl():
    model = make(4, 3, 2)
    x, _ = points(model, 6, 2)
    rng = np.random.default_rng(0)
    mu, log_var = torch.tensor(rng.normal(size=(6, 3))), torch.tensor(rng.normal(size=(6, 3)))
    approximation, amortisation = lv.gaps(model, x, mu, log_var)
    p = model.posterior(x)
    whole = kl.kl_multivariate_normal(mu, torch.diag_embed(log_var.exp()), p.mean, p.covariance_matrix)
    assert torch.allclose(approximation + amortisation, whole, atol=1e-10)
    assert (approximation > 0).all() and (amortisation > 0).all()


@pytest.mark.equation("latent-variables-alternate", "latent-variables-amortised")
def test_per_point_and_linear_encoder_reach_the_maximum():
    """Both end at the likelihood of the eigenvectors, with a factorised posterior: the family's gap is gone too."""
    torch.manual_seed(0)
    truth = lv.LinearGaussian(torch.tensor([[1.2, 0.7], [0.0, 0.9], [0.5, -0.6]], dtype=F64), torch.zeros(3, dtype=F64), 0.5)
    x = truth.sample(80)[0]
    start = lv.LinearGaussian(truth.W + 0.3, truth.b, 0.8)
    empty = torch.zeros(80, 2, dtype=F64)
    assert float(lv.gaps(start, x, empty, empty)[0].mean()) > 0.1  # a correlated posterior to begin with
    top = float(lv.ppca(x, 2).log_evidence(x).mean())
    for encoder in (lv.PerPoint(len(x), 2), nn.Linear(3, 4, dtype=F64)):
        model, bound, evidence = lv.fit(x, start, encoder, 400, lr=0.1)
        assert bound.shape == evidence.shape == (400,) and (bound <= evidence + 1e-12).all()
        assert float(evidence[-1]) == pytest.approx(top, abs=3e-3) and float(bound[-1]) == pytest.approx(top, abs=3e-3)
        mu, log_var = encoder(x).detach().chunk(2, -1)
        assert all(float(g.mean()) < 3e-3 for g in lv.gaps(model, x, mu, log_var))
    assert start.sigma == 0.8


def test_fit_can_leave_the_model_alone():
    model = lv.ppca(IRIS, 2)
    table = lv.PerPoint(len(IRIS), 2)
    after, bound, evidence = lv.fit(IRIS, model, table, 300, learn_model=False)
    assert torch.equal(after.W, model.W) and after.sigma == pytest.approx(model.sigma, rel=1e-14)
    assert bound[-1] > bound[0] and float(evidence.std()) < 1e-12


# Mistakes and bad input


@pytest.mark.equation("latent-variables-mean-abs")
def test_the_mean_of_absolute_residuals_is_not_a_deviation():
    """(E|r|)² = (2/π)σ² for a Gaussian r, 36 % too low."""
    r = sympy.symbols("r", real=True)
    mean = 2 * sympy.integrate(r * sympy.exp(-(r**2) / 2) / sympy.sqrt(2 * sympy.pi), (r, 0, sympy.oo))
    assert sympy.simplify(mean**2 - 2 / sympy.pi) == 0
    assert 1 - 2 / math.pi == pytest.approx(0.363, abs=1e-3)


two, x2 = torch.eye(2, dtype=F64), torch.ones(3, 2, dtype=F64)
MODEL = make(2, 1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: lv.LinearGaussian(two, torch.zeros(3, dtype=F64), 1.0), "W must be"),
        (lambda: lv.LinearGaussian(torch.zeros(2, 0), torch.zeros(2), 1.0), "W must be"),
        (lambda: lv.LinearGaussian(torch.zeros(2), torch.zeros(2), 1.0), "W must be"),
        (lambda: lv.LinearGaussian(two, x2[0], 0.0), "sigma must be > 0"),
        (lambda: lv.LinearGaussian(two, x2[0], math.nan), "sigma has 1 value"),
        (lambda: lv.LinearGaussian(two * math.inf, x2[0], 1.0), "W has"),
        (lambda: lv.LinearGaussian(two, x2[0] * math.nan, 1.0), "b has 2 value"),
        (lambda: MODEL.log_evidence(torch.zeros(3, 3, dtype=F64)), "x must have 2 values on its last axis"),
        (lambda: MODEL.log_evidence(x2 * math.nan), "x has 6 value"),
        (lambda: MODEL.p_x_given_z(x2), "z must have 1 values"),
        (lambda: MODEL.sample(0), "n must be at least 1"),
        (lambda: lv.naive_evidence(MODEL, x2, 1), "n must be at least 2"),
        (lambda: lv.naive_evidence(MODEL, x2[:0], 10), "x must be points"),
        (lambda: lv.grid_evidence(MODEL, x2, 1), "points must be at least 2"),
        (lambda: lv.ring(x2, 2.0, 1.0), "inner < outer"),
        (lambda: lv.ring(x2 * math.nan, 0.0, 1.0), "z has"),
        (lambda: lv.ppca(IRIS, 4), "n_latent must be from 1 to 3"),
        (lambda: lv.ppca(IRIS, 0), "n_latent must be from 1 to 3"),
        (lambda: lv.ppca(torch.outer(torch.arange(5.0), torch.ones(3)), 1), "no noise is left"),
        (lambda: lv.m_step(IRIS * math.nan, IRIS[:, :2], two), "x has"),
        (lambda: lv.em(IRIS, lv.ppca(IRIS, 2), 0), "rounds must be at least 1"),
        (lambda: lv.bound(MODEL, x2, x2[:, :1], -torch.ones(1, 1, dtype=F64)), "cov must be symmetric"),
        (lambda: lv.mean_field(MODEL, x2[:0]), "x must be points"),
        (lambda: lv.fit(x2, MODEL, lv.PerPoint(3, 1), 0), "rounds must be at least 1"),
        (lambda: lv.fit(x2 * math.inf, MODEL, lv.PerPoint(3, 1), 1), "x has"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_point_without_its_batch_is_refused_without_the_type_checker():
    """Readers have no jaxtyping hook: the functions themselves refuse."""
    script = """
import torch
from vae_teach import latent_variables as lv
model = lv.LinearGaussian(torch.ones(2, 1), torch.zeros(2), 1.0)
x = torch.zeros(2)
import contextlib
with contextlib.suppress(ValueError):
    model.posterior(torch.tensor(1.0))
    raise SystemExit("accepted")
for call in (lambda: lv.naive_evidence(model, x, 10), lambda: lv.relative_variance(model, x), lambda: lv.grid_evidence(model, x, 10), lambda: lv.ppca(x, 1), lambda: lv.mean_field(model, x)):
    try:
        call()
    except ValueError as error:
        assert "x[None]" in str(error), error
    else:
        raise SystemExit("accepted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout


# The living figure's formulas, run by Node where there is one


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
def test_the_living_figure_computes_what_the_module_computes():
    import json

    stub = "global.window = {vaeLiving: {LivingFigure: class {}, Plot: class {}, define() {}, formulas: {}}};"
    source = stub + (living.SCRIPTS / "vae-naive-evidence.js").read_text()
    rng = np.random.default_rng(0)
    calls, wants = [], []
    for _ in range(20):
        d, sigma, signal = int(rng.integers(1, 9)), float(rng.uniform(0.2, 2)), 1.0
        model = lv.LinearGaussian(signal * torch.eye(d, dtype=F64), torch.zeros(d, dtype=F64), sigma)
        x = torch.full((1, d), math.sqrt(1 + sigma**2), dtype=F64)
        z = rng.normal(size=d)
        calls += [["evidenceExact", d, sigma], ["evidenceRho", d, sigma], ["evidenceWeight", list(z), sigma]]
        wants += [float(model.log_evidence(x)), float(lv.relative_variance(model, x)), float(model.p_x_given_z(torch.tensor(z)).log_prob(x[0]))]
        log_w = rng.normal(size=7)
        calls += [["evidenceMean", list(log_w)], ["evidenceEffective", list(log_w)]]
        wants += [math.log(np.exp(log_w).mean()), np.exp(log_w).sum() ** 2 / (np.exp(log_w) ** 2).sum()]
    script = source + f";const calls = {json.dumps(calls)}; console.log(JSON.stringify(calls.map(([f, ...a]) => window.vaeLiving.formulas[f](...a))));"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.allclose(json.loads(done.stdout), wants, rtol=1e-9, atol=1e-11)


def test_the_module_is_short():
    assert len(Path(lv.__file__).read_text().splitlines()) <= 270

"""The VAE: its bound against exact evidence, its pieces against torch, SciPy, SymPy and plain gradients."""

import math

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from vae_teach import vae
from vae_teach.common import data, likelihood, train

F64 = torch.float64


class Linear:
    """Probabilistic PCA, x = W z + b + sigma * noise: evidence and posterior are known exactly (D = 4 pixels, K = 2)."""

    def __init__(self, seed=0, sigma=0.6):
        rng = np.random.default_rng(seed)
        self.W, self.b, self.sigma = rng.normal(size=(4, 2)), rng.normal(size=4), sigma
        self.M = self.W.T @ self.W + sigma**2 * np.eye(2)
        self.posterior_cov = sigma**2 * np.linalg.inv(self.M)

    def log_evidence(self, x):
        return stats.multivariate_normal(self.b, self.W @ self.W.T + self.sigma**2 * np.eye(4)).logpdf(x)

    def posterior_mean(self, x):
        return np.linalg.solve(self.M, self.W.T @ (x - self.b))

    def elbo(self, x, m, cov):
        """In closed form, for q = N(m, cov)."""
        r = x - self.b - self.W @ m
        square = r @ r + np.trace(self.W @ cov @ self.W.T)
        reconstruction = -square / (2 * self.sigma**2) - 2 * math.log(2 * math.pi * self.sigma**2)
        return reconstruction - 0.5 * (np.trace(cov) + m @ m - 2 - math.log(np.linalg.det(cov)))

    def gap(self, x, m, cov):
        """KL(q || p(z|x))."""
        p = torch.distributions.MultivariateNormal(torch.tensor(self.posterior_mean(x)), torch.tensor(self.posterior_cov))
        return float(kl_divergence(torch.distributions.MultivariateNormal(torch.tensor(m), torch.tensor(cov)), p))


def some_q(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(2, 2))
    return rng.normal(size=2), a @ a.T + 0.2 * np.eye(2)


@pytest.mark.equation("vae-bound", "vae-elbo")
@pytest.mark.parametrize("seed", range(20))
def test_evidence_is_bound_plus_gap(seed):
    model, (m, cov) = Linear(seed), some_q(seed)
    x = np.random.default_rng(seed + 100).normal(size=4)
    evidence = model.log_evidence(x)
    assert model.elbo(x, m, cov) + model.gap(x, m, cov) == pytest.approx(evidence, abs=1e-10)
    assert model.elbo(x, m, cov) < evidence
    assert model.elbo(x, model.posterior_mean(x), model.posterior_cov) == pytest.approx(evidence, abs=1e-10)


@pytest.mark.equation("vae-bound")
def test_each_line_of_the_derivation_has_the_same_value():
    """On one pixel with z on the line, by quadrature."""
    x, w, s, m, t = 0.8, 1.3, 0.5, 0.4, 0.7
    p_z, q = stats.norm(0, 1), stats.norm(m, t)
    evidence = stats.norm(0, math.hypot(w, s)).logpdf(x)
    posterior = stats.norm(w * x / (w**2 + s**2), s / math.hypot(w, s))

    def mean(f):
        return integrate.quad(lambda z: q.pdf(z) * f(z), m - 10 * t, m + 10 * t, epsabs=1e-12)[0]

    def likelihood_of(z):
        return stats.norm(w * z, s).logpdf(x)

    lines = [
        mean(lambda z: evidence),
        mean(lambda z: likelihood_of(z) + p_z.logpdf(z) - posterior.logpdf(z)),
        mean(lambda z: likelihood_of(z) + p_z.logpdf(z) - q.logpdf(z) + q.logpdf(z) - posterior.logpdf(z)),
        mean(likelihood_of) - mean(lambda z: q.logpdf(z) - p_z.logpdf(z)) + mean(lambda z: q.logpdf(z) - posterior.logpdf(z)),
        mean(likelihood_of) - 0.5 * (t**2 + m**2 - 1 - 2 * math.log(t)) + mean(lambda z: q.logpdf(z) - posterior.logpdf(z)),
    ]
    assert lines == pytest.approx([evidence] * 5, abs=1e-9)


@pytest.mark.equation("vae-evidence")
def test_evidence_is_the_integral_of_the_story():
    x, w, s = 0.8, 1.3, 0.5
    integral, _ = integrate.quad(lambda z: stats.norm(w * z, s).pdf(x) * stats.norm.pdf(z), -12, 12)
    assert math.log(integral) == pytest.approx(stats.norm(0, math.hypot(w, s)).logpdf(x), abs=1e-10)


def linear_vae(model):
    """The same model as a VAE whose inference network gives the exact posterior means and a diagonal variance."""
    encoder, decoder = nn.Linear(4, 4, dtype=F64), nn.Linear(2, 4, dtype=F64)
    with torch.no_grad():
        gain = torch.tensor(np.linalg.solve(model.M, model.W.T))
        encoder.weight[:2], encoder.bias[:2] = gain, -gain @ torch.tensor(model.b)
        encoder.weight[2:], encoder.bias[2:] = 0, torch.tensor([-1.2, -0.4])
        decoder.weight[:], decoder.bias[:] = torch.tensor(model.W), torch.tensor(model.b)
    plain = likelihood.Likelihood("linear", 1, lambda out: Independent(Normal(out, model.sigma, validate_args=False), 3), True)
    flat = nn.Sequential(nn.Flatten(), encoder)
    return vae.VAE(flat, nn.Sequential(decoder, nn.Unflatten(-1, (1, 2, 2))), plain, 2).double()


@pytest.mark.equation("vae-elbo", "vae-empirical", "vae-choices")
def test_the_models_bound_is_the_exact_one_on_average():
    """Mean of 200 000 draws of z within six standard errors of the closed form: false-alarm rate 2e-9 an image."""
    torch.manual_seed(0)
    model = Linear(3)
    net = linear_vae(model)
    x = torch.rand(3, 1, 2, 2, dtype=F64)
    with torch.no_grad():
        bound = net.elbo(x, n_samples=200_000)
        single = torch.stack([net.elbo(x).reconstruction for _ in range(300)]).std(0)
        mu, log_var = net.posterior(x)
    for i in range(3):
        exact = model.elbo(x[i].flatten().numpy(), mu[i].detach().numpy(), np.diag(log_var[i].exp().detach().numpy()))
        assert abs(float(bound.elbo[i].detach()) - exact) < 6 * float(single[i]) * 1.2 / math.sqrt(200_000)
        assert float(bound.elbo[i].detach()) < model.log_evidence(x[i].flatten().numpy())


@pytest.mark.equation("vae-objective")
def test_the_loss_is_the_mean_over_images_of_minus_the_bound(digits):
    torch.manual_seed(0)
    net = vae.mlp_vae((1, 8, 8), hidden=8, latent=2)
    x = digits.batch(torch.arange(6))
    torch.manual_seed(1)
    whole = net.elbo(x)
    torch.manual_seed(1)
    mu, log_var = net.posterior(x)
    z = vae.reparameterize(mu, log_var)[0]
    reconstruction = -nn.functional.binary_cross_entropy_with_logits(net.decoder(z), x, reduction="none").sum((1, 2, 3))
    kl = kl_divergence(net.encode(x), net.p_z)
    torch.testing.assert_close(whole.elbo.mean(), (reconstruction - kl).mean())
    torch.testing.assert_close(whole.kl, kl)


@pytest.mark.equation("vae-reparam")
def test_reparameterized_draws_have_the_law_of_the_posterior():
    """Kolmogorov-Smirnov on each of four dimensions; false-alarm rate 2.5e-7 each, 1e-6 together."""
    torch.manual_seed(0)
    mu, log_var = torch.randn(1, 4, dtype=F64), torch.randn(1, 4, dtype=F64)
    z = vae.reparameterize(mu, log_var, 20_000)
    assert z.shape == (20_000, 1, 4)
    for k in range(4):
        law = stats.norm(float(mu[0, k]), math.exp(float(log_var[0, k]) / 2))
        assert stats.kstest(z[:, 0, k].numpy(), law.cdf).pvalue > 2.5e-7


@pytest.mark.equation("vae-reparam")
def test_gradients_pass_through_a_draw():
    torch.manual_seed(0)
    mu, log_var = torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3, requires_grad=True)
    z = vae.reparameterize(mu, log_var)
    z.sum().backward()
    assert torch.equal(mu.grad, torch.ones(1, 3))
    torch.testing.assert_close(log_var.grad, (z.detach()[0] / 2))  # dz/dlog_var = sigma epsilon / 2, and mu = 0


@pytest.mark.equation("vae-squared", "vae-lambda")
@given(st.floats(0.05, 2.0))
def test_squared_error_with_weight_sigma_squared_is_the_gaussian(sigma):
    torch.manual_seed(0)
    x, mean, kl = torch.rand(5, 1, 4, 4), torch.rand(5, 1, 4, 4), torch.rand(5)
    log_p = Independent(Normal(mean, sigma), 3).log_prob(x)
    loss = (-log_p + kl).mean()
    popular = ((x - mean) ** 2).sum() / (2 * 5) + sigma**2 * kl.mean()
    constant = 16 / 2 * math.log(2 * math.pi * sigma**2)
    assert float(sigma**2 * (loss - constant)) == pytest.approx(float(popular), rel=1e-4)


@pytest.mark.equation("vae-bernoulli")
def test_the_two_forms_of_the_bernoulli_are_one():
    x, logit = sympy.symbols("x ell", real=True)
    pi = 1 / (1 + sympy.exp(-logit))
    first = x * sympy.log(pi) + (1 - x) * sympy.log(1 - pi)
    second = x * logit - sympy.log(1 + sympy.exp(logit))
    for values in ({x: 0, logit: 1.3}, {x: 1, logit: -2.1}, {x: 0.4, logit: 0.7}):
        assert float((first - second).subs(values)) == pytest.approx(0, abs=1e-12)
    law = likelihood.bernoulli().distribution(torch.full((1, 1, 1, 1), 0.7))
    assert float(law.log_prob(torch.full((1, 1, 1, 1), 1.0))) == pytest.approx(float(second.subs({x: 1, logit: 0.7})), abs=1e-6)


@pytest.mark.equation("vae-continuous-bernoulli")
@pytest.mark.parametrize("lam", [0.1, 0.4, 0.8])
def test_continuous_bernoulli_as_printed(lam):
    c = (math.log(lam) - math.log(1 - lam)) / (2 * lam - 1)
    total, _ = integrate.quad(lambda x: c * lam**x * (1 - lam) ** (1 - x), 0, 1)
    assert total == pytest.approx(1, abs=1e-10)
    law = likelihood.continuous_bernoulli().distribution(torch.tensor(math.log(lam / (1 - lam)), dtype=F64).reshape(1, 1, 1, 1))
    value = torch.tensor(0.3, dtype=F64).reshape(1, 1, 1, 1)
    assert float(law.log_prob(value)) == pytest.approx(math.log(c * lam**0.3 * (1 - lam) ** 0.7), abs=1e-6)


@pytest.mark.equation("vae-logistic")
def test_discretised_logistic_as_printed():
    mu, s, x = 0.6, 0.08, 100 / 255
    sigmoid = lambda t: 1 / (1 + math.exp(-t))  # noqa: E731
    printed = sigmoid((x + 1 / 510 - mu) / s) - sigmoid((x - 1 / 510 - mu) / s)
    law = likelihood.DiscretizedLogistic(torch.tensor(mu, dtype=F64), torch.tensor(math.log(s), dtype=F64))
    assert math.exp(law.log_prob(torch.tensor(x, dtype=F64))) == pytest.approx(printed, rel=1e-9)


@pytest.mark.equation("vae-active")
def test_active_units_counts_dimensions_that_vary():
    torch.manual_seed(0)
    mu = torch.randn(500, 4) * torch.tensor([1.0, 0.2, 0.05, 0.0])  # variances 1, 0.04, 0.0025, 0
    assert vae.active_units(mu) == 2
    assert vae.active_units(mu, threshold=0.001) == 3


@pytest.mark.equation("vae-free-bits")
@given(st.floats(0, 2))
def test_free_bits_charge_each_dimension_at_least_the_allowance(delta):
    torch.manual_seed(0)
    kl = torch.rand(7, 3)
    wanted = sum(max(delta, float(kl[:, j].mean())) for j in range(3))
    assert float(vae.free_bits_cost(kl, delta)) == pytest.approx(wanted, rel=1e-5)


def test_free_bits_and_beta_change_only_the_bound(digits):
    torch.manual_seed(0)
    net, x = vae.mlp_vae((1, 8, 8), hidden=8, latent=2), digits.batch(torch.arange(9))
    runs = []
    for options in ({}, {"beta": 3.0}, {"free_bits": 5.0}):
        torch.manual_seed(1)
        runs.append(net.elbo(x, **options))
    for other in runs[1:]:
        assert torch.equal(other.reconstruction, runs[0].reconstruction) and torch.equal(other.kl, runs[0].kl)
    torch.testing.assert_close(runs[1].elbo, runs[0].reconstruction - 3 * runs[0].kl)
    torch.testing.assert_close(runs[2].elbo, runs[0].reconstruction - 10.0)


@pytest.mark.equation("vae-linear-collapse")
@pytest.mark.parametrize("eigenvalue, used", [(1.5, True), (1.01, True), (0.99, False), (0.4, False)])
def test_a_linear_direction_is_used_when_it_varies_more_than_the_noise(eigenvalue, used):
    """The evidence of data with this variance, under w² + sigma² with sigma = 1, is largest at w² = eigenvalue - 1 or at 0."""
    w = np.linspace(0, 2, 4001)
    variance = w**2 + 1.0
    mean_log_evidence = -0.5 * np.log(2 * np.pi * variance) - eigenvalue / (2 * variance)
    best = w[mean_log_evidence.argmax()]
    assert (best > 1e-3) == used
    assert best == pytest.approx(math.sqrt(max(eigenvalue - 1, 0)), abs=1e-3)


@pytest.mark.equation("vae-hidden-beta")
@pytest.mark.parametrize("reconstruction", ["sum", "mean"])
@pytest.mark.parametrize("kl", ["sum", "mean"])
@pytest.mark.parametrize("half", [True, False])
def test_hidden_beta_is_the_beta_whose_gradient_the_loss_has(reconstruction, kl, half):
    """The gradient of the loss as written is parallel to that of the bound with the hidden beta."""
    torch.manual_seed(0)
    weight, pixels, latent = 0.7, 12, 3
    x, out = torch.rand(5, pixels), torch.rand(5, pixels, requires_grad=True)
    mu, log_var = torch.randn(5, latent, requires_grad=True), torch.randn(5, latent, requires_grad=True)
    square = ((x - out) ** 2) * (0.5 if half else 1.0)
    divergence = vae.kl_standard_normal_terms(mu, log_var)
    reduce = {"sum": lambda t: t.sum(-1).mean(), "mean": lambda t: t.mean()}
    written = reduce[reconstruction](square) + weight * reduce[kl](divergence)
    beta = vae.hidden_beta(pixels, latent, reconstruction, kl, weight, half)
    proper = (-Independent(Normal(out, 1.0), 1).log_prob(x) + beta * divergence.sum(-1)).mean()
    a = torch.cat([g.flatten() for g in torch.autograd.grad(written, [out, mu, log_var], retain_graph=True)])
    b = torch.cat([g.flatten() for g in torch.autograd.grad(proper, [out, mu, log_var])])
    torch.testing.assert_close(a / a.norm(), b / b.norm(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", likelihood.LIKELIHOODS.values(), ids=likelihood.LIKELIHOODS.keys())
def test_every_likelihood_trains_on_any_shape(make):
    torch.manual_seed(0)
    made = make(0.3) if make is likelihood.gaussian else make()
    net = vae.mlp_vae((3, 4, 5), hidden=8, latent=2, likelihood=made)
    x = torch.rand(6, 3, 4, 5)
    bound = net.elbo(x, n_samples=2)
    assert bound.elbo.shape == (6,)
    (-bound.elbo.mean()).backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in net.parameters())
    assert net.sample(4).shape == (4, 3, 4, 5) and net.reconstruct(x).shape == x.shape
    assert net.decode(torch.randn(2, 3, 2)).log_prob(x[:3]).shape == (2, 3)


def test_an_autoencoder_is_deterministic_and_pays_no_kl(digits):
    torch.manual_seed(0)
    net, x = vae.mlp_vae((1, 8, 8), hidden=8, latent=2, cls=vae.Autoencoder), digits.batch(torch.arange(5))
    a, b = net.elbo(x), net.elbo(x, beta=7.0)
    assert torch.equal(a.elbo, b.elbo) and torch.equal(a.elbo, a.reconstruction)
    assert (a.kl == 0).all() and not a.kl.requires_grad
    history = train.fit(net, digits, train.Recipe(epochs=1), validation=digits, device="cpu", progress=False)
    assert history["elbo"] == history["reconstruction"] and history["validation_elbo"][0] > history["elbo"][0], "both count reconstruction alone"


def test_the_sample_is_the_mean_at_a_draw_of_the_prior():
    torch.manual_seed(0)
    net = vae.build()
    torch.manual_seed(1)
    pictures = net.sample(3)
    torch.manual_seed(1)
    torch.testing.assert_close(pictures, net.decode(torch.randn(3, 20)).mean)


def test_the_reference_model_learns_real_digits_or_their_stand_in():
    images = data.load("mnist", fallback=True).take(slice(0, 3000))
    torch.manual_seed(0)
    net = vae.build(images.shape)
    history = train.fit(net, images, train.Recipe(epochs=2, binarize=True), progress=False)
    assert history["elbo"][-1] > history["elbo"][0] + 20


good = torch.rand(2, 1, 28, 28)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda net: net.elbo(good * 255), ValueError, "images must lie in \\[0, 1\\], got values from .* Scale 0…255"),
        (lambda net: net.elbo(good * 2 - 1), ValueError, "map \\[-1, 1\\]"),
        (lambda net: net.elbo(good * math.nan), ValueError, "images must lie in"),
        (lambda net: net.elbo(good, beta=-1.0), ValueError, "beta must be at least 0"),
        (lambda net: net.elbo(good, beta=math.nan), ValueError, "beta must be at least 0"),
        (lambda net: net.elbo(good, n_samples=0), ValueError, "n_samples must be at least 1"),
        (lambda net: net.elbo(good, free_bits=-0.1), ValueError, "free_bits must be at least 0"),
        (lambda net: vae.check_images(good[0]), ValueError, "One image needs x\\[None\\]"),
        (lambda net: vae.check_images((good * 255).byte()), TypeError, "Divide uint8 images by 255"),
        (lambda net: vae.active_units(torch.zeros(1, 3)), ValueError, "at least two images"),
        (lambda net: vae.active_units(torch.full((3, 2), math.nan)), ValueError, "mu has 6 value"),
        (lambda net: vae.hidden_beta(0, 2), ValueError, "pixels must be at least 1"),
        (lambda net: vae.hidden_beta(4, 2, kl="none"), ValueError, "kl must be 'sum' or 'mean'"),
        (lambda net: vae.hidden_beta(4, 2, weight=-1.0), ValueError, "weight must be at least 0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call(vae.build())

"""Fashion-MNIST: the recipe's loss against our bound, sizes against torch, the shipped results against what they say of themselves."""

import math
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from vae_teach import fashion_mnist as fm
from vae_teach import vae
from vae_teach.common import data, likelihood

ROOT = Path(__file__).resolve().parent.parent
F64 = torch.float64
weights = st.floats(1e-6, 1.0)


def pictures(n=6, seed=0):
    """Grey levels of the embedded digits, float32 in [0, 1]."""
    order = torch.randperm(1500, generator=torch.Generator().manual_seed(seed))[:n]
    return data.digits(size=28).batch(order)


def fresh(kl_weight=fm.KL_WEIGHT, seed=0):
    torch.manual_seed(seed)
    return fm.conv_vae(likelihood=likelihood.gaussian(fm.sigma_of_weight(kl_weight)))


def as_it_circulates(model, x, kl_weight):
    """The tutorial's own arithmetic: [-1, 1] in, Tanh out, means over everything. Uses no function of ours but the layers."""
    y = 2 * x - 1
    out = nn.Sequential(*list(model.encoder)[1:])(y)
    mu, log_var = out[:, :64], out[:, 64:]
    z = mu + torch.exp(0.5 * log_var) * torch.randn(1, *mu.shape)[0]
    y_hat = torch.tanh(nn.Sequential(*list(model.decoder)[:-1])(z))
    kl = -0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1)
    return F.mse_loss(y_hat, y, reduction="mean") + kl_weight * torch.mean(kl)


def gradient(loss, model):
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


# The loss


@pytest.mark.equation("fashion-mnist-loss", "fashion-mnist-identity", "fashion-mnist-sigma")
@pytest.mark.parametrize("kl_weight", [1e-3, 1e-4, 1e-5])
def test_the_recipe_is_an_elbo_plus_a_constant(kl_weight):
    model, x = fresh(kl_weight).train(), pictures()
    torch.manual_seed(7)
    theirs = as_it_circulates(model, x, kl_weight)
    torch.manual_seed(7)
    ours = -kl_weight * model.elbo(x).elbo.mean()
    assert theirs.item() - ours.item() == pytest.approx(fm.loss_offset(kl_weight), abs=3e-6)
    g_theirs, g_ours = gradient(theirs, model), gradient(ours, model)
    assert g_theirs.norm() > 0
    assert (g_theirs - g_ours).norm() < 1e-4 * g_theirs.norm()


@pytest.mark.equation("fashion-mnist-loss")
def test_recipe_loss_is_what_it_says():
    model, x = fresh().eval(), pictures()
    torch.manual_seed(3)
    wanted = as_it_circulates(model, x, 1e-3)
    torch.manual_seed(3)
    mu, log_var = model.posterior(x)
    y_hat = 2 * model.decode(vae.reparameterize(mu, log_var)[0]).mean - 1
    assert fm.recipe_loss(2 * x - 1, y_hat, mu, log_var, 1e-3).item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.equation("fashion-mnist-scale", "fashion-mnist-gaussian", "fashion-mnist-density", "fashion-mnist-identity", "fashion-mnist-sigma")
@given(weights, st.integers(1, 40), st.integers(0, 1000))
def test_every_line_of_the_derivation_has_one_value(kl_weight, d, seed):
    rng = np.random.default_rng(seed)
    y, y_hat, kl = rng.uniform(-1, 1, d), rng.uniform(-1, 1, d), rng.uniform(0, 50)
    x, x_hat = (y + 1) / 2, (y_hat + 1) / 2
    assert np.allclose(2 * x - 1, y)
    sigma_y = math.sqrt(kl_weight * d / 2)
    sigma = fm.sigma_of_weight(kl_weight, d)
    log_y = stats.norm(y_hat, sigma_y).logpdf(y).sum()
    log_x = stats.norm(x_hat, sigma).logpdf(x).sum()
    constant = kl_weight * d / 2
    lines = [
        ((y - y_hat) ** 2).mean() + kl_weight * kl,
        kl_weight * (((y - y_hat) ** 2).sum() / (kl_weight * d) + kl),
        kl_weight * (((y - y_hat) ** 2).sum() / (2 * sigma_y**2) + kl),
        kl_weight * (-log_y - d / 2 * math.log(2 * math.pi * sigma_y**2) + kl),
        -kl_weight * (log_y - kl) - constant * math.log(2 * math.pi * sigma_y**2),
        -kl_weight * (log_x - kl) - constant * math.log(2 * math.pi * sigma**2),
        -kl_weight * (log_x - kl) + fm.loss_offset(kl_weight, d),
    ]
    assert lines == pytest.approx([lines[0]] * len(lines), rel=1e-9, abs=1e-10)
    assert log_x == pytest.approx(log_y + d * math.log(2), rel=1e-9, abs=1e-9)
    assert log_y == pytest.approx(-((y - y_hat) ** 2).sum() / (2 * sigma_y**2) - d / 2 * math.log(2 * math.pi * sigma_y**2), rel=1e-9, abs=1e-9)


@given(weights, st.integers(1, 10_000))
def test_sigma_of_weight_grows_with_the_side_and_agrees_with_the_hidden_beta(kl_weight, pixels):
    sigma = fm.sigma_of_weight(kl_weight, pixels)
    assert fm.sigma_of_weight(kl_weight, 4 * pixels) == pytest.approx(2 * sigma)
    # Read as a Gaussian of unit width, the loss has beta = sigma_y²; read as one of width sigma_y, beta = 1.
    assert vae.hidden_beta(pixels, 64, "mean", "sum", kl_weight, half=False) == pytest.approx((2 * sigma) ** 2)
    recipe = fm.sigma_of_weight(fm.KL_WEIGHT)
    assert recipe == pytest.approx(math.sqrt(0.0392) / 2) and fm.RECIPE.loss_scale == fm.KL_WEIGHT and fm.RECIPE.beta == 1


@pytest.mark.equation("fashion-mnist-tanh")
def test_tanh_is_a_sigmoid():
    a = sympy.symbols("a", real=True)
    assert sympy.simplify(((sympy.tanh(a) + 1) / 2 - 1 / (1 + sympy.exp(-2 * a))).rewrite(sympy.exp)) == 0
    model = fresh().eval()
    z = torch.randn(4, 64)
    with torch.no_grad():
        raw = nn.Sequential(*list(model.decoder)[:-1])(z)
        assert torch.allclose(model.decode(z).mean, (torch.tanh(raw) + 1) / 2, atol=1e-6)


def adam_path(c, decay, epsilon, steps=30):
    """Where Adam goes on a fixed sequence of gradients, each multiplied by ``c``."""
    rng = np.random.default_rng(0)
    theta = torch.tensor(rng.normal(size=5), requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=0.01, weight_decay=decay, eps=epsilon)
    for _ in range(steps):
        theta.grad = c * torch.tensor(rng.normal(size=5))
        optimizer.step()
    return theta.detach()


@pytest.mark.equation("fashion-mnist-adam", "fashion-mnist-decay")
def test_a_factor_in_front_of_the_loss_matters_in_two_places_only():
    c = 1e-4
    plain = adam_path(1.0, 0.0, 1e-300)
    assert torch.allclose(adam_path(c, 0.0, 1e-300), plain, rtol=1e-12)
    assert torch.allclose(adam_path(c, 0.0, 1e-8), adam_path(1.0, 0.0, 1e-8 / c), rtol=1e-12)
    assert torch.allclose(adam_path(c, 1e-4, 1e-8), adam_path(1.0, 1e-4 / c, 1e-8 / c), rtol=1e-9)
    assert not torch.allclose(adam_path(c, 1e-4, 1e-8), adam_path(1.0, 1e-4, 1e-8), rtol=1e-3)


# The network


def test_shapes_at_every_layer():
    model = fm.conv_vae()
    encoder = fm.layer_shapes(model.encoder, torch.zeros(1, 1, 28, 28))
    decoder = fm.layer_shapes(model.decoder, torch.zeros(1, 64))
    assert [shape for _, shape in encoder] == [(32, 14, 14), (64, 7, 7), (128, 4, 4), (256, 2, 2), (512, 2, 2), (128,)]
    assert [shape for _, shape in decoder] == [(2048,), (256, 2, 2), (128, 4, 4), (64, 7, 7), (32, 14, 14), (32, 28, 28), (1, 28, 28)]
    assert {name for name, _ in encoder + decoder} == {"Conv2d", "ConvTranspose2d", "Linear"}
    assert model.encoder.training and not any(layer._forward_hooks for layer in model.modules()), "looking leaves no trace"
    kinds = [type(layer) for layer in model.encoder if not isinstance(layer, fm.Rescale)]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 5 + [nn.Flatten, nn.Linear]


def test_parameters_are_as_many_as_arithmetic_says():
    def block(before, after):  # kernel and bias, then BatchNorm's gamma and delta
        return before * after * 9 + after + 2 * after

    widths = [1, 32, 64, 128, 256, 512]
    encoder = sum(block(a, b) for a, b in zip(widths, widths[1:])) + (2048 + 1) * 128
    mirror = [512, 256, 128, 64, 32, 32]
    decoder = (64 + 1) * 2048 + sum(block(a, b) for a, b in zip(mirror, mirror[1:])) + 32 * 9 + 1
    model = fm.conv_vae()
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert sum(p.numel() for p in model.decoder.parameters()) == decoder


@pytest.mark.parametrize("name", sorted(set(likelihood.LIKELIHOODS) - {"gaussian"}))
def test_any_likelihood_fits_the_decoder(name):
    model = fm.conv_vae(latent=8, likelihood=likelihood.LIKELIHOODS[name]())
    bound = model.elbo(pictures(3))
    assert bound.elbo.shape == (3,) and torch.isfinite(bound.elbo).all()


@pytest.mark.equation("fashion-mnist-conv")
@given(st.integers(3, 40), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.data())
def test_sizes_there_and_back(n, k, s, p, draw):
    if n + 2 * p < k:
        return
    extra = draw.draw(st.integers(0, s - 1))
    with torch.no_grad():
        there = nn.Conv2d(1, 1, k, s, p)(torch.zeros(1, 1, n, n)).shape[-1]
        assert there == (n + 2 * p - k) // s + 1
        if (there - 1) * s - 2 * p + k + extra > 0:
            back = nn.ConvTranspose2d(1, 1, k, s, p, output_padding=extra)(torch.zeros(1, 1, there, there)).shape[-1]
            assert back == (there - 1) * s - 2 * p + k + extra


@pytest.mark.equation("fashion-mnist-batchnorm")
def test_batchnorm_by_its_formula():
    torch.manual_seed(0)
    norm, a = nn.BatchNorm2d(3), 2 + 3 * torch.randn(5, 3, 4, 4)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)

    def formula(m, v):
        m, v, gamma, delta = (t.detach()[:, None, None] for t in (m, v, norm.weight, norm.bias))
        return gamma * (a - m) / torch.sqrt(v + norm.eps) + delta

    got = norm(a).detach()
    assert torch.allclose(got, formula(a.mean((0, 2, 3)), a.var((0, 2, 3), unbiased=False)), atol=1e-5)
    assert torch.allclose(norm.eval()(a).detach(), formula(norm.running_mean, norm.running_var), atol=1e-5)


@torch.no_grad()
def test_only_in_evaluation_mode_does_a_picture_depend_on_its_code_alone():
    model = fresh()
    for seed in range(30):  # a few batches, so that the running averages are of real pictures
        model.train().elbo(pictures(16, seed))
    z, company = torch.randn(4, 64), 2 + torch.randn(12, 64)
    model.eval()
    assert torch.allclose(model.decode(z).mean, model.decode(torch.cat([z, company])).mean[:4], atol=1e-6)
    model.train()
    assert not torch.allclose(model.decode(z).mean, model.decode(torch.cat([z, company])).mean[:4], atol=1e-3)


# Likelihoods of grey levels


@pytest.mark.equation("fashion-mnist-bins")
@given(st.floats(0, 1), st.floats(0.01, 2))
def test_levels_have_probabilities_that_sum_to_one(mean, sigma):
    x = torch.arange(256, dtype=F64) / 255
    log_p = fm.BinnedNormal(torch.tensor(mean, dtype=F64), torch.tensor(sigma, dtype=F64)).log_prob(x)
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
    witness = np.diff(stats.norm(mean, sigma).cdf(edges))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert np.allclose(log_p.exp().numpy(), witness, rtol=1e-5, atol=1e-12)


def test_levels_far_in_the_tail_keep_a_finite_logarithm_and_gradient():
    loc = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0], requires_grad=True)
    x = torch.tensor([1.0, 0.5, 0.5, 0.0, 254 / 255])
    law = fm.BinnedNormal(loc, torch.tensor(0.01))
    law.log_prob(x).sum().backward()
    assert torch.isfinite(law.log_prob(x)).all() and torch.isfinite(loc.grad).all()
    exact = fm.BinnedNormal(loc.detach().double(), torch.tensor(0.01, dtype=F64)).log_prob(torch.tensor([1.0, 0.5, 0.5, 0.0, 254 / 255], dtype=F64))
    assert torch.allclose(law.log_prob(x).double(), exact, rtol=1e-3)


def test_samples_of_levels_are_levels_with_the_right_frequencies():
    """Within six standard errors: false-alarm rate 2e-9 a level."""
    torch.manual_seed(0)
    law = fm.BinnedNormal(torch.tensor(0.02), torch.tensor(0.02))
    levels = (law.sample((100_000,)) * 255).round().long()
    share = torch.bincount(levels, minlength=256)[:12] / 100_000
    p = law.log_prob(torch.arange(12) / 255).exp()
    assert ((share - p).abs() < 6 * (p * (1 - p) / 100_000).sqrt()).all()


@pytest.mark.equation("fashion-mnist-bits")
def test_bits_and_the_rule_of_thumb():
    assert fm.bits_per_dim(-784 * math.log(256)) == pytest.approx(8)  # 256 levels, equally likely, cost 8 bits
    sigma = fm.sigma_of_weight(fm.KL_WEIGHT)
    law, density = fm.BinnedNormal(torch.tensor(0.5), torch.tensor(sigma)), torch.distributions.Normal(0.5, sigma)
    middle = torch.tensor(128 / 255)
    assert law.log_prob(middle).item() == pytest.approx(density.log_prob(middle).item() - math.log(255), abs=1e-3)
    black = fm.BinnedNormal(torch.tensor(0.0), torch.tensor(sigma)).log_prob(torch.tensor(0.0)).exp().item()
    assert black == pytest.approx(0.5, abs=0.01)  # the rule would say 1/255 × 4 = 0.016
    model, x = fresh().eval(), pictures()
    model.likelihood = fm.binned_gaussian(sigma)
    torch.manual_seed(0)
    bound = model.elbo(x)
    torch.manual_seed(0)
    p_x_given_z = model.decode(vae.reparameterize(*model.posterior(x))[0])
    by_hand = -(p_x_given_z.base_dist.log_prob(x).sum((1, 2, 3)) - bound.kl) / (784 * math.log(2))
    assert fm.bits_per_dim(bound.elbo.mean().item()) == pytest.approx(by_hand.mean().item(), rel=1e-5)
    assert not model.likelihood.is_density


@pytest.mark.equation("fashion-mnist-best-sigma")
def test_the_best_width_is_the_residuals_root_mean_square():
    d, r, sigma = sympy.symbols("D r sigma", positive=True)
    value = -d * r**2 / (2 * sigma**2) - d / 2 * sympy.log(2 * sympy.pi * sigma**2)
    assert sympy.simplify(sympy.diff(value, sigma) - (d * r**2 / sigma**3 - d / sigma)) == 0
    assert sympy.solve(sympy.diff(value, sigma), sigma) == [r]
    model, x = fresh().eval(), pictures(8)
    torch.manual_seed(0)
    best = fm.best_sigma(model, x)

    def reconstruction(s):
        model.likelihood = likelihood.gaussian(s)
        torch.manual_seed(0)
        return model.decode(model.encode(x).sample()).log_prob(x).mean().item()

    assert reconstruction(best) > max(reconstruction(0.97 * best), reconstruction(1.03 * best))


@pytest.mark.equation("fashion-mnist-unbounded")
def test_cross_entropy_has_no_floor_outside_the_unit_interval():
    def loss(a, t):
        return F.binary_cross_entropy_with_logits(a, torch.full_like(a, t), reduction="none")

    a = torch.linspace(-60, 60, 240_001, dtype=F64)
    for t in (0.0, 0.1, 0.5, 0.8, 1.0):
        assert torch.allclose(loss(a, t), torch.log1p(a.exp()) - t * a, atol=1e-9)
        assert loss(a, t).min().item() == pytest.approx(stats.entropy([t, 1 - t]), abs=1e-6)
        assert loss(a, t).min() >= 0
    for t, sign in ((-1.0, -1), (-0.2, -1), (1.2, 1)):
        ends = loss(sign * torch.tensor([1e2, 1e3, 1e6], dtype=F64), t)
        assert (ends.diff() < 0).all() and ends[-1] < -1e5


def test_the_mistake_diverges_and_the_guard_stops_it():
    torch.manual_seed(0)
    net, x = vae.mlp_vae(), pictures(64)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(40):
        loss = -net.elbo(2 * x - 1, validate=False).elbo.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < -10_000
    with pytest.raises(ValueError, match=r"map \[-1, 1\]"):
        net.elbo(2 * x - 1)


# Bad input


@pytest.mark.parametrize("arguments", [(0.0,), (-1e-4,), (math.nan,), (math.inf,), (1e-4, 0)])
@pytest.mark.parametrize("function", [fm.sigma_of_weight, fm.loss_offset])
def test_a_weight_must_be_positive(function, arguments):
    with pytest.raises(ValueError, match="must be positive"):
        function(*arguments)


def test_other_bad_input_is_named():
    for shape in [(3, 28, 28), (1, 32, 32), (28, 28)]:
        with pytest.raises(ValueError, match=r"\(1, 28, 28\)"):
            fm.build(shape)
    with pytest.raises(ValueError, match="sigma"):
        fm.binned_gaussian(0.0)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        fm.best_sigma(fresh(), 2 * pictures() - 1)

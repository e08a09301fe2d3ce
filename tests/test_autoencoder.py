"""Autoencoders: every function and equation against a second witness: enumeration, NumPy, scikit-learn, SciPy, autograd.

No test is random: seeds are fixed, and laws with few values are summed, not sampled, except where a rate is stated.
"""

import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import integrate, linalg, stats
from sklearn.decomposition import PCA
from torch import nn
from torch.distributions import MultivariateNormal, Normal, TransformedDistribution
from torch.distributions.transforms import Transform

from vae_teach import autoencoder as ae
from vae_teach.common import data, living, runs, train

F64 = torch.float64


def tiny(**more):
    torch.manual_seed(0)
    return ae.mlp_autoencoder((1, 3, 4), hidden=7, latent=2, **more)


def images(n=5, seed=0, shape=(1, 3, 4)):
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed))


def second_moments(seed=0, d=6):
    """A covariance with well separated eigenvalues, in float64."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return torch.tensor(q @ np.diag(0.5 ** np.arange(d)) @ q.T)


def matrices(*sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=F64) for s in sizes]


# Two halves, and how wrong they are


@pytest.mark.equation("autoencoder-halves")
def test_the_two_halves_compose():
    model, x = tiny(), images()
    z = model.code(x)
    assert z.shape == (5, 2) and z.shape[1] < x[0].numel()
    assert torch.equal(model.reconstruct(x), model.picture(z).detach())
    first, second = model.encoder[1], model.encoder[3]
    by_hand = np.maximum(x.flatten(1).numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy(), 0)
    np.testing.assert_allclose(z.detach(), by_hand @ second.weight.detach().numpy().T + second.bias.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert torch.equal(model.decode(z).mean, model.picture(z))
    assert torch.equal(model.posterior(x)[0], z) and (model.posterior(x)[1] == -math.inf).all()


@pytest.mark.equation("autoencoder-error")
def test_the_error_of_a_law_with_three_pictures_and_what_the_loop_maximises():
    """The expectation is a weighted sum; the bound of the loop is minus half of each error."""
    model, x, p = tiny(), images(3), np.array([0.5, 0.3, 0.2])
    x_hat = model.reconstruct(x)
    errors = ae.squared_error(x, x_hat)
    by_hand = [sum((a - b) ** 2 for a, b in zip(u.flatten().tolist(), v.flatten().tolist())) for u, v in zip(x, x_hat)]
    np.testing.assert_allclose(errors, by_hand, rtol=1e-5)
    assert float(p @ errors.numpy()) == pytest.approx(sum(w * e for w, e in zip(p, by_hand)), rel=1e-5)
    bound = model.elbo(x)
    assert torch.allclose(bound.elbo, -errors / 2) and torch.equal(bound.elbo, bound.reconstruction) and not bound.kl.any()
    normal = model.decode(model.code(x)).log_prob(x) + x[0].numel() / 2 * math.log(2 * math.pi)
    assert torch.allclose(normal, bound.elbo, atol=1e-4), "minus half the squared error is a normal log-density but for its constant"


FEW, WEIGHTS = np.array([3.0, 7.0, 1.0]), np.array([0.5, 0.2, 0.3])


def all_samples(n):
    """Every sample of n errors from a law with three values, with its probability."""
    for picks in itertools.product(range(3), repeat=n):
        yield FEW[list(picks)], WEIGHTS[list(picks)].prod()


@pytest.mark.equation("autoencoder-average", "autoencoder-unbiased", "autoencoder-variance")
@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_average_is_unbiased_and_its_variance_falls_as_one_over_n(n):
    """By enumeration of all samples: nothing is random here."""
    mean, variance = WEIGHTS @ FEW, WEIGHTS @ (FEW - WEIGHTS @ FEW) ** 2
    averages = np.array([float(ae.average(torch.tensor(e))[0]) for e, _ in all_samples(n)])
    p = np.array([w for _, w in all_samples(n)])
    assert p @ averages == pytest.approx(mean, abs=1e-12)
    assert p @ (averages - mean) ** 2 == pytest.approx(variance / n, abs=1e-12)
    squares = [float(ae.average(torch.tensor(e))[1]) ** 2 for e, _ in all_samples(n)]
    assert p @ squares == pytest.approx(variance / n, abs=1e-12), "the squared standard error is unbiased for the variance"


def test_the_standard_error_is_scipys():
    errors = images(40).flatten(1).sum(1)
    mean, standard_error = ae.average(errors)
    assert float(mean) == pytest.approx(errors.numpy().mean(), rel=1e-6)
    assert float(standard_error) == pytest.approx(stats.sem(errors.numpy()), rel=1e-5)


@pytest.mark.equation("autoencoder-batches")
def test_batches_weigh_as_many_images_as_they_hold():
    errors = torch.arange(10.0) ** 2
    batches = errors.split(4)  # 4, 4 and 2
    weighted = sum(len(b) * b.mean() for b in batches) / sum(len(b) for b in batches)
    assert weighted == errors.mean()
    assert torch.stack([b.mean() for b in batches]).mean() != errors.mean(), "the mean of the batch means is another number"


@pytest.mark.equation("autoencoder-optimism")
def test_a_fitted_error_is_too_low_on_what_it_was_fitted_to_and_too_high_elsewhere():
    """The best line through the origin, for every sample of three points out of a law with four: all 64 are enumerated."""
    points = torch.tensor([[2.0, 0.3], [0.4, 1.5], [-1.0, -1.4], [0.7, -0.2]], dtype=F64)

    def best(rows):
        cov = rows.mT @ rows / len(rows)
        W = ae.principal_axes(cov)[0][:, :1]
        return float(ae.linear_error(cov, W.mT, W)), W

    least, _ = best(points)
    fitted, elsewhere = [], []
    law = points.mT @ points / 4
    for picks in itertools.product(range(4), repeat=3):
        error, W = best(points[list(picks)])
        fitted.append(error)
        elsewhere.append(float(ae.linear_error(law, W.mT, W)))
    assert np.mean(fitted) < least - 0.05 and least + 0.05 < np.mean(elsewhere)


# The linear autoencoder


@pytest.mark.equation("autoencoder-linear", "autoencoder-offset")
def test_the_linear_error_is_the_mean_over_the_data():
    x, V, W, b = matrices((50, 6), (2, 6), (6, 2), (6,))
    centred = x - x.mean(0)
    cov = centred.mT @ centred / len(x)
    assert torch.allclose(cov, torch.tensor(np.cov(x.numpy().T, bias=True)))
    by_hand = ((centred - centred @ V.mT @ W.mT) ** 2).sum(1).mean()
    assert torch.allclose(ae.linear_error(cov, V, W), by_hand)
    with_offset = ((x - x @ V.mT @ W.mT - b) ** 2).sum(1).mean()
    shift = x.mean(0) - W @ V @ x.mean(0) - b
    assert torch.allclose(with_offset, by_hand + shift @ shift), "the offset adds a square that the right one makes zero"


@pytest.mark.equation("autoencoder-pythagoras", "autoencoder-pinv")
def test_the_best_encoder_projects():
    cov = second_moments()
    x, W, z = matrices((6,), (6, 2), (2,))
    V = ae.best_encoder(W)
    np.testing.assert_allclose(V, np.linalg.pinv(W.numpy()), atol=1e-10)
    P = W @ V
    assert torch.allclose(P @ P, P) and torch.allclose(P, P.mT)
    parts = ((x - P @ x) ** 2).sum(), ((P @ x - W @ z) ** 2).sum()
    assert torch.allclose(((x - W @ z) ** 2).sum(), sum(parts))
    assert (W.mT @ (x - P @ x)).abs().max() < 1e-12
    V.requires_grad_()
    ae.linear_error(cov, V, W).backward()
    assert V.grad.abs().max() < 1e-10, "a stationary point by autograd"
    for other in matrices(*[(2, 6)] * 20, seed=1):
        assert ae.linear_error(cov, V.detach() + 0.1 * other, W) > ae.linear_error(cov, V.detach(), W)


@pytest.mark.equation("autoencoder-captured", "autoencoder-ky-fan", "autoencoder-weights")
@pytest.mark.parametrize("k", [1, 2, 4])
def test_no_subspace_captures_more_than_the_top_eigenvectors(k):
    cov = second_moments(k)
    U, kappa = ae.principal_axes(cov)
    for A in [*matrices(*[(6, k)] * 50, seed=k), U[:, :k]]:
        Q, _ = torch.linalg.qr(A)
        P = Q @ Q.mT
        captured = (P @ cov).trace()
        assert torch.allclose(ae.linear_error(cov, Q.mT, Q), cov.trace() - captured)
        w = ((P @ U) ** 2).sum(0)
        assert torch.allclose((w * kappa).sum(), captured)
        assert (w > -1e-12).all() and (w < 1 + 1e-12).all() and torch.allclose(w.sum(), torch.tensor(float(k), dtype=F64))
        left = kappa[:k].sum() - captured
        middle = ((1 - w[:k]) * kappa[:k]).sum() - (w[k:] * kappa[k:]).sum()
        least = kappa[k - 1] * ((1 - w[:k]).sum() - w[k:].sum())
        assert torch.allclose(left, middle) and middle >= least - 1e-12 and abs(least) < 1e-12
        assert left >= -1e-12
    assert abs(left) < 1e-12, "the last one was the top subspace itself"


@pytest.mark.equation("autoencoder-pca")
def test_a_trained_linear_autoencoder_finds_the_subspace_of_sklearns_pca():
    """Gradient descent on scikit-learn's digits, K = 4: principal angles below 1e-2 (reached: below 1e-4)."""
    x = data.digits().batch().flatten(1).double()
    pca = PCA(4).fit(x.numpy())
    centred = x - x.mean(0)
    cov = centred.mT @ centred / len(x)
    U, kappa = ae.principal_axes(cov)
    np.testing.assert_allclose(kappa[:4] * len(x) / (len(x) - 1), pca.explained_variance_, rtol=1e-8)
    V, W = ae.fit_linear(cov, 4, steps=1500)
    axes = torch.tensor(pca.components_.T.copy())
    assert ae.principal_angles(W, axes).max() < 1e-2
    constant = cov.diagonal() == 0
    start = ae.fit_linear(cov, 4, steps=0)[0]
    assert constant.any() and torch.equal(V[:, constant], start[:, constant]), "where the data never vary, the encoder is free"
    assert float(ae.linear_error(cov, V, W)) == pytest.approx(float(kappa[4:].sum()), rel=1e-5)
    floor = ((x.numpy() - pca.inverse_transform(pca.transform(x.numpy()))) ** 2).sum(1).mean()
    assert float(kappa[4:].sum()) == pytest.approx(floor, rel=1e-9)
    assert torch.allclose(W @ V @ cov, axes @ axes.mT @ cov, atol=1e-4), "as maps of the data"
    inner = W.mT @ W
    assert (inner - torch.diag(inner.diagonal())).abs().max() > 0.01 * inner.diagonal().max(), "the columns need not be orthogonal"


@pytest.mark.equation("autoencoder-gauge")
def test_only_the_subspace_is_determined():
    cov = second_moments()
    V, W, M = matrices((2, 6), (6, 2), (2, 2))
    other = ae.linear_error(cov, torch.linalg.inv(M) @ V, W @ M)
    assert torch.allclose(ae.linear_error(cov, V, W), other)
    assert ae.principal_angles(W @ M, W).max() < 1e-7


def test_principal_angles_are_scipys_and_keep_their_digits():
    A, B = matrices((6, 3), (6, 3))
    np.testing.assert_allclose(ae.principal_angles(A, B), linalg.subspace_angles(A.numpy(), B.numpy()), atol=1e-10)
    line = torch.tensor([[1.0], [0.0]], dtype=F64)
    turned = torch.tensor([[math.cos(1e-9)], [math.sin(1e-9)]], dtype=F64)
    assert float(ae.principal_angles(line, turned)[0]) == pytest.approx(1e-9, rel=1e-6)


# Relatives


@pytest.mark.equation("autoencoder-denoise")
def test_a_denoising_autoencoder_is_shown_noise_and_asked_for_the_clean_picture():
    model, x = tiny(noise_sigma=0.5), images()
    torch.manual_seed(3)
    shown = model.train().elbo(x).elbo
    torch.manual_seed(3)
    seen = x + 0.5 * torch.randn_like(x)
    by_hand = -((x - model.picture(model.code(seen))) ** 2).flatten(1).sum(1) / 2
    assert torch.allclose(shown, by_hand)
    assert torch.allclose(model.eval().elbo(x).elbo, -ae.squared_error(x, model.reconstruct(x)) / 2), "in evaluation no noise"


@pytest.mark.equation("autoencoder-regression")
def test_the_posterior_mean_is_the_best_guess_for_a_table():
    """A joint table of (X, seen), four values each: the identity holds for any guess."""
    rng = np.random.default_rng(0)
    joint, x = rng.dirichlet(np.ones(16)).reshape(4, 4), rng.normal(size=4)
    mean = (joint * x[:, None]).sum(0) / joint.sum(0)
    for _ in range(20):
        guess = rng.normal(size=4)
        error = (joint * (x[:, None] - guess) ** 2).sum()
        least = (joint * (x[:, None] - mean) ** 2).sum()
        assert error == pytest.approx(least + (joint.sum(0) * (mean - guess) ** 2).sum(), abs=1e-12)


@pytest.mark.equation("autoencoder-posterior-mean", "autoencoder-tweedie", "autoencoder-two-points")
def test_the_posterior_mean_by_bayes_by_the_score_and_for_two_points():
    clean, noisy = matrices((7, 3), (5, 3))
    sigma = 0.8
    got = ae.posterior_mean(noisy, clean, sigma)
    likelihood = np.array([[stats.multivariate_normal(c, sigma**2 * np.eye(3)).pdf(y) for c in clean.numpy()] for y in noisy.numpy()])
    np.testing.assert_allclose(got, likelihood @ clean.numpy() / likelihood.sum(1, keepdims=True), rtol=1e-8)
    y = noisy.clone().requires_grad_()
    log_p = torch.logsumexp(Normal(clean, sigma).log_prob(y[:, None]).sum(-1), 1) - math.log(7)
    (score,) = torch.autograd.grad(log_p.sum(), y)
    assert torch.allclose(got, noisy + sigma**2 * score)
    two, at = torch.tensor([[-1.0], [1.0]], dtype=F64), torch.linspace(-3, 3, 13, dtype=F64)[:, None]
    assert torch.allclose(ae.posterior_mean(at, two, sigma), torch.tanh(at / sigma**2))


@pytest.mark.equation("autoencoder-tweedie")
def test_the_score_formula_for_a_law_with_a_density():
    """X uniform on [-1, 1], by quadrature."""
    sigma, y, h = 0.4, 0.9, 1e-4

    def moment(power, at):
        return integrate.quad(lambda x: x**power * stats.norm(x, sigma).pdf(at) / 2, -1, 1, epsabs=1e-13)[0]

    score = (math.log(moment(0, y + h)) - math.log(moment(0, y - h))) / (2 * h)
    assert y + sigma**2 * score == pytest.approx(moment(1, y) / moment(0, y), abs=1e-6)


def sparse(price):
    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU())
    decoder = nn.Sequential(nn.Linear(5, 12), nn.Unflatten(-1, (1, 3, 4)))
    return ae.Autoencoder(encoder, decoder, 5, sparsity=price)


@pytest.mark.equation("autoencoder-sparse", "autoencoder-scale")
def test_the_price_of_a_code_and_that_it_cannot_be_dodged_by_scaling():
    model, x = sparse(0.3), images()
    z, weight = model.code(x).detach(), model.decoder[0].weight.detach()
    price = [0.3 * sum(abs(float(z[b, k])) * float((weight[:, k] ** 2).sum()) ** 0.5 for k in range(5)) for b in range(5)]
    bound = model.elbo(x)
    np.testing.assert_allclose(bound.kl.detach(), price, rtol=1e-5)
    np.testing.assert_allclose(bound.elbo.detach(), -ae.squared_error(x, model.reconstruct(x)) / 2 - torch.tensor(price), rtol=1e-5)
    assert torch.allclose(model.elbo(x, beta=2.0).elbo, bound.elbo - bound.kl)
    before = model.reconstruct(x)
    with torch.no_grad():
        model.encoder[1].weight *= 0.01
        model.encoder[1].bias *= 0.01
        model.decoder[0].weight *= 100
    assert torch.allclose(model.reconstruct(x), before, atol=1e-5)
    assert torch.allclose(model.code(x), z / 100, atol=1e-6), "a plain sum of |z| would have become a hundredth"
    assert torch.allclose(model.elbo(x).kl, bound.kl, rtol=1e-4), "this price has not changed"


@pytest.mark.equation("autoencoder-soft")
@pytest.mark.parametrize("a", [-1.5, -0.2, 0.0, 0.3, 0.7, 2.0])
def test_the_absolute_value_sets_small_codes_to_exactly_zero(a):
    gamma, grid = 0.5, np.linspace(-3, 3, 600_001)
    best = grid[np.argmin((a - grid) ** 2 / 2 + gamma * np.abs(grid))]
    assert best == pytest.approx(math.copysign(max(abs(a) - gamma, 0), a), abs=1e-5)


# Not a generative model


@pytest.mark.equation("autoencoder-recode")
@pytest.mark.parametrize("name", ["swirl", "linear"])
def test_a_bijection_of_the_codes_changes_no_picture(name):
    model, x = tiny().double(), images().double()
    if name == "swirl":
        h, back = ae.Swirl(0.7), ae.Swirl(-0.7)
    else:
        h, back = nn.Linear(2, 2).double(), nn.Linear(2, 2).double()
        with torch.no_grad():
            back.weight.copy_(torch.linalg.inv(h.weight))
            back.bias.copy_(-back.weight @ h.bias)
    other = ae.recode(model, h, back)
    assert torch.allclose(other.reconstruct(x), model.reconstruct(x), atol=1e-12)
    assert torch.allclose(other.elbo(x).elbo, model.elbo(x).elbo, atol=1e-12)
    assert not torch.allclose(other.code(x), model.code(x), atol=1e-2), "the codes lie elsewhere"


class _Swirl(Transform):
    """The swirl as torch's change of variables knows it; its Jacobian by autograd, for one point at a time."""

    bijective, domain, codomain = True, torch.distributions.constraints.real_vector, torch.distributions.constraints.real_vector

    def _call(self, x):
        return ae.Swirl(0.7)(x)

    def _inverse(self, y):
        return ae.Swirl(-0.7)(y)

    def log_abs_det_jacobian(self, x, y):
        return torch.stack([torch.autograd.functional.jacobian(lambda v: ae.Swirl(0.7)(v[None])[0], row).det().abs().log() for row in x])


@pytest.mark.equation("autoencoder-density")
def test_the_density_of_recoded_codes():
    mean, cov = torch.tensor([1.0, -2.0], dtype=F64), torch.tensor([[2.0, 0.3], [0.3, 0.5]], dtype=F64)
    z = MultivariateNormal(mean, cov)
    (A,), (y,) = matrices((2, 2)), matrices((2,), seed=1)
    inverse = torch.linalg.inv(A)
    printed = z.log_prob(inverse @ y).exp() * inverse.det().abs()
    assert torch.allclose(printed, MultivariateNormal(A @ mean, A @ cov @ A.mT).log_prob(y).exp())
    points = matrices((5, 2), seed=2)[0]
    swirled = TransformedDistribution(z, [_Swirl()])
    assert torch.allclose(swirled.log_prob(points), z.log_prob(ae.Swirl(-0.7)(points))), "a swirl keeps areas: its determinant is one"


# With the course's machinery


def test_the_one_training_loop_trains_all_three_kinds(digits):
    for more in ({}, {"noise_sigma": 0.3}, {"sparsity": 0.01}):
        torch.manual_seed(0)
        model = ae.mlp_autoencoder(digits.shape, hidden=32, latent=4, **more)
        history = train.fit(model, digits, train.Recipe(epochs=4, lr=3e-3), validation=digits, progress=False)
        assert history["elbo"][-1] > history["elbo"][0] + 1
        assert history["kl"][-1] == 0 or more.get("sparsity")


def test_the_pocket_model_travels(no_data):
    """Its export says how far its codes reach; the page's axes follow."""
    model, facts = runs.pretrained("autoencoder-pocket").model, runs.pretrained("autoencoder-pocket").facts
    assert model.latent == 2 and facts["network"].startswith("Autoencoder")
    path = runs.shipped("autoencoder-pocket") / "explorer.safetensors"
    raw = path.read_bytes()
    assert len(raw) < 300_000
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["span"]) > 3
    assert runs.samples(model, 4).shape == (4, 28, 28)


def test_the_span_of_an_export_holds_98_percent_of_the_codes():
    model, labels = tiny(), torch.zeros(100, dtype=torch.long)

    def span(codes):
        raw = living.export(model, codes, labels, ("a",))
        return json.loads(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["span"])

    codes = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    assert span(codes) == 3, "never less than the span of N(0, I)"
    assert span(20 * codes - 10) == 10
    codes[0] = 500.0
    assert span(codes) == 3, "one stray code does not stretch the page"


# Bad input


def line():
    return torch.eye(3, dtype=F64)[:, :1]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ae.squared_error(images() * math.nan, images()), "x has 60 value"),
        (lambda: ae.average(torch.zeros(1)), "their number must be at least 2"),
        (lambda: ae.average(torch.tensor([1.0, math.inf])), "errors has 1 value"),
        (lambda: tiny().elbo(images() * 255), r"images must lie in \[0, 1\]"),
        (lambda: tiny().reconstruct(images() - 1), r"images must lie in \[0, 1\]"),
        (lambda: tiny().elbo(images(), free_bits=0.1), "free_bits must be 0"),
        (lambda: tiny(noise_sigma=-1.0), "noise_sigma must be at least 0"),
        (lambda: tiny(sparsity=math.nan), "sparsity must be at least 0"),
        (lambda: ae.principal_axes(torch.ones(2, 3)), "cov must be a covariance"),
        (lambda: ae.principal_axes(torch.zeros(2, 2)), "cov must be a covariance"),
        (lambda: ae.principal_axes(torch.tensor([[1.0, 2.0], [0.0, 1.0]])), "cov must be a covariance"),
        (lambda: ae.linear_error(second_moments(), torch.zeros(2, 6).double(), torch.zeros(2, 6).double()), "V and the transpose of W"),
        (lambda: ae.linear_error(second_moments(), torch.full((2, 6), math.nan).double(), torch.zeros(6, 2).double()), "V has 12 value"),
        (lambda: ae.best_encoder(torch.ones(3, 2)), "only 1 columns of W are independent"),
        (lambda: ae.best_encoder(torch.ones(2, 3)), "columns of W are independent"),
        (lambda: ae.fit_linear(second_moments(), 0), "k must be at least 1"),
        (lambda: ae.principal_angles(line(), torch.eye(3, dtype=F64)), "A and B must have the same shape"),
        (lambda: ae.posterior_mean(torch.zeros(1, 2), torch.zeros(3, 2), 0.0), "noise_sigma must be > 0"),
        (lambda: ae.posterior_mean(torch.full((1, 2), math.inf), torch.zeros(3, 2), 1.0), "noisy has 2 value"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_the_type_checker_would_catch_is_guarded_without_it_too():
    """Readers have no jaxtyping hook: the functions themselves refuse."""
    script = """
import torch
from vae_teach import autoencoder as ae
pictures = lambda n: torch.zeros(n, 1, 28, 28)
calls = {
    "x and x_hat must have the same shape": lambda: ae.squared_error(pictures(2), pictures(1)),
    "images must be floating point": lambda: ae.build().elbo(pictures(1).byte()),
    "images must have shape (batch": lambda: ae.build().reconstruct(pictures(1)[0]),
}
for message, call in calls.items():
    try:
        call()
    except (TypeError, ValueError) as error:
        assert message in str(error), error
    else:
        raise SystemExit("accepted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout

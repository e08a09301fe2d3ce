"""Autoencoders: a picture to a short code and back, and what that is worth.

Axes: B or N images, D = C·H·W pixels, K latent dimensions. Errors are squared
distances, summed over the pixels of an image, in squared grey values.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vae_teach.common import require
from vae_teach.common.train import Bound, Plan, Recipe

DATASET = "mnist"
RECIPE = Recipe(epochs=20, batch_size=128, lr=1e-3)

Images = Float[Tensor, "B C H W"]
Codes = Float[Tensor, "B K"]
Each = Float[Tensor, "B"]
Matrix = Float[Tensor, "_ _"]


class Autoencoder(nn.Module):
    r"""Encoder f, decoder g, and the reconstruction g(f(x)) (autoencoder-halves).

    Args:
        encoder: images ``(B, C, H, W)`` to codes ``(B, K)``.
        decoder: codes to ``(B, C, H, W)``; a sigmoid makes greys of what it puts out.
        latent: K.
        noise_sigma: of the noise on what is seen in training (autoencoder-denoise).
        sparsity: the price of a unit of code (autoencoder-sparse).
    """

    def __init__(self, encoder, decoder, latent: int, noise_sigma=0.0, sparsity=0.0):
        super().__init__()
        self.encoder, self.decoder, self.latent = encoder, decoder, latent
        self.noise_sigma = require.at_least(noise_sigma, 0, "noise_sigma")
        self.sparsity = require.at_least(sparsity, 0, "sparsity")

    def code(self, x: Images) -> Codes:
        """The code z = f(x)."""
        return self.encoder(x)

    def picture(self, z: Codes) -> Images:
        """The picture g(z), greys in (0, 1)."""
        return torch.sigmoid(self.decoder(z))

    @torch.no_grad()
    def reconstruct(self, x: Images) -> Images:
        """The reconstruction g(f(x)), to look at."""
        return self.picture(self.code(require.images(x, "images")))

    def elbo(self, x: Images, beta=1.0, free_bits=0.0, validate=True) -> Bound:
        """What the training loop makes large: minus half the squared error of each.

        Beside it stand the same number, and the price of the code: 0, unless sparse.
        The loop serves later chapters too, hence its words ``elbo`` and ``kl``.
        """
        if free_bits:
            raise ValueError("free_bits must be 0: these codes have no KL.")
        require.images(x, "images") if validate else None
        noisy = self.training and self.noise_sigma > 0
        z = self.code(x + self.noise_sigma * torch.randn_like(x) if noisy else x)
        half = (x - self.picture(z)).square().flatten(1).sum(1) / 2
        price = torch.zeros_like(half)
        if self.sparsity:  # a unit of code costs as much as the stroke that it draws
            price = self.sparsity * z.abs() @ self.decoder[0].weight.norm(dim=0)
        return Bound(-half - beta * price, -half, price)

    def decode(self, z: Codes) -> Distribution:
        """g(z) as the mean of a normal law of deviation 1, as later chapters ask."""
        return Independent(Normal(self.picture(z), 1.0, validate_args=False), 3)

    def posterior(self, x: Images) -> tuple[Codes, Codes]:
        """The code, and the log-variance of a point: minus infinity."""
        return (z := self.code(x)), torch.full_like(z, -math.inf)


def squared_error(x: Images, x_hat: Images) -> Each:
    r""":math:`\lVert x-\hat x\rVert^2`, summed over pixels (autoencoder-error)."""
    require.finite(x, "x"), require.finite(x_hat, "x_hat")
    require.same_shape(x, x_hat, "x and x_hat")
    return (x - x_hat).square().flatten(1).sum(1)


def average(errors: Each) -> tuple[Tensor, Tensor]:
    """Their mean and its standard error (autoencoder-average, autoencoder-variance)."""
    n = require.at_least(require.finite(errors, "errors").numel(), 2, "their number")
    return errors.mean(), errors.std() / math.sqrt(n)


# The linear autoencoder x ↦ W V x, with V (K, D), W (D, K), and data of mean zero.


def principal_axes(cov: Matrix) -> tuple[Matrix, Float[Tensor, "D"]]:
    """Eigenvectors of a covariance as columns, and eigenvalues, largest first."""
    values, vectors = torch.linalg.eigh(_covariance(cov))
    return vectors.flip(1), values.flip(0).clamp(min=0)


def best_encoder(W: Matrix) -> Matrix:
    """The V with the smallest error for a given decoder W (autoencoder-pinv)."""
    if (rank := int(torch.linalg.matrix_rank(require.finite(W, "W")))) < W.shape[1]:
        raise ValueError(f"only {rank} columns of W are independent; keep that many.")
    return torch.linalg.solve(W.mT @ W, W.mT)


def linear_error(cov: Matrix, V: Matrix, W: Matrix) -> Tensor:
    r"""Mean of :math:`\lVert X-WVX\rVert^2` for covariance C (autoencoder-linear)."""
    _covariance(cov), require.finite(V, "V"), require.finite(W, "W")
    require.same_shape(V, W.mT, "V and the transpose of W")
    return _error(cov, V, W)


def _error(cov: Matrix, V: Matrix, W: Matrix) -> Tensor:
    VC = V @ cov
    return cov.trace() - 2 * (VC @ W).trace() + ((W.mT @ W) * (VC @ V.mT)).sum()


def _covariance(cov: Matrix) -> Matrix:
    square = require.finite(cov, "cov").shape[0] == cov.shape[1]
    if not square or not torch.allclose(cov, cov.mT, atol=1e-4) or cov.trace() <= 0:
        raise ValueError("cov must be a covariance: square, symmetric, not all zero.")
    return cov


def fit_linear(cov: Matrix, k: int, steps=500, lr=0.1, seed=0) -> tuple[Matrix, Matrix]:
    """V and W by gradient descent, with momentum, on :func:`linear_error`."""
    largest = float(torch.linalg.eigvalsh(_covariance(cov))[-1])
    generator, d = torch.Generator().manual_seed(seed), len(cov)
    sizes = [(int(require.at_least(k, 1, "k")), d), (d, k)]
    start = [torch.randn(s, generator=generator).to(cov) / d**0.5 for s in sizes]
    V, W = (weights.requires_grad_() for weights in start)
    optimizer = torch.optim.SGD([V, W], lr=lr / largest, momentum=0.9)
    for _ in range(int(require.at_least(steps, 0, "steps"))):
        optimizer.zero_grad()
        _error(cov, V, W).backward()
        optimizer.step()
    return V.detach(), W.detach()


def principal_angles(A: Matrix, B: Matrix) -> Float[Tensor, "_"]:
    """Angles between the spaces of A's and B's columns, radians, largest first."""
    require.same_shape(require.finite(A, "A"), require.finite(B, "B"), "A and B")
    (a, _), (b, _) = torch.linalg.qr(A), torch.linalg.qr(B)
    outside = b - a @ (a.mT @ b)  # what of b lies outside of a: exact for small angles
    return torch.linalg.svdvals(outside).clamp(max=1).asin()


def posterior_mean(noisy: Matrix, clean: Matrix, noise_sigma: float) -> Matrix:
    """E[X | X + σε] if X is any row of ``clean`` (autoencoder-posterior-mean)."""
    require.positive(torch.tensor(float(noise_sigma)), "noise_sigma")
    far = torch.cdist(require.finite(noisy, "noisy"), require.finite(clean, "clean"))
    return torch.softmax(-(far**2) / (2 * noise_sigma**2), 1) @ clean


class Swirl(nn.Module):
    """A bijection of the plane: turn by ``turn`` radians for each unit of radius."""

    def __init__(self, turn: float):
        super().__init__()
        self.turn = turn

    def forward(self, z: Float[Tensor, "B 2"]) -> Float[Tensor, "B 2"]:
        """The turned points. Radii stay, so the inverse is the swirl with -turn."""
        angle, (u, v) = self.turn * z.norm(dim=1), z.unbind(1)
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([cos * u - sin * v, sin * u + cos * v], 1)


def recode(model: Autoencoder, bijection: nn.Module, inverse: nn.Module) -> Autoencoder:
    """The autoencoder of ψ∘f and g∘ψ⁻¹: the same pictures (autoencoder-recode)."""
    f = nn.Sequential(model.encoder, bijection)
    return Autoencoder(f, nn.Sequential(inverse, model.decoder), model.latent)


def mlp_autoencoder(shape=(1, 28, 28), hidden=400, latent=20, **more) -> Autoencoder:
    """One hidden layer each way; ``more`` is ``noise_sigma`` or ``sparsity``."""
    linear, pixels, last = nn.Linear, math.prod(shape), nn.Unflatten(-1, shape)
    f = [nn.Flatten(), linear(pixels, hidden), nn.ReLU(), linear(hidden, latent)]
    g = [linear(latent, hidden), nn.ReLU(), linear(hidden, pixels), last]
    return Autoencoder(nn.Sequential(*f), nn.Sequential(*g), latent, **more)


def build(shape=(1, 28, 28)) -> Autoencoder:
    """The model of this topic for images of this shape."""
    return mlp_autoencoder(shape)


def pocket(shape=(1, 28, 28)) -> Autoencoder:
    """784-128-2: small enough for the chapter's page to carry the decoder."""
    return mlp_autoencoder(shape, hidden=128, latent=2)


POCKET = Plan("mnist", Recipe(epochs=24, batch_size=128, lr=2e-3, seed=4), pocket)

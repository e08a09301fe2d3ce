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

#: What ``vae-teach train autoencoder`` trains, and on what.
DATASET = "mnist"
RECIPE = Recipe(epochs=20, batch_size=128, lr=1e-3)

Images = Float[Tensor, "B C H W"]
Codes = Float[Tensor, "B K"]
Each = Float[Tensor, "B"]
Points = Float[Tensor, "_ _"]
Matrix = Float[Tensor, "_ _"]


class Autoencoder(nn.Module):
    r"""Encoder f, decoder g, and the reconstruction g(f(x)) (autoencoder-halves).

    Args:
        encoder: images ``(B, C, H, W)`` to codes ``(B, K)``.
        decoder: codes to ``(B, C, H, W)``; a sigmoid makes greys of what it puts out.
        latent: K.
        noise: deviation of the noise added to what is seen in training (-denoise).
        sparsity: price of a code, for each unit of length that it draws (-sparse).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent: int,
        noise: float = 0.0,
        sparsity: float = 0.0,
    ):
        super().__init__()
        self.encoder, self.decoder, self.latent = encoder, decoder, latent
        self.noise = require.at_least(noise, 0, "noise")
        self.sparsity = require.at_least(sparsity, 0, "sparsity")

    def code(self, x: Images) -> Codes:
        """The code z = f(x)."""
        return self.encoder(x)

    def picture(self, z: Codes) -> Images:
        """The picture g(z), greys in (0, 1)."""
        return torch.sigmoid(self.decoder(z))

    @torch.no_grad()
    def reconstruct(self, x: Images) -> Images:
        """g(f(x)), to look at."""
        return self.picture(self.code(require.images(x, "images")))

    def elbo(
        self, x: Images, beta: float = 1.0, free_bits: float = 0.0, validate: bool = True
    ) -> Bound:
        r"""What ``train.fit`` makes large: minus half the squared error of each image.

        The other two are minus half the squared error, and the price of the code.
        The loop, written for later chapters, calls them ``elbo`` and ``kl``.
        """
        if validate:
            require.images(x, "images")
        if free_bits:
            raise ValueError("free_bits must be 0: an autoencoder's code has no KL.")
        seen = x + self.noise * torch.randn_like(x) if self.training else x
        z = self.code(seen)
        half = (x - self.picture(z)).square().flatten(1).sum(1) / 2
        price = z.abs() @ self.drawn() if self.sparsity else torch.zeros_like(half)
        return Bound(-half - beta * self.sparsity * price, -half, self.sparsity * price)

    def drawn(self) -> Float[Tensor, "K"]:
        """How long a stroke one unit of each code draws: the norms of W's columns."""
        return self.decoder[0].weight.norm(dim=0)

    def decode(self, z: Codes) -> Distribution:
        """g(z) as the mean of a normal law of deviation 1, as later chapters ask."""
        return Independent(Normal(self.picture(z), 1.0, validate_args=False), 3)

    def posterior(self, x: Images) -> tuple[Codes, Codes]:
        """The code, and the log-variance of a point: minus infinity."""
        z = self.code(x)
        return z, torch.full_like(z, -math.inf)


def squared_error(x: Images, x_hat: Images) -> Each:
    r""":math:`\lVert x-\hat x\rVert^2` of each image, summed over pixels (-error)."""
    require.same_shape(x, x_hat, "x and x_hat")
    return (require.finite(x, "x") - require.finite(x_hat, "x_hat")).square().flatten(1).sum(1)


def average(errors: Each) -> tuple[Tensor, Tensor]:
    """Their mean, and its standard error, deviation over √N (-average, -variance)."""
    require.at_least(len(errors), 2, "the number of errors")
    return require.finite(errors, "errors").mean(), errors.std() / math.sqrt(len(errors))


# The linear autoencoder x ↦ W V x, with V (K, D), W (D, K), and data of mean zero.


def principal_axes(cov: Matrix) -> tuple[Matrix, Float[Tensor, "D"]]:
    """Eigenvectors of a covariance as columns, and eigenvalues, largest first."""
    _covariance(cov)
    values, vectors = torch.linalg.eigh(cov)
    return vectors.flip(1), values.flip(0).clamp(min=0)


def best_encoder(W: Matrix) -> Matrix:
    """The V with the smallest error for a given decoder W (autoencoder-pinv)."""
    square = require.finite(W, "W").mT @ W
    if W.shape[0] < W.shape[1] or torch.linalg.matrix_rank(W) < W.shape[1]:
        raise ValueError("W must have independent columns. Leave out the others.")
    return torch.linalg.solve(square, W.mT)


def linear_error(cov: Matrix, V: Matrix, W: Matrix) -> Tensor:
    r""":math:`E\lVert X-WVX\rVert^2` for X of mean 0, covariance C (-linear)."""
    _covariance(cov), require.finite(V, "V"), require.finite(W, "W")
    require.same_shape(V, W.mT, "V and the transpose of W")
    return _linear_error(cov, V, W)


def _linear_error(cov: Matrix, V: Matrix, W: Matrix) -> Tensor:
    VC = V @ cov
    return cov.trace() - 2 * (VC @ W).trace() + ((W.mT @ W) * (VC @ V.mT)).sum()


def fit_linear(
    cov: Matrix, k: int, steps: int = 2000, lr: float = 0.1, seed: int = 0
) -> tuple[Matrix, Matrix]:
    """V and W by gradient descent with momentum on :func:`linear_error`."""
    scale = torch.linalg.eigvalsh(_covariance(cov))[-1]
    generator = torch.Generator().manual_seed(seed)
    sizes = (int(require.at_least(k, 1, "k")), len(cov)), (len(cov), k)
    both = [torch.randn(s, generator=generator).to(cov) / len(cov) ** 0.5 for s in sizes]
    V, W = (weights.requires_grad_() for weights in both)
    optimizer = torch.optim.SGD([V, W], lr=lr / float(scale), momentum=0.9)
    for _ in range(int(require.at_least(steps, 0, "steps"))):
        optimizer.zero_grad()
        _linear_error(cov, V, W).backward()
        optimizer.step()
    return V.detach(), W.detach()


def principal_angles(A: Matrix, B: Matrix) -> Float[Tensor, "K"]:
    """Angles between the spaces of A's and B's columns, radians, largest first."""
    require.same_shape(require.finite(A, "A"), require.finite(B, "B"), "A and B")
    (a, _), (b, _) = torch.linalg.qr(A), torch.linalg.qr(B)
    # Sines come from what of b lies outside of a: exact for small angles.
    return torch.linalg.svdvals(b - a @ (a.mT @ b)).clamp(max=1).asin()


def _covariance(cov: Matrix) -> Matrix:
    if cov.shape[0] != cov.shape[1] or not torch.allclose(require.finite(cov, "cov"), cov.mT, atol=1e-4):
        raise ValueError(f"cov must be square and symmetric, got shape {tuple(cov.shape)}.")
    return cov


def posterior_mean(noisy: Points, clean: Points, noise: float) -> Points:
    """E[X | X + noise·ε] if X is one of the rows of ``clean`` (-posterior-mean)."""
    require.finite(noisy, "noisy"), require.finite(clean, "clean")
    require.positive(torch.tensor(float(noise)), "noise")
    far = torch.cdist(noisy, clean, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.softmax(-(far**2) / (2 * noise**2), 1) @ clean


class Swirl(nn.Module):
    """A bijection of the plane: turn a point by an angle that grows with its radius."""

    def __init__(self, turn: float):
        super().__init__()
        self.turn = turn  # radians for each unit of radius; minus it turns back

    def forward(self, z: Float[Tensor, "B 2"]) -> Float[Tensor, "B 2"]:
        """The turned points; the radius stays, so this undoes itself with -turn."""
        cos, sin = (f(self.turn * z.norm(dim=1)) for f in (torch.cos, torch.sin))
        return torch.stack([cos * z[:, 0] - sin * z[:, 1], sin * z[:, 0] + cos * z[:, 1]], 1)


def recode(model: Autoencoder, h: nn.Module, back: nn.Module) -> Autoencoder:
    """The autoencoder with h∘f and g∘h⁻¹: the same pictures (autoencoder-recode)."""
    encoder, decoder = nn.Sequential(model.encoder, h), nn.Sequential(back, model.decoder)
    return Autoencoder(encoder, decoder, model.latent)


def nearest(z: Points, codes: Points) -> Float[Tensor, "N"]:
    """The distance of each point to the nearest of the codes."""
    return torch.cdist(require.finite(z, "z"), require.finite(codes, "codes")).amin(1)


def mlp_autoencoder(
    shape: tuple[int, ...] = (1, 28, 28), hidden: int = 400, latent: int = 20, **relative
) -> Autoencoder:
    """One hidden layer each way; ``relative`` is ``noise`` or ``sparsity``."""
    pixels = math.prod(shape)
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, latent)
    )
    decoder = nn.Sequential(
        nn.Linear(latent, hidden),
        nn.ReLU(),
        nn.Linear(hidden, pixels),
        nn.Unflatten(-1, shape),
    )
    return Autoencoder(encoder, decoder, latent, **relative)


def build(shape: tuple[int, ...] = (1, 28, 28)) -> Autoencoder:
    """The model of this topic for images of this shape."""
    return mlp_autoencoder(shape)


def pocket(shape: tuple[int, ...] = (1, 28, 28)) -> Autoencoder:
    """784-128-2: small enough for the chapter's page to carry the decoder."""
    return mlp_autoencoder(shape, hidden=128, latent=2)


POCKET = Plan("mnist", Recipe(epochs=24, batch_size=128, lr=2e-3, seed=4), pocket)

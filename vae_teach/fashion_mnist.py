"""The capstone: a convolutional VAE on Fashion-MNIST, by the recipe that circulates.

The recipe is read as what it is: a Gaussian decoder of known width, trained on the
ELBO at beta = 1. Axes: B images, K latent dimensions, D = 784 pixels; images are
(B, 1, 28, 28) in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vae_teach.common.likelihood import Likelihood, gaussian, mean_of_levels
from vae_teach.common.train import Plan, Recipe
from vae_teach.kl import kl_standard_normal
from vae_teach.vae import VAE, check_images

#: What ``vae-teach train fashion_mnist`` trains, and on what.
DATASET = "fashion_mnist"
KL_WEIGHT = 1e-4
RECIPE = Recipe(
    epochs=400,
    batch_size=256,
    lr=1e-4,
    weight_decay=1e-4,
    loss_scale=KL_WEIGHT,
    precision="bfloat16",
)

CHANNELS = (32, 64, 128, 256, 512)
STRIDES = (2, 2, 2, 2, 1)  # 28 → 14 → 7 → 4 → 2 → 2


def recipe_loss(
    y: Float[Tensor, "B C H W"],
    y_hat: Float[Tensor, "B C H W"],
    mu: Float[Tensor, "B K"],
    log_var: Float[Tensor, "B K"],
    kl_weight: float = KL_WEIGHT,
) -> Float[Tensor, ""]:
    """The loss as it circulates (fashion-mnist-loss): one number, no unit.

    Args:
        y, y_hat: images and reconstructions (from a Tanh) in [-1, 1].
        kl_weight: the factor in front of the KL, in nats an image.
    """
    error = F.mse_loss(y_hat, y)  # mean over batch and pixels
    return error + kl_weight * kl_standard_normal(mu, log_var).mean()


def sigma_of_weight(kl_weight: float, pixels: int = 784) -> float:
    r"""The decoder's standard deviation that a KL weight means.

    :func:`recipe_loss` with weight :math:`\lambda` is :math:`-\lambda` times
    the ELBO, up to a constant, when :math:`\sigma_y^2=\lambda D/2`
    (fashion-mnist-sigma). That is for pixels :math:`y=2x-1`; in [0, 1] units,
    which are returned, sigma is half as large.

    Raises:
        ValueError: the weight or the number of pixels is not positive.
    """
    _check_weight(kl_weight, pixels)
    return math.sqrt(kl_weight * pixels / 2) / 2


def loss_offset(kl_weight: float, pixels: int = 784) -> float:
    r"""What :func:`recipe_loss` holds besides :math:`-\lambda` ELBO: a constant.

    It is :math:`-\lambda\frac D2\ln2\pi\sigma^2` (fashion-mnist-identity). The ELBO is
    that of images in [0, 1], and sigma comes from :func:`sigma_of_weight`.

    Raises:
        ValueError: the weight or the number of pixels is not positive.
    """
    variance = sigma_of_weight(kl_weight, pixels) ** 2
    return -kl_weight * pixels / 2 * math.log(2 * math.pi * variance)


def _check_weight(kl_weight: float, pixels: int) -> None:
    if not (0 < kl_weight < math.inf and pixels >= 1):
        raise ValueError(
            f"kl_weight and pixels must be positive, got {kl_weight!r} and {pixels!r}."
        )


class ConvEncoder(nn.Sequential):
    """28 → 14 → 7 → 4 → 2 → 2, then mu beside log_var, ``(B, 2K)``."""

    def __init__(self, latent: int, widths: tuple[int, ...] = CHANNELS):
        layers, width = [Rescale(2.0, -1.0)], 1  # [0, 1] to [-1, 1]
        for channels, stride in zip(widths, STRIDES):
            layers += [
                nn.Conv2d(width, channels, 3, stride, padding=1),
                nn.BatchNorm2d(channels),
                nn.LeakyReLU(),
            ]
            width = channels
        head = nn.Linear(width * 4, 2 * latent)
        super().__init__(*layers, nn.Flatten(), head)


class ConvDecoder(nn.Sequential):
    """The mirror, 2 → 2 → 4 → 7 → 14 → 28; puts out ``(B, P, 28, 28)``.

    The last Rescale is the recipe's Tanh in disguise: (tanh a + 1) / 2 is
    sigmoid(2a), and the likelihood applies the sigmoid.
    """

    def __init__(
        self, latent: int, n_params: int, widths: tuple[int, ...] = CHANNELS
    ):
        widths = (*widths[::-1], widths[0])
        strides, extras = STRIDES[::-1], (0, 1, 0, 1, 1)  # 4 → 7, not 4 → 8
        layers = [nn.Linear(latent, widths[0] * 4), nn.Unflatten(1, (-1, 2, 2))]
        for i, (stride, extra) in enumerate(zip(strides, extras)):
            before, after = widths[i : i + 2]
            layers += [
                nn.ConvTranspose2d(before, after, 3, stride, 1, extra),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(),
            ]
        last = nn.Conv2d(widths[-1], n_params, 3, padding=1)
        super().__init__(*layers, last, Rescale(2.0, 0.0))


class Rescale(nn.Module):
    """``scale * x + shift``."""

    def __init__(self, scale: float, shift: float):
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x):
        return self.scale * x + self.shift


def conv_vae(
    latent: int = 64,
    likelihood: Likelihood | None = None,
    widths: tuple[int, ...] = CHANNELS,
) -> VAE:
    """The convolutional VAE; by default the Gaussian that ``KL_WEIGHT`` means.

    Args:
        widths: channels of the five convolutions of the encoder.
    """
    likelihood = likelihood or gaussian(sigma_of_weight(KL_WEIGHT))
    decoder = ConvDecoder(latent, likelihood.n_params, widths)
    return VAE(ConvEncoder(latent, widths), decoder, likelihood, latent)


def build(shape: tuple[int, ...] = (1, 28, 28)) -> VAE:
    """The model of this topic; its convolutions are laid out for 28×28 grey images.

    Raises:
        ValueError: another shape.
    """
    if tuple(shape) != (1, 28, 28):
        raise ValueError(
            f"this model takes grey images of shape (1, 28, 28), got {tuple(shape)}."
        )
    return conv_vae()


def pocket(shape: tuple[int, ...] = (1, 28, 28)) -> VAE:
    """A quarter of the channels and of the latents: the page carries the decoder."""
    return conv_vae(16, widths=tuple(width // 4 for width in CHANNELS))


POCKET = Plan(
    DATASET, replace(RECIPE, epochs=40, lr=1e-3, precision="float32"), pocket
)


def layer_shapes(network: nn.Module, x: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """What each layer with weights, but BatchNorm, makes of ``x``: its name and shape.

    Shapes are those of one example. The network is run once, in evaluation mode.
    """
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    shapes = []

    def note(layer, _, out):
        shapes.append((type(layer).__name__, tuple(out.shape[1:])))

    layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(x)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return shapes


@torch.no_grad()
def best_sigma(model: VAE, x: Float[Tensor, "B C H W"]) -> float:
    r"""The Gaussian width with the highest ELBO on ``x``, networks unchanged.

    It is the root mean square of :math:`x-\hat x` over pixels, images and
    :math:`z\sim q_\phi(z\mid x)` (fashion-mnist-best-sigma), in [0, 1] pixel units.

    Raises:
        TypeError, ValueError: ``x`` is no float image batch in [0, 1].
    """
    x_hat = model.decode(model.encode(check_images(x)).sample()).mean
    return math.sqrt(F.mse_loss(x_hat, x).item())


class BinnedNormal(Normal):
    r"""A Gaussian cut into 256 bins, one a grey level (fashion-mnist-bins).

    The bins are 1/255 wide; the first and the last reach to infinity, so that
    the probabilities of the levels sum to one.
    """

    @property
    def mean(self) -> Tensor:
        ndtr = torch.special.ndtr
        return mean_of_levels(lambda edge: ndtr((self.loc - edge) / self.scale))

    def log_prob(self, value: Tensor) -> Tensor:
        upper = (value + 1 / 510 - self.loc) / self.scale
        lower = (value - 1 / 510 - self.loc) / self.scale
        # Φ(b) - Φ(a) = Φ(-a) - Φ(-b): take the side on which neither is near 1.
        a = torch.special.log_ndtr(torch.where(lower > 0, -upper, lower))
        b = torch.special.log_ndtr(torch.where(lower > 0, -lower, upper))
        inside = b + torch.log(-torch.expm1(a - b))
        first, last = value < 1 / 510, value > 1 - 1 / 510
        outer = torch.special.log_ndtr(torch.where(first, upper, -lower))
        return torch.where(first | last, outer, inside)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return (super().sample(sample_shape).clamp(0, 1) * 255).round() / 255


def binned_gaussian(sigma: float) -> Likelihood:
    """The probability of each grey level under ``gaussian(sigma)``.

    It reads the same decoder output.

    Raises:
        ValueError: sigma is not a positive standard deviation.
    """
    density = gaussian(sigma)

    def distribution(out: Tensor) -> Independent:
        normal = density.distribution(out).base_dist
        binned = BinnedNormal(normal.loc, normal.scale, validate_args=False)
        return Independent(binned, 3)

    return Likelihood("binned_gaussian", 1, distribution, is_density=False)


def bits_per_dim(elbo: float, pixels: int = 784) -> float:
    r"""Bits a pixel (fashion-mnist-bits) for a log-probability in nats an image."""
    return -elbo / (pixels * math.log(2))

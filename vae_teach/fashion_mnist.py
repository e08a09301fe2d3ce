"""The capstone: a convolutional VAE on Fashion-MNIST, by the recipe that circulates, read as the Gaussian model it is.

Axes: B images, K latent dimensions; images are (B, 1, 28, 28) in [0, 1].
"""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path

from torch import nn

from vae_teach.common import checkpoint
from vae_teach.common.likelihood import Likelihood, gaussian
from vae_teach.common.train import History, Recipe
from vae_teach.vae import VAE

#: What ``vae-teach train fashion_mnist`` trains, and on what.
DATASET = "fashion_mnist"
KL_WEIGHT = 1e-4
RECIPE = Recipe(epochs=400, batch_size=256, lr=1e-4, weight_decay=1e-4, loss_scale=KL_WEIGHT, precision="bfloat16")

CHANNELS = (32, 64, 128, 256, 512)
STRIDES = (2, 2, 2, 2, 1)  # 28 → 14 → 7 → 4 → 2 → 2


def sigma_of_weight(kl_weight: float, pixels: int = 784) -> float:
    r"""The decoder's standard deviation, in [0, 1] pixel units, that a KL weight stands for.

    The recipe minimises :math:`\frac1D\lVert y-\hat y\rVert^2+\lambda\,\mathrm{KL}` with pixels :math:`y=2x-1`. That is
    :math:`\lambda` times the negative ELBO of :math:`\mathcal N(y;\hat y,\sigma_y^2I)`, up to a constant, when
    :math:`\sigma_y^2=\lambda D/2`; halving the pixel range halves sigma.

    Raises:
        ValueError: the weight or the number of pixels is not positive.
    """
    if not (0 < kl_weight < math.inf and pixels >= 1):
        raise ValueError(f"kl_weight and pixels must be positive, got {kl_weight!r} and {pixels!r}.")
    return math.sqrt(kl_weight * pixels / 2) / 2


class ConvEncoder(nn.Sequential):
    """Five convolutions 28 → 14 → 7 → 4 → 2 → 2, then mu and log_var side by side, ``(B, 2K)``."""

    def __init__(self, latent: int):
        layers, width = [], 1
        for channels, stride in zip(CHANNELS, STRIDES):
            layers += [nn.Conv2d(width, channels, 3, stride, padding=1), nn.BatchNorm2d(channels), nn.LeakyReLU()]
            width = channels
        super().__init__(Rescale(2.0, -1.0), *layers, nn.Flatten(), nn.Linear(width * 4, 2 * latent))


class ConvDecoder(nn.Sequential):
    """The mirror: 2 → 2 → 4 → 7 → 14 → 28 by transposed convolutions, ``(B, P, 28, 28)``.

    The last Rescale is the recipe's Tanh in disguise: (tanh a + 1) / 2 = sigmoid(2a), and the likelihood applies the sigmoid.
    """

    def __init__(self, latent: int, n_params: int):
        widths = CHANNELS[::-1]
        layers = [nn.Linear(latent, widths[0] * 4), nn.Unflatten(1, (widths[0], 2, 2))]
        for before, after, stride, extra in zip(widths, (*widths[1:], widths[-1]), STRIDES[::-1], (0, 1, 0, 1, 1)):
            layers += [nn.ConvTranspose2d(before, after, 3, stride, padding=1, output_padding=extra), nn.BatchNorm2d(after), nn.LeakyReLU()]
        super().__init__(*layers, nn.Conv2d(widths[-1], n_params, 3, padding=1), Rescale(2.0, 0.0))


class Rescale(nn.Module):
    """``scale * x + shift``."""

    def __init__(self, scale: float, shift: float):
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x):
        return self.scale * x + self.shift


def conv_vae(latent: int = 64, likelihood: Likelihood | None = None) -> VAE:
    """The convolutional VAE; by default with the Gaussian that :data:`KL_WEIGHT` stands for."""
    likelihood = likelihood or gaussian(sigma_of_weight(KL_WEIGHT))
    return VAE(ConvEncoder(latent), ConvDecoder(latent, likelihood.n_params), likelihood, latent)


def build(shape: tuple[int, ...] = (1, 28, 28)) -> VAE:
    """The model of this topic; its convolutions are laid out for 28×28 grey images."""
    if tuple(shape) != (1, 28, 28):
        raise ValueError(f"this model takes grey 28×28 images, shape (1, 28, 28), got {tuple(shape)}.")
    return conv_vae()


def shipped() -> Path:
    """The folder of results that comes with the course: weights, recipe, history, sample grids."""
    return Path(str(files("vae_teach") / "results" / "fashion_mnist"))


def pretrained() -> tuple[VAE, History, dict]:
    """The trained model that comes with the course (in evaluation mode), its history and the facts of its training."""
    model = conv_vae()
    facts = checkpoint.restore(shipped() / "weights.safetensors", model)
    return model.eval(), History.load(shipped() / "history.json"), facts

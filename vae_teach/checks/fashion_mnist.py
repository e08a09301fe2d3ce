"""Checks for the exercises on the Fashion-MNIST recipe."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vae_teach import fashion_mnist as fm
from vae_teach import vae
from vae_teach.checks import Case, Mistake, Question
from vae_teach.common.likelihood import bernoulli
from vae_teach.kl import kl_standard_normal

SIDE, CHANNELS, WEIGHT = 64, 3, 2e-5  # the colour recipe of question 1
SIGMA = fm.sigma_of_weight(WEIGHT, CHANNELS * SIDE**2)


def _recipes(rng: np.random.Generator) -> list[Case]:
    """A KL weight, a number of pixels, and the width somebody declares."""
    return [
        {
            "kl_weight": float(10 ** rng.uniform(-3.5, -2)),
            "pixels": int(rng.integers(200, 4000)),
            "sigma": float(rng.uniform(0.03, 0.3)),
        }
        for _ in range(4)
    ]


def _batches(rng: np.random.Generator) -> list[Case]:
    """Images 0…255, what a decoder puts out before its Tanh, and posteriors."""
    cases = []
    for b, side, k in [(4, 5, 3), (2, 7, 6), (int(rng.integers(3, 7)), 6, 4)]:
        cases.append(
            {
                "images": torch.tensor(rng.integers(0, 256, (b, 1, side, side)), dtype=torch.uint8),
                "a": torch.tensor(rng.normal(size=(b, 1, side, side)), dtype=torch.float32),
                "mu": torch.tensor(rng.normal(size=(b, k)), dtype=torch.float32),
                "log_var": torch.tensor(rng.normal(size=(b, k)), dtype=torch.float32),
                "kl_weight": float(rng.uniform(0.02, 0.1)),
            }
        )
    return cases


class _Small(vae.VAE):
    """A VAE of a few pixels with BatchNorm in its decoder, in training mode."""

    def __init__(self, height: int, width: int, latent: int):
        pixels = height * width
        norm = nn.BatchNorm1d(pixels)
        norm.running_mean.normal_(), norm.running_var.uniform_(0.3, 2.0)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2 * latent))
        decoder = nn.Sequential(nn.Linear(latent, pixels), norm, nn.Unflatten(1, (1, height, width)))
        super().__init__(encoder, decoder, bernoulli(), latent)

    def __repr__(self) -> str:
        return "a small VAE with BatchNorm"


def _models(rng: np.random.Generator) -> list[Case]:
    cases = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        for height, width, latent in [(4, 6, 3), (5, 3, 8), (6, 6, 2)]:
            cases.append({"model": _Small(height, width, latent), "z": torch.randn(25, latent)})
    return cases


def _beta(kl_weight, pixels, sigma):
    return kl_weight * pixels / (8 * sigma**2)


def _pixels(images):
    return images.float() / 127.5 - 1


def _kl(mu, log_var):
    return kl_standard_normal(mu, log_var).mean()


def _loss(images, a, mu, log_var, kl_weight):
    return fm.recipe_loss(_pixels(images), torch.tanh(a), mu, log_var, kl_weight)


@torch.no_grad()
def _means(model, z):
    return model.eval().decode(z).mean[:, 0]


@torch.no_grad()
def _means_in_training_mode(model, z):
    # A copy, as a forward pass in training mode changes the running averages.
    return copy.deepcopy(model).train().decode(z).mean[:, 0]


def _tile(pictures):
    n, height, width = pictures.shape
    return pictures.reshape(5, 5, height, width).swapaxes(1, 2).reshape(5 * height, 5 * width)


def _tile_by_columns(pictures):
    return _tile(pictures.reshape(5, 5, *pictures.shape[1:]).swapaxes(0, 1).flatten(0, 1))


@torch.no_grad()
def _encoded_again(model, z):
    pictures = model.eval().decode(z).mean
    return _tile(model.reconstruct(pictures)[:, 0])


@torch.no_grad()
def _before_the_sigmoid(model, z):
    return _tile(model.eval().decoder(z)[:, 0])


QUESTIONS = {
    "q1": Question(
        name="sigma_value",
        answer=SIGMA,
        mistakes=[
            Mistake(
                2 * SIGMA,
                "this is the width in the units of [−1, 1]. The range from black to white is 2 there and 1 here.",
            ),
            Mistake(
                (2 * SIGMA) ** 2,
                "this is the variance λD/2, and in the units of [−1, 1]. Take its root, then change the range.",
            ),
            Mistake(
                SIGMA**2,
                "this is a variance. The question asks for the standard deviation.",
            ),
            Mistake(
                fm.sigma_of_weight(WEIGHT, SIDE**2),
                "the mean runs over all numbers of a picture, the three colours too: D is three times yours.",
            ),
            Mistake(
                math.sqrt(2) * SIGMA,
                "the 2 of 2σ² is lost: squared error stands over twice the variance in a Gaussian.",
            ),
            Mistake(
                4 * SIGMA,
                "you doubled where the range halves: pixels in [0, 1] are less spread out than in [−1, 1].",
            ),
            Mistake(
                math.sqrt(WEIGHT / 2) / 2,
                "D is missing. The error is a mean over D numbers, so one number's error enters divided by D.",
            ),
        ],
        hints=(
            "Write the loss as λ times (something times the summed squared error, plus the KL).",
            "That something must be one over twice a variance. Then go from [−1, 1] to [0, 1].",
            "Equations fashion-mnist-identity and fashion-mnist-sigma in the chapter.",
        ),
        tolerance=1e-3,
    ),
    "q2": Question(
        name="beta_of",
        cases=_recipes,
        answer=_beta,
        mistakes=[
            Mistake(
                lambda kl_weight, pixels, sigma: kl_weight * pixels / (2 * sigma**2),
                "sigma is in the units of [0, 1], the loss in those of [−1, 1]: change the range of one of them.",
            ),
            Mistake(
                lambda kl_weight, pixels, sigma: kl_weight * pixels / (4 * sigma**2),
                "the 2 of 2σ² in the Gaussian's log-density is lost.",
            ),
            Mistake(
                lambda kl_weight, pixels, sigma: kl_weight / (8 * sigma**2),
                "the number of pixels is missing: the loss averages the error over them, a log-density sums it.",
            ),
            Mistake(
                lambda kl_weight, pixels, sigma: kl_weight * pixels / (8 * sigma),
                "sigma is a standard deviation; the log-density has its square.",
            ),
            Mistake(
                lambda kl_weight, pixels, sigma: 8 * sigma**2 / (kl_weight * pixels),
                "this is one over β: a larger KL weight must give a larger β.",
            ),
            Mistake(
                lambda kl_weight, pixels, sigma: kl_weight,
                "that is the weight as written. β is relative to the likelihood that the question declares.",
            ),
            Mistake(
                lambda kl_weight, pixels, sigma: kl_weight * pixels / 2,
                "that is β for a decoder of width one in [−1, 1]; the width is given here.",
            ),
        ],
        hints=(
            "Multiply the loss by a factor such that its error term becomes that of the declared Gaussian. What has the KL become?",
            "In [−1, 1] the declared width is twice as large.",
            "Section “Three readings of one loss” in the chapter.",
        ),
    ),
    "q3": Question(
        name="loss_from_images",
        cases=_batches,
        answer=_loss,
        mistakes=[
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(torch.tanh(a), images.float() / 255) + kl_weight * _kl(mu, log_var),
                "your pixels are in [0, 1], your output in [−1, 1]: half of the Tanh is never wanted. Scale the pixels to match.",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(torch.tanh(a), images.float()) + kl_weight * _kl(mu, log_var),
                "your pixels still run from 0 to 255. Scale them to the range of the Tanh.",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(torch.sigmoid(a), _pixels(images)) + kl_weight * _kl(mu, log_var),
                "a sigmoid ends in [0, 1], and your pixels begin at −1: no black can be reached. The recipe ends in a Tanh.",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(a, _pixels(images)) + kl_weight * _kl(mu, log_var),
                "`a` is what comes before the Tanh; it knows no bounds yet.",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: (torch.tanh(a) - _pixels(images)).square().sum() / len(a) + kl_weight * _kl(mu, log_var),
                "you sum the error over the pixels; the recipe takes the mean. Beside the same KL weight this is another β.",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(torch.tanh(a), _pixels(images)) / 2 + kl_weight * _kl(mu, log_var),
                "the recipe has no 1/2 before the error.",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(torch.tanh(a), _pixels(images)) + kl_weight * _kl(mu, log_var) / mu.shape[1],
                "your KL is averaged over the latent dimensions; it is a sum over them.",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(torch.tanh(a), _pixels(images)) + kl_weight * _kl(mu, log_var) * len(mu),
                "your KL is summed over the batch: its weight grows with the batch. Take the mean over images.",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(torch.tanh(a), _pixels(images)) + kl_weight * _kl(mu, 2 * log_var),
                "you read log_var as ln σ; it is ln σ².",
            ),
            Mistake(
                lambda images, a, mu, log_var, kl_weight: F.mse_loss(torch.tanh(a), _pixels(images)) - kl_weight * _kl(mu, log_var),
                "the sign of the KL is flipped. It is a cost: a loss adds it.",
            ),
        ],
        hints=(
            "Three steps: bring the images to the range of the output, compare, add the weighted KL.",
            "0 must become −1 and 255 must become 1.",
            "Equations fashion-mnist-scale and fashion-mnist-loss in the chapter.",
        ),
    ),
    "q4": Question(
        name="prior_grid",
        cases=_models,
        answer=lambda model, z: _tile(_means(model, z)),
        mistakes=[
            Mistake(
                lambda model, z: _tile(_means_in_training_mode(model, z)),
                "the model is still in training mode: BatchNorm uses these 25 codes' own mean and variance. Call eval() first.",
            ),
            Mistake(
                lambda model, z: _tile_by_columns(_means(model, z)),
                "your grid runs down the columns; the second picture belongs to the right of the first.",
            ),
            Mistake(
                _before_the_sigmoid,
                "these are the decoder's raw numbers. The picture is the mean of p(x|z): model.decode(z).mean.",
            ),
            Mistake(
                _encoded_again,
                "you send something through the encoder. Sampling from the prior needs the decoder alone.",
            ),
            Mistake(
                lambda model, z: 255 * _tile(_means(model, z)),
                "your grid runs to 255; floats in [0, 1] are asked for.",
            ),
            Mistake(
                lambda model, z: 2 * _tile(_means(model, z)) - 1,
                "your grid is in [−1, 1]; [0, 1] is asked for. In this package decode already gives that.",
            ),
        ],
        hints=(
            "Mode, mean, tiles: three lines.",
            "reshape to (5, 5, H, W), swap the two axes in the middle, reshape to (5H, 5W).",
            "Section “BatchNorm” in the chapter, and runs.mosaic in the package.",
        ),
    ),
    "q5": Question(
        name="prediction",
        answer="b",
        mistakes=[
            Mistake("a", "the mean hides it: a mean over four times as many pixels counts each pixel a quarter as much, while the KL counts as before."),
            Mistake("c", "the other way round. What happens to λD/2 when D grows?"),
            Mistake("d", "for the Gaussian that the loss stands for, β is 1 whatever λ and D are. Another number moves."),
        ],
        hints=(
            "Which number of the model does the product of λ and D fix?",
            "Side twice as long: D four times as large. Then take a root.",
            "Equation fashion-mnist-sigma in the chapter.",
        ),
    ),
}

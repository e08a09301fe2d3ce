"""Checks for the exercises on pitfalls."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach import pitfalls
from vae_teach.checks import Case, Mistake, Question
from vae_teach.kl import kl_standard_normal


def _outputs(rng: np.random.Generator) -> list[Case]:
    """What a VAE's networks put out for a batch of black-and-white pictures; no two sizes alike."""
    cases = []
    for images, pixels, latent in [(3, 7, 2), (2, 11, 5), (int(rng.integers(4, 7)), 13, 3)]:
        cases.append(
            {
                "x": torch.tensor(rng.integers(0, 2, (images, pixels)).astype(float)),
                "logits": torch.tensor(rng.normal(size=(images, pixels))),
                "mu": torch.tensor(rng.normal(size=(images, latent))),
                "log_var": torch.tensor(rng.normal(size=(images, latent))),
            }
        )
    return cases


def _batches(rng: np.random.Generator) -> list[Case]:
    """Means of batches and their sizes, the last batch smaller."""
    return [
        {
            "means": torch.tensor(rng.uniform(80, 160, n)),
            "sizes": torch.tensor([128.0] * (n - 1) + [float(rng.integers(3, 90))], dtype=torch.float64),
        }
        for n in (2, 5, int(rng.integers(6, 12)))
    ]


def _pictures(rng: np.random.Generator) -> list[Case]:
    """Grey pictures, reconstructions and a width other than one."""
    return [
        {
            "x": torch.tensor(rng.uniform(size=(images, pixels))),
            "x_hat": torch.tensor(rng.uniform(size=(images, pixels))),
            "sigma": float(rng.uniform(0.15, 0.6)),
        }
        for images, pixels in [(3, 7), (1, 12), (int(rng.integers(4, 9)), 5)]
    ]


def _error(x, logits):
    return pitfalls.cross_entropy_loss(x, logits)


def _loss(x, logits, mu, log_var):
    return _error(x, logits) + kl_standard_normal(mu, log_var)


def _average(means, sizes):
    return (means * sizes).sum() / sizes.sum()


def _bits(x, x_hat, sigma, constant=None):
    constant = math.log(2 * math.pi * sigma**2) if constant is None else constant
    return ((x - x_hat) ** 2 / sigma**2 + constant).mean(-1) / (2 * math.log(2))


_F = (math.exp(-4) - math.exp(-2) + 2) / 2  # f(-2)

QUESTIONS = {
    "q1": Question(
        name="overcharge",
        answer=8 * _F,
        mistakes=[
            Mistake(_F, "that is one dimension; a KL is a sum over all eight."),
            Mistake(4 * (math.exp(-4) + 3), "that is the wrong KL itself. Asked is by how much it is too large."),
            Mistake(4 * (math.exp(-2) + 1), "that is the right KL. Asked is by how much the wrong one is larger."),
            Mistake(-8 * _F, "the sign is turned: wrong minus right is asked, and the wrong KL is too dear."),
            Mistake(16 * _F, "the factor ½ of the KL is lost."),
            Mistake(4 * (math.exp(4) - math.exp(2) - 2), "you put in +2. A log-variance of −2 is a narrow posterior."),
            Mistake(8 * _F / math.log(2), "this is in bits; nats are asked for."),
        ],
        hints=(
            "Write the right KL of one dimension with s = ln σ², and the wrong one with 2s in its two places.",
            "Subtract; μ² and 1 cancel. Then put in s = −2, and add up eight dimensions.",
            "Equation pitfalls-log-sigma in the chapter.",
        ),
        tolerance=2e-3,
    ),
    "q2": Question(
        name="mended_loss",
        cases=_outputs,
        answer=_loss,
        mistakes=[
            Mistake(
                lambda x, logits, mu, log_var: _error(2 * x - 1, logits) + kl_standard_normal(mu, log_var),
                "the targets are still in [-1, 1]; cross-entropy is for pixels from 0 to 1.",
            ),
            Mistake(
                lambda x, logits, mu, log_var: _error(x, logits) / x.shape[-1] + kl_standard_normal(mu, log_var),
                "the error is still averaged over pixels: a hidden β of D.",
            ),
            Mistake(
                lambda x, logits, mu, log_var: _error(x, logits) + pitfalls.kl_squared_variance(mu, log_var),
                "exp(log_var) is still squared; it is σ² already.",
            ),
            Mistake(
                lambda x, logits, mu, log_var: _error(x, logits) + kl_standard_normal(mu, log_var) / mu.shape[-1],
                "the KL is still averaged over latent dimensions: a hidden β of 1/K.",
            ),
            Mistake(
                lambda x, logits, mu, log_var: _error(x, logits) - kl_standard_normal(mu, log_var),
                "the KL has the wrong sign: a loss pays for it.",
            ),
            Mistake(
                lambda x, logits, mu, log_var: _loss(x, logits, mu, log_var).mean(),
                "you average over the batch too; one number an image is asked for.",
            ),
            Mistake(
                lambda x, logits, mu, log_var: _error(x, logits) + pitfalls.kl_log_sigma(mu, log_var),
                "log_var is now read as ln σ. It is ln σ², here as everywhere.",
            ),
            Mistake(
                lambda x, logits, mu, log_var: _error(x, logits) + 2 * kl_standard_normal(mu, log_var),
                "the factor ½ of the KL is lost.",
            ),
        ],
        hints=(
            "Check each term alone: first the range of the targets, then what is summed and what is averaged.",
            "One number an image: reduce over the last axis only, by a sum, in both terms.",
            "Sections “Wrong KL”, “Wrong likelihood” and “Wrong sums” of the chapter.",
        ),
    ),
    "q3": Question(
        name="epoch_average",
        cases=_batches,
        answer=_average,
        mistakes=[
            Mistake(lambda means, sizes: means.mean(), "the last, smaller batch counts as much as a full one: weigh the means by their sizes."),
            Mistake(lambda means, sizes: means.sum() / sizes.sum(), "a sum of means over the number of images: too small by the batch size."),
            Mistake(lambda means, sizes: (means * sizes).sum() / len(means), "a sum over images divided by the number of batches."),
            Mistake(lambda means, sizes: means[:-1].mean(), "the last batch is thrown away; its images belong to the average."),
            Mistake(lambda means, sizes: (means * sizes).sum(), "that is the total over all images; divide it by their number."),
        ],
        hints=(
            "What is the sum of the losses of all images of one batch, given its mean and its size?",
            "Add these sums up, then divide once, by the number of images.",
            "Equation pitfalls-count in the chapter.",
        ),
    ),
    "q4": Question(
        name="prediction",
        answer="b",
        mistakes=[
            Mistake("a", "leaving out the draws leaves out the mean of a square; that is not zero."),
            Mistake("c", "the reconstruction at the mean is better than the average one, not worse."),
            Mistake("d", "each latent dimension adds ½(1 − 1/κ) nats, whatever the number of pixels."),
        ],
        hints=(
            "Which reconstructs better: the best code, or draws around it?",
            "Each dimension adds ½(1 − 1/κ). What is the most that four of them can add?",
            "Equation pitfalls-at-mean in the chapter.",
        ),
    ),
    "q5": Question(
        name="bits_per_pixel",
        cases=_pictures,
        answer=_bits,
        mistakes=[
            Mistake(lambda x, x_hat, sigma: _bits(x, x_hat, sigma, 0.0), "the normaliser ln 2πσ² is missing: a number that compares with nothing."),
            Mistake(
                lambda x, x_hat, sigma: _bits(x, x_hat, sigma, x.shape[-1] * math.log(2 * math.pi * sigma**2)),
                "the constant of all pixels stands in every pixel: D² in place of D.",
            ),
            Mistake(lambda x, x_hat, sigma: _bits(x, x_hat, sigma) * math.log(2), "this is in nats; bits are asked for."),
            Mistake(lambda x, x_hat, sigma: _bits(x, x_hat, sigma) * x.shape[-1], "these are the bits of an image; divide by its pixels."),
            Mistake(lambda x, x_hat, sigma: -_bits(x, x_hat, sigma), "the sign is turned: bits are minus the log-density."),
            Mistake(lambda x, x_hat, sigma: _bits(x, x_hat, math.sqrt(sigma)), "sigma is a standard deviation; you used it as a variance."),
            Mistake(
                lambda x, x_hat, sigma: ((x - x_hat) ** 2 / sigma**2 + math.log(2 * math.pi * sigma**2) / 2).mean(-1) / math.log(2),
                "the ½ of the squared error is lost.",
            ),
            Mistake(lambda x, x_hat, sigma: _bits(x, x_hat, sigma).mean(), "you average over the batch too; one number an image is asked for."),
        ],
        hints=(
            "Start from the log-density of one pixel: a square over 2σ², and a constant.",
            "Minus that, averaged over pixels, divided by ln 2.",
            "Equation pitfalls-normaliser in the chapter.",
        ),
    ),
}

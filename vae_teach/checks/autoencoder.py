"""Checks for the exercises on autoencoders."""

from __future__ import annotations

import numpy as np
import torch

from vae_teach import autoencoder as ae
from vae_teach.checks import Case, Mistake, Question


def _pictures(rng: np.random.Generator) -> list[Case]:
    """Pairs of small pictures, several batch sizes."""
    sizes = [(2, 1, 3, 4), (5, 1, 2, 2), (int(rng.integers(3, 8)), 2, 4, 3)]
    return [{"x": torch.tensor(rng.random(s)), "x_hat": torch.tensor(rng.random(s))} for s in sizes]


def _batches(rng: np.random.Generator) -> list[Case]:
    """Averages of batches, the last of them smaller."""
    cases = []
    for n in (3, 5, int(rng.integers(6, 10))):
        counts = torch.full((n,), 8.0, dtype=torch.float64)
        counts[-1] = float(rng.integers(1, 4))
        cases.append({"averages": torch.tensor(rng.random(n) * 9 + 1), "counts": counts})
    return cases


def _decoders(rng: np.random.Generator) -> list[Case]:
    """Decoder matrices with independent columns, neither short nor orthogonal."""
    return [{"W": torch.tensor(rng.normal(size=s) + 0.5)} for s in [(4, 2), (6, 3), (int(rng.integers(5, 9)), 1)]]


def _noisy(rng: np.random.Generator) -> list[Case]:
    """A few noisy points, a few clean ones, and how large the noise is."""
    sizes = [(3, 4, 2), (1, 5, 3), (int(rng.integers(2, 5)), 7, 2)]
    return [{"noisy": torch.tensor(rng.normal(size=(m, d))), "clean": torch.tensor(rng.normal(size=(n, d))), "sigma": float(rng.uniform(0.6, 1.6))} for m, n, d in sizes]


def _mean_error(x, x_hat):
    return (x - x_hat).square().flatten(1).sum(1).mean()


def _weighted(averages, counts):
    return (averages * counts).sum() / counts.sum()


def _blend(noisy, clean, scores):
    return torch.softmax(scores, 1) @ clean


def _far(noisy, clean):
    return (noisy[:, None] - clean).square().sum(-1)


QUESTIONS = {
    "q1": Question(
        name="smallest_error",
        answer=3.0,
        mistakes=[
            Mistake(6.0, "this is the largest eigenvalue, the variance that is captured. The error is what is left."),
            Mistake(9.0, "this is the total variance, the error of always answering with the mean."),
            Mistake(5.0, "you keep one coordinate and drop the others. A direction between the axes captures more: look for eigenvectors."),
            Mistake(4.0, "you encode one coordinate, and decode it as well as possible. A direction between the axes is a better code: look for eigenvectors."),
            Mistake(1.0, "this is the smallest eigenvalue only. With K = 1 all but the largest are lost: add up the others."),
            Mistake(1 / 3, "this is the share of the variance that is lost. The error itself is asked for."),
            Mistake(1.5, "you average over the lost directions, or halve the error. It is the sum of squares that was defined."),
        ],
        hints=(
            "Find the eigenvalues first. One coordinate stands alone, the other two make a block of two by two.",
            "A block with a on the diagonal and b beside it has the eigenvectors (1, 1) and (1, −1).",
            "Equation autoencoder-pca in the chapter.",
        ),
        tolerance=1e-3,
    ),
    "q2": Question(
        name="mean_error",
        cases=_pictures,
        answer=_mean_error,
        mistakes=[
            Mistake(lambda x, x_hat: (x - x_hat).square().mean(), "you average over the pixels as well, as mse_loss does. An error of a picture is a sum over its pixels; only pictures are averaged."),
            Mistake(lambda x, x_hat: (x - x_hat).square().sum(), "you sum over the pictures as well. The loss is an average over pictures."),
            Mistake(lambda x, x_hat: (x - x_hat).square().flatten(1).sum(1).sqrt().mean(), "you average distances; the squared distance is asked for. Leave out the root."),
            Mistake(lambda x, x_hat: (x - x_hat).abs().flatten(1).sum(1).mean(), "these are absolute differences. Square them."),
            Mistake(lambda x, x_hat: _mean_error(x, x_hat) / 2, "the factor ½ belongs to what the training loop minimises, not to the error as the chapter defines it."),
            Mistake(lambda x, x_hat: (x - x_hat).flatten(1).sum(1).square().mean(), "you sum first and square then, so that errors of opposite sign cancel. Square each pixel's difference."),
            Mistake(lambda x, x_hat: -_mean_error(x, x_hat), "the sign is flipped: an error is never negative."),
            Mistake(lambda x, x_hat: (x - x_hat).square().flatten(1).sum(1), "this is one error for each picture. Their average is asked for."),
        ],
        hints=(
            "Two steps with different reductions: first within a picture, then over pictures.",
            "flatten(1) makes a row of each picture.",
            "Equations autoencoder-error and autoencoder-average in the chapter.",
        ),
    ),
    "q3": Question(
        name="epoch_error",
        cases=_batches,
        answer=_weighted,
        mistakes=[
            Mistake(lambda averages, counts: averages.mean(), "this is the mean of the batch means: the last, smaller batch weighs as much as the others."),
            Mistake(lambda averages, counts: (averages * counts).sum() / len(counts), "you divide by the number of batches. Divide by the number of pictures."),
            Mistake(lambda averages, counts: averages.sum() / counts.sum(), "the averages must be multiplied by the batch sizes before you add them."),
            Mistake(lambda averages, counts: averages[:-1].mean(), "you drop the last batch. Its pictures count too."),
            Mistake(lambda averages, counts: (averages * counts).sum() / (len(counts) * counts[0]), "you count the last batch as a full one. Divide by the pictures that there are."),
            Mistake(lambda averages, counts: (averages * counts).sum(), "this is the sum of all errors. Divide by the number of pictures."),
        ],
        hints=(
            "An average times its count is a sum.",
            "Add the sums, add the counts, divide once.",
            "Equation autoencoder-batches in the chapter.",
        ),
    ),
    "q4": Question(
        name="encoder_for",
        cases=_decoders,
        answer=ae.best_encoder,
        mistakes=[
            Mistake(lambda W: W.mT, "the transpose is right only if the columns of W have length one and stand at right angles. These do not."),
            Mistake(lambda W: W.mT / W.square().sum(0)[:, None], "you divide by the squared lengths, but the columns are not at right angles: the whole matrix WᵀW has to be undone."),
            Mistake(lambda W: W @ torch.linalg.inv(W.mT @ W), "this is the transpose of the answer. An encoder has K rows and D columns."),
            Mistake(lambda W: W @ torch.linalg.inv(W.mT @ W) @ W.mT, "this is the projection P = WV. Only the encoder V is asked for."),
            Mistake(lambda W: (W.mT @ W) @ W.mT, "you multiply by WᵀW where its inverse belongs."),
            Mistake(lambda W: torch.linalg.inv(W.mT @ W), "the factor Wᵀ is missing: the code of x starts from Wᵀx."),
        ],
        hints=(
            "The rest x − Wz is at right angles to every column of W. Write that as an equation for z.",
            "WᵀW z = Wᵀx. torch.linalg.solve does not need the inverse.",
            "Equation autoencoder-pinv in the chapter.",
        ),
    ),
    "q5": Question(
        name="prediction",
        answer="c",
        mistakes=[
            Mistake("a", "the reconstructions are the same, picture by picture: what the decoder undoes, the encoder did."),
            Mistake("b", "the reconstructions are the same, but the decoder that gets the draws is another one: it divides them by ten first."),
            Mistake("d", "the loss is computed from reconstructions. Follow one picture through both halves: is anything different at the end?"),
        ],
        hints=(
            "Follow one picture through both halves of each version.",
            "Then follow one made-up code through both decoders. Which code does the old decoder get?",
            "Equation autoencoder-recode in the chapter.",
        ),
    ),
    "q6": Question(
        name="denoise",
        cases=_noisy,
        answer=lambda noisy, clean, sigma: ae.posterior_mean(noisy, clean, sigma),
        mistakes=[
            Mistake(lambda noisy, clean, sigma: clean[_far(noisy, clean).argmin(1)], "this is the nearest clean picture. The best guess under squared error is an average of all, weighed by their probability."),
            Mistake(lambda noisy, clean, sigma: clean.mean(0).expand_as(noisy), "this is the mean before anything was seen. Weigh the clean pictures by how probable each makes what was seen."),
            Mistake(lambda noisy, clean, sigma: _blend(noisy, clean, -_far(noisy, clean) / sigma**2), "the 2 in the exponent is lost: a normal density has −distance²/(2σ²)."),
            Mistake(lambda noisy, clean, sigma: _blend(noisy, clean, -_far(noisy, clean) / (2 * sigma)), "you divide by 2σ, the exponent has 2σ²."),
            Mistake(lambda noisy, clean, sigma: _blend(noisy, clean, -_far(noisy, clean).sqrt() / (2 * sigma**2)), "the distance in the exponent is squared."),
            Mistake(lambda noisy, clean, sigma: _blend(noisy, clean, _far(noisy, clean) / (2 * sigma**2)), "the sign in the exponent is flipped: far pictures are improbable."),
            Mistake(lambda noisy, clean, sigma: torch.exp(-_far(noisy, clean) / (2 * sigma**2)) @ clean, "the weights do not sum to one. Divide them by their sum, or use softmax."),
            Mistake(lambda noisy, clean, sigma: torch.softmax(-_far(noisy, clean) / (2 * sigma**2), 0) @ clean, "the weights are normalised over the noisy pictures. For each noisy picture they must sum to one over the clean ones."),
        ],
        hints=(
            "First the squared distances of every noisy picture to every clean one: a table.",
            "torch.softmax along the axis of the clean pictures makes weights of −distance²/(2σ²).",
            "Equation autoencoder-posterior-mean in the chapter.",
        ),
    ),
}

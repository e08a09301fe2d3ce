"""Checks for the exercises on embeddings."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach import embeddings as em
from vae_teach.checks import Case, Mistake, Question

BEST = math.log(12 / (5 * 60 * 0.02))


def _padded(rng: np.random.Generator) -> list[Case]:
    """Word vectors and sentences of different lengths, filled up with -1."""
    cases = []
    for lengths in ([3, 1, 5], [2, 4], rng.integers(1, 6, 4).tolist() + [7, 2]):
        ids = torch.full((len(lengths), max(lengths)), -1)
        for row, length in enumerate(lengths):
            ids[row, :length] = torch.tensor(rng.integers(0, 9, length))
        cases.append({"vectors": torch.tensor(rng.normal(size=(9, 4))), "ids": ids})
    return cases


def _scores(rng: np.random.Generator) -> list[Case]:
    """Word, context and noise vectors of some pairs; in the last case with scores of several hundred."""
    cases = []
    for pairs, k, scale in ((1, 3, 1.0), (4, 5, 1.0), (int(rng.integers(5, 9)), 2, 1.0), (2, 2, 14.0)):
        shapes = [(pairs, 6), (pairs, 6), (pairs, k, 6)]
        e, u, u_noise = (scale * torch.tensor(rng.normal(size=shape)) for shape in shapes)
        if scale > 1:
            e = e.abs() + scale
            u, u_noise = -(u.abs() + scale), u_noise.abs() + scale
        cases.append({"e": e, "u": u, "u_noise": u_noise})
    return cases


def _questions(rng: np.random.Generator) -> list[Case]:
    """Vectors of very different lengths, where leaving out and normalising matter."""
    cases = []
    long_and_near = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.9], [0.0, 1.0, 0.0], [0.0, 0.5, 0.42], [6.0, 5.0, 5.0], [0.0, -1.0, 0.3], [0.9, 0.1, -0.6]])
    short_step = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.1, 0.0], [0.0, 0.0, 1.0], [0.0, 0.4, 1.0], [0.5, 2.0, 1.0], [0.0, -0.3, 1.0]])
    far_apart = torch.tensor([[3.0, 0.0, 0.0], [3.0, 0.0, 3.0], [0.0, 0.2, 0.0], [0.0, 0.3, 0.28], [0.0, 0.05, 0.6], [0.3, 0.2, 2.5], [0.1, 0.2, -0.2]])
    for table in (long_and_near, short_step, far_apart):
        turn = torch.tensor(np.linalg.qr(rng.normal(size=(3, 3)))[0], dtype=torch.float32)  # turning all alike changes no cosine
        cases.append({"vectors": table @ turn, "a": 1, "b": 0, "c": 2})
    return cases


def _mean(vectors, ids):
    return em.sentence_vectors(vectors.float(), ids).double()


def _answer(vectors, a, b, c):
    return torch.tensor(em.analogy(vectors, a, b, c))


def _by(measure, leave_out=True):
    """An analogy by another measure of nearness, the largest first."""

    def answer(vectors, a, b, c):
        score = measure(vectors, a, b, c)
        if leave_out:
            score[[a, b, c]] = -torch.inf
        return score.argmax()

    return answer


def _cosine(rows, point):
    return torch.nn.functional.cosine_similarity(rows, point[None], dim=-1)


QUESTIONS = {
    "q1": Question(
        name="best_score",
        answer=BEST,
        mistakes=[
            Mistake(math.log(12 / (60 * 0.02)), "this is the PMI; the shift by ln k is missing. k negatives stand against each pair."),
            Mistake(BEST / math.log(2), "this is in base 2. The logistic function is made with e, so the logarithm is the natural one."),
            Mistake(-BEST, "the sign is flipped. A pair seen more often than it is made up scores above zero."),
            Mistake(12 / (5 * 60 * 0.02), "this is e to the score: the logarithm is still to be taken."),
            Mistake(math.log(12 / (5 * 0.02)), "the count of the word is missing: w begins #(w) pairs, and each of them draws k negatives."),
            Mistake(math.log(12 / 60), "this is ln p(o | w). What the pair is compared with, the negatives, does not appear in it."),
            Mistake(12 / (12 + 5 * 60 * 0.02), "this is the probability that the pair was seen, the logistic function of the score. The score itself is asked for."),
        ],
        hints=(
            "Collect in one line all that depends on this one score: how often is the pair seen, and how often, on average, made up?",
            "It is −a ln ς(s) − b ln ς(−s). Set the derivative to zero; ς(s)/ς(−s) is a simple function of s.",
            "Equations embeddings-expected and embeddings-pmi in the chapter.",
        ),
        tolerance=2e-3,
    ),
    "q2": Question(
        name="sentence_mean",
        cases=_padded,
        answer=_mean,
        mistakes=[
            Mistake(lambda vectors, ids: vectors[ids].mean(1), "the filling −1 is read as a word: Python takes the last row for it. Mask it out."),
            Mistake(
                lambda vectors, ids: (vectors[ids.clamp(min=0)] * (ids >= 0)[..., None]).mean(1),
                "the sum is right, but it is divided by the length of the row. Divide by the number of words.",
            ),
            Mistake(
                lambda vectors, ids: vectors[ids.clamp(min=0)].mean(1),
                "the filling counts as word 0 in your mean. Replacing −1 by 0 only avoids the error message; a mask is still needed.",
            ),
            Mistake(
                lambda vectors, ids: (vectors[ids.clamp(min=0)] * (ids >= 0)[..., None]).sum(1),
                "this is the sum of the words. A mean is asked for: a long sentence must not get a long vector.",
            ),
            Mistake(
                lambda vectors, ids: _mean(vectors, ids).mean(0),
                "you average over the sentences as well. One vector a sentence is asked for.",
            ),
            Mistake(
                lambda vectors, ids: torch.nn.functional.normalize(_mean(vectors, ids), dim=-1),
                "this is the mean divided by its length; the mean itself is asked for.",
            ),
        ],
        hints=(
            "Which places of a row hold a word? A table of True and False of the shape of ids says so.",
            "Look up with −1 replaced by any number, multiply by the mask, sum over the places, divide by the sum of the mask.",
            "Equation embeddings-mean in the chapter.",
        ),
    ),
    "q3": Question(
        name="pair_loss",
        cases=_scores,
        answer=em.skip_gram_loss,
        mistakes=[
            Mistake(lambda e, u, u_noise: -em.skip_gram_loss(e, u, u_noise), "the sign is flipped: this is what is maximised. A loss is minimised, and never negative here."),
            Mistake(
                lambda e, u, u_noise: em.skip_gram_loss(e, u, -u_noise),
                "the negatives have the sign of the neighbour: your loss rewards a high score for made-up pairs. Their score enters as −e·u.",
            ),
            Mistake(
                lambda e, u, u_noise: -torch.nn.functional.logsigmoid((e * u).sum(-1)) - torch.nn.functional.logsigmoid(-(u_noise @ e[:, :, None])[..., 0]).mean(-1),
                "you average over the negatives; each of the k counts in full. An average makes k = 1 of any k.",
            ),
            Mistake(
                lambda e, u, u_noise: -torch.nn.functional.logsigmoid((e * u).sum(-1)),
                "the negatives are missing. Without them every score may grow for ever.",
            ),
            Mistake(
                lambda e, u, u_noise: -torch.sigmoid((e * u).sum(-1)) - torch.sigmoid(-(u_noise @ e[:, :, None])[..., 0]).sum(-1),
                "these are probabilities; their logarithm is asked for.",
            ),
            Mistake(
                lambda e, u, u_noise: -torch.sigmoid((e * u).sum(-1)).log() - torch.sigmoid(-(u_noise @ e[:, :, None])[..., 0]).log().sum(-1),
                "right for small scores, infinite for large ones: sigmoid rounds to 0 before the log sees it. logsigmoid does both at once.",
            ),
            Mistake(lambda e, u, u_noise: em.skip_gram_loss(e, u, u_noise).mean(), "you average over the pairs as well. One number a pair is asked for; only training averages."),
        ],
        hints=(
            "One score a pair, k scores for its negatives: u_noise @ e[:, :, None] gives them in one go.",
            "torch.nn.functional.logsigmoid(t) is ln ς(t), without rounding.",
            "Equation embeddings-sgns in the chapter.",
        ),
    ),
    "q4": Question(
        name="prediction",
        answer="c",
        mistakes=[
            Mistake("a", "a row that is named twice is used twice. What does the chain rule do with a weight that appears in two places?"),
            Mistake("b", "that would be so if the layer were an ordinary one with a dense input. Which entries of a one-hot vector are zero?"),
            Mistake("d", "a look-up chooses a row, and the row's numbers pass on unchanged. Its derivative in these numbers is one."),
        ],
        hints=(
            "Write the loss out: it is a sum of entries of E. Which, and how often each?",
            "The gradient of a sum is the sum of the gradients, place by place of the batch.",
            "Equation embeddings-row-gradient in the chapter.",
        ),
    ),
    "q5": Question(
        name="solve",
        cases=_questions,
        answer=_answer,
        mistakes=[
            Mistake(
                _by(lambda v, a, b, c: _cosine(v, em.unit(v)[a] - em.unit(v)[b] + em.unit(v)[c]), leave_out=False),
                "a, b or c themselves are among your answers. They are left out, or the answer is often c.",
            ),
            Mistake(
                _by(lambda v, a, b, c: _cosine(v, em.unit(v)[b] - em.unit(v)[a] + em.unit(v)[c])),
                "the difference is turned round: it is a − b + c, from b to a.",
            ),
            Mistake(
                _by(lambda v, a, b, c: v @ (em.unit(v)[a] - em.unit(v)[b] + em.unit(v)[c])),
                "this is the inner product: it prefers long vectors. Divide by the lengths, the cosine is asked for.",
            ),
            Mistake(
                _by(lambda v, a, b, c: _cosine(v, v[a] - v[b] + v[c])),
                "the three vectors go into the sum with their lengths. Make them unit vectors first, or a long one decides alone.",
            ),
            Mistake(
                _by(lambda v, a, b, c: -_cosine(v, em.unit(v)[a] - em.unit(v)[b] + em.unit(v)[c])),
                "this finds the farthest word. The largest cosine is the nearest.",
            ),
            Mistake(
                _by(lambda v, a, b, c: _cosine(v, em.unit(v)[a] + em.unit(v)[b] + em.unit(v)[c])),
                "b is added; it must be taken away.",
            ),
        ],
        hints=(
            "Divide every row by its length first; then the cosine is an inner product.",
            "Before you take the largest, put minus infinity where a, b and c stand.",
            "Equation embeddings-analogy in the chapter.",
        ),
    ),
}

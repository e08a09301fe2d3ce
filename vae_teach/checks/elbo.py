"""Checks for the exercises on the ELBO."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach.checks import Case, Mistake, Question
from vae_teach.elbo import multi_sample_bound


def _densities(rng: np.random.Generator) -> list[Case]:
    """Log-densities of several draws for several points, in one shape."""
    sizes = [(4, 3), (1, 2), (int(rng.integers(5, 9)), int(rng.integers(4, 7)))]
    return [{name: torch.tensor(rng.normal(-3, 2, size)) for name in ("log_p_x_given_z", "log_p_z", "log_q")} for size in sizes]


def _weights(rng: np.random.Generator) -> list[Case]:
    """Log-weights so low that their exponentials are zero, and numbers of draws in a group."""
    k = int(rng.integers(3, 6))
    return [{"log_w": torch.tensor(rng.normal(-2000, 3, (k * groups, n))), "k": k} for groups, n in [(4, 3), (2, 2), (3, int(rng.integers(4, 7)))]]


def _scores(rng: np.random.Generator) -> list[Case]:
    """Log-weights, scores and a baseline."""
    return [{"log_w": torch.tensor(rng.normal(-3, 2, n)), "score": torch.tensor(rng.normal(size=(n, K))), "baseline": float(rng.uniform(-5, -2))} for n, K in [(4, 2), (7, 3), (int(rng.integers(9, 20)), 2)]]


def _bound(log_w, k):
    return multi_sample_bound(log_w, k).mean(0)


def _score(log_w, score, baseline):
    return ((log_w - baseline)[:, None] * score).mean(0)


GAP, FIELD = (3 - math.log(2)) / 2, math.log(4 / 3) / 2

QUESTIONS = {
    "q1": Question(
        name="gap",
        answer=GAP,
        mistakes=[
            Mistake((math.log(2) + 0.5) / 2, "this is KL(p(z|x) ‖ q): the arguments are swapped. In the gap the mean is under q."),
            Mistake(-GAP, "the sign is flipped: the gap is evidence minus ELBO, and never negative."),
            Mistake(-math.log(2 * math.pi) / 2 - 2.5, "this is the ELBO; how far is it below the evidence?"),
            Mistake(-math.log(4 * math.pi) / 2 - 1, "this is the evidence; the ELBO is still to be taken away."),
            Mistake(GAP - 0.5, "your reconstruction is taken at the mean of q: the mean of (x − z)² is (x − μ)² + s², not (x − μ)²."),
            Mistake(0.0, "this is the KL to the prior. The gap is the KL to the posterior."),
            Mistake(GAP / math.log(2), "this is in bits; nats are asked for. Use the natural logarithm."),
            Mistake((8 - 1 - math.log(4)) / 2, "you read ½ as the posterior's standard deviation; it is its variance."),
        ],
        hints=(
            "Two ways: evidence minus ELBO, or the KL from q to the posterior. Do both; they must agree.",
            "The evidence is a Gaussian density of variance 1 + 1; the mean of (2 − z)² under q is 4 + 1.",
            "Equations elbo-one-posterior, elbo-one and elbo-route-one in the chapter.",
        ),
        tolerance=2e-3,
    ),
    "q2": Question(
        name="independent_gap",
        answer=FIELD,
        mistakes=[
            Mistake(2 * FIELD, "the factor ½ in front is lost."),
            Mistake(-FIELD, "the sign is flipped. A gap is a KL, never negative."),
            Mistake((8 / 3 - 2 - 2 * math.log(2 / 3) - math.log(3)) / 2, "this q has the widths of the posterior's own marginals. The best independent q is narrower: its variances are 1/Λ_jj."),
            Mistake(-math.log(0.5) / 2, "you used 1 − |ρ|; the formula has 1 − ρ²."),
            Mistake(math.inf, "the prior's I is missing: Λ = I + WᵀW/σ². WᵀW alone has determinant zero."),
            Mistake(FIELD / math.log(2), "this is in bits; nats are asked for. Use the natural logarithm."),
        ],
        hints=(
            "First Λ. It has the prior's I in it, and the products of the loadings.",
            "Then ln Λ₁₁ + ln Λ₂₂ − ln|Λ|.",
            "Equations elbo-reference and elbo-mean-field in the chapter.",
        ),
        tolerance=2e-3,
    ),
    "q3": Question(
        name="elbo_of",
        cases=_densities,
        answer=lambda log_p_x_given_z, log_p_z, log_q: (log_p_x_given_z + log_p_z - log_q).mean(0),
        mistakes=[
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: (log_p_x_given_z + log_p_z + log_q).mean(0), "the sign of ln q is wrong: q stands below in the weight."),
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: (log_p_x_given_z + log_p_z).mean(0), "ln q is missing: this is the mean log-joint without the entropy."),
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: (log_p_x_given_z - log_q).mean(0), "the prior is missing: the joint is p(x|z) times p(z)."),
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: log_p_x_given_z.mean(0), "this is the reconstruction alone; what the code costs is missing."),
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: (log_q - log_p_x_given_z - log_p_z).mean(0), "this is minus the ELBO, the loss. The ELBO is to be maximised."),
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: (log_p_x_given_z + log_p_z - log_q).sum(0), "you sum over the draws; a mean under q is an average."),
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: (log_p_x_given_z + log_p_z - log_q).mean(), "you average over the points as well. An ELBO is one number a point."),
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: (log_p_x_given_z + log_p_z - log_q).mean(1), "you average over the points, not over the draws: the draws are the first axis."),
            Mistake(lambda log_p_x_given_z, log_p_z, log_q: torch.logsumexp(log_p_x_given_z + log_p_z - log_q, 0) - math.log(len(log_q)), "the logarithm is outside the average: this is the bound with M samples inside, another and higher one."),
        ],
        hints=(
            "What is the weight of a draw, and its logarithm?",
            "ln p(x, z) is a sum of two of the three arguments. The average runs over the first axis.",
            "Equations elbo-product and elbo-weight in the chapter.",
        ),
    ),
    "q4": Question(
        name="bound_k",
        cases=_weights,
        answer=_bound,
        mistakes=[
            Mistake(lambda log_w, k: torch.full(log_w.shape[1:], -math.inf), "e to the −2000 is zero for a computer, and its logarithm −∞. Never leave the logarithms: torch.logsumexp."),
            Mistake(lambda log_w, k: _bound(log_w, k) + math.log(k), "the − ln k is missing: average the weights, do not add them."),
            Mistake(lambda log_w, k: log_w.mean(0), "this is the ELBO: the logarithm is taken before the average."),
            Mistake(lambda log_w, k: _bound(log_w, len(log_w)), "all draws are in one group: that is the bound for k = n. Groups of k, and then the mean over the groups."),
            Mistake(lambda log_w, k: multi_sample_bound(log_w, k).sum(0), "you sum over the groups; the bound is their mean."),
            Mistake(lambda log_w, k: multi_sample_bound(log_w, k).mean(), "you average over the points as well. One number a point is asked for."),
            Mistake(lambda log_w, k: multi_sample_bound(log_w, k), "one value for each group is left: take the mean over the groups."),
        ],
        hints=(
            "Reshape to (groups, k, N). The inner average stands inside the logarithm, the outer one outside.",
            "ln of an average is logsumexp minus ln k.",
            "Equation elbo-multi in the chapter.",
        ),
    ),
    "q5": Question(
        name="prediction",
        answer="b",
        mistakes=[
            Mistake("a", "more draws help because weights vary. How much do these vary?"),
            Mistake("c", "the bound never falls with k: elbo-monotone."),
            Mistake("d", "no 𝓛_k lies above ln p(x): Jensen."),
        ],
        hints=(
            "What is w(z) when q is the posterior?",
            "Put p(x, z) = p(z|x) p(x) into the weight.",
            "Equation elbo-tight in the chapter.",
        ),
    ),
    "q6": Question(
        name="score_gradient",
        cases=_scores,
        answer=_score,
        mistakes=[
            Mistake(lambda log_w, score, baseline: _score(log_w, score, 0.0), "the baseline is not used: take it off ln w before you multiply."),
            Mistake(lambda log_w, score, baseline: _score(log_w, score, -baseline), "the baseline is added; it has to be taken off."),
            Mistake(lambda log_w, score, baseline: -_score(log_w, score, baseline), "the sign is flipped: this is the gradient of the loss. The ELBO's is asked for."),
            Mistake(lambda log_w, score, baseline: _score(log_w, score, baseline) * len(log_w), "you sum over the draws; an estimator of a mean averages."),
            Mistake(lambda log_w, score, baseline: (log_w - baseline).mean() * score.mean(0), "you multiply the two averages. The mean of a product is wanted: multiply draw by draw."),
            Mistake(lambda log_w, score, baseline: -score.mean(0), "this is the seen term, −∇ ln q: its mean is zero, and no ln w is in it."),
            Mistake(lambda log_w, score, baseline: _score(log_w.exp(), score, baseline), "the weight is not exponentiated here: the score is multiplied by ln w."),
        ],
        hints=(
            "Each draw has one log-weight and one score vector.",
            "The log-weight, minus the baseline, multiplies every component of the score of its own draw.",
            "Equations elbo-score and reparam-baseline.",
        ),
    ),
}

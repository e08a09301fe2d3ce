"""Checks for the exercises on KL divergence."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach import kl
from vae_teach.checks import Case, Mistake, Question


def _tables(rng: np.random.Generator) -> list[Case]:
    """Pairs of probability vectors, some with zeros in p."""
    cases = []
    for zeros in (0, 1, 2):
        p, q = rng.dirichlet(np.ones(rng.integers(4, 9)), 2)
        p[:zeros] = 0
        cases.append({"p": torch.tensor(p / p.sum()), "q": torch.tensor(q)})
    return cases


def _gaussians(rng: np.random.Generator) -> list[Case]:
    """Batches of means and log-variances, of several sizes."""
    sizes = [(3, 2), (1, 5), (int(rng.integers(4, 9)), int(rng.integers(6, 12)))]
    return [
        {"mu": torch.tensor(rng.normal(size=s)), "log_var": torch.tensor(rng.normal(size=s))}
        for s in sizes
    ]


def _log_densities(rng: np.random.Generator) -> list[Case]:
    """Log-densities of two nearby Gaussians at draws of the first."""
    cases = []
    for n in (5, 40, int(rng.integers(50, 200))):
        x = torch.tensor(rng.normal(0.5, 1.0, n))
        cases.append({"log_q": -((x - 0.5) ** 2) / 2, "log_p": -(x**2) / 2 / 1.44 - math.log(1.2)})
    return cases


def _kl_standard(mu, log_var):
    return kl.kl_standard_normal(mu, log_var)


def _estimate(log_q, log_p):
    log_r = log_p - log_q
    return (log_r.exp() - 1 - log_r).mean()


QUESTIONS = {
    "q1": Question(
        name="kl_value",
        answer=math.log(2) + 5 / 8 - 1 / 2,
        mistakes=[
            Mistake(
                -math.log(2) + 8 / 2 - 1 / 2,
                "this is KL(p ‖ q): the two arguments are swapped. The mean is under the first one.",
            ),
            Mistake(
                (math.log(2) + 5 / 8 - 1 / 2) / math.log(2),
                "this is the value in bits; nats are asked for. Use the natural logarithm.",
            ),
            Mistake(
                math.log(2) + 5 / 8,
                "the −1/2 is lost. It comes from E[(x − μ₁)²] / (2σ₁²).",
            ),
            Mistake(
                math.log(2) + 5 / 4 - 1 / 2,
                "2 stands for σ₂, so the denominator is 2σ₂² = 8; yours has 4.",
            ),
            Mistake(
                math.log(math.sqrt(2)) + 5 / 4 - 1 / 2,
                "you read 2 as a variance; the question gives standard deviations.",
            ),
            Mistake(
                math.log(2) + 1 / 8 - 1 / 2,
                "the distance of the means, (μ₁ − μ₂)², is missing.",
            ),
            Mistake(
                -(math.log(2) + 5 / 8 - 1 / 2),
                "the sign is flipped. A KL is never negative.",
            ),
        ],
        hints=(
            "Write down which Gaussian is the first argument, and put its numbers in σ₁ and μ₁.",
            "Three terms: ln(σ₂/σ₁), then a fraction with 2σ₂² below, then −1/2.",
            "Equation kl-normal in the chapter, section “Two Gaussians, line by line”.",
        ),
        tolerance=2e-3,
    ),
    "q2": Question(
        name="kl_table",
        cases=_tables,
        answer=kl.kl_categorical,
        mistakes=[
            Mistake(
                lambda p, q: (q * (q / p).log()).sum(),
                "this is KL(q ‖ p): the arguments are swapped. The weight in front is the first argument.",
            ),
            Mistake(
                lambda p, q: kl.kl_categorical(p, q) / math.log(2),
                "this is in bits; nats are asked for. Use the natural logarithm.",
            ),
            Mistake(
                lambda p, q: kl.kl_categorical(p, q) / len(p),
                "you average over the outcomes. The average is already in the weights p(x): sum the terms.",
            ),
            Mistake(
                lambda p, q: -kl.kl_categorical(p, q),
                "the sign is flipped. A KL is never negative; p goes above in the fraction.",
            ),
            Mistake(
                lambda p, q: (p * (p / q).log()).sum(),
                "0·ln 0 gives NaN in your code. An outcome with p(x) = 0 counts nothing: torch.xlogy knows that.",
            ),
            Mistake(
                lambda p, q: kl.cross_entropy(p, q),
                "this is the cross-entropy; the entropy of p is still to be taken away.",
            ),
        ],
        hints=(
            "One term an outcome: p ln p minus p ln q.",
            "torch.xlogy(a, b) is a·ln b, with 0 where a is 0.",
            "Equation kl-discrete in the chapter.",
        ),
    ),
    "q3": Question(
        name="kl_gauss",
        cases=_gaussians,
        answer=_kl_standard,
        mistakes=[
            Mistake(
                lambda mu, log_var: _kl_standard(mu, log_var) / mu.shape[-1],
                "your KL is averaged over the latent dimensions: divide-by-d. It is a sum; the mean makes β = 1/d.",
            ),
            Mistake(
                lambda mu, log_var: _kl_standard(mu, 2 * log_var),
                "you read log_var as ln σ. It is ln σ², so σ² is exp(log_var) and ln σ is half of log_var.",
            ),
            Mistake(
                lambda mu, log_var: (log_var.exp() ** 2 + mu**2 - 1 - log_var).sum(-1) / 2,
                "exp(log_var) already is σ²; you square it once more.",
            ),
            Mistake(
                lambda mu, log_var: -_kl_standard(mu, log_var),
                "the sign is flipped. A KL is never negative.",
            ),
            Mistake(
                lambda mu, log_var: _kl_standard(mu, log_var) + mu.shape[-1] / 2,
                "the −1 is lost: at μ = 0 and σ = 1 yours is not zero.",
            ),
            Mistake(
                lambda mu, log_var: 2 * _kl_standard(mu, log_var),
                "the factor 1/2 in front is lost.",
            ),
            Mistake(
                lambda mu, log_var: _kl_standard(mu, log_var).mean(),
                "you average over the batch as well. One number an example is asked for; only training averages.",
            ),
            Mistake(
                lambda mu, log_var: _kl_standard(mu, log_var).sum(),
                "you sum over the batch as well. One number an example is asked for: sum over the last axis.",
            ),
        ],
        hints=(
            "One term a dimension, then a sum over the last axis.",
            "σ² is exp(log_var), and ln σ² is log_var itself.",
            "Equation kl-standard in the chapter.",
        ),
    ),
    "q4": Question(
        name="prediction",
        answer="b",
        mistakes=[
            Mistake("a", "that is what the reverse KL does: it may ignore a hill. Here the mean is under p, which visits both."),
            Mistake("c", "a Gaussian has one hill. Which one Gaussian costs least, when both hills must be paid for?"),
            Mistake("d", "then q would be nearly zero on the hills, where p lives, and ln(p/q) huge."),
        ],
        hints=(
            "Under which law is the mean taken?",
            "Where p has mass and q has none, the log-ratio explodes. So what must q do?",
            "Equation kl-moments in the chapter.",
        ),
    ),
    "q5": Question(
        name="kl_sampled",
        cases=_log_densities,
        answer=_estimate,
        mistakes=[
            Mistake(
                lambda log_q, log_p: (log_q - log_p).mean(),
                "this is the plain estimator: right on average, but its terms can be negative. Add r − 1.",
            ),
            Mistake(
                lambda log_q, log_p: (torch.exp(log_q - log_p) - 1 - (log_q - log_p)).mean(),
                "your ratio is upside down: r is p/q, with the law you sampled from below.",
            ),
            Mistake(
                lambda log_q, log_p: _estimate(log_q, log_p) * len(log_q),
                "you sum over the samples; an estimator of a mean averages.",
            ),
            Mistake(
                lambda log_q, log_p: (torch.exp(log_p - log_q) - (log_p - log_q)).mean(),
                "the −1 is lost: yours is one nat too large.",
            ),
            Mistake(
                lambda log_q, log_p: (torch.exp(log_p - log_q) - 1 + (log_p - log_q)).mean(),
                "the sign of ln r is wrong: it is (r − 1) − ln r.",
            ),
            Mistake(
                lambda log_q, log_p: ((log_p - log_q) ** 2).mean() / 2,
                "½(ln r)² is another estimator: never negative too, but biased.",
            ),
        ],
        hints=(
            "Compute ln r first; both terms come from it.",
            "r − 1 is torch.expm1(log_r).",
            "Equation kl-estimators in the chapter.",
        ),
    ),
}

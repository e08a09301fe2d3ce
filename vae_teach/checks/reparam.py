"""Checks for the exercises on reparameterisation."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach import reparam
from vae_teach.checks import Case, Mistake, Question


def _draws(rng: np.random.Generator) -> list[Case]:
    """Means, log-variances and noise, of several sizes; M differs from one."""
    cases = []
    for m, b, k in ((2, 3, 2), (4, 1, 5), (3, int(rng.integers(2, 6)), int(rng.integers(6, 9)))):
        mu, log_var = (torch.tensor(rng.normal(0.5, 1.0, (b, k))) for _ in range(2))
        cases.append({"mu": mu, "log_var": log_var, "epsilon": torch.tensor(rng.normal(size=(m, b, k)))})
    return cases


def _draw(mu, log_var, epsilon):
    return mu + torch.exp(log_var / 2) * epsilon


def _throws(rng: np.random.Generator) -> list[Case]:
    """Values of h at some draws, their noises and the width."""
    cases = []
    for n in (2, 5, int(rng.integers(20, 60))):
        epsilon = rng.normal(size=n)
        sigma = float(rng.uniform(0.3, 0.8))
        h_z = torch.tensor((1.5 + sigma * epsilon) ** 2 + rng.normal(4, 0.2, n))
        cases.append({"h_z": h_z, "epsilon": torch.tensor(epsilon), "sigma": torch.tensor(sigma, dtype=torch.float64)})
    return cases


def _leave_one_out(h_z, epsilon, sigma):
    others = (h_z.sum() - h_z) / (len(h_z) - 1)
    return ((h_z - others) * epsilon / sigma).mean()


def _uniforms(rng: np.random.Generator) -> list[Case]:
    """Uniform numbers on both sides of a half, with a place and a scale."""
    return [
        {"u": torch.tensor(np.r_[0.03, 0.8, rng.uniform(0.05, 0.95, n)]), "mu": float(rng.normal(2, 1)), "scale": float(rng.uniform(1.5, 3))}
        for n in (2, 6, int(rng.integers(7, 12)))
    ]


def _laplace(u, mu, scale):
    return mu - scale * torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs())


def _choices(rng: np.random.Generator) -> list[Case]:
    """Logits of a few rows, uniform noise of the same shape, a temperature."""
    cases = []
    for n, k in ((2, 3), (5, 4), (3, int(rng.integers(5, 9)))):
        cases.append({"logits": torch.tensor(rng.normal(size=(n, k))), "u": torch.tensor(rng.uniform(0.05, 0.95, (n, k))), "temperature": float(rng.uniform(0.3, 0.7))})
    return cases


def _soft(logits, u, temperature):
    return torch.softmax((logits + reparam.gumbel_from_uniform(u)) / temperature, -1)


QUESTIONS = {
    "q1": Question(
        name="path_variance",
        answer=math.e**2 - math.e,
        mistakes=[
            Mistake(math.e**2, "this is the mean square of the term; the square of its mean is still to be taken off."),
            Mistake(math.exp(0.5), "this is the mean of the term, the gradient itself. Its variance is asked for."),
            Mistake(math.sqrt(math.e**2 - math.e), "this is the standard deviation; the variance is asked for."),
            Mistake(math.e**2 - math.exp(0.5), "you took off the mean; a variance takes off the square of the mean."),
            Mistake(math.e**2 - 1, "you used E[e^z] = e^μ. The exponential of a mean is not the mean of the exponential: σ²/2 is missing in the exponent."),
            Mistake(5 * math.e**2 - math.e, "this is the variance of the score function's term, e^z ε. The path's term is h'(z)."),
        ],
        hints=(
            "What is h'(z) here, and what is its square?",
            "Both means you need are of the form E[e^{az}], with a = 1 and a = 2.",
            "Complete the square in the exponent; the rule for a variance is step (i) of equation reparam-best-baseline.",
        ),
        tolerance=2e-3,
    ),
    "q2": Question(
        name="draw_z",
        cases=_draws,
        answer=_draw,
        mistakes=[
            Mistake(lambda mu, log_var, epsilon: mu + torch.exp(log_var / 2) + epsilon, "a plus stands where σ and ε should be multiplied: your z has mean μ + σ and width one."),
            Mistake(lambda mu, log_var, epsilon: (mu + epsilon) * torch.exp(log_var / 2), "a bracket too many: σ scales the mean as well, so your z has mean μσ."),
            Mistake(lambda mu, log_var, epsilon: mu + torch.exp(log_var) * epsilon, "the half is lost: exp(log_var) is the variance σ², and σ is wanted in front of ε."),
            Mistake(lambda mu, log_var, epsilon: mu + log_var * epsilon, "log_var is a logarithm, and may be negative. Exponentiate half of it."),
            Mistake(lambda mu, log_var, epsilon: mu + torch.exp(2 * log_var) * epsilon, "you double log_var; σ needs half of it."),
            Mistake(lambda mu, log_var, epsilon: _draw(mu, log_var, epsilon).mean(0), "you average over the M draws. All of them are asked for, shape (M, B, K)."),
            Mistake(lambda mu, log_var, epsilon: torch.exp(log_var / 2) * epsilon, "the mean is missing: your z lies around zero."),
        ],
        hints=(
            "First σ from log_var, then one line of arithmetic.",
            "σ² = exp(log_var), so σ is the exponential of half of it.",
            "Equation reparam-normal in the chapter.",
        ),
    ),
    "q3": Question(
        name="score_gradient",
        cases=_throws,
        answer=_leave_one_out,
        mistakes=[
            Mistake(lambda h_z, epsilon, sigma: (h_z * epsilon / sigma).mean(), "there is no baseline in it: unbiased, but far noisier than need be."),
            Mistake(
                lambda h_z, epsilon, sigma: ((h_z - h_z.mean()) * epsilon / sigma).mean(),
                "your baseline averages all draws, the one it is taken from too. That biases the estimate: it is (n−1)/n of what it should be on average.",
            ),
            Mistake(lambda h_z, epsilon, sigma: _leave_one_out(h_z, epsilon, sigma) * sigma, "the score of μ is ε/σ; you left out the σ."),
            Mistake(lambda h_z, epsilon, sigma: _leave_one_out(h_z, epsilon, sigma) / sigma, "the score of μ is (z − μ)/σ², and z − μ is σε: only one σ stays below."),
            Mistake(lambda h_z, epsilon, sigma: _leave_one_out(h_z, epsilon, sigma) * len(h_z), "you sum over the draws; an estimate of a mean averages."),
            Mistake(
                lambda h_z, epsilon, sigma: ((h_z - (h_z.sum() - h_z) / len(h_z)) * epsilon / sigma).mean(),
                "without h_j there are n − 1 values left to average; you divide by n.",
            ),
            Mistake(lambda h_z, epsilon, sigma: -_leave_one_out(h_z, epsilon, sigma), "the sign is flipped: the baseline is taken off h, not h off the baseline."),
        ],
        hints=(
            "The mean of the others: take h_j out of the sum, and divide by how many are left.",
            "(h_z.sum() - h_z) / (n - 1) gives all n baselines at once.",
            "Equations reparam-score-mc and reparam-score-normal in the chapter.",
        ),
    ),
    "q4": Question(
        name="prediction",
        answer="c",
        mistakes=[
            Mistake("a", "that is the path, whose variance does not change with K."),
            Mistake("b", "that is what the best baseline would make of it."),
            Mistake("d", "the variance of the average is that of a term divided by the number of draws, not by its square."),
        ],
        hints=(
            "How does the variance of one term depend on K?",
            "Averaging M draws divides the variance by M.",
            "Equation reparam-ratio in the chapter.",
        ),
    ),
    "q5": Question(
        name="draw_laplace",
        cases=_uniforms,
        answer=_laplace,
        mistakes=[
            Mistake(lambda u, mu, scale: 2 * mu - _laplace(u, mu, scale), "your z falls as u grows. The law is right, for it is symmetric, but it is not the inverse of F."),
            Mistake(lambda u, mu, scale: mu - scale * torch.sign(u - 0.5) * torch.log1p(-(u - 0.5).abs()), "a 2 is missing: at z = μ half the mass lies below, so the logarithm must reach ln 0 at u = 0 and u = 1."),
            Mistake(lambda u, mu, scale: _laplace(u, 0.0, scale), "the place μ is missing."),
            Mistake(lambda u, mu, scale: _laplace(u, mu, 1 / scale), "you divide by the scale; a scale multiplies. (A rate would divide.)"),
            Mistake(lambda u, mu, scale: mu - scale * torch.log1p(-2 * (u - 0.5).abs()), "all your draws lie above μ: below it the formula has another sign."),
            Mistake(lambda u, mu, scale: mu + scale * torch.logit(u), "this is the logistic law."),
        ],
        hints=(
            "Treat u < 1/2 and u > 1/2 apart: F is another formula on either side of μ.",
            "Below, u = ½ exp((z − μ)/s); above, u = 1 − ½ exp(−(z − μ)/s). torch.where joins the two.",
            "Equation reparam-inverse-cdf in the chapter, and the way reparam-exponential is solved for z.",
        ),
    ),
    "q6": Question(
        name="gumbel_choice",
        cases=_choices,
        answer=_soft,
        mistakes=[
            Mistake(lambda logits, u, temperature: _soft(logits, u, 1.0), "the temperature is accepted and not used."),
            Mistake(lambda logits, u, temperature: _soft(logits, u, 1 / temperature), "you multiply by the temperature; dividing makes a small one sharp."),
            Mistake(lambda logits, u, temperature: torch.softmax((logits - torch.log(u)) / temperature, -1), "−ln u is exponential noise. Gumbel noise takes the logarithm twice."),
            Mistake(
                lambda logits, u, temperature: torch.softmax((logits + torch.log(-torch.log(u))) / temperature, -1),
                "the outer minus is missing: your noise is upside down, and the frequencies will not be the softmax.",
            ),
            Mistake(
                lambda logits, u, temperature: torch.softmax(logits / temperature + reparam.gumbel_from_uniform(u), -1),
                "only the logits are divided by the temperature. Then the winner's law changes with it; divide the sum.",
            ),
            Mistake(lambda logits, u, temperature: torch.softmax((logits + reparam.gumbel_from_uniform(u)) / temperature, 0), "your softmax runs over the rows; each row is one draw, so it must sum to one along the last axis."),
            Mistake(lambda logits, u, temperature: torch.softmax(logits / temperature, -1), "there is no noise in it: the same answer at every call."),
        ],
        hints=(
            "Noise first: two logarithms and two minus signs.",
            "Add the noise to the logits, divide the sum by the temperature, then softmax over the last axis.",
            "Equations reparam-gumbel and reparam-softmax in the chapter.",
        ),
    ),
}

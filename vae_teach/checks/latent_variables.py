"""Checks for the exercises on latent variables."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach import latent_variables as lv
from vae_teach.checks import Case, Mistake, Question


def _weights(rng: np.random.Generator) -> list[Case]:
    """Logarithms of weights, one row a draw; all but the first column far below what exp can hold."""
    sizes = [(7, 3), (40, 2), (int(rng.integers(50, 200)), 5)]
    return [{"log_w": torch.tensor(rng.normal(np.linspace(-20, -1500, k), 10, size=(n, k)))} for n, k in sizes]


def _models(rng: np.random.Generator) -> list[Case]:
    """Models of several sizes, with a few points each."""
    cases = []
    for d, k in ((3, 2), (5, 1), (6, 3)):
        W, b, x = (torch.tensor(rng.normal(size=s)) for s in ((d, k), d, (4, d)))
        cases.append({"W": W, "b": b + 1, "sigma": float(rng.uniform(0.4, 0.8)), "x": x})
    return cases


def _precisions(rng: np.random.Generator) -> list[Case]:
    """Precision matrices with strong correlations."""
    cases = []
    for k in (2, 3, 5):
        W = rng.normal(size=(k + 2, k)) * 2
        cases.append({"precision": torch.tensor(np.eye(k) + W.T @ W)})
    return cases


def _fits(rng: np.random.Generator) -> list[Case]:
    """Points, a model's mean parameters and what is known of each point's code."""
    cases = []
    for n, d, k in ((8, 3, 1), (20, 4, 2), (30, 5, 3)):
        x, W, b, mu = (torch.tensor(rng.normal(size=s)) for s in ((n, d), (d, k), d, (n, k)))
        a = rng.normal(size=(k, k))
        cov = torch.tensor(0.2 * a @ a.T + 0.1 * np.eye(k))
        cases.append({"x": x, "W": W, "b": b, "mu": mu, "cov": cov})
    return cases


def _log_mean(log_w):
    return log_w.logsumexp(0) - math.log(len(log_w))


def _posterior_mean(W, b, sigma, x):
    return lv.LinearGaussian(W, b, sigma).posterior(x).mean


def _gap(precision):
    return (precision.diagonal().log().sum() - torch.linalg.slogdet(precision)[1]) / 2


def _residuals(x, W, b, mu):
    return x - b - mu @ W.T


def _noise(x, W, b, mu, cov):
    return ((_residuals(x, W, b, mu) ** 2).sum(1).mean() + torch.trace(W @ cov @ W.T)) / x.shape[1]


QUESTIONS = {
    "q1": Question(
        name="posterior_mean",
        answer=21 / 13,
        mistakes=[
            Mistake(7 / 3, "this is where the likelihood is highest; the prior has not been asked yet. It puts the 1 into Λ = 1 + W²/σ²."),
            Mistake(21 / 11, "you took 2 for the noise's variance. It is the standard deviation, so σ² = 4."),
            Mistake(24 / 13, "the offset b is missing: the bowl's distance from 1 counts, not from 0."),
            Mistake(4 / 13, "this is the posterior's variance, 1/Λ; the mean is asked for."),
            Mistake(21 / 4, "this is h = W(x − b)/σ². The mean is h divided by the precision Λ."),
        ],
        hints=(
            "Write ln p(x, z) as a function of z and collect the powers of z.",
            "The coefficient of −z²/2 is Λ, that of z is h; the top of the parabola is at h/Λ.",
            "Equation latent-variables-posterior in the chapter, with D = K = 1.",
        ),
    ),
    "q2": Question(
        name="log_average",
        cases=_weights,
        answer=_log_mean,
        mistakes=[
            Mistake(lambda log_w: log_w.mean(0), "this is the average of the logarithms: a lower bound far below. The logarithm comes after the average."),
            Mistake(lambda log_w: log_w.logsumexp(0), "this is the logarithm of the sum; the division by n is missing."),
            Mistake(lambda log_w: log_w.exp().mean(0).log(), "the weights underflow: exp gives 0 and its logarithm −∞. Use logsumexp, which takes out the largest first."),
            Mistake(lambda log_w: log_w.logsumexp(0) - len(log_w), "divide by n under the logarithm: subtract ln n, not n."),
            Mistake(lambda log_w: log_w.logsumexp(0) / len(log_w), "you divide the logarithm by n. The division belongs inside: subtract ln n."),
            Mistake(lambda log_w: log_w.amax(0), "this keeps the largest weight only, without the division by n."),
        ],
        hints=(
            "The draws lie along the first axis; one number for each column is asked for.",
            "ln(Σw/n) = ln Σw − ln n, and ln Σ exp(·) is logsumexp.",
            "Equation latent-variables-naive and the section “A mistake to make once”.",
        ),
    ),
    "q3": Question(
        name="code_mean",
        cases=_models,
        answer=_posterior_mean,
        mistakes=[
            Mistake(lambda W, b, sigma, x: torch.linalg.solve(W.T @ W, W.T @ (x - b).T).T, "this is least squares, where the likelihood is highest. The prior's I is missing in Λ."),
            Mistake(lambda W, b, sigma, x: _posterior_mean(W, b, math.sqrt(sigma), x), "you divide by σ, which is a standard deviation. Both places need σ²."),
            Mistake(lambda W, b, sigma, x: _posterior_mean(W, 0 * b, sigma, x), "the offset b is missing: W sees x − b."),
            Mistake(lambda W, b, sigma, x: (x - b) @ W / sigma**2, "this is h = Wᵀ(x − b)/σ²; it is still to be multiplied by Λ⁻¹."),
            Mistake(lambda W, b, sigma, x: _posterior_mean(W, b, sigma, x) * sigma**2, "one factor 1/σ² is missing: Λ has it, and so has Wᵀ(x − b)."),
            Mistake(lambda W, b, sigma, x: _posterior_mean(W, b, sigma, x).T, "your result is transposed: one row for each point is asked for, shape (N, K)."),
        ],
        hints=(
            "Two ingredients: Λ, a (K, K) matrix, and h, one vector of K numbers for each point.",
            "torch.linalg.solve(Λ, ·) wants points as columns; transpose before and after.",
            "Equation latent-variables-posterior in the chapter.",
        ),
    ),
    "q4": Question(
        name="prediction",
        answer="c",
        mistakes=[
            Mistake("a", "that would be a cost in proportion to the dimension. Here each dimension multiplies it."),
            Mistake("b", "that would be a cost like the dimension's square. Here each dimension multiplies it."),
            Mistake("d", "you squared the number of draws. It is ρ that is squared, and n is 100 times that."),
        ],
        hints=(
            "Which of n, ρ + 1 and ln ρ is a power of the dimension's factor?",
            "From n you get ρ, from ρ the factor to the power 10; square it.",
            "Equation latent-variables-growth in the chapter.",
        ),
    ),
    "q5": Question(
        name="lost_nats",
        cases=_precisions,
        answer=_gap,
        mistakes=[
            Mistake(lambda precision: 2 * _gap(precision), "the factor 1/2 in front is lost."),
            Mistake(lambda precision: -_gap(precision), "the sign is flipped. What a family loses is never negative."),
            Mistake(
                lambda precision: (torch.linalg.inv(precision).diagonal().log().sum() + torch.linalg.slogdet(precision)[1]) / 2,
                "you gave q the marginal variances, the diagonal of Λ⁻¹. That is the forward KL's best; mean field takes 1/Λ_jj.",
            ),
            Mistake(
                lambda precision: (precision.diagonal().sum().log() - torch.linalg.slogdet(precision)[1]) / 2,
                "you take the logarithm of the trace; it is the sum of the logarithms.",
            ),
            Mistake(lambda precision: precision.diagonal().log().sum() / 2, "the determinant is missing: ln|Λ| is what the exact posterior would have."),
        ],
        hints=(
            "Put μ = m and s_j² = 1/Λ_jj into the KL of two Gaussians.",
            "The terms Λ_jj s_j² add up to K and cancel the −K.",
            "Equation latent-variables-mean-field-gap in the chapter.",
        ),
    ),
    "q6": Question(
        name="noise_variance",
        cases=_fits,
        answer=_noise,
        mistakes=[
            Mistake(
                lambda x, W, b, mu, cov: (_residuals(x, W, b, mu) ** 2).mean(),
                "the doubt about the codes is missing: tr(W V Wᵀ)/D. Without it σ² is too small, as if each code were known.",
            ),
            Mistake(
                lambda x, W, b, mu, cov: _residuals(x, W, b, mu).abs().mean() ** 2,
                "the square of the mean absolute residual is no variance: 36 % too low for a Gaussian. Take the mean of the squares.",
            ),
            Mistake(
                lambda x, W, b, mu, cov: _noise(x, W, b, mu, cov) * x.shape[1],
                "this is the variance of all D numbers of a point together; divide by D.",
            ),
            Mistake(lambda x, W, b, mu, cov: _noise(x, W, b, mu, cov).sqrt(), "this is the standard deviation; the variance is asked for."),
            Mistake(
                lambda x, W, b, mu, cov: (_residuals(x, W, b, mu) ** 2).mean() + torch.trace(W @ cov @ W.T),
                "the trace is still to be divided by D: the doubt is spread over D numbers.",
            ),
            Mistake(
                lambda x, W, b, mu, cov: (_residuals(x, W, b, mu) ** 2).mean() + torch.trace(cov) / x.shape[1],
                "the doubt is about codes; W carries it into the space of x. Take tr(W V Wᵀ).",
            ),
        ],
        hints=(
            "E‖x − b − W z‖² for z with mean μ and covariance V has two parts.",
            "The trace trick gives ‖x − b − Wμ‖² + tr(W V Wᵀ); average over points, divide by D.",
            "Equation latent-variables-m-step in the chapter.",
        ),
    ),
}

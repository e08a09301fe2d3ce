"""Checks for the exercises on sampling and judging."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach import sampling
from vae_teach.checks import Case, Mistake, Question


def _weights(rng: np.random.Generator) -> list[Case]:
    """Log-weights of several images, far below zero, with a few large ones."""
    sizes = [(3, 5), (1, 40), (int(rng.integers(4, 8)), int(rng.integers(60, 120)))]
    return [{"log_w": torch.tensor(rng.normal(-900, 2.0, size))} for size in sizes]


def _pairs(rng: np.random.Generator) -> list[Case]:
    """Two codes of one norm, not opposite, and a point of the way."""
    cases = []
    for K in (2, 5, int(rng.integers(8, 20))):
        a, b = rng.normal(size=(2, K))
        b = b if a @ b > 0 else b + 1.5 * a * abs(a @ b) / (a @ a)
        radius = rng.uniform(1.5, 4)
        cases.append({"z_1": torch.tensor(radius * a / np.linalg.norm(a)), "z_2": torch.tensor(radius * b / np.linalg.norm(b)), "t": float(rng.uniform(0.15, 0.4))})
    return cases


def _diagonals(rng: np.random.Generator) -> list[Case]:
    """Means and standard deviations of two Gaussians with independent dimensions."""
    return [{"mu_1": torch.tensor(rng.normal(size=F)), "sigma_1": torch.tensor(rng.uniform(0.3, 2, F)), "mu_2": torch.tensor(rng.normal(size=F)), "sigma_2": torch.tensor(rng.uniform(0.3, 2, F))} for F in (2, 3, 7)]


def _log_mean(log_w):
    return torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])


def _effective(log_w):
    return sampling.summarise(log_w).effective_draws


def _arc(z_1, z_2, t):
    return sampling.slerp(z_1, z_2, torch.tensor([t], dtype=z_1.dtype))[0]


def _sines(z_1, z_2, a, b, omega):
    return (math.sin(a * omega) * z_1 + math.sin(b * omega) * z_2) / math.sin(omega)


def _angle(z_1, z_2):
    return math.acos(float(z_1 @ z_2 / z_1.norm() / z_2.norm()))


def _diagonal(mu_1, sigma_1, mu_2, sigma_2):
    return ((mu_1 - mu_2) ** 2 + (sigma_1 - sigma_2) ** 2).sum()


QUESTIONS = {
    "q1": Question(
        name="frechet",
        answer=13.0,
        mistakes=[
            Mistake(
                math.sqrt(13.0),
                "this is the root. The question, like the literature, wants the square.",
            ),
            Mistake(
                9.0 + 25.0,
                "you added σ₁² and σ₂² and took nothing away: that is the cost of independent X and Y. What does the best pairing save?",
            ),
            Mistake(
                9.0 + 49.0,
                "this is the dearest pairing, with the largest x sent to the smallest y.",
            ),
            Mistake(
                3.0 + 4.0,
                "the distance of the means enters squared.",
            ),
            Mistake(
                9.0 + 1.0,
                "the numbers given are variances; the formula takes the difference of standard deviations.",
            ),
            Mistake(
                4.0,
                "the distance of the means is missing.",
            ),
            Mistake(
                9.0,
                "this is the distance of the means alone; the widths differ, too.",
            ),
        ],
        hints=(
            "On the line, X and Y = aX + b. Which a and b make Y have the right mean and variance?",
            "With σ₁ and σ₂ the standard deviations, E(X − Y)² = (μ₁ − μ₂)² + σ₁² + σ₂² − 2·cov. How large can the covariance be?",
            "Equation sampling-frechet-diagonal in the chapter, with one dimension.",
        ),
        tolerance=1e-3,
    ),
    "q2": Question(
        name="log_mean_weight",
        cases=_weights,
        answer=_log_mean,
        mistakes=[
            Mistake(
                lambda log_w: log_w.mean(-1),
                "this is the mean of ln w, the ELBO. The evidence is the logarithm of the mean of w.",
            ),
            Mistake(
                lambda log_w: torch.logsumexp(log_w, -1),
                "you sum the weights; the estimator is their mean. Take ln k away.",
            ),
            Mistake(
                lambda log_w: log_w.exp().mean(-1).log(),
                "your weights underflow: exp(−900) is zero in floating point. torch.logsumexp takes the largest one out first.",
            ),
            Mistake(
                lambda log_w: _log_mean(log_w).mean(),
                "you average over the images as well; one number an image is asked for.",
            ),
            Mistake(
                lambda log_w: torch.logsumexp(log_w, 0) - math.log(log_w.shape[0]),
                "this averages over the images, axis 0. The draws are on the last axis.",
            ),
            Mistake(
                lambda log_w: log_w.amax(-1),
                "the largest weight alone is not the mean; it is too high by nearly ln k.",
            ),
            Mistake(
                lambda log_w: torch.logsumexp(log_w, -1) / log_w.shape[-1],
                "you divide the logarithm by k. It is the sum inside the logarithm that is divided: subtract ln k.",
            ),
        ],
        hints=(
            "ln of a mean is ln of the sum, less ln of the number.",
            "Which function of torch computes ln Σ exp without leaving the logarithms?",
            "Equation sampling-estimator in the chapter.",
        ),
    ),
    "q3": Question(
        name="effective_draws",
        cases=_weights,
        answer=_effective,
        mistakes=[
            Mistake(
                lambda log_w: log_w.exp().sum(-1) ** 2 / (log_w.exp() ** 2).sum(-1),
                "NaN: your weights underflow, zero over zero. Only ratios of weights matter, so subtract the largest log-weight first.",
            ),
            Mistake(
                lambda log_w: 1 / _effective(log_w),
                "yours is upside down: the square of the sum goes above.",
            ),
            Mistake(
                lambda log_w: _effective(log_w) / log_w.shape[-1],
                "this is the share of draws that are effective; their number is asked for.",
            ),
            Mistake(
                lambda log_w: 1 / torch.softmax(log_w, -1).amax(-1),
                "one over the largest share is another measure. Take all shares, squared.",
            ),
            Mistake(
                lambda log_w: torch.softmax(log_w, -1).sum(-1) ** 2,
                "shares sum to one, so this is always 1: the squares below are missing.",
            ),
            Mistake(
                lambda log_w: log_w.sum(-1) ** 2 / (log_w**2).sum(-1),
                "these are sums of the logarithms; the formula has the weights themselves.",
            ),
        ],
        hints=(
            "It does not change if all weights are multiplied by one number.",
            "With s the shares of the weights (they sum to one), it is 1 / Σ s². Which function turns log-weights into shares?",
            "Equation sampling-effective in the chapter.",
        ),
    ),
    "q4": Question(
        name="arc",
        cases=_pairs,
        answer=_arc,
        mistakes=[
            Mistake(
                lambda z_1, z_2, t: (1 - t) * z_1 + t * z_2,
                "this is the straight line: its middle is too short.",
            ),
            Mistake(
                lambda z_1, z_2, t: _arc(z_2, z_1, t),
                "yours starts at z_2: at t = 0 the point should be z_1.",
            ),
            Mistake(
                lambda z_1, z_2, t: _sines(z_1, z_2, 1 - t, t, _angle(z_1, z_2)) * math.sin(_angle(z_1, z_2)),
                "the division by sin Ω is missing: at t = 0 yours is not z_1.",
            ),
            Mistake(
                lambda z_1, z_2, t: math.cos(t * math.pi / 2) * z_1 + math.sin(t * math.pi / 2) * z_2,
                "these weights are right only for codes at a right angle. Compute Ω from the codes.",
            ),
            Mistake(
                lambda z_1, z_2, t: ((1 - t) * z_1 + t * z_2) * z_1.norm() / ((1 - t) * z_1 + t * z_2).norm(),
                "you project the line onto the sphere. The norm is right, but equal steps of t are not equal angles.",
            ),
            Mistake(
                lambda z_1, z_2, t: _sines(z_1, z_2, 1 - t, t, math.acos(max(-1.0, min(1.0, float(z_1 @ z_2))))) if abs(float(z_1 @ z_2)) < 1 else torch.full_like(z_1, math.nan),
                "acos takes the product of the directions: divide z_1 · z_2 by both norms.",
            ),
            Mistake(
                lambda z_1, z_2, t: _arc(z_1 / z_1.norm(), z_2 / z_2.norm(), t),
                "you return a direction, with norm one. Give it the norm of the codes.",
            ),
        ],
        hints=(
            "First the angle: cos Ω is the product of the two directions.",
            "The weights are sin((1−t)Ω)/sin Ω and sin(tΩ)/sin Ω.",
            "Equation sampling-slerp in the chapter.",
        ),
    ),
    "q5": Question(
        name="prediction",
        answer="c",
        mistakes=[
            Mistake("a", "the evidence is an integral over the prior; the encoder does not occur in it."),
            Mistake("b", "think of the bound: does q occur in it, and was q not trained to make it large?"),
            Mistake("d", "the reconstruction of the ELBO is a mean over draws of q. Are draws from a wider q told as well?"),
        ],
        hints=(
            "Which of the three numbers contain q?",
            "The estimate needs draws wherever the model's posterior has mass, and a reverse KL makes q too narrow.",
            "Section “The model on trial” in the chapter, and its right-hand figure.",
        ),
    ),
    "q6": Question(
        name="frechet_diagonal",
        cases=_diagonals,
        answer=_diagonal,
        mistakes=[
            Mistake(
                lambda mu_1, sigma_1, mu_2, sigma_2: _diagonal(mu_1, sigma_1, mu_2, sigma_2).sqrt(),
                "this is the root; the square is what everybody reports.",
            ),
            Mistake(
                lambda mu_1, sigma_1, mu_2, sigma_2: ((mu_1 - mu_2) ** 2 + sigma_1**2 + sigma_2**2).sum(),
                "this pairs the two laws independently. The best pairing saves 2σ₁σ₂ in each dimension.",
            ),
            Mistake(
                lambda mu_1, sigma_1, mu_2, sigma_2: ((mu_1 - mu_2) ** 2 + (sigma_1**2 - sigma_2**2) ** 2).sum(),
                "you take the difference of variances; it is that of standard deviations.",
            ),
            Mistake(
                lambda mu_1, sigma_1, mu_2, sigma_2: _diagonal(mu_1, sigma_1, mu_2, sigma_2) / len(mu_1),
                "you average over the dimensions; a squared distance is their sum.",
            ),
            Mistake(
                lambda mu_1, sigma_1, mu_2, sigma_2: ((mu_1 - mu_2) ** 2 + (sigma_1 - sigma_2).abs()).sum(),
                "the difference of the standard deviations enters squared.",
            ),
            Mistake(
                lambda mu_1, sigma_1, mu_2, sigma_2: ((mu_1 - mu_2) ** 2).sum(),
                "only the means are compared; two laws may differ in width alone.",
            ),
        ],
        hints=(
            "The best pairing treats each dimension by itself.",
            "tr(Σ₁^½ Σ₂ Σ₁^½)^½ is Σ σ₁σ₂ for diagonal matrices.",
            "Equation sampling-frechet-diagonal in the chapter.",
        ),
    ),
}

"""Checks for the exercises on maximum likelihood."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach import mle
from vae_teach.checks import Case, Mistake, Question

LN_2PI = math.log(2 * math.pi)


def _images(rng: np.random.Generator) -> list[Case]:
    """Batches of flat images and their reconstructions, with one log-variance."""
    sizes = [(3, 5), (1, 7), (int(rng.integers(4, 9)), int(rng.integers(10, 20)))]
    return [
        {"x": torch.tensor(rng.uniform(size=s)), "x_hat": torch.tensor(rng.uniform(size=s)), "log_var": torch.tensor(log_var)}
        for s, log_var in zip(sizes, (-1.2, 0.7, float(rng.uniform(-3, -2))))
    ]


def _nll(x, x_hat, log_var):
    return 0.5 * ((x - x_hat) ** 2 / log_var.exp() + log_var + LN_2PI).sum(-1)


def _mixtures(rng: np.random.Generator) -> list[Case]:
    """Points on a line and mixtures of two and three Gaussians."""
    cases = []
    for n, j in ((4, 2), (7, 3), (int(rng.integers(8, 20)), 2)):
        x, mu, sigma = rng.normal(0, 2, n), rng.normal(0, 1.5, j), rng.uniform(0.6, 1.6, j)
        weights = 0.15 + rng.dirichlet(np.ones(j)) * (1 - 0.15 * j)
        cases.append({"x": x, "weights": weights, "mu": mu, "sigma": sigma})
    return [{name: torch.tensor(value) for name, value in case.items()} for case in cases]


def _densities(x, weights, mu, sigma):
    """w_j N(x_i; mu_j, sigma_j²), shape (N, J)."""
    return mle.log_joint(x[:, None], mle.Mixture(weights, mu[:, None], sigma[:, None])).exp()


def _shares(table):
    return table / table.sum(1, keepdim=True)


def _shared_points(rng: np.random.Generator) -> list[Case]:
    """Points on a line and responsibilities for them."""
    cases = []
    for n, j in ((4, 2), (9, 3), (int(rng.integers(10, 20)), 2)):
        cases.append({"x": torch.tensor(rng.normal(3, 2, n)), "q": torch.tensor(rng.dirichlet(np.ones(j), n))})
    return cases


def _fit(x, q):
    return torch.stack([v.reshape(-1) for v in mle.m_step(x[:, None], q)])


def _fit_by_hand(x, q, count=None, centre=None, root=True):
    """The M step with one ingredient changed."""
    count = q.sum(0) if count is None else count
    mu = (q * x[:, None]).sum(0) / count
    var = (q * (x[:, None] - (mu if centre is None else centre)) ** 2).sum(0) / count
    return torch.stack([q.sum(0) / len(x), mu, var.sqrt() if root else var])


def _hard(q):
    return torch.nn.functional.one_hot(q.argmax(1), q.shape[1]).double()


_KL = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)

QUESTIONS = {
    "q1": Question(
        name="rate",
        answer=1 / 3,
        mistakes=[
            Mistake(3.0, "this is the mean wait. The rate is in the exponent: solve N/a − Σx = 0 for a."),
            Mistake(1 / 12, "the logarithm of a counts once for each observation: N ln a, yours has one ln a."),
            Mistake(1 / 4, "you divided by N − 1 somewhere. Maximum likelihood does not: differentiate and solve."),
            Mistake(-1 / 3, "the sign is flipped: the derivative of −a Σx is −Σx."),
            Mistake(12.0, "this is the sum of the waits alone; N ln a has a derivative too."),
        ],
        hints=(
            "Write ℓ(a) as N times one term plus the sum of the others.",
            "Two terms: N ln a and −a Σx. Differentiate both.",
            "Equation mle-bernoulli in the chapter shows the same four steps.",
        ),
        tolerance=2e-3,
    ),
    "q2": Question(
        name="nll",
        cases=_images,
        answer=_nll,
        mistakes=[
            Mistake(lambda x, x_hat, log_var: -_nll(x, x_hat, log_var), "the sign is flipped: the negative log-likelihood is asked for."),
            Mistake(
                lambda x, x_hat, log_var: _nll(x, x_hat, log_var) + ((x - x_hat) ** 2 / log_var.exp()).sum(-1) / 2,
                "the ½ of the square is lost: the learned σ would come out √2 times too large.",
            ),
            Mistake(
                lambda x, x_hat, log_var: _nll(x, x_hat, log_var) - x.shape[-1] * LN_2PI / 2,
                "the constant ½ ln 2π a pixel is missing. As a loss that does no harm; as a log-likelihood it is a wrong number.",
            ),
            Mistake(
                lambda x, x_hat, log_var: _nll(x, x_hat, log_var) - x.shape[-1] * (LN_2PI + log_var) / 2,
                "the normaliser is missing: without ½ ln 2πσ² a learned σ grows for ever.",
            ),
            Mistake(
                lambda x, x_hat, log_var: _nll(x, x_hat, 2 * log_var),
                "you read log_var as ln σ. It is ln σ², so σ² is exp(log_var).",
            ),
            Mistake(
                lambda x, x_hat, log_var: _nll(x, x_hat, log_var) / x.shape[-1],
                "you average over the pixels. Independent pixels multiply, so their logarithms add up: sum.",
            ),
            Mistake(
                lambda x, x_hat, log_var: _nll(x, x_hat, log_var) - (x.shape[-1] - 1) * (LN_2PI + log_var) / 2,
                "the normaliser counts once for each pixel, D times in all; yours counts once.",
            ),
            Mistake(lambda x, x_hat, log_var: _nll(x, x_hat, log_var).mean(), "you average over the batch as well. One number an image is asked for."),
            Mistake(lambda x, x_hat, log_var: _nll(x, x_hat, log_var).sum(), "you sum over the batch as well. One number an image is asked for."),
        ],
        hints=(
            "One pixel first: minus the log-density of a Gaussian has three terms.",
            "σ² is log_var.exp(), and ln σ is log_var / 2. Each pixel has all three terms.",
            "Equation mle-squared in the chapter.",
        ),
    ),
    "q3": Question(
        name="prediction",
        answer="b",
        mistakes=[
            Mistake("a", "more classes do not help: each brings a mean of its own, fitted to two numbers only."),
            Mistake("c", "that would need data farther from their own mean than from the true one."),
            Mistake("d", "two numbers do lie at some distance from their mean."),
        ],
        hints=(
            "What is the mean of the estimated variance within one class?",
            "The shared estimate is the average over classes. An average of many biased numbers keeps the bias.",
            "Equation mle-bias in the chapter, with N = 2.",
        ),
    ),
    "q4": Question(
        name="shares",
        cases=_mixtures,
        answer=lambda x, weights, mu, sigma: _shares(_densities(x, weights, mu, sigma)),
        mistakes=[
            Mistake(
                lambda x, weights, mu, sigma: _densities(x, weights, mu, sigma),
                "these are the joint densities w N. Divide each row by its sum: Bayes' rule.",
            ),
            Mistake(
                lambda x, weights, mu, sigma: _shares(_densities(x, weights, mu, sigma) / weights),
                "the weights are lost: a common component gets more of the points than a rare one.",
            ),
            Mistake(
                lambda x, weights, mu, sigma: _shares(_densities(x, weights, mu, sigma) * sigma),
                "the factor 1/σ of the density is lost. It does not cancel when the components differ in width.",
            ),
            Mistake(
                lambda x, weights, mu, sigma: _shares(_densities(x, weights, mu, sigma).T).T,
                "you normalise over the points. Each point is shared out among the components: every row sums to one.",
            ),
            Mistake(
                lambda x, weights, mu, sigma: _shares(_densities(x, weights, mu, sigma.sqrt())),
                "you use sigma as a variance; it is the standard deviation.",
            ),
            Mistake(
                lambda x, weights, mu, sigma: _hard(_densities(x, weights, mu, sigma)),
                "you give each point wholly to its likeliest component. EM shares it out.",
            ),
            Mistake(
                lambda x, weights, mu, sigma: _shares(_densities(x, weights, mu, sigma)).log(),
                "these are logarithms of the shares.",
            ),
        ],
        hints=(
            "First the table of w_j N(x_i; μ_j, σ_j²), with x as a column: x[:, None].",
            "Then divide each row by its sum, or take a softmax of the logarithms.",
            "Equation mle-e-step in the chapter.",
        ),
    ),
    "q5": Question(
        name="fit_parts",
        cases=_shared_points,
        answer=_fit,
        mistakes=[
            Mistake(
                lambda x, q: _fit_by_hand(x, q, count=torch.full_like(q[0], len(x))),
                "you divide by N. A component's mean divides by its own count, N_j.",
            ),
            Mistake(lambda x, q: _fit_by_hand(x, q, root=False), "the third row holds variances; standard deviations are asked for."),
            Mistake(lambda x, q: _fit_by_hand(x, _hard(q)), "you round the responsibilities to 0 and 1. That is another algorithm, and its bound is lower."),
            Mistake(lambda x, q: _fit_by_hand(x, q, centre=x.mean()), "the widths are measured from the mean of all points; each component has its own mean."),
            Mistake(
                lambda x, q: torch.cat([q.sum(0)[None], _fit(x, q)[1:]]),
                "the first row holds counts; weights are shares: divide by N.",
            ),
            Mistake(
                lambda x, q: torch.cat([torch.full_like(q[:1], 1 / q.shape[1]), _fit(x, q)[1:]]),
                "you keep the weights equal. They are parameters too: N_j / N.",
            ),
            Mistake(lambda x, q: _fit(x, q).T, "the table is transposed: one row for the weights, one for the means, one for the widths."),
        ],
        hints=(
            "Compute the counts N_j = q.sum(0) first; everything uses them.",
            "Shares of points in place of points: weighted mean, then weighted mean square around it.",
            "Equation mle-m-step in the chapter.",
        ),
    ),
    "q6": Question(
        name="bound_value",
        answer=-3 - _KL,
        mistakes=[
            Mistake(-3 + _KL, "this lies above the log-likelihood; a lower bound cannot."),
            Mistake(
                -3 - (0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)),
                "this uses KL(p ‖ q): the arguments are swapped. The mean is under q.",
            ),
            Mistake(-3 - _KL / math.log(2), "your KL is in bits; the log-likelihood is in nats."),
            Mistake(_KL, "this is the gap alone. The bound is the log-likelihood less the gap."),
            Mistake(-3.0, "that would be the bound after an E step, with q equal to the true responsibilities."),
        ],
        hints=(
            "Log-likelihood = bound + gap.",
            "The gap is KL(q ‖ p(·|x)), with q first.",
            "Equation mle-bound in the chapter.",
        ),
        tolerance=1e-3,
    ),
}

"""Checks for the exercises on the variational autoencoder."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from vae_teach import vae
from vae_teach.checks import Case, Mistake, Question
from vae_teach.kl import kl_standard_normal


def _draws(rng: np.random.Generator) -> list[Case]:
    """Means, log-variances and noise of one shape, for several shapes."""
    sizes = [(2, 3), (1, 4), (int(rng.integers(3, 8)), int(rng.integers(5, 9)))]
    names = ("mu", "log_var", "epsilon")
    return [{n: torch.tensor(rng.normal(size=s)) for n in names} for s in sizes]


def _bounds(rng: np.random.Generator) -> list[Case]:
    """What a VAE's networks put out for a batch of binary pictures."""
    cases = []
    for images, pixels, latent in [(3, 6, 2), (2, 11, 4), (int(rng.integers(4, 8)), 9, 3)]:
        cases.append(
            {
                "x": torch.tensor(rng.integers(0, 2, (images, pixels)).astype(float)),
                "logits": torch.tensor(rng.normal(size=(images, pixels))),
                "mu": torch.tensor(rng.normal(size=(images, latent))),
                "log_var": torch.tensor(rng.normal(size=(images, latent))),
            }
        )
    return cases


def _terms(rng: np.random.Generator) -> list[Case]:
    """KL of each image and dimension, and an allowance between their averages."""
    cases = []
    for shape in [(4, 3), (1, 5), (int(rng.integers(5, 9)), 7)]:
        kl = torch.tensor(rng.exponential(size=shape))
        cases.append({"kl": kl, "delta": float(kl.mean(0).median())})
    # An allowance above everything tells "each dimension" from "all together".
    return [*cases, {"kl": kl, "delta": 1.5 * float(kl.mean(0).sum())}]


def _sample(mu, log_var, epsilon):
    return mu + torch.exp(log_var / 2) * epsilon


def _log_p(x, logits):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def _elbo(x, logits, mu, log_var):
    return _log_p(x, logits) - kl_standard_normal(mu, log_var)


QUESTIONS = {
    "q1": Question(
        name="kl_weight",
        answer=0.02,
        mistakes=[
            Mistake(0.01, "σ² = 0.01 is the weight beside ½‖x − x̂‖². This loss has no ½: multiply everything by two."),
            Mistake(0.1, "0.1 is σ. It is the variance σ² that stands beside the KL."),
            Mistake(0.2, "you have 2σ; the weight is 2σ², with the variance."),
            Mistake(0.005, "the factor two went the wrong way: multiply the loss by 2σ², not by σ²/2."),
            Mistake(100.0, "100 is 1/σ², the weight of the squared error when the KL has weight one half. Divide, so that the error has weight one."),
            Mistake(50.0, "50 = 1/(2σ²) is the weight of the squared error beside a KL of weight one. Divide by it."),
        ],
        hints=(
            "Write −ln p(x|z) for σ = 0.1 and add the KL with weight one.",
            "What must you multiply the sum by, so that ‖x − x̂‖² stands alone?",
            "Equation vae-lambda in the chapter, section “Squared error, and what its weight means”.",
        ),
        tolerance=1e-6,
    ),
    "q2": Question(
        name="draw",
        cases=_draws,
        answer=_sample,
        mistakes=[
            Mistake(lambda mu, log_var, epsilon: mu + torch.exp(log_var / 2) + epsilon, "you add σ. z = μ + σ + ε has the wrong mean and unit variance: σ must stretch the noise."),
            Mistake(lambda mu, log_var, epsilon: (mu + epsilon) * torch.exp(log_var / 2), "you stretch the mean as well: (μ + ε)·σ. Stretch the noise, then shift."),
            Mistake(lambda mu, log_var, epsilon: mu + torch.exp(log_var) * epsilon, "exp(log_var) is σ², the variance. The noise is stretched by σ = exp(log_var / 2)."),
            Mistake(lambda mu, log_var, epsilon: mu + log_var * epsilon, "log_var is a logarithm; take the exponential of half of it."),
            Mistake(lambda mu, log_var, epsilon: mu + torch.exp(-log_var / 2) * epsilon, "the sign in the exponent is wrong: σ = exp(+log_var / 2)."),
            Mistake(lambda mu, log_var, epsilon: mu + torch.sqrt(log_var.abs()) * epsilon, "log_var is ln σ², not σ²: take an exponential, not a root."),
        ],
        hints=(
            "First σ from log_var, then one line.",
            "ln σ is half of ln σ².",
            "Equation vae-reparam in the chapter.",
        ),
    ),
    "q3": Question(
        name="elbo_of",
        cases=_bounds,
        answer=_elbo,
        mistakes=[
            Mistake(lambda x, logits, mu, log_var: -_elbo(x, logits, mu, log_var), "this is the loss, −ELBO. The ELBO is what we maximise."),
            Mistake(lambda x, logits, mu, log_var: _log_p(x, logits) + kl_standard_normal(mu, log_var), "the KL has the wrong sign: it is a cost, so it is taken away."),
            Mistake(lambda x, logits, mu, log_var: _log_p(x, logits) / x.shape[-1] - kl_standard_normal(mu, log_var), "the reconstruction is averaged over pixels, the KL summed: a hidden β equal to the number of pixels."),
            Mistake(lambda x, logits, mu, log_var: _log_p(x, logits) - kl_standard_normal(mu, log_var) / mu.shape[-1], "your KL is averaged over the latent dimensions: divide-by-d, a hidden β = 1/d."),
            Mistake(lambda x, logits, mu, log_var: _log_p(x, logits) - kl_standard_normal(mu, 2 * log_var), "your KL reads log_var as ln σ. It is ln σ²."),
            Mistake(lambda x, logits, mu, log_var: _elbo(x, logits, mu, log_var).mean(), "you average over the batch. One ELBO an image is asked for; only a training step averages."),
            Mistake(lambda x, logits, mu, log_var: _elbo(x, torch.sigmoid(logits), mu, log_var), "you put a sigmoid on the logits and then use a loss that applies one itself: two sigmoids."),
            Mistake(lambda x, logits, mu, log_var: -((x - torch.sigmoid(logits)) ** 2).sum(-1) / 2 - kl_standard_normal(mu, log_var), "this is the Gaussian likelihood; the pixels are Bernoulli here."),
            Mistake(lambda x, logits, mu, log_var: _log_p(x, logits), "the KL is missing: this is the reconstruction alone."),
        ],
        hints=(
            "Two numbers an image, then one minus the other.",
            "ln p(x|z) is minus the binary cross-entropy, summed over the pixels of each image.",
            "Equations vae-elbo and vae-bernoulli in the chapter.",
        ),
    ),
    "q4": Question(
        name="free",
        cases=_terms,
        answer=lambda kl, delta: vae.free_bits_cost(kl, delta),
        mistakes=[
            Mistake(lambda kl, delta: kl.clamp(min=delta).mean(0).sum(), "you compare each image's KL with δ. The allowance is for the batch average of a dimension: average first."),
            Mistake(lambda kl, delta: (kl.mean(0) - delta).clamp(min=0).sum(), "you take δ away. Its gradients are the same, but the value asked for is max(δ, KL)."),
            Mistake(lambda kl, delta: kl.mean(0).clamp(max=delta).sum(), "you cap the KL at δ; δ is a floor: max, not min."),
            Mistake(lambda kl, delta: kl.sum(-1).mean().clamp(min=delta), "you give δ to all dimensions together. Each one has its own."),
            Mistake(lambda kl, delta: kl.mean(0).clamp(min=delta).mean(), "you average over the dimensions: sum them."),
            Mistake(lambda kl, delta: kl.mean(0).sum(), "δ is not used: this is the plain KL."),
            Mistake(lambda kl, delta: kl.sum(0).clamp(min=delta).sum(), "you sum over the batch; it is an average over the images."),
        ],
        hints=(
            "Which axis is averaged, which is summed?",
            "torch.clamp(t, min=a) is max(a, t).",
            "Equation vae-free-bits in the chapter.",
        ),
    ),
    "q5": Question(
        name="true_beta",
        answer=784 * 0.005 / 10,
        mistakes=[
            Mistake(0.005, "that is the weight as written. The reductions change it."),
            Mistake(784 * 0.005, "you counted the mean over pixels; the KL is a mean too, over 10 dimensions."),
            Mistake(0.005 / 10, "you counted the mean over dimensions; the reconstruction is a mean too, over 784 pixels."),
            Mistake(0.005 * 10 / 784, "upside down: averaging the reconstruction makes the KL dearer, averaging the KL makes it cheaper."),
            Mistake(784 * 0.005 * 10, "averaging the KL divides it by 10; you multiplied."),
            Mistake(784 * 0.005 / 10 / 2, "the halving belongs to squared error without its ½; this is a cross-entropy."),
        ],
        hints=(
            "Multiply the whole loss until the reconstruction is a sum over pixels.",
            "Then ask what stands in front of a KL that is a sum over dimensions.",
            "Equation vae-hidden-beta in the chapter.",
        ),
        tolerance=1e-6,
    ),
    "q6": Question(
        name="prediction",
        answer="c",
        mistakes=[
            Mistake("a", "a wide decoder does not need a precise code: σ² = 9 says that pixels may be off by 3."),
            Mistake("b", "count again: what does one nat of code buy, when all the data's variance in a direction is less than the noise?"),
            Mistake("d", "nothing overflows. The model has a perfectly good optimum; it is only dull."),
        ],
        hints=(
            "Compare the largest eigenvalue with σ².",
            "A direction pays only if it explains more than the noise already allows.",
            "Equation vae-linear-collapse in the chapter.",
        ),
    ),
}

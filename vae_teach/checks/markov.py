"""Checks for the exercises on Markov chains."""

from __future__ import annotations

import math

import numpy as np
import torch

from vae_teach import markov
from vae_teach.checks import Case, Mistake, Question


def _chain(rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A law and a transition matrix without zeros."""
    return torch.tensor(rng.dirichlet(np.ones(size))), torch.tensor(rng.dirichlet(np.ones(size), size))


def _laws(rng: np.random.Generator) -> list[Case]:
    """Chains of several sizes, a few steps each."""
    cases = []
    for size, steps in ((2, 3), (4, 2), (int(rng.integers(3, 7)), 5)):
        pi, P = _chain(rng, size)
        cases.append({"pi": pi, "P": P, "steps": steps})
    return cases


def _paths(rng: np.random.Generator) -> list[Case]:
    """A path of each of several chains."""
    cases = []
    for size, length in ((2, 4), (3, 9), (5, int(rng.integers(10, 20)))):
        pi, P = _chain(rng, size)
        cases.append({"path": torch.tensor(rng.integers(0, size, length)), "pi": pi, "P": P})
    return cases


def _pictures(rng: np.random.Generator) -> list[Case]:
    """Starts and noise of several shapes, with t from 2 on."""
    cases = []
    for shape, t in (((3,), 2), ((2, 1, 4, 4), int(rng.integers(5, 20))), ((1,), 60)):
        x_0, epsilon = (torch.tensor(a) for a in rng.normal(size=(2, *shape)))
        cases.append({"x_0": x_0, "noise": float(rng.uniform(0.01, 0.015)), "t": t, "epsilon": epsilon})
    return cases


def _moves(rng: np.random.Generator) -> list[Case]:
    """Log-densities before and after a move, and a uniform draw, for many chains."""
    return [{"log_old": torch.tensor(rng.normal(-3, 1, n)), "log_new": torch.tensor(rng.normal(-3, 1, n)), "u": torch.tensor(rng.random(n))} for n in (200, 300, 400)]


def _law(pi, P, steps):
    return pi @ torch.linalg.matrix_power(P, steps)


def _log_path(path, pi, P):
    return markov.log_joint(path[None], pi, P)[0]


def _jump(x_0, noise, t, epsilon):
    kept = (1 - noise) ** t
    return math.sqrt(kept) * x_0 + math.sqrt(1 - kept) * epsilon


def _accept(log_old, log_new, u):
    return (u < torch.exp(log_new - log_old)).double()


QUESTIONS = {
    "q1": Question(
        name="p_wet",
        answer=0.25 * (1 - 0.6**3),
        mistakes=[
            Mistake(0.75 * (1 - 0.6**3), "this is the way back, from wet to dry: row and column are swapped. Row 0 belongs to a dry day."),
            Mistake(0.25, "this is the stationary share of wet days. After three days the start still counts."),
            Mistake(0.25 * (1 - 0.6**2), "this is the law after two days; three arrows lead to the third."),
            Mistake(0.25 * (1 - 0.6**4), "this is the law after four days: you count the start as a step."),
            Mistake(1 - 0.9**3, "this is the probability of at least one wet day. The day may have dried again: only the third day counts."),
            Mistake(1 - 0.25 * (1 - 0.6**3), "this is the probability that the third day is dry."),
            Mistake(0.1**3, "this takes one entry of P to the third power. The power of a matrix sums over all paths."),
        ],
        hints=(
            "Let w be the probability of a wet day. Write tomorrow's w in terms of today's.",
            "w′ = 0.1 (1 − w) + 0.7 w. Subtract the stationary share from both sides: what factor is left?",
            "Equations markov-step and markov-spectral in the chapter.",
        ),
        tolerance=1e-3,
    ),
    "q2": Question(
        name="law_after",
        cases=_laws,
        answer=_law,
        mistakes=[
            Mistake(lambda pi, P, steps: torch.linalg.matrix_power(P, steps) @ pi, "P stands on the wrong side: P @ pi is an expected value, not a law. A law is a row, pi @ P."),
            Mistake(
                lambda pi, P, steps: (torch.linalg.matrix_power(P, steps) @ pi) / (torch.linalg.matrix_power(P, steps) @ pi).sum(),
                "P stands on the wrong side, and the normalisation hides it: a right step keeps the sum.",
            ),
            Mistake(lambda pi, P, steps: pi @ P**steps, "P ** steps takes the power of each entry. The power of a matrix is torch.linalg.matrix_power."),
            Mistake(lambda pi, P, steps: _law(pi, P, steps - 1), "one step is missing: the loop ends too early."),
            Mistake(lambda pi, P, steps: _law(pi, P, steps + 1), "one step too many: after 0 steps the law is pi itself."),
            Mistake(lambda pi, P, steps: markov.stationary(P), "this is the stationary law, the end of a long way; after a few steps the start still counts."),
        ],
        hints=(
            "One step is one matrix product; repeat it.",
            "The law is a row, so it stands on the left.",
            "Equations markov-step and markov-power in the chapter.",
        ),
    ),
    "q3": Question(
        name="log_path",
        cases=_paths,
        answer=_log_path,
        mistakes=[
            Mistake(lambda path, pi, P: _log_path(path, pi, P) - pi[path[0]].log(), "the first factor, p(x₀), is missing."),
            Mistake(lambda path, pi, P: pi[path[0]].log() + P[path[1:], path[:-1]].log().sum(), "your arrows point backwards: the row is where the step comes from."),
            Mistake(lambda path, pi, P: _log_path(path, pi, P).exp(), "this is the probability; its logarithm is asked for. For a long path the product would underflow."),
            Mistake(lambda path, pi, P: pi[path[0]].log() + P[path[:-1], path[1:]].log().mean(), "you average over the steps; the logarithm of a product is a sum."),
            Mistake(lambda path, pi, P: pi[path].log().sum(), "you treat the states as independent draws from pi. Only the first one is drawn from it."),
            Mistake(lambda path, pi, P: _log_path(path, pi, P) / math.log(2), "this is in bits; nats are asked for."),
            Mistake(lambda path, pi, P: -_log_path(path, pi, P), "the sign is flipped: the logarithm of a probability is at most zero."),
        ],
        hints=(
            "One term for the start and one for each arrow.",
            "P[path[:-1], path[1:]] takes one entry for each step.",
            "Equation markov-joint in the chapter.",
        ),
    ),
    "q4": Question(
        name="prediction",
        answer="b",
        mistakes=[
            Mistake("a", "that would be a fall by a constant amount a step. The distance falls by a constant factor."),
            Mistake("c", "then each factor of ten would take a hundred steps. Compare 0.9 to the power of 22 with 0.1."),
            Mistake("d", "a hundred times smaller does not take a hundred times as long: the fall is exponential."),
        ],
        hints=(
            "By what factor does the distance fall in one step, once the first few are over?",
            "Which power of 0.9 is 1/100?",
            "Equations markov-sandwich and markov-spectral in the chapter.",
        ),
    ),
    "q5": Question(
        name="noisy",
        cases=_pictures,
        answer=_jump,
        mistakes=[
            Mistake(
                lambda x_0, noise, t, epsilon: (1 - noise) ** t * x_0 + math.sqrt(1 - (1 - noise) ** t) * epsilon,
                "the mean shrinks by √(1 − β) a step: the root over ᾱ is missing in front of x₀.",
            ),
            Mistake(
                lambda x_0, noise, t, epsilon: (1 - noise) ** (t / 2) * x_0 + (1 - (1 - noise) ** t) * epsilon,
                "1 − ᾱ is the variance of the noise. Its standard deviation, a root, multiplies epsilon.",
            ),
            Mistake(lambda x_0, noise, t, epsilon: _jump(x_0, noise, 1, epsilon), "this is one step; t of them are asked for."),
            Mistake(
                lambda x_0, noise, t, epsilon: (1 - noise) ** (t / 2) * x_0 + math.sqrt(t * noise) * epsilon,
                "you add up t variances β, but each later step shrinks the noise of those before it.",
            ),
            Mistake(
                lambda x_0, noise, t, epsilon: (1 - noise) ** (t / 2) * x_0 + math.sqrt(noise) * epsilon,
                "this has the noise of the last step only; the earlier ones are still in x.",
            ),
            Mistake(
                lambda x_0, noise, t, epsilon: math.sqrt(1 - (1 - noise) ** t) * x_0 + (1 - noise) ** (t / 2) * epsilon,
                "the two shares are swapped: for large t nothing of x₀ should be left.",
            ),
        ],
        hints=(
            "What is ᾱ after t steps? Two shares, ᾱ and 1 − ᾱ, of the variance.",
            "Variances are shares; what multiplies a variable is a root.",
            "Equation markov-ar-law in the chapter.",
        ),
    ),
    "q6": Question(
        name="accept",
        cases=_moves,
        answer=_accept,
        mistakes=[
            Mistake(lambda log_old, log_new, u: _accept(log_new, log_old, u), "the ratio is upside down: new over old. Yours flees from the hills."),
            Mistake(lambda log_old, log_new, u: (log_new >= log_old).double(), "you never go downhill. That is a search for the top, not a sampler."),
            Mistake(lambda log_old, log_new, u: 1 - _accept(log_old, log_new, u), "you accept what should be refused: the comparison with u points the wrong way."),
            Mistake(lambda log_old, log_new, u: (u < log_new - log_old).double(), "you compare u with a difference of logarithms. Take exp of it, or the logarithm of u."),
            Mistake(lambda log_old, log_new, u: (u < log_new.exp()).double(), "you compare with the new density alone. That depends on its constant; the ratio does not."),
            Mistake(
                lambda log_old, log_new, u: (log_new - log_old).exp().clamp(max=1),
                "this is the probability of accepting. The answer is a decision: compare it with u.",
            ),
            Mistake(lambda log_old, log_new, u: torch.ones_like(u), "you accept every move: then the target has no say."),
        ],
        hints=(
            "The ratio of two densities is the exponential of a difference.",
            "u lies below r with probability min(1, r).",
            "Equation markov-accept in the chapter.",
        ),
    ),
}

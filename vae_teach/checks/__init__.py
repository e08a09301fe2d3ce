"""Instant checks for the exercises: passed, or which mistake it looks like; never the answer.

In an exercise notebook::

    from vae_teach.checks import check, hint
    check("kl.q1")   # looks at what you defined
    hint("kl.q1")    # each call says a little more

The questions of a topic live in ``vae_teach.checks.SLUG`` as ``QUESTIONS``. Inputs are drawn afresh at every check.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import numpy as np
import torch

Case = dict[str, Any]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give, and what to tell them."""

    answer: Any
    message: str


@dataclass(frozen=True)
class Question:
    """One checkable question.

    Attributes:
        name: what the reader defines: a function (checked on ``cases``) or a value.
        answer: the right function, number, or letter.
        mistakes: wrong ones of the same kind, each with its message.
        hints: hint, stronger hint, and the equation or section to read; none gives the answer.
        cases: for functions: draws keyword arguments from a generator, several sets of them.
        tolerance: relative; absolute on numbers below one.
    """

    name: str
    answer: Any
    mistakes: Sequence[Mistake]
    hints: tuple[str, str, str]
    cases: Callable[[np.random.Generator], list[Case]] | None = None
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Result:
    """Whether an answer is right, and the sentence for its author."""

    passed: bool
    message: str


def questions(slug: str) -> dict[str, Question]:
    """The checkable questions of a topic by their short names (``"q1"``).

    Raises:
        KeyError: the topic has none.
    """
    try:
        return importlib.import_module(f"vae_teach.checks.{slug}").QUESTIONS
    except ModuleNotFoundError as error:
        if error.name != f"vae_teach.checks.{slug}":
            raise
        raise KeyError(f"no exercises under {slug!r}. A question is named like 'kl.q1'.") from None


def find(question: str) -> Question:
    """The question named like ``"kl.q1"``."""
    slug, _, short = question.partition(".")
    if short not in questions(slug):
        raise KeyError(f"no question {question!r}; {slug} has {', '.join(questions(slug))}.")
    return questions(slug)[short]


def check(question: str) -> None:
    """Check the answer that the calling notebook defines, and print what to make of it."""
    result = grade(question, sys._getframe(1).f_globals)
    print(f"{'✓' if result.passed else '✗'} {question}: {result.message}")


_hints_given: dict[str, int] = {}


def hint(question: str) -> None:
    """Print the next hint; the third and last one names where the book treats it."""
    hints = find(question).hints
    step = min(_hints_given.get(question, 0), len(hints) - 1)
    _hints_given[question] = step + 1
    print(f"Hint {step + 1} of {len(hints)} for {question}: {hints[step]}")


def grade(question: str, namespace: Mapping[str, Any], seed: int | None = None) -> Result:
    """Judge the answer that ``namespace`` defines.

    Args:
        seed: of the inputs a function is tried on; fresh ones by default.
    """
    q = find(question)
    if q.name not in namespace or namespace[q.name] is ...:
        return Result(False, f"nothing to check yet: define `{q.name}` first.")
    given = namespace[q.name]
    if q.cases is None:
        return _grade_value(q, given)
    if not callable(given):
        return Result(False, f"`{q.name}` should be a function, it is a {type(given).__name__}.")
    return _grade_function(q, given, q.cases(np.random.default_rng(seed)))


def _grade_value(q: Question, given: Any) -> Result:
    if isinstance(q.answer, str):
        given = str(given).strip(" ().'\"\n").lower()
    elif (number := _tensor(given)) is not None and number.numel() == 1:
        given = number.reshape(())  # an array of one number is that number
    if _same(given, q.answer, q.tolerance):
        return Result(True, "passed.")
    for mistake in q.mistakes:
        if _same(given, mistake.answer, q.tolerance):
            return Result(False, mistake.message)
    return Result(False, f"`{q.name}` is not right, and it is none of the usual mistakes. Try hint() for a way in.")


def _grade_function(q: Question, given: Callable, cases: list[Case]) -> Result:
    outputs = []
    for case in cases:
        mine = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in case.items()}
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outputs.append(given(**mine))
        except NotImplementedError as error:
            if error.args:  # torch's, not the line left for the reader
                return Result(False, f"`{q.name}` raised NotImplementedError: {error} (called with {_describe(case)}).")
            return Result(False, f"nothing to check yet: `{q.name}` is still to be written.")
        except Exception as error:  # whatever a reader's code raises is theirs to see
            return Result(False, f"`{q.name}` raised {type(error).__name__}: {error} (called with {_describe(case)}).")
        if any(isinstance(v, torch.Tensor) and not torch.equal(v, case[name]) for name, v in mine.items()):
            return Result(False, f"`{q.name}` changes its arguments in place; work on new tensors.")
    expected = [q.answer(**case) for case in cases]
    if all(_same(out, want, q.tolerance) for out, want in zip(outputs, expected)):
        return Result(True, "passed.")
    for mistake in q.mistakes:
        if all(_same(out, mistake.answer(**case), q.tolerance) for out, case in zip(outputs, cases)):
            return Result(False, mistake.message)
    case, out, want = next((c, o, w) for c, o, w in zip(cases, outputs, expected) if not _same(o, w, q.tolerance))
    out = _tensor(out)
    if out is None:
        return Result(False, f"`{q.name}` should return numbers; it returned something else (called with {_describe(case)}). Is a `return` missing?")
    if out.shape != _tensor(want).shape:
        return Result(False, f"`{q.name}` returns shape {tuple(out.shape)} where {tuple(_tensor(want).shape)} is wanted (called with {_describe(case)}).")
    if bool(torch.isnan(out).any()):
        return Result(False, f"`{q.name}` returns NaN (called with {_describe(case)}).")
    return Result(False, f"`{q.name}` is wrong when called with {_describe(case)}, and it is none of the usual mistakes. Try hint() for a way in.")


def _tensor(value: Any) -> torch.Tensor | None:
    try:
        return torch.as_tensor(value).detach().cpu().double()
    except (TypeError, ValueError, RuntimeError):
        return None


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(b, str) or isinstance(a, str):
        return a == b
    a, b = _tensor(a), _tensor(b)
    if a is None or a.shape != b.shape:
        return False
    near = b.isfinite() & ((a - b).abs() <= tolerance * b.abs().clamp(min=1.0))
    return bool((near | (a == b) | (a.isnan() & b.isnan())).all())  # infinities equal each other


def _describe(case: Case) -> str:
    def one(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return f"{value.item():.3g}" if value.ndim == 0 else f"shape {tuple(value.shape)}"
        return repr(value)

    return ", ".join(f"{name}: {one(value)}" for name, value in case.items())

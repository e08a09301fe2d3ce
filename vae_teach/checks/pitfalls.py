"""Checks for the exercises on Pitfalls."""

from __future__ import annotations

from vae_teach.checks import Question

QUESTIONS: dict[str, Question] = {}

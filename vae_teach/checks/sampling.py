"""Checks for the exercises on Sampling and judging."""

from __future__ import annotations

from vae_teach.checks import Question

QUESTIONS: dict[str, Question] = {}

"""Checks for the exercises on Markov chains."""

from __future__ import annotations

from vae_teach.checks import Question

QUESTIONS: dict[str, Question] = {}

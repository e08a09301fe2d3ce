"""Checks for the exercises on Autoencoders."""

from __future__ import annotations

from vae_teach.checks import Question

QUESTIONS: dict[str, Question] = {}

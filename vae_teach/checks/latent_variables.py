"""Checks for the exercises on Latent variables."""

from __future__ import annotations

from vae_teach.checks import Question

QUESTIONS: dict[str, Question] = {}

"""Markov chains."""

from __future__ import annotations

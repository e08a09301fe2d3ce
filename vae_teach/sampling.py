"""Sampling and judging."""

from __future__ import annotations

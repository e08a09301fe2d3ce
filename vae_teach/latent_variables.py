"""Latent variables."""

from __future__ import annotations

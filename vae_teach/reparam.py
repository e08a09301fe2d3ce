"""Reparameterisation."""

from __future__ import annotations

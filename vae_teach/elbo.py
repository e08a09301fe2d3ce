"""The ELBO."""

from __future__ import annotations

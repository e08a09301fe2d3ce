"""Maximum likelihood."""

from __future__ import annotations

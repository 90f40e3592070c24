"""Rough cost of the phonon stages, for ``--dry-run``."""

from __future__ import annotations


"""Memory bounds: how much may be used, and how work is cut to fit."""

from __future__ import annotations

import os
import re

from elphant.errors import ConfigurationError, ResourceError

#: Share of the physical memory used when the user names no bound.
DEFAULT_SHARE = 0.8
_UNITS = {"": 1.0, "g": 1.0, "gb": 1.0, "m": 1e-3, "mb": 1e-3, "t": 1e3, "tb": 1e3}


def parse_memory(text: str | float | None) -> float:
    """Return a memory bound in GB from ``16``, ``16GB`` or ``500 MB``; None takes the default.

    Raises
    ------
    ConfigurationError
        If the text cannot be read.
    """
    if text is None:
        pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return DEFAULT_SHARE * pages / 1e9
    match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([a-zA-Z]*)\s*", str(text))
    if not match or match[2].lower() not in _UNITS or float(match[1]) <= 0:
        raise ConfigurationError(
            f"memory bound {text!r} cannot be read.", fix="Write for example 8GB or 500MB."
        )
    return float(match[1]) * _UNITS[match[2].lower()]


def require_memory(estimate_gb: float, bound_gb: float, task: str, advice: str) -> None:
    """Raise unless ``estimate_gb`` fits into ``bound_gb``.

    Raises
    ------
    ResourceError
        With the two numbers and ``advice``.
    """
    if estimate_gb > bound_gb:
        raise ResourceError(
            f"{task} needs about {estimate_gb:.1f} GB, but the bound is {bound_gb:.1f} GB.",
            fix=advice,
        )

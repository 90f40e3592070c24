"""Chemical symbols and standard atomic masses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray


def symbols_of(numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the chemical symbol of each atomic number."""
    return tuple(chemical_symbols[int(number)] for number in numbers)


def numbers_of(symbols: Iterable[str]) -> tuple[int, ...]:
    """Return the atomic number of each chemical symbol."""
    return tuple(chemical_symbols.index(symbol) for symbol in symbols)


def standard_masses(numbers: Iterable[int]) -> NDArray[np.float64]:
    """Return standard atomic masses (amu; IUPAC 2016, as tabulated by ASE)."""
    return np.array([atomic_masses[int(number)] for number in numbers], dtype=float)


def chemical_formula(symbols: Iterable[str], *, reduced: bool = True) -> str:
    """Return the chemical formula, elements in order of first appearance.

    Parameters
    ----------
    symbols : iterable of str
        Chemical symbols of all atoms.
    reduced : bool
        Divide all counts by their greatest common divisor.
    """
    counts: dict[str, int] = {}
    for symbol in symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
    divisor = int(np.gcd.reduce(list(counts.values()))) if reduced and counts else 1
    return "".join(
        symbol + (str(count // divisor) if count // divisor > 1 else "")
        for symbol, count in counts.items()
    )

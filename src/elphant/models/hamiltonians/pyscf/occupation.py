"""Filling of bands at a set of k points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Occupation:
    """Electrons in each state.

    Attributes
    ----------
    numbers : ndarray, (n_k, n_bands)
        0 to 2.
    chemical_potential : float, eV
    gap : float, eV
        Lowest empty minus highest filled band energy at these k points; negative if they overlap.
    partial : float
        Electrons per cell in states that a perfect insulator would leave empty.
    """

    numbers: Array
    chemical_potential: float
    gap: float
    partial: float


def occupy(energies: Array, weights: Array, n_electrons: int, width: float) -> Occupation:
    """Fill bands (n_k, n_bands) by a Fermi distribution of ``width`` (eV); even electron number."""
    n_filled = n_electrons // 2
    top = float(energies[:, n_filled - 1].max())
    bottom = float(energies[:, n_filled].min()) if n_filled < energies.shape[1] else np.inf
    if bottom - top > 60.0 * width:
        numbers = np.zeros_like(energies)
        numbers[:, :n_filled] = 2.0
        middle = 0.5 * (top + bottom) if np.isfinite(bottom) else top + 30.0 * width
        return Occupation(numbers=numbers, chemical_potential=middle, gap=bottom - top, partial=0.0)
    low, high = min(top, bottom) - 30.0 * width, max(top, bottom) + 30.0 * width
    for _ in range(200):
        middle = 0.5 * (low + high)
        numbers = 2.0 * _fermi((energies - middle) / width)
        if float(weights @ numbers.sum(axis=1)) < n_electrons:
            low = middle
        else:
            high = middle
    return Occupation(
        numbers=numbers,
        chemical_potential=middle,
        gap=bottom - top,
        partial=float(weights @ numbers[:, n_filled:].sum(axis=1)),
    )


def _fermi(x: Array) -> Array:
    return np.asarray(0.5 * (1.0 - np.tanh(0.5 * x)))

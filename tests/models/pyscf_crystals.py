"""Small crystals for the tests of the PySCF provider."""

from __future__ import annotations

import numpy as np

from elphant.crystal import Crystal

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def zincblende(numbers: tuple[int, int], constant: float) -> Crystal:
    return Crystal(
        lattice=constant * FCC,
        fractional=np.array([[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]]),
        numbers=np.array(numbers),
    )


def silicon() -> Crystal:
    return zincblende((14, 14), 5.43356)


def low_symmetry() -> Crystal:
    """Two atoms of different elements in a triclinic cell."""
    return Crystal(
        lattice=np.array([[4.1, 0.2, -0.1], [0.5, 4.3, 0.3], [-0.4, 0.6, 4.6]]),
        fractional=np.array([[0.02, 0.05, 0.01], [0.31, 0.22, 0.28]]),
        numbers=np.array([31, 33]),
    )


def turned(crystal: Crystal, seed: int = 3) -> tuple[Crystal, np.ndarray]:
    """Return the crystal after a random proper rotation, and the rotation."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    return crystal.replaced(lattice=crystal.lattice @ rotation.T), rotation

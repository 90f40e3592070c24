"""A crystal of anharmonic springs: force constants of second and third order in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from elphant.crystal import Crystal
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.force_constants import ForceConstants

ORTHORHOMBIC = np.diag([3.0, 3.4, 3.9])
CUBIC = 3.2 * np.eye(3)
CSCL = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])


def spring_crystal(
    lattice: ArrayLike,
    fractional: ArrayLike = CSCL,
    numbers: ArrayLike = (11, 17),
    *,
    cutoff: float = 4.2,
    softening: float = 0.0,
) -> ForceConstants:
    """Return force constants of ``k/2 (r - r0)^2 + g/6 (r - r0)^3`` between all neighbours.

    Every spring is at rest in the crystal, so the crystal is stable and obeys all sum rules.
    ``softening`` subtracts that fraction of the springs longer than 3.3 Å: above one the crystal
    becomes unstable.
    """
    crystal = Crystal(
        lattice=np.asarray(lattice, dtype=float),
        fractional=np.asarray(fractional, dtype=float),
        numbers=np.asarray(numbers),
    )
    matrix = 3 * np.eye(3, dtype=int)
    phonopy = build_phonopy(crystal, matrix, primitive_matrix=np.eye(3))
    cell, positions = phonopy.supercell.cell, phonopy.supercell.positions
    images = (np.array(list(np.ndindex(3, 3, 3))) - 1) @ cell
    n_primitive, n = len(phonopy.primitive), len(positions)
    second = np.zeros((n_primitive, n, 3, 3))
    third = np.zeros((n_primitive, n, n, 3, 3, 3))
    for row, i in enumerate(phonopy.primitive.p2s_map):
        for j in range(n):
            for bond in positions[j] - positions[i] + images:
                length = np.linalg.norm(bond)
                if not 1e-3 < length < cutoff:
                    continue
                k, t = _spring(bond, length, softening)
                second[row, i] += k
                second[row, j] -= k
                # One minus sign for each derivative with respect to the first end of the spring.
                third[row, i, i] -= t
                third[row, i, j] += t
                third[row, j, i] += t
                third[row, j, j] -= t
    return ForceConstants(
        unitcell=crystal,
        primitive_matrix=np.eye(3),
        supercell_matrix_second=matrix,
        second=second,
        supercell_matrix_third=matrix,
        third=third,
    )


def _spring(bond: np.ndarray, length: float, softening: float) -> tuple[np.ndarray, np.ndarray]:
    """Return second and third derivatives of the energy of one spring at rest."""
    n, eye = bond / length, np.eye(3)
    k, g = 6.0 * (2.5 / length) ** 4, -15.0 * (2.5 / length) ** 5
    if length > 3.3:
        k *= 1.0 - softening
    nnn = np.einsum("a,b,c->abc", n, n, n)
    mixed = (
        np.einsum("ab,c->abc", eye, n)
        + np.einsum("bc,a->abc", eye, n)
        + np.einsum("ac,b->abc", eye, n)
    )
    return k * np.outer(n, n), g * nnn + k / length * (mixed - 3.0 * nnn)

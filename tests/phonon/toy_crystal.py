"""Toy crystals whose force constants of second to fourth order are known bond by bond."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from elphant.crystal import Crystal
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.sparse_force_constants import SparseForceConstants

CSCL = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])


def bonds(crystal: Crystal, cutoff: float):
    """Return (i, j, cell of j, bond vector) of every bond up to ``cutoff``, from both ends."""
    found = []
    for i in range(crystal.n_atoms):
        for j in range(crystal.n_atoms):
            for cell in np.ndindex(5, 5, 5):
                shift = np.array(cell) - 2
                vector = (crystal.fractional[j] + shift - crystal.fractional[i]) @ crystal.lattice
                if 1e-6 < np.linalg.norm(vector) < cutoff:
                    found.append((i, j, shift, vector))
    return found


def bond_clusters(crystal: Crystal, cutoff: float, order: int, strength) -> SparseForceConstants:
    """Return the clusters of ``sum over bonds of strength(r)/n! (r̂·(u_j - u_i))^n``.

    Every ordering of the 2^n choices of an end per leg is a row; the first leg is in the home cell.
    """
    atoms, cells, blocks = [], [], []
    for i, j, shift, vector in bonds(crystal, cutoff):
        length = np.linalg.norm(vector)
        direction = vector / length
        block = np.array(strength(length))
        for _ in range(order):
            block = np.multiply.outer(block, direction)
        for ends in np.ndindex(*(2,) * order):
            if ends[0] != 0:
                continue  # bonds are met from both ends, so that the first leg is always i
            atoms.append([(i, j)[end] for end in ends])
            cells.append([shift * end for end in ends[1:]])
            blocks.append((-1) ** (order - sum(ends)) * block)
    return SparseForceConstants(
        atoms=np.array(atoms), cells=np.array(cells), blocks=np.array(blocks),
        n_primitive=crystal.n_atoms,
    )  # fmt: skip


def toy_crystal(
    lattice: ArrayLike,
    fractional: ArrayLike = CSCL,
    numbers: ArrayLike = (11, 17),
    *,
    cutoff: float = 4.2,
    cubic: float = -8.0,
    quartic: float = 40.0,
    supercell: int = 3,
) -> ForceConstants:
    """Return a stable crystal of springs at rest with cubic and quartic bonds."""
    crystal = Crystal(
        lattice=np.asarray(lattice, dtype=float),
        fractional=np.asarray(fractional, dtype=float),
        numbers=np.asarray(numbers),
    )
    second = bond_clusters(crystal, cutoff, 2, lambda r: 6.0 * np.exp(-1.3 * (r - 2.8)))
    matrix = supercell * np.eye(3, dtype=int)
    return ForceConstants(
        unitcell=crystal,
        primitive_matrix=np.eye(3),
        supercell_matrix_second=matrix,
        second=compact_second(crystal, matrix, second),
        third_clusters=bond_clusters(
            crystal, cutoff, 3, lambda r: cubic * np.exp(-1.3 * (r - 2.8))
        ),
        fourth=bond_clusters(crystal, cutoff, 4, lambda r: quartic * np.exp(-1.3 * (r - 2.8))),
    )


def compact_second(
    crystal: Crystal, matrix: np.ndarray, clusters: SparseForceConstants
) -> np.ndarray:
    """Return second-order clusters in the compact layout of a supercell."""
    phonopy = build_phonopy(crystal, matrix, primitive_matrix=np.eye(3))
    supercell = phonopy.supercell
    positions = supercell.scaled_positions @ matrix  # fractional in the unit cell
    second = np.zeros((crystal.n_atoms, len(positions), 3, 3))
    size = np.diag(matrix)
    for (i, j), cell, block in zip(
        clusters.atoms, clusters.cells[:, 0], clusters.blocks, strict=True
    ):
        difference = positions - (crystal.fractional[j] + cell)
        wrapped = difference - size * np.rint(difference / size)
        target = int(np.argmin(np.abs(wrapped).sum(axis=1)))
        second[i, target] += block
    return second

"""Which blocks (i, j, R) of Hamiltonian and overlap are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.orbitals import LatticeMatrix

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Atoms whose distances differ by less (Å) count as equally far.
DISTANCE_MARGIN = 1e-3


def distances(matrix: LatticeMatrix, crystal: Crystal) -> Array:
    """Return the distance (Å) between the atoms of each block."""
    i, j = matrix.pairs.T
    bonds = crystal.fractional[j] - crystal.fractional[i] + matrix.cells
    return np.asarray(np.linalg.norm(bonds @ crystal.lattice, axis=1))


def largest_range(matrix: LatticeMatrix, crystal: Crystal) -> float:
    """Return the largest distance (Å) between the atoms of a block."""
    return float(distances(matrix, crystal).max(initial=0.0))


def aligned(
    crystal: Crystal, sums: Sequence[Sequence[LatticeMatrix]], floors: Sequence[float]
) -> list[LatticeMatrix]:
    """Return one matrix per entry of ``sums``, added up, all with the same blocks.

    A pair of elements keeps all blocks up to the distance beyond which the norms of the blocks of
    the first ``len(floors)`` matrices stay below the floors. So the choice depends on distances
    alone: it is the same after a rotation, and symmetric.

    Parameters
    ----------
    crystal : Crystal
    sums : sequence of sequences of LatticeMatrix
        Terms of each matrix.
    floors : sequence of float
        In the units of each matrix.
    """
    everything = [matrix for terms in sums for matrix in terms]
    pattern = _union(everything)
    totals = []
    for terms in sums:
        values = np.zeros(int(pattern.offsets[-1]))
        for term in terms:
            values[_places(pattern, term)] += term.values
        totals.append(pattern.with_values(values))
    distance = distances(pattern, crystal)
    numbers = crystal.numbers[pattern.pairs]
    kinds = numbers.min(axis=1) * 1000 + numbers.max(axis=1)
    kept = np.zeros(pattern.n_blocks, dtype=bool)
    large = np.zeros(pattern.n_blocks, dtype=bool)
    for matrix, floor in zip(totals, floors, strict=False):
        # The norm of a block does not change in a rotated frame, its largest element does.
        large |= np.add.reduceat(matrix.values**2, matrix.offsets[:-1]) > floor**2
    for kind in np.unique(kinds):
        mine = kinds == kind
        reach = distance[mine & large].max(initial=0.0)
        kept |= mine & (distance <= reach + DISTANCE_MARGIN)
    return [matrix.selected(kept) for matrix in totals]


def _union(matrices: Sequence[LatticeMatrix]) -> LatticeMatrix:
    keys = [np.concatenate([matrix.pairs, matrix.cells], axis=1) for matrix in matrices]
    found = np.unique(np.concatenate(keys), axis=0)
    sizes = matrices[0].sizes
    n = int((sizes[found[:, 0]] * sizes[found[:, 1]]).sum())
    return LatticeMatrix(sizes=sizes, pairs=found[:, :2], cells=found[:, 2:], values=np.zeros(n))


def _places(pattern: LatticeMatrix, matrix: LatticeMatrix) -> Integers:
    """Return where the values of ``matrix`` stand among those of ``pattern``."""
    order = {
        key: index
        for index, key in enumerate(
            map(tuple, np.concatenate([pattern.pairs, pattern.cells], axis=1).tolist())
        )
    }
    keys = map(tuple, np.concatenate([matrix.pairs, matrix.cells], axis=1).tolist())
    blocks = np.array([order[key] for key in keys], dtype=np.int64)
    lengths = np.diff(matrix.offsets)
    shift = pattern.offsets[blocks] - matrix.offsets[:-1]
    return np.asarray(np.arange(len(matrix.values)) + np.repeat(shift, lengths))

"""Pairs of atoms whose orbitals overlap, and the place of their blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.orbitals import LatticeMatrix
from elphant.units import OPENMX_ANGSTROM_PER_BOHR

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PairList:
    r"""All pairs with :math:`|r_j + R - r_i| \le r_c^i + r_c^j`, each atom with itself included.

    Attributes
    ----------
    pattern : LatticeMatrix
        The blocks, all zero; sorted by (i, j, R).
    vectors : ndarray, (n_blocks, 3) bohr
        From i to j; exactly zero for an atom and itself.
    cutoffs : ndarray, (n_atoms,) bohr
    first : ndarray of int, (n_atoms + 1,)
        Blocks of atom i are first[i] to first[i + 1].
    """

    pattern: LatticeMatrix
    vectors: Array
    cutoffs: Array
    first: Integers

    @classmethod
    def of(cls, crystal: Crystal, cutoffs: Array, sizes: Integers) -> PairList:
        """Find the pairs of a crystal.

        Parameters
        ----------
        crystal : Crystal
        cutoffs : ndarray, (n_atoms,) bohr
        sizes : ndarray of int, (n_atoms,)
            Number of orbitals of each atom.
        """
        lattice = crystal.lattice / OPENMX_ANGSTROM_PER_BOHR
        heights = crystal.heights / OPENMX_ANGSTROM_PER_BOHR
        pairs, cells, vectors = [], [], []
        for i in range(crystal.n_atoms):
            reach = cutoffs[i] + cutoffs
            bonds = crystal.fractional - crystal.fractional[i]
            low = np.floor((-reach.max() / heights) - bonds.max(axis=0)).astype(np.int64)
            high = np.ceil((reach.max() / heights) - bonds.min(axis=0)).astype(np.int64)
            axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
            shifts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
            all_vectors = (bonds[:, None] + shifts) @ lattice
            near = np.linalg.norm(all_vectors, axis=2) <= reach[:, None]
            j, where = np.nonzero(near)
            pairs.append(np.stack([np.full(len(j), i), j], axis=1))
            cells.append(shifts[where])
            vectors.append(all_vectors[j, where])
        all_pairs, all_cells = np.concatenate(pairs), np.concatenate(cells)
        found = np.concatenate(vectors)
        own = (all_pairs[:, 0] == all_pairs[:, 1]) & ~all_cells.any(axis=1)
        found[own] = 0.0
        # Already in the order of LatticeMatrix: atoms and cells ascend.
        n_values = int(sizes[all_pairs].prod(axis=1).sum())
        pattern = LatticeMatrix(
            sizes=sizes, pairs=all_pairs, cells=all_cells, values=np.zeros(n_values)
        )
        assert np.array_equal(pattern.pairs, all_pairs)
        assert np.array_equal(pattern.cells, all_cells)
        return cls(
            pattern=pattern, vectors=found, cutoffs=cutoffs,
            first=np.searchsorted(all_pairs[:, 0], np.arange(crystal.n_atoms + 1)),
        )  # fmt: skip

    @property
    def lengths(self) -> Array:
        """Distances of the pairs, (n_blocks,) bohr."""
        return np.asarray(np.linalg.norm(self.vectors, axis=1))

    @property
    def reach(self) -> Array:
        """Distance at which each pair ends, (n_blocks,) bohr."""
        return np.asarray(self.cutoffs[self.pattern.pairs].sum(axis=1))

    @property
    def is_own(self) -> NDArray[np.bool_]:
        """Which blocks join an atom with itself, (n_blocks,)."""
        pairs = self.pattern.pairs
        return np.asarray((pairs[:, 0] == pairs[:, 1]) & ~self.pattern.cells.any(axis=1))


class BlockPlaces:
    """Finds blocks (i, j, R) of a pattern for many at once."""

    def __init__(self, pattern: LatticeMatrix) -> None:
        self._low = pattern.cells.min(axis=0)
        self._shape = pattern.cells.max(axis=0) - self._low + 1
        n = len(pattern.sizes)
        self._table = np.full((n, n, *self._shape), -1, dtype=np.int64)
        self._table[(*pattern.pairs.T, *(pattern.cells - self._low).T)] = np.arange(
            pattern.n_blocks
        )

    def find(self, i: int, j: Integers, cells: Integers) -> Integers:
        """Return the index of each block, (n,); -1 where there is none."""
        shifted = cells - self._low
        inside = ((shifted >= 0) & (shifted < self._shape)).all(axis=1)
        index = np.full(len(cells), -1, dtype=np.int64)
        index[inside] = self._table[i, j[inside], shifted[inside, 0], shifted[inside, 1],
                                    shifted[inside, 2]]  # fmt: skip
        return index

"""Lattice-periodic operators between local orbitals: sparse blocks (i, j, R)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array

Array = NDArray[Any]
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LatticeMatrix:
    r"""Blocks :math:`O_{ij}(R) = \langle i\,0 | O | j\,R \rangle` of a lattice-periodic operator.

    Attributes
    ----------
    sizes : ndarray of int, (n_atoms,)
        Number of orbitals of each atom.
    pairs : ndarray of int, (n_blocks, 2)
        Atoms i (bra, home cell) and j (ket, cell R) of each block.
    cells : ndarray of int, (n_blocks, 3)
        Lattice vector R of the ket, in units of the lattice vectors.
    values : ndarray of float or complex, (sum of block sizes,)
        The blocks one after the other, each row by row.

    Notes
    -----
    Blocks are sorted by (i, j, R) on construction; a block that occurs twice is refused.
    """

    sizes: Integers
    pairs: Integers
    cells: Integers
    values: Array

    def __post_init__(self) -> None:
        sizes = checked_array("sizes", self.sizes, (None,), np.int64)
        pairs = checked_array("pairs", self.pairs, (None, 2), np.int64)
        cells = checked_array("cells", self.cells, (len(pairs), 3), np.int64)
        dtype = np.complex128 if np.iscomplexobj(self.values) else np.float64
        if len(pairs) and (pairs.min() < 0 or pairs.max() >= len(sizes)):
            raise ValueError("a block names an atom that is not there")
        keys = np.concatenate([pairs, cells], axis=1)
        order = np.lexsort(keys.T[::-1])
        if len(keys) > 1 and not (np.diff(keys[order], axis=0) != 0).any(axis=1).all():
            raise ValueError("a block (i, j, R) occurs twice")
        lengths = sizes[pairs[:, 0]] * sizes[pairs[:, 1]]
        values = checked_array("values", self.values, (int(lengths.sum()),), dtype)
        if not np.array_equal(order, np.arange(len(order))):
            starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
            values = np.concatenate([values[starts[i] : starts[i] + lengths[i]] for i in order])
            values.setflags(write=False)
        for name, array in (
            ("sizes", sizes),
            ("pairs", pairs[order]),
            ("cells", cells[order]),
            ("values", values),
        ):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def n_blocks(self) -> int:
        """Number of stored blocks."""
        return len(self.pairs)

    @property
    def n_orbitals(self) -> int:
        """Number of orbitals per cell."""
        return int(self.sizes.sum())

    @property
    def is_complex(self) -> bool:
        """Whether the blocks are complex (spin-orbit coupling)."""
        return np.iscomplexobj(self.values)

    @cached_property
    def orbital_starts(self) -> Integers:
        """Index of the first orbital of each atom, (n_atoms,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    @cached_property
    def offsets(self) -> Integers:
        """Where each block starts in ``values``, (n_blocks + 1,)."""
        lengths = self.sizes[self.pairs[:, 0]] * self.sizes[self.pairs[:, 1]]
        return np.concatenate([[0], np.cumsum(lengths)])

    @cached_property
    def groups(self) -> list[tuple[int, int, slice]]:
        """Runs of blocks of one atom pair: (i, j, slice of blocks)."""
        if not self.n_blocks:
            return []
        change = np.flatnonzero((np.diff(self.pairs, axis=0) != 0).any(axis=1)) + 1
        edges = [0, *change.tolist(), self.n_blocks]
        return [
            (int(self.pairs[a, 0]), int(self.pairs[a, 1]), slice(a, b)) for a, b in pairwise(edges)
        ]

    def block(self, index: int) -> Array:
        """Return one block, (n_i, n_j)."""
        i, j = self.pairs[index]
        values = self.values[self.offsets[index] : self.offsets[index + 1]]
        return values.reshape(self.sizes[i], self.sizes[j])

    def group_values(self, blocks: slice) -> Array:
        """Return the blocks of one of :attr:`groups`, (n_blocks, n_i, n_j)."""
        i, j = self.pairs[blocks.start]
        values = self.values[self.offsets[blocks.start] : self.offsets[blocks.stop]]
        return values.reshape(-1, self.sizes[i], self.sizes[j])

    @classmethod
    def from_cells(
        cls, sizes: ArrayLike, cells: ArrayLike, matrices: ArrayLike, *, threshold: float = 0.0
    ) -> LatticeMatrix:
        """Build from full matrices (n_cells, n_orbitals, n_orbitals) of each cell (n_cells, 3).

        Blocks whose largest element does not exceed ``threshold`` are left out.
        """
        sizes = np.asarray(sizes, dtype=np.int64)
        cells, matrices = np.asarray(cells, dtype=np.int64), np.asarray(matrices)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        kept_pairs, kept_cells, values = [], [], []
        for i in range(len(sizes)):
            for j in range(len(sizes)):
                blocks = matrices[:, starts[i] : starts[i + 1], starts[j] : starts[j + 1]]
                kept = np.flatnonzero(np.abs(blocks).max(axis=(1, 2), initial=0.0) > threshold)
                kept_pairs.append(np.tile([i, j], (len(kept), 1)))
                kept_cells.append(cells[kept])
                values.append(blocks[kept].ravel())
        return cls(
            sizes=sizes,
            pairs=np.concatenate(kept_pairs),
            cells=np.concatenate(kept_cells),
            values=np.concatenate(values),
        )

    def to_cells(self) -> tuple[Integers, Array]:
        """Return distinct cells (n_cells, 3) and full matrices (n_cells, n_orb, n_orb)."""
        cells, index = np.unique(self.cells, axis=0, return_inverse=True)
        n = self.n_orbitals
        matrices = np.zeros((len(cells), n, n), dtype=self.values.dtype)
        starts = self.orbital_starts
        for i, j, blocks in self.groups:
            rows = slice(starts[i], starts[i] + self.sizes[i])
            columns = slice(starts[j], starts[j] + self.sizes[j])
            matrices[index.ravel()[blocks], rows, columns] = self.group_values(blocks)
        return cells, matrices

    def with_values(self, values: ArrayLike) -> LatticeMatrix:
        """Return a matrix of the same blocks with other values."""
        return LatticeMatrix(
            sizes=self.sizes, pairs=self.pairs, cells=self.cells, values=np.asarray(values)
        )

    @cached_property
    def partners(self) -> Integers:
        """Index of the block (j, i, -R) of each block (i, j, R); -1 where it is missing."""
        where = {
            (*pair, *cell): index
            for index, (pair, cell) in enumerate(
                zip(self.pairs.tolist(), self.cells.tolist(), strict=True)
            )
        }
        return np.array(
            [
                where.get((j, i, -r1, -r2, -r3), -1)
                for (i, j), (r1, r2, r3) in zip(
                    self.pairs.tolist(), self.cells.tolist(), strict=True
                )
            ],
            dtype=np.int64,
        )

    def hermitian_residual(self) -> float:
        r"""Return the largest :math:`|O_{ij}(R) - O_{ji}(-R)^\dagger|`; missing blocks are zero."""
        worst = 0.0
        for index, partner in enumerate(self.partners.tolist()):
            block = self.block(index)
            other = self.block(partner).conj().T if partner >= 0 else 0.0
            worst = max(worst, float(np.abs(block - other).max(initial=0.0)))
        return worst

    def hermitized(self) -> LatticeMatrix:
        r"""Return :math:`\frac12 [O_{ij}(R) + O_{ji}(-R)^\dagger]`.

        Raises
        ------
        ValueError
            If a block has no partner.
        """
        if (self.partners < 0).any():
            raise ValueError("a block (i, j, R) has no partner (j, i, -R)")
        values = np.concatenate(
            [
                0.5 * (self.block(index) + self.block(partner).conj().T).ravel()
                for index, partner in enumerate(self.partners.tolist())
            ]
        )
        return self.with_values(values)

    def within(self, lattice: ArrayLike, positions: ArrayLike, radius: float) -> LatticeMatrix:
        """Return only blocks whose atoms are at most ``radius`` (Å) apart."""
        positions = np.asarray(positions, dtype=float)
        bond = (
            positions[self.pairs[:, 1]]
            + self.cells @ np.asarray(lattice, dtype=float)
            - positions[self.pairs[:, 0]]
        )
        return self.selected(np.linalg.norm(bond, axis=1) <= radius)

    def selected(self, mask: ArrayLike) -> LatticeMatrix:
        """Return the blocks marked in ``mask`` (n_blocks,) of bool."""
        mask = np.asarray(mask, dtype=bool)
        return LatticeMatrix(
            sizes=self.sizes,
            pairs=self.pairs[mask],
            cells=self.cells[mask],
            values=self.values[np.repeat(mask, np.diff(self.offsets))],
        )

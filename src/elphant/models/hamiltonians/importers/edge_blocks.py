"""Lattice matrices from graphs: on-site blocks of atoms and off-site blocks of directed edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.orbitals import LatticeMatrix, OrbitalBasis

Array = NDArray[Any]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeList:
    """Directed edges of a crystal graph.

    Attributes
    ----------
    orbitals : tuple of ndarray of int, one per atom
        Rows (and columns) of a padded block that belong to orbitals of the atom, in their order.
    edge_index : ndarray of int, (2, n_edges)
        Bra atom in the home cell and ket atom.
    cell_shift : ndarray of int, (n_edges, 3)
        Cell of the ket atom.
    """

    orbitals: tuple[Integers, ...]
    edge_index: Integers
    cell_shift: Integers

    @property
    def sizes(self) -> Integers:
        """Number of orbitals of each atom, (n_atoms,)."""
        return np.array([len(rows) for rows in self.orbitals])

    def matrix(self, on_site: Array, off_site: Array) -> LatticeMatrix:
        """Return the lattice matrix of padded blocks.

        Parameters
        ----------
        on_site : ndarray, (n_atoms, n, n)
        off_site : ndarray, (n_edges, n, n)

        Raises
        ------
        ValueError
            If shapes do not fit the graph, or an edge occurs twice.
        """
        n_atoms, n_edges = len(self.orbitals), self.edge_index.shape[1]
        if len(on_site) != n_atoms or len(off_site) != n_edges:
            raise ValueError(
                f"{len(on_site)} on-site and {len(off_site)} off-site blocks for {n_atoms} atoms "
                f"and {n_edges} edges"
            )
        atoms = np.arange(n_atoms)
        pairs = np.concatenate([np.stack([atoms, atoms], axis=1), self.edge_index.T])
        cells = np.concatenate([np.zeros((n_atoms, 3), dtype=np.int64), self.cell_shift])
        values = [
            block[np.ix_(self.orbitals[i], self.orbitals[j])].ravel()
            for (i, j), block in zip(pairs.tolist(), [*on_site, *off_site], strict=True)
        ]
        return LatticeMatrix(
            sizes=self.sizes, pairs=pairs, cells=cells, values=np.concatenate(values)
        )

    def with_reverse(self) -> EdgeList:
        """Return the same edges followed by their reverses."""
        return EdgeList(
            orbitals=self.orbitals,
            edge_index=np.concatenate([self.edge_index, self.edge_index[::-1]], axis=1),
            cell_shift=np.concatenate([self.cell_shift, -self.cell_shift]),
        )


def matrix_of_spin_blocks(
    up_up: LatticeMatrix, down_down: LatticeMatrix, up_down: LatticeMatrix
) -> LatticeMatrix:
    r"""Return the spinor matrix; orbitals of each atom are all spin up, then all spin down.

    The ↓↑ blocks are made here, :math:`O^{↓↑}_{ij}(R) = O^{↑↓}_{ji}(-R)^\dagger`; no file's own are
    used, because programs store them with different signs.

    Raises
    ------
    ValueError
        If the matrices have different blocks, or a block has no partner.
    """
    for matrix in (down_down, up_down):
        if not np.array_equal(matrix.pairs, up_up.pairs) or not np.array_equal(
            matrix.cells, up_up.cells
        ):
            raise ValueError("the spin components have different blocks")
    if (up_up.partners < 0).any():
        raise ValueError("a block (i, j, R) has no partner (j, i, -R)")
    values = [
        np.block(
            [
                [up_up.block(b), up_down.block(b)],
                [up_down.block(partner).conj().T, down_down.block(b)],
            ]
        ).ravel()
        for b, partner in enumerate(up_up.partners.tolist())
    ]
    return LatticeMatrix(
        sizes=2 * up_up.sizes,
        pairs=up_up.pairs,
        cells=up_up.cells,
        values=np.concatenate(values).astype(np.complex128),
    )


def basis_of_labels(per_atom: Sequence[Array], *, spinor: bool) -> OrbitalBasis:
    """Return the basis of (n, l, m) rows of each atom, doubled for spinors.

    Parameters
    ----------
    per_atom : sequence of ndarray of int, (n_orbitals of the atom, 3)
    spinor : bool
        Repeat the orbitals of each atom: first all spin up, then all spin down.
    """
    rows, atoms, spins = [], [], []
    for atom, labels in enumerate(per_atom):
        for spin in (1, -1) if spinor else (0,):
            rows.append(np.asarray(labels, dtype=np.int64))
            atoms.append(np.full(len(labels), atom))
            spins.append(np.full(len(labels), spin))
    table = np.concatenate(rows)
    return OrbitalBasis(
        atom=np.concatenate(atoms),
        n=table[:, 0],
        l=table[:, 1],
        m=table[:, 2],
        spin=np.concatenate(spins),
    )

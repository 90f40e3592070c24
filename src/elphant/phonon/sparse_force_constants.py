"""Force constants of any order as a list of clusters of atoms of the infinite crystal.

The dense array of the fourth order in a supercell of 360 atoms would take 605 GB; the clusters
within a cut-off take megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SparseForceConstants:
    r"""Taylor derivatives of order n as clusters whose first atom lies in the home cell.

    .. math:: E = \dots + \frac{1}{n!} \sum_{\text{home cells}} \sum_{\text{clusters}}
              \Phi_{a b \dots}\, u_{1a}\, u_{2b} \cdots

    Every ordering of the atoms of a cluster is a row of its own, so that the list is closed under
    permutations. Where several images of an atom are equally near in the supercell that the
    constants come from, each image has a row with its share of the block.

    Attributes
    ----------
    atoms : ndarray of int, (n_clusters, n)
        Indices in the primitive cell.
    cells : ndarray of int, (n_clusters, n - 1, 3)
        Lattice translations of the atoms 2 … n, in primitive lattice vectors, relative to the cell
        of the first atom.
    blocks : ndarray, (n_clusters, 3, …, 3) eV/Å^n
        No 1/n! inside.
    n_primitive : int
        Number of atoms of the primitive cell.
    """

    atoms: NDArray[np.int64]
    cells: NDArray[np.int64]
    blocks: Array
    n_primitive: int

    def __post_init__(self) -> None:
        n_clusters, order = np.shape(self.atoms)
        shapes = {
            "atoms": ((n_clusters, order), int),
            "cells": ((n_clusters, order - 1, 3), int),
            "blocks": ((n_clusters, *(3,) * order), float),
        }
        for name, (shape, dtype) in shapes.items():
            value = checked_array(name, getattr(self, name), shape, dtype)
            object.__setattr__(self, name, value)

    @property
    def order(self) -> int:
        """Number of atoms of a cluster."""
        return int(self.atoms.shape[1])

    @property
    def n_clusters(self) -> int:
        """Number of rows, all orderings counted."""
        return int(self.atoms.shape[0])

    def sum_rule_residual(self) -> float:
        """Return the largest component of the sum over the last atom, eV/Å^n.

        It vanishes for every choice of the other atoms because a rigid shift costs no energy.
        """
        if not self.n_clusters:
            return 0.0
        prefix = np.concatenate(
            [self.atoms[:, :-1], self.cells[:, :-1].reshape(self.n_clusters, -1)], axis=1
        )
        groups, number = np.unique(prefix, axis=0, return_inverse=True)
        total = np.zeros((len(groups), *self.blocks.shape[1:]))
        np.add.at(total, number.ravel(), self.blocks)
        return float(np.abs(total).max())

    def permutation_residual(self) -> float:
        """Return the largest change of a block when two atoms are exchanged, eV/Å^n.

        All permutations follow from the exchanges of atom 1 with each other atom. A cluster
        whose exchanged partner is missing counts with its whole block.
        """
        keys = _keys(self.atoms, self.cells)
        worst = 0.0
        for other in range(1, self.order):
            axes = list(range(self.order))
            axes[0], axes[other] = axes[other], axes[0]
            positions = np.concatenate([np.zeros_like(self.cells[:, :1]), self.cells], axis=1)
            positions = positions[:, axes] - positions[:, [other]]
            partner = _keys(self.atoms[:, axes], positions[:, 1:])
            every, inverse = np.unique(np.concatenate([keys, partner]), axis=0, return_inverse=True)
            inverse = inverse.ravel()
            difference = np.zeros((len(every), *self.blocks.shape[1:]))
            turned = self.blocks.transpose(0, *(1 + a for a in axes))
            np.add.at(difference, inverse[: self.n_clusters], self.blocks)
            np.add.at(difference, inverse[self.n_clusters :], -turned)
            worst = max(worst, float(np.abs(difference).max(initial=0.0)))
        return worst

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return named arrays for the store."""
        return {
            "atoms": self.atoms,
            "cells": self.cells,
            "blocks": self.blocks,
            "n_primitive": np.array(self.n_primitive),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> SparseForceConstants:
        """Rebuild from :meth:`to_arrays`."""
        return cls(
            atoms=np.asarray(arrays["atoms"], dtype=np.int64),
            cells=np.asarray(arrays["cells"], dtype=np.int64),
            blocks=np.asarray(arrays["blocks"], dtype=float),
            n_primitive=int(np.asarray(arrays["n_primitive"]).item()),
        )


def _keys(atoms: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one row of integers that names each cluster."""
    return np.concatenate([atoms, cells.reshape(len(atoms), -1)], axis=1)

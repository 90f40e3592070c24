r"""The loop: fourth-order force constants averaged over the motion of two of their four atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ConfigurationError
from elphant.phonon.renormalization.second_order import SecondOrderLattice
from elphant.phonon.sparse_force_constants import SparseForceConstants

Array = NDArray[np.float64]


class LoopContraction:
    r"""The linear map from displacement correlations to the correction of Φ2.

    .. math:: \Delta\Phi_{ij}^{ab} = \frac12 \sum_{kl,cd} \Phi_{ijkl}^{abcd}
              \langle u_k^c u_l^d \rangle

    Clusters that reach beyond the second-order supercell fall on the periodic image of their
    second atom inside it, as the force constants of any supercell do. Blocks that share both the
    pair (i, j) and the pair (k, l) are added up once, at construction.

    Attributes
    ----------
    cells : ndarray of int, (n_cells, 3)
        Lattice distances at which the correlations are needed.
    folded_share : float
        Largest block beyond the supercell, relative to the largest block of all.
    """

    def __init__(self, fourth: SparseForceConstants, lattice: SecondOrderLattice) -> None:
        if fourth.order != 4:
            raise ConfigurationError(
                f"the loop correction needs fourth-order force constants, not order {fourth.order}."
            )
        if fourth.n_primitive != lattice.n_atoms:
            raise ConfigurationError(
                f"the fourth order belongs to a primitive cell of {fourth.n_primitive} atoms, the "
                f"second to one of {lattice.n_atoms}."
            )
        i, j, k, l = fourth.atoms.T  # noqa: E741 - the letters of the formula
        columns = lattice.columns(i, j, fourth.cells[:, 0])
        between = fourth.cells[:, 2] - fourth.cells[:, 1]
        self.cells, cell_index = np.unique(between, axis=0, return_inverse=True)
        n = lattice.n_atoms
        sizes = (n, len(lattice.atoms), n, n, max(1, len(self.cells)))
        keys = np.ravel_multi_index((i, columns, k, l, cell_index.reshape(-1)), sizes)
        order = np.argsort(keys, kind="stable")
        unique, starts = np.unique(keys[order], return_index=True)
        blocks = fourth.blocks.reshape(-1, 81)[order]
        if len(starts):
            blocks = np.add.reduceat(blocks, starts, axis=0)
        merged = np.stack(np.unravel_index(unique, sizes), axis=1)
        self._blocks = blocks.reshape(-1, 9, 9)
        self._second, self._third, self._cell = merged[:, 2], merged[:, 3], merged[:, 4]
        # Rows are sorted by (i, column) first: sums over runs of equal pairs.
        pairs = merged[:, :2]
        new = np.ones(len(pairs), dtype=bool)
        new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        self._starts, self._pairs = np.flatnonzero(new), pairs[new]
        self._shape = (lattice.n_atoms, len(lattice.atoms), 3, 3)
        self.folded_share = _folded_share(fourth, lattice, columns)

    def __call__(self, covariance: Array) -> Array:
        """Return ΔΦ2, (n_atoms, n_supercell, 3, 3) eV/Å².

        ``covariance`` is (n_cells, 3 n_atoms, 3 n_atoms) Å² at the lattice distances ``cells``.
        """
        n = self._shape[0]
        pairs = covariance.reshape(-1, n, 3, n, 3).transpose(0, 1, 3, 2, 4)
        gathered = pairs[self._cell, self._second, self._third].reshape(-1, 9, 1)
        averaged = (self._blocks @ gathered)[:, :, 0]
        result = np.zeros(self._shape)
        if len(self._starts):
            summed = np.add.reduceat(averaged, self._starts, axis=0)
            result[self._pairs[:, 0], self._pairs[:, 1]] = 0.5 * summed.reshape(-1, 3, 3)
        return result


def _folded_share(
    fourth: SparseForceConstants, lattice: SecondOrderLattice, columns: NDArray[np.int64]
) -> float:
    """Return the size of blocks whose pair is no nearest image in the supercell."""
    if not fourth.n_clusters:
        return 0.0
    images = {
        (int(i), int(j), *map(int, cell))
        for i, j, cell in zip(
            lattice.image_rows, lattice.image_columns, lattice.image_cells, strict=True
        )
    }
    keys = np.concatenate([fourth.atoms[:, :1], columns[:, None], fourth.cells[:, 0]], axis=1)
    unique, index = np.unique(keys, axis=0, return_inverse=True)
    outside = np.array([tuple(map(int, key)) not in images for key in unique])
    size = np.abs(fourth.blocks).reshape(fourth.n_clusters, -1).max(axis=1)
    beyond = size[outside[index.reshape(-1)]]
    return float(beyond.max(initial=0.0) / max(float(size.max()), 1e-300))

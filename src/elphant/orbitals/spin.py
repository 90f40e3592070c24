r"""Spinors from spin-free orbitals: every operator is :math:`O + i \sum_\alpha A_\alpha
\sigma_\alpha` with real parts.

For the Hamiltonian of a crystal without magnetism O is symmetric and the A are antisymmetric over
(i, j, R) and (j, i, -R); then it is Hermitian and invariant under time reversal. The orbitals of
each atom are all spin up, then all spin down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.orbitals.basis import OrbitalBasis
from elphant.orbitals.lattice_matrix import LatticeMatrix

Array = NDArray[np.float64]


def spinor_basis(basis: OrbitalBasis) -> OrbitalBasis:
    """Return the orbitals of each atom twice: all spin up, then all spin down.

    Raises
    ------
    ValueError
        If they carry a spin already.
    """
    if basis.is_spinor:
        raise ValueError("the orbitals carry a spin already")
    order = [np.flatnonzero(basis.atom == atom) for atom in range(basis.n_atoms)]
    twice = np.concatenate([np.concatenate([own, own]) for own in order])
    spin = np.concatenate([np.repeat([1, -1], len(own)) for own in order])
    assert basis.radial_index is not None
    return OrbitalBasis(
        atom=basis.atom[twice], n=basis.n[twice], l=basis.l[twice], m=basis.m[twice], spin=spin,
        radial=basis.radial, radial_index=basis.radial_index[twice],
    )  # fmt: skip


def spinor_blocks(scalar: Array, coupling: tuple[Array, Array, Array]) -> NDArray[np.complex128]:
    r"""Return blocks of :math:`O + i \sum_\alpha A_\alpha \sigma_\alpha`.

    .. math:: \begin{pmatrix} O + i A_z & A_y + i A_x \\ -A_y + i A_x & O - i A_z \end{pmatrix}

    Parameters
    ----------
    scalar : ndarray, (..., n_i, n_j)
    coupling : three ndarrays of the same shape
        A for x, y, z.

    Returns
    -------
    ndarray, (..., 2 n_i, 2 n_j)
    """
    x, y, z = coupling
    up = np.concatenate([scalar + 1j * z, y + 1j * x], axis=-1)
    down = np.concatenate([-y + 1j * x, scalar - 1j * z], axis=-1)
    return np.asarray(np.concatenate([up, down], axis=-2))


def spinor_matrix(
    scalar: LatticeMatrix,
    coupling: tuple[LatticeMatrix, LatticeMatrix, LatticeMatrix] | None = None,
) -> LatticeMatrix:
    """Return a spin-free operator between spinors, with spin-orbit coupling where it is given.

    Without coupling (as for S) the result is real.

    Parameters
    ----------
    scalar : LatticeMatrix
    coupling : three LatticeMatrix, optional
        A for x, y, z, with the same blocks.

    Raises
    ------
    ValueError
        If the parts have different blocks.
    """
    for part in coupling or ():
        same = np.array_equal(part.pairs, scalar.pairs) and np.array_equal(part.cells, scalar.cells)
        if not same or not np.array_equal(part.sizes, scalar.sizes):
            raise ValueError("the parts of the spinor operator have different blocks")
    values: list[NDArray[Any]] = [np.empty(0)]
    for _, _, blocks in scalar.groups:
        own = scalar.group_values(blocks)
        if coupling is None:
            zero = np.zeros_like(own)
            values.append(spinor_blocks(own, (zero, zero, zero)).real.ravel())
        else:
            x, y, z = (part.group_values(blocks) for part in coupling)
            values.append(spinor_blocks(own, (x, y, z)).ravel())
    return LatticeMatrix(
        sizes=2 * scalar.sizes, pairs=scalar.pairs, cells=scalar.cells,
        values=np.concatenate(values),
    )  # fmt: skip

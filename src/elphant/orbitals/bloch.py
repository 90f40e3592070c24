r"""Bloch sums of lattice matrices, and their derivatives over the wave vector.

Lattice gauge: :math:`O_{ij}(k) = \sum_R e^{i k \cdot R} O_{ij}(R)`, periodic in k. Atomic gauge:
:math:`e^{i k \cdot (R + \tau_j - \tau_i)}`, the gauge of position-like objects. Energies,
velocities of single bands and masses are the same in both.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import Crystal
from elphant.orbitals.lattice_matrix import LatticeMatrix

Complex = NDArray[np.complex128]
Gauge = Literal["lattice", "atomic"]

#: Independent components of the second derivative: xx, yy, zz, yz, xz, xy.
SECOND = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def bloch_sum(
    matrix: LatticeMatrix,
    k_points: ArrayLike,
    crystal: Crystal | None = None,
    *,
    gauge: Gauge = "lattice",
) -> Complex:
    """Return O(k), (n_k, n_orbitals, n_orbitals).

    Parameters
    ----------
    matrix : LatticeMatrix
    k_points : array_like, (n_k, 3)
        In the reciprocal lattice of the cell (2π not included).
    crystal : Crystal, optional
        Needed in the atomic gauge.
    gauge : {"lattice", "atomic"}
    """
    return bloch_derivative(matrix, k_points, crystal, order=0, gauge=gauge)[:, 0]


def bloch_derivative(
    matrix: LatticeMatrix,
    k_points: ArrayLike,
    crystal: Crystal | None,
    *,
    order: int,
    gauge: Gauge = "lattice",
) -> Complex:
    r"""Return Cartesian derivatives of O(k) over k, (n_k, n_components, n_orbitals, n_orbitals).

    One component for ``order`` 0, three for 1 (units of O times Å), six for 2 (xx, yy, zz, yz,
    xz, xy; Å²): :math:`\partial_\alpha O = \sum_R i d_\alpha e^{i k d} O(R)` with d = R in the
    lattice gauge and R + τ_j - τ_i in the atomic one.
    """
    k_points = np.atleast_2d(np.asarray(k_points, dtype=float))
    if crystal is None and (order or gauge == "atomic"):
        raise ValueError("derivatives and the atomic gauge need the crystal")
    n, starts, sizes = matrix.n_orbitals, matrix.orbital_starts, matrix.sizes
    n_components = (1, 3, 6)[order]
    total = np.zeros((len(k_points), n_components, n, n), dtype=np.complex128)
    for i, j, blocks in matrix.groups:
        shift = matrix.cells[blocks].astype(float)
        if gauge == "atomic":
            assert crystal is not None
            shift = shift + crystal.fractional[j] - crystal.fractional[i]
        phases = np.exp(2j * np.pi * (k_points @ shift.T))
        values = matrix.group_values(blocks)
        values = values.reshape(len(values), -1)
        factors = [np.ones(len(shift))]
        if order:
            assert crystal is not None
            d = shift @ crystal.lattice
            factors = list(1j * d.T) if order == 1 else [-d[:, a] * d[:, b] for a, b in SECOND]
        rows = slice(starts[i], starts[i] + sizes[i])
        columns = slice(starts[j], starts[j] + sizes[j])
        for component, factor in enumerate(factors):
            block = (phases * factor) @ values
            total[:, component, rows, columns] = block.reshape(-1, sizes[i], sizes[j])
    return total


def gauge_phases(crystal: Crystal, atom: ArrayLike, k_points: ArrayLike) -> Complex:
    """Return e^{2πi k·τ} of every orbital, (n_k, n_orbitals).

    Coefficients change from the lattice to the atomic gauge by multiplication with the complex
    conjugate: c_atomic = e^{-ikτ} c_lattice.
    """
    k_points = np.atleast_2d(np.asarray(k_points, dtype=float))
    phases = np.exp(2j * np.pi * (k_points @ crystal.fractional.T))
    return np.asarray(phases[:, np.asarray(atom)])

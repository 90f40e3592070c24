r"""The one-electron density matrix of an insulator between local orbitals.

Bloch states :math:`\psi_{nk} = \sum_{jR} e^{ik \cdot R} c_{jn}(k)\, \phi_j(r - R)` give the density
:math:`n(r) = \sum_{ij,RR'} P_{ij}(R' - R)\, \phi_i(r - R)\, \phi_j(r - R')` with

.. math:: P_{ij}(R) = \frac{1}{N_k} \sum_k \sum_{n\,\mathrm{occ}} f\, c^*_{in} c_{jn}\,
          e^{ik \cdot R}.

The overlap does not enter P; it enters the count, :math:`\sum_{ijR} P_{ij}(R) S_{ij}(R) = N`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Symmetry
from elphant.errors import ConfigurationError, PhysicsError
from elphant.grids.irreducible import irreducible_mesh
from elphant.orbitals import LatticeMatrix, LocalOrbitalHamiltonian
from elphant.orbitals.eigenproblem import batches, solve
from elphant.orbitals.symmetry import OrbitalSymmetry

#: Largest relative error of the electron count that is put down to round-off and to overlap blocks
#: that were too small to be stored.
COUNT_TOLERANCE = 1e-6


def density_matrix(
    hamiltonian: LocalOrbitalHamiltonian,
    mesh: Sequence[int],
    *,
    shift: Sequence[int] = (0, 0, 0),
    symmetry: Symmetry | None = None,
) -> LatticeMatrix:
    """Return the spin-summed density matrix, real, on the blocks of the overlap.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
        Spin-free, with an overlap.
    mesh : sequence of int, (3,)
        Divisions along the reciprocal lattice vectors.
    shift : sequence of int, (3,)
        0 or 1 for each axis: in units of half a step.
    symmetry : Symmetry, optional
        Space group of the crystal: only irreducible points are diagonalised, and the result is
        averaged over its operations. Without it only time reversal is used.

    Returns
    -------
    LatticeMatrix
        Dimensionless, the number of electrons is ``electron_count(P, S)``.

    Raises
    ------
    PhysicsError
        For spinors, if a filled band lies above an empty one on the mesh (a metal), or if the
        electron count is missed.
    ConfigurationError
        If the Hamiltonian has no overlap.

    Notes
    -----
    A finite mesh makes P periodic: P(R) also holds P(R + any mesh vector). It is kept so for all R
    where orbitals overlap, and not cut at the Wigner-Seitz cell of the mesh: this is the density
    that the Bloch states of the mesh have, positive and with the exact number of electrons even
    for coarse meshes, and P of an insulator decays fast enough for the images to vanish in fine
    ones.
    """
    if hamiltonian.basis.is_spinor:
        raise PhysicsError(
            "the density matrix of a spinor Hamiltonian was asked for.",
            "Density and electron localisation are computed from spin-free orbitals.",
            "Use the Hamiltonian without spin-orbit coupling.",
        )
    overlap = hamiltonian.overlap
    if overlap is None:
        raise ConfigurationError(
            "the Hamiltonian has no overlap matrix.",
            "Its orbitals are Wannier functions or the overlap was not stored, so that there is "
            "nothing to build a density from.",
            "Use a Hamiltonian in atomic orbitals with known radial functions.",
        )
    rotations = None if symmetry is None else symmetry.rotations
    points = irreducible_mesh(mesh, rotations, shift=shift)
    matrix = _from_states(hamiltonian, points.points, points.weights, overlap)
    if symmetry is not None:
        action = OrbitalSymmetry.of(hamiltonian.crystal, symmetry, hamiltonian.basis)
        matrix = action.symmetrized(matrix)[0]
    error = electron_count(matrix, overlap) - hamiltonian.n_electrons
    if abs(error) > COUNT_TOLERANCE * hamiltonian.n_electrons:
        raise PhysicsError(
            f"the density matrix holds {hamiltonian.n_electrons + error:.6f} electrons instead of "
            f"{hamiltonian.n_electrons:g}.",
            "Overlap blocks are missing, or the operations do not belong to this crystal.",
            "Check that the overlap is not cut off and that the symmetry is that of the crystal.",
        )
    return matrix


def electron_count(matrix: LatticeMatrix, overlap: LatticeMatrix) -> float:
    r"""Return :math:`\sum_{ijR} P_{ij}(R) S_{ij}(R)`; blocks missing in one of them count zero."""
    return float(sum(atom_pair_populations(matrix, overlap).values()))


def atom_pair_populations(
    matrix: LatticeMatrix, overlap: LatticeMatrix
) -> dict[tuple[int, int], float]:
    """Return the sum of P S over all cells and orbitals of each pair of atoms, in electrons."""
    if np.array_equal(matrix.pairs, overlap.pairs) and np.array_equal(matrix.cells, overlap.cells):
        products = np.add.reduceat(matrix.values * overlap.values, matrix.offsets[:-1])
        populations: dict[tuple[int, int], float] = {}
        for i, j, blocks in matrix.groups:
            populations[i, j] = float(products[blocks].sum())
        return populations
    keys = [(*p, *c) for p, c in zip(overlap.pairs.tolist(), overlap.cells.tolist(), strict=True)]
    where = {key: index for index, key in enumerate(keys)}
    populations = {}
    for index, (pair, cell) in enumerate(
        zip(matrix.pairs.tolist(), matrix.cells.tolist(), strict=True)
    ):
        other = where.get((*pair, *cell))
        if other is not None:
            value = float((matrix.block(index) * overlap.block(other)).sum())
            populations[pair[0], pair[1]] = populations.get((pair[0], pair[1]), 0.0) + value
    return populations


def _from_states(
    hamiltonian: LocalOrbitalHamiltonian,
    k_points: NDArray[np.float64],
    weights: NDArray[np.float64],
    blocks_of: LatticeMatrix,
) -> LatticeMatrix:
    n_occupied, n = hamiltonian.n_occupied, hamiltonian.n_orbitals
    filling = float(hamiltonian.spin_degeneracy)
    values = np.zeros(len(blocks_of.values))
    highest, lowest = -np.inf, np.inf
    for part in batches(len(k_points), n):
        states = solve(hamiltonian, k_points[part])
        highest = max(highest, float(states.energies[:, n_occupied - 1].max()))
        if n_occupied < n:
            lowest = min(lowest, float(states.energies[:, n_occupied].min()))
        c = states.coefficients[:, :, :n_occupied]
        D = filling * weights[part, None, None] * (c.conj() @ c.transpose(0, 2, 1))
        values += _fourier_sum(D, k_points[part], blocks_of)
    if highest >= lowest:
        raise PhysicsError(
            f"a filled band reaches {highest - lowest:.3f} eV above the lowest empty one.",
            "The bands overlap: in this Hamiltonian the crystal is a metal or a semimetal.",
            "Check the electron number and the level of theory; closed shells are assumed here.",
        )
    return blocks_of.with_values(values)


def _fourier_sum(
    D: NDArray[np.complex128], k_points: NDArray[np.float64], blocks_of: LatticeMatrix
) -> NDArray[np.float64]:
    """Return Re Σ_k D_ij(k) e^{ik·R} for all blocks, flat; time reversal makes the sum real."""
    values = np.empty(len(blocks_of.values))
    starts, sizes, offsets = blocks_of.orbital_starts, blocks_of.sizes, blocks_of.offsets
    for i, j, blocks in blocks_of.groups:
        rows = slice(starts[i], starts[i] + sizes[i])
        columns = slice(starts[j], starts[j] + sizes[j])
        phases = np.exp(2j * np.pi * (blocks_of.cells[blocks] @ k_points.T))
        block = phases @ D[:, rows, columns].reshape(len(k_points), -1)
        values[offsets[blocks.start] : offsets[blocks.stop]] = block.real.ravel()
    return values

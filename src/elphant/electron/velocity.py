r"""Band velocities :math:`\hbar v = c^\dagger (\partial_k H - \varepsilon\, \partial_k S)\, c`.

The overlap term is there because the orbitals are not orthogonal. Inside a degenerate set only the
matrix :math:`v_{ab}` has a meaning, not its diagonal: single velocities need a direction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.orbitals import EigenStates, LocalOrbitalHamiltonian, bloch_derivative
from elphant.orbitals.bloch import Complex
from elphant.orbitals.eigenproblem import batches

Array = NDArray[np.float64]

#: Bands closer than this (eV) to their neighbour belong to one degenerate set.
DEGENERACY_TOLERANCE = 1e-4


def velocity_matrices(
    hamiltonian: LocalOrbitalHamiltonian,
    states: EigenStates,
    bands: tuple[int, int] | None = None,
) -> Complex:
    r"""Return :math:`c_a^\dagger [\partial H - \bar\varepsilon_{ab}\, \partial S] c_b`.

    With the mean energy of the two bands; degenerate sets are meant, for which it is exact.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    states : EigenStates
        In the lattice gauge, as :func:`elphant.orbitals.solve` returns them.
    bands : (int, int), optional
        First band and one past the last; all by default.

    Returns
    -------
    ndarray, (n_k, 3, n_bands, n_bands)
        ħv in eV Å, Hermitian. Between different energies it is the derivative of the
        Hamiltonian between orthonormalised orbitals, not the optical matrix element.
    """
    chosen = slice(*(bands or (0, states.energies.shape[1])))
    energies, c = states.energies[:, chosen], states.coefficients[:, :, chosen]
    n_k, n = energies.shape
    result = np.empty((n_k, 3, n, n), dtype=np.complex128)
    for part in batches(n_k, 2 * hamiltonian.n_orbitals):
        k, right = states.k_points[part], c[part][:, None]
        left = np.swapaxes(right.conj(), -1, -2)
        slope = bloch_derivative(hamiltonian.hamiltonian, k, hamiltonian.crystal, order=1)
        result[part] = left @ (slope @ right)
        if hamiltonian.overlap is not None:
            slope = bloch_derivative(hamiltonian.overlap, k, hamiltonian.crystal, order=1)
            mean = 0.5 * (energies[part][:, :, None] + energies[part][:, None])
            result[part] -= mean[:, None] * (left @ (slope @ right))
    return result


def velocities(
    hamiltonian: LocalOrbitalHamiltonian,
    states: EigenStates,
    *,
    bands: tuple[int, int] | None = None,
    direction: ArrayLike | None = None,
    tolerance: float = DEGENERACY_TOLERANCE,
) -> Array:
    """Return ħv of single bands, (n_k, n_bands, 3) in eV Å.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    states : EigenStates
        In the lattice gauge.
    bands : (int, int), optional
        First band and one past the last; it must not cut a degenerate set.
    direction : array_like, (3,), optional
        Cartesian. Inside each degenerate set the states are those in which the velocity along
        this direction is diagonal, the slowest first: these are the slopes of the bands that leave
        the degenerate point along it. Without a direction every state of a set carries the mean
        of the set. Neither depends on the eigenvectors that the diagonalisation happened to give.
    tolerance : float, eV
        Distance below which neighbouring bands form a set.
    """
    matrices = velocity_matrices(hamiltonian, states, bands)
    energies = states.energies[:, slice(*bands)] if bands else states.energies
    result = np.diagonal(matrices, axis1=-2, axis2=-1).real.swapaxes(1, 2).copy()
    unit = None if direction is None else np.asarray(direction, dtype=float)
    for k, first, last in _degenerate_sets(energies, tolerance):
        block = matrices[k, :, first:last, first:last]
        if unit is None:
            result[k, first:last] = result[k, first:last].mean(axis=0)
        else:
            vectors = np.linalg.eigh(np.einsum("x,xab->ab", unit, block))[1]
            rotated = vectors.conj().T @ block @ vectors
            result[k, first:last] = np.diagonal(rotated, axis1=-2, axis2=-1).real.T
    return result


def velocity_products(
    matrices: Complex, energies: Array, tolerance: float = DEGENERACY_TOLERANCE
) -> Array:
    r"""Return :math:`\mathrm{Re} \sum_b v_{\alpha,ab} v_{\beta,ba}` with b in the set of a.

    The sum over a set is its trace and does not depend on the choice of eigenvectors; for a single
    band it is :math:`v_\alpha v_\beta`.

    Parameters
    ----------
    matrices : ndarray, (n_k, 3, n_bands, n_bands) eV Å
    energies : ndarray, (n_k, n_bands) eV
        Ascending.

    Returns
    -------
    ndarray, (n_k, n_bands, 3, 3) eV² Å²
    """
    label = np.cumsum(np.diff(energies, axis=1, prepend=energies[:, :1]) > tolerance, axis=1)
    same = label[:, :, None] == label[:, None]
    return np.asarray(np.einsum("kxab,kyab->kaxy", matrices * same[:, None], matrices.conj()).real)


def _degenerate_sets(energies: Array, tolerance: float) -> list[tuple[int, int, int]]:
    """Return (k, first band, one past the last) of every set of more than one band."""
    sets = []
    close = np.diff(energies, axis=1) <= tolerance
    for k in np.flatnonzero(close.any(axis=1)).tolist():
        edges = np.concatenate([[0], np.flatnonzero(~close[k]) + 1, [energies.shape[1]]])
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if last - first > 1:
                sets.append((k, first, last))
    return sets

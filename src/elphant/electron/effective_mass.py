r"""Effective masses from second-order perturbation theory with all overlap terms.

For one band :math:`(m_0/m)_{\alpha\beta}` is the second derivative of the energy; at a degenerate
set it is a matrix in the set (Löwdin), and masses exist along directions only: the bands that
leave the point along n have the eigenvalues of
:math:`\sum_{\alpha\beta} D_{\alpha\beta} n_\alpha n_\beta` as inverse masses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.electron.k_dot_p import expand
from elphant.electron.velocity import DEGENERACY_TOLERANCE
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.orbitals.bloch import Complex, Gauge
from elphant.units import INVERSE_MASS_PER_EV_A2

Array = NDArray[np.float64]

#: Velocities (eV Å) of a degenerate set that differ by less along a direction count as equal.
EQUAL_VELOCITY = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InverseMass:
    r"""Inverse-mass matrix of a degenerate set of bands (of one band: the inverse-mass tensor).

    Attributes
    ----------
    k_point : ndarray, (3,)
    first_band : int
        Lowest band of the set.
    energy : float, eV
        Mean energy of the set.
    matrix : ndarray, (n_set, n_set, 3, 3) 1/m_e
        Hermitian in the bands, symmetric in the Cartesian indices.
    velocity : ndarray, (n_set, n_set, 3) eV Å
        ħv inside the set; zero at an extremum.
    """

    k_point: Array
    first_band: int
    energy: float
    matrix: Complex
    velocity: Complex

    def __post_init__(self) -> None:
        n = np.shape(self.matrix)[0]
        for name, shape, dtype in (
            ("k_point", (3,), float),
            ("matrix", (n, n, 3, 3), complex),
            ("velocity", (n, n, 3), complex),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    @property
    def degeneracy(self) -> int:
        """Number of bands in the set."""
        return len(self.matrix)

    @property
    def tensor(self) -> Array:
        """Inverse-mass tensor of a single band, (3, 3) 1/m_e.

        Raises
        ------
        ValueError
            For a degenerate set, which has no tensor.
        """
        if self.degeneracy > 1:
            raise ValueError("a degenerate set has no inverse-mass tensor; ask along a direction")
        return np.asarray(self.matrix[0, 0].real)

    def inverse_along(self, direction: ArrayLike) -> Array:
        """Return n·M⁻¹·n of every band that leaves the point along ``direction``, 1/m_e.

        Ascending, (n_set,). Where bands leave with different slopes, the curvature of each slope is
        diagonalised by itself.

        Parameters
        ----------
        direction : array_like, (3,)
            Cartesian; normalised here.
        """
        n = checked_array("direction", direction, (3,))
        n = n / np.linalg.norm(n)
        slope = np.einsum("abx,x->ab", self.velocity, n)
        curvature = np.einsum("abxy,x,y->ab", self.matrix, n, n)
        slopes, vectors = np.linalg.eigh(slope)
        curvature = vectors.conj().T @ curvature @ vectors
        edges = np.flatnonzero(np.diff(slopes) > EQUAL_VELOCITY) + 1
        groups = np.split(np.arange(self.degeneracy), edges)
        values = [np.linalg.eigvalsh(curvature[np.ix_(group, group)]) for group in groups]
        return np.sort(np.concatenate(values))

    def along(self, direction: ArrayLike) -> Array:
        """Return the masses along ``direction``, (n_set,) m_e, in the order of the inverse masses.

        Positive for bands that curve upwards (electrons), negative for those that curve downwards.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / self.inverse_along(direction))


def inverse_mass(
    hamiltonian: LocalOrbitalHamiltonian,
    k_point: ArrayLike,
    band: int,
    *,
    tolerance: float = DEGENERACY_TOLERANCE,
    gauge: Gauge = "atomic",
) -> InverseMass:
    """Return the inverse mass of a band, or of the degenerate set it belongs to.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    k_point : array_like, (3,)
    band : int
        Counted from 0.
    tolerance : float, eV
        Bands closer than this to a member of the set join it.
    gauge : {"atomic", "lattice"}
        The result does not depend on it, except for the matrix of a set with non-zero velocities,
        which is defined up to a commutator.
    """
    k_point = checked_array("k_point", k_point, (3,))
    model = expand(hamiltonian, k_point, (band, band + 1), separation=tolerance, gauge=gauge)
    return InverseMass(
        k_point=k_point,
        first_band=model.first_band,
        energy=float(model.energies.mean()),
        matrix=np.moveaxis(model.second, (0, 1), (2, 3)) * INVERSE_MASS_PER_EV_A2,
        velocity=np.moveaxis(model.first, 0, 2),
    )

"""How well the masses of a band edge are determined by the Hamiltonian they come from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.electron.band_edges import BandEdge
from elphant.electron.effective_mass import InverseMass, inverse_mass
from elphant.errors import PhysicsError
from elphant.orbitals import LatticeMatrix, LocalOrbitalHamiltonian, band_energies
from elphant.quality import QualityFlag, check_below
from elphant.units import INVERSE_MASS_PER_EV_A2

Array = NDArray[np.float64]

#: The range of H and S is cut to this share of the largest distance between orbitals.
RANGE_SHARE = 0.88

#: Longest step (Å⁻¹) of the finite differences, and the energy (eV) that a step may climb: bands of
#: light carriers leave the parabola early.
STEP, STEP_ENERGY = 0.01, 1e-3

#: Largest relative disagreement of analytic and finite-difference masses without a warning.
DIFFERENCE_LIMIT = 1e-3

#: Central second difference of fourth order, in units of 1/step².
STENCIL = np.array([-1.0, 16.0, -30.0, 16.0, -1.0]) / 12.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MassUncertainty:
    """Uncertainty of directional band-edge masses of one Hamiltonian.

    The functional and the basis are not part of it: compare Hamiltonians for these.

    Attributes
    ----------
    directions : ndarray, (n_directions, 3)
    masses : ndarray, (n_directions, n_set) m_e
        In the order of :meth:`InverseMass.along`.
    uncertainty : ndarray, (n_directions, n_set) m_e
        The larger of the change when the range of H and S is cut and of the disagreement with
        finite differences; the latter alone where the cut is not possible.
    range_change, difference : ndarray, (n_directions, n_set) m_e
        The two parts; ``range_change`` is None where S is not positive any more once it is cut.
    flags : tuple of QualityFlag
    """

    directions: Array
    masses: Array
    uncertainty: Array
    range_change: Array | None
    difference: Array
    flags: tuple[QualityFlag, ...]


def mass_uncertainty(
    hamiltonian: LocalOrbitalHamiltonian, edge: BandEdge, directions: ArrayLike | None = None
) -> MassUncertainty:
    """Return masses along directions with what the range of H(R) and the algebra leave open.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    edge : BandEdge
    directions : array_like, (n_directions, 3), optional
        Cartesian; the crystal axes by default.
    """
    crystal = hamiltonian.crystal
    units = np.array(crystal.axis_directions if directions is None else directions, dtype=float)
    units /= np.linalg.norm(units, axis=1)[:, None]
    mass = inverse_mass(hamiltonian, edge.k_point, edge.band)
    masses = np.array([mass.along(n) for n in units])
    inverse = np.array([mass.inverse_along(n) for n in units])
    numeric = np.array([_numeric_inverse(hamiltonian, mass, n) for n in units])
    difference = np.abs(1.0 / numeric - masses)
    relative = float(np.abs(numeric / inverse - 1.0).max())
    flags = [
        check_below(
            "mass_finite_difference",
            relative,
            DIFFERENCE_LIMIT,
            f"Analytic masses and finite differences agree within {100 * relative:.2g} %.",
        )
    ]
    change: Array | None = None
    try:
        shorter = inverse_mass(
            _shortened(hamiltonian), edge.k_point, edge.band,
            tolerance=_set_tolerance(hamiltonian, mass),
        )  # fmt: skip
    except PhysicsError:
        shorter = None
    if shorter is not None and shorter.degeneracy == mass.degeneracy:
        change = np.abs(np.array([shorter.along(n) for n in units]) - masses)
    else:
        flags.append(
            QualityFlag(
                name="mass_range_uncertainty",
                severity="warning",
                message="How the masses depend on the range of H(R) is not known: with a shorter "
                "range the overlap is not positive, or a degenerate edge splits.",
            )
        )
    return MassUncertainty(
        directions=units,
        masses=masses,
        uncertainty=difference if change is None else np.maximum(change, difference),
        range_change=change,
        difference=difference,
        flags=tuple(flags),
    )


def _set_tolerance(hamiltonian: LocalOrbitalHamiltonian, mass: InverseMass) -> float:
    """Return a tolerance that keeps the set together when cutting the range splits it a little."""
    energies = band_energies(hamiltonian, mass.k_point[None])[0]
    around = np.delete(energies, np.arange(mass.first_band, mass.first_band + mass.degeneracy))
    gap = float(np.abs(around - mass.energy).min(initial=np.inf))
    return min(0.02, 0.2 * gap) if mass.degeneracy > 1 else 1e-9


def _numeric_inverse(
    hamiltonian: LocalOrbitalHamiltonian, mass: InverseMass, direction: Array
) -> Array:
    """Return inverse masses of the set along a direction by finite differences, ascending."""
    steepest = float(np.abs(mass.inverse_along(direction)).max())
    step = min(STEP, float(np.sqrt(2.0 * STEP_ENERGY * INVERSE_MASS_PER_EV_A2 / steepest)))
    offsets = step * np.arange(-2, 3)[:, None] * direction
    points = mass.k_point + offsets @ hamiltonian.crystal.lattice.T / (2.0 * np.pi)
    energies = band_energies(hamiltonian, points)
    energies = energies[:, mass.first_band : mass.first_band + mass.degeneracy]
    return np.sort(STENCIL @ energies) / step**2 * INVERSE_MASS_PER_EV_A2


def _shortened(hamiltonian: LocalOrbitalHamiltonian) -> LocalOrbitalHamiltonian:
    """Return the Hamiltonian without its outermost blocks."""
    crystal = hamiltonian.crystal

    def cut(matrix: LatticeMatrix) -> LatticeMatrix:
        bond = crystal.positions[matrix.pairs[:, 1]] - crystal.positions[matrix.pairs[:, 0]]
        distance = np.linalg.norm(bond + matrix.cells @ crystal.lattice, axis=1)
        return matrix.selected(distance <= RANGE_SHARE * distance.max())

    overlap = None if hamiltonian.overlap is None else cut(hamiltonian.overlap)
    return replace(hamiltonian, hamiltonian=cut(hamiltonian.hamiltonian), overlap=overlap)

r"""Born effective charges from Berry phases of displaced crystals.

:math:`Z^*_{\alpha\beta} = \partial p_\alpha / \partial u_\beta` at zero field, p the dipole of the
cell and u the displacement of one atom in every cell. The work is cut into independent items, so
that a workflow can run and store them one by one: :func:`charge_displacements` says which atoms to
move, :func:`displaced_crystals` builds the crystals, ``berry_phases`` does the work on each, and
:func:`charges_from_phases` puts the results together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal, Symmetry
from elphant.electron.dielectric.berry_phase import (
    BerryPhases,
    berry_phases,
    electronic_dipole_change,
)
from elphant.electron.dielectric.position import position_flag
from elphant.errors import ModelError
from elphant.models.dielectric.symmetrization import (
    cartesian_operations,
    images_of_atoms,
    independent_atoms,
    symmetrized_charges,
    without_charge_sum,
)
from elphant.models.hamiltonians.protocol import HamiltonianProvider
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.quality import QualityFlag, check_below

Array = NDArray[np.float64]
Mesh = tuple[int, int, int]

#: Displacement of an atom, Å: large against noise of a self-consistent density, small against the
#: lengths over which Z* changes.
DISPLACEMENT = 0.02

#: Charge sum (e per atom) above which the charges are doubtful.
CHARGE_SUM_LIMIT = 0.05

#: Error of the strings (e) above which the charges are doubtful.
STRING_LIMIT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChargeDisplacement:
    """One atom to be moved.

    Attributes
    ----------
    atom : int
    vector : ndarray, (3,) Å
        Cartesian.
    """

    atom: int
    vector: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", checked_array("vector", self.vector, (3,)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"atom": self.atom, "vector": self.vector.tolist()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ChargeDisplacement:
        """Rebuild from :meth:`to_dict`."""
        return cls(atom=int(record["atom"]), vector=np.array(record["vector"]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComputedCharges:
    """Born charges with what is known about their error.

    Attributes
    ----------
    charges : ndarray, (n_atoms, 3, 3) e
        Space group and acoustic sum rule imposed; first index the field, second the displacement.
    raw : dict of int to ndarray (3, 3), e
        Charges of the displaced atoms as computed.
    charge_sum : float, e
        Largest component of the sum over the cell that was removed.
    string_error : float, e
        Largest effect of the finite step along the strings.
    flags : tuple of QualityFlag
    """

    charges: Array
    raw: dict[int, Array]
    charge_sum: float
    string_error: float
    flags: tuple[QualityFlag, ...]


def charge_displacements(
    crystal: Crystal, symmetry: Symmetry, size: float = DISPLACEMENT
) -> list[ChargeDisplacement]:
    """Return the displacements from which all Born charges follow.

    One atom of each orbit is moved, along directions whose images under the operations of its site
    span space. The opposite displacement is added where no operation of the site makes it: charges
    are central differences.
    """
    operations = cartesian_operations(crystal, symmetry)
    images = images_of_atoms(crystal, symmetry)
    axes = np.eye(3)
    candidates = [*axes, *crystal.axis_directions, *(axes + np.roll(axes, 1, axis=0))]
    items = []
    for atom in independent_atoms(symmetry):
        site = operations[images[:, atom] == atom]
        spanned = np.zeros((0, 3))
        while np.linalg.matrix_rank(spanned, tol=1e-6) < 3:
            rank = np.linalg.matrix_rank(spanned, tol=1e-6) if len(spanned) else 0
            gains = []
            for candidate in candidates:
                star = np.concatenate([spanned, site @ candidate])
                gain = int(np.linalg.matrix_rank(star, tol=1e-6)) - rank
                gains.append(gain / (1 if _is_reversed(site, candidate) else 2))
            direction = candidates[int(np.argmax(gains))]
            direction = direction / np.linalg.norm(direction)
            spanned = np.concatenate([spanned, site @ direction])
            signs = (1.0,) if _is_reversed(site, direction) else (1.0, -1.0)
            items += [
                ChargeDisplacement(atom=atom, vector=sign * size * direction) for sign in signs
            ]
    return items


def displaced_crystals(
    crystal: Crystal, displacements: Sequence[ChargeDisplacement]
) -> list[Crystal]:
    """Return the crystal of each displacement."""
    crystals = []
    for item in displacements:
        shift = np.zeros((crystal.n_atoms, 3))
        shift[item.atom] = item.vector
        crystals.append(crystal.displaced(shift))
    return crystals


def ionic_charges_of(hamiltonian: LocalOrbitalHamiltonian) -> Array:
    """Return the charge of each core, (n_atoms,) e, from the details of the Hamiltonian's origin.

    Raises
    ------
    ModelError
        If the origin does not tell, or the cores do not balance the electrons.
    """
    given = hamiltonian.origin.details.get("ionic_charges")
    if given is None:
        raise ModelError(
            f"the Hamiltonian from '{hamiltonian.origin.provider}' does not say how large the "
            "charges of its cores are.",
            "Born charges need the nuclei and core electrons besides the bands.",
            "Give the number of valence electrons of each atom as ionic_charges.",
        )
    return _balanced(given, hamiltonian)


def charges_from_phases(
    displacements: Sequence[ChargeDisplacement],
    phases: Sequence[BerryPhases],
    reference: BerryPhases,
    hamiltonian: LocalOrbitalHamiltonian,
    symmetry: Symmetry,
    *,
    ionic_charges: ArrayLike | None = None,
) -> ComputedCharges:
    """Return Born charges of all atoms from the Berry phases of displaced crystals.

    Parameters
    ----------
    displacements : sequence of ChargeDisplacement
        Closed under the operations of the sites, as :func:`charge_displacements` makes them.
    phases : sequence of BerryPhases
        Of each displaced crystal.
    reference : BerryPhases
        Of the crystal at rest.
    hamiltonian : LocalOrbitalHamiltonian
        Of the crystal at rest, for lattice, electrons and origin.
    symmetry : Symmetry
        Of the crystal at rest.
    ionic_charges : array_like, (n_atoms,) e, optional
        Charges of the cores. Default: those of the Hamiltonian's origin.

    Raises
    ------
    PhysicsError
        If a phase changes too much to be followed.
    ModelError
        If the charges of the cores are unknown or do not balance the electrons.
    """
    crystal = hamiltonian.crystal
    ions = (
        ionic_charges_of(hamiltonian)
        if ionic_charges is None
        else _balanced(ionic_charges, hamiltonian)
    )
    operations = cartesian_operations(crystal, symmetry)
    images = images_of_atoms(crystal, symmetry)
    moves: dict[int, list[Array]] = {}
    dipoles: dict[int, list[Array]] = {}
    string_error = 0.0
    for item, result in zip(displacements, phases, strict=True):
        change, error = electronic_dipole_change(result, reference, crystal)
        change = change + ions[item.atom] * item.vector
        string_error = max(string_error, float(error.max() / np.linalg.norm(item.vector)))
        for R in operations[images[:, item.atom] == item.atom]:
            moves.setdefault(item.atom, []).append(R @ item.vector)
            dipoles.setdefault(item.atom, []).append(R @ change)
    raw = {atom: _slope(np.array(moves[atom]), np.array(dipoles[atom])) for atom in moves}
    expanded, _ = symmetrized_charges(raw, crystal, symmetry)
    charges, charge_sum = without_charge_sum(expanded)
    flags = (
        check_below(
            "born_charge_sum",
            charge_sum / crystal.n_atoms,
            CHARGE_SUM_LIMIT,
            f"The Born charges summed to {charge_sum:.2e} e per cell before the acoustic sum rule "
            "was imposed.",
        ),
        check_below(
            "born_charge_strings",
            string_error,
            STRING_LIMIT,
            f"Twice as many points along the Berry strings change Z* by about {string_error:.1e} e "
            "before extrapolation.",
        ),
        position_flag(hamiltonian),
    )
    return ComputedCharges(
        charges=charges,
        raw=raw,
        charge_sum=charge_sum,
        string_error=string_error,
        flags=flags,
    )


def born_charges(
    provider: HamiltonianProvider,
    crystal: Crystal,
    symmetry: Symmetry,
    mesh: Mesh,
    *,
    string_points: Mesh | None = None,
    hamiltonian: LocalOrbitalHamiltonian | None = None,
    size: float = DISPLACEMENT,
    ionic_charges: ArrayLike | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ComputedCharges:
    """Return Born charges by moving atoms one after the other; see :func:`charges_from_phases`.

    Parameters
    ----------
    provider : HamiltonianProvider
        Asked once per displacement, and once for the crystal at rest unless ``hamiltonian`` is it.
    crystal, symmetry
    mesh, string_points
        As for :func:`~elphant.electron.dielectric.berry_phase.berry_phases`.
    size : float, Å
        Length of the displacements.
    progress : callable, optional
        Told how many of how many displacements are done.
    """
    at_rest = provider.predict(crystal) if hamiltonian is None else hamiltonian
    items = charge_displacements(crystal, symmetry, size)
    phases = []
    for done, displaced in enumerate(displaced_crystals(crystal, items), start=1):
        phases.append(berry_phases(provider.predict(displaced), mesh, string_points))
        if progress is not None:
            progress(done, len(items))
    return charges_from_phases(
        items,
        phases,
        berry_phases(at_rest, mesh, string_points),
        at_rest,
        symmetry,
        ionic_charges=ionic_charges,
    )


def _slope(moves: Array, dipoles: Array) -> Array:
    """Return Z of dipoles = Z · moves by least squares.

    The moves hold the opposite of each, so even powers of the displacement cancel.
    """
    solution, *_ = np.linalg.lstsq(moves, dipoles, rcond=None)
    return np.asarray(solution.T)


def _is_reversed(site: Array, direction: Array) -> bool:
    """Whether an operation of the site turns the direction around."""
    return bool((np.abs(site @ direction + direction).max(axis=1) < 1e-6).any())


def _balanced(charges: ArrayLike, hamiltonian: LocalOrbitalHamiltonian) -> Array:
    ions = checked_array("ionic_charges", charges, (hamiltonian.crystal.n_atoms,))
    if abs(ions.sum() - hamiltonian.n_electrons) > 1e-6:
        raise ModelError(
            f"the charges of the cores sum to {ions.sum():g}, but the bands hold "
            f"{hamiltonian.n_electrons:g} electrons.",
            "A charged cell has no defined polarisation.",
            "Count for each atom the valence electrons of its pseudopotential.",
        )
    return ions

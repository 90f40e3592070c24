"""Symmetry of dielectric data: the space group and the acoustic sum rule, imposed and measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import Crystal, Symmetry
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.units import COULOMB_EV_ANGSTROM

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymmetrizationChanges:
    """How much symmetry and sum rule changed the numbers they were imposed on.

    Attributes
    ----------
    permittivity : float
        Largest change of a component of the permittivity.
    charges : float
        Largest change of a component of a given Born charge by the space group, e.
    charge_sum : float
        Largest component of the sum of Z* over the cell before it was removed, e.
    """

    permittivity: float
    charges: float
    charge_sum: float

    def __str__(self) -> str:
        return (
            f"symmetrisation changed Z* by {self.charges:.1e} e and epsilon by "
            f"{self.permittivity:.1e}; charge sum {self.charge_sum:.1e} e removed"
        )


def independent_atoms(symmetry: Symmetry) -> list[int]:
    """Return the first atom of each orbit, in the order of the structure."""
    _, first = np.unique(symmetry.equivalent_atoms, return_index=True)
    return sorted(int(i) for i in first)


def images_of_atoms(crystal: Crystal, symmetry: Symmetry) -> NDArray[np.int64]:
    """Return the atom onto which each operation carries each atom, (n_ops, n_atoms)."""
    images = np.empty((len(symmetry.rotations), crystal.n_atoms), dtype=np.int64)
    different = crystal.numbers[:, None] != crystal.numbers[None, :]
    operations = zip(symmetry.rotations, symmetry.translations, strict=True)
    for index, (rotation, translation) in enumerate(operations):
        moved = crystal.fractional @ rotation.T + translation
        difference = moved[:, None, :] - crystal.fractional[None, :, :]
        difference -= np.round(difference)
        distance = np.linalg.norm(difference @ crystal.lattice, axis=2)
        distance[different] = np.inf
        images[index] = np.argmin(distance, axis=1)
    return images


def cartesian_operations(crystal: Crystal, symmetry: Symmetry) -> Array:
    """Return the rotation of every operation as a Cartesian matrix, (n_ops, 3, 3)."""
    columns = crystal.lattice.T
    return np.asarray(columns @ symmetry.rotations @ np.linalg.inv(columns))


def symmetrized_permittivity(
    epsilon: ArrayLike, crystal: Crystal, symmetry: Symmetry
) -> tuple[Array, float]:
    """Return the average of a tensor (3, 3) over the point group and its largest change."""
    epsilon = np.asarray(epsilon, dtype=float)
    rotations = symmetry.cartesian_rotations(crystal.lattice)
    symmetric = np.mean([R @ epsilon @ R.T for R in rotations], axis=0)
    return symmetric, float(np.abs(symmetric - epsilon).max())


def symmetrized_charges(
    given: dict[int, Array], crystal: Crystal, symmetry: Symmetry
) -> tuple[Array, float]:
    """Return Z* of all atoms (n_atoms, 3, 3) from those of ``given`` atoms, and the largest change.

    Charges are carried along by every operation, Z*' = R Z* Rᵀ, and averaged where several arrive.
    ``given`` must hold at least one atom of every orbit.
    """
    total = np.zeros((crystal.n_atoms, 3, 3))
    count = np.zeros(crystal.n_atoms)
    rotations = cartesian_operations(crystal, symmetry)
    for R, images in zip(rotations, images_of_atoms(crystal, symmetry), strict=True):
        for atom, charge in given.items():
            total[images[atom]] += R @ charge @ R.T
            count[images[atom]] += 1
    if not count.all():
        raise ValueError("a Born charge is needed for at least one atom of every orbit")
    charges = total / count[:, None, None]
    change = max(float(np.abs(charges[atom] - charge).max()) for atom, charge in given.items())
    return charges, change


def without_charge_sum(charges: Array) -> tuple[Array, float]:
    """Return charges shifted equally so that they sum to zero, and the largest removed component.

    The acoustic sum rule: a translation of the whole crystal polarises nothing.
    """
    drift = charges.sum(axis=0)
    return charges - drift / len(charges), float(np.abs(drift).max())


def symmetrized_dielectric(
    epsilon: ArrayLike,
    charges: dict[int, Array] | ArrayLike,
    crystal: Crystal,
    symmetry: Symmetry,
    source: str,
    *,
    coulomb_constant: float = COULOMB_EV_ANGSTROM,
) -> tuple[DielectricData, SymmetrizationChanges]:
    """Impose the space group and the acoustic sum rule on dielectric data.

    Parameters
    ----------
    epsilon : array_like, (3, 3)
        Relative permittivity, Cartesian.
    charges : dict of int to (3, 3), or array_like (n_atoms, 3, 3), e
        Born charges of at least one atom of every orbit, or of all.
    crystal, symmetry
        The crystal the tensors belong to, and its space group.
    source : str
        Where the numbers came from; what was changed is appended.
    coulomb_constant : float, eV Å
        e²/(4 pi eps_0) that goes with the numbers.

    Returns
    -------
    DielectricData
    SymmetrizationChanges
        For the caller to judge; nothing is refused here.
    """
    if isinstance(charges, dict):
        given = {atom: np.asarray(charge, dtype=float) for atom, charge in charges.items()}
    else:
        given = dict(enumerate(np.asarray(charges, dtype=float)))
    expanded, charge_change = symmetrized_charges(given, crystal, symmetry)
    symmetric, epsilon_change = symmetrized_permittivity(epsilon, crystal, symmetry)
    balanced, charge_sum = without_charge_sum(expanded)
    changes = SymmetrizationChanges(
        permittivity=epsilon_change, charges=charge_change, charge_sum=charge_sum
    )
    data = DielectricData(
        # Rotations leave round-off in the last digits; the given digits are restored.
        epsilon_infinity=np.asarray(np.round(symmetric, 12) + 0.0),
        born_charges=np.round(balanced, 12) + 0.0,
        source=f"{source}; {changes}",
        coulomb_constant=coulomb_constant,
    )
    return data, changes

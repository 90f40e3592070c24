"""Permittivity and Born charges of a Hamiltonian put together as dielectric data."""

from __future__ import annotations

from elphant.crystal import Symmetry
from elphant.electron.dielectric.born_charges import ComputedCharges
from elphant.electron.dielectric.permittivity import Permittivity
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.models.dielectric.symmetrization import symmetrized_dielectric
from elphant.orbitals import LocalOrbitalHamiltonian


def dielectric_from_hamiltonian(
    hamiltonian: LocalOrbitalHamiltonian,
    symmetry: Symmetry,
    permittivity: Permittivity,
    charges: ComputedCharges,
) -> DielectricData:
    """Return the object that phonons and electrons share, with a source that says how it came.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
        Of the crystal at rest.
    symmetry : Symmetry
    permittivity, charges
        Computed from it and from its displaced copies.
    """
    origin = hamiltonian.origin
    source = (
        f"{origin.provider}, {origin.level_of_theory}: {permittivity.source()}; "
        "Born charges from Berry phases of displaced atoms"
    )
    # The raw charges are given, so that the changes written down are those of symmetry and sum.
    data, _ = symmetrized_dielectric(
        permittivity.epsilon, charges.raw, hamiltonian.crystal, symmetry, source
    )
    return data

"""Numerical choices that follow from the crystal: k mesh, density cut-off, memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elphant.crystal import Crystal, Symmetry
from elphant.engine.memory import require_memory
from elphant.errors import PhysicsError
from elphant.grids.irreducible import KMesh, irreducible_mesh
from elphant.models.hamiltonians.pyscf.cell import Species
from elphant.models.hamiltonians.pyscf.grid import DensityGrid
from elphant.models.hamiltonians.pyscf.local_potential import local_form_factor
from elphant.models.hamiltonians.pyscf.occupation import Occupation
from elphant.models.hamiltonians.pyscf.superposition import FreeAtom
from elphant.orbitals import OrbitalBasis
from elphant.quality import QualityFlag

#: The density cut-off lies where the form factors of the free atoms' densities (e) and of the local
#: pseudopotentials (hartree bohr³) have fallen below these. Bands of Si and GaAs then change by
#: less than 0.2 meV when the cut-off is doubled.
DENSITY_TAIL, POTENTIAL_TAIL = 1e-4, 1e-2

#: Wave numbers that are searched, bohr⁻¹.
WAVE_NUMBERS = np.arange(3.0, 120.0, 0.125)


def choose_k_mesh(
    symmetry: Symmetry | None, mesh: Sequence[int], shift: Sequence[int] | None = None
) -> KMesh:
    """Return the irreducible points of ``mesh``.

    Without a given ``shift``, even divisions are shifted by half a step where that leaves fewer
    points and breaks no symmetry.
    """
    rotations = np.eye(3, dtype=np.int64)[None]
    if symmetry is not None:
        rotations = np.unique(symmetry.rotations, axis=0)
    if shift is not None:
        return irreducible_mesh(mesh, rotations, shift=shift)
    plain = irreducible_mesh(mesh, rotations)
    shifted = irreducible_mesh(mesh, rotations, shift=[int(n % 2 == 0) for n in mesh])
    fewer = shifted.n_points < plain.n_points
    return shifted if fewer and len(shifted.rotations) == len(plain.rotations) else plain


def largest_wave(species: dict[str, Species], atoms: dict[str, FreeAtom]) -> float:
    """Return the wave number (bohr⁻¹) beyond which neither densities nor ions have components."""
    largest = WAVE_NUMBERS[0]
    for symbol, entry in species.items():
        density = np.abs([atoms[symbol].form_factor(float(wave)) for wave in WAVE_NUMBERS])
        ion = np.abs(local_form_factor(entry, WAVE_NUMBERS**2))
        matters = np.flatnonzero((density > DENSITY_TAIL) | (ion > POTENTIAL_TAIL))
        largest = max(largest, WAVE_NUMBERS[matters[-1]])
    return float(largest)


def require_even_electrons(crystal: Crystal, species: dict[str, Species]) -> None:
    """Raise unless the valence electrons fill bands.

    Raises
    ------
    PhysicsError
        If their number per cell is odd.
    """
    n_electrons = sum(species[symbol].charge for symbol in crystal.symbols)
    if n_electrons % 2:
        raise PhysicsError(
            f"{crystal.formula} has {n_electrons} valence electrons per cell, an odd number.",
            "Bands filled with two electrons each cannot hold them: a metal or a magnetic crystal.",
            "Double the cell for a spin-ordered state, or use another crystal.",
        )


def require_room(
    bound_gb: float, grid: DensityGrid, k_mesh: KMesh, basis: OrbitalBasis, n_values: int
) -> None:
    """Raise if the estimated memory exceeds ``bound_gb``.

    Parameters
    ----------
    bound_gb : float
    grid, k_mesh, basis
        Of the calculation.
    n_values : int
        Elements of one lattice matrix.

    Raises
    ------
    ResourceError
        With the estimate.
    """
    n = basis.n_orbitals
    at_k = 16e-9 * n * n * 4.0 * k_mesh.n_points
    lattice = 8e-9 * n_values * 20.0
    fields = 8e-9 * grid.n_points * 12.0 + 16e-9 * len(grid.squares) * 30.0
    require_memory(
        0.5 + at_k + lattice + fields,
        bound_gb,
        f"the self-consistent density of {grid.crystal.formula}",
        "Allow more memory, use a smaller cell, a smaller basis or fewer k points.",
    )


def functional_flags(functional: str, pseudopotential: str) -> list[QualityFlag]:
    """Return a warning where the pseudopotentials were made for another functional."""
    made_for = pseudopotential.lower().removeprefix("gth-").partition("-")[0]
    if functional.lower() == made_for:
        return []
    message = (
        f"the functional is {functional.upper()}, but the pseudopotentials {pseudopotential} were "
        f"made for {made_for.upper()}"
    )
    return [QualityFlag(name="hamiltonian_functional", severity="warning", message=message)]


def occupation_flags(occupation: Occupation, smearing: float) -> list[QualityFlag]:
    """Return a warning where bands had to be filled partially."""
    if occupation.gap > 0.0 and occupation.partial < 1e-6:
        return []
    message = (
        f"valence and conduction bands overlap or nearly touch on the k mesh (gap "
        f"{occupation.gap:.3f} eV); {occupation.partial:.1e} electrons per cell are spread by a "
        f"Fermi distribution of {smearing:g} eV"
    )
    return [
        QualityFlag(
            name="no_gap", severity="warning", message=message, value=occupation.gap, threshold=0.0
        )
    ]

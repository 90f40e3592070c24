"""What the electronic part will take, for ``--dry-run``."""

from __future__ import annotations

from collections.abc import Sequence

from elphant.config.models import RunConfig
from elphant.crystal import Crystal, Symmetry
from elphant.grids import mesh_from_spacing
from elphant.grids.irreducible import irreducible_mesh
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.job import Task

#: Orbitals per atom of a double-zeta set; the true number is known only with the basis at hand.
ORBITALS_PER_ATOM = 13

#: Cycles of a self-consistent density, usually.
TYPICAL_CYCLES = 14

#: Seconds on one core, measured: a cycle per atom and irreducible share of the grid work, and a
#: diagonalisation per orbital cubed.
CYCLE_SECONDS_PER_ATOM_SQUARED = 0.12
EIGEN_SECONDS_PER_ORBITAL_CUBED = 2.5e-9

#: Seconds per atom of density, ELF and basins at 0.12 Å.
ELF_SECONDS_PER_ATOM = 3.0


def electron_lines(
    crystal: Crystal,
    symmetry: Symmetry,
    config: RunConfig,
    tasks: Sequence[Task],
    source: HamiltonianSource,
) -> list[tuple[str, str, float]]:
    """Return one line per electronic stage: name, what it does, estimated seconds on one core."""
    options = config.electrons
    n_orbitals = ORBITALS_PER_ATOM * crystal.n_atoms
    eigen = EIGEN_SECONDS_PER_ORBITAL_CUBED * n_orbitals**3
    lines: list[tuple[str, str, float]] = []
    if source.file is not None:
        lines.append(("hamiltonian", f"read '{source.file}'", 1.0))
    else:
        n_operations = len(symmetry.rotations)
        cycle = CYCLE_SECONDS_PER_ATOM_SQUARED * crystal.n_atoms**2 * (8 / n_operations) / 8
        text = f"{source.config.model}, {source.config.basis}, {crystal.n_atoms} atoms"
        lines.append(("hamiltonian", text, 5.0 + TYPICAL_CYCLES * cycle))
    mesh = options.mesh or mesh_from_spacing(crystal.lattice, options.mesh_spacing)
    n_k = irreducible_mesh(mesh, symmetry.rotations).n_points
    text = (
        f"{n_k} irreducible k points of {'×'.join(str(n) for n in mesh)}, about "
        f"{options.points_per_leg} points per leg of the path"
    )
    lines.append(("bands", text, eigen * (2 * n_k + 10 * options.points_per_leg)))
    if "masses" in tasks:
        temperatures = ", ".join(f"{t:g} K" for t in options.temperatures)
        lines.append(("masses", f"band edges and {temperatures}", eigen * (n_k + 200)))
    if "elf" in tasks:
        text = f"grid of {options.grid_spacing:g} Å"
        seconds = ELF_SECONDS_PER_ATOM * crystal.n_atoms * (0.12 / options.grid_spacing) ** 3
        lines.append(("elf", text, seconds))
    return lines

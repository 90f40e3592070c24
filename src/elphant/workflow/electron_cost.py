"""What the electronic part will take, for ``--dry-run``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from math import prod

from elphant.config.models import RunConfig
from elphant.crystal import Crystal, Symmetry, find_symmetry
from elphant.electron.dielectric.born_charges import charge_displacements, displaced_crystals
from elphant.errors import ElphantError
from elphant.grids import mesh_from_spacing
from elphant.grids.irreducible import irreducible_mesh
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.job import Task
from elphant.workflow.stages.dielectric import dielectric_mesh, mesh_sequence

#: Orbitals per atom of a double-zeta set; the true number is known only with the basis at hand.
ORBITALS_PER_ATOM = 13

#: Cycles of a self-consistent density, usually.
TYPICAL_CYCLES = 14

#: Seconds on one core, measured: a cycle per atom and irreducible share of the grid work, and a
#: diagonalisation per orbital cubed.
CYCLE_SECONDS_PER_ATOM_SQUARED = 0.12
EIGEN_SECONDS_PER_ORBITAL_CUBED = 2.5e-9

#: The same per point of the density grid and irreducible share: hard elements have fine grids.
CYCLE_SECONDS_PER_GRID_POINT = 7e-5

#: Cost of a k point with dipoles between bands, in diagonalisations.
EIGEN_PER_POINT = 3.0

#: Seconds per atom of density, ELF and basins at 0.12 Å.
ELF_SECONDS_PER_ATOM = 3.0

#: Stage, what it does, estimated seconds on one core.
CostLine = tuple[str, str, float]


def electron_lines(
    crystal: Crystal,
    symmetry: Symmetry,
    config: RunConfig,
    tasks: Sequence[Task],
    source: HamiltonianSource,
) -> list[CostLine]:
    """Return one line per electronic stage: name, what it does, estimated seconds on one core."""
    options = config.electrons
    n_orbitals = ORBITALS_PER_ATOM * crystal.n_atoms
    eigen = EIGEN_SECONDS_PER_ORBITAL_CUBED * n_orbitals**3
    lines: list[CostLine] = []
    grid = _grid_points(crystal, source)
    if source.file is not None:
        lines.append(("hamiltonian", f"read '{source.file}'", 1.0))
    else:
        text = f"{source.config.model}, {source.config.basis}, {crystal.n_atoms} atoms"
        lines.append(
            ("hamiltonian", text, _density_seconds(crystal, len(symmetry.rotations), grid))
        )
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
    if "dielectric" in tasks:
        lines += _dielectric_lines(crystal, symmetry, config, source, (eigen, grid))
    return lines


def _dielectric_lines(
    crystal: Crystal,
    symmetry: Symmetry,
    config: RunConfig,
    source: HamiltonianSource,
    costs: tuple[float, int],
) -> list[CostLine]:
    """Return the lines of permittivity and Born charges.

    ``costs``: seconds per diagonalisation, and points of the density grid.
    """
    eigen, grid = costs
    finest = dielectric_mesh(config.electrons, crystal.lattice)
    meshes = mesh_sequence(finest)
    n_k = sum(irreducible_mesh(m, symmetry.rotations, shift=(1, 1, 1)).n_points for m in meshes)
    names = ", ".join("×".join(str(n) for n in mesh) for mesh in meshes)
    text = f"k meshes {names}"
    lines = [("permittivity", text, eigen * n_k * EIGEN_PER_POINT)]
    if source.file is not None:
        return lines
    moves = charge_displacements(crystal, symmetry, config.electrons.born_displacement)
    seconds = 0.0
    for displaced in displaced_crystals(crystal, moves):
        operations = find_symmetry(displaced, config.symmetry.tolerance).rotations
        # Time reversal halves the strings, each with as many points as the mesh along it.
        strings = eigen * 1.5 * prod(finest) * EIGEN_PER_POINT
        seconds += _density_seconds(displaced, len(operations), grid) + strings
    text = (
        f"{len(moves)} displaced crystals of {crystal.n_atoms} atoms, one self-consistent density "
        "each"
    )
    return [*lines, ("born-phases", text, seconds)]


def _density_seconds(crystal: Crystal, n_operations: int, grid_points: int) -> float:
    """Return the time of a self-consistent density."""
    cycle = CYCLE_SECONDS_PER_ATOM_SQUARED * crystal.n_atoms**2 / n_operations
    cycle += CYCLE_SECONDS_PER_GRID_POINT * grid_points / n_operations
    return 5.0 + TYPICAL_CYCLES * cycle


def _grid_points(crystal: Crystal, source: HamiltonianSource) -> int:
    """Return the points of the density grid of PySCF; 0 where there is none or it is unknown."""
    options = source.config
    if source.file is not None or options.model != "pyscf" or find_spec("pyscf") is None:
        return 0
    from elphant.models.hamiltonians.pyscf import PySCFSettings, density_grid_points

    settings = PySCFSettings(
        basis=options.basis, functional=options.functional, cutoff=options.cutoff
    )
    try:
        return density_grid_points(crystal, settings)
    except ElphantError:
        # The run itself says what is wrong; beside phonons it is only a doubt.
        return 0

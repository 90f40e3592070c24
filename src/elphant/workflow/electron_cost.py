"""What the electronic part will take, for ``--dry-run``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from math import pi, prod, sqrt

from elphant.config.models import RunConfig
from elphant.coupling.finite_differences import displaced_supercell, supercell_displacements
from elphant.crystal import Crystal, Symmetry, find_symmetry
from elphant.electron.dielectric.born_charges import charge_displacements, displaced_crystals
from elphant.errors import ElphantError
from elphant.grids import mesh_from_spacing
from elphant.grids.irreducible import irreducible_mesh
from elphant.units import BOLTZMANN_EV, INVERSE_MASS_PER_EV_A2
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.job import Task
from elphant.workflow.network_cost import CostLine, NetworkCost
from elphant.workflow.stages.derivatives import supercell_repeats, supercell_source
from elphant.workflow.stages.dielectric import dielectric_mesh, mesh_sequence
from elphant.workflow.stages.mobility import carriers_of, transport_meshes

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

#: Time of a displaced supercell as a share of what the same count gives for a unit cell: orbitals
#: are cut earlier, and few points see many of them. Measured: 60 atoms of Sb2Se3, 130 s each.
SUPERCELL_SHARE = 0.05

#: One valley of this mass (electron masses) with this many equivalents stands for the bands, of
#: which nothing is known before the Hamiltonian is.
PLANNED_MASS, PLANNED_VALLEYS = 0.4, 4

#: Largest phonon energy, eV, of final states above the window of the initial ones.
PLANNED_PHONON = 0.04

#: Seconds per pair of states: of each, for each displacement component and orbital, and for each
#: pair of mode and component; seconds of the phonons of a wave vector per mode cubed.
PAIR_SECONDS, PAIR_SECONDS_PER_ORBITAL, PAIR_SECONDS_PER_MODE = 5e-6, 2e-9, 3e-9
PHONON_SECONDS_PER_MODE_CUBED = 2e-8

#: Share of the pairs that phonons connect, usually; bytes of each in all kernels.
PLANNED_SHARE, PAIR_BYTES = 0.4, 60.0


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
        model = source.config.model
        name = f"{model}, {source.config.basis}" if model == "pyscf" else model
        text = f"{name}, {crystal.n_atoms} atoms"
        if model == "uni-hamgnn":
            lines.append(NetworkCost(crystal, symmetry, source).hamiltonian)
        else:
            seconds = _density_seconds(crystal, len(symmetry.rotations), grid)
            lines.append(("hamiltonian", text, seconds))
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
    if "mobility" in tasks:
        lines += _derivative_lines(crystal, symmetry, config, source)
        lines += [_mobility_line(crystal, symmetry, config, eigen)]
    return lines


def _derivative_lines(
    crystal: Crystal, symmetry: Symmetry, config: RunConfig, source: HamiltonianSource
) -> list[CostLine]:
    """Return the line of ∂H/∂τ: analytic, by displaced supercells, or none."""
    if source.file is not None:
        return [("derivatives", "none: a Hamiltonian file gives the polar part only", 0.0)]
    if source.config.model == "uni-hamgnn":
        return [NetworkCost(crystal, symmetry, source).derivatives]
    if source.config.model != "pyscf":
        return [("derivatives", f"analytic, {source.config.model}", 1.0)]
    repeats = supercell_repeats(config, crystal)
    moves = supercell_displacements(
        crystal, symmetry, repeats, config.transport.derivative_displacement
    )
    crystals = [displaced_supercell(crystal, repeats, move) for move in moves]
    of_supercells = supercell_source(config, source, crystals[0])
    grid = _grid_points(crystals[0], of_supercells)
    seconds = 0.0
    for displaced in crystals:
        operations = find_symmetry(displaced, config.symmetry.tolerance).rotations
        seconds += SUPERCELL_SHARE * _density_seconds(displaced, len(operations), grid)
    density = "a self-consistent density each"
    if not of_supercells.config.self_consistent:
        density, seconds = "superposed atoms each", seconds / TYPICAL_CYCLES
    text = (
        f"{len(moves)} displaced {'×'.join(str(n) for n in repeats)} supercells of "
        f"{crystals[0].n_atoms} atoms, {density}"
    )
    return [("derivatives", text, seconds)]


def _planned_states(crystal: Crystal, config: RunConfig, mesh: Sequence[int]) -> float:
    """Return how many states of a mesh lie in the window, for masses of an ordinary semiconductor.

    A sphere of radius sqrt(2 m E)/ħ in reciprocal space, for each valley.
    """
    options = config.transport
    energy = options.window * BOLTZMANN_EV * max(options.temperatures) + PLANNED_PHONON
    radius = sqrt(2.0 * PLANNED_MASS * INVERSE_MASS_PER_EV_A2 * energy)
    share = 4.0 / 3.0 * pi * radius**3 * crystal.volume / (2.0 * pi) ** 3
    return min(2.0, PLANNED_VALLEYS * share) * prod(mesh)


def _planned_pairs(
    crystal: Crystal, symmetry: Symmetry, config: RunConfig, mesh: Sequence[int]
) -> float:
    """Return the pairs of an irreducible and any state that phonons connect."""
    states = _planned_states(crystal, config, mesh)
    operations = len({rotation.tobytes() for rotation in symmetry.rotations})
    return PLANNED_SHARE * states**2 / operations


def mobility_memory(crystal: Crystal, symmetry: Symmetry, config: RunConfig) -> float:
    """Return the memory (GB) of the collision kernels of the larger mesh."""
    pairs = max(
        _planned_pairs(
            crystal,
            symmetry,
            config,
            transport_meshes(config.transport, carrier, crystal.lattice)[-1],
        )
        for carrier in carriers_of(config.transport)
    )
    return pairs * PAIR_BYTES * len(config.transport.temperatures) / 1e9


def _mobility_line(
    crystal: Crystal, symmetry: Symmetry, config: RunConfig, eigen: float
) -> CostLine:
    """Return the line of scattering and transport; an order of magnitude."""
    options = config.transport
    n_orbitals, n_modes = ORBITALS_PER_ATOM * crystal.n_atoms, 3 * crystal.n_atoms
    per_pair = PAIR_SECONDS + PAIR_SECONDS_PER_ORBITAL * n_modes * n_orbitals
    per_pair += PAIR_SECONDS_PER_MODE * n_modes**2
    seconds, parts = 0.0, []
    for carrier in carriers_of(options):
        mesh = transport_meshes(options, carrier, crystal.lattice)[-1]
        states = _planned_states(crystal, config, mesh)
        pairs = _planned_pairs(crystal, symmetry, config, mesh)
        seconds += pairs * per_pair + eigen * states / len(symmetry.rotations)
        seconds += 0.5 * prod(mesh) * PHONON_SECONDS_PER_MODE_CUBED * n_modes**3
        parts.append(f"{carrier}s on {'×'.join(str(n) for n in mesh)}, perhaps {states:.0f} states")
    # Coarser meshes have fewer pairs by the sixth power of their divisions.
    seconds *= {1: 1.0, 2: 1.2, 3: 1.3}[options.n_meshes]
    text = (
        f"{'; '.join(parts)}; {', '.join(f'{t:g} K' for t in options.temperatures)}, "
        f"{', '.join(options.levels)} (order of magnitude: bands are not known yet)"
    )
    return ("mobility", text, seconds)


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

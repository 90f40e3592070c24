"""One crystal with one set of settings: preparation, cycles with checkpoints, and their record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal, Symmetry, find_symmetry
from elphant.crystal.symmetry import SYMMETRY_TOLERANCE
from elphant.engine.memory import parse_memory
from elphant.engine.progress import Progress
from elphant.grids.irreducible import KMesh
from elphant.grids.mesh import mesh_from_spacing
from elphant.models.hamiltonians.pyscf.cell import (
    Species,
    load_species,
    orbital_basis,
    periodic_cell,
)
from elphant.models.hamiltonians.pyscf.checkpoint import (
    INTERVAL,
    Checkpoint,
    checkpoint_key,
    load_checkpoint,
    save_checkpoint,
)
from elphant.models.hamiltonians.pyscf.choices import (
    choose_k_mesh,
    functional_flags,
    largest_wave,
    occupation_flags,
    require_even_electrons,
    require_room,
)
from elphant.models.hamiltonians.pyscf.grid import (
    GridPlacement,
    density_grid,
    symmetric_placement,
)
from elphant.models.hamiltonians.pyscf.kohn_sham import (
    Cycle,
    KohnShamProblem,
    run_cycles,
    single_cycle,
)
from elphant.models.hamiltonians.pyscf.local_potential import Functional
from elphant.models.hamiltonians.pyscf.mixing import PulayMixer
from elphant.models.hamiltonians.pyscf.one_electron import OneElectronIntegrals
from elphant.models.hamiltonians.pyscf.superposition import (
    FreeAtom,
    free_atoms,
    superposed_density_matrix,
)
from elphant.models.hamiltonians.pyscf.symmetrizer import BlockSymmetrizer
from elphant.orbitals.derivatives import VectorMatrix
from elphant.orbitals.real_space import OrbitalsOnPoints
from elphant.orbitals.symmetry import OrbitalSymmetry
from elphant.units import EV_PER_HARTREE

Complex = NDArray[np.complex128]

#: Default distance of k points, Å⁻¹ (2π included).
DEFAULT_K_SPACING = 0.25

#: Width of the Fermi distribution, eV.
SMEARING = 0.01

#: Share of the memory bound for orbital values that are kept between cycles.
ORBITAL_SHARE = 0.5

#: Settings that do not change the result.
MACHINE_SETTINGS = ("checkpoint", "memory_gb", "n_threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class PySCFSettings:
    """Settings of the ab initio provider.

    Attributes
    ----------
    basis, pseudopotential, functional : str
        Names that PySCF and libxc know.
    k_spacing : float, Å⁻¹
        Largest distance of k points of the density (2π included), unless ``k_mesh`` is given.
    k_mesh : tuple of int, optional
    k_shift : tuple of int, optional
        Half steps; by default the shift that leaves fewer points and breaks no symmetry.
    cutoff : float, optional, eV
        Kinetic energy of the highest plane wave of the density; by default from the free atoms.
    block_floor : float, eV
        Blocks H(R) are kept up to the distance where their norms have fallen below this.
    self_consistent : bool
        False gives the Hamiltonian of superposed free atoms.
    tolerance : float, eV
        Largest change of band energies at which the cycles end.
    max_iterations : int
    use_symmetry : bool
        Use the space group of the crystal.
    symmetry_tolerance : float, Å
        Distance tolerance with which it is found.
    orbital_floor : float, Å^(-3/2)
        Orbitals are cut on the density grid where they fall below this.
    placement : GridPlacement, optional
        Of the density grid; by default as symmetry asks.
    memory_gb : float, optional
        Bound; by default a share of the machine.
    checkpoint : Path, optional
        File from which an interrupted calculation goes on.
    n_threads : int
        Threads of the work on the density grid.
    """

    basis: str = "gth-dzvp-molopt-sr"
    pseudopotential: str = "gth-pbe"
    functional: str = "pbe"
    k_spacing: float = DEFAULT_K_SPACING
    k_mesh: tuple[int, int, int] | None = None
    k_shift: tuple[int, int, int] | None = None
    cutoff: float | None = None
    block_floor: float = 1e-5
    self_consistent: bool = True
    tolerance: float = 1e-5
    max_iterations: int = 60
    use_symmetry: bool = True
    symmetry_tolerance: float = SYMMETRY_TOLERANCE
    orbital_floor: float = 1e-6
    placement: GridPlacement | None = None
    memory_gb: float | None = None
    checkpoint: Path | None = None
    n_threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calculation:
    """Everything that is known before the first cycle.

    Attributes
    ----------
    settings : PySCFSettings
    progress : Progress
    problem : KohnShamProblem
    atoms : dict of str to FreeAtom
    position : tuple of three LatticeMatrix, Å
    key : str
        Digest of what the cycles depend on.
    response : ndarray, (n_waves,) e/bohr³, or None
        Expected change of the density from that of superposed free atoms.
    """

    settings: PySCFSettings
    progress: Progress
    problem: KohnShamProblem
    atoms: dict[str, FreeAtom]
    position: VectorMatrix
    key: str
    response: Complex | None = None

    @classmethod
    def prepare(
        cls,
        crystal: Crystal,
        settings: PySCFSettings,
        progress: Progress,
        response: Complex | None = None,
    ) -> Calculation:
        """Load basis and pseudopotentials, choose grids, and evaluate the analytic integrals."""
        functional = Functional.of(settings.functional)
        species = load_species(crystal, settings.basis, settings.pseudopotential)
        require_even_electrons(crystal, species)
        basis = orbital_basis(crystal, species)
        atoms = free_atoms(crystal, species, basis, functional)
        symmetry = (
            find_symmetry(crystal, settings.symmetry_tolerance) if settings.use_symmetry else None
        )
        g_max = _largest_wave(settings, species, atoms)
        grid = density_grid(crystal, symmetry, g_max, settings.placement)
        k_mesh = _k_mesh(settings, crystal, symmetry)
        integrals = OneElectronIntegrals(crystal, species, basis)
        overlap = integrals.overlap()
        bound = parse_memory(settings.memory_gb)
        require_room((1.0 - ORBITAL_SHARE) * bound, grid, k_mesh, basis, len(overlap.values))
        progress.decided(
            f"pyscf: {basis.n_orbitals} orbitals, {k_mesh.n_points} of {k_mesh.n_full} k points, "
            f"{len(grid.irreducible)} of {grid.n_points} grid points, density cut-off "
            f"{0.5 * g_max**2 * EV_PER_HARTREE:.0f} eV"
        )
        kinetic, nonlocal_part = integrals.kinetic(), integrals.nonlocal_pseudopotential()
        symmetrizer = None
        if symmetry is not None:
            symmetrizer = BlockSymmetrizer(OrbitalSymmetry.of(crystal, symmetry, basis))
        problem = KohnShamProblem(
            crystal=crystal, species=species, basis=basis, grid=grid, k_mesh=k_mesh,
            functional=functional, smearing=SMEARING, overlap=overlap,
            symmetrizer=symmetrizer,
            fixed=kinetic.with_values(kinetic.values + nonlocal_part.values),
            orbitals=OrbitalsOnPoints(
                crystal, basis, grid.irreducible_points, floor=settings.orbital_floor,
                n_threads=settings.n_threads, memory_gb=ORBITAL_SHARE * bound,
            ),
        )  # fmt: skip
        record = {
            "crystal": crystal.digest(), "settings": _plain_settings(settings),
            "grid": list(grid.shape), "g_max": g_max, "k_mesh": k_mesh.mesh.tolist(),
            "k_shift": k_mesh.shift.tolist(),
        }  # fmt: skip
        return cls(
            settings=settings, progress=progress, problem=problem, atoms=atoms,
            position=integrals.position(), key=checkpoint_key(record), response=response,
        )  # fmt: skip

    def run(self) -> Cycle:
        """Return the last cycle, or the only one of superposed atoms."""
        problem, settings, path = self.problem, self.settings, self.settings.checkpoint
        if not settings.self_consistent:
            return single_cycle(problem, self.atomic_density(), PulayMixer(grid=problem.grid))
        stored = load_checkpoint(path, self.key, problem.grid) if path else None
        if stored is not None:
            self.progress.decided(f"pyscf: going on with cycle {stored.number} of '{path}'")
        with self.progress.task("self-consistent density", settings.max_iterations) as task:

            def observe(cycle: Cycle) -> None:
                task.advance()
                task.note(
                    f"bands {cycle.band_change:.1e} eV, density {cycle.density_change:.1e}, "
                    f"gap {cycle.bands.occupation.gap:.3f} eV"
                )
                if path and cycle.number % INTERVAL == 0:
                    save_checkpoint(path, self.key, Checkpoint.after(cycle))

            return run_cycles(
                problem, stored.density if stored else self.first_density(), observe=observe,
                tolerance=settings.tolerance, max_iterations=settings.max_iterations,
                mixer=stored.mixer if stored else None, first=stored.number if stored else 1,
                previous=stored.energies if stored else None,
            )  # fmt: skip

    def details(self, cycle: Cycle) -> dict[str, Any]:
        """Return settings and convergence as plain JSON."""
        problem, grid, k_mesh = self.problem, self.problem.grid, self.problem.k_mesh
        occupation = cycle.bands.occupation
        cell = periodic_cell(problem.crystal, problem.species, self.settings.pseudopotential)
        flags = occupation_flags(occupation, problem.smearing)
        flags += functional_flags(self.settings.functional, self.settings.pseudopotential)
        return {
            "settings": _plain_settings(self.settings),
            "ionic_charges": [problem.species[s].charge for s in problem.crystal.symbols],
            "k_mesh": k_mesh.mesh.tolist(),
            "k_shift": k_mesh.shift.tolist(),
            "n_k_points": k_mesh.n_points,
            "density_grid": list(grid.shape),
            "density_cutoff": 0.5 * grid.g_max**2 * EV_PER_HARTREE,
            "n_operations": grid.n_operations,
            "iterations": cycle.number,
            "total_energy": cycle.energy + float(cell.ewald()) * EV_PER_HARTREE,
            "density_residual": cycle.density_change,
            "band_change": cycle.band_change if np.isfinite(cycle.band_change) else None,
            "gap_on_mesh": occupation.gap,
            "chemical_potential": occupation.chemical_potential,
            "flags": [flag.to_dict() for flag in flags],
            "versions": {"pyscf": pyscf_version()},
        }

    def atomic_density(self) -> Complex:
        """Return the density of superposed free atoms, (n_waves,) e/bohr³."""
        problem = self.problem
        return problem.density(
            superposed_density_matrix(problem.crystal, problem.basis, self.atoms)
        )

    def first_density(self) -> Complex:
        """Return the density with which the cycles begin, (n_waves,) e/bohr³."""
        density = self.atomic_density()
        return density if self.response is None else density + self.response


def density_grid_points(crystal: Crystal, settings: PySCFSettings) -> int:
    """Return the number of points of the density grid, to plan a calculation.

    Raises
    ------
    ModelError
        As :meth:`Calculation.prepare`.
    """
    return int(density_grid(crystal, None, _largest_wave_of(settings, crystal)).n_points)


def shared_grids(settings: PySCFSettings, crystal: Crystal) -> PySCFSettings:
    """Return settings with which crystals that differ by displaced atoms have the same points.

    Density grid and shift of the k points are those of the given crystal. Chosen for each displaced
    crystal by its own symmetry, they would differ between displacements, and so would H.

    Parameters
    ----------
    settings : PySCFSettings
    crystal : Crystal
        With all atoms at rest.

    Raises
    ------
    ModelError
        As :meth:`Calculation.prepare`.
    """
    symmetry = find_symmetry(crystal, settings.symmetry_tolerance)
    k_mesh = _k_mesh(settings, crystal, symmetry)
    x, y, z = k_mesh.shift.tolist()
    placement = symmetric_placement(crystal, symmetry, _largest_wave_of(settings, crystal))
    return replace(settings, k_shift=(x, y, z), placement=placement)


def _k_mesh(settings: PySCFSettings, crystal: Crystal, symmetry: Symmetry | None) -> KMesh:
    mesh = settings.k_mesh or mesh_from_spacing(crystal.lattice, settings.k_spacing)
    return choose_k_mesh(symmetry, mesh, settings.k_shift)


def _largest_wave(
    settings: PySCFSettings, species: dict[str, Species], atoms: dict[str, FreeAtom]
) -> float:
    """Return the wave number (bohr⁻¹) of the density's cut-off."""
    if settings.cutoff is None:
        return largest_wave(species, atoms)
    return float(np.sqrt(2.0 * settings.cutoff / EV_PER_HARTREE))


def _largest_wave_of(settings: PySCFSettings, crystal: Crystal) -> float:
    functional = Functional.of(settings.functional)
    species = load_species(crystal, settings.basis, settings.pseudopotential)
    atoms = {}
    if settings.cutoff is None:
        atoms = free_atoms(crystal, species, orbital_basis(crystal, species), functional)
    return _largest_wave(settings, species, atoms)


def _plain_settings(settings: PySCFSettings) -> dict[str, Any]:
    """Return the settings that change the result, as plain JSON."""
    record = {k: v for k, v in asdict(settings).items() if k not in MACHINE_SETTINGS}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in record.items()}


def pyscf_version() -> str:
    """Return the version of PySCF."""
    try:
        return version("pyscf")
    except PackageNotFoundError:
        return "not installed"

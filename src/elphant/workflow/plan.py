"""``--dry-run``: what a run would do, with counts, time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elphant.config.models import RunConfig
from elphant.crystal import Crystal, Frame, Symmetry, find_symmetry
from elphant.crystal.io import read_crystal
from elphant.engine.device import resolve_device
from elphant.engine.memory import parse_memory
from elphant.engine.progress import Progress
from elphant.models.dielectric.born import read_born
from elphant.phonon.conductivity import Solver
from elphant.phonon.displacement import DisplacementPlan, plan_displacements, plan_gamma_check
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.levels import LevelSettings
from elphant.workflow.electron_cost import electron_lines, mobility_memory
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.job import Job
from elphant.workflow.ladder import check_orders
from elphant.workflow.level_cost import (
    BASE_BYTES,
    TYPICAL_BATCHES,
    TYPICAL_LOOP_ITERATIONS,
    PlannedCrystal,
    PlannedMesh,
    four_phonon_cost,
    level_memory,
    loop_seconds,
    solution_seconds,
    three_phonon_seconds,
)
from elphant.workflow.network_cost import NetworkCost
from elphant.workflow.phonons import require_born_file
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.scattering_cost import scattering_cost
from elphant.workflow.settings import (
    conductivity_settings,
    displacement_settings,
    fourth_order,
    level_settings,
    planned_cutoff,
)

#: Evaluations of the unit cell that a relaxation to 1e-4 eV/Å usually takes.
TYPICAL_RELAXATION_STEPS = 40


#: Stage, what it does, estimated seconds.
PlanLine = tuple[str, str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Stages with their counts and estimates.

    Attributes
    ----------
    heading : str
    lines : tuple of (stage, what, seconds)
    memory_gb : float
        Estimated peak of scattering and solution.
    memory_bound_gb : float
    with_phonons, with_mobility : bool
        Whether phonons, or carriers, scatter in the run; only the memory of that is estimated.
    """

    heading: str
    lines: tuple[PlanLine, ...]
    memory_gb: float
    memory_bound_gb: float
    with_phonons: bool = True
    with_mobility: bool = False

    @property
    def seconds(self) -> float:
        """Estimated wall time."""
        return sum(seconds for _, _, seconds in self.lines)

    def text(self) -> str:
        """Return the plan for a reader."""
        rows = [self.heading]
        rows += [f"{stage:18s} ~{_duration(s):>8s}  {what}" for stage, what, s in self.lines]
        accuracy = "on one core; good to a factor of two"
        if self.with_phonons:
            accuracy += ", four-phonon sampling to a factor of four"
        rows.append(f"{'total':18s} ~{_duration(self.seconds):>8s}  {accuracy}")
        if self.with_phonons or self.with_mobility:
            fits = "fits" if self.memory_gb <= self.memory_bound_gb else "DOES NOT FIT"
            rows.append(
                f"memory of scattering and solution ~{self.memory_gb:.1f} GB, {fits} into the "
                f"bound of {self.memory_bound_gb:.1f} GB"
            )
        rows.append("nothing was computed (--dry-run)")
        return "\n".join(rows)


def plan_job(job: Job, config: RunConfig, progress: Progress) -> RunPlan:
    """Return the plan of a run, without running it.

    The potential is loaded and evaluated on the unit cell twice, to know its speed here; counts
    refer to the structure before relaxation, which has the same symmetry.

    Raises
    ------
    ElphantError
        For the same bad input that would stop the run itself.
    """
    require_born_file(config)
    job.check(config)
    crystal, lines, memory = (
        _phonon_lines(job, config, progress)
        if job.wants_phonons
        else _structure(job, config, progress)
    )
    symmetry = find_symmetry(crystal, config.symmetry.tolerance)
    source = HamiltonianSource(
        config.hamiltonian, job.hamiltonian_file, crystal, config.symmetry.tolerance,
        device=config.execution.device,
    )  # fmt: skip
    if job.electron_tasks and not source.is_none:
        if not job.wants_phonons:
            source.require()
        lines += electron_lines(crystal, symmetry, config, job.electron_tasks, source)
        if job.wants_mobility:
            needed = mobility_memory(crystal, symmetry, config)
            if source.file is None and source.config.model == "uni-hamgnn":
                needed = max(needed, NetworkCost(crystal, symmetry, source).memory_gb)
            memory = max(memory, BASE_BYTES / 1e9 + needed)
    frame = Frame.of(crystal, symmetry)
    return RunPlan(
        heading=f"{crystal}; space group {frame.space_group}, setting {frame.setting}",
        lines=tuple(lines),
        memory_gb=memory,
        memory_bound_gb=parse_memory(config.execution.memory),
        with_phonons=job.wants_phonons,
        with_mobility=job.wants_mobility,
    )


def _structure(
    job: Job, config: RunConfig, progress: Progress
) -> tuple[Crystal, list[PlanLine], float]:
    """Return the crystal of a job without conductivity, the lines of what the mobility needs.

    Those are the lines of second-order force constants. Last comes the memory of the program, GB.
    """
    memory = BASE_BYTES / 1e9
    if job.force_constants is not None:
        from elphant.phonon.adapters.import_files import load_force_constants

        born = Path(config.phonons.born) if config.phonons.born else None
        imported = load_force_constants(job.force_constants, born)
        line = ("force-constants", f"read '{job.force_constants}'", 1.0)
        return imported.unitcell, [line], memory
    if job.structure is not None:
        crystal = read_crystal(job.structure)
    else:
        source = HamiltonianSource(
            config.hamiltonian, job.hamiltonian_file, None, config.symmetry.tolerance
        )
        crystal = source.from_file.crystal
    if not job.wants_mobility:
        return crystal, [], memory
    symmetry = find_symmetry(crystal, config.symmetry.tolerance)
    if config.phonons.born:
        read_born(Path(config.phonons.born), crystal, symmetry)
    plans = _displacement_plans(crystal, symmetry, config, harmonic_only=True)
    return crystal, _model_lines(crystal, plans, config, progress)[0], memory


def _phonon_lines(
    job: Job, config: RunConfig, progress: Progress
) -> tuple[Crystal, list[PlanLine], float]:
    """Return the crystal, the lines of the phonon part, and its memory (GB)."""
    born = Path(config.phonons.born) if config.phonons.born else None
    imported: ForceConstants | None = None
    lines: list[PlanLine] = []
    if job.force_constants is not None:
        from elphant.phonon.adapters.import_files import load_force_constants

        imported = load_force_constants(job.force_constants, born)
        check_orders(config, imported)
        crystal, lattice = imported.unitcell, imported.primitive_lattice
        n_supercell = 0 if imported.third is None else imported.third.shape[1]
        n_second, speed = imported.second.shape[1], 0.0
        symmetry = find_symmetry(crystal, config.symmetry.tolerance)
    else:
        crystal = read_crystal(job.structure)
        symmetry = find_symmetry(crystal, config.symmetry.tolerance)
        if born is not None:
            read_born(born, crystal, symmetry)
        plans = _displacement_plans(crystal, symmetry, config)
        lattice = plans[0].primitive_matrix.T @ crystal.lattice
        n_supercell = next(p.supercell.n_atoms for p in plans if 3 in p.orders)
        n_second = next(p.supercell.n_atoms for p in plans if 2 in p.orders)
        lines, speed = _model_lines(crystal, plans, config, progress)
    if imported is not None and not imported.has_third:
        return crystal, lines, BASE_BYTES / 1e9
    if config.conductivity.backend == "phono3py":
        scattering, memory = _reference_line(crystal, symmetry, config, lattice, n_supercell)
    else:
        planned = (
            PlannedCrystal.of(crystal, config.symmetry.tolerance, planned_cutoff(config))
            if imported is None
            else PlannedCrystal.of_force_constants(imported, config.symmetry.tolerance)
        )
        scattering, memory = _level_lines(planned, config, n_second / planned.n_atoms, speed)
    return crystal, lines + scattering, memory


def _reference_line(
    crystal: Crystal,
    symmetry: Symmetry,
    config: RunConfig,
    lattice: NDArray[np.float64],
    n_supercell: int,
) -> tuple[list[PlanLine], float]:
    """Return the line and the memory of phono3py as backend."""
    solver: Solver = "bte" if "bte" in config.conductivity.solver else "rta"
    settings = conductivity_settings(config, lattice, solver)
    n_primitive = round(crystal.n_atoms * abs(np.linalg.det(lattice)) / crystal.volume)
    cost = scattering_cost(symmetry, settings, n_primitive=n_primitive, n_supercell=n_supercell)
    mesh = "×".join(str(n) for n in settings.mesh)
    what = (
        f"{solver.upper()} on a {mesh} mesh, about {cost.n_irreducible} irreducible q points, "
        f"{cost.n_branches} branches"
    )
    return [("scattering", what, cost.seconds)], cost.memory_gb


def _level_lines(
    crystal: PlannedCrystal, config: RunConfig, n_cells: float, seconds_per_atom: float
) -> tuple[list[PlanLine], float]:
    """Return one line per piece of work of every set of phonons, and the memory.

    Parameters
    ----------
    n_cells : float
        Primitive cells of the second-order supercell.
    seconds_per_atom : float
        Of an evaluation of the potential.
    """
    options, renormalization = config.conductivity, config.renormalization
    orders = fourth_order(config)
    temperatures = tuple(renormalization.temperatures or options.temperatures)
    sets = [("ha", options.temperatures)]
    lines: list[PlanLine] = []
    if renormalization.method == "loop":
        text = f"{len(temperatures)} temperatures, about {TYPICAL_LOOP_ITERATIONS} iterations each"
        seconds = loop_seconds(crystal.n_modes, n_cells, len(temperatures))
        lines.append(("scp-loop", text, seconds))
    sampled = temperatures if renormalization.method == "stochastic" else ()
    if renormalization.method == "loop" and renormalization.check:
        sampled = (min(temperatures, key=lambda t: abs(t - 300.0)),)
    for temperature in sampled:
        batches = min(TYPICAL_BATCHES, renormalization.max_batches)
        atoms = round(n_cells) * crystal.n_atoms
        text = f"about {batches} batches of {renormalization.batch} supercells of {atoms} atoms"
        seconds = batches * renormalization.batch * atoms * seconds_per_atom
        lines.append((f"scp-{temperature:g}K", text, seconds))
    if renormalization.method != "none":
        sets += [(f"scp-{t:g}K", (t,)) for t in temperatures]
    memory = 0.0
    for name, chosen in sets:
        settings = level_settings(config, crystal.lattice, chosen)
        mesh = PlannedMesh.of(crystal, settings.mesh)
        workers = config.execution.workers
        peak = level_memory(crystal, mesh, settings, orders).peak(
            1 if workers == "auto" else workers
        )
        memory = max(memory, peak)
        lines += _scattering_lines(name, crystal, mesh, settings, config)
    return lines, memory


def _scattering_lines(
    name: str,
    crystal: PlannedCrystal,
    mesh: PlannedMesh,
    settings: LevelSettings,
    config: RunConfig,
) -> list[PlanLine]:
    options = config.conductivity
    n_t = len(settings.temperatures)
    count = f"{n_t} temperatures" if n_t > 1 else f"{settings.temperatures[0]:g} K"
    text = (
        f"{'×'.join(str(n) for n in settings.mesh)} mesh, {mesh.n_irreducible} irreducible q "
        f"points, {crystal.n_modes} branches, {count}"
    )
    seconds = three_phonon_seconds(mesh, crystal.n_modes, settings)
    lines: list[PlanLine] = [(f"three-ph-{name}", text, seconds)]
    solutions = 1
    if 4 in options.orders:
        cost = four_phonon_cost(
            mesh, crystal.n_modes, settings, tolerance=options.tolerance,
            exact=options.sampling == "exact", max_rounds=options.max_rounds,
        )  # fmt: skip
        text = (
            f"all {cost.draws} pairs per point"
            if cost.exact
            else f"perhaps {cost.draws} of {mesh.n_points**2} pairs per point for "
            f"{100 * options.tolerance:g} % (as many as it takes)"
        )
        lines.append((f"four-ph-{name}", text, cost.seconds))
        solutions = 2
    seconds = solutions * solution_seconds(mesh, crystal.n_modes, settings)
    text = f"{' and '.join(options.solver)}, {solutions} level{'s' if solutions > 1 else ''}"
    return [*lines, (f"kappa-{name}", text, seconds)]


def _displacement_plans(
    crystal: Crystal, symmetry: Symmetry, config: RunConfig, *, harmonic_only: bool = False
) -> list[DisplacementPlan]:
    settings = displacement_settings(config, harmonic_only=harmonic_only)
    plans = plan_displacements(crystal, symmetry, settings)
    if config.displacements.check_gamma and crystal.n_atoms > 1:
        plans.append(plan_gamma_check(crystal, symmetry, settings.amplitude_second))
    return plans


def _model_lines(
    crystal: Crystal, plans: list[DisplacementPlan], config: RunConfig, progress: Progress
) -> tuple[list[PlanLine], float]:
    """Return the lines of what the potential does, and its seconds per atom."""
    source = PotentialSource(config.potential, resolve_device(config.execution.device))
    try:
        with progress.task("measuring the speed of the potential", 2) as task:
            per_atom = _seconds_per_atom(crystal, source, task.advance)
    finally:
        source.close()
    lines: list[PlanLine] = []
    if config.relaxation.enabled:
        steps = min(TYPICAL_RELAXATION_STEPS, config.relaxation.max_steps)
        text = f"about {steps} steps of {crystal.n_atoms} atoms"
        lines.append(("relax", text, steps * crystal.n_atoms * per_atom))
    lines += [
        (f"forces-{plan.label}", plan.summary(), plan.n_atom_evaluations * per_atom)
        for plan in plans
    ]
    return lines, per_atom


def _seconds_per_atom(
    crystal: Crystal, source: PotentialSource, advance: Callable[[], None]
) -> float:
    """Return the time per atom of one evaluation; the first one only warms up."""
    potential = source.get()
    potential.evaluate([crystal])
    advance()
    start = time.perf_counter()
    potential.evaluate([crystal])
    advance()
    return (time.perf_counter() - start) / crystal.n_atoms


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.3g} days"

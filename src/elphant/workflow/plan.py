"""``--dry-run``: what a run would do, with counts, time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elphant.config.models import RunConfig
from elphant.crystal import Crystal, Frame, Symmetry, find_symmetry
from elphant.crystal.io import read_crystal
from elphant.engine.device import resolve_device
from elphant.engine.memory import parse_memory
from elphant.engine.progress import Progress
from elphant.models.dielectric.born import read_born
from elphant.phonon.conductivity import Solver
from elphant.phonon.displacement import DisplacementPlan, plan_displacements, plan_gamma_check
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.run import Job, require_born_file
from elphant.workflow.scattering_cost import scattering_cost
from elphant.workflow.settings import conductivity_settings, displacement_settings

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
        Estimated peak of the scattering stage.
    memory_bound_gb : float
    """

    heading: str
    lines: tuple[PlanLine, ...]
    memory_gb: float
    memory_bound_gb: float

    @property
    def seconds(self) -> float:
        """Estimated wall time."""
        return sum(seconds for _, _, seconds in self.lines)

    def text(self) -> str:
        """Return the plan for a reader."""
        rows = [self.heading]
        rows += [f"{stage:16s} ~{_duration(s):>8s}  {what}" for stage, what, s in self.lines]
        rows.append(f"{'total':16s} ~{_duration(self.seconds):>8s}  on this machine, one process")
        fits = "fits" if self.memory_gb <= self.memory_bound_gb else "DOES NOT FIT"
        rows.append(
            f"memory of the scattering stage ~{self.memory_gb:.1f} GB, {fits} into the bound of "
            f"{self.memory_bound_gb:.1f} GB"
        )
        rows.append("nothing was computed (--dry-run)")
        return "\n".join(rows)


def plan_phonon_job(job: Job, config: RunConfig, progress: Progress) -> RunPlan:
    """Return the plan of a run, without running it.

    The potential is loaded and evaluated on the unit cell twice, to know its speed here; counts
    refer to the structure before relaxation, which has the same symmetry.

    Raises
    ------
    ElphantError
        For the same bad input that would stop the run itself.
    """
    require_born_file(config)
    born = Path(config.phonons.born) if config.phonons.born else None
    if job.force_constants is not None:
        from elphant.phonon.adapters.import_files import load_force_constants

        imported = load_force_constants(job.force_constants, born)
        crystal, lattice = imported.unitcell, imported.primitive_lattice
        n_supercell = 0 if imported.third is None else imported.third.shape[1]
        lines: list[PlanLine] = []
        symmetry = find_symmetry(crystal, config.symmetry.tolerance)
    else:
        crystal = read_crystal(job.structure)
        symmetry = find_symmetry(crystal, config.symmetry.tolerance)
        if born is not None:
            read_born(born, crystal, symmetry)
        plans = _displacement_plans(crystal, symmetry, config)
        lattice = plans[0].primitive_matrix.T @ crystal.lattice
        n_supercell = next(p.supercell.n_atoms for p in plans if 3 in p.orders)
        lines = _model_lines(crystal, plans, config, progress)
    solver: Solver = "bte" if "bte" in config.conductivity.solver else "rta"
    settings = conductivity_settings(config, lattice, solver)
    n_primitive = round(crystal.n_atoms * abs(np.linalg.det(lattice)) / crystal.volume)
    cost = scattering_cost(symmetry, settings, n_primitive=n_primitive, n_supercell=n_supercell)
    mesh = "×".join(str(n) for n in settings.mesh)
    what = (
        f"{solver.upper()} on a {mesh} mesh, about {cost.n_irreducible} irreducible q points, "
        f"{cost.n_branches} branches"
    )
    lines.append(("scattering", what, cost.seconds))
    frame = Frame.of(crystal, symmetry)
    return RunPlan(
        heading=f"{crystal}; space group {frame.space_group}, setting {frame.setting}",
        lines=tuple(lines),
        memory_gb=cost.memory_gb,
        memory_bound_gb=parse_memory(config.execution.memory),
    )


def _displacement_plans(
    crystal: Crystal, symmetry: Symmetry, config: RunConfig
) -> list[DisplacementPlan]:
    settings = displacement_settings(config)
    plans = plan_displacements(crystal, symmetry, settings)
    if config.displacements.check_gamma and crystal.n_atoms > 1:
        plans.append(plan_gamma_check(crystal, symmetry, settings.amplitude_second))
    return plans


def _model_lines(
    crystal: Crystal, plans: list[DisplacementPlan], config: RunConfig, progress: Progress
) -> list[PlanLine]:
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
    return lines + [
        (f"forces-{plan.label}", plan.summary(), plan.n_atom_evaluations * per_atom)
        for plan in plans
    ]


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

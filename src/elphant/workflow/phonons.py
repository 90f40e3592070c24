"""The phonon part of a run: from a crystal or force constants to the conductivity ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elphant.config.models import RunConfig
from elphant.crystal import Crystal, Symmetry
from elphant.errors import StructureError
from elphant.models.dielectric.born import read_born
from elphant.phonon.conductivity import Solver, ThermalConductivity
from elphant.phonon.displacement import DisplacementPlan
from elphant.quality import QualityFlag
from elphant.workflow.analysis import Analysis, analyse
from elphant.workflow.context import OtherShardsPending, RunContext
from elphant.workflow.ladder import (
    Ladder,
    LevelResult,
    compute_ladder,
    worst_flags,
)
from elphant.workflow.level_cost import PlannedCrystal, require_mesh_memory
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.settings import (
    conductivity_settings,
    fourth_order,
    harmonic_mesh,
    level_settings,
    planned_cutoff,
)
from elphant.workflow.stages.displace import displace_stage
from elphant.workflow.stages.force_constants import ForceConstantsResult, fit_stage
from elphant.workflow.stages.forces import forces_stage
from elphant.workflow.stages.harmonic import HarmonicResult, harmonic_stage
from elphant.workflow.stages.scattering import (
    conductivity_stage,
    scattering_stage,
    with_solver,
)
from elphant.workflow.transport_checks import CHECKED_TEMPERATURE, transport_flags

#: The doubt of a run that was given second-order force constants only.
NO_THIRD_ORDER = QualityFlag(
    name="no_third_order",
    severity="warning",
    message="the force constants have no third order: phonons are harmonic, and there is no "
    "conductivity; give a phono3py file or folder for it",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhononInputs:
    """Where the phonon stages start.

    Attributes
    ----------
    crystal, symmetry
        The structure that is used.
    source : ForceConstantsResult
    plans : sequence of DisplacementPlan
        Empty for given force constants.
    model : PotentialSource or None
        None for given force constants.
    """

    crystal: Crystal
    symmetry: Symmetry
    source: ForceConstantsResult
    plans: Sequence[DisplacementPlan] = ()
    model: PotentialSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhononPart:
    """What the phonon part leaves for the results.

    Attributes
    ----------
    force_constants : ForceConstantsResult
    harmonic : HarmonicResult
    ladder : Ladder
        Conductivities at all levels; empty without a third order.
    analysis : Analysis
    """

    force_constants: ForceConstantsResult
    harmonic: HarmonicResult
    ladder: Ladder
    analysis: Analysis


def require_born_file(config: RunConfig) -> None:
    """Raise at the start of a run, not hours later, when the BORN file is missing.

    Raises
    ------
    StructureError
        If it does not exist.
    """
    born = config.phonons.born
    if born and not Path(born).is_file():
        raise StructureError(
            f"BORN file '{born}' does not exist.", fix="Check the path given to --born."
        )


def require_planned_memory(config: RunConfig, crystal: Crystal, memory_gb: float) -> None:
    """Refuse a mesh that will not fit before anything is computed.

    The mesh, the branches and the temperatures are known before the forces are.

    Raises
    ------
    ResourceError
        With the mesh that would fit.
    """
    if config.conductivity.backend == "elphant":
        tolerance = config.symmetry.tolerance
        planned = PlannedCrystal.of(crystal, tolerance, planned_cutoff(config))
        require_memory_of(config, planned, memory_gb)


def require_memory_of(config: RunConfig, crystal: PlannedCrystal, memory_gb: float) -> None:
    """Refuse a mesh that does not fit into the memory bound; see :func:`require_mesh_memory`."""
    settings = level_settings(config, crystal.lattice, config.conductivity.temperatures)
    workers = config.execution.workers
    require_mesh_memory(
        crystal, settings, memory_gb, fourth_order(config), 1 if workers == "auto" else workers
    )


def fitted_force_constants(
    context: RunContext, crystal: Crystal, symmetry: Symmetry, model: PotentialSource
) -> tuple[ForceConstantsResult, Sequence[DisplacementPlan]]:
    """Displace, evaluate forces, and fit force constants; return them with the plans."""
    born = context.config.phonons.born
    dielectric = read_born(Path(born), crystal, symmetry) if born else None
    plans = displace_stage(context, crystal, symmetry)
    computed = _all_forces(context, plans, model)
    forces, keys = [pair[0] for pair in computed], [pair[1] for pair in computed]
    return fit_stage(context, crystal, plans, forces, keys, dielectric), plans


def second_order_force_constants(
    context: RunContext, crystal: Crystal, symmetry: Symmetry, model: PotentialSource
) -> ForceConstantsResult:
    """Return force constants of second order alone: all that the scattering of carriers needs.

    Raises
    ------
    OtherShardsPending
        If forces of other shards are missing.
    """
    born = context.config.phonons.born
    dielectric = read_born(Path(born), crystal, symmetry) if born else None
    plans = displace_stage(context, crystal, symmetry, harmonic_only=True)
    computed = _all_forces(context, plans, model)
    forces, keys = [pair[0] for pair in computed], [pair[1] for pair in computed]
    return fit_stage(context, crystal, plans, forces, keys, dielectric)


def harmonic_phonons(
    context: RunContext, symmetry: Symmetry, source: ForceConstantsResult
) -> PhononPart:
    """Return the phonons of a run without lattice thermal conductivity: bands and states."""
    mesh = harmonic_mesh(context.config, source.force_constants.primitive_lattice)
    harmonic = harmonic_stage(context, source, symmetry, mesh)
    context.flags.extend(harmonic.flags)
    return PhononPart(
        force_constants=source, harmonic=harmonic, ladder=Ladder(), analysis=Analysis()
    )


def _all_forces(context: RunContext, plans: Any, model: PotentialSource) -> list[Any]:
    """Run the forces stage of every plan; a shard works on all of them before it stops."""
    computed, pending = [], None
    for plan in plans:
        try:
            computed.append(forces_stage(context, plan, model))
        except OtherShardsPending as missing:
            pending = pending or missing
    if pending:
        raise pending
    return computed


def compute_phonons(context: RunContext, inputs: PhononInputs) -> PhononPart:
    """Run all stages that start from force constants."""
    crystal, symmetry, source = inputs.crystal, inputs.symmetry, inputs.source
    mesh = harmonic_mesh(context.config, source.force_constants.primitive_lattice)
    harmonic = harmonic_stage(context, source, symmetry, mesh)
    context.flags.extend(harmonic.flags)
    ladder = Ladder()
    if source.force_constants.has_third:
        ladder = _ladder(context, inputs)
        context.flags.extend(ladder.flags)
        context.flags.extend(transport_flags(_highest(ladder), crystal))
    else:
        context.flags.append(NO_THIRD_ORDER)
    analysis = analyse(context, crystal, symmetry, source, inputs.plans, ladder, inputs.model)
    return PhononPart(force_constants=source, harmonic=harmonic, ladder=ladder, analysis=analysis)


def _ladder(context: RunContext, inputs: PhononInputs) -> Ladder:
    """Return the conductivity at all levels, with the engine that was asked for."""
    options, source = context.config.conductivity, inputs.source
    if options.backend == "elphant":
        return compute_ladder(context, source, inputs.model)
    # The rates of the full equation serve the relaxation-time approximation as well.
    main: Solver = "bte" if "bte" in options.solver else "rta"
    primitive = source.force_constants.primitive_lattice
    settings = conductivity_settings(context.config, primitive, main)
    block, key = scattering_stage(context, source, settings)
    results = {
        solver: conductivity_stage(context, source, with_solver(settings, solver), block, key)
        for solver in options.solver
    }
    return Ladder(
        levels=tuple(
            LevelResult(level="HA+3ph", solver=solver, parts=(result,))
            for solver, result in results.items()
        ),
        backend="phono3py",
        degenerate_average=settings.degenerate_average,
        flags=tuple(worst_flags(flag for result in results.values() for flag in result.flags)),
    )


def _highest(ladder: Ladder) -> ThermalConductivity:
    """Return the most complete level near 300 K, if possible in the relaxation-time approximation.

    Its mode conductivities are positive, which the checks of the particle picture rely on.
    """
    last = ladder.levels[-1].level
    level = ladder.result(last, "rta") or ladder.levels[-1]
    return min(
        level.parts, key=lambda part: float(np.abs(part.temperatures - CHECKED_TEMPERATURE).min())
    )

"""Stages: scattering rates in shards of grid points, and the conductivity made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from elphant.engine.memory import require_memory
from elphant.phonon.conductivity import (
    ConductivitySettings,
    ScatteringBlock,
    ScatteringCalculator,
    Solver,
    ThermalConductivity,
    merge_blocks,
    solve_conductivity,
)
from elphant.store.stage import Arrays, Stage
from elphant.workflow.context import RunContext
from elphant.workflow.level_cost import MAX_ITEMS
from elphant.workflow.stages.force_constants import ForceConstantsResult
from elphant.workflow.stages.levels import conductivity_from_store, conductivity_to_store

VERSION = 2


@dataclass(slots=True, kw_only=True)
class ScatteringWork:
    """Groups of irreducible grid points, each group one work item.

    The calculator keeps the phonons from one group to the next; it travels to a worker process
    without them.
    """

    stage: Stage
    calculator: ScatteringCalculator = field(repr=False)
    groups: tuple[tuple[int, ...], ...] = field(repr=False)

    def pending(self) -> list[int]:
        """Return the groups that are not stored."""
        return self.stage.pending_items(len(self.groups))

    def compute(self, items: Sequence[int]) -> None:
        """Compute and store groups."""
        for item in items:
            block = self.calculator.compute(self.groups[item])
            self.stage.save_item(item, block.to_arrays())


def scattering_stage(
    context: RunContext, source: ForceConstantsResult, settings: ConductivitySettings
) -> tuple[ScatteringBlock, str]:
    """Return the linewidths (and the collision matrix for the full equation) on the mesh."""
    inputs = {"force_constants": source.key, "settings": asdict(settings)}

    def compute(stage: Stage) -> tuple[Mapping[str, Any], Arrays]:
        calculator = ScatteringCalculator(source.force_constants, settings)
        estimate = calculator.memory_gb
        require_memory(
            estimate,
            context.memory_gb,
            f"the {settings.solver.upper()} on a {_mesh(settings)} mesh",
            "Use a coarser --mesh, only --solver rta, or a larger --memory.",
        )
        points = calculator.grid_points
        groups = tuple(
            tuple(int(p) for p in group)
            for group in np.array_split(points, min(MAX_ITEMS, len(points)))
        )
        context.progress.decided(
            f"scattering on a {_mesh(settings)} mesh: {len(points)} irreducible q points in "
            f"{len(groups)} work items, about {estimate:.1f} GB"
        )
        work = ScatteringWork(stage=stage, calculator=calculator, groups=groups)
        wanted = context.config.execution.workers
        context.complete_items(
            stage,
            work,
            len(groups),
            label="scattering rates",
            # The kernels use all cores by themselves; processes only when asked for by number.
            n_workers=1 if wanted == "auto" else wanted,
        )
        blocks = [ScatteringBlock.from_arrays(stage.load_item(i)) for i in range(len(groups))]
        return {"mesh": list(settings.mesh)}, merge_blocks(blocks).to_arrays()

    output = context.reuse_or_compute("scattering", VERSION, inputs, compute)
    return ScatteringBlock.from_arrays(output.arrays), output.key


def conductivity_stage(
    context: RunContext,
    source: ForceConstantsResult,
    settings: ConductivitySettings,
    block: ScatteringBlock,
    block_key: str,
) -> ThermalConductivity:
    """Solve for the conductivity with one solver."""
    inputs = {"scattering": block_key, "solver": settings.solver}

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        with context.progress.task(f"solving ({settings.solver})", 1) as task:
            result = solve_conductivity(source.force_constants, settings, block)
            task.advance()
        return conductivity_to_store(result)

    output = context.reuse_or_compute(f"kappa-{settings.solver}", VERSION, inputs, compute)
    return conductivity_from_store(output)


def with_solver(settings: ConductivitySettings, solver: Solver) -> ConductivitySettings:
    """Return the settings for another solver; the rates are the same."""
    return replace(settings, solver=solver)


def _mesh(settings: ConductivitySettings) -> str:
    return "×".join(str(n) for n in settings.mesh)

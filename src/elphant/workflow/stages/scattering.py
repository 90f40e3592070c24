"""Stages: scattering rates in shards of grid points, and the conductivity made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
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
from elphant.quality import QualityFlag
from elphant.store.stage import Arrays, Stage, StageOutput
from elphant.workflow.context import RunContext
from elphant.workflow.stages.force_constants import ForceConstantsResult

VERSION = 2

#: Work items per scattering stage: enough to share among many nodes and to lose little in a kill.
MAX_ITEMS = 48


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
        return _to_store(result)

    output = context.reuse_or_compute(f"kappa-{settings.solver}", VERSION, inputs, compute)
    return _from_store(output)


def with_solver(settings: ConductivitySettings, solver: Solver) -> ConductivitySettings:
    """Return the settings for another solver; the rates are the same."""
    return replace(settings, solver=solver)


def _to_store(result: ThermalConductivity) -> tuple[dict[str, Any], Arrays]:
    """Split a result into its arrays and the rest."""
    values = {f.name: getattr(result, f.name) for f in fields(result)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    record = {name: value for name, value in values.items() if name not in arrays}
    record["flags"] = [flag.to_dict() for flag in result.flags]
    return record, arrays


def _from_store(output: StageOutput) -> ThermalConductivity:
    record: dict[str, Any] = {**output.record, **output.arrays}
    record["flags"] = tuple(QualityFlag(**flag) for flag in record["flags"])
    record["mesh"] = tuple(record["mesh"])
    return ThermalConductivity(**record)


def _mesh(settings: ConductivitySettings) -> str:
    return "×".join(str(n) for n in settings.mesh)

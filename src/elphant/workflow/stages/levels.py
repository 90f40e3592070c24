"""Stages of one level of theory: three-phonon scattering, rounds of four-phonon scattering, κ."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.engine.threads import torch_threads
from elphant.phonon.conductivity import Solver, ThermalConductivity
from elphant.phonon.levels import (
    LevelScattering,
    LevelSettings,
    draws_of_round,
    relative_errors,
    solve_level,
)
from elphant.quality import QualityFlag
from elphant.store.stage import Arrays, Stage, StageOutput
from elphant.workflow.context import RunContext
from elphant.workflow.level_cost import (
    MAX_ITEMS,
    FourthOrder,
    PlannedCrystal,
    PlannedMesh,
    level_memory,
    require_mesh_memory,
)
from elphant.workflow.settings import planned_cutoff

VERSION = 2

#: Crystals with more branches than this are worth one process per core.
BRANCHES_WORTH_A_WORKER = 24

#: Fewest rounds of draws: an error needs two.
MINIMUM_ROUNDS = 2

#: Stands for three-phonon scattering where a number means a round of four-phonon draws.
THREE_PHONONS = -1


@dataclass(slots=True, kw_only=True)
class LevelWork:
    """Irreducible points in groups, each group one work item."""

    stage: Stage
    scattering: LevelScattering = field(repr=False)
    groups: tuple[tuple[int, ...], ...] = field(repr=False)
    round_: int | None = None
    threads: int | None = None

    def pending(self) -> list[int]:
        """Return the groups that are not stored."""
        return self.stage.pending_items(len(self.groups))

    def compute(self, items: Sequence[int]) -> None:
        """Compute and store groups."""
        with torch_threads(self.threads) if self.threads else nullcontext():
            for item in items:
                if self.round_ == THREE_PHONONS:
                    arrays = self.scattering.three_phonon(self.groups[item])
                else:
                    arrays = self.scattering.four_phonon(self.groups[item], self.round_)
                self.stage.save_item(item, arrays)


@dataclass(slots=True, kw_only=True)
class LevelStages:
    """The stages of one set of phonons at its temperatures.

    Attributes
    ----------
    context : RunContext
    scattering : LevelScattering
    key : str
        Address of the force constants.
    name : str
        Part of the names of the stages: ``ha``, ``scp-300K``.
    orders : FourthOrder
        Whether four-phonon scattering will be needed: memory is checked for it at once.
    """

    context: RunContext
    scattering: LevelScattering
    key: str
    name: str
    orders: FourthOrder

    def three_phonon(self) -> StageOutput:
        """Return three-phonon rates and rows of all irreducible points."""
        return self._points(
            f"three-phonon-{self.name}", f"three-phonon scattering, {self.name}", THREE_PHONONS
        )

    def four_phonon(self, three: StageOutput) -> tuple[list[StageOutput], bool]:
        """Return rounds of four-phonon draws until the error is small enough, and whether it is.

        The error is that of the conductivity along a, b and c with every solver that is asked for.
        Each round doubles the sample; where it would be more than half of all pairs, the exact sum
        takes its place.
        """
        options = self.context.config.conductivity
        rounds: list[StageOutput] = []
        while True:
            first, count = draws_of_round(len(rounds))
            n_draws = (first + count) * self.scattering.strata
            population = self.scattering.modes.mesh.n_points**2
            if options.sampling == "exact" or n_draws > population / 2:
                return [
                    self._points(f"four-phonon-{self.name}-exact", self._label(None), None)
                ], True
            name = f"four-phonon-{self.name}-{len(rounds):02d}"
            rounds.append(self._points(name, self._label(len(rounds)), len(rounds)))
            if len(rounds) < MINIMUM_ROUNDS:
                continue
            relative = self._relative_errors(three, rounds)
            self.context.progress.decided(
                f"four-phonon sampling, {self.name}: {n_draws} of {population} pairs per point, "
                f"standard error of the conductivity along a, b, c {_percent(relative.max(axis=0))}"
                f" (wanted {100 * options.tolerance:g} %)"
            )
            if float(relative.max()) <= options.tolerance:
                return rounds, True
            if len(rounds) >= options.max_rounds:
                return rounds, False

    def conductivity(
        self,
        three: StageOutput,
        rounds: Sequence[StageOutput] | None,
        solver: Solver,
        coherence: bool,
    ) -> ThermalConductivity:
        """Return the conductivity with one solver."""
        orders = "3ph" if rounds is None else "3,4ph"
        inputs = {
            "three": three.key,
            "rounds": None if rounds is None else [r.key for r in rounds],
            "solver": solver,
            "coherence": coherence,
        }

        def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
            with self.context.progress.task(f"solving {self.name}, {orders} ({solver})", 1) as task:
                result = solve_level(
                    self.scattering,
                    three.arrays,
                    None if rounds is None else [r.arrays for r in rounds],
                    solver=solver,
                    coherence=coherence,
                )
                task.advance()
            return conductivity_to_store(result)

        name = f"kappa-{self.name}-{orders}-{solver}"
        return conductivity_from_store(
            self.context.reuse_or_compute(name, VERSION, inputs, compute)
        )

    def _relative_errors(
        self, three: StageOutput, rounds: Sequence[StageOutput]
    ) -> NDArray[np.float64]:
        """Return the relative standard errors along a, b and c, (n_t, 3), of the worst solver.

        The full equation is solved for them only where the relaxation-time approximation is
        already good enough.
        """
        options = self.context.config.conductivity
        draws = [r.arrays for r in rounds]
        relative = relative_errors(self.scattering, three.arrays, draws)
        if "bte" in options.solver and float(relative.max()) <= options.tolerance:
            result = solve_level(
                self.scattering, three.arrays, draws, solver="bte", coherence=False
            )
            relative = np.maximum(relative, relative_error_of(result))
        return relative

    def _label(self, round_: int | None) -> str:
        text = "exact" if round_ is None else f"round {round_ + 1}"
        return f"four-phonon scattering, {self.name}, {text}"

    def _points(self, name: str, label: str, round_: int | None) -> StageOutput:
        settings = asdict(self.scattering.settings)
        if round_ == THREE_PHONONS:
            # What concerns four phonons alone does not change three-phonon scattering.
            for option in ("broadening_fourth", "strata", "seed", "single_precision"):
                del settings[option]
        inputs = {"force_constants": self.key, "settings": settings, "round": round_}
        return self.context.reuse_or_compute(
            name, VERSION, inputs, self._computation(label, round_)
        )

    def _computation(
        self, label: str, round_: int | None
    ) -> Callable[[Stage], tuple[Mapping[str, Any], Arrays]]:
        def compute(stage: Stage) -> tuple[Mapping[str, Any], Arrays]:
            context, scattering = self.context, self.scattering
            crystal, n_workers = self._crystal(), self._workers()
            estimate = require_mesh_memory(
                crystal, scattering.settings, context.memory_gb, self.orders, n_workers
            )
            n_points = scattering.modes.mesh.n_irreducible
            groups = tuple(
                tuple(int(p) for p in group)
                for group in np.array_split(np.arange(n_points), min(MAX_ITEMS, n_points))
            )
            if not round_ or round_ == THREE_PHONONS:
                mesh = "×".join(str(n) for n in scattering.settings.mesh)
                context.progress.decided(
                    f"{label} on a {mesh} mesh: {n_points} irreducible q points in {len(groups)} "
                    f"work items, about {estimate:.1f} GB"
                )
            threads = None if n_workers == 1 else max(1, (os.cpu_count() or 1) // n_workers)
            work = LevelWork(
                stage=stage, scattering=scattering, groups=groups, round_=round_, threads=threads
            )
            context.complete_items(stage, work, len(groups), label=label, n_workers=n_workers)
            items = [stage.load_item(i) for i in range(len(groups))]
            return {"mesh": list(scattering.settings.mesh)}, _joined(items)

        return compute

    def _workers(self) -> int:
        """Return the number of processes: one per core where a point is minutes of work."""
        wanted = self.context.config.execution.workers
        if wanted != "auto":
            return wanted
        if self.context.device != "cpu":
            return 1
        if self.scattering.modes.n_modes <= BRANCHES_WORTH_A_WORKER:
            return 1
        crystal, settings = self._crystal(), self.scattering.settings
        mesh = PlannedMesh.of(crystal, settings.mesh)
        single = level_memory(crystal, mesh, settings, self.orders).scattering
        return max(1, min(os.cpu_count() or 1, int(self.context.memory_gb / single)))

    def _crystal(self) -> PlannedCrystal:
        return PlannedCrystal.of_force_constants(
            self.scattering.force_constants,
            self.scattering.settings.symmetry_tolerance,
            planned_cutoff(self.context.config, self.scattering.force_constants.source),
        )


def level_stages(
    context: RunContext,
    scattering_of: Any,
    settings: LevelSettings,
    *,
    key: str,
    name: str,
    orders: FourthOrder,
) -> LevelStages:
    """Return the stages of some force constants."""
    return LevelStages(
        context=context,
        scattering=LevelScattering(scattering_of, settings, context.device),
        key=key,
        name=name,
        orders=orders,
    )


def relative_error_of(result: ThermalConductivity) -> NDArray[np.float64]:
    """Return the standard error over the conductivity along a, b and c, (n_t, 3)."""
    if result.standard_error_axes is None:
        return np.zeros((len(result.temperatures), 3))
    along = np.maximum(np.abs(result.axes_conductivity()), 1e-12)
    return np.asarray(result.standard_error_axes / along)


def conductivity_to_store(result: ThermalConductivity) -> tuple[dict[str, Any], Arrays]:
    """Split a result into its arrays and the rest."""
    values = {f.name: getattr(result, f.name) for f in fields(result)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    record = {name: value for name, value in values.items() if name not in arrays}
    record["flags"] = [flag.to_dict() for flag in result.flags]
    return record, arrays


def conductivity_from_store(output: StageOutput) -> ThermalConductivity:
    """Rebuild a result from what :func:`conductivity_to_store` stored."""
    record: dict[str, Any] = {**output.record, **output.arrays}
    record["flags"] = tuple(QualityFlag(**flag) for flag in record["flags"])
    record["mesh"] = tuple(record["mesh"])
    return ThermalConductivity(**record)


def _joined(items: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([item[name] for item in items]) for name in items[0]}


def _percent(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values) + " %"

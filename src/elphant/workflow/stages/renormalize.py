"""Stages: phonons renormalised at a temperature, by the loop or from sampled supercells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from elphant.crystal import Crystal
from elphant.phonon.adapters.cluster_adapter import third_order_clusters
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.renormalization import (
    RenormalizedForceConstants,
    StochasticSettings,
    StochasticSolver,
    solve_loop,
    with_bubble,
)
from elphant.store.atomic import sha256_of_arrays
from elphant.store.stage import Arrays, Stage, StageOutput
from elphant.workflow.context import RunContext
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.settings import loop_settings, stochastic_settings
from elphant.workflow.stages.evaluate import evaluate_stage
from elphant.workflow.stages.force_constants import ForceConstantsResult

VERSION = 2


def loop_stage(
    context: RunContext, source: ForceConstantsResult, temperatures: Sequence[float]
) -> list[tuple[RenormalizedForceConstants, str]]:
    """Return loop self-consistent phonons, each with the address of its force constants.

    All temperatures are one stage, because each starts from the solution of the one above.
    """
    settings = loop_settings(context.config)
    bubble = context.config.renormalization.bubble
    inputs = {
        "force_constants": source.key,
        "temperatures": list(temperatures),
        "settings": asdict(settings),
        "bubble": bubble,
    }

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        with context.progress.task("self-consistent phonons (loop)", 1) as task:
            solutions = solve_loop(source.force_constants, temperatures, settings)
            if bubble:
                solutions = tuple(
                    with_bubble(s, third_order_clusters(source.force_constants)) for s in solutions
                )
            task.advance()
        return _pack(solutions)

    output = context.reuse_or_compute("scp-loop", VERSION, inputs, compute)
    solutions = _unpack(output, source.force_constants)
    for solution in solutions:
        context.progress.decided(
            f"SCP at {solution.temperature:g} K: {solution.n_iterations} iterations, lowest "
            f"frequency {solution.minimum_before:.3f} -> {solution.minimum_after:.3f} THz, "
            f"imaginary modes {solution.n_imaginary_before} -> {solution.n_imaginary_after}"
        )
    return [(s, f"{output.key}-{s.temperature:g}") for s in solutions]


def stochastic_stage(
    context: RunContext,
    source: ForceConstantsResult,
    temperature: float,
    potential: PotentialSource,
    start: ForceConstants | None = None,
) -> tuple[RenormalizedForceConstants, str]:
    """Return stochastic self-consistent phonons at one temperature and the key of the stage.

    Every batch of supercells is a stage of its own with one item per supercell, so that a killed
    run goes on where it stopped.

    Parameters
    ----------
    start : ForceConstants, optional
        First trial: the loop solution, for example.
    """
    settings = stochastic_settings(context.config)
    first = None if start is None else np.asarray(start.second)
    inputs: dict[str, Any]
    solver = StochasticSolver(source.force_constants, temperature, settings, start=first)
    keys = []
    while not solver.finished:
        crystals = solver.next_batch()
        inputs = {"crystals": _digest(crystals), "potential": potential.identity}
        batch = evaluate_stage(
            context,
            f"forces-scp-{temperature:g}K-{solver.n_batches:02d}",
            VERSION,
            inputs,
            crystals,
            potential,
            label=f"forces at {temperature:g} K, batch {solver.n_batches + 1} "
            f"({crystals[0].n_atoms} atoms)",
        )
        keys.append(batch.key)
        solver.add(batch.forces, batch.energies)

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        result = solver.result()
        if context.config.renormalization.bubble:
            result = with_bubble(result, third_order_clusters(source.force_constants))
        return _pack([result])

    inputs = {
        "force_constants": source.key,
        "batches": keys,
        "settings": asdict(settings),
        "start": None if first is None else sha256_of_arrays(first),
        "bubble": context.config.renormalization.bubble,
    }
    output = context.reuse_or_compute(f"scp-stochastic-{temperature:g}K", VERSION, inputs, compute)
    (solution,) = _unpack(output, source.force_constants)
    context.progress.decided(
        f"stochastic SCP at {temperature:g} K: {len(keys)} batches, "
        f"{'converged' if solution.converged else 'NOT converged'}, lowest frequency "
        f"{solution.minimum_after:.3f} THz"
    )
    return solution, output.key


def renormalization_record(
    solution: RenormalizedForceConstants, settings: StochasticSettings | None = None
) -> dict[str, Any]:
    """Return the flat record of ``results.json``."""
    energy = solution.free_energy
    gamma = int(np.flatnonzero(np.abs(solution.q_points).max(axis=1) < 1e-9)[0])
    errors = solution.gamma_standard_errors
    return {
        "variant": solution.variant,
        "temperature": solution.temperature,
        "converged": solution.converged,
        "n_iterations": solution.n_iterations,
        "residual": solution.residual,
        "free_energy": None if energy is None else energy.total,
        "free_energy_renormalized": None if energy is None else energy.harmonic,
        "free_energy_error": None if energy is None else energy.standard_error,
        "gamma_before": solution.frequencies_before[gamma].tolist(),
        "gamma_after": solution.frequencies_after[gamma].tolist(),
        "gamma_standard_error": None if errors is None else errors.tolist(),
        "minimum_before": solution.minimum_before,
        "minimum_after": solution.minimum_after,
        "imaginary_fraction_before": solution.n_imaginary_before / solution.n_modes,
        "imaginary_fraction_after": solution.n_imaginary_after / solution.n_modes,
        "continuation": list(solution.continuation),
        "mesh": None if solution.mesh is None else list(solution.mesh),
        "n_snapshots": solution.n_snapshots,
        "effective_sample_size": solution.effective_sample_size,
        "seed": None if settings is None else settings.seed,
        "unit": "THz",
    }


def _digest(crystals: Sequence[Crystal]) -> list[str]:
    return [crystal.digest() for crystal in crystals]


def _pack(
    solutions: Sequence[RenormalizedForceConstants],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the record and the arrays of some temperatures."""
    arrays = {
        f"{name}_{i}": array
        for i, solution in enumerate(solutions)
        for name, array in solution.to_arrays().items()
    }
    return {"solutions": [solution.to_dict() for solution in solutions]}, arrays


def _unpack(
    output: StageOutput, force_constants: ForceConstants
) -> tuple[RenormalizedForceConstants, ...]:
    return tuple(
        RenormalizedForceConstants.from_record(
            record,
            {
                name.removesuffix(f"_{i}"): np.asarray(array)
                for name, array in output.arrays.items()
                if name.endswith(f"_{i}")
            },
            force_constants,
        )
        for i, record in enumerate(output.record["solutions"])
    )

"""Energies and forces of many crystals, one durable work item per crystal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.models.potentials.loading import PotentialSettings, load_potential
from elphant.models.potentials.protocol import Potential
from elphant.store.stage import Arrays, Stage
from elphant.workflow.context import RunContext
from elphant.workflow.potential_source import PotentialSource

#: Atoms evaluated between two writes: small enough to lose little, large enough to batch.
ATOMS_PER_CHUNK = 240

#: A worker takes some seconds to start; below this many atoms in all it is not worth them.
ATOMS_WORTH_A_WORKER = 1000

#: Memory of one worker process with a loaded network.
MEMORY_PER_WORKER_GB = 1.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """Energies and forces in the order of the crystals.

    Attributes
    ----------
    energies : ndarray, (n,) eV
    forces : ndarray, (n, n_atoms, 3) eV/Å
    key : str
        Address of the stage.
    """

    energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    key: str


@dataclass(slots=True, kw_only=True)
class EvaluationWork:
    """Crystals to evaluate.

    Attributes
    ----------
    stage : Stage
        Where finished items are stored.
    crystals : list of Crystal
    settings : PotentialSettings
        Enough to load the potential again in a worker process.
    potential : Potential or None
        The loaded potential; never sent to another process.
    """

    stage: Stage
    crystals: list[Crystal]
    settings: PotentialSettings
    potential: Potential | None = field(default=None, repr=False)

    def pending(self) -> list[int]:
        """Return the crystals that are not stored."""
        return self.stage.pending_items(len(self.crystals))

    def compute(self, items: Sequence[int]) -> None:
        """Evaluate and store crystals."""
        if self.potential is None:
            self.potential = load_potential(self.settings)
        evaluations = self.potential.evaluate([self.crystals[item] for item in items])
        for item, evaluation in zip(items, evaluations, strict=True):
            self.stage.save_item(
                item,
                {"forces": evaluation.forces, "energy": np.array(evaluation.energy)},
            )

    def __getstate__(self) -> tuple[Any, ...]:
        return self.stage, self.crystals, self.settings, None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.stage, self.crystals, self.settings, self.potential = state


def workers_for(context: RunContext, n_atom_evaluations: int) -> int:
    """Return the number of worker processes for so many atoms to evaluate.

    ``auto`` takes one per core, but none that would have too little to do or too little memory to
    be worth its start, and none besides this process on an accelerator.
    """
    wanted = context.config.execution.workers
    if wanted != "auto":
        return wanted
    if context.device != "cpu" or n_atom_evaluations < ATOMS_WORTH_A_WORKER:
        return 1
    by_memory = int(context.memory_gb / MEMORY_PER_WORKER_GB)
    by_work = n_atom_evaluations // (ATOMS_WORTH_A_WORKER // 2)
    return max(1, min(os.cpu_count() or 1, by_memory, by_work))


def evaluate_stage(
    context: RunContext,
    name: str,
    version: int,
    inputs: Mapping[str, Any],
    crystals: Sequence[Crystal],
    source: PotentialSource,
    *,
    label: str,
) -> Evaluated:
    """Return energies and forces, computing what is not stored.

    Parameters
    ----------
    name, version, inputs
        Of the stage; the inputs must determine the crystals and the potential.
    crystals : sequence of Crystal
        All with the same number of atoms.
    label : str
        What the user reads beside the progress bar.
    """

    def compute(stage: Stage) -> tuple[Mapping[str, Any], Arrays]:
        # Load the potential here only if there is something to do and no worker does it.
        work = EvaluationWork(stage=stage, crystals=list(crystals), settings=source.settings)
        mine = [item for item in work.pending() if context.shard.selects(item)]
        n_atoms = crystals[0].n_atoms
        n_workers = workers_for(context, len(mine) * n_atoms)
        if mine and n_workers == 1:
            work.potential = source.get()
        context.complete_items(
            stage,
            work,
            len(crystals),
            label=label,
            chunk=max(1, ATOMS_PER_CHUNK // n_atoms),
            n_workers=n_workers,
        )
        items = stage.load_items(range(len(crystals)))
        forces = np.array([item["forces"] for item in items])
        energies = np.array([item["energy"] for item in items])
        return {"n_crystals": len(crystals)}, {"forces": forces, "energies": energies}

    output = context.reuse_or_compute(name, version, inputs, compute)
    return Evaluated(
        energies=np.asarray(output.arrays["energies"], dtype=float),
        forces=np.asarray(output.arrays["forces"], dtype=float),
        key=output.key,
    )

"""Stage: forces of displaced supercells, one durable work item per snapshot."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.models.potentials.loading import PotentialSettings, load_potential
from elphant.models.potentials.protocol import Potential
from elphant.phonon.displacement import DisplacementPlan
from elphant.store.atomic import sha256_of_arrays
from elphant.store.stage import Arrays, Stage
from elphant.workflow.context import RunContext
from elphant.workflow.potential_source import PotentialSource

VERSION = 1

#: What the user reads for each plan.
TITLES = {"second": "second order", "third": "third order", "unit_cell": "Γ check of the unit cell"}

#: Atoms evaluated between two writes: small enough to lose little, large enough to batch.
ATOMS_PER_CHUNK = 240

#: A worker takes some seconds to start; below this many atoms in all it is not worth them.
ATOMS_WORTH_A_WORKER = 1000

#: Memory of one worker process with a loaded network.
MEMORY_PER_WORKER_GB = 1.5


@dataclass(slots=True, kw_only=True)
class ForceWork:
    """Snapshots of one plan; item 0 is the undisplaced supercell.

    Attributes
    ----------
    stage : Stage
        Where finished items are stored.
    plan : DisplacementPlan
    settings : PotentialSettings
        Enough to load the potential again in a worker process.
    potential : Potential or None
        The loaded potential; never sent to another process.
    """

    stage: Stage
    plan: DisplacementPlan
    settings: PotentialSettings
    potential: Potential | None = field(default=None, repr=False)

    @property
    def n_items(self) -> int:
        """Number of snapshots, the undisplaced one included."""
        return len(self.plan.displacements) + 1

    def pending(self) -> list[int]:
        """Return the snapshots that are not stored."""
        return self.stage.pending_items(self.n_items)

    def compute(self, items: Sequence[int]) -> None:
        """Evaluate and store snapshots."""
        if self.potential is None:
            self.potential = load_potential(self.settings)
        snapshots = self.plan.snapshots()
        evaluations = self.potential.evaluate([snapshots[item] for item in items])
        for item, evaluation in zip(items, evaluations, strict=True):
            self.stage.save_item(
                item,
                {"forces": evaluation.forces, "energy": np.array(evaluation.energy)},
            )

    def __getstate__(self) -> tuple[Any, ...]:
        return self.stage, self.plan, self.settings, None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.stage, self.plan, self.settings, self.potential = state


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


def forces_stage(
    context: RunContext, plan: DisplacementPlan, source: PotentialSource
) -> tuple[NDArray[np.float64], str]:
    """Return the forces (n_snapshots + 1, n_atoms, 3) eV/Å of a plan and the key of the stage."""
    inputs = {
        "supercell": plan.supercell.digest(),
        "displacements": sha256_of_arrays(plan.displacements),
        "potential": source.identity,
    }

    def compute(stage: Stage) -> tuple[Mapping[str, Any], Arrays]:
        # Load the potential here only if there is something to do and no worker does it.
        work = ForceWork(stage=stage, plan=plan, settings=source.settings)
        mine = [item for item in work.pending() if context.shard.selects(item)]
        n_workers = workers_for(context, len(mine) * plan.supercell.n_atoms)
        if mine and n_workers == 1:
            work.potential = source.get()
        context.complete_items(
            stage,
            work,
            work.n_items,
            label=f"forces, {TITLES[plan.label]} ({plan.supercell.n_atoms} atoms)",
            chunk=max(1, ATOMS_PER_CHUNK // plan.supercell.n_atoms),
            n_workers=n_workers,
        )
        items = stage.load_items(range(work.n_items))
        forces = np.array([item["forces"] for item in items])
        energies = np.array([item["energy"] for item in items])
        return {"n_snapshots": work.n_items - 1}, {"forces": forces, "energies": energies}

    output = context.reuse_or_compute(f"forces-{plan.label}", VERSION, inputs, compute)
    return np.asarray(output.arrays["forces"]), output.key

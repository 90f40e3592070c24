"""Stage: forces of displaced supercells, one durable work item per snapshot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.phonon.displacement import DisplacementPlan
from elphant.store.atomic import sha256_of_arrays
from elphant.workflow.context import RunContext
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.stages.evaluate import evaluate_stage

VERSION = 2

#: What the user reads for each plan.
TITLES = {"second": "second order", "third": "third order", "unit_cell": "Γ check of the unit cell"}


def forces_stage(
    context: RunContext, plan: DisplacementPlan, source: PotentialSource
) -> tuple[NDArray[np.float64], str]:
    """Return the forces (n_snapshots + 1, n_atoms, 3) eV/Å of a plan and the key of the stage."""
    inputs = {
        "supercell": plan.supercell.digest(),
        "displacements": sha256_of_arrays(plan.displacements),
        "potential": source.identity,
    }
    title = "third and fourth order" if 4 in plan.orders else TITLES[plan.label]
    evaluated = evaluate_stage(
        context,
        f"forces-{plan.label}",
        VERSION,
        inputs,
        plan.snapshots(),
        source,
        label=f"forces, {title} ({plan.supercell.n_atoms} atoms)",
    )
    return evaluated.forces, evaluated.key

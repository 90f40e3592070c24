"""Stage: design of the displaced supercells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from elphant.crystal import Crystal, Symmetry
from elphant.phonon.displacement import DisplacementPlan, plan_displacements, plan_gamma_check
from elphant.store.stage import Arrays, Stage
from elphant.workflow.context import RunContext
from elphant.workflow.settings import displacement_settings

VERSION = 3


def displace_stage(
    context: RunContext, crystal: Crystal, symmetry: Symmetry, *, harmonic_only: bool = False
) -> list[DisplacementPlan]:
    """Return the plans, the cheap unit-cell plan of the Γ check included when it is wanted.

    ``harmonic_only`` leaves out everything beyond the second order.
    """
    options = context.config.displacements
    inputs: dict[str, Any] = {
        "crystal": crystal.to_dict(),
        "displacements": options.model_dump(mode="json"),
        "symmetry_tolerance": context.config.symmetry.tolerance,
    }
    if harmonic_only:
        inputs["orders"] = [2]

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        settings = displacement_settings(context.config, harmonic_only=harmonic_only)
        plans = plan_displacements(crystal, symmetry, settings)
        # A cell of one atom has only acoustic modes at Γ: nothing to check.
        if options.check_gamma and crystal.n_atoms > 1:
            plans.append(plan_gamma_check(crystal, symmetry, settings.amplitude_second))
        return (
            {"plans": [plan.to_dict() for plan in plans]},
            {f"displacements-{plan.label}": plan.displacements for plan in plans},
        )

    output = context.reuse_or_compute("displace", VERSION, inputs, compute)
    plans = [
        DisplacementPlan.from_dict(
            record, {"displacements": np.asarray(output.arrays[f"displacements-{record['label']}"])}
        )
        for record in output.record["plans"]
    ]
    for plan in plans:
        context.progress.decided(plan.summary())
    return plans

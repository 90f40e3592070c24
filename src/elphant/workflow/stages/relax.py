"""Stage: symmetry-preserving relaxation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elphant.crystal import Crystal
from elphant.models.relaxation import relax
from elphant.quality import QualityFlag
from elphant.store.stage import Arrays, Stage
from elphant.workflow.context import RunContext
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.settings import relaxation_settings

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RelaxedStructure:
    """Structure that all later stages use.

    Attributes
    ----------
    crystal : Crystal
    record : dict or None
        ``relaxation`` record of ``results.json``; None when relaxation was switched off.
    card : dict
        Model card of the potential.
    flags : tuple of QualityFlag
    """

    crystal: Crystal
    record: dict[str, Any] | None
    card: dict[str, Any]
    flags: tuple[QualityFlag, ...]


def relax_stage(context: RunContext, crystal: Crystal, source: PotentialSource) -> RelaxedStructure:
    """Relax ``crystal``, or take it as it is when relaxation is switched off."""
    options = context.config.relaxation
    inputs = {
        "crystal": crystal.to_dict(),
        "potential": source.identity,
        "relaxation": options.model_dump(mode="json"),
        "symmetry_tolerance": context.config.symmetry.tolerance,
    }

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        potential = source.get()
        card = potential.card.to_dict()
        if not options.enabled:
            return {"crystal": crystal.to_dict(), "relaxation": None, "card": card, "flags": []}, {}
        context.progress.decided(
            f"relaxing cell and atoms with {potential.card.name} to {options.max_force:g} eV/Å, "
            f"at most {options.max_steps} steps"
        )
        with context.progress.task("relaxation (steps)", options.max_steps) as task:

            def report(_: int, force: float, stress: float) -> None:
                task.advance()
                task.note(f"force {force:.1e} eV/Å, stress {stress:.1e} GPa")

            result = relax(crystal, potential, relaxation_settings(context.config), report)
        return {
            "crystal": result.crystal.to_dict(),
            "relaxation": result.to_dict(),
            "card": card,
            "flags": [flag.to_dict() for flag in result.flags],
        }, {}

    record = context.reuse_or_compute("relax", VERSION, inputs, compute).record
    return RelaxedStructure(
        crystal=Crystal.from_dict(record["crystal"]),
        record=record["relaxation"],
        card=record["card"],
        flags=tuple(QualityFlag(**flag) for flag in record["flags"]),
    )

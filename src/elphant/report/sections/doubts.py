"""Doubts beside the numbers: which checks concern which part of a run, and in which words."""

from __future__ import annotations

from typing import Literal

from elphant.quality import QualityFlag
from elphant.report.model import Notice
from elphant.report.run_data import RunData
from elphant.report.text import sentence

Part = Literal["electrons", "phonons"]

#: First words of the names of checks on the electronic structure; all others concern phonons.
ELECTRON_CHECKS = (
    "band", "basin", "basis", "bond_valence", "born_charge", "competing_valleys",
    "conductivity_mass", "density_matrix", "dos", "edge", "effective_mass", "electron", "elf",
    "gap", "hamiltonian", "independent_particles", "intra_atomic", "localization", "lone_pair",
    "mass", "metal", "no_born_charges", "no_electronic", "no_gap", "not_self_consistent",
    "oscillator", "overlap", "permittivity", "scf", "self_consistent", "small_gap", "trace",
)  # fmt: skip
#: Checks that concern every number of a run.
_COMMON_CHECKS = ("preset",)


def doubts_about(run: RunData, part: Part) -> tuple[QualityFlag, ...]:
    """Return the doubts about one part of a run, the worst first."""
    if not run.has_phonons or not run.has_electrons:
        return run.doubts
    electronic = part == "electrons"
    return tuple(
        flag
        for flag in run.doubts
        if flag.name in _COMMON_CHECKS or flag.name.startswith(ELECTRON_CHECKS) == electronic
    )


def doubt_word(run: RunData, part: Part) -> str:
    """Return the words printed beside a number that must not be taken at face value."""
    severities = {flag.severity for flag in doubts_about(run, part)}
    if "invalid" in severities:
        return "invalid: see the check below"
    if run.is_quick:
        return "quick preset: not converged"
    return "doubtful: see the check below" if severities else ""


def doubt_notices(run: RunData, part: Part) -> tuple[Notice, ...]:
    """Return everything that a reader must know before using the numbers, the worst first."""
    doubts = doubts_about(run, part)
    notices = [
        Notice(severity=flag.severity, title=flag_title(flag.name), text=sentence(flag.message))
        for flag in doubts
    ]
    # The workflow may have said so itself.
    if run.is_quick and not any(flag.name == "preset" for flag in doubts):
        coarse = "mesh and small supercells" if part == "phonons" else "mesh and small basis"
        text = (
            f"Coarse {coarse}: good for a first look and for trends. The numbers "
            "are not converged and are not meant for publication. Run the standard preset."
        )
        notices.append(Notice(severity="warning", title="Quick preset.", text=text))
    return tuple(notices)


def flag_title(name: str) -> str:
    """Return the machine-readable name of a flag as the first words of a sentence."""
    return sentence(name.replace("_", " "))

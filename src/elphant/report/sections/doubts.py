"""Doubts beside the numbers: which checks concern which part of a run, and in which words."""

from __future__ import annotations

from typing import Literal

from elphant.quality import QualityFlag
from elphant.report.model import Notice
from elphant.report.run_data import RunData
from elphant.report.text import sentence

Part = Literal["electrons", "phonons", "mobility"]

#: First words of the names of checks on carrier transport.
MOBILITY_CHECKS = (
    "boltzmann", "bte", "collision", "derivative", "drifting_carriers", "impurit", "mobility",
    "no_hamiltonian_derivatives", "no_polar", "no_remaining", "no_total", "non_positive_rates",
    "range_parameter", "strong_coupling", "unscattered_states", "vertex",
)  # fmt: skip
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
    """Return the doubts about one part of a run, the worst first.

    Doubts about a part that the run has not are shown with the first part it has.
    """
    present: list[Part] = ["mobility"] if run.has_mobility else []
    present += ["electrons"] if run.has_electrons else []
    present += ["phonons"] if run.has_lattice_transport else []
    return tuple(
        flag
        for flag in run.doubts
        if flag.name in _COMMON_CHECKS or _part(flag.name, present) == part
    )


def _part(name: str, present: list[Part]) -> Part:
    """Return the part that a check concerns."""
    order: list[Part] = ["electrons", "phonons", "mobility"]
    if name.startswith(MOBILITY_CHECKS):
        order = ["mobility", "electrons", "phonons"]
    elif not name.startswith(ELECTRON_CHECKS):
        order = ["phonons", "mobility", "electrons"]
    return next((part for part in order if part in present), order[0])


def doubt_word(run: RunData, part: Part) -> str:
    """Return the words printed beside a number that must not be taken at face value."""
    # Mobilities rest on phonons and electrons, and inherit their doubts.
    doubts = run.doubts if part == "mobility" else doubts_about(run, part)
    severities = {flag.severity for flag in doubts}
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
        coarse = {"phonons": "mesh and small supercells", "electrons": "mesh and small basis",
                  "mobility": "meshes and small supercells"}[part]  # fmt: skip
        text = (
            f"Coarse {coarse}: good for a first look and for trends. The numbers "
            "are not converged and are not meant for publication. Run the standard preset."
        )
        notices.append(Notice(severity="warning", title="Quick preset.", text=text))
    return tuple(notices)


def flag_title(name: str) -> str:
    """Return the machine-readable name of a flag as the first words of a sentence."""
    return sentence(name.replace("_", " "))

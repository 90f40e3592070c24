"""Sentences on the electronic structure for the methods paragraph."""

from __future__ import annotations

from elphant.crystal import AXES
from elphant.report.electron_records import CARRIERS
from elphant.report.run_data import RunData
from elphant.report.text import compact, fixed, listing, mesh_text, number, value_and_error


def electron_sentences(run: RunData) -> list[str]:
    """Return what was done for the electrons, with its numbers; empty without them."""
    return [*_hamiltonian(run), *_gap(run), *_masses(run), *_localization(run)]


def _hamiltonian(run: RunData) -> list[str]:
    record = run.electronic_structure
    if record is None:
        return []
    how = "self-consistent" if record.self_consistent else "not self-consistent"
    text = (
        f"The electronic Hamiltonian came from {record.provider} ({record.level_of_theory}; {how}) "
        f"in a basis of {record.n_orbitals} local orbitals with {compact(record.n_electrons, 6)} "
        "electrons in the cell"
    )
    if record.k_mesh:
        text += f", from a {mesh_text(record.k_mesh)} mesh of k points"
    return [f"{text}."]


def _gap(run: RunData) -> list[str]:
    gap = run.band_gap
    if gap is None:
        return []
    if gap.is_metal:
        return ["At this level of theory the crystal is a metal."]
    text = f"The band gap is {fixed(gap.value, 3)} eV ({gap.kind})"
    if gap.kind == "indirect" and gap.direct_value is not None:
        text += f"; the smallest direct gap is {fixed(gap.direct_value, 3)} eV"
    return [f"{text}. Band edges were refined off the mesh."]


def _masses(run: RunData) -> list[str]:
    sentences = []
    edges = [r for r in run.effective_mass if r.kind == "band_edge" and r.band_index == 0]
    for carrier in CARRIERS:
        record = next((r for r in edges if r.carrier == carrier), None)
        if record is None:
            continue
        errors = record.uncertainty or {}
        shown = []
        for axis in AXES:
            value, error = record.axes.get(axis), errors.get(axis)
            both = value is not None and error is not None
            text = value_and_error(value or 0.0, error) if both else number(value, 3)
            shown.append(f"{text} along {axis}")
        what = "the edge band" if record.tensor is None and record.degeneracy > 1 else "the edge"
        sentences.append(f"The {carrier} mass at {what} is {listing(shown)} (mₑ).")
    if sentences:
        first = (
            "Effective masses at the band edges were obtained analytically, by second-order "
            "perturbation theory with overlap terms."
        )
        sentences.insert(0, first)
    kelvin = sorted({r.temperature for r in run.effective_mass if r.temperature is not None})
    if kelvin:
        at = listing([f"{t:g} K" for t in kelvin])
        sentences.append(f"Conductivity masses hold at {at} for a non-degenerate gas of carriers.")
    return sentences


def _localization(run: RunData) -> list[str]:
    summary = run.localization
    if summary is None:
        return []
    text = (
        "The electron localization function [Becke and Edgecombe 1990] was evaluated on a "
        f"{mesh_text(summary.grid)} grid (spacing {number(summary.spacing, 2)} Å) and divided into "
        "basins"
    )
    if summary.population_error is not None:
        text += (
            f", whose populations sum to the number of electrons within "
            f"{compact(abs(summary.population_error), 2)}"
        )
    sentences = [f"{text}."]
    if run.lone_pairs:
        n_pairs = sum(pair.multiplicity for pair in run.lone_pairs)
        elements = listing(list(dict.fromkeys(pair.symbol for pair in run.lone_pairs)))
        sentences.append(f"{n_pairs} basins of the cell are lone pairs, at {elements}.")
    return sentences

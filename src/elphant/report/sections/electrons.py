"""The electronic structure: gap, band edges, effective masses, origin of the Hamiltonian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elphant.crystal import AXES
from elphant.quality import Severity
from elphant.report.electron_records import CARRIERS, BandEdge, BandGap, EffectiveMass
from elphant.report.model import Block, KeyNumber, KeyNumbers, Paragraph, Section, Table
from elphant.report.plots.electron_bands import k_text
from elphant.report.run_data import RunData
from elphant.report.sections.doubts import doubt_notices, doubt_word
from elphant.report.text import compact, duration, fixed, mesh_text, number, value_and_error

MASS_UNIT = "mₑ"


def electrons_section(run: RunData) -> Section | None:
    """Return gap, edges and masses; None for a run without electrons."""
    if not run.has_electrons:
        return None
    blocks: list[Block] = [Paragraph(text=headline(run))]
    numbers = _key_numbers(run)
    if numbers:
        blocks.append(KeyNumbers(items=tuple(numbers)))
    blocks += doubt_notices(run, "electrons")
    if run.band_gap is not None and not run.band_gap.is_metal:
        blocks.append(_edge_table(run.band_gap))
        blocks.append(Paragraph(text=_EDGE_TEXT, muted=True))
    if run.effective_mass:
        blocks += [_mass_table(run.effective_mass), *_principal_blocks(run.effective_mass)]
        blocks.append(Paragraph(text=_mass_text(run), muted=True))
    return Section(identifier="electrons", title="Electronic structure", blocks=tuple(blocks))


def hamiltonian_section(run: RunData) -> Section | None:
    """Return where the Hamiltonian came from; None for a run without electrons."""
    record = run.electronic_structure
    if record is None:
        return None
    also = [_words(name).lower() for name, value in record.capabilities.items() if value]
    rows = [
        ("Provider", record.provider),
        ("Level of theory", record.level_of_theory),
        ("Self-consistent", "yes" if record.self_consistent else "no"),
        ("Electrons in the cell", compact(record.n_electrons, 6)),
        ("Orbitals", f"{record.n_orbitals} on {record.n_atoms} atoms"),
        ("k mesh of the Hamiltonian", mesh_text(record.k_mesh) if record.k_mesh else ""),
        ("Valence-band maximum", _energy(record.valence_maximum_energy)),
        *((_words(name), _text(value)) for name, value in record.details.items()),
        ("Also provides", ", ".join(also)),
        ("sha256", record.sha256 or ""),
        ("Time", "" if record.seconds is None else duration(record.seconds)),
        (
            "Peak memory",
            "" if record.peak_memory_gb is None else f"{number(record.peak_memory_gb, 2)} GB",
        ),
    ]
    table = Table(
        headers=("property", "value"), numeric=False,
        rows=tuple(row for row in rows if row[1]),
    )  # fmt: skip
    return Section(identifier="hamiltonian", title="Hamiltonian", blocks=(table,))


def headline(run: RunData) -> str:
    """Return the first sentence: what Hamiltonian, and which gap."""
    record, gap = run.electronic_structure, run.band_gap
    text = ""
    if record is not None:
        state = "Self-consistent" if record.self_consistent else "Not self-consistent"
        text = f"{state} Hamiltonian: {record.level_of_theory} ({record.provider}). "
    if gap is None:
        return f"{text}The band gap was not computed."
    if gap.is_metal:
        return f"{text}The crystal is a metal at this level: bands cross the Fermi level."
    text += f"The gap is {gap.kind}, {fixed(gap.value, 3)} eV"
    if gap.kind == "indirect" and gap.direct_value is not None:
        text += f"; the smallest direct gap is {fixed(gap.direct_value, 3)} eV"
        if gap.direct_k_point is not None:
            text += f" at k = ({', '.join(fixed(x, 3) for x in gap.direct_k_point)})"
    return f"{text}."


def mass_text(record: EffectiveMass, axis: str) -> str:
    """Return ``0.93 ± 0.04`` along an axis; – where it is not known."""
    value = record.axes.get(axis)
    if value is None:
        return "–"
    error = (record.uncertainty or {}).get(axis)
    if error and error < NO_ERROR * abs(value):
        return number(value, 3)
    return value_and_error(value, error) if error else number(value, 3)


def _key_numbers(run: RunData) -> list[KeyNumber]:
    doubt = doubt_word(run, "electrons")
    severity: Severity = "invalid" if doubt.startswith("invalid") else "warning"
    items = []
    gap = run.band_gap
    if gap is not None:
        items.append(
            KeyNumber(
                label="band gap", value="0" if gap.is_metal else fixed(gap.value, 2), unit="eV",
                detail="metal" if gap.is_metal else str(gap.kind), doubt=doubt, severity=severity,
            )
        )  # fmt: skip
    for carrier in CARRIERS:
        edge = next(
            (r for r in run.effective_mass if r.carrier == carrier and r.kind == "band_edge"), None
        )
        if edge is not None:
            each = [number(edge.axes.get(axis), 2) for axis in AXES]
            values = each[0] if len(set(each)) == 1 else " / ".join(each)
            several = edge.degeneracy > 1 and edge.tensor is None
            detail = f"along a / b / c, {'first band of the edge' if several else 'band edge'}"
            items.append(
                KeyNumber(
                    label=f"{carrier} mass", value=values, unit=MASS_UNIT, detail=detail,
                    doubt=doubt, severity=severity,
                )
            )  # fmt: skip
    return items


#: Relative uncertainties below this say nothing that three digits do not say.
NO_ERROR = 1e-3

#: Kinds of masses in the order of the table.
KINDS = ("band_edge", "valley", "conductivity")

_EDGE_TEXT = (
    "Energies from the valence-band maximum; k in units of the reciprocal vectors of the user's "
    "cell, found by refinement off the mesh. Bands are counted from 1."
)


def _edge_table(gap: BandGap) -> Table:
    rows = []
    for name, edge, valleys in (
        ("valence", gap.valence, gap.valence_valleys),
        ("conduction", gap.conduction, gap.conduction_valleys),
    ):
        if edge is not None:
            rows.append((f"{name} edge", *_edge_cells(edge)))
        rows += [(f"other {name} valley", *_edge_cells(valley)) for valley in valleys[1:]]
    headers = ("", "energy (eV)", "k-point", "equivalent points", "band", "degeneracy")
    return Table(caption="Band edges", headers=headers, rows=tuple(rows))


def _edge_cells(edge: BandEdge) -> tuple[str, ...]:
    points = "–" if edge.multiplicity is None else str(edge.multiplicity)
    return fixed(edge.energy, 3), k_text(edge), points, str(edge.band + 1), str(edge.degeneracy)


def _mass_table(records: Sequence[EffectiveMass]) -> Table:
    ordered = sorted(
        records,
        key=lambda r: (
            CARRIERS.index(r.carrier), KINDS.index(r.kind), r.energy or 0.0, r.temperature or 0.0,
            r.band_index,
        ),
    )  # fmt: skip
    rows = tuple((r.name, *(mass_text(r, axis) for axis in AXES)) for r in ordered)
    headers = ("carrier and kind", *(f"along {axis}" for axis in AXES))
    return Table(caption=f"Effective masses ({MASS_UNIT})", headers=headers, rows=rows)


def _principal_blocks(records: Sequence[EffectiveMass]) -> list[Block]:
    """Return the principal masses as a table, or one sentence where they lie along a, b, c."""
    known = [r for r in records if r.principal is not None]
    if not known:
        return []
    if all(_is_along_axes(r) for r in known):
        text = "The principal axes of the mass tensors are a, b and c."
        return [Paragraph(text=text, muted=True)]
    rows = []
    for r in known:
        assert r.principal is not None
        values, axes, labels = (r.principal[key] for key in ("values", "axes", "labels"))
        cells = [
            f"{number(value, 3)} {_direction(axis) if label == 'general' else label}"
            for value, axis, label in zip(values, axes, labels, strict=True)
        ]
        rows.append((r.name, *cells))
    headers = ("carrier and kind", "first", "second", "third")
    caption = f"Principal masses and their axes ({MASS_UNIT})"
    return [Table(caption=caption, headers=headers, rows=tuple(rows))]


def _is_along_axes(record: EffectiveMass) -> bool:
    labels = (record.principal or {}).get("labels", [])
    return {label.replace("\u0305", "") for label in labels} == {"[100]", "[010]", "[001]"}


def _direction(axis: Sequence[float]) -> str:
    return "(" + ", ".join(fixed(component, 2) for component in axis) + ")"


def _mass_text(run: RunData) -> str:
    text = (
        "Along an axis means 1/(n·M⁻¹·n) for the unit vector n of that axis: the mass with which a "
        "carrier is accelerated in that direction. Band-edge masses are analytic derivatives at "
        "the edge"
    )
    if any(r.kind == "conductivity" for r in run.effective_mass):
        text += (
            "; conductivity masses are averages over the states that carriers occupy at that "
            "temperature, without degeneracy of the gas"
        )
    if any(r.kind == "valley" for r in run.effective_mass):
        text += (
            ". Other extrema within 0.1 eV of an edge are listed too: where they compete, a small "
            "change of structure, basis or functional decides which of them is the edge"
        )
    if any(r.tensor is None and r.degeneracy > 1 for r in run.effective_mass):
        text += (
            ". A degenerate edge has no tensor: each of its bands has its own mass per direction"
        )
    if any(r.uncertainty for r in run.effective_mass):
        text += ". ± is the estimated uncertainty"
    return f"{text}."


def _energy(value: float | None) -> str:
    return "" if value is None else f"{fixed(value, 4)} eV on the scale of the Hamiltonian"


def _words(name: str) -> str:
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def _text(value: Any) -> str:
    """Return a setting of the provider as text, whatever its type."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return compact(value, 6)
    if isinstance(value, list | tuple):
        integers = len(value) == 3 and all(isinstance(x, int) for x in value)
        return mesh_text(value) if integers else ", ".join(_text(x) for x in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return "" if value is None else str(value)

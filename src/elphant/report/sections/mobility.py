"""Mobility of electrons and holes: the numbers, what follows from them, and how far they hold."""

from __future__ import annotations

from collections.abc import Sequence

from elphant.crystal import AXES
from elphant.quality import Severity
from elphant.report.mobility_records import (
    CarrierTensor,
    Mobility,
    TransportRecords,
    partner,
    solver_name,
)
from elphant.report.model import Block, KeyNumber, KeyNumbers, Paragraph, Section, Table
from elphant.report.plots.appearance import axis_label
from elphant.report.run_data import RunData
from elphant.report.sections.doubts import doubt_notices, doubt_word
from elphant.report.sections.mobility_checks import (
    attribution_blocks,
    convergence_blocks,
    method_blocks,
    parity_blocks,
    validity_blocks,
)
from elphant.report.text import number, value_and_error

UNIT = "cm² V⁻¹ s⁻¹"
#: Rows of tables over temperatures and densities; longer ones are cut, the CSV files hold all.
MOST_ROWS = 24
#: Verdicts on the Boltzmann picture, the worst last.
VERDICTS = ("valid", "doubtful", "invalid")


def mobility_section(run: RunData) -> Section | None:
    """Return the section; None for a run without mobilities."""
    records = run.transport
    if not records:
        return None
    blocks: list[Block] = [Paragraph(text=headline(run)), KeyNumbers(items=_key_numbers(run))]
    blocks += doubt_notices(run, "mobility")
    blocks += [_main_table(run), Paragraph(text=_main_text(run), muted=True)]
    blocks += _sweep_blocks(records)
    blocks += _thermoelectric_blocks(records)
    blocks += attribution_blocks(records)
    blocks += validity_blocks(records)
    blocks += convergence_blocks(records)
    blocks += parity_blocks(records)
    blocks += method_blocks(records)
    return Section(identifier="mobility", title="Carrier mobility", blocks=tuple(blocks))


def headline(run: RunData) -> str:
    """Return the first sentences: where, how, and how anisotropic."""
    records = run.transport
    temperature, density = records.reference
    methods = {r.method for c in records.carriers if (r := records.best(c)) is not None}
    how = f" ({', '.join(sorted(methods))})" if methods else ""
    text = f"Mobility at {temperature:g} K and {number(density)} carriers per cm³{how}."
    for carrier in records.carriers:
        record = records.best(carrier)
        known = {a: v for a in AXES if record and (v := record.axes.get(a)) is not None}
        if len(known) < len(AXES) or min(known.values()) <= 0:
            continue
        largest, smallest = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        ratio = known[largest] / known[smallest]
        if ratio < 1.02:
            text += f" {carrier.capitalize()}s move alike along a, b and c."
            continue
        text += (
            f" {carrier.capitalize()}s move best along {largest} and worst along {smallest}, "
            f"{number(ratio, 2)} times less."
        )
    return text


def verdict(records: TransportRecords, carrier: str, axis: str, temperature: float) -> str:
    """Return the verdict on the Boltzmann picture; – where it was not judged."""
    found = [
        r.verdict
        for r in records.validity
        if (r.carrier, r.axis) == (carrier, axis) and abs(r.temperature - temperature) < 1e-6
    ]
    return found[0] if found else "–"


def _key_numbers(run: RunData) -> tuple[KeyNumber, ...]:
    records = run.transport
    temperature, _ = records.reference
    doubt = doubt_word(run, "mobility")
    items = []
    for carrier in records.carriers:
        record = records.best(carrier)
        if record is None:
            continue
        each = [number(record.axes.get(axis), 3) for axis in AXES]
        alike = len(set(each)) == 1
        along = "along a, b and c" if alike else "along a / b / c"
        verdicts = {axis: verdict(records, carrier, axis, temperature) for axis in AXES}
        invalid = [axis for axis, word in verdicts.items() if word == "invalid"]
        severity: Severity = "invalid" if doubt.startswith("invalid") or invalid else "warning"
        shown = f"no valid Boltzmann picture along {', '.join(invalid)}" if invalid else doubt
        items.append(
            KeyNumber(
                label=f"{carrier} mobility",
                value=each[0] if alike else " / ".join(each),
                unit=UNIT,
                detail=f"{along}, {record.method}, {temperature:g} K",
                doubt=shown,
                severity=severity,
            )
        )
    return tuple(items)


def _main_table(run: RunData) -> Table:
    """Return one row per carrier and axis: total with each solver, then the parts."""
    records = run.transport
    temperature, density = records.reference
    solvers = [
        (s, next((r.variant for r in records.mobility if r.solver == s), None))
        for s in records.solvers
    ]
    last = solvers[-1][0]
    parts = [
        part
        for part in ("polar", "remaining")
        if any(records.best(c, part) is not None for c in records.carriers)
    ]
    judged = bool(records.validity)
    headers = ["carrier and axis", *(f"total, {solver_name(*s)}" for s in solvers)]
    headers += [f"{part}, {last.upper()}" for part in parts]
    headers += ["Boltzmann picture"] if judged else []
    rows = []
    for carrier in records.carriers:
        totals = {r.solver: r for r in records.all_solvers(carrier)}
        by_part = {
            part: next((r for r in records.all_solvers(carrier, part) if r.solver == last), None)
            for part in parts
        }
        for axis in AXES:
            cells = [mobility_text(totals.get(s), axis, error=s == last) for s, _ in solvers]
            cells += [mobility_text(by_part[part], axis) for part in parts]
            cells += [verdict(records, carrier, axis, temperature)] if judged else []
            rows.append((f"{carrier}, {axis_label(run, axis)}", *cells))
    caption = f"Mobility at {temperature:g} K and {number(density)} cm⁻³ ({UNIT})"
    return Table(caption=caption, headers=tuple(headers), rows=tuple(rows))


def mobility_text(record: Mobility | None, axis: str, *, error: bool = False) -> str:
    """Return a mobility along an axis with three digits, and its distance from a dense mesh."""
    value = None if record is None else record.axes.get(axis)
    if record is None or value is None:
        return "–"
    distance = (record.extrapolated_error or {}).get(axis)
    if error and distance and distance >= 1e-3 * abs(value):
        return value_and_error(value, distance)
    return number(value, 3)


def _main_text(run: RunData) -> str:
    records = run.transport
    names = {
        "serta": "SERTA takes the rates of scattering out of a state",
        "mrta": "MRTA weighs them with the loss of velocity",
        "bte": "BTE is the full linearised Boltzmann equation",
    }
    text = "; ".join(names[s] for s in records.solvers if s in names)
    text = f"{text}. " if text else ""
    if any(r.part != "total" for r in records.mobility):
        text += (
            "Polar: long-range coupling alone; remaining: all of the squared coupling but that. "
            "Each is solved alone, so that they need not add up like 1/μ; shares that do add up "
            "are given below where they were computed. "
        )
        temperature, density = records.reference
        absent = [
            f"{carrier}s ({part})"
            for carrier in records.carriers
            for part in ("polar", "remaining")
            if not records.all_solvers(carrier, part, at=(temperature, density))
        ]
        if absent:
            text += f"No mobility of their own: {', '.join(absent)}. "
    if any(r.extrapolated_error for r in records.mobility):
        text += "± is the estimated distance from the value on a dense k mesh. "
    return text.strip()


def _sweep_blocks(records: TransportRecords) -> list[Block]:
    """Return mobilities at all temperatures and densities, where there are several."""
    if len(records.temperatures) * len(records.densities) < 2:
        return []
    several = len(records.densities) > 1
    rows = []
    for carrier in records.carriers:
        for density in records.densities:
            for temperature in records.temperatures:
                record = records.best(carrier, at=(temperature, density))
                if record is None:
                    continue
                name = _point(carrier, temperature, density if several else None)
                rows.append((name, *(number(record.axes.get(axis), 3) for axis in AXES)))
    last = solver_name(records.solvers[-1])
    at = "" if several else f" at {number(records.densities[0])} cm⁻³"
    caption = f"Mobility over temperature{' and density' if several else ''}{at}, {last} ({UNIT})"
    headers = ("", *(f"along {axis}" for axis in AXES))
    return _cut_table(caption, headers, rows)


def _point(carrier: str, temperature: float, density: float | None) -> str:
    at = "" if density is None else f", {number(density)} cm⁻³"
    return f"{carrier}s, {temperature:g} K{at}"


def _cut_table(
    caption: str, headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> list[Block]:
    blocks: list[Block] = [Table(caption=caption, headers=headers, rows=tuple(rows[:MOST_ROWS]))]
    if len(rows) > MOST_ROWS:
        text = f"{len(rows) - MOST_ROWS} more rows are in results.json."
        blocks.append(Paragraph(text=text, muted=True))
    return blocks


#: Quantity, header, factor on the stored unit.
_COEFFICIENTS = (
    ("electrical_conductivity", "σ (S m⁻¹)", 1.0),
    ("seebeck", "Seebeck (µV K⁻¹)", 1.0),
    ("electronic_thermal_conductivity", "κₑ (W m⁻¹ K⁻¹)", 1.0),
    ("lorenz_number", "Lorenz number (10⁻⁸ W Ω K⁻²)", 1e8),
    ("figure_of_merit", "zT", 1.0),
)


def _thermoelectric_blocks(records: TransportRecords) -> list[Block]:
    """Return conductivity, Seebeck coefficient and what follows, with the best solver."""
    present = [item for item in _COEFFICIENTS if getattr(records, item[0])]
    if not present:
        return []
    several = len(records.densities) > 1
    rows = []
    lattice = set()
    for carrier in records.carriers:
        for density in records.densities:
            for temperature in records.temperatures:
                mobility = records.best(carrier, at=(temperature, density))
                if mobility is None:
                    continue
                cells = []
                for name, _, factor in present:
                    found = partner(getattr(records, name), mobility)
                    cells.append(_along(found, factor))
                rows.append((_point(carrier, temperature, density if several else None), *cells))
    lattice = {r.lattice for r in records.figure_of_merit if r.lattice}
    at = "" if several else f" at {number(records.densities[0])} cm⁻³"
    caption = f"Transport coefficients along a / b / c{at}, {solver_name(records.solvers[-1])}"
    blocks = _cut_table(caption, ("", *(header for _, header, _ in present)), rows)
    text = "Of one kind of carriers alone. κₑ is taken at zero current. "
    if records.figure_of_merit:
        by = f" ({'; '.join(sorted(lattice))})" if lattice else ""
        text += f"zT is taken with the lattice thermal conductivity of this run{by}. "
    return [*blocks, Paragraph(text=text.strip(), muted=True)]


def _along(record: CarrierTensor | None, factor: float) -> str:
    if record is None:
        return "–"
    each = [
        number(None if (v := record.axes.get(axis)) is None else factor * v, 3) for axis in AXES
    ]
    return each[0] if len(set(each)) == 1 else " / ".join(each)

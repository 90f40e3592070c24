"""Mobilities beside published ones, along the axes of the standard setting."""

from __future__ import annotations

import numpy as np

from elphant.crystal import AXES
from elphant.report.mobility_records import Mobility
from elphant.report.model import Block, Notice, Paragraph, Section, Table
from elphant.report.published_mobility import PublishedMobility, published_mobility
from elphant.report.run_data import RunData
from elphant.report.setting import (
    TargetSetting,
    own_axis,
    target_lattice,
    target_setting,
    tensor_along,
)
from elphant.report.text import formula_text, number

#: Columns: the names of the published axes and the axes of the standard setting they stand for.
_COLUMNS = (("x", "b"), ("y", "c"), ("z", "a"))
_PARTS = ("polar", "remaining", "total")
#: Difference of temperatures (K) up to which values are compared.
_SAME_TEMPERATURE = 10.0


def published_mobility_section(run: RunData) -> Section | None:
    """Return the comparison; None without mobilities, or for another crystal or temperature."""
    if not run.has_mobility:
        return None
    temperature, density = run.transport.reference
    published = [
        item for item in published_mobility(run)
        if abs(item.temperature - temperature) <= _SAME_TEMPERATURE
    ]  # fmt: skip
    if not published:
        return None
    target = target_setting((run,))
    blocks: list[Block] = []
    lengths = np.linalg.norm(target_lattice(run, target), axis=1)
    if AXES[int(lengths.argmin())] != "b":
        text = "The shortest axis is not b of the standard setting: the ribbons run elsewhere."
        blocks.append(Notice(severity="warning", title="Axes may not match.", text=text))
    for item in published:
        blocks.append(_table(run, item, target))
        text = f"{item.authors}: {item.source}; {item.method}, {item.solver.upper()}."
        blocks.append(Paragraph(text=text, muted=True))
        if not item.axes_proven:
            text = f"Axes of the published values: {_mapping(run, target)} {item.note}"
            blocks.append(Paragraph(text=text, muted=True))
    text = f"This run: {temperature:g} K, {number(density)} carriers per cm³. {_DIFFERENCES}"
    blocks.append(Paragraph(text=text, muted=True))
    return Section(
        identifier="published-mobility",
        title="Comparison with published mobilities",
        blocks=tuple(blocks),
    )


_DIFFERENCES = (
    "The settings of the published calculation are known in part only. Other phonons, another "
    "Hamiltonian and gap, Born charges, broadening and sampling of k, and the treatment of the "
    "dipole field (added to a coupling that holds part of it already, or taken off first) change "
    "mobilities by factors; nothing here was adjusted to agree."
)


def _mapping(run: RunData, target: TargetSetting) -> str:
    """Return which axis of the run stands for which published axis."""
    parts = []
    for name, axis in _COLUMNS:
        own = own_axis(run, target, axis)
        here = "" if own == axis else f" (here {own})"
        parts.append(f"{name} = {axis} of {target.symbol}{here}")
    return f"{', '.join(parts)}."


def _table(run: RunData, item: PublishedMobility, target: TargetSetting) -> Table:
    headers = ["carrier, part and source"]
    for name, axis in _COLUMNS:
        own = own_axis(run, target, axis)
        here = "" if own == axis else f", here {own}"
        headers.append(f"{name}: {axis} of {target.symbol}{here}")
    rows: list[tuple[str, ...]] = []
    for carrier in run.transport.carriers:
        for part in _PARTS:
            # The solver of the study first, then the most complete one.
            records = [
                r for r in run.transport.all_solvers(carrier, part) if r.solver == item.solver
            ]
            best = run.transport.best(carrier, part)
            if best is not None and best not in records:
                records.append(best)
            for record in records:
                values = mobility_along(run, record, target)
                cells = (number(values[axis], 3) for _, axis in _COLUMNS)
                rows.append((f"{carrier}s, {part}, this run ({record.method})", *cells))
            given = item.values.get(carrier, {}).get(part)
            if given:
                name = f"{carrier}s, {part}, {item.authors} ({item.solver.upper()})"
                rows.append((name, *(f"{given[axis]:g}" for _, axis in _COLUMNS)))
    title = f"Mobilities of {formula_text(run.formula)} (cm² V⁻¹ s⁻¹)"
    return Table(caption=title, headers=tuple(headers), rows=tuple(rows))


def mobility_along(
    run: RunData, record: Mobility, target: TargetSetting
) -> dict[str, float | None]:
    """Return the mobility along a, b and c of the target; None where it is not known."""
    if record.cartesian is not None:
        return dict(tensor_along(run, np.array(record.cartesian), target))
    return {axis: record.axes.get(own_axis(run, target, axis)) for axis in AXES}

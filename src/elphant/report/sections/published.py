"""Effective masses beside published ones, along the axes of the standard setting."""

from __future__ import annotations

import numpy as np

from elphant.crystal import AXES
from elphant.report.electron_records import CARRIERS
from elphant.report.model import Block, Notice, Paragraph, Section, Table
from elphant.report.published_masses import PublishedMasses, published_masses
from elphant.report.run_data import RunData
from elphant.report.setting import masses_along, own_axis, target_lattice, target_setting
from elphant.report.text import formula_text, number

#: Columns: the names of the published axes and the axes of the standard setting they stand for.
_COLUMNS = (("x", "b"), ("y", "c"), ("z", "a"))


def published_section(run: RunData) -> Section | None:
    """Return the comparison; None without masses or for another crystal."""
    published = published_masses(run)
    if not published or not run.effective_mass:
        return None
    target = target_setting((run,))
    lengths = np.linalg.norm(target_lattice(run, target), axis=1)
    blocks: list[Block] = []
    if AXES[int(lengths.argmin())] != "b":
        text = "The shortest axis is not b of the standard setting: the ribbons run elsewhere."
        blocks.append(Notice(severity="warning", title="Axes may not match.", text=text))
    own = {axis: own_axis(run, target, axis) for axis in AXES}
    headers = ["carrier and source"]
    for name, axis in _COLUMNS:
        here = "" if own[axis] == axis else f", here {own[axis]}"
        headers.append(f"{name}: {axis} of {target.symbol}{here}")
    rows: list[tuple[str, ...]] = []
    for carrier in CARRIERS:
        for record in run.effective_mass:
            if record.carrier == carrier:
                values = masses_along(run, record, target)
                cells = (number(values[axis], 3) for _, axis in _COLUMNS)
                rows.append((f"{record.name} (this run)", *cells))
        rows += [_row(item, carrier) for item in published]
    title = f"Effective masses of {formula_text(run.formula)} (mₑ)"
    blocks.append(Table(caption=title, headers=tuple(headers), rows=tuple(rows)))
    remarks = [f"{item.authors}: {item.source}; {item.method}." for item in published]
    notes = dict.fromkeys(item.note for item in published if not item.axes_proven)
    remarks += [f"Axes of the published values: {note}" for note in notes]
    blocks += [Paragraph(text=text, muted=True) for text in (*remarks, _DIFFERENCES)]
    return Section(
        identifier="published", title="Comparison with published masses", blocks=tuple(blocks)
    )


_DIFFERENCES = (
    "Published values rest on other lattices, functionals and ways to take a mass (curvature at "
    "the edge or averages around it); heavy masses depend on them most."
)


def _row(item: PublishedMasses, carrier: str) -> tuple[str, ...]:
    values = item.of(carrier)
    return (f"{carrier}, {item.authors}", *(f"{values[axis]:g}" for _, axis in _COLUMNS))

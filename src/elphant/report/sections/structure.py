"""The crystal that was computed, its symmetry and how it was relaxed."""

from __future__ import annotations

from elphant.crystal import AXES
from elphant.report.model import Block, Notice, Paragraph, Section, Table
from elphant.report.records import Relaxation
from elphant.report.run_data import RunData
from elphant.report.text import fixed, formula_text, number, signed_percent


def structure_section(run: RunData) -> Section:
    """Return cell, space group, setting, axis dictionary and relaxation."""
    blocks: list[Block] = [_cell_table(run), _axes_table(run)]
    if run.relaxation is None:
        text = "The structure was used as given; it was not relaxed in this run."
        blocks.append(Paragraph(text=text))
    else:
        blocks += _relaxation(run.relaxation)
    if run.epsilon_infinity is not None:
        blocks.append(_dielectric_table(run))
    return Section(identifier="structure", title="Structure and symmetry", blocks=tuple(blocks))


def _cell_table(run: RunData) -> Table:
    crystal = run.crystal
    lengths = ", ".join(f"{axis} = {x:.4f}" for axis, x in zip(AXES, crystal.lengths, strict=True))
    angles = ", ".join(f"{name} = {x:.3f}°" for name, x in zip("αβγ", crystal.angles, strict=True))
    rows = (
        ("Formula", f"{formula_text(run.formula)}, {crystal.n_atoms} atoms in the cell"),
        ("Space group", run.space_group),
        ("Setting of the user's cell", run.setting),
        ("Lattice", f"{lengths} Å"),
        ("Angles", angles),
        ("Volume", f"{crystal.volume:.3f} Å³, {crystal.volume / crystal.n_atoms:.3f} Å³ per atom"),
    )
    return Table(caption="Cell", headers=("property", "value"), rows=rows, numeric=False)


def _axes_table(run: RunData) -> Table:
    standard = run.frame.standard_axes
    rows = []
    for axis, direction in zip(AXES, run.frame.axis_directions, strict=True):
        vector = "(" + ", ".join(fixed(component, 4) for component in direction) + ")"
        rows.append((axis, standard[axis].replace("-", "−"), vector))
    symbol = run.space_group.split(" ")[0]
    headers = ("axis", f"in the standard setting {symbol}", "unit vector in x, y, z")
    return Table(caption="Axes", headers=headers, rows=tuple(rows))


def _relaxation(relaxation: Relaxation) -> list[Block]:
    rows = []
    for i, axis in enumerate(AXES):
        rows.append(
            (
                f"{axis} (Å)",
                fixed(relaxation.lengths_before[i], 4),
                fixed(relaxation.lengths_after[i], 4),
                signed_percent(relaxation.change_percent[axis]),
            )
        )
    for i, name in enumerate("αβγ"):
        before, after = relaxation.angles_before[i], relaxation.angles_after[i]
        rows.append(
            (f"{name} (°)", fixed(before, 3), fixed(after, 3), f"{fixed(after - before, 3)}°")
        )
    rows.append(("volume", "", "", signed_percent(relaxation.volume_change_percent)))
    blocks: list[Block] = [
        Table(caption="Relaxation", headers=("", "before", "after", "change"), rows=tuple(rows)),
        Paragraph(
            text=(
                f"{relaxation.n_steps} steps; largest residual force "
                f"{number(relaxation.max_force, 2)} eV/Å, largest residual stress "
                f"{number(relaxation.max_stress, 2)} GPa, energy "
                f"{relaxation.energy_per_atom:.4f} eV per atom. Space group before: "
                f"{relaxation.space_group_before}; after: {relaxation.space_group_after}."
            ).replace(" -", " −")
        ),
    ]
    if not relaxation.converged:
        text = "Forces or stress are above their limits; frequencies may be wrong."
        blocks.append(Notice(severity="warning", title="Relaxation not converged.", text=text))
    if relaxation.space_group_before != relaxation.space_group_after:
        text = (
            f"{relaxation.space_group_before} became {relaxation.space_group_after}; axes of the "
            "input and of the result may mean different things."
        )
        blocks.append(Notice(severity="warning", title="The space group changed.", text=text))
    return blocks


def _dielectric_table(run: RunData) -> Table:
    assert run.epsilon_infinity is not None
    rows = tuple(
        (name, *(fixed(float(value), 3) for value in row))
        for name, row in zip("xyz", run.epsilon_infinity, strict=True)
    )
    caption = f"High-frequency permittivity ε∞ (source: {run.dielectric_source})"
    return Table(caption=caption, headers=("", "x", "y", "z"), rows=rows)

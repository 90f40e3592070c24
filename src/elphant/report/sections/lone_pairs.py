"""Lone pairs from the electron localization function, beside the asymmetry of the forces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elphant.crystal import AXES
from elphant.report.electron_records import LocalizationSummary, LonePair
from elphant.report.model import Block, Paragraph, Section, Table
from elphant.report.plots.force_asymmetry import atom_names
from elphant.report.records import ForceAsymmetry
from elphant.report.run_data import RunData
from elphant.report.text import compact, fixed, mesh_text, number

#: Lone pairs closer than this (degrees) to a plane are said to lie in it.
_IN_PLANE = 5.0
_KINDS = {"core": "core", "lone_pair": "lone pair", "bond": "bond", "other": "other"}


def lone_pairs_section(run: RunData) -> Section | None:
    """Return basins, lone pairs and their relation to the forces; None without any of it."""
    blocks: list[Block] = []
    if run.lone_pairs:
        names = _names(run)
        blocks += [
            Paragraph(text=_plane_text(run)),
            _geometry_table(run.lone_pairs, names),
            _surroundings_table(run.lone_pairs, names),
            *_mixing_tables(run.lone_pairs, names),
            Paragraph(text=_TEXT + _mixing_words(run.lone_pairs), muted=True),
        ]
        beside = _asymmetry_table(run, names)
        if beside is not None:
            blocks += [beside, Paragraph(text=_ASYMMETRY_TEXT, muted=True)]
    elif run.localization is not None:
        blocks.append(Paragraph(text="No basin of the function is a lone pair."))
    if run.localization is not None:
        blocks += [_basin_table(run.localization), Paragraph(text=_grid_text(run.localization))]
    if not blocks:
        return None
    title = "Electron localization and lone pairs"
    return Section(identifier="lone-pairs", title=title, blocks=tuple(blocks))


def _names(run: RunData) -> dict[int, str]:
    """Return the names of the atoms, those of the force-asymmetry table where there is one."""
    known = atom_names(run, [r.atom for r in run.force_asymmetry])
    own = atom_names(run, [pair.atom for pair in run.lone_pairs])
    return {
        pair.atom: next(
            (known[atom] for atom in (pair.atom, *pair.equivalent_atoms) if atom in known),
            own[pair.atom],
        )
        for pair in run.lone_pairs
    }


def _plane_text(run: RunData) -> str:
    """Say whether the lone pairs of each element lie in the plane across the shortest axis."""
    axis = AXES[int(np.argmin(run.crystal.lengths))]
    text = ""
    for element in dict.fromkeys(pair.symbol for pair in run.lone_pairs):
        pairs = [pair for pair in run.lone_pairs if pair.symbol == element]
        off = [90.0 - pair.angles[axis] for pair in pairs]
        n_pairs = sum(pair.multiplicity for pair in pairs)
        text += f"{n_pairs} lone pairs at {element} in the cell: "
        if max(off) < 0.05:
            text += f"all lie exactly in the plane normal to {axis}, the shortest axis. "
        elif max(off) < _IN_PLANE:
            text += f"all lie within {fixed(max(off), 1)}° of the plane normal to {axis}, the "
            text += "shortest axis. "
        else:
            text += f"their angles to the plane normal to {axis}, the shortest axis, are between "
            text += f"{fixed(min(off), 1)}° and {fixed(max(off), 1)}°. "
    return text.strip()


def _vector(values: Sequence[float] | None, decimals: int = 2) -> str:
    if values is None:
        return "–"
    return "(" + ", ".join(fixed(x, decimals) for x in values) + ")"


def _geometry_table(pairs: Sequence[LonePair], names: dict[int, str]) -> Table:
    rows = tuple(
        (
            f"{names[pair.atom]} (× {pair.multiplicity})",
            _vector(pair.vector),
            fixed(pair.distance, 3),
            *(f"{fixed(pair.angles[axis], 1)}°" for axis in AXES),
            fixed(pair.population, 2),
            fixed(pair.volume, 1),
            fixed(pair.elf_maximum, 3),
        )
        for pair in pairs
    )
    headers = (
        "atom", "vector x, y, z (Å)", "length (Å)", *(f"angle to {axis}" for axis in AXES),
        "electrons", "volume (Å³)", "ELF at it",
    )  # fmt: skip
    return Table(caption="Lone pairs", headers=headers, rows=rows)


def _surroundings_table(pairs: Sequence[LonePair], names: dict[int, str]) -> Table:
    rows = tuple(
        (
            names[pair.atom],
            "–" if pair.vacancy_angle is None else f"{fixed(pair.vacancy_angle, 1)}°",
            _vector(pair.off_centring),
            fixed(pair.off_centring_length, 3),
            fixed(pair.bond_valence_sum, 2),
            _vector(pair.bond_valence_vector),
        )
        for pair in pairs
    )
    headers = (
        "atom", "angle to the vacancy", "off-centring x, y, z (Å)", "its length (Å)",
        "bond valence sum", "bond valence vector",
    )  # fmt: skip
    return Table(caption="Surroundings of the atoms with lone pairs", headers=headers, rows=rows)


def _mixing_tables(pairs: Sequence[LonePair], names: dict[int, str]) -> list[Block]:
    """Return the character of the upper valence states as a table; none where it is not known."""
    known = {pair.atom: pair.sp_mixing for pair in pairs if pair.sp_mixing}
    if not known:
        return []
    # Shells have one letter; mixing, overlap and window are numbers about them.
    shells = [name for name in next(iter(known.values())) if len(name) == 1]
    rows = tuple(
        (
            names[atom],
            *(f"{fixed(100 * mixing.get(shell, 0.0), 1)} %" for shell in shells),
            fixed(mixing.get("mixing"), 2),
            fixed(mixing.get("overlap"), 3),
        )
        for atom, mixing in known.items()
    )
    headers = ("atom", *shells, "s-p mixing", "s-p overlap (e)")
    return [Table(caption="Upper valence states on these atoms", headers=headers, rows=rows)]


def _mixing_words(pairs: Sequence[LonePair]) -> str:
    """Return what the last column of the table of surroundings says; empty where it is empty."""
    first = next((pair.sp_mixing for pair in pairs if pair.sp_mixing), None)
    if first is None:
        return ""
    window = f" within {first['window']:g} eV of the edge" if "window" in first else ""
    text = f" Valence states{window}: their share on the shells of this one atom"
    if "mixing" in first:
        text += "; mixing is 0 where every state is s or p alone and 1 where all are half and half"
    if "overlap" in first:
        text += (
            "; the overlap of its s with the p orbitals of other atoms is negative where they are "
            "antibonding"
        )
    return f"{text}."


_TEXT = (
    "The vector goes from the nucleus to the attractor of the basin; angles are to the line along "
    "the axis, 0 to 90°. The vacancy is the direction in which bond valence is missing: a lone "
    "pair that pushes bonds aside points there. Off-centring is the shift of the atom from the "
    "centre of its neighbours. The volume is that of the strongly localised part."
)

_ASYMMETRY_TEXT = (
    "Force asymmetry along an axis is |f(+u) + f(−u)| over |f(+u)| + |f(−u)|; the angle is between "
    "the lone-pair vector and the line of the axis with the largest asymmetry."
)


def _asymmetry_table(run: RunData, names: dict[int, str]) -> Table | None:
    """Return lone pairs and force asymmetry of the same atoms side by side; None without both."""
    rows = []
    for pair in run.lone_pairs:
        records = _records_of(run, pair)
        if not records:
            continue
        largest = max(records.values(), key=lambda r: r.value)
        direction, vector = np.array(largest.direction), np.array(pair.vector)
        cosine = abs(direction @ vector) / (np.linalg.norm(direction) * np.linalg.norm(vector))
        angle = float(np.degrees(np.arccos(min(cosine, 1.0))))
        rows.append(
            (
                names[pair.atom],
                _vector([x / pair.distance for x in pair.vector]),
                *(_asymmetry(records.get(axis)) for axis in AXES),
                largest.axis or _vector(largest.direction),
                f"{fixed(angle, 1)}°",
            )
        )
    if not rows:
        return None
    headers = (
        "atom", "lone-pair direction x, y, z", *(f"asymmetry along {axis}" for axis in AXES),
        "largest along", "lone pair to that axis",
    )  # fmt: skip
    caption = "Lone pairs beside the force asymmetry"
    return Table(caption=caption, headers=headers, rows=tuple(rows))


def _records_of(run: RunData, pair: LonePair) -> dict[str, ForceAsymmetry]:
    """Return the asymmetries of the atom, or of one equivalent to it, by axis.

    The values along a, b, c are those of every equivalent atom where the operations between them
    map the axes onto themselves; a record of another atom is taken only then.
    """
    own = {r.axis or "": r for r in run.force_asymmetry if r.atom == pair.atom}
    if own:
        return own
    lengths, angles = run.crystal.lengths, run.crystal.angles
    distinct = np.ptp(np.sort(lengths)[:2]) > 1e-3 and np.ptp(np.sort(lengths)[1:]) > 1e-3
    if not distinct or np.abs(angles - 90).max() > 1e-2:
        return {}
    return {r.axis or "": r for r in run.force_asymmetry if r.atom in pair.equivalent_atoms}


def _asymmetry(record: ForceAsymmetry | None) -> str:
    if record is None:
        return "–"
    return "0 by symmetry" if record.symmetric else f"{100 * record.value:.1f} %"


def _basin_table(summary: LocalizationSummary) -> Table:
    rows = []
    for kind, word in _KINDS.items():
        basins = summary.of_kind(kind)
        if basins:
            values = [basin.elf_maximum for basin in basins]
            rows.append(
                (
                    word,
                    str(len(basins)),
                    fixed(sum(basin.population for basin in basins), 3),
                    _range_text(values),
                )
            )
    rows.append(("all", str(len(summary.basins)), fixed(summary.population_sum, 3), ""))
    headers = ("basins", "number", "electrons", "ELF at the attractors")
    return Table(caption="Basins of the electron localization function", headers=headers,
                 rows=tuple(rows))  # fmt: skip


def _range_text(values: Sequence[float]) -> str:
    low, high = fixed(min(values), 2), fixed(max(values), 2)
    return low if low == high else f"{low} to {high}"


def _grid_text(summary: LocalizationSummary) -> str:
    text = (
        f"Grid {mesh_text(summary.grid)}, spacing {number(summary.spacing, 2)} Å; the density "
        f"integrates to {compact(summary.n_electrons, 7)} electrons"
    )
    if summary.population_error is not None:
        text += f", the basins to the same within {compact(abs(summary.population_error), 2)}"
    return f"{text}."

"""Gaps and effective masses of several runs side by side, along the same crystal directions."""

from __future__ import annotations

from collections.abc import Sequence

from elphant.crystal import AXES
from elphant.report.electron_records import CARRIERS, EffectiveMass
from elphant.report.model import Block, Paragraph, Section, Table
from elphant.report.run_data import RunData
from elphant.report.sections.doubts import doubt_word
from elphant.report.setting import TargetSetting, masses_along
from elphant.report.text import beside_first, fixed

_KINDS = {"band_edge": "band edge", "conductivity": "conductivity mass"}


def compared_electrons_section(
    runs: Sequence[RunData], labels: Sequence[str], target: TargetSetting
) -> Section | None:
    """Return gaps and masses of the runs; None unless at least two runs have electrons."""
    if sum(run.has_electrons for run in runs) < 2:
        return None
    blocks: list[Block] = [_gap_table(runs, labels)]
    masses = _mass_table(runs, labels, target)
    if masses is not None:
        blocks.append(masses)
        text = "Differences in percent refer to the first run that has the mass."
        blocks.append(Paragraph(text=text, muted=True))
    return Section(identifier="electrons", title="Electronic structure", blocks=tuple(blocks))


def _gap_table(runs: Sequence[RunData], labels: Sequence[str]) -> Table:
    rows = []
    for run, label in zip(runs, labels, strict=True):
        gap, record = run.band_gap, run.electronic_structure
        level = record.level_of_theory if record else "–"
        state = doubt_word(run, "electrons").split(":")[0] or "in order"
        if gap is None:
            rows.append((label, "–", "–", "–", level, state if run.has_electrons else "–"))
            continue
        kind = "metal" if gap.is_metal else str(gap.kind)
        rows.append((label, fixed(gap.value, 3), fixed(gap.direct_value, 3), kind, level, state))
    headers = ("run", "gap (eV)", "direct gap (eV)", "kind", "level of theory", "state")
    return Table(caption="Band gap", headers=headers, rows=tuple(rows))


def _mass_table(
    runs: Sequence[RunData], labels: Sequence[str], target: TargetSetting
) -> Table | None:
    """Return one row per carrier, kind, band and run, for what at least two runs have."""
    rows = []
    for name in _common_masses(runs):
        reference: dict[str, float | None] = {}
        for run, label in zip(runs, labels, strict=True):
            record = next((r for r in run.effective_mass if _key(r) == name), None)
            if record is None:
                continue
            values = masses_along(run, record, target)
            cells = beside_first(values, reference)
            reference = reference or values
            rows.append((f"{_words(name)}: {label}", *cells))
    if not rows:
        return None
    headers = ("mass and run", *(target.describe(axis) for axis in AXES))
    caption = f"Effective masses along the axes of {target.symbol} (mₑ)"
    return Table(caption=caption, headers=headers, rows=tuple(rows))


_Key = tuple[str, str, float | None, int]


def _key(record: EffectiveMass) -> _Key:
    return record.carrier, record.kind, record.temperature, record.band_index


def _common_masses(runs: Sequence[RunData]) -> list[_Key]:
    counts: dict[_Key, int] = {}
    for run in runs:
        # Valleys of two runs are not the same valleys.
        for key in {_key(record) for record in run.effective_mass if record.kind != "valley"}:
            counts[key] = counts.get(key, 0) + 1
    common = [key for key, count in counts.items() if count > 1]
    return sorted(
        common, key=lambda k: (CARRIERS.index(k[0]), k[1] != "band_edge", k[2] or 0.0, k[3])
    )


def _words(key: _Key) -> str:
    carrier, kind, temperature, band = key
    text = f"{carrier}, {_KINDS.get(kind, kind)}"
    if temperature is not None:
        text += f" at {temperature:g} K"
    return text if band == 0 else f"{text}, band {band + 1}"

"""Mobilities of several runs side by side, along the same crystal directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from elphant.crystal import AXES
from elphant.report.electron_records import CARRIERS
from elphant.report.mobility_records import (
    CARRIER_SOLVERS,
    PARTS,
    REFERENCE_TEMPERATURE,
    Mobility,
    solver_name,
)
from elphant.report.model import Block, Paragraph, Section, Table
from elphant.report.run_data import RunData
from elphant.report.sections.mobility import UNIT
from elphant.report.setting import TargetSetting, mobility_along
from elphant.report.text import beside_first, number


class _Key(NamedTuple):
    """What two mobilities must share to be compared; densities to six digits."""

    carrier: str
    temperature: float
    density: float
    solver: str
    variant: str | None
    part: str

    @property
    def order(self) -> tuple[int, float, float, int, str, int]:
        solver = CARRIER_SOLVERS.index(self.solver) if self.solver in CARRIER_SOLVERS else -1
        part = PARTS.index(self.part) if self.part in PARTS else len(PARTS)
        carrier = CARRIERS.index(self.carrier)
        return carrier, self.temperature, self.density, solver, self.variant or "", part


def compared_mobility_section(
    runs: Sequence[RunData], labels: Sequence[str], target: TargetSetting
) -> Section | None:
    """Return the mobilities of the runs; None unless at least two runs have any."""
    if sum(bool(run.transport) for run in runs) < 2:
        return None
    blocks: list[Block] = []
    common = _common(runs)
    if common:
        chosen = _at_reference(common)
        blocks.append(_table("Mobility", chosen, runs, labels, target))
        sweep = [key for key in _best(common) if key not in chosen]
        if sweep:
            caption = "Mobility at other temperatures and densities"
            blocks.append(_table(caption, sweep, runs, labels, target))
        text = (
            "Differences in percent refer to the first run that has the mobility. Only mobilities "
            "at the same temperature, density, level and part are compared: all levels and parts "
            f"at the temperature nearest to {REFERENCE_TEMPERATURE:g} K and the lowest density, "
            "the most complete level elsewhere."
        )
    else:
        text = "The runs share no temperature, density, level and part with a mobility."
    blocks.append(Paragraph(text=text, muted=True))
    return Section(identifier="mobility", title="Carrier mobility", blocks=tuple(blocks))


def _table(
    what: str,
    keys: Sequence[_Key],
    runs: Sequence[RunData],
    labels: Sequence[str],
    target: TargetSetting,
) -> Table:
    """Return one row per carrier, temperature, density, level, part and run."""
    rows = []
    for key in keys:
        reference: dict[str, float | None] = {}
        for run, label in zip(runs, labels, strict=True):
            record = next((r for r in run.transport.mobility if _key(r) == key), None)
            if record is None:
                continue
            values = mobility_along(run, record, target)
            cells = beside_first(values, reference)
            reference = reference or values
            rows.append(
                (
                    f"{key.carrier}s: {label}",
                    f"{key.temperature:g}",
                    number(key.density),
                    solver_name(key.solver, key.variant),
                    key.part,
                    *cells,
                )
            )
    headers = ("carriers and run", "T (K)", "density (cm⁻³)", "level", "part")
    return Table(
        caption=f"{what} along the axes of {target.symbol} ({UNIT})",
        headers=(*headers, *(target.describe(axis) for axis in AXES)),
        rows=tuple(rows),
    )


def _key(record: Mobility) -> _Key:
    return _Key(
        record.carrier, record.temperature, float(f"{record.density:.6g}"), record.solver,
        record.variant, record.part,
    )  # fmt: skip


def _common(runs: Sequence[RunData]) -> list[_Key]:
    """Return what at least two runs have, electrons first, then by temperature."""
    counts = Counter(key for run in runs for key in {_key(r) for r in run.transport.mobility})
    return sorted((key for key, count in counts.items() if count > 1), key=lambda key: key.order)


def _at_reference(keys: Sequence[_Key]) -> list[_Key]:
    """Return, per carrier, those at the temperature nearest to 300 K and the lowest density."""
    points: dict[str, tuple[float, float]] = {}
    for key in keys:
        here = (key.temperature, key.density)
        points[key.carrier] = min(
            points.get(key.carrier, here),
            here,
            key=lambda point: (abs(point[0] - REFERENCE_TEMPERATURE), point[1]),
        )
    return [key for key in keys if points[key.carrier] == (key.temperature, key.density)]


def _best(keys: Sequence[_Key]) -> list[_Key]:
    """Return the total of the most complete level at every temperature and density."""
    found: dict[tuple[str, float, float], _Key] = {}
    for key in keys:  # the most complete level comes last
        if key.part == "total":
            found[key.carrier, key.temperature, key.density] = key
    return list(found.values())

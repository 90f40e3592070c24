"""Mobility along a, b and c: limited by polar scattering, by what remains, and by both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from elphant.crystal import AXES
from elphant.report.mobility_records import Mobility
from elphant.report.plots.appearance import (
    BLUE,
    INK,
    ORANGE,
    SKY,
    VERMILION,
    axis_label,
    house_style,
    legend_entries,
    overlined,
    panels,
    plain_decades,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.published_mobility import PublishedMobility, published_mobility
from elphant.report.run_data import RunData
from elphant.report.setting import own_axis, target_setting
from elphant.report.text import number

MOBILITY_LABEL = "Mobility (cm$^2$ V$^{-1}$ s$^{-1}$)"
#: Colour and hatching of each part, from left to right.
PART_STYLES = {"polar": (SKY, "///"), "remaining": (ORANGE, "..."), "total": (BLUE, "")}
#: Markers of the total mobility with the other solvers, and where in the bar they stand.
_SOLVER_MARKERS = {"serta": ("v", -0.27), "mrta": ("^", 0.27), "bte": ("D", 0.27)}


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw one panel per carrier: bars along a, b and c on a logarithmic scale."""
    carriers = run.transport.carriers
    with house_style():
        figure, axes = panels(
            ax, len(carriers), figsize=(7.0 if len(carriers) > 1 else 4.6, 3.6), sharey=True
        )
        low, high = _limits(run)
        for panel, carrier in zip(axes, carriers, strict=True):
            _draw_carrier(panel, run, carrier, low)
            panel.set_title(f"{carrier}s")
            panel.set_ylim(low, high)
            plain_decades(panel, low, high)
        axes[0].set_ylabel(MOBILITY_LABEL)
        axes[-1].set_title(condition_text(run), loc="right", fontweight="normal", fontsize=8)
        handles, labels = legend_entries(axes)
        # Bars first, from left to right; then the marks.
        bars = [i for i, handle in enumerate(handles) if isinstance(handle, BarContainer)]
        order = [*bars, *(i for i in range(len(handles)) if i not in bars)]
        handles, labels = [handles[i] for i in order], [labels[i] for i in order]
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4),
                      fontsize=7, columnspacing=1.2)  # fmt: skip
    return figure


def condition_text(run: RunData) -> str:
    """Return temperature and density of the headline numbers."""
    temperature, density = run.transport.reference
    return f"{temperature:g} K, {number(density)} cm⁻³"


def shown(run: RunData, carrier: str) -> dict[str, Mobility]:
    """Return the record of each part with the most complete solver, in the order of the bars."""
    found = {part: run.transport.best(carrier, part) for part in PART_STYLES}
    main = found["total"] or next((r for r in found.values() if r), None)
    # Parts of another solver than that of the whole cannot be compared with it.
    return {
        part: record
        for part, record in found.items()
        if record is not None and main is not None and record.solver == main.solver
    }


def published_values(
    run: RunData, item: PublishedMobility, carrier: str, part: str
) -> dict[str, float]:
    """Return published values by the run's own axes; empty where the axes do not coincide."""
    target = target_setting((run,))
    values = item.values.get(carrier, {}).get(part, {})
    named = {own_axis(run, target, axis): value for axis, value in values.items()}
    return named if set(named) <= set(AXES) else {}


def height(values: dict[str, float | None], axis: str) -> float:
    """Return the length of a bar; nan where the mobility is unknown or not positive."""
    value = values.get(axis)
    return value if value is not None and value > 0 else np.nan


def _compared(run: RunData) -> PublishedMobility | None:
    """Return the published values that belong to the temperature of the figure."""
    temperature, _ = run.transport.reference
    near = [p for p in published_mobility(run) if abs(p.temperature - temperature) < 1.0]
    return near[0] if near else None


def _limits(run: RunData) -> tuple[float, float]:
    item = _compared(run)
    values = []
    for carrier in run.transport.carriers:
        for part, record in shown(run, carrier).items():
            values += [height(record.axes, axis) for axis in AXES]
            error = record.extrapolated_error or {}
            values += [height(record.axes, axis) + (error.get(axis) or 0.0) for axis in AXES]
            values += published_values(run, item, carrier, part).values() if item else []
        for record in run.transport.all_solvers(carrier):
            values += [height(record.axes, axis) for axis in AXES]
    finite = np.array(values)[np.isfinite(values)]
    if not len(finite):
        return 0.1, 10.0
    return 0.45 * float(finite.min()), 2.6 * float(finite.max())


def _draw_carrier(ax: Axes, run: RunData, carrier: str, low: float) -> None:
    records = shown(run, carrier)
    item = _compared(run)
    width = 0.84 / max(len(records), 1)
    centres = np.arange(len(AXES), dtype=float)
    ax.set_yscale("log")
    for i, (part, record) in enumerate(records.items()):
        colour, hatch = PART_STYLES[part]
        heights = np.array([height(record.axes, axis) for axis in AXES])
        places = centres + (i - (len(records) - 1) / 2) * width
        ax.bar(
            places, heights, 0.94 * width, color=colour, hatch=hatch, edgecolor="white",
            linewidth=0.5, label=f"{part}, {record.method}",
        )  # fmt: skip
        top = heights + _draw_errors(ax, places, heights, record, low)
        if part == "total":
            top = np.fmax(top, _draw_solvers(ax, run, carrier, record, places, width))
        if item is not None:
            top = np.fmax(top, _draw_published(ax, run, item, carrier, part, places))
        _write_values(ax, places, heights, top, width)
    ax.set_xticks(centres, [overlined(axis_label(run, a)).replace(" = ", "\n") for a in AXES])
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.55, len(AXES) - 0.45)


def _draw_errors(
    ax: Axes, places: np.ndarray, heights: np.ndarray, record: Mobility, low: float
) -> np.ndarray:
    """Draw the distance from a dense mesh; return how far the lines reach above the bars."""
    given = record.extrapolated_error or {}
    error = np.array([given.get(axis) or np.nan for axis in AXES])
    known = np.isfinite(error) & np.isfinite(heights)
    if known.any():
        below = np.minimum(error, np.maximum(heights - 1.02 * low, 0.0))
        ax.errorbar(
            places[known], heights[known], np.array([below, error])[:, known], fmt="none",
            ecolor=INK, elinewidth=0.8, capsize=2,
        )  # fmt: skip
    return np.where(known, error, 0.0)


def _draw_solvers(
    ax: Axes, run: RunData, carrier: str, main: Mobility, places: np.ndarray, width: float
) -> np.ndarray:
    """Mark the total mobility of the other solvers; return the highest marks."""
    top = np.full(len(AXES), np.nan)
    for record in run.transport.all_solvers(carrier):
        if record.solver == main.solver:
            continue
        values = np.array([height(record.axes, axis) for axis in AXES])
        marker, shift = _SOLVER_MARKERS.get(record.solver, ("D", 0.0))
        ax.plot(
            places + shift * width, values, ls="none", marker=marker, mfc="white", mec=INK,
            ms=4.2, mew=0.9, label=f"total, {record.method}", zorder=4,
        )  # fmt: skip
        top = np.fmax(top, values)
    return top


def _draw_published(
    ax: Axes, run: RunData, item: PublishedMobility, carrier: str, part: str, places: np.ndarray
) -> np.ndarray:
    """Mark published values beside the bars they belong to; return their heights."""
    found = published_values(run, item, carrier, part)
    values = np.array([found.get(axis, np.nan) for axis in AXES])
    if np.isfinite(values).any():
        ax.plot(places, values, ls="none", marker="o", mfc="white", mec=VERMILION, mew=1.2, ms=5,
                label=f"{item.authors}, {item.solver.upper()}", zorder=5)  # fmt: skip
    return values


def _write_values(
    ax: Axes, places: np.ndarray, heights: np.ndarray, top: np.ndarray, width: float
) -> None:
    for x, value, y in zip(places, heights, top, strict=True):
        if np.isfinite(value):
            ax.annotate(
                number(float(value), 2 if value < 100 else 3), (x, y), (0, 4),
                textcoords="offset points", ha="center", va="bottom", fontsize=6.5, color=INK,
                rotation=90 if width < 0.2 else 0,
            )  # fmt: skip


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per record of the run."""
    records = run.transport.mobility
    columns: dict[str, list[object]] = {
        "carrier": [r.carrier for r in records],
        "temperature (K)": [r.temperature for r in records],
        "density (1/cm3)": [r.density for r in records],
        "solver": [r.method for r in records],
        "part": [r.part for r in records],
    }
    for axis in AXES:
        columns[f"mobility along {axis} (cm2/V/s)"] = [_value(r.axes, axis) for r in records]
        columns[f"distance from a dense mesh along {axis} (cm2/V/s)"] = [
            _value(r.extrapolated_error, axis) for r in records
        ]
    return (DataTable(columns=columns),)  # type: ignore[arg-type]


def _value(values: dict[str, float | None] | None, axis: str) -> float:
    value = (values or {}).get(axis)
    return np.nan if value is None else value


def caption(run: RunData) -> str:
    """Return the caption."""
    text = f"Mobility along the crystal axes at {condition_text(run)}"
    parts = {part for carrier in run.transport.carriers for part in shown(run, carrier)}
    if {"polar", "remaining"} & parts:
        text += (
            ": with the long-range (polar) scattering alone, with what remains of the squared "
            "coupling (short range and interference), and with all of it"
        )
    text += ". "
    for carrier in run.transport.carriers:
        record = run.transport.best(carrier)
        if record is not None:
            values = ", ".join(f"{number(record.axes.get(a), 3)} along {a}" for a in AXES)
            text += f"{carrier.capitalize()}s, {record.method}: {values}. "
    item = _compared(run)
    if item is not None:
        text += (
            f"Open circles: {item.authors}, {item.solver.upper()}; only its axis x (b of Pnma) is "
            "certain. "
        )
    if any(r.extrapolated_error for r in run.transport.mobility):
        text += "Lines: estimated distance from the value on a dense k mesh. "
    if len(run.transport.solvers) > 1:
        text += "Open triangles: all of the scattering with the simpler solvers. "
    if _hidden(run):
        text += "Parts without a positive mobility have no bar. "
    return text.strip()


def _hidden(run: RunData) -> bool:
    for carrier in run.transport.carriers:
        records = shown(run, carrier)
        missing = "polar" in records and "remaining" not in records
        bars = [height(record.axes, a) for record in records.values() for a in AXES]
        if missing or np.isnan(bars).any():
            return True
    return False


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    rows = []
    for carrier in run.transport.carriers:
        for part, record in shown(run, carrier).items():
            values = ", ".join(f"{a} {number(record.axes.get(a), 3)}" for a in AXES)
            rows.append(f"{carrier} {part}: {values}")
    return f"Bar chart of mobilities in cm² per volt second; {'; '.join(rows)}."


SPEC = FigureSpec(
    name="mobility-split",
    title="Mobility along the crystal axes",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    applies=lambda run: run.has_mobility,
)

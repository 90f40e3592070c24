"""Bar chart of the thermal conductivity along a, b and c, one bar per method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elphant.crystal import AXES
from elphant.report.plots.appearance import (
    INK,
    KAPPA_LABEL,
    RUN_COLOURS,
    axis_label,
    house_style,
    overlined,
    panels,
    plain,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.records import ThermalConductivity
from elphant.report.run_data import RunData

_HATCHES = ("", "///", "...", "xxx", "\\\\\\")


def plot(run: RunData, ax: Axes | None = None) -> Figure:
    """Draw κ along each axis at the temperature nearest to 300 K for every method of the run."""
    records = _records(run)
    with house_style():
        figure, axes = panels(ax, 1, figsize=(4.6, 3.0))
        draw_bars(
            axes[0],
            # A general direction is long: it goes below the name of the axis.
            [axis_label(run, axis).replace(" = ", "\n") for axis in AXES],
            {record.method: [record.axes[axis] for axis in AXES] for record in records},
            errors={
                record.method: [record.standard_error[axis] for axis in AXES]
                for record in records
                if record.standard_error
            },
        )
        axes[0].set_title(f"{records[0].temperature:g} K", loc="right", fontweight="normal")
    return figure


def draw_bars(
    ax: Axes,
    groups: Sequence[str],
    series: dict[str, list[float]],
    errors: dict[str, list[float]] | None = None,
) -> None:
    """Draw grouped bars with their values on top; a series differs in colour and in hatching."""
    n_series = len(series)
    width = 0.8 / n_series
    centres = np.arange(len(groups), dtype=float)
    for i, (name, values) in enumerate(series.items()):
        bars = ax.bar(
            centres + (i - (n_series - 1) / 2) * width,
            values,
            width=0.94 * width,
            yerr=(errors or {}).get(name),
            capsize=2,
            color=RUN_COLOURS[i % len(RUN_COLOURS)],
            hatch=_HATCHES[i % len(_HATCHES)],
            edgecolor="white",
            linewidth=0.5,
            label=plain(name),
        )
        size = 7.5 if n_series <= 3 else 6.0
        labels = [f"{value:.3g}" for value in values]
        ax.bar_label(bars, labels, padding=2, fontsize=size, color=INK)
    ax.set_xticks(centres, [overlined(text) for text in groups])
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel(KAPPA_LABEL)
    top = max((max(values) for values in series.values()), default=0.0)
    ax.set_ylim(min(0.0, *(min(values) for values in series.values())), (top or 1.0) * 1.12)
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2)


def _records(run: RunData) -> list[ThermalConductivity]:
    records = [run.conductivity(300.0, method) for method in run.methods]
    return [record for record in records if record is not None]


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per axis and one column per method."""
    records = _records(run)
    columns: dict[str, list[object]] = {"axis": list(AXES)}
    for record in records:
        name = f"kappa {record.method} at {record.temperature:g} K (W/m/K)"
        columns[name] = [record.axes[axis] for axis in AXES]
    return (DataTable(columns=columns),)  # type: ignore[arg-type]


def caption(run: RunData) -> str:
    """Return the caption."""
    record = _records(run)[-1]
    largest = max(AXES, key=lambda axis: record.axes[axis])
    smallest = min(AXES, key=lambda axis: record.axes[axis])
    ratio = record.axes[largest] / record.axes[smallest] if record.axes[smallest] > 0 else np.inf
    text = f"Lattice thermal conductivity along the crystal axes at {record.temperature:g} K. "
    if ratio < 1.02:
        return f"{text}{record.method}: κ is the same along all three within 2 %."
    return f"{text}{record.method}: κ along {largest} is {ratio:.1f} times that along {smallest}."


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    parts = [
        f"{record.method}: " + ", ".join(f"{axis} {record.axes[axis]:.3g}" for axis in AXES)
        for record in _records(run)
    ]
    return "Bar chart of conductivity in watt per metre kelvin; " + "; ".join(parts) + "."


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    return "" if run.thermal_conductivity else "the run has no thermal conductivity"


def applies(run: RunData) -> bool:
    """Return whether one level was computed; several are drawn as a ladder."""
    return run.has_lattice_transport and not run.is_ladder


SPEC = FigureSpec(
    name="conductivity-bars",
    title="Thermal conductivity along the crystal axes",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=applies,
)

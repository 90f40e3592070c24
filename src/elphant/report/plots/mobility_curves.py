"""Mobility along a, b and c as curves over temperature or density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.report.mobility_records import Mobility, solver_name
from elphant.report.plots.appearance import (
    AXIS_COLOURS,
    AXIS_MARKERS,
    INK,
    axis_label,
    house_style,
    overlined,
    panels,
    plain_decades,
)
from elphant.report.plots.figure_spec import DataTable
from elphant.report.plots.mobility_bars import MOBILITY_LABEL
from elphant.report.run_data import RunData

Array = NDArray[np.float64]
Variable = Literal["temperature", "density"]

_LABELS = {"temperature": "Temperature (K)", "density": "Carrier density (cm$^{-3}$)"}
#: Marker sizes: where curves coincide, as in a cubic crystal, all three stay visible.
_SIZES = dict(zip(AXES, (6.2, 4.8, 3.6), strict=True))
_LINES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1.2, 1.2)))


def curve(run: RunData, carrier: str, solver: str, over: Variable) -> list[Mobility]:
    """Return the records of a curve: at the lowest density, or at the temperature near 300 K."""
    temperature, density = run.transport.reference
    records = [
        r
        for r in run.transport.series(carrier, solver)
        if r.is_at(r.temperature if over == "temperature" else temperature,
                   r.density if over == "density" else density)
    ]  # fmt: skip
    return sorted(records, key=lambda r: getattr(r, over))


def draw(run: RunData, ax: Sequence[Axes] | None, over: Variable) -> Figure:
    """Draw one panel per carrier, curves of all solvers, the most complete one solid."""
    carriers = run.transport.carriers
    solvers = tuple(reversed(run.transport.solvers))
    with house_style():
        figure, axes = panels(
            ax, len(carriers), figsize=(7.0 if len(carriers) > 1 else 4.4, 3.3), sharey=True
        )
        for panel, carrier in zip(axes, carriers, strict=True):
            for i, solver in enumerate(solvers):
                _draw_curve(panel, curve(run, carrier, solver, over), over, i)
            panel.set_title(f"{carrier}s")
            panel.set_xlabel(_LABELS[over])
        _scales(run, axes, over)
        axes[0].set_ylabel(MOBILITY_LABEL)
        handles = [
            Line2D([], [], color=AXIS_COLOURS[a], marker=AXIS_MARKERS[a], label=_axis(run, a))
            for a in AXES
        ]
        if len(solvers) > 1:
            handles += [
                Line2D([], [], color=INK, ls=_LINES[i % len(_LINES)], lw=1.2, label=_solver(run, s))
                for i, s in enumerate(solvers)
            ]
        # General directions have long names.
        n_columns = 3 if any(len(_axis(run, a)) > 16 for a in AXES) else 6
        figure.legend(handles=handles, loc="outside lower center", ncols=n_columns, fontsize=7,
                      columnspacing=1.2)  # fmt: skip
    return figure


def _axis(run: RunData, axis: str) -> str:
    return overlined(axis_label(run, axis))


def _solver(run: RunData, solver: str) -> str:
    variants = [r.variant for r in run.transport.mobility if r.solver == solver]
    return solver_name(solver, variants[0] if variants else None)


def _draw_curve(ax: Axes, records: Sequence[Mobility], over: Variable, order: int) -> None:
    x = [getattr(r, over) for r in records]
    for axis in AXES:
        y = np.array([_value(r, axis) for r in records])
        colour = AXIS_COLOURS[axis]
        ax.plot(
            x, y, color=colour, ls=_LINES[order % len(_LINES)], lw=1.4 if order == 0 else 1.0,
            marker=AXIS_MARKERS[axis], mfc=colour if order == 0 else "white", mew=0.8,
            ms=_SIZES[axis] if order == 0 else 0.8 * _SIZES[axis], zorder=3 if order == 0 else 2,
        )  # fmt: skip


def _value(record: Mobility, axis: str) -> float:
    value = record.axes.get(axis)
    return np.nan if value is None else value


def _scales(run: RunData, axes: Sequence[Axes], over: Variable) -> None:
    values = [_value(r, a) for r in run.transport.mobility if r.part == "total" for a in AXES]
    positive = np.array([v for v in values if np.isfinite(v)])
    ticks = getattr(run.transport, f"{'temperatures' if over == 'temperature' else 'densities'}")
    for ax in axes:
        ax.set_xscale("log")
        if over == "temperature":
            shown = ticks if len(ticks) <= 8 else ticks[:: len(ticks) // 6]
            ax.set_xticks(shown, [f"{t:g}" for t in shown])
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.tick_params(axis="x", which="minor", bottom=False, top=False)
        if len(positive) and positive.min() > 0:
            ax.set_yscale("log")
    if len(positive) and positive.min() > 0:
        plain_decades(axes[0], float(positive.min()), float(positive.max()))


def table(run: RunData, over: Variable) -> tuple[DataTable, ...]:
    """Return one row per carrier, solver and point of the curves."""
    records = [
        r
        for carrier in run.transport.carriers
        for solver in run.transport.solvers
        for r in curve(run, carrier, solver, over)
    ]
    columns: dict[str, list[object]] = {
        "carrier": [r.carrier for r in records],
        "solver": [r.method for r in records],
        "temperature (K)": [r.temperature for r in records],
        "density (1/cm3)": [r.density for r in records],
    }
    for axis in AXES:
        columns[f"mobility along {axis} (cm2/V/s)"] = [_value(r, axis) for r in records]
    return (DataTable(columns=columns),)  # type: ignore[arg-type]


def exponent(records: Sequence[Mobility], axis: str, over: Variable) -> float | None:
    """Return d ln μ / d ln x of a straight line through all points; None if there is none."""
    x = np.array([getattr(r, over) for r in records])
    y = np.array([_value(r, axis) for r in records])
    if len(x) < 2 or not np.isfinite(y).all() or (y <= 0).any():
        return None
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])

"""Lattice thermal conductivity along a, b and c against temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.report.plots.appearance import (
    AXIS_COLOURS,
    AXIS_MARKERS,
    GREY,
    INK,
    KAPPA_LABEL,
    axis_label,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData

_STYLES = ("-", (0, (4, 1.6)), (0, (1.2, 1.2)), "-.")


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw κ(T) (both axes logarithmic) and, beside it, the anisotropy κ_i / mean."""
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 3.2), gridspec_kw={"width_ratios": [1.5, 1]})
        # The most complete method is drawn solid and with filled markers.
        methods = list(reversed(run.main_methods))
        for i, method in enumerate(methods):
            _draw_method(axes[0], run, method, style=_STYLES[i % len(_STYLES)], filled=i == 0)
        _guide(axes[0], run, methods[0])
        _logarithmic(axes[0], run)
        axes[0].set_ylabel(KAPPA_LABEL)
        _legends(axes[0], run, methods)
        _draw_anisotropy(axes[1], run, methods[0])
        panel_letter(axes)
    return figure


def _draw_method(ax: Axes, run: RunData, method: str, *, style: object, filled: bool) -> None:
    temperature, along = run.series(method)
    for axis in AXES:
        colour = AXIS_COLOURS[axis]
        ax.plot(
            temperature,
            along[axis],
            color=colour,
            ls=style,
            lw=1.4 if filled else 1.0,
            marker=AXIS_MARKERS[axis],
            mfc=colour if filled else "white",
            mew=0.8,
            ms=4.5 if filled else 3.6,
            zorder=3 if filled else 2,
        )


def _has_guide(temperature: NDArray[np.float64]) -> bool:
    return len(temperature) > 2 and bool(temperature.max() > 1.8 * temperature.min())


def _guide(ax: Axes, run: RunData, method: str) -> None:
    """Draw the 1/T law of three-phonon scattering above the data, to compare slopes by eye."""
    temperature, _ = run.series(method)
    if not _has_guide(temperature):
        return
    high = temperature[temperature >= np.median(temperature) / 1.5]
    drawn = [run.series(name) for name in run.main_methods]
    top = max(values.max() for _, curves in drawn for values in curves.values())
    at_start = max(
        np.interp(high[0], kelvin, values) for kelvin, curves in drawn for values in curves.values()
    )
    start = min(1.45 * at_start, top)
    ax.plot(high, start * high[0] / high, color=GREY, lw=0.8, ls=(0, (1, 1.5)))
    ax.annotate(
        "∝ 1/T", (high[0], start), xytext=(5, 0), textcoords="offset points", ha="left",
        fontsize=7.5, color=GREY,
    )  # fmt: skip


def _logarithmic(ax: Axes, run: RunData) -> None:
    values = [
        value
        for record in run.thermal_conductivity
        if record.method in run.main_methods
        for value in record.axes.values()
    ]
    ax.set_xscale("log")
    temperatures = run.temperatures
    if min(values) > 0:
        ax.set_yscale("log")
        # The curves fall, so the room for the legend is below them.
        lowest, highest = min(values), max(values) * 1.35
        ax.set_ylim(lowest * (lowest / highest) ** 0.55, highest)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if max(values) / min(values) < 30:
            ax.yaxis.set_minor_formatter(FuncFormatter(_one_two_five))
        else:
            ax.yaxis.set_minor_formatter(NullFormatter())
    shown = temperatures if len(temperatures) <= 8 else temperatures[:: len(temperatures) // 6]
    ax.set_xticks(shown, [f"{t:g}" for t in shown])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_xlim(min(temperatures) / 1.1, max(temperatures) * 1.1)
    ax.set_xlabel("Temperature (K)")


def _one_two_five(value: float, _position: int) -> str:
    digit = f"{value:e}"[0]
    return f"{value:g}" if digit in "25" else ""


def _legends(ax: Axes, run: RunData, methods: list[str]) -> None:
    handles = [
        Line2D([], [], color=AXIS_COLOURS[axis], marker=AXIS_MARKERS[axis], ms=4,
               label=axis_label(run, axis))
        for axis in AXES
    ]  # fmt: skip
    handles += [
        Line2D([], [], color=INK, ls=_STYLES[i % len(_STYLES)], lw=1.4 if i == 0 else 1.0,
               label=method)
        for i, method in enumerate(methods)
    ]  # fmt: skip
    ax.legend(handles=handles, loc="lower left")


def _draw_anisotropy(ax: Axes, run: RunData, method: str) -> None:
    temperature, along = run.series(method)
    mean = sum(along[axis] for axis in AXES) / 3
    for axis in AXES:
        ax.plot(
            temperature, along[axis] / mean, color=AXIS_COLOURS[axis], marker=AXIS_MARKERS[axis],
            ms=4,
        )  # fmt: skip
    ax.axhline(1, color=GREY, lw=0.7, ls=(0, (1, 1.5)))
    ax.set_xlabel("Temperature (K)")
    ax.set_ylabel("κ$_i$ / mean of a, b, c")
    ax.set_ylim(0, 1.1 * max(float((along[axis] / mean).max()) for axis in AXES))
    ax.set_title(method)


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per temperature and method."""
    records = sorted(run.thermal_conductivity, key=lambda r: (r.method, r.temperature))
    columns: dict[str, list[object]] = {
        "temperature (K)": [record.temperature for record in records],
        "level": [record.level for record in records],
        "solver": [record.solver for record in records],
        "coherence": [record.coherence for record in records],
    }
    for axis in AXES:
        columns[f"kappa along {axis} (W/m/K)"] = [record.axes[axis] for record in records]
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        name = f"kappa {'xyz'[i]}{'xyz'[j]} (W/m/K)"
        columns[name] = [record.cartesian[i][j] for record in records]
    return (DataTable(columns=columns),)  # type: ignore[arg-type]


def caption(run: RunData) -> str:
    """Return the caption."""
    methods = " and ".join(run.main_methods)
    guide = "; the dotted line falls as 1/T" if _has_guide(np.array(run.temperatures)) else ""
    return (
        f"Lattice thermal conductivity along the crystal axes ({methods}). (a) Against "
        f"temperature, logarithmic axes{guide}. (b) Anisotropy: each axis over the mean of the "
        "three."
    )


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    record = run.conductivity(300.0)
    assert record is not None
    values = ", ".join(f"{axis} {record.axes[axis]:.3g}" for axis in AXES)
    return (
        f"Conductivity against temperature from {run.temperatures[0]:g} to "
        f"{run.temperatures[-1]:g} K; at {record.temperature:g} K: {values} watt per metre kelvin."
    )


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    if not run.thermal_conductivity:
        return "the run has no thermal conductivity"
    return "" if len(run.temperatures) > 1 else "the run has a single temperature"


SPEC = FigureSpec(
    name="conductivity-temperature",
    title="Thermal conductivity against temperature",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_lattice_transport,
)

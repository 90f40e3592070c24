"""Cumulative thermal conductivity along a, b, c against frequency and against mean free path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.phonon.analysis.cumulative import accumulate
from elphant.report.mode_table import LOWEST_FREQUENCY, ModeTable, mode_table, required_mode_table
from elphant.report.plots.appearance import (
    AXIS_COLOURS,
    AXIS_LINES,
    AXIS_MARKERS,
    INK,
    axis_label,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData

Array = NDArray[np.float64]
NANOMETRE = 10.0  # Å


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw the two cumulative curves per axis; markers show where half of κ is reached."""
    modes = required_mode_table(run)
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 3.0), sharey=True)
        for i, axis in enumerate(AXES):
            _draw(axes[0], *cumulative(modes.frequency, modes.total[:, i]), axis)
            path, total = _by_mean_free_path(modes, i)
            _draw(axes[1], path, total, axis, label=axis_label(run, axis))
            if modes.coherence is not None:
                particle = cumulative(modes.frequency, modes.conductivity[:, i])
                _draw_particle(axes[0], *particle, axis)
                _draw_particle(axes[1], *_by_mean_free_path(modes, i, wave=False), axis)
        unit = "W m$^{-1}$ K$^{-1}$"
        axes[0].set_ylabel(f"Cumulative κ ({unit})")
        axes[0].set_xlabel("Frequency (THz)")
        axes[0].set_xlim(0, 1.03 * float(modes.frequency.max()))
        axes[0].set_ylim(0, None)
        axes[1].set_xscale("log")
        axes[1].set_xlabel("Mean free path along the axis (nm)")
        axes[1].set_xlim(*_path_limits(modes))
        axes[1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes[1].xaxis.set_minor_formatter(NullFormatter())
        handles, _ = axes[1].get_legend_handles_labels()
        if modes.coherence is not None:
            handles.append(Line2D([], [], color=INK, lw=0.7, label="thin: particles alone"))
        axes[1].legend(handles=handles, loc="upper left")
        panel_letter(axes)
    return figure


def cumulative(quantity: Array, conductivity: Array) -> tuple[Array, Array]:
    """Return ``quantity`` in ascending order and the running sum of ``conductivity``."""
    sums = accumulate(quantity, conductivity)
    return sums.quantity, sums.running


def _by_mean_free_path(modes: ModeTable, axis: int, *, wave: bool = True) -> tuple[Array, Array]:
    """Return paths (nm) and the running sum; modes without a path come first, at zero."""
    values = modes.total if wave else modes.conductivity
    path = modes.mean_free_path_along_axes[:, axis]
    return cumulative(path / NANOMETRE, values[:, axis])


def half_point(quantity: Array, running: Array) -> float:
    """Return where the running sum reaches half of its end."""
    return float(quantity[np.searchsorted(running, 0.5 * running[-1])]) if len(running) else np.nan


def _draw(ax: Axes, x: Array, y: Array, axis: str, label: str | None = None) -> None:
    # A last point far to the right lets the curve run on to the frame.
    ax.plot(
        [*x, 1e3 * x[-1]], [*y, y[-1]], color=AXIS_COLOURS[axis], ls=AXIS_LINES[axis], lw=1.3,
        drawstyle="steps-post", label=label,
    )  # fmt: skip
    half = half_point(x, y)
    if np.isfinite(half):
        ax.plot(
            half, 0.5 * y[-1], marker=AXIS_MARKERS[axis], color=AXIS_COLOURS[axis], mec="white",
            mew=0.8, ms=6.5,
        )  # fmt: skip


def _draw_particle(ax: Axes, x: Array, y: Array, axis: str) -> None:
    ax.plot(
        [*x, 1e3 * x[-1]], [*y, y[-1]], color=AXIS_COLOURS[axis], ls=AXIS_LINES[axis], lw=0.6,
        drawstyle="steps-post", zorder=1.5,
    )  # fmt: skip


def _path_limits(modes: ModeTable) -> tuple[float, float]:
    """Limits (nm) that hold 99.9 % of the conductivity along every axis."""
    lows, highs = [], []
    for i in range(3):
        path, running = _by_mean_free_path(modes, i, wave=False)
        if not len(path) or running[-1] <= 0 or path[-1] <= 0:
            continue
        low = path[np.searchsorted(running, 2e-3 * running[-1])]
        lows.append(low if low > 0 else 1e-3 * path[-1])
        highs.append(path[-1])
    if not lows:
        return 0.1, 1000.0
    # At least one whole decade, so that the axis has labelled ticks.
    return min(0.7 * min(lows), 0.07 * max(highs)), 1.6 * max(highs)


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return both curves on regular grids of 200 points."""
    modes = required_mode_table(run)
    frequency = np.linspace(0, float(modes.frequency.max()), 200)
    low, high = _path_limits(modes)
    path = np.geomspace(low, high, 200)
    by_frequency: dict[str, Array] = {"frequency (THz)": frequency}
    by_path: dict[str, Array] = {"mean free path along the axis (nm)": path}
    for i, axis in enumerate(AXES):
        name = f"cumulative kappa along {axis} (W/m/K)"
        by_frequency[name] = _sampled(*cumulative(modes.frequency, modes.total[:, i]), frequency)
        by_path[name] = _sampled(*_by_mean_free_path(modes, i), path)
    return DataTable(columns=by_frequency), DataTable(columns=by_path, suffix="mean-free-path")


def _sampled(x: Array, running: Array, grid: Array) -> Array:
    padded = np.concatenate([[0.0], running])
    return np.asarray(padded[np.searchsorted(x, grid, side="right")])


def caption(run: RunData) -> str:
    """Return the caption."""
    modes = required_mode_table(run)
    halves = []
    for i, axis in enumerate(AXES):
        half = half_point(*_by_mean_free_path(modes, i))
        halves.append(f"{half:.2g} nm along {axis}")
    share = modes.total[modes.frequency < _acoustic_limit(modes)].sum(axis=0)
    total = np.where(modes.total.sum(axis=0) > 0, modes.total.sum(axis=0), 1.0)
    percent = ", ".join(
        f"{100 * s:.0f} % ({axis})" for s, axis in zip(share / total, AXES, strict=True)
    )
    return (
        f"Cumulative κ at {modes.temperature:g} K ({modes.method}) (a) against frequency "
        "and (b) against the mean free path |v·n|τ along each axis, with the lifetimes of the "
        f"relaxation-time approximation. Markers: half of κ is reached at {', '.join(halves)}. "
        f"Modes below {_acoustic_limit(modes):.2g} THz carry {percent}.{_wave_text(modes)}"
    )


def _wave_text(modes: ModeTable) -> str:
    if modes.coherence is None:
        return ""
    return (
        " The wave-like part of two modes is shared between them in the ratio of their heat "
        "capacities; thin lines leave it out."
    )


def _acoustic_limit(modes: ModeTable) -> float:
    """Return a third of the highest frequency, a simple border between low and high modes."""
    return round(float(modes.frequency.max()) / 3, 1)


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    modes = required_mode_table(run)
    totals = ", ".join(
        f"{axis} {value:.3g}" for axis, value in zip(AXES, modes.total.sum(axis=0), strict=True)
    )
    return (
        "Two step plots of cumulative conductivity, against frequency and mean free path; "
        f"end values in watt per metre kelvin: {totals}."
    )


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    modes = mode_table(run)
    if modes is None:
        return "the run has no mode-resolved conductivity"
    usable = (modes.frequency > LOWEST_FREQUENCY).any() and modes.total.any()
    return "" if usable else "no mode carries heat at this temperature"


SPEC = FigureSpec(
    name="cumulative-conductivity",
    title="Cumulative thermal conductivity",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_lattice_transport,
)

"""Four-phonon rates by process, and how they compare with three-phonon rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from elphant.report.mode_table import LOWEST_FREQUENCY, ModeTable, mode_table
from elphant.report.plots.appearance import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData

Array = NDArray[np.float64]
MANY_POINTS = 800
#: The total is dark, its parts are light; names as in the ``rates`` records.
_PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "four_phonon_redistribution": ("redistribution (+−)", {"color": ORANGE, "marker": "s"}),
    "four_phonon_recombination": ("recombination (++)", {"color": SKY, "marker": "D"}),
    "four_phonon_splitting": ("splitting (−−)", {"color": GREEN, "marker": "v"}),
}


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw rates by process, and the ratio of four-phonon to three-phonon rates."""
    modes = _modes(run)
    assert modes is not None
    live = _live(modes)
    f, total = modes.frequency[live], modes.channel("four_phonon")[live]
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 3.2), sharex=True)
        for name, (label, look) in _PARTS.items():
            rate = modes.channel(name)[live]
            some = rate > 0
            if some.any():
                _scatter(axes[0], f[some], rate[some], label=label, alpha=0.35, **look)
        _scatter(axes[0], f, total, label="all four-phonon", color=VERMILION, alpha=0.6)
        axes[0].set_ylabel("Scattering rate 1/τ (ps$^{-1}$)")
        axes[0].set_ylim(float(np.quantile(total, 0.01)) / 30, 2 * float(total.max()))
        ratio = total / modes.channel("three_phonon")[live]
        _scatter(axes[1], f, ratio, color=BLUE, alpha=0.4)
        axes[1].plot(*_running_median(f, ratio), color=PURPLE, lw=1.8, label="running median")
        axes[1].axhline(1, color=INK, lw=0.9, ls=(0, (4, 2)), label="as fast as three-phonon")
        low, high = min(0.5 * float(np.quantile(ratio, 0.01)), 0.1), max(2 * float(ratio.max()), 2)
        axes[1].set_ylim(low, high)
        axes[1].set_ylabel("1/τ$_{4ph}$ over 1/τ$_{3ph}$")
        for panel in axes:
            panel.set_yscale("log")
            panel.set_xlabel("Frequency (THz)")
            panel.set_xlim(0, 1.03 * float(modes.frequency.max()))
        axes[1].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes[1].yaxis.set_minor_formatter(NullFormatter())
        panel_letter(axes)
        handles = [axis.get_legend_handles_labels() for axis in axes]
        figure.legend(
            handles[0][0] + handles[1][0], handles[0][1] + handles[1][1],
            loc="outside lower center", ncols=6, columnspacing=1.0, handlelength=1.5, fontsize=7,
        )  # fmt: skip
    return figure


def _scatter(ax: Axes, x: Array, y: Array, **options: Any) -> None:
    ax.scatter(x, y, s=5, lw=0.4, rasterized=len(x) > MANY_POINTS, **options)


def _running_median(frequency: Array, values: Array, n_bins: int = 24) -> tuple[Array, Array]:
    """Return centres and medians of bins of equal numbers of modes."""
    order = np.argsort(frequency, kind="stable")
    groups = [group for group in np.array_split(order, min(n_bins, len(order))) if len(group)]
    centres = np.array([np.median(frequency[group]) for group in groups])
    return centres, np.array([np.median(values[group]) for group in groups])


def _modes(run: RunData) -> ModeTable | None:
    """Return the modes of the most complete level with four-phonon rates."""
    names = [name for name, level in run.levels.items() if "four_phonon" in level.channels]
    return mode_table(run, level=names[-1]) if names else None


def _live(modes: ModeTable) -> NDArray[np.bool_]:
    some = (modes.channel("four_phonon") > 0) & (modes.channel("three_phonon") > 0)
    return np.asarray((modes.frequency > LOWEST_FREQUENCY) & some)


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per mode."""
    modes = _modes(run)
    assert modes is not None
    live = _live(modes)
    columns = {
        "frequency (THz)": modes.frequency[live],
        "weight of the q-point (1)": modes.weight[live],
        "three-phonon rate (1/ps)": modes.channel("three_phonon")[live],
        "four-phonon rate (1/ps)": modes.channel("four_phonon")[live],
    }
    for name, (label, _) in _PARTS.items():
        if name in modes.channels:
            columns[f"{label} rate (1/ps)"] = modes.channels[name][live]
    return (DataTable(columns=columns),)


def caption(run: RunData) -> str:
    """Return the caption."""
    modes = _modes(run)
    assert modes is not None
    live = _live(modes)
    four, three = modes.channel("four_phonon")[live], modes.channel("three_phonon")[live]
    weight = modes.weight[live]
    faster = 100 * weight[four > three].sum() / weight.sum()
    return (
        f"(a) Four-phonon scattering rates at {modes.temperature:g} K, {modes.level}, and the "
        "three processes they are made of: recombination q + q′ + q″ → q‴ (++), redistribution "
        "q + q′ → q″ + q‴ (+−), splitting q → q′ + q″ + q‴ (−−). (b) Ratio to the three-phonon "
        f"rate of the same mode, median {np.median(four / three):.2f}; {faster:.1f} % of the "
        "modes scatter faster by four phonons than by three."
    )


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    modes = _modes(run)
    assert modes is not None
    n = int(_live(modes).sum())
    return f"Scatter plots of the four-phonon rates of {n} modes. {caption(run)}"


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    modes = _modes(run)
    if modes is None:
        return "the run has no mode-resolved four-phonon rates"
    return "" if _live(modes).any() else "no mode has a four-phonon rate"


def applies(run: RunData) -> bool:
    """Return whether the run has a level with four-phonon scattering."""
    return any("4ph" in record.level for record in run.thermal_conductivity)


SPEC = FigureSpec(
    name="four-phonon-rates",
    title="Four-phonon scattering",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=applies,
)

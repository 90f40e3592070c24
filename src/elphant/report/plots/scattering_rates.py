"""Scattering rates and mean free paths of all modes against frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from elphant.report.mode_table import (
    LOWEST_FREQUENCY,
    ModeTable,
    mode_table,
    nearest_neighbour_distance,
    required_mode_table,
)
from elphant.report.plots.appearance import (
    BLUE,
    INK,
    ORANGE,
    PURPLE,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData

NANOMETRE = 10.0  # Å
#: More points than this are drawn as one bitmap inside the vector file.
MANY_POINTS = 800


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw 1/τ per process with its limits, and the mean free path against the bond length."""
    modes = required_mode_table(run)
    bond = nearest_neighbour_distance(run)
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 3.4), sharex=True)
        _draw_rates(axes[0], modes, bond)
        _draw_paths(axes[1], modes, bond)
        for panel in axes:
            panel.set_yscale("log")
            panel.set_xlabel("Frequency (THz)")
            panel.set_xlim(0, 1.03 * float(modes.frequency.max()))
        panel_letter(axes)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5,
                      columnspacing=1.2, handlelength=1.5, fontsize=7)  # fmt: skip
    return figure


def _scatter(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64], **options: Any) -> None:
    ax.scatter(x, y, s=5, lw=0.4, rasterized=len(x) > MANY_POINTS, **options)


def _draw_rates(ax: Axes, modes: ModeTable, bond: float) -> None:
    live = _live(modes)
    short = live & (modes.mean_free_path < bond)
    long = live & ~short
    f, rate = modes.frequency, modes.rate_three_phonon
    _scatter(ax, f[long], rate[long], color=BLUE, alpha=0.55, label="three-phonon")
    _scatter(
        ax, f[short], rate[short], facecolors="none", edgecolors=PURPLE, alpha=0.8,
        label="three-phonon, |v|τ < bond",
    )  # fmt: skip
    isotope = live & (modes.rate_isotope > 0)
    if isotope.any():
        _scatter(
            ax, f[isotope], modes.rate_isotope[isotope], color=ORANGE, marker="D", alpha=0.55,
            label="isotope",
        )  # fmt: skip
    grid = np.linspace(0.01, float(f.max()), 100)
    ax.plot(grid, grid, color=INK, lw=1.0, label="1/τ = ω/2π (overdamped)")
    ax.axhline(wigner_rate(modes), color=INK, lw=0.9, ls=(0, (4, 2)), label="1/τ = branch spacing")
    top = max(float(rate[live].max()), float(f.max()))
    values = np.concatenate([rate[live], modes.rate_isotope[isotope]])
    # Slow isotope scattering at low frequency would stretch the axis: keep its upper 90 %.
    low = min(float(rate[live].min()), float(np.quantile(values, 0.04)))
    ax.set_ylim(low / 2, top * 2)
    ax.set_ylabel("Scattering rate 1/τ (ps$^{-1}$)")


def _draw_paths(ax: Axes, modes: ModeTable, bond: float) -> None:
    live = _live(modes) & (modes.mean_free_path > 0)
    path = modes.mean_free_path / NANOMETRE
    short = live & (modes.mean_free_path < bond)
    long = live & ~short
    _scatter(ax, modes.frequency[long], path[long], color=BLUE, alpha=0.55)
    _scatter(
        ax, modes.frequency[short], path[short], facecolors="none", edgecolors=PURPLE, alpha=0.8
    )
    ax.axhline(bond / NANOMETRE, color=INK, lw=1.0)
    ax.annotate(
        f"shortest bond {bond:.2f} Å", (0.98, bond / NANOMETRE),
        xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
        ha="right", fontsize=7.5, bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 0.8},
    )  # fmt: skip
    ax.set_ylim(max(float(np.quantile(path[live], 0.005)), 1e-4) / 2, float(path[live].max()) * 2)
    ax.set_ylabel("Mean free path |v|τ (nm)")


def wigner_rate(modes: ModeTable) -> float:
    """Return the average spacing of the branches, 2π f_max / n_modes, as a rate in 1/ps.

    Modes that scatter faster than this overlap in energy, and the wave-like channel of heat grows
    as large as the particle-like one (Simoncelli, Marzari, Mauri, Phys. Rev. X 12, 041011, 2022).
    """
    return float(2 * np.pi * modes.frequency.max() / modes.weight.sum())


def _live(modes: ModeTable) -> NDArray[np.bool_]:
    return np.asarray((modes.frequency > LOWEST_FREQUENCY) & (modes.rate > 0))


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per mode."""
    modes = required_mode_table(run)
    live = _live(modes)
    return (
        DataTable(
            columns={
                "frequency (THz)": modes.frequency[live],
                "weight of the q-point (1)": modes.weight[live],
                "total rate (1/ps)": modes.rate[live],
                "three-phonon rate (1/ps)": modes.rate_three_phonon[live],
                "isotope rate (1/ps)": modes.rate_isotope[live],
                "group velocity (km/s)": modes.speed[live] * 0.1,
                "mean free path (nm)": modes.mean_free_path[live] / NANOMETRE,
            }
        ),
    )


def caption(run: RunData) -> str:
    """Return the caption."""
    modes = required_mode_table(run)
    live = _live(modes)
    bond = nearest_neighbour_distance(run)
    overdamped = _share(modes, live & (modes.rate > modes.frequency))
    wave = _share(modes, live & (modes.rate > wigner_rate(modes)))
    carried = modes.conductivity[live & (modes.mean_free_path < bond)].sum(axis=0)
    total = modes.conductivity.sum(axis=0)
    percent = "/".join(f"{100 * value:.0f}" for value in carried / np.where(total > 0, total, 1))
    return (
        f"(a) Scattering rates at {modes.temperature:g} K. Solid line: the lifetime equals one "
        f"period ({overdamped} of the modes lie above it); dashed line: the rate equals the mean "
        f"spacing of the branches, {wigner_rate(modes):.2f} ps⁻¹ ({wave} above it, where "
        "wave-like transport matters). (b) Mean free paths; open symbols are shorter than the "
        f"shortest bond ({bond:.2f} Å), where the picture of travelling particles fails. They "
        f"carry {percent} % of κ along a/b/c."
    )


def _share(modes: ModeTable, chosen: NDArray[np.bool_]) -> str:
    return f"{100 * modes.weight[chosen].sum() / modes.weight.sum():.1f} %"


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    modes = required_mode_table(run)
    live = _live(modes)
    median = float(np.median(modes.rate[live]))
    return (
        f"Scatter plots of {int(live.sum())} modes: scattering rate (median {median:.2g} per "
        "picosecond) and mean free path against frequency."
    )


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    modes = mode_table(run)
    if modes is None:
        return "the run has no mode-resolved rates"
    return "" if _live(modes).any() else "no mode has a scattering rate"


SPEC = FigureSpec(
    name="scattering-rates",
    title="Scattering rates and mean free paths",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
)

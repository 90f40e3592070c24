"""Scattering rates and mean free paths of all modes against frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from elphant.phonon.analysis.phase_space import branch_spacing
from elphant.report.mode_table import (
    LOWEST_FREQUENCY,
    ModeTable,
    mode_table,
    nearest_neighbour_distance,
    required_mode_table,
)
from elphant.report.plots.appearance import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData

NANOMETRE = 10.0  # Å

#: Label and look of the channels in a plot of rates; shapes differ, for a print in grey.
CHANNEL_STYLES: dict[str, tuple[str, dict[str, Any]]] = {
    "three_phonon": ("three-phonon", {"color": BLUE, "alpha": 0.5}),
    "four_phonon": ("four-phonon", {"color": VERMILION, "marker": "^", "alpha": 0.5}),
    "isotope": ("isotope", {"color": ORANGE, "marker": "D", "alpha": 0.5}),
    "boundary": ("boundary", {"color": GREEN, "marker": "s", "alpha": 0.5}),
}
#: More points than this are drawn as one bitmap inside the vector file.
MANY_POINTS = 800


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw 1/τ per process with its limits, and the mean free path against the bond length."""
    modes = required_mode_table(run)
    bond = nearest_neighbour_distance(run)
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 3.4), sharex=True)
        _draw_rates(axes[0], modes)
        _draw_lifetimes(axes[0])
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


def _draw_rates(ax: Axes, modes: ModeTable) -> None:
    f = modes.frequency
    shown = []
    for name, (label, options) in CHANNEL_STYLES.items():
        rate = modes.channel(name)
        some = _live(modes) & (rate > 0)
        if some.any():
            shown.append(rate[some])
            _scatter(ax, f[some], rate[some], label=label, **options)
    grid = np.linspace(0.01, 1.03 * float(f.max()), 100)
    ax.plot(grid, 2 * np.pi * grid, color=INK, lw=1.0, label="ħ/τ = ħω (overdamped above)")
    ax.axhline(
        wigner_rate(modes), color=INK, lw=1.0, ls=(0, (4, 2)), label="Wigner limit: branch spacing"
    )
    values = np.concatenate(shown)
    # Slow isotope scattering at low frequency would stretch the axis: keep its upper 96 %.
    main = [rate.min() for rate in shown[:1]]
    low = min(float(min(main)), float(np.quantile(values, 0.04)))
    ax.set_ylim(low / 2, 2 * max(float(values.max()), 2 * np.pi * float(f.max())))
    ax.set_ylabel("Scattering rate 1/τ (ps$^{-1}$)")


def _draw_lifetimes(ax: Axes) -> None:
    """Label the right side with 1/rate; the name stands inside, where no neighbour is."""
    scale = ax.secondary_yaxis("right", functions=(_inverse, _inverse))
    scale.tick_params(which="both", labelsize=7.5)
    ax.tick_params(which="both", right=False)
    ax.set_title("τ (ps)", loc="right", fontweight="normal", fontsize=8)


def _inverse(values: Any) -> Any:
    """1/x without a complaint about the zeros that matplotlib probes."""
    values = np.asarray(values, dtype=float)
    return np.divide(1.0, values, out=np.full_like(values, np.inf), where=values != 0)


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
    """Return the average spacing of the branches as a rate in 1/ps."""
    return branch_spacing(modes.frequency.max(), modes.weight.sum())


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
                **{
                    f"{name.replace('_', '-', 1).replace('_', ' ')} rate (1/ps)": rate[live]
                    for name, rate in modes.channels.items()
                },
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
    overdamped = _share(modes, live & (modes.rate > 2 * np.pi * modes.frequency))
    wave = _share(modes, live & (modes.rate > wigner_rate(modes)))
    carried = modes.conductivity[live & (modes.mean_free_path < bond)].sum(axis=0)
    total = modes.conductivity.sum(axis=0)
    percent = "/".join(f"{100 * value:.0f}" for value in carried / np.where(total > 0, total, 1))
    return (
        f"(a) Scattering rates by channel at {modes.temperature:g} K, {modes.level}. Solid line: "
        "ħ/τ equals ħω, the mode decays within one radian of its oscillation "
        f"({overdamped} of the modes lie above it with their total rate); dashed line: the Wigner "
        f"limit, the mean spacing of the branches, {wigner_rate(modes):.2f} ps⁻¹ ({wave} above "
        "it, where wave-like transport matters). (b) Mean free paths with all channels; open "
        f"symbols are shorter than the shortest bond ({bond:.2f} Å), where the picture of "
        f"travelling particles fails. They carry {percent} % of the particle-like κ along a/b/c."
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
    applies=lambda run: run.has_lattice_transport,
)

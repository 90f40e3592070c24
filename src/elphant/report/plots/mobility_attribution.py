"""What limits the current along each axis: shares by part, by valley and by phonon frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.report.mobility_records import Attribution
from elphant.report.plots.appearance import (
    AXIS_COLOURS,
    AXIS_LINES,
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    axis_label,
    house_style,
    legend_entries,
    overlined,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData

Array = NDArray[np.float64]

#: Label, colour and hatching of the shares.
PART_STYLES = {
    "polar": ("polar", BLUE, ""),
    "short": ("short range", VERMILION, "///"),
    "interference": ("interference", PURPLE, "..."),
    "impurity": ("impurities", GREEN, "xxx"),
}
VALLEY_STYLES = {
    "intra": ("within a valley", SKY, ""),
    "inter": ("between valleys", ORANGE, "///"),
}
_Styles = Mapping[str, tuple[str, str, str]]
_PANELS = 3


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw one row per carrier: shares by part, by valley, and per THz of phonon frequency."""
    carriers = _carriers(run)
    with house_style():
        if ax is None:
            figure = Figure(figsize=(7.0, 1.2 + 1.75 * len(carriers)))
            grid = figure.subplots(
                len(carriers), _PANELS, squeeze=False, width_ratios=[1.15, 1, 1.35], sharex="col"
            )
            axes = list(grid.ravel())
        else:
            figure, axes = panels(ax, _PANELS * len(carriers))
        for i, carrier in enumerate(carriers):
            row = axes[_PANELS * i : _PANELS * (i + 1)]
            shares = run.transport.shares(carrier)
            _stacked(row[0], {a: s.by_part for a, s in shares.items()}, PART_STYLES)
            _stacked(row[1], {a: s.by_valley for a, s in shares.items()}, VALLEY_STYLES)
            _spectrum(row[2], run, shares)
            for panel, title in zip(row, ("by part", "by valley", "by phonon"), strict=True):
                panel.set_title(f"{carrier}s, {title}", fontsize=8)
        for panel, label in zip(
            axes[-_PANELS:],
            ("Share of the resistance (%)", "Share (%)", "Phonon frequency (THz)"),
            strict=True,
        ):
            panel.set_xlabel(label)
        handles, labels = legend_entries(axes)
        figure.legend(handles, labels, loc="outside lower center", ncols=5,
                      fontsize=7, columnspacing=1.2)  # fmt: skip
    return figure


def _carriers(run: RunData) -> list[str]:
    return [carrier for carrier in run.transport.carriers if run.transport.shares(carrier)]


def _stacked(ax: Axes, shares: Mapping[str, Mapping[str, float]], styles: _Styles) -> None:
    """Draw one horizontal bar per axis; negative shares go to the left of zero."""
    axes = [axis for axis in AXES if axis in shares]
    places = np.arange(len(axes), dtype=float)
    right, left = np.zeros(len(axes)), np.zeros(len(axes))
    for name, (label, colour, hatch) in styles.items():
        # A direction without current has no shares: nan.
        values = 100 * np.nan_to_num([shares[axis].get(name, 0.0) for axis in axes])
        if not values.any():
            continue
        start = np.where(values >= 0, right, left)
        ax.barh(places, values, 0.66, left=start, color=colour, hatch=hatch, edgecolor="white",
                linewidth=0.5, label=label)  # fmt: skip
        for y, x, value in zip(places, start, values, strict=True):
            if abs(value) > 14:
                ax.text(
                    x + value / 2, y, f"{value:.0f}", ha="center", va="center", fontsize=6.5,
                    color=INK, bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.6},
                )  # fmt: skip
        right += np.maximum(values, 0.0)
        left += np.minimum(values, 0.0)
    # Names only: the directions are in the legend of the spectra.
    ax.set_yticks(places, axes)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(axes) - 0.5, -0.5)
    if left.any():
        ax.axvline(0.0, color=INK, lw=0.8)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 1.06 * float(left.min())), max(high, 1.04 * float(right.max())))


def density(record: Attribution) -> tuple[Array, Array]:
    """Return edges (n + 1,) THz and the share per THz (n,) of one axis."""
    modes = sorted(record.by_mode, key=lambda m: m["frequency_low"])
    edges = np.array([*(m["frequency_low"] for m in modes), modes[-1]["frequency_high"]])
    shares = np.array([m["share"] for m in modes])
    return edges, shares / np.diff(edges)


def _spectrum(ax: Axes, run: RunData, shares: Mapping[str, Attribution]) -> None:
    for axis, record in shares.items():
        if not record.by_mode:
            continue
        edges, values = density(record)
        ax.stairs(100 * values, edges, color=AXIS_COLOURS[axis], ls=AXIS_LINES[axis], lw=1.2,
                  baseline=None, label=overlined(axis_label(run, axis)))  # fmt: skip
        ax.set_xlim(0, float(edges[-1]))
    ax.axhline(0.0, color=INK, lw=0.6)
    ax.set_ylabel("% per THz", labelpad=1)


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return the shares by part and valley, and the spectra."""
    records = [r for c in _carriers(run) for r in run.transport.shares(c).values()]
    columns: dict[str, list[object]] = {
        "carrier": [r.carrier for r in records],
        "axis": [r.axis for r in records],
        "solver": [r.solver for r in records],
        "temperature (K)": [r.temperature for r in records],
    }
    for kind, styles in (("by_part", PART_STYLES), ("by_valley", VALLEY_STYLES)):
        for name, (label, _, _) in styles.items():
            columns[f"share: {label} (1)"] = [getattr(r, kind).get(name, np.nan) for r in records]
    modes = [(r, mode) for r in records for mode in r.by_mode]
    spectra: dict[str, list[object]] = {
        "carrier": [r.carrier for r, _ in modes],
        "axis": [r.axis for r, _ in modes],
        "from frequency (THz)": [m["frequency_low"] for _, m in modes],
        "to frequency (THz)": [m["frequency_high"] for _, m in modes],
        "share (1)": [m["share"] for _, m in modes],
    }
    for name in PART_STYLES:
        if any(name in m for _, m in modes):
            spectra[f"share: {PART_STYLES[name][0]} (1)"] = [m.get(name, np.nan) for _, m in modes]
    found = [DataTable(columns=columns)]  # type: ignore[arg-type]
    if modes:
        found.append(DataTable(columns=spectra, suffix="spectrum"))  # type: ignore[arg-type]
    return tuple(found)


def strongest(record: Attribution) -> tuple[float, float, float] | None:
    """Return the narrowest range of frequencies (THz) with half of the positive share, and its sum.

    The range is made of whole intervals; None without a spectrum.
    """
    if not record.by_mode:
        return None
    modes = sorted(record.by_mode, key=lambda m: m["frequency_low"])
    shares = np.maximum([m["share"] for m in modes], 0.0)
    total = float(shares.sum())
    if total <= 0:
        return None
    sums = np.concatenate([[0.0], np.cumsum(shares)])
    best: tuple[float, float, float] | None = None
    for i in range(len(modes)):
        j = int(np.searchsorted(sums, sums[i] + 0.5 * total - 1e-12))
        if j > len(modes):
            break
        low, high = modes[i]["frequency_low"], modes[j - 1]["frequency_high"]
        if best is None or high - low < best[1] - best[0]:
            best = (low, high, float(sums[j] - sums[i]) / total)
    return best


def caption(run: RunData) -> str:
    """Return the caption."""
    first = next(iter(run.transport.shares(_carriers(run)[0]).values()))
    text = (
        "Share of each kind of scattering in the resistance at "
        f"{first.temperature:g} K ({first.solver.upper()}). The shares sum to 100 % for any "
        "division; interference of both couplings may be negative. "
    )
    for carrier in _carriers(run):
        parts = []
        shares = run.transport.shares(carrier)
        what = "the phonon part of the resistance" if _impure(shares) else "the resistance"
        for axis, record in shares.items():
            found = strongest(record)
            if found is not None:
                parts.append(f"{found[0]:.1f} to {found[1]:.1f} THz along {axis}")
        if parts:
            text += f"Half of {what} of {carrier}s comes from phonons at "
            text += f"{', '.join(parts)}. "
    return text.strip()


def _impure(shares: Mapping[str, Attribution]) -> bool:
    return any(record.by_part.get("impurity") for record in shares.values())


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    rows = []
    for carrier in _carriers(run):
        for axis, record in run.transport.shares(carrier).items():
            shares = ", ".join(
                f"{PART_STYLES.get(name, (name,))[0]} {100 * value:.0f} percent"
                for name, value in record.by_part.items()
            )
            rows.append(f"{carrier}s along {axis}: {shares}")
    return f"Stacked bars and step lines of the shares in the resistance; {'; '.join(rows)}."


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    return "" if _carriers(run) else "the shares of the scattering were not computed"


SPEC = FigureSpec(
    name="mobility-attribution",
    title="What limits the current",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_mobility,
)

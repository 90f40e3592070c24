"""Mode Grüneisen parameters against frequency, and the size of the third order by direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.phonon.analysis.cumulative import along_axes
from elphant.report.mode_table import LOWEST_FREQUENCY
from elphant.report.plots.appearance import (
    AXIS_COLOURS,
    AXIS_MARKERS,
    INK,
    axis_label,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.plots.force_asymmetry import atom_names, draw_by_atom
from elphant.report.records import ForceAsymmetry
from elphant.report.run_data import RunData

Array = NDArray[np.float64]
MANY_POINTS = 800


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw what the run has of the two panels."""
    parts = _parts(run)
    with house_style():
        size = (7.0, 3.0) if len(parts) == 2 else (4.6, 3.0)
        figure, axes = panels(ax, len(parts), figsize=size)
        for panel, part in zip(axes, parts, strict=True):
            if part == "gruneisen":
                _draw_gruneisen(panel, run)
            else:
                _draw_norms(panel, run)
        axes[0].legend(loc="best", fontsize=7, markerscale=1.6)
        panel_letter(axes) if len(axes) > 1 else None
    return figure


def _parts(run: RunData) -> list[str]:
    parts = ["gruneisen"] if run.gruneisen_modes is not None else []
    return parts + (["norms"] if _normed(run) else [])


def _normed(run: RunData) -> list[ForceAsymmetry]:
    return [r for r in run.force_asymmetry if r.third_order_norm is not None]


def gruneisen_along(run: RunData) -> tuple[Array, Array, Array]:
    """Return frequency (n,) THz, weight (n,) and n·γ·n along a, b, c (n, 3) of the live modes."""
    modes = run.gruneisen_modes
    assert modes is not None
    n_modes = modes.frequency.shape[1]
    along = along_axes(modes.tensor, run.frame.axis_directions).reshape(-1, 3)
    frequency = modes.frequency.ravel()
    live = (frequency > LOWEST_FREQUENCY) & (np.abs(along).max(axis=1) > 0)
    weight = np.repeat(modes.weight / modes.weight.sum(), n_modes)
    return frequency[live], weight[live], along[live]


def _draw_gruneisen(ax: Axes, run: RunData) -> None:
    frequency, _, along = gruneisen_along(run)
    for i, axis in enumerate(AXES):
        ax.scatter(
            frequency, along[:, i], s=6, marker=AXIS_MARKERS[axis], color=AXIS_COLOURS[axis],
            alpha=0.45, lw=0, rasterized=len(frequency) > MANY_POINTS, label=axis_label(run, axis),
        )  # fmt: skip
    ax.axhline(0, color=INK, lw=0.6)
    # A few soft modes have very large values; 99 % of the modes fill the panel.
    low, high = np.quantile(along, [0.005, 0.995])
    room = 0.1 * max(high - low, 0.1)
    ax.set_ylim(low - room, high + 2 * room)
    ax.set_xlim(0, 1.03 * float(frequency.max()))
    ax.set_xlabel("Frequency (THz)")
    ax.set_ylabel("Grüneisen parameter n·γ·n")


def _draw_norms(ax: Axes, run: RunData) -> None:
    values = {(r.atom, r.axis or ""): float(r.third_order_norm or 0.0) for r in _normed(run)}
    draw_by_atom(ax, run, values)
    ax.set_ylabel("Norm of third order (eV Å$^{-3}$)")


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per mode, and one per atom and axis."""
    result = []
    parts = _parts(run)
    if "gruneisen" in parts:
        frequency, weight, along = gruneisen_along(run)
        columns: dict[str, Array] = {
            "frequency (THz)": frequency,
            "weight of the q-point (1)": weight,
        }
        columns |= {f"gamma along {axis} (1)": along[:, i] for i, axis in enumerate(AXES)}
        result.append(DataTable(columns=columns))
    if "norms" in parts:
        records = _normed(run)
        names = atom_names(run, [r.atom for r in run.force_asymmetry])
        norms = {
            "name": [names[r.atom] for r in records],
            "axis": [r.axis or "" for r in records],
            "norm of the third order (eV/Å^3)": [r.third_order_norm for r in records],
            "on site (eV/Å^3)": [
                np.nan if r.third_order_on_site is None else r.third_order_on_site for r in records
            ],
        }
        suffix = "third-order" if result else ""
        result.append(DataTable(columns=norms, suffix=suffix))  # type: ignore[arg-type]
    return tuple(result)


def caption(run: RunData) -> str:
    """Return the caption."""
    texts = []
    if run.gruneisen_modes is not None:
        text = (
            "Mode Grüneisen parameters n·γ·n: the relative softening of a mode per relative "
            "stretch of the crystal along n, with clamped ions"
        )
        for record in run.gruneisen[:1]:
            means = ", ".join(f"{record.axes[axis]:.2f} along {axis}" for axis in AXES)
            text += f"; means weighted with the heat capacity at {record.temperature:g} K: {means}"
        texts.append(f"{text}. The panel shows 99 % of the modes.".replace("-", "−"))
    records = _normed(run)
    if records:
        names = atom_names(run, [r.atom for r in run.force_asymmetry])
        largest = max(records, key=lambda r: r.third_order_norm or 0.0)
        texts.append(
            "Norm of all third-order force constants that involve an atom moving along an axis; "
            f"largest for {names[largest.atom]} along {largest.axis}, "
            f"{largest.third_order_norm:.3g} eV Å⁻³."
        )
    if len(texts) == 2:
        return f"(a) {texts[0]} (b) {texts[1]}"
    return texts[0]


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    return f"Scatter plot and bar chart of anharmonicity. {caption(run)}"


def applies(run: RunData) -> bool:
    """Return whether the run looked at its anharmonicity."""
    return bool(_parts(run))


SPEC = FigureSpec(
    name="anharmonicity",
    title="Grüneisen parameters and third-order constants",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    applies=applies,
)

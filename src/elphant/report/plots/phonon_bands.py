"""Phonon bands along the path of the user's cell, with the density of states beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elphant.report.phonon_arrays import Bands
from elphant.report.plots.appearance import (
    BLUE,
    GREY,
    INK,
    VERMILION,
    element_colours,
    house_style,
    panels,
)
from elphant.report.plots.band_path import draw_path
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData

#: Frequencies below this (THz) are drawn and counted as imaginary; above it they are round-off.
IMAGINARY_BELOW = -0.02


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw bands and density of states side by side; imaginary frequencies below zero, in red."""
    assert run.bands is not None
    n_panels = 2 if run.dos is not None else 1
    with house_style():
        ratios = {"width_ratios": [3.2, 1]} if n_panels == 2 else {}
        figure, axes = panels(
            ax, n_panels, figsize=(7.0, 3.5), sharey=n_panels == 2, gridspec_kw=ratios
        )
        draw_bands(axes[0], run.bands)
        limits = frequency_limits(run)
        if n_panels == 2:
            _draw_dos(axes[1], run)
        for panel in axes:
            panel.set_ylim(*limits)
            _mark_imaginary(panel, limits[0])
        if limits[0] < 0:
            axes[0].text(
                0.015, 0.02, "imaginary", transform=axes[0].transAxes, color=VERMILION,
                fontsize=7.5,
            )  # fmt: skip
        axes[0].set_ylabel("Frequency (THz)")
    return figure


def draw_bands(
    ax: Axes,
    bands: Bands,
    *,
    colour: str = BLUE,
    label: str | None = None,
    linestyle: Any = "-",
    width: float = 0.9,
    distance: np.ndarray | None = None,
    label_distance: np.ndarray | None = None,
) -> None:
    """Draw bands and their labelled points on ``ax``; other distances stretch the path."""
    x = bands.distance if distance is None else distance
    for segment in bands.segments:
        frequency = bands.frequency[segment]
        lines = ax.plot(x[segment], frequency, color=colour, lw=width, ls=linestyle)
        imaginary = np.where(frequency < IMAGINARY_BELOW, frequency, np.nan)
        if np.isfinite(imaginary).any():
            ax.plot(x[segment], imaginary, color=VERMILION, lw=1.4)
        if label and segment.start == 0:
            lines[0].set_label(label)
    places = bands.label_distance if label_distance is None else label_distance
    draw_path(ax, x, places, bands.labels)


def frequency_limits(run: RunData) -> tuple[float, float]:
    """Return limits of the frequency axis (THz) that show every imaginary mode."""
    assert run.bands is not None
    low, high = float(run.bands.frequency.min()), float(run.bands.frequency.max())
    if run.phonons is not None:
        low = min(low, run.phonons.minimum_frequency)
    return (low - 0.08 * (high - low) if low < IMAGINARY_BELOW else 0.0, 1.04 * high)


def _mark_imaginary(ax: Axes, lowest: float) -> None:
    if lowest >= 0:
        return
    ax.axhspan(lowest, 0, color=VERMILION, alpha=0.08, lw=0, zorder=0)
    ax.axhline(0, color=INK, lw=0.6)


def _draw_dos(ax: Axes, run: RunData) -> None:
    assert run.dos is not None
    ax.fill_betweenx(run.dos.frequency, run.dos.total, color="#e6e6e6", lw=0)
    ax.plot(run.dos.total, run.dos.frequency, color=GREY, lw=0.9, label="total")
    colours = element_colours(run)
    styles = ("-", (0, (5, 1.5)), (0, (1.5, 1)), "-.")
    for i, (element, density) in enumerate(run.dos.elements.items()):
        colour = colours.get(element, INK)
        style = styles[i % len(styles)]
        ax.plot(density, run.dos.frequency, color=colour, lw=1.2, ls=style, label=element)
    ax.set_xlim(0, 1.05 * float(run.dos.total.max()))
    ax.set_xlabel("DOS (THz$^{-1}$ cell$^{-1}$)")
    ax.legend(loc="best")


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return the bands, and the density of states as a second table."""
    assert run.bands is not None
    bands = run.bands
    columns: dict[str, np.ndarray] = {"path length (1/Å)": bands.distance}
    for i in range(3):
        columns[f"q{i + 1} (reciprocal lattice vectors)"] = bands.q_point[:, i]
    for mode in range(bands.frequency.shape[1]):
        columns[f"f{mode + 1} (THz)"] = bands.frequency[:, mode]
    result = [DataTable(columns=columns)]
    if run.dos is not None:
        unit = "(states/THz/cell)"
        elements = {f"DOS {name} {unit}": values for name, values in run.dos.elements.items()}
        first = {"frequency (THz)": run.dos.frequency, f"DOS total {unit}": run.dos.total}
        result.append(DataTable(columns={**first, **elements}, suffix="dos"))
    return tuple(result)


def caption(run: RunData) -> str:
    """Return the caption."""
    assert run.bands is not None
    lowest = float(run.bands.frequency.min())
    text = (
        "Phonon bands along the high-symmetry path of the user's own cell"
        + (", and density of states per element" if run.dos is not None else "")
        + f". Frequencies up to {run.bands.frequency.max():.2f} THz."
    )
    if lowest < IMAGINARY_BELOW:
        text += (
            f" Imaginary modes are drawn below zero, in red (lowest on the path {lowest:.2f} THz)."
        )
    return text


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    assert run.bands is not None
    n_modes = run.bands.frequency.shape[1]
    return (
        f"Line plot of {n_modes} phonon branches between {run.bands.frequency.min():.2f} and "
        f"{run.bands.frequency.max():.2f} THz along {', '.join(run.bands.labels)}."
    )


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    return "" if run.bands is not None else "the run has no phonon bands"


SPEC = FigureSpec(
    name="phonon-bands",
    title="Phonon bands and density of states",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_phonons,
)

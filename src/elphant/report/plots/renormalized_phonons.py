"""Harmonic against self-consistent phonons: bands, and the shift of each frequency at Γ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elphant.report.phonon_arrays import Bands
from elphant.report.plots.appearance import (
    BLUE,
    GREY,
    INK,
    VERMILION,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.plots.phonon_bands import IMAGINARY_BELOW, draw_bands
from elphant.report.records import Renormalization
from elphant.report.run_data import RunData

#: Colour, line and marker of each variant.
_LOOKS: dict[str, tuple[str, Any, str]] = {
    "loop": (VERMILION, "-", "o"),
    "stochastic": (BLUE, (0, (4, 1.5)), "s"),
    "loop+bubble": (VERMILION, (0, (1.5, 1)), "^"),
    "stochastic+bubble": (BLUE, (0, (1.5, 1)), "v"),
    "bubble": (INK, (0, (1.5, 1)), "D"),
}
HARMONIC = "#bdbdbd"


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw the bands where they are known, and the shifts at Γ."""
    records = nearest_records(run)
    with_bands = run.bands is not None and bool(run.renormalized_bands)
    with house_style():
        n_panels = 2 if with_bands else 1
        ratios = {"width_ratios": [1.7, 1]} if with_bands else {}
        size = (7.0, 3.3) if with_bands else (4.2, 3.0)
        figure, axes = panels(ax, n_panels, figsize=size, gridspec_kw=ratios)
        if with_bands:
            _draw_bands(axes[0], run)
        _draw_shifts(axes[-1], records)
        if with_bands:
            panel_letter(axes)
        handles = [Line2D([], [], color=HARMONIC, lw=2.0, label="harmonic")]
        for record in records:
            colour, style, marker = _LOOKS[record.variant]
            label = f"{record.variant}, {record.temperature:g} K"
            handles.append(Line2D([], [], color=colour, ls=style, marker=marker, ms=4, label=label))
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def nearest_records(run: RunData, temperature: float = 300.0) -> list[Renormalization]:
    """Return one record per variant, at the temperature nearest to 300 K."""
    variants = dict.fromkeys(record.variant for record in run.renormalization)
    return [
        min(
            (r for r in run.renormalization if r.variant == variant),
            key=lambda r: abs(r.temperature - temperature),
        )
        for variant in variants
    ]


def _draw_bands(ax: Axes, run: RunData) -> None:
    assert run.bands is not None
    # A broad pale line below: it stays visible where the bands hardly move.
    draw_bands(ax, run.bands, colour=HARMONIC, width=2.0)
    lowest, highest = float(run.bands.frequency.min()), float(run.bands.frequency.max())
    for variant, frequency in _band_sets(run).items():
        colour, style, _ = _LOOKS[variant]
        draw_bands(ax, _replaced(run.bands, frequency), colour=colour, linestyle=style)
        lowest, highest = (
            min(lowest, float(frequency.min())),
            max(highest, float(frequency.max())),
        )
    ax.set_ylim(1.1 * lowest if lowest < IMAGINARY_BELOW else 0.0, 1.04 * highest)
    if lowest < IMAGINARY_BELOW:
        ax.axhline(0, color=INK, lw=0.6)
    ax.set_ylabel("Frequency (THz)")


def _band_sets(run: RunData) -> dict[str, np.ndarray]:
    """Return the bands of each variant that has a record, at its temperature nearest to 300 K."""
    wanted = {record.variant: record.temperature for record in nearest_records(run)}
    found = {}
    for variant, item in run.renormalized_bands.items():
        if variant in wanted and run.bands is not None:
            at = int(np.abs(item.temperature - wanted[variant]).argmin())
            if item.bands_frequency[at].shape == run.bands.frequency.shape:
                found[variant] = item.bands_frequency[at]
    return found


def _replaced(bands: Bands, frequency: np.ndarray) -> Bands:
    return Bands(
        distance=bands.distance,
        q_point=bands.q_point,
        frequency=frequency,
        label_distance=bands.label_distance,
        labels=bands.labels,
        segment_start=bands.segment_start,
    )


def _draw_shifts(ax: Axes, records: Sequence[Renormalization]) -> None:
    ax.axhline(0, color=GREY, lw=0.7)
    lowest = 0.0
    for record in records:
        colour, _, marker = _LOOKS[record.variant]
        before = np.array(record.gamma_before)
        shift = np.array(record.gamma_after) - before
        optical = np.abs(before) > 0.02
        error = record.gamma_standard_error
        ax.errorbar(
            before[optical], shift[optical],
            yerr=None if error is None else np.array(error)[optical],
            fmt=marker, ms=4, mfc="white" if "stochastic" in record.variant else colour,
            color=colour, mew=0.8, lw=0, elinewidth=0.8, alpha=0.85,
        )  # fmt: skip
        lowest = min(lowest, float(before.min()))
    if lowest < IMAGINARY_BELOW:
        ax.axvspan(1.1 * lowest, 0, color=VERMILION, alpha=0.08, lw=0)
        ax.set_xlim(1.1 * lowest, None)
    else:
        ax.set_xlim(0, None)
    ax.set_xlabel("Harmonic frequency at Γ (THz)")
    ax.set_ylabel("Shift (THz)")


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return the frequencies at Γ, and the bands of each variant."""
    records = nearest_records(run)
    columns: dict[str, Any] = {"harmonic at Gamma (THz)": records[0].gamma_before}
    for r in records:
        columns[f"{r.variant} at {r.temperature:g} K (THz)"] = r.gamma_after
    result = [DataTable(columns=columns)]
    for variant, frequency in _band_sets(run).items():
        assert run.bands is not None
        bands: dict[str, Any] = {"path length (1/Å)": run.bands.distance}
        bands |= {f"f{i + 1} (THz)": frequency[:, i] for i in range(frequency.shape[1])}
        result.append(DataTable(columns=bands, suffix=f"bands-{variant.replace('+', '-')}"))
    return tuple(result)


def caption(run: RunData) -> str:
    """Return the caption."""
    records = nearest_records(run)
    first = records[0]
    shift = np.array(first.gamma_after) - np.array(first.gamma_before)
    at = int(np.abs(shift).argmax())
    marks = ("(a) Bands of the harmonic and of the self-consistent crystal. (b) Shifts",
             "Shifts")  # fmt: skip
    with_bands = run.bands is not None and bool(run.renormalized_bands)
    text = (
        f"{marks[0] if with_bands else marks[1]} of the frequencies at Γ; the largest is "
        f"{shift[at]:+.2f} THz for the mode at {first.gamma_before[at]:.2f} THz ({first.variant}, "
        f"{first.temperature:g} K). The lowest frequency of the mesh goes from "
        f"{first.minimum_before:.2f} to {first.minimum_after:.2f} THz."
    )
    return text.replace(" -", " −").replace("+-", "−")


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    return f"Line plot and scatter plot of renormalised phonons. {caption(run)}"


def applies(run: RunData) -> bool:
    """Return whether phonons were renormalised."""
    return bool(run.renormalization)


SPEC = FigureSpec(
    name="renormalized-phonons",
    title="Harmonic and self-consistent phonons",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    applies=applies,
)

"""Effective masses of electrons and holes along a, b and c, with their uncertainties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elphant.crystal import AXES
from elphant.report.electron_records import CARRIERS, EffectiveMass
from elphant.report.plots.appearance import (
    BLUE,
    INK,
    SKY,
    VERMILION,
    axis_label,
    house_style,
    overlined,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData
from elphant.report.text import number

REFERENCE_TEMPERATURE = 300.0  # K
_COLOURS = {
    ("electron", "band_edge"): BLUE,
    ("electron", "conductivity"): SKY,
    ("hole", "band_edge"): VERMILION,
    ("hole", "conductivity"): "#F4A582",
}
_HATCHES = {"band_edge": ("", "///", "xxx"), "conductivity": ("...",)}


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw one panel per carrier: bars along a, b and c on a logarithmic scale."""
    records = shown_masses(run)
    carriers = [name for name in CARRIERS if any(r.carrier == name for r in records)]
    with house_style():
        figure, axes = panels(
            ax, len(carriers), figsize=(7.0 if len(carriers) > 1 else 4.2, 3.4), sharey=True
        )
        low, high = _limits(records)
        for panel, carrier in zip(axes, carriers, strict=True):
            _draw_carrier(panel, run, [r for r in records if r.carrier == carrier], low)
            panel.set_title(f"{carrier}s")
            panel.set_ylim(low, high)
        axes[0].set_ylabel("Effective mass (m$_e$)")
    return figure


def shown_masses(run: RunData) -> list[EffectiveMass]:
    """Return band-edge masses, and the conductivity masses nearest to 300 K, in table order."""
    kelvin = [r.temperature for r in run.effective_mass if r.temperature is not None]
    nearest = min(kelvin, key=lambda t: abs(t - REFERENCE_TEMPERATURE), default=None)
    kept = [
        r for r in run.effective_mass if r.kind != "valley" and r.temperature in (None, nearest)
    ]
    return sorted(
        kept, key=lambda r: (CARRIERS.index(r.carrier), r.kind != "band_edge", r.band_index)
    )


def positive(record: EffectiveMass, axis: str) -> float:
    """Return the mass along an axis as a length of a bar; nan where it is none or not positive."""
    value = record.axes.get(axis)
    return value if value is not None and value > 0 else np.nan


def _limits(records: Sequence[EffectiveMass]) -> tuple[float, float]:
    values = np.array([positive(r, axis) for r in records for axis in AXES])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.1, 10.0
    return 0.45 * float(values.min()), 2.2 * float(values.max())


def _draw_carrier(ax: Axes, run: RunData, records: Sequence[EffectiveMass], low: float) -> None:
    width = 0.8 / len(records)
    centres = np.arange(len(AXES), dtype=float)
    ax.set_yscale("log")
    for i, record in enumerate(records):
        heights = np.array([positive(record, axis) for axis in AXES])
        error = np.array([(record.uncertainty or {}).get(axis) or np.nan for axis in AXES])
        # The lower end stays above the axis, where an uncertainty is as large as the mass.
        below = np.minimum(error, heights - 1.02 * low)
        places = centres + (i - (len(records) - 1) / 2) * width
        hatches = _HATCHES[record.kind]
        ax.bar(
            places, heights, 0.94 * width, color=_COLOURS[record.carrier, record.kind],
            hatch=hatches[min(record.band_index, len(hatches) - 1)], edgecolor="white",
            linewidth=0.5, label=record.name.partition(", ")[2],
        )  # fmt: skip
        known = np.isfinite(error) & np.isfinite(heights)
        if known.any():
            bars = np.array([below, error])[:, known]
            ax.errorbar(
                places[known], heights[known], bars, fmt="none", ecolor=INK, elinewidth=0.8,
                capsize=2,
            )  # fmt: skip
        _write_values(ax, places, heights, np.where(known, error, 0.0), 0.94 * width)
    ax.set_xticks(centres, [overlined(axis_label(run, a)).replace(" = ", "\n") for a in AXES])
    ax.tick_params(axis="x", length=0)
    ax.tick_params(axis="y", which="minor", left=True, right=True)
    ax.set_xlim(-0.55, len(AXES) - 0.45)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, fontsize=7)


def _write_values(
    ax: Axes, places: np.ndarray, heights: np.ndarray, errors: np.ndarray, width: float
) -> None:
    """Write each mass over its bar; turned where the bars are narrow."""
    narrow = width < 0.22
    for x, height, error in zip(places, heights, errors, strict=True):
        if np.isfinite(height):
            ax.annotate(
                number(float(height), 2), (x, height + error), (0, 2), textcoords="offset points",
                ha="center", va="bottom", fontsize=7, color=INK, rotation=90 if narrow else 0,
            )  # fmt: skip


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per record of the run."""
    records = run.effective_mass
    columns: dict[str, list[object]] = {
        "carrier": [r.carrier for r in records],
        "kind": [r.kind for r in records],
        "band of the edge": [r.band_index + 1 for r in records],
        "temperature (K)": [np.nan if r.temperature is None else r.temperature for r in records],
    }
    for axis in AXES:
        columns[f"mass along {axis} (m_e)"] = [_value(r.axes, axis) for r in records]
        columns[f"uncertainty along {axis} (m_e)"] = [_value(r.uncertainty, axis) for r in records]
    return (DataTable(columns=columns),)  # type: ignore[arg-type]


def _value(values: dict[str, float | None] | None, axis: str) -> float:
    value = (values or {}).get(axis)
    return np.nan if value is None else value


def caption(run: RunData) -> str:
    """Return the caption."""
    records = shown_masses(run)
    text = "Effective masses along the crystal axes, 1/(n·M⁻¹·n) for the unit vector n"
    kinds = {r.kind for r in records}
    if len(kinds) > 1:
        text += "; full bars at the band edge, dotted bars averaged over the occupied states"
    text += ". "
    for carrier in CARRIERS:
        edge = [r for r in records if r.carrier == carrier and r.kind == "band_edge"][:1]
        for record in edge:
            values = ", ".join(f"{number(record.axes.get(a), 2)} along {a}" for a in AXES)
            text += f"{carrier.capitalize()}: {values}. "
    if any(r.uncertainty for r in records):
        text += "Lines show the estimated uncertainty. "
    hidden = [r for r in records for a in AXES if np.isnan(positive(r, a))]
    if hidden:
        text += "Masses that are not positive or not known have no bar. "
    return text.strip()


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    parts = [
        f"{r.name}: " + ", ".join(f"{a} {number(r.axes.get(a), 2)}" for a in AXES)
        for r in shown_masses(run)
    ]
    return f"Bar chart of effective masses in electron masses; {'; '.join(parts)}."


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    return "" if run.effective_mass else "the run has no effective masses"


SPEC = FigureSpec(
    name="effective-masses",
    title="Effective masses along the crystal axes",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_electrons,
)

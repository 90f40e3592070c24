"""Figures of several runs: bars of the conductivity, and bands on one path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.report.phonon_arrays import Bands
from elphant.report.plots.appearance import KAPPA_LABEL, RUN_COLOURS, house_style, panels, plain
from elphant.report.plots.conductivity_bars import draw_bars
from elphant.report.plots.figure_spec import DataTable
from elphant.report.plots.phonon_bands import IMAGINARY_BELOW, draw_bands
from elphant.report.run_data import RunData

Array = NDArray[np.float64]
_LINES = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), "-.")


def plot_bars(
    series: dict[str, dict[str, float]],
    axis_names: Sequence[str],
    temperature: float,
    ax: Axes | None = None,
) -> Figure:
    """Draw κ along each crystal direction, one bar per run."""
    with house_style():
        figure, axes = panels(ax, 1, figsize=(min(4.6 + 0.4 * len(series), 7.0), 3.2))
        values = {label: [item[axis] for axis in AXES] for label, item in series.items()}
        draw_bars(axes[0], list(axis_names), values)
        axes[0].set_ylabel(f"{KAPPA_LABEL} at {temperature:g} K")
    return figure


def bar_tables(
    series: dict[str, dict[str, float]], axis_names: Sequence[str]
) -> tuple[DataTable, ...]:
    """Return one row per direction and one column per run."""
    columns: dict[str, object] = {"axis": list(axis_names)}
    for label, values in series.items():
        columns[f"kappa {label} (W/m/K)"] = [values[axis] for axis in AXES]
    return (DataTable(columns=columns),)  # type: ignore[arg-type]


def plot_bands(runs: Sequence[RunData], labels: Sequence[str], ax: Axes | None = None) -> Figure:
    """Draw the bands of all runs on the path of the first."""
    with house_style():
        figure, axes = panels(ax, 1, figsize=(7.0, 3.6))
        first = runs[0].bands
        assert first is not None
        lowest, highest = 0.0, 0.0
        for i, (run, label) in enumerate(zip(runs, labels, strict=True)):
            assert run.bands is not None
            draw_bands(
                axes[0],
                run.bands,
                colour=RUN_COLOURS[i % len(RUN_COLOURS)],
                linestyle=_LINES[i % len(_LINES)],
                label=plain(label),
                distance=_stretched(run.bands, first),
                label_distance=first.label_distance,
            )
            lowest = min(lowest, float(run.bands.frequency.min()))
            highest = max(highest, float(run.bands.frequency.max()))
        axes[0].set_ylim(1.1 * lowest if lowest < IMAGINARY_BELOW else 0.0, 1.04 * highest)
        axes[0].set_ylabel("Frequency (THz)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _stretched(bands: Bands, reference: Bands) -> Array:
    """Return the distances of ``bands`` on the path of ``reference``, piece by piece."""
    # A label that occurs twice at one distance (end of a piece, start of the next) maps to one.
    return np.asarray(np.interp(bands.distance, bands.label_distance, reference.label_distance))


def band_tables(runs: Sequence[RunData], labels: Sequence[str]) -> tuple[DataTable, ...]:
    """Return one table per run."""
    tables = []
    for i, (run, label) in enumerate(zip(runs, labels, strict=True)):
        assert run.bands is not None and runs[0].bands is not None  # noqa: PT018
        columns: dict[str, object] = {"path length (1/Å)": _stretched(run.bands, runs[0].bands)}
        for mode in range(run.bands.frequency.shape[1]):
            columns[f"f{mode + 1} of {label} (THz)"] = run.bands.frequency[:, mode]
        tables.append(DataTable(columns=columns, suffix=f"run-{i + 1}"))  # type: ignore[arg-type]
    return tuple(tables)


def bands_missing(runs: Sequence[RunData]) -> str:
    """Say why the bands cannot be overlaid; empty when they can.

    The labelled points of all paths must be the same points of the crystal: in the basis of the
    standard setting, where ``q_standard = q P^-1``, they must agree up to sign.
    """
    if any(run.bands is None for run in runs):
        return "not every run has bands"
    first = _labelled_points(runs[0])
    for run in runs[1:]:
        points = _labelled_points(run)
        same_labels = run.bands and runs[0].bands and run.bands.labels == runs[0].bands.labels
        if not same_labels or points.shape != first.shape:
            return "the paths differ"
        agree = np.abs(points - first).max(axis=1) < 1e-4
        agree |= np.abs(points + first).max(axis=1) < 1e-4
        if not agree.all():
            return "the paths visit different points of the Brillouin zone"
    return ""


def _labelled_points(run: RunData) -> Array:
    bands = run.bands
    assert bands is not None
    indices = [int(np.abs(bands.distance - x).argmin()) for x in bands.label_distance]
    return np.asarray(bands.q_point[indices] @ np.linalg.inv(run.frame.transformation))

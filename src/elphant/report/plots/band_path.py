"""The horizontal axis of band structures: labelled points of a path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from elphant.report.plots.appearance import GREY, path_label

Array = NDArray[np.float64]


def draw_path(ax: Axes, distance: Array, places: Array, labels: Sequence[str]) -> None:
    """Mark the labelled points by lines and names, and let the path fill the axis."""
    positions, names = path_ticks(places, labels)
    for position in positions:
        ax.axvline(position, color=GREY, lw=0.5, zorder=0)
    ax.set_xticks(positions, names)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(distance.min(), distance.max())


def path_ticks(places: Array, labels: Sequence[str]) -> tuple[list[float], list[str]]:
    """Merge the labels of points at the same place: the end of one piece, the start of the next."""
    positions: list[float] = []
    names: list[str] = []
    for position, name in zip(places, labels, strict=True):
        text = path_label(name)
        if positions and abs(position - positions[-1]) < 1e-6 * max(places[-1], 1e-9):
            if text not in names[-1].split("|"):
                names[-1] += f"|{text}"
            continue
        positions.append(float(position))
        names.append(text)
    return positions, names

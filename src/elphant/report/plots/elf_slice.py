"""Electron localization function in two planes, with atoms and lone pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from elphant.report.periodic_grid import sampled
from elphant.report.planes import Plane, chosen_planes
from elphant.report.plots.appearance import (
    INK,
    element_colours,
    house_style,
    overlined,
    panel_letter,
    panels,
)
from elphant.report.plots.crystal_structure import element_handles
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData
from elphant.report.text import fixed

Array = NDArray[np.float64]

COLOUR_MAP = "viridis"
LEVELS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)
_SPACING = 0.05  # Å, of the picture
_CONTOUR_POINTS = 150  # along the longer side
_TABLE_SPACING = 0.1  # Å, of the CSV file
_IN_PLANE = 0.35  # Å: atoms and attractors this close are marked in full …
_NEAR = 1.3  # Å: … atoms this close by a ring


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw the planes side by side with one colour scale."""
    planes = chosen_planes(run)
    elf = run.localization_grid().elf
    with house_style():
        ratios = [float((p.high - p.low)[0] / (p.high - p.low)[1]) for p in planes]
        size = _size(ratios)
        figure, axes = panels(ax, len(planes), figsize=size, gridspec_kw={"width_ratios": ratios})
        image = None
        for panel, plane in zip(axes, planes, strict=True):
            image = _draw_plane(panel, run, plane, elf)
        assert image is not None
        bar = figure.colorbar(image, ax=axes, shrink=0.75, aspect=22, pad=0.015)
        bar.set_label("Electron localization function")
        bar.set_ticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
        if len(planes) > 1:
            panel_letter(axes)
        _legend(figure, run)
    return figure


def _size(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the size of the figure (inches) in which the panels are as wide as the page allows."""
    width = 7.0 if len(ratios) > 1 else 4.8
    panel_height = (width - 0.75 - 0.75 * len(ratios)) / sum(ratios)
    return width, float(np.clip(panel_height, 1.8, 3.6)) + 1.3


def values_on(run: RunData, plane: Plane, elf: Array, spacing: float) -> tuple[Array, Array, Array]:
    """Return both coordinates (Å) and the function on a plane, (m, n)."""
    x, y, points = plane.points(spacing)
    fractional = points @ np.linalg.inv(run.crystal.lattice)
    return x, y, np.clip(sampled(elf, fractional), 0.0, 1.0)


def attractors(run: RunData) -> Array:
    """Return the Cartesian positions of the lone-pair attractors of the cell, (n, 3) Å."""
    basins = run.localization.of_kind("lone_pair") if run.localization else ()
    found = [basin.position for basin in basins] or [pair.position for pair in run.lone_pairs]
    return np.array(found, dtype=float).reshape(-1, 3)


def _draw_plane(ax: Axes, run: RunData, plane: Plane, elf: Array) -> AxesImage:
    x, y, values = values_on(run, plane, elf, _SPACING)
    extent = (x[0], x[-1], y[0], y[-1])
    image = ax.imshow(
        values, extent=extent, origin="lower", cmap=COLOUR_MAP, vmin=0.0, vmax=1.0,
        interpolation="bilinear",
    )  # fmt: skip
    coarse = float((plane.high - plane.low).max()) / _CONTOUR_POINTS
    ax.contour(
        *values_on(run, plane, elf, coarse), levels=LEVELS,
        colors=["white" if level < 0.75 else "black" for level in LEVELS], linewidths=0.4,
        alpha=0.75,
    )  # fmt: skip
    _mark_atoms(ax, run, plane)
    _mark_attractors(ax, run, plane)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    ax.set_aspect("equal")
    ax.set_title(plane.title)
    ax.set_xlabel(_side_label(run, plane.right))
    ax.set_ylabel(_side_label(run, plane.up))
    ax.tick_params(direction="out", top=False, right=False)
    return image


def _side_label(run: RunData, direction: Array) -> str:
    label = run.frame.direction_label(direction)
    if label == "general":
        label = "(" + ", ".join(fixed(float(x), 2) for x in direction) + ")"
    return f"along {overlined(label)} (Å)"


def _mark_atoms(ax: Axes, run: RunData, plane: Plane) -> None:
    colours = element_colours(run)
    index, places = plane.images(run.crystal.lattice, run.crystal.positions, _NEAR)
    for atom, (x, y, away) in zip(index, places, strict=True):
        symbol = run.crystal.symbols[atom]
        colour = colours[symbol]
        if abs(away) > _IN_PLANE:
            ax.plot(x, y, "o", ms=6.5, mfc="none", mec=colour, mew=1.1, zorder=4)
            continue
        ax.plot(x, y, "o", ms=13, mfc=colour, mec="white", mew=0.9, zorder=5)
        ax.text(x, y, symbol, ha="center", va="center_baseline", fontsize=7, color=INK,
                fontweight="bold", zorder=6, clip_on=True)  # fmt: skip


def _mark_attractors(ax: Axes, run: RunData, plane: Plane) -> None:
    found = attractors(run)
    if not len(found):
        return
    _, places = plane.images(run.crystal.lattice, found, _IN_PLANE)
    lines = ax.plot(places[:, 0], places[:, 1], "x", color="white", ms=6, mew=1.6, zorder=6)
    lines[0].set_path_effects([withStroke(linewidth=3, foreground=INK)])


def _legend(figure: Figure, run: RunData) -> None:
    handles = element_handles(run)
    handles.append(
        Line2D([], [], ls="none", marker="o", ms=6.5, mfc="none", mec=INK, mew=1.0,
               label=f"up to {_NEAR:g} Å off the plane")
    )  # fmt: skip
    if len(attractors(run)):
        handles.append(
            Line2D([], [], ls="none", marker="x", ms=6, mew=1.6, color=INK,
                   label="lone-pair attractor")
        )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return the values of each plane, with the Cartesian coordinates of every point."""
    elf = run.localization_grid().elf
    result = []
    for letter, plane in zip("abcdef", chosen_planes(run), strict=False):
        x, y, values = values_on(run, plane, elf, _TABLE_SPACING)
        _, _, points = plane.points(_TABLE_SPACING)
        flat = np.round(points.reshape(-1, 3), 4)
        columns: dict[str, object] = {
            "right (Å)": np.round(np.tile(x, len(y)), 4),
            "up (Å)": np.round(np.repeat(y, len(x)), 4),
            "x (Å)": flat[:, 0], "y (Å)": flat[:, 1], "z (Å)": flat[:, 2],
            "ELF (1)": np.round(values.ravel(), 4),
        }  # fmt: skip
        suffix = "" if letter == "a" else letter
        result.append(DataTable(columns=columns, suffix=suffix))  # type: ignore[arg-type]
    return tuple(result)


def caption(run: RunData) -> str:
    """Return the caption."""
    planes = chosen_planes(run)
    letters = "abcdef" if len(planes) > 1 else ""
    parts = [
        f"({letters[i]}) {plane.description}" if letters else plane.description
        for i, plane in enumerate(planes)
    ]
    elf = run.localization_grid().elf
    text = f"Electron localization function in planes of the crystal: {'; '.join(parts)}. "
    text += f"Contours at {', '.join(f'{level:g}' for level in LEVELS)}. "
    if len(attractors(run)):
        text += f"Crosses mark lone-pair attractors within {_IN_PLANE:g} Å of the plane. "
    return f"{text}Largest value on the grid {elf.max():.2f}."


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    planes = " and ".join(plane.description for plane in chosen_planes(run))
    return f"Colour map of the electron localization function from 0 to 1 in the plane {planes}."


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    return "" if run.has_localization else "the run has no electron localization function"


SPEC = FigureSpec(
    name="elf-slice",
    title="Electron localization function in planes",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_electrons,
)

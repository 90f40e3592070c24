"""Isosurface of the electron localization function around the atoms of the cell, in two views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.report.localization_scene import (
    LocalizationScene,
    chosen_levels,
    localization_scene,
)
from elphant.report.plots.appearance import (
    GREY,
    INK,
    element_colours,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.covalent_radii import covalent_radius
from elphant.report.plots.crystal_structure import (
    ATOM_SIZE,
    TRIAD_SHARE,
    draw_triads,
    element_handles,
    front_basis,
    tilted,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.rendering import Mesh, joined, picture, sphere, stick
from elphant.report.run_data import RunData

Array = NDArray[np.float64]

SURFACE_COLOUR = "#35B48C"
SURFACE_OPACITY = 0.5
BOND_RADIUS, EDGE_RADIUS = 0.11, 0.035  # Å
_OUTSIDE_FADE = 0.6
_MOST_TRIANGLES = 120_000
_MOST_PIXELS = 800  # along the longer side of a view


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw the surface at the level shown first, along the shortest axis and in oblique view."""
    _, level = chosen_levels(run)
    scene = localization_scene(run, (level,), level, most_triangles=_MOST_TRIANGLES)
    meshes = scene_meshes(run, scene)
    axis = int(np.argmin(run.crystal.lengths))
    front = front_basis(run, axis)
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 3.2))
        _draw(axes[0], run, meshes, front)
        axes[0].set_title(f"view along {AXES[axis]}")
        _draw(axes[1], run, meshes, tilted(front, turn=-38.0, raise_=18.0))
        axes[1].set_title("oblique view")
        panel_letter(axes)
        surface = Patch(
            fc=SURFACE_COLOUR, alpha=SURFACE_OPACITY, ec=INK, lw=0.5, label=f"ELF = {level:.2f}"
        )
        handles = [*element_handles(run), surface]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def scene_meshes(run: RunData, scene: LocalizationScene) -> list[Mesh]:
    """Return balls, sticks, edges of the cell and the surface that is shown first."""
    colours = {name: np.array(to_rgb(c)) for name, c in element_colours(run).items()}
    symbols, atoms = run.crystal.symbols, scene.atoms
    meshes = []
    for position, atom, outside in zip(atoms.positions, atoms.atoms, atoms.outside, strict=True):
        colour = _paled(colours[symbols[atom]], bool(outside))
        radius = ATOM_SIZE * covalent_radius(int(run.crystal.numbers[atom]))
        meshes.append(sphere(position, radius, colour))
    for pair in atoms.bonds:
        for i, j in (pair, pair[::-1]):
            middle = 0.5 * (atoms.positions[i] + atoms.positions[j])
            outside = bool(atoms.outside[pair].any())
            colour = _paled(colours[symbols[atoms.atoms[i]]], outside)
            meshes.append(stick(atoms.positions[i], middle, BOND_RADIUS, colour))
    for start, end in atoms.edges:
        meshes.append(stick(start, end, EDGE_RADIUS, np.array(to_rgb(GREY))))
    colour = np.array(to_rgb(SURFACE_COLOUR))
    parts = [
        Mesh(
            vertices=part.vertices + place, normals=part.normals, triangles=part.triangles,
            colour=colour,
        )
        for part in scene.surfaces[scene.shown].parts
        for place in part.places
    ]  # fmt: skip
    surface = [joined(parts, opacity=SURFACE_OPACITY)] if parts else []
    return [joined(meshes), *surface]


def _paled(colour: Array, outside: bool) -> Array:
    return np.asarray(_OUTSIDE_FADE + (1 - _OUTSIDE_FADE) * colour) if outside else colour


def _draw(ax: Axes, run: RunData, meshes: list[Mesh], basis: Array) -> None:
    points = np.concatenate([mesh.vertices for mesh in meshes if len(mesh.vertices)])
    flat = (points @ basis.T)[:, :2]
    low, high = flat.min(axis=0) - 0.3, flat.max(axis=0) + 0.3
    width, height = high - low
    resolution = _MOST_PIXELS / max(width, height)
    pixels = picture(meshes, basis, low, high, resolution)
    extent = (low[0], high[0], low[1], high[1])
    ax.imshow(pixels, origin="lower", extent=extent, interpolation="antialiased")
    left = low[0] - TRIAD_SHARE / (1 - TRIAD_SHARE) * width
    corner = np.array([left, 0.5 * (low[1] + high[1]) - 0.44 * width])
    draw_triads(ax, run, basis, corner, 0.13 * width)
    ax.set_xlim(left, high[0])
    ax.set_ylim(min(low[1], corner[1]), max(high[1], corner[1] + 0.88 * width))
    ax.set_aspect("equal")
    ax.set_anchor("N")
    ax.set_axis_off()


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return how much of the cell lies inside surfaces of several levels."""
    elf = run.localization_grid().elf
    levels = np.round(np.arange(0.3, 0.96, 0.05), 2)
    share = np.array([(elf > level).mean() for level in levels])
    columns = {
        "level of ELF (1)": levels,
        "share of the cell above it (1)": share,
        "volume above it (Å^3)": share * run.crystal.volume,
    }
    return (DataTable(columns=columns),)


def caption(run: RunData) -> str:
    """Return the caption."""
    _, level = chosen_levels(run)
    elf = run.localization_grid().elf
    share = 100 * float((elf > level).mean())
    text = (
        f"Surface on which the electron localization function is {level:.2f}, around the atoms of "
        f"one cell; it encloses {share:.1f} % of the volume. "
    )
    if run.lone_pairs:
        element = " and ".join(dict.fromkeys(pair.symbol for pair in run.lone_pairs))
        weakest = min(pair.elf_maximum for pair in run.lone_pairs)
        text += f"Lone pairs were found at {element}, with values of {weakest:.2f} or more. "
    return (
        f"{text}Atoms are coloured by element; pale atoms belong to neighbouring cells. Coloured "
        "arrows: crystal axes; grey: Cartesian axes."
    )


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    _, level = chosen_levels(run)
    return (
        f"Two views of the unit cell of {run.formula}: atoms, bonds, and the surface of the "
        f"electron localization function at {level:.2f}."
    )


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    return "" if run.has_localization else "the run has no electron localization function"


SPEC = FigureSpec(
    name="elf-isosurface",
    title="Isosurface of the electron localization function",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_electrons,
)

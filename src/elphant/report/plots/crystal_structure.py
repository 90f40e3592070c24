"""The crystal with its a, b, c and x, y, z axes: along the shortest axis, and in oblique view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon
from numpy.typing import NDArray

from elphant.crystal import AXES, CARTESIAN_AXES
from elphant.report.plots.appearance import (
    AXIS_COLOURS,
    GREY,
    INK,
    element_colours,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.covalent_radii import covalent_radius
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.plots.structure_scene import Scene, build_scene
from elphant.report.run_data import RunData

Array = NDArray[np.float64]

ATOM_SIZE = 0.42  # drawn radius over covalent radius
BOND_WIDTH = 0.26  # Å
PANEL_RATIO = 1.22  # width over height of a panel
TRIAD_SHARE = 0.24  # of the panel's width, for the axes beside the crystal
#: Images beyond this many atoms are drawn without the second cell: the picture would be black.
MOST_ATOMS = 400


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw two orthographic views of the crystal; nothing is rotated but the camera."""
    depth_axis = int(np.argmin(run.crystal.lengths))
    front = front_basis(run, depth_axis)
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 3.4))
        _draw(axes[0], run, front, build_scene(run.crystal, depth_axis=depth_axis))
        axes[0].set_title(f"view along {AXES[depth_axis]}")
        repeats = _repeats(run, depth_axis)
        _draw(axes[1], run, tilted(front), build_scene(run.crystal, repeats).without_outside())
        cells = " × ".join(str(n) for n in repeats)
        axes[1].set_title("oblique view" + ("" if max(repeats) == 1 else f", {cells} cells"))
        panel_letter(axes)
        handles = element_handles(run)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def front_basis(run: RunData, depth_axis: int) -> Array:
    """Return rows right, up, toward the viewer, with the depth axis along the line of sight."""
    # Cyclic order: for a right-handed cell the depth axis then points at the viewer.
    directions = run.frame.axis_directions
    toward = directions[depth_axis]
    right = directions[(depth_axis + 1) % 3]
    right = right - (right @ toward) * toward
    right /= np.linalg.norm(right)
    up = np.cross(toward, right)
    if up @ directions[(depth_axis + 2) % 3] < 0:  # left-handed cell: look from the other side
        toward, up = -toward, -up
    return np.array([right, up, toward])


def tilted(basis: Array, *, turn: float = -58.0, raise_: float = 15.0) -> Array:
    """Turn the camera about the vertical, then raise it; angles in degrees."""
    cos_t, sin_t = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    cos_r, sin_r = np.cos(np.radians(raise_)), np.sin(np.radians(raise_))
    about_up = np.array([[cos_t, 0, -sin_t], [0, 1, 0], [sin_t, 0, cos_t]])
    about_right = np.array([[1, 0, 0], [0, cos_r, -sin_r], [0, sin_r, cos_r]])
    return np.asarray(about_right @ about_up @ basis)


def _repeats(run: RunData, depth_axis: int) -> tuple[int, ...]:
    lengths = run.crystal.lengths
    count = int(np.clip(round(lengths.max() / lengths[depth_axis]), 1, 3))
    if run.crystal.n_atoms * count > MOST_ATOMS:
        count = 1
    return tuple(count if i == depth_axis else 1 for i in range(3))


def _draw(ax: Axes, run: RunData, basis: Array, scene: Scene) -> None:
    view = scene.positions @ basis.T
    depth = view[:, 2]
    span = max(float(np.ptp(depth)), 1e-6)
    nearness = (depth - depth.min()) / span
    radii = ATOM_SIZE * np.array([covalent_radius(int(z)) for z in run.crystal.numbers])
    colours = element_colours(run)
    symbols = run.crystal.symbols
    _draw_edges(ax, scene, basis)
    for i, j in scene.bonds:
        _draw_bond(ax, view, (i, j), radii[scene.atoms], nearness, scene, symbols, colours)
    for i, atom in enumerate(scene.atoms):
        fade = 0.62 if scene.outside[i] else 0.38 * (1 - nearness[i])
        colour = faded(colours[symbols[atom]], fade)
        _draw_atom(
            ax,
            view[i],
            radii[atom],
            colour,
            fade,
            zorder=_order(nearness[i], bool(scene.outside[i])),
        )
    drawn = np.concatenate([view, (scene.block_edges @ basis.T).reshape(-1, 3)])[:, :2]
    low, high = drawn.min(axis=0) - 1.0, drawn.max(axis=0) + 1.0
    # The scene fills the right of the panel; the triads stand in a column on its left.
    width, height = high - low
    total = max(width / (1 - TRIAD_SHARE), height * PANEL_RATIO)
    right = high[0] + 0.5 * (total * (1 - TRIAD_SHARE) - width)
    middle = 0.5 * (low[1] + high[1])
    corner = np.array([right - total, middle - 0.5 * total / PANEL_RATIO])
    draw_triads(ax, run, basis, corner, 0.115 * total)
    ax.set_xlim(corner[0], right)
    ax.set_ylim(corner[1], corner[1] + total / PANEL_RATIO)
    ax.set_aspect("equal")
    ax.set_anchor("N")
    ax.set_axis_off()


def _xy(point: Array) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _order(nearness: float, outside: bool) -> float:
    """Return the drawing order: near things last, atoms of other cells before all others."""
    return (6.0 if outside else 10.0) + 3.0 * float(nearness)


def _draw_edges(ax: Axes, scene: Scene, basis: Array) -> None:
    for edges, colour, width in ((scene.block_edges, GREY, 0.5), (scene.edges, INK, 0.9)):
        for start, end in edges @ basis.T:
            ax.plot([start[0], end[0]], [start[1], end[1]], color=colour, lw=width, zorder=5)


def _draw_atom(
    ax: Axes, point: Array, radius: float, colour: Array, fade: float, *, zorder: float
) -> None:
    edge = faded(INK, fade)
    ax.add_patch(Circle(_xy(point), radius, fc=colour, ec=edge, lw=0.5, zorder=zorder))
    # A pale spot up left makes the disc read as a ball.
    spot = point[:2] + radius * np.array([-0.32, 0.36])
    ax.add_patch(
        Circle(_xy(spot), 0.26 * radius, fc="white", alpha=0.55, lw=0, zorder=zorder + 1e-4)
    )


def _draw_bond(
    ax: Axes,
    view: Array,
    pair: tuple[int, int],
    radii: Array,
    nearness: Array,
    scene: Scene,
    symbols: tuple[str, ...],
    colours: dict[str, str],
) -> None:
    """Draw a stick in two halves, each in the colour of its atom."""
    for i, j in (pair, pair[::-1]):
        direction = (view[j] - view[i]) / np.linalg.norm(view[j] - view[i])
        start = view[i] + 0.8 * radii[i] * direction
        middle = 0.5 * (view[i] + view[j])
        flat = (middle - start)[:2]
        length = np.linalg.norm(flat)
        if length < 1e-3:  # seen end on
            continue
        side = 0.5 * BOND_WIDTH * np.array([-flat[1], flat[0]]) / length
        corners = [start[:2] - side, start[:2] + side, middle[:2] + side, middle[:2] - side]
        outside = bool(scene.outside[list(pair)].any())
        fade = 0.62 if outside else 0.38 * (1 - nearness[[i, j]].mean())
        colour = faded(colours[symbols[scene.atoms[i]]], fade)
        zorder = _order(0.75 * nearness[i] + 0.25 * nearness[j], outside) - 1e-3
        ax.add_patch(Polygon(corners, fc=colour, ec=faded(INK, fade), lw=0.3, zorder=zorder))


def faded(colour: str, amount: float) -> Array:
    """Mix a colour with white: 0 leaves it, 1 is white."""
    return np.asarray((1 - amount) * np.array(to_rgb(colour)) + amount)


def draw_triads(ax: Axes, run: RunData, basis: Array, low: Array, size: float) -> None:
    """Draw the crystal axes (coloured) and, below them, the Cartesian axes (grey)."""
    crystal = run.frame.axis_directions @ basis.T
    cartesian = np.eye(3) @ basis.T
    left = low[0] + 1.0 * size
    bottom = low[1] + 1.7 * size
    for vectors, names, y, colours in (
        (crystal, AXES, bottom + 3.2 * size, [AXIS_COLOURS[axis] for axis in AXES]),
        (cartesian, CARTESIAN_AXES, bottom, [GREY] * 3),
    ):
        for vector, name, colour in zip(vectors, names, colours, strict=True):
            _draw_arrow(ax, np.array([left, y]), vector, size, name, colour)


def _draw_arrow(
    ax: Axes, origin: Array, vector: Array, size: float, name: str, colour: str
) -> None:
    flat = vector[:2]
    if np.linalg.norm(flat) < 0.15:  # along the line of sight: ⊙ towards us, ⊗ away
        ax.add_patch(Circle(_xy(origin), 0.16 * size, fc="white", ec=colour, lw=1.2, zorder=41))
        if vector[2] > 0:
            ax.add_patch(Circle(_xy(origin), 0.05 * size, fc=colour, ec="none", zorder=42))
        else:
            for sign in (1, -1):
                arm = 0.11 * size * np.array([1, sign])
                ax.plot(*zip(origin - arm, origin + arm, strict=True), color=colour, lw=1.0,
                        zorder=42)  # fmt: skip
        place = origin + size * np.array([-0.36, -0.30])
    else:
        end = origin + size * flat
        arrow = {"arrowstyle": "-|>", "color": colour, "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", _xy(end), _xy(origin), arrowprops=arrow, zorder=40, annotation_clip=False)
        length = np.linalg.norm(flat)
        place = origin + size * flat * (1 + 0.26 / length)
        if length < 0.6:  # a short arrow may lie on a longer one: name it on its right side
            place = origin + size * (flat + 0.26 * np.array([flat[1], -flat[0]]) / length)
    ax.text(*_xy(place), name, color=colour if colour != GREY else INK, ha="center", va="center",
            fontsize=8.5, fontweight="bold" if name in AXES else "normal", zorder=43)  # fmt: skip


def element_handles(run: RunData) -> list[Line2D]:
    """Return legend entries of the elements."""
    return [
        Line2D([], [], ls="none", marker="o", ms=7, mfc=colour, mec=INK, mew=0.5, label=element)
        for element, colour in element_colours(run).items()
    ]


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return the atoms and the lattice."""
    crystal = run.crystal
    columns: dict[str, object] = {"element": list(crystal.symbols)}
    for i, axis in enumerate(AXES):
        columns[f"fraction along {axis} (1)"] = crystal.fractional[:, i]
    for i, axis in enumerate(CARTESIAN_AXES):
        columns[f"{axis} (Å)"] = crystal.positions[:, i]
    lattice: dict[str, object] = {"vector": list(AXES)}
    for i, axis in enumerate(CARTESIAN_AXES):
        lattice[f"{axis} (Å)"] = crystal.lattice[:, i]
    return DataTable(columns=columns), DataTable(columns=lattice, suffix="lattice")  # type: ignore[arg-type]


def caption(run: RunData) -> str:
    """Return the caption."""
    a, b, c = run.crystal.lengths
    return (
        f"Unit cell (a, b, c = {a:.3f}, {b:.3f}, {c:.3f} Å; {run.space_group}, setting "
        f"{run.setting}) with the crystal axes (coloured) and the Cartesian axes of every tensor "
        "(grey). Bonds join atoms closer than 1.2 times the sum of their covalent radii; pale "
        "atoms belong to neighbouring cells."
    )


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    labels = ", ".join(f"{name} along {uvw}" for name, uvw in run.frame.cartesian_labels.items())
    return (
        f"Drawing of the unit cell of {run.formula} with {run.crystal.n_atoms} atoms in two views; "
        f"Cartesian axes: {labels}."
    )


SPEC = FigureSpec(
    name="crystal-structure",
    title="Crystal structure and axes",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
)

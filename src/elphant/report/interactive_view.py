"""The data of the interactive view of the electron localization function, and its legend."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.report.localization_scene import (
    LocalizationScene,
    Surface,
    SurfacePart,
    chosen_levels,
    localization_scene,
)
from elphant.report.model import ViewBlock
from elphant.report.plots.appearance import AXIS_COLOURS, element_colours
from elphant.report.plots.covalent_radii import covalent_radius
from elphant.report.plots.crystal_structure import ATOM_SIZE, front_basis, tilted
from elphant.report.plots.elf_isosurface import BOND_RADIUS, SURFACE_COLOUR, SURFACE_OPACITY
from elphant.report.run_data import RunData

Array = NDArray[np.float64]

#: Of all levels together: about 1 MB of text.
MOST_TRIANGLES = 80_000


def localization_view(run: RunData) -> ViewBlock:
    """Return the interactive view of a run with an electron localization function."""
    levels, shown = chosen_levels(run)
    scene = localization_scene(run, levels, shown, most_triangles=MOST_TRIANGLES)
    elements = tuple(element_colours(run).items())
    return ViewBlock(
        identifier="view-elf",
        title="Electron localization function, interactive",
        caption=(
            "Drag, or use the arrow keys, to turn; + and − or two fingers to zoom, also the wheel "
            "once the view has been clicked; 0 goes back to the start. Pale atoms belong to "
            "neighbouring cells. Everything is inside this page."
        ),
        alt=f"Interactive drawing of {run.formula} with isosurfaces of the electron localization "
        "function; the figure above shows the same without interaction.",
        data=json.dumps(scene_data(run, scene), separators=(",", ":"), sort_keys=True),
        choices=tuple(f"ELF = {level:.2f}" for level in levels),
        chosen=scene.shown,
        legend=(*elements, *AXIS_COLOURS.items(), ("isosurface", SURFACE_COLOUR)),
    )


def scene_data(run: RunData, scene: LocalizationScene) -> dict[str, Any]:
    """Return the scene as plain lists, and the surfaces as packed integers."""
    atoms, crystal = scene.atoms, run.crystal
    colours = {name: to_hex(colour) for name, colour in element_colours(run).items()}
    listed = [
        [
            *_rounded(position),
            round(ATOM_SIZE * covalent_radius(int(crystal.numbers[atom])), 3),
            colours[crystal.symbols[atom]],
            int(outside),
        ]
        for position, atom, outside in zip(atoms.positions, atoms.atoms, atoms.outside, strict=True)
    ]
    centre = 0.5 * crystal.lattice.sum(axis=0)
    drawn = np.concatenate([atoms.positions, atoms.edges.reshape(-1, 3)])
    reach = np.linalg.norm(drawn - centre, axis=1).max()
    front = front_basis(run, int(np.argmin(crystal.lengths)))
    short = 0.3 * float(crystal.lengths.max())
    axes = [
        [_rounded(direction * min(short, length)), to_hex(AXIS_COLOURS[axis])]
        for axis, direction, length in zip(
            AXES, run.frame.axis_directions, crystal.lengths, strict=True
        )
    ]
    return {
        "atoms": listed,
        "bonds": atoms.bonds.tolist(),
        "edges": [[_rounded(start), _rounded(end)] for start, end in atoms.edges],
        "axes": axes,
        "centre": _rounded(centre),
        "radius": round(float(reach) + 0.5, 3),
        "bondRadius": BOND_RADIUS,
        "surfaceColour": to_hex(SURFACE_COLOUR),
        "opacity": SURFACE_OPACITY,
        "view": [_rounded(row) for row in tilted(front, turn=-25.0, raise_=14.0)],
        "surfaces": [packed_surface(surface) for surface in scene.surfaces],
        "shown": scene.shown,
    }


def packed_surface(surface: Surface) -> dict[str, Any]:
    """Return a surface as text.

    Vertices are in steps of 1/32767 of the largest extent of a part, normals of 1/127, triangles
    count the vertices of their part; all little-endian, as on every machine that runs a browser,
    in base 64. Each part is stored once, with the places of its images.
    """
    parts = [piece for part in surface.parts for piece in _small(part)]
    if not parts:
        return {"level": surface.level, "step": 1.0, "parts": [], "vertices": "", "normals": "",
                "triangles": ""}  # fmt: skip
    vertices = np.concatenate([part.vertices for part in parts])
    step = float(np.abs(vertices).max()) / 32767
    return {
        "level": surface.level,
        "step": step,
        "parts": [
            [len(part.vertices), len(part.triangles), [_rounded(place) for place in part.places]]
            for part in parts
        ],
        "vertices": _packed(np.round(vertices / step), "<i2"),
        "normals": _packed(np.round(127 * np.concatenate([part.normals for part in parts])), "i1"),
        "triangles": _packed(np.concatenate([part.triangles for part in parts]), "<u2"),
    }


def _small(part: SurfacePart) -> list[SurfacePart]:
    """Return a part cut into pieces whose vertices can be counted with 16 bits."""
    if len(part.vertices) <= 65536:
        return [part]
    half = len(part.triangles) // 2
    cut = []
    for triangles in (part.triangles[:half], part.triangles[half:]):
        used, index = np.unique(triangles, return_inverse=True)
        piece = SurfacePart(
            vertices=part.vertices[used], normals=part.normals[used],
            triangles=index.reshape(-1, 3), places=part.places,
        )  # fmt: skip
        cut += _small(piece)
    return cut


def _packed(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode("ascii")


def _rounded(values: Array, decimals: int = 4) -> list[float]:
    return [float(x) for x in np.round(values, decimals)]

"""The isosurfaces of the electron localization function with the atoms they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from elphant.report.isosurface import isosurface
from elphant.report.periodic_grid import gradient, resampled, sampled
from elphant.report.plots.structure_scene import Scene, build_scene
from elphant.report.run_data import RunData
from elphant.report.surface_mesh import Piece, pieces

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Levels that are offered, as far as the function reaches them.
LEVELS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
#: The level that is shown first lies at least this much below the weakest lone pair …
_BELOW_LONE_PAIR = 0.03
#: … and its surface encloses at least this share of the cell.
_SMALLEST_SHARE = 0.01
#: Surfaces around more than this share of the cell hide the atoms.
_LARGEST_SHARE = 0.3
#: Cells are continued along an axis that is shorter than this times the next one.
_THIN = 0.6
#: Atoms within this times the distance of the nearest one share a surface: the two of a bond.
_SHARED = 1.1
_FINEST = 0.13  # Å, grid of a drawing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfacePart:
    """A connected part of an isosurface, and where it is drawn.

    Attributes
    ----------
    vertices : ndarray, (n, 3) Å
        Cartesian, relative to each of ``places``.
    normals : ndarray, (n, 3)
        Unit vectors towards smaller values.
    triangles : ndarray of int, (m, 3)
    places : ndarray, (k, 3) Å
        One for each drawn image.
    """

    vertices: Array
    normals: Array
    triangles: Integers
    places: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """One isosurface as it is drawn."""

    level: float
    parts: tuple[SurfacePart, ...]

    @property
    def n_triangles(self) -> int:
        """Number of triangles, images not counted."""
        return sum(len(part.triangles) for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalizationScene:
    """Atoms, bonds, cell and isosurfaces.

    Attributes
    ----------
    atoms : Scene
    surfaces : tuple of Surface
        By level, ascending.
    shown : int
        Index of the surface that is shown first.
    """

    atoms: Scene
    surfaces: tuple[Surface, ...]
    shown: int


def chosen_levels(run: RunData) -> tuple[tuple[float, ...], float]:
    """Return up to three levels to offer, ascending, and the one to show first.

    The latter is the highest one below all lone pairs (below the largest value, where there are
    none) whose surface is large enough to be seen. The others are its neighbours in ``LEVELS``.
    """
    elf = run.localization_grid().elf
    share = {level: float((elf > level).mean()) for level in LEVELS}
    usable = [level for level in LEVELS if 0 < share[level] < _LARGEST_SHARE]
    if not usable:
        usable = [float(np.quantile(elf, 0.95))]
    highest = min((pair.elf_maximum for pair in run.lone_pairs), default=float(elf.max()))
    first = 0
    for i, level in enumerate(usable):
        if level <= highest - _BELOW_LONE_PAIR and share.get(level, 1.0) >= _SMALLEST_SHARE:
            first = i
    low = max(0, min(first - 1, len(usable) - 3))
    return tuple(usable[low : low + 3]), usable[first]


def localization_scene(
    run: RunData, levels: tuple[float, ...], shown: float, *, most_triangles: int
) -> LocalizationScene:
    """Return the scene of one cell.

    Parameters
    ----------
    run : RunData
    levels : tuple of float
    shown : float
        One of ``levels``.
    most_triangles : int
        Of all surfaces together, images not counted; the grid is made coarser until they are as
        few.
    """
    atoms = build_scene(run.crystal, depth_axis=_thin_axis(run))
    spacing = _FINEST
    while True:
        surfaces = _surfaces(run, levels, spacing, atoms)
        count = sum(surface.n_triangles for surface in surfaces)
        if count <= most_triangles:
            break
        # The number of triangles of a surface grows with the inverse square of the spacing.
        spacing *= max(1.03, (count / most_triangles) ** 0.5)
    return LocalizationScene(atoms=atoms, surfaces=surfaces, shown=levels.index(shown))


def _thin_axis(run: RunData) -> int | None:
    """Return the shortest axis if the cell is thin along it: a slab with cut bonds says little."""
    lengths = np.sort(run.crystal.lengths)
    thin = lengths[0] < _THIN * lengths[1]
    return int(run.crystal.lengths.argmin()) if thin else None


def _surfaces(
    run: RunData, levels: tuple[float, ...], spacing: float, atoms: Scene
) -> tuple[Surface, ...]:
    crystal = run.crystal
    shape = np.maximum(np.round(crystal.lengths / spacing), 6).astype(int)
    values = resampled(run.localization_grid().elf, (shape[0], shape[1], shape[2]))
    slope = gradient(values, crystal.lattice)
    return tuple(
        Surface(
            level=level,
            parts=tuple(
                _part(piece, run, atoms, slope) for piece in pieces(isosurface(values, level))
            ),
        )
        for level in levels
    )


def _part(piece: Piece, run: RunData, atoms: Scene, slope: Array) -> SurfacePart:
    """Return a piece with its places; one that goes through the whole crystal stays in the cell."""
    crystal = run.crystal
    components = [sampled(slope[..., i], piece.vertices, order=1) for i in range(3)]
    normals = -np.stack(components, axis=-1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    right_handed = np.linalg.det(crystal.lattice) > 0
    origin, places = np.zeros(3), np.zeros((1, 3))
    if piece.is_closed:
        origin = piece.vertices.mean(axis=0)
        places = _places(origin, run, atoms)
    return SurfacePart(
        vertices=(piece.vertices - origin) @ crystal.lattice,
        normals=normals,
        triangles=piece.triangles if right_handed else piece.triangles[:, ::-1],
        places=places,
    )


def _places(centre: Array, run: RunData, atoms: Scene) -> Array:
    """Return where a piece is drawn, (k, 3) Å: at every drawn image of the atom it belongs to.

    The atom is the one nearest to the piece's centre (3,), fractional; a bond belongs to both of
    its atoms.
    """
    crystal = run.crystal
    shifts = np.array(list(product((-1, 0, 1), repeat=3)))
    delta = centre - crystal.fractional
    delta = (delta - np.round(delta))[None] + shifts[:, None]
    vectors = (delta @ crystal.lattice).reshape(-1, 3)
    owners = np.tile(np.arange(crystal.n_atoms), len(shifts))
    distance = np.linalg.norm(vectors, axis=1)
    near = distance < _SHARED * distance.min() + 1e-3
    chosen = np.flatnonzero(near)
    drawn = [np.flatnonzero(atoms.atoms == owners[i]) for i in chosen]
    found = np.concatenate(
        [atoms.positions[index] + vectors[i] for i, index in zip(chosen, drawn, strict=True)]
    )
    inside = ~atoms.outside[np.concatenate(drawn)]
    _, first, place, count = np.unique(
        np.round(found, 2), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    # All atoms that share the piece must be drawn, one of them inside.
    complete = (count == len(chosen)) & (np.bincount(place.ravel(), weights=inside) > 0)
    return np.asarray(found[np.sort(first[complete])])

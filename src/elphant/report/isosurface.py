"""Isosurfaces of periodic functions by marching tetrahedra.

Every cell of the grid is cut into six tetrahedra around its main diagonal (the triangulation of
H. Freudenthal, Ann. Math. 43, 580 (1942)). All cells are cut alike, so that neighbouring cells
agree on their common faces and the surface is closed: on the torus every edge belongs to two
triangles.
Each corner of a triangle lies on one edge of a tetrahedron, and these edges point along seven
vectors only: a corner is known by its grid point and vector, and is stored once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Vectors of the edges of the tetrahedra, in units of the grid.
_EDGES = np.array([v for v in product((0, 1), repeat=3) if any(v)])
_EDGE_INDEX = {tuple(v.tolist()): i for i, v in enumerate(_EDGES)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PeriodicSurface:
    """A triangulated surface in a periodic cell.

    Attributes
    ----------
    vertices : ndarray, (n_vertices, 3)
        Fractional coordinates, one image of each vertex.
    triangles : ndarray of int, (n_triangles, 3)
        Vertices of each triangle; seen from the side of smaller values they run anticlockwise (in
        a right-handed cell).
    shifts : ndarray of int, (n_triangles, 3, 3)
        Lattice vectors to add to each corner, so that the triangle is in one piece.
    """

    vertices: Array
    triangles: Integers
    shifts: Integers

    def corners(self, lattice: Array) -> Array:
        """Return the Cartesian corners, (n_triangles, 3, 3) Å."""
        return np.asarray((self.vertices[self.triangles] + self.shifts) @ lattice)

    def area(self, lattice: Array) -> float:
        """Return the area, Å²."""
        a, b, c = np.moveaxis(self.corners(lattice), 1, 0)
        return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())


def isosurface(values: Array, level: float) -> PeriodicSurface:
    """Return the surface on which a periodic function takes a value.

    Parameters
    ----------
    values : ndarray, (n1, n2, n3)
        At the fractional coordinates i/n; at least three points along every axis.
    level : float

    Returns
    -------
    PeriodicSurface
        Without triangles where the level is not reached.
    """
    shape = np.array(values.shape)
    if values.ndim != 3 or shape.min() < 3:
        raise ValueError(f"a periodic grid needs three points along every axis, not {values.shape}")
    above = values > level
    vertices, number = _vertices(values, above, level)
    triangles, shifts = [], []
    for tetrahedron in _tetrahedra():
        code = np.zeros(values.shape, dtype=np.int8)
        for bit, corner in enumerate(tetrahedron):
            code |= _moved(above, corner).astype(np.int8) << bit
        for case, faces in _cases(tetrahedron).items():
            cells = np.argwhere(code == case)
            if not len(cells):
                continue
            for face in faces:
                found = [_lookup(number, cells, tetrahedron[i], tetrahedron[j]) for i, j in face]
                triangles.append(np.stack([item[0] for item in found], axis=1))
                shifts.append(np.stack([item[1] for item in found], axis=1))
    if not triangles:
        empty = np.zeros((0, 3), dtype=np.int64)
        return PeriodicSurface(
            vertices=np.zeros((0, 3)), triangles=empty, shifts=empty.reshape(0, 3, 3)
        )
    return PeriodicSurface(
        vertices=vertices, triangles=np.concatenate(triangles), shifts=np.concatenate(shifts)
    )


def _moved(values: NDArray[np.bool_], offset: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the values at each grid point plus ``offset``."""
    return np.roll(values, [-step for step in offset], axis=(0, 1, 2))


def _vertices(values: Array, above: NDArray[np.bool_], level: float) -> tuple[Array, Integers]:
    """Return the crossings, and the number of each by grid point and edge (-1: none)."""
    shape = np.array(values.shape)
    number = np.full((*values.shape, len(_EDGES)), -1, dtype=np.int64)
    places = []
    count = 0
    for e, edge in enumerate(_EDGES):
        step = tuple(edge.tolist())
        start = np.argwhere(above != _moved(above, step))
        end = (start + edge) % shape
        low, high = values[tuple(start.T)], values[tuple(end.T)]
        share = (level - low) / (high - low)
        places.append((start + share[:, None] * edge) / shape)
        number[(*start.T, e)] = count + np.arange(len(start))
        count += len(start)
    return np.concatenate(places), number


def _lookup(
    number: Integers, cells: Integers, first: tuple[int, ...], second: tuple[int, ...]
) -> tuple[Integers, Integers]:
    """Return the vertices on the edge between two corners of the cells, and their shifts."""
    start, end = min(first, second), max(first, second)  # corners of a chain are ordered
    edge = _EDGE_INDEX[tuple(j - i for i, j in zip(start, end, strict=True))]
    place = cells + np.array(start)
    shape = np.array(number.shape[:3])
    shift = place // shape
    place = place - shift * shape
    return number[(*place.T, edge)], shift


@cache
def _tetrahedra() -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Corners of the six tetrahedra: each goes from (0,0,0) to (1,1,1) one axis at a time."""
    chains = []
    for order in permutations(range(3)):
        corners = np.zeros((4, 3), dtype=int)
        for step, axis in enumerate(order):
            corners[step + 1 :, axis] = 1
        chains.append(tuple(tuple(corner) for corner in corners.tolist()))
    return tuple(chains)


@cache
def _cases(
    tetrahedron: tuple[tuple[int, ...], ...],
) -> dict[int, tuple[tuple[tuple[int, int], ...], ...]]:
    """Return the triangles for each pattern of corners above the level, as triples of edges."""
    corners = np.array(tetrahedron, dtype=float)
    table = {}
    for case in range(1, 15):
        inside = [i for i in range(4) if case >> i & 1]
        outside = [i for i in range(4) if i not in inside]
        if len(inside) == 2:
            (a, b), (c, d) = inside, outside
            polygon = [(a, c), (a, d), (b, d), (b, c)]
            faces = [polygon[:3], [polygon[0], *polygon[2:]]]
        else:
            faces = [[(i, j) for i in inside for j in outside]]
        outward = corners[outside].mean(axis=0) - corners[inside].mean(axis=0)
        oriented = []
        for face in faces:
            x, y, z = (0.5 * (corners[i] + corners[j]) for i, j in face)
            turned = np.cross(y - x, z - x) @ outward < 0
            oriented.append(tuple(face[::-1] if turned else face))
        table[case] = tuple(oriented)
    return table

"""Pieces of a periodic isosurface, each in one place, as they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.report.isosurface import PeriodicSurface

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """A connected part of a surface.

    Attributes
    ----------
    vertices : ndarray, (n, 3)
        Fractional coordinates, not wrapped.
    triangles : ndarray of int, (m, 3)
    is_closed : bool
        False where the part goes through the whole crystal: it is cut at the faces of the cell.
    """

    vertices: Array
    triangles: Integers
    is_closed: bool

    def volume(self, lattice: Array) -> float:
        """Return the enclosed volume (Å³) by the divergence theorem; for closed pieces only."""
        a, b, c = np.moveaxis((self.vertices @ lattice)[self.triangles], 1, 0)
        signed = float(np.einsum("ti,ti->", a, np.cross(b, c))) / 6
        return signed * float(np.sign(np.linalg.det(lattice)))


def pieces(surface: PeriodicSurface) -> tuple[Piece, ...]:
    """Return the connected parts of a surface, each unfolded into one piece."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(surface.vertices)
    if not n:
        return ()
    start, end, step = _edges(surface)
    graph = coo_matrix((np.ones(len(start)), (start, end)), shape=(n, n)).tocsr()
    n_parts, part = connected_components(graph, directed=False)
    shift = _unfolding(start, end, step, part, n_parts)
    torn = (shift[end] - shift[start] != step).any(axis=1)
    is_open = np.zeros(n_parts, dtype=bool)
    is_open[part[start[torn]]] = True
    of_triangle = part[surface.triangles[:, 0]]
    order = np.argsort(of_triangle, kind="stable")
    bounds = np.searchsorted(of_triangle[order], np.arange(n_parts + 1))
    found = []
    for k in range(n_parts):
        chosen = order[bounds[k] : bounds[k + 1]]
        corners = surface.triangles[chosen]
        moves = surface.shifts[chosen] if is_open[k] else shift[corners]
        vertices, triangles = _welded(surface.vertices, corners, moves)
        found.append(Piece(vertices=vertices, triangles=triangles, is_closed=not bool(is_open[k])))
    return tuple(found)


def _edges(surface: PeriodicSurface) -> tuple[Integers, Integers, Integers]:
    """Return all directed edges and the lattice vector crossed along each."""
    starts, ends, steps = [], [], []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        step = surface.shifts[:, j] - surface.shifts[:, i]
        starts += [surface.triangles[:, i], surface.triangles[:, j]]
        ends += [surface.triangles[:, j], surface.triangles[:, i]]
        steps += [step, -step]
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(steps)


def _unfolding(
    start: Integers, end: Integers, step: Integers, part: NDArray[np.int32], n_parts: int
) -> Integers:
    """Return the lattice vector of every vertex that joins each part along a spanning tree."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order

    n = len(part)
    _, roots = np.unique(part, return_index=True)
    # One more vertex that is joined to one root of every part makes one tree of all.
    rows, columns = np.append(start, np.full(n_parts, n)), np.append(end, roots)
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n + 1, n + 1)).tocsr()
    _, parent = breadth_first_order(graph, n, directed=False, return_predecessors=True)
    parent = parent.astype(np.int64)
    parent[n] = n
    key = start * (n + 1) + end
    order = np.argsort(key)
    shift = np.zeros((n + 1, 3), dtype=np.int64)
    child = np.flatnonzero(parent[:n] < n)
    place = np.searchsorted(key[order], parent[child] * (n + 1) + child)
    shift[child] = step[order[place]]
    # Each round doubles the length of the way to the root that is summed up.
    while not (parent == n).all():
        shift += shift[parent]
        parent = parent[parent]
    return shift[:n]


def _welded(vertices: Array, corners: Integers, moves: Integers) -> tuple[Array, Integers]:
    """Return one vertex for every pair of vertex and lattice vector, and the triangles."""
    keys = np.concatenate([corners.reshape(-1, 1), moves.reshape(-1, 3)], axis=1)
    unique, index = np.unique(keys, axis=0, return_inverse=True)
    return vertices[unique[:, 0]] + unique[:, 1:], index.reshape(-1, 3)

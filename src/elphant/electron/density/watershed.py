r"""Basins of attraction of a scalar field on a periodic grid.

Every point of space belongs to the maximum at which the steepest ascent from it ends. On the grid
the integral of a density over basins follows the weight method (M. Yu and D. R. Trinkle, J. Chem.
Phys. 134, 064111 (2011)): what a point holds moves to its higher neighbours in proportion to the
facet of the Voronoi cell it shares with them times the slope, :math:`a_{ij} (f_j - f_i) / d_{ij}`,
until all of it has arrived at maxima. Points at a boundary are shared by basins, so there is no
bias of the grid directions, and nothing is lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import ConvexHull, Voronoi

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: All 26 neighbours of a grid point.
NEIGHBOURS: Integers = np.array([s for s in product((-1, 0, 1), repeat=3) if any(s)])

#: Facets smaller than this share of the largest are touching edges, not facets.
SMALLEST_FACET = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ascent:
    """Where the points of a grid go when they follow the field upwards.

    Attributes
    ----------
    field : ndarray, (n1, n2, n3)
    maxima : ndarray of int, (n_maxima,)
        Flat indices of the grid points that are higher than their 26 neighbours, highest first.
    labels : ndarray of int, (n1, n2, n3)
        Index into ``maxima`` of the one at which steepest ascent along grid directions ends.
    flow : csr_matrix, (n_points, n_points)
        ``flow[j, i]`` is the share of point i that moves to point j.
    """

    field: Array
    maxima: Integers
    labels: Integers
    flow: csr_matrix

    def collect(self, amounts: ArrayLike) -> Array:
        """Return the amounts (n_quantities, n1, n2, n3) that arrive at maxima, (n_quantities, n).

        The sum over maxima equals the sum over the grid.
        """
        moving = np.asarray(amounts, dtype=float)
        moving = np.array(moving.reshape(len(moving), -1).T)
        arrived = np.zeros((moving.shape[1], len(self.maxima)))
        while moving.any():
            arrived += moving[self.maxima].T
            moving[self.maxima] = 0.0
            moving = np.asarray(self.flow @ moving)
        return arrived

    def saddles(self) -> dict[tuple[int, int], float]:
        """Return the highest pass between each pair of touching basins (a < b)."""
        values: dict[tuple[int, int], float] = {}
        n = len(self.maxima)
        for step in NEIGHBOURS[: len(NEIGHBOURS) // 2]:
            other = np.roll(self.labels, -step, axis=(0, 1, 2))
            border = np.flatnonzero((other != self.labels).ravel())
            if not len(border):
                continue
            a, b = self.labels.ravel()[border], other.ravel()[border]
            height = np.minimum(self.field, np.roll(self.field, -step, axis=(0, 1, 2)))
            keys = np.minimum(a, b) * n + np.maximum(a, b)
            order = np.lexsort((height.ravel()[border], keys))
            keys = keys[order]
            last = np.flatnonzero(np.append(np.diff(keys) != 0, True))
            tops = height.ravel()[border][order][last]
            for key, top in zip(keys[last].tolist(), tops.tolist(), strict=True):
                pair = (key // n, key % n)
                values[pair] = max(values.get(pair, -np.inf), top)
        return values


def ascent(field: ArrayLike, lattice: ArrayLike) -> Ascent:
    """Return maxima, basins and flow of ``field`` (n1, n2, n3) in the cell ``lattice`` (rows, Å).

    Equal neighbours are ordered by their index, so that a plateau drains to one of its points.
    """
    field = np.asarray(field, dtype=float)
    step_vectors = np.asarray(lattice, dtype=float) / np.array(field.shape)[:, None]
    flat_rank = np.empty(field.size, dtype=np.int64)
    flat_rank[np.argsort(field.ravel(), kind="stable")] = np.arange(field.size)
    rank = flat_rank.reshape(field.shape)
    target = _steepest(field, rank, step_vectors)
    points = np.arange(field.size)
    maxima = np.flatnonzero(target == points)
    maxima = maxima[np.argsort(-flat_rank[maxima])]
    ends = target.copy()
    while not np.array_equal(ends[ends], ends):
        ends = ends[ends]
    position = np.empty(field.size, dtype=np.int64)
    position[maxima] = np.arange(len(maxima))
    return Ascent(
        field=field,
        maxima=maxima,
        labels=position[ends].reshape(field.shape),
        flow=_flow(field, target, step_vectors),
    )


def _steepest(field: Array, rank: Integers, step_vectors: Array) -> Integers:
    """Return the flat index of the steepest higher neighbour of each point, or its own."""
    points = np.arange(field.size).reshape(field.shape)
    best = np.full(field.shape, -np.inf)
    target = points.copy()
    for step in NEIGHBOURS:
        shift = tuple(-step)
        slope = (np.roll(field, shift, axis=(0, 1, 2)) - field) / np.linalg.norm(
            step @ step_vectors
        )
        better = (np.roll(rank, shift, axis=(0, 1, 2)) > rank) & (slope > best)
        np.copyto(best, slope, where=better)
        np.copyto(target, np.roll(points, shift, axis=(0, 1, 2)), where=better)
    return target.ravel()


def _flow(field: Array, target: Integers, step_vectors: Array) -> csr_matrix:
    steps, facets = voronoi_facets(step_vectors)
    everything = np.arange(field.size)
    rows, columns, shares = _shares(field, steps, facets, everything)
    # On a ridge that bends away from the facets every neighbour across them can be lower: such a
    # point gives to its higher ones among all 26, and on a plateau to the one it drains to.
    moved = np.zeros(field.size, dtype=bool)
    moved[columns] = True
    stuck = np.flatnonzero(~moved & (target != everything))
    distance = np.linalg.norm(NEIGHBOURS @ step_vectors, axis=1)
    more = _shares(field, NEIGHBOURS, 1.0 / distance, stuck)
    moved[more[1]] = True
    flat = np.flatnonzero(~moved & (target != everything))
    return csr_matrix(
        (
            np.concatenate([shares, more[2], np.ones(len(flat))]),
            (
                np.concatenate([rows, more[0], target[flat]]),
                np.concatenate([columns, more[1], flat]),
            ),
        ),
        shape=(field.size, field.size),
    )


def _shares(
    field: Array, steps: Integers, weights: Array, points: Integers
) -> tuple[Integers, Integers, Array]:
    """Return neighbours, points and shares of what ``points`` give to their higher neighbours."""
    values = field.ravel()
    addresses = np.stack(np.unravel_index(points, field.shape))
    neighbours = np.empty((len(steps), len(points)), dtype=np.int64)
    rises = np.empty(neighbours.shape)
    for row, (step, weight) in enumerate(zip(steps, weights, strict=True)):
        moved = (addresses + step[:, None]) % np.array(field.shape)[:, None]
        neighbours[row] = np.ravel_multi_index(tuple(moved), field.shape)
        rises[row] = weight * np.maximum(values[neighbours[row]] - values[points], 0.0)
    total = rises.sum(axis=0)
    shares = np.divide(rises, total, out=np.zeros_like(rises), where=total > 0.0)
    where, source = np.nonzero(shares)
    return neighbours[where, source], points[source], shares[where, source]


def voronoi_facets(step_vectors: ArrayLike) -> tuple[Integers, Array]:
    """Return the neighbours across facets of the Voronoi cell of a lattice, and area / distance.

    Parameters
    ----------
    step_vectors : array_like, (3, 3) Å
        Lattice vectors of the grid, rows.

    Returns
    -------
    steps : ndarray of int, (n_facets, 3)
    facets : ndarray, (n_facets,) Å
    """
    step_vectors = np.asarray(step_vectors, dtype=float)
    reach = _reach(step_vectors)
    cells = np.array(list(product(*(range(-r, r + 1) for r in reach))))
    centre = int(np.flatnonzero((cells == 0).all(axis=1))[0])
    lattice_points = cells @ step_vectors
    diagram = Voronoi(lattice_points)
    steps, facets = [], []
    for (a, b), ridge in zip(diagram.ridge_points, diagram.ridge_vertices, strict=True):
        if centre not in (a, b):
            continue
        other = b if a == centre else a
        distance = float(np.linalg.norm(lattice_points[other]))
        area = _area(diagram.vertices[ridge], lattice_points[other] / distance)
        steps.append(cells[other])
        facets.append(area / distance)
    found = np.array(facets)
    kept = found > SMALLEST_FACET * found.max()
    return np.array(steps)[kept], found[kept]


def _reach(step_vectors: Array) -> list[int]:
    """Return how many steps along each axis can be neighbours across a facet, at least 2."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(step_vectors), axis=0)
    longest = np.linalg.norm(step_vectors, axis=1).max()
    return [max(2, int(np.ceil(1.5 * longest / height))) for height in heights]


def _area(vertices: Array, normal: Array) -> float:
    """Return the area of a convex polygon in space."""
    if len(vertices) < 3:
        return 0.0
    first = np.linalg.svd(normal[None])[2][1:]
    flat = (vertices - vertices.mean(axis=0)) @ first.T
    if np.linalg.matrix_rank(flat, tol=1e-9 * (1e-300 + np.abs(flat).max())) < 2:
        return 0.0
    return float(ConvexHull(flat, qhull_options="QJ").volume)

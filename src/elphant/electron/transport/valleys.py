"""Valleys: which extremum of the band the states of a window belong to."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.electron.band_edges import BandEdges
from elphant.electron.extremum import star
from elphant.electron.transport.window import WindowStates

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Neighbours of a mesh point: all points a step away along one, two or three axes.
_NEIGHBOURS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Valleys:
    """Images of the extrema of one band edge, and the valley of every point of a window.

    Attributes
    ----------
    k_points : ndarray, (n_valleys, 3)
        All images of all extrema, in the reciprocal lattice of the cell.
    extremum : ndarray of int, (n_valleys,)
        Which of the inequivalent extrema each is an image of; 0 is the band edge itself.
    labels : ndarray of int, (n_points,)
        Index into ``k_points`` for every point of the window.
    """

    k_points: Array
    extremum: Integers
    labels: Integers

    def __post_init__(self) -> None:
        n = len(self.extremum)
        for name, shape, dtype in (
            ("k_points", (n, 3), float),
            ("extremum", (n,), np.int64),
            ("labels", (None,), np.int64),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    @property
    def n_valleys(self) -> int:
        """Number of valleys, equivalent ones counted each."""
        return len(self.extremum)


def find_valleys(window: WindowStates, edges: BandEdges) -> Valleys:
    """Return the valley of every point of a window.

    Each point is followed downhill, always to its lowest neighbour, and the minimum of the mesh
    that it reaches belongs to the nearest image of an extremum. Where two valleys touch, the
    border is therefore the ridge between them, whatever the ratio of their masses. An extremum
    that is not listed in ``edges`` is part of the nearest one that is.

    Parameters
    ----------
    window : WindowStates
    edges : BandEdges
        With valleys up to the width of the window, for scattering between all of them.
    """
    electrons = window.carrier == "electron"
    extrema = edges.conduction_valleys if electrons else edges.valence_valleys
    stars = [star(valley.k_point, window.operations) for valley in extrema]
    images = np.concatenate(stars)
    extremum = np.repeat(np.arange(len(stars)), [len(points) for points in stars])
    bottoms = _downhill(window)
    lowest = np.unique(bottoms)
    offset = window.k_points[lowest][:, None] - images[None]
    offset -= np.rint(offset)
    # The shortest of the nearby images, for cells that are far from rectangular.
    cells = np.array(list(product((-1, 0, 1), repeat=3)))
    reciprocal = np.linalg.inv(window.lattice).T
    distance = np.linalg.norm((offset[:, :, None] + cells) @ reciprocal, axis=3).min(axis=2)
    nearest = distance.argmin(axis=1)
    return Valleys(
        k_points=images,
        extremum=extremum,
        labels=nearest[np.searchsorted(lowest, bottoms)],
    )


def _downhill(window: WindowStates) -> Integers:
    """Return the minimum of the mesh that each point of the window flows to, (n_points,)."""
    electrons = window.carrier == "electron"
    height = window.energies[:, 0] if electrons else -window.energies[:, -1]
    grid = np.full(tuple(window.divisions), -1)
    grid[tuple(window.addresses.T)] = np.arange(window.n_points)
    best, lowest = np.arange(window.n_points), height.copy()
    for step in _NEIGHBOURS:
        there = grid[tuple(((window.addresses + step) % window.divisions).T)]
        neighbour = np.where(there >= 0, height[there], np.inf)
        lower = neighbour < lowest
        best[lower], lowest[lower] = there[lower], neighbour[lower]
    while True:
        further = best[best]
        if np.array_equal(further, best):
            return best
        best = further

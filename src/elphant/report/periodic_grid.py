"""Values on the periodic grid of a cell, at any point and on other grids."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def sampled(values: Array, fractional: ArrayLike, *, order: int = 3) -> Array:
    """Return the spline through a periodic grid at points.

    Parameters
    ----------
    values : ndarray, (n1, n2, n3)
        At the fractional coordinates i/n.
    fractional : array_like, (..., 3)
        Any cell; wrapped.
    order : int, optional
        3 for the cubic spline, 1 for linear interpolation.

    Returns
    -------
    ndarray, (...)
    """
    from scipy.ndimage import map_coordinates

    points = np.asarray(fractional, dtype=float)
    coordinates = np.moveaxis(points * np.array(values.shape), -1, 0)
    return np.asarray(map_coordinates(values, coordinates, order=order, mode="grid-wrap"))


def resampled(values: Array, shape: tuple[int, int, int]) -> Array:
    """Return the same periodic function on another grid, through the cubic spline."""
    if shape == values.shape:
        return values
    axes = [np.arange(n) / n for n in shape]
    return sampled(values, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))


def gradient(values: Array, lattice: Array) -> Array:
    """Return the Cartesian gradient by central differences, (n1, n2, n3, 3) per Å."""
    slopes = [
        0.5 * n * (np.roll(values, -1, axis) - np.roll(values, 1, axis))
        for axis, n in enumerate(values.shape)
    ]
    return np.asarray(np.stack(slopes, axis=-1) @ np.linalg.inv(lattice).T)

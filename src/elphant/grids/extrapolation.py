r"""Limit of sums over ever finer meshes.

.. math:: y(N) = y_\infty + \frac{s}{N^2}

N being the geometric mean of the divisions: what a sum of smooth functions of energy with Gaussians
or tetrahedra that shrink with the mesh obeys to leading order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def extrapolated(
    meshes: Sequence[Sequence[int]], values: Sequence[ArrayLike]
) -> tuple[Array, Array]:
    r"""Return values for an infinitely fine mesh and their error estimates.

    A straight line in :math:`1/N^2`, N the geometric mean of the divisions, through the two finest
    meshes; the error is what a third mesh deviates from it, or half the step if that is larger, and
    the whole step without a third. A single mesh is its own limit, with an error of NaN.

    Parameters
    ----------
    meshes : sequence of (3,)
        Divisions, coarse to fine, each mesh with more points than the one before.
    values : sequence of array_like
        Of any one shape.

    Raises
    ------
    ValueError
        If there is no mesh, or another number of values, or the order is another one.
    """
    if not len(meshes) or len(meshes) != len(values):
        raise ValueError(f"{len(meshes)} meshes and {len(values)} values")
    points = [int(np.prod(mesh)) for mesh in meshes]
    if any(later <= earlier for earlier, later in pairwise(points)):
        raise ValueError(f"meshes of {points} points are not in order, coarse to fine")
    x = np.array([float(n) ** (-2.0 / 3.0) for n in points])
    y = np.array(values, dtype=float)
    if len(y) == 1:
        return y[0], np.full_like(y[0], np.nan)
    slope = (y[-2] - y[-1]) / (x[-2] - x[-1])
    limit = y[-1] - slope * x[-1]
    error = np.abs(limit - y[-1])
    if len(y) > 2:
        other = (y[-3] - y[-1]) / (x[-3] - x[-1])
        error = np.maximum(np.abs(other - slope) * x[-1], 0.5 * error)
    return np.asarray(limit), np.asarray(error)

"""Phonons at the irreducible points of a mesh and the symmetry that relates the points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeshPhonons:
    """Phonons at the irreducible points of a mesh, in the working frame.

    Attributes
    ----------
    grid_points : ndarray of int, (n_q,)
        phono3py's indices of the points; the units of sharding.
    q_points : ndarray, (n_q, 3)
        Fractional coordinates in the reciprocal lattice of the primitive cell.
    weights : ndarray of int, (n_q,)
        Number of mesh points in the star of each point.
    raw_frequencies, frequencies : ndarray, (n_q, n_modes) THz
        Before and after the imaginary-mode policy; imaginary ones are negative.
    group_velocities : ndarray, (n_q, n_modes, 3) Å THz
    velocity_products : ndarray, (n_q, n_modes, 3, 3) Å² THz²
        ``v (x) v`` summed over the star of the point.
    spread_products : ndarray, (n_q, n_modes, 3, 3) Å² THz², or None
        The part of ``velocity_products`` beyond the mean velocity of each degenerate set; only
        with degenerate averaging.
    degenerate_ids : ndarray of int, (n_q, n_modes)
        First mode of the degenerate set that each mode belongs to.
    operations : ndarray, (n_operations, 3, 3)
        Cartesian operations (time reversal included) that generate the stars of the points.
    projections : ndarray, (n_q, 3, 3)
        Mean of the operations that keep each point: projects a vector on its invariant part.
    volume : float
        Volume of the primitive cell, Å³.
    conversion : float
        W m⁻¹ K⁻¹ of eV K⁻¹ Å⁻¹ ps⁻¹ in phono3py's table of constants.
    """

    grid_points: NDArray[np.int64]
    q_points: Array
    weights: NDArray[np.int64]
    raw_frequencies: Array
    frequencies: Array
    group_velocities: Array
    velocity_products: Array
    degenerate_ids: NDArray[np.int64]
    operations: Array
    projections: Array
    volume: float
    conversion: float
    spread_products: Array | None = None

    def __post_init__(self) -> None:
        n_q, n_modes = np.shape(self.frequencies)
        for name, shape, dtype in (
            ("grid_points", (n_q,), int),
            ("q_points", (n_q, 3), float),
            ("weights", (n_q,), int),
            ("raw_frequencies", (n_q, n_modes), float),
            ("frequencies", (n_q, n_modes), float),
            ("group_velocities", (n_q, n_modes, 3), float),
            ("velocity_products", (n_q, n_modes, 3, 3), float),
            ("degenerate_ids", (n_q, n_modes), int),
            ("operations", (None, 3, 3), float),
            ("projections", (n_q, 3, 3), float),
            ("spread_products", (n_q, n_modes, 3, 3), float),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_array(name, value, shape, dtype))

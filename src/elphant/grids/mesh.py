"""Regular meshes in reciprocal space with equal density along every axis."""

from __future__ import annotations

from math import ceil, pi

import numpy as np
from numpy.typing import ArrayLike

from elphant.errors import ConfigurationError


def mesh_from_spacing(lattice: ArrayLike, spacing: float) -> tuple[int, int, int]:
    """Return the coarsest mesh whose points are at most ``spacing`` apart along each axis.

    Parameters
    ----------
    lattice : (3, 3) array, Å
        Lattice vectors of the cell whose reciprocal lattice is divided, rows.
    spacing : float, Å⁻¹
        Largest distance between neighbouring points along b_i, where ``a_i · b_j = 2 pi δ_ij``:
        the factor 2π is included.

    Returns
    -------
    tuple of int
        ``n_i = ceil(|b_i| / spacing)``, at least 1. A short axis gets many points, a long axis few.

    Raises
    ------
    ConfigurationError
        If ``spacing`` is not positive.
    """
    if not spacing > 0:
        raise ConfigurationError(
            f"q-point spacing {spacing} Å⁻¹ is not positive.",
            fix="Give a spacing such as 0.2 Å⁻¹ (2π included).",
        )
    reciprocal = 2.0 * pi * np.linalg.inv(np.asarray(lattice, dtype=float)).T
    # The small tolerance keeps an exact division from being rounded up.
    n1, n2, n3 = (
        max(1, ceil(float(length) / spacing - 1e-6))
        for length in np.linalg.norm(reciprocal, axis=1)
    )
    return n1, n2, n3

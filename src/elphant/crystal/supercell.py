"""Supercell shapes chosen by length along each axis."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal.crystal import Crystal
from elphant.crystal.symmetry import Symmetry, conventional_matrix
from elphant.errors import ConfigurationError, ResourceError

#: Largest supercell: its second order alone takes 30 GB, whatever the crystal.
MAX_ATOMS = 20_000


def supercell_matrix(
    crystal: Crystal, symmetry: Symmetry, length: float | ArrayLike
) -> NDArray[np.int64]:
    """Return the smallest supercell of the conventional cell that is ``length`` wide on each axis.

    Parameters
    ----------
    crystal, symmetry
        The unit cell and its space group.
    length : float or (3,) array, Å
        Wanted distance between a face and its periodic image, along each conventional axis.

    Returns
    -------
    ndarray of int, (3, 3)
        M with ``supercell lattice (rows) = M @ unit-cell lattice``. A primitive input cell is
        first completed to its conventional cell, so that the supercell is as cubic as it can be.

    Raises
    ------
    ConfigurationError
        If a length is not positive.
    ResourceError
        If the supercell has more than :data:`MAX_ATOMS` atoms.
    """
    lengths = np.broadcast_to(np.asarray(length, dtype=float), (3,))
    if (lengths <= 0).any():
        raise ConfigurationError(
            f"supercell length {lengths.tolist()} Å is not positive.",
            fix="Give positive lengths in Å, one for all axes or one per axis.",
        )
    matrix = conventional_matrix(symmetry)
    conventional = crystal.replaced(lattice=matrix @ crystal.lattice)
    # A cell within 2 % of the wanted length counts as long enough: doubling it would cost 8 times.
    repeats = [
        max(1, math.ceil(want / have - 0.02))
        for want, have in zip(lengths, conventional.heights, strict=True)
    ]
    n_atoms = math.prod(repeats) * crystal.n_atoms * round(abs(np.linalg.det(matrix)))
    if n_atoms > MAX_ATOMS:
        raise ResourceError(
            f"a supercell {', '.join(f'{length:g}' for length in lengths)} Å long has {n_atoms} "
            "atoms.",
            f"Force constants of more than {MAX_ATOMS} atoms fit into no memory.",
            "Choose smaller displacements.length_second and displacements.length_third.",
        )
    return np.diag(repeats) @ matrix

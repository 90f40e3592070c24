"""An order of the atoms of a supercell that does not depend on how the user wrote the crystal.

Random displacements have to be the same physical pattern in every setting and orientation of a
crystal; otherwise Pnma and Pbnm cells of one material would be fitted to different data, and their
conductivities would differ by the error of the fit. So the atoms are counted, and the directions
drawn, in the standard setting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal, Symmetry

#: Two coordinates (fractional, standard cell) closer than this are equal.
TOLERANCE = 1e-3


def canonical_order(supercell: Crystal, unitcell: Crystal, symmetry: Symmetry) -> NDArray[np.int64]:
    """Return the atoms of the supercell sorted by species and standard coordinates.

    Parameters
    ----------
    supercell, unitcell : Crystal
        Both in the working frame.
    symmetry : Symmetry
        Space group of the unit cell.

    Returns
    -------
    ndarray of int, (n_atoms,)
        ``order[k]`` is the index of the k-th atom. For a supercell whose edges are not parallel to
        the standard axes, coordinates are wrapped along its own edges instead: the order is then
        reproducible, but may differ between settings.
    """
    to_standard = symmetry.transformation.T
    inverse = np.linalg.inv(unitcell.lattice)
    points = supercell.positions @ inverse @ to_standard + symmetry.origin_shift
    edges = supercell.lattice @ inverse @ to_standard
    if (np.abs(edges) > TOLERANCE).sum() == 3:
        # Edges along the standard axes, in any order and direction: wrap along those axes.
        periods = np.abs(edges).sum(axis=0)
        wrapped = np.mod(points + TOLERANCE / 2, periods) - TOLERANCE / 2
    else:
        wrapped = (np.mod(points @ np.linalg.inv(edges) + 1e-6, 1.0) - 1e-6) @ edges
    a, b, c = np.round(wrapped / TOLERANCE).astype(int).T
    return np.lexsort((c, b, a, supercell.numbers))


def from_standard_frame(
    vectors: NDArray[np.float64], order: NDArray[np.int64], symmetry: Symmetry
) -> NDArray[np.float64]:
    """Return vectors of canonically ordered atoms in the order and frame of the supercell.

    Parameters
    ----------
    vectors : ndarray, (..., n_atoms, 3)
        Cartesian components in the standard frame, canonical order.
    order : ndarray of int, (n_atoms,)
        From :func:`canonical_order`.
    symmetry : Symmetry
        Its ``standard_rotation`` takes the working frame to the standard frame.
    """
    result = np.empty_like(vectors)
    result[..., order, :] = vectors @ symmetry.standard_rotation
    return result

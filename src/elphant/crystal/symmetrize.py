"""Exact symmetry: remove the rounding of coordinates and cell without rotating the crystal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.crystal.crystal import Crystal
from elphant.crystal.symmetry import Symmetry, database_operations


def symmetrized_crystal(crystal: Crystal, symmetry: Symmetry) -> Crystal:
    r"""Return the crystal that obeys ``symmetry`` exactly and is closest to ``crystal``.

    Structure files round their numbers (0.3333 for 1/3), and codes that look for symmetry with a
    tighter tolerance then find less of it. Coordinates are averaged over the space group, the
    metric over the point group; the cell is changed by a pure stretch, so nothing rotates.

    .. math:: x_j \leftarrow \frac{1}{|G|} \sum_{(R,t) \in G} (R x_i + t), \quad
              M \leftarrow \frac{1}{|G|} \sum_R R^T M R, \quad M = L L^T

    with L the lattice (rows) and i the atom that (R, t) brings to atom j.
    """
    rotations = symmetry.rotations
    translations = _exact_translations(symmetry)
    total = np.zeros_like(crystal.fractional)
    for rotation, translation in zip(rotations, translations, strict=True):
        images = crystal.fractional @ rotation.T + translation
        offset = crystal.fractional[:, None] - images[None]
        offset -= np.round(offset)
        distance = np.linalg.norm(offset @ crystal.lattice, axis=-1)
        distance[crystal.numbers[:, None] != crystal.numbers[None]] = np.inf
        source = distance.argmin(axis=1)
        atoms = np.arange(crystal.n_atoms)
        total += crystal.fractional - offset[atoms, source]
    # The origin found by spglib has the errors of the atoms too; keep the crystal where it was.
    shift = total / len(rotations) - crystal.fractional
    return crystal.replaced(
        lattice=_symmetrized_lattice(crystal.lattice, rotations),
        fractional=crystal.fractional + shift - shift.mean(axis=0),
    )


def _exact_translations(symmetry: Symmetry) -> NDArray[np.float64]:
    """Return the translations as they follow from the tables, (n_ops, 3).

    The ones found carry the errors of the atoms they were found from, and a set with errors is
    not a group.
    """
    matrix, origin = symmetry.transformation, symmetry.origin_shift
    inverse = np.linalg.inv(matrix)
    tabulated = {
        tuple(rotation.ravel().tolist()): translation
        for rotation, translation in zip(*database_operations(symmetry.hall_number), strict=True)
    }
    exact = []
    for rotation, translation in zip(symmetry.rotations, symmetry.translations, strict=True):
        standard = np.round(matrix @ rotation @ inverse).astype(int)
        # x' = P x + p turns (R_s, t_s) of the tables into (P^-1 R_s P, P^-1 (R_s p + t_s - p)).
        guess = inverse @ (standard @ origin + tabulated[tuple(standard.ravel().tolist())] - origin)
        # What remains is a lattice vector, centring included: halves and thirds of the axes.
        remainder = np.round(6.0 * matrix @ (translation - guess)) / 6.0
        exact.append(guess + inverse @ remainder)
    return np.array(exact)


def _symmetrized_lattice(
    lattice: NDArray[np.float64], rotations: NDArray[np.int64]
) -> NDArray[np.float64]:
    metric = lattice @ lattice.T
    mean = np.einsum("nji,jk,nkl->il", rotations, metric, rotations) / len(rotations)
    inverse = np.linalg.inv(lattice)
    # L' = L U with U symmetric and L' L'^T = mean: U = (L^-1 mean L^-T)^(1/2), no rotation.
    values, vectors = np.linalg.eigh(inverse @ mean @ inverse.T)
    return np.asarray(lattice @ (vectors * np.sqrt(values)) @ vectors.T)

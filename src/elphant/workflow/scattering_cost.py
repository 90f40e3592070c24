"""Rough cost of phono3py as backend, for ``--dry-run``: counts are exact, times are estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Symmetry
from elphant.phonon.conductivity import ConductivitySettings

#: Floating-point operations per second of one core in the transformation and contraction kernels.
#: Measured with phono3py 4.10 on 2-atom (Si) and 20-atom (Sb2Se3) cells; good to a factor of two.
SUSTAINED_FLOPS = 8e9

#: Seconds per integration weight of one triplet and branch triple (tetrahedron method).
SECONDS_PER_WEIGHT = 2.5e-8

BYTES = 8

#: Meshes up to this size are reduced by symmetry; larger ones only divided by the group order.
MAX_REDUCED_POINTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatteringCost:
    """Estimates of the scattering stage.

    Attributes
    ----------
    n_irreducible : int
        Irreducible q points.
    n_branches : int
    seconds : float
        Scattering and solution.
    memory_gb : float
    """

    n_irreducible: int
    n_branches: int
    seconds: float
    memory_gb: float


def scattering_cost(
    symmetry: Symmetry,
    settings: ConductivitySettings,
    *,
    n_primitive: int,
    n_supercell: int,
) -> ScatteringCost:
    """Return the estimated cost of the scattering stage.

    Parameters
    ----------
    symmetry : Symmetry
        Space group of the unit cell.
    settings : ConductivitySettings
    n_primitive, n_supercell : int
        Atoms of the primitive cell and of the third-order supercell.

    Notes
    -----
    Per triplet of q points: the transformation of the third order costs ``3 n_p n_s² 27 · 8``
    operations and its contraction with three eigenvectors ``16 n_b⁴``; each irreducible point has
    about half as many triplets as the mesh has points.
    """
    n_mesh = math.prod(settings.mesh)
    n_irreducible = count_irreducible(settings.mesh, symmetry)
    n_branches = 3 * n_primitive
    n_triplets = n_irreducible * (n_mesh // 2 + 1)
    flops = 3 * n_primitive * n_supercell**2 * 27 * 8 + 16 * n_branches**4
    seconds = n_triplets * (flops / SUSTAINED_FLOPS + SECONDS_PER_WEIGHT * n_branches**3)
    memory = BYTES * 27 * n_primitive * n_supercell**2 * 3
    if settings.solver == "bte":
        size = 3 * n_irreducible * n_branches
        memory += 4 * BYTES * size**2 * len(settings.temperatures)
        # A Cholesky factorisation in about half the dimension, and passes over the full matrix.
        operations = (size / 2) ** 3 / 3 + 10.0 * size**2
        seconds += operations / SUSTAINED_FLOPS * len(settings.temperatures)
    return ScatteringCost(
        n_irreducible=n_irreducible,
        n_branches=n_branches,
        seconds=seconds,
        memory_gb=0.3 + memory / 1e9,
    )


def count_irreducible(mesh: tuple[int, int, int], symmetry: Symmetry) -> int:
    """Return the number of Γ-centred mesh points inequivalent under point group and inversion.

    The mesh divides the reciprocal cell of the user's lattice, for which the fractional rotations
    of ``symmetry`` are known; for a centred cell the count of the primitive mesh is the same to
    within the surface of the zone.
    """
    rotations = np.unique(symmetry.rotations, axis=0)
    if (n_mesh := math.prod(mesh)) > MAX_REDUCED_POINTS:
        has_inversion = (rotations == -np.eye(3)).all(axis=(1, 2)).any()
        return -(-n_mesh // (len(rotations) * (1 if has_inversion else 2)))
    points = np.stack(np.meshgrid(*[np.arange(n) for n in mesh], indexing="ij"), axis=-1)
    points = points.reshape(-1, 3)
    divisions = np.array(mesh)
    representative = np.arange(len(points))
    for rotation in rotations:
        for sign in (1, -1):
            images = _images(points, divisions, sign * rotation)
            if images is not None:
                representative = np.minimum(representative, images)
    return len(np.unique(representative))


def _images(
    points: NDArray[np.int64], divisions: NDArray[np.int64], rotation: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Return the index of each rotated point, or None if the mesh lacks this operation."""
    # A rotation R of fractional positions acts on reciprocal coordinates with its transpose.
    rotated = (points / divisions) @ rotation * divisions
    rounded = np.round(rotated).astype(int)
    if np.abs(rotated - rounded).max() > 1e-6:
        return None
    wrapped = rounded % divisions
    return np.asarray(np.ravel_multi_index(tuple(wrapped.T), tuple(divisions)))

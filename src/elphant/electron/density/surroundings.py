"""Atoms around a point of a crystal."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import Crystal
from elphant.crystal.elements import covalent_radii

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surroundings:
    """Atoms within a distance of a point, nearest first.

    Attributes
    ----------
    atoms : ndarray of int, (n,)
        Their numbers in the cell.
    vectors : ndarray, (n, 3) Å
        Cartesian, from the point to each atom.
    distances : ndarray, (n,) Å
    """

    atoms: NDArray[np.int64]
    vectors: Array
    distances: Array


def surroundings(
    crystal: Crystal, fractional: ArrayLike, radius: float, *, excluded: float = 0.0
) -> Surroundings:
    """Return all atoms within ``radius`` (Å) of a point, images included.

    Parameters
    ----------
    crystal : Crystal
    fractional : array_like, (3,)
    radius : float, Å
    excluded : float, Å
        Atoms nearer than this are left out: the one at the point itself.
    """
    apart = crystal.fractional - np.asarray(fractional, dtype=float)
    apart -= np.round(apart)
    reach = np.ceil(radius / crystal.heights + 0.5).astype(int)
    cells = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    vectors = (apart[:, None] + cells).reshape(-1, 3) @ crystal.lattice
    atoms = np.repeat(np.arange(crystal.n_atoms), len(cells))
    distances = np.linalg.norm(vectors, axis=1)
    near = np.flatnonzero((distances <= radius) & (distances >= excluded))
    near = near[np.argsort(distances[near], kind="stable")]
    return Surroundings(atoms=atoms[near], vectors=vectors[near], distances=distances[near])


def neighbours(crystal: Crystal, atom: int, factor: float) -> Surroundings:
    """Return the atoms closer to ``atom`` than ``factor`` times the sum of the covalent radii."""
    radii = covalent_radii(crystal.numbers)
    limits = factor * (radii + radii[atom])
    around = surroundings(crystal, crystal.fractional[atom], float(limits.max()), excluded=1e-3)
    near = around.distances <= limits[around.atoms]
    return Surroundings(
        atoms=around.atoms[near], vectors=around.vectors[near], distances=around.distances[near]
    )

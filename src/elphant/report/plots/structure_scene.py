"""What a structure drawing shows: atoms with their images, bonds and the edges of the cell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import Crystal
from elphant.report.plots.covalent_radii import covalent_radius

Array = NDArray[np.float64]

#: Neighbours closer than this times the sum of covalent radii may be bonded …
BOND_FACTOR = 1.2
#: … unless one of the two atoms has another neighbour that is this much closer: then the pair is
#: not drawn (cation-cation contacts in ionic crystals).
SHORTEST_FACTOR = 1.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """Everything to draw, in Cartesian coordinates of the working frame.

    Attributes
    ----------
    positions : ndarray, (n, 3) Å
    atoms : ndarray of int, (n,)
        Index of each drawn atom in the crystal.
    outside : ndarray of bool, (n,)
        True for neighbours beyond the cell, drawn faintly to complete bonds.
    bonds : ndarray of int, (n_bonds, 2)
        Pairs of drawn atoms.
    edges : ndarray, (n_edges, 2, 3) Å
        Edges of the unit cell.
    block_edges : ndarray, (n_edges, 2, 3) Å
        Edges of the repeated block of cells.
    """

    positions: Array
    atoms: NDArray[np.int64]
    outside: NDArray[np.bool_]
    bonds: NDArray[np.int64]
    edges: Array
    block_edges: Array

    def without_outside(self) -> Scene:
        """Return the scene of the atoms inside only, with the bonds among them."""
        kept = ~self.outside
        new_index = np.cumsum(kept) - 1
        bonds = self.bonds[kept[self.bonds].all(axis=1)]
        return Scene(
            positions=self.positions[kept],
            atoms=self.atoms[kept],
            outside=self.outside[kept],
            bonds=new_index[bonds],
            edges=self.edges,
            block_edges=self.block_edges,
        )


def build_scene(
    crystal: Crystal, repeats: ArrayLike = (1, 1, 1), *, depth_axis: int | None = None
) -> Scene:
    """Return the scene of ``repeats`` cells with their boundary atoms and bonded neighbours.

    Atoms beyond the faces of ``depth_axis`` count as inside: seen along that axis they lie on top
    of atoms of the cell, and complete the bonds.
    """
    counts = np.asarray(repeats, dtype=int)
    positions, atoms, inside = _candidates(crystal, counts, depth_axis)
    pairs = _bonded_pairs(crystal, positions, atoms)
    # Of the atoms outside keep those bonded to one inside, and no bond between two outside.
    pairs = pairs[inside[pairs].any(axis=1)]
    kept = inside.copy()
    kept[pairs.ravel()] = True
    new_index = np.cumsum(kept) - 1
    corners = np.array(list(product((0, 1), repeat=3)))
    edges = [
        (start, end)
        for start, end in product(corners, corners)
        if np.abs(end - start).sum() == 1 and (end > start).any()
    ]
    return Scene(
        positions=positions[kept],
        atoms=atoms[kept],
        outside=~inside[kept],
        bonds=new_index[pairs],
        edges=np.array(edges, dtype=float) @ crystal.lattice,
        block_edges=np.array(edges, dtype=float) * counts @ crystal.lattice,
    )


def _candidates(
    crystal: Crystal, counts: NDArray[np.int64], depth_axis: int | None
) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Return all images in a shell around the cells, and which of them lie inside."""
    wrapped = crystal.fractional - np.floor(crystal.fractional + 1e-6)
    shifts = np.array(list(product(*[range(-1, n + 1) for n in counts])))
    fractional = (wrapped[None, :, :] + shifts[:, None, :]).reshape(-1, 3)
    atoms = np.tile(np.arange(crystal.n_atoms), len(shifts))
    tolerance = 1e-3
    within = (fractional > -tolerance) & (fractional < counts + tolerance)
    if depth_axis is not None:
        within[:, depth_axis] = True
    inside = within.all(axis=1)
    near = ((fractional > -0.5) & (fractional < counts + 0.5)).all(axis=1)
    return fractional[near] @ crystal.lattice, atoms[near], inside[near]


def _bonded_pairs(
    crystal: Crystal, positions: Array, atoms: NDArray[np.int64]
) -> NDArray[np.int64]:
    from scipy.spatial import cKDTree

    radii = np.array([covalent_radius(int(number)) for number in crystal.numbers])
    tree = cKDTree(positions)
    pairs = tree.query_pairs(2 * BOND_FACTOR * radii.max(), output_type="ndarray").astype(int)
    if not len(pairs):
        return np.zeros((0, 2), dtype=int)
    first, second = pairs.T
    distance = np.linalg.norm(positions[first] - positions[second], axis=1)
    # Shortest distance of every atom of the crystal, over all its images: those at the rim of the
    # scene miss neighbours.
    shortest = np.full(crystal.n_atoms, np.inf)
    for side in (first, second):
        np.minimum.at(shortest, atoms[side], distance)
    bonded = distance < BOND_FACTOR * (radii[atoms[first]] + radii[atoms[second]])
    limit = SHORTEST_FACTOR * np.minimum(shortest[atoms[first]], shortest[atoms[second]])
    return np.asarray(pairs[bonded & (distance < limit)])

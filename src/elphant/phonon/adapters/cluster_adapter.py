"""From force constants of a supercell to clusters of atoms of the infinite crystal.

An atom of a supercell stands for all its periodic images. Which image a force constant belongs to
is a convention: phono3py takes, as seen from the first atom, the nearest image of each other atom
(``pairs``); taking the images that make the cluster most compact (``perimeter``) treats all
atoms alike, so that the list keeps the permutation symmetry of the derivatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ConfigurationError
from elphant.phonon.adapters.phonopy_adapter import (
    build_phonopy,
    nearest_images,
    primitive_positions,
    ragged,
)
from elphant.phonon.cluster_basis import (
    ClusterBasis,
    SupercellSymmetry,
    build_basis,
    count_invariants,
)
from elphant.phonon.cluster_fit import check_memory
from elphant.phonon.sparse_force_constants import SparseForceConstants

if TYPE_CHECKING:
    from phonopy import Phonopy
    from phonopy.structure.cells import Primitive

    from elphant.phonon.force_constants import ForceConstants

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Images = Literal["pairs", "perimeter"]

#: Blocks smaller than this times the largest one are rounding and left out.
NEGLIGIBLE = 1e-14

#: A basis up to this estimated size is built to count its parameters exactly.
EXACT_COUNT_LIMIT = 20000

#: The cheap count takes symmetric clusters and repeated atoms for general ones; the truth has been
#: up to so many times it, by order.
ESTIMATE_MARGIN = {2: 1.3, 3: 1.3, 4: 2.2}

#: Image tuples that are compared at a time.
CHUNK = 2_000_000


def third_order_clusters(
    force_constants: ForceConstants, *, images: Images = "perimeter", tolerance: float = 1e-5
) -> SparseForceConstants:
    """Return the third order as clusters.

    Parameters
    ----------
    force_constants : ForceConstants
        Its ``third_clusters`` are returned unchanged when present.
    images : {"pairs", "perimeter"}
        ``pairs``: atoms two and three sit, independently, at their nearest images as seen from
        atom one, in equal shares when several are equally near (phono3py without
        ``make_r0_average``). ``perimeter``: the pair of images with the smallest
        |12| + |23| + |31|, ties in equal shares; symmetric in the three atoms.
    tolerance : float, Å
        Distances that differ by less are equal.

    Raises
    ------
    ValueError
        If there is no third order.
    """
    if force_constants.third_clusters is not None:
        return force_constants.third_clusters
    if force_constants.third is None or force_constants.supercell_matrix_third is None:
        raise ValueError("these force constants have no third order")
    phonopy = build_phonopy(
        force_constants.unitcell,
        force_constants.supercell_matrix_third,
        primitive_matrix=force_constants.primitive_matrix,
        tolerance=tolerance,
        symmetry=False,
    )
    return dense_to_clusters(phonopy, force_constants.third, images=images, tolerance=tolerance)


def dense_to_clusters(
    phonopy: Phonopy, constants: Array, *, images: Images = "perimeter", tolerance: float = 1e-5
) -> SparseForceConstants:
    """Return dense compact force constants of any order as clusters.

    Parameters
    ----------
    phonopy : Phonopy
        The supercell the constants belong to.
    constants : ndarray, (n_primitive, n_supercell, …, 3, …)
    images, tolerance
        As for :func:`third_order_clusters`.
    """
    order = constants.ndim // 2
    size = np.abs(constants).max(axis=tuple(range(order, 2 * order)))
    members = np.argwhere(size > NEGLIGIBLE * size.max())
    blocks = constants[tuple(members.T)]
    return supercell_to_clusters(phonopy, members, blocks, images=images, tolerance=tolerance)


def supercell_to_clusters(
    phonopy: Phonopy,
    members: Indices,
    blocks: Array,
    *,
    images: Images = "perimeter",
    tolerance: float = 1e-5,
) -> SparseForceConstants:
    """Return blocks of supercell tuples as clusters of the infinite crystal.

    Parameters
    ----------
    phonopy : Phonopy
        The supercell the tuples belong to.
    members : ndarray of int, (n, order)
        First the index of an atom of the primitive cell, then indices in the supercell.
    blocks : ndarray, (n, 3, …, 3)
    images : {"pairs", "perimeter"}
        As for :func:`third_order_clusters`; ``perimeter`` means the sum of all distances between
        the atoms of a cluster.
    tolerance : float, Å
    """
    primitive = phonopy.primitive
    if images == "pairs":
        rows, vectors, shares = nearest_images(primitive, members)
    else:
        rows, vectors, shares = compact_images(phonopy, members, tolerance)
    to_primitive = _primitive_index(primitive)
    atoms = np.concatenate([members[:, :1], to_primitive[members[:, 1:]]], axis=1)[rows]
    positions = primitive_positions(primitive)
    translations = vectors - (positions[atoms[:, 1:]] - positions[atoms[:, :1]])
    cells = np.round(translations).astype(np.int64)
    residual = np.abs((translations - cells) @ np.array(primitive.cell)).max(initial=0.0)
    if residual > 1e-3:
        raise AssertionError(f"image vectors miss the lattice by {residual:.2g} Å")
    return SparseForceConstants(
        atoms=atoms,
        cells=cells,
        blocks=blocks[rows] * shares.reshape(-1, *(1,) * (blocks.ndim - 1)),
        n_primitive=len(primitive),
    )


def supercell_symmetry(phonopy: Phonopy) -> SupercellSymmetry:
    """Return what the rules of symmetry need to know about the supercell of a phonopy object."""
    supercell, primitive = phonopy.supercell, phonopy.primitive
    lattice = np.array(supercell.cell)
    operations: Any = phonopy.symmetry.symmetry_operations
    to_cartesian = lattice.T
    rotations, rotation_of = np.unique(operations["rotations"], axis=0, return_inverse=True)
    cartesian = to_cartesian @ rotations @ np.linalg.inv(to_cartesian)
    vectors = _nearest_vectors(np.array(supercell.positions), lattice)
    distances = np.linalg.norm(vectors, axis=2)
    return SupercellSymmetry(
        permutations=np.array(phonopy.symmetry.atomic_permutations, dtype=np.int64),
        rotations=cartesian,
        rotation_of=rotation_of.ravel(),
        translations=np.array(primitive.atomic_permutations, dtype=np.int64),
        home=np.array(primitive.p2s_map, dtype=np.int64),
        distances=0.5 * (distances + distances.T),
    )


def order_basis(phonopy: Phonopy, order: int, cutoff: float | None) -> ClusterBasis:
    """Return the symmetry-adapted basis of one order in the supercell of a phonopy object.

    Clusters of three and more atoms that only the periodicity of the supercell brings within the
    cut-off (chains around it) are left out, other than in symfc. They have no images that are all
    near each other, so that the sum rule would not hold for the infinite crystal.
    """

    def folded(tuples: Indices) -> NDArray[np.bool_]:
        assert cutoff is not None
        rows, vectors, _ = compact_images(phonopy, home_numbers(phonopy, tuples))
        cartesian = vectors @ np.array(phonopy.primitive.cell)
        longest = np.linalg.norm(cartesian, axis=2).max(axis=1)
        for a in range(cartesian.shape[1]):
            for b in range(a):
                distance = np.linalg.norm(cartesian[:, a] - cartesian[:, b], axis=1)
                longest = np.maximum(longest, distance)
        result = np.zeros(len(tuples), dtype=bool)
        result[rows[longest >= cutoff]] = True
        return result

    basis = build_basis(
        supercell_symmetry(phonopy),
        order,
        cutoff,
        folded=folded if order > 2 and cutoff is not None else None,
    )
    if not basis.n_parameters:
        name = {2: "second", 3: "third", 4: "fourth"}[order]
        raise ConfigurationError(
            f"no {name}-order force constant is left to fit (cut-off {cutoff} Å).",
            "The cut-off keeps too few neighbours, or the supercell is so small that bonds "
            "are folded onto their own opposites.",
            f"Use a larger cutoff_{name} or a larger supercell (length_third).",
        )
    return basis


def count_parameters(phonopy: Phonopy, cutoffs: Mapping[int, float | None]) -> dict[int, int]:
    """Return the number of free parameters of each order in a supercell.

    Free parameters are what translation, permutation, space group and acoustic sum rules leave
    over. The size of a large set is estimated from above.

    Parameters
    ----------
    phonopy : Phonopy
    cutoffs : mapping of int to float or None, Å
        Orders and the cut-off of each.

    Raises
    ------
    ResourceError
        If a fit of that size would not fit in the memory of this machine.
    ConfigurationError
        If symmetry and cut-off leave no parameter of an order.
    """
    symmetry = supercell_symmetry(phonopy)
    estimates = {
        order: ESTIMATE_MARGIN[order] * count_invariants(symmetry, order, cutoff)
        for order, cutoff in cutoffs.items()
    }
    check_memory(estimates, symmetry.n_atoms, cutoffs)
    return {
        order: ceil(estimates[order])
        if estimates[order] > EXACT_COUNT_LIMIT
        else order_basis(phonopy, order, cutoff).n_parameters
        for order, cutoff in cutoffs.items()
    }


def home_numbers(phonopy: Phonopy, members: Indices) -> Indices:
    """Return tuples whose first atom is named by its number in the primitive cell."""
    number = np.zeros(len(phonopy.supercell), dtype=np.int64)
    number[np.array(phonopy.primitive.p2s_map)] = np.arange(len(phonopy.primitive))
    return np.concatenate([number[members[:, :1]], members[:, 1:]], axis=1)


def dense_constants(phonopy: Phonopy, members: Indices, blocks: Array) -> Array:
    """Return blocks of supercell tuples in phonopy's compact layout."""
    order, n_atoms = members.shape[1], len(phonopy.supercell)
    shape = (len(phonopy.primitive), *(n_atoms,) * (order - 1), *(3,) * order)
    dense = np.zeros(shape)
    dense[tuple(home_numbers(phonopy, members).T)] = blocks
    return dense


def compact_images(
    phonopy: Phonopy, members: Indices, tolerance: float = 1e-5
) -> tuple[Indices, Array, Array]:
    """Return, for each tuple of supercell atoms, the images that lie closest together.

    The sum over all pairs of atoms of a cluster of their distance is made as small as possible.

    Parameters
    ----------
    phonopy : Phonopy
    members : ndarray of int, (n, order)
        First the index of an atom of the primitive cell, then indices in the supercell.
    tolerance : float, Å

    Returns
    -------
    rows : ndarray of int, (m,)
        Which tuple each image tuple belongs to; ascending.
    vectors : ndarray, (m, order - 1, 3)
        From the first atom to the others, in primitive lattice vectors.
    shares : ndarray, (m,)
        One over the number of equally good image tuples.
    """
    table = _ImageTable.of(phonopy, tolerance)
    # Ties are compared on sums of distances, which add up the rounding of the positions.
    found = [
        table.best(members[start:stop], start, 10.0 * tolerance)
        for start, stop in table.chunks(members)
    ]
    if not found:
        n_others = members.shape[1] - 1
        return np.zeros(0, dtype=int), np.zeros((0, n_others, 3)), np.zeros(0)
    rows, vectors = (np.concatenate(part) for part in zip(*found, strict=True))
    shares = 1.0 / np.bincount(rows, minlength=len(members))[rows]
    return rows, vectors @ np.linalg.inv(np.array(phonopy.primitive.cell)), shares


class _ImageTable:
    """Periodic images of supercell atoms around each atom of the primitive cell."""

    def __init__(self, positions: Array, lattice: Array, home: Indices, tolerance: float) -> None:
        self._positions, self._lattice, self._home = positions, lattice, home
        self._tolerance = tolerance
        self._nearest = _nearest_vectors(positions, lattice)
        self._distances = np.linalg.norm(self._nearest, axis=2)

    @classmethod
    def of(cls, phonopy: Phonopy, tolerance: float) -> _ImageTable:
        supercell = phonopy.supercell
        home = np.array(phonopy.primitive.p2s_map, dtype=int)
        return cls(np.array(supercell.positions), np.array(supercell.cell), home, tolerance)

    def chunks(self, members: Indices) -> list[tuple[int, int]]:
        """Return ranges of tuples small enough to be handled at once."""
        step = max(1, CHUNK // 64)
        return [(start, start + step) for start in range(0, len(members), step)]

    def best(self, members: Indices, offset: int, tie: float) -> tuple[Indices, Array]:
        """Return rows (counted from ``offset``) and Cartesian vectors of the best images."""
        reach = self._reach(members) + self._tolerance
        vectors, lengths, first, count = self._images(float(reach.max(initial=0.0)))
        n_others = members.shape[1] - 1
        rows = np.arange(len(members))
        chosen = np.zeros((len(members), n_others, 3))
        spread = np.zeros(len(members))
        limit = self._limit(members) + tie
        for other in range(n_others):
            start = first[members[rows, 0], members[rows, other + 1]]
            stop = count[members[rows, 0], members[rows, other + 1]]
            # Images are sorted by length: keep those within reach of this tuple.
            repeat, position = ragged(stop)
            index = start[repeat] + position
            near = lengths[index] <= reach[rows[repeat]]
            repeat, index = repeat[near], index[near]
            new = vectors[index]
            before = chosen[repeat]
            total = spread[repeat] + lengths[index]
            for earlier in range(other):
                total += np.linalg.norm(new - before[:, earlier], axis=1)
            # What is still missing is at least the sum of the shortest distances.
            keep = total + self._missing(members, other)[rows[repeat]] <= limit[rows[repeat]]
            repeat, new, spread = repeat[keep], new[keep], total[keep]
            chosen = before[keep]
            chosen[:, other] = new
            rows = rows[repeat]
        smallest = np.full(len(members), np.inf)
        np.minimum.at(smallest, rows, spread)
        best = spread <= smallest[rows] + tie
        return rows[best] + offset, chosen[best]

    def _supercell(self, members: Indices) -> Indices:
        return np.concatenate([self._home[members[:, :1]], members[:, 1:]], axis=1)

    def _limit(self, members: Indices) -> Array:
        """Return the spread with every atom at its nearest image of one of them: an upper bound."""
        atoms = self._supercell(members)
        order = atoms.shape[1]
        limit = np.full(len(atoms), np.inf)
        for centre in range(order):
            arms = self._nearest[atoms[:, centre, None], atoms]
            total = np.zeros(len(atoms))
            for a in range(order):
                for b in range(a):
                    total += np.linalg.norm(arms[:, a] - arms[:, b], axis=1)
            limit = np.minimum(limit, total)
        return limit

    def _reach(self, members: Indices) -> Array:
        """Return a bound on the distance of any atom from the first in the best image tuple.

        An edge of length L is bridged by every third atom, so that the spread of n atoms is at
        least (n - 1) L plus the distances among the n - 2 others.
        """
        atoms = self._supercell(members)
        order = atoms.shape[1]
        return np.asarray(self._limit(members) / (order - 1) + 1e-9)

    def _missing(self, members: Indices, done: int) -> Array:
        """Return the sum of shortest distances of pairs with an atom after number ``done``."""
        atoms = self._supercell(members)
        total = np.zeros(len(atoms))
        for a in range(done + 2, atoms.shape[1]):
            for b in range(a):
                total += self._distances[atoms[:, a], atoms[:, b]]
        return total

    def _images(self, reach: float) -> tuple[Array, Array, Indices, Indices]:
        """Return all images within ``reach`` of the primitive atoms, grouped and sorted by length.

        Returns vectors (m, 3), lengths (m,), and for (primitive atom, supercell atom) the first
        entry and the number of entries.
        """
        n_home, n_atoms = len(self._home), len(self._positions)
        shifts = _translations(self._lattice, reach)
        base = self._nearest[self._home]
        vectors = base[:, :, None, :] + shifts
        lengths = np.linalg.norm(vectors, axis=3)
        order = np.argsort(lengths, axis=2, kind="stable")
        lengths = np.take_along_axis(lengths, order, axis=2)
        vectors = np.take_along_axis(vectors, order[..., None], axis=2)
        inside = lengths <= reach + self._tolerance
        # The nearest image always stays, so that no group is empty.
        inside[:, :, 0] = True
        count = inside.sum(axis=2)
        first = np.concatenate([[0], np.cumsum(count.ravel())[:-1]]).reshape(n_home, n_atoms)
        return vectors[inside], lengths[inside], first, count


def _primitive_index(primitive: Primitive) -> Indices:
    """Return the atom of the primitive cell that each supercell atom is an image of."""
    to_index: Any = primitive.p2p_map
    return np.array([to_index[i] for i in primitive.s2p_map], dtype=int)


def _nearest_vectors(positions: Array, lattice: Array) -> Array:
    """Return one shortest vector from each atom to each other, (n, n, 3) Å."""
    inverse = np.linalg.inv(lattice)
    fractional = positions @ inverse
    wrapped = fractional[None] - fractional[:, None]
    wrapped -= np.round(wrapped)
    vectors = np.asarray(wrapped @ lattice)
    best = np.linalg.norm(vectors, axis=2)
    # A wrapped vector is the shortest one in a compact cell; a skewed one needs more shifts.
    for shift in _translations(lattice, float(best.max(initial=0.0))):
        moved = np.asarray(wrapped @ lattice) + shift
        length = np.linalg.norm(moved, axis=2)
        shorter = length < best - 1e-9
        vectors[shorter], best = moved[shorter], np.where(shorter, length, best)
    return vectors


def _translations(lattice: Array, reach: float) -> Array:
    """Return lattice translations that can bring a wrapped vector within ``reach``, (n, 3) Å."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    spans = [np.arange(-n, n + 1) for n in np.ceil(reach / heights + 0.5).astype(int)]
    grid = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = np.asarray(grid @ lattice)
    # The wrapped vector is at most half the diagonal long.
    half = 0.5 * np.linalg.norm(lattice, axis=1).sum()
    return np.asarray(vectors[np.linalg.norm(vectors, axis=1) <= reach + half + 1e-9])

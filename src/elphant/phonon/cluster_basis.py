r"""Force constants of one order in a supercell as a linear combination of few free parameters.

Three kinds of rules tie the derivatives of one order together: the space group, the exchange of
derivatives, and the acoustic sum rule

.. math:: \sum_l \Phi_{i j \dots l} = 0 .

The first two make all clusters of an orbit copies of one representative, whose tensor is a
combination of the invariants of its own stabiliser; the sum rule then couples orbits (Eriksson,
Fransson, Erhart, Adv. Theory Simul. 2, 1800184 (2019)). The space is the same as that of the
projectors of symfc (Seko and Togo, Phys. Rev. B 110, 214302 (2024)), but every
array has the length of the list of clusters within the cut-off, never of the supercell to the
power of the order: 60 atoms to fourth order take seconds and some ten megabytes, not 9 GB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack, solve_triangular
from scipy.sparse.csgraph import connected_components

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Elements of the Gram matrix of the sum rules below this share of its largest are rounding.
RANK_TOLERANCE = 1e-9

#: Margin (Å) by which a pair must lie inside the cut-off: a shell is never cut in two.
CUTOFF_MARGIN = 1e-5

#: Products of displacements that are held at a time.
BATCH_ELEMENTS = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SupercellSymmetry:
    """What the symmetry rules need to know about a supercell.

    Attributes
    ----------
    permutations : ndarray of int, (n_operations, n_atoms)
        ``permutations[g, i]`` is the atom onto which operation g carries atom i; translations of
        the crystal lattice included.
    rotations : ndarray, (n_rotations, 3, 3)
        Different Cartesian rotations of the operations.
    rotation_of : ndarray of int, (n_operations,)
        Which of them belongs to each operation.
    translations : ndarray of int, (n_translations, n_atoms)
        Pure lattice translations among the permutations.
    home : ndarray of int, (n_primitive,)
        Atoms of the primitive cell.
    distances : ndarray, (n_atoms, n_atoms) Å
        Shortest distance between any images of two atoms.
    """

    permutations: Indices
    rotations: Array
    rotation_of: Indices
    translations: Indices
    home: Indices
    distances: Array

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the supercell."""
        return int(self.permutations.shape[1])

    def neighbours(self, cutoff: float | None) -> NDArray[np.bool_]:
        """Return which atoms may share a cluster, (n_atoms, n_atoms)."""
        if cutoff is None:
            return np.ones(self.distances.shape, dtype=bool)
        return np.asarray(self.distances < cutoff - CUTOFF_MARGIN)


@dataclass(frozen=True, slots=True, eq=False)
class ClusterBasis:
    """Orthonormal basis of the force constants of one order that obey all rules.

    Attributes
    ----------
    order : int
    members : ndarray of int, (n_tuples, order)
        Supercell atoms of every ordered tuple whose first atom lies in the primitive cell.
    expansion : sparse array, (n_tuples 3^order, n_invariants)
        Elements of the blocks as combinations of the invariants of the orbits.
    free : tuple of (columns, matrix)
        For each set of invariants that the sum rules couple: which they are, and an orthonormal
        basis of the combinations that obey the rules, (n_columns, n_free_here).
    """

    order: int
    members: Indices
    expansion: sparse.csr_array
    free: tuple[tuple[Indices, Array], ...]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        return sum(matrix.shape[1] for _, matrix in self.free)

    def invariants(self, parameters: Array) -> Array:
        """Return the coefficients of the invariants, (n_invariants,)."""
        result = np.zeros(self.expansion.shape[1])
        start = 0
        for columns, matrix in self.free:
            stop = start + matrix.shape[1]
            result[columns] = matrix @ parameters[start:stop]
            start = stop
        return result

    def blocks(self, parameters: Array) -> Array:
        """Return the blocks of the tuples, (n_tuples, 3, …, 3) eV/Å^order."""
        flat = self.expansion @ self.invariants(parameters)
        return np.asarray(flat.reshape(-1, *(3,) * self.order))

    def reduce(self, features: Array) -> Array:
        """Return features of the invariants, (n, n_invariants), as those of the parameters."""
        parts = [features[:, columns] @ matrix for columns, matrix in self.free]
        return np.concatenate(parts, axis=1) if parts else features[:, :0]


def build_basis(
    symmetry: SupercellSymmetry,
    order: int,
    cutoff: float | None,
    *,
    folded: Callable[[Indices], NDArray[np.bool_]] | None = None,
) -> ClusterBasis:
    """Return the basis of one order.

    Parameters
    ----------
    symmetry : SupercellSymmetry
    order : int
        At least 2.
    cutoff : float or None, Å
        Clusters with a pair at least this far apart carry no force constant.
    folded : callable, optional
        Says of tuples of supercell atoms, the first at home, which of them to leave out because
        only the periodicity of the supercell brings their atoms together.
    """
    members, expansion = _expand_orbits(symmetry, order, cutoff, folded)
    free = tuple(
        (columns, _null_space(gram)) for columns, gram in _coupled(_sum_rules(members, expansion))
    )
    kept = tuple((columns, matrix) for columns, matrix in free if matrix.shape[1])
    return ClusterBasis(order, members, expansion, kept)


def count_invariants(symmetry: SupercellSymmetry, order: int, cutoff: float | None) -> float:
    """Return the number of parameters before sum rules as if no cluster had symmetry of its own.

    Cheap, and refused sizes are never enumerated: tuples are counted by how many atoms can join.
    """
    allowed = symmetry.neighbours(cutoff)
    tuples = symmetry.home[:, None]
    for _ in range(order - 2):
        tuples = _extended(tuples, allowed, ordered=False)
    last = allowed[tuples[:, 0]].copy()
    for column in range(1, tuples.shape[1]):
        last &= allowed[tuples[:, column]]
    return float(last.sum()) * 3.0**order / factorial(order) / len(symmetry.rotations)


def polynomial_forces(
    members: Indices, blocks: Array, displacements: Array, translations: Indices
) -> Array:
    r"""Return the forces of one order.

    .. math:: F_{i a} = -\frac{1}{(n - 1)!} \sum \Phi_{i j \dots, a b \dots} u_{j b} \cdots

    Parameters
    ----------
    members : ndarray of int, (n_tuples, n)
        Supercell atoms; the first in the primitive cell.
    blocks : ndarray, (n_tuples, 3, …, 3)
    displacements : ndarray, (n_snapshots, n_atoms, 3) Å
    translations : ndarray of int, (n_translations, n_atoms)
        Lattice translations carry the first atom to all its images.

    Returns
    -------
    ndarray, (n_snapshots, n_atoms, 3) eV/Å
    """
    order = members.shape[1]
    factor = -1.0 / factorial(order - 1)
    forces = np.zeros_like(displacements)
    for atom in np.unique(members[:, 0]):
        tuples = np.flatnonzero(members[:, 0] == atom)
        matrix = factor * blocks[tuples].reshape(len(tuples), 3, -1).swapaxes(1, 2).reshape(-1, 3)
        step = max(1, BATCH_ELEMENTS // len(matrix))
        for start in range(0, len(displacements), step):
            chunk = displacements[start : start + step]
            for translation in translations:
                products = _products(chunk[:, translation], members[tuples])
                forces[start : start + step, translation[atom]] += (
                    products.reshape(len(chunk), -1) @ matrix
                )
    return forces


def force_features(basis: ClusterBasis, displacements: Array, translations: Indices) -> Array:
    """Return the derivative of the forces with respect to the parameters.

    Parameters
    ----------
    basis : ClusterBasis
    displacements : ndarray, (n_snapshots, n_atoms, 3) Å
    translations : ndarray of int, (n_translations, n_atoms)

    Returns
    -------
    ndarray, (n_snapshots * n_atoms * 3, n_parameters)
    """
    order, members = basis.order, basis.members
    width = 3 ** (order - 1)
    n_snapshots, n_atoms = displacements.shape[:2]
    result = np.zeros((n_snapshots, n_atoms, 3, basis.expansion.shape[1]))
    factor = -1.0 / factorial(order - 1)
    for atom in np.unique(members[:, 0]):
        tuples = np.flatnonzero(members[:, 0] == atom)
        rows = (3 * tuples[:, None] * width + np.arange(width)).ravel()
        matrices = [
            sparse.csc_array((factor * basis.expansion[rows + a * width]).T) for a in range(3)
        ]
        for translation in translations:
            products = _products(displacements[:, translation], members[tuples])
            flat = products.reshape(n_snapshots, -1).T
            for a, matrix in enumerate(matrices):
                result[:, translation[atom], a] = (matrix @ flat).T
    return basis.reduce(result.reshape(n_snapshots * n_atoms * 3, -1))


def _products(displacements: Array, members: Indices) -> Array:
    """Return u_j u_k … of the atoms after the first, (n_snapshots, n_tuples, 3^(order - 1))."""
    n_snapshots = len(displacements)
    product = displacements[:, members[:, 1]]
    for column in range(2, members.shape[1]):
        following = displacements[:, members[:, column]]
        product = product[..., :, None] * following[:, :, None, :]
        product = product.reshape(n_snapshots, len(members), -1)
    return product


def _extended(tuples: Indices, allowed: NDArray[np.bool_], *, ordered: bool) -> Indices:
    """Add one atom to every tuple; ``ordered`` keeps indices ascending (repeats included)."""
    parts = []
    step = max(1, BATCH_ELEMENTS // len(allowed))
    for start in range(0, len(tuples), step):
        chunk = tuples[start : start + step]
        fits = allowed[chunk[:, 0]].copy()
        for column in range(1, chunk.shape[1]):
            fits &= allowed[chunk[:, column]]
        if ordered:
            fits &= np.arange(len(allowed)) >= chunk[:, -1:]
        row, atom = np.nonzero(fits)
        parts.append(np.concatenate([chunk[row], atom[:, None]], axis=1))
    return np.concatenate(parts) if parts else np.zeros((0, tuples.shape[1] + 1), dtype=int)


def _codes(tuples: Indices, n_atoms: int) -> Indices:
    code = np.zeros(tuples.shape[:-1], dtype=np.int64)
    for column in range(tuples.shape[-1]):
        code = code * n_atoms + tuples[..., column]
    return code


def _expand_orbits(
    symmetry: SupercellSymmetry,
    order: int,
    cutoff: float | None,
    folded: Callable[[Indices], NDArray[np.bool_]] | None,
) -> tuple[Indices, sparse.csr_array]:
    """Return all tuples with the first atom at home, and their blocks in terms of invariants."""
    n_atoms = symmetry.n_atoms
    clusters = np.arange(n_atoms)[:, None]
    allowed = symmetry.neighbours(cutoff)
    for _ in range(order - 1):
        clusters = _extended(clusters, allowed, ordered=True)
    # An orbit has members in every cell: look only at clusters that touch the primitive cell.
    at_home = np.zeros(n_atoms, dtype=bool)
    at_home[symmetry.home] = True
    clusters = clusters[at_home[clusters].any(axis=1)]
    codes = _codes(clusters, n_atoms)
    sorting = np.argsort(codes)
    clusters, codes = clusters[sorting], codes[sorting]
    visited = np.zeros(len(clusters), dtype=bool)
    left_out = visited.copy() if folded is None else folded(_home_first(clusters, at_home))
    tensors = _Tensors.of(symmetry, order)
    members: list[Indices] = []
    rows, columns, values = [], [], []
    n_tuples = n_invariants = 0
    for number, cluster in enumerate(clusters):
        if visited[number]:
            continue
        images = symmetry.permutations[:, cluster]
        axes = np.argsort(images, axis=1, kind="stable")
        images = np.take_along_axis(images, axes, axis=1)
        exchange = tensors.number(axes)
        code = _codes(images, n_atoms)
        _, first = np.unique(code, return_index=True)
        first = first[at_home[images[first]].any(axis=1)]
        visited[np.searchsorted(codes, code[first])] = True
        if left_out[number]:
            continue
        stabiliser = code == codes[number]
        invariants = tensors.invariants(
            cluster, symmetry.rotation_of[stabiliser], exchange[stabiliser]
        )
        if not invariants.shape[1]:
            continue
        tuples, blocks = tensors.copies(
            invariants, images[first], symmetry.rotation_of[first], exchange[first], at_home
        )
        blocks = blocks / np.sqrt(len(tuples))
        tuple_index, element, column = np.nonzero(np.abs(blocks) > 1e-12)
        rows.append((tuple_index + n_tuples) * 3**order + element)
        columns.append(column + n_invariants)
        values.append(blocks[tuple_index, element, column])
        members.append(tuples)
        n_tuples += len(tuples)
        n_invariants += invariants.shape[1]
    shape = (n_tuples * 3**order, n_invariants)
    if not members:
        return np.zeros((0, order), dtype=int), sparse.csr_array(shape)
    triplets = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return np.concatenate(members), sparse.csr_array(sparse.coo_array(triplets, shape=shape))


def _home_first(clusters: Indices, at_home: NDArray[np.bool_]) -> Indices:
    """Exchange the first atom of each cluster for one in the primitive cell."""
    result = clusters.copy()
    which = at_home[clusters].argmax(axis=1)
    rows = np.arange(len(clusters))
    result[rows, which] = clusters[:, 0]
    result[:, 0] = clusters[rows, which]
    return result


class _Tensors:
    """How operations and exchanges of indices act on tensors of one order."""

    def __init__(self, rotations: Array, order: int) -> None:
        self._order = order
        self._axes = np.array(list(permutations(range(order))), dtype=np.int64)
        elements = np.arange(3**order).reshape((3,) * order)
        # Row p takes the elements of T to those of T.transpose(axes[p]).
        self._elements = np.array([elements.transpose(axes).ravel() for axes in self._axes])
        lookup = {tuple(axes): i for i, axes in enumerate(self._axes.tolist())}
        self._lookup = np.zeros(order**order, dtype=np.int64)
        for axes, i in lookup.items():
            self._lookup[int(_codes(np.array(axes), order))] = i
        powers = []
        for rotation in rotations:
            power = rotation
            for _ in range(order - 1):
                power = np.kron(power, rotation)
            powers.append(power)
        self._powers = np.array(powers)

    @classmethod
    def of(cls, symmetry: SupercellSymmetry, order: int) -> _Tensors:
        return cls(symmetry.rotations, order)

    def number(self, axes: Indices) -> Indices:
        """Return which exchange each row of axes is."""
        return np.asarray(self._lookup[_codes(axes, self._order)])

    def invariants(self, cluster: Indices, rotation: Indices, exchange: Indices) -> Array:
        """Return an orthonormal basis of the tensors that the stabiliser leaves alone."""
        size = 3**self._order
        own = np.flatnonzero((cluster[self._axes] == cluster).all(axis=1))
        pairs = np.unique(np.stack([rotation, exchange], axis=1), axis=0)
        if len(own) == 1 and len(pairs) == 1:
            return np.eye(size)
        projector = np.zeros((size, size))
        for which, axes in pairs:
            projector += self._powers[which][self._elements[axes]]
        projector /= len(pairs)
        projector = np.mean([projector[self._elements[axes]] for axes in own], axis=0)
        values, vectors = np.linalg.eigh(0.5 * (projector + projector.T))
        return np.asarray(vectors[:, values > 0.5])

    def copies(
        self,
        invariants: Array,
        images: Indices,
        rotation: Indices,
        exchange: Indices,
        at_home: NDArray[np.bool_],
    ) -> tuple[Indices, Array]:
        """Return the ordered tuples of an orbit with the first atom at home, and their tensors."""
        turned = self._powers @ invariants
        blocks = turned[rotation[:, None], self._elements[exchange]]
        n_atoms = len(at_home)
        tuples = images[:, self._axes]
        _, first = np.unique(_codes(tuples, n_atoms).ravel(), return_index=True)
        image, axes = np.divmod(first, len(self._axes))
        keep = at_home[tuples[image, axes, 0]]
        image, axes = image[keep], axes[keep]
        return tuples[image, axes], blocks[image[:, None], self._elements[axes]]


def _sum_rules(members: Indices, expansion: sparse.csr_array) -> sparse.csr_array:
    """Return the matrix whose product with the invariants is the sum over the last atom."""
    n_tuples, order = members.shape
    if not n_tuples:
        return expansion
    _, prefix = np.unique(members[:, :-1], axis=0, return_inverse=True)
    size = 3**order
    rows = (prefix.reshape(-1, 1) * size + np.arange(size)).ravel()
    shape = (size * (int(prefix.max()) + 1), n_tuples * size)
    total = sparse.csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=shape)
    return sparse.csr_array(total @ expansion)


def _coupled(rules: sparse.csr_array) -> list[tuple[Indices, Array]]:
    """Return the Gram matrix of the rules, one block for each set of coupled invariants."""
    gram = sparse.csr_array(rules.T @ rules)
    gram.data[np.abs(gram.data) < 1e-13 * np.abs(gram.data).max(initial=1e-300)] = 0.0
    gram.eliminate_zeros()
    n_sets, label = connected_components(gram, directed=False)
    sets = np.split(np.argsort(label, kind="stable"), np.cumsum(np.bincount(label))[:-1])
    return [(columns, gram[columns][:, columns].toarray()) for columns in sets[:n_sets]]


def _null_space(gram: Array) -> Array:
    """Return an orthonormal basis of the null space of a positive semidefinite matrix.

    Cholesky with pivots costs n³/3, a tenth of an eigenvalue problem.
    """
    size = len(gram)
    largest = float(np.abs(gram).max(initial=0.0))
    if largest < 1e-12:
        return np.eye(size)
    factor, pivots, rank, _ = lapack.dpstrf(gram, tol=RANK_TOLERANCE * largest, lower=0)
    if rank == size:
        return np.zeros((size, 0))
    order = pivots - 1
    upper = np.triu(factor[:rank, :rank])
    dependent = -solve_triangular(upper, factor[:rank, rank:])
    vectors = np.zeros((size, size - rank))
    vectors[order[:rank]] = dependent
    vectors[order[rank:]] = np.eye(size - rank)
    # One step of refinement removes the rounding of the squared condition number.
    error = (gram @ vectors)[order[:rank]]
    error = solve_triangular(upper, solve_triangular(upper, error, trans="T"))
    vectors[order[:rank]] -= error
    return np.asarray(np.linalg.qr(vectors)[0])

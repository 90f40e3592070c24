"""Averages of lattice matrices over the space group, many times over the same blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.orbitals import LatticeMatrix
from elphant.orbitals.lattice_matrix import Array
from elphant.orbitals.symmetry import OrbitalSymmetry

Integers = NDArray[np.int64]


class BlockSymmetrizer:
    """The average of lattice matrices over all operations of a space group.

    Only one block of each orbit is averaged, and then carried to the others: two rotations per
    block instead of one for every operation. Blocks that a matrix does not have count as zero. What
    depends on the list of blocks alone is kept for the next matrix with the same ones.

    Parameters
    ----------
    symmetry : OrbitalSymmetry
    """

    def __init__(self, symmetry: OrbitalSymmetry) -> None:
        self._symmetry = symmetry
        self._pattern: LatticeMatrix | None = None

    def _prepare(self, pattern: LatticeMatrix) -> None:
        known = self._pattern
        if (
            known is not None
            and np.array_equal(pattern.pairs, known.pairs)
            and np.array_equal(pattern.cells, known.cells)
        ):
            return
        symmetry, n = self._symmetry, pattern.n_blocks
        self._pattern = pattern
        self._images = _block_images(symmetry, pattern)
        valid = np.where(self._images >= 0, self._images, n)
        lowest = valid.min(axis=0)
        self._representatives = np.flatnonzero(lowest == np.arange(n))
        self._source, self._operation = np.full(n, -1), np.full(n, -1)
        for operation in range(symmetry.n_operations):
            target = self._images[operation, self._representatives]
            inside = target >= 0
            self._source[target[inside]] = self._representatives[inside]
            self._operation[target[inside]] = operation

    def __call__(self, matrix: LatticeMatrix) -> LatticeMatrix:
        """Return the average of ``matrix``, with the same blocks."""
        self._prepare(matrix)
        mean = self._averages(matrix)
        result = np.zeros_like(matrix.values)
        pairs, n = matrix.pairs, len(matrix.sizes)
        keys = (self._operation * n + pairs[self._source, 0]) * n + pairs[self._source, 1]
        for blocks in _groups(keys):
            operation = int(self._operation[blocks[0]])
            source = self._source[blocks]
            i, j = pairs[source[0]]
            left = self._symmetry.matrices[operation][i]
            right = self._symmetry.matrices[operation][j]
            part = mean[_places(matrix, source)].reshape(-1, left.shape[1], right.shape[1])
            result[_places(matrix, blocks)] = (left @ part @ right.T).reshape(len(blocks), -1)
        return matrix.with_values(result)

    def _averages(self, matrix: LatticeMatrix) -> Array:
        """Return an array like the values in which the representative blocks are averaged."""
        values, sizes = matrix.values, matrix.sizes
        mean = np.zeros_like(values)
        pairs, n = matrix.pairs, len(sizes)
        chosen = self._representatives
        for members in _groups(pairs[chosen, 0] * n + pairs[chosen, 1]):
            blocks = chosen[members]
            i, j = pairs[blocks[0]]
            total = np.zeros((len(blocks), sizes[i], sizes[j]), dtype=values.dtype)
            for operation in range(self._symmetry.n_operations):
                image = self._images[operation, blocks]
                there = image >= 0
                left = self._symmetry.matrices[operation][i]
                right = self._symmetry.matrices[operation][j]
                shape = (-1, len(left), len(right))
                part = values[_places(matrix, image[there])].reshape(shape)
                total[there] += left.T @ part @ right
            total /= self._symmetry.n_operations
            mean[_places(matrix, blocks)] = total.reshape(len(blocks), -1)
        return mean


def _places(matrix: LatticeMatrix, blocks: Integers) -> Integers:
    """Return where the elements of equally large blocks stand, (n_blocks, size)."""
    offsets = matrix.offsets
    size = int(offsets[blocks[0] + 1] - offsets[blocks[0]]) if len(blocks) else 0
    return np.asarray(offsets[blocks][:, None] + np.arange(size))


def _groups(keys: Integers) -> list[Integers]:
    """Return the indices of each distinct key."""
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    return [group for group in np.split(order, edges) if len(group)]


def _block_images(symmetry: OrbitalSymmetry, pattern: LatticeMatrix) -> Integers:
    """Return the block each operation brings each block to, (n_operations, n_blocks), or -1."""
    i, j = pattern.pairs.T
    low = pattern.cells.min(axis=0)
    shape = pattern.cells.max(axis=0) - low + 1
    n = len(pattern.sizes)
    table = np.full((n, n, *shape), -1, dtype=np.int64)
    table[(i, j, *(pattern.cells - low).T)] = np.arange(pattern.n_blocks)
    images = np.full((symmetry.n_operations, pattern.n_blocks), -1, dtype=np.int64)
    for operation, rotation in enumerate(symmetry.rotations):
        atoms, shift = symmetry.atoms[operation], symmetry.shifts[operation]
        cells = pattern.cells @ rotation.T + shift[j] - shift[i] - low
        inside = ((cells >= 0) & (cells < shape)).all(axis=1)
        where = (atoms[i[inside]], atoms[j[inside]], *cells[inside].T)
        images[operation, inside] = table[where]
    return images

"""Action of the space group on local orbitals, lattice matrices and Bloch states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import Crystal, Symmetry
from elphant.orbitals.basis import L_LETTERS, OrbitalBasis
from elphant.orbitals.harmonics import rotation_matrix
from elphant.orbitals.lattice_matrix import LatticeMatrix

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]
#: n, l, and number of the radial function.
Shell = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrbitalSymmetry:
    r"""Representation of the space group on the orbitals of a crystal.

    An operation g = {W|w} (fractional) brings atom i of cell R to atom gi of cell
    :math:`W R + L_i`, and turns its real harmonics with the matrix D:

    .. math::
        g\,\phi_{i m, R} = \sum_{m'} D_{m' m}\, \phi_{g i\, m',\; W R + L_i}

    Attributes
    ----------
    rotations : ndarray of int, (n_ops, 3, 3)
        W, acting on fractional columns.
    atoms : ndarray of int, (n_ops, n_atoms)
        gi of each atom i.
    shifts : ndarray of int, (n_ops, n_atoms, 3)
        L_i.
    matrices : tuple of tuple of ndarray
        D of each operation and atom i, (n_orbitals of gi, n_orbitals of i); orthogonal.
    sizes : ndarray of int, (n_atoms,)
        Number of orbitals of each atom.
    """

    rotations: Integers
    atoms: Integers
    shifts: Integers
    matrices: tuple[tuple[Array, ...], ...]
    sizes: Integers

    @classmethod
    def of(cls, crystal: Crystal, symmetry: Symmetry, basis: OrbitalBasis) -> OrbitalSymmetry:
        """Build the representation of ``symmetry`` on ``basis``.

        Raises
        ------
        ValueError
            If the basis has spinors or orbitals of unknown shape, lacks some m of a shell, differs
            between equivalent atoms, or if the operations do not map the crystal onto itself.
        """
        if basis.n_atoms != crystal.n_atoms:
            raise ValueError("the basis belongs to a crystal with another number of atoms")
        shells = _shells(basis)
        atoms, shifts = _atom_images(crystal, symmetry)
        columns = crystal.lattice.T
        inverse = np.linalg.inv(columns)
        matrices = []
        for operation, rotation in enumerate(symmetry.rotations):
            # The lattice has the symmetry to within the tolerance only; D must be orthogonal.
            left, _, right = np.linalg.svd(columns @ rotation @ inverse)
            turned = [rotation_matrix(ell, left @ right) for ell in range(int(basis.l.max()) + 1)]
            matrices.append(
                tuple(
                    _shell_matrix(shells[atom], shells[image], turned)
                    for atom, image in enumerate(atoms[operation].tolist())
                )
            )
        return cls(
            rotations=symmetry.rotations,
            atoms=atoms,
            shifts=shifts,
            matrices=tuple(matrices),
            sizes=basis.sizes,
        )

    @property
    def n_operations(self) -> int:
        """Number of operations."""
        return len(self.rotations)

    def transform(self, matrix: LatticeMatrix, operation: int) -> LatticeMatrix:
        r"""Return the operator after operation number ``operation``.

        .. math:: O'_{gi,gj}(W R + L_j - L_i) = D_i\, O_{ij}(R)\, D_j^T

        An operator with the symmetry of the crystal is unchanged.
        """
        self._check(matrix)
        pairs, cells = self._targets(matrix, operation)
        values = [block.ravel() for _, block in self._turned(matrix, operation)]
        return LatticeMatrix(
            sizes=self.sizes,
            pairs=pairs,
            cells=cells,
            values=np.concatenate(values) if values else matrix.values,
        )

    def symmetrized(self, matrix: LatticeMatrix) -> tuple[LatticeMatrix, float]:
        """Return the average over all operations, and the largest change of an element.

        Blocks that are missing in ``matrix`` count as zero; the result has every block that some
        operation brings in.
        """
        self._check(matrix)
        if not matrix.n_blocks:
            return matrix, 0.0
        # The blocks of the input come first, to find them again among the distinct ones.
        targets = [(matrix.pairs, matrix.cells)]
        targets += [self._targets(matrix, operation) for operation in range(self.n_operations)]
        distinct, place = _distinct_blocks(np.concatenate([np.hstack(entry) for entry in targets]))
        places = place.reshape(len(targets), -1)
        lengths = self.sizes[distinct[:, :2]].prod(axis=1)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        total = np.zeros(starts[-1], dtype=matrix.values.dtype)
        for operation in range(self.n_operations):
            for blocks, turned in self._turned(matrix, operation):
                first = starts[places[operation + 1, blocks]]
                size = turned[0].size
                # An operation brings different blocks to different places.
                total[first[:, None] + np.arange(size)] += turned.reshape(-1, size)
        total /= self.n_operations
        change = total.copy()
        first = np.repeat(starts[places[0]] - matrix.offsets[:-1], np.diff(matrix.offsets))
        change[first + np.arange(len(matrix.values))] -= matrix.values
        mean = LatticeMatrix(
            sizes=self.sizes, pairs=distinct[:, :2], cells=distinct[:, 2:], values=total
        )
        return mean, float(np.abs(change).max())

    def coefficients(
        self, coefficients: ArrayLike, k_point: ArrayLike, operation: int
    ) -> tuple[Array, Complex]:
        r"""Return the wave vector and coefficients of a Bloch state after an operation.

        .. math:: k' = k W^{-1}, \qquad c'_{gi} = e^{-2\pi i k' \cdot L_i}\, D_i\, c_i

        Parameters
        ----------
        coefficients : array_like, (n_orbitals, ...)
            In the lattice gauge.
        k_point : array_like, (3,)
            In the reciprocal lattice of the cell.
        operation : int

        Returns
        -------
        ndarray, (3,)
            k', not reduced to the first zone.
        ndarray, (n_orbitals, ...)
        """
        c = np.asarray(coefficients, dtype=np.complex128)
        image = np.asarray(k_point, dtype=float) @ np.linalg.inv(self.rotations[operation])
        starts = np.concatenate([[0], np.cumsum(self.sizes)])
        result = np.empty_like(c)
        for i, j in enumerate(self.atoms[operation].tolist()):
            phase = np.exp(-2j * np.pi * (image @ self.shifts[operation, i]))
            turned = self.matrices[operation][i] @ c[starts[i] : starts[i + 1]].reshape(
                self.sizes[i], -1
            )
            target = slice(starts[j], starts[j + 1])
            result[target] = phase * turned.reshape(result[target].shape)
        return image, result

    def _check(self, matrix: LatticeMatrix) -> None:
        if not np.array_equal(matrix.sizes, self.sizes):
            raise ValueError("the matrix belongs to another basis")

    def _targets(self, matrix: LatticeMatrix, operation: int) -> tuple[Integers, Integers]:
        """Return pairs and cells of every block after an operation, in the order of the input."""
        i, j = matrix.pairs.T
        shift = self.shifts[operation]
        cells = matrix.cells @ self.rotations[operation].T + shift[j] - shift[i]
        return self.atoms[operation][matrix.pairs], cells

    def _turned(self, matrix: LatticeMatrix, operation: int) -> Iterator[tuple[slice, Array]]:
        """Yield the turned blocks of one atom pair at a time."""
        for i, j, blocks in matrix.groups:
            left, right = self.matrices[operation][i], self.matrices[operation][j]
            yield blocks, left @ matrix.group_values(blocks) @ right.T


def _distinct_blocks(keys: Integers) -> tuple[Integers, Integers]:
    """Return distinct rows of ``keys`` (n, 5), ascending, and the place of each row among them."""
    low = keys.min(axis=0)
    widths = np.ptp(keys, axis=0) + 1
    strides = np.concatenate([np.cumprod(widths[:0:-1])[::-1], [1]])
    _, first, place = np.unique((keys - low) @ strides, return_index=True, return_inverse=True)
    return keys[first], place


def _atom_images(crystal: Crystal, symmetry: Symmetry) -> tuple[Integers, Integers]:
    """Return the atom (n_ops, n_atoms) and cell (n_ops, n_atoms, 3) each atom is brought to."""
    atoms = np.empty((len(symmetry.rotations), crystal.n_atoms), dtype=np.int64)
    shifts = np.empty((*atoms.shape, 3), dtype=np.int64)
    everyone = np.arange(crystal.n_atoms)
    operations = zip(symmetry.rotations, symmetry.translations, strict=True)
    for operation, (rotation, translation) in enumerate(operations):
        image = crystal.fractional @ rotation.T + translation
        offset = image[:, None] - crystal.fractional[None]
        cell = np.round(offset)
        distance = np.linalg.norm((offset - cell) @ crystal.lattice, axis=2)
        distance[crystal.numbers[:, None] != crystal.numbers[None]] = np.inf
        target = distance.argmin(axis=1)
        # spglib's tolerance is a distance between pairs; the origin may add as much again.
        if (
            distance[everyone, target].max() > 3.0 * symmetry.tolerance
            or len(set(target.tolist())) < crystal.n_atoms
        ):
            raise ValueError("the symmetry operations do not map the crystal onto itself")
        atoms[operation], shifts[operation] = target, cell[everyone, target]
    return atoms, shifts


def _shells(basis: OrbitalBasis) -> list[dict[Shell, Integers]]:
    """Return the orbitals of each shell of each atom, counted inside the atom, in the order of m.

    Shells are named by n, l and the first equal radial function (-1 where unknown).
    """
    if basis.is_spinor or basis.l.min() < 0:
        raise ValueError("only spin-free orbitals of known angular momentum can be rotated")
    assert basis.radial_index is not None
    records = [radial.to_dict() for radial in basis.radial]
    distinct = np.array([*(records.index(record) for record in records), -1])
    names = np.stack([basis.n, basis.l, distinct[basis.radial_index]], axis=1).tolist()
    shells = []
    for atom, (start, size) in enumerate(zip(basis.starts, basis.sizes, strict=True)):
        members: dict[Shell, list[int]] = {}
        for index in range(size):
            n, ell, radial = names[start + index]
            members.setdefault((n, ell, radial), []).append(index)
        ordered = {}
        for (n, ell, radial), found in members.items():
            m = basis.m[start + np.array(found)]
            if not np.array_equal(np.sort(m), np.arange(-ell, ell + 1)):
                raise ValueError(
                    f"shell {n}{L_LETTERS[ell]} of atom {atom + 1} has m = {m.tolist()}; a "
                    "rotation needs each from -l to l once, with one radial function"
                )
            ordered[n, ell, radial] = np.array(found)[np.argsort(m)]
        shells.append(ordered)
    return shells


def _shell_matrix(
    source: dict[Shell, Integers], target: dict[Shell, Integers], turned: list[Array]
) -> Array:
    """Return D from the orbitals of one atom to those of its image."""
    if source.keys() != target.keys():
        raise ValueError("equivalent atoms have different shells")
    size = sum(len(members) for members in source.values())
    matrix = np.zeros((size, size))
    for shell, members in source.items():
        matrix[np.ix_(target[shell], members)] = turned[shell[1]]
    return matrix

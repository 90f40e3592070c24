"""Weighted least squares for Φ2 in the space of all symmetric, translation-invariant ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import PhysicsError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Sums over snapshots from which Φ2 follows; sums of sums are sums again.

    Attributes
    ----------
    matrix : ndarray, (n_parameters, n_parameters)
    right : ndarray, (n_parameters,)
    """

    matrix: Array
    right: Array

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(self.matrix + other.matrix, self.right + other.right)

    def __sub__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(self.matrix - other.matrix, self.right - other.right)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SecondOrderBasis:
    r"""Symmetric basis of Φ2 in a supercell: ``Φ(i; j) = Σ_b x_b B_b(i; j)``.

    Attributes
    ----------
    rows : ndarray of int, (n_primitive,)
        Supercell atoms whose rows ``vectors`` holds, one per primitive atom.
    translations : ndarray of int, (n_cells, n_supercell)
        Atom onto which each lattice translation takes each atom.
    vectors : scipy sparse array, (n_primitive * n_supercell * 9, n_parameters)
        In the order (row, atom, Cartesian of the row, Cartesian of the atom).
    home : ndarray of int, (n_primitive,)
        Supercell atoms that the rows of compact Φ2 belong to.
    permutations : ndarray of int, (n_operations, n_supercell)
        Atom onto which an operation of the space group of the supercell takes each atom; one
        operation for each rotation.
    rotations : ndarray, (n_operations, 3, 3)
        Their Cartesian rotations.
    """

    rows: Integers
    translations: Integers
    vectors: Any
    home: Integers
    permutations: Integers
    rotations: Array

    @property
    def n_parameters(self) -> int:
        """Free parameters of Φ2."""
        return int(self.vectors.shape[1])

    @property
    def n_atoms(self) -> int:
        """Atoms of the supercell."""
        return int(self.translations.shape[1])

    def equations(self, displacements: Array, forces: Array, weights: Array) -> NormalEquations:
        r"""Return the normal equations of ``min Σ_s w_s |F_s + Φ2 u_s|²``.

        They need only the weighted sums ``Σ w u u`` and ``Σ w u F``. These are averaged over the
        space group, after which one atom of each orbit stands for all: the solution is the same
        as that of all atoms of all snapshots.

        Parameters
        ----------
        displacements, forces : ndarray, (n_snapshots, n_supercell, 3) Å and eV/Å
        weights : ndarray, (n_snapshots,)
        """
        n = self.n_atoms
        u = displacements.reshape(-1, 3 * n)
        weighted = (weights[:, None] * u).T
        gram = self._averaged(weighted @ u)
        mixed = self._averaged(weighted @ forces.reshape(-1, 3 * n))
        matrix = np.zeros((self.n_parameters, self.n_parameters))
        right = np.zeros(self.n_parameters)
        for row, count in self._representatives():
            for a in range(3):
                used, block = self._design(row, a)
                matrix[np.ix_(used, used)] += count * (block.T @ (gram @ block))
                right[used] -= count * (block.T @ mixed[:, 3 * self.rows[row] + a])
        return NormalEquations(matrix, right)

    def _averaged(self, sums: Array) -> Array:
        """Return (3 n, 3 n) sums over pairs of atoms averaged over the space group."""
        n = self.n_atoms
        blocks = sums.reshape(n, 3, n, 3)
        shifted = np.zeros((n, 3, n, 3))
        for permutation in self.translations:
            shifted += blocks[permutation][:, :, permutation]
        # The translations are done: one operation of each rotation covers the rest of the group.
        total = np.zeros((n, 3, n, 3))
        for permutation, rotation in zip(self.permutations, self.rotations, strict=True):
            inverse = np.argsort(permutation)
            turned = np.tensordot(shifted[inverse][:, :, inverse], rotation, axes=(3, 1))
            total += np.einsum("ac,icjb->iajb", rotation, turned)
        n_operations = len(self.translations) * len(self.permutations)
        return total.reshape(3 * n, 3 * n) / n_operations

    def _representatives(self) -> list[tuple[int, int]]:
        """Return a row of each orbit of atoms and the number of rows in the orbit."""
        # Translations first, so that an orbit is named by one of its rows.
        to_row = self.translations[:, self.rows].min(axis=0)
        name = np.empty(self.n_atoms, dtype=int)
        for permutation in self.translations:
            name[permutation[self.rows]] = to_row
        orbits = name[self.permutations[:, self.rows]].min(axis=0)
        firsts, counts = np.unique(orbits, return_index=True, return_counts=True)[1:]
        return [(int(row), int(count)) for row, count in zip(firsts, counts, strict=True)]

    def _design(self, row: int, a: int) -> tuple[Integers, Array]:
        """Return the parameters that act on one force component and their columns (3 n, n_used)."""
        n = self.n_atoms
        atoms = np.arange(n)
        lines = (((row * n + atoms) * 3 + a)[:, None] * 3 + np.arange(3)).ravel()
        part = self.vectors[lines].tocsc()
        used = np.flatnonzero(np.diff(part.indptr))
        return used, part[:, used].toarray()

    def solve(self, equations: NormalEquations) -> Array:
        """Return compact Φ2, (n_primitive, n_supercell, 3, 3) eV/Å², of the normal equations."""
        from scipy.linalg import cho_factor, cho_solve

        try:
            factor = cho_factor(equations.matrix, lower=True)
        except np.linalg.LinAlgError:
            raise PhysicsError(
                f"the {self.n_parameters} parameters of Φ2 are not determined by the snapshots.",
                "There are fewer independent force components than parameters.",
                "Draw more snapshots per batch.",
            ) from None
        return self.compact(cho_solve(factor, equations.right))

    def compact(self, parameters: Array) -> Array:
        """Return compact Φ2 in the layout of ``ForceConstants.second``."""
        shape = (len(self.rows), self.n_atoms, 3, 3)
        values = np.asarray(self.vectors @ parameters).reshape(shape)
        return self._moved(values, self.rows, self.home)

    def expanded(self, second: Array) -> Array:
        """Return Φ2 between all atoms, (n_supercell, n_supercell, 3, 3), of compact Φ2."""
        full = np.zeros((self.n_atoms, self.n_atoms, 3, 3))
        for permutation in self.translations:
            full[np.ix_(permutation[self.home], permutation)] = second
        return full

    def _moved(self, values: Array, have: Integers, wanted: Integers) -> Array:
        """Return rows of other representative atoms, in their order."""
        result = np.zeros((len(wanted), *values.shape[1:]))
        for permutation in self.translations:
            for i, atom in enumerate(wanted):
                for row in np.flatnonzero(permutation[have] == atom):
                    result[i, permutation] = values[row]
        return result

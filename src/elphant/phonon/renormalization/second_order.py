"""The lattice behind compact second-order force constants, and corrections to them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.errors import ConfigurationError

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SecondOrderLattice:
    r"""Which atoms of the infinite crystal the elements of compact Φ2 stand for.

    The dynamical matrix is linear in Φ2. A correction ΔΦ2 therefore adds

    .. math:: \Delta D_{ij}(q) = \sum_R \Delta\Phi_{ij}(R)\, e^{2\pi i q R} / \sqrt{m_i m_j}

    to the dynamical matrix of the uncorrected Φ2, whatever long-range part that one contains.

    Attributes
    ----------
    lattice : ndarray, (3, 3) Å
        Primitive vectors as rows.
    positions : ndarray, (n_atoms, 3)
        Fractional coordinates in the primitive cell.
    masses : ndarray, (n_atoms,) amu
    supercell : ndarray of int, (3, 3)
        Supercell vectors as rows, in primitive vectors.
    home : ndarray of int, (n_atoms,)
        Supercell atom of each row of compact Φ2.
    atoms, cells : ndarray of int, (n_supercell,) and (n_supercell, 3)
        Primitive atom and lattice translation of each supercell atom.
    image_rows, image_columns : ndarray of int, (n_images,)
        Element of compact Φ2 that each image belongs to.
    image_cells : ndarray of int, (n_images, 3)
        Lattice translation from the cell of the row atom to that of the image.
    image_weights : ndarray, (n_images,)
        One over the number of equally near images.
    """

    lattice: Array
    positions: Array
    masses: Array
    supercell: Integers
    home: Integers
    atoms: Integers
    cells: Integers
    image_rows: Integers
    image_columns: Integers
    image_cells: Integers
    image_weights: Array

    def __post_init__(self) -> None:
        n, m, k = len(self.masses), len(self.atoms), len(self.image_rows)
        for name, shape, dtype in (
            ("lattice", (3, 3), float),
            ("positions", (n, 3), float),
            ("masses", (n,), float),
            ("supercell", (3, 3), int),
            ("home", (n,), int),
            ("atoms", (m,), int),
            ("cells", (m, 3), int),
            ("image_rows", (k,), int),
            ("image_columns", (k,), int),
            ("image_cells", (k, 3), int),
            ("image_weights", (k,), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    @property
    def n_atoms(self) -> int:
        """Atoms of the primitive cell."""
        return len(self.masses)

    @property
    def n_cells(self) -> int:
        """Primitive cells in the supercell."""
        return len(self.atoms) // len(self.masses)

    def wrapped(self, cells: ArrayLike) -> Integers:
        """Return translations, (..., 3), brought into the supercell."""
        cells = np.asarray(cells)
        inside = np.floor(cells @ np.linalg.inv(self.supercell) + 1e-6).astype(np.int64)
        return np.asarray(cells - inside @ self.supercell)

    def columns(self, rows: ArrayLike, atoms: ArrayLike, cells: ArrayLike) -> Integers:
        """Return the supercell atom that atom ``atoms`` of cell ``cells`` falls on.

        ``cells`` (n, 3) counts from the cell of the row atoms ``rows`` (n,).
        """
        rows, atoms = np.asarray(rows), np.asarray(atoms)
        absolute = self.wrapped(np.asarray(cells) + self.cells[self.home][rows])
        table = {
            (int(k), *map(int, cell)): j
            for j, (k, cell) in enumerate(zip(self.atoms, self.wrapped(self.cells), strict=True))
        }
        keys = np.concatenate([atoms[:, None], absolute], axis=1)
        unique, inverse = np.unique(keys, axis=0, return_inverse=True)
        found = np.array([table[tuple(map(int, key))] for key in unique], dtype=np.int64)
        return np.asarray(found[inverse.reshape(-1)])

    def commensurate_points(self) -> Array:
        """Return the q points that fit the supercell, (n_cells, 3), Γ first."""
        # q = S⁻¹ n with integer n, wrapped into [0, 1).
        adjugate = np.rint(np.linalg.inv(self.supercell) * self.n_cells).astype(np.int64)
        span = range(self.n_cells)
        found: set[tuple[int, int, int]] = {(0, 0, 0)}
        for column in adjugate.T:
            steps = [tuple((m * column) % self.n_cells) for m in span]
            found = {
                tuple(int(x) for x in (np.array(a) + b) % self.n_cells)  # type: ignore[misc]
                for a, b in product(found, set(steps))
            }
        points = np.array(sorted(found), dtype=float) / self.n_cells
        assert len(points) == self.n_cells
        return points

    def correction_matrices(self, correction: Array, q_points: Array) -> Complex:
        """Return ΔD(q), (n_q, 3 n_atoms, 3 n_atoms) eV Å⁻² amu⁻¹, lattice phase.

        Parameters
        ----------
        correction : ndarray, (n_atoms, n_supercell, 3, 3) eV/Å²
            ΔΦ2 in the compact layout; its images are those of phonopy.
        q_points : ndarray, (n_q, 3)
        """
        return CorrectionTransform.of(self, q_points).matrices(correction)

    def correction_from_matrices(self, matrices: Complex) -> Array:
        r"""Return compact ΔΦ2 from ΔD at :meth:`commensurate_points` (the inverse transform).

        ``ΔΦ(i0; jR) = sqrt(m_i m_j) / N Σ_q ΔD_ij(q) exp(-iq·R)``.
        """
        points = self.commensurate_points()
        n = self.n_atoms
        relative = self.cells[None, :, :] - self.cells[self.home][:, None, :]
        blocks = matrices.reshape(len(points), n, 3, n, 3)
        result = np.zeros((n, len(self.atoms), 3, 3))
        for i in range(n):
            phases = np.exp(-2j * np.pi * relative[i] @ points.T)
            for j in range(n):
                columns = np.flatnonzero(self.atoms == j)
                summed = np.einsum("cq,qab->cab", phases[columns], blocks[:, i, :, j, :])
                mass = np.sqrt(self.masses[i] * self.masses[j])
                result[i, columns] = mass * summed.real / len(points)
        return result

    def transposed(self, second: Array) -> Array:
        """Return Φ(j0; i -R)ᵀ in the place of Φ(i0; jR): equal to Φ for second derivatives."""
        n, m = second.shape[:2]
        rows = np.repeat(np.arange(n), m)
        columns = np.tile(np.arange(m), n)
        relative = self.cells[columns] - self.cells[self.home][rows]
        opposite = self.columns(self.atoms[columns], rows, -relative)
        moved = second[self.atoms[columns], opposite].transpose(0, 2, 1)
        return np.asarray(moved.reshape(n, m, 3, 3))


@dataclass(frozen=True, slots=True, eq=False)
class CorrectionTransform:
    """Precomputed phases from compact ΔΦ2 to ΔD at fixed q points."""

    lattice: SecondOrderLattice
    phases: Complex
    scatter: Integers

    @classmethod
    def of(cls, lattice: SecondOrderLattice, q_points: Array) -> CorrectionTransform:
        """Prepare the transform for ``q_points`` (n_q, 3)."""
        cells, index = np.unique(lattice.image_cells, axis=0, return_inverse=True)
        return cls(lattice, np.exp(2j * np.pi * q_points @ cells.T), index.reshape(-1))

    def matrices(self, correction: Array) -> Complex:
        """Return ΔD(q), (n_q, 3 n_atoms, 3 n_atoms)."""
        lat = self.lattice
        n = lat.n_atoms
        atom = lat.atoms[lat.image_columns]
        scale = lat.image_weights / np.sqrt(lat.masses[lat.image_rows] * lat.masses[atom])
        blocks = correction[lat.image_rows, lat.image_columns] * scale[:, None, None]
        by_cell = np.zeros((self.phases.shape[1], n, n, 3, 3))
        np.add.at(by_cell, (self.scatter, lat.image_rows, atom), blocks)
        real = by_cell.transpose(0, 1, 3, 2, 4).reshape(-1, 9 * n * n)
        # Real blocks: two real products are cheaper than one complex.
        sums = self.phases.real @ real + 1j * (self.phases.imag @ real)
        matrices = sums.reshape(-1, 3 * n, 3 * n)
        return np.asarray(0.5 * (matrices + matrices.conj().transpose(0, 2, 1)))


def mesh_points(divisions: ArrayLike) -> Array:
    """Return the q points of a Γ-centred mesh, (n_q, 3), Γ first."""
    n = np.asarray(divisions, dtype=int)
    if n.shape != (3,) or (n < 1).any():
        raise ConfigurationError(
            f"a mesh of {np.asarray(divisions).tolist()} is not three positive integers."
        )
    return np.asarray(np.array(list(np.ndindex(*n))) / n)


def half_of(q_points: Array) -> tuple[Integers, Array]:
    """Return one of each pair q, -q and how many points it stands for (time reversal)."""
    wrapped = q_points - np.floor(q_points + 1e-9)
    keys = np.rint(wrapped * 1e8).astype(np.int64) % 10**8
    negative = (-keys) % 10**8
    chosen: dict[tuple[int, ...], int] = {}
    indices: list[int] = []
    weights: list[float] = []
    for i, (key, mirror) in enumerate(zip(keys.tolist(), negative.tolist(), strict=True)):
        partner = chosen.get(tuple(mirror))
        if partner is None:
            partner = _near_key(chosen, mirror)
        if partner is None:
            chosen[tuple(key)] = len(indices)
            indices.append(i)
            weights.append(1.0)
        else:
            weights[partner] += 1.0
    return np.array(indices), np.array(weights)


def _near_key(chosen: dict[tuple[int, ...], int], key: list[int]) -> int | None:
    """Find a key that differs by the rounding of one unit."""
    for shift in product((-1, 0, 1), repeat=3):
        moved = tuple((k + s) % 10**8 for k, s in zip(key, shift, strict=True))
        if moved in chosen:
            return chosen[moved]
    return None

"""Random short-ranged Hamiltonians without symmetry, and other cells for the same crystal."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from elphant.crystal import Crystal
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)

LATTICE = np.array([[3.1, 0.2, 0.0], [-0.7, 3.6, 0.4], [0.3, 0.5, 4.2]])
ORIGIN = HamiltonianOrigin(provider="random", level_of_theory="none", self_consistent=False)


def random_hamiltonian(
    seed: int = 0, *, overlap: bool = True, spinor: bool = False, n_electrons: float = 4.0
) -> LocalOrbitalHamiltonian:
    """Return five orbitals (ten with spin) on two atoms, complex with spin."""
    generator = np.random.default_rng(seed)
    crystal = Crystal(
        lattice=LATTICE, fractional=[[0.1, 0.2, 0.05], [0.55, 0.48, 0.6]], numbers=[51, 34]
    )
    sizes = np.array([2, 3]) * (2 if spinor else 1)
    atom = np.repeat([0, 1], sizes)
    n = len(atom)
    cells = np.array(list(product((-1, 0, 1), repeat=3)))
    distance = np.linalg.norm(
        (cells @ LATTICE)[:, None, None]
        + crystal.positions[atom][None, None]
        - crystal.positions[atom][None, :, None],
        axis=-1,
    )

    def matrix(diagonal: np.ndarray, scale: float) -> LatticeMatrix:
        values = generator.standard_normal((27, n, n)).astype(complex)
        if spinor:
            values += 1j * generator.standard_normal((27, n, n))
        values *= scale * np.exp(-0.8 * distance)
        values = values + values[::-1].conj().swapaxes(1, 2)
        values[13] += np.diag(diagonal)
        return LatticeMatrix.from_cells(sizes, cells, values if spinor else values.real)

    levels = np.sort(generator.uniform(-6.0, 6.0, n))
    basis = OrbitalBasis(
        atom=atom, n=np.arange(n) + 1, l=np.zeros(n), m=np.zeros(n),
        spin=np.tile([1, -1], n // 2) if spinor else np.zeros(n),
    )  # fmt: skip
    return LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=basis,
        hamiltonian=matrix(levels, 4.0),
        overlap=matrix(np.ones(n), 0.06 if spinor else 0.12) if overlap else None,
        n_electrons=n_electrons,
        origin=ORIGIN,
    )


def in_other_axes(h: LocalOrbitalHamiltonian, matrix: np.ndarray) -> LocalOrbitalHamiltonian:
    """Return the same crystal with lattice vectors ``matrix @ lattice`` (unimodular)."""
    inverse = np.linalg.inv(matrix)
    crystal = Crystal(
        lattice=matrix @ h.crystal.lattice,
        fractional=h.crystal.fractional @ inverse,
        numbers=h.crystal.numbers,
    )

    def moved(m: LatticeMatrix) -> LatticeMatrix:
        cells = np.rint(m.cells @ inverse).astype(int)
        return LatticeMatrix(sizes=m.sizes, pairs=m.pairs, cells=cells, values=m.values)

    return replace(
        h, crystal=crystal, hamiltonian=moved(h.hamiltonian),
        overlap=None if h.overlap is None else moved(h.overlap),
    )  # fmt: skip


def rotated(h: LocalOrbitalHamiltonian, rotation: np.ndarray) -> LocalOrbitalHamiltonian:
    """Return the crystal turned in space; its orbitals turn with it (their labels are s)."""
    crystal = Crystal(
        lattice=h.crystal.lattice @ rotation.T,
        fractional=h.crystal.fractional,
        numbers=h.crystal.numbers,
    )
    return replace(h, crystal=crystal)


def doubled(h: LocalOrbitalHamiltonian, axis: int) -> LocalOrbitalHamiltonian:
    """Return a supercell of two cells along ``axis``."""
    lattice = h.crystal.lattice.copy()
    lattice[axis] *= 2
    shift = np.eye(3)[axis]
    fractional = np.concatenate([h.crystal.fractional, h.crystal.fractional + shift])
    fractional[:, axis] /= 2
    n_atoms = h.crystal.n_atoms
    crystal = Crystal(lattice=lattice, fractional=fractional, numbers=np.tile(h.crystal.numbers, 2))

    def repeated(m: LatticeMatrix) -> LatticeMatrix:
        pairs, cells, values = [], [], []
        for copy in (0, 1):
            target = m.cells[:, axis] + copy
            there = m.cells.copy()
            there[:, axis] = target // 2
            pairs.append(m.pairs + n_atoms * np.stack([0 * target + copy, target % 2], axis=1))
            cells.append(there)
            values.append(m.values)
        return LatticeMatrix(
            sizes=np.tile(m.sizes, 2), pairs=np.concatenate(pairs),
            cells=np.concatenate(cells), values=np.concatenate(values),
        )  # fmt: skip

    basis = OrbitalBasis(
        atom=np.concatenate([h.basis.atom, h.basis.atom + n_atoms]),
        **{name: np.tile(getattr(h.basis, name), 2) for name in ("n", "l", "m", "spin")},
    )
    return LocalOrbitalHamiltonian(
        crystal=crystal, basis=basis, hamiltonian=repeated(h.hamiltonian),
        overlap=None if h.overlap is None else repeated(h.overlap),
        n_electrons=2 * h.n_electrons, origin=h.origin,
    )  # fmt: skip


def cosine_bands(
    lattice: np.ndarray, hopping: np.ndarray, levels: tuple[float, float] = (-2.0, 2.0)
) -> LocalOrbitalHamiltonian:
    """Return two bands ``level -/+ Σ t_i (1 - cos k·a_i)``: edges at Γ, masses known."""
    crystal = Crystal(lattice=lattice, fractional=np.zeros((1, 3)), numbers=[14])
    cells = np.concatenate([np.zeros((1, 3), int), np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    t = np.asarray(hopping)
    signs = np.diag([-1.0, 1.0])
    values = np.array([np.diag(levels) + t.sum() * signs, *[-0.5 * x * signs for x in (*t, *t)]])
    basis = OrbitalBasis(atom=[0, 0], n=[1, 2], l=[0, 0], m=[0, 0], spin=[0, 0])
    return LocalOrbitalHamiltonian(
        crystal=crystal, basis=basis, overlap=None, n_electrons=2.0, origin=ORIGIN,
        hamiltonian=LatticeMatrix.from_cells([2], cells, values),
    )  # fmt: skip

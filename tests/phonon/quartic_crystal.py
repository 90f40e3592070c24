"""Crystals with an exactly quartic energy, and its derivatives of all orders in closed form.

Each bond stretches along its own direction: ``E = t/2 |d|² + k/2 s² + c/6 s³ + g/24 s⁴`` with
``d = u_j - u_i`` and ``s = d·n``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from elphant.crystal import Crystal
from elphant.phonon.adapters.phonopy_adapter import build_phonopy, from_phonopy_atoms
from elphant.phonon.adapters.renormalization_adapter import HarmonicCrystal
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.sparse_force_constants import SparseForceConstants


@dataclass(frozen=True)
class Bond:
    """Atom ``i`` of the home cell and atom ``j`` of ``cell``; all energies per Å^n."""

    i: int
    j: int
    cell: tuple[int, int, int]
    n: np.ndarray
    t: float
    k: float
    c: float
    g: float


@dataclass(frozen=True)
class QuarticCrystal:
    """Bonds of the primitive cell ``crystal`` and a supercell made of ``repeat`` cells."""

    crystal: Crystal
    bonds: tuple[Bond, ...]
    repeat: tuple[int, int, int]

    @property
    def matrix(self):
        return np.diag(self.repeat)

    def force_constants(self, *, third: bool = False) -> ForceConstants:
        phonopy = self._phonopy
        supercell = from_phonopy_atoms(phonopy.supercell)
        second = -self._numeric_second(supercell)
        home = phonopy.primitive.p2s_map
        return ForceConstants(
            unitcell=self.crystal,
            primitive_matrix=np.eye(3),
            supercell_matrix_second=self.matrix,
            second=second[home],
            third_clusters=self.clusters(3) if third else None,
            fourth=self.clusters(4),
        )

    def clusters(self, order: int) -> SparseForceConstants:
        """Return the constants of an order; every bond gives 2^n rows."""
        atoms, cells, blocks = [], [], []
        for bond in self.bonds:
            value = {3: bond.c, 4: bond.g}[order]
            letters = "abcd"[:order]
            block = value * np.einsum(",".join(letters) + "->" + letters, *[bond.n] * order)
            ends = ((bond.i, np.zeros(3, int), -1), (bond.j, np.array(bond.cell), 1))
            for choice in product(ends, repeat=order):
                atoms.append([a for a, _, _ in choice])
                cells.append([c - choice[0][1] for _, c, _ in choice[1:]])
                blocks.append(block * np.prod([s for _, _, s in choice]))
        return SparseForceConstants(
            atoms=np.array(atoms).reshape(-1, order),
            cells=np.array(cells).reshape(-1, order - 1, 3),
            blocks=np.array(blocks).reshape(-1, *(3,) * order),
            n_primitive=self.crystal.n_atoms,
        )

    @cached_property
    def supercell(self) -> Crystal:
        return from_phonopy_atoms(self._phonopy.supercell)

    def evaluate(self, crystals: list[Crystal]):
        """Return forces (n, n_atoms, 3) and energies (n,) of displaced supercells."""
        reference = self.supercell
        first, second = self._pairs
        difference = np.array([c.fractional for c in crystals]) - reference.fractional
        u = (difference - np.rint(difference)) @ reference.lattice
        forces, energies = np.zeros_like(u), np.zeros(len(u))
        for bond, i, j in zip(self.bonds, first, second, strict=True):
            d = u[:, j] - u[:, i]
            s = d @ bond.n
            slope = bond.k * s + bond.c / 2 * s**2 + bond.g / 6 * s**3
            f = slope[..., None] * bond.n + bond.t * d
            np.add.at(forces, (slice(None), i), f)
            np.add.at(forces, (slice(None), j), -f)
            e = bond.k / 2 * s**2 + bond.c / 6 * s**3 + bond.g / 24 * s**4
            energies += e.sum(axis=1) + bond.t / 2 * (d**2).sum(axis=(1, 2))
        return forces, energies

    def forces(self, crystals: list[Crystal]):
        return self.evaluate(crystals)[0]

    @cached_property
    def _phonopy(self):
        return build_phonopy(self.crystal, self.matrix, primitive_matrix=np.eye(3))

    @cached_property
    def _pairs(self):
        """Return the supercell atoms at both ends of every copy of every bond."""
        supercell = self.supercell
        inverse = np.linalg.inv(self.crystal.lattice)
        where = supercell.positions @ inverse
        shifts = np.array(list(np.ndindex(*self.repeat)))

        def find(fractional):
            miss = fractional[:, None] - where[None]
            miss -= np.rint(miss / self.repeat) * self.repeat
            return np.abs(miss).sum(axis=2).argmin(axis=1)

        starts = [find(shifts + self.crystal.fractional[b.i]) for b in self.bonds]
        ends = [find(shifts + self.crystal.fractional[b.j] + b.cell) for b in self.bonds]
        return starts, ends

    def _numeric_second(self, supercell: Crystal):
        """Return minus Φ2 between all atoms of the supercell."""
        n = supercell.n_atoms
        result = np.zeros((n, n, 3, 3))
        for bond, i, j in zip(self.bonds, *self._pairs, strict=True):
            block = bond.k * np.outer(bond.n, bond.n) + bond.t * np.eye(3)
            for a, b in zip(i, j, strict=True):
                result[a, a] -= block
                result[b, b] -= block
                result[a, b] += block
                result[b, a] += block
        return result


def caesium_chloride(
    *,
    near=(3.0, -6.0, 60.0),
    far=(1.0, 0.0, 0.0),
    transverse: float = 0.15,
    repeat=(2, 2, 2),
    lattice=None,
    numbers=(11, 17),
) -> QuarticCrystal:
    """Return a CsCl crystal: ``near`` bonds between and ``far`` bonds within the sublattices.

    Both are (k, c, g) in eV/Å^n.
    """
    lattice = 3.3 * np.eye(3) if lattice is None else np.asarray(lattice, dtype=float)
    crystal = Crystal(
        lattice=lattice, fractional=[[0, 0, 0], [0.5, 0.5, 0.5]], numbers=np.array(numbers)
    )
    bonds = []
    for cell in product((-1, 0), repeat=3):
        vector = (np.array(cell) + 0.5) @ lattice
        bonds.append(Bond(0, 1, cell, vector / np.linalg.norm(vector), transverse, *near))
    for atom in (0, 1):
        for cell in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
            vector = np.array(cell) @ lattice
            bonds.append(Bond(atom, atom, cell, vector / np.linalg.norm(vector), transverse, *far))
    return QuarticCrystal(crystal, tuple(bonds), repeat)


def lattice_of(force_constants: ForceConstants):
    """Return the pair table of the second order."""
    return HarmonicCrystal(force_constants).lattice


def lattice_and_matrices(force_constants: ForceConstants, q_points):
    """Return the pair table and dynamical matrices."""
    crystal = HarmonicCrystal(force_constants)
    return crystal.lattice, crystal.dynamical_matrices(q_points)

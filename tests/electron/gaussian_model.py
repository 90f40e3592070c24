"""Model crystals of s and p Gaussians: overlap, position and plane-wave integrals are exact."""

from __future__ import annotations

from itertools import product

import numpy as np

from elphant.crystal import Crystal
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)

NODES, WEIGHTS = np.polynomial.hermite.hermgauss(8)
POWERS = {"s": [(0, 0, 0)], "p": [(0, 1, 0), (0, 0, 1), (1, 0, 0)]}


class GaussianModel:
    """A provider: Wolfsberg-Helmholtz Hamiltonian K S (e_i + e_j) / 2 between Gaussians.

    ``shells`` maps atomic numbers to (letter, exponent Å⁻², energy eV); ``ions`` to core charges.
    """

    def __init__(self, shells, ions, *, strength=1.4, reach=9.0, position=True):
        self.shells, self.ions, self.strength = shells, ions, strength
        self.reach, self.position = reach, position

    def orbitals(self, crystal):
        """Return atoms, powers (n, 3), exponents, energies of the orbitals."""
        rows = [
            (atom, power, exponent, energy)
            for atom, number in enumerate(crystal.numbers.tolist())
            for letter, exponent, energy in self.shells[number]
            for power in POWERS[letter]
        ]
        atom, power, exponent, energy = zip(*rows, strict=True)
        return np.array(atom), np.array(power), np.array(exponent), np.array(energy)

    def predict(self, crystal):
        atom, power, _, energy = self.orbitals(crystal)
        sizes = np.bincount(atom)
        S = self.integrals(crystal)
        mean = 0.5 * (energy[:, None] + energy[None, :])
        starts = np.concatenate([[0], np.cumsum(sizes)])
        blocks = []
        for index, (i, j) in enumerate(S.pairs.tolist()):
            rows, columns = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            same = i == j and not S.cells[index].any()
            block = S.block(index) * mean[rows, columns]
            blocks.append((block if same else self.strength * block).ravel())
        n_electrons = float(sum(self.ions[n] for n in crystal.numbers.tolist()))
        basis = OrbitalBasis(
            atom=atom,
            n=np.ones(len(atom)),
            l=power.sum(axis=1),
            m=np.array([{(0, 1, 0): -1, (1, 0, 0): 1}.get(tuple(p), 0) for p in power.tolist()]),
            spin=np.zeros(len(atom)),
        )
        ions = [float(self.ions[n]) for n in crystal.numbers.tolist()]
        return LocalOrbitalHamiltonian(
            crystal=crystal,
            basis=basis,
            hamiltonian=S.with_values(np.concatenate(blocks)),
            overlap=S,
            n_electrons=n_electrons,
            origin=HamiltonianOrigin(
                provider="gaussian model",
                level_of_theory="Wolfsberg-Helmholtz",
                self_consistent=False,
                details={"ionic_charges": ions},
            ),
            position=tuple(self.integrals(crystal, axis=a) for a in range(3))
            if self.position
            else None,
        )

    def integrals(self, crystal, *, axis=None, wave=None):
        """Return <i|j> (wave None), <i|r_axis|j>, or <i|exp(-i wave·r)|j> as lattice matrix."""
        atom, power, exponent, _ = self.orbitals(crystal)
        sizes = np.bincount(atom)
        tau, lattice = crystal.positions, crystal.lattice
        n = np.ceil(self.reach / crystal.heights + 2).astype(int)
        cells = np.array(list(product(*(range(-m, m + 1) for m in n))))
        pairs, kept, values = [], [], []
        for i in range(crystal.n_atoms):
            for j in range(crystal.n_atoms):
                bond = tau[j] + cells @ lattice - tau[i]
                near = np.flatnonzero(np.linalg.norm(bond, axis=1) <= self.reach)
                rows, columns = np.flatnonzero(atom == i), np.flatnonzero(atom == j)
                block = np.array(
                    [
                        [
                            _integral(
                                power[a], exponent[a], tau[i],
                                power[b], exponent[b], tau[j] + cells[near] @ lattice,
                                axis, wave,
                            )
                            for b in columns
                        ]
                        for a in rows
                    ]
                )  # fmt: skip
                pairs += [(i, j)] * len(near)
                kept.append(cells[near])
                values.append(np.moveaxis(block, 2, 0).ravel())
        return LatticeMatrix(
            sizes=sizes,
            pairs=np.array(pairs),
            cells=np.concatenate(kept),
            values=np.concatenate(values),
        )


def _integral(power_a, a, A, power_b, b, B, axis, wave):
    """Integral of two normalised Gaussians, the second at many places B (n, 3)."""
    p = a + b
    total = np.ones(len(B))
    for c in range(3):
        P = (a * A[c] + b * B[:, c]) / p
        k = 0.0 if wave is None else wave[c]
        x = P[:, None] + NODES / np.sqrt(p) - (0.5j * k / p if k else 0.0)
        f = (x - A[c]) ** power_a[c] * (x - B[:, c, None]) ** power_b[c]
        if axis == c:
            f = f * x
        factor = np.exp(-a * b / p * (A[c] - B[:, c]) ** 2) / np.sqrt(p)
        if k:
            factor = factor * np.exp(-1j * k * P - k * k / (4 * p))
        total = total * (f @ WEIGHTS) * factor
    return total * _norm(power_a, a) * _norm(power_b, b)


def _norm(power, exponent):
    return (2 * exponent / np.pi) ** 0.75 * (2 * np.sqrt(exponent)) ** sum(power)


def zincblende(a=5.6, numbers=(31, 33)):
    return Crystal(
        lattice=a / 2 * (1 - np.eye(3)), fractional=[[0, 0, 0], [0.25] * 3], numbers=list(numbers)
    )


def semiconductor(**options):
    """Zincblende-like model with eight electrons and a gap."""
    shells = {
        31: [("s", 0.45, -10.0), ("p", 0.35, -5.0)],
        33: [("s", 0.6, -18.0), ("p", 0.45, -9.0)],
    }
    return GaussianModel(shells, {31: 3, 33: 5}, **options)

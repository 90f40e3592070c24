"""Pair springs whose energy is an exact polynomial of up to fourth order in the displacements.

The force constants are written down bond by bond, independently of any fitting library, so that a
fit must return them to round-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from elphant.crystal import Crystal


@dataclass(frozen=True)
class PolynomialModel:
    """Morse bonds within ``cutoff`` (Å), expanded at the given geometry.

    ``strength`` (eV) is multiplied by the product of a factor per atomic number. ``cubic`` switches
    the third order, ``quartic`` the fourth, ``tension`` the first derivative (and with it the
    residual forces).
    """

    cutoff: float
    strength: float = 0.5
    stiffness: float = 1.3
    length: float = 2.6
    cubic: bool = True
    tension: bool = True
    quartic: bool = False

    def tensors(self, crystal: Crystal):
        """Return residual forces (n, 3), Φ2 (n, n, 3, 3) and Φ3 (n, n, n, 3, 3, 3)."""
        n = crystal.n_atoms
        forces = np.zeros((n, 3))
        second = np.zeros((n, n, 3, 3))
        third = np.zeros((n, n, n, 3, 3, 3)) if self.cubic else None
        for i, j, bond in _bonds(crystal, self.cutoff):
            first, a, b = self._derivatives(bond, crystal.numbers[i], crystal.numbers[j])
            # Each bond is met twice, from either end: half of it each time.
            forces[i] += 0.5 * first
            forces[j] -= 0.5 * first
            for (x, sx), (y, sy) in product(((i, -1), (j, 1)), repeat=2):
                second[x, y] += 0.5 * sx * sy * a
                if third is not None:
                    for z, sz in ((i, -1), (j, 1)):
                        third[x, y, z] += 0.5 * sx * sy * sz * b
        return forces, second, third

    def fourth(self, crystal: Crystal) -> dict[tuple[int, ...], np.ndarray]:
        """Return the blocks of Φ4 by supercell atoms."""
        blocks: dict[tuple[int, ...], np.ndarray] = {}
        for i, j, bond in _bonds(crystal, self.cutoff):
            tensor = 0.5 * self._fourth_derivative(bond, crystal.numbers[i], crystal.numbers[j])
            for ends in product(((int(i), -1), (int(j), 1)), repeat=4):
                atoms = tuple(atom for atom, _ in ends)
                sign = np.prod([sign for _, sign in ends])
                blocks[atoms] = blocks.get(atoms, 0.0) + sign * tensor
        return blocks

    def forces(self, crystals: list[Crystal], displacements: np.ndarray) -> np.ndarray:
        """Return forces of the undisplaced crystal and of every displacement."""
        residual, second, third = self.tensors(crystals[0])
        result = [residual]
        bonds = [
            (i, j, self._fourth_derivative(bond, crystals[0].numbers[i], crystals[0].numbers[j]))
            for i, j, bond in (_bonds(crystals[0], self.cutoff) if self.quartic else ())
        ]
        for u in displacements:
            force = residual - np.einsum("ijab,jb->ia", second, u)
            if third is not None:
                force = force - 0.5 * np.einsum("ijkabc,jb,kc->ia", third, u, u, optimize=True)
            for i, j, tensor in bonds:
                stretch = u[j] - u[i]
                pull = 0.5 / 6.0 * tensor @ stretch @ stretch @ stretch
                force[i] += pull
                force[j] -= pull
            result.append(force)
        return np.array(result)

    def _fourth_derivative(self, bond, number_i, number_j):
        r = np.linalg.norm(bond)
        depth = self.strength * (1 + 0.01 * number_i) * (1 + 0.01 * number_j)
        x = np.exp(-self.stiffness * (r - self.length))
        slope = 2 * depth * self.stiffness * (x - x**2) if self.tension else 0.0
        curve = 2 * depth * self.stiffness**2 * (2 * x**2 - x)
        cubic = 2 * depth * self.stiffness**3 * (x - 4 * x**2)
        quartic = 2 * depth * self.stiffness**4 * (8 * x**2 - x)
        # Powers of (1/r) d/dr applied to the energy.
        g1 = (curve - slope / r) / r**2
        g2 = (cubic - 3 * curve / r + 3 * slope / r**2) / r**3
        g3 = (quartic - 6 * cubic / r + 15 * curve / r**2 - 15 * slope / r**3) / r**4
        one = np.eye(3)
        tensor = g3 * np.einsum("a,b,c,d->abcd", bond, bond, bond, bond)
        for pair in ("ab", "ac", "ad", "bc", "bd", "cd"):
            rest = "".join(letter for letter in "abcd" if letter not in pair)
            tensor += g2 * np.einsum(f"{pair},{rest[0]},{rest[1]}->abcd", one, bond, bond)
        for pair in ("ab,cd", "ac,bd", "ad,bc"):
            tensor += g1 * np.einsum(f"{pair}->abcd", one, one)
        return tensor

    def _derivatives(self, bond, number_i, number_j):
        r = np.linalg.norm(bond)
        n = bond / r
        depth = self.strength * (1 + 0.01 * number_i) * (1 + 0.01 * number_j)
        x = np.exp(-self.stiffness * (r - self.length))
        slope = 2 * depth * self.stiffness * (x - x**2) if self.tension else 0.0
        curve = 2 * depth * self.stiffness**2 * (2 * x**2 - x)
        cubic = 2 * depth * self.stiffness**3 * (x - 4 * x**2)
        one, nn = np.eye(3), np.outer(n, n)
        a = curve * nn + slope / r * (one - nn)
        nnn = np.einsum("a,b,c->abc", n, n, n)
        mixed = (
            np.einsum("a,bc->abc", n, one)
            + np.einsum("b,ac->abc", n, one)
            + np.einsum("c,ab->abc", n, one)
        )
        b = cubic * nnn + (curve - slope / r) / r * (mixed - 3 * nnn)
        return slope * n, a, b


def _bonds(crystal: Crystal, cutoff: float):
    n_cells = np.ceil(cutoff / crystal.heights).astype(int)
    positions = crystal.positions
    for shift in product(*(range(-n, n + 1) for n in n_cells)):
        vectors = positions[None, :] + np.array(shift) @ crystal.lattice - positions[:, None]
        distances = np.linalg.norm(vectors, axis=2)
        for i, j in np.argwhere((distances > 1e-6) & (distances < cutoff)):
            yield i, j, vectors[i, j]

"""Pair springs whose energy is an exact polynomial of third order in the displacements.

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
    the third order, ``tension`` the first derivative (and with it the residual forces).
    """

    cutoff: float
    strength: float = 0.5
    stiffness: float = 1.3
    length: float = 2.6
    cubic: bool = True
    tension: bool = True

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

    def forces(self, crystals: list[Crystal], displacements: np.ndarray) -> np.ndarray:
        """Return forces of the undisplaced crystal and of every displacement."""
        residual, second, third = self.tensors(crystals[0])
        result = [residual]
        for u in displacements:
            force = residual - np.einsum("ijab,jb->ia", second, u)
            if third is not None:
                force = force - 0.5 * np.einsum("ijkabc,jb,kc->ia", third, u, u, optimize=True)
            result.append(force)
        return np.array(result)

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

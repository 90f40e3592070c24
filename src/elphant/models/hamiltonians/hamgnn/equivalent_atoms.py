"""Derivatives over one atom of each orbit, turned to the other atoms by the space group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal, find_symmetry
from elphant.orbitals import LatticeMatrix, OrbitalBasis
from elphant.orbitals.derivatives import (
    EnvironmentDerivative,
    added,
    concatenated,
    rotated,
)
from elphant.orbitals.symmetry import OrbitalSymmetry

Array = NDArray[np.float64]
Axial = tuple[EnvironmentDerivative, EnvironmentDerivative, EnvironmentDerivative]


class EquivalentAtoms:
    """Orbits of the atoms of a crystal, with one operation to each atom.

    Parameters
    ----------
    crystal : Crystal
    basis : OrbitalBasis
        Spin-free.
    pattern : LatticeMatrix
        The blocks that exist. Where the space group does not map them onto each other (a pair at
        the very end of the list), each atom is an orbit of its own.
    tolerance : float, Å
        With which the space group is found; None takes no symmetry at all.
    """

    def __init__(
        self, crystal: Crystal, basis: OrbitalBasis, pattern: LatticeMatrix, tolerance: float | None
    ) -> None:
        self._operations: dict[int, int | None] = dict.fromkeys(range(crystal.n_atoms))
        self._origin = {atom: atom for atom in range(crystal.n_atoms)}
        if tolerance is None:
            return
        symmetry = find_symmetry(crystal, tolerance)
        self._representation = OrbitalSymmetry.of(crystal, symmetry, basis)
        # The lattice has the symmetry to within the tolerance only; rotations are orthogonal.
        columns = crystal.lattice.T
        left, _, right = np.linalg.svd(columns @ symmetry.rotations @ np.linalg.inv(columns))
        self._rotations = left @ right
        if not self._is_symmetric(pattern):
            return
        images = self._representation.atoms
        for atom in range(crystal.n_atoms):
            first = int(images[:, atom].min())
            if first != atom:
                self._origin[atom] = first
                self._operations[atom] = int(np.flatnonzero(images[:, first] == atom)[0])

    def _is_symmetric(self, pattern: LatticeMatrix) -> bool:
        for operation in range(self._representation.n_operations):
            image = self._representation.transform(pattern, operation)
            if not (
                np.array_equal(image.pairs, pattern.pairs)
                and np.array_equal(image.cells, pattern.cells)
            ):
                return False
        return True

    @property
    def representatives(self) -> list[int]:
        """The first atom of each orbit."""
        return sorted(set(self._origin.values()))

    def of_all(self, derivative: EnvironmentDerivative) -> EnvironmentDerivative:
        """Return the derivative of a scalar operator over all atoms from the representatives'."""
        return concatenated([self._moved(derivative, atom) for atom in self._origin])

    def of_all_axial(self, derivative: Axial) -> Axial:
        r"""Return the same for the three components of a pseudovector, such as spin-orbit coupling.

        .. math:: A'_\beta = \det(R) \sum_\alpha R_{\beta\alpha}\, g A_\alpha
        """
        parts: list[list[EnvironmentDerivative]] = [[], [], []]
        for atom, operation in self._operations.items():
            turned = [self._moved(part, atom) for part in derivative]
            if operation is None:
                mixed = turned
            else:
                R = self._rotations[operation]
                R = R * np.sign(np.linalg.det(R))
                mixed = [
                    added([t.with_values(R[b, a] * t.values) for a, t in enumerate(turned)])
                    for b in range(3)
                ]
            for target, part in zip(parts, mixed, strict=True):
                target.append(part)
        x, y, z = (concatenated(part) for part in parts)
        return x, y, z

    def _moved(self, derivative: EnvironmentDerivative, atom: int) -> EnvironmentDerivative:
        """Return the derivative over an atom, from that over its representative."""
        mine = derivative.selected(derivative.moved == self._origin[atom])
        operation = self._operations[atom]
        if operation is None:
            return mine
        return rotated(mine, self._representation, self._rotations[operation], operation)

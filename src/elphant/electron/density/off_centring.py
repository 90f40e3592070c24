"""Displacement of atoms from the middle of their coordination shells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.electron.density.surroundings import neighbours

Array = NDArray[np.float64]

#: Atoms closer than this times the sum of the covalent radii may belong to the first shell.
SHELL_FACTOR = 1.5

#: The shell ends at the largest relative gap between successive distances, but never before this
#: many atoms: fewer do not surround anything.
SMALLEST_SHELL = 4

#: Relative gap in the distances that can end a shell.
SMALLEST_GAP = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffCentring:
    """Position of one atom relative to its neighbours.

    Attributes
    ----------
    displacement : ndarray, (3,) Å
        From the centroid of the shell to the atom, Cartesian.
    coordination : int
        Number of atoms in the shell.
    shell_radius : float, Å
        Distance of the farthest atom of the shell.
    """

    displacement: Array
    coordination: int
    shell_radius: float

    @property
    def length(self) -> float:
        """Length of the displacement, Å."""
        return float(np.linalg.norm(self.displacement))


def off_centring(crystal: Crystal, atom: int) -> OffCentring | None:
    """Return the displacement of an atom from the centroid of its coordination shell.

    The shell are atoms of other elements (of any element in an elemental crystal) within
    :data:`SHELL_FACTOR` times the sum of covalent radii, up to the largest relative gap in their
    distances beyond the first :data:`SMALLEST_SHELL`; without a second shell in reach, all of
    them. The factor takes in the long secondary bonds of a cation with a lone pair (Sb-Se up to
    3.9 Å), so that the shell closes around it. None if the shell is empty.
    """
    around = neighbours(crystal, atom, SHELL_FACTOR)
    if len(crystal.elements) > 1:
        other = crystal.numbers[around.atoms] != crystal.numbers[atom]
    else:
        other = np.ones(len(around.atoms), dtype=bool)
    distances, vectors = around.distances[other], around.vectors[other]
    if not len(distances):
        return None
    size = len(distances)
    if size > SMALLEST_SHELL:
        gaps = distances[SMALLEST_SHELL:] / distances[SMALLEST_SHELL - 1 : -1]
        if gaps.max() > 1.0 + SMALLEST_GAP:
            size = SMALLEST_SHELL + int(np.argmax(gaps))
    return OffCentring(
        displacement=-vectors[:size].mean(axis=0),
        coordination=size,
        shell_radius=float(distances[size - 1]),
    )

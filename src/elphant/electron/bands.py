"""Band energies along a path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.grids import SampledPath
from elphant.orbitals import LocalOrbitalHamiltonian, band_energies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BandStructure:
    """Band energies along a path.

    Attributes
    ----------
    path : SampledPath
    energies : ndarray, (n_points, n_bands) eV
        Ascending at each point, on the energy zero of the Hamiltonian.
    """

    path: SampledPath
    energies: NDArray[np.float64]

    def __post_init__(self) -> None:
        energies = checked_array("energies", self.energies, (len(self.path.distance), None))
        object.__setattr__(self, "energies", energies)


def band_structure(hamiltonian: LocalOrbitalHamiltonian, path: SampledPath) -> BandStructure:
    """Return the bands along ``path``; corners that occur twice are solved once."""
    points, index = np.unique(np.round(path.q_point, 12), axis=0, return_inverse=True)
    energies = band_energies(hamiltonian, points)
    return BandStructure(path=path, energies=energies[index.ravel()])

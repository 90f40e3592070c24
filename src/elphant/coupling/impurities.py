"""Ionised impurities as one more mechanism of the collision operator on a mesh."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from elphant.coupling.scattering import PairSums, over_sets
from elphant.electron.transport.impurity import IonisedImpurities, screening_square

Array = NDArray[np.float64]


class ImpurityScattering:
    """Elastic scattering by screened charges at random sites, in the first Born approximation.

    Parameters
    ----------
    sums : PairSums
        Of the carrier and mesh.
    concentration : float, cm⁻³
    charge : float, e
    dielectric : ndarray, (3, 3)
        Static permittivity.
    """

    def __init__(
        self,
        sums: PairSums,
        concentration: float,
        charge: float,
        dielectric: Array,
    ) -> None:
        self._sums = sums
        self._concentration, self._charge, self._dielectric = concentration, charge, dielectric

    @cached_property
    def _pairs(self) -> tuple[Array, Array, Array, Array, Array]:
        """Row, column, Cartesian q, squared overlap, and delta of all elastic pairs."""
        parts = list(self._sums.elastic_blocks())
        rows, columns, q, overlaps, deltas = (np.concatenate(x) for x in zip(*parts, strict=True))
        return rows, columns, q, overlaps, deltas

    def __call__(self, chemical_potential: float, temperature: float) -> csr_array:
        """Return the kernel, (n, n_full) ps⁻¹, with the screening by the carriers themselves."""
        space = self._sums.window.state_space()
        impurities = IonisedImpurities(
            concentration=self._concentration,
            charge=self._charge,
            dielectric=self._dielectric,
            screening=screening_square(space, chemical_potential, temperature),
        )
        rows, columns, q, overlaps, deltas = self._pairs
        values = impurities.kernel(q, overlaps, deltas, 1.0 / self._sums.n_points, space.volume)
        shape = (space.n_states, len(space.images))
        kernel = csr_array(coo_array((values, (rows, columns)), shape=shape))
        return over_sets(self._sums.window, kernel)

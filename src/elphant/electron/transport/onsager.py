r"""Conductivity, Seebeck coefficient and electronic heat conductivity.

With :math:`\Lambda_n = \frac{g_s}{\Omega k_B T} \sum_\lambda w\, b\,(\varepsilon - \mu)^n \varphi`

.. math:: \sigma = e^2 \Lambda_0, \qquad S = -\frac{1}{e T} \Lambda_0^{-1} \Lambda_1, \qquad
          \kappa_e = \frac{1}{T} (\Lambda_2 - \Lambda_1 \Lambda_0^{-1} \Lambda_1), \qquad
          L = \kappa_e \sigma^{-1} / T

(J. M. Ziman, Electrons and Phonons (1960), Sec. 9.9; without phonon drag.) S is negative for
electrons and positive for holes; κ_e is the heat conductivity without electric current.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.electron.transport.solution import TransportSolution
from elphant.electron.transport.state_space import CM3_PER_A3
from elphant.units import ELEMENTARY_CHARGE, W_PER_MK_PER_EV_PER_K_A_PS

Array = NDArray[np.float64]

#: S/m of e²/(eV Å ps).
SIEMENS_PER_M_PER_E2_PER_EV_A_PS = ELEMENTARY_CHARGE / 1e-10 / 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class OnsagerCoefficients:
    """Transport moments of one carrier, or of both together.

    Attributes
    ----------
    temperature : float, K
    chemical_potential : float, eV
    reference_energy : float, eV
        Around which the moments are taken: near the energies that carry current, so that the heat
        conductivity is no difference of large numbers.
    moments : ndarray, (3, 3, 3) eVⁿ/(eV Å ps)
        Λ_n around the reference energy for n = 0, 1, 2.
    """

    temperature: float
    chemical_potential: float
    reference_energy: float
    moments: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "moments", checked_array("moments", self.moments, (3, 3, 3)))

    @classmethod
    def of(cls, *solutions: TransportSolution) -> OnsagerCoefficients:
        """Add the currents of solutions at one temperature and chemical potential.

        Electrons and holes, which conduct side by side.
        """
        if not solutions:
            raise ValueError("no solutions were given")
        parts = []
        for solution in solutions:
            density = solution.density * CM3_PER_A3
            parts.append(
                cls(
                    temperature=solution.temperature,
                    chemical_potential=solution.chemical_potential,
                    reference_energy=solution.operator.reference_energy,
                    moments=solution.moments * density,
                )
            )
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def __add__(self, other: OnsagerCoefficients) -> OnsagerCoefficients:
        same = np.isclose(
            [self.temperature, self.chemical_potential],
            [other.temperature, other.chemical_potential],
            rtol=1e-12,
            atol=1e-12,
        )
        if not same.all():
            raise ValueError("the currents belong to different temperatures or levels")
        # Around the energy of the larger current.
        larger, smaller = (
            (self, other)
            if np.trace(self.moments[0]) >= np.trace(other.moments[0])
            else (other, self)
        )
        moved = smaller.around(larger.reference_energy)
        return replace(larger, moments=larger.moments + moved.moments)

    def around(self, reference_energy: float) -> OnsagerCoefficients:
        """Return the same with moments around another energy (eV)."""
        d = reference_energy - self.reference_energy
        m0, m1, m2 = self.moments
        moments = np.array([m0, m1 - d * m0, m2 - 2.0 * d * m1 + d**2 * m0])
        return replace(self, reference_energy=float(reference_energy), moments=moments)

    @property
    def _ratio(self) -> Array:
        """Λ_1 over Λ_0 around the reference energy, eV."""
        inverse = np.linalg.pinv(self.moments[0], rcond=1e-13, hermitian=True)
        return np.asarray(inverse @ self.moments[1])

    @property
    def conductivity(self) -> Array:
        """Electrical conductivity, (3, 3) S/m."""
        return np.asarray(self.moments[0] * SIEMENS_PER_M_PER_E2_PER_EV_A_PS)

    @property
    def seebeck(self) -> Array:
        """Seebeck coefficient, (3, 3) µV/K: field over temperature gradient without current."""
        mean = self._ratio + (self.reference_energy - self.chemical_potential) * np.eye(3)
        return np.asarray(-1e6 * mean / self.temperature)

    @property
    def thermal_conductivity(self) -> Array:
        """Electronic heat conductivity without electric current, (3, 3) W m⁻¹ K⁻¹."""
        rest = self.moments[2] - self.moments[1] @ self._ratio
        return np.asarray(0.5 * (rest + rest.T) * W_PER_MK_PER_EV_PER_K_A_PS / self.temperature)

    @property
    def lorenz_number(self) -> Array:
        """Heat conductivity over conductivity and temperature, (3, 3) W Ω K⁻²."""
        inverse = np.linalg.pinv(self.conductivity, rcond=1e-13, hermitian=True)
        ratio = self.thermal_conductivity @ inverse / self.temperature
        return np.asarray(0.5 * (ratio + ratio.T))

    @property
    def power_factor(self) -> Array:
        """Square of the Seebeck coefficient times conductivity, (3, 3) W m⁻¹ K⁻²."""
        s = self.seebeck * 1e-6
        return np.asarray(s.T @ self.conductivity @ s)

    def figure_of_merit(self, lattice_conductivity: ArrayLike) -> Array:
        """Return ZT, (3, 3): power factor times temperature over the heat conductivity.

        Parameters
        ----------
        lattice_conductivity : array_like, (3, 3) W m⁻¹ K⁻¹
            Of the phonons at this temperature, in the same frame.
        """
        lattice = checked_array("lattice_conductivity", lattice_conductivity, (3, 3))
        total = lattice + self.thermal_conductivity
        ratio = self.temperature * self.power_factor @ np.linalg.inv(total)
        return np.asarray(0.5 * (ratio + ratio.T))

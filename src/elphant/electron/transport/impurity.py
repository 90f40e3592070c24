r"""Scattering by ionised impurities: screened Coulomb potentials in the first Born approximation.

.. math:: K_{\lambda l'} = \frac{2\pi}{\hbar}\, \frac{n_I}{\Omega}\, w_{l'}\, |V(q)|^2\,
          |\langle l' | e^{iq\cdot r} | \lambda\rangle|^2\, \delta(\varepsilon' - \varepsilon),
          \qquad V(q) = \frac{e^2}{\epsilon_0}\, \frac{Z}{q\cdot\varepsilon\cdot q + q_{TF}^2}

with w the quadrature weight of the final state (1/N on a mesh). Elastic: s' = s, so that the rate
of scattering out is the sum of K. For an isotropic parabolic band the momentum relaxation rate is
that of H. Brooks and C. Herring (D. Chattopadhyay and H. J. Queisser, Rev. Mod. Phys. 53, 745
(1981), Sec. III).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.electron.transport.state_space import CM3_PER_A3, StateSpace
from elphant.units import (
    BOLTZMANN_EV,
    COULOMB_EV_ANGSTROM,
    HBAR_EV_PS,
    INVERSE_MASS_PER_EV_A2,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class IonisedImpurities:
    """Impurities of one charge at random sites.

    Attributes
    ----------
    concentration : float, cm⁻³
    charge : float, e
    dielectric : ndarray, (3, 3)
        Static relative permittivity, with the response of the lattice.
    screening : float, Å⁻²
        q_TF² of the free carriers, in vacuum units: see :func:`screening_square`.
    """

    concentration: float
    charge: float
    dielectric: Array
    screening: float

    def __post_init__(self) -> None:
        dielectric = checked_array("dielectric", self.dielectric, (3, 3))
        object.__setattr__(self, "dielectric", dielectric)
        if self.screening <= 0.0:
            raise ValueError("without screening the rate of a Coulomb potential is infinite")
        if self.concentration < 0.0:
            raise ValueError(f"concentration {self.concentration:g} cm⁻³ is negative")

    def potential(self, q: ArrayLike) -> Array:
        """Return V(q) in eV Å³ for Cartesian wave vectors (..., 3) in Å⁻¹ (2π included)."""
        q = np.asarray(q, dtype=float)
        screened = np.einsum("...a,ab,...b->...", q, self.dielectric, q) + self.screening
        return np.asarray(4.0 * np.pi * COULOMB_EV_ANGSTROM * self.charge / screened)

    def kernel(
        self,
        q: ArrayLike,
        overlap_square: ArrayLike,
        delta: ArrayLike,
        weight: ArrayLike,
        volume: float,
    ) -> Array:
        """Return elements of the collision kernel, ps⁻¹, for any shape of pairs.

        Parameters
        ----------
        q : array_like, (..., 3) Å⁻¹
            Cartesian, shortest of its images.
        overlap_square : array_like
            Squared overlap of the periodic parts of the states.
        delta : array_like, eV⁻¹
            Weight of energy conservation.
        weight : array_like
            Quadrature weight of the final state in shares of the zone (1/N).
        volume : float, Å³
            Of the cell.
        """
        factor = 2.0 * np.pi / HBAR_EV_PS * self.concentration * CM3_PER_A3 / volume
        square = self.potential(q) ** 2
        return np.asarray(
            factor * square * np.asarray(overlap_square) * np.asarray(delta) * np.asarray(weight)
        )


def screening_square(space: StateSpace, chemical_potential: float, temperature: float) -> float:
    """Return q_TF² in Å⁻² (vacuum units) of the carriers of a space.

    ``q_TF² = (e²/ε_0) ∂n/∂μ``: Debye's for few carriers, Thomas and Fermi's for many.
    """
    logs = 2.0 * space.log_amplitudes(chemical_potential, temperature)
    change = space.spin_degeneracy / space.volume * float(space.weights @ np.exp(logs))
    return 4.0 * np.pi * COULOMB_EV_ANGSTROM * change / (BOLTZMANN_EV * temperature)


def brooks_herring_rates(
    energies: ArrayLike, mass: float, permittivity: float, impurities: IonisedImpurities
) -> Array:
    r"""Return momentum relaxation rates of an isotropic parabolic band, ps⁻¹.

    .. math:: \frac1\tau = \frac{n_I Z^2 e^4}{16 \sqrt{2m}\, \pi \epsilon_s^2}
              \Big[\ln(1+b) - \frac{b}{1+b}\Big] \varepsilon^{-3/2},
              \qquad b = 8 m \varepsilon \epsilon_r / \hbar^2 q_{TF}^2

    Parameters
    ----------
    energies : array_like, eV
        From the edge, positive.
    mass : float, m_e
    permittivity : float
        Relative, isotropic.
    impurities : IonisedImpurities
        For concentration, charge and screening.
    """
    energies = np.asarray(energies, dtype=float)
    inverse_length = mass * INVERSE_MASS_PER_EV_A2
    b = 8.0 * inverse_length * energies * permittivity / impurities.screening
    strength = np.pi * (COULOMB_EV_ANGSTROM * impurities.charge / permittivity) ** 2
    speed = 1.0 / (np.sqrt(2.0 * inverse_length) * HBAR_EV_PS)
    density = impurities.concentration * CM3_PER_A3
    bracket = np.log1p(b) - b / (1.0 + b)
    return np.asarray(density * strength * speed * bracket * energies**-1.5)

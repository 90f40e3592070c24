"""Physical constants and unit conversions: the only place in elphant where they are written down.

Constants are the CODATA 2022 recommended values (P. J. Mohr, D. B. Newell, B. N. Taylor and
E. Tiesinga, Rev. Mod. Phys. 97, 025002 (2025)). Inside elphant lengths are in Å, energies in eV,
masses in amu, temperatures in K, times in ps and frequencies in ordinary THz (not angular).
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any, Final, TypeVar

from numpy.typing import NDArray

#: A number or an array of numbers.
Quantity = TypeVar("Quantity", float, NDArray[Any])

# --- CODATA 2022, SI units -------------------------------------------------------------------
ELEMENTARY_CHARGE: Final = 1.602176634e-19  # C, exact
PLANCK: Final = 6.62607015e-34  # J s, exact
HBAR: Final = PLANCK / (2.0 * pi)  # J s
BOLTZMANN: Final = 1.380649e-23  # J/K, exact
SPEED_OF_LIGHT: Final = 299792458.0  # m/s, exact
ATOMIC_MASS: Final = 1.66053906892e-27  # kg
ELECTRON_MASS: Final = 9.1093837139e-31  # kg
VACUUM_PERMITTIVITY: Final = 8.8541878188e-12  # F/m
BOHR_RADIUS: Final = 5.29177210544e-11  # m
HARTREE_ENERGY: Final = 4.3597447222060e-18  # J

# --- derived conversions ---------------------------------------------------------------------
ANGSTROM_PER_BOHR: Final = BOHR_RADIUS * 1e10
EV_PER_HARTREE: Final = HARTREE_ENERGY / ELEMENTARY_CHARGE

#: Hartree (eV) and Bohr radius (Å) as the OpenMX program writes them (version 3.9): its files are
#: converted with its own constants, so that lengths and energies are those of its own input.
OPENMX_EV_PER_HARTREE: Final = 27.2113845
OPENMX_ANGSTROM_PER_BOHR: Final = 0.529177249

#: k_B in eV/K.
BOLTZMANN_EV: Final = BOLTZMANN / ELEMENTARY_CHARGE

#: h in eV ps, so that the energy of a phonon of frequency f in THz is ``PLANCK_EV_PS * f`` eV.
PLANCK_EV_PS: Final = PLANCK / ELEMENTARY_CHARGE * 1e12

#: m_e/m of a band whose second derivative over k is 1 eV Å²: m_e/ħ² in 1/(eV Å²).
INVERSE_MASS_PER_EV_A2: Final = ELECTRON_MASS / HBAR**2 * ELEMENTARY_CHARGE * 1e-20

#: Ordinary frequency in THz of sqrt(eV Å⁻² amu⁻¹): f = THZ_PER_SQRT_EV_A2_AMU * sqrt(eigenvalue).
THZ_PER_SQRT_EV_A2_AMU: Final = sqrt(ELEMENTARY_CHARGE / 1e-20 / ATOMIC_MASS) / (2.0 * pi) * 1e-12

#: Square of an ordinary frequency in THz² of an eigenvalue of the dynamical matrix, eV Å⁻² amu⁻¹.
THZ_SQUARED_FROM_DYNAMICAL_MATRIX: Final = THZ_PER_SQRT_EV_A2_AMU**2

#: ħ in eV ps.
HBAR_EV_PS: Final = HBAR / ELEMENTARY_CHARGE * 1e12

#: ħ/(2 M ω) in Å² for M = 1 amu and an ordinary frequency of 1 THz: the zero-point ⟨u²⟩.
ZERO_POINT_SQUARE: Final = HBAR / (2.0 * ATOMIC_MASS * 2.0 * pi * 1e12) * 1e20

# eV Å⁻ⁿ amu⁻ⁿᐟ² in SI, n the order of the matrix element.
_THIRD_ORDER: Final = ELEMENTARY_CHARGE * 1e30 / ATOMIC_MASS**1.5
_FOURTH_ORDER: Final = ELEMENTARY_CHARGE * 1e40 / ATOMIC_MASS**2

#: pi ħ/4 such that |V3|² δ(ω) / (product of three ω) is a rate in ps⁻¹, with V3 in
#: eV Å⁻³ amu^(-3/2), ω in rad/ps and δ in ps/rad.
THREE_PHONON_RATE: Final = pi * HBAR / 4.0 * _THIRD_ORDER**2 * 1e-60

#: pi ħ²/8 such that |V4|² δ(ω) / (product of four ω) is a rate in ps⁻¹, with V4 in
#: eV Å⁻⁴ amu⁻².
FOUR_PHONON_RATE: Final = pi * HBAR**2 / 8.0 * _FOURTH_ORDER**2 * 1e-72

#: e²/(4 pi eps_0) in eV Å: the Coulomb constant of the non-analytical correction.
COULOMB_EV_ANGSTROM: Final = ELEMENTARY_CHARGE / (4.0 * pi * VACUUM_PERMITTIVITY) * 1e10

#: W m⁻¹ K⁻¹ of eV K⁻¹ Å⁻³ (Å THz)² ps = eV K⁻¹ Å⁻¹ ps⁻¹, the natural unit of c v v tau / V.
W_PER_MK_PER_EV_PER_K_A_PS: Final = ELEMENTARY_CHARGE / 1e-10 / 1e-12

#: GPa of eV/Å³.
GPA_PER_EV_A3: Final = ELEMENTARY_CHARGE / 1e-30 * 1e-9

#: km/s of Å THz (= Å/ps).
KM_PER_S_PER_A_THZ: Final = 0.1

#: Å of µm, for boundary mean free paths.
ANGSTROM_PER_MICROMETRE: Final = 1e4


def rate_from_linewidth(linewidth_hwhm_thz: Quantity) -> Quantity:
    """Return the scattering rate 1/tau (ps⁻¹) of a half width at half maximum in ordinary THz.

    ``1/tau = 2 * (2 pi) * gamma``: phono3py's ``gamma`` is a half width in ordinary frequency.
    Accepts arrays.
    """
    return 4.0 * pi * linewidth_hwhm_thz


def linewidth_from_rate(rate_per_ps: Quantity) -> Quantity:
    """Return the half width at half maximum (ordinary THz) of a scattering rate in ps⁻¹."""
    return rate_per_ps / (4.0 * pi)

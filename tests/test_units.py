"""Constants against scipy's CODATA table, derived factors against published numbers."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest
from scipy import constants

from elphant import units

#: scipy's table is one CODATA adjustment old in older releases: compare at the level of the
#: uncertainty of the measured constants then. Exact constants agree to the last digit anyway.
HAS_CODATA_2022 = constants.physical_constants["atomic mass constant"][0] == 1.66053906892e-27
MEASURED = 1e-15 if HAS_CODATA_2022 else 1e-8

EXACT = {
    "ELEMENTARY_CHARGE": "elementary charge",
    "PLANCK": "Planck constant",
    "BOLTZMANN": "Boltzmann constant",
    "SPEED_OF_LIGHT": "speed of light in vacuum",
}
MEASURED_CONSTANTS = {
    "ATOMIC_MASS": "atomic mass constant",
    "ELECTRON_MASS": "electron mass",
    "VACUUM_PERMITTIVITY": "vacuum electric permittivity",
    "BOHR_RADIUS": "Bohr radius",
    "HARTREE_ENERGY": "Hartree energy",
}


@pytest.mark.parametrize(("name", "entry"), EXACT.items())
def test_exact_constants(name: str, entry: str) -> None:
    assert getattr(units, name) == constants.physical_constants[entry][0]


@pytest.mark.parametrize(("name", "entry"), MEASURED_CONSTANTS.items())
def test_measured_constants(name: str, entry: str) -> None:
    assert getattr(units, name) == pytest.approx(
        constants.physical_constants[entry][0], rel=MEASURED
    )


def test_hbar() -> None:
    assert pytest.approx(constants.hbar, rel=1e-15) == units.HBAR


def test_numbers_of_the_phonon_reference() -> None:
    # phonopy's and phono3py's factors to the digits they are usually quoted with
    assert pytest.approx(15.633304, abs=5e-7) == units.THZ_PER_SQRT_EV_A2_AMU
    assert pytest.approx(1602.176634, rel=1e-12) == units.W_PER_MK_PER_EV_PER_K_A_PS
    assert pytest.approx(14.39964, abs=1e-5) == units.COULOMB_EV_ANGSTROM
    assert pytest.approx(160.2176634, rel=1e-12) == units.GPA_PER_EV_A3
    assert pytest.approx(8.617333262e-5, rel=1e-9) == units.BOLTZMANN_EV
    assert pytest.approx(4.135667696e-3, rel=1e-9) == units.PLANCK_EV_PS
    assert pytest.approx(0.529177210544, rel=1e-12) == units.ANGSTROM_PER_BOHR
    assert pytest.approx(27.211386245981, rel=1e-12) == units.EV_PER_HARTREE


def test_derived_factors_from_si() -> None:
    # frequency of 1 amu on a spring of 1 eV/Å²
    spring = constants.e / 1e-20
    frequency = sqrt(spring / units.ATOMIC_MASS) / (2 * pi) / 1e12
    assert frequency == pytest.approx(units.THZ_PER_SQRT_EV_A2_AMU, rel=1e-14)
    # two elementary charges 1 Å apart
    energy = constants.e**2 / (4 * pi * units.VACUUM_PERMITTIVITY * 1e-10) / constants.e
    assert energy == pytest.approx(units.COULOMB_EV_ANGSTROM, rel=1e-14)
    # Hartree and bohr: e²/(4 pi eps_0 a_0) is one hartree
    assert (
        pytest.approx(units.EV_PER_HARTREE, rel=1e-9)
        == units.COULOMB_EV_ANGSTROM / units.ANGSTROM_PER_BOHR
    )
    assert constants.e / 1e-10 / 1e-12 == pytest.approx(units.W_PER_MK_PER_EV_PER_K_A_PS)
    # 1 Å THz = 100 m/s; 1 µm = 10⁴ Å
    assert pytest.approx(units.KM_PER_S_PER_A_THZ) == 1e-10 * 1e12 / 1e3
    assert pytest.approx(1e-6 / 1e-10) == units.ANGSTROM_PER_MICROMETRE


def test_rate_is_four_pi_times_half_width() -> None:
    assert units.rate_from_linewidth(1.0) == pytest.approx(4 * pi, rel=1e-15)
    # phono3py: tau = 1 / (2 * 2 pi * gamma)
    assert 1 / units.rate_from_linewidth(0.025) == pytest.approx(1 / (2 * 2 * pi * 0.025))


def test_linewidth_round_trip_accepts_arrays() -> None:
    linewidths = np.geomspace(1e-6, 10.0, 7)
    back = units.linewidth_from_rate(units.rate_from_linewidth(linewidths))
    np.testing.assert_allclose(back, linewidths, rtol=1e-15)

"""Permittivity, LO character and Fröhlich's constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ionic_crystal import CSCL, TRICLINIC, cubic_crystal, ionic_crystal

from elphant.coupling.polar_modes import PolarModes, lo_character, mode_dipoles, polar_modes
from elphant.errors import PhysicsError
from elphant.phonon.unit_cell_modes import UnitCellPhonons
from elphant.units import COULOMB_EV_ANGSTROM, THZ_SQUARED_FROM_DYNAMICAL_MATRIX


def phonons_of(constants) -> UnitCellPhonons:
    return UnitCellPhonons(constants, constants.unitcell)


@pytest.fixture(scope="module")
def triclinic() -> PolarModes:
    return polar_modes(phonons_of(ionic_crystal()))


@pytest.fixture(scope="module")
def cubic() -> PolarModes:
    return polar_modes(phonons_of(cubic_crystal()))


def along(tensor, directions):
    return np.einsum("na,ab,nb->n", directions, tensor, directions)


def test_couplings_add_up_to_what_the_nuclei_screen(triclinic):
    n = triclinic.directions
    expected = 1 / along(triclinic.epsilon_infinity, n) - 1 / along(triclinic.epsilon_static, n)
    assert expected.min() > 0.02
    np.testing.assert_allclose(triclinic.couplings.sum(axis=1), expected, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(n, axis=1), 1.0)
    assert triclinic.weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(
        np.einsum("n,na,nb->ab", triclinic.weights, n, n), np.eye(3) / 3, atol=1e-12
    )


def test_lyddane_sachs_teller(cubic):
    f = cubic.transverse_frequencies
    longitudinal = cubic.frequencies[:, -1]
    ratio = longitudinal**2 / f[-1] ** 2
    epsilon = cubic.epsilon_static[0, 0]
    np.testing.assert_allclose(cubic.epsilon_static, epsilon * np.eye(3), atol=1e-9)
    np.testing.assert_allclose(ratio, epsilon / 2.4, rtol=1e-8)
    assert cubic.effective_frequency == pytest.approx(longitudinal[0])
    # Two ions: the strength of the only mode in closed form.
    crystal = cubic_crystal().unitcell
    reduced = 1.0 / (1.0 / crystal.masses).sum()
    strength = 4 * np.pi * COULOMB_EV_ANGSTROM * 1.1**2 / (crystal.volume * reduced)
    expected = 2.4 + strength * THZ_SQUARED_FROM_DYNAMICAL_MATRIX / f[-1] ** 2
    assert epsilon == pytest.approx(expected)


def test_coupling_of_one_mode_in_a_cubic_crystal(cubic):
    mass, f = 0.3, cubic.frequencies[0, -1]
    # α = sqrt(Ry m/ħω) (1/ε∞ - 1/ε0), with Ry = 13.605693 eV and ħω = 4.1356677 meV THz⁻¹.
    expected = (13.605693 * mass / (4.1356677e-3 * f)) ** 0.5
    expected *= 1 / 2.4 - 1 / cubic.epsilon_static[0, 0]
    found = cubic.frohlich(mass)
    assert found.alpha == pytest.approx(expected, rel=1e-6)
    assert found.omega_thz == pytest.approx(f)
    np.testing.assert_allclose(found.by_direction, expected, rtol=1e-6)
    # sqrt(ħ/2mω) is the Bohr radius times sqrt(Ry/ħω) for one electron mass.
    radius = 0.529177 * (13.605693 / (4.1356677e-3 * f)) ** 0.5
    assert found.polaron_radius_factor == pytest.approx(radius, rel=1e-5)
    assert set(found.to_dict()) == {"alpha", "omega_thz", "epsilon_static"}


def test_masses(triclinic):
    tensor = np.diag([0.2, 0.4, 0.8])
    isotropic = triclinic.frohlich(0.4)
    np.testing.assert_allclose(triclinic.frohlich(0.4 * np.eye(3)).alpha, isotropic.alpha)
    low, high = triclinic.frohlich(0.2).by_direction, triclinic.frohlich(0.8).by_direction
    found = triclinic.frohlich(tensor).by_direction
    assert ((found > low) & (found < high)).all()
    np.testing.assert_allclose(high, 2 * low)
    with pytest.raises(ValueError, match="not positive"):
        triclinic.frohlich(-0.1)


def test_the_average_over_directions_does_not_depend_on_the_frame():
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    own = ionic_crystal()
    data = own.dielectric
    assert data is not None
    other = ionic_crystal(
        TRICLINIC @ turn.T, CSCL, turn @ data.epsilon_infinity @ turn.T,
        turn @ data.born_charges[0] @ turn.T,
    )  # fmt: skip
    first, second = polar_modes(phonons_of(own)), polar_modes(phonons_of(other))
    expected = turn @ first.epsilon_static @ turn.T
    np.testing.assert_allclose(second.epsilon_static, expected, atol=1e-8)
    assert second.frohlich(0.3).alpha == pytest.approx(first.frohlich(0.3).alpha, rel=1e-5)
    assert second.effective_frequency == pytest.approx(first.effective_frequency, rel=1e-4)


def test_longitudinal_character():
    constants = ionic_crystal()
    phonons, data = phonons_of(constants), constants.dielectric
    assert data is not None
    q = np.random.default_rng(2).uniform(-0.5, 0.5, size=(4, 3))
    crystal = constants.unitcell
    share = lo_character(phonons.modes(q), data, crystal)
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    moved = lo_character(phonons.modes(q + np.array([1, 0, -1])), data, crystal)
    np.testing.assert_allclose(moved, share, atol=1e-8)
    gamma = phonons.modes([[0, 0, 0]], direction=[1, 0, 0])
    assert (lo_character(gamma, data, crystal) == 0).all()
    np.testing.assert_allclose(
        lo_character(gamma, data, crystal, direction=[1, 0, 0]),
        lo_character(phonons.modes([[1e-4, 0, 0]]), data, crystal),
        atol=1e-3,
    )


def test_one_mode_of_a_cubic_crystal_is_longitudinal():
    constants = cubic_crystal()
    phonons = phonons_of(constants)
    assert phonons.dielectric is not None
    modes = phonons.modes([[1e-3, 0, 0]])
    share = lo_character(modes, phonons.dielectric, constants.unitcell)[0]
    np.testing.assert_allclose(share[-1], 1.0, atol=1e-3)


def test_acoustic_modes_carry_no_dipole():
    phonons = phonons_of(ionic_crystal())
    assert phonons.dielectric is not None
    p = mode_dipoles(phonons.modes([[0, 0, 0]]), phonons.dielectric, phonons.crystal)[0]
    assert np.abs(p[:3]).max() < 1e-6
    assert np.abs(p[3:]).max() > 0.1


def test_soft_modes_and_missing_charges():
    constants = cubic_crystal()
    with pytest.raises(ValueError, match="without Born charges"):
        polar_modes(phonons_of(replace(constants, dielectric=None)))
    unstable = replace(constants, second=-constants.second)
    with pytest.raises(PhysicsError, match="optical mode at Γ"):
        polar_modes(phonons_of(unstable))


@pytest.mark.shared
def test_rock_salt(shared_data):
    from elphant.phonon.adapters.import_files import load_force_constants

    path = shared_data / "phono3py" / "NaCl" / "phono3py_params_NaCl222.yaml.xz"
    found = polar_modes(phonons_of(load_force_constants(path, None)), n_polar=2)
    # Eight atoms: folded modes are not polar, one LO of 7.41 THz remains.
    assert found.effective_frequency == pytest.approx(found.frequencies[0, -1], rel=1e-6)
    # Measured: 5.9 at room temperature; PBE gives a larger cell and softer modes.
    assert 5.0 < found.epsilon_static[0, 0] < 7.5

"""Potentials of displaced charges: signs, limits, symmetries, supercells."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import erf

import numpy as np
import pytest
from ionic_crystal import EPSILON, TRICLINIC, ionic_crystal

from elphant.coupling.finite_differences import repeated
from elphant.coupling.long_range import LongRangeCoupling, default_range_parameter
from elphant.coupling.polar_modes import polar_modes
from elphant.crystal import Crystal
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.unit_cell_modes import UnitCellPhonons
from elphant.units import COULOMB_EV_ANGSTROM, PLANCK_EV_PS, ZERO_POINT_SQUARE

RANDOM = np.random.default_rng(11)
POINTS = RANDOM.uniform(-0.5, 0.5, size=(4, 3))
CHARGES = RANDOM.normal(size=(3, 3, 3))
CHARGES -= CHARGES.mean(axis=0)
QUADRUPOLES = RANDOM.normal(size=(3, 3, 3, 3))
CRYSTAL = Crystal(lattice=TRICLINIC, fractional=RANDOM.random((3, 3)), numbers=[3, 8, 9])


def coupling(
    crystal: Crystal = CRYSTAL,
    charges=CHARGES,
    epsilon=EPSILON,
    range_parameter: float = 1.3,
    **options,
) -> LongRangeCoupling:
    data = DielectricData(epsilon_infinity=epsilon, born_charges=charges, source="test")
    return LongRangeCoupling(
        crystal=crystal, dielectric=data, range_parameter=range_parameter, **options
    )


ALL_TERMS = [{}, {"quadrupoles": QUADRUPOLES}, {"quadrupoles": QUADRUPOLES, "screening": 0.7}]


def test_an_electron_is_attracted_by_a_positive_charge_that_moves_towards_it():
    side, r, epsilon = 16.0, np.array([1.9, 0.6, -0.3]), 2.0
    crystal = Crystal(lattice=side * np.eye(3), fractional=[[0, 0, 0], r / side], numbers=[3, 9])
    charges = np.stack([1.5 * np.eye(3), np.zeros((3, 3))])
    long_range = coupling(crystal, charges, epsilon * np.eye(3), range_parameter=2.6)
    W = long_range.fixed_potentials([[0, 0, 0]])[0, 1, 0]
    # Bare dipoles, and the field 4πP/3ε of those in the other cells.
    strength = 1.5 * COULOMB_EV_ANGSTROM / epsilon
    expected = -strength * r * (1 / np.linalg.norm(r) ** 3 - 4 * np.pi / (3 * side**3))
    np.testing.assert_allclose(W, expected, rtol=2e-3)
    assert W[0].real < -1.0
    assert np.abs(W.imag).max() < 1e-12


def test_anisotropic_permittivity_is_isotropic_in_scaled_coordinates():
    values, vectors = np.linalg.eigh(EPSILON)
    root = vectors @ np.diag(values**0.5) @ vectors.T
    inverse = np.linalg.inv(root)
    scaled = Crystal(
        lattice=TRICLINIC @ inverse, fractional=CRYSTAL.fractional, numbers=CRYSTAL.numbers
    )
    isotropic = coupling(scaled, inverse @ CHARGES, np.eye(3)).site_potentials(POINTS)
    found = coupling().site_potentials(POINTS)
    np.testing.assert_allclose(found, isotropic / np.linalg.det(root), atol=1e-9)


def test_the_static_potential_is_differentiated():
    # Scalar charges: W at q = 0 is the change of the potential at all atoms when one is moved.
    charges = np.array([1.3, -0.4, -0.9])[:, None, None] * np.eye(3)
    G = np.array(list(product(range(-9, 10), repeat=3))) @ (2 * np.pi * np.linalg.inv(TRICLINIC).T)
    G = G[np.linalg.norm(G, axis=1) > 1e-9]
    metric = np.einsum("gx,xy,gy->g", G, EPSILON, G)
    weight = (
        4 * np.pi * COULOMB_EV_ANGSTROM / CRYSTAL.volume * np.exp(-metric / (4 * 1.3**2)) / metric
    )

    def potential(positions):
        phase = np.exp(1j * positions @ G.T)
        return -np.einsum("g,ag,kg,k->a", weight, phase, phase.conj(), charges[:, 0, 0]).real

    W = coupling(charges=charges).site_potentials([[0, 0, 0]])[0]
    step = 1e-4
    for atom, axis in product(range(3), range(3)):
        move = np.zeros((3, 3))
        move[atom, axis] = step
        change = potential(CRYSTAL.positions + move) - potential(CRYSTAL.positions - move)
        np.testing.assert_allclose(W[:, atom, axis], change / (2 * step), atol=1e-6)
    assert np.abs(W).max() > 0.1


@pytest.mark.parametrize("options", ALL_TERMS)
def test_moving_the_whole_crystal_changes_nothing(options):
    long_range = coupling(**options)
    W = long_range.site_potentials([[0, 0, 0]])[0]
    np.testing.assert_allclose(W.sum(axis=1), 0.0, atol=1e-12)
    # On sites without inversion symmetry, the motion of the sites themselves is needed for that.
    assert np.abs(long_range.fixed_potentials([[0, 0, 0]])[0].sum(axis=1)).max() > 0.1


def test_a_long_wave_of_neutral_charges_moves_the_crystal_as_a_whole():
    # Neutral charges leave a field of order zero in q, the same at all sites (piezoelectric); what
    # differs between sites vanishes with q.
    long_range = coupling()
    q = np.array([[1e-5, 2e-5, -1e-5], [2e-5, 4e-5, -2e-5]])
    total = long_range.site_potentials(q).sum(axis=2)
    field = total - total.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(field, 0.0, atol=1e-3)
    np.testing.assert_allclose(field[1], 2 * field[0], atol=1e-6)


@pytest.mark.parametrize("options", ALL_TERMS)
def test_symmetries_of_the_wave_vector(options):
    long_range = coupling(**options)
    q = np.vstack([POINTS, [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, -0.5]]])
    W = long_range.site_potentials(q)
    np.testing.assert_allclose(long_range.site_potentials(-q), W.conj(), atol=1e-12)
    np.testing.assert_allclose(long_range.site_potentials(q + np.array([1, -2, 3])), W, atol=1e-11)
    assert np.abs(W).max() > 0.1


@pytest.mark.parametrize("options", ALL_TERMS)
def test_rotations(options):
    R = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]
    turned = {"screening": options.get("screening", 0.0)}
    if "quadrupoles" in options:
        turned["quadrupoles"] = np.einsum("ai,bj,cl,kijl->kabc", R, R, R, QUADRUPOLES)
    other = coupling(
        CRYSTAL.replaced(lattice=TRICLINIC @ R.T), R @ CHARGES @ R.T, R @ EPSILON @ R.T, **turned
    )
    W = coupling(**options).site_potentials(POINTS)
    np.testing.assert_allclose(other.site_potentials(POINTS), W @ R.T, atol=1e-10)


def test_images_of_atoms():
    cells = np.array([[0, 0, 0], [1, -1, 0], [0, 2, 1]])
    other = coupling(CRYSTAL.replaced(fractional=CRYSTAL.fractional + cells))
    phase = np.exp(2j * np.pi * POINTS @ cells.T)
    expected = coupling().site_potentials(POINTS)
    expected = expected * phase[:, :, None, None] * phase.conj()[:, None, :, None]
    np.testing.assert_allclose(other.site_potentials(POINTS), expected, atol=1e-11)


@pytest.mark.parametrize("quadrupoles", [None, QUADRUPOLES])
@pytest.mark.parametrize("repeats", [(2, 1, 1), (2, 3, 1)])
def test_a_supercell_holds_the_waves_of_its_cells(repeats, quadrupoles):
    n_cells = int(np.prod(repeats))
    cell = coupling(quadrupoles=quadrupoles)
    whole = coupling(
        repeated(CRYSTAL, repeats),
        np.tile(CHARGES, (n_cells, 1, 1)),
        quadrupoles=None if quadrupoles is None else np.tile(quadrupoles, (n_cells, 1, 1, 1)),
    )
    found = whole.site_potentials([[0, 0, 0]])[0, :, :3]
    cells = np.rint(whole.crystal.fractional * repeats - np.tile(CRYSTAL.fractional, (n_cells, 1)))
    q = np.array(list(product(*(range(n) for n in repeats)))) / np.array(repeats)
    W = cell.site_potentials(q)
    phase = np.exp(2j * np.pi * cells[::3] @ q.T) / n_cells
    expected = np.einsum("rq,qaki->raki", phase, W).reshape(3 * n_cells, 3, 3)
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_two_opposite_dipoles_are_a_quadrupole():
    # Charges ±Z at τ ± d/2: second moments Z (δ_αb d_c + δ_αc d_b) for unit displacement along α.
    Z, d, place = 0.8, np.array([0.02, -0.01, 0.015]), np.array([0.2, 0.3, 0.1])
    half = 0.5 * d @ np.linalg.inv(TRICLINIC)
    site = [0.7, 0.6, 0.55]
    pair = Crystal(
        lattice=TRICLINIC, fractional=[place + half, place - half, site], numbers=[3, 3, 9]
    )
    charges = Z * np.array([1.0, -1.0, 0.0])[:, None, None] * np.eye(3)
    dipoles = coupling(pair, charges).fixed_potentials(POINTS)[:, 2, :2].sum(axis=1)
    quadrupoles = np.zeros((2, 3, 3, 3))
    outer = np.einsum("ab,c->abc", np.eye(3), d)
    quadrupoles[0] = Z * (outer + outer.swapaxes(1, 2))
    single = Crystal(lattice=TRICLINIC, fractional=[place, site], numbers=[3, 9])
    found = coupling(single, np.zeros((2, 3, 3)), quadrupoles=quadrupoles).fixed_potentials(POINTS)
    np.testing.assert_allclose(found[:, 1, 0], dipoles, atol=2e-4 * np.abs(dipoles).max())
    # Only the symmetric part of the two directions counts.
    one_sided = np.zeros_like(quadrupoles)
    one_sided[0] = 2 * Z * outer
    other = coupling(single, np.zeros((2, 3, 3)), quadrupoles=one_sided).fixed_potentials(POINTS)
    np.testing.assert_allclose(other, found, atol=1e-13)


def test_polar_modes_of_long_wavelength():
    # |g|² = C 2π/(Ω q²) ħω κ(n), mode by mode; in a cubic crystal κ = 1/ε∞ - 1/ε0.
    constants = ionic_crystal()
    phonons = UnitCellPhonons(constants, constants.unitcell)
    polar = polar_modes(phonons, n_polar=2)
    data = constants.dielectric
    assert data is not None
    crystal = constants.unitcell
    long_range = LongRangeCoupling(crystal=crystal, dielectric=data, range_parameter=1.0)
    length = 1e-4
    q = length * polar.directions @ crystal.lattice.T / (2 * np.pi)
    modes = phonons.modes(q)
    f = modes.frequencies[:, 3:]
    amplitude = modes.eigenvectors[:, :, 3:] * np.sqrt(
        ZERO_POINT_SQUARE / np.repeat(modes.masses, 3)[:, None] / f[:, None]
    )
    g = long_range.site_potentials(q).reshape(len(q), 2, 6) @ amplitude
    scale = COULOMB_EV_ANGSTROM * 2 * np.pi / (crystal.volume * length**2) * PLANCK_EV_PS
    expected = scale * f * polar.couplings[:, 3:]
    assert (expected.max(axis=1) > 1e3).all()
    for atom in range(2):
        np.testing.assert_allclose(
            np.abs(g[:, atom]) ** 2, expected, rtol=2e-3, atol=1e-4 * expected.max()
        )


def test_screening_by_carriers():
    bare, wave = coupling(), 0.05
    np.testing.assert_array_equal(
        coupling(screening=0.0).site_potentials(POINTS), bare.site_potentials(POINTS)
    )
    q = np.array([[1e-3, 0, 0]])
    # At long wavelength only G = 0 is divided by more than rounding.
    Q = q @ bare.reciprocal
    factor = 1.0 + wave / float((Q @ EPSILON @ Q.T)[0, 0])
    direct = bare.fixed_potentials(q) - bare.fixed_potentials([[0, 0, 0]])
    screened = coupling(screening=wave)
    difference = screened.fixed_potentials(q) - screened.fixed_potentials([[0, 0, 0]])
    np.testing.assert_allclose(difference * factor, direct, atol=1e-2 * np.abs(direct).max())
    assert factor > 1e3


def test_the_gaussian_is_complete_beyond_the_default_radius():
    radius = 5.0
    found = default_range_parameter(EPSILON, radius)
    largest = np.linalg.eigvalsh(EPSILON).max()
    assert 1.0 - erf(found * radius / largest**0.5) == pytest.approx(0.01)
    assert default_range_parameter(EPSILON, radius, missing=1e-3) > found
    with pytest.raises(ValueError, match="radius"):
        default_range_parameter(EPSILON, 0.0)


def test_wrong_input():
    with pytest.raises(ValueError, match="2 Born charges given for 3 atoms"):
        coupling(charges=CHARGES[:2])
    with pytest.raises(ValueError, match="must be positive"):
        coupling(range_parameter=0.0)
    with pytest.raises(ValueError, match="quadrupoles has shape"):
        coupling(quadrupoles=QUADRUPOLES[:2])
    changed = replace(coupling(), range_parameter=0.9)
    assert not np.allclose(changed.site_potentials(POINTS), coupling().site_potentials(POINTS))

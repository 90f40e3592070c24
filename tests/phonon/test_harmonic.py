"""Frequencies, bands, density of states and the checks built on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from polynomial_model import PolynomialModel

from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import from_ase
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.displacement import (
    DisplacementSettings,
    plan_displacements,
    plan_gamma_check,
)
from elphant.phonon.fitting import fit_force_constants
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.harmonic import (
    HarmonicSolver,
    band_structure,
    compare_gamma,
    density_of_states,
    gamma_frequencies,
    harmonic_checks,
    summarize_mesh,
    unit_cell_gamma,
)
from elphant.units import COULOMB_EV_ANGSTROM, THZ_PER_SQRT_EV_A2_AMU

# An orthorhombic crystal with two atoms at general heights along a polar axis.
POLAR = Crystal(
    lattice=np.diag([3.4, 3.9, 4.6]),
    fractional=np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.37]]),
    numbers=np.array([14, 32]),
)
ROTATION = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
# All bonds are shorter than the inflection of the Morse curve: every spring is positive.
MODEL = PolynomialModel(cutoff=4.0, length=3.6, cubic=False, tension=False)


def _constants(crystal: Crystal, length=7.5, **options) -> ForceConstants:
    settings = DisplacementSettings(
        orders=(2,), length_second=length, held_out_fraction=0.0, **options
    )
    plans = plan_displacements(crystal, find_symmetry(crystal), settings)
    forces = [MODEL.forces([plan.supercell], plan.displacements) for plan in plans]
    return fit_force_constants(crystal, plans, forces)[0]


@pytest.fixture(scope="module")
def polar() -> ForceConstants:
    return _constants(POLAR)


@pytest.fixture(scope="module")
def salt() -> ForceConstants:
    return _constants(from_ase(bulk("NaCl", "rocksalt", a=5.0, cubic=True)), length=10.0)


def test_gamma_frequencies_are_those_of_the_exact_dynamical_matrix(polar):
    _, second, _ = MODEL.tensors(POLAR)
    roots = np.sqrt(POLAR.masses)
    dynamical = second / roots[:, None, None, None] / roots[None, :, None, None]
    values = np.linalg.eigvalsh(dynamical.transpose(0, 2, 1, 3).reshape(6, 6))
    expected = np.sign(values) * np.sqrt(np.abs(values)) * THZ_PER_SQRT_EV_A2_AMU
    np.testing.assert_allclose(gamma_frequencies(polar), np.sort(expected), atol=2e-5)


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 2, 0], [2, 0, 1]])
@pytest.mark.parametrize("rotated", [False, True])
def test_frequencies_do_not_depend_on_setting_or_orientation(polar, order, rotated):
    lattice = POLAR.lattice[order] @ (ROTATION.T if rotated else np.eye(3))
    other = _constants(
        Crystal(lattice=lattice, fractional=POLAR.fractional[:, order], numbers=POLAR.numbers)
    )
    q_points = np.random.default_rng(0).uniform(-1, 1, size=(5, 3))
    reference = HarmonicSolver(polar).frequencies(q_points)
    found = HarmonicSolver(other).frequencies(q_points[:, order])
    np.testing.assert_allclose(found, reference, atol=1e-8)


def test_the_primitive_cell_gives_the_frequencies_of_the_conventional_cell(salt):
    primitive = _constants(from_ase(bulk("NaCl", "rocksalt", a=5.0)), length=10.0)
    q_points = np.array([[0.1, 0.2, 0.3], [0.5, 0.0, -0.2]])
    # q·r is the same number: q in units of the reciprocal primitive cell.
    of_primitive = q_points @ (primitive.unitcell.lattice @ np.linalg.inv(salt.unitcell.lattice)).T
    np.testing.assert_allclose(
        HarmonicSolver(primitive).frequencies(of_primitive),
        HarmonicSolver(salt).frequencies(q_points),
        atol=1e-8,
    )


def test_velocities_are_derivatives_of_frequencies(polar):
    solver = HarmonicSolver(polar)
    q, step = np.array([0.13, 0.21, 0.34]), 1e-4
    _, velocities = solver.group_velocities([q])
    for axis in np.eye(3):
        # A Cartesian step along the axis, in units of the reciprocal lattice (2π included).
        dq = step * axis @ POLAR.lattice.T / (2 * np.pi)
        plus, minus = solver.frequencies([q + dq, q - dq])
        np.testing.assert_allclose(
            velocities[0] @ axis, 2 * np.pi * (plus - minus) / (2 * step), rtol=1e-4, atol=1e-4
        )


def test_bands_split_at_gamma_according_to_the_direction(salt):
    charges = np.where(salt.unitcell.numbers == 11, 1.0, -1.0)[:, None, None] * np.eye(3)
    dielectric = DielectricData(
        epsilon_infinity=2.3 * np.eye(3), born_charges=charges, source="test"
    )
    ionic = replace(salt, dielectric=dielectric)
    bands = band_structure(ionic, find_symmetry(ionic.unitcell), n_points=8)
    assert bands.label[0] == "Γ"
    assert len(bands.label) == len(bands.label_distance)
    at_gamma = np.flatnonzero(~bands.q_point.any(axis=1))
    assert len(at_gamma) >= 2
    transverse = gamma_frequencies(salt)[-1]
    # Lyddane-Sachs-Teller splitting of a cubic crystal: w_L² - w_T² = 4 pi e² Z²/(eps V mu).
    masses = dict(zip(salt.unitcell.numbers, salt.unitcell.masses, strict=True))
    inverse_mass = sum(1 / m for m in masses.values())
    volume = salt.unitcell.volume / 4
    splitting = 4 * np.pi * COULOMB_EV_ANGSTROM / 2.3 / volume * inverse_mass
    longitudinal = np.sqrt(transverse**2 + splitting * THZ_PER_SQRT_EV_A2_AMU**2)
    np.testing.assert_allclose(bands.frequency[at_gamma][:, -1], longitudinal, rtol=1e-5)
    np.testing.assert_allclose(bands.frequency[at_gamma][:, -2], transverse, rtol=1e-5)
    np.testing.assert_allclose(gamma_frequencies(ionic)[-1], transverse, rtol=1e-6)


def test_density_of_states_counts_every_mode(polar):
    dos = density_of_states(polar, (4, 4, 4))
    assert np.trapezoid(dos.total, dos.frequency) == pytest.approx(6.0, abs=1e-4)
    assert set(dos.by_element) == {"Si", "Ge"}
    for part in dos.by_element.values():
        assert np.trapezoid(part, dos.frequency) == pytest.approx(3.0, abs=1e-4)
    np.testing.assert_allclose(sum(dos.by_element.values()), dos.total, atol=1e-12)


def test_reduced_mesh_gives_the_element_shares_of_the_full_mesh(salt):
    frequencies, weights, shares = HarmonicSolver(salt).element_weights((4, 4, 4))
    assert weights.sum() == 64
    assert len(weights) < 64
    np.testing.assert_allclose(sum(shares.values()), 1.0, atol=1e-12)
    grid = np.array(np.meshgrid(*[np.arange(4) / 4] * 3, indexing="ij")).reshape(3, -1).T
    # Reciprocal primitive coordinates of the full mesh, given in the conventional cell.
    q_points = grid @ np.linalg.inv(salt.primitive_matrix)
    f, e = HarmonicSolver(salt).eigenvectors(q_points)
    full = (np.abs(e) ** 2).reshape(64, 2, 3, 6).sum(axis=2)
    np.testing.assert_allclose(
        np.sum(full[:, 0] * f**2),
        np.sum(weights[:, None] * shares["Na"] * frequencies**2),
        rtol=1e-8,
    )


def test_checks_pass_for_a_stable_crystal_and_count_imaginary_modes(polar):
    assert {flag.severity for flag in harmonic_checks(polar, summarize_mesh(polar, (3, 3, 3)))} == {
        "info"
    }
    unstable = replace(polar, second=-np.array(polar.second))
    imaginary, _ = harmonic_checks(unstable, summarize_mesh(unstable, (3, 3, 3)))
    assert imaginary.severity == "warning"
    assert imaginary.value == pytest.approx(1.0, abs=0.05)
    assert (gamma_frequencies(unstable) < 1e-4).all()


def test_supercell_and_unit_cell_agree_at_gamma(polar):
    plan = plan_gamma_check(POLAR, find_symmetry(POLAR))
    frequencies = unit_cell_gamma(plan, MODEL.forces([plan.supercell], plan.displacements))
    flag = compare_gamma(polar, frequencies)
    assert flag.severity == "info"
    assert flag.value < 1e-4


def test_forgotten_residual_forces_show_up_at_gamma():
    """One-sided displacements of a badly relaxed crystal: the artefact of the check."""
    model = PolynomialModel(cutoff=4.0, cubic=False, tension=True)
    symmetry = find_symmetry(POLAR)
    unit = plan_gamma_check(POLAR, symmetry)
    exact = unit_cell_gamma(unit, model.forces([unit.supercell], unit.displacements))
    plans = plan_displacements(
        POLAR, symmetry, DisplacementSettings(orders=(2,), length_second=7.5, method="random")
    )
    forces = model.forces([plans[0].supercell], plans[0].displacements)
    good, _ = fit_force_constants(POLAR, plans, [forces])
    assert compare_gamma(good, exact).severity == "info"
    keep = plans[0].fitted[::2]
    one_sided = replace(plans[0], displacements=plans[0].displacements[keep], held_out=())
    without = np.concatenate([0 * forces[:1], forces[1 + keep]])
    bad, _ = fit_force_constants(POLAR, [one_sided], [without])
    assert compare_gamma(bad, exact).severity == "warning"
    with_reference = np.concatenate([forces[:1], forces[1 + keep]])
    repaired, _ = fit_force_constants(POLAR, [one_sided], [with_reference])
    assert compare_gamma(repaired, exact).severity == "info"

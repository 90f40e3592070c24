"""Phonons of the user's cell: against phonopy, in other settings, with dipoles."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from ase.build import bulk
from polynomial_model import PolynomialModel
from toy_crystal import toy_crystal

from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import from_ase
from elphant.errors import StructureError
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.adapters.import_files import load_force_constants
from elphant.phonon.adapters.renormalization_adapter import HarmonicCrystal
from elphant.phonon.displacement import DisplacementSettings, plan_displacements
from elphant.phonon.fitting import fit_force_constants
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.harmonic import HarmonicSolver
from elphant.phonon.plane_wave_sums import PlaneWaveSums, shortest_images
from elphant.phonon.unit_cell_modes import (
    DEGENERACY_THZ,
    GENERAL_DIRECTION,
    UnitCellPhonons,
)
from elphant.units import THZ_SQUARED_FROM_DYNAMICAL_MATRIX

LATTICE = np.array([[3.3, 0.0, 0.1], [0.4, 3.5, 0.0], [-0.2, 0.3, 3.2]])
EPSILON = np.array([[2.6, 0.3, 0.1], [0.3, 4.1, -0.2], [0.1, -0.2, 3.2]])
CHARGES = np.array([[1.1, 0.2, 0.0], [-0.1, 1.4, 0.3], [0.2, 0.1, 0.8]])
POINTS = np.random.default_rng(3).uniform(-0.5, 0.5, size=(7, 3))


@pytest.fixture(scope="module")
def springs() -> ForceConstants:
    return toy_crystal(LATTICE)


@pytest.fixture(scope="module")
def ionic(springs) -> ForceConstants:
    data = DielectricData(
        epsilon_infinity=EPSILON, born_charges=np.stack([CHARGES, -CHARGES]), source="test"
    )
    return replace(springs, dielectric=data)


@pytest.fixture(scope="module")
def salt() -> ForceConstants:
    crystal = from_ase(bulk("NaCl", "rocksalt", a=5.0, cubic=True))
    settings = DisplacementSettings(orders=(2,), length_second=10.0, held_out_fraction=0.0)
    plans = plan_displacements(crystal, find_symmetry(crystal), settings)
    model = PolynomialModel(cutoff=4.0, length=3.6, cubic=False, tension=False)
    forces = [model.forces([plan.supercell], plan.displacements) for plan in plans]
    return fit_force_constants(crystal, plans, forces)[0]


def charged(constants: ForceConstants) -> ForceConstants:
    charges = np.where(constants.unitcell.numbers == 11, 1.0, -1.0)[:, None, None] * np.eye(3)
    data = DielectricData(epsilon_infinity=2.3 * np.eye(3), born_charges=charges, source="test")
    return replace(constants, dielectric=data)


@pytest.mark.parametrize("kind", ["springs", "ionic"])
def test_dynamical_matrices_are_those_of_phonopy(kind, request):
    constants = request.getfixturevalue(kind)
    q = shortest_images(POINTS, constants.unitcell)
    found = UnitCellPhonons(constants, constants.unitcell).dynamical_matrices(q)
    expected = HarmonicCrystal(constants).dynamical_matrices(q)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_eigenvectors_belong_to_the_periodic_dynamical_matrix(ionic):
    phonons = UnitCellPhonons(ionic, ionic.unitcell)
    shifted = POINTS + np.array([1, -2, 3])
    modes, D = phonons.modes(shifted), phonons.dynamical_matrices(POINTS)
    np.testing.assert_allclose(D, D.conj().swapaxes(1, 2), atol=1e-14)
    np.testing.assert_allclose(phonons.dynamical_matrices(-POINTS), D.conj(), atol=1e-13)
    e = modes.eigenvectors
    squares = np.sign(modes.frequencies) * modes.frequencies**2 / THZ_SQUARED_FROM_DYNAMICAL_MATRIX
    np.testing.assert_allclose(D @ e, e * squares[:, None], atol=1e-12)
    np.testing.assert_allclose(
        e.conj().swapaxes(1, 2) @ e, np.tile(np.eye(6), (7, 1, 1)), atol=1e-12
    )


def test_points_on_the_boundary_of_the_zone_have_one_image(ionic):
    phonons = UnitCellPhonons(ionic, ionic.unitcell)
    q = np.array([[0.5, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.0]])
    D = phonons.dynamical_matrices(q)
    np.testing.assert_allclose(phonons.dynamical_matrices(q + np.array([-1, 1, 0])), D, atol=1e-14)
    hexagonal = Crystal(
        lattice=np.array([[3.0, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5]]),
        fractional=np.zeros((1, 3)),
        numbers=[6],
    )
    points = np.array([[1 / 3, 1 / 3, 0], [-2 / 3, 1 / 3, 1], [1 / 3, -2 / 3, -1]])
    images = shortest_images(points, hexagonal)
    np.testing.assert_allclose(images, np.tile(images[0], (3, 1)), atol=1e-12)


def test_acoustic_modes_and_the_limit_at_gamma(ionic):
    phonons = UnitCellPhonons(ionic, ionic.unitcell)
    gamma = phonons.modes([[0, 0, 0]])
    assert np.abs(gamma.frequencies[0, :3]).max() < 1e-5
    direction = np.array([0.3, -0.5, 0.8])
    limit = phonons.modes([[0, 0, 0]], direction=direction).frequencies[0]
    close = phonons.modes([1e-4 * direction]).frequencies[0]
    np.testing.assert_allclose(limit[3:], close[3:], atol=1e-4)
    assert np.abs(limit[3:] - gamma.frequencies[0, 3:]).max() > 0.1


def test_the_order_and_the_images_of_atoms_are_those_of_the_crystal(ionic):
    order, cells = [1, 0], np.array([[0, 0, 0], [1, -1, 2]])
    own = ionic.unitcell
    moved = Crystal(
        lattice=own.lattice,
        fractional=(own.fractional + cells)[order],
        numbers=own.numbers[order],
        masses=own.masses[order],
    )
    reference = UnitCellPhonons(ionic, own).dynamical_matrices(POINTS).reshape(-1, 2, 3, 2, 3)
    phonons = UnitCellPhonons(ionic, moved)
    found = phonons.dynamical_matrices(POINTS).reshape(-1, 2, 3, 2, 3)
    # u(κ, R) of one description is u(κ, R - n) of the other.
    phase = np.exp(2j * np.pi * POINTS @ cells.T)
    expected = reference * phase[:, :, None, None, None] * phase.conj()[:, None, None, :, None]
    np.testing.assert_allclose(found, expected[:, order][:, :, :, order], atol=1e-12)
    np.testing.assert_array_equal(phonons.masses, own.masses[order])
    assert phonons.dielectric is not None
    np.testing.assert_array_equal(phonons.dielectric.born_charges, [-CHARGES, CHARGES])


@pytest.mark.parametrize("with_dipoles", [False, True])
def test_a_conventional_cell_folds_the_primitive_frequencies(salt, with_dipoles):
    constants = charged(salt) if with_dipoles else salt
    assert np.linalg.det(constants.primitive_matrix) == pytest.approx(0.25)
    modes = UnitCellPhonons(constants, constants.unitcell).modes(POINTS[:3])
    solver = HarmonicSolver(constants)
    # Of the primitive cell: four wave vectors for each one of the conventional cell.
    folds = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    for q, frequencies in zip(POINTS[:3], modes.frequencies, strict=True):
        # phonopy's sum over G is complete around the first zone of the primitive cell only.
        images = [q + G + 2 * np.array(n) for G in folds for n in product((-1, 0, 1), repeat=3)]
        shorter = np.array(images).reshape(4, -1, 3)
        best = np.linalg.norm(shorter, axis=2).argmin(axis=1)
        expected = np.sort(solver.frequencies(shorter[np.arange(4), best]).ravel())
        np.testing.assert_allclose(frequencies, expected, atol=3e-6)


def test_velocities_are_derivatives_of_frequencies(ionic):
    phonons = UnitCellPhonons(ionic, ionic.unitcell)
    modes = phonons.modes(POINTS, velocities=True)
    assert modes.velocities is not None
    step = 1e-4
    for axis in range(3):
        dq = step * np.eye(3)[axis] @ ionic.unitcell.lattice.T / (2 * np.pi)
        change = phonons.modes(POINTS + dq).frequencies - phonons.modes(POINTS - dq).frequencies
        expected = 2 * np.pi * change / (2 * step)
        np.testing.assert_allclose(modes.velocities[..., axis], expected, rtol=1e-4, atol=1e-4)


def test_velocities_of_degenerate_modes_are_slopes_along_one_direction(salt):
    phonons = UnitCellPhonons(charged(salt), salt.unitcell)
    q, step = np.array([0.1, 0.1, 0.1]), 1e-3
    modes = phonons.modes([q], velocities=True)
    assert modes.velocities is not None
    f = modes.frequencies[0]
    dq = step * GENERAL_DIRECTION @ salt.unitcell.lattice.T / (2 * np.pi)
    ahead, behind = phonons.modes([q + dq, q - dq]).frequencies
    found = modes.velocities[0] @ GENERAL_DIRECTION
    starts = np.flatnonzero(np.diff(f, prepend=-1.0) > DEGENERACY_THZ)
    assert len(starts) < len(f)
    for members in np.split(np.arange(len(f)), starts[1:]):
        # The steepest of a set is highest ahead and lowest behind.
        slopes = 2 * np.pi * (ahead[members] - behind[members][::-1]) / (2 * step)
        np.testing.assert_allclose(np.sort(found[members]), np.sort(slopes), rtol=1e-3, atol=2e-3)


def test_another_structure_is_refused(springs):
    with pytest.raises(StructureError, match="another structure"):
        UnitCellPhonons(springs, springs.unitcell.replaced(lattice=LATTICE * 1.05))
    with pytest.raises(StructureError, match="another structure"):
        UnitCellPhonons(springs, springs.unitcell.replaced(fractional=[[0, 0, 0], [0.5, 0.5, 0.4]]))


def test_masses_are_those_of_the_force_constants(springs):
    heavy = replace(springs, unitcell=replace(springs.unitcell, masses=[23.0, 200.0]))
    modes = UnitCellPhonons(heavy, springs.unitcell).modes(POINTS)
    np.testing.assert_array_equal(modes.masses, [23.0, 200.0])
    expected = UnitCellPhonons(heavy, heavy.unitcell).modes(POINTS)
    np.testing.assert_allclose(modes.frequencies, expected.frequencies)


@pytest.mark.parametrize("table", [True, False])
def test_sums_over_plane_waves(table, monkeypatch):
    if not table:
        monkeypatch.setattr("elphant.phonon.plane_wave_sums.TABLE_BYTES", 0)
    random = np.random.default_rng(0)
    crystal = Crystal(lattice=LATTICE, fractional=random.random((3, 3)), numbers=[3, 8, 9])
    waves = random.integers(-3, 4, size=(11, 3))
    factors = random.normal(size=(2, 4, 11))
    sums = PlaneWaveSums(crystal, waves)
    q = POINTS[:2]
    Q = (q[:, None] + waves) @ (2 * np.pi * np.linalg.inv(LATTICE).T)
    np.testing.assert_allclose(sums.wave_vectors(q), Q)
    distance = crystal.positions[:, None] - crystal.positions
    phase = np.exp(1j * np.einsum("qgx,akx->qgak", Q, distance))
    expected = np.einsum("qcg,qgak->qcak", factors, phase)
    np.testing.assert_allclose(sums(q, factors), expected, atol=1e-12)


@pytest.mark.shared
def test_antimony_selenide(shared_data):
    folder = shared_data / "phonondb" / "Sb2Se3"
    constants = load_force_constants(folder / "phonopy_params.yaml.xz", None)
    phonons = UnitCellPhonons(constants, constants.unitcell)
    q = np.random.default_rng(0).uniform(-0.5, 0.5, size=(20, 3))
    expected = HarmonicCrystal(constants).dynamical_matrices(q)
    D = phonons.dynamical_matrices(q)
    # 1e-8 THz of the highest mode (6 THz) in units of the matrix.
    limit = 2 * 6 * 1e-8 / THZ_SQUARED_FROM_DYNAMICAL_MATRIX
    assert np.abs(D - expected).max() < limit
    np.testing.assert_allclose(np.linalg.eigvalsh(D), np.linalg.eigvalsh(expected), atol=limit)
    reference = json.loads((folder / "reference.json").read_text())
    for axis, direction in zip("abc", np.eye(3), strict=True):
        found = phonons.modes([[0, 0, 0]], direction=direction).frequencies[0]
        known = reference["gamma_THz_nac"][axis]
        np.testing.assert_allclose(found[3:], known[3:], atol=2e-3)

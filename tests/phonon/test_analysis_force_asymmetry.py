"""Force asymmetry: a Morse oscillator, a crystal of springs, symmetry and rotation."""

from __future__ import annotations

import numpy as np
import pytest
from triclinic_springs import CRYSTAL, LATTICE, POSITIONS, energies_forces, supercell, third_order

from elphant.crystal import Crystal, find_symmetry
from elphant.errors import ConfigurationError
from elphant.phonon.analysis.force_asymmetry import (
    AMPLITUDES,
    analyse_scan,
    asymmetry,
    fit_energy,
    plan_scan,
    primitive_atoms,
    scan,
    third_order_norms,
)
from elphant.phonon.sparse_force_constants import SparseForceConstants

DEPTH, ALPHA = 0.8, 1.3


def morse(u):
    """Energy and force of D (1 - exp(-alpha u))^2."""
    decay = np.exp(-ALPHA * u)
    return DEPTH * (1 - decay) ** 2, -2 * DEPTH * ALPHA * (1 - decay) * decay


@pytest.fixture(scope="module")
def plan():
    return plan_scan(CRYSTAL, find_symmetry(CRYSTAL), supercell())


@pytest.fixture(scope="module")
def springs(plan):
    return scan(plan, energies_forces)


def test_derivatives_of_a_morse_oscillator():
    u = np.linspace(-0.2, 0.2, 9)
    coefficients, residual = fit_energy(u, *morse(u))
    known = DEPTH * np.array([2 * ALPHA**2, -6 * ALPHA**3, 14 * ALPHA**4])
    assert np.allclose(coefficients[2:5], known, rtol=[1e-5, 3e-4, 1e-2])
    assert coefficients[0] == 0
    assert abs(coefficients[1]) < 1e-5
    assert residual < 1e-6


def test_asymmetry_of_a_morse_oscillator():
    """One atom in a Morse well along x and a harmonic one along y and z."""
    crystal = Crystal(lattice=5 * np.eye(3), fractional=[[0.1, 0.2, 0.3]], numbers=[51])
    plan = plan_scan(crystal, find_symmetry(crystal), crystal)

    def evaluate(crystals):
        u = np.array([(c.fractional - crystal.fractional)[0] @ crystal.lattice for c in crystals])
        energy, force = morse(u[:, 0])
        harmonic = 0.5 * 1.7 * (u[:, 1:] ** 2).sum(axis=1)
        forces = np.column_stack([force, -1.7 * u[:, 1:]])[:, None]
        return energy + harmonic, forces + np.array([0.01, -0.02, 0.0])  # a residual force on top

    along_x, along_y, _ = scan(plan, evaluate)
    plus, minus = morse(np.array(AMPLITUDES))[1], morse(-np.array(AMPLITUDES))[1]
    expected = np.abs(plus + minus) / (np.abs(plus) + np.abs(minus))
    assert np.allclose(along_x.asymmetry, expected, rtol=1e-10)
    assert np.allclose(along_x.vector_asymmetry, expected, rtol=1e-10)
    # For small u it is |c3| u / (2 c2).
    slope = 6 * ALPHA**3 / (4 * ALPHA**2)
    assert along_x.asymmetry[0] == pytest.approx(slope * AMPLITUDES[0], rel=0.01)
    assert along_y.asymmetry.max() < 1e-12
    assert along_y.coefficients[2] == pytest.approx(1.7, rel=1e-6)


def test_plan_is_the_same_every_time(plan):
    again = plan_scan(CRYSTAL, find_symmetry(CRYSTAL), supercell())
    crystals = plan.crystals()
    assert len(crystals) == plan.n_crystals == 1 + 2 * 2 * 3 * len(AMPLITUDES)
    assert all(a == b for a, b in zip(crystals, again.crystals(), strict=True))
    assert crystals[0] == plan.supercell
    shift = (crystals[3].fractional - plan.supercell.fractional) @ plan.supercell.lattice
    moved = np.flatnonzero(np.abs(shift).max(axis=1) > 1e-9)
    assert moved.tolist() == [plan.supercell_atoms[0]]
    assert np.allclose(shift[moved[0]], 0.1 * LATTICE[0] / np.linalg.norm(LATTICE[0]))


def test_cubic_coefficient_is_the_on_site_constant(plan, springs):
    """Three ways to the third derivative: energies and forces, and the clusters."""
    norms = third_order_norms(third_order(), [0, 1], plan.directions)
    found = np.array([s.coefficients[3] for s in springs]).reshape(2, 3)
    assert np.abs(norms.on_site).max() > 1
    assert np.allclose(found, norms.on_site, atol=0.02 * np.abs(norms.on_site).max())
    assert np.all(norms.norm >= np.abs(norms.on_site))
    assert [(s.atom, s.label) for s in springs] == [(i, x) for i in (0, 1) for x in "abc"]


def test_energies_and_forces_belong_together(springs):
    for item in springs:
        middle = len(item.displacements) // 2
        assert item.displacements[middle] == 0
        assert item.energies[middle] == 0
        assert np.all(item.energies[:middle] > 0)
        assert item.residual < 1e-3 * item.energies.max()
        assert np.all((item.asymmetry >= 0) & (item.asymmetry <= 1))


def test_site_symmetry_forbids_odd_terms():
    cesium_chloride = Crystal(
        lattice=3.2 * np.eye(3), fractional=[[0, 0, 0], [0.5, 0.5, 0.5]], numbers=[11, 17]
    )
    plan = plan_scan(cesium_chloride, find_symmetry(cesium_chloride), cesium_chloride)
    assert plan.symmetric.all()
    # A mirror perpendicular to b, and nothing else: only b is reversed.
    polar = Crystal(
        lattice=np.diag([3.0, 3.4, 3.9]),
        fractional=[[0, 0, 0], [0.3, 0.0, 0.4], [0.1, 0.5, 0.7]],
        numbers=[11, 17, 35],
    )
    plan = plan_scan(polar, find_symmetry(polar), polar)
    assert plan.symmetric.tolist() == [[False, True, False]] * 3


def test_equivalent_atoms_are_scanned_once():
    silicon = Crystal(
        lattice=2.7 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]]),
        fractional=[[0, 0, 0], [0.25, 0.25, 0.25]], numbers=[14, 14],
    )  # fmt: skip
    plan = plan_scan(silicon, find_symmetry(silicon), silicon)
    assert plan.atoms == (0,)
    assert plan.multiplicities == (2,)


def test_norms_turn_with_the_crystal(plan):
    third = third_order()
    rng = np.random.default_rng(5)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    blocks = np.einsum("ai,bj,ck,nijk->nabc", turn, turn, turn, third.blocks)
    turned = SparseForceConstants(
        atoms=third.atoms, cells=third.cells, blocks=blocks, n_primitive=2
    )
    before = third_order_norms(third, [0, 1], plan.directions)
    after = third_order_norms(turned, [0, 1], plan.directions @ turn.T)
    assert np.allclose(before.on_site, after.on_site)
    assert np.allclose(before.norm, after.norm)


def test_asymmetry_without_force_is_zero():
    assert asymmetry([[0.0, 0.0]], [[0.0, 0.0]]).tolist() == [0.0]
    assert asymmetry([[1.0]], [[-1.0]]).tolist() == [0.0]
    assert asymmetry([[1.0]], [[1.0]]).tolist() == [1.0]


def test_primitive_atoms_are_found_by_position():
    doubled = Crystal(
        lattice=np.diag([2, 1, 1]) @ LATTICE,
        fractional=np.concatenate([POSITIONS * [0.5, 1, 1], POSITIONS * [0.5, 1, 1] + [0.5, 0, 0]]),
        numbers=[11, 17, 11, 17],
    )
    assert primitive_atoms(doubled, [3, 0, 2], LATTICE, POSITIONS + np.array([1, 0, -2])) == [
        1,
        0,
        0,
    ]
    with pytest.raises(ValueError, match="none of the primitive cell"):
        primitive_atoms(doubled, [1], LATTICE, POSITIONS[:1])


def test_unusable_scans_are_refused(plan):
    symmetry = find_symmetry(CRYSTAL)
    for wrong in ([0.1], [-0.1, 0.1], [0.0, 0.2]):
        with pytest.raises(ConfigurationError, match="do not make a scan"):
            plan_scan(CRYSTAL, symmetry, supercell(), amplitudes=wrong)
    other = Crystal(lattice=5 * np.eye(3), fractional=[[0.3, 0.3, 0.3]], numbers=[11])
    with pytest.raises(ConfigurationError, match="not found in the supercell"):
        plan_scan(CRYSTAL, symmetry, other)
    with pytest.raises(ValueError, match="energies has shape"):
        analyse_scan(plan, np.zeros(3), np.zeros((3, 54, 3)))


def test_record_is_plain(springs):
    import json

    record = json.loads(json.dumps(springs[0].to_record()))
    assert record["amplitude"] == pytest.approx(0.2)
    assert record["unit"] == "1"
    assert len(record["energies"]) == len(record["displacements"]) == 2 * len(AMPLITUDES) + 1

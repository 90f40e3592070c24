"""Counts, symmetry and reproducibility of the displacement designs."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from elphant.crystal import find_symmetry
from elphant.crystal.io import from_ase
from elphant.crystal.supercell import supercell_matrix
from elphant.errors import ConfigurationError, ResourceError
from elphant.phonon import cluster_fit
from elphant.phonon.adapters.cluster_adapter import supercell_symmetry
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.cluster_basis import build_basis
from elphant.phonon.displacement import (
    DisplacementPlan,
    DisplacementSettings,
    plan_displacements,
    plan_gamma_check,
)


def _plan(crystal, **options):
    return plan_displacements(crystal, find_symmetry(crystal), DisplacementSettings(**options))


@pytest.fixture(scope="module")
def salt():
    return from_ase(bulk("CsCl", "cesiumchloride", a=4.12))


def test_equal_supercells_give_one_joint_plan_of_opposite_pairs(salt):
    (plan,) = _plan(salt, length_second=8, length_third=8, cutoff_third=4.0)
    assert plan.label == "third"
    assert plan.orders == (2, 3)
    assert plan.method == "random"
    fitted = plan.displacements[plan.fitted]
    np.testing.assert_array_equal(fitted[::2], -fitted[1::2])
    np.testing.assert_allclose(np.linalg.norm(plan.displacements, axis=2), plan.amplitude)
    assert plan.held_out == tuple(range(len(fitted), plan.n_snapshots))
    assert len(plan.held_out) >= 1
    assert plan.n_equation_sets == {2: len(fitted) // 2, 3: len(fitted) // 2}


def test_two_supercells_give_two_plans_and_opposite_signs_only_where_needed(salt):
    second, third = _plan(salt, length_second=12, length_third=8, cutoff_third=4.0)
    assert (second.label, second.method, second.supercell.n_atoms) == (
        "second",
        "finite-difference",
        54,
    )
    # Every site is a centre of inversion: one displacement per element and no opposite ones.
    assert len(second.fitted) == 2
    assert (np.linalg.norm(second.displacements[second.fitted], axis=2) > 0).sum() == 2
    assert third.orders == (2, 3)
    assert min(third.over_determination.values()) >= 3.0


def test_sites_without_inversion_get_both_signs():
    # Along the axis of wurtzite nothing maps +u to -u; a one-sided difference would be first order.
    crystal = from_ase(bulk("ZnO", "wurtzite", a=3.25, c=5.2))
    (plan,) = _plan(crystal, orders=(2,), length_second=6)
    moves = plan.displacements[plan.fitted].sum(axis=1)
    for move in moves:
        if abs(move[2]) > 1e-6:
            assert any(np.allclose(move, -other) for other in moves)


def test_the_same_seed_gives_the_same_displacements_and_another_seed_others(salt):
    options = {"length_second": 8, "length_third": 8, "cutoff_third": 4.0}
    (one,), (two,), (three,) = (_plan(salt, seed=s, **options) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.displacements, two.displacements)
    assert not np.allclose(one.displacements, three.displacements)


def test_snapshots_are_in_phonopy_order_and_the_plan_survives_storage(salt):
    (plan,) = _plan(salt, length_second=8, length_third=8, cutoff_third=4.0)
    snapshots = plan.snapshots()
    assert len(snapshots) == plan.n_snapshots + 1
    assert snapshots[0] is plan.supercell
    np.testing.assert_allclose(
        snapshots[2].positions - plan.supercell.positions, plan.displacements[1], atol=1e-12
    )
    again = DisplacementPlan.from_dict(plan.to_dict(), plan.to_arrays())
    np.testing.assert_array_equal(again.displacements, plan.displacements)
    assert again.to_dict() == plan.to_dict()
    assert str(plan.n_snapshots) in plan.summary()
    assert f"{plan.n_atom_evaluations} atom evaluations" in plan.summary()


def test_the_matrix_convention_is_converted_once():
    # A primitive cell makes a supercell matrix that is not symmetric after a change of basis.
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.set_cell(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]) @ atoms.cell.array)
    atoms.wrap()
    crystal = from_ase(atoms)
    symmetry = find_symmetry(crystal)
    rows = supercell_matrix(crystal, symmetry, 5.6)
    assert not np.array_equal(rows, rows.T)
    (plan,) = plan_displacements(
        crystal, symmetry, DisplacementSettings(orders=(2,), length_second=5.6)
    )
    np.testing.assert_allclose(plan.supercell.lattice, rows @ crystal.lattice, atol=1e-9)
    np.testing.assert_allclose(plan.supercell.lengths, 5.64, atol=1e-6)


def test_finite_differences_of_third_order_on_request(salt):
    options = {"length_second": 8, "length_third": 8, "cutoff_third": 4.0}
    (plan,) = _plan(salt, method="finite-difference", **options)
    moved = (np.linalg.norm(plan.displacements[plan.fitted], axis=2) > 0).sum(axis=1)
    assert set(moved) <= {1, 2}
    assert (moved == 2).any()
    # Auto compares both counts and takes the smaller one.
    (auto,) = _plan(salt, **options)
    assert auto.method == "random"
    assert auto.n_snapshots < plan.n_snapshots
    assert "finite differences" in auto.reason


def test_the_unit_cell_plan_moves_whole_sublattices(salt):
    plan = plan_gamma_check(salt, find_symmetry(salt))
    np.testing.assert_array_equal(plan.supercell_matrix, np.eye(3))
    assert plan.supercell.n_atoms == salt.n_atoms
    assert plan.n_snapshots == 2


def test_a_fit_beyond_the_memory_is_refused_before_it_starts(salt, monkeypatch):
    monkeypatch.setattr(cluster_fit, "MEMORY_SHARE", 1e-6)
    with pytest.raises(ResourceError, match="cutoff_third"):
        _plan(salt, length_second=8, length_third=8, cutoff_third=None)


def test_a_cutoff_that_leaves_no_third_order_is_an_error(salt):
    # Within 3.6 Å there are only bonds that the small supercell folds onto their own opposites.
    with pytest.raises(ConfigurationError, match="no third-order"):
        _plan(salt, length_second=4, length_third=4, cutoff_third=3.6)


@pytest.mark.parametrize(
    "options",
    [
        {"oversampling": 0.5},
        {"amplitude_third": -0.01},
        {"orders": (3,)},
        {"held_out_fraction": 1.0},
        {"cutoff_third": 0.0},
        {"method": "guess"},
    ],
)
def test_bad_settings_are_refused(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        DisplacementSettings(**options)


@pytest.mark.shared
def test_counts_of_antimony_selenide(shared_data):
    crystal = from_ase(read(shared_data / "structures" / "Sb2Se3_PBEsol_Pnma.vasp"))
    second, third = _plan(
        crystal, length_second=(11.0, 15.0, 15.0), length_third=10.8, cutoff_third=4.0
    )
    assert second.supercell_matrix.tolist() == np.diag([1, 4, 2]).tolist()
    assert len(second.fitted) == 20
    assert third.supercell_matrix.tolist() == np.diag([1, 3, 1]).tolist()
    # symfc counts 703: 35 belong to chains of three atoms around the supercell along b.
    assert third.n_parameters == {2: 735, 3: 668}
    phonopy = build_phonopy(crystal, third.supercell_matrix)
    assert build_basis(supercell_symmetry(phonopy), 3, 4.0).n_parameters == 703
    assert len(third.fitted) == 26

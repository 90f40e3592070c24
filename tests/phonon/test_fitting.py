"""Fits must return force constants that are known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from polynomial_model import PolynomialModel

from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import from_ase
from elphant.errors import PhysicsError
from elphant.phonon import fitting
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.displacement import DisplacementSettings, plan_displacements
from elphant.phonon.fitting import FitReport, fit_force_constants

MODEL = PolynomialModel(cutoff=3.0)
OPTIONS = {"length_second": 7.0, "length_third": 7.0, "cutoff_third": 3.5}


@pytest.fixture(scope="module")
def crystal() -> Crystal:
    """Zincblende: two elements, no inversion, primitive cell smaller than the unit cell."""
    return from_ase(bulk("GaAs", "zincblende", a=4.2, cubic=True))


@pytest.fixture(scope="module")
def salt() -> Crystal:
    return from_ase(bulk("CsCl", "cesiumchloride", a=4.0))


@pytest.fixture(scope="module")
def low_symmetry() -> Crystal:
    """Two atoms at general positions of a triclinic cell; finite residual forces."""
    lattice = np.array([[3.1, 0.2, 0.1], [0.3, 3.4, -0.2], [-0.2, 0.1, 3.7]])
    return Crystal(
        lattice=lattice,
        fractional=np.array([[0.02, 0.01, 0.03], [0.52, 0.46, 0.44]]),
        numbers=np.array([14, 32]),
    )


def _forces(plan, model=MODEL):
    return model.forces([plan.supercell], plan.displacements)


def _exact(plan, model=MODEL):
    phonopy = build_phonopy(
        plan.unitcell, plan.supercell_matrix, primitive_matrix=plan.primitive_matrix
    )
    _, second, third = model.tensors(plan.supercell)
    rows = phonopy.primitive.p2s_map
    return second[rows], None if third is None else third[rows]


def _plans(crystal, **options):
    settings = DisplacementSettings(**{**OPTIONS, **options})
    return plan_displacements(crystal, find_symmetry(crystal), settings)


@pytest.mark.parametrize("method", ["random", "finite-difference"])
def test_joint_fit_is_exact_for_a_cubic_polynomial(crystal, method):
    plans = _plans(crystal, method=method)
    assert [plan.method for plan in plans] == [method]
    fc, report = fit_force_constants(crystal, plans, [_forces(plan) for plan in plans])
    second, third = _exact(plans[0])
    np.testing.assert_allclose(fc.second, second, atol=1e-9 * np.abs(second).max())
    np.testing.assert_allclose(fc.third, third, atol=1e-7 * np.abs(third).max())
    assert report.force_rmse["third"] < 1e-9
    assert report.force_r2["third"] > 1 - 1e-12
    # Order 2 alone misses the cubic forces, and the report says by how much.
    assert report.force_rmse["third_order2_only"] > 1e-4
    assert max(report.permutation_residual.values()) < 1e-9
    assert fc.source == method.replace("-", "_")


def test_residual_forces_are_subtracted(low_symmetry):
    plans = _plans(low_symmetry, orders=(2,), length_second=6.0)
    model = PolynomialModel(cutoff=3.0, cubic=False)
    forces = [_forces(plan, model) for plan in plans]
    fc, report = fit_force_constants(low_symmetry, plans, forces)
    second, _ = _exact(plans[0], model)
    assert report.residual_force > 0.01
    np.testing.assert_allclose(fc.second, second, atol=1e-9)
    assert [f.severity for f in report.flags if f.name == "residual_force"] == ["warning"]


def test_larger_supercell_supplies_the_second_order(salt):
    model = PolynomialModel(cutoff=4.0)
    plans = _plans(salt, length_second=12.0, length_third=8.0, cutoff_third=4.0)
    assert [plan.label for plan in plans] == ["second", "third"]
    fc, report = fit_force_constants(salt, plans, [_forces(plan, model) for plan in plans])
    np.testing.assert_array_equal(fc.supercell_matrix_second, plans[0].supercell_matrix)
    np.testing.assert_array_equal(fc.supercell_matrix_third, plans[1].supercell_matrix)
    # The one-atom displacements cancel the cubic term exactly, by symmetry or by the other sign.
    second, _ = _exact(plans[0], model)
    np.testing.assert_allclose(fc.second, second, atol=1e-9 * np.abs(second).max())
    assert set(report.force_rmse) == {"second", "third", "third_order2_only"}
    assert set(report.sum_rule_residual) == {"2", "2_unsymmetrized", "3"}


def test_sum_rules_hold_when_forces_are_noisy(crystal):
    noise = np.random.default_rng(0).normal(scale=1e-3, size=(200, 64, 3))
    (plan,) = _plans(crystal, orders=(2,), length_second=7.0, method="finite-difference")
    forces = _forces(plan) + noise[: plan.n_snapshots + 1, : plan.supercell.n_atoms]
    fc, report = fit_force_constants(crystal, [plan], [forces])
    assert report.sum_rule_residual["2"] < 1e-10
    assert report.sum_rule_residual["2_unsymmetrized"] > 1e-3
    assert report.permutation_residual["2"] < 1e-10
    assert fc.third is None
    assert report.force_rmse["second"] > 1e-4


def test_an_underdetermined_fit_is_an_error(low_symmetry):
    (plan,) = _plans(low_symmetry, orders=(2,), length_second=6.0, method="random")
    few = replace(plan, displacements=plan.displacements[:2], held_out=(), n_equation_sets={2: 1})
    forces = _forces(plan)[:3]
    assert few.n_equations < sum(few.n_parameters.values())
    with pytest.raises(PhysicsError, match="underdetermined"):
        fit_force_constants(low_symmetry, [few], [forces])


def test_singular_displacements_are_an_error(low_symmetry):
    (plan,) = _plans(low_symmetry, orders=(2,), length_second=6.0, method="random")
    copies = np.repeat(plan.displacements[:1], plan.n_snapshots, axis=0)
    copies[:, 1:] = 0.0
    same = replace(plan, displacements=copies)
    forces = _forces(same) + np.random.default_rng(1).normal(
        scale=1.0, size=(plan.n_snapshots + 1, plan.supercell.n_atoms, 3)
    )
    with pytest.raises(PhysicsError, match="singular"):
        fit_force_constants(low_symmetry, [same], [forces])


def test_failed_evaluations_are_named(crystal):
    (plan,) = _plans(crystal, orders=(2,))
    forces = _forces(plan)
    forces[1, 0, 0] = np.nan
    with pytest.raises(PhysicsError, match="snapshot 1"):
        fit_force_constants(crystal, [plan], [forces])


def test_report_survives_storage(salt):
    plans = _plans(salt, length_second=8.0, length_third=8.0, cutoff_third=4.0)
    _, report = fit_force_constants(salt, plans, [_forces(plan) for plan in plans])
    assert FitReport.from_dict(report.to_dict()) == report


def test_a_cutoff_that_is_too_short_is_flagged(crystal: Crystal) -> None:
    """Forces of triplets beyond the cut-off are left over: a doubt, not a detail of R²."""
    flags = {}
    for name, cutoff in (("long", 3.5), ("short", 2.0)):
        settings = DisplacementSettings(**{**OPTIONS, "cutoff_third": cutoff, "method": "random"})
        plans = plan_displacements(crystal, find_symmetry(crystal), settings)
        _, report = fit_force_constants(crystal, plans, [_forces(plan) for plan in plans])
        flags[name] = {f.name: f for f in report.flags}["force_fit_third_order_share"]
    assert flags["long"].severity == "info"
    assert flags["long"].value < 1e-12
    assert flags["short"].value > 1e-6
    (doubtful,) = fitting._share_flags(None, {"third": 0.2, "third_order2_only": 1.0})
    assert (doubtful.severity, round(doubtful.value, 6)) == ("warning", 0.04)

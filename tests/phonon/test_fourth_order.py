"""Joint fits of orders 2, 3 and 4: exact recovery, rules, invariance, honest errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from polynomial_model import PolynomialModel
from scipy.spatial.transform import Rotation

from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import from_ase
from elphant.errors import ConfigurationError, PhysicsError, ResourceError
from elphant.phonon import cluster_fit
from elphant.phonon.adapters.cluster_adapter import (
    count_parameters,
    dense_constants,
    home_numbers,
    order_basis,
    supercell_symmetry,
)
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.cluster_basis import polynomial_forces
from elphant.phonon.cluster_fit import fit_parameters
from elphant.phonon.displacement import DisplacementPlan, DisplacementSettings, plan_displacements
from elphant.phonon.fitting import FitReport, fit_force_constants

MODEL = PolynomialModel(cutoff=3.0, quartic=True)
OPTIONS = {
    "orders": (2, 3, 4),
    "length_second": 7.0,
    "length_third": 7.0,
    "cutoff_third": 3.5,
    "cutoff_fourth": 3.2,
}


@pytest.fixture(scope="module")
def crystal() -> Crystal:
    """Zincblende: two elements, no inversion, primitive cell smaller than the unit cell."""
    return from_ase(bulk("GaAs", "zincblende", a=4.2, cubic=True))


@pytest.fixture(scope="module")
def orthorhombic() -> Crystal:
    return Crystal(
        lattice=np.diag([3.0, 3.4, 3.8]),
        fractional=np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.45]]),
        numbers=np.array([14, 32]),
    )


def _plan(crystal, **options) -> DisplacementPlan:
    settings = DisplacementSettings(**{**OPTIONS, **options})
    (plan,) = plan_displacements(crystal, find_symmetry(crystal), settings)
    return plan


def _forces(plan, model=MODEL):
    return model.forces([plan.supercell], plan.displacements)


def _phonopy(plan):
    return build_phonopy(
        plan.unitcell, plan.supercell_matrix, primitive_matrix=plan.primitive_matrix
    )


@pytest.fixture(scope="module")
def exact(crystal):
    plan = _plan(crystal)
    fc, report = fit_force_constants(crystal, [plan], [_forces(plan)])
    return plan, fc, report


def test_a_quartic_polynomial_is_recovered(exact):
    plan, fc, report = exact
    rows = _phonopy(plan).primitive.p2s_map
    _, second, third = MODEL.tensors(plan.supercell)
    np.testing.assert_allclose(fc.second, second[rows], atol=1e-8 * np.abs(second).max())
    np.testing.assert_allclose(fc.third, third[rows], atol=1e-7 * np.abs(third).max())
    phonopy = _phonopy(plan)
    expected = MODEL.fourth(plan.supercell)
    scale = max(np.abs(block).max() for block in expected.values())
    basis = order_basis(phonopy, 4, plan.cutoff_fourth)
    found = {tuple(atoms) for atoms in basis.members.tolist()}
    at_home = {atoms for atoms in expected if atoms[0] in set(rows)}
    assert at_home <= found
    # Clusters are in the order of the tuples here, because every image is unique.
    assert fc.fourth.n_clusters == len(basis.members)
    for atoms, block in zip(basis.members.tolist(), fc.fourth.blocks, strict=True):
        np.testing.assert_allclose(block, expected.get(tuple(atoms), 0.0), atol=1e-7 * scale)
    assert report.force_rmse["third"] < 1e-8
    assert report.force_rmse["third_order3_only"] > 1e-4
    assert report.unexplained_share[4] < 1e-8
    assert report.unexplained_share[3] < 1e-8
    assert max(report.parameter_error.values()) < 1e-6


def test_rules_hold_and_are_reported(exact):
    _, fc, report = exact
    scale = np.abs(fc.fourth.blocks).max()
    assert report.sum_rule_residual["4"] < 1e-9 * scale
    assert report.permutation_residual["4"] < 1e-9 * scale
    flags = {flag.name: flag for flag in report.flags}
    for name in ("sum_rule_4", "force_fit_fourth_order_share", "force_constant_error_4"):
        assert flags[name].severity == "info"
    assert report.n_parameters.keys() == {2, 3, 4}
    assert FitReport.from_dict(report.to_dict()) == report


def test_the_plan_counts_equations_by_parity(exact):
    plan, _, _ = exact
    n = plan.n_parameters
    pairs = plan.n_equation_sets[4]
    per_set = 3 * (plan.supercell.n_atoms - 1)
    assert plan.over_determination[4] == pytest.approx(per_set * pairs / (n[2] + n[4]))
    assert plan.over_determination[2] == plan.over_determination[4]
    assert plan.over_determination[3] == pytest.approx(per_set * pairs / n[3])
    assert "2 and 4" in plan.reason
    again = DisplacementPlan.from_dict(plan.to_dict(), plan.to_arrays())
    assert again.to_dict() == plan.to_dict()
    assert again.cutoff_fourth == OPTIONS["cutoff_fourth"]


@pytest.mark.filterwarnings("ignore")
def test_the_space_is_that_of_symfc():
    """Random forces, no cut-off: both codes must find the same least-squares solution."""
    from symfc import Symfc
    from symfc.utils.utils import SymfcAtoms

    phonopy = build_phonopy(from_ase(bulk("CsCl", "cesiumchloride", a=4.0)), np.diag([2, 2, 1]))
    cell = phonopy.supercell
    generator = np.random.default_rng(0)
    bases = {order: order_basis(phonopy, order, None) for order in (2, 3, 4)}
    n_parameters = sum(basis.n_parameters for basis in bases.values())
    n_pairs = 2 * (n_parameters // (3 * (len(cell) - 1)) + 1)
    one_sided = generator.normal(scale=0.3, size=(n_pairs, len(cell), 3))
    displacements = np.stack([one_sided, -one_sided], axis=1).reshape(-1, len(cell), 3)
    forces = generator.normal(size=displacements.shape)
    translations = supercell_symmetry(phonopy).translations
    ours = fit_parameters(bases, displacements, forces, translations)
    solver = Symfc(
        SymfcAtoms(cell=cell.cell, scaled_positions=cell.scaled_positions, numbers=cell.numbers),
        spacegroup_operations=phonopy.symmetry.symmetry_operations,
    )
    solver.displacements, solver.forces = displacements, forces
    solver.compute_basis_set(orders=[2, 3, 4])
    solver.solve(orders=[2, 3, 4], is_compact_fc=True)
    for order, basis in bases.items():
        assert basis.n_parameters == solver.basis_set[order].blocked_basis_set.shape[1]
        dense = dense_constants(phonopy, basis.members, basis.blocks(ours.parameters[order]))
        reference = solver.force_constants[order]
        np.testing.assert_allclose(dense, reference, atol=1e-8 * np.abs(reference).max())


def test_sparse_forces_equal_the_dense_contraction():
    phonopy = build_phonopy(from_ase(bulk("CsCl", "cesiumchloride", a=4.0)), np.diag([2, 1, 1]))
    generator = np.random.default_rng(1)
    basis = order_basis(phonopy, 4, None)
    blocks = basis.blocks(generator.normal(size=basis.n_parameters))
    dense = dense_constants(phonopy, basis.members, blocks)
    u = generator.normal(size=(2, len(phonopy.supercell), 3))
    translations = supercell_symmetry(phonopy).translations
    forces = polynomial_forces(basis.members, blocks, u, translations)
    expected = -np.einsum("pjklabcd,sjb,skc,sld->spa", dense, u, u, u, optimize=True) / 6.0
    np.testing.assert_allclose(forces[:, phonopy.primitive.p2s_map], expected, atol=1e-10)


def test_a_rotated_crystal_has_rotated_constants(orthorhombic):
    rotation = Rotation.from_euler("xyz", [0.3, -0.7, 1.1]).as_matrix()
    turned = replace(orthorhombic, lattice=orthorhombic.lattice @ rotation.T)
    options = {"length_second": 6.0, "length_third": 6.0, "cutoff_third": 3.0, "cutoff_fourth": 2.9}
    results = []
    for crystal in (orthorhombic, turned):
        plan = _plan(crystal, **options)
        # The bonds reach beyond the cut-off, so that the result depends on the displacements.
        forces = _forces(plan, PolynomialModel(cutoff=4.5, quartic=True))
        results.append(fit_force_constants(crystal, [plan], [forces])[0])
    one, two = results
    np.testing.assert_array_equal(one.fourth.atoms, two.fourth.atoms)
    np.testing.assert_array_equal(one.fourth.cells, two.fourth.cells)
    r = rotation
    expected = np.einsum("ae,bf,cg,dh,nefgh->nabcd", r, r, r, r, one.fourth.blocks, optimize=True)
    np.testing.assert_allclose(two.fourth.blocks, expected, atol=1e-7 * np.abs(expected).max())
    expected = np.einsum("ad,be,cf,ijkdef->ijkabc", r, r, r, one.third, optimize=True)
    np.testing.assert_allclose(two.third, expected, atol=1e-7 * np.abs(expected).max())


def test_the_setting_does_not_matter(orthorhombic):
    axes = [2, 0, 1]
    other = replace(
        orthorhombic,
        lattice=orthorhombic.lattice[axes][:, axes],
        fractional=orthorhombic.fractional[:, axes],
    )
    options = {"length_second": 6.0, "length_third": 6.0, "cutoff_third": 3.0, "cutoff_fourth": 2.9}
    norms, errors = [], []
    for crystal in (orthorhombic, other):
        plan = _plan(crystal, **options)
        forces = _forces(plan, PolynomialModel(cutoff=4.5, quartic=True))
        fc, report = fit_force_constants(crystal, [plan], [forces])
        norms.append([np.linalg.norm(a) for a in (fc.second, fc.third, fc.fourth.blocks)])
        errors.append(report.force_rmse["third"])
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-8)
    assert errors[0] == pytest.approx(errors[1], rel=1e-7)
    assert errors[0] > 1e-4


def test_the_jackknife_error_is_the_true_error_of_a_noisy_fit(crystal, exact):
    plan, true, _ = exact
    generator = np.random.default_rng(3)
    forces = _forces(plan)
    noise = generator.normal(scale=2e-3, size=forces.shape)
    noise -= noise.mean(axis=1, keepdims=True)
    noise[0] = 0.0
    fc, report = fit_force_constants(crystal, [plan], [forces + noise])
    for order, ours, exactly in (
        (3, fc.third, true.third),
        (4, fc.fourth.blocks, true.fourth.blocks),
    ):
        error = np.linalg.norm(ours - exactly) / np.linalg.norm(exactly)
        assert 0.4 < report.parameter_error[order] / error < 2.5
    assert report.cross_validation_rmse["odd"] == pytest.approx(2e-3 / np.sqrt(2), rel=0.3)
    assert 0 < report.unexplained_share[4] < 1


def test_impossible_requests_are_refused(crystal, exact, monkeypatch):
    plan, _, _ = exact
    with pytest.raises(ConfigurationError, match="finite-difference"):
        DisplacementSettings(orders=(2, 3, 4), method="finite-difference")
    with pytest.raises(ConfigurationError, match="amplitude_fourth"):
        DisplacementSettings(amplitude_fourth=0.0)
    few = replace(
        plan,
        displacements=plan.displacements[:2],
        held_out=(),
        n_equation_sets=dict.fromkeys((2, 3, 4), 1),
    )
    forces = _forces(few)
    if few.over_determination[3] >= 1:
        few = replace(few, n_parameters={2: 5000, 3: 5000, 4: 5000})
    with pytest.raises(PhysicsError, match="underdetermined"):
        fit_force_constants(crystal, [few], [forces])
    monkeypatch.setattr(cluster_fit, "MEMORY_SHARE", 1e-3)
    with pytest.raises(ResourceError, match="cutoff_fourth"):
        count_parameters(_phonopy(plan), {2: None, 3: 3.5, 4: None})


def test_clusters_around_the_supercell_are_left_out():
    """Three atoms in a row span the cell: near each other only as periodic images."""
    crystal = from_ase(bulk("Po", "sc", a=3.0))
    phonopy = build_phonopy(crystal, np.diag([3, 3, 3]))
    members = home_numbers(phonopy, order_basis(phonopy, 3, 3.2).members)
    distances = supercell_symmetry(phonopy).distances
    assert (distances[members[:, 1], members[:, 2]] < 3.2).all()
    # On three collinear sites of a period of three every pair is a nearest neighbour.
    different = np.array([len(set(row)) == 3 for row in members.tolist()])
    assert not different.any()

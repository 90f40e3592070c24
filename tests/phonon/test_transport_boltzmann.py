"""Boltzmann equation: against the dense operator of the whole mesh, without symmetry, phono3py."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from toy_crystal import toy_crystal

from elphant.errors import ResourceError
from elphant.phonon.adapters.cluster_adapter import third_order_clusters
from elphant.phonon.adapters.import_files import load_force_constants
from elphant.phonon.adapters.modes_adapter import solve_modes
from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.isotope import IsotopeScattering
from elphant.phonon.scattering.occupation import half_sinh
from elphant.phonon.scattering.operator import (
    CollisionOperator,
    axis_groups,
    components,
    memory_bytes,
    reduce_row,
)
from elphant.phonon.scattering.three_phonon import PATTERNS, ThreePhononScattering, third_point
from elphant.phonon.transport.boltzmann import heat_drive, solve_bte
from elphant.phonon.transport.relaxation_time import (
    relaxation_time_conductivity,
    spread_conductivity,
    unscattered_modes,
)
from elphant.units import (
    BOLTZMANN_EV,
    PLANCK_EV_PS,
    THREE_PHONON_RATE,
    W_PER_MK_PER_EV_PER_K_A_PS,
)

ORTHORHOMBIC = np.diag([3.0, 3.4, 3.9])
TETRAGONAL = np.diag([3.0, 3.0, 3.6])
CUBIC = 3.2 * np.eye(3)
MONOCLINIC = np.array([[3.0, 0.0, 0.0], [0.0, 3.4, 0.0], [0.7, 0.0, 3.8]])
ROTATION = Rotation.from_rotvec([0.4, -0.9, 0.3]).as_matrix()
GAUSSIAN = Broadening(kind="gaussian", sigma_thz=0.3)
T = 300.0


def scattering(crystal, mesh, broadening=GAUSSIAN, *, symmetry=True, variances=None):
    """Return modes, rates (n_irreducible, n_modes) and reduced rows."""
    modes = solve_modes(crystal, mesh, mesh_symmetry=symmetry)
    engine = ThreePhononScattering(third_order_clusters(crystal, images="pairs"), modes, broadening)
    points = [int(q) for q in modes.mesh.irreducible]
    rows = engine.rows(points, [T], collision=True)
    rates = np.array([row.rates[0].sum(axis=0) for row in rows])
    collision = [row.collision for row in rows]
    if variances is not None:
        isotopes = IsotopeScattering(modes, variances, broadening)
        for i, point in enumerate(points):
            own, row = isotopes.row(point, [T])
            rates[i] += own
            collision[i] = collision[i] + row
    return modes, rates, [reduce_row(modes.mesh, i, row)[0] for i, row in enumerate(collision)]


def operator_of(*args, **kwargs):
    modes, rates, rows = scattering(*args, **kwargs)
    return CollisionOperator.assemble(modes, T, rates, rows)


@cache
def orthorhombic():
    return operator_of(toy_crystal(ORTHORHOMBIC), (4, 3, 3), variances=(1e-3, 5e-4))


def matrix_elements(clusters, modes, q, p, r):
    """Return ``|V3|²`` of three mesh points by the plain sum over clusters, (n, n, n)."""
    q_points, n = modes.mesh.q_points, modes.n_modes
    phase = np.exp(
        2j * np.pi * (clusters.cells[:, 0] @ q_points[p] + clusters.cells[:, 1] @ q_points[r])
    )
    phase = phase / np.sqrt(modes.masses[clusters.atoms]).prod(axis=1)
    total = np.zeros((n // 3, 3, n // 3, 3, n // 3, 3), dtype=complex)
    for (i, j, k), factor, block in zip(clusters.atoms, phase, clusters.blocks, strict=True):
        total[i, :, j, :, k, :] += factor * block
    e = modes.eigenvectors
    v = np.einsum("xyz,xa,yb,zc->abc", total.reshape(n, n, n), e[q], e[p], e[r], optimize=True)
    return np.abs(v) ** 2


def brute_force(crystal, mesh, sigma):
    """Build the operator of all modes process by process and solve it densely.

    Returns the conductivity and the operator, (N n, N n).
    """
    modes = solve_modes(crystal, mesh)
    n_points, n = modes.frequencies.shape
    negative = modes.mesh.negatives
    a = half_sinh(torch.from_numpy(np.array(modes.frequencies)), T).numpy()
    f = modes.frequencies
    inverse = np.divide(1.0, f, out=np.zeros_like(f), where=f > 0.0)
    matrix = np.zeros((n_points, n, n_points, n))
    scale = THREE_PHONON_RATE / (n_points * (2.0 * math.pi) ** 4)
    for q in range(n_points):
        third = third_point(modes.mesh, q, np.arange(n_points))
        for p in range(n_points):
            r = third[p]
            squared = matrix_elements(crystal.third_clusters, modes, q, p, r)
            for s2, s3 in PATTERNS:
                x = f[q][:, None, None] + s2 * f[p][None, :, None] + s3 * f[r][None, None, :]
                delta = np.exp(-0.5 * (x / sigma) ** 2) / (math.sqrt(2 * math.pi) * sigma)
                delta *= (np.abs(x) <= 4.0 * sigma) / math.erf(4.0 / math.sqrt(2.0))
                w = 0.5 * scale * squared * delta
                for point, letter in ((q, "i"), (p, "j"), (r, "k")):
                    shape = [1, 1, 1]
                    shape["ijk".index(letter)] = n
                    w = w * (a[point] * inverse[point]).reshape(shape)
                # The mode behind an emitted leg is the one at the opposite wave vector.
                second = p if s2 > 0 else negative[p]
                other = r if s3 > 0 else negative[r]
                matrix[q, range(n), q, range(n)] += w.sum(axis=(1, 2))
                matrix[q, :, second, :] += s2 * w.sum(axis=2)
                matrix[q, :, other, :] += s3 * w.sum(axis=1)
    drive = PLANCK_EV_PS * f * a**2 / (BOLTZMANN_EV * T**2)
    drive = (drive[..., None] * modes.velocities).reshape(-1, 3)
    dense = matrix.reshape(n_points * n, -1)
    scale = np.sqrt(np.diag(dense))
    # Selection rules leave some modes without scattering, up to rounding.
    rates = np.divide(scale, a.ravel(), out=np.zeros_like(scale), where=a.ravel() > 0.0) ** 2
    kept = rates > 1e-14 * rates.max()
    unit = np.divide(1.0, scale, out=np.zeros_like(scale), where=kept)
    response = np.linalg.lstsq(dense * unit[:, None] * unit, drive * unit[:, None], rcond=1e-10)[0]
    kappa = drive.T @ (response * unit[:, None])
    kappa *= W_PER_MK_PER_EV_PER_K_A_PS * BOLTZMANN_EV * T**2 / (n_points * modes.volume)
    return modes, kappa, dense


# --- the operator ------------------------------------------------------------------------------


def test_components_follow_the_symmetry():
    def groups(lattice, **options):
        return axis_groups(solve_modes(toy_crystal(lattice), (2, 2, 2), **options).mesh)

    assert groups(ORTHORHOMBIC) == ((0,), (1,), (2,))
    assert groups(MONOCLINIC) == ((0,), (1,), (2,))
    assert groups(TETRAGONAL) == ((0, 1), (2,))
    assert groups(CUBIC) == ((0, 1, 2),)
    assert groups(CUBIC, mesh_symmetry=False) == ((0,), (1,), (2,))
    assert groups(ORTHORHOMBIC @ ROTATION.T) == ((0, 1, 2),)
    assert components(orthorhombic().modes.mesh) == ((0, 0), (1, 1), (2, 2))


def test_solution_equals_the_dense_one_of_the_whole_mesh():
    crystal, mesh = toy_crystal(ORTHORHOMBIC), (4, 3, 3)
    modes, kappa, dense = brute_force(crystal, mesh, 0.3)
    assert np.abs(dense - dense.T).max() < 1e-12 * np.abs(dense).max()
    operator = operator_of(crystal, mesh)
    solution = solve_bte(operator)
    assert (solution.conductivity.diagonal() > 1.0).all()
    np.testing.assert_allclose(solution.conductivity, kappa, atol=1e-9 * kappa.max())
    # It also acts on any allowed field like the dense one.
    field = operator.project(np.random.default_rng(0).normal(size=(*operator.scale.shape, 3)))
    stars = np.einsum("qab,qsb->qsa", modes.mesh.star_rotations, field[modes.mesh.representative])
    expected = (dense @ stars.reshape(-1, 3)).reshape(stars.shape)[modes.mesh.irreducible]
    np.testing.assert_allclose(operator.apply(field), expected, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("lattice", [ORTHORHOMBIC, MONOCLINIC, TETRAGONAL, CUBIC])
@pytest.mark.parametrize("broadening", [GAUSSIAN, Broadening(scale=1.0)], ids=lambda b: b.kind)
def test_symmetry_of_the_mesh_does_not_matter(lattice, broadening):
    crystal, variances = toy_crystal(lattice), (1e-3, 5e-4)
    mesh = (3, 3, 3) if lattice is CUBIC else (3, 3, 2)
    kappa = [
        solve_bte(operator_of(crystal, mesh, broadening, symmetry=on, variances=variances))
        .conductivity
        for on in (True, False)
    ]  # fmt: skip
    np.testing.assert_allclose(kappa[0], kappa[1], atol=1e-8 * kappa[0].max())
    if lattice is MONOCLINIC:
        assert abs(kappa[0][0, 2]) > 1e-2


def test_the_tensor_rotates_with_the_crystal():
    turned = solve_bte(
        operator_of(toy_crystal(ORTHORHOMBIC @ ROTATION.T), (4, 3, 3), variances=(1e-3, 5e-4))
    )
    kappa = solve_bte(orthorhombic()).conductivity
    expected = ROTATION @ kappa @ ROTATION.T
    np.testing.assert_allclose(turned.conductivity, expected, atol=1e-8 * kappa.max())
    assert len(turned.axes) == 1


def test_operator_is_symmetric_and_positive():
    operator = orthorhombic()
    assert operator.asymmetry < 1e-12
    for axes in ((0,), (1,), (2,)):
        dense = operator.dense(axes)
        np.testing.assert_array_equal(dense, dense.T)
        assert np.linalg.eigvalsh(dense)[0] > -1e-12
    # Fields that symmetry forbids do not feel it.
    field = np.random.default_rng(1).normal(size=(*operator.scale.shape, 3))
    forbidden = field - operator.project(field)
    assert np.abs(forbidden).max() > 0.1
    scale = np.abs(operator.apply(field)).max()
    assert np.abs(operator.apply(forbidden)).max() < 1e-12 * scale


def test_momentum_conserving_processes_have_a_null_vector():
    """Made-up normal processes on a mesh: q + q' + q'' = 0 exactly, so that g = q is at rest."""
    modes = solve_modes(toy_crystal(ORTHORHOMBIC), (5, 5, 5))
    mesh, n = modes.mesh, modes.n_modes
    signed = (mesh.addresses + 2) % 5 - 2
    q = signed / 5 @ np.linalg.inv(modes.lattice).T
    rates = np.zeros((mesh.n_irreducible, n))
    rows = []
    a = half_sinh(torch.from_numpy(np.array(modes.frequencies)), T).numpy()
    for i, point in enumerate(mesh.irreducible):
        row = np.zeros((1, n, mesh.n_points, n))
        rate = np.zeros(n)
        for p in range(mesh.n_points):
            third = -signed[point] - signed[p]
            if np.abs(third).max() > 2:
                continue
            r = int(mesh.index(third))
            # Any W that is symmetric in its three modes and respects the symmetry.
            w = a[point][:, None, None] * a[p][None, :, None] * a[r][None, None, :]
            w = w * (modes.frequencies[[point]] > 0.0).reshape(n, 1, 1)
            row[0, :, p] += 0.5 * w.sum(axis=2)
            row[0, :, r] += 0.5 * w.sum(axis=1)
            rate += 0.5 * w.sum(axis=(1, 2))
        rows.append(reduce_row(mesh, i, row)[0])
        np.divide(rate, a[point] ** 2, out=rates[i], where=a[point] > 0.0)
    operator = CollisionOperator.assemble(modes, T, rates, rows)
    assert operator.asymmetry < 1e-12
    field = np.repeat(q[mesh.irreducible][:, None, :], n, axis=1) * operator.active[..., None]
    assert np.abs(field).max() > 0.05
    size = np.abs(rates * a[mesh.irreducible] ** 2).max()
    np.testing.assert_allclose(operator.apply(field), 0.0, atol=1e-12 * size)
    # Nothing but a boundary resists a drive along it.
    drive = np.repeat(field.sum(axis=1, keepdims=True), n, axis=1)
    resisted = CollisionOperator.assemble(modes, T, rates + 1e-3 * rates.mean(), rows)
    weak, strong = (
        solve_bte(x, drive).conductivity[0, 0]
        for x in (resisted, CollisionOperator.assemble(modes, T, 2.0 * rates, rows))
    )
    assert weak > 20.0 * strong


def test_any_order_of_making_rows_gives_the_same_bits():
    crystal = toy_crystal(ORTHORHOMBIC)
    modes = solve_modes(crystal, (3, 2, 3))
    engine = ThreePhononScattering(third_order_clusters(crystal), modes, GAUSSIAN)
    points = [int(q) for q in modes.mesh.irreducible]
    together = engine.rows(points, [T], collision=True)
    for i in (3, 0):
        alone = engine.rows([points[i]], [T], collision=True)[0]
        one, other = (reduce_row(modes.mesh, i, row.collision) for row in (together[i], alone))
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-18)
        sizes = memory_bytes(modes.mesh, modes.n_modes)
        assert one.nbytes == sizes["row"]


def test_wrong_shapes_are_refused():
    operator = orthorhombic()
    modes = operator.modes
    with pytest.raises(ValueError, match="rates has shape"):
        CollisionOperator.assemble(modes, T, operator.rates[:3], [])
    with pytest.raises(ValueError, match="0 rows were given"):
        CollisionOperator.assemble(modes, T, operator.rates, [])
    with pytest.raises(ValueError, match="row 0 has shape"):
        CollisionOperator.assemble(modes, T, operator.rates, [np.zeros((3, 1, 1, 1))])


# --- the solution ------------------------------------------------------------------------------


def test_bounds_grow_to_the_conductivity():
    solution = solve_bte(orthorhombic())
    for axis in solution.axes:
        bounds = np.array(axis.bounds)
        assert axis.method == "conjugate_gradient"
        assert axis.residual <= 1e-10
        assert 2 < axis.iterations < 30
        assert len(bounds) == axis.iterations + 1
        assert (np.diff(bounds) > -1e-13 * bounds[-1]).all()
        a = axis.axes[0]
        assert bounds[-1] == pytest.approx(solution.conductivity[a, a], rel=1e-12)
        assert bounds[0] < bounds[-1]
        assert 0.0 < axis.smallest_eigenvalue <= 1.0
    assert solution.positive
    assert [flag.name for flag in solution.flags] == ["collision_asymmetry"]


def test_without_coupling_it_is_the_relaxation_time_approximation():
    """Also where degenerate bands have opposite velocities, which their mean would lose."""
    modes, rates, rows = scattering(toy_crystal(CUBIC), (4, 4, 4))
    uncoupled = CollisionOperator.assemble(modes, T, rates, [0.0 * row for row in rows])
    solution = solve_bte(uncoupled)
    rta = relaxation_time_conductivity(modes, [T], rates[None])
    assert np.abs(spread_conductivity(modes, [T], rates[None])).max() > 1e-3
    np.testing.assert_allclose(solution.mode_conductivity, rta[0], rtol=1e-9, atol=1e-9)
    kappa = rta[0].sum(axis=(0, 1)) / modes.mesh.n_points
    np.testing.assert_allclose(solution.conductivity, kappa, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(kappa, kappa[0, 0] * np.eye(3), atol=1e-10)


def test_response_solves_the_equation():
    operator = orthorhombic()
    solution = solve_bte(operator, tolerance=1e-12)
    drive = operator.project(heat_drive(operator.modes, T))
    np.testing.assert_allclose(
        operator.apply(solution.response), drive, atol=1e-9 * np.abs(drive).max()
    )
    total = solution.mode_conductivity.sum(axis=(0, 1)) / operator.modes.mesh.n_points
    np.testing.assert_allclose(solution.conductivity, total, rtol=1e-13, atol=1e-13)


def test_an_indefinite_operator_is_reported(caplog):
    modes, rates, rows = scattering(toy_crystal(ORTHORHOMBIC), (3, 4, 3))
    broken = CollisionOperator.assemble(modes, T, rates, [50.0 * row for row in rows])
    solution = solve_bte(broken)
    flag = next(f for f in solution.flags if f.name == "collision_matrix_not_positive")
    assert flag.severity == "warning"
    assert "not positive definite along" in flag.message
    assert flag.message in caplog.text
    assert not solution.positive
    assert np.isfinite(solution.conductivity).all()
    inverted = next(axis for axis in solution.axes if axis.method == "pseudo_inverse")
    assert inverted.smallest_eigenvalue < 0.0
    assert inverted.residual < 1e-8
    with pytest.raises(ResourceError, match="not positive definite"):
        solve_bte(broken, direct_limit=10)


def test_pseudo_inverse_and_conjugate_gradients_agree(monkeypatch):
    from elphant.phonon.transport import boltzmann

    operator = orthorhombic()
    expected = solve_bte(operator)
    failing = boltzmann._ConjugateGradients.solve
    monkeypatch.setattr(
        boltzmann._ConjugateGradients,
        "solve",
        lambda self, right, unit: (None, failing(self, right, unit)[1]),
    )
    direct = solve_bte(operator)
    assert not direct.positive
    np.testing.assert_allclose(direct.response, expected.response, rtol=1e-7, atol=1e-9)


def test_unfinished_iterations_are_reported():
    solution = solve_bte(orthorhombic(), max_iterations=2)
    flag = next(f for f in solution.flags if f.name == "bte_not_converged")
    assert flag.value > flag.threshold


def test_unscattered_modes_are_left_out_and_counted():
    modes, rates, rows = scattering(toy_crystal(ORTHORHOMBIC), (3, 4, 3))
    before = unscattered_modes(modes, rates[None])
    assert rates[4, 2] > 0.0
    rates[4, 2] = 1e-30  # what rounding leaves of a forbidden process
    operator = CollisionOperator.assemble(modes, T, rates, rows)
    expected = before + int(modes.mesh.weights[4])
    assert operator.n_left_out == expected
    assert unscattered_modes(modes, rates[None]) == expected
    solution = solve_bte(operator)
    assert solution.n_left_out == expected
    assert (solution.mode_conductivity[4, 2] == 0.0).all()
    assert any(f.name == "unscattered_modes" for f in solution.flags)


def test_silicon_equals_the_full_solution_of_phono3py(fixtures):
    """Same mesh and tetrahedra; phono3py without its r0 average."""
    silicon = load_force_constants(fixtures / "Si_phono3py" / "phono3py_params_Si.yaml.xz")
    modes, rates, rows = scattering(silicon, (9, 9, 9), Broadening(kind="tetrahedron"))
    solution = solve_bte(CollisionOperator.assemble(modes, T, rates, rows))
    assert solution.positive
    # ThreePhononEngine(r0_average=False, degenerate_average=True): 111.78367590 (full solution)
    # and 108.62226170 (relaxation times); without the average over degenerate bands 111.12749739.
    assert solution.conductivity[0, 0] == pytest.approx(111.7837, rel=1e-3)
    np.testing.assert_allclose(
        solution.conductivity, solution.conductivity[0, 0] * np.eye(3), atol=1e-9
    )
    rta = relaxation_time_conductivity(modes, [T], rates[None]).sum(axis=(0, 1, 2))
    assert rta[0, 0] / modes.mesh.n_points == pytest.approx(108.6223, rel=1e-3)

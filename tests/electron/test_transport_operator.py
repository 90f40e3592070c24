"""Collision operator and solvers: symmetry, conservation, parts, states without scattering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model_states import GROUPS, lattice_model
from scipy.sparse import csr_array
from scipy.spatial.transform import Rotation

from elphant.electron.transport.attribution import PairWeights, attribute
from elphant.electron.transport.collision import CollisionOperator, ReducedKernel
from elphant.electron.transport.solution import solve_bte, solve_mrta, solve_serta
from elphant.electron.transport.state_space import (
    StateSpace,
    projections_from_velocities,
)

LEVEL, TEMPERATURE = -0.2, 600.0
SOLVERS = {
    "serta": solve_serta,
    "mrta velocity": lambda op: solve_mrta(op, "velocity"),
    "mrta directions": lambda op: solve_mrta(op, "directions"),
    "bte": solve_bte,
}
TURN = Rotation.from_euler("xyz", [0.3, -0.7, 1.1]).as_matrix()


def operator(space, kernel):
    return CollisionOperator(space, kernel, LEVEL, TEMPERATURE)


@pytest.mark.parametrize("group", GROUPS)
def test_symmetry_changes_nothing(group):
    reduced, kernel, full, full_kernel = lattice_model(group)
    assert reduced.n_states < full.n_states
    small, large = operator(reduced, kernel), operator(full, full_kernel)
    assert small.asymmetry < 1e-12
    assert small.row_sum_error < 1e-12
    assert large.row_sum_error < 1e-12
    assert large.rates[0] == pytest.approx(small.rates[0], rel=1e-12)
    assert reduced.log_carriers(LEVEL, TEMPERATURE) == pytest.approx(
        full.log_carriers(LEVEL, TEMPERATURE), rel=1e-12
    )
    seen = []
    for name, solve in SOLVERS.items():
        a, b = solve(small), solve(large)
        scale = np.abs(b.mobility).max()
        assert a.mobility == pytest.approx(b.mobility, abs=1e-10 * scale), name
        assert a.moments == pytest.approx(b.moments, rel=1e-8, abs=1e-10 * np.abs(b.moments).max())
        assert a.level in name
        assert a.variant is None or a.variant in name
        seen.append(scale)
    # No two levels agree, so that the comparison means something.
    assert np.diff(np.sort(seen)).min() > 1e-6 * max(seen)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_tensors_have_the_symmetry_of_the_crystal_and_turn_with_it(group, solve):
    reduced, kernel, _, _ = lattice_model(group)
    mobility = solve(operator(reduced, kernel)).mobility
    scale = np.abs(mobility).max()
    assert mobility == pytest.approx(mobility.T, abs=1e-12 * scale)
    for r in GROUPS[group]:
        assert r @ mobility @ r.T == pytest.approx(mobility, abs=1e-10 * scale)
    turned, kernel, _, _ = lattice_model(group, turn=TURN)
    assert solve(operator(turned, kernel)).mobility == pytest.approx(
        TURN @ mobility @ TURN.T, abs=1e-10 * scale
    )


def test_diagonal_operations_need_three_blocks():
    reduced, kernel, _, _ = lattice_model("mmm")
    assert reduced.axis_groups == ((0,), (1,), (2,))
    assert set(ReducedKernel.fold(reduced, kernel).blocks) == {(0, 0), (1, 1), (2, 2)}
    turned, kernel, _, _ = lattice_model("mmm", turn=TURN)
    assert turned.axis_groups == ((0, 1, 2),)
    assert len(ReducedKernel.fold(turned, kernel).blocks) == 6


def test_dense_sparse_and_blocks_of_rows_agree():
    reduced, kernel, _, _ = lattice_model("-3m")
    kernel = np.where(kernel > 1e-4 * kernel.max(), kernel, 0.0)
    dense = ReducedKernel.fold(reduced, kernel)
    sparse = ReducedKernel.fold(reduced, csr_array(kernel))
    blocks = ReducedKernel.fold_rows(reduced, (kernel[i : i + 3] for i in range(0, len(kernel), 3)))
    sparse_blocks = ReducedKernel.fold_rows(
        reduced, (csr_array(kernel[i : i + 3]) for i in range(0, len(kernel), 3))
    )
    field = np.random.default_rng(1).normal(size=(3, reduced.n_states))
    for other in (sparse, blocks, sparse_blocks):
        assert other.times(field) == pytest.approx(dense.times(field), rel=1e-11, abs=1e-12)
    one, two = solve_bte(operator(reduced, dense)), solve_bte(operator(reduced, sparse_blocks))
    assert one.mobility == pytest.approx(two.mobility, rel=1e-9)
    with pytest.raises(ValueError, match="expected"):
        ReducedKernel.fold(reduced, kernel[:, :-1])
    with pytest.raises(ValueError, match="rows"):
        ReducedKernel.fold_rows(reduced, [kernel[:-1]])


def test_asymmetric_kernels_are_symmetrised_and_still_conserve_carriers():
    reduced, kernel, full, _ = lattice_model("mmm")
    rng = np.random.default_rng(2)
    noisy = kernel * rng.uniform(0.5, 1.5, size=(len(kernel), 1))
    op = operator(reduced, noisy)
    assert op.asymmetry > 1e-2
    assert op.row_sum_error < 1e-12
    assert np.allclose(op.apply_scalar(op.amplitudes), 0.0, atol=1e-12 * op.rates.max())
    x, y = rng.normal(size=(2, reduced.n_states, 3))
    w = reduced.weights[:, None]
    assert (w * x * op.apply(y)).sum() == pytest.approx((w * y * op.apply(x)).sum(), rel=1e-9)
    flag = next(f for f in solve_bte(op).flags if f.name == "collision_asymmetry")
    assert flag.value == op.asymmetry
    assert full.n_states > reduced.n_states


def test_without_symmetry_the_drift_of_all_carriers_is_no_obstacle():
    """C has a null vector for each axis, to which the drive is orthogonal."""
    *_, full, kernel = lattice_model("-1", n=4)
    op = operator(full, kernel)
    for axis in range(3):
        drift = np.zeros((full.n_states, 3))
        drift[:, axis] = op.amplitudes
        assert np.abs(op.apply(drift)).max() < 1e-12 * op.rates.max()
    result = solve_bte(op)
    assert result.positive
    assert "drifting_carriers" not in {f.name for f in result.flags}
    half = replace(full, velocities=np.abs(full.velocities), projections=None)
    assert "drifting_carriers" in {f.name for f in solve_bte(operator(half, kernel)).flags}


def test_relaxation_time_is_a_lower_bound():
    """b D⁻¹ b <= b C⁻¹ b wherever the in-scattering helps the current, as forward peaks do."""
    reduced, kernel, _, _ = lattice_model("mmm")
    op = operator(reduced, kernel)
    assert (np.diag(solve_bte(op).mobility) > np.diag(solve_serta(op).mobility)).all()


def test_response_solves_the_equation():
    reduced, kernel, _, _ = lattice_model("m-3m")
    op = operator(reduced, kernel)
    result = solve_bte(op)
    assert op.apply(result.response) == pytest.approx(op.drive, abs=1e-8 * np.abs(op.drive).max())
    heat = op.drive * (reduced.energies - op.reference_energy)[:, None]
    assert op.apply(result.heat_response) == pytest.approx(heat, abs=1e-8 * np.abs(heat).max())


def test_mobility_scales_inversely_with_the_kernel_and_not_with_the_density():
    reduced, kernel, _, _ = lattice_model("mmm")
    one = solve_bte(operator(reduced, kernel)).mobility
    assert solve_bte(operator(reduced, 2.5 * kernel)).mobility == pytest.approx(one / 2.5, rel=1e-9)
    thin = [
        solve_bte(CollisionOperator(reduced, kernel, reduced.chemical_potential(n, 300.0), 300.0))
        for n in (1e10, 1e14)
    ]
    assert thin[0].density == pytest.approx(1e10, rel=1e-9)
    # At 1e14 per cm³ the filling is 1e-8 or so.
    assert thin[0].mobility == pytest.approx(thin[1].mobility, rel=1e-5)
    # exp(-2300) carriers: the amplitudes are relative, so that nothing underflows.
    frozen = solve_bte(CollisionOperator(reduced, kernel, -20.0, 100.0)).mobility
    assert frozen == pytest.approx(
        solve_bte(CollisionOperator(reduced, kernel, -2.0, 100.0)).mobility, rel=1e-9
    )
    assert np.diag(frozen).min() > 0


def test_holes_in_a_mirrored_band_move_like_electrons():
    reduced, kernel, _, _ = lattice_model("-3m")
    holes = replace(
        reduced, carrier="hole", energies=-reduced.energies, velocities=-reduced.velocities
    )
    for solve in SOLVERS.values():
        electron = solve(CollisionOperator(reduced, kernel, -0.2, 300.0))
        hole = solve(CollisionOperator(holes, kernel, 0.2, 300.0))
        assert hole.mobility == pytest.approx(electron.mobility, rel=1e-9, abs=1e-9)
        assert hole.density == pytest.approx(electron.density, rel=1e-12)


def test_spread_of_degenerate_sets_adds_to_the_mobility():
    reduced, kernel, _, _ = lattice_model("mmm")
    spread = np.zeros((reduced.n_states, 3, 3))
    spread[:, 0, 0] = 4.0
    wider = replace(reduced, velocity_spread=spread)
    for solve in SOLVERS.values():
        base, more = solve(operator(reduced, kernel)), solve(operator(wider, kernel))
        extra = more.mobility - base.mobility
        assert extra[0, 0] > 0
        assert extra[1:, 1:] == pytest.approx(0.0, abs=1e-9)
        assert more.degenerate_mobility == pytest.approx(extra, rel=1e-9, abs=1e-9)
        assert np.abs(base.degenerate_mobility).max() == 0.0


def test_effective_time_of_constant_rates():
    reduced, _, full, _ = lattice_model("mmm")
    # Into a second copy of the state itself: scattered out of with the same rate everywhere, no
    # direction kept (serta).
    kernel = np.zeros((reduced.n_states, full.n_states))
    for i in range(reduced.n_states):
        members = np.flatnonzero(reduced.images == i)
        kernel[i, members] = 50.0 / len(members)
    result = solve_serta(operator(reduced, kernel))
    assert result.rates == pytest.approx(50.0, rel=1e-10)
    assert result.effective_time == pytest.approx(0.02, rel=1e-10)
    # Isotropic within a star that contains -k: the in-scattering vanishes.
    assert solve_bte(operator(reduced, kernel)).mobility == pytest.approx(
        result.mobility, rel=1e-9, abs=1e-9
    )


def test_unscattered_states_are_left_out_and_flagged():
    reduced, kernel, _, _ = lattice_model("mmm")
    lone = int(np.argmin(np.where(np.abs(reduced.velocities[:, 0]) > 1, reduced.energies, 9.0)))
    kernel = kernel.copy()
    kernel[lone] = 0.0
    kernel[:, reduced.images == lone] = 0.0
    op = operator(reduced, kernel)
    assert not op.active[lone]
    for name, solve in SOLVERS.items():
        result = solve(op)
        flag = next(f for f in result.flags if f.name == "unscattered_states")
        assert flag.severity == "warning", name
        assert 0 < flag.value < 1
        assert (result.contributions[lone] == 0.0).all()
        assert np.isfinite(result.mobility).all()


def test_parts_add_up_and_negative_remainders_are_said():
    reduced, kernel, _, _ = lattice_model("mmm")
    total = ReducedKernel.fold(reduced, kernel)
    polar = ReducedKernel.fold(reduced, 0.6 * kernel)
    rest = solve_bte(operator(reduced, total - polar))
    whole = solve_bte(operator(reduced, total))
    assert rest.mobility == pytest.approx(whole.mobility / 0.4, rel=1e-8)
    again = solve_bte(operator(reduced, polar + 0.4 * total))
    assert again.mobility == pytest.approx(whole.mobility, rel=1e-8)
    rng = np.random.default_rng(4)
    large = ReducedKernel.fold(reduced, kernel * rng.uniform(0.5, 1.8, size=kernel.shape))
    negative = operator(reduced, total - large)
    assert (negative.rates < 0).any()
    for name, solve in SOLVERS.items():
        result = solve(negative)
        names = {f.name for f in result.flags if f.severity == "warning"}
        assert "non_positive_rates" in names, name
        assert np.isfinite(result.mobility).all()
        assert not result.positive
    assert "collision_matrix_not_positive" in {f.name for f in solve_bte(negative).flags}
    iterative = solve_bte(negative, direct_limit=0)
    assert "collision_matrix_not_positive" in {f.name for f in iterative.flags}


def test_kernels_of_different_spaces_do_not_add():
    one, kernel, other, full_kernel = lattice_model("mmm")
    with pytest.raises(ValueError, match="different"):
        ReducedKernel.fold(one, kernel) + ReducedKernel.fold(other, full_kernel)


@pytest.mark.parametrize("group", ["mmm", "-3m"])
@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_attribution_is_additive_and_is_the_derivative(group, solve):
    reduced, kernel, _, _ = lattice_model(group)
    _, other, _, _ = lattice_model(group, seed=5)
    step = np.abs(reduced.energies[:, None] - reduced.energies[reduced.images])
    parts = {"near": kernel * (step < 0.05), "far": kernel * (step >= 0.05) + other,
             "interference": -0.2 * kernel}  # fmt: skip
    total = sum(parts.values())
    solution = solve(operator(reduced, total))
    directions = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 1]])
    found = attribute(solution, parts, directions)
    assert found.total == pytest.approx(1.0, abs=1e-12)
    assert (found.shares["interference"] < 0).all()
    for i, direction in enumerate(directions):
        weights = PairWeights(solution, direction)
        for name, part in parts.items():
            assert weights.share(part) == pytest.approx(found.shares[name][i], abs=1e-10)
            assert weights.share(csr_array(part)) == pytest.approx(found.shares[name][i], abs=1e-10)
    n = found.directions[2]
    step_size = 1e-4
    for name, part in parts.items():
        up, down = (
            float(n @ solve(operator(reduced, total + s * part)).mobility @ n)
            for s in (step_size, -step_size)
        )
        slope = (np.log(up) - np.log(down)) / (2 * step_size)
        assert -slope == pytest.approx(found.shares[name][2], abs=1e-6)


def test_projections_are_found_from_velocities():
    reduced, _, _, _ = lattice_model("mmm")
    found = projections_from_velocities(reduced.velocities, reduced.rotations, reduced.star_sizes)
    assert found == pytest.approx(reduced.projections, abs=1e-12)


def test_wrong_input_is_refused():
    reduced, _, _, _ = lattice_model("mmm")
    for name, value, message in (
        ("images", np.full(len(reduced.images), reduced.n_states), "images"),
        ("weights", -reduced.weights, "positive"),
        ("full_weights", np.ones(len(reduced.images)), "add up"),
        ("energies", np.full(reduced.n_states, np.nan), "non-finite"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(reduced, **{"full_weights": None, name: value})
    with pytest.raises(ValueError, match="temperature"):
        CollisionOperator(reduced, np.zeros((1, 1)), 0.0, 0.0)
    assert isinstance(reduced, StateSpace)

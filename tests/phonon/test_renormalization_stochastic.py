"""The stochastic variant: agreement with the loop, reweighting, resumption, reproducibility."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from quartic_crystal import caesium_chloride, lattice_of

from elphant.errors import PhysicsError
from elphant.phonon.adapters import renormalization_adapter
from elphant.phonon.renormalization import (
    StochasticSettings,
    StochasticSolver,
    displacement_covariance,
    solve_loop,
    solve_stochastic,
)
from elphant.phonon.renormalization.ensemble import (
    GaussianState,
    effective_share,
    importance_weights,
)

SETTINGS = StochasticSettings(seed=3, n_pairs=60, standard_error=0.03, tolerance=0.02)


def weak():
    return caesium_chloride(near=(3.0, 0.0, 60.0))


def soft():
    return caesium_chloride(near=(-0.35, 0, 40.0), far=(2.0, 0, 0), transverse=0.02)


def test_harmonic_forces_are_fitted_exactly() -> None:
    model = caesium_chloride(near=(3.0, 0.0, 0.0))
    fc = model.force_constants()
    r = solve_stochastic(fc, 300.0, model.evaluate, replace(SETTINGS, n_pairs=10))
    np.testing.assert_allclose(r.force_constants.second, fc.second, atol=1e-10)
    assert r.converged
    assert r.n_iterations == SETTINGS.min_batches
    assert r.gamma_standard_errors.max() < 1e-8
    assert abs(r.free_energy.anharmonic) < 1e-10


def test_drawn_displacements_have_the_covariance_of_the_phonons() -> None:
    model = weak()
    fc = model.force_constants()
    solver = StochasticSolver(fc, 300.0, replace(SETTINGS, n_pairs=4000))
    crystals = solver.next_batch()[1:]
    u = np.array([c.fractional - solver.supercell.fractional for c in crystals])
    u = u @ solver.supercell.lattice
    np.testing.assert_allclose(u[0::2], -u[1::2], atol=1e-12)
    expected = displacement_covariance(fc, 300.0).values[0]
    home = lattice_of(fc).home
    for i, atom in enumerate(home):
        found = u[:, atom].T @ u[:, atom] / len(u)
        np.testing.assert_allclose(found, expected[i, :, i], atol=0.1 * expected.max())


def test_weights_turn_one_ensemble_into_another() -> None:
    model = weak()
    fc = model.force_constants()
    supercell, _, basis = renormalization_adapter.supercell_second(fc)
    full = basis.expanded(fc.second)
    masses = np.asarray(supercell.masses)
    first, second = (
        GaussianState.of(s * full, masses, 300.0, "quantum", 0.05) for s in (1.0, 1.05)
    )
    rng = np.random.default_rng(0)
    one, two = first.draw(2000, rng), second.draw(2000, rng)
    samples = np.concatenate([one, two])
    sources = np.array([s.log_density(samples) for s in (first, second)])
    weights = importance_weights(second.log_density(samples), sources, np.array([4000.0, 4000.0]))
    assert weights.mean() == pytest.approx(1.0, abs=0.03)
    assert 0.5 < effective_share(weights) < 1.0
    direct = np.mean(second.draw(20000, rng) ** 2)
    reweighted = np.average(np.mean(samples**2, axis=(1, 2)), weights=weights)
    assert reweighted == pytest.approx(direct, rel=0.01)
    assert effective_share(np.ones(7)) == pytest.approx(1.0)
    only = importance_weights(first.log_density(one), first.log_density(one)[None], np.ones(1))
    np.testing.assert_allclose(only, 1.0)


@pytest.mark.parametrize("cubic", [0.0, -6.0])
def test_loop_and_stochastic_agree_within_their_errors(cubic) -> None:
    model = caesium_chloride(near=(3.0, cubic, 60.0))
    fc = model.force_constants()
    (loop,) = solve_loop(fc, [300.0])
    r = solve_stochastic(fc, 300.0, model.evaluate, SETTINGS)
    assert r.converged
    shift = loop.frequencies_after[0, 3:] - loop.frequencies_before[0, 3:]
    error = r.gamma_standard_errors[3:]
    assert error.max() < 0.15 * shift.min()
    assert (np.abs(r.frequencies_after - loop.frequencies_after)[0, 3:] < 3 * error).all()
    difference = abs(r.free_energy.total - loop.free_energy.total)
    assert difference < 3 * r.free_energy.standard_error
    # ... and the correction is resolved: ten standard errors.
    assert abs(r.free_energy.anharmonic) > 10 * r.free_energy.standard_error
    assert np.abs(r.force_constants.second.sum(axis=1)).max() < 1e-10


def test_fit_equals_plain_least_squares() -> None:
    """The symmetrised normal equations against every force component of every snapshot."""
    lattice = np.array([[3.2, 0, 0], [0, 3.3, 0], [0.3, 0, 3.6]])
    model = caesium_chloride(lattice=lattice, repeat=(2, 1, 2))
    _, _, basis = renormalization_adapter.supercell_second(model.force_constants())
    rng = np.random.default_rng(0)
    n = basis.n_atoms
    u, f = rng.normal(size=(2, 6, n, 3))
    w = rng.random(6)
    columns = []
    for parameter in np.eye(basis.n_parameters):
        full = basis.expanded(basis.compact(parameter))
        np.testing.assert_allclose(full, full.transpose(1, 0, 3, 2), atol=1e-12)
        columns.append(-np.einsum("ijab,sjb->sia", full, u).ravel())
    root = np.sqrt(np.repeat(w, 3 * n))
    x = np.linalg.lstsq(np.array(columns).T * root[:, None], f.ravel() * root)[0]
    fitted = basis.solve(basis.equations(u, f, w))
    np.testing.assert_allclose(fitted, basis.compact(x), atol=1e-9)


def test_standard_errors_cover() -> None:
    model = weak()
    fc = model.force_constants()
    (loop,) = solve_loop(fc, [300.0])
    settings = replace(SETTINGS, n_pairs=20, max_batches=2)
    deviations = []
    for seed in range(8):
        r = solve_stochastic(fc, 300.0, model.forces, replace(settings, seed=seed))
        difference = r.frequencies_after[0, -1] - loop.frequencies_after[0, -1]
        deviations.append(difference / r.gamma_standard_errors[-1])
    assert 0.5 < np.sqrt(np.mean(np.square(deviations))) < 1.7
    assert abs(np.mean(deviations)) < 1.0


def test_soft_crystal_is_stabilised_from_the_loop_start() -> None:
    model = soft()
    fc = model.force_constants()
    (loop,) = solve_loop(fc, [300.0])
    settings = replace(SETTINGS, n_pairs=100, standard_error=0.2, max_batches=4)
    start = loop.force_constants.second
    r = solve_stochastic(fc, 300.0, model.evaluate, settings, start=start)
    assert r.stabilized
    errors = np.maximum(r.gamma_standard_errors[3:], 1e-3)
    assert (np.abs(r.frequencies_after - loop.frequencies_after)[0, 3:] < 3 * errors).all()
    flag = next(f for f in r.flags if f.name == "renormalized_stability")
    assert "stabilised" in flag.message
    # Without a start it begins at |ω| of the imaginary modes and ends at the same place.
    cold = solve_stochastic(fc, 300.0, model.evaluate, settings)
    both = np.hypot(r.gamma_standard_errors[-1], cold.gamma_standard_errors[-1])
    assert abs(cold.frequencies_after[0, -1] - r.frequencies_after[0, -1]) < 4 * both


def test_same_seed_same_result_and_resumption() -> None:
    model = weak()
    fc = model.force_constants()
    settings = replace(SETTINGS, n_pairs=15, max_batches=3, standard_error=1e-6)
    stored = []

    def record(crystals):
        answer = model.evaluate(crystals)
        stored.append((crystals, answer))
        return answer

    whole = solve_stochastic(fc, 300.0, record, settings)
    assert not whole.converged
    assert whole.n_iterations == 3
    solver = StochasticSolver(fc, 300.0, settings)
    for crystals, (forces, energies) in stored:
        batch = solver.next_batch()
        np.testing.assert_allclose(
            [c.fractional for c in batch], [c.fractional for c in crystals], atol=1e-12
        )
        solver.add(forces, energies)
    assert solver.finished
    again = solver.result()
    np.testing.assert_allclose(again.frequencies_after, whole.frequencies_after, atol=1e-9)
    other = solve_stochastic(fc, 300.0, model.evaluate, replace(settings, seed=4))
    assert np.abs(other.frequencies_after - whole.frequencies_after).max() > 1e-5


def test_forces_alone_are_enough() -> None:
    model = weak()
    r = solve_stochastic(
        model.force_constants(), 300.0, model.forces, replace(SETTINGS, n_pairs=20, max_batches=2)
    )
    assert r.free_energy is None


def test_wrong_forces_are_refused() -> None:
    model = weak()
    solver = StochasticSolver(model.force_constants(), 300.0, replace(SETTINGS, n_pairs=2))
    with pytest.raises(ValueError, match="next_batch"):
        solver.add(np.zeros((5, 16, 3)))
    with pytest.raises(ValueError, match="no batch"):
        solver.result()
    solver.next_batch()
    with pytest.raises(ValueError, match="shape"):
        solver.add(np.zeros((4, 16, 3)))
    with pytest.raises(PhysicsError, match="not finite"):
        solver.add(np.full((5, 16, 3), np.nan))

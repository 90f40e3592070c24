"""Weights of energy conservation: normalisation, symmetry, and a mobility known in closed form."""

from __future__ import annotations

import time

import numpy as np
import pytest
from parabolic_window import MASSES, parabolic_window
from scipy.sparse import csr_array

from elphant.electron.transport.collision import CollisionOperator
from elphant.electron.transport.delta import (
    CUT,
    TetrahedronTable,
    adaptive_widths,
    gaussian_weights,
    pair_widths,
    phonon_gaussians,
    step_metric,
)
from elphant.electron.transport.solution import solve_bte, solve_mrta, solve_serta
from elphant.units import BOLTZMANN_EV, GPA_PER_EV_A3, HBAR_EV_PS, INVERSE_MASS_PER_EV_A2

TEMPERATURE = 300.0
MODULUS, POTENTIAL = 100.0 / GPA_PER_EV_A3, 8.0
#: 2 sqrt(2 pi) e ħ⁴ C / (3 m_d^(3/2) m_i (kT)^(3/2) D²) for the masses, C = 100 GPa, D = 8 eV.
EXACT = np.array([1886.9642527, 943.4821264, 471.7410632])


def elastic_weights(window, kind):
    """Weights between irreducible and all states, sparse (n, n_full) eV⁻¹."""
    space = window.state_space()
    e = space.energies
    if kind == "tetrahedra":
        index = np.arange(space.n_states)
        table = TetrahedronTable.of(window)
        weights = table.pair_weights(index[:, None], index[None], e[:, None], e[None])
    else:
        metric = step_metric(window.steps, window.rotations_cartesian)
        sigma = adaptive_widths(space.velocities, metric, weights=space.weights)
        weights = gaussian_weights(e[None] - e[:, None], pair_widths(sigma[:, None], sigma[None]))
    return csr_array(weights)[:, window.images]


def acoustic_operator(window, kind):
    """Elastic scattering by acoustic deformation: K = 2πD²kT/(ħCΩ) δ(ε' - ε)/N."""
    space = window.state_space()
    thermal = BOLTZMANN_EV * TEMPERATURE
    strength = 2.0 * np.pi * POTENTIAL**2 * thermal / (HBAR_EV_PS * MODULUS * space.volume)
    kernel = strength / window.n_mesh * elastic_weights(window, kind)
    level = space.chemical_potential(1e10, TEMPERATURE)
    return CollisionOperator(space, kernel, level, TEMPERATURE)


def mobilities(window, kind, solve=solve_serta, tolerance=1e-10):
    operator = acoustic_operator(window, kind)
    assert operator.asymmetry < 1e-12
    mobility = solve(operator).mobility
    assert np.abs(mobility - np.diag(np.diag(mobility))).max() < tolerance * mobility.max()
    return np.diag(mobility)


def test_acoustic_mobility_of_three_masses_with_gaussians():
    mobility = mobilities(parabolic_window((32, 32, 32)), "adaptive")
    assert mobility == pytest.approx(EXACT, rel=1e-3)
    assert mobility * MASSES == pytest.approx(mobility[0] * MASSES[0], rel=1e-5)


def test_acoustic_mobility_of_three_masses_with_tetrahedra():
    fine = parabolic_window((32, 32, 32))
    two = [mobilities(window, "tetrahedra") for window in (fine, fine.coarsened((2, 2, 2)))]
    assert two[0] == pytest.approx(EXACT, rel=7e-3)
    # The error goes with the square of the step.
    extrapolated = (4.0 * two[0] - two[1]) / 3.0
    assert extrapolated == pytest.approx(EXACT, rel=1e-3)


def test_all_levels_agree_where_scattering_randomises_directions():
    window = parabolic_window((16, 16, 16))
    serta = mobilities(window, "tetrahedra")
    assert mobilities(window, "tetrahedra", solve_mrta) == pytest.approx(serta, rel=1e-10)
    assert mobilities(window, "tetrahedra", solve_bte) == pytest.approx(serta, rel=1e-8)


def test_symmetry_changes_no_weight():
    windows = [parabolic_window((12, 12, 12), symmetric=flag) for flag in (True, False)]
    # Energies of equivalent points differ in the last bits there, at the ends of the Gaussians.
    found = [mobilities(window, "adaptive", tolerance=1e-6) for window in windows]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    # Without the mirrors tetrahedra are averaged over k and -k alone.
    found = [mobilities(window, "tetrahedra", tolerance=0.01) for window in windows]
    assert found[0] == pytest.approx(found[1], rel=0.02)


def test_tetrahedra_integrate_to_the_density_of_states():
    window = parabolic_window((24, 24, 24))
    table = TetrahedronTable.of(window)
    energies = np.array([0.05, 0.1, 0.2])
    states = np.bincount(window.images)
    index = np.arange(len(states))[:, None]
    found = (states[:, None] * table.weights(index, energies[None])).sum(axis=0) / window.n_mesh
    mass = np.prod(MASSES) ** (1 / 3) * INVERSE_MASS_PER_EV_A2
    exact = mass**1.5 * np.sqrt(2 * energies) / (2 * np.pi**2)
    volume = window.state_space().volume
    assert found / volume == pytest.approx(exact, rel=0.02)
    # Each state counts once: far below the top of the window no tetrahedron is missing.
    low = np.flatnonzero(window.state_space().energies < 0.15)
    assert table.values[low].sum(axis=1) * table.step == pytest.approx(1.0, rel=1e-9)
    assert (table.weights(index, np.array([[-1.0, 5.0]])) == 0.0).all()


def test_tabulated_weights_keep_the_number_of_states_for_any_step():
    window = parabolic_window((10, 10, 10))
    coarse, fine = (TetrahedronTable.of(window, step) for step in (4e-3, 1e-3))
    totals = [table.values.sum() * table.step for table in (coarse, fine)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-9)


def test_weights_of_a_pair_are_equal_in_both_directions():
    window = parabolic_window((10, 10, 10))
    table, e = TetrahedronTable.of(window), window.state_space().energies
    generator = np.random.default_rng(1)
    i, f = generator.integers(0, len(e), (2, 200))
    omega = generator.uniform(0.0, 0.03, (200, 6))
    forth = table.phonon_weights(i, f, e[i], e[f], omega)
    back = table.phonon_weights(f, i, e[f], e[i], omega)
    assert forth.max() > 0
    assert forth == pytest.approx(back, rel=1e-12)
    # Without phonon energy both processes are the elastic one.
    still = table.phonon_weights(i, f, e[i], e[f], np.zeros((200, 1)))[:, 0]
    assert still == pytest.approx(2 * table.pair_weights(i, f, e[i], e[f]), rel=1e-9)
    sigma = generator.uniform(0.002, 0.02, len(e))
    widths = pair_widths(sigma[i], sigma[f])
    assert phonon_gaussians(e[f] - e[i], omega, widths) == pytest.approx(
        phonon_gaussians(e[i] - e[f], omega, widths), rel=1e-12
    )


def test_gaussians_are_normalised_within_their_cut():
    x = np.linspace(-1, 1, 400_001)
    for sigma in (0.003, 0.05):
        assert gaussian_weights(x, sigma).sum() * (x[1] - x[0]) == pytest.approx(1.0, rel=1e-4)
    beyond, inside = gaussian_weights([CUT * 0.01 * 1.001, 0.01], 0.01)
    assert beyond == 0.0
    assert inside == pytest.approx(np.exp(-0.5) / np.sqrt(2 * np.pi) / 0.01, rel=1e-4)


def test_gaussians_of_both_processes():
    generator = np.random.default_rng(0)
    x = generator.uniform(-0.06, 0.06, 300)
    omega = generator.uniform(0.0, 0.03, (300, 7))
    for sigma in (generator.uniform(1e-3, 0.02, 300), generator.uniform(1e-3, 0.02, (300, 7))):
        width = sigma if sigma.ndim == 2 else sigma[:, None]
        expected = gaussian_weights(x[:, None] - omega, width)
        expected += gaussian_weights(x[:, None] + omega, width)
        assert phonon_gaussians(x, omega, sigma) == pytest.approx(expected, rel=1e-12)


def test_adaptive_widths():
    steps = np.diag([0.02, 0.01, 0.005])
    v = np.array([[1000.0, 0.0, 0.0], [0.0, 2000.0, 0.0], [500.0, 500.0, 500.0]])
    found = adaptive_widths(v, step_metric(steps), floor=0.0)
    change = HBAR_EV_PS * v @ steps
    # A box distribution of each step: its variance is 1/12 of the square of its width.
    assert found == pytest.approx(np.sqrt((change**2).sum(axis=1) / 12.0))
    assert adaptive_widths(v, step_metric(steps), floor=1.0) == pytest.approx(1.0)
    assert adaptive_widths(0.0 * v + v[:1], step_metric(steps), scale=2.0) == pytest.approx(
        2.0 * found[0]
    )
    slow = np.concatenate([v, np.zeros((1, 3))])
    assert adaptive_widths(slow, step_metric(steps))[-1] > 0


def test_widths_of_equivalent_states_are_equal_in_a_primitive_cell():
    lattice = 2.7 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    steps = 2 * np.pi * np.linalg.inv(lattice).T / 8
    threefold = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    mirror = np.diag([1.0, 1.0, -1.0])
    group = [np.eye(3)]
    while True:
        products = [g @ h for g in group for h in (threefold, mirror, *group)]
        distinct = np.unique(np.round([*group, *products]), axis=0)
        if len(distinct) == len(group):
            break
        group = list(distinct)
    metric = step_metric(steps, np.array(group))
    assert metric == pytest.approx(np.eye(3) * np.trace(step_metric(steps)) / 3)


def test_gaussians_of_many_pairs_take_milliseconds():
    generator = np.random.default_rng(2)
    n, modes = 8000, 60
    x, sigma = generator.uniform(-0.1, 0.25, n), generator.uniform(0.004, 0.015, n)
    omega = generator.uniform(0.0, 0.026, (n, modes))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        phonon_gaussians(x, omega, sigma)
        seconds.append(time.perf_counter() - start)
    # A loose limit: 5 ms on a quiet core.
    assert min(seconds) < 0.1

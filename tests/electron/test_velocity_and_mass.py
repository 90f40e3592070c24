"""Velocities and masses: finite differences, gauges, cells, rotations, degenerate sets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from random_hamiltonian import doubled, in_other_axes, random_hamiltonian, rotated
from scipy.spatial.transform import Rotation
from stored_hamiltonian import stored_hamiltonian

from elphant.electron.band_edges import BandEdge
from elphant.electron.effective_mass import inverse_mass
from elphant.electron.k_dot_p import expand
from elphant.electron.mass_uncertainty import mass_uncertainty
from elphant.electron.velocity import velocities, velocity_matrices, velocity_products
from elphant.orbitals import EigenStates, band_energies, solve
from elphant.units import INVERSE_MASS_PER_EV_A2

K = np.array([[0.13, 0.27, -0.31], [0.4, -0.05, 0.22]])
DIRECTIONS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, -2, 3], [0.3, 0.2, -0.9]])
MODELS = {
    "overlap": {},
    "orthonormal": {"overlap": False},
    "spinor": {"spinor": True},
}


def along(h, k, direction, step, order):
    """Energies at k + j step n, j = -order ... order, (2 order + 1, n_bands)."""
    offsets = step * np.arange(-order, order + 1)[:, None] * direction
    return band_energies(h, k + offsets @ h.crystal.lattice.T / (2 * np.pi))


def first_difference(h, k, direction, step=0.01):
    """Of eighth order."""
    c = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
    return c @ along(h, k, direction, step, 4) / step


def second_difference(h, k, direction, step=0.02):
    """Of eighth order."""
    c = np.array([-1 / 560, 8 / 315, -1 / 5, 8 / 5, -205 / 72, 8 / 5, -1 / 5, 8 / 315, -1 / 560])
    return c @ along(h, k, direction, step, 4) / step**2


@pytest.mark.parametrize("name", MODELS)
def test_velocities_are_derivatives_of_the_bands(name):
    h = random_hamiltonian(1, **MODELS[name])
    v = velocities(h, solve(h, K))
    for direction in DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1)[:, None]:
        for k, analytic in zip(K, v @ direction, strict=True):
            numeric = first_difference(h, k, direction)
            assert np.abs(analytic - numeric).max() < 1e-8 * np.abs(numeric).max()


@pytest.mark.parametrize("gauge", ["atomic", "lattice"])
@pytest.mark.parametrize("name", MODELS)
def test_masses_are_second_derivatives_of_the_bands(name, gauge):
    h = random_hamiltonian(1, **MODELS[name])
    for k in K:
        masses = [inverse_mass(h, k, band, gauge=gauge) for band in range(h.n_orbitals)]
        for direction in DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1)[:, None]:
            numeric = second_difference(h, k, direction) * INVERSE_MASS_PER_EV_A2
            analytic = np.array([m.inverse_along(direction)[0] for m in masses])
            assert np.abs(analytic - numeric).max() < 5e-6 * np.abs(numeric).max()


def test_the_gauge_of_the_bloch_sums_does_not_matter():
    h = random_hamiltonian(2)
    for band in range(5):
        a, b = (inverse_mass(h, K[0], band, gauge=gauge) for gauge in ("atomic", "lattice"))
        assert a.tensor == pytest.approx(b.tensor, rel=1e-10, abs=1e-10)
        assert a.velocity == pytest.approx(b.velocity, rel=1e-10, abs=1e-10)


def test_random_phases_of_the_eigenvectors_do_not_matter():
    h = random_hamiltonian(2, spinor=True)
    states = solve(h, K)
    phases = np.exp(1j * np.random.default_rng(0).uniform(0, 7, states.energies.shape))
    other = EigenStates(
        k_points=states.k_points,
        energies=states.energies,
        coefficients=states.coefficients * phases[:, None],
    )
    assert velocities(h, other) == pytest.approx(velocities(h, states), abs=1e-12)


def test_mixed_eigenvectors_of_degenerate_sets_do_not_matter():
    """Folded bands of a supercell, and a triplet of silicon, with random unitary mixtures."""
    generator = np.random.default_rng(3)
    for h, k in (
        (doubled(random_hamiltonian(3), 0), np.array([[0.5, 0.0, 0.0]])),
        (stored_hamiltonian("si_szv"), np.zeros((1, 3))),
    ):
        states = solve(h, k)
        e, c = states.energies[0], states.coefficients.copy()
        edges = np.concatenate([[0], np.flatnonzero(np.diff(e) > 1e-4) + 1, [len(e)]])
        for a, b in pairwise(edges):
            noise = generator.standard_normal((b - a, b - a, 2)) @ [1, 1j]
            c[0, :, a:b] = c[0, :, a:b] @ np.linalg.qr(noise)[0]
        mixed = EigenStates(k_points=states.k_points, energies=states.energies, coefficients=c)
        assert (np.diff(edges) > 1).any()
        for direction in (None, [0.3, -0.2, 0.9]):
            first, second = (velocities(h, s, direction=direction) for s in (states, mixed))
            if direction is not None:
                first, second = first @ direction, second @ direction
            assert first == pytest.approx(second, abs=1e-8)
        products = [
            velocity_products(velocity_matrices(h, s), s.energies)[0] for s in (states, mixed)
        ]
        for a, b in pairwise(edges):
            assert products[0][a:b].sum(axis=0) == pytest.approx(products[1][a:b].sum(0), abs=1e-8)


def test_velocities_of_a_degenerate_set_are_the_slopes_of_its_bands():
    """Folding makes doublets with different slopes at the new zone boundary."""
    h = doubled(random_hamiltonian(3), 0)
    k = np.array([0.5, 0.0, 0.0])
    direction = np.array([0.6, -0.3, 0.74])
    direction /= np.linalg.norm(direction)
    v = velocities(h, solve(h, k[None]), direction=direction)[0] @ direction
    step = 1e-4
    ahead = along(h, k, direction, step, 1)[2]
    behind = along(h, k, direction, step, 1)[0]
    for pair in range(5):
        band = slice(2 * pair, 2 * pair + 2)
        # Ahead the fast one is on top, behind it is below.
        numeric = (ahead[band] - behind[band][::-1]) / (2 * step)
        assert np.sort(v[band]) == pytest.approx(np.sort(numeric), abs=1e-5)
    masses = inverse_mass(h, k, 0).inverse_along(direction) / INVERSE_MASS_PER_EV_A2
    step = 0.01
    e = along(h, k, direction, step, 1)[:, :2]
    numeric = (e[2] + e[0][::-1] - 2 * e[1]) / step**2
    assert np.sort(masses) == pytest.approx(np.sort(numeric), rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("name", ["si_szv", "si_dzvp"])
def test_masses_of_the_valence_triplet_of_silicon(name):
    """Warped bands: the Löwdin matrix gives them along every direction."""
    h = stored_hamiltonian(name)
    top = inverse_mass(h, [0, 0, 0], h.n_occupied - 1, tolerance=1e-3)
    assert top.degeneracy == 3
    assert np.abs(top.velocity).max() < 1e-3
    for direction in DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1)[:, None]:
        numeric = second_difference(h, np.zeros(3), direction, 0.01)
        numeric = np.sort(numeric[top.first_band : top.first_band + 3]) * INVERSE_MASS_PER_EV_A2
        assert top.inverse_along(direction) == pytest.approx(numeric, rel=2e-4)
    heavy_100 = top.along([1, 0, 0])
    heavy_111 = top.along([1, 1, 1])
    assert np.abs(heavy_111).max() > 1.5 * np.abs(heavy_100).max()


@pytest.mark.parametrize(
    "axes", [[[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[1, 0, 0], [1, 1, 0], [-1, 0, 1]]]
)
def test_the_choice_of_lattice_vectors_does_not_matter(axes):
    matrix = np.array(axes)
    h = random_hamiltonian(4)
    other = in_other_axes(h, matrix)
    k = K @ matrix.T
    assert band_energies(other, k) == pytest.approx(band_energies(h, K), abs=1e-10)
    assert velocities(other, solve(other, k)) == pytest.approx(velocities(h, solve(h, K)), abs=1e-9)
    for band in (0, 2):
        a, b = inverse_mass(h, K[0], band), inverse_mass(other, k[0], band)
        assert b.tensor == pytest.approx(a.tensor, abs=1e-9)


def test_a_rotated_crystal_has_rotated_tensors():
    h = random_hamiltonian(4)
    rotation = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    other = rotated(h, rotation)
    v = velocities(h, solve(h, K)) @ rotation.T
    assert velocities(other, solve(other, K)) == pytest.approx(v, abs=1e-10)
    tensor = rotation @ inverse_mass(h, K[0], 1).tensor @ rotation.T
    assert inverse_mass(other, K[0], 1).tensor == pytest.approx(tensor, abs=1e-9)


def test_a_supercell_has_the_same_masses():
    h = random_hamiltonian(5)
    k = np.array([0.07, 0.13, 0.21])
    for axis in range(3):
        big = doubled(h, axis)
        folded = k.copy()
        folded[axis] *= 2
        energy = band_energies(h, k[None])[0, 2]
        band = int(np.argmin(np.abs(band_energies(big, folded[None])[0] - energy)))
        expected = inverse_mass(h, k, 2)
        found = inverse_mass(big, folded, band)
        assert found.energy == pytest.approx(energy, abs=1e-9)
        assert found.tensor == pytest.approx(expected.tensor, abs=1e-8)


@pytest.mark.parametrize("gauge", ["atomic", "lattice"])
def test_models_of_several_bands_are_exact_to_second_order(gauge):
    h = random_hamiltonian(6, spinor=True)
    model = expand(h, K[0], (2, 6), gauge=gauge)
    direction = np.array([0.5, 0.4, -0.3])
    errors = []
    for scale in (0.02, 0.01, 0.005):
        q = scale * direction
        exact = band_energies(h, K[:1] + q @ h.crystal.lattice.T / (2 * np.pi))[0, 2:6]
        errors.append(np.abs(model.bands(q)[0] - exact).max())
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(8, rel=0.25)
    velocity = model.bands_and_velocities(np.zeros(3))[1][0]
    expected = velocities(h, solve(h, K[:1]))[0, 2:6]
    diagonal = np.diagonal(velocity, axis1=1, axis2=2).real.T
    assert np.abs(diagonal - expected).max() < 1e-10


def test_a_damped_model_keeps_the_curvature_of_bands_far_from_its_ends():
    h = random_hamiltonian(6)
    exact, damped = (expand(h, K[0], (1, 4), damping=d).second for d in (0.0, 0.05))
    assert damped[:, :, 1, 1] == pytest.approx(exact[:, :, 1, 1], rel=1e-6, abs=1e-6)


def test_mass_uncertainty_of_silicon():
    h = stored_hamiltonian("si_szv")
    edge = BandEdge(k_point=[0, 0, 0], energy=0.0, band=3, degeneracy=3, multiplicity=1)
    result = mass_uncertainty(h, edge, DIRECTIONS[:3])
    assert result.masses.shape == result.uncertainty.shape == (3, 3)
    assert result.flags[0].severity == "info"
    assert (result.difference < 1e-3 * np.abs(result.masses)).all()
    assert (result.uncertainty >= result.difference).all()

"""Conductivity masses: parabolic valleys, several valleys, cells, temperatures."""

from __future__ import annotations

import numpy as np
import pytest
from random_hamiltonian import cosine_bands, doubled
from stored_hamiltonian import stored_hamiltonian

from elphant.crystal.symmetry import find_symmetry
from elphant.electron.band_edges import edge_interpolation, find_band_edges
from elphant.electron.conductivity_mass import conductivity_masses
from elphant.electron.effective_mass import inverse_mass
from elphant.electron.velocity import velocity_matrices
from elphant.grids import irreducible_mesh
from elphant.orbitals import band_energies, solve
from elphant.units import BOLTZMANN_EV, INVERSE_MASS_PER_EV_A2

LATTICE = np.diag([3.0, 4.0, 6.0])
HOPPING = np.array([1.5, 0.6, 0.2])
EXACT = INVERSE_MASS_PER_EV_A2 * HOPPING * np.diag(LATTICE) ** 2


def masses(h, mesh, carrier, temperatures, symmetry=None):
    interpolation = edge_interpolation(h, mesh, symmetry)
    edges = find_band_edges(h, mesh, symmetry, interpolation=interpolation)
    return conductivity_masses(h, edges, carrier, temperatures, interpolation, symmetry)


@pytest.mark.parametrize("carrier", ["electron", "hole"])
def test_a_cold_valley_has_the_masses_of_its_edge(carrier):
    h = cosine_bands(LATTICE, HOPPING)
    result = masses(h, (6, 6, 6), carrier, [4.0])[0]
    assert result.inverse_tensor == pytest.approx(np.diag(EXACT), rel=1e-3, abs=1e-3)
    assert [result.along(n) for n in np.eye(3)] == pytest.approx(1 / EXACT, rel=1e-3)
    assert result.tensor == pytest.approx(np.diag(1 / EXACT), rel=1e-3, abs=1e-3)
    dos_mass = np.prod(1 / EXACT) ** (1 / 3)
    assert result.density_of_states_mass == pytest.approx(dos_mass, rel=2e-3)
    assert result.relative_uncertainty < 0.05


def quadrature(hop: float, length: float, temperature: float) -> float:
    """Inverse conductivity mass of a cosine band, which separates into one dimension."""
    x = 2 * np.pi * np.arange(4000) / 4000
    thermal = BOLTZMANN_EV * temperature
    weight = np.exp(-hop * (1 - np.cos(x)) / thermal)
    squares = (hop * length * np.sin(x)) ** 2
    return INVERSE_MASS_PER_EV_A2 * (squares * weight).sum() / weight.sum() / thermal


def test_a_warm_valley_is_not_parabolic():
    h = cosine_bands(LATTICE, HOPPING)
    temperatures = [300.0, 600.0]
    results = masses(h, (8, 8, 8), "electron", temperatures)
    for temperature, result in zip(temperatures, results, strict=True):
        exact = [
            quadrature(hop, length, temperature)
            for hop, length in zip(HOPPING, np.diag(LATTICE), strict=True)
        ]
        found = np.diag(result.inverse_tensor)
        assert found == pytest.approx(exact, rel=5e-4)
        assert np.abs(found / exact - 1).max() < result.relative_uncertainty + 2e-3
        assert found[2] < 0.98 * EXACT[2]


def test_valleys_of_silicon_average_their_inverse_masses():
    h = stored_hamiltonian("si_dzvp")
    symmetry = find_symmetry(h.crystal)
    interpolation = edge_interpolation(h, (6, 6, 6), symmetry)
    edges = find_band_edges(h, (6, 6, 6), symmetry, interpolation=interpolation)
    result = conductivity_masses(h, edges, "electron", [200.0], interpolation, symmetry)[0]
    edge = edges.conduction
    valley = np.trace(inverse_mass(h, edge.k_point, edge.band).tensor) / 3
    # Cubic, and the harmonic mean of the valley within its non-parabolicity.
    assert result.inverse_tensor == pytest.approx(np.eye(3) * result.inverse_tensor[0, 0], abs=1e-8)
    assert result.inverse_tensor[0, 0] == pytest.approx(valley, rel=0.15)


def test_a_supercell_has_the_same_conductivity_mass():
    h = cosine_bands(LATTICE, HOPPING)
    big = doubled(h, 2)
    one = masses(h, (6, 6, 8), "electron", [300.0])[0]
    two = masses(big, (6, 6, 4), "electron", [300.0])[0]
    assert two.inverse_tensor == pytest.approx(one.inverse_tensor, rel=2e-3, abs=2e-3)
    assert two.states_per_cell == pytest.approx(2 * one.states_per_cell, rel=2e-3)
    assert two.density_of_states_mass == pytest.approx(one.density_of_states_mass, rel=2e-3)


def test_temperatures_must_be_positive():
    h = cosine_bands(LATTICE, HOPPING)
    with pytest.raises(ValueError, match="positive"):
        masses(h, (4, 4, 4), "electron", [0.0])


def test_holes_of_silicon_against_a_direct_sum():
    """Three warped bands, by exact diagonalisation on a mesh shifted by half a step."""
    h = stored_hamiltonian("si_szv")
    symmetry = find_symmetry(h.crystal)
    temperature = 600.0
    result = masses(h, (8, 8, 8), "hole", [temperature], symmetry)[0]
    mesh = irreducible_mesh((48, 48, 48), symmetry.rotations, shift=(1, 1, 1))
    # Off the symmetric lines, where touching bands have no velocities of their own.
    states = solve(h, mesh.points + np.array([1.3e-6, 0.7e-6, -0.4e-6]))
    thermal = BOLTZMANN_EV * temperature
    top = band_energies(h, [[0, 0, 0]])[0, 3]
    weights = mesh.weights[:, None] * np.exp((states.energies[:, :4] - top) / thermal)
    assert result.states_per_cell == pytest.approx(2 * weights.sum(), rel=1e-4)
    v = np.diagonal(velocity_matrices(h, states, (0, 4)), axis1=-2, axis2=-1).real
    squares = (v**2).sum(axis=1) / 3
    inverse = INVERSE_MASS_PER_EV_A2 * (weights * squares).sum() / weights.sum() / thermal
    assert result.inverse_tensor == pytest.approx(np.eye(3) * inverse, rel=0.01, abs=1e-6)

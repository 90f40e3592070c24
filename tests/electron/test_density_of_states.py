"""Densities of states, projections, and carriers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from random_hamiltonian import cosine_bands, doubled, random_hamiltonian
from stored_hamiltonian import stored_hamiltonian

from elphant.crystal.symmetry import find_symmetry
from elphant.electron.density_of_states import DensityOfStates, density_of_states
from elphant.electron.occupation import CarrierStates, chemical_potential
from elphant.errors import PhysicsError
from elphant.grids import irreducible_mesh
from elphant.orbitals import band_energies
from elphant.units import BOLTZMANN_EV


def test_the_number_of_states_up_to_the_gap_is_the_number_of_electrons():
    h = stored_hamiltonian("si_dzvp")
    symmetry = find_symmetry(h.crystal)
    mesh = irreducible_mesh((5, 5, 5), symmetry.rotations)
    bands = band_energies(h, mesh.points)
    occupied = h.n_occupied
    gap = 0.5 * (bands[:, occupied - 1].max() + bands[:, occupied].min())
    energies = np.append(np.linspace(bands.min() - 1, gap, 400), bands.max() + 1)
    dos = density_of_states(h, mesh, energies)
    assert dos.number[-2] == pytest.approx(h.n_electrons, abs=1e-10)
    assert dos.number[-1] == pytest.approx(2 * h.n_orbitals, abs=1e-10)
    assert dos.labels == ("Si-s", "Si-p", "Si-d")
    assert dos.projections.sum(axis=0) == pytest.approx(dos.total, abs=1e-9)
    full = density_of_states(h, irreducible_mesh((5, 5, 5)), energies, projections=["Si-p"])
    assert full.total == pytest.approx(dos.total, abs=1e-6)
    # The operations mix p orbitals: their sum is the same in the wedge and in the whole zone.
    assert full.projections[0] == pytest.approx(dos.projections[1], abs=1e-5)


def test_a_coarse_mesh_loses_no_states_between_the_energies():
    h = stored_hamiltonian("si_szv")
    symmetry = find_symmetry(h.crystal)
    mesh = irreducible_mesh((3, 3, 3), symmetry.rotations)
    bands = band_energies(h, mesh.points)
    # Beyond all bands the density is zero, so that the sum over equal steps is the integral.
    energies = np.arange(bands.min() - 1.0, bands.max() + 1.0, 0.02)
    dos = density_of_states(h, mesh, energies)
    assert 0.02 * dos.total.sum() == pytest.approx(2 * h.n_orbitals, abs=1e-9)
    assert 0.02 * dos.projections.sum() == pytest.approx(2 * h.n_orbitals, abs=1e-9)


def test_spinors_hold_one_electron_per_band():
    h = random_hamiltonian(1, spinor=True)
    mesh = irreducible_mesh((3, 3, 3), time_reversal=False)
    top = band_energies(h, mesh.points).max() + 1
    dos = density_of_states(h, mesh, [-50.0, top], projections=[])
    assert dos.number[-1] == pytest.approx(h.n_orbitals)
    assert dos.projections.shape == (0, 2)


def test_a_supercell_has_twice_the_states():
    h = random_hamiltonian(2)
    # The same points and, with these divisions, the same cells of the mesh.
    energies = np.linspace(-12, 12, 60)
    one = density_of_states(h, irreducible_mesh((6, 4, 4)), energies, projections=[])
    two = density_of_states(doubled(h, 0), irreducible_mesh((3, 4, 4)), energies, projections=[])
    assert two.number == pytest.approx(2 * one.number, abs=0.25)
    assert two.number[-1] == pytest.approx(2 * one.number[-1])


def test_wrong_input_is_refused():
    h = random_hamiltonian(2)
    mesh = irreducible_mesh((2, 2, 2))
    with pytest.raises(ValueError, match="no orbitals"):
        density_of_states(h, mesh, [0.0, 1.0], projections=["Au-d"])
    with pytest.raises(ValueError, match="ascend"):
        density_of_states(h, mesh, [1.0, 0.0])


def parabolic(mass_e: float, mass_h: float, volume: float) -> DensityOfStates:
    """Density of states of free electrons and holes around a gap of 1 eV."""
    energies = np.linspace(-2.0, 3.0, 50_001)
    x = energies - 1.0
    factor = volume / (3 * np.pi**2) / (7.619964221937169 / 2) ** 1.5
    number = factor * mass_e**1.5 * np.clip(x, 0, None) ** 1.5
    number = number - factor * mass_h**1.5 * np.clip(-energies, 0, None) ** 1.5
    return DensityOfStates(
        energies=energies, total=np.gradient(number, energies), number=number - number[0],
        labels=(), projections=np.zeros((0, len(energies))),
    )  # fmt: skip


def test_the_effective_density_of_states_of_free_electrons():
    """2.509412e19 cm⁻³ at 300 K."""
    volume = 100.0
    states = CarrierStates.of(parabolic(1.0, 0.5, volume), 0.0, 1.0)
    level = 0.4
    electrons = np.exp(states.log_electrons(level, 300.0))
    expected = 2.509412e-5 * volume * np.exp(-0.6 / (BOLTZMANN_EV * 300.0))
    assert electrons == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("temperature", [50.0, 300.0, 900.0])
def test_intrinsic_and_doped_levels(temperature):
    states = CarrierStates.of(parabolic(0.2, 0.8, 80.0), 0.0, 1.0)
    thermal = BOLTZMANN_EV * temperature
    level = chemical_potential(states, temperature)
    assert level == pytest.approx(0.5 + 0.75 * thermal * np.log(0.8 / 0.2), abs=3e-4)
    for exponent, sign in product((-14, -8, -5), (1, -1)):
        excess = sign * 10.0**exponent
        level = chemical_potential(states, temperature, excess)
        n = np.exp(states.log_electrons(level, temperature))
        p = np.exp(states.log_holes(level, temperature))
        assert n - p == pytest.approx(excess, rel=1e-6)
    with pytest.raises(PhysicsError, match="fit"):
        chemical_potential(states, temperature, 100.0)


def test_carriers_of_a_model_come_from_its_own_density_of_states():
    h = cosine_bands(np.diag([3.0, 3.0, 3.0]), [0.5, 0.5, 0.5], (-1.0, 1.0))
    mesh = irreducible_mesh((10, 10, 10))
    dos = density_of_states(h, mesh, np.linspace(-5, 5, 4001), projections=[])
    states = CarrierStates.of(dos, -1.0, 1.0)
    assert chemical_potential(states, 300.0) == pytest.approx(0.0, abs=1e-6)
    assert states.electron_states.sum() == pytest.approx(2.0)
    assert states.hole_states.sum() == pytest.approx(2.0)

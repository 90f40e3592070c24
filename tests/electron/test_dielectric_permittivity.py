"""The sum over states: molecules, sum rules, cells, rotations, convergence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gaussian_model import GaussianModel, semiconductor, zincblende

from elphant.crystal import Crystal, find_symmetry
from elphant.electron.dielectric.permittivity import (
    MeshPermittivity,
    extrapolated,
    mesh_permittivity,
    permittivity,
)
from elphant.errors import PhysicsError
from elphant.orbitals.bloch import bloch_sum
from elphant.units import COULOMB_EV_ANGSTROM, INVERSE_MASS_PER_EV_A2

MOLECULE = GaussianModel(
    {31: [("s", 0.6, -8.0), ("p", 0.5, -3.0)], 33: [("s", 0.7, -12.0), ("p", 0.6, -6.0)]},
    {31: 2, 33: 2},
    reach=4.0,
)


def _boxed(vector, size=11.0):
    fractional = np.array([[0.3, 0.3, 0.3], [0.3, 0.3, 0.3] + np.array(vector) / size])
    return Crystal(lattice=size * np.eye(3), fractional=fractional, numbers=[31, 33])


def test_a_crystal_of_molecules_has_their_polarisability():
    """ε = 1 + 4π α/V, α from a finite field on the molecule."""
    crystal = _boxed([1.3, 0.7, -0.4])
    hamiltonian = MOLECULE.predict(crystal)
    H, S = (matrix[0].real for matrix in hamiltonian.at([[0, 0, 0]]))
    X = np.array([bloch_sum(x, [[0, 0, 0]])[0].real for x in hamiltonian.position])
    L = np.linalg.inv(np.linalg.cholesky(S))

    def dipole(field):
        _, u = np.linalg.eigh(L @ (H + np.tensordot(field, X, axes=1)) @ L.T)
        c = L.T @ u[:, : hamiltonian.n_occupied]
        return -2 * np.einsum("in,aij,jn->a", c, X, c)

    step = 1e-4
    alpha = np.array(
        [(dipole(step * axis) - dipole(-step * axis)) / (2 * step) for axis in np.eye(3)]
    )
    expected = np.eye(3) + 4 * np.pi * COULOMB_EV_ANGSTROM * alpha / crystal.volume
    result = mesh_permittivity(hamiltonian, (1, 1, 2))
    np.testing.assert_allclose(result.epsilon, expected, atol=1e-6)
    assert np.abs(expected - np.diag(np.diag(expected))).max() > 1e-3


def test_the_oscillator_strength_of_a_harmonic_well_is_one_per_electron():
    exponent = 0.4
    quantum = 2 * exponent / INVERSE_MASS_PER_EV_A2  # ħω of the well whose ground state is s
    well = GaussianModel(
        {2: [("s", exponent, 0.0), ("p", exponent, quantum)]}, {2: 2}, reach=1.0
    ).predict(Crystal(lattice=6 * np.eye(3), fractional=[[0.1, 0.2, 0.3]], numbers=[2]))
    result = mesh_permittivity(well, (1, 1, 1))
    assert result.strength == pytest.approx(1.0, rel=1e-12)
    # Two electrons on springs: α = 2 e²/(m ω²).
    alpha = 2 / (INVERSE_MASS_PER_EV_A2 * quantum**2)
    expected = 1 + 4 * np.pi * COULOMB_EV_ANGSTROM * alpha / 216
    np.testing.assert_allclose(result.epsilon, expected * np.eye(3), rtol=1e-12, atol=1e-12)
    shifted = mesh_permittivity(well, (1, 1, 1), scissor=quantum)
    np.testing.assert_allclose(
        shifted.epsilon - np.eye(3), (result.epsilon - np.eye(3)) / 2, atol=1e-12
    )


def test_symmetry_changes_nothing_but_the_work():
    hamiltonian = semiconductor().predict(zincblende())
    symmetry = find_symmetry(hamiltonian.crystal)
    for each in (hamiltonian, replace(hamiltonian, position=None)):
        full = mesh_permittivity(each, (3, 3, 3), shift=(0, 0, 0))
        reduced = mesh_permittivity(each, (3, 3, 3), symmetry, shift=(0, 0, 0))
        np.testing.assert_allclose(reduced.epsilon, full.epsilon, atol=1e-10)
        np.testing.assert_allclose(full.epsilon, full.epsilon[0, 0] * np.eye(3), atol=1e-10)
        # A shifted mesh breaks the symmetry of this lattice; the average restores it.
        full = mesh_permittivity(each, (3, 3, 3))
        reduced = mesh_permittivity(each, (3, 3, 3), symmetry)
        isotropic = np.trace(full.epsilon) / 3 * np.eye(3)
        np.testing.assert_allclose(reduced.epsilon, isotropic, atol=1e-10)


def test_the_tensor_turns_with_the_crystal_and_ignores_the_cell():
    crystal = zincblende().displaced([[0, 0, 0], [0.2, -0.1, 0.3]])
    reference = mesh_permittivity(semiconductor().predict(crystal), (2, 2, 4)).epsilon
    # A supercell along the third axis.
    above = crystal.fractional + np.array([0, 0, 1])
    double = Crystal(
        lattice=np.diag([1, 1, 2]) @ crystal.lattice,
        fractional=np.concatenate([crystal.fractional, above]) / [1, 1, 2],
        numbers=[*crystal.numbers, *crystal.numbers],
    )
    doubled = mesh_permittivity(semiconductor().predict(double), (2, 2, 2))
    np.testing.assert_allclose(doubled.epsilon, reference, atol=1e-9)
    # Another origin, axes in another order, and a rotation of space.
    R = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    order = [2, 0, 1]
    turned = Crystal(
        lattice=(crystal.lattice @ R.T)[order],
        fractional=crystal.fractional[:, order] + [0.3, 0.1, -0.7],
        numbers=crystal.numbers,
    )
    other = mesh_permittivity(semiconductor().predict(turned), (4, 2, 2))
    np.testing.assert_allclose(other.epsilon, R @ reference @ R.T, atol=1e-9)


def test_meshes_are_extrapolated_when_they_converge_geometrically():
    limit, slope = np.diag([3.0, 3.0, 5.0]), np.diag([1.0, 1.0, 4.0])
    steps = [
        MeshPermittivity(
            epsilon=limit + slope * 0.5**n, mesh=(n, n, 2 * n), direct_gap=1, gap=1, strength=1
        )
        for n in (2, 4, 6)
    ]
    value, error, done = extrapolated(steps)
    assert done
    np.testing.assert_allclose(value, limit, atol=1e-12)
    np.testing.assert_allclose(error, slope * (0.5**2 - 0.5**4), atol=1e-12)
    value, error, done = extrapolated([steps[0], steps[2]])
    assert not done
    np.testing.assert_allclose(error, slope * (0.5**2 - 0.5**6), atol=1e-12)
    assert np.isinf(extrapolated(steps[:1])[1]).all()


def test_the_real_model_converges_to_its_extrapolated_value():
    hamiltonian = semiconductor().predict(zincblende())
    symmetry = find_symmetry(hamiltonian.crystal)
    result = permittivity(hamiltonian, [(n, n, n) for n in (4, 6, 8)], symmetry)
    fine = mesh_permittivity(hamiltonian, (16, 16, 16), symmetry).epsilon
    assert result.extrapolated
    assert abs(result.epsilon - fine).max() <= result.uncertainty.max()
    flags = {flag.name: flag for flag in result.flags}
    assert flags["independent_particles"].severity == "warning"
    assert flags["oscillator_strength"].severity == "warning"
    assert flags["permittivity_mesh"].value == pytest.approx(
        result.uncertainty.max() / result.epsilon.max()
    )
    assert "8x8x8, extrapolated" in result.source()
    single = permittivity(hamiltonian, [(2, 2, 2)], symmetry, scissor=0.5)
    assert {f.name: f.severity for f in single.flags}["permittivity_mesh"] == "warning"
    assert "scissor 0.5 eV" in single.source()


def test_metals_and_empty_sums_are_refused():
    hamiltonian = semiconductor().predict(zincblende())
    with pytest.raises(PhysicsError, match="bands overlap"):
        mesh_permittivity(replace(hamiltonian, n_electrons=6.0), (3, 3, 3))
    with pytest.raises(PhysicsError, match="no empty bands"):
        mesh_permittivity(replace(hamiltonian, n_electrons=16.0), (2, 2, 2))
    with pytest.raises(PhysicsError, match="do not fill"):
        mesh_permittivity(replace(hamiltonian, n_electrons=7.0), (2, 2, 2))
    with pytest.raises(PhysicsError, match="closes the gap"):
        mesh_permittivity(hamiltonian, (2, 2, 2), scissor=-50.0)
    with pytest.raises(ValueError, match="at least one mesh"):
        permittivity(hamiltonian, [])

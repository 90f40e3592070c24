"""Berry phases of strings: Wannier centres, order of the error, linear response."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from gaussian_model import GaussianModel, semiconductor, zincblende

from elphant.crystal import Crystal
from elphant.electron.dielectric.berry_phase import (
    BerryPhases,
    berry_phases,
    electronic_dipole_change,
    wannier_centre_sum,
)
from elphant.electron.dielectric.position import bond_dipoles, interband_position
from elphant.errors import ConfigurationError, PhysicsError
from elphant.grids.irreducible import irreducible_mesh
from elphant.orbitals import bloch_sum, solve
from elphant.orbitals.bloch import gauge_phases

MESH = (3, 3, 3)
DISTORTED = zincblende().displaced([[0, 0, 0], [0.25, -0.1, 0.15]])


def _phases_with_exact_links(provider, crystal, axis, n, start):
    """Brute force: <u_k|u_k+b> with the exact integrals of e^{-ibr}."""
    hamiltonian = provider.predict(crystal)
    step = np.eye(3)[axis] / n
    b = 2 * np.pi * np.linalg.inv(crystal.lattice) @ step
    k = start + np.arange(n)[:, None] * step
    c = solve(hamiltonian, k).coefficients[:, :, : hamiltonian.n_occupied]
    M = bloch_sum(provider.integrals(crystal, wave=b), k + step)
    product = 1.0
    for s in range(n):
        product *= np.linalg.det(c[s].conj().T @ M[s] @ c[(s + 1) % n])
    return -np.angle(product)


def _wrapped(x):
    return np.angle(np.exp(1j * np.asarray(x)))


def test_strings_converge_to_those_with_exact_plane_waves():
    """The error falls like the square of the step, and the extrapolation removes that order."""
    provider = semiconductor()
    hamiltonian = provider.predict(DISTORTED)
    exact, errors, better = None, [], []
    for n in (48, 12, 24):
        phases = berry_phases(hamiltonian, (1, 1, 1), (n, n, n))
        if exact is None:
            brute = [
                _phases_with_exact_links(provider, DISTORTED, a, n, phases.start[a])
                for a in range(3)
            ]
            exact = phases.phase + _wrapped(phases.phase - phases.coarse_phase) / 3
            # Those with exact integrals have an error of second order, too.
            np.testing.assert_allclose(_wrapped(brute - exact), 0, atol=5e-3)
            continue
        rest = _wrapped(phases.phase - phases.coarse_phase) / 3
        errors.append(np.abs(_wrapped(phases.phase - exact)).max())
        better.append(np.abs(_wrapped(phases.phase + rest - exact)).max())
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert better[1] < 0.1 * errors[1]


def test_an_isolated_molecule_has_its_centre_where_its_electrons_are():
    provider = GaussianModel(
        {31: [("s", 0.6, -8.0), ("p", 0.5, -3.0)], 33: [("s", 0.7, -12.0), ("p", 0.6, -6.0)]},
        {31: 2, 33: 2},
        reach=4.0,
    )
    crystal = Crystal(
        lattice=[[9, 0, 0], [1, 8, 0], [0, 2, 10]],
        fractional=[[0.9, 0.3, 0.3], [1.05, 0.25, 0.42]],
        numbers=[31, 33],
    )
    hamiltonian = provider.predict(crystal)
    states = solve(hamiltonian, [[0, 0, 0]])
    c = states.coefficients[0, :, : hamiltonian.n_occupied]
    X = [bloch_sum(x, [[0, 0, 0]])[0] for x in hamiltonian.position]
    centre = np.array([np.trace(c.conj().T @ x @ c).real for x in X])
    expected = np.mod(centre @ np.linalg.inv(crystal.lattice), 1)
    found = wannier_centre_sum(berry_phases(hamiltonian, (2, 2, 2), (16, 16, 16)))
    np.testing.assert_allclose(_wrapped(2 * np.pi * (found - expected)), 0, atol=2e-3)


@pytest.mark.parametrize("with_position", [True, False])
def test_a_moved_crystal_takes_its_electrons_along(with_position):
    """Exact for any step of the strings: branches are followed across 2π."""
    provider = semiconductor(position=with_position)
    before = berry_phases(provider.predict(DISTORTED), MESH)
    for shift in ([0.05, -0.02, 0.11], [0.0, 0.25, 0.0]):
        moved = DISTORTED.displaced(np.tile(shift, (2, 1)))
        after = berry_phases(provider.predict(moved), MESH)
        change, _ = electronic_dipole_change(after, before, DISTORTED)
        np.testing.assert_allclose(change, -8 * np.array(shift), atol=1e-9)


@pytest.mark.parametrize("with_position", [True, False])
def test_the_slope_of_the_dipole_is_its_linear_response(with_position):
    """dp/dλ of H + λV from strings equals -2 g Re Σ r_vc V_cv / (ε_v - ε_c)."""
    hamiltonian = semiconductor(position=with_position).predict(DISTORTED)
    rng, H = np.random.default_rng(3), hamiltonian.hamiltonian
    # As short-ranged as the overlap, so that both sides converge on the same meshes.
    V = H.with_values(
        3.0 * rng.normal(size=len(H.values)) * hamiltonian.overlap.values
    ).hermitized()
    step, mesh, counts = 2e-3, (12, 12, 12), (24, 24, 24)
    phases = [
        berry_phases(
            replace(hamiltonian, hamiltonian=H.with_values(H.values + s * V.values)), mesh, counts
        )
        for s in (step, -step)
    ]
    change, error = electronic_dipole_change(*phases, DISTORTED)
    k = irreducible_mesh(mesh)
    states = solve(hamiltonian, k.points)
    lower, upper = slice(0, 4), slice(4, None)
    r = interband_position(hamiltonian, states, lower, upper, dipoles=bond_dipoles(hamiltonian))
    gauge = gauge_phases(DISTORTED, hamiltonian.basis.atom, k.points).conj()
    c = gauge[:, :, None] * states.coefficients
    W = bloch_sum(V, k.points, DISTORTED, gauge="atomic")
    W = c[:, :, upper].conj().swapaxes(1, 2) @ W @ c[:, :, lower]
    difference = states.energies[:, lower, None] - states.energies[:, None, upper]
    response = -4 * np.einsum("k,kavc,kcv,kvc->a", k.weights, r, W, 1 / difference).real
    assert np.abs(response).max() > 0.1
    np.testing.assert_allclose(
        change / (2 * step), response, rtol=0, atol=5e-3 * abs(response).max()
    )
    assert (error / (2 * step) < 0.2 * np.abs(response).max()).all()


def test_time_reversal_leaves_half_of_the_strings():
    hamiltonian = semiconductor().predict(DISTORTED)
    phases = berry_phases(hamiltonian, (1, 4, 1), (8, 8, 8))
    chosen = phases.axis == 0
    np.testing.assert_allclose(phases.weight[chosen], [0.5, 0.5])
    pair = [
        _phases_with_exact_links(semiconductor(), DISTORTED, 0, 8, [0, y, 1 / 2])
        for y in (1 / 8, 7 / 8)
    ]
    assert pair[0] == pytest.approx(pair[1], abs=1e-8)


def test_results_are_stored_and_restored():
    phases = berry_phases(semiconductor().predict(DISTORTED), (2, 2, 2))
    again = BerryPhases.from_dict(json.loads(json.dumps(phases.to_dict())))
    for name in ("axis", "start", "weight", "phase", "coarse_phase"):
        np.testing.assert_array_equal(getattr(again, name), getattr(phases, name))
    assert again.electrons_per_band == 2


def test_what_cannot_be_done_is_refused():
    hamiltonian = semiconductor().predict(DISTORTED)
    with pytest.raises(ConfigurationError, match="even numbers"):
        berry_phases(hamiltonian, (2, 2, 2), (5, 6, 6))
    with pytest.raises(PhysicsError, match="no gap"):
        berry_phases(replace(hamiltonian, n_electrons=6.0), (3, 3, 3))
    phases = berry_phases(hamiltonian, (2, 2, 2))
    jumped = replace(phases, phase=phases.phase + 3.0)
    with pytest.raises(PhysicsError, match=r"3\.00 rad"):
        electronic_dipole_change(jumped, phases, DISTORTED)
    with pytest.raises(ValueError, match="different strings"):
        electronic_dipole_change(phases, berry_phases(hamiltonian, (3, 3, 3)), DISTORTED)

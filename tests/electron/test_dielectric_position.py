"""Interband positions: origin, gauge, finite differences, and the point-charge fallback."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gaussian_model import GaussianModel, semiconductor, zincblende

from elphant.crystal import Crystal
from elphant.electron.dielectric.position import (
    bond_dipoles,
    interband_position,
    orthonormal_coefficients,
    position_flag,
)
from elphant.orbitals import solve
from elphant.orbitals.bloch import bloch_derivative, bloch_sum, gauge_phases

LOWER, UPPER = slice(0, 4), slice(4, None)
K = np.random.default_rng(5).random((3, 3))


@pytest.fixture(scope="module")
def model():
    crystal = zincblende()
    # A general position of the origin and a general distortion: no symmetry hides an error.
    crystal = crystal.displaced([[0.3, 0.1, -0.2], [0.5, 0.0, 0.1]])
    return semiconductor().predict(crystal)


def test_the_position_obeys_the_relation_to_the_overlap(model):
    """Check i(A† - A) = ∂S, with X = A† the Bloch sum of <i0|r|jR>."""
    derivative = bloch_derivative(model.overlap, K, model.crystal, order=1)
    for axis in range(3):
        X = bloch_sum(model.position[axis], K)
        A = X.conj().swapaxes(1, 2)
        np.testing.assert_allclose(1j * (X - A), derivative[:, axis], atol=1e-9)


def test_bond_dipoles_do_not_depend_on_the_origin(model):
    moved = semiconductor().predict(model.crystal.displaced(np.tile([1.7, -2.3, 0.4], (2, 1))))
    for a, b in zip(bond_dipoles(model), bond_dipoles(moved), strict=True):
        assert a.hermitian_residual() < 1e-14
        np.testing.assert_allclose(a.values, b.values, atol=1e-12)


def test_blocks_missing_from_the_overlap_are_zero(model):
    overlap = model.overlap
    kept = overlap.selected(
        (overlap.pairs[:, 0] == overlap.pairs[:, 1]) | (overlap.cells == 0).all(1)
    )
    assert kept.n_blocks < overlap.n_blocks
    D = bond_dipoles(replace(model, overlap=kept))
    assert D[0].n_blocks == overlap.n_blocks


@pytest.mark.parametrize("kind", ["position matrix", "point charges", "orthonormal"])
def test_positions_are_the_slope_of_overlaps_between_neighbouring_points(model, kind):
    """|<u_mk|u_nk+b>| = b |r_mn| for bands without degeneracy."""
    step = 1e-4
    if kind == "position matrix":
        hamiltonian, dipoles = model, bond_dipoles(model)
    else:
        hamiltonian, dipoles = replace(model, position=None), None
    if kind == "orthonormal":
        hamiltonian = replace(hamiltonian, overlap=None)
    states = solve(hamiltonian, K)
    r = interband_position(hamiltonian, states, LOWER, UPPER, dipoles=dipoles)
    inverse = model.crystal.lattice.T / (2 * np.pi)
    for axis in range(3):
        b = step * np.eye(3)[axis]
        shift = inverse.T @ b
        first, last = K - shift / 2, K + shift / 2
        ends = [solve(hamiltonian, k).coefficients for k in (first, last)]
        if kind == "position matrix":
            # <u_k|u_k+b> = sum_R e^{i(k+b)R} <i0|e^{-ibr}|jR> in the lattice gauge, exact.
            wave = bloch_sum(semiconductor().integrals(model.crystal, wave=b), last)
            ends[1] = wave @ ends[1]
        else:
            for index, k in enumerate((first, last)):
                phases = gauge_phases(model.crystal, model.basis.atom, k).conj()
                c = phases[:, :, None] * ends[index]
                ends[index] = orthonormal_coefficients(hamiltonian.at(k, gauge="atomic")[1], c)
        overlaps = np.abs(ends[0].conj().swapaxes(1, 2) @ ends[1]) / step
        # The two orders of the bands have opposite errors of first order.
        slopes = 0.5 * (overlaps[:, LOWER, UPPER] + overlaps[:, UPPER, LOWER].swapaxes(1, 2))
        np.testing.assert_allclose(slopes, np.abs(r[:, axis]), atol=1e-5, rtol=1e-5)


def test_products_do_not_depend_on_phases_and_mixing(model):
    rng = np.random.default_rng(0)
    states = solve(model, K)
    dipoles = bond_dipoles(model)
    r = interband_position(model, states, LOWER, UPPER, dipoles=dipoles)
    phases = np.exp(2j * np.pi * rng.random((len(K), 1, model.n_orbitals)))
    other = replace(states, coefficients=states.coefficients * phases)
    s = interband_position(model, other, LOWER, UPPER, dipoles=dipoles)
    products = [np.einsum("kavc,kbvc->kabvc", x, x.conj()) for x in (r, s)]
    np.testing.assert_allclose(products[0], products[1], atol=1e-12)
    # A degenerate set: Γ of the undistorted crystal, bands 1-3 mixed by a unitary matrix.
    cubic = semiconductor().predict(zincblende())
    states = solve(cubic, [[0, 0, 0]])
    q = np.linalg.qr(rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3)))[0]
    mixed = states.coefficients.copy()
    mixed[:, :, 1:4] = mixed[:, :, 1:4] @ q
    sums = []
    for each in (states, replace(states, coefficients=mixed)):
        x = interband_position(cubic, each, LOWER, UPPER, dipoles=bond_dipoles(cubic))
        sums.append(np.einsum("kavc,kbvc->kabc", x, x.conj()))
    np.testing.assert_allclose(sums[0], sums[1], atol=1e-10)


def test_positions_are_hermitian(model):
    states, dipoles = solve(model, K), bond_dipoles(model)
    r = interband_position(model, states, LOWER, UPPER, dipoles=dipoles)
    s = interband_position(model, states, UPPER, LOWER, dipoles=dipoles)
    np.testing.assert_allclose(s, r.conj().swapaxes(-1, -2), atol=1e-12)


def test_missing_dipoles_are_flagged(model):
    assert position_flag(model).severity == "info"
    assert position_flag(replace(model, position=None)).severity == "warning"


def test_orbitals_that_do_not_overlap_need_no_overlap_blocks():
    """Wannier functions away from their atoms: the dipole about the atom is what remains."""
    crystal = Crystal(lattice=8 * np.eye(3), fractional=[[0.1, 0.2, 0.3]], numbers=[14])
    single = GaussianModel({14: [("s", 0.5, -5.0), ("p", 0.5, 1.0)]}, {14: 2}, reach=1.0)
    hamiltonian = replace(single.predict(crystal), overlap=None)
    for axis, dipole in enumerate(bond_dipoles(hamiltonian)):
        cells, values = dipole.to_cells()
        home = values[np.flatnonzero((cells == 0).all(axis=1))[0]]
        assert abs(home[0, 0]) < 1e-12
        assert np.abs(home[0, 1:]).max() == pytest.approx(1 / np.sqrt(4 * 0.5), rel=1e-9), axis

"""Bloch sums: phases, gauges and derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from orbital_toys import random_hermitian, triclinic

from elphant.orbitals import bloch_derivative, bloch_sum
from elphant.orbitals.bloch import SECOND, gauge_phases

K = np.random.default_rng(11).normal(size=(4, 3))
GAUGES = ("lattice", "atomic")


@pytest.mark.parametrize("is_complex", [False, True])
def test_definition_and_hermiticity(is_complex: bool) -> None:
    crystal, basis = triclinic()
    matrix = random_hermitian(basis.sizes, 1, is_complex=is_complex)
    cells, full = matrix.to_cells()
    expected = np.einsum("kc,cij->kij", np.exp(2j * np.pi * K @ cells.T), full)
    found = bloch_sum(matrix, K)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    for gauge in GAUGES:
        O = bloch_sum(matrix, K, crystal, gauge=gauge)  # noqa: E741
        np.testing.assert_allclose(O, O.conj().transpose(0, 2, 1), atol=1e-12)
    # Time reversal: a real matrix has O(-k) = O(k)*.
    if not is_complex:
        np.testing.assert_allclose(bloch_sum(matrix, -K), found.conj(), atol=1e-12)


def test_lattice_gauge_is_periodic_and_atomic_gauge_is_not() -> None:
    crystal, basis = triclinic()
    matrix = random_hermitian(basis.sizes, 1)
    shift = [1, -2, 3]
    np.testing.assert_allclose(bloch_sum(matrix, K + shift), bloch_sum(matrix, K), atol=1e-11)
    atomic = [bloch_sum(matrix, k, crystal, gauge="atomic") for k in (K, K + shift)]
    assert np.abs(atomic[0] - atomic[1]).max() > 0.1


def test_gauges_differ_by_the_phases_of_the_atoms() -> None:
    crystal, basis = triclinic()
    matrix = random_hermitian(basis.sizes, 1)
    phase = gauge_phases(crystal, basis.atom, K)
    lattice, atomic = (bloch_sum(matrix, K, crystal, gauge=gauge) for gauge in GAUGES)
    np.testing.assert_allclose(
        atomic, phase.conj()[:, :, None] * lattice * phase[:, None, :], atol=1e-12
    )


@pytest.mark.parametrize("gauge", GAUGES)
def test_derivatives_against_finite_differences(gauge) -> None:
    crystal, basis = triclinic()
    matrix = random_hermitian(basis.sizes, 1, is_complex=True)
    h = 1e-4

    def at(k_points: np.ndarray, order: int) -> np.ndarray:
        return bloch_derivative(matrix, k_points, crystal, order=order, gauge=gauge)

    first, second = at(K, 1), at(K, 2)
    assert first.shape == (4, 3, 13, 13)
    assert second.shape == (4, 6, 13, 13)
    for axis, step in enumerate(h * np.eye(3)):
        # A Cartesian step q (rad/Å) is q·a/2π in reciprocal-lattice units.
        dk = crystal.lattice @ step / (2 * np.pi)
        change = (at(K + dk, 0) - at(K - dk, 0))[:, 0] / (2 * h)
        np.testing.assert_allclose(first[:, axis], change, atol=1e-5)
        change = (at(K + dk, 1) - at(K - dk, 1)) / (2 * h)
        for component, pair in enumerate(SECOND):
            if axis in pair:
                other = pair[0] if pair[1] == axis else pair[1]
                np.testing.assert_allclose(second[:, component], change[:, other], atol=1e-4)
    for D in (first, second):
        np.testing.assert_allclose(D, D.conj().swapaxes(-1, -2), atol=1e-11)


def test_crystal_is_needed() -> None:
    _, basis = triclinic()
    matrix = random_hermitian(basis.sizes, 1)
    with pytest.raises(ValueError, match="need the crystal"):
        bloch_sum(matrix, K, gauge="atomic")
    with pytest.raises(ValueError, match="need the crystal"):
        bloch_derivative(matrix, K, None, order=1)

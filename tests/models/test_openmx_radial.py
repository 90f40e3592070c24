"""Interpolation and transforms of radial functions, and the Hartree potential of an atom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.special import erf, spherical_jn
from test_openmx_database import CHARGES, VALENCE, write_tables

from elphant.models.hamiltonians.openmx.neutral_atom import hartree_potential
from elphant.models.hamiltonians.openmx.radial import (
    K_SPAN,
    N_UNIFORM,
    GridFunctions,
    gauss,
    tabulated_transform,
    transform,
    trapezoid,
)
from elphant.models.hamiltonians.openmx.tables import read_pao

NODES = np.array([0.1, 0.25, 0.5, 0.7, 1.2, 1.5])


def test_parabolas_come_back() -> None:
    """Up to both ends of the grid; outside it they are cut."""
    values = np.array([2.0 - NODES + 3.0 * NODES**2, 0.5 * NODES**2])
    function = GridFunctions(NODES, values)
    r = np.linspace(NODES[0], NODES[-1], 41)
    expected = [2.0 - r + 3.0 * r**2, 0.5 * r**2]
    np.testing.assert_allclose(function(r), expected, atol=1e-12)
    outside = np.array([0.0, 0.05, 1.6])
    np.testing.assert_array_equal(function(outside)[:, 2], 0.0)
    np.testing.assert_array_equal(function(outside)[:, :2], np.repeat(values[:, :1], 2, axis=1))
    np.testing.assert_array_equal(GridFunctions(NODES, values, 1)(outside), 0.0)


def test_the_first_interval_continues_the_second() -> None:
    function = GridFunctions(NODES, np.sin(4.0 * NODES)[None])
    second, first = np.linspace(NODES[1], NODES[2], 4), np.linspace(NODES[0], NODES[1], 7)
    cubic = np.polynomial.Polynomial.fit(second, function(second)[0], 3)
    np.testing.assert_allclose(function(first)[0], cubic(first), atol=1e-12)
    # The value that the table has at the first node is no more than nearly met.
    assert 1e-3 < abs(function(NODES[:1])[0, 0] - np.sin(4.0 * NODES[0])) < 0.2


def test_tables_of_transforms() -> None:
    """A shell of charge: exact but for the interpolation, and cut at the end of the table."""
    shell, weight = np.array([0.3]), np.array([1.0])
    k, _ = trapezoid(*K_SPAN)
    for ell in (0, 1, 2):
        found = tabulated_transform(np.ones((1, 1)), ell, shell, weight)(k)[0]
        exact = 0.09 * spherical_jn(ell, 0.3 * k)
        np.testing.assert_allclose(found[1:-2], exact[1:-2], atol=1e-9)
        np.testing.assert_array_equal(found[-2:], 0.0)
        assert np.abs(exact[-2:]).min() > 1e-4
    between = gauss(*K_SPAN)[0]
    inside = between < K_SPAN[1] * (1.0 - 1.0 / N_UNIFORM)
    found = tabulated_transform(np.ones((1, 1)), 0, shell, weight)(between)
    exact = transform(np.ones((1, 1)), 0, shell, weight, between)
    np.testing.assert_allclose(found[:, inside], exact[:, inside], atol=1e-6)
    assert np.abs(found - exact)[:, inside].max() > 1e-9


def test_hartree_potential_of_a_gaussian(tmp_path: Path) -> None:
    write_tables(tmp_path, "Si")
    pao = read_pao(tmp_path / "PAO" / "Si5.0.pao")
    r = np.array([1e-3, 0.2, 1.0, 3.0, 5.5, 20.0])
    expected = CHARGES["Si"] * erf(np.sqrt(VALENCE) * r) / r
    np.testing.assert_allclose(4.0 * np.pi * hartree_potential(pao, r), expected, rtol=2e-7)

"""Basins of analytic fields: integrals, equivalence, invariance, merging."""

from __future__ import annotations

import numpy as np
import pytest

from elphant.electron.density import find_basins
from elphant.electron.density.basins import merge, refined_maximum
from elphant.electron.density.watershed import ascent, voronoi_facets

SHEARED = np.array([[5.0, 0.0, 0.0], [1.5, 4.5, 0.0], [-0.8, 1.0, 6.0]])


def gaussians(lattice, shape, centres, widths, amplitudes):
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1)
    total = np.zeros(shape)
    for centre, width, amplitude in zip(centres, widths, amplitudes, strict=True):
        for cell in np.ndindex(3, 3, 3):
            apart = (points - centre - np.array(cell) + 1.0) @ lattice
            total += amplitude * np.exp(-(apart**2).sum(axis=-1) / width**2)
    return total


def test_facets_of_known_lattices():
    steps, facets = voronoi_facets(np.eye(3) * 0.2)
    assert len(steps) == 6
    np.testing.assert_allclose(facets, 0.2)
    steps, facets = voronoi_facets(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 0.1)
    assert len(steps) == 12
    np.testing.assert_allclose(facets, facets[0])
    # Σ a d / 2 · 1/3 is the volume of the cell.
    steps, facets = voronoi_facets(SHEARED)
    lengths = np.linalg.norm(steps @ SHEARED, axis=1)
    assert (facets * lengths**2).sum() / 6.0 == pytest.approx(np.linalg.det(SHEARED), rel=1e-9)


def test_separate_gaussians_hold_their_integrals():
    centres = [[0.21, 0.3, 0.26], [0.7, 0.75, 0.72]]
    f = gaussians(SHEARED, (40, 40, 48), centres, [0.7, 0.8], [1.0, 0.6])
    found = find_basins(f, SHEARED, f)
    assert found.n_basins == 2
    exact = np.pi**1.5 * np.array([0.7**3, 0.6 * 0.8**3])
    np.testing.assert_allclose(found.populations, exact, rtol=2e-3)
    assert found.populations.sum() == pytest.approx(f.mean() * np.linalg.det(SHEARED), rel=1e-12)
    assert found.volumes.sum() == pytest.approx(np.linalg.det(SHEARED), rel=1e-12)
    np.testing.assert_allclose(found.positions @ SHEARED, centres @ SHEARED, atol=5e-3)
    np.testing.assert_allclose(found.maxima, [1.0, 0.6], atol=5e-3)
    # ELF-like surfaces: the volume above f = ½ of a Gaussian of height 1.
    radius = 0.7 * np.sqrt(np.log(2.0))
    assert found.level_volumes[0, 0] == pytest.approx(4.19 * radius**3, rel=0.05)


def test_equivalent_maxima_get_equal_shares():
    centres = [[0.25, 0.0, 0.0], [0.75, 0.0, 0.0], [0.0, 0.25, 0.0], [0.0, 0.75, 0.0]]
    lattice = np.diag([4.0, 4.0, 5.0])
    for n in (22, 24, 27):  # the boundaries fall on grid points, or between them
        f = gaussians(lattice, (n, n, 20), centres, [0.8] * 4, [1.0] * 4)
        found = find_basins(f, lattice, f)
        assert found.n_basins == 4
        np.testing.assert_allclose(found.populations, f.mean() * 80.0 / 4.0, rtol=1e-6)


def test_shift_and_permutation_of_axes():
    rng = np.random.default_rng(3)
    lattice = np.diag([4.0, 5.0, 6.0])
    f = gaussians(lattice, (30, 36, 44), rng.random((5, 3)), [0.7] * 5, rng.uniform(0.6, 1.0, 5))
    start = find_basins(f, lattice, f)
    shifted = find_basins(
        np.roll(f, (7, 11, 5), axis=(0, 1, 2)), lattice, np.roll(f, (7, 11, 5), axis=(0, 1, 2))
    )
    np.testing.assert_allclose(shifted.populations, start.populations, rtol=1e-10)
    moved = shifted.positions - start.positions - np.array([7 / 30, 11 / 36, 5 / 44])
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-9)
    turned = find_basins(f.transpose(2, 0, 1), np.diag([6.0, 4.0, 5.0]), f.transpose(2, 0, 1))
    np.testing.assert_allclose(turned.populations, start.populations, rtol=1e-10)
    np.testing.assert_allclose(turned.positions, start.positions[:, [2, 0, 1]], atol=1e-9)


def test_rotated_lattice():
    rng = np.random.default_rng(4)
    q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    f = gaussians(SHEARED, (24, 24, 28), rng.random((3, 3)), [0.8] * 3, [1.0, 0.9, 0.8])
    one, other = find_basins(f, SHEARED, f), find_basins(f, SHEARED @ q.T, f)
    np.testing.assert_allclose(one.populations, other.populations, rtol=1e-9)
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-9)


def test_populations_converge_with_the_grid():
    centres, widths, amplitudes = [[0.3, 0.4, 0.5], [0.62, 0.45, 0.55]], [0.9, 0.7], [1.0, 1.1]
    values = []
    for n in (16, 24, 48):
        f = gaussians(SHEARED, (n, n, n), centres, widths, amplitudes)
        values.append(np.sort(find_basins(f, SHEARED, f).populations))
    assert np.abs(values[0] - values[2]).max() < 0.02 * values[2].sum()
    assert np.abs(values[1] - values[2]).max() < 0.01 * values[2].sum()


def test_ring_becomes_one_attractor():
    lattice = np.diag([5.0, 5.0, 5.0])
    points = np.stack(np.meshgrid(*[np.arange(40) / 40 - 0.5] * 3, indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(points @ lattice, -1, 0)
    ring = np.exp(-((np.hypot(x, y) - 1.0) ** 2 + z**2) / 0.5**2)
    found = find_basins(ring, lattice, ring, persistence=0.02)
    assert found.n_basins == 1
    assert found.persistence[0] == np.inf
    np.testing.assert_allclose(found.positions[0], 0.5, atol=0.01)
    assert found.spreads[0] == pytest.approx(1.0, abs=0.05)


def test_constant_field_is_one_basin():
    found = find_basins(np.ones((6, 5, 4)), np.eye(3), np.ones((6, 5, 4)))
    assert found.n_basins == 1
    assert found.populations[0] == pytest.approx(1.0)


def test_merging_order_and_division():
    # 2 rises least above its pass; its two equal passes divide it.
    shares, lasting = merge([1.0, 1.0, 0.7], {(0, 1): 0.2, (0, 2): 0.695, (1, 2): 0.695}, 0.01)
    np.testing.assert_allclose(shares, [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    np.testing.assert_allclose(lasting, [0.305, 0.305])
    shares, lasting = merge([1.0, 0.9], {(0, 1): 0.5}, 0.01)
    np.testing.assert_allclose(shares, np.eye(2))
    np.testing.assert_allclose(lasting, [0.5, 0.4])


def test_everything_arrives():
    rng = np.random.default_rng(5)
    f = rng.random((9, 8, 10))  # as rough as can be
    climb = ascent(f, SHEARED)
    np.testing.assert_allclose(climb.collect([f])[0].sum(), f.sum(), rtol=1e-12)
    assert (np.unique(climb.labels) == np.arange(len(climb.maxima))).all()


def test_refinement_is_exact_for_a_quadratic_form():
    n = 20
    x, y, z = np.meshgrid(*[np.arange(n)] * 3, indexing="ij")
    dx, dy, dz = x - 10.3, y - 9.8, z - 10.45
    f = 5.0 - dx**2 - 2 * dy**2 - 1.5 * dz**2 + 0.6 * dx * dy - 0.3 * dy * dz
    position, value = refined_maximum(f, int(np.ravel_multi_index((10, 10, 10), f.shape)))
    np.testing.assert_allclose(position * n, [10.3, 9.8, 10.45], atol=1e-9)
    assert value == pytest.approx(5.0, abs=1e-9)

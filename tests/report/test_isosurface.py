"""Isosurfaces: area and volume of a sphere, closed across the faces of the cell."""

from __future__ import annotations

import numpy as np
import pytest

from elphant.report.isosurface import isosurface
from elphant.report.periodic_grid import gradient, resampled, sampled
from elphant.report.surface_mesh import pieces

RADIUS = 1.6
OBLIQUE = np.array([[6.0, 0.0, 0.0], [1.1, 5.7, 0.0], [-0.8, 0.9, 6.3]])


def ball(lattice, shape, centre):
    """Minus the distance to the nearest image of a point."""
    axes = [np.arange(n) / n for n in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - centre
    points -= np.round(points)
    images = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return -np.linalg.norm((points[..., None, :] + images) @ lattice, axis=-1).min(axis=-1)


@pytest.mark.parametrize("centre", [(0.5, 0.5, 0.5), (0.0, 0.0, 0.0), (0.97, 0.31, 0.02)])
@pytest.mark.parametrize("lattice", [OBLIQUE, OBLIQUE[[1, 0, 2]]], ids=["right", "left"])
def test_sphere_wherever_it_lies(centre, lattice):
    values = ball(lattice, (40, 42, 44), np.array(centre))
    surface = isosurface(values, -RADIUS)
    assert surface.area(lattice) == pytest.approx(4 * np.pi * RADIUS**2, rel=4e-3)
    (piece,) = pieces(surface)
    assert piece.is_closed
    sign = np.sign(np.linalg.det(lattice))
    assert sign * piece.volume(lattice) * sign == pytest.approx(4.18879 * RADIUS**3, rel=6e-3)
    distance = np.linalg.norm((piece.vertices - piece.vertices.mean(axis=0)) @ lattice, axis=1)
    assert np.allclose(distance, RADIUS, atol=0.02), "the piece is torn"
    assert len(piece.vertices) - len(piece.triangles) // 2 == 2, "Euler's number of a sphere"


def edge_counts(surface):
    """How often every edge of the torus is used in each direction."""
    ends = [surface.triangles[:, list(pair)] for pair in ((0, 1), (1, 2), (2, 0))]
    steps = [surface.shifts[:, j] - surface.shifts[:, i] for i, j in ((0, 1), (1, 2), (2, 0))]
    edges = np.concatenate([np.hstack(item) for item in zip(ends, steps, strict=True)])
    flipped = np.hstack([edges[:, [1, 0]], -edges[:, 2:]])
    forward, backward = (
        {tuple(row): n for row, n in zip(*np.unique(x, axis=0, return_counts=True), strict=True)}
        for x in (edges, flipped)
    )
    return forward, backward


def test_closed_on_the_torus():
    rng = np.random.default_rng(4)
    coarse = rng.standard_normal((5, 6, 4))
    surface = isosurface(resampled(coarse, (15, 13, 14)), 0.2)
    forward, backward = edge_counts(surface)
    assert forward == backward
    assert set(forward.values()) == {1}


def test_slab_goes_through_the_crystal():
    z = np.arange(30) / 30
    values = np.broadcast_to(np.cos(2 * np.pi * z), (8, 9, 30))
    surface = isosurface(values, 0.1)
    assert surface.area(OBLIQUE) == pytest.approx(
        2 * np.linalg.norm(np.cross(OBLIQUE[0], OBLIQUE[1]))
    )
    found = pieces(surface)
    assert len(found) == 2
    assert not any(piece.is_closed for piece in found)
    for piece in found:
        assert piece.vertices.min() > -1e-9
        assert piece.vertices.max() < 1 + 1 / 8


def test_level_that_is_not_reached_gives_nothing():
    surface = isosurface(np.zeros((4, 4, 4)), 0.5)
    assert len(surface.triangles) == 0
    assert pieces(surface) == ()
    with pytest.raises(ValueError, match="three points"):
        isosurface(np.zeros((2, 4, 4)), 0.5)


def test_spline_is_exact_at_grid_points_and_periodic():
    rng = np.random.default_rng(1)
    values = rng.random((6, 7, 5))
    grid = np.stack(np.meshgrid(*[np.arange(n) / n for n in values.shape], indexing="ij"), axis=-1)
    assert np.allclose(sampled(values, grid + np.array([1, -2, 3])), values, atol=1e-12)
    assert np.allclose(resampled(resampled(values, (12, 14, 10)), values.shape), values)


def test_gradient_of_a_plane_wave():
    n = 64
    axes = [np.arange(n) / n for n in (n, n, n)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    wave = 2 * np.pi * np.linalg.inv(OBLIQUE).T[1]
    phase = points @ OBLIQUE @ wave
    expected = np.cos(phase)[..., None] * wave
    assert np.allclose(gradient(np.sin(phase), OBLIQUE), expected, atol=3e-3)

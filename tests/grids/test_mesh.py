"""Meshes of equal density along every axis."""

from __future__ import annotations

import numpy as np
import pytest

from elphant.errors import ConfigurationError
from elphant.grids import mesh_from_spacing


def test_short_axes_get_more_points():
    mesh = mesh_from_spacing(np.diag([11.795, 3.981, 11.274]), 0.12)
    assert mesh == (5, 14, 5)


def test_spacing_is_an_upper_bound_and_includes_two_pi():
    lattice = np.array([[4.0, 0.3, 0.0], [0.5, 7.0, 1.0], [0.0, 0.2, 13.0]])
    lengths = np.linalg.norm(2 * np.pi * np.linalg.inv(lattice).T, axis=1)
    for spacing in (0.05, 0.2, 3.0):
        mesh = np.array(mesh_from_spacing(lattice, spacing))
        assert (lengths / mesh <= spacing * (1 + 1e-6)).all()
        coarser = mesh > 1
        assert (lengths[coarser] / (mesh[coarser] - 1) > spacing).all()


def test_an_exact_division_is_not_rounded_up():
    assert mesh_from_spacing(np.eye(3) * 5.0, 2 * np.pi / 5.0 / 4) == (4, 4, 4)


def test_the_mesh_does_not_depend_on_the_orientation():
    lattice = np.diag([3.0, 5.0, 8.0])
    c, s = np.cos(0.7), np.sin(0.7)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    assert mesh_from_spacing(lattice @ rotation.T, 0.3) == mesh_from_spacing(lattice, 0.3)


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan")])
def test_a_spacing_that_is_not_positive_is_refused(spacing):
    with pytest.raises(ConfigurationError, match="spacing"):
        mesh_from_spacing(np.eye(3), spacing)

"""Linear tetrahedra: densities and numbers of states."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from elphant.grids.irreducible import irreducible_mesh
from elphant.grids.tetrahedron import corner_weights, mesh_tetrahedra, tetrahedron_sums

CORNERS = np.array([0.1, 0.4, 1.1, 1.9])


def weights_at(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return corner_weights(np.tile(CORNERS[:, None], len(targets)), targets)


def test_step_weights_are_integrals_of_delta_weights():
    targets = np.linspace(0.1, 1.9, 20_001)[1:-1]
    delta, step = weights_at(targets)
    slope = (step[:, 2:] - step[:, :-2]) / (targets[2:] - targets[:-2])
    away = np.abs(targets[1:-1, None] - CORNERS).min(axis=1) > 2e-4
    assert np.abs(slope - delta[:, 1:-1])[:, away].max() < 1e-6
    assert step[:, 0] == pytest.approx(np.zeros(4), abs=1e-10)
    assert step[:, -1] == pytest.approx(np.full(4, 0.25), abs=1e-10)
    # No jumps where the formula changes.
    assert np.abs(np.diff(step, axis=1)).max() < 2e-4


def test_step_weights_are_moments_of_the_volume_below():
    generator = np.random.default_rng(1)
    x = np.sort(generator.random((400_000, 3)), axis=1)
    ends = [np.zeros((len(x), 1)), x, np.ones((len(x), 1))]
    barycentric = np.diff(np.concatenate(ends, axis=1), axis=1)
    energy = barycentric @ CORNERS
    for target in (0.3, 0.8, 1.4):
        sampled = (barycentric * (energy < target)[:, None]).mean(axis=0)
        assert weights_at(np.array([target]))[1][:, 0] == pytest.approx(sampled, abs=1e-3)


@pytest.mark.parametrize("energies", [[0.0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 1, 1], [0, 0.5, 0.5, 1]])
def test_degenerate_corners(energies):
    e = np.tile(np.array(energies, float)[:, None], 3)
    delta, step = corner_weights(e, np.array([0.2, 0.5, 0.7]))
    assert np.isfinite(delta).all()
    moved = corner_weights(e + 1e-9 * np.arange(4)[:, None], np.array([0.2, 0.5, 0.7]))
    assert step == pytest.approx(moved[1], abs=1e-6)


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 0, 1)])
def test_a_free_band_and_its_moments(shift):
    """One cosine band per axis: counts, first moment and symmetry of the density."""
    lattice = np.array([[2.0, 0.0, 0.0], [0.5, 3.0, 0.0], [0.0, 0.3, 2.5]])
    mesh = irreducible_mesh((10, 8, 9), shift=shift)
    assert mesh.n_points < mesh.n_full
    k = 2 * np.pi * mesh.points
    energies = np.stack([np.cos(k).sum(axis=1), 5.0 + np.cos(k) @ [0.5, 0.4, 0.3]], axis=1)
    tetrahedra = mesh_tetrahedra(mesh, lattice)
    assert np.bincount(tetrahedra.ravel()) == pytest.approx(24 * mesh.weights * mesh.n_full)
    targets = np.linspace(-4.0, 6.5, 8001)
    ones = np.ones((*energies.shape, 1))
    density, number = tetrahedron_sums(energies, tetrahedra, targets, ones)
    assert number[0] == 0
    assert number[-1] == pytest.approx(2.0, abs=1e-12)
    assert number[np.searchsorted(targets, 3.5)] == pytest.approx(1.0, abs=1e-12)
    step = targets[1] - targets[0]
    assert density.sum() * step == pytest.approx(2.0, abs=2e-3)
    assert np.abs(np.gradient(number[:, 0], step) - density[:, 0])[5:-5].mean() < 5e-3
    # The mean of a linear function over its tetrahedra is the mean over the points.
    one = tetrahedron_sums(energies, tetrahedra, targets, energies[:, :, None])[1]
    assert one[-1, 0] == pytest.approx((energies.T @ mesh.weights).sum(), abs=1e-12)


def test_free_electrons():
    """The number of states of a parabola, to the accuracy of linear interpolation."""
    mesh = irreducible_mesh((40, 40, 40), shift=(1, 1, 1))
    k = mesh.points - np.rint(mesh.points)
    energies = (k**2).sum(axis=1)[:, None]
    number = tetrahedron_sums(
        energies, mesh_tetrahedra(mesh, np.eye(3)), [0.04, 0.16], np.ones((*energies.shape, 1))
    )[1][:, 0]
    assert number == pytest.approx(4 / 3 * np.pi * np.array([0.2, 0.4]) ** 3, rel=0.02)


def test_the_result_does_not_depend_on_the_irreducible_wedge():
    signs = product((1, -1), repeat=3)
    rotations = np.array([np.diag(sign) for sign in signs])
    reduced, full = irreducible_mesh((6, 5, 4), rotations), irreducible_mesh((6, 5, 4))

    def sums(mesh):
        k = 2 * np.pi * mesh.points
        energies = (np.cos(k) * [1.0, 0.7, 0.4]).sum(axis=1)[:, None]
        values = np.cos(k[:, :1])[:, :, None] ** 2
        return tetrahedron_sums(
            energies,
            mesh_tetrahedra(mesh, np.diag([2.0, 3.0, 4.0])),
            np.linspace(-2, 2, 50),
            values,
        )

    for a, b in zip(sums(reduced), sums(full), strict=True):
        assert a == pytest.approx(b, abs=1e-12)

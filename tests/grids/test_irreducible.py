"""Irreducible k meshes."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from elphant.errors import ConfigurationError
from elphant.grids.irreducible import irreducible_mesh


def cubic_group() -> np.ndarray:
    """All 48 signed permutations."""
    result = []
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            result.append(np.eye(3, dtype=int)[list(order)] * np.array(signs)[:, None])
    return np.array(result)


def fcc_group() -> np.ndarray:
    """The cubic group on fractional coordinates of the primitive fcc cell."""
    lattice = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2.0
    columns = lattice.T
    return np.rint(np.linalg.inv(columns) @ cubic_group() @ columns).astype(int)


#: Three-fold axis of a hexagonal cell; the inverse transpose differs from the rotation itself.
THREE_FOLD = np.array([[0, -1, 0], [1, -1, 0], [0, 0, 1]])
C3 = np.array([np.eye(3, dtype=int), THREE_FOLD, THREE_FOLD @ THREE_FOLD])


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 0, 1)])
@pytest.mark.parametrize("mesh", [(4, 4, 4), (3, 3, 3), (4, 6, 2), (1, 5, 3)])
@pytest.mark.parametrize("group", ["one", "cubic", "fcc", "C3"])
def test_orbits_weights_and_operations(group, mesh, shift):
    rotations = {"one": None, "cubic": cubic_group(), "fcc": fcc_group(), "C3": C3}[group]
    k = irreducible_mesh(mesh, rotations, shift=shift)
    assert k.weights.sum() == pytest.approx(1.0, abs=1e-14)
    assert np.array_equal(np.bincount(k.representative) / k.n_full, k.weights)
    moved = np.einsum("kij,kj->ki", k.rotations[k.operation], k.points[k.representative])
    difference = moved - k.full_points
    assert np.abs(difference - np.rint(difference)).max() < 1e-12
    assert len({tuple(p) for p in np.round(k.full_points * 24 * 5).astype(int)}) == k.n_full
    address = k.full_points * mesh - np.array(shift) / 2
    assert np.abs(address - np.rint(address)).max() < 1e-12


def test_known_counts():
    assert irreducible_mesh((4, 4, 4), cubic_group()).n_points == 10
    # Monkhorst-Pack: 4 x 4 x 4 of the fcc cell has 8 special points, and 10 with the shift off.
    assert irreducible_mesh((4, 4, 4), fcc_group()).n_points == 8
    assert irreducible_mesh((4, 4, 4), fcc_group(), shift=(1, 1, 1)).n_points == 10
    assert irreducible_mesh((3, 4, 5)).n_points == 30 + 1
    assert irreducible_mesh((3, 4, 5), time_reversal=False).n_points == 60


@pytest.mark.parametrize("shift", [(0, 0, 0), (0, 0, 1)])
def test_a_symmetric_function_is_summed_exactly_in_a_skew_cell(shift):
    """The energy of a nearest-neighbour band in a hexagonal cell without inversion."""
    neighbours = np.array([[1, 0, 0], [0, 1, 0], [-1, -1, 0]])
    assert {tuple(r) for r in (neighbours @ THREE_FOLD.T).tolist()} == {
        tuple(r) for r in neighbours.tolist()
    }

    def band(k):
        return np.exp(np.sin(2 * np.pi * (k @ neighbours.T) + 0.3).sum(axis=-1))

    k = irreducible_mesh((6, 6, 2), C3, shift=shift, time_reversal=False)
    assert k.n_points < k.n_full
    assert band(k.points) @ k.weights == pytest.approx(band(k.full_points).mean(), rel=1e-14)
    assert np.abs(band(k.points)[k.representative] - band(k.full_points)).max() < 1e-12


def test_a_mesh_of_lower_symmetry_uses_only_the_operations_that_keep_it():
    full = irreducible_mesh((4, 4, 4), cubic_group())
    assert len(full.rotations) == 48
    assert len(irreducible_mesh((4, 4, 2), cubic_group()).rotations) == 16
    assert len(irreducible_mesh((4, 4, 4), cubic_group(), shift=(0, 0, 1)).rotations) == 16
    # An unshifted hexagonal mesh keeps the axis; one shifted in the plane does not.
    assert len(irreducible_mesh((4, 4, 4), C3).rotations) == 6
    assert len(irreducible_mesh((4, 4, 4), C3, shift=(1, 1, 0)).rotations) == 2


def test_wrong_input_is_refused():
    with pytest.raises(ConfigurationError, match="positive"):
        irreducible_mesh((4, 0, 4))
    with pytest.raises(ConfigurationError, match="shift"):
        irreducible_mesh((4, 4, 4), shift=(2, 0, 0))
    with pytest.raises(ValueError, match="group"):
        irreducible_mesh((5, 5, 5), C3[:2], time_reversal=False)

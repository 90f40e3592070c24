"""Band paths in the user's own cell."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from elphant.crystal import Crystal
from elphant.crystal.io import from_ase
from elphant.grids import high_symmetry_path, sample_path

# A Pnma crystal of two species with a, b, c as in antimony selenide.
PNMA = Crystal(
    lattice=np.diag([11.8, 4.0, 11.3]),
    fractional=np.array(
        [
            [x, y, z]
            for u, w in ((0.03, 0.33), (0.15, 0.04))
            for x, y, z in (
                (u, 0.25, w),
                (0.5 - u, 0.75, 0.5 + w),
                (-u, 0.75, -w),
                (0.5 + u, 0.25, 0.5 - w),
            )
        ]
    ),
    numbers=np.array([51] * 4 + [34] * 4),
)


def _permuted(crystal: Crystal, order: list[int]) -> Crystal:
    """Relabel the axes of a crystal, keeping the Cartesian frame."""
    return Crystal(
        lattice=crystal.lattice[order],
        fractional=crystal.fractional[:, order],
        numbers=crystal.numbers,
    )


def test_labels_follow_the_cell_of_the_user():
    pnma = high_symmetry_path(PNMA)
    pbnm = high_symmetry_path(_permuted(PNMA, [2, 0, 1]))
    assert pnma.points["X"] == pytest.approx((0.5, 0.0, 0.0))
    # (a, b, c) of Pbnm = (c, a, b) of Pnma: X along a(Pnma) is (0, 1/2, 0) there.
    assert pbnm.points["X"] == pytest.approx((0.0, 0.5, 0.0))
    assert pbnm.points["Y"] == pytest.approx((0.0, 0.0, 0.5))
    assert pbnm.points["Z"] == pytest.approx((0.5, 0.0, 0.0))
    assert pnma.legs == pbnm.legs


def test_the_same_label_is_the_same_cartesian_point_in_every_setting():
    permuted = _permuted(PNMA, [1, 2, 0])
    one, two = high_symmetry_path(PNMA), high_symmetry_path(permuted)
    for label, q in one.points.items():
        cartesian = np.array(q) @ np.linalg.inv(PNMA.lattice).T
        other = np.array(two.points[label]) @ np.linalg.inv(permuted.lattice).T
        np.testing.assert_allclose(np.abs(cartesian), np.abs(other), atol=1e-9)


def test_gamma_is_exactly_zero_and_jumps_are_labelled_once():
    path = high_symmetry_path(PNMA)
    assert path.points["Γ"] == (0.0, 0.0, 0.0)
    sampled = sample_path(path, PNMA, 20)
    assert " ".join(sampled.label) == "Γ X S Y Γ Z U R T Z|X U|Y T|S R"
    assert len(sampled.leg_start) == len(path.legs)
    assert (np.diff(sampled.distance) >= 0).all()
    np.testing.assert_allclose(sampled.label_distance[-1], sampled.distance[-1])
    # Equal steps on all legs, within the rounding of a leg to whole steps.
    steps = np.diff(sampled.distance)
    steps = steps[steps > 1e-9]
    assert steps.max() / steps.min() < 1.15
    first_leg = sampled.distance[sampled.leg_start[1]]
    np.testing.assert_allclose(first_leg, np.pi / 11.8)


def test_a_conventional_cell_gets_the_path_of_its_primitive_lattice():
    path = high_symmetry_path(from_ase(bulk("Si", cubic=True)))
    assert path.points["X"] in [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    assert ("Γ", "X") in path.legs

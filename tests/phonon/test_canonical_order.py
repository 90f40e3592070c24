"""Random displacements are one physical pattern in every setting and orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import read_crystal
from elphant.phonon.canonical_order import canonical_order
from elphant.phonon.displacement import DisplacementSettings, plan_displacements

FRAMES = ("Sb2Se3_PBEsol_Pnma.vasp", "Sb2Se3_PBEsol_Pbnm.vasp", "Sb2Se3_PBEsol_rotated.vasp")


def pattern(crystal: Crystal) -> dict[tuple[int, ...], np.ndarray]:
    """Return standard coordinates of each atom -> its displacements in the standard frame."""
    symmetry = find_symmetry(crystal)
    settings = DisplacementSettings(
        method="random", length_second=10.8, length_third=10.8, cutoff_third=3.5
    )
    plan = plan_displacements(crystal, symmetry, settings)[-1]
    inverse = np.linalg.inv(crystal.lattice)
    points = plan.supercell.positions @ inverse @ symmetry.transformation.T + symmetry.origin_shift
    edges = np.abs(plan.supercell.lattice @ inverse @ symmetry.transformation.T).sum(axis=0)
    wrapped = np.mod(np.round(points, 4) + 1e-9, edges)
    moved = plan.displacements @ symmetry.standard_rotation.T
    keys = [tuple(np.round(point * 1000).astype(int)) for point in wrapped]
    return {key: moved[:, i] for i, key in enumerate(keys)}


@pytest.mark.slow
def test_same_pattern_in_three_frames(fixtures: Path) -> None:
    first, *others = (pattern(read_crystal(fixtures / "structures" / name)) for name in FRAMES)
    assert len(first) == 60
    for other in others:
        assert other.keys() == first.keys()
        for key, displacements in first.items():
            np.testing.assert_allclose(other[key], displacements, atol=1e-10)


def test_order_does_not_depend_on_that_of_the_file(fixtures: Path) -> None:
    conventional = read_crystal(fixtures / "structures" / "Si.cif")
    order = canonical_order(conventional, conventional, find_symmetry(conventional))
    assert sorted(order) == list(range(8))
    shuffled = np.random.default_rng(1).permutation(8)
    again = Crystal(
        lattice=conventional.lattice,
        fractional=conventional.fractional[shuffled],
        numbers=conventional.numbers[shuffled],
    )
    other = canonical_order(again, again, find_symmetry(again))
    np.testing.assert_allclose(
        np.mod(again.fractional[other] + 1e-6, 1.0),
        np.mod(conventional.fractional[order] + 1e-6, 1.0),
        atol=1e-9,
    )

"""Supercell shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import read_crystal
from elphant.crystal.supercell import supercell_matrix
from elphant.errors import ConfigurationError


def matrix_of(crystal: Crystal, length: object) -> np.ndarray:
    return supercell_matrix(crystal, find_symmetry(crystal), length)  # type: ignore[arg-type]


def test_primitive_silicon_becomes_cubic(silicon: Crystal) -> None:
    matrix = matrix_of(silicon, 10.0)
    lattice = matrix @ silicon.lattice
    np.testing.assert_allclose(lattice @ lattice.T, 10.86**2 * np.eye(3), atol=1e-9)
    assert silicon.n_atoms * round(np.linalg.det(matrix)) == 64
    assert silicon.n_atoms * round(np.linalg.det(matrix_of(silicon, 1.0))) == 8


def test_settings_of_sb2se3_give_the_same_supercell(structures: Path, pnma: Crystal) -> None:
    pbnm = read_crystal(structures / "Sb2Se3_PBEsol_Pbnm.vasp")
    rotated = read_crystal(structures / "Sb2Se3_PBEsol_rotated.vasp")
    np.testing.assert_array_equal(matrix_of(pnma, 11.0), np.diag([1, 3, 1]))
    np.testing.assert_array_equal(matrix_of(rotated, 11.0), np.diag([1, 3, 1]))
    np.testing.assert_array_equal(matrix_of(pbnm, 11.0), np.diag([1, 1, 3]))


def test_lengths_per_axis(pnma: Crystal) -> None:
    np.testing.assert_array_equal(matrix_of(pnma, [20, 12.1, 5]), np.diag([2, 4, 1]))


def test_two_percent_short_is_long_enough(pnma: Crystal) -> None:
    a = pnma.lengths[0]
    np.testing.assert_array_equal(matrix_of(pnma, 1.019 * a)[0], [1, 0, 0])
    np.testing.assert_array_equal(matrix_of(pnma, 1.021 * a)[0], [2, 0, 0])


def test_length_is_the_distance_between_faces() -> None:
    # hexagonal: the faces are 3 sin 60° = 2.6 Å apart although a = 3 Å
    crystal = Crystal(
        lattice=[[3.0, 0, 0], [-1.5, 1.5 * np.sqrt(3), 0], [0, 0, 5.0]],
        fractional=[[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
        numbers=[30, 30],
    )
    np.testing.assert_array_equal(matrix_of(crystal, 9.0), np.diag([4, 4, 2]))


@pytest.mark.parametrize("length", [0.0, -1.0, [10, 10, 0]])
def test_lengths_must_be_positive(pnma: Crystal, length: object) -> None:
    with pytest.raises(ConfigurationError, match="not positive"):
        matrix_of(pnma, length)


@given(length=st.floats(1.0, 60.0), seed=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_invariants(pnma: Crystal, length: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    matrix = matrix_of(pnma, length)
    rotated = pnma.replaced(lattice=pnma.lattice @ rotation.T)
    np.testing.assert_array_equal(matrix, matrix_of(rotated, length))
    assert matrix.dtype.kind == "i"
    assert np.linalg.det(matrix) > 0
    heights = pnma.replaced(lattice=matrix @ pnma.lattice).heights
    assert (heights >= length - 0.02 * pnma.heights - 1e-9).all(), "long enough"
    shorter = np.diag(matrix) - 1
    assert ((shorter == 0) | (shorter * pnma.heights < length)).all(), "and no longer"

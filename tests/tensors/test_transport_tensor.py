"""Projections, principal axes, symmetry and rotation of transport tensors."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elphant.crystal import Crystal, Frame, find_symmetry
from elphant.crystal.io import read_crystal
from elphant.tensors import TransportTensor, matrix_to_voigt, voigt_to_matrix

UNIT = "W m^-1 K^-1"


def frame_of(crystal: Crystal) -> Frame:
    return Frame.of(crystal, find_symmetry(crystal))


def tensor_of(values: Any, crystal: Crystal) -> TransportTensor:
    return TransportTensor(values=np.array(values, dtype=float), unit=UNIT, frame=frame_of(crystal))


def random_rotation(seed: int) -> np.ndarray:
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return np.asarray(rotation * np.linalg.det(rotation))


@pytest.fixture(scope="module")
def structures(fixtures: Path) -> Path:
    return fixtures / "structures"


@pytest.fixture(scope="module")
def pnma(structures: Path) -> Crystal:
    return read_crystal(structures / "Sb2Se3_PBEsol_Pnma.vasp")


@pytest.fixture(scope="module")
def hexagonal() -> Crystal:
    return Crystal(
        lattice=[[3.0, 0, 0], [-1.5, 1.5 * np.sqrt(3), 0], [0, 0, 5.0]],
        fractional=[[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
        numbers=[30, 30],
    )


@pytest.fixture(scope="module")
def triclinic() -> Crystal:
    return Crystal(
        lattice=[[5, 0, 0], [1, 4.5, 0], [0.7, -0.9, 6]],
        fractional=np.random.default_rng(0).random((3, 3)),
        numbers=[14, 32, 50],
    )


# --- projections ---


def test_dielectric_tensor_of_sb2se3_in_three_frames(structures: Path) -> None:
    """The same crystal along the same directions gives the same numbers, whatever the frame."""
    frames = json.loads((structures / "Sb2Se3_frames.json").read_text())["frames"]
    expected = {"a": 15.79241251, "b": 22.22256879, "c": 26.6161972}
    assert set(frames) == {"Pnma", "Pbnm", "rotated"}
    for name, record in frames.items():
        crystal = read_crystal(structures / f"Sb2Se3_PBEsol_{name}.vasp")
        tensor = tensor_of(record["epsilon_infinity"], crystal)
        standard = tensor.frame.standard_axes
        values = {standard[axis]: value for axis, value in tensor.along_axes().items()}
        assert values == pytest.approx(expected, rel=1e-9), name
        principal, axes = tensor.principal()
        np.testing.assert_allclose(principal, sorted(expected.values(), reverse=True), rtol=1e-9)
        labels = {tensor.frame.direction_label(axis).strip("[]").replace("̅", "") for axis in axes}
        assert labels == {"100", "010", "001"}, name
        operations = find_symmetry(crystal).cartesian_rotations(crystal.lattice)
        assert tensor.symmetrized(operations)[1] < 1e-9, name


def test_projection_in_a_triclinic_cell(triclinic: Crystal) -> None:
    tensor = tensor_of([[4, 1, 0.5], [1, 3, -0.2], [0.5, -0.2, 2]], triclinic)
    a = np.array([5, 0, 0]) / 5
    b = np.array([1, 4.5, 0]) / np.hypot(1, 4.5)
    along = tensor.along_axes()
    assert along["a"] == pytest.approx(4.0)
    assert along["b"] == pytest.approx(b @ tensor.values @ b)
    assert tensor.along(7 * a) == pytest.approx(4.0), "the length of the direction does not matter"
    # a* is the normal of the plane of b and c
    normal = np.cross(triclinic.lattice[1], triclinic.lattice[2])
    assert tensor.along_reciprocal_axes()["a*"] == pytest.approx(tensor.along(normal))
    assert tensor.along_reciprocal_axes()["c*"] == pytest.approx(2.0), "c* is along z here"
    assert along["c"] != pytest.approx(2.0, abs=1e-2), "and c is not"


def test_hexagonal_axes(hexagonal: Crystal) -> None:
    tensor = tensor_of(np.diag([3.0, 3.0, 1.0]), hexagonal)
    assert tensor.along_axes() == pytest.approx({"a": 3, "b": 3, "c": 1})
    assert tensor.along_reciprocal_axes() == pytest.approx({"a*": 3, "b*": 3, "c*": 1})


def test_antisymmetric_part_is_invisible_along_any_direction(pnma: Crystal) -> None:
    tensor = tensor_of([[0, 1, -2], [-1, 0, 3], [2, -3, 0]], pnma)
    assert tensor.along([0.3, -0.2, 0.9]) == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(tensor.principal()[0], np.zeros(3), atol=1e-15)


def test_zero_direction_is_refused(pnma: Crystal) -> None:
    with pytest.raises(ValueError, match="zero vector"):
        tensor_of(np.eye(3), pnma).along([0, 0, 0])


# --- principal axes ---


def test_principal_values_descend_and_axes_are_orthonormal(triclinic: Crystal) -> None:
    matrix = np.array([[1, 0.4, 0.1], [0.4, 5, -0.7], [0.1, -0.7, 3]])
    values, axes = tensor_of(matrix, triclinic).principal()
    assert values[0] > values[1] > values[2]
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(axes.T @ np.diag(values) @ axes, matrix, atol=1e-13)
    assert (axes[np.arange(3), np.abs(axes).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_equal_values_take_the_crystal_axes(hexagonal: Crystal, seed: int) -> None:
    rotation = random_rotation(seed)
    rotated = hexagonal.replaced(lattice=hexagonal.lattice @ rotation.T)
    noise = 1e-10 * np.random.default_rng(seed).normal(size=(3, 3))
    for diagonal, along_c in (((3, 3, 1), 2), ((1, 1, 3), 0), ((2, 2, 2), 1)):
        matrix = rotation @ np.diag(diagonal) @ rotation.T + noise
        values, axes = tensor_of(matrix, rotated).principal()
        np.testing.assert_allclose(values, sorted(diagonal, reverse=True), atol=1e-8)
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
        a, _, c = tensor_of(matrix, rotated).frame.axis_directions
        in_plane = 0 if along_c else 1
        assert abs(axes[in_plane] @ a) == pytest.approx(1, abs=1e-7)
        if diagonal != (2, 2, 2):
            assert abs(axes[along_c] @ c) == pytest.approx(1, abs=1e-7)


def test_isotropic_tensor_of_a_triclinic_crystal(triclinic: Crystal) -> None:
    values, axes = tensor_of(2.5 * np.eye(3), triclinic).principal()
    np.testing.assert_allclose(values, [2.5] * 3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(axes[0], [1, 0, 0], atol=1e-14)


def test_zero_tensor(pnma: Crystal) -> None:
    tensor = tensor_of(np.zeros((3, 3)), pnma)
    values, axes = tensor.principal()
    np.testing.assert_array_equal(values, np.zeros(3))
    np.testing.assert_allclose(np.abs(axes), np.eye(3), atol=1e-15)
    operations = find_symmetry(pnma).cartesian_rotations(pnma.lattice)
    assert tensor.symmetrized(operations)[1] == 0.0


# --- symmetry ---


def test_residual_of_an_invariant_tensor_is_zero(pnma: Crystal) -> None:
    operations = find_symmetry(pnma).cartesian_rotations(pnma.lattice)
    tensor, residual = tensor_of(np.diag([1.0, 5.0, 2.0]), pnma).symmetrized(operations)
    assert residual == 0.0
    np.testing.assert_array_equal(tensor.values, np.diag([1.0, 5.0, 2.0]))
    assert tensor.unit == UNIT


def test_residual_measures_what_symmetry_forbids(pnma: Crystal) -> None:
    operations = find_symmetry(pnma).cartesian_rotations(pnma.lattice)
    matrix = np.diag([3.0, 4.0, 12.0])
    matrix[0, 1] = matrix[1, 0] = 0.5
    tensor, residual = tensor_of(matrix, pnma).symmetrized(operations)
    np.testing.assert_allclose(tensor.values, np.diag([3.0, 4.0, 12.0]), atol=1e-15)
    assert residual == pytest.approx(np.sqrt(0.5) / np.sqrt(169.5))
    again, second = tensor.symmetrized(operations)
    assert second == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(again.values, tensor.values)


def test_hexagonal_symmetry_makes_the_plane_isotropic(hexagonal: Crystal) -> None:
    operations = find_symmetry(hexagonal).cartesian_rotations(hexagonal.lattice)
    tensor, residual = tensor_of(np.diag([2.0, 4.0, 1.0]), hexagonal).symmetrized(operations)
    np.testing.assert_allclose(tensor.values, np.diag([3.0, 3.0, 1.0]), atol=1e-14)
    assert residual > 0.1


def test_cubic_symmetry_leaves_the_mean() -> None:
    silicon = Crystal(
        lattice=2.715 * (np.ones((3, 3)) - np.eye(3)),
        fractional=[[0, 0, 0], [0.25, 0.25, 0.25]],
        numbers=[14, 14],
    )
    operations = find_symmetry(silicon).cartesian_rotations(silicon.lattice)
    tensor, _ = tensor_of(np.diag([1.0, 2.0, 6.0]), silicon).symmetrized(operations)
    np.testing.assert_allclose(tensor.values, 3 * np.eye(3), atol=1e-14)


def test_triclinic_symmetry_forbids_nothing(triclinic: Crystal) -> None:
    operations = find_symmetry(triclinic).cartesian_rotations(triclinic.lattice)
    matrix = np.random.default_rng(0).normal(size=(3, 3))
    assert tensor_of(matrix, triclinic).symmetrized(operations)[1] < 1e-15


# --- rotation ---


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_rotating_crystal_and_tensor_changes_no_projection(pnma: Crystal, seed: int) -> None:
    rotation = random_rotation(seed)
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(3, 3))
    tensor = tensor_of(matrix + matrix.T, pnma)
    rotated_crystal = pnma.replaced(lattice=pnma.lattice @ rotation.T)
    rotated = tensor.rotated(rotation, frame_of(rotated_crystal))
    assert rotated.along_axes() == pytest.approx(tensor.along_axes(), abs=1e-11)
    assert rotated.along_reciprocal_axes() == pytest.approx(
        tensor.along_reciprocal_axes(), abs=1e-11
    )
    np.testing.assert_allclose(rotated.principal()[0], tensor.principal()[0], atol=1e-11)
    direction = rng.normal(size=3)
    assert rotated.along(rotation @ direction) == pytest.approx(tensor.along(direction), abs=1e-11)
    # symmetrising and rotating commute
    first, residual = tensor.symmetrized(find_symmetry(pnma).cartesian_rotations(pnma.lattice))
    second, rotated_residual = rotated.symmetrized(
        find_symmetry(rotated_crystal).cartesian_rotations(rotated_crystal.lattice)
    )
    np.testing.assert_allclose(rotation @ first.values @ rotation.T, second.values, atol=1e-10)
    assert rotated_residual == pytest.approx(residual, abs=1e-10)


# --- records ---


def test_voigt_order_is_that_of_phono3py() -> None:
    matrix = voigt_to_matrix([1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(matrix, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    np.testing.assert_array_equal(matrix_to_voigt(matrix), [1, 2, 3, 4, 5, 6])


def test_voigt_of_stacks(pnma: Crystal) -> None:
    components = np.random.default_rng(0).normal(size=(4, 2, 6))
    np.testing.assert_array_equal(matrix_to_voigt(voigt_to_matrix(components)), components)
    tensor = TransportTensor.from_voigt(components[0, 0], UNIT, frame_of(pnma))
    np.testing.assert_array_equal(tensor.values, voigt_to_matrix(components[0, 0]))


def test_record(pnma: Crystal) -> None:
    record = json.loads(json.dumps(tensor_of(np.diag([0.4, 2.0, 0.7]), pnma).to_dict()))
    assert record["axes"] == pytest.approx({"a": 0.4, "b": 2.0, "c": 0.7})
    assert record["reciprocal_axes"] == pytest.approx({"a*": 0.4, "b*": 2.0, "c*": 0.7})
    assert record["principal"]["values"] == pytest.approx([2.0, 0.7, 0.4])
    assert record["principal"]["labels"] == ["[010]", "[001]", "[100]"]
    assert record["unit"] == UNIT
    assert np.shape(record["cartesian"]) == (3, 3)


def test_is_immutable_and_survives_pickling(pnma: Crystal) -> None:
    tensor = tensor_of(np.eye(3), pnma)
    copy = pickle.loads(pickle.dumps(tensor))
    assert copy.to_dict() == tensor.to_dict()
    for item in (tensor, copy):
        with pytest.raises(ValueError, match="read-only"):
            item.values[0, 0] = 2.0


def test_wrong_shape_is_refused(pnma: Crystal) -> None:
    with pytest.raises(ValueError, match=r"values has shape \(6,\)"):
        tensor_of(np.zeros(6), pnma)
    with pytest.raises(ValueError, match="non-finite"):
        tensor_of(np.full((3, 3), np.nan), pnma)

"""The frame: what each axis is, in every setting and orientation."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elphant.crystal import Crystal, Frame, find_symmetry
from elphant.crystal.io import read_crystal


def frame_of(crystal: Crystal) -> Frame:
    return Frame.of(crystal, find_symmetry(crystal))


def rotation_of(quaternion: list[float]) -> np.ndarray:
    """Return the rotation matrix of a (not normalised) quaternion."""
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


quaternions = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(
    lambda q: np.linalg.norm(q) > 0.1
)


def test_pnma(pnma: Crystal) -> None:
    frame = frame_of(pnma)
    assert frame.space_group == "Pnma (62)"
    assert frame.setting == "Pnma"
    assert frame.standard_axes == {"a": "a", "b": "b", "c": "c"}
    assert frame.cartesian_labels == {"x": "[100]", "y": "[010]", "z": "[001]"}


def test_pbnm(structures: Path) -> None:
    frame = frame_of(read_crystal(structures / "Sb2Se3_PBEsol_Pbnm.cif"))
    assert frame.space_group == "Pnma (62)"
    assert frame.setting == "Pbnm"
    # the ribbon axis, b of Pnma, is c of Pbnm
    assert frame.standard_axes == {"a": "c", "b": "a", "c": "b"}
    assert frame.cartesian_labels == {"x": "[100]", "y": "[010]", "z": "[001]"}


def test_rotated(structures: Path) -> None:
    frame = frame_of(read_crystal(structures / "Sb2Se3_PBEsol_rotated.vasp"))
    assert frame.setting == "Pnma"
    assert frame.standard_axes == {"a": "a", "b": "b", "c": "c"}
    assert frame.cartesian_labels == {"x": "general", "y": "general", "z": "general"}
    rotation = np.array(
        json.loads((structures / "Sb2Se3_frames.json").read_text())["frames"]["rotated"]["R"]
    )
    np.testing.assert_allclose(frame.axis_directions, rotation.T, atol=1e-12)
    # the rotation to the standard frame undoes it, up to the two-fold axes of the crystal
    product = frame.standard_rotation @ rotation
    np.testing.assert_allclose(np.abs(product), np.eye(3), atol=1e-6)


def test_primitive_silicon(silicon: Crystal) -> None:
    frame = frame_of(silicon)
    assert set(frame.standard_axes.values()) <= {
        f"{sign}1/2 {i} {op} 1/2 {j}"
        for sign in ("", "-") for op in "+-" for i, j in ("ab", "bc", "ac")
    }  # fmt: skip
    # x is (b + c - a) of this primitive cell
    assert frame.cartesian_labels["x"] == "[1̅11]"
    np.testing.assert_allclose(frame.axis_angles, [60, 60, 60])


def test_hexagonal() -> None:
    lattice = [[3.0, 0, 0], [-1.5, 1.5 * np.sqrt(3), 0], [0, 0, 5.0]]
    crystal = Crystal(
        lattice=lattice, fractional=[[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], numbers=[30, 30]
    )
    frame = frame_of(crystal)
    assert frame.setting == "P6_3/mmc"
    assert frame.cartesian_labels == {"x": "[100]", "y": "[120]", "z": "[001]"}
    np.testing.assert_allclose(frame.axis_angles, [90, 90, 120])
    # a* is 30 degrees from a
    assert frame.axis_directions[0] @ frame.reciprocal_directions[0] == pytest.approx(
        np.cos(np.pi / 6)
    )


def test_monoclinic() -> None:
    beta = np.radians(104)
    lattice = [[5, 0, 0], [0, 4, 0], [6 * np.cos(beta), 0, 6 * np.sin(beta)]]
    rng = np.random.default_rng(0)
    # P2/m with two general orbits
    points = rng.random((2, 3))
    fractional = np.concatenate([points, -points, points * [-1, 1, -1], points * [1, -1, 1]])
    frame = frame_of(Crystal(lattice=lattice, fractional=fractional, numbers=np.tile([14, 32], 4)))
    assert frame.setting == "P2/m"
    assert frame.cartesian_labels == {"x": "[100]", "y": "[010]", "z": "general"}
    np.testing.assert_allclose(frame.axis_angles, [90, 104, 90])
    # c* is along z although c is not
    np.testing.assert_allclose(frame.reciprocal_directions[2], [0, 0, 1], atol=1e-15)


def test_triclinic() -> None:
    lattice = [[5, 0, 0], [1, 4.5, 0], [0.7, -0.9, 6]]
    rng = np.random.default_rng(0)
    frame = frame_of(Crystal(lattice=lattice, fractional=rng.random((3, 3)), numbers=[14, 32, 50]))
    assert frame.setting == "P1"
    assert frame.cartesian_labels == {"x": "[100]", "y": "general", "z": "general"}
    # a* b* c* are the normals of the faces
    np.testing.assert_allclose(
        frame.reciprocal_directions @ frame.lattice.T
        - np.diag(np.diag(frame.reciprocal_directions @ frame.lattice.T)),
        np.zeros((3, 3)),
        atol=1e-14,
    )


def test_direction_label(pnma: Crystal) -> None:
    frame = frame_of(pnma)
    a, b, c = frame.lattice
    assert frame.direction_label(2.7 * b) == "[010]"
    assert frame.direction_label(-b) == "[01̅0]"
    assert frame.direction_label(a + b) == "[110]"
    assert frame.direction_label(2 * a + 2 * b) == "[110]", "the simplest indices"
    assert frame.direction_label(3 * a - 2 * c) == "[302̅]"
    assert frame.direction_label(5 * a + b) == "general"
    # 0.05 degrees around b
    assert frame.direction_label([np.radians(0.04), 1, 0]) == "[010]"
    assert frame.direction_label([np.radians(0.06), 1, 0]) == "general"
    assert frame.direction_label([np.radians(0.06), 1, 0], tolerance_degrees=0.1) == "[010]"


@given(quaternion=quaternions)
@settings(max_examples=40, deadline=None)
def test_description_does_not_depend_on_orientation(pnma: Crystal, quaternion: list[float]) -> None:
    rotation = rotation_of(quaternion)
    rotated = pnma.replaced(lattice=pnma.lattice @ rotation.T)
    frame, original = frame_of(rotated), frame_of(pnma)
    assert frame.setting == original.setting
    assert frame.standard_axes == original.standard_axes
    np.testing.assert_allclose(frame.axis_directions, original.axis_directions @ rotation.T,
                               atol=1e-12)  # fmt: skip
    for direction in ([1.0, 0.2, 0.0], [0.0, 1.0, 0.0], [11.7946, 3.9808, 0.0]):
        assert frame.direction_label(rotation @ direction) == original.direction_label(direction)


def test_dict_round_trip(structures: Path) -> None:
    frame = frame_of(read_crystal(structures / "Sb2Se3_PBEsol_Pbnm.vasp"))
    record = json.loads(json.dumps(frame.to_dict()))
    back = Frame.from_dict(record)
    assert back.to_dict() == frame.to_dict()
    assert record["standard_axes"] == {"a": "c", "b": "a", "c": "b"}
    assert record["axis_directions"]["a"] == [1, 0, 0]


def test_pickle(pnma: Crystal) -> None:
    frame = frame_of(pnma)
    copy = pickle.loads(pickle.dumps(frame))
    assert copy.to_dict() == frame.to_dict()
    assert not copy.lattice.flags.writeable


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="transformation has shape"):
        Frame(
            lattice=np.eye(3), standard_lattice=np.eye(3), transformation=np.eye(2),
            origin_shift=np.zeros(3), standard_rotation=np.eye(3), space_group="", setting="",
        )  # fmt: skip

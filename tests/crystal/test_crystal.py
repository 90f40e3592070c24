"""The crystal object: validation, derived numbers, identity, and immutability."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from elphant.crystal import Crystal
from elphant.crystal.elements import (
    FORMULA_ORDER,
    chemical_formula,
    numbers_of,
    standard_masses,
    symbols_of,
)

MONOCLINIC = np.array([[5.0, 0.0, 0.0], [0.0, 4.0, 0.0], [-1.5, 0.0, 6.0]])


def make(**changes: Any) -> Crystal:
    values = {
        "lattice": MONOCLINIC,
        "fractional": [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]],
        "numbers": [11, 17],
    }
    return Crystal(**(values | changes))


def test_derived_numbers() -> None:
    crystal = make()
    assert crystal.n_atoms == 2
    assert crystal.symbols == ("Na", "Cl")
    assert crystal.elements == ("Na", "Cl")
    assert crystal.formula == crystal.name == "NaCl"
    assert crystal.volume == pytest.approx(5 * 4 * 6)
    np.testing.assert_allclose(crystal.positions[1], [1.75, 2.0, 3.0])
    np.testing.assert_allclose(crystal.lengths, [5, 4, np.hypot(1.5, 6)])
    beta = 90 + np.degrees(np.arctan2(1.5, 6))
    np.testing.assert_allclose(crystal.angles, [90, beta, 90])
    # the face normals: volume / area of the opposite face
    np.testing.assert_allclose(crystal.heights, [5 * 6 / np.hypot(1.5, 6), 4, 6])
    np.testing.assert_allclose(crystal.masses, [22.98976928, 35.45], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numbers": [11]}, r"fractional has shape \(2, 3\); expected \(1, 3\)"),
        ({"lattice": np.eye(2)}, "lattice has shape"),
        ({"lattice": MONOCLINIC * np.nan}, "lattice contains"),
        ({"lattice": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "linearly dependent"),
        ({"masses": [1.0]}, "masses has shape"),
        ({"masses": [1.0, -2.0]}, "-2 amu"),
        ({"masses": [1.0, 0.0]}, "must be positive"),
        ({"numbers": [0, 11]}, r"atomic numbers \[0\]"),
        ({"numbers": [11, 119]}, r"atomic numbers \[119\]"),
        ({"numbers": [], "fractional": np.zeros((0, 3))}, "at least one atom"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_is_immutable() -> None:
    crystal = make()
    with pytest.raises(AttributeError):
        crystal.name = "other"  # type: ignore[misc]
    for name in ("lattice", "fractional", "numbers", "masses"):
        assert not getattr(crystal, name).flags.writeable


@pytest.mark.parametrize(
    "copied",
    [lambda c: pickle.loads(pickle.dumps(c)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_copies_stay_read_only(copied: Any) -> None:
    crystal = make(name="salt")
    clone = copied(crystal)
    assert clone == crystal
    assert clone.name == "salt"
    assert not clone.fractional.flags.writeable


def test_dict_round_trip() -> None:
    crystal = make(masses=[22.0, 35.0], name="salt")
    back = Crystal.from_dict(crystal.to_dict())
    assert back == crystal
    assert back.name == "salt"


def test_equality_ignores_the_name_and_sees_the_last_bit() -> None:
    assert make(name="x") == make(name="y")
    assert hash(make(name="x")) == hash(make(name="y"))
    assert make() != make(masses=[22.0, 35.0])
    assert make() != make(fractional=[[0, 0, 0], [0.5, 0.5, np.nextafter(0.5, 1)]])
    assert make() != "NaCl"


def test_digest_is_that_of_numbers_not_of_bytes() -> None:
    negative_zero = np.where(MONOCLINIC == 0, -0.0, MONOCLINIC)
    assert make(lattice=negative_zero).digest() == make().digest()
    assert make(numbers=np.array([11, 17], dtype=np.int32)).digest() == make().digest()


def test_digest_is_stable_between_versions() -> None:
    # Keys of finished stages contain this digest: changing it recomputes every old run.
    crystal = make(masses=[22.0, 35.0])
    assert crystal.digest().startswith("b4477a61b1d65927")


def test_displaced() -> None:
    shift = np.array([[0.1, 0.0, 0.0], [0.0, -0.2, 0.3]])
    crystal = make()
    moved = crystal.displaced(shift)
    np.testing.assert_allclose(moved.positions, crystal.positions + shift, atol=1e-14)
    np.testing.assert_array_equal(moved.masses, crystal.masses)


def test_text() -> None:
    assert str(make()) == (
        "NaCl, 2 atoms, a b c = 5.0000 4.0000 6.1847 Å, alpha beta gamma = 90.00 104.04 90.00°"
    )
    assert repr(make()) == f"Crystal({make()})"


@pytest.mark.parametrize(
    ("symbols", "formula"),
    [
        ("Se Sb Se Sb Se", "Sb2Se3"),
        ("Cl Na", "NaCl"),
        ("O O O Ti Sr", "SrTiO3"),
        ("I I I Pb Cs", "CsPbI3"),
        ("H H H N", "NH3"),
        ("Si Si", "Si"),
        ("As Ga As Ga", "GaAs"),
    ],
)
def test_formula(symbols: str, formula: str) -> None:
    assert chemical_formula(symbols.split()) == formula


def test_formula_unreduced() -> None:
    assert chemical_formula(["Cl", "Na", "Na", "Cl"], reduced=False) == "Na2Cl2"


def test_formula_order_holds_every_element() -> None:
    assert len(FORMULA_ORDER) == len(set(FORMULA_ORDER)) == 118
    assert set(FORMULA_ORDER) == set(symbols_of(range(1, 119)))


def test_elements() -> None:
    assert numbers_of(("Sb", "Se")) == (51, 34)
    assert symbols_of((51, 34)) == ("Sb", "Se")
    np.testing.assert_allclose(standard_masses((51, 34)), [121.76, 78.971])

"""The shared checker of array arguments."""

from __future__ import annotations

import numpy as np
import pytest

from elphant.arrays import checked_array


def test_copies_and_locks() -> None:
    original = np.eye(3)
    checked = checked_array("lattice", original, (3, 3))
    assert not checked.flags.writeable
    assert original.flags.writeable
    original[0, 0] = 5.0
    assert checked[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        checked[0, 0] = 2.0


def test_none_accepts_any_length() -> None:
    assert checked_array("x", np.zeros((5, 3)), (None, 3)).shape == (5, 3)
    assert checked_array("x", [], (None,)).shape == (0,)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 3, 1), ()])
def test_wrong_shape_names_the_argument(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"forces has shape .*; expected \(any, 3\)"):
        checked_array("forces", np.zeros(shape), (None, 3))


def test_non_finite_values_are_counted() -> None:
    with pytest.raises(ValueError, match="forces contains 2 non-finite values"):
        checked_array("forces", [[np.nan, 0.0, np.inf]], (None, 3))


def test_dtypes() -> None:
    assert checked_array("n", [1, 2], (2,), int).dtype.kind == "i"
    assert checked_array("x", [1, 2], (2,)).dtype == np.float64
    assert checked_array("z", [1j], (1,), complex).dtype == np.complex128

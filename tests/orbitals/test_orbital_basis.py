"""Labels of the orbitals and their radial functions."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from orbital_toys import diamond, gaussian, triclinic

from elphant.orbitals import OrbitalBasis
from elphant.orbitals.radial import GAUSSIAN_FLOOR, radial_from_dict

NAMES = ("atom", "n", "l", "m", "spin", "radial_index")


def labels(**changes: list[int]) -> dict[str, list[int]]:
    """Return two atoms: s and p_z on the first, s on the second."""
    return {
        "atom": [0, 0, 1], "n": [1, 1, 1], "l": [0, 1, 0], "m": [0, 0, 0], "spin": [0, 0, 0],
        **changes,
    }  # fmt: skip


def test_counts() -> None:
    _, basis = triclinic()
    assert basis.n_orbitals == 13
    assert basis.n_atoms == 2
    assert basis.sizes.tolist() == [9, 4]
    assert basis.starts.tolist() == [0, 9]
    assert not basis.is_spinor
    assert basis.has_functions
    bare = OrbitalBasis(**labels())
    assert not bare.has_functions
    assert bare.labels() == ["1s", "1p[0]", "1s"]
    assert OrbitalBasis(**labels(l=[-1] * 3, n=[1, 2, 1])).labels() == ["w1", "w2", "w1"]
    assert OrbitalBasis(**labels(spin=[1, -1, 1])).is_spinor


@pytest.mark.parametrize("copy", [
    lambda basis: OrbitalBasis.from_dict(json.loads(json.dumps(basis.to_dict()))),
    lambda basis: pickle.loads(pickle.dumps(basis)),
])  # fmt: skip
def test_copies(copy) -> None:
    _, basis = diamond()
    other = copy(basis)
    for name in NAMES:
        assert np.array_equal(getattr(other, name), getattr(basis, name))
    for a, b in zip(other.radial, basis.radial, strict=True):
        assert a.to_dict() == b.to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"atom": [0, 1, 0]}, "grouped by atom"),
        ({"atom": [1, 1, 2]}, "grouped by atom"),
        ({"atom": [0, 0, 2]}, "grouped by atom"),
        ({"m": [0, 2, 0]}, r"\|m\| > l"),
        ({"m": [1, 0, 0]}, r"\|m\| > l"),
        ({"spin": [0, 1, -1]}, "spin"),
        ({"spin": [2, 2, 2]}, "spin"),
        ({"radial_index": [0, -1, -1]}, "beyond the radial"),
        ({"n": [1, 1]}, "shape"),
    ],
)
def test_refusals(changes: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OrbitalBasis(**labels(**changes))


def test_gaussian_slope_and_cutoff() -> None:
    f = gaussian([0.3, 2.1], [0.4, -1.2], 1)
    r, h = np.linspace(0.1, 6.0, 30), 1e-5
    value, slope = f.evaluate(r * r)
    np.testing.assert_allclose(value, 0.4 * np.exp(-0.3 * r**2) - 1.2 * np.exp(-2.1 * r**2))
    change = f.evaluate((r + h) ** 2)[0] - f.evaluate((r - h) ** 2)[0]
    np.testing.assert_allclose(slope * r, change / (2 * h), atol=1e-9)
    beyond = np.linspace(f.cutoff + 0.01, 40.0, 100)
    assert (np.abs(f.evaluate(beyond**2)[0]) * beyond <= GAUSSIAN_FLOOR).all()
    assert gaussian([1.0], [1e-12], 0).cutoff == 0.0
    with pytest.raises(ValueError, match="positive"):
        gaussian([0.0], [1.0], 0)
    with pytest.raises(ValueError, match="unknown"):
        radial_from_dict({"kind": "spline"})

"""The limit of fine meshes: exact for a straight line in 1/N²."""

from __future__ import annotations

import numpy as np
import pytest

from elphant.grids import extrapolated


def test_extrapolation_to_an_infinitely_fine_mesh():
    limit, slope = np.array([[3.0, 1.0], [0.0, -2.0]]), np.array([[5.0, -7.0], [0.0, 1.0]])
    meshes = [(10, 10, 10), (20, 10, 20), (20, 30, 20)]
    values = [limit + slope * np.prod(m) ** (-2 / 3) for m in meshes]
    found, error = extrapolated(meshes, values)
    np.testing.assert_allclose(found, limit, atol=1e-12)
    # A straight line: half the last step is left as the estimate.
    np.testing.assert_allclose(error, 0.5 * np.abs(limit - values[-1]), atol=1e-12)
    found, error = extrapolated(meshes[1:], values[1:])
    np.testing.assert_allclose(found, limit, atol=1e-12)
    np.testing.assert_allclose(error, np.abs(limit - values[-1]), atol=1e-12)
    # One mesh says nothing about its error.
    found, error = extrapolated(meshes[:1], values[:1])
    np.testing.assert_array_equal(found, values[0])
    assert np.isnan(error).all()
    # A value of the coarsest mesh that is off shows up in the error, not in the limit.
    off = [values[0] + 1.0, *values[1:]]
    found, larger = extrapolated(meshes, off)
    np.testing.assert_allclose(found, limit, atol=1e-12)
    x = [np.prod(m) ** (-2 / 3) for m in meshes]
    expected = x[2] / (x[0] - x[2])
    np.testing.assert_allclose(larger, np.maximum(expected, 0.5 * np.abs(limit - values[-1])))


def test_numbers_are_values_too():
    found, error = extrapolated([(2, 2, 2), (4, 4, 4)], [5.0, 3.5])
    assert float(found) == pytest.approx(3.0)
    assert float(error) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("meshes", "values"),
    [
        ([], []),
        ([(2, 2, 2)], [1.0, 2.0]),
        ([(4, 4, 4), (2, 2, 2)], [1.0, 2.0]),
        ([(4, 2, 2), (2, 4, 2)], [1.0, 2.0]),
    ],
)
def test_meshes_are_given_coarse_to_fine(meshes, values):
    with pytest.raises(ValueError, match="meshes"):
        extrapolated(meshes, values)

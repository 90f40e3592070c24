"""Real solid harmonics: values, gradients, rotations."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest
from scipy.special import sph_harm_y

from elphant.orbitals.harmonics import (
    rotation_matrix,
    solid_harmonic_gradients,
    solid_harmonics,
)


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(7).normal(size=(20, 3))


def rotation(seed: int, *, proper: bool = True) -> np.ndarray:
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return Q * np.linalg.det(Q) * (1.0 if proper else -1.0)


def test_polynomials_of_s_p_and_d(vectors: np.ndarray) -> None:
    x, y, z = vectors.T
    s = np.full((len(x), 1), sqrt(1 / (4 * pi)))
    p = sqrt(3 / (4 * pi)) * np.stack([y, z, x], axis=1)
    d = sqrt(15 / (4 * pi)) * np.stack(
        [x * y, y * z, (2 * z**2 - x**2 - y**2) / sqrt(12), x * z, (x**2 - y**2) / 2], axis=1
    )
    for ell, expected in enumerate((s, p, d)):
        np.testing.assert_allclose(solid_harmonics(ell, vectors), expected, atol=1e-14)


@pytest.mark.parametrize("ell", range(5))
def test_against_complex_harmonics_without_condon_shortley_phase(
    vectors: np.ndarray, ell: int
) -> None:
    r = np.linalg.norm(vectors, axis=1)
    theta = np.arccos(vectors[:, 2] / r)
    phi = np.arctan2(vectors[:, 1], vectors[:, 0])
    for m in range(-ell, ell + 1):
        Y = sph_harm_y(ell, abs(m), theta, phi) * (-1) ** m * r**ell
        expected = Y.real if m == 0 else sqrt(2) * (Y.real if m > 0 else Y.imag)
        np.testing.assert_allclose(solid_harmonics(ell, vectors)[:, ell + m], expected, atol=1e-12)


def test_orthonormal_on_the_sphere() -> None:
    z, weight = np.polynomial.legendre.leggauss(8)
    phi = 2 * pi * np.arange(16) / 16
    rho = np.sqrt(1 - z**2)
    points = np.stack(
        [np.outer(rho, np.cos(phi)), np.outer(rho, np.sin(phi)), np.outer(z, np.ones(16))], axis=-1
    ).reshape(-1, 3)
    weights = np.repeat(weight, 16) * 2 * pi / 16
    Y = np.concatenate([solid_harmonics(ell, points) for ell in range(5)], axis=1)
    np.testing.assert_allclose((Y.T * weights) @ Y, np.eye(25), atol=1e-13)


@pytest.mark.parametrize("ell", range(5))
def test_gradients(vectors: np.ndarray, ell: int) -> None:
    gradient = solid_harmonic_gradients(ell, vectors)
    h = 1e-5
    for axis, step in enumerate(h * np.eye(3)):
        change = solid_harmonics(ell, vectors + step) - solid_harmonics(ell, vectors - step)
        np.testing.assert_allclose(gradient[:, :, axis], change / (2 * h), atol=1e-7)
    # Homogeneous of degree ell: Euler's theorem holds to the last digit.
    along = np.einsum("nma,na->nm", gradient, vectors)
    np.testing.assert_allclose(along, ell * solid_harmonics(ell, vectors), atol=1e-11)


@pytest.mark.parametrize("ell", range(5))
def test_rotation_matrices(vectors: np.ndarray, ell: int) -> None:
    A, B = rotation(1), rotation(2, proper=False)
    D = rotation_matrix(ell, A)
    np.testing.assert_allclose(D @ D.T, np.eye(2 * ell + 1), atol=1e-13)
    np.testing.assert_allclose(
        solid_harmonics(ell, vectors @ B.T),
        solid_harmonics(ell, vectors) @ rotation_matrix(ell, B).T,
        atol=1e-12,
    )
    np.testing.assert_allclose(rotation_matrix(ell, A @ B), D @ rotation_matrix(ell, B), atol=1e-13)
    np.testing.assert_allclose(rotation_matrix(ell, A.T), D.T, atol=1e-13)
    np.testing.assert_allclose(
        rotation_matrix(ell, -np.eye(3)), (-1) ** ell * np.eye(2 * ell + 1), atol=1e-14
    )


def test_p_orbitals_rotate_like_vectors() -> None:
    R = rotation(4)
    order = [1, 2, 0]  # y, z, x
    np.testing.assert_allclose(rotation_matrix(1, R), R[np.ix_(order, order)], atol=1e-14)


def test_refuses_a_stretch() -> None:
    with pytest.raises(ValueError, match="orthogonal"):
        rotation_matrix(1, np.diag([1.0, 1.0, 1.1]))

r"""Real solid harmonics: values, gradients, and their rotation.

:math:`S_{lm}(\mathbf r) = r^l Y_{lm}` with :math:`\int |Y|^2 d\Omega = 1`, without the
Condon-Shortley phase; m = -l ... l. They are polynomials in x, y and z.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, factorial, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Powers = tuple[int, int, int]
Polynomial = dict[Powers, float]


def solid_harmonics(l: int, vectors: ArrayLike) -> Array:  # noqa: E741
    """Return r^l Y_lm of vectors (n, 3), shape (n, 2l+1), in units of vectors^l.

    Parameters
    ----------
    l : int
        Angular momentum.
    vectors : array_like, (n, 3)
        Any length.
    """
    return _evaluate(_polynomials(l), np.asarray(vectors, dtype=float)).T


def solid_harmonic_gradients(l: int, vectors: ArrayLike) -> Array:  # noqa: E741
    """Return the Cartesian gradients of :func:`solid_harmonics`, (n, 2l+1, 3)."""
    vectors = np.asarray(vectors, dtype=float)
    values = _evaluate(_derivatives(l), vectors)
    return values.reshape(2 * l + 1, 3, len(vectors)).transpose(2, 0, 1)


def rotation_matrix(l: int, rotation: ArrayLike) -> Array:  # noqa: E741
    r"""Return D, (2l+1, 2l+1), with :math:`S_l(R \mathbf r) = D\, S_l(\mathbf r)`.

    Parameters
    ----------
    l : int
        Angular momentum.
    rotation : array_like, (3, 3)
        Orthogonal Cartesian matrix R acting on columns; it may be improper.

    Notes
    -----
    D is orthogonal and a homomorphism: D(R R') = D(R) D(R'). It is obtained from the values on a
    set of directions that determine every polynomial of degree l, so no Euler angles are needed.

    Raises
    ------
    ValueError
        If R is not orthogonal.
    """
    R = np.asarray(rotation, dtype=float)
    if R.shape != (3, 3) or np.abs(R @ R.T - np.eye(3)).max() > 1e-5:
        raise ValueError("a rotation must be an orthogonal (3, 3) matrix")
    directions, inverse = _directions(l)
    return np.asarray((inverse @ solid_harmonics(l, directions @ R.T)).T)


@lru_cache(maxsize=16)
def _directions(l: int) -> tuple[Array, Array]:  # noqa: E741
    """Return directions on a spiral, (n, 3), and the pseudo-inverse of S_l there, (2l+1, n)."""
    n = 12 * (l + 1)
    z = (2.0 * np.arange(n) + 1.0) / n - 1.0
    angle = pi * (1.0 + sqrt(5.0)) * np.arange(n)
    rho = np.sqrt(1.0 - z * z)
    directions: Array = np.stack([rho * np.cos(angle), rho * np.sin(angle), z], axis=1)
    return directions, np.asarray(np.linalg.pinv(solid_harmonics(l, directions)))


def _evaluate(polynomials: tuple[Polynomial, ...], vectors: Array) -> Array:
    """Return the values of polynomials at vectors (n, 3), (n_polynomials, n)."""
    needed = {power for polynomial in polynomials for power in polynomial}
    degree = max((max(power) for power in needed), default=0)
    table = np.ones((degree + 1, 3, len(vectors)))
    for exponent in range(1, degree + 1):
        table[exponent] = table[exponent - 1] * vectors.T
    monomials = {(a, b, c): table[a, 0] * table[b, 1] * table[c, 2] for a, b, c in needed}
    values = np.zeros((len(polynomials), len(vectors)))
    # The coefficients are few; a matrix product would start the threads of the BLAS library.
    for value, polynomial in zip(values, polynomials, strict=True):
        for power, coefficient in polynomial.items():
            value += coefficient * monomials[power]
    return values


@lru_cache(maxsize=16)
def _polynomials(l: int) -> tuple[Polynomial, ...]:  # noqa: E741
    """Return S_lm for m = -l ... l."""
    return tuple(_polynomial(l, m) for m in range(-l, l + 1))


@lru_cache(maxsize=16)
def _derivatives(l: int) -> tuple[Polynomial, ...]:  # noqa: E741
    """Return the x, y and z derivatives of every S_lm, (2l+1) * 3 polynomials."""
    derivatives = []
    for polynomial in _polynomials(l):
        for axis in range(3):
            derivative: Polynomial = {}
            for power, coefficient in polynomial.items():
                if power[axis]:
                    lowered = list(power)
                    lowered[axis] -= 1
                    derivative[lowered[0], lowered[1], lowered[2]] = coefficient * power[axis]
            derivatives.append(derivative)
    return tuple(derivatives)


def _polynomial(l: int, m: int) -> Polynomial:  # noqa: E741
    r"""Return S_lm as {powers of x, y, z: coefficient}.

    :math:`S_{lm} = N_{lm}\, \Pi_l^{|m|}(z, r^2)\, A_m(x, y)`: A is the real (m >= 0) or imaginary
    part of (x + iy)^|m|, and :math:`\Pi` the derivative of the Legendre polynomial made
    homogeneous, so that no denominator is left (Helgaker, Jørgensen and Olsen, Molecular
    Electronic-Structure Theory, 2000, section 6.4).
    """
    order = abs(m)
    norm = sqrt((2 * l + 1) / (4 * pi))
    if order:
        norm *= sqrt(2.0 * factorial(l - order) / factorial(l + order))
    planar = {
        # i^q is real for even q and imaginary for odd q.
        (order - q, q): comb(order, q) * (-1) ** (q // 2)
        for q in range(order + 1)
        if q % 2 == (1 if m < 0 else 0)
    }
    total: Polynomial = {}
    for k in range((l - order) // 2 + 1):
        axial = (-1) ** k * comb(l, k) * comb(2 * l - 2 * k, l) * 2.0**-l
        axial *= factorial(l - 2 * k) / factorial(l - 2 * k - order)
        for a in range(k + 1):  # r^2k as a sum of powers of x², y² and z²
            for b in range(k - a + 1):
                multiplicity = factorial(k) / (factorial(a) * factorial(b) * factorial(k - a - b))
                z = l - 2 * k - order + 2 * (k - a - b)
                for (px, py), planar_value in planar.items():
                    power = (px + 2 * a, py + 2 * b, z)
                    value = norm * axial * multiplicity * planar_value
                    total[power] = total.get(power, 0.0) + value
    return {power: value for power, value in total.items() if abs(value) > 1e-13}

r"""Radial functions on a grid, their Fourier-Bessel transforms, and interpolation tables.

Everything is in atomic units. The quadratures, the interpolant and the wave numbers between which
transforms are interpolated are those of OpenMX 3.9, so that its matrices come back to 1e-9; V_NA
between two atoms to 1e-7, because OpenMX keeps and multiplies its projections in single precision
(rounded alike, which would spoil derivatives, they agree to 1e-10). The files would allow other
choices, which differ by up to 1e-4 Ha.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline
from scipy.special import spherical_jn

Array = NDArray[np.float64]

#: Wave numbers (bohr⁻¹) between which integrals over k run.
K_SPAN = (1e-6, 60.0)

#: Intervals of the uniform quadratures over r and k.
N_UNIFORM = 900

#: Points of the Gauss-Legendre quadratures over r and k.
N_GAUSS = 300

#: How far (bohr) beyond the cut-off the transforms of orbitals and projectors integrate.
BEYOND_CUTOFF = 0.5

#: Spacing (bohr) of the tables over the distance of two centres.
TABLE_STEP = 0.025


class GridFunctions:
    r"""Functions on an ascending grid, interpolated by cubic Hermite polynomials in r.

    The slope at a node is the mean of the neighbouring secants :math:`s_i` that a parabola through
    three nodes has, :math:`(s_i h_{i-1} + s_{i-1} h_i) / (h_{i-1} + h_i)`, and at the last node
    that of the parabola through the last three. The first interval continues the cubic of the
    second. Functions are zero beyond the last node; below the first they are constant for l = 0 and
    zero else.

    Parameters
    ----------
    r : ndarray, (n_r,) bohr
        At least three nodes.
    values : ndarray, (n_functions, n_r)
    l : int
        Angular momentum, for the value at the origin.
    """

    def __init__(self, r: Array, values: Array, l: int = 0) -> None:  # noqa: E741
        self._first, self._last = float(r[0]), float(r[-1])
        self._inside = values[:, :1] if l == 0 else np.zeros_like(values[:, :1])
        h = np.diff(r)
        secants = np.diff(values, axis=1) / h
        slopes = np.empty_like(values[:, 1:])
        slopes[:, :-1] = (secants[:, 1:] * h[:-1] + secants[:, :-1] * h[1:]) / (h[:-1] + h[1:])
        slopes[:, -1] = 2.0 * secants[:, -1] - slopes[:, -2]
        # Without the first node: the spline continues its first cubic to it.
        self._spline = CubicHermiteSpline(r[1:], values[:, 1:], slopes, axis=1)

    def __call__(self, r: Array) -> Array:
        """Return all functions at the radii (n,), (n_functions, n)."""
        values = self._spline(np.clip(r, self._first, self._last))
        values = np.where(r < self._first, self._inside, values)
        return np.where(r > self._last, 0.0, values)


def trapezoid(first: float, last: float, n_intervals: int = N_UNIFORM) -> tuple[Array, Array]:
    """Return nodes and weights of the trapezoidal rule."""
    nodes = np.linspace(first, last, n_intervals + 1)
    weights = np.full(len(nodes), (last - first) / n_intervals)
    weights[[0, -1]] *= 0.5
    return nodes, weights


def squared_trapezoid(first: float, last: float) -> tuple[Array, Array]:
    """Return nodes and weights of the trapezoidal rule in the square root of r."""
    x, weights = trapezoid(first**0.5, last**0.5)
    return x * x, 2.0 * x * weights


@lru_cache(maxsize=8)
def _legendre(n: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return np.asarray(nodes), np.asarray(weights)


def gauss(first: float, last: float, n: int = N_GAUSS) -> tuple[Array, Array]:
    """Return nodes and weights of the Gauss-Legendre rule."""
    nodes, weights = _legendre(n)
    half = 0.5 * (last - first)
    return first + half * (1.0 + nodes), half * weights


def transform(functions: Array, l: int, nodes: Array, weights: Array, k: Array) -> Array:  # noqa: E741
    r"""Return :math:`\tilde R(k) = \int j_l(kr) R(r)\, r^2 dr`, (n_functions, n_k).

    Parameters
    ----------
    functions : ndarray, (n_functions, n_r)
        At the nodes.
    l : int
    nodes, weights : ndarray, (n_r,) bohr
        Quadrature over r.
    k : ndarray, (n_k,) bohr⁻¹
    """
    bessel = spherical_jn(l, np.outer(nodes, k))
    return np.asarray((functions * (weights * nodes**2)) @ bessel)


def tabulated_transform(functions: Array, l: int, nodes: Array, weights: Array) -> GridFunctions:  # noqa: E741
    r"""Return the transforms as functions of k, interpolated between equal steps from k = 0.

    Parameters are those of :func:`transform`. The table stops one step before the end of
    :data:`K_SPAN`, and beyond it transforms count as zero: a uniform quadrature loses its last two
    nodes (3e-8 Ha in T). Its other nodes lie within 1e-6 of those of the table, yet the slopes of
    the interpolant matter (2e-7 in S on-site), and so does its first interval at the nodes of the
    Gauss-Legendre rule (2e-6 Ha in V_NA between two atoms).
    """
    k = np.linspace(0.0, K_SPAN[1], N_UNIFORM, endpoint=False)
    return GridFunctions(k, transform(functions, l, nodes, weights, k))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DistanceTable:
    r"""Functions of a distance with two continuous derivatives.

    Quintic Hermite interpolation of exact values and first and second derivatives at equal steps.

    Attributes
    ----------
    step : float, bohr
    nodes : ndarray, (n_steps + 1, 3, ...)
        Value, slope × step, and second derivative × step² at each distance.
    """

    step: float
    nodes: Array

    def __call__(self, r: Array) -> tuple[Array, Array]:
        """Return values and slopes at the distances (n,), each (n, ...); zero beyond the table."""
        n_steps = len(self.nodes) - 1
        place = np.minimum((r / self.step).astype(np.int64), n_steps - 1)
        t = (r / self.step - place).reshape(-1, *[1] * (self.nodes.ndim - 2))
        f0, g0, c0 = np.moveaxis(self.nodes[place], 1, 0)
        f1, g1, c1 = np.moveaxis(self.nodes[place + 1], 1, 0)
        # What the Taylor polynomial of the left end misses at the right end.
        jump = f1 - f0 - g0 - 0.5 * c0
        tilt = g1 - g0 - c0
        bend = c1 - c0
        a3 = 10.0 * jump - 4.0 * tilt + 0.5 * bend
        a4 = -15.0 * jump + 7.0 * tilt - bend
        a5 = 6.0 * jump - 3.0 * tilt + 0.5 * bend
        value = f0 + t * (g0 + t * (0.5 * c0 + t * (a3 + t * (a4 + t * a5))))
        slope = g0 + t * (c0 + t * (3.0 * a3 + t * (4.0 * a4 + t * 5.0 * a5)))
        inside = t <= 1.0 + 1e-9
        return np.where(inside, value, 0.0), np.where(inside, slope / self.step, 0.0)


class BesselGrid:
    r"""Values of :math:`j_L(kR)` and its derivatives over R on a grid of distances.

    Parameters
    ----------
    k : ndarray, (n_k,) bohr⁻¹
    weights : ndarray, (n_k,)
        Quadrature over k.
    reach : float, bohr
        Distance that tables cover.
    """

    def __init__(self, k: Array, weights: Array, reach: float) -> None:
        self.k, self.weights, self.step = k, weights, TABLE_STEP
        self._n_steps = int(np.ceil(reach / TABLE_STEP - 1e-9))
        self._arguments = np.outer(k, TABLE_STEP * np.arange(self._n_steps + 1))
        self._plain: dict[int, Array] = {}
        self._jets: dict[int, Array] = {}

    def table(self, integrand: Array, L: int) -> DistanceTable:
        r"""Return :math:`\int f(k)\, j_L(kR)\, dk` for integrands (..., n_k)."""
        flat = (integrand * self.weights).reshape(-1, len(self.k))
        nodes = np.stack([order.T @ flat.T for order in self._jet(L)], axis=1)
        return DistanceTable(
            step=self.step, nodes=nodes.reshape(len(nodes), 3, *integrand.shape[:-1])
        )

    def _jet(self, L: int) -> Array:
        """Return j_L(kR), and its first two derivatives times powers of the step."""
        if L not in self._jets:
            scale = (self.k * self.step)[:, None]
            second = np.zeros_like(self._arguments)
            for order, factor in _derivative_terms(L):
                for inner, more in _derivative_terms(order):
                    second += factor * more * self._bessel(inner)
            first = np.zeros_like(second)
            for order, factor in _derivative_terms(L):
                first += factor * self._bessel(order)
            self._jets[L] = np.stack([self._bessel(L), scale * first, scale**2 * second])
        return self._jets[L]

    def _bessel(self, L: int) -> Array:
        if L not in self._plain:
            self._plain[L] = np.asarray(spherical_jn(L, self._arguments))
        return self._plain[L]


def _derivative_terms(L: int) -> list[tuple[int, float]]:
    """Return orders and factors of j_L' = (L j_(L-1) - (L+1) j_(L+1)) / (2L+1)."""
    if L == 0:
        return [(1, -1.0)]
    return [(L - 1, L / (2 * L + 1)), (L + 1, -(L + 1) / (2 * L + 1))]

"""Real harmonics in the order of OpenMX: couplings, angular momentum, bond directions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from elphant.models.hamiltonians.importers.openmx import OPENMX_M
from elphant.orbitals.harmonics import solid_harmonic_gradients, solid_harmonics

Array = NDArray[np.float64]


def openmx_order(l: int) -> list[int]:  # noqa: E741
    """Return where the functions of OpenMX stand among m = -l ... l.

    Beyond f OpenMX's order is of no consequence: such functions are only summed over.
    """
    return [m + l for m in OPENMX_M.get(l, tuple(range(-l, l + 1)))]


@lru_cache(maxsize=512)
def gaunt(l_first: int, l_second: int, L: int) -> Array:
    r"""Return :math:`\int Y_{l_1 m_1} Y_{l_2 m_2} Y_{LM} d\Omega` of real harmonics.

    Shape (2 l_first + 1, 2 l_second + 1, 2 L + 1): OpenMX's order for the first two, m ascending
    for the last.
    """
    n = l_first + l_second + L + 1
    z, weights = np.polynomial.legendre.leggauss(n // 2 + 1)
    angle = 2.0 * np.pi * np.arange(n) / n
    rho = np.sqrt(1.0 - z * z)
    points = np.stack(
        [
            np.outer(rho, np.cos(angle)).ravel(),
            np.outer(rho, np.sin(angle)).ravel(),
            np.repeat(z, n),
        ],
        axis=1,
    )
    first = solid_harmonics(l_first, points)[:, openmx_order(l_first)]
    second = solid_harmonics(l_second, points)[:, openmx_order(l_second)]
    area = np.repeat(weights, n) * 2.0 * np.pi / n
    coupling = np.einsum("p,pa,pb,pm->abm", area, first, second, solid_harmonics(L, points))
    coupling[np.abs(coupling) < 1e-14] = 0.0
    return np.asarray(coupling)


@lru_cache(maxsize=8)
def angular_momentum(l: int) -> Array:  # noqa: E741
    r"""Return M with :math:`\langle m | L_\alpha | m' \rangle = i M_\alpha`, (3, 2l+1, 2l+1).

    From :math:`L = -i\, r \times \nabla` acting on the polynomials. Antisymmetric; OpenMX's order.
    """
    n = 2 * (l + 1)
    z, weights = np.polynomial.legendre.leggauss(n)
    angle = 2.0 * np.pi * np.arange(2 * n) / (2 * n)
    rho = np.sqrt(1.0 - z * z)
    points = np.stack(
        [
            np.outer(rho, np.cos(angle)).ravel(),
            np.outer(rho, np.sin(angle)).ravel(),
            np.repeat(z, 2 * n),
        ],
        axis=1,
    )
    area = np.repeat(weights, 2 * n) * np.pi / n
    order = openmx_order(l)
    values = solid_harmonics(l, points)[:, order]
    gradients = solid_harmonic_gradients(l, points)[:, order]
    turned = np.cross(points[:, None, :], gradients)
    matrix = -np.einsum("p,pa,pbx->xab", area, values, turned)
    matrix[np.abs(matrix) < 1e-13] = 0.0
    return np.asarray(0.5 * (matrix - matrix.transpose(0, 2, 1)))


class Directions:
    """Lengths and harmonics of a set of bonds, evaluated once for each L.

    Parameters
    ----------
    vectors : ndarray, (n, 3) bohr
        Bonds; a zero vector stands for an orbital's own centre.
    gradients : bool
        Whether derivatives will be asked for.
    """

    def __init__(self, vectors: Array, *, gradients: bool = False) -> None:
        self.r = np.linalg.norm(vectors, axis=1)
        zero = self.r == 0.0
        # No direction: radial functions of L > 0 vanish there, so any will do.
        self.unit = np.where(zero[:, None], [0.0, 0.0, 1.0], vectors)
        self.unit /= np.where(zero, 1.0, self.r)[:, None]
        self.gradients = gradients
        self._values: dict[int, Array] = {}
        self._tangential: dict[int, Array] = {}

    def values(self, L: int) -> Array:
        """Return Y_LM, (n, 2L+1)."""
        if L not in self._values:
            self._values[L] = solid_harmonics(L, self.unit)
        return self._values[L]

    def tangential(self, L: int) -> Array:
        """Return the part of the gradient of r^L Y_LM across a bond of length 1, (n, 2L+1, 3)."""
        if L not in self._tangential:
            gradient = solid_harmonic_gradients(L, self.unit)
            along = np.einsum("nmx,nx->nm", gradient, self.unit)
            self._tangential[L] = gradient - along[:, :, None] * self.unit[:, None, :]
        return self._tangential[L]

    def ratio(self, values: Array, slopes: Array) -> Array:
        """Return f(r)/r of functions (n, ...) with its limit f'(0) at r = 0."""
        r = self.r.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(np.where(r == 0.0, slopes, values / np.where(r == 0.0, 1.0, r)))

"""Radial parts of local orbitals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from elphant.arrays import checked_array

Array = NDArray[np.float64]


class RadialFunction(Protocol):
    r"""Radial part of an orbital :math:`\phi(r) = f(r)\, S_{lm}(r)`, ``S`` a real solid harmonic.

    ``f`` is R(r)/r^l: it is regular at the nucleus, and its derivative over the distance too.
    """

    @property
    def cutoff(self) -> float:
        """Distance (Å) beyond which the function counts as zero."""
        ...

    def evaluate(self, squared_distance: Array) -> tuple[Array, Array]:
        r"""Return f and (df/dr)/r, each of the shape of ``squared_distance`` (Å²).

        Units are :math:`Å^{-3/2-l}` and :math:`Å^{-7/2-l}`. Then
        :math:`\nabla\phi = (f'/r)\, \mathbf r\, S + f\, \nabla S`.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists from which :func:`radial_from_dict` rebuilds the function."""
        ...


#: A Gaussian is cut where r^l times it falls below this, in Å^(-3/2).
GAUSSIAN_FLOOR = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GaussianRadial:
    r"""A contraction of Gaussians, :math:`f(r) = \sum_p c_p\, e^{-\alpha_p r^2}`.

    Attributes
    ----------
    exponents : ndarray, (n_primitives,) Å⁻²
    coefficients : ndarray, (n_primitives,) Å^(-3/2-l)
        With all normalisation included.
    l : int
        Angular momentum, for the cut-off.
    """

    exponents: Array
    coefficients: Array
    l: int  # noqa: E741  the field's own letter

    def __post_init__(self) -> None:
        exponents = checked_array("exponents", self.exponents, (None,))
        object.__setattr__(self, "exponents", exponents)
        coefficients = checked_array("coefficients", self.coefficients, (len(exponents),))
        object.__setattr__(self, "coefficients", coefficients)
        if exponents.min() <= 0:
            raise ValueError(f"a Gaussian exponent is {exponents.min():g} Å⁻²; it must be positive")

    @property
    def cutoff(self) -> float:
        """Distance (Å) beyond which the function is below :data:`GAUSSIAN_FLOOR`."""
        r = np.linspace(0.0, 40.0, 4001)
        large = np.abs(self.evaluate(r * r)[0]) * r**self.l > GAUSSIAN_FLOOR
        return float(r[np.flatnonzero(large)[-1]]) if large.any() else 0.0

    def evaluate(self, squared_distance: Array) -> tuple[Array, Array]:
        """Return f and (df/dr)/r; see :class:`RadialFunction`."""
        value = np.zeros_like(squared_distance)
        slope = np.zeros_like(squared_distance)
        for exponent, coefficient in zip(self.exponents, self.coefficients, strict=True):
            term = coefficient * np.exp(-exponent * squared_distance)
            value += term
            slope -= 2.0 * exponent * term
        return value, slope

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists."""
        return {
            "kind": "gaussian",
            "exponents": self.exponents.tolist(),
            "coefficients": self.coefficients.tolist(),
            "l": self.l,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TabulatedRadial:
    r"""A function on a grid of radii, a cubic spline in :math:`r^2` between them.

    Constant below the first radius, zero beyond the last.

    Attributes
    ----------
    radii : ndarray, (n_radii,) Å
        Ascending; the first ones should be small.
    values : ndarray, (n_radii,) Å^(-3/2-l)
        f = R/r^l.
    l : int
        Angular momentum.
    """

    radii: Array
    values: Array
    l: int  # noqa: E741  the field's own letter
    _spline: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        radii = checked_array("radii", self.radii, (None,))
        object.__setattr__(self, "radii", radii)
        values = checked_array("values", self.values, (len(radii),))
        object.__setattr__(self, "values", values)
        if len(radii) < 4 or radii[0] < 0 or not (np.diff(radii) > 0).all():
            raise ValueError("a table needs at least four radii, ascending from 0 or more")
        object.__setattr__(self, "_spline", CubicSpline(radii**2, values))

    @property
    def cutoff(self) -> float:
        """The last radius (Å)."""
        return float(self.radii[-1])

    def evaluate(self, squared_distance: Array) -> tuple[Array, Array]:
        """Return f and (df/dr)/r; see :class:`RadialFunction`."""
        first, last = float(self.radii[0]) ** 2, float(self.radii[-1]) ** 2
        clipped = np.clip(squared_distance, first, last)
        inside = squared_distance <= last
        value = np.where(inside, self._spline(clipped), 0.0)
        slope = np.where(inside & (squared_distance >= first), 2.0 * self._spline(clipped, 1), 0.0)
        return value, slope

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists."""
        return {
            "kind": "tabulated",
            "radii": self.radii.tolist(),
            "values": self.values.tolist(),
            "l": self.l,
        }


def radial_from_dict(record: dict[str, Any]) -> RadialFunction:
    """Rebuild a radial function from its ``to_dict``."""
    if record["kind"] == "tabulated":
        return TabulatedRadial(
            radii=np.array(record["radii"]), values=np.array(record["values"]), l=int(record["l"])
        )
    if record["kind"] != "gaussian":
        raise ValueError(f"radial functions of kind '{record['kind']}' are unknown")
    return GaussianRadial(
        exponents=np.array(record["exponents"]),
        coefficients=np.array(record["coefficients"]),
        l=int(record["l"]),
    )

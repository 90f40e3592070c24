"""Running sums of the thermal conductivity per crystal axis, the wave-like part included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accumulation:
    """A running sum.

    Attributes
    ----------
    quantity : ndarray, (n,)
        What the modes are ordered by (frequency in THz, mean free path in Å), ascending.
    running : ndarray, (n, …)
        Sum of the contributions up to and including each mode; the last row is the total.
    """

    quantity: Array
    running: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantity", checked_array("quantity", self.quantity, (None,)))
        shape = (len(self.quantity), *np.shape(self.running)[1:])
        object.__setattr__(self, "running", checked_array("running", self.running, shape))

    @property
    def total(self) -> Array:
        """The whole sum."""
        return np.asarray(self.running[-1]) if len(self.running) else np.zeros(())

    def at(self, grid: ArrayLike) -> Array:
        """Return the running sum at every value of ``grid``, modes equal to it included."""
        padded = np.concatenate([np.zeros((1, *self.running.shape[1:])), self.running])
        return np.asarray(padded[np.searchsorted(self.quantity, np.asarray(grid), side="right")])

    def reaching(self, share: float = 0.5) -> Array:
        """Return where the running sum first reaches ``share`` of the total, per column."""
        flat = self.running.reshape(len(self.running), -1)
        places = [
            self.quantity[min(np.searchsorted(column, share * column[-1]), len(column) - 1)]
            for column in flat.T
        ]
        return np.array(places).reshape(self.running.shape[1:])


def accumulate(quantity: ArrayLike, contributions: ArrayLike) -> Accumulation:
    """Return the running sum of ``contributions`` in ascending order of ``quantity``.

    Parameters
    ----------
    quantity : (n,) array
    contributions : (n, …) array
        For example the conductivity of each mode along a, b, c, in W m⁻¹ K⁻¹.
    """
    x = np.asarray(quantity, dtype=float)
    order = np.argsort(x, kind="stable")
    running = np.cumsum(np.asarray(contributions, dtype=float)[order], axis=0)
    return Accumulation(quantity=x[order], running=running)


def along_axes(tensors: ArrayLike, directions: ArrayLike) -> Array:
    """Return n·κ·n for every unit vector n, (…, n_directions) for tensors (…, 3, 3)."""
    n = np.asarray(directions, dtype=float)
    return np.asarray(np.einsum("ni,...ij,nj->...n", n, np.asarray(tensors, dtype=float), n))


def shared_coherence(pairs: ArrayLike, heat_capacities: ArrayLike) -> Array:
    r"""Return the wave-like conductivity of pairs of modes as a share of each mode.

    The part of the pair (s, s') is divided in the ratio of the heat capacities,
    :math:`C_s / (C_s + C_{s'})`, as in the mode-resolved benchmark of B. Póta, P. Ahlawat,
    G. Csányi and M. Simoncelli, arXiv:2408.00755; the sum over modes is the sum over pairs.

    Parameters
    ----------
    pairs : (…, n_modes, n_modes, k) array, W m⁻¹ K⁻¹
        Contribution of every ordered pair, along k axes (or the components of a tensor,
        flattened); the diagonal must be zero (it is the particle part).
    heat_capacities : (…, n_modes) array, eV/K

    Returns
    -------
    ndarray, (…, n_modes, k) W m⁻¹ K⁻¹
    """
    terms, heat = np.asarray(pairs, dtype=float), np.asarray(heat_capacities, dtype=float)
    both = heat[..., :, None] + heat[..., None, :]
    # Two modes without heat capacity share half and half: their pair carries nothing anyway.
    share = np.divide(heat[..., :, None], both, out=np.full_like(both, 0.5), where=both > 0)
    both_ways = terms + terms.swapaxes(-3, -2)
    return np.asarray(np.einsum("...st,...stk->...sk", share, both_ways))


def mean_free_paths(velocities: ArrayLike, rates: ArrayLike, directions: ArrayLike) -> Array:
    """Return |v·n| tau along every unit vector n, (…, n_directions) Å.

    Parameters
    ----------
    velocities : (…, 3) array, Å THz
        Group velocities, Cartesian.
    rates : (…) array, ps⁻¹
        1/tau; modes without a rate get the length zero.
    directions : (n_directions, 3) array
    """
    rate = np.asarray(rates, dtype=float)
    alive = np.isfinite(rate) & (rate > 0)
    tau = np.divide(1.0, rate, out=np.zeros_like(rate), where=alive)
    projected = np.abs(np.asarray(velocities, dtype=float) @ np.asarray(directions, dtype=float).T)
    return np.asarray(projected * tau[..., None])


def spectrum(
    frequencies: ArrayLike, contributions: ArrayLike, grid: ArrayLike, width: float
) -> Array:
    """Return contributions per THz on a grid, every mode broadened by a Gaussian.

    Each mode's curve is scaled to unit area on the grid by the trapezoidal rule, so that the area
    under the result is the sum of the contributions whatever the grid and the width.

    Parameters
    ----------
    frequencies : (n,) array, THz
    contributions : (n, k) array
    grid : (n_f,) array, THz
        Ascending; it must cover every frequency.
    width : float, THz
        Standard deviation of the Gaussian; at least the spacing of the grid.

    Returns
    -------
    ndarray, (n_f, k)
    """
    x, centres = np.asarray(grid, dtype=float), np.asarray(frequencies, dtype=float)
    if len(centres) and (centres.min() < x[0] or centres.max() > x[-1]):
        raise ValueError("the grid does not cover every frequency")
    kernel = np.exp(-0.5 * ((x - centres[:, None]) / width) ** 2)
    area = (0.5 * (kernel[:, 1:] + kernel[:, :-1]) * np.diff(x)).sum(axis=1)
    return np.asarray((kernel / area[:, None]).T @ np.asarray(contributions, dtype=float))

r"""Energy conservation on a mesh: weights of :math:`\delta(\varepsilon' - \varepsilon \mp \omega)`.

Three choices. A Gaussian of fixed width needs a width that suits the mesh. An adaptive one takes
the spread of the energy difference over one cell of the mesh (J. R. Yates, X. Wang, D. Vanderbilt
and I. Souza, Phys. Rev. B 75, 195121 (2007); W. Li, J. Carrete, N. A. Katcho and N. Mingo, Comput.
Phys. Commun. 185, 1747 (2014), equation 18):

.. math:: \sigma^2 = \tfrac{1}{12} \sum_i [\hbar (v' - v_\nu) \cdot b_i / N_i]^2.

Linear tetrahedra use the energies alone: the weight of a state l' at the energy E is the integral
of :math:`\delta(E - \varepsilon(k))` times its corner function over the tetrahedra around it, and E
is :math:`\varepsilon \pm \hbar\omega` with the phonon between the two states.

The rate from l to l' and the rate back obey detailed balance only if both carry one weight. Widths
are therefore combined as :math:`\sigma^2 = (\sigma_l^2 + \sigma_{l'}^2)/2`, and tetrahedron
weights as the mean of both directions; the weight of a pair then changes neither with the direction
nor with the member of a star. All weights have the unit 1/energy and are for sums over the mesh
with 1/N.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.electron.transport.window import WindowStates
from elphant.grids.tetrahedron import cell_tetrahedra, corner_weights
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Gaussians end at this many standard deviations and are normalised inside.
CUT = 4.0
_NORM = 1.0 / (sqrt(2.0 * pi) * erf(CUT / sqrt(2.0)))

#: Smallest adaptive width as a share of the mean one.
SMALLEST_WIDTH_SHARE = 0.25

#: Step (eV) of tabulated tetrahedron weights, and (tetrahedron, energy) pairs handled at a time.
TABLE_STEP, PIECE = 1e-3, 400_000


def gaussian_weights(difference: ArrayLike, sigma: ArrayLike) -> Array:
    """Return normalised Gaussians, zero beyond :data:`CUT` standard deviations, 1/eV.

    Parameters
    ----------
    difference : array_like, eV
    sigma : array_like, eV
        Standard deviations, broadcast against ``difference``.
    """
    inverse = 1.0 / np.asarray(sigma, dtype=float)
    u = np.asarray(np.asarray(difference, dtype=float) * inverse)
    # In place: these arrays are the largest of a scattering calculation.
    u *= u
    beyond = u > CUT**2
    u *= -0.5
    u = np.asarray(np.exp(u, out=u))
    u *= _NORM * inverse
    u[beyond] = 0.0
    return u


def phonon_gaussians(difference: Array, omega: Array, sigma: Array) -> Array:
    r"""Return :math:`\delta(x - \hbar\omega) + \delta(x + \hbar\omega)` with Gaussians.

    Parameters
    ----------
    difference : ndarray, (n_pairs,) eV
        x, the energy of the final state less that of the initial one.
    omega : ndarray, (n_pairs, n_modes) eV
        Phonon energies, none negative.
    sigma : ndarray, (n_pairs,) or (n_pairs, n_modes) eV

    Returns
    -------
    ndarray, (n_pairs, n_modes) eV⁻¹
    """
    distance = np.abs(difference)
    width = sigma if sigma.ndim == 2 else sigma[:, None]
    result = np.zeros_like(omega)
    # Only pairs that some phonon reaches.
    reach = omega.max(axis=1) + CUT * width.max(axis=1)
    near = np.flatnonzero(distance < reach)
    if not len(near):
        return result
    x, s, w = distance[near][:, None], width[near], omega[near]
    value = gaussian_weights(x - w, s)
    # The process of the other sign contributes only where both energies are below the width.
    row, mode = np.nonzero(x + w < CUT * s)
    narrow = np.broadcast_to(s, w.shape)[row, mode]
    value[row, mode] += gaussian_weights(x[row, 0] + w[row, mode], narrow)
    result[near] = value
    return result


def thermal_balance(mismatch: ArrayLike, temperature: float) -> Array:
    r"""Return what keeps broadened delta functions from raising the rates.

    A pair of states whose energies miss conservation by x has a symmetric kernel, so that the rates
    from one to the other and back contain :math:`e^{\mp x / 2 k_B T}`. The mean of that over a
    symmetric delta function exceeds one, by :math:`\sigma^2 / 8 (k_B T)^2`; with the factor
    :math:`1 / \cosh(x / 2 k_B T)` it is exactly one.

    Parameters
    ----------
    mismatch : array_like, eV
        Difference of the energies of two states less that of the phonon, of either sign.
    temperature : float, K
    """
    x = np.abs(np.asarray(mismatch, dtype=float)) / (2.0 * BOLTZMANN_EV * temperature)
    return np.asarray(1.0 / np.cosh(np.minimum(x, 350.0)))


def step_metric(steps: ArrayLike, rotations: ArrayLike | None = None) -> Array:
    r"""Return :math:`\sum_i s_i s_i^T` of the steps of a mesh, (3, 3) Å⁻².

    Parameters
    ----------
    steps : array_like, (3, 3) Å⁻¹
        b_i/N_i with 2π, rows.
    rotations : array_like, (n, 3, 3), optional
        Point operations. The metric is averaged over them: that of three lattice vectors alone
        need not have the symmetry of the mesh, and equivalent states would get unequal widths.
    """
    steps = np.asarray(steps, dtype=float)
    metric = steps.T @ steps
    if rotations is None:
        return np.asarray(metric)
    r = np.asarray(rotations, dtype=float)
    return np.asarray((r @ metric @ r.swapaxes(1, 2)).mean(axis=0))


def adaptive_widths(
    velocities: Array,
    metric: Array,
    *,
    scale: float = 1.0,
    floor: float | None = None,
    weights: Array | None = None,
) -> Array:
    """Return the spread of the energy over a cell of the mesh, (...) eV.

    Parameters
    ----------
    velocities : ndarray, (..., 3) Å/ps
        Of the electrons, or their difference from those of the phonons.
    metric : ndarray, (3, 3) Å⁻²
        From :func:`step_metric`.
    scale : float
        Factor on all widths.
    floor : float, eV, optional
        Smallest width; by default :data:`SMALLEST_WIDTH_SHARE` of the mean.
    weights : ndarray, (...), optional
        Of the states in that mean: with irreducible states alone, the shares of their stars, so
        that the floor is the same as with all states.
    """
    v = HBAR_EV_PS * np.asarray(velocities, dtype=float)
    squares = np.einsum("...a,ab,...b->...", v, metric, v) / 12.0
    sigma = scale * np.sqrt(np.maximum(squares, 0.0))
    if floor is None:
        floor = SMALLEST_WIDTH_SHARE * float(np.average(sigma, weights=weights))
    return np.asarray(np.maximum(sigma, floor))


def pair_widths(first: ArrayLike, second: ArrayLike) -> Array:
    """Return the width of a pair of states, the same in both directions."""
    return np.asarray(np.sqrt(0.5 * (np.square(first) + np.square(second))))


@dataclass(frozen=True, kw_only=True, eq=False)
class TetrahedronTable:
    r"""Tetrahedron weights of the states of a window as functions of the energy.

    The weight of a state is averaged over its star, since the cut of the mesh cells into
    tetrahedra has not the symmetry of the crystal, and over each energy step; sums over states
    keep the integrated number of states. Tetrahedra with a corner outside the window are left out.

    Attributes
    ----------
    first : float, eV
        Centre of the first step.
    step : float, eV
    values : ndarray, (n, n_steps) eV⁻¹
        Of every irreducible state; zero in the first and the last step.
    """

    first: float
    step: float
    values: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", checked_array("values", self.values, (None, None)))

    @classmethod
    def of(cls, window: WindowStates, step: float = TABLE_STEP) -> TetrahedronTable:
        """Tabulate the weights of the irreducible states of a window."""
        tetrahedra = _tetrahedra(window)
        low = float(window.energies[window.inside].min()) - 2.0 * step
        high = float(window.energies[window.inside].max()) + 2.0 * step
        borders = np.asarray(low + step * np.arange(int(np.ceil((high - low) / step)) + 1))
        position = np.full((len(window.irreducible), window.energies.shape[1]), -1)
        position[tuple(window.irreducible_states.T)] = np.arange(len(window.irreducible_states))
        n = len(window.irreducible_states)
        number = np.zeros((n + 1, len(borders)))
        for band in range(window.energies.shape[1]):
            # States that are not in the window share the last row, which is dropped.
            row = position[window.representative, band]
            _add_numbers(window.energies[:, band], tetrahedra, row, borders, number)
        density = np.diff(number[:n], axis=1) / (6.0 * step)
        star = np.bincount(window.representative)[window.irreducible_states[:, 0]]
        density /= star[:, None]
        density[:, [0, -1]] = 0.0
        return cls(first=float(borders[0] + 0.5 * step), step=step, values=density)

    def weights(self, states: Integers, energies: Array) -> Array:
        """Return the weights of irreducible states at any energies, broadcast, 1/eV."""
        x = (energies - self.first) / self.step
        np.clip(x, 0.0, self.values.shape[1] - 1.000001, out=x)
        below = x.astype(np.int64)
        x -= below
        flat = self.values.ravel()
        index = below + np.asarray(states) * self.values.shape[1]
        lower = flat[index]
        index += 1
        return np.asarray(lower + x * (flat[index] - lower))

    def pair_weights(self, first: Integers, second: Integers, e1: Array, e2: Array) -> Array:
        """Return weights of elastic transitions, the mean of both directions, 1/eV."""
        return 0.5 * (self.weights(first, e2) + self.weights(second, e1))

    def phonon_weights(
        self, initial: Integers, final: Integers, e_initial: Array, e_final: Array, omega: Array
    ) -> Array:
        r"""Return :math:`\delta(x - \hbar\omega) + \delta(x + \hbar\omega)` with tetrahedra.

        The mean of both directions: tetrahedra around the final state at ε ± ħω, and around the
        initial one at ε' ∓ ħω.

        Parameters
        ----------
        initial, final : ndarray of int, (n_pairs,)
            Irreducible states; for a full state, its image.
        e_initial, e_final : ndarray, (n_pairs,) eV
        omega : ndarray, (n_pairs, n_modes) eV

        Returns
        -------
        ndarray, (n_pairs, n_modes) eV⁻¹
        """
        i, f = np.asarray(initial)[:, None], np.asarray(final)[:, None]
        a, b = e_initial[:, None], e_final[:, None]
        total = self.weights(f, a + omega)
        total += self.weights(f, a - omega)
        total += self.weights(i, b - omega)
        total += self.weights(i, b + omega)
        total *= 0.5
        return total


def _tetrahedra(window: WindowStates) -> Integers:
    """Return tetrahedra with all corners in the window, as indices of its points (n, 4)."""
    divisions = window.divisions
    grid = np.full(tuple(divisions), -1)
    grid[tuple(window.addresses.T)] = np.arange(window.n_points)
    # Cells are listed by a corner that need not be in the window: all cells around its points.
    corners = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
    cells = np.mod(window.addresses[:, None] - corners, divisions).reshape(-1, 3)
    flat = np.unique(np.ravel_multi_index(tuple(cells.T), tuple(divisions)))
    cells = np.stack(np.unravel_index(flat, tuple(divisions)), axis=1)
    result = []
    for path in cell_tetrahedra(window.steps):
        points = np.mod(cells[:, None] + path, divisions)
        result.append(grid[tuple(points.transpose(2, 0, 1))])
    tetrahedra = np.concatenate(result)
    return np.asarray(tetrahedra[(tetrahedra >= 0).all(axis=1)])


def _add_numbers(
    energies: Array, tetrahedra: Integers, row: Integers, borders: Array, number: Array
) -> None:
    """Add the corner weights of the number of states below each border to ``number``.

    Parameters
    ----------
    energies : ndarray, (n_points,)
    tetrahedra : ndarray of int, (n, 4)
    row : ndarray of int, (n_points,)
        Row of ``number`` that each point adds to.
    borders : ndarray, (n_borders,)
    number : ndarray, (n_rows, n_borders)
    """
    corners = energies[tetrahedra]
    order = np.argsort(corners, axis=1)
    corners = np.take_along_axis(corners, order, axis=1)
    rows = row[np.take_along_axis(tetrahedra, order, axis=1)] % len(number)
    first = np.searchsorted(borders, corners[:, 0], side="right")
    last = np.maximum(np.searchsorted(borders, corners[:, 3], side="left"), first)
    # From the last corner on a tetrahedron counts in full.
    n_rows, n_borders = number.shape
    full = np.zeros((n_rows, n_borders + 1))
    flat = (rows * (n_borders + 1) + last[:, None]).ravel()
    full += 0.25 * np.bincount(flat, minlength=full.size).reshape(full.shape)
    number += np.cumsum(full, axis=1)[:, :-1]
    counts = last - first
    hit = np.flatnonzero(counts)
    for some in np.array_split(hit, max(1, int(counts.sum()) // PIECE)):
        which = np.repeat(some, counts[some])
        before = np.cumsum(counts[some]) - counts[some]
        border = first[which] + np.arange(len(which)) - np.repeat(before, counts[some])
        _, step = corner_weights(corners[which].T, borders[border])
        flat = rows[which].T * n_borders + border
        number += np.bincount(flat.ravel(), weights=step.ravel(), minlength=number.size).reshape(
            number.shape
        )

r"""Which scattering limits the current: additive shares from one solution.

Conductivity is homogeneous of degree -1 in the collision operator, so that with :math:`\mathcal C =
\sum_w \mathcal C_w` and the solution φ the shares

.. math:: \frac{\varphi^T \mathcal C_w \varphi}{\varphi^T \mathcal C \varphi}
          = -\frac{\partial \ln \sigma}{\partial \ln \mathcal C_w}

sum to one for any division: parts of the coupling and impurities, phonon modes, scattering within
and between valleys. Interference may have a negative share. For the relaxation-time approximation
:math:`\mathcal C_w` is the part of the rates alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from elphant.coupling.scattering import PARTS, PairSums, pair_rates
from elphant.electron.transport.attribution import dissipation
from elphant.electron.transport.solution import TransportSolution
from elphant.electron.transport.window import WindowStates
from elphant.units import PLANCK_EV_PS

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Intervals of the phonon energy.
N_INTERVALS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """A solution whose scattering is to be attributed.

    Attributes
    ----------
    temperature : float, K
    amplitudes : ndarray, (n,)
        s of the irreducible states; any common factor.
    response : ndarray, (n, 3)
        φ of the irreducible states.
    full : bool
        True for the Boltzmann equation (D - K), False for relaxation times (D).
    """

    temperature: float
    amplitudes: Array
    response: Array
    full: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """What each mechanism adds to the dissipation of one solution, as tensors of any common unit.

    Attributes
    ----------
    edges : ndarray, (n_intervals + 1,) THz
        Phonon frequencies between the intervals.
    spectrum : dict of str to ndarray, (n_intervals, 3, 3)
        By interval and part.
    valleys : ndarray, (2, 3, 3)
        Phonons within and between valleys.
    impurities : ndarray, (2, 3, 3), or None
        The same of impurities, where there are any.
    """

    edges: Array
    spectrum: dict[str, Array]
    valleys: Array
    impurities: Array | None = None

    def along(self, direction: Array) -> Shares:
        """Return the shares for a current along a unit vector."""
        d = np.asarray(direction, dtype=float)

        def component(tensors: Array) -> Array:
            return np.asarray(np.einsum("a,nab,b->n", d, tensors, d))

        spectrum = {name: component(values) for name, values in self.spectrum.items()}
        sums = {name: float(values.sum()) for name, values in spectrum.items()}
        valleys = component(self.valleys)
        if self.impurities is not None:
            elastic = component(self.impurities)
            sums["impurity"] = float(elastic.sum())
            valleys = valleys + elastic
        total = sum(sums.values()) or 1.0
        within, between = valleys / total
        return Shares(
            parts={name: value / total for name, value in sums.items()},
            intra=float(within),
            inter=float(between),
            edges=self.edges,
            spectrum={name: values / total for name, values in spectrum.items()},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Shares:
    """Shares along one direction.

    Attributes
    ----------
    parts : dict of str to float
        Of the coupling to phonons, and ``impurity`` where there are any; they sum to one.
    intra, inter : float
        Within and between valleys; they sum to one.
    edges : ndarray, (n_intervals + 1,) THz
    spectrum : dict of str to ndarray, (n_intervals,)
        By interval of the phonon frequency and part; they sum to one less the share of impurities.
    """

    parts: dict[str, float]
    intra: float
    inter: float
    edges: Array
    spectrum: dict[str, Array]

    @property
    def mean_frequency(self) -> float:
        """Mean phonon frequency (THz), weighted with the magnitude of the shares."""
        weight = np.abs(sum(self.spectrum.values()))
        centres = 0.5 * (self.edges[1:] + self.edges[:-1])
        return float((weight * centres).sum() / max(float(np.sum(weight)), 1e-300))


def impurity_dissipation(
    window: WindowStates,
    solution: TransportSolution,
    kernel: csr_array,
    valley: Integers | None = None,
) -> Array:
    """Return what impurities add to the dissipation within and between valleys, (2, 3, 3).

    Parameters
    ----------
    window : WindowStates
    solution : TransportSolution
        Of all scattering.
    kernel : csr_array, (n, n_full) ps⁻¹
        Of impurities alone.
    valley : ndarray of int, (n_points,), optional
        Valley of each point of the window; without, everything counts as intravalley.
    """
    whole = dissipation(solution, kernel)
    between = np.zeros((3, 3))
    if valley is not None:
        pairs = coo_array(kernel)
        crossing = pairs.data * _across(window, valley, *pairs.coords)
        between = dissipation(solution, csr_array((crossing, pairs.coords), shape=kernel.shape))
    return np.array([whole - between, between])


def _across(window: WindowStates, valley: Integers, row: Integers, column: Integers) -> Integers:
    """Return 1 for pairs of states of different valleys, else 0."""
    initial = window.irreducible[window.irreducible_states[row, 0]]
    return np.asarray((valley[initial] != valley[window.full_states[column, 0]]) * 1)


def attribute(
    sums: PairSums,
    responses: Sequence[Response],
    valley: Integers | None = None,
    observe: Callable[[int, int], None] | None = None,
) -> list[Attribution]:
    """Return the shares of several solutions; the matrix elements are computed once more.

    Parameters
    ----------
    sums : PairSums
    responses : sequence of Response
    valley : ndarray of int, (n_points,), optional
        Valley of each point of the window; without, everything counts as intravalley.
    observe : callable, optional
        Told how many of how many initial states are done.
    """
    w = sums.window
    space = w.state_space()
    top = 1.001 * sums.modes.largest_energy / PLANCK_EV_PS
    edges = np.linspace(0.0, top, N_INTERVALS + 1)
    spectra = [{name: np.zeros((N_INTERVALS, 3, 3)) for name in PARTS} for _ in responses]
    between = [np.zeros((2, 3, 3)) for _ in responses]
    # Only components that the mean over the point group leaves.
    group = w.rotations_cartesian
    upper = [(a, b) for a in range(3) for b in range(a, 3)]
    units = np.zeros((len(upper), 3, 3))
    units[np.arange(len(upper)), *np.transpose(upper)] = 1.0
    kept = np.abs(_star_mean(units, group)).max(axis=(1, 2)) > 1e-9
    components = [pair for pair, keep in zip(upper, kept, strict=True) if keep]
    full = [np.einsum("lab,lb->la", space.rotations, r.response[space.images]) for r in responses]
    for block in sums.blocks(observe):
        interval = np.minimum(
            (block.omega / PLANCK_EV_PS / top * N_INTERVALS).astype(np.int64), N_INTERVALS - 1
        )
        across = np.zeros(len(block.row), dtype=np.int64)
        if valley is not None:
            across = _across(w, valley, block.row, block.column)
        for number, r in enumerate(responses):
            phi, other = r.response[block.row], full[number][block.column]
            s = r.amplitudes
            ratio = s[space.images[block.column]] / s[block.row]
            weight = space.weights[block.row]
            rates = pair_rates(sums, block, r.temperature)
            for x, y in components:
                factor = phi[:, x] * phi[:, y] * ratio
                if r.full:
                    factor = factor - 0.5 * (phi[:, x] * other[:, y] + phi[:, y] * other[:, x])
                factor = factor * weight
                for name, values in rates.items():
                    each = values * factor[:, None]
                    spectra[number][name][:, x, y] += np.bincount(
                        interval.ravel(), weights=each.ravel(), minlength=N_INTERVALS
                    )
                    between[number][:, x, y] += np.bincount(
                        across, weights=each.sum(axis=1), minlength=2
                    )
    return [
        Attribution(
            edges=edges,
            spectrum={name: _star_mean(values, group) for name, values in spectrum.items()},
            valleys=_star_mean(sides, group),
        )
        for spectrum, sides in zip(spectra, between, strict=True)
    ]


def _star_mean(tensors: Array, group: Array) -> Array:
    """Return tensors (n, 3, 3), given by their upper halves, averaged over a group."""
    whole = tensors + np.triu(tensors, 1).swapaxes(1, 2)
    turned = np.einsum("gab,nbc,gdc->nad", group, whole, group, optimize=True)
    return np.asarray(turned / len(group))

"""Carriers and chemical potentials from a density of states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, log_expit, logsumexp

from elphant.electron.density_of_states import DensityOfStates
from elphant.errors import PhysicsError
from elphant.units import BOLTZMANN_EV

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierStates:
    """States of both bands around a gap, ready for occupation.

    Electrons are counted over the conduction states with f, holes over the valence states with
    1 - f: neither is a small difference of large numbers.

    Attributes
    ----------
    electron_levels, hole_levels : ndarray, (n,) eV
        Mean energies of the intervals of the density of states above and below the gap.
    electron_states, hole_states : ndarray, (n,)
        States per cell in each interval.
    """

    electron_levels: Array
    electron_states: Array
    hole_levels: Array
    hole_states: Array

    @classmethod
    def of(cls, dos: DensityOfStates, valence_edge: float, conduction_edge: float) -> CarrierStates:
        """Split a density of states at its gap.

        The energies of ``dos`` must be spaced more finely than k_B T near the edges, and both edges
        must lie inside their range.
        """
        if not dos.energies[0] < valence_edge < conduction_edge < dos.energies[-1]:
            raise ValueError("the density of states does not cover both band edges")
        states = np.maximum(np.diff(dos.number), 0.0)
        middle = 0.5 * (dos.energies[1:] + dos.energies[:-1])
        above = middle > 0.5 * (valence_edge + conduction_edge)
        above, below = above & (states > 0), ~above & (states > 0)
        # The first interval may reach into the gap, where there are no states.
        return cls(
            electron_levels=np.maximum(middle[above], conduction_edge),
            electron_states=states[above],
            hole_levels=np.minimum(middle[below], valence_edge),
            hole_states=states[below],
        )

    def log_electrons(self, chemical_potential: float, temperature: float) -> float:
        """Return the natural logarithm of the electrons per cell."""
        x = (chemical_potential - self.electron_levels) / (BOLTZMANN_EV * temperature)
        return float(logsumexp(log_expit(x), b=self.electron_states))

    def log_holes(self, chemical_potential: float, temperature: float) -> float:
        """Return the natural logarithm of the holes per cell."""
        x = (self.hole_levels - chemical_potential) / (BOLTZMANN_EV * temperature)
        return float(logsumexp(log_expit(x), b=self.hole_states))


def chemical_potential(states: CarrierStates, temperature: float, excess: float = 0.0) -> float:
    """Return the chemical potential (eV) at which electrons minus holes per cell is ``excess``.

    Zero gives the intrinsic level. The search compares logarithms, so that 1e10 carriers per cm³
    are found as well as 1e21.

    Parameters
    ----------
    states : CarrierStates
    temperature : float, K
    excess : float
        Ionised donors minus acceptors per cell.

    Raises
    ------
    PhysicsError
        If the states cannot hold so many carriers.
    """
    room = states.electron_states.sum() if excess > 0 else states.hole_states.sum()
    if abs(excess) >= room:
        raise PhysicsError(
            f"{abs(excess):g} carriers per cell do not fit into the {room:g} states considered.",
            fix="Give a smaller doping, or a density of states over a wider range.",
        )
    donors = np.log(excess) if excess > 0 else -np.inf
    acceptors = np.log(-excess) if excess < 0 else -np.inf

    def imbalance(level: float) -> float:
        electrons = np.logaddexp(states.log_electrons(level, temperature), acceptors)
        return float(electrons - np.logaddexp(states.log_holes(level, temperature), donors))

    margin = 1.0 + 60.0 * BOLTZMANN_EV * temperature
    low, high = states.hole_levels.min() - margin, states.electron_levels.max() + margin
    return float(brentq(imbalance, low, high, xtol=1e-13, rtol=1e-13, maxiter=300))


def fermi_function(energies: Array, chemical_potential: float, temperature: float) -> Array:
    """Return the occupation of levels, without overflow at any energy."""
    return np.asarray(expit((chemical_potential - energies) / (BOLTZMANN_EV * temperature)))

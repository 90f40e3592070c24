"""Rates taken apart by process, the room the phonons have to scatter, and velocity anisotropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array

Array = NDArray[np.float64]

#: Channels whose sum is the total rate; each may be taken apart further.
TOTAL_CHANNELS = ("three_phonon", "four_phonon", "isotope", "boundary")

#: Parts of a channel. Absorption: q + q' -> q''; emission: q -> q' + q''. Four phonons:
#: recombination (++) q + q' + q'' -> q''', redistribution (+-) q + q' -> q'' + q''',
#: splitting (--) q -> q' + q'' + q'''.
PARTS: Mapping[str, tuple[str, ...]] = {
    "three_phonon": ("three_phonon_absorption", "three_phonon_emission"),
    "four_phonon": (
        "four_phonon_recombination", "four_phonon_redistribution", "four_phonon_splitting",
    ),
}  # fmt: skip

CHANNELS = (*TOTAL_CHANNELS, *(part for parts in PARTS.values() for part in parts))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatesByProcess:
    """Scattering rates 1/tau (full widths, ps⁻¹) of every mode, by process.

    Attributes
    ----------
    frequencies : ndarray, (n_q, n_modes) THz
    weights : ndarray, (n_q,)
        Multiplicity of the q-points.
    channels : mapping of str to ndarray, (n_q, n_modes) ps⁻¹
        Keys are among :data:`CHANNELS`. A channel whose parts are given may be left out; it is
        their sum then.
    umklapp : mapping of str to ndarray, (n_q, n_modes) ps⁻¹
        The part of a channel whose wave vectors add up to a reciprocal lattice vector other than
        zero. It depends on the choice of the Brillouin zone; empty when not computed.
    """

    frequencies: Array
    weights: Array
    channels: Mapping[str, Array]
    umklapp: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frequencies = checked_array("frequencies", self.frequencies, (None, None))
        object.__setattr__(self, "frequencies", frequencies)
        weights = checked_array("weights", self.weights, (len(frequencies),))
        object.__setattr__(self, "weights", weights)
        for name in ("channels", "umklapp"):
            given: Mapping[str, Array] = getattr(self, name)
            unknown = sorted(set(given) - set(CHANNELS))
            if unknown:
                raise ValueError(f"unknown channel {', '.join(unknown)} in {name}")
            values = {
                key: checked_array(key, value, frequencies.shape) for key, value in given.items()
            }
            object.__setattr__(self, name, values)
        completed = dict(self.channels)
        for whole, parts in PARTS.items():
            present = [completed[part] for part in parts if part in completed]
            if whole not in completed and present:
                completed[whole] = np.sum(present, axis=0)
        object.__setattr__(self, "channels", completed)

    @property
    def total(self) -> Array:
        """All processes together (Matthiessen's rule), (n_q, n_modes) ps⁻¹."""
        present = [self.channels[name] for name in TOTAL_CHANNELS if name in self.channels]
        return np.asarray(np.sum(present, axis=0)) if present else np.zeros_like(self.frequencies)

    def mean(self, channel: str, heat_capacities: ArrayLike) -> float:
        """Return the mean rate of a channel, weighted with the mode heat capacities, ps⁻¹."""
        share = self.weights[:, None] * np.asarray(heat_capacities, dtype=float)
        return float((share * self.channels[channel]).sum() / share.sum())

    def summary(self, heat_capacities: ArrayLike) -> dict[str, dict[str, float]]:
        """Return per channel the mean and median rate and the share of the mean total rate.

        Modes without heat capacity (left out) do not count.
        """
        heat = np.asarray(heat_capacities, dtype=float)
        total = RatesByProcess(
            frequencies=self.frequencies, weights=self.weights,
            channels={"three_phonon": self.total},
        ).mean("three_phonon", heat)  # fmt: skip
        result = {}
        for name in CHANNELS:
            if name not in self.channels:
                continue
            mean = self.mean(name, heat)
            result[name] = {
                "mean": mean,
                "median": _weighted_median(
                    self.channels[name][heat > 0],
                    np.broadcast_to(self.weights[:, None], heat.shape)[heat > 0],
                ),
                "share": mean / total if total > 0 else 0.0,
            }
        return result


def mean_phase_space(phase_space: ArrayLike, weights: ArrayLike) -> float:
    """Return the mean over all modes of a phase space per mode (n_q, n_modes).

    The phase space of a mode is the sum of the delta functions of its processes, without matrix
    elements and occupations (L. Lindsay and D. A. Broido, J. Phys.: Condens. Matter 20, 165209
    (2008)); its unit is that of the delta function, ps.
    """
    values, w = np.asarray(phase_space, dtype=float), np.asarray(weights, dtype=float)
    return float((w[:, None] * values).sum() / (w.sum() * values.shape[1]))


def branch_spacing(highest_frequency: float, n_modes: float) -> float:
    """Return the mean spacing of the branches, ``2π f_max / n_modes``, as a rate in ps⁻¹.

    Modes that scatter faster than this overlap in energy, and the wave-like channel of heat grows
    as large as the particle-like one (M. Simoncelli, N. Marzari and F. Mauri, Phys. Rev. X 12,
    041011 (2022)).

    Parameters
    ----------
    highest_frequency : float, THz
    n_modes : float
        Branches.
    """
    return float(2.0 * np.pi * highest_frequency / n_modes)


def velocity_anisotropy(
    velocities: ArrayLike,
    weights: ArrayLike,
    directions: ArrayLike,
    heat_capacities: ArrayLike | None = None,
) -> Array:
    """Return the mean of (v·n)² over the modes along every unit vector n, (n_directions,) (Å THz)².

    With a lifetime that is the same for all modes the conductivity along n is proportional to it.

    Parameters
    ----------
    velocities : (n_q, n_modes, 3) array, Å THz
        On the whole mesh: at irreducible points alone the mean has not the symmetry of the crystal.
    weights : (n_q,) array
    directions : (n_directions, 3) array
    heat_capacities : (n_q, n_modes) array, optional
        Weights of the modes, for example at 300 K; all modes count the same without.
    """
    v = np.asarray(velocities, dtype=float)
    heat = np.ones(v.shape[:2]) if heat_capacities is None else np.asarray(heat_capacities, float)
    share = np.asarray(weights, dtype=float)[:, None] * heat
    projected = (v @ np.asarray(directions, dtype=float).T) ** 2
    return np.asarray(np.einsum("qs,qsn->n", share, projected) / share.sum())


def _weighted_median(values: Array, weights: Array) -> float:
    if not len(values):
        return 0.0
    order = np.argsort(values, kind="stable")
    running = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(running, 0.5 * running[-1])])

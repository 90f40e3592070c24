"""Mode-resolved quantities of one temperature, projected on the crystal axes and flattened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal.io import shortest_distance
from elphant.phonon.analysis.cumulative import along_axes
from elphant.report.phonon_arrays import LevelTransport
from elphant.report.run_data import RunData
from elphant.units import W_PER_MK_PER_EV_PER_K_A_PS

Array = NDArray[np.float64]

#: Modes below this frequency (THz) are the acoustic modes at Γ or imaginary: no lifetime.
LOWEST_FREQUENCY = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModeTable:
    """One row per phonon mode of the irreducible mesh.

    Attributes
    ----------
    level : str
        For example ``SCP+3,4ph``.
    solver : str
        ``rta`` or ``bte``; lifetimes are those of the RTA in either case.
    temperature : float
        K.
    frequency : ndarray, (n,) THz
    weight : ndarray, (n,)
        Share of the mode's q-point in the Brillouin zone; sums to the number of branches.
    rate : ndarray, (n,) 1/ps
        All processes. Zero where the mode was left out.
    channels : mapping of str to ndarray, (n,) 1/ps
        Rates by channel, as far as they were computed.
    conductivity : ndarray, (n, 3) W m⁻¹ K⁻¹
        Contribution of the mode to the conductivity of particles along a, b, c; sums to the
        tensor's values.
    coherence : ndarray, (n, 3) W m⁻¹ K⁻¹, or None
        The mode's share of the wave-like conductivity.
    velocity : ndarray, (n, 3) Å THz
        Root mean square, over the star of q, of the group velocity along a, b, c.
    speed : ndarray, (n,) Å THz
        Modulus of the group velocity.
    """

    level: str
    solver: str
    temperature: float
    frequency: Array
    weight: Array
    rate: Array
    channels: Mapping[str, Array]
    conductivity: Array
    coherence: Array | None
    velocity: Array
    speed: Array

    def channel(self, name: str) -> Array:
        """Return the rate of a channel, (n,) 1/ps; zero where it was not computed."""
        return self.channels.get(name, np.zeros_like(self.rate))

    @property
    def total(self) -> Array:
        """Contribution to the whole conductivity, the wave-like part included, (n, 3)."""
        return self.conductivity if self.coherence is None else self.conductivity + self.coherence

    @property
    def method(self) -> str:
        """Level, coherence and solver in words, for captions."""
        wave = " + coherence" if self.coherence is not None else ""
        return f"{self.level}{wave}, {self.solver.upper()}"

    @property
    def lifetime(self) -> Array:
        """1/rate, (n,) ps; zero for modes without a rate."""
        return np.divide(1.0, self.rate, out=np.zeros_like(self.rate), where=self.rate > 0)

    @property
    def mean_free_path(self) -> Array:
        """|v| tau, (n,) Å."""
        return np.asarray(self.speed * self.lifetime)

    @property
    def mean_free_path_along_axes(self) -> Array:
        """Mean free path along a, b, c, (n, 3) Å."""
        return np.asarray(self.velocity * self.lifetime[:, None])


def mode_table(
    run: RunData, temperature: float = 300.0, level: str | None = None
) -> ModeTable | None:
    """Return the modes at the stored temperature nearest to ``temperature``, or None.

    Without ``level`` the most complete one with mode-resolved data is taken. The star average
    <v_n²> comes from the RTA conductivity of the mode, ``w c <v_n²> tau / V``, so that it is right
    for irreducible points of any crystal; where heat capacity or lifetime vanish the velocity of
    the stored point is used.
    """
    usable = [name for name, item in run.levels.items() if item.solver is not None]
    name = level or (usable[-1] if usable else None)
    if name not in usable:
        return None
    modes = run.levels[name]
    assert modes.solver is not None
    it = modes.nearest(temperature)
    share = modes.weight / modes.weight.sum()
    frequency = _at(modes.frequency, it, 2)
    n_modes = frequency.shape[1]
    velocity = _at(modes.group_velocity, it, 3)
    coherence = modes.coherence
    return ModeTable(
        level=name,
        solver=modes.solver,
        temperature=float(modes.temperature[it]),
        frequency=frequency.ravel(),
        weight=np.repeat(share, n_modes),
        rate=_finite(modes.rate[it]).ravel(),
        channels={
            key: _finite(_at(values, it, 2)).ravel() for key, values in modes.channels.items()
        },
        conductivity=_along(run, modes, modes.mode_conductivity[modes.solver][it]),
        coherence=None if coherence is None else _along(run, modes, coherence[it]),
        velocity=_axis_velocities(run, modes, it, velocity),
        speed=np.linalg.norm(velocity, axis=-1).ravel(),
    )


def _at(values: Array, it: int, n_dimensions: int) -> Array:
    """Return the values at one temperature of an array that may have a temperature axis."""
    return np.asarray(values[it] if values.ndim > n_dimensions else values)


def _along(run: RunData, modes: LevelTransport, tensors: Array) -> Array:
    """Return n·κ·n per mode, (n_q n_modes, 3); sums to the conductivity."""
    projected = along_axes(tensors, run.frame.axis_directions)
    return np.asarray((projected / modes.weight.sum()).reshape(-1, 3))


def required_mode_table(run: RunData) -> ModeTable:
    """Return the modes at 300 K of a run that is known to have some."""
    modes = mode_table(run)
    assert modes is not None
    return modes


def _finite(rate: Array) -> Array:
    """Rates of left-out modes may be stored as infinity: zero means "none" here."""
    return np.where(np.isfinite(rate), rate, 0.0)


def _axis_velocities(run: RunData, modes: LevelTransport, it: int, velocity: Array) -> Array:
    directions = run.frame.axis_directions
    n_q, n_modes = velocity.shape[:2]
    volume = run.crystal.volume * n_modes / (3 * run.crystal.n_atoms)
    rate = _finite(modes.rate[it])
    heat = modes.heat_capacity[it]
    usable = (rate > 0) & (heat > 0)
    tau = np.divide(1.0, rate, out=np.zeros_like(rate), where=usable)
    factor = modes.weight[:, None] * heat * tau * W_PER_MK_PER_EV_PER_K_A_PS / volume
    squared = np.asarray((velocity @ directions.T) ** 2)
    if "rta" in modes.mode_conductivity:
        projected = along_axes(modes.mode_conductivity["rta"][it], directions)
        known = (usable & (factor > 0))[..., None]
        squared = np.divide(projected, factor[..., None], out=squared, where=known)
    return np.asarray(np.sqrt(np.clip(squared, 0.0, None)).reshape(n_q * n_modes, 3))


def nearest_neighbour_distance(run: RunData) -> float:
    """Return the shortest interatomic distance, Å."""
    return shortest_distance(run.crystal)

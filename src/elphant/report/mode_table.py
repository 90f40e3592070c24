"""Mode-resolved quantities of one temperature, projected on the crystal axes and flattened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal.io import shortest_distance
from elphant.report.run_data import ModeTransport, RunData
from elphant.units import W_PER_MK_PER_EV_PER_K_A_PS

Array = NDArray[np.float64]

#: Modes below this frequency (THz) are the acoustic modes at Γ or imaginary: no lifetime.
LOWEST_FREQUENCY = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModeTable:
    """One row per phonon mode of the irreducible mesh.

    Attributes
    ----------
    solver : str
        ``rta`` or ``bte``; lifetimes are those of the RTA in either case.
    temperature : float
        K.
    frequency : ndarray, (n,) THz
    weight : ndarray, (n,)
        Share of the mode's q-point in the Brillouin zone; sums to the number of branches.
    rate, rate_three_phonon, rate_isotope : ndarray, (n,) 1/ps
        Zero where a process was not computed or the mode was left out.
    conductivity : ndarray, (n, 3) W m⁻¹ K⁻¹
        Contribution of the mode to the conductivity along a, b, c; sums to the tensor's values.
    velocity : ndarray, (n, 3) Å THz
        Root mean square, over the star of q, of the group velocity along a, b, c.
    speed : ndarray, (n,) Å THz
        Modulus of the group velocity.
    """

    solver: str
    temperature: float
    frequency: Array
    weight: Array
    rate: Array
    rate_three_phonon: Array
    rate_isotope: Array
    conductivity: Array
    velocity: Array
    speed: Array

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


def best_solver(run: RunData) -> str | None:
    """Return the most complete solver with mode-resolved data."""
    return next((name for name in ("bte", "rta") if name in run.modes), None)


def mode_table(run: RunData, temperature: float = 300.0) -> ModeTable | None:
    """Return the modes at the stored temperature nearest to ``temperature``, or None.

    The star average <v_n²> is taken from the RTA conductivity of the mode, ``w c <v_n²> tau / V``,
    so that it is right for irreducible points of any crystal; where heat capacity or lifetime
    vanish the velocity of the stored point is used.
    """
    solver = best_solver(run)
    if solver is None or run.mesh is None:
        return None
    modes = run.modes[solver]
    it = modes.nearest(temperature)
    directions = run.frame.axis_directions
    share = run.mesh.weight / run.mesh.weight.sum()
    n_q, n_modes = run.mesh.frequency.shape
    projected = np.einsum("ni,qsij,nj->qsn", directions, modes.mode_conductivity[it], directions)
    isotope = np.zeros((n_q, n_modes)) if modes.rate_isotope is None else modes.rate_isotope
    three = modes.rate[it] if modes.rate_three_phonon is None else modes.rate_three_phonon[it]
    return ModeTable(
        solver=solver,
        temperature=float(modes.temperature[it]),
        frequency=run.mesh.frequency.ravel(),
        weight=np.repeat(share, n_modes),
        rate=_finite(modes.rate[it]).ravel(),
        rate_three_phonon=_finite(three).ravel(),
        rate_isotope=_finite(isotope).ravel(),
        conductivity=(projected / run.mesh.weight.sum()).reshape(-1, 3),
        velocity=_axis_velocities(run, run.modes.get("rta", modes), it),
        speed=np.linalg.norm(run.mesh.group_velocity, axis=-1).ravel(),
    )


def required_mode_table(run: RunData) -> ModeTable:
    """Return the modes at 300 K of a run that is known to have some."""
    modes = mode_table(run)
    assert modes is not None
    return modes


def _finite(rate: Array) -> Array:
    """Rates of left-out modes may be stored as infinity: zero means "none" here."""
    return np.where(np.isfinite(rate), rate, 0.0)


def _axis_velocities(run: RunData, modes: ModeTransport, it: int) -> Array:
    assert run.mesh is not None
    directions = run.frame.axis_directions
    primitive_atoms = run.mesh.frequency.shape[1] / 3
    volume = run.crystal.volume * primitive_atoms / run.crystal.n_atoms
    rate = _finite(modes.rate[it])
    heat = modes.heat_capacity[it]
    usable = (rate > 0) & (heat > 0)
    tau = np.divide(1.0, rate, out=np.zeros_like(rate), where=usable)
    factor = run.mesh.weight[:, None] * heat * tau * W_PER_MK_PER_EV_PER_K_A_PS / volume
    projected = np.einsum("ni,qsij,nj->qsn", directions, modes.mode_conductivity[it], directions)
    stored = (run.mesh.group_velocity @ directions.T) ** 2
    squared = np.divide(
        projected, factor[..., None], out=stored, where=(usable & (factor > 0))[..., None]
    )
    return np.asarray(np.sqrt(np.clip(squared, 0.0, None)).reshape(-1, 3))


def nearest_neighbour_distance(run: RunData) -> float:
    """Return the shortest interatomic distance, Å."""
    return shortest_distance(run.crystal)

"""The states that carry current: plain arrays, whatever mesh or quadrature they come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_expit, logsumexp

from elphant.arrays import checked_array
from elphant.electron.conductivity_mass import Carrier
from elphant.electron.occupation import CarrierStates
from elphant.errors import PhysicsError
from elphant.units import BOLTZMANN_EV

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Cubic centimetres of a cubic ångström.
CM3_PER_A3 = 1e-24

#: Elements of Cartesian operations below this are zero.
ZERO = 1e-9

#: Velocities that differ by less than this share of the largest one are equal.
SAME_VELOCITY = 1e-5

#: Most operations of a crystallographic point group.
LARGEST_GROUP = 48


@dataclass(frozen=True, kw_only=True, eq=False)
class StateSpace:
    """Irreducible states, one of each star, and all states of the stars.

    Attributes
    ----------
    carrier : {"electron", "hole"}
    energies : ndarray, (n,) eV
        Band energies, also for holes.
    weights : ndarray, (n,)
        Share of the Brillouin zone that the star of each state stands for.
    velocities : ndarray, (n, 3) Å/ps
        Mean of a degenerate set.
    velocity_spread : ndarray, (n, 3, 3) Å²/ps²
        Mean of v (x) v over a degenerate set minus the square of the mean.
    images : ndarray of int, (n_full,)
        Irreducible state of every state.
    rotations : ndarray, (n_full, 3, 3)
        Cartesian: a vector function is F(l) = R F(images[l]).
    volume : float, Å³
    spin_degeneracy : int
    full_weights : ndarray, (n_full,), optional
        Share of the zone of every state. By default the states of a star have equal shares.
    projections : ndarray, (n, 3, 3), optional
        Mean of the Cartesian operations that keep each state. A state on a mirror plane has no
        response across it; without the projection the reduced operator would not be symmetric.
        See :func:`little_group_projections`; by default :func:`projections_from_velocities`.
    """

    carrier: Carrier
    energies: Array
    weights: Array
    velocities: Array
    velocity_spread: Array
    images: Integers
    rotations: Array
    volume: float
    spin_degeneracy: int
    full_weights: Array | None = None
    projections: Array | None = None

    def __post_init__(self) -> None:
        n, n_full = len(self.energies), len(self.images)
        for name, shape, dtype in (
            ("energies", (n,), float),
            ("weights", (n,), float),
            ("velocities", (n, 3), float),
            ("velocity_spread", (n, 3, 3), float),
            ("images", (n_full,), np.int64),
            ("rotations", (n_full, 3, 3), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))
        if n_full and not 0 <= self.images.min() <= self.images.max() < n:
            raise ValueError(f"images must lie in [0, {n})")
        if not (self.weights > 0.0).all():
            raise ValueError("weights must be positive")
        full = self.full_weights
        if full is None:
            full = (self.weights / np.maximum(self.star_sizes, 1.0))[self.images]
        elif not np.allclose(
            np.bincount(self.images, weights=full, minlength=n), self.weights, rtol=1e-8, atol=0.0
        ):
            raise ValueError("full_weights of a star do not add up to its weight")
        object.__setattr__(self, "full_weights", checked_array("full_weights", full, (n_full,)))
        projections = self.projections
        if projections is None:
            projections = projections_from_velocities(
                self.velocities, self.rotations, self.star_sizes
            )
        object.__setattr__(
            self, "projections", checked_array("projections", projections, (n, 3, 3))
        )

    @property
    def n_states(self) -> int:
        """Number of irreducible states."""
        return len(self.energies)

    @cached_property
    def star_sizes(self) -> Array:
        """Number of states in each star, (n,)."""
        return np.bincount(self.images, minlength=self.n_states).astype(float)

    @property
    def state_projections(self) -> Array:
        """Mean of the operations that keep each state, (n, 3, 3)."""
        assert self.projections is not None
        return self.projections

    @cached_property
    def star_shares(self) -> Array:
        """Share of each state in the weight of its star, (n_full,)."""
        assert self.full_weights is not None
        return np.asarray(self.full_weights / self.weights[self.images])

    @cached_property
    def axis_groups(self) -> tuple[tuple[int, ...], ...]:
        """Sets of Cartesian axes that rotations mix: ((0,), (1,), (2,)) for diagonal ones."""
        mixed = np.eye(3, dtype=bool)
        for operations in (self.rotations, self.state_projections):
            mixed |= np.abs(operations).max(axis=0, initial=0.0) > ZERO
        mixed |= mixed.T
        reach = np.linalg.matrix_power(mixed.astype(int), 3) > 0
        groups = dict.fromkeys(tuple(np.flatnonzero(row).tolist()) for row in reach)
        return tuple(groups)

    @property
    def is_diagonal(self) -> bool:
        """Whether no rotation mixes the Cartesian axes."""
        return len(self.axis_groups) == 3

    def star_mean(self, tensors: Array) -> Array:
        """Return tensors (n, 3, 3) averaged over the star of each state."""
        turned = np.einsum(
            "lab,lbc,ldc->lad", self.rotations, tensors[self.images], self.rotations, optimize=True
        )
        total = np.zeros(tensors.shape)
        np.add.at(total, self.images, turned * self.star_shares[:, None, None])
        return total

    def group_mean(self, tensor: Array) -> Array:
        """Return a Cartesian tensor (3, 3) averaged over the point group of the states.

        Where the rotations are those of a quadrature and no group, the average runs over all of
        them.
        """
        try:
            group = _generated_group(self.rotations)
        except ValueError:
            weights = np.asarray(self.full_weights)
            turned = np.swapaxes(self.rotations, 1, 2) @ tensor @ self.rotations
            return np.asarray(np.einsum("l,lab->ab", weights, turned) / weights.sum())
        return np.asarray(np.mean(np.swapaxes(group, 1, 2) @ tensor @ group, axis=0))

    def log_amplitudes(self, chemical_potential: float, temperature: float) -> Array:
        r"""Return :math:`\ln \sqrt{f(1-f)}` of each state, safe at any distance from the level."""
        x = (chemical_potential - self.energies) / (BOLTZMANN_EV * temperature)
        return np.asarray(0.5 * (log_expit(x) + log_expit(-x)))

    def log_carriers(self, chemical_potential: float, temperature: float) -> float:
        """Return the logarithm of the carriers per cell."""
        x = (chemical_potential - self.energies) / (BOLTZMANN_EV * temperature)
        occupation = log_expit(x if self.carrier == "electron" else -x)
        return float(logsumexp(occupation, b=self.spin_degeneracy * self.weights))

    def density(self, chemical_potential: float, temperature: float) -> float:
        """Return the density of carriers, cm⁻³."""
        per_cell = np.exp(self.log_carriers(chemical_potential, temperature))
        return float(per_cell / (self.volume * CM3_PER_A3))

    def chemical_potential(self, density: float, temperature: float) -> float:
        """Return the level (eV) at which the states hold ``density`` (cm⁻³) carriers.

        The same sum as in the conductivity, so that the error of the mesh cancels in the mobility.

        Raises
        ------
        PhysicsError
            If the states of the window cannot hold so many.
        """
        per_cell = density * self.volume * CM3_PER_A3
        room = self.spin_degeneracy * float(self.weights.sum())
        if per_cell >= 0.9 * room:
            raise PhysicsError(
                f"{density:g} {self.carrier}s per cm³ do not fit into the energy window.",
                f"Its states hold {room / (self.volume * CM3_PER_A3):.2g} per cm³.",
                "Use a wider window (transport.window) or a smaller density.",
            )
        target = float(np.log(per_cell))
        margin = 1.0 + 100.0 * BOLTZMANN_EV * temperature
        low, high = float(self.energies.min()) - margin, float(self.energies.max()) + margin
        return float(
            brentq(lambda level: self.log_carriers(level, temperature) - target, low, high,
                   xtol=1e-13, rtol=1e-13, maxiter=500)
        )  # fmt: skip


def little_group_projections(
    k_points: Array, operations: NDArray[Any], rotations_cartesian: Array
) -> Array:
    """Return the mean of the operations that keep each point, (n_points, 3, 3).

    Parameters
    ----------
    k_points : ndarray, (n_points, 3)
        In the reciprocal lattice.
    operations : ndarray of int, (n_operations, 3, 3)
        On such coordinates, ``k' = W k``; with time reversal as minus a rotation.
    rotations_cartesian : ndarray, (n_operations, 3, 3)
        The same for Cartesian vectors.
    """
    moved = np.einsum("gab,nb->gna", operations, k_points) - k_points
    keeps = (np.abs(moved - np.rint(moved)).max(axis=2) < 1e-8).astype(float)
    total = np.einsum("gn,gab->nab", keeps, rotations_cartesian)
    return np.asarray(total / keeps.sum(axis=0)[:, None, None])


def projections_from_velocities(velocities: Array, rotations: Array, star_sizes: Array) -> Array:
    """Guess the mean of the operations that keep each state, (n, 3, 3).

    Exact unless another operation keeps the velocity by accident;
    :func:`little_group_projections` needs no such luck. A state whose star is smaller than the
    group lies on a symmetry element. Its operations are those that keep its velocity; where the
    velocity is zero these are all, and so is the projection.

    Parameters
    ----------
    velocities : ndarray, (n, 3)
    rotations : ndarray, (n_full, 3, 3)
        That lead from the irreducible to the other states.
    star_sizes : ndarray, (n,)

    Raises
    ------
    ValueError
        If the rotations do not belong to a crystallographic point group.
    """
    n = len(velocities)
    result = np.tile(np.eye(3), (n, 1, 1))
    group = _generated_group(rotations)
    small = np.flatnonzero(star_sizes < len(group))
    if len(group) == 1 or not len(small):
        return result
    v = velocities[small]
    scale = SAME_VELOCITY * np.linalg.norm(velocities, axis=1).max(initial=0.0)
    moved = np.linalg.norm(np.einsum("gab,nb->gna", group, v) - v, axis=2)
    keeps = (moved <= scale).astype(float)
    result[small] = np.einsum("gn,gab->nab", keeps, group) / keeps.sum(axis=0)[:, None, None]
    return result


def _generated_group(rotations: Array) -> Array:
    """Return all products of the distinct rotations."""
    distinct = np.unique(np.round(rotations.reshape(-1, 9), 8) + 0.0, axis=0)
    if len(distinct) > LARGEST_GROUP:
        raise ValueError(
            f"{len(distinct)} distinct rotations are no point group; give the projections"
        )
    # Representatives with full digits of each.
    flat = rotations.reshape(-1, 9)
    first = [np.abs(flat - row).max(axis=1).argmin() for row in distinct]
    known = _unique_operations(np.concatenate([np.eye(3)[None], rotations[first]]))
    while True:
        products = np.einsum("gab,hbc->ghac", known, known).reshape(-1, 3, 3)
        grown = _unique_operations(np.concatenate([known, products]))
        if len(grown) == len(known):
            return known
        if len(grown) > LARGEST_GROUP:
            raise ValueError("the rotations generate no point group; give the projections")
        known = grown


def _unique_operations(operations: Array) -> Array:
    _, first = np.unique(np.round(operations.reshape(-1, 9), 4) + 0.0, axis=0, return_index=True)
    return np.asarray(operations[np.sort(first)])


def carrier_chemical_potential(
    states: CarrierStates, carrier: Carrier, temperature: float, density: float, volume: float
) -> float:
    """Return the level (eV) at which a density of states holds a density of one carrier.

    Parameters
    ----------
    states : CarrierStates
        From a density of states, integrated with tetrahedra: smoother than the sum over the states
        of a mesh, whose error cancels in a mobility (:meth:`StateSpace.chemical_potential`).
    carrier : {"electron", "hole"}
    temperature : float, K
    density : float, cm⁻³
    volume : float, Å³
        Of the cell.
    """
    electrons = carrier == "electron"
    levels = states.electron_levels if electrons else states.hole_levels
    room = float((states.electron_states if electrons else states.hole_states).sum())
    count = states.log_electrons if electrons else states.log_holes
    per_cell = density * volume * CM3_PER_A3
    if not 0.0 < per_cell < room:
        raise PhysicsError(
            f"{density:g} {carrier}s per cm³ do not fit into the states considered, which hold "
            f"{room / (volume * CM3_PER_A3):.2g} per cm³.",
            fix="Give a density of states over a wider range, or a smaller density.",
        )
    target = float(np.log(per_cell))
    margin = 1.0 + 100.0 * BOLTZMANN_EV * temperature
    low, high = float(levels.min()) - margin, float(levels.max()) + margin
    return float(
        brentq(lambda level: count(level, temperature) - target, low, high, xtol=1e-13, maxiter=500)
    )

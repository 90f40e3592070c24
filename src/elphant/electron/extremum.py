"""Extrema of bands off any mesh: a trust region around second-order k·p models.

A model of several bands follows crossings and anticrossings, so that the search needs no
derivatives of single bands and works at degenerate points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from elphant.electron.k_dot_p import KDotPModel, expand
from elphant.orbitals import LocalOrbitalHamiltonian, band_energies

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Bands on each side of the sought ones that the models contain.
MARGIN = 6

#: Distance (eV) kept between the bands of a model and the others, and where their action is damped.
SEPARATION, DAMPING = 1e-3, 0.15

#: The search ends when a step gains less energy (eV) than this, or moves less (share of the box).
ENERGY_TOLERANCE, STEP_TOLERANCE = 1e-11, 1e-6

#: A symmetric point replaces a nearby one (distance in the reciprocal lattice) at which the energy
#: is better by less than this (eV).
SYMMETRY_DISTANCE, SYMMETRY_GAIN = 1e-2, 1e-6

MAX_ITERATIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is minimised: the sum of ``sign`` x energy over (band, sign)."""

    terms: tuple[tuple[int, int], ...]

    def of(self, energies: Array, first_band: int = 0) -> Array:
        """Return the objective for energies (..., n_bands) that start with ``first_band``."""
        parts = [sign * energies[..., band - first_band] for band, sign in self.terms]
        return np.asarray(np.sum(parts, axis=0))

    @property
    def bands(self) -> tuple[int, int]:
        """First band of a model for this objective, and one past the last."""
        numbers = [band for band, _ in self.terms]
        return min(numbers) - MARGIN, max(numbers) + MARGIN + 1


def find_minimum(
    hamiltonian: LocalOrbitalHamiltonian,
    start: ArrayLike,
    objective: Objective,
    box: ArrayLike,
    operations: Integers,
) -> tuple[Array, float]:
    """Return the k point (3,) of the local minimum near ``start``, and its value (eV).

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    start : array_like, (3,)
    objective : Objective
    box : array_like, (3,)
        First half widths of the trust region in the reciprocal lattice: about a mesh step.
    operations : ndarray of int, (n, 3, 3)
        Point operations on k. A minimum that its energy does not tell from a point of higher
        symmetry is put there.
    """
    k = np.asarray(start, dtype=float)
    width = np.asarray(box, dtype=float)
    model = _model(hamiltonian, k, objective)
    value = float(objective.of(model.all_energies))
    for iteration in range(MAX_ITERATIONS):
        step, predicted = _model_minimum(model, objective, width, sample=iteration == 0)
        if value - predicted < ENERGY_TOLERANCE or np.abs(step / width).max() < STEP_TOLERANCE:
            k, value = k + step, min(value, predicted)
            break
        trial = _model(hamiltonian, k + step, objective)
        trial_value = float(objective.of(trial.all_energies))
        gain = (value - trial_value) / (value - predicted)
        if trial_value < value:
            k, model, value = k + step, trial, trial_value
        if gain < 0.5:
            width = width * 0.4
    return _symmetric_point(hamiltonian, k, value, objective, operations)


def _model(hamiltonian: LocalOrbitalHamiltonian, k: Array, objective: Objective) -> KDotPModel:
    return expand(hamiltonian, k, objective.bands, separation=SEPARATION, damping=DAMPING)


def _model_minimum(
    model: KDotPModel, objective: Objective, width: Array, *, sample: bool
) -> tuple[Array, float]:
    """Return the step (fractional) to the minimum of the model inside the box, and its value."""

    def value_and_slope(x: Array) -> tuple[float, Array]:
        q = (x * width) @ model.reciprocal
        energies, velocities = model.bands_and_velocities(q[None])
        value = objective.of(energies[0], model.first_band)
        slope = sum(
            sign * velocities[0, :, band - model.first_band, band - model.first_band].real
            for band, sign in objective.terms
        )
        return float(value), (model.reciprocal @ slope) * width

    starts = [np.zeros(3)]
    if sample:
        grid = np.array(list(product(np.linspace(-1.0, 1.0, 5), repeat=3)))
        energies = model.bands((grid * width) @ model.reciprocal)
        starts.append(grid[int(np.argmin(objective.of(energies, model.first_band)))])
    best, lowest = np.zeros(3), value_and_slope(np.zeros(3))[0]
    for start in starts:
        found = minimize(
            value_and_slope, start, jac=True, method="L-BFGS-B", bounds=[(-1.0, 1.0)] * 3,
            options={"ftol": 0.0, "gtol": 1e-13, "maxiter": 200},
        )  # fmt: skip
        # At a cusp (crossing bands) gradients mislead: finish without them.
        if np.abs(_projected(found.x, value_and_slope(found.x)[1])).max() > 1e-6:
            found = minimize(
                lambda x: value_and_slope(np.clip(x, -1.0, 1.0))[0], found.x, method="Nelder-Mead",
                options={"xatol": 1e-9, "fatol": 1e-14, "initial_simplex": _simplex(found.x)},
            )  # fmt: skip
        if found.fun < lowest:
            best, lowest = np.clip(found.x, -1.0, 1.0), float(found.fun)
    return best * width, lowest


def _projected(x: Array, slope: Array) -> Array:
    """Return the slope without the parts that point out of the box."""
    outwards = ((x >= 1.0) & (slope < 0)) | ((x <= -1.0) & (slope > 0))
    return np.where(outwards, 0.0, slope)


def _simplex(x: Array) -> Array:
    return np.concatenate([x[None], x + 0.05 * np.eye(3)])


def little_operations(k: ArrayLike, operations: Integers, tolerance: float) -> Array:
    """Return the images of k, shifted back by lattice vectors, that lie within ``tolerance``."""
    k = np.asarray(k, dtype=float)
    images = operations @ k
    images = images - np.rint(images - k)
    return np.asarray(images[np.abs(images - k).max(axis=1) < tolerance])


def star(k: ArrayLike, operations: Integers, tolerance: float = 1e-5) -> Array:
    """Return the distinct points equivalent to k, (n, 3), in (-1/2, 1/2]."""
    distinct: list[Array] = []
    for image in operations @ np.asarray(k, dtype=float):
        image = image - np.ceil(image - 0.5 - tolerance)
        if not any(equal_points(image, other, tolerance) for other in distinct):
            distinct.append(image)
    return np.array(distinct)


def equal_points(first: Array, second: Array, tolerance: float = 1e-5) -> bool:
    """Return whether two points differ by a reciprocal lattice vector."""
    difference = first - second
    return bool(np.abs(difference - np.rint(difference)).max() < tolerance)


def _symmetric_point(
    hamiltonian: LocalOrbitalHamiltonian,
    k: Array,
    value: float,
    objective: Objective,
    operations: Integers,
) -> tuple[Array, float]:
    """Return the most symmetric point near k at which the objective is the same."""
    tried: list[Array] = []
    for tolerance in SYMMETRY_DISTANCE * np.array([1.0, 0.3, 0.1, 0.01, 1e-3]):
        # The mean of the images is kept by all operations that bring k back near itself.
        candidate = np.mean(little_operations(k, operations, float(tolerance)), axis=0)
        # Fractions such as 1/2 and 1/3 exactly.
        rounded = np.round(candidate * 24.0) / 24.0
        candidate = np.where(np.abs(candidate - rounded) < 1e-9, rounded, candidate)
        if any(np.array_equal(candidate, other) for other in tried):
            continue
        tried.append(candidate)
        if _is_near(candidate, k, float(tolerance)):
            there = float(objective.of(band_energies(hamiltonian, candidate[None])[0]))
            if there - value < SYMMETRY_GAIN:
                return candidate, there
    return k, value


def _is_near(first: Array, second: Array, tolerance: float) -> bool:
    return bool(np.abs(first - second).max() <= tolerance)


def local_minima(values: Array, mesh: Sequence[int] | Integers) -> Integers:
    """Return the points of a full mesh that are no higher than their 26 neighbours, lowest first.

    ``values`` (n_full,) has the first component of the address running fastest.
    """
    cube = np.asarray(values).reshape(tuple(int(n) for n in mesh), order="F")
    lowest = np.ones(cube.shape, dtype=bool)
    for shift in product((-1, 0, 1), repeat=3):
        lowest &= cube <= np.roll(cube, shift, axis=(0, 1, 2)) + 1e-9
    found = np.flatnonzero(lowest.ravel(order="F"))
    return found[np.argsort(np.asarray(values)[found], kind="stable")]

"""Slow and obvious scattering sums: every process of the whole mesh, one pair of q at a time."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from elphant.phonon.scattering.modes import MeshModes
from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.units import BOLTZMANN_EV, FOUR_PHONON_RATE, PLANCK_EV_PS, THREE_PHONON_RATE


def matrix_element(clusters: SparseForceConstants, modes: MeshModes, points) -> np.ndarray:
    """Return V of one set of wave vectors, one axis of modes per leg, by a plain sum."""
    order, n = clusters.order, modes.n_modes
    q = modes.mesh.q_points[list(points)]
    phase = np.exp(2j * np.pi * np.einsum("cla,la->c", clusters.cells, q[1:]))
    dense = np.zeros((n,) * order, dtype=complex)
    for atoms, block, factor in zip(clusters.atoms, clusters.blocks, phase, strict=True):
        where = np.ix_(*[np.arange(3 * atom, 3 * atom + 3) for atom in atoms])
        dense[where] += block * factor / np.sqrt(np.prod(modes.masses[atoms]))
    for leg, point in enumerate(points):
        dense = np.moveaxis(np.tensordot(dense, modes.eigenvectors[point], axes=(leg, 0)), -1, leg)
    return dense


def outer(values, operation) -> np.ndarray:
    """Combine one array per leg into an array with one axis per leg."""
    result = values[0]
    for value in values[1:]:
        result = operation(result[..., None], value)
    return result


def half_sinh(frequencies: np.ndarray, temperature: float) -> np.ndarray:
    x = PLANCK_EV_PS * frequencies / (BOLTZMANN_EV * temperature)
    with np.errstate(divide="ignore"):
        return np.where(frequencies > 0.0, 0.5 / np.sinh(0.5 * x), 0.0)


def reference(
    clusters: SparseForceConstants,
    modes: MeshModes,
    widths: np.ndarray,
    point: int,
    temperature: float,
    *,
    window: float = 4.0,
    scalar_fields: bool = False,
) -> tuple[dict[tuple[int, ...], np.ndarray], np.ndarray]:
    """Return rates by sign pattern (n_modes,) ps⁻¹ and the row (n_modes, n_points, n_modes).

    Gaussians with the variance summed over the modes; no symmetry is used at all.
    """
    mesh, n, n_points = modes.mesh, modes.n_modes, modes.mesh.n_points
    legs = clusters.order - 1
    constant = THREE_PHONON_RATE if legs == 2 else FOUR_PHONON_RATE
    constant /= n_points ** (legs - 1) * (2 * np.pi) ** (legs + 2) * math.factorial(legs)
    norm = math.sqrt(2 * np.pi) * math.erf(window / math.sqrt(2))
    patterns = [s for s in product((1, -1), repeat=legs) if min(s) < 0]
    rates = {s: np.zeros(n) for s in patterns}
    row = np.zeros((n, n_points, n))
    ids = modes.degenerate_ids[np.searchsorted(mesh.irreducible, point)]
    same = ids[:, None] == ids
    addresses = mesh.addresses
    minus = mesh.index(-addresses[point])
    a = half_sinh(modes.frequencies, temperature)
    inverse = np.divide(1.0, modes.frequencies, out=np.zeros_like(a), where=modes.frequencies > 0)
    for partners in product(range(n_points), repeat=legs - 1):
        last = mesh.index(-addresses[point] - addresses[list(partners)].sum(axis=0))
        points = (point, *partners, int(last))
        strength = constant * np.abs(matrix_element(clusters, modes, points)) ** 2
        strength = strength * outer([(a * inverse)[p] for p in points], np.multiply)
        variance = outer([widths[p] ** 2 for p in points], np.add)
        for signs in patterns:
            x = outer([s * modes.frequencies[p] for s, p in zip((1, *signs), points, strict=True)],
                      np.add)  # fmt: skip
            delta = np.exp(-0.5 * x**2 / variance) / np.sqrt(variance) / norm
            delta[x**2 >= window**2 * variance] = 0.0
            for leg, sign in enumerate(signs if legs == 3 else ()):
                if sign < 0 and points[leg + 1] == minus:
                    shape = [n, 1, 1, 1]
                    shape[leg + 1] = n
                    delta = np.where(same.reshape(shape), 0.0, delta)
            rate = strength * delta
            others = tuple(range(1, legs + 1))
            with np.errstate(invalid="ignore", divide="ignore"):
                mine = rate.sum(axis=others) / a[point] ** 2
            rates[signs] += np.where(a[point] > 0.0, mine, 0.0)
            for leg, sign in enumerate(signs):
                summed = tuple(axis for axis in others if axis != leg + 1)
                row[:, points[leg + 1]] += (sign if scalar_fields else 1) * rate.sum(axis=summed)
    return rates, row


def over_orbits(modes: MeshModes, point: int, row: np.ndarray) -> np.ndarray:
    """Average a row of scalars over the little group of the point."""
    images = modes.mesh.images[modes.mesh.little_group(point)]
    return np.mean([row[:, np.argsort(image)] for image in images], axis=0)

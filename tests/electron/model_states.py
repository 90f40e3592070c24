"""State spaces of model bands with an invariant kernel, with and without symmetry."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from elphant.electron.transport.state_space import StateSpace, little_group_projections
from elphant.grids import irreducible_mesh
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS

SIGNS = [np.diag(s) for s in product((1, -1), repeat=3)]
PERMUTATIONS = [np.eye(3, dtype=int)[list(p)] for p in permutations(range(3))]
GROUPS = {
    "mmm": SIGNS,
    "-3m": [s * p for s in (1, -1) for p in PERMUTATIONS],
    "m-3m": [s @ p for s in SIGNS for p in PERMUTATIONS],
    "-1": [np.eye(3, dtype=int), -np.eye(3, dtype=int)],
}
HOPPING = {"mmm": (0.3, 0.2, 0.1), "-1": (0.3, 0.2, 0.1)}
CROSS = {"mmm": 0.0, "-1": 0.04, "-3m": 0.05, "m-3m": 0.0}


def lattice_model(group: str, n: int = 5, seed: int = 0, turn: np.ndarray | None = None):
    """Return (reduced space, its kernel, full space, its kernel).

    A band on a simple lattice of 3 Å; the full space has no symmetry. ``turn`` rotates the crystal.
    """
    rng = np.random.default_rng(seed)
    hop = np.array(HOPPING.get(group, (0.2, 0.2, 0.2)))
    cross, length = CROSS[group], 3.0
    turn = np.eye(3) if turn is None else turn
    mesh = irreducible_mesh((n, n, n), np.array(GROUPS[group]))
    k = 2 * np.pi * mesh.full_points
    pairs = ((0, 1), (1, 2), (2, 0))
    energies = ((1 - np.cos(k)) * hop).sum(axis=1)
    energies += 0.03 * np.prod(np.cos(k), axis=1)
    gradient = hop * np.sin(k)
    for a in range(3):
        others = np.prod(np.delete(np.cos(k), a, axis=1), axis=1)
        gradient[:, a] -= 0.03 * np.sin(k[:, a]) * others
    for a, b in pairs:
        energies += cross * (1 - np.cos(k[:, a] - k[:, b]))
        slope = cross * np.sin(k[:, a] - k[:, b])
        gradient[:, a] += slope
        gradient[:, b] -= slope
    v = gradient * length / HBAR_EV_PS
    # Strength of scattering by the difference vector, invariant under the group.
    stiffness = hop * rng.uniform(0.5, 2.0)
    delta = k[:, None] - k[None]
    soft = 1.0 / (0.1 + ((1 - np.cos(delta)) * stiffness).sum(axis=-1))
    step = energies[:, None] - energies[None]
    shape = sum(np.exp(-(((step + w) / 0.08) ** 2)) for w in (0.05, -0.05))
    kernel = 3.0 * soft * shape / len(k)
    full = StateSpace(
        carrier="electron",
        energies=energies,
        weights=np.full(len(k), 1.0 / len(k)),
        velocities=v @ turn.T,
        velocity_spread=np.zeros((len(k), 3, 3)),
        images=np.arange(len(k)),
        rotations=np.broadcast_to(np.eye(3), (len(k), 3, 3)),
        volume=length**3,
        spin_degeneracy=2,
    )
    # The representative is the point that the mesh lists.
    first = np.array(
        [np.abs(mesh.full_points - p).max(axis=1).argmin() for p in mesh.points], dtype=int
    )
    rotations = turn @ mesh.rotations.astype(float) @ turn.T
    reduced = StateSpace(
        carrier="electron",
        energies=energies[first],
        weights=mesh.weights,
        velocities=v[first] @ turn.T,
        velocity_spread=np.zeros((len(first), 3, 3)),
        images=mesh.representative,
        rotations=rotations[mesh.operation],
        volume=length**3,
        spin_degeneracy=2,
        projections=little_group_projections(mesh.points, mesh.rotations, rotations),
    )
    return reduced, kernel[first], full, kernel


def thermal_nodes(temperature: float, reach: float = 45.0, n: int = 60):
    """Return energies and weights (eV) of a quadrature from zero to ``reach`` k_B T."""
    t, w = np.polynomial.legendre.leggauss(n)
    u, w = 0.5 * (t + 1) * np.sqrt(reach), 0.5 * w * np.sqrt(reach)
    thermal = BOLTZMANN_EV * temperature
    return thermal * u**2, thermal * 2 * u * w

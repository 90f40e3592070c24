"""Windows of a parabolic band with three masses, on the mesh of an orthorhombic cell."""

from __future__ import annotations

import numpy as np

from elphant.electron.transport.window import WindowStates
from elphant.grids import irreducible_mesh
from elphant.units import HBAR_EV_PS, INVERSE_MASS_PER_EV_A2

MASSES = np.array([0.2, 0.4, 0.8])
SIGNS = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)])


def parabolic_window(
    divisions: tuple[int, int, int],
    *,
    width: float = 0.35,
    masses: np.ndarray = MASSES,
    symmetric: bool = True,
) -> WindowStates:
    """Return electrons of ``ε = Σ ħ²k²/2m`` around Γ; the window just fits into the zone.

    The cell follows the masses, so that equal divisions resolve all directions equally well.
    """
    curvature = 1.0 / (np.asarray(masses) * INVERSE_MASS_PER_EV_A2)
    lattice = np.diag(0.93 * np.pi / np.sqrt(2.0 * width / curvature))
    rotations = np.array([np.diag(s) for s in SIGNS]) if symmetric else None
    mesh = irreducible_mesh(divisions, rotations)
    reciprocal = 2.0 * np.pi / np.diag(lattice)

    def cartesian(k: np.ndarray) -> np.ndarray:
        return (k - np.rint(k)) * reciprocal

    # Inside the largest sphere of constant energy only: its points are never on the border.
    stars = 0.5 * cartesian(mesh.points) ** 2 @ curvature
    position = np.full(mesh.n_points, -1)
    chosen = np.flatnonzero(stars <= width)
    position[chosen] = np.arange(len(chosen))
    points = np.flatnonzero(position[mesh.representative] >= 0)
    representative = position[mesh.representative[points]]
    own = np.abs(mesh.full_points[points] - mesh.points[mesh.representative[points]]).max(axis=1)
    irreducible = np.empty(len(chosen), dtype=np.int64)
    irreducible[representative[own < 1e-12]] = np.flatnonzero(own < 1e-12)
    rotation = mesh.rotations.astype(float)
    v = cartesian(mesh.points[chosen]) * curvature / HBAR_EV_PS
    return WindowStates(
        carrier="electron",
        divisions=mesh.mesh,
        bands=(0, 1),
        addresses=np.rint(mesh.full_points[points] * mesh.mesh).astype(int),
        energies=stars[chosen][representative][:, None],
        inside=np.ones((len(points), 1), dtype=bool),
        velocities=np.einsum("pab,pb->pa", rotation[mesh.operation[points]], v[representative])[
            :, None
        ],
        velocity_products=(v[:, :, None] * v[:, None])[:, None],
        coefficients=np.ones((len(points), 1, 1)),
        irreducible=irreducible,
        representative=representative,
        operation=mesh.operation[points],
        operations=mesh.rotations,
        rotations_cartesian=rotation,
        edge=0.0,
        width=width,
        lattice=lattice,
        spin_degeneracy=2,
    )

"""Bands between the points of a mesh, from a k·p model at each of its irreducible points.

Every k takes the model of the nearest point of the mesh, moved there by a symmetry operation
(C. Persson and C. Ambrosch-Draxl, Comput. Phys. Commun. 177, 280 (2007), with second-order models
in place of their first-order ones). The error of the energy grows with the third power of the
distance: good for finding where the bands have their extrema and which states are occupied, not
for velocities.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from elphant.electron.k_dot_p import KDotPModel, expand
from elphant.grids.irreducible import KMesh
from elphant.orbitals import LocalOrbitalHamiltonian

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Bands kept inside the model below and above those asked for, their distance to the others (eV),
#: and where the action of others is damped (eV).
MARGIN, SEPARATION, DAMPING = 8, 1e-3, 0.4

_CORNERS = np.array(list(product((0, 1), repeat=3)))

#: k points evaluated at a time.
PIECE = 4000


class BandInterpolation:
    """Interpolation of a range of bands; models are made where they are first needed.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    mesh : KMesh
        Expansion points: its irreducible points.
    bands : (int, int)
        First band and one past the last.
    progress : callable, optional
        Called after each new model with the number of models.
    """

    def __init__(
        self,
        hamiltonian: LocalOrbitalHamiltonian,
        mesh: KMesh,
        bands: tuple[int, int],
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.hamiltonian, self.mesh, self.bands = hamiltonian, mesh, bands
        self._models: dict[int, KDotPModel] = {}
        self._progress = progress
        columns = 2.0 * np.pi * np.linalg.inv(hamiltonian.crystal.lattice)
        self._reciprocal = columns.T
        self._cartesian = columns @ mesh.rotations @ np.linalg.inv(columns)

    @property
    def n_models(self) -> int:
        """Number of models made so far."""
        return len(self._models)

    def model(self, point: int) -> KDotPModel:
        """Return the model at an irreducible point of the mesh."""
        if point not in self._models:
            bands = (self.bands[0] - MARGIN, self.bands[1] + MARGIN)
            k_point = self.mesh.points[point]
            self._models[point] = expand(
                self.hamiltonian, k_point, bands, separation=SEPARATION, damping=DAMPING
            )
            if self._progress is not None:
                self._progress(len(self._models))
        return self._models[point]

    def nearest(self, k_points: Array) -> tuple[Integers, Array]:
        """Return the irreducible point whose model serves each k, and the Cartesian offset.

        Parameters
        ----------
        k_points : ndarray, (n, 3)

        Returns
        -------
        point : ndarray of int, (n,)
        q : ndarray, (n, 3) Å⁻¹
            Offset in the frame of that point: the operation that relates them is undone.
        """
        index, q = self._around(k_points)
        best = np.argmin((q**2).sum(axis=2), axis=1)
        rows = np.arange(len(k_points))
        index, q = index[rows, best], q[rows, best]
        return self.mesh.representative[index], self._undone(index, q)

    def energies(self, k_points: Array) -> Array:
        """Return the energies of the bands from the nearest models, (n, n_bands) eV."""
        result = np.empty((len(k_points), self.bands[1] - self.bands[0]))
        point, q = self.nearest(k_points)
        for part, model, chosen in self._groups(point):
            result[part] = model.bands(q[part])[:, chosen]
        return result

    def _around(self, k_points: Array) -> tuple[Integers, Array]:
        """Return the eight points of the full mesh around each k (n, 8) and offsets (n, 8, 3)."""
        mesh = self.mesh.mesh
        scaled = k_points * mesh - 0.5 * self.mesh.shift
        corners = np.floor(scaled).astype(np.int64)[:, None] + _CORNERS
        wrapped = np.mod(corners, mesh)
        index = (wrapped[..., 2] * mesh[1] + wrapped[..., 1]) * mesh[0] + wrapped[..., 0]
        return index, np.asarray((scaled[:, None] - corners) / mesh @ self._reciprocal)

    def _undone(self, index: Integers, q: Array) -> Array:
        """Return offsets from points of the full mesh in the frames of their representatives."""
        # Cartesian operations are orthogonal: the inverse is the transpose.
        operations = self._cartesian[self.mesh.operation[index]]
        return np.asarray(np.einsum("kyx,ky->kx", operations, q))

    def _groups(self, point: Integers) -> list[tuple[Integers, KDotPModel, slice]]:
        """Return (indices, model, its bands that are wanted) for pieces served by one model."""
        order = np.argsort(point, kind="stable")
        groups = []
        for piece in np.split(order, np.flatnonzero(np.diff(point[order])) + 1):
            for start in range(0, len(piece), PIECE):
                part = piece[start : start + PIECE]
                model = self.model(int(point[part[0]]))
                chosen = slice(self.bands[0] - model.first_band, self.bands[1] - model.first_band)
                groups.append((part, model, chosen))
        return groups

"""Bands between the points of a mesh, from a k·p model at each of its irreducible points.

Models are moved to the other points of the mesh by symmetry operations (C. Persson and
C. Ambrosch-Draxl, Comput. Phys. Commun. 177, 280 (2007), with second-order models in place of their
first-order ones). Every k takes the nearest model; or, smoothly, a mean of the models around it
with weights that fall with their distance (D. Shepard, Proc. 23rd ACM National Conference, 517
(1968)). The error of the energy grows with the third power of the distance; the smooth mean has
velocities that are exactly its derivatives, so that errors of thermal averages cancel.
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

#: Weights fall with this power of the distance; smaller ones than NEGLIGIBLE are left out.
POWER, NEGLIGIBLE = 8, 1e-7


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

    def restricted(self, bands: tuple[int, int]) -> BandInterpolation:
        """Return the interpolation of another range of bands, with the same models if it can be."""
        other = BandInterpolation(self.hamiltonian, self.mesh, bands, self._progress)
        if self.bands[0] <= bands[0] and bands[1] <= self.bands[1]:
            other._models = self._models
        return other

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

    def smooth_energies(self, k_points: Array) -> tuple[Array, Array]:
        """Return smooth energies (n, n_bands) eV and their gradients (n, n_bands, 3) eV Å.

        Where bands meet, gradients are those of single states; a point slightly off the crossing
        has those of the bands.
        """
        index, q = self._around(k_points)
        squares = (q**2).sum(axis=2) + 1e-16
        weights = (squares.min(axis=1, keepdims=True) / squares) ** (POWER // 2)
        weights[weights < NEGLIGIBLE] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
        pull = -POWER * q / squares[..., None]
        pull = weights[..., None] * (pull - (weights[..., None] * pull).sum(axis=1, keepdims=True))
        owner, corner = np.nonzero(weights)
        index, weights = index[owner, corner], weights[owner, corner]
        pull, q = pull[owner, corner], q[owner, corner]
        offset = self._undone(index, q)
        n_bands = self.bands[1] - self.bands[0]
        energies = np.zeros((len(k_points), n_bands))
        gradients = np.zeros((len(k_points), n_bands, 3))
        for part, model, chosen in self._groups(self.mesh.representative[index]):
            values, slopes = model.bands_and_slopes(offset[part])
            values, slopes = values[:, chosen], slopes[:, chosen]
            turned = np.einsum("kxy,kny->knx", self._cartesian[self.mesh.operation[index[part]]],
                               slopes)  # fmt: skip
            np.add.at(energies, owner[part], weights[part, None] * values)
            terms = weights[part, None, None] * turned + pull[part, None] * values[..., None]
            np.add.at(gradients, owner[part], terms)
        return energies, gradients

    def _around(self, k_points: Array) -> tuple[Integers, Array]:
        """Return the eight points of the full mesh around each k (n, 8) and offsets (n, 8, 3)."""
        mesh = self.mesh.mesh
        scaled = k_points * mesh - 0.5 * self.mesh.shift
        corners = np.floor(scaled).astype(np.int64)[:, None] + _CORNERS
        wrapped = np.mod(corners, mesh)
        index = (wrapped[..., 2] * mesh[1] + wrapped[..., 1]) * mesh[0] + wrapped[..., 0]
        return index, (scaled[:, None] - corners) / mesh @ self._reciprocal

    def _undone(self, index: Integers, q: Array) -> Array:
        """Return offsets from points of the full mesh in the frames of their representatives."""
        # Cartesian operations are orthogonal: the inverse is the transpose.
        return np.einsum("kyx,ky->kx", self._cartesian[self.mesh.operation[index]], q)

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

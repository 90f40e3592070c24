"""Which irreducible points of a mesh have states in an energy window, and these states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.ndimage import maximum_filter

from elphant.electron.band_edges import BandEdges
from elphant.electron.conductivity_mass import Carrier
from elphant.electron.interpolation import BandInterpolation
from elphant.electron.velocity import DEGENERACY_TOLERANCE
from elphant.grids.irreducible import KMesh
from elphant.orbitals import EigenStates, LocalOrbitalHamiltonian, band_energies
from elphant.orbitals.eigenproblem import batches

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Progress = Callable[[int, int], None]

#: Room (eV) for the error of interpolated energies, once they are lowered by the error found at
#: neighbours that were diagonalised.
SELECTION_MARGIN = 0.03

#: (Irreducible points) x (orbitals)³ up to which points are selected by exact energies.
EXACT_COST = 5e9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundStates:
    """Irreducible points of the window: their indices in the mesh, states and band range.

    ``inside`` (n, n_bands); one band more than listed may be there, so that sets are whole.
    """

    points: Integers
    states: EigenStates
    bands: tuple[int, int]
    inside: Booleans
    n_diagonalised: int


class WindowSearch:
    """Selection and diagonalisation of the irreducible points of a window.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    mesh : KMesh
    edges : BandEdges
    carrier : {"electron", "hole"}
    width : float, eV
    progress : callable or None
    """

    def __init__(
        self,
        hamiltonian: LocalOrbitalHamiltonian,
        mesh: KMesh,
        edges: BandEdges,
        carrier: Carrier,
        width: float,
        progress: Progress | None,
    ) -> None:
        self.hamiltonian, self.mesh = hamiltonian, mesh
        self.carrier, self.width = carrier, width
        self.sign = 1 if carrier == "electron" else -1
        self.edge = (edges.conduction if carrier == "electron" else edges.valence).energy
        self.occupied = hamiltonian.n_occupied
        self.most = hamiltonian.n_orbitals - self.occupied if self.sign > 0 else self.occupied
        self._progress = progress
        self.n_diagonalised = 0

    @property
    def is_cheap(self) -> bool:
        """Whether all irreducible points can be diagonalised to select from them."""
        return self.mesh.n_points * float(self.hamiltonian.n_orbitals) ** 3 <= EXACT_COST

    def excess(self, energies: Array) -> Array:
        """Return the distance from the edge into the band, eV."""
        return np.asarray(self.sign * (energies - self.edge))

    def range_of(self, n_bands: int) -> tuple[int, int]:
        """Return the range of ``n_bands`` bands from the edge on."""
        n_bands = min(n_bands, self.most)
        if self.sign > 0:
            return self.occupied, self.occupied + n_bands
        return self.occupied - n_bands, self.occupied

    def with_exact_energies(self) -> FoundStates:
        """Select points by their exact energies."""
        energies = band_energies(self.hamiltonian, self.mesh.points)
        side = slice(*self.range_of(self.most))
        reached = self.excess(energies[:, side]) <= self.width
        points = np.flatnonzero(reached.any(axis=1))
        count = int(reached.sum(axis=1).max(initial=1)) + 1
        return self._finished(points, self._solved(points, count), count)

    def with_interpolation(self, interpolation: BandInterpolation) -> FoundStates:
        """Select points by interpolated energies, with room for the error that is observed."""
        limit = self.width + SELECTION_MARGIN
        first, last = (band - interpolation.bands[0] for band in self.range_of(self.most))
        known = self.excess(interpolation.energies(self.mesh.points)[:, max(first, 0) : last])
        edge_band = 0 if self.sign > 0 else -1
        approximate = known[:, edge_band]
        models = [interpolation.model(i) for i in range(interpolation.mesh.n_points)]
        side = slice(*self.range_of(self.most))
        exact = self.excess(np.array([model.all_energies[side] for model in models]))
        # One more than what reaches into the window, to tell whether sets of bands are whole.
        count = 1 + max(int((bands <= limit).sum(axis=1).max()) for bands in (known, exact))
        points = np.empty(0, dtype=np.int64)
        states: EigenStates | None = None
        error = np.zeros(self.mesh.n_points)
        while True:
            expected = approximate - self._error_nearby(error)
            added = np.setdiff1d(np.flatnonzero(expected <= limit), points)
            if not len(added) and states is not None:
                break
            more = self._solved(added, count)
            error[added] = approximate[added] - self.excess(more.energies[:, edge_band])
            states = _joined(states, more)
            points = np.concatenate([points, added])
        order = np.argsort(points)
        ordered = EigenStates(
            k_points=states.k_points[order],
            energies=states.energies[order],
            coefficients=states.coefficients[order],
        )
        return self._finished(points[order], ordered, count)

    def _error_nearby(self, error: Array) -> Array:
        """Return the largest known overestimate at a point or its neighbours, not below zero."""
        cube = error[self.mesh.representative].reshape(tuple(self.mesh.mesh), order="F")
        largest = maximum_filter(np.maximum(cube, 0.0), size=3, mode="wrap").ravel(order="F")
        result = np.zeros(self.mesh.n_points)
        # Equal at all points of a star, whose neighbours are equivalent.
        np.maximum.at(result, self.mesh.representative, largest)
        return result

    def _solved(self, points: Integers, n_bands: int) -> EigenStates:
        """Diagonalise some bands at irreducible points, (n, n_orbitals, n_bands)."""
        return self.solved_at(self.mesh.points[points], self.range_of(n_bands))

    def solved_at(self, k_points: Array, bands: tuple[int, int]) -> EigenStates:
        """Diagonalise some bands."""
        h = self.hamiltonian
        shape = (len(k_points), bands[1] - bands[0])
        energies = np.empty(shape)
        coefficients = np.empty((shape[0], h.n_orbitals, shape[1]), dtype=np.complex128)
        start = self.n_diagonalised
        for part in batches(len(k_points), h.n_orbitals):
            H, S = h.at(k_points[part])
            for place, (matrix, overlap) in enumerate(zip(H, S, strict=True), start=part.start):
                energies[place], coefficients[place] = eigh(
                    matrix, overlap, subset_by_index=(bands[0], bands[1] - 1), check_finite=False
                )
            self.n_diagonalised = start + part.stop
            if self._progress is not None:
                self._progress(self.n_diagonalised, start + len(k_points))
        return EigenStates(k_points=k_points, energies=energies, coefficients=coefficients)

    def _finished(self, points: Integers, states: EigenStates, n_bands: int) -> FoundStates:
        """Add bands until none is missing, and leave out points without a state in the window."""
        while n_bands < self.most:
            outermost = states.energies[:, -1 if self.sign > 0 else 0]
            if self.excess(outermost).min(initial=np.inf) > self.width + DEGENERACY_TOLERANCE:
                break
            n_bands += 2
            states = self._solved(points, n_bands)
        inside = self._inside(states.energies)
        kept = inside.any(axis=1)
        return FoundStates(
            points=points[kept],
            states=EigenStates(
                k_points=states.k_points[kept],
                energies=states.energies[kept],
                coefficients=states.coefficients[kept],
            ),
            bands=self.range_of(n_bands),
            inside=inside[kept],
            n_diagonalised=self.n_diagonalised,
        )

    def _inside(self, energies: Array) -> Booleans:
        """Return which states are in the window; a degenerate set is as its nearest state is."""
        nearest_first = self.excess(energies)[:, :: self.sign]
        inside = nearest_first <= self.width
        same_set = np.diff(nearest_first, axis=1) <= DEGENERACY_TOLERANCE
        for band in range(1, inside.shape[1]):
            inside[:, band] |= inside[:, band - 1] & same_set[:, band - 1]
        return np.asarray(inside[:, :: self.sign])


def _joined(first: EigenStates | None, second: EigenStates) -> EigenStates:
    if first is None:
        return second
    return EigenStates(
        k_points=np.concatenate([first.k_points, second.k_points]),
        energies=np.concatenate([first.energies, second.energies]),
        coefficients=np.concatenate([first.coefficients, second.coefficients]),
    )

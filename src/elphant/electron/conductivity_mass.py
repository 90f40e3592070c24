r"""Conductivity masses at a temperature: all valleys and bands, with their non-parabolicity.

.. math:: (m^{-1})_{\alpha\beta}(T) =
   \frac{\sum_{nk} v_\alpha v_\beta\, (-\partial f / \partial\varepsilon)}{\sum_{nk} f}

For carriers much thinner than the effective density of states f is Boltzmann's factor, and the mass
does not depend on their number. For one parabolic valley it is the band-edge mass at every
temperature; for several, the mean of their inverse masses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from elphant.arrays import checked_array
from elphant.crystal import Symmetry
from elphant.electron.band_edges import BandEdges
from elphant.electron.effective_mass import inverse_mass
from elphant.electron.interpolation import BandInterpolation
from elphant.electron.velocity import velocities
from elphant.grids.irreducible import irreducible_mesh
from elphant.orbitals import EigenStates, LocalOrbitalHamiltonian
from elphant.orbitals.eigenproblem import batches
from elphant.units import BOLTZMANN_EV, INVERSE_MASS_PER_EV_A2

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Carrier = Literal["electron", "hole"]

#: States further than this (in k_B T) from the edge are left out.
WINDOW = 13.0

#: Room (eV) for the error of the interpolated energies by which points are selected.
SELECTION_MARGIN = 0.03

#: For a parabolic valley sums over the mesh are wrong by exp(-MESH_EXPONENT), times its double for
#: the mean of the squared velocity.
MESH_EXPONENT = 14.0

#: Where bands meet at an edge, sums of squared velocities converge with the square of the step
#: only: a finer mesh is used, and the sums are extrapolated from it and from every second point of
#: it, whose step is longer by the cube root of 2.
MEETING_EXPONENT = 28.0
EXTRAPOLATION = 1.0 / (2.0 ** (2.0 / 3.0) - 1.0)

#: Where bands touch (eV; well below k_B T) their velocities are those of the bands that leave the
#: point along a direction without symmetry.
TOUCHING = 1e-3
GENERIC_DIRECTION = np.array([0.91, 0.57, -0.33])

#: Points of the first, coarse selection per box of the mesh, and the mesh for which it pays.
BOX, BOX_FROM = 4, 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConductivityMass:
    """Conductivity mass of one carrier at one temperature, in the non-degenerate limit.

    Attributes
    ----------
    carrier : {"electron", "hole"}
    temperature : float, K
    inverse_tensor : ndarray, (3, 3) 1/m_e
        Positive for both carriers.
    relative_uncertainty : float
        Largest change along any direction when only every second point of the mesh is used; where
        bands meet at the edge, half of what the extrapolation to a dense mesh changes.
    n_points : int
        Points at which the bands were diagonalised.
    states_per_cell : float
        Effective density of states: carriers per cell are this times exp(-(distance of the
        chemical potential from the edge)/k_B T).
    density_of_states_mass : float, m_e
        Mass of the single isotropic parabolic valley with this density of states.
    """

    carrier: Carrier
    temperature: float
    inverse_tensor: Array
    relative_uncertainty: float
    n_points: int
    states_per_cell: float
    density_of_states_mass: float

    def __post_init__(self) -> None:
        tensor = checked_array("inverse_tensor", self.inverse_tensor, (3, 3))
        object.__setattr__(self, "inverse_tensor", tensor)

    @property
    def tensor(self) -> Array:
        """Mass tensor, (3, 3) m_e."""
        return np.asarray(np.linalg.inv(self.inverse_tensor))

    def along(self, direction: ArrayLike) -> float:
        """Return 1/(n·M⁻¹·n) in m_e for a Cartesian direction."""
        n = checked_array("direction", direction, (3,))
        return float(n @ n / (n @ self.inverse_tensor @ n))


def conductivity_masses(
    hamiltonian: LocalOrbitalHamiltonian,
    edges: BandEdges,
    carrier: Carrier,
    temperatures: Sequence[float],
    interpolation: BandInterpolation,
    symmetry: Symmetry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[ConductivityMass]:
    """Return the conductivity mass at each temperature.

    The sums run over exact bands and velocities on a regular mesh that is fine enough for the
    narrowest valley, at its irreducible points that carriers can occupy; the interpolation tells
    which these are. A few hundred diagonalisations per carrier and temperature, whatever the
    masses and the temperature.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    edges : BandEdges
    carrier : {"electron", "hole"}
    temperatures : sequence of float, K
    interpolation : BandInterpolation
        From :func:`elphant.electron.band_edges.edge_interpolation`.
    symmetry : Symmetry, optional
        Of the crystal; the same as for ``interpolation``.
    progress : callable, optional
        Called with the numbers of points done and of all points, at each temperature.
    """
    if not len(temperatures) or min(temperatures) <= 0:
        raise ValueError(f"temperatures {list(temperatures)} must be positive")
    sums = _ThermalSums(edges, carrier, interpolation, symmetry)
    results = []
    for temperature in temperatures:
        points = sums.points(temperature)
        (states, tensor), (_, half) = sums.evaluate(points, temperature, progress)
        uncertainty = _relative_change(tensor, half)
        if sums.bands_meet:
            extrapolated = tensor + EXTRAPOLATION * (tensor - half)
            uncertainty = 0.5 * _relative_change(extrapolated, tensor)
            tensor = extrapolated
        results.append(
            ConductivityMass(
                carrier=carrier,
                temperature=float(temperature),
                inverse_tensor=tensor,
                relative_uncertainty=uncertainty,
                n_points=len(points.k_points),
                states_per_cell=states,
                density_of_states_mass=_dos_mass(states, hamiltonian, temperature),
            )
        )
    return results


def _relative_change(first: Array, second: Array) -> float:
    """Return the largest relative difference of two inverse-mass tensors along any direction."""
    values, vectors = np.linalg.eigh(first)
    whitened = vectors / np.sqrt(values)
    return float(np.abs(np.linalg.eigvalsh(whitened.T @ second @ whitened) - 1.0).max())


def _dos_mass(states: float, hamiltonian: LocalOrbitalHamiltonian, temperature: float) -> float:
    r"""Return m of :math:`N = 2 V (m k_B T / 2\pi\hbar^2)^{3/2}` (m_e)."""
    density = states / (2.0 * hamiltonian.crystal.volume)
    thermal = INVERSE_MASS_PER_EV_A2 * BOLTZMANN_EV * temperature / (2.0 * np.pi)
    return float(density ** (2.0 / 3.0) / thermal)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Points:
    """Points of a mesh that can be occupied, one of each star, and the shares of the stars.

    ``weights`` (n, 2): share of the star in the mesh, and in every second point of it.
    """

    k_points: Array
    weights: Array


def _one_of_each_star(points: Array, mesh: Integers, operations: Integers) -> _Points:
    """Keep one of each set of equivalent points (n, 3) of a mesh of even divisions."""
    address = np.rint(points * mesh).astype(np.int64)
    images, even = [], []
    for operation in operations:
        scaled = operation * mesh[:, None] / mesh[None]
        if np.abs(scaled - np.rint(scaled)).max() > 1e-9:
            continue
        wrapped = np.mod(address @ np.rint(scaled).astype(np.int64).T, mesh)
        images.append((wrapped[:, 0] * mesh[1] + wrapped[:, 1]) * mesh[2] + wrapped[:, 2])
        even.append(wrapped.sum(axis=1) % 2 == 0)
    index = np.array(images)
    own = (np.mod(address, mesh) * [mesh[1] * mesh[2], mesh[2], 1]).sum(axis=1)
    chosen = index.min(axis=0) == own
    share = 1.0 / (index == own).sum(axis=0) / np.prod(mesh)
    weights = np.stack([len(index) * share, 2.0 * np.array(even).sum(axis=0) * share], axis=1)
    return _Points(k_points=points[chosen], weights=weights[chosen])


class _ThermalSums:
    """Boltzmann sums over one side of the gap."""

    def __init__(
        self,
        edges: BandEdges,
        carrier: Carrier,
        interpolation: BandInterpolation,
        symmetry: Symmetry | None,
    ) -> None:
        self.hamiltonian = interpolation.hamiltonian
        self.interpolation = interpolation
        self.sign = 1 if carrier == "electron" else -1
        self.valleys = edges.conduction_valleys if carrier == "electron" else edges.valence_valleys
        self.edge = self.valleys[0]
        identity = np.eye(3, dtype=np.int64)[None]
        self.rotations = identity if symmetry is None else symmetry.rotations
        columns = self.hamiltonian.crystal.lattice.T
        self.cartesian = columns @ self.rotations @ np.linalg.inv(columns)

    def excess(self, energies: Array) -> Array:
        """Return the distance from the edge into the band, eV."""
        return np.asarray(self.sign * (energies - self.edge.energy))

    def _nearest_band(self, k_points: Array) -> Array:
        """Return the interpolated distance of the lowest carrier state from the edge (n,)."""
        energies = self.interpolation.energies(k_points)
        return self.excess(energies[:, self.edge.band - self.interpolation.bands[0]])

    @property
    def bands_meet(self) -> bool:
        """Whether several bands, each with its spin, meet at a valley."""
        each = 2 // self.hamiltonian.spin_degeneracy
        return any(valley.degeneracy > each for valley in self.valleys)

    @cached_property
    def widest(self) -> Array:
        r"""Largest :math:`\hbar^2 / (m a_i^2)` over all valleys, (3,) eV.

        The mass is that along a_i and its images, which are its directions in equivalent valleys.
        """
        result = np.zeros(3)
        for valley in self.valleys:
            mass = inverse_mass(self.hamiltonian, valley.k_point, valley.band)
            for axis, vector in enumerate(self.hamiltonian.crystal.lattice):
                images = np.unique(np.round(self.cartesian @ vector, 8), axis=0)
                inverse = max(np.abs(mass.inverse_along(image)).max() for image in images)
                result[axis] = max(result[axis], inverse / (vector @ vector))
        return result / INVERSE_MASS_PER_EV_A2

    def points(self, temperature: float) -> _Points:
        r"""Return the points of a mesh that can be occupied.

        The sum of a Gaussian over a mesh with N points along b_i is wrong by about
        :math:`\exp(-\frac12 k_B T N^2 a_i \cdot m \cdot a_i / \hbar^2)`: this sets the mesh. Its
        boxes are looked at first, at their corners, centres and between; then its points.
        """
        exponent = MEETING_EXPONENT if self.bands_meet else MESH_EXPONENT
        squares = 2.0 * exponent * self.widest / (BOLTZMANN_EV * temperature)
        divisions = np.ceil(np.sqrt(squares)).astype(np.int64)
        per_box = np.where(divisions >= BOX_FROM, BOX, 2)
        boxes = -(-divisions // per_box)
        k_mesh = irreducible_mesh(2 * boxes, self.rotations)
        cube = self._nearest_band(k_mesh.points)[k_mesh.representative]
        cube = cube.reshape(tuple(2 * boxes), order="F")
        lowest = np.full(tuple(boxes), np.inf)
        for shift in product((0, -1, -2), repeat=3):
            lowest = np.minimum(lowest, np.roll(cube, shift, axis=(0, 1, 2))[::2, ::2, ::2])
        limit = WINDOW * BOLTZMANN_EV * temperature + SELECTION_MARGIN
        kept = np.argwhere(lowest < limit + SELECTION_MARGIN) / boxes
        inside = np.indices(tuple(per_box)).reshape(3, -1).T / (boxes * per_box)
        k_points = (kept[:, None] + inside).reshape(-1, 3)
        stars = _one_of_each_star(k_points, boxes * per_box, k_mesh.rotations)
        occupied = self._nearest_band(stars.k_points) < limit
        return _Points(k_points=stars.k_points[occupied], weights=stars.weights[occupied])

    def evaluate(
        self,
        points: _Points,
        temperature: float,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[tuple[float, Array]]:
        """Return effective states per cell and inverse mass tensor (1/m_e), for both meshes."""
        thermal = BOLTZMANN_EV * temperature
        bands = self._bands(WINDOW * thermal)
        totals, tensors = np.zeros(2), np.zeros((2, 3, 3))
        n = len(points.k_points)
        for part in batches(n, 2 * self.hamiltonian.n_orbitals):
            states = _some_states(self.hamiltonian, points.k_points[part], bands)
            v = velocities(
                self.hamiltonian, states, direction=GENERIC_DIRECTION, tolerance=TOUCHING
            )
            factors = np.exp(-self.excess(states.energies) / thermal)
            totals += np.einsum("kw,kn->w", points.weights[part], factors)
            tensors += np.einsum("kw,kn,knx,kny->wxy", points.weights[part], factors, v, v)
            if progress is not None:
                progress(min(part.stop, n), n)
        results = []
        r = self.cartesian
        for total, tensor in zip(totals, tensors / thermal, strict=True):
            mean = np.einsum("rij,jk,rlk->il", r, tensor / total, r) / len(r)
            states_per_cell = float(self.hamiltonian.spin_degeneracy * total)
            results.append((states_per_cell, mean * INVERSE_MASS_PER_EV_A2))
        return results

    def _bands(self, window: float) -> tuple[int, int]:
        """Return the range of bands that reach into the window, and one more."""
        models = [self.interpolation.model(i) for i in range(self.interpolation.mesh.n_points)]
        excess = self.excess(np.array([model.all_energies for model in models])).min(axis=0)
        reached = int((excess[self.edge.band :: self.sign] < window).sum()) + 1
        if self.sign > 0:
            return self.edge.band, min(self.edge.band + reached, self.hamiltonian.n_orbitals)
        return max(self.edge.band + 1 - reached, 0), self.edge.band + 1


def _some_states(
    hamiltonian: LocalOrbitalHamiltonian, k_points: Array, bands: tuple[int, int]
) -> EigenStates:
    """Return the states of some bands alone: much faster than all of them."""
    H, S = hamiltonian.at(k_points)
    subset = (bands[0], bands[1] - 1)
    found = [eigh(h, s, subset_by_index=subset) for h, s in zip(H, S, strict=True)]
    return EigenStates(
        k_points=k_points,
        energies=np.array([energies for energies, _ in found]),
        coefficients=np.array([vectors for _, vectors in found]),
    )

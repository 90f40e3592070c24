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
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import Symmetry
from elphant.electron.band_edges import BandEdges
from elphant.electron.effective_mass import inverse_mass
from elphant.electron.interpolation import BandInterpolation
from elphant.grids.irreducible import irreducible_mesh
from elphant.orbitals import LocalOrbitalHamiltonian, band_energies
from elphant.units import BOLTZMANN_EV, INVERSE_MASS_PER_EV_A2

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Carrier = Literal["electron", "hole"]

#: States further than this (in k_B T) from the edge are left out.
WINDOW = 13.0

#: Room (eV) for the error of the first interpolation when points are selected with it.
SELECTION_MARGIN = 0.05

#: Accuracy of the mesh for a parabolic valley: errors of the sums are about exp(-MESH_EXPONENT).
MESH_EXPONENT = 20.0

#: The second mesh, from which the uncertainty is estimated, has this share of the divisions.
SECOND_MESH = 0.75

#: The mesh of models is refined until the inverse mass changes by less than this share, or more
#: than MAX_MODELS models would be needed at a step, or MAX_STEPS steps are done.
MASS_CHANGE, MAX_MODELS, MAX_STEPS = 0.02, 150, 3

#: Share of a step by which points are moved off symmetric ones.
GENERIC_OFFSET = np.array([0.91e-4, 0.57e-4, -0.33e-4])

#: Points at which interpolated energies are compared with exact ones.
N_SAMPLES = 12


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
        What is left of the change with the mesh of models, plus the change on a coarser mesh of
        the sum.
    energy_error : float, eV
        Root mean square error of the interpolation at thermally occupied points.
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
    energy_error: float
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
    progress: Callable[[int], None] | None = None,
) -> list[ConductivityMass]:
    """Return the conductivity mass at each temperature.

    Interpolated bands are summed on a mesh fine enough for the narrowest valley. The mesh of
    models is refined until the inverse mass has settled.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    edges : BandEdges
    carrier : {"electron", "hole"}
    temperatures : sequence of float, K
    interpolation : BandInterpolation
        A first one: :func:`elphant.electron.band_edges.edge_interpolation`.
    symmetry : Symmetry, optional
        Of the crystal; the same as for ``interpolation``.
    progress : callable, optional
        Called with the number of models of each round.
    """
    if not len(temperatures) or min(temperatures) <= 0:
        raise ValueError(f"temperatures {list(temperatures)} must be positive")
    sums = _ThermalSums(hamiltonian, edges, carrier, symmetry)
    bands = sums.bands(interpolation, max(temperatures))
    ladder = _Ladder(interpolation.restricted(bands), symmetry, progress)
    return [_mass_at(sums, ladder, edges, carrier, float(t)) for t in temperatures]


class _Ladder:
    """Interpolations from finer and finer meshes of models, shared by all temperatures."""

    def __init__(
        self,
        first: BandInterpolation,
        symmetry: Symmetry | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.steps = [first]
        self._rotations = None if symmetry is None else symmetry.rotations
        self._progress = progress

    def step(self, number: int) -> BandInterpolation:
        """Return an interpolation; 0 is the given one."""
        while len(self.steps) <= number:
            last = self.steps[-1]
            even = not (last.mesh.mesh % 2).any()
            mesh = last.mesh.mesh * 3 // 2 if even else last.mesh.mesh * 2
            finer = irreducible_mesh(mesh, self._rotations)
            self.steps.append(
                BandInterpolation(last.hamiltonian, finer, last.bands, self._progress)
            )
        return self.steps[number]


def _mass_at(
    sums: _ThermalSums, ladder: _Ladder, edges: BandEdges, carrier: Carrier, temperature: float
) -> ConductivityMass:
    """Return the conductivity mass at one temperature."""
    divisions = _divisions(sums.hamiltonian, edges, carrier, temperature)
    first = ladder.step(0)
    points = sums.relevant_points(first, divisions, temperature)
    states, tensor = sums.evaluate(first, points, temperature)
    used, model_change = first, np.inf
    for number in range(1, MAX_STEPS + 1):
        models = ladder.step(number)
        if len(np.unique(models.nearest(points.k_points)[0])) > MAX_MODELS:
            break
        states, finer = sums.evaluate(models, points, temperature)
        ratio = float(models.mesh.mesh[0] / used.mesh.mesh[0])
        change = _relative_change(finer, tensor)
        # What is left of an error that falls with the square of the step.
        model_change = change / (ratio**2 - 1.0)
        tensor, used = finer, models
        if change < MASS_CHANGE:
            break
    energy_error = sums.energy_error(used, points.k_points, temperature)
    if not np.isfinite(model_change):
        # Without a second mesh of models, their error in energy is all there is to judge from.
        model_change = energy_error / (BOLTZMANN_EV * temperature)
    second = np.ceil(SECOND_MESH * divisions).astype(np.int64)
    coarse = sums.evaluate(used, sums.relevant_points(first, second, temperature), temperature)[1]
    return ConductivityMass(
        carrier=carrier,
        temperature=temperature,
        inverse_tensor=tensor,
        relative_uncertainty=model_change + _relative_change(tensor, coarse),
        energy_error=energy_error,
        states_per_cell=states,
        density_of_states_mass=_dos_mass(states, sums.hamiltonian, temperature),
    )


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


def _divisions(
    hamiltonian: LocalOrbitalHamiltonian, edges: BandEdges, carrier: Carrier, temperature: float
) -> Integers:
    r"""Return the divisions at which sums over every listed valley have converged.

    The sum of a Gaussian over a mesh with N points along b_i is wrong by about
    :math:`\exp(-\frac12 k_B T N^2 a_i \cdot m \cdot a_i / \hbar^2)`.
    """
    result = np.ones(3)
    valleys = edges.conduction_valleys if carrier == "electron" else edges.valence_valleys
    for valley in valleys:
        matrix = inverse_mass(hamiltonian, valley.k_point, valley.band)
        for axis, vector in enumerate(hamiltonian.crystal.lattice):
            heaviest = np.abs(matrix.inverse_along(vector)).max() / INVERSE_MASS_PER_EV_A2
            exponent = 0.5 * BOLTZMANN_EV * temperature * (vector @ vector) / heaviest
            result[axis] = max(result[axis], np.sqrt(MESH_EXPONENT / exponent))
    return np.ceil(result).astype(np.int64)


def _mesh_points(mesh: Integers) -> Array:
    """Return the points of a Γ-centred mesh, (n, 3), the last component fastest."""
    n_a, n_b, n_c = (int(n) for n in mesh)
    return np.indices((n_a, n_b, n_c)).reshape(3, -1).T / mesh


def _one_of_each_star(points: Array, mesh: Integers, operations: Integers) -> tuple[Array, Array]:
    """Return one of each set of equivalent points (n, 3) of a mesh, and how many there are."""
    address = np.rint(points * mesh).astype(np.int64)
    images = []
    for operation in operations:
        scaled = operation * mesh[:, None] / mesh[None]
        if np.abs(scaled - np.rint(scaled)).max() > 1e-9:
            continue
        wrapped = np.mod(address @ np.rint(scaled).astype(np.int64).T, mesh)
        images.append((wrapped[:, 0] * mesh[1] + wrapped[:, 1]) * mesh[2] + wrapped[:, 2])
    index = np.array(images)
    own = (np.mod(address, mesh) * [mesh[1] * mesh[2], mesh[2], 1]).sum(axis=1)
    chosen = index.min(axis=0) == own
    multiplicity = len(index) / (index == own).sum(axis=0)
    return points[chosen], multiplicity[chosen]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Points:
    """Points of a mesh that can be occupied, one of each star: (n, 3), and star sizes (n,).

    ``offset`` (3,) is small against the mesh and in no symmetric direction; ``n_full`` is the size
    of the mesh.
    """

    k_points: Array
    multiplicity: Array
    offset: Array
    n_full: int


class _ThermalSums:
    """Boltzmann sums over one side of the gap."""

    def __init__(
        self,
        hamiltonian: LocalOrbitalHamiltonian,
        edges: BandEdges,
        carrier: Carrier,
        symmetry: Symmetry | None,
    ) -> None:
        self.hamiltonian = hamiltonian
        self.sign = 1 if carrier == "electron" else -1
        self.edge = edges.conduction if carrier == "electron" else edges.valence
        lattice = hamiltonian.crystal.lattice
        self.rotations = (
            np.eye(3)[None] if symmetry is None else symmetry.cartesian_rotations(lattice)
        )

    def bands(self, interpolation: BandInterpolation, temperature: float) -> tuple[int, int]:
        """Return the range of bands that reach into the window."""
        points = range(interpolation.mesh.n_points)
        energies = np.array([interpolation.model(i).all_energies for i in points])
        excess = self.sign * (energies - self.edge.energy)
        inside = np.flatnonzero(excess.min(axis=0) < WINDOW * BOLTZMANN_EV * temperature + 0.1)
        occupied = self.hamiltonian.n_occupied
        if self.sign > 0:
            return occupied, int(max(inside[inside >= occupied].max(initial=0), occupied)) + 1
        return int(min(inside[inside < occupied].min(initial=occupied), occupied - 1)), occupied

    def excess(self, energies: Array) -> Array:
        """Return the distance from the edge into the band, eV."""
        return np.asarray(self.sign * (energies - self.edge.energy))

    def relevant_points(
        self, models: BandInterpolation, divisions: Integers, temperature: float
    ) -> _Points:
        """Return the points of a mesh that can be occupied.

        Boxes of the mesh are looked at first, at their corners, centres and between; then points.
        """
        boxes = np.maximum(divisions // 4, 1)
        per_box = -(-divisions // boxes)
        half_steps = _mesh_points(2 * boxes)
        cube = self.excess(models.energies(half_steps)).min(axis=1).reshape(tuple(2 * boxes))
        lowest = np.full(tuple(boxes), np.inf)
        for shift in product((0, -1, -2), repeat=3):
            lowest = np.minimum(lowest, np.roll(cube, shift, axis=(0, 1, 2))[::2, ::2, ::2])
        limit = WINDOW * BOLTZMANN_EV * temperature + SELECTION_MARGIN
        kept = _mesh_points(boxes)[lowest.ravel() < limit + SELECTION_MARGIN]
        points = (kept[:, None] + _mesh_points(per_box) / boxes).reshape(-1, 3)
        points, multiplicity = _one_of_each_star(points, boxes * per_box, models.mesh.rotations)
        inside = self.excess(models.energies(points)).min(axis=1) < limit
        return _Points(
            k_points=points[inside],
            multiplicity=multiplicity[inside],
            offset=GENERIC_OFFSET / (boxes * per_box),
            n_full=int(np.prod(boxes * per_box)),
        )

    def evaluate(
        self, models: BandInterpolation, points: _Points, temperature: float
    ) -> tuple[float, Array]:
        """Return the effective states per cell and the inverse mass tensor (1/m_e)."""
        thermal = BOLTZMANN_EV * temperature
        total, tensor = 0.0, np.zeros((3, 3))
        for start in range(0, len(points.k_points), 4000):
            part = slice(start, start + 4000)
            # Slightly off the mesh, where bands that meet at symmetric points have parted.
            k_points = points.k_points[part] + points.offset
            energies, gradients = models.smooth_energies(k_points)
            weights = np.exp(-self.excess(energies) / thermal)
            weights *= points.multiplicity[part, None]
            total += float(weights.sum())
            tensor += np.einsum("kn,knx,kny->xy", weights, gradients, gradients) / thermal
        r = self.rotations
        mean = np.einsum("rij,jk,rlk->il", r, tensor / total, r) / len(r)
        states = self.hamiltonian.spin_degeneracy * total / points.n_full
        return states, mean * INVERSE_MASS_PER_EV_A2

    def energy_error(self, models: BandInterpolation, k_points: Array, temperature: float) -> float:
        """Return the thermal rms error of the interpolated energies (eV), from samples."""
        nearest = self.excess(models.smooth_energies(k_points)[0]).min(axis=1)
        cumulative = np.cumsum(np.exp(-nearest / (BOLTZMANN_EV * temperature)))
        levels = (np.arange(N_SAMPLES) + 0.5) / N_SAMPLES * cumulative[-1]
        chosen = np.unique(np.searchsorted(cumulative, levels))
        exact = self.excess(
            band_energies(self.hamiltonian, k_points[chosen])[:, slice(*models.bands)]
        )
        return float(np.sqrt(np.mean((exact.min(axis=1) - nearest[chosen]) ** 2)))

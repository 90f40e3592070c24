"""The self-consistent Kohn-Sham density of a crystal in Gaussians and plane waves.

Wave functions are Gaussians, the density lives on a uniform grid (G. Lippert, J. Hutter and M.
Parrinello, Mol. Phys. 92, 477 (1997)). The density matrix comes from irreducible k points and is
symmetrised; density and potential matrix are evaluated on irreducible grid points only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import PhysicsError
from elphant.grids.irreducible import KMesh
from elphant.models.hamiltonians.pyscf.cell import Species
from elphant.models.hamiltonians.pyscf.grid import DensityGrid
from elphant.models.hamiltonians.pyscf.local_potential import (
    Functional,
    effective_potential,
    local_pseudopotential,
)
from elphant.models.hamiltonians.pyscf.mixing import PulayMixer
from elphant.models.hamiltonians.pyscf.occupation import Occupation, occupy
from elphant.models.hamiltonians.pyscf.symmetrizer import BlockSymmetrizer
from elphant.orbitals import LatticeMatrix, OrbitalBasis, bloch_sum
from elphant.orbitals.eigenproblem import batches, solve_matrices
from elphant.orbitals.real_space import OrbitalsOnPoints
from elphant.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bands:
    """Energies and occupied states at the irreducible k points.

    Attributes
    ----------
    energies : ndarray, (n_k, n_bands) eV
    occupation : Occupation
    density_matrix : LatticeMatrix
        Summed over spin and symmetrised, e.
    """

    energies: Array
    occupation: Occupation
    density_matrix: LatticeMatrix


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cycle:
    r"""State after one cycle, as given to the observer of :func:`run_cycles`.

    Attributes
    ----------
    number : int
        From 1.
    local : LatticeMatrix, eV
        Matrix of the local potential that the input density makes.
    bands : Bands
    density_change : float
        Integral of :math:`|n_{out} - n_{in}|` over the cell per electron.
    band_change : float, eV
        Largest change of an occupied or low empty band energy since the last cycle.
    energy : float, eV
        Total electronic energy without the ion-ion term (Harris-Foulkes).
    mixer : PulayMixer
    next_density : ndarray, (n_waves,)
    """

    number: int
    local: LatticeMatrix
    bands: Bands
    density_change: float
    band_change: float
    energy: float
    mixer: PulayMixer
    next_density: Complex


@dataclass(frozen=True, kw_only=True, eq=False)
class KohnShamProblem:
    """Everything that stays fixed during the cycles.

    Attributes
    ----------
    crystal : Crystal
    species : dict of str to Species
    basis : OrbitalBasis
    grid : DensityGrid
    k_mesh : KMesh
    functional : Functional
    symmetrizer : BlockSymmetrizer or None
        None where no symmetry is used.
    fixed : LatticeMatrix, eV
        Kinetic energy and nonlocal pseudopotential.
    overlap : LatticeMatrix
    smearing : float, eV
        Width of the Fermi distribution; it only matters where the gap is as small.
    orbitals : OrbitalsOnPoints
        On the irreducible points of ``grid``.
    """

    crystal: Crystal
    species: dict[str, Species]
    basis: OrbitalBasis
    grid: DensityGrid
    k_mesh: KMesh
    functional: Functional
    symmetrizer: BlockSymmetrizer | None
    fixed: LatticeMatrix
    overlap: LatticeMatrix
    smearing: float
    orbitals: OrbitalsOnPoints

    @property
    def n_electrons(self) -> int:
        """Valence electrons per cell."""
        return sum(self.species[symbol].charge for symbol in self.crystal.symbols)

    @cached_property
    def _ionic(self) -> Complex:
        return local_pseudopotential(self.grid, self.species)

    @cached_property
    def _at_mesh(self) -> tuple[Complex, Complex]:
        """Bloch sums of the fixed part and of the overlap at the k points."""
        points = self.k_mesh.points
        return bloch_sum(self.fixed, points), bloch_sum(self.overlap, points)

    def density(self, density_matrix: LatticeMatrix) -> Complex:
        """Return the Fourier coefficients of the density, e/bohr³, with the exact total charge."""
        values = self.orbitals.density(density_matrix) * ANGSTROM_PER_BOHR**3
        waves = self.grid.to_waves(self.grid.expand(values))
        mean = self.n_electrons / (self.crystal.volume / ANGSTROM_PER_BOHR**3)
        # The grid integrates the density to about 1e-6; the rest would shift nothing but charge.
        waves[self.grid.squares < 1e-12] = mean
        return waves

    def local_matrix(self, density: Complex) -> tuple[LatticeMatrix, float]:
        """Return the matrix of the local potential and the double-counting energy, both eV."""
        grid = self.grid
        effective = effective_potential(grid, self.functional, self._ionic, grid.to_points(density))
        weights = effective.potential[grid.irreducible] * grid.multiplicity
        weights = weights * (grid.volume_per_point * EV_PER_HARTREE)
        matrix = self.orbitals.potential_matrix(weights)
        return self._symmetrized(matrix), effective.energy_shift * EV_PER_HARTREE

    def _symmetrized(self, matrix: LatticeMatrix) -> LatticeMatrix:
        """Return the average over the space group."""
        if self.symmetrizer is None:
            return matrix
        return self.symmetrizer(matrix)

    def solve(self, local: LatticeMatrix) -> Bands:
        """Return the bands at the k points, and the density matrix of the filled ones."""
        points, n = self.k_mesh.points, self.basis.n_orbitals
        fixed_k, overlap_k = self._at_mesh
        energies = np.empty((len(points), n))
        states = []
        n_kept = min(n, int(self.n_electrons / 2 * 1.1) + 6)
        for part in batches(len(points), n):
            H = fixed_k[part] + bloch_sum(local, points[part])
            energies[part], c = solve_matrices(H, overlap_k[part])
            states.append(c[:, :, :n_kept].copy())
        occupation = occupy(energies, self.k_mesh.weights, self.n_electrons, self.smearing)
        filled = occupation.numbers[:, :n_kept] * self.k_mesh.weights[:, None]
        matrix = _density_matrix(np.concatenate(states), filled, points, local)
        return Bands(
            energies=energies, occupation=occupation, density_matrix=self._symmetrized(matrix)
        )

    def cycle(self, density: Complex) -> tuple[LatticeMatrix, Bands, float]:
        """Return local matrix, bands and electronic energy (eV) for an input density."""
        local, shift = self.local_matrix(density)
        bands = self.solve(local)
        weighted = bands.occupation.numbers * self.k_mesh.weights[:, None]
        return local, bands, float((weighted * bands.energies).sum()) + shift


def run_cycles(
    problem: KohnShamProblem,
    density: Complex,
    *,
    mixer: PulayMixer | None = None,
    first: int = 1,
    previous: Array | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 60,
    observe: Callable[[Cycle], None] = lambda _: None,
) -> Cycle:
    """Iterate to self-consistency and return the last cycle.

    Parameters
    ----------
    problem : KohnShamProblem
    density : ndarray, (n_waves,) e/bohr³
        Input of the first cycle.
    mixer : PulayMixer, optional
        With the history of an interrupted calculation.
    first : int
        Number of the first cycle.
    previous : ndarray, optional
        Band energies of the cycle before the first.
    tolerance : float, eV
        Largest change of a band energy between two cycles; the density has to settle accordingly.
    max_iterations : int
    observe : callable
        Called after each cycle.

    Raises
    ------
    PhysicsError
        If the cycles do not converge.
    """
    mixer = mixer or PulayMixer(grid=problem.grid)
    for number in range(first, max_iterations + 1):
        cycle = single_cycle(problem, density, mixer, number=number, previous=previous)
        observe(cycle)
        # Both measures: after a poor extrapolation the bands can stand still by accident.
        if cycle.band_change < tolerance and cycle.density_change < tolerance:
            return cycle
        density, previous = cycle.next_density, cycle.bands.energies
    raise PhysicsError(
        f"the density did not converge in {max_iterations} cycles: it still changes by "
        f"{cycle.density_change:.1e} per electron, and bands by {cycle.band_change:.1e} eV.",
        "Metals, magnetic crystals and poor starting densities converge slowly.",
        "Allow more iterations, or check the structure.",
    )


def single_cycle(
    problem: KohnShamProblem,
    density: Complex,
    mixer: PulayMixer,
    *,
    number: int = 1,
    previous: Array | None = None,
) -> Cycle:
    """Return bands, residual and next density for an input density; see :func:`run_cycles`."""
    local, bands, energy = problem.cycle(density)
    residual = problem.density(bands.density_matrix) - density
    volume = problem.crystal.volume / ANGSTROM_PER_BOHR**3
    change = np.abs(problem.grid.to_points(residual)).mean() * volume / problem.n_electrons
    band_change = np.inf
    if previous is not None:
        n_watched = min(problem.basis.n_orbitals, problem.n_electrons // 2 + 4)
        band_change = float(np.abs(bands.energies - previous)[:, :n_watched].max())
    return Cycle(
        number=number, local=local, bands=bands, density_change=float(change),
        band_change=band_change, energy=energy, mixer=mixer,
        next_density=mixer.next_input(density, residual),
    )  # fmt: skip


def _density_matrix(
    states: Complex, filled: Array, points: Array, pattern: LatticeMatrix
) -> LatticeMatrix:
    r"""Return :math:`P_{ij}(R) = \sum_{kn} f_{kn} c_{in} c_{jn}^* e^{-ik \cdot R}`, real part.

    The real part is the average with -k. The blocks are those of ``pattern``.
    """
    P = (states * filled[:, None, :]) @ states.conj().transpose(0, 2, 1)
    starts, sizes = pattern.orbital_starts, pattern.sizes
    values = []
    for i, j, blocks in pattern.groups:
        rows = slice(starts[i], starts[i] + sizes[i])
        columns = slice(starts[j], starts[j] + sizes[j])
        angle = -2.0 * np.pi * (pattern.cells[blocks] @ points.T)
        part = np.ascontiguousarray(P[:, rows, columns]).reshape(len(points), -1)
        values.append((np.cos(angle) @ part.real - np.sin(angle) @ part.imag).ravel())
    return pattern.with_values(np.concatenate(values))

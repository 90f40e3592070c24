r"""Electron density, kinetic-energy density and the electron localisation function on a grid.

For closed shells, with the spin-summed density n and :math:`\tau = \frac12 \sum_i f_i
|\nabla\psi_i|^2` (A. D. Becke and K. E. Edgecombe, J. Chem. Phys. 92, 5397 (1990), in the form of
A. Savin et al., Angew. Chem. Int. Ed. 31, 187 (1992)):

.. math:: \mathrm{ELF} = \frac{1}{1 + (D/D_h)^2}, \qquad
          D = \tau - \frac{|\nabla n|^2}{8 n}, \qquad
          D_h = \tfrac{3}{10} (3\pi^2)^{2/3} n^{5/3}.

Becke and Edgecombe write the same per spin and without the factor ½: their :math:`D_\sigma` of
:math:`n_\sigma = n/2` equals D here, and :math:`\frac35 (6\pi^2)^{2/3} n_\sigma^{5/3}` equals
:math:`D_h`. Both carry ħ²/m, which cancels, so that Å⁻⁵ serve as well as atomic units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal, Symmetry
from elphant.errors import ConfigurationError
from elphant.orbitals import LatticeMatrix, OrbitalBasis
from elphant.orbitals.real_space import OrbitalsOnPoints

Array = NDArray[np.float64]

#: Density (e/Å³; 1.5e-5 e/bohr³) below which ELF is set to zero: there it is the ratio of two
#: vanishing numbers, and says more about the tails of the basis than about electrons.
DENSITY_FLOOR = 1e-4

#: Largest number of steps along one axis tried for a grid that the space group maps onto itself.
LARGEST_EXTENSION = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ElectronLocalization:
    """Density and ELF on the grid points i/n of the cell (fractional coordinates).

    Attributes
    ----------
    crystal : Crystal
    density : ndarray, (n1, n2, n3) e/Å³
    elf : ndarray, (n1, n2, n3)
        Between 0 and 1; 0 where the density is below ``density_floor``.
    n_electrons : float
        Electrons per cell that the density should hold.
    density_floor : float, e/Å³
    """

    crystal: Crystal
    density: Array
    elf: Array
    n_electrons: float
    density_floor: float = DENSITY_FLOOR

    def __post_init__(self) -> None:
        density = checked_array("density", self.density, (None, None, None))
        object.__setattr__(self, "density", density)
        object.__setattr__(self, "elf", checked_array("elf", self.elf, density.shape))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of points along a, b, c."""
        n1, n2, n3 = self.density.shape
        return n1, n2, n3

    @property
    def spacing(self) -> float:
        """Largest distance (Å) between neighbouring points along a lattice vector."""
        return float((self.crystal.lengths / self.shape).max())

    @property
    def integral(self) -> float:
        """Sum of the density over the grid times the volume of a point, in electrons."""
        return float(self.density.mean() * self.crystal.volume)


def electron_localization(
    crystal: Crystal,
    basis: OrbitalBasis,
    matrix: LatticeMatrix,
    n_electrons: float,
    *,
    spacing: float = 0.12,
    shape: Sequence[int] | None = None,
    symmetry: Symmetry | None = None,
    density_floor: float = DENSITY_FLOOR,
) -> ElectronLocalization:
    """Return density and ELF of a density matrix.

    Parameters
    ----------
    crystal : Crystal
    basis : OrbitalBasis
        With all radial functions.
    matrix : LatticeMatrix
        Spin-summed density matrix, see :func:`density_matrix`.
    n_electrons : float
        Electrons per cell, kept for comparison with the integral of the density.
    spacing : float, Å
        Largest distance of grid points.
    shape : sequence of int, (3,), optional
        Points along a, b, c instead of ``spacing``.
    symmetry : Symmetry, optional
        The functions are computed on irreducible points only; ``matrix`` must have this symmetry.
    density_floor : float, e/Å³
        ELF is zero below it.

    Raises
    ------
    ConfigurationError
        If a radial function is unknown, or the spacing is not positive.
    """
    if not basis.has_functions:
        raise ConfigurationError(
            "the radial functions of the basis are unknown.",
            "Without them the density in space cannot be computed from the Hamiltonian.",
            "Use a provider whose basis functions are known, such as pyscf.",
        )
    if shape is None:
        shape = grid_shape(crystal, spacing, symmetry)
    counts = np.array(shape, dtype=np.int64)
    first, index = irreducible_points(counts, symmetry)
    fractional = np.stack(np.unravel_index(first, tuple(counts)), axis=1) / counts
    on_points = OrbitalsOnPoints(crystal, basis, fractional @ crystal.lattice)
    fields = on_points.density_and_kinetic(matrix)
    elf = localization_function(
        fields.density, fields.gradient, fields.kinetic, density_floor=density_floor
    )
    return ElectronLocalization(
        crystal=crystal,
        density=fields.density[index].reshape(tuple(counts)),
        elf=elf[index].reshape(tuple(counts)),
        n_electrons=n_electrons,
        density_floor=density_floor,
    )


def localization_function(
    density: ArrayLike,
    gradient: ArrayLike,
    kinetic: ArrayLike,
    *,
    density_floor: float = 0.0,
) -> Array:
    """Return ELF of closed shells.

    Parameters
    ----------
    density : array_like, (...) Å⁻³
        Spin-summed.
    gradient : array_like, (..., 3) Å⁻⁴
    kinetic : array_like, (...) Å⁻⁵
        ½ Σ f |∇ψ|², positive, without ħ²/m.
    density_floor : float
        ELF is set to zero at and below this density.
    """
    n = np.asarray(density, dtype=float)
    squared = (np.asarray(gradient, dtype=float) ** 2).sum(axis=-1)
    occupied = n > max(density_floor, 0.0)
    safe = np.where(occupied, n, 1.0)
    pauli = np.asarray(kinetic, dtype=float) - squared / (8.0 * safe)
    homogeneous = 0.3 * (3.0 * pi**2) ** (2.0 / 3.0) * safe ** (5.0 / 3.0)
    # The ratio may overflow where a tiny density meets a finite kinetic energy: ELF is then zero.
    with np.errstate(over="ignore"):
        elf = 1.0 / (1.0 + (pauli / homogeneous) ** 2)
    return np.where(occupied, elf, 0.0)


def grid_shape(
    crystal: Crystal, spacing: float, symmetry: Symmetry | None = None
) -> tuple[int, int, int]:
    """Return the coarsest grid with at most ``spacing`` (Å) between points along each axis.

    With ``symmetry``, axes that an operation mixes get equal numbers, and numbers grow (a little)
    until the translations of the operations are whole steps, where there is such a number.
    """
    if not spacing > 0:
        raise ConfigurationError(
            f"the grid spacing {spacing} Å is not positive.", fix="Give for example 0.1 Å."
        )
    counts = np.array([ceil(length / spacing - 1e-6) for length in crystal.lengths])
    if symmetry is None:
        return int(counts[0]), int(counts[1]), int(counts[2])
    mixed = (symmetry.rotations != 0).any(axis=0)
    mixed = np.linalg.matrix_power((mixed | mixed.T).astype(int), 3) > 0
    for axis in range(3):
        members = np.flatnonzero(mixed[axis])
        start = int(counts[members].max())
        shifts = symmetry.translations[:, members]
        counts[members] = next(
            (n for n in range(start, start + LARGEST_EXTENSION) if _whole(n * shifts)), start
        )
    return int(counts[0]), int(counts[1]), int(counts[2])


def irreducible_points(
    shape: ArrayLike, symmetry: Symmetry | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the flat indices of irreducible grid points, and where each point finds its own.

    Operations that do not map the grid onto itself are left out.

    Returns
    -------
    first : ndarray of int, (n_irreducible,)
    index : ndarray of int, (n_points,)
        ``values_at_first[index]`` are the values on the whole grid.
    """
    counts = np.asarray(shape, dtype=np.int64)
    everything = np.arange(int(counts.prod()))
    if symmetry is None:
        return everything, everything
    lowest = everything.copy()
    addresses = np.stack(np.unravel_index(everything, tuple(counts)))
    for rotation, translation in zip(symmetry.rotations, symmetry.translations, strict=True):
        steps = counts[:, None] * rotation / counts
        if not (_whole(steps, 1e-9) and _whole(counts * translation)):
            continue
        moved = np.round(steps).astype(np.int64) @ addresses
        moved += np.round(counts * translation).astype(np.int64)[:, None]
        images = np.ravel_multi_index(tuple(moved % counts[:, None]), tuple(counts))
        np.minimum(lowest, images, out=lowest)
    first, index = np.unique(lowest, return_inverse=True)
    return first, index.ravel()


def _whole(values: Array, tolerance: float = 1e-2) -> bool:
    return bool(np.abs(values - np.round(values)).max() < tolerance)

"""The uniform grid of the density: symmetric under the space group, with a spherical cut-off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import lcm

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from elphant.crystal import Crystal, Symmetry
from elphant.units import ANGSTROM_PER_BOHR

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

#: Translations of tabulated settings are multiples of 1/24.
DENOMINATOR = 24

#: Translations may differ from such multiples by this much (fractional).
TRANSLATION_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class DensityGrid:
    r"""Points ``origin + (i/n_1, j/n_2, k/n_3)`` and plane waves with :math:`|G| \le G_{max}`.

    The sphere, unlike the whole box of the Fourier transform, is invariant under the point group,
    and the origin lies where the space group maps points on points. So a symmetric density keeps
    its symmetry to the last digits.

    Attributes
    ----------
    crystal : Crystal
    shape : tuple of int
    origin : ndarray, (3,)
        Fractional.
    g_max : float
        Largest wave number, bohr⁻¹.
    irreducible : ndarray of int, (n_irreducible,)
        Flat indices of one point of each orbit.
    representative : ndarray of int, (n_points,)
        Position in ``irreducible`` of every point.
    n_operations : int
        Space-group operations that map the grid onto itself.
    """

    crystal: Crystal
    shape: tuple[int, int, int]
    origin: Array
    g_max: float
    irreducible: Integers
    representative: Integers
    n_operations: int

    @cached_property
    def _sphere(self) -> tuple[Integers, Integers]:
        """Place in the half box of the real transform, and Miller indices, of every wave."""
        n1, n2, n3 = self.shape
        axes = (np.fft.fftfreq(n1, 1 / n1), np.fft.fftfreq(n2, 1 / n2), np.arange(n3 // 2 + 1))
        miller = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        squares = ((miller @ self._reciprocal) ** 2).sum(axis=1)
        # The waves at the very edge of the box have no partner -G.
        edge = (2.0 * np.abs(miller) >= np.array(self.shape)).any(axis=1)
        kept = np.flatnonzero((squares <= self.g_max**2 * (1.0 + 1e-9)) & ~edge)
        return kept, miller[kept].astype(np.int64)

    @property
    def _reciprocal(self) -> Array:
        inverse = np.linalg.inv(self.crystal.lattice)
        return np.asarray(2.0 * np.pi * ANGSTROM_PER_BOHR * inverse.T)

    @cached_property
    def waves(self) -> Array:
        """Wave vectors inside the sphere, half of them, (n_waves, 3) bohr⁻¹."""
        return np.asarray(self._sphere[1] @ self._reciprocal)

    @cached_property
    def squares(self) -> Array:
        """Squared lengths of :attr:`waves`, (n_waves,) bohr⁻²."""
        return np.asarray((self.waves**2).sum(axis=1))

    @property
    def n_points(self) -> int:
        """Number of points."""
        return int(np.prod(self.shape))

    @property
    def multiplicity(self) -> Integers:
        """Number of points in each orbit, (n_irreducible,)."""
        return np.bincount(self.representative, minlength=len(self.irreducible))

    @property
    def volume_per_point(self) -> float:
        """Volume of each point, Å³."""
        return self.crystal.volume / self.n_points

    @property
    def irreducible_points(self) -> Array:
        """Cartesian coordinates of the irreducible points, (n_irreducible, 3) Å."""
        address = np.stack(np.unravel_index(self.irreducible, self.shape), axis=-1)
        return np.asarray((self.origin + address / np.array(self.shape)) @ self.crystal.lattice)

    def expand(self, values: Array) -> Array:
        """Return values at all points, (n_points,), from those at irreducible ones."""
        return np.asarray(values[self.representative])

    def to_waves(self, values: Array) -> Complex:
        """Return Fourier coefficients (n_waves,) of values (n_points,); a constant gives itself."""
        full = scipy.fft.rfftn(values.reshape(self.shape), norm="forward", workers=-1)
        return np.asarray(full.ravel()[self._sphere[0]])

    def to_points(self, coefficients: Complex) -> Array:
        """Return values (n_points,) of Fourier coefficients (n_waves,)."""
        n1, n2, n3 = self.shape
        full = np.zeros(n1 * n2 * (n3 // 2 + 1), dtype=np.complex128)
        full[self._sphere[0]] = coefficients
        values = scipy.fft.irfftn(
            full.reshape(n1, n2, -1), s=self.shape, norm="forward", workers=-1
        )
        return np.asarray(values.ravel())

    def structure_factor(self, atom: int) -> Complex:
        """Return e^{-iG(τ - origin)} of one atom, (n_waves,)."""
        shift = self.crystal.fractional[atom] - self.origin
        return np.asarray(np.exp(-2j * np.pi * (self._sphere[1] @ shift)))


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPlacement:
    """Divisions and origin of a density grid.

    Attributes
    ----------
    shape : tuple of int
    origin : tuple of float
        Fractional.
    """

    shape: tuple[int, int, int]
    origin: tuple[float, float, float]


def density_grid(
    crystal: Crystal,
    symmetry: Symmetry | None,
    g_max: float,
    placement: GridPlacement | None = None,
) -> DensityGrid:
    """Return the coarsest symmetric grid that holds all waves up to ``g_max`` (bohr⁻¹).

    Parameters
    ----------
    crystal : Crystal
    symmetry : Symmetry or None
        None uses no symmetry: every point is its own representative.
    g_max : float
    placement : GridPlacement, optional
        Grid of another crystal, for those that differ from it by displaced atoms; operations that
        do not map it onto itself are left out.
    """
    if symmetry is None:
        if placement is None:
            wanted = _wanted_divisions(crystal, g_max)
            shape = tuple(_smooth(float(n), 1) for n in wanted)
            placement = GridPlacement(shape=shape, origin=(0.0, 0.0, 0.0))  # type: ignore[arg-type]
        points = np.arange(int(np.prod(placement.shape)))
        return _grid(crystal, placement, g_max, points, 1)
    placement = placement or symmetric_placement(crystal, symmetry, g_max)
    rotations, shifts = _tabulated_operations(symmetry, np.array(placement.origin))
    mapped = _maps_grid(placement.shape, rotations, shifts)
    rotations, shifts = rotations[mapped], shifts[mapped]
    return _grid(
        crystal, placement, g_max, _orbits(placement.shape, rotations, shifts), len(rotations)
    )


def symmetric_placement(crystal: Crystal, symmetry: Symmetry, g_max: float) -> GridPlacement:
    """Return where a grid lies that the space group maps onto itself.

    The origin is that of the tabulated setting; where that is free, it lies at the first atom.
    """
    origin = -np.linalg.inv(symmetry.transformation) @ symmetry.origin_shift
    free = symmetry.rotations.mean(axis=0)
    origin = np.mod(origin + free @ (crystal.fractional[0] - origin), 1.0)
    rotations, shifts = _tabulated_operations(symmetry, origin)
    shape = _symmetric_shape(_wanted_divisions(crystal, g_max), rotations, shifts)
    x, y, z = origin.tolist()
    return GridPlacement(shape=shape, origin=(x, y, z))


def _wanted_divisions(crystal: Crystal, g_max: float) -> Array:
    return np.asarray(g_max / ANGSTROM_PER_BOHR * crystal.lengths / np.pi)


def _tabulated_operations(symmetry: Symmetry, origin: Array) -> tuple[Integers, Integers]:
    """Return rotations and translations in 24ths about an origin, as far as they are such."""
    moved = symmetry.translations + (symmetry.rotations - np.eye(3)) @ origin
    exact = np.round(moved * DENOMINATOR).astype(np.int64)
    usable = (np.abs(moved - exact / DENOMINATOR) < TRANSLATION_TOLERANCE).all(axis=1)
    return symmetry.rotations[usable], exact[usable]


def _maps_grid(
    shape: tuple[int, int, int], rotations: Integers, shifts: Integers
) -> NDArray[np.bool_]:
    """Return which operations map the points of a grid onto each other."""
    counts = np.array(shape)
    turned = (rotations * counts[:, None] % counts[None, :] == 0).all(axis=(1, 2))
    return np.asarray(turned & (shifts * counts % DENOMINATOR == 0).all(axis=1))


def _grid(
    crystal: Crystal, placement: GridPlacement, g_max: float, first: Integers, n_operations: int
) -> DensityGrid:
    irreducible, representative = np.unique(first, return_inverse=True)
    return DensityGrid(
        crystal=crystal,
        shape=placement.shape,
        origin=np.array(placement.origin),
        g_max=g_max,
        irreducible=irreducible,
        representative=representative.ravel(),
        n_operations=n_operations,
    )


def _symmetric_shape(wanted: Array, rotations: Integers, shifts: Integers) -> tuple[int, int, int]:
    """Return divisions that rotations and translations (in 24ths) map onto themselves."""
    linked = (rotations != 0).any(axis=0)
    linked = linked | linked.T
    for _ in range(2):
        linked = (linked.astype(int) @ linked.astype(int)) > 0
    divisors = [
        # Even divisions: spglib may choose an origin half a lattice vector away.
        lcm(2, *(DENOMINATOR // int(np.gcd(t, DENOMINATOR)) for t in shifts[:, axis].tolist()))
        for axis in range(3)
    ]
    shape = []
    for axis in range(3):
        group = np.flatnonzero(linked[axis])
        divisor = lcm(*(divisors[other] for other in group.tolist()))
        shape.append(_smooth(float(wanted[group].max()), divisor))
    n1, n2, n3 = shape
    return n1, n2, n3


def _smooth(least: float, divisor: int) -> int:
    """Return the smallest product of 2, 3, 5, 7 that exceeds ``least`` and is a multiple."""
    n = max(1, int(np.ceil((least + 1.0) / divisor))) * divisor
    while True:
        rest = n
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += divisor


def _orbits(shape: tuple[int, ...], rotations: Integers, shifts: Integers) -> Integers:
    """Return the smallest flat index in the orbit of every point."""
    counts = np.array(shape)
    address = np.stack(np.unravel_index(np.arange(int(counts.prod())), shape)).astype(np.int32)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    first = np.arange(address.shape[1], dtype=np.int64)
    # Only orbits of points that are still their own representative need to be followed, but every
    # operation has to be applied to them; whole-array arithmetic is faster than bookkeeping.
    for rotation, shift in zip(rotations, shifts, strict=True):
        matrix = rotation * counts[:, None] // counts[None, :]
        flat = np.zeros(address.shape[1], dtype=np.int64)
        for axis in range(3):
            step = int(shift[axis]) * int(counts[axis]) // DENOMINATOR
            moved = np.full(address.shape[1], step, dtype=np.int32)
            for other in range(3):
                if matrix[axis, other]:
                    moved += np.int32(matrix[axis, other]) * address[other]
            flat += np.mod(moved, counts[axis]) * strides[axis]
        np.minimum(first, flat, out=first)
    return first

r"""Electron density and potential matrices of local orbitals on points in space.

Points are sorted into compact bricks. In each brick the orbital images that reach it form a dense
matrix X (n_active, n_points), so that both directions are matrix products:

.. math::
    n(r) = \sum_{ab} X_{ar} P_{ab} X_{br}, \qquad
    V_{ab} = \sum_r X_{ar}\, w(r)\, X_{br} .

Only the lower half of the symmetric P and V is touched. For images a = (i, R) and b = (j, R') the
element is that of (i, j, R'-R); its place in a dense array over (i, cell, j) is the sum of one
number of a and one of b, which makes gathering and scattering cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.engine.threads import torch_threads
from elphant.errors import ResourceError
from elphant.orbitals.basis import OrbitalBasis
from elphant.orbitals.bricks import build_bricks, find_shells
from elphant.orbitals.lattice_matrix import LatticeMatrix

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Points per brick and orbitals per step. Larger bricks carry more orbitals that vanish on part of
#: their points; smaller ones spend their time on gathering P.
BRICK_POINTS = 320
STEP_ORBITALS = 192

#: A density matrix whose deviation from hermiticity exceeds this part of its largest element is
#: refused.
HERMITICITY = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointDensity:
    r"""Density, its gradient and the kinetic-energy density at points.

    Attributes
    ----------
    density : ndarray, (n_points,) e/Å³
    gradient : ndarray, (n_points, 3) e/Å⁴
    kinetic : ndarray, (n_points,) e/Å⁵
        :math:`\frac12 \sum P\, \nabla\phi \cdot \nabla\phi`, to be multiplied with ħ²/m.
    """

    density: Array
    gradient: Array
    kinetic: Array


class OrbitalsOnPoints:
    """The orbitals of a crystal at given points, with all periodic images.

    Parameters
    ----------
    crystal : Crystal
    basis : OrbitalBasis
        Spin-free, with known radial functions.
    points : array_like, (n_points, 3) Å
        Cartesian, anywhere; all results are lattice-periodic functions at these points.
    floor : float, optional, Å^(-3/2)
        An orbital is zero from the distance on beyond which its radial part stays below this.
        Never beyond the cut-off of the radial function itself, which is the default (1e-7 for
        Gaussians).
    n_threads : int
        Bricks worked on at once. The matrix products inside a brick use one thread each: threads
        of a numerical library that wait for each other on a busy machine cost more than they gain.
    memory_gb : float
        Bound for what is kept between calls: orbital values of as many bricks as fit (the others
        are evaluated again each time).

    Raises
    ------
    ValueError
        If the basis has spinors or unknown radial functions, or belongs to another crystal.
    ResourceError
        If the density matrix alone takes more than ``memory_gb``.
    """

    def __init__(
        self,
        crystal: Crystal,
        basis: OrbitalBasis,
        points: ArrayLike,
        *,
        floor: float | None = None,
        n_threads: int = 1,
        memory_gb: float = 4.0,
    ) -> None:
        if basis.is_spinor or not basis.has_functions:
            raise ValueError("orbitals on points need a spin-free basis with radial functions")
        if basis.n_atoms != crystal.n_atoms:
            raise ValueError("the basis belongs to a crystal with another number of atoms")
        points = checked_array("points", points, (None, 3))
        scaled = points @ np.linalg.inv(crystal.lattice)
        self._basis = basis
        self._n_points = len(points)
        self._n_threads = n_threads
        shells = find_shells(basis, floor)
        wrapped = (scaled - np.floor(scaled)) @ crystal.lattice
        self._bricks = build_bricks(crystal, shells, wrapped, BRICK_POINTS)
        reach = np.zeros(crystal.n_atoms)
        for shell in shells:
            np.maximum.at(reach, shell.atoms, shell.cutoff)
        self._pairs, self._pair_cells = overlapping_pairs(crystal, reach)
        self._set_box()
        left = 1e9 * memory_gb - 8.0 * self._box_size
        if left < 0:
            raise ResourceError(
                f"a dense array over cell pairs takes {8e-9 * self._box_size:.1f} GB.",
                f"It must fit into {memory_gb:g} GB.",
                "Allow more memory, use a smaller cell or a larger orbital floor.",
            )
        self._kept: dict[int, Array] = {}
        for number, brick in enumerate(self._bricks):
            left -= 8.0 * len(brick.orbitals) * len(brick.points)
            if left < 0:
                break
            self._kept[number] = np.empty(0)

    @property
    def n_points(self) -> int:
        """Number of points."""
        return self._n_points

    @property
    def n_bricks(self) -> int:
        """Number of bricks the points are sorted into."""
        return len(self._bricks)

    def density(self, density_matrix: LatticeMatrix) -> Array:
        r"""Return n(r), (n_points,) e/Å³.

        .. math:: n(r) = \sum_{ij} \sum_{RR'} P_{ij}(R'-R)\, \phi_i(r-R)\, \phi_j(r-R')

        Parameters
        ----------
        density_matrix : LatticeMatrix, e
            P summed over spin; real and hermitian.

        Raises
        ------
        ValueError
            If P is complex, not hermitian, or belongs to another basis.
        """
        box = self._to_box(density_matrix)
        result = np.zeros(self._n_points)

        def work(number: int) -> None:
            brick, X = self._bricks[number], self._values(number)
            n = np.zeros(len(brick.points))
            for rows, P in self._steps(number, box):
                n += np.einsum("ap,ap->p", _product(P, X[: rows.stop]), X[rows])
            result[brick.index] = 2.0 * n

        self._for_all(work)
        return result

    def density_and_kinetic(self, density_matrix: LatticeMatrix) -> PointDensity:
        r"""Return the density, its gradient and :math:`\frac12 \sum P \nabla\phi\cdot\nabla\phi`.

        See :meth:`density` for the parameter and the errors.
        """
        box = self._to_box(density_matrix)
        density, kinetic = np.zeros(self._n_points), np.zeros(self._n_points)
        gradient = np.zeros((self._n_points, 3))

        def work(number: int) -> None:
            brick, X = self._bricks[number], self._values(number)
            slopes = brick.gradients()
            n, t = np.zeros(len(brick.points)), np.zeros(len(brick.points))
            g = np.zeros((3, len(brick.points)))
            for rows, P in self._steps(number, box):
                PX = _product(P, X[: rows.stop])
                n += np.einsum("ap,ap->p", PX, X[rows])
                for axis, slope in enumerate(slopes):
                    P_slope = _product(P, slope[: rows.stop])
                    g[axis] += np.einsum("ap,ap->p", PX, slope[rows])
                    g[axis] += np.einsum("ap,ap->p", P_slope, X[rows])
                    t += np.einsum("ap,ap->p", P_slope, slope[rows])
            density[brick.index], kinetic[brick.index] = 2.0 * n, t
            gradient[brick.index] = 2.0 * g.T

        self._for_all(work)
        return PointDensity(density=density, gradient=gradient, kinetic=kinetic)

    def potential_matrix(self, weights: ArrayLike) -> LatticeMatrix:
        r"""Return the matrix of a local operator, hermitian, with a block for each reachable pair.

        .. math:: V_{ij}(R) = \sum_r w(r) \sum_T \phi_i(r-T)\, \phi_j(r-T-R)

        The sum over lattice vectors T stands for all points equivalent to r, so that weights
        V(r)Ω/N on the N points of a grid give the integral of V over all space.

        Parameters
        ----------
        weights : array_like, (n_points,)
            Potential times volume per point: eV Å³ gives eV.
        """
        weights = checked_array("weights", weights, (self._n_points,))
        n_boxes = max(1, min(self._n_threads, len(self._bricks)))
        boxes = [torch.zeros(self._box_size, dtype=torch.float64) for _ in range(n_boxes)]
        free = list(boxes)

        def work(number: int) -> None:
            brick, X = self._bricks[number], self._values(number)
            weighted = X * weights[brick.index]
            box = free.pop()
            for rows in _row_blocks(len(X)):
                V = _product(weighted[rows], X[: rows.stop].T)
                V[:, rows] *= 0.5
                places = torch.from_numpy(self._places(number, rows))
                box.index_add_(0, places.ravel(), torch.from_numpy(V).ravel())
            free.append(box)

        self._for_all(work)
        for box in boxes[1:]:
            boxes[0] += box
        return self._from_box(boxes[0].numpy())

    def _for_all(self, work: Callable[[int], None]) -> None:
        """Run ``work`` on the number of each brick."""
        numbers = range(len(self._bricks))
        with torch_threads(1):
            if self._n_threads == 1:
                for number in numbers:
                    work(number)
                return
            with ThreadPoolExecutor(self._n_threads) as pool:
                list(pool.map(work, numbers))

    def _values(self, number: int) -> Array:
        """Return the orbital values of a brick, from the kept ones where there is room."""
        kept = self._kept.get(number)
        if kept is not None and kept.size:
            return kept
        values = self._bricks[number].values()
        if kept is not None:
            self._kept[number] = values
        return values

    def _set_box(self) -> None:
        """Lay out the dense array (i, cell, j): span of cell differences, rows and columns."""
        span = np.abs(self._pair_cells).max(axis=0, initial=0)
        for brick in self._bricks:
            if len(brick.cells):
                span = np.maximum(span, np.ptp(brick.cells, axis=0))
        n = self._basis.n_orbitals
        self._span = span
        shape = 2 * span + 1
        self._strides = np.array([shape[1] * shape[2], shape[2], 1])
        n_cells = int(shape.prod())
        self._box_shape = (n, n_cells, n)
        self._box_size = n * n_cells * n
        middle = int(span @ self._strides)
        self._rows = [
            b.orbitals * n_cells * n - (b.cells @ self._strides) * n for b in self._bricks
        ]
        self._columns = [(b.cells @ self._strides + middle) * n + b.orbitals for b in self._bricks]

    def _places(self, number: int, rows: slice) -> Integers:
        """Return the places of images ``rows`` with all images up to the last of them."""
        first = self._rows[number][rows]
        return np.asarray(first[:, None] + self._columns[number][None, : rows.stop])

    def _steps(self, number: int, box: Array) -> Iterator[tuple[slice, Array]]:
        """Yield row blocks of the lower half of P in a brick, with half of its square ends."""
        for rows in _row_blocks(len(self._rows[number])):
            P = box.take(self._places(number, rows))
            P[:, rows] *= 0.5
            yield rows, P

    def _cell_numbers(self, cells: Integers) -> Integers:
        """Return the place of cell differences (n, 3) along the cell axis of the box."""
        return np.asarray((cells + self._span) @ self._strides)

    def _to_box(self, matrix: LatticeMatrix) -> Array:
        """Spread P over the dense array, as flat array; blocks out of reach are left out."""
        if matrix.is_complex:
            raise ValueError("the density matrix is complex; a spin-free one is real")
        if not np.array_equal(matrix.sizes, self._basis.sizes):
            raise ValueError("the density matrix belongs to another basis")
        box = np.zeros(self._box_shape)
        inside = (np.abs(matrix.cells) <= self._span).all(axis=1)
        starts, sizes = matrix.orbital_starts, matrix.sizes
        found = []
        for i, j, blocks in matrix.groups:
            values = matrix.group_values(blocks)[inside[blocks]].transpose(1, 0, 2)
            cells = matrix.cells[blocks][inside[blocks]]
            rows = slice(starts[i], starts[i] + sizes[i])
            columns = slice(starts[j], starts[j] + sizes[j])
            box[rows, self._cell_numbers(cells), columns] = values
            found.append((rows, columns, cells, values))
        largest = np.abs(matrix.values).max(initial=0.0)
        for rows, columns, cells, values in found:
            partner = box[columns, self._cell_numbers(-cells), rows].transpose(2, 1, 0)
            if np.abs(values - partner).max(initial=0.0) > HERMITICITY * largest:
                raise ValueError("the density matrix is not hermitian: P_ij(R) and P_ji(-R) differ")
        return box.ravel()

    def _from_box(self, flat: Array) -> LatticeMatrix:
        """Collect the blocks of overlapping pairs; the box holds half of the symmetric matrix."""
        box = flat.reshape(self._box_shape)
        structure = LatticeMatrix(
            sizes=self._basis.sizes,
            pairs=self._pairs,
            cells=self._pair_cells,
            values=np.zeros(int(self._basis.sizes[self._pairs].prod(axis=1).sum())),
        )
        starts, sizes = structure.orbital_starts, structure.sizes
        values = []
        for i, j, blocks in structure.groups:
            cells = structure.cells[blocks]
            rows = slice(starts[i], starts[i] + sizes[i])
            columns = slice(starts[j], starts[j] + sizes[j])
            here = box[rows, self._cell_numbers(cells), columns].transpose(1, 0, 2)
            there = box[columns, self._cell_numbers(-cells), rows].transpose(1, 2, 0)
            values.append((here + there).ravel())
        return structure.with_values(np.concatenate(values))


def overlapping_pairs(crystal: Crystal, reach: ArrayLike) -> tuple[Integers, Integers]:
    """Return pairs (n, 2) of atoms i, j and cells (n, 3) of j not farther apart than their reaches.

    Parameters
    ----------
    crystal : Crystal
    reach : array_like, (n_atoms,) Å
    """
    reach = np.asarray(reach, dtype=float)
    spread = np.ptp(crystal.fractional, axis=0)
    limit = np.ceil(2.0 * reach.max() / crystal.heights + spread).astype(int)
    axes = [np.arange(-top, top + 1) for top in limit]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    pairs, found = [], []
    positions = crystal.positions
    shifts = cells @ crystal.lattice
    for i in range(crystal.n_atoms):
        distance = np.linalg.norm(positions[None] + shifts[:, None] - positions[i], axis=2)
        # The margin keeps pairs at the very limit together with their mirror images.
        cell, j = np.nonzero(distance <= reach[i] + reach[None] + 1e-6)
        pairs.append(np.stack([np.full(len(j), i), j], axis=1))
        found.append(cells[cell])
    return np.concatenate(pairs), np.concatenate(found)


def _row_blocks(n: int) -> list[slice]:
    return [slice(a, min(a + STEP_ORBITALS, n)) for a in range(0, n, STEP_ORBITALS)]


def _product(left: Array, right: Array) -> Array:
    """Return the matrix product by torch, whose threads can be counted (NumPy's cannot)."""
    return np.asarray((torch.from_numpy(left) @ torch.from_numpy(right)).numpy())

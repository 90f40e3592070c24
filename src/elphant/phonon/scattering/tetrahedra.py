r"""Linear tetrahedra: the weights of :math:`\delta(\omega - E(q'))` at the points of a mesh.

Each cell of the mesh is cut into six tetrahedra that share its shortest body diagonal, and E is
linear inside each. The weight of a corner is the exact integral of the delta function times the
corner's barycentric coordinate (A. H. MacDonald, S. H. Vosko and P. T. Coleridge, J. Phys. C 12,
2991 (1979)). Cells and band pairs whose range of E misses the frequency are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elphant.phonon.scattering.mesh import ReciprocalMesh

#: Spread of the energies in a tetrahedron (in their unit) below which it counts as flat.
FLAT = 1e-10

#: Cells (with a band and a frequency) whose tetrahedra are handled at a time.
HITS_PER_PIECE = 6000

#: Corners of a cell, first component fastest.
_CORNERS = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])

#: The four body diagonals, by the corner they start from.
_DIAGONAL_STARTS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))


class TetrahedronCells:
    """Cells of a mesh around chosen points, ready for integration.

    Parameters
    ----------
    mesh : ReciprocalMesh
    lattice : ndarray, (3, 3) Å
        Primitive vectors as rows.
    """

    def __init__(self, mesh: ReciprocalMesh, lattice: NDArray[np.float64]) -> None:
        self.corner_points = torch.from_numpy(
            mesh.index(mesh.addresses[:, None, :] + _CORNERS[None])
        )
        steps = np.linalg.inv(lattice).T / mesh.divisions[:, None]
        self.tetrahedra = torch.from_numpy(tetrahedra_of_cell(steps))

    def weights(self, energies: Tensor, targets: Tensor, slot: Tensor, n_slots: int) -> Tensor:
        """Return delta-function weights, (n_targets, n_slots, n_bands), in 1/energy.

        Parameters
        ----------
        energies : tensor, (n_points, n_bands)
            E at all points of the mesh.
        targets : tensor, (n_targets,)
        slot : tensor of int, (n_points,)
            Where the weight of each point goes; negative for points that are not wanted.
        n_slots : int

        Notes
        -----
        The mean over a mesh, ``sum_q f(q) w(q)``, needs a division by the number of points.
        """
        n_bands, n_targets = energies.shape[1], targets.shape[0]
        shape = (n_targets, n_slots, n_bands)
        result = torch.zeros(n_targets * n_slots * n_bands + 1, dtype=torch.float64)
        result = result.to(energies.device)
        target_offset = torch.arange(n_targets, device=energies.device) * (n_slots * n_bands)
        band_offset = torch.arange(n_bands, device=energies.device)
        job = (energies, targets, target_offset, band_offset)
        self.add_weights([job], slot, n_bands, result)
        return result[1:].reshape(shape)

    def add_weights(
        self,
        jobs: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]],
        slot: Tensor,
        slot_stride: int,
        result: Tensor,
    ) -> None:
        """Add delta-function weights to a flat result with a layout of the caller's choice.

        Parameters
        ----------
        jobs : sequence of (energies, targets, target_offset, band_offset)
            Several functions on the mesh, each as in :meth:`weights`, with the offsets in
            ``result`` that belong to its targets and bands.
        slot : tensor of int, (n_points,)
        slot_stride : int
            Distance in ``result`` between slots.
        result : tensor, (1 + size,)
            The first element takes the weights of points that are not wanted; offsets count from
            the second.
        """
        cells = self.corner_points.to(slot.device)
        cells = cells[torch.nonzero((slot[cells] >= 0).any(dim=1)).ravel()]
        if not len(cells):
            return
        # Unwanted corners lie so far below zero that every offset leaves them there.
        base = torch.where(slot >= 0, slot * slot_stride + 1, -len(result) - 1)[cells]
        values, omegas, destinations = [], [], []
        for energies, targets, target_offset, band_offset in jobs:
            n_bands = energies.shape[1]
            # (8, n_cells * n_bands)
            corners = energies.index_select(0, cells.T.reshape(-1)).reshape(8, -1)
            low, high = _extremes(corners)
            pair, target = _hits(low, high, targets)
            cell = torch.div(pair, n_bands, rounding_mode="floor")
            offset = target_offset[target] + band_offset[pair - cell * n_bands]
            values.append(corners.index_select(1, pair))
            omegas.append(targets.index_select(0, target))
            destination = base.index_select(0, cell)
            destination += offset[:, None]
            destinations.append(destination.clamp_(min=0))
        value, omega = torch.cat(values, dim=1), torch.cat(omegas)
        destination = torch.cat(destinations)
        # In pieces that stay in the cache.
        for start in range(0, len(omega), HITS_PER_PIECE):
            piece = slice(start, start + HITS_PER_PIECE)
            self._accumulate(value[:, piece], omega[piece], destination[piece], result)

    def _accumulate(
        self, values: Tensor, omega: Tensor, destination: Tensor, result: Tensor
    ) -> None:
        """Add the weights of all tetrahedra of the given (cell, band, target) triples.

        Parameters
        ----------
        values : tensor, (8, n)
            Energies of the corners of the cell.
        omega : tensor, (n,)
        destination : tensor of int, (n, 8)
            Where in ``result`` the weight of each corner goes.
        """
        # The three lowest bits of each energy carry the number of its corner, so that sorting the
        # energies sorts the corners as well; this changes an energy by 1e-15 of itself.
        numbers = torch.arange(8, device=values.device)[:, None]
        tagged = ((values.contiguous().view(torch.int64) & ~7) | numbers).view(values.dtype)
        flat_destination = destination.reshape(-1)
        tetrahedra = self.tetrahedra.to(values.device)
        # All six tetrahedra share the ends of the diagonal: (1, n) against (6, n).
        start, end = tagged[tetrahedra[:1, 0]], tagged[tetrahedra[:1, 3]]
        ordered = _sort_with(
            torch.minimum(start, end), torch.maximum(start, end),
            tagged[tetrahedra[:, 1]], tagged[tetrahedra[:, 2]],
        )  # fmt: skip
        e1, e2, e3, e4 = ordered
        above = [e1 < omega, e2 <= omega, e3 <= omega]
        cases = (
            (above[0] & ~above[1], _low),
            (above[1] & ~above[2], _middle),
            (above[2] & (omega < e4), _high),
        )
        n = len(omega)
        one_sixth, nothing = omega.new_tensor(1.0 / 6.0), omega.new_tensor(0.0)
        for case, formula in cases:
            row, column = torch.nonzero(case, as_tuple=True)
            index = torch.add(column, row, alpha=n)
            e = torch.stack([x.view(-1).index_select(0, index) for x in ordered])
            weights = formula(omega.index_select(0, column), *e)
            # Six to a cell. A flat one has no density of states that a mesh could resolve.
            weights *= torch.where(e[3] - e[0] > FLAT, one_sixth, nothing)
            corner = e.view(torch.int64) & 7
            where = flat_destination.index_select(0, torch.add(corner, column, alpha=8).view(-1))
            result.index_add_(0, where, weights.view(-1))


def _extremes(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return minimum and maximum over the first axis (8), by halves: faster than a reduction."""
    low = high = corners
    while len(low) > 1:
        half = len(low) // 2
        low = torch.minimum(low[:half], low[half:])
        high = torch.maximum(high[:half], high[half:])
    return low[0], high[0]


def _hits(low: Tensor, high: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return all (interval, target) with the target strictly inside the interval."""
    ordered, order = torch.sort(targets)
    first = torch.searchsorted(ordered, low, right=True)
    counts = (torch.searchsorted(ordered, high) - first).clamp_(min=0)
    interval = torch.repeat_interleave(torch.arange(len(low), device=low.device), counts)
    before = torch.cumsum(counts, dim=0) - counts
    rank = torch.arange(len(interval), device=low.device) + (first - before)[interval]
    return interval, order[rank]


def tetrahedra_of_cell(steps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the six tetrahedra of a cell as corner numbers, (6, 4).

    Parameters
    ----------
    steps : ndarray, (3, 3)
        Edges of the cell as rows. The tetrahedra share the shortest body diagonal, the first of
        equals.
    """
    starts = np.array(_DIAGONAL_STARTS)
    lengths = np.linalg.norm((1 - 2 * starts) @ steps, axis=1)
    start = starts[int(np.argmax(lengths < lengths.min() * (1.0 + 1e-9)))]
    result = []
    for order in permutations(range(3)):
        corner = start.copy()
        path = [corner.copy()]
        for axis in order:
            corner[axis] = 1 - corner[axis]
            path.append(corner.copy())
        result.append([int(c @ (1, 2, 4)) for c in path])
    return np.array(result)


# Weights of the four corners for ascending energies e1 … e4, (4, n) in 1/energy: below the second,
# between the second and third, and above the third corner.


def _low(w: Tensor, e1: Tensor, e2: Tensor, e3: Tensor, e4: Tensor) -> Tensor:
    f21, f31, f41 = ((w - e1) / (x - e1) for x in (e2, e3, e4))
    # One of the three ratios is divided by (w - e1); it cancels in the product.
    third = f21 * f31 / (e4 - e1)
    return torch.stack([third * (3.0 - f21 - f31 - f41), third * f21, third * f31, third * f41])


def _high(w: Tensor, e1: Tensor, e2: Tensor, e3: Tensor, e4: Tensor) -> Tensor:
    f14, f24, f34 = ((w - e4) / (x - e4) for x in (e1, e2, e3))
    third = f24 * f34 / (e4 - e1)
    return torch.stack([third * f14, third * f24, third * f34, third * (3.0 - f14 - f24 - f34)])


def _middle(w: Tensor, e1: Tensor, e2: Tensor, e3: Tensor, e4: Tensor) -> Tensor:
    f31, f41 = (w - e1) / (e3 - e1), (w - e1) / (e4 - e1)
    f32, f42 = (w - e2) / (e3 - e2), (w - e2) / (e4 - e2)
    f13, f14, f23, f24 = 1.0 - f31, 1.0 - f41, 1.0 - f32, 1.0 - f42
    # The section is a quadrangle: two triangles, each with a third of its density per corner.
    first, second = f31 * f23 / (e4 - e1), f32 * f24 / (e4 - e1)
    return torch.stack(
        [
            first * (f13 + f14) + second * f14,
            first * f23 + second * (f23 + f24),
            first * (f31 + f32) + second * f32,
            first * f41 + second * (f41 + f42),
        ]
    )


def _sort_with(low: Tensor, high: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, ...]:
    """Sort four tensors element by element, the first two of which are in order already."""
    c, d = torch.minimum(c, d), torch.maximum(c, d)
    first, third = torch.minimum(low, c), torch.maximum(low, c)
    second, last = torch.minimum(high, d), torch.maximum(high, d)
    return first, torch.minimum(third, second), torch.maximum(third, second), last

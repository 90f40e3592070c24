"""The graph on which the network works: atoms, and all pairs closer than their cut-off radii."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.orbitals import LatticeMatrix
from elphant.units import OPENMX_ANGSTROM_PER_BOHR

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrbitalGraph:
    """Atoms and directed pairs of a crystal, in bohr.

    Attributes
    ----------
    numbers : ndarray of int, (n_atoms,)
        Atomic numbers.
    positions : ndarray, (n_atoms, 3) bohr
    cell : ndarray, (3, 3) bohr
        Rows are the lattice vectors.
    edge_index : ndarray of int, (2, n_edges)
        First atom (bra, in the home cell) and second atom (ket).
    cell_shift : ndarray of int, (n_edges, 3)
        Cell of the second atom.
    inverse : ndarray of int, (n_edges,)
        The edge from the second atom back to the first.
    """

    numbers: Integers
    positions: Array
    cell: Array
    edge_index: Integers
    cell_shift: Integers
    inverse: Integers

    def __post_init__(self) -> None:
        n_atoms, n_edges = len(self.numbers), len(self.cell_shift)
        for name, shape, dtype in (
            ("numbers", (n_atoms,), np.int64),
            ("positions", (n_atoms, 3), float),
            ("cell", (3, 3), float),
            ("edge_index", (2, n_edges), np.int64),
            ("cell_shift", (n_edges, 3), np.int64),
            ("inverse", (n_edges,), np.int64),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))
        if n_edges and not (self.edge_index.min() >= 0 and self.edge_index.max() < n_atoms):
            raise ValueError(f"edge_index points beyond the {n_atoms} atoms")
        if n_edges and not (self.inverse.min() >= 0 and self.inverse.max() < n_edges):
            raise ValueError(f"inverse points beyond the {n_edges} edges")
        back = self.inverse
        if not (
            np.array_equal(self.edge_index[:, back], self.edge_index[::-1])
            and np.array_equal(self.cell_shift[back], -self.cell_shift)
        ):
            raise ValueError("inverse does not lead from each edge to its reverse")

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def n_edges(self) -> int:
        """Number of directed pairs."""
        return len(self.cell_shift)

    @property
    def edge_vectors(self) -> Array:
        """Vector of each edge, (n_edges, 3) bohr."""
        start, end = self.edge_index
        return np.asarray(self.positions[end] + self.cell_shift @ self.cell - self.positions[start])

    def vectors(self, positions: Tensor) -> Tensor:
        """Return the vector of each edge for atoms at ``positions`` (n_atoms, 3), bohr."""
        shift = torch.from_numpy(self.cell_shift @ self.cell).to(positions)
        start, end = torch.from_numpy(self.edge_index.copy()).to(positions.device)
        return positions[end] + shift - positions[start]


def orbital_graph(crystal: Crystal, radii: dict[str, float]) -> OrbitalGraph:
    """Return the graph of a crystal.

    Edges are ordered by first atom, second atom, and cell, the home cell first.

    Parameters
    ----------
    crystal : Crystal
    radii : dict of str to float, bohr
        Cut-off radius of the orbitals of each element; pairs reach to the sum of two.

    Raises
    ------
    ModelError
        If the radius of an element is not given.
    """
    missing = sorted(set(crystal.symbols) - set(radii))
    if missing:
        raise ModelError(
            f"no orbital radius is known for {', '.join(missing)}.",
            fix="Use a model whose basis has these elements.",
        )
    reach = np.array([radii[symbol] for symbol in crystal.symbols], dtype=float)
    cell = np.asarray(crystal.lattice) / OPENMX_ANGSTROM_PER_BOHR
    positions = np.asarray(crystal.positions) / OPENMX_ANGSTROM_PER_BOHR
    edge_index, shifts = _pairs(positions, cell, reach)
    return OrbitalGraph(
        numbers=np.asarray(crystal.numbers, dtype=np.int64), positions=positions, cell=cell,
        edge_index=edge_index, cell_shift=shifts, inverse=inverse_edges(edge_index, shifts),
    )  # fmt: skip


def pattern_graph(crystal: Crystal, pattern: LatticeMatrix) -> OrbitalGraph:
    """Return the graph whose edges are the blocks of a matrix, those of single atoms excluded."""
    own = (pattern.pairs[:, 0] == pattern.pairs[:, 1]) & ~pattern.cells.any(axis=1)
    edge_index, cell_shift = pattern.pairs[~own].T, pattern.cells[~own]
    return OrbitalGraph(
        numbers=np.asarray(crystal.numbers, dtype=np.int64),
        positions=np.asarray(crystal.positions) / OPENMX_ANGSTROM_PER_BOHR,
        cell=np.asarray(crystal.lattice) / OPENMX_ANGSTROM_PER_BOHR,
        edge_index=edge_index, cell_shift=cell_shift,
        inverse=inverse_edges(edge_index, cell_shift),
    )  # fmt: skip


def _pairs(positions: Array, cell: Array, reach: Array) -> tuple[Integers, Integers]:
    """Return all pairs closer than the sum of their radii, in order."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    fractional = positions @ np.linalg.inv(cell)
    spread = np.ptp(fractional, axis=0)
    n = np.ceil(2 * reach.max() / heights + spread).astype(int)
    cells = np.array(list(product(*(range(-k, k + 1) for k in n))), dtype=np.int64)
    cells = np.concatenate([np.zeros((1, 3), dtype=np.int64), cells[(cells != 0).any(axis=1)]])
    offsets = cells @ cell
    starts, ends, shifts = [], [], []
    for first in range(len(positions)):
        vectors = positions[:, None] + offsets[None] - positions[first]
        near = np.linalg.norm(vectors, axis=-1) <= (reach + reach[first])[:, None]
        near[first, 0] = False
        second, image = np.nonzero(near)
        starts.append(np.full(len(second), first))
        ends.append(second)
        shifts.append(cells[image])
    edge_index = np.stack([np.concatenate(starts), np.concatenate(ends)])
    return edge_index.astype(np.int64), np.concatenate(shifts)


def inverse_edges(edge_index: Integers, cell_shift: Integers) -> Integers:
    """Return the index of the reverse of each edge.

    Raises
    ------
    ValueError
        If one has no reverse.
    """
    forward = np.column_stack([edge_index.T, cell_shift])
    backward = np.column_stack([edge_index[::-1].T, -cell_shift])
    order, back = np.lexsort(forward.T), np.lexsort(backward.T)
    inverse = np.empty(len(forward), dtype=np.int64)
    inverse[back] = order
    if not np.array_equal(forward[inverse], backward):
        raise ValueError("an edge has no reverse")
    return inverse


def supercell_graph(graph: OrbitalGraph, repeats: tuple[int, int, int]) -> OrbitalGraph:
    """Return the same infinite graph with a larger cell.

    Atoms are ordered cell by cell (last index fastest), within a cell as before; the edges of all
    atoms keep their order.
    """
    size = np.array(repeats)
    cells = np.array(list(product(*map(range, repeats))), dtype=np.int64)
    n_atoms, n_cells = graph.n_atoms, len(cells)
    start, end = graph.edge_index
    target = cells[:, None] + graph.cell_shift[None]
    shift, inner = np.divmod(target, size)
    index = (inner[..., 0] * size[1] + inner[..., 1]) * size[2] + inner[..., 2]
    offset = n_atoms * np.arange(n_cells)[:, None]
    edge_index = np.stack([(offset + start).ravel(), (n_atoms * index + end).ravel()])
    shifts = shift.reshape(-1, 3)
    back = graph.inverse[None] + graph.n_edges * index
    return OrbitalGraph(
        numbers=np.tile(graph.numbers, n_cells),
        positions=(graph.positions[None] + (cells @ graph.cell)[:, None]).reshape(-1, 3),
        cell=graph.cell * size[:, None],
        edge_index=edge_index, cell_shift=shifts, inverse=back.ravel(),
    )  # fmt: skip

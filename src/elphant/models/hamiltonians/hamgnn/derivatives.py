r"""Derivatives of a network's blocks over positions, on a frozen graph.

The list of pairs ends where messages have not vanished, so H jumps when a pair enters it; the
derivative is that of the graph as it is. All of it is forward differentiation: values and tangents
travel through the layers together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from elphant.models.hamiltonians.hamgnn.blocks import Blocks, correction_blocks, orbital_mask
from elphant.models.hamiltonians.hamgnn.forward_mode import dual, split
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph
from elphant.models.hamiltonians.hamgnn.images import (
    AtomDerivative,
    PeriodicValues,
    atom_derivative,
    atom_spin_orbit_derivative,
)
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork
from elphant.orbitals.derivatives import EnvironmentDerivative
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

Integers = NDArray[np.int64]


@torch.no_grad()
def directional_derivative(
    network: HamGNNNetwork, graph: OrbitalGraph, direction: Tensor, vectors: Tensor | None = None
) -> tuple[Blocks, Blocks]:
    """Return H - H0 and its derivative when all images of each atom move alike.

    Parameters
    ----------
    network : HamGNNNetwork
    graph : OrbitalGraph
    direction : Tensor, (n_atoms, 3)
        Change of the positions.
    vectors : Tensor, (n_edges, 3) bohr, optional
        Vectors of the edges in place of those of the graph.

    Returns
    -------
    Blocks, hartree
    Blocks, hartree/bohr
        For a direction without unit.
    """
    if vectors is None:
        vectors = graph.vectors(torch.from_numpy(graph.positions.copy()))
    vectors = vectors.to(network.device)
    start, end = network.ends(graph)
    change = direction.to(vectors)[end] - direction.to(vectors)[start]
    with forward_ad.dual_level():
        geometry = network.geometry_of(dual(vectors, change))
        on_site, off_site = network.components(network.run(graph, geometry), geometry)
        blocks = correction_blocks(on_site, off_site, graph, network.settings.n_orbitals)
        on, off = (split(part) for part in (blocks.on_site, blocks.off_site))
    return (
        Blocks(on_site=on[0], off_site=off[0]),
        Blocks(on_site=on[1], off_site=off[1]),
    )


def environment_derivative(
    values: PeriodicValues, *, reach: float | None = None, threshold: float = 0.0,
    atoms: Sequence[int] | None = None,
) -> EnvironmentDerivative:  # fmt: skip
    """Return the derivatives of H - H0 over the atoms of the cell.

    Parameters
    ----------
    values : PeriodicValues
    reach : float, bohr, optional
        See :func:`atom_derivative`.
    threshold : float, hartree/bohr
        Blocks whose largest element is not above it are left out.
    atoms : sequence of int, optional
        Which; all by default.
    """
    collected = _Collected(values, threshold)
    for atom in range(values.graph.n_atoms) if atoms is None else atoms:
        collected.add(atom_derivative(values, atom, reach=reach))
    return collected.environment()


def spin_orbit_environment_derivative(
    values: PeriodicValues, momenta: tuple[Blocks, Blocks, Blocks], *, reach: float | None = None,
    threshold: float = 0.0, atoms: Sequence[int] | None = None,
) -> tuple[EnvironmentDerivative, EnvironmentDerivative, EnvironmentDerivative]:  # fmt: skip
    """Return the same for what a network with spin-orbit heads adds, for x, y and z.

    ``momenta`` and what is held: see
    :func:`~elphant.models.hamiltonians.hamgnn.images.atom_spin_orbit_derivative`.
    """
    collected = [_Collected(values, threshold) for _ in range(3)]
    for atom in range(values.graph.n_atoms) if atoms is None else atoms:
        found = atom_spin_orbit_derivative(values, atom, momenta, reach=reach)
        for part, result in zip(collected, found, strict=True):
            part.add(result)
    x, y, z = (part.environment() for part in collected)
    return x, y, z


class _Collected:
    """Blocks above a threshold (hartree/bohr) of one atom after another."""

    def __init__(self, values: PeriodicValues, threshold: float) -> None:
        mask = orbital_mask(values.graph.numbers, values.network.settings.n_orbitals)
        self._sizes, self._present = mask.sum(axis=1), [np.flatnonzero(row) for row in mask]
        self._threshold = threshold
        self._moved: list[Integers] = [np.empty(0, dtype=np.int64)]
        self._pairs: list[Integers] = [np.empty((0, 2), dtype=np.int64)]
        self._cells: list[Integers] = [np.empty((0, 2, 3), dtype=np.int64)]
        self._parts = [np.empty(0)]

    def add(self, result: AtomDerivative) -> None:
        """Keep the large blocks of an atom."""
        large = result.values.abs().flatten(1).amax(dim=1).cpu().numpy() > self._threshold
        for k in np.flatnonzero(large):
            i, j = result.pairs[k]
            block = result.values[k].cpu().numpy()
            block = block[:, self._present[i]][:, :, self._present[j]]
            self._parts.append(block.astype(float).ravel())
        self._moved.append(np.full(int(large.sum()), result.atom, dtype=np.int64))
        self._pairs.append(result.pairs[large])
        self._cells.append(result.cells[large])

    def environment(self) -> EnvironmentDerivative:
        """Return all of them in eV/Å."""
        factor = OPENMX_EV_PER_HARTREE / OPENMX_ANGSTROM_PER_BOHR
        return EnvironmentDerivative(
            sizes=self._sizes, moved=np.concatenate(self._moved),
            pairs=np.concatenate(self._pairs), cells=np.concatenate(self._cells),
            values=factor * np.concatenate(self._parts),
        )  # fmt: skip

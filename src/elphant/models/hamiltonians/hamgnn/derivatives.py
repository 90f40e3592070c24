r"""Derivatives of a network's blocks over positions, on a frozen graph.

The list of pairs ends where messages have not vanished, so H jumps when a pair enters it; the
derivative is that of the graph as it is. All of it is forward differentiation: values and tangents
travel through the layers together.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from elphant.models.hamiltonians.hamgnn.blocks import Blocks, correction_blocks, orbital_mask
from elphant.models.hamiltonians.hamgnn.forward_mode import dual, split
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph
from elphant.models.hamiltonians.hamgnn.images import PeriodicValues, atom_derivative
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork
from elphant.orbitals.derivatives import EnvironmentDerivative
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE


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
    values: PeriodicValues, *, reach: float | None = None, threshold: float = 0.0
) -> EnvironmentDerivative:
    """Return the derivatives of H - H0 over all atoms of the cell.

    Parameters
    ----------
    values : PeriodicValues
    reach : float, bohr, optional
        See :func:`atom_derivative`.
    threshold : float, hartree/bohr
        Blocks whose largest element is not above it are left out.
    """
    mask = orbital_mask(values.graph.numbers, values.network.settings.n_orbitals)
    present = [np.flatnonzero(row) for row in mask]
    moved, pairs, cells, parts = [], [], [], []
    for atom in range(values.graph.n_atoms):
        result = atom_derivative(values, atom, reach=reach)
        large = result.values.abs().flatten(1).amax(dim=1).cpu().numpy() > threshold
        for k in np.flatnonzero(large):
            i, j = result.pairs[k]
            block = result.values[k].cpu().numpy()[:, present[i]][:, :, present[j]]
            parts.append(block.astype(float).ravel())
        moved.append(np.full(int(large.sum()), atom, dtype=np.int64))
        pairs.append(result.pairs[large])
        cells.append(result.cells[large])
    factor = OPENMX_EV_PER_HARTREE / OPENMX_ANGSTROM_PER_BOHR
    return EnvironmentDerivative(
        sizes=mask.sum(axis=1), moved=np.concatenate(moved), pairs=np.concatenate(pairs),
        cells=np.concatenate(cells),
        values=factor * np.concatenate(parts) if parts else np.empty(0),
    )  # fmt: skip

r"""What the second network adds to spin-orbit coupling, between the orbitals of a crystal.

.. math:: X_\alpha = A(\bar\xi\, M_\alpha), \qquad M_\alpha = S\, M^\text{ket}_\alpha

with A the antisymmetric part over a bond and its reverse, and :math:`L_\alpha = i M_\alpha`;
Y. Zhong, R. Wang, X. Gong and H. Xiang, arXiv:2504.19586 (2025). Its derivative has two parts: the
change of the strengths :math:`\bar\xi` by any atom in reach, and that of M by the two atoms of the
bond.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from elphant.models.hamiltonians.hamgnn.blocks import Blocks, coupling_strengths
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph
from elphant.models.hamiltonians.hamgnn.images import PeriodicValues
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork
from elphant.models.hamiltonians.hamgnn.prediction import predict_spin_orbit
from elphant.models.hamiltonians.importers.edge_blocks import EdgeList
from elphant.orbitals import LatticeMatrix
from elphant.orbitals.derivatives import VectorMatrix
from elphant.units import OPENMX_EV_PER_HARTREE

Mask = NDArray[np.bool_]


def padded_blocks(matrix: LatticeMatrix, mask: Mask) -> Blocks:
    """Return a real matrix as padded blocks, off-site ones in the order of its pairs.

    Parameters
    ----------
    matrix : LatticeMatrix
    mask : ndarray of bool, (n_atoms, n)
        Orbitals of a padded block that each atom has.
    """
    n = mask.shape[1]
    present = [np.flatnonzero(row) for row in mask]
    padded = np.zeros((matrix.n_blocks, n, n))
    for i, j, blocks in matrix.groups:
        index = np.arange(blocks.start, blocks.stop)
        padded[np.ix_(index, present[i], present[j])] = matrix.group_values(blocks)
    own = (matrix.pairs[:, 0] == matrix.pairs[:, 1]) & ~matrix.cells.any(axis=1)
    return Blocks(on_site=torch.from_numpy(padded[own]), off_site=torch.from_numpy(padded[~own]))


def lattice_matrix(blocks: Blocks, graph: OrbitalGraph, mask: Mask, unit: float) -> LatticeMatrix:
    """Return padded blocks, times a unit, between the orbitals that exist."""
    edges = EdgeList(
        orbitals=tuple(np.flatnonzero(row) for row in mask),
        edge_index=graph.edge_index, cell_shift=graph.cell_shift,
    )  # fmt: skip
    on_site, off_site = (
        unit * part.cpu().double().numpy() for part in (blocks.on_site, blocks.off_site)
    )
    return edges.matrix(on_site, off_site)


def network_coupling(
    network: HamGNNNetwork, graph: OrbitalGraph, momenta: VectorMatrix, mask: Mask
) -> VectorMatrix:
    """Return X for x, y, z in eV.

    Parameters
    ----------
    network : HamGNNNetwork
        With spin-orbit heads.
    graph : OrbitalGraph
        With the blocks of ``momenta`` as edges.
    momenta : VectorMatrix
        M.
    mask : ndarray of bool, (n_atoms, n)
    """
    x, y, z = (
        lattice_matrix(part, graph, mask, OPENMX_EV_PER_HARTREE)
        for part in predict_spin_orbit(network, graph, padded_momenta(network, momenta, mask))
    )
    return x, y, z


def padded_momenta(
    network: HamGNNNetwork, momenta: VectorMatrix, mask: Mask
) -> tuple[Blocks, Blocks, Blocks]:
    """Return M as the heads of a network take it."""

    def moved(matrix: LatticeMatrix) -> Blocks:
        blocks = padded_blocks(matrix, mask)
        on_site, off_site = (
            part.to(device=network.device, dtype=network.dtype)
            for part in (blocks.on_site, blocks.off_site)
        )
        return Blocks(on_site=on_site, off_site=off_site)

    x, y, z = (moved(part) for part in momenta)
    return x, y, z


def bond_derivatives(
    values: PeriodicValues, slopes: Callable[[int], VectorMatrix], mask: Mask
) -> tuple[VectorMatrix, VectorMatrix, VectorMatrix]:
    r"""Return the derivative of X over the bra's position with the strengths held, eV/Å.

    .. math:: \tfrac12 (\bar\xi_e\, \partial M_e + \bar\xi_{\bar e}^T\, \partial M_{\bar e}^T)

    The sign of the second term is that of the derivative over the ket of the reverse edge.

    Parameters
    ----------
    values : PeriodicValues
    slopes : callable
        Component α of M -> its derivatives over the bra along x, y, z, Å⁻¹.
    mask : ndarray of bool, (n_atoms, n)
    """
    network, graph = values.network, values.graph
    on_site, off_site = network.components(values.states[-1], values.geometry, "ksi")
    n = network.settings.n_orbitals
    strength = Blocks(
        on_site=coupling_strengths(on_site, n).cpu().double(),
        off_site=coupling_strengths(off_site, n).cpu().double(),
    )
    parts = []
    for alpha in range(3):
        x, y, z = (
            lattice_matrix(
                strength.times(padded_blocks(slope, mask)).symmetrized(graph), graph, mask,
                OPENMX_EV_PER_HARTREE,
            )
            for slope in slopes(alpha)
        )  # fmt: skip
        parts.append((x, y, z))
    return parts[0], parts[1], parts[2]

"""What a network predicts for a graph: blocks to add to H0, and the spin-orbit part."""

from __future__ import annotations

import torch

from elphant.models.hamiltonians.hamgnn.blocks import (
    Blocks,
    correction_blocks,
    spin_orbit_blocks,
)
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork


@torch.no_grad()
def predict_correction(network: HamGNNNetwork, graph: OrbitalGraph) -> Blocks:
    """Return H - H0 without spin-orbit coupling, hartree, padded, in OpenMX's order.

    Symmetric over an edge and its reverse; zero for orbitals that an element does not have.
    """
    geometry = network.geometry(graph)
    on_site, off_site = network.components(network.run(graph, geometry), geometry)
    return correction_blocks(on_site, off_site, graph, network.settings.n_orbitals)


@torch.no_grad()
def predict_spin_orbit(
    network: HamGNNNetwork, graph: OrbitalGraph, momenta: tuple[Blocks, Blocks, Blocks]
) -> tuple[Blocks, Blocks, Blocks]:
    """Return what a network with spin-orbit heads adds to that of H0, for x, y and z, hartree.

    Parameters
    ----------
    network : HamGNNNetwork
        With ``settings.spin_orbit``.
    graph : OrbitalGraph
    momenta : three Blocks
        Matrices M of the orbital momentum about the ket's atom, L = i M, for x, y and z.

    Raises
    ------
    ValueError
        If the network has no such heads.
    """
    if not network.settings.spin_orbit:
        raise ValueError("this network has no heads for spin-orbit coupling")
    geometry = network.geometry(graph)
    on_site, off_site = network.components(network.run(graph, geometry), geometry, "ksi")
    return spin_orbit_blocks(on_site, off_site, momenta, graph, network.settings.n_orbitals)

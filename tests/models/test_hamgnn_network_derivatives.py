"""Derivatives of the network: against finite differences, sum rules, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_hamgnn_network import difference, moved, random_tensors, small_graph, small_network

from elphant.models.hamiltonians.hamgnn.blocks import Blocks
from elphant.models.hamiltonians.hamgnn.derivatives import (
    directional_derivative,
    environment_derivative,
)
from elphant.models.hamiltonians.hamgnn.graph import supercell_graph
from elphant.models.hamiltonians.hamgnn.images import PeriodicValues, atom_derivative
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork
from elphant.models.hamiltonians.hamgnn.prediction import predict_correction
from elphant.orbitals.derivatives import translation_residual
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE


def finite_difference(network, graph, direction, step=2e-3):
    """Central differences of fourth order."""
    total = None
    for factor, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
        blocks = predict_correction(
            network, moved(graph, graph.positions + factor * step * direction)
        )
        scale = weight / (12 * step)
        term = Blocks(on_site=scale * blocks.on_site, off_site=scale * blocks.off_site)
        total = term if total is None else total + term
    return total


def folded(result, graph, axis_weights):
    """Sum of the images of one atom's derivative: that for all images moving together."""
    values = torch.einsum("nxij,x->nij", result.values, torch.as_tensor(axis_weights).double())
    rows = np.where(result.edges < 0, result.pairs[:, 0], graph.n_atoms + result.edges)
    total = torch.zeros(graph.n_atoms + graph.n_edges, 14, 14, dtype=torch.float64)
    total.index_add_(0, torch.from_numpy(rows), values)
    return Blocks(on_site=total[: graph.n_atoms], off_site=total[graph.n_atoms :])


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_directional_derivative_is_the_finite_difference(rotated, legacy):
    network = small_network(rotated=rotated, legacy_edge_update=legacy)
    graph = small_graph()
    direction = np.random.default_rng(3).standard_normal((3, 3))
    value, derivative = directional_derivative(network, graph, torch.from_numpy(direction))
    assert difference(value, predict_correction(network, graph)) < 1e-13
    assert difference(derivative, finite_difference(network, graph, direction)) < 1e-7


def test_edges_along_the_axis_have_derivatives():
    # Frames that used angles would be singular there.
    graph = small_graph()
    positions = graph.positions.copy()
    positions[1] = positions[0] + [0, 0, 3.0]
    straight = moved(graph, positions)
    direction = np.random.default_rng(4).standard_normal((3, 3))
    network = small_network()
    _, derivative = directional_derivative(network, straight, torch.from_numpy(direction))
    assert difference(derivative, finite_difference(network, straight, direction)) < 1e-7


def test_translations_change_nothing():
    network, graph = small_network(), small_graph()
    _, derivative = directional_derivative(network, graph, torch.ones(3, 3))
    assert float(derivative.off_site.abs().max()) < 1e-12


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_images_of_one_atom_add_up_to_the_periodic_derivative(rotated, legacy):
    network = small_network(rotated=rotated, legacy_edge_update=legacy)
    graph = small_graph()
    values = PeriodicValues.of(network, graph)
    for atom, weights in ((0, [1.0, 0.0, 0.0]), (2, [0.3, -0.5, 0.8])):
        direction = torch.zeros(3, 3)
        direction[atom] = torch.tensor(weights)
        _, expected = directional_derivative(network, graph, direction)
        result = atom_derivative(values, atom)
        assert len(result.values) > graph.n_atoms + graph.n_edges
        assert difference(folded(result, graph, weights), expected) < 1e-12


def test_one_atom_of_a_supercell():
    """In a supercell the blocks are those of the infinite crystal, folded."""
    network, graph = small_network(), small_graph()
    repeats = np.array([3, 3, 3])
    large = supercell_graph(graph, tuple(repeats))
    result = atom_derivative(PeriodicValues.of(network, graph), 1)
    direction = np.zeros((large.n_atoms, 3))
    direction[1, 2] = 1.0
    expected = directional_derivative(network, large, torch.from_numpy(direction))[1]
    home = result.cells[:, 0] % repeats
    place = (home[:, 0] * 3 + home[:, 1]) * 3 + home[:, 2]
    rows = np.where(
        result.edges < 0,
        place * graph.n_atoms + result.pairs[:, 0],
        large.n_atoms + place * graph.n_edges + result.edges,
    )
    total = torch.zeros(large.n_atoms + large.n_edges, 14, 14, dtype=torch.float64)
    total.index_add_(0, torch.from_numpy(rows), result.values[:, 2])
    blocks = Blocks(on_site=total[: large.n_atoms], off_site=total[large.n_atoms :])
    assert difference(blocks, expected) < 1e-11


def test_derivatives_form_hermitian_matrices():
    network, graph = small_network(), small_graph()
    result = atom_derivative(PeriodicValues.of(network, graph), 0)
    ends = np.concatenate([result.pairs[:, :, None], result.cells], axis=2)
    place = {(*a, *b): k for k, (a, b) in enumerate(ends.tolist())}
    assert len(place) == len(ends)
    back = [place[(*b, *a)] for a, b in ends.tolist()]
    assert torch.allclose(result.values, result.values[back].transpose(2, 3))


def test_reach_is_a_convergence_parameter():
    network, graph = small_network(), small_graph()
    values = PeriodicValues.of(network, graph)
    everything = atom_derivative(values, 0)
    wide = atom_derivative(values, 0, reach=1000.0)
    assert torch.equal(wide.values, everything.values)
    errors = []
    for reach in (5.0, 10.0, 14.0):
        result = atom_derivative(values, 0, reach=reach)
        assert len(result.values) <= len(everything.values)
        expected = folded(everything, graph, [0.0, 1.0, 0.0])
        errors.append(difference(folded(result, graph, [0.0, 1.0, 0.0]), expected))
    assert errors[0] > errors[-1]
    assert errors[-1] < 1e-12


def test_directions_are_combinations_of_the_axes():
    values = PeriodicValues.of(small_network(), small_graph())
    along = np.array([[0.2, -0.4, 0.9], [1.0, 1.0, 0.0]])
    result = atom_derivative(values, 2, directions=along)
    axes = atom_derivative(values, 2)
    expected = torch.einsum("nxij,dx->ndij", axes.values, torch.from_numpy(along))
    assert torch.allclose(result.values, expected, atol=1e-13)


def test_environment_derivative_is_in_electronvolt_and_angstrom():
    network, graph = small_network(), small_graph()
    values = PeriodicValues.of(network, graph)
    result = environment_derivative(values)
    assert result.sizes.tolist() == [13, 13, 5]
    single = atom_derivative(values, 1)
    mine = result.selected(result.moved == 1)
    factor = OPENMX_EV_PER_HARTREE / OPENMX_ANGSTROM_PER_BOHR
    norms = single.values.flatten(1).norm(dim=1).numpy()
    assert np.allclose(mine.norms, factor * norms[norms > 0])
    _, residual = translation_residual(result)
    assert residual < 1e-10 * np.abs(result.values).max()
    threshold = float(np.median(np.abs(single.values.numpy()).max(axis=(1, 2, 3))))
    fewer = environment_derivative(values, threshold=threshold)
    assert 0 < fewer.n_blocks < result.n_blocks
    assert not environment_derivative(values, threshold=1e9).n_blocks


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same():
    graph, network = small_graph(), small_network()
    settings = network.settings
    there = HamGNNNetwork.from_state(
        settings, random_tensors(settings), dtype=torch.float64, device="cuda"
    )
    blocks = predict_correction(there, graph)
    assert blocks.on_site.is_cuda
    near = Blocks(on_site=blocks.on_site.cpu(), off_site=blocks.off_site.cpu())
    assert difference(near, predict_correction(network, graph)) < 1e-11
    values = atom_derivative(PeriodicValues.of(there, graph), 0, reach=8.0).values.cpu()
    expected = atom_derivative(PeriodicValues.of(network, graph), 0, reach=8.0).values
    assert torch.allclose(values, expected, atol=1e-11)


def test_single_precision_is_close():
    graph = small_graph()
    double = atom_derivative(PeriodicValues.of(small_network(), graph), 0).values
    network = small_network(dtype=torch.float32)
    single = atom_derivative(PeriodicValues.of(network, graph), 0).values
    assert single.dtype == torch.float32
    assert float((single - double).abs().max() / double.abs().max()) < 1e-5

"""The network on small random weights: what must hold for any weights."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.hamiltonians.hamgnn.blocks import (
    OPENMX_ORDER,
    Blocks,
    assemble,
    correction_blocks,
    head_irreps,
    openmx_permutation,
    orbital_mask,
    padded_shells,
    spin_orbit_blocks,
    spinor_blocks,
)
from elphant.models.hamiltonians.hamgnn.geometry import edge_frames
from elphant.models.hamiltonians.hamgnn.graph import (
    OrbitalGraph,
    inverse_edges,
    orbital_graph,
    supercell_graph,
)
from elphant.models.hamiltonians.hamgnn.irreps import (
    Irrep,
    Irreps,
    coupling,
    rotation_matrices,
    spherical_harmonics,
)
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork, parameter_shapes
from elphant.models.hamiltonians.hamgnn.prediction import predict_correction, predict_spin_orbit
from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings
from elphant.units import OPENMX_ANGSTROM_PER_BOHR

DEFAULT_IRREPS = "64x0e+64x0o+32x1o+16x1e+12x2o+25x2e+18x3o+9x3e+4x4o+9x4e+4x5o+4x5e+2x6e"


def small_config(**changes):
    config = {
        "representation": {
            "cutoff": 12.0, "cutoff_func": "cos", "rbf_func": "bessel", "num_types": 20,
            "irreps_edge_sh": "0e + 1o + 2e + 3o", "edge_sh_normalization": "component",
            "edge_sh_normalize": True, "use_kan": False, "lite_mode": False,
            "irreps_node_features": "3x0e+2x0o+2x1o+2x1e+1x2o+2x2e+1x3o+1x3e+1x4o+1x4e",
            "num_layers": 2, "num_radial": 5, "radial_MLP": [6, 4], "use_corr_prod": False,
            "legacy_edge_update": True,
        },
        "output": {"nao_max": 14, "ham_type": "openmx", "soc_basis": "so3", "soc_switch": False},
    }  # fmt: skip
    for name, value in changes.items():
        part = "output" if name in config["output"] else "representation"
        config[part][name] = value
    return config


def random_tensors(settings, seed=0):
    # Normal weights would make every scalar a sum of many terms; e3nn's normalisation keeps
    # all features of order one.
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(s) for name, s in parameter_shapes(settings).items()}


@cache
def small_network(dtype=torch.float64, rotated=True, **changes):
    settings = NetworkSettings.from_config(small_config(**changes))
    return HamGNNNetwork.from_state(
        settings, random_tensors(settings), dtype=dtype, rotated=rotated
    )


@cache
def small_graph():
    """Three atoms of different elements without any symmetry; some pairs are images of an atom."""
    crystal = Crystal(
        lattice=np.array([[3.1, 0.2, 0.0], [-0.3, 3.4, 0.4], [0.1, -0.5, 3.0]]),
        fractional=np.array([[0.02, 0.1, -0.1], [0.45, 0.55, 0.4], [0.6, 0.03, 0.75]]),
        numbers=[14, 8, 1],
    )
    return orbital_graph(crystal, {"Si": 3.5, "O": 2.6, "H": 2.0})


def moved(graph, positions=None, cell=None):
    return OrbitalGraph(
        numbers=graph.numbers, positions=graph.positions if positions is None else positions,
        cell=graph.cell if cell is None else cell, edge_index=graph.edge_index,
        cell_shift=graph.cell_shift, inverse=graph.inverse,
    )  # fmt: skip


def rotation(seed=1):
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    return q * np.linalg.det(q)


def orbital_rotation(R, n_orbitals, inversion=False):
    """How orbitals in OpenMX's order turn."""
    matrices = rotation_matrices(3, torch.from_numpy(R)[None])
    blocks = [
        matrices[degree][0] * ((-1) ** degree if inversion else 1)
        for degree in padded_shells(n_orbitals)
    ]
    order = openmx_permutation(n_orbitals)
    return torch.block_diag(*blocks)[order][:, order]


def difference(a, b):
    scale = max(float(b.on_site.abs().max()), float(b.off_site.abs().max()))
    assert scale > 1e-3  # a guard against comparing zeros
    return (
        max(
            float((a.on_site - b.on_site).abs().max()), float((a.off_site - b.off_site).abs().max())
        )
        / scale
    )


def test_coupling_is_orthonormal_and_invariant():
    R = rotation()
    D = [matrix[0].numpy() for matrix in rotation_matrices(6, torch.from_numpy(R)[None])]
    for a, b, c in ((1, 1, 1), (2, 3, 4), (4, 5, 6), (3, 3, 0), (6, 5, 1)):
        C = coupling(a, b, c)
        gram = np.einsum("abm,abn->mn", C, C) * (2 * c + 1)
        assert np.allclose(gram, np.eye(2 * c + 1), atol=1e-14)
        turned = np.einsum("ai,bj,ck,ijk->abc", D[a], D[b], D[c], C)
        assert np.allclose(turned, C, atol=1e-13)


def test_harmonics_follow_rotations_and_are_normalised():
    rng = np.random.default_rng(0)
    v = torch.from_numpy(rng.standard_normal((7, 3)))
    v /= v.norm(dim=1, keepdim=True)
    R = torch.from_numpy(rotation())
    for y, turned, D in zip(
        spherical_harmonics(6, v), spherical_harmonics(6, v @ R.T),
        rotation_matrices(6, R[None]), strict=True,
    ):  # fmt: skip
        assert torch.allclose((y**2).sum(dim=1), torch.tensor(float(y.shape[1])).double())
        assert torch.allclose(turned, y @ D[0].T, atol=1e-13)
        assert torch.allclose(D[0] @ D[0].T, torch.eye(len(D[0])).double(), atol=1e-13)
    # l = 1 is (y, z, x), and every polynomial is positive.
    assert torch.allclose(spherical_harmonics(1, v)[1], 3**0.5 * v[:, [1, 2, 0]])
    x, y, z = v.T
    f = spherical_harmonics(3, v)[3]
    assert torch.allclose(f[:, 1] / (x * y * z), torch.full((7,), 105.0**0.5).double())
    assert torch.allclose(f[:, 3], 7**0.5 * (5 * z**3 - 3 * z) / 2)


def test_frames_put_every_edge_on_z():
    rows = [[0, 0, 1.0], [0, 0, -1.0], [1.0, 0, 0], [0.6, 0, -0.8], [0, -0.8, 0.6]]
    n = torch.tensor(rows, dtype=torch.float64)
    R = edge_frames(n)
    z = torch.tensor([0, 0, 1.0]).double().expand(5, 3)
    assert torch.allclose(torch.einsum("nij,nj->ni", R, n), z, atol=1e-15)
    assert torch.allclose(torch.linalg.det(R), torch.ones(5).double())
    assert torch.allclose(R @ R.transpose(1, 2), torch.eye(3).double().expand(5, 3, 3), atol=1e-15)


def test_irreps_are_read_and_flattened_as_written():
    irreps = Irreps.parse("2x0e + 1o+3x1o + 1x0e")
    assert str(irreps) == "2x0e+1x1o+3x1o+1x0e"
    assert irreps.dim == 15
    assert str(irreps.simplified()) == "2x0e+4x1o+1x0e"
    assert not irreps.is_unique
    flat = torch.arange(30.0).reshape(2, 15)
    features = irreps.unflatten(flat)
    assert features[Irrep(0, 1)].shape == (1, 2, 3)
    assert features[Irrep(1, -1)][:, 0, 1].tolist() == [5.0, 6.0, 7.0]
    assert torch.equal(irreps.flatten(features), flat)
    with pytest.raises(ValueError, match="16x1o"):
        Irreps.parse("2x0x")


def test_products_in_edge_frames_equal_the_direct_ones():
    graph = small_graph()
    fast = predict_correction(small_network(), graph)
    direct = predict_correction(small_network(rotated=False), graph)
    assert difference(fast, direct) < 1e-12
    single = predict_correction(small_network(dtype=torch.float32), graph)
    assert single.on_site.dtype == torch.float32
    assert difference(single, fast) < 5e-6


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("inversion", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-6)])
def test_blocks_follow_rotations_and_inversion(rotated, inversion, dtype, tolerance):
    network, graph = small_network(dtype=dtype, rotated=rotated), small_graph()
    R = rotation()
    turn = -R if inversion else R
    there = predict_correction(network, moved(graph, graph.positions @ turn.T, graph.cell @ turn.T))
    here = predict_correction(network, graph)
    D = orbital_rotation(R, 14, inversion).to(dtype)
    expected = Blocks(on_site=D @ here.on_site @ D.T, off_site=D @ here.off_site @ D.T)
    assert difference(there, expected) < tolerance


def test_translation_order_and_chunks_do_not_matter():
    network, graph = small_network(), small_graph()
    blocks = predict_correction(network, graph)
    shift = np.array([0.3, -1.1, 0.7])
    shifted = predict_correction(network, moved(graph, graph.positions + shift))
    assert difference(shifted, blocks) < 1e-11
    order = np.array([2, 0, 1])
    place = np.argsort(order)
    renamed = OrbitalGraph(
        numbers=graph.numbers[order], positions=graph.positions[order], cell=graph.cell,
        edge_index=place[graph.edge_index], cell_shift=graph.cell_shift, inverse=graph.inverse,
    )  # fmt: skip
    other = predict_correction(network, renamed)
    assert torch.allclose(other.on_site, blocks.on_site[order], atol=1e-11)
    assert torch.allclose(other.off_site, blocks.off_site, atol=1e-11)
    assert len(list(network.chunks(graph.n_edges))) == 1
    chunked = replace(network, chunk_memory=1e-9)
    assert list(chunked.chunks(graph.n_edges)) == [(0, 16), (16, 32)]
    assert difference(predict_correction(chunked, graph), blocks) < 1e-12


def test_supercell_has_the_blocks_of_the_cell():
    network, graph = small_network(), small_graph()
    blocks = predict_correction(network, graph)
    large = supercell_graph(graph, (2, 1, 3))
    assert large.n_atoms == 6 * graph.n_atoms
    expected = Blocks(
        on_site=blocks.on_site.repeat(6, 1, 1), off_site=blocks.off_site.repeat(6, 1, 1)
    )
    assert difference(predict_correction(network, large), expected) < 1e-11


def test_blocks_are_symmetric_and_absent_orbitals_are_zero():
    network, graph = small_network(), small_graph()
    blocks = predict_correction(network, graph)
    assert torch.equal(blocks.on_site, blocks.on_site.transpose(1, 2))
    assert torch.allclose(blocks.off_site, blocks.off_site[graph.inverse.copy()].transpose(1, 2))
    mask = orbital_mask(graph.numbers, 14)
    assert mask.sum(axis=1).tolist() == [13, 13, 5]
    assert not blocks.on_site[2][:, ~mask[2]].any()
    assert blocks.on_site[2][mask[2]][:, mask[2]].all()


def test_orbitals_of_the_elements():
    assert orbital_mask(np.array([51, 34, 52]), 26).sum(axis=1).tolist() == [19, 19, 26]
    with pytest.raises(ModelError, match="Te is not in the basis of 19"):
        orbital_mask(np.array([52]), 19)
    with pytest.raises(ModelError, match="Eu is not in the basis"):
        orbital_mask(np.array([63]), 26)
    assert openmx_permutation(26).tolist() == [
        0, 1, 2, 5, 3, 4, 8, 6, 7, 11, 13, 9, 12, 10, 16, 18, 14, 17, 15, 22, 23, 21,
        24, 20, 25, 19,
    ]  # fmt: skip
    assert all(sorted(order) == list(range(2 * n + 1)) for n, order in OPENMX_ORDER.items())


def test_assembly_is_orthogonal():
    irreps = head_irreps(26, "hamiltonian")
    assert irreps.dim == 26**2
    rng = np.random.default_rng(2)
    flat = torch.from_numpy(rng.standard_normal((3, 676)))
    blocks = assemble(irreps.unflatten(flat), 26)
    assert torch.allclose((blocks**2).sum(dim=(1, 2)), (flat**2).sum(dim=1))


def test_first_pair_block_of_legacy_networks_has_no_effect():
    graph = small_graph()
    for legacy in (True, False):
        settings = NetworkSettings.from_config(small_config(legacy_edge_update=legacy))
        tensors = random_tensors(settings)
        name = "representation.pair_interactions.0.skip_linear.weight"
        assert (name in tensors) is not legacy
        before = predict_correction(
            HamGNNNetwork.from_state(settings, tensors, dtype=torch.float64), graph
        )
        changed = {
            name: 2 * tensor if "pair_interactions.0" in name else tensor
            for name, tensor in tensors.items()
        }
        after = predict_correction(
            HamGNNNetwork.from_state(settings, changed, dtype=torch.float64), graph
        )
        assert (difference(after, before) == 0.0) is legacy


def test_documented_sizes():
    config = small_config(
        irreps_node_features=DEFAULT_IRREPS, irreps_edge_sh="0e+1o+2e+3o+4e+5o", num_types=96,
        num_layers=3, num_radial=64, radial_MLP=[64, 64], nao_max=26, cutoff=26.0,
    )  # fmt: skip
    for spin_orbit, count in ((False, 5_590_937), (True, 5_737_861)):
        settings = NetworkSettings.from_config(config, spin_orbit=spin_orbit)
        shapes = parameter_shapes(settings)
        assert sum(int(np.prod(shape)) for shape in shapes.values()) == count


def test_weights_that_do_not_fit_are_refused():
    settings = NetworkSettings.from_config(small_config())
    tensors = random_tensors(settings)
    name = "representation.convolutions.1.conv_tp.node_tensor_product.weight"
    missing = {key: tensor for key, tensor in tensors.items() if key != name}
    with pytest.raises(ModelError, match=f"no tensor '{name}'"):
        HamGNNNetwork.from_state(settings, missing)
    with pytest.raises(ModelError, match=r"node_tensor_product.weight' has shape \(3,\)"):
        HamGNNNetwork.from_state(settings, tensors | {name: np.zeros(3)})
    with pytest.raises(ModelError, match="not finite"):
        HamGNNNetwork.from_state(settings, tensors | {name: tensors[name] * np.nan})
    with pytest.raises(ModelError, match=r"1 tensors do not belong.*corr_products"):
        HamGNNNetwork.from_state(
            settings, tensors | {"representation.corr_products.0.weight": np.zeros(3)}
        )
    with pytest.raises(ModelError, match=r"do not belong.*bias"):
        HamGNNNetwork.from_state(
            settings, tensors | {"representation.chemical_embedding.linear.bias": np.ones(3)}
        )
    derived = {
        "representation.chemical_embedding.linear.bias": np.zeros(0),
        "representation.chemical_embedding.linear.output_mask": np.ones(46),
        "output_module.cg_calculator.cg_1_1_0": np.ones((3, 3, 1)),
        "representation.cutoff_func.cutoff": np.array([12.0]),
        "representation.radial_basis.basis.freqs": np.arange(1, 6) * np.pi / 12.0,
    }
    HamGNNNetwork.from_state(settings, tensors | derived)
    derived["representation.cutoff_func.cutoff"] = np.array([26.0])
    with pytest.raises(ModelError, match="cutoff' of the network is not what"):
        HamGNNNetwork.from_state(settings, tensors | derived)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rbf_func", "gaussian"),
        ("lite_mode", True),
        ("soc_basis", "su2"),
        ("ham_type", "siesta"),
        ("irreps_edge_sh", "0e+1e"),
        ("irreps_node_features", "3x0e+2x1o+1x0e"),
        ("irreps_node_features", "3x0e+2x2e+1x1o"),
        ("irreps_node_features", "3x1o"),
    ],
)
def test_networks_of_another_kind_are_refused(name, value):
    with pytest.raises(ModelError, match=name):
        NetworkSettings.from_config(small_config(**{name: value}))


def test_incomplete_configurations_are_refused():
    config = small_config()
    del config["representation"]["num_radial"]
    with pytest.raises(ModelError, match="num_radial"):
        NetworkSettings.from_config(config)
    with pytest.raises(ModelError, match="two parts"):
        NetworkSettings.from_config({})
    with pytest.raises(ModelError, match="cannot be read"):
        NetworkSettings.from_config(small_config(irreps_node_features="many"))
    nested = small_config()
    nested = {
        "representation_nets": {"HamGNN_pre": nested["representation"]},
        "output_nets": {"HamGNN_out": nested["output"]},
    }
    assert NetworkSettings.from_config(nested) == NetworkSettings.from_config(small_config())


def test_graph_holds_all_pairs_in_order():
    graph = small_graph()
    radii = np.array([3.5, 2.6, 2.0])
    found = set()
    n = 4
    for i in range(3):
        for j in range(3):
            for shift in np.ndindex(2 * n + 1, 2 * n + 1, 2 * n + 1):
                R = np.array(shift) - n
                vector = graph.positions[j] + R @ graph.cell - graph.positions[i]
                if (i, *R) != (j, 0, 0, 0) and np.linalg.norm(vector) <= radii[i] + radii[j]:
                    found.add((i, j, *R))
    rows = [tuple(row) for row in np.column_stack([graph.edge_index.T, graph.cell_shift])]
    assert set(rows) == found
    assert len(rows) == len(found)
    keys = [(i, j, any(R), *R) for i, j, *R in rows]
    assert keys == sorted(keys)
    assert np.array_equal(graph.edge_index[:, graph.inverse], graph.edge_index[::-1])
    assert graph.cell[0, 0] == pytest.approx(3.1 / OPENMX_ANGSTROM_PER_BOHR)


def test_damaged_graphs_are_refused():
    graph = small_graph()
    with pytest.raises(ValueError, match="no reverse"):
        inverse_edges(graph.edge_index[:, 1:], graph.cell_shift[1:])
    with pytest.raises(ValueError, match="reverse"):
        OrbitalGraph(
            numbers=graph.numbers, positions=graph.positions, cell=graph.cell,
            edge_index=graph.edge_index, cell_shift=graph.cell_shift,
            inverse=np.roll(graph.inverse, 1),
        )  # fmt: skip
    crystal = Crystal(lattice=np.eye(3) * 5, fractional=np.zeros((1, 3)), numbers=[6])
    with pytest.raises(ModelError, match="C"):
        orbital_graph(crystal, {"Si": 7.0})


def random_blocks(graph, n, seed, sign=0.0):
    rng = np.random.default_rng(seed)
    blocks = Blocks(
        on_site=torch.from_numpy(rng.standard_normal((graph.n_atoms, n, n))),
        off_site=torch.from_numpy(rng.standard_normal((graph.n_edges, n, n))),
    )
    return blocks.symmetrized(graph, sign) if sign else blocks


def test_spin_orbit_part_is_antisymmetric_and_spinor_blocks_hermitian():
    settings = NetworkSettings.from_config(small_config(), spin_orbit=True)
    network = HamGNNNetwork.from_state(settings, random_tensors(settings), dtype=torch.float64)
    graph = small_graph()
    momenta = tuple(random_blocks(graph, 14, seed) for seed in (1, 2, 3))
    parts = predict_spin_orbit(network, graph, momenta)
    for part in parts:
        turned = part.symmetrized(graph, -1.0)
        assert difference(part, turned) < 1e-13
    scalar = random_blocks(graph, 14, 4, 1.0)
    spinor = spinor_blocks(scalar, parts, graph)
    back = torch.from_numpy(graph.inverse.copy())
    assert torch.allclose(spinor.on_site, spinor.on_site.mH)
    assert torch.allclose(spinor.off_site, spinor.off_site[back].mH)
    x, y, z = parts
    up_down = spinor.off_site[:, :14, 14:]
    assert torch.equal(up_down.real, y.off_site)
    assert torch.equal(up_down.imag, x.off_site)
    assert torch.equal(spinor.off_site[:, 14:, 14:].imag, -z.off_site)
    # Time reversal: the blocks of opposite spins are complex conjugates up to sign.
    assert torch.allclose(spinor.off_site[:, 14:, :14], -up_down.conj())
    assert torch.allclose(spinor.off_site[:, 14:, 14:], spinor.off_site[:, :14, :14].conj())
    with pytest.raises(ValueError, match="no heads"):
        predict_spin_orbit(small_network(), graph, momenta)


def test_strength_of_spin_orbit_coupling_is_one_number_per_pair_of_shells():
    graph = small_graph()
    rng = np.random.default_rng(5)
    features = [
        {Irrep(0, 1): torch.from_numpy(rng.standard_normal((1, n, 196)))}
        for n in (graph.n_atoms, graph.n_edges)
    ]
    ones = Blocks(
        on_site=torch.ones(graph.n_atoms, 14, 14).double(),
        off_site=torch.ones(graph.n_edges, 14, 14).double(),
    )
    x, y, _ = spin_orbit_blocks(*features, (ones, ones, ones), graph, 14)
    assert torch.equal(x.off_site, y.off_site)
    block = x.on_site[0]
    assert torch.allclose(block[3:6, 9:14], block[3, 9].expand(3, 5))
    assert float(block[3, 9]) != float(block[6, 9])


def test_atoms_beyond_the_one_hot_vector_are_refused():
    graph = small_graph()
    heavy = OrbitalGraph(
        numbers=np.array([14, 51, 1]), positions=graph.positions, cell=graph.cell,
        edge_index=graph.edge_index, cell_shift=graph.cell_shift, inverse=graph.inverse,
    )  # fmt: skip
    with pytest.raises(ValueError, match="beyond 20 types"):
        predict_correction(small_network(), heavy)


def test_correction_blocks_take_components_of_both_heads():
    network, graph = small_network(), small_graph()
    geometry = network.geometry(graph)
    state = network.run(graph, geometry)
    on_site, off_site = network.components(state, geometry)
    blocks = correction_blocks(on_site, off_site, graph, 14)
    assert difference(blocks, predict_correction(network, graph)) == 0.0
    assert head_irreps(14, "hamiltonian").flatten(on_site).shape == (3, 196)

"""Clusters of the infinite crystal: images, sums over plane waves, rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from elphant.crystal.io import from_ase
from elphant.phonon.adapters.cluster_adapter import (
    compact_images,
    dense_constants,
    home_numbers,
    order_basis,
    supercell_to_clusters,
    third_order_clusters,
)
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.sparse_force_constants import SparseForceConstants


@pytest.fixture(scope="module")
def phonopy():
    return build_phonopy(from_ase(bulk("GaAs", "zincblende", a=4.2, cubic=True)), 2 * np.eye(3))


@pytest.fixture(scope="module")
def force_constants(phonopy) -> ForceConstants:
    """Third order of full range: atoms on the border of the supercell have several images."""
    basis = order_basis(phonopy, 3, None)
    blocks = basis.blocks(np.random.default_rng(0).normal(size=basis.n_parameters))
    n_primitive, n_atoms = len(phonopy.primitive), len(phonopy.supercell)
    return ForceConstants(
        unitcell=from_ase(bulk("GaAs", "zincblende", a=4.2, cubic=True)),
        primitive_matrix=np.array(phonopy.primitive_matrix),
        supercell_matrix_second=2 * np.eye(3, dtype=int),
        second=np.zeros((n_primitive, n_atoms, 3, 3)),
        supercell_matrix_third=2 * np.eye(3, dtype=int),
        third=dense_constants(phonopy, basis.members, blocks),
    )


def test_pair_images_give_the_plane_wave_sum_of_phono3py(force_constants, phonopy):
    clusters = third_order_clusters(force_constants, images="pairs")
    q = np.random.default_rng(1).random((2, 3))
    phases = np.exp(2j * np.pi * np.einsum("nab,ab->n", clusters.cells, q))
    n = clusters.n_primitive
    ours = np.zeros((n, n, n, 3, 3, 3), dtype=complex)
    np.add.at(ours, tuple(clusters.atoms.T), clusters.blocks * phases[:, None, None, None])
    # Directly: each supercell atom with the mean phase of its nearest images.
    vectors, multiplicity = phonopy.primitive.get_smallest_vectors()
    positions = phonopy.primitive.scaled_positions
    to_primitive = [phonopy.primitive.p2p_map[i] for i in phonopy.primitive.s2p_map]
    direct = np.zeros_like(ours)
    for i in range(n):
        factors = []
        for wave in q:
            factor = []
            for j, p in enumerate(to_primitive):
                count, start = multiplicity[j, i]
                cells = vectors[start : start + count] - (positions[p] - positions[i])
                factor.append(np.exp(2j * np.pi * cells @ wave).mean())
            factors.append(np.array(factor))
        weighted = force_constants.third[i] * np.einsum("j,k->jk", *factors)[..., None, None, None]
        for j, p in enumerate(to_primitive):
            np.add.at(direct[i, p], to_primitive, weighted[j])
    np.testing.assert_allclose(ours, direct, atol=1e-11 * np.abs(direct).max())


@pytest.mark.parametrize("images", ["pairs", "perimeter"])
def test_images_share_the_whole_of_every_block(force_constants, images):
    clusters = third_order_clusters(force_constants, images=images)
    total = np.abs(force_constants.third).max()
    np.testing.assert_allclose(
        clusters.blocks.sum(axis=0), force_constants.third.sum(axis=(0, 1, 2)), atol=1e-10 * total
    )
    keys = np.concatenate([clusters.atoms, clusters.cells.reshape(len(clusters.atoms), -1)], axis=1)
    assert len(np.unique(keys, axis=0)) == clusters.n_clusters


def test_compact_images_keep_the_permutation_symmetry(force_constants):
    clusters = third_order_clusters(force_constants, images="perimeter")
    assert clusters.permutation_residual() < 1e-10 * np.abs(clusters.blocks).max()
    pairs = third_order_clusters(force_constants, images="pairs")
    assert pairs.permutation_residual() > 1e-3 * np.abs(pairs.blocks).max()


def test_compact_images_equal_a_search_over_all_images(phonopy):
    generator = np.random.default_rng(2)
    n_atoms = len(phonopy.supercell)
    members = np.stack([generator.integers(0, 2, 12), *generator.integers(0, n_atoms, (3, 12))], 1)
    rows, vectors, shares = compact_images(phonopy, members)
    cell, positions = phonopy.supercell.cell, phonopy.supercell.positions
    home = np.array(phonopy.primitive.p2s_map)
    shifts = np.stack(np.meshgrid(*[range(-1, 2)] * 3), -1).reshape(-1, 3) @ cell
    for number, member in enumerate(members):
        a, b, c = (positions[k] - positions[home[member[0]]] + shifts for k in member[1:])
        x, y, z = a[:, None, None], b[None, :, None], c[None, None, :]
        spread = sum(np.linalg.norm(v, axis=-1) for v in (x, y, z, x - y, y - z, z - x))
        best = np.argwhere(spread < spread.min() + 1e-4)
        ours = vectors[rows == number] @ phonopy.primitive.cell
        expected = np.stack([a[best[:, 0]], b[best[:, 1]], c[best[:, 2]]], axis=1)
        assert len(ours) == len(expected)
        np.testing.assert_allclose(
            np.unique(ours.round(4).reshape(len(ours), -1), axis=0),
            np.unique(expected.round(4).reshape(len(ours), -1), axis=0),
            atol=2e-4,
        )
        np.testing.assert_allclose(shares[rows == number], 1.0 / len(best))


def test_the_sum_rule_holds_for_clusters_within_the_cutoff(phonopy):
    for order, cutoff in ((3, 3.5), (4, 3.2)):
        basis = order_basis(phonopy, order, cutoff)
        blocks = basis.blocks(np.random.default_rng(order).normal(size=basis.n_parameters))
        clusters = supercell_to_clusters(phonopy, home_numbers(phonopy, basis.members), blocks)
        scale = np.abs(clusters.blocks).max()
        assert clusters.sum_rule_residual() < 1e-11 * scale
        assert clusters.permutation_residual() < 1e-11 * scale
        broken = clusters.blocks.copy()
        broken[3] += scale
        wrong = replace(clusters, blocks=broken)
        assert wrong.sum_rule_residual() > 0.5 * scale
        assert wrong.permutation_residual() > 0.5 * scale


def test_clusters_survive_storage_and_are_returned_unchanged(force_constants):
    clusters = third_order_clusters(force_constants)
    again = SparseForceConstants.from_arrays(clusters.to_arrays())
    for name in ("atoms", "cells", "blocks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clusters, name))
    assert again.n_primitive == 2
    imported = replace(
        force_constants, third=None, supercell_matrix_third=None, third_clusters=again
    )
    assert third_order_clusters(imported) is again
    harmonic = replace(imported, third_clusters=None)
    assert not harmonic.has_third
    with pytest.raises(ValueError, match="third order"):
        third_order_clusters(harmonic)

"""Derivatives of lattice operators: rotations, sums, hermiticity, translations."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from elphant.crystal import find_symmetry
from elphant.crystal.io import read_crystal
from elphant.models.hamiltonians.slater_koster import SlaterKosterProvider
from elphant.orbitals.derivatives import (
    EnvironmentDerivative,
    HamiltonianDerivatives,
    added,
    hermitian,
    rotated,
    translation_residual,
)
from elphant.orbitals.symmetry import OrbitalSymmetry

CRYSTAL = read_crystal(bulk("Si", a=5.431))
SYMMETRY = find_symmetry(CRYSTAL)
BASIS = SlaterKosterProvider("si").predict(CRYSTAL).basis
REPRESENTATION = OrbitalSymmetry.of(CRYSTAL, SYMMETRY, BASIS)
_COLUMNS = CRYSTAL.lattice.T
CARTESIAN = _COLUMNS @ SYMMETRY.rotations @ np.linalg.inv(_COLUMNS)


def random_derivative(
    seed: int = 0, n_blocks: int = 40, sizes=BASIS.sizes, reach: int = 1
) -> EnvironmentDerivative:
    rng = np.random.default_rng(seed)
    sizes = np.asarray(sizes)
    n = len(sizes)
    keys = np.hstack(
        [rng.integers(0, n, size=(n_blocks, 3)), rng.integers(-reach, reach + 1, (n_blocks, 6))]
    )
    keys = rng.permutation(np.unique(keys, axis=0))
    length = 3 * int(sizes[keys[:, 1:3]].prod(axis=1).sum())
    return EnvironmentDerivative(
        sizes=sizes, moved=keys[:, 0], pairs=keys[:, 1:3], cells=keys[:, 3:].reshape(-1, 2, 3),
        values=rng.normal(size=length),
    )  # fmt: skip


def blocks_of(derivative: EnvironmentDerivative) -> dict[tuple[int, ...], np.ndarray]:
    """Return the blocks by moved atom, pair and cells."""
    result = {}
    for b in range(derivative.n_blocks):
        i, j = derivative.pairs[b]
        key = (derivative.moved[b], i, j, *derivative.cells[b].ravel())
        part = derivative.values[derivative.offsets[b] : derivative.offsets[b + 1]]
        block = part.reshape(3, derivative.sizes[i], derivative.sizes[j])
        result[tuple(int(x) for x in key)] = block
    assert len(result) == derivative.n_blocks
    return result


def assert_same(first: EnvironmentDerivative, second: EnvironmentDerivative, atol=1e-12) -> None:
    a, b = blocks_of(first), blocks_of(second)
    assert set(a) == set(b)
    for key, block in a.items():
        np.testing.assert_allclose(block, b[key], atol=atol)


def index_of(rotation, translation) -> int:
    """Return the number of a space-group operation."""
    shift = SYMMETRY.translations - translation
    same = (SYMMETRY.rotations == rotation).all(axis=(1, 2))
    same &= (np.abs(shift - np.rint(shift)) < 1e-6).all(axis=1)
    (found,) = np.flatnonzero(same)
    return int(found)


def test_the_identity_changes_nothing():
    D = random_derivative()
    one = index_of(np.eye(3, dtype=int), np.zeros(3))
    assert_same(rotated(D, REPRESENTATION, np.eye(3), one), D)


@pytest.mark.parametrize("g", [3, 17, 30, 46])
def test_two_operations_are_one(g):
    D, h = random_derivative(1), 11
    W, t = SYMMETRY.rotations, SYMMETRY.translations
    product = index_of(W[g] @ W[h], W[g] @ t[h] + t[g])
    twice = rotated(rotated(D, REPRESENTATION, CARTESIAN[h], h), REPRESENTATION, CARTESIAN[g], g)
    assert_same(twice, rotated(D, REPRESENTATION, CARTESIAN[g] @ CARTESIAN[h], product), 1e-10)
    np.testing.assert_allclose(np.sort(twice.norms), np.sort(D.norms), rtol=1e-10)


def test_the_mean_over_the_group_is_invariant():
    D = random_derivative(2, n_blocks=6)
    images = [rotated(D, REPRESENTATION, R, g) for g, R in enumerate(CARTESIAN)]
    mean = added(images)
    mean = mean.with_values(mean.values / len(images))
    for g in (5, 23, 40):
        assert_same(rotated(mean, REPRESENTATION, CARTESIAN[g], g), mean, 1e-10)


def test_the_derivative_of_a_rigid_set_of_distances_turns_with_the_crystal():
    # A block of s orbitals: D = the unit vector from the moved atom to the first one.
    sizes = np.array([4, 4])
    D = random_derivative(3)
    ends = CRYSTAL.fractional[D.pairs] + D.cells - CRYSTAL.fractional[D.moved][:, None]
    vectors = ends[:, 0] @ CRYSTAL.lattice
    values = np.zeros((D.n_blocks, 3, 4, 4))
    s = int(np.flatnonzero(BASIS.l[:4] == 0)[0])
    values[:, :, s, s] = vectors
    D = EnvironmentDerivative(
        sizes=sizes, moved=D.moved, pairs=D.pairs, cells=D.cells, values=values.ravel()
    )
    for g in (7, 29, 45):
        turned = rotated(D, REPRESENTATION, CARTESIAN[g], g)
        for (moved, i, _, *cells), block in blocks_of(turned).items():
            place = CRYSTAL.fractional[i] + cells[:3] - CRYSTAL.fractional[moved]
            np.testing.assert_allclose(block[:, s, s], place @ CRYSTAL.lattice, atol=1e-9)


def test_sums_of_terms_with_different_blocks():
    sizes = [1, 3, 2]
    parts = [random_derivative(seed, 25, sizes, reach=0) for seed in (4, 5, 6)]
    total = blocks_of(added(parts))
    pieces = [blocks_of(part) for part in parts]
    assert set(total) == set().union(*pieces)
    assert len(total) < sum(len(p) for p in pieces)
    for key, block in total.items():
        np.testing.assert_allclose(block, sum(p[key] for p in pieces if key in p))
    nothing = added([parts[0], parts[0].with_values(-parts[0].values)])
    assert np.abs(nothing.values).max() == 0.0
    assert_same(added([parts[0]]), parts[0])


def test_hermiticity_is_imposed_and_measured():
    D = random_derivative(7, 30, [1, 3, 2])
    found, change = hermitian(D)
    assert change > 0.1
    again, nothing = hermitian(found)
    assert_same(again, found)
    assert nothing < 1e-14
    blocks, before = blocks_of(found), blocks_of(D)
    largest = 0.0
    for key, block in blocks.items():
        moved, i, j, *cells = key
        mirrored = (moved, j, i, *cells[3:], *cells[:3])
        np.testing.assert_allclose(blocks[mirrored], block.swapaxes(1, 2))
        largest = max(largest, float(np.abs(block - before.get(key, 0.0)).max()))
    assert change == pytest.approx(largest)
    for atom in range(3):
        for matrix in found.images(atom).matrices:
            assert np.abs((matrix - matrix.T).toarray()).max() < 1e-14


def test_translations_change_nothing_afterwards():
    D = random_derivative(8, 1500, [2, 1])
    before = blocks_of(D)
    bonds: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for key in before:
        bond = (*key[1:3], *(np.array(key[6:]) - np.array(key[3:6])).tolist())
        bonds.setdefault(bond, []).append(key)
    found, worst = translation_residual(D)
    after = blocks_of(found)
    largest, kinds = 0.0, set()
    for members in bonds.values():
        excess = sum(before[key] for key in members)
        largest = max(largest, float(np.abs(excess).max()))
        own = [
            float((m == i and not any(c[:3])) or (m == j and not any(c[3:])))
            for m, i, j, *c in members
        ]
        # Off the terms of the two atoms of the block, or else in proportion to the squares.
        weights = np.array(own if any(own) else [(before[key] ** 2).sum() for key in members])
        kinds.add(any(own) and len(members) > 1)
        for key, weight in zip(members, weights / weights.sum(), strict=True):
            np.testing.assert_allclose(after[key], before[key] - weight * excess, atol=1e-12)
        np.testing.assert_allclose(sum(after[key] for key in members), 0.0, atol=1e-12)
    assert kinds == {True, False}
    assert worst == pytest.approx(largest)
    assert translation_residual(found)[1] < 1e-12


def test_images_hold_every_block_once():
    D = random_derivative(9, 30, [1, 3, 2])
    starts = {}
    for atom in range(3):
        image = D.images(atom)
        ends = np.hstack([image.atoms[:, None], image.cells]).tolist()
        offsets = np.concatenate([[0], np.cumsum(D.sizes[image.atoms])])
        starts = {tuple(end): int(o) for end, o in zip(ends, offsets, strict=False)}
        dense = np.array([m.toarray() for m in image.matrices])
        for (moved, i, j, *cells), block in blocks_of(D).items():
            if moved == atom:
                a, b = starts[i, *cells[:3]], starts[j, *cells[3:]]
                part = dense[:, a : a + D.sizes[i], b : b + D.sizes[j]]
                np.testing.assert_array_equal(part, block)
                dense[:, a : a + D.sizes[i], b : b + D.sizes[j]] = 0.0
        assert not dense.any()


def test_an_atom_that_nothing_depends_on():
    D = random_derivative(10)
    rest = D.selected(D.moved == 0)
    image = rest.images(1)
    assert len(image.atoms) == 0
    assert [m.shape for m in image.matrices] == [(0, 0)] * 3
    empty = D.selected(np.zeros(D.n_blocks, dtype=bool))
    assert empty.n_blocks == 0
    assert empty.norms.shape == (0,)
    assert empty.values.shape == (0,)
    assert rest.nbytes < D.nbytes


def test_what_counts_as_a_derivative_of_h():
    D = random_derivative(11)
    assert not HamiltonianDerivatives(sizes=D.sizes, overlap=None).has_hamiltonian
    assert HamiltonianDerivatives(sizes=D.sizes, overlap=None, environment=D).has_hamiltonian
    with pytest.raises(ValueError, match="values"):
        D.with_values(D.values[:-1])

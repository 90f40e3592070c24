"""Sparse blocks (i, j, R): order, conversions, hermiticity."""

from __future__ import annotations

import numpy as np
import pytest
from orbital_toys import random_hermitian

from elphant.orbitals import LatticeMatrix

SIZES = [2, 1, 3]


def sparse(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return pairs, cells and blocks in random order, without hermiticity."""
    rng = np.random.default_rng(seed)
    keys = [(i, j, *cell) for i in range(3) for j in range(3) for cell in np.ndindex(2, 1, 2)]
    picked = np.array(keys)[rng.permutation(len(keys))[:20]]
    blocks = [rng.normal(size=(SIZES[i], SIZES[j])) for i, j in picked[:, :2]]
    return picked[:, :2], picked[:, 2:] - 1, blocks


def build(pairs, cells, blocks) -> LatticeMatrix:
    values = np.concatenate([block.ravel() for block in blocks])
    return LatticeMatrix(sizes=SIZES, pairs=pairs, cells=cells, values=values)


def test_blocks_are_sorted() -> None:
    pairs, cells, blocks = sparse()
    matrix = build(pairs, cells, blocks)
    keys = np.hstack([matrix.pairs, matrix.cells]).tolist()
    assert keys == sorted(keys)
    given = {(*p, *c): b for p, c, b in zip(pairs.tolist(), cells.tolist(), blocks, strict=True)}
    assert len(given) == matrix.n_blocks == 20
    for index, key in enumerate(keys):
        assert np.array_equal(matrix.block(index), given[tuple(key)])
    assert matrix.n_orbitals == 6
    assert matrix.orbital_starts.tolist() == [0, 2, 3]
    assert not matrix.is_complex
    with pytest.raises(ValueError, match="read-only"):
        matrix.values[0] = 1.0


def test_order_of_the_input_does_not_matter() -> None:
    pairs, cells, blocks = sparse()
    order = np.random.default_rng(1).permutation(20)
    a, b = (
        build(pairs, cells, blocks),
        build(pairs[order], cells[order], [blocks[i] for i in order]),
    )
    for name in ("pairs", "cells", "values"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


def test_groups_cover_all_blocks() -> None:
    matrix = build(*sparse())
    covered = []
    for i, j, blocks in matrix.groups:
        covered += list(range(blocks.start, blocks.stop))
        assert (matrix.pairs[blocks] == (i, j)).all()
        for index, values in zip(covered[-len(matrix.pairs[blocks]) :], matrix.group_values(blocks),
                                 strict=True):  # fmt: skip
            assert np.array_equal(values, matrix.block(index))
    assert covered == list(range(20))


def test_full_matrices_round_trip() -> None:
    matrix = build(*sparse())
    again = LatticeMatrix.from_cells(SIZES, *matrix.to_cells())
    for name in ("sizes", "pairs", "cells", "values"):
        assert np.array_equal(getattr(again, name), getattr(matrix, name))
    cells, full = matrix.to_cells()
    assert full.shape == (len(cells), 6, 6)
    for index in range(matrix.n_blocks):
        (i, j), cell = matrix.pairs[index], matrix.cells[index]
        where = int(np.flatnonzero((cells == cell).all(axis=1))[0])
        rows = slice(matrix.orbital_starts[i], matrix.orbital_starts[i] + SIZES[i])
        columns = slice(matrix.orbital_starts[j], matrix.orbital_starts[j] + SIZES[j])
        assert np.array_equal(full[where, rows, columns], matrix.block(index))


def test_threshold_leaves_small_blocks_out() -> None:
    full = np.zeros((1, 6, 6))
    full[0, 0, 0], full[0, 2, 5] = 1.0, 1e-9
    assert LatticeMatrix.from_cells(SIZES, [[0, 0, 0]], full).n_blocks == 2
    kept = LatticeMatrix.from_cells(SIZES, [[0, 0, 0]], full, threshold=1e-8)
    assert kept.pairs.tolist() == [[0, 0]]
    empty = LatticeMatrix.from_cells(SIZES, [[0, 0, 0]], 0 * full)
    assert empty.n_blocks == 0
    assert empty.groups == []
    assert empty.hermitian_residual() == 0.0


@pytest.mark.parametrize("is_complex", [False, True])
def test_hermiticity(is_complex: bool) -> None:
    matrix = random_hermitian(SIZES, 2, is_complex=is_complex)
    assert matrix.is_complex == is_complex
    assert matrix.hermitian_residual() == 0.0
    assert np.array_equal(matrix.partners[matrix.partners], np.arange(matrix.n_blocks))
    for index, partner in enumerate(matrix.partners.tolist()):
        assert np.array_equal(matrix.pairs[partner], matrix.pairs[index][::-1])
        assert np.array_equal(matrix.cells[partner], -matrix.cells[index])
    values = matrix.values.copy()
    values[7] += 0.25
    broken = matrix.with_values(values)
    assert broken.hermitian_residual() == pytest.approx(0.25)
    mended = broken.hermitized()
    assert mended.hermitian_residual() < 1e-15
    assert np.abs(mended.values - matrix.values).max() == pytest.approx(0.125)


def test_missing_partners() -> None:
    matrix = random_hermitian(SIZES, 2)
    half = matrix.selected(np.arange(matrix.n_blocks) != 4)
    assert (half.partners < 0).sum() == 1
    assert half.hermitian_residual() == np.abs(matrix.block(int(matrix.partners[4]))).max()
    with pytest.raises(ValueError, match="no partner"):
        half.hermitized()


def test_selection_by_distance() -> None:
    matrix = random_hermitian(SIZES, 3)
    lattice = np.array([[3.0, 0.0, 0.0], [0.5, 4.0, 0.0], [0.0, 1.0, 5.0]])
    positions = np.array([[0.1, 0.2, 0.3], [1.5, 2.0, 9.0], [-2.0, 0.0, 1.0]])
    near = matrix.within(lattice, positions, 4.2)
    expected = [
        index
        for index in range(matrix.n_blocks)
        if np.linalg.norm(
            positions[matrix.pairs[index, 1]]
            + matrix.cells[index] @ lattice
            - positions[matrix.pairs[index, 0]]
        )
        <= 4.2
    ]
    assert 0 < near.n_blocks == len(expected) < matrix.n_blocks
    for index, source in enumerate(expected):
        assert np.array_equal(near.block(index), matrix.block(source))
    assert near.hermitian_residual() == 0.0


def test_refusals() -> None:
    pairs, cells, blocks = sparse()
    with pytest.raises(ValueError, match="occurs twice"):
        build(
            np.concatenate([pairs, pairs[:1]]), np.concatenate([cells, cells[:1]]),
            [*blocks, blocks[0]],
        )  # fmt: skip
    with pytest.raises(ValueError, match="not there"):
        build(pairs + 1, cells, blocks)
    with pytest.raises(ValueError, match="values"):
        build(pairs, cells, blocks[:-1])
    with pytest.raises(ValueError, match="non-finite"):
        build(pairs, cells, [np.nan * blocks[0], *blocks[1:]])

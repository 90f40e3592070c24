"""Densities and potential matrices on points, against brute force and exact integrals."""

from __future__ import annotations

import numpy as np
import pytest
from orbital_toys import (
    analytic_overlap,
    basis_of,
    brute_orbitals,
    diamond,
    gaussian,
    random_hermitian,
    triclinic,
)

from elphant.crystal import Crystal
from elphant.errors import ResourceError
from elphant.orbitals import LatticeMatrix, OrbitalBasis, radial, real_space
from elphant.orbitals.bricks import build_bricks, find_shells, radial_cutoff, split_points
from elphant.orbitals.real_space import OrbitalsOnPoints, overlapping_pairs

CELLS = np.array(list(np.ndindex(9, 9, 9))) - 4


def grid(crystal: Crystal, shape: tuple[int, int, int]) -> np.ndarray:
    return np.array(list(np.ndindex(*shape))) / np.array(shape) @ crystal.lattice


def random_points(n: int, seed: int = 0) -> np.ndarray:
    """Return points also far outside the home cell."""
    return 4.0 * np.random.default_rng(seed).normal(size=(n, 3))


def positive_matrix(basis: OrbitalBasis, seed: int) -> LatticeMatrix:
    """Return a positive density matrix: the autocorrelation of random coefficients."""
    rng = np.random.default_rng(seed)
    corners = np.array(list(np.ndindex(2, 2, 2)))
    c = rng.normal(size=(8, basis.n_orbitals, 3))
    cells = np.array(list(np.ndindex(3, 3, 3))) - 1
    matrices = np.zeros((27, basis.n_orbitals, basis.n_orbitals))
    for a, first in enumerate(corners):
        for b, second in enumerate(corners):
            matrices[int((second - first + 1) @ [9, 3, 1])] += c[a] @ c[b].T
    return LatticeMatrix.from_cells(basis.sizes, cells, matrices)


def wrapped(crystal: Crystal, points: np.ndarray) -> np.ndarray:
    scaled = points @ np.linalg.inv(crystal.lattice)
    return (scaled - np.floor(scaled)) @ crystal.lattice


def reference(
    crystal: Crystal, basis: OrbitalBasis, points: np.ndarray, P: LatticeMatrix
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return density, gradient and kinetic density by summing over all pairs of images."""
    X, slopes = brute_orbitals(crystal, basis, wrapped(crystal, points), CELLS)
    n, t, g = np.zeros(len(points)), np.zeros(len(points)), np.zeros((len(points), 3))
    active = [number for number in range(len(CELLS)) if X[number].any()]
    place = {tuple(CELLS[number]): number for number in active}
    for cell, matrix in zip(*P.to_cells(), strict=True):
        for a in active:
            b = place.get(tuple(CELLS[a] + cell))
            if b is None:
                continue
            PX = matrix @ X[b]
            n += (X[a] * PX).sum(axis=0)
            g += 2 * np.einsum("aip,ip->pa", slopes[:, a], PX)
            for axis in range(3):
                t += 0.5 * (slopes[axis, a] * (matrix @ slopes[axis, b])).sum(axis=0)
    return n, g, t


def test_brute_force() -> None:
    crystal, basis = triclinic()
    points = random_points(400)
    P = random_hermitian(basis.sizes, 1, reach=2)
    n, g, t = reference(crystal, basis, points, P)
    orbitals = OrbitalsOnPoints(crystal, basis, points)
    assert orbitals.n_points == 400
    assert orbitals.n_bricks > 1
    found = orbitals.density_and_kinetic(P)
    scale = np.abs(n).max()
    np.testing.assert_allclose(orbitals.density(P), n, atol=1e-13 * scale)
    np.testing.assert_allclose(found.density, n, atol=1e-13 * scale)
    np.testing.assert_allclose(found.gradient, g, atol=1e-12 * scale)
    np.testing.assert_allclose(found.kinetic, t, atol=1e-12 * scale)


def test_potential_matrix_by_brute_force() -> None:
    crystal, basis = triclinic()
    points = random_points(60)
    weights = np.random.default_rng(3).normal(size=60)
    V = OrbitalsOnPoints(crystal, basis, points).potential_matrix(weights)
    assert V.hermitian_residual() < 1e-14
    X, _ = brute_orbitals(crystal, basis, wrapped(crystal, points), CELLS)
    cells, matrices = V.to_cells()
    table = {tuple(cell): matrix for cell, matrix in zip(cells, matrices, strict=True)}
    place = {tuple(cell): number for number, cell in enumerate(CELLS)}
    for cell in [(0, 0, 0), (1, 0, -1), (-2, 1, 0), (0, 2, 1)]:
        expected = sum(
            (X[a] * weights) @ X[place[key]].T
            for a in range(len(CELLS))
            if (key := tuple(CELLS[a] + cell)) in place
        )
        np.testing.assert_allclose(table[cell], expected, atol=1e-13)


def test_density_and_potential_matrix_are_adjoint() -> None:
    # sum_r w n = tr P V for any weights: no grid, no convergence, every index is tested.
    crystal, basis = triclinic()
    points, weights = random_points(300), np.random.default_rng(2).normal(size=300)
    orbitals = OrbitalsOnPoints(crystal, basis, points, floor=1e-4)
    V = orbitals.potential_matrix(weights)
    P = V.with_values(np.random.default_rng(4).normal(size=len(V.values))).hermitized()
    assert weights @ orbitals.density(P) == pytest.approx(V.values @ P.values, rel=1e-12)


@pytest.mark.parametrize("toy", [triclinic, diamond])
def test_overlap_and_electron_number(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radial, "GAUSSIAN_FLOOR", 1e-10)
    crystal, basis = toy()
    points = grid(crystal, (30, 30, 30))
    volume = crystal.volume / len(points)
    orbitals = OrbitalsOnPoints(crystal, basis, points)
    S = orbitals.potential_matrix(np.full(len(points), volume))
    exact = analytic_overlap(crystal, basis, reach=3, radius=9.0)
    cells, matrices = S.to_cells()
    table = {tuple(cell): matrix for cell, matrix in zip(cells, matrices, strict=True)}
    for i, j, blocks in exact.groups:
        rows, columns = basis.atom == i, basis.atom == j
        for cell, block in zip(exact.cells[blocks], exact.group_values(blocks), strict=True):
            found = table[tuple(cell)][np.ix_(rows, columns)]
            np.testing.assert_allclose(found, block, atol=1e-8)
    P = positive_matrix(basis, 8)
    found = {tuple(cell): matrix for cell, matrix in zip(*P.to_cells(), strict=True)}
    trace = sum(
        np.sum(matrix * found[tuple(cell)])
        for cell, matrix in zip(*exact.to_cells(), strict=True)
        if tuple(cell) in found
    )
    assert orbitals.density(P).sum() * volume == pytest.approx(trace, rel=1e-8)


def test_orbital_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radial, "GAUSSIAN_FLOOR", 1e-13)
    crystal, basis = triclinic()
    shells = find_shells(basis, None)
    points = wrapped(crystal, random_points(40))
    (brick,) = build_bricks(crystal, shells, points, 50)
    gradients, h = brick.gradients(), 1e-4
    for axis, step in enumerate(h * np.eye(3)):
        change = np.zeros_like(gradients[0])
        for sign in (1, -1):
            moved = type(brick)(
                index=brick.index,
                points=brick.points + sign * step,
                orbitals=brick.orbitals,
                cells=brick.cells,
                images=brick.images,
            )
            change += sign * moved.values() / (2 * h)
        np.testing.assert_allclose(gradients[axis], change, atol=1e-7)


def test_density_gradient_is_the_derivative_of_the_density(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(radial, "GAUSSIAN_FLOOR", 1e-12)
    crystal, basis = triclinic()
    P, points, h = positive_matrix(basis, 1), random_points(30), 1e-4
    found = OrbitalsOnPoints(crystal, basis, points).density_and_kinetic(P)
    for axis, step in enumerate(h * np.eye(3)):
        above, below = (
            OrbitalsOnPoints(crystal, basis, points + shift).density(P) for shift in (step, -step)
        )
        np.testing.assert_allclose(found.gradient[:, axis], (above - below) / (2 * h), rtol=1e-6,
                                   atol=1e-6 * np.abs(found.gradient).max())  # fmt: skip


def test_kinetic_density_exceeds_that_of_one_orbital() -> None:
    # von Weizsäcker: tau >= |grad n|² / 8n, with equality where a single orbital is filled.
    crystal, basis = triclinic()
    found = OrbitalsOnPoints(crystal, basis, random_points(200)).density_and_kinetic(
        positive_matrix(basis, 6)
    )
    assert found.density.min() > 0
    bound = (found.gradient**2).sum(axis=1) / (8 * found.density)
    assert (found.kinetic >= bound - 1e-12).all()
    lone = Crystal(lattice=30 * np.eye(3), fractional=np.zeros((1, 3)), numbers=np.array([1]))
    s = basis_of([1], {1: [(1, 0)]}, (gaussian([0.5, 1.5], [0.3, 0.4], 0),))
    P = LatticeMatrix.from_cells([1], [[0, 0, 0]], [[[2.0]]])
    points = 1.2 * np.random.default_rng(0).normal(size=(50, 3))
    one = OrbitalsOnPoints(lone, s, points).density_and_kinetic(P)
    bound = (one.gradient**2).sum(axis=1) / (8 * one.density)
    np.testing.assert_allclose(one.kinetic, bound, rtol=1e-12)


def test_results_do_not_depend_on_how_the_work_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    crystal, basis = triclinic()
    points, weights = random_points(150), np.random.default_rng(5).normal(size=150)
    P = random_hermitian(basis.sizes, 2)
    whole = OrbitalsOnPoints(crystal, basis, points, floor=1e-3)
    n, V = whole.density(P), whole.potential_matrix(weights)
    moved = points + np.random.default_rng(1).integers(-3, 4, (150, 3)) @ crystal.lattice
    monkeypatch.setattr(real_space, "BRICK_POINTS", 17)
    monkeypatch.setattr(real_space, "STEP_ORBITALS", 23)
    for kwargs in ({}, {"n_threads": 3}, {"memory_gb": 8e-9 * whole._box_size + 1e-4}):
        for where in (points, moved):
            split = OrbitalsOnPoints(crystal, basis, where, floor=1e-3, **kwargs)
            assert split.n_bricks > whole.n_bricks
            for _ in range(2):
                np.testing.assert_allclose(split.density(P), n, atol=1e-12)
                W = split.potential_matrix(weights)
                assert np.array_equal(W.cells, V.cells)
                np.testing.assert_allclose(W.values, V.values, atol=1e-13)
    with pytest.raises(ResourceError, match="GB"):
        OrbitalsOnPoints(crystal, basis, points, memory_gb=1e-6)


def test_supercell() -> None:
    crystal, basis = triclinic()
    double = Crystal(
        lattice=crystal.lattice * np.array([[2.0], [1.0], [1.0]]),
        fractional=np.concatenate([crystal.fractional, crystal.fractional + np.eye(3)[0]])
        / [2, 1, 1],
        numbers=np.tile(crystal.numbers, 2),
    )
    n = basis.n_orbitals
    tiled = OrbitalBasis(
        atom=np.concatenate([basis.atom, basis.atom + 2]),
        **{name: np.tile(getattr(basis, name), 2) for name in ("n", "l", "m", "spin")},
        radial=basis.radial,
        radial_index=np.tile(basis.radial_index, 2),
    )
    points, weights = random_points(50), np.random.default_rng(5).normal(size=50)
    V = OrbitalsOnPoints(crystal, basis, points).potential_matrix(weights)
    both = np.concatenate([points, points + crystal.lattice[0]])
    W = OrbitalsOnPoints(double, tiled, both).potential_matrix(np.tile(weights, 2))
    found = {tuple(cell): matrix for cell, matrix in zip(*W.to_cells(), strict=True)}
    for cell, matrix in zip(*V.to_cells(), strict=True):
        half, odd = divmod(cell[0], 2)
        key = (half, cell[1], cell[2])
        if key in found:
            block = found[key][:n, n * odd : n * odd + n]
            np.testing.assert_allclose(block, matrix, atol=1e-13)


def test_density_turns_with_the_crystal() -> None:
    crystal, basis = triclinic()
    s_only = basis_of([14, 8], {14: [(1, 0)], 8: [(1, 0)]}, basis.radial)
    Q = np.linalg.qr(np.random.default_rng(9).normal(size=(3, 3)))[0]
    turned = crystal.replaced(lattice=crystal.lattice @ Q.T)
    P, points = random_hermitian(s_only.sizes, 3), random_points(60)
    np.testing.assert_allclose(
        OrbitalsOnPoints(turned, s_only, points @ Q.T).density(P),
        OrbitalsOnPoints(crystal, s_only, points).density(P),
        atol=1e-12,
    )


def test_floor_limits_the_reach() -> None:
    p_shell = gaussian([0.4], [0.7], 1)
    short = radial_cutoff(p_shell, 1, 1e-4)
    assert short < radial_cutoff(p_shell, 1, None) == p_shell.cutoff
    r = np.linspace(short, p_shell.cutoff, 50)
    assert (np.abs(p_shell.evaluate(r * r)[0] * r) <= 1e-4).all()
    assert radial_cutoff(p_shell, 1, 1e3) == 0.0
    crystal, basis = triclinic()
    points, P = random_points(100), random_hermitian(basis.sizes, 3)
    n = OrbitalsOnPoints(crystal, basis, points).density(P)
    coarse = OrbitalsOnPoints(crystal, basis, points, floor=1e-5).density(P)
    assert 0 < np.abs(coarse - n).max() < 1e-2


def test_empty_space() -> None:
    crystal = Crystal(lattice=40 * np.eye(3), fractional=np.zeros((1, 3)), numbers=np.array([1]))
    basis = basis_of([1], {1: [(1, 0)]}, (gaussian([2.0], [1.0], 0),))
    far = OrbitalsOnPoints(crystal, basis, [[20.0, 20.0, 20.0]])
    P = LatticeMatrix.from_cells([1], [[0, 0, 0]], [[[2.0]]])
    assert far.density(P).tolist() == [0.0]
    assert not far.potential_matrix([1.0]).values.any()
    assert not far.density_and_kinetic(P).kinetic.any()


def test_points_are_split_into_compact_groups() -> None:
    points = np.random.default_rng(0).random((1000, 3)) * [10.0, 1.0, 1.0]
    groups = split_points(points, 60)
    assert sorted(np.concatenate(groups).tolist()) == list(range(1000))
    assert max(len(group) for group in groups) <= 60
    assert max(np.ptp(points[group], axis=0).max() for group in groups) < 2.0


def test_pairs_come_with_their_mirror_images() -> None:
    crystal, _ = triclinic()
    pairs, cells = overlapping_pairs(crystal, [3.0, 2.0])
    keys = {(*pair, *cell) for pair, cell in zip(pairs.tolist(), cells.tolist(), strict=True)}
    assert len(keys) == len(pairs)
    assert all((j, i, -a, -b, -c) in keys for i, j, a, b, c in keys)
    far = np.array(list(np.ndindex(13, 13, 13))) - 6
    bond = crystal.positions[1] + far @ crystal.lattice - crystal.positions[0]
    expected = (np.linalg.norm(bond, axis=1) <= 5.0).sum()
    assert sum(i == 0 and j == 1 for i, j, *_ in keys) == expected


def test_refusals() -> None:
    crystal, basis = triclinic()
    orbitals = OrbitalsOnPoints(crystal, basis, random_points(5))
    P = random_hermitian(basis.sizes, 1)
    with pytest.raises(ValueError, match="complex"):
        orbitals.density(P.with_values(1j * P.values))
    with pytest.raises(ValueError, match="another basis"):
        orbitals.density(random_hermitian([1, 2], 1))
    values = P.values.copy()
    values[40] += 1.0
    with pytest.raises(ValueError, match="hermitian"):
        orbitals.density(P.with_values(values))
    with pytest.raises(ValueError, match="hermitian"):
        orbitals.density(P.selected((P.cells @ [9, 3, 1]) >= 0))
    with pytest.raises(ValueError, match="weights"):
        orbitals.potential_matrix(np.ones(4))
    with pytest.raises(ValueError, match="number of atoms"):
        OrbitalsOnPoints(diamond()[0].replaced(), basis_of([14], {14: [(1, 0)]}, basis.radial), [])
    labels = {name: getattr(basis, name) for name in ("atom", "n", "l", "m", "spin")}
    with pytest.raises(ValueError, match="radial functions"):
        OrbitalsOnPoints(crystal, OrbitalBasis(**labels), random_points(5))

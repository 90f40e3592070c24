"""Space-group operations on local orbitals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from orbital_toys import (
    ORIGIN,
    analytic_overlap,
    basis_of,
    diamond,
    gaussian,
    random_hermitian,
    triclinic,
)

from elphant.crystal import Crystal, Symmetry, find_symmetry, symmetrized_crystal
from elphant.crystal.io import read_crystal
from elphant.orbitals import (
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
    band_energies,
    solve,
)
from elphant.orbitals.real_space import OrbitalsOnPoints
from elphant.orbitals.symmetry import OrbitalSymmetry

Toy = tuple[Crystal, OrbitalBasis, Symmetry]


def hexagonal() -> tuple[Crystal, OrbitalBasis]:
    """Return a wurtzite cell: screw axes, glide planes, and no inversion."""
    crystal = Crystal(
        lattice=np.array([[3.2, 0.0, 0.0], [-1.6, 1.6 * np.sqrt(3.0), 0.0], [0.0, 0.0, 5.2]]),
        fractional=np.array(
            [[1 / 3, 2 / 3, 0.0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.38], [2 / 3, 1 / 3, 0.88]]
        ),
        numbers=np.array([30, 30, 16, 16]),
    )
    radial = (gaussian([0.9], [0.5], 1), gaussian([0.8], [0.6], 2), gaussian([0.7], [0.3], 0))
    shells = {30: [(1, 0), (1, 1)], 16: [(1, 1), (1, 2)]}
    return crystal, basis_of(crystal.numbers.tolist(), shells, radial, seed=1)


@pytest.fixture(scope="module")
def pnma(fixtures: Path) -> Toy:
    """Return Sb2Se3 (Pnma, 20 atoms) with short-ranged s and p orbitals."""
    crystal = read_crystal(fixtures / "structures" / "Sb2Se3_PBEsol_Pnma.cif")
    crystal = symmetrized_crystal(crystal, find_symmetry(crystal))
    radial = (gaussian([0.9], [0.5], 0), gaussian([0.8, 1.3], [0.6, 0.1], 1))
    basis = basis_of(crystal.numbers.tolist(), {51: [(1, 0), (1, 1)], 34: [(1, 1)]}, radial, seed=2)
    return crystal, basis, find_symmetry(crystal)


def complete(toy: tuple[Crystal, OrbitalBasis]) -> Toy:
    return (*toy, find_symmetry(toy[0]))


def difference(a: LatticeMatrix, b: LatticeMatrix) -> float:
    """Return the largest difference; a block missing in one of them is zero."""
    blocks: dict[tuple[int, ...], np.ndarray] = {}
    for matrix, sign in ((a, 1.0), (b, -1.0)):
        for index in range(matrix.n_blocks):
            key = (*matrix.pairs[index].tolist(), *matrix.cells[index].tolist())
            blocks[key] = blocks.get(key, 0.0) + sign * matrix.block(index)
    return max(float(np.abs(block).max()) for block in blocks.values())


@pytest.mark.parametrize(("toy", "n_operations"), [(diamond, 48), (hexagonal, 12)])
def test_exact_overlap_is_invariant(toy, n_operations: int) -> None:
    crystal, basis, symmetry = complete(toy())
    action = OrbitalSymmetry.of(crystal, symmetry, basis)
    assert action.n_operations == n_operations
    S = analytic_overlap(crystal, basis, reach=3, radius=6.5)
    for operation in range(n_operations):
        assert difference(action.transform(S, operation), S) < 1e-12
    mean, change = action.symmetrized(S)
    assert change < 1e-12
    assert np.array_equal(mean.cells, S.cells)
    np.testing.assert_allclose(mean.values, S.values, atol=1e-12)


def test_potential_matrix_of_pnma_is_invariant(pnma: Toy) -> None:
    crystal, basis, symmetry = pnma
    action = OrbitalSymmetry.of(crystal, symmetry, basis)
    assert action.n_operations == 8
    # A grid that every operation maps onto itself keeps the symmetry, however coarse it is.
    shape = np.array([16, 6, 16])
    points = np.array(list(np.ndindex(*shape))) / shape @ crystal.lattice
    orbitals = OrbitalsOnPoints(crystal, basis, points, floor=1e-6)
    S = orbitals.potential_matrix(np.ones(len(points)))
    for operation in range(8):
        assert difference(action.transform(S, operation), S) < 1e-10
    # The density of a symmetric density matrix is the same at all equivalent points.
    P, _ = action.symmetrized(S.with_values(np.cos(np.arange(len(S.values)))).hermitized())
    n = orbitals.density(P).reshape(shape)
    scaled = np.array(list(np.ndindex(*shape))) / shape
    for rotation, translation in zip(symmetry.rotations, symmetry.translations, strict=True):
        image = np.round((scaled @ rotation.T + translation) * shape).astype(int) % shape
        np.testing.assert_allclose(n[tuple(image.T)], n.ravel(), atol=1e-10 * np.abs(n).max())


@pytest.mark.parametrize("toy", [diamond, hexagonal])
def test_representation(toy) -> None:
    crystal, basis, symmetry = complete(toy())
    action = OrbitalSymmetry.of(crystal, symmetry, basis)
    table = {
        (*rotation.ravel().tolist(), *np.round(24 * translation % 24).astype(int) % 24): index
        for index, (rotation, translation) in enumerate(
            zip(symmetry.rotations, symmetry.translations, strict=True)
        )
    }
    matrix = random_hermitian(basis.sizes, 4)
    rng = np.random.default_rng(3)
    for first, second in rng.integers(0, action.n_operations, (12, 2)):
        W, w = symmetry.rotations[first], symmetry.translations[first]
        V, v = symmetry.rotations[second], symmetry.translations[second]
        t = np.round(24 * (W @ v + w) % 24).astype(int) % 24
        product = table[(*(W @ V).ravel().tolist(), *t)]
        # g h acts like h and then g, on atoms, on orbitals and on operators.
        assert np.array_equal(action.atoms[product], action.atoms[first][action.atoms[second]])
        for atom in range(crystal.n_atoms):
            image = action.atoms[second, atom]
            D = action.matrices[first][image] @ action.matrices[second][atom]
            np.testing.assert_allclose(action.matrices[product][atom], D, atol=1e-12)
            np.testing.assert_allclose(D @ D.T, np.eye(len(D)), atol=1e-12)
        chained = action.transform(action.transform(matrix, second), first)
        assert difference(chained, action.transform(matrix, product)) < 1e-12


@pytest.mark.parametrize("toy", [diamond, hexagonal])
def test_symmetrized_is_a_projection(toy) -> None:
    crystal, basis, symmetry = complete(toy())
    action = OrbitalSymmetry.of(crystal, symmetry, basis)
    matrix = random_hermitian(basis.sizes, 4)
    mean, change = action.symmetrized(matrix)
    assert change == pytest.approx(difference(mean, matrix), rel=1e-12)
    assert change > 0.1
    assert mean.n_blocks > matrix.n_blocks  # a parallelepiped of cells is not symmetric
    assert mean.hermitian_residual() < 1e-13
    again, second_change = action.symmetrized(mean)
    assert second_change < 1e-13
    assert again.n_blocks == mean.n_blocks
    for operation in range(action.n_operations):
        assert difference(action.transform(mean, operation), mean) < 1e-12
    slow = [action.transform(matrix, operation) for operation in range(action.n_operations)]
    # The projection is the average of the transformed matrices, block by block.
    index = mean.n_blocks // 3
    key = (mean.pairs[index], mean.cells[index])
    block = sum(
        other.block(int(found[0])) / len(slow)
        for other in slow
        if len(
            found := np.flatnonzero(
                (other.pairs == key[0]).all(axis=1) & (other.cells == key[1]).all(axis=1)
            )
        )
    )
    np.testing.assert_allclose(mean.block(index), block, atol=1e-13)


def test_complex_operators() -> None:
    crystal, basis, symmetry = complete(hexagonal())
    action = OrbitalSymmetry.of(crystal, symmetry, basis)
    matrix = random_hermitian(basis.sizes, 4, is_complex=True)
    mean, _ = action.symmetrized(matrix)
    real, _ = action.symmetrized(matrix.with_values(matrix.values.real))
    assert mean.hermitian_residual() < 1e-13
    np.testing.assert_allclose(mean.values.real, real.values, atol=1e-13)


def symmetric_hamiltonian(toy: Toy) -> LocalOrbitalHamiltonian:
    """Return invented H(R) with the full symmetry of the crystal, and the exact overlap."""
    crystal, basis, symmetry = toy
    overlap = analytic_overlap(crystal, basis, reach=3, radius=6.5)
    rng = np.random.default_rng(2)
    wild = overlap.with_values(overlap.values * rng.normal(size=len(overlap.values))).hermitized()
    H, _ = OrbitalSymmetry.of(crystal, symmetry, basis).symmetrized(wild)
    return LocalOrbitalHamiltonian(
        crystal=crystal, basis=basis, hamiltonian=H, overlap=overlap, n_electrons=8, origin=ORIGIN
    )


@pytest.mark.parametrize("toy", [diamond, hexagonal])
def test_bloch_states(toy) -> None:
    full = complete(toy())
    h = symmetric_hamiltonian(full)
    action = OrbitalSymmetry.of(full[0], full[2], full[1])
    k = np.array([0.13, -0.29, 0.41])
    states = solve(h, k)
    for operation in range(action.n_operations):
        image, c = action.coefficients(states.coefficients[0], k, operation)
        H, S = h.at(image)
        np.testing.assert_allclose(H[0] @ c, S[0] @ c * states.energies[0], atol=1e-11)
        np.testing.assert_allclose(c.conj().T @ S[0] @ c, np.eye(c.shape[1]), atol=1e-11)
        one, column = action.coefficients(states.coefficients[0][:, 2], k, operation)
        assert np.array_equal(one, image)
        np.testing.assert_allclose(column, c[:, 2], atol=1e-14)


def test_rotating_the_crystal_keeps_the_energies() -> None:
    crystal, basis = diamond()
    Q = np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))[0]
    k = np.random.default_rng(7).normal(size=(4, 3))
    energies = []
    for lattice in (crystal.lattice, crystal.lattice @ Q.T):
        turned = crystal.replaced(lattice=lattice)
        S = analytic_overlap(turned, basis, reach=3, radius=6.5)
        cells, matrices = S.to_cells()
        # One level per shell: an operator that does not care about directions.
        level = np.array([-1.0, 0.3, 2.0])[basis.l]
        H = LatticeMatrix.from_cells(basis.sizes, cells, matrices * (level[:, None] + level))
        hamiltonian = LocalOrbitalHamiltonian(
            crystal=turned, basis=basis, hamiltonian=H, overlap=S, n_electrons=8, origin=ORIGIN
        )
        energies.append(band_energies(hamiltonian, k))
        action = OrbitalSymmetry.of(turned, find_symmetry(turned), basis)
        assert action.n_operations == 48
        assert action.symmetrized(H)[1] < 1e-12
    np.testing.assert_allclose(energies[0], energies[1], atol=1e-11)


def test_supercell_translations_are_operations() -> None:
    crystal, basis = diamond()
    double = Crystal(
        lattice=crystal.lattice * np.array([[2.0], [1.0], [1.0]]),
        fractional=np.concatenate([crystal.fractional, crystal.fractional + np.eye(3)[0]])
        / [2, 1, 1],
        numbers=np.full(4, 14),
    )
    two = basis_of([14] * 4, {14: [(1, 0), (1, 1), (1, 2)]}, basis.radial, seed=8)
    symmetry = find_symmetry(double)
    action = OrbitalSymmetry.of(double, symmetry, two)
    pure = [
        index for index, rotation in enumerate(symmetry.rotations) if (rotation == np.eye(3)).all()
    ]
    assert len(pure) == 2
    S = analytic_overlap(double, two, reach=3, radius=5.0)
    assert max(difference(action.transform(S, op), S) for op in range(action.n_operations)) < 1e-12


def test_no_symmetry_changes_nothing() -> None:
    crystal, basis, symmetry = complete(triclinic())
    action = OrbitalSymmetry.of(crystal, symmetry, basis)
    matrix = random_hermitian(basis.sizes, 4)
    mean, change = action.symmetrized(matrix)
    assert action.n_operations == 1
    assert change < 1e-14
    np.testing.assert_allclose(mean.values, matrix.values, atol=1e-14)
    empty = matrix.selected(np.zeros(matrix.n_blocks, dtype=bool))
    assert action.symmetrized(empty) == (empty, 0.0)
    assert action.transform(empty, 0).n_blocks == 0


def test_refusals() -> None:
    crystal, basis, symmetry = complete(diamond())
    action = OrbitalSymmetry.of(crystal, symmetry, basis)
    with pytest.raises(ValueError, match="another basis"):
        action.transform(random_hermitian([1, 2], 0), 0)
    with pytest.raises(ValueError, match="onto itself"):
        OrbitalSymmetry.of(crystal.displaced([[0.1, 0, 0], [0, 0, 0]]), symmetry, basis)
    with pytest.raises(ValueError, match="number of atoms"):
        OrbitalSymmetry.of(crystal, symmetry, basis_of([14], {14: [(1, 0)]}, basis.radial))
    unequal = basis_of([14, 8], {14: [(1, 0)], 8: [(1, 1)]}, basis.radial)
    with pytest.raises(ValueError, match="different shells"):
        OrbitalSymmetry.of(crystal, symmetry, unequal)

    def labelled(**labels: list[int]) -> OrbitalBasis:
        n = len(labels["atom"])
        return OrbitalBasis(**{"n": [1] * n, "spin": [0] * n, **labels})

    for wrong, message in (
        (labelled(atom=[0, 0, 1, 1], l=[1] * 4, m=[0, 1, 0, 1]), "each from -l to l"),
        (labelled(atom=[0, 1], l=[-1] * 2, m=[0, 0]), "known angular momentum"),
        (labelled(atom=[0, 0, 1, 1], l=[0] * 4, m=[0] * 4, spin=[1, -1] * 2), "spin-free"),
    ):
        with pytest.raises(ValueError, match=message):
            OrbitalSymmetry.of(crystal, symmetry, wrong)


def test_equal_radial_functions_may_be_stored_twice() -> None:
    crystal, basis, symmetry = complete(diamond())
    n = len(basis.radial)
    twice = OrbitalBasis(
        **{name: getattr(basis, name) for name in ("atom", "n", "l", "m", "spin")},
        radial=(*basis.radial, *basis.radial),
        radial_index=basis.radial_index + n * basis.atom,
    )
    assert OrbitalSymmetry.of(crystal, symmetry, twice).n_operations == 48

"""Small crystals with Gaussian orbitals, and slow reference formulas for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.polynomial.hermite import hermgauss

from elphant.crystal import Crystal
from elphant.orbitals import (
    GaussianRadial,
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)
from elphant.orbitals.harmonics import solid_harmonic_gradients, solid_harmonics

ORIGIN = HamiltonianOrigin(provider="toy", level_of_theory="invented", self_consistent=False)


def gaussian(exponents: Sequence[float], coefficients: Sequence[float], ell: int) -> GaussianRadial:
    return GaussianRadial(exponents=np.array(exponents), coefficients=np.array(coefficients), l=ell)


def basis_of(
    numbers: Sequence[int],
    shells: dict[int, list[tuple[int, int]]],
    radial: tuple[GaussianRadial, ...],
    *,
    seed: int | None = None,
) -> OrbitalBasis:
    """Return a basis; ``shells`` gives (n, number of the radial function) for each element.

    With a ``seed`` the orbitals of each atom come in random order.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for atom, number in enumerate(numbers):
        mine = [
            (atom, n, radial[index].l, m, index)
            for n, index in shells[number]
            for m in range(-radial[index].l, radial[index].l + 1)
        ]
        order = np.arange(len(mine)) if seed is None else rng.permutation(len(mine))
        rows += [mine[i] for i in order]
    atom, n, ell, m, index = np.array(rows).T
    return OrbitalBasis(atom=atom, n=n, l=ell, m=m, spin=0 * n, radial=radial, radial_index=index)


def triclinic() -> tuple[Crystal, OrbitalBasis]:
    """Return two atoms without symmetry, one of them outside the home cell; s, p and d."""
    crystal = Crystal(
        lattice=np.array([[3.1, 0.2, 0.0], [0.4, 2.8, 0.3], [-0.2, 0.5, 3.3]]),
        fractional=np.array([[0.1, -0.2, 0.3], [0.55, 1.4, 0.7]]),
        numbers=np.array([14, 8]),
    )
    radial = (
        gaussian([0.9, 1.4], [0.5, 0.3], 0),
        gaussian([0.8], [0.6], 1),
        gaussian([1.0], [0.7], 2),
    )
    shells = {14: [(1, 0), (1, 1), (1, 2)], 8: [(1, 1), (1, 0)]}
    return crystal, basis_of([14, 8], shells, radial, seed=5)


def diamond() -> tuple[Crystal, OrbitalBasis]:
    """Return the primitive cell of silicon with s, p and d."""
    crystal = Crystal(
        lattice=5.43 / 2 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]),
        fractional=np.array([[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]]),
        numbers=np.array([14, 14]),
    )
    radial = (
        gaussian([0.6, 1.1], [0.4, -0.2], 0),
        gaussian([0.55], [0.5], 1),
        gaussian([0.7], [0.4], 2),
    )
    return crystal, basis_of([14, 14], {14: [(1, 0), (1, 1), (1, 2)]}, radial, seed=3)


def overlap_of_gaussians(
    left: tuple[float, int], right: tuple[float, int], bond: np.ndarray
) -> np.ndarray:
    """Return the exact overlap (2l+1, 2l'+1) of (exponent, l) at 0 and at ``bond``.

    The product of two Gaussians is one about a point between them; the polynomial in front is
    integrated exactly by Gauss-Hermite quadrature.
    """
    (a, la), (b, lb) = left, right
    p = a + b
    x, w = hermgauss(la + lb // 2 + lb % 2 + 1)
    grid = np.stack(np.meshgrid(x, x, x, indexing="ij"), axis=-1).reshape(-1, 3) / np.sqrt(p)
    weights = np.einsum("i,j,k->ijk", w, w, w).ravel() / p**1.5
    points = grid + b / p * bond
    factor = np.exp(-a * b / p * (bond @ bond))
    S, T = solid_harmonics(la, points), solid_harmonics(lb, points - bond)
    return factor * np.einsum("g,gm,gn->mn", weights, S, T)


def analytic_overlap(
    crystal: Crystal, basis: OrbitalBasis, *, reach: int = 4, radius: float = 14.0
) -> LatticeMatrix:
    """Return S(R) of Gaussian orbitals for all atoms within ``radius`` (Å)."""
    cells = np.array(list(np.ndindex(*(3 * [2 * reach + 1])))) - reach
    matrices = np.zeros((len(cells), basis.n_orbitals, basis.n_orbitals))
    kinds: dict[tuple[int, int], list[int]] = {}
    for orbital in range(basis.n_orbitals):
        key = (int(basis.atom[orbital]), int(basis.radial_index[orbital]))
        kinds.setdefault(key, []).append(orbital)
    positions = crystal.positions
    for number, cell in enumerate(cells):
        for (i, ri), left in kinds.items():
            for (j, rj), right in kinds.items():
                bond = positions[j] + cell @ crystal.lattice - positions[i]
                if np.linalg.norm(bond) > radius:
                    continue
                f, g = basis.radial[ri], basis.radial[rj]
                block = sum(
                    c * d * overlap_of_gaussians((a, f.l), (b, g.l), bond)
                    for a, c in zip(f.exponents, f.coefficients, strict=True)
                    for b, d in zip(g.exponents, g.coefficients, strict=True)
                )
                picked = block[basis.m[left] + f.l][:, basis.m[right] + g.l]
                matrices[number][np.ix_(left, right)] = picked
    return LatticeMatrix.from_cells(basis.sizes, cells, matrices)


def random_hermitian(
    sizes: Sequence[int], seed: int, *, reach: int = 1, is_complex: bool = False
) -> LatticeMatrix:
    """Return a hermitian lattice matrix with random blocks in (2 reach + 1)³ cells."""
    rng = np.random.default_rng(seed)
    cells = np.array(list(np.ndindex(*(3 * [2 * reach + 1])))) - reach
    n = int(np.sum(sizes))
    matrices = rng.normal(size=(len(cells), n, n))
    if is_complex:
        matrices = matrices + 1j * rng.normal(size=(len(cells), n, n))
    matrices = 0.5 * (matrices + matrices[::-1].conj().transpose(0, 2, 1))
    return LatticeMatrix.from_cells(sizes, cells, matrices)


@cache
def _triclinic_overlap() -> tuple[Crystal, OrbitalBasis, LatticeMatrix]:
    crystal, basis = triclinic()
    return crystal, basis, analytic_overlap(crystal, basis, reach=3, radius=9.0)


def random_hamiltonian(seed: int, *, n_electrons: float = 4.0) -> LocalOrbitalHamiltonian:
    """Return invented H(R) with the exact overlap of the triclinic toy."""
    crystal, basis, overlap = _triclinic_overlap()
    rng = np.random.default_rng(seed)
    cells, S = overlap.to_cells()
    level = rng.normal(size=basis.n_orbitals)
    H = 0.9 * S * (level[:, None] + level[None])
    return LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=basis,
        hamiltonian=LatticeMatrix.from_cells(basis.sizes, cells, H),
        overlap=overlap,
        n_electrons=n_electrons,
        origin=ORIGIN,
    )


def brute_orbitals(
    crystal: Crystal, basis: OrbitalBasis, points: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return every orbital image (n_cells, n_orbitals, n_points) and its gradient (3, ...)."""
    values = np.zeros((len(cells), basis.n_orbitals, len(points)))
    slopes = np.zeros((3, *values.shape))
    for number, cell in enumerate(cells):
        for orbital in range(basis.n_orbitals):
            radial = basis.radial[basis.radial_index[orbital]]
            centre = crystal.positions[basis.atom[orbital]] + cell @ crystal.lattice
            r = points - centre
            squared = (r * r).sum(axis=1)
            f, slope = radial.evaluate(squared)
            column = basis.l[orbital] + basis.m[orbital]
            S = solid_harmonics(radial.l, r)[:, column]
            gradient = solid_harmonic_gradients(radial.l, r)[:, column]
            inside = squared < radial.cutoff**2
            values[number, orbital] = inside * f * S
            slopes[:, number, orbital] = (
                inside * ((slope * S)[:, None] * r + f[:, None] * gradient).T
            )
    return values, slopes

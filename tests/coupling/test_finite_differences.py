"""The long-range part in supercells: what is taken off is what is added back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from silicon_model import charges, silicon, symmetry_of

from elphant.coupling.finite_differences import (
    compatible_symmetry,
    derivatives_from_supercells,
    displaced_supercell,
    repeated,
    supercell_displacements,
)
from elphant.coupling.vertex import CouplingVertex
from elphant.models.hamiltonians.slater_koster import SlaterKosterProvider
from elphant.orbitals import LatticeMatrix, solve
from elphant.orbitals.derivatives import added

CRYSTAL = silicon(masses=(28.0, 51.0))
SYMMETRY = symmetry_of(CRYSTAL)
REPEATS = (2, 2, 2)
PROVIDER = SlaterKosterProvider("si")
HAMILTONIAN = PROVIDER.predict(CRYSTAL)
K = np.array([0.13, -0.22, 0.31])


@cache
def moved_matrices():
    moves = supercell_displacements(CRYSTAL, SYMMETRY, REPEATS)
    crystals = [displaced_supercell(CRYSTAL, REPEATS, move) for move in moves]
    return moves, [PROVIDER.predict(c).hamiltonian for c in crystals]


def with_dipoles(matrix: LatticeMatrix, move, long_range) -> LatticeMatrix:
    """Return H with the mean potential of both atoms times the overlap."""
    supercell = repeated(CRYSTAL, REPEATS)
    n = supercell.n_atoms // CRYSTAL.n_atoms
    whole = replace(
        long_range,
        crystal=supercell,
        dielectric=replace(
            long_range.dielectric,
            born_charges=np.tile(long_range.dielectric.born_charges, (n, 1, 1)),
        ),
    )
    site = whole.site_potentials(np.zeros((1, 3)))[0, :, move.atom].real @ move.vector
    S = PROVIDER.predict(supercell).overlap
    assert S is not None
    keys = np.hstack([S.pairs, S.cells]).tolist()
    blocks = {tuple(key): S.block(i).ravel() for i, key in enumerate(keys)}
    values = matrix.values.copy()
    for i, (pair, cell) in enumerate(zip(matrix.pairs, matrix.cells, strict=True)):
        block = blocks.pop((*pair.tolist(), *cell.tolist()), None)
        if block is not None:
            part = slice(matrix.offsets[i], matrix.offsets[i + 1])
            values[part] += 0.5 * site[pair].sum() * block
    assert all(np.abs(block).max() < 1e-12 for block in blocks.values())
    return matrix.with_values(values)


def assembled(matrices, long_range=None, **options):
    moves, _ = moved_matrices()
    return derivatives_from_supercells(
        CRYSTAL, SYMMETRY, HAMILTONIAN.basis, REPEATS, moves, matrices,
        overlap=HAMILTONIAN.overlap, overlap_derivative=PROVIDER.overlap_derivative(CRYSTAL),
        long_range=long_range, **options,
    )  # fmt: skip


def test_a_dipole_potential_is_taken_off_exactly():
    long_range = charges(CRYSTAL, 1.5)
    moves, plain = moved_matrices()
    charged = [with_dipoles(H, m, long_range) for m, H in zip(moves, plain, strict=True)]
    expected = assembled(plain, floor=0.0).derivatives.environment
    found = assembled(charged, long_range, floor=0.0)
    kept = assembled(charged, floor=0.0).derivatives.environment
    environment = found.derivatives.environment
    assert found.derivatives.details["long_range_subtracted"]
    assert found.derivatives.details["range_parameter"] == 1.5
    for other, low, high in ((environment, 0.0, 1e-9), (kept, 1e-2, np.inf)):
        rest = added([other, expected.with_values(-expected.values)])
        assert low <= np.abs(rest.values).max() < high
    assert found.sum_rule < 1e-9


@pytest.mark.parametrize("q", [(0.5, 0, 0), (0.5, 0.5, 0), (0, 0.5, 0.5), (0.5, 0.5, 0.5)])
def test_the_range_parameter_cancels_at_commensurate_wave_vectors(q):
    moves, plain = moved_matrices()
    own = charges(CRYSTAL, 1.0)
    charged = [with_dipoles(H, m, own) for m, H in zip(moves, plain, strict=True)]
    totals, shorts = [], []
    initial, final = solve(HAMILTONIAN, K), solve(HAMILTONIAN, K + np.array(q))
    for parameter in (0.5, 1.5):
        long_range = charges(CRYSTAL, parameter)
        vertex = CouplingVertex(HAMILTONIAN, assembled(charged, long_range, floor=0.0).derivatives)
        bras = vertex.bras(final.k_points, final.energies, final.coefficients)
        kets = vertex.kets(initial.k_points, initial.energies, initial.coefficients)
        short = vertex.couple(bras, kets)[0, 0]
        rho = vertex.transition_charges(bras, kets.states)[0, 0]
        W = long_range.site_potentials([q])[0]
        shorts.append(short)
        totals.append(short + np.einsum("mna,akx->mnkx", rho, W))
    assert np.abs(shorts[0] - shorts[1]).max() > 0.05
    np.testing.assert_allclose(totals[0], totals[1], atol=1e-9)


def test_small_blocks_are_left_out_and_counted():
    _, plain = moved_matrices()
    whole, some = assembled(plain, floor=0.0), assembled(plain, floor=0.3)
    assert some.derivatives.environment.n_blocks < whole.derivatives.environment.n_blocks
    assert some.dropped > whole.dropped == 0.0
    assert some.derivatives.details["n_displacements"] == len(moved_matrices()[0])


def test_symmetry_of_a_supercell():
    assert len(compatible_symmetry(SYMMETRY, (2, 2, 2)).rotations) == len(SYMMETRY.rotations)
    fewer = compatible_symmetry(SYMMETRY, (1, 2, 2))
    assert 1 < len(fewer.rotations) < len(SYMMETRY.rotations)
    assert len(supercell_displacements(CRYSTAL, SYMMETRY, (1, 2, 2))) > len(
        supercell_displacements(CRYSTAL, SYMMETRY, (2, 2, 2))
    )

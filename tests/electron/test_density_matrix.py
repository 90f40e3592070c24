"""Density matrix: electron count, symmetry, idempotency, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stored_hamiltonian import stored_hamiltonian

from elphant.crystal import find_symmetry
from elphant.electron.density import density_matrix, electron_count
from elphant.errors import ConfigurationError, PhysicsError
from elphant.orbitals import bloch_sum


@pytest.mark.parametrize(("name", "mesh"), [("si_szv", (4, 4, 4)), ("pbo_szv", (3, 3, 2))])
def test_count_and_symmetry(name, mesh):
    h = stored_hamiltonian(name)
    full = density_matrix(h, mesh)
    assert electron_count(full, h.overlap) == pytest.approx(h.n_electrons, abs=1e-10)
    reduced = density_matrix(h, mesh, symmetry=find_symmetry(h.crystal))
    assert electron_count(reduced, h.overlap) == pytest.approx(h.n_electrons, abs=1e-10)
    np.testing.assert_array_equal(full.pairs, reduced.pairs)
    np.testing.assert_allclose(full.values, reduced.values, atol=1e-6)
    assert full.hermitian_residual() < 1e-12


def test_count_with_another_block_structure():
    h = stored_hamiltonian("si_szv")
    P = density_matrix(h, (3, 3, 3))
    part = P.within(h.crystal.lattice, h.crystal.positions, 5.0)
    S = h.overlap.within(h.crystal.lattice, h.crystal.positions, 5.0)
    assert electron_count(part, h.overlap) == pytest.approx(electron_count(part, S), abs=1e-12)
    assert electron_count(P, S) == pytest.approx(electron_count(part, S), abs=1e-12)


def test_projector_at_the_points_of_the_mesh():
    # P(k) S(k) P(k) = 2 P(k) where the Fourier series of P is that of the mesh: one point.
    h = stored_hamiltonian("si_szv")
    P = density_matrix(h, (1, 1, 1))
    n_occupied = h.n_occupied
    H, S = h.at([[0.0, 0.0, 0.0]])
    home = {tuple(c): i for i, c in enumerate(P.cells.tolist())}
    assert (0, 0, 0) in home
    inverse = np.linalg.inv(np.linalg.cholesky(S[0]))
    vectors = np.linalg.eigh(inverse @ H[0] @ inverse.conj().T)[1]
    c = inverse.conj().T @ vectors[:, :n_occupied]
    expected = 2.0 * (c.conj() @ c.T).real
    starts = P.orbital_starts
    for index in range(P.n_blocks):
        i, j = P.pairs[index]
        block = expected[starts[i] : starts[i] + P.sizes[i], starts[j] : starts[j] + P.sizes[j]]
        np.testing.assert_allclose(P.block(index), block, atol=1e-9)


def test_energy_is_that_of_the_bands():
    h = stored_hamiltonian("si_szv")
    mesh = (3, 3, 3)
    P = density_matrix(h, mesh)
    k = np.array(np.meshgrid(*[np.arange(n) / n for n in mesh])).reshape(3, -1).T
    H, S = h.at(k)
    energies = [np.linalg.eigvals(np.linalg.solve(s, m)).real for m, s in zip(H, S, strict=True)]
    bands = 2.0 * np.mean([np.sort(e)[: h.n_occupied].sum() for e in energies])
    # The trace with H(R) on the blocks of S equals it: H is stored on a subset of them.
    assert electron_count(P, h.hamiltonian) == pytest.approx(bands, abs=1e-6)
    assert bloch_sum(P, [[0.1, 0.2, 0.3]]).shape == (1, h.n_orbitals, h.n_orbitals)


def test_refusals():
    h = stored_hamiltonian("si_szv")
    with pytest.raises(ConfigurationError, match="overlap"):
        density_matrix(replace(h, overlap=None), (2, 2, 2))
    with pytest.raises(PhysicsError, match="metal"):
        density_matrix(replace(h, n_electrons=6.0), (4, 4, 4))

"""The generalised eigenproblem, and the container it starts from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from orbital_toys import ORIGIN, basis_of, random_hamiltonian, random_hermitian, triclinic

from elphant.crystal import Crystal
from elphant.errors import PhysicsError
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    band_energies,
    eigenproblem,
    solve,
)
from elphant.orbitals.bloch import gauge_phases
from elphant.orbitals.eigenproblem import batches, solve_matrices

K = np.random.default_rng(3).normal(size=(7, 3))


def test_states_solve_the_equation() -> None:
    h = random_hamiltonian(0)
    states = solve(h, K)
    H, S = h.at(K)
    for k in range(len(K)):
        c, e = states.coefficients[k], states.energies[k]
        np.testing.assert_allclose(e, scipy.linalg.eigh(H[k], S[k], eigvals_only=True), atol=1e-11)
        np.testing.assert_allclose(H[k] @ c, S[k] @ c * e, atol=1e-11)
        np.testing.assert_allclose(c.conj().T @ S[k] @ c, np.eye(len(e)), atol=1e-11)
    assert (np.diff(states.energies) >= 0).all()
    np.testing.assert_allclose(band_energies(h, K), states.energies, atol=1e-11)
    np.testing.assert_array_equal(states.k_points, K)


def test_energies_are_the_same_in_both_gauges() -> None:
    h = random_hamiltonian(1)
    energies, c = solve_matrices(*h.at(K, gauge="atomic"))
    lattice = solve(h, K)
    np.testing.assert_allclose(energies, lattice.energies, atol=1e-11)
    # c_atomic = e^{-ikτ} c_lattice up to a phase for each state.
    turned = gauge_phases(h.crystal, h.basis.atom, K).conj()[:, :, None] * lattice.coefficients
    S = h.at(K, gauge="atomic")[1]
    overlap = np.abs(np.einsum("kin,kij,kjn->kn", c.conj(), S, turned))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-8)


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    h = random_hamiltonian(2)
    whole = solve(h, K)
    monkeypatch.setattr(eigenproblem, "BATCH_BYTES", 3 * 16 * 13**2)
    assert [(part.start, part.stop) for part in batches(7, 13)] == [(0, 3), (3, 6), (6, 7)]
    np.testing.assert_allclose(solve(h, K).energies, whole.energies, atol=1e-12)
    np.testing.assert_allclose(band_energies(h, K), whole.energies, atol=1e-11)
    monkeypatch.setattr(eigenproblem, "BATCH_BYTES", 1)
    assert len(batches(7, 13)) == 7
    assert band_energies(h, np.zeros((0, 3))).shape == (0, 13)
    assert solve(h, [0.1, 0.2, 0.3]).energies.shape == (1, 13)


def test_orthonormal_orbitals() -> None:
    h = random_hamiltonian(3)
    bare = replace(h, overlap=None, hamiltonian=random_hermitian(h.basis.sizes, 1))
    H, S = bare.at(K)
    assert np.array_equal(S[2], np.eye(13))
    np.testing.assert_allclose(band_energies(bare, K), np.linalg.eigvalsh(H), atol=1e-12)
    with pytest.raises(ValueError, match="needs the overlap"):
        bare.shifted(1.0)


def test_shift_of_the_energy_zero() -> None:
    h = random_hamiltonian(4)
    np.testing.assert_allclose(
        band_energies(h.shifted(1.7), K), band_energies(h, K) + 1.7, atol=1e-10
    )
    fewer = h.overlap.selected(np.arange(h.overlap.n_blocks) > 2)
    with pytest.raises(ValueError, match="same blocks"):
        replace(h, overlap=fewer).shifted(1.0)


def test_chain_of_s_orbitals() -> None:
    # ε(k) = (α + 2β cos ka) / (1 + 2σ cos ka).
    crystal = Crystal(
        lattice=np.diag([2.0, 9.0, 9.0]), fractional=np.zeros((1, 3)), numbers=np.array([1])
    )
    cells = [[0, 0, 0], [1, 0, 0], [-1, 0, 0]]
    H, S = (
        LatticeMatrix.from_cells([1], cells, np.reshape(values, (3, 1, 1)))
        for values in ([-3.0, -0.8, -0.8], [1.0, 0.2, 0.2])
    )
    radial = triclinic()[1].radial
    h = LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=basis_of([1], {1: [(1, 0)]}, radial),
        hamiltonian=H,
        overlap=S,
        n_electrons=2,
        origin=ORIGIN,
    )
    k = np.linspace(-0.5, 0.5, 11)
    cosine = np.cos(2 * np.pi * k)
    np.testing.assert_allclose(
        band_energies(h, np.outer(k, [1, 0, 0]))[:, 0],
        (-3.0 - 1.6 * cosine) / (1 + 0.4 * cosine),
        atol=1e-13,
    )
    assert h.n_occupied == 1


def test_linearly_dependent_orbitals_are_refused() -> None:
    h = random_hamiltonian(5)
    wrong = replace(h, overlap=h.overlap.with_values(-h.overlap.values))
    for function in (solve, band_energies):
        with pytest.raises(PhysicsError, match="not positive definite"):
            function(wrong, K)


def test_electrons_and_sizes() -> None:
    h = random_hamiltonian(6)
    assert (h.n_orbitals, h.spin_degeneracy, h.n_occupied) == (13, 2, 2)
    with pytest.raises(PhysicsError, match="do not fill"):
        _ = replace(h, n_electrons=3.0).n_occupied
    with pytest.raises(ValueError, match="do not fit"):
        replace(h, n_electrons=27.0)
    with pytest.raises(ValueError, match="other numbers of orbitals"):
        replace(h, hamiltonian=random_hermitian([3, 10], 0))
    with pytest.raises(ValueError, match="atoms"):
        replace(h, crystal=h.crystal.replaced(fractional=h.crystal.fractional), basis=basis_of(
            [14], {14: [(1, 0)]}, h.basis.radial))  # fmt: skip


def test_origin_round_trip() -> None:
    origin = HamiltonianOrigin(
        provider="toy", level_of_theory="x", self_consistent=True, details={"a": 1},
        references=("b",),
    )  # fmt: skip
    assert HamiltonianOrigin.from_dict(origin.to_dict()) == origin

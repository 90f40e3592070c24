"""Matrix elements: frozen phonons, sum rules, symmetries, strained cells."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from numpy.typing import NDArray

from elphant.coupling.finite_differences import (
    cells_of,
    derivatives_from_supercells,
    displaced_supercell,
    repeated,
    supercell_displacements,
)
from elphant.coupling.vertex import CouplingVertex, Kets
from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import read_crystal
from elphant.models.hamiltonians.slater_koster import SlaterKosterProvider
from elphant.orbitals import EigenStates, LocalOrbitalHamiltonian, solve
from elphant.orbitals.derivatives import HamiltonianDerivatives

Complex = NDArray[np.complex128]


@pytest.fixture(scope="module")
def provider() -> SlaterKosterProvider:
    return SlaterKosterProvider("si")


@pytest.fixture(scope="module")
def crystal() -> Crystal:
    """Silicon with one atom off its site: no symmetry makes an element vanish."""
    atoms = bulk("Si", a=5.431)
    atoms.positions[1] += [0.03, -0.05, 0.02]
    return read_crystal(atoms)


@pytest.fixture(scope="module")
def hamiltonian(provider: SlaterKosterProvider, crystal: Crystal) -> LocalOrbitalHamiltonian:
    return provider.predict(crystal)


@pytest.fixture(scope="module")
def derivatives(
    provider: SlaterKosterProvider, crystal: Crystal, hamiltonian: LocalOrbitalHamiltonian
) -> HamiltonianDerivatives:
    return HamiltonianDerivatives(
        sizes=hamiltonian.basis.sizes,
        overlap=provider.overlap_derivative(crystal),
        two_centre=provider.hamiltonian_derivative(crystal),
    )


def bras_and_kets(
    vertex: CouplingVertex, final: EigenStates, initial: EigenStates
) -> tuple[object, Kets]:
    return (
        vertex.bras(final.k_points, final.energies, final.coefficients),
        vertex.kets(initial.k_points, initial.energies, initial.coefficients),
    )


def elements(vertex: CouplingVertex, final: EigenStates, initial: EigenStates) -> Complex:
    return vertex.couple(*bras_and_kets(vertex, final, initial))  # type: ignore[arg-type]


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 1, 3)])
def test_frozen_phonon_in_a_supercell(provider, crystal, hamiltonian, derivatives, repeats) -> None:
    q = 1.0 / np.array(repeats) % 1.0
    k = np.array([0.17, -0.23, 0.31])
    initial, final = solve(hamiltonian, k), solve(hamiltonian, k + q)
    vertex = CouplingVertex(hamiltonian, derivatives)
    g = elements(vertex, final, initial)[0, 0]
    cells, n = cells_of(repeats), np.prod(repeats)
    at_rest = repeated(crystal, repeats)
    # k of the supercell; both states fold onto it.
    k_super = k * np.array(repeats)

    def folded(states: EigenStates) -> Complex:
        phases = np.exp(2j * np.pi * (cells @ states.k_points[0])) / np.sqrt(n)
        return np.einsum("r,in->rin", phases, states.coefficients[0]).reshape(-1, g.shape[1])

    left, right = folded(final), folded(initial)
    mean = 0.5 * (final.energies[0][:, None] + initial.energies[0][None])
    atom, direction = 1, np.array([0.3, -0.5, 0.8])

    def slope(pattern: NDArray[np.float64], step: float) -> tuple[Complex, Complex]:
        sides = []
        for sign in (1.0, -1.0):
            shift = np.zeros((at_rest.n_atoms, 3))
            shift[np.arange(len(cells)) * crystal.n_atoms + atom] = (
                sign * step * pattern[:, None] * direction
            )
            sides.append(provider.predict(at_rest.displaced(shift)).at(k_super))
        dH, dS = ((a[0] - b[0]) / (2 * step) for a, b in zip(*sides, strict=True))
        return dH, dS

    wave = np.exp(2j * np.pi * (cells @ q))
    total = 0.0
    for pattern, factor in ((wave.real, 1.0), (wave.imag, 1j)):
        if not np.abs(pattern).max() > 1e-9:
            continue
        # Richardson: the error of the central difference is of fourth order.
        fine, coarse = slope(pattern, 1e-3), slope(pattern, 2e-3)
        dH, dS = ((4 * f - c) / 3 for f, c in zip(fine, coarse, strict=True))
        total = total + factor * (left.conj().T @ dH @ right - mean * (left.conj().T @ dS @ right))
    ours = np.einsum("mnx,x->mn", g[:, :, atom], direction)
    assert np.abs(ours).max() > 1.0
    np.testing.assert_allclose(ours, total, atol=1e-6 * np.abs(ours).max())


def test_translation_of_the_crystal_couples_nothing(hamiltonian, derivatives) -> None:
    states = solve(hamiltonian, [[0.11, 0.27, -0.34]])
    g = elements(CouplingVertex(hamiltonian, derivatives), states, states)[0, 0]
    assert np.abs(g).max() > 1.0
    assert np.abs(g.sum(axis=2)).max() < 1e-12


def test_hermiticity_and_time_reversal(hamiltonian, derivatives) -> None:
    k, other = np.array([[0.1, 0.2, 0.3]]), np.array([[0.4, -0.1, 0.15]])
    a, b = solve(hamiltonian, k), solve(hamiltonian, other)
    for form in ("co-moving", "projected"):
        vertex = CouplingVertex(hamiltonian, derivatives, form)
        forward, backward = elements(vertex, b, a)[0, 0], elements(vertex, a, b)[0, 0]
        np.testing.assert_allclose(forward, backward.swapaxes(0, 1).conj(), atol=1e-12)

    def conjugate(states: EigenStates) -> EigenStates:
        return EigenStates(
            k_points=-states.k_points, energies=states.energies,
            coefficients=states.coefficients.conj(),
        )  # fmt: skip

    vertex = CouplingVertex(hamiltonian, derivatives)
    reversed_ = elements(vertex, conjugate(b), conjugate(a))[0, 0]
    np.testing.assert_allclose(reversed_, elements(vertex, b, a)[0, 0].conj(), atol=1e-12)


def test_energy_zero_does_not_matter(hamiltonian, derivatives) -> None:
    assert derivatives.two_centre is not None
    assert derivatives.overlap is not None
    shift = 7.3
    moved = HamiltonianDerivatives(
        sizes=derivatives.sizes,
        overlap=derivatives.overlap,
        two_centre=tuple(
            h.with_values(h.values + shift * _on_pattern(s, h))
            for h, s in zip(derivatives.two_centre, derivatives.overlap, strict=True)
        ),
    )
    k, other = [[0.1, 0.2, 0.3]], [[0.4, -0.1, 0.15]]
    a, b = solve(hamiltonian, k), solve(hamiltonian, other)
    raised = [
        EigenStates(
            k_points=s.k_points, energies=s.energies + shift, coefficients=s.coefficients
        )
        for s in (a, b)
    ]  # fmt: skip
    for form in ("co-moving", "projected"):
        before = elements(CouplingVertex(hamiltonian, derivatives, form), b, a)
        after = elements(CouplingVertex(hamiltonian, moved, form), raised[1], raised[0])
        np.testing.assert_allclose(after, before, atol=1e-11)


def _on_pattern(matrix, pattern) -> NDArray[np.float64]:
    assert np.array_equal(matrix.pairs, pattern.pairs)
    assert np.array_equal(matrix.cells, pattern.cells)
    return matrix.values


def test_forms_agree_on_the_energy_shell_only(hamiltonian, derivatives) -> None:
    states = solve(hamiltonian, [[0.1, 0.2, 0.3]])
    ours = elements(CouplingVertex(hamiltonian, derivatives), states, states)[0, 0]
    theirs = elements(CouplingVertex(hamiltonian, derivatives, "projected"), states, states)[0, 0]
    diagonal = np.arange(hamiltonian.n_orbitals)
    np.testing.assert_allclose(ours[diagonal, diagonal], theirs[diagonal, diagonal], atol=1e-12)
    assert np.abs(ours - theirs).max() > 0.1


def test_acoustic_limit_is_the_deformation_potential(
    provider, crystal, hamiltonian, derivatives
) -> None:
    k, band = np.array([0.17, -0.23, 0.31]), 4
    q_direction, u = np.array([0.2, 0.5, -0.3]), np.array([0.4, -0.7, 0.2])
    reciprocal = 2 * np.pi * np.linalg.inv(crystal.lattice).T
    slopes = []
    for strain in (1e-4, -1e-4):
        # Strain u_a q_b of everything at the same fractional k: orbitals move with the atoms.
        deformation = np.eye(3) + strain * np.outer(u, q_direction @ reciprocal)
        strained = crystal.replaced(lattice=crystal.lattice @ deformation.T)
        slopes.append(solve(provider.predict(strained), k).energies[0, band])
    potential = (slopes[0] - slopes[1]) / 2e-4
    step = 1e-4
    vertex = CouplingVertex(hamiltonian, derivatives)
    initial, final = solve(hamiltonian, k), solve(hamiltonian, k + step * q_direction)
    g = elements(vertex, final, initial)[0, 0, band, band]
    wave = np.exp(2j * np.pi * step * (crystal.fractional @ q_direction))
    coupling = np.abs(np.einsum("k,kx,x->", wave, g, u)) / step
    assert abs(potential) > 0.1
    assert coupling == pytest.approx(abs(potential), rel=1e-3)


def test_finite_differences_in_a_supercell_give_the_exact_derivatives(provider) -> None:
    crystal = read_crystal(bulk("Si", a=5.431))
    symmetry, repeats = find_symmetry(crystal), (4, 4, 4)
    hamiltonian = provider.predict(crystal)
    exact = HamiltonianDerivatives(
        sizes=hamiltonian.basis.sizes,
        overlap=provider.overlap_derivative(crystal),
        two_centre=provider.hamiltonian_derivative(crystal),
    )
    initial, final = solve(hamiltonian, [[0.1, 0.2, 0.3]]), solve(hamiltonian, [[0.4, -0.1, 0.15]])
    wanted = elements(CouplingVertex(hamiltonian, exact), final, initial)
    errors = []
    for size in (0.02, 0.01):
        moves = supercell_displacements(crystal, symmetry, repeats, size)
        assert len(moves) == 1
        found = derivatives_from_supercells(
            crystal, symmetry, hamiltonian.basis, repeats, moves,
            [provider.predict(displaced_supercell(crystal, repeats, m)).hamiltonian for m in moves],
            overlap=hamiltonian.overlap, overlap_derivative=exact.overlap, floor=0.0,
        )  # fmt: skip
        assert found.sum_rule < 1e-9
        ours = elements(CouplingVertex(hamiltonian, found.derivatives), final, initial)
        errors.append(np.abs(ours - wanted).max())
    # The error of a central difference: a quarter for half the step.
    assert errors[1] < 1e-4 * np.abs(wanted).max()
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)


def test_supercell_of_lower_symmetry_gives_symmetric_derivatives(provider) -> None:
    crystal = read_crystal(bulk("Si", a=5.431))
    symmetry, repeats = find_symmetry(crystal), (4, 4, 5)
    hamiltonian = provider.predict(crystal)
    moves = supercell_displacements(crystal, symmetry, repeats, 0.01)
    assert len(moves) > 1
    found = derivatives_from_supercells(
        crystal, symmetry, hamiltonian.basis, repeats, moves,
        [provider.predict(displaced_supercell(crystal, repeats, m)).hamiltonian for m in moves],
        overlap=hamiltonian.overlap, overlap_derivative=provider.overlap_derivative(crystal),
    )  # fmt: skip
    exact = HamiltonianDerivatives(
        sizes=hamiltonian.basis.sizes,
        overlap=provider.overlap_derivative(crystal),
        two_centre=provider.hamiltonian_derivative(crystal),
    )
    initial, final = solve(hamiltonian, [[0.1, 0.2, 0.3]]), solve(hamiltonian, [[0.4, -0.1, 0.15]])
    ours, wanted = (
        elements(CouplingVertex(hamiltonian, d), final, initial) for d in (found.derivatives, exact)
    )
    np.testing.assert_allclose(ours, wanted, atol=2e-4 * np.abs(wanted).max())


def test_transition_charges_sum_to_the_overlap(hamiltonian) -> None:
    vertex = CouplingVertex(hamiltonian, None)
    states = solve(hamiltonian, [[0.1, 0.2, 0.3]])
    bras, kets = bras_and_kets(vertex, states, states)
    charges = vertex.transition_charges(bras, kets.states)[0, 0]  # type: ignore[arg-type]
    np.testing.assert_allclose(charges.sum(axis=2), np.eye(hamiltonian.n_orbitals), atol=1e-12)
    with pytest.raises(ValueError, match="no derivatives"):
        vertex.couple(bras, kets)  # type: ignore[arg-type]

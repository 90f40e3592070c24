"""States of a window: symmetry, cells, the number of states, and the valleys they belong to."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from random_hamiltonian import cosine_bands, doubled

import elphant.electron.transport.window_search as window_search
from elphant.crystal import Crystal
from elphant.crystal.symmetry import find_symmetry
from elphant.electron.band_edges import edge_interpolation, find_band_edges
from elphant.electron.transport.valleys import find_valleys
from elphant.electron.transport.window import window_states
from elphant.electron.velocity import velocities
from elphant.errors import PhysicsError
from elphant.grids import irreducible_mesh
from elphant.models.hamiltonians.slater_koster.provider import SlaterKosterProvider
from elphant.orbitals import OrbitalBasis, band_energies, solve
from elphant.units import HBAR_EV_PS

A = 5.43
FACE_CENTRED = 0.5 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
MESH, WIDTH = (12, 12, 12), 0.4
CARRIERS = pytest.mark.parametrize("carrier", ["electron", "hole"])


@functools.cache
def silicon(conventional: bool = False):
    """Hamiltonian, symmetry and edges of silicon in the primitive or the cubic cell."""
    shifts = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    if conventional:
        fractional = [np.add(s, t) for s in shifts for t in ([0, 0, 0], [0.25] * 3)]
        crystal = Crystal(lattice=A * np.eye(3), fractional=fractional, numbers=[14] * 8)
    else:
        crystal = Crystal(
            lattice=A * FACE_CENTRED, fractional=[[0, 0, 0], [0.25] * 3], numbers=[14, 14]
        )
    h = SlaterKosterProvider("si").predict(crystal)
    symmetry = find_symmetry(crystal)
    return h, symmetry, find_band_edges(h, (6, 6, 6), symmetry)


@functools.cache
def states(carrier, symmetric=True, mesh=MESH, width=WIDTH):
    h, symmetry, edges = silicon()
    return window_states(h, symmetry if symmetric else None, mesh, carrier, width, edges=edges)


def squares(window):
    """Sum of v⊗v over all states of the mesh, Å²/ps²."""
    space = window.state_space()
    v = space.velocities
    tensors = space.velocity_spread + v[:, :, None] * v[:, None]
    return np.einsum("n,nab->ab", space.weights, space.star_mean(tensors))


@CARRIERS
def test_the_window_holds_the_states_of_a_brute_force_count(carrier):
    h, _, edges = silicon()
    window = states(carrier)
    k = irreducible_mesh(MESH, time_reversal=False).full_points
    energies = band_energies(h, k)
    if carrier == "electron":
        inside = energies[:, 4:] - edges.conduction.energy <= WIDTH
    else:
        inside = edges.valence.energy - energies[:, :4] <= WIDTH
    assert 0 < inside.sum() == window.n_states == len(window.full_states)
    assert inside.any(axis=1).sum() == window.n_points
    assert window.n_mesh == len(k)
    assert window.weights.sum() == pytest.approx(inside.sum() / len(k), rel=1e-12)
    assert window.state_space().star_sizes == pytest.approx(window.weights * window.n_mesh)
    # One point of each star was diagonalised.
    assert window.n_diagonalised == len(window.irreducible) < window.n_points / 10


@CARRIERS
def test_carried_states_are_eigenstates(carrier):
    h, _, _ = silicon()
    window = states(carrier)
    assert window.rotated
    assert window.residual < 1e-10
    H, S = h.at(window.k_points)
    c = window.coefficients
    rest = H @ c - (S @ c) * window.energies[:, None]
    assert np.abs(rest).max() < 1e-10
    overlap = np.swapaxes(c.conj(), 1, 2) @ S @ c
    assert np.abs(overlap - np.eye(c.shape[2])).max() < 1e-10
    first, last = window.bands
    exact = solve(h, window.k_points)
    assert window.energies == pytest.approx(exact.energies[:, first:last], abs=1e-10)
    # Of whole sets: the last band listed may have a partner that is not.
    v = velocities(h, exact)[:, first:last] / HBAR_EV_PS
    assert np.abs(window.velocities - v)[window.inside].max() < 1e-6


@CARRIERS
def test_stars_have_one_energy_and_turned_velocities(carrier):
    window = states(carrier)
    own = window.irreducible[window.representative]
    assert np.array_equal(window.energies, window.energies[own])
    assert np.array_equal(window.inside, window.inside[own])
    moved = np.einsum("gab,pb->gpa", window.operations, window.addresses[window.irreducible])
    images = moved[window.operation, window.representative]
    assert np.array_equal(np.mod(images, window.divisions), window.addresses)
    turned = np.einsum(
        "pab,pnb->pna", window.rotations_cartesian[window.operation], window.velocities[own]
    )
    assert window.velocities == pytest.approx(turned, abs=1e-9)
    speeds = np.linalg.norm(window.velocities, axis=2)
    assert speeds == pytest.approx(speeds[own], rel=1e-12, abs=1e-9)
    # Whichever operation leads to a point, the velocity is the same.
    space = window.state_space()
    projected = np.einsum("nab,nb->na", space.state_projections, space.velocities)
    assert projected == pytest.approx(space.velocities, abs=1e-9)


@CARRIERS
def test_symmetry_changes_nothing(carrier):
    with_symmetry, without = states(carrier), states(carrier, symmetric=False)
    assert np.array_equal(with_symmetry.addresses, without.addresses)
    assert np.array_equal(with_symmetry.inside, without.inside)
    assert with_symmetry.energies == pytest.approx(without.energies, abs=1e-12)
    inside = with_symmetry.inside
    assert with_symmetry.velocities[inside] == pytest.approx(without.velocities[inside], abs=1e-5)
    assert len(without.irreducible) > 5 * len(with_symmetry.irreducible)
    assert squares(with_symmetry) == pytest.approx(squares(without), rel=1e-8, abs=1e-2)
    # Cubic by construction.
    tensor = squares(with_symmetry)
    assert np.abs(tensor - np.eye(3) * tensor[0, 0]).max() < 1e-10 * tensor[0, 0]


@CARRIERS
def test_cells_of_one_crystal_have_the_same_states(carrier):
    small = states(carrier)
    h, symmetry, edges = silicon(conventional=True)
    large = window_states(h, symmetry, (6, 6, 6), carrier, WIDTH, edges=edges)
    assert large.edge == pytest.approx(small.edge, abs=1e-8)
    assert large.residual < 1e-9
    found = np.sort(large.energies[large.inside])
    assert len(found) > 10
    assert found == pytest.approx(folded_energies(carrier, 6), abs=1e-9)


def folded_energies(carrier, n):
    """Energies in the window at the points of an n³ mesh of the cubic cell, from the small one."""
    h, _, edges = silicon()
    grid = np.stack(np.meshgrid(*[np.arange(2 * n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    # A box of 2 x 2 x 2 cubic reciprocal cells holds each point of the primitive one twice.
    k = (grid / n) @ FACE_CENTRED.T
    wrapped = np.round(k - np.floor(k + 1e-9), 9)
    _, chosen = np.unique(wrapped, axis=0, return_index=True)
    energies = band_energies(h, k[chosen])
    if carrier == "electron":
        return np.sort(energies[:, 4:][energies[:, 4:] - edges.conduction.energy <= WIDTH])
    return np.sort(energies[:, :4][edges.valence.energy - energies[:, :4] <= WIDTH])


def test_a_set_at_the_top_of_the_window_is_not_cut():
    h, symmetry, edges = silicon()
    # The valence top is threefold; along the axes two bands stay together.
    window = states("hole")
    gaps = np.diff(window.energies, axis=1) < 1e-4
    assert gaps.any()
    for width in -np.sort(window.energies[gaps.any(axis=1)].ravel() - window.edge)[::7]:
        if width <= 1e-3:
            continue
        found = window_states(h, symmetry, MESH, "hole", float(width), edges=edges)
        pairs = np.diff(found.energies, axis=1) < 1e-4
        assert np.array_equal(found.inside[:, 1:][pairs], found.inside[:, :-1][pairs])


@CARRIERS
def test_points_found_with_an_interpolation_are_those_of_exact_energies(carrier, monkeypatch):
    h, symmetry, edges = silicon()
    monkeypatch.setattr(window_search, "EXACT_COST", 0.0)
    calls = []
    found = window_states(
        h, symmetry, MESH, carrier, WIDTH, edges=edges,
        interpolation=edge_interpolation(h, (6, 6, 6), symmetry),
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    expected = states(carrier)
    assert np.array_equal(found.addresses, expected.addresses)
    assert np.array_equal(found.inside, expected.inside)
    assert found.energies == pytest.approx(expected.energies, abs=1e-10)
    n_irreducible = irreducible_mesh(MESH, symmetry.rotations).n_points
    assert len(found.irreducible) <= found.n_diagonalised < n_irreducible
    assert calls[-1][0] == calls[-1][1] == found.n_diagonalised


def test_every_second_point_is_the_coarser_mesh():
    coarse = states("electron", mesh=(6, 6, 6))
    subset = states("electron").coarsened((2, 2, 2))
    assert np.array_equal(subset.addresses, coarse.addresses)
    assert subset.energies == pytest.approx(coarse.energies, abs=1e-10)
    assert subset.weights.sum() == pytest.approx(coarse.weights.sum())
    assert np.abs(squares(subset) - squares(coarse)).max() < 1e-8 * squares(coarse).max()
    own = subset.irreducible[subset.representative]
    assert np.array_equal(subset.energies, subset.energies[own])
    with pytest.raises(ValueError, match="do not divide"):
        states("electron").coarsened((5, 1, 1))
    with pytest.raises(ValueError, match="lacks the symmetry"):
        states("electron").coarsened((2, 1, 1))


def test_edges_are_found_where_none_are_given():
    h, symmetry, _ = silicon()
    found = window_states(h, symmetry, (6, 6, 6), "electron", WIDTH)
    expected = states("electron", mesh=(6, 6, 6))
    assert found.edge == pytest.approx(expected.edge, abs=1e-7)
    assert np.array_equal(found.addresses, expected.addresses)


def test_orbitals_that_cannot_be_turned():
    known = cosine_bands(np.diag([3.0, 4.0, 6.0]), np.array([0.5, 0.3, 0.2]))
    basis = OrbitalBasis(atom=[0, 0], n=[1, 2], l=[-1, -1], m=[0, 0], spin=[0, 0])
    h = replace(known, basis=basis)
    symmetry = find_symmetry(h.crystal)
    window, expected = (
        window_states(cell, symmetry, (8, 8, 8), "electron", 0.57) for cell in (h, known)
    )
    assert expected.rotated
    assert not window.rotated
    assert window.n_diagonalised >= window.n_points
    assert np.array_equal(window.energies, expected.energies)
    assert window.velocities == pytest.approx(expected.velocities, abs=1e-9)
    H, S = h.at(window.k_points)
    rest = H @ window.coefficients - (S @ window.coefficients) * window.energies[:, None]
    assert np.abs(rest).max() < 1e-10


def test_a_supercell_has_the_same_sums():
    h = cosine_bands(np.diag([3.0, 4.0, 6.0]), np.array([0.5, 0.3, 0.2]))
    two = doubled(h, 2)
    windows = [
        window_states(cell, find_symmetry(cell.crystal), mesh, "hole", 0.57)
        for cell, mesh in ((h, (8, 8, 8)), (two, (8, 8, 4)))
    ]
    assert [w.residual < 1e-9 for w in windows] == [True, True]
    per_volume = [squares(w) / w.state_space().volume for w in windows]
    assert per_volume[0] == pytest.approx(per_volume[1], rel=1e-9, abs=1e-9 * per_volume[0].max())
    assert windows[1].n_states == windows[0].n_states


def test_impossible_windows_are_refused():
    h, symmetry, edges = silicon()
    with pytest.raises(ValueError, match="not positive"):
        window_states(h, symmetry, MESH, "hole", 0.0, edges=edges)
    with pytest.raises(PhysicsError, match="no electron state"):
        window_states(h, symmetry, (2, 2, 2), "electron", 1e-3, edges=edges)


def test_valleys_of_silicon():
    _, _, edges = silicon()
    window = states("electron", mesh=(24, 24, 24), width=0.2)
    valleys = find_valleys(window, edges)
    assert valleys.n_valleys == 6
    assert (valleys.extremum == 0).all()
    counts = np.bincount(valleys.labels, minlength=6)
    assert counts.min() > 0.8 * counts.max() > 0
    # Points near a minimum belong to it.
    for number, k in enumerate(valleys.k_points):
        offset = window.k_points - k
        near = np.abs(offset - np.rint(offset)).max(axis=1) < 0.05
        assert near.any()
        assert (valleys.labels[near] == number).all()
    holes = find_valleys(states("hole"), edges)
    assert holes.n_valleys == 1
    assert not holes.labels.any()


def test_opposite_points_belong_to_opposite_valleys():
    window = states("electron", mesh=(24, 24, 24), width=0.2)
    _, _, edges = silicon()
    labels = find_valleys(window, edges).labels
    # k and -k belong to opposite valleys, but for points on the ridge.
    flat = {tuple(a): i for i, a in enumerate(window.addresses.tolist())}
    opposite = [flat[tuple(a)] for a in np.mod(-window.addresses, 24).tolist()]
    assert (labels != labels[opposite]).mean() > 0.95

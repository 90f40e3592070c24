"""Meaning of attractors, bond valences, off-centring, orbital character, grid files."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from stored_hamiltonian import stored_hamiltonian

from elphant.crystal import Crystal, find_symmetry
from elphant.electron.density import (
    Basins,
    bond_valence,
    classify_attractors,
    cube_text,
    find_lone_pairs,
    off_centring,
    orbital_character,
    xsf_text,
)
from elphant.electron.density.bond_valence import PAIR_R0, formula_length, reference_length
from elphant.electron.density.lone_pairs import axis_angles
from elphant.errors import ModelError
from elphant.orbitals import OrbitalBasis

BOX = 8.0


def basins_at(points, heights, spreads=None):
    n = len(points)
    return Basins(
        positions=np.asarray(points) / BOX % 1.0,
        maxima=heights,
        persistence=np.full(n, 0.5),
        spreads=np.zeros(n) if spreads is None else spreads,
        populations=np.full(n, 2.0),
        volumes=np.ones(n),
        level_volumes=np.ones((1, n)),
        levels=[0.5],
        labels=np.zeros((80, 80, 80)),
    )


def water():
    angle, r = np.radians(104.5 / 2), 0.9572
    h = r * np.array([np.sin(angle), 0.0, np.cos(angle)])
    return Crystal(
        lattice=np.eye(3) * BOX,
        fractional=np.array([[0.0, 0.0, 0.0], h, h * [-1, 1, 1]]) / BOX,
        numbers=[8, 1, 1],
    )


def test_water_and_its_two_equivalent_lone_pairs():
    crystal = water()
    h = crystal.positions[1]
    lone = np.array([0.0, 0.465, -0.4])
    points = [
        0.95 * h,
        crystal.positions[2] * 1.06,
        lone,
        lone * [1, -1, 1],
        [0.0, 0.0, 0.1],
        [4.0, 4.0, 4.0],
        [0.0, 0.0, 0.02],
    ]
    found = basins_at(points, [1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.8], [0, 0, 0, 0, 0, 0, 0.6])
    kinds = classify_attractors(crystal, found)
    assert [a.kind for a in kinds] == [
        "bond",
        "bond",
        "lone_pair",
        "lone_pair",
        "core",
        "other",
        "other",
    ]
    assert [a.atoms for a in kinds[:3]] == [(1, 0), (2, 0), (0,)]
    np.testing.assert_allclose(kinds[2].vector, lone, atol=1e-12)
    assert len(find_lone_pairs(crystal, found, kinds)) == 2
    pairs = find_lone_pairs(
        crystal, found, kinds, symmetry=find_symmetry(crystal), valences=bond_valence(crystal)
    )
    assert len(pairs) == 1
    assert pairs[0].equivalent_atoms == (0, 0)
    np.testing.assert_allclose(pairs[0].vectors, [lone, lone * [1, -1, 1]], atol=1e-9)
    expected = np.degrees(np.arctan2(0.465, 0.4))
    assert pairs[0].vacancy_angle == pytest.approx(expected, abs=1e-6)


def test_attractors_do_not_depend_on_frame_or_cell():
    crystal = water()
    found = basins_at([[0.0, 0.465, -0.4]], [0.9])
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = crystal.replaced(lattice=crystal.lattice @ q.T)
    one, other = classify_attractors(crystal, found)[0], classify_attractors(turned, found)[0]
    assert one.kind == other.kind
    np.testing.assert_allclose(q @ one.vector, other.vector, atol=1e-12)


def test_axis_angles_of_lines():
    crystal = Crystal(
        lattice=[[2, 0, 0], [-1, np.sqrt(3), 0], [0, 0, 3]], fractional=[[0, 0, 0]], numbers=[14]
    )
    np.testing.assert_allclose(axis_angles(crystal, [-1.0, 0.0, 0.0]), [0.0, 60.0, 90.0], atol=1e-9)


def test_reference_lengths():
    assert reference_length("Se", "Sb") == 2.60
    for pair, value in PAIR_R0.items():
        assert formula_length(*pair) == pytest.approx(value, abs=0.08)
        assert formula_length(*pair) == formula_length(*pair[::-1])
    assert reference_length("Ga", "As") == pytest.approx(2.34, abs=0.01)
    with pytest.raises(ModelError, match="Kr"):
        reference_length("Kr", "F")


def test_bond_valence_of_symmetric_and_open_sites():
    h = stored_hamiltonian("pbo_szv")
    found = bond_valence(h.crystal)
    np.testing.assert_allclose(found.sums[:2], found.sums[0])
    assert found.sums[:2].sum() == pytest.approx(found.sums[2:].sum(), rel=1e-12)
    assert 1.8 < found.sums[0] < 2.5
    np.testing.assert_allclose(found.vectors[2:], 0.0, atol=1e-9)  # oxygen is in a tetrahedron
    np.testing.assert_allclose(found.vectors[0][:2], 0.0, atol=1e-9)
    assert found.vectors[0][2] > 0.5
    silicon = bond_valence(stored_hamiltonian("si_szv").crystal, {("Si", "Si"): 2.3517})
    # Four bonds of valence 1; the twelve second neighbours add 0.21.
    np.testing.assert_allclose(silicon.sums, 4.0 + 12 * np.exp((2.3517 - 3.8403) / 0.37), atol=1e-3)
    np.testing.assert_allclose(silicon.vectors, 0.0, atol=1e-9)


def test_off_centring():
    rocksalt = Crystal(
        lattice=np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.9,
        fractional=[[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]],
        numbers=[50, 34],
    )
    middle = off_centring(rocksalt, 0)
    assert middle.coordination == 6
    assert middle.length < 1e-9
    moved = rocksalt.displaced([[0.0, 0.0, 0.1], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(off_centring(moved, 0).displacement, [0, 0, 0.1], atol=1e-9)


def test_orbital_character():
    h = stored_hamiltonian("pbo_szv")
    symmetry = find_symmetry(h.crystal)
    for window in (2.0, 1000.0):
        full = orbital_character(h, (3, 3, 2), window=window)
        assert full.weights.sum() == pytest.approx(1.0, abs=1e-10)
        reduced = orbital_character(h, (3, 3, 2), window=window, symmetry=symmetry)
        np.testing.assert_allclose(full.weights, reduced.weights, atol=1e-6)
        np.testing.assert_allclose(full.mixing, reduced.mixing, atol=1e-5)
        np.testing.assert_allclose(full.overlap, reduced.overlap, atol=1e-5)
        assert ((full.mixing >= 0.0) & (full.mixing <= 1.0)).all()
    assert full.n_states == pytest.approx(h.n_occupied)
    bare = stored_hamiltonian("si_szv")
    labels = {name: getattr(bare.basis, name) for name in ("atom", "n", "spin")}
    basis = OrbitalBasis(**labels, l=np.full(8, -1), m=np.zeros(8))
    with pytest.raises(ValueError, match="angular momentum"):
        orbital_character(replace(bare, basis=basis), (2, 2, 2))


def test_cube_reads_back():
    from ase.io.cube import read_cube

    h = stored_hamiltonian("pbo_szv")
    values = np.random.default_rng(0).random((4, 5, 7))
    data = read_cube(io.StringIO(cube_text(h.crystal, values, "a density")), read_data=True)
    np.testing.assert_allclose(data["data"], values, rtol=1e-5)
    np.testing.assert_allclose(data["atoms"].cell.array, h.crystal.lattice, atol=1e-5)
    np.testing.assert_allclose(data["atoms"].positions, h.crystal.positions, atol=1e-6)
    np.testing.assert_array_equal(data["atoms"].numbers, h.crystal.numbers)


def test_xsf_reads_back():
    from ase.io.xsf import read_xsf

    crystal = stored_hamiltonian("si_szv").crystal
    values = np.random.default_rng(0).random((4, 5, 7))
    text = io.StringIO(xsf_text(crystal, values, "ELF"))
    data, origin, _, atoms = read_xsf(text, read_data=True)
    np.testing.assert_allclose(data[:-1, :-1, :-1], values, rtol=1e-5)
    np.testing.assert_allclose(data[-1], data[0], rtol=1e-12)
    np.testing.assert_allclose(atoms.cell.array, crystal.lattice, atol=1e-8)
    np.testing.assert_allclose(origin, 0.0)

"""ELF: analytic limits, units, symmetry of the grid, silicon, and the lone pair of litharge."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
from stored_hamiltonian import stored_hamiltonian

from elphant.crystal import Crystal, find_symmetry
from elphant.electron.density import (
    bond_valence,
    classify_attractors,
    density_matrix,
    electron_localization,
    find_lone_pairs,
    grid_shape,
    localization_basins,
    localization_function,
    orbital_character,
)
from elphant.electron.density.localization import irreducible_points
from elphant.errors import ConfigurationError


def test_one_orbital_is_perfectly_localized():
    # One doubly occupied orbital: τ = |∇n|²/(8n) exactly, hydrogenic and Gaussian.
    r = np.random.default_rng(1).normal(size=(200, 3))
    for psi, gradient in (
        (lambda d: np.exp(-d), lambda d, v: -np.exp(-d)[:, None] * v / d[:, None]),
        (lambda d: np.exp(-(d**2)), lambda d, v: -2.0 * np.exp(-(d**2))[:, None] * v),
    ):
        d = np.linalg.norm(r, axis=1)
        value, slope = psi(d), gradient(d, r)
        n, grad = 2.0 * value**2, 4.0 * value[:, None] * slope
        tau = (slope**2).sum(axis=1)  # ½ · 2 electrons
        np.testing.assert_allclose(localization_function(n, grad, tau), 1.0, atol=1e-10)


def test_homogeneous_gas_is_one_half():
    for k_fermi in (0.3, 1.0, 4.0):
        n = k_fermi**3 / (3.0 * pi**2)
        tau = 2.0 / (2.0 * pi) ** 3 * 4.0 * pi * k_fermi**5 / 5.0 / 2.0  # ½ ∫ k² over the sphere
        elf = localization_function(n, np.zeros(3), tau)
        assert float(elf) == pytest.approx(0.5, abs=1e-12)


def test_unit_of_length_drops_out():
    rng = np.random.default_rng(2)
    n, grad, tau = rng.random(50) + 0.1, rng.normal(size=(50, 3)), rng.random(50) + 5.0
    s = 0.529
    np.testing.assert_allclose(
        localization_function(n, grad, tau),
        localization_function(n * s**3, grad * s**4, tau * s**5),
        atol=1e-12,
    )


def test_floor():
    elf = localization_function(
        [1e-5, 0.0, 1.0], np.zeros((3, 3)), [1.0, 1.0, 1.0], density_floor=1e-4
    )
    assert (elf[:2] == 0.0).all()
    assert elf[2] > 0.0


def test_grid_follows_the_symmetry():
    lattice = np.diag([4.0, 4.03, 6.1])
    crystal = Crystal(lattice=lattice, fractional=[[0.0, 0.0, 0.0]], numbers=[14])
    assert grid_shape(crystal, 0.5) == (8, 9, 13)
    h = stored_hamiltonian("pbo_szv")
    shape = np.array(grid_shape(h.crystal, 0.21, find_symmetry(h.crystal)))
    assert shape[0] == shape[1]
    assert (shape[:2] % 2 == 0).all()  # the glide moves by half a cell
    first, index = irreducible_points(shape, find_symmetry(h.crystal))
    assert len(first) < shape.prod() / 10
    assert (first[index][first] == first).all()
    with pytest.raises(ConfigurationError, match="spacing"):
        grid_shape(crystal, 0.0)


def test_symmetry_only_saves_time():
    h = stored_hamiltonian("si_szv")
    symmetry = find_symmetry(h.crystal)
    P = density_matrix(h, (3, 3, 3), symmetry=symmetry)
    fields = [
        electron_localization(h.crystal, h.basis, P, 8.0, shape=(10, 10, 10), symmetry=s)
        for s in (None, symmetry)
    ]
    np.testing.assert_allclose(fields[0].density, fields[1].density, atol=1e-6)
    np.testing.assert_allclose(fields[0].elf, fields[1].elf, atol=1e-5)


def test_silicon_bond():
    h = stored_hamiltonian("si_dzvp")
    symmetry = find_symmetry(h.crystal)
    P = density_matrix(h, (4, 4, 4), symmetry=symmetry)
    fields = electron_localization(
        h.crystal, h.basis, P, 8.0, shape=(24, 24, 24), symmetry=symmetry
    )
    assert fields.integral == pytest.approx(8.0, abs=1e-4)
    basins = localization_basins(fields)
    attractors = classify_attractors(h.crystal, basins)
    assert [a.kind for a in attractors] == ["bond"] * 4
    assert all(set(a.atoms) == {0, 1} for a in attractors)
    np.testing.assert_allclose(basins.populations, 2.0, atol=1e-6)
    assert basins.populations.sum() == pytest.approx(8.0, abs=1e-4)
    np.testing.assert_allclose(basins.volumes, h.crystal.volume / 4.0, atol=1e-6)
    np.testing.assert_allclose(basins.maxima, 0.96, atol=0.01)
    # The bond through the home cell: its middle is a grid point.
    middle = np.linalg.norm(basins.positions - 0.125, axis=1).min()
    assert middle < 1e-6
    assert fields.elf[3, 3, 3] == pytest.approx(0.963, abs=2e-3)


def test_lone_pair_of_litharge():
    h = stored_hamiltonian("pbo_szv")
    crystal, symmetry = h.crystal, find_symmetry(h.crystal)
    P = density_matrix(h, (4, 4, 3), symmetry=symmetry)
    fields = electron_localization(crystal, h.basis, P, 20.0, spacing=0.13, symmetry=symmetry)
    basins = localization_basins(fields)
    assert basins.populations.sum() == pytest.approx(20.0, abs=2e-3)
    assert basins.populations.sum() == pytest.approx(fields.integral, abs=1e-9)
    attractors = classify_attractors(crystal, basins)
    assert sorted({a.kind for a in attractors}) == ["bond", "lone_pair"]
    pairs = find_lone_pairs(
        crystal,
        basins,
        attractors,
        symmetry=symmetry,
        valences=bond_valence(crystal),
        character=orbital_character(h, (4, 4, 3), symmetry=symmetry),
    )
    assert [pair.symbol for pair in pairs] == ["Pb"]
    pair = pairs[0]
    assert pair.multiplicity == 2
    assert sorted(pair.equivalent_atoms) == [0, 1]
    np.testing.assert_allclose(pair.axis_angles, [90.0, 90.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(pair.vectors.sum(axis=0), 0.0, atol=1e-6)
    assert pair.vacancy_angle == pytest.approx(0.0, abs=1e-3)
    assert pair.distance == pytest.approx(1.0, abs=0.05)
    assert pair.population == pytest.approx(3.07, abs=0.03)
    assert pair.elf_maximum > 0.97
    assert pair.off_centring.coordination == 4
    assert pair.off_centring.displacement[2] == pytest.approx(0.2385 * 5.023, abs=1e-6)
    record = pair.to_dict()
    assert record["angles"]["c"] == pytest.approx(0.0, abs=1e-4)
    assert record["sp_mixing"]["overlap"] < 0.0  # antibonding with oxygen p
    oxygen = {
        round(float(n), 6)
        for n, a in zip(basins.populations, attractors, strict=True)
        if a.kind == "bond"
    }
    assert len(oxygen) == 1

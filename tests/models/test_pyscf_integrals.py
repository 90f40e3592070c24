"""Orbitals and analytic integrals against PySCF's own lattice sums, and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from pyscf_crystals import low_symmetry, silicon, zincblende

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.hamiltonians.protocol import DifferentiableOverlap
from elphant.models.hamiltonians.pyscf import PySCFProvider, PySCFSettings
from elphant.models.hamiltonians.pyscf.cell import (
    load_species,
    orbital_basis,
    periodic_cell,
    species_molecule,
)
from elphant.models.hamiltonians.pyscf.local_potential import Functional
from elphant.models.hamiltonians.pyscf.one_electron import OneElectronIntegrals
from elphant.orbitals import bloch_sum
from elphant.orbitals.harmonics import solid_harmonics
from elphant.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

pytest.importorskip("pyscf")
pytestmark = pytest.mark.pyscf

K_POINTS = np.array([[0.13, 0.27, -0.41], [0.0, 0.5, 0.31]])
BASIS, PSEUDO = "gth-dzvp-molopt-sr", "gth-pbe"


@pytest.fixture(scope="module")
def integrals() -> OneElectronIntegrals:
    crystal = low_symmetry()
    species = load_species(crystal, BASIS, PSEUDO)
    return OneElectronIntegrals(crystal, species, orbital_basis(crystal, species))


@pytest.fixture(scope="module")
def cell(integrals: OneElectronIntegrals):
    cell = periodic_cell(integrals.crystal, integrals.species, PSEUDO)
    cell.precision = 1e-13
    return cell.build(False, False)


def test_orbitals_have_pyscfs_values() -> None:
    crystal = zincblende((31, 33), 5.65)
    species = load_species(crystal, BASIS, PSEUDO)
    basis = orbital_basis(crystal, species)
    molecule = species_molecule(species)
    points = np.random.default_rng(0).normal(scale=3.0, size=(40, 3))
    values = []
    for orbital in range(basis.n_orbitals):
        centre = molecule.atom_coord(int(basis.atom[orbital]))
        r = (points - centre) * ANGSTROM_PER_BOHR
        radial = basis.radial[basis.radial_index[orbital]]
        ell = int(basis.l[orbital])
        harmonic = solid_harmonics(ell, r)[:, int(basis.m[orbital]) + ell]
        values.append(radial.evaluate((r**2).sum(axis=1))[0] * harmonic)
    expected = molecule.eval_gto("GTOval_sph", points) / ANGSTROM_PER_BOHR**1.5
    np.testing.assert_allclose(np.array(values).T, expected, atol=1e-10)
    assert sorted(set(basis.l.tolist())) == [0, 1, 2, 3]


def test_overlap_and_kinetic_energy_against_lattice_sums(integrals, cell) -> None:
    k = cell.get_abs_kpts(K_POINTS)
    for matrix, name, unit in (
        (integrals.overlap(), "int1e_ovlp", 1.0),
        (integrals.kinetic(), "int1e_kin", EV_PER_HARTREE),
    ):
        expected = np.array(cell.pbc_intor(name, kpts=k))
        np.testing.assert_allclose(bloch_sum(matrix, K_POINTS) / unit, expected, atol=1e-8)
        assert matrix.hermitian_residual() < 1e-12


def test_nonlocal_pseudopotential_against_lattice_sums(integrals, cell) -> None:
    from pyscf.pbc.gto.pseudo.pp_int import get_pp_nl

    matrix = integrals.nonlocal_pseudopotential()
    expected = get_pp_nl(cell, cell.get_abs_kpts(K_POINTS))
    ours = bloch_sum(matrix, K_POINTS) / EV_PER_HARTREE
    np.testing.assert_allclose(ours, expected, atol=1e-8)


def test_position_of_an_orbital_pair_follows_the_origin(integrals) -> None:
    crystal, shift = integrals.crystal, np.array([0.7, -0.4, 1.1])
    moved = OneElectronIntegrals(
        crystal.displaced(np.tile(shift, (2, 1))), integrals.species, integrals.basis
    )
    overlap = integrals.overlap()
    for axis in range(3):
        change = moved.position()[axis].values - integrals.position()[axis].values
        np.testing.assert_allclose(change, shift[axis] * overlap.values, atol=1e-10)
    x = integrals.position()[0]
    s_orbital = int(np.flatnonzero((x.pairs == 0).all(axis=1) & (x.cells == 0).all(axis=1))[0])
    assert abs(x.block(s_orbital)[0, 0] - crystal.positions[0, 0]) < 1e-10


def test_overlap_derivative_against_finite_differences(integrals) -> None:
    provider = PySCFProvider()
    assert isinstance(provider, DifferentiableOverlap)
    crystal, step = integrals.crystal, 1e-3
    derivative = provider.overlap_derivative(crystal)
    overlap = integrals.overlap()
    across = np.repeat(overlap.pairs[:, 0] != overlap.pairs[:, 1], np.diff(overlap.offsets))
    bra = np.repeat(overlap.pairs[:, 0] == 0, np.diff(overlap.offsets))
    for axis in range(3):
        values = []
        for factor in (1, -1, 2, -2):
            shift = np.zeros((2, 3))
            shift[0, axis] = factor * step
            # Displaced atoms may bring other pairs into range: common blocks are compared.
            moved = OneElectronIntegrals(
                crystal.displaced(shift), integrals.species, integrals.basis
            ).overlap()
            blocks = dict(zip(map(tuple, np.hstack([moved.pairs, moved.cells]).tolist()),
                              range(moved.n_blocks), strict=True))  # fmt: skip
            keys = map(tuple, np.hstack([overlap.pairs, overlap.cells]).tolist())
            values.append(np.concatenate([
                moved.block(blocks[key]).ravel() if key in blocks else np.zeros(size)
                for key, size in zip(keys, np.diff(overlap.offsets).tolist(), strict=True)
            ]))  # fmt: skip
        numerical = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)
        exact = np.where(bra, 1.0, -1.0) * derivative[axis].values
        np.testing.assert_allclose(numerical[across], exact[across], atol=1e-8)


def test_overlap_derivative_changes_sign_with_the_ket(integrals) -> None:
    for matrix in integrals.overlap_derivative():
        turned = matrix.with_values(
            np.concatenate([matrix.block(p).T.ravel() for p in matrix.partners.tolist()])
        )
        np.testing.assert_allclose(matrix.values, -turned.values, atol=1e-10)


@pytest.mark.parametrize(
    ("settings", "number", "words"),
    [
        ({"basis": "gth-dzvp-molopt-sr"}, 92, ("U", "none that elphant knows")),
        ({"basis": "gth-nonsense"}, 14, ("gth-nonsense", "gth-dzvp-molopt-sr")),
        ({"pseudopotential": "gth-nonsense"}, 14, ("gth-nonsense", "gth-pbe")),
    ],
)
@pytest.mark.filterwarnings("error")
def test_unknown_basis_or_element_is_refused(settings, number, words) -> None:
    crystal = silicon()
    crystal = Crystal(
        lattice=crystal.lattice, fractional=crystal.fractional, numbers=[number, number]
    )
    with pytest.raises(ModelError) as caught:
        PySCFProvider(PySCFSettings(**settings)).predict(crystal)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["b3lyp", "scan", "no-such-functional"])
def test_functionals_beyond_gradients_are_refused(name) -> None:
    with pytest.raises(ModelError, match=name):
        Functional.of(name)

"""Space groups, settings, and exact symmetry."""

from __future__ import annotations

import pickle
import warnings
from itertools import permutations

import numpy as np
import pytest
import spglib
from ase.build import bulk

from elphant.crystal import (
    Crystal,
    conventional_matrix,
    find_symmetry,
    symmetrized_crystal,
    tabulated_settings,
)
from elphant.crystal.io import from_ase, read_crystal
from elphant.crystal.symmetry import database_operations
from elphant.errors import StructureError

#: Settings of Pnma by the standard axis that each user axis is (ITA table 4.3.2.1).
SETTINGS_OF_62 = {"abc": "Pnma", "bca": "Pmcn", "cab": "Pbnm", "acb": "Pnam", "bac": "Pmnb",
                  "cba": "Pcmn"}  # fmt: skip


def hall_crystal(hall_number: int, seed: int = 0) -> Crystal:
    """Return a crystal whose own axes are those of a tabulated setting: general positions only."""
    rng = np.random.default_rng([seed, hall_number])
    rotations, translations = database_operations(hall_number)
    strain = 2.3 * np.eye(3) + 0.4 * rng.normal(size=(3, 3))
    metric = np.mean([r.T @ strain @ strain.T @ r for r in rotations], axis=0)
    lattice = np.linalg.cholesky(metric)
    lattice *= (len(rotations) * 120 / np.linalg.det(lattice)) ** (1 / 3)
    orbits = [rotations @ rng.random(3) + translations for _ in range(2)]
    return Crystal(
        lattice=lattice,
        fractional=np.concatenate(orbits),
        numbers=np.repeat([14, 32], len(rotations)),
    )


def permuted(crystal: Crystal, axes: str) -> Crystal:
    """Return the same atoms with the new a, b, c along the given old axes, right-handed."""
    order = ["abc".index(axis) for axis in axes]
    sign = round(np.linalg.det(np.eye(3)[order]))
    return Crystal(
        lattice=sign * crystal.lattice[order],
        fractional=sign * crystal.fractional[:, order],
        numbers=crystal.numbers,
    )


def test_sb2se3(pnma: Crystal) -> None:
    symmetry = find_symmetry(pnma)
    assert (symmetry.international, symmetry.number, symmetry.hall_number) == ("Pnma", 62, 292)
    assert symmetry.point_group == "mmm"
    assert symmetry.setting == "Pnma"
    assert symmetry.rotations.shape == (8, 3, 3)
    # five independent sites of four atoms each
    assert np.bincount(symmetry.equivalent_atoms).tolist().count(4) == 5


@pytest.mark.parametrize(("axes", "symbol"), SETTINGS_OF_62.items())
def test_all_settings_of_pnma(pnma: Crystal, axes: str, symbol: str) -> None:
    symmetry = find_symmetry(permuted(pnma, axes))
    assert symmetry.setting == symbol
    assert symmetry.international == "Pnma"


@pytest.mark.parametrize("axes", ["".join(p) for p in permutations("abc")])
def test_setting_does_not_depend_on_handedness_or_signs(pnma: Crystal, axes: str) -> None:
    order = ["abc".index(axis) for axis in axes]
    for signs in ([1, 1, 1], [-1, 1, 1], [1, -1, -1]):
        crystal = Crystal(
            lattice=np.diag(signs) @ pnma.lattice[order],
            fractional=pnma.fractional[:, order] * signs,
            numbers=pnma.numbers,
        )
        assert find_symmetry(crystal).setting == SETTINGS_OF_62[axes]


def test_tabulated_settings() -> None:
    settings = tabulated_settings(62)
    assert settings[0].symbol == "Pnma", "the standard one comes first"
    found = {setting.choice.replace("-", "") or "abc": setting.symbol for setting in settings}
    # the choice "ba-c" has the axes b, a, -c
    assert found == SETTINGS_OF_62
    assert sum(len(tabulated_settings(number)) for number in range(1, 231)) == 530


def test_setting_of_every_tabulated_hall_symbol() -> None:
    # These five are second names of a setting that has another symbol in the table as well:
    # both kinds of glide plane are present at once.
    synonyms = {"Bbcb": "Bbeb", "Icab": "Ibca", "Immb": "Imma", "Icmm": "Ibmm", "Imam": "Imcm"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        kinds = {h: spglib.get_spacegroup_type(h) for h in range(1, 531)}
    for hall_number, kind in kinds.items():
        symmetry = find_symmetry(hall_crystal(hall_number))
        symbol = kind.international_short
        assert symmetry.number == kind.number, hall_number
        assert symmetry.setting in {symbol, synonyms.get(symbol)}, hall_number


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("hall_number", [2, 62, 81, 86, 92, 143, 294, 433, 458, 488, 525])
def test_setting_with_any_origin_and_orientation(hall_number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    crystal = hall_crystal(hall_number, seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    moved = crystal.replaced(
        lattice=crystal.lattice @ rotation.T, fractional=crystal.fractional + rng.random(3)
    )
    assert find_symmetry(moved).setting == find_symmetry(crystal).setting
    assert "(" not in find_symmetry(moved).setting


def test_cells_that_are_no_setting(silicon: Crystal, pnma: Crystal) -> None:
    assert find_symmetry(silicon).setting == "Fd-3m (primitive cell)"
    doubled = Crystal(
        lattice=pnma.lattice * [[1], [2], [1]],
        fractional=np.concatenate(
            [pnma.fractional * [1, 0.5, 1] + [0, shift, 0] for shift in (0, 0.5)]
        ),
        numbers=np.tile(pnma.numbers, 2),
    )
    assert find_symmetry(doubled).setting == "Pnma (supercell)"
    skewed = pnma.replaced(
        lattice=np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]]) @ pnma.lattice,
        fractional=pnma.fractional @ np.linalg.inv([[1, 0, 0], [0, 1, 0], [1, 0, 1]]),
    )
    assert find_symmetry(skewed).setting == "Pnma (non-standard cell)"


def test_no_warning_from_spglib(pnma: Crystal) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_symmetry(pnma)


def test_overlapping_atoms_are_refused() -> None:
    crystal = Crystal(lattice=3 * np.eye(3), fractional=np.zeros((2, 3)), numbers=[14, 14])
    with pytest.raises(StructureError, match=r"tolerance of 0\.0001 Å"):
        find_symmetry(crystal)


def test_tolerance(pnma: Crystal) -> None:
    noise = np.random.default_rng(0).normal(scale=3e-4, size=(20, 3))
    crystal = pnma.displaced(noise)
    assert find_symmetry(crystal).number == 1
    assert find_symmetry(crystal, 5e-3).number == 62


def test_operations_map_the_crystal_onto_itself(pnma: Crystal) -> None:
    symmetry = find_symmetry(pnma)
    for rotation, translation in zip(symmetry.rotations, symmetry.translations, strict=True):
        offset = (pnma.fractional @ rotation.T + translation)[:, None] - pnma.fractional[None]
        offset -= np.round(offset)
        assert (np.abs(offset).max(axis=-1).min(axis=1) < 1e-6).all()


@pytest.mark.parametrize("hall_number", [81, 294, 433, 458, 488])
def test_cartesian_rotations_are_orthogonal_and_a_group(hall_number: int) -> None:
    crystal = hall_crystal(hall_number)
    operations = find_symmetry(crystal).cartesian_rotations(crystal.lattice)
    np.testing.assert_allclose(
        operations @ operations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), operations.shape),
        atol=1e-9,
    )  # fmt: skip
    products = np.einsum("aij,bjk->abik", operations, operations)
    distance = np.abs(products[:, :, None] - operations).max(axis=(-1, -2))
    assert (distance.min(axis=-1) < 1e-9).all()


def test_transformation_and_standard_lattice(structures, pnma: Crystal) -> None:  # type: ignore[no-untyped-def]
    for name in ("Sb2Se3_PBEsol_Pbnm.vasp", "Sb2Se3_PBEsol_rotated.vasp"):
        crystal = read_crystal(structures / name)
        symmetry = find_symmetry(crystal)
        # rows of the standard lattice in the user's frame: P^-T L, then rotated
        standard = np.linalg.inv(symmetry.transformation).T @ crystal.lattice
        np.testing.assert_allclose(np.linalg.norm(standard, axis=1), pnma.lengths, atol=1e-6)
        np.testing.assert_allclose(
            standard @ symmetry.standard_rotation.T, symmetry.standard_lattice, atol=1e-5
        )


def test_pickle_keeps_arrays_read_only(pnma: Crystal) -> None:
    symmetry = find_symmetry(pnma)
    copy = pickle.loads(pickle.dumps(symmetry))
    np.testing.assert_array_equal(copy.rotations, symmetry.rotations)
    assert copy.setting == symmetry.setting
    for item in (symmetry, copy):
        assert not item.rotations.flags.writeable
        assert not item.translations.flags.writeable


# --- conventional cells ---


@pytest.mark.parametrize(
    ("atoms", "atoms_in_cell"),
    [
        (bulk("Si", a=5.43), 8),
        (bulk("NaCl", "rocksalt", a=5.69), 8),
        (bulk("Fe", a=2.87), 2),
        (bulk("Zn"), 2),
    ],
    ids=["diamond", "rocksalt", "bcc", "hcp"],
)
def test_primitive_cells_are_completed(atoms, atoms_in_cell: int) -> None:  # type: ignore[no-untyped-def]
    crystal = from_ase(atoms)
    matrix = conventional_matrix(find_symmetry(crystal))
    assert crystal.n_atoms * round(np.linalg.det(matrix)) == atoms_in_cell
    lattice = matrix @ crystal.lattice
    angles = crystal.replaced(lattice=lattice).angles
    assert all(min(abs(angle - right) for right in (90, 120)) < 1e-6 for angle in angles)


def test_rhombohedral_cell_is_completed_to_the_hexagonal_one() -> None:
    crystal = from_ase(bulk("Bi", "rhombohedral", a=4.75, alpha=57.2))
    symmetry = find_symmetry(crystal)
    lattice = conventional_matrix(symmetry) @ crystal.lattice
    np.testing.assert_allclose(crystal.replaced(lattice=lattice).angles, [90, 90, 120], atol=1e-6)


def test_complete_cells_are_left_alone(pnma: Crystal, structures) -> None:  # type: ignore[no-untyped-def]
    for crystal in (pnma, read_crystal(structures / "Si.cif"), permuted(pnma, "cab")):
        np.testing.assert_array_equal(conventional_matrix(find_symmetry(crystal)), np.eye(3))


def test_left_handed_primitive_cell_keeps_its_hand(silicon: Crystal) -> None:
    crystal = Crystal(
        lattice=silicon.lattice[[1, 0, 2]], fractional=silicon.fractional, numbers=silicon.numbers
    )
    matrix = conventional_matrix(find_symmetry(crystal))
    assert round(np.linalg.det(matrix)) == 4


# --- exact symmetry ---


@pytest.mark.parametrize("hall_number", [2, 81, 90, 294, 433, 458, 459, 488])
def test_symmetrized_crystal_removes_noise_without_rotation(hall_number: int) -> None:
    exact = hall_crystal(hall_number)
    rng = np.random.default_rng(1)
    strain = 1e-5 * rng.normal(size=(3, 3))
    noisy = exact.displaced(5e-4 * rng.normal(size=(exact.n_atoms, 3)))
    noisy = noisy.replaced(lattice=noisy.lattice @ (np.eye(3) + strain + strain.T))
    symmetry = find_symmetry(noisy, 2e-2)
    assert symmetry.number == find_symmetry(exact).number
    clean = symmetrized_crystal(noisy, symmetry)
    found = find_symmetry(clean, 1e-8)
    assert found.number == symmetry.number
    assert len(found.rotations) == len(symmetry.rotations)
    # the closest one: no drift, no rotation (the deformation is a symmetric matrix)
    np.testing.assert_allclose(
        (clean.fractional - noisy.fractional).mean(axis=0), np.zeros(3), atol=1e-14
    )
    deformation = np.linalg.solve(noisy.lattice, clean.lattice)
    np.testing.assert_allclose(deformation, deformation.T, atol=1e-14)
    assert np.abs(deformation - np.eye(3)).max() < 1e-4
    shift = np.linalg.norm((clean.fractional - noisy.fractional) @ noisy.lattice, axis=1)
    assert shift.max() < 5e-3


def test_symmetrized_crystal_is_idempotent(pnma: Crystal, silicon: Crystal) -> None:
    for crystal in (pnma, silicon):
        same = symmetrized_crystal(crystal, find_symmetry(crystal))
        np.testing.assert_allclose(same.lattice, crystal.lattice, atol=1e-13)
        np.testing.assert_allclose(same.fractional, crystal.fractional, atol=2e-9)


def test_symmetrized_supercell(pnma: Crystal) -> None:
    doubled = Crystal(
        lattice=pnma.lattice * [[1], [2], [1]],
        fractional=np.concatenate(
            [pnma.fractional * [1, 0.5, 1] + [0, shift, 0] for shift in (0, 0.5)]
        ),
        numbers=np.tile(pnma.numbers, 2),
    )
    noisy = doubled.displaced(1e-4 * np.random.default_rng(0).normal(size=(40, 3)))
    clean = symmetrized_crystal(noisy, find_symmetry(noisy, 1e-2))
    assert len(find_symmetry(clean, 1e-8).rotations) == 16

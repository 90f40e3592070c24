"""The BORN reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk

from elphant.crystal import find_symmetry
from elphant.crystal.io import from_ase, read_crystal
from elphant.errors import StructureError
from elphant.models.dielectric.born import read_born, write_born
from elphant.models.dielectric.symmetrization import symmetrized_dielectric

EPSILON = "2.5 0 0 0 2.5 0 0 0 2.5"
PLUS, MINUS = "1.1 0 0 0 1.1 0 0 0 1.1", "-1.1 0 0 0 -1.1 0 0 0 -1.1"


@pytest.fixture
def salt():
    return from_ase(bulk("NaCl", "rocksalt", a=5.64, cubic=True))


def _read(tmp_path, crystal, text):
    path = tmp_path / "BORN"
    path.write_text(text)
    return read_born(path, crystal, find_symmetry(crystal))


@pytest.mark.parametrize("first", ["14.399652", "# epsilon and Z*", "default value", ""])
def test_the_first_line_may_be_a_factor_or_a_comment(tmp_path, salt, first):
    data = _read(tmp_path, salt, f"{first}\n{EPSILON}\n{PLUS}\n\n{MINUS} # Cl\n")
    np.testing.assert_allclose(data.epsilon_infinity, 2.5 * np.eye(3), atol=1e-12)
    signs = np.where(salt.numbers == 11, 1.1, -1.1)
    np.testing.assert_allclose(data.born_charges, signs[:, None, None] * np.eye(3), atol=1e-12)


def test_charges_of_every_atom_are_accepted_too(tmp_path, salt):
    rows = [PLUS if number == 11 else MINUS for number in salt.numbers]
    data = _read(tmp_path, salt, "\n".join(["", EPSILON, *rows]))
    np.testing.assert_allclose(data.charge_sum, 0, atol=1e-12)


def test_a_small_charge_sum_is_removed_and_reported(tmp_path, salt):
    rows = f"14.4\n{EPSILON}\n{PLUS}\n{MINUS.replace('1.1', '1.09')}\n"
    data = _read(tmp_path, salt, rows)
    np.testing.assert_allclose(data.charge_sum, 0, atol=1e-12)
    assert "charge sum 4.0e-02 e" in data.source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"14.4\n{EPSILON}\n{PLUS}\n{MINUS}\n{MINUS}\n", "charges for 3 atoms"),
        (f"14.4\n{EPSILON}\n", "holds 1 tensors"),
        (f"14.4\n{EPSILON}\n1.1 0 0 0 1.1\n", "line 3"),
        (f"14.4\n{EPSILON}\n{PLUS}\n1 2 3 4 5 6 7 8 nan\n", "line 4"),
        (f"14.4\n{EPSILON}\n{PLUS}\n{PLUS}\n", "sum to"),
        (f"14.4\n2 0 0 0 2 0 0 0 9\n{PLUS}\n{MINUS}\n", "permittivity.*break the symmetry"),
        (f"14.4\n{EPSILON}\n1 1 0 0 1 0 0 0 1\n{MINUS}\n", "Born charges.*break the symmetry"),
        (f"14.4\n{EPSILON.replace('2.5', '0.5')}\n{PLUS}\n{MINUS}\n", "below 1"),
    ],
)
def test_wrong_files_are_explained(tmp_path, salt, text, message):
    with pytest.raises(StructureError, match=message):
        _read(tmp_path, salt, text)


def test_a_missing_file_is_explained(tmp_path, salt):
    with pytest.raises(StructureError, match="cannot be read"):
        read_born(tmp_path / "BORN", salt, find_symmetry(salt))


def test_rotated_crystals_rotate_the_charges(tmp_path):
    """Wurtzite: the tensors of the second atom of each kind follow from a screw operation."""
    crystal = from_ase(bulk("ZnO", "wurtzite", a=3.25, c=5.2))
    text = "14.4\n3 0 0 0 3 0 0 0 3.2\n2.1 0 0 0 2.1 0 0 0 2.2\n-2.1 0 0 0 -2.1 0 0 0 -2.2\n"
    data = _read(tmp_path, crystal, text)
    expected = np.where(crystal.numbers == 30, 1, -1)[:, None, None] * np.diag([2.1, 2.1, 2.2])
    np.testing.assert_allclose(data.born_charges, expected, atol=1e-9)


@pytest.mark.shared
def test_antimony_selenide(shared_data):
    folder = shared_data / "phonondb" / "Sb2Se3"
    crystal = read_crystal(folder / "POSCAR-unitcell")
    data = read_born(folder / "BORN", crystal, find_symmetry(crystal))
    reference = json.loads((folder / "reference.json").read_text())
    np.testing.assert_allclose(data.born_charges, reference["born_charges_loaded"], atol=1e-7)
    np.testing.assert_allclose(np.diag(data.epsilon_infinity), [15.792, 22.223, 26.616], atol=1e-3)
    other = read_born(folder / "BORN.orig", crystal, find_symmetry(crystal))
    np.testing.assert_array_equal(other.born_charges, data.born_charges)


@pytest.mark.shared
def test_charges_of_another_setting_are_refused(shared_data):
    crystal = read_crystal(shared_data / "structures" / "Sb2Se3_PBEsol_Pbnm.vasp")
    with pytest.raises(StructureError, match="other axes"):
        read_born(shared_data / "phonondb/Sb2Se3/BORN", crystal, find_symmetry(crystal))


@pytest.mark.parametrize("kind", ["rocksalt", "wurtzite"])
def test_written_files_are_read_back_unchanged(tmp_path, kind):
    crystal = from_ase(bulk("ZnO", kind, a=3.25 if kind == "wurtzite" else 4.3))
    symmetry = find_symmetry(crystal)
    rng = np.random.default_rng(2)
    charges = 2.0 * np.sign(crystal.numbers - 20)[:, None, None] * np.eye(3)
    charges = charges + 0.01 * rng.normal(size=charges.shape)
    epsilon = 4 * np.eye(3) + 0.05 * rng.normal(size=(3, 3))
    data, changes = symmetrized_dielectric(
        epsilon, charges, crystal, symmetry, "made", coulomb_constant=14.4
    )
    assert changes.charges > 1e-3
    assert f"{changes}" in data.source
    path = tmp_path / "BORN"
    path.write_text(write_born(data, symmetry))
    again = read_born(path, crystal, symmetry)
    np.testing.assert_allclose(again.born_charges, data.born_charges, rtol=0, atol=1.5e-12)
    np.testing.assert_allclose(again.epsilon_infinity, data.epsilon_infinity, rtol=0, atol=1.5e-12)
    assert again.coulomb_constant == data.coulomb_constant


def test_charges_of_an_orbit_are_needed(salt):
    with pytest.raises(ValueError, match="every orbit"):
        symmetrized_dielectric(np.eye(3), {0: np.eye(3)}, salt, find_symmetry(salt), "made")

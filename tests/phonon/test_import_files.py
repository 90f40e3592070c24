"""Reading phonopy and phono3py calculations."""

from __future__ import annotations

import gzip
import json
import lzma
import re
import shutil

import numpy as np
import pytest

from elphant.errors import ElphantError, StoreError
from elphant.phonon.adapters.import_files import load_force_constants
from elphant.phonon.adapters.import_sources import locate
from elphant.phonon.harmonic import gamma_frequencies

SI = "Si_phono3py/phono3py_params_Si.yaml.xz"
NACL = "NaCl_phono3py/phono3py_params_NaCl222.yaml.xz"


@pytest.fixture(scope="module")
def silicon(fixtures):
    return load_force_constants(fixtures / SI)


@pytest.fixture(scope="module")
def salt(fixtures):
    return load_force_constants(fixtures / NACL)


def test_phono3py_parameters_with_forces(silicon, fixtures):
    assert silicon.second.shape == (2, 64, 3, 3)
    assert silicon.third.shape == (2, 64, 64, 3, 3, 3)
    assert silicon.dielectric is None
    assert silicon.source == "imported"
    assert np.abs(silicon.second.sum(axis=1)).max() < 1e-6
    assert np.abs(silicon.third.sum(axis=2)).max() < 1e-6
    frequencies = gamma_frequencies(silicon)
    assert np.abs(frequencies[:3]).max() < 1e-4
    np.testing.assert_allclose(frequencies[3:], 15.26976, atol=1e-4)


def test_force_constants_equal_those_of_phono3py(silicon, fixtures, tmp_path, monkeypatch):
    import phono3py

    # Both programs look into the current directory; keep it empty.
    monkeypatch.chdir(tmp_path)
    with _silence():
        reference = phono3py.load(fixtures / SI, log_level=0)
    np.testing.assert_array_equal(silicon.second, reference.fc2)
    np.testing.assert_array_equal(silicon.third, reference.fc3)


def test_charges_inside_the_file_and_a_born_file_that_replaces_them(salt, fixtures):
    born = salt.dielectric.born_charges
    np.testing.assert_allclose(born[:4], np.broadcast_to(1.10368831 * np.eye(3), (4, 3, 3)))
    np.testing.assert_allclose(salt.dielectric.charge_sum, 0, atol=1e-7)
    other = load_force_constants(fixtures / NACL, born=fixtures / "NaCl_phono3py/BORN_NaCl")
    np.testing.assert_allclose(other.dielectric.born_charges[0, 0, 0], 1.086875)
    np.testing.assert_array_equal(other.second, salt.second)


def test_constants_in_hdf5_beside_a_yaml_file(silicon, fixtures, tmp_path):
    import h5py

    _uncompressed(fixtures / SI, tmp_path / "phono3py.yaml", drop_forces=True)
    for name, array in (("fc2", silicon.second), ("fc3", silicon.third)):
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            file["force_constants" if name == "fc2" else "fc3"] = np.array(array)
    for path in (tmp_path, tmp_path / "phono3py.yaml", tmp_path / "fc3.hdf5"):
        again = load_force_constants(path)
        np.testing.assert_array_equal(again.third, silicon.third)
        np.testing.assert_array_equal(again.second, silicon.second)
    (tmp_path / "fc3.hdf5").write_bytes((tmp_path / "fc3.hdf5").read_bytes()[:5000])
    with pytest.raises(StoreError, match="cannot be used"):
        load_force_constants(tmp_path)


def test_other_compressions_and_an_unrelated_current_directory(
    salt, fixtures, tmp_path, monkeypatch
):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    for name in ("BORN", "fc2.hdf5", "fc3.hdf5", "FORCES_FC3"):
        (here / name).write_text("nonsense")
    monkeypatch.chdir(here)
    with lzma.open(fixtures / NACL, "rb") as source:
        (there / "phono3py_params.yaml.gz").write_bytes(gzip.compress(source.read()))
    np.testing.assert_array_equal(load_force_constants(there).second, salt.second)


def test_damaged_missing_and_foreign_files(fixtures, tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        load_force_constants(tmp_path / "nothing.yaml")
    with pytest.raises(StoreError, match="no force constants"):
        load_force_constants(tmp_path)
    foreign = tmp_path / "notes.yaml"
    foreign.write_text("title: notes\n")
    with pytest.raises(StoreError, match="not a file of phonopy, phono3py or ShengBTE"):
        load_force_constants(foreign)
    cut = tmp_path / "phono3py_params.yaml.xz"
    cut.write_bytes((fixtures / SI).read_bytes()[:20000])
    with pytest.raises(StoreError) as caught:
        load_force_constants(cut)
    assert caught.value.fix


def test_a_description_without_forces(fixtures, tmp_path):
    _uncompressed(fixtures / SI, tmp_path / "phono3py_disp.yaml", drop_forces=True)
    with pytest.raises(StoreError, match="has no forces"):
        load_force_constants(tmp_path)


def test_shengbte_files_are_recognised(tmp_path):
    (tmp_path / "FORCE_CONSTANTS_3RD").write_text("1\n")
    for path in (tmp_path, tmp_path / "FORCE_CONSTANTS_3RD"):
        assert locate(path).kind == "shengbte"
        with pytest.raises(StoreError, match="no crystal"):
            load_force_constants(path)


def test_units_of_other_programs_are_refused(fixtures, tmp_path):
    path = tmp_path / "phono3py.yaml"
    _uncompressed(fixtures / SI, path)
    text = path.read_text().replace("phono3py:\n", "phono3py:\n  calculator: qe\n", 1)
    path.write_text(re.sub(r"^physical_unit:\n(  .*\n)*", "", text, flags=re.MULTILINE))
    with pytest.raises(StoreError, match="units of qe"):
        load_force_constants(path)


# --- large reference data --------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("name", ["Sb2Se3", "Sb2S3", "Bi2Se3", "SnSe"])
def test_phonondb(shared_data, name):
    folder = shared_data / "phonondb" / name
    reference = json.loads((folder / "reference.json").read_text())
    fc = load_force_constants(folder)
    plain = gamma_frequencies(fc)
    np.testing.assert_allclose(plain, reference["gamma_THz_no_nac"], atol=2e-5)
    np.testing.assert_allclose(
        fc.dielectric.epsilon_infinity, reference["epsilon_infinity_loaded"], atol=1e-6
    )
    for axis, direction in zip("abc", np.eye(3), strict=True):
        corrected = gamma_frequencies(fc, direction=direction)
        np.testing.assert_allclose(corrected, reference["gamma_THz_nac"][axis], atol=2e-5)
        trace = np.sum(corrected**2) - np.sum(plain**2)
        np.testing.assert_allclose(trace, reference["nac_trace_THz2"][axis], rtol=1e-4)


@pytest.mark.shared
@pytest.mark.parametrize("companion", ["phonopy.conf", "disp.yaml"])
def test_force_sets_with_a_unit_cell(shared_data, tmp_path, companion):
    folder = shared_data / "phonondb" / "Sb2Se3"
    for name in ("POSCAR-unitcell", "FORCE_SETS", "BORN", companion):
        shutil.copy(folder / name, tmp_path / name)
    fc = load_force_constants(tmp_path / "FORCE_SETS")
    frequencies = gamma_frequencies(fc)
    assert frequencies[3] == pytest.approx(0.486, abs=5e-4)
    assert frequencies[-1] == pytest.approx(6.459, abs=5e-4)
    epsilon = np.diag(fc.dielectric.epsilon_infinity)
    np.testing.assert_allclose(epsilon, [15.79, 22.22, 26.62], atol=5e-3)
    assert fc.supercell_matrix_second.tolist() == np.diag([1, 3, 2]).tolist()


@pytest.mark.shared
def test_force_sets_without_supercell_or_with_a_wrong_one(shared_data, tmp_path):
    folder = shared_data / "phonondb" / "Sb2Se3"
    for name in ("POSCAR-unitcell", "FORCE_SETS"):
        shutil.copy(folder / name, tmp_path / name)
    with pytest.raises(StoreError, match="FORCE_SETS' is unknown"):
        load_force_constants(tmp_path)
    (tmp_path / "phonopy.conf").write_text("DIM = 1 2 2\n")
    with pytest.raises(ElphantError, match="120 atoms"):
        load_force_constants(tmp_path)


@pytest.mark.shared
def test_description_and_forces_in_separate_files(shared_data, silicon, tmp_path):
    folder = shared_data / "phono3py" / "Si"
    shutil.copy(folder / "phono3py_si_pbesol.yaml", tmp_path / "phono3py_disp.yaml")
    shutil.copy(folder / "FORCES_FC3_si_pbesol", tmp_path / "FORCES_FC3")
    fc = load_force_constants(tmp_path)
    np.testing.assert_allclose(fc.third, silicon.third, atol=1e-6)
    # A folder that holds a complete file and a description: the complete one is taken.
    assert locate(folder).path.name == "phono3py_params_Si.yaml.xz"


def _uncompressed(source, target, *, drop_forces=False):
    import yaml

    with lzma.open(source, "rt") as file:
        text = file.read()
    if not drop_forces:
        target.write_text(text)
        return
    record = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for key in ("displacements", "displacement_pairs", "displacement_pair_info"):
        record.pop(key, None)
    target.write_text(yaml.safe_dump(record))


def _silence():
    import warnings

    return warnings.catch_warnings(action="ignore")

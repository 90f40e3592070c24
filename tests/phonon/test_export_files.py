"""Files written for phonopy and phono3py are read by them, and give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from spring_crystal import ORTHORHOMBIC, spring_crystal

from elphant.errors import StoreError
from elphant.phonon.adapters.export_files import (
    kappa_file_name,
    read_kappa_hdf5,
    write_exchange,
    write_fc_hdf5,
    write_kappa_hdf5,
    write_phono3py_yaml,
    write_phonopy_yaml,
)
from elphant.phonon.adapters.import_files import load_force_constants
from elphant.phonon.adapters.phonopy_adapter import phonopy_from
from elphant.phonon.conductivity import ConductivitySettings, thermal_conductivity

SETTINGS = ConductivitySettings(
    mesh=(3, 3, 3), temperatures=(200.0, 300.0), isotope=True, boundary_mfp_um=2.0
)


@pytest.fixture(scope="module")
def springs():
    return spring_crystal(ORTHORHOMBIC)


@pytest.fixture(scope="module")
def salt(fixtures):
    return load_force_constants(fixtures / "NaCl_phono3py" / "phono3py_params_NaCl222.yaml.xz")


@pytest.fixture(scope="module")
def result(springs):
    return thermal_conductivity(springs, SETTINGS)


def test_phonopy_reads_its_file(salt, tmp_path):
    import phonopy

    path = write_phonopy_yaml(salt, tmp_path / "phonopy_params.yaml")
    read = phonopy.load(path, log_level=0, produce_fc=False)
    original = phonopy_from(salt)
    q = [[0.1, 0.2, 0.3], [0.5, 0.0, 0.5]]
    read.run_qpoints(q)
    original.run_qpoints(q)
    assert original.qpoints.frequencies.min() > 1.0
    # The text file keeps 15 digits of the force constants and six of the Coulomb constant.
    np.testing.assert_allclose(read.qpoints.frequencies, original.qpoints.frequencies, rtol=1e-6)


def test_phono3py_reads_the_folder(salt, tmp_path):
    import phono3py

    yaml = write_phono3py_yaml(salt, tmp_path / "phono3py_params.yaml")
    second, third = write_fc_hdf5(salt, tmp_path)
    read = phono3py.load(
        yaml, fc2_filename=second, fc3_filename=third, produce_fc=False, log_level=0
    )
    np.testing.assert_array_equal(read.fc2, salt.second)
    np.testing.assert_array_equal(read.fc3, salt.third)
    np.testing.assert_array_equal(read.supercell_matrix, salt.supercell_matrix_third)
    np.testing.assert_allclose(read.primitive_matrix, salt.primitive_matrix)
    np.testing.assert_allclose(read.nac_params["dielectric"], salt.dielectric.epsilon_infinity)


def test_our_own_reader_reads_them_back(salt, tmp_path):
    write_exchange(tmp_path, salt)
    again = load_force_constants(tmp_path / "phono3py_params.yaml")
    np.testing.assert_array_equal(again.second, salt.second)
    np.testing.assert_array_equal(again.third, salt.third)
    np.testing.assert_allclose(again.unitcell.lattice, salt.unitcell.lattice, atol=1e-12)
    np.testing.assert_allclose(again.dielectric.born_charges, salt.dielectric.born_charges)


def test_kappa_file_round_trip(result, tmp_path):
    path = write_kappa_hdf5(result, tmp_path)
    assert path.name == "kappa-m333.hdf5"
    read = read_kappa_hdf5(path)
    assert read.mesh == (3, 3, 3)
    for name in (
        "temperatures",
        "q_points",
        "weights",
        "frequencies",
        "group_velocities",
        "heat_capacities",
        "mode_conductivity",
        "conductivity",
    ):
        np.testing.assert_allclose(getattr(read, name), getattr(result, name), atol=1e-12)
    # rate -> linewidth -> rate
    np.testing.assert_allclose(read.rates_three_phonon, result.rates_three_phonon, rtol=1e-14)
    np.testing.assert_allclose(read.rates_isotope, result.rates_isotope, rtol=1e-14)


def test_kappa_file_is_phono3pys_own(springs, result, tmp_path):
    """Dataset by dataset the file that phono3py writes for the same crystal."""
    import h5py

    from elphant.phonon.adapters.phono3py_adapter import phono3py_from

    phono3py = phono3py_from(springs)
    phono3py.mesh_numbers = SETTINGS.mesh
    phono3py.init_phph_interaction()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)  # phono3py always writes into the current directory
        phono3py.run_thermal_conductivity(
            temperatures=list(SETTINGS.temperatures),
            is_isotope=True,
            boundary_mfp=2.0,
            write_kappa=True,
        )
    ours = write_kappa_hdf5(result, tmp_path / "ours")
    with h5py.File(tmp_path / "kappa-m333.hdf5") as theirs, h5py.File(ours) as own:
        missing = set(theirs) - set(own) - {"version", "grid_matrix", "P_matrix", "Q_matrix"}
        assert not missing
        for name in set(theirs) & set(own):
            expected, actual = np.array(theirs[name]), np.array(own[name])
            assert expected.shape == actual.shape, name
            if name not in {"gamma", "gamma_isotope", "frequency"}:
                largest = np.abs(expected).max()
                np.testing.assert_allclose(actual, expected, atol=1e-6 * largest, err_msg=name)
        moving = np.array(own["frequency"]) > 1e-4
        for name in ("gamma", "gamma_isotope"):
            expected, actual = np.array(theirs[name]), np.array(own[name])
            largest = expected[..., moving].max()
            assert largest > 0.0
            np.testing.assert_allclose(
                actual[..., moving], expected[..., moving], atol=1e-6 * largest, err_msg=name
            )


def test_phono3py_reads_our_linewidths(springs, result, tmp_path):
    """phono3py continues from the file and finds the same conductivity."""
    from elphant.phonon.adapters.phono3py_adapter import phono3py_from

    write_kappa_hdf5(result, tmp_path)
    phono3py = phono3py_from(springs)
    phono3py.mesh_numbers = SETTINGS.mesh
    phono3py.init_phph_interaction()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        phono3py.run_thermal_conductivity(
            temperatures=list(SETTINGS.temperatures),
            is_isotope=True,
            boundary_mfp=2.0,
            read_gamma=True,
        )
    kappa = phono3py.thermal_conductivity.kappa[0]
    np.testing.assert_allclose(kappa[:, 0], result.conductivity[:, 0, 0], rtol=1e-7)


def test_both_solvers_fit_into_one_folder(springs, result, tmp_path):
    import dataclasses

    full = dataclasses.replace(result, solver="bte", sigma_thz=0.1)
    assert kappa_file_name(full) == "kappa-m333-s0.1.bte.hdf5"
    written = write_exchange(tmp_path / "exchange", springs, {"rta": result, "bte": full})
    assert [path.name for path in written] == [
        "phonopy_params.yaml",
        "fc2.hdf5",
        "fc3.hdf5",
        "phono3py_params.yaml",
        "kappa-m333.hdf5",
        "kappa-m333-s0.1.bte.hdf5",
    ]
    assert sorted(p.name for p in (tmp_path / "exchange").iterdir()) == sorted(
        path.name for path in written
    )


def test_harmonic_constants_alone(springs, tmp_path):
    import dataclasses

    harmonic = dataclasses.replace(springs, third=None, supercell_matrix_third=None)
    written = write_exchange(tmp_path, harmonic)
    assert [path.name for path in written] == ["phonopy_params.yaml", "fc2.hdf5"]


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "kappa-m333.hdf5"
    path.write_bytes(b"not hdf5")
    with pytest.raises(StoreError, match="not a readable kappa file"):
        read_kappa_hdf5(path)

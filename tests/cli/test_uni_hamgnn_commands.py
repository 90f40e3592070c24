"""``--hamiltonian uni-hamgnn`` end to end: random weights on the real tables of OpenMX.

The numbers mean nothing: the networks hardly change H0, which has a gap in rock salt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from test_mobility_command import OPTIONS, POTENTIAL

from elphant.crystal import find_symmetry
from elphant.crystal.io import read_crystal
from elphant.models.hamiltonians.hamgnn.checkpoint_resources import (
    add_openmx_tables,
    add_uni_hamgnn,
)
from elphant.orbitals import band_energies
from elphant.orbitals.hamiltonian_file import read_hamiltonian
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.network_cost import NetworkCost

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from test_uni_hamgnn_provider import DATABASE, write_networks

pytestmark = pytest.mark.skipif(
    not DATABASE.is_dir(), reason="no OpenMX database on this machine (GPL, not part of elphant)"
)
RUN = Path("NaCl.electrons.run")
CALL = ("NaCl.cif", "--config", "small.yaml", "--no-report", "--hamiltonian", "uni-hamgnn")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Working folder with a structure, options, and synthetic networks that were added."""
    monkeypatch.setenv("ELPHANT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    bulk("NaCl", "rocksalt", a=5.6).write("NaCl.cif")
    Path("small.yaml").write_text(OPTIONS.replace("[6, 6, 6]", "[12, 12, 12]"))
    Path("pair.py").write_text(POTENTIAL)
    networks = write_networks(tmp_path / "n.pkl", scale=2e-3, second=2e-3, nao_max=19, num_layers=1)
    add_uni_hamgnn(networks)
    add_openmx_tables(DATABASE)
    return tmp_path


def results() -> dict:
    return json.loads((RUN / "results.json").read_text())


@pytest.mark.slow
def test_bands_and_mobility(elphant, capsys):
    assert elphant("bands", *CALL) == 0
    record = results()["electronic_structure"]
    assert (record["provider"], record["n_electrons"], record["n_orbitals"]) == (
        "uni-hamgnn", 16.0, 27,
    )  # fmt: skip
    assert record["details"]["network"]["published"] is False
    assert "not the published uni-hamgnn_2_1.pkl" in capsys.readouterr().err
    hamiltonian = read_hamiltonian(RUN / "exchange/hamiltonian.h5")
    assert hamiltonian.basis.has_functions
    assert elphant("mobility", *CALL, "-T", "300") == 0
    found = results()
    method = found["carrier_transport"]["derivatives"]["method"]
    assert method == "tables of OpenMX and the network, analytic"
    values = np.array([entry["cartesian"] for entry in found["mobility"]])
    assert np.isfinite(values).all()
    assert values[:, 0, 0].max() > 1.0
    assert "uni_hamgnn" in found["provenance"]["citations"]


@pytest.mark.slow
def test_charges_and_permittivity(elphant):
    """With the dipoles inside atoms the oscillator strengths and the charges make sense."""
    assert elphant("dielectric", *CALL) == 0
    found = results()
    charges = np.array(found["dielectric"]["born_charges"])
    assert charges[0, 0, 0] == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(charges[0], charges[0, 0, 0] * np.eye(3), atol=1e-6)
    flags = {flag["name"]: flag for flag in found["quality"]}
    assert flags["intra_atomic_dipoles"]["severity"] == "info"


@pytest.mark.slow
def test_spin_orbit_coupling_from_bands_to_mobility(elphant):
    """Spinor states, twice as many; the split valence band; rates among all of them."""
    chosen = ("hamiltonian.spin_orbit=network", "hamiltonian.reach=5")
    call = [*CALL, *(word for choice in chosen for word in ("--set", choice))]
    one = ("-T", "300", "--level", "serta", "--carriers", "electron")
    assert elphant("mobility", *call, *one) == 0
    found = results()
    record = found["electronic_structure"]
    assert (record["n_electrons"], record["n_orbitals"]) == (16.0, 54)
    assert record["details"]["spin_orbit"] == "network"
    assert found["effective_mass"]
    assert "spin-orbit coupling" in record["level_of_theory"]
    hamiltonian = read_hamiltonian(RUN / "exchange/hamiltonian.h5")
    gamma = band_energies(hamiltonian, [[0, 0, 0]])[0, 10:16]
    assert np.ptp(gamma[2:]) < 1e-6  # Γ8-: four, above Γ6-: two
    assert 0.01 < gamma[2] - gamma[1] < 0.5
    derivatives = found["carrier_transport"]["derivatives"]
    assert (derivatives["spin_orbit"], derivatives["reach"]) == ("network", 5.0)
    values = np.array([entry["cartesian"] for entry in found["mobility"]])
    assert np.isfinite(values).all()
    assert values[:, 0, 0].max() > 1.0
    np.testing.assert_allclose(values[0], values[0, 0, 0] * np.eye(3), rtol=1e-3, atol=1e-3)


def test_choices_of_the_networks(elphant, capsys):
    assert elphant("bands", *CALL[:-2], "--set", "hamiltonian.spin_orbit=network") == 2
    text = " ".join(capsys.readouterr().err.split())
    assert "hamiltonian.spin_orbit=network has no effect with the model pyscf" in text
    assert elphant("bands", *CALL, "--set", "hamiltonian.spin_orbit=full") == 2
    assert "hamiltonian.spin_orbit" in capsys.readouterr().err
    assert elphant("bands", *CALL, "--set", "hamiltonian.reach=-1") == 2
    assert "hamiltonian.reach" in capsys.readouterr().err


def test_choices_are_part_of_the_address():
    from elphant.config.models import HamiltonianConfig

    def identity(**options):
        crystal = read_crystal("NaCl.cif")
        config = HamiltonianConfig(model="uni-hamgnn", **options)
        return HamiltonianSource(config, None, crystal, 1e-4).identity

    before = identity()
    assert before["network"]["dtype"] == "float64"
    assert sorted(before["network"]["tables_sha256"]) == [
        "Cl7.0.pao", "Cl_PBE19.vps", "Na9.0.pao", "Na_PBE19.vps",
    ]  # fmt: skip
    for choice in ({"spin_orbit": "pseudopotential"}, {"dtype": "float32"}, {"reach": 9.0},
                   {"threshold": 1e-3}):  # fmt: skip
        assert identity(**choice) != before
    other = HamiltonianConfig(model="slater-koster:si")
    assert "reach" not in HamiltonianSource(other, None, None, 1e-4).identity


def test_other_networks_are_another_hamiltonian(folder, monkeypatch):
    from elphant.config.models import HamiltonianConfig

    source = HamiltonianSource(HamiltonianConfig(model="uni-hamgnn"), None, None, 1e-4)
    before = source.identity
    assert before == source.identity
    add_uni_hamgnn(write_networks(folder / "m.pkl", scale=3e-3, nao_max=19, num_layers=1))
    assert source.identity != before


def test_no_gap_is_an_error(elphant, capsys):
    bulk("Si", "diamond", a=5.43).write("Si.cif")
    assert elphant("bands", "Si.cif", *CALL[1:]) != 0
    assert "there is no gap" in capsys.readouterr().err


def test_without_networks(elphant, capsys, monkeypatch):
    monkeypatch.setenv("ELPHANT_HOME", "empty")
    assert elphant("bands", *CALL) == 4
    text = " ".join(capsys.readouterr().err.split())
    assert "elphant models add uni-hamgnn FILE" in text
    assert "Traceback" not in text


def test_dry_run(elphant, capsys):
    assert elphant("mobility", *CALL, "--dry-run", "--set", "hamiltonian.reach=8") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "uni-hamgnn, 2 atoms, about" in text
    assert "analytic, uni-hamgnn: 2 inequivalent atoms, each felt by others within 8 Å" in text
    assert not RUN.exists()


def test_planned_cost_grows_with_what_is_chosen():
    from elphant.config.models import HamiltonianConfig

    crystal = read_crystal("NaCl.cif")
    symmetry = find_symmetry(crystal)

    def cost(**options):
        config = HamiltonianConfig(model="uni-hamgnn", **options)
        return NetworkCost(crystal, symmetry, HamiltonianSource(config, None, crystal, 1e-4))

    short, far = cost(reach=6.0), cost(reach=9.0)
    assert short.derivatives[2] < far.derivatives[2]
    assert short.memory_gb < far.memory_gb
    assert short.hamiltonian[2] == far.hamiltonian[2]
    for kind in ("pseudopotential", "network"):
        other = cost(reach=6.0, spin_orbit=kind)
        assert kind in other.hamiltonian[1]
        assert other.hamiltonian[2] > short.hamiltonian[2]
        assert other.derivatives[2] > short.derivatives[2]

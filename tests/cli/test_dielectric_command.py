"""``elphant dielectric``: numbers, resume, shards, workers, files, and phonons that read them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import jsonschema
import numpy as np
import pytest
from ase.build import bulk
from run_files import assert_same, items

import elphant as package
from elphant.crystal import find_symmetry
from elphant.crystal.io import read_crystal
from elphant.electron.dielectric.born_charges import born_charges
from elphant.electron.dielectric.permittivity import permittivity
from elphant.models.dielectric.born import read_born
from elphant.models.hamiltonians.loading import provider_of
from elphant.workflow.stages.dielectric import mesh_sequence

#: Two-centre integrals of a made-up polar crystal with a wide gap.
POLAR = {
    "format": "elphant-slater-koster", "format_version": 1, "name": "polar", "origin": "made up",
    "licence": "MIT", "orthogonal": False,
    "elements": {
        "Na": {"n_electrons": 1, "shells": [{"name": "s", "l": 0, "energy": 2.0}]},
        "Cl": {"n_electrons": 7, "shells": [
            {"name": "s", "l": 0, "energy": -16.0}, {"name": "p", "l": 1, "energy": -6.0}]},
    },
    "pairs": [
        {"elements": ["Na", "Na"], "distance": 3.9, "onset": 4.3, "cutoff": 4.9,
         "hamiltonian": {"s s sigma": [-0.1, 0.0, 2.0]},
         "overlap": {"s s sigma": [0.0, 0.0, 2.0]}},
        {"elements": ["Na", "Cl"], "distance": 2.8, "onset": 3.0, "cutoff": 3.7,
         "hamiltonian": {"s s sigma": [-0.9, 0.0, 2.0], "s p sigma": [1.4, 0.0, 2.0]},
         "overlap": {"s s sigma": [0.03, 0.0, 2.0], "s p sigma": [-0.05, 0.0, 2.0]}},
        {"elements": ["Cl", "Cl"], "distance": 3.9, "onset": 4.3, "cutoff": 4.9,
         "hamiltonian": {"s s sigma": [-0.05, 0.0, 2.0], "s p sigma": [0.05, 0.0, 2.0],
                         "p p sigma": [0.15, 0.0, 2.0], "p p pi": [-0.03, 0.0, 2.0]},
         "overlap": {"s s sigma": [0.0, 0.0, 2.0], "s p sigma": [0.0, 0.0, 2.0],
                     "p p sigma": [0.0, 0.0, 2.0], "p p pi": [0.0, 0.0, 2.0]}},
    ],
}  # fmt: skip
OPTIONS = """\
electrons: {mesh: [3, 3, 3], points_per_leg: 3, dielectric_mesh: [4, 4, 4]}
potential: {model: 'lj_argon:factory'}
"""
MODEL = ("--hamiltonian", "slater-koster:polar.json")
BASE = ("dielectric", "NaCl.cif", "--config", "small.yaml", "--no-report")
RUN = "NaCl.electrons.run"


@pytest.fixture
def salt(argon: Path) -> Path:
    """Working folder with a tetragonal rock salt whose sodium lies off the centre along c."""
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.set_cell(atoms.cell.array * [1.0, 1.0, 1.02], scale_atoms=True)
    atoms.positions[0, 2] += 0.1
    atoms.write(argon / "NaCl.cif")
    (argon / "polar.json").write_text(json.dumps(POLAR))
    (argon / "small.yaml").write_text(OPTIONS)
    return argon


def results(run: str = RUN) -> dict:
    return json.loads((Path(run) / "results.json").read_text())


def validated(run: str = RUN) -> dict:
    schema = Path(package.__file__).parent / "workflow/results_schema.json"
    content = results(run)
    jsonschema.validate(content, json.loads(schema.read_text()))
    return content["dielectric"]


def test_numbers_files_and_words(elphant, capsys, salt: Path) -> None:
    """The command gives what the kernels give, and a BORN file that phonons read."""
    assert elphant(*BASE, *MODEL) == 0
    seen = capsys.readouterr()
    record = validated()
    crystal = read_crystal("NaCl.cif")
    symmetry = find_symmetry(crystal, 1e-4)
    provider = provider_of("slater-koster:polar.json")
    hamiltonian = provider.predict(crystal)
    charges = born_charges(provider, crystal, symmetry, (4, 4, 4))
    assert np.abs(charges.charges[0]).max() > 0.5
    assert charges.charges[0][0, 0] != pytest.approx(charges.charges[0][2, 2], abs=1e-3)
    assert record["born_charges"] == pytest.approx(charges.charges, abs=1e-9)
    meshes = mesh_sequence((4, 4, 4))
    assert meshes == ((2, 2, 2), (3, 3, 3), (4, 4, 4))
    epsilon = permittivity(hamiltonian, meshes, symmetry).epsilon
    assert record["epsilon_infinity"] == pytest.approx(epsilon, abs=1e-9)
    assert record["charge_sum"] == pytest.approx(charges.charge_sum, abs=1e-9)
    assert not record["used_by_phonons"]
    # Two charges and their sum, in words.
    for words in ("ε∞", "Z* Na1 ×1", "Z* Cl2 ×1", f"{record['born_charges'][1][2][2]:.4f}"):
        assert words in seen.out
    assert "independent particles" in seen.err
    names = {flag["name"] for flag in results()["quality"]}
    assert {"independent_particles", "born_charge_sum", "oscillator_strength"} <= names
    assert len(names) == len(results()["quality"]), "no doubt is told twice"
    data = read_born(f"{RUN}/exchange/BORN", crystal, symmetry)
    assert data.born_charges == pytest.approx(np.array(record["born_charges"]), abs=1e-11)
    assert data.epsilon_infinity == pytest.approx(np.array(record["epsilon_infinity"]), abs=1e-11)
    with h5py.File(f"{RUN}/data.h5") as file:
        assert file["electrons/dielectric/mesh"][()].tolist() == [list(mesh) for mesh in meshes]
        assert file["electrons/dielectric/computed_charge"].shape == (2, 3, 3)
    kappa = ("kappa", "NaCl.cif", "--config", "options.yaml", "--dry-run", "--no-report")
    assert elphant(*kappa, "--born", f"{RUN}/exchange/BORN") == 0


def test_killed_run_goes_on_and_repeats_for_nothing(elphant, capsys, salt: Path) -> None:
    assert elphant(*BASE, *MODEL) == 0
    whole = validated()
    stored = items(Path(RUN), "born-phases")
    assert len(stored) >= 3
    # As after a kill: the stage has no output yet, and one crystal is missing.
    (stage,) = Path(RUN).glob("stages/born-phases-*")
    (stage / "output").rename(stage / "gone")
    (stage / "shards/000001.npz").unlink()
    Path(RUN, "results.json").unlink()
    capsys.readouterr()
    assert elphant(*BASE, *MODEL) == 0
    assert f"{len(stored) - 1} of {len(stored)} already stored" in capsys.readouterr().err
    after = items(Path(RUN), "born-phases")
    assert after["000000.npz"] == stored["000000.npz"]
    assert_same(validated(), whole)
    capsys.readouterr()
    assert elphant(*BASE, *MODEL) == 0
    assert "nothing had to be computed" in capsys.readouterr().err


def test_shards_and_workers_equal_the_whole(elphant, capsys, salt: Path) -> None:
    assert elphant(*BASE, *MODEL) == 0
    whole = validated()
    parts = (*BASE, *MODEL, "--output", "parts.run")
    assert elphant(*parts, "--shard", "0/2") == 0
    assert "Run the other shards" in capsys.readouterr().out
    assert not Path("parts.run/results.json").exists()
    assert all(int(name[:6]) % 2 == 0 for name in items(Path("parts.run"), "born-phases"))
    assert elphant(*parts, "--shard", "1/2") == 0
    assert_same(validated("parts.run"), whole)
    assert elphant(*BASE, *MODEL, "--output", "workers.run", "--workers", "2") == 0
    assert_same(validated("workers.run"), whole)


def test_hamiltonian_file_gives_the_permittivity_only(elphant, capsys, salt: Path) -> None:
    assert elphant(*BASE, *MODEL) == 0
    whole = validated()
    file = f"{RUN}/exchange/hamiltonian.h5"
    capsys.readouterr()
    assert elphant(*BASE, "--hamiltonian", file, "--output", "file.run") == 0
    record = validated("file.run")
    assert record["born_charges"] is None
    assert record["epsilon_infinity"] == pytest.approx(np.array(whole["epsilon_infinity"]))
    assert not Path("file.run/exchange/BORN").exists()
    assert "no_born_charges" in {flag["name"] for flag in results("file.run")["quality"]}
    assert "Hamiltonian file" in capsys.readouterr().out


def test_silicon_has_no_charges_by_symmetry(elphant, capsys, salt: Path) -> None:
    """Other electronic tasks join in the same directory."""
    bulk("Si", "diamond", a=5.43).write("Si.cif")
    command = ("Si.cif", "--config", "small.yaml", "--hamiltonian", "slater-koster:si")
    assert elphant("bands", *command, "--no-report") == 0
    assert results("Si.electrons.run")["dielectric"] is None
    assert elphant("dielectric", *command, "--no-report") == 0
    record = validated("Si.electrons.run")
    assert results("Si.electrons.run")["provenance"]["tasks"] == ["bands", "dielectric"]
    assert np.abs(record["born_charges"]).max() == 0.0
    assert record["independent_atoms"] == [{"atom": 0, "symbol": "Si", "multiplicity": 2}]
    keys = results("Si.electrons.run")["provenance"]["citations"]
    assert {"adler1962", "wiser1963", "kingsmith1993"} <= set(keys)


def test_plan_counts_the_displaced_crystals(elphant, capsys, salt: Path) -> None:
    assert elphant(*BASE, *MODEL, "--dry-run") == 0
    text = capsys.readouterr().out
    assert "permittivity" in text
    # Along ±z and, by the fourfold axis, x alone, for each of the two atoms.
    assert "6 displaced crystals of 2 atoms" in text or "4 displaced crystals of 2 atoms" in text
    assert not Path(RUN).exists()


def test_dielectric_response_is_computed_on_request_only() -> None:
    from elphant.workflow.job import ALL_TASKS, DEFAULT_TASKS, ELECTRON_TASKS

    assert "dielectric" in ELECTRON_TASKS
    assert set(ALL_TASKS) - set(DEFAULT_TASKS) == {"dielectric", "mobility"}


@pytest.mark.skipif(sys.platform == "win32", reason="PySCF is not built for Windows")
def test_kohn_sham_hamiltonian_of_rock_salt(elphant, capsys, salt: Path) -> None:
    pytest.importorskip("pyscf")
    bulk("NaCl", "rocksalt", a=5.6).write("NaCl.cif")
    cheap = ("hamiltonian.cutoff=2500", "hamiltonian.self_consistent=false")
    options = [word for option in cheap for word in ("--set", option)]
    mesh = ("--basis", "gth-szv-molopt-sr", "--k-mesh", "2,2,2")
    assert elphant(*BASE, *mesh, *options) == 0
    record = validated()
    charge = np.array(record["born_charges"])
    assert charge[0] == pytest.approx(charge[0, 0, 0] * np.eye(3), abs=1e-9)
    assert 0.9 < charge[0, 0, 0] < 1.3
    assert charge.sum(axis=0) == pytest.approx(np.zeros((3, 3)), abs=1e-9)
    assert 1.5 < record["epsilon_infinity"][0][0] < 3.0

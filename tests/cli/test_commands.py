"""Every command once from end to end, on argon with an analytic potential."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import h5py
import jsonschema
import numpy as np
import pytest
import yaml

SCHEMA = Path(__file__).parents[2] / "src/elphant/workflow/results_schema.json"
OPTIONS = ("--config", "options.yaml")


def test_help_answers_at_once() -> None:
    best = np.inf
    for _ in range(3):  # the first call may have to read the files from disk
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "elphant", "--help"], capture_output=True)
        best = min(best, time.perf_counter() - start)
        assert done.returncode == 0
    assert b"kappa" in done.stdout
    # The promise is 0.5 s; the test allows for a machine that is busy with other tests.
    assert best < 1.5


def test_version(elphant, capsys) -> None:
    import elphant as package

    assert elphant("--version") == 0
    assert capsys.readouterr().out.strip() == f"elphant {package.__version__}"


def test_run_writes_the_whole_run_directory(elphant, capsys, argon: Path) -> None:
    assert elphant("run", "Ar.cif", *OPTIONS) == 0
    printed = capsys.readouterr()
    assert "Ar.run/report.html" in printed.out
    assert "κ_a" in printed.out
    run = argon / "Ar.run"
    expected = {
        "run.yaml",
        "results.json",
        "data.h5",
        "report.html",
        "log.jsonl",
        "structure/input-Ar.cif",
        "structure/relaxed.vasp",
        "structure/relaxed.cif",
        "structure/frame.json",
        "exchange/phonopy_params.yaml",
        "exchange/phono3py_params.yaml",
        "exchange/fc2.hdf5",
        "exchange/fc3.hdf5",
        "exchange/tensors.csv",
    }
    assert {name for name in expected if not (run / name).is_file()} == set()
    results = json.loads((run / "results.json").read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(results)
    records = results["thermal_conductivity"]
    assert {(r["solver"], r["temperature"]) for r in records} == {
        (solver, t) for solver in ("rta", "bte") for t in (40.0, 80.0)
    }
    for record in records:  # cubic: isotropic to round-off, and positive
        np.testing.assert_allclose(
            record["cartesian"], record["axes"]["a"] * np.eye(3), rtol=1e-10, atol=1e-10
        )
        assert record["axes"]["a"] > 0.0
    assert results["provenance"]["models"][0]["name"] == "lj_argon:factory"
    assert yaml.safe_load((run / "run.yaml").read_text())["conductivity"]["mesh"] == [3, 3, 3]
    assert len((run / "report.html").read_text()) > 1e5


def test_data_file_reproduces_the_tensor(elphant, argon: Path) -> None:
    assert elphant("kappa", "Ar.cif", *OPTIONS, "--no-report") == 0
    results = json.loads((argon / "Ar.run/results.json").read_text())
    with h5py.File(argon / "Ar.run/data.h5") as file:
        for solver in ("rta", "bte"):
            group = file["levels/HA+3ph"]
            modes, weights = group[f"mode_conductivity/{solver}"][()], group["weight"][()]
            kappa = modes.sum(axis=(1, 2)) / weights.sum()
            waves = group["coherence"][()].sum(axis=(1, 2)) / weights.sum()
            stored = [r for r in results["thermal_conductivity"] if r["solver"] == solver]
            expected = {False: kappa, True: kappa + waves}
            for record in stored:
                at = [40.0, 80.0].index(record["temperature"])
                tensor = expected[record["coherence"]][at]
                np.testing.assert_allclose(tensor, record["cartesian"], rtol=1e-8, atol=1e-10)
            assert len(stored) == 4

        def has_metadata(name: str, item) -> None:
            if isinstance(item, h5py.Dataset) and not name.endswith("bands/label"):
                assert {"units", "axes", "frame"} <= set(item.attrs), name

        file.visititems(has_metadata)


def test_relax_reports_and_writes_the_structure(elphant, capsys, argon: Path) -> None:
    from elphant.crystal.io import read_crystal

    assert elphant("relax", "Ar.cif", *OPTIONS) == 0
    text = capsys.readouterr().out
    assert "Fm-3m" in text
    relaxed = read_crystal(argon / "Ar.run/structure/relaxed.vasp")
    assert f"{relaxed.lengths[0]:.4f}" in text
    assert not np.isclose(relaxed.lengths[0], read_crystal(argon / "Ar.cif").lengths[0])


def test_dry_run_plans_and_writes_nothing(elphant, capsys, argon: Path) -> None:
    assert elphant("kappa", "Ar.cif", *OPTIONS, "--dry-run") == 0
    text = capsys.readouterr().out
    assert "forces-third" in text
    assert "irreducible q points" in text
    assert "GB" in text
    assert not list(argon.glob("*.run"))


def test_report_again_and_compare(elphant, capsys, argon: Path) -> None:
    assert elphant("kappa", "Ar.cif", *OPTIONS, "--output", "one.run") == 0
    (argon / "one.run/report.html").unlink()
    assert elphant("report", "one.run") == 0
    assert (argon / "one.run/report.html").is_file()
    assert elphant("kappa", "Ar.cif", *OPTIONS, "--mesh", "2,2,2", "--output", "two.run") == 0
    assert elphant("compare", "one.run", "two.run", "--output", "both") == 0
    page = next((argon / "both").glob("*.html")).read_text()
    assert "one.run" in page
    assert "two.run" in page


def test_models_list_info_add(elphant, capsys, argon: Path, monkeypatch) -> None:
    monkeypatch.setenv("ELPHANT_HOME", str(argon / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    assert elphant("models", "list") == 0
    listed = capsys.readouterr().out
    assert "sevennet-l3i5 (default)" in listed
    assert "mace-mh-1" in listed
    assert elphant("models", "info", "mace-mh-1:omat_pbe") == 0
    card = capsys.readouterr().out
    assert "omat_pbe" in card
    assert "licence" in card
    (argon / "mine.model").write_bytes(b"weights")
    assert elphant("models", "add", "mine", "mine.model", "--licence", "MIT") == 0
    assert elphant("models", "info", "mine") == 0
    assert "MIT" in capsys.readouterr().out


def test_doctor(elphant, capsys) -> None:
    assert elphant("doctor") == 0
    text = capsys.readouterr().err
    assert "torch" in text
    assert "memory" in text


def test_config_file_and_flags_reach_the_calculation(elphant, argon: Path) -> None:
    flags = ("--mesh", "2,2,2", "-T", "50", "--solver", "rta", "--no-isotopes", "--boundary", "0.1")
    assert elphant("kappa", "Ar.cif", *OPTIONS, *flags, "--no-report") == 0
    record = json.loads((argon / "Ar.run/results.json").read_text())["thermal_conductivity"]
    assert [(r["mesh"], r["temperature"], r["solver"], r["coherence"]) for r in record] == [
        ([2, 2, 2], 50.0, "rta", False),
        ([2, 2, 2], 50.0, "rta", True),
    ]
    assert record[0]["isotope"] is False
    assert record[0]["boundary_mfp_um"] == 0.1


def test_tensor_table_for_spreadsheets(elphant, argon: Path) -> None:
    assert elphant("kappa", "Ar.cif", *OPTIONS, "--no-report") == 0
    with (argon / "Ar.run/exchange/tensors.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    results = json.loads((argon / "Ar.run/results.json").read_text())
    assert len(rows) == len(results["thermal_conductivity"])
    for row, record in zip(rows, results["thermal_conductivity"], strict=True):
        assert float(row["kappa_xx_W/mK"]) == pytest.approx(record["cartesian"][0][0], rel=1e-7)

"""The ladder of levels from the command line: three and four phonons, harmonic and renormalised."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import jsonschema
import numpy as np
import pytest
from run_files import assert_same, items

SCHEMA = Path(__file__).parents[2] / "src/elphant/workflow/results_schema.json"
BASE = ("kappa", "Ar.cif", "--config", "options.yaml", "--no-report", "--no-relax")
LEVELS = ("HA+3ph", "HA+3,4ph", "SCP+3ph", "SCP+3,4ph")
FULL = ("--orders", "3,4", "--scp", "--coherence", "--solver", "rta,bte", "--tolerance", "0.2")
SAMPLED = ("--orders", "3,4", "--scp", "-T", "80", "--solver", "rta", "--tolerance", "0.15")


def content(run: Path) -> dict:
    """Return results.json after checking it against the public schema."""
    results = json.loads((run / "results.json").read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(results)
    return results


def numbers(run: Path) -> list:
    results = content(run)
    for record in results["four_phonon"]:
        record.pop("seconds")
    return [results[name] for name in ("thermal_conductivity", "renormalization", "four_phonon")]


@pytest.mark.slow
def test_all_levels_of_the_ladder(elphant, capsys, argon: Path) -> None:
    command = (*BASE, *FULL, "--output", "r.run")
    assert elphant(*command) == 0
    printed = capsys.readouterr()
    results = content(argon / "r.run")
    records = results["thermal_conductivity"]
    found = {(r["level"], r["solver"], r["coherence"], r["temperature"]) for r in records}
    assert found == {
        (level, solver, wave, t)
        for level in LEVELS
        for solver in ("rta", "bte")
        for wave in (False, True)
        for t in (40.0, 80.0)
    }
    kappa = {
        (r["level"], r["solver"], r["coherence"], r["temperature"]): r["axes"]["a"] for r in records
    }
    for record in records:
        four = "3,4" in record["level"]
        assert (record["standard_error"] is not None) == four
        assert record["renormalization"] == ("loop" if "SCP" in record["level"] else None)
        key = (record["level"], record["solver"], True, record["temperature"])
        assert kappa[key] > kappa[key[0], key[1], False, key[3]]
        if four:  # more scattering, less heat
            three = (record["level"].replace("3,4", "3"), *key[1:])
            assert kappa[key] < kappa[three]
            assert 0.0 < record["standard_error"]["a"] < 0.3 * record["axes"]["a"]
    sums = results["four_phonon"]
    assert [(r["level"], r["temperature"]) for r in sums] == [
        ("HA+3,4ph", None), ("SCP+3,4ph", 40.0), ("SCP+3,4ph", 80.0),
    ]  # fmt: skip
    for record in sums:
        assert record["converged"]
        assert max((record["relative_error"] or {"a": 0.0}).values()) <= 0.2
        assert 0 < record["n_pairs_drawn"] <= record["n_pairs"]
    scp = results["renormalization"]
    assert [(r["variant"], r["temperature"], r["converged"]) for r in scp] == [
        ("loop", 40.0, True), ("loop", 80.0, True),
    ]  # fmt: skip
    assert {"maradudin1962", "feng2016", "tadano2015", "simoncelli2019", "fugallo2013"} <= set(
        results["provenance"]["citations"]
    )
    assert not {"phono3py2015", "chaput2013", "errea2014"} & set(results["provenance"]["citations"])
    with h5py.File(argon / "r.run/data.h5") as file:
        harmonic = file["phonons/bands/frequency"][()]
        loop = file["renormalization/loop"]
        assert loop["bands_frequency"].shape == (2, *harmonic.shape)
        assert loop["temperature"][()].tolist() == [40.0, 80.0]
        # Quartic terms stiffen argon, the more the hotter it is.
        mean = loop["bands_frequency"][()].mean(axis=(1, 2))
        assert harmonic.mean() < mean[0] < mean[1]
    by_name = [(f["name"], f["message"]) for f in results["quality"]]
    for name in {name for name, _ in by_name}:
        assert sum(n == name for n, _ in by_name) <= len(LEVELS), name
    (waves,) = [f for f in results["quality"] if f["name"] == "wave_like_transport"]
    assert waves["severity"] == "info"
    assert "has levels of its own" in waves["message"]
    # The table has every level.
    assert all(level in printed.out for level in LEVELS)
    stamp = (argon / "r.run/results.json").stat().st_mtime_ns
    assert elphant(*command) == 0
    assert "nothing had to be computed" in capsys.readouterr().err
    assert (argon / "r.run/results.json").stat().st_mtime_ns == stamp


def test_only_the_temperature_that_is_asked_for(elphant, argon: Path) -> None:
    assert elphant(*BASE, "--scp", "-T", "70", "--solver", "rta", "--output", "r.run") == 0
    results = content(argon / "r.run")
    assert {r["temperature"] for r in results["thermal_conductivity"]} == {70.0}
    assert [r["temperature"] for r in results["renormalization"]] == [70.0]
    assert results["four_phonon"] == []
    quiet = (*BASE, "-T", "70", "--solver", "rta", "--no-coherence", "--output", "quiet.run")
    assert elphant(*quiet) == 0
    results = content(argon / "quiet.run")
    assert [(r["level"], r["coherence"]) for r in results["thermal_conductivity"]] == [
        ("HA+3ph", False)
    ]
    (waves,) = [f for f in results["quality"] if f["name"] == "wave_like_transport"]
    assert "not included" in waves["message"]


@pytest.fixture
def reference(elphant, argon: Path) -> list:
    assert elphant(*BASE, *SAMPLED, "--output", "whole.run") == 0
    return numbers(argon / "whole.run")


def slow_four_phonon(folder: Path) -> None:
    """Write a program that is elphant with a pause before each four-phonon item."""
    (folder / "slow_elphant.py").write_text(
        "import time\n"
        "from elphant.cli import app\n"
        "from elphant.phonon.levels import LevelScattering\n"
        "compute = LevelScattering.four_phonon\n"
        "def slowly(*arguments):\n"
        "    time.sleep(0.7)\n"
        "    return compute(*arguments)\n"
        "LevelScattering.four_phonon = slowly\n"
        "app.main()\n"
    )


def test_kill_in_a_round_of_draws_loses_nothing(elphant, argon: Path, reference: list) -> None:
    slow_four_phonon(argon)
    command = (*BASE, *SAMPLED, "--output", "killed.run")
    run, stage = argon / "killed.run", "four-phonon-ha-01"
    with subprocess.Popen(
        [sys.executable, "slow_elphant.py", *command],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 60
        while not items(run, stage) and time.monotonic() < deadline:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    before = items(run, stage)
    assert 1 <= len(before) < 4
    assert not (run / "results.json").exists()
    assert elphant(*command) == 0
    after = items(run, stage)
    assert {name: after[name] for name in before} == before, "finished points are reused"
    assert len(after) == 4
    assert_same(numbers(run), reference)


def test_shards_share_all_stages(elphant, argon: Path, reference: list) -> None:
    command, run = (*BASE, *SAMPLED, "--output", "parts.run"), argon / "parts.run"
    for turn in range(40):
        assert elphant(*command, "--shard", f"{turn % 2}/2") == 0
        if (run / "results.json").exists():
            break
    assert_same(numbers(run), reference)
    assert len(items(run, "four-phonon-ha-00")) == 4


def test_given_force_constants_of_shengbte(elphant, capsys, argon: Path, reference: list) -> None:
    folder = argon / "whole.run/exchange/shengbte"
    command = ("kappa", "--force-constants", folder, "--no-report", "--mesh", "3,3,3", "-T", "80")
    four = ("--orders", "3,4", "--solver", "rta", "--tolerance", "0.15")
    assert elphant(*command, *four, "--output", "files.run") == 0
    results = content(argon / "files.run")
    harmonic = [r for r in reference[0] if r["level"].startswith("HA")]
    assert len(results["thermal_conductivity"]) == len(harmonic) == 4
    for record, expected in zip(results["thermal_conductivity"], harmonic, strict=True):
        assert record["level"] == expected["level"]
        assert record["axes"]["a"] == pytest.approx(expected["axes"]["a"], rel=1e-5)
    citations = results["provenance"]["citations"]
    assert "maradudin1962" in citations
    assert "phono3py2015" not in citations

    def refused(*arguments: object, says: str) -> None:
        assert elphant(*arguments) == 2
        assert says in " ".join(capsys.readouterr().err.split())

    # Its third order comes as clusters, which phono3py cannot take.
    refused(*command, "--preset", "phono3py", says="conductivity.backend=elphant")
    for check in ("renormalization.method=stochastic", "renormalization.check=true"):
        refused(*command, "--scp", "--set", check, says="need a potential")
    shutil.copytree(folder, argon / "third")
    (argon / "third/FORCE_CONSTANTS_4TH").unlink()
    third = ("kappa", "--force-constants", "third", *command[3:])
    refused(*third, *four, says="--orders 3,4 needs fourth-order force constants")
    assert elphant(*third, "--solver", "rta", "--output", "third.run") == 0
    assert {r["level"] for r in content(argon / "third.run")["thermal_conductivity"]} == {"HA+3ph"}
    # phono3py's own files give its numbers, unless more than it can do is asked for.
    refused("kappa", "--force-constants", argon / "whole.run/exchange", *four, says="fourth-order")


@pytest.mark.slow
def test_stochastic_variant_and_check_of_the_loop(elphant, argon: Path) -> None:
    few = ("-T", "60", "--solver", "rta", "--set", "renormalization.max_batches=3")
    stochastic = ("--set", "renormalization.method=stochastic")
    assert elphant(*BASE, *few, *stochastic, "--output", "s.run") == 0
    results = content(argon / "s.run")
    (record,) = results["renormalization"]
    assert record["variant"] == "stochastic"
    assert record["seed"] == 0
    assert record["n_snapshots"] == 20 * record["n_iterations"]
    assert 1.0 < record["effective_sample_size"] <= record["n_snapshots"]
    assert len(record["gamma_standard_error"]) == 3
    assert {r["level"] for r in results["thermal_conductivity"]} == {"HA+3ph", "SCP+3ph"}
    assert "errea2014" in results["provenance"]["citations"]
    check = ("--scp", "--set", "renormalization.check=true")
    assert elphant(*BASE, *few, *check, "--output", "c.run") == 0
    checked = content(argon / "c.run")
    assert [r["variant"] for r in checked["renormalization"]] == ["loop", "stochastic"]
    (flag,) = [f for f in checked["quality"] if f["name"] == "renormalization_variants"]
    assert flag["severity"] == "info"
    np.testing.assert_allclose(
        checked["renormalization"][0]["minimum_after"],
        record["minimum_after"], atol=0.1,
    )  # fmt: skip
    # The check adds no level of its own.
    assert {r["renormalization"] for r in checked["thermal_conductivity"]} == {None, "loop"}


def test_dry_run_lists_every_set_of_phonons(elphant, capsys, argon: Path) -> None:
    assert elphant(*BASE, *FULL, "--dry-run") == 0
    text = capsys.readouterr().out
    for stage in (
        "scp-loop", "three-ph-ha", "four-ph-ha", "kappa-ha", "three-ph-scp-40K", "four-ph-scp-80K",
    ):  # fmt: skip
        assert stage in text, stage
    assert "4 irreducible q points" in text
    assert not list(argon.glob("*.run"))

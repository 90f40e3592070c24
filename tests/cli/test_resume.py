"""Resume after a kill, damaged stages, shards and worker processes: always the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_files import assert_same, items

BASE = ("kappa", "Ar.cif", "--config", "options.yaml", "--no-report")
MANY = ("--set", "displacements.oversampling=40")
FIXTURES = Path(__file__).parents[1] / "fixtures"


def numbers(run: Path) -> list:
    """Return everything in results.json that is physics."""
    results = json.loads((run / "results.json").read_text())
    keys = ("structure", "frame", "thermal_conductivity", "phonons", "force_constants", "quality")
    return [results[key] for key in keys]


@pytest.fixture
def reference(elphant, argon: Path) -> list:
    assert elphant(*BASE, *MANY, "--output", "whole.run") == 0
    return numbers(argon / "whole.run")


def test_kill_in_the_forces_stage_loses_nothing(argon: Path, reference: list) -> None:
    shutil.copy(FIXTURES / "slow_argon.py", argon)
    # Same numbers from the slow factory: the module is swapped, its name stays in the address.
    (argon / "lj_argon_fast.py").write_text((argon / "lj_argon.py").read_text())
    slow = (argon / "slow_argon.py").read_text().replace("lj_argon", "lj_argon_fast")
    (argon / "lj_argon.py").write_text(slow)
    command = [sys.executable, "-m", "elphant", *BASE, *MANY, "--output", "killed.run"]
    run = argon / "killed.run"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(items(run, "forces-third")) < 7 and time.monotonic() < deadline:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    before = items(run, "forces-third")
    assert 7 <= len(before) < 19
    assert not (run / "results.json").exists()
    (argon / "lj_argon.py").write_text((argon / "lj_argon_fast.py").read_text())
    subprocess.run(command, check=True, capture_output=True)
    after = items(run, "forces-third")
    assert {name: after[name] for name in before} == before, "finished snapshots are reused"
    assert len(after) > len(before)
    assert_same(numbers(run), reference)


def test_damaged_stage_is_recomputed_with_a_message(
    elphant, capsys, argon: Path, reference: list
) -> None:
    run = argon / "whole.run"
    victim = next((run / "stages").glob("force-constants-*/output/third.npy"))
    content = bytearray(victim.read_bytes())
    content[-9] ^= 0x10
    victim.write_bytes(bytes(content))
    capsys.readouterr()
    assert elphant(*BASE, *MANY, "--output", "whole.run") == 0
    message = capsys.readouterr().err
    assert "damaged" in message
    assert "sha256" in message
    assert numbers(run) == reference


def test_second_run_computes_nothing(elphant, capsys, argon: Path, reference: list) -> None:
    before = (argon / "whole.run/results.json").stat().st_mtime_ns
    assert elphant(*BASE, *MANY, "--output", "whole.run") == 0
    assert "nothing had to be computed" in capsys.readouterr().err
    assert (argon / "whole.run/results.json").stat().st_mtime_ns == before


def test_changed_option_recomputes_only_what_depends_on_it(
    elphant, argon: Path, reference: list
) -> None:
    run = argon / "whole.run"
    forces = items(run, "forces-third")
    assert elphant(*BASE, *MANY, "--output", "whole.run", "--mesh", "2,2,2") == 0
    assert items(run, "forces-third") == forces
    assert len(list((run / "stages").glob("three-phonon-*"))) == 2


def test_shards_run_apart_equal_the_whole(elphant, capsys, argon: Path, reference: list) -> None:
    command = (*BASE, *MANY, "--output", "parts.run")
    run = argon / "parts.run"
    assert elphant(*command, "--shard", "0/2") == 0
    assert "Run the other shards" in capsys.readouterr().out
    assert not (run / "results.json").exists()
    stored = {int(name[:6]) for name in items(run, "forces-third")}
    assert stored
    assert all(number % 2 == 0 for number in stored), "shard 0/2 computes even items only"
    in_turn(elphant, command, run)
    assert_same(numbers(run), reference)


def in_turn(elphant, command: tuple[str, ...], run: Path, limit: int = 20) -> None:
    """Let two shards take turns, as two jobs of a queue would, until the results are there."""
    for i in range(limit):
        assert elphant(*command, "--shard", f"{(i + 1) % 2}/2") == 0
        if (run / "results.json").exists():
            return
    raise AssertionError("the shards do not finish")


def test_workers_equal_the_serial_run(elphant, argon: Path, reference: list) -> None:
    assert elphant(*BASE, *MANY, "--output", "workers.run", "--workers", "2") == 0
    assert_same(numbers(argon / "workers.run"), reference)

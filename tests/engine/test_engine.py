"""Shards, memory bounds, devices and work that survives dying workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from elphant.engine.device import resolve_device
from elphant.engine.memory import parse_memory, require_memory
from elphant.engine.shard import Shard
from elphant.engine.work import THREAD_VARIABLES, run_work
from elphant.errors import ConfigurationError, DependencyError, ResourceError


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_partition_the_items(count: int) -> None:
    parts = [{i for i in range(20) if Shard(index=k, count=count).selects(i)} for k in range(count)]
    assert set.union(*parts) == set(range(20))
    assert sum(len(part) for part in parts) == 20


@pytest.mark.parametrize("text", ["2/2", "-1/2", "1", "a/b", "1/0", "0/2/3", ""])
def test_bad_shards_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--shard"):
        Shard.parse(text)


def test_shard_parses() -> None:
    assert Shard.parse("1/4") == Shard(index=1, count=4)


def test_memory_texts() -> None:
    assert parse_memory("8GB") == parse_memory("8") == parse_memory(8) == 8.0
    assert parse_memory("500 MB") == pytest.approx(0.5)
    assert parse_memory(None) > 0.1
    for bad in ("much", "-1", "0", "8 parsec"):
        with pytest.raises(ConfigurationError, match="memory"):
            parse_memory(bad)


def test_too_little_memory_names_both_numbers() -> None:
    require_memory(1.0, 2.0, "the BTE", "smaller mesh")
    with pytest.raises(ResourceError, match=r"about 6\.6 GB, but the bound is 2\.0 GB"):
        require_memory(6.6, 2.0, "the BTE", "smaller mesh")


def test_missing_device_is_no_silent_fallback() -> None:
    import torch

    assert resolve_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        assert resolve_device("auto") == "cpu"
        with pytest.raises(DependencyError, match="cuda"):
            resolve_device("cuda")


@dataclass
class Squares:
    """Toy work: one file per item; can kill its own process to play an out-of-memory kill."""

    folder: Path
    n_items: int
    kill_at: int = -1
    kill_always: bool = False

    def pending(self) -> list[int]:
        return [i for i in range(self.n_items) if not (self.folder / str(i)).exists()]

    def compute(self, items: Sequence[int]) -> None:
        for item in items:
            marker = self.folder / f"killed-{item}"
            if item == self.kill_at and (self.kill_always or not marker.exists()):
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            (self.folder / str(item)).write_text(f"{item**2} {os.environ['OMP_NUM_THREADS']}")


def test_serial_work_counts_progress(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    counted: list[int] = []
    run_work(Squares(tmp_path, 5), [0, 1, 2, 3, 4], chunk=2, advance=counted.append)
    assert counted == [2, 2, 1]
    assert Squares(tmp_path, 5).pending() == []


def test_killed_worker_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    work = Squares(tmp_path, 8, kill_at=3)
    run_work(work, work.pending(), n_workers=2)
    assert work.pending() == []
    assert (tmp_path / "killed-3").exists()
    values = [(tmp_path / str(i)).read_text().split() for i in range(8)]
    assert [int(v[0]) for v in values] == [i**2 for i in range(8)]
    assert {v[1] for v in values} == {str(max(1, (os.cpu_count() or 1) // 2))}
    assert {name: os.environ.get(name) for name in THREAD_VARIABLES} == before


def test_workers_that_always_die_end_in_one_error(tmp_path: Path) -> None:
    work = Squares(tmp_path, 2, kill_at=1, kill_always=True)
    with pytest.raises(ResourceError, match="died 3 times"):
        run_work(work, [1], n_workers=2)


def test_errors_of_workers_arrive(tmp_path: Path) -> None:
    work = Squares(tmp_path / "missing", 2)
    with pytest.raises(FileNotFoundError):
        run_work(work, [0, 1], n_workers=2)

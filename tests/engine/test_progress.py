"""Progress inside an item of work: seen beside the outer bar, and in a batch job's log."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from rich.console import Console

from elphant.cli import progress as terminal
from elphant.config.models import HamiltonianConfig
from elphant.crystal.io import read_crystal
from elphant.engine.progress import RemarkingProgress, SilentTask
from elphant.engine.work import WatchableWork
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.store.stage import Stage
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.stages.hamiltonian_work import HamiltonianWork


class Listener(SilentTask):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Energies(HamiltonianWork):
    def arrays(self, hamiltonian: LocalOrbitalHamiltonian) -> dict[str, np.ndarray]:
        return {"values": hamiltonian.hamiltonian.values}


def test_inner_tasks_become_remarks() -> None:
    listener = Listener()
    with RemarkingProgress(listener).task("density", 60) as task:
        task.advance()
        task.note("bands 1e-3 eV")
    assert listener.notes == ["density, step 1 of at most 60: bands 1e-3 eV"]


@pytest.mark.pyscf
def test_displaced_crystals_can_be_watched(tmp_path: Path) -> None:
    pytest.importorskip("pyscf")

    config = HamiltonianConfig(
        model="pyscf", basis="gth-szv-molopt-sr", cutoff=600.0, mesh=(1, 1, 1)
    )
    work = Energies(
        stage=Stage(tmp_path, "energies", 1, {}), crystals=[read_crystal(bulk("Si", a=5.431))],
        source=HamiltonianSource(config, None, None, 1e-4), memory_gb=2.0,
    )  # fmt: skip
    assert isinstance(work, WatchableWork)
    listener = Listener()
    work.watch(RemarkingProgress(listener))
    work.compute([0])
    assert "self-consistent density, step 1 of" in listener.notes[0]
    assert work.pending() == []


def test_log_shows_a_long_step(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    reporter = terminal.TerminalProgress(Console(file=text, width=200))
    monkeypatch.setattr(terminal, "LOG_INTERVAL", 0.0)
    with reporter.task("displaced supercells", 25) as task:
        task.note("density, step 3 of at most 60")
    assert "0 of 25; density, step 3" in text.getvalue()

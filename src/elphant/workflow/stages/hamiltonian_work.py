"""Work items that are one Hamiltonian of one displaced crystal each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elphant.crystal import Crystal
from elphant.engine.progress import Progress, SilentProgress
from elphant.models.hamiltonians.protocol import HamiltonianProvider
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.store.stage import Stage
from elphant.workflow.hamiltonian_source import HamiltonianSource


@dataclass(slots=True, kw_only=True)
class HamiltonianWork(ABC):
    """Displaced crystals whose Hamiltonians are wanted, or what follows from them.

    Attributes
    ----------
    stage : Stage
        Where finished items are stored, and unfinished self-consistent densities.
    crystals : list of Crystal
    source : HamiltonianSource
        Of a model; enough to make it again in a worker process.
    memory_gb : float
        Memory bound of one process.
    progress : Progress
        Receiver of what happens inside an item; one bar counts the items.
    """

    stage: Stage
    crystals: list[Crystal]
    source: HamiltonianSource
    memory_gb: float
    progress: Progress = field(default_factory=SilentProgress)

    def watch(self, progress: Progress) -> None:
        """Take the receiver of what happens inside an item."""
        self.progress = progress

    @abstractmethod
    def arrays(self, hamiltonian: LocalOrbitalHamiltonian) -> dict[str, Any]:
        """Return what is stored of one Hamiltonian."""

    def provider(self, checkpoint: Path) -> HamiltonianProvider:
        """Return the model."""
        return self.source.provider(self.memory_gb, checkpoint, self.progress)

    def pending(self) -> list[int]:
        """Return the crystals that are not stored."""
        return self.stage.pending_items(len(self.crystals))

    def compute(self, items: Sequence[int]) -> None:
        """Compute the Hamiltonian of each crystal and store what is wanted of it."""
        for item in items:
            checkpoint = self.stage.folder / f"checkpoint-{item:06d}.npz"
            hamiltonian = self.provider(checkpoint).predict(self.crystals[item])
            self.stage.save_item(item, self.arrays(hamiltonian))
            checkpoint.unlink(missing_ok=True)

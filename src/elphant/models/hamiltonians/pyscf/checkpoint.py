"""Checkpoints of the self-consistent cycles: a killed calculation continues where it was."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ConfigurationError, StoreError
from elphant.models.hamiltonians.pyscf.grid import DensityGrid
from elphant.models.hamiltonians.pyscf.kohn_sham import Cycle
from elphant.models.hamiltonians.pyscf.mixing import PulayMixer
from elphant.store.atomic import canonical_json, write_atomically

#: Cycles between two checkpoints.
INTERVAL = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """What the next cycle needs.

    Attributes
    ----------
    number : int
        Number of the next cycle.
    density : ndarray, (n_waves,) e/bohr³
        Its input density.
    energies : ndarray, (n_k, n_bands) eV
        Band energies of the last cycle.
    mixer : PulayMixer
    """

    number: int
    density: NDArray[np.complex128]
    energies: NDArray[np.float64]
    mixer: PulayMixer

    @classmethod
    def after(cls, cycle: Cycle) -> Checkpoint:
        """Return the state after a cycle."""
        return cls(
            number=cycle.number + 1,
            density=cycle.next_density,
            energies=cycle.bands.energies,
            mixer=cycle.mixer,
        )


def save_checkpoint(path: Path, key: str, state: Checkpoint) -> None:
    """Write ``state`` atomically."""
    arrays = {
        "key": np.array(key),
        "number": np.array(state.number),
        "density": state.density,
        "energies": state.energies,
        "inputs": np.array(state.mixer.inputs),
        "residuals": np.array(state.mixer.residuals),
    }
    write_atomically(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]


def load_checkpoint(path: Path, key: str, grid: DensityGrid) -> Checkpoint | None:
    """Return the stored state, None if there is no file.

    Raises
    ------
    ConfigurationError
        If the file belongs to another crystal or other settings.
    StoreError
        If it is damaged.
    """
    if not path.exists():
        return None
    try:
        # Opened here, because np.load leaks the file when the archive is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
        found = str(stored["key"])
        state = Checkpoint(
            number=int(stored["number"]),
            density=stored["density"],
            energies=stored["energies"],
            mixer=PulayMixer(
                grid=grid, inputs=list(stored["inputs"]), residuals=list(stored["residuals"])
            ),
        )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"checkpoint '{path}' is damaged: {error}.", fix="Delete it and start again."
        ) from error
    if found != key:
        raise ConfigurationError(
            f"checkpoint '{path}' belongs to another calculation.",
            "Crystal, basis, functional, k mesh or density grid differ.",
            "Name another checkpoint, or delete this one.",
        )
    return state


def checkpoint_key(record: object) -> str:
    """Return the sha256 of what a checkpoint depends on."""
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()

"""Stage: the Hamiltonian in local orbitals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from elphant.crystal import Crystal
from elphant.errors import StructureError
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)
from elphant.orbitals.validation import validate
from elphant.quality import QualityFlag
from elphant.store.provenance import peak_memory_gb
from elphant.store.stage import Arrays, Stage, StageOutput
from elphant.workflow.context import RunContext
from elphant.workflow.hamiltonian_source import HamiltonianSource

VERSION = 2

#: Largest distance (Å) between an atom of a Hamiltonian file and of the structure of the run.
SAME_POSITION = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HamiltonianResult:
    """The Hamiltonian all electronic stages use.

    Attributes
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    key : str
        Address of the stage.
    card : dict
        Model card.
    seconds, peak_memory_gb : float
        Cost of the computation.
    flags : tuple of QualityFlag
    """

    hamiltonian: LocalOrbitalHamiltonian
    key: str
    card: dict[str, Any]
    capabilities: dict[str, bool]
    seconds: float
    peak_memory_gb: float
    flags: tuple[QualityFlag, ...]


def hamiltonian_stage(
    context: RunContext, crystal: Crystal, source: HamiltonianSource
) -> HamiltonianResult:
    """Compute or read the Hamiltonian of ``crystal`` and validate it.

    Raises
    ------
    StructureError
        If a Hamiltonian file belongs to another structure.
    PhysicsError
        If the Hamiltonian is not that of a semiconductor, or is damaged.
    """
    inputs = {"crystal": crystal.to_dict(), "hamiltonian": source.identity}

    def compute(stage: Stage) -> tuple[Mapping[str, Any], Arrays]:
        if source.file is not None:
            from elphant.models.hamiltonians.loading import card_of_file

            hamiltonian = source.from_file
            require_same_crystal(hamiltonian.crystal, crystal)
            card, capabilities = card_of_file(source.file, hamiltonian)
        else:
            checkpoint = stage.folder / "checkpoint.npz"
            provider = source.provider(context.memory_gb, checkpoint, context.progress)
            hamiltonian = provider.predict(crystal)
            card, capabilities = provider.card, provider.capabilities
            checkpoint.unlink(missing_ok=True)
        # What the provider doubts travels with the Hamiltonian, also through files.
        doubts = hamiltonian.origin.details.get("flags", [])
        flags = [*(QualityFlag(**doubt) for doubt in doubts)]
        flags += validate(hamiltonian, require_gap=True)
        record, arrays = pack(hamiltonian)
        return record | {
            "card": card.to_dict(),
            "capabilities": {name: getattr(capabilities, name) for name in capabilities.__slots__},
            "peak_memory_gb": peak_memory_gb(),
            "flags": [flag.to_dict() for flag in flags],
        }, arrays

    output = context.reuse_or_compute("hamiltonian", VERSION, inputs, compute)
    hamiltonian = unpack(output)
    context.progress.decided(
        f"Hamiltonian: {hamiltonian.origin.level_of_theory}; {hamiltonian.n_orbitals} orbitals, "
        f"{hamiltonian.n_electrons:g} electrons, {hamiltonian.hamiltonian.n_blocks} blocks"
    )
    return HamiltonianResult(
        hamiltonian=hamiltonian,
        key=output.key,
        card=output.record["card"],
        capabilities=output.record["capabilities"],
        seconds=output.seconds,
        peak_memory_gb=output.record["peak_memory_gb"],
        flags=tuple(QualityFlag(**flag) for flag in output.record["flags"]),
    )


def require_same_crystal(of_file: Crystal, of_run: Crystal) -> None:
    """Raise unless a Hamiltonian file describes the crystal of the run, atom by atom.

    Raises
    ------
    StructureError
        With the largest difference.
    """
    why = "The atoms have another number, kind or order."
    if np.array_equal(of_file.numbers, of_run.numbers):
        cell = float(np.abs(of_file.lattice - of_run.lattice).max())
        shift = of_file.fractional - of_run.fractional
        shift -= np.round(shift)
        moved = float(np.linalg.norm(shift @ of_run.lattice, axis=1).max())
        if max(cell, moved) <= SAME_POSITION:
            return
        why = f"A lattice vector differs by {cell:.3f} Å, an atom by {moved:.3f} Å."
    raise StructureError(
        "the Hamiltonian file belongs to another structure than the run.",
        why,
        "Leave the structure out (the file brings its own), or take it as it is: no --relax, and "
        "--no-relax with elphant run.",
    )


def pack(hamiltonian: LocalOrbitalHamiltonian) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return record and arrays of a Hamiltonian."""
    arrays: dict[str, Any] = {}
    for name, matrix in _matrices(hamiltonian).items():
        arrays |= {
            f"{name}_pairs": matrix.pairs,
            f"{name}_cells": matrix.cells,
            f"{name}_values": matrix.values,
        }
    record = {
        "crystal": hamiltonian.crystal.to_dict(),
        "basis": hamiltonian.basis.to_dict(),
        "n_electrons": hamiltonian.n_electrons,
        "origin": hamiltonian.origin.to_dict(),
        "matrices": list(_matrices(hamiltonian)),
    }
    return record, arrays


def unpack(output: StageOutput) -> LocalOrbitalHamiltonian:
    """Rebuild a Hamiltonian from :func:`pack`."""
    record, arrays = output.record, output.arrays
    basis = OrbitalBasis.from_dict(record["basis"])
    matrices = {
        name: LatticeMatrix(
            sizes=basis.sizes,
            pairs=arrays[f"{name}_pairs"],
            cells=arrays[f"{name}_cells"],
            values=arrays[f"{name}_values"],
        )
        for name in record["matrices"]
    }
    position = None
    if "x" in matrices:
        position = (matrices["x"], matrices["y"], matrices["z"])
    return LocalOrbitalHamiltonian(
        crystal=Crystal.from_dict(record["crystal"]),
        basis=basis,
        hamiltonian=matrices["hamiltonian"],
        overlap=matrices.get("overlap"),
        n_electrons=record["n_electrons"],
        origin=HamiltonianOrigin.from_dict(record["origin"]),
        position=position,
    )


def _matrices(hamiltonian: LocalOrbitalHamiltonian) -> dict[str, LatticeMatrix]:
    named = {"hamiltonian": hamiltonian.hamiltonian}
    if hamiltonian.overlap is not None:
        named["overlap"] = hamiltonian.overlap
    if hamiltonian.position is not None:
        named |= dict(zip("xyz", hamiltonian.position, strict=True))
    return named

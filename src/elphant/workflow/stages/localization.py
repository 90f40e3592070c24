"""Stage: electron density, electron localization function, basins and lone pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elphant.crystal import Symmetry
from elphant.electron.density import (
    Attractor,
    Basins,
    BondValence,
    ElectronLocalization,
    bond_valence,
    classify_attractors,
    density_matrix,
    electron_localization,
    find_lone_pairs,
    localization_basins,
    orbital_character,
)
from elphant.errors import ModelError, PhysicsError
from elphant.grids import mesh_from_spacing
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.quality import QualityFlag, check_below
from elphant.store.stage import Arrays, Stage
from elphant.workflow.context import RunContext
from elphant.workflow.stages.hamiltonian import HamiltonianResult

VERSION = 1

#: Largest relative difference of the basins' electrons and those of the crystal.
POPULATION_LIMIT = 1e-3

REFERENCES = ["becke1990", "silvi1994", "yu2011", "okeeffe1991", "brese1991"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalizationResult:
    """ELF as records and arrays.

    Attributes
    ----------
    elf : dict
        ``elf`` record.
    lone_pairs : list of dict
    arrays : list of (name, values, unit, axes)
    references : list of str
    flags : tuple of QualityFlag
    """

    elf: dict[str, Any]
    lone_pairs: list[dict[str, Any]]
    arrays: Sequence[tuple[str, Any, str, str]]
    references: list[str]
    flags: tuple[QualityFlag, ...]


def localization_stage(
    context: RunContext, source: HamiltonianResult, symmetry: Symmetry
) -> LocalizationResult:
    """Compute density and ELF on a grid, their basins, and the lone pairs.

    Raises
    ------
    PhysicsError
        If the basis functions are unknown, or the orbitals are spinors.
    """
    hamiltonian, options = source.hamiltonian, context.config.electrons
    require_functions(hamiltonian)
    mesh = options.mesh or mesh_from_spacing(hamiltonian.crystal.lattice, options.mesh_spacing)
    inputs = {
        "hamiltonian": source.key,
        "mesh": list(mesh),
        "spacing": options.grid_spacing,
        "tolerance": symmetry.tolerance,
    }

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        crystal = hamiltonian.crystal
        with context.progress.task("electron localization function", 4) as task:
            matrix = density_matrix(hamiltonian, mesh, symmetry=symmetry)
            task.advance()
            localization = electron_localization(
                crystal,
                hamiltonian.basis,
                matrix,
                hamiltonian.n_electrons,
                spacing=options.grid_spacing,
                symmetry=symmetry,
            )
            task.advance()
            basins = localization_basins(localization)
            attractors = classify_attractors(crystal, basins)
            task.advance()
            valences, flags = _valences(source)
            pairs = find_lone_pairs(
                crystal,
                basins,
                attractors,
                symmetry=symmetry,
                valences=valences,
                character=orbital_character(hamiltonian, mesh, symmetry=symmetry),
            )
            task.advance()
        record = {
            "elf": elf_record(localization, basins, attractors),
            "lone_pairs": [pair.to_dict() for pair in pairs],
            "flags": [flag.to_dict() for flag in flags],
        }
        arrays = {
            "elf": localization.elf.astype(np.float32),
            "density": localization.density.astype(np.float32),
        }
        return record, arrays

    output = context.reuse_or_compute("elf", VERSION, inputs, compute)
    record = output.record
    elf = record["elf"]
    context.progress.decided(
        f"ELF on {'×'.join(str(n) for n in elf['grid'])} points: {len(elf['basins'])} basins, "
        f"{len(record['lone_pairs'])} kinds of lone pairs, "
        f"{elf['population_sum']:.4f} of {elf['n_electrons']:g} electrons"
    )
    flags = [QualityFlag(**flag) for flag in record["flags"]]
    error = abs(elf["population_error"]) / elf["n_electrons"]
    flags.append(
        check_below(
            "basin_populations",
            error,
            POPULATION_LIMIT,
            f"the ELF basins hold {elf['population_sum']:.4f} of {elf['n_electrons']:g} electrons",
        )
    )
    grid = "a, b, c"
    return LocalizationResult(
        elf=elf,
        lone_pairs=record["lone_pairs"],
        arrays=[
            ("electrons/elf/elf", output.arrays["elf"], "1", grid),
            ("electrons/elf/density", output.arrays["density"], "e Å^-3", grid),
        ],
        references=REFERENCES,
        flags=tuple(flags),
    )


def require_functions(hamiltonian: LocalOrbitalHamiltonian) -> None:
    """Raise unless the orbitals are known as functions of position.

    Raises
    ------
    PhysicsError
        If they are not.
    """
    if not hamiltonian.basis.has_functions:
        raise PhysicsError(
            "the electron localization function cannot be computed from this Hamiltonian.",
            "The orbitals as functions of position are not known; H(R) and S(R) are not enough.",
            "Use --hamiltonian pyscf, or leave out elf.",
        )


def _valences(source: HamiltonianResult) -> tuple[BondValence | None, list[QualityFlag]]:
    """Return bond valences, or a flag that says why there are none."""
    try:
        return bond_valence(source.hamiltonian.crystal), []
    except ModelError as error:
        message = "no bond valences: " + " ".join(error.text().split())
        return None, [QualityFlag(name="bond_valence", severity="info", message=message)]


def elf_record(
    localization: ElectronLocalization, basins: Basins, attractors: Sequence[Attractor]
) -> dict[str, Any]:
    """Return the ``elf`` record of ``results.json``."""
    positions = basins.positions @ localization.crystal.lattice
    total = float(basins.populations.sum())
    return {
        "grid": list(localization.shape),
        "spacing": localization.spacing,
        "n_electrons": localization.n_electrons,
        "density_floor": localization.density_floor,
        "population_sum": total,
        "population_error": total - localization.n_electrons,
        "basins": [
            {
                "kind": attractor.kind,
                "atoms": list(attractor.atoms),
                "position": position.tolist(),
                "elf_maximum": float(maximum),
                "population": float(population),
                "volume": float(volume),
            }
            for attractor, position, maximum, population, volume in zip(
                attractors,
                positions,
                basins.maxima,
                basins.populations,
                basins.volumes,
                strict=True,
            )
        ],
    }

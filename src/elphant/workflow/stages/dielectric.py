"""Stages: permittivity of the Hamiltonian, and Born charges of its displaced crystals.

The permittivity needs the Hamiltonian of the crystal at rest alone. Every displaced crystal needs
a Hamiltonian of its own, so each is a durable work item that holds the Berry phases of one crystal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.config.models import ElectronConfig
from elphant.crystal import Symmetry
from elphant.electron.dielectric.berry_phase import BerryPhases, berry_phases
from elphant.electron.dielectric.born_charges import (
    ComputedCharges,
    charge_displacements,
    charges_from_phases,
    displaced_crystals,
    ionic_charges_of,
)
from elphant.electron.dielectric.permittivity import MeshPermittivity, Permittivity, permittivity
from elphant.electron.dielectric.response import dielectric_from_hamiltonian
from elphant.grids import mesh_from_spacing
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.models.dielectric.symmetrization import independent_atoms
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.quality import QualityFlag
from elphant.store.stage import Arrays, Stage
from elphant.units import COULOMB_EV_ANGSTROM
from elphant.workflow.context import RunContext
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.stages.hamiltonian import HamiltonianResult
from elphant.workflow.stages.hamiltonian_work import HamiltonianWork

Mesh = tuple[int, int, int]

PERMITTIVITY_VERSION = 1
PHASES_VERSION = 1

#: Steps of the sequence of k meshes, as a share of the finest one.
MESH_STEP = 4

#: The doubt of a Hamiltonian that was read and cannot be computed for displaced atoms.
NO_BORN_CHARGES = QualityFlag(
    name="no_born_charges",
    severity="warning",
    message=(
        "There are no Born charges: they need the Hamiltonians of displaced crystals, and a "
        "Hamiltonian file holds one crystal. Use a model (--hamiltonian pyscf) for them."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DielectricResult:
    """Dielectric response of the Hamiltonian.

    Attributes
    ----------
    data : DielectricData or None
        Permittivity and Born charges; None where a Hamiltonian file gives no charges.
    record : dict
        ``dielectric`` record of ``results.json``; its ``born_charges`` are null without ``data``.
    arrays : list of (name, values, unit, axes)
    flags : tuple of QualityFlag
    """

    data: DielectricData | None
    record: dict[str, Any]
    arrays: Sequence[tuple[str, Any, str, str]]
    flags: tuple[QualityFlag, ...]


@dataclass(slots=True, kw_only=True)
class BerryPhaseWork(HamiltonianWork):
    """Displaced crystals whose Berry phases are wanted.

    Attributes
    ----------
    mesh : tuple of int
        Of the strings.
    """

    mesh: Mesh

    def arrays(self, hamiltonian: LocalOrbitalHamiltonian) -> dict[str, Any]:
        """Return the Berry phases."""
        phases = berry_phases(hamiltonian, self.mesh)
        return {name: np.asarray(value) for name, value in phases.to_dict().items()}


def dielectric_stage(
    context: RunContext,
    result: HamiltonianResult,
    symmetry: Symmetry,
    source: HamiltonianSource,
) -> DielectricResult:
    """Return permittivity and Born charges, symmetrised and with the acoustic sum rule.

    Raises
    ------
    PhysicsError
        If there is no gap, or a Berry phase changes too much to be followed.
    ModelError
        If the charges of the cores are unknown.
    OtherShardsPending
        If displaced crystals of other shards are missing.
    """
    hamiltonian = result.hamiltonian
    response = permittivity_stage(context, result, symmetry)
    arrays = _mesh_arrays(response)
    atoms = independent_atoms(symmetry)
    if source.file is not None:
        data, charges = None, None
        flags = (*response.flags, NO_BORN_CHARGES)
        origin = hamiltonian.origin
        record: dict[str, Any] = {
            "epsilon_infinity": np.round(response.epsilon, 12).tolist(),
            "born_charges": None,
            "source": f"{origin.provider}, {origin.level_of_theory}: {response.source()}",
            "coulomb_constant": COULOMB_EV_ANGSTROM,
        }
    else:
        charges = born_charges_stages(context, result, symmetry, source)
        data = dielectric_from_hamiltonian(hamiltonian, symmetry, response, charges)
        # Both parts tell the same about the dipoles between orbitals.
        flags = tuple({flag.name: flag for flag in (*response.flags, *charges.flags)}.values())
        raw = np.array([charges.raw[atom] for atom in atoms])
        arrays.append(
            ("electrons/dielectric/computed_charge", raw, "e", "independent atom, xyz, xyz")
        )
        record = data.to_dict()
    uncertainty = response.uncertainty
    record |= {
        "epsilon_uncertainty": uncertainty.tolist() if np.isfinite(uncertainty).all() else None,
        "charge_sum": charges.charge_sum if charges else None,
        "independent_atoms": [
            {
                "atom": atom,
                "symbol": hamiltonian.crystal.symbols[atom],
                "multiplicity": int((symmetry.equivalent_atoms == atom).sum()),
            }
            for atom in atoms
        ],
    }
    return DielectricResult(data=data, record=record, arrays=arrays, flags=flags)


def dielectric_mesh(options: ElectronConfig, lattice: NDArray[np.float64]) -> Mesh:
    """Return the finest mesh of the permittivity, which is also that of the Berry strings."""
    return options.dielectric_mesh or mesh_from_spacing(lattice, options.dielectric_spacing)


def mesh_sequence(finest: Mesh) -> tuple[Mesh, ...]:
    """Return up to three meshes in equal steps, coarse to fine, that end with ``finest``."""
    steps = [max(1, n // MESH_STEP) for n in finest]
    meshes = []
    for back in (2, 1, 0):
        a, b, c = (max(1, n - back * step) for n, step in zip(finest, steps, strict=True))
        meshes.append((a, b, c))
    return tuple(dict.fromkeys(meshes))


def permittivity_stage(
    context: RunContext, result: HamiltonianResult, symmetry: Symmetry
) -> Permittivity:
    """Return the high-frequency permittivity of independent particles.

    Raises
    ------
    PhysicsError
        If there is no gap, or the basis has no empty bands.
    """
    hamiltonian = result.hamiltonian
    meshes = mesh_sequence(dielectric_mesh(context.config.electrons, hamiltonian.crystal.lattice))
    scissor = context.config.electrons.scissor
    inputs = {
        "hamiltonian": result.key,
        "meshes": [list(mesh) for mesh in meshes],
        "scissor": scissor,
        "tolerance": symmetry.tolerance,
    }

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        with context.progress.task("permittivity", 1) as task:
            found = permittivity(hamiltonian, meshes, symmetry, scissor=scissor)
            task.advance()
        record = {
            "extrapolated": found.extrapolated,
            "scissor": found.scissor,
            "steps": [
                {
                    "mesh": list(step.mesh),
                    "direct_gap": step.direct_gap,
                    "gap": step.gap,
                    "strength": step.strength,
                }
                for step in found.meshes
            ],
            "flags": [flag.to_dict() for flag in found.flags],
        }
        return record, {
            "epsilon": found.epsilon,
            "uncertainty": found.uncertainty,
            "epsilon_of_meshes": np.array([step.epsilon for step in found.meshes]),
        }

    output = context.reuse_or_compute("permittivity", PERMITTIVITY_VERSION, inputs, compute)
    record, arrays = output.record, output.arrays
    steps = zip(record["steps"], arrays["epsilon_of_meshes"], strict=True)
    return Permittivity(
        epsilon=np.array(arrays["epsilon"]),
        uncertainty=np.array(arrays["uncertainty"]),
        extrapolated=record["extrapolated"],
        meshes=tuple(
            MeshPermittivity(epsilon=epsilon, **step | {"mesh": tuple(step["mesh"])})
            for step, epsilon in steps
        ),
        scissor=record["scissor"],
        flags=tuple(QualityFlag(**flag) for flag in record["flags"]),
    )


def born_charges_stages(
    context: RunContext,
    result: HamiltonianResult,
    symmetry: Symmetry,
    source: HamiltonianSource,
) -> ComputedCharges:
    """Return Born charges from the Berry phases of displaced crystals.

    Raises
    ------
    ModelError
        If the charges of the cores are unknown; told before anything is computed.
    PhysicsError
        If there is no gap, or a phase changes too much to be followed.
    """
    hamiltonian = result.hamiltonian
    ionic_charges_of(hamiltonian)
    mesh = dielectric_mesh(context.config.electrons, hamiltonian.crystal.lattice)
    size = context.config.electrons.born_displacement
    moves = charge_displacements(hamiltonian.crystal, symmetry, size)
    crystals = displaced_crystals(hamiltonian.crystal, moves)
    inputs = {
        "hamiltonian": result.key,
        "displacements": [move.to_dict() for move in moves],
        "mesh": list(mesh),
    }

    def compute(stage: Stage) -> tuple[Mapping[str, Any], Arrays]:
        workers = context.config.execution.workers
        # A self-consistent density uses all cores by itself.
        n_workers = 1 if workers == "auto" else min(workers, len(crystals))
        work = BerryPhaseWork(
            stage=stage,
            crystals=crystals,
            source=source,
            mesh=mesh,
            memory_gb=context.memory_gb / n_workers,
        )
        n_atoms = hamiltonian.crystal.n_atoms
        label = f"Berry phases, displaced crystals ({n_atoms} atoms)"
        context.complete_items(stage, work, len(crystals), label=label, n_workers=n_workers)
        items = stage.load_items(range(len(crystals)))
        phases = [BerryPhases.from_dict(item).to_dict() for item in items]
        record = {"at_rest": berry_phases(hamiltonian, mesh).to_dict(), "displaced": phases}
        return record, {}

    output = context.reuse_or_compute("born-phases", PHASES_VERSION, inputs, compute)
    return charges_from_phases(
        moves,
        [BerryPhases.from_dict(phases) for phases in output.record["displaced"]],
        BerryPhases.from_dict(output.record["at_rest"]),
        hamiltonian,
        symmetry,
    )


def _mesh_arrays(response: Permittivity) -> list[tuple[str, Any, str, str]]:
    """Return the convergence of the permittivity as it is called in ``data.h5``."""
    group = "electrons/dielectric"
    meshes = np.array([step.mesh for step in response.meshes])
    epsilon = np.array([step.epsilon for step in response.meshes])
    return [
        (f"{group}/mesh", meshes, "1", "mesh, abc*"),
        (f"{group}/epsilon", epsilon, "1", "mesh, xyz, xyz"),
    ]

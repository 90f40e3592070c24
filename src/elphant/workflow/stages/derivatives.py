"""Stage: derivatives of the Hamiltonian over atomic positions.

Analytic where the provider has them; else central differences in a supercell, of which each
displacement is a durable work item: the Hamiltonian of one displaced supercell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, erfc
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.config.models import RunConfig
from elphant.coupling.finite_differences import (
    Repeats,
    derivatives_from_supercells,
    displaced_supercell,
    repeated,
    supercell_displacements,
)
from elphant.coupling.long_range import LongRangeCoupling, default_range_parameter
from elphant.crystal import Crystal, Symmetry
from elphant.engine.progress import SilentProgress
from elphant.errors import ModelError
from elphant.grids import mesh_from_spacing
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.models.hamiltonians.protocol import (
    DifferentiableHamiltonian,
    DifferentiableOverlap,
    HamiltonianProvider,
    PreparesDisplacements,
)
from elphant.orbitals import LatticeMatrix, LocalOrbitalHamiltonian
from elphant.orbitals.derivatives import (
    EnvironmentDerivative,
    HamiltonianDerivatives,
    VectorMatrix,
)
from elphant.quality import QualityFlag
from elphant.store.stage import Arrays, Stage, StageOutput
from elphant.workflow.context import RunContext
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.stages.hamiltonian import HamiltonianResult
from elphant.workflow.stages.hamiltonian_work import HamiltonianWork

ITEMS_VERSION = 3
VERSION = 3

#: Distance of k points of displaced supercells, Å⁻¹, unless a mesh is given.
SUPERCELL_K_SPACING = 0.3

#: Orbitals of displaced supercells are cut on the density grid where they fall below this,
#: Å^(-3/2): ten times the value for the crystal at rest, which halves the time and changes bands
#: by less than 0.1 meV.
SUPERCELL_ORBITAL_FLOOR = 1e-5

#: Share of the field of a charge that the long-range part may lack at half the smallest height of
#: the supercell.
MISSING_SHARE = erfc(2.5)

#: The doubt of a Hamiltonian whose derivatives are unknown.
NO_DERIVATIVES = QualityFlag(
    name="no_hamiltonian_derivatives",
    severity="warning",
    message=(
        "There are no derivatives of the Hamiltonian: a file holds one crystal. Only the polar "
        "(long-range) scattering is computed, so mobilities are upper bounds. Use a model "
        "(--hamiltonian pyscf) for the rest."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DerivativesResult:
    """Derivatives of the Hamiltonian.

    Attributes
    ----------
    derivatives : HamiltonianDerivatives or None
        None for a Hamiltonian that was read from a file.
    record : dict
        How they were made, in ``carrier_transport`` of ``results.json``.
    flags : tuple of QualityFlag
    key : str
        Address of the stage.
    range_parameter : float or None, Å⁻¹
        Λ of the long-range part that is to be added back; None without Born charges.
    with_range : callable
        Returns the same for another range parameter.
    """

    derivatives: HamiltonianDerivatives | None
    record: dict[str, Any]
    flags: tuple[QualityFlag, ...]
    key: str
    range_parameter: float | None
    with_range: Callable[[float], DerivativesResult]


@dataclass(slots=True, kw_only=True)
class SupercellWork(HamiltonianWork):
    """Displaced supercells whose Hamiltonians are wanted.

    Attributes
    ----------
    at_rest : Crystal
        The supercell without displacements.
    state : dict of ndarray
        What all displaced ones start from (:class:`PreparesDisplacements`).
    """

    at_rest: Crystal
    state: Arrays

    def provider(self, checkpoint: Path) -> HamiltonianProvider:
        """Return the model, prepared for what all supercells share."""
        # Not super(): a dataclass with slots is made anew, and its methods know the old class.
        provider = HamiltonianWork.provider(self, checkpoint)
        if isinstance(provider, PreparesDisplacements):
            return provider.for_displacements(self.at_rest, self.state)
        return provider

    def arrays(self, hamiltonian: LocalOrbitalHamiltonian) -> dict[str, Any]:
        """Return the blocks of H."""
        matrix = hamiltonian.hamiltonian
        return {"pairs": matrix.pairs, "cells": matrix.cells, "values": matrix.values}


def derivatives_stage(
    context: RunContext,
    result: HamiltonianResult,
    symmetry: Symmetry,
    source: HamiltonianSource,
    dielectric: DielectricData | None,
    quadrupoles: NDArray[np.float64] | None = None,
) -> DerivativesResult:
    """Return the derivatives of H and S, short-ranged where Born charges are known.

    ``quadrupoles`` (n_atoms, 3, 3, 3), e Å, go with the Born charges.

    Raises
    ------
    ModelError
        If the provider knows no derivatives of the overlap.
    OtherShardsPending
        If displaced supercells of other shards are missing.
    """
    hamiltonian = result.hamiltonian
    repeats = supercell_repeats(context.config, hamiltonian.crystal)
    range_parameter = chosen_range(context.config, hamiltonian.crystal, repeats, dielectric)

    def with_range(value: float) -> DerivativesResult:
        transport = context.config.transport.model_copy(update={"range_parameter": value})
        other = context.config.model_copy(update={"transport": transport})
        return derivatives_stage(
            replace(context, config=other), result, symmetry, source, dielectric, quadrupoles
        )

    if source.file is not None:
        return DerivativesResult(
            derivatives=None, record={"method": "none"}, flags=(NO_DERIVATIVES,), key="",
            range_parameter=range_parameter, with_range=with_range,
        )  # fmt: skip
    provider = source.provider(
        context.memory_gb, context.directory.path / "unused.npz", SilentProgress()
    )
    if isinstance(provider, DifferentiableHamiltonian):
        analytic = provider.derivatives(hamiltonian.crystal)
        return DerivativesResult(
            derivatives=analytic, record=dict(analytic.details), flags=(), key=result.key,
            range_parameter=range_parameter, with_range=with_range,
        )  # fmt: skip
    if not isinstance(provider, DifferentiableOverlap):
        raise ModelError(
            f"the Hamiltonian model '{source.config.model}' has no derivatives of the overlap.",
            "Finite differences of H alone do not give the coupling in a basis that moves.",
            "Use pyscf or a Slater-Koster set.",
        )
    moves = supercell_displacements(
        hamiltonian.crystal, symmetry, repeats, context.config.transport.derivative_displacement
    )
    crystals = [displaced_supercell(hamiltonian.crystal, repeats, move) for move in moves]
    of_supercells = supercell_source(context.config, source, crystals[0])
    crystal = hamiltonian.crystal
    # H depends neither on masses nor on names: other phonons leave these items as they are.
    common = {
        "lattice": crystal.lattice.tolist(),
        "fractional": crystal.fractional.tolist(),
        "numbers": crystal.numbers.tolist(),
        "hamiltonian": of_supercells.identity,
        "supercell": list(repeats),
        "orbital_floor": SUPERCELL_ORBITAL_FLOOR,
    }
    inputs = common | {"displacements": [move.to_dict() for move in moves]}
    context.progress.decided(
        f"derivatives: {len(moves)} displacements in a {'x'.join(map(str, repeats))} supercell of "
        f"{crystals[0].n_atoms} atoms"
    )
    items_stage = context.directory.stage("displaced-supercells", ITEMS_VERSION, inputs)
    assembled_inputs = {
        "supercells": items_stage.key,
        "hamiltonian": result.key,
        "dielectric": None if dielectric is None else dielectric.to_dict(),
        "range_parameter": range_parameter,
        "quadrupoles": None if quadrupoles is None else quadrupoles.tolist(),
        "floor": context.config.transport.derivative_floor,
        "tolerance": symmetry.tolerance,
    }

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        workers = context.config.execution.workers
        # A self-consistent density uses all cores by itself.
        n_workers = 1 if workers == "auto" else min(workers, len(crystals))
        at_rest = repeated(hamiltonian.crystal, repeats)
        state: Arrays = {}
        if items_stage.pending_items(len(crystals)):
            state = _state_at_rest(context, at_rest, of_supercells, common)
        work = SupercellWork(
            stage=items_stage, crystals=crystals, source=of_supercells,
            memory_gb=context.memory_gb / n_workers, at_rest=at_rest, state=state,
        )  # fmt: skip
        label = f"displaced supercells ({crystals[0].n_atoms} atoms)"
        context.complete_items(items_stage, work, len(crystals), label=label, n_workers=n_workers)
        sizes = np.tile(hamiltonian.basis.sizes, int(np.prod(repeats)))
        matrices = [
            LatticeMatrix(sizes=sizes, **item)
            for item in items_stage.load_items(range(len(crystals)))
        ]
        long_range = None
        if dielectric is not None and range_parameter is not None:
            long_range = LongRangeCoupling(
                crystal=hamiltonian.crystal, dielectric=dielectric, range_parameter=range_parameter,
                quadrupoles=quadrupoles,
            )  # fmt: skip
        found = derivatives_from_supercells(
            hamiltonian.crystal, symmetry, hamiltonian.basis, repeats, moves, matrices,
            overlap=hamiltonian.overlap,
            overlap_derivative=provider.overlap_derivative(hamiltonian.crystal),
            long_range=long_range, floor=context.config.transport.derivative_floor,
        )  # fmt: skip
        derivatives = found.derivatives
        record = derivatives.details | {
            "settings": of_supercells.config.model_dump(mode="json"),
            "flags": [flag.to_dict() for flag in found.flags],
        }
        return record, _pack(derivatives)

    output = context.reuse_or_compute("derivatives", VERSION, assembled_inputs, compute)
    record = {name: value for name, value in output.record.items() if name != "flags"}
    return DerivativesResult(
        derivatives=_unpack(output, hamiltonian, record),
        record=record,
        flags=tuple(QualityFlag(**flag) for flag in output.record["flags"]),
        key=output.key,
        range_parameter=range_parameter,
        with_range=with_range,
    )


def _state_at_rest(
    context: RunContext, at_rest: Crystal, source: HamiltonianSource, inputs: dict[str, Any]
) -> Arrays:
    """Return what the Hamiltonians of displaced supercells start from."""

    def compute(stage: Stage) -> tuple[Mapping[str, Any], Arrays]:
        checkpoint = stage.folder / "checkpoint.npz"
        provider = source.provider(context.memory_gb, checkpoint, context.progress)
        state = {}
        if isinstance(provider, PreparesDisplacements):
            state = dict(provider.state_at_rest(at_rest))
        checkpoint.unlink(missing_ok=True)
        return {}, state

    return context.reuse_or_compute("supercell-at-rest", 1, inputs, compute).arrays


def supercell_repeats(config: RunConfig, crystal: Crystal) -> Repeats:
    """Return the supercell in which atoms are displaced."""
    chosen = config.transport.derivative_supercell
    if isinstance(chosen, tuple):
        return chosen
    a, b, c = (max(1, ceil(chosen / height - 0.02)) for height in crystal.heights)
    return a, b, c


def supercell_source(
    config: RunConfig, source: HamiltonianSource, supercell: Crystal
) -> HamiltonianSource:
    """Return the model with the settings for displaced supercells."""
    options = config.transport
    mesh = options.derivative_mesh or mesh_from_spacing(supercell.lattice, SUPERCELL_K_SPACING)
    changed = source.config.model_copy(
        update={
            "mesh": mesh,
            "self_consistent": source.config.self_consistent and options.derivative_self_consistent,
        }
    )
    return HamiltonianSource(
        changed, None, None, source.tolerance, orbital_floor=SUPERCELL_ORBITAL_FLOOR
    )


def chosen_range(
    config: RunConfig, crystal: Crystal, repeats: Repeats, dielectric: DielectricData | None
) -> float | None:
    r"""Return the range parameter Λ (Å⁻¹) of the long-range part; None without Born charges.

    The rest of a dipole's potential falls off as :math:`\mathrm{erfc}(\Lambda r /
    \sqrt{\varepsilon})` and must have died at half the height of the supercell.
    """
    if dielectric is None:
        return None
    if config.transport.range_parameter is not None:
        return config.transport.range_parameter
    half = 0.5 * float((crystal.heights * np.array(repeats)).min())
    return default_range_parameter(dielectric.epsilon_infinity, half, missing=MISSING_SHARE)


def _pack(derivatives: HamiltonianDerivatives) -> dict[str, Any]:
    environment = derivatives.environment
    assert isinstance(environment, EnvironmentDerivative)
    arrays: dict[str, Any] = {
        "moved": environment.moved,
        "pairs": environment.pairs,
        "cells": environment.cells,
        "values": environment.values,
    }
    if derivatives.overlap is not None:
        pattern = derivatives.overlap[0]
        arrays |= {"overlap_pairs": pattern.pairs, "overlap_cells": pattern.cells}
        arrays["overlap_values"] = np.stack([matrix.values for matrix in derivatives.overlap])
    return arrays


def _unpack(
    output: StageOutput, hamiltonian: LocalOrbitalHamiltonian, record: dict[str, Any]
) -> HamiltonianDerivatives:
    arrays, sizes = output.arrays, hamiltonian.basis.sizes
    overlap: VectorMatrix | None = None
    if "overlap_values" in arrays:
        x, y, z = (
            LatticeMatrix(
                sizes=sizes, pairs=arrays["overlap_pairs"], cells=arrays["overlap_cells"],
                values=values,
            )
            for values in arrays["overlap_values"]
        )  # fmt: skip
        overlap = (x, y, z)
    return HamiltonianDerivatives(
        sizes=sizes,
        overlap=overlap,
        environment=EnvironmentDerivative(
            sizes=sizes, moved=arrays["moved"], pairs=arrays["pairs"], cells=arrays["cells"],
            values=arrays["values"],
        ),
        details=record,
    )  # fmt: skip

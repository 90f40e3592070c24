"""Stages: force constants from forces, or from files that the user brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.adapters.import_sources import locate
from elphant.phonon.displacement import DisplacementPlan
from elphant.phonon.fitting import fit_force_constants
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.harmonic import compare_gamma, unit_cell_gamma
from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.quality import QualityFlag
from elphant.store.atomic import sha256_of_file
from elphant.store.stage import Arrays, Stage, StageOutput
from elphant.workflow.context import RunContext

VERSION = 5
_ARRAYS = (
    "second",
    "third",
    "primitive_matrix",
    "supercell_matrix_second",
    "supercell_matrix_third",
)
#: Force constants that come as clusters, stored as ``<name>_atoms`` and so on.
_CLUSTERS = ("third_clusters", "fourth")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForceConstantsResult:
    """Force constants with the address they are stored under.

    Attributes
    ----------
    force_constants : ForceConstants
    record : dict
        ``force_constants`` record of ``results.json``.
    key : str
        Address of the stage.
    flags : tuple of QualityFlag
    kind : str or None
        Of the files they were read from: ``phonopy``, ``phono3py``, ``FORCE_SETS``, ``shengbte``.
    """

    force_constants: ForceConstants
    record: dict[str, Any]
    key: str
    flags: tuple[QualityFlag, ...]
    kind: str | None = None


def fit_stage(
    context: RunContext,
    crystal: Crystal,
    plans: Sequence[DisplacementPlan],
    forces: Sequence[NDArray[np.float64]],
    force_keys: Sequence[str],
    dielectric: DielectricData | None,
) -> ForceConstantsResult:
    """Fit force constants to the forces of the plans.

    The plan labelled ``unit_cell`` is not fitted: its Γ frequencies check those of the fit.
    """
    fitted_plans = [plan for plan in plans if plan.label != "unit_cell"]
    inputs = {
        "crystal": crystal.to_dict(),
        "plans": [plan.to_dict() for plan in plans],
        "forces": list(force_keys),
        "dielectric": dielectric.to_dict() if dielectric else None,
    }

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        with context.progress.task("fitting force constants", 1) as task:
            fitted, report = fit_force_constants(
                crystal,
                fitted_plans,
                [f for plan, f in zip(plans, forces, strict=True) if plan.label != "unit_cell"],
                dielectric,
            )
            flags = [*report.flags, *_gamma_flags(fitted, plans, forces)]
            task.advance()
        measured = report.to_dict()
        measured.pop("flags", None)
        record = force_constants_record(fitted, fitted_plans) | measured
        return _pack(fitted, record, [flag.to_dict() for flag in flags])

    return _unpack(context.reuse_or_compute("force-constants", VERSION, inputs, compute))


def import_stage(context: RunContext, path: Path, born: Path | None) -> ForceConstantsResult:
    """Read force constants from the user's phonopy, phono3py or ShengBTE files."""
    from elphant.phonon.adapters.import_files import load_force_constants

    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if path.is_file():
        # fc2.hdf5, FORCES_FC3 and the like lie beside the yaml file that names the crystal.
        files += sorted(p for p in path.parent.glob("*") if p.is_file() and _is_companion(p))
    if born is not None:
        files.append(born)
    inputs = {
        "files": [[file.name, sha256_of_file(file)] for file in files if file.is_file()],
        "path": path.name,
        "born": born.name if born else None,
    }

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        with context.progress.task(f"reading {path.name}", 1) as task:
            imported = load_force_constants(path, born)
            task.advance()
        return _pack(imported, force_constants_record(imported, ()), [])

    output = context.reuse_or_compute("import-force-constants", VERSION, inputs, compute)
    return replace(_unpack(output), kind=locate(path).kind)


def force_constants_record(
    force_constants: ForceConstants, plans: Sequence[DisplacementPlan]
) -> dict[str, Any]:
    """Return the supercells and counts of the ``force_constants`` record of ``results.json``."""
    third = force_constants.third
    by_label = {plan.label: plan for plan in plans}
    amplitudes = {label: plan.amplitude for label, plan in by_label.items()}
    joint = by_label.get("third")
    fourth = force_constants.fourth
    clusters = force_constants.third_clusters
    matrix_third = force_constants.supercell_matrix_third
    return {
        "source": force_constants.source,
        "supercell_second": force_constants.supercell_matrix_second.tolist(),
        "n_atoms_second": int(force_constants.second.shape[1]),
        "supercell_third": None if matrix_third is None else matrix_third.tolist(),
        "n_atoms_third": None if third is None else int(third.shape[1]),
        "n_snapshots": {label: len(plan.displacements) for label, plan in by_label.items()},
        "design": {label: plan.method for label, plan in by_label.items()},
        "displacement_amplitude": amplitudes,
        "cutoff_third": None if joint is None else joint.cutoff_third,
        "cutoff_fourth": None if joint is None else joint.cutoff_fourth,
        "n_clusters_third": None if clusters is None else clusters.n_clusters,
        "n_clusters_fourth": None if fourth is None else fourth.n_clusters,
        "n_parameters": None,
        "force_rmse": None,
        "force_r2": None,
        "sum_rule_residual": {},
        "residual_force": None,
    }


def _gamma_flags(
    fitted: ForceConstants,
    plans: Sequence[DisplacementPlan],
    forces: Sequence[NDArray[np.float64]],
) -> list[QualityFlag]:
    return [
        compare_gamma(fitted, unit_cell_gamma(plan, unit_forces))
        for plan, unit_forces in zip(plans, forces, strict=True)
        if plan.label == "unit_cell"
    ]


def _is_companion(path: Path) -> bool:
    return path.suffix in (".hdf5", ".yaml", ".xz") or path.name.startswith(
        ("FORCE", "BORN", "CONTROL", "POSCAR")
    )


def _pack(
    force_constants: ForceConstants, record: Mapping[str, Any], flags: Sequence[Any]
) -> tuple[Mapping[str, Any], Arrays]:
    dielectric = force_constants.dielectric
    stored = {
        "crystal": force_constants.unitcell.to_dict(),
        "dielectric": dielectric.to_dict() if dielectric else None,
        "source": force_constants.source,
        "record": dict(record),
        "flags": list(flags),
    }
    arrays = {name: getattr(force_constants, name) for name in _ARRAYS}
    for name in _CLUSTERS:
        sparse = getattr(force_constants, name)
        if sparse is not None:
            arrays |= {f"{name}_{part}": array for part, array in sparse.to_arrays().items()}
    return stored, {name: array for name, array in arrays.items() if array is not None}


def _unpack(output: StageOutput) -> ForceConstantsResult:
    record = output.record
    dielectric = record["dielectric"]
    parts: dict[str, Any] = {
        **{name: output.arrays[name] for name in _ARRAYS if name in output.arrays},
        **{name: _clusters(output.arrays, name) for name in _CLUSTERS},
    }
    force_constants = ForceConstants(
        unitcell=Crystal.from_dict(record["crystal"]),
        dielectric=DielectricData.from_dict(dielectric) if dielectric else None,
        source=record["source"],
        **parts,
    )
    return ForceConstantsResult(
        force_constants=force_constants,
        record=record["record"],
        key=output.key,
        flags=tuple(QualityFlag(**flag) for flag in record["flags"]),
    )


def _clusters(arrays: Arrays, name: str) -> SparseForceConstants | None:
    prefix = f"{name}_"
    parts = {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }
    return SparseForceConstants.from_arrays(parts) if parts else None

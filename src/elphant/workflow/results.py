"""Writing what a run found: ``results.json`` (public schema) and ``data.h5``."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import elphant
from elphant.crystal import Crystal, Frame, Symmetry
from elphant.phonon.conductivity import ConductivitySettings, ThermalConductivity
from elphant.quality import QualityFlag, check_below
from elphant.store.atomic import write_atomically, write_json
from elphant.store.provenance import hardware, package_versions, peak_memory_gb
from elphant.store.run_directory import RunDirectory
from elphant.tensors import TransportTensor
from elphant.workflow.stages.force_constants import ForceConstantsResult
from elphant.workflow.stages.harmonic import HarmonicResult

SCHEMA_VERSION = "1.0"

#: Largest share of a tensor that symmetry would remove before it counts as a doubt.
SYMMETRY_RESIDUAL_LIMIT = 1e-3

#: Lists of the public schema that this version of the program does not fill yet.
EMPTY_LISTS = (
    "effective_mass", "mobility", "seebeck", "electrical_conductivity",
    "electronic_thermal_conductivity", "figure_of_merit", "lone_pairs", "force_asymmetry",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhononRun:
    """Everything a finished phonon job leaves for the results.

    Attributes
    ----------
    crystal, symmetry, frame
        The structure that was used.
    relaxation, potential : dict or None
        Records of the stages.
    force_constants : ForceConstantsResult
    harmonic : HarmonicResult
    settings : ConductivitySettings
    conductivities : dict
        Solver name to result.
    flags : tuple of QualityFlag
    """

    crystal: Crystal
    symmetry: Symmetry
    frame: Frame
    relaxation: dict[str, Any] | None
    potential: dict[str, Any] | None
    force_constants: ForceConstantsResult
    harmonic: HarmonicResult
    settings: ConductivitySettings
    conductivities: Mapping[str, ThermalConductivity]
    flags: Sequence[QualityFlag] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Circumstances of a run, for its provenance."""

    command: str
    input_file: str
    input_sha256: str
    preset: str
    run_key: str
    seeds: dict[str, int]
    timings: dict[str, float]
    citations: tuple[str, ...]


def write_results(directory: RunDirectory, run: PhononRun, record: RunRecord) -> dict[str, Any]:
    """Write ``data.h5``, then ``results.json``, and return the latter's content."""
    tensors, flags = conductivity_records(run)
    results: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": run.crystal.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "structure": structure_record(run.crystal, run.symmetry),
        "frame": run.frame.to_dict(),
        "relaxation": run.relaxation,
        "potential": run.potential,
        "force_constants": run.force_constants.record,
        "dielectric": _dielectric(run),
        "thermal_conductivity": tensors,
        "phonons": phonon_record(run),
        **{name: [] for name in EMPTY_LISTS},
        "band_gap": None,
        "quality": [flag.to_dict() for flag in (*run.flags, *flags)],
        "provenance": provenance_record(run, record),
    }
    write_data(directory, run)
    write_json(directory.results, results)
    return results


def structure_record(crystal: Crystal, symmetry: Symmetry) -> dict[str, Any]:
    """Return the ``structure`` record."""
    return crystal.to_dict() | {
        "formula": crystal.formula,
        "n_atoms": crystal.n_atoms,
        "volume": crystal.volume,
        "lengths": crystal.lengths.tolist(),
        "angles": crystal.angles.tolist(),
        "space_group": f"{symmetry.international} ({symmetry.number})",
        "setting": symmetry.setting,
    }


def conductivity_records(run: PhononRun) -> tuple[list[dict[str, Any]], list[QualityFlag]]:
    """Return one flat record per solver and temperature, and the symmetry check."""
    rotations = run.symmetry.cartesian_rotations(run.crystal.lattice)
    settings, records, worst = run.settings, [], 0.0
    for solver, result in run.conductivities.items():
        for temperature, values in zip(result.temperatures, result.conductivity, strict=True):
            raw = TransportTensor(values=values, unit="W m^-1 K^-1", frame=run.frame)
            tensor, residual = raw.symmetrized(rotations)
            worst = max(worst, residual)
            records.append(
                {
                    "temperature": float(temperature),
                    "level": "HA+3ph",
                    "solver": solver,
                    "coherence": False,
                    **tensor.to_dict(),
                    "standard_error": None,
                    "symmetry_residual": residual,
                    "mesh": list(settings.mesh),
                    "isotope": settings.isotope,
                    "boundary_mfp_um": settings.boundary_mfp_um,
                    "broadening": "tetrahedron"
                    if settings.sigma_thz is None
                    else f"gaussian {settings.sigma_thz:g} THz",
                    "degenerate_average": settings.degenerate_average,
                }
            )
    if not records:
        return [], []
    flag = check_below(
        "tensor_symmetry",
        worst,
        SYMMETRY_RESIDUAL_LIMIT,
        f"averaging over the point group changed the conductivity tensor by {worst:.1e} of its "
        "norm",
    )
    return records, [flag]


def phonon_record(run: PhononRun) -> dict[str, Any]:
    """Return the ``phonons`` record; frequencies of the density-of-states mesh."""
    harmonic = run.harmonic
    return {
        "gamma_frequencies": harmonic.gamma.tolist(),
        "minimum_frequency": harmonic.minimum_frequency,
        "maximum_frequency": harmonic.maximum_frequency,
        "imaginary_fraction": harmonic.imaginary_fraction,
        "mesh": list(harmonic.mesh),
    }


def provenance_record(run: PhononRun, record: RunRecord) -> dict[str, Any]:
    """Return the ``provenance`` record."""
    return {
        "elphant_version": elphant.__version__,
        "versions": package_versions(),
        "models": [run.potential] if run.potential else [],
        "seeds": record.seeds,
        "timings": record.timings,
        "peak_memory_gb": round(peak_memory_gb(), 3),
        "hardware": hardware(),
        "command": record.command,
        "input_file": record.input_file,
        "input_sha256": record.input_sha256,
        "preset": record.preset,
        "run_key": record.run_key,
        "citations": list(record.citations),
    }


def write_data(directory: RunDirectory, run: PhononRun) -> None:
    """Write ``data.h5``: every array with its unit, axes and frame."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        _write_harmonic(file, run.harmonic)
        if run.conductivities:
            _write_mesh(file, next(iter(run.conductivities.values())))
        for solver, result in run.conductivities.items():
            _write_conductivity(file, f"thermal_conductivity/{solver}", result)
    write_atomically(directory.data, lambda stream: stream.write(buffer.getvalue()))


def _write_harmonic(file: Any, harmonic: HarmonicResult) -> None:
    bands, dos = harmonic.arrays, "phonons/dos"
    _put(file, "phonons/bands/distance", bands["bands_distance"], "Å^-1", "point")
    _put(file, "phonons/bands/q_point", bands["bands_q_point"], "1", "point, abc*")
    _put(file, "phonons/bands/frequency", bands["bands_frequency"], "THz", "point, mode")
    _put(file, "phonons/bands/label_distance", bands["bands_label_distance"], "Å^-1", "label")
    _put(file, "phonons/bands/segment_start", bands["bands_segment_start"], "1", "segment")
    file["phonons/bands"].create_dataset("label", data=[t.encode() for t in harmonic.labels])
    _put(file, f"{dos}/frequency", bands["dos_frequency"], "THz", "frequency")
    _put(file, f"{dos}/total", bands["dos_total"], "states/THz/cell", "frequency")
    for name in harmonic.elements:
        values = bands[f"dos_element_{name}"]
        _put(file, f"{dos}/element/{name}", values, "states/THz/cell", "frequency")


def _write_mesh(file: Any, result: ThermalConductivity) -> None:
    group = "phonons/mesh"
    _put(file, f"{group}/q_point", result.q_points, "1", "q, abc*")
    _put(file, f"{group}/weight", result.weights, "1", "q")
    _put(file, f"{group}/frequency", result.frequencies, "THz", "q, mode")
    _put(file, f"{group}/group_velocity", result.group_velocities, "Å THz", "q, mode, xyz")


def _write_conductivity(file: Any, group: str, result: ThermalConductivity) -> None:
    _put(file, f"{group}/temperature", result.temperatures, "K", "temperature")
    _put(file, f"{group}/heat_capacity", result.heat_capacities, "eV/K", "temperature, q, mode")
    _put(file, f"{group}/rate", result.rates, "ps^-1", "temperature, q, mode")
    three = result.rates_three_phonon
    _put(file, f"{group}/rate_three_phonon", three, "ps^-1", "temperature, q, mode")
    if result.rates_isotope is not None:
        _put(file, f"{group}/rate_isotope", result.rates_isotope, "ps^-1", "q, mode")
    mode, axes = result.mode_conductivity, "temperature, q, mode, xyz, xyz"
    _put(file, f"{group}/mode_conductivity", mode, "W m^-1 K^-1", axes)
    _put(file, f"{group}/conductivity", result.conductivity, "W m^-1 K^-1", "temperature, xyz, xyz")


def _put(file: Any, name: str, values: ArrayLike, units: str, axes: str) -> None:
    dataset = file.create_dataset(name, data=np.asarray(values))
    dataset.attrs.update(units=units, axes=axes, frame="cartesian frame of the input structure")


def _dielectric(run: PhononRun) -> dict[str, Any] | None:
    dielectric = run.force_constants.force_constants.dielectric
    return dielectric.to_dict() if dielectric else None

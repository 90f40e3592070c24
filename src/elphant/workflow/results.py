"""Writing what a run found: ``results.json`` (public schema) and ``data.h5``."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import elphant
from elphant.crystal import AXES, Crystal, Frame, Symmetry
from elphant.phonon.conductivity import ThermalConductivity
from elphant.phonon.renormalization import RenormalizedForceConstants
from elphant.quality import QualityFlag, check_below
from elphant.store.atomic import write_atomically, write_json
from elphant.store.provenance import hardware, package_versions, peak_memory_gb
from elphant.store.run_directory import RunDirectory
from elphant.tensors import TransportTensor
from elphant.workflow.electrons import NO_TRANSPORT, ElectronPart
from elphant.workflow.figure_of_merit import figure_of_merit_records
from elphant.workflow.ladder import Ladder, rates_by_channel
from elphant.workflow.phonons import PhononPart
from elphant.workflow.stages.harmonic import HarmonicResult

SCHEMA_VERSION = "1.3"

#: Largest share of a tensor that symmetry would remove before it counts as a doubt.
SYMMETRY_RESIDUAL_LIMIT = 1e-3

#: Records of the analysis of anharmonicity in a run without phonons.
NO_ANALYSIS: dict[str, list[Any]] = {
    "force_asymmetry": [], "gruneisen": [], "rates": [], "velocity_anisotropy": [],
}  # fmt: skip

#: Electronic records of a run without electrons.
NO_ELECTRONS: dict[str, Any] = {
    "electronic_structure": None, "band_gap": None, "effective_mass": [], "lone_pairs": [],
    "elf": None, **NO_TRANSPORT,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedRun:
    """Everything a finished run leaves for the results.

    Attributes
    ----------
    crystal, symmetry, frame
        The structure that was used.
    tasks : tuple of str
        What was computed.
    relaxation, potential : dict or None
        Records of the stages.
    phonons : PhononPart or None
    electrons : ElectronPart or None
    flags : tuple of QualityFlag
    """

    crystal: Crystal
    symmetry: Symmetry
    frame: Frame
    tasks: tuple[str, ...]
    relaxation: dict[str, Any] | None
    potential: dict[str, Any] | None
    phonons: PhononPart | None
    electrons: ElectronPart | None
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


def write_results(directory: RunDirectory, run: FinishedRun, record: RunRecord) -> dict[str, Any]:
    """Write ``data.h5``, then ``results.json``, and return the latter's content."""
    phonons, electrons = run.phonons, run.electrons
    tensors, flags = conductivity_records(run, phonons) if phonons else ([], [])
    results: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": run.crystal.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "structure": structure_record(run.crystal, run.symmetry),
        "frame": run.frame.to_dict(),
        "relaxation": run.relaxation,
        "potential": run.potential,
        "force_constants": phonons.force_constants.record if phonons else None,
        "dielectric": _dielectric(run),
        "thermal_conductivity": tensors,
        "phonons": phonon_record(phonons.harmonic) if phonons else None,
        "renormalization": phonons.ladder.records.get("renormalization", []) if phonons else [],
        "four_phonon": phonons.ladder.records.get("four_phonon", []) if phonons else [],
        **NO_ANALYSIS,
        **(phonons.analysis.records if phonons else {}),
        **NO_ELECTRONS,
        **(electrons.records if electrons else {}),
        "figure_of_merit": figure_of_merit_records(
            electrons.records if electrons else NO_TRANSPORT, tensors, run.frame
        ),
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


def conductivity_records(
    run: FinishedRun, phonons: PhononPart
) -> tuple[list[dict[str, Any]], list[QualityFlag]]:
    """Return flat records of all levels, solvers and temperatures, and the symmetry check."""
    rotations = run.symmetry.cartesian_rotations(run.crystal.lattice)
    records, worst = [], 0.0
    for level in phonons.ladder.levels:
        for part, i, temperature in level.temperatures():
            for coherence in (False, True) if part.coherence is not None else (False,):
                values = np.array(part.conductivity[i])
                if coherence and part.coherence is not None:
                    values += part.coherence[i]
                raw = TransportTensor(values=values, unit="W m^-1 K^-1", frame=run.frame)
                tensor, residual = raw.symmetrized(rotations)
                worst = max(worst, residual)
                records.append(
                    {
                        "temperature": temperature,
                        "level": level.level,
                        "solver": level.solver,
                        "coherence": coherence,
                        "renormalization": level.variant,
                        **tensor.to_dict(),
                        "standard_error": _axes(part.standard_error_axes, i),
                        "symmetry_residual": residual,
                        "mesh": list(part.mesh),
                        "isotope": part.rates_isotope is not None,
                        "boundary_mfp_um": part.boundary_mfp_um,
                        "broadening": part.broadening,
                        "degenerate_average": phonons.ladder.degenerate_average,
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


def _axes(values: NDArray[np.float64] | None, index: int) -> dict[str, float] | None:
    if values is None:
        return None
    return dict(zip(AXES, values[index].tolist(), strict=True))


def phonon_record(harmonic: HarmonicResult) -> dict[str, Any]:
    """Return the ``phonons`` record; frequencies of the density-of-states mesh."""
    return {
        "gamma_frequencies": harmonic.gamma.tolist(),
        "minimum_frequency": harmonic.minimum_frequency,
        "maximum_frequency": harmonic.maximum_frequency,
        "imaginary_fraction": harmonic.imaginary_fraction,
        "mesh": list(harmonic.mesh),
    }


def provenance_record(run: FinishedRun, record: RunRecord) -> dict[str, Any]:
    """Return the ``provenance`` record."""
    return {
        "elphant_version": elphant.__version__,
        "versions": package_versions(),
        "tasks": list(run.tasks),
        "models": [card for card in (run.potential, _hamiltonian_card(run)) if card],
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


def write_data(directory: RunDirectory, run: FinishedRun) -> None:
    """Write ``data.h5``: every array with its unit, axes and frame."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        if run.phonons:
            _write_harmonic(file, run.phonons.harmonic)
            _write_levels(file, run.phonons.ladder)
            _write_renormalization(file, run.phonons.ladder)
            for name, values, unit, axes in run.phonons.analysis.arrays:
                _put(file, name, values, unit, axes)
        if run.electrons:
            for name, values, unit, axes in run.electrons.arrays:
                _put(file, name, values, unit, axes)
            for name, words in run.electrons.labels.items():
                file.create_dataset(name, data=[word.encode() for word in words])
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


def _write_levels(file: Any, ladder: Ladder) -> None:
    if not ladder.levels:
        return
    first = ladder.levels[0].parts[0]
    group = "phonons/mesh"
    _put(file, f"{group}/q_point", first.q_points, "1", "q, abc*")
    _put(file, f"{group}/weight", first.weights, "1", "q")
    _put(file, f"{group}/frequency", first.frequencies, "THz", "q, mode")
    _put(file, f"{group}/group_velocity", first.group_velocities, "Å THz", "q, mode, xyz")
    for level in ladder.levels:
        group = f"levels/{level.level}"
        if group not in file:
            _write_rates(file, group, level.parts)
        values = np.concatenate([part.mode_conductivity for part in level.parts])
        axes = "temperature, q, mode, xyz, xyz"
        _put(file, f"{group}/mode_conductivity/{level.solver}", values, "W m^-1 K^-1", axes)
        values = np.concatenate([part.conductivity for part in level.parts])
        name = f"{group}/conductivity/{level.solver}"
        _put(file, name, values, "W m^-1 K^-1", "temperature, xyz, xyz")


def _write_rates(file: Any, group: str, parts: Sequence[ThermalConductivity]) -> None:
    """Write what all solvers of a level share."""

    def together(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(part, name) for part in parts])

    several = len(parts) > 1
    per_mode = "temperature, q, mode"
    phonons = {"frequency": ("frequencies", "THz"), "group_velocity": ("group_velocities", "Å THz")}
    for name, (attribute, unit) in phonons.items():
        values = np.array([getattr(part, attribute) for part in parts])
        axes = "temperature, q, mode" if several else "q, mode"
        axes += ", xyz" if name == "group_velocity" else ""
        _put(file, f"{group}/{name}", values if several else values[0], unit, axes)
    _put(file, f"{group}/weight", parts[0].weights, "1", "q")
    _put(file, f"{group}/temperature", together("temperatures"), "K", "temperature")
    _put(file, f"{group}/heat_capacity", together("heat_capacities"), "eV/K", per_mode)
    _put(file, f"{group}/rate", together("rates"), "ps^-1", per_mode)
    for channel, values in rates_by_channel(parts).items():
        _put(file, f"{group}/rates_by_channel/{channel}", values, "ps^-1", per_mode)
    if parts[0].rates_four_phonon_error is not None:
        error = together("rates_four_phonon_error")
        _put(file, f"{group}/rate_four_phonon_error", error, "ps^-1", per_mode)
    if parts[0].mode_coherence is not None:
        wave = together("mode_coherence")
        _put(file, f"{group}/coherence", wave, "W m^-1 K^-1", f"{per_mode}, xyz, xyz")


def _write_renormalization(file: Any, ladder: Ladder) -> None:
    by_variant: dict[str, list[RenormalizedForceConstants]] = {}
    for solution in ladder.renormalizations:
        by_variant.setdefault(solution.variant, []).append(solution)
    for variant, solutions in by_variant.items():
        group, modes = f"renormalization/{variant}", "temperature, q, mode"
        temperatures = [s.temperature for s in solutions]
        _put(file, f"{group}/temperature", temperatures, "K", "temperature")
        _put(file, f"{group}/q_point", solutions[0].q_points, "1", "q, abc*")
        before = solutions[0].frequencies_before
        _put(file, f"{group}/frequency_before", before, "THz", "q, mode")
        after = [s.frequencies_after for s in solutions]
        _put(file, f"{group}/frequency_after", after, "THz", modes)
        second = [s.force_constants.second for s in solutions]
        axes = "temperature, atom, supercell atom, xyz, xyz"
        _put(file, f"{group}/second", second, "eV Å^-2", axes)


def _put(file: Any, name: str, values: ArrayLike, units: str, axes: str) -> None:
    dataset = file.create_dataset(name, data=np.asarray(values))
    dataset.attrs.update(units=units, axes=axes, frame="cartesian frame of the input structure")


def _dielectric(run: FinishedRun) -> dict[str, Any] | None:
    """Return the data that the phonons used; without any, those of the Hamiltonian."""
    if run.phonons and run.phonons.force_constants.force_constants.dielectric:
        used = run.phonons.force_constants.force_constants.dielectric
        computed = run.electrons.dielectric if run.electrons else None
        if computed is not None and computed.data is used:
            return computed.record | {"used_by_phonons": True}
        return used.to_dict() | {"used_by_phonons": True}
    if run.electrons and run.electrons.dielectric:
        return run.electrons.dielectric.record | {"used_by_phonons": False}
    return None


def _hamiltonian_card(run: FinishedRun) -> dict[str, Any] | None:
    return run.electrons.card if run.electrons else None

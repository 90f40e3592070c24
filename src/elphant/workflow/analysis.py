"""Analysis of anharmonicity: force asymmetry, Grüneisen parameters, rates by process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import AXES, Crystal, Symmetry
from elphant.phonon.adapters.cluster_adapter import third_order_clusters
from elphant.phonon.adapters.modes_adapter import solve_modes
from elphant.phonon.adapters.phonopy_adapter import phonopy_from
from elphant.phonon.analysis.force_asymmetry import (
    DirectionScan,
    analyse_scan,
    plan_scan,
    primitive_atoms,
    third_order_norms,
)
from elphant.phonon.analysis.gruneisen import mean_gruneisen, mode_gruneisen, volume_gruneisen
from elphant.phonon.analysis.phase_space import RatesByProcess
from elphant.phonon.displacement import DisplacementPlan
from elphant.phonon.harmonic import band_structure
from elphant.phonon.scattering.occupation import heat_capacity
from elphant.store.stage import Arrays, Stage
from elphant.units import KM_PER_S_PER_A_THZ
from elphant.workflow.context import RunContext
from elphant.workflow.ladder import Ladder, rates_by_channel
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.settings import level_settings
from elphant.workflow.stages.evaluate import evaluate_stage
from elphant.workflow.stages.force_constants import ForceConstantsResult

VERSION = 1

#: Temperature (K) of summaries; the nearest one computed is taken.
SUMMARY_TEMPERATURE = 300.0

#: A dataset of ``data.h5``: name, values, unit, axes.
DataEntry = tuple[str, NDArray[Any], str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """What the analysis adds to the results.

    Attributes
    ----------
    records : dict of list
        Flat records of ``results.json`` by list name.
    arrays : tuple of DataEntry
        Datasets of ``data.h5``.
    """

    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    arrays: tuple[DataEntry, ...] = ()


def analyse(
    context: RunContext,
    crystal: Crystal,
    symmetry: Symmetry,
    source: ForceConstantsResult,
    plans: Sequence[DisplacementPlan],
    ladder: Ladder,
    potential: PotentialSource | None,
) -> Analysis:
    """Return everything the configuration asks for and the inputs allow.

    Parameters
    ----------
    plans : sequence of DisplacementPlan
        Of the run; the scan uses the supercell of the third order. Empty for given force constants.
    potential : PotentialSource, optional
        Without one there is no scan of single atoms.
    """
    options = context.config.analysis
    records: dict[str, list[dict[str, Any]]] = {
        "force_asymmetry": [],
        "gruneisen": [],
        "rates": rate_records(ladder),
        "velocity_anisotropy": anisotropy_records(ladder, crystal),
    }
    arrays = renormalized_bands(context, symmetry, ladder)
    if source.force_constants.has_third:
        if options.force_asymmetry and potential is not None and plans:
            records["force_asymmetry"] = scan_stage(
                context, crystal, symmetry, source, plans, potential
            )
        if options.gruneisen:
            records["gruneisen"], of_modes = gruneisen_stage(context, source, crystal)
            arrays += of_modes
    return Analysis(records=records, arrays=arrays)


def scan_stage(
    context: RunContext,
    crystal: Crystal,
    symmetry: Symmetry,
    source: ForceConstantsResult,
    plans: Sequence[DisplacementPlan],
    potential: PotentialSource,
) -> list[dict[str, Any]]:
    """Return one record per inequivalent atom and axis: energy curve, asymmetry, coefficients."""
    plan = next((p for p in plans if p.label == "third"), plans[0])
    scan = plan_scan(crystal, symmetry, plan.supercell)
    inputs = {
        "supercell": plan.supercell.digest(),
        "atoms": list(scan.supercell_atoms),
        "directions": scan.directions.tolist(),
        "amplitudes": scan.amplitudes.tolist(),
        "potential": potential.identity,
    }
    evaluated = evaluate_stage(
        context,
        "force-asymmetry",
        VERSION,
        inputs,
        scan.crystals(),
        potential,
        label=f"force asymmetry ({plan.supercell.n_atoms} atoms)",
    )
    results = analyse_scan(scan, evaluated.energies, evaluated.forces)
    return _with_norms(results, source, crystal, scan.directions)


def _with_norms(
    results: Sequence[DirectionScan],
    source: ForceConstantsResult,
    crystal: Crystal,
    directions: NDArray[np.float64],
) -> list[dict[str, Any]]:
    """Return records that also hold the third-order constants by direction."""
    primitive = phonopy_from(source.force_constants).primitive
    atoms = [result.atom for result in results]
    distinct = sorted(set(atoms))
    in_primitive = primitive_atoms(
        crystal, distinct, np.array(primitive.cell), np.array(primitive.scaled_positions)
    )
    norms = third_order_norms(
        third_order_clusters(source.force_constants), in_primitive, directions
    )
    records = []
    for i, result in enumerate(results):
        row, column = distinct.index(result.atom), i % len(directions)
        record = result.to_record()
        record["third_order_on_site"] = float(norms.on_site[row, column])
        record["third_order_norm"] = float(norms.norm[row, column])
        records.append(record)
    return records


def gruneisen_stage(
    context: RunContext, source: ForceConstantsResult, crystal: Crystal
) -> tuple[list[dict[str, Any]], tuple[DataEntry, ...]]:
    """Return the mean Grüneisen parameters and those of all modes of the scattering mesh."""
    temperatures = context.config.conductivity.temperatures
    settings = level_settings(
        context.config, source.force_constants.primitive_lattice, temperatures
    )
    inputs = {"force_constants": source.key, "mesh": list(settings.mesh)}

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        with context.progress.task("Grüneisen parameters", 1) as task:
            constants = source.force_constants
            modes = solve_modes(
                constants, settings.mesh, symmetry_tolerance=settings.symmetry_tolerance
            )
            tensors = mode_gruneisen(
                third_order_clusters(constants),
                lattice=modes.lattice,
                positions=modes.positions,
                masses=modes.masses,
                q_points=modes.mesh.q_points[modes.mesh.irreducible],
                frequencies=modes.irreducible_frequencies,
                eigenvectors=modes.eigenvectors[modes.mesh.irreducible],
            )
            task.advance()
        rotations = modes.mesh.rotations_cartesian
        arrays = {
            "tensors": tensors,
            "frequencies": modes.irreducible_frequencies,
            "weights": modes.mesh.weights,
            "rotations": rotations,
        }
        return {}, arrays

    output = context.reuse_or_compute("gruneisen", VERSION, inputs, compute)
    tensors, weights = np.asarray(output.arrays["tensors"]), np.asarray(output.arrays["weights"])
    frequencies = np.array(output.arrays["frequencies"])
    usable = np.isfinite(tensors).all(axis=(-2, -1)) & (frequencies > 0.0)
    if not usable.any():
        return [], ()
    temperature = min(temperatures, key=lambda t: abs(t - SUMMARY_TEMPERATURE))
    capacities = _capacities(frequencies, temperature) * usable
    mean = mean_gruneisen(np.where(usable[..., None, None], tensors, 0.0), weights, capacities)
    rotations = np.asarray(output.arrays["rotations"])
    mean = np.einsum("gac,cd,gbd->ab", rotations, mean, rotations) / len(rotations)
    volume = volume_gruneisen(tensors)[usable]
    unit = crystal.axis_directions
    record = {
        "level": "HA+3ph",
        "temperature": float(temperature),
        "mean": float(np.trace(mean) / 3.0),
        "axes": dict(zip(AXES, np.einsum("xa,ab,xb->x", unit, mean, unit).tolist(), strict=True)),
        "minimum": float(volume.min()),
        "maximum": float(volume.max()),
        "n_left_out": int(((~usable) * weights[:, None]).sum()),
        "mesh": list(settings.mesh),
        "unit": "1",
    }
    arrays: tuple[DataEntry, ...] = (
        ("gruneisen/frequency", frequencies, "THz", "q, mode"),
        ("gruneisen/weight", weights, "1", "q"),
        ("gruneisen/tensor", tensors, "1", "q, mode, xyz, xyz"),
    )
    return [record], arrays


def renormalized_bands(
    context: RunContext, symmetry: Symmetry, ladder: Ladder
) -> tuple[DataEntry, ...]:
    """Return the bands of renormalised crystals on the path of the harmonic ones."""
    entries: list[DataEntry] = []
    together = list(zip(ladder.renormalizations, ladder.renormalization_keys, strict=True))
    for variant in dict.fromkeys(solution.variant for solution, _ in together):
        chosen = [(s, key) for s, key in together if s.variant == variant]
        constants = [solution.force_constants for solution, _ in chosen]
        inputs = {"force_constants": [key for _, key in chosen], "tolerance": symmetry.tolerance}

        def compute(_: Stage, constants: Any = constants) -> tuple[Mapping[str, Any], Arrays]:
            with context.progress.task("renormalised bands", len(constants)) as task:
                bands = []
                for one in constants:
                    bands.append(band_structure(one, symmetry).frequency)
                    task.advance()
            return {}, {"bands_frequency": np.array(bands)}

        output = context.reuse_or_compute(f"bands-{variant}", VERSION, inputs, compute)
        name = f"renormalization/{variant}/bands_frequency"
        bands = np.asarray(output.arrays["bands_frequency"])
        entries.append((name, bands, "THz", "temperature, point, mode"))
    return tuple(entries)


def rate_records(ladder: Ladder) -> list[dict[str, Any]]:
    """Return mean and median rates by process at the summary temperature of every level."""
    records = []
    for level in _first_solver(ladder):
        found = list(level.temperatures())
        part, i, temperature = min(found, key=lambda item: abs(item[2] - SUMMARY_TEMPERATURE))
        rates = RatesByProcess(
            frequencies=part.frequencies,
            weights=np.asarray(part.weights, dtype=float),
            channels={name: values[i] for name, values in rates_by_channel([part]).items()},
        )
        for channel, summary in rates.summary(part.heat_capacities[i]).items():
            records.append(
                {
                    "level": level.level,
                    "temperature": temperature,
                    "channel": channel,
                    **summary,
                    "umklapp_share": None,
                    "unit": "ps^-1",
                }
            )
    return records


def anisotropy_records(ladder: Ladder, crystal: Crystal) -> list[dict[str, Any]]:
    """Return the mean square velocity along a, b and c of every level."""
    unit = crystal.axis_directions
    records = []
    for level in _first_solver(ladder):
        found = list(level.temperatures())
        part, i, temperature = min(found, key=lambda item: abs(item[2] - SUMMARY_TEMPERATURE))
        if part.velocity_products is None:
            continue
        # The products are summed over the stars; their mean is what one velocity per mode gives.
        share = part.heat_capacities[i]
        total = np.einsum("qs,qsab->ab", share, part.velocity_products)
        mean = total / (part.weights[:, None] * share).sum() * KM_PER_S_PER_A_THZ**2
        values = np.einsum("xa,ab,xb->x", unit, mean, unit)
        records.append(
            {
                "level": level.level,
                "temperature": temperature,
                "axes": dict(zip(AXES, values.tolist(), strict=True)),
                "unit": "km^2 s^-2",
            }
        )
    return records


def _first_solver(ladder: Ladder) -> list[Any]:
    """Return one entry per level: rates and velocities do not depend on the solver."""
    return list({level.level: level for level in reversed(ladder.levels)}.values())[::-1]


def _capacities(frequencies: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    import torch

    return np.asarray(heat_capacity(torch.from_numpy(np.array(frequencies)), temperature).numpy())

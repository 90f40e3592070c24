"""Stage: bands, density of states and the checks of the harmonic model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Symmetry
from elphant.phonon.harmonic import (
    band_structure,
    density_of_states,
    gamma_frequencies,
    harmonic_checks,
    summarize_mesh,
)
from elphant.quality import QualityFlag
from elphant.store.stage import Arrays, Stage
from elphant.workflow.context import RunContext
from elphant.workflow.stages.force_constants import ForceConstantsResult

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HarmonicResult:
    """Harmonic phonons as plain arrays.

    Attributes
    ----------
    gamma : ndarray, (n_modes,) THz
        Frequencies at Γ without the non-analytical correction; imaginary ones negative.
    mesh : tuple of int, (3,)
        Mesh of the density of states.
    minimum_frequency, maximum_frequency : float, THz
        Range on that mesh.
    imaginary_fraction : float
        Share of imaginary modes on that mesh.
    labels : tuple of str
        Labels of the band path.
    arrays : mapping
        ``bands_*`` and ``dos_*`` arrays.
    flags : tuple of QualityFlag
    """

    gamma: NDArray[np.float64]
    mesh: tuple[int, int, int]
    minimum_frequency: float
    maximum_frequency: float
    imaginary_fraction: float
    labels: tuple[str, ...]
    elements: tuple[str, ...]
    arrays: Mapping[str, NDArray[np.float64]]
    flags: tuple[QualityFlag, ...]


def harmonic_stage(
    context: RunContext,
    source: ForceConstantsResult,
    symmetry: Symmetry,
    mesh: tuple[int, int, int],
) -> HarmonicResult:
    """Compute bands along the path of the user's own cell, density of states, and checks."""
    force_constants = source.force_constants
    inputs = {"force_constants": source.key, "mesh": list(mesh), "tolerance": symmetry.tolerance}

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        with context.progress.task("bands and density of states", 3) as task:
            bands = band_structure(force_constants, symmetry)
            task.advance()
            dos = density_of_states(force_constants, mesh)
            task.advance()
            summary = summarize_mesh(force_constants, mesh)
            flags = harmonic_checks(force_constants, summary)
            task.advance()
        record = {
            "minimum_frequency": summary.minimum,
            "maximum_frequency": summary.maximum,
            "imaginary_fraction": summary.imaginary_fraction,
            "labels": list(bands.label),
            "elements": list(dos.by_element),
            "flags": [flag.to_dict() for flag in flags],
        }
        arrays = {
            "gamma": gamma_frequencies(force_constants),
            "bands_distance": bands.distance,
            "bands_q_point": bands.q_point,
            "bands_frequency": bands.frequency,
            "bands_label_distance": bands.label_distance,
            "bands_segment_start": bands.segment_start,
            "dos_frequency": dos.frequency,
            "dos_total": dos.total,
        }
        arrays |= {f"dos_element_{name}": values for name, values in dos.by_element.items()}
        return record, arrays

    output = context.reuse_or_compute("harmonic", VERSION, inputs, compute)
    return HarmonicResult(
        gamma=np.asarray(output.arrays["gamma"]),
        mesh=mesh,
        minimum_frequency=output.record["minimum_frequency"],
        maximum_frequency=output.record["maximum_frequency"],
        imaginary_fraction=output.record["imaginary_fraction"],
        labels=tuple(output.record["labels"]),
        elements=tuple(output.record["elements"]),
        arrays=output.arrays,
        flags=tuple(QualityFlag(**flag) for flag in output.record["flags"]),
    )

"""Stage: band edges, bands along the path of the user's own cell, density of states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Symmetry
from elphant.electron.band_edges import BandEdges, edge_interpolation, find_band_edges
from elphant.electron.bands import band_structure
from elphant.electron.density_of_states import density_of_states
from elphant.electron.interpolation import BandInterpolation
from elphant.grids import high_symmetry_path, mesh_from_spacing, sample_path
from elphant.grids.irreducible import irreducible_mesh
from elphant.orbitals import HamiltonianOrigin, LocalOrbitalHamiltonian
from elphant.quality import QualityFlag
from elphant.store.stage import Arrays, Stage
from elphant.workflow.context import RunContext
from elphant.workflow.stages.hamiltonian import HamiltonianResult

VERSION = 2

#: Energies kept in the density of states, relative to the edges, eV.
DOS_WINDOW = (-15.0, 8.0)
DOS_STEP = 0.02

#: Gap (eV) below which one edge does not stand alone.
SMALL_GAP = 0.1


class EdgeModels:
    """Band edges and the k·p models around them, computed once, when first asked for.

    Bands, masses and mobility share them within a run; a stage restored from disk needs none.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    mesh : sequence of int, (3,)
        Γ-centred mesh of the expansion points.
    symmetry : Symmetry
    """

    def __init__(
        self, hamiltonian: LocalOrbitalHamiltonian, mesh: Sequence[int], symmetry: Symmetry
    ) -> None:
        self._hamiltonian, self._mesh, self._symmetry = hamiltonian, mesh, symmetry

    @cached_property
    def interpolation(self) -> BandInterpolation:
        """Models at the irreducible points of the mesh."""
        return edge_interpolation(self._hamiltonian, self._mesh, self._symmetry)

    @cached_property
    def edges(self) -> BandEdges:
        """Edges, competing valleys, and gaps."""
        return find_band_edges(
            self._hamiltonian, self._mesh, self._symmetry, interpolation=self.interpolation
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BandsResult:
    """Bands and gap as plain records and arrays.

    Attributes
    ----------
    key : str
        Address of the stage.
    gap : dict
        ``band_gap`` record.
    valence_maximum : float, eV
        On the energy zero of the Hamiltonian.
    mesh : tuple of int, (3,)
    arrays : list of (name, values, unit, axes)
    labels : tuple of str
        Labels of the band path.
    flags : tuple of QualityFlag
    models : EdgeModels
        For the stages that follow.
    """

    key: str
    gap: dict[str, Any]
    valence_maximum: float
    mesh: tuple[int, int, int]
    arrays: Sequence[tuple[str, Any, str, str]]
    labels: tuple[str, ...]
    flags: tuple[QualityFlag, ...]
    models: EdgeModels


def bands_stage(context: RunContext, source: HamiltonianResult, symmetry: Symmetry) -> BandsResult:
    """Find the band edges, then compute bands and density of states.

    Raises
    ------
    PhysicsError
        If there is no gap.
    """
    hamiltonian, options = source.hamiltonian, context.config.electrons
    mesh = options.mesh or mesh_from_spacing(hamiltonian.crystal.lattice, options.mesh_spacing)
    inputs = {
        "hamiltonian": source.key,
        "mesh": list(mesh),
        "points_per_leg": options.points_per_leg,
        "tolerance": symmetry.tolerance,
    }

    models = EdgeModels(hamiltonian, mesh, symmetry)

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        with context.progress.task("band edges, bands, density of states", 3) as task:
            edges = models.edges
            task.advance()
            path = high_symmetry_path(hamiltonian.crystal, tolerance=symmetry.tolerance)
            sampled = sample_path(path, hamiltonian.crystal, options.points_per_leg)
            bands = band_structure(hamiltonian, sampled)
            task.advance()
            zero = edges.valence.energy
            window = np.array([DOS_WINDOW[0], edges.gap + DOS_WINDOW[1]])
            energies = zero + np.arange(window[0], window[1], DOS_STEP)
            k_mesh = irreducible_mesh(mesh, symmetry.rotations)
            dos = density_of_states(hamiltonian, k_mesh, energies)
            task.advance()
        record = {
            "edges": edges.to_dict(),
            "valence_maximum": zero,
            "labels": list(sampled.label),
            "projections": list(dos.labels),
            "n_k": k_mesh.n_points,
        }
        arrays = {
            "distance": sampled.distance,
            "k_point": sampled.q_point,
            "energy": bands.energies - zero,
            "label_distance": sampled.label_distance,
            "segment_start": sampled.leg_start,
            "dos_energy": energies - zero,
            "dos_total": dos.total,
            "dos_projections": dos.projections,
        }
        return record, arrays

    output = context.reuse_or_compute("bands", VERSION, inputs, compute)
    record, stored = output.record, output.arrays
    gap = record["edges"]
    context.progress.decided(
        f"gap {gap['value']:.3f} eV, {gap['kind']}; {record['n_k']} irreducible k points of "
        f"{'×'.join(str(n) for n in mesh)}"
    )
    return BandsResult(
        key=output.key,
        gap=gap,
        valence_maximum=record["valence_maximum"],
        mesh=mesh,
        arrays=_named(stored, record["projections"]),
        labels=tuple(record["labels"]),
        flags=_gap_flags(gap, hamiltonian.origin),
        models=models,
    )


def _named(
    stored: Mapping[str, NDArray[np.float64]], projections: Sequence[str]
) -> list[tuple[str, Any, str, str]]:
    """Return the arrays as they are called in ``data.h5``."""
    bands, dos = "electrons/bands", "electrons/dos"
    arrays: list[tuple[str, Any, str, str]] = [
        (f"{bands}/distance", stored["distance"], "Å^-1", "point"),
        (f"{bands}/k_point", stored["k_point"], "1", "point, abc*"),
        (f"{bands}/energy", stored["energy"], "eV", "point, band"),
        (f"{bands}/label_distance", stored["label_distance"], "Å^-1", "label"),
        (f"{bands}/segment_start", stored["segment_start"], "1", "segment"),
        (f"{dos}/energy", stored["dos_energy"], "eV", "energy"),
        (f"{dos}/total", stored["dos_total"], "states/eV/cell", "energy"),
    ]
    for name, values in zip(projections, stored["dos_projections"], strict=True):
        arrays.append((f"{dos}/projection/{name}", values, "states/eV/cell", "energy"))
    return arrays


def _gap_flags(gap: Mapping[str, Any], origin: HamiltonianOrigin) -> tuple[QualityFlag, ...]:
    flags = []
    if not origin.self_consistent:
        what = f"does not come from a self-consistent density of this crystal ({origin.provider})"
        if origin.provider == "pyscf":
            what = "is that of superposed free atoms, without charge transfer"
        flags.append(
            QualityFlag(
                name="not_self_consistent",
                severity="warning",
                message=f"the Hamiltonian {what}",
            )
        )
    if gap["value"] < SMALL_GAP:
        flags.append(
            QualityFlag(
                name="small_gap",
                severity="warning",
                message=f"the gap of {gap['value']:.3f} eV is so small that masses and carriers "
                "of one band edge do not stand alone",
                value=gap["value"],
                threshold=SMALL_GAP,
            )
        )
    return tuple(flags)

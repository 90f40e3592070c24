"""Stage: effective masses at the band edges, and conductivity masses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elphant.crystal import AXES, Frame, Symmetry
from elphant.electron.band_edges import BandEdge
from elphant.electron.conductivity_mass import Carrier, ConductivityMass, conductivity_masses
from elphant.electron.effective_mass import inverse_mass
from elphant.electron.mass_uncertainty import mass_uncertainty
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.quality import QualityFlag
from elphant.store.stage import Arrays, Stage
from elphant.tensors import TransportTensor
from elphant.workflow.context import RunContext
from elphant.workflow.stages.bands import BandsResult
from elphant.workflow.stages.hamiltonian import HamiltonianResult

VERSION = 2

UNIT = "m_e"

#: Relative uncertainty of a mass along an axis that counts as a doubt.
UNCERTAINTY_LIMIT = 0.2

#: Extrema nearer to the edge than this (eV) compete with it.
COMPETING = 0.05

#: An inverse mass (1/m_e) of the wrong sign by more than this: the edge is not an extremum.
SADDLE_LIMIT = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MassesResult:
    """Effective masses as records.

    Attributes
    ----------
    records : list of dict
        ``effective_mass`` records.
    flags : tuple of QualityFlag
    """

    records: list[dict[str, Any]]
    flags: tuple[QualityFlag, ...]


def masses_stage(
    context: RunContext, source: HamiltonianResult, bands: BandsResult, symmetry: Symmetry
) -> MassesResult:
    """Compute the masses of both carriers at their edges and at the temperatures of the options."""
    hamiltonian = source.hamiltonian
    temperatures = context.config.electrons.temperatures
    inputs = {"bands": bands.key, "temperatures": list(temperatures)}

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        frame = Frame.of(hamiltonian.crystal, symmetry)
        records: list[dict[str, Any]] = []
        flags: list[QualityFlag] = []
        with context.progress.task("effective masses", 4) as task:
            interpolation, edges = bands.models.interpolation, bands.models.edges
            sides: tuple[tuple[Carrier, tuple[BandEdge, ...]], ...] = (
                ("electron", edges.conduction_valleys),
                ("hole", edges.valence_valleys),
            )
            for carrier, valleys in sides:
                for valley in valleys:
                    distance = abs(valley.energy - valleys[0].energy)
                    kind = "valley" if valley is not valleys[0] else "band_edge"
                    of_edge, doubts = edge_records(hamiltonian, carrier, valley, frame)
                    records += [entry | {"kind": kind, "energy": distance} for entry in of_edge]
                    flags += doubts if kind == "band_edge" else []
                flags += _valley_flags(carrier, valleys)
                task.advance()
                thermal = conductivity_masses(
                    hamiltonian, edges, carrier, temperatures, interpolation, symmetry
                )
                records += [conductivity_record(mass, frame) for mass in thermal]
                task.advance()
        return {"records": records, "flags": [flag.to_dict() for flag in flags]}, {}

    record = context.reuse_or_compute("masses", VERSION, inputs, compute).record
    return MassesResult(
        records=record["records"],
        flags=tuple(QualityFlag(**flag) for flag in record["flags"]),
    )


def edge_records(
    hamiltonian: LocalOrbitalHamiltonian, carrier: Carrier, edge: BandEdge, frame: Frame
) -> tuple[list[dict[str, Any]], list[QualityFlag]]:
    """Return one record per band that meets at an edge, and the doubts about them.

    Masses of holes count positive where the band curves downwards.
    """
    sign = 1.0 if carrier == "electron" else -1.0
    mass = inverse_mass(hamiltonian, edge.k_point, edge.band)
    uncertainty = mass_uncertainty(hamiltonian, edge)
    # Rows: axes; columns: the bands of the set, which have no names of their own: heaviest first.
    along = sign * uncertainty.masses
    errors = np.array(uncertainty.uncertainty)
    order = np.argsort(-np.abs(along), axis=1)  # heaviest first
    along = np.take_along_axis(along, order, axis=1)
    errors = np.take_along_axis(errors, order, axis=1)
    records = []
    for band in range(mass.degeneracy):
        tensor = None
        if mass.degeneracy == 1:
            values = np.asarray(np.linalg.inv(sign * mass.tensor), dtype=float)
            tensor = TransportTensor(values=values, unit=UNIT, frame=frame).to_dict()
        records.append(
            {
                "carrier": carrier,
                "kind": "band_edge",
                "temperature": None,
                "band_index": band,
                "degeneracy": mass.degeneracy,
                "k_point": edge.k_point.tolist(),
                "tensor": None if tensor is None else tensor["cartesian"],
                "inverse_tensor": (sign * mass.tensor).tolist() if tensor else None,
                "axes": dict(zip(AXES, along[:, band].tolist(), strict=True)),
                "principal": None if tensor is None else tensor["principal"],
                "uncertainty": dict(zip(AXES, errors[:, band].tolist(), strict=True)),
                "density_of_states_mass": None,
                "unit": UNIT,
            }
        )
    flags = [flag for flag in uncertainty.flags if flag.severity != "info"]
    flags = [_of_carrier(flag, carrier) for flag in flags]
    return records, flags + _mass_flags(carrier, along, errors)


def _valley_flags(carrier: Carrier, valleys: Sequence[BandEdge]) -> list[QualityFlag]:
    """Return a warning where another extremum is so near that it could as well be the edge."""
    near = [abs(valley.energy - valleys[0].energy) for valley in valleys[1:]]
    near = [distance for distance in near if distance < COMPETING]
    if not near:
        return []
    listed = ", ".join(f"{1e3 * distance:.0f}" for distance in near)
    return [
        QualityFlag(
            name="competing_valleys",
            severity="warning",
            message=f"{len(near)} other {carrier} valley{'s' if len(near) > 1 else ''} within "
            f"{1e3 * COMPETING:.0f} meV of the edge ({listed} meV): which one is the edge depends "
            "on structure, functional and basis; their masses are listed beside those of the edge",
            value=min(near),
            threshold=COMPETING,
        )
    ]


def _of_carrier(flag: QualityFlag, carrier: Carrier) -> QualityFlag:
    return QualityFlag(
        name=flag.name,
        severity=flag.severity,
        message=f"{carrier} mass: {flag.message[0].lower()}{flag.message[1:]}",
        value=flag.value,
        threshold=flag.threshold,
    )


def _mass_flags(carrier: Carrier, along: Any, errors: Any) -> list[QualityFlag]:
    flags = []
    if (1.0 / along < -SADDLE_LIMIT).any():
        flags.append(
            QualityFlag(
                name="edge_not_extremal",
                severity="warning",
                message=f"the {carrier} band edge has a mass of the wrong sign along a crystal "
                "axis: it is not the true extremum, or a degenerate edge is warped",
                value=float((1.0 / along).min()),
                threshold=-SADDLE_LIMIT,
            )
        )
    relative = np.abs(errors / along)
    if relative.max() > UNCERTAINTY_LIMIT:
        axis = AXES[int(relative.max(axis=1).argmax())]
        flags.append(
            QualityFlag(
                name="mass_uncertainty",
                severity="warning",
                message=f"the {carrier} mass along {axis} is known to {100 * relative.max():.0f} % "
                "only: the band is nearly flat there, or H(R) is cut off early",
                value=float(relative.max()),
                threshold=UNCERTAINTY_LIMIT,
            )
        )
    return flags


def conductivity_record(mass: ConductivityMass, frame: Frame) -> dict[str, Any]:
    """Return the record of a conductivity mass."""
    tensor = TransportTensor(values=mass.tensor, unit=UNIT, frame=frame).to_dict()
    axes = {
        name: mass.along(direction)
        for name, direction in zip(AXES, frame.axis_directions, strict=True)
    }
    return {
        "carrier": mass.carrier,
        "kind": "conductivity",
        "temperature": mass.temperature,
        "band_index": 0,
        "degeneracy": 1,
        "k_point": None,
        "tensor": tensor["cartesian"],
        "inverse_tensor": mass.inverse_tensor.tolist(),
        "axes": axes,
        "principal": tensor["principal"],
        "uncertainty": {name: value * mass.relative_uncertainty for name, value in axes.items()},
        "density_of_states_mass": mass.density_of_states_mass,
        "energy": None,
        "unit": UNIT,
    }

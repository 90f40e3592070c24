r"""Thermoelectric figure of merit from the electronic and the lattice part of one run.

.. math:: zT = T\, \kappa^{-1/2} S^T \sigma S\, \kappa^{-1/2}, \qquad \kappa = \kappa_e + \kappa_L

This symmetric tensor is :math:`T S^2 \sigma / \kappa` along every direction that is principal for
all four tensors, as the crystal axes of orthorhombic and higher symmetry are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import Frame
from elphant.tensors import TransportTensor
from elphant.workflow.result import LEVELS

#: V/K of µV/K.
VOLT = 1e-6

#: Temperatures (K) closer than this are the same.
SAME_TEMPERATURE = 1e-6


def figure_of_merit(
    conductivity: ArrayLike,
    seebeck: ArrayLike,
    electronic: ArrayLike,
    lattice: ArrayLike,
    temperature: float,
) -> NDArray[np.float64]:
    """Return zT, (3, 3).

    Parameters
    ----------
    conductivity : array_like, (3, 3) S/m
    seebeck : array_like, (3, 3) µV/K
        Field first, temperature gradient second.
    electronic, lattice : array_like, (3, 3) W m⁻¹ K⁻¹
        Thermal conductivities of carriers (at zero current) and of phonons.
    temperature : float, K
    """
    S = VOLT * np.asarray(seebeck, dtype=float)
    sigma = np.asarray(conductivity, dtype=float)
    kappa = np.asarray(electronic, dtype=float) + np.asarray(lattice, dtype=float)
    values, vectors = np.linalg.eigh(0.5 * (kappa + kappa.T))
    root = (vectors / np.sqrt(values)) @ vectors.T
    merit = temperature * root @ S.T @ sigma @ S @ root
    return np.asarray(0.5 * (merit + merit.T))


def figure_of_merit_records(
    electrons: Mapping[str, Any], lattice: Sequence[Mapping[str, Any]], frame: Frame
) -> list[dict[str, Any]]:
    """Return ``figure_of_merit`` records of all temperatures that both parts have.

    Parameters
    ----------
    electrons : mapping
        Records of ``results.json`` on carriers.
    lattice : sequence of mapping
        ``thermal_conductivity`` records; the most complete one of each temperature is taken.
    frame : Frame
    """
    records = []
    for conductivity in electrons["electrical_conductivity"]:
        best = _most_complete(lattice, conductivity["temperature"])
        seebeck = _partner(electrons["seebeck"], conductivity)
        thermal = _partner(electrons["electronic_thermal_conductivity"], conductivity)
        if best is None or seebeck is None or thermal is None:
            continue
        values = figure_of_merit(
            conductivity["cartesian"], seebeck["cartesian"], thermal["cartesian"],
            best["cartesian"], conductivity["temperature"],
        )  # fmt: skip
        of_carriers = {name: conductivity.get(name) for name in (*KEYS, "variant")}
        of_lattice = {f"lattice_{name}": best[name] for name in ("level", "solver", "coherence")}
        tensor = TransportTensor(values=values, unit="1", frame=frame)
        records.append(of_carriers | of_lattice | tensor.to_dict())
    return records


#: What tells one record of the carriers from another.
KEYS = ("carrier", "temperature", "density", "solver")


def _partner(
    records: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the record of the same carriers, or None."""
    return next((r for r in records if all(r[key] == wanted[key] for key in KEYS)), None)


def _most_complete(
    lattice: Sequence[Mapping[str, Any]], temperature: float
) -> Mapping[str, Any] | None:
    """Return the record of the highest level: full equation and coherence where they are there."""
    same = [r for r in lattice if abs(r["temperature"] - temperature) < SAME_TEMPERATURE]
    return max(
        same,
        key=lambda r: (LEVELS.index(r["level"]), r["solver"] == "bte", r["coherence"]),
        default=None,
    )

"""Arrays of ``data.h5`` on phonons and their transport, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elphant.report.records import LEVELS, SOLVERS

if TYPE_CHECKING:
    import h5py

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bands:
    """Phonon bands along a path through the Brillouin zone of the user's cell.

    Attributes
    ----------
    distance : ndarray, (n_points,) 1/Å
    q_point : ndarray, (n_points, 3)
        Fractions of the reciprocal vectors of the user's cell.
    frequency : ndarray, (n_points, n_modes) THz
    label_distance : ndarray, (n_labels,) 1/Å
    labels : tuple of str
    segment_start : ndarray of int, (n_segments,)
        Index of the first point of every connected piece.
    """

    distance: Array
    q_point: Array
    frequency: Array
    label_distance: Array
    labels: tuple[str, ...]
    segment_start: NDArray[np.int64]

    @property
    def segments(self) -> tuple[slice, ...]:
        """One slice of points per connected piece of the path."""
        starts = [*self.segment_start.tolist(), len(self.distance)]
        return tuple(slice(i, j) for i, j in pairwise(starts) if j > i)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DensityOfStates:
    """Phonon density of states: (n_f,) THz and states/THz/cell, total and per element."""

    frequency: Array
    total: Array
    elements: Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeshPhonons:
    """Phonons on the mesh of the transport calculation.

    Attributes
    ----------
    q_point : ndarray, (n_q, 3)
    weight : ndarray, (n_q,)
    frequency : ndarray, (n_q, n_modes) THz
    group_velocity : ndarray, (n_q, n_modes, 3) Å THz — Cartesian working frame
    """

    q_point: Array
    weight: Array
    frequency: Array
    group_velocity: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModeTransport:
    """Mode-resolved thermal transport of one solver.

    Attributes
    ----------
    temperature : ndarray, (n_t,) K
    heat_capacity : ndarray, (n_t, n_q, n_modes) eV/K
    rate : ndarray, (n_t, n_q, n_modes) 1/ps
        All processes together.
    rate_three_phonon : ndarray, (n_t, n_q, n_modes) 1/ps
    rate_isotope : ndarray, (n_q, n_modes) 1/ps, or None
    mode_conductivity : ndarray, (n_t, n_q, n_modes, 3, 3) W m⁻¹ K⁻¹
        Includes the weight; its sum divided by the sum of weights is the conductivity.
    conductivity : ndarray, (n_t, 3, 3) W m⁻¹ K⁻¹
    """

    temperature: Array
    heat_capacity: Array
    rate: Array
    rate_three_phonon: Array | None
    rate_isotope: Array | None
    mode_conductivity: Array
    conductivity: Array

    def nearest(self, temperature: float) -> int:
        """Return the index of the stored temperature closest to ``temperature``."""
        return int(np.abs(self.temperature - temperature).argmin())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelTransport:
    """Mode-resolved transport of one level of theory.

    Attributes
    ----------
    level : str
    temperature : ndarray, (n_t,) K
    weight : ndarray, (n_q,)
    frequency : ndarray, (n_q, n_modes) or (n_t, n_q, n_modes) THz
        One set per temperature where the phonons are renormalised.
    group_velocity : ndarray, (n_q, n_modes, 3) or (n_t, n_q, n_modes, 3) Å THz
    heat_capacity, rate : ndarray, (n_t, n_q, n_modes) eV/K and 1/ps
        The rate holds all processes.
    channels : mapping of str to ndarray, (n_t, n_q, n_modes) or (n_q, n_modes) 1/ps
        Rates by channel, keys as in the ``rates`` records of ``results.json``.
    mode_conductivity : mapping of str to ndarray, (n_t, n_q, n_modes, 3, 3) W m⁻¹ K⁻¹
        Per solver, particle part; includes the weight: its sum divided by the sum of weights is the
        conductivity.
    coherence : ndarray, like ``mode_conductivity``, or None
        Wave-like part, shared between the two modes of a pair by heat capacity.
    """

    level: str
    temperature: Array
    weight: Array
    frequency: Array
    group_velocity: Array
    heat_capacity: Array
    rate: Array
    channels: Mapping[str, Array] = field(default_factory=dict)
    mode_conductivity: Mapping[str, Array] = field(default_factory=dict)
    coherence: Array | None = None

    def nearest(self, temperature: float) -> int:
        """Return the index of the stored temperature closest to ``temperature``."""
        return int(np.abs(self.temperature - temperature).argmin())

    @property
    def solver(self) -> str | None:
        """The most complete solver with mode-resolved data."""
        return next((name for name in reversed(SOLVERS) if name in self.mode_conductivity), None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GruneisenModes:
    """Mode Grüneisen tensors: (n_q, n_modes) THz, (n_q,), and (n_q, n_modes, 3, 3) Cartesian."""

    frequency: Array
    weight: Array
    tensor: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RenormalizedBands:
    """Bands of a renormalised crystal on the path of the harmonic ones.

    (n_t,) K and (n_t, n_points, n_modes) THz.
    """

    temperature: Array
    bands_frequency: Array


def read_phonon_arrays(file: h5py.File) -> dict[str, Any]:
    """Return the arrays of RunData on phonons; None, or no keys, where the file has none."""
    transport = file.get("thermal_conductivity", {})
    values: dict[str, Any] = {
        "bands": _bands(file["phonons/bands"]) if "phonons/bands" in file else None,
        "dos": _dos(file["phonons/dos"]) if "phonons/dos" in file else None,
        "mesh": _arrays(MeshPhonons, file["phonons/mesh"]) if "phonons/mesh" in file else None,
        "modes": {name: _arrays(ModeTransport, transport[name]) for name in transport},
        "levels": _levels(file["levels"]) if "levels" in file else {},
        "gruneisen_modes": _arrays(GruneisenModes, file["gruneisen"])
        if "gruneisen" in file
        else None,
        "renormalized_bands": {
            name: _arrays(RenormalizedBands, group)
            for name, group in file.get("renormalization", {}).items()
            if "bands_frequency" in group
        },
    }
    if not values["levels"]:
        values["levels"] = _levels_of_first_version(values)
    return values


def _arrays(kind: type, group: h5py.Group) -> Any:
    """Build a data class whose fields are datasets of ``group``; optional ones may be absent."""
    values: dict[str, Any] = {}
    for item in fields(kind):
        if item.name in group:
            values[item.name] = np.asarray(group[item.name][()], dtype=float)
        elif "None" in str(item.type):
            values[item.name] = None
        else:
            raise KeyError(f"{group.name}/{item.name}")
    return kind(**values)


def _levels(group: h5py.Group) -> dict[str, LevelTransport]:
    """Return the levels, the simplest first; names that no level has are left out."""
    found = {}
    for name in (level for level in LEVELS if level in group):
        folder = group[name]
        required = ("temperature", "weight", "frequency", "group_velocity", "heat_capacity", "rate")
        for item in required:
            if item not in folder:
                raise KeyError(f"{folder.name}/{item}")
        found[name] = LevelTransport(
            level=name,
            **{item: np.asarray(folder[item][()], dtype=float) for item in required},
            channels=_datasets(folder, "rates_by_channel"),
            mode_conductivity=_datasets(folder, "mode_conductivity"),
            coherence=np.asarray(folder["coherence"][()]) if "coherence" in folder else None,
        )
    return found


def _datasets(folder: h5py.Group, name: str) -> dict[str, Array]:
    if name not in folder:
        return {}
    return {key: np.asarray(item[()], dtype=float) for key, item in folder[name].items()}


def _levels_of_first_version(values: Mapping[str, Any]) -> dict[str, LevelTransport]:
    """Return the one level of a file of schema 1.0, whose arrays are grouped by solver."""
    modes: Mapping[str, ModeTransport] = values.get("modes", {})
    mesh: MeshPhonons | None = values.get("mesh")
    if not modes or mesh is None:
        return {}
    first = modes.get("rta", next(iter(modes.values())))
    channels = {
        "three_phonon": first.rate if first.rate_three_phonon is None else first.rate_three_phonon
    }
    if first.rate_isotope is not None:
        channels["isotope"] = first.rate_isotope
    level = LEVELS[0]
    return {
        level: LevelTransport(
            level=level,
            temperature=first.temperature,
            weight=mesh.weight,
            frequency=mesh.frequency,
            group_velocity=mesh.group_velocity,
            heat_capacity=first.heat_capacity,
            rate=first.rate,
            channels=channels,
            mode_conductivity={name: item.mode_conductivity for name, item in modes.items()},
        )
    }


def _bands(group: h5py.Group) -> Bands:
    labels = tuple(
        text.decode() if isinstance(text, bytes) else str(text) for text in group["label"][()]
    )
    return Bands(
        distance=group["distance"][()],
        q_point=group["q_point"][()],
        frequency=group["frequency"][()],
        label_distance=group["label_distance"][()],
        labels=labels,
        segment_start=np.asarray(group["segment_start"][()], dtype=int),
    )


def _dos(group: h5py.Group) -> DensityOfStates:
    elements = group.get("element", {})
    return DensityOfStates(
        frequency=group["frequency"][()],
        total=group["total"][()],
        elements={name: elements[name][()] for name in elements},
    )

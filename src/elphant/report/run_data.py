"""What a report may know: the contents of ``results.json`` and ``data.h5`` as frozen objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import AXES, Crystal, Frame
from elphant.errors import StoreError
from elphant.models.card import ModelCard
from elphant.quality import QualityFlag

if TYPE_CHECKING:
    import h5py

Array = NDArray[np.float64]

#: Schema versions this report layer can read.
READABLE_SCHEMA = "1."

#: Levels of theory, the simplest first.
LEVELS = ("HA+3ph", "HA+3,4ph", "SCP+3ph", "SCP+3,4ph")
_SOLVERS = ("rta", "bte")


class _Record:
    """Build a frozen data class from a record of ``results.json``; unknown keys are left out."""

    __slots__ = ()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the object for a record."""
        names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: value for key, value in record.items() if key in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation(_Record):
    """How the structure was relaxed: eV/Å, GPa, eV, Å, degrees."""

    space_group_before: str
    space_group_after: str
    max_force: float
    max_stress: float
    n_steps: int
    converged: bool
    energy_per_atom: float
    lengths_before: list[float]
    lengths_after: list[float]
    angles_before: list[float]
    angles_after: list[float]
    change_percent: dict[str, float]
    volume_change_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceConstantSummary(_Record):
    """Where the force constants came from and how good they are.

    Parameters and residuals have one key per order, ``"2"`` to ``"4"``; force errors (eV/Å) have
    one per set of held-out snapshots.
    """

    source: str
    supercell_second: list[list[int]]
    n_atoms_second: int
    supercell_third: list[list[int]] | None = None
    n_atoms_third: int | None = None
    n_snapshots: dict[str, int | None] = field(default_factory=dict)
    design: dict[str, str] = field(default_factory=dict)
    displacement_amplitude: dict[str, float] = field(default_factory=dict)
    cutoff_third: float | None = None
    cutoff_fourth: float | None = None
    n_clusters_third: int | None = None
    n_clusters_fourth: int | None = None
    n_parameters: dict[str, int] | None = None
    force_rmse: dict[str, float | None] | None = None
    force_r2: dict[str, float | None] | None = None
    sum_rule_residual: dict[str, float | None] | None = None
    permutation_residual: dict[str, float | None] | None = None
    residual_force: float | None = None
    cross_validation_rmse: dict[str, float | None] | None = None
    unexplained_share: dict[str, float | None] | None = None
    parameter_error: dict[str, float | None] | None = None

    @property
    def has_fourth(self) -> bool:
        """Whether there is a fourth order; it shares the supercells of the third."""
        return self.n_clusters_fourth is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalConductivity(_Record):
    """One tensor: temperature in K, components in W m⁻¹ K⁻¹, working frame."""

    temperature: float
    level: str
    solver: str
    coherence: bool
    cartesian: list[list[float]]
    axes: dict[str, float]
    reciprocal_axes: dict[str, float]
    principal: dict[str, list[Any]]
    standard_error: dict[str, float] | None
    symmetry_residual: float | None
    mesh: list[int]
    isotope: bool
    boundary_mfp_um: float | None
    broadening: str
    degenerate_average: bool
    renormalization: str | None = None

    @property
    def rank(self) -> tuple[int, int, bool]:
        """Sorts methods by how complete they are: level, solver, coherence."""
        return LEVELS.index(self.level), _SOLVERS.index(self.solver), self.coherence

    @property
    def method(self) -> str:
        """Short name of level and solver, for legends: ``HA+3ph, BTE``."""
        coherence = " + coherence" if self.coherence else ""
        return f"{self.level}{coherence}, {self.solver.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhononSummary(_Record):
    """Harmonic frequencies in THz; imaginary ones are negative."""

    gamma_frequencies: list[float]
    minimum_frequency: float
    maximum_frequency: float
    imaginary_fraction: float
    mesh: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renormalization(_Record):
    """Self-consistent phonons at one temperature: THz (imaginary negative), eV per primitive cell.

    ``before`` is harmonic, ``after`` renormalised; the lowest frequency and the imaginary fraction
    are those of the mesh.
    """

    variant: str
    temperature: float
    converged: bool
    n_iterations: int
    residual: float | None
    free_energy: float | None
    gamma_before: list[float]
    gamma_after: list[float]
    minimum_before: float
    minimum_after: float
    imaginary_fraction_before: float
    imaginary_fraction_after: float
    free_energy_renormalized: float | None = None
    free_energy_error: float | None = None
    gamma_standard_error: list[float] | None = None
    continuation: list[float] = field(default_factory=list)
    mesh: list[int] | None = None
    n_snapshots: int | None = None
    effective_sample_size: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FourPhononSum(_Record):
    """How the sum over four-phonon processes was done at one level."""

    level: str
    sampled: bool
    n_pairs: int
    n_pairs_drawn: int
    converged: bool
    temperature: float | None = None
    seed: int | None = None
    tolerance: float | None = None
    relative_error: dict[str, float] | None = None
    mesh: list[int] | None = None
    n_quartets: int | None = None
    seconds: float | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSummary(_Record):
    """Rate of one channel over all modes, ps⁻¹; the share refers to the total rate."""

    level: str
    temperature: float
    channel: str
    mean: float
    median: float
    share: float
    umklapp_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VelocityAnisotropy(_Record):
    """Mean of (v·n)² over the modes along a, b, c, (km/s)²."""

    level: str
    temperature: float
    axes: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class GruneisenSummary(_Record):
    """Grüneisen parameters averaged with the mode heat capacities; clamped ions."""

    level: str
    temperature: float
    mean: float
    axes: dict[str, float]
    minimum: float
    maximum: float
    n_left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceAsymmetry(_Record):
    """One inequivalent atom displaced along one direction: Å, eV, eV/Å; see the schema."""

    atom: int
    element: str
    direction: list[float]
    value: float
    axis: str | None = None
    multiplicity: int = 1
    symmetric: bool = False
    amplitude: float | None = None
    vector_value: float | None = None
    quadratic: float | None = None
    cubic: float | None = None
    quartic: float | None = None
    fit_residual: float | None = None
    displacements: list[float] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    forces: list[float] = field(default_factory=list)
    third_order_on_site: float | None = None
    third_order_norm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance(_Record):
    """Who computed this, with what, and how long it took."""

    elphant_version: str
    versions: dict[str, str] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    seeds: dict[str, int] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    peak_memory_gb: float | None = None
    hardware: dict[str, Any] = field(default_factory=dict)
    command: str | None = None
    input_file: str | None = None
    input_sha256: str | None = None
    preset: str | None = None
    citations: list[str] = field(default_factory=list)


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
        return next((name for name in reversed(_SOLVERS) if name in self.mode_conductivity), None)


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunData:
    """A finished (or partly finished) run, read from its directory.

    Attributes
    ----------
    path : Path
        The run directory.
    name, created : str
        Name of the run and time of its results (ISO 8601).
    crystal, frame
        The structure that was computed and the frame of every tensor.
    formula, space_group, setting : str
        As written in the ``structure`` record.
    relaxation, potential, force_constants, phonons : records or None
        None where the run did not do that step.
    epsilon_infinity : ndarray, (3, 3), or None
    thermal_conductivity : tuple of ThermalConductivity
    quality : tuple of QualityFlag
    provenance : Provenance
    renormalization, four_phonon, rates, velocity_anisotropy, gruneisen, force_asymmetry : tuples
        Records of the anharmonic analysis; empty where the run did not do it.
    bands, dos, mesh, modes, levels, gruneisen_modes, renormalized_bands
        Arrays of ``data.h5``; None, or missing keys, where absent. ``modes`` is the layout of
        schema 1.0, by solver; ``levels`` holds the same by level.
    """

    path: Path
    name: str
    created: str
    crystal: Crystal
    frame: Frame
    formula: str
    space_group: str
    setting: str
    relaxation: Relaxation | None
    potential: ModelCard | None
    force_constants: ForceConstantSummary | None
    phonons: PhononSummary | None
    epsilon_infinity: Array | None
    dielectric_source: str
    thermal_conductivity: tuple[ThermalConductivity, ...]
    quality: tuple[QualityFlag, ...]
    provenance: Provenance
    renormalization: tuple[Renormalization, ...] = ()
    four_phonon: tuple[FourPhononSum, ...] = ()
    rates: tuple[RateSummary, ...] = ()
    velocity_anisotropy: tuple[VelocityAnisotropy, ...] = ()
    gruneisen: tuple[GruneisenSummary, ...] = ()
    force_asymmetry: tuple[ForceAsymmetry, ...] = ()
    bands: Bands | None = None
    dos: DensityOfStates | None = None
    mesh: MeshPhonons | None = None
    modes: Mapping[str, ModeTransport] = field(default_factory=dict)
    levels: Mapping[str, LevelTransport] = field(default_factory=dict)
    gruneisen_modes: GruneisenModes | None = None
    renormalized_bands: Mapping[str, RenormalizedBands] = field(default_factory=dict)

    @classmethod
    def load(cls, run_dir: Path | str) -> RunData:
        """Read a run directory.

        Raises
        ------
        StoreError
            If ``results.json`` is missing, unreadable, or of another schema version.
        """
        folder = Path(run_dir)
        results = _read_results(folder / "results.json")
        try:
            values = _from_results(results) | _read_arrays(folder / "data.h5")
            if not values.get("levels"):
                values["levels"] = _levels_of_first_version(values)
            return cls(path=folder, **values)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{folder} does not hold complete results: {error}.",
                "results.json or data.h5 misses a record or has one of another shape.",
                "Run the same command again; finished stages are reused.",
            ) from error

    @property
    def is_quick(self) -> bool:
        """True for the coarse preset, whose numbers are not converged."""
        return self.provenance.preset == "quick"

    @property
    def doubts(self) -> tuple[QualityFlag, ...]:
        """Flags that are not in order, the worst first."""
        order = {"invalid": 0, "warning": 1}
        doubtful = [flag for flag in self.quality if flag.severity in order]
        return tuple(sorted(doubtful, key=lambda flag: order[flag.severity]))

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Temperatures with a conductivity, K, ascending."""
        return tuple(sorted({record.temperature for record in self.thermal_conductivity}))

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods (level, solver, coherence) that were computed, the most complete last."""
        records = sorted(self.thermal_conductivity, key=lambda record: record.rank)
        return tuple(dict.fromkeys(record.method for record in records))

    @property
    def main_methods(self) -> tuple[str, ...]:
        """At most two methods that a table or figure can show side by side.

        The most complete one, and what it improves upon: the particle part of the simplest level
        with the same solver.
        """
        if len(self.methods) <= 2:
            return self.methods
        last = max(self.thermal_conductivity, key=lambda record: record.rank)
        same = [r for r in self.thermal_conductivity if r.solver == last.solver]
        first = min(same, key=lambda record: record.rank)
        return tuple(dict.fromkeys((first.method, last.method)))

    @property
    def is_ladder(self) -> bool:
        """True where several levels, or the wave-like part, were computed."""
        records = self.thermal_conductivity
        return len({record.level for record in records}) > 1 or any(r.coherence for r in records)

    def conductivity(
        self, temperature: float = 300.0, method: str | None = None
    ) -> ThermalConductivity | None:
        """Return the record nearest to ``temperature``; without ``method`` the last method."""
        methods = self.methods
        if not methods:
            return None
        chosen = methods[-1] if method is None else method
        records = [record for record in self.thermal_conductivity if record.method == chosen]
        if not records:
            return None
        return min(records, key=lambda record: abs(record.temperature - temperature))

    def series(self, method: str) -> tuple[Array, dict[str, Array]]:
        """Return temperatures (n_t,) K and the conductivity along a, b, c (n_t,) of a method."""
        records = sorted(
            (record for record in self.thermal_conductivity if record.method == method),
            key=lambda record: record.temperature,
        )
        temperatures = np.array([record.temperature for record in records])
        return temperatures, {
            axis: np.array([record.axes[axis] for record in records]) for axis in AXES
        }


def _read_results(path: Path) -> dict[str, Any]:
    fix = "Give a run directory made by `elphant run` or `elphant kappa`."
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"cannot read {path}: {reason}.", fix=fix) from error
    except ValueError as error:
        raise StoreError(f"{path} is not valid JSON: {error}.", fix=fix) from error
    version = str(results.get("schema_version", "")) if isinstance(results, dict) else ""
    if not version.startswith(READABLE_SCHEMA):
        raise StoreError(
            f"{path} has schema version {version or 'none'!r}.",
            f"This version of elphant reads versions {READABLE_SCHEMA}x.",
            fix,
        )
    return results  # type: ignore[no-any-return]


def _from_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of RunData that come from ``results.json``."""
    structure = results["structure"]
    dielectric = results.get("dielectric")
    return {
        "name": results["name"],
        "created": results["created"],
        "crystal": Crystal.from_dict(structure),
        "frame": Frame.from_dict(results["frame"]),
        "formula": structure["formula"],
        "space_group": structure["space_group"],
        "setting": structure["setting"],
        "relaxation": _optional(Relaxation, results.get("relaxation")),
        "potential": ModelCard.from_dict(card) if (card := results.get("potential")) else None,
        "force_constants": _optional(ForceConstantSummary, results.get("force_constants")),
        "phonons": _optional(PhononSummary, results.get("phonons")),
        "epsilon_infinity": np.array(dielectric["epsilon_infinity"]) if dielectric else None,
        "dielectric_source": dielectric["source"] if dielectric else "",
        "thermal_conductivity": tuple(
            ThermalConductivity.of(record) for record in results["thermal_conductivity"]
        ),
        "renormalization": _all(Renormalization, results, "renormalization"),
        "four_phonon": _all(FourPhononSum, results, "four_phonon"),
        "rates": _all(RateSummary, results, "rates"),
        "velocity_anisotropy": _all(VelocityAnisotropy, results, "velocity_anisotropy"),
        "gruneisen": _all(GruneisenSummary, results, "gruneisen"),
        "force_asymmetry": _all(ForceAsymmetry, results, "force_asymmetry"),
        "quality": tuple(QualityFlag(**record) for record in results["quality"]),
        "provenance": Provenance.of(results["provenance"]),
    }


def _optional(kind: type[_Record], record: Mapping[str, Any] | None) -> Any:
    return kind.of(record) if record else None


def _all(kind: type[_Record], results: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    return tuple(kind.of(record) for record in results.get(name) or ())


def _read_arrays(path: Path) -> dict[str, Any]:
    """Return the fields of RunData that come from ``data.h5``; none of them if it is absent."""
    if not path.is_file():
        return {}
    import h5py

    try:
        with h5py.File(path, "r") as file:
            transport = file.get("thermal_conductivity", {})
            return {
                "bands": _bands(file["phonons/bands"]) if "phonons/bands" in file else None,
                "dos": _dos(file["phonons/dos"]) if "phonons/dos" in file else None,
                "mesh": _arrays(MeshPhonons, file["phonons/mesh"])
                if "phonons/mesh" in file
                else None,
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
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error}.",
            "The file is damaged or not HDF5.",
            "Run the same command again; finished stages are reused.",
        ) from error


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

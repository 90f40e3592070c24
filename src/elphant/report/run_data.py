"""What a report may know: the contents of ``results.json`` and ``data.h5`` as one frozen object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import AXES, Crystal, Frame
from elphant.errors import StoreError
from elphant.models.card import ModelCard
from elphant.quality import QualityFlag
from elphant.report.electron_arrays import (
    ElectronBands,
    ElectronDos,
    LocalizationGrid,
    read_electron_arrays,
    read_localization,
)
from elphant.report.electron_records import (
    BandGap,
    EffectiveMass,
    ElectronicStructure,
    LocalizationSummary,
    LonePair,
)
from elphant.report.mobility_records import CarrierRates, TransportRecords, read_carrier_rates
from elphant.report.phonon_arrays import (
    Bands,
    DensityOfStates,
    GruneisenModes,
    LevelTransport,
    MeshPhonons,
    ModeTransport,
    RenormalizedBands,
    read_phonon_arrays,
)
from elphant.report.records import (
    ForceAsymmetry,
    ForceConstantSummary,
    FourPhononSum,
    GruneisenSummary,
    PhononSummary,
    Provenance,
    RateSummary,
    Record,
    Relaxation,
    Renormalization,
    ThermalConductivity,
    VelocityAnisotropy,
)

Array = NDArray[np.float64]

#: Schema versions this report layer can read.
READABLE_SCHEMA = "1."


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
    dielectric_in_phonons : bool
        Whether the phonons have the non-analytical correction.
    thermal_conductivity : tuple of ThermalConductivity
    quality : tuple of QualityFlag
    provenance : Provenance
    renormalization, four_phonon, rates, velocity_anisotropy, gruneisen, force_asymmetry : tuples
        Records of the anharmonic analysis; empty where the run did not do it.
    bands, dos, mesh, modes, levels, gruneisen_modes, renormalized_bands
        Arrays of ``data.h5``; None, or missing keys, where absent. ``modes`` is the layout of
        schema 1.0, by solver; ``levels`` holds the same by level.
    electronic_structure, band_gap, effective_mass, lone_pairs, localization : records
        None, or empty, where the run did not compute electrons.
    transport : TransportRecords
        Mobilities and what follows from them; empty where the run did not compute them.
    carrier_rates : mapping of carrier to CarrierRates
        Scattering rates of ``data.h5``.
    electron_bands, electron_dos, has_localization
        Arrays of ``data.h5``; the grids are read by :meth:`localization_grid` when they are needed.
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
    electronic_structure: ElectronicStructure | None = None
    band_gap: BandGap | None = None
    effective_mass: tuple[EffectiveMass, ...] = ()
    lone_pairs: tuple[LonePair, ...] = ()
    localization: LocalizationSummary | None = None
    transport: TransportRecords = field(default_factory=TransportRecords)
    carrier_rates: Mapping[str, CarrierRates] = field(default_factory=dict)
    electron_bands: ElectronBands | None = None
    electron_dos: ElectronDos | None = None
    has_localization: bool = False
    dielectric_in_phonons: bool = False

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
            return cls(path=folder, **values)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{folder} does not hold complete results: {error}.",
                "results.json or data.h5 misses a record or has one of another shape.",
                "Run the same command again; finished stages are reused.",
            ) from error

    @property
    def has_electrons(self) -> bool:
        """Whether the run has an electronic part."""
        return self.electronic_structure is not None or self.band_gap is not None

    @property
    def has_mobility(self) -> bool:
        """Whether the run has mobilities of carriers."""
        return bool(self.transport)

    @property
    def has_phonons(self) -> bool:
        """Whether the run has, or was meant to have, phonons and their transport."""
        return (
            self.phonons is not None
            or self.force_constants is not None
            or bool(self.thermal_conductivity)
            or not self.has_electrons
        )

    @property
    def has_lattice_transport(self) -> bool:
        """Whether the run has, or was meant to have, a lattice thermal conductivity.

        A run of mobilities has phonons for the scattering of carriers alone.
        """
        return self.has_phonons and (bool(self.thermal_conductivity) or not self.has_mobility)

    def localization_grid(self) -> LocalizationGrid:
        """Return the electron localization function on its grid.

        Raises
        ------
        StoreError
            If the run has none.
        """
        if not self.has_localization:
            raise StoreError(
                f"{self.path} holds no electron localization function.",
                fix="Run `elphant elf` on the structure.",
            )
        return read_localization(self.path / "data.h5")

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
    fix = "Give a run directory made by `elphant run`, `elphant kappa` or `elphant bands`."
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
        "dielectric_in_phonons": dielectric is not None and dielectric.get("used_by_phonons", True),
        "thermal_conductivity": tuple(
            ThermalConductivity.of(record) for record in results["thermal_conductivity"]
        ),
        "renormalization": _all(Renormalization, results, "renormalization"),
        "four_phonon": _all(FourPhononSum, results, "four_phonon"),
        "rates": _all(RateSummary, results, "rates"),
        "velocity_anisotropy": _all(VelocityAnisotropy, results, "velocity_anisotropy"),
        "gruneisen": _all(GruneisenSummary, results, "gruneisen"),
        "force_asymmetry": _all(ForceAsymmetry, results, "force_asymmetry"),
        "electronic_structure": _optional(ElectronicStructure, results.get("electronic_structure")),
        "band_gap": _optional(BandGap, results.get("band_gap")),
        "effective_mass": _all(EffectiveMass, results, "effective_mass"),
        "lone_pairs": _all(LonePair, results, "lone_pairs"),
        "localization": _optional(LocalizationSummary, results.get("elf")),
        "transport": TransportRecords.of(results),
        "quality": tuple(QualityFlag(**record) for record in results["quality"]),
        "provenance": Provenance.of(results["provenance"]),
    }


def _optional(kind: type[Record], record: Mapping[str, Any] | None) -> Any:
    return kind.of(record) if record else None


def _all(kind: type[Record], results: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    return tuple(kind.of(record) for record in results.get(name) or ())


def _read_arrays(path: Path) -> dict[str, Any]:
    """Return the fields of RunData that come from ``data.h5``; none of them if it is absent."""
    if not path.is_file():
        return {}
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return read_phonon_arrays(file) | read_electron_arrays(file) | read_carrier_rates(file)
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error}.",
            "The file is damaged or not HDF5.",
            "Run the same command again; finished stages are reused.",
        ) from error

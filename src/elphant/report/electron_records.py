"""Records of ``results.json`` on the electronic structure, as frozen objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from elphant.report.records import Record

#: The two carriers, in the order of every table.
CARRIERS = ("electron", "hole")


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectronicStructure(Record):
    """Where the Hamiltonian came from: energies in eV, times in s.

    ``k_mesh`` is the mesh of the calculation the Hamiltonian is from; ``details`` are the
    provider's own settings by name.
    """

    provider: str
    level_of_theory: str
    self_consistent: bool
    n_electrons: float
    n_orbitals: int
    n_atoms: int
    k_mesh: list[int] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    sha256: str | None = None
    capabilities: dict[str, Any] = field(default_factory=dict)
    valence_maximum_energy: float | None = None
    seconds: float | None = None
    peak_memory_gb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BandEdge(Record):
    """One edge: k in fractions of the reciprocal vectors of the user's cell, energy in eV."""

    k_point: list[float]
    band: int
    degeneracy: int
    energy: float
    k_label: str | None = None
    multiplicity: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BandGap(Record):
    """The fundamental gap and its edges, eV; the edges of a metal are None.

    The valleys are inequivalent extrema close to an edge, the edge itself first.
    """

    value: float
    kind: str | None
    direct_value: float | None
    valence: BandEdge | None
    conduction: BandEdge | None
    direct_k_point: list[float] | None = None
    is_metal: bool = False
    valence_valleys: tuple[BandEdge, ...] = ()
    conduction_valleys: tuple[BandEdge, ...] = ()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the object for a record."""
        edges = {
            name: BandEdge.of(record[name]) if record.get(name) else None
            for name in ("valence", "conduction")
        }
        valleys = {
            name: tuple(BandEdge.of(item) for item in record.get(name) or ())
            for name in ("valence_valleys", "conduction_valleys")
        }
        return super(BandGap, cls).of({**record, **edges, **valleys})


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveMass(Record):
    """Mass of one carrier in one band, m_e.

    ``band_index`` 0 is the edge band; a degenerate edge has one record per band, without tensor.
    """

    carrier: str
    kind: str
    axes: dict[str, float | None]
    temperature: float | None = None
    band_index: int = 0
    k_point: list[float] | None = None
    tensor: list[list[float]] | None = None
    inverse_tensor: list[list[float]] | None = None
    principal: dict[str, list[Any]] | None = None
    uncertainty: dict[str, float | None] | None = None
    degeneracy: int = 1
    energy: float | None = None
    density_of_states_mass: float | None = None
    energy_spread: float | None = None

    @property
    def name(self) -> str:
        """Short name for tables: ``electron, band edge``."""
        kind = "band edge"
        if self.kind == "valley":
            kind = f"valley {1e3 * (self.energy or 0.0):.0f} meV from the edge"
        elif self.kind != "band_edge":
            at = "" if self.temperature is None else f" at {self.temperature:g} K"
            kind = f"conductivity mass{at}"
        band = (
            f", band {self.band_index + 1}" if self.degeneracy > 1 and self.tensor is None else ""
        )
        return f"{self.carrier}, {kind}{band}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LonePair(Record):
    """Lone pair of one inequivalent atom.

    Attributes
    ----------
    atom : int
    symbol : str
    position : list of 3, Å
        Attractor of the localization function.
    vector : list of 3, Å
        From the nucleus to the attractor; ``distance`` is its length.
    population, volume, elf_maximum : float
        Electrons of the basin, Å³ of its strongly localised part, and the value at the attractor.
    angles : mapping of a, b, c to degrees
        Between the vector and the line along the axis, 0 to 90.
    vacancy_angle : float or None
        Degrees between the vector and the direction in which bond valence is missing.
    off_centring : list of 3, Å, or None
        Displacement of the atom from the centre of its coordination.
    bond_valence_sum, bond_valence_vector : valence units, or None
    sp_mixing : mapping or None
        Shares of the upper valence states on the shells s, p, … of the atom; ``mixing`` of s and p
        (0 to 1); ``overlap`` of its s with p of the neighbours (e); ``window`` (eV).
    """

    atom: int
    symbol: str
    position: list[float]
    vector: list[float]
    distance: float
    population: float
    elf_maximum: float
    angles: dict[str, float]
    volume: float | None = None
    multiplicity: int = 1
    equivalent_atoms: list[int] = field(default_factory=list)
    vacancy_angle: float | None = None
    off_centring: list[float] | None = None
    off_centring_length: float | None = None
    bond_valence_sum: float | None = None
    bond_valence_vector: list[float] | None = None
    coordination: int | None = None
    sp_mixing: dict[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizationBasin(Record):
    """One basin: Cartesian attractor (Å), value there, electrons and Å³ inside."""

    kind: str
    atoms: list[int]
    position: list[float]
    elf_maximum: float
    population: float
    volume: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizationSummary(Record):
    """The electron localization function on its grid: Å, electrons."""

    grid: list[int]
    spacing: float
    n_electrons: float
    basins: tuple[LocalizationBasin, ...]
    population_sum: float | None = None
    population_error: float | None = None
    slice: dict[str, Any] | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the object for a record."""
        basins = tuple(LocalizationBasin.of(item) for item in record.get("basins") or ())
        return super(LocalizationSummary, cls).of({**record, "basins": basins})

    def of_kind(self, kind: str) -> tuple[LocalizationBasin, ...]:
        """Return the basins of one kind: ``core``, ``lone_pair``, ``bond`` or ``other``."""
        return tuple(basin for basin in self.basins if basin.kind == kind)

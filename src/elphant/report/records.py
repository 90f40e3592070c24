"""Records of ``results.json`` on structure, phonons and thermal conductivity, as frozen objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

#: Levels of theory, the simplest first.
LEVELS = ("HA+3ph", "HA+3,4ph", "SCP+3ph", "SCP+3,4ph")
#: Solvers of the Boltzmann equation, the simplest first.
SOLVERS = ("rta", "bte")


class Record:
    """Build a frozen data class from a record of ``results.json``; unknown keys are left out."""

    __slots__ = ()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the object for a record."""
        names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: value for key, value in record.items() if key in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation(Record):
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
class ForceConstantSummary(Record):
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
class ThermalConductivity(Record):
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
        return LEVELS.index(self.level), SOLVERS.index(self.solver), self.coherence

    @property
    def method(self) -> str:
        """Short name of level and solver, for legends: ``HA+3ph, BTE``."""
        coherence = " + coherence" if self.coherence else ""
        return f"{self.level}{coherence}, {self.solver.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhononSummary(Record):
    """Harmonic frequencies in THz; imaginary ones are negative."""

    gamma_frequencies: list[float]
    minimum_frequency: float
    maximum_frequency: float
    imaginary_fraction: float
    mesh: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renormalization(Record):
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
class FourPhononSum(Record):
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
class RateSummary(Record):
    """Rate of one channel over all modes, ps⁻¹; the share refers to the total rate."""

    level: str
    temperature: float
    channel: str
    mean: float
    median: float
    share: float
    umklapp_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VelocityAnisotropy(Record):
    """Mean of (v·n)² over the modes along a, b, c, (km/s)²."""

    level: str
    temperature: float
    axes: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class GruneisenSummary(Record):
    """Grüneisen parameters averaged with the mode heat capacities; clamped ions."""

    level: str
    temperature: float
    mean: float
    axes: dict[str, float]
    minimum: float
    maximum: float
    n_left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceAsymmetry(Record):
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
class Provenance(Record):
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

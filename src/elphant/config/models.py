"""Every option of a run, with its unit and default: the source of the CLI help and of the docs.

These strict models exist only at the border. The workflow turns them into the frozen settings of
the layers below.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator


def separated(value: object) -> object:
    """Return the words between commas of a text as a tuple, whole numbers as such.

    Everything else is returned as it is. Lists may so be written without brackets. This belongs to
    the types of lists, not to the command line: commas of paths and names are left alone.
    """
    return listed(value) if isinstance(value, str) and "," in value else value


def listed(value: object) -> object:
    """Return :func:`separated` words, and a single value as a tuple of one."""
    if isinstance(value, str):  # YAML reads 1e16, without a dot, as a word too
        words = [word.strip() for word in value.split(",")]
        return tuple(int(word) if word.isdecimal() else word for word in words)
    return (value,) if isinstance(value, int | float) else value


Length = Annotated[float, Field(gt=0.0, le=1000.0)]
Lengths = Annotated[tuple[Length, Length, Length], BeforeValidator(separated)]
Divisions = Annotated[int, Field(ge=1, le=999)]
Mesh = Annotated[tuple[Divisions, Divisions, Divisions], BeforeValidator(separated)]
Temperatures = Annotated[
    tuple[Annotated[float, Field(gt=0, le=10000)], ...], BeforeValidator(listed)
]


class Section(BaseModel):
    """Base of all sections: unknown keys are refused and values cannot change later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PotentialConfig(Section):
    """The interatomic potential."""

    model: str = Field(
        "sevennet-l3i5",
        description="Named model, NAME:HEAD, path of a model file, or MODULE:FACTORY of an ASE "
        "calculator.",
    )
    head: str | None = Field(None, description="Output head of a multi-head model.")
    dispersion: Literal["none", "d3bj"] = Field(
        "none", description="Dispersion correction added to the model: none or d3bj."
    )
    dispersion_functional: str | None = Field(
        None, description="Functional of the D3 parameters; taken from the model card by default."
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Floating-point type in which the network is evaluated."
    )
    python: str | None = Field(
        None,
        description="Python of another environment in which the model is installed; the model "
        "then runs there in a worker process.",
    )
    trust: bool = Field(
        False, description="Load a model file of unknown origin although loading executes code."
    )


class RelaxationConfig(Section):
    """Relaxation of cell and atoms under the symmetry of the input."""

    enabled: bool = Field(True, description="Relax the structure before anything else.")
    max_force: float = Field(1e-4, gt=0, description="Largest force component at the end, eV/Å.")
    max_steps: int = Field(500, ge=1, description="Largest number of steps.")
    fix_cell: bool = Field(False, description="Relax only the atoms.")


class SymmetryConfig(Section):
    """Space-group search."""

    tolerance: float = Field(1e-4, gt=0, le=0.5, description="Distance tolerance, Å.")


class DisplacementConfig(Section):
    """Displaced supercells from which force constants are made."""

    method: Literal["auto", "finite-difference", "random"] = Field(
        "auto", description="Systematic finite differences, random displacements with a fit, or "
        "whichever needs fewer atoms.",
    )  # fmt: skip
    length_second: Length | Lengths = Field(
        20.0,
        description="Smallest supercell length for second order, Å, one value or one per axis.",
    )
    length_third: Length | Lengths = Field(
        12.0, description="Smallest supercell length for third order, Å, one value or one per axis."
    )
    cutoff_third: Length | None = Field(
        5.0, description="Largest pair distance in a third-order cluster, Å."
    )
    cutoff_fourth: Length | None = Field(
        3.5, description="Largest pair distance in a fourth-order cluster, Å."
    )
    amplitude_second: float = Field(
        0.02, gt=0, le=0.3, description="Displacement for second order, Å."
    )
    amplitude_third: float = Field(
        0.03, gt=0, le=0.3, description="Displacement for third order, Å."
    )
    amplitude_fourth: float = Field(
        0.08,
        gt=0,
        le=0.5,
        description="Displacement for third and fourth order together, Å; used when the fourth "
        "order is wanted.",
    )
    oversampling: float = Field(
        10.0, ge=1.0, description="Force components per free parameter in a fit."
    )
    oversampling_fourth: float = Field(
        3.0, ge=1.0, description="The same for orders two and four of a fit with the fourth order."
    )
    held_out_fraction: float = Field(
        0.1, ge=0.0, lt=0.5, description="Share of random snapshots kept for validation."
    )
    seed: int = Field(0, ge=0, description="Seed of the random displacements.")
    check_gamma: bool = Field(
        True, description="Compare the Γ frequencies of the supercell with those of the unit cell."
    )


class PhononConfig(Section):
    """Harmonic phonons."""

    born: str | None = Field(
        None, description="BORN file with ε∞ and Z* for the non-analytical correction."
    )
    mesh: Mesh | None = Field(None, description="Mesh of the density of states.")
    mesh_spacing: float = Field(
        0.1, gt=0, description="Spacing of that mesh when it is not given, 2π/Å included, Å⁻¹."
    )


class RenormalizationConfig(Section):
    """Self-consistent phonons at each temperature."""

    method: Literal["none", "loop", "stochastic"] = Field(
        "none",
        description="loop: from fourth-order force constants; stochastic: from forces of "
        "supercells drawn at the temperature. Adds the SCP levels to the harmonic ones.",
    )
    check: bool = Field(
        False, description="Compare the loop with the stochastic variant at one temperature."
    )
    bubble: bool = Field(
        False, description="Add the static bubble of the third order to the renormalised phonons."
    )
    temperatures: Temperatures | None = Field(
        None, description="Temperatures of the SCP levels, K; those of the conductivity by default."
    )
    mesh: Mesh | None = Field(
        None,
        description="Mesh over which displacements are averaged; the points that fit the "
        "second-order supercell by default.",
    )
    tolerance: float = Field(
        1e-4, gt=0, description="Largest change of a frequency at the end, THz."
    )
    batch: int = Field(
        20, ge=2, le=10000, description="Supercells per iteration of the stochastic variant."
    )
    max_batches: int = Field(12, ge=1, le=1000, description="Largest number of its iterations.")


class ConductivityConfig(Section):
    """Lattice thermal conductivity."""

    backend: Literal["elphant", "phono3py"] = Field(
        "elphant",
        description="Scattering engine; phono3py knows only three phonons and serves as reference.",
    )
    orders: Annotated[tuple[Literal[3, 4], ...], BeforeValidator(listed)] = Field(
        (3,), description="Orders of phonon-phonon scattering: 3, or 3,4."
    )
    coherence: bool = Field(
        True, description="Add the wave-like (coherence) conductivity, as levels of its own."
    )
    tolerance: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Relative standard error per axis at which sampling of four-phonon processes "
        "ends.",
    )
    sampling: Literal["sampled", "exact"] = Field(
        "sampled", description="Four-phonon sum over sampled pairs of wave vectors, or all."
    )
    max_rounds: int = Field(
        10, ge=2, le=30, description="Largest number of rounds of draws; each doubles the sample."
    )
    sampling_seed: int = Field(0, ge=0, description="Seed of the draws.")
    single_precision: bool = Field(
        True,
        description="Multiply four-phonon matrix elements in single precision: twice as fast, "
        "relative error 1e-6 of a rate.",
    )

    temperatures: Temperatures = Field(
        (200.0, 300.0, 400.0, 500.0, 600.0), min_length=1, description="Temperatures, K."
    )
    mesh: Mesh | None = Field(None, description="q mesh of the scattering sums.")
    mesh_spacing: float = Field(
        0.2, gt=0, description="Spacing of that mesh when it is not given, 2π/Å included, Å⁻¹."
    )
    solver: Annotated[tuple[Literal["rta", "bte"], ...], BeforeValidator(listed)] = Field(
        ("rta",),
        min_length=1,
        description="rta: relaxation-time approximation; bte: full linearised Boltzmann equation.",
    )
    isotopes: bool = Field(True, description="Scattering by natural isotope disorder.")
    boundary: float | None = Field(
        None, gt=0, description="Boundary mean free path, µm; none by default."
    )
    broadening: Literal["adaptive", "tetrahedron"] | Annotated[float, Field(gt=0, le=10)] = Field(
        "adaptive",
        description="Gaussians of adaptive width, linear tetrahedra (three phonons; four-phonon "
        "scattering is then adaptive), or the standard deviation of a Gaussian, THz.",
    )
    width_scale: float = Field(0.3, gt=0, le=10, description="Factor on the adaptive widths.")
    degenerate_average: bool = Field(
        True,
        description="With phono3py as backend: average over degenerate modes, so that the result "
        "depends neither on the frame nor on rounding. elphant's own engine always does.",
    )
    imaginary_modes: Literal["error", "mask", "absolute"] = Field(
        "mask", description="What to do with imaginary modes; always counted and flagged."
    )

    @field_validator("orders")
    @classmethod
    def _three_first(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if 3 not in value:
            raise ValueError("four-phonon scattering comes on top of three phonons: use 3,4")
        return tuple(sorted(set(value)))

    @field_validator("temperatures")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))


class HamiltonianConfig(Section):
    """The Hamiltonian in local orbitals, from which everything electronic follows."""

    model: str = Field(
        "pyscf",
        description="pyscf (ab initio, needs that extra), uni-hamgnn (networks and OpenMX tables "
        "that you add), slater-koster:FILE (a test double), or none; --hamiltonian also takes "
        "files.",
    )
    basis: str = Field(
        "gth-dzvp-molopt-sr", description="Basis set of pyscf, for GTH pseudopotentials."
    )
    functional: str = Field("pbe", description="Exchange-correlation functional of pyscf.")
    self_consistent: bool = Field(
        True, description="Self-consistent density; false takes superposed atomic densities."
    )
    mesh: Mesh | None = Field(None, description="k mesh of the self-consistent density.")
    mesh_spacing: float = Field(
        0.25, gt=0, description="Spacing of that mesh when it is not given, 2π/Å included, Å⁻¹."
    )
    cutoff: float | None = Field(
        None, ge=200, description="Plane-wave cut-off of the density grid, eV; from the basis by "
        "default."
    )  # fmt: skip
    n_electrons: float | None = Field(
        None, gt=0, description="Electrons per cell, for files that do not say."
    )
    spin_orbit: Literal["none", "pseudopotential", "network"] = Field(
        "none",
        description="Spin-orbit coupling of uni-hamgnn: none, that of the pseudopotentials, or "
        "pseudopotentials and second network (network).",
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Floating-point type in which the networks of uni-hamgnn run."
    )
    reach: float | None = Field(
        None,
        gt=0,
        le=200,
        description="Distance from a moved atom beyond which others do not feel it through the "
        "networks of uni-hamgnn, Å; no limit by default.",
    )
    threshold: float = Field(
        5e-6,
        ge=0,
        le=1.0,
        description="Blocks of the derivatives of these networks without an element above this "
        "are left out, eV/Å.",
    )


class ElectronConfig(Section):
    """Bands, masses, the electron localization function, and the dielectric response."""

    points_per_leg: int = Field(
        40, ge=2, le=1000, description="Points on a leg of average length of the band path."
    )
    mesh: Mesh | None = Field(None, description="k mesh of the density of states and edges.")
    mesh_spacing: float = Field(
        0.2, gt=0, description="Spacing of that mesh when it is not given, 2π/Å included, Å⁻¹."
    )
    temperatures: Temperatures = Field(
        (300.0,), description="Temperatures of the conductivity masses, K."
    )
    grid_spacing: float = Field(
        0.12, gt=0.01, le=0.3, description="Grid spacing of density and ELF, Å."
    )
    dielectric_mesh: Mesh | None = Field(
        None, description="Finest k mesh of the permittivity; also that of the Berry strings."
    )
    dielectric_spacing: float = Field(
        0.2, gt=0, description="Spacing of that mesh when it is not given, 2π/Å included, Å⁻¹."
    )
    scissor: float = Field(
        0.0, ge=-20.0, le=20.0, description="Shift of the conduction bands in the permittivity, eV."
    )
    born_displacement: float = Field(
        0.02, gt=1e-4, le=0.2, description="Displacement of the atoms for Born charges, Å."
    )


class TransportConfig(Section):
    """Mobility of electrons and holes limited by phonons, and what follows from it."""

    carriers: Literal["electron", "hole", "both"] = Field(
        "both", description="Carriers: electron, hole or both."
    )
    temperatures: Temperatures = Field((300.0,), min_length=1, description="Temperatures, K.")
    densities: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1e24)], ...], BeforeValidator(listed)
    ] = Field(
        (1e16,),
        min_length=1,
        description="Densities of carriers, cm⁻³; each is kept at all temperatures.",
    )
    levels: Annotated[tuple[Literal["serta", "mrta", "bte"], ...], BeforeValidator(listed)] = Field(
        ("serta", "mrta", "bte"),
        min_length=1,
        description="serta: rates of scattering out of a state; mrta: the same weighted with the "
        "loss of velocity; bte: full linearised Boltzmann equation.",
    )
    mesh: Mesh | None = Field(None, description="k mesh of both carriers.")
    mesh_electron: Mesh | None = Field(None, description="k mesh of electrons alone.")
    mesh_hole: Mesh | None = Field(None, description="k mesh of holes alone.")
    mesh_spacing: float = Field(
        0.05, gt=0, description="Spacing of these meshes when none is given, 2π/Å included, Å⁻¹."
    )
    n_meshes: int = Field(
        3, ge=1, le=3, description="Meshes from whose results the error of the mesh is estimated, "
        "the given one and coarser ones; 1 gives no estimate.",
    )  # fmt: skip
    window: float = Field(
        10.0, ge=3.0, le=60.0,
        description="States up to this many kT from the band edge (of the highest temperature) "
        "take part.",
    )  # fmt: skip
    broadening: Literal["adaptive", "tetrahedron"] | Annotated[float, Field(gt=0, le=1.0)] = Field(
        "adaptive",
        description="Conservation of energy by Gaussians of adaptive width, linear tetrahedra, or "
        "Gaussians of this standard deviation, eV.",
    )
    width_scale: float = Field(1.0, gt=0, le=10, description="Factor on the adaptive widths.")
    vertex: Literal["co-moving", "projected"] = Field(
        "co-moving",
        description="Matrix elements with orbitals that move with their atoms, on the energy shell "
        "(co-moving), or with orbitals held at rest as HamEPC does (projected).",
    )
    polar: bool = Field(
        True, description="Long-range coupling through Born charges, where these are known."
    )
    quadrupoles: str | None = Field(
        None,
        description="File of dynamical quadrupoles, as EPW reads them (quadrupole.fmt, e bohr); "
        "needs a permittivity and Born charges, which may be zero.",
    )
    range_parameter: float | None = Field(
        None,
        gt=0,
        le=20,
        description="Separation of long and short range in the potential of the dipoles, Å⁻¹; "
        "from the supercell of the derivatives by default.",
    )
    range_sensitivity: bool = Field(
        False, description="Repeat with another range parameter and report the change."
    )
    screening: bool = Field(
        False, description="Screening of the long-range coupling by the carriers themselves."
    )
    impurities: float | None = Field(
        None, gt=0, le=1e24, description="Density of ionised impurities, cm⁻³; none by default."
    )
    impurity_charge: int = Field(
        1, ge=-10, le=10, description="Charge of these impurities, elementary charges."
    )
    mrta_variant: Literal["velocity", "directions"] = Field(
        "velocity",
        description="Weight of mrta: 1 - v·v'/v² (velocity), or 1 - cos of the angle between the "
        "velocities (directions).",
    )
    attribution: bool = Field(
        True, description="Shares of modes, polar and short-range coupling, and valleys."
    )
    parity: bool = Field(
        False,
        description="Also compute as HamEPC does (serta, Gaussians of one width, its polar part), "
        "with a list of the differences.",
    )
    derivative_supercell: Length | Mesh = Field(
        10.0,
        description="Supercell of ∂H/∂τ by finite differences: repeats along a, b, c, or smallest "
        "height, Å.",
    )
    derivative_displacement: float = Field(
        0.03, gt=1e-4, le=0.3, description="Displacement of the atoms in that supercell, Å."
    )
    derivative_self_consistent: bool = Field(
        True,
        description="Self-consistent density in the displaced supercells; false takes superposed "
        "atomic densities there, for the derivatives alone.",
    )
    derivative_floor: float = Field(
        1e-3, ge=0, le=1.0, description="Blocks of ∂H/∂τ below this norm are left out, eV/Å."
    )
    derivative_mesh: Mesh | None = Field(
        None, description="k mesh of the density of that supercell; from hamiltonian.mesh_spacing "
        "by default.",
    )  # fmt: skip

    @field_validator("levels")
    @classmethod
    def _simplest_first(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(level for level in ("serta", "mrta", "bte") if level in value)

    @field_validator("temperatures", "densities")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))

    @field_validator("impurity_charge")
    @classmethod
    def _charged(cls, value: int) -> int:
        if value == 0:
            raise ValueError("must not be 0: neutral impurities are not described")
        return value


class AnalysisConfig(Section):
    """Analysis of anharmonicity."""

    force_asymmetry: bool = Field(
        True, description="Scan the energy of one displaced atom per orbit and direction."
    )
    gruneisen: bool = Field(True, description="Mode Grüneisen parameters.")


class ExecutionConfig(Section):
    """How the work is executed. Nothing here changes a number."""

    device: str = Field("auto", description="cpu, cuda, cuda:1, or auto.")
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        "auto",
        description="Worker processes on this machine; auto takes one per core for the forces on a "
        "processor when there is enough work.",
    )
    memory: str | float | None = Field(
        None, description="Memory bound, for example 8GB; 80 % of the machine by default."
    )


class RunConfig(Section):
    """Resolved configuration of a run."""

    preset: Literal["quick", "standard", "phono3py"] = Field(
        "quick",
        description="quick: minutes on a laptop, not converged; standard: for publication; "
        "phono3py: the conventions of that code, default for its own files and those of phonopy.",
    )
    potential: PotentialConfig = PotentialConfig()
    symmetry: SymmetryConfig = SymmetryConfig()
    relaxation: RelaxationConfig = RelaxationConfig()
    displacements: DisplacementConfig = DisplacementConfig()
    phonons: PhononConfig = PhononConfig()
    renormalization: RenormalizationConfig = RenormalizationConfig()
    conductivity: ConductivityConfig = ConductivityConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    hamiltonian: HamiltonianConfig = HamiltonianConfig()
    electrons: ElectronConfig = ElectronConfig()
    transport: TransportConfig = TransportConfig()
    execution: ExecutionConfig = ExecutionConfig()

"""Every option of a run, with its unit and default: the source of the CLI help and of the docs.

These strict models exist only at the border. The workflow turns them into the frozen settings of
the layers below.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Length = Annotated[float, Field(gt=0.0, le=1000.0)]
Mesh = tuple[
    Annotated[int, Field(ge=1, le=999)],
    Annotated[int, Field(ge=1, le=999)],
    Annotated[int, Field(ge=1, le=999)],
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
    length_second: Length | tuple[Length, Length, Length] = Field(
        20.0,
        description="Smallest supercell length for second order, Å, one value or one per axis.",
    )
    length_third: Length | tuple[Length, Length, Length] = Field(
        12.0, description="Smallest supercell length for third order, Å, one value or one per axis."
    )
    cutoff_third: Length | None = Field(
        5.0, description="Largest pair distance in a third-order cluster, Å."
    )
    amplitude_second: float = Field(
        0.02, gt=0, le=0.3, description="Displacement for second order, Å."
    )
    amplitude_third: float = Field(
        0.03, gt=0, le=0.3, description="Displacement for third order, Å."
    )
    oversampling: float = Field(
        10.0, ge=1.0, description="Force components per free parameter in a fit."
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


class ConductivityConfig(Section):
    """Lattice thermal conductivity."""

    temperatures: tuple[Annotated[float, Field(gt=0, le=10000)], ...] = Field(
        (200.0, 300.0, 400.0, 500.0, 600.0), min_length=1, description="Temperatures, K."
    )
    mesh: Mesh | None = Field(None, description="q mesh of the scattering sums.")
    mesh_spacing: float = Field(
        0.2, gt=0, description="Spacing of that mesh when it is not given, 2π/Å included, Å⁻¹."
    )
    solver: tuple[Literal["rta", "bte"], ...] = Field(
        ("rta",),
        min_length=1,
        description="rta: relaxation-time approximation; bte: full linearised Boltzmann equation.",
    )
    isotopes: bool = Field(True, description="Scattering by natural isotope disorder.")
    boundary: float | None = Field(
        None, gt=0, description="Boundary mean free path, µm; none by default."
    )
    broadening: Literal["tetrahedron"] | Annotated[float, Field(gt=0, le=10)] = Field(
        "tetrahedron",
        description="Linear tetrahedra, or the standard deviation of a Gaussian, THz.",
    )
    degenerate_average: bool = Field(
        True,
        description="Average over degenerate modes, so that the result depends neither on the "
        "frame nor on rounding; phono3py's own default leaves it out.",
    )
    imaginary_modes: Literal["error", "mask", "absolute"] = Field(
        "mask", description="What to do with imaginary modes; always counted and flagged."
    )

    @field_validator("solver", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("temperatures", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, int | float) else value

    @field_validator("temperatures")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))


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
        "phono3py: the conventions of that code, default for given force constants.",
    )
    potential: PotentialConfig = PotentialConfig()
    symmetry: SymmetryConfig = SymmetryConfig()
    relaxation: RelaxationConfig = RelaxationConfig()
    displacements: DisplacementConfig = DisplacementConfig()
    phonons: PhononConfig = PhononConfig()
    conductivity: ConductivityConfig = ConductivityConfig()
    execution: ExecutionConfig = ExecutionConfig()

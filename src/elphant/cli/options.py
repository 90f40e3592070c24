"""Command-line options shared by several commands. Help texts come from the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CONFIGURATION = "Configuration"
MODEL = "Potential"
PHYSICS = "Physics"
EXECUTION = "Execution"

Config = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with any option.", rich_help_panel=CONFIGURATION),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="quick (minutes, not converged), standard (for publication), or phono3py (its "
        "conventions and engine; default for --force-constants of phono3py and phonopy, unless "
        "--orders 3,4 or --scp is given).",
        rich_help_panel=CONFIGURATION,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any option of the configuration by its dotted name, "
        "for example displacements.seed=7.",
        rich_help_panel=CONFIGURATION,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Run directory; NAME.run by default.", rich_help_panel=CONFIGURATION
    ),
]
Potential = Annotated[
    str | None,
    typer.Option(
        "--potential",
        help="Named model, NAME:HEAD, model file, or MODULE:FACTORY of an ASE calculator.",
        rich_help_panel=MODEL,
    ),
]
Dispersion = Annotated[
    str | None,
    typer.Option("--dispersion", help="none or d3bj.", rich_help_panel=MODEL),
]
PotentialPython = Annotated[
    str | None,
    typer.Option(
        "--potential-python",
        metavar="PYTHON",
        help="Python of the environment in which the model is installed.",
        rich_help_panel=MODEL,
    ),
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="float64 or float32.", rich_help_panel=MODEL)
]
Trust = Annotated[
    bool | None,
    typer.Option(
        "--trust",
        help="Load a model file of unknown origin although loading executes code.",
        rich_help_panel=MODEL,
    ),
]
MaxForce = Annotated[
    float | None,
    typer.Option(
        "--max-force", help="Residual force of the relaxation, eV/Å.", rich_help_panel=PHYSICS
    ),
]
NoRelax = Annotated[
    bool, typer.Option("--no-relax", help="Use the structure as it is.", rich_help_panel=PHYSICS)
]
Symprec = Annotated[
    float | None,
    typer.Option("--symprec", help="Symmetry tolerance, Å.", rich_help_panel=PHYSICS),
]
ForceConstants = Annotated[
    Path | None,
    typer.Option(
        "--force-constants",
        help="phonopy, phono3py or ShengBTE file or folder used instead of a potential. Files of "
        "ShengBTE are computed with elphant's engine.",
        rich_help_panel=PHYSICS,
    ),
]
Born = Annotated[
    str | None,
    typer.Option(
        "--born",
        metavar="FILE",
        help="BORN file for the non-analytical correction.",
        rich_help_panel=PHYSICS,
    ),
]
Hamiltonian = Annotated[
    str | None,
    typer.Option(
        "--hamiltonian",
        metavar="NAME|FILE",
        help="pyscf, uni-hamgnn, slater-koster:FILE, none, or a Hamiltonian file: own HDF5, "
        "Wannier90 _tb.dat/_hr.dat, HamGNN folder, or what sisl reads.",
        rich_help_panel=MODEL,
    ),
]
Basis = Annotated[
    str | None,
    typer.Option("--basis", help="Basis set of pyscf.", rich_help_panel=MODEL),
]
NElectrons = Annotated[
    float | None,
    typer.Option(
        "--n-electrons",
        help="Electrons per cell, for Hamiltonian files that do not say.",
        rich_help_panel=MODEL,
    ),
]
Relax = Annotated[
    bool,
    typer.Option(
        "--relax",
        help="Relax the structure with the potential first.",
        rich_help_panel=PHYSICS,
    ),
]
KMesh = Annotated[
    str | None,
    typer.Option(
        "--k-mesh",
        metavar="N,N,N",
        help="k mesh of the self-consistent density.",
        rich_help_panel=PHYSICS,
    ),
]
Temperatures = Annotated[
    str | None,
    typer.Option(
        "--temperature",
        "-T",
        metavar="T[,T…]|FIRST:LAST:STEP",
        help="Temperatures, K.",
        rich_help_panel=PHYSICS,
    ),
]
Mesh = Annotated[
    str | None,
    typer.Option("--mesh", metavar="N,N,N", help="q mesh.", rich_help_panel=PHYSICS),
]
Solver = Annotated[
    str | None,
    typer.Option("--solver", help="rta, bte, or rta,bte.", rich_help_panel=PHYSICS),
]
Orders = Annotated[
    str | None,
    typer.Option(
        "--orders", help="Orders of phonon-phonon scattering: 3 or 3,4.", rich_help_panel=PHYSICS
    ),
]
Scp = Annotated[
    bool,
    typer.Option(
        "--scp",
        help="Add levels with self-consistent phonons (loop); other variants with "
        "--set renormalization.method=stochastic.",
        rich_help_panel=PHYSICS,
    ),
]
Coherence = Annotated[
    bool | None,
    typer.Option(
        "--coherence/--no-coherence",
        help="Wave-like conductivity beside the particle-like one.",
        rich_help_panel=PHYSICS,
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        "--tolerance",
        help="Relative standard error per axis at which four-phonon sampling ends.",
        rich_help_panel=PHYSICS,
    ),
]
Isotopes = Annotated[
    bool | None,
    typer.Option(
        "--isotopes/--no-isotopes", help="Natural isotope disorder.", rich_help_panel=PHYSICS
    ),
]
DegenerateAverage = Annotated[
    bool | None,
    typer.Option(
        "--degenerate-average/--no-degenerate-average",
        help="Average over degenerate modes: independent of frame and rounding.",
        rich_help_panel=PHYSICS,
    ),
]
Boundary = Annotated[
    float | None,
    typer.Option("--boundary", help="Boundary mean free path, µm.", rich_help_panel=PHYSICS),
]
Broadening = Annotated[
    str | None,
    typer.Option(
        "--broadening",
        help="adaptive, tetrahedron, or the standard deviation of a Gaussian in THz.",
        rich_help_panel=PHYSICS,
    ),
]
ImaginaryModes = Annotated[
    str | None,
    typer.Option("--imaginary-modes", help="error, mask or absolute.", rich_help_panel=PHYSICS),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Compute only part I of N of the forces and scattering stages.",
        rich_help_panel=EXECUTION,
    ),
]
ElectronShard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Compute only part I of N of the displaced crystals.",
        rich_help_panel=EXECUTION,
    ),
]
ComputeDielectric = Annotated[
    bool,
    typer.Option(
        "--dielectric",
        help="Compute permittivity and Born charges from the Hamiltonian, as elphant dielectric.",
        rich_help_panel=PHYSICS,
    ),
]
Carriers = Annotated[
    str | None,
    typer.Option("--carriers", help="electron, hole or both.", rich_help_panel=PHYSICS),
]
Densities = Annotated[
    str | None,
    typer.Option(
        "--density",
        metavar="N[,N…]",
        help="Densities of carriers, cm⁻³, each kept at all temperatures.",
        rich_help_panel=PHYSICS,
    ),
]
TransportLevels = Annotated[
    str | None,
    typer.Option(
        "--level",
        help="serta (rates), mrta (rates weighted with the loss of velocity), bte (full Boltzmann "
        "equation), or a list of them.",
        rich_help_panel=PHYSICS,
    ),
]
TransportMesh = Annotated[
    str | None,
    typer.Option("--mesh", metavar="N,N,N", help="k mesh of scattering.", rich_help_panel=PHYSICS),
]
ElectronBroadening = Annotated[
    str | None,
    typer.Option(
        "--broadening",
        help="adaptive, tetrahedron, or the standard deviation of a Gaussian in eV.",
        rich_help_panel=PHYSICS,
    ),
]
DerivativeSupercell = Annotated[
    str | None,
    typer.Option(
        "--derivative-supercell",
        metavar="N,N,N|LENGTH",
        help="Supercell of ∂H/∂τ: repeats along a, b, c, or smallest height in Å.",
        rich_help_panel=PHYSICS,
    ),
]
Impurities = Annotated[
    float | None,
    typer.Option(
        "--impurities",
        metavar="DENSITY",
        help="Density of ionised impurities, cm⁻³.",
        rich_help_panel=PHYSICS,
    ),
]
Screening = Annotated[
    bool | None,
    typer.Option(
        "--screening/--no-screening",
        help="Screening of the polar coupling by the carriers.",
        rich_help_panel=PHYSICS,
    ),
]
Parity = Annotated[
    bool | None,
    typer.Option(
        "--parity/--no-parity",
        help="Also compute as HamEPC does, and list the differences.",
        rich_help_panel=PHYSICS,
    ),
]
Workers = Annotated[
    str | None,
    typer.Option("--workers", help="Worker processes, or auto.", rich_help_panel=EXECUTION),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", help="Memory bound, for example 8GB.", rich_help_panel=EXECUTION),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel=EXECUTION)
]
Report = Annotated[
    bool,
    typer.Option(
        "--report/--no-report",
        help="Write figures and HTML report at the end.",
        rich_help_panel=CONFIGURATION,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the plan with counts, time and memory, and compute nothing.",
        rich_help_panel=EXECUTION,
    ),
]

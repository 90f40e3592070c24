"""The ``elphant`` command. Commands parse, call the workflow and print; they hold no physics.

Everything heavy is imported inside the commands, so that ``elphant --help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import elphant
from elphant.cli import options as opt
from elphant.cli.console import (
    call_reporting_errors,
    end_on_request,
    error_console,
    print_result,
)
from elphant.cli.models_command import models_app
from elphant.cli.parse import (
    parse_assignments,
    parse_count_or_word,
    parse_densities,
    parse_mesh,
    parse_number_or_word,
    parse_temperatures,
)
from elphant.errors import ConfigurationError

app = typer.Typer(
    name="elphant",
    help="Anisotropic electron and phonon transport of crystals from foundation models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(models_app, name="models")


@app.callback(invoke_without_command=True)
def global_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[  # noqa: ARG001  read by main() before parsing
        bool, typer.Option("--debug", help="Show tracebacks.")
    ] = False,
) -> None:
    """Options that stand before the command."""
    if version:
        print_result(f"elphant {elphant.__version__}")
        raise typer.Exit


@app.command("run")
@app.command("kappa")
def kappa(
    context: typer.Context,
    structure: Annotated[
        Path | None, typer.Argument(help="Structure file: CIF, POSCAR, extxyz, …")
    ] = None,
    config: opt.Config = None,
    preset: opt.Preset = None,
    output: opt.Output = None,
    set_: opt.Set = None,
    potential: opt.Potential = None,
    dispersion: opt.Dispersion = None,
    potential_python: opt.PotentialPython = None,
    dtype: opt.Dtype = None,
    trust: opt.Trust = None,
    no_relax: opt.NoRelax = False,
    max_force: opt.MaxForce = None,
    symprec: opt.Symprec = None,
    force_constants: opt.ForceConstants = None,
    hamiltonian: opt.Hamiltonian = None,
    basis: opt.Basis = None,
    born: opt.Born = None,
    temperature: opt.Temperatures = None,
    mesh: opt.Mesh = None,
    solver: opt.Solver = None,
    orders: opt.Orders = None,
    scp: opt.Scp = False,
    coherence: opt.Coherence = None,
    tolerance: opt.Tolerance = None,
    isotopes: opt.Isotopes = None,
    degenerate_average: opt.DegenerateAverage = None,
    boundary: opt.Boundary = None,
    broadening: opt.Broadening = None,
    imaginary_modes: opt.ImaginaryModes = None,
    shard: opt.ShardOption = None,
    workers: opt.Workers = None,
    memory: opt.Memory = None,
    device: opt.Device = None,
    report_: opt.Report = True,
    dry_run: opt.DryRun = False,
) -> None:
    """Compute the lattice thermal conductivity tensor and write a report.

    [bold]run[/bold] does everything the available models allow: phonons, then bands, masses and
    electron localization on the same structure; [bold]kappa[/bold] does the phonons only. The same
    command again resumes or reuses.
    """
    from elphant.cli.jobs import Request, run_tasks, split_hamiltonian

    model, file = split_hamiltonian(hamiltonian)
    flags: dict[str, Any] = {
        "preset": preset,
        "potential.model": potential,
        "potential.dispersion": dispersion,
        "potential.python": potential_python,
        "potential.dtype": dtype,
        "potential.trust": trust,
        "relaxation.enabled": False if no_relax else None,
        "relaxation.max_force": max_force,
        "symmetry.tolerance": symprec,
        "phonons.born": born,
        "hamiltonian.model": model,
        "hamiltonian.basis": basis,
        "conductivity.temperatures": parse_temperatures(temperature),
        "conductivity.mesh": parse_mesh(mesh),
        "conductivity.solver": solver,
        "conductivity.orders": orders,
        "renormalization.method": "loop" if scp else None,
        "conductivity.coherence": coherence,
        "conductivity.tolerance": tolerance,
        "conductivity.isotopes": isotopes,
        "conductivity.degenerate_average": degenerate_average,
        "conductivity.boundary": boundary,
        "conductivity.broadening": parse_number_or_word(broadening),
        "conductivity.imaginary_modes": imaginary_modes,
        "execution.workers": parse_count_or_word(workers),
        "execution.memory": memory,
        "execution.device": device,
    }
    everything = context.info_name == "run" and force_constants is None
    if not everything and (hamiltonian or basis):
        raise ConfigurationError(
            "--hamiltonian and --basis have no effect on a phonon calculation.",
            "Only the electronic part uses them.",
            "Leave them out, or use elphant run with a structure file.",
        )
    run_tasks(
        Request(
            structure=structure,
            force_constants=force_constants,
            hamiltonian_file=file,
            tasks=("kappa", "bands", "masses", "elf") if everything else ("kappa",),
            config_file=config,
            flags={**flags, **parse_assignments(set_)},
            output=output,
            shard=shard,
            with_report=report_,
            dry_run=dry_run,
        )
    )


@app.command("bands")
@app.command("masses")
@app.command("elf")
def electrons(
    context: typer.Context,
    structure: Annotated[
        Path | None, typer.Argument(help="Structure file: CIF, POSCAR, extxyz, …")
    ] = None,
    config: opt.Config = None,
    preset: opt.Preset = None,
    output: opt.Output = None,
    set_: opt.Set = None,
    hamiltonian: opt.Hamiltonian = None,
    basis: opt.Basis = None,
    n_electrons: opt.NElectrons = None,
    k_mesh: opt.KMesh = None,
    relax_: opt.Relax = False,
    potential: opt.Potential = None,
    dispersion: opt.Dispersion = None,
    temperature: opt.Temperatures = None,
    symprec: opt.Symprec = None,
    device: opt.Device = None,
    memory: opt.Memory = None,
    report_: opt.Report = True,
    dry_run: opt.DryRun = False,
) -> None:
    """Compute the electronic structure of a semiconductor and write a report.

    [bold]bands[/bold]: band structure, density of states, gap. [bold]masses[/bold]: effective-mass
    tensors of electrons and holes. [bold]elf[/bold]: electron localization function, its basins
    and lone pairs. The structure is taken as it is unless --relax is given. One run directory
    collects all three.
    """
    from elphant.cli.jobs import Request, run_tasks, split_hamiltonian

    model, file = split_hamiltonian(hamiltonian)
    flags: dict[str, Any] = {
        "preset": preset,
        "hamiltonian.model": model,
        "hamiltonian.basis": basis,
        "hamiltonian.n_electrons": n_electrons,
        "hamiltonian.mesh": parse_mesh(k_mesh, "--k-mesh"),
        "potential.model": potential,
        "potential.dispersion": dispersion,
        "electrons.temperatures": parse_temperatures(temperature),
        "symmetry.tolerance": symprec,
        "execution.device": device,
        "execution.memory": memory,
    }
    tasks: dict[str | None, tuple[Any, ...]] = {
        "bands": ("bands",), "masses": ("bands", "masses"), "elf": ("elf",),
    }  # fmt: skip
    run_tasks(
        Request(
            structure=structure,
            hamiltonian_file=file,
            tasks=tasks[context.info_name],
            relax=relax_,
            config_file=config,
            flags={**flags, **parse_assignments(set_)},
            output=output,
            with_report=report_,
            dry_run=dry_run,
        )
    )


@app.command("dielectric")
def dielectric(
    structure: Annotated[
        Path | None, typer.Argument(help="Structure file: CIF, POSCAR, extxyz, …")
    ] = None,
    config: opt.Config = None,
    preset: opt.Preset = None,
    output: opt.Output = None,
    set_: opt.Set = None,
    hamiltonian: opt.Hamiltonian = None,
    basis: opt.Basis = None,
    n_electrons: opt.NElectrons = None,
    k_mesh: opt.KMesh = None,
    relax_: opt.Relax = False,
    potential: opt.Potential = None,
    dispersion: opt.Dispersion = None,
    scissor: Annotated[
        float | None,
        typer.Option(
            "--scissor",
            help="Shift of the conduction bands in the permittivity, eV.",
            rich_help_panel=opt.PHYSICS,
        ),
    ] = None,
    symprec: opt.Symprec = None,
    shard: opt.ElectronShard = None,
    workers: opt.Workers = None,
    memory: opt.Memory = None,
    report_: opt.Report = True,
    dry_run: opt.DryRun = False,
) -> None:
    """Compute permittivity and Born charges and write them as a BORN file.

    ε∞ is that of independent particles; Z* follows from Berry phases of crystals with one displaced
    atom, each with a Hamiltonian of its own (--dry-run counts them). [bold]elphant kappa[/bold]
    reads the result: --born NAME.electrons.run/exchange/BORN. A Hamiltonian file gives ε∞ only.
    """
    from elphant.cli.jobs import Request, run_tasks, split_hamiltonian

    model, file = split_hamiltonian(hamiltonian)
    flags: dict[str, Any] = {
        "preset": preset,
        "hamiltonian.model": model,
        "hamiltonian.basis": basis,
        "hamiltonian.n_electrons": n_electrons,
        "hamiltonian.mesh": parse_mesh(k_mesh, "--k-mesh"),
        "potential.model": potential,
        "potential.dispersion": dispersion,
        "electrons.scissor": scissor,
        "symmetry.tolerance": symprec,
        "execution.workers": parse_count_or_word(workers),
        "execution.memory": memory,
    }
    run_tasks(
        Request(
            structure=structure,
            hamiltonian_file=file,
            tasks=("dielectric",),
            relax=relax_,
            config_file=config,
            flags={**flags, **parse_assignments(set_)},
            output=output,
            shard=shard,
            with_report=report_,
            dry_run=dry_run,
        )
    )


@app.command("mobility")
def mobility(
    structure: Annotated[
        Path | None, typer.Argument(help="Structure file: CIF, POSCAR, extxyz, …")
    ] = None,
    config: opt.Config = None,
    preset: opt.Preset = None,
    output: opt.Output = None,
    set_: opt.Set = None,
    hamiltonian: opt.Hamiltonian = None,
    basis: opt.Basis = None,
    n_electrons: opt.NElectrons = None,
    k_mesh: opt.KMesh = None,
    relax_: opt.Relax = False,
    potential: opt.Potential = None,
    dispersion: opt.Dispersion = None,
    potential_python: opt.PotentialPython = None,
    trust: opt.Trust = None,
    force_constants: opt.ForceConstants = None,
    born: opt.Born = None,
    dielectric_: opt.ComputeDielectric = False,
    carriers: opt.Carriers = None,
    temperature: opt.Temperatures = None,
    density: opt.Densities = None,
    level: opt.TransportLevels = None,
    mesh: opt.TransportMesh = None,
    broadening: opt.ElectronBroadening = None,
    derivative_supercell: opt.DerivativeSupercell = None,
    impurities: opt.Impurities = None,
    screening: opt.Screening = None,
    parity: opt.Parity = None,
    symprec: opt.Symprec = None,
    shard: opt.ElectronShard = None,
    workers: opt.Workers = None,
    memory: opt.Memory = None,
    device: opt.Device = None,
    report_: opt.Report = True,
    dry_run: opt.DryRun = False,
) -> None:
    """Compute the mobility of electrons and holes limited by phonons, and write a report.

    Phonons come from the potential, or from --force-constants, which bring their own structure.
    Polar coupling needs --born FILE, or --dielectric to compute permittivity and Born charges.
    Short-range coupling needs ∂H/∂τ: displaced supercells, each a Hamiltonian of its own
    (--dry-run counts them); a Hamiltonian file gives the polar part only. The structure is taken
    as it is unless --relax is given.
    """
    from elphant.cli.jobs import Request, run_tasks, split_hamiltonian

    if dielectric_ and born:
        raise ConfigurationError(
            "--dielectric has no effect with --born.",
            "A BORN file takes the place of a computed response.",
            "Leave out one of the two.",
        )
    model, file = split_hamiltonian(hamiltonian)
    flags: dict[str, Any] = {
        "preset": preset,
        "hamiltonian.model": model,
        "hamiltonian.basis": basis,
        "hamiltonian.n_electrons": n_electrons,
        "hamiltonian.mesh": parse_mesh(k_mesh, "--k-mesh"),
        "potential.model": potential,
        "potential.dispersion": dispersion,
        "potential.python": potential_python,
        "potential.trust": trust,
        "phonons.born": born,
        "transport.carriers": carriers,
        "transport.temperatures": parse_temperatures(temperature),
        "electrons.temperatures": parse_temperatures(temperature),
        "transport.densities": parse_densities(density),
        "transport.levels": level,
        "transport.mesh": parse_mesh(mesh),
        "transport.broadening": parse_number_or_word(broadening),
        "transport.derivative_supercell": derivative_supercell,
        "transport.impurities": impurities,
        "transport.screening": screening,
        "transport.parity": parity,
        "symmetry.tolerance": symprec,
        "execution.workers": parse_count_or_word(workers),
        "execution.memory": memory,
        "execution.device": device,
    }
    run_tasks(
        Request(
            structure=structure,
            force_constants=force_constants,
            hamiltonian_file=file,
            tasks=("bands", "masses", *(("dielectric",) if dielectric_ else ()), "mobility"),
            relax=relax_,
            config_file=config,
            flags={**flags, **parse_assignments(set_)},
            output=output,
            shard=shard,
            with_report=report_,
            dry_run=dry_run,
        )
    )


@app.command("relax")
def relax(
    structure: Annotated[Path, typer.Argument(help="Structure file: CIF, POSCAR, extxyz, …")],
    config: opt.Config = None,
    output: opt.Output = None,
    set_: opt.Set = None,
    potential: opt.Potential = None,
    dispersion: opt.Dispersion = None,
    potential_python: opt.PotentialPython = None,
    dtype: opt.Dtype = None,
    trust: opt.Trust = None,
    max_force: opt.MaxForce = None,
    fix_cell: Annotated[
        bool | None, typer.Option("--fix-cell", help="Relax only the atoms.")
    ] = None,
    symprec: opt.Symprec = None,
    device: opt.Device = None,
) -> None:
    """Relax cell and atoms under the symmetry of the input."""
    flags = {
        "potential.model": potential,
        "potential.dispersion": dispersion,
        "potential.python": potential_python,
        "potential.dtype": dtype,
        "potential.trust": trust,
        "relaxation.max_force": max_force,
        "relaxation.fix_cell": fix_cell,
        "symmetry.tolerance": symprec,
        "execution.device": device,
    }
    from elphant.cli.jobs import run_relaxation

    run_relaxation(
        structure,
        config_file=config,
        flags={**flags, **parse_assignments(set_)},
        output=output,
    )


@app.command("report")
def report(
    run_directory: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
) -> None:
    """Write the figures and the HTML report of a run again."""
    from elphant.report.build import write_report

    print_result(f"report: {write_report(run_directory)}")


@app.command("compare")
def compare(
    run_directories: Annotated[list[Path], typer.Argument(help="Two or more run directories.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory of the comparison.")
    ] = Path("comparison"),
    setting: Annotated[
        str | None,
        typer.Option("--setting", help="Axis setting of the comparison, for example Pbnm."),
    ] = None,
) -> None:
    """Put two or more runs side by side, matched by crystal axes."""
    from elphant.report.compare import write_comparison

    print_result(f"comparison: {write_comparison(run_directories, output, setting)}")


@app.command("doctor")
def doctor() -> None:
    """Check the installation: packages, models, device, memory, disk."""
    from elphant.cli.doctor import print_diagnosis

    print_diagnosis(error_console())


def main() -> None:
    """Entry point: errors end in one message and an exit status, never in a traceback."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    end_on_request()
    # Typer itself reports mistakes in the arguments; everything else reaches the line below.
    sys.exit(call_reporting_errors(lambda: app(args=arguments), debug=debug))

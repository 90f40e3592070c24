"""What the commands do: build the configuration, call the workflow, print the outcome."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from elphant.cli.console import error_console, print_result
from elphant.cli.progress import TerminalProgress
from elphant.config.loading import build_config
from elphant.engine.shard import Shard
from elphant.errors import ConfigurationError


def run_kappa(
    structure: Path | None,
    force_constants: Path | None,
    *,
    config_file: Path | None,
    flags: Mapping[str, Any],
    output: Path | None,
    shard: str | None,
    with_report: bool,
    dry_run: bool,
) -> None:
    """Run the phonon job, write the report and print the tensor."""
    from elphant.workflow.run import Job, run_phonon_job

    start = time.perf_counter()
    job = Job(structure=structure, force_constants=force_constants)
    if force_constants is not None:
        _refuse_model_options(flags)
    config = job.configuration(file=config_file, flags=flags)
    part = Shard.parse(shard) if shard else Shard()
    console = error_console()
    progress = TerminalProgress(console)
    if dry_run:
        from elphant.workflow.plan import plan_phonon_job

        print_result(plan_phonon_job(job, config, progress).text())
        return
    outcome = run_phonon_job(job, config, output=output, shard=part, progress=progress)
    if outcome.results is None:
        print_result(
            f"shard {part} is done: {outcome.pending}.\n"
            "Run the other shards; whichever comes last, or the same command again, goes on."
        )
        return
    if with_report and not _report_is_current(outcome.directory):
        from elphant.report.build import write_report

        with progress.task("report", 1) as task:
            write_report(outcome.directory)
            task.advance()
    print_result(tensor_table(outcome.results))
    notable = [f for f in outcome.results["quality"] if f["severity"] != "info"]
    for flag in notable:
        colour = "red" if flag["severity"] == "invalid" else "yellow"
        console.print(
            f"[{colour}]{flag['severity']}:[/{colour}] {escape(flag['message'])}", highlight=False
        )
    if not outcome.computed:
        console.print("nothing had to be computed: all stages were reused")
    peak = outcome.results["provenance"]["peak_memory_gb"]
    console.print(
        f"{time.perf_counter() - start:.1f} s, peak memory {peak:.1f} GB", highlight=False
    )
    name = "report.html" if with_report else "results.json"
    print_result(f"{name.split('.')[0]}: {outcome.directory / name}")


def _refuse_model_options(flags: Mapping[str, Any]) -> None:
    """Raise if a potential is chosen although the force constants are given."""
    for name, value in flags.items():
        if name.startswith("potential.") and value is not None:
            raise ConfigurationError(
                f"{name} = {value!r} has no effect with --force-constants.",
                "Given force constants take the place of a potential.",
                "Leave out one of the two.",
            )


def run_relaxation(
    structure: Path, *, config_file: Path | None, flags: Mapping[str, Any], output: Path | None
) -> None:
    """Relax a structure, write it and print what changed."""
    from elphant.workflow.relaxation import relax_structure_file

    config = build_config(file=config_file, flags=flags)
    folder, record = relax_structure_file(
        structure, config, output=output, progress=TerminalProgress(error_console())
    )
    rows = [
        f"space group   {record['space_group_before']} -> {record['space_group_after']}",
        f"max force     {record['max_force']:.2e} eV/Å",
        f"max stress    {record['max_stress']:.2e} GPa",
        f"steps         {record['n_steps']}" + ("" if record["converged"] else " (not converged)"),
    ]
    for axis, before, after in zip(
        "abc", record["lengths_before"], record["lengths_after"], strict=True
    ):
        change = record["change_percent"][axis]
        rows.append(f"{axis}             {before:.4f} -> {after:.4f} Å ({change:+.2f} %)")
    print_result("\n".join(rows))
    print_result(f"relaxed structure: {folder / 'structure' / 'relaxed.vasp'}")


def _report_is_current(directory: Path) -> bool:
    """Return whether the report was written after the results."""
    report, results = directory / "report.html", directory / "results.json"
    return report.exists() and report.stat().st_mtime >= results.stat().st_mtime


def tensor_table(results: Mapping[str, Any]) -> str:
    """Return κ along the crystal axes and in Cartesian components, one line per record."""
    records = results["thermal_conductivity"]
    if not records:
        return _harmonic_text(results)
    names = results["frame"]["standard_axes"]
    header = "  ".join(f"{'κ_' + axis:>9s}" for axis in "abc")
    lines = [
        f"lattice thermal conductivity of {results['structure']['formula']}, W m⁻¹ K⁻¹ "
        f"(axes of the input cell, {results['structure']['setting']}; standard setting: "
        + ", ".join(f"{axis} = {names[axis]}" for axis in "abc")
        + ")",
        f"{'level':11s}{'solver':9s}{'T (K)':>7s}  {header}   {'xx, yy, zz, yz, xz, xy'}",
    ]
    for record in records:
        tensor = record["cartesian"]
        voigt = [tensor[i][j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
        along = "  ".join(f"{record['axes'][axis]:9.4g}" for axis in "abc")
        solver = record["solver"] + ("+wave" if record["coherence"] else "")
        cartesian = ", ".join(f"{0.0 if abs(v) < 5e-5 else v:.4g}" for v in voigt)
        lines.append(
            f"{record['level']:11s}{solver:9s}{record['temperature']:7.1f}  {along}   {cartesian}"
        )
        if record["standard_error"]:
            errors = [record["standard_error"][axis] for axis in "abc"]
            lines.append(f"{'':21s}{'±':>6s}  " + "  ".join(f"{e:9.2g}" for e in errors))
    return "\n".join(lines)


def _harmonic_text(results: Mapping[str, Any]) -> str:
    gamma = results["phonons"]["gamma_frequencies"]
    lines = [
        f"harmonic phonons of {results['structure']['formula']}: Γ from {gamma[3]:.3f} (lowest "
        f"optical) to {gamma[-1]:.3f} THz"
        if len(gamma) > 3
        else f"harmonic phonons of {results['structure']['formula']}"
    ]
    if results["dielectric"]:
        epsilon = results["dielectric"]["epsilon_infinity"]
        lines.append("ε∞ (xx, yy, zz) = " + ", ".join(f"{epsilon[i][i]:.2f}" for i in range(3)))
    return "\n".join(lines)

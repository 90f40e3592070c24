"""What the commands do: build the configuration, call the workflow, print the outcome."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from elphant.cli.console import error_console, print_result
from elphant.cli.progress import TerminalProgress
from elphant.cli.tables import result_text
from elphant.config.loading import build_config
from elphant.engine.shard import Shard
from elphant.errors import ConfigurationError

if TYPE_CHECKING:
    from elphant.workflow.job import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command as it was typed, ready for the workflow.

    Attributes
    ----------
    structure, force_constants, hamiltonian_file : Path or None
        Where to start.
    tasks : tuple of str
        What to compute.
    relax : bool
        Relax first although no phonons are wanted.
    config_file : Path or None
    flags : mapping
        Options by dotted name.
    output : Path or None
    shard : str or None
    with_report, dry_run : bool
    """

    structure: Path | None = None
    force_constants: Path | None = None
    hamiltonian_file: Path | None = None
    tasks: tuple[Task, ...] = ("kappa",)
    relax: bool = False
    config_file: Path | None = None
    flags: Mapping[str, Any]
    output: Path | None = None
    shard: str | None = None
    with_report: bool = True
    dry_run: bool = False


def run_tasks(request: Request) -> None:
    """Run the tasks, write the report and print what was found."""
    from elphant.workflow.job import Job
    from elphant.workflow.run import run_job

    start = time.perf_counter()
    if request.force_constants is not None:
        _refuse_model_options(request.flags)
    _refuse_basis(request)
    job = Job(
        structure=request.structure,
        force_constants=request.force_constants,
        hamiltonian_file=request.hamiltonian_file,
        tasks=request.tasks,
        relax=request.relax,
    )
    config = job.configuration(file=request.config_file, flags=request.flags)
    part = Shard.parse(request.shard) if request.shard else Shard()
    console = error_console()
    progress = TerminalProgress(console)
    if request.dry_run:
        from elphant.workflow.plan import plan_job

        print_result(plan_job(job, config, progress).text())
        return
    outcome = run_job(job, config, output=request.output, shard=part, progress=progress)
    if outcome.results is None:
        print_result(
            f"shard {part} is done: {outcome.pending}.\n"
            "Run the other shards; whichever comes last, or the same command again, goes on."
        )
        return
    if request.with_report and not _report_is_current(outcome.directory):
        from elphant.report.build import write_report

        with progress.task("report", 1) as task:
            write_report(outcome.directory)
            task.advance()
    print_result(result_text(outcome.results))
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
    name = "report.html" if request.with_report else "results.json"
    print_result(f"{name.split('.')[0]}: {outcome.directory / name}")


def split_hamiltonian(text: str | None) -> tuple[str | None, Path | None]:
    """Return model name and file of ``--hamiltonian``: one of the two, or none."""
    if text is None:
        return None, None
    # A name has neither a folder nor a suffix; what looks like a path is one, present or not.
    is_path = Path(text).exists() or (("/" in text or "." in text) and ":" not in text)
    return (None, Path(text)) if is_path else (text, None)


def _refuse_model_options(flags: Mapping[str, Any]) -> None:
    """Raise if a potential is chosen although the force constants are given."""
    for name, value in flags.items():
        if name.startswith("potential.") and value is not None:
            raise ConfigurationError(
                f"{name} = {value!r} has no effect with --force-constants.",
                "Given force constants take the place of a potential.",
                "Leave out one of the two.",
            )


def _refuse_basis(request: Request) -> None:
    """Raise if a basis is chosen for a Hamiltonian that has its own."""
    basis = request.flags.get("hamiltonian.basis")
    chosen = request.hamiltonian_file or request.flags.get("hamiltonian.model")
    if basis is not None and chosen not in (None, "pyscf"):
        raise ConfigurationError(
            f"--basis {basis} has no effect with --hamiltonian {chosen}.",
            "Only pyscf computes in a basis that can be chosen.",
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

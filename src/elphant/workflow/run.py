"""A run: crystal file (or force constants, or a Hamiltonian) to results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elphant.config.loading import build_config, to_yaml
from elphant.config.models import RunConfig
from elphant.crystal import Crystal, Frame, find_symmetry
from elphant.crystal.io import read_crystal, write_structure_files
from elphant.engine.device import resolve_device
from elphant.engine.memory import parse_memory
from elphant.engine.progress import Progress, SilentProgress
from elphant.engine.shard import Shard
from elphant.errors import ElphantError, StoreError
from elphant.phonon.adapters.import_sources import locate
from elphant.quality import QualityFlag
from elphant.store.atomic import (
    canonical_json,
    read_json,
    sha256_of_file,
    translated_io_errors,
    write_bytes,
    write_text,
)
from elphant.store.run_directory import RunDirectory
from elphant.workflow.context import OtherShardsPending, RunContext
from elphant.workflow.electrons import ElectronPart, ForceConstantsSource, compute_electrons
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.job import ELECTRON_TASKS, Job, Task
from elphant.workflow.ladder import check_orders
from elphant.workflow.level_cost import PlannedCrystal
from elphant.workflow.phonons import (
    PhononInputs,
    PhononPart,
    compute_phonons,
    fitted_force_constants,
    harmonic_phonons,
    require_born_file,
    require_memory_of,
    require_planned_memory,
    second_order_force_constants,
)
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.publish import command_line, publish, published_hamiltonian
from elphant.workflow.results import FinishedRun
from elphant.workflow.stages.force_constants import ForceConstantsResult, import_stage
from elphant.workflow.stages.relax import relax_stage

#: The doubt that comes with the quick preset of a run without phonons.
QUICK_ELECTRONS = QualityFlag(
    name="preset",
    severity="warning",
    message="quick preset: the k meshes of density and states and the grid of the electron "
    "localization are coarse; use --preset standard for numbers to publish",
)

#: The same of a run with mobilities.
QUICK_MOBILITY = QualityFlag(
    name="preset",
    severity="warning",
    message="quick preset: the k meshes of density, states and scattering and the supercells of "
    "phonons and derivatives are coarse; use --preset standard for numbers to publish",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What a call of the workflow achieved.

    Attributes
    ----------
    directory : Path
        The run directory.
    results : dict or None
        Content of ``results.json``; None while other shards are missing.
    pending : str
        What is still missing; empty when the run is complete.
    computed : tuple of str
        Stages computed by this call; empty when everything was reused.
    """

    directory: Path
    results: dict[str, Any] | None
    pending: str
    computed: tuple[str, ...]


def run_job(
    job: Job,
    config: RunConfig,
    *,
    output: Path | None = None,
    shard: Shard = Shard(),  # noqa: B008  immutable
    progress: Progress | None = None,
) -> RunOutcome:
    """Compute the tasks of ``job`` and write the run directory.

    Finished stages are reused, so the same call again continues where a killed one stopped.

    Raises
    ------
    ElphantError
        For bad input, a missing model, too little memory, a full disk, and so on.
    """
    # Everything that can be refused at once is refused before a folder is made.
    crystal = read_crystal(job.structure) if job.structure is not None else None
    if job.force_constants is not None:
        locate(job.force_constants)
    require_born_file(config)
    job.check(config)
    device = resolve_device(config.execution.device)
    memory_gb = parse_memory(config.execution.memory)
    if crystal is not None and job.wants_phonons:
        require_planned_memory(config, crystal, memory_gb)
    source = HamiltonianSource(
        config.hamiltonian, job.hamiltonian_file, crystal, config.symmetry.tolerance,
        device=config.execution.device,
    )  # fmt: skip
    if job.electron_tasks and not job.wants_phonons:
        source.require()
    directory = RunDirectory.create(output or Path(f"{job.label}.run"))
    context = RunContext(
        directory=directory,
        config=config,
        shard=shard,
        device=device,
        memory_gb=memory_gb,
        progress=progress or SilentProgress(),
    )
    record = _input_record(job, crystal)
    tasks = _with_earlier_tasks(
        directory, job.tasks, record["input_sha256"], source, relax=job.relax
    )
    if "mobility" in tasks and not job.wants_mobility:
        config = context.config = _with_earlier_options(directory, job, config)
    directory.append_log("run started", command=command_line(), shard=str(shard))
    write_text(directory.configuration, to_yaml(config))
    try:
        run = _compute(context, job, crystal, tasks, source)
    except OtherShardsPending as pending:
        directory.append_log("shard finished", detail=str(pending))
        return RunOutcome(
            directory=directory.path,
            results=None,
            pending=str(pending),
            computed=tuple(context.computed),
        )
    if not record["input_sha256"]:
        record["input_sha256"] = (
            source.digest if run.phonons is None else run.phonons.force_constants.key
        )
    results = publish(context, run, record, source.identity)
    return RunOutcome(
        directory=directory.path, results=results, pending="", computed=tuple(context.computed)
    )


def _with_earlier_tasks(
    directory: RunDirectory,
    tasks: tuple[Task, ...],
    input_sha256: str,
    source: HamiltonianSource,
    *,
    relax: bool,
) -> tuple[Task, ...]:
    """Return the tasks together with those that earlier commands ran here on the same input.

    Electronic tasks are kept, so that ``elphant elf`` after ``elphant bands`` adds to the results;
    their stages are stored and cost nothing. With another Hamiltonian they are computed anew, but
    not the dielectric response, which is costly.

    Raises
    ------
    StoreError
        If the folder holds a conductivity that these tasks would drop from the results, mobilities
        that they would replace, or an electronic part of another Hamiltonian that a phonon
        calculation would recompute.
    """
    if not directory.results.exists():
        return tasks
    try:
        earlier = read_json(directory.results)
        same = earlier["provenance"]["input_sha256"] == input_sha256
        done = list(earlier["provenance"].get("tasks", ["kappa"]))
        if earlier.get("electronic_structure") is None:  # nothing to keep, nor to try again
            done = [task for task in done if task == "kappa"]
    except (StoreError, KeyError, TypeError):
        return tasks
    if "kappa" in done and "kappa" not in tasks:
        raise StoreError(
            f"'{directory.path}' holds the results of a phonon run.",
            "These tasks alone would replace them.",
            "Use elphant run there, or choose another --output.",
        )
    more = [task for task in ELECTRON_TASKS if same and task in done and task not in tasks]
    if "mobility" in more and "kappa" not in tasks:
        kept = published_hamiltonian(directory) == canonical_json(source.identity)
        if not kept or relax != bool(earlier["relaxation"]):
            raise StoreError(
                f"'{directory.path}' holds mobilities of another Hamiltonian or structure.",
                "These tasks alone would replace them.",
                "Use elphant mobility there, or choose another --output.",
            )
    if more and published_hamiltonian(directory) != canonical_json(source.identity):
        if not set(ELECTRON_TASKS) & set(tasks):
            raise StoreError(
                f"'{directory.path}' holds electronic results of another Hamiltonian.",
                "A phonon calculation would recompute them with the default one.",
                "Use elphant run with the Hamiltonian of that run, or choose another --output.",
            )
        more = [task for task in more if task not in ("dielectric", "mobility")]
    phonons: list[Task] = ["kappa"] if "kappa" in tasks else []
    return (*phonons, *(task for task in ELECTRON_TASKS if task in tasks or task in more))


def _with_earlier_options(directory: RunDirectory, job: Job, config: RunConfig) -> RunConfig:
    """Return the configuration with the options of the mobility that is kept.

    The command does not name the mobility, so its options are those of the run that did.
    """
    try:
        earlier = build_config(file=directory.configuration)
    except ElphantError:
        return config
    sections = ["transport"]
    if not job.wants_phonons:
        sections += ["potential", "relaxation", "displacements", "phonons"]
    return config.model_copy(update={name: getattr(earlier, name) for name in sections})


def _compute(
    context: RunContext,
    job: Job,
    crystal: Crystal | None,
    tasks: tuple[Task, ...],
    source: HamiltonianSource,
) -> FinishedRun:
    """Run the phonon part, then the electronic part, on one structure."""
    if crystal is None and job.force_constants is not None:
        if not job.wants_phonons:
            given = _imported(context, job.force_constants)
            used = given.force_constants.unitcell
            return _finish(context, tasks, source, _Base(crystal=used, constants=lambda: given))
        used, phonons = _given_force_constants(context, job.force_constants)
        return _finish(context, tasks, source, _Base(crystal=used, phonons=phonons))
    if crystal is not None:
        _keep_input(context, job.structure, crystal)
    else:
        crystal = source.from_file.crystal
    if not (job.needs_potential or "mobility" in tasks):
        return _finish(context, tasks, source, _Base(crystal=crystal))
    model = PotentialSource(context.config.potential, context.device)
    try:
        relaxed = relax_stage(context, crystal, model)
        context.flags.extend(relaxed.flags)
        used = relaxed.crystal
        base = _Base(
            crystal=used,
            phonons=_from_potential(context, used, model) if job.wants_phonons else None,
            relaxation=relaxed.record,
            card=relaxed.card,
            constants=lambda: _second_order(context, used, model),
        )
        # The potential stays open: the mobility asks for forces when the rest is done.
        return _finish(context, tasks, source, base)
    finally:
        model.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What the electronic part stands on.

    Attributes
    ----------
    crystal : Crystal
    phonons : PhononPart or None
        Of a run with lattice thermal conductivity.
    relaxation, card : dict or None
        Records of the relaxation and of the potential.
    constants : callable, optional
        Yields force constants for a mobility without lattice thermal conductivity.
    """

    crystal: Crystal
    phonons: PhononPart | None = None
    relaxation: dict[str, Any] | None = None
    card: dict[str, Any] | None = None
    constants: ForceConstantsSource | None = None

    def force_constants(self) -> ForceConstantsResult:
        """Return the force constants whose phonons scatter the carriers."""
        if self.phonons is not None:
            return self.phonons.force_constants
        assert self.constants is not None
        return self.constants()


def _finish(
    context: RunContext, tasks: tuple[Task, ...], source: HamiltonianSource, base: _Base
) -> FinishedRun:
    """Run the electronic part and put everything together."""
    electron_tasks = tuple(task for task in ELECTRON_TASKS if task in tasks)
    phonons, card = base.phonons, base.card
    electrons = _electrons(context, base, electron_tasks, source, required=phonons is None)
    symmetry = find_symmetry(base.crystal, context.config.symmetry.tolerance)
    if phonons is not None:
        context.flags.extend(preset_flags(context.config, given=card is None))
    elif context.config.preset == "quick":
        context.flags.append(QUICK_MOBILITY if "mobility" in tasks else QUICK_ELECTRONS)
    if phonons is None and electrons is not None and electrons.force_constants is not None:
        context.flags.extend(electrons.force_constants.flags)
        phonons = harmonic_phonons(context, symmetry, electrons.force_constants)
    return FinishedRun(
        crystal=base.crystal,
        symmetry=symmetry,
        frame=Frame.of(base.crystal, symmetry),
        tasks=tasks,
        relaxation=base.relaxation,
        potential=card,
        phonons=phonons,
        electrons=electrons,
        flags=tuple(context.flags),
    )


def _electrons(
    context: RunContext,
    base: _Base,
    tasks: tuple[Task, ...],
    source: HamiltonianSource,
    *,
    required: bool,
) -> ElectronPart | None:
    """Run the electronic part; beside phonons its failure is a doubt, alone it is an error."""
    if not tasks or source.is_none:
        return None
    try:
        source.require()
        return compute_electrons(
            context, base.crystal, tasks, source, asked=required,
            force_constants=base.force_constants,
        )  # fmt: skip
    except ElphantError as error:
        if required:
            raise
        context.flags.append(
            QualityFlag(
                name="no_electronic_structure",
                severity="warning",
                message="there is no electronic part: " + " ".join(error.text().split()),
            )
        )
        return None


def _imported(context: RunContext, path: Path) -> ForceConstantsResult:
    """Return the user's force constants; their doubts are those of the phonons, told later."""
    born = context.config.phonons.born
    return import_stage(context, path, Path(born) if born else None)


def _second_order(
    context: RunContext, crystal: Crystal, model: PotentialSource
) -> ForceConstantsResult:
    symmetry = find_symmetry(crystal, context.config.symmetry.tolerance)
    return second_order_force_constants(context, crystal, symmetry, model)


def _from_potential(context: RunContext, crystal: Crystal, model: PotentialSource) -> PhononPart:
    symmetry = find_symmetry(crystal, context.config.symmetry.tolerance)
    source, plans = fitted_force_constants(context, crystal, symmetry, model)
    context.flags.extend(source.flags)
    return compute_phonons(
        context,
        PhononInputs(crystal=crystal, symmetry=symmetry, source=source, plans=plans, model=model),
    )


def _given_force_constants(context: RunContext, path: Path) -> tuple[Crystal, PhononPart]:
    source = _imported(context, path)
    constants = source.force_constants
    crystal, tolerance = constants.unitcell, context.config.symmetry.tolerance
    context.flags.extend(source.flags)
    check_orders(context.config, constants)
    if constants.has_third and context.config.conductivity.backend == "elphant":
        planned = PlannedCrystal.of_force_constants(constants, tolerance)
        require_memory_of(context.config, planned, context.memory_gb)
    inputs = PhononInputs(
        crystal=crystal, symmetry=find_symmetry(crystal, tolerance), source=source
    )
    return crystal, compute_phonons(context, inputs)


def preset_flags(config: RunConfig, *, given: bool = False) -> list[QualityFlag]:
    """Return the doubt that comes with unconverged settings; ``given``: of force constants."""
    if config.preset != "quick" or (given and config.conductivity.mesh is not None):
        return []
    what = "the q mesh is" if given else "supercells, cut-off and q mesh are"
    return [
        QualityFlag(
            name="preset",
            severity="warning",
            message=f"quick preset: {what} not converged; use it to look, not to publish",
        )
    ]


def _keep_input(context: RunContext, structure: Any, crystal: Crystal) -> None:
    """Copy the input into the run directory, so that it explains itself."""
    folder = context.directory.structure
    if isinstance(structure, str | Path):
        write_bytes(folder / f"input-{Path(structure).name}", Path(structure).read_bytes())
        return
    with translated_io_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_structure_files(crystal, folder / "input")


def _input_record(job: Job, crystal: Crystal | None) -> dict[str, str]:
    source = job.structure if job.structure is not None else job.force_constants
    source = source if source is not None else job.hamiltonian_file
    if isinstance(source, str | Path):
        path = Path(source)
        # A folder is identified by what is read from it, later.
        return {
            "input_file": str(path),
            "input_sha256": sha256_of_file(path) if path.is_file() else "",
        }
    assert crystal is not None
    return {"input_file": type(source).__name__, "input_sha256": crystal.digest()}

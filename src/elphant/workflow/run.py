"""The phonon job: crystal file (or force constants) to conductivity tensor and results."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from elphant.config.loading import build_config, to_yaml
from elphant.config.models import RunConfig
from elphant.crystal import Crystal, Frame, Symmetry, find_symmetry
from elphant.crystal.io import read_crystal, write_structure_files
from elphant.engine.device import resolve_device
from elphant.engine.memory import parse_memory
from elphant.engine.progress import Progress, SilentProgress
from elphant.engine.shard import Shard
from elphant.errors import ConfigurationError, StoreError, StructureError
from elphant.models.dielectric.born import read_born
from elphant.phonon.adapters.import_sources import locate
from elphant.phonon.conductivity import Solver, ThermalConductivity
from elphant.phonon.displacement import DisplacementPlan
from elphant.quality import QualityFlag
from elphant.store.atomic import (
    canonical_json,
    read_json,
    sha256_of_file,
    translated_io_errors,
    write_bytes,
    write_json,
    write_text,
)
from elphant.store.run_directory import RunDirectory, run_name
from elphant.workflow.analysis import analyse
from elphant.workflow.citations import citations_of
from elphant.workflow.context import OtherShardsPending, RunContext
from elphant.workflow.exchange import write_exchange_files
from elphant.workflow.ladder import (
    Ladder,
    LevelResult,
    check_orders,
    compute_ladder,
    worst_flags,
)
from elphant.workflow.level_cost import PlannedCrystal, require_mesh_memory
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.results import PhononRun, RunRecord, write_results
from elphant.workflow.settings import (
    conductivity_settings,
    fourth_order,
    harmonic_mesh,
    level_settings,
    planned_cutoff,
)
from elphant.workflow.stages.displace import displace_stage
from elphant.workflow.stages.force_constants import (
    ForceConstantsResult,
    fit_stage,
    import_stage,
)
from elphant.workflow.stages.forces import forces_stage
from elphant.workflow.stages.harmonic import harmonic_stage
from elphant.workflow.stages.relax import relax_stage
from elphant.workflow.stages.scattering import (
    conductivity_stage,
    scattering_stage,
    with_solver,
)
from elphant.workflow.transport_checks import CHECKED_TEMPERATURE, transport_flags

logger = logging.getLogger(__name__)


#: The doubt of a run that was given second-order force constants only.
NO_THIRD_ORDER = QualityFlag(
    name="no_third_order",
    severity="warning",
    message="the force constants have no third order: phonons are harmonic, and there is no "
    "conductivity; give a phono3py file or folder for it",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PhononInputs:
    """Where the phonon stages start.

    Attributes
    ----------
    crystal, symmetry
        The structure that is used.
    source : ForceConstantsResult
    plans : sequence of DisplacementPlan
        Empty for given force constants.
    model : PotentialSource or None
        None for given force constants.
    """

    crystal: Crystal
    symmetry: Symmetry
    source: ForceConstantsResult
    plans: Sequence[DisplacementPlan] = ()
    model: PotentialSource | None = None


#: Preset used when the user names none.
DEFAULT_PRESET = "quick"

#: Preset for files of these kinds, whose users know the numbers of that program.
PRESET_OF_FILES = {"phono3py": "phono3py", "phonopy": "phono3py", "FORCE_SETS": "phono3py"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be computed, and from what.

    Attributes
    ----------
    structure : path-like or structure object, optional
        Needed unless force constants are given.
    force_constants : Path, optional
        phonopy or phono3py files that replace the potential.
    """

    structure: Any = None
    force_constants: Path | None = None

    def __post_init__(self) -> None:
        if (self.structure is None) == (self.force_constants is None):
            raise ConfigurationError(
                "give either a structure file or --force-constants.",
                fix="For example: elphant kappa Sb2Se3.cif",
            )

    @property
    def default_preset(self) -> str:
        """Preset of this job when the user names none.

        phono3py's conventions for its own files and those of phonopy; elphant's engine for a
        structure and for files of ShengBTE.
        """
        if self.force_constants is None or not self.force_constants.exists():
            return DEFAULT_PRESET
        return PRESET_OF_FILES.get(locate(self.force_constants).kind, DEFAULT_PRESET)

    @property
    def label(self) -> str:
        """Name of the run directory when the user gives none."""
        source = self.force_constants or self.structure
        if isinstance(source, str | Path):
            return run_name(source)
        return read_crystal(source).formula

    def configuration(
        self, *, file: Path | None = None, flags: Mapping[str, Any] | None = None
    ) -> RunConfig:
        """Return the configuration, with the preset that suits this job.

        Files of phono3py get its conventions, unless the options ask for what it cannot do: then
        they get elphant's engine.

        Raises
        ------
        ConfigurationError
            For options that are unknown, wrong, or contradict each other or the job.
        """
        config = build_config(file=file, flags=flags, default_preset=DEFAULT_PRESET)
        if self.default_preset != DEFAULT_PRESET and not beyond_phono3py(config):
            config = build_config(file=file, flags=flags, default_preset=self.default_preset)
        self.check(config)
        return config

    def check(self, config: RunConfig) -> None:
        """Refuse at once what contradicts itself.

        Raises
        ------
        ConfigurationError
            If the backend cannot do what is wanted, or the stochastic variant has no potential.
        """
        if config.conductivity.backend == "phono3py" and beyond_phono3py(config):
            raise ConfigurationError(
                "phono3py as backend computes three-phonon scattering of harmonic phonons only.",
                fix="Leave --orders 3,4 and --scp out, or use --set conductivity.backend=elphant.",
            )
        if self.force_constants is not None and needs_potential(config):
            raise ConfigurationError(
                "stochastic self-consistent phonons need a potential.",
                "They rest on forces of supercells drawn at the temperature.",
                "Start from a structure file, or use --scp (renormalization.method=loop, "
                "renormalization.check=false).",
            )


def beyond_phono3py(config: RunConfig) -> bool:
    """Return whether the options ask for what phono3py as backend does not do."""
    return config.conductivity.orders != (3,) or config.renormalization.method != "none"


def needs_potential(config: RunConfig) -> bool:
    """Return whether forces are needed beyond those of the displacements."""
    options = config.renormalization
    return options.method == "stochastic" or (options.method == "loop" and options.check)


def run_phonon_job(
    job: Job,
    config: RunConfig,
    *,
    output: Path | None = None,
    shard: Shard = Shard(),  # noqa: B008  immutable
    progress: Progress | None = None,
) -> RunOutcome:
    """Compute the lattice thermal conductivity of ``job`` and write the run directory.

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
    if crystal is not None:
        require_planned_memory(config, crystal, memory_gb)
    directory = RunDirectory.create(output or Path(f"{job.label}.run"))
    context = RunContext(
        directory=directory,
        config=config,
        shard=shard,
        device=device,
        memory_gb=memory_gb,
        progress=progress or SilentProgress(),
    )
    directory.append_log("run started", command=command_line(), shard=str(shard))
    write_text(directory.configuration, to_yaml(config))
    try:
        run, input_record = _compute(context, job, crystal)
    except OtherShardsPending as pending:
        directory.append_log("shard finished", detail=str(pending))
        return RunOutcome(
            directory=directory.path,
            results=None,
            pending=str(pending),
            computed=tuple(context.computed),
        )
    results = _publish(context, run, input_record)
    return RunOutcome(
        directory=directory.path, results=results, pending="", computed=tuple(context.computed)
    )


def require_born_file(config: RunConfig) -> None:
    """Raise at the start of a run, not hours later, when the BORN file is missing.

    Raises
    ------
    StructureError
        If it does not exist.
    """
    born = config.phonons.born
    if born and not Path(born).is_file():
        raise StructureError(
            f"BORN file '{born}' does not exist.", fix="Check the path given to --born."
        )


def require_planned_memory(config: RunConfig, crystal: Crystal, memory_gb: float) -> None:
    """Refuse a mesh that will not fit before anything is computed.

    The mesh, the branches and the temperatures are known before the forces are.

    Raises
    ------
    ResourceError
        With the mesh that would fit.
    """
    if config.conductivity.backend == "elphant":
        tolerance = config.symmetry.tolerance
        planned = PlannedCrystal.of(crystal, tolerance, planned_cutoff(config))
        _require_memory(config, planned, memory_gb)


def _require_memory(config: RunConfig, crystal: PlannedCrystal, memory_gb: float) -> None:
    settings = level_settings(config, crystal.lattice, config.conductivity.temperatures)
    workers = config.execution.workers
    require_mesh_memory(
        crystal, settings, memory_gb, fourth_order(config), 1 if workers == "auto" else workers
    )


def command_line() -> str:
    """Return the command that started this process, ready to paste."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":  # python -m PACKAGE
        words = ["python", "-m", program.parent.name]
    elif program.suffix == ".py":
        words = ["python", str(program)]
    else:
        words = [program.name or "python"]
    return shlex.join([*words, *sys.argv[1:]])


def _compute(
    context: RunContext, job: Job, crystal: Crystal | None
) -> tuple[PhononRun, Mapping[str, str]]:
    if crystal is None:
        assert job.force_constants is not None
        source, input_record = _imported(context, job.force_constants)
        crystal = source.force_constants.unitcell
        symmetry = find_symmetry(crystal, context.config.symmetry.tolerance)
        context.flags.extend(source.flags)
        constants = source.force_constants
        check_orders(context.config, constants)
        if constants.has_third and context.config.conductivity.backend == "elphant":
            tolerance = context.config.symmetry.tolerance
            planned = PlannedCrystal.of_force_constants(constants, tolerance)
            _require_memory(context.config, planned, context.memory_gb)
        inputs = PhononInputs(crystal=crystal, symmetry=symmetry, source=source)
        run = _phonons(context, inputs, None, None)
    else:
        input_record = _input_record(job.structure, crystal)
        _keep_input(context, job.structure, crystal)
        model = PotentialSource(context.config.potential, context.device)
        try:
            relaxed = relax_stage(context, crystal, model)
            context.flags.extend(relaxed.flags)
            symmetry = find_symmetry(relaxed.crystal, context.config.symmetry.tolerance)
            source, plans = _fitted(context, relaxed.crystal, symmetry, model)
            context.flags.extend(source.flags)
            inputs = PhononInputs(
                crystal=relaxed.crystal, symmetry=symmetry, source=source, plans=plans, model=model
            )
            run = _phonons(context, inputs, relaxed.record, relaxed.card)
        finally:
            model.close()
    return run, input_record


def _fitted(
    context: RunContext, crystal: Crystal, symmetry: Symmetry, model: PotentialSource
) -> tuple[ForceConstantsResult, Sequence[DisplacementPlan]]:
    born = context.config.phonons.born
    dielectric = read_born(Path(born), crystal, symmetry) if born else None
    plans = displace_stage(context, crystal, symmetry)
    computed = _all_forces(context, plans, model)
    forces, keys = [pair[0] for pair in computed], [pair[1] for pair in computed]
    return fit_stage(context, crystal, plans, forces, keys, dielectric), plans


def _all_forces(context: RunContext, plans: Any, model: PotentialSource) -> list[Any]:
    """Run the forces stage of every plan; a shard works on all of them before it stops."""
    computed, pending = [], None
    for plan in plans:
        try:
            computed.append(forces_stage(context, plan, model))
        except OtherShardsPending as missing:
            pending = pending or missing
    if pending:
        raise pending
    return computed


def _imported(context: RunContext, path: Path) -> tuple[ForceConstantsResult, Mapping[str, str]]:
    born = context.config.phonons.born
    source = import_stage(context, path, Path(born) if born else None)
    digest = sha256_of_file(path) if path.is_file() else source.key
    return source, {"input_file": str(path), "input_sha256": digest}


def _phonons(
    context: RunContext,
    inputs: PhononInputs,
    relaxation: dict[str, Any] | None,
    potential: dict[str, Any] | None,
) -> PhononRun:
    """Run all stages that start from force constants."""
    crystal, symmetry, source = inputs.crystal, inputs.symmetry, inputs.source
    mesh = harmonic_mesh(context.config, source.force_constants.primitive_lattice)
    harmonic = harmonic_stage(context, source, symmetry, mesh)
    context.flags.extend(harmonic.flags)
    ladder = Ladder()
    if source.force_constants.has_third:
        ladder = _ladder(context, inputs)
        context.flags.extend(ladder.flags)
        context.flags.extend(transport_flags(_highest(ladder), crystal))
    else:
        context.flags.append(NO_THIRD_ORDER)
    analysis = analyse(context, crystal, symmetry, source, inputs.plans, ladder, inputs.model)
    context.flags.extend(preset_flags(context.config, given=inputs.model is None))
    return PhononRun(
        crystal=crystal,
        symmetry=symmetry,
        frame=Frame.of(crystal, symmetry),
        relaxation=relaxation,
        potential=potential,
        force_constants=source,
        harmonic=harmonic,
        ladder=ladder,
        analysis=analysis,
        flags=tuple(context.flags),
    )


def _ladder(context: RunContext, inputs: PhononInputs) -> Ladder:
    """Return the conductivity at all levels, with the engine that was asked for."""
    options, source = context.config.conductivity, inputs.source
    if options.backend == "elphant":
        return compute_ladder(context, source, inputs.model)
    # The rates of the full equation serve the relaxation-time approximation as well.
    main: Solver = "bte" if "bte" in options.solver else "rta"
    primitive = source.force_constants.primitive_lattice
    settings = conductivity_settings(context.config, primitive, main)
    block, key = scattering_stage(context, source, settings)
    results = {
        solver: conductivity_stage(context, source, with_solver(settings, solver), block, key)
        for solver in options.solver
    }
    return Ladder(
        levels=tuple(
            LevelResult(level="HA+3ph", solver=solver, parts=(result,))
            for solver, result in results.items()
        ),
        backend="phono3py",
        degenerate_average=settings.degenerate_average,
        flags=tuple(worst_flags(flag for result in results.values() for flag in result.flags)),
    )


def _highest(ladder: Ladder) -> ThermalConductivity:
    """Return the most complete level near 300 K, if possible in the relaxation-time approximation.

    Its mode conductivities are positive, which the checks of the particle picture rely on.
    """
    last = ladder.levels[-1].level
    level = ladder.result(last, "rta") or ladder.levels[-1]
    return min(
        level.parts, key=lambda part: float(np.abs(part.temperatures - CHECKED_TEMPERATURE).min())
    )


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


def _publish(
    context: RunContext, run: PhononRun, input_record: Mapping[str, str]
) -> dict[str, Any]:
    """Write the results, unless those of exactly these stages and options are there already."""
    directory = context.directory
    address = {
        "stages": context.keys,
        "config": context.config.model_dump(mode="json", exclude={"execution"}),
    }
    run_key = sha256(canonical_json(address).encode()).hexdigest()
    earlier = _published(directory, run_key)
    if earlier is not None:
        return earlier
    structure = directory.structure
    stem = "relaxed" if run.relaxation else "used"
    with translated_io_errors(structure):
        structure.mkdir(parents=True, exist_ok=True)
        write_structure_files(run.crystal, structure / stem)
    write_json(structure / "frame.json", run.frame.to_dict())
    write_exchange_files(directory, run)
    record = RunRecord(
        command=command_line(),
        input_file=input_record["input_file"],
        input_sha256=input_record["input_sha256"],
        preset=context.config.preset,
        run_key=run_key,
        seeds=_seeds(context.config, run),
        timings=dict(context.timings),
        citations=citations_of(run),
    )
    results = write_results(directory, run, record)
    digests = {path.name: sha256_of_file(path) for path in (directory.results, directory.data)}
    write_json(directory.publication, {"run_key": run_key, "files": digests})
    directory.append_log("run finished", computed=context.computed)
    return results


def _seeds(config: RunConfig, run: PhononRun) -> dict[str, int]:
    """Return the seeds of everything that was drawn."""
    seeds = {"displacements": config.displacements.seed} if run.potential else {}
    if any(record["sampled"] for record in run.ladder.records.get("four_phonon", [])):
        seeds["four_phonon"] = config.conductivity.sampling_seed
    return seeds


def _published(directory: RunDirectory, run_key: str) -> dict[str, Any] | None:
    """Return earlier results with this key; damaged ones count as absent and are written anew."""
    try:
        publication = read_json(directory.publication)
        if publication["run_key"] != run_key:
            return None
        for path in (directory.results, directory.data):
            if sha256_of_file(path) != publication["files"][path.name]:
                logger.warning("'%s' is damaged or was edited; it is written again", path)
                return None
        results: dict[str, Any] = read_json(directory.results)
    except (StoreError, OSError, KeyError, TypeError):
        return None
    return results


def _keep_input(context: RunContext, structure: Any, crystal: Crystal) -> None:
    """Copy the input into the run directory, so that it explains itself."""
    folder = context.directory.structure
    if isinstance(structure, str | Path):
        write_bytes(folder / f"input-{Path(structure).name}", Path(structure).read_bytes())
        return
    with translated_io_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_structure_files(crystal, folder / "input")


def _input_record(structure: Any, crystal: Crystal) -> dict[str, str]:
    if isinstance(structure, str | Path):
        path = Path(structure)
        return {"input_file": str(path), "input_sha256": sha256_of_file(path)}
    return {"input_file": type(structure).__name__, "input_sha256": crystal.digest()}

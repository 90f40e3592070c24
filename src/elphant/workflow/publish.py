"""Publishing a finished run: results, data, files for other programs, each written once."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from elphant.config.models import RunConfig
from elphant.crystal.io import write_structure_files
from elphant.errors import StoreError
from elphant.store.atomic import (
    canonical_json,
    read_json,
    sha256_of_file,
    translated_io_errors,
    write_json,
)
from elphant.store.run_directory import RunDirectory
from elphant.workflow.citations import citations_of
from elphant.workflow.context import RunContext
from elphant.workflow.exchange import write_exchange_files
from elphant.workflow.results import FinishedRun, RunRecord, write_results

logger = logging.getLogger(__name__)


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


def publish(
    context: RunContext,
    run: FinishedRun,
    input_record: Mapping[str, str],
    hamiltonian: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the results, unless those of exactly these stages and options are there already."""
    directory = context.directory
    address = {
        "stages": context.keys,
        "config": context.config.model_dump(mode="json", exclude={"execution"}),
        "tasks": list(run.tasks),
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
    publication = {
        "run_key": run_key,
        "files": digests,
        "hamiltonian": canonical_json(hamiltonian) if run.electrons else None,
    }
    write_json(directory.publication, publication)
    directory.append_log("run finished", computed=context.computed)
    return results


def _seeds(config: RunConfig, run: FinishedRun) -> dict[str, int]:
    """Return the seeds of everything that was drawn."""
    if run.phonons is None:
        return {}
    seeds = {"displacements": config.displacements.seed} if run.potential else {}
    if any(record["sampled"] for record in run.phonons.ladder.records.get("four_phonon", [])):
        seeds["four_phonon"] = config.conductivity.sampling_seed
    return seeds


def published_hamiltonian(directory: RunDirectory) -> str | None:
    """Return the identity of the Hamiltonian of the published results, as canonical JSON."""
    try:
        identity = read_json(directory.publication).get("hamiltonian")
    except (StoreError, OSError, AttributeError):
        return None
    return None if identity is None else str(identity)


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

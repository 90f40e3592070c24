"""The relaxation job: one structure file in, the relaxed structure and its record out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elphant.config.models import RunConfig
from elphant.crystal import Frame, find_symmetry
from elphant.crystal.io import read_crystal, write_structure_files
from elphant.engine.device import resolve_device
from elphant.engine.progress import Progress, SilentProgress
from elphant.errors import ConfigurationError
from elphant.store.atomic import translated_io_errors, write_json
from elphant.store.run_directory import RunDirectory, run_name
from elphant.workflow.context import RunContext
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.stages.relax import relax_stage


def relax_structure_file(
    structure: Path,
    config: RunConfig,
    *,
    output: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Relax ``structure`` and return (run directory, relaxation record).

    Raises
    ------
    ElphantError
        For bad input or a missing model.
    """
    if not config.relaxation.enabled:
        raise ConfigurationError(
            "relaxation.enabled is false, so there is nothing to do.",
            fix="Leave that option out for elphant relax.",
        )
    crystal = read_crystal(structure)
    directory = RunDirectory.create(output or Path(f"{run_name(structure)}.run"))
    context = RunContext(
        directory=directory,
        config=config,
        device=resolve_device(config.execution.device),
        progress=progress or SilentProgress(),
    )
    source = PotentialSource(config.potential, context.device)
    try:
        relaxed = relax_stage(context, crystal, source)
    finally:
        source.close()
    assert relaxed.record is not None
    symmetry = find_symmetry(relaxed.crystal, config.symmetry.tolerance)
    with translated_io_errors(directory.structure):
        directory.structure.mkdir(exist_ok=True)
        write_structure_files(relaxed.crystal, directory.structure / "relaxed")
    frame = Frame.of(relaxed.crystal, symmetry)
    write_json(directory.structure / "frame.json", frame.to_dict())
    write_json(directory.structure / "relaxation.json", relaxed.record)
    return directory.path, relaxed.record

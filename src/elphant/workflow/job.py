"""What is to be computed, from what, and with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from elphant.config.loading import build_config
from elphant.config.models import RunConfig
from elphant.crystal.io import read_crystal
from elphant.errors import ConfigurationError
from elphant.phonon.adapters.import_sources import locate
from elphant.store.run_directory import run_name

#: Parts of a run. ``kappa`` is the phonon part; the others need a Hamiltonian.
Task = Literal["kappa", "bands", "masses", "elf", "dielectric", "mobility"]

#: In the order in which they run: the mobility uses the dielectric response, and takes longest.
ELECTRON_TASKS: tuple[Task, ...] = ("bands", "masses", "elf", "dielectric", "mobility")
ALL_TASKS: tuple[Task, ...] = ("kappa", *ELECTRON_TASKS)

#: Tasks of a run that names none. Born charges and derivatives cost a Hamiltonian per displaced
#: crystal, so dielectric response and mobility are computed on request only.
DEFAULT_TASKS: tuple[Task, ...] = ("kappa", "bands", "masses", "elf")

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
        Needed unless force constants are given, or a Hamiltonian file that holds its crystal.
    force_constants : Path, optional
        phonopy or phono3py files that replace the potential.
    hamiltonian_file : Path, optional
        Hamiltonian file or folder that replaces the model.
    tasks : tuple of str
        What is wanted. Tasks that a chain of others needs are run with them.
    relax : bool
        Whether a job without phonons relaxes the structure first, with the potential.
    """

    structure: Any = None
    force_constants: Path | None = None
    hamiltonian_file: Path | None = None
    tasks: tuple[Task, ...] = ("kappa",)
    relax: bool = False

    def __post_init__(self) -> None:
        if self.structure is not None and self.force_constants is not None:
            raise ConfigurationError(
                "give either a structure file or --force-constants, not both.",
                "Force constants bring their own structure.",
                "Leave out one of the two.",
            )
        if self.relax and self.force_constants is not None:
            raise ConfigurationError(
                "--relax has no effect with --force-constants.",
                "Force constants belong to the structure they were computed for.",
                "Leave out one of the two.",
            )
        if self.structure is None and self.force_constants is None:
            if self.wants_phonons:
                raise ConfigurationError(
                    "give either a structure file or --force-constants.",
                    fix="For example: elphant kappa Sb2Se3.cif",
                )
            if self.hamiltonian_file is None:
                raise ConfigurationError(
                    "give either a structure file or --hamiltonian FILE.",
                    fix="For example: elphant bands Sb2Se3.cif",
                )
            if self.relax:
                raise ConfigurationError(
                    "--relax needs a structure file.",
                    "A Hamiltonian file belongs to the structure it was computed for.",
                    "Leave out --relax.",
                )
        if self.force_constants is not None and self.electron_tasks and not self.wants_mobility:
            raise ConfigurationError(
                "--force-constants lead to phonons only.",
                fix="Use elphant kappa or elphant mobility for them, and a structure file for "
                "other electronic tasks.",
            )

    @property
    def wants_phonons(self) -> bool:
        """Whether the lattice thermal conductivity is part of the job."""
        return "kappa" in self.tasks

    @property
    def wants_mobility(self) -> bool:
        """Whether the scattering of carriers by phonons is part of the job."""
        return "mobility" in self.tasks

    @property
    def electron_tasks(self) -> tuple[Task, ...]:
        """The tasks that need a Hamiltonian."""
        return tuple(task for task in ELECTRON_TASKS if task in self.tasks)

    @property
    def needs_potential(self) -> bool:
        """Whether forces are evaluated by a potential."""
        wanted = self.wants_phonons or self.wants_mobility or self.relax
        return self.force_constants is None and wanted

    @property
    def default_preset(self) -> str:
        """Preset of this job when the user names none.

        phono3py's conventions for its own files and those of phonopy; elphant's engine for a
        structure, for files of ShengBTE, and for mobilities, of which phono3py knows nothing.
        """
        if self.force_constants is None or not self.force_constants.exists():
            return DEFAULT_PRESET
        if self.wants_mobility:
            return DEFAULT_PRESET
        return PRESET_OF_FILES.get(locate(self.force_constants).kind, DEFAULT_PRESET)

    @property
    def label(self) -> str:
        """Name of the run directory when the user gives none."""
        source = self.force_constants or self.structure or self.hamiltonian_file
        name = run_name(source) if isinstance(source, str | Path) else read_crystal(source).formula
        return name if self.wants_phonons else f"{name}.electrons"

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
        if self.wants_mobility and not (self.wants_phonons or self.relax):
            # As with all electronic tasks, the structure is taken as it is.
            off = config.relaxation.model_copy(update={"enabled": False})
            config = config.model_copy(update={"relaxation": off})
        self.check(config)
        return config

    def check(self, config: RunConfig) -> None:
        """Refuse at once what contradicts itself.

        Raises
        ------
        ConfigurationError
            If the backend cannot do what is wanted, or the stochastic variant has no potential.
        """
        if not self.wants_phonons:
            return
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

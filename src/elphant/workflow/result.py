"""A finished run as an object for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elphant.crystal import Frame
from elphant.engine.progress import Progress
from elphant.errors import ConfigurationError, StoreError
from elphant.quality import SEVERITIES, QualityFlag
from elphant.store.atomic import read_json
from elphant.store.run_directory import RunDirectory
from elphant.tensors import TransportTensor

#: Levels of theory, the simplest first.
LEVELS = ("HA+3ph", "HA+3,4ph", "SCP+3ph", "SCP+3,4ph")

#: Solvers of the electronic Boltzmann equation, the simplest first.
SOLVERS = ("serta", "mrta", "bte")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunResult:
    """Results of a run directory.

    Attributes
    ----------
    directory : Path
    content : mapping
        Content of ``results.json``.
    """

    directory: Path
    content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def load(cls, directory: str | Path) -> RunResult:
        """Read a finished run.

        Raises
        ------
        StoreError
            If there is no finished run in ``directory``.
        """
        run = RunDirectory.open(Path(directory))
        return cls(directory=run.path, content=read_json(run.results))

    @property
    def frame(self) -> Frame:
        """Frame of all tensors."""
        return Frame.from_dict(self.content["frame"])

    @property
    def flags(self) -> tuple[QualityFlag, ...]:
        """Quality flags, doubts first."""
        flags = [QualityFlag(**record) for record in self.content["quality"]]
        return tuple(sorted(flags, key=lambda flag: -SEVERITIES.index(flag.severity)))

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Temperatures of the conductivity, K."""
        records = self.content["thermal_conductivity"]
        return tuple(sorted({record["temperature"] for record in records}))

    def thermal_conductivity(
        self,
        temperature: float = 300.0,
        solver: str | None = None,
        *,
        level: str | None = None,
        coherence: bool | None = None,
    ) -> TransportTensor:
        """Return the conductivity tensor, W m⁻¹ K⁻¹.

        Parameters
        ----------
        temperature : float, K
            One of :attr:`temperatures`.
        solver : {"rta", "bte"}, optional
            The most complete one that was run, if not given.
        level : {"HA+3ph", "HA+3,4ph", "SCP+3ph", "SCP+3,4ph"}, optional
            The same for the level of theory.
        coherence : bool, optional
            Whether the wave-like part is included; where it was computed, if not given.

        Raises
        ------
        StoreError
            If the run has no such record.
        """
        records = [
            record
            for record in self.content["thermal_conductivity"]
            if abs(record["temperature"] - temperature) < 1e-6
            and solver in (None, record["solver"])
            and level in (None, record["level"])
            and coherence in (None, record["coherence"])
        ]
        if not records:
            every = self.content["thermal_conductivity"]
            solvers = sorted({record["solver"] for record in every})
            levels = [name for name in LEVELS if any(r["level"] == name for r in every)]
            raise StoreError(
                f"this run has no conductivity at {temperature:g} K"
                + (f" with solver {solver!r}" if solver else "")
                + (f" at level {level!r}" if level else "")
                + ("" if coherence is None else f" {'with' if coherence else 'without'} coherence")
                + ".",
                fix=f"Available: {', '.join(f'{t:g} K' for t in self.temperatures) or 'none'}"
                + (f"; solvers {', '.join(solvers)}" if solvers else "")
                + (f"; levels {' '.join(levels)}." if levels else "."),
            )
        chosen = max(
            records,
            key=lambda record: (
                LEVELS.index(record["level"]), record["solver"] == "bte", record["coherence"],
            ),
        )  # fmt: skip
        values = np.array(chosen["cartesian"])
        return TransportTensor(values=values, unit=chosen["unit"], frame=self.frame)

    def effective_mass(
        self, carrier: str, kind: str = "band_edge", temperature: float | None = None
    ) -> TransportTensor:
        """Return an effective-mass tensor, in electron masses.

        Parameters
        ----------
        carrier : {"electron", "hole"}
        kind : {"band_edge", "conductivity"}
        temperature : float, optional
            Of a conductivity mass, K; the first one, if not given.

        Raises
        ------
        StoreError
            If the run has no such tensor; degenerate edges have masses along directions only.
        """
        for record in self.content["effective_mass"]:
            wanted = (record["carrier"], record["kind"]) == (carrier, kind)
            if wanted and temperature in (None, record["temperature"]) and record["tensor"]:
                values = np.array(record["tensor"])
                return TransportTensor(values=values, unit=record["unit"], frame=self.frame)
        raise StoreError(
            f"this run has no {kind} mass tensor of the {carrier}.",
            "It was not computed, or its band edge is degenerate.",
            "Look at content['effective_mass'], where directional masses are listed too.",
        )

    def mobility(
        self,
        carrier: str,
        temperature: float = 300.0,
        density: float | None = None,
        solver: str | None = None,
        part: str = "total",
    ) -> TransportTensor:
        """Return a mobility tensor, cm² V⁻¹ s⁻¹.

        Parameters
        ----------
        carrier : {"electron", "hole"}
        temperature : float, K
        density : float, cm⁻³, optional
            The lowest one that was run, if not given.
        solver : {"serta", "mrta", "bte"}, optional
            The most complete one that was run, if not given.
        part : {"total", "polar", "remaining"}
            With all of the scattering, or with only a part of it.

        Raises
        ------
        StoreError
            If the run has no such record.
        """
        every = self.content["mobility"]
        records = [
            record
            for record in every
            if (record["carrier"], record["part"]) == (carrier, part)
            and abs(record["temperature"] - temperature) < 1e-6
            and (density is None or abs(record["density"] - density) <= 1e-6 * density)
            and solver in (None, record["solver"])
        ]
        if not records:
            names = ("carrier", "temperature", "density", "solver", "part")
            found = {name: sorted({record[name] for record in every}) for name in names}
            listed = "; ".join(
                f"{name} " + ", ".join(f"{x:g}" if isinstance(x, float) else str(x) for x in values)
                for name, values in found.items()
                if values
            )
            raise StoreError(
                f"this run has no {part} mobility of the {carrier} at {temperature:g} K"
                + ("" if density is None else f" and {density:g} cm^-3")
                + (f" with solver {solver!r}." if solver else "."),
                fix=f"Available: {listed or 'none'}.",
            )
        chosen = max(records, key=lambda r: (-r["density"], SOLVERS.index(r["solver"])))
        values = np.array(chosen["cartesian"])
        return TransportTensor(values=values, unit=chosen["unit"], frame=self.frame)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``results.json``."""
        return dict(self.content)

    def summary(self) -> str:
        """Return what was found along the crystal axes, and the doubts, as text."""
        lines = [f"{self.content['structure']['formula']}, {self.frame.space_group}"]
        for record in self.content["thermal_conductivity"]:
            axes = ", ".join(f"{axis} {value:.4g}" for axis, value in record["axes"].items())
            lines.append(
                f"{record['temperature']:7.1f} K  {record['level']:10s} {record['solver']:4s}"
                f"{'+wave' if record['coherence'] else '':6s} {axes}  {record['unit']}"
            )
        gap = self.content["band_gap"]
        if gap:
            lines.append(f"band gap {gap['value']:.3f} eV ({gap['kind']})")
        for record in self.content["effective_mass"]:
            axes = ", ".join(f"{axis} {value:.4g}" for axis, value in record["axes"].items())
            lines.append(f"{record['carrier']} mass, {record['kind']}: {axes}  {record['unit']}")
        for record in self.content["mobility"]:
            axes = ", ".join(f"{axis} {value:.4g}" for axis, value in record["axes"].items())
            lines.append(
                f"{record['carrier']} mobility, {record['temperature']:g} K, "
                f"{record['density']:.3g} cm^-3, {record['solver']}, {record['part']}: {axes}  "
                f"{record['unit']}"
            )
        lines += [f"{f.severity}: {f.message}" for f in self.flags if f.severity != "info"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.summary())}</pre>"


def run(
    structure: Any = None,
    *,
    force_constants: str | Path | None = None,
    hamiltonian_file: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    relax: bool = False,
    output: str | Path | None = None,
    config: str | Path | None = None,
    preset: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> RunResult:
    """Compute what the models allow and return the results.

    Parameters
    ----------
    structure : path-like, Crystal, ase.Atoms, pymatgen Structure or PhonopyAtoms, optional
        The crystal.
    force_constants : path-like, optional
        phonopy or phono3py files used instead of a potential.
    hamiltonian_file : path-like, optional
        Hamiltonian file or folder used instead of the model of ``hamiltonian``.
    tasks : sequence of {"kappa", "bands", "masses", "elf", "dielectric", "mobility"}, optional
        All but the last two by default; only ``kappa`` for given force constants.
    relax : bool
        Relax the structure first although no phonons are wanted (with them it always is).
    output : path-like, optional
        Run directory; ``NAME.run`` by default. An existing one is continued.
    config : path-like, optional
        YAML file of options.
    preset : {"quick", "standard", "phono3py"}, optional
    progress : Progress, optional
        Receiver of progress; silent by default.
    **options
        Any option by section, for example ``potential={"dispersion": "d3bj"}`` or
        ``conductivity={"mesh": (9, 9, 9)}``.

    Raises
    ------
    ElphantError
        For bad input, a missing model, too little memory, and so on.
    """
    from elphant.workflow.job import ALL_TASKS, DEFAULT_TASKS, Job
    from elphant.workflow.run import run_job

    wrong = [name for name, value in options.items() if not isinstance(value, Mapping)]
    if wrong:
        raise ConfigurationError(
            f"option {wrong[0]!r} is not a section of options.",
            fix="Write for example conductivity={'mesh': (9, 9, 9)}.",
        )
    # The section itself is named too, so that an empty one is checked like any other.
    flags: dict[str, Any] = {section: {} for section in options}
    for section, group in options.items():
        flags |= {f"{section}.{key}": value for key, value in group.items()}
    if tasks is None:
        tasks = DEFAULT_TASKS if force_constants is None else ("kappa",)
    unknown = [task for task in tasks if task not in ALL_TASKS]
    if unknown or not tasks:
        raise ConfigurationError(
            f"tasks {list(tasks)!r} are not known." if unknown else "there are no tasks.",
            fix=f"Choose among {', '.join(ALL_TASKS)}.",
        )
    job = Job(
        structure=structure,
        force_constants=Path(force_constants) if force_constants is not None else None,
        hamiltonian_file=Path(hamiltonian_file) if hamiltonian_file is not None else None,
        tasks=tuple(task for task in ALL_TASKS if task in tasks),
        relax=relax,
    )
    outcome = run_job(
        job,
        job.configuration(file=Path(config) if config else None, flags={"preset": preset, **flags}),
        output=Path(output) if output else None,
        progress=progress,
    )
    return RunResult.load(outcome.directory)

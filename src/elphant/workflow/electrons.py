"""The electronic part of a run: Hamiltonian, bands, masses, localization, dielectric response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from elphant.crystal import Crystal, find_symmetry
from elphant.electron.density.grid_files import cube_text, density_per_bohr, xsf_text
from elphant.errors import PhysicsError
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.quality import QualityFlag
from elphant.workflow.context import RunContext
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.job import Task
from elphant.workflow.stages.bands import bands_stage
from elphant.workflow.stages.dielectric import DielectricResult, dielectric_stage
from elphant.workflow.stages.hamiltonian import HamiltonianResult, hamiltonian_stage
from elphant.workflow.stages.localization import localization_stage, require_functions
from elphant.workflow.stages.masses import masses_stage

#: Name in ``data.h5``, values, unit, axes.
NamedArray = tuple[str, Any, str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ElectronPart:
    """What the electronic part leaves for the results.

    Attributes
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    card : dict
        Model card of the Hamiltonian.
    records : dict
        ``electronic_structure``, ``band_gap``, ``effective_mass``, ``lone_pairs`` and ``elf`` of
        ``results.json``.
    arrays : sequence of (name, values, unit, axes)
        Arrays of ``data.h5``.
    labels : mapping
        Lists of words of ``data.h5``.
    dielectric : DielectricResult or None
        None when it was not wanted.
    references : list of str
        Bibliography keys.
    """

    hamiltonian: LocalOrbitalHamiltonian
    card: dict[str, Any]
    records: dict[str, Any]
    arrays: Sequence[NamedArray]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dielectric: DielectricResult | None = None
    references: list[str] = field(default_factory=list)

    def grid_files(self) -> dict[str, str]:
        """Return cube and XSF files of density and ELF by file name; none without ELF.

        The density is in e/bohr³ in cube files, as programs expect, and in e/Å³ in XSF files.
        """
        crystal, files = self.hamiltonian.crystal, {}
        for name, values, _, _ in self.arrays:
            if name.startswith("electrons/elf/"):
                stem = name.rpartition("/")[2]
                atomic = density_per_bohr(values) if stem == "density" else values
                files[f"{stem}.cube"] = cube_text(crystal, atomic, stem)
                files[f"{stem}.xsf"] = xsf_text(crystal, values, stem)
        return files


def compute_electrons(
    context: RunContext,
    crystal: Crystal,
    tasks: Sequence[Task],
    source: HamiltonianSource,
    *,
    asked: bool = True,
) -> ElectronPart:
    """Run the electronic stages that ``tasks`` name.

    Parameters
    ----------
    asked : bool
        Whether the user named the tasks: then what the Hamiltonian cannot give is an error, else
        it is left out and flagged.

    Raises
    ------
    ElphantError
        If there is no Hamiltonian, or it is not that of a semiconductor.
    """
    symmetry = find_symmetry(crystal, context.config.symmetry.tolerance)
    result = hamiltonian_stage(context, crystal, source)
    context.flags.extend(result.flags)
    if "elf" in tasks:
        try:
            require_functions(result.hamiltonian)
        except PhysicsError as error:
            # Asked for by name it is an error; as a part of everything it is a doubt.
            if asked:
                raise
            message = " ".join(error.text().split())
            context.flags.append(
                QualityFlag(name="no_electron_localization", severity="warning", message=message)
            )
            tasks = [task for task in tasks if task != "elf"]
    bands = bands_stage(context, result, symmetry)
    context.flags.extend(bands.flags)
    records: dict[str, Any] = {
        "electronic_structure": electronic_record(result, bands.valence_maximum),
        "band_gap": bands.gap,
        "effective_mass": [],
        "lone_pairs": [],
        "elf": None,
    }
    arrays: list[NamedArray] = list(bands.arrays)
    references = [*result.hamiltonian.origin.references, "blochl1994"]
    if "masses" in tasks:
        masses = masses_stage(context, result, bands, symmetry)
        context.flags.extend(masses.flags)
        records["effective_mass"] = masses.records
        references.append("luttinger1955")
    if "elf" in tasks:
        localization = localization_stage(context, result, symmetry)
        context.flags.extend(localization.flags)
        records |= {"elf": localization.elf, "lone_pairs": localization.lone_pairs}
        arrays += localization.arrays
        references += localization.references
    dielectric = None
    # Last, because a shard may stop there and wait for displaced crystals of other shards.
    if "dielectric" in tasks:
        dielectric = dielectric_stage(context, result, symmetry, source)
        context.flags.extend(dielectric.flags)
        arrays += dielectric.arrays
        references += ["adler1962", "wiser1963"]
        references += ["kingsmith1993"] if dielectric.data else []
    return ElectronPart(
        hamiltonian=result.hamiltonian,
        card=result.card,
        records=records,
        arrays=arrays,
        labels={"electrons/bands/label": bands.labels},
        dielectric=dielectric,
        references=references,
    )


def electronic_record(result: HamiltonianResult, valence_maximum: float) -> dict[str, Any]:
    """Return the ``electronic_structure`` record."""
    hamiltonian = result.hamiltonian
    origin = hamiltonian.origin
    return {
        "provider": origin.provider,
        "level_of_theory": origin.level_of_theory,
        "self_consistent": origin.self_consistent,
        "n_electrons": hamiltonian.n_electrons,
        "n_orbitals": hamiltonian.n_orbitals,
        "n_atoms": hamiltonian.crystal.n_atoms,
        "k_mesh": origin.details.get("k_mesh"),
        "details": origin.details,
        "capabilities": result.capabilities,
        "valence_maximum_energy": valence_maximum,
        "seconds": result.seconds,
        "peak_memory_gb": result.peak_memory_gb,
        "unit": "eV",
    }

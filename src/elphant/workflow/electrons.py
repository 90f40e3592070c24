"""The electronic part of a run: Hamiltonian, bands, masses, localization, response, mobility."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal, Symmetry, find_symmetry
from elphant.electron.density.grid_files import cube_text, density_per_bohr, xsf_text
from elphant.errors import ConfigurationError, PhysicsError
from elphant.models.dielectric.quadrupoles import read_quadrupoles
from elphant.models.dielectric.symmetrization import independent_atoms, symmetrized_dielectric
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.quality import QualityFlag
from elphant.store.atomic import canonical_json
from elphant.workflow.context import RunContext
from elphant.workflow.hamiltonian_source import HamiltonianSource
from elphant.workflow.job import Task
from elphant.workflow.stages.bands import bands_stage
from elphant.workflow.stages.dielectric import DielectricResult, dielectric_stage
from elphant.workflow.stages.force_constants import ForceConstantsResult
from elphant.workflow.stages.hamiltonian import HamiltonianResult, hamiltonian_stage
from elphant.workflow.stages.localization import localization_stage, require_functions
from elphant.workflow.stages.masses import masses_stage

#: Name in ``data.h5``, values, unit, axes.
NamedArray = tuple[str, Any, str, str]

#: Yields the force constants of the crystal, when the mobility asks for them.
ForceConstantsSource = Callable[[], ForceConstantsResult]

#: Records of a run without mobility.
NO_TRANSPORT: dict[str, Any] = {
    "mobility": [], "seebeck": [], "electrical_conductivity": [],
    "electronic_thermal_conductivity": [], "lorenz_number": [], "carrier_transport": None,
    "attribution": [], "validity": [],
}  # fmt: skip

#: Z* (e) that symmetry leaves of arbitrary ones below which a crystal has none.
NO_CHARGE = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ElectronPart:
    """What the electronic part leaves for the results.

    Attributes
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    card : dict
        Model card of the Hamiltonian.
    records : dict
        ``electronic_structure``, ``band_gap``, ``effective_mass``, ``lone_pairs``, ``elf`` and
        those of :data:`NO_TRANSPORT` of ``results.json``.
    arrays : sequence of (name, values, unit, axes)
        Arrays of ``data.h5``.
    labels : mapping
        Lists of words of ``data.h5``.
    dielectric : DielectricResult or None
        None when it was not wanted.
    force_constants : ForceConstantsResult or None
        Those that scatter the carriers, with the dielectric data that were used; None without
        mobility.
    references : list of str
        Bibliography keys.
    """

    hamiltonian: LocalOrbitalHamiltonian
    card: dict[str, Any]
    records: dict[str, Any]
    arrays: Sequence[NamedArray]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dielectric: DielectricResult | None = None
    force_constants: ForceConstantsResult | None = None
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
    force_constants: ForceConstantsSource | None = None,
) -> ElectronPart:
    """Run the electronic stages that ``tasks`` name.

    Parameters
    ----------
    force_constants : callable, optional
        Needed for the mobility; called when everything that needs no phonons is done.
    asked : bool
        Whether the user named the tasks: then what the Hamiltonian cannot give is an error, else
        it is left out and flagged.

    Raises
    ------
    ElphantError
        If there is no Hamiltonian, or it is not that of a semiconductor.
    """
    symmetry = find_symmetry(crystal, context.config.symmetry.tolerance)
    # Read first: a mistake in a file must not end a computation of hours.
    quadrupoles = _quadrupoles(context, crystal, symmetry) if "mobility" in tasks else None
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
        **NO_TRANSPORT,
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
    # These two last, because a shard may stop there and wait for crystals of other shards.
    if "dielectric" in tasks:
        dielectric = dielectric_stage(context, result, symmetry, source)
        context.flags.extend(dielectric.flags)
        arrays += dielectric.arrays
        references += ["adler1962", "wiser1963"]
        references += ["kingsmith1993"] if dielectric.data else []
    constants = None
    if "mobility" in tasks:
        # Imported here: the only stages that need the coupling of electrons and phonons.
        from elphant.workflow.stages.derivatives import derivatives_stage
        from elphant.workflow.stages.mobility import mobility_stage

        assert force_constants is not None
        constants = with_dielectric(context, force_constants(), dielectric, symmetry)
        used = constants.force_constants.dielectric if context.config.transport.polar else None
        if quadrupoles is not None and used is None:
            raise lonely_quadrupoles(context.config.transport.quadrupoles)
        derivatives = derivatives_stage(context, result, symmetry, source, used, quadrupoles)
        context.flags.extend(derivatives.flags)
        if derivatives.derivatives is None and used is None:
            raise nothing_scatters()
        mobility = mobility_stage(
            context, result, bands, symmetry, derivatives, constants.force_constants, constants.key,
            used, quadrupoles,
        )  # fmt: skip
        context.flags.extend(mobility.flags)
        records |= mobility.records
        arrays += mobility.arrays
        references += mobility.references
    return ElectronPart(
        hamiltonian=result.hamiltonian,
        card=result.card,
        records=records,
        arrays=arrays,
        labels={"electrons/bands/label": bands.labels},
        dielectric=dielectric,
        force_constants=constants,
        references=references,
    )


def _quadrupoles(
    context: RunContext, crystal: Crystal, symmetry: Symmetry
) -> NDArray[np.float64] | None:
    path = context.config.transport.quadrupoles
    return None if path is None else read_quadrupoles(path, crystal, symmetry)


def lonely_quadrupoles(path: str | None) -> ConfigurationError:
    """Return the error of quadrupoles without a permittivity."""
    return ConfigurationError(
        f"transport.quadrupoles names '{path}', but there is no permittivity.",
        "The field of a quadrupole is screened by it, and taken off together with that of the "
        "Born charges; transport.polar=false leaves out both.",
        "Give --born FILE (charges may be zero), or leave the quadrupoles out.",
    )


def nothing_scatters() -> ConfigurationError:
    """Return the error of a mobility without any coupling."""
    return ConfigurationError(
        "nothing scatters the carriers: there are neither derivatives of the Hamiltonian nor Born "
        "charges.",
        "A Hamiltonian file holds one crystal: with it only the polar part can be computed.",
        "Give --born FILE for the polar part, or use a model (--hamiltonian pyscf).",
    )


def with_dielectric(
    context: RunContext,
    constants: ForceConstantsResult,
    computed: DielectricResult | None,
    symmetry: Symmetry,
) -> ForceConstantsResult:
    """Return the force constants with the dielectric data of phonons and polar coupling alike.

    Those that came with the force constants or in a BORN file go before those of the Hamiltonian.
    Without any, a doubt says what is missing, unless symmetry forbids Born charges.
    """
    found = constants.force_constants.dielectric
    why = "polar coupling was switched off (transport.polar)"
    if found is None and computed is not None and computed.data is not None:
        found = computed.data
        address = canonical_json([constants.key, found.to_dict()])
        constants = replace(
            constants,
            force_constants=replace(constants.force_constants, dielectric=found),
            key=sha256(address.encode()).hexdigest(),
        )
    if found is None:
        if not may_have_charges(constants.force_constants.unitcell, symmetry):
            return constants
        why = (
            "there are no Born charges and no permittivity (give --born FILE, or compute them with "
            "elphant dielectric)"
        )
    if found is None or not context.config.transport.polar:
        context.flags.append(
            QualityFlag(
                name="no_polar_coupling",
                severity="warning",
                message=f"{why}: the long-range coupling to polar phonons and its splitting of "
                "longitudinal and transverse modes are left out, and mobilities of a polar crystal "
                "are too large; scattering by the short-range coupling alone is computed",
            )
        )
    return constants


def may_have_charges(crystal: Crystal, symmetry: Symmetry) -> bool:
    """Return whether the space group allows Born charges that differ from zero."""
    generator = np.random.default_rng(0)
    given = {atom: generator.normal(size=(3, 3)) for atom in independent_atoms(symmetry)}
    data, _ = symmetrized_dielectric(np.eye(3), given, crystal, symmetry, "symmetry alone")
    return bool(np.abs(data.born_charges).max() > NO_CHARGE)


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

"""Relaxation of atoms and cell that keeps space group, setting and orientation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal, Symmetry, find_symmetry
from elphant.crystal.io import from_ase, to_ase
from elphant.crystal.symmetrize import symmetrized_crystal
from elphant.crystal.symmetry import SYMMETRY_TOLERANCE
from elphant.models.potentials.protocol import Potential
from elphant.quality import QualityFlag, check_below
from elphant.units import GPA_PER_EV_A3

logger = logging.getLogger(__name__)

#: Called with (step, largest force in eV/Å, largest stress component in GPa).
RelaxationProgress = Callable[[int, float, float], None]

#: Tolerance (Å) with which a symmetry hidden by noise in the input is looked for.
HIDDEN_SYMMETRY_TOLERANCE = 1e-2

#: Forces against the symmetry of the crystal above which a warning is given, eV/Å.
FORBIDDEN_FORCE = 1e-4

#: Curvatures of a typical solid: bonds (eV/Å²) and elastic constants (eV/Å³, about 50 GPa). They
#: only make the first steps of the optimiser sensible.
_BOND_STIFFNESS = 5.0
_ELASTIC_STIFFNESS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaxationSettings:
    """When a relaxation ends and what it may change.

    Attributes
    ----------
    fmax : float
        Largest force on an atom accepted, eV/Å, after projection on the symmetry.
    max_stress : float
        Largest stress component accepted, GPa.
    max_steps : int
        Number of optimiser steps after which it gives up (result flagged as not converged).
    fix_cell : bool
        Relax the atoms only.
    symprec : float
        Distance tolerance of the symmetry that is kept, Å.
    """

    fmax: float = 1e-4
    max_stress: float = 2e-3
    max_steps: int = 300
    fix_cell: bool = False
    symprec: float = SYMMETRY_TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RelaxationResult:
    """The relaxed crystal and how it differs from the input.

    Attributes
    ----------
    crystal : Crystal
        Relaxed crystal in the input's Cartesian frame, cell setting and atom order.
    space_group_before, space_group_after : str
        International symbols of the user's setting.
    max_force : float
        Largest force on an atom at the end, projected on the symmetry, eV/Å.
    max_stress : float
        Largest stress component at the end, projected on the symmetry, GPa.
    n_steps, n_evaluations : int
        Optimiser steps and evaluations of the potential.
    converged : bool
        Both limits of the settings were met.
    energy_per_atom : float
        eV.
    lengths_before, lengths_after : ndarray, (3,) Å
    angles_before, angles_after : ndarray, (3,) degrees
    volume_change_percent : float
    flags : tuple of QualityFlag
        Checks of the result.
    """

    crystal: Crystal
    space_group_before: str
    space_group_after: str
    max_force: float
    max_stress: float
    n_steps: int
    n_evaluations: int
    converged: bool
    energy_per_atom: float
    lengths_before: NDArray[np.float64]
    lengths_after: NDArray[np.float64]
    angles_before: NDArray[np.float64]
    angles_after: NDArray[np.float64]
    volume_change_percent: float
    flags: tuple[QualityFlag, ...]

    def __post_init__(self) -> None:
        for name in ("lengths_before", "lengths_after", "angles_before", "angles_after"):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), (3,)))

    @property
    def change_percent(self) -> dict[str, float]:
        """Change of the lattice parameters a, b, c in percent."""
        change = 100.0 * (self.lengths_after / self.lengths_before - 1.0)
        return {axis: float(value) for axis, value in zip("abc", change, strict=True)}

    def summary(self) -> str:
        """Return two lines for a reader."""
        change = ", ".join(f"{axis} {value:+.2f} %" for axis, value in self.change_percent.items())
        a, b, c = self.lengths_after
        state = "converged" if self.converged else "NOT converged"
        return (
            f"{state} after {self.n_steps} steps: force {self.max_force:.1e} eV/Å, "
            f"stress {self.max_stress:.1e} GPa, {self.space_group_after}\n"
            f"a b c = {a:.4f} {b:.4f} {c:.4f} Å ({change}, volume "
            f"{self.volume_change_percent:+.2f} %)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the record ``relaxation`` of ``results.json``."""
        return {
            "space_group_before": self.space_group_before,
            "space_group_after": self.space_group_after,
            "max_force": self.max_force,
            "max_stress": self.max_stress,
            "n_steps": self.n_steps,
            "converged": self.converged,
            "energy_per_atom": self.energy_per_atom,
            "lengths_before": self.lengths_before.tolist(),
            "lengths_after": self.lengths_after.tolist(),
            "angles_before": self.angles_before.tolist(),
            "angles_after": self.angles_after.tolist(),
            "change_percent": self.change_percent,
            "volume_change_percent": self.volume_change_percent,
        }


def relax(
    crystal: Crystal,
    potential: Potential,
    settings: RelaxationSettings | None = None,
    progress: RelaxationProgress | None = None,
) -> RelaxationResult:
    """Minimise the energy within the space group of ``crystal``.

    Atoms and the logarithm of the cell's deformation are varied together (Frechet filter); forces
    and stress are projected on the symmetry. Noise of the input below ``symprec`` is removed
    first. The deformation is kept symmetric, so the crystal does not rotate.

    Parameters
    ----------
    crystal : Crystal
        The start.
    potential : Potential
        Gives energy, forces and stress.
    settings : RelaxationSettings, optional
    progress : callable, optional
        Called after each step with (step, force in eV/Å, stress in GPa).

    Returns
    -------
    RelaxationResult
        Also when it did not converge; then ``converged`` is False and a flag says so.

    Raises
    ------
    ModelError
        If the potential cannot evaluate the crystal.
    StructureError
        If the space group cannot be determined.
    """
    chosen = settings or RelaxationSettings()
    before = find_symmetry(crystal, chosen.symprec)
    start = symmetrized_crystal(crystal, before)
    atoms, n_steps, n_evaluations = _minimise(start, potential, chosen, progress)
    final = from_ase(atoms)
    relaxed = crystal.replaced(
        lattice=_without_rotation(start.lattice, final.lattice), fractional=final.fractional
    )
    after = find_symmetry(relaxed, chosen.symprec)
    force, stress = _residuals(atoms)
    broken = float(np.abs(atoms.get_forces(apply_constraint=False) - atoms.get_forces()).max())
    converged = force <= chosen.fmax and (chosen.fix_cell or stress <= chosen.max_stress)
    result = RelaxationResult(
        crystal=relaxed,
        space_group_before=before.setting,
        space_group_after=after.setting,
        max_force=force,
        max_stress=stress,
        n_steps=n_steps,
        n_evaluations=n_evaluations,
        converged=converged,
        energy_per_atom=float(atoms.get_potential_energy()) / relaxed.n_atoms,
        lengths_before=crystal.lengths,
        lengths_after=relaxed.lengths,
        angles_before=crystal.angles,
        angles_after=relaxed.angles,
        volume_change_percent=100.0 * (relaxed.volume / crystal.volume - 1.0),
        flags=_flags(crystal, relaxed, (before, after), (force, stress, broken), chosen),
    )
    logger.info("%s", result.summary())
    return result


def _minimise(
    start: Crystal,
    potential: Potential,
    settings: RelaxationSettings,
    progress: RelaxationProgress | None,
) -> tuple[Any, int, int]:
    """Run the optimiser; return the ASE atoms, the steps and the evaluations."""
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    from elphant.models.potentials.ase_calculator import PotentialCalculator

    atoms = to_ase(start)
    atoms.set_constraint(FixSymmetry(atoms, symprec=settings.symprec))
    calculator = PotentialCalculator(potential)
    atoms.calc = calculator
    # Scales the cell variables so that cell and atoms look equally stiff to the optimiser.
    factor = np.sqrt(start.volume * _ELASTIC_STIFFNESS / _BOND_STIFFNESS)
    target = atoms if settings.fix_cell else FrechetCellFilter(atoms, exp_cell_factor=factor)
    optimiser = BFGS(target, logfile=None, alpha=_BOND_STIFFNESS)
    for step, _ in enumerate(optimiser.irun(fmax=0.0, steps=settings.max_steps)):
        force, stress = _residuals(atoms)
        if progress is not None:
            progress(step, force, stress)
        if force <= settings.fmax and (settings.fix_cell or stress <= settings.max_stress):
            break
    return atoms, optimiser.nsteps, calculator.n_evaluations


def _without_rotation(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lattice ``end`` with the rotation part of its deformation removed."""
    from scipy.linalg import polar

    # Row vectors: end = start F. With F = P U (P symmetric, U a rotation) the pure strain of the
    # start is start P; for the symmetric strains of the Frechet filter U is the identity anyway.
    _, strain = polar(np.linalg.inv(start) @ end, side="left")
    return np.asarray(start @ strain)


def _residuals(atoms: Any) -> tuple[float, float]:
    """Return the largest symmetrised force (eV/Å) and stress component (GPa)."""
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    return force, float(np.abs(atoms.get_stress()).max()) * GPA_PER_EV_A3


def _flags(
    crystal: Crystal,
    relaxed: Crystal,
    symmetries: tuple[Symmetry, Symmetry],
    residuals: tuple[float, float, float],
    settings: RelaxationSettings,
) -> tuple[QualityFlag, ...]:
    before, after = symmetries
    force, stress, broken = residuals
    flags = [
        check_below(
            "relaxation_force",
            force,
            settings.fmax,
            f"Largest residual force after relaxation: {force:.2e} eV/Å.",
        )
    ]
    if not settings.fix_cell:
        flags.append(
            check_below(
                "relaxation_stress",
                stress,
                settings.max_stress,
                f"Largest residual stress component after relaxation: {stress:.2e} GPa.",
            )
        )
    flags.append(
        check_below(
            "forces_against_symmetry",
            broken,
            FORBIDDEN_FORCE,
            f"Forces forbidden by the space group reach {broken:.2e} eV/Å: the potential itself "
            "does not keep all mirror planes and inversions (or is noisy).",
        )
    )
    same = before.number == after.number
    flags.append(
        QualityFlag(
            name="relaxation_symmetry",
            severity="info" if same else "warning",
            message=f"Space group {before.setting} before and {after.setting} after relaxation.",
        )
    )
    hidden = find_symmetry(crystal, HIDDEN_SYMMETRY_TOLERANCE)
    if settings.symprec < HIDDEN_SYMMETRY_TOLERANCE and len(hidden.rotations) > len(
        before.rotations
    ):
        flags.append(
            QualityFlag(
                name="hidden_symmetry",
                severity="warning",
                message=f"The input is {before.setting} within {settings.symprec:g} Å but "
                f"{hidden.setting} within {HIDDEN_SYMMETRY_TOLERANCE:g} Å: it may carry rounding "
                "noise. Give --symprec to keep the higher symmetry.",
                value=settings.symprec,
                threshold=HIDDEN_SYMMETRY_TOLERANCE,
            )
        )
    change = 100.0 * abs(relaxed.volume / crystal.volume - 1.0)
    flags.append(
        check_below(
            "relaxation_volume_change",
            change,
            10.0,
            f"The volume changed by {change:.1f} % in the relaxation.",
        )
    )
    return tuple(flags)

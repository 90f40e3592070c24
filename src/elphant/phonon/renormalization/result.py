"""The product of a renormalisation: force constants of one temperature and how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.harmonic import IMAGINARY_LIMIT
from elphant.quality import QualityFlag, check_below

Array = NDArray[np.float64]
Variant = Literal["loop", "stochastic", "loop+bubble", "stochastic+bubble"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FreeEnergy:
    """Free energy of the variational harmonic crystal, eV per primitive cell.

    Attributes
    ----------
    harmonic : float
        Of the renormalised frequencies.
    second_order : float
        ``<V2 - V2_eff>``: the harmonic energy that the trial potential counts too much.
    anharmonic : float
        Average of what lies beyond the second order. In the loop variant that is
        ``1/8 Φ4 <uu><uu>``, in the stochastic one all orders together with ``second_order``.
    standard_error : float or None
        Of the sum, in the stochastic variant.
    """

    harmonic: float
    second_order: float = 0.0
    anharmonic: float = 0.0
    standard_error: float | None = None

    @property
    def total(self) -> float:
        """The sum: an upper bound of the true free energy (Gibbs and Bogoliubov)."""
        return self.harmonic + self.second_order + self.anharmonic

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FreeEnergy:
        """Rebuild from :meth:`to_dict`."""
        return cls(**{key: value for key, value in record.items() if key != "total"})

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        return {
            "harmonic": self.harmonic,
            "second_order": self.second_order,
            "anharmonic": self.anharmonic,
            "total": self.total,
            "standard_error": self.standard_error,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RenormalizedForceConstants:
    """Force constants of one temperature; use ``force_constants`` like any other set.

    Attributes
    ----------
    temperature : float, K
    force_constants : ForceConstants
        The input with ``second`` replaced; third and fourth order are the bare ones.
    variant : str
        ``loop``, ``stochastic``, or one of them with ``+bubble``.
    free_energy : FreeEnergy or None
        None when it was not determined (forces without energies).
    n_iterations : int
        Of the self-consistency; for the stochastic variant batches of forces.
    converged : bool
    residual : float, THz
        Largest change of a frequency in the last iteration.
    q_points : ndarray, (n_q, 3)
        Points that fit the supercell; reciprocal primitive cell.
    frequencies_before, frequencies_after : ndarray, (n_q, n_modes) THz
        Ascending; imaginary ones negative; the three translations at Γ are zero.
    minimum_before, minimum_after : float, THz
        On the mesh of the calculation.
    n_imaginary_before, n_imaginary_after : int
        Modes of that mesh below minus the limit of 0.05 THz.
    n_modes : int
        Modes of that mesh.
    gamma_standard_errors : ndarray, (n_modes,) THz, or None
        Of ``frequencies_after`` at Γ, in the stochastic variant.
    mesh : tuple of int, (3,), or None
        Mesh of the calculation; None for the points that fit the supercell.
    continuation : tuple of float, K
        Higher temperatures solved on the way.
    n_snapshots : int or None
        Supercells with forces, in the stochastic variant.
    effective_sample_size : float or None
        Of the snapshots in use, after reweighting.
    flags : tuple of QualityFlag
    """

    temperature: float
    force_constants: ForceConstants
    variant: Variant
    free_energy: FreeEnergy | None
    n_iterations: int
    converged: bool
    residual: float
    q_points: Array
    frequencies_before: Array
    frequencies_after: Array
    minimum_before: float
    minimum_after: float
    n_imaginary_before: int
    n_imaginary_after: int
    n_modes: int
    gamma_standard_errors: Array | None = None
    mesh: tuple[int, int, int] | None = None
    continuation: tuple[float, ...] = ()
    n_snapshots: int | None = None
    effective_sample_size: float | None = None
    flags: tuple[QualityFlag, ...] = field(default=())

    def __post_init__(self) -> None:
        n_q, n_modes = np.shape(self.frequencies_after)
        for name, shape in (
            ("q_points", (n_q, 3)),
            ("frequencies_before", (n_q, n_modes)),
            ("frequencies_after", (n_q, n_modes)),
            ("gamma_standard_errors", (n_modes,)),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_array(name, value, shape))

    @property
    def stable(self) -> bool:
        """Whether a converged solution without imaginary modes was found."""
        return self.converged and self.n_imaginary_after == 0

    @property
    def stabilized(self) -> bool:
        """Whether imaginary harmonic modes became real."""
        return self.stable and self.n_imaginary_before > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers for a report, without the force constants."""
        return {
            "temperature": self.temperature,
            "variant": self.variant,
            "free_energy": None if self.free_energy is None else self.free_energy.to_dict(),
            "n_iterations": self.n_iterations,
            "converged": self.converged,
            "residual": self.residual,
            "minimum_before": self.minimum_before,
            "minimum_after": self.minimum_after,
            "n_imaginary_before": self.n_imaginary_before,
            "n_imaginary_after": self.n_imaginary_after,
            "n_modes": self.n_modes,
            "mesh": None if self.mesh is None else list(self.mesh),
            "continuation": list(self.continuation),
            "n_snapshots": self.n_snapshots,
            "effective_sample_size": self.effective_sample_size,
            "flags": [flag.to_dict() for flag in self.flags],
        }

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for the store; :meth:`to_dict` has the rest."""
        arrays = {
            "second": self.force_constants.second,
            "q_points": self.q_points,
            "frequencies_before": self.frequencies_before,
            "frequencies_after": self.frequencies_after,
        }
        if self.gamma_standard_errors is not None:
            arrays["gamma_standard_errors"] = self.gamma_standard_errors
        return arrays

    @classmethod
    def from_record(
        cls, record: dict[str, Any], arrays: dict[str, Array], bare: ForceConstants
    ) -> RenormalizedForceConstants:
        """Rebuild from :meth:`to_dict`, :meth:`to_arrays` and the bare force constants."""
        free_energy = record["free_energy"]
        values: dict[str, Any] = {**record, **arrays}
        for key in ("second", "free_energy", "flags"):
            del values[key]
        mesh = record["mesh"]
        values["mesh"] = None if mesh is None else (int(mesh[0]), int(mesh[1]), int(mesh[2]))
        values["continuation"] = tuple(record["continuation"])
        return cls(
            **values,
            force_constants=replace(bare, second=arrays["second"]),
            free_energy=None if free_energy is None else FreeEnergy.from_dict(free_energy),
            flags=tuple(QualityFlag(**flag) for flag in record["flags"]),
        )


def stability_flag(
    temperature: float,
    n_before: int,
    n_after: int,
    n_modes: int,
    minimum: tuple[float, float],
    *,
    where: str,
    only_between: bool = False,
) -> QualityFlag:
    """Return what became of imaginary modes; ``where`` names the softest mode.

    ``only_between`` says that no mode is imaginary at the points that fit the supercell: then
    the interpolation is the likely cause, and the verdict a doubt.
    """
    before, after = minimum
    span = f"lowest frequency {before:.3f} → {after:.3f} THz ({where})"
    if n_after:
        message = (
            f"no stable solution at {temperature:g} K: {n_after} of {n_modes} modes stay "
            f"imaginary (harmonic: {n_before}); {span}. "
            + (
                "All modes that fit the supercell are stable: suspect the interpolation between "
                "them, and use a larger supercell"
                if only_between
                else "The crystal takes another structure at this temperature in this approximation"
            )
        )
    elif n_before:
        message = (
            f"{n_before} of {n_modes} modes were imaginary and are stabilised at "
            f"{temperature:g} K; {span}"
        )
    else:
        message = f"no imaginary modes before or after renormalisation at {temperature:g} K; {span}"
    return QualityFlag(
        name="renormalized_stability",
        severity="invalid"
        if n_after and not only_between
        else "warning"
        if n_before or n_after
        else "info",
        message=message,
        value=after,
        threshold=-IMAGINARY_LIMIT,
    )


def convergence_flag(
    temperature: float, residual: float, tolerance: float, n_iterations: int
) -> QualityFlag:
    """Return whether the self-consistency was reached."""
    return check_below(
        "renormalization_convergence",
        residual,
        tolerance,
        f"frequencies at {temperature:g} K change by {residual:.2g} THz after {n_iterations} "
        "iterations of the self-consistency",
        severity="invalid",
    )


def sum_rule_flags(
    before: Array, after: Array, transposed: Array, *, limit: float = 1e-3
) -> list[QualityFlag]:
    """Return checks of Φ2_eff: acoustic sum rule and exchange of the two atoms.

    Violations count relative to the largest constant and only as far as the correction made them.
    """
    scale = float(np.abs(before).max())
    drift = np.abs(after.sum(axis=1)).max() / scale
    bare = np.abs(before.sum(axis=1)).max() / scale
    exchange = np.abs(after - transposed).max() / scale
    return [
        check_below(
            "renormalized_acoustic_sum_rule",
            float(drift - bare),
            limit,
            f"the renormalised Φ2 violates the acoustic sum rule by {drift:.1e} of its largest "
            f"element (before: {bare:.1e})",
        ),
        check_below(
            "renormalized_exchange_symmetry",
            float(exchange),
            limit,
            f"the renormalised Φ2 violates the exchange of its atoms by {exchange:.1e} of its "
            "largest element",
        ),
    ]

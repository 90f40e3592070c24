"""Force constants from the forces of displaced supercells, with an error measured on held-out ones.

The residual forces F0 of the undisplaced supercell are subtracted from every snapshot: F0/u is the
same on all images of an atom, so it adds up coherently at Γ and would shift frequencies there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import PhysicsError
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.displacement import DisplacementPlan
from elphant.phonon.force_constants import ForceConstants
from elphant.quality import QualityFlag, check_below

Array = NDArray[np.float64]

#: Held-out force R² below which the fit is called doubtful.
R2_LIMIT = 0.95

#: Unexplained share of the variance of third-order forces above which the fit is called doubtful.
THIRD_ORDER_SHARE_LIMIT = 0.02

#: Residual force (eV/Å) above which the reference structure is called badly relaxed.
RESIDUAL_FORCE_LIMIT = 0.01

#: Largest violation of a sum rule after the fit, relative to the largest force constant.
SUM_RULE_LIMIT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """How well the force constants reproduce forces that were not used to fit them.

    Attributes
    ----------
    source : str
        ``finite_difference`` or ``random`` (the design of the highest order).
    n_parameters : dict
        Free parameters per order; order 2 in the supercell it is taken from.
    n_equations : dict
        Fitted force components per plan label.
    force_rmse, force_r2 : dict
        On held-out snapshots, eV/Å and dimensionless. ``second``: order 2 alone in the
        second-order supercell; ``third_order2_only``: order 2 alone in the third-order supercell;
        ``third``: orders 2 and 3 together there. Empty without held-out snapshots.
    sum_rule_residual : dict
        Largest violation of the acoustic sum rule: ``2`` (eV/Å²) and ``3`` (eV/Å³) as fitted,
        ``2_unsymmetrized`` straight from finite differences (only for those).
    permutation_residual : dict
        Largest violation of the exchange of the last two indices (order 3) or of Φ_ij = Φ_jiᵀ
        (order 2).
    residual_force : float, eV/Å
        Largest force in the undisplaced supercells.
    flags : tuple of QualityFlag
    """

    source: str
    n_parameters: dict[int, int]
    n_equations: dict[str, int]
    force_rmse: dict[str, float]
    force_r2: dict[str, float]
    sum_rule_residual: dict[str, float]
    permutation_residual: dict[str, float]
    residual_force: float
    flags: tuple[QualityFlag, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the record stored with the force constants."""
        return {
            "source": self.source,
            "n_parameters": {str(k): n for k, n in self.n_parameters.items()},
            "n_equations": dict(self.n_equations),
            "force_rmse": dict(self.force_rmse),
            "force_r2": dict(self.force_r2),
            "sum_rule_residual": dict(self.sum_rule_residual),
            "permutation_residual": dict(self.permutation_residual),
            "residual_force": self.residual_force,
            "flags": [flag.to_dict() for flag in self.flags],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FitReport:
        """Rebuild a report from :meth:`to_dict`."""
        return cls(
            **{key: record[key] for key in record if key not in ("n_parameters", "flags")},
            n_parameters={int(k): n for k, n in record["n_parameters"].items()},
            flags=tuple(QualityFlag(**flag) for flag in record["flags"]),
        )


def fit_force_constants(
    unitcell: Crystal,
    plans: Sequence[DisplacementPlan],
    forces: Sequence[NDArray[np.float64]],
    dielectric: DielectricData | None = None,
) -> tuple[ForceConstants, FitReport]:
    """Fit force constants to the forces of all plans.

    Parameters
    ----------
    unitcell : Crystal
        The cell that the plans were made for.
    plans : sequence of DisplacementPlan
        From :func:`~elphant.phonon.displacement.plan_displacements`.
    forces : sequence of ndarray, (n_snapshots + 1, n_atoms, 3) eV/Å
        For each plan, in the order of its ``snapshots()``: the undisplaced supercell first.
    dielectric : DielectricData, optional
        Passed on to the result.

    Returns
    -------
    ForceConstants, FitReport
        Order 2 comes from the plan labelled ``second`` when there is one (its supercell is the
        larger one), else from the joint fit.

    Raises
    ------
    PhysicsError
        If forces are missing or not finite, or a fit is underdetermined or singular.
    """
    if len(plans) != len(forces) or not plans:
        raise ValueError(f"{len(forces)} sets of forces for {len(plans)} displacement plans")
    fits = {
        plan.label: _fit_plan(plan, np.asarray(f, dtype=float))
        for plan, f in zip(plans, forces, strict=True)
    }
    joint = fits.get("third")
    harmonic = fits.get("second") or joint or next(iter(fits.values()))
    force_constants = ForceConstants(
        unitcell=unitcell,
        primitive_matrix=harmonic.plan.primitive_matrix,
        supercell_matrix_second=harmonic.plan.supercell_matrix,
        second=harmonic.constants[2],
        supercell_matrix_third=None if joint is None else joint.plan.supercell_matrix,
        third=None if joint is None else joint.constants[3],
        dielectric=dielectric,
        source=(joint or harmonic).plan.method.replace("-", "_"),
    )
    return force_constants, _report(list(fits.values()), harmonic, joint)


@dataclass(frozen=True, slots=True)
class _PlanFit:
    plan: DisplacementPlan
    phonopy: Any
    constants: dict[int, Array]
    n_parameters: dict[int, int]
    residual_force: float
    held_out_forces: Array
    unsymmetrized: Array | None


def _fit_plan(plan: DisplacementPlan, forces: Array) -> _PlanFit:
    from elphant.phonon.adapters import phonopy_adapter, symfc_adapter

    _check_forces(plan, forces)
    phonopy = phonopy_adapter.build_phonopy(
        plan.unitcell,
        plan.supercell_matrix,
        primitive_matrix=plan.primitive_matrix,
        tolerance=plan.tolerance,
    )
    relative = forces[1:] - forces[0]
    used = plan.fitted
    symfc_adapter.check_memory(plan.n_parameters, plan.supercell.n_atoms, plan.cutoff_third)
    constants, n_parameters = symfc_adapter.fit(
        phonopy, plan.displacements[used], relative[used], plan.orders, plan.cutoff_third
    )
    unsymmetrized = None
    if plan.method == "finite-difference" and plan.orders == (2,):
        unsymmetrized = phonopy_adapter.unsymmetrized_second(
            phonopy, plan.displacements[used], relative[used]
        )
    return _PlanFit(
        plan,
        phonopy,
        constants,
        n_parameters,
        float(np.abs(forces[0]).max()),
        relative[list(plan.held_out)],
        unsymmetrized,
    )


def _check_forces(plan: DisplacementPlan, forces: Array) -> None:
    expected = (plan.n_snapshots + 1, plan.supercell.n_atoms, 3)
    if forces.shape != expected:
        raise ValueError(f"forces of plan '{plan.label}' have shape {forces.shape}, not {expected}")
    bad = np.flatnonzero(~np.isfinite(forces).all(axis=(1, 2)))
    if len(bad):
        raise PhysicsError(
            f"the forces of {len(bad)} snapshots of plan '{plan.label}' are not finite "
            f"(first: snapshot {bad[0]}).",
            "The potential failed for these structures.",
            "Check the potential and the structure, or use a smaller displacement amplitude.",
        )
    per_set = 3 * (plan.supercell.n_atoms - 1)
    for order in plan.orders:
        if per_set * plan.n_equation_sets[order] < plan.n_parameters[order]:
            from elphant.phonon.adapters.symfc_adapter import underdetermined

            raise underdetermined(
                {order: plan.n_parameters[order]}, per_set * plan.n_equation_sets[order]
            )


def _report(fits: list[_PlanFit], harmonic: _PlanFit, joint: _PlanFit | None) -> FitReport:
    rmse: dict[str, float] = {}
    r2: dict[str, float] = {}
    for fit in fits:
        _measure(fit, rmse, r2)
    second = harmonic.constants[2]
    sums = {"2": float(np.abs(second.sum(axis=1)).max())}
    if harmonic.unsymmetrized is not None:
        sums["2_unsymmetrized"] = float(np.abs(harmonic.unsymmetrized.sum(axis=1)).max())
    exchange = {"2": _exchange_residual(harmonic.phonopy, second)}
    n_parameters = {2: harmonic.n_parameters[2]}
    if joint is not None:
        third = joint.constants[3]
        sums["3"] = float(max(np.abs(third.sum(axis=axis)).max() for axis in (1, 2)))
        exchange["3"] = float(np.abs(third - third.transpose(0, 2, 1, 3, 5, 4)).max())
        n_parameters[3] = joint.n_parameters[3]
    residual = max(fit.residual_force for fit in fits)
    return FitReport(
        source=(joint or harmonic).plan.method.replace("-", "_"),
        n_parameters=n_parameters,
        n_equations={fit.plan.label: fit.plan.n_equations for fit in fits},
        force_rmse=rmse,
        force_r2=r2,
        sum_rule_residual=sums,
        permutation_residual=exchange,
        residual_force=residual,
        flags=tuple(_flags(fits, harmonic, joint, rmse, r2, sums, residual)),
    )


def _measure(fit: _PlanFit, rmse: dict[str, float], r2: dict[str, float]) -> None:
    """Add the held-out errors of one plan to the two records."""
    from elphant.phonon.adapters.symfc_adapter import predict_forces

    if not len(fit.held_out_forces):
        return
    parts = predict_forces(
        fit.phonopy, fit.constants, fit.plan.displacements[list(fit.plan.held_out)]
    )
    predictions = {fit.plan.label: sum(parts.values())}
    if len(parts) > 1:
        predictions[f"{fit.plan.label}_order2_only"] = parts[2]
    actual = fit.held_out_forces
    variance = float(np.mean((actual - actual.mean()) ** 2))
    for key, predicted in predictions.items():
        square = float(np.mean((actual - predicted) ** 2))
        rmse[key] = float(np.sqrt(square))
        r2[key] = 1.0 - square / variance if variance > 0 else 1.0


def _exchange_residual(phonopy: Any, second: Array) -> float:
    """Return max |Φ(ia, jb) - Φ(jb, ia)| over pairs, rows carried by lattice translations."""
    primitive = phonopy.primitive
    p2s, s2p = list(primitive.p2s_map), np.array(primitive.s2p_map)
    row = {atom: p for p, atom in enumerate(p2s)}
    worst = 0.0
    for permutation in np.array(primitive.atomic_permutations):
        # permutation carries atom j of the primitive cell to a supercell atom permutation[j], and
        # its inverse carries that atom back; Φ(p; Tq) must equal Φ(q; T⁻¹p)ᵀ.
        inverse = np.argsort(permutation)
        for q in p2s:
            assert s2p[permutation[q]] == q
            forward = second[:, permutation[q]]
            backward = second[row[q]][inverse[p2s]]
            worst = max(worst, float(np.abs(forward - backward.transpose(0, 2, 1)).max()))
    return worst


def _third_order_flag(rmse: dict[str, float]) -> list[QualityFlag]:
    """Return how much of the third-order forces the fit leaves unexplained.

    What it leaves (triplets beyond the cut-off, higher orders) acts as noise on the constants, and
    noise adds to ``|V3|²``: the conductivity then comes out too low. R² of the whole force hides
    this, because nine tenths and more of it are second order.
    """
    if "third" not in rmse or not rmse.get("third_order2_only"):
        return []
    share = (rmse["third"] / rmse["third_order2_only"]) ** 2
    return [
        check_below(
            "force_fit_third_order_share",
            share,
            THIRD_ORDER_SHARE_LIMIT,
            f"the fit leaves {100 * share:.1f} % of the variance of the third-order forces "
            "unexplained, which lowers the conductivity; a larger cutoff_third or more "
            "oversampling helps",
        )
    ]


def _flags(
    fits: list[_PlanFit],
    harmonic: _PlanFit,
    joint: _PlanFit | None,
    rmse: dict[str, float],
    r2: dict[str, float],
    sums: dict[str, float],
    residual: float,
) -> list[QualityFlag]:
    flags = [
        check_below(
            "residual_force",
            residual,
            RESIDUAL_FORCE_LIMIT,
            f"largest force in the undisplaced supercell {residual:.2g} eV/Å (subtracted)",
        )
    ]
    flags += [
        check_below(
            f"force_fit_{key}",
            1.0 - r2[key],
            1.0 - R2_LIMIT,
            f"held-out forces of the {key}-order supercell: R² {r2[key]:.5f}, "
            f"error {1e3 * rmse[key]:.2g} meV/Å",
        )
        for key in (fit.plan.label for fit in fits)
        if key in r2
    ]
    flags += _third_order_flag(rmse)
    ratios = [ratio for fit in fits for ratio in fit.plan.over_determination.values()]
    flags.append(
        QualityFlag(
            name="force_fit_overdetermination",
            severity="info" if min(ratios) >= 1.5 else "warning",
            message=f"at least {min(ratios):.1f} independent equations per free parameter",
            value=min(ratios),
            threshold=1.5,
        )
    )
    for order, fit in ((2, harmonic), (3, joint)):
        if fit is not None:
            scale = float(np.abs(fit.constants[order]).max()) or 1.0
            flags.append(
                check_below(
                    f"sum_rule_{order}",
                    sums[str(order)] / scale,
                    SUM_RULE_LIMIT,
                    f"acoustic sum rule of order {order} holds to {sums[str(order)]:.1g} "
                    f"eV/Å^{order}",
                )
            )
    return flags

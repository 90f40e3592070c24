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
from elphant.phonon.cluster_basis import polynomial_forces
from elphant.phonon.cluster_fit import LinearFit, check_memory, fit_parameters, underdetermined
from elphant.phonon.displacement import DisplacementPlan
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.sparse_force_constants import SparseForceConstants
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

#: The same share for what the fourth order adds; part of it is sixth order, no error of the fit.
FOURTH_ORDER_SHARE_LIMIT = 0.15

#: Standard error of the force constants of an order, relative to their norm, that is doubtful.
PARAMETER_ERROR_LIMIT = {2: 0.02, 3: 0.15, 4: 0.3}


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
        second-order supercell; in the third-order supercell ``third_order2_only``: order 2 alone,
        ``third_order3_only``: orders 2 and 3 of a fit that has the fourth as well, ``third``: all
        orders together. Empty without held-out snapshots.
    sum_rule_residual : dict
        Largest violation of the acoustic sum rule: ``2`` (eV/Å²), ``3`` (eV/Å³) and ``4`` (eV/Å⁴)
        as fitted, ``2_unsymmetrized`` straight from finite differences (only for those).
    permutation_residual : dict
        Largest violation of the exchange of any two atoms (order 4), of the last two indices
        (order 3) or of Φ_ij = Φ_jiᵀ (order 2).
    residual_force : float, eV/Å
        Largest force in the undisplaced supercells.
    flags : tuple of QualityFlag
    cross_validation_rmse : dict, eV/Å
        Error of left-out forces in the joint fit: ``even`` (orders 2 and 4) and ``odd`` (order 3)
        parts of opposite pairs.
    unexplained_share : dict
        By order 3 and 4: share of the variance of left-out forces beyond the next lower order of
        the same parity that the order leaves unexplained.
    parameter_error : dict
        By order: standard error of the force constants over their norm (jackknife).
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
    cross_validation_rmse: dict[str, float] = field(default_factory=dict)
    unexplained_share: dict[int, float] = field(default_factory=dict)
    parameter_error: dict[int, float] = field(default_factory=dict)

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
            "cross_validation_rmse": dict(self.cross_validation_rmse),
            "unexplained_share": {str(k): x for k, x in self.unexplained_share.items()},
            "parameter_error": {str(k): x for k, x in self.parameter_error.items()},
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FitReport:
        """Rebuild a report from :meth:`to_dict`."""
        by_order = ("n_parameters", "unexplained_share", "parameter_error")
        fields: dict[str, Any] = {key: record[key] for key in record if key != "flags"}
        for key in by_order:
            fields[key] = {int(k): x for k, x in record.get(key, {}).items()}
        return cls(**fields, flags=tuple(QualityFlag(**flag) for flag in record["flags"]))


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
        larger one), else from the joint fit. Orders 3 and 4 come from the joint fit, the fourth
        as clusters.

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
        fourth=None if joint is None else joint.fourth,
        dielectric=dielectric,
        source=(joint or harmonic).plan.method.replace("-", "_"),
    )
    return force_constants, _report(list(fits.values()), harmonic, joint)


@dataclass(frozen=True, slots=True)
class _PlanFit:
    plan: DisplacementPlan
    phonopy: Any
    constants: dict[int, Array]
    fourth: SparseForceConstants | None
    n_parameters: dict[int, int]
    errors: LinearFit
    residual_force: float
    held_out_forces: Array
    predicted: dict[int, Array]
    unsymmetrized: Array | None = None


def _fit_plan(plan: DisplacementPlan, forces: Array) -> _PlanFit:
    _check_forces(plan, forces)
    return _fit_second(plan, forces) if plan.orders == (2,) else _fit_joint(plan, forces)


def _phonopy(plan: DisplacementPlan) -> Any:
    from elphant.phonon.adapters.phonopy_adapter import build_phonopy

    return build_phonopy(
        plan.unitcell,
        plan.supercell_matrix,
        primitive_matrix=plan.primitive_matrix,
        tolerance=plan.tolerance,
    )


def _fit_second(plan: DisplacementPlan, forces: Array) -> _PlanFit:
    from elphant.phonon.adapters import phonopy_adapter, symfc_adapter

    phonopy = _phonopy(plan)
    relative, used, held = forces[1:] - forces[0], plan.fitted, list(plan.held_out)
    check_memory(plan.n_parameters, plan.supercell.n_atoms, plan.cutoffs)
    second, n_parameters = symfc_adapter.fit_second(
        phonopy, plan.displacements[used], relative[used]
    )
    unsymmetrized = None
    if plan.method == "finite-difference":
        unsymmetrized = phonopy_adapter.unsymmetrized_second(
            phonopy, plan.displacements[used], relative[used]
        )
    return _PlanFit(
        plan=plan,
        phonopy=phonopy,
        constants={2: second},
        fourth=None,
        n_parameters={2: n_parameters},
        errors=LinearFit({}, {}, {}, {}),
        residual_force=float(np.abs(forces[0]).max()),
        held_out_forces=relative[held],
        predicted={2: symfc_adapter.predict_second(phonopy, second, plan.displacements[held])},
        unsymmetrized=unsymmetrized,
    )


def _fit_joint(plan: DisplacementPlan, forces: Array) -> _PlanFit:
    from elphant.phonon.adapters import cluster_adapter

    phonopy = _phonopy(plan)
    relative, used, held = forces[1:] - forces[0], plan.fitted, list(plan.held_out)
    check_memory(plan.n_parameters, plan.supercell.n_atoms, plan.cutoffs)
    bases = {
        order: cluster_adapter.order_basis(phonopy, order, cutoff)
        for order, cutoff in plan.cutoffs.items()
    }
    translations = cluster_adapter.supercell_symmetry(phonopy).translations
    solution = fit_parameters(bases, plan.displacements[used], relative[used], translations)
    blocks = {order: basis.blocks(solution.parameters[order]) for order, basis in bases.items()}
    members = {order: basis.members for order, basis in bases.items()}
    fourth = None
    if 4 in bases:
        numbered = cluster_adapter.home_numbers(phonopy, members[4])
        fourth = cluster_adapter.supercell_to_clusters(phonopy, numbered, blocks[4])
    return _PlanFit(
        plan=plan,
        phonopy=phonopy,
        constants={
            order: cluster_adapter.dense_constants(phonopy, members[order], blocks[order])
            for order in (2, 3)
        },
        fourth=fourth,
        n_parameters={order: basis.n_parameters for order, basis in bases.items()},
        errors=solution,
        residual_force=float(np.abs(forces[0]).max()),
        held_out_forces=relative[held],
        predicted={
            order: polynomial_forces(
                members[order], blocks[order], plan.displacements[held], translations
            )
            for order in bases
        },
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
        if plan.over_determination[order] < 1.0:
            raise underdetermined(
                {k: plan.n_parameters[k] for k in plan.orders},
                per_set * plan.n_equation_sets[order],
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
        n_parameters |= {k: n for k, n in joint.n_parameters.items() if k > 2}
        if joint.fourth is not None:
            sums["4"] = joint.fourth.sum_rule_residual()
            exchange["4"] = joint.fourth.permutation_residual()
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
        cross_validation_rmse=dict(joint.errors.cross_validation_rmse) if joint else {},
        unexplained_share=dict(joint.errors.unexplained_share) if joint else {},
        parameter_error=dict(joint.errors.relative_error) if joint else {},
    )


def _measure(fit: _PlanFit, rmse: dict[str, float], r2: dict[str, float]) -> None:
    """Add the held-out errors of one plan to the two records."""
    if not len(fit.held_out_forces):
        return
    total = np.zeros_like(fit.held_out_forces)
    predictions = {}
    for order in sorted(fit.predicted):
        total = total + fit.predicted[order]
        last = order == max(fit.predicted)
        predictions[fit.plan.label + ("" if last else f"_order{order}_only")] = total
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


def _share_flags(joint: _PlanFit | None, rmse: dict[str, float]) -> list[QualityFlag]:
    """Return how much of the forces of third and fourth order the fit leaves unexplained.

    What it leaves (clusters beyond the cut-off, higher orders) acts as noise on the constants, and
    noise adds to ``|V3|²``: the conductivity then comes out too low. R² of the whole force hides
    this, because nine tenths and more of it are second order. With the fourth order the shares
    come from cross-validation, which tells the orders apart by their parity.
    """
    shares: dict[int, float] = {}
    if joint is not None and joint.fourth is not None:
        shares = joint.errors.unexplained_share
    elif "third" in rmse and rmse.get("third_order2_only"):
        shares = {3: (rmse["third"] / rmse["third_order2_only"]) ** 2}
    return [
        check_below(
            f"force_fit_{name}_order_share",
            shares[order],
            limit,
            f"the fit leaves {100 * shares[order]:.1f} % of the variance of the {name}-order "
            f"forces unexplained, which lowers the conductivity; a larger cutoff_{name} or more "
            "oversampling helps",
        )
        for order, name, limit in (
            (3, "third", THIRD_ORDER_SHARE_LIMIT),
            (4, "fourth", FOURTH_ORDER_SHARE_LIMIT),
        )
        if order in shares
    ]


def _parameter_flags(joint: _PlanFit | None) -> list[QualityFlag]:
    errors = joint.errors.relative_error if joint else {}
    return [
        check_below(
            f"force_constant_error_{order}",
            error,
            PARAMETER_ERROR_LIMIT[order],
            f"standard error of the order-{order} force constants: {100 * error:.2g} % of their "
            "norm (jackknife over the snapshots)",
        )
        for order, error in sorted(errors.items())
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
    flags += _share_flags(joint, rmse)
    flags += _parameter_flags(joint)
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
    scales = {2: np.abs(harmonic.constants[2]).max()}
    if joint is not None:
        scales[3] = np.abs(joint.constants[3]).max()
        if joint.fourth is not None:
            scales[4] = np.abs(joint.fourth.blocks).max(initial=0.0)
    flags += [
        check_below(
            f"sum_rule_{order}",
            sums[str(order)] / (float(scale) or 1.0),
            SUM_RULE_LIMIT,
            f"acoustic sum rule of order {order} holds to {sums[str(order)]:.1g} eV/Å^{order}",
        )
        for order, scale in scales.items()
    ]
    return flags

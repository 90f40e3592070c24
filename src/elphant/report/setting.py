"""Match the crystal axes of runs that use different cells, through the standard setting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.errors import ConfigurationError
from elphant.report.electron_records import EffectiveMass
from elphant.report.mobility_records import Mobility
from elphant.report.records import ThermalConductivity
from elphant.report.run_data import RunData

Array = NDArray[np.float64]

#: Numbers of the orthorhombic space groups.
ORTHORHOMBIC = range(16, 75)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetSetting:
    """The axes in which runs are compared.

    Attributes
    ----------
    symbol : str
        Symbol of the setting, for example ``Pbnm``.
    standard_symbol : str
        Symbol of the standard setting, for example ``Pnma``.
    axes_in_standard : ndarray, (3, 3)
        Rows: a, b, c of the target in terms of the standard a, b, c.
    """

    symbol: str
    standard_symbol: str
    axes_in_standard: Array

    def describe(self, axis: str) -> str:
        """Return ``b`` or, where the target is not the standard setting, ``b (Pnma c)``."""
        row = self.axes_in_standard[AXES.index(axis)]
        if self.symbol == self.standard_symbol:
            return axis
        terms = [
            f"{'−' if value < 0 else ''}{name}"
            for value, name in zip(row, AXES, strict=True)
            if abs(value) > 1e-6
        ]
        return f"{axis} ({self.standard_symbol} {' + '.join(terms)})"


def space_group_number(run: RunData) -> int:
    """Return the number of the space group, from its label ``Pnma (62)``; 0 when absent."""
    match = re.search(r"\((\d+)\)", run.frame.space_group)
    return int(match[1]) if match else 0


def target_setting(runs: Sequence[RunData], setting: str | None = None) -> TargetSetting:
    """Return the setting of that name for the space group of the first run.

    Without a name the standard setting. Known names are the permuted orthorhombic settings and the
    settings of the runs themselves.

    Raises
    ------
    ConfigurationError
        If the space group has no setting of that name.
    """
    first = runs[0]
    standard = first.frame.space_group.split(" ")[0]
    choices = {standard: np.eye(3)}
    if space_group_number(first) in ORTHORHOMBIC:
        choices = permuted_settings(standard)
    for run in runs:
        if run.frame.space_group == first.frame.space_group:
            # (a b c) = (a_s b_s c_s) P for column vectors: rows are those of the transpose.
            choices.setdefault(run.frame.setting, run.frame.transformation.T)
    name = setting or standard
    if name not in choices:
        raise ConfigurationError(
            f"space group {first.frame.space_group} has no setting {name!r}.",
            "Only settings that rename the axes, and those of the runs, can be compared in.",
            f"Use one of: {', '.join(sorted(choices))}.",
        )
    return TargetSetting(symbol=name, standard_symbol=standard, axes_in_standard=choices[name])


def permuted_settings(symbol: str) -> dict[str, Array]:
    """Return the settings of an orthorhombic group that permute its axes.

    The symbol gives one symmetry element per axis. In a setting with (a, b, c) = (c, a, b) of the
    standard one, the element of the standard c comes first, and glides along a standard axis get
    its new name: ``Pnma`` becomes ``Pbnm``. One-sided lattices (A, B, C) are renamed likewise.

    Returns
    -------
    dict of str to ndarray (3, 3)
        Symbol to rows: a, b, c of the setting in terms of the standard axes. Signs are left out;
        they do not matter for directions.
    """
    lattice, elements = symbol[0], re.findall(r"\d(?:_\d)?|[a-z]", symbol[1:])
    if len(elements) != 3:
        return {symbol: np.eye(3)}
    settings: dict[str, Array] = {}
    for order in permutations(range(3)):
        new_name = {AXES[old]: AXES[new] for new, old in enumerate(order)}
        new_name |= {old.upper(): new.upper() for old, new in new_name.items()}
        parts = [new_name.get(elements[old], elements[old]) for old in order]
        name = new_name.get(lattice, lattice) + "".join(parts)
        settings.setdefault(name, np.eye(3)[list(order)])
    return settings


def target_lattice(run: RunData, target: TargetSetting) -> Array:
    """Return a, b, c of the target setting as rows (3, 3) Å in the run's own Cartesian frame.

    The standard axes follow from ``x_standard = P x``: as rows they are ``P^-T`` times the
    lattice of the run. Nothing is rotated: directions are found in the frame of the tensor.
    """
    standard = np.linalg.inv(run.frame.transformation).T @ run.frame.lattice
    return np.asarray(target.axes_in_standard @ standard)


def conductivity_along(
    run: RunData, record: ThermalConductivity, target: TargetSetting
) -> dict[str, float]:
    """Return n·κ·n along a, b and c of the target setting."""
    return tensor_along(run, np.array(record.cartesian), target)


def tensor_along(run: RunData, tensor: Array, target: TargetSetting) -> dict[str, float]:
    """Return n·T·n of a tensor (3, 3) in the frame of the run, for a, b, c of the target."""
    directions = target_lattice(run, target)
    directions = directions / np.linalg.norm(directions, axis=1)[:, None]
    values = np.einsum("ni,ij,nj->n", directions, tensor, directions)
    return {axis: float(value) for axis, value in zip(AXES, values, strict=True)}


def own_axis(run: RunData, target: TargetSetting, axis: str) -> str:
    """Return the name the run itself gives to a target axis, for example ``c``; or ``[uvw]``."""
    direction = target_lattice(run, target)[AXES.index(axis)]
    label = run.frame.direction_label(direction)
    simple = {"[100]": "a", "[010]": "b", "[001]": "c"}
    unsigned = label.replace("\u0305", "")
    return simple.get(unsigned, label)


def errors_along(
    run: RunData, record: ThermalConductivity, target: TargetSetting
) -> dict[str, float] | None:
    """Return the standard errors along the target axes; None where these are no axes of the run.

    The errors are known along the run's own axes only: they can be renamed, not interpolated.
    """
    if record.standard_error is None:
        return None
    names = {axis: own_axis(run, target, axis) for axis in AXES}
    if not set(names.values()) <= set(AXES):
        return None
    return {axis: record.standard_error[own] for axis, own in names.items()}


def masses_along(
    run: RunData, record: EffectiveMass, target: TargetSetting
) -> dict[str, float | None]:
    """Return the mass (m_e) along a, b and c of the target setting, ``1 / (n·M^-1·n)``.

    Without a tensor (degenerate edges) the masses are known along the run's own axes only: they
    can be renamed; None where the target axis is no axis of the run.
    """
    if record.inverse_tensor is None and record.tensor is None:
        names = {axis: own_axis(run, target, axis) for axis in AXES}
        return {axis: record.axes.get(own) for axis, own in names.items()}
    inverse = np.array(record.inverse_tensor or np.linalg.inv(np.array(record.tensor)))
    directions = target_lattice(run, target)
    directions = directions / np.linalg.norm(directions, axis=1)[:, None]
    values = np.einsum("ni,ij,nj->n", directions, inverse, directions)
    return {
        axis: float(1 / value) if value else None for axis, value in zip(AXES, values, strict=True)
    }


def mobility_along(
    run: RunData, record: Mobility, target: TargetSetting
) -> dict[str, float | None]:
    """Return n·μ·n (cm² V⁻¹ s⁻¹) along a, b and c of the target setting.

    Without a tensor the values along the run's own axes can be renamed; None where the target axis
    is no axis of the run.
    """
    if record.cartesian is None:
        return {axis: record.axes.get(own_axis(run, target, axis)) for axis in AXES}
    return dict(tensor_along(run, np.array(record.cartesian), target))

"""Match the crystal axes of runs that use different cells, through the standard setting."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.errors import ConfigurationError
from elphant.report.run_data import RunData, ThermalConductivity

Array = NDArray[np.float64]


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


def target_setting(run: RunData, setting: str | None = None) -> TargetSetting:
    """Return the setting of that name for the space group of ``run``; the standard one for None.

    Raises
    ------
    ConfigurationError
        If the space group has no setting of that name.
    """
    standard = run.frame.space_group.split(" ")[0]
    if setting in (None, "", standard):
        return TargetSetting(symbol=standard, standard_symbol=standard, axes_in_standard=np.eye(3))
    choices = _orthorhombic_choices(space_group_number(run))
    if setting not in choices:
        known = ", ".join(sorted({standard, *choices}))
        raise ConfigurationError(
            f"space group {run.frame.space_group} has no setting {setting!r}.",
            "Only settings that rename the axes can be compared in.",
            f"Use one of: {known}.",
        )
    assert setting is not None
    return TargetSetting(
        symbol=setting, standard_symbol=standard, axes_in_standard=choices[setting]
    )


def _orthorhombic_choices(number: int) -> dict[str, Array]:
    """Return settings that permute the axes: symbol to rows in terms of the standard axes.

    spglib names the choice by the standard axes that become a, b, c: ``cab`` means
    (a, b, c) = (c, a, b) of the standard setting; a minus sign reverses the axis after it.
    """
    import spglib

    choices: dict[str, Array] = {}
    for hall_number in range(1, 531):
        kind = spglib.get_spacegroup_type(hall_number)
        if kind is None or kind.number != number:
            continue
        terms = re.findall(r"(-?)([abc])", kind.choice)
        if sorted(name for _, name in terms) != list(AXES):
            continue
        rows = np.zeros((3, 3))
        for row, (sign, name) in zip(rows, terms, strict=True):
            row[AXES.index(name)] = -1.0 if sign else 1.0
        choices.setdefault(kind.international_short, rows)
    return choices


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
    tensor = np.array(record.cartesian)
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

"""Force asymmetry by atom and direction, and the energy curves of the most asymmetric ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elphant.crystal import AXES
from elphant.report.plots.appearance import (
    AXIS_COLOURS,
    BLUE,
    GREEN,
    GREY,
    INK,
    VERMILION,
    axis_label,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.records import ForceAsymmetry
from elphant.report.run_data import RunData

AXIS_HATCHES = dict(zip(AXES, ("", "///", "..."), strict=True))
_CURVES = ((BLUE, "o", "-"), (VERMILION, "s", (0, (5, 1.5))), (GREEN, "^", (0, (1.5, 1))))
MILLI = 1000.0  # meV of eV


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw the asymmetry per atom and axis, and energies without their harmonic part."""
    records = run.force_asymmetry
    curves = most_asymmetric(records)
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 3.0), gridspec_kw={"width_ratios": [1.25, 1]})
        draw_by_atom(axes[0], run, {(r.atom, r.axis or ""): 100 * r.value for r in records})
        axes[0].set_ylabel("Force asymmetry (%)")
        if curves:
            _draw_curves(axes[1], curves, atom_names(run, [r.atom for r in records]))
        axes[0].legend(loc="upper right", fontsize=7)
        panel_letter(axes)
    return figure


def draw_by_atom(ax: Axes, run: RunData, values: dict[tuple[int, str], float]) -> None:
    """Draw grouped bars: one group per inequivalent atom, one bar per axis."""
    atoms = list(dict.fromkeys(atom for atom, _ in values))
    width = 0.8 / len(AXES)
    for i, axis in enumerate(AXES):
        heights = [values.get((atom, axis), np.nan) for atom in atoms]
        ax.bar(
            np.arange(len(atoms)) + (i - 1) * width, heights, 0.92 * width,
            color=AXIS_COLOURS[axis], hatch=AXIS_HATCHES[axis], edgecolor="white", linewidth=0.5,
            label=axis_label(run, axis),
        )  # fmt: skip
    names = atom_names(run, atoms)
    ax.set_xticks(np.arange(len(atoms)), [names[atom] for atom in atoms])
    ax.tick_params(axis="x", length=0)
    finite = [value for value in values.values() if np.isfinite(value)]
    ax.set_ylim(0, 1.3 * max(finite, default=1.0) or 1.0)
    ax.set_xlim(-0.6, len(atoms) - 0.4)


def atom_names(run: RunData, atoms: Sequence[int]) -> dict[int, str]:
    """Return ``Sb1``, ``Sb2``, ``Se1`` … for inequivalent atoms in the order of their index."""
    names, counts = {}, dict.fromkeys(run.crystal.elements, 0)
    elements = [run.crystal.symbols[atom] for atom in sorted(set(atoms))]
    for atom, element in zip(sorted(set(atoms)), elements, strict=True):
        counts[element] += 1
        names[atom] = f"{element}{counts[element]}" if elements.count(element) > 1 else element
    return names


def most_asymmetric(records: Sequence[ForceAsymmetry], n: int = 3) -> list[ForceAsymmetry]:
    """Return the records with the largest asymmetry that have an energy curve."""
    with_curve = [r for r in records if len(r.energies) > 2 and r.value > 1e-3]
    return sorted(with_curve, key=lambda r: -r.value)[:n]


def _draw_curves(ax: Axes, curves: Sequence[ForceAsymmetry], names: dict[int, str]) -> None:
    for record, (colour, marker, style) in zip(curves, _CURVES, strict=False):
        u, energy = np.array(record.displacements), np.array(record.energies)
        order = np.argsort(u)
        label = f"{names[record.atom]} along {record.axis}"
        ax.plot(u[order], MILLI * energy[order], marker, color=colour, ms=4, mec="white", mew=0.5)
        fine = np.linspace(u.min(), u.max(), 101)
        ax.plot(fine, MILLI * _fit(record, fine), color=colour, ls=style, lw=1.2, label=label)
        quadratic = 0.5 * (record.quadratic or 0.0) * fine**2
        ax.plot(fine, MILLI * quadratic, color=colour, lw=0.6, alpha=0.7)
    ax.plot([], [], color=GREY, lw=0.6, label="thin: harmonic part")
    ax.axvline(0, color=INK, lw=0.5)
    top = max(MILLI * max(record.energies) for record in curves)
    ax.set_ylim(-0.03 * top, 1.55 * top)
    ax.set_xlabel("Displacement u (Å)")
    ax.set_ylabel("Energy (meV)")
    ax.legend(loc="upper center", fontsize=7)


def _fit(record: ForceAsymmetry, u: np.ndarray) -> np.ndarray:
    """Return the curve through the points; between them a spline, as the fit has higher terms."""
    from scipy.interpolate import CubicHermiteSpline

    order = np.argsort(record.displacements)
    x, y = np.array(record.displacements)[order], np.array(record.energies)[order]
    slope = -np.array(record.forces)[order]
    return np.asarray(CubicHermiteSpline(x, y, slope)(u))


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per atom and direction, and the curves as a second table."""
    records = run.force_asymmetry
    names = atom_names(run, [r.atom for r in records])
    first: dict[str, list[object]] = {
        "atom": [r.atom for r in records],
        "name": [names[r.atom] for r in records],
        "axis": [r.axis or "" for r in records],
        "amplitude (Å)": [_number(r.amplitude) for r in records],
        "asymmetry along the axis (1)": [r.value for r in records],
        "asymmetry of the vector (1)": [_number(r.vector_value) for r in records],
        "quadratic (eV/Å^2)": [_number(r.quadratic) for r in records],
        "cubic (eV/Å^3)": [_number(r.cubic) for r in records],
        "quartic (eV/Å^4)": [_number(r.quartic) for r in records],
        "residual of the fit (eV)": [_number(r.fit_residual) for r in records],
        "third-order constant on site (eV/Å^3)": [_number(r.third_order_on_site) for r in records],
        "norm of the third order (eV/Å^3)": [_number(r.third_order_norm) for r in records],
    }
    curves: dict[str, list[object]] = {
        name: [] for name in ("name", "axis", "displacement (Å)", "energy (eV)", "force (eV/Å)")
    }
    for r in records:
        for u, energy, force in zip(r.displacements, r.energies, r.forces, strict=True):
            row = (names[r.atom], r.axis or "", u, energy, force)
            for column, value in zip(curves.values(), row, strict=True):
                column.append(value)
    result = [DataTable(columns=first)]  # type: ignore[arg-type]
    if curves["name"]:
        result.append(DataTable(columns=curves, suffix="curves"))  # type: ignore[arg-type]
    return tuple(result)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def caption(run: RunData) -> str:
    """Return the caption."""
    records = run.force_asymmetry
    names = atom_names(run, [r.atom for r in records])
    largest = max(records, key=lambda r: r.value)
    at = f" at u = {largest.amplitude:g} Å" if largest.amplitude else ""
    text = (
        "(a) Asymmetry of the force on one atom that is displaced alone by ±u along a crystal "
        f"axis{at}: |f(+u) + f(−u)| over |f(+u)| + |f(−u)| for the force f along the axis, 0 % in "
        f"a harmonic well. It is largest for {names[largest.atom]} along "
        f"{largest.axis}, {100 * largest.value:.0f} %."
    )
    if any(r.symmetric for r in records):
        axes = sorted({r.axis for r in records if r.symmetric and r.axis})
        text += f" The site symmetry makes it zero for some atoms along {', '.join(axes)}."
    if most_asymmetric(records):
        text += (
            " (b) Energy along the most asymmetric directions: points computed, lines through "
            "energies and forces, thin lines the harmonic part."
        )
    return text


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    names = atom_names(run, [r.atom for r in run.force_asymmetry])
    parts = [f"{names[r.atom]} {r.axis} {100 * r.value:.0f}" for r in run.force_asymmetry]
    return f"Bar chart of the force asymmetry in percent: {', '.join(parts)}; energy curves beside."


def applies(run: RunData) -> bool:
    """Return whether atoms were scanned."""
    return bool(run.force_asymmetry)


SPEC = FigureSpec(
    name="force-asymmetry",
    title="Force asymmetry of single atoms",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    applies=applies,
)

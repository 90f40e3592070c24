"""The ladder: conductivity along a, b, c at every level of theory, the wave-like part on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from elphant.crystal import AXES
from elphant.report.ladder import Rung, ladder
from elphant.report.plots.appearance import (
    BLUE,
    INK,
    KAPPA_LABEL,
    ORANGE,
    SKY,
    VERMILION,
    axis_label,
    house_style,
    overlined,
    panels,
    plain,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.records import LEVELS
from elphant.report.run_data import RunData
from elphant.report.text import listing, number

#: Harmonic phonons in blue, self-consistent ones in orange; the darker tone has four phonons.
LEVEL_COLOURS = dict(zip(LEVELS, (SKY, BLUE, ORANGE, VERMILION), strict=True))
WAVE_HATCH = "//////"
#: With more bars than this in a panel their values would overlap: the table has them.
MOST_LABELS = 6


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw one panel per axis with one bar per level."""
    rungs = ladder(run)
    titles = [axis_label(run, axis).replace(" = ", "\n") for axis in AXES]
    return plot_groups({"": rungs}, titles, ax)


def plot_groups(
    groups: dict[str, tuple[Rung, ...]],
    titles: Sequence[str],
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Draw one panel per axis; in it one group of bars per run, one bar per level.

    Parameters
    ----------
    groups : dict
        Label of each run to its rungs.
    titles : sequence of str
        Title of each panel.
    """
    several = len(groups) > 1
    with house_style():
        height = 3.3 if several else 3.0
        figure, axes = panels(ax, 3, figsize=(7.0, height))
        for panel, axis, title in zip(axes, AXES, titles, strict=True):
            _draw_panel(panel, groups, axis)
            panel.set_title(overlined(title), loc="left")
        axes[0].set_ylabel(KAPPA_LABEL)
        figure.legend(
            handles=_handles(groups), loc="outside lower center", ncols=6, columnspacing=1.4,
            handlelength=1.4,
        )  # fmt: skip
    return figure


def _draw_panel(ax: Axes, groups: dict[str, tuple[Rung, ...]], axis: str) -> None:
    levels = _levels(groups)
    several = len(groups) > 1
    width = 0.84 / len(levels) if several else 0.72
    ticks, names, top = [], [], 0.0
    n_bars = sum(len(rungs) for rungs in groups.values())
    for g, (label, rungs) in enumerate(groups.items()):
        for rung in rungs:
            i = levels.index(rung.level)
            x = g + (i - (len(levels) - 1) / 2) * width if several else float(i)
            height = _draw_rung(ax, rung, axis, x, 0.92 * width, labelled=n_bars <= MOST_LABELS)
            top = max(top, height)
        if several:
            ticks.append(float(g))
            names.append(_wrapped(plain(label)))
    if not several:
        ticks = [float(i) for i in range(len(levels))]
        names = [level.replace("+", "\n") for level in levels]
    ax.set_xticks(ticks, names, fontsize=7 if several else 7.5)
    ax.tick_params(axis="x", length=0)
    ax.set_ylim(0, 1.12 * top if top > 0 else 1.0)
    margin = 0.6 if several else 0.65
    ax.set_xlim(-margin, (len(groups) if several else len(levels)) - 1 + margin)


def _draw_rung(ax: Axes, rung: Rung, axis: str, x: float, width: float, *, labelled: bool) -> float:
    """Draw one bar; return the height of everything."""
    colour = LEVEL_COLOURS[rung.level]
    wave = rung.wave
    bottom = rung.total[axis] if wave is None else rung.particle[axis]  # type: ignore[index]
    ax.bar(x, bottom, width, color=colour, edgecolor=INK, linewidth=0.5)
    if wave is not None:
        ax.bar(
            x, wave[axis], width, bottom=bottom, facecolor="white", edgecolor=colour,
            hatch=WAVE_HATCH, linewidth=0.0,
        )  # fmt: skip
        ax.bar(x, wave[axis], width, bottom=bottom, fill=False, edgecolor=INK, linewidth=0.5)
    total = rung.total[axis]
    error = rung.error[axis] if rung.error else 0.0
    if error > 0:
        ax.errorbar(x, total, yerr=error, color=INK, capsize=2.2, lw=0.9, capthick=0.9)
    if labelled:
        ax.annotate(
            number(total, 3), (x, total + error), xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize=7.5, color=INK,
        )  # fmt: skip
    return max(total + error, bottom)


def _levels(groups: dict[str, tuple[Rung, ...]]) -> list[str]:
    present = {rung.level for rungs in groups.values() for rung in rungs}
    return [level for level in LEVELS if level in present]


def _handles(groups: dict[str, tuple[Rung, ...]]) -> list[Patch]:
    handles = []
    if len(groups) > 1:
        handles += [
            Patch(facecolor=LEVEL_COLOURS[level], edgecolor=INK, lw=0.5, label=level)
            for level in _levels(groups)
        ]
    if any(rung.wave for rungs in groups.values() for rung in rungs):
        if len(groups) == 1:
            handles.append(Patch(facecolor="#9a9a9a", edgecolor=INK, lw=0.5, label="particle-like"))
        handles.append(
            Patch(facecolor="white", edgecolor="#6a6a6a", hatch=WAVE_HATCH, lw=0.5,
                  label="wave-like (coherence)")
        )  # fmt: skip
    return handles


def _wrapped(label: str, width: int = 16) -> str:
    """Break a long label of a run at blanks."""
    lines = [""]
    for word in label.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per level and axis."""
    return rung_tables({"": ladder(run)}, list(AXES))


def rung_tables(
    groups: dict[str, tuple[Rung, ...]], axis_names: Sequence[str]
) -> tuple[DataTable, ...]:
    """Return one row per run, level and axis."""
    columns: dict[str, list[object]] = {
        name: []
        for name in (
            *(["run"] if len(groups) > 1 else []), "level", "solver", "axis", "temperature (K)",
            "kappa of particles (W/m/K)", "kappa wave-like (W/m/K)", "kappa total (W/m/K)",
            "standard error (W/m/K)",
        )
    }  # fmt: skip
    for label, rungs in groups.items():
        for rung in rungs:
            for axis, name in zip(AXES, axis_names, strict=True):
                row: list[object] = [label] if len(groups) > 1 else []
                wave, error = rung.wave, rung.error
                row += [
                    rung.level, rung.solver, name, rung.temperature,
                    np.nan if rung.particle is None else rung.particle[axis],
                    np.nan if wave is None else wave[axis],
                    rung.total[axis],
                    np.nan if error is None else error[axis],
                ]  # fmt: skip
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
    return (DataTable(columns=columns),)  # type: ignore[arg-type]


def caption(run: RunData) -> str:
    """Return the caption."""
    rungs = ladder(run)
    text = caption_of(rungs)
    first, last = rungs[0], rungs[-1]
    if len(rungs) > 1:
        changes = listing(
            [f"{100 * (last.total[a] / _base(first)[a] - 1):+.0f} % along {a}" for a in AXES]
        ).replace("-", "−")
        text += f" From {first.level} to {_name(last)}: {changes}."
    waves = [rung for rung in rungs if rung.wave]
    if waves:
        rung = waves[-1]
        assert rung.wave is not None
        shares = listing([f"{100 * rung.wave[a] / rung.total[a]:.0f} % along {a}" for a in AXES])
        text += f" At {rung.level} the wave-like part makes up {shares}."
    return text


def caption_of(rungs: Sequence[Rung]) -> str:
    """Return the words that hold for the ladders of one and of several runs."""
    temperatures = sorted({rung.temperature for rung in rungs})
    solvers = {"rta": "relaxation-time approximation", "bte": "full Boltzmann equation"}
    text = (
        f"Lattice thermal conductivity at {listing([f'{t:g} K' for t in temperatures])} by level "
        f"of theory ({solvers.get(rungs[0].solver, rungs[0].solver)}): HA harmonic and SCP "
        "self-consistent phonons, with three-phonon, or three- and four-phonon scattering."
    )
    if any(rung.wave for rung in rungs):
        text += " Hatched: the wave-like part."
    if any(rung.error for rung in rungs):
        text += " Bars of error: one standard error of the sampled four-phonon rates."
    return f"{text} Every panel has its own scale, which begins at zero."


def _base(rung: Rung) -> dict[str, float]:
    return rung.total if rung.particle is None else rung.particle


def _name(rung: Rung) -> str:
    return f"{rung.level} with coherence" if rung.coherence else rung.level


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    return alt_of({"": ladder(run)}, list(AXES))


def alt_of(groups: dict[str, tuple[Rung, ...]], axis_names: Sequence[str]) -> str:
    """Return every total in words."""
    parts = [
        f"{label + ' ' if label else ''}{_name(rung)}: "
        + ", ".join(
            f"{n} {number(rung.total[a], 3)}" for a, n in zip(AXES, axis_names, strict=True)
        )
        for label, rungs in groups.items()
        for rung in rungs
    ]
    return f"Bar chart of conductivity in watt per metre kelvin. {'; '.join(parts)}."


def applies(run: RunData) -> bool:
    """Return whether there is more than one level, or a wave-like part."""
    return run.is_ladder


SPEC = FigureSpec(
    name="conductivity-ladder",
    title="Thermal conductivity by level of theory",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    applies=applies,
)

"""Look of all figures: style sheet, colour-blind safe colours, names of axes and units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from elphant.crystal import AXES, CARTESIAN_AXES
from elphant.report.run_data import RunData
from elphant.report.text import fixed

#: Okabe and Ito's palette, distinguishable with every common colour-vision deficiency.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, YELLOW = "#CC79A7", "#E69F00", "#56B4E9", "#F0E442"
GREY, INK = "#7A7A7A", "#222222"

#: Colour and marker of the crystal axes; the markers tell them apart in a grey print.
AXIS_COLOURS = dict(zip(AXES, (BLUE, VERMILION, GREEN), strict=True))
#: Dashes of the axes: three curves that coincide, as in a cubic crystal, all stay visible.
AXIS_LINES: dict[str, Any] = dict(zip(AXES, ("-", (0, (5, 1.5)), (0, (1.5, 1))), strict=True))
AXIS_MARKERS = dict(zip(AXES, ("o", "s", "^"), strict=True))
#: Colours of runs in a comparison, and of elements, in order of appearance.
RUN_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY)
ELEMENT_COLOURS = (PURPLE, ORANGE, SKY, "#8C6D31", GREEN, GREY, YELLOW, BLUE, VERMILION)

KAPPA_LABEL = "κ (W m$^{-1}$ K$^{-1}$)"


@contextmanager
def house_style() -> Iterator[None]:
    """Apply elphant's style sheet on top of the user's, without touching global state after."""
    sheet = files("elphant.report") / "style" / "elphant.mplstyle"
    with as_file(sheet) as path:
        parameters = mpl.rc_params_from_file(str(path), use_default_template=False)
    with mpl.rc_context(parameters):
        yield


def new_figure(n_panels: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure without any global state, and its panels from left to right."""
    size = options.pop("figsize", None)
    figure = Figure(figsize=size)
    axes = figure.subplots(1, n_panels, squeeze=False, **options)
    return figure, list(axes[0])


def panels(
    ax: Axes | Sequence[Axes] | None, n_panels: int, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Return figure and panels: new ones, or those given by the caller."""
    if ax is None:
        return new_figure(n_panels, **options)
    given = [ax] if isinstance(ax, Axes) else list(ax)
    if len(given) != n_panels:
        raise ValueError(f"this figure has {n_panels} panels; {len(given)} axes were given")
    figure = given[0].get_figure(root=True)
    assert figure is not None
    return figure, given


def plain(text: str) -> str:
    """Return ``text`` so that matplotlib prints it literally (no mathematics)."""
    return text.replace("$", r"\$")


def overlined(text: str) -> str:
    """Turn digits with a combining overline, as in [1̅10], into mathematics."""
    return re.sub("(\\d)\u0305", r"$\\bar{\1}$", text)


def axis_label(run: RunData, axis: str) -> str:
    """Return ``b [010] ∥ y``: the crystal axis, its indices and its Cartesian direction."""
    index = AXES.index(axis)
    direction = run.frame.axis_directions[index]
    indices = "[" + "".join("1" if i == index else "0" for i in range(3)) + "]"
    for name, unit in zip(CARTESIAN_AXES, np.eye(3), strict=True):
        projection = float(direction @ unit)
        if abs(projection) > 1 - 1e-6:
            return f"{axis} {indices} ∥ {'' if projection > 0 else '−'}{name}"
    numbers = ", ".join(fixed(float(component), 2) for component in direction)
    return f"{axis} {indices} = ({numbers})"


def element_colours(run: RunData) -> dict[str, str]:
    """Return one colour per element, the same in every figure of a run."""
    return {
        element: ELEMENT_COLOURS[i % len(ELEMENT_COLOURS)]
        for i, element in enumerate(run.crystal.elements)
    }


def path_label(text: str) -> str:
    """Return seekpath's names as they are printed: ``GAMMA`` is Γ, ``SIGMA_0`` is Σ with index."""
    greek = {"GAMMA": "Γ", "SIGMA": "Σ", "DELTA": "Δ", "LAMBDA": "Λ"}
    name, _, index = text.partition("_")
    name = greek.get(name, name)
    return f"{name}$_{{{index}}}$" if index else name


def panel_letter(axes: Sequence[Axes]) -> None:
    """Mark the panels (a), (b), … above their upper left corners."""
    for letter, ax in zip("abcdef", axes, strict=False):
        title = ax.get_title(loc="left")
        ax.set_title(f"({letter})  {title}", loc="left")


def plain_decades(ax: Axes, low: float, high: float) -> None:
    """Label a logarithmic y axis with plain numbers; within two decades also 2 and 5 of each."""
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if high < 100 * low:
        ax.yaxis.set_minor_formatter(FuncFormatter(_two_and_five))
    else:
        ax.yaxis.set_minor_formatter(NullFormatter())


def _two_and_five(value: float, _position: int) -> str:
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def legend_entries(axes: Sequence[Axes]) -> tuple[list[Artist], list[str]]:
    """Return handles and labels of several panels, each label once."""
    found: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)

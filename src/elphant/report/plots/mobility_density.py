"""Mobility along a, b and c against the density of carriers."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elphant.crystal import AXES
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.plots.mobility_curves import curve, draw, table
from elphant.report.run_data import RunData
from elphant.report.text import listing, number


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw μ(n) at the temperature nearest to 300 K, both scales logarithmic."""
    return draw(run, ax, "density")


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per carrier, solver and density."""
    return table(run, "density")


def caption(run: RunData) -> str:
    """Return the caption."""
    temperature, _ = run.transport.reference
    text = f"Mobility against the density of carriers at {temperature:g} K. "
    for carrier in run.transport.carriers:
        records = curve(run, carrier, run.transport.solvers[-1], "density")
        if len(records) < 2:
            continue
        first, last = records[0], records[-1]
        ends = [
            f"{number(first.axes.get(a), 3)} to {number(last.axes.get(a), 3)} along {a}"
            for a in AXES
        ]
        text += f"{carrier.capitalize()}s, lowest to highest density: {listing(ends)}. "
    return text.strip()


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    return f"Line plots of mobility along a, b and c. {caption(run)}"


SPEC = FigureSpec(
    name="mobility-density",
    title="Mobility against the density of carriers",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    applies=lambda run: run.has_mobility and len(run.transport.densities) > 1,
)

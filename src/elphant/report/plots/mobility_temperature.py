"""Mobility along a, b and c against temperature."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elphant.crystal import AXES
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.plots.mobility_curves import curve, draw, exponent, table
from elphant.report.run_data import RunData
from elphant.report.text import fixed, listing, number


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw μ(T) at the lowest density, both scales logarithmic."""
    return draw(run, ax, "temperature")


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one row per carrier, solver and temperature."""
    return table(run, "temperature")


def caption(run: RunData) -> str:
    """Return the caption."""
    _, density = run.transport.reference
    text = f"Mobility against temperature at {number(density)} cm⁻³. "
    for carrier in run.transport.carriers:
        records = curve(run, carrier, run.transport.solvers[-1], "temperature")
        powers = {axis: exponent(records, axis, "temperature") for axis in AXES}
        known = [f"{fixed(p, 1)} along {axis}" for axis, p in powers.items() if p is not None]
        if known:
            text += f"Exponent of T for {carrier}s: {listing(known)}. "
    return text.strip()


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    return f"Line plots of mobility along a, b and c. {caption(run)}"


SPEC = FigureSpec(
    name="mobility-temperature",
    title="Mobility against temperature",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    applies=lambda run: run.has_mobility and len(run.transport.temperatures) > 1,
)

"""Spectral thermal conductivity and group velocity along a, b, c."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from elphant.crystal import AXES
from elphant.report.mode_table import LOWEST_FREQUENCY, ModeTable, mode_table, required_mode_table
from elphant.report.plots.appearance import (
    AXIS_COLOURS,
    AXIS_LINES,
    axis_label,
    house_style,
    panel_letter,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData
from elphant.units import KM_PER_S_PER_A_THZ

Array = NDArray[np.float64]
N_GRID = 240


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw κ per frequency and the root mean square velocity per axis."""
    modes = required_mode_table(run)
    grid, spectra, velocity = spectrum(modes)
    with house_style():
        figure, axes = panels(ax, 2, figsize=(7.0, 2.9), sharex=True)
        for i, axis in enumerate(AXES):
            colour = AXIS_COLOURS[axis]
            style = AXIS_LINES[axis]
            axes[0].fill_between(grid, spectra[i], color=colour, alpha=0.10, lw=0)
            axes[0].plot(grid, spectra[i], color=colour, ls=style)
            axes[1].plot(grid, velocity[i], color=colour, ls=style, label=axis_label(run, axis))
        axes[0].set_ylabel("κ(f) (W m$^{-1}$ K$^{-1}$ THz$^{-1}$)")
        axes[1].set_ylabel("rms group velocity (km s$^{-1}$)")
        axes[1].legend(loc="best")
        for panel in axes:
            panel.set_xlabel("Frequency (THz)")
            panel.set_xlim(0, grid[-1])
            panel.set_ylim(0, None)
        panel_letter(axes)
    return figure


def spectrum(modes: ModeTable) -> tuple[Array, Array, Array]:
    """Return a frequency grid (n_f,) THz, κ(f) (3, n_f) and rms velocities (3, n_f) km/s.

    Every mode is broadened by a Gaussian of 1.2 % of the highest frequency; modes whose Gaussian
    reaches below zero are mirrored at zero, so that the area under κ(f) stays κ.
    """
    live = modes.frequency > LOWEST_FREQUENCY
    frequency = modes.frequency[live]
    grid = np.linspace(0.0, 1.04 * float(frequency.max()), N_GRID)
    width = 0.012 * float(frequency.max())
    kernel = _gaussian(grid, frequency, width) + _gaussian(grid, -frequency, width)
    spectra = modes.total[live].T @ kernel
    weight = modes.weight[live]
    density = weight @ kernel
    squared = (weight[:, None] * modes.velocity[live] ** 2).T @ kernel
    # Where no mode lies (gaps) a ratio of two tails would be noise.
    inside = density > 1e-2 * density.max()
    ratio = np.divide(squared, density, out=np.full_like(squared, np.nan), where=inside)
    return grid, spectra, KM_PER_S_PER_A_THZ * np.sqrt(ratio)


def _gaussian(grid: Array, centres: Array, width: float) -> Array:
    scaled = (grid - centres[:, None]) / width
    return np.asarray(np.exp(-0.5 * scaled**2) / (width * np.sqrt(2 * np.pi)))


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return both curves on one grid."""
    grid, spectra, velocity = spectrum(required_mode_table(run))
    columns: dict[str, Array] = {"frequency (THz)": grid}
    for i, axis in enumerate(AXES):
        columns[f"spectral kappa along {axis} (W/m/K/THz)"] = spectra[i]
    for i, axis in enumerate(AXES):
        columns[f"rms group velocity along {axis} (km/s)"] = velocity[i]
    return (DataTable(columns=columns),)


def caption(run: RunData) -> str:
    """Return the caption."""
    modes = required_mode_table(run)
    grid, spectra, _ = spectrum(modes)
    peaks = ", ".join(
        f"{grid[spectra[i].argmax()]:.1f} THz along {axis}" for i, axis in enumerate(AXES)
    )
    return (
        f"(a) Spectral κ at {modes.temperature:g} K ({modes.method}); the area under a "
        f"curve is κ along that axis. It is largest at {peaks}. (b) Root mean square of the group "
        "velocity along each axis."
    )


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    return "Line plots of spectral conductivity and group velocity along a, b and c. " + caption(
        run
    )


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    modes = mode_table(run)
    if modes is None:
        return "the run has no mode-resolved conductivity"
    usable = (modes.frequency > LOWEST_FREQUENCY).any()
    return "" if usable else "all modes are imaginary"


SPEC = FigureSpec(
    name="spectral-conductivity",
    title="Spectral conductivity and group velocity",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_lattice_transport,
)

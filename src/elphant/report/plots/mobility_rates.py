"""Scattering rates of carriers against energy, by mechanism."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from elphant.report.mobility_records import REFERENCE_TEMPERATURE, CarrierRates
from elphant.report.plots.appearance import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    VERMILION,
    house_style,
    legend_entries,
    panels,
)
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData
from elphant.report.text import number
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS

Array = NDArray[np.float64]

MILLI = 1e3  # meV in eV
#: Label and look of the mechanisms; shapes differ, for a print in grey.
MECHANISMS: dict[str, tuple[str, dict[str, Any]]] = {
    "total": ("total", {"color": INK, "marker": ".", "alpha": 0.7, "zorder": 3}),
    "polar": ("polar (long range)", {"color": BLUE, "marker": "o", "alpha": 0.5}),
    "short": ("short range", {"color": VERMILION, "marker": "^", "alpha": 0.5}),
    "impurity": ("impurities", {"color": GREEN, "marker": "D", "alpha": 0.5}),
}
#: More points than this are drawn as one bitmap inside the vector file.
MANY_POINTS = 800
#: Fewer points than this are drawn larger.
FEW_POINTS = 80
#: Rates below this share of the median of their mechanism are not shown.
_LOWEST = 1e-3
_N_GRID = 240


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw 1/τ per mechanism, with the energies that carriers have shaded behind."""
    carriers = _carriers(run)
    with house_style():
        figure, axes = panels(
            ax, len(carriers), figsize=(7.0 if len(carriers) > 1 else 4.6, 3.3), sharey=True
        )
        for panel, carrier in zip(axes, carriers, strict=True):
            _draw_carrier(panel, run.carrier_rates[carrier])
            panel.set_title(f"{carrier}s")
            panel.set_xlabel("Energy from the band edge (meV)")
        axes[0].set_yscale("log")
        axes[0].set_ylim(*_limits(run))
        axes[0].set_ylabel("Scattering rate 1/τ (ps$^{-1}$)")
        handles, labels = legend_entries(axes)
        figure.legend(handles, labels, loc="outside lower center", ncols=6,
                      columnspacing=1.1, handlelength=1.5, fontsize=7)  # fmt: skip
    return figure


def _carriers(run: RunData) -> list[str]:
    return [c for c in run.transport.carriers if _positive(run.carrier_rates.get(c))]


def _positive(rates: CarrierRates | None) -> bool:
    return rates is not None and bool((rates.rates["total"] > 0).any())


def at_reference(rates: CarrierRates) -> tuple[float, dict[str, Array]]:
    """Return the temperature (K) nearest to 300 K and the rates (n,) ps⁻¹ there."""
    n_rows = len(rates.rates["total"])
    distance = np.abs(rates.temperature[:n_rows] - REFERENCE_TEMPERATURE)
    index = 0 if not np.isfinite(distance).any() else int(np.nanargmin(distance))
    kelvin = float(rates.temperature[index]) if len(rates.temperature) > index else float("nan")
    return kelvin, {name: v[index] for name, v in rates.rates.items() if len(v) > index}


def thermal_weight(rates: CarrierRates, temperature: float) -> tuple[Array, Array]:
    """Return energies (n,) eV and how many carriers have them, in units of the largest value.

    States weigh with their share of the zone times exp(-E/kT); each is broadened by a Gaussian of
    0.3 kT, mirrored at the band edge.
    """
    kt = BOLTZMANN_EV * temperature
    grid = np.linspace(0.0, float(rates.energy.max()), _N_GRID)
    weight = rates.weight * np.exp(-np.maximum(rates.energy, 0.0) / kt)
    width = 0.3 * kt
    density = sum(
        np.exp(-0.5 * ((grid[:, None] - sign * rates.energy) / width) ** 2) @ weight
        for sign in (1, -1)
    )
    values = np.asarray(density)
    return grid, values / (values.max() or 1.0)


def _draw_carrier(ax: Axes, rates: CarrierRates) -> None:
    temperature, found = at_reference(rates)
    energy = MILLI * rates.energy
    if np.isfinite(temperature):
        _shade(ax, rates, temperature)
        kt = BOLTZMANN_EV * temperature
        ax.axhline(kt / HBAR_EV_PS, color=INK, lw=1.0, ls=(0, (4, 2)), label="ħ/τ = kT")
        ax.set_title(f"{temperature:g} K", loc="right", fontweight="normal", fontsize=8)
    for name, (label, options) in MECHANISMS.items():
        values = found.get(name)
        some = values > 0 if values is not None else np.zeros(0, dtype=bool)
        if values is not None and some.any():
            n_points = int(some.sum())
            ax.scatter(
                energy[some], values[some], s=9 if n_points > FEW_POINTS else 22, lw=0,
                label=label, rasterized=n_points > MANY_POINTS, **options,
            )  # fmt: skip
    ax.set_xlim(0, 1.02 * float(energy.max()))


def _shade(ax: Axes, rates: CarrierRates, temperature: float) -> None:
    grid, density = thermal_weight(rates, temperature)
    behind = ax.twinx()
    behind.fill_between(MILLI * grid, density, color=ORANGE, alpha=0.22, lw=0)
    behind.set_ylim(0, 1.25)
    behind.set_yticks([])
    # The shading lies behind the points.
    ax.set_zorder(behind.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.fill_between([], [], color=ORANGE, alpha=0.22, lw=0, label="where carriers are")


def _limits(run: RunData) -> tuple[float, float]:
    values: list[float] = []
    for carrier in _carriers(run):
        temperature, found = at_reference(run.carrier_rates[carrier])
        for name in MECHANISMS:
            rate = found.get(name)
            if rate is not None and (rate > 0).any():
                positive = rate[rate > 0]
                low = max(float(positive.min()), _LOWEST * float(np.median(positive)))
                values += [low, float(positive.max())]
        if np.isfinite(temperature):
            values.append(BOLTZMANN_EV * temperature / HBAR_EV_PS)
    return min(values) / 2, 2 * max(values)


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return one table per carrier, with one row per irreducible state."""
    result = []
    for carrier in _carriers(run):
        rates = run.carrier_rates[carrier]
        temperature, found = at_reference(rates)
        columns: dict[str, Array] = {
            "energy from the band edge (eV)": rates.energy,
            "weight (1)": rates.weight,
        }
        for name, values in found.items():
            columns[f"{name} rate at {temperature:g} K (1/ps)"] = values
        result.append(DataTable(columns=columns, suffix=carrier))
    return tuple(result)


def typical(rates: CarrierRates) -> dict[str, float]:
    """Return the rate of each mechanism (ps⁻¹), averaged over the carriers near 300 K."""
    temperature, found = at_reference(rates)
    kt = BOLTZMANN_EV * (temperature if np.isfinite(temperature) else REFERENCE_TEMPERATURE)
    weight = rates.weight * np.exp(-np.maximum(rates.energy, 0.0) / kt)
    total = float(weight.sum()) or 1.0
    return {name: float(weight @ values) / total for name, values in found.items()}


def caption(run: RunData) -> str:
    """Return the caption."""
    text = (
        "Rates at which phonons (and impurities, where there are any) scatter carriers out of a "
        "state. Shaded: how many carriers have that energy; only rates there matter. Above the "
        "dashed line the width of a state exceeds kT. "
    )
    for carrier in _carriers(run):
        mean = typical(run.carrier_rates[carrier])
        parts = [
            f"{MECHANISMS[name][0]} {number(value, 2)}"
            for name, value in mean.items()
            if name in MECHANISMS and name != "total"
        ]
        text += f"Mean for {carrier}s: {number(mean['total'], 2)} ps⁻¹"
        text += f" ({', '.join(parts)})" if parts else ""
        text += ". "
    if any("interference" in run.carrier_rates[c].rates for c in _carriers(run)):
        text += (
            "The interference of both couplings, which can be negative, is in the total and is not "
            "drawn. "
        )
    return text.strip()


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    parts = [
        f"{carrier}s: {len(run.carrier_rates[carrier].energy)} states, mean total rate "
        f"{number(typical(run.carrier_rates[carrier])['total'], 2)} per picosecond"
        for carrier in _carriers(run)
    ]
    return f"Scatter plot of scattering rates against energy; {'; '.join(parts)}."


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    return "" if _carriers(run) else "the run has no scattering rates of carriers"


SPEC = FigureSpec(
    name="carrier-rates",
    title="Scattering rates of carriers",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_mobility,
)

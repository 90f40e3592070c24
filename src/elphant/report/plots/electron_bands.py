"""Electron bands along the path of the user's cell, with the density of states beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elphant.report.electron_arrays import ElectronBands
from elphant.report.electron_records import BandEdge
from elphant.report.plots.appearance import (
    BLUE,
    GREY,
    INK,
    VERMILION,
    element_colours,
    house_style,
    panels,
    path_label,
)
from elphant.report.plots.band_path import draw_path
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData
from elphant.report.text import fixed

#: Widest window of the energy axis around the valence-band maximum, eV.
LOWEST, HIGHEST = -6.0, 5.0
#: A band of the path shows an edge if it comes this close to its energy, eV.
ON_PATH = 0.01
#: Line style of each shell; the element gives the colour.
_SHELL_STYLES: dict[str, Any] = {"s": (0, (4, 1.5)), "p": "-", "d": (0, (1.2, 1)), "f": "-."}
#: Projections below this share of the states in the window are left out of the drawing.
_SMALLEST_SHARE = 0.04
#: Standard deviation (eV) of the Gaussian that smooths the drawn density of states: coarse meshes
#: give spikes where bands are flat between symmetry-equivalent points. The table is not smoothed.
DOS_SMOOTHING = 0.05
_EDGE_MARKS = {"valence": ("v", VERMILION), "conduction": ("^", BLUE)}


def plot(run: RunData, ax: Sequence[Axes] | None = None) -> Figure:
    """Draw bands and density of states side by side, with the edges and the gap."""
    bands = run.electron_bands
    assert bands is not None
    n_panels = 2 if run.electron_dos is not None else 1
    with house_style():
        ratios = {"width_ratios": [2.6, 1]} if n_panels == 2 else {}
        figure, axes = panels(
            ax, n_panels, figsize=(7.0, 3.9), sharey=n_panels == 2, gridspec_kw=ratios
        )
        low, high = energy_window(run)
        draw_bands(axes[0], bands, n_occupied(run))
        axes[0].set_ylim(low, high)
        axes[0].set_ylabel("Energy above the valence-band maximum (eV)")
        _draw_gap(axes, run)
        if n_panels == 2:
            _draw_dos(axes[1], run, (low, high))
    return figure


def energy_window(run: RunData) -> tuple[float, float]:
    """Return limits of the energy axis, eV: the valence bands and some width above the gap."""
    assert run.electron_bands is not None
    energy = run.electron_bands.energy
    gap = run.band_gap.value if run.band_gap else 0.0
    low = max(LOWEST, float(energy.min()) - 0.4)
    return low, min(max(HIGHEST, gap + 3.0), float(energy.max()) + 0.4)


def n_occupied(run: RunData) -> int | None:
    """Return the number of valence bands; None where the edges are not known."""
    gap = run.band_gap
    return None if gap is None or gap.conduction is None else gap.conduction.band


def draw_bands(
    ax: Axes,
    bands: ElectronBands,
    occupied: int | None = None,
    *,
    colours: tuple[str, str] = (VERMILION, BLUE),
    linestyle: Any = "-",
    label: str | None = None,
    distance: np.ndarray | None = None,
    label_distance: np.ndarray | None = None,
) -> None:
    """Draw bands, the valence and the conduction bands in two colours, and the path."""
    x = bands.distance if distance is None else distance
    n = bands.energy.shape[1] if occupied is None else occupied
    for segment in bands.segments:
        for part, colour in ((slice(0, n), colours[0]), (slice(n, None), colours[1])):
            energy = bands.energy[segment][:, part]
            lines = ax.plot(x[segment], energy, color=colour, lw=0.9, ls=linestyle)
            if label and segment.start == 0 and lines and part.start == 0:
                lines[0].set_label(label)
    places = bands.label_distance if label_distance is None else label_distance
    draw_path(ax, x, places, bands.labels)


def edge_places(run: RunData, name: str) -> np.ndarray:
    """Return the distances (1/Å) at which the path shows an edge; none if the edge is off it."""
    bands, edge = run.electron_bands, _edge(run, name)
    assert bands is not None
    if edge is None or edge.band >= bands.energy.shape[1]:
        return np.zeros(0)
    off = np.abs(bands.energy[:, edge.band] - edge.energy)
    # Of neighbouring points within the tolerance only the nearest counts.
    near = off < ON_PATH
    starts = np.flatnonzero(near & ~np.append(False, near[:-1]))
    ends = np.flatnonzero(near & ~np.append(near[1:], False)) + 1
    chosen = [i + int(off[i:j].argmin()) for i, j in zip(starts, ends, strict=True)]
    return np.asarray(bands.distance[chosen])


def _edge(run: RunData, name: str) -> BandEdge | None:
    edge = getattr(run.band_gap, name, None)
    assert edge is None or isinstance(edge, BandEdge)
    return edge


def _draw_gap(axes: Sequence[Axes], run: RunData) -> None:
    gap = run.band_gap
    if gap is None or gap.is_metal or gap.value <= 0:
        axes[0].axhline(0, color=INK, lw=0.6)
        return
    for panel in axes:
        panel.axhspan(0, gap.value, color="#f1f1f1", lw=0, zorder=-2)
        for energy in (0.0, gap.value):
            panel.axhline(energy, color=GREY, lw=0.6, ls=(0, (2, 2)), zorder=-1)
    for name, (marker, colour) in _EDGE_MARKS.items():
        edge, places = _edge(run, name), edge_places(run, name)
        if edge is not None and len(places):
            axes[0].plot(
                places, np.full(len(places), edge.energy), marker, color=colour, ms=6, mec="white",
                mew=0.7, zorder=5, clip_on=False, ls="none",
            )  # fmt: skip
    text = f"{gap.kind} gap {fixed(gap.value, 2)} eV".strip()
    # The text lies in the gap where it fits, else at the upper end, away from the band edges.
    low, high = axes[0].get_ylim()
    fits = gap.value > 0.075 * (high - low)
    axes[0].text(
        0.5, 0.5 * gap.value if fits else high - 0.02 * (high - low), text,
        transform=axes[0].get_yaxis_transform(), ha="center", va="center" if fits else "top",
        fontsize=7.5, color=INK, zorder=6,
        bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.2},
    )  # fmt: skip


def shown_projections(run: RunData, window: tuple[float, float]) -> list[str]:
    """Return the projections worth drawing: at most six, the largest share first."""
    dos = run.electron_dos
    assert dos is not None
    inside = (dos.energy >= window[0]) & (dos.energy <= window[1])
    total = float(dos.total[inside].sum()) or 1.0
    shares = {name: float(values[inside].sum()) / total for name, values in dos.projections.items()}
    large = [name for name, share in shares.items() if share > _SMALLEST_SHARE]
    return sorted(large, key=lambda name: -shares[name])[:6]


def _draw_dos(ax: Axes, run: RunData, window: tuple[float, float]) -> None:
    dos = run.electron_dos
    assert dos is not None
    total = _smoothed(dos.energy, dos.total)
    ax.fill_betweenx(dos.energy, total, color="#e6e6e6", lw=0)
    ax.plot(total, dos.energy, color=GREY, lw=0.9, label="total")
    colours = element_colours(run)
    for name in shown_projections(run, window):
        element, _, shell = name.partition("-")
        ax.plot(
            _smoothed(dos.energy, dos.projections[name]), dos.energy,
            color=colours.get(element, INK), lw=1.2,
            ls=_SHELL_STYLES.get(shell, "-"), label=f"{element} {shell}".strip(),
        )  # fmt: skip
    inside = (dos.energy >= window[0]) & (dos.energy <= window[1])
    ax.set_xlim(0, 1.08 * float(total[inside].max(initial=1e-9)))
    ax.set_xlabel("DOS (eV$^{-1}$ cell$^{-1}$)")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, columnspacing=0.9,
              handlelength=1.7, borderaxespad=0.2, fontsize=7)  # fmt: skip


def _smoothed(energy: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return ``values`` on equidistant energies convolved with a Gaussian."""
    if len(energy) < 2:
        return values
    width = DOS_SMOOTHING / float(energy[1] - energy[0])
    reach = np.arange(-np.ceil(5 * width), np.ceil(5 * width) + 1)
    kernel = np.exp(-0.5 * (reach / width) ** 2)
    # Beyond the window there are no data; the ends are continued as they are.
    padded = np.pad(values, len(reach) // 2, mode="edge")
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), mode="valid"))


def tables(run: RunData) -> tuple[DataTable, ...]:
    """Return the bands, and the density of states as a second table."""
    bands = run.electron_bands
    assert bands is not None
    columns: dict[str, np.ndarray] = {"path length (1/Å)": bands.distance}
    for i in range(3):
        columns[f"k{i + 1} (reciprocal lattice vectors)"] = bands.k_point[:, i]
    for band in range(bands.energy.shape[1]):
        columns[f"E{band + 1} (eV)"] = bands.energy[:, band]
    result = [DataTable(columns=columns)]
    if run.electron_dos is not None:
        unit = "(states/eV/cell)"
        dos = run.electron_dos
        parts = {f"DOS {name} {unit}": values for name, values in dos.projections.items()}
        first = {"energy (eV)": dos.energy, f"DOS total {unit}": dos.total}
        result.append(DataTable(columns={**first, **parts}, suffix="dos"))
    return tuple(result)


def k_text(edge: BandEdge) -> str:
    """Return ``Y (0, ½, 0)``-like text of an edge, with three decimals."""
    k = "(" + ", ".join(fixed(x, 3) for x in edge.k_point) + ")"
    if not edge.k_label:
        return k
    return f"{path_label(edge.k_label).replace('$_{', '').replace('}$', '')} {k}"


def caption(run: RunData) -> str:
    """Return the caption."""
    text = "Electron bands along the high-symmetry path of the user's own cell"
    if run.electron_dos is not None:
        text += (
            ", and density of states with its parts by element and shell, smoothed by "
            f"{DOS_SMOOTHING:g} eV"
        )
    text += "; zero is the valence-band maximum."
    gap = run.band_gap
    if gap is None:
        return text
    if gap.is_metal or gap.valence is None or gap.conduction is None:
        return f"{text} There is no gap."
    text += (
        f" {str(gap.kind).capitalize()} gap {fixed(gap.value, 3)} eV (shaded), valence edge at "
        f"{k_text(gap.valence)}, conduction edge at {k_text(gap.conduction)}; triangles mark the "
        "edges."
    )
    off = [name for name in _EDGE_MARKS if not len(edge_places(run, name))]
    if off:
        text += f" The {' and the '.join(off)} edge lies off the path: dashed lines show the level."
    return text


def alt(run: RunData) -> str:
    """Return the text for screen readers."""
    bands = run.electron_bands
    assert bands is not None
    gap = "" if run.band_gap is None else f", gap {run.band_gap.value:.2f} eV"
    return (
        f"Line plot of {bands.energy.shape[1]} electron bands along {', '.join(bands.labels)}"
        f"{gap}; density of states beside."
    )


def missing(run: RunData) -> str:
    """Say why the figure cannot be drawn."""
    return "" if run.electron_bands is not None else "the run has no electron bands"


SPEC = FigureSpec(
    name="electron-bands",
    title="Electron bands and density of states",
    plot=plot,
    tables=tables,
    caption=caption,
    alt=alt,
    missing=missing,
    applies=lambda run: run.has_electrons,
)

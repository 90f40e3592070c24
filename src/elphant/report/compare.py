"""Driver: put two or more runs side by side, along the same crystal directions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elphant.crystal import AXES
from elphant.errors import ConfigurationError, StoreError
from elphant.quality import Severity
from elphant.report.compare_electrons import compared_electrons_section
from elphant.report.compare_mobility import compared_mobility_section
from elphant.report.figure_files import write_files
from elphant.report.html import render_html
from elphant.report.ladder import Rung, ladder, ladder_solver
from elphant.report.model import Block, FigureBlock, Notice, Paragraph, Report, Section, Table
from elphant.report.plots import comparison, conductivity_ladder
from elphant.report.records import ThermalConductivity
from elphant.report.run_data import RunData
from elphant.report.sections.conductivity import UNIT
from elphant.report.sections.doubts import doubt_word, flag_title
from elphant.report.sections.model_card import card_rows
from elphant.report.setting import (
    TargetSetting,
    conductivity_along,
    own_axis,
    space_group_number,
    target_lattice,
    target_setting,
)
from elphant.report.text import (
    fixed,
    formula_text,
    listing,
    mesh_text,
    number,
    sentence,
    signed_percent,
    value_and_error,
)
from elphant.store.atomic import write_text

logger = logging.getLogger(__name__)

REFERENCE_TEMPERATURE = 300.0  # K


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Runs with the records that can be compared.

    Attributes
    ----------
    runs : tuple of RunData
    labels : tuple of str
        One distinct label per run.
    target : TargetSetting
    method : str or None
        The method that is compared; None when the runs have none in common.
    records : tuple of ThermalConductivity or None
        One per run, at the temperature that is common and nearest to 300 K.
    """

    runs: tuple[RunData, ...]
    labels: tuple[str, ...]
    target: TargetSetting
    method: str | None
    records: tuple[ThermalConductivity | None, ...]


def write_comparison(
    run_dirs: Sequence[Path | str], output_dir: Path | str, setting: str | None = None
) -> Path:
    """Write a comparison of two or more runs.

    Parameters
    ----------
    run_dirs : sequence of path
        Run directories; the first is the reference of differences in percent.
    output_dir : path
        Folder for ``comparison.html`` and its ``figures/``; created if absent.
    setting : str, optional
        Axes to compare in, for example ``Pbnm``; the standard setting by default.

    Returns
    -------
    Path
        The comparison page.

    Raises
    ------
    ConfigurationError
        If fewer than two runs are given or the setting does not exist.
    StoreError
        If a run cannot be read or the page cannot be written.
    """
    if len(run_dirs) < 2:
        raise ConfigurationError(
            f"a comparison needs at least two runs; {len(run_dirs)} given.",
            fix="Give two or more run directories.",
        )
    runs = tuple(RunData.load(folder) for folder in run_dirs)
    compared = compare_runs(runs, setting)
    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"'{folder}' is a file, not a folder.", fix="Choose another --output.")
    report = build_comparison(compared, _figures(compared, folder / "figures"))
    path = folder / "comparison.html"
    write_text(path, render_html(report))
    logger.info("comparison of %d runs written to %s", len(runs), path)
    return path


def compare_runs(runs: tuple[RunData, ...], setting: str | None = None) -> Comparison:
    """Match axes, method and temperature of the runs."""
    target = target_setting(runs, setting)
    common = [m for m in runs[0].methods if all(m in run.methods for run in runs)]
    method = common[-1] if common else None
    records: tuple[ThermalConductivity | None, ...] = tuple(
        run.conductivity(_common_temperature(runs), method) for run in runs
    )
    return Comparison(
        runs=runs, labels=_labels(runs), target=target, method=method, records=records
    )


def _common_temperature(runs: tuple[RunData, ...]) -> float:
    shared = set(runs[0].temperatures).intersection(*(run.temperatures for run in runs[1:]))
    candidates = shared or {REFERENCE_TEMPERATURE}
    return min(candidates, key=lambda temperature: abs(temperature - REFERENCE_TEMPERATURE))


def _labels(runs: tuple[RunData, ...]) -> tuple[str, ...]:
    """Name runs by potential and setting; by folder as well where that is not distinct."""
    names = [f"{_source(run)} ({run.setting})" for run in runs]
    if len({run.formula for run in runs}) > 1:
        names = [f"{formula_text(run.formula)} {n}" for run, n in zip(runs, names, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}, {run.path.name}" for run, name in zip(runs, names, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{i + 1}: {name}" for i, name in enumerate(names)]
    return tuple(names)


def _source(run: RunData) -> str:
    if run.potential is not None:
        return run.potential.name
    if not run.has_phonons and run.electronic_structure is not None:
        return run.electronic_structure.provider
    return "imported"


def build_comparison(compared: Comparison, figures: tuple[FigureBlock, ...]) -> Report:
    """Return the comparison as data."""
    formulas = list(dict.fromkeys(formula_text(run.formula) for run in compared.runs))
    doubtful = any(run.doubts or run.is_quick for run in compared.runs)
    badges: tuple[tuple[Severity, str], ...] = (
        (("warning", "Some runs carry doubts: see the table"),) if doubtful else ()
    )
    with_phonons = any(run.has_phonons for run in compared.runs)
    sections = (
        _conductivity_section(compared, figures) if with_phonons else None,
        compared_electrons_section(compared.runs, compared.labels, compared.target),
        compared_mobility_section(compared.runs, compared.labels, compared.target),
        _lattice_section(compared),
        _phonon_section(compared, figures) if with_phonons else None,
        _model_section(compared) if with_phonons else None,
        _quality_section(compared),
    )
    return Report(
        title=f"Comparison: {listing(formulas)}",
        subtitle=f"{len(compared.runs)} runs along the axes of {compared.target.symbol}",
        badges=badges,
        facts=tuple((f"Run {i + 1}", label) for i, label in enumerate(compared.labels)),
        sections=tuple(section for section in sections if section is not None),
        footer="Crystal axes are matched through the standard setting of the space group.",
    )


def _matching_notices(compared: Comparison) -> list[Block]:
    notices: list[Block] = []
    if len({space_group_number(run) for run in compared.runs}) > 1:
        groups = listing(list(dict.fromkeys(run.frame.space_group for run in compared.runs)))
        text = (
            f"The runs have the space groups {groups}. Axes of the same name may be different "
            "directions; compare the principal values instead."
        )
        notices.append(Notice(severity="warning", title="Space groups differ.", text=text))
    if compared.method is None:
        text = (
            "The runs share no level and solver; each is shown with its most complete method. "
            "Differences below mix potential and method."
        )
        notices.append(Notice(severity="warning", title="Methods differ.", text=text))
    temperatures = {record.temperature for record in compared.records if record}
    if len(temperatures) > 1:
        text = f"No common temperature: {listing([f'{t:g} K' for t in sorted(temperatures)])}."
        notices.append(Notice(severity="warning", title="Temperatures differ.", text=text))
    return notices


def _conductivity_section(compared: Comparison, figures: tuple[FigureBlock, ...]) -> Section:
    blocks: list[Block] = _matching_notices(compared)
    rows: list[tuple[str, ...]] = []
    reference: dict[str, float] | None = None
    for run, label, record in zip(compared.runs, compared.labels, compared.records, strict=True):
        if record is None:
            rows.append((label, "–", "–", "–", "not computed"))
            continue
        values = conductivity_along(run, record, compared.target)
        cells = []
        for axis in AXES:
            text = number(values[axis], 4)
            if reference is not None and reference[axis]:
                text += f" ({signed_percent(100 * (values[axis] / reference[axis] - 1))})"
            cells.append(text)
        reference = reference or values
        rows.append((label, *cells, doubt_word(run, "phonons").split(":")[0] or "in order"))
    headers = ("run", *(compared.target.describe(axis) for axis in AXES), "state")
    caption = f"Thermal conductivity along the axes of {compared.target.symbol} ({UNIT})"
    blocks.append(Table(caption=caption, headers=headers, rows=tuple(rows)))
    if _has_ladder(compared):
        blocks.append(_ladder_table(compared))
    blocks.append(_method_table(compared))
    wanted = ("figure-compared-conductivity", "figure-compared-ladder")
    blocks += [figure for figure in figures if figure.identifier in wanted]
    return Section(identifier="tensors", title="Thermal conductivity", blocks=tuple(blocks))


def _has_ladder(compared: Comparison) -> bool:
    return any(run.is_ladder for run in compared.runs)


def _rungs(compared: Comparison) -> dict[str, tuple[Rung, ...]]:
    """Return the ladder of every run along the target axes, all with one solver."""
    solver = ladder_solver(compared.runs)
    temperature = _common_temperature(compared.runs)
    return {
        label: ladder(run, temperature, solver=solver, target=compared.target)
        for run, label in zip(compared.runs, compared.labels, strict=True)
    }


def _ladder_table(compared: Comparison) -> Table:
    rows = []
    for label, rungs in _rungs(compared).items():
        for rung in rungs:
            cells = [value_and_error(rung.total[a], (rung.error or {}).get(a)) for a in AXES]
            name = f"{rung.level}{' + coherence' if rung.coherence else ''}"
            rows.append((label, name, f"{rung.temperature:g} K", *cells))
    axes = (compared.target.describe(axis) for axis in AXES)
    return Table(
        caption=f"Levels of theory ({UNIT}, {ladder_solver(compared.runs).upper()})",
        headers=("run", "level", "temperature", *axes),
        rows=tuple(rows),
    )


def _method_table(compared: Comparison) -> Table:
    """Say how each run was computed and what it calls the axes of the comparison."""
    rows = []
    for run, label, record in zip(compared.runs, compared.labels, compared.records, strict=True):
        method = f"{record.method}, {record.temperature:g} K" if record else "–"
        mesh = mesh_text(record.mesh) if record else "–"
        names = ", ".join(f"{axis} is its {own_axis(run, compared.target, axis)}" for axis in AXES)
        rows.append((label, method, mesh, names))
    headers = ("run", "method", "mesh", f"axes of {compared.target.symbol} in the run's own cell")
    return Table(caption="How it was computed", headers=headers, rows=tuple(rows), numeric=False)


def _lattice_section(compared: Comparison) -> Section:
    rows = []
    reference: np.ndarray | None = None
    for run, label in zip(compared.runs, compared.labels, strict=True):
        lengths = np.linalg.norm(target_lattice(run, compared.target), axis=1)
        # Volume per atom does not depend on the choice of cell.
        values = np.append(lengths, run.crystal.volume / run.crystal.n_atoms)
        cells = [fixed(float(value), 4) for value in values]
        if reference is not None:
            changes = [signed_percent(float(x)) for x in 100 * (values / reference - 1)]
            cells = [f"{cell} ({change})" for cell, change in zip(cells, changes, strict=True)]
        else:
            reference = values
        rows.append((label, *cells))
    headers = ("run", *(f"{compared.target.describe(axis)} (Å)" for axis in AXES))
    table = Table(headers=(*headers, "volume per atom (Å³)"), rows=tuple(rows))
    text = Paragraph(text="Differences in percent refer to the first run.", muted=True)
    return Section(identifier="lattice", title="Lattice parameters", blocks=(table, text))


def _phonon_section(compared: Comparison, figures: tuple[FigureBlock, ...]) -> Section:
    rows = []
    for run, label in zip(compared.runs, compared.labels, strict=True):
        phonons = run.phonons
        if phonons is None:
            rows.append((label, "–", "–", "–"))
            continue
        rows.append(
            (
                label,
                fixed(phonons.minimum_frequency, 3),
                fixed(phonons.maximum_frequency, 3),
                f"{100 * phonons.imaginary_fraction:.2f} %",
            )
        )
    headers = ("run", "lowest frequency (THz)", "highest frequency (THz)", "imaginary modes")
    blocks: list[Block] = [Table(headers=headers, rows=tuple(rows))]
    bands = [figure for figure in figures if figure.identifier.endswith("bands")]
    reason = comparison.bands_missing(compared.runs)
    blocks += bands or [Paragraph(text=f"Bands are not overlaid: {reason}.", muted=True)]
    return Section(identifier="phonons", title="Phonons", blocks=tuple(blocks))


def _model_section(compared: Comparison) -> Section:
    cards = [dict(card_rows(run.potential)) if run.potential else {} for run in compared.runs]
    names = list(dict.fromkeys(name for card in cards for name in card))
    rows = tuple((name, *(card.get(name, "–") for card in cards)) for name in names)
    if not rows:
        text = "No run used an interatomic potential."
        return Section(identifier="models", title="Models", blocks=(Paragraph(text=text),))
    table = Table(headers=("property", *compared.labels), rows=rows, numeric=False)
    return Section(identifier="models", title="Models", blocks=(table,))


def _quality_section(compared: Comparison) -> Section:
    blocks: list[Block] = []
    for run, label in zip(compared.runs, compared.labels, strict=True):
        for flag in run.doubts:
            text = f"{flag_title(flag.name)} {sentence(flag.message)}"
            blocks.append(Notice(severity=flag.severity, title=f"{label}:", text=text))
        if run.is_quick and not any(flag.name == "preset" for flag in run.doubts):
            text = "Quick preset: mesh and supercells are not converged."
            blocks.append(Notice(severity="warning", title=f"{label}:", text=text))
    if not blocks:
        blocks.append(Paragraph(text="No run carries a warning."))
    return Section(identifier="quality", title="Doubts", blocks=tuple(blocks))


def _ladder_figure(compared: Comparison, axis_names: list[str], folder: Path) -> FigureBlock:
    groups = _rungs(compared)
    rungs = [rung for items in groups.values() for rung in items]
    return write_files(
        conductivity_ladder.plot_groups(groups, axis_names),
        conductivity_ladder.rung_tables(groups, axis_names),
        folder,
        name="compared-ladder",
        title="Thermal conductivity by level of theory",
        caption=f"{conductivity_ladder.caption_of(rungs)} Axes are those of "
        f"{compared.target.symbol} for every run.",
        alt=conductivity_ladder.alt_of(groups, axis_names),
    )


def _figures(compared: Comparison, folder: Path) -> tuple[FigureBlock, ...]:
    """Draw what the runs allow; what they do not is said in the text."""
    blocks = []
    series = {
        label: conductivity_along(run, record, compared.target)
        for run, label, record in zip(compared.runs, compared.labels, compared.records, strict=True)
        if record is not None
    }
    axis_names = [compared.target.describe(axis) for axis in AXES]
    if _has_ladder(compared):
        blocks.append(_ladder_figure(compared, axis_names, folder))
    elif series:
        temperature = next(record.temperature for record in compared.records if record)
        listed = "; ".join(
            f"{label}: " + ", ".join(f"{axis} {value:.3g}" for axis, value in values.items())
            for label, values in series.items()
        )
        blocks.append(
            write_files(
                comparison.plot_bars(series, axis_names, temperature),
                comparison.bar_tables(series, axis_names),
                folder,
                name="compared-conductivity",
                title="Thermal conductivity along the same directions",
                caption=f"At {temperature:g} K, {compared.method or 'methods as in the table'}. "
                f"Axes are those of {compared.target.symbol} for every run.",
                alt=f"Bar chart in watt per metre kelvin. {listed}.",
            )
        )
    if not comparison.bands_missing(compared.runs):
        blocks.append(
            write_files(
                comparison.plot_bands(compared.runs, compared.labels),
                comparison.band_tables(compared.runs, compared.labels),
                folder,
                name="compared-bands",
                title="Phonon bands",
                caption="Bands of all runs on the path of the first; the pieces of the other paths "
                "are stretched to its length.",
                alt=f"Overlay of the phonon bands of {listing(list(compared.labels))}.",
            )
        )
    return tuple(blocks)

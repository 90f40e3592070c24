"""Driver: read a run directory, draw its figures, write its report."""

from __future__ import annotations

import logging
from pathlib import Path

from elphant.quality import Severity
from elphant.report.citations import citations_section
from elphant.report.figure_files import write_figure
from elphant.report.html import render_html
from elphant.report.interactive_view import localization_view
from elphant.report.methods_text import methods_section
from elphant.report.model import Block, Paragraph, Report, Section
from elphant.report.plots import FIGURES, elf_isosurface
from elphant.report.run_data import RunData
from elphant.report.sections.anharmonicity import anharmonicity_section
from elphant.report.sections.checks import quality_section
from elphant.report.sections.conductivity import conductivity_section
from elphant.report.sections.electrons import electrons_section, hamiltonian_section
from elphant.report.sections.force_constants import force_constants_section
from elphant.report.sections.lone_pairs import lone_pairs_section
from elphant.report.sections.mobility import mobility_section
from elphant.report.sections.model_card import model_section
from elphant.report.sections.provenance import provenance_section, rerun_section
from elphant.report.sections.published import published_section
from elphant.report.sections.published_mobility import published_mobility_section
from elphant.report.sections.renormalization import renormalization_section
from elphant.report.sections.scattering import scattering_section
from elphant.report.sections.structure import structure_section
from elphant.report.text import formula_text, listing
from elphant.store.atomic import write_text

logger = logging.getLogger(__name__)


def write_report(run_dir: Path | str) -> Path:
    """Write ``figures/`` and ``report.html`` of a run.

    Parameters
    ----------
    run_dir : path
        A run directory with ``results.json`` and, for most figures, ``data.h5``.

    Returns
    -------
    Path
        The report. It needs no other file to be read; the figures beside it are for papers.

    Raises
    ------
    StoreError
        If the results cannot be read or a file cannot be written.
    """
    run = RunData.load(run_dir)
    pictures = _pictures_section(run, run.path / "figures")
    path = run.path / "report.html"
    write_text(path, render_html(build_report(run, pictures)))
    logger.info("report written to %s", path)
    return path


def build_report(run: RunData, pictures: Section) -> Report:
    """Return the report of a run as data; ``pictures`` holds the drawn figures."""
    sections = (
        conductivity_section(run),
        electrons_section(run),
        mobility_section(run),
        pictures,
        quality_section(run),
        structure_section(run),
        model_section(run),
        hamiltonian_section(run),
        force_constants_section(run),
        renormalization_section(run),
        scattering_section(run),
        anharmonicity_section(run),
        lone_pairs_section(run),
        published_section(run),
        published_mobility_section(run),
        methods_section(run),
        citations_section(run),
        rerun_section(run),
        provenance_section(run),
    )
    formula = formula_text(run.formula)
    return Report(
        title=formula if run.name in (run.formula, "") else f"{run.name} ({formula})",
        subtitle=_subtitle(run),
        badges=_badges(run),
        facts=_facts(run),
        sections=tuple(section for section in sections if section is not None),
        footer=f"Written by elphant {run.provenance.elphant_version} from results computed "
        f"{run.created}.",
    )


def _subtitle(run: RunData) -> str:
    parts = ["anisotropic lattice thermal transport"] if run.has_lattice_transport else []
    parts += ["electronic structure"] if run.has_electrons else []
    parts += ["carrier mobility"] if run.has_mobility else []
    text = listing(parts)
    return f"{text[:1].upper()}{text[1:]}"


def _badges(run: RunData) -> tuple[tuple[Severity, str], ...]:
    badges: list[tuple[Severity, str]] = []
    if run.is_quick:
        badges.append(("warning", "Quick preset: not converged"))
    counts = {name: sum(f.severity == name for f in run.quality) for name in ("invalid", "warning")}
    if counts["invalid"]:
        badges.append(("invalid", _counted(counts["invalid"], "invalid result")))
    if counts["warning"]:
        badges.append(("warning", _counted(counts["warning"], "warning")))
    if not badges and run.quality:
        badges.append(("info", "All checks in order"))
    return tuple(badges)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _facts(run: RunData) -> tuple[tuple[str, str], ...]:
    symbol = run.space_group.split(" ")[0]
    setting = "" if run.setting == symbol else f", setting {run.setting}"
    facts = [("Space group", f"{run.space_group}{setting}")]
    if run.has_phonons:
        potential = run.potential.name if run.potential else "imported force constants"
        if run.potential and run.potential.dispersion:
            potential += f" + {run.potential.dispersion}"
        facts.append(("Potential", potential))
    if run.electronic_structure is not None:
        facts.append(("Hamiltonian", run.electronic_structure.provider))
    return (
        *facts,
        ("Preset", run.provenance.preset or "none"),
        ("Computed", run.created[:10]),
    )


def _pictures_section(run: RunData, folder: Path) -> Section:
    """Draw every figure the run has data for, and say which ones it has not."""
    blocks: list[Block] = []
    absent = []
    for spec in FIGURES:
        if not spec.applies(run):
            continue
        reason = spec.missing(run)
        if reason:
            absent.append(f"{spec.title.lower()} ({reason})")
            continue
        blocks.append(write_figure(spec, run, folder))
        if spec.name == elf_isosurface.SPEC.name:
            blocks.append(localization_view(run))
    if absent:
        blocks.append(Paragraph(text=f"Not drawn: {'; '.join(absent)}.", muted=True))
    return Section(identifier="figures", title="Figures", blocks=tuple(blocks))

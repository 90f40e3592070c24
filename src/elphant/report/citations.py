"""BibTeX entries of everything a run rests on."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from elphant.report.mobility_methods import mobility_references
from elphant.report.model import Block, Code, Notice, Paragraph, Section
from elphant.report.run_data import RunData


def cited_keys(run: RunData) -> tuple[str, ...]:
    """Return the keys named by the run, its potential and the methods text, each once."""
    references = run.potential.references if run.potential is not None else ()
    return tuple(dict.fromkeys((*run.provenance.citations, *references, *mobility_references(run))))


def bibtex_entries() -> Mapping[str, str]:
    """Return the citation table of the models layer; empty where this build has none."""
    try:
        citations = import_module("elphant.models.citations")
    except ImportError:
        return {}
    table = getattr(citations, "CITATIONS", {})
    return table if isinstance(table, Mapping) else {}


def citations_section(run: RunData, entries: Mapping[str, str] | None = None) -> Section:
    """Return BibTeX for every key, and a visible note for keys without an entry."""
    table = bibtex_entries() if entries is None else entries
    keys = cited_keys(run)
    known = [table[key].strip() for key in keys if key in table]
    absent = [key for key in keys if key not in table]
    blocks: list[Block] = []
    if known:
        blocks.append(
            Paragraph(text="Please cite the methods, programs and models this run rests on.")
        )
        blocks.append(Code(text="\n\n".join(known), label="BibTeX"))
    if absent:
        text = f"No entry is known for: {', '.join(absent)}. Please look these references up."
        blocks.append(Notice(severity="warning", title="Incomplete list.", text=text))
    if not keys:
        blocks.append(Paragraph(text="The run names no references."))
    return Section(identifier="citations", title="Citations", blocks=tuple(blocks))

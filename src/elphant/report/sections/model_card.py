"""The potential: what it is, under which terms, and which bytes exactly."""

from __future__ import annotations

from elphant.models.card import ModelCard
from elphant.report.model import Block, Notice, Paragraph, Section, Table
from elphant.report.run_data import RunData


def model_section(run: RunData) -> Section | None:
    """Return the model card, and a notice where the licence restricts use; None if not needed."""
    if not run.has_phonons and run.potential is None:
        return None
    card = run.potential
    if card is None:
        text = "No interatomic potential was used: the force constants were imported."
        blocks: tuple[Block, ...] = (Paragraph(text=text),)
        return Section(identifier="model", title="Interatomic potential", blocks=blocks)
    notices: list[Block] = []
    if card.non_commercial:
        text = (
            f"The weights of {card.name} are licensed for non-commercial use only "
            f"({card.licence}). The results of this run inherit that restriction where the licence "
            "says so."
        )
        notices.append(Notice(severity="warning", title="Non-commercial licence.", text=text))
    table = Table(
        caption="Model card", headers=("property", "value"), rows=card_rows(card), numeric=False
    )
    return Section(identifier="model", title="Interatomic potential", blocks=(*notices, table))


def card_rows(card: ModelCard) -> tuple[tuple[str, str], ...]:
    """Return the card as rows; empty properties are left out."""
    elements = (
        f"{len(card.elements)} elements" if len(card.elements) > 12 else ", ".join(card.elements)
    )
    rows = (
        ("Name", card.name),
        ("Provider", card.provider),
        ("Level of theory", card.level_of_theory),
        ("Head in use", card.head or ""),
        ("Heads in the file", ", ".join(card.heads)),
        ("Dispersion", card.dispersion or "none added"),
        ("Licence of the weights", card.licence),
        ("sha256 of the weights", card.sha256 or "no weights file"),
        ("Elements", elements),
        ("Evaluated in", card.dtype),
        ("Cutoff of one layer", f"{card.cutoff:g} Å" if card.cutoff else ""),
        ("Receptive field", f"{card.receptive_field:g} Å" if card.receptive_field else ""),
        ("Source", card.source),
        ("Notes", card.notes),
    )
    return tuple(row for row in rows if row[1])

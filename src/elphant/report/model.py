"""The report as data: sections of text, tables, figures and code, independent of any renderer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from elphant.quality import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Running text.

    Attributes
    ----------
    text : str
    muted : bool
        Secondary text: definitions, units, remarks.
    """

    text: str
    muted: bool = False
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text cells.

    Attributes
    ----------
    headers : tuple of str
        Column headers.
    rows : tuple of tuple of str
        The first cell of each row is its header.
    caption : str
    numeric : bool
        Right-align every column but the first.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numeric: bool = True
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyNumber:
    """One number that a reader came for, with the doubt that goes with it.

    Attributes
    ----------
    label, value, unit, detail : str
    marker : str
        Name of the colour: ``a``, ``b``, ``c``, or empty.
    doubt : str
        Short words beside the number, for example ``not converged``; empty when it is in order.
    severity : {"info", "warning", "invalid"}
        How bad the doubt is.
    """

    label: str
    value: str
    unit: str
    detail: str = ""
    marker: str = ""
    doubt: str = ""
    severity: Severity = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyNumbers:
    """A row of headline numbers."""

    items: tuple[KeyNumber, ...]
    kind: Literal["key_numbers"] = "key_numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A check and its outcome; the severity is shown in words and in colour."""

    severity: Severity
    title: str
    text: str
    kind: Literal["notice"] = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureBlock:
    """A figure with caption, description and files.

    Attributes
    ----------
    identifier, title, caption, alt : str
    svg : str
        The drawing itself, to be placed inline.
    files : tuple of (label, relative path)
        What can be downloaded beside the report.
    """

    identifier: str
    title: str
    caption: str
    alt: str
    svg: str
    files: tuple[tuple[str, str], ...] = ()
    wide: bool = True
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Text to copy literally: a command, BibTeX, a paragraph for a paper."""

    text: str
    label: str = ""
    prose: bool = False
    kind: Literal["code"] = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Blocks that stand side by side where the page is wide enough."""

    blocks: tuple[Table, ...]
    kind: Literal["row"] = "row"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewBlock:
    """An interactive three-dimensional view.

    Attributes
    ----------
    identifier, title, caption, alt : str
    data : str
        The scene as JSON, as ``scene.js`` reads it.
    choices : tuple of str
        Names of the surfaces that can be chosen; ``chosen`` is the index of the first shown.
    legend : tuple of (name, colour)
    """

    identifier: str
    title: str
    caption: str
    alt: str
    data: str
    choices: tuple[str, ...]
    chosen: int
    legend: tuple[tuple[str, str], ...]
    kind: Literal["view"] = "view"


Block = Paragraph | Table | KeyNumbers | Notice | FigureBlock | Code | Row | ViewBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled part of the report.

    Attributes
    ----------
    identifier : str
        Anchor, unique in the report.
    title : str
    blocks : tuple of Block
    """

    identifier: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report.

    Attributes
    ----------
    title, subtitle : str
    badges : tuple of (severity, text)
        Labels that must not be missed, for example that the preset is not converged.
    facts : tuple of (name, value)
        The few facts under the title.
    sections : tuple of Section
    footer : str
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    badges: tuple[tuple[Severity, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    footer: str = field(default="")

    @property
    def is_interactive(self) -> bool:
        """Whether the page needs a script: only for interactive views."""
        return any(block.kind == "view" for section in self.sections for block in section.blocks)

"""Write figures in four formats, and return them as SVG that can stand inside a page."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from elphant.report.model import FigureBlock
from elphant.report.plots.appearance import house_style
from elphant.report.plots.figure_spec import DataTable, FigureSpec
from elphant.report.run_data import RunData
from elphant.store.atomic import write_bytes, write_text

#: Fixed metadata: the same results give the same bytes.
_METADATA = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}


def write_figure(spec: FigureSpec, run: RunData, folder: Path) -> FigureBlock:
    """Draw one figure of a run, write its files into ``folder`` and return its block."""
    figure = spec.plot(run)
    return write_files(
        figure,
        spec.tables(run),
        folder,
        name=spec.name,
        title=spec.title,
        caption=spec.caption(run),
        alt=spec.alt(run),
    )


def write_files(
    figure: Figure,
    tables: tuple[DataTable, ...],
    folder: Path,
    *,
    name: str,
    title: str,
    caption: str,
    alt: str,
) -> FigureBlock:
    """Write SVG, PDF, PNG and CSV files and return the block that shows them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    svg = ""
    for suffix in ("svg", "pdf", "png"):
        content = rendered(figure, suffix)
        write_bytes(folder / f"{name}.{suffix}", content)
        files.append((suffix.upper(), f"{folder.name}/{name}.{suffix}"))
        if suffix == "svg":
            svg = inline_svg(content.decode("utf-8"), name, alt)
    for table in tables:
        stem = f"{name}-{table.suffix}" if table.suffix else name
        write_text(folder / f"{stem}.csv", table.to_csv())
        label = f"CSV ({table.suffix.replace('-', ' ')})" if table.suffix else "CSV"
        files.append((label, f"{folder.name}/{stem}.csv"))
    return FigureBlock(
        identifier=f"figure-{name}",
        title=title,
        caption=caption,
        alt=alt,
        svg=svg,
        files=tuple(files),
        wide=float(figure.get_figwidth()) > 5.5,
    )


def rendered(figure: Figure, suffix: str) -> bytes:
    """Return the figure as the bytes of an ``svg``, ``pdf`` or ``png`` file."""
    buffer = BytesIO()
    with house_style():
        figure.savefig(buffer, format=suffix, metadata=_METADATA[suffix])
    # The layout is settled by the first drawing; solving it again for every format costs seconds.
    figure.set_layout_engine("none")
    return buffer.getvalue()


def inline_svg(text: str, name: str, alt: str) -> str:
    """Return an SVG document as an element for a page: no prolog, unique ids, a description.

    matplotlib numbers its elements anew in every file; in one page the ids of two figures would
    collide and a clip path of one would cut the other. Every id gets the figure's name in front.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'((?:xlink:)?href)="#', rf'\1="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    # The size comes from the page; the view box keeps the proportions.
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(?:width|height|version)="[^"]*"', "", head)
    label = _attribute(alt)
    return f'{head} role="img" aria-label="{label}"><title>{label}</title>{rest}'.strip()


def _attribute(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace('"', "&quot;")

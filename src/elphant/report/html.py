"""Render a report as one HTML file that needs nothing but itself."""

from __future__ import annotations

import re
from importlib.resources import files

from elphant.report.model import Report


def render_html(report: Report) -> str:
    """Return the page. Every text is escaped; style and drawings are inside; nothing is loaded."""
    import jinja2

    folder = files("elphant.report") / "templates"
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
    )
    environment.filters["with_bars"] = with_bars
    style = (folder / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(report=report, style=style)


def with_bars(text: str) -> str:
    """Return escaped text with digits under a combining bar as overlined elements.

    Many fonts place the combining character badly; CSS draws it well everywhere.
    """
    import markupsafe

    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub("(\\d)\u0305", r'<span class="bar">\1</span>', escaped))  # noqa: S704

"""Render a report as one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from elphant.report.model import Report


def render_html(report: Report) -> str:
    """Return the page. Every text is escaped; style and drawings are inside; nothing is loaded.

    A page with an interactive view holds one script. The content security policy names its hash:
    the browser runs this script and no other.
    """
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
    environment.filters["data"] = script_data
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "scene.js").read_text(encoding="utf-8") if report.is_interactive else ""
    return environment.get_template("report.html.j2").render(
        report=report, style=style, script=script, script_hash=_hash(script) if script else ""
    )


def script_data(text: str) -> str:
    """Return JSON that may stand in a script element: no character in it can end the element."""
    import markupsafe

    return markupsafe.Markup(text.replace("<", "\\u003c"))  # noqa: S704


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def with_bars(text: str) -> str:
    """Return escaped text with digits under a combining bar as overlined elements.

    Many fonts place the combining character badly; CSS draws it well everywhere.
    """
    import markupsafe

    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub("(\\d)\u0305", r'<span class="bar">\1</span>', escaped))  # noqa: S704

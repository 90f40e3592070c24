"""Docstrings write ``|v|`` for absolute values; reStructuredText would look for a substitution."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

#: Literals and roles, in which a bar is a bar, or a bar itself.
PIECES = re.compile(r"``.*?``|`[^`]*`|\|")


def escape_bars(lines: list[str]) -> None:
    """Put a backslash before every bar outside of literals and displayed formulas, in place."""
    formula: int | None = None  # indentation of the directive
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith(".. math::"):
            formula = indent
        elif line.strip() and formula is not None and indent <= formula:
            formula = None
        if formula is None:
            lines[i] = PIECES.sub(lambda m: "\\|" if m[0] == "|" else m[0], line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hook; it runs before napoleon rearranges the lines."""
    # The lines are the last argument of the event.
    app.connect("autodoc-process-docstring", lambda *event: escape_bars(event[-1]), priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

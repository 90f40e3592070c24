"""Directives that print the tables of the program itself, so that they cannot go out of date."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def models_table() -> str:
    """Return the registry of models as a table."""
    from elphant.models.registry import DEFAULT_MODEL, list_models

    places = {"installed": "in the wheel", "download": "download", "user": "added by you"}
    rows = [
        (
            f"`{entry.name}`" + (" (default)" if entry.name == DEFAULT_MODEL else ""),
            places[entry.location],
            entry.level_of_theory,
            entry.licence + (", **non-commercial**" if entry.non_commercial else ""),
            ", ".join(f"`{head}`" for head in entry.heads) or "none",
            entry.notes,
        )
        for entry in list_models()
        if entry.location != "user"
    ]
    return _table(("name", "weights", "level of theory", "licence", "heads", "notes"), rows)


def options_table() -> str:
    """Return all options of the configuration with their defaults."""
    from elphant.config.models import RunConfig

    rows = [(f"`{name}`", f"`{default}`", text) for name, default, text in _options(RunConfig)]
    return _table(("option", "default", "meaning"), rows)


def presets_table() -> str:
    """Return what each preset changes."""
    from elphant.config.presets import PRESETS

    rows = [
        (f"`{preset}`", f"`{section}.{name}`", f"`{value}`")
        for preset, sections in PRESETS.items()
        for section, values in sections.items()
        for name, value in values.items()
    ]
    return _table(("preset", "option", "value"), rows)


def commands_text() -> str:
    """Return every command with its arguments and options."""
    import typer

    from elphant.cli.app import app

    parts: list[str] = []
    for name, command in _commands(typer.main.get_command(app), "elphant"):
        help_text = (command.help or "").replace("[bold]", "**").replace("[/bold]", "**")
        parts.append(f"## `{name}`\n\n{help_text}\n")
        rows = []
        for parameter in command.params:
            spelling = ", ".join((*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "argument":
                spelling = parameter.name.upper()
            rows.append((f"`{spelling}`", getattr(parameter, "help", "") or ""))
        if rows:
            parts.append(_table(("argument or option", "meaning"), rows))
    return "\n".join(parts)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        yield name, command
        return
    for child, inner in children.items():
        yield from _commands(inner, f"{name} {child}")


def _options(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, object, str]]:
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from _options(type(field.default), f"{prefix}{name}.")
        else:
            yield prefix + name, field.default, field.description or ""


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    escaped = (tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in lines)
    return "\n".join("| " + " | ".join(row) + " |" for row in escaped) + "\n"


GENERATORS = {
    "models": models_table,
    "options": options_table,
    "presets": presets_table,
    "commands": commands_text,
}


class ElphantTable(SphinxDirective):
    """``{elphant-table} models|options|presets|commands``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = GENERATORS[self.arguments[0]]()
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("elphant-table", ElphantTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

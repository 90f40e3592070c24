"""``elphant models``: what potentials there are, where they come from, and how to get them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from elphant.cli.console import error_console, print_result

if TYPE_CHECKING:
    from elphant.models.entry import Provider

models_app = typer.Typer(help="List, describe, download or add models.", no_args_is_help=True)


@models_app.command("list")
def list_command() -> None:
    """List all known models."""
    from rich.console import Console
    from rich.table import Table

    from elphant.models.registry import DEFAULT_MODEL, list_models
    from elphant.models.weights import weights_state

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "provider", "weights", "level of theory", "licence", "heads"):
        # What has to be typed is never cut; the rest wraps in a narrow terminal.
        table.add_column(column, no_wrap=column in ("name", "provider"), overflow="fold")
    for entry in list_models():
        table.add_row(
            entry.name + (" (default)" if entry.name == DEFAULT_MODEL else ""),
            entry.provider,
            weights_state(entry),
            entry.level_of_theory,
            entry.licence + (" (non-commercial)" if entry.non_commercial else ""),
            ", ".join(entry.heads),
        )
    Console().print(table)


@models_app.command("info")
def info_command(name: Annotated[str, typer.Argument(help="Model name, or NAME:HEAD.")]) -> None:
    """Print the model card."""
    from elphant.models.registry import model_card

    for key, value in model_card(name).to_dict().items():
        if value not in ("", None, (), []):
            text = ", ".join(value) if isinstance(value, tuple | list) else value
            print_result(f"{key:16s} {text}")


@models_app.command("fetch")
def fetch_command(name: Annotated[str, typer.Argument(help="Model name.")]) -> None:
    """Download the weights of a model into the cache and check them."""
    from elphant.cli.progress import TerminalProgress
    from elphant.models.registry import find_model
    from elphant.models.weights import fetch_weights

    entry = find_model(name)
    console = error_console()
    console.print(entry.licence_line, markup=False, highlight=False)
    with TerminalProgress(console).task(f"fetching {entry.name} (MB)", 0) as task:
        path = fetch_weights(entry, progress=lambda done, total: task.note(_megabytes(done, total)))
    print_result(str(path))


@models_app.command("add")
def add_command(
    name: Annotated[str, typer.Argument(help="New name.")],
    path: Annotated[Path, typer.Argument(help="Model file; it stays where it is.")],
    provider: Annotated[
        str | None, typer.Option("--provider", help="sevennet or mace; told from the ending.")
    ] = None,
    level_of_theory: Annotated[
        str, typer.Option("--level-of-theory", help="Functional and data it was trained on.")
    ] = "not stated",
    licence: Annotated[
        str, typer.Option("--licence", help="Licence of the weights.")
    ] = "not stated",
    head: Annotated[list[str] | None, typer.Option("--head", help="A head; repeatable.")] = None,
) -> None:
    """Register a model file under a name. This means trusting it: loading executes its code."""
    from elphant.models.registry import add_model

    entry = add_model(
        name,
        path,
        provider=cast("Provider | None", provider),  # add_model checks it
        level_of_theory=level_of_theory,
        licence=licence,
        heads=head or (),
    )
    print_result(f"{entry.name}: {entry.path}, sha256 {entry.sha256}")


def _megabytes(done: int, total: int | None) -> str:
    return f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f}" if total else "")

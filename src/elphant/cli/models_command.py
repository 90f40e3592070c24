"""``elphant models``: what models there are, where they come from, and how to get them.

Potentials are in the registry. ``uni-hamgnn`` (networks that predict Hamiltonians) and
``openmx-data`` (the orbitals they are made for) are names of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from elphant.cli.console import error_console, print_result
from elphant.errors import ConfigurationError, ModelError

if TYPE_CHECKING:
    from elphant.models.entry import Provider
    from elphant.models.hamiltonians.hamgnn.checkpoint_resources import Resource

models_app = typer.Typer(help="List, describe, download or add models.", no_args_is_help=True)


@models_app.command("list")
def list_command() -> None:
    """List all known models."""
    from rich.console import Console
    from rich.table import Table

    from elphant.models.hamiltonians.hamgnn.checkpoint_resources import resources
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
    for item in resources():
        table.add_row(item.name, item.provider, item.state, item.level_of_theory, item.licence, "")
    Console().print(table)


@models_app.command("info")
def info_command(name: Annotated[str, typer.Argument(help="Model name, or NAME:HEAD.")]) -> None:
    """Print the model card."""
    from elphant.models.hamiltonians.hamgnn.checkpoint_resources import resources
    from elphant.models.registry import model_card

    for item in resources():
        if item.name == name.strip().lower():
            _print_resource(item)
            return
    for key, value in model_card(name).to_dict().items():
        if value not in ("", None, (), []):
            text = ", ".join(value) if isinstance(value, tuple | list) else value
            print_result(f"{key:16s} {text}")


@models_app.command("fetch")
def fetch_command(name: Annotated[str, typer.Argument(help="Model name.")]) -> None:
    """Download the weights of a model into the cache and check them."""
    from elphant.cli.progress import TerminalProgress
    from elphant.models.hamiltonians.hamgnn.checkpoint import HOW_TO_GET, MODEL_NAME
    from elphant.models.hamiltonians.hamgnn.checkpoint_resources import (
        HOW_TO_GET_TABLES,
        RESOURCE_NAMES,
    )
    from elphant.models.registry import find_model
    from elphant.models.weights import fetch_weights

    if name.strip().lower() in RESOURCE_NAMES:
        is_model = name.strip().lower() == MODEL_NAME
        raise ModelError(
            f"'{name}' is not downloaded by elphant.",
            "It is published as a file that you fetch yourself.",
            HOW_TO_GET if is_model else HOW_TO_GET_TABLES,
        )
    entry = find_model(name)
    console = error_console()
    console.print(entry.licence_line, markup=False, highlight=False)
    with TerminalProgress(console).task(f"fetching {entry.name} (MB)", 0) as task:
        path = fetch_weights(entry, progress=lambda done, total: task.note(_megabytes(done, total)))
    print_result(str(path))


@models_app.command("add")
def add_command(
    name: Annotated[
        str, typer.Argument(help="New name of a potential; or uni-hamgnn; or openmx-data.")
    ],
    path: Annotated[
        Path,
        typer.Argument(
            help="Model file; for uni-hamgnn the published .pkl or .zip; for openmx-data the "
            "folder DFT_DATA19."
        ),
    ],
    provider: Annotated[
        str | None, typer.Option("--provider", help="sevennet or mace; told from the ending.")
    ] = None,
    level_of_theory: Annotated[
        str | None,
        typer.Option("--level-of-theory", help="Functional and data it was trained on."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Licence of the weights.")
    ] = None,
    head: Annotated[list[str] | None, typer.Option("--head", help="A head; repeatable.")] = None,
) -> None:
    """Register a model file under a name.

    For a potential this means trusting it: the file stays where it is, and loading it executes its
    code. [bold]uni-hamgnn[/bold] is read without executing anything, and a converted copy is kept.
    Of [bold]openmx-data[/bold] the path is kept.
    """
    from elphant.models.registry import add_model

    options = {"provider": provider, "level-of-theory": level_of_theory,
               "licence": licence, "head": head}  # fmt: skip
    given = [f"--{key}" for key, value in options.items() if value]
    if _add_resource(name.strip().lower(), path, given):
        return
    entry = add_model(
        name,
        path,
        provider=cast("Provider | None", provider),  # add_model checks it
        level_of_theory=level_of_theory or "not stated",
        licence=licence or "not stated",
        heads=head or (),
    )
    print_result(f"{entry.name}: {entry.path}, sha256 {entry.sha256}")


def _add_resource(name: str, path: Path, given: list[str]) -> bool:
    """Add what is not a potential; return False if the name is that of a potential."""
    from elphant.models.hamiltonians.hamgnn.checkpoint import MODEL_NAME
    from elphant.models.hamiltonians.hamgnn.checkpoint_resources import (
        RESOURCE_NAMES,
        add_openmx_tables,
        add_uni_hamgnn,
        origin_flag,
        resource_directory,
    )

    if name not in RESOURCE_NAMES:
        return False
    if given:
        raise ConfigurationError(
            f"{' and '.join(given)} cannot be given for {name}.",
            "They describe potentials; here the file says it itself.",
            "Leave them out.",
        )
    if name != MODEL_NAME:
        tables = add_openmx_tables(path)
        print_result(
            f"{name}: {tables.path}, {tables.release}, {len(tables.elements)} elements: "
            f"{', '.join(tables.elements)}"
        )
        return True
    checkpoint = add_uni_hamgnn(path)
    for text in checkpoint.notes:
        error_console().print(f"note: {text}", markup=False, highlight=False)
    flag = origin_flag(checkpoint)
    prefix = "warning: " if flag.severity == "warning" else ""
    error_console().print(prefix + flag.message, markup=False, highlight=False)
    sizes = " and ".join(
        f"{tag} with {state.n_parameters:,} parameters"
        for tag, state in checkpoint.networks.items()
    )
    print_result(
        f"{name}: {sizes}, in {resource_directory() / name}, sha256 of the source "
        f"{checkpoint.source.sha256}"
    )
    return True


def _print_resource(item: Resource) -> None:
    lines = {"name": item.name, "provider": item.provider, "state": item.state,
             "level_of_theory": item.level_of_theory, "licence": item.licence,
             **item.details}  # fmt: skip
    for key, value in lines.items():
        if value:
            print_result(f"{key:16s} {value}")


def _megabytes(done: int, total: int | None) -> str:
    return f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f}" if total else "")

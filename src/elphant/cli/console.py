"""The border between elphant and the person at the terminal: errors, warnings, exit codes."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from elphant.errors import ElphantError

#: Exit status after Ctrl-C and after a request to end, as shells expect (128 + signal).
INTERRUPTED, TERMINATED = 130, 143

logger = logging.getLogger(__name__)


def error_console() -> Console:
    """Return the console for progress and messages (standard error)."""
    return Console(stderr=True, soft_wrap=True)


def call_reporting_errors(function: Callable[[], object], *, debug: bool) -> int:
    """Call ``function`` and return the exit status; with ``debug`` exceptions pass through."""
    console = error_console()
    try:
        with collected_warnings(console):
            function()
    except ElphantError as error:
        if debug:
            raise
        console.print(f"[bold red]error:[/bold red] {escape(error.text())}", highlight=False)
        return error.exit_code
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer turns Ctrl-C into an exit status without a word.
        status = INTERRUPTED if isinstance(end, KeyboardInterrupt) else end.code
        if debug or status not in (INTERRUPTED, TERMINATED):
            raise
        word = "interrupted" if status == INTERRUPTED else "terminated"
        console.print(f"{word}. Finished work is stored; the same command continues from it.")
        return int(status)
    except MemoryError as error:
        if debug:
            raise
        console.print(
            f"[bold red]error:[/bold red] out of memory ({escape(str(error))}).\n"
            "  Finished work is stored. Use a coarser mesh or a smaller supercell, or --memory."
        )
        return 9
    except Exception as error:  # the last line of defence: no traceback by default
        if debug:
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        console.print(
            f"[bold red]internal error:[/bold red] {type(error).__name__}: {escape(str(error))}\n"
            f"  raised in {place.name} ({place.filename}:{place.lineno}).\n"
            "  This is a defect of elphant, not of your input. Finished work is stored.\n"
            "  Run again with --debug for the traceback and report it.",
            highlight=False,
        )
        return 70
    return 0


def end_on_request() -> None:
    """Let a request to end (SIGTERM: batch systems, ``kill``) stop the program in good order.

    Without this the process would vanish at once and leave its workers and files behind.
    """

    def stop(*_: object) -> None:
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def collected_warnings(console: Console) -> Iterator[None]:
    """Print elphant's own warnings; count those of third-party packages for the debug log."""
    seen: dict[str, int] = {}

    def collect(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        text = f"{category.__name__}: {message}"
        seen[text] = seen.get(text, 0) + 1

    class PrintOwn(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name.startswith("elphant"):
                console.print(f"[yellow]warning:[/yellow] {escape(record.getMessage())}")

    handler = PrintOwn(level=logging.WARNING)
    root, shown = logging.getLogger(), warnings.showwarning
    root.addHandler(handler)
    warnings.showwarning = collect  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.showwarning = shown
        root.removeHandler(handler)
        for text, count in seen.items():
            logger.debug("third-party warning, %d times: %s", count, text)


def print_result(text: str) -> None:
    """Print a result on standard output."""
    sys.stdout.write(text + "\n")

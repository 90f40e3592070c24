"""Progress in the terminal: bars with the time left, and one line per decision."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from elphant.engine.progress import Task

#: Where output is no terminal (a batch job's log), a line is printed at most this often, seconds.
LOG_INTERVAL = 60.0


class TerminalProgress:
    """Draws on standard error, so that standard output holds results only."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def decided(self, message: str) -> None:
        """Print a decision."""
        self._console.print(f"[dim]·[/dim] {escape(message)}", highlight=False)

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """Draw a bar while the task runs, or write lines where output is no terminal."""
        if not self._console.is_terminal:
            line = _LoggedTask(self._console, escape(label), total)
            yield line
            line.finish()
            return
        bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        with bars:
            task = _BarTask(bars, escape(label), total)
            yield task
            task.finish()


class _BarTask:
    """One bar."""

    def __init__(self, bars: Progress, label: str, total: int) -> None:
        self._bars = bars
        self._identifier = bars.add_task(label, total=total, note="")

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._identifier, steps)

    def note(self, text: str) -> None:
        self._bars.update(self._identifier, note=escape(text))

    def finish(self) -> None:
        """Fill the bar: a task may end before its largest number of steps."""
        done = self._bars.tasks[0].completed
        self._bars.update(self._identifier, total=done)


class _LoggedTask:
    """One task in a log file: a line now and then, and one at the end."""

    def __init__(self, console: Console, label: str, total: int) -> None:
        self._console, self._label, self._total = console, label, total
        self._done, self._note = 0, ""
        self._start = self._last = time.perf_counter()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.perf_counter()
        if now - self._last > LOG_INTERVAL and self._done < self._total:
            self._last = now
            left = (now - self._start) / self._done * (self._total - self._done)
            self._print(f"{self._done} of {self._total}, about {left:.0f} s left")

    def note(self, text: str) -> None:
        self._note = escape(text)
        # A single step may take minutes.
        if time.perf_counter() - self._last > LOG_INTERVAL:
            self._last = time.perf_counter()
            self._print(f"{self._done} of {self._total}")

    def finish(self) -> None:
        count = f"{self._done} steps, " if self._done > 1 else ""
        self._print(f"done ({count}{time.perf_counter() - self._start:.1f} s)")

    def _print(self, state: str) -> None:
        note = f"; {self._note}" if self._note else ""
        self._console.print(f"  {self._label}: {state}{note}", highlight=False)

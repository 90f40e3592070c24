"""How long work tells what it is doing. The command line draws bars; libraries stay silent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Receiver of progress."""

    def decided(self, message: str) -> None:
        """Take a line saying what was decided, with numbers and units."""
        ...

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """Open a task of ``total`` steps; closed on leaving the context."""
        ...


class Task(Protocol):
    """One running task."""

    def advance(self, steps: int = 1) -> None:
        """Count finished steps."""
        ...

    def note(self, text: str) -> None:
        """Show a short remark beside the bar, for example the present residual force."""
        ...


class SilentTask:
    """A task that nobody watches."""

    def advance(self, steps: int = 1) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class SilentProgress:
    """Progress that goes to the log only."""

    def decided(self, message: str) -> None:
        """Log the decision."""
        logger.info(message)

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """Log the start of a task."""
        logger.info("%s: %d steps", label, total)
        yield SilentTask()


class RemarkingProgress:
    """Progress of work inside a larger task: its state is a remark beside the bar of that task.

    Parameters
    ----------
    outer : Task
    """

    def __init__(self, outer: Task) -> None:
        self._outer = outer

    def decided(self, message: str) -> None:
        """Log the decision: it would be told once per item."""
        logger.info(message)

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """Open a task whose steps and notes are remarks of the outer one."""
        yield _RemarkingTask(self._outer, label, total)


class _RemarkingTask:
    def __init__(self, outer: Task, label: str, total: int) -> None:
        self._outer, self._label, self._total, self._done = outer, label, total, 0

    def advance(self, steps: int = 1) -> None:
        self._done += steps

    def note(self, text: str) -> None:
        self._outer.note(f"{self._label}, step {self._done} of at most {self._total}: {text}")

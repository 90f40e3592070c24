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

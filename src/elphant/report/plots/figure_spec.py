"""What every figure file provides: a drawing, its data, and words for those who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from elphant.report.run_data import RunData


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataTable:
    """Columns behind a figure; the header of each column names quantity and unit.

    Attributes
    ----------
    columns : mapping of str to array_like, all of one length
    suffix : str
        Added to the figure's name when a figure has several tables.
    """

    columns: Mapping[str, ArrayLike]
    suffix: str = ""

    def to_csv(self) -> str:
        """Return the table as CSV text; numbers with seven significant digits."""
        arrays = [np.asarray(column) for column in self.columns.values()]
        lines = [",".join(_quoted(name) for name in self.columns)]
        lines += [",".join(_cell(value) for value in row) for row in zip(*arrays, strict=True)]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureSpec:
    """One figure of the report.

    Attributes
    ----------
    name : str
        Stem of the file names.
    title : str
    plot : callable
        ``plot(run, ax=None) -> Figure``; figures with several panels take a sequence of axes.
    tables : callable
        ``tables(run) -> tuple of DataTable``.
    caption, alt : callable
        Caption (with the numbers that matter) and a description for screen readers.
    missing : callable
        Returns why the figure cannot be drawn for this run; empty when it can.
    applies : callable
        Returns whether the figure belongs to this kind of run at all; if not, the report does not
        mention it.
    """

    name: str
    title: str
    plot: Callable[..., Figure]
    tables: Callable[[RunData], tuple[DataTable, ...]]
    caption: Callable[[RunData], str]
    alt: Callable[[RunData], str]
    missing: Callable[[RunData], str] = field(default=lambda run: "")  # noqa: ARG005
    applies: Callable[[RunData], bool] = field(default=lambda run: True)  # noqa: ARG005


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


def _cell(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float | np.floating) else _quoted(str(value))

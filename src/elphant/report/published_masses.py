"""Published effective masses for comparison, each with its source.

Values are given along the axes of the standard setting of the space group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from elphant.report.run_data import RunData


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMasses:
    """Masses of one source, m_e.

    Attributes
    ----------
    formula, space_group : str
    source, authors : str
        In full, and short for tables.
    method : str
    electron, hole : mapping of the standard axes a, b, c to values
    axes_proven : bool
        False where the source does not say which of its axes is which of the standard setting.
    note : str
    """

    formula: str
    space_group: str
    source: str
    authors: str
    method: str
    electron: dict[str, float]
    hole: dict[str, float]
    axes_proven: bool
    note: str

    def of(self, carrier: str) -> dict[str, float]:
        """Return the masses of one carrier."""
        return self.electron if carrier == "electron" else self.hole


#: How the axes of both sources are assigned, and how sure that is.
ASSIGNMENT = (
    "x is the ribbon direction, b of Pnma, the shortest axis; that y is c and z is a is plausible, "
    "not proven: the source does not name the axes."
)

#: x, y, z of both sources are taken as b, c, a of Pnma.
PUBLISHED_MASSES = (
    PublishedMasses(
        formula="Sb2Se3",
        space_group="Pnma",
        source="Li, Wang and Walsh, anisotropic transport in Sb2Se3",
        authors="Li et al.",
        method="Uni-HamGNN Hamiltonian",
        electron={"b": 0.15, "c": 0.89, "a": 7.92},
        hole={"b": 0.97, "c": 0.56, "a": 2.53},
        axes_proven=False,
        note=ASSIGNMENT,
    ),
    PublishedMasses(
        formula="Sb2Se3",
        space_group="Pnma",
        source="Wang, Ganose, Kavanagh and Walsh, SI of arXiv:2206.15389",
        authors="Wang et al.",
        method="derived from HSE bands; digits of z truncated in the source",
        electron={"b": 0.14, "c": 0.81, "a": 7.0},
        hole={"b": 0.85, "c": 0.55, "a": 3.0},
        axes_proven=False,
        note=ASSIGNMENT,
    ),
)


class OfPhase(Protocol):
    """Something published about one phase of a compound."""

    @property
    def formula(self) -> str:
        """Reduced chemical formula."""
        ...

    @property
    def space_group(self) -> str:
        """Standard Hermann-Mauguin symbol."""
        ...


Item = TypeVar("Item", bound=OfPhase)


def of_same_phase(items: Iterable[Item], run: RunData) -> tuple[Item, ...]:
    """Return what was published about the crystal of a run; nothing where it is another phase."""
    symbol = run.space_group.split(" ")[0]
    phase = (run.formula, symbol)
    return tuple(item for item in items if (item.formula, item.space_group) == phase)


def published_masses(run: RunData) -> tuple[PublishedMasses, ...]:
    """Return the published masses of the crystal of a run; none where it is another phase."""
    return of_same_phase(PUBLISHED_MASSES, run)

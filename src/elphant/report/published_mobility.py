"""Published mobilities for comparison, each with its source.

Values are given along the axes of the standard setting of the space group.
"""

from __future__ import annotations

from dataclasses import dataclass

from elphant.report.published_masses import ASSIGNMENT, of_same_phase
from elphant.report.run_data import RunData

#: Carrier, then part, then axis of the standard setting, to cm² V⁻¹ s⁻¹.
Values = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMobility:
    """Mobilities of one source, cm² V⁻¹ s⁻¹.

    Attributes
    ----------
    formula, space_group : str
    source, authors : str
        In full, and short for tables.
    method : str
    solver : {"serta", "mrta", "bte"}
        The comparable one.
    temperature : float, K
    values : mapping
        Carrier, part (``total``, ``polar``, ``remaining``), axis (a, b, c of the standard setting).
    axes_proven : bool
        False where the source does not say which of its axes is which of the standard setting.
    note : str
    """

    formula: str
    space_group: str
    source: str
    authors: str
    method: str
    solver: str
    temperature: float
    values: Values
    axes_proven: bool
    note: str


def _xyz(x: float, y: float, z: float) -> dict[str, float]:
    """Return values along x, y, z of the study, taken as b, c, a of Pnma."""
    return {"b": x, "c": y, "a": z}


PUBLISHED_MOBILITIES = (
    PublishedMobility(
        formula="Sb2Se3",
        space_group="Pnma",
        source="Li, Wang and Walsh, anisotropic transport in Sb2Se3, table 1",
        authors="Li et al.",
        method="MACE phonons and Uni-HamGNN coupling",
        solver="serta",
        temperature=300.0,
        values={
            "electron": {
                "polar": _xyz(99.64, 17.92, 2.03),
                "remaining": _xyz(407.24, 75.99, 9.65),
                "total": _xyz(79.24, 14.30, 1.65),
            },
            "hole": {
                "polar": _xyz(10.94, 19.50, 3.79),
                "remaining": _xyz(52.02, 97.30, 20.33),
                "total": _xyz(8.98, 16.13, 3.17),
            },
        },
        axes_proven=False,
        note=ASSIGNMENT,
    ),
)


def published_mobility(run: RunData) -> tuple[PublishedMobility, ...]:
    """Return the published mobilities of the crystal of a run; none where it is another phase."""
    return of_same_phase(PUBLISHED_MOBILITIES, run)

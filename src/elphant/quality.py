"""Quality flags: doubts about a number, stored beside the number and printed in the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["info", "warning", "invalid"]

#: All severities, harmless first.
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFlag:
    """One check of a result.

    Parameters
    ----------
    name : str
        Machine-readable name, lower case with underscores.
    severity : {"info", "warning", "invalid"}
        ``info``: checked and in order; ``warning``: the number is doubtful; ``invalid``: it has no
        physical meaning as it stands.
    message : str
        One sentence for a reader, with numbers and units.
    value, threshold : float or None
        The measured quantity and the limit it was compared with.
    """

    name: str
    severity: Severity
    message: str
    value: float | None = None
    threshold: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record stored in ``results.json``."""
        return asdict(self)


def check_below(
    name: str,
    value: float,
    threshold: float,
    message: str,
    *,
    severity: Severity = "warning",
) -> QualityFlag:
    """Return an ``info`` flag when ``value <= threshold``, else a flag of ``severity``."""
    passed = bool(value <= threshold)
    return QualityFlag(
        name=name,
        severity="info" if passed else severity,
        message=message,
        value=float(value),
        threshold=float(threshold),
    )

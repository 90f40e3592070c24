"""Numbers and names as a reader expects them in print."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import floor, log10

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def formula_text(formula: str) -> str:
    """Return a formula with lowered digits: ``Sb2Se3`` becomes ``Sb₂Se₃``."""
    return re.sub(r"(?<=[A-Za-z)])\d+", lambda match: match[0].translate(_SUBSCRIPTS), formula)


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with ``digits`` significant digits and a real minus sign; – for None."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" not in text:
        text = _padded(value, digits)
        return text.replace("-", "−")
    mantissa, exponent = text.split("e")
    raised = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{mantissa} × 10{raised}".replace("-", "−")


def _padded(value: float, digits: int) -> str:
    """Keep trailing zeros, so that columns of numbers show one precision."""
    text = f"{value:#.{digits}g}"
    return text.rstrip(".")


def fixed(value: float | None, decimals: int) -> str:
    """Return a number with ``decimals`` places; – for None."""
    if value is None:
        return "–"
    text = f"{value:.{decimals}f}"
    return (text[1:] if float(text) == 0 and text[0] == "-" else text).replace("-", "−")


def value_and_error(value: float, error: float | None) -> str:
    """Return ``0.377 ± 0.015``: the value to the digits of its error, or with four digits."""
    if not error or error <= 0:
        return number(value, 4)
    decimals = max(0, 1 - floor(log10(error)))
    return f"{fixed(value, decimals)} ± {fixed(error, decimals)}"


def signed_percent(value: float) -> str:
    """Return ``+0.12 %``."""
    return f"{value:+.2f} %".replace("-", "−")


def beside_first(
    values: Mapping[str, float | None], first: Mapping[str, float | None]
) -> list[str]:
    """Return the values as text, each with its difference in percent to the first where known."""
    cells = []
    for name, value in values.items():
        text, reference = number(value, 3), first.get(name)
        if reference and value is not None:
            text += f" ({signed_percent(100 * (value / reference - 1))})"
        cells.append(text)
    return cells


def duration(seconds: float) -> str:
    """Return a time span as a person would say it: ``21 s``, ``4 min 10 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def mesh_text(mesh: Sequence[int]) -> str:
    """Return ``3 × 7 × 3``."""
    return " × ".join(str(n) for n in mesh)


def supercell_text(matrix: Sequence[Sequence[int]]) -> str:
    """Return ``1 × 3 × 1`` for a diagonal matrix, else its rows."""
    diagonal = all(matrix[i][j] == 0 for i in range(3) for j in range(3) if i != j)
    if diagonal:
        return mesh_text([matrix[i][i] for i in range(3)])
    rows = "; ".join(" ".join(str(n).replace("-", "−") for n in row) for row in matrix)
    return f"[{rows}]"


def compact(value: float, digits: int = 3) -> str:
    """Return a number without trailing zeros: ``0.002``, ``3.1 × 10⁻⁷``."""
    text = f"{value:.{digits}g}"
    return number(value, digits) if "e" in text else text.replace("-", "−")


def sentence(text: str) -> str:
    """Return text that begins with a capital letter and ends with a full stop."""
    stripped = text.strip()
    end = "" if stripped.endswith((".", "!", "?")) else "."
    return f"{stripped[:1].upper()}{stripped[1:]}{end}"


def listing(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"

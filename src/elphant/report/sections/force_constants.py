"""How good the force constants are, order by order."""

from __future__ import annotations

from elphant.report.model import Block, Paragraph, Section, Table
from elphant.report.run_data import ForceConstantSummary, RunData
from elphant.report.text import number, supercell_text

_SOURCES = {
    "finite_difference": "Finite differences of symmetry-reduced displacements.",
    "random": "Fit to random displacements, with symmetry and sum rules imposed.",
    "imported": "Imported from files of another program.",
}
_ORDERS = (("2", "second", "second order"), ("3", "third", "third order"))


def force_constants_section(run: RunData) -> Section | None:
    """Return supercells, counts and errors per order."""
    summary = run.force_constants
    if summary is None:
        return None
    blocks: list[Block] = [Paragraph(text=_SOURCES.get(summary.source, summary.source))]
    blocks.append(_table(summary))
    if summary.displacement_amplitude is not None:
        text = f"Displacement amplitude {summary.displacement_amplitude:g} Å."
        blocks.append(Paragraph(text=text))
    if run.phonons is not None:
        blocks.append(Paragraph(text=_harmonic_text(run)))
    return Section(identifier="force-constants", title="Force constants", blocks=tuple(blocks))


def _table(summary: ForceConstantSummary) -> Table:
    cells = [_column(summary, key, word) for key, word, _ in _ORDERS]
    names = (
        "Supercell",
        "Atoms in the supercell",
        "Cutoff (Å)",
        "Supercell calculations",
        "Free parameters",
        "Held-out force RMSE (eV/Å)",
        "Held-out force R²",
        "Sum-rule residual",
    )
    rows = tuple((name, *(column[i] for column in cells)) for i, name in enumerate(names))
    rows = tuple(row for row in rows if any(cell != "–" for cell in row[1:]))
    return Table(headers=("", *(title for _, _, title in _ORDERS)), rows=rows)


def _column(summary: ForceConstantSummary, key: str, word: str) -> tuple[str, ...]:
    supercell = getattr(summary, f"supercell_{word}")
    n_atoms = getattr(summary, f"n_atoms_{word}")
    cutoff = summary.cutoff_third if key == "3" else None
    snapshots = summary.n_snapshots.get(word)
    parameters = (summary.n_parameters or {}).get(key)
    if supercell is None:
        return ("–",) * 8
    return (
        supercell_text(supercell),
        str(n_atoms),
        "all pairs" if cutoff is None else f"{cutoff:g}",
        "–" if snapshots is None else str(snapshots),
        "–" if parameters is None else str(parameters),
        number((summary.force_rmse or {}).get(key), 3),
        number((summary.force_r2 or {}).get(key), 4),
        number((summary.sum_rule_residual or {}).get(key), 2),
    )


def _harmonic_text(run: RunData) -> str:
    phonons = run.phonons
    assert phonons is not None
    text = (
        f"Harmonic frequencies on the {' × '.join(str(n) for n in phonons.mesh)} mesh lie between "
        f"{_thz(phonons.minimum_frequency)} and {_thz(phonons.maximum_frequency)} THz; "
    )
    if phonons.imaginary_fraction > 0:
        return text + (
            f"{number(100 * phonons.imaginary_fraction, 2)} % of the modes are imaginary "
            "(written as negative frequencies)."
        )
    return text + "no mode is imaginary."


def _thz(value: float) -> str:
    # The three acoustic modes at Γ are zero up to round-off.
    return "0" if abs(value) < 5e-4 else f"{value:.3f}".replace("-", "−")

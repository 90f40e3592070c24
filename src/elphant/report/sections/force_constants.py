"""How good the force constants are, order by order."""

from __future__ import annotations

from collections.abc import Mapping

from elphant.report.model import Block, Paragraph, Section, Table
from elphant.report.records import ForceConstantSummary
from elphant.report.run_data import RunData
from elphant.report.text import compact, number, sentence, supercell_text

_SOURCES = {
    "finite_difference": "Finite differences of symmetry-reduced displacements.",
    "random": "Fit to random displacements, with symmetry and sum rules imposed.",
    "imported": "Imported from files of another program.",
}
_HELD_OUT = {
    "2": "second order",
    "second": "second order",
    "3": "third order",
    "third": "all orders together",
    "third_order2_only": "second-order terms alone on the same snapshots",
    "third_order3_only": "second- and third-order terms alone on the same snapshots",
}
_ORDERS = (
    ("2", "second", "second order"),
    ("3", "third", "third order"),
    ("4", "fourth", "fourth order"),
)


def force_constants_section(run: RunData) -> Section | None:
    """Return supercells, counts and errors per order."""
    summary = run.force_constants
    if summary is None:
        return None
    blocks: list[Block] = [Paragraph(text=_SOURCES.get(summary.source, summary.source))]
    blocks.append(_order_table(summary))
    if summary.force_rmse or summary.force_r2:
        blocks.append(_held_out_table(summary))
    remarks = []
    if summary.residual_force is not None:
        residual = compact(summary.residual_force, 2)
        remarks.append(f"Largest force of the undisplaced supercell {residual} eV/Å.")
    if remarks:
        blocks.append(Paragraph(text=" ".join(remarks)))
    if run.phonons is not None:
        blocks.append(Paragraph(text=_harmonic_text(run)))
    return Section(identifier="force-constants", title="Force constants", blocks=tuple(blocks))


def _order_table(summary: ForceConstantSummary) -> Table:
    # Most runs stop at the third order: the fourth has a column only where there is one.
    orders = _ORDERS if summary.has_fourth else _ORDERS[:2]
    cells = [_column(summary, key, word) for key, word, _ in orders]
    names = (
        "Supercell",
        "Atoms in the supercell",
        "Displacements",
        "Amplitude (Å)",
        "Cutoff (Å)",
        "Supercell calculations",
        "Free parameters",
        "Clusters, all orderings",
        "Unexplained by the fit",
        "Standard error of the constants",
        "Sum-rule residual",
        "Permutation residual",
    )
    rows = tuple((name, *(column[i] for column in cells)) for i, name in enumerate(names))
    rows = tuple(row for row in rows if any(cell != "–" for cell in row[1:]))
    return Table(headers=("", *(title for _, _, title in orders)), rows=rows)


def _column(summary: ForceConstantSummary, key: str, word: str) -> tuple[str, ...]:
    # The fourth order comes from the supercells of the third.
    cell = "third" if word == "fourth" else word
    supercell = getattr(summary, f"supercell_{cell}")
    clusters = getattr(summary, f"n_clusters_{word}", None)
    if supercell is None and clusters is None:
        return ("–",) * 12
    cutoff = getattr(summary, f"cutoff_{word}", None)
    snapshots = summary.n_snapshots.get(word)
    shared = snapshots is None and any(summary.n_snapshots.values())
    amplitude = summary.displacement_amplitude.get(word)
    parameters = (summary.n_parameters or {}).get(key)
    return (
        "–" if supercell is None else supercell_text(supercell),
        "–" if supercell is None else str(getattr(summary, f"n_atoms_{cell}")),
        summary.design.get(word, "shared" if shared else "–").replace("-", " "),
        f"{amplitude:g}" if amplitude is not None else "shared" if shared else "–",
        "none" if cutoff is None else f"{cutoff:g}",
        "shared" if shared else "–" if snapshots is None else str(snapshots),
        "–" if parameters is None else str(parameters),
        "–" if clusters is None else str(clusters),
        _percent(summary.unexplained_share, key),
        _percent(summary.parameter_error, key),
        _residual(summary.sum_rule_residual, key),
        _residual(summary.permutation_residual, key),
    )


def _percent(values: Mapping[str, float | None] | None, key: str) -> str:
    value = (values or {}).get(key)
    return "–" if value is None else f"{compact(100 * value, 2)} %"


def _residual(values: Mapping[str, float | None] | None, key: str) -> str:
    value = (values or {}).get(key)
    return "–" if value is None else compact(value, 2)


def held_out_name(key: str) -> str:
    """Return the name of a set of held-out snapshots in words."""
    return _HELD_OUT.get(key, key.replace("_", " "))


def _held_out_table(summary: ForceConstantSummary) -> Table:
    rmse, r_squared = summary.force_rmse or {}, summary.force_r2 or {}
    rows = tuple(
        (
            sentence(held_out_name(key)).rstrip("."),
            number(rmse.get(key), 3),
            r2_text(r_squared.get(key)),
        )
        for key in dict.fromkeys((*rmse, *r_squared))
    )
    headers = ("snapshots and terms", "force RMSE (eV/Å)", "force R²")
    return Table(caption="Forces on held-out snapshots", headers=headers, rows=rows)


def r2_text(value: float | None) -> str:
    """Return R² with as many digits as it takes to tell it from one."""
    if value is None:
        return "–"
    return next((f"{value:.{n}f}" for n in (4, 6, 8) if f"{value:.{n}f}"[0] != "1"), "1.0000")


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

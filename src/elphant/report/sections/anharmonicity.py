"""Why the crystal scatters: force asymmetry of single atoms and Grüneisen parameters."""

from __future__ import annotations

from elphant.crystal import AXES
from elphant.report.model import Block, Paragraph, Section, Table
from elphant.report.plots.force_asymmetry import atom_names
from elphant.report.run_data import RunData
from elphant.report.text import fixed, number


def anharmonicity_section(run: RunData) -> Section | None:
    """Return the section; None where nothing of it was computed."""
    blocks: list[Block] = []
    if run.force_asymmetry:
        blocks += [_asymmetry_table(run), Paragraph(text=_asymmetry_text(run), muted=True)]
    if run.gruneisen:
        blocks += [_gruneisen_table(run), Paragraph(text=_GRUNEISEN, muted=True)]
    if not blocks:
        return None
    return Section(identifier="anharmonicity", title="Anharmonicity", blocks=tuple(blocks))


_GRUNEISEN = (
    "Relative softening per relative stretch, averaged over the modes with their heat capacities; "
    "the ions are clamped, internal coordinates do not relax under the strain."
)


def _asymmetry_table(run: RunData) -> Table:
    names = atom_names(run, [r.atom for r in run.force_asymmetry])
    rows = []
    for r in run.force_asymmetry:
        value = "0 by symmetry" if r.symmetric else f"{100 * r.value:.1f} %"
        vector = "–" if r.vector_value is None else f"{100 * r.vector_value:.1f} %"
        rows.append(
            (
                f"{names[r.atom]} along {r.axis or 'its direction'}",
                value,
                vector,
                number(r.quadratic, 3),
                number(r.cubic, 3),
                number(r.quartic, 3),
                number(r.third_order_on_site, 3),
                number(r.third_order_norm, 3),
            )
        )
    headers = (
        "atom and axis", "asymmetry along it", "of the vector", "quadratic (eV/Å²)",
        "cubic (eV/Å³)", "quartic (eV/Å⁴)", "Φ₃ on site (eV/Å³)", "norm of Φ₃ (eV/Å³)",
    )  # fmt: skip
    return Table(caption="Force asymmetry of single atoms", headers=headers, rows=tuple(rows))


def _asymmetry_text(run: RunData) -> str:
    records = run.force_asymmetry
    amplitudes = sorted({r.amplitude for r in records if r.amplitude is not None})
    at = f" at u = {', '.join(f'{u:g}' for u in amplitudes)} Å" if amplitudes else ""
    text = (
        f"Asymmetry is |F(+u) + F(−u)| / (|F(+u)| + |F(−u)|){at}, with the force on the displaced "
        "atom along the axis, and with its whole vector. Quadratic, cubic and quartic are the "
        "second to fourth derivatives of a polynomial fitted to energies and forces"
    )
    residuals = [r.fit_residual for r in records if r.fit_residual is not None]
    if residuals:
        text += f" (largest deviation {fixed(1000 * max(residuals), 2)} meV)"
    if any(r.third_order_on_site is not None for r in records):
        text += (
            "; the cubic coefficient is to be compared with Φ₃ on site, from the force constants "
            "of the conductivity"
        )
    return f"{text}."


def _gruneisen_table(run: RunData) -> Table:
    rows = tuple(
        (
            f"{r.level}, {r.temperature:g} K",
            fixed(r.mean, 2),
            *(fixed(r.axes[axis], 2) for axis in AXES),
            f"{fixed(r.minimum, 1)} to {fixed(r.maximum, 1)}",
            str(r.n_left_out),
        )
        for r in run.gruneisen
    )
    headers = ("phonons", "mean", *(f"along {axis}" for axis in AXES), "range", "modes left out")
    return Table(caption="Grüneisen parameters", headers=headers, rows=rows)

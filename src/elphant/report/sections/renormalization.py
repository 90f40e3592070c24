"""Self-consistent phonons: what temperature does to the frequencies, and how it was found."""

from __future__ import annotations

from elphant.report.model import Block, Notice, Paragraph, Section, Table
from elphant.report.records import Renormalization
from elphant.report.run_data import RunData
from elphant.report.text import compact, fixed, listing, number

_VARIANTS = {
    "loop": "Loop: the fourth-order constants averaged over the thermal displacements are added to "
    "the second order until both agree.",
    "stochastic": "Stochastic: second-order constants are fitted to the forces of supercells that "
    "are sampled from their own thermal distribution; all even orders of the potential enter.",
    "bubble": "Bubble: the static second-order shift by the third-order constants was added; it "
    "softens the modes that the loop hardens.",
}


def renormalization_section(run: RunData) -> Section | None:
    """Return the section; None where the phonons stayed harmonic."""
    records = run.renormalization
    if not records:
        return None
    blocks: list[Block] = [Paragraph(text=_headline(run)), _frequency_table(records)]
    blocks.append(_solution_table(records))
    blocks += _stability_notices(records)
    used = [text for key, text in _VARIANTS.items() if any(key in r.variant for r in records)]
    blocks.append(Paragraph(text=" ".join(used), muted=True))
    comparison = _comparison_text(records)
    if comparison:
        blocks.append(Paragraph(text=comparison))
    return Section(
        identifier="renormalization", title="Self-consistent phonons", blocks=tuple(blocks)
    )


def _headline(run: RunData) -> str:
    entering = {r.renormalization for r in run.thermal_conductivity if r.renormalization}
    temperatures = sorted({r.temperature for r in run.renormalization})
    text = f"Frequencies were renormalised at {listing([f'{t:g} K' for t in temperatures])}."
    if entering:
        text += (
            f" The SCP levels of the conductivity rest on the variant {listing(sorted(entering))}, "
            "with the force constants of third and fourth order unchanged."
        )
    return text


def _frequency_table(records: tuple[Renormalization, ...]) -> Table:
    rows = tuple(
        (
            _name(r),
            _change(_lowest_optical(r.gamma_before), _lowest_optical(r.gamma_after)),
            _change(max(r.gamma_before), max(r.gamma_after)),
            _change(r.minimum_before, r.minimum_after),
            f"{100 * r.imaginary_fraction_before:.2f} → {100 * r.imaginary_fraction_after:.2f} %",
        )
        for r in records
    )
    headers = (
        "variant", "lowest optical at Γ", "highest at Γ", "lowest of the mesh", "imaginary modes",
    )  # fmt: skip
    return Table(caption="Frequencies, harmonic → renormalised (THz)", headers=headers, rows=rows)


def _solution_table(records: tuple[Renormalization, ...]) -> Table:
    rows = []
    for r in records:
        energy = "–" if r.free_energy is None else fixed(1000 * r.free_energy, 1)
        if r.free_energy is not None and r.free_energy_error:
            energy += f" ± {fixed(1000 * r.free_energy_error, 1)}"
        samples = "–"
        if r.n_snapshots is not None:
            samples = str(r.n_snapshots)
            if r.effective_sample_size is not None:
                samples += f" (effective {r.effective_sample_size:.0f})"
        rows.append(
            (
                _name(r),
                energy,
                "yes" if r.converged else "no",
                str(r.n_iterations),
                "–" if r.residual is None else compact(r.residual, 2),
                samples,
            )
        )
    headers = (
        "variant", "free energy (meV per primitive cell)", "converged", "iterations",
        "last change (THz)", "supercells",
    )  # fmt: skip
    return Table(caption="Self-consistency", headers=headers, rows=tuple(rows))


def _stability_notices(records: tuple[Renormalization, ...]) -> list[Block]:
    notices: list[Block] = []
    for r in records:
        if not r.converged:
            text = f"{_name(r)}: the self-consistency was not reached; do not use these levels."
            notices.append(Notice(severity="invalid", title="Not converged.", text=text))
        if r.imaginary_fraction_after > 0:
            text = (
                f"{_name(r)}: {100 * r.imaginary_fraction_after:.2f} % of the modes stay "
                "imaginary; the crystal takes another structure in this approximation."
            )
            notices.append(Notice(severity="invalid", title="No stable solution.", text=text))
        elif r.imaginary_fraction_before > 0:
            way = ""
            if r.continuation:
                way = f" Found by going down from {max(r.continuation):g} K."
            text = (
                f"{_name(r)}: {100 * r.imaginary_fraction_before:.2f} % of the harmonic modes are "
                f"imaginary and become real.{way} The harmonic levels of the ladder leave these "
                "modes out."
            )
            notices.append(Notice(severity="warning", title="Stabilised by heat.", text=text))
    return notices


def _comparison_text(records: tuple[Renormalization, ...]) -> str:
    """Say how far the two variants agree at Γ, in units of the standard error."""
    loops = {r.temperature: r for r in records if r.variant == "loop"}
    parts = []
    for r in records:
        loop = loops.get(r.temperature)
        if r.variant != "stochastic" or loop is None:
            continue
        if len(loop.gamma_after) != len(r.gamma_after):
            continue
        difference = [b - a for a, b in zip(loop.gamma_after, r.gamma_after, strict=True)]
        mean = sum(abs(d) for d in difference) / len(difference)
        text = (
            f"At {r.temperature:g} K the stochastic frequencies at Γ differ from those of the loop "
            f"by {number(mean, 2)} THz on average"
        )
        if r.gamma_standard_error:
            error = sum(r.gamma_standard_error) / len(r.gamma_standard_error)
            text += f", with a mean standard error of {number(error, 2)} THz"
        parts.append(f"{text}.")
    return " ".join(parts)


def _name(record: Renormalization) -> str:
    return f"{record.variant}, {record.temperature:g} K"


def _lowest_optical(frequencies: list[float]) -> float:
    """Return the lowest frequency at Γ that is not one of the three translations."""
    without = sorted(frequencies, key=abs)[3:]
    return min(without, default=0.0)


def _change(before: float, after: float) -> str:
    return f"{fixed(before, 3)} → {fixed(after, 3)}"

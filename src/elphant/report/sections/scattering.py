"""Scattering rates by channel, how the four-phonon sum was done, and velocities by axis."""

from __future__ import annotations

from collections.abc import Sequence

from elphant.crystal import AXES
from elphant.report.model import Block, Notice, Paragraph, Section, Table
from elphant.report.records import LEVELS, FourPhononSum
from elphant.report.run_data import RunData
from elphant.report.text import compact, duration, listing, mesh_text, number

#: More records than this (one per temperature) are shown as a table.
MOST_PARAGRAPHS = 2

CHANNEL_NAMES = {
    "three_phonon": "three-phonon",
    "three_phonon_absorption": "… absorption",
    "three_phonon_emission": "… emission",
    "four_phonon": "four-phonon",
    "four_phonon_recombination": "… recombination (++)",
    "four_phonon_redistribution": "… redistribution (+−)",
    "four_phonon_splitting": "… splitting (−−)",
    "isotope": "isotope",
    "boundary": "boundary",
}


def scattering_section(run: RunData) -> Section | None:
    """Return the section; None for runs that recorded none of it."""
    blocks: list[Block] = []
    if run.rates:
        blocks.append(_rate_table(run))
        text = (
            "Rates 1/τ (full widths), weighted with the heat capacities of the modes; the share is "
            "that of the mean total rate."
        )
        blocks.append(Paragraph(text=text, muted=True))
    if len(run.four_phonon) > MOST_PARAGRAPHS:
        blocks.append(_sampling_table(run.four_phonon))
    else:
        blocks += [Paragraph(text=sampling_text(record)) for record in run.four_phonon]
    for record in run.four_phonon:
        if not record.converged:
            text = (
                f"{_where(record)}: the standard error is above the wanted "
                f"{_percent(record.tolerance)} along at least one axis."
            )
            blocks.append(Notice(severity="warning", title="Sampling stopped early.", text=text))
    if run.velocity_anisotropy:
        blocks.append(_velocity_table(run))
    if not blocks:
        return None
    return Section(identifier="scattering", title="Scattering", blocks=tuple(blocks))


def _rate_table(run: RunData) -> Table:
    """Show the channels of the most complete level."""
    level = max((r.level for r in run.rates), key=LEVELS.index)
    records = [r for r in run.rates if r.level == level]
    temperature = min({r.temperature for r in records}, key=lambda t: abs(t - 300))
    here = {r.channel: r for r in records if r.temperature == temperature}
    umklapp = any(r.umklapp_share is not None for r in here.values())
    rows = []
    for channel, name in CHANNEL_NAMES.items():
        if channel not in here:
            continue
        r = here[channel]
        row = [name, number(r.mean, 3), number(r.median, 3), f"{100 * r.share:.1f} %"]
        if umklapp:
            row.append("–" if r.umklapp_share is None else f"{100 * r.umklapp_share:.1f} %")
        rows.append(tuple(row))
    headers = ("channel", "mean (ps⁻¹)", "median (ps⁻¹)", "share")
    return Table(
        caption=f"Scattering rates at {temperature:g} K, {level}",
        headers=(*headers, "of it umklapp") if umklapp else headers,
        rows=tuple(rows),
    )


def _where(record: FourPhononSum) -> str:
    at = "" if record.temperature is None else f" at {record.temperature:g} K"
    return f"{record.level}{at}"


def _sampling_table(records: Sequence[FourPhononSum]) -> Table:
    rows = []
    for r in records:
        errors = ["–"] * 3
        if r.relative_error is not None:
            errors = [_percent(r.relative_error[axis]) for axis in AXES]
        drawn = f"{r.n_pairs_drawn} of {r.n_pairs}" if r.sampled else f"all {r.n_pairs}"
        seed = "–" if r.seed is None else str(r.seed)
        time = "–" if r.seconds is None else duration(r.seconds)
        rows.append((_where(r), drawn, seed, *errors, _percent(r.tolerance), time))
    headers = (
        "level", "pairs of wave vectors", "seed", *(f"error along {axis}" for axis in AXES),
        "wanted", "time",
    )  # fmt: skip
    return Table(
        caption="Sampling of four-phonon processes, standard error of the conductivity",
        headers=headers,
        rows=tuple(rows),
    )


def sampling_text(record: FourPhononSum) -> str:
    """Return how the sum over four-phonon processes of one level was done."""
    mesh = f" on the {mesh_text(record.mesh)} mesh" if record.mesh else ""
    text = f"{_where(record)}: "
    if not record.sampled:
        text += f"all {record.n_pairs} pairs of wave vectors{mesh} were summed, without sampling."
    else:
        share = 100 * record.n_pairs_drawn / record.n_pairs if record.n_pairs else 0.0
        text += (
            f"of {record.n_pairs} pairs of wave vectors{mesh}, {record.n_pairs_drawn} "
            f"({compact(share, 2)} %) were drawn"
        )
        text += "" if record.seed is None else f" (seed {record.seed})"
        if record.relative_error is not None:
            errors = [f"{_percent(record.relative_error[a])} along {a}" for a in AXES]
            text += f"; standard error of the conductivity {listing(errors)}"
        if record.tolerance is not None:
            reached = "reached" if record.converged else "not reached"
            text += f"; wanted {_percent(record.tolerance)}, {reached}"
        text += "."
    if record.seconds:
        where = f" on {record.device}" if record.device else ""
        text += f" It took {duration(record.seconds)}{where}"
        if record.n_quartets:
            text += (
                f", {number(record.n_quartets / record.seconds, 2)} quartets of modes per second"
            )
        text += "."
    return text


def _velocity_table(run: RunData) -> Table:
    rows = []
    for r in run.velocity_anisotropy:
        total = sum(r.axes.values()) or 1.0
        cells = [f"{number(r.axes[a], 3)} ({100 * r.axes[a] / total:.0f} %)" for a in AXES]
        rows.append((f"{r.level}, {r.temperature:g} K", *cells))
    return Table(
        caption="Mean square of the group velocity along the axes, (km/s)²",
        headers=("level", *AXES),
        rows=tuple(rows),
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{compact(100 * value, 2)} %"

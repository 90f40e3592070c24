"""The tensors: thermal conductivity in three frames, with every doubt beside it."""

from __future__ import annotations

from elphant.crystal import AXES, CARTESIAN_AXES
from elphant.quality import Severity
from elphant.report.ladder import Rung, ladder
from elphant.report.model import (
    Block,
    KeyNumber,
    KeyNumbers,
    Paragraph,
    Row,
    Section,
    Table,
)
from elphant.report.plots.appearance import axis_label
from elphant.report.records import ThermalConductivity
from elphant.report.run_data import RunData
from elphant.report.sections.doubts import doubt_notices, doubt_word
from elphant.report.text import fixed, listing, mesh_text, number, sentence, value_and_error

UNIT = "W m⁻¹ K⁻¹"
REFERENCE_TEMPERATURE = 300.0  # K
#: Rows of the κ(T) table; longer series are thinned, the CSV file holds all.
MOST_ROWS = 20


def conductivity_section(run: RunData) -> Section | None:
    """Return the section of the thermal conductivity; None for a run without it."""
    if not run.has_lattice_transport:
        return None
    record = run.conductivity(REFERENCE_TEMPERATURE)
    if record is None:
        text = "This run did not compute a thermal conductivity."
        blocks: tuple[Block, ...] = (*doubt_notices(run, "phonons"), Paragraph(text=text))
        return Section(identifier="tensors", title="Thermal conductivity", blocks=blocks)
    blocks = (
        Paragraph(text=_headline(record)),
        key_numbers(run, record),
        *doubt_notices(run, "phonons"),
        Paragraph(text=f"The tensor in three frames ({UNIT})"),
        Row(blocks=_three_frames(record)),
        Paragraph(text=_frame_text(run), muted=True),
        *_ladder_blocks(run),
        _temperature_table(run),
        Paragraph(text=_settings_text(record), muted=True),
    )
    return Section(identifier="tensors", title="Thermal conductivity", blocks=blocks)


def key_numbers(run: RunData, record: ThermalConductivity) -> KeyNumbers:
    """Return the three headline numbers."""
    doubt = doubt_word(run, "phonons")
    severity: Severity = "invalid" if doubt.startswith("invalid") else "warning"
    items = []
    for axis in AXES:
        error = (record.standard_error or {}).get(axis)
        value, _, width = value_and_error(record.axes[axis], error).partition(" ± ")
        items.append(
            KeyNumber(
                label=f"along {axis_label(run, axis)}",
                # The error stands with the unit: the number itself stays on one line.
                value=value if error else number(record.axes[axis], 3),
                unit=f"± {width} {UNIT}" if error else UNIT,
                detail=f"{record.method}, {record.temperature:g} K",
                marker=axis,
                doubt=doubt,
                severity=severity,
            )
        )
    return KeyNumbers(items=tuple(items))


def _headline(record: ThermalConductivity) -> str:
    largest = max(AXES, key=lambda axis: record.axes[axis])
    smallest = min(AXES, key=lambda axis: record.axes[axis])
    mean = sum(record.cartesian[i][i] for i in range(3)) / 3
    text = f"Lattice thermal conductivity at {record.temperature:g} K ({record.method}). "
    if record.axes[smallest] <= 0 or record.axes[largest] / record.axes[smallest] < 1.02:
        return f"{text}One third of the trace is {number(mean, 3)} {UNIT}."
    ratio = record.axes[largest] / record.axes[smallest]
    return (
        f"{text}It is largest along {largest} and smallest along {smallest}, a ratio of "
        f"{ratio:.1f}; one third of the trace is {number(mean, 3)} {UNIT}."
    )


def _three_frames(record: ThermalConductivity) -> tuple[Table, ...]:
    cartesian = Table(
        caption="Cartesian frame of the input",
        headers=("", *CARTESIAN_AXES),
        rows=tuple(
            (name, *(fixed(value, _decimals(record)) for value in row))
            for name, row in zip(CARTESIAN_AXES, record.cartesian, strict=True)
        ),
    )
    decimals = _decimals(record)
    along = Table(
        caption="Crystal axes",
        headers=("", "a, b, c", "a*, b*, c*"),
        rows=tuple(
            (
                f"{axis}, {axis}*",
                fixed(record.axes[axis], decimals),
                fixed(record.reciprocal_axes.get(f"{axis}*"), decimals),
            )
            for axis in AXES
        ),
    )
    values, axes, labels = (record.principal[key] for key in ("values", "axes", "labels"))
    principal = Table(
        caption="Principal frame",
        headers=("", "value", "unit vector (x, y, z)"),
        rows=tuple(
            (
                label if label != "general" else f"axis {i + 1}",
                fixed(value, decimals),
                "(" + ", ".join(fixed(component, 2) for component in axis) + ")",
            )
            for i, (value, axis, label) in enumerate(zip(values, axes, labels, strict=True))
        ),
    )
    return cartesian, along, principal


def _decimals(record: ThermalConductivity) -> int:
    """Decimals that give the largest component four digits."""
    largest = max(abs(value) for row in record.cartesian for value in row)
    return 1 if largest >= 100 else 2 if largest >= 10 else 3 if largest >= 1 else 4


def _frame_text(run: RunData) -> str:
    labels = run.frame.cartesian_labels
    named = [f"{name} = {label}" for name, label in labels.items() if label != "general"]
    general = [name for name, label in labels.items() if label == "general"]
    text = "The Cartesian frame is that of the input structure; nothing was rotated. "
    if named:
        text += f"In it {listing(named)} of the user's cell"
        text += f"; {listing(general)} follows no simple lattice direction. " if general else ". "
    angles = ", ".join(f"{angle:.2f}°" for angle in run.frame.axis_angles)
    return (
        f"{text}Angles between (b, c), (a, c), (a, b): {angles}. Along an axis means n·κ·n for "
        "the unit vector n of that axis; a*, b*, c* are the normals of the cell faces."
    )


def _ladder_blocks(run: RunData) -> list[Block]:
    """Return the table of the levels, for every solver, and what its columns mean."""
    if not run.is_ladder:
        return []
    rungs = [r for name in ("bte", "rta") for r in ladder(run, REFERENCE_TEMPERATURE, solver=name)]
    temperatures = {rung.temperature for rung in rungs}
    rows = tuple(_rung_row(rung, own_temperature=len(temperatures) > 1) for rung in rungs)
    headers = ("level and solver", *AXES, "of which wave-like (a / b / c)")
    at = f" at {temperatures.pop():g} K" if len(temperatures) == 1 else ""
    text = (
        "HA: harmonic phonons. SCP: self-consistent phonons at that temperature. 3ph and 3,4ph: "
        "scattering of three, and of three and four phonons. "
    )
    if any("±" in cell for row in rows for cell in row):
        text += "± is one standard error of the sampled four-phonon rates. "
    text += "BTE: full Boltzmann equation; RTA: relaxation-time approximation."
    table = Table(caption=f"Levels of theory{at} ({UNIT})", headers=headers, rows=rows)
    return [table, Paragraph(text=text, muted=True)]


def _rung_row(rung: Rung, *, own_temperature: bool) -> tuple[str, ...]:
    wave = "–" if rung.coherence else "not computed"
    if rung.wave is not None:
        wave = " / ".join(number(rung.wave[axis], 2) for axis in AXES)
    name = f"{rung.level}, {rung.solver.upper()}"
    if own_temperature:
        name += f", {rung.temperature:g} K"
    return (name, *(value_and_error(rung.total[a], (rung.error or {}).get(a)) for a in AXES), wave)


def _temperature_table(run: RunData) -> Table:
    temperatures = run.temperatures
    if len(temperatures) > MOST_ROWS:
        step = -(-len(temperatures) // MOST_ROWS)
        temperatures = temperatures[::step]
    methods = run.main_methods
    levels = {record.level for record in run.thermal_conductivity}
    prefix = f"{levels.pop()}, " if len(levels) == 1 else ""
    headers = [f"{axis}, {method.removeprefix(prefix)}" for method in methods for axis in AXES]
    rows = []
    for temperature in temperatures:
        cells = []
        for method in methods:
            record = run.conductivity(temperature, method)
            same = record is not None and record.temperature == temperature
            cells += [number(record.axes[axis], 4) if same and record else "–" for axis in AXES]
        rows.append((f"{temperature:g} K", *cells))
    return Table(
        caption=f"Along the crystal axes against temperature ({prefix}{UNIT})",
        headers=("temperature", *headers),
        rows=tuple(rows),
    )


def _settings_text(record: ThermalConductivity) -> str:
    boundary = record.boundary_mfp_um
    parts = [
        f"mesh {mesh_text(record.mesh)}",
        f"broadening: {record.broadening}",
        "wave-like part included" if record.coherence else "particle-like part alone",
        "isotope scattering included" if record.isotope else "no isotope scattering",
        "no boundary scattering"
        if boundary is None
        else f"boundary scattering with a mean free path of {boundary:g} µm",
    ]
    if record.symmetry_residual is not None:
        parts.append(
            "the tensor was averaged over the point group, which changed it by "
            f"{number(100 * record.symmetry_residual, 2)} %"
        )
    return sentence("; ".join(parts))

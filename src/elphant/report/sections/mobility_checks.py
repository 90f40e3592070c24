"""How far mobilities hold: shares of the scattering, Boltzmann picture, meshes, how it was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elphant.crystal import AXES
from elphant.report.mobility_records import CarrierTransport, TransportRecords, dense_limit
from elphant.report.model import Block, Paragraph, Table
from elphant.report.text import compact, duration, fixed, listing, mesh_text, number, sentence

MILLI = 1e3  # meV in eV
_PART_NAMES = {
    "polar": "polar", "short": "short range", "interference": "interference",
    "impurity": "impurities",
}  # fmt: skip
_VALLEY_NAMES = {"intra": "within a valley", "inter": "between valleys"}


def attribution_blocks(records: TransportRecords) -> list[Block]:
    """Return the shares of each kind of scattering; nothing where they were not computed."""
    shares = [(c, a, r) for c in records.carriers for a, r in records.shares(c).items()]
    if not shares:
        return []
    parts = [name for name in _PART_NAMES if any(r.by_part.get(name) for _, _, r in shares)]
    valleys = [name for name in _VALLEY_NAMES if any(name in r.by_valley for _, _, r in shares)]
    rows = tuple(
        (
            f"{carrier}s along {axis}",
            *(_percent(r.by_part.get(name)) for name in parts),
            *(_percent(r.by_valley.get(name)) for name in valleys),
        )
        for carrier, axis, r in shares
    )
    headers = ("", *(_PART_NAMES[name] for name in parts), *(_VALLEY_NAMES[v] for v in valleys))
    first = shares[0][2]
    caption = f"Shares of the resistance (%) at {first.temperature:g} K, {first.solver.upper()}"
    text = (
        "−∂ ln σ / ∂ ln C of each kind of scattering C: the relative change of the conductivity "
        "when that kind grows by as much. The shares sum to 100 %; interference may be negative."
    )
    if "impurity" in parts:
        text += " Shares by valley are those of phonons and impurities together."
    return [Table(caption=caption, headers=headers, rows=rows), Paragraph(text=text, muted=True)]


def _percent(share: float | None) -> str:
    return "–" if share is None else fixed(100 * share, 1)


def validity_blocks(records: TransportRecords) -> list[Block]:
    """Return widths and mean free paths with their verdicts."""
    order = {"electron": 0, "hole": 1}
    found = sorted(records.validity, key=lambda r: (order.get(r.carrier, 2), r.temperature, r.axis))
    if not found:
        return []
    rows = []
    for r in found:
        ratio = r.hbar_over_tau_ev / r.kt_ev if r.hbar_over_tau_ev and r.kt_ev else None
        rows.append(
            (
                f"{r.carrier}s along {r.axis}, {r.temperature:g} K",
                _milli(r.hbar_over_tau_ev),
                _milli(r.kt_ev),
                number(ratio, 2),
                _milli(r.hbar_omega_ev),
                number(r.mean_free_path_A, 3),
                number(r.lattice_A, 3),
                r.verdict,
            )
        )
    headers = (
        "", "ħ/τ (meV)", "kT (meV)", "ħ/τ : kT", "phonon ħω (meV)", "mean free path (Å)",
        "lattice vector (Å)", "verdict",
    )  # fmt: skip
    text = (
        "τ is the effective time of SERTA along the axis. Boltzmann's picture needs states sharper "
        "than kT and carriers that cross a cell between collisions. Where the verdict is doubtful "
        "or invalid, the mobility is a number without that picture behind it: carriers there do "
        "not travel as waves, and hop or diffuse."
    )
    differences = {r.carrier: r.vertex_difference for r in found if r.vertex_difference is not None}
    if differences:
        each = [f"{100 * value:.2g} % for {name}s" for name, value in differences.items()]
        text += (
            " Where energy is conserved, co-moving and projected matrix elements differ by up to "
            f"{listing(each)}, relative to the largest one."
        )
    caption = "Is the Boltzmann equation valid?"
    return [
        Table(caption=caption, headers=headers, rows=tuple(rows)),
        Paragraph(text=text, muted=True),
    ]


def _milli(value: float | None) -> str:
    return number(None if value is None else MILLI * value, 3)


def convergence_blocks(records: TransportRecords) -> list[Block]:
    """Return the mobility of each k mesh and the limit of a dense one."""
    rows: list[tuple[str, ...]] = []
    solvers = set()
    for carrier in records.carriers:
        series = records.convergence(carrier)
        if len(series) < 2:
            continue
        solvers |= {r.solver for r in series if r.solver}
        rows += [
            (f"{carrier}s, {mesh_text(r.mesh)}", *(number(r.axes.get(a), 4) for a in AXES))
            for r in series
        ]
        limits = [dense_limit(series, axis) for axis in AXES]
        if any(limit is not None for limit in limits):
            rows.append((f"{carrier}s, extrapolated", *(number(limit, 4) for limit in limits)))
            last = [series[-1].axes.get(axis) for axis in AXES]
            cells = [
                "–"
                if limit is None or limit <= 0 or value is None
                else f"{fixed(100 * (value / limit - 1), 1)} %"
                for value, limit in zip(last, limits, strict=True)
            ]
            rows.append((f"{carrier}s, finest mesh off by", *cells))
    if not rows:
        return []
    how = f", {', '.join(sorted(s.upper() for s in solvers))}" if solvers else ""
    at = min(records.temperatures)
    caption = f"Convergence of the mobility with the k mesh{how}, {at:g} K (cm² V⁻¹ s⁻¹)"
    text = (
        "Extrapolated: a straight line in 1/N² through the two finest meshes, N the geometric mean "
        "of the divisions. It shows how far the finest mesh is from the limit and replaces none of "
        "the values above. Where it is not positive, the meshes are far too coarse."
    )
    headers = ("carriers and mesh", *(f"along {axis}" for axis in AXES))
    return [
        Table(caption=caption, headers=headers, rows=tuple(rows)),
        Paragraph(text=text, muted=True),
    ]


def parity_blocks(records: TransportRecords) -> list[Block]:
    """Return results with the choices of HamEPC, and what remains different."""
    parity = records.carrier_transport.parity if records.carrier_transport else None
    if not parity:
        return []
    values = [item for item in parity.get("values") or () if isinstance(item, Mapping)]
    rows = tuple(
        (
            f"{item.get('carrier', '')}s, {item.get('part', '')}",
            *(number((item.get("axes") or {}).get(axis), 3) for axis in AXES),
        )
        for item in values
    )
    blocks: list[Block] = []
    if rows:
        caption = "With the choices of HamEPC, SERTA (cm² V⁻¹ s⁻¹)"
        headers = ("carriers and part", *(f"along {axis}" for axis in AXES))
        blocks.append(Table(caption=caption, headers=headers, rows=rows))
    differences = [str(item) for item in parity.get("differences") or ()]
    if differences:
        text = f"What remains different from that program: {'; '.join(differences)}."
        blocks.append(Paragraph(text=text, muted=True))
    return blocks


def method_blocks(records: TransportRecords) -> list[Block]:
    """Return the settings as a table."""
    how = records.carrier_transport
    if how is None:
        return []
    rows: list[tuple[str, str]] = []
    for carrier in records.carriers:
        mesh = how.of_carrier("mesh", carrier)
        rows += [(f"k mesh of {carrier}s", mesh_text(mesh) if mesh else "")]
        states = how.of_carrier("n_states", carrier)
        pairs = how.of_carrier("n_pairs", carrier)
        counts = [f"{states} irreducible states"] if states else []
        counts += [f"{pairs} pairs of states"] if pairs else []
        rows += [(f"{carrier.capitalize()} states", ", ".join(counts))]
        window = how.of_carrier("window_ev", carrier)
        shown = f"{number(MILLI * window, 3)} meV" if window else ""
        rows += [(f"Energy window of {carrier}s", shown)]
        rows += [(f"Fröhlich coupling of {carrier}s", frohlich_text(how, carrier))]
    rows += [
        ("Conservation of energy", how.broadening or ""),
        ("Matrix elements", how.vertex or ""),
        ("Range parameter", f"{number(how.range_parameter, 3)} Å⁻¹" if how.range_parameter else ""),
        ("Derivatives of H", derivatives_text(how.derivatives)),
        ("Ionised impurities", f"{number(how.impurities)} cm⁻³" if how.impurities else ""),
        ("Screening by the carriers", {True: "yes", False: "no", None: ""}[how.screening]),
        ("Time", "" if how.seconds is None else duration(how.seconds)),
    ]
    shown_rows = tuple(row for row in rows if row[1])
    if not shown_rows:
        return []
    caption = "How the mobilities were computed"
    table = Table(caption=caption, headers=("property", "value"), rows=shown_rows, numeric=False)
    return [table, *_sensitivity(how)]


def frohlich_text(how: CarrierTransport, carrier: str) -> str:
    """Return ``α = 1.9, one mode at 5.1 THz``; empty where it was not computed."""
    values = how.of_carrier("frohlich", carrier) or {}
    parts = []
    alpha, omega = values.get("alpha"), values.get("omega_thz")
    if isinstance(alpha, int | float):
        parts.append(f"α = {number(alpha, 3)}")
    if isinstance(omega, int | float):
        parts.append(f"one mode at {number(omega, 3)} THz")
    static = values.get("epsilon_static")
    if isinstance(static, list) and static and isinstance(static[0], list):
        diagonal = [number(row[i], 3) for i, row in enumerate(static)]
        parts.append(f"static permittivity xx, yy, zz {' / '.join(diagonal)}")
    elif isinstance(static, int | float):
        parts.append(f"static permittivity {number(static, 3)}")
    single = values.get("one_mode_mobility") or {}
    if single:
        last = list(single)[-1]
        parts.append(
            f"isotropic band with that coupling: {number(single[last], 3)} cm² V⁻¹ s⁻¹ "
            f"({last.upper()})"
        )
    return ", ".join(parts)


def derivatives_text(record: Mapping[str, Any] | None) -> str:
    """Return how the derivatives of the Hamiltonian were made."""
    if not record:
        return ""
    if record.get("method") == "none":
        return "none: polar scattering only"
    parts = [str(record.get("method", ""))]
    supercell = record.get("supercell")
    if isinstance(supercell, list) and len(supercell) == 3:
        parts.append(mesh_text(supercell))
    if record.get("n_displacements"):
        parts.append(f"{record['n_displacements']} displacements")
    if isinstance(record.get("displacement"), float):
        parts.append(f"of {compact(record['displacement'], 2)} Å")
    if isinstance(record.get("sum_rule_removed"), float):
        parts.append(f"sum rule changed elements by {compact(record['sum_rule_removed'], 2)} eV/Å")
    return ", ".join(part for part in parts if part)


def _sensitivity(how: CarrierTransport) -> list[Block]:
    """Say how much the mobility depends on the range parameter, where that was tried."""
    rows = []
    for item in how.range_sensitivity:
        change = item.get("relative_change") or {}
        cells = [
            f"{fixed(100 * v, 2)} %" if (v := change.get(a)) is not None else "–" for a in AXES
        ]
        name = f"{item.get('carrier', '')}s, {number(item.get('range_parameter'), 3)} Å⁻¹"
        rows.append((name, *cells))
    if not rows:
        return []
    headers = ("carriers and range parameter", *(f"along {axis}" for axis in AXES))
    caption = "Change of the mobility with the range parameter"
    text = sentence("what is added in the long range was taken off the derivatives, so that the "
                    "separation should not matter")  # fmt: skip
    return [
        Table(caption=caption, headers=headers, rows=tuple(rows)),
        Paragraph(text=text, muted=True),
    ]

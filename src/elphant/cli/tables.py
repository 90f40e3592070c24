"""The numbers of a run as plain text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def result_text(results: Mapping[str, Any]) -> str:
    """Return everything a run found: conductivity, gap, masses, lone pairs."""
    parts = []
    if results["thermal_conductivity"]:
        parts.append(tensor_table(results))
    elif results["phonons"]:
        parts.append(_harmonic_text(results))
    if results["band_gap"]:
        parts.append(gap_text(results))
    if results["effective_mass"]:
        parts.append(mass_table(results))
    if results["elf"]:
        parts.append(lone_pair_table(results))
    if results["dielectric"] and "independent_atoms" in results["dielectric"]:
        parts.append(dielectric_table(results["dielectric"]))
    if results["mobility"]:
        parts.append(mobility_table(results))
    if results["figure_of_merit"]:
        parts.append(merit_table(results))
    return "\n\n".join(parts)


def gap_text(results: Mapping[str, Any]) -> str:
    """Return the gap and where its edges are."""
    gap, electrons = results["band_gap"], results["electronic_structure"]
    points = {
        name: "(" + ", ".join(f"{x:.4f}" for x in gap[name]["k_point"]) + ")"
        for name in ("valence", "conduction")
    }
    return (
        f"{electrons['level_of_theory']}\n"
        f"band gap {gap['value']:.3f} eV ({gap['kind']}; smallest direct gap "
        f"{gap['direct_value']:.3f} eV): valence maximum at k = {points['valence']}, conduction "
        f"minimum at {points['conduction']}"
    )


def mass_table(results: Mapping[str, Any]) -> str:
    """Return effective masses along the crystal axes, one line per record."""
    lines = ["effective masses in electron masses, along the axes of the input cell"]
    lines.append(f"{'':28s}" + "  ".join(f"{'m_' + axis:>9s}" for axis in "abc"))
    for record in results["effective_mass"]:
        what = record["kind"].replace("_", " ")
        if record["kind"] == "valley":
            what += f" +{1e3 * record['energy']:.0f} meV"
        if record["temperature"] is not None:
            what += f" {record['temperature']:g} K"
        if record["degeneracy"] > 1:
            what += f" #{record['band_index'] + 1}"
        values = "  ".join(f"{record['axes'][axis]:9.4g}" for axis in "abc")
        lines.append(f"{record['carrier']:9s}{what:19s}{values}")
    return "\n".join(lines)


def mobility_table(results: Mapping[str, Any]) -> str:
    """Return mobilities along the crystal axes: carriers, temperatures, densities, solvers."""
    lines = ["carrier mobility in cm² V⁻¹ s⁻¹, along the axes of the input cell"]
    lines.append(
        f"{'carrier':9s}{'T (K)':>7s}{'n (cm⁻³)':>10s}  {'solver':18s}{'part':10s}"
        + "  ".join(f"{'μ_' + axis:>9s}" for axis in "abc")
    )
    for record in results["mobility"]:
        solver = record["solver"]
        if record.get("variant"):
            solver += f" ({record['variant']})"
        lines.append(
            f"{record['carrier']:9s}{record['temperature']:7.1f}{record['density']:10.2g}  "
            f"{solver:18s}{record['part']:10s}" + _along(record["axes"], "9.4g")
        )
        error = record.get("extrapolated_error")
        if error:
            lines.append(f"{'':26s}{'':18s}{'± (mesh)':10s}" + _along(error, "9.2g"))
    return "\n".join(lines)


def merit_table(results: Mapping[str, Any]) -> str:
    """Return the figure of merit along the crystal axes."""
    lines = ["thermoelectric figure of merit zT, along the axes of the input cell"]
    lines.append(
        f"{'carrier':9s}{'T (K)':>7s}{'n (cm⁻³)':>10s}  {'solver':8s}{'lattice':20s}"
        + "  ".join(f"{'zT_' + axis:>9s}" for axis in "abc")
    )
    for record in results["figure_of_merit"]:
        lattice = f"{record['lattice_level']} {record['lattice_solver']}"
        lattice += "+wave" if record["lattice_coherence"] else ""
        lines.append(
            f"{record['carrier']:9s}{record['temperature']:7.1f}{record['density']:10.2g}  "
            f"{record['solver']:8s}{lattice:20s}" + _along(record["axes"], "9.3g")
        )
    return "\n".join(lines)


def _along(values: Mapping[str, float | None], layout: str) -> str:
    """Return the values along a, b, c in columns; a dash where there is none."""
    missing = f"{'-':>{layout.split('.')[0]}s}"
    found = [values[axis] for axis in "abc"]
    return "  ".join(missing if value is None else f"{value:{layout}}" for value in found)


def lone_pair_table(results: Mapping[str, Any]) -> str:
    """Return the lone pairs: distance, population and angles to the crystal axes."""
    if not results["lone_pairs"]:
        return "electron localization function: no lone pair found"
    lines = [
        "lone pairs (ELF attractors of one atom)",
        f"{'atom':10s}{'distance':>10s}{'electrons':>11s}{'ELF':>7s}   angles to a, b, c (degrees)",
    ]
    for record in results["lone_pairs"]:
        atom = f"{record['symbol']}{record['atom'] + 1} ×{record['multiplicity']}"
        angles = ", ".join(f"{record['angles'][axis]:.1f}" for axis in "abc")
        lines.append(
            f"{atom:10s}{record['distance']:8.3f} Å{record['population']:11.2f}"
            f"{record['elf_maximum']:7.3f}   {angles}"
        )
    return "\n".join(lines)


def dielectric_table(record: Mapping[str, Any]) -> str:
    """Return ε∞ and the Born charges of the independent atoms, in Cartesian components."""
    names = ("xx", "yy", "zz", "yz", "zy", "xz", "zx", "xy", "yx")
    pairs = tuple(("xyz".index(name[0]), "xyz".index(name[1])) for name in names)

    def row(label: str, tensor: Any, digits: int) -> str:
        values = [tensor[i][j] for i, j in pairs]
        return f"{label:12s}" + "".join(f"{value + 0.0:9.{digits}f}" for value in values)

    lines = [
        "dielectric response, Cartesian components (Z*: field first, displacement second)",
        f"{'':12s}" + "".join(f"{name:>9s}" for name in names),
        row("ε∞", record["epsilon_infinity"], 4),
    ]
    if record["epsilon_uncertainty"]:
        lines.append(row("  ± (k mesh)", record["epsilon_uncertainty"], 4))
    if record["born_charges"] is None:
        return "\n".join([*lines, "Z* of a Hamiltonian file cannot be computed"])
    for item in record["independent_atoms"]:
        label = f"Z* {item['symbol']}{item['atom'] + 1} ×{item['multiplicity']}"
        lines.append(row(label, record["born_charges"][item["atom"]], 4))
    lines.append(
        f"sum of Z* over the cell: {record['charge_sum']:.1e} e as computed, shared among the atoms"
    )
    return "\n".join(lines)


def tensor_table(results: Mapping[str, Any]) -> str:
    """Return κ along the crystal axes and in Cartesian components, one line per record."""
    records = results["thermal_conductivity"]
    names = results["frame"]["standard_axes"]
    header = "  ".join(f"{'κ_' + axis:>9s}" for axis in "abc")
    lines = [
        f"lattice thermal conductivity of {results['structure']['formula']}, W m⁻¹ K⁻¹ "
        f"(axes of the input cell, {results['structure']['setting']}; standard setting: "
        + ", ".join(f"{axis} = {names[axis]}" for axis in "abc")
        + ")",
        f"{'level':11s}{'solver':9s}{'T (K)':>7s}  {header}   {'xx, yy, zz, yz, xz, xy'}",
    ]
    for record in records:
        tensor = record["cartesian"]
        voigt = [tensor[i][j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
        along = "  ".join(f"{record['axes'][axis]:9.4g}" for axis in "abc")
        solver = record["solver"] + ("+wave" if record["coherence"] else "")
        cartesian = ", ".join(f"{0.0 if abs(v) < 5e-5 else v:.4g}" for v in voigt)
        lines.append(
            f"{record['level']:11s}{solver:9s}{record['temperature']:7.1f}  {along}   {cartesian}"
        )
        if record["standard_error"]:
            errors = [record["standard_error"][axis] for axis in "abc"]
            lines.append(f"{'':21s}{'±':>6s}  " + "  ".join(f"{e:9.2g}" for e in errors))
    return "\n".join(lines)


def _harmonic_text(results: Mapping[str, Any]) -> str:
    gamma = results["phonons"]["gamma_frequencies"]
    lines = [
        f"harmonic phonons of {results['structure']['formula']}: Γ from {gamma[3]:.3f} (lowest "
        f"optical) to {gamma[-1]:.3f} THz"
        if len(gamma) > 3
        else f"harmonic phonons of {results['structure']['formula']}"
    ]
    if results["dielectric"]:
        epsilon = results["dielectric"]["epsilon_infinity"]
        lines.append("ε∞ (xx, yy, zz) = " + ", ".join(f"{epsilon[i][i]:.2f}" for i in range(3)))
    return "\n".join(lines)

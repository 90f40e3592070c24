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
        what = "band edge" if record["kind"] == "band_edge" else "conductivity"
        if record["temperature"] is not None:
            what += f" {record['temperature']:g} K"
        if record["degeneracy"] > 1:
            what += f" #{record['band_index'] + 1}"
        values = "  ".join(f"{record['axes'][axis]:9.4g}" for axis in "abc")
        lines.append(f"{record['carrier']:9s}{what:19s}{values}")
    return "\n".join(lines)


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

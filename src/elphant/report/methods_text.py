"""A methods paragraph for a paper, with the numbers of the run."""

from __future__ import annotations

from elphant.crystal import AXES
from elphant.report.model import Code, Paragraph, Section
from elphant.report.run_data import ForceConstantSummary, RunData, ThermalConductivity
from elphant.report.sections.force_constants import held_out_name, r2_text
from elphant.report.text import formula_text, listing, mesh_text, number, sentence, supercell_text

_SOLVERS = {
    "rta": "in the relaxation-time approximation",
    "bte": "by solving the full linearised phonon Boltzmann transport equation",
}


def methods_text(run: RunData) -> str:
    """Return the paragraph; every sentence states what this run did, with its numbers."""
    sentences = [
        *_structure_sentences(run),
        *_potential_sentences(run),
        *_relaxation_sentences(run),
        *_force_constant_sentences(run),
        *_dielectric_sentences(run),
        *_conductivity_sentences(run),
        *_doubt_sentences(run),
    ]
    return " ".join(sentences)


def methods_section(run: RunData) -> Section:
    """Return the section that holds the paragraph."""
    hint = "Ready to paste; keep the sentences about limits. References are in the next section."
    blocks = (Paragraph(text=hint, muted=True), Code(text=methods_text(run), prose=True))
    return Section(identifier="methods", title="Methods", blocks=blocks)


def _structure_sentences(run: RunData) -> list[str]:
    crystal = run.crystal
    lengths = ", ".join(f"{axis} = {x:.3f}" for axis, x in zip(AXES, crystal.lengths, strict=True))
    symbol = run.space_group.split(" ")[0]
    text = (
        f"Lattice thermal transport in {formula_text(run.formula)} was computed with elphant "
        f"{run.provenance.elphant_version}. The crystal has space group {run.space_group} and "
        f"{crystal.n_atoms} atoms in the cell, with {lengths} Å"
    )
    if run.setting != symbol:
        standard = ", ".join(f"{a} = {s}" for a, s in run.frame.standard_axes.items())
        text += (
            f" in the setting {run.setting} (its axes in terms of the {symbol} axes: {standard})"
        )
    return [f"{text}."]


def _potential_sentences(run: RunData) -> list[str]:
    card = run.potential
    if card is None:
        return ["Interatomic force constants were imported from files."]
    head = f", head {card.head}" if card.head else ""
    text = (
        f"Energies, forces and stresses came from the machine-learning potential {card.name} "
        f"({card.provider}{head}; level of theory: {card.level_of_theory})"
    )
    if card.dispersion:
        text += f" with an additional {card.dispersion} dispersion correction"
    return [f"{text}, evaluated in {card.dtype}."]


def _relaxation_sentences(run: RunData) -> list[str]:
    relaxation = run.relaxation
    if relaxation is None:
        return []
    changes = ", ".join(f"{relaxation.change_percent[a]:+.2f} % ({a})" for a in AXES)
    kept = relaxation.space_group_before == relaxation.space_group_after
    text = (
        f"Lattice and atoms were relaxed {'under the space-group symmetry ' if kept else ''}until "
        f"the largest force was {number(relaxation.max_force, 2)} eV/Å and the largest stress "
        f"{number(relaxation.max_stress, 2)} GPa; the lattice parameters changed by "
        f"{changes.replace('-', '−')}."
    )
    return [text]


_DESIGNS = {
    "finite-difference": "systematic finite displacements",
    "random": "random displacements of all atoms",
}


def _force_constant_sentences(run: RunData) -> list[str]:
    summary = run.force_constants
    if summary is None or summary.source == "imported":
        return []
    orders = "second- and third-order" if summary.supercell_third is not None else "second-order"
    text = f"The {orders} force constants were obtained in {_supercells(summary)}"
    parts = [
        f"{summary.n_snapshots.get(order)} supercells with {_DESIGNS.get(design, design)} of "
        f"{summary.displacement_amplitude.get(order, 0):g} Å"
        for order, design in summary.design.items()
    ]
    if parts:
        text += f", from {listing(parts)}"
    text += (
        "; the forces of the undisplaced supercell were subtracted, and sum rules, permutation and "
        "space-group symmetry imposed in the fit."
    )
    sentences = [text]
    if summary.cutoff_third is not None:
        sentences.append(f"Third-order terms were kept up to {summary.cutoff_third:g} Å.")
    if summary.n_parameters:
        listed = [f"{n} of order {order}" for order, n in summary.n_parameters.items()]
        sentences.append(f"Symmetry leaves {listing(listed)} as free parameters.")
    if summary.force_r2:
        errors = summary.force_rmse or {}
        listed = [
            f"{r2_text(r2)} for {held_out_name(order)}"
            + (f" (RMSE {number(errors[order], 2)} eV/Å)" if errors.get(order) is not None else "")
            for order, r2 in summary.force_r2.items()
            if r2 is not None
        ]
        sentences.append(f"On held-out snapshots the force R² is {listing(listed)}.")
    return sentences


def _supercells(summary: ForceConstantSummary) -> str:
    second = f"a {supercell_text(summary.supercell_second)} supercell"
    second += f" ({summary.n_atoms_second} atoms)"
    if summary.supercell_third in (None, summary.supercell_second):
        return second
    third = supercell_text(summary.supercell_third)
    third += f" supercell ({summary.n_atoms_third} atoms)"
    return f"{second} for the second and a {third} for the third order"


def _dielectric_sentences(run: RunData) -> list[str]:
    if run.epsilon_infinity is None:
        return ["The long-range dipole interaction (non-analytical correction) was not included."]
    text = (
        "The long-range dipole interaction was included through Born effective charges and the "
        f"high-frequency permittivity (source: {run.dielectric_source})."
    )
    return [text]


def _conductivity_sentences(run: RunData) -> list[str]:
    record = run.conductivity(300.0)
    if record is None:
        return []
    solvers = list(dict.fromkeys(r.solver for r in run.thermal_conductivity))
    how = listing([_SOLVERS.get(solver, solver) for solver in solvers])
    brillouin_zone = (
        "the linear tetrahedron method"
        if record.broadening == "tetrahedron"
        else f"a smearing of energy conservation ({record.broadening})"
    )
    processes = ["three-phonon" if "4ph" not in record.level else "three- and four-phonon"]
    processes += ["isotope"] if record.isotope else []
    processes += ["boundary"] if record.boundary_mfp_um else []
    text = (
        f"The lattice thermal conductivity was obtained {how} on a {mesh_text(record.mesh)} mesh, "
        f"with {listing(processes)} scattering and {brillouin_zone}."
    )
    sentences = [text]
    if record.degenerate_average:
        sentences.append("Integration weights were averaged over degenerate modes.")
    if record.boundary_mfp_um:
        sentences.append(f"The boundary mean free path was {record.boundary_mfp_um:g} µm.")
    sentences.append(_result_sentence(record))
    return sentences


def _result_sentence(record: ThermalConductivity) -> str:
    values = listing([f"{number(record.axes[a], 3)} along {a}" for a in AXES])
    return (
        f"At {record.temperature:g} K the conductivity is {values} W m⁻¹ K⁻¹ ({record.method}); "
        "the axes are those of the cell given above."
    )


def _doubt_sentences(run: RunData) -> list[str]:
    sentences = []
    if run.is_quick and not any(flag.name == "preset" for flag in run.doubts):
        sentences.append(
            "These values come from the quick preset: mesh and supercells are not converged."
        )
    sentences += [sentence(flag.message) for flag in run.doubts]
    return sentences

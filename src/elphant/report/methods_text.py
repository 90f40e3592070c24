"""A methods paragraph for a paper, with the numbers of the run."""

from __future__ import annotations

from elphant.crystal import AXES
from elphant.report.electron_methods import electron_sentences
from elphant.report.mobility_methods import mobility_sentences
from elphant.report.model import Code, Paragraph, Section
from elphant.report.records import LEVELS, ForceConstantSummary, ThermalConductivity
from elphant.report.run_data import RunData
from elphant.report.sections.force_constants import held_out_name, r2_text
from elphant.report.text import (
    fixed,
    formula_text,
    listing,
    mesh_text,
    number,
    sentence,
    supercell_text,
    value_and_error,
)

_SOLVERS = {
    "rta": "in the relaxation-time approximation",
    "bte": "by solving the full linearised phonon Boltzmann transport equation",
}


def methods_text(run: RunData) -> str:
    """Return the paragraph; every sentence states what this run did, with its numbers."""
    sentences = [
        *_structure_sentences(run),
        *(_potential_sentences(run) if run.has_phonons or run.has_mobility else []),
        *_relaxation_sentences(run),
        *_force_constant_sentences(run),
        *(_dielectric_sentences(run) if run.has_phonons else []),
        *_renormalization_sentences(run),
        *_conductivity_sentences(run),
        *_anharmonicity_sentences(run),
        *electron_sentences(run),
        *mobility_sentences(run),
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
    parts = ["lattice thermal transport"] if run.has_lattice_transport else []
    parts += ["the electronic structure"] if run.has_electrons else []
    parts += ["the mobility of carriers"] if run.has_mobility else []
    subject = listing(parts)
    text = (
        f"{subject[0].upper()}{subject[1:]} of {formula_text(run.formula)} "
        f"{'were' if len(parts) > 1 else 'was'} computed with elphant "
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
    orders = "second-order"
    if summary.supercell_third is not None:
        orders = "second- and third-order"
    if summary.has_fourth:
        orders = "second-, third- and fourth-order"
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
    if summary.has_fourth:
        sentences.append("The orders were fitted together.")
    if summary.cutoff_third is not None:
        text = f"Third-order terms were kept up to {summary.cutoff_third:g} Å"
        if summary.cutoff_fourth is not None:
            text += f", fourth-order terms up to {summary.cutoff_fourth:g} Å"
        sentences.append(f"{text}.")
    elif summary.cutoff_fourth is not None:
        sentences.append(f"Fourth-order terms were kept up to {summary.cutoff_fourth:g} Å.")
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
    if run.epsilon_infinity is None or not run.dielectric_in_phonons:
        return ["The long-range dipole interaction (non-analytical correction) was not included."]
    text = (
        "The long-range dipole interaction was included through Born effective charges and the "
        f"high-frequency permittivity (source: {run.dielectric_source})."
    )
    return [text]


_VARIANTS = {
    "loop": "by self-consistent phonon theory (loop diagram of the fourth-order constants "
    "[Tadano and Tsuneyuki 2015])",
    "stochastic": "by the stochastic self-consistent harmonic approximation [Errea, Calandra and "
    "Mauri 2014]",
    "loop+bubble": "by self-consistent phonon theory with the static bubble of the third-order "
    "constants [Tadano and Tsuneyuki 2015]",
    "stochastic+bubble": "by the stochastic self-consistent harmonic approximation with the static "
    "bubble of the third-order constants [Errea, Calandra and Mauri 2014]",
    "bubble": "by the static bubble of the third-order constants",
}


def _renormalization_sentences(run: RunData) -> list[str]:
    if not run.renormalization:
        return []
    entering = {r.renormalization for r in run.thermal_conductivity if r.renormalization}
    sentences = []
    for variant in dict.fromkeys(r.variant for r in run.renormalization):
        records = [r for r in run.renormalization if r.variant == variant]
        temperatures = listing([f"{r.temperature:g} K" for r in records])
        verb = "were renormalised" if variant in entering or not entering else "were also obtained"
        text = f"Phonons at {temperatures} {verb} {_VARIANTS[variant]}"
        iterations = max(r.n_iterations for r in records)
        text += f", in at most {iterations} iterations"
        snapshots = [r.n_snapshots for r in records if r.n_snapshots]
        if snapshots:
            text += f" and with {max(snapshots)} supercell evaluations"
        sentences.append(f"{text}.")
        lowest = min(records, key=lambda r: abs(r.temperature - 300))
        if lowest.imaginary_fraction_before > 0:
            sentences.append(
                f"{100 * lowest.imaginary_fraction_before:.2g} % of the harmonic modes are "
                f"imaginary (down to {fixed(lowest.minimum_before, 2)} THz); after "
                f"renormalisation at {lowest.temperature:g} K the lowest frequency is "
                f"{fixed(lowest.minimum_after, 2)} THz."
            )
    if entering:
        sentences.append(
            "Renormalised frequencies and eigenvectors enter the scattering with the bare "
            "third- and fourth-order constants."
        )
    return sentences


def _four_phonon_sentences(run: RunData) -> list[str]:
    """Say how the sum over four-phonon processes was done, at the most complete level."""
    if not run.four_phonon:
        return []
    record = max(
        run.four_phonon,
        key=lambda r: (LEVELS.index(r.level), -abs((r.temperature or 300.0) - 300.0)),
    )
    text = "Four-phonon scattering [Feng and Ruan 2016; Feng, Lindsay and Ruan 2017] was summed "
    if not record.sampled:
        return [f"{text}over all {record.n_pairs} pairs of wave vectors."]
    text += (
        f"over {record.n_pairs_drawn} of {record.n_pairs} pairs of wave vectors, drawn at random"
    )
    text += "" if record.seed is None else f" (seed {record.seed})"
    if record.relative_error is not None:
        errors = listing([f"{100 * record.relative_error[a]:.2g} % along {a}" for a in AXES])
        text += f"; the standard error of the conductivity is {errors}"
    if record.tolerance is not None and not record.converged:
        text += f", above the wanted {100 * record.tolerance:.2g} %"
    return [f"{text}."]


def _coherence_sentences(run: RunData) -> list[str]:
    if not any(r.coherence for r in run.thermal_conductivity):
        return []
    text = (
        "The wave-like contribution of the Wigner transport equation [Simoncelli, Marzari and "
        "Mauri 2019] was added with the same scattering rates."
    )
    return [text]


def _anharmonicity_sentences(run: RunData) -> list[str]:
    sentences = []
    scans = [r for r in run.force_asymmetry if r.displacements]
    if scans:
        largest = max(max(r.displacements) for r in scans)
        n_atoms = len({r.atom for r in scans})
        sentences.append(
            f"Force asymmetries were obtained by displacing each of the {n_atoms} inequivalent "
            f"atoms alone by up to ±{largest:g} Å along a, b and c."
        )
    if run.gruneisen:
        sentences.append(
            "Mode Grüneisen parameters follow from the third-order constants for a homogeneous "
            "strain with clamped ions."
        )
    return sentences


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
    sentences += _four_phonon_sentences(run)
    sentences += _coherence_sentences(run)
    sentences.append(_result_sentence(record))
    return sentences


def _result_sentence(record: ThermalConductivity) -> str:
    errors = record.standard_error or {}
    shown = {
        a: value_and_error(record.axes[a], errors[a]) if a in errors else number(record.axes[a], 3)
        for a in AXES
    }
    values = listing([f"{shown[a]} along {a}" for a in AXES])
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

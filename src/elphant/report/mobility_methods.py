"""Sentences on the mobility for the methods paragraph."""

from __future__ import annotations

from elphant.crystal import AXES
from elphant.report.mobility_records import CarrierTransport, solver_name
from elphant.report.run_data import RunData
from elphant.report.text import compact, listing, mesh_text, number

_SOLVERS = {
    "serta": "in the self-energy relaxation-time approximation (SERTA)",
    "mrta": "in the momentum relaxation-time approximation (MRTA)",
    "bte": "from the full linearised Boltzmann equation (BTE), solved by conjugate gradients",
}
_VARIANTS = {
    "velocity": "MRTA weighs collisions with 1 − v·v′/v².",
    "directions": "MRTA weighs collisions with 1 − cos of the angle between the velocities.",
}


def mobility_sentences(run: RunData) -> list[str]:
    """Return what was done for the mobility, with its numbers; empty without it."""
    records = run.transport
    if not records:
        return []
    how = records.carrier_transport or CarrierTransport()
    return [
        *_coupling(run, how),
        *_collisions(run, how),
        *_solution(run),
        *_result(run),
        *_validity(run),
    ]


def mobility_references(run: RunData) -> tuple[str, ...]:
    """Return bibliography keys of the works that these sentences name."""
    records = run.transport
    if not records:
        return ()
    how = records.carrier_transport or CarrierTransport()
    keys = ["ponce2020"]
    keys += ["verdi2015"] if any(r.part == "polar" for r in records.mobility) else []
    keys += ["brunin2020"] if how.quadrupoles else []
    keys += ["gunst2016"] if how.vertex == "projected" else []
    keys += ["brooks1955", "chattopadhyay1981"] if how.impurities else []
    keys += ["frohlich1954"] if how.frohlich else []
    return tuple(keys)


def _coupling(run: RunData, how: CarrierTransport) -> list[str]:
    record = how.derivatives or {}
    method = str(record.get("method", ""))
    sentences = []
    if method == "none":
        sentences.append(
            "Derivatives of the Hamiltonian were not available: carriers scatter from the "
            "long-range coupling alone."
        )
    else:
        text = "Matrix elements of the electron–phonon coupling were formed in the local basis"
        if method:
            text += f" from derivatives of the Hamiltonian over atomic positions ({method}"
            supercell = record.get("supercell")
            if isinstance(supercell, list) and len(supercell) == 3:
                text += f", {mesh_text(supercell)}"
            if isinstance(record.get("displacement"), float):
                text += f", displacements of {compact(record['displacement'], 2)} Å"
            text += ")"
        vertex = {
            "co-moving": ", with orbitals that move with their atoms",
            "projected": ", with the derivative of H projected on orbitals at rest [Gunst et al. "
            "2016]",
        }
        sentences.append(f"{text}{vertex.get(how.vertex or '', '')}.")
    if any(r.part == "polar" for r in run.transport.mobility):
        potential = "The dipole potential of polar phonons [Verdi and Giustino 2015]"
        if how.quadrupoles:
            potential = (
                "The potential of dipoles [Verdi and Giustino 2015] and dynamical quadrupoles "
                "[Brunin et al. 2020]"
            )
        taken_off = "" if method == "none" else "taken off the derivatives and "
        text = f"{potential} was {taken_off}added for every pair of states"
        if how.range_parameter:
            text += f", with the range parameter {number(how.range_parameter, 3)} Å⁻¹"
        sentences.append(f"{text}, with Born charges and permittivity ({run.dielectric_source}).")
        if not run.dielectric_source:
            sentences[-1] = f"{text}."
    if how.impurities:
        sentences.append(
            f"Ionised impurities ({number(how.impurities)} cm⁻³) scatter in the first Born "
            "approximation of the screened Coulomb potential [Brooks 1955; Chattopadhyay and "
            "Queisser 1981]."
        )
    if how.screening:
        sentences.append("The carriers screen the long-range coupling.")
    return sentences


def _collisions(run: RunData, how: CarrierTransport) -> list[str]:
    meshes = []
    for carrier in run.transport.carriers:
        mesh = how.of_carrier("mesh", carrier)
        window = how.of_carrier("window_ev", carrier)
        if mesh:
            within = f" (states within {number(1e3 * window, 3)} meV of the edge)" if window else ""
            meshes.append(f"{mesh_text(mesh)} for {carrier}s{within}")
    if not meshes:
        return []
    text = (
        f"Scattering was summed over all pairs of states of Γ-centred k meshes, {listing(meshes)}"
    )
    broadening = {
        "adaptive": "Gaussians of adaptive width",
        "tetrahedron": "linear tetrahedra",
    }
    if how.broadening:
        text += f"; energy is conserved by {broadening.get(how.broadening, how.broadening)}"
    return [f"{text}."]


def _solution(run: RunData) -> list[str]:
    records = run.transport
    ways = listing([_SOLVERS.get(s, solver_name(s)) for s in records.solvers])
    temperatures = listing([f"{t:g} K" for t in records.temperatures])
    densities = listing([number(n) for n in records.densities])
    text = (
        f"Mobilities [Poncé et al. 2020] at {temperatures} and carrier densities of {densities} "
        f"cm⁻³ were obtained {ways}."
    )
    sentences = [text]
    variants = {r.variant for r in records.mobility if r.variant}
    sentences += [_VARIANTS[name] for name in _VARIANTS if name in variants]
    if any(r.part == "remaining" for r in records.mobility):
        sentences.append(
            "The polar part is the squared long-range coupling, the remaining part all else of the "
            "squared coupling, with the interference; each was also solved alone."
        )
    return sentences


def _result(run: RunData) -> list[str]:
    records = run.transport
    temperature, density = records.reference
    sentences = []
    for carrier in records.carriers:
        record = records.best(carrier)
        if record is None:
            continue
        values = listing([f"{number(record.axes.get(a), 3)} along {a}" for a in AXES])
        sentences.append(
            f"At {temperature:g} K and {number(density)} cm⁻³ the {carrier} mobility is {values} "
            f"cm² V⁻¹ s⁻¹ ({record.method})."
        )
    return sentences


def _validity(run: RunData) -> list[str]:
    temperature, _ = run.transport.reference
    words: dict[str, list[str]] = {}
    for record in run.transport.validity:
        if record.verdict != "valid" and abs(record.temperature - temperature) < 1e-6:
            words.setdefault(record.verdict, []).append(f"{record.carrier}s along {record.axis}")
    return [
        "By width of the states and mean free path the Boltzmann equation is "
        f"{name} for {listing(words[name])}."
        for name in ("doubtful", "invalid")
        if name in words
    ]

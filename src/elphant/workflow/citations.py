"""Which works a result rests on: keys of the bibliography, collected while assembling results."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elphant.workflow.phonons import PhononPart
    from elphant.workflow.results import FinishedRun


def citations_of(run: FinishedRun) -> tuple[str, ...]:
    """Return the bibliography keys of everything that contributed to ``run``."""
    keys: list[str] = ["elphant"]
    if run.potential:
        keys += run.potential["references"]
        if run.potential["dispersion"]:
            keys += ["grimme2010", "grimme2011"]
        keys += ["ase"]
    keys += ["spglib", "seekpath"]
    if run.phonons:
        keys += ["symfc"] if run.potential else []
        keys += ["phonopy2023"]
        if run.phonons.force_constants.force_constants.dielectric:
            keys += ["gonze1997"]
        keys += [*_transport(run.phonons), *_renormalization(run.phonons)]
    if run.electrons:
        keys += run.electrons.references
    return tuple(dict.fromkeys(keys))


def _transport(phonons: PhononPart) -> list[str]:
    """Return the keys of the scattering engine and of the transport equations."""
    ladder = phonons.ladder
    if not ladder.levels:
        return []
    parts = [part for level in ladder.levels for part in level.parts]
    own = ladder.backend == "elphant"
    design = phonons.force_constants.record["design"].get("third")
    uses_phono3py = (
        not own or phonons.force_constants.kind == "phono3py" or design == "finite-difference"
    )
    keys = ["phono3py2015", "phono3py2023"] if uses_phono3py else []
    keys += ["maradudin1962"] if own else []
    if any(part.rates_four_phonon is not None for part in parts):
        keys += ["feng2016", "feng2017"]
    if any(record["sampled"] for record in ladder.records.get("four_phonon", [])):
        keys += ["guo2024"]
    if any(part.rates_isotope is not None for part in parts):
        keys += ["tamura1983"]
    if any(level.solver == "bte" for level in ladder.levels):
        keys += ["fugallo2013"] if own else ["chaput2013"]
    if any(part.coherence is not None for part in parts):
        keys += ["simoncelli2019", "simoncelli2022"]
    if any(part.broadening == "tetrahedron" for part in parts):
        keys += ["blochl1994"]
    return keys


def _renormalization(phonons: PhononPart) -> list[str]:
    variants = {solution.variant for solution in phonons.ladder.renormalizations}
    keys = []
    if any(variant.startswith("loop") for variant in variants):
        keys += ["tadano2015"]
    if any(variant.startswith("stochastic") for variant in variants):
        keys += ["errea2014"]
    return keys

"""Which works a result rests on: keys of the bibliography, collected while assembling results."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elphant.workflow.results import PhononRun


def citations_of(run: PhononRun) -> tuple[str, ...]:
    """Return the bibliography keys of everything that contributed to ``run``."""
    keys: list[str] = ["elphant"]
    if run.potential:
        keys += run.potential["references"]
        if run.potential["dispersion"]:
            keys += ["grimme2010", "grimme2011"]
        keys += ["ase", "symfc"]
    keys += ["phonopy2023", "phono3py2015", "phono3py2023", "spglib", "seekpath"]
    if run.force_constants.force_constants.dielectric:
        keys += ["gonze1997"]
    if run.settings.isotope:
        keys += ["tamura1983"]
    if "bte" in run.conductivities:
        keys += ["chaput2013"]
    if run.settings.sigma_thz is None:
        keys += ["blochl1994"]
    return tuple(dict.fromkeys(keys))

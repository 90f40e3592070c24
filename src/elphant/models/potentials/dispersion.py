r"""D3 dispersion with Becke-Johnson damping, added to any potential.

.. math:: E = -\frac{1}{2} \sum_{A \ne B} \sum_{n=6,8} s_n
          \frac{C_n^{AB}}{R_{AB}^n + (a_1 R_0^{AB} + a_2)^n}

S. Grimme, S. Ehrlich and L. Goerigk, J. Comput. Chem. 32, 1456 (2011), Eqs. 3 and 5. The
three-body term is left out (s9 = 0), as in VASP's IVDW = 12, so that elphant's numbers can be
compared with the usual DFT-D3(BJ) ones.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from elphant.crystal import Crystal
from elphant.errors import DependencyError, ModelError
from elphant.models.card import ModelCard
from elphant.models.potentials.checks import build_evaluation
from elphant.models.potentials.protocol import Evaluation, Potential
from elphant.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

logger = logging.getLogger(__name__)

#: Range of the pair sum and of the coordination numbers, bohr. The pair sum fades out over its last
#: ``PAIR_FADING`` bohr: with a sharp edge the pairs that cross it make the energy jump, and forces
#: and stress are no longer its derivatives (measured for Sb2Se3: stress wrong by 1e-5 eV/Å³).
PAIR_CUTOFF: Final = 60.0
PAIR_FADING: Final = 20.0
COORDINATION_CUTOFF: Final = 40.0

#: Functionals with published D3(BJ) parameters that elphant accepts, by the first word of a level
#: of theory, lower case.
_FUNCTIONALS: Final = {
    "pbe": "pbe",
    "pbe(+u)": "pbe",
    "pbe+u": "pbe",
    "pbesol": "pbesol",
    "rpbe": "rpbe",
    "revpbe": "revpbe",
    "pbe0": "pbe0",
    "scan": "scan",
    "r2scan": "r2scan",
    "blyp": "blyp",
    "b3lyp": "b3lyp",
    "hse06": "hse06",
}
_LABELS: Final = {"pbesol": "PBEsol", "r2scan": "r2SCAN", "revpbe": "revPBE"}


class DispersionCorrected:
    """A potential plus the D3(BJ) dispersion energy.

    Parameters
    ----------
    potential : Potential
        The potential to correct; :meth:`close` closes it too.
    functional : str, optional
        Functional whose D3 parameters are used; taken from the card's level of theory when not
        given.
    damping : {"d3bj"}
        Form of the damping.

    Raises
    ------
    ModelError
        If the functional is unknown, contradicts the potential's level of theory, or that level
        already contains dispersion.
    DependencyError
        If the package dftd3 is not installed.
    """

    def __init__(
        self, potential: Potential, functional: str | None = None, damping: str = "d3bj"
    ) -> None:
        if damping != "d3bj":
            raise ModelError(f"dispersion '{damping}' is not known.", fix="Use d3bj.")
        card = potential.card
        if card.dispersion:
            raise ModelError(
                f"'{card.name}' already carries {card.dispersion}.",
                fix="Add the dispersion correction once.",
            )
        name = matching_functional(card, functional)
        try:
            from dftd3.interface import RationalDampingParam
        except ImportError as error:
            raise DependencyError(
                "the D3 dispersion correction needs the package dftd3, which is not installed.",
                fix="Install it with: pip install 'elphant[dispersion]'.",
            ) from error
        self._potential = potential
        self._parameters: Any = RationalDampingParam(method=name, atm=False)
        self._card = replace(
            card,
            dispersion=f"D3(BJ), {_LABELS.get(name, name.upper())}",
            references=(*card.references, "grimme2010", "grimme2011", "simple_dftd3"),
        )

    @property
    def card(self) -> ModelCard:
        """Description of the corrected model."""
        return self._card

    def evaluate(self, crystals: Sequence[Crystal]) -> list[Evaluation]:
        """Return energy, forces and stress, dispersion included.

        Raises
        ------
        ModelError
            If the potential or the correction does not cover an element.
        """
        return [
            self._corrected(crystal, bare)
            for crystal, bare in zip(crystals, self._potential.evaluate(crystals), strict=True)
        ]

    def dispersion(self, crystal: Crystal) -> Evaluation:
        """Return the dispersion part alone."""
        from dftd3.interface import DispersionModel

        try:
            model = DispersionModel(
                np.array(crystal.numbers, dtype=np.int32),
                crystal.positions / ANGSTROM_PER_BOHR,
                crystal.lattice / ANGSTROM_PER_BOHR,
                np.ones(3, dtype=bool),
            )
            model.set_realspace_cutoff(
                disp2=PAIR_CUTOFF,
                disp3=COORDINATION_CUTOFF,
                cn=COORDINATION_CUTOFF,
                width2=PAIR_FADING,
            )
            result = model.get_dispersion(self._parameters, grad=True)
        except RuntimeError as error:
            raise ModelError(
                f"the D3 correction failed for {crystal.formula}: {error}",
                "D3 is parametrised for the elements up to Pu.",
                "Leave the dispersion correction out.",
            ) from error
        return build_evaluation(
            self._card,
            crystal,
            float(result["energy"]) * EV_PER_HARTREE,
            -np.asarray(result["gradient"]) * (EV_PER_HARTREE / ANGSTROM_PER_BOHR),
            # The library's virial is dE/d(strain), so the stress keeps its sign.
            np.asarray(result["virial"]) * (EV_PER_HARTREE / crystal.volume),
        )

    def close(self) -> None:
        """Close the underlying potential."""
        self._potential.close()

    def _corrected(self, crystal: Crystal, bare: Evaluation) -> Evaluation:
        extra = self.dispersion(crystal)
        return Evaluation(
            energy=bare.energy + extra.energy,
            forces=bare.forces + extra.forces,
            stress=bare.stress + extra.stress,
        )


def matching_functional(card: ModelCard, functional: str | None) -> str:
    """Return the functional whose D3(BJ) parameters belong to a model.

    Raises
    ------
    ModelError
        If it is unknown, contradicts the card, or the model contains dispersion already.
    """
    words = card.level_of_theory.split(",")[0].split()
    level = words[0].lower() if words else ""
    if any(mark in level for mark in ("-d3", "-d4", "-v", "vv10", "vdw", "wb97m")):
        raise ModelError(
            f"'{card.name}' ({card.level_of_theory}) already contains dispersion.",
            "Adding D3 would count it twice.",
            "Leave the dispersion correction out.",
        )
    own = _FUNCTIONALS.get(level)
    wanted = _FUNCTIONALS.get(functional.strip().lower()) if functional else own
    if wanted is None:
        raise ModelError(
            f"no D3(BJ) parameters are known for '{functional or card.level_of_theory}' "
            f"(model '{card.name}').",
            "The correction depends on the functional the model was trained on.",
            f"Name the functional: one of {', '.join(sorted(set(_FUNCTIONALS.values())))}.",
        )
    if own is not None and wanted != own:
        raise ModelError(
            f"D3(BJ) parameters of {wanted} do not fit '{card.name}', "
            f"which was trained on {card.level_of_theory}.",
            "Each functional misses another part of the dispersion energy.",
            f"Use functional {own}, or choose another model or head.",
        )
    return wanted

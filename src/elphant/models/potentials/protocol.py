"""The one interface of interatomic potentials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.models.card import ModelCard


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """Energy, forces and stress of one crystal.

    Attributes
    ----------
    energy : float
        Potential energy of the cell, eV.
    forces : ndarray, (n_atoms, 3) eV/Å
        Forces, Cartesian working frame.
    stress : ndarray, (3, 3) eV/Å³
        Cauchy stress, positive in tension (ASE's sign): ``dE/d(strain) / volume``.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "forces", checked_array("forces", self.forces, (None, 3)))
        object.__setattr__(self, "stress", checked_array("stress", self.stress, (3, 3)))


@runtime_checkable
class Potential(Protocol):
    """Anything that evaluates crystals. Implementations need no base class."""

    @property
    def card(self) -> ModelCard:
        """Description of the model."""
        ...

    def evaluate(self, crystals: Sequence[Crystal]) -> list[Evaluation]:
        """Return one evaluation per crystal, in order; batched where the model allows.

        Raises
        ------
        ModelError
            If the model does not know an element or returns non-finite numbers.
        """
        ...

    def close(self) -> None:
        """Release memory, files and processes. May be called twice."""
        ...

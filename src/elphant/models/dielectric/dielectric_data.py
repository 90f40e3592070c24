"""Dielectric response of an insulator: the input of every long-range correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.units import COULOMB_EV_ANGSTROM


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DielectricData:
    """High-frequency dielectric tensor and Born effective charges, in the working frame.

    The same object feeds the phonon non-analytical correction and the polar electron-phonon
    coupling.

    Attributes
    ----------
    epsilon_infinity : ndarray, (3, 3)
        Relative permittivity with clamped nuclei.
    born_charges : ndarray, (n_atoms, 3, 3) e
        Z* of every atom of the unit cell; first index the electric field, second the displacement
        (the convention of VASP and of BORN files).
    source : str
        Where the numbers came from.
    coulomb_constant : float
        e²/(4 pi eps_0) in eV Å to be used with these numbers. Files carry their own rounding of it,
        which is kept: on symmetric meshes conductivities jump by 1e-3 when degenerate modes are
        mixed by the last digits of their input, and results should be those of the file.
    """

    epsilon_infinity: NDArray[np.float64]
    born_charges: NDArray[np.float64]
    source: str
    coulomb_constant: float = COULOMB_EV_ANGSTROM

    def __post_init__(self) -> None:
        epsilon = checked_array("epsilon_infinity", self.epsilon_infinity, (3, 3))
        charges = checked_array("born_charges", self.born_charges, (None, 3, 3))
        object.__setattr__(self, "epsilon_infinity", epsilon)
        object.__setattr__(self, "born_charges", charges)

    @property
    def charge_sum(self) -> NDArray[np.float64]:
        """Sum of Z* over the cell, (3, 3) e; zero by the acoustic sum rule."""
        return np.asarray(self.born_charges.sum(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Return the record stored in ``results.json``."""
        return {
            "epsilon_infinity": self.epsilon_infinity.tolist(),
            "born_charges": self.born_charges.tolist(),
            "source": self.source,
            "coulomb_constant": self.coulomb_constant,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> DielectricData:
        """Rebuild the object from :meth:`to_dict`."""
        return cls(
            epsilon_infinity=np.array(record["epsilon_infinity"]),
            born_charges=np.array(record["born_charges"]),
            source=record["source"],
            coulomb_constant=record.get("coulomb_constant", COULOMB_EV_ANGSTROM),
        )

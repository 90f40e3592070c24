"""Force constants of second to fourth order and the supercells they live in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.sparse_force_constants import SparseForceConstants


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForceConstants:
    """Taylor derivatives of the energy, in phonopy's compact layout and the working frame.

    Attributes
    ----------
    unitcell : Crystal
        The user's cell (relaxed); all matrices below refer to it.
    primitive_matrix : ndarray, (3, 3)
        phonopy convention: ``primitive lattice (columns) = unit-cell lattice (columns) @ matrix``.
    supercell_matrix_second : ndarray of int, (3, 3)
        phonopy convention: ``supercell lattice (columns) = unit-cell lattice (columns) @ matrix``.
    second : ndarray, (n_primitive_atoms, n_supercell_atoms, 3, 3) eV/Å²
        Second-order force constants; no 1/2! inside.
    supercell_matrix_third : ndarray of int, (3, 3), or None
        Supercell of the third order.
    third : ndarray, (n_primitive_atoms, n_s, n_s, 3, 3, 3) eV/Å³, or None
        Third-order force constants; no 1/3! inside.
    third_clusters : SparseForceConstants or None
        Third order that comes as clusters (ShengBTE files) instead of ``third``.
    fourth : SparseForceConstants or None
        Fourth order; atoms are numbered as in phonopy's primitive cell.
    dielectric : DielectricData or None
        Input of the non-analytical correction; None leaves it out.
    source : str
        ``finite_difference``, ``random`` or ``imported``.
    """

    unitcell: Crystal
    primitive_matrix: NDArray[np.float64]
    supercell_matrix_second: NDArray[np.int64]
    second: NDArray[np.float64]
    supercell_matrix_third: NDArray[np.int64] | None = None
    third: NDArray[np.float64] | None = None
    third_clusters: SparseForceConstants | None = None
    fourth: SparseForceConstants | None = None
    dielectric: DielectricData | None = None
    source: str = "imported"

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        for name, shape, dtype in (
            ("primitive_matrix", (3, 3), float),
            ("supercell_matrix_second", (3, 3), int),
            ("second", (None, None, 3, 3), float),
            ("supercell_matrix_third", (3, 3), int),
            ("third", (None, None, None, 3, 3, 3), float),
        ):
            value = getattr(self, name)
            if value is not None:
                set_field(self, name, checked_array(name, value, shape, dtype))
        if (self.third is None) != (self.supercell_matrix_third is None):
            raise ValueError("third and supercell_matrix_third must be given together")
        if self.third is not None and self.third_clusters is not None:
            raise ValueError("give the third order as an array or as clusters, not both")

    @property
    def has_third(self) -> bool:
        """Whether there is a third order in either form."""
        return self.third is not None or self.third_clusters is not None

    @property
    def primitive_lattice(self) -> NDArray[np.float64]:
        """Primitive lattice vectors as rows, (3, 3) Å."""
        return np.asarray(self.primitive_matrix.T @ self.unitcell.lattice)

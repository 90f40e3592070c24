"""Space-group symmetry of a crystal in its own cell and Cartesian frame (spglib)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal.crystal import Crystal
from elphant.errors import StructureError

#: Default distance tolerance (Å) for finding symmetry.
SYMMETRY_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Symmetry:
    """Space group of a crystal, expressed in the user's cell.

    Attributes
    ----------
    international, number, hall_number, point_group
        Names in the tables; ``international`` is the standard symbol whatever the axes.
    rotations : ndarray of int, (n_ops, 3, 3)
        Rotations acting on fractional coordinates (columns) of the user's cell.
    translations : ndarray, (n_ops, 3)
        Fractional translations.
    equivalent_atoms : ndarray of int, (n_atoms,)
        Index of the representative atom of each orbit.
    transformation : ndarray, (3, 3)
        P of ``x_standard = P x + origin_shift``.
    origin_shift : ndarray, (3,)
    standard_lattice : ndarray, (3, 3) Å
        Idealised standard lattice, rows. It is rotated; kept for the record only.
    standard_rotation : ndarray, (3, 3)
        Cartesian rotation from the working frame to the standard frame; never applied.
    setting : str
        Symbol of the user's setting (for example ``Pbnm``), or the standard symbol followed by
        ``(non-standard cell)`` when the cell is no tabulated setting.
    tolerance : float
        Distance tolerance, Å.
    """

    international: str
    number: int
    hall_number: int
    point_group: str
    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]
    equivalent_atoms: NDArray[np.int64]
    transformation: NDArray[np.float64]
    origin_shift: NDArray[np.float64]
    standard_lattice: NDArray[np.float64]
    standard_rotation: NDArray[np.float64]
    setting: str
    tolerance: float

    def cartesian_rotations(self, lattice: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distinct point operations as Cartesian matrices, (n_point_ops, 3, 3)."""
        distinct = np.unique(self.rotations, axis=0)
        columns = lattice.T
        return np.asarray(columns @ distinct @ np.linalg.inv(columns))


def find_symmetry(crystal: Crystal, tolerance: float = SYMMETRY_TOLERANCE) -> Symmetry:
    """Return the space group of ``crystal``.

    Raises
    ------
    StructureError
        If spglib cannot find any symmetry (overlapping atoms or a degenerate cell).
    """
    import spglib

    cell = (crystal.lattice, crystal.fractional, crystal.numbers)
    data = _dataset(cell, tolerance)
    if data is None:
        raise StructureError(
            f"no space group could be determined with a tolerance of {tolerance:g} Å.",
            "Atoms may overlap, or the cell may be too distorted.",
            "Check the structure, or give another --symprec.",
        )
    kind = spglib.get_spacegroup_type(data.hall_number)
    return Symmetry(
        international=data.international,
        number=int(data.number),
        hall_number=int(data.hall_number),
        point_group=kind.pointgroup_international,
        rotations=np.array(data.rotations, dtype=int),
        translations=np.array(data.translations),
        equivalent_atoms=np.array(data.crystallographic_orbits),
        transformation=np.array(data.transformation_matrix),
        origin_shift=np.array(data.origin_shift),
        standard_lattice=np.array(data.std_lattice),
        standard_rotation=np.array(data.std_rotation_matrix),
        setting=_setting_symbol(cell, int(data.number), data.international, tolerance),
        tolerance=tolerance,
    )


def conventional_matrix(symmetry: Symmetry) -> NDArray[np.int64]:
    """Return M with ``conventional lattice (rows) = M @ input lattice``, without rotation.

    Only a primitive input cell is completed. A cell that already holds the whole conventional cell
    (in whatever setting), or is itself a supercell, is its own building block: then the identity is
    returned, so that per-axis lengths always refer to the user's a, b and c.
    """
    # (a_s b_s c_s) = (a b c) P^-1 for column vectors; rows therefore transform with its transpose.
    matrix = np.linalg.inv(symmetry.transformation).T
    rounded = np.round(matrix).astype(int)
    if np.abs(matrix - rounded).max() > 1e-5 or round(np.linalg.det(rounded)) <= 1:
        return np.eye(3, dtype=int)
    return rounded


def _dataset(cell: tuple, tolerance: float, hall_number: int = 0):  # type: ignore[no-untyped-def, type-arg]
    import spglib

    try:
        return spglib.get_symmetry_dataset(cell, symprec=tolerance, hall_number=hall_number)
    except Exception:  # noqa: BLE001  spglib 2.7 raises, earlier versions return None
        return None


def _setting_symbol(cell: tuple, number: int, standard: str, tolerance: float) -> str:  # type: ignore[type-arg]
    """Name the tabulated setting whose axes are the user's axes.

    spglib reports the same Hall number for Pnma and Pbnm cells; the setting shows only in the
    transformation. So each tabulated setting is tried until that matrix is the identity.
    """
    for hall_number in _hall_numbers(number):
        trial = _dataset(cell, tolerance, hall_number)
        if trial is not None and np.allclose(trial.transformation_matrix, np.eye(3), atol=1e-4):
            import spglib

            return str(spglib.get_spacegroup_type(hall_number).international_short)
    return f"{standard} (non-standard cell)"


def _hall_numbers(number: int) -> list[int]:
    import spglib

    return [h for h in range(1, 531) if spglib.get_spacegroup_type(h).number == number]

"""Space-group symmetry of a crystal in its own cell and Cartesian frame (spglib)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal.crystal import Crystal
from elphant.crystal.pickling import through_constructor
from elphant.errors import StructureError

#: Default distance tolerance (Å) for finding symmetry.
SYMMETRY_TOLERANCE = 1e-4

Operations = tuple[NDArray[np.int64], NDArray[np.float64]]

#: Number of Hall symbols: all tabulated settings and origin choices of the 230 space groups.
N_HALL_SYMBOLS = 530


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One tabulated description of a space group.

    Attributes
    ----------
    hall_number : int
        Serial number of the Hall symbol, 1 to 530.
    symbol : str
        Short Hermann-Mauguin symbol in this setting, for example ``Pbnm``.
    choice : str
        Axes, cell or origin choice as spglib names it; ``cab`` says that a, b, c are c, a, b of
        the standard setting.
    """

    hall_number: int
    symbol: str
    choice: str


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
        Symbol of the user's setting (for example ``Pbnm``). Where the cell is no tabulated
        setting, the standard symbol followed by ``(primitive cell)``, ``(supercell)`` or
        ``(non-standard cell)``.
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

    def __post_init__(self) -> None:
        for name, shape, dtype in (
            ("rotations", (None, 3, 3), np.int64),
            ("translations", (len(self.rotations), 3), float),
            ("equivalent_atoms", (None,), np.int64),
            ("transformation", (3, 3), float),
            ("origin_shift", (3,), float),
            ("standard_lattice", (3, 3), float),
            ("standard_rotation", (3, 3), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return through_constructor(self)

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
    data = _quietly(spglib.get_symmetry_dataset, cell, symprec=tolerance)
    if data is None:
        raise StructureError(
            f"no space group could be determined with a tolerance of {tolerance:g} Å.",
            "Atoms may overlap, or the cell may be too distorted.",
            "Check the structure, or give another symmetry tolerance.",
        )
    kind = _quietly(spglib.get_spacegroup_type, data.hall_number)
    transformation, origin_shift, standard_rotation = _simplest_transformation(data)
    return Symmetry(
        international=data.international,
        number=int(data.number),
        hall_number=int(data.hall_number),
        point_group=kind.pointgroup_international,
        rotations=data.rotations,
        translations=data.translations,
        equivalent_atoms=data.crystallographic_orbits,
        transformation=transformation,
        origin_shift=origin_shift,
        standard_lattice=data.std_lattice,
        standard_rotation=standard_rotation,
        setting=_setting_symbol(data),
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
    determinant = round(np.linalg.det(rounded))
    if np.abs(matrix - rounded).max() > 1e-5 or abs(determinant) <= 1:
        return np.eye(3, dtype=int)
    # The standard setting is right-handed; reversing all axes keeps the handedness of the input.
    return rounded if determinant > 0 else -rounded


def database_operations(hall_number: int) -> Operations:
    """Return rotations (n_ops, 3, 3) and translations (n_ops, 3) of a tabulated setting."""
    import spglib

    operations = _quietly(spglib.get_symmetry_from_database, hall_number)
    return operations["rotations"].astype(np.int64), operations["translations"]


def _quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call spglib; return None where it fails, whatever its version.

    Before 2.7 a failure is None, from 2.7 on it may be an exception, and every call warns that
    this will change.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return function(*args, **kwargs)
        except Exception:  # noqa: BLE001  the exception type does not exist in every version
            return None


def _simplest_transformation(
    data: Any,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return P, origin shift and standard rotation that keep the user's axes as far as possible.

    A rotation (W, w) of the standard setting is a symmetry of the crystal, so (P, p) and
    (W P, W p + w) are equally right. Which one spglib finds depends on the orientation; here the
    choice is the largest trace, then the most positive signs.
    """
    rotations, translations = database_operations(data.hall_number)
    proper = [i for i, rotation in enumerate(rotations) if round(np.linalg.det(rotation)) == 1]
    candidates = np.round(rotations[proper] @ data.transformation_matrix, 6)
    keys = [(np.trace(matrix), matrix.sum(), *matrix.ravel()) for matrix in candidates]
    best = proper[max(range(len(proper)), key=keys.__getitem__)]
    columns = data.std_lattice.T
    return (
        rotations[best] @ data.transformation_matrix,
        rotations[best] @ data.origin_shift + translations[best],
        columns @ rotations[best] @ np.linalg.inv(columns) @ data.std_rotation_matrix,
    )


def tabulated_settings(number: int) -> tuple[Setting, ...]:
    """Return the tabulated settings of space group ``number``, the standard one first."""
    return _all_settings()[number]


@lru_cache(maxsize=1)
def _all_settings() -> dict[int, tuple[Setting, ...]]:
    import spglib

    table: dict[int, list[Setting]] = {}
    for hall_number in range(1, N_HALL_SYMBOLS + 1):
        kind = _quietly(spglib.get_spacegroup_type, hall_number)
        setting = Setting(
            hall_number=hall_number, symbol=kind.international_short, choice=kind.choice
        )
        table.setdefault(kind.number, []).append(setting)
    return {number: tuple(settings) for number, settings in table.items()}


def _setting_symbol(data: Any) -> str:
    """Name the tabulated setting whose axes are the user's axes.

    spglib reports the same Hall number for Pnma and Pbnm cells, and its transformation is only one
    of several equivalent ones. So the operations found in the user's cell are compared with those
    of each tabulated setting; the origin is free.
    """
    inverse = np.linalg.inv(data.transformation_matrix)
    # Translations as seen from the standard origin: multiples of 1/24, whatever the user's origin.
    shift = inverse @ data.origin_shift
    identity = np.eye(3)
    translations = data.translations + (identity - data.rotations) @ shift
    for setting in tabulated_settings(int(data.number)):
        tabulated = database_operations(setting.hall_number)
        if _same_group((data.rotations, translations), tabulated, int(data.number)):
            return setting.symbol
    # Volume of the user's cell over that of the standard cell, and its number of lattice points.
    size = abs(np.linalg.det(data.transformation_matrix))
    n_points = int((data.rotations == identity).all(axis=(1, 2)).sum())
    if size > 1.01:
        kind = "supercell"
    else:
        kind = "primitive cell" if size < 0.99 and n_points == 1 else "non-standard cell"
    return f"{data.international} ({kind})"


_IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0, 1)


def _same_group(found: Operations, tabulated: Operations, number: int) -> bool:
    """Return whether two lists of operations are equal up to a shift of the origin."""
    if len(found[0]) != len(tabulated[0]):
        return False
    keys, translations = zip(*(_by_rotation(group) for group in (found, tabulated)), strict=True)
    if keys[0] != keys[1]:
        return False
    centring = [group[keys[0].index(_IDENTITY)] for group in translations]
    if not all(_on_lattice(vector - centring[1]).any() for vector in centring[0]):
        return False
    # One translation per rotation is enough once the centring vectors agree.
    difference = np.array([a[0] - b[0] for a, b in zip(*translations, strict=True)])
    rotations = np.array(keys[0]).reshape(-1, 3, 3)
    # t' = t + (1 - R) o for a shift o, which is a multiple of 1/8, or of 1/12 in hexagonal axes.
    steps = 12 if 143 <= number <= 194 else 8
    origins = np.array(np.meshgrid(*[np.arange(steps) / steps] * 3)).reshape(3, -1).T
    for rotation, vector in zip(rotations, difference, strict=True):
        residual = vector - origins @ (np.eye(3) - rotation).T
        origins = origins[_on_lattice(residual[:, None] - centring[1]).any(axis=1)]
    return len(origins) > 0


def _by_rotation(
    group: Operations,
) -> tuple[list[tuple[int, ...]], list[NDArray[np.float64]]]:
    """Return the distinct rotations, sorted, and the translations that occur with each."""
    table: dict[tuple[int, ...], list[NDArray[np.float64]]] = {}
    for rotation, translation in zip(*group, strict=True):
        table.setdefault(tuple(rotation.ravel().tolist()), []).append(translation)
    keys = sorted(table)
    return keys, [np.array(table[key]) for key in keys]


def _on_lattice(vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of the (..., 3) fractional vectors are integer."""
    return np.asarray((np.abs(vectors - np.round(vectors)) < 0.01).all(axis=-1))

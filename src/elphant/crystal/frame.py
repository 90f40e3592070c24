"""The frame: how the user's axes, the Cartesian axes and the standard setting are related."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal.crystal import Crystal, axis_directions
from elphant.crystal.pickling import through_constructor
from elphant.crystal.symmetry import Symmetry

AXES = ("a", "b", "c")
CARTESIAN_AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Working frame of every tensor: the Cartesian frame of the input structure.

    Attributes
    ----------
    lattice : ndarray, (3, 3) Å
        Lattice vectors of the user's cell, rows.
    standard_lattice : ndarray, (3, 3) Å
        Idealised lattice of the standard setting (rotated; for the record).
    transformation : ndarray, (3, 3)
        P of ``x_standard = P x + origin_shift``.
    origin_shift : ndarray, (3,)
    standard_rotation : ndarray, (3, 3)
        Cartesian rotation that would bring the crystal to the standard frame; never applied.
    space_group : str
        Standard symbol and number, for example ``Pnma (62)``.
    setting : str
        Symbol of the user's own setting, for example ``Pbnm``.
    """

    lattice: NDArray[np.float64]
    standard_lattice: NDArray[np.float64]
    transformation: NDArray[np.float64]
    origin_shift: NDArray[np.float64]
    standard_rotation: NDArray[np.float64]
    space_group: str
    setting: str

    def __post_init__(self) -> None:
        for name in ("lattice", "standard_lattice", "transformation", "standard_rotation"):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), (3, 3)))
        shift = checked_array("origin_shift", self.origin_shift, (3,))
        object.__setattr__(self, "origin_shift", shift)

    @classmethod
    def of(cls, crystal: Crystal, symmetry: Symmetry) -> Frame:
        """Return the frame of a crystal."""
        return cls(
            lattice=crystal.lattice,
            standard_lattice=symmetry.standard_lattice,
            transformation=symmetry.transformation,
            origin_shift=symmetry.origin_shift,
            standard_rotation=symmetry.standard_rotation,
            space_group=f"{symmetry.international} ({symmetry.number})",
            setting=symmetry.setting,
        )

    @property
    def axis_directions(self) -> NDArray[np.float64]:
        """Unit vectors along a, b, c, rows (3, 3)."""
        return axis_directions(self.lattice)

    @property
    def reciprocal_directions(self) -> NDArray[np.float64]:
        """Unit vectors along a*, b*, c* (normals of the cell faces), rows (3, 3)."""
        reciprocal = np.linalg.inv(self.lattice).T
        return np.asarray(reciprocal / np.linalg.norm(reciprocal, axis=1)[:, None])

    @property
    def axis_angles(self) -> NDArray[np.float64]:
        """Angles between (b, c), (a, c), (a, b) in degrees."""
        a, b, c = self.axis_directions
        return np.asarray(np.degrees(np.arccos(np.clip([b @ c, a @ c, a @ b], -1.0, 1.0))))

    @property
    def standard_axes(self) -> dict[str, str]:
        """What each input axis is in the standard setting, for example ``{'a': 'c', ...}``."""
        return {axis: _combination(self.transformation[:, i], AXES) for i, axis in enumerate(AXES)}

    @property
    def cartesian_labels(self) -> dict[str, str]:
        """Crystal direction [uvw] of each Cartesian axis, or ``general`` if it is none."""
        return {
            name: self.direction_label(vector)
            for name, vector in zip(CARTESIAN_AXES, np.eye(3), strict=True)
        }

    def direction_label(self, vector: ArrayLike, *, tolerance_degrees: float = 0.05) -> str:
        """Return ``[uvw]`` of the lattice direction parallel to a Cartesian ``vector``.

        Indices up to 3 are tried; ``general`` is returned when none lies within the tolerance.
        """
        unit = np.asarray(vector, dtype=float) / np.linalg.norm(vector)
        indices = np.array(sorted(product(range(-3, 4), repeat=3), key=_simplicity))[1:]
        directions = indices @ self.lattice
        directions /= np.linalg.norm(directions, axis=1)[:, None]
        sines = np.linalg.norm(np.cross(directions, unit), axis=1)
        aligned = (sines < np.sin(np.radians(tolerance_degrees))) & (directions @ unit > 0)
        return _miller(indices[np.argmax(aligned)]) if aligned.any() else "general"

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return through_constructor(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the record stored in ``results.json``."""
        return {
            "description": "Cartesian frame of the input structure; the crystal is not rotated",
            "lattice": self.lattice.tolist(),
            "standard_lattice": self.standard_lattice.tolist(),
            "transformation": self.transformation.tolist(),
            "origin_shift": self.origin_shift.tolist(),
            "standard_rotation": self.standard_rotation.tolist(),
            "space_group": self.space_group,
            "setting": self.setting,
            "axis_directions": dict(zip(AXES, self.axis_directions.tolist(), strict=True)),
            "axis_angles": self.axis_angles.tolist(),
            "standard_axes": self.standard_axes,
            "cartesian_labels": self.cartesian_labels,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Frame:
        """Rebuild a frame from :meth:`to_dict`."""
        names = ("lattice", "standard_lattice", "transformation", "origin_shift")
        arrays = {name: np.array(record[name]) for name in (*names, "standard_rotation")}
        return cls(**arrays, space_group=record["space_group"], setting=record["setting"])


def _simplicity(indices: tuple[int, ...]) -> tuple[int, int]:
    return (sum(abs(i) for i in indices), -sum(indices))


def _miller(indices: NDArray[np.int64]) -> str:
    """Format integer indices; a negative one carries a combining overline."""
    return "[" + "".join(f"{abs(i)}\u0305" if i < 0 else f"{i}" for i in indices) + "]"


def _combination(coefficients: NDArray[np.float64], names: tuple[str, ...]) -> str:
    """Format linear combinations in the style ``1/2 a - b``."""
    text = ""
    for value, name in zip(coefficients, names, strict=True):
        fraction = Fraction(float(value)).limit_denominator(12)
        if fraction == 0:
            continue
        size = "" if abs(fraction) == 1 else f"{abs(fraction)} "
        sign = "-" if fraction < 0 else "+"
        text += f" {sign} {size}{name}" if text else f"{sign}{size}{name}".removeprefix("+")
    return text or "0"

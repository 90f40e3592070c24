"""The crystal: lattice, atoms and masses in the user's own Cartesian frame."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal.elements import chemical_formula, standard_masses, symbols_of
from elphant.crystal.pickling import through_constructor

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Crystal:
    """A three-dimensional periodic crystal. Immutable; nothing in elphant ever rotates it.

    Two crystals are equal when lattice, coordinates, species and masses agree to the last bit
    (:meth:`digest`); their names do not matter.

    Attributes
    ----------
    lattice : ndarray, (3, 3) Å
        Lattice vectors as rows, in the working frame (the Cartesian frame of the input).
    fractional : ndarray, (n_atoms, 3)
        Fractional coordinates.
    numbers : ndarray of int, (n_atoms,)
        Atomic numbers.
    masses : ndarray, (n_atoms,) amu
        Atomic masses; standard masses when not given.
    name : str
        Label for reports; the chemical formula when not given.
    """

    lattice: Array
    fractional: Array
    numbers: NDArray[np.int64]
    masses: Array = field(default_factory=lambda: np.zeros(0))
    name: str = ""

    def __post_init__(self) -> None:
        # int64 on every platform, so that the digest is the same everywhere.
        numbers = checked_array("numbers", self.numbers, (None,), np.int64)
        if not len(numbers):
            raise ValueError("a crystal needs at least one atom")
        if numbers.min() < 1 or numbers.max() > 118:
            wrong = sorted({int(n) for n in numbers if not 1 <= n <= 118})
            raise ValueError(f"atomic numbers {wrong} are not chemical elements")
        masses = np.asarray(self.masses, dtype=float)
        set_field = object.__setattr__
        set_field(self, "numbers", numbers)
        set_field(self, "lattice", checked_array("lattice", self.lattice, (3, 3)))
        fractional = checked_array("fractional", self.fractional, (len(numbers), 3))
        set_field(self, "fractional", fractional)
        masses = masses if masses.size else standard_masses(numbers)
        set_field(self, "masses", checked_array("masses", masses, (len(numbers),)))
        if self.masses.min() <= 0:
            raise ValueError(f"an atomic mass is {self.masses.min():g} amu; it must be positive")
        if abs(np.linalg.det(self.lattice)) < 1e-6:
            raise ValueError("the lattice vectors are linearly dependent")
        set_field(self, "name", self.name or chemical_formula(self.symbols))

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.numbers)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbol of each atom."""
        return symbols_of(self.numbers)

    @property
    def formula(self) -> str:
        """Reduced chemical formula."""
        return chemical_formula(self.symbols)

    @property
    def elements(self) -> tuple[str, ...]:
        """Distinct chemical symbols in order of first appearance."""
        return tuple(dict.fromkeys(self.symbols))

    @property
    def volume(self) -> float:
        """Cell volume, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def positions(self) -> Array:
        """Cartesian positions, (n_atoms, 3) Å."""
        return self.fractional @ self.lattice

    @property
    def axis_directions(self) -> Array:
        """Unit vectors along a, b, c, rows (3, 3)."""
        return axis_directions(self.lattice)

    @property
    def lengths(self) -> Array:
        """Lengths of the lattice vectors a, b, c, (3,) Å."""
        return np.asarray(np.linalg.norm(self.lattice, axis=1))

    @property
    def angles(self) -> Array:
        """Lattice angles alpha, beta, gamma, (3,) degrees."""
        unit = self.lattice / self.lengths[:, None]
        cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
        return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))))

    @property
    def heights(self) -> Array:
        """Distances between opposite faces of the cell along a*, b*, c*, (3,) Å."""
        return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(self.lattice), axis=0))

    def displaced(self, displacements: ArrayLike) -> Crystal:
        """Return a copy with Cartesian ``displacements`` (n_atoms, 3) Å added to the positions."""
        shift = np.asarray(displacements, dtype=float) @ np.linalg.inv(self.lattice)
        return self.replaced(fractional=self.fractional + shift)

    def replaced(
        self, *, lattice: ArrayLike | None = None, fractional: ArrayLike | None = None
    ) -> Crystal:
        """Return a copy with another lattice and/or other fractional coordinates."""
        return Crystal(
            lattice=np.asarray(self.lattice if lattice is None else lattice, dtype=float),
            fractional=np.asarray(
                self.fractional if fractional is None else fractional, dtype=float
            ),
            numbers=self.numbers,
            masses=self.masses,
            name=self.name,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, as stored in ``results.json`` and stage metadata."""
        return {
            "name": self.name,
            "lattice": self.lattice.tolist(),
            "fractional": self.fractional.tolist(),
            "numbers": self.numbers.tolist(),
            "symbols": list(self.symbols),
            "masses": self.masses.tolist(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Crystal:
        """Rebuild a crystal from :meth:`to_dict`."""
        return cls(
            lattice=np.array(record["lattice"]),
            fractional=np.array(record["fractional"]),
            numbers=np.array(record["numbers"]),
            masses=np.array(record["masses"]),
            name=record["name"],
        )

    def digest(self) -> str:
        """Return the sha256 of lattice, positions, species and masses (not of the name)."""
        sha = hashlib.sha256()
        for array in (self.lattice, self.fractional, self.numbers, self.masses):
            # Adding zero turns -0.0 into 0.0: equal numbers must give equal digests.
            sha.update(np.ascontiguousarray(array + 0).tobytes())
        return sha.hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.digest() == other.digest() if isinstance(other, Crystal) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest())

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return through_constructor(self)

    def __repr__(self) -> str:
        return f"Crystal({self})"

    def __str__(self) -> str:
        a, b, c = self.lengths
        alpha, beta, gamma = self.angles
        return (
            f"{self.formula}, {self.n_atoms} atoms, a b c = {a:.4f} {b:.4f} {c:.4f} Å, "
            f"alpha beta gamma = {alpha:.2f} {beta:.2f} {gamma:.2f}°"
        )


def axis_directions(lattice: Array) -> Array:
    """Return unit vectors along lattice vectors given as rows, (3, 3)."""
    return np.asarray(lattice / np.linalg.norm(lattice, axis=1)[:, None])

"""The local orbitals of a unit cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal.pickling import through_constructor
from elphant.orbitals.radial import RadialFunction, radial_from_dict

Integers = NDArray[np.int64]

#: Letters of angular momenta.
L_LETTERS = "spdfgh"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrbitalBasis:
    """Labels of the orbitals of one unit cell, grouped by atom.

    Angular parts are real spherical harmonics in the working Cartesian frame, without the
    Condon-Shortley phase: every one is a positive multiple of its usual polynomial. ``m`` runs
    from -l (sine) to l (cosine): p is y, z, x for m = -1, 0, 1; d is xy, yz, z², xz, x²-y² for
    m = -2 ... 2. The order of the orbitals inside an atom is free: each carries its own (n, l, m),
    so matrices keep the order of the program they come from.

    Attributes
    ----------
    atom : ndarray of int, (n_orbitals,)
        Atom of each orbital, ascending; every atom of the crystal has at least one.
    n, l, m : ndarray of int, (n_orbitals,)
        Number of the shell among those of the same atom and l (from 1), and angular momentum.
        ``l = -1`` where it is unknown (Wannier functions).
    spin : ndarray of int, (n_orbitals,)
        0 for spin-free orbitals; +1 and -1 for spinor components.
    radial : tuple of RadialFunction
        Distinct radial functions.
    radial_index : ndarray of int, (n_orbitals,)
        Index into ``radial``; -1 where the radial function is unknown.
    """

    atom: Integers
    n: Integers
    l: Integers  # noqa: E741  the field's own letter
    m: Integers
    spin: Integers
    radial: tuple[RadialFunction, ...] = ()
    radial_index: Integers | None = None

    def __post_init__(self) -> None:
        atom = checked_array("atom", self.atom, (None,), np.int64)
        size = (len(atom),)
        object.__setattr__(self, "atom", atom)
        for name in ("n", "l", "m", "spin"):
            values = checked_array(name, getattr(self, name), size, np.int64)
            object.__setattr__(self, name, values)
        index = np.full(size, -1) if self.radial_index is None else self.radial_index
        index = checked_array("radial_index", index, size, np.int64)
        object.__setattr__(self, "radial_index", index)
        if not len(atom) or atom[0] != 0 or not np.isin(np.diff(atom), (0, 1)).all():
            raise ValueError("orbitals must be grouped by atom, in the order of the atoms")
        if (np.abs(self.m) > np.maximum(self.l, 0)).any():
            raise ValueError("an orbital has |m| > l")
        if not np.isin(self.spin, (-1, 0, 1)).all() or len(set(np.abs(self.spin).tolist())) != 1:
            raise ValueError("spin must be 0 for all orbitals, or +1 and -1")
        if index.max() >= len(self.radial):
            raise ValueError("radial_index points beyond the radial functions")

    @property
    def n_orbitals(self) -> int:
        """Number of orbitals per cell (spinor components counted)."""
        return len(self.atom)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.atom[-1]) + 1

    @property
    def is_spinor(self) -> bool:
        """Whether the orbitals carry a spin."""
        return bool(self.spin[0] != 0)

    @property
    def sizes(self) -> Integers:
        """Number of orbitals of each atom, (n_atoms,)."""
        return np.bincount(self.atom)

    @property
    def starts(self) -> Integers:
        """Index of the first orbital of each atom, (n_atoms,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    @property
    def has_functions(self) -> bool:
        """Whether every radial function is known, so that orbitals can be drawn."""
        assert self.radial_index is not None
        return bool((self.radial_index >= 0).all())

    def labels(self) -> list[str]:
        """Return names such as ``1s``, ``2p[0]``."""
        labels = []
        for n, ell, m in zip(self.n.tolist(), self.l.tolist(), self.m.tolist(), strict=True):
            if ell < 0:
                labels.append(f"w{n}")
            else:
                labels.append(f"{n}{L_LETTERS[ell]}" + (f"[{m}]" if ell else ""))
        return labels

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return through_constructor(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, as stored in files."""
        assert self.radial_index is not None
        record: dict[str, Any] = {
            name: getattr(self, name).tolist() for name in ("atom", "n", "l", "m", "spin")
        }
        record["radial_index"] = self.radial_index.tolist()
        record["radial"] = [function.to_dict() for function in self.radial]
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> OrbitalBasis:
        """Rebuild the basis from :meth:`to_dict`."""
        arrays = {name: np.array(record[name]) for name in ("atom", "n", "l", "m", "spin")}
        return cls(
            **arrays,
            radial=tuple(radial_from_dict(entry) for entry in record["radial"]),
            radial_index=np.array(record["radial_index"]),
        )

"""Planes through a crystal on which a periodic function is drawn, and how they are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import AXES, Crystal
from elphant.report.plots.covalent_radii import covalent_radius
from elphant.report.run_data import RunData

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Planes closer than this (Å, and sine of the angle) are the same.
_SAME_DISTANCE, _SAME_ANGLE = 0.1, 0.05
_HALF_WIDTH = 4.2  # Å, of a plane around one atom
_NARROWEST, _WIDEST = 7.0, 18.0  # Å, of a plane across the whole cell


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plane:
    """A rectangle in the crystal.

    Attributes
    ----------
    origin : ndarray, (3,) Å
    right, up : ndarray, (3,)
        Orthogonal unit vectors.
    low, high : ndarray, (2,) Å
        Corners of the rectangle along ``right`` and ``up``, from the origin.
    title, description : str
        For the panel and for the caption.
    """

    origin: Array
    right: Array
    up: Array
    low: Array
    high: Array
    title: str
    description: str

    @property
    def normal(self) -> Array:
        """Unit vector out of the plane."""
        return np.cross(self.right, self.up)

    def points(self, spacing: float) -> tuple[Array, Array, Array]:
        """Return coordinates along both sides, (n,) and (m,) Å, and Cartesian points (m, n, 3)."""
        counts = np.ceil((self.high - self.low) / spacing).astype(int) + 1
        x = np.linspace(self.low[0], self.high[0], counts[0])
        y = np.linspace(self.low[1], self.high[1], counts[1])
        offsets = x[None, :, None] * self.right + y[:, None, None] * self.up
        return x, y, self.origin + offsets

    def projected(self, positions: ArrayLike) -> Array:
        """Return right, up and the distance from the plane of Cartesian positions, (..., 3) Å."""
        basis = np.array([self.right, self.up, self.normal])
        return np.asarray((np.asarray(positions) - self.origin) @ basis.T)

    def images(self, lattice: Array, positions: Array, thickness: float) -> tuple[Integers, Array]:
        """Return all periodic images close to the rectangle.

        Returns
        -------
        index : ndarray of int, (n,)
            Which of ``positions`` (m, 3) Å each image is of.
        places : ndarray, (n, 3) Å
            As from :meth:`projected`, within ``thickness`` of the plane.
        """
        corners = self.origin + np.array(
            [
                x * self.right + y * self.up + z * self.normal
                for x, y, z in product(
                    (self.low[0], self.high[0]),
                    (self.low[1], self.high[1]),
                    (-thickness, thickness),
                )
            ]
        )
        inverse = np.linalg.inv(lattice)
        fractional = positions @ inverse
        low = np.floor((corners @ inverse).min(axis=0) - fractional.max(axis=0)).astype(int)
        high = np.ceil((corners @ inverse).max(axis=0) - fractional.min(axis=0)).astype(int)
        shifts = np.array(list(product(*[range(i, j + 1) for i, j in zip(low, high, strict=True)])))
        index = np.tile(np.arange(len(positions)), len(shifts))
        places = self.projected((fractional + shifts[:, None, :]).reshape(-1, 3) @ lattice)
        kept = (np.abs(places[:, 2]) <= thickness) & (
            (places[:, :2] > self.low - 1e-6) & (places[:, :2] < self.high + 1e-6)
        ).all(axis=1)
        return index[kept], places[kept]

    def is_same(self, other: Plane) -> bool:
        """Return whether both lie in one plane, whatever part of it they show."""
        parallel = np.linalg.norm(np.cross(self.normal, other.normal)) < _SAME_ANGLE
        return bool(parallel and abs(self.projected(other.origin)[2]) < _SAME_DISTANCE)


def chosen_planes(run: RunData) -> tuple[Plane, ...]:
    """Return the two planes in which the localization function is drawn.

    With a plane chosen by the user, that one first. Else the plane through an atom with a lone
    pair (or the first atom), its lone pair and its strongest bond, and the plane
    across the shortest axis through the same atom; if these are one plane, the plane that holds
    the lone pair and the shortest axis takes the first one's place.
    """
    across = plane_across(run, _central_atom(run))
    chosen = _given_plane(run)
    if chosen is not None:
        return (chosen,) if chosen.is_same(across) else (chosen, across)
    through = plane_through(run, _central_atom(run))
    if through.is_same(across):
        along = _plane_along_axis(run, _central_atom(run))
        return (across,) if along is None else (across, along)
    return through, across


def plane_across(run: RunData, atom: int) -> Plane:
    """Return the plane normal to the shortest axis through an atom, about as large as the cell."""
    from elphant.report.plots.crystal_structure import front_basis

    crystal = run.crystal
    axis = int(np.argmin(crystal.lengths))
    right, up, toward = front_basis(run, axis)
    corners = np.array(list(product((0, 1), repeat=3))) @ crystal.lattice
    # The rectangle holds the cell as it is seen along the axis.
    origin = toward * (crystal.positions[atom] @ toward)
    flat = corners @ np.array([right, up]).T
    low, high = flat.min(axis=0), flat.max(axis=0)
    middle = 0.5 * (low + high)
    half = np.clip(0.5 * (high - low), 0.5 * _NARROWEST, 0.5 * _WIDEST)
    name = f"{crystal.symbols[atom]} (atom {atom + 1})"
    return Plane(
        origin=origin, right=right, up=up, low=middle - half, high=middle + half,
        title=f"across {AXES[axis]}",
        description=f"normal to {AXES[axis]}, the shortest axis, through {name}",
    )  # fmt: skip


def plane_through(run: RunData, atom: int) -> Plane:
    """Return the plane through an atom, its lone pair (or second bond) and its strongest bond."""
    crystal = run.crystal
    first, partner = strongest_bond(crystal, atom)
    vector = _lone_pair_vector(run, atom)
    name = f"{crystal.symbols[atom]} (atom {atom + 1})"
    if vector is not None:
        if _sine(vector, first) < 0.2:  # the bond points along the lone pair: take the next one
            first, partner = strongest_bond(crystal, atom, avoid=vector)
        text = f"through {name}, its lone pair and its bond to {crystal.symbols[partner]}"
        title = "lone pair and strongest bond"
    else:
        vector, other = strongest_bond(crystal, atom, avoid=first)
        partners = f"{crystal.symbols[partner]} and {crystal.symbols[other]}"
        text = f"through {name} and its bonds to {partners}"
        title = "strongest bonds"
    centre = crystal.positions[atom] + 0.25 * (vector + first)
    return _square(run, centre, np.cross(vector, first), title, text, first)


def strongest_bond(crystal: Crystal, atom: int, *, avoid: Array | None = None) -> tuple[Array, int]:
    """Return the vector (Å) to the neighbour closest in terms of covalent radii, and its index.

    Parameters
    ----------
    crystal : Crystal
    atom : int
    avoid : ndarray, (3,), optional
        Neighbours within 12 degrees of the line along this vector do not count.
    """
    images = np.array(list(product(range(-2, 3), repeat=3)))
    delta = crystal.fractional - crystal.fractional[atom]
    delta = delta - np.round(delta)
    vectors = ((delta[None] + images[:, None]) @ crystal.lattice).reshape(-1, 3)
    atoms = np.tile(np.arange(crystal.n_atoms), len(images))
    distance = np.linalg.norm(vectors, axis=1)
    radii = np.array([covalent_radius(int(z)) for z in crystal.numbers])
    relative = distance / (radii[atom] + radii[atoms])
    relative[distance < 1e-3] = np.inf
    if avoid is not None:
        cosine = np.abs(vectors @ avoid) / np.maximum(distance * np.linalg.norm(avoid), 1e-9)
        relative[cosine > np.cos(np.radians(12))] = np.inf
    # Of equal bonds the first in a fixed order of directions, whatever the round-off.
    best = np.flatnonzero(relative < relative.min() + 1e-4)
    best = best[np.lexsort(np.round(vectors[best].T, 3))[-1]]
    return vectors[best], int(atoms[best])


def _central_atom(run: RunData) -> int:
    """Return the atom to look at: that of the most telling lone pair, else the first.

    Anions often have several lone pairs, the cation whose lone pair distorts the structure has
    one, further away from its nucleus.
    """
    if not run.lone_pairs:
        return 0
    counts = {pair.atom: 0 for pair in run.lone_pairs}
    for pair in run.lone_pairs:
        counts[pair.atom] += max(1, pair.equivalent_atoms.count(pair.atom))
    return min(run.lone_pairs, key=lambda pair: (counts[pair.atom], -pair.distance)).atom


def _lone_pair_vector(run: RunData, atom: int) -> Array | None:
    return next((np.array(pair.vector) for pair in run.lone_pairs if pair.atom == atom), None)


def _given_plane(run: RunData) -> Plane | None:
    """Return the plane of the record, chosen by whoever ran the calculation."""
    record = run.localization.slice if run.localization else None
    if not record:
        return None
    right, up = (np.array(record[name], dtype=float) for name in ("right", "up"))
    right /= np.linalg.norm(right)
    up = up - (up @ right) * right
    up /= np.linalg.norm(up)
    half = float(record.get("half_width") or _HALF_WIDTH)
    atoms = [int(atom) for atom in record.get("atoms") or ()]
    listed = ", ".join(f"{run.crystal.symbols[atom]} (atom {atom + 1})" for atom in atoms)
    return Plane(
        origin=np.array(record["origin"], dtype=float), right=right, up=up,
        low=np.full(2, -half), high=np.full(2, half), title="chosen plane",
        description=f"through {listed}" if listed else "as chosen for this run",
    )  # fmt: skip


def _plane_along_axis(run: RunData, atom: int) -> Plane | None:
    """Return the plane with the lone pair and the shortest axis; None if they are parallel."""
    crystal = run.crystal
    axis = int(np.argmin(crystal.lengths))
    direction = run.frame.axis_directions[axis]
    vector = _lone_pair_vector(run, atom)
    pair = vector is not None
    if vector is None:
        vector, _ = strongest_bond(crystal, atom, avoid=direction)
    if _sine(vector, direction) < 0.1:
        return None
    name = f"{crystal.symbols[atom]} (atom {atom + 1})"
    what = "its lone pair" if pair else "its strongest bond"
    return _square(
        run, crystal.positions[atom] + 0.5 * vector, np.cross(direction, vector),
        f"{'lone pair' if pair else 'bond'} and {AXES[axis]}",
        f"through {name}, {what} and the axis {AXES[axis]}", direction,
    )  # fmt: skip


def _square(
    run: RunData, centre: Array, normal: Array, title: str, description: str, fallback: Array
) -> Plane:
    """Return a square around a point; its sides follow a crystal axis if one lies in the plane."""
    normal = normal / np.linalg.norm(normal)
    directions = run.frame.axis_directions
    inside = np.abs(directions @ normal) < 0.02
    right = directions[np.argmax(inside)] if inside.any() else fallback
    right = right - (right @ normal) * normal
    right /= np.linalg.norm(right)
    half = np.full(2, _HALF_WIDTH)
    return Plane(
        origin=centre, right=right, up=np.cross(normal, right), low=-half, high=half, title=title,
        description=description,
    )  # fmt: skip


def _sine(first: Array, second: Array) -> float:
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float(np.linalg.norm(np.cross(first, second)) / size)

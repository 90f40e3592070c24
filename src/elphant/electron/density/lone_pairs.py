"""Lone pairs: where the localisation function puts them, relative to the atom and to the axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import AXES, Crystal, Symmetry
from elphant.electron.density.basins import Basins
from elphant.electron.density.bond_valence import BondValence
from elphant.electron.density.off_centring import OffCentring, off_centring
from elphant.electron.density.orbital_character import OrbitalCharacter
from elphant.electron.density.synaptic_order import Attractor

Array = NDArray[np.float64]

#: Bond-valence vectors shorter than this have no direction: the site is nearly symmetric.
SHORTEST_VALENCE_VECTOR = 0.05

#: Attractors nearer than this many grid steps after an operation are images of each other.
SAME_POINT_STEPS = 2.0

#: ELF surface whose enclosed volume is reported with a lone pair.
VOLUME_LEVEL = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LonePair:
    """One symmetry-independent lone pair.

    Attributes
    ----------
    atom : int
        The atom it belongs to: the first of its orbit.
    symbol : str
    equivalent_atoms : tuple of int
        Atom of each equivalent lone pair of the cell, this one first. An atom with several
        equivalent lone pairs occurs several times.
    vectors : ndarray, (multiplicity, 3) Å
        From each of these atoms to the attractor, Cartesian.
    position : ndarray, (3,) Å
        Of the attractor, Cartesian.
    population : float, e
        Mean over the equivalent basins.
    volume : float, Å³
        Of the part of the basin where ELF exceeds :data:`VOLUME_LEVEL`.
    basin_volume : float, Å³
    elf_maximum : float
    axis_angles : ndarray, (3,) degrees
        Between the vector and the lines along a, b and c, 0 to 90.
    bond_valence_sum : float or None
    bond_valence_vector : ndarray, (3,) or None
        Points to where bonds are missing; see :class:`BondValence`.
    vacancy_angle : float or None, degrees
        Between the lone pair and the bond-valence vector.
    off_centring : OffCentring or None
    sp_mixing : dict or None
        Character of the atom near the valence-band maximum; see :class:`OrbitalCharacter`.
    """

    atom: int
    symbol: str
    equivalent_atoms: tuple[int, ...]
    vectors: Array
    position: Array
    population: float
    volume: float
    basin_volume: float
    elf_maximum: float
    axis_angles: Array
    bond_valence_sum: float | None = None
    bond_valence_vector: Array | None = None
    vacancy_angle: float | None = None
    off_centring: OffCentring | None = None
    sp_mixing: dict[str, float] | None = None

    def __post_init__(self) -> None:
        vectors = checked_array("vectors", self.vectors, (len(self.equivalent_atoms), 3))
        object.__setattr__(self, "vectors", vectors)
        for name in ("position", "axis_angles"):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), (3,)))

    @property
    def multiplicity(self) -> int:
        """Number of equivalent lone pairs per cell."""
        return len(self.equivalent_atoms)

    @property
    def vector(self) -> Array:
        """From the atom to the attractor, (3,) Å."""
        return np.asarray(self.vectors[0])

    @property
    def distance(self) -> float:
        """Length of :attr:`vector`, Å."""
        return float(np.linalg.norm(self.vector))

    def to_dict(self) -> dict[str, Any]:
        """Return the record stored in ``results.json``."""
        centre, valence = self.off_centring, self.bond_valence_vector
        return {
            "atom": self.atom,
            "symbol": self.symbol,
            "multiplicity": self.multiplicity,
            "equivalent_atoms": list(self.equivalent_atoms),
            "equivalent_vectors": self.vectors.tolist(),
            "position": self.position.tolist(),
            "vector": self.vector.tolist(),
            "distance": self.distance,
            "population": self.population,
            "volume": self.volume,
            "basin_volume": self.basin_volume,
            "elf_maximum": self.elf_maximum,
            "angles": dict(zip(AXES, self.axis_angles.tolist(), strict=True)),
            "vacancy_angle": self.vacancy_angle,
            "off_centring": None if centre is None else centre.displacement.tolist(),
            "off_centring_length": None if centre is None else centre.length,
            "coordination": None if centre is None else centre.coordination,
            "bond_valence_sum": self.bond_valence_sum,
            "bond_valence_vector": None if valence is None else valence.tolist(),
            "sp_mixing": self.sp_mixing,
        }


def find_lone_pairs(
    crystal: Crystal,
    basins: Basins,
    attractors: Sequence[Attractor],
    *,
    symmetry: Symmetry | None = None,
    valences: BondValence | None = None,
    character: OrbitalCharacter | None = None,
) -> tuple[LonePair, ...]:
    """Return the independent lone pairs, in the order of their atoms.

    Parameters
    ----------
    crystal : Crystal
    basins : Basins
    attractors : sequence of Attractor
        Meaning of each basin, from :func:`classify_attractors`.
    symmetry : Symmetry, optional
        Equivalent attractors are averaged, so that one on a mirror plane is on it exactly.
    valences : BondValence, optional
    character : OrbitalCharacter, optional
    """
    step = float((crystal.lengths / basins.labels.shape).max())
    chosen = [index for index, entry in enumerate(attractors) if entry.kind == "lone_pair"]
    found = []
    while chosen:
        # The representative is the lone pair of the first atom of the orbit.
        first = min(chosen, key=lambda index: (attractors[index].atoms[0], index))
        members, shift, rotations = _orbit(crystal, basins, first, chosen, symmetry, step)
        chosen = [index for index in chosen if index not in members]
        vector = np.array(attractors[first].vector) + shift
        atom = attractors[first].atoms[0]
        level = int(np.argmin(np.abs(basins.levels - VOLUME_LEVEL)))
        found.append(
            LonePair(
                atom=atom,
                symbol=crystal.symbols[atom],
                equivalent_atoms=tuple(attractors[index].atoms[0] for index in members),
                vectors=np.array([rotation @ vector for rotation in rotations]),
                position=crystal.positions[atom] + vector,
                population=float(basins.populations[members].mean()),
                volume=float(basins.level_volumes[level][members].mean()),
                basin_volume=float(basins.volumes[members].mean()),
                elf_maximum=float(basins.maxima[members].mean()),
                axis_angles=axis_angles(crystal, vector),
                off_centring=off_centring(crystal, atom),
                sp_mixing=None if character is None else character.of_atom(atom),
                **_valence_fields(valences, atom, vector),
            )
        )
    return tuple(found)


def axis_angles(crystal: Crystal, vector: ArrayLike) -> Array:
    """Return the angles (degrees, 0 to 90) between a vector and the lines along a, b, c, (3,)."""
    vector = np.asarray(vector, dtype=float)
    cosines = np.abs(crystal.axis_directions @ vector) / np.linalg.norm(vector)
    return np.asarray(np.degrees(np.arccos(np.clip(cosines, 0.0, 1.0))))


def angle_between(first: ArrayLike, second: ArrayLike) -> float:
    """Return the angle between two vectors, 0 to 180 degrees."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _valence_fields(valences: BondValence | None, atom: int, vector: Array) -> dict[str, Any]:
    if valences is None:
        return {}
    valence = valences.vectors[atom]
    directed = np.linalg.norm(valence) > SHORTEST_VALENCE_VECTOR
    return {
        "bond_valence_sum": float(valences.sums[atom]),
        "bond_valence_vector": valence,
        "vacancy_angle": angle_between(vector, valence) if directed else None,
    }


def _orbit(
    crystal: Crystal,
    basins: Basins,
    first: int,
    candidates: Sequence[int],
    symmetry: Symmetry | None,
    step: float,
) -> tuple[list[int], Array, list[Array]]:
    """Return the basins equivalent to ``first``, and how they follow from it.

    Returns
    -------
    members : list of int
        Basins, ``first`` first.
    shift : ndarray, (3,) Å
        From the attractor of ``first`` to the mean of all images there.
    rotations : list of ndarray, (3, 3)
        Cartesian, for each member: turns vectors at ``first`` into those at the member.
    """
    if symmetry is None:
        return [first], np.zeros(3), [np.eye(3)]
    columns = crystal.lattice.T
    cartesian = columns @ symmetry.rotations @ np.linalg.inv(columns)
    start = basins.positions[first]
    members, images, rotations = [], [], []
    for index in sorted(candidates, key=lambda index: index != first):
        moved = symmetry.rotations @ basins.positions[index] + symmetry.translations
        apart = moved - start
        apart = (apart - np.round(apart)) @ crystal.lattice
        near = np.flatnonzero(np.linalg.norm(apart, axis=1) < SAME_POINT_STEPS * step)
        if len(near):
            images.append(apart[near].mean(axis=0))
            members.append(index)
            rotations.append(cartesian[near[0]].T if index != first else np.eye(3))
    return members, np.mean(images, axis=0), rotations

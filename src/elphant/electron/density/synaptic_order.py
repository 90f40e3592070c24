"""What an attractor of the electron localisation function stands for: core, bond or lone pair.

Core attractors tell all-electron calculations which atoms a valence basin touches (its synaptic
order; B. Silvi and A. Savin, Nature 371, 683 (1994)). Valence densities of pseudopotentials have no
cores, and the inner part of a cation drains into its lone pair alone, so the order is judged here
by the position of the attractor relative to atoms and bond lines. It is a rule of thumb: strongly
bent bonds and three-centre bonds can be taken for lone pairs, and the electrons of an anion that
point to a cation are called a bond however ionic it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.crystal.elements import covalent_radii
from elphant.electron.density.basins import Basins
from elphant.electron.density.surroundings import Surroundings, surroundings

Array = NDArray[np.float64]
AttractorKind = Literal["core", "bond", "lone_pair", "other"]

#: Radius of the core of an atom, and reach of its valence shell, in covalent radii. Measured
#: attractors: semicore shells lie below 0.45, lone pairs and bonds between 0.6 and 1.1.
CORE_RADIUS = 0.5
VALENCE_RADIUS = 1.5

#: Atoms closer than this times the sum of their covalent radii are bonded.
BOND_LENGTH = 1.25

#: An attractor is on a bond when the way over it is at most this much longer than the bond.
DETOUR = 0.05

#: A lone pair is more localised than the homogeneous gas.
LEAST_LOCALIZED = 0.5

#: Distance, in the largest covalent radius, up to which atoms around an attractor are looked at.
SEARCH_RADIUS = 4.0

#: The nucleus of hydrogen has no core around it.
HYDROGEN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attractor:
    """Meaning of one basin.

    Attributes
    ----------
    kind : {"core", "bond", "lone_pair", "other"}
    atoms : tuple of int
        The atom of a core or lone pair, the bonded atoms of a bond, the nearest atom of others.
        The nearest one (in covalent radii) comes first.
    vector : tuple of float, Å
        Cartesian, from the first atom to the attractor.
    """

    kind: AttractorKind
    atoms: tuple[int, ...]
    vector: tuple[float, float, float]


def classify_attractors(crystal: Crystal, basins: Basins) -> tuple[Attractor, ...]:
    """Return the meaning of every basin.

    In this order: *bond*, if the attractor lies on the line between two bonded atoms (the way over
    it is at most :data:`DETOUR` longer) and not in a core, or at a proton that is bonded; *core*,
    within :data:`CORE_RADIUS` of a nucleus other than hydrogen's, with all its merged maxima;
    *lone_pair*, within :data:`VALENCE_RADIUS` of an atom and at least :data:`LEAST_LOCALIZED`;
    otherwise *other*, such as the closed valence shell around an anion or an electron in a void.
    """
    radii = covalent_radii(crystal.numbers)
    return tuple(
        _classify(crystal, radii, position, float(height), float(spread))
        for position, height, spread in zip(
            basins.positions, basins.maxima, basins.spreads, strict=True
        )
    )


def _classify(
    crystal: Crystal, radii: Array, position: Array, height: float, spread: float
) -> Attractor:
    largest = float(radii.max())
    # Far enough for both ends of a bond through the attractor, wherever on it the attractor lies.
    radius = SEARCH_RADIUS * largest
    around = surroundings(crystal, position, radius)
    while not len(around.atoms):
        radius *= 2.0
        around = surroundings(crystal, position, radius)
    scaled = around.distances / radii[around.atoms]
    nearest = int(np.argmin(scaled))
    first = int(around.atoms[nearest])
    vector = -around.vectors[nearest]
    own = (float(vector[0]), float(vector[1]), float(vector[2]))
    inside = bool(scaled[nearest] < CORE_RADIUS)
    hydrogen = crystal.numbers[first] == HYDROGEN
    if hydrogen or not inside:
        # The electrons of a bond to hydrogen gather at the proton, on either side of it.
        partners = _bond_partners(around, nearest, radii, any_direction=inside)
        if partners:
            return Attractor(kind="bond", atoms=(first, *partners), vector=own)
    kind: AttractorKind = "other"
    if inside and not hydrogen and spread < CORE_RADIUS * radii[first]:
        kind = "core"
    elif (
        (hydrogen or not inside) and scaled[nearest] < VALENCE_RADIUS and height >= LEAST_LOCALIZED
    ):
        kind = "lone_pair"
    return Attractor(kind=kind, atoms=(first,), vector=own)


def _bond_partners(
    around: Surroundings, nearest: int, radii: Array, *, any_direction: bool
) -> tuple[int, ...]:
    """Return the atoms to which the nearest atom is bonded, unless ``any_direction`` only those
    to which it is bonded through the attractor.
    """
    bonds = np.linalg.norm(around.vectors - around.vectors[nearest], axis=1)
    bonded = bonds < BOND_LENGTH * (radii[around.atoms] + radii[around.atoms[nearest]])
    bonded[nearest] = False
    if not any_direction:
        bonded &= around.distances + around.distances[nearest] <= (1.0 + DETOUR) * bonds
    return tuple(int(atom) for atom in around.atoms[bonded])

"""L1: crystals, their symmetry, and the frame that every tensor refers to."""

from elphant.crystal.crystal import Crystal
from elphant.crystal.frame import AXES, CARTESIAN_AXES, Frame
from elphant.crystal.symmetrize import symmetrized_crystal
from elphant.crystal.symmetry import (
    Setting,
    Symmetry,
    conventional_matrix,
    find_symmetry,
    tabulated_settings,
)

__all__ = [
    "AXES",
    "CARTESIAN_AXES",
    "Crystal",
    "Frame",
    "Setting",
    "Symmetry",
    "conventional_matrix",
    "find_symmetry",
    "symmetrized_crystal",
    "tabulated_settings",
]

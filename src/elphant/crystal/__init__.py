"""L1: crystals, their symmetry, and the frame that every tensor refers to."""

from elphant.crystal.crystal import Crystal
from elphant.crystal.frame import AXES, CARTESIAN_AXES, Frame
from elphant.crystal.symmetry import Symmetry, conventional_matrix, find_symmetry

__all__ = [
    "AXES",
    "CARTESIAN_AXES",
    "Crystal",
    "Frame",
    "Symmetry",
    "conventional_matrix",
    "find_symmetry",
]

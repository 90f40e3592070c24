"""L3: electron density, electron localisation, lone pairs, and what they are compared with."""

from elphant.electron.density.basins import Basins, find_basins, localization_basins
from elphant.electron.density.bond_valence import BondValence, bond_valence
from elphant.electron.density.density_matrix import density_matrix, electron_count
from elphant.electron.density.grid_files import cube_text, density_per_bohr, xsf_text
from elphant.electron.density.localization import (
    ElectronLocalization,
    electron_localization,
    grid_shape,
    localization_function,
)
from elphant.electron.density.lone_pairs import LonePair, find_lone_pairs
from elphant.electron.density.off_centring import OffCentring, off_centring
from elphant.electron.density.orbital_character import OrbitalCharacter, orbital_character
from elphant.electron.density.synaptic_order import Attractor, classify_attractors

__all__ = [
    "Attractor",
    "Basins",
    "BondValence",
    "ElectronLocalization",
    "LonePair",
    "OffCentring",
    "OrbitalCharacter",
    "bond_valence",
    "classify_attractors",
    "cube_text",
    "density_matrix",
    "density_per_bohr",
    "electron_count",
    "electron_localization",
    "find_basins",
    "find_lone_pairs",
    "grid_shape",
    "localization_basins",
    "localization_function",
    "off_centring",
    "orbital_character",
    "xsf_text",
]

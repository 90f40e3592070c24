"""L2: overlap and Hamiltonian before self-consistency from the tables of OpenMX."""

from elphant.models.hamiltonians.openmx.database import STANDARD_BASIS, OpenMXData
from elphant.models.hamiltonians.openmx.derivatives import (
    SpinOrbitDerivatives,
    openmx_derivatives,
    openmx_overlap_derivative,
    openmx_spin_orbit_derivatives,
)
from elphant.models.hamiltonians.openmx.matrices import (
    OpenMXMatrices,
    SpinOrbitParts,
    openmx_matrices,
)
from elphant.models.hamiltonians.openmx.position import openmx_position
from elphant.models.hamiltonians.openmx.species import OpenMXSpecies

__all__ = [
    "STANDARD_BASIS",
    "OpenMXData",
    "OpenMXMatrices",
    "OpenMXSpecies",
    "SpinOrbitDerivatives",
    "SpinOrbitParts",
    "openmx_derivatives",
    "openmx_matrices",
    "openmx_overlap_derivative",
    "openmx_position",
    "openmx_spin_orbit_derivatives",
]

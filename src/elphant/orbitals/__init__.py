"""L2: local orbitals, lattice-periodic matrices between them, and Bloch states."""

from elphant.orbitals.basis import OrbitalBasis
from elphant.orbitals.bloch import bloch_derivative, bloch_sum
from elphant.orbitals.eigenproblem import EigenStates, band_energies, solve
from elphant.orbitals.hamiltonian import HamiltonianOrigin, LocalOrbitalHamiltonian
from elphant.orbitals.lattice_matrix import LatticeMatrix
from elphant.orbitals.radial import GaussianRadial, RadialFunction, TabulatedRadial

__all__ = [
    "EigenStates",
    "GaussianRadial",
    "HamiltonianOrigin",
    "LatticeMatrix",
    "LocalOrbitalHamiltonian",
    "OrbitalBasis",
    "RadialFunction",
    "TabulatedRadial",
    "band_energies",
    "bloch_derivative",
    "bloch_sum",
    "solve",
]

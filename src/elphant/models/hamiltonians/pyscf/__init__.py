"""L2: ab initio Hamiltonians from Gaussian orbitals, with integrals and functionals from PySCF."""

from elphant.models.hamiltonians.pyscf.calculation import PySCFSettings, density_grid_points
from elphant.models.hamiltonians.pyscf.provider import PySCFProvider

__all__ = ["PySCFProvider", "PySCFSettings", "density_grid_points"]

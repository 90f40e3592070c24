"""elphant: anisotropic electron and phonon transport of crystals from foundation models.

The names below are the public interface; they are imported when first used, so that importing
this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Crystal": "elphant.crystal.crystal",
    "Frame": "elphant.crystal.frame",
    "Symmetry": "elphant.crystal.symmetry",
    "find_symmetry": "elphant.crystal.symmetry",
    "read_crystal": "elphant.crystal.io",
    "TransportTensor": "elphant.tensors.transport_tensor",
    "QualityFlag": "elphant.quality",
    "ElphantError": "elphant.errors",
    "ModelCard": "elphant.models.card",
    "Potential": "elphant.models.potentials.protocol",
    "PotentialSettings": "elphant.models.potentials.loading",
    "load_potential": "elphant.models.potentials.loading",
    "relax": "elphant.models.relaxation",
    "DielectricData": "elphant.models.dielectric.dielectric_data",
    "ForceConstants": "elphant.phonon.force_constants",
    "SparseForceConstants": "elphant.phonon.sparse_force_constants",
    "load_force_constants": "elphant.phonon.adapters.import_files",
    "Broadening": "elphant.phonon.scattering.broadening",
    "LevelSettings": "elphant.phonon.levels",
    "LevelScattering": "elphant.phonon.levels",
    "solve_level": "elphant.phonon.levels",
    "LocalOrbitalHamiltonian": "elphant.orbitals.hamiltonian",
    "OrbitalBasis": "elphant.orbitals.basis",
    "LatticeMatrix": "elphant.orbitals.lattice_matrix",
    "load_hamiltonian": "elphant.models.hamiltonians.loading",
    "read_hamiltonian": "elphant.orbitals.hamiltonian_file",
    "write_hamiltonian": "elphant.orbitals.hamiltonian_file",
    "find_band_edges": "elphant.electron.band_edges",
    "inverse_mass": "elphant.electron.effective_mass",
    "HamiltonianDerivatives": "elphant.orbitals.derivatives",
    "CouplingVertex": "elphant.coupling.vertex",
    "LongRangeCoupling": "elphant.coupling.long_range",
    "UnitCellPhonons": "elphant.phonon.unit_cell_modes",
    "window_states": "elphant.electron.transport.window",
    "carrier_mobility": "elphant.coupling.mobility",
    "RunResult": "elphant.workflow.result",
    "run": "elphant.workflow.result",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from elphant.workflow.result import RunResult as RunResult
    from elphant.workflow.result import run as run


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'elphant' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""L2: reciprocal-space meshes and paths."""

from elphant.grids.extrapolation import extrapolated
from elphant.grids.irreducible import KMesh, irreducible_mesh
from elphant.grids.mesh import mesh_from_spacing
from elphant.grids.path import HighSymmetryPath, SampledPath, high_symmetry_path, sample_path

__all__ = [
    "HighSymmetryPath",
    "KMesh",
    "SampledPath",
    "extrapolated",
    "high_symmetry_path",
    "irreducible_mesh",
    "mesh_from_spacing",
    "sample_path",
]

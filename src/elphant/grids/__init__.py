"""L2: reciprocal-space meshes and paths."""

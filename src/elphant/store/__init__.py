"""L1: run directory, content-addressed stages, atomic files and provenance. Knows no physics."""

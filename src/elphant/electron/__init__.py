"""L3: electronic structure from local-orbital Hamiltonians."""

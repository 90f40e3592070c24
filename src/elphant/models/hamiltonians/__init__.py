"""L2: providers of Hamiltonians in local orbitals."""

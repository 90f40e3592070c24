"""L2: Hamiltonians that other programs wrote."""

"""L2: Hamiltonians predicted by a Uni-HamGNN network, with elphant's own code."""

"""L2: interatomic potentials behind one protocol."""

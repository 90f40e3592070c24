"""L2: models: interatomic potentials, dielectric data, their cards and weights."""

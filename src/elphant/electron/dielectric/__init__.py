"""L3: dielectric response of insulators from their Hamiltonian: permittivity and Born charges."""

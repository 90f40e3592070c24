"""L2: dielectric response: Born charges and high-frequency permittivity."""

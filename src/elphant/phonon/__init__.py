"""L3: phonons from force constants: harmonic properties, scattering and thermal conductivity."""

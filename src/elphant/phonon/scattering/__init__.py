"""Scattering of phonons by phonons, isotopes and boundaries, and the collision operator."""

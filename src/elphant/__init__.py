"""elphant: anisotropic electron and phonon transport from foundation models."""

__version__ = "0.1.0"

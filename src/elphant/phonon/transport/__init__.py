"""Heat carried by phonons: relaxation-time approximation, Boltzmann equation, coherences."""

"""L6: one file per figure; ``FIGURES`` lists them in the order of the report."""

from elphant.report.plots import (
    conductivity_bars,
    conductivity_temperature,
    crystal_structure,
    cumulative_conductivity,
    phonon_bands,
    scattering_rates,
    spectral_conductivity,
)

FIGURES = (
    crystal_structure.SPEC,
    phonon_bands.SPEC,
    conductivity_bars.SPEC,
    conductivity_temperature.SPEC,
    cumulative_conductivity.SPEC,
    spectral_conductivity.SPEC,
    scattering_rates.SPEC,
)

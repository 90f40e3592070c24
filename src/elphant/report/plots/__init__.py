"""L6: one file per figure; ``FIGURES`` lists them in the order of the report."""

from elphant.report.plots import (
    anharmonicity,
    conductivity_bars,
    conductivity_ladder,
    conductivity_temperature,
    crystal_structure,
    cumulative_conductivity,
    effective_masses,
    electron_bands,
    elf_isosurface,
    elf_slice,
    force_asymmetry,
    four_phonon_rates,
    phonon_bands,
    renormalized_phonons,
    scattering_rates,
    spectral_conductivity,
)

FIGURES = (
    crystal_structure.SPEC,
    elf_slice.SPEC,
    elf_isosurface.SPEC,
    electron_bands.SPEC,
    effective_masses.SPEC,
    phonon_bands.SPEC,
    renormalized_phonons.SPEC,
    conductivity_bars.SPEC,
    conductivity_ladder.SPEC,
    conductivity_temperature.SPEC,
    cumulative_conductivity.SPEC,
    spectral_conductivity.SPEC,
    scattering_rates.SPEC,
    four_phonon_rates.SPEC,
    force_asymmetry.SPEC,
    anharmonicity.SPEC,
)

"""From the user's configuration to the frozen settings of the physics layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.config.models import RunConfig
from elphant.grids.mesh import mesh_from_spacing
from elphant.models.relaxation import RelaxationSettings
from elphant.phonon.conductivity import ConductivitySettings, Solver
from elphant.phonon.displacement import DisplacementSettings
from elphant.phonon.imaginary import ImaginaryModePolicy

Array = NDArray[np.float64]


def relaxation_settings(config: RunConfig) -> RelaxationSettings:
    """Return the settings of the relaxation."""
    return RelaxationSettings(
        fmax=config.relaxation.max_force,
        max_steps=config.relaxation.max_steps,
        fix_cell=config.relaxation.fix_cell,
        symprec=config.symmetry.tolerance,
    )


def displacement_settings(config: RunConfig) -> DisplacementSettings:
    """Return the settings of the displaced supercells."""
    options = config.displacements
    return DisplacementSettings(
        method=options.method,
        orders=(2, 3),
        length_second=options.length_second,
        length_third=options.length_third,
        cutoff_third=options.cutoff_third,
        amplitude_second=options.amplitude_second,
        amplitude_third=options.amplitude_third,
        oversampling=options.oversampling,
        held_out_fraction=options.held_out_fraction,
        seed=options.seed,
    )


def conductivity_settings(
    config: RunConfig, lattice: Array, solver: Solver
) -> ConductivitySettings:
    """Return the settings of the scattering sums; ``lattice`` is primitive (rows, Å)."""
    options = config.conductivity
    sigma = None if options.broadening == "tetrahedron" else float(options.broadening)
    return ConductivitySettings(
        mesh=options.mesh or mesh_from_spacing(lattice, options.mesh_spacing),
        temperatures=options.temperatures,
        solver=solver,
        isotope=options.isotopes,
        boundary_mfp_um=options.boundary,
        sigma_thz=sigma,
        imaginary=ImaginaryModePolicy(action=options.imaginary_modes),
        degenerate_average=options.degenerate_average,
        symmetry_tolerance=config.symmetry.tolerance,
    )


def harmonic_mesh(config: RunConfig, lattice: Array) -> tuple[int, int, int]:
    """Return the mesh of the density of states."""
    options = config.phonons
    return options.mesh or mesh_from_spacing(lattice, options.mesh_spacing)

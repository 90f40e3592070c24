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
from elphant.phonon.levels import LevelSettings
from elphant.phonon.renormalization import LoopSettings, StochasticSettings
from elphant.phonon.scattering.broadening import Broadening
from elphant.workflow.level_cost import FourthOrder

Array = NDArray[np.float64]


def relaxation_settings(config: RunConfig) -> RelaxationSettings:
    """Return the settings of the relaxation."""
    return RelaxationSettings(
        fmax=config.relaxation.max_force,
        max_steps=config.relaxation.max_steps,
        fix_cell=config.relaxation.fix_cell,
        symprec=config.symmetry.tolerance,
    )


def displacement_settings(
    config: RunConfig, *, harmonic_only: bool = False
) -> DisplacementSettings:
    """Return the settings of the displaced supercells; ``harmonic_only``: of second order."""
    options = config.displacements
    orders = (2, 3, 4) if needs_fourth(config) else (2, 3)
    return DisplacementSettings(
        method=options.method,
        orders=(2,) if harmonic_only else orders,
        length_second=options.length_second,
        length_third=options.length_third,
        cutoff_third=options.cutoff_third,
        cutoff_fourth=options.cutoff_fourth,
        amplitude_fourth=options.amplitude_fourth,
        oversampling_fourth=options.oversampling_fourth,
        amplitude_second=options.amplitude_second,
        amplitude_third=options.amplitude_third,
        oversampling=options.oversampling,
        held_out_fraction=options.held_out_fraction,
        seed=options.seed,
    )


def needs_fourth(config: RunConfig) -> bool:
    """Return whether any stage needs fourth-order force constants."""
    return 4 in config.conductivity.orders or config.renormalization.method == "loop"


def fourth_order(config: RunConfig) -> FourthOrder:
    """Return what will be done about four-phonon scattering."""
    return FourthOrder(
        wanted=4 in config.conductivity.orders, exact=config.conductivity.sampling == "exact"
    )


def planned_cutoff(config: RunConfig, source: str = "random") -> float | None:
    """Return the cut-off of the third order, or None where files or a whole supercell give it."""
    return config.displacements.cutoff_third if source == "random" else None


def level_settings(
    config: RunConfig, lattice: Array, temperatures: tuple[float, ...]
) -> LevelSettings:
    """Return the settings of one level of theory; ``lattice`` is primitive (rows, Å)."""
    options = config.conductivity
    adaptive = Broadening(scale=options.width_scale)
    if isinstance(options.broadening, float):
        broadening = fourth = Broadening(kind="gaussian", sigma_thz=options.broadening)
    else:
        fourth = adaptive
        broadening = (
            adaptive if options.broadening == "adaptive" else Broadening(kind="tetrahedron")
        )
    return LevelSettings(
        mesh=options.mesh or mesh_from_spacing(lattice, options.mesh_spacing),
        temperatures=temperatures,
        collision="bte" in options.solver,
        isotope=options.isotopes,
        boundary_mfp_um=options.boundary,
        broadening=broadening,
        broadening_fourth=fourth,
        imaginary=ImaginaryModePolicy(action=options.imaginary_modes),
        seed=options.sampling_seed,
        single_precision=options.single_precision,
        symmetry_tolerance=config.symmetry.tolerance,
    )


def loop_settings(config: RunConfig) -> LoopSettings:
    """Return the settings of loop self-consistent phonons."""
    return LoopSettings(
        mesh=config.renormalization.mesh, tolerance=config.renormalization.tolerance
    )


def stochastic_settings(config: RunConfig) -> StochasticSettings:
    """Return the settings of stochastic self-consistent phonons."""
    options = config.renormalization
    return StochasticSettings(
        seed=config.displacements.seed,
        n_pairs=max(1, options.batch // 2),
        max_batches=options.max_batches,
    )


def conductivity_settings(
    config: RunConfig, lattice: Array, solver: Solver
) -> ConductivitySettings:
    """Return the settings of the scattering sums; ``lattice`` is primitive (rows, Å)."""
    options = config.conductivity
    sigma = options.broadening if isinstance(options.broadening, float) else None
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

r"""Lattice thermal conductivity from three-phonon scattering.

The work comes in three steps so that it can be split over processes and machines:

1. :func:`scattering_grid_points` lists the irreducible mesh points, the units of sharding;
2. :func:`compute_scattering` computes any of them, each independent of the others;
3. :func:`solve_conductivity` solves the Boltzmann equation with the merged pieces.

:class:`ScatteringCalculator` does all three with one setup of the phonons.

Conventions: the rate is the full width, ``1/tau = 4 pi gamma`` with phono3py's ``gamma`` (half
width at half maximum, ordinary THz); the total rate is the sum of the three-phonon, isotope and
boundary rates (Matthiessen); frequencies below the cut-off of 1e-4 THz take no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Symmetry
from elphant.errors import ConfigurationError, ResourceError
from elphant.phonon.adapters.phono3py_adapter import (
    CUTOFF_THZ,
    Progress,
    ThreePhononEngine,
)
from elphant.phonon.conductivity_data import (
    ConductivitySettings,
    ScatteringBlock,
    Solver,
    ThermalConductivity,
    broadening_label,
    merge_blocks,
)
from elphant.phonon.direct_solution import direct_mode_conductivity
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.imaginary import ModeCensus, apply_policy, census
from elphant.phonon.mesh_phonons import MeshPhonons
from elphant.phonon.relaxation_time import boundary_rates, rta_mode_conductivity
from elphant.quality import QualityFlag
from elphant.units import rate_from_linewidth

__all__ = [
    "ConductivitySettings",
    "ScatteringBlock",
    "ScatteringCalculator",
    "Solver",
    "ThermalConductivity",
    "boundary_rates",
    "broadening_label",
    "compute_scattering",
    "estimate_memory",
    "merge_blocks",
    "rta_mode_conductivity",
    "scattering_grid_points",
    "solve_conductivity",
    "thermal_conductivity",
]

Array = NDArray[np.float64]


class ScatteringCalculator:
    """Scattering on one mesh: sets phono3py up and solves the phonons once, on first use.

    The module functions below do one thing each with a calculator of their own; keep one where
    several things are done with the same settings.

    Parameters
    ----------
    force_constants : ForceConstants
    settings : ConductivitySettings
    """

    def __init__(self, force_constants: ForceConstants, settings: ConductivitySettings) -> None:
        self.force_constants, self.settings = force_constants, settings
        self._made: ThreePhononEngine | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave phono3py's objects behind: a worker process sets up its own."""
        return {**self.__dict__, "_made": None}

    @property
    def _engine(self) -> ThreePhononEngine:
        if self._made is None:
            settings = self.settings
            self._made = ThreePhononEngine(
                self.force_constants,
                settings.mesh,
                r0_average=settings.r0_average,
                mesh_symmetry=settings.mesh_symmetry,
                degenerate_average=settings.degenerate_average,
                absolute=settings.imaginary.action == "absolute",
                symmetry_tolerance=settings.symmetry_tolerance,
            )
        return self._made

    @property
    def grid_points(self) -> tuple[int, ...]:
        """Irreducible grid points of the mesh: the units of sharding."""
        return tuple(int(i) for i in self._engine.grid_points)

    @property
    def memory_gb(self) -> float:
        """Estimated peak memory of scattering and solution on one machine, GB."""
        return _memory_gb(self._engine, self.settings, len(self._engine.grid_points))

    def compute(
        self, grid_points: Sequence[int], *, progress: Progress | None = None
    ) -> ScatteringBlock:
        """Compute the scattering of some grid points; see :func:`compute_scattering`."""
        engine, settings = self._engine, self.settings
        points = tuple(int(i) for i in grid_points)
        unknown = sorted(set(points) - set(self.grid_points))
        if unknown:
            raise ConfigurationError(
                f"grid points {unknown[:5]} are not irreducible points of the mesh "
                f"{settings.mesh}.",
                fix="Take them from scattering_grid_points with the same settings.",
            )
        _check_memory(engine, settings, len(points))
        apply_policy(self._census(), settings.imaginary)
        collision: Array | None = None
        if settings.solver == "bte":
            gamma, isotope, collision = engine.collision_rows(
                points,
                settings.temperatures,
                sigma_thz=settings.sigma_thz,
                isotope=settings.isotope,
                progress=progress,
            )
        else:
            gamma, isotope = engine.linewidths(
                points,
                settings.temperatures,
                sigma_thz=settings.sigma_thz,
                isotope=settings.isotope,
                progress=progress,
            )
        return ScatteringBlock(
            grid_points=points, gamma=gamma, isotope=isotope, collision=collision
        )

    def solve(
        self, block: ScatteringBlock, symmetry: Symmetry | None = None
    ) -> ThermalConductivity:
        """Solve the Boltzmann equation; see :func:`solve_conductivity`."""
        engine, settings = self._engine, self.settings
        counts = self._census()
        flags = list(apply_policy(counts, settings.imaginary))
        phonons = engine.phonons()
        block = _in_mesh_order(block, phonons, settings)
        _check_memory(engine, settings, len(block.grid_points))
        heat_capacities = engine.heat_capacities(settings.temperatures)
        heat_capacities = heat_capacities * (phonons.frequencies >= CUTOFF_THZ)
        rates, three_phonon, isotope, boundary = _all_rates(block, phonons, settings)
        mode, found = _mode_conductivity(block, phonons, settings, heat_capacities, rates)
        flags.extend(found)
        conductivity = mode.sum(axis=(1, 2)) / phonons.weights.sum()
        if symmetry is not None:
            flags.append(_asymmetry(conductivity, symmetry, self.force_constants))
        return ThermalConductivity(
            mesh=settings.mesh,
            temperatures=np.array(settings.temperatures),
            grid_points=phonons.grid_points,
            q_points=phonons.q_points,
            weights=phonons.weights,
            frequencies=phonons.frequencies,
            group_velocities=phonons.group_velocities,
            velocity_products=phonons.velocity_products,
            heat_capacities=heat_capacities,
            rates=rates,
            rates_three_phonon=three_phonon,
            rates_isotope=isotope,
            rates_boundary=boundary,
            mode_conductivity=mode,
            conductivity=conductivity,
            volume=phonons.volume,
            solver=settings.solver,
            sigma_thz=settings.sigma_thz,
            boundary_mfp_um=settings.boundary_mfp_um,
            flags=tuple(flags),
            n_masked=counts.n_masked,
        )

    def _census(self) -> ModeCensus:
        return census(*self._engine.raw_frequencies(), self.settings.imaginary, CUTOFF_THZ)


def scattering_grid_points(
    force_constants: ForceConstants, settings: ConductivitySettings
) -> tuple[int, ...]:
    """Return the irreducible grid points of the mesh: the units of sharding."""
    return ScatteringCalculator(force_constants, settings).grid_points


def compute_scattering(
    force_constants: ForceConstants,
    settings: ConductivitySettings,
    grid_points: Sequence[int],
    *,
    progress: Progress | None = None,
) -> ScatteringBlock:
    """Compute the scattering of some grid points.

    Each point is computed on its own, so the result for a point does not depend, to the last bit,
    on which other points are in the same call.

    Parameters
    ----------
    force_constants : ForceConstants
    settings : ConductivitySettings
    grid_points : sequence of int
        Any of :func:`scattering_grid_points`.
    progress : callable, optional
        Called as ``progress(n_done, n_total)`` after each point.

    Raises
    ------
    ConfigurationError
        If the third order is missing or a grid point is not one of the mesh.
    PhysicsError
        If modes are imaginary and the policy is ``error``.
    ResourceError
        If the estimated memory exceeds ``settings.memory_limit_gb``.
    """
    return ScatteringCalculator(force_constants, settings).compute(grid_points, progress=progress)


def solve_conductivity(
    force_constants: ForceConstants,
    settings: ConductivitySettings,
    block: ScatteringBlock,
    symmetry: Symmetry | None = None,
) -> ThermalConductivity:
    """Solve the Boltzmann equation with the scattering of all irreducible points.

    Parameters
    ----------
    force_constants, settings
        Those the block was computed with. A block with a collision matrix also serves
        ``solver="rta"``.
    block : ScatteringBlock
        All points of the mesh, in any order.
    symmetry : Symmetry, optional
        Space group of the unit cell; adds a flag with the asymmetry of the tensor, which shows a
        mesh that lacks the symmetry of the crystal.

    Raises
    ------
    ConfigurationError
        If points are missing, or the block lacks what the settings ask for.
    """
    return ScatteringCalculator(force_constants, settings).solve(block, symmetry)


def thermal_conductivity(
    force_constants: ForceConstants,
    settings: ConductivitySettings,
    symmetry: Symmetry | None = None,
    *,
    progress: Progress | None = None,
) -> ThermalConductivity:
    """Compute the scattering of all points and solve the Boltzmann equation in one go."""
    calculator = ScatteringCalculator(force_constants, settings)
    block = calculator.compute(calculator.grid_points, progress=progress)
    return calculator.solve(block, symmetry)


def estimate_memory(force_constants: ForceConstants, settings: ConductivitySettings) -> float:
    """Return the estimated peak memory of scattering and solution on one machine, GB."""
    return ScatteringCalculator(force_constants, settings).memory_gb


# --- details -------------------------------------------------------------------------------------


def _rates(linewidths: Array) -> Array:
    return np.asarray(rate_from_linewidth(linewidths), dtype=float)  # type: ignore[arg-type]


def _in_mesh_order(
    block: ScatteringBlock, phonons: MeshPhonons, settings: ConductivitySettings
) -> ScatteringBlock:
    """Return the block with its points in mesh order after checking that it is complete."""
    wanted = tuple(int(i) for i in phonons.grid_points)
    missing = sorted(set(wanted) - set(block.grid_points))
    if missing or len(block.grid_points) != len(wanted):
        raise ConfigurationError(
            f"the scattering block covers {len(block.grid_points)} of {len(wanted)} grid points.",
            "The conductivity is a sum over all of them.",
            f"Compute the missing points first, for example {missing[:5]}.",
        )
    if block.gamma.shape[0] != len(settings.temperatures):
        raise ConfigurationError(
            f"the scattering block holds {block.gamma.shape[0]} temperatures, the settings "
            f"{len(settings.temperatures)}.",
            fix="Use the settings the block was computed with.",
        )
    for name, needed in (("isotope", settings.isotope), ("collision", settings.solver == "bte")):
        if needed and getattr(block, name) is None:
            raise ConfigurationError(
                f"the scattering block has no {name} part, which the settings ask for.",
                fix="Compute the scattering again with these settings.",
            )
    if block.grid_points == wanted:
        return block
    position = {point: i for i, point in enumerate(block.grid_points)}
    order = [position[point] for point in wanted]
    return replace(
        block,
        grid_points=wanted,
        gamma=block.gamma[:, order],
        isotope=None if block.isotope is None else block.isotope[order],
        collision=None if block.collision is None else block.collision[:, order],
    )


def _all_rates(
    block: ScatteringBlock, phonons: MeshPhonons, settings: ConductivitySettings
) -> tuple[Array, Array, Array | None, Array | None]:
    """Return the total, three-phonon, isotope and boundary rates, ps⁻¹."""
    participating = phonons.frequencies >= CUTOFF_THZ
    three_phonon = _rates(block.gamma) * participating
    isotope: Array | None = None
    boundary: Array | None = None
    total = np.array(three_phonon)
    if settings.isotope and block.isotope is not None:
        isotope = _rates(block.isotope) * participating
        total += isotope
    if settings.boundary_mfp_um is not None:
        boundary = boundary_rates(phonons.group_velocities, settings.boundary_mfp_um)
        boundary = boundary * participating
        total += boundary
    return total, three_phonon, isotope, boundary


def _mode_conductivity(
    block: ScatteringBlock,
    phonons: MeshPhonons,
    settings: ConductivitySettings,
    cv: Array,
    rates: Array,
) -> tuple[Array, list[QualityFlag]]:
    """Return the mode conductivities (n_t, n_q, n_modes, 3, 3) W m⁻¹ K⁻¹ and what to doubt."""
    if settings.solver == "rta":
        mode = rta_mode_conductivity(cv, phonons.velocity_products, rates, phonons.volume)
        flags = _unscattered(rates, phonons.frequencies >= CUTOFF_THZ, phonons)
        return phonons.conversion * mode, flags
    assert block.collision is not None
    solutions = [
        direct_mode_conductivity(phonons, *arrays, label=f"{temperature:g} K")
        for temperature, *arrays in zip(
            settings.temperatures, cv, rates, block.collision, strict=True
        )
    ]
    mode = np.array([solution for solution, _ in solutions])
    if phonons.spread_products is not None:
        # The averaged collision matrix couples only the mean velocity of a degenerate set; what
        # is beyond the mean relaxes with the plain rate, and phono3py's solver drops it.
        mode += rta_mode_conductivity(cv, phonons.spread_products, rates, phonons.volume)
    return phonons.conversion * mode, [flag for _, flag in solutions if flag is not None]


def _unscattered(
    rates: Array, participating: NDArray[np.bool_], phonons: MeshPhonons
) -> list[QualityFlag]:
    """Flag modes that nothing scatters: their lifetime is infinite, they are left out."""
    free = participating & (rates <= 0.0).any(axis=0)
    if not free.any():
        return []
    count = int((free * phonons.weights[:, None]).sum())
    total = int(phonons.weights.sum() * free.shape[1])
    return [
        QualityFlag(
            name="unscattered_modes",
            severity="warning",
            message=f"{count} of {total} modes have no scattering on this mesh and are left out; "
            "use a finer mesh or a Gaussian width.",
            value=count / total,
            threshold=0.0,
        )
    ]


def _asymmetry(
    conductivity: Array, symmetry: Symmetry, force_constants: ForceConstants
) -> QualityFlag:
    rotations = symmetry.cartesian_rotations(force_constants.unitcell.lattice)
    mean = np.einsum("rij,tjk,rlk->til", rotations, conductivity, rotations) / len(rotations)
    size = np.linalg.norm(conductivity)
    residual = float(np.linalg.norm(conductivity - mean) / size) if size > 0.0 else 0.0
    return QualityFlag(
        name="conductivity_symmetry",
        severity="info" if residual <= 1e-3 else "warning",
        message=f"The computed tensor deviates from the point group by {residual:.1e} (relative).",
        value=residual,
        threshold=1e-3,
    )


def _memory_gb(engine: ThreePhononEngine, settings: ConductivitySettings, n_points: int) -> float:
    """Return an upper estimate of the memory of ``n_points`` points and of the solution, GB."""
    n_b, n_mesh, n_t = engine.n_modes, engine.n_mesh, len(settings.temperatures)
    n_irreducible = len(engine.grid_points)
    # The interpreter with its libraries takes about 0.2 GB before any array is made.
    total = 0.25e9 + 3.0 * engine.third_order_bytes + 16.0 * n_mesh * n_b * (n_b + 2)
    if settings.solver == "rta":
        # Two threads work on one triplet each: interaction strength and weights of all bands.
        total += 2.0 * 40.0 * n_b**3
    else:
        # All triplets of one point: strength, three sets of weights (8 bytes each) and a mask.
        total += 33.0 * (n_mesh / 2 + 1) * n_b**3
        matrix = 8.0 * (3.0 * n_b) ** 2 * n_irreducible
        # Rows kept, then per temperature one copy, its eigenvectors and the workspace.
        total += matrix * n_points * n_t + 4.0 * matrix * n_irreducible
    return total / 1e9


def _check_memory(engine: ThreePhononEngine, settings: ConductivitySettings, n_points: int) -> None:
    if settings.memory_limit_gb is None:
        return
    needed = _memory_gb(engine, settings, n_points)
    if needed > settings.memory_limit_gb:
        size = 3 * engine.n_modes * len(engine.grid_points)
        raise ResourceError(
            f"the {settings.solver} solution on the mesh {settings.mesh} needs about {needed:.1f} "
            f"GB; {settings.memory_limit_gb:.1f} GB are allowed.",
            f"The full collision matrix has {size} x {size} elements for each temperature."
            if settings.solver == "bte"
            else "",
            "Use solver 'rta', a coarser mesh or fewer temperatures, or raise the memory limit.",
        )

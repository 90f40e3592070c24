r"""Lattice thermal conductivity from three-phonon scattering.

The work comes in three steps so that it can be split over processes and machines:

1. :func:`scattering_grid_points` lists the irreducible mesh points, the units of sharding;
2. :func:`compute_scattering` computes any of them, each independent of the others;
3. :func:`solve_conductivity` merges the pieces and solves the Boltzmann equation.

Conventions: the rate is the full width, ``1/tau = 4 pi gamma`` with phono3py's ``gamma`` (half
width at half maximum, ordinary THz); the total rate is the sum of the three-phonon, isotope and
boundary rates (Matthiessen); frequencies below the cut-off of 1e-4 THz take no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Symmetry
from elphant.errors import ConfigurationError, ResourceError
from elphant.phonon.adapters.phono3py_adapter import (
    CUTOFF_THZ,
    MeshPhonons,
    Progress,
    ThreePhononEngine,
)
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.imaginary import ImaginaryModePolicy, ModeCensus, apply_policy, census
from elphant.quality import QualityFlag
from elphant.units import ANGSTROM_PER_MICROMETRE, rate_from_linewidth

Array = NDArray[np.float64]
Solver = Literal["rta", "bte"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConductivitySettings:
    """How the conductivity is computed.

    Attributes
    ----------
    mesh : tuple of int, (3,)
        Divisions of the Γ-centred mesh along the reciprocal vectors of the primitive cell.
    temperatures : tuple of float, K
    solver : {"rta", "bte"}
        Relaxation-time approximation, or the full linearised Boltzmann equation.
    isotope : bool
        Add scattering by the natural isotope distribution (Tamura).
    boundary_mfp_um : float or None, µm
        Add boundary scattering with the rate ``|v| / L``.
    sigma_thz : float or None, THz
        Width of a Gaussian in place of the delta function; None is the tetrahedron method.
    imaginary : ImaginaryModePolicy
    r0_average : bool
        Average the transformation of the third order over the three atoms of each triplet.
    mesh_symmetry : bool
        Reduce the mesh by the point group. Off only for tests.
    degenerate_average : bool
        Treat degenerate bands so that the result depends neither on the Cartesian frame nor on
        the eigensolver (weights averaged over each set, tetrahedra over the point group,
        velocities as matrices). phono3py's own default, kept here, leaves it out; for crystals
        with many degeneracies the difference is of the order of 0.1 %.
    symmetry_tolerance : float, Å
    memory_limit_gb : float or None
        Refuse a calculation whose estimate is larger.
    """

    mesh: tuple[int, int, int]
    temperatures: tuple[float, ...] = (300.0,)
    solver: Solver = "rta"
    isotope: bool = False
    boundary_mfp_um: float | None = None
    sigma_thz: float | None = None
    imaginary: ImaginaryModePolicy = field(default_factory=ImaginaryModePolicy)
    r0_average: bool = True
    mesh_symmetry: bool = True
    degenerate_average: bool = False
    symmetry_tolerance: float = 1e-5
    memory_limit_gb: float | None = None

    def __post_init__(self) -> None:
        if len(self.mesh) != 3 or any(int(n) != n or n < 1 for n in self.mesh):
            raise ConfigurationError(
                f"mesh {tuple(self.mesh)} is not three positive integers.",
                fix="Give three divisions, for example 9,9,9.",
            )
        if not self.temperatures or not all(0.0 < t < 1e5 for t in self.temperatures):
            raise ConfigurationError(
                f"temperatures {tuple(self.temperatures)} K are not all positive.",
                "At zero temperature phonons carry no heat.",
                "Give at least one temperature above zero.",
            )
        if self.solver not in ("rta", "bte"):
            raise ConfigurationError(f"solver {self.solver!r} is unknown.", fix="Use rta or bte.")
        for name in ("boundary_mfp_um", "sigma_thz", "memory_limit_gb"):
            value = getattr(self, name)
            if value is not None and not value > 0.0:
                raise ConfigurationError(f"{name} is {value}; expected a positive value.")
        if self.imaginary.action not in ("error", "mask", "absolute"):
            raise ConfigurationError(f"imaginary-mode policy {self.imaginary.action!r} is unknown.")

    @property
    def broadening(self) -> str:
        """Label of the delta function, as stored in ``results.json``."""
        return broadening_label(self.sigma_thz)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScatteringBlock:
    """Scattering at some of the irreducible mesh points: the piece that one shard computes.

    Attributes
    ----------
    grid_points : tuple of int
        Which points, in the numbering of :func:`scattering_grid_points`.
    gamma : ndarray, (n_t, n_gp, n_modes) THz
        Three-phonon half widths at half maximum, ordinary frequency.
    isotope : ndarray, (n_gp, n_modes) THz, or None
        Isotope half widths.
    collision : ndarray, (n_t, n_gp, n_modes, 3, n_q, n_modes, 3) THz, or None
        Rows of the off-diagonal collision matrix over all irreducible points (``bte`` only).
    """

    grid_points: tuple[int, ...]
    gamma: Array
    isotope: Array | None = None
    collision: Array | None = None

    def __post_init__(self) -> None:
        points = tuple(int(point) for point in self.grid_points)
        gamma = checked_array("gamma", self.gamma, (None, len(points), None))
        n_t, n_gp, n_b = gamma.shape
        set_field = object.__setattr__
        set_field(self, "grid_points", points)
        set_field(self, "gamma", gamma)
        if self.isotope is not None:
            set_field(self, "isotope", checked_array("isotope", self.isotope, (n_gp, n_b)))
        if self.collision is not None:
            shape = (n_t, n_gp, n_b, 3, None, n_b, 3)
            set_field(self, "collision", checked_array("collision", self.collision, shape))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return named arrays for the store; absent parts are left out."""
        arrays: dict[str, NDArray[np.generic]] = {
            "grid_points": np.array(self.grid_points, dtype=np.int64),
            "gamma": self.gamma,
        }
        if self.isotope is not None:
            arrays["isotope"] = self.isotope
        if self.collision is not None:
            arrays["collision"] = self.collision
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> ScatteringBlock:
        """Rebuild a block from :meth:`to_arrays`."""
        optional = {
            name: np.asarray(arrays[name], dtype=float)
            for name in ("isotope", "collision")
            if name in arrays
        }
        return cls(
            grid_points=tuple(int(i) for i in np.asarray(arrays["grid_points"])),
            gamma=np.asarray(arrays["gamma"], dtype=float),
            **optional,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThermalConductivity:
    """Lattice thermal conductivity with everything it is made of, in the working frame.

    Attributes
    ----------
    mesh : tuple of int, (3,)
    temperatures : ndarray, (n_t,) K
    q_points : ndarray, (n_q, 3)
        Irreducible points, fractional coordinates of the reciprocal primitive cell.
    weights : ndarray of int, (n_q,)
        Mesh points that each of them stands for.
    frequencies : ndarray, (n_q, n_modes) THz
        As used: after the imaginary-mode policy; negative ones were masked.
    group_velocities : ndarray, (n_q, n_modes, 3) Å THz
    heat_capacities : ndarray, (n_t, n_q, n_modes) eV/K
    rates : ndarray, (n_t, n_q, n_modes) ps⁻¹
        Total 1/tau: three-phonon + isotope + boundary.
    rates_three_phonon : ndarray, (n_t, n_q, n_modes) ps⁻¹
    rates_isotope, rates_boundary : ndarray, (n_q, n_modes) ps⁻¹, or None
    mode_conductivity : ndarray, (n_t, n_q, n_modes, 3, 3) W m⁻¹ K⁻¹
        Includes the weight: ``kappa = sum / sum(weights)``.
    conductivity : ndarray, (n_t, 3, 3) W m⁻¹ K⁻¹
        As computed, not symmetrised.
    solver : {"rta", "bte"}
    sigma_thz, boundary_mfp_um : float or None
        As in the settings.
    grid_points : ndarray of int, (n_q,), or None
        Numbers of the irreducible points, as in :func:`scattering_grid_points`.
    velocity_products : ndarray, (n_q, n_modes, 3, 3) Å² THz², or None
        v (x) v summed over the star of each point.
    volume : float or None, Å³
        Volume of the primitive cell.
    flags : tuple of QualityFlag
    n_masked : int
        Modes of the whole mesh that took no part (imaginary or near zero).
    """

    mesh: tuple[int, int, int]
    temperatures: Array
    q_points: Array
    weights: NDArray[np.int64]
    frequencies: Array
    group_velocities: Array
    heat_capacities: Array
    rates: Array
    rates_three_phonon: Array
    mode_conductivity: Array
    conductivity: Array
    solver: Solver
    rates_isotope: Array | None = None
    rates_boundary: Array | None = None
    sigma_thz: float | None = None
    boundary_mfp_um: float | None = None
    grid_points: NDArray[np.int64] | None = None
    velocity_products: Array | None = None
    volume: float | None = None
    flags: tuple[QualityFlag, ...] = ()
    n_masked: int = 0

    def __post_init__(self) -> None:
        n_t, n_q, n_b = np.shape(self.rates)
        for name, shape, dtype in (
            ("temperatures", (n_t,), float),
            ("q_points", (n_q, 3), float),
            ("weights", (n_q,), int),
            ("grid_points", (n_q,), int),
            ("frequencies", (n_q, n_b), float),
            ("group_velocities", (n_q, n_b, 3), float),
            ("velocity_products", (n_q, n_b, 3, 3), float),
            ("heat_capacities", (n_t, n_q, n_b), float),
            ("rates", (n_t, n_q, n_b), float),
            ("rates_three_phonon", (n_t, n_q, n_b), float),
            ("rates_isotope", (n_q, n_b), float),
            ("rates_boundary", (n_q, n_b), float),
            ("mode_conductivity", (n_t, n_q, n_b, 3, 3), float),
            ("conductivity", (n_t, 3, 3), float),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_array(name, value, shape, dtype))

    @property
    def broadening(self) -> str:
        """Label of the delta function, as stored in ``results.json``."""
        return broadening_label(self.sigma_thz)

    def summary(self) -> str:
        """Return one line per temperature with the diagonal of the tensor."""
        lines = [f"{self.solver.upper()}, mesh {'x'.join(map(str, self.mesh))}, {self.broadening}"]
        for temperature, tensor in zip(self.temperatures, self.conductivity, strict=True):
            xx, yy, zz = np.diag(tensor)
            lines.append(f"{temperature:7.1f} K  xx {xx:.4g}  yy {yy:.4g}  zz {zz:.4g} W/mK")
        return "\n".join(lines)


def broadening_label(sigma_thz: float | None) -> str:
    """Return ``tetrahedron``, or for example ``gaussian 0.1 THz``."""
    return "tetrahedron" if sigma_thz is None else f"gaussian {sigma_thz:g} THz"


def rta_mode_conductivity(cv: Array, vv: Array, rate: Array, volume: float) -> Array:
    r"""Mode conductivities in the relaxation-time approximation.

    .. math:: \kappa^{ij}_{q\nu} = \frac{1}{V}\, c_{q\nu}\, (v^i v^j)_{q\nu}\, \tau_{q\nu}

    with :math:`\tau` = 1/rate, and
    :math:`\kappa = \sum_{q\nu} \kappa_{q\nu} / N` (A. Togo, L. Chaput and I. Tanaka, Phys. Rev. B
    91, 094306 (2015), Eq. 5).

    ======  =====================================================  ====================  =======
    symbol  meaning                                                shape                 unit
    ======  =====================================================  ====================  =======
    cv      mode heat capacity                                     (n_t, n_q, n_b)       eV/K
    vv      v (x) v summed over the star of q                      (n_q, n_b, 3, 3)      Å² THz²
    rate    full width 1/tau; modes with rate 0 are left out       (n_t, n_q, n_b)       ps⁻¹
    volume  primitive-cell volume                                  ()                    Å³
    ======  =====================================================  ====================  =======

    Returns (n_t, n_q, n_b, 3, 3) in eV K⁻¹ Å⁻¹ ps⁻¹.
    """
    tau = np.divide(1.0, rate, out=np.zeros_like(rate), where=rate > 0.0)
    return np.asarray(np.einsum("tqs,qsij,tqs->tqsij", cv, vv, tau) / volume)


def boundary_rates(group_velocities: Array, mean_free_path_um: float) -> Array:
    """Return boundary rates ``|v| / L`` in ps⁻¹, (n_q, n_modes).

    The speed, not one component, is used, so that the rate is the same for all directions of
    heat flow. ``group_velocities`` has shape (n_q, n_modes, 3) in Å THz = Å/ps.
    """
    speed = np.linalg.norm(group_velocities, axis=-1)
    return np.asarray(speed / (mean_free_path_um * ANGSTROM_PER_MICROMETRE))


def scattering_grid_points(
    force_constants: ForceConstants, settings: ConductivitySettings
) -> tuple[int, ...]:
    """Return the irreducible grid points of the mesh: the units of sharding."""
    return tuple(int(i) for i in _engine(force_constants, settings).grid_points)


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
    engine = _engine(force_constants, settings)
    points = tuple(int(i) for i in grid_points)
    unknown = sorted(set(points) - set(engine.grid_points.tolist()))
    if unknown:
        raise ConfigurationError(
            f"grid points {unknown[:5]} are not irreducible points of the mesh {settings.mesh}.",
            fix="Take them from scattering_grid_points with the same settings.",
        )
    _check_memory(engine, settings, len(points))
    apply_policy(_census(engine, settings), settings.imaginary)
    arguments = (points, settings.temperatures)
    options = {"sigma_thz": settings.sigma_thz, "isotope": settings.isotope, "progress": progress}
    if settings.solver == "bte":
        gamma, isotope, collision = engine.collision_rows(*arguments, **options)  # type: ignore[arg-type]
        return ScatteringBlock(
            grid_points=points, gamma=gamma, isotope=isotope, collision=collision
        )
    gamma, isotope = engine.linewidths(*arguments, **options)  # type: ignore[arg-type]
    return ScatteringBlock(grid_points=points, gamma=gamma, isotope=isotope)


def merge_blocks(blocks: Sequence[ScatteringBlock]) -> ScatteringBlock:
    """Join blocks of distinct grid points into one, ordered by grid point.

    Raises
    ------
    ValueError
        If a grid point occurs twice or the blocks were made with different settings.
    """
    if not blocks:
        raise ValueError("no scattering blocks to merge")
    points = [point for block in blocks for point in block.grid_points]
    if len(set(points)) != len(points):
        raise ValueError("a grid point occurs in more than one scattering block")
    order = np.argsort(points, kind="stable")

    def joined(name: str, axis: int) -> Array | None:
        parts = [getattr(block, name) for block in blocks]
        present = [part is not None for part in parts]
        if any(present) and not all(present):
            raise ValueError(f"some scattering blocks have {name} and others do not")
        return np.take(np.concatenate(parts, axis=axis), order, axis=axis) if all(present) else None

    gamma = joined("gamma", 1)
    assert gamma is not None
    return ScatteringBlock(
        grid_points=tuple(points[i] for i in order),
        gamma=gamma,
        isotope=joined("isotope", 0),
        collision=joined("collision", 1),
    )


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
    engine = _engine(force_constants, settings)
    counts = _census(engine, settings)
    flags = list(apply_policy(counts, settings.imaginary))
    phonons = engine.phonons()
    block = _in_mesh_order(block, phonons, settings)
    _check_memory(engine, settings, len(block.grid_points))

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

    heat_capacities = engine.heat_capacities(settings.temperatures) * participating
    if settings.solver == "rta":
        mode = phonons.conversion * rta_mode_conductivity(
            heat_capacities, phonons.velocity_products, total, phonons.volume
        )
        flags.extend(_unscattered(total, participating, phonons))
    else:
        mode = _direct_modes(engine, settings, block)
        if phonons.spread_products is not None:
            # The averaged collision matrix couples only the mean velocity of a degenerate set;
            # what is beyond the mean relaxes with the plain rate, and phono3py's solver drops it.
            mode = mode + phonons.conversion * rta_mode_conductivity(
                heat_capacities, phonons.spread_products, total, phonons.volume
            )
    conductivity = mode.sum(axis=(1, 2)) / phonons.weights.sum()
    if symmetry is not None:
        flags.append(_asymmetry(conductivity, symmetry, force_constants))
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
        rates=total,
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


def thermal_conductivity(
    force_constants: ForceConstants,
    settings: ConductivitySettings,
    symmetry: Symmetry | None = None,
    *,
    progress: Progress | None = None,
) -> ThermalConductivity:
    """Compute the scattering of all points and solve the Boltzmann equation in one go."""
    points = scattering_grid_points(force_constants, settings)
    block = compute_scattering(force_constants, settings, points, progress=progress)
    return solve_conductivity(force_constants, settings, block, symmetry)


def estimate_memory(force_constants: ForceConstants, settings: ConductivitySettings) -> float:
    """Return the estimated peak memory of scattering and solution on one machine, GB."""
    engine = _engine(force_constants, settings)
    return _memory_gb(engine, settings, len(engine.grid_points))


# --- details -------------------------------------------------------------------------------------


def _engine(force_constants: ForceConstants, settings: ConductivitySettings) -> ThreePhononEngine:
    return ThreePhononEngine(
        force_constants,
        settings.mesh,
        r0_average=settings.r0_average,
        mesh_symmetry=settings.mesh_symmetry,
        degenerate_average=settings.degenerate_average,
        absolute=settings.imaginary.action == "absolute",
        symmetry_tolerance=settings.symmetry_tolerance,
    )


def _rates(linewidths: Array) -> Array:
    return np.asarray(rate_from_linewidth(linewidths), dtype=float)  # type: ignore[arg-type]


def _census(engine: ThreePhononEngine, settings: ConductivitySettings) -> ModeCensus:
    return census(*engine.raw_frequencies(), settings.imaginary, CUTOFF_THZ)


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


def _direct_modes(
    engine: ThreePhononEngine, settings: ConductivitySettings, block: ScatteringBlock
) -> Array:
    assert block.collision is not None
    return np.array(
        [
            engine.solve_direct(
                temperature,
                gamma=block.gamma[i],
                isotope=block.isotope if settings.isotope else None,
                boundary_mfp_um=settings.boundary_mfp_um,
                collision=block.collision[i],
                sigma_thz=settings.sigma_thz,
            )
            for i, temperature in enumerate(settings.temperatures)
        ]
    )


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

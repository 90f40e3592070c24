"""What goes into a lattice thermal conductivity, its pieces, and what comes out.

The same conventions hold as in :mod:`elphant.phonon.conductivity`, which does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.errors import ConfigurationError
from elphant.phonon.imaginary import ImaginaryModePolicy
from elphant.quality import QualityFlag

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
    rates_emission : ndarray, (n_t, n_q, n_modes) ps⁻¹, or None
        Three-phonon part in which the mode decays into two; the rest is absorption.
    rates_isotope, rates_boundary : ndarray, (n_q, n_modes) ps⁻¹, or None
    rates_four_phonon : ndarray, (n_t, 3, n_q, n_modes) ps⁻¹, or None
        Recombination, redistribution and splitting.
    rates_four_phonon_error : ndarray, (n_t, n_q, n_modes) ps⁻¹, or None
        Standard error of their sum, from sampling.
    mode_conductivity : ndarray, (n_t, n_q, n_modes, 3, 3) W m⁻¹ K⁻¹
        Includes the weight: ``kappa = sum / sum(weights)``.
    conductivity : ndarray, (n_t, 3, 3) W m⁻¹ K⁻¹
        As computed, not symmetrised.
    standard_error : ndarray, (n_t, 3, 3) W m⁻¹ K⁻¹, or None
        Of ``conductivity``, from sampling of four-phonon scattering.
    axis_vectors : ndarray, (3, 3), or None
        Unit vectors along a, b and c of the user's cell.
    standard_error_axes : ndarray, (n_t, 3) W m⁻¹ K⁻¹, or None
        Standard error of the conductivity along them.
    coherence : ndarray, (n_t, 3, 3) W m⁻¹ K⁻¹, or None
        Wave-like conductivity, to be added.
    mode_coherence : ndarray, (n_t, n_q, n_modes, 3, 3) W m⁻¹ K⁻¹, or None
        The same by mode, each pair shared by heat capacity; includes the weight.
    solver : {"rta", "bte"}
    sigma_thz, boundary_mfp_um : float or None
        As in the settings.
    grid_points : ndarray of int, (n_q,), or None
        Numbers of the irreducible points, as in :func:`scattering_grid_points`.
    velocity_products : ndarray, (n_q, n_modes, 3, 3) Å² THz², or None
        v (x) v summed over the star of each point.
    volume : float or None, Å³
        Volume of the primitive cell.
    broadening_label : str or None
        Delta function of elphant's own engine; otherwise it follows from ``sigma_thz``.
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
    rates_emission: Array | None = None
    rates_four_phonon: Array | None = None
    rates_four_phonon_error: Array | None = None
    standard_error: Array | None = None
    axis_vectors: Array | None = None
    standard_error_axes: Array | None = None
    coherence: Array | None = None
    mode_coherence: Array | None = None
    broadening_label: str | None = None
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
            ("rates_emission", (n_t, n_q, n_b), float),
            ("rates_four_phonon", (n_t, 3, n_q, n_b), float),
            ("rates_four_phonon_error", (n_t, n_q, n_b), float),
            ("standard_error", (n_t, 3, 3), float),
            ("axis_vectors", (3, 3), float),
            ("standard_error_axes", (n_t, 3), float),
            ("coherence", (n_t, 3, 3), float),
            ("mode_coherence", (n_t, n_q, n_b, 3, 3), float),
            ("mode_conductivity", (n_t, n_q, n_b, 3, 3), float),
            ("conductivity", (n_t, 3, 3), float),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_array(name, value, shape, dtype))

    @property
    def broadening(self) -> str:
        """Label of the delta function, as stored in ``results.json``."""
        return self.broadening_label or broadening_label(self.sigma_thz)

    def axes_conductivity(self) -> Array:
        """Return the conductivity along a, b and c of the user's cell, (n_t, 3) W m⁻¹ K⁻¹."""
        axes = np.eye(3) if self.axis_vectors is None else self.axis_vectors
        return np.asarray(np.einsum("xi,tij,xj->tx", axes, self.conductivity, axes))

    def summary(self) -> str:
        """Return one line per temperature with the diagonal of the tensor."""
        lines = [f"{self.solver.upper()}, mesh {'x'.join(map(str, self.mesh))}, {self.broadening}"]
        for temperature, tensor in zip(self.temperatures, self.conductivity, strict=True):
            xx, yy, zz = np.diag(tensor)
            lines.append(f"{temperature:7.1f} K  xx {xx:.4g}  yy {yy:.4g}  zz {zz:.4g} W/mK")
        return "\n".join(lines)


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


def broadening_label(sigma_thz: float | None) -> str:
    """Return ``tetrahedron``, or for example ``gaussian 0.1 THz``."""
    return "tetrahedron" if sigma_thz is None else f"gaussian {sigma_thz:g} THz"

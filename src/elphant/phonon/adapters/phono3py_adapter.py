"""The only module that talks to phono3py's three-phonon code.

phono3py (A. Togo, L. Chaput, T. Tadano and I. Tanaka, J. Phys.: Condens. Matter 35, 353001 (2023))
supplies the irreducible mesh, the phonons on it, three-phonon and isotope linewidths, the rows of
the collision matrix and its direct solution. Linewidths stay half widths in ordinary THz inside
this module and in the blocks it makes; rates in ps⁻¹ begin in :mod:`elphant.phonon.conductivity`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.errors import ConfigurationError
from elphant.phonon.adapters.phonopy_adapter import (
    nac_parameters,
    phonopy_from,
    to_phonopy_atoms,
)
from elphant.phonon.force_constants import ForceConstants

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: Modes below this frequency (THz) take no part: phono3py skips them as carriers and in every
#: three-phonon and isotope process.
CUTOFF_THZ = 1e-4

#: Decimals (THz) to which frequencies are equal, where degenerate modes are averaged. The change
#: of a frequency, at most 5e-9 THz, is far below every other error.
EQUAL_FREQUENCY_DECIMALS = 8

#: phono3py's number of numpy.linalg.eigh: four times faster here than its default, LAPACK dsyev.
_DIVIDE_AND_CONQUER = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeshPhonons:
    """Phonons at the irreducible points of a mesh, in the working frame.

    Attributes
    ----------
    grid_points : ndarray of int, (n_q,)
        phono3py's indices of the points; the units of sharding.
    q_points : ndarray, (n_q, 3)
        Fractional coordinates in the reciprocal lattice of the primitive cell.
    weights : ndarray of int, (n_q,)
        Number of mesh points in the star of each point.
    raw_frequencies, frequencies : ndarray, (n_q, n_modes) THz
        Before and after the imaginary-mode policy; imaginary ones are negative.
    group_velocities : ndarray, (n_q, n_modes, 3) Å THz
    velocity_products : ndarray, (n_q, n_modes, 3, 3) Å² THz²
        ``v (x) v`` summed over the star of the point.
    spread_products : ndarray, (n_q, n_modes, 3, 3) Å² THz², or None
        The part of ``velocity_products`` beyond the mean velocity of each degenerate set; only
        with degenerate averaging.
    volume : float
        Volume of the primitive cell, Å³.
    conversion : float
        W m⁻¹ K⁻¹ of eV K⁻¹ Å⁻¹ ps⁻¹ in phono3py's table of constants.
    """

    grid_points: NDArray[np.int64]
    q_points: Array
    weights: NDArray[np.int64]
    raw_frequencies: Array
    frequencies: Array
    group_velocities: Array
    velocity_products: Array
    volume: float
    conversion: float
    spread_products: Array | None = None

    def __post_init__(self) -> None:
        n_q, n_modes = np.shape(self.frequencies)
        for name, shape, dtype in (
            ("grid_points", (n_q,), int),
            ("q_points", (n_q, 3), float),
            ("weights", (n_q,), int),
            ("raw_frequencies", (n_q, n_modes), float),
            ("frequencies", (n_q, n_modes), float),
            ("group_velocities", (n_q, n_modes, 3), float),
            ("velocity_products", (n_q, n_modes, 3, 3), float),
            ("spread_products", (n_q, n_modes, 3, 3), float),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_array(name, value, shape, dtype))


class ThreePhononEngine:
    """phono3py set up for one crystal and one mesh; phonons are solved on first use.

    Parameters
    ----------
    force_constants : ForceConstants
        Must contain the third order.
    mesh : sequence of int, (3,)
        Divisions along the reciprocal vectors of the primitive cell.
    r0_average : bool
        Average the transformation of the third order over the three atoms of a triplet.
    mesh_symmetry : bool
        Use the point group to reduce the mesh and the triplets.
    degenerate_average : bool
        Average integration weights over degenerate bands and over the orientations of the
        tetrahedra, and treat velocities of degenerate bands as matrices. The result then does not
        depend on the frame or on the eigensolver's choice inside degenerate sets; phono3py's own
        default leaves it out.
    absolute : bool
        Replace negative frequencies by their absolute values.
    symmetry_tolerance : float
        Distance tolerance of the symmetry search, Å.
    """

    def __init__(
        self,
        force_constants: ForceConstants,
        mesh: Sequence[int],
        *,
        r0_average: bool = True,
        mesh_symmetry: bool = True,
        degenerate_average: bool = False,
        absolute: bool = False,
        symmetry_tolerance: float = 1e-5,
    ) -> None:
        self._mesh_symmetry, self._degenerate = mesh_symmetry, degenerate_average
        self._absolute = absolute
        with _quiet():
            self._ph3 = phono3py_from(
                force_constants,
                r0_average=r0_average,
                mesh_symmetry=mesh_symmetry,
                symmetry_tolerance=symmetry_tolerance,
            )
            self._ph3.mesh_numbers = [int(n) for n in mesh]
        self._solved = False
        self._phonons: MeshPhonons | None = None

    # --- grid ----------------------------------------------------------------------------------

    @property
    def grid_points(self) -> NDArray[np.int64]:
        """Indices of the irreducible mesh points, (n_q,); all points without mesh symmetry."""
        return np.asarray(self._kappa_settings((300.0,), None, None).grid_points)

    @property
    def n_modes(self) -> int:
        """Number of phonon branches."""
        return 3 * len(self._ph3.primitive)

    @property
    def n_mesh(self) -> int:
        """Number of points of the whole mesh."""
        return int(np.prod(self._ph3.mesh_numbers))

    @property
    def third_order_bytes(self) -> int:
        """Size of the third-order force constants."""
        return int(self._ph3.fc3.nbytes)

    @property
    def interaction(self) -> Any:
        """phono3py's interaction object with phonons solved on the whole mesh."""
        if not self._solved:
            with _quiet():
                self._ph3.init_phph_interaction(
                    exclude_gamma_acoustic=True,
                    symmetrize_tetrahedra=self._degenerate,
                    average_degenerate_weights=self._degenerate,
                )
                interaction = self._ph3.phph_interaction
                interaction.nac_q_direction = None
                interaction.run_phonon_solver_at_gamma()
                interaction.run_phonon_solver()
            self._raw = interaction.phonons.frequencies.copy()
            if self._degenerate:
                # Equivalent points have equal frequencies only up to rounding, and the weight of a
                # tetrahedron jumps where two of its corners coincide: without this, noise of
                # 1e-15 THz moves the conductivity by up to 1 % on a coarse mesh.
                frequencies = interaction.phonons.frequencies
                np.round(frequencies, EQUAL_FREQUENCY_DECIMALS, out=frequencies)
            self._solved = True
        if self._absolute:
            # In place: the solvers share this array. Bands keep the order of the signed
            # frequencies, along which they are continuous; phono3py may have restored the values
            # at Gamma, hence on every access.
            frequencies = self._ph3.phph_interaction.phonons.frequencies
            np.abs(frequencies, out=frequencies)
        return self._ph3.phph_interaction

    # --- phonons -------------------------------------------------------------------------------

    def raw_frequencies(self) -> tuple[Array, NDArray[np.int64], Array]:
        """Return q points, weights and frequencies (THz) of the irreducible points.

        These are the frequencies before the imaginary-mode policy acts.
        """
        from phonopy.phonon.grid import get_qpoints_from_bz_grid_points

        interaction, settings = self.interaction, self._kappa_settings((300.0,), None, None)
        points = settings.grid_points
        q_points = np.array(get_qpoints_from_bz_grid_points(points, interaction.bz_grid))
        return q_points, settings.grid_weights, self._raw[points]

    def phonons(self) -> MeshPhonons:
        """Return the phonons at the irreducible points."""
        if self._phonons is None:
            self._phonons = self._solve_phonons()
        return self._phonons

    def _solve_phonons(self) -> MeshPhonons:
        interaction, settings = self.interaction, self._kappa_settings((300.0,), None, None)
        points = settings.grid_points
        q_points, weights, raw = self.raw_frequencies()
        spread = None
        with _quiet():
            velocities = self._group_velocities(q_points)
            if self._degenerate:
                products, mean = self._velocity_blocks(points, q_points)
                spread = self._star(products - mean, weights)
            else:
                products = np.einsum("qsi,qsj->qsij", velocities, velocities)
        return MeshPhonons(
            grid_points=points,
            q_points=q_points,
            weights=weights,
            raw_frequencies=raw,
            frequencies=interaction.phonons.frequencies[points],
            group_velocities=velocities,
            velocity_products=self._star(products, weights),
            spread_products=spread,
            volume=float(interaction.primitive.volume),
            conversion=engine_conversion(),
        )

    def _star(self, products: Array, weights: NDArray[np.int64]) -> Array:
        """Return the sum of (n_q, n_modes, 3, 3) tensors over the star of each point."""
        grid = self._ph3.grid
        operations = grid.rotations_cartesian if self._mesh_symmetry else np.eye(3)[None]
        mean = np.einsum("rik,qskl,rjl->qsij", operations, products, operations, optimize=True)
        return np.asarray(mean * weights[:, None, None, None] / len(operations))

    def heat_capacities(self, temperatures: Sequence[float]) -> Array:
        """Return mode heat capacities (n_t, n_q, n_modes) eV/K; zero below the cut-off."""
        from phono3py.conductivity.heat_capacity_solvers import compute_bulk_mode_cv

        return np.asarray(
            compute_bulk_mode_cv(
                self.interaction.phonons.frequencies,
                self.grid_points,
                np.asarray(temperatures, dtype=float),
                np.arange(self.n_modes),
                CUTOFF_THZ,
            )
        )

    def _group_velocities(self, q_points: Array) -> Array:
        from phonopy.phonon.group_velocity import GroupVelocity

        # Below the cut-off phonopy returns zero. With the absolute-value policy every mode moves:
        # dividing by the negative frequency gives exactly the velocity of its absolute value.
        cutoff = {"cutoff_frequency": -np.inf} if self._absolute else {}
        solver = GroupVelocity(
            self.interaction.dynamical_matrix,
            symmetry=self.interaction.primitive_symmetry,
            frequency_factor_to_THz=self.interaction.frequency_factor_to_THz,
            **cutoff,
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            solver.run(q_points)
        velocities = np.asarray(solver.group_velocities)
        return np.where(np.isfinite(velocities), velocities, 0.0)

    def _velocity_blocks(self, points: NDArray[np.int64], q_points: Array) -> tuple[Array, Array]:
        """Return two averages over degenerate sets, (n_q, n_modes, 3, 3) Å² THz² each.

        For a set of d degenerate bands and the velocity matrix ``V_a = e† (dD/dq_a) e / (2 w)``
        they are ``sum_ss' Re(V_a,ss' V_b,s's) / d`` and ``tr(V_a) tr(V_b) / d²``. Both traces do
        not depend on the basis; the squares of the diagonal elements alone do.
        """
        from phonopy.harmonic.derivative_dynmat import DerivativeOfDynamicalMatrix

        interaction = self.interaction
        phonons, factor = interaction.phonons, interaction.frequency_factor_to_THz
        derivative = DerivativeOfDynamicalMatrix(interaction.dynamical_matrix)
        products = np.zeros((len(points), self.n_modes, 3, 3))
        means = np.zeros_like(products)
        for i, (point, q) in enumerate(zip(points, q_points, strict=True)):
            frequencies, vectors = phonons.frequencies[point], phonons.eigenvectors[point]
            derivative.run(q)
            slopes = np.asarray(derivative.d_dynamical_matrix)
            for first in np.unique(phonons.degenerate_ids[point]):
                bands = np.flatnonzero(phonons.degenerate_ids[point] == first)
                if (frequencies[bands] < CUTOFF_THZ).any():
                    continue
                e = vectors[:, bands]
                v = np.einsum("ks,akl,lt->ast", e.conj(), slopes, e)
                v *= factor**2 / (2.0 * frequencies[bands].mean())
                products[i, bands] = np.einsum("ast,bts->ab", v, v).real / len(bands)
                mean = np.einsum("ass->a", v).real / len(bands)
                means[i, bands] = np.outer(mean, mean)
        return products, means

    # --- scattering ----------------------------------------------------------------------------

    def linewidths(
        self,
        grid_points: Sequence[int],
        temperatures: Sequence[float],
        *,
        sigma_thz: float | None,
        isotope: bool,
        progress: Progress | None = None,
    ) -> tuple[Array, Array | None]:
        """Return three-phonon (n_t, n_gp, n_modes) and isotope (n_gp, n_modes) half widths, THz."""
        from phono3py.conductivity.scattering_solvers import RTAScatteringSolver

        solver = RTAScatteringSolver(
            self.interaction, [sigma_thz], np.asarray(temperatures, dtype=float)
        )
        gamma = np.zeros((len(temperatures), len(grid_points), self.n_modes))
        for i, point in enumerate(grid_points):
            with _quiet():
                gamma[:, i] = solver.compute(int(point)).gamma[0]
            if progress is not None:
                progress(i + 1, len(grid_points))
        return gamma, self._isotope_widths(grid_points, sigma_thz) if isotope else None

    def collision_rows(
        self,
        grid_points: Sequence[int],
        temperatures: Sequence[float],
        *,
        sigma_thz: float | None,
        isotope: bool,
        progress: Progress | None = None,
    ) -> tuple[Array, Array | None, Array]:
        """Return half widths as :meth:`linewidths` and rows of the collision matrix.

        The rows have shape (n_t, n_gp, n_modes, 3, n_q, n_modes, 3) and unit THz.
        """
        from phono3py.conductivity.build_components import build_rot_grid_points
        from phono3py.conductivity.lbte_collision_solver import LBTECollisionSolver
        from phono3py.phonon3.collision_matrix import CollisionMatrix

        settings = self._kappa_settings(temperatures, sigma_thz, None)
        collision = CollisionMatrix(
            self.interaction,
            rot_grid_points=build_rot_grid_points(settings),
            is_kappa_star=self._mesh_symmetry,
        )
        solver = LBTECollisionSolver(
            self.interaction, collision, [sigma_thz], None, settings.temperatures
        )
        n_t, n_gp, n_b = len(temperatures), len(grid_points), self.n_modes
        gamma = np.zeros((n_t, n_gp, n_b))
        rows = np.zeros((n_t, n_gp, n_b, 3, len(settings.grid_points), n_b, 3))
        for i, point in enumerate(grid_points):
            with _quiet():
                result = solver.compute(int(point))
            gamma[:, i], rows[:, i] = result.gamma[0], result.collision_row[0]
            if progress is not None:
                progress(i + 1, n_gp)
        widths = self._isotope_widths(grid_points, sigma_thz) if isotope else None
        return gamma, widths, rows

    def _isotope_widths(self, grid_points: Sequence[int], sigma_thz: float | None) -> Array:
        from phono3py.other.isotope import Isotope

        interaction = self.interaction
        with _quiet():
            solver = Isotope(
                interaction.mesh_numbers,
                interaction.primitive,
                sigma=sigma_thz,
                bz_grid=interaction.bz_grid,
                frequency_factor_to_THz=interaction.frequency_factor_to_THz,
                symprec=interaction.primitive_symmetry.tolerance,
                cutoff_frequency=CUTOFF_THZ,
                symmetrize_tetrahedra=self._degenerate,
                average_degenerate_weights=self._degenerate,
                exclude_gamma_acoustic=True,
            )
            solver.set_phonons(interaction.phonons, dm=interaction.dynamical_matrix)
            widths = []
            for point in grid_points:
                solver.set_grid_point(int(point))
                solver.run()
                widths.append(np.array(solver.gamma))
        return np.array(widths).reshape(len(grid_points), self.n_modes)

    # --- direct solution of the linearised Boltzmann equation ------------------------------------

    def solve_direct(
        self,
        temperature: float,
        *,
        gamma: Array,
        isotope: Array | None,
        boundary_mfp_um: float | None,
        collision: Array,
        sigma_thz: float | None,
    ) -> Array:
        """Return mode conductivities (n_q, n_modes, 3, 3) W m⁻¹ K⁻¹, star weights included.

        Parameters
        ----------
        temperature : float, K
        gamma : ndarray, (n_q, n_modes) THz
            Three-phonon half widths.
        isotope : ndarray, (n_q, n_modes) THz, or None
        boundary_mfp_um : float or None, µm
        collision : ndarray, (n_q, n_modes, 3, n_q, n_modes, 3) THz
            Rows of all irreducible points in mesh order. Not changed.
        sigma_thz : float or None, THz
        """
        from phono3py.conductivity.build_components import build_rot_grid_points
        from phono3py.conductivity.collision_matrix_kernel import create_collision_matrix_kernel
        from phono3py.conductivity.grid_point_data import GridPointAggregates

        from elphant.tensors import voigt_to_matrix

        settings = self._kappa_settings((temperature,), sigma_thz, boundary_mfp_um)
        phonons = self.interaction.phonons
        with _quiet():
            kernel = create_collision_matrix_kernel(
                settings,
                phonons.frequencies,
                phonons.degenerate_ids,
                rot_grid_points=build_rot_grid_points(settings),
                pinv_solver=_DIVIDE_AND_CONQUER,
            )
            kernel.collision_matrix = np.array(collision)[None, None]
            result = kernel.solve(
                GridPointAggregates(
                    group_velocities=self.phonons().group_velocities.copy(),
                    mode_heat_capacities=self.heat_capacities((temperature,)),
                    gamma=np.array(gamma)[None, None],
                    gamma_isotope=None if isotope is None else np.array(isotope)[None],
                )
            )
        return voigt_to_matrix(result.mode_kappa[0, 0])

    def _kappa_settings(
        self, temperatures: Sequence[float], sigma_thz: float | None, boundary: float | None
    ) -> Any:
        """Return phono3py's description of grid, temperatures and broadening."""
        from phono3py.conductivity.build_components import KappaSettings
        from phonopy.phonon.grid import get_ir_grid_points

        grid = self._ph3.grid
        if self._mesh_symmetry:
            points, weights, _ = get_ir_grid_points(grid)
        else:
            points, weights = np.arange(self.n_mesh), np.ones(self.n_mesh, dtype=int)
        return KappaSettings(
            grid_points=np.array(grid.grg2bzg[points], dtype="int64"),
            grid_weights=np.array(weights, dtype="int64"),
            bz_grid=grid,
            mesh_numbers=self._ph3.mesh_numbers,
            is_kappa_star=self._mesh_symmetry,
            temperatures=np.asarray(temperatures, dtype=float),
            sigmas=[sigma_thz],
            boundary_mfp=boundary,
            band_indices=np.arange(self.n_modes, dtype="int64"),
            cutoff_frequency=CUTOFF_THZ,
            conversion_factor=engine_conversion() / (2.0 * np.pi) / self._ph3.primitive.volume,
            gv_delta_q=None,
            is_reducible_collision_matrix=False,
        )


def engine_conversion() -> float:
    """Return W m⁻¹ K⁻¹ of eV K⁻¹ Å⁻¹ ps⁻¹ in phono3py's own table of constants.

    phono3py computes with the elementary charge and Boltzmann constant of CODATA 1986 and 2006,
    which differ from the present values by about 5e-7. Numbers made with its linewidths use its
    table throughout, so that they equal phono3py's to the last digits.
    """
    from phono3py.conductivity.utils import get_unit_to_WmK

    return float(2.0 * np.pi * get_unit_to_WmK())


def phono3py_from(
    force_constants: ForceConstants,
    *,
    r0_average: bool = True,
    mesh_symmetry: bool = True,
    symmetry_tolerance: float = 1e-5,
) -> Any:
    """Return a ``phono3py.Phono3py`` object that holds the force constants.

    Raises
    ------
    ConfigurationError
        If the third order is missing.
    """
    from phono3py import Phono3py

    fc = force_constants
    if fc.third is None or fc.supercell_matrix_third is None:
        raise ConfigurationError(
            "the force constants have no third order.",
            "Phonons do not scatter without it, so there is no conductivity.",
            "Compute or import third-order force constants (fc3).",
        )
    same = np.array_equal(fc.supercell_matrix_second, fc.supercell_matrix_third)
    ph3 = Phono3py(
        to_phonopy_atoms(fc.unitcell),
        supercell_matrix=fc.supercell_matrix_third,
        primitive_matrix=fc.primitive_matrix,
        phonon_supercell_matrix=None if same else fc.supercell_matrix_second,
        cutoff_frequency=CUTOFF_THZ,
        is_mesh_symmetry=mesh_symmetry,
        make_r0_average=r0_average,
        symprec=symmetry_tolerance,
        log_level=0,
    )
    ph3.fc2 = np.array(fc.second, order="C")
    ph3.fc3 = np.array(fc.third, order="C")
    # Triplets beyond the cut-off of a fit are exactly zero; phono3py then skips them.
    ph3.fc3_nonzero_indices = np.any(ph3.fc3 != 0.0, axis=(3, 4, 5)).astype("byte")
    if fc.dielectric is not None:
        ph3.nac_params = nac_parameters(fc, phonopy_from(fc, tolerance=symmetry_tolerance))
    return ph3


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep phono3py's prints and warnings off the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield

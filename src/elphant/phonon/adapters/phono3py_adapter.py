"""The only module that talks to phono3py's three-phonon code.

phono3py (A. Togo, L. Chaput, T. Tadano and I. Tanaka, J. Phys.: Condens. Matter 35, 353001 (2023))
supplies the irreducible mesh, the phonons on it, three-phonon and isotope linewidths, and the rows
of the collision matrix. Linewidths stay half widths in ordinary THz inside this module and in the
blocks made with it; rates in ps⁻¹ begin in :mod:`elphant.phonon.conductivity`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ConfigurationError
from elphant.phonon.adapters.phonopy_adapter import (
    nac_parameters,
    phonopy_from,
    to_phonopy_atoms,
)
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.mesh_phonons import MeshPhonons

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: Modes below this frequency (THz) take no part: phono3py skips them as carriers and in every
#: three-phonon and isotope process.
CUTOFF_THZ = 1e-4

#: Decimals (THz) to which frequencies are equal, where degenerate modes are averaged. The change
#: of a frequency, at most 5e-9 THz, is far below every other error.
EQUAL_FREQUENCY_DECIMALS = 8


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
        return np.asarray(self._kappa_settings((300.0,), None).grid_points)

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
                self._adjust_frequencies(interaction)
            self._solved = True
        return self._ph3.phph_interaction

    def _adjust_frequencies(self, interaction: Any) -> None:
        """Apply the policies for degenerate and imaginary modes, in place: solvers share them."""
        frequencies = interaction.phonons.frequencies
        if self._degenerate:
            # Equivalent points have equal frequencies only up to rounding, and the weight of a
            # tetrahedron jumps where two of its corners coincide: without this, noise of
            # 1e-15 THz moves the conductivity by up to 1 % on a coarse mesh.
            np.round(frequencies, EQUAL_FREQUENCY_DECIMALS, out=frequencies)
        if self._absolute:
            # Bands keep the order of the signed frequencies, along which they are continuous and
            # degenerate sets are known.
            np.abs(frequencies, out=frequencies)
        # phono3py restores its own copy of the phonons at Gamma when it computes that point. This
        # would undo the above for this point and all that follow in the same process, so that
        # numbers would depend on how the points are divided.
        interaction.run_phonon_solver_at_gamma = _keep_gamma

    # --- phonons -------------------------------------------------------------------------------

    def raw_frequencies(self) -> tuple[Array, NDArray[np.int64], Array]:
        """Return q points, weights and frequencies (THz) of the irreducible points.

        These are the frequencies before the imaginary-mode policy acts.
        """
        from phonopy.phonon.grid import get_qpoints_from_bz_grid_points

        interaction, settings = self.interaction, self._kappa_settings((300.0,), None)
        points = settings.grid_points
        q_points = np.array(get_qpoints_from_bz_grid_points(points, interaction.bz_grid))
        return q_points, settings.grid_weights, self._raw[points]

    def phonons(self) -> MeshPhonons:
        """Return the phonons at the irreducible points."""
        if self._phonons is None:
            self._phonons = self._solve_phonons()
        return self._phonons

    def _solve_phonons(self) -> MeshPhonons:
        from phono3py.conductivity.build_components import build_rot_grid_points

        interaction, settings = self.interaction, self._kappa_settings((300.0,), None)
        points = settings.grid_points
        q_points, weights, raw = self.raw_frequencies()
        operations = self._operations()
        kept = build_rot_grid_points(settings) == points[:, None]
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
            degenerate_ids=interaction.phonons.degenerate_ids[points],
            operations=operations,
            projections=np.array([operations[same].mean(axis=0) for same in kept]),
            volume=float(interaction.primitive.volume),
            conversion=engine_conversion(),
        )

    def _operations(self) -> Array:
        """Return the Cartesian operations that reduce the mesh, (n_operations, 3, 3)."""
        rotations = self._ph3.grid.rotations_cartesian if self._mesh_symmetry else np.eye(3)[None]
        return np.asarray(rotations, dtype=float)

    def _star(self, products: Array, weights: NDArray[np.int64]) -> Array:
        """Return the sum of (n_q, n_modes, 3, 3) tensors over the star of each point."""
        operations = self._operations()
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

        settings = self._kappa_settings(temperatures, sigma_thz)
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

    def _kappa_settings(self, temperatures: Sequence[float], sigma_thz: float | None) -> Any:
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
            boundary_mfp=None,
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


def _keep_gamma(is_nac: bool = False) -> None:
    """Stand in for a new solution at Gamma, which would be the one already there."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep phono3py's prints and warnings off the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield

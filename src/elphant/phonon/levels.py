r"""Lattice thermal conductivity at one level of theory, with elphant's own scattering engine.

A level is a set of phonons (harmonic, or renormalised at a temperature) and the orders of
scattering: ``HA+3ph``, ``HA+3,4ph``, ``SCP+3ph``, ``SCP+3,4ph``. The work comes in pieces that can
be spread over processes and machines: every irreducible wave vector, and every round of draws for
four-phonon scattering, is independent of all others.

:class:`LevelScattering` computes the pieces; :func:`solve_level` joins them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elphant.errors import ConfigurationError
from elphant.phonon.adapters.cluster_adapter import third_order_clusters
from elphant.phonon.adapters.isotope_adapter import natural_mass_variances
from elphant.phonon.adapters.modes_adapter import solve_modes
from elphant.phonon.adapters.phonopy_adapter import primitive_numbers
from elphant.phonon.conductivity_data import Solver, ThermalConductivity
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.imaginary import ImaginaryModePolicy, apply_policy, census
from elphant.phonon.relaxation_time import boundary_rates
from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.four_phonon import FourPhononDraws, FourPhononScattering
from elphant.phonon.scattering.isotope import IsotopeScattering
from elphant.phonon.scattering.modes import CUTOFF_THZ, MeshModes
from elphant.phonon.scattering.operator import (
    CollisionOperator,
    reduce_row,
)
from elphant.phonon.scattering.phase_space import weighted_phase_space
from elphant.phonon.scattering.sampling import (
    STRATA,
    FourPhononRates,
    draw_pairs,
    exact_rates,
    expansion_weights,
    ratio_rates,
)
from elphant.phonon.scattering.three_phonon import ThreePhononScattering
from elphant.phonon.transport.boltzmann import (
    BoltzmannSolution,
    IndefiniteOperatorError,
    solve_bte,
)
from elphant.phonon.transport.coherence import coherence_conductivity
from elphant.phonon.transport.relaxation_time import (
    heat_capacities,
    relaxation_time_conductivity,
    star_sum,
    unscattered_modes,
)
from elphant.quality import QualityFlag
from elphant.units import BOLTZMANN_EV, W_PER_MK_PER_EV_PER_K_A_PS

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

#: Above this many branches a single draw holds enough processes for two strata to suffice.
MANY_BRANCHES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSettings:
    """Options of one level of theory.

    Attributes
    ----------
    mesh : tuple of int, (3,)
        Along the reciprocal vectors of the primitive cell.
    temperatures : tuple of float, K
    collision : bool
        Keep the rows of the collision operator, for the full Boltzmann equation.
    isotope : bool
        Natural isotope disorder.
    boundary_mfp_um : float or None
    broadening : Broadening
        Of three-phonon and isotope scattering.
    broadening_fourth : Broadening
        Of four-phonon scattering: ``adaptive`` or ``gaussian``.
    imaginary : ImaginaryModePolicy
    strata : int or None
        Of q' in four-phonon sampling: draws per point in the first round. None takes few where a
        draw holds many processes, that is, where there are many branches.
    seed : int
    single_precision : bool
        Of the products of four-phonon matrix elements.
    mesh_symmetry : bool
    symmetry_tolerance : float, Å
    """

    mesh: tuple[int, int, int]
    temperatures: tuple[float, ...] = (300.0,)
    collision: bool = False
    isotope: bool = True
    boundary_mfp_um: float | None = None
    broadening: Broadening = field(default_factory=Broadening)
    broadening_fourth: Broadening = field(default_factory=Broadening)
    imaginary: ImaginaryModePolicy = field(default_factory=ImaginaryModePolicy)
    strata: int | None = None
    seed: int = 0
    single_precision: bool = True
    mesh_symmetry: bool = True
    symmetry_tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if not self.temperatures or not all(0.0 < t < 1e5 for t in self.temperatures):
            raise ConfigurationError(
                f"temperatures {tuple(self.temperatures)} K are not all positive.",
                "At zero temperature phonons carry no heat.",
                "Give at least one temperature above zero.",
            )

    def strata_for(self, n_modes: int) -> int:
        """Return the strata of q' for a crystal with this many branches."""
        if self.strata is not None:
            return self.strata
        return 2 if n_modes > MANY_BRANCHES else STRATA


class LevelScattering:
    """Scattering on one mesh, piece by piece; phonons and kernels are set up on first use.

    Parameters
    ----------
    force_constants : ForceConstants
        Of the level: renormalised ones for a renormalised level.
    settings : LevelSettings
    device : str
        ``cpu`` or ``cuda``.
    """

    def __init__(
        self, force_constants: ForceConstants, settings: LevelSettings, device: str = "cpu"
    ) -> None:
        self.force_constants, self.settings, self.device = force_constants, settings, device
        self._modes: MeshModes | None = None
        self._three: ThreePhononScattering | None = None
        self._four: FourPhononScattering | None = None
        self._space: Array | None = None
        self._isotope: IsotopeScattering | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kernels behind: a worker process sets up its own."""
        made = ("_modes", "_three", "_four", "_space", "_isotope")
        return {**self.__dict__, **dict.fromkeys(made)}

    @property
    def modes(self) -> MeshModes:
        """Phonons of the mesh."""
        if self._modes is None:
            settings = self.settings
            self._modes = solve_modes(
                self.force_constants,
                settings.mesh,
                mesh_symmetry=settings.mesh_symmetry,
                imaginary="absolute" if settings.imaginary.action == "absolute" else "mask",
                symmetry_tolerance=settings.symmetry_tolerance,
            )
        return self._modes

    @property
    def strata(self) -> int:
        """Strata of q' in four-phonon sampling."""
        return self.settings.strata_for(self.modes.n_modes)

    @property
    def isotope(self) -> IsotopeScattering | None:
        """Isotope scattering, if the settings ask for it."""
        if self._isotope is None and self.settings.isotope:
            numbers = primitive_numbers(self.force_constants)
            self._isotope = IsotopeScattering(
                self.modes, natural_mass_variances(numbers), self.settings.broadening
            )
        return self._isotope

    def check_modes(self) -> tuple[tuple[QualityFlag, ...], int]:
        """Apply the policy for imaginary modes; return its flags and the modes left out.

        Raises
        ------
        PhysicsError
            If there are imaginary modes and the policy is ``error``.
        """
        mesh = self.modes.mesh
        counts = census(
            mesh.q_points[mesh.irreducible],
            mesh.weights,
            self.modes.raw_frequencies,
            self.settings.imaginary,
            CUTOFF_THZ,
        )
        return tuple(apply_policy(counts, self.settings.imaginary)), counts.n_masked

    def three_phonon(self, positions: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Return three-phonon rates, and rows of the operator, of some irreducible points.

        Parameters
        ----------
        positions : sequence of int
            In ``modes.mesh.irreducible``.

        Returns
        -------
        dict
            ``rates`` (n, n_t, 2, n_modes) ps⁻¹: emission and absorption; ``collision``
            (n, n_t, n_components, n_modes, n_irreducible, n_modes) if the settings ask for it.
        """
        if self._three is None:
            self._three = ThreePhononScattering(
                third_order_clusters(self.force_constants, images="perimeter"),
                self.modes,
                self.settings.broadening,
                torch.device(self.device),
            )
        mesh, settings = self.modes.mesh, self.settings
        rates, collision = [], []
        for position in positions:
            (row,) = self._three.rows(
                [int(mesh.irreducible[position])],
                settings.temperatures,
                collision=settings.collision,
            )
            rates.append(row.rates)
            if row.collision is not None:
                collision.append(reduce_row(mesh, position, row.collision))
        return _arrays(rates=rates, collision=collision)

    def four_phonon(self, positions: Sequence[int], round_: int | None) -> dict[str, NDArray[Any]]:
        """Return one round of four-phonon scattering at some irreducible points.

        Parameters
        ----------
        positions : sequence of int
        round_ : int or None
            Number of the round; each doubles the sample, see :func:`draws_of_round`. None sums
            over all pairs, which then count as a single draw.

        Returns
        -------
        dict
            ``weighted``, ``phase_space`` (n, n_draws, n_t, 3, n_modes); ``stratum``
            (n, n_draws), absent for the exact sum; ``collision`` as in :meth:`three_phonon`, an
            estimate from this round alone.
        """
        if self.force_constants.fourth is None:
            raise ConfigurationError("there are no fourth-order force constants.")
        settings, mesh = self.settings, self.modes.mesh
        if self._four is None:
            self._four = FourPhononScattering(
                self.force_constants.fourth,
                self.modes,
                settings.broadening_fourth,
                torch.device(self.device),
                single_precision=settings.single_precision,
            )
        weighted, phase_space, strata, collision = [], [], [], []
        for position in positions:
            point = int(mesh.irreducible[position])
            if round_ is None:
                draws = self._all_pairs(point)
            else:
                first, count = draws_of_round(round_)
                chosen = draw_pairs(
                    mesh, point, seed=settings.seed, first=first, count=count,
                    strata=self.strata,
                )  # fmt: skip
                weights = None
                if settings.collision:
                    weights = expansion_weights(chosen.stratum, chosen.sizes)
                draws = self._four.draws(
                    point, chosen.pairs, settings.temperatures, collision_weights=weights
                )
                strata.append(chosen.stratum)
            # What one draw gives to one mode of a degenerate set depends on the basis that the
            # eigensolver chose, and the ratio estimator is not linear in it: take the mean.
            means = self.modes.set_means[position]
            weighted.append(np.einsum("ms,dtcs->dtcm", means, draws.weighted))
            phase_space.append(np.einsum("ms,dtcs->dtcm", means, draws.phase_space))
            if draws.collision is not None:
                collision.append(reduce_row(mesh, position, draws.collision))
        return _arrays(
            weighted=weighted, phase_space=phase_space, stratum=strata, collision=collision
        )

    def _all_pairs(self, point: int) -> FourPhononDraws:
        """Return the sum over all pairs as one draw."""
        assert self._four is not None
        pairs = np.arange(self._four.n_pairs)
        weights = np.ones(len(pairs)) if self.settings.collision else None
        draws = self._four.draws(
            point, pairs, self.settings.temperatures, collision_weights=weights
        )
        return FourPhononDraws(
            weighted=draws.weighted.sum(axis=0, keepdims=True),
            phase_space=draws.phase_space.sum(axis=0, keepdims=True),
            collision=draws.collision,
        )

    def rates_of_rounds(self, rounds: Sequence[Arrays]) -> list[FourPhononRates]:
        """Return the four-phonon rates of every irreducible point from all rounds so far.

        Parameters
        ----------
        rounds : sequence of dict
            What :meth:`four_phonon` returns for all points, one per round.
        """
        settings, mesh = self.settings, self.modes.mesh
        if is_exact(rounds):
            (only,) = rounds
            return [
                exact_rates(FourPhononDraws(weighted=w, phase_space=p))
                for w, p in zip(only["weighted"], only["phase_space"], strict=True)
            ]
        if not settings.broadening_fourth.normalized:
            raise ConfigurationError(
                "sampling needs normalised Gaussians for four-phonon scattering.",
                "The exact phase space that the estimator leans on counts the whole Gaussian.",
                "Use the exact sum (round None) with this broadening.",
            )
        if self._space is None:
            self._space = weighted_phase_space(
                self.modes, settings.broadening_fourth, settings.temperatures
            )
        sizes = draw_pairs(mesh, 0, seed=0, first=0, count=0, strata=self.strata).sizes
        result = []
        for i in range(mesh.n_irreducible):
            draws = FourPhononDraws(
                weighted=np.concatenate([r["weighted"][i] for r in rounds]),
                phase_space=np.concatenate([r["phase_space"][i] for r in rounds]),
            )
            stratum = np.concatenate([r["stratum"][i] for r in rounds])
            result.append(ratio_rates(draws, stratum, sizes, self._space[:, :, i]))
        return result


def draws_of_round(round_: int) -> tuple[int, int]:
    """Return the first draw of a round and their number, in every stratum.

    Round 0 draws one, and each later round as many as all before it together.
    """
    return (0, 1) if round_ == 0 else (2 ** (round_ - 1), 2 ** (round_ - 1))


def is_exact(rounds: Sequence[Arrays]) -> bool:
    """Return whether the four-phonon part is the sum over all pairs."""
    return "stratum" not in rounds[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelRates:
    """All scattering of one level, joined.

    Attributes
    ----------
    three : ndarray, (n_irreducible, n_t, 2, n_modes) ps⁻¹
    isotope : ndarray, (n_irreducible, n_modes) ps⁻¹, or None
    boundary : ndarray, (n_irreducible, n_modes) ps⁻¹, or None
    four : list of FourPhononRates, or None
    """

    three: Array
    isotope: Array | None
    boundary: Array | None
    four: list[FourPhononRates] | None

    def total(self) -> Array:
        """Return 1/tau, (n_t, n_irreducible, n_modes) ps⁻¹."""
        total = self.three.sum(axis=2).transpose(1, 0, 2)
        for part in (self.isotope, self.boundary):
            if part is not None:
                total = total + part
        if self.four is not None:
            total = total + self.four_total()
        return np.asarray(total)

    def four_total(self) -> Array:
        """Return the four-phonon part, (n_t, n_irreducible, n_modes) ps⁻¹."""
        assert self.four is not None
        return np.stack([rates.rates.sum(axis=1) for rates in self.four], axis=1)

    def four_channels(self) -> Array:
        """Return the four-phonon part by channel, (n_t, 3, n_irreducible, n_modes) ps⁻¹."""
        assert self.four is not None
        return np.stack([rates.rates for rates in self.four], axis=2)


def solve_level(
    scattering: LevelScattering,
    three: Arrays,
    rounds: Sequence[Arrays] | None,
    *,
    solver: Solver,
    coherence: bool = True,
) -> ThermalConductivity:
    """Solve the Boltzmann equation of one level.

    Parameters
    ----------
    scattering : LevelScattering
    three : dict
        :meth:`LevelScattering.three_phonon` of all irreducible points in order.
    rounds : sequence of dict, or None
        :meth:`LevelScattering.four_phonon` of all points, one per round; None leaves four-phonon
        scattering out.
    solver : {"rta", "bte"}
    coherence : bool
        Add the wave-like part, from the same linewidths.
    """
    settings, modes = scattering.settings, scattering.modes
    flags, n_masked = scattering.check_modes()
    axes = scattering.force_constants.unitcell.axis_directions
    projections = np.einsum("xi,xj->xij", axes, axes).reshape(3, 9)
    solved, spread = _solve_sampled(scattering, three, rounds, solver, projections)
    rates, total, mode, four = solved.rates, solved.total, solved.mode, solved.rates.four
    errors = along = None
    if four is not None:
        errors = np.hypot(_standard_errors(four, solved.gradients), spread[:, :9])
        errors = errors.reshape(-1, 3, 3)
        along = _standard_errors(four, np.tensordot(projections, solved.gradients, axes=1))
        along = np.hypot(along, spread[:, 9:])
    wave = coherence_conductivity(modes, settings.temperatures, total) if coherence else None
    mesh = modes.mesh
    return ThermalConductivity(
        mesh=settings.mesh,
        temperatures=np.array(settings.temperatures),
        grid_points=mesh.irreducible,
        q_points=mesh.q_points[mesh.irreducible],
        weights=mesh.weights,
        frequencies=np.where(
            modes.irreducible_frequencies > 0.0,
            modes.irreducible_frequencies,
            np.minimum(modes.raw_frequencies, 0.0),
        ),
        group_velocities=modes.irreducible_velocities,
        velocity_products=star_sum(mesh, modes.velocity_products),
        heat_capacities=heat_capacities(modes, settings.temperatures),
        rates=total,
        rates_three_phonon=rates.three.sum(axis=2).transpose(1, 0, 2),
        rates_emission=rates.three[:, :, 0].transpose(1, 0, 2),
        rates_isotope=rates.isotope,
        rates_boundary=rates.boundary,
        rates_four_phonon=None if four is None else rates.four_channels(),
        rates_four_phonon_error=None
        if four is None
        else np.stack([r.standard_errors for r in four], axis=1),
        mode_conductivity=mode,
        conductivity=mode.sum(axis=(1, 2)) / mesh.n_points,
        standard_error=errors,
        axis_vectors=axes,
        standard_error_axes=along,
        mode_coherence=wave,
        coherence=None if wave is None else wave.sum(axis=(1, 2)) / mesh.n_points,
        volume=modes.volume,
        solver=solver,
        broadening_label=settings.broadening.label,
        boundary_mfp_um=settings.boundary_mfp_um,
        flags=(*flags, *solved.flags),
        n_masked=n_masked,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """Rates and conductivity of one set of rounds; gradients as in :func:`_rta_gradients`."""

    rates: LevelRates
    total: Array
    mode: Array
    gradients: Array
    flags: tuple[QualityFlag, ...]


def _solve_sampled(
    scattering: LevelScattering,
    three: Arrays,
    rounds: Sequence[Arrays] | None,
    solver: Solver,
    projections: Array,
) -> tuple[_Solved, Array]:
    """Solve, and return the errors that come on top of those of the rates, (n_t, 12).

    The off-diagonal part of the operator is sampled too, and enters beyond the first order. Where
    its noise makes the operator indefinite, four-phonon scattering enters through its rates alone,
    and a flag says so.
    """
    nothing = np.zeros((len(scattering.settings.temperatures), 12))
    if solver == "rta" or rounds is None or is_exact(rounds):
        return _solve(scattering, three, rounds, solver), nothing
    try:
        solved = _solve(scattering, three, rounds, solver, refuse_indefinite=True)
        if len(rounds) == 1:
            return solved, nothing
        return solved, _jackknife(scattering, three, rounds, solved.mode, projections)
    except IndefiniteOperatorError:
        solved = _solve(scattering, three, rounds, solver, off_diagonal=False)
    flag = QualityFlag(
        name="four_phonon_operator",
        severity="info",
        message="the sampled off-diagonal part of four-phonon scattering is too noisy for the "
        "Boltzmann equation; four-phonon scattering enters it through its rates alone",
        value=None,
        threshold=None,
    )
    return replace(solved, flags=(*solved.flags, flag)), nothing


def _solve(
    scattering: LevelScattering,
    three: Arrays,
    rounds: Sequence[Arrays] | None,
    solver: Solver,
    *,
    off_diagonal: bool = True,
    refuse_indefinite: bool = False,
) -> _Solved:
    """Solve with one solver; ``off_diagonal`` concerns the four-phonon part."""
    settings, modes = scattering.settings, scattering.modes
    isotope = scattering.isotope
    boundary = None
    if settings.boundary_mfp_um is not None:
        boundary = boundary_rates(modes.irreducible_velocities, settings.boundary_mfp_um)
        boundary = boundary * (modes.irreducible_frequencies > 0.0)
    rates = LevelRates(
        three=modes.degenerate_means(np.moveaxis(three["rates"], 0, 2)).transpose(2, 0, 1, 3),
        isotope=None if isotope is None else isotope.rates(),
        boundary=boundary,
        four=None if rounds is None else scattering.rates_of_rounds(rounds),
    )
    total = modes.degenerate_means(rates.total())
    if solver == "rta":
        count = unscattered_modes(modes, total)
        mode = relaxation_time_conductivity(modes, settings.temperatures, total)
        return _Solved(
            rates,
            total,
            mode,
            _rta_gradients(modes, total, mode),
            (_unscattered_flag(count, modes),) if count else (),
        )
    sampled = rounds if off_diagonal else None
    solutions = [
        solve_bte(
            _operator(scattering, rates, total, t, three, sampled),
            refuse_indefinite=refuse_indefinite,
        )
        for t in range(len(settings.temperatures))
    ]
    return _Solved(
        rates,
        total,
        np.array([solution.mode_conductivity for solution in solutions]),
        _bte_gradients(modes, settings.temperatures, solutions),
        tuple(flag for solution in solutions for flag in solution.flags),
    )


def _jackknife(
    scattering: LevelScattering,
    three: Arrays,
    rounds: Sequence[Arrays],
    mode: Array,
    projections: Array,
) -> Array:
    """Return errors of κ_ab and of κ along the axes, (n_t, 9 + 3), from leaving rounds out.

    Rounds have different sizes: pseudo-values after F. M. T. A. Busing, E. Meijer and R. van der
    Leeden, Statistics and Computing 9, 3 (1999). The bias that the jackknife finds is added to its
    error in quadrature.
    """
    n_points = scattering.modes.mesh.n_points

    def components(values: Array) -> Array:
        kappa = values.sum(axis=(1, 2)).reshape(-1, 9) / n_points
        return np.concatenate([kappa, kappa @ projections.T], axis=1)

    whole = components(mode)
    sizes = np.array([r["weighted"].shape[1] for r in rounds], dtype=float)
    left_out = np.array(
        [
            components(
                _solve(
                    scattering,
                    three,
                    [*rounds[:j], *rounds[j + 1 :]],
                    "bte",
                    refuse_indefinite=True,
                ).mode
            )
            for j in range(len(rounds))
        ]
    )
    inverse_share = (sizes.sum() / sizes)[:, None, None]
    estimate = len(rounds) * whole - ((1.0 - 1.0 / inverse_share) * left_out).sum(axis=0)
    pseudo = inverse_share * whole - (inverse_share - 1.0) * left_out
    variance = np.mean((pseudo - estimate) ** 2 / (inverse_share - 1.0), axis=0)
    return np.asarray(np.sqrt(variance + (estimate - whole) ** 2))


def relative_errors(scattering: LevelScattering, three: Arrays, rounds: Sequence[Arrays]) -> Array:
    """Return the relative standard error of κ along a, b, c of the user's cell, (n_t, 3).

    In the relaxation-time approximation; this decides whether another round of draws is needed.
    """
    result = solve_level(scattering, three, rounds, solver="rta", coherence=False)
    assert result.standard_error_axes is not None
    return np.asarray(
        result.standard_error_axes / np.maximum(np.abs(result.axes_conductivity()), 1e-12)
    )


def _operator(
    scattering: LevelScattering,
    rates: LevelRates,
    total: Array,
    t: int,
    three: Arrays,
    rounds: Sequence[Arrays] | None,
) -> CollisionOperator:
    """Return the collision operator at one temperature."""
    modes, settings = scattering.modes, scattering.settings
    temperature, isotope = settings.temperatures[t], scattering.isotope

    def rows() -> Any:
        for i, point in enumerate(modes.mesh.irreducible):
            row = np.array(three["collision"][i, t])
            if rounds is not None:
                assert rates.four is not None
                sizes = [r["weighted"].shape[1] for r in rounds]
                sampled = np.average([r["collision"][i, t] for r in rounds], axis=0, weights=sizes)
                row += _row_factor(rates.four[i], rounds, i, t)[:, None, None] * sampled
            if isotope is not None:
                _, elastic = isotope.row(int(point), [temperature])
                row += reduce_row(modes.mesh, i, elastic)[0]
            yield row

    return CollisionOperator.assemble(modes, temperature, total[t], rows())


def _row_factor(rates: FourPhononRates, rounds: Sequence[Arrays], i: int, t: int) -> Array:
    """Return the ratio of the final rates to those of the plain expansion, (n_modes,).

    The off-diagonal rows come from the same draws as the plain rates; this puts both on the level
    of the ratio estimator.
    """
    if is_exact(rounds):
        return np.ones(rates.rates.shape[-1])
    weighted = np.concatenate([r["weighted"][i][:, t] for r in rounds])
    plain = np.einsum("d,dcl->l", expansion_weights(rates.stratum, rates.sizes), weighted)
    final = rates.rates[t].sum(axis=0)
    return np.asarray(np.divide(final, plain, out=np.ones_like(final), where=plain > 0.0))


def _rta_gradients(modes: MeshModes, total: Array, mode: Array) -> Array:
    """Return the derivatives of κ_ab with respect to the rates, (9, n_t, n_irr, n_modes)."""
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0.0)
    slopes = -mode * inverse[..., None, None] / modes.mesh.n_points
    return np.asarray(np.moveaxis(slopes.reshape(*slopes.shape[:-2], 9), -1, 0))


def _bte_gradients(
    modes: MeshModes, temperatures: Sequence[float], solutions: Sequence[BoltzmannSolution]
) -> Array:
    """Return the derivatives of κ_ab with respect to the diagonal of the operator.

    κ is stationary, so its change is minus the change of the operator between the solutions:
    ``-k_B T² / (NV) n (n + 1) g_a g_b`` per rate.
    """
    gradients = []
    for temperature, solution in zip(temperatures, solutions, strict=True):
        response = solution.response
        products = response[..., :, None] * response[..., None, :]
        occupation = modes.thermal_amplitudes(temperature) ** 2
        scale = W_PER_MK_PER_EV_PER_K_A_PS * BOLTZMANN_EV * temperature**2
        scale /= modes.mesh.n_points * modes.volume
        slopes = -scale * star_sum(modes.mesh, occupation[..., None, None] * products)
        gradients.append(slopes.reshape(*slopes.shape[:-2], 9))
    return np.asarray(np.moveaxis(np.array(gradients), -1, 0))


def _standard_errors(four: Sequence[FourPhononRates], gradients: Array) -> Array:
    """Return the standard errors of functions of the rates with these gradients, (n_t, n)."""
    variance = sum(
        rates.variance(gradients[:, :, i]) if len(rates.sizes) else np.zeros(gradients.shape[:2])
        for i, rates in enumerate(four)
    )
    return np.asarray(np.sqrt(variance).T)


def _unscattered_flag(count: int, modes: MeshModes) -> QualityFlag:
    total = modes.mesh.n_points * modes.n_modes
    return QualityFlag(
        name="unscattered_modes",
        severity="warning",
        message=f"{count} of {total} modes of the mesh are not scattered by anything; they are "
        "left out. A finer mesh or a larger broadening finds partners for them.",
        value=count / total,
        threshold=0.0,
    )


def _arrays(**lists: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return stacked arrays; empty lists are left out."""
    return {name: np.stack(values) for name, values in lists.items() if values}

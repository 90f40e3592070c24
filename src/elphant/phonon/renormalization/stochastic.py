r"""Stochastic self-consistent harmonic approximation with the forces of the potential itself.

The trial Φ2 that minimises the Gibbs-Bogoliubov free energy obeys

.. math:: \Phi = \left\langle \frac{\partial^2 V}{\partial u\, \partial u} \right\rangle_\rho
          = -\langle F u^T \rangle_\rho \langle u u^T \rangle_\rho^{-1},

the least-squares fit of the forces F on displacements drawn from its own Gaussian density ρ
(I. Errea, M. Calandra and F. Mauri, Phys. Rev. B 89, 064302 (2014); L. Monacelli et al., J. Phys.:
Condens. Matter 33, 363001 (2021)). All even orders of the potential take part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import PhysicsError
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.harmonic import IMAGINARY_LIMIT
from elphant.phonon.renormalization.covariance import (
    FLOOR_THZ,
    PointModes,
    Statistics,
    solve_points,
)
from elphant.phonon.renormalization.ensemble import (
    GaussianState,
    effective_share,
    importance_weights,
)
from elphant.phonon.renormalization.result import (
    FreeEnergy,
    RenormalizedForceConstants,
    stability_flag,
    sum_rule_flags,
)
from elphant.phonon.renormalization.second_order import CorrectionTransform, half_of
from elphant.phonon.renormalization.second_order_fit import NormalEquations
from elphant.quality import QualityFlag, check_below
from elphant.units import THZ_PER_SQRT_EV_A2_AMU

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

#: What evaluates displaced supercells: forces (n, n_atoms, 3) eV/Å, or forces and energies (n,) eV.
Evaluator = Callable[[list[Crystal]], "Array | tuple[Array, Array]"]

#: Mean force (eV/Å) above which the atoms have moved to other places at this temperature.
MEAN_FORCE_LIMIT = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class StochasticSettings:
    """How the self-consistency is sampled.

    Attributes
    ----------
    seed : int
        Batches are functions of the seed, their number and the force constants at that moment.
    n_pairs : int
        Pairs ±u in a batch.
    max_batches, min_batches : int
        Limits; convergence ends the sampling in between.
    tolerance : float, THz
        Largest change of a frequency between batches, unless its standard error is larger.
    standard_error : float, THz
        Standard error aimed at for every frequency.
    step : float
        Share of the fitted change that is followed.
    effective_share : float
        Earlier snapshots are reused while the effective sample size stays above this share.
    n_blocks : int
        Blocks of the jackknife.
    statistics : {"quantum", "classical"}
    floor : float, THz
        No mode is taken to be softer.
    """

    seed: int = 0
    n_pairs: int = 50
    max_batches: int = 20
    min_batches: int = 2
    tolerance: float = 0.02
    standard_error: float = 0.05
    step: float = 0.7
    effective_share: float = 0.5
    n_blocks: int = 10
    statistics: Statistics = "quantum"
    floor: float = FLOOR_THZ


@dataclass(slots=True, eq=False)
class _Batch:
    state: GaussianState
    displacements: Array
    forces: Array
    energies: Array | None
    blocks: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Estimate:
    second: Array
    modes: PointModes
    errors: Array
    free_energy: FreeEnergy | None
    change: float
    residual: float
    self_consistent: bool
    mean_force: float
    mean_force_error: float
    effective_size: float


class StochasticSolver:
    """The self-consistency at one temperature, driven from outside batch by batch.

    ``while not solver.finished: solver.add(forces_of(solver.next_batch()))``. To resume, repeat
    the loop with stored forces: batches are reproducible.

    Parameters
    ----------
    force_constants : ForceConstants
        Harmonic ones; only Φ2 and its supercell are used.
    temperature : float, K
    settings : StochasticSettings, optional
    start : ndarray, (n_atoms, n_supercell, 3, 3) eV/Å², optional
        First trial Φ2, for instance that of the loop variant or of a higher temperature.
    """

    def __init__(
        self,
        force_constants: ForceConstants,
        temperature: float,
        settings: StochasticSettings | None = None,
        *,
        start: Array | None = None,
    ) -> None:
        from elphant.phonon.adapters import renormalization_adapter as adapter

        self._force_constants, self._temperature = force_constants, float(temperature)
        self._settings = settings or StochasticSettings()
        self._supercell, self._lattice, self._basis = adapter.supercell_second(force_constants)
        all_points = self._lattice.commensurate_points()
        half, self._weights = half_of(all_points)
        self._all_points, self._points = all_points, all_points[half]
        self._transform = CorrectionTransform.of(self._lattice, self._points)
        self.harmonic = self._modes(force_constants.second)
        self._second = np.array(force_constants.second if start is None else start)
        self._state = self._state_of(self._second)
        self._batches: list[_Batch] = []
        self._pending: Array | None = None
        self._reference_energy: float | None = None
        self._estimate: _Estimate | None = None
        self._n_batches = 0

    @property
    def n_batches(self) -> int:
        """Batches whose forces were added."""
        return self._n_batches

    @property
    def supercell(self) -> Crystal:
        """The undisplaced supercell."""
        return self._supercell

    @property
    def converged(self) -> bool:
        """Whether frequencies and free energy have settled within their errors."""
        estimate, settings = self._estimate, self._settings
        return (
            estimate is not None
            and self._n_batches >= settings.min_batches
            and estimate.self_consistent
            and estimate.change <= 1.0
            and float(estimate.errors.max()) <= settings.standard_error
        )

    @property
    def finished(self) -> bool:
        """Whether no further batch is wanted."""
        return self.converged or self._n_batches >= self._settings.max_batches

    def next_batch(self) -> list[Crystal]:
        """Return displaced supercells; the first batch begins with the undisplaced one."""
        generator = np.random.default_rng([self._settings.seed, self._n_batches])
        self._pending = self._state.draw(self._settings.n_pairs, generator)
        crystals = [self._supercell.displaced(u) for u in self._pending]
        return crystals if self._n_batches else [self._supercell, *crystals]

    def add(self, forces: Array, energies: Array | None = None) -> None:
        """Take the forces (n, n_atoms, 3) eV/Å and energies (n,) eV of :meth:`next_batch`."""
        if self._pending is None:
            raise ValueError("call next_batch() before add()")
        forces = np.asarray(forces, dtype=float)
        first = 0 if self._n_batches else 1
        expected = (len(self._pending) + first, self._supercell.n_atoms, 3)
        if forces.shape != expected:
            raise ValueError(f"forces have shape {forces.shape}, not {expected}")
        if not np.isfinite(forces).all():
            raise PhysicsError(
                "forces of a stochastic batch are not finite.",
                "The displacements may be larger than the potential can handle.",
                "Lower the temperature, or start from renormalised force constants.",
            )
        if energies is not None:
            energies = np.asarray(energies, dtype=float)
            if first:
                self._reference_energy = float(energies[0])
            assert self._reference_energy is not None
            energies = energies[first:] - self._reference_energy
        # Both members of a pair belong to one block, so that blocks are independent.
        blocks = np.arange(len(self._pending)) // 2 % self._settings.n_blocks
        self._batches.append(_Batch(self._state, self._pending, forces[first:], energies, blocks))
        self._pending = None
        self._n_batches += 1
        self._update()

    def _state_of(self, second: Array) -> GaussianState:
        settings = self._settings
        return GaussianState.of(
            self._basis.expanded(second),
            np.asarray(self._supercell.masses),
            self._temperature,
            settings.statistics,
            settings.floor,
        )

    def _modes(self, second: Array) -> PointModes:
        # At the points that fit the supercell Φ2 needs no long-range correction.
        matrices = self._transform.matrices(second)
        return solve_points(matrices, self._points, self._weights, self._lattice.masses)

    def _reweight(self, state: GaussianState) -> Array:
        """Return the weights of all kept snapshots; batches grown too unlike are dropped."""
        while True:
            displacements = np.concatenate([b.displacements for b in self._batches])
            sources = np.array([b.state.log_density(displacements) for b in self._batches])
            counts = np.array([float(len(b.displacements)) for b in self._batches])
            weights = importance_weights(state.log_density(displacements), sources, counts)
            if (
                len(self._batches) == 1
                or effective_share(weights) >= self._settings.effective_share
            ):
                return weights
            self._batches.pop(0)

    def _fit(self, weights: Array) -> Array:
        """Return the Φ2 fitted to all kept snapshots."""
        displacements = np.concatenate([b.displacements for b in self._batches])
        forces = np.concatenate([b.forces for b in self._batches])
        return self._basis.solve(self._basis.equations(displacements, forces, weights))

    def _block_equations(self, weights: Array) -> list[NormalEquations]:
        """Return the normal equations of each block of snapshots."""
        displacements = np.concatenate([b.displacements for b in self._batches])
        forces = np.concatenate([b.forces for b in self._batches])
        blocks = np.concatenate([b.blocks for b in self._batches])
        return [
            self._basis.equations(displacements[use], forces[use], weights[use])
            for use in (blocks == b for b in np.unique(blocks))
        ]

    def _update(self) -> None:
        """Iterate fit, mixing and reweighting on the snapshots at hand."""
        settings = self._settings
        previous = self._estimate
        residual, self_consistent = np.inf, False
        step = settings.step
        for _ in range(50):
            weights = self._reweight(self._state)
            if effective_share(weights) < settings.effective_share:
                break  # what is left no longer represents this density: draw again
            fitted = self._fit(weights)
            modes = self._modes(self._second)
            last = residual
            residual = float(np.abs(self._frequency_change(modes, fitted - self._second)).max())
            if residual > last:
                step *= 0.5  # the fit overshoots, as it does for soft modes
            if residual < 0.1 * settings.tolerance:
                self_consistent = True
                break
            self._second = self._second + step * (fitted - self._second)
            self._state = self._state_of(self._second)
        errors = self._errors(self._modes(self._second), weights)
        self._estimate = self._summarize(weights, errors, previous, residual, self_consistent)
        logger.info(
            "stochastic batch %d at %g K: change %.2g of the tolerance, largest standard error "
            "%.3f THz, effective share %.2f", self._n_batches, self._temperature,
            self._estimate.change, errors.max(), effective_share(weights),
        )  # fmt: skip

    def _frequency_change(self, modes: PointModes, change: Array) -> Array:
        """Return Δω = e†ΔD e / 2ω of each mode, (n_q, n_modes) THz; zero for translations."""
        vectors = modes.vectors
        matrices = self._transform.matrices(change)
        shifts = np.einsum("qas,qas->qs", vectors.conj(), matrices @ vectors).real
        frequencies = np.maximum(np.abs(modes.frequencies), self._settings.floor)
        shifts = shifts * THZ_PER_SQRT_EV_A2_AMU**2 / (2.0 * frequencies)
        return np.where(modes.rigid, 0.0, shifts)

    def _errors(self, modes: PointModes, weights: Array) -> Array:
        """Return standard errors of the frequencies by leaving out one block at a time, THz."""
        equations = self._block_equations(weights)
        total = equations[0]
        for part in equations[1:]:
            total = total + part
        left_out = [self._basis.solve(total - part) for part in equations]
        shifts = np.array([self._frequency_change(modes, s - left_out[0]) for s in left_out])
        n = len(shifts)
        variance = (n - 1) / n * ((shifts - shifts.mean(axis=0)) ** 2).sum(axis=0)
        return np.asarray(np.sqrt(variance))

    def _summarize(
        self,
        weights: Array,
        errors: Array,
        previous: _Estimate | None,
        residual: float,
        self_consistent: bool,
    ) -> _Estimate:
        settings = self._settings
        modes = self._modes(self._second)
        free_energy = self._free_energy(weights)
        change = np.inf
        if previous is not None:
            moved = self._frequency_change(modes, self._second - previous.second)
            residual = max(residual, float(np.abs(moved).max()))
            change = float((np.abs(moved) / np.maximum(settings.tolerance, errors)).max())
            if free_energy is not None and previous.free_energy is not None:
                difference = abs(free_energy.total - previous.free_energy.total)
                scale = np.hypot(
                    free_energy.standard_error or 0.0, previous.free_energy.standard_error or 0.0
                )
                change = max(change, difference / max(2.0 * float(scale), 1e-6))
        mean, error = self._mean_force(weights)
        size = effective_share(weights) * len(weights)
        return _Estimate(
            self._second, modes, errors, free_energy, change, residual, self_consistent, mean,
            error, size,
        )  # fmt: skip

    def _free_energy(self, weights: Array) -> FreeEnergy | None:
        """Return ``F_harm + <V - V_trial>`` per primitive cell, or None without energies."""
        if any(b.energies is None for b in self._batches):
            return None
        energies = np.concatenate([b.energies for b in self._batches if b.energies is not None])
        displacements = np.concatenate([b.displacements for b in self._batches])
        n = self._supercell.n_atoms
        full = self._basis.expanded(self._second).transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
        flat = displacements.reshape(-1, 3 * n)
        beyond = energies - 0.5 * np.einsum("si,si->s", flat @ full, flat)
        mean, error = _weighted_mean(_pairs(beyond), _pairs(weights))
        cells = self._lattice.n_cells
        return FreeEnergy(
            harmonic=self._state.free_energy / cells,
            anharmonic=float(mean) / cells,
            standard_error=float(error) / cells,
        )

    def _mean_force(self, weights: Array) -> tuple[float, float]:
        """Return the largest mean force on an atom and its standard error, eV/Å."""
        forces = np.concatenate([b.forces for b in self._batches])
        rows = self._basis.translations[:, self._basis.rows]
        by_atom = forces[:, rows].mean(axis=1)
        mean, error = _weighted_mean(_pairs(by_atom), _pairs(weights))
        worst = np.unravel_index(int(np.argmax(np.abs(mean))), mean.shape)
        return float(np.abs(mean[worst])), float(error[worst])

    def result(self) -> RenormalizedForceConstants:
        """Return the force constants reached, with standard errors and flags."""
        estimate, settings = self._estimate, self._settings
        if estimate is None:
            raise ValueError("no batch of forces was added yet")
        before, after = self.harmonic, estimate.modes
        n_before = before.count_below(-IMAGINARY_LIMIT)
        limit = settings.floor if n_before else -IMAGINARY_LIMIT
        n_after = after.count_below(limit)
        order = np.argsort(after.frequencies[0], kind="stable")
        return RenormalizedForceConstants(
            temperature=self._temperature,
            force_constants=replace(self._force_constants, second=estimate.second),
            variant="stochastic",
            free_energy=estimate.free_energy,
            n_iterations=self._n_batches,
            converged=self.converged,
            residual=estimate.residual,
            q_points=self._all_points,
            frequencies_before=self._everywhere(self._force_constants.second),
            frequencies_after=self._everywhere(estimate.second),
            minimum_before=before.minimum,
            minimum_after=after.minimum,
            n_imaginary_before=n_before,
            n_imaginary_after=n_after,
            n_modes=before.n_modes,
            gamma_standard_errors=estimate.errors[0][order],
            n_snapshots=2 * settings.n_pairs * self._n_batches,
            effective_sample_size=estimate.effective_size,
            flags=(
                stability_flag(
                    self._temperature, n_before, n_after, before.n_modes,
                    (before.minimum, after.minimum), where="at points that fit the supercell",
                ),
                *self._flags(estimate),
            ),
        )  # fmt: skip

    def _flags(self, estimate: _Estimate) -> list[QualityFlag]:
        settings, second = self._settings, estimate.second
        # Sampling noise is no lack of convergence: the limit is the larger of the two.
        limit = max(settings.tolerance, float(estimate.errors.max()))
        flags = [
            QualityFlag(
                name="renormalization_convergence",
                severity="info" if self.converged else "warning",
                message=f"frequencies at {self._temperature:g} K changed by "
                f"{estimate.residual:.2g} THz in the last of {self._n_batches} batches of forces"
                + ("" if self.converged else "; the sampling ended before it had settled"),
                value=estimate.residual,
                threshold=limit,
            ),
            check_below(
                "stochastic_standard_error",
                float(estimate.errors.max()),
                settings.standard_error,
                f"renormalised frequencies have standard errors up to "
                f"{estimate.errors.max():.3f} THz",
            ),
            check_below(
                "stochastic_mean_force",
                estimate.mean_force,
                max(MEAN_FORCE_LIMIT, 3.0 * estimate.mean_force_error),
                f"the mean force on an atom at {self._temperature:g} K is "
                f"{estimate.mean_force:.4f} ± {estimate.mean_force_error:.4f} eV/Å; atoms are "
                "kept at their relaxed positions",
            ),
        ]
        return flags + sum_rule_flags(
            np.asarray(self._force_constants.second), second, self._lattice.transposed(second)
        )

    def _everywhere(self, second: Array) -> Array:
        points = self._all_points
        matrices = self._lattice.correction_matrices(second, points)
        modes = solve_points(matrices, points, np.ones(len(points)), self._lattice.masses)
        return np.sort(modes.frequencies, axis=1)


def solve_stochastic(
    force_constants: ForceConstants,
    temperature: float,
    evaluate: Evaluator,
    settings: StochasticSettings | None = None,
    *,
    start: Array | None = None,
) -> RenormalizedForceConstants:
    """Return the stochastic self-consistent harmonic force constants at one temperature.

    Parameters
    ----------
    force_constants, temperature, settings, start
        As for :class:`StochasticSolver`.
    evaluate : callable
        Returns the forces, (n, n_atoms, 3) eV/Å, of a list of crystals, or forces and energies.
        Without energies there is no free energy, and convergence is judged by frequencies alone.
    """
    solver = StochasticSolver(force_constants, temperature, settings, start=start)
    while not solver.finished:
        answer = evaluate(solver.next_batch())
        forces, energies = answer if isinstance(answer, tuple) else (answer, None)
        solver.add(forces, energies)
    return solver.result()


def _pairs(values: Array) -> Array:
    """Average the two members of each pair ±u."""
    return np.asarray(0.5 * (values[0::2] + values[1::2]))


def _weighted_mean(values: Array, weights: Array) -> tuple[Array, Array]:
    """Return mean and standard error of independent weighted values."""
    shares = (weights / weights.sum()).reshape(-1, *(1,) * (values.ndim - 1))
    mean = (shares * values).sum(axis=0)
    variance = (shares**2 * (values - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(variance)

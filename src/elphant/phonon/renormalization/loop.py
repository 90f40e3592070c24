r"""Self-consistent phonons from the loop diagram, in real space.

.. math:: \Phi^\mathrm{eff}_{ij} = \Phi_{ij} + \frac12 \sum_{kl} \Phi_{ijkl} \langle u_k u_l
          \rangle_{\Phi^\mathrm{eff}}

T. Tadano and S. Tsuneyuki, Phys. Rev. B 92, 054301 (2015), equations 11 to 13, written between
atoms instead of between modes: all off-diagonal elements and the symmetry of the crystal come for
free, and the cost is that of diagonalising a mesh.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ConfigurationError, PhysicsError
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.harmonic import IMAGINARY_LIMIT
from elphant.phonon.renormalization.contraction import LoopContraction
from elphant.phonon.renormalization.covariance import (
    FLOOR_THZ,
    CovarianceTransform,
    PointModes,
    Statistics,
    harmonic_free_energy,
    mode_covariance,
    solve_points,
)
from elphant.phonon.renormalization.mixing import AndersonMixer
from elphant.phonon.renormalization.result import (
    FreeEnergy,
    RenormalizedForceConstants,
    convergence_flag,
    stability_flag,
    sum_rule_flags,
)
from elphant.phonon.renormalization.second_order import (
    CorrectionTransform,
    SecondOrderLattice,
    half_of,
    mesh_points,
)
from elphant.quality import QualityFlag, check_below
from elphant.units import THZ_PER_SQRT_EV_A2_AMU

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Factor by which the frequency that soft modes count as is lowered in each iteration.
FLOOR_DECAY = 0.6

#: A step may lower the lowest frequency to this share of what it was ...
SOFTENING_LIMIT = 0.3

#: ... and is halved at most so many times.
LARGEST_BACKTRACK = 8

#: Share of fourth-order constants beyond the supercell above which the result is doubtful.
FOLDED_LIMIT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How the self-consistency is iterated.

    Attributes
    ----------
    mesh : tuple of int, (3,), or None
        Γ-centred mesh of the reciprocal primitive cell over which displacements are averaged; the
        points that fit the second-order supercell when None.
    tolerance : float, THz
        Largest difference between a frequency and that of the next iteration at the end.
    max_iterations : int
        Per temperature.
    step : float
        First share of the residual that is followed.
    history : int
        Earlier iterations used by Anderson acceleration; zero is plain linear mixing.
    statistics : {"quantum", "classical"}
    floor : float, THz
        A mode below this frequency, imaginary ones included, counts as if it had it.
    continuation : tuple of float
        If harmonic modes are imaginary, solutions at the highest temperature times these factors
        are found first and followed down.
    unstable : {"flag", "error"}
        What to do when a temperature has no stable solution.
    """

    mesh: tuple[int, int, int] | None = None
    tolerance: float = 1e-4
    max_iterations: int = 200
    step: float = 0.5
    history: int = 6
    statistics: Statistics = "quantum"
    floor: float = FLOOR_THZ
    continuation: tuple[float, ...] = (4.0, 2.0)
    unstable: Literal["flag", "error"] = "flag"


@dataclass(frozen=True, slots=True, eq=False)
class _Solution:
    correction: Array
    modes: PointModes
    free_energy: FreeEnergy
    n_iterations: int
    residual: float


def solve_loop(
    force_constants: ForceConstants,
    temperatures: Sequence[float],
    settings: LoopSettings | None = None,
    *,
    start: Array | None = None,
) -> tuple[RenormalizedForceConstants, ...]:
    """Return the loop-renormalised force constants at each temperature, in the order given.

    Temperatures are solved from the highest down, each from the solution of the one before.

    Parameters
    ----------
    force_constants : ForceConstants
        With a fourth order.
    temperatures : sequence of float, K
    settings : LoopSettings, optional
    start : ndarray, (n_atoms, n_supercell, 3, 3) eV/Å², optional
        First guess of the correction to Φ2; zero when left out.

    Raises
    ------
    ConfigurationError
        If there is no fourth order.
    PhysicsError
        If a temperature has no stable solution and ``settings.unstable`` is ``"error"``.
    """
    settings = settings or LoopSettings()
    if force_constants.fourth is None:
        raise ConfigurationError(
            "the loop correction needs fourth-order force constants; these have none.",
            "The shift of the second order is half the fourth order times <uu>.",
            "Fit orders (2, 3, 4), or use the stochastic variant, which needs only forces.",
        )
    wanted = [float(t) for t in temperatures]
    if not wanted or min(wanted) < 0.0:
        raise ConfigurationError(f"temperatures {wanted} must be a list of values of at least 0 K.")
    solver = LoopSolver(force_constants, settings)
    path = sorted(set(wanted), reverse=True)
    if solver.harmonic.count_below(-IMAGINARY_LIMIT):
        extra = {f * path[0] for f in settings.continuation} - {0.0}
        path = sorted(extra | set(path), reverse=True)
    solutions: dict[float, RenormalizedForceConstants] = {}
    correction = start
    for temperature in path:
        solution = solver.solve(temperature, correction)
        correction = solution.correction
        if temperature in wanted:
            above = tuple(t for t in path if t > temperature)
            solutions[temperature] = replace(
                solver.result(temperature, solution), continuation=above
            )
    return tuple(solutions[t] for t in wanted)


class LoopSolver:
    """What all temperatures share: the mesh, the bare dynamical matrices and the contraction.

    Parameters
    ----------
    force_constants : ForceConstants
    settings : LoopSettings
    """

    def __init__(self, force_constants: ForceConstants, settings: LoopSettings) -> None:
        from elphant.phonon.adapters import renormalization_adapter as adapter

        assert force_constants.fourth is not None
        self._force_constants, self._settings = force_constants, settings
        crystal = adapter.HarmonicCrystal(force_constants)
        self._lattice = lattice = crystal.lattice
        self._commensurate = lattice.commensurate_points()
        points = self._commensurate if settings.mesh is None else mesh_points(settings.mesh)
        half, self._weights = half_of(points)
        self._points = points[half]
        self._bare = crystal.dynamical_matrices(self._points)
        self._bare_commensurate = crystal.dynamical_matrices(self._commensurate)
        self._transform = CorrectionTransform.of(lattice, self._points)
        self._contraction = LoopContraction(force_constants.fourth, lattice)
        self._covariance = CovarianceTransform(
            self._points, self._weights, lattice.masses, self._contraction.cells
        )
        self.harmonic = self._solve(self._bare)

    @property
    def lattice(self) -> SecondOrderLattice:
        """The pair table of the second order."""
        return self._lattice

    def _solve(self, matrices: Complex) -> PointModes:
        return solve_points(matrices, self._points, self._weights, self._lattice.masses)

    def at(self, correction: Array) -> tuple[Complex, PointModes]:
        """Return ΔD and the phonons of Φ2 plus a correction."""
        shift = self._transform.matrices(correction)
        return shift, self._solve(self._bare + shift)

    def iterate(
        self, shift: Complex, modes: PointModes, temperature: float, floor: float
    ) -> tuple[Array, float, FreeEnergy]:
        """Return the next correction, the largest frequency change and the free energy."""
        statistics = self._settings.statistics
        covariance = mode_covariance(modes, temperature, statistics=statistics, floor=floor)
        image = self._contraction(self._covariance(covariance))
        next_shift = self._transform.matrices(image)
        change = _first_order_change(modes, next_shift - shift, floor)
        free_energy = FreeEnergy(
            harmonic=harmonic_free_energy(modes, temperature, statistics=statistics, floor=floor),
            second_order=-0.5 * self._mean_trace(shift, covariance),
            anharmonic=0.25 * self._mean_trace(next_shift, covariance),
        )
        return image, change, free_energy

    def _mean_trace(self, matrices: Complex, covariance: Complex) -> float:
        traces = np.einsum("qab,qba->q", matrices, covariance).real
        return float(traces @ self._weights / self._weights.sum())

    def solve(self, temperature: float, start: Array | None = None) -> _Solution:
        """Iterate at one temperature from a first guess of the correction."""
        settings = self._settings
        second = self._force_constants.second
        x = np.zeros_like(second) if start is None else np.array(start, dtype=float)
        mixer = AndersonMixer(settings.step, settings.history)
        shift, modes = self.at(x)
        # An imaginary mode first counts as one of its absolute frequency. Lowering this bound
        # step by step leads to the one solution above it; |ω| kept throughout would also accept
        # solutions with imaginary modes.
        floor = max(settings.floor, -modes.minimum)
        count = 0
        while True:
            count += 1
            image, residual, free_energy = self.iterate(shift, modes, temperature, floor)
            settled = floor == settings.floor and residual < settings.tolerance
            if settled or count >= settings.max_iterations:
                break
            proposed = mixer.next(x, image)
            x, shift, modes = self._cautious(x, modes.minimum, proposed)
            if floor > settings.floor:
                floor = max(settings.floor, FLOOR_DECAY * floor)
                mixer.restart()
        logger.info(
            "loop at %g K: %d iterations, last change %.2g THz, lowest frequency %.3f THz",
            temperature, count, residual, modes.minimum,
        )  # fmt: skip
        return _Solution(x, modes, free_energy, count, residual)

    def _cautious(
        self, x: Array, minimum: float, proposed: Array
    ) -> tuple[Array, Complex, PointModes]:
        """Shorten a step that would lower the softest mode too much at once.

        Mean square displacements diverge where a frequency vanishes, so that an extrapolation
        across that point leads nowhere.
        """
        shift, modes = self.at(proposed)
        for _ in range(LARGEST_BACKTRACK):
            if minimum < self._settings.floor or modes.minimum > SOFTENING_LIMIT * minimum:
                break
            proposed = 0.5 * (x + proposed)
            shift, modes = self.at(proposed)
        return proposed, shift, modes

    def result(self, temperature: float, solution: _Solution) -> RenormalizedForceConstants:
        """Return the public record of a solution, with its flags."""
        settings, lattice = self._settings, self._lattice
        before, after = self.harmonic, solution.modes
        second = np.asarray(self._force_constants.second + solution.correction)
        n_before = before.count_below(-IMAGINARY_LIMIT)
        # Where modes were imaginary, one that only the floor holds up is not stabilised either.
        n_floored = after.count_below(settings.floor)
        limit = settings.floor if n_before else -IMAGINARY_LIMIT
        n_after = after.count_below(limit)
        converged = solution.residual < settings.tolerance
        softest = after if n_after else before
        at_commensurate = self._at_commensurate(solution.correction)
        only_between = n_after > 0 and at_commensurate.count_below(limit) == 0
        flags = [
            stability_flag(
                temperature, n_before, n_after, before.n_modes,
                (before.minimum, after.minimum), where=_softest(softest), only_between=only_between,
            ),
            convergence_flag(
                temperature, solution.residual, settings.tolerance, solution.n_iterations
            ),
            *sum_rule_flags(
                self._force_constants.second, second, lattice.transposed(second)
            ),
            *self._other_flags(n_floored, n_after),
        ]  # fmt: skip
        problem = next((flag for flag in flags if flag.severity == "invalid"), None)
        if settings.unstable == "error" and problem is not None:
            raise PhysicsError(
                problem.message + ".",
                "Frequencies of such a solution have no meaning.",
                "Ask for higher temperatures, or start from the structure the crystal goes to.",
            )
        return RenormalizedForceConstants(
            temperature=temperature,
            force_constants=replace(self._force_constants, second=second),
            variant="loop",
            free_energy=solution.free_energy,
            n_iterations=solution.n_iterations,
            converged=converged,
            residual=float(solution.residual),
            q_points=self._commensurate,
            frequencies_before=np.sort(self._at_commensurate(None).frequencies, axis=1),
            frequencies_after=np.sort(at_commensurate.frequencies, axis=1),
            minimum_before=before.minimum,
            minimum_after=after.minimum,
            n_imaginary_before=n_before,
            n_imaginary_after=n_after,
            n_modes=before.n_modes,
            mesh=settings.mesh,
            flags=tuple(flags),
        )

    def _other_flags(self, n_floored: int, n_after: int) -> list[QualityFlag]:
        share = self._contraction.folded_share
        flags = [
            check_below(
                "fourth_order_within_supercell",
                share,
                FOLDED_LIMIT,
                "fourth-order clusters that reach beyond the second-order supercell are up to "
                f"{share:.1%} of the largest one; they are folded back",
            )
        ]
        if not n_after:
            flags.append(
                check_below(
                    "modes_at_floor",
                    float(n_floored),
                    0.0,
                    f"{n_floored} modes lie below {self._settings.floor:g} THz and count as if "
                    "they had that frequency in mean square displacements",
                )
            )
        return flags

    def _at_commensurate(self, correction: Array | None) -> PointModes:
        points = self._commensurate
        matrices = self._bare_commensurate
        if correction is not None:
            matrices = matrices + self._lattice.correction_matrices(correction, points)
        return solve_points(matrices, points, np.ones(len(points)), self._lattice.masses)


def _first_order_change(modes: PointModes, change: Complex, floor: float) -> float:
    """Return the largest |Δω| = |e†ΔD e| / 2ω, in THz."""
    vectors = modes.vectors
    shifts = np.einsum("qas,qas->qs", vectors.conj(), change @ vectors).real
    frequencies = np.maximum(np.abs(modes.frequencies), floor)
    shifts = shifts * THZ_PER_SQRT_EV_A2_AMU**2 / (2.0 * frequencies)
    return float(np.abs(shifts[~modes.rigid]).max())


def _softest(modes: PointModes) -> str:
    """Name the softest mode."""
    frequencies = np.where(modes.rigid, np.inf, modes.frequencies)
    point, mode = np.unravel_index(int(np.argmin(frequencies)), frequencies.shape)
    q = ", ".join(f"{x:.3g}" for x in modes.q_points[point])
    branch = int((frequencies[point] < frequencies[point, mode]).sum()) + 1
    return f"branch {branch} at q = ({q})"

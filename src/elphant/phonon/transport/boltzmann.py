r"""Solution of the linearised Boltzmann equation by conjugate gradients.

.. math:: \Xi\, \mathbf g = \mathbf b, \qquad
   \mathbf b_\lambda = \mathbf v_\lambda \hbar\omega_\lambda \frac{n(n+1)}{k_B T^2}, \qquad
   \kappa^{ab} = \frac{k_B T^2}{N V} \sum_\lambda b^a_\lambda g^b_\lambda .

The operator is positive semidefinite, so that the conductivity is the maximum of a functional
(J. M. Ziman, Electrons and Phonons (1960), Sec. 7.7): every iterate gives a lower bound, which
grows from the one of the relaxation-time approximation (G. Fugallo, M. Lazzeri, L. Paulatto and
F. Mauri, Phys. Rev. B 88, 045430 (2013)).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.errors import PhysicsError, ResourceError
from elphant.phonon.scattering.modes import MeshModes
from elphant.phonon.scattering.operator import CollisionOperator, axis_groups
from elphant.phonon.transport.relaxation_time import spread_conductivity, star_sum
from elphant.quality import QualityFlag, check_below
from elphant.units import BOLTZMANN_EV, PLANCK_EV_PS, W_PER_MK_PER_EV_PER_K_A_PS

Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

#: Relative residual at which the iteration stops.
TOLERANCE = 1e-10

#: Eigenvalues of the scaled operator below this belong to its null space.
NULL_EIGENVALUE = 1e-8

#: Largest matrix that is diagonalised where the operator is not positive definite.
DIRECT_LIMIT = 20000

#: Relative asymmetry of the operator above which the result carries a warning. Gaussians give
#: rounding, or 1e-2 where the third order lacks permutation symmetry; tetrahedra on Si 0.4.
ASYMMETRY_LIMIT = 0.5


class IndefiniteOperatorError(PhysicsError):
    """The collision operator is not positive definite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisSolution:
    """How the equation was solved for directions that are coupled by symmetry.

    Attributes
    ----------
    axes : tuple of int
    method : {"conjugate_gradient", "pseudo_inverse"}
    iterations : int
    residual : float
        Norm of the residual relative to that of the drive.
    bounds : tuple of float, W m⁻¹ K⁻¹
        Lower bound of the conductivity (mean of the diagonal over the axes) after each iteration,
        without the spread of degenerate sets. The first is that of the relaxation-time solution.
    smallest_eigenvalue : float
        Estimate of the smallest eigenvalue of the scaled operator that the drive excites.
    """

    axes: tuple[int, ...]
    method: str
    iterations: int
    residual: float
    bounds: tuple[float, ...]
    smallest_eigenvalue: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoltzmannSolution:
    """Solution at one temperature.

    Attributes
    ----------
    temperature : float, K
    response : ndarray, (n_irreducible, n_modes, 3)
        g, in Å/K: the occupations change by ``-n (n + 1) g · grad T``.
    mode_conductivity : ndarray, (n_irreducible, n_modes, 3, 3) W m⁻¹ K⁻¹
        Summed over the stars, the spread of degenerate sets included.
    conductivity : ndarray, (3, 3) W m⁻¹ K⁻¹
        Sum of the mode conductivities divided by the number of mesh points.
    axes : tuple of AxisSolution
    n_left_out : int
        Modes of the whole mesh that move but are not scattered, and are left out.
    flags : tuple of QualityFlag
    """

    temperature: float
    response: Array
    mode_conductivity: Array
    conductivity: Array
    axes: tuple[AxisSolution, ...]
    n_left_out: int
    flags: tuple[QualityFlag, ...] = ()

    def __post_init__(self) -> None:
        for name, shape in (
            ("response", (None, None, 3)),
            ("mode_conductivity", (None, None, 3, 3)),
            ("conductivity", (3, 3)),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape))

    @property
    def positive(self) -> bool:
        """Whether no direction of negative entropy production was met."""
        return all(axis.method == "conjugate_gradient" for axis in self.axes)


def heat_drive(modes: MeshModes, temperature: float) -> Array:
    """Return ``v ħω n (n + 1) / (k_B T²)``, (n_irreducible, n_modes, 3) in Å ps⁻¹ K⁻¹."""
    frequencies = modes.irreducible_frequencies
    occupation = modes.thermal_amplitudes(temperature) ** 2
    factor = PLANCK_EV_PS * frequencies * occupation / (BOLTZMANN_EV * temperature**2)
    return np.asarray(factor[..., None] * modes.irreducible_velocities)


def solve_bte(
    operator: CollisionOperator,
    drive: Array | None = None,
    *,
    tolerance: float = TOLERANCE,
    max_iterations: int = 1000,
    direct_limit: int = DIRECT_LIMIT,
    refuse_indefinite: bool = False,
) -> BoltzmannSolution:
    """Solve the Boltzmann equation.

    Directions that the symmetry does not couple are solved one by one.

    Parameters
    ----------
    operator : CollisionOperator
    drive : ndarray, (n_irreducible, n_modes, 3), optional
        Default: :func:`heat_drive`.
    tolerance : float
        Relative residual at which to stop, in the scaled variables.
    max_iterations : int
    direct_limit : int
        Largest matrix to be diagonalised if the operator turns out not to be positive definite.
    refuse_indefinite : bool
        Raise in that case instead.

    Raises
    ------
    IndefiniteOperatorError
        If the operator is not positive definite and that is refused.
    ResourceError
        If it is not, and is larger than that.
    """
    modes, temperature = operator.modes, operator.temperature
    mesh = modes.mesh
    drive = heat_drive(modes, temperature) if drive is None else np.asarray(drive, dtype=float)
    drive = operator.project(drive)
    scale = operator.scale[..., None]
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0.0)
    # w^1/2 D^-1/2 b; only modes with a scale are left in the projected drive.
    right = (drive * mesh.weights[:, None, None] * inverse).reshape(-1, 3).T
    unit = W_PER_MK_PER_EV_PER_K_A_PS * BOLTZMANN_EV * temperature**2
    unit /= mesh.n_points * modes.volume
    y = np.zeros_like(right)
    solutions, flags = [], []
    for axes in axis_groups(mesh):
        chosen = list(axes)
        solver = _ConjugateGradients(operator, axes, tolerance, max_iterations)
        solved, solution = solver.solve(right[chosen], unit / len(axes))
        if solved is None:
            if refuse_indefinite:
                raise IndefiniteOperatorError(
                    f"the collision operator at {temperature:g} K is not positive definite.",
                    "A conductivity would not be a maximum of the entropy production.",
                    "Draw more processes, or use a Gaussian instead of tetrahedra.",
                )
            solved, solution, flag = _pseudo_inverse(
                operator, axes, right[chosen], solution, direct_limit
            )
            flags.append(flag)
        elif solution.residual > tolerance:
            flags.append(_not_converged(solution, tolerance, temperature))
        y[chosen] = solved
        solutions.append(solution)
    response = y.T.reshape(drive.shape) * inverse
    products = drive[..., :, None] * response[..., None, :]
    products = 0.5 * (products + products.swapaxes(-1, -2))
    mode = unit * mesh.n_points * star_sum(mesh, products)
    mode += spread_conductivity(modes, [temperature], operator.rates[None] * operator.active)[0]
    flags.append(
        check_below(
            "collision_asymmetry",
            operator.asymmetry,
            ASYMMETRY_LIMIT,
            f"The collision operator at {temperature:g} K was symmetric up to a share "
            f"{operator.asymmetry:.1e} before it was symmetrised.",
        )
    )
    if operator.n_left_out:
        flags.append(_unscattered(operator))
    return BoltzmannSolution(
        temperature=temperature,
        response=response,
        mode_conductivity=mode,
        conductivity=mode.sum(axis=(0, 1)) / mesh.n_points,
        axes=tuple(solutions),
        n_left_out=operator.n_left_out,
        flags=tuple(flags),
    )


class _ConjugateGradients:
    """Conjugate gradients for one set of coupled directions."""

    def __init__(
        self, operator: CollisionOperator, axes: tuple[int, ...], tolerance: float, limit: int
    ) -> None:
        self._operator, self._axes = operator, axes
        self._tolerance, self._limit = tolerance, limit

    def solve(self, right: Array, unit: float) -> tuple[Array | None, AxisSolution]:
        """Return the solution, or None where the operator is not positive definite."""
        y, residual = np.zeros_like(right), np.array(right)
        direction = np.array(right)
        square = start = _dot(residual, residual)
        steps: list[float] = []
        ratios: list[float] = []
        values: list[float] = []
        found = True
        while len(steps) < self._limit and square > self._tolerance**2 * start:
            image = self._operator.scaled(direction, self._axes)
            curvature = _dot(direction, image)
            if not steps:
                # 2 b·y - y·Ay of the relaxation-time solution y = b.
                values.append(2.0 * start - curvature)
            if curvature <= NULL_EIGENVALUE * _dot(direction, direction):
                found = False
                break
            step = square / curvature
            y += step * direction
            residual -= step * image
            before, square = square, _dot(residual, residual)
            steps.append(step)
            ratios.append(square / before)
            direction *= ratios[-1]
            direction += residual
            values.append(_dot(right, y) + _dot(residual, y))
        solution = AxisSolution(
            axes=self._axes,
            method="conjugate_gradient",
            iterations=len(steps),
            residual=float(np.sqrt(square / start)) if start > 0.0 else 0.0,
            bounds=tuple(unit * value for value in values),
            smallest_eigenvalue=_smallest_ritz_value(steps, ratios),
        )
        return (y if found else None), solution


def _dot(x: Array, y: Array) -> float:
    return float(np.vdot(x, y))


def _smallest_ritz_value(steps: list[float], ratios: list[float]) -> float:
    """Return the smallest eigenvalue of the tridiagonal matrix behind conjugate gradients."""
    from scipy.linalg import eigh_tridiagonal

    if not steps:
        return 0.0
    inverse, beta = 1.0 / np.array(steps), np.array(ratios)
    diagonal = inverse.copy()
    diagonal[1:] += beta[:-1] * inverse[:-1]
    values = eigh_tridiagonal(diagonal, np.sqrt(beta[:-1]) * inverse[:-1], eigvals_only=True)
    return float(values[0])


def _pseudo_inverse(
    operator: CollisionOperator,
    axes: tuple[int, ...],
    right: Array,
    failed: AxisSolution,
    limit: int,
) -> tuple[Array, AxisSolution, QualityFlag]:
    """Solve outside the null space by diagonalisation; the flag tells why it was needed."""
    size = right.size
    names = "".join("xyz"[a] for a in axes)
    if size > limit:
        raise ResourceError(
            f"the collision operator at {operator.temperature:g} K (axes {names}) is not positive "
            f"definite, and its {size} x {size} elements are too many to diagonalise.",
            "A finite mesh, tetrahedra or imaginary modes can make it so.",
            "Use a Gaussian or adaptive broadening, a finer mesh, or the relaxation-time solver.",
        )
    values, vectors = np.linalg.eigh(operator.dense(axes))
    kept = np.abs(values) > NULL_EIGENVALUE
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
    y = (vectors @ (inverse * (vectors.T @ right.ravel()))).reshape(right.shape)
    residual = np.linalg.norm(operator.scaled(y, axes) - right) / np.linalg.norm(right)
    negative = int((values < -NULL_EIGENVALUE).sum())
    flag = QualityFlag(
        name="collision_matrix_not_positive",
        severity="warning",
        message=f"The collision operator at {operator.temperature:g} K is not positive definite "
        f"along {names}: {negative} of {size} eigenvalues are negative (down to {values[0]:.1e} "
        "of the rates). Its pseudo-inverse was used; a finer mesh or a Gaussian may help.",
        value=negative / size,
        threshold=0.0,
    )
    logger.warning(flag.message)
    solution = AxisSolution(
        axes=axes,
        method="pseudo_inverse",
        iterations=failed.iterations,
        residual=float(residual),
        bounds=failed.bounds,
        smallest_eigenvalue=float(values[0]),
    )
    return y, solution, flag


def _not_converged(solution: AxisSolution, tolerance: float, temperature: float) -> QualityFlag:
    return QualityFlag(
        name="bte_not_converged",
        severity="warning",
        message=f"The Boltzmann equation at {temperature:g} K stopped at the relative residual "
        f"{solution.residual:.1e} after {solution.iterations} iterations.",
        value=solution.residual,
        threshold=tolerance,
    )


def _unscattered(operator: CollisionOperator) -> QualityFlag:
    modes = operator.modes
    total = modes.mesh.n_points * modes.n_modes
    return QualityFlag(
        name="unscattered_modes",
        severity="warning",
        message=f"{operator.n_left_out} of {total} modes have no scattering on this mesh and are "
        "left out; use a finer mesh or a Gaussian width.",
        value=operator.n_left_out / total,
        threshold=0.0,
    )

r"""Response of carriers to a field and to a temperature gradient, at three levels.

.. math:: \text{serta: } \varphi = b / D, \qquad
   \text{mrta: } \varphi_\lambda = b_\lambda \Big/ \sum_{l'} K_{\lambda l'}
      \frac{s_{l'}}{s_\lambda} (1 - w_{\lambda l'}), \qquad
   \text{bte: } (D - K)\, \varphi = b,
   \qquad b = v\, s

with :math:`w = v \cdot v' / |v|^2` ("velocity") or :math:`w = \hat v \cdot \hat v'` ("directions").
The variants of mrta agree only for elastic scattering in isotropic bands. The heat drive is
:math:`b\,(\varepsilon - \varepsilon_r)` around a reference energy :math:`\varepsilon_r`.

The operator is positive semidefinite for kernels without negative elements, so that the Boltzmann
equation is solved by conjugate gradients (J. M. Ziman, Electrons and Phonons (1960), Sec. 7.7; the
preconditioner is D).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.electron.transport.collision import CollisionOperator
from elphant.electron.transport.state_space import StateSpace
from elphant.quality import QualityFlag, check_below
from elphant.units import BOLTZMANN_EV

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Level = Literal["serta", "mrta", "bte"]
Variant = Literal["velocity", "directions"]

#: cm²/(V s) of Å²/(V ps).
CM2_PER_VS_PER_A2_PER_V_PS = 1e-4

#: Relative residual at which the iteration stops.
TOLERANCE = 1e-11

#: Curvatures of the scaled operator below this belong to its null space.
NULL_CURVATURE = 1e-9

#: Largest matrix that is diagonalised where the operator is not positive definite.
DIRECT_LIMIT = 4000

#: Relative asymmetry of the kernel above which the result carries a warning.
ASYMMETRY_LIMIT = 0.1

#: Share of the drive on the null vector (a drift of all carriers) above which there is a warning.
DRIFT_LIMIT = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class TransportSolution:
    """Response of one carrier at one temperature and chemical potential.

    All amplitudes are relative to the largest s (``operator.amplitudes``), so that nothing
    underflows for few carriers; mobilities do not depend on this scale.

    Attributes
    ----------
    level : {"serta", "mrta", "bte"}
    variant : {"velocity", "directions"} or None
        Of the momentum relaxation time.
    operator : CollisionOperator
    rates : ndarray, (n,) ps⁻¹
        That divide the drive: D for serta and bte, momentum relaxation rates for mrta.
    active : ndarray of bool, (n,)
        States that take part.
    response : ndarray, (n, 3) Å
        φ of the field.
    heat_response : ndarray, (n, 3) Å eV
        φ of the energy drive around ``operator.reference_energy``.
    iterations : int
    residual : float
        Largest relative residual of the field over the directions.
    positive : bool
        Whether no direction of negative entropy production was met.
    flags : tuple of QualityFlag
    """

    level: Level
    variant: Variant | None
    operator: CollisionOperator
    rates: Array
    active: Bools
    response: Array
    heat_response: Array
    iterations: int = 0
    residual: float = 0.0
    positive: bool = True
    flags: tuple[QualityFlag, ...] = ()

    def __post_init__(self) -> None:
        n = self.operator.space.n_states
        for name, shape, dtype in (
            ("rates", (n,), float),
            ("active", (n,), bool),
            ("response", (n, 3), float),
            ("heat_response", (n, 3), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    @property
    def space(self) -> StateSpace:
        """States of the solution."""
        return self.operator.space

    @property
    def temperature(self) -> float:
        """Temperature, K."""
        return self.operator.temperature

    @property
    def chemical_potential(self) -> float:
        """Chemical potential, eV."""
        return self.operator.chemical_potential

    @property
    def density(self) -> float:
        """Density of carriers in these states, cm⁻³."""
        return self.space.density(self.chemical_potential, self.temperature)

    def _per_carrier(self) -> float:
        """g_s s_max² / (k_B T n Ω): from relative sums to sums per carrier, 1/eV."""
        space, op = self.space, self.operator
        log_carriers = space.log_carriers(op.chemical_potential, op.temperature)
        scale = float(np.exp(2.0 * op.log_scale - log_carriers))
        return space.spin_degeneracy * scale / (BOLTZMANN_EV * op.temperature)

    def _spread(self) -> Array:
        """Contribution of degenerate sets beyond their mean velocity, (n, 3, 3) Å²/ps."""
        s, rates = self.operator.amplitudes, self.rates
        lifetime = np.divide(s**2, rates, out=np.zeros_like(rates), where=self.active)
        return np.asarray(self.space.velocity_spread * lifetime[:, None, None])

    def _moment(self, drive: Array, response: Array, spread: Array) -> Array:
        """Return per state, (n, 3, 3): w (b x φ + spread), averaged over stars, symmetric."""
        products = drive[:, :, None] * response[:, None, :] + spread
        products = 0.5 * (products + products.swapaxes(1, 2))
        return self.space.star_mean(products) * self.space.weights[:, None, None]

    @cached_property
    def contributions(self) -> Array:
        """Contribution of each star to the mobility, (n, 3, 3) cm²/(V s); their sum is it."""
        moment = self._moment(self.operator.drive, self.response, self._spread())
        return moment * (self._per_carrier() * CM2_PER_VS_PER_A2_PER_V_PS)

    @property
    def mobility(self) -> Array:
        """Drift mobility, (3, 3) cm²/(V s): of the density of the same states."""
        return np.asarray(self.contributions.sum(axis=0))

    @property
    def degenerate_mobility(self) -> Array:
        """Part of the mobility from spreads of velocity in degenerate sets, (3, 3) cm²/(V s).

        What is not the mean velocity of a set relaxes with the rates of this level, without
        in-scattering also in bte: its single states have no meaning of their own.
        """
        none = np.zeros_like(self.response)
        moment = self._moment(none, none, self._spread()).sum(axis=0)
        return np.asarray(moment * (self._per_carrier() * CM2_PER_VS_PER_A2_PER_V_PS))

    @cached_property
    def moments(self) -> Array:
        r"""Transport moments per carrier around the reference energy, (3, 3, 3).

        :math:`M_n = g_s (k_B T\, n\Omega)^{-1} \sum_\lambda w\, b_m \varphi_{n-m}` in
        Å² eVⁿ/(eV ps) for n = 0, 1, 2.
        """
        op = self.operator
        e = self.space.energies - op.reference_energy
        heat = op.drive * e[:, None]
        spread = self._spread()
        moments = [
            self._moment(op.drive, self.response, spread),
            0.5 * self._moment(heat, self.response, spread * e[:, None, None])
            + 0.5 * self._moment(op.drive, self.heat_response, spread * e[:, None, None]),
            self._moment(heat, self.heat_response, spread * e[:, None, None] ** 2),
        ]
        return np.array([m.sum(axis=0) for m in moments]) * self._per_carrier()

    @property
    def effective_time(self) -> Array:
        """Return the relaxation time that would give the same mobility, (3,) ps along x, y, z.

        NaN along an axis without velocities.
        """
        op, space = self.operator, self.space
        squares = op.drive[:, :, None] * op.drive[:, None, :]
        squares = squares + space.velocity_spread * (op.amplitudes**2)[:, None, None]
        total = (space.star_mean(squares) * space.weights[:, None, None]).sum(axis=0)
        own = self.moments[0] / self._per_carrier()
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.diag(own) / np.diag(total))


def solve_serta(operator: CollisionOperator) -> TransportSolution:
    """Solve in the self-energy relaxation time approximation: no in-scattering."""
    return _relaxation_time(operator, operator.rates, "serta", None)


def solve_mrta(operator: CollisionOperator, variant: Variant = "velocity") -> TransportSolution:
    """Solve in the momentum relaxation time approximation.

    Parameters
    ----------
    operator : CollisionOperator
    variant : {"velocity", "directions"}
        Weight of a collision: 1 - v·v'/v², or one minus the cosine between v and v'.
    """
    rates = momentum_rates(operator, variant)
    return _relaxation_time(operator, rates, "mrta", variant)


def momentum_rates(operator: CollisionOperator, variant: Variant = "velocity") -> Array:
    """Return momentum relaxation rates, (n,) ps⁻¹; may be negative with inelastic scattering.

    States without velocity have the rate of scattering out.
    """
    v = operator.space.velocities
    speed = np.linalg.norm(v, axis=1)
    moving = speed > 1e-9 * speed.max(initial=0.0)
    unit = np.divide(v, speed[:, None], out=np.zeros_like(v), where=moving[:, None])
    if variant == "velocity":
        back = np.einsum("na,na->n", unit, operator.weighted_in_scattering(v))
        back = np.divide(back, speed, out=np.zeros_like(back), where=moving)
    elif variant == "directions":
        back = np.einsum("na,na->n", unit, operator.weighted_in_scattering(unit))
    else:
        raise ValueError(f"unknown variant {variant!r}")
    return np.asarray(operator.rates - back)


def _relaxation_time(
    operator: CollisionOperator, rates: Array, level: Level, variant: Variant | None
) -> TransportSolution:
    largest = np.abs(operator.rates).max(initial=0.0)
    active = operator.active & (rates > 1e-14 * largest)
    time = np.divide(1.0, rates, out=np.zeros_like(rates), where=active)
    e = operator.space.energies - operator.reference_energy
    response = operator.drive * time[:, None]
    flags = _state_flags(operator, active, rates, level)
    return TransportSolution(
        level=level,
        variant=variant,
        operator=operator,
        rates=rates,
        active=active,
        response=response,
        heat_response=response * e[:, None],
        positive=bool((rates[operator.active] > 0.0).all()),
        flags=flags,
    )


def _state_flags(
    operator: CollisionOperator, active: Bools, rates: Array, level: Level
) -> tuple[QualityFlag, ...]:
    """Return flags about states that are left out, measured by their share in the free drive."""
    weight = operator.space.weights * np.square(operator.drive).sum(axis=1)
    total = float(weight.sum())
    flags = [
        check_below(
            "collision_asymmetry",
            operator.asymmetry,
            ASYMMETRY_LIMIT,
            "The collision kernel was symmetric up to a relative part "
            f"{operator.asymmetry:.1e} before it was symmetrised.",
        )
    ]
    left_out = ~operator.active
    share = float(weight[left_out].sum()) / total if total > 0.0 else 0.0
    if left_out.any():
        flags.append(
            QualityFlag(
                name="unscattered_states",
                severity="warning" if share > 1e-6 else "info",
                message=f"{int(left_out.sum())} of {len(rates)} irreducible states have no "
                f"scattering and are left out; they hold {share:.1e} of the current without "
                "collisions. A finer mesh or a wider broadening helps.",
                value=share,
                threshold=1e-6,
            )
        )
    negative = operator.active & ~active if level != "bte" else operator.active & (rates <= 0.0)
    if negative.any():
        share = float(weight[negative].sum()) / total if total > 0.0 else 0.0
        kind = "momentum relaxation" if level == "mrta" else "scattering"
        flags.append(
            QualityFlag(
                name="non_positive_rates",
                severity="warning",
                message=f"{int(negative.sum())} of {len(rates)} irreducible states, with "
                f"{share:.1e} of the current without collisions, have {kind} rates that are not "
                "positive"
                + (" and are left out." if level != "bte" else ": this kernel is no scattering."),
                value=share,
                threshold=0.0,
            )
        )
    return tuple(flags)


def solve_bte(
    operator: CollisionOperator,
    *,
    tolerance: float = TOLERANCE,
    max_iterations: int = 2000,
    direct_limit: int = DIRECT_LIMIT,
) -> TransportSolution:
    """Solve the linearised Boltzmann equation.

    Directions that the symmetry does not couple are solved one by one. A kernel with negative
    parts ("remaining" scattering) can make the operator indefinite: it is then solved outside its
    null space (by diagonalisation, or by MINRES for large sizes) and flagged.

    Parameters
    ----------
    operator : CollisionOperator
    tolerance : float
        Relative residual in the variables scaled by the square roots of weights and rates.
    max_iterations : int
    direct_limit : int
        Largest matrix to be diagonalised if the operator is not positive definite.
    """
    space = operator.space
    scaled = _ScaledOperator(operator)
    e = space.energies - operator.reference_energy
    responses = np.zeros((2, space.n_states, 3))
    flags = list(_state_flags(operator, operator.active, operator.rates, "bte"))
    most, worst, positive, drift = 0, 0.0, True, 0.0
    for group in space.axis_groups:
        for moment, factor in enumerate((np.ones_like(e), e)):
            right = scaled.right_side(operator.drive * factor[:, None], group)
            removed = scaled.remove_drift(right, group)
            drift = max(drift, removed if moment == 0 else 0.0)
            result = _conjugate_gradients(scaled, right, group, tolerance, max_iterations)
            if result.y is None:
                result = _indefinite(scaled, right, group, direct_limit, max_iterations)
                positive = False
            assert result.y is not None
            responses[moment][:, list(group)] = scaled.field(result.y)
            most = max(most, result.iterations)
            if moment == 0:
                worst = max(worst, result.residual)
    if not positive:
        flags.append(_indefinite_flag(operator))
    elif worst > 10.0 * tolerance:
        flags.append(
            QualityFlag(
                name="bte_not_converged",
                severity="warning",
                message=f"The Boltzmann equation at {operator.temperature:g} K stopped at the "
                f"relative residual {worst:.1e} after {most} iterations.",
                value=worst,
                threshold=tolerance,
            )
        )
    if drift > DRIFT_LIMIT:
        flags.append(
            QualityFlag(
                name="drifting_carriers",
                severity="warning",
                message=f"A share {drift:.1e} of the drive moves all states alike, which no "
                "collision stops, and was taken out; a complete Brillouin zone has none.",
                value=drift,
                threshold=DRIFT_LIMIT,
            )
        )
    return TransportSolution(
        level="bte",
        variant=None,
        operator=operator,
        rates=operator.rates,
        active=operator.active,
        response=responses[0],
        heat_response=responses[1],
        iterations=most,
        residual=worst,
        positive=positive,
        flags=tuple(flags),
    )


class _ScaledOperator:
    """The operator in ``y = sqrt(w |D|) φ``, in which its diagonal part is plus or minus one."""

    def __init__(self, operator: CollisionOperator) -> None:
        self.operator = operator
        active = operator.active
        scale = np.sqrt(operator.space.weights * np.abs(operator.rates))
        self._inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=active)
        self._signs = np.sign(operator.rates) * active

    def right_side(self, drive: Array, axes: tuple[int, ...]) -> Array:
        weighted = drive * self.operator.space.weights[:, None]
        return np.asarray((weighted * self._inverse[:, None]).T[list(axes)])

    def field(self, y: Array) -> Array:
        return np.asarray((y * self._inverse).T)

    def apply(self, y: Array, axes: tuple[int, ...]) -> Array:
        gain = self.operator.kernel.times(y * self._inverse, axes)
        return np.asarray(self._signs * y - gain * self._inverse)

    def remove_drift(self, right: Array, axes: tuple[int, ...]) -> float:
        """Take constant fields that no collision changes out of the drive; return their share.

        There are none where inversion or time reversal maps states on each other.
        """
        scale = np.divide(1.0, self._inverse, out=np.zeros_like(self._inverse),
                          where=self._inverse > 0.0)  # fmt: skip
        start, removed = _dot(right, right), 0.0
        for i in range(len(axes)):
            vector = np.zeros_like(right)
            vector[i] = scale * self.operator.amplitudes
            vector /= np.sqrt(_dot(vector, vector))
            if np.abs(self.apply(vector, axes)).max() < 1e-10:
                overlap = _dot(vector, right)
                right -= overlap * vector
                removed += overlap**2
        return float(np.sqrt(removed / start)) if start > 0.0 else 0.0

    def dense(self, axes: tuple[int, ...]) -> Array:
        """Return the matrix on the components ``axes`` of all states."""
        m, n = len(axes), self.operator.space.n_states
        result = np.zeros((m, n, m, n))
        for (a, b), block in self.operator.kernel.blocks.items():
            if a in axes and b in axes:
                i, j = axes.index(a), axes.index(b)
                matrix = np.asarray(block.todense()) if hasattr(block, "todense") else block
                result[i, :, j] -= matrix * self._inverse[:, None] * self._inverse
                if i != j:
                    result[j, :, i] = result[i, :, j].T
        for i in range(m):
            result[i, :, i] += np.diag(self._signs)
        return result.reshape(m * n, m * n)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Solved:
    y: Array | None
    iterations: int
    residual: float


def _dot(x: Array, y: Array) -> float:
    return float(np.vdot(x, y))


def _conjugate_gradients(
    scaled: _ScaledOperator, right: Array, axes: tuple[int, ...], tolerance: float, limit: int
) -> _Solved:
    """Return the solution; without one where the operator is not positive definite."""
    y, residual = np.zeros_like(right), right.copy()
    direction = right.copy()
    square = start = _dot(right, right)
    steps = 0
    while steps < limit and square > tolerance**2 * start:
        image = scaled.apply(direction, axes)
        curvature = _dot(direction, image)
        if curvature <= NULL_CURVATURE * _dot(direction, direction):
            return _Solved(y=None, iterations=steps, residual=float(np.sqrt(square / start)))
        step = square / curvature
        y += step * direction
        residual -= step * image
        before, square = square, _dot(residual, residual)
        direction *= square / before
        direction += residual
        steps += 1
    relative = float(np.sqrt(square / start)) if start > 0.0 else 0.0
    return _Solved(y=y, iterations=steps, residual=relative)


def _indefinite(
    scaled: _ScaledOperator, right: Array, axes: tuple[int, ...], limit: int, max_iterations: int
) -> _Solved:
    """Solve outside the null space of an operator that is not positive definite."""
    if right.size <= limit:
        values, vectors = np.linalg.eigh(scaled.dense(axes))
        kept = np.abs(values) > NULL_CURVATURE
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
        y = (vectors @ (inverse * (vectors.T @ right.ravel()))).reshape(right.shape)
        iterations = 0
    else:
        from scipy.sparse.linalg import LinearOperator, minres

        operator = LinearOperator(
            (right.size, right.size),
            matvec=lambda x: scaled.apply(x.reshape(right.shape), axes).ravel(),
            dtype=float,
        )
        flat, _ = minres(operator, right.ravel(), rtol=1e-10, maxiter=max_iterations)
        y, iterations = np.asarray(flat).reshape(right.shape), max_iterations
    rest = scaled.apply(y, axes) - right
    norm = _dot(right, right)
    residual = float(np.sqrt(_dot(rest, rest) / norm)) if norm > 0.0 else 0.0
    return _Solved(y=y, iterations=iterations, residual=residual)


def _indefinite_flag(operator: CollisionOperator) -> QualityFlag:
    return QualityFlag(
        name="collision_matrix_not_positive",
        severity="warning",
        message=f"The collision operator at {operator.temperature:g} K is not positive definite: "
        "some deviations of the occupations are not damped. It was solved outside its null space; "
        "the number is not the maximum of an entropy production and may be meaningless.",
    )

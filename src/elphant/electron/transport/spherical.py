r"""One isotropic parabolic band, with polar coupling to one dispersionless mode.

The Fröhlich model: few carriers, mass m, angular frequency ω, coupling α. With :math:`x^2 =
\varepsilon/\hbar\omega` and N the occupation of the mode

.. math:: \frac{1}{\tau_{serta}} = \frac{2\alpha\omega}{x}
          [N \operatorname{asinh} x + (N+1) \operatorname{acosh} x\; \theta(x-1)]

(D. J. Howarth and E. H. Sondheimer, Proc. R. Soc. A 219, 53 (1953), whose equation between
energies that differ by ħω is solved here as a tridiagonal one.) It tells the scale of the mobility
of a polar crystal, and is the exact test of the general solvers: :func:`frohlich_states` gives the
same model as states and a kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gamma, pi, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_banded
from scipy.sparse import csr_array

from elphant.electron.conductivity_mass import Carrier
from elphant.electron.transport.state_space import StateSpace
from elphant.units import (
    BOLTZMANN_EV,
    EV_PER_HARTREE,
    HBAR_EV_PS,
    INVERSE_MASS_PER_EV_A2,
    PLANCK_EV_PS,
)

Array = NDArray[np.float64]
Level = Literal["serta", "mrta", "bte"]

#: Below this x differences of nearly equal terms are replaced by their series.
SMALL_X = 0.05

#: Energies up to this many k_B T and this many quanta above are kept.
REACH_THERMAL, REACH_QUANTA = 45.0, 8


def frohlich_alpha(mass: float, frequency: float, electronic: float, static: float) -> float:
    r"""Return the coupling constant of the Fröhlich model.

    .. math:: \alpha = \sqrt{Ry\, m / \hbar\omega}\, (1/\varepsilon_\infty - 1/\varepsilon_0)

    Parameters
    ----------
    mass : float, m_e
    frequency : float, THz
        Ordinary, of the longitudinal mode.
    electronic, static : float
        Relative permittivities without and with the lattice.
    """
    rydberg = 0.5 * EV_PER_HARTREE
    return sqrt(rydberg * mass / (PLANCK_EV_PS * frequency)) * (1.0 / electronic - 1.0 / static)


def serta_rates(x: ArrayLike, occupation: float) -> Array:
    """Return out-scattering rates in units of αω, for x² the energy over ħω."""
    x = np.asarray(x, dtype=float)
    absorbed = occupation * np.arcsinh(x) / x
    return np.asarray(2.0 * (absorbed + (occupation + 1.0) * _acosh(x) / x))


def mrta_rates(x: ArrayLike, occupation: float) -> Array:
    """Return momentum relaxation rates in units of αω, with the weight 1 - v·v'/v²."""
    x = np.asarray(x, dtype=float)
    large = np.maximum(x, SMALL_X)
    exact = (large * np.sqrt(1.0 + large**2) - np.arcsinh(large)) / large**3
    series = 2.0 / 3.0 - x**2 / 5.0 + 3.0 * x**4 / 28.0 - 5.0 * x**6 / 72.0
    absorbed = occupation * np.where(x < SMALL_X, series, exact)
    above = np.sqrt(np.maximum(x**2 - 1.0, 0.0))
    emitted = (occupation + 1.0) * (x * above + _acosh(x)) / x**3
    return np.asarray(absorbed + emitted)


def _acosh(x: Array) -> Array:
    """Return acosh, accurate near its threshold; zero below."""
    return np.asarray(np.arcsinh(np.sqrt(np.maximum((x - 1.0) * (x + 1.0), 0.0))))


def frohlich_mobility(thermal_ratio: float, level: Level, n_nodes: int = 32) -> float:
    r"""Return the mobility in units of e/(2mαω).

    .. math:: \mu = \frac{2e}{3 m k_B T}
              \frac{\int \varepsilon^{3/2}\, \tau\, e^{-\varepsilon/k_BT}}
              {\int \varepsilon^{1/2}\, e^{-\varepsilon/k_BT}}

    For "bte" :math:`\tau = \varphi / v` from :math:`\varphi / \tau_{serta} = v + K_+ \varphi_{+}
    + K_- \varphi_{-}` between energies that differ by ħω.

    Parameters
    ----------
    thermal_ratio : float
        k_B T over ħω.
    level : {"serta", "mrta", "bte"}
        mrta with the weight 1 - v·v'/v².
    n_nodes : int
        Nodes of the quadrature between multiples of ħω.
    """
    if thermal_ratio <= 0.0:
        raise ValueError(f"k_B T over ħω is {thermal_ratio:g}; expected a positive number")
    occupation = 1.0 / np.expm1(1.0 / thermal_ratio)
    energies, weights = _ladder_nodes(thermal_ratio, n_nodes)
    x = np.sqrt(energies)
    if level == "bte":
        tau = _ladder_response(x, occupation) / x
    elif level in ("serta", "mrta"):
        tau = 1.0 / (serta_rates if level == "serta" else mrta_rates)(x, occupation)
    else:
        raise ValueError(f"unknown level {level!r}")
    integral = float((weights * energies**1.5 * tau * np.exp(-energies / thermal_ratio)).sum())
    return float(4.0 / 3.0 * integral / (thermal_ratio**2.5 * gamma(1.5)))


def _ladder_nodes(thermal_ratio: float, n_nodes: int) -> tuple[Array, Array]:
    """Return energies and weights in ħω, (n_nodes, n_rungs): equal remainders in a row.

    The square root of the remainder is the variable, in which thresholds are analytic.
    """
    t, w = np.polynomial.legendre.leggauss(n_nodes)
    u, w = 0.5 * (t + 1.0), 0.5 * w
    rungs = np.arange(ceil(REACH_THERMAL * thermal_ratio) + REACH_QUANTA)
    energies = u[:, None] ** 2 + rungs
    return energies, np.broadcast_to((2.0 * u * w)[:, None], energies.shape)


def _ladder_response(x: Array, occupation: float) -> Array:
    """Solve the equation between the rungs for v = x, (n_nodes, n_rungs) in 1/αω."""
    gain = _upward(x[:, :-1], occupation)
    # K is symmetric in x φ x': the step down from x' = sqrt(x² + 1) follows from that up from x.
    up, down = gain / x[:, :-1], (occupation + 1.0) / occupation * gain / x[:, 1:]
    result = np.empty_like(x)
    for i, rates in enumerate(serta_rates(x, occupation)):
        bands = np.zeros((3, x.shape[1]))
        bands[0, 1:], bands[1], bands[2, :-1] = -up[i], rates, -down[i]
        result[i] = solve_banded((1, 1), bands, x[i])
    return result


def _upward(x: Array, occupation: float) -> Array:
    """Return x K_+ of absorption from x, in αω."""
    k, k_above = x, np.sqrt(1.0 + x**2)
    return np.asarray(occupation * ((k**2 + k_above**2) / (k * k_above) * np.arcsinh(x) - 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class FrohlichBand:
    """An isotropic parabolic band and one polar mode.

    Attributes
    ----------
    mass : float, m_e
    frequency : float, THz
        Ordinary.
    alpha : float
        Coupling constant.
    """

    mass: float
    frequency: float
    alpha: float

    def __post_init__(self) -> None:
        for name in ("mass", "frequency", "alpha"):
            if getattr(self, name) <= 0.0:
                raise ValueError(f"{name} {getattr(self, name):g} must be positive")

    @property
    def quantum(self) -> float:
        """Energy of the mode, eV."""
        return PLANCK_EV_PS * self.frequency

    @property
    def wave_vector(self) -> float:
        """Wave vector at which the band reaches one quantum, Å⁻¹."""
        return sqrt(2.0 * self.mass * INVERSE_MASS_PER_EV_A2 * self.quantum)

    @property
    def mobility_unit(self) -> float:
        """e/(2mαω) in cm²/(V s)."""
        per_mass = 1.0 / (self.mass * INVERSE_MASS_PER_EV_A2 * HBAR_EV_PS**2)
        return 1e-4 * per_mass / (2.0 * self.alpha * 2.0 * pi * self.frequency)

    def mobility(self, temperature: float, level: Level = "bte") -> float:
        """Return the mobility of few carriers, cm²/(V s)."""
        ratio = BOLTZMANN_EV * temperature / self.quantum
        return frohlich_mobility(ratio, level) * self.mobility_unit


def spherical_states(
    mass: float,
    energies: ArrayLike,
    energy_weights: ArrayLike,
    cosines: ArrayLike,
    cosine_weights: ArrayLike,
    volume: float,
    carrier: Carrier = "electron",
    n_azimuths: int = 4,
) -> StateSpace:
    """Return an isotropic parabolic band as one state per energy and its sphere.

    Parameters
    ----------
    mass : float, m_e
        Positive, also for holes.
    energies : array_like, (n,) eV
        From the edge, which is at zero, into the band.
    energy_weights : array_like, (n,) eV
        Of a quadrature over energies.
    cosines, cosine_weights : array_like, (n_cosines,) or (n, n_cosines)
        Of a quadrature over [-1, 1].
    volume : float, Å³
        Of a cell; cancels.
    carrier : {"electron", "hole"}
        For holes the energies of the states are the negative ones.
    n_azimuths : int
        At least 3, for isotropic tensors.
    """
    energies = np.asarray(energies, dtype=float)
    n = len(energies)
    cosines = np.broadcast_to(np.asarray(cosines, dtype=float), (n, np.shape(cosines)[-1]))
    shares = np.broadcast_to(0.5 * np.asarray(cosine_weights, dtype=float), cosines.shape)
    k = np.sqrt(2.0 * mass * INVERSE_MASS_PER_EV_A2 * energies)
    # Share of the zone: Ω k² (dk/dε) dε / 2π².
    weights = volume * k**3 / (2.0 * energies) * np.asarray(energy_weights) / (2.0 * pi**2)
    sign = 1.0 if carrier == "electron" else -1.0
    along_z = np.diag([0.0, 0.0, 1.0])
    full_weights = np.repeat(weights[:, None] * shares / n_azimuths, n_azimuths, axis=1).ravel()
    images = np.repeat(np.arange(n), cosines.shape[1] * n_azimuths)
    return StateSpace(
        carrier=carrier,
        energies=sign * energies,
        weights=np.asarray(np.bincount(images, weights=full_weights), dtype=float),
        velocities=(sign * 2.0 * energies / (HBAR_EV_PS * k))[:, None] * along_z[2],
        velocity_spread=np.zeros((n, 3, 3)),
        images=images,
        rotations=_to_direction(cosines, n_azimuths),
        volume=volume,
        spin_degeneracy=2,
        full_weights=full_weights,
        projections=np.broadcast_to(along_z, (n, 3, 3)),
    )


def _to_direction(cosines: Array, n_azimuths: int) -> Array:
    """Return rotations of z to all directions, (n n_cosines n_azimuths, 3, 3)."""
    c = np.repeat(cosines.ravel(), n_azimuths)
    s = np.sqrt(np.maximum(1.0 - c**2, 0.0))
    azimuth = np.tile(2.0 * pi * np.arange(n_azimuths) / n_azimuths, cosines.size)
    ca, sa = np.cos(azimuth), np.sin(azimuth)
    zero = np.zeros_like(c)
    rows = [[ca * c, -sa, ca * s], [sa * c, ca, sa * s], [-s, zero, c]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def elastic_kernel(
    space: StateSpace, rates: ArrayLike, angular: ArrayLike | None = None
) -> csr_array:
    """Return the kernel of elastic scattering within each sphere, (n, n_full) ps⁻¹.

    Parameters
    ----------
    space : StateSpace
        From :func:`spherical_states`.
    rates : array_like, (n,) ps⁻¹
        Mean over the sphere where ``angular`` is given; else the rates of scattering out.
    angular : array_like, (n_full,), optional
        Dependence on the direction of the final state; isotropic by default.
    """
    values = np.asarray(rates, dtype=float)[space.images] * space.star_shares
    if angular is not None:
        values = values * np.asarray(angular)
    place = (space.images, np.arange(len(space.images)))
    return csr_array((values, place), shape=(space.n_states, len(space.images)))


def frohlich_states(
    band: FrohlichBand, temperature: float, n_nodes: int = 10, n_cosines: int = 24
) -> tuple[StateSpace, csr_array]:
    r"""Return the model as states and a kernel, for the general solvers.

    .. math:: |g|^2 = \frac{4\pi\alpha}{\Omega\, q^2} \frac{(\hbar\omega)^2}{k_0},
              \qquad \hbar^2 k_0^2 / 2m = \hbar\omega

    Energies are a quadrature between multiples of ħω, directions one in which the forward peak of
    1/q² is smooth.
    """
    ratio = BOLTZMANN_EV * temperature / band.quantum
    reduced, reduced_weights = _ladder_nodes(ratio, n_nodes)
    n_rungs = reduced.shape[1]
    energies = reduced.ravel() * band.quantum
    n = len(energies)
    k = np.sqrt(2.0 * band.mass * INVERSE_MASS_PER_EV_A2 * energies)
    # (k² + k'²)/2kk' - 1 of the pair with the next higher rung measures the width of the peak.
    above = np.sqrt(k**2 + band.wave_vector**2)
    width = (above - k) ** 2 / (2.0 * k * above)
    t, w = np.polynomial.legendre.leggauss(n_cosines)
    # 1 - cos = width (e^u - 1): 1/(1 - cos + width) is constant in u.
    top = np.log1p(2.0 / width)[:, None]
    u = 0.5 * (t + 1.0) * top
    cosines = 1.0 - width[:, None] * np.expm1(u)
    cosine_weights = 0.5 * w * top * width[:, None] * np.exp(u)
    volume = 100.0
    space = spherical_states(
        band.mass,
        energies,
        reduced_weights.ravel() * band.quantum,
        cosines,
        cosine_weights,
        volume,
    )
    per_state = len(space.images) // n
    directions = space.rotations[:, 2, 2].reshape(n, per_state)
    shares = space.star_shares.reshape(n, per_state)
    # Ω k'² (dk'/dε') / 2π², times the coupling without 1/q².
    states = volume * k**3 / (2.0 * energies) / (2.0 * pi**2)
    coupling = 4.0 * pi * band.alpha * band.quantum**2 / (volume * band.wave_vector)
    factor = 2.0 * pi / HBAR_EV_PS * coupling / (2.0 * np.sinh(0.5 / ratio))
    index = np.arange(n).reshape(reduced.shape)
    rows, columns, values = [], [], []
    for start, end in (
        (index[:, :-1].ravel(), index[:, 1:].ravel()),
        (index[:, 1:].ravel(), index[:, :-1].ravel()),
    ):
        square = (
            (k[start] ** 2 + k[end] ** 2)[:, None]
            - 2.0 * (k[start] * k[end])[:, None] * directions[end]
        )  # fmt: skip
        values.append(factor * states[end, None] * shares[end] / square)
        rows.append(np.repeat(start, per_state))
        columns.append((end[:, None] * per_state + np.arange(per_state)).ravel())
    assert n_rungs > 1
    kernel = csr_array(
        (np.concatenate([v.ravel() for v in values]),
         (np.concatenate(rows), np.concatenate(columns))),
        shape=(n, len(space.images)),
    )  # fmt: skip
    return space, kernel

"""Mobility of one carrier on one mesh: scattering, solutions at all levels, shares, validity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from elphant.coupling.attribution import (
    Attribution,
    Response,
    attribute,
    impurity_dissipation,
)
from elphant.coupling.long_range import LongRangeCoupling
from elphant.coupling.scattering import (
    LOWEST_THZ,
    DeltaSettings,
    PairSums,
    ScatteringKernels,
    scattering_kernels,
)
from elphant.coupling.vertex import CouplingVertex
from elphant.electron.transport.collision import CollisionOperator, ReducedKernel
from elphant.electron.transport.impurity import screening_square
from elphant.electron.transport.solution import (
    Level,
    TransportSolution,
    Variant,
    solve_bte,
    solve_mrta,
    solve_serta,
)
from elphant.electron.transport.state_space import StateSpace
from elphant.electron.transport.window import WindowStates
from elphant.phonon.unit_cell_modes import UnitCellPhonons
from elphant.quality import QualityFlag, check_below
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Part = Literal["total", "polar", "remaining"]

#: Kernel of impurities, (n, n_full) ps⁻¹, for one chemical potential and temperature.
ImpurityKernel = Callable[[float, float], csr_array]


@dataclass(frozen=True, slots=True, kw_only=True)
class MobilitySettings:
    """What is to be solved.

    Attributes
    ----------
    temperatures : tuple of float, K
    densities : tuple of float, cm⁻³
    levels : tuple of {"serta", "mrta", "bte"}
    delta : DeltaSettings
    variant : {"velocity", "directions"}
        Of mrta.
    screening : bool
        Free carriers screen the long-range part; kernels then depend on the density.
    attribution : bool
        Compute shares, for which the matrix elements are evaluated a second time.
    lowest_thz : float
        Modes below this frequency scatter nothing.
    """

    temperatures: tuple[float, ...] = (300.0,)
    densities: tuple[float, ...] = (1e16,)
    levels: tuple[Level, ...] = ("serta", "mrta", "bte")
    delta: DeltaSettings = field(default_factory=DeltaSettings)
    variant: Variant = "velocity"
    screening: bool = False
    attribution: bool = True
    lowest_thz: float = LOWEST_THZ


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MobilityEntry:
    """One solution.

    Attributes
    ----------
    temperature : float, K
    density : float, cm⁻³
    part : {"total", "polar", "remaining"}
    solution : TransportSolution
    """

    temperature: float
    density: float
    part: Part
    solution: TransportSolution


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SolutionShares:
    """Attribution of one solution."""

    temperature: float
    density: float
    level: Level
    shares: Attribution


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Validity:
    """How well the picture of particles between collisions holds, along unit vectors.

    Attributes
    ----------
    temperature : float, K
    broadening : ndarray, (n_axes,) eV
        ħ/τ with the effective relaxation time (serta) along each axis.
    mean_free_path : ndarray, (n_axes,) Å
        Thermal velocity along the axis times that time.
    """

    temperature: float
    broadening: Array
    mean_free_path: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CarrierMobility:
    """Everything that was found for one carrier on one mesh.

    Attributes
    ----------
    window : WindowStates
    space : StateSpace
    entries : list of MobilityEntry
    shares : list of SolutionShares
    rates : dict of str to ndarray, (n_temperatures, n) ps⁻¹
        Out-scattering rates by mechanism, at the lowest density.
    validity : list of Validity
    n_pairs : int
    flags : tuple of QualityFlag
    """

    window: WindowStates
    space: StateSpace
    entries: list[MobilityEntry]
    shares: list[SolutionShares]
    rates: dict[str, Array]
    validity: list[Validity]
    n_pairs: int
    flags: tuple[QualityFlag, ...]


def carrier_mobility(
    window: WindowStates,
    vertex: CouplingVertex,
    phonons: UnitCellPhonons,
    long_range: LongRangeCoupling | None,
    settings: MobilitySettings,
    *,
    directions: Array,
    valley: Integers | None = None,
    impurities: ImpurityKernel | None = None,
    observe: Callable[[int, int], None] | None = None,
) -> CarrierMobility:
    """Compute scattering and transport of the states of a window.

    Parameters
    ----------
    window : WindowStates
    vertex : CouplingVertex
    phonons : UnitCellPhonons
    long_range : LongRangeCoupling or None
    settings : MobilitySettings
    directions : ndarray, (n_axes, 3)
        Unit vectors along which the validity is judged.
    valley : ndarray of int, (n_points,), optional
        Valley of each point, for shares within and between valleys.
    impurities : callable, optional
        Kernel of impurities, (n, n_full) ps⁻¹, of a chemical potential (eV) and temperature (K).
    observe : callable, optional
        Told how many of how many initial states are done, in each pass.

    Raises
    ------
    ValueError
        If neither derivatives of H nor a long-range part are given.
    """
    if long_range is None and not vertex.has_short_range:
        raise ValueError("there is neither a short-range nor a long-range coupling")
    space = window.state_space()
    entries: list[MobilityEntry] = []
    shares: list[SolutionShares] = []
    validity: list[Validity] = []
    rates: dict[str, list[Array]] = {}
    flags: dict[str, QualityFlag] = {}
    n_pairs = 0
    for temperatures, densities, screened in _passes(space, long_range, settings):
        sums = PairSums(
            window, vertex, phonons, screened, settings.delta, lowest_thz=settings.lowest_thz
        )
        kernels = scattering_kernels(sums, temperatures, observe)
        n_pairs = max(n_pairs, kernels.n_pairs)
        width = check_width(sums, min(temperatures))
        flags[width.name] = width
        wanted: list[tuple[float, float, TransportSolution, Array | None]] = []
        for index, temperature in enumerate(temperatures):
            folded = _folded(space, kernels, index)
            for density in densities:
                level = space.chemical_potential(density, temperature)
                with_impurities = dict(folded)
                kernel = None if impurities is None else impurities(level, temperature)
                if kernel is not None:
                    with_impurities["impurity"] = ReducedKernel.fold(space, kernel)
                solved = _solutions(space, with_impurities, level, temperature, settings)
                for part, solution in solved:
                    entries.append(
                        MobilityEntry(
                            temperature=temperature, density=density, part=part, solution=solution
                        )
                    )
                    if part == "total":
                        flags |= {flag.name: flag for flag in solution.flags}
                        first = density == settings.densities[0]
                        if settings.attribution and first and solution.level != "mrta":
                            elastic = (
                                None
                                if kernel is None
                                else impurity_dissipation(window, solution, kernel, valley)
                            )
                            wanted.append((temperature, density, solution, elastic))
                if density == settings.densities[0]:
                    for name, part_kernel in with_impurities.items():
                        operator = CollisionOperator(space, part_kernel, level, temperature)
                        rates.setdefault(name, []).append(operator.rates)
                    whole = CollisionOperator(space, _sum(with_impurities), level, temperature)
                    rates.setdefault("total", []).append(whole.rates)
                    validity.append(_validity(solve_serta(whole), temperature, directions))
        if wanted:
            responses = [
                Response(
                    temperature=temperature,
                    amplitudes=solution.operator.amplitudes,
                    response=solution.response,
                    full=solution.level == "bte",
                )
                for temperature, _, solution, _ in wanted
            ]
            found = attribute(sums, responses, valley, observe)
            shares += [
                SolutionShares(
                    temperature=temperature,
                    density=density,
                    level=solution.level,
                    shares=replace(each, impurities=elastic),
                )
                for (temperature, density, solution, elastic), each in zip(
                    wanted, found, strict=True
                )
            ]
    return CarrierMobility(
        window=window,
        space=space,
        entries=entries,
        shares=shares,
        rates={name: np.array(values) for name, values in rates.items()},
        validity=validity,
        n_pairs=n_pairs,
        flags=tuple(flags.values()),
    )


def check_width(sums: PairSums, temperature: float) -> QualityFlag:
    """Return a doubt where the delta functions are wider than the thermal energy."""
    thermal = BOLTZMANN_EV * temperature
    distance = np.abs(sums.energies - sums.window.edge)
    low = distance < max(3.0 * thermal, float(distance.min()))
    mean = float(sums.widths[low].mean()) if low.any() else float(sums.widths.mean())
    return check_below(
        "broadening_width",
        mean / thermal,
        1.0,
        f"Energy is conserved to {1e3 * mean:.0f} meV on average near the band edge; kT is "
        f"{1e3 * thermal:.0f} meV at {temperature:g} K. A finer k mesh narrows it.",
    )


def _passes(
    space: StateSpace, long_range: LongRangeCoupling | None, settings: MobilitySettings
) -> list[tuple[tuple[float, ...], tuple[float, ...], LongRangeCoupling | None]]:
    """Return temperatures, densities and long-range part of each pass over the pairs."""
    if long_range is None or not settings.screening:
        return [(settings.temperatures, settings.densities, long_range)]
    passes: list[tuple[tuple[float, ...], tuple[float, ...], LongRangeCoupling | None]] = []
    for density in settings.densities:
        for temperature in settings.temperatures:
            level = space.chemical_potential(density, temperature)
            wave = screening_square(space, level, temperature)
            passes.append(((temperature,), (density,), replace(long_range, screening=wave)))
    return passes


def _folded(space: StateSpace, kernels: ScatteringKernels, index: int) -> dict[str, ReducedKernel]:
    return {name: ReducedKernel.fold(space, K[index]) for name, K in kernels.parts.items()}


def _sum(kernels: dict[str, ReducedKernel]) -> ReducedKernel:
    first, *others = kernels.values()
    for other in others:
        first = first + other
    return first


def _solutions(
    space: StateSpace,
    kernels: dict[str, ReducedKernel],
    level: float,
    temperature: float,
    settings: MobilitySettings,
) -> list[tuple[Part, TransportSolution]]:
    """Return the solutions of the whole scattering and, where both exist, of its two parts."""
    parts: list[tuple[Part, ReducedKernel]] = [("total", _sum(kernels))]
    if "polar" in kernels:
        parts.append(("polar", kernels["polar"]))
        rest = {name: kernel for name, kernel in kernels.items() if name != "polar"}
        if "short" in rest:
            # The interference belongs to what remains: |g|² less the polar part.
            parts.append(("remaining", _sum({k: v for k, v in rest.items() if k != "impurity"})))
    solved: list[tuple[Part, TransportSolution]] = []
    for part, kernel in parts:
        operator = CollisionOperator(space, kernel, level, temperature)
        for theory in settings.levels:
            if theory == "serta":
                solution = solve_serta(operator)
            elif theory == "mrta":
                solution = solve_mrta(operator, settings.variant)
            else:
                solution = solve_bte(operator)
            solved.append((part, solution))
    return solved


def _validity(solution: TransportSolution, temperature: float, directions: Array) -> Validity:
    """Return ħ/τ and the mean free path of the relaxation-time solution along directions."""
    operator, space = solution.operator, solution.space
    s2 = operator.amplitudes**2
    squares = operator.drive[:, :, None] * operator.drive[:, None]
    squares = squares + space.velocity_spread * s2[:, None, None]
    total = (space.star_mean(squares) * space.weights[:, None, None]).sum(axis=0)
    mean_square = total / float((space.weights * s2).sum())
    # Mobility is e <v v τ> / kT in this mean; the time is what makes it e <v v> τ / kT.
    product = solution.mobility * BOLTZMANN_EV * temperature * 1e4
    speed = np.einsum("xa,ab,xb->x", directions, mean_square, directions)
    ratio = np.einsum("xa,ab,xb->x", directions, product, directions)
    carriers = space.spin_degeneracy * float((space.weights * s2).sum())
    # <..> over f(1-f); the mobility counts carriers: equal without degeneracy.
    log_carriers = space.log_carriers(operator.chemical_potential, temperature)
    ratio = ratio * float(np.exp(log_carriers - 2.0 * operator.log_scale)) / carriers
    tau = np.divide(ratio, speed, out=np.zeros_like(ratio), where=speed > 0.0)
    with np.errstate(divide="ignore"):
        broadening = np.where(tau > 0.0, HBAR_EV_PS / np.maximum(tau, 1e-12), np.inf)
    return Validity(
        temperature=temperature,
        broadening=broadening,
        mean_free_path=np.sqrt(np.maximum(speed, 0.0)) * tau,
    )

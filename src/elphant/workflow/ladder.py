"""The ladder of levels of theory: harmonic or renormalised phonons, three or four of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.config.models import RunConfig
from elphant.errors import ConfigurationError
from elphant.phonon.conductivity import Solver, ThermalConductivity
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.levels import LevelSettings, is_exact
from elphant.phonon.renormalization import RenormalizedForceConstants
from elphant.quality import SEVERITIES, QualityFlag
from elphant.workflow.context import RunContext
from elphant.workflow.potential_source import PotentialSource
from elphant.workflow.settings import fourth_order, level_settings, stochastic_settings
from elphant.workflow.stages.force_constants import ForceConstantsResult
from elphant.workflow.stages.levels import LevelStages, level_stages, relative_error_of
from elphant.workflow.stages.renormalize import (
    loop_stage,
    renormalization_record,
    stochastic_stage,
)

#: Largest difference (THz) between Γ frequencies of loop and stochastic variant beyond their error.
VARIANT_LIMIT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelResult:
    """Conductivity at one level with one solver.

    Attributes
    ----------
    level : str
        ``HA+3ph``, ``HA+3,4ph``, ``SCP+3ph`` or ``SCP+3,4ph``.
    solver : {"rta", "bte"}
    parts : tuple of ThermalConductivity
        One for all temperatures, or one per temperature where the phonons depend on it.
    variant : str or None
        Of the renormalisation.
    """

    level: str
    solver: Solver
    parts: tuple[ThermalConductivity, ...]
    variant: str | None = None

    def temperatures(self) -> Iterator[tuple[ThermalConductivity, int, float]]:
        """Yield (part, index in it, temperature) for every temperature."""
        for part in self.parts:
            for i, temperature in enumerate(part.temperatures):
                yield part, i, float(temperature)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ladder:
    """All levels of a run.

    Attributes
    ----------
    levels : tuple of LevelResult
    renormalizations : tuple of RenormalizedForceConstants
    renormalization_keys : tuple of str
        Addresses of their force constants.
    records : dict of list
        ``renormalization`` and ``four_phonon`` records of ``results.json``.
    backend : {"elphant", "phono3py"}
        The scattering engine.
    degenerate_average : bool
        Whether nothing depends on the basis inside degenerate sets.
    flags : tuple of QualityFlag
    """

    levels: tuple[LevelResult, ...] = ()
    renormalizations: tuple[RenormalizedForceConstants, ...] = ()
    renormalization_keys: tuple[str, ...] = ()
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    backend: str = "elphant"
    degenerate_average: bool = True
    flags: tuple[QualityFlag, ...] = ()

    def reference_results(self) -> dict[str, ThermalConductivity]:
        """Return the results of the first level by solver: harmonic phonons, three-phonon rates."""
        return {x.solver: x.parts[0] for x in self.levels if x.level == "HA+3ph"}

    def result(self, level: str, solver: Solver) -> LevelResult | None:
        """Return one of the levels, or None."""
        return next((x for x in self.levels if (x.level, x.solver) == (level, solver)), None)


def rates_by_channel(
    parts: Sequence[ThermalConductivity],
) -> dict[str, NDArray[np.float64]]:
    """Return rates by process, (n_t, n_q, n_modes) ps⁻¹ each, over all temperatures of a level."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for part in parts:
        shape = part.rates.shape
        three, four = part.rates_three_phonon, part.rates_four_phonon
        channels = {
            "three_phonon": three,
            "isotope": part.rates_isotope,
            "boundary": part.rates_boundary,
        }
        if part.rates_emission is not None:
            channels["three_phonon_emission"] = part.rates_emission
            channels["three_phonon_absorption"] = three - part.rates_emission
        if four is not None:
            channels["four_phonon"] = four.sum(axis=1)
            for i, name in enumerate(("recombination", "redistribution", "splitting")):
                channels[f"four_phonon_{name}"] = four[:, i]
        for name, values in channels.items():
            if values is not None:
                found.setdefault(name, []).append(np.broadcast_to(values, shape))
    return {name: np.concatenate(values) for name, values in found.items()}


@dataclass(slots=True, kw_only=True)
class _Phonons:
    """One set of force constants with the temperatures it serves."""

    prefix: str
    stages: LevelStages
    variant: str | None


def compute_ladder(
    context: RunContext, source: ForceConstantsResult, potential: PotentialSource | None
) -> Ladder:
    """Compute every level that the configuration asks for.

    Parameters
    ----------
    potential : PotentialSource, optional
        For the stochastic variant; None when the run starts from given force constants.

    Notes
    -----
    :func:`check_orders` is called before.
    """
    config = context.config
    primitive = source.force_constants.primitive_lattice
    orders = fourth_order(config)
    settings = level_settings(config, primitive, config.conductivity.temperatures)
    sets = [
        _Phonons(
            prefix="HA",
            stages=level_stages(
                context, source.force_constants, settings, key=source.key, name="ha", orders=orders
            ),
            variant=None,
        )
    ]
    renormalized, checks, flags = _renormalize(context, source, potential)
    for solution, key in renormalized:
        at = level_settings(config, primitive, (solution.temperature,))
        sets.append(
            _Phonons(
                prefix="SCP",
                stages=level_stages(
                    context, solution.force_constants, at, key=key,
                    name=f"scp-{solution.temperature:g}K", orders=orders,
                ),
                variant=solution.variant,
            )
        )  # fmt: skip
    found: dict[tuple[str, Solver], list[ThermalConductivity]] = {}
    variants: dict[str, str | None] = {}
    four_phonon = []
    sampling: dict[str, list[QualityFlag]] = {}
    for phonons in sets:
        stages = phonons.stages
        three = stages.three_phonon()
        sums: list[tuple[str, Any]] = [("3ph", None)]
        converged = True
        if orders.wanted:
            rounds, converged = stages.four_phonon(three)
            sums.append(("3,4ph", rounds))
        for order, rounds in sums:
            level = f"{phonons.prefix}+{order}"
            variants[level] = phonons.variant
            for solver in config.conductivity.solver:
                result = stages.conductivity(three, rounds, solver, config.conductivity.coherence)
                found.setdefault((level, solver), []).append(result)
        if orders.wanted:
            level = f"{phonons.prefix}+3,4ph"
            results = [found[level, solver][-1] for solver in config.conductivity.solver]
            record, flag = _sampling(context, phonons, rounds, converged, results)
            four_phonon.append(record)
            sampling.setdefault(level, []).append(flag)
    levels = tuple(
        LevelResult(level=level, solver=solver, parts=tuple(parts), variant=variants[level])
        for (level, solver), parts in found.items()
    )
    solutions = tuple(solution for solution, _ in (*renormalized, *checks))
    return Ladder(
        levels=levels,
        renormalizations=solutions,
        renormalization_keys=tuple(key for _, key in (*renormalized, *checks)),
        records={
            "renormalization": _renormalization_records(context, solutions),
            "four_phonon": four_phonon,
        },
        flags=(
            *worst_flags(flags),
            *level_flags(levels),
            *(flag for group in sampling.values() for flag in worst_flags(group)),
        ),
    )


def level_flags(levels: Sequence[LevelResult]) -> list[QualityFlag]:
    """Return the worst flag of each name of every level, over temperatures and solvers.

    What several levels say in the same words is said once.
    """
    by_level: dict[str, list[QualityFlag]] = {}
    for level in levels:
        flags = by_level.setdefault(level.level, [])
        flags += [flag for part in level.parts for flag in part.flags]
    found: dict[tuple[str, str], QualityFlag] = {}
    for name, flags in by_level.items():
        for flag in worst_flags(flags):
            if (flag.name, flag.message) in found:
                continue
            words = flag.message if len(by_level) == 1 else f"{name}: {flag.message}"
            found[flag.name, flag.message] = replace(flag, message=words)
    return list(found.values())


def worst_flags(flags: Iterable[QualityFlag]) -> list[QualityFlag]:
    """Return one flag per name, the worst, which also tells how many others are as bad.

    Among flags of one severity the worst is the one with the largest value.
    """

    def badness(flag: QualityFlag) -> tuple[int, float]:
        return SEVERITIES.index(flag.severity), -np.inf if flag.value is None else flag.value

    groups: dict[str, dict[tuple[str, str], QualityFlag]] = {}
    for flag in flags:
        groups.setdefault(flag.name, {}).setdefault((flag.severity, flag.message), flag)
    result = []
    for group in groups.values():
        worst = max(group.values(), key=badness)
        others = sum(flag.severity == worst.severity for flag in group.values()) - 1
        if others and worst.severity != "info":
            worst = replace(worst, message=f"{worst.message} (and {others} more like this)")
        result.append(worst)
    return result


def check_orders(config: RunConfig, constants: ForceConstants) -> None:
    """Check that given force constants allow what is wanted.

    Raises
    ------
    ConfigurationError
        If they lack an order, or the backend cannot use them.
    """
    wanted = []
    if config.conductivity.backend == "phono3py" and constants.third_clusters is not None:
        raise ConfigurationError(
            "phono3py as backend needs the third order of a whole supercell, and these force "
            "constants have it as clusters.",
            "ShengBTE files hold clusters of three atoms.",
            "Use elphant's own engine: --set conductivity.backend=elphant, or leave --preset "
            "phono3py out.",
        )
    if 4 in config.conductivity.orders:
        wanted.append("--orders 3,4")
    if config.renormalization.method == "loop":
        wanted.append("--scp")
    verb = "need" if len(wanted) > 1 else "needs"
    if wanted and constants.fourth is None:
        raise ConfigurationError(
            f"{' and '.join(wanted)} {verb} fourth-order force constants, and these have none.",
            "The files hold second and third order only.",
            "Use a folder with FORCE_CONSTANTS_4TH (elphant writes exchange/shengbte), or start "
            "from a structure and a potential.",
        )


def _renormalize(
    context: RunContext, source: ForceConstantsResult, potential: PotentialSource | None
) -> tuple[
    list[tuple[RenormalizedForceConstants, str]],
    list[tuple[RenormalizedForceConstants, str]],
    list[QualityFlag],
]:
    """Return renormalised phonons with their stage keys, checks of them, and what to doubt."""
    options = context.config.renormalization
    if options.method == "none":
        return [], [], []
    temperatures = options.temperatures or context.config.conductivity.temperatures
    if options.method == "loop":
        solutions = loop_stage(context, source, temperatures)
    else:
        assert potential is not None
        solutions = [stochastic_stage(context, source, t, potential) for t in temperatures]
    flags = [flag for solution, _ in solutions for flag in solution.flags]
    checks = []
    if options.check and options.method == "loop":
        assert potential is not None
        loop, _ = min(solutions, key=lambda item: abs(item[0].temperature - 300.0))
        check, key = stochastic_stage(
            context, source, loop.temperature, potential, loop.force_constants
        )
        flags += [*check.flags, _agreement(loop, check)]
        checks.append((check, key))
    return solutions, checks, flags


def _agreement(loop: RenormalizedForceConstants, check: RenormalizedForceConstants) -> QualityFlag:
    """Compare the two variants at Γ, in units of what they may differ by."""
    gamma = int(np.flatnonzero(np.abs(loop.q_points).max(axis=1) < 1e-9)[0])
    difference = np.abs(loop.frequencies_after[gamma] - check.frequencies_after[gamma])
    error = check.gamma_standard_errors
    beyond = difference - (0.0 if error is None else 2.0 * error)
    worst = float(beyond.max())
    return QualityFlag(
        name="renormalization_variants",
        severity="info" if worst < VARIANT_LIMIT else "warning",
        message=f"loop and stochastic frequencies at Γ and {loop.temperature:g} K differ by at "
        f"most {difference.max():.3f} THz ({max(worst, 0.0):.3f} THz beyond two standard errors); "
        "the loop lacks sixth and higher orders and quartets beyond the cut-off",
        value=worst,
        threshold=VARIANT_LIMIT,
    )


def _renormalization_records(
    context: RunContext, solutions: Sequence[RenormalizedForceConstants]
) -> list[dict[str, Any]]:
    settings = stochastic_settings(context.config)
    return [
        renormalization_record(s, settings if "stochastic" in s.variant else None)
        for s in solutions
    ]


def _sampling(
    context: RunContext,
    phonons: _Phonons,
    rounds: Sequence[Any],
    converged: bool,
    results: Sequence[ThermalConductivity],
) -> tuple[dict[str, Any], QualityFlag]:
    """Return the ``four_phonon`` record of one set of phonons and its flag.

    The error is that of the solver and the temperature where it is largest.
    """
    options, scattering = context.config.conductivity, phonons.stages.scattering
    settings: LevelSettings = scattering.settings
    mesh = scattering.modes.mesh
    population = mesh.n_irreducible * mesh.n_points**2
    exact = is_exact([r.arrays for r in rounds])
    drawn = population if exact else sum(r.arrays["stratum"].size for r in rounds)
    relative: np.ndarray[Any, Any] | None = None
    if not exact:
        relative = np.max([relative_error_of(result).max(axis=0) for result in results], axis=0)
    level = f"{phonons.prefix}+3,4ph"
    temperature = None if phonons.prefix == "HA" else settings.temperatures[0]
    record = {
        "level": level,
        "temperature": temperature,
        "sampled": not exact,
        "n_pairs": int(population),
        "n_pairs_drawn": int(drawn),
        "seed": None if exact else settings.seed,
        "tolerance": None if exact else options.tolerance,
        "converged": converged,
        "relative_error": None
        if relative is None
        else dict(zip("abc", relative.tolist(), strict=True)),
        "mesh": list(settings.mesh),
        "n_quartets": int(drawn) * scattering.modes.n_modes**4,
        "seconds": round(sum(r.seconds for r in rounds), 1),
        "device": context.device,
        "unit": "1",
    }
    worst = 0.0 if relative is None else float(relative.max())
    where = level if temperature is None else f"{level} at {temperature:g} K"
    flag = QualityFlag(
        name="four_phonon_sampling",
        severity="info" if converged else "warning",
        message=f"{where}: exact sum over four-phonon processes"
        if exact
        else f"{where}: {drawn} of {population} pairs of wave vectors drawn; largest standard "
        f"error of the conductivity {100 * worst:.1f} % (wanted {100 * options.tolerance:g} %)",
        value=worst,
        threshold=options.tolerance,
    )
    return record, flag

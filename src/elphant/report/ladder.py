"""The ladder: the conductivity of one run at every level of theory, taken apart for display."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elphant.crystal import AXES
from elphant.report.records import LEVELS, ThermalConductivity
from elphant.report.run_data import RunData
from elphant.report.setting import TargetSetting, conductivity_along, errors_along

Axes = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One level of one run, W m⁻¹ K⁻¹ along a, b, c.

    Attributes
    ----------
    level, solver : str
    temperature : float
        K.
    particle : dict
        Conductivity of particles; None where only the sum with the wave-like part is known.
    total : dict
        With the wave-like part where ``coherence`` is true.
    coherence : bool
        Whether the wave-like part was computed.
    error : dict or None
        One standard error of the total.
    """

    level: str
    solver: str
    temperature: float
    particle: Axes | None
    total: Axes
    coherence: bool
    error: Axes | None

    @property
    def wave(self) -> Axes | None:
        """The wave-like part; None where it was not computed or cannot be told apart."""
        if not self.coherence or self.particle is None:
            return None
        return {axis: self.total[axis] - self.particle[axis] for axis in AXES}


def ladder(
    run: RunData,
    temperature: float = 300.0,
    *,
    solver: str | None = None,
    target: TargetSetting | None = None,
) -> tuple[Rung, ...]:
    """Return the rungs of a run, the simplest first; one solver on all of them.

    Parameters
    ----------
    run : RunData
    temperature : float
        The temperature common to all levels that is nearest to it is taken; where they have none in
        common, each level's own.
    solver : str, optional
        The one with the most levels when left out; of two alike the full equation.
    target : TargetSetting, optional
        Axes of a comparison; those of the run itself by default.
    """
    chosen = solver or ladder_solver([run])
    records = [r for r in run.thermal_conductivity if r.solver == chosen]
    levels = [level for level in LEVELS if any(r.level == level for r in records)]
    if not levels:
        return ()
    sets = [{r.temperature for r in records if r.level == level} for level in levels]
    common = set.intersection(*sets)
    rungs = []
    for level, own in zip(levels, sets, strict=True):
        kelvin = min(common or own, key=lambda t: abs(t - temperature))
        here = {r.coherence: r for r in records if r.level == level and r.temperature == kelvin}
        best, particle = here[max(here)], here.get(False)
        error = _errors(run, best, target)
        if error is None and particle is not None:
            error = _errors(run, particle, target)
        rungs.append(
            Rung(
                level=level,
                solver=chosen,
                temperature=kelvin,
                particle=None if particle is None else _along(run, particle, target),
                total=_along(run, best, target),
                coherence=best.coherence,
                error=error,
            )
        )
    return tuple(rungs)


def ladder_solver(runs: Sequence[RunData]) -> str:
    """Return the solver with the most levels in all runs together; the full equation if alike."""
    counts = {
        solver: sum(
            len({r.level for r in run.thermal_conductivity if r.solver == solver}) for run in runs
        )
        for solver in ("bte", "rta")
    }
    return max(counts, key=lambda solver: counts[solver])


def _along(run: RunData, record: ThermalConductivity, target: TargetSetting | None) -> Axes:
    return dict(record.axes) if target is None else conductivity_along(run, record, target)


def _errors(run: RunData, record: ThermalConductivity, target: TargetSetting | None) -> Axes | None:
    if record.standard_error is None:
        return None
    errors = record.standard_error if target is None else errors_along(run, record, target)
    return dict(errors) if errors else None

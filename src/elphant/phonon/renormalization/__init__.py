"""Frequencies of one temperature: loop and stochastic self-consistent phonons, bubble."""

from __future__ import annotations

from elphant.phonon.renormalization.bubble import (
    BubbleCorrection,
    bubble_shifts,
    static_bubble,
    with_bubble,
)
from elphant.phonon.renormalization.covariance import (
    DisplacementCovariance,
    displacement_covariance,
)
from elphant.phonon.renormalization.loop import LoopSettings, solve_loop
from elphant.phonon.renormalization.result import FreeEnergy, RenormalizedForceConstants
from elphant.phonon.renormalization.stochastic import (
    StochasticSettings,
    StochasticSolver,
    solve_stochastic,
)

__all__ = [
    "BubbleCorrection",
    "DisplacementCovariance",
    "FreeEnergy",
    "LoopSettings",
    "RenormalizedForceConstants",
    "StochasticSettings",
    "StochasticSolver",
    "bubble_shifts",
    "displacement_covariance",
    "solve_loop",
    "solve_stochastic",
    "static_bubble",
    "with_bubble",
]

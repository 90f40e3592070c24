"""Acceleration of a fixed-point iteration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Directions that add less than this share of the largest one are left out of the fit.
RANK_TOLERANCE = 1e-7


class AndersonMixer:
    """Anderson acceleration (J. ACM 12, 547 (1965)) of ``x = g(x)`` with restarts.

    The next point minimises the linearised residual over the last few; a residual that grows
    restarts the history and halves the step.

    Parameters
    ----------
    step : float
        Share of the residual that is followed; a plain linear mixing when ``depth`` is zero.
    depth : int
        Number of earlier points kept.
    """

    def __init__(self, step: float = 0.5, depth: int = 6) -> None:
        self._initial = self._step = step
        self._depth = depth
        self._points: list[Array] = []
        self._residuals: list[Array] = []
        self._best = np.inf

    def restart(self) -> None:
        """Forget the history, for instance because the map has changed."""
        self._points, self._residuals, self._best = [], [], np.inf

    def next(self, x: Array, g: Array) -> Array:
        """Return the next point from ``x`` and its image ``g``."""
        residual = g - x
        norm = float(np.linalg.norm(residual))
        if norm > 3.0 * self._best:
            self.restart()
            self._step = max(0.5 * self._step, 0.02)
        elif norm < self._best:
            self._step = min(1.2 * self._step, self._initial)
        self._best = min(self._best, norm)
        self._points.append(x.copy())
        self._residuals.append(residual)
        self._points = self._points[-(self._depth + 1) :]
        self._residuals = self._residuals[-(self._depth + 1) :]
        new = x + self._step * residual
        if len(self._points) == 1 or self._depth == 0:
            return np.asarray(new)
        steps = np.diff([p.ravel() for p in self._points], axis=0)
        changes = np.diff([r.ravel() for r in self._residuals], axis=0)
        weights = np.linalg.lstsq(changes.T, residual.ravel(), rcond=RANK_TOLERANCE)[0]
        correction = weights @ (steps + self._step * changes)
        return np.asarray(new - correction.reshape(x.shape))

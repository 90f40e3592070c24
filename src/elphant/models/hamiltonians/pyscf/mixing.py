"""Pulay mixing of densities between cycles."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from elphant.models.hamiltonians.pyscf.grid import DensityGrid

Complex = NDArray[np.complex128]

#: Densities kept, and part of the remaining residual that is added.
HISTORY, STEP = 8, 0.5

#: Directions of residuals that depend on each other to this degree are used once.
DEPENDENCE = 1e-6


@dataclass(slots=True, kw_only=True, eq=False)
class PulayMixer:
    r"""Next input density from earlier inputs and residuals.

    The combination with the smallest residual is taken, in the Coulomb metric
    :math:`\sum_G |F(G)|^2 / G^2`: P. Pulay, Chem. Phys. Lett. 73, 393 (1980); G. Kresse and J.
    Furthmüller, Phys. Rev. B 54, 11169 (1996).

    Attributes
    ----------
    grid : DensityGrid
    inputs, residuals : list of ndarray, (n_waves,)
        The most recent ones, in the order of the cycles.
    """

    grid: DensityGrid
    inputs: list[Complex] = field(default_factory=list)
    residuals: list[Complex] = field(default_factory=list)

    def next_input(self, density: Complex, residual: Complex) -> Complex:
        """Return the next input density after ``density`` left ``residual`` = output - input."""
        self.inputs = [*self.inputs, density][-HISTORY:]
        self.residuals = [*self.residuals, residual][-HISTORY:]
        squares = self.grid.squares
        root = np.where(squares < 1e-12, 0.0, 1.0 / np.sqrt(np.maximum(squares, 1e-12)))
        target = _as_real(residual * root)
        move, left = density, residual
        if len(self.inputs) > 1:
            # Differences to the newest entry, so that the weights sum to one by construction;
            # scaled, because residuals of different cycles differ by orders of magnitude.
            inputs = np.array([other - density for other in self.inputs[:-1]])
            changes = np.array([other - residual for other in self.residuals[:-1]])
            columns = np.array([_as_real(change * root) for change in changes])
            norms = np.maximum(np.linalg.norm(columns, axis=1), 1e-300)
            scaled = (columns / norms[:, None]).T
            weights = np.linalg.lstsq(scaled, -target, rcond=DEPENDENCE)[0] / norms
            move, left = density + weights @ inputs, residual + weights @ changes
        return np.asarray(move + STEP * left)


def _as_real(waves: Complex) -> NDArray[np.float64]:
    return np.concatenate([waves.real, waves.imag])

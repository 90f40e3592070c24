"""Thermal factors of modes; modes that take no part (frequency zero) get zero."""

from __future__ import annotations

import torch
from torch import Tensor

from elphant.units import BOLTZMANN_EV, PLANCK_EV_PS

#: ħω/kT beyond which an occupation counts as zero.
LARGEST_RATIO = 600.0


def energy_ratio(frequencies: Tensor, temperature: float) -> Tensor:
    """Return ħω/k_BT of frequencies in THz, at most :data:`LARGEST_RATIO`."""
    return (PLANCK_EV_PS / (BOLTZMANN_EV * temperature) * frequencies).clamp(max=LARGEST_RATIO)


def bose(frequencies: Tensor, temperature: float) -> Tensor:
    """Return the Bose-Einstein occupation."""
    x = energy_ratio(frequencies, temperature)
    return torch.where(frequencies > 0.0, 1.0 / torch.expm1(x), 0.0)


def half_sinh(frequencies: Tensor, temperature: float) -> Tensor:
    """Return ``1 / (2 sinh(ħω / 2k_BT)) = sqrt(n (n + 1))``."""
    x = energy_ratio(frequencies, temperature)
    return torch.where(frequencies > 0.0, 0.5 / torch.sinh(0.5 * x), 0.0)


def heat_capacity(frequencies: Tensor, temperature: float) -> Tensor:
    """Return the mode heat capacity ``k_B x² n (n + 1)``, eV/K."""
    x = energy_ratio(frequencies, temperature)
    return BOLTZMANN_EV * x * x * half_sinh(frequencies, temperature) ** 2

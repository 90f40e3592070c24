"""Values with tangents: torch's forward differentiation for features and geometry."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elphant.models.hamiltonians.hamgnn.geometry import EdgeGeometry
from elphant.models.hamiltonians.hamgnn.irreps import Features


def dual(value: Tensor, tangent: Tensor) -> Tensor:
    """Return a value that carries a tangent."""
    pair: Tensor = forward_ad.make_dual(value, tangent)  # type: ignore[no-untyped-call]
    return pair


def split(dual: Tensor) -> tuple[Tensor, Tensor]:
    """Return value and tangent, zero where there is none."""
    value, tangent = forward_ad.unpack_dual(dual)  # type: ignore[no-untyped-call]
    return value, torch.zeros_like(value) if tangent is None else tangent


def pushed(
    function: Callable[[Features], Features], value: Features, tangent: Features
) -> Features:
    """Return the tangent of ``function`` at ``value``."""
    with forward_ad.dual_level():
        result = function({key: dual(part, tangent[key]) for key, part in value.items()})
        return {key: split(part)[1] for key, part in result.items()}


def dual_geometry(value: EdgeGeometry, tangent: EdgeGeometry) -> EdgeGeometry:
    """Return a geometry that carries its tangent."""

    def pair(parts: tuple[Tensor, ...], changes: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(dual(part, change) for part, change in zip(parts, changes, strict=True))

    return EdgeGeometry(
        radial=dual(value.radial, tangent.radial),
        harmonics=pair(value.harmonics, tangent.harmonics),
        frames=pair(value.frames, tangent.frames),
    )

"""Choosing the device on which networks and kernels run."""

from __future__ import annotations

from elphant.errors import DependencyError


def resolve_device(name: str) -> str:
    """Return ``cpu`` or ``cuda[:i]`` for a requested device; ``auto`` takes CUDA where present.

    Raises
    ------
    DependencyError
        If CUDA was asked for by name and is not available: there is no silent fallback.
    """
    if name == "cpu":
        return name
    import torch

    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name.startswith("cuda") and available:
        return name
    raise DependencyError(
        f"device {name!r} is not available on this machine.",
        "The installed torch sees no such device.",
        "Use --device cpu or --device auto, or install a CUDA build of torch.",
    )

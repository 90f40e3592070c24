"""Where the layers of a network get their weights: checked by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elphant.errors import ModelError

Shape = tuple[int, ...]

#: Buffers that follow from the hyper-parameters and are made anew.
DERIVED = re.compile(
    r"\.output_mask$|\._w3j_\d+_\d+_\d+$|\.cg_calculator\.cg_\d+_\d+_\d+$"
    r"|\.radial_basis_functions\.freqs$|\.radial_basis\.basis\.freqs$"
    r"|\.cutoff_func\.cutoff$|\.radial_basis\.cutoff\.cutoff$"
)

#: Names that e3nn stores without content.
EMPTY = re.compile(r"\.bias$|\.tp\.weight$|\.mul\.weight$")


class ParameterSource(Protocol):
    """Gives tensors by name."""

    def take(self, name: str, *shape: int) -> Tensor:
        """Return the tensor called ``name``, of exactly this shape, float64."""
        ...


class StateParameters:
    """The weights of a stored network.

    Parameters
    ----------
    tensors : mapping of name to array or Tensor
    """

    def __init__(self, tensors: Mapping[str, Tensor | NDArray[np.floating]]) -> None:
        self._tensors = tensors
        self._unused = {name for name in tensors if not DERIVED.search(name)}
        for name in list(self._unused):
            if EMPTY.search(name) and 0 in tuple(tensors[name].shape):
                self._unused.discard(name)

    def take(self, name: str, *shape: int) -> Tensor:
        """Return the tensor called ``name``.

        Raises
        ------
        ModelError
            If it is missing, has another shape, or is not finite.
        """
        if name not in self._tensors:
            raise ModelError(
                f"the network has no tensor '{name}'.",
                "The weights do not belong to this configuration, or the file is incomplete.",
                "Use weights and configuration of the same file.",
            )
        tensor = torch.as_tensor(self._tensors[name]).to(torch.float64)
        if tuple(tensor.shape) != shape:
            raise ModelError(
                f"tensor '{name}' has shape {tuple(tensor.shape)}; the configuration makes it "
                f"{shape}.",
                "The weights do not belong to this configuration.",
                "Use weights and configuration of the same file.",
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"tensor '{name}' has values that are not finite.", fix="Read the file again."
            )
        self._unused.discard(name)
        return tensor

    def check_derived(self, name: str, expected: Tensor) -> None:
        """Refuse a stored buffer that is not what the hyper-parameters say; it may be absent.

        Raises
        ------
        ModelError
            If the two differ by more than single precision.
        """
        if name not in self._tensors:
            return
        stored = torch.as_tensor(self._tensors[name]).to(torch.float64).reshape(-1)
        if stored.shape != expected.shape or not torch.allclose(stored, expected, rtol=1e-5):
            raise ModelError(
                f"'{name}' of the network is not what its hyper-parameters give.",
                "The radial functions were trained, or the configuration is of another network.",
                "Use weights and configuration of the same file.",
            )

    def require_all_used(self) -> None:
        """Refuse tensors that the network does not have.

        Raises
        ------
        ModelError
            With their names.
        """
        if self._unused:
            names = sorted(self._unused)
            shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
            raise ModelError(
                f"{len(names)} tensors do not belong to the network: {shown}.",
                "It was trained with blocks that the configuration does not name.",
                "Use weights and configuration of the same file.",
            )


class ShapeRecorder:
    """Notes every name and shape that a network asks for, and gives zeros.

    Attributes
    ----------
    shapes : dict of str to tuple of int
    """

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """Return zeros."""
        self.shapes[name] = shape
        return torch.zeros(shape, dtype=torch.float64)

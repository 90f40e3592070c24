"""Checks of array arguments, shared by every data class so that messages look alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def checked_array(
    name: str,
    value: ArrayLike,
    shape: Sequence[int | None],
    dtype: DTypeLike = float,
) -> NDArray[Any]:
    """Return ``value`` as a read-only array after checking its shape and finiteness.

    Parameters
    ----------
    name : str
        Name of the argument, used in the message.
    value : array_like
        The input.
    shape : sequence of int or None
        Expected shape; ``None`` accepts any length along that axis.
    dtype : dtype, optional
        Type of the result.

    Raises
    ------
    ValueError
        If the shape differs or a value is not finite.
    """
    array = np.array(value, dtype=dtype)
    matches = array.ndim == len(shape) and all(
        expected is None or actual == expected
        for actual, expected in zip(array.shape, shape, strict=True)
    )
    if not matches:
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise ValueError(f"{name} has shape {array.shape}; expected {wanted}")
    if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
        raise ValueError(f"{name} contains {int((~np.isfinite(array)).sum())} non-finite values")
    array.setflags(write=False)
    return array

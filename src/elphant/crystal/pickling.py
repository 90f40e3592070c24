"""Pickling and copying of the immutable objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any


def through_constructor(instance: Any) -> tuple[Callable[[], Any], tuple[()]]:
    """Return the ``__reduce__`` value that rebuilds a dataclass by calling its constructor.

    NumPy forgets on the way through a pickle that an array was read-only. Crystals travel to
    worker processes, so they are built anew there, with the same checks.
    """
    values = {field.name: getattr(instance, field.name) for field in fields(instance)}
    constructor: Callable[..., Any] = type(instance)
    return partial(constructor, **values), ()

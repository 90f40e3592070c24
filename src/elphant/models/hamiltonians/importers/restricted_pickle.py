"""Reader of pickled crystal graphs that executes nothing.

A pickle is a program: it names functions and calls them. Here every name is looked up in a short
list of harmless stand-ins, and any other name ends the reading. torch and torch_geometric are not
needed: tensors become NumPy arrays, and their classes become records.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ModelError

Array = NDArray[Any]

#: Number types of torch's storages.
STORAGE_TYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1",
    "BoolStorage": "?",
}  # fmt: skip

#: First word of a legacy torch file.
TORCH_MAGIC = 0x1950A86A20F9469CFC6C

#: Classes that become records: what they hold is data.
RECORDS = {
    ("torch_geometric.data.data", "Data"),
    ("torch_geometric.data.data", "DataEdgeAttr"),
    ("torch_geometric.data.data", "DataTensorAttr"),
    ("torch_geometric.data.storage", "GlobalStorage"),
}


class Record:
    """Stand-in of a class: keeps the state and does nothing."""

    def __init__(self, *_arguments: Any, **_settings: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.state = state


def load_object_array(content: bytes, path: Path) -> Any:
    """Return the single object of a pickled ``.npy`` array, read without executing anything.

    Parameters
    ----------
    content : bytes
        The ``.npy`` file.
    path : Path
        For messages.

    Raises
    ------
    ModelError
        If the content is damaged, or asks for anything but data.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(stream)
        if shape != () or dtype != np.dtype(object):
            raise ValueError(f"it is an array of shape {shape} and type {dtype}")
        array = _Unpickler(stream).load()
        return array.item() if isinstance(array, np.ndarray) else array
    except _RefusedError as error:
        raise ModelError(
            f"'{path}' was not read: it asks Python to call '{error}'.",
            "A graph file holds arrays only; elphant executes nothing from a file.",
            "Do not open this file with programs that load pickles. Write the graph again with "
            "HamGNN's own tool.",
        ) from error
    # A damaged pickle can raise almost anything; all of it means the same to the user.
    except Exception as error:
        raise ModelError(
            f"'{path}' is not a readable graph file: {type(error).__name__}: {error}.",
            "It is damaged, cut short, or of another kind.",
            "Copy the file again.",
        ) from error


class _RefusedError(pickle.UnpicklingError):
    """The pickle names something that is not data."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None and (module, name) in RECORDS:
            return Record
        if found is None:
            raise _RefusedError(f"{module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002  the base class's signature
        raise _RefusedError("a persistent object")


class _StorageUnpickler(pickle.Unpickler):
    """Of the small pickles inside a legacy torch file."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGE_TYPES:
            return np.dtype(STORAGE_TYPES[name])
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise _RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise ValueError("a tensor storage of an unknown kind")
        return dtype, key, int(count)


def _load_storage(content: bytes) -> Array:
    """Return the numbers of one storage in torch's legacy file format."""
    stream = io.BytesIO(content)
    magic = _StorageUnpickler(stream).load()
    if magic != TORCH_MAGIC:
        raise ValueError("a tensor is not in torch's legacy format")
    _StorageUnpickler(stream).load()  # protocol version
    _StorageUnpickler(stream).load()  # byte order and sizes of C types
    dtype, key, count = _StorageUnpickler(stream).load()
    if _StorageUnpickler(stream).load() != [key]:
        raise ValueError("a tensor storage does not list itself")
    stored = int.from_bytes(stream.read(8), "little", signed=True)
    raw = stream.read()
    if stored != count or len(raw) != count * dtype.itemsize:
        raise ValueError("a tensor storage is cut short")
    return np.frombuffer(raw, dtype=dtype)


def _rebuild_tensor(
    storage: Array, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Array:
    """Return a tensor as an array, after checking that it stays inside its storage."""
    if len(size) != len(stride) or min((*size, *stride, offset), default=0) < 0:
        raise ValueError("a tensor has an impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size:
        return np.zeros(size, dtype=storage.dtype)
    if last >= len(storage):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()


def _array_type(*_: Any) -> Any:
    """Stand in for the array class, which pickles name but have no reason to call."""
    raise _RefusedError("numpy.ndarray")


def _empty_array(*_: Any) -> Array:
    """Return the array that numpy's pickles fill afterwards."""
    return np.empty(0)


def _array_from_buffer(buffer: Any, dtype: Any, shape: Any, order: str) -> Array:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _latin_bytes(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise ValueError("bytes in an unexpected encoding")
    return text.encode("latin1")


def _number(dtype: Any, content: bytes) -> Any:
    if dtype.hasobject:
        raise ValueError("an object where a number is expected")
    return np.frombuffer(content, dtype=dtype)[0]


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    table: dict[tuple[str, str], Callable[..., Any]] = {
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch.storage", "_load_from_bytes"): _load_storage,
        ("collections", "OrderedDict"): OrderedDict,
        ("numpy", "ndarray"): _array_type,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin_bytes,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _empty_array
        table[f"{core}.multiarray", "scalar"] = _number
        table[f"{core}.numeric", "_frombuffer"] = _array_from_buffer
    return table


_ALLOWED = _allowed()

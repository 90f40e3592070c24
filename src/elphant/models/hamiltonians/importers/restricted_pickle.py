"""Reader of pickles that executes nothing: crystal graphs, and the networks that predict on them.

A pickle is a program: it names functions and calls them. Here every name is looked up in a short
list of harmless stand-ins, and any other name ends the reading. torch and torch_geometric are not
needed: tensors become NumPy arrays, and their classes become records.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ModelError

Array = NDArray[Any]

#: A name that a pickle looks up: module and name.
Name = tuple[str, str]

#: Number types of torch's storages.
STORAGE_TYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1",
    "BoolStorage": "?",
}  # fmt: skip

#: First word of a legacy torch file.
TORCH_MAGIC = 0x1950A86A20F9469CFC6C

#: A view may repeat the numbers of its storage (stride 0) up to this many elements.
LARGEST_REPEATED_TENSOR = 1 << 20

#: Classes of graph files that become records: what they hold is data.
GRAPH_RECORDS = {
    ("torch_geometric.data.data", "Data"),
    ("torch_geometric.data.data", "DataEdgeAttr"),
    ("torch_geometric.data.data", "DataTensorAttr"),
    ("torch_geometric.data.storage", "GlobalStorage"),
}


class Record:
    """Stand-in of a class or function: keeps what it is given and does nothing.

    Attributes
    ----------
    origin : str
        Dotted name that the pickle asked for.
    arguments : tuple
        What it was called with.
    state : dict
        Attributes of the object.
    entries : dict
        Items, of classes that are dictionaries.
    members : list
        Elements, of classes that are lists or sets.
    """

    origin: ClassVar[str] = ""
    arguments: tuple[Any, ...]
    state: dict[str, Any]
    entries: dict[Any, Any]
    members: list[Any]

    def __new__(cls, *arguments: Any, **_settings: Any) -> Record:  # noqa: D102
        # Pickles may create an object without calling __init__.
        record = super().__new__(cls)
        record.arguments, record.state, record.entries, record.members = arguments, {}, {}, []
        return record

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.state.update(part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def append(self, item: Any) -> None:
        """Keep an element."""
        self.members.append(item)

    def extend(self, items: Iterable[Any]) -> None:
        """Keep elements."""
        self.members.extend(items)

    add = append


@cache
def record_class(module: str, name: str) -> type[Record]:
    """Return the record class that stands for a name of a pickle."""
    return type("Record", (Record,), {"origin": f"{module}.{name}"})


class RefusedError(pickle.UnpicklingError):
    """The pickle names something that is not data."""


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickler in which every name is a stand-in of this module, or ends the reading.

    Parameters
    ----------
    stream : binary file
        The pickle.
    functions : mapping
        Stand-in of each (module, name) that rebuilds data.
    is_record : callable
        Tells of any other (module, name) whether a :class:`Record` stands for it.
    """

    def __init__(
        self,
        stream: IO[bytes],
        functions: Mapping[Name, Callable[..., Any]],
        is_record: Callable[[str, str], bool],
    ) -> None:
        super().__init__(stream)
        self._functions, self._is_record = functions, is_record

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name.

        Raises
        ------
        RefusedError
            If there is none.
        """
        found = self._functions.get((module, name))
        if found is None and self._is_record(module, name):
            return record_class(module, name)
        if found is None:
            raise RefusedError(f"{module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002  the base class's signature
        """Refuse: nothing outside the file is looked up.

        Raises
        ------
        RefusedError
            Always.
        """
        raise RefusedError("a persistent object")


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
        array = RestrictedUnpickler(stream, _GRAPH_FUNCTIONS, _is_graph_record).load()
        return array.item() if isinstance(array, np.ndarray) else array
    except RefusedError as error:
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


def _is_graph_record(module: str, name: str) -> bool:
    return (module, name) in GRAPH_RECORDS


class _StorageUnpickler(pickle.Unpickler):
    """Of the small pickles inside a legacy torch file."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGE_TYPES:
            return np.dtype(STORAGE_TYPES[name])
        if module == "torch" and name.endswith("Storage"):
            raise ValueError(f"a tensor is stored as {name}, which has no NumPy equivalent")
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise RefusedError(f"{module}.{name}")

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
    if prod(size) > max(len(storage), LARGEST_REPEATED_TENSOR):
        raise ValueError("a tensor repeats its storage too often")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()


def _rebuild_parameter(data: Array, *_: Any) -> Array:
    if not isinstance(data, np.ndarray):
        raise ValueError("a parameter is not a tensor")
    return data


def _array_type(*_: Any) -> Any:
    """Stand in for the array class, which pickles name but have no reason to call."""
    raise RefusedError("numpy.ndarray")


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


class SealedFunction:
    """A function of this reader in a form that a pickle can call but not change.

    Parameters
    ----------
    function : callable
        What it does.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:  # noqa: D102
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise RefusedError("a function of the reader, to change it")


#: Stand-ins that rebuild tensors as arrays.
TENSOR_FUNCTIONS: dict[Name, Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): SealedFunction(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): SealedFunction(_rebuild_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): SealedFunction(_rebuild_parameter),
    ("torch.storage", "_load_from_bytes"): SealedFunction(_load_storage),
    ("collections", "OrderedDict"): OrderedDict,
}


def _graph_functions() -> dict[Name, Callable[..., Any]]:
    table: dict[Name, Callable[..., Any]] = {
        **TENSOR_FUNCTIONS,
        ("numpy", "ndarray"): SealedFunction(_array_type),
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): SealedFunction(_latin_bytes),
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = SealedFunction(_empty_array)
        table[f"{core}.multiarray", "scalar"] = SealedFunction(_number)
        table[f"{core}.numeric", "_frombuffer"] = SealedFunction(_array_from_buffer)
    return table


_GRAPH_FUNCTIONS = _graph_functions()

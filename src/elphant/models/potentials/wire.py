"""Messages between elphant and a potential that runs in another Python.

One message is a fixed preamble, a JSON header and the raw bytes of zero or more arrays::

    4 bytes   magic "EPW" and the protocol version
    4 bytes   length of the header, little endian
    8 bytes   length of the arrays together, little endian
    header    UTF-8 JSON: kind, fields, and name, type and shape of each array in order
    arrays    C order, little endian, one after another

Nothing is pickled: reading a message never executes code that came with it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.models.potentials.protocol import Evaluation

#: Raised by one whenever the meaning of a message changes; both sides must agree.
PROTOCOL_VERSION: Final = 1

_MAGIC: Final = b"EPW" + bytes([PROTOCOL_VERSION])
_PREAMBLE: Final = struct.Struct("<4sIQ")
_MAX_HEADER: Final = 1 << 26
_TYPES: Final = ("<f8", "<i8")


class WireError(Exception):
    """The stream ended inside a message or holds something that is not a message."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """One message.

    Attributes
    ----------
    kind : str
        ``hello``, ``ready``, ``evaluate``, ``result``, ``error`` or ``close``.
    fields : mapping
        JSON values.
    arrays : mapping of str to ndarray
        float64 or int64 arrays.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def write_message(stream: BinaryIO, message: Message) -> None:
    """Write one message and flush.

    Raises
    ------
    OSError
        If the other side has closed the pipe.
    """
    blocks, layout = [], []
    for name, value in message.arrays.items():
        code = "<i8" if np.issubdtype(np.asarray(value).dtype, np.integer) else "<f8"
        block = np.ascontiguousarray(value, dtype=code)
        layout.append([name, code, list(np.shape(value))])
        blocks.append(block.tobytes())
    record = {"kind": message.kind, "fields": dict(message.fields), "arrays": layout}
    header = json.dumps(record, default=str).encode()
    stream.write(_PREAMBLE.pack(_MAGIC, len(header), sum(map(len, blocks))))
    stream.write(header)
    for data in blocks:
        stream.write(data)
    stream.flush()


def read_message(stream: BinaryIO) -> Message:
    """Read one message.

    Raises
    ------
    EOFError
        If the stream ended before a message began.
    WireError
        If it ended inside a message, or the bytes are not a message of this protocol version.
    """
    start = stream.read(_PREAMBLE.size)
    if not start:
        raise EOFError("the other side closed the connection")
    if len(start) < _PREAMBLE.size:
        raise WireError("the stream ended inside a message")
    magic, n_header, n_bytes = _PREAMBLE.unpack(start)
    if magic != _MAGIC or n_header > _MAX_HEADER:
        raise WireError(f"unexpected bytes {start[:4]!r} instead of a message")
    record = json.loads(_read_exactly(stream, n_header))
    arrays = {}
    for name, code, shape in record["arrays"]:
        if code not in _TYPES:
            raise WireError(f"array '{name}' has the unknown type '{code}'")
        size = 8 * prod(shape)
        n_bytes -= size
        if n_bytes < 0:
            raise WireError("the arrays are longer than the message")
        arrays[name] = np.frombuffer(_read_exactly(stream, size), dtype=code).reshape(shape)
    return Message(kind=record["kind"], fields=record["fields"], arrays=arrays)


def _read_exactly(stream: BinaryIO, n_bytes: int) -> bytes:
    data = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise WireError("the stream ended inside a message")
    return data


def pack_crystals(crystals: Sequence[Crystal]) -> dict[str, NDArray[Any]]:
    """Return crystals as concatenated arrays.

    Returns
    -------
    dict
        ``n_atoms`` (n,), ``lattice`` (n, 3, 3) Å, ``fractional`` (N, 3), ``numbers`` (N,) and
        ``masses`` (N,) amu, with N the number of all atoms.
    """
    return {
        "n_atoms": np.array([crystal.n_atoms for crystal in crystals], dtype=np.int64),
        "lattice": np.array([crystal.lattice for crystal in crystals]).reshape(-1, 3, 3),
        "fractional": _joined([crystal.fractional for crystal in crystals], (0, 3)),
        "numbers": _joined([crystal.numbers for crystal in crystals], (0,), np.int64),
        "masses": _joined([crystal.masses for crystal in crystals], (0,)),
    }


def unpack_crystals(arrays: Mapping[str, NDArray[Any]]) -> list[Crystal]:
    """Rebuild the crystals of :func:`pack_crystals`, bit for bit."""
    edges = np.concatenate([[0], np.cumsum(arrays["n_atoms"])])
    return [
        Crystal(
            lattice=lattice,
            fractional=arrays["fractional"][start:stop],
            numbers=arrays["numbers"][start:stop],
            masses=arrays["masses"][start:stop],
        )
        for lattice, start, stop in zip(arrays["lattice"], edges[:-1], edges[1:], strict=True)
    ]


def pack_evaluations(evaluations: Sequence[Evaluation]) -> dict[str, NDArray[Any]]:
    """Return evaluations as concatenated arrays.

    Returns
    -------
    dict
        ``n_atoms`` (n,), ``energy`` (n,) eV, ``forces`` (N, 3) eV/Å, ``stress`` (n, 3, 3) eV/Å³.
    """
    return {
        "n_atoms": np.array([len(e.forces) for e in evaluations], dtype=np.int64),
        "energy": np.array([e.energy for e in evaluations], dtype=float),
        "forces": _joined([e.forces for e in evaluations], (0, 3)),
        "stress": np.array([e.stress for e in evaluations]).reshape(-1, 3, 3),
    }


def unpack_evaluations(arrays: Mapping[str, NDArray[Any]]) -> list[Evaluation]:
    """Rebuild the evaluations of :func:`pack_evaluations`, bit for bit."""
    edges = np.concatenate([[0], np.cumsum(arrays["n_atoms"])])
    return [
        Evaluation(energy=float(energy), forces=arrays["forces"][start:stop], stress=stress)
        for energy, stress, start, stop in zip(
            arrays["energy"], arrays["stress"], edges[:-1], edges[1:], strict=True
        )
    ]


def _joined(
    blocks: Sequence[NDArray[Any]], empty: tuple[int, ...], dtype: type = np.float64
) -> NDArray[Any]:
    """Concatenate, also when there is nothing to concatenate."""
    return np.concatenate([np.empty(empty, dtype), *blocks])

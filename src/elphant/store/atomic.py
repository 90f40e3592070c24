"""Atomic files: a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from elphant.errors import ResourceError, StoreError


@contextmanager
def translated_io_errors(path: Path) -> Iterator[None]:
    """Turn operating-system errors while writing ``path`` into elphant's own.

    Raises
    ------
    ResourceError
        If the disk or the quota is full.
    StoreError
        For any other failure to write.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(
                f"no space left on the disk while writing '{path}'.",
                "Finished stages are intact; the unfinished file was removed.",
                "Free some space (or use --output on another disk) and run the same command again.",
            ) from error
        raise StoreError(
            f"cannot write '{path}': {error.strerror or error}.",
            fix="Check the permissions of the run directory, or choose another with --output.",
        ) from error


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call ``write`` on a temporary file beside ``path``, flush it to disk and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    with translated_io_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file atomically."""
    write_atomically(path, lambda stream: stream.write(content))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, record: Any) -> None:
    """Write an indented JSON file atomically; numpy numbers and arrays are converted."""
    write_text(path, json.dumps(record, indent=1, default=_plain, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    StoreError
        If the file is missing or not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(
            f"'{path}' does not exist.", fix="Is this the directory of a finished run?"
        ) from error
    except (ValueError, OSError) as error:
        raise StoreError(
            f"'{path}' is damaged: {error}.", fix="Run the same command again to recompute it."
        ) from error


def canonical_json(record: Any) -> str:
    """Return the unique JSON text of a record: sorted keys, no spaces, exact floats."""
    return json.dumps(
        record, sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=False
    )


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_arrays(*arrays: np.ndarray[Any, Any]) -> str:
    """Return the sha256 of dtype, shape and bytes of arrays."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")

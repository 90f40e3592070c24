"""Content-addressed stages: the same inputs are computed once, and a kill loses little.

The address of a stage is the sha256 of its name, its version and its inputs as canonical JSON.
Its folder holds ``shards/`` (one atomic file per finished work item) and ``output/`` (everything
the next stage needs, plus ``meta.json`` with a digest of every file). ``output`` appears by a
single rename, so that it is whole or absent, and the first of several processes to finish wins.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import StoreError
from elphant.store.atomic import (
    canonical_json,
    read_json,
    sha256_of_file,
    translated_io_errors,
    write_atomically,
    write_json,
)

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutput:
    """What a finished stage left behind.

    Attributes
    ----------
    key : str
        sha256 address of the stage; part of the inputs of later stages.
    record : dict
        JSON record.
    arrays : dict of ndarray
        Memory-mapped, read-only arrays.
    seconds : float
        Wall time of the computation.
    reused : bool
        True when it was read instead of computed.
    """

    key: str
    record: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    seconds: float
    reused: bool


class Stage:
    """One content-addressed stage of a run directory.

    Parameters
    ----------
    root : Path
        The ``stages`` folder of the run directory.
    name : str
        Name of the stage, for example ``forces-second``.
    version : int
        Raised whenever the code changes the meaning of the outputs.
    inputs : mapping
        Everything the outputs depend on, JSON-serialisable.
    """

    def __init__(self, root: Path, name: str, version: int, inputs: Mapping[str, Any]) -> None:
        self.name = name
        self.version = version
        self.inputs = dict(inputs)
        address = {"name": name, "version": version, "inputs": self.inputs}
        self.key = hashlib.sha256(canonical_json(address).encode()).hexdigest()
        self.folder = root / f"{name}-{self.key[:8]}"

    # --- whole outputs ------------------------------------------------------------------

    def load(self) -> StageOutput | None:
        """Return the finished output, or None when it has to be computed.

        A damaged output is set aside (never deleted) with a warning, and None is returned.
        """
        output = self.folder / "output"
        if not output.is_dir():
            return None
        try:
            meta = read_json(output / "meta.json")
            self._verify(meta, output)
            arrays = {
                name: np.load(output / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in meta["arrays"]
            }
            record = read_json(output / "record.json")
        except (StoreError, ValueError, KeyError, OSError) as error:
            aside = self.folder / f"damaged-{uuid.uuid4().hex[:8]}"
            with translated_io_errors(aside):
                output.rename(aside)
            logger.warning(
                "stage %s is damaged (%s); kept as %s and computed again", self.name, error, aside
            )
            return None
        return StageOutput(
            key=self.key, record=record, arrays=arrays, seconds=meta["seconds"], reused=True
        )

    def save(self, record: Mapping[str, Any], arrays: Arrays, *, seconds: float) -> StageOutput:
        """Publish the outputs; if another process was first, its outputs are returned instead."""
        staging = self.folder / f".output-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        output = self.folder / "output"
        with translated_io_errors(output):
            try:
                staging.mkdir(parents=True)
                write_json(staging / "record.json", dict(record))
                for name, array in arrays.items():
                    _write_npy(staging / f"{name}.npy", array)
                files = sorted(path.name for path in staging.iterdir())
                meta = {
                    "name": self.name,
                    "version": self.version,
                    "key": self.key,
                    "inputs": self.inputs,
                    "arrays": sorted(arrays),
                    "files": {file: sha256_of_file(staging / file) for file in files},
                    "seconds": seconds,
                    "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                }
                write_json(staging / "meta.json", meta)
                if not output.exists():
                    staging.rename(output)
            except OSError:
                # Renaming onto a folder that another process has just published is no error.
                if not output.exists():
                    raise
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        published = self.load()
        if published is None:
            raise StoreError(
                f"stage {self.name} was written but cannot be read back from '{output}'.",
                "The file system returned other bytes than were written.",
                "Check the disk, then run the same command again.",
            )
        return StageOutput(
            key=self.key,
            record=published.record,
            arrays=published.arrays,
            seconds=seconds,
            reused=False,
        )

    def _verify(self, meta: Mapping[str, Any], output: Path) -> None:
        if meta["key"] != self.key:
            raise StoreError(f"'{output}' belongs to other inputs (key {meta['key'][:8]}).")
        for file, digest in meta["files"].items():
            if not (output / file).is_file():
                raise StoreError(f"'{output / file}' is missing.")
            if sha256_of_file(output / file) != digest:
                raise StoreError(f"'{output / file}' does not have the sha256 it was written with.")

    # --- work items ---------------------------------------------------------------------

    def item_path(self, index: int) -> Path:
        """Return the file of work item ``index``."""
        return self.folder / "shards" / f"{index:06d}.npz"

    def save_item(self, index: int, arrays: Arrays) -> None:
        """Store one finished work item atomically."""
        named: dict[str, Any] = dict(arrays)
        write_atomically(self.item_path(index), lambda stream: np.savez(stream, **named))

    def load_item(self, index: int) -> dict[str, NDArray[Any]]:
        """Return the arrays of one finished work item.

        Raises
        ------
        StoreError
            If the file is missing or its checksum (CRC-32 of the zip members) is wrong.
        """
        path = self.item_path(index)
        try:
            # Opened here, because np.load leaks the file when the archive is damaged.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
            raise StoreError(
                f"work item '{path}' is missing or damaged: {error}.",
                fix="Run the same command again to recompute it.",
            ) from error

    def pending_items(self, n_items: int) -> list[int]:
        """Return the indices of items not yet stored; damaged files are removed and listed."""
        pending = []
        for index in range(n_items):
            path = self.item_path(index)
            if path.exists():
                try:
                    self.load_item(index)
                except StoreError as error:
                    logger.warning("%s It is computed again.", error.what)
                    path.unlink(missing_ok=True)
                else:
                    continue
            pending.append(index)
        return pending

    def load_items(self, indices: Sequence[int]) -> list[dict[str, NDArray[Any]]]:
        """Return the arrays of several work items."""
        return [self.load_item(index) for index in indices]


def _write_npy(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())

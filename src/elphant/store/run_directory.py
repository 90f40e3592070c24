"""The run directory: fixed names, so that people and programs know where to look."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elphant.errors import StoreError
from elphant.store.atomic import translated_io_errors
from elphant.store.stage import Stage

MARKER = ".elphant-run"

#: Endings of compressed files that are no part of a name.
COMPRESSIONS = (".xz", ".lzma", ".gz", ".bz2")


def run_name(source: str | Path) -> str:
    """Return the name of the run of a file or folder: ``Si.v2`` for ``data/Si.v2.yaml.xz``."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path.resolve().name or "elphant"  # "." has no name of its own
    name = path.name
    for suffix in COMPRESSIONS:
        name = name.removesuffix(suffix)
    return Path(name).stem


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """Paths of one run.

    Attributes
    ----------
    path : Path
        The folder itself.
    """

    path: Path

    @classmethod
    def create(cls, path: Path) -> RunDirectory:
        """Create the folder, or reopen one that an earlier run made.

        Raises
        ------
        StoreError
            If ``path`` is a file, or a folder with other content in it.
        """
        path = path.expanduser()
        if path.exists() and not path.is_dir():
            raise StoreError(f"'{path}' is a file, not a folder.", fix="Choose another --output.")
        marker = path / MARKER
        if path.is_dir() and not marker.exists() and any(path.iterdir()):
            raise StoreError(
                f"'{path}' exists and was not made by elphant.",
                "Nothing in it was touched.",
                "Choose another --output, or empty the folder.",
            )
        with translated_io_errors(path):
            (path / "stages").mkdir(parents=True, exist_ok=True)
            marker.touch()
        return cls(path=path)

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open the folder of an existing run.

        Raises
        ------
        StoreError
            If there is no run in ``path``.
        """
        if not (path / MARKER).exists() and not (path / "results.json").exists():
            raise StoreError(
                f"'{path}' is not the directory of a run.",
                fix="Give the folder that 'elphant run' or 'elphant kappa' created.",
            )
        return cls(path=path)

    @property
    def configuration(self) -> Path:
        """Resolved configuration."""
        return self.path / "run.yaml"

    @property
    def results(self) -> Path:
        """Public results."""
        return self.path / "results.json"

    @property
    def data(self) -> Path:
        """Arrays."""
        return self.path / "data.h5"

    @property
    def publication(self) -> Path:
        """What the results rest on, and the sha256 with which they were written."""
        return self.path / "stages" / "published.json"

    @property
    def report(self) -> Path:
        """HTML report."""
        return self.path / "report.html"

    @property
    def structure(self) -> Path:
        """Input copy, relaxed structure and frame."""
        return self.path / "structure"

    @property
    def exchange(self) -> Path:
        """Files for other programs."""
        return self.path / "exchange"

    @property
    def log(self) -> Path:
        """Log, one JSON object per line."""
        return self.path / "log.jsonl"

    def stage(self, name: str, version: int, inputs: Mapping[str, Any]) -> Stage:
        """Return the content-addressed stage of these inputs."""
        return Stage(self.path / "stages", name, version, inputs)

    def append_log(self, event: str, **fields: Any) -> None:
        """Append one line to the log; a single small write, so that lines do not mix."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "pid": os.getpid(), "event": event}
        text = json.dumps(line | fields, default=str) + "\n"
        with translated_io_errors(self.log), self.log.open("a", encoding="utf-8") as stream:
            stream.write(text)

"""Weights files: where they are, how they are fetched, and how they are checked.

A run never downloads. ``elphant models fetch NAME`` calls :func:`fetch`; everything else calls
:func:`weights_path`, which fails early and clearly when a file is not in the cache.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from elphant.errors import DependencyError, ModelError
from elphant.models.entry import ModelEntry
from elphant.models.registry import find_model
from elphant.store.atomic import sha256_of_file, write_text

logger = logging.getLogger(__name__)

#: Called with (bytes on disk, total bytes or None) while a file is being fetched.
ProgressCallback = Callable[[int, int | None], None]

_CHUNK: Final = 1 << 20
_RETRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedWeights:
    """A weights file that is ready for use.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        Its digest.
    pinned : bool
        True when the digest was known beforehand; False on the first, trusted, use.
    licence_line : str
        Terms of use, one line.
    """

    path: Path
    sha256: str
    pinned: bool
    licence_line: str


def cache_directory() -> Path:
    """Return the directory of fetched weights (``$ELPHANT_CACHE`` or the user's cache)."""
    override = os.environ.get("ELPHANT_CACHE")
    if override:
        return Path(override).expanduser() / "models"
    import platformdirs

    return Path(platformdirs.user_cache_dir("elphant", appauthor=False)) / "models"


def is_offline() -> bool:
    """Return True when ``ELPHANT_OFFLINE`` forbids network access."""
    return os.environ.get("ELPHANT_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def weights_state(entry: ModelEntry) -> str:
    """Return where the weights of a model are, in one or two words (digest not checked)."""
    try:
        present = _location(entry).is_file()
    except DependencyError:
        return f"needs {entry.package}"
    if entry.location == "download":
        return "in cache" if present else "to fetch"
    return ("installed" if entry.location == "installed" else "user file") if present else "missing"


def fetch_weights(entry: ModelEntry, *, progress: ProgressCallback | None = None) -> Path:
    """Fetch the weights of a registry entry and return the checked file; see :func:`fetch`."""
    return fetch(entry.name, progress=progress).path


def weights_path(name: str) -> FetchedWeights:
    """Return the checked weights file of a named model without touching the network.

    Raises
    ------
    ModelError
        If the file is not on this machine, or its sha256 is not the recorded one.
    DependencyError
        If the weights come with a package that is not installed.
    """
    entry = find_model(name)
    path = _location(entry)
    if not path.is_file():
        if entry.location == "user":
            raise ModelError(
                f"the file of model '{entry.name}' is gone: {path}.",
                fix="Move it back, or register it again with elphant models add.",
            )
        raise ModelError(
            f"the weights of '{entry.name}' are not in the cache ({path.parent}).",
            "A run does not download anything by itself.",
            f"Run `elphant models fetch {entry.name}` first.",
        )
    return _checked(entry, path)


def fetch(
    name: str,
    *,
    progress: ProgressCallback | None = None,
    timeout: float = 60.0,
) -> FetchedWeights:
    """Download the weights of a named model into the cache, resuming an interrupted transfer.

    Parameters
    ----------
    name : str
        Name or alias of the model.
    progress : callable, optional
        Called with (bytes received, total bytes or None).
    timeout : float
        Seconds without data after which the connection is given up.

    Raises
    ------
    ModelError
        If offline mode is set, the transfer fails, or the digest is not the pinned one.
    """
    entry = find_model(name)
    path = _location(entry)
    if not path.is_file() and entry.location == "download":
        if is_offline():
            raise ModelError(
                f"the weights of '{entry.name}' are not in the cache; "
                f"run `elphant models fetch {entry.name}` first.",
                "Offline mode is on (ELPHANT_OFFLINE), so nothing is downloaded now.",
                "Fetch on a machine with network access and copy the cache directory "
                f"{path.parent.parent}, or unset ELPHANT_OFFLINE.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(entry, path, progress, timeout)
    result = _checked(entry, path) if path.is_file() else weights_path(name)
    logger.info("%s", result.licence_line)
    return result


def _location(entry: ModelEntry) -> Path:
    """Return where the weights file belongs, whether or not it is there."""
    if entry.location == "user":
        return Path(entry.path)
    if entry.location == "download":
        file = Path(urlsplit(entry.url).path).name
        return cache_directory() / entry.name / file
    # find_spec locates the package without importing it: sevenn takes seconds to import.
    spec = importlib.util.find_spec(entry.package)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(
            f"the weights of '{entry.name}' come with the package {entry.package}, "
            "which is not installed here.",
            fix="Install it with: pip install 'elphant[sevennet]'; or use --potential-python "
            "with an environment that has it.",
        )
    return Path(next(iter(spec.submodule_search_locations))) / entry.package_file


def _checked(entry: ModelEntry, path: Path) -> FetchedWeights:
    """Compare the digest with the pinned one, or with the one recorded on first use."""
    digest = sha256_of_file(path)
    record = path.with_name(path.name + ".sha256.json")
    known, pinned = entry.sha256, bool(entry.sha256)
    if not known and record.is_file():
        try:
            known = str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"the digest record '{record}' is damaged.", fix="Delete it and fetch again."
            ) from error
    if known and known != digest:
        raise ModelError(
            f"the weights file of '{entry.name}' has changed: sha256 {digest[:16]}… "
            f"instead of {known[:16]}….",
            "It is damaged, replaced, or of another version; loading it could run foreign code.",
            f"Delete '{path}' and fetch or install it again.",
        )
    if not known:
        text = json.dumps({"url": entry.url, "sha256": digest, "trusted": "on first use"})
        write_text(record, text + "\n")
        logger.info("%s: no published digest; sha256 %s recorded on first use", entry.name, digest)
    return FetchedWeights(
        path=path,
        sha256=digest,
        pinned=pinned,
        licence_line=entry.licence_line,
    )


def _download(
    entry: ModelEntry, path: Path, progress: ProgressCallback | None, timeout: float
) -> None:
    """Fetch ``entry.url`` into ``path`` by way of ``<path>.part``."""
    part = path.with_name(path.name + ".part")
    failure: Exception | None = None
    for _ in range(_RETRIES):
        try:
            if _transfer(entry.url, part, progress, timeout):
                break
            failure = ConnectionError("the connection closed before the file was complete")
        except (HTTPError, URLError, OSError) as error:
            failure = error
            if isinstance(error, HTTPError):
                error.close()
                if 400 <= error.code < 500:
                    break
    else:
        raise ModelError(
            f"the weights of '{entry.name}' could not be fetched completely: {failure}.",
            f"Address: {entry.url}",
            f"What has arrived is kept in '{part}'; run the same command again to resume.",
        ) from failure
    if isinstance(failure, HTTPError) and 400 <= failure.code < 500:
        raise ModelError(
            f"the weights of '{entry.name}' could not be fetched: {failure}.",
            f"Address: {entry.url}",
            "Fetch the file by hand and register it: elphant models add NAME FILE.",
        ) from failure
    digest = sha256_of_file(part)
    if entry.sha256 and digest != entry.sha256:
        part.unlink()
        raise ModelError(
            f"the fetched weights of '{entry.name}' are wrong: sha256 {digest[:16]}… "
            f"instead of {entry.sha256[:16]}….",
            "The transfer was damaged, or the file behind the address has been replaced.",
            "Try again; if it persists, do not use the file.",
        )
    part.replace(path)


def _transfer(url: str, part: Path, progress: ProgressCallback | None, timeout: float) -> bool:
    """Receive one response into ``part``; return True when the file is complete."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ModelError(f"'{url}' is not an http(s) address.", fix="Correct the model entry.")
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "elphant"} | ({"Range": f"bytes={have}-"} if have else {})
    request = Request(url, headers=headers)  # noqa: S310  scheme checked above
    try:
        response = urlopen(request, timeout=timeout)  # noqa: S310
    except HTTPError as error:
        # 416: nothing is left to send, the part is already complete (or longer than the file).
        total = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
        if error.code == 416 and total.isdigit():
            error.close()
            if int(total) == have:
                return True
            part.unlink()
            return False
        raise
    with response:
        resumed = response.status == 206
        if not resumed:
            have = 0  # the server ignores Range and sends the whole file again
        length = response.headers.get("Content-Length")
        total_bytes = have + int(length) if length is not None else None
        with part.open("ab" if resumed else "wb") as stream:
            while chunk := response.read(_CHUNK):
                stream.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have, total_bytes)
    return total_bytes is None or have >= total_bytes

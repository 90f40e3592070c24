"""Which files of a phonopy, phono3py or ShengBTE calculation lie at a path."""

from __future__ import annotations

import gzip
import lzma
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elphant.errors import StoreError

_COMPRESSIONS = ("", ".xz", ".lzma", ".gz")
_SHENGBTE = ("FORCE_CONSTANTS_2ND", "FORCE_CONSTANTS_3RD", "FORCE_CONSTANTS_4TH")
_SUPPORTED = (
    "Accepted: phono3py_params.yaml, phono3py yaml with FORCES_FC3 or fc2.hdf5 + fc3.hdf5, "
    "phonopy_params.yaml, phonopy yaml with FORCE_SETS or force_constants.hdf5, POSCAR + "
    "FORCE_SETS + phonopy.conf or disp.yaml, or CONTROL (or POSCAR) + FORCE_CONSTANTS_2ND and "
    "optionally _3RD and _4TH of ShengBTE or FourPhonon; each optionally .xz or .gz and with BORN; "
    "or a folder of such files."
)


@dataclass(frozen=True, slots=True)
class ImportSource:
    """What was found: a yaml file, plain FORCE_SETS, or a set of ShengBTE files.

    ``kind`` is ``phonopy``, ``phono3py``, ``FORCE_SETS`` or ``shengbte``.
    """

    kind: str
    path: Path
    folder: Path

    def beside(self, *patterns: str) -> Path | None:
        """Return the first file in the folder that matches a pattern, compressed or not.

        The plain name comes first; a pattern with ``*`` must match exactly one file.
        """
        for pattern in patterns:
            for ending in _COMPRESSIONS:
                found = sorted(self.folder.glob(pattern + ending))
                if len(found) > 1:
                    names = ", ".join(f.name for f in found)
                    raise StoreError(
                        f"several files in '{self.folder}' could be meant: {names}.",
                        fix="Keep one of them in the folder.",
                    )
                if found:
                    return found[0]
        return None


def locate(path: Path) -> ImportSource:
    """Return what a file or folder holds.

    Raises
    ------
    StoreError
        If it is missing, ambiguous, or not of a supported kind.
    """
    if not path.exists():
        raise StoreError(f"'{path}' does not exist.", fix="Check the path and its spelling.")
    if path.is_dir():
        return _locate_in_folder(path)
    if path.name.startswith(("FORCE_CONSTANTS_", "CONTROL")):
        return ImportSource("shengbte", path, path.parent)
    header = _header(path)
    for kind in ("phono3py", "phonopy"):
        if re.search(rf"^{kind}:", header, re.MULTILINE):
            return ImportSource(kind, path, path.parent)
    if path.name.startswith(
        ("FORCE", "fc2", "fc3", "force_constants", "disp.yaml", "phonopy.conf")
    ):
        return _locate_in_folder(path.parent)
    raise StoreError(
        f"'{path}' is not a file of phonopy, phono3py or ShengBTE.",
        "Its first lines hold neither 'phonopy:' nor 'phono3py:'.",
        _SUPPORTED,
    )


def _locate_in_folder(folder: Path) -> ImportSource:
    # Files that hold forces come first, then descriptions that need a companion.
    for stem in ("phono3py_params", "phono3py_disp", "phono3py", "phonopy_params", "phonopy_disp"):
        for ending in _COMPRESSIONS:
            path = folder / f"{stem}.yaml{ending}"
            if path.is_file():
                return locate(path)
    candidates = [
        p for p in sorted(folder.glob("*.yaml*")) if re.search(r"^phono3?py:", _header(p), re.M)
    ]
    complete = [p for p in candidates if "_params" in p.name]
    if len(complete or candidates) == 1:
        return locate((complete or candidates)[0])
    if len(candidates) > 1:
        names = ", ".join(p.name for p in candidates)
        raise StoreError(
            f"several calculations in '{folder}': {names}.", fix="Name one of the files."
        )
    if (folder / "FORCE_SETS").is_file():
        return ImportSource("FORCE_SETS", folder / "FORCE_SETS", folder)
    for name in _SHENGBTE:
        for ending in _COMPRESSIONS:
            if (folder / f"{name}{ending}").is_file():
                return ImportSource("shengbte", folder / f"{name}{ending}", folder)
    raise StoreError(f"no force constants or force sets found in '{folder}'.", "", _SUPPORTED)


def _header(path: Path) -> str:
    """Return the first 4 kB of a text file, decompressed; empty if it is none."""
    try:
        with open_text(path) as file:
            return str(file.read(4096))
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError):
        return ""


def open_text(path: Path) -> Any:
    """Open a text file for reading, decompressing .xz, .lzma and .gz."""
    if path.suffix in (".xz", ".lzma"):
        return lzma.open(path, "rt", encoding="utf-8")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")

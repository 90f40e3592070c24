"""Arrays of ``data.h5`` on the electronic structure, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

Array = NDArray[np.float64]

_BANDS = "electrons/bands"
_DOS = "electrons/dos"
_ELF = "electrons/elf"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ElectronBands:
    """Electron bands along a path through the Brillouin zone of the user's cell.

    Attributes
    ----------
    distance : ndarray, (n_points,) 1/Å
    k_point : ndarray, (n_points, 3)
        Fractions of the reciprocal vectors of the user's cell.
    energy : ndarray, (n_points, n_bands) eV
        Relative to the valence-band maximum.
    label_distance : ndarray, (n_labels,) 1/Å
    labels : tuple of str
    segment_start : ndarray of int, (n_segments,)
        Index of the first point of every connected piece.
    """

    distance: Array
    k_point: Array
    energy: Array
    label_distance: Array
    labels: tuple[str, ...]
    segment_start: NDArray[np.int64]

    @property
    def segments(self) -> tuple[slice, ...]:
        """One slice of points per connected piece of the path."""
        starts = [*self.segment_start.tolist(), len(self.distance)]
        return tuple(slice(i, j) for i, j in pairwise(starts) if j > i)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ElectronDos:
    """Density of states: (n_e,) eV and states/eV/cell, total and by ``<element>-<shell>``."""

    energy: Array
    total: Array
    projections: Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalizationGrid:
    """Electron localization function at the points i/n of the cell.

    Attributes
    ----------
    elf : ndarray, (n1, n2, n3)
    density : ndarray, (n1, n2, n3) e/Å³, or None
    """

    elf: Array
    density: Array | None


def read_electron_arrays(file: h5py.File) -> dict[str, Any]:
    """Return the arrays of RunData on electrons; None where the file has none."""
    return {
        "electron_bands": _bands(file[_BANDS]) if _BANDS in file else None,
        "electron_dos": _dos(file[_DOS]) if _DOS in file else None,
        "has_localization": f"{_ELF}/elf" in file,
    }


def read_localization(path: Path) -> LocalizationGrid:
    """Return the grids of a file; the last one read is kept, as several figures need it."""
    return _read_localization(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read_localization(path: Path, _changed: int) -> LocalizationGrid:
    import h5py

    with h5py.File(path, "r") as file:
        group = file[_ELF]
        density = np.asarray(group["density"][()], dtype=float) if "density" in group else None
        return LocalizationGrid(elf=np.asarray(group["elf"][()], dtype=float), density=density)


def _bands(group: h5py.Group) -> ElectronBands:
    labels = tuple(
        text.decode() if isinstance(text, bytes) else str(text) for text in group["label"][()]
    )
    return ElectronBands(
        distance=group["distance"][()],
        k_point=group["k_point"][()],
        energy=group["energy"][()],
        label_distance=group["label_distance"][()],
        labels=labels,
        segment_start=np.asarray(group["segment_start"][()], dtype=int),
    )


def _dos(group: h5py.Group) -> ElectronDos:
    parts = group.get("projection", {})
    return ElectronDos(
        energy=group["energy"][()],
        total=group["total"][()],
        projections={name: parts[name][()] for name in parts},
    )

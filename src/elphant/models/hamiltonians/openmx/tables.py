"""Readers of the ``.pao`` and ``.vps`` tables of the OpenMX database DFT_DATA19.

A table is a text file: ``key value`` lines, and blocks between ``<name`` and ``name>``. Radial
functions stand on a logarithmic grid, one line per point: ln r, r, values. Lengths are in bohr and
energies in hartree, and stay so inside this package: conversion is at its border.

The files are not part of elphant (GPL-3, T. Ozaki and co-workers); users name their own folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.errors import ModelError
from elphant.store.atomic import sha256_of_file

Array = NDArray[np.float64]

#: Year in the name of the pseudopotentials of the release that elphant reads.
RELEASE = "19"

#: Exchange-correlation functional of the pseudopotentials.
FUNCTIONAL = "PBE"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PaoTable:
    """Pseudo-atomic orbitals of one element.

    Attributes
    ----------
    number : int
        Atomic number.
    cutoff : float, bohr
        Radius at which the orbitals end.
    r : ndarray, (n_r,) bohr
        Logarithmic grid.
    density : ndarray, (n_r,) bohr⁻³
        Density of the valence electrons, spherical mean.
    orbitals : tuple of ndarray, (n_shells, n_r) bohr^(-3/2)
        Radial functions R of l = 0, 1, ...; used as they are, without normalisation.
    sha256 : str
    """

    number: int
    cutoff: float
    r: Array
    density: Array
    orbitals: tuple[Array, ...]
    sha256: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "r", checked_array("r", self.r, (None,)))
        density = checked_array("density", self.density, (len(self.r),))
        object.__setattr__(self, "density", density)
        orbitals = [checked_array("orbitals", f, (None, len(self.r))) for f in self.orbitals]
        object.__setattr__(self, "orbitals", tuple(orbitals))
        if not 0 < self.cutoff <= self.r[-1] or not (np.diff(self.r) > 0).all() or self.r[0] <= 0:
            raise ValueError("the radial grid does not reach the cut-off, or does not ascend")

    @property
    def l_max(self) -> int:
        """Largest angular momentum in the table."""
        return len(self.orbitals) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VpsTable:
    """Norm-conserving separable pseudopotential of one element.

    Attributes
    ----------
    name : str
        Name that the file gives itself, as ``Si_PBE19``.
    number : int
        Atomic number.
    n_valence : float
        Valence electrons of the neutral atom.
    core_charge : float
        Charge of the ion, valence electrons plus whatever the atom was charged with.
    j_dependent : bool
        Whether projectors differ between j = l + 1/2 and l - 1/2.
    r : ndarray, (n_r,) bohr
        Logarithmic grid.
    local : ndarray, (n_r,) Ha
        Local potential.
    l : ndarray of int, (n_projectors,)
        Angular momentum of each projector.
    energies : ndarray, (n_projectors, 2) Ha
        Strengths for j = l + 1/2 and l - 1/2.
    projectors : ndarray, (n_projectors, 2, n_r) bohr^(-3/2)
        Radial functions for j = l + 1/2 and l - 1/2.
    sha256 : str
    """

    name: str
    number: int
    n_valence: float
    core_charge: float
    j_dependent: bool
    r: Array
    local: Array
    l: NDArray[np.int64]  # noqa: E741  the field's own letter
    energies: Array
    projectors: Array
    sha256: str

    def __post_init__(self) -> None:
        n, n_r = len(self.l), len(self.r)
        for name, shape, dtype in (
            ("r", (None,), float),
            ("local", (n_r,), float),
            ("l", (n,), np.int64),
            ("energies", (n, 2), float),
            ("projectors", (n, 2, n_r), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))
        if not (np.diff(self.r) > 0).all() or self.r[0] <= 0:
            raise ValueError("the radial grid does not ascend")
        if not (self.n_valence > 0.0 and self.core_charge > 0.0):
            raise ValueError(f"it has {self.n_valence} valence electrons")
        if n and (self.l.min() < 0 or self.l.max() > 3):
            raise ValueError("a projector has an angular momentum beyond f")


def read_pao(path: str | Path) -> PaoTable:
    """Return the orbitals of a ``.pao`` file.

    Raises
    ------
    ModelError
        If the file is missing, cut short, or of another kind.
    """
    text = _TableText(Path(path), "orbital table (.pao)")
    try:
        density = text.block("valence.charge.density")
        n_l, n_shells = int(text.value("PAO.Lmax")) + 1, int(text.value("PAO.Mul"))
        if not 1 <= n_l <= 8 or not 1 <= n_shells <= 100:
            raise ValueError(f"it announces {n_shells} shells of {n_l} angular momenta")
        tables = [text.block(f"pseudo.atomic.orbitals.L={ell}") for ell in range(n_l)]
        for table in tables:
            if table.shape != (len(density), n_shells + 2):
                raise ValueError(
                    f"a block of orbitals has shape {table.shape} in place of "
                    f"{(len(density), n_shells + 2)}"
                )
            if not np.allclose(table[:, 1], density[:, 1], rtol=1e-9):
                raise ValueError("orbitals and density have different radial grids")
        return PaoTable(
            number=int(text.value("AtomSpecies")),
            cutoff=float(text.value("radial.cutoff.pao")),
            r=density[:, 1],
            density=density[:, 2],
            orbitals=tuple(table[:, 2:].T for table in tables),
            sha256=text.sha256,
        )
    except (ValueError, IndexError) as error:
        raise text.error(str(error)) from error


def read_vps(path: str | Path) -> VpsTable:
    """Return the pseudopotential of a ``.vps`` file.

    Raises
    ------
    ModelError
        If the file is missing, cut short, or of another kind.
    """
    text = _TableText(Path(path), "pseudopotential (.vps)")
    try:
        j_dependent = text.value("j.dependent.pseudo.potentials", "off").lower() == "on"
        columns = 2 if j_dependent else 1
        energies = text.block("project.energies", skip_count=True)
        if energies.ndim != 2 or energies.shape[1] != 1 + columns:
            raise ValueError(f"the projector energies have shape {energies.shape}")
        table = text.block("Pseudo.Potentials")
        n = len(energies)
        if table.shape[1] != 3 + columns * n:
            raise ValueError(
                f"the potentials have {table.shape[1]} columns in place of {3 + columns * n}"
            )
        projectors = table[:, 3:].T.reshape(n, columns, -1)
        z, valence = int(text.value("AtomSpecies")), float(text.value("valence.electron"))
        return VpsTable(
            name=text.value("System.Name", ""),
            number=z,
            n_valence=valence,
            core_charge=valence + z - float(text.value("total.electron")),
            j_dependent=j_dependent,
            r=table[:, 1],
            local=table[:, 2],
            l=np.round(energies[:, 0]).astype(np.int64),
            energies=np.broadcast_to(energies[:, 1:], (n, 2)),
            projectors=np.broadcast_to(projectors, (n, 2, len(table))),
            sha256=text.sha256,
        )
    except (ValueError, IndexError) as error:
        raise text.error(str(error)) from error


class _TableText:
    """Keys and blocks of one file; every failure becomes a :class:`ModelError`."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        try:
            self._lines = path.read_text(encoding="ascii", errors="replace").splitlines()
            self.sha256 = sha256_of_file(path)
        except OSError as error:
            raise ModelError(
                f"'{path}' cannot be read: {error.strerror or error}.",
                f"It should be an OpenMX {kind}.",
                "Check the folder of the DFT_DATA19 database.",
            ) from error

    def error(self, reason: str) -> ModelError:
        """Return the error of a file that cannot be used."""
        return ModelError(
            f"'{self.path}' is not a usable OpenMX {self.kind}: {reason}.",
            "It is cut short, damaged, or of another kind or release.",
            f"Copy the file again from the DFT_DATA{RELEASE} database of OpenMX 3.9.",
        )

    def value(self, key: str, default: str | None = None) -> str:
        """Return the first word after a key."""
        pattern = re.compile(rf"\s*{re.escape(key)}\s+(\S+)")
        for line in self._lines:
            found = pattern.match(line)
            if found:
                return found.group(1)
        if default is None:
            raise ValueError(f"the key '{key}' is missing")
        return default

    def block(self, name: str, *, skip_count: bool = False) -> Array:
        """Return the numbers between ``<name`` and ``name>``, one row per line."""
        lines = [line.strip() for line in self._lines]
        start = next((i for i, line in enumerate(lines) if line == f"<{name}"), None)
        if start is None:
            raise ValueError(f"the block '{name}' is missing")
        stop = next((i for i in range(start, len(lines)) if lines[i] == f"{name}>"), None)
        if stop is None:
            raise ValueError(f"the block '{name}' has no end")
        rows = [line.split() for line in lines[start + 1 : stop] if line]
        if skip_count:
            count = int(rows.pop(0)[0])
            if count != len(rows):
                raise ValueError(f"the block '{name}' has {len(rows)} rows in place of {count}")
        if not rows or len({len(row) for row in rows}) != 1:
            raise ValueError(f"the rows of the block '{name}' have different lengths")
        return np.array(rows, dtype=float)

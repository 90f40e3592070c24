"""A user's folder of the OpenMX database: names of bases, files, and their checks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from elphant.crystal.elements import symbols_of
from elphant.errors import ModelError
from elphant.models.hamiltonians.openmx.integrals import IntegralTables
from elphant.models.hamiltonians.openmx.species import OpenMXSpecies
from elphant.models.hamiltonians.openmx.tables import FUNCTIONAL, RELEASE, read_pao, read_vps


def _standard_basis() -> dict[str, str]:
    """Return the basis of each element, ``<file>-<shells>``."""
    groups = {
        "s2p1": "H6.0 He8.0",
        "s3p2": "Li8.0",
        "s2p2": "Be7.0",
        "s2p2d1": "B7.0 C6.0 N6.0 O6.0 F6.0 Ne9.0 Al7.0 Si7.0 P7.0 S7.0 Cl7.0 Ar9.0",
        "s3p2d1": "Na9.0 Mg9.0 K10.0 Ca9.0 Sc9.0 Ti7.0 V6.0 Cr6.0 Mn6.0 Fe5.5H Co6.0H Ni6.0H "
        "Cu6.0H Zn6.0H",
        "s3p2d2": "Ga7.0 Ge7.0 As7.0 Se7.0 Br7.0 Kr10.0 Rb11.0 Sr10.0 Y10.0 Zr7.0 Nb7.0 Mo7.0 "
        "Tc7.0 Ru7.0 Rh7.0 Pd7.0 Ag7.0 Cd7.0 In7.0 Sn7.0 Sb7.0 Xe11.0 Cs12.0 Ba10.0",
        "s3p2d2f1": "Te7.0 I7.0 La8.0 Ce8.0 Pr8.0 Nd8.0 Pm8.0 Sm8.0 Dy8.0 Ho8.0 Lu8.0 Hf9.0 "
        "Ta7.0 W7.0 Re7.0 Os7.0 Ir7.0 Pt7.0 Au7.0 Hg8.0 Tl8.0 Pb8.0 Bi8.0",
    }
    table = {}
    for shells, files in groups.items():
        for file in files.split():
            symbol = re.match(r"[A-Z][a-z]?", file)
            assert symbol
            table[symbol.group()] = f"{file}-{shells}"
    return table


#: Basis of each element in the 26-orbital layout of the universal network; other bases may be
#: named explicitly. Y. Zhong et al., arXiv:2504.19586 (2025).
STANDARD_BASIS = _standard_basis()


class OpenMXData:
    """The folder of a user's own copy of the OpenMX database DFT_DATA19.

    Files are read when a species is first asked for.

    Parameters
    ----------
    path : path-like
        Folder with ``PAO`` and ``VPS``.

    Raises
    ------
    ModelError
        If the folder lacks them.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._species: dict[str, OpenMXSpecies] = {}
        self._tables: dict[tuple[str, ...], IntegralTables] = {}
        missing = [name for name in ("PAO", "VPS") if not (self.path / name).is_dir()]
        if missing:
            raise ModelError(
                f"'{self.path}' has no folder {' and '.join(missing)}.",
                "The OpenMX database holds orbital tables in PAO and pseudopotentials in VPS.",
                f"Name the folder DFT_DATA{RELEASE} of an OpenMX 3.9 distribution "
                "(openmx-square.org; GPL-3, not part of elphant).",
            )

    def species(self, symbol: str, basis: str | None = None) -> OpenMXSpecies:
        """Return an element with a basis such as ``Si7.0-s2p2d1``.

        Parameters
        ----------
        symbol : str
        basis : str, optional
            :data:`STANDARD_BASIS` when not given.

        Raises
        ------
        ModelError
            If the element has no standard basis, the basis name is wrong, a file is missing,
            damaged, of another element or release, or has fewer orbitals than the basis names.
        """
        if basis is None:
            basis = STANDARD_BASIS.get(symbol)
        if basis is None:
            raise ModelError(
                f"{symbol} has no standard OpenMX basis.",
                f"Those known are of {', '.join(STANDARD_BASIS)}.",
                "Name one explicitly, such as basis={'Gd': 'Gd8.0-s3p2d2f1'}.",
            )
        if basis not in self._species:
            self._species[basis] = self._read(symbol, basis)
        found = self._species[basis]
        if found.symbol != symbol:
            raise _wrong_basis(symbol, basis, f"it is a basis of {found.symbol}")
        return found

    def tables(
        self, symbols: tuple[str, ...], basis: Mapping[str, str] | None = None
    ) -> IntegralTables:
        """Return the integral tables of a crystal's elements, kept for the next crystal.

        Elements missing in ``basis`` take the standard one.

        Raises
        ------
        ModelError
            As :meth:`species`, or if ``basis`` names an element that is not there.
        """
        basis = basis or {}
        unknown = [symbol for symbol in basis if symbol not in symbols]
        if unknown:
            raise ModelError(
                f"a basis is given for {', '.join(unknown)}, which the crystal does not contain.",
                f"Its elements are {', '.join(dict.fromkeys(symbols))}.",
                "Leave it out, or check the element symbol.",
            )
        species = {s: self.species(s, basis.get(s)) for s in sorted(set(symbols))}
        key = tuple(entry.basis for entry in species.values())
        if key not in self._tables:
            self._tables[key] = IntegralTables(species)
        return self._tables[key]

    def files(self, symbol: str, basis: str) -> tuple[Path, Path]:
        """Return the files of orbitals and pseudopotential of a basis, without reading them.

        Raises
        ------
        ModelError
            If the basis name is wrong, or a file is missing.
        """
        stem, _ = _parsed(symbol, basis)
        return (
            self._file("PAO", f"{stem}.pao", symbol, rf"{symbol}\d.*\.pao"),
            self._file("VPS", f"{_vps_name(symbol, stem)}.vps", symbol, rf"{symbol}_.*\.vps"),
        )

    def _read(self, symbol: str, basis: str) -> OpenMXSpecies:
        stem, shells = _parsed(symbol, basis)
        vps_name = _vps_name(symbol, stem)
        pao_path, vps_path = self.files(symbol, basis)
        pao, vps = read_pao(pao_path), read_vps(vps_path)
        for path, number in ((pao_path, pao.number), (vps_path, vps.number)):
            if symbols_of(np.array([number]))[0] != symbol:
                raise ModelError(
                    f"'{path}' holds a table of element {number}, not of {symbol}.",
                    "The file was renamed or is damaged.",
                    f"Copy it again from the DFT_DATA{RELEASE} database.",
                )
        written = re.fullmatch(rf"{symbol}_([A-Z]+\d+).*", vps.name)
        if written and written.group(1) != f"{FUNCTIONAL}{RELEASE}":
            raise ModelError(
                f"'{vps_path}' says that it is {vps.name}.",
                f"elphant reads the release {FUNCTIONAL}{RELEASE}: numbers of others differ.",
                f"Copy {vps_name}.vps from the DFT_DATA{RELEASE} database.",
            )
        for ell, count in shells:
            available = len(pao.orbitals[ell]) if ell <= pao.l_max else 0
            if count > available:
                found = f"'{pao_path.name}' has {available} shells of {'spdfg'[ell]}"
                raise _wrong_basis(symbol, basis, found)
        return OpenMXSpecies(
            symbol=symbol, basis=basis, vps_name=vps_name, shells=shells, pao=pao, vps=vps
        )

    def _file(self, folder: str, name: str, symbol: str, pattern: str) -> Path:
        path = self.path / folder / name
        if path.is_file():
            return path
        others = sorted(
            entry.name for entry in path.parent.iterdir() if re.fullmatch(pattern, entry.name)
        )
        reason = f"The folder has no table of {symbol}."
        if others:
            reason = f"The folder has {', '.join(others)}: another basis, functional or release."
        raise ModelError(
            f"'{path}' does not exist.",
            reason,
            f"Name a complete DFT_DATA{RELEASE} folder of OpenMX 3.9, or a basis that is there.",
        )


@lru_cache(maxsize=256)
def _parsed(symbol: str, basis: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the stem of the file and (l, number of shells) of a basis name."""
    found = re.fullmatch(rf"({re.escape(symbol)}\d+\.\d+[A-Z]?)-((?:[spdf]\d)+)", basis)
    if not found:
        raise _wrong_basis(symbol, basis, "it does not have the form <symbol><radius>-s2p2d1")
    shells = [("spdf".index(a), int(b)) for a, b in re.findall(r"([spdf])(\d)", found.group(2))]
    shells = [shell for shell in shells if shell[1]]
    if not shells or any(a[0] >= b[0] for a, b in pairwise(shells)):
        raise _wrong_basis(symbol, basis, "its shells are not in the order s, p, d, f")
    return found.group(1), tuple(shells)


def _vps_name(symbol: str, stem: str) -> str:
    # Hard and soft variants (a letter after the radius) have pseudopotentials of their own.
    variant = stem.removeprefix(symbol).lstrip("0123456789.")
    return f"{symbol}_{FUNCTIONAL}{RELEASE}{variant}"


def _wrong_basis(symbol: str, basis: str, reason: str) -> ModelError:
    example = STANDARD_BASIS.get(symbol, "Si7.0-s2p2d1")
    return ModelError(
        f"'{basis}' is not a usable basis of {symbol}: {reason}.",
        "A basis names the orbital table and the number of shells of s, p, d and f.",
        f"Use a name such as {example}.",
    )

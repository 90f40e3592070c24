"""The file of a local-orbital Hamiltonian: one HDF5 file, exact to the last bit.

Layout: groups ``crystal``, ``basis`` (with ``radial/<index>``), ``hamiltonian``, ``overlap`` and
``position/x, y, z``; scalars in the root attributes; the origin as JSON text. Every array carries
``unit``, ``axes`` and ``frame``. A sha256 over the content reveals a damaged file.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import StoreError
from elphant.orbitals.basis import OrbitalBasis
from elphant.orbitals.hamiltonian import HamiltonianOrigin, LocalOrbitalHamiltonian
from elphant.orbitals.lattice_matrix import LatticeMatrix
from elphant.store.atomic import canonical_json, sha256_of_arrays, write_atomically

#: Value of the root attribute ``format`` by which the file is recognised.
FILE_FORMAT = "elphant-hamiltonian"

#: Version of the layout; a reader accepts this one and older ones.
FILE_VERSION = 1

#: File ending of Hamiltonian files.
FILE_SUFFIX = ".h5"

FRAME = "Cartesian frame of the crystal as given, never rotated"
CONVENTION = (
    "O_ij(R) = <i 0|O|j R>, O(k) = sum_R exp(2 pi i k.R) O_ij(R); blocks (i, j, R) one after the "
    "other, row by row; real spherical harmonics without the Condon-Shortley phase"
)

#: Unit and axes of each array of the groups; a matrix's unit depends on what it holds.
CRYSTAL_ARRAYS = {
    "lattice": ("Å", "abc, xyz"),
    "fractional": ("1", "atom, abc"),
    "numbers": ("1", "atom"),
    "masses": ("amu", "atom"),
}
BASIS_ARRAYS = ("atom", "n", "l", "m", "spin", "radial_index")
MATRIX_ARRAYS = {
    "sizes": "atom",
    "pairs": "block, bra and ket atom",
    "cells": "block, abc",
    "values": "element",
}
RADIAL_UNITS = {
    "exponents": "Å^-2", "coefficients": "Å^(-3/2-l)", "radii": "Å", "values": "Å^(-3/2-l)",
}  # fmt: skip
DIRECTIONS = ("x", "y", "z")


def write_hamiltonian(path: str | Path, hamiltonian: LocalOrbitalHamiltonian) -> Path:
    """Write a Hamiltonian atomically and return the path; ``.h5`` is the usual ending.

    Raises
    ------
    StoreError
        If the file cannot be written.
    ResourceError
        If the disk is full.
    """
    import h5py

    path = Path(path)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = FILE_FORMAT
        file.attrs["format_version"] = FILE_VERSION
        file.attrs["frame"] = FRAME
        file.attrs["convention"] = CONVENTION
        file.attrs["n_electrons"] = float(hamiltonian.n_electrons)
        file.attrs["sha256"] = content_digest(hamiltonian)
        crystal = file.create_group("crystal")
        crystal.attrs["name"] = hamiltonian.crystal.name
        for name, (unit, axes) in CRYSTAL_ARRAYS.items():
            _put(crystal, name, getattr(hamiltonian.crystal, name), unit, axes)
        _write_basis(file.create_group("basis"), hamiltonian.basis)
        _write_matrix(file.create_group("hamiltonian"), hamiltonian.hamiltonian, "eV")
        if hamiltonian.overlap is not None:
            _write_matrix(file.create_group("overlap"), hamiltonian.overlap, "1")
        for direction, matrix in zip(DIRECTIONS, hamiltonian.position or (), strict=False):
            _write_matrix(file.create_group(f"position/{direction}"), matrix, "Å")
        file.create_dataset("origin", data=canonical_json(hamiltonian.origin.to_dict()))
    write_atomically(path, lambda stream: stream.write(buffer.getvalue()))
    return path


def read_hamiltonian(path: str | Path) -> LocalOrbitalHamiltonian:
    """Read a file of :func:`write_hamiltonian`; every number returns to the bit.

    Raises
    ------
    StoreError
        If the file is missing, damaged, of another kind, or of a newer version.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise StoreError(f"Hamiltonian file '{path}' does not exist.", fix="Check the path.")
    try:
        with h5py.File(path, "r") as file:
            _check_kind(path, file.attrs)
            hamiltonian = _read_content(file)
            expected = str(file.attrs["sha256"])
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise StoreError(
            f"Hamiltonian file '{path}' is damaged: {error}.",
            fix="Copy the file again, or compute it again.",
        ) from error
    if content_digest(hamiltonian) != expected:
        raise StoreError(
            f"Hamiltonian file '{path}' is damaged: its content does not match its sha256.",
            "It was changed or only partly copied after it was written.",
            "Copy the file again, or compute it again.",
        )
    return hamiltonian


def is_hamiltonian_file(path: str | Path) -> bool:
    """Return whether a file calls itself a Hamiltonian of elphant."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FILE_FORMAT)
    except (OSError, RuntimeError):
        return False


def content_digest(hamiltonian: LocalOrbitalHamiltonian) -> str:
    """Return the sha256 of everything that the file holds."""
    record = {
        "crystal": hamiltonian.crystal.to_dict(),
        "basis": hamiltonian.basis.to_dict(),
        "n_electrons": float(hamiltonian.n_electrons),
        "origin": hamiltonian.origin.to_dict(),
    }
    text = np.frombuffer(canonical_json(record).encode(), dtype=np.uint8)
    arrays = [
        getattr(matrix, name)
        for matrix in (
            hamiltonian.hamiltonian,
            *([hamiltonian.overlap] if hamiltonian.overlap is not None else []),
            *(hamiltonian.position or ()),
        )
        for name in MATRIX_ARRAYS
    ]
    return sha256_of_arrays(text, *arrays)


def _check_kind(path: Path, attributes: Any) -> None:
    kind = attributes.get("format")
    if kind != FILE_FORMAT:
        raise StoreError(
            f"'{path}' is an HDF5 file, but not a Hamiltonian of elphant.",
            "Its root attribute 'format' is " + (f"'{kind}'." if kind is not None else "missing."),
            "Name the file that elphant wrote, or import the other program's own output.",
        )
    version = int(attributes["format_version"])
    if not 1 <= version <= FILE_VERSION:
        raise StoreError(
            f"Hamiltonian file '{path}' has format version {version}; this elphant reads up to "
            f"{FILE_VERSION}.",
            "It was written by a newer version of elphant.",
            "Update elphant, or write the file again with this version.",
        )


def _write_basis(group: Any, basis: OrbitalBasis) -> None:
    for name in BASIS_ARRAYS:
        _put(group, name, getattr(basis, name), "1", "orbital")
    for index, function in enumerate(basis.radial):
        folder = group.create_group(f"radial/{index:04d}")
        for key, value in function.to_dict().items():
            if isinstance(value, list):
                _put(folder, key, np.array(value, float), RADIAL_UNITS.get(key, ""), "term")
            else:
                folder.attrs[key] = value


def _write_matrix(group: Any, matrix: LatticeMatrix, unit: str) -> None:
    for name, axes in MATRIX_ARRAYS.items():
        _put(group, name, getattr(matrix, name), unit if name == "values" else "1", axes)


def _put(group: Any, name: str, values: NDArray[Any], unit: str, axes: str) -> None:
    packing = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    dataset = group.create_dataset(name, data=values, **(packing if values.size > 1000 else {}))
    dataset.attrs["unit"] = unit
    dataset.attrs["axes"] = axes
    dataset.attrs["frame"] = FRAME


def _read_content(file: Any) -> LocalOrbitalHamiltonian:
    position = None
    if "position" in file:
        x, y, z = (_read_matrix(file[f"position/{direction}"]) for direction in DIRECTIONS)
        position = (x, y, z)
    arrays = {name: file["crystal"][name][()] for name in CRYSTAL_ARRAYS}
    return LocalOrbitalHamiltonian(
        crystal=Crystal(**arrays, name=str(file["crystal"].attrs["name"])),
        basis=_read_basis(file["basis"]),
        hamiltonian=_read_matrix(file["hamiltonian"]),
        overlap=_read_matrix(file["overlap"]) if "overlap" in file else None,
        n_electrons=float(file.attrs["n_electrons"]),
        origin=HamiltonianOrigin.from_dict(json.loads(file["origin"].asstr()[()])),
        position=position,
    )


def _read_basis(group: Any) -> OrbitalBasis:
    record: dict[str, Any] = {name: group[name][()] for name in BASIS_ARRAYS}
    radial = group.get("radial", {})
    record["radial"] = [
        {**_plain_attributes(radial[key]), **{name: radial[key][name][()] for name in radial[key]}}
        for key in sorted(radial)
    ]
    return OrbitalBasis.from_dict(record)


def _plain_attributes(group: Any) -> dict[str, Any]:
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in group.attrs.items()
    }


def _read_matrix(group: Any) -> LatticeMatrix:
    return LatticeMatrix(**{name: group[name][()] for name in MATRIX_ARRAYS})

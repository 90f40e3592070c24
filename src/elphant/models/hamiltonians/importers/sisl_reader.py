r"""Importer of whatever the ``sisl`` package reads: SIESTA, DFTB+ and others (optional extra).

sisl delivers eV and Å, :math:`\langle i\,0|H|j\,R\rangle`, and orbitals by atom. Where it knows
an orbital's l and m, its real harmonic (SIESTA's, with signs) is compared with elphant's on a
direction, and rows and columns of opposite sign are turned over. Where it does not, orbitals have
no angular momentum.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.crystal.io import read_crystal
from elphant.errors import DependencyError, ModelError, PhysicsError
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)
from elphant.orbitals.harmonics import solid_harmonics
from elphant.store.atomic import sha256_of_file

Array = NDArray[Any]

#: Kinds of files that hold no elements.
WITHOUT_ELEMENTS = (".tshs",)

#: Kinds of files made of Fortran's unformatted records.
FORTRAN_RECORDS = (".tshs", ".hsx")

#: Largest difference (Å) between the atoms of the file and those of the given structure.
POSITION_TOLERANCE = 1e-2

#: Azimuth and polar angle of a direction on which no real harmonic up to l = 4 vanishes.
AZIMUTH, POLAR = 0.3, 0.7


def read_with_sisl(
    path: str | Path, *, n_electrons: float | None, structure: Any = None
) -> LocalOrbitalHamiltonian:
    """Return the spin-free Hamiltonian of a file that sisl reads.

    Parameters
    ----------
    path : path-like
        For example ``siesta.fdf``, ``siesta.TSHS``, ``siesta.nc``, ``siesta.HSX``.
    n_electrons : float
        Valence electrons per cell; these files do not hold the number in a reliable way.
    structure : Crystal or file, optional
        The elements of the atoms, in the cell, frame and order of the file. Needed for ``.TSHS``
        files, which hold no elements.

    Raises
    ------
    DependencyError
        If sisl is not installed.
    ModelError
        If sisl cannot read a Hamiltonian from the file, the electron number or the elements are
        missing, or the structure is another one.
    PhysicsError
        If the Hamiltonian is spin-polarised, non-collinear or has spin-orbit coupling.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"Hamiltonian file '{path}' does not exist.", fix="Check the path.")
    if path.suffix.lower() in FORTRAN_RECORDS:
        _check_records(path)
    source = _read(path)
    if not source.spin.is_unpolarized:
        raise PhysicsError(
            f"the Hamiltonian in '{path}' has spin ({source.spin}).",
            "Of sisl's files elphant reads those without spin polarisation and spin-orbit "
            "coupling: two electrons per band.",
            "Repeat the calculation without spin, if the crystal is not magnetic.",
        )
    if n_electrons is None:
        raise ModelError(
            f"the number of valence electrons of '{path}' is not known.",
            "It depends on the pseudopotentials of the calculation.",
            "Give the number of electrons per cell.",
        )
    if structure is None and path.suffix.lower() in WITHOUT_ELEMENTS:
        raise ModelError(
            f"the elements of the atoms in '{path}' are not known.",
            "This kind of file holds positions only.",
            "Give the structure, or name the .fdf file beside it.",
        )
    try:
        return _converted(source, path, float(n_electrons), structure)
    except (ValueError, IndexError, TypeError) as error:
        raise ModelError(
            f"the Hamiltonian in '{path}' does not fit elphant: {error}.",
            "elphant needs a periodic crystal of chemical elements with orbitals on every atom.",
            "Check the file with sisl itself.",
        ) from error


def _read(path: Path) -> Any:
    try:
        import sisl
    except ImportError as error:
        raise DependencyError(
            f"'{path}' is read by the sisl package, which is not installed.",
            fix="Install it: pip install 'elphant[sisl]'.",
        ) from error
    # sisl's readers raise many kinds of errors for files that are not theirs.
    try:
        source = sisl.get_sile(str(path)).read_hamiltonian()
        if source is None:
            raise ValueError("no file with a Hamiltonian lies beside it")
        return source
    except Exception as error:
        raise ModelError(
            f"sisl reads no Hamiltonian from '{path}': {type(error).__name__}: {error}.",
            "The file is damaged, of a kind without H and S, or needs files that lie elsewhere.",
            "For SIESTA name the .fdf or .TSHS file with its companions beside it.",
        ) from error


def _check_records(path: Path) -> None:
    """Refuse a file whose records are not whole: sisl's reader would follow garbage for minutes."""
    size, place, whole = path.stat().st_size, 0, True
    with path.open("rb") as file:
        while whole and place < size:
            length = int.from_bytes(file.read(4), "little", signed=True)
            # Records beyond 2 GiB come in parts, marked by negative lengths.
            file.seek(abs(length), 1)
            place += 8 + abs(length)
            closing = int.from_bytes(file.read(4), "little", signed=True)
            whole = place <= size and abs(closing) == abs(length)
    if not whole or not size:
        raise ModelError(
            f"'{path}' is not a whole {path.suffix} file.",
            "Its records do not end where they say: it is cut short, or of another kind.",
            "Copy the file again.",
        )


def _converted(
    source: Any, path: Path, n_electrons: float, structure: Any
) -> LocalOrbitalHamiltonian:
    import sisl

    geometry = source.geometry
    basis, signs = _basis(geometry)
    crystal = _crystal(geometry, structure, path)
    overlap = None if source.orthogonal else _matrix(source, source.S_idx, basis, signs)
    return LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=basis,
        hamiltonian=_matrix(source, 0, basis, signs),
        overlap=overlap,
        n_electrons=n_electrons,
        origin=HamiltonianOrigin(
            provider="sisl",
            level_of_theory=f"not stated; {path.suffix.lstrip('.')} file",
            self_consistent=True,
            details={
                "file": path.name,
                "sha256": sha256_of_file(path),
                "sisl_version": str(sisl.__version__),
            },
        ),
    )


def _crystal(geometry: Any, structure: Any, path: Path) -> Crystal:
    """Return the crystal of the file; elements and masses are those of the structure, if given."""
    lattice, fractional = np.array(geometry.cell, float), np.array(geometry.fxyz, float)
    if structure is None:
        numbers = np.array(geometry.atoms.Z, dtype=np.int64)
        return Crystal(lattice=lattice, fractional=fractional, numbers=numbers)
    given = read_crystal(structure)
    same = given.n_atoms == len(fractional)
    if same:
        moved = given.fractional - fractional
        moved = (moved - np.round(moved)) @ lattice
        same = max(np.abs(moved).max(), np.abs(given.lattice - lattice).max()) < POSITION_TOLERANCE
    if not same:
        raise ModelError(
            f"the structure is not that of '{path}'.",
            f"Lattice vectors and atoms must agree within {POSITION_TOLERANCE:g} Å, in the same "
            "order and Cartesian frame.",
            "Give the structure of that calculation.",
        )
    return Crystal(
        lattice=lattice, fractional=fractional, numbers=given.numbers, masses=given.masses
    )


def _matrix(source: Any, component: int, basis: OrbitalBasis, signs: Array) -> LatticeMatrix:
    n, cells = basis.n_orbitals, np.array(source.geometry.lattice.sc_off, dtype=np.int64)
    table = source.tocsr(component).tocoo()
    matrices = np.zeros((len(cells), n, n), dtype=table.data.dtype)
    np.add.at(matrices, (table.col // n, table.row, table.col % n), table.data)
    matrices *= signs[:, None] * signs[None, :]
    return LatticeMatrix.from_cells(basis.sizes, cells, matrices)


def _basis(geometry: Any) -> tuple[OrbitalBasis, Array]:
    """Return the basis and the sign of each of sisl's orbitals against elphant's."""
    rows, signs = [], []
    for index, atom in enumerate(geometry.atoms):
        shells: dict[int, list[tuple[Any, ...]]] = {}
        for number, orbital in enumerate(atom.orbitals, start=1):
            l, m = getattr(orbital, "l", None), getattr(orbital, "m", None)  # noqa: E741
            if l is None or m is None:
                rows.append((index, number, -1, 0))
                signs.append(1.0)
                continue
            own = shells.setdefault(int(l), [])
            key = (orbital.n, orbital.zeta, orbital.P)
            if key not in own:
                own.append(key)
            rows.append((index, own.index(key) + 1, int(l), int(m)))
            signs.append(_sign(int(l), int(m)))
    table = np.array(rows, dtype=np.int64)
    basis = OrbitalBasis(
        atom=table[:, 0],
        n=table[:, 1],
        l=table[:, 2],
        m=table[:, 3],
        spin=np.zeros(len(table), dtype=np.int64),
    )
    return basis, np.array(signs)


@lru_cache(maxsize=32)
def _sign(l: int, m: int) -> float:  # noqa: E741
    """Return the sign of sisl's real harmonic against elphant's."""
    import sisl

    direction = [
        np.sin(POLAR) * np.cos(AZIMUTH),
        np.sin(POLAR) * np.sin(AZIMUTH),
        np.cos(POLAR),
    ]
    r = np.linspace(0.0, 1.0, 5)
    own = solid_harmonics(l, [direction])[0, l + m]
    theirs = float(sisl.SphericalOrbital(l, (r, np.exp(-r))).spher(AZIMUTH, POLAR, m))
    if abs(abs(own) - abs(theirs)) > 1e-6:
        raise ValueError(f"the real harmonic l = {l}, m = {m} of sisl is not elphant's")
    return 1.0 if own * theirs > 0 else -1.0

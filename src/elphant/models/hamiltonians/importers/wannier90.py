r"""Importer of Wannier90 Hamiltonians, ``_tb.dat`` and ``_hr.dat``.

Band energies are those of Wannier90's own interpolation: elements are divided by the degeneracy of
their cell and, where a ``_wsvec.dat`` lies beside the file, spread over the equivalent cells that
bring the two functions closest.

A Wannier function belongs to the atom nearest to its centre, in whichever cell that atom is, and is
renamed so that it lies in the home cell together with its atom: with
:math:`|i\,0\rangle' = |i\,-T_i\rangle`, :math:`H'_{ij}(R) = H_{ij}(R - T_j + T_i)`. Every atom gets
at least one function. This changes phases of eigenvectors, never energies.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.crystal.io import read_crystal
from elphant.errors import ModelError
from elphant.models.hamiltonians.importers.wannier90_files import (
    WannierMatrices,
    read_centres,
    read_hr,
    read_lines,
    read_tb,
    read_win,
    read_wsvec,
)
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)
from elphant.store.atomic import sha256_of_file

logger = logging.getLogger(__name__)

Array = NDArray[Any]
Integers = NDArray[np.int64]

#: Largest difference (Å) between the lattice of the file and that of the structure.
LATTICE_TOLERANCE = 1e-3

#: Distances (Å) that differ less than this are equal: the first atom is then taken.
DISTANCE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assignment:
    """Atoms of the Wannier functions.

    Attributes
    ----------
    order : ndarray of int, (n,)
        Functions sorted by atom.
    atom : ndarray of int, (n,)
        Atom of each sorted function.
    shift : ndarray of int, (n, 3)
        Cell T of that atom, for each sorted function.
    """

    order: Integers
    atom: Integers
    shift: Integers


def read_wannier90(
    path: str | Path,
    *,
    n_electrons: float | None,
    structure: Any = None,
    spinor: bool | None = None,
) -> LocalOrbitalHamiltonian:
    """Return the Hamiltonian of a ``seed_tb.dat`` or ``seed_hr.dat`` file.

    Parameters
    ----------
    path : path-like
        Files of the same seed beside it are used: ``.win`` (structure, spinors), ``_wsvec.dat``
        (minimal distances) and, for ``_hr.dat``, ``_centres.xyz``.
    n_electrons : float
        Electrons per cell in the bands of the Wannier functions; the files do not hold it.
    structure : Crystal or file, optional
        Cell and atoms, in the frame and setting of the Wannier90 run; else the ``.win`` file.
    spinor : bool, optional
        Whether the functions are spinors (one electron per band); else as the ``.win`` file says.
        The spin labels of such a basis are nominal, up and down in turn.

    Raises
    ------
    ModelError
        If a file is missing or damaged, the electron number is missing, the lattices differ, or
        there are fewer Wannier functions than atoms.
    """
    path = Path(path)
    seed = path.name.removesuffix("_tb.dat").removesuffix("_hr.dat")
    matrices = read_hr(path) if path.name.endswith("_hr.dat") else read_tb(path)
    crystal, spinors = _structure(path, seed, structure, matrices.lattice)
    spinor = spinors if spinor is None else spinor
    n = matrices.hamiltonian.shape[1]
    _check_counts(path, n, crystal, n_electrons, spinor)
    assert n_electrons is not None
    shifts, minimal = _shifts(path, seed, matrices)
    centres = _centres(path, seed, matrices)
    assignment = assign(crystal, centres, n)
    sizes = np.bincount(assignment.atom)
    hamiltonian = _lattice_matrix(matrices, matrices.hamiltonian, shifts, assignment, sizes)
    details = {
        "file": path.name,
        "sha256": sha256_of_file(path),
        "minimal_distances": minimal,
        "centres": None if centres is None else centres[assignment.order].tolist(),
        "wannier_functions": (assignment.order + 1).tolist(),
    }
    if centres is None:
        logger.warning("%s: centres unknown; functions are dealt out to the atoms", path.name)
    return LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=_basis(assignment.atom, spinor),
        hamiltonian=hamiltonian,
        overlap=None,
        n_electrons=float(n_electrons),
        origin=HamiltonianOrigin(
            provider="wannier90",
            level_of_theory="Wannier functions; functional not stated in the file",
            self_consistent=True,
            details=details,
        ),
        position=_position(matrices, shifts, assignment, sizes),
    )


def assign(crystal: Crystal, centres: Array | None, n: int) -> Assignment:
    """Return the atom and cell of each of ``n`` functions with Cartesian ``centres`` (n, 3) Å.

    Nearest atoms, except that an atom which would get none takes the function for which that costs
    the least distance. Functions of unknown centres are dealt out in their order.
    """
    if centres is None:
        atom = np.arange(n) * crystal.n_atoms // n
        return Assignment(order=np.arange(n), atom=atom, shift=np.zeros((n, 3), dtype=np.int64))
    distances, cells = _distances(crystal, centres)
    atom = (distances <= distances.min(axis=1)[:, None] + DISTANCE_TOLERANCE).argmax(axis=1)
    if len(set(atom.tolist())) < crystal.n_atoms:
        from scipy.optimize import linear_sum_assignment

        cost = distances - distances.min(axis=1)[:, None]
        functions, atoms = linear_sum_assignment(cost)
        atom[functions] = atoms
    order = np.argsort(atom, kind="stable")
    return Assignment(order=order, atom=atom[order], shift=cells[order, atom[order]])


def _distances(crystal: Crystal, centres: Array) -> tuple[Array, Integers]:
    """Return distances (n, n_atoms) to the nearest image of each atom, and its cell."""
    fractional = centres @ np.linalg.inv(crystal.lattice)
    difference = fractional[:, None] - crystal.fractional[None]
    base = np.floor(difference)
    images = base[:, :, None] + np.array(list(product((-1, 0, 1, 2), repeat=3)))
    lengths = np.linalg.norm((difference[:, :, None] - images) @ crystal.lattice, axis=-1)
    # Of equally distant images the first is taken, so that rounding does not decide.
    best = (lengths <= lengths.min(axis=2)[:, :, None] + DISTANCE_TOLERANCE).argmax(axis=2)
    nearest = np.take_along_axis(images, best[:, :, None, None], axis=2)[:, :, 0]
    return lengths.min(axis=2), nearest.astype(np.int64)


def _structure(
    path: Path, seed: str, structure: Any, lattice: Array | None
) -> tuple[Crystal, bool]:
    win = path.with_name(f"{seed}.win")
    crystal, spinors = read_win(win) if win.is_file() else (None, False)
    if structure is not None:
        crystal = read_crystal(structure)
    if crystal is None:
        raise ModelError(
            f"the atoms that belong to '{path}' are not known.",
            f"The file names none, and there is no '{win.name}' beside it.",
            "Give the structure of the Wannier90 run, in the same cell and frame.",
        )
    if lattice is not None:
        difference = float(np.abs(crystal.lattice - lattice).max())
        if difference > LATTICE_TOLERANCE:
            raise ModelError(
                f"the lattice vectors in '{path}' differ by up to {difference:.3g} Å from those of "
                "the structure.",
                "H(R) counts cells along its own lattice vectors, so both must be the same cell in "
                "the same Cartesian frame.",
                "Give the structure of the Wannier90 run itself.",
            )
    return crystal, spinors


def _check_counts(
    path: Path, n: int, crystal: Crystal, n_electrons: float | None, spinor: bool
) -> None:
    if n_electrons is None:
        raise ModelError(
            f"the number of electrons in the bands of '{path}' is not known.",
            "Wannier90 files do not hold it; which bands are filled depends on it.",
            "Give the electrons per cell (--n-electrons), for example 8 for the sp³ bands of Si.",
        )
    most = n if spinor else 2 * n
    if not 0 < n_electrons <= most:
        raise ModelError(
            f"{n_electrons:g} electrons do not fit into the {n} Wannier functions of '{path}'.",
            f"They hold at most {most}{' (spinors)' if spinor else ''}.",
            "Count only the electrons of the Wannierised bands.",
        )
    if n < crystal.n_atoms:
        raise ModelError(
            f"'{path}' has {n} Wannier functions for {crystal.n_atoms} atoms.",
            "elphant keeps at least one orbital per atom.",
            "Wannierise more bands, or give a structure without the atoms that take no part.",
        )


def _shifts(
    path: Path, seed: str, matrices: WannierMatrices
) -> tuple[list[tuple[Integers, Array]] | None, bool]:
    """Return the shifts to equivalent cells, and whether minimal distances hold in the end."""
    file = path.with_name(f"{seed}_wsvec.dat")
    header = next(iter(read_lines(file)), "") if file.is_file() else ""
    if "write_ndegen_applied=.true." in header:  # Wannier90 spread the elements itself
        return None, True
    if not file.is_file():
        logger.info("%s: no %s, so minimal distances are not used", path.name, file.name)
        return None, False
    shifts = read_wsvec(file, matrices.cells, matrices.hamiltonian.shape[1])
    return shifts, "use_ws_distance=.true." in header


def _centres(path: Path, seed: str, matrices: WannierMatrices) -> Array | None:
    home = np.flatnonzero(~matrices.cells.any(axis=1))
    if not len(home):
        raise ModelError(
            f"'{path}' has no matrix of the home cell R = 0.", fix="Copy the file again."
        )
    if matrices.position is not None:
        diagonal = matrices.position[home[0]].diagonal(axis1=1, axis2=2).real
        return np.asarray(diagonal.T / matrices.degeneracies[home[0]])
    listed = path.with_name(f"{seed}_centres.xyz")
    return read_centres(listed, matrices.hamiltonian.shape[1]) if listed.is_file() else None


def _lattice_matrix(
    matrices: WannierMatrices,
    values: Array,
    shifts: list[tuple[Integers, Array]] | None,
    assignment: Assignment,
    sizes: Integers,
) -> LatticeMatrix:
    """Return values (n_cells, n, n) with degeneracies, minimal distances and renaming applied."""
    values = values / matrices.degeneracies[:, None, None]
    cells = matrices.cells
    if shifts is not None:
        cells, values = _spread(values, shifts)
    values = values[:, assignment.order][:, :, assignment.order]
    cells, values = _renamed(cells, values, assignment.shift)
    if not np.abs(values.imag).max(initial=0.0):
        values = values.real
    return LatticeMatrix.from_cells(sizes, cells, values)


def _spread(values: Array, shifts: list[tuple[Integers, Array]]) -> tuple[Integers, Array]:
    n = values.shape[1]
    spread = np.zeros((len(shifts), n, n), dtype=np.complex128)
    for target, (_, table) in enumerate(shifts):
        source, i, j = table[:, :3].astype(np.int64).T
        np.add.at(spread[target], (i, j), table[:, 3] * values[source, i, j])
    return np.array([cell for cell, _ in shifts]), spread


def _renamed(cells: Integers, values: Array, shift: Integers) -> tuple[Integers, Array]:
    """Move element (i, j, R) to (i, j, R + T_j - T_i)."""
    if not shift.any():
        return cells, values
    moves = shift[None, :, :] - shift[:, None, :]
    targets = cells[:, None, None, :] + moves[None]
    unique, index = np.unique(targets.reshape(-1, 3), axis=0, return_inverse=True)
    n = values.shape[1]
    moved = np.zeros((len(unique), n, n), dtype=values.dtype)
    i, j = np.indices((n, n))
    moved[index.reshape(targets.shape[:3]), i[None], j[None]] = values
    return unique, moved


def _position(
    matrices: WannierMatrices,
    shifts: list[tuple[Integers, Array]] | None,
    assignment: Assignment,
    sizes: Integers,
) -> tuple[LatticeMatrix, LatticeMatrix, LatticeMatrix] | None:
    if matrices.position is None or matrices.lattice is None:
        return None
    home = int(np.flatnonzero(~matrices.cells.any(axis=1))[0])
    # A function that moves by -T carries its centre along: <r> of the renamed one is lower by T.
    inverse = np.argsort(assignment.order)
    travel = (assignment.shift @ matrices.lattice)[inverse] * matrices.degeneracies[home]
    parts = []
    for direction in range(3):
        values = matrices.position[:, direction].copy()
        values[home] -= np.diag(travel[:, direction])
        parts.append(_lattice_matrix(matrices, values, shifts, assignment, sizes))
    return parts[0], parts[1], parts[2]


def _basis(atom: Integers, spinor: bool) -> OrbitalBasis:
    number = np.concatenate([np.arange(1, size + 1) for size in np.bincount(atom)])
    return OrbitalBasis(
        atom=atom,
        n=number,
        l=np.full(len(atom), -1),
        m=np.zeros(len(atom), dtype=np.int64),
        spin=np.where(np.arange(len(atom)) % 2, -1, 1) if spinor else np.zeros(len(atom), int),
    )

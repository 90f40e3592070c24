"""Parsers of Wannier90's files: ``_tb.dat``, ``_hr.dat``, ``_wsvec.dat``, centres, ``.win``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.crystal.elements import numbers_of
from elphant.errors import ElphantError, ModelError
from elphant.units import ANGSTROM_PER_BOHR

Array = NDArray[Any]
Integers = NDArray[np.int64]

#: Largest number of Wannier functions or lattice vectors that is believed; beyond it the file is
#: misread, and arrays of that size would exhaust the memory.
LARGEST_COUNT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WannierMatrices:
    """Matrices as written, before degeneracies are divided out.

    Attributes
    ----------
    cells : ndarray of int, (n_cells, 3)
    degeneracies : ndarray of int, (n_cells,)
    hamiltonian : ndarray of complex, (n_cells, n, n) eV
    position : ndarray of complex, (n_cells, 3, n, n) Å, or None
    lattice : ndarray, (3, 3) Å, or None
    """

    cells: Integers
    degeneracies: Integers
    hamiltonian: Array
    position: Array | None
    lattice: Array | None


class NumberReader:
    """The numbers of a text file in order, with errors that say where reading stopped."""

    def __init__(self, path: Path, lines: list[str], skipped: int) -> None:
        self.path = path
        self._words = [word for line in lines[skipped:] for word in line.split()]
        self._next = 0

    def take(self, count: int, what: str) -> Array:
        """Return the next ``count`` numbers.

        Raises
        ------
        ModelError
            If the file ends before, or a word is not a finite number.
        """
        words = self._words[self._next : self._next + count]
        if len(words) < count:
            raise damaged(self.path, f"it ends within {what}")
        self._next += count
        try:
            values = np.array(words, dtype=float)
        except ValueError:
            wrong = next(word for word in words if not _is_number(word))
            raise damaged(self.path, f"'{wrong[:40]}' in {what} is not a number") from None
        if not np.isfinite(values).all():
            raise damaged(self.path, f"a value in {what} is not finite")
        return values

    def integers(self, count: int, what: str) -> Integers:
        """Return the next ``count`` numbers, which must be whole."""
        values = self.take(count, what)
        if (values != np.round(values)).any() or np.abs(values).max(initial=0) > 1e9:
            raise damaged(self.path, f"{what} is not made of integers")
        return values.astype(np.int64)

    def size(self, what: str) -> int:
        """Return the next number, a count."""
        value = int(self.integers(1, what)[0])
        if not 1 <= value <= LARGEST_COUNT:
            raise damaged(self.path, f"{what} is {value}")
        return value

    def finish(self) -> None:
        """Refuse a file that goes on."""
        if self._next != len(self._words):
            surplus = len(self._words) - self._next
            raise damaged(self.path, f"{surplus} numbers follow the last matrix")


def damaged(path: Path, reason: str) -> ModelError:
    """Return the error of an unreadable file."""
    return ModelError(
        f"'{path}' cannot be read as a Wannier90 file: {reason}.",
        "It is cut short, edited, or of another kind.",
        "Copy the file again, or let Wannier90 write it again.",
    )


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file.

    Raises
    ------
    ModelError
        If it is missing or not text.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ModelError(
            f"'{path}' cannot be read: {error.strerror}.", fix="Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise damaged(path, "it is not a text file") from error


def read_tb(path: Path) -> WannierMatrices:
    """Read a ``_tb.dat`` file: lattice, H(R) and the position matrix.

    Raises
    ------
    ModelError
        If the file is damaged.
    """
    reader = NumberReader(path, read_lines(path), skipped=1)
    lattice = reader.take(9, "the lattice").reshape(3, 3)
    n, n_cells = reader.size("the number of Wannier functions"), reader.size("the number of cells")
    degeneracies = reader.integers(n_cells, "the degeneracies")
    cells, hamiltonian = _blocks(reader, n, n_cells, 1, "H(R)")
    others, position = _blocks(reader, n, n_cells, 3, "the position matrix")
    reader.finish()
    if not np.array_equal(cells, others):
        raise damaged(path, "H(R) and the position matrix list different cells")
    return _checked(
        path,
        WannierMatrices(
            cells=cells,
            degeneracies=degeneracies,
            hamiltonian=hamiltonian[:, 0],
            position=position,
            lattice=lattice,
        ),
    )


def read_hr(path: Path) -> WannierMatrices:
    """Read a ``_hr.dat`` file: H(R) alone.

    Raises
    ------
    ModelError
        If the file is damaged.
    """
    reader = NumberReader(path, read_lines(path), skipped=1)
    n, n_cells = reader.size("the number of Wannier functions"), reader.size("the number of cells")
    degeneracies = reader.integers(n_cells, "the degeneracies")
    table = reader.take(n_cells * n * n * 7, "H(R)").reshape(n_cells, n * n, 7)
    reader.finish()
    if (table[:, :, :3] != table[:, :1, :3]).any():
        raise damaged(path, "the elements of one cell are not together")
    cells = table[:, 0, :3]
    if (cells != np.round(cells)).any() or np.abs(cells).max() > LARGEST_COUNT:
        raise damaged(path, "a cell is not made of small integers")
    hamiltonian = _placed(path, n, table[:, :, 3:5], table[:, :, 5:])
    return _checked(
        path,
        WannierMatrices(
            cells=cells.astype(np.int64),
            degeneracies=degeneracies,
            hamiltonian=hamiltonian[:, 0],
            position=None,
            lattice=None,
        ),
    )


def _blocks(
    reader: NumberReader, n: int, n_cells: int, n_components: int, what: str
) -> tuple[Integers, Array]:
    """Return cells and matrices (n_cells, n_components, n, n) of cell-by-cell blocks."""
    length = 3 + n * n * (2 + 2 * n_components)
    table = reader.take(n_cells * length, what).reshape(n_cells, length)
    cells, rows = table[:, :3], table[:, 3:].reshape(n_cells, n * n, 2 + 2 * n_components)
    if (cells != np.round(cells)).any() or np.abs(cells).max() > LARGEST_COUNT:
        raise damaged(reader.path, f"a cell of {what} is not made of small integers")
    return cells.astype(np.int64), _placed(reader.path, n, rows[:, :, :2], rows[:, :, 2:])


def _placed(path: Path, n: int, indices: Array, numbers: Array) -> Array:
    """Return complex matrices (n_cells, n_components, n, n) from rows with indices from 1."""
    expected = np.arange(n * n)
    inside = ((indices >= 1) & (indices <= n)).all()
    places = np.where(inside, (indices[..., 0] - 1) * n + indices[..., 1] - 1, -1.0)
    if not (np.sort(places, axis=1) == expected).all():
        raise damaged(path, f"the elements of a matrix do not run over 1 ... {n}")
    values = numbers[..., 0::2] + 1j * numbers[..., 1::2]
    matrices = np.empty((len(values), n * n, values.shape[2]), dtype=np.complex128)
    np.put_along_axis(matrices, places.astype(np.int64)[:, :, None], values, axis=1)
    return matrices.transpose(0, 2, 1).reshape(len(values), -1, n, n)


def _checked(path: Path, matrices: WannierMatrices) -> WannierMatrices:
    if matrices.degeneracies.min() < 1:
        raise damaged(path, "a degeneracy is not positive")
    if len(np.unique(matrices.cells, axis=0)) != len(matrices.cells):
        raise damaged(path, "a cell is listed twice")
    return matrices


def read_wsvec(path: Path, cells: Integers, n: int) -> list[tuple[Integers, Array]]:
    """Return the minimal-distance shifts of a ``_wsvec.dat`` file.

    Returns
    -------
    list of (cell, table)
        Lattice vectors R + T that occur, each with a table (n_entries, 4) of what goes there: index
        of the source cell, bra, ket, and the weight of that element.

    Raises
    ------
    ModelError
        If the file is damaged, or belongs to other matrices.
    """
    reader = NumberReader(path, read_lines(path), skipped=1)
    index = {tuple(cell): number for number, cell in enumerate(cells.tolist())}
    found: dict[tuple[int, ...], list[tuple[int, int, int, float]]] = {}
    for _ in range(len(cells) * n * n):
        *cell, i, j, count = reader.integers(6, "the list of shifts").tolist()
        if tuple(cell) not in index or not (1 <= i <= n and 1 <= j <= n) or not 1 <= count <= 64:
            raise damaged(path, "its cells or functions are not those of the Hamiltonian")
        for shift in reader.integers(3 * count, "the list of shifts").reshape(-1, 3).tolist():
            target = tuple(a + b for a, b in zip(cell, shift, strict=True))
            found.setdefault(target, []).append((index[tuple(cell)], i - 1, j - 1, 1.0 / count))
    reader.finish()
    return [(np.array(target), np.array(entries)) for target, entries in sorted(found.items())]


def read_centres(path: Path, n: int) -> Array:
    """Return the Cartesian centres (n, 3) Å of a ``_centres.xyz`` file.

    Raises
    ------
    ModelError
        If the file is damaged or lists another number of functions.
    """
    rows = [line.split() for line in read_lines(path)[2:]]
    centres = [row[1:4] for row in rows if len(row) >= 4 and row[0] == "X"]
    if len(centres) != n or not all(_is_number(word) for row in centres for word in row):
        raise damaged(path, f"it does not list {n} Wannier centres (lines that start with X)")
    return np.array(centres, dtype=float)


def read_win(path: Path) -> tuple[Crystal, bool]:
    """Return the crystal of a ``.win`` file, and whether it asks for spinors.

    Raises
    ------
    ModelError
        If cell or atoms are missing or malformed.
    """
    lines = [re.split("[!#]", line)[0].strip() for line in read_lines(path)]
    try:
        rows, unit = _win_block(lines, "unit_cell_cart")
        lattice = np.array([row[:3] for row in rows], dtype=float) * unit
        try:
            rows, _ = _win_block(lines, "atoms_frac")
            fractional = np.array([row[1:4] for row in rows], dtype=float)
        except KeyError:
            rows, unit = _win_block(lines, "atoms_cart")
            positions = np.array([row[1:4] for row in rows], dtype=float) * unit
            fractional = positions @ np.linalg.inv(lattice)
        symbols = [re.sub("[^A-Za-z].*", "", row[0]).capitalize() for row in rows]
        crystal = Crystal(
            lattice=lattice, fractional=fractional, numbers=np.array(numbers_of(symbols))
        )
    except (KeyError, ValueError, IndexError, np.linalg.LinAlgError, ElphantError) as error:
        raise damaged(path, f"cell and atoms are not understood ({error})") from error
    spinors = any(
        re.fullmatch(r"spinors\s*[=:]?\s*\.?t(rue)?\.?", line, re.IGNORECASE) for line in lines
    )
    return crystal, spinors


def _win_block(lines: list[str], name: str) -> tuple[list[list[str]], float]:
    """Return the rows of a block and the length unit in Å."""
    lower = [" ".join(line.lower().split()) for line in lines]
    if f"begin {name}" not in lower:
        raise KeyError(f"no block {name}")
    start, end = lower.index(f"begin {name}"), lower.index(f"end {name}")
    rows = [line.split() for line in lines[start + 1 : end] if line]
    unit = 1.0
    if rows and len(rows[0]) == 1:
        unit = {"ang": 1.0, "bohr": ANGSTROM_PER_BOHR}[rows.pop(0)[0].lower()]
    return rows, unit


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

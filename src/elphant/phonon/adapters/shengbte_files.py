"""Force constants in the text files of ShengBTE and FourPhonon.

``FORCE_CONSTANTS_2ND`` is phonopy's text format for a supercell that is a diagonal multiple of the
cell in ``CONTROL``. ``FORCE_CONSTANTS_3RD`` and ``FORCE_CONSTANTS_4TH`` list clusters: a number of
blocks, then for each its index, the Cartesian lattice translations (Å) of the cells of the second
and later atoms, the atoms, counted from one, and one line ``a b c [d] value`` for each component in
eV/Å³ or eV/Å⁴ (W. Li et al., Comput. Phys. Commun. 185, 1747 (2014); Z. Han et al., ibid. 270,
108179 (2022)).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.crystal.elements import numbers_of
from elphant.errors import ResourceError, StoreError
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.adapters.cluster_adapter import supercell_to_clusters, third_order_clusters
from elphant.phonon.adapters.import_sources import ImportSource, open_text
from elphant.phonon.adapters.phonopy_adapter import (
    build_phonopy,
    from_phonopy_atoms,
    nac_parameters,
    phonopy_from,
    primitive_positions,
)
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.sparse_force_constants import SparseForceConstants

Array = NDArray[np.float64]

#: File of each order.
FILES = {2: "FORCE_CONSTANTS_2ND", 3: "FORCE_CONSTANTS_3RD", 4: "FORCE_CONSTANTS_4TH"}

#: Bytes of a pair of atoms in the file of second order, and the largest file that is written.
PAIR_BYTES, LARGEST_FILE = 220.0, 5e8

#: Distance (Å) by which a lattice translation in a file may miss the lattice.
LATTICE_TOLERANCE = 1e-2

#: Share of the largest force constant by which a wrong supercell must break translation symmetry.
PERIODICITY_TOLERANCE = 1e-3


# --- writing ---------------------------------------------------------------------------------


def write_shengbte_files(force_constants: ForceConstants, folder: str | Path) -> tuple[Path, ...]:
    """Write CONTROL and the force constants of all orders that are there.

    The cell is the primitive one. The second order is moved to the smallest diagonal supercell of
    it that is periodic in the supercell of the calculation; no frequency changes.

    Returns
    -------
    tuple of Path
        ``CONTROL``, ``FORCE_CONSTANTS_2ND`` and, if present, ``FORCE_CONSTANTS_3RD`` and
        ``FORCE_CONSTANTS_4TH``.

    Raises
    ------
    ResourceError
        If the second order of that supercell would be a file of gigabytes: the smallest diagonal
        one around a supercell with general rows can be a hundred times larger.
    """
    folder = Path(folder)
    phonopy = phonopy_from(force_constants)
    crystal = replace(
        from_phonopy_atoms(phonopy.primitive), fractional=primitive_positions(phonopy.primitive)
    )
    multiples = _diagonal_supercell(force_constants)
    _require_small_file(crystal.n_atoms, multiples)
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "CONTROL", folder / FILES[2]]
    with _replacing(written[0]) as file:
        file.write(_control(force_constants, phonopy, crystal, multiples))
    n_atoms = len(phonopy.supercell)
    members = np.stack(
        np.meshgrid(np.arange(crystal.n_atoms), np.arange(n_atoms), indexing="ij"), axis=-1
    ).reshape(-1, 2)
    second = supercell_to_clusters(
        phonopy, members, force_constants.second.reshape(-1, 3, 3), images="perimeter"
    )
    with _replacing(written[1]) as file:
        _write_second(file, second, multiples)
    higher = {}
    if force_constants.has_third:
        higher[3] = third_order_clusters(force_constants, images="perimeter")
    if force_constants.fourth is not None:
        higher[4] = force_constants.fourth
    for order, clusters in higher.items():
        written.append(folder / FILES[order])
        with _replacing(written[-1]) as file:
            _write_clusters(file, clusters, crystal.lattice)
    return tuple(written)


def _diagonal_supercell(force_constants: ForceConstants) -> NDArray[np.int64]:
    """Return n for which the vectors n_i a_i of the primitive cell are periods of the supercell."""
    # Columns: supercell = unit cell @ M, primitive = unit cell @ P.
    to_supercell = np.linalg.inv(force_constants.supercell_matrix_second.astype(float))
    steps = to_supercell @ force_constants.primitive_matrix
    result = []
    for step in steps.T:
        multiples = np.arange(1, 1000)[:, None] * step
        whole = (np.abs(multiples - np.round(multiples)) < 1e-6).all(axis=1)
        result.append(int(np.argmax(whole)) + 1)
    return np.array(result, dtype=np.int64)


def _require_small_file(n_primitive: int, multiples: NDArray[np.int64]) -> None:
    n_atoms = n_primitive * int(np.prod(multiples))
    size = PAIR_BYTES * float(n_atoms) ** 2
    if size > LARGEST_FILE:
        raise ResourceError(
            f"the files of ShengBTE were not written: {FILES[2]} would have {size / 1e9:.1f} GB.",
            f"It needs a supercell of {'x'.join(map(str, multiples.tolist()))} primitive cells "
            f"({n_atoms} atoms), because that of the calculation is no diagonal one.",
            "phonopy's files hold the same constants.",
        )


def _write_second(file: Any, second: SparseForceConstants, multiples: NDArray[np.int64]) -> None:
    n_cells, n_primitive = int(np.prod(multiples)), second.n_primitive
    n_atoms = n_cells * n_primitive
    # phonopy's order: all cells of the first atom, the first lattice vector running fastest.
    strides = np.array([1, multiples[0], multiples[0] * multiples[1]])
    rows = np.zeros((n_primitive, n_atoms, 3, 3))
    target = second.atoms[:, 1] * n_cells + (second.cells[:, 0] % multiples) @ strides
    np.add.at(rows, (second.atoms[:, 0], target), second.blocks)
    cells = np.array(list(product(*(range(n) for n in multiples[::-1]))))[:, ::-1]
    file.write(f"{n_atoms:6d} {n_atoms:6d}\n")
    for atom in range(n_primitive):
        for number, cell in enumerate(cells):
            # Φ(i + T, j) = Φ(i, j - T)
            moved = ((cells - cell) % multiples) @ strides
            row = rows[atom].reshape(n_primitive, n_cells, 9)[:, moved].reshape(-1, 9)
            i = atom * n_cells + number + 1
            file.writelines(
                f"{i} {j}\n{b[0]:.16e} {b[1]:.16e} {b[2]:.16e}\n{b[3]:.16e} {b[4]:.16e} "
                f"{b[5]:.16e}\n{b[6]:.16e} {b[7]:.16e} {b[8]:.16e}\n"
                for j, b in enumerate(row.tolist(), start=1)
            )


def _write_clusters(file: Any, clusters: SparseForceConstants, lattice: Array) -> None:
    labels = [
        " ".join(str(k + 1) for k in index) for index in product(range(3), repeat=clusters.order)
    ]
    translations = clusters.cells @ lattice
    file.write(f"{clusters.n_clusters}\n")
    for number, (atoms, vectors, block) in enumerate(
        zip(
            (clusters.atoms + 1).tolist(),
            translations.tolist(),
            clusters.blocks.reshape(clusters.n_clusters, -1).tolist(),
            strict=True,
        ),
        start=1,
    ):
        lines = [f"\n{number}"]
        lines += [f"{x:.14f} {y:.14f} {z:.14f}" for x, y, z in vectors]
        lines.append(" ".join(map(str, atoms)))
        lines += [f"{label} {value:.16e}" for label, value in zip(labels, block, strict=True)]
        file.write("\n".join(lines) + "\n")


def _control(
    force_constants: ForceConstants,
    phonopy: Any,
    crystal: Crystal,
    multiples: NDArray[np.int64],
) -> str:
    elements = crystal.elements
    types = [elements.index(symbol) + 1 for symbol in crystal.symbols]

    def numbers(values: Any) -> str:
        return " ".join(f"{value:.14f}" for value in values)

    charges = nac_parameters(force_constants, phonopy)
    lines = ["&allocations", f"  nelements={len(elements)}", f"  natoms={crystal.n_atoms}"]
    lines += ["  ngrid(:)=10 10 10", "&end", "&crystal", "  lfactor=0.1"]
    lines += [f"  lattvec(:,{i})={numbers(row)}" for i, row in enumerate(crystal.lattice, start=1)]
    lines.append("  elements=" + " ".join(f'"{element}"' for element in elements))
    lines.append("  types=" + " ".join(map(str, types)))
    lines += [
        f"  positions(:,{i})={numbers(row)}" for i, row in enumerate(crystal.fractional, start=1)
    ]
    if charges is not None:
        lines += [
            f"  epsilon(:,{i})={numbers(row)}" for i, row in enumerate(charges["dielectric"].T, 1)
        ]
        # born(a, b, atom): a is the field, as the first index of phonopy's charges.
        lines += [
            f"  born(:,{b},{atom})={numbers(column)}"
            for atom, tensor in enumerate(charges["born"], start=1)
            for b, column in enumerate(tensor.T, start=1)
        ]
    lines.append("  scell(:)=" + " ".join(map(str, multiples)))
    lines += ["&end", "&parameters", "  T=300", "  scalebroad=1.0", "&end"]
    lines += ["&flags", f"  nonanalytic=.{'false' if charges is None else 'true'}."]
    if force_constants.fourth is not None:
        lines.append("  four_phonon=.true.")
    return "\n".join([*lines, "&end", ""])


# --- reading ---------------------------------------------------------------------------------


def load_shengbte(source: ImportSource) -> ForceConstants:
    """Return the force constants of a folder with ShengBTE or FourPhonon files.

    Raises
    ------
    StoreError
        If the crystal, the second order or the supercell is missing, or a file is damaged.
    """
    control = source.beside("CONTROL")
    settings = {} if control is None else _read_control(control)
    crystal = _crystal(source, settings)
    second_file = source.beside(FILES[2])
    if second_file is None:
        raise StoreError(
            f"'{source.folder}' has no {FILES[2]}.",
            "Scattering needs the harmonic force constants as well.",
            f"Put {FILES[2]} into the folder.",
        )
    second, rows = _read_second(second_file)
    multiples = _supercell(settings, second, rows, crystal, second_file)
    phonopy = build_phonopy(crystal, np.diag(multiples), primitive_matrix=np.eye(3))
    if second.shape[1] != len(phonopy.supercell):
        raise StoreError(
            f"'{second_file}' is for {second.shape[1]} atoms; the supercell "
            f"{' x '.join(map(str, multiples))} of the crystal has {len(phonopy.supercell)}.",
            "scell in CONTROL, the crystal and the force constants do not belong together.",
            "Put files of one calculation into the folder.",
        )
    wanted = np.array(phonopy.primitive.p2s_map)
    if not np.isin(wanted, rows).all():
        raise StoreError(
            f"'{second_file}' lacks rows of atoms of the first cell.",
            "It is in phonopy's compact format for another primitive cell.",
            "Write it with phonopy's --full-fc.",
        )
    shifts = np.round(crystal.fractional - primitive_positions(phonopy.primitive))
    higher = {
        order: _read_clusters(file, crystal, order, shifts.astype(np.int64))
        for order in (3, 4)
        if (file := source.beside(FILES[order])) is not None
    }
    return ForceConstants(
        unitcell=crystal,
        primitive_matrix=np.eye(3),
        supercell_matrix_second=np.diag(multiples),
        second=second[np.searchsorted(rows, wanted)],
        third_clusters=higher.get(3),
        fourth=higher.get(4),
        dielectric=_dielectric(settings, crystal.n_atoms),
    )


def _crystal(source: ImportSource, settings: dict[str, Any]) -> Crystal:
    if settings:
        numbers = numbers_of(settings["elements"][t - 1] for t in settings["types"])
        masses = settings.get("masses")
        return Crystal(
            lattice=settings["lattvec"],
            fractional=settings["positions"],
            numbers=np.array(numbers),
            masses=np.zeros(0)
            if masses is None
            else np.array([masses[t - 1] for t in settings["types"]]),
        )
    from phonopy.interface.vasp import read_vasp

    structure = source.beside("POSCAR", "POSCAR-unitcell", "POSCAR-unitcell.*")
    if structure is None:
        raise StoreError(
            f"'{source.folder}' holds force constants of ShengBTE but no crystal.",
            "Neither CONTROL nor POSCAR lies there.",
            "Add the CONTROL file of the calculation, or the unit cell as POSCAR.",
        )
    return from_phonopy_atoms(read_vasp(structure))


def _read_control(path: Path) -> dict[str, Any]:
    """Return the crystal of a CONTROL file: a Fortran namelist."""
    with open_text(path) as file:
        text = "\n".join(line.split("!")[0] for line in file)
    entries = re.findall(
        r"([A-Za-z_]\w*)\s*(\([^)]*\))?\s*=\s*(.*?)(?=[A-Za-z_]\w*\s*(?:\([^)]*\))?\s*=|[&/]|\Z)",
        # Quoted names are hidden from the search for the next keyword.
        re.sub(r"[\"']([^\"']*)[\"']", r" @\1 ", text),
        re.S,
    )
    values: dict[str, dict[str, list[str]]] = {}
    for name, index, value in entries:
        key = re.sub(r"\s", "", index or "")
        values.setdefault(name.lower(), {})[key] = _repeated(value)
    try:
        n_atoms = int(values["natoms"][""][0])
        factor = float(_floats(values.get("lfactor", {"": ["1"]}))[0]) * 10.0
        result: dict[str, Any] = {
            "lattvec": factor * _columns(values["lattvec"], 3),
            "elements": [word.lstrip("@") for word in _flat(values["elements"])],
            "types": [int(word) for word in _flat(values["types"])],
            "positions": _columns(values["positions"], n_atoms),
        }
        if "scell" in values:
            result["scell"] = np.array([int(word) for word in _flat(values["scell"])])
        if "masses" in values:
            result["masses"] = _floats(values["masses"])
        if "epsilon" in values and "born" in values:
            result["epsilon"] = _columns(values["epsilon"], 3).T
            born = _columns(values["born"], 3 * n_atoms)
            result["born"] = born.reshape(n_atoms, 3, 3).swapaxes(1, 2)
    except (KeyError, ValueError, IndexError) as error:
        raise StoreError(
            f"'{path}' is not a readable CONTROL file ({error}).",
            "It needs natoms, lattvec, elements, types and positions as ShengBTE writes them.",
            "Compare it with an example of ShengBTE.",
        ) from error
    return result


def _repeated(value: str) -> list[str]:
    """Return the words of a namelist value; ``3*1`` stands for ``1 1 1``."""
    words = []
    for word in value.replace(",", " ").split():
        count, star, rest = word.partition("*")
        words += [rest] * int(count) if star and count.isdigit() else [word]
    return words


def _flat(parts: dict[str, list[str]]) -> list[str]:
    """Return the words of all parts in the order of their indices."""
    keys = sorted(parts, key=lambda key: [int(k) for k in re.findall(r"\d+", key)][::-1])
    return [word for key in keys for word in parts[key]]


def _floats(parts: dict[str, list[str]]) -> Array:
    return np.array([float(re.sub("[dD]", "e", word)) for word in _flat(parts)])


def _columns(parts: dict[str, list[str]], count: int) -> Array:
    """Return Fortran columns as rows, (count, 3)."""
    return _floats(parts).reshape(count, 3)


def _numbers(path: Path) -> Array:
    with open_text(path) as file:
        words = file.read().replace("D", "e").replace("d", "e").split()
    return np.array(words, dtype=float)


def _read_second(path: Path) -> tuple[Array, NDArray[np.int64]]:
    """Return the rows that are there, (n_rows, n_atoms, 3, 3), and their atoms."""
    with open_text(path) as file:
        header = [int(word) for word in file.readline().split()]
    n_rows, n_atoms = header[0], header[-1]
    values = _numbers(path)[len(header) :]
    if values.size != n_rows * n_atoms * 11:
        raise StoreError(
            f"'{path}' is cut short or damaged: {values.size} numbers instead of "
            f"{n_rows * n_atoms * 11}.",
            fix="Compare the file with its original.",
        )
    table = values.reshape(n_rows * n_atoms, 11)
    every, row = np.unique(table[:, 0].astype(int) - 1, return_inverse=True)
    second = np.zeros((len(every), n_atoms, 3, 3))
    second[row.ravel(), table[:, 1].astype(int) - 1] = table[:, 2:].reshape(-1, 3, 3)
    return second, every.astype(np.int64)


def _supercell(
    settings: dict[str, Any],
    second: Array,
    rows: NDArray[np.int64],
    crystal: Crystal,
    path: Path,
) -> NDArray[np.int64]:
    """Return the multiples of the cell from CONTROL, else from the periodicity of the constants."""
    if "scell" in settings:
        return np.asarray(settings["scell"], dtype=np.int64)
    n_cells, rest = divmod(second.shape[1], crystal.n_atoms)
    if rest:
        raise StoreError(
            f"'{path}' is for {second.shape[1]} atoms, no multiple of the {crystal.n_atoms} of "
            "the crystal.",
            "The two files belong to different calculations.",
            "Put files of one calculation into the folder.",
        )
    candidates = [
        np.array((a, b, n_cells // (a * b)))
        for a in range(1, n_cells + 1)
        for b in range(1, n_cells + 1)
        if n_cells % (a * b) == 0
    ]
    if len(candidates) > 1 and len(rows) == second.shape[1]:
        candidates = [n for n in candidates if _is_periodic(second, crystal.n_atoms, n)]
    if len(candidates) != 1:
        raise StoreError(
            f"the supercell of '{path}' is unknown: {n_cells} cells fit in several ways.",
            "scell stands in CONTROL, and the force constants alone do not tell it.",
            "Add a CONTROL file with a line such as 'scell(:)=4 4 4'.",
        )
    return candidates[0]


def _is_periodic(second: Array, n_atoms: int, multiples: NDArray[np.int64]) -> bool:
    """Return whether Φ(i + T, j + T) = Φ(i, j) for the cells of this supercell."""
    shape = (n_atoms, *(int(n) for n in multiples[::-1]))
    numbers = np.arange(second.shape[1]).reshape(shape)
    scale = PERIODICITY_TOLERANCE * np.abs(second).max()
    for axis in (1, 2, 3):
        moved = np.roll(numbers, 1, axis=axis).ravel()
        if np.abs(second[moved][:, moved] - second).max() > scale:
            return False
    return True


def _read_clusters(
    path: Path, crystal: Crystal, order: int, shifts: NDArray[np.int64]
) -> SparseForceConstants:
    values = _numbers(path)
    n_blocks, size = int(values[0]), 3**order
    length = 1 + 3 * (order - 1) + order + size * (order + 1)
    if values.size != 1 + n_blocks * length:
        raise StoreError(
            f"'{path}' is cut short or damaged: {values.size} numbers instead of "
            f"{1 + n_blocks * length} for {n_blocks} blocks.",
            fix="Compare the file with its original.",
        )
    table = values[1:].reshape(n_blocks, length)
    split = np.cumsum([1, 3 * (order - 1), order])
    translations = table[:, split[0] : split[1]].reshape(n_blocks, order - 1, 3)
    atoms = table[:, split[1] : split[2]].astype(np.int64) - 1
    if n_blocks and not (atoms.min() >= 0 and atoms.max() < crystal.n_atoms):
        raise StoreError(
            f"'{path}' names atom {int(atoms.max()) + 1}; the crystal has {crystal.n_atoms}.",
            "The file belongs to another cell.",
            "Put files of one calculation into the folder.",
        )
    fractional = translations @ np.linalg.inv(crystal.lattice)
    cells = np.round(fractional).astype(np.int64)
    miss = float(np.abs((fractional - cells) @ crystal.lattice).max(initial=0.0))
    if miss > LATTICE_TOLERANCE:
        raise StoreError(
            f"cells in '{path}' miss the lattice by {miss:.2g} Å.",
            "The crystal has another lattice than the force constants, or is rotated.",
            "Use the CONTROL or POSCAR file of this calculation.",
        )
    elements = table[:, split[2] :].reshape(n_blocks, size, order + 1)
    index = elements[:, :, :order].astype(np.int64) - 1
    blocks = np.zeros((n_blocks, *(3,) * order))
    where = np.arange(n_blocks)[:, None]
    blocks[(where, *(index[:, :, k] for k in range(order)))] = elements[:, :, order]
    # phonopy may have moved atoms into the cell; lattice translations then change with them.
    cells = cells + shifts[atoms[:, 1:]] - shifts[atoms[:, :1]]
    return SparseForceConstants(
        atoms=atoms, cells=cells, blocks=blocks, n_primitive=crystal.n_atoms
    )


def _dielectric(settings: dict[str, Any], n_atoms: int) -> DielectricData | None:
    if "epsilon" not in settings or not np.abs(settings["born"]).max():
        return None
    assert settings["born"].shape == (n_atoms, 3, 3)
    return DielectricData(
        epsilon_infinity=settings["epsilon"], born_charges=settings["born"], source="CONTROL"
    )


@contextmanager
def _replacing(path: Path) -> Iterator[Any]:
    """Open a temporary file and move it over ``path`` when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

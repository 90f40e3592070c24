"""Reading and writing crystals: files that ASE knows, and ASE, pymatgen or phonopy objects.

ASE places CIF cells with a along x and b in the xy plane; a POSCAR keeps its own frame. That
Cartesian frame becomes the working frame and is never changed. Two things are mended on the way in
and logged: the rounding of special positions in a CIF (0.3333 for 1/3), and left-handed lattice
vectors, which phonon codes refuse: all three are reversed, with no effect on frame or tensors.
"""

from __future__ import annotations

import logging
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce

from elphant.crystal.crystal import Crystal
from elphant.crystal.symmetrize import symmetrized_crystal
from elphant.crystal.symmetry import find_symmetry
from elphant.errors import StructureError

logger = logging.getLogger(__name__)

#: Two atoms closer than this (Å) are an error in the file: the H2 bond is 0.74 Å long.
OVERLAP_DISTANCE = 0.6

#: Rounding error (Å) of CIF coordinates that is removed: half a unit of the fourth decimal along a
#: cell edge of 40 Å.
CIF_ROUNDING = 2e-3


def read_crystal(source: Any) -> Crystal:
    """Return the crystal of a file or of an ASE, pymatgen or phonopy object.

    Parameters
    ----------
    source : path-like, Crystal, ase.Atoms, pymatgen Structure, PhonopyAtoms, Phonopy or Phono3py
        A file name is given to ``ase.io.read`` (the last image of a trajectory is taken); of a
        Phonopy or Phono3py object the unit cell is taken.

    Raises
    ------
    StructureError
        If the file is missing, empty or unreadable, or holds no three-dimensional, ordered
        crystal with separated atoms.
    """
    if isinstance(source, Crystal):
        return source
    source = getattr(source, "unitcell", source)
    if isinstance(source, Atoms):
        crystal = from_ase(source)
    elif hasattr(source, "scaled_positions") and hasattr(source, "cell"):
        crystal = _build(source.cell, source.scaled_positions, source.numbers, source.masses)
    elif hasattr(source, "frac_coords") and hasattr(source, "lattice"):
        crystal = _from_pymatgen(source)
    elif isinstance(source, str | PathLike):
        crystal = _read_file(Path(source))
    else:
        raise StructureError(
            f"cannot make a crystal from an object of type {type(source).__name__}.",
            fix="Pass a file name, or an ASE Atoms, pymatgen Structure or PhonopyAtoms object.",
        )
    check_separation(crystal)
    return _right_handed(crystal)


def from_ase(atoms: Atoms, *, name: str = "") -> Crystal:
    """Return the crystal of an ASE object, in the same Cartesian frame.

    Raises
    ------
    StructureError
        If it is not periodic in three directions or has partially occupied sites.
    """
    if atoms.cell.rank < 3:
        raise StructureError(
            f"the structure has {atoms.cell.rank} lattice vectors; a crystal needs three.",
            "A molecule, chain or slab without a full cell has no bulk transport tensor.",
            "Add the missing lattice vectors to the file.",
        )
    if not atoms.pbc.all():
        open_axes = ", ".join(
            axis for axis, periodic in zip("abc", atoms.pbc, strict=True) if not periodic
        )
        raise StructureError(
            f"the structure is not periodic along {open_axes}.",
            "A molecule, chain or slab has no bulk transport tensor.",
            'If it is a crystal, set pbc to true for all axes (extended XYZ: pbc="T T T").',
        )
    _check_occupancy(atoms.info.get("occupancy", {}))
    masses = atoms.get_masses() if atoms.has("masses") else np.zeros(0)
    return _build(
        atoms.cell.array, atoms.get_scaled_positions(wrap=False), atoms.numbers, masses, name
    )


def _check_occupancy(occupancy: dict[Any, dict[str, float]]) -> None:
    """Refuse ASE's record of partially or multiply occupied sites of a CIF."""
    for site in occupancy.values():
        if len(site) > 1 or any(abs(share - 1.0) > 1e-3 for share in site.values()):
            shares = ", ".join(f"{symbol} {share:g}" for symbol, share in site.items())
            raise StructureError(
                f"the structure is disordered: one site is occupied by {shares}.",
                "Phonons and bands are computed for an ordered crystal.",
                "Make an ordered approximant (a supercell with whole atoms) and use that file.",
            )


def to_ase(crystal: Crystal) -> Atoms:
    """Return an ASE object with the same lattice, positions and masses."""
    return Atoms(
        numbers=crystal.numbers,
        cell=crystal.lattice,
        scaled_positions=crystal.fractional,
        masses=crystal.masses,
        pbc=True,
    )


def write_structure_files(crystal: Crystal, stem: Path) -> list[Path]:
    """Write ``<stem>.vasp`` and ``<stem>.cif`` and return the two paths."""
    import ase.io

    atoms = to_ase(crystal)
    paths = [stem.with_suffix(".vasp"), stem.with_suffix(".cif")]
    # sort=False keeps the atom order, direct=True the digits of the fractional coordinates.
    ase.io.write(paths[0], atoms, format="vasp", direct=True, sort=False)
    ase.io.write(paths[1], atoms, format="cif")
    return paths


def shortest_distance(crystal: Crystal) -> float:
    """Return the shortest interatomic distance (Å), periodic images included."""
    # In a Minkowski-reduced cell the nearest image is among the 27 neighbouring cells.
    reduced, _ = minkowski_reduce(crystal.lattice)
    fractional = crystal.positions @ np.linalg.inv(reduced)
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij")).reshape(3, -1).T
    shortest = np.inf
    for i in range(crystal.n_atoms):
        difference = fractional - fractional[i]
        difference -= np.round(difference)
        vectors = (difference[:, None, :] + shifts[None]) @ reduced
        distances = np.linalg.norm(vectors, axis=-1)
        distances[i, len(shifts) // 2] = np.inf
        shortest = min(shortest, float(distances.min()))
    return shortest


def check_separation(crystal: Crystal) -> None:
    """Raise :class:`StructureError` if two atoms lie on top of each other."""
    distance = shortest_distance(crystal)
    if distance < OVERLAP_DISTANCE:
        raise StructureError(
            f"two atoms are only {distance:.3f} Å apart.",
            f"Distances below {OVERLAP_DISTANCE} Å mean duplicated or misplaced atoms.",
            "Remove the duplicates, or check units (Å) and coordinates of the file.",
        )


def _read_file(path: Path) -> Crystal:
    import ase.io

    if path.is_dir():
        raise StructureError(
            f"'{path}' is a folder, not a structure file.", fix="Name the file inside it."
        )
    if not path.is_file():
        raise StructureError(
            f"structure file '{path}' does not exist.", fix="Check the path and its spelling."
        )
    if path.stat().st_size == 0:
        raise StructureError(f"structure file '{path}' is empty.", fix="Export the file again.")
    try:
        with warnings.catch_warnings():
            # ASE warns about details of CIF dialects that do not change the crystal.
            warnings.simplefilter("ignore")
            # An @ in a file name is a letter here, not ASE's way to select an image.
            atoms = ase.io.read(path, do_not_split_by_at_sign=True)
    except Exception as error:  # ASE's readers raise whatever their parser hits
        raise StructureError(
            f"structure file '{path}' cannot be read: {type(error).__name__}: {error}",
            "ASE found no reader for it, or the file is damaged or cut short.",
            "Use CIF, POSCAR or extended XYZ; a POSCAR should be named POSCAR or end in .vasp.",
        ) from error
    if not isinstance(atoms, Atoms) or len(atoms) == 0:
        raise StructureError(
            f"structure file '{path}' contains no atoms.", fix="Export the file again."
        )
    crystal = from_ase(atoms)
    if "spacegroup" in atoms.info:
        check_separation(crystal)
        crystal = _without_rounding(crystal)
    logger.info("read %s: %s", path, crystal)
    return crystal


def _without_rounding(crystal: Crystal) -> Crystal:
    """Return a crystal read from a CIF with exact special positions, in the same lattice."""
    exact = symmetrized_crystal(crystal, find_symmetry(crystal, CIF_ROUNDING)).fractional
    shift = (exact - crystal.fractional) @ crystal.lattice
    largest = float(np.linalg.norm(shift, axis=1).max())
    if largest < 1e-9:
        return crystal
    logger.info("removed coordinate rounding of up to %.1e Å", largest)
    return crystal.replaced(fractional=exact)


def _right_handed(crystal: Crystal) -> Crystal:
    """Reverse all three lattice vectors if they are left-handed; positions stay where they are."""
    if np.linalg.det(crystal.lattice) > 0:
        return crystal
    logger.info("the lattice vectors are left-handed: using -a, -b, -c; nothing is rotated")
    return crystal.replaced(lattice=-crystal.lattice, fractional=-crystal.fractional)


def _from_pymatgen(structure: Any) -> Crystal:
    if not structure.is_ordered:
        raise StructureError(
            "the pymatgen structure is disordered (partially occupied sites).",
            "Phonons and bands are computed for an ordered crystal.",
            "Make an ordered approximant first.",
        )
    numbers = [site.specie.Z for site in structure]
    return _build(structure.lattice.matrix, structure.frac_coords, numbers)


def _build(
    lattice: Any, fractional: Any, numbers: Any, masses: Any = (), name: str = ""
) -> Crystal:
    try:
        return Crystal(
            lattice=np.asarray(lattice, dtype=float),
            fractional=np.asarray(fractional, dtype=float),
            numbers=np.asarray(numbers, dtype=int),
            masses=np.asarray(masses if masses is not None else (), dtype=float),
            name=name,
        )
    except ValueError as error:
        raise StructureError(
            f"the structure is not usable: {error}.", fix="Correct the file and try again."
        ) from error

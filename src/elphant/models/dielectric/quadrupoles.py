"""Dynamical quadrupoles: the reader of EPW's ``quadrupole.fmt``, and their symmetry.

The file has a line of titles, then one line for every atom and direction of displacement: number of
the atom, number of the direction, and the components xx, yy, zz, yz, xz, xy of the second moment of
the charge that a unit displacement induces, in e bohr. ABINIT computes them (M. Royo and M.
Stengel, Phys. Rev. X 9, 021050 (2019)), and converters to this file come with EPW.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal, Symmetry
from elphant.errors import StructureError
from elphant.models.dielectric.symmetrization import cartesian_operations, images_of_atoms
from elphant.units import ANGSTROM_PER_BOHR

Array = NDArray[np.float64]

#: Order of the components in the file.
COMPONENTS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

#: Largest change of a component by symmetrisation, relative to the largest component.
SYMMETRY_LIMIT = 0.05


def read_quadrupoles(path: str | Path, crystal: Crystal, symmetry: Symmetry) -> Array:
    """Return the quadrupoles of every atom, averaged over the space group.

    Parameters
    ----------
    path : str or Path
    crystal : Crystal
        Its atoms are in the order of the file, its Cartesian axes are those of the file.
    symmetry : Symmetry

    Returns
    -------
    ndarray, (n_atoms, 3, 3, 3) e Å
        Displacement, then the two directions of the moment; symmetric in these two.

    Raises
    ------
    StructureError
        If the file is missing or damaged, atoms are missing, or the tensors contradict the symmetry
        of the crystal (atoms in another order, or other axes).
    """
    path = Path(path).expanduser()
    given = _read(path, crystal.n_atoms)
    average = symmetrized_quadrupoles(given, crystal, symmetry)
    change, largest = float(np.abs(average - given).max()), float(np.abs(given).max())
    if change > SYMMETRY_LIMIT * max(largest, 1e-12):
        raise StructureError(
            f"the quadrupoles in '{path}' change by {change:.3g} e Å when the space group "
            f"{symmetry.international} is imposed; the largest is {largest:.3g} e Å.",
            "Atoms in another order, or tensors in other Cartesian axes than the structure.",
            "Write them for exactly this structure.",
        )
    return average


def symmetrized_quadrupoles(quadrupoles: Array, crystal: Crystal, symmetry: Symmetry) -> Array:
    r"""Return the average of tensors (n_atoms, 3, 3, 3) over the space group.

    An operation with rotation R that carries atom κ to κ' takes
    :math:`\mathcal Q_{\kappa,abc}` to
    :math:`\sum R_{ad} R_{be} R_{cf}\, \mathcal Q_{\kappa,def}` at κ'.
    """
    total = np.zeros_like(quadrupoles)
    rotations = cartesian_operations(crystal, symmetry)
    for R, images in zip(rotations, images_of_atoms(crystal, symmetry), strict=True):
        total[images] += np.einsum("ad,be,cf,kdef->kabc", R, R, R, quadrupoles, optimize=True)
    return total / len(rotations)


def _read(path: Path, n_atoms: int) -> Array:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StructureError(
            f"quadrupole file '{path}' cannot be read: {error}.", fix="Check the path."
        ) from error
    result = np.full((n_atoms, 3, 3, 3), np.nan)
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split()
        if not fields:
            continue
        try:
            atom, direction = int(fields[0]) - 1, int(fields[1]) - 1
            values = [float(text) for text in fields[2:]]
        except (IndexError, ValueError):
            values = []
        if len(values) != len(COMPONENTS):
            raise StructureError(
                f"line {number} of quadrupole file '{path}' is '{line.strip()}'.",
                "Each line holds atom, direction and the components xx yy zz yz xz xy.",
                "Write the file as EPW reads it, for a crystal that is periodic along all axes.",
            )
        if not (0 <= atom < n_atoms and 0 <= direction < 3):
            raise StructureError(
                f"line {number} of quadrupole file '{path}' is for atom {atom + 1}, direction "
                f"{direction + 1}; the structure has {n_atoms} atoms and 3 directions.",
                fix="Write them for exactly this structure.",
            )
        for value, (b, c) in zip(values, COMPONENTS, strict=True):
            result[atom, direction, b, c] = result[atom, direction, c, b] = value
    missing = np.argwhere(~np.isfinite(result).all(axis=(2, 3)))
    if len(missing):
        atom, direction = (missing[0] + 1).tolist()
        raise StructureError(
            f"quadrupole file '{path}' has no finite numbers for atom {atom}, direction "
            f"{direction}.",
            f"The structure has {n_atoms} atoms, each with three directions of displacement.",
            "Give a line for every atom and direction.",
        )
    return np.asarray(result * ANGSTROM_PER_BOHR)

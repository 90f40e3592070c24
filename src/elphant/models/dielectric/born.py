"""Reader and writer of BORN files (phonopy's format): dielectric tensor and Born charges.

Line 1: a unit factor or a comment. Line 2: the nine components of the permittivity, row by row.
Then one line of nine components of Z* per symmetry-independent atom, or per atom. Blank lines and
text after ``#`` are skipped from line 2 on.

A factor in line 1 that is e²/(4 pi eps_0) in eV Å to within 1 % is kept with its rounding. Any
other one belongs to the units of another program and is not needed: charges in units of e and a
relative permittivity do not depend on it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal, Symmetry
from elphant.errors import StructureError
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.models.dielectric.symmetrization import independent_atoms, symmetrized_dielectric
from elphant.units import COULOMB_EV_ANGSTROM

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

#: Largest change of a component by symmetrisation, relative to the largest component of the tensor.
SYMMETRY_LIMIT = 0.05

#: Largest violation of the charge sum (e per atom) that is corrected silently.
CHARGE_SUM_LIMIT = 0.1


def read_born(path: str | Path, crystal: Crystal, symmetry: Symmetry) -> DielectricData:
    """Return the dielectric data of a BORN file for every atom of ``crystal``.

    Charges are carried to equivalent atoms by the space group (Z*' = R Z* Rᵀ), averaged over the
    operations of each site, and shifted equally to sum to zero. How much that changed is written to
    ``source`` and to the log.

    Raises
    ------
    StructureError
        If the file is missing, cut short, has the wrong number of atoms, or contradicts the
        symmetry of the crystal (rows in another order, or tensors in other axes).
    """
    path = Path(path)
    rows, coulomb_constant = _read_rows(path)
    epsilon, charges = rows[0], rows[1:]
    representatives = independent_atoms(symmetry)
    if len(charges) == len(representatives):
        given = dict(zip(representatives, charges, strict=True))
    elif len(charges) == crystal.n_atoms:
        given = dict(enumerate(charges))
    else:
        atoms = ", ".join(str(i + 1) for i in representatives)
        raise StructureError(
            f"BORN file '{path}' has charges for {len(charges)} atoms.",
            f"The structure has {len(representatives)} symmetry-independent atoms ({atoms}) among "
            f"{crystal.n_atoms}.",
            "Give one line per independent atom in this order, or one line per atom.",
        )
    data, changes = symmetrized_dielectric(
        epsilon,
        given,
        crystal,
        symmetry,
        f"BORN file {path.name}",
        coulomb_constant=coulomb_constant,
    )
    _check(path, "permittivity", changes.permittivity, float(np.abs(epsilon).max()))
    scale = float(max(np.abs(z).max() for z in given.values()))
    _check(path, "Born charges", changes.charges, scale)
    symmetric = data.epsilon_infinity
    if np.linalg.eigvalsh((symmetric + symmetric.T) / 2).min() < 1.0 - 1e-6:
        raise StructureError(
            f"the permittivity in '{path}' has an eigenvalue below 1.",
            "A high-frequency permittivity is at least that of the vacuum.",
            "Check that the file holds the relative permittivity and is not shifted by a line.",
        )
    if changes.charge_sum / crystal.n_atoms > CHARGE_SUM_LIMIT:
        raise StructureError(
            f"the Born charges in '{path}' sum to {changes.charge_sum:.2f} e instead of zero.",
            "They belong to another structure, are in another order, or are not converged.",
            "Check the order of the atoms and the k mesh of the calculation.",
        )
    logger.info("%s", data.source)
    return data


def write_born(data: DielectricData, symmetry: Symmetry) -> str:
    """Return the text of a BORN file: one line of Z* per symmetry-independent atom.

    :func:`read_born` rebuilds the same numbers from it.
    """
    tensors = [data.epsilon_infinity, *data.born_charges[independent_atoms(symmetry)]]
    lines = [repr(float(data.coulomb_constant))]
    lines += [" ".join(f"{value:.12f}" for value in tensor.ravel()) for tensor in tensors]
    return "\n".join(lines) + "\n"


def _read_rows(path: Path) -> tuple[Array, float]:
    """Return permittivity and charges as written, (1 + n_rows, 3, 3), and Coulomb's constant."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StructureError(
            f"BORN file '{path}' cannot be read: {error}", fix="Check the path."
        ) from error
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != 9 or not np.isfinite(values).all():
            raise StructureError(
                f"line {number} of BORN file '{path}' is not nine numbers: '{line.strip()[:60]}'.",
                "Each line after the first holds the nine components of one tensor.",
                "Write the file again; its first line is a unit factor or a comment.",
            )
        rows.append(np.reshape(values, (3, 3)))
    if len(rows) < 2:
        raise StructureError(
            f"BORN file '{path}' holds {len(rows)} tensors.",
            "It needs the permittivity and the charge of at least one atom.",
            "Write the file again; its first line is a unit factor or a comment.",
        )
    try:
        factor = float(lines[0].split()[0])
    except (ValueError, IndexError):
        factor = COULOMB_EV_ANGSTROM
    usual = abs(factor / COULOMB_EV_ANGSTROM - 1.0) < 0.01
    return np.array(rows), factor if usual else COULOMB_EV_ANGSTROM


def _check(path: Path, what: str, change: float, scale: float) -> None:
    if change > SYMMETRY_LIMIT * scale:
        raise StructureError(
            f"the {what} in '{path}' break the symmetry of the crystal: averaging over the space "
            f"group changes a component by {change:.3g} of {scale:.3g}.",
            "The rows are in another order than the atoms, or the tensors refer to other axes.",
            "Write the tensors in the Cartesian frame and the atom order of the structure file.",
        )

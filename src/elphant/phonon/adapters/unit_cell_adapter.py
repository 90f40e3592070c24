"""phonopy: short-range force constants and dipole sums of all atoms of the user's cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.phonon.adapters.phonopy_adapter import (
    build_phonopy,
    nac_parameters,
    nearest_images,
    phonopy_from,
)
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.unit_cell_modes import DipoleForces, ShortRange

if TYPE_CHECKING:
    from phonopy import Phonopy

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: phonopy leaves out the non-analytical correction for wave vectors shorter than this, in 1/Å
#: without 2π.
GAMMA_TOLERANCE = 1e-5


def unit_cell_phonopy(force_constants: ForceConstants) -> Phonopy:
    """Return a phonopy object whose primitive cell is the user's cell, with all its atoms.

    Where the cell holds several primitive ones, the dipole sums keep the range parameter of the
    primitive cell: frequencies of both cells are then equal at all wave vectors, not only at those
    of the supercell.
    """
    own = phonopy_from(force_constants)
    if np.allclose(np.array(own.primitive_matrix), np.eye(3), atol=1e-8):
        return own
    from phonopy.harmonic.force_constants import compact_fc_to_full_fc

    whole = build_phonopy(
        force_constants.unitcell,
        force_constants.supercell_matrix_second,
        primitive_matrix=np.eye(3),
        symmetry=False,
    )
    whole.force_constants = compact_fc_to_full_fc(own.primitive, own.force_constants)
    parameters = nac_parameters(force_constants, whole)
    if parameters is not None:
        matrix: Any = own.dynamical_matrix
        matrix.make_Gonze_nac_dataset()
        _, _, cutoff, _, range_parameter = matrix.Gonze_nac_dataset
        whole.nac_params = parameters | {"G_cutoff": cutoff, "Lambda": range_parameter}
    return whole


def harmonic_parts(
    force_constants: ForceConstants, crystal: Crystal, order: Integers
) -> tuple[ShortRange, DipoleForces | None]:
    """Return what the dynamical matrix of a crystal is made of.

    Parameters
    ----------
    force_constants : ForceConstants
    crystal : Crystal
        The same structure.
    order : ndarray of int, (n_atoms,)
        For each atom of the crystal its index in the cell of the force constants.
    """
    phonopy = unit_cell_phonopy(force_constants)
    matrix: Any = phonopy.dynamical_matrix
    primitive: Any = phonopy.primitive
    unit_of = {atom: i for i, atom in enumerate(phonopy.supercell.u2s_map)}
    # Index in the cell of the force constants -> index in phonopy's primitive cell.
    place = {unit_of[atom]: i for i, atom in enumerate(primitive.p2s_map)}
    chosen = np.array([place[int(i)] for i in order], dtype=np.int64)
    charges = force_constants.dielectric
    dipoles = None
    constants = np.array(matrix.force_constants)
    if charges is not None:
        matrix.make_Gonze_nac_dataset()
        constants, _, _, waves, range_parameter = matrix.Gonze_nac_dataset
        dipoles = DipoleForces(
            born_charges=charges.born_charges[order],
            epsilon_infinity=charges.epsilon_infinity,
            coulomb_constant=charges.coulomb_constant,
            range_parameter=2.0 * np.pi * range_parameter,
            waves=np.rint(np.asarray(waves) @ crystal.lattice.T).astype(np.int64),
            gamma_tolerance=2.0 * np.pi * GAMMA_TOLERANCE,
        )
    if len(constants) != len(primitive):
        constants = constants[primitive.p2s_map]
    return _short_range(primitive, constants, crystal, chosen), dipoles


def _short_range(
    primitive: Any, constants: Array, crystal: Crystal, chosen: Integers
) -> ShortRange:
    """Return force constants by lattice vectors, atoms as in the crystal."""
    n_atoms, n_super = constants.shape[:2]
    positions = np.array(primitive.scaled_positions)
    to_primitive = np.array([primitive.p2p_map[i] for i in primitive.s2p_map])
    rank = np.argsort(chosen)
    home = np.rint(crystal.fractional[rank] - positions).astype(np.int64)
    members = np.indices((n_atoms, n_super)).reshape(2, -1).T
    rows, vectors, shares = nearest_images(primitive, members)
    first, column = members[rows].T
    second = to_primitive[column]
    cells = np.rint(vectors[:, 0] - positions[second] + positions[first]).astype(np.int64)
    cells += home[first] - home[second]
    unique, which = np.unique(np.vstack([cells, -cells]), axis=0, return_inverse=True)
    table = np.zeros((len(unique), n_atoms, n_atoms, 3, 3))
    blocks = 0.5 * constants[first, column] * shares[:, None, None]
    i, j = rank[first], rank[second]
    # Φ_ij(R) and Φ_ji(-R) transposed are equal; rounding and fits leave a difference.
    index = which.ravel()
    np.add.at(table, (index[: len(cells)], i, j), blocks)
    np.add.at(table, (index[len(cells) :], j, i), blocks.swapaxes(1, 2))
    by_cell = table.transpose(0, 1, 3, 2, 4).reshape(len(unique), 3 * n_atoms, 3 * n_atoms)
    return ShortRange(cells=unique, constants=by_cell)

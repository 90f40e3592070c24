"""phonopy and symfc for frequency renormalisation: dynamical matrices, supercells, basis sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from elphant.crystal import Crystal
from elphant.errors import PhysicsError
from elphant.phonon.adapters.phonopy_adapter import (
    DEFAULT_TOLERANCE,
    from_phonopy_atoms,
    nearest_images,
    phonopy_from,
    primitive_positions,
)
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.renormalization.second_order import SecondOrderLattice
from elphant.phonon.renormalization.second_order_fit import SecondOrderBasis

if TYPE_CHECKING:
    from phonopy import Phonopy

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]


class HarmonicCrystal:
    """Dynamical matrices of one set of force constants, non-analytical correction included.

    Parameters
    ----------
    force_constants : ForceConstants
    tolerance : float, Å
        Symmetry tolerance.

    Attributes
    ----------
    lattice : SecondOrderLattice
        Which pair of atoms of the crystal each compact second-order constant belongs to.
    """

    def __init__(
        self, force_constants: ForceConstants, *, tolerance: float = DEFAULT_TOLERANCE
    ) -> None:
        from phonopy.harmonic.dynamical_matrix import DynamicalMatrixGL

        phonopy = phonopy_from(force_constants, tolerance=tolerance)
        self.lattice = _lattice_of(phonopy)
        self._matrix: Any = phonopy.dynamical_matrix
        long_range = isinstance(self._matrix, DynamicalMatrixGL)
        if long_range and self._matrix.short_range_force_constants is None:
            self._matrix.make_Gonze_nac_dataset()

    def dynamical_matrices(self, q_points: Array) -> Complex:
        """Return dynamical matrices in the lattice phase ``exp(iq·R)``.

        Parameters
        ----------
        q_points : ndarray, (n_q, 3)
            Fractional coordinates in the reciprocal primitive cell. At Γ the correction is left
            out.

        Returns
        -------
        ndarray, (n_q, 3 n_atoms, 3 n_atoms) complex, eV Å⁻² amu⁻¹
        """
        from phonopy.harmonic.dynamical_matrix import get_dynamical_matrices_at_qpoints

        q_points = np.ascontiguousarray(q_points, dtype=float)
        matrices = get_dynamical_matrices_at_qpoints(self._matrix, q_points)
        phases = np.exp(2j * np.pi * q_points @ self.lattice.positions.T)
        phases = np.repeat(phases, 3, axis=1)
        return np.asarray(matrices * phases[:, :, None] * phases[:, None, :].conj())


def supercell_second(
    force_constants: ForceConstants, *, tolerance: float = DEFAULT_TOLERANCE
) -> tuple[Crystal, SecondOrderLattice, SecondOrderBasis]:
    """Return the second-order supercell, its pair table, and the symmetric basis of Φ2.

    Returns
    -------
    Crystal
        Atoms as in ``ForceConstants.second``.
    SecondOrderLattice
    SecondOrderBasis
        Spans all Φ2 that obey translation, permutation, space group and acoustic sum rule.
    """
    phonopy = phonopy_from(force_constants, tolerance=tolerance)
    supercell = from_phonopy_atoms(phonopy.supercell, name=force_constants.unitcell.name)
    return supercell, _lattice_of(phonopy), _basis_of(phonopy)


def _lattice_of(phonopy: Phonopy) -> SecondOrderLattice:
    primitive: Any = phonopy.primitive
    supercell = phonopy.supercell
    lattice = np.array(primitive.cell)
    inverse = np.linalg.inv(lattice)
    positions = primitive_positions(primitive)
    atoms = np.array([primitive.p2p_map[i] for i in primitive.s2p_map], dtype=int)
    cells = _integers(np.array(supercell.positions) @ inverse - positions[atoms], lattice)
    members = np.indices((len(primitive), len(supercell))).reshape(2, -1).T
    rows, vectors, shares = nearest_images(primitive, members)
    first, second = members[rows].T
    images = vectors[:, 0] - positions[atoms[second]] + positions[first]
    return SecondOrderLattice(
        lattice=lattice,
        positions=positions,
        masses=np.array(primitive.masses),
        supercell=_integers(np.array(supercell.cell) @ inverse, lattice),
        home=np.array(primitive.p2s_map),
        atoms=atoms,
        cells=cells,
        image_rows=first,
        image_columns=second,
        image_cells=_integers(images, lattice),
        image_weights=shares,
    )


def _integers(values: Array, lattice: Array) -> Integers:
    rounded = np.rint(values)
    miss = float(np.abs((values - rounded) @ lattice).max())
    if miss > 1e-3:
        raise PhysicsError(
            f"atoms of the supercell miss the primitive lattice by {miss:.2g} Å.",
            "The supercell is no exact multiple of the primitive cell.",
            "Symmetrise the structure, or set a smaller symmetry tolerance.",
        )
    return rounded.astype(np.int64)


def _basis_of(phonopy: Phonopy) -> SecondOrderBasis:
    from symfc import Symfc
    from symfc.utils.utils import SymfcAtoms

    supercell = phonopy.supercell
    solver = Symfc(
        SymfcAtoms(
            cell=supercell.cell,
            scaled_positions=supercell.scaled_positions,
            numbers=supercell.numbers,
        ),
        spacegroup_operations=phonopy.symmetry.symmetry_operations,
        symprec=phonopy.symmetry.tolerance,
    )
    solver.compute_basis_set(orders=[2])
    basis = solver.basis_set[2]
    assert basis.blocked_basis_set is not None
    compact = csr_array(basis.compact_compression_matrix) @ csr_array(basis.basis_set)
    compact.data[np.abs(compact.data) < 1e-14] = 0.0
    compact.eliminate_zeros()
    permutations, rotations = _operations(phonopy)
    return SecondOrderBasis(
        rows=np.array(basis.p2s_map, dtype=int),
        translations=np.array(basis.translation_permutations, dtype=int),
        vectors=compact,
        home=np.array(phonopy.primitive.p2s_map, dtype=int),
        permutations=permutations,
        rotations=rotations,
    )


def _operations(phonopy: Phonopy) -> tuple[Integers, Array]:
    """Return atom permutations and Cartesian rotations, one for each rotation of the group."""
    supercell = phonopy.supercell
    lattice = np.array(supercell.cell)
    positions = np.array(supercell.scaled_positions)
    operations = phonopy.symmetry.symmetry_operations
    inverse = np.linalg.inv(lattice)
    tree = KDTree(_wrapped(positions), boxsize=1.0)
    permutations, rotations = [], []
    _, one_each = np.unique(operations["rotations"], axis=0, return_index=True)
    for i in one_each:
        rotation, translation = operations["rotations"][i], operations["translations"][i]
        miss, target = tree.query(_wrapped(positions @ rotation.T + translation))
        assert miss.max() < 0.05
        assert len(set(target.tolist())) == len(positions)
        permutations.append(target)
        rotations.append((inverse @ rotation.T @ lattice).T)
    return np.array(permutations, dtype=int), np.array(rotations)


def _wrapped(fractional: Array) -> Array:
    """Return coordinates in [0, 1)."""
    wrapped = fractional - np.floor(fractional)
    return np.where(wrapped >= 1.0, 0.0, wrapped)

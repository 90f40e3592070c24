"""A crystal of springs with Born charges, dielectric data and phonons, anisotropic or cubic."""

from __future__ import annotations

from itertools import product

import numpy as np

from elphant.crystal import Crystal
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.force_constants import ForceConstants

TRICLINIC = np.array([[3.3, 0.0, 0.1], [0.4, 3.5, 0.0], [-0.2, 0.3, 3.2]])
EPSILON = np.array([[2.6, 0.3, 0.1], [0.3, 4.1, -0.2], [0.1, -0.2, 3.2]])
CHARGES = np.array([[1.1, 0.2, 0.0], [-0.1, 1.4, 0.3], [0.2, 0.1, 0.8]])
CSCL = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])


def ionic_crystal(lattice=TRICLINIC, fractional=CSCL, epsilon=EPSILON, charges=CHARGES):
    """Return the force constants of springs between two ions of opposite charge."""
    crystal = Crystal(lattice=lattice, fractional=fractional, numbers=[11, 17])
    data = DielectricData(
        epsilon_infinity=epsilon, born_charges=np.stack([charges, -charges]), source="test"
    )
    matrix = 3 * np.eye(3, dtype=int)
    phonopy = build_phonopy(crystal, matrix, primitive_matrix=np.eye(3))
    positions = np.array(phonopy.supercell.positions)
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ phonopy.supercell.cell
    second = np.zeros((2, len(positions), 3, 3))
    for row, i in enumerate(phonopy.primitive.p2s_map):
        for j, image in product(range(len(positions)), images):
            bond = positions[j] - positions[i] + image
            length = np.linalg.norm(bond)
            if 1e-3 < length < 4.2:
                spring = 6.0 * (2.5 / length) ** 4 * np.outer(bond, bond) / length**2
                second[row, i] += spring
                second[row, j] -= spring
    return ForceConstants(
        unitcell=crystal,
        primitive_matrix=np.eye(3),
        supercell_matrix_second=matrix,
        second=second,
        dielectric=data,
    )


def cubic_crystal() -> ForceConstants:
    """Return a cubic salt with one longitudinal and two transverse optical modes."""
    return ionic_crystal(3.2 * np.eye(3), CSCL, 2.4 * np.eye(3), 1.1 * np.eye(3))

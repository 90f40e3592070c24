"""Position between pseudo-atomic orbitals: quadrature in space, origin, hermiticity, symmetry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_openmx_database import write_tables
from test_openmx_matrices import BASIS, blocks_of, molecule, triclinic

from elphant.crystal import Crystal
from elphant.models.hamiltonians.openmx import OpenMXData, openmx_matrices, openmx_position
from elphant.models.hamiltonians.openmx.angular import openmx_order
from elphant.orbitals.harmonics import solid_harmonics
from elphant.units import OPENMX_ANGSTROM_PER_BOHR as BOHR


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> OpenMXData:
    folder = tmp_path_factory.mktemp("tables")
    for symbol in ("Si", "C"):
        write_tables(folder, symbol)
    return OpenMXData(Path(folder))


def orbitals_at(data: OpenMXData, crystal: Crystal, atom: int, points: np.ndarray) -> np.ndarray:
    """Return the orbitals of an atom, (n_points, n_orbitals); all in bohr."""
    species = data.tables(crystal.symbols, BASIS).species[crystal.symbols[atom]]
    d = points - crystal.positions[atom] / BOHR
    r = np.linalg.norm(d, axis=1)
    unit = d / np.where(r > 0, r, 1.0)[:, None]
    radial = species._orbitals_at(np.maximum(r, species.pao.r[0]))
    columns = []
    for ell, functions in zip(radial.l, radial.functions, strict=True):
        angular = solid_harmonics(ell, unit)[:, openmx_order(ell)]
        columns += [np.where(r < species.cutoff, f, 0.0)[:, None] * angular for f in functions]
    return np.hstack(columns)


def test_quadrature_in_space(data: OpenMXData) -> None:
    """All orbitals of two atoms up to d, against a sum over a grid."""
    crystal = molecule([10, 10, 10], [10.8, 9.1, 11.6], numbers=(14, 6))
    axis = np.arange(4.0, 17.0, 0.2)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    bra, ket = (orbitals_at(data, crystal, atom, points) for atom in (0, 1))
    key = (0, 1, 0, 0, 0)
    S = blocks_of(openmx_matrices(crystal, data, basis=BASIS).overlap)[key]
    np.testing.assert_allclose(bra.T @ ket * 0.2**3, S, atol=2e-5)
    for alpha, matrix in enumerate(openmx_position(crystal, data, basis=BASIS)):
        block = blocks_of(matrix)[key] / BOHR
        own = blocks_of(matrix)[0, 0, 0, 0, 0] / BOHR
        weighted = bra * points[:, alpha, None] * 0.2**3
        np.testing.assert_allclose(weighted.T @ ket, block, atol=2e-4)
        np.testing.assert_allclose(weighted.T @ bra, own, atol=2e-4)
        assert np.abs(own - 10.0 * np.eye(len(own))).max() > 0.1  # dipoles inside the atom


def test_hermitian_and_about_the_origin(data: OpenMXData) -> None:
    crystal = triclinic()
    position = openmx_position(crystal, data, basis=BASIS)
    overlap = blocks_of(openmx_matrices(crystal, data, basis=BASIS).overlap)
    shift = np.array([0.31, -0.52, 0.17])
    moved = Crystal(
        lattice=crystal.lattice, numbers=crystal.numbers,
        fractional=crystal.fractional + shift @ np.linalg.inv(crystal.lattice),
    )  # fmt: skip
    for alpha, other in enumerate(openmx_position(moved, data, basis=BASIS)):
        blocks, there = blocks_of(position[alpha]), blocks_of(other)
        for (i, j, *cell), block in blocks.items():
            # <j 0|r|i -R> = <i R|r|j 0> - R S: the crystal is the same, the origin is not.
            back = (j, i, *(-n for n in cell))
            R = np.array(cell) @ crystal.lattice
            np.testing.assert_allclose(
                blocks[back].T, block - R[alpha] * overlap[i, j, *cell], atol=2e-6
            )
            expected = block + shift[alpha] * overlap[i, j, *cell]
            np.testing.assert_allclose(there[i, j, *cell], expected, atol=1e-10)

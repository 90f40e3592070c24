"""Derivatives of what spin-orbit coupling adds to H0, on synthetic tables."""

from __future__ import annotations

import numpy as np
import pytest
from test_openmx_database import write_tables
from test_openmx_matrices import BASIS, molecule, triclinic

from elphant.crystal import Crystal
from elphant.models.hamiltonians.openmx import (
    OpenMXData,
    openmx_matrices,
    openmx_spin_orbit_derivatives,
)
from elphant.models.hamiltonians.openmx.derivatives import DerivativeTerms
from elphant.orbitals import LatticeMatrix
from elphant.orbitals.derivatives import translation_residual


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> OpenMXData:
    folder = tmp_path_factory.mktemp("DFT_DATA19")
    for symbol in ("Si", "C"):
        write_tables(folder, symbol)
    return OpenMXData(folder)


def matrices_of(crystal: Crystal, data: OpenMXData) -> list[LatticeMatrix]:
    """The change of the scalar part, and A for x, y, z."""
    m = openmx_matrices(crystal, data, basis=BASIS, spin_orbit=True)
    assert m.spin_orbit is not None
    change = m.spin_orbit.average.values - m.nonlocal_.values
    return [m.overlap.with_values(change), *m.spin_orbit.coupling]


def folded(terms: DerivativeTerms, pattern: LatticeMatrix, atom: int, axis: int) -> np.ndarray:
    """The derivative of all blocks when all images of an atom move alike."""
    two = terms.two_centre[axis]
    moves = (pattern.pairs[:, 0] == atom).astype(float) - (pattern.pairs[:, 1] == atom)
    total = two.values * np.repeat(moves, np.diff(pattern.offsets))
    keys = np.hstack([pattern.pairs, pattern.cells]).tolist()
    place = {tuple(key): k for k, key in enumerate(keys)}
    e = terms.environment
    for n in np.flatnonzero(e.moved == atom):
        key = (*e.pairs[n].tolist(), *(e.cells[n, 1] - e.cells[n, 0]).tolist())
        start, stop = pattern.offsets[place[key] : place[key] + 2]
        total[start:stop] += e.values[e.offsets[n] : e.offsets[n + 1]].reshape(3, -1)[axis]
    return total


@pytest.mark.parametrize(("atom", "axis"), [(0, 0), (1, 2)])
def test_derivatives_are_the_central_differences(data: OpenMXData, atom: int, axis: int) -> None:
    crystal, step = triclinic(), 2e-3
    found = openmx_spin_orbit_derivatives(crystal, data, basis=BASIS)
    pattern = openmx_matrices(crystal, data, basis=BASIS).overlap
    samples = {}
    for factor in (1, -1, 2, -2):
        move = np.zeros((2, 3))
        move[atom, axis] = factor * step
        samples[factor] = matrices_of(crystal.displaced(move), data)
    for part, terms in enumerate((found.average, *found.coupling)):
        numeric = sum(
            weight * samples[factor][part].values
            for factor, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1))
        ) / (12 * step)
        got = folded(terms, pattern, atom, axis)
        scale = np.abs(numeric).max()
        assert scale > 1e-3
        assert np.abs(got - numeric).max() < 1e-6 * scale


def test_sum_rules_and_symmetry(data: OpenMXData) -> None:
    found = openmx_spin_orbit_derivatives(triclinic(), data, basis=BASIS)
    for number, terms in enumerate((found.average, *found.coupling)):
        e, sign = terms.environment, 1.0 if number == 0 else -1.0
        assert e.norms.max() > 1e-2
        assert translation_residual(e)[1] < 1e-12
        keys = np.column_stack([e.moved, e.pairs, e.cells.reshape(-1, 6)])
        turned = np.column_stack([e.moved, e.pairs[:, ::-1], e.cells[:, ::-1].reshape(-1, 6)])
        place = {tuple(key): n for n, key in enumerate(keys.tolist())}
        for n, key in enumerate(turned.tolist()):
            back = place[tuple(key)]
            (i, j) = e.pairs[n]
            block = e.values[e.offsets[n] : e.offsets[n + 1]].reshape(3, e.sizes[i], e.sizes[j])
            other = e.values[e.offsets[back] : e.offsets[back + 1]].reshape(3, e.sizes[j], -1)
            np.testing.assert_allclose(block, sign * other.transpose(0, 2, 1), atol=1e-12)


def test_a_third_atom_changes_the_coupling_of_two(data: OpenMXData) -> None:
    crystal = molecule([10, 10, 10], [12.1, 11.2, 9.5], [9.2, 12.5, 11.1], numbers=(14, 6, 14))
    found = openmx_spin_orbit_derivatives(crystal, data, basis=BASIS)
    for terms in found.coupling:
        e = terms.environment
        third = (e.moved == 2) & (e.pairs == [0, 1]).all(axis=1)
        assert e.norms[third].max() > 1e-3

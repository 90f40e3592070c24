"""Validation: what must be refused, and what is flagged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from elphant.crystal import Crystal
from elphant.errors import ModelError, PhysicsError
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)
from elphant.orbitals.validation import sampled_k_points, validate

ORIGIN = HamiltonianOrigin(provider="toy", level_of_theory="none", self_consistent=False)
CELLS = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0]])


def _chain(*, splitting=4.0, hopping=0.1, overlap=0.05, n_electrons=2.0, lattice=4.0):
    """Return two s orbitals on two atoms, with energies ∓ splitting/2 and equal hoppings."""
    crystal = Crystal(
        lattice=np.eye(3) * lattice,
        fractional=np.array([[0, 0, 0], [0.5, 0, 0]]),
        numbers=np.array([11, 17]),
    )
    basis = OrbitalBasis(
        atom=np.array([0, 1]), n=np.ones(2, int), l=np.zeros(2, int), m=np.zeros(2, int),
        spin=np.zeros(2, int),
    )  # fmt: skip

    def matrix(diagonal, off):
        cells = np.zeros((3, 2, 2))
        cells[0] = np.diag(diagonal) + off * np.array([[0, 1], [1, 0]])
        cells[2, 0, 1] = cells[1, 1, 0] = off
        return LatticeMatrix.from_cells([1, 1], CELLS, cells)

    return LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=basis,
        hamiltonian=matrix([splitting / 2, -splitting / 2], hopping),
        overlap=matrix([1.0, 1.0], overlap) if overlap is not None else None,
        n_electrons=n_electrons,
        origin=ORIGIN,
    )


def _flags(hamiltonian, **options):
    return {flag.name: flag for flag in validate(hamiltonian, **options)}


def _with_block(matrix, pair, cell, change):
    where = np.flatnonzero((matrix.pairs == pair).all(1) & (matrix.cells == cell).all(1))[0]
    values = matrix.values.copy()
    values[matrix.offsets[where]] += change
    return matrix.with_values(values)


def test_a_good_hamiltonian_passes():
    flags = _flags(_chain(hopping=0.01), require_gap=True)
    assert {flag.severity for flag in flags.values()} == {"info"}
    assert set(flags) == {
        "hamiltonian_hermitian", "overlap_hermitian", "hamiltonian_range", "overlap_positive",
        "trace", "gap",
    }  # fmt: skip


def test_the_smallest_overlap_eigenvalue_is_the_analytic_one():
    flags = _flags(_chain(overlap=0.2), k_points=[[0, 0, 0], [0.5, 0, 0]])
    assert flags["overlap_positive"].value == pytest.approx(1 - 2 * 0.2, abs=1e-12)
    flags = _flags(_chain(overlap=0.49999))
    assert flags["overlap_positive"].severity == "warning"


def test_the_gap_is_the_analytic_one():
    flags = _flags(_chain(hopping=0.0, overlap=None), k_points=[[0.1, 0.2, 0.3]])
    assert flags["gap"].value == pytest.approx(4.0)
    assert "overlap_positive" not in flags


def test_sampled_points_are_reproducible_and_hold_the_zone_centre():
    points = sampled_k_points(7)
    assert points.shape == (7, 3)
    np.testing.assert_array_equal(points, sampled_k_points(7))
    assert not points[0].any()


@pytest.mark.parametrize(("symbol", "name"), [("H", "hamiltonian"), ("S", "overlap")])
def test_non_hermitian_matrices_are_refused(symbol, name):
    h = _chain()
    broken = _with_block(getattr(h, name), (0, 1), (0, 0, 0), 0.01)
    with pytest.raises(ModelError, match=rf"{symbol}\(R\) is not Hermitian"):
        validate(dataclasses.replace(h, **{name: broken}))


def test_a_missing_partner_is_refused():
    h = _chain()
    matrix = h.hamiltonian
    kept = ~((matrix.pairs == (1, 0)).all(1) & (matrix.cells == (1, 0, 0)).all(1))
    with pytest.raises(ModelError, match="not Hermitian"):
        validate(dataclasses.replace(h, hamiltonian=matrix.selected(kept)))


def test_rounding_is_flagged_not_refused():
    h = _chain()
    rounded = _with_block(h.hamiltonian, (0, 1), (0, 0, 0), 1e-4)
    flags = _flags(dataclasses.replace(h, hamiltonian=rounded))
    assert flags["hamiltonian_hermitian"].severity == "warning"
    assert flags["hamiltonian_hermitian"].value == pytest.approx(1e-4)


def test_an_indefinite_overlap_is_refused():
    with pytest.raises(PhysicsError, match="not positive definite"):
        validate(_chain(overlap=0.51))


def test_an_impossible_overlap_is_refused():
    with pytest.raises(ModelError, match="overlap by"):
        validate(_chain(overlap=1.2))
    h = _chain()
    with pytest.raises(PhysicsError, match="norm"):
        validate(dataclasses.replace(h, overlap=_with_block(h.overlap, (1, 1), (0, 0, 0), -1.5)))


def test_a_metal_is_refused_only_on_request():
    metal = _chain(splitting=0.0, hopping=1.0, overlap=None)
    edge = [[0.5, 0, 0]]  # where the two bands meet
    assert _flags(metal, k_points=edge)["gap"].severity == "invalid"
    with pytest.raises(PhysicsError, match="no gap"):
        validate(metal, k_points=edge, require_gap=True)


def test_unfilled_bands_are_refused_only_on_request():
    odd = _chain(n_electrons=1.0)
    assert _flags(odd)["gap"].severity == "invalid"
    with pytest.raises(PhysicsError, match="do not fill"):
        validate(odd, require_gap=True)
    assert _flags(_chain(n_electrons=4.0))["gap"].severity == "warning"


def test_absurd_bonds_are_refused():
    with pytest.raises(ModelError, match="Å apart"):
        validate(_chain(lattice=1000.0))


def test_an_abrupt_end_is_flagged():
    assert _flags(_chain(hopping=0.5))["hamiltonian_range"].severity == "warning"


def test_near_dependent_orbitals_keep_the_trace():
    flags = _flags(_chain(overlap=0.4999999))
    assert flags["overlap_positive"].value < 1e-6
    assert flags["trace"].value < 1e-6

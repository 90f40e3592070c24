"""Born charges: known limits, symmetry against brute force, sum rule, stored work."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from gaussian_model import GaussianModel, semiconductor, zincblende

from elphant.crystal import Crystal, find_symmetry
from elphant.electron.dielectric.berry_phase import berry_phases
from elphant.electron.dielectric.born_charges import (
    ChargeDisplacement,
    born_charges,
    charge_displacements,
    charges_from_phases,
    displaced_crystals,
)
from elphant.electron.dielectric.permittivity import permittivity
from elphant.electron.dielectric.response import dielectric_from_hamiltonian
from elphant.errors import ModelError
from elphant.orbitals import HamiltonianOrigin, LatticeMatrix, LocalOrbitalHamiltonian, OrbitalBasis


class TwoLevelMolecule:
    """Orthonormal orbitals of energies ∓gap/2 on two atoms that hop by t(d) = t0 (d0/d)²."""

    gap, t0, d0 = 3.0, 1.2, 2.0

    def charge(self, d):
        """Electrons on the second, lower atom."""
        t = self.t0 * (self.d0 / d) ** 2
        return 1 + self.gap / np.hypot(self.gap, 2 * t)

    def predict(self, crystal):
        # The molecule may lie across the cell boundary: the nearest image is the partner.
        difference = crystal.fractional[1] - crystal.fractional[0]
        cell = -np.round(difference).astype(int)
        d = np.linalg.norm((difference + cell) @ crystal.lattice)
        t = self.t0 * (self.d0 / d) ** 2
        H = LatticeMatrix(
            sizes=[1, 1],
            pairs=[[0, 0], [1, 1], [0, 1], [1, 0]],
            cells=[[0, 0, 0], [0, 0, 0], cell, -cell],
            values=[self.gap / 2, -self.gap / 2, -t, -t],
        )
        basis = OrbitalBasis(atom=[0, 1], n=[1, 1], l=[0, 0], m=[0, 0], spin=[0, 0])
        return LocalOrbitalHamiltonian(
            crystal=crystal,
            basis=basis,
            hamiltonian=H,
            overlap=None,
            n_electrons=2.0,
            origin=HamiltonianOrigin(
                provider="two levels",
                level_of_theory="model",
                self_consistent=False,
                details={"ionic_charges": [1.0, 1.0]},
            ),
        )


def test_a_two_level_molecule_has_its_analytic_charges():
    """p = d (1 - n(d)) along the molecule: Z* is its slope along, and p/d across."""
    model, d = TwoLevelMolecule(), 2.1
    crystal = Crystal(
        lattice=[[7, 0, 0], [0, 8, 0], [1, 0, 9]],
        fractional=(np.array([[3.5, 3.9, 8.9], [3.5, 3.9, 8.9 + d]]))
        @ np.linalg.inv([[7, 0, 0], [0, 8, 0], [1, 0, 9]]),
        numbers=[31, 33],
    )
    result = born_charges(
        model, crystal, find_symmetry(crystal), (1, 1, 1), string_points=(16, 16, 16), size=0.002
    )
    h = 1e-4
    slope = ((1 - model.charge(d + h)) * (d + h) - (1 - model.charge(d - h)) * (d - h)) / (2 * h)
    across = 1 - model.charge(d)
    expected = np.diag([across, across, slope])
    np.testing.assert_allclose(result.charges[1], expected, atol=1e-5)
    np.testing.assert_allclose(result.charges[0], -expected, atol=1e-5)
    assert abs(slope - across) > 0.1
    assert result.charge_sum < 1e-5


def test_rigid_ions_have_their_charges():
    shells = {11: [("s", 1.2, 5.0)], 17: [("s", 1.5, -15.0), ("p", 1.2, -8.0)]}
    salt = Crystal(
        lattice=6.4 / 2 * (1 - np.eye(3)), fractional=[[0, 0, 0], [0.5] * 3], numbers=[11, 17]
    )
    model = GaussianModel(shells, {11: 1, 17: 7}, reach=7.0)
    result = born_charges(model, salt, find_symmetry(salt), (2, 2, 2))
    np.testing.assert_allclose(result.charges[0], np.eye(3), atol=0.03)
    np.testing.assert_allclose(result.charges[1], -np.eye(3), atol=0.03)


@pytest.mark.parametrize(
    ("lattice", "fractional", "numbers", "runs"),
    [
        (5.6 / 2 * (1 - np.eye(3)), [[0, 0, 0], [0.25] * 3], [31, 33], 2),
        (5.6 * np.eye(3), [[0, 0, 0], [0.5] * 3], [31, 33], 2),
        # Wurtzite: along c and -c, and one direction in the plane, for either kind.
        (
            [[4.0, 0, 0], [-2.0, 2 * np.sqrt(3), 0], [0, 0, 6.5]],
            [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.38], [2 / 3, 1 / 3, 0.88]],
            [31, 31, 33, 33],
            6,
        ),
        ([[5, 0, 0], [0.4, 5.5, 0], [0.3, -0.6, 6]], [[0, 0, 0], [0.3, 0.2, 0.4]], [31, 33], 12),
    ],
)
def test_displacements_are_few_and_complete(lattice, fractional, numbers, runs):
    crystal = Crystal(lattice=lattice, fractional=fractional, numbers=numbers)
    items = charge_displacements(crystal, find_symmetry(crystal), size=0.03)
    assert len(items) == runs
    np.testing.assert_allclose([np.linalg.norm(item.vector) for item in items], 0.03)
    again = [ChargeDisplacement.from_dict(json.loads(json.dumps(item.to_dict()))) for item in items]
    for item, other, moved in zip(items, again, displaced_crystals(crystal, items), strict=True):
        np.testing.assert_array_equal(item.vector, other.vector)
        np.testing.assert_allclose(
            (moved.positions - crystal.positions)[item.atom], item.vector, atol=1e-12
        )


def test_symmetry_gives_the_charges_of_all_displacements():
    """One move per atom of zincblende against six, and a P1 treatment of the same crystal."""
    crystal, model = zincblende(), semiconductor()
    symmetry = find_symmetry(crystal)
    few = born_charges(model, crystal, symmetry, (5, 5, 5), string_points=(12, 12, 12))
    identity = replace(
        symmetry,
        rotations=np.eye(3, dtype=int)[None],
        translations=np.zeros((1, 3)),
        equivalent_atoms=np.arange(2),
    )
    all_moves = born_charges(model, crystal, identity, (5, 5, 5), string_points=(12, 12, 12))
    assert len(charge_displacements(crystal, identity)) == 12
    np.testing.assert_allclose(few.charges, all_moves.charges, atol=3e-3)
    np.testing.assert_allclose(few.charges[0], few.charges[0, 0, 0] * np.eye(3), atol=1e-12)
    assert all_moves.charge_sum < 1e-3
    assert few.charge_sum < 2e-2
    assert abs(few.charges[0, 0, 0]) > 0.3


def test_stored_items_make_the_same_charges_and_the_shared_object():
    crystal, model = zincblende(), semiconductor(position=False)
    symmetry = find_symmetry(crystal)
    at_rest = model.predict(crystal)
    items = charge_displacements(crystal, symmetry)
    phases = [
        berry_phases(model.predict(moved), (2, 2, 2))
        for moved in displaced_crystals(crystal, items)
    ]
    reference = berry_phases(at_rest, (2, 2, 2))
    stored = charges_from_phases(items, phases, reference, at_rest, symmetry)
    seen = []
    whole = born_charges(
        model, crystal, symmetry, (2, 2, 2), hamiltonian=at_rest,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    np.testing.assert_array_equal(stored.charges, whole.charges)
    assert seen == [(1, 2), (2, 2)]
    names = {flag.name: flag.severity for flag in stored.flags}
    assert names["intra_atomic_dipoles"] == "warning"
    assert names["born_charge_sum"] == "info"
    epsilon = permittivity(at_rest, [(3, 3, 3), (4, 4, 4)], symmetry)
    data = dielectric_from_hamiltonian(at_rest, symmetry, epsilon, stored)
    np.testing.assert_allclose(data.born_charges, stored.charges, atol=1e-12)
    np.testing.assert_allclose(data.charge_sum, 0, atol=1e-11)
    assert "gaussian model, Wolfsberg-Helmholtz: sum over states" in data.source
    assert "k mesh 4x4x4" in data.source
    assert "Berry phases" in data.source


def test_core_charges_must_be_known_and_balance():
    crystal, model = zincblende(), semiconductor()
    symmetry, at_rest = find_symmetry(crystal), model.predict(crystal)
    items = charge_displacements(crystal, symmetry)
    phases = berry_phases(at_rest, (2, 2, 2))
    given = (items, [phases] * len(items), phases)
    with pytest.raises(ModelError, match="sum to 7"):
        charges_from_phases(*given, at_rest, symmetry, ionic_charges=[3, 4])
    silent = replace(at_rest, origin=replace(at_rest.origin, details={}))
    with pytest.raises(ModelError, match="does not say"):
        charges_from_phases(*given, silent, symmetry)

"""The conformance kit passes good potentials and catches each kind of fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from elphant.crystal.io import from_ase
from elphant.errors import ModelError
from elphant.models.potentials.ase_calculator import AsePotential
from elphant.models.potentials.conformance import check_potential, inversion_violation
from elphant.models.potentials.protocol import Evaluation, Potential


@pytest.fixture(scope="module")
def copper():
    return from_ase(bulk("Cu", cubic=True))


class Faulty:
    """EMT with a fault put in by ``change``."""

    def __init__(self, change, card=None):
        self.base = AsePotential("ase.calculators.emt:EMT")
        self.change = change
        self.card = card or self.base.card

    def evaluate(self, crystals):
        return [
            self.change(crystal, result, index)
            for index, (crystal, result) in enumerate(
                zip(crystals, self.base.evaluate(crystals), strict=True)
            )
        ]

    def close(self):
        self.base.close()


def changed(result, energy=None, forces=None, stress=None):
    return Evaluation(
        energy=result.energy if energy is None else energy,
        forces=result.forces if forces is None else forces,
        stress=result.stress if stress is None else stress,
    )


FAULTS = {
    "forces of the wrong size": (lambda c, r, i: changed(r, forces=1.01 * r.forces), "-dE/dx"),
    "stress of the wrong sign": (lambda c, r, i: changed(r, stress=-r.stress), "dE/d(strain)"),
    "batch order": (lambda c, r, i: changed(r, energy=r.energy + 1e-3 * i), "batch"),
    "origin": (lambda c, r, i: changed(r, energy=r.energy + c.positions[0, 0]), "translated"),
    "frame": (lambda c, r, i: changed(r, energy=r.energy + c.lattice[0, 0]), "rotated"),
    "first atom is special": (
        lambda c, r, i: changed(r, energy=r.energy + r.forces[0] @ r.forces[0]),
        "permuted",
    ),
    "not extensive": (lambda c, r, i: changed(r, energy=r.energy + 1e-3), "supercell"),
    "force on the whole": (lambda c, r, i: changed(r, forces=r.forces + 1e-3), "sum to zero"),
}


def test_emt_conforms(copper):
    potential = AsePotential("ase.calculators.emt:EMT")
    assert isinstance(potential, Potential)
    assert check_potential(potential, copper) == []


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found(copper, name):
    change, message = FAULTS[name]
    failures = check_potential(Faulty(change), copper)
    assert any(message in failure for failure in failures), failures


def test_random_forces_are_found(copper):
    generator = np.random.default_rng(0)
    noisy = Faulty(
        lambda c, r, i: changed(r, forces=r.forces + 1e-4 * generator.normal(size=r.forces.shape))
    )
    assert any("second evaluation" in failure for failure in check_potential(noisy, copper))


def test_card_faults_are_found(copper):
    card = AsePotential("ase.calculators.emt:EMT").card
    same = lambda c, r, i: r  # noqa: E731
    wrong_head = Faulty(same, replace(card, heads=("a", "b"), head="c"))
    assert any("head" in failure for failure in check_potential(wrong_head, copper))
    silent = Faulty(same, replace(card, elements=("Cu", "Og")))

    def evaluate(crystals):
        bare = silent.base.evaluate([copper])[0]
        return [bare if 118 in c.numbers else silent.base.evaluate([c])[0] for c in crystals]

    silent.evaluate = evaluate
    assert any("unknown element" in failure for failure in check_potential(silent, copper))


def test_emt_obeys_inversion(copper):
    assert inversion_violation(AsePotential("ase.calculators.emt:EMT"), copper) < 1e-10


def test_potential_that_cannot_evaluate_raises(copper):
    silicon = from_ase(bulk("Si", cubic=True))
    with pytest.raises(ModelError, match="Si"):
        check_potential(AsePotential("ase.calculators.emt:EMT"), silicon)

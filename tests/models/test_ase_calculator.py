"""ASE calculators as potentials, and potentials as ASE calculators."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from elphant.crystal.io import from_ase, to_ase
from elphant.errors import DependencyError, ModelError
from elphant.models.potentials.ase_calculator import AsePotential, PotentialCalculator
from elphant.models.potentials.conformance import check_potential
from elphant.models.potentials.loading import PotentialSettings, load_potential

ARGON = """
from ase.calculators.lj import LennardJones

def argon():
    return LennardJones(sigma=3.4, epsilon=0.0104, rc=9.0, ro=6.5, smooth=True)

def number():
    return 3

def broken():
    raise RuntimeError("no parameters")

needs_arguments = lambda a: a
"""


class EnergyOnlyStress(Calculator):
    """EMT that hides its stress."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms, properties, system_changes)
        copy = atoms.copy()
        copy.calc = EMT()
        self.results = {"energy": copy.get_potential_energy(), "forces": copy.get_forces()}


class NotANumber(EnergyOnlyStress):
    """A calculator whose forces overflow."""

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms, properties, system_changes)
        self.results["forces"][0, 0] = np.nan


def aluminium():
    crystal = from_ase(bulk("Al", cubic=True))
    return crystal.displaced(0.1 * np.random.default_rng(1).standard_normal((4, 3)))


def argon_crystal():
    return from_ase(bulk("Ar", "fcc", a=5.3, cubic=True))


def test_lennard_jones_from_current_directory(tmp_path, monkeypatch):
    (tmp_path / "my_argon.py").write_text(ARGON)
    monkeypatch.chdir(tmp_path)
    potential = load_potential(PotentialSettings(spec="my_argon:argon"))
    assert check_potential(potential, argon_crystal()) == []
    assert potential.card.provider == "ase"
    assert potential.card.source == "my_argon:argon"
    potential.close()
    potential.close()


def test_builtin_lennard_jones_runs():
    potential = AsePotential("ase.calculators.lj:LennardJones")
    assert np.isfinite(potential.evaluate([argon_crystal()])[0].energy)


def test_missing_stress_is_computed_and_said():
    crystal = aluminium()
    numeric = AsePotential(EnergyOnlyStress()).evaluate([crystal])[0]
    exact = AsePotential("ase.calculators.emt:EMT").evaluate([crystal])[0]
    assert np.abs(exact.stress).max() > 1e-3
    np.testing.assert_allclose(numeric.stress, exact.stress, atol=1e-7)
    np.testing.assert_array_equal(numeric.forces, exact.forces)
    assert "finite difference" in AsePotential(EnergyOnlyStress()).card.notes
    assert "finite difference" not in AsePotential(EMT()).card.notes


def test_non_finite_forces_are_refused():
    with pytest.raises(ModelError, match="non-finite"):
        AsePotential(NotANumber()).evaluate([aluminium()])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module_here:factory", "cannot be found"),
        ("ase.no_such_module:factory", "cannot be found"),
        ("ase.calculators.emt:EMTT", "no callable"),
        ("my_argon:number", "does not give an ASE calculator"),
        ("my_argon:broken", "no parameters"),
        ("my_argon:needs_arguments", "without arguments"),
    ],
)
def test_bad_factories(tmp_path, monkeypatch, spec, message):
    (tmp_path / "my_argon.py").write_text(ARGON)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=message):
        AsePotential(spec)


def test_missing_dependency_of_users_module_is_named(tmp_path, monkeypatch):
    (tmp_path / "my_wrapper.py").write_text("import no_such_network_package\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DependencyError, match="no_such_network_package"):
        AsePotential("my_wrapper:factory")


def test_calculator_adaptor_evaluates_once_per_structure():
    crystal = aluminium()
    calculator = PotentialCalculator(AsePotential(EMT()))
    atoms = to_ase(crystal)
    atoms.calc = calculator
    direct = to_ase(crystal)
    direct.calc = EMT()
    assert atoms.get_potential_energy() == pytest.approx(direct.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), direct.get_forces(), atol=1e-12)
    np.testing.assert_allclose(atoms.get_stress(), direct.get_stress(), atol=1e-12)
    assert calculator.n_evaluations == 1
    atoms.positions[0, 0] += 0.01
    atoms.get_forces()
    assert calculator.n_evaluations == 2


def test_calculator_instance_is_accepted():
    potential = AsePotential(LennardJones(sigma=3.4, epsilon=0.0104, rc=9.0))
    assert potential.card.name == "LennardJones"

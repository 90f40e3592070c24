"""D3(BJ): numbers, derivatives, and which models it may be added to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from elphant.crystal.io import from_ase
from elphant.errors import ModelError
from elphant.models.card import ModelCard
from elphant.models.potentials import dispersion as dispersion_module
from elphant.models.potentials.ase_calculator import AsePotential
from elphant.models.potentials.conformance import ConformanceSettings, check_potential
from elphant.models.potentials.dispersion import DispersionCorrected, matching_functional
from elphant.models.potentials.loading import PotentialSettings, load_potential

pytest.importorskip("dftd3")


def card(level, name="toy"):
    return ModelCard(name=name, provider="ase", level_of_theory=level, licence="none")


@pytest.fixture
def copper():
    return from_ase(bulk("Cu", cubic=True))


@pytest.fixture
def corrected():
    return DispersionCorrected(AsePotential("ase.calculators.emt:EMT"), "pbe")


def test_conforms(corrected, copper):
    # The coordination numbers are cut sharply at 40 bohr, which is felt at the 1e-8 level.
    settings = ConformanceSettings(invariance=1e-7)
    assert check_potential(corrected, copper, settings) == []


def test_is_the_sum_of_its_parts(corrected, copper):
    shaken = copper.displaced(0.1 * np.random.default_rng(0).standard_normal((4, 3)))
    total = corrected.evaluate([shaken])[0]
    bare = AsePotential("ase.calculators.emt:EMT").evaluate([shaken])[0]
    extra = corrected.dispersion(shaken)
    assert total.energy == pytest.approx(bare.energy + extra.energy)
    assert extra.energy < -0.1
    np.testing.assert_allclose(total.forces, bare.forces + extra.forces)


def test_dispersion_pulls_together(corrected, copper):
    # dE/d(strain) > 0: the energy falls when the crystal shrinks; positive stress is tension.
    assert np.trace(corrected.dispersion(copper).stress) > 0


def test_matches_pair_formula_for_distant_atoms(corrected):
    # Two xenon-like atoms far apart: halving nothing but doubling the distance reduces the energy
    # by about 2^6 (undamped C6 tail), with a small C8 part.
    energies = []
    for distance in (10.0, 20.0):
        atoms = bulk("Xe", "sc", a=60.0)
        pair = atoms + atoms
        pair.positions[1] = pair.positions[0] + [distance, 0.0, 0.0]
        single = corrected.dispersion(from_ase(atoms)).energy
        energies.append(corrected.dispersion(from_ase(pair)).energy - 2 * single)
    assert energies[0] < 0
    assert energies[0] / energies[1] == pytest.approx(64.0, rel=0.2)


def test_is_two_body_only(corrected, copper):
    from dftd3.interface import RationalDampingParam

    with_triples = DispersionCorrected(AsePotential("ase.calculators.emt:EMT"), "pbe")
    with_triples._parameters = RationalDampingParam(method="pbe", atm=True)
    two, three = corrected.dispersion(copper), with_triples.dispersion(copper)
    assert three.energy > two.energy + 1e-3
    # s9 = 0 written out gives the same as what the potential uses.
    explicit = RationalDampingParam(s6=1.0, s8=0.7875, s9=0.0, a1=0.4289, a2=4.4407)
    with_triples._parameters = explicit
    assert with_triples.dispersion(copper).energy == pytest.approx(two.energy, abs=1e-9)


def test_range_of_the_sum_is_large_enough_for_force_constants(corrected, copper, monkeypatch):
    """A longer sum changes the forces of a displaced crystal by less than 1e-5 eV/Å."""
    shaken = copper.displaced(0.03 * np.random.default_rng(0).standard_normal((4, 3)))
    usual = corrected.dispersion(shaken)
    monkeypatch.setattr(dispersion_module, "PAIR_CUTOFF", 95.0)
    longer = corrected.dispersion(shaken)
    assert np.abs(usual.forces).max() > 5e-4
    assert np.abs(longer.forces - usual.forces).max() < 1e-5
    assert longer.energy == pytest.approx(usual.energy, rel=1e-2)


def test_card_names_the_correction(corrected):
    assert corrected.card.dispersion == "D3(BJ), PBE"
    assert {"grimme2010", "grimme2011"} <= set(corrected.card.references)
    with pytest.raises(ModelError, match="already carries"):
        DispersionCorrected(corrected)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("PBE(+U), MPtrj", "pbe"),
        ("PBE, MatPES", "pbe"),
        ("PBEsol, MAD", "pbesol"),
        ("r2SCAN, MatPES", "r2scan"),
        ("RPBE, OC20", "rpbe"),
    ],
)
def test_functional_follows_the_level_of_theory(level, expected):
    assert matching_functional(card(level), None) == expected
    assert matching_functional(card(level), expected.upper()) == expected


def test_functional_that_contradicts_the_model_is_refused():
    with pytest.raises(ModelError, match="do not fit 'toy'"):
        matching_functional(card("r2SCAN, MatPES"), "pbe")


@pytest.mark.parametrize("level", ["PBE-D3, ODAC23", "wB97M-V, OMol25"])
def test_dispersion_is_not_added_twice(level):
    with pytest.raises(ModelError, match="already contains"):
        matching_functional(card(level), None)


@pytest.mark.parametrize("functional", [None, "blob"])
def test_unknown_functional_is_refused(functional):
    with pytest.raises(ModelError, match="no D3"):
        matching_functional(card("not stated"), functional)
    assert matching_functional(card("not stated"), "PBE") == "pbe"


def test_loading_adds_it_and_close_reaches_the_potential(copper):
    settings = PotentialSettings(
        spec="ase.calculators.emt:EMT", dispersion="d3bj", functional="PBE"
    )
    potential = load_potential(settings)
    assert potential.card.dispersion
    assert potential.evaluate([copper])[0].energy < 0
    potential.close()
    with pytest.raises(ModelError, match="no D3"):
        load_potential(replace(settings, functional=None))
    with pytest.raises(ModelError, match="not known"):
        DispersionCorrected(AsePotential("ase.calculators.emt:EMT"), "pbe", "d4")

"""Relaxation keeps symmetry, setting and orientation, and reaches the minimum."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from scipy.spatial.transform import Rotation

from elphant.crystal import find_symmetry
from elphant.crystal.io import from_ase, read_crystal
from elphant.models.potentials.ase_calculator import AsePotential
from elphant.models.potentials.loading import PotentialSettings, load_potential
from elphant.models.relaxation import RelaxationSettings, relax
from elphant.units import GPA_PER_EV_A3

ROTATION = Rotation.from_euler("zyx", [31.0, -17.0, 62.0], degrees=True).as_matrix()


def emt():
    return AsePotential(EMT())


def tetragonal():
    """Ordered CuAu (L1_0), strained and far from its minimum."""
    return from_ase(
        Atoms(
            "CuAu",
            cell=[2.9, 2.9, 3.9],
            scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]],
            pbc=True,
        )
    )


def with_internal_coordinate():
    """Four layers Cu, Cu, Au, Cu along [001] of fcc: two of the layers may move along c."""
    return from_ase(
        Atoms(
            "Cu2AuCu",
            cell=[2.65, 2.65, 7.6],
            scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.26], [0, 0, 0.5], [0.5, 0.5, 0.74]],
            pbc=True,
        )
    )


@pytest.mark.parametrize("make", [tetragonal, with_internal_coordinate])
def test_reaches_the_minimum_within_the_space_group(make):
    crystal = make()
    result = relax(crystal, emt())
    assert result.converged
    final = emt().evaluate([result.crystal])[0]
    assert np.abs(final.forces).max() < 1e-4
    assert np.abs(final.stress).max() * GPA_PER_EV_A3 < 2e-3
    assert find_symmetry(result.crystal).number == find_symmetry(crystal).number
    assert result.space_group_before == result.space_group_after
    assert result.energy_per_atom == pytest.approx(final.energy / crystal.n_atoms, abs=1e-9)
    assert abs(result.volume_change_percent) > 0.5
    assert {flag.severity for flag in result.flags if "volume" not in flag.name} == {"info"}


def test_crystal_does_not_rotate():
    crystal = with_internal_coordinate()
    turned = crystal.replaced(lattice=crystal.lattice @ ROTATION.T)
    tight = RelaxationSettings(fmax=1e-6, max_stress=1e-5)
    plain, rotated = relax(crystal, emt(), tight), relax(turned, emt(), tight)
    np.testing.assert_allclose(
        rotated.crystal.lattice, plain.crystal.lattice @ ROTATION.T, atol=2e-5
    )
    np.testing.assert_allclose(rotated.crystal.fractional, plain.crystal.fractional, atol=1e-5)
    # The deformation is a pure strain: symmetric, without a rotational part.
    strain = np.linalg.inv(turned.lattice) @ rotated.crystal.lattice
    np.testing.assert_allclose(strain, strain.T, atol=1e-12)
    assert np.abs(strain - np.eye(3)).max() > 1e-3


def test_other_setting_and_atom_order_are_kept():
    crystal = tetragonal()
    order = [1, 2, 0]
    permuted = crystal.replaced(
        lattice=crystal.lattice[order], fractional=crystal.fractional[:, order]
    )
    a, b = relax(crystal, emt()), relax(permuted, emt())
    np.testing.assert_allclose(b.crystal.lengths, a.crystal.lengths[order], atol=1e-5)
    np.testing.assert_array_equal(b.crystal.numbers, crystal.numbers)
    np.testing.assert_allclose(
        b.crystal.lattice / np.linalg.norm(b.crystal.lattice, axis=1)[:, None],
        permuted.lattice / np.linalg.norm(permuted.lattice, axis=1)[:, None],
        atol=1e-12,
    )


def test_fixed_cell_moves_atoms_only():
    crystal = with_internal_coordinate()
    result = relax(crystal, emt(), RelaxationSettings(fix_cell=True))
    assert result.converged
    assert result.max_stress > 0.1
    np.testing.assert_allclose(result.crystal.lattice, crystal.lattice, atol=1e-12)
    assert np.abs(result.crystal.fractional - crystal.fractional).max() > 1e-3
    assert "relaxation_stress" not in {flag.name for flag in result.flags}


def test_running_out_of_steps_is_said():
    result = relax(tetragonal(), emt(), RelaxationSettings(max_steps=2))
    assert not result.converged
    flags = {flag.name: flag.severity for flag in result.flags}
    assert flags["relaxation_stress"] == "warning"
    assert "NOT converged" in result.summary()


def test_record_and_progress():
    steps = []
    result = relax(tetragonal(), emt(), progress=lambda *numbers: steps.append(numbers))
    record = result.to_dict()
    assert set(record) == {
        "space_group_before", "space_group_after", "max_force", "max_stress", "n_steps",
        "converged", "energy_per_atom", "lengths_before", "lengths_after", "angles_before",
        "angles_after", "change_percent", "volume_change_percent",
    }  # fmt: skip
    assert set(record["change_percent"]) == {"a", "b", "c"}
    for number, axis in enumerate("abc"):
        ratio = record["lengths_after"][number] / record["lengths_before"][number]
        assert record["change_percent"][axis] == pytest.approx(100 * (ratio - 1))
    assert [step for step, _, _ in steps] == list(range(len(steps)))
    assert steps[-1][1] == pytest.approx(result.max_force)
    assert result.n_steps == len(steps) - 1
    assert result.n_evaluations <= len(steps) + 1


def test_relaxed_crystal_stays():
    once = relax(tetragonal(), emt())
    twice = relax(once.crystal, emt())
    assert twice.n_steps == 0
    np.testing.assert_allclose(twice.crystal.lattice, once.crystal.lattice, atol=1e-9)


def test_noise_of_the_input_is_removed_or_reported():
    crystal = with_internal_coordinate()
    noise = np.random.default_rng(0).standard_normal((4, 3))
    slightly = relax(crystal.displaced(1e-5 * noise), emt())
    assert slightly.space_group_before == find_symmetry(crystal).setting
    assert find_symmetry(slightly.crystal, 1e-8).number == find_symmetry(crystal).number
    clearly = relax(crystal.displaced(1e-3 * noise), emt())
    assert clearly.space_group_before == "P1"
    hidden = [flag for flag in clearly.flags if flag.name == "hidden_symmetry"]
    assert len(hidden) == 1
    assert "--symprec" in hidden[0].message


def test_masses_and_name_survive():
    atoms = bulk("Cu", cubic=True)
    atoms.set_masses([60.0, 61.0, 62.0, 63.0])
    crystal = from_ase(atoms, name="enriched copper")
    result = relax(crystal, emt())
    np.testing.assert_array_equal(result.crystal.masses, crystal.masses)
    assert result.crystal.name == "enriched copper"


@pytest.mark.sevennet
@pytest.mark.shared
@pytest.mark.slow
def test_antimony_selenide_with_dispersion(shared_data):
    """20 atoms, Pnma, SevenNet-l3i5 + D3(BJ): within 2 % of experiment, a handful of steps."""
    pytest.importorskip("sevenn")
    pytest.importorskip("dftd3")
    crystal = read_crystal(shared_data / "structures" / "Sb2Se3_explat_Pnma.cif")
    potential = load_potential(PotentialSettings(device="cpu", dispersion="d3bj"))
    result = relax(crystal, potential)
    potential.close()
    assert result.converged
    assert result.n_evaluations <= 30
    assert result.space_group_after == "Pnma"
    np.testing.assert_allclose(result.lengths_after, [11.70, 3.985, 11.33], atol=0.02)
    np.testing.assert_allclose(result.lengths_after, [11.79, 3.98, 11.65], rtol=0.03)
    # The network itself is not invariant under inversion; the relaxation must say so.
    flags = {flag.name: flag for flag in result.flags}
    assert flags["forces_against_symmetry"].severity == "warning"

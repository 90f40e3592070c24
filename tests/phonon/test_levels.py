"""Conductivity of whole levels: invariance, limits, errors, memory."""

from __future__ import annotations

import numpy as np
import pytest
from toy_crystal import CSCL, toy_crystal

from elphant.errors import ConfigurationError, PhysicsError
from elphant.phonon.imaginary import ImaginaryModePolicy
from elphant.phonon.levels import (
    LevelScattering,
    LevelSettings,
    draws_of_round,
    solve_level,
)
from elphant.phonon.scattering.broadening import Broadening

ORTHORHOMBIC = np.diag([3.0, 3.4, 3.9])
WIDE = Broadening(scale=1.0)


def settings(mesh=(3, 3, 3), **options) -> LevelSettings:
    defaults = {"collision": True, "broadening": WIDE, "broadening_fourth": WIDE, "isotope": False,
                "single_precision": False}  # fmt: skip
    return LevelSettings(mesh=mesh, **{**defaults, **options})


def exact(force_constants, chosen: LevelSettings, solver: str = "bte", fourth: bool = True):
    """Return the conductivity from the sum over all pairs."""
    scattering = LevelScattering(force_constants, chosen)
    positions = range(scattering.modes.mesh.n_irreducible)
    three = scattering.three_phonon(positions)
    rounds = [scattering.four_phonon(positions, None)] if fourth else None
    return solve_level(scattering, three, rounds, solver=solver)


@pytest.fixture(scope="module")
def reference_result():
    return exact(toy_crystal(ORTHORHOMBIC), settings())


def test_four_phonon_scattering_lowers_the_conductivity(reference_result) -> None:
    three_only = exact(toy_crystal(ORTHORHOMBIC), settings(), fourth=False)
    diagonal = np.arange(3)
    with_four = reference_result.conductivity[0, diagonal, diagonal]
    assert (with_four < three_only.conductivity[0, diagonal, diagonal]).all()
    assert (with_four > 0.0).all()


@pytest.mark.parametrize("solver", ["rta", "bte"])
def test_conductivity_rotates_with_the_crystal(solver: str) -> None:
    rotation = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    plain = exact(toy_crystal(ORTHORHOMBIC), settings(), solver)
    turned = exact(toy_crystal(ORTHORHOMBIC @ rotation.T), settings(), solver)
    expected = rotation @ plain.conductivity[0] @ rotation.T
    assert np.abs(turned.conductivity[0] - expected).max() < 1e-8 * np.abs(expected).max()
    wave = rotation @ plain.coherence[0] @ rotation.T
    assert np.abs(turned.coherence[0] - wave).max() < 1e-7 * np.abs(wave).max()


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_conductivity_follows_the_cell_setting(order, reference_result) -> None:
    """Axes exchanged: the same tensor with its components exchanged."""
    axes = list(order)
    lattice = np.diag(np.diag(ORTHORHOMBIC)[axes])
    other = exact(toy_crystal(lattice, CSCL[:, axes]), settings())
    expected = reference_result.conductivity[0][np.ix_(axes, axes)]
    assert np.abs(other.conductivity[0] - expected).max() < 1e-8 * np.abs(expected).max()


def test_conductivity_does_not_depend_on_the_supercell(reference_result) -> None:
    """Second order stored in a larger supercell; the springs end well inside both."""
    larger = exact(toy_crystal(ORTHORHOMBIC, supercell=4), settings())
    expected = reference_result.conductivity
    assert np.abs(larger.conductivity - expected).max() < 1e-8 * expected.max()


@pytest.mark.parametrize("lattice", [ORTHORHOMBIC, 3.2 * np.eye(3), np.diag([3.1, 3.1, 3.8])])
def test_mesh_symmetry_changes_nothing(lattice) -> None:
    force_constants = toy_crystal(lattice, cutoff=4.0)
    # Small whole meshes: without symmetry every point has its own row.
    mesh = (3, 3, 3) if np.ptp(np.diag(lattice)) == 0.0 else (2, 2, 3)
    with_symmetry = exact(force_constants, settings(mesh))
    without = exact(force_constants, settings(mesh, mesh_symmetry=False))
    expected = with_symmetry.conductivity
    assert np.abs(without.conductivity - expected).max() < 1e-8 * expected.max()


def test_error_along_the_axes_covers_the_exact_sum(reference_result) -> None:
    scattering = LevelScattering(toy_crystal(ORTHORHOMBIC), settings(seed=5))
    positions = range(scattering.modes.mesh.n_irreducible)
    three = scattering.three_phonon(positions)
    rounds = [scattering.four_phonon(positions, k) for k in range(5)]
    result = solve_level(scattering, three, rounds, solver="bte")
    difference = result.axes_conductivity() - reference_result.axes_conductivity()
    assert (np.abs(difference) < 3.0 * result.standard_error_axes).all()
    relative = result.standard_error_axes / result.axes_conductivity()
    assert (relative > 0.0).all()
    assert (relative < 0.1).all()


def test_each_round_doubles_the_sample() -> None:
    drawn = [draws_of_round(k) for k in range(6)]
    assert sum(count for _, count in drawn) == 32
    assert [first for first, _ in drawn] == [0, 1, 2, 4, 8, 16]


def test_several_temperatures_in_one_pass_equal_one_by_one() -> None:
    force_constants = toy_crystal(ORTHORHOMBIC)
    together = exact(force_constants, settings(temperatures=(150.0, 400.0)))
    for i, temperature in enumerate((150.0, 400.0)):
        alone = exact(force_constants, settings(temperatures=(temperature,)))
        assert together.conductivity[i] == pytest.approx(alone.conductivity[0], rel=1e-9, abs=1e-12)


def test_isotopes_and_boundaries_scatter_more(reference_result) -> None:
    chosen = settings(isotope=True, boundary_mfp_um=0.01)
    dirty = exact(toy_crystal(ORTHORHOMBIC), chosen)
    diagonal = np.arange(3)
    clean = reference_result.conductivity[0, diagonal, diagonal]
    assert (dirty.conductivity[0, diagonal, diagonal] < clean).all()


def test_missing_fourth_order_is_named() -> None:
    from dataclasses import replace

    scattering = LevelScattering(replace(toy_crystal(ORTHORHOMBIC), fourth=None), settings())
    with pytest.raises(ConfigurationError, match="fourth-order"):
        scattering.four_phonon([0], 0)


def test_imaginary_modes_follow_the_policy() -> None:
    from spring_crystal import spring_crystal

    unstable = spring_crystal(ORTHORHOMBIC, softening=1.3)
    refuse = ImaginaryModePolicy(action="error")
    with pytest.raises(PhysicsError, match="imaginary"):
        LevelScattering(unstable, settings(imaginary=refuse)).check_modes()
    flags, n_masked = LevelScattering(unstable, settings()).check_modes()
    assert n_masked > 3
    assert any(flag.severity != "info" for flag in flags)


def test_fourphonons_window_lowers_the_rates() -> None:
    """Its Gaussians end at s of exp(-x²/s²) and are not normalised: 0.843 of the weight.

    On so coarse a mesh the energies are not evenly spread, hence the tolerance.
    """
    force_constants = toy_crystal(ORTHORHOMBIC)
    window = Broadening.fourphonon()
    narrow = exact(force_constants, settings(broadening_fourth=window), "rta")
    wide = exact(force_constants, settings(), "rta")
    ratio = narrow.rates_four_phonon.sum() / wide.rates_four_phonon.sum()
    assert ratio == pytest.approx(0.843, abs=0.06)


def test_sampling_refuses_gaussians_that_are_not_normalised() -> None:
    chosen = settings(broadening_fourth=Broadening.fourphonon())
    scattering = LevelScattering(toy_crystal(ORTHORHOMBIC), chosen)
    positions = range(scattering.modes.mesh.n_irreducible)
    three = scattering.three_phonon(positions)
    rounds = [scattering.four_phonon(positions, k) for k in range(2)]
    with pytest.raises(ConfigurationError, match="normalised"):
        solve_level(scattering, three, rounds, solver="rta")

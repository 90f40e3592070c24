"""The bubble: cubic oscillators with known shifts, second derivatives of the free energy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from quartic_crystal import Bond, QuarticCrystal, caesium_chloride, lattice_and_matrices, lattice_of

from elphant.crystal import Crystal
from elphant.errors import ConfigurationError
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.renormalization import bubble_shifts, solve_loop, static_bubble, with_bubble
from elphant.phonon.renormalization.covariance import (
    EV_PER_AMU_A2_THZ2,
    harmonic_free_energy,
    solve_points,
)
from elphant.phonon.renormalization.second_order import mesh_points
from elphant.units import BOLTZMANN_EV, PLANCK_EV_PS

NU = 10.0
ENERGY = PLANCK_EV_PS * NU


def cubic_oscillator(cubic: float) -> ForceConstants:
    """Return one light atom bound to an immovable one along x with Φ3, ħ = m = ω = 1."""
    k = EV_PER_AMU_A2_THZ2 * NU**2
    length = np.sqrt(ENERGY / k)
    crystal = Crystal(
        lattice=4.0 * np.eye(3), fractional=[[0, 0, 0], [0.3, 0, 0]],
        numbers=[1, 2], masses=[1e13, 1.0],
    )  # fmt: skip
    x = np.array([1.0, 0, 0])
    bond = Bond(0, 1, (0, 0, 0), x, 0.3 * k, 0.7 * k, cubic * ENERGY / length**3, 0.0)
    return QuarticCrystal(crystal, (bond,), (1, 1, 1)).force_constants(third=True)


def occupation(thermal: float) -> float:
    return 0.0 if thermal == 0 else 1.0 / np.expm1(1.0 / thermal)


@pytest.mark.parametrize("thermal", [0.0, 1.0, 3.0])
def test_cubic_oscillator_on_the_shell(thermal) -> None:
    # Δ(ω) = -ħΦ3²/(12 m³ω⁴) (1 + 2n).
    cubic = 0.1
    fc = cubic_oscillator(cubic)
    frequencies, shifts = bubble_shifts(
        fc, fc.third_clusters, thermal * ENERGY / BOLTZMANN_EV, [[0, 0, 0]],
        broadening=1e-4, floor=1e-3,
    )  # fmt: skip
    mode = int(np.argmax(frequencies[0]))
    assert frequencies[0, mode] == pytest.approx(NU, rel=1e-9)
    expected = -(cubic**2) / 12 * (1 + 2 * occupation(thermal))
    assert shifts[0, mode] / NU == pytest.approx(expected, rel=1e-6)
    # The transverse modes have no cubic term.
    assert np.abs(np.delete(shifts[0], mode)).max() < 1e-12


@pytest.mark.parametrize("thermal", [0.0, 1.0, 50.0])
def test_static_cubic_oscillator(thermal) -> None:
    cubic = 0.1
    fc = cubic_oscillator(cubic)
    n = occupation(thermal)
    slope = 0.0 if thermal == 0 else -n * (n + 1) / thermal
    expected = cubic**2 / 8 * (-(1 + 2 * n) + 2 * slope)
    correction = static_bubble(
        fc, fc.third_clusters, thermal * ENERGY / BOLTZMANN_EV, floor=1e-3
    ).correction
    k = EV_PER_AMU_A2_THZ2 * NU**2
    assert correction[1, 1, 0, 0] / k == pytest.approx(expected, rel=1e-6)
    if thermal > 10:  # classical limit: -Φ3² kT / 2
        assert expected == pytest.approx(-(cubic**2) * thermal / 2, rel=1e-3)


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_static_bubble_is_the_curvature_of_the_free_energy(temperature) -> None:
    """d²F_harm[Φ2 + Φ3 X]/dX² for a rigid shift X of one sublattice."""
    model = caesium_chloride(lattice=np.diag([3.2, 3.3, 3.5]))
    fc = model.force_constants(third=True)
    third = fc.third_clusters
    divisions = (3, 3, 2)
    bubble = static_bubble(fc, third, temperature, divisions, floor=1e-3)
    assert bubble.n_excluded == 0
    q = mesh_points(divisions)
    lattice, bare = lattice_and_matrices(fc, q)
    step = 2e-3

    def free_energy(x: np.ndarray) -> float:
        change = np.zeros_like(fc.second)
        # The third leg of each cluster is on the moved sublattice or not.
        blocks = np.einsum("nabc,c->nab", third.blocks, x) * (third.atoms[:, 2] == 1)[:, None, None]
        columns = lattice.columns(third.atoms[:, 0], third.atoms[:, 1], third.cells[:, 0])
        np.add.at(change, (third.atoms[:, 0], columns), blocks)
        matrices = bare + lattice.correction_matrices(change, q)
        modes = solve_points(matrices, q, np.ones(len(q)), lattice.masses)
        return harmonic_free_energy(modes, temperature, floor=1e-3)

    expected = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            u, v = step * np.eye(3)[a], step * np.eye(3)[b]
            expected[a, b] = (
                free_energy(u + v) - free_energy(u - v) - free_energy(v - u) + free_energy(-u - v)
            ) / (4 * step**2)
    at_gamma = bubble.correction[1][lattice.atoms == 1].sum(axis=0)
    np.testing.assert_allclose(at_gamma, expected, rtol=2e-4, atol=1e-6)
    assert np.linalg.eigvalsh(at_gamma).max() < -1e-3


def test_static_bubble_keeps_the_sum_rules_and_softens() -> None:
    fc = caesium_chloride(near=(3.0, -20.0, 60.0)).force_constants(third=True)
    (loop,) = solve_loop(fc, [300.0])
    r = with_bubble(loop, fc.third_clusters, (3, 3, 3))
    assert r.variant == "loop+bubble"
    assert not [f for f in r.flags if f.severity != "info"]
    second = r.force_constants.second
    assert np.abs(second.sum(axis=1)).max() < 1e-10
    lattice = lattice_of(fc)
    np.testing.assert_allclose(lattice.transposed(second), second, atol=1e-10)
    assert (r.frequencies_after - loop.frequencies_after).max() < 1e-6
    assert r.frequencies_after[0, -1] < loop.frequencies_after[0, -1] - 0.05
    assert np.ptp(r.frequencies_after[0, 3:]) < 1e-7  # cubic: one triplet
    with pytest.raises(ConfigurationError, match="already"):
        with_bubble(r, fc.third_clusters)
    with pytest.raises(ConfigurationError, match="third-order"):
        static_bubble(fc, fc.fourth, 300.0)


def doubled(model: QuarticCrystal) -> QuarticCrystal:
    """Return the same crystal with twice the cell along a."""
    crystal = model.crystal
    n = crystal.n_atoms
    fractional = np.concatenate([crystal.fractional, crystal.fractional + np.eye(3)[0]])
    larger = Crystal(
        lattice=crystal.lattice * np.array([[2.0], [1.0], [1.0]]),
        fractional=fractional * [0.5, 1, 1], numbers=np.tile(crystal.numbers, 2),
    )  # fmt: skip
    bonds = []
    for half in (0, 1):
        for b in model.bonds:
            along, odd = divmod(half + b.cell[0], 2)
            bonds.append(
                replace(b, i=b.i + n * half, j=b.j + n * odd, cell=(along, *b.cell[1:]))
            )  # fmt: skip
    a, b, c = model.repeat
    return QuarticCrystal(larger, tuple(bonds), (a // 2, b, c))


def test_cell_choice_does_not_matter() -> None:
    model = caesium_chloride(repeat=(4, 2, 2))
    results = []
    for m, divisions in ((model, (4, 2, 2)), (doubled(model), (2, 2, 2))):
        fc = m.force_constants(third=True)
        (loop,) = solve_loop(fc, [400.0])
        results.append((loop, with_bubble(loop, fc.third_clusters, divisions)))
    (loop, bubble), (loop2, bubble2) = results
    assert 2 * loop.free_energy.total == pytest.approx(loop2.free_energy.total, rel=1e-6)
    for one, two in ((loop, loop2), (bubble, bubble2)):
        np.testing.assert_allclose(
            np.sort(one.frequencies_after.ravel()), np.sort(two.frequencies_after.ravel()),
            atol=1e-5,
        )  # fmt: skip

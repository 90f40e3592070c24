"""Coherence conductivity: limits, identities and invariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from toy_crystal import toy_crystal

from elphant.phonon.adapters.modes_adapter import solve_modes
from elphant.phonon.transport.coherence import (
    coherence_conductivity,
    coherence_weights,
    wigner_lifetime,
)
from elphant.phonon.transport.relaxation_time import (
    heat_capacities,
    relaxation_time_conductivity,
)

ORTHORHOMBIC = np.diag([3.0, 3.4, 3.9])
CUBIC = 3.2 * np.eye(3)


def rates_of(modes):
    """Return smooth made-up rates that respect symmetry, (1, n_irreducible, n_modes)."""
    return 0.5 + 0.2 * modes.irreducible_frequencies[None] ** 2


def total(modes, mode_conductivity):
    return mode_conductivity.sum(axis=(1, 2))[0] / modes.mesh.n_points


@pytest.fixture(scope="module")
def modes():
    return solve_modes(toy_crystal(ORTHORHOMBIC), (3, 4, 2))


def test_equal_modes_give_the_relaxation_time_formula():
    random = np.random.default_rng(0)
    f, c, rate = random.uniform(0.5, 5.0, (3, 40))
    weights = coherence_weights(f, c, rate)
    np.testing.assert_allclose(np.diag(weights), c / rate, rtol=1e-14)
    # Two different modes with the same frequency, heat capacity and rate as well.
    twice = coherence_weights(np.full(2, 3.0), np.full(2, 0.7), np.full(2, 0.2))
    np.testing.assert_allclose(twice, 0.7 / 0.2, rtol=1e-14)


def test_wigner_equals_green_kubo():
    """(c w' + c' w)/(w + w') with velocities over 2 sqrt(w w') is the same product."""
    random = np.random.default_rng(1)
    f, c, rate = random.uniform(0.5, 5.0, (3, 30))
    w = 2.0 * np.pi * f
    first, second = w[:, None], w[None, :]
    wigner = coherence_weights(f, c, rate) / (first + second) ** 2
    factor = (c[:, None] * second + c[None, :] * first) / (first + second)
    width = 0.5 * (rate[:, None] + rate[None, :])
    green_kubo = factor / (4.0 * first * second) * width / ((first - second) ** 2 + width**2)
    np.testing.assert_allclose(wigner, green_kubo, rtol=1e-14)


def test_equals_the_double_sum(modes):
    rates, temperature = rates_of(modes), 300.0
    c = heat_capacities(modes, [temperature])[0]
    expected = np.zeros((3, 3))
    for i in range(modes.mesh.n_irreducible):
        w = 2.0 * np.pi * modes.irreducible_frequencies[i]
        v, part = modes.velocity_matrices[i], np.zeros((3, 3))
        for s, t in np.ndindex(modes.n_modes, modes.n_modes):
            if modes.degenerate_ids[i, s] == modes.degenerate_ids[i, t] or w[s] * w[t] == 0.0:
                continue
            gamma = 0.5 * (rates[0, i, s] + rates[0, i, t])
            factor = (w[s] + w[t]) / 4 * (c[i, s] / w[s] + c[i, t] / w[t])
            product = np.outer(v[:, s, t], v[:, t, s])
            part += (factor * product).real * gamma / ((w[s] - w[t]) ** 2 + gamma**2)
        operations = modes.mesh.rotations_cartesian
        part = np.einsum("gac,cd,gbd->ab", operations, part, operations) / len(operations)
        expected += modes.mesh.weights[i] * part
    expected *= 1602.176634 / (modes.mesh.n_points * modes.volume)
    kappa = total(modes, coherence_conductivity(modes, [temperature], rates))
    np.testing.assert_allclose(kappa, expected, rtol=1e-12, atol=1e-12)


def test_symmetric_and_positive(modes):
    by_mode = coherence_conductivity(modes, [100.0, 300.0], np.repeat(rates_of(modes), 2, axis=0))
    np.testing.assert_allclose(by_mode, by_mode.swapaxes(-1, -2), atol=1e-13)
    diagonal = np.einsum("tqsaa->tqsa", by_mode)
    assert (diagonal >= 0.0).all()
    assert (diagonal.sum(axis=(1, 2)) > 0.0).all()


def test_pairs_are_shared_by_heat_capacity():
    """At high temperature all heat capacities are equal: half of each pair to either mode."""
    modes = solve_modes(toy_crystal(ORTHORHOMBIC), (1, 1, 2))
    rates = rates_of(modes)
    hot = coherence_conductivity(modes, [1e4], rates)
    reverse = replace(modes, velocity_matrices=modes.velocity_matrices.transpose(0, 1, 3, 2))
    np.testing.assert_allclose(coherence_conductivity(reverse, [1e4], rates), hot, rtol=1e-10)
    cold = coherence_conductivity(modes, [20.0], rates)[0].trace(axis1=-2, axis2=-1)
    # At low temperature the lower mode of a pair takes nearly all.
    assert cold[1, -1] < 1e-3 * cold[1].sum()


def test_the_split_does_not_depend_on_the_basis_of_degenerate_sets():
    modes = solve_modes(toy_crystal(CUBIC), (4, 4, 4))
    random = np.random.default_rng(2)
    matrices = np.array(modes.velocity_matrices)
    for q, row in enumerate(modes.degenerate_ids):
        u = np.eye(modes.n_modes, dtype=complex)
        for first in np.unique(row):
            m = np.flatnonzero(row == first)
            z = random.normal(size=(len(m),) * 2) + 1j * random.normal(size=(len(m),) * 2)
            u[np.ix_(m, m)] = np.linalg.qr(z)[0]
        matrices[q] = u.conj().T @ matrices[q] @ u
    turned = replace(modes, velocity_matrices=matrices)
    rates = rates_of(modes)
    for compute in (coherence_conductivity, relaxation_time_conductivity):
        kappa, other = (compute(m, [300.0], rates).sum(axis=2) for m in (modes, turned))
        assert np.abs(kappa).max() > 1e-3
        np.testing.assert_allclose(other, kappa, rtol=1e-9, atol=1e-12)


def test_symmetry_and_frame_do_not_matter():
    rotation = Rotation.from_rotvec([0.4, -0.9, 0.3]).as_matrix()
    plain = solve_modes(toy_crystal(ORTHORHOMBIC), (3, 4, 2))
    unreduced = solve_modes(toy_crystal(ORTHORHOMBIC), (3, 4, 2), mesh_symmetry=False)
    turned = solve_modes(toy_crystal(ORTHORHOMBIC @ rotation.T), (3, 4, 2))
    for compute in (coherence_conductivity, relaxation_time_conductivity):
        kappa = total(plain, compute(plain, [300.0], rates_of(plain)))
        other = total(unreduced, compute(unreduced, [300.0], rates_of(unreduced)))
        rotated = total(turned, compute(turned, [300.0], rates_of(turned)))
        np.testing.assert_allclose(other, kappa, atol=1e-9 * kappa.max())
        np.testing.assert_allclose(rotated, rotation @ kappa @ rotation.T, atol=1e-8 * kappa.max())


def test_supercell_gives_the_same_sum():
    """A doubled cell folds the bands; populations and coherences together stay what they are.

    Degenerate pairs made by the folding have no velocity between them.
    """
    small = toy_crystal(ORTHORHOMBIC, supercell=4)
    doubled = toy_crystal(
        ORTHORHOMBIC * [[1], [1], [2]],
        [[0, 0, 0], [0.5, 0.5, 0.25], [0, 0, 0.5], [0.5, 0.5, 0.75]],
        (11, 17, 11, 17),
        supercell=3,
    )
    one = solve_modes(small, (3, 3, 4))
    two = solve_modes(doubled, (3, 3, 2), mesh_symmetry=False)
    for compute in (coherence_conductivity, relaxation_time_conductivity):
        kappa, folded = (total(m, compute(m, [300.0], rates_of(m))) for m in (one, two))
        np.testing.assert_allclose(folded, kappa, rtol=1e-4, atol=1e-4 * kappa.max())


def test_without_rates_there_is_no_coherence(modes):
    rates = np.zeros_like(rates_of(modes))
    assert (coherence_conductivity(modes, [300.0], rates) == 0.0).all()
    assert wigner_lifetime(modes) == pytest.approx(6.0 / (2 * np.pi * modes.frequencies.max()))

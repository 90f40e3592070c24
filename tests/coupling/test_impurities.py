"""Ionised impurities on a mesh: elastic, symmetric, fewer for longer screening."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from silicon_model import DENSITY, TEMPERATURE, Model, silicon, springs

from elphant.coupling.impurities import ImpurityScattering
from elphant.electron.transport.collision import CollisionOperator, ReducedKernel
from elphant.electron.transport.solution import solve_bte, solve_mrta, solve_serta

EPSILON = 11.7 * np.eye(3)


@pytest.fixture(scope="module")
def electrons() -> Model:
    crystal = silicon()
    return Model.of(crystal, springs(crystal), (24, 24, 24), width=0.2)


def scattering(
    model: Model, concentration: float, charge: float = 1.0
) -> Callable[[float, float], ReducedKernel]:
    impurities = ImpurityScattering(model.sums, concentration, charge, EPSILON)
    return lambda *state: ReducedKernel.fold(model.space, impurities(*state))


def test_the_kernel_is_symmetric_and_keeps_the_carriers(electrons):
    kernel = scattering(electrons, 1e17)(electrons.level, TEMPERATURE)
    # Wave vectors on the border of the zone have several shortest images, of which one is taken.
    assert kernel.asymmetry < 1e-6
    operator = CollisionOperator(electrons.space, kernel, electrons.level, TEMPERATURE)
    assert operator.active.all()
    assert (operator.rates > 0.0).all()
    assert operator.row_sum_error < 1e-12
    for solver in (solve_serta, solve_mrta, solve_bte):
        mobility = solver(operator).mobility
        np.testing.assert_allclose(mobility, mobility[0, 0] * np.eye(3), rtol=1e-8, atol=1e-6)


def test_small_angles_hardly_matter_for_the_current(electrons):
    kernel = scattering(electrons, 1e17)(electrons.level, TEMPERATURE)
    operator = CollisionOperator(electrons.space, kernel, electrons.level, TEMPERATURE)
    serta, mrta, bte = (f(operator).mobility[0, 0] for f in (solve_serta, solve_mrta, solve_bte))
    assert mrta > 1.05 * serta
    assert bte > 1.05 * serta


def test_the_rate_goes_with_concentration_and_charge(electrons):
    one = scattering(electrons, 1e17)(electrons.level, TEMPERATURE).scalar
    for other in (scattering(electrons, 4e17), scattering(electrons, 1e17, charge=-2.0)):
        ratio = other(electrons.level, TEMPERATURE).scalar
        assert abs(ratio - 4.0 * one).max() < 1e-12 * abs(one).max()


def test_the_mobility_falls_with_the_concentration(electrons):
    phonons = electrons.operator().kernel
    found = []
    for concentration in (0.0, 1e16, 1e17, 1e18):
        kernel = phonons + scattering(electrons, concentration)(electrons.level, TEMPERATURE)
        found.append(solve_bte(electrons.operator(kernel)).mobility[0, 0])
    assert found[0] == pytest.approx(solve_bte(electrons.operator()).mobility[0, 0], rel=1e-12)
    assert (np.diff(found) < 0.0).all()
    assert found[-1] < 0.8 * found[0]


def test_more_carriers_screen_more(electrons):
    impurities = scattering(electrons, 1e17)
    rates = []
    for density in (DENSITY, 1e18):
        level = electrons.space.chemical_potential(density, TEMPERATURE)
        kernel = impurities(level, TEMPERATURE)
        rates.append(CollisionOperator(electrons.space, kernel, electrons.level, TEMPERATURE).rates)
    assert (rates[1] < rates[0]).all()


def test_pairs_are_elastic_and_leave_out_a_state_with_itself(electrons):
    w, sums = electrons.window, electrons.sums
    parts = list(sums.elastic_blocks())
    rows, columns, q, overlap, delta = (np.concatenate(x) for x in zip(*parts, strict=True))
    difference = sums.energies[columns] - sums.row_energies[rows]
    assert np.abs(difference).max() < 4.0 * sums.widths.max()
    assert (delta > 0.0).all()
    assert (overlap > -1e-12).all()
    assert (overlap < 1.0 + 1e-2).all()
    own = w.irreducible_states[rows]
    full = w.full_states[columns]
    assert not ((w.irreducible[own[:, 0]] == full[:, 0]) & (own[:, 1] == full[:, 1])).any()
    # The wave vector leads from one state to the other, up to a reciprocal lattice vector.
    step = w.addresses[full[:, 0]] - w.addresses[w.irreducible[own[:, 0]]]
    turns = q @ w.lattice.T / (2 * np.pi) - step / w.divisions
    np.testing.assert_allclose(turns, np.rint(turns), atol=1e-9)
    # Near each other the periodic parts hardly differ.
    near = np.linalg.norm(q, axis=1) < 1.1 * np.linalg.norm(q, axis=1)[q.any(axis=1)].min()
    assert overlap[near].min() > 0.9

"""Shares of the resistance: sums, derivatives of the conductivity, two independent codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from silicon_model import TEMPERATURE, Model, charges, silicon, springs, strained

from elphant.coupling.attribution import Response, attribute, impurity_dissipation
from elphant.coupling.impurities import ImpurityScattering
from elphant.electron.transport import attribution as from_kernels
from elphant.electron.transport.collision import ReducedKernel
from elphant.electron.transport.solution import TransportSolution, solve_bte, solve_serta
from elphant.electron.transport.valleys import find_valleys
from elphant.units import PLANCK_EV_PS

AXES = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.0, 0.8]])
SOLVERS = {"serta": solve_serta, "bte": solve_bte}


@pytest.fixture(scope="module")
def holes() -> Model:
    """A crystal of low symmetry: axes differ and mix."""
    crystal = strained(
        silicon(masses=(28.0, 51.0)), [[0.01, 0.006, 0], [0.006, -0.007, 0.004], [0, 0.004, 0.004]]
    )
    return Model.of(crystal, springs(crystal), (6, 6, 6), "hole", 0.7, long_range=charges(crystal))


@pytest.fixture(scope="module")
def electrons() -> Model:
    """Six valleys, and a group of 48 operations."""
    crystal = silicon()
    # So narrow that no state lies on the border of two valleys, whose label would be arbitrary.
    return Model.of(crystal, springs(crystal), (24, 24, 24), width=0.1)


def response(solution: TransportSolution) -> Response:
    return Response(
        temperature=TEMPERATURE,
        amplitudes=solution.operator.amplitudes,
        response=solution.response,
        full=solution.level == "bte",
    )


@pytest.fixture(scope="module")
def solutions(holes) -> dict[str, TransportSolution]:
    return {name: solver(holes.operator()) for name, solver in SOLVERS.items()}


@pytest.fixture(scope="module")
def found(holes, solutions):
    return dict(zip(SOLVERS, attribute(holes.sums, [response(s) for s in solutions.values()]),
                    strict=True))  # fmt: skip


@pytest.mark.parametrize("level", SOLVERS)
def test_shares_add_up_to_one(found, level):
    for direction in AXES:
        shares = found[level].along(direction)
        assert sum(shares.parts.values()) == pytest.approx(1.0, abs=1e-12)
        assert sum(s.sum() for s in shares.spectrum.values()) == pytest.approx(1.0, abs=1e-12)
        assert shares.intra == pytest.approx(1.0, abs=1e-12)
        assert shares.inter == 0.0
        for name, spectrum in shares.spectrum.items():
            assert spectrum.sum() == pytest.approx(shares.parts[name], abs=1e-12)
        assert shares.parts["polar"] > 0.0
        assert shares.parts["short"] > 0.0
        assert shares.edges[0] < shares.mean_frequency < shares.edges[-1]


@pytest.mark.parametrize("level", SOLVERS)
def test_shares_by_part_are_those_of_the_kernels(holes, solutions, found, level):
    # Another code, from kernels that are already summed over modes.
    expected = from_kernels.attribute(solutions[level], holes.folded, AXES)
    for i, direction in enumerate(AXES):
        shares = found[level].along(direction).parts
        for name, share in shares.items():
            assert share == pytest.approx(expected.shares[name][i], abs=1e-8)
    np.testing.assert_allclose(expected.total, 1.0, atol=1e-10)


@pytest.mark.parametrize("level", SOLVERS)
@pytest.mark.parametrize("name", ["polar", "short", "interference"])
def test_shares_are_logarithmic_derivatives_of_the_conductivity(holes, found, level, name):
    step = 1e-4
    sides = []
    for factor in (1.0 + step, 1.0 - step):
        kernel = None
        for other, part in holes.folded.items():
            part = part * factor if other == name else part
            kernel = part if kernel is None else kernel + part
        sides.append(SOLVERS[level](holes.operator(kernel)).mobility)
    for direction in AXES:
        up, down = (np.log(direction @ mobility @ direction) for mobility in sides)
        share = found[level].along(direction).parts[name]
        assert share == pytest.approx(-(up - down) / (2 * step), abs=1e-6)


def test_valleys_and_stars(electrons):
    w = electrons.window
    labels = find_valleys(w, electrons.edges).labels
    assert len(np.unique(labels)) == 6
    solution = solve_bte(electrons.operator())
    seen: list[tuple[int, int]] = []
    attribution = attribute(
        electrons.sums, [response(solution)], labels, lambda *done: seen.append(done)
    )[0]
    assert seen[-1] == (electrons.space.n_states,) * 2
    shares = [attribution.along(direction) for direction in AXES]
    for each in shares:
        # Cubic: all directions alike.
        assert each.intra == pytest.approx(shares[0].intra, abs=1e-12)
        assert each.intra + each.inter == pytest.approx(1.0, abs=1e-12)
        assert 0.0 < each.intra < 1.0
        assert each.parts["short"] == pytest.approx(1.0, abs=1e-12)
        assert each.parts["polar"] == each.parts["interference"] == 0.0
    # Division of the kernel by hand.
    kernel = electrons.kernels.total(0).tocoo()
    rows = labels[w.irreducible[w.irreducible_states[kernel.coords[0], 0]]]
    columns = labels[w.full_states[kernel.coords[1], 0]]
    weights = from_kernels.PairWeights(solution, AXES[0]).of(*kernel.coords)
    by_hand = float((weights * kernel.data)[rows != columns].sum())
    assert shares[0].inter == pytest.approx(by_hand, abs=1e-9)


def test_the_spectrum_follows_the_frequencies(electrons):
    solution = solve_serta(electrons.operator())
    shares = attribute(electrons.sums, [response(solution)])[0].along(AXES[0])
    top = electrons.sums.modes.largest_energy / PLANCK_EV_PS
    assert top < shares.edges[-1] < 1.01 * top
    # One mode at a time: only blocks of pairs with the others taken out.
    assert (shares.spectrum["short"] >= 0.0).all()
    assert (shares.spectrum["short"] > 0.0).sum() > 5


def test_nothing_at_all_has_no_shares(electrons):
    n = electrons.space.n_states
    still = Response(
        temperature=TEMPERATURE, amplitudes=np.ones(n), response=np.zeros((n, 3)), full=False
    )
    shares = attribute(electrons.sums, [still])[0].along(AXES[0])
    assert sum(shares.parts.values()) == 0.0
    assert shares.mean_frequency == 0.0


@pytest.fixture(scope="module")
def impurities(holes):
    """A kernel of impurities that makes about half of the resistance."""
    scattering = ImpurityScattering(holes.sums, 3e20, 1.0, 12.0 * np.eye(3))
    return scattering(holes.level, TEMPERATURE)


def with_impurities(holes, impurities, factor=1.0):
    phonons = ReducedKernel.fold(holes.space, holes.kernels.total(0))
    return holes.operator(phonons + ReducedKernel.fold(holes.space, impurities) * factor)


@pytest.mark.parametrize("level", SOLVERS)
def test_impurities_have_a_share_of_their_own(holes, impurities, level):
    solution = SOLVERS[level](with_impurities(holes, impurities))
    phonons = attribute(holes.sums, [response(solution)])[0]
    elastic = impurity_dissipation(holes.window, solution, impurities)
    found = replace(phonons, impurities=elastic)
    step = 1e-4
    sides = [
        SOLVERS[level](with_impurities(holes, impurities, 1.0 + s)).mobility for s in (step, -step)
    ]
    kernels = holes.folded | {"impurity": ReducedKernel.fold(holes.space, impurities)}
    expected = from_kernels.attribute(solution, kernels, AXES)
    for i, direction in enumerate(AXES):
        shares = found.along(direction)
        assert sum(shares.parts.values()) == pytest.approx(1.0, abs=1e-10)
        assert 0.05 < shares.parts["impurity"] < 0.95
        up, down = (np.log(direction @ mobility @ direction) for mobility in sides)
        assert shares.parts["impurity"] == pytest.approx(-(up - down) / (2 * step), abs=1e-6)
        for name, share in shares.parts.items():
            assert share == pytest.approx(expected.shares[name][i], abs=1e-8)
        # The phonons make what the impurities leave.
        spectrum = sum(s.sum() for s in shares.spectrum.values())
        assert spectrum == pytest.approx(1.0 - shares.parts["impurity"], abs=1e-12)
        assert shares.intra + shares.inter == pytest.approx(1.0, abs=1e-10)
        # Beside each other, the shares of the phonons are what they are without impurities.
        alone = phonons.along(direction)
        scale = 1.0 - shares.parts["impurity"]
        assert shares.parts["polar"] == pytest.approx(scale * alone.parts["polar"], abs=1e-12)
        assert shares.mean_frequency == pytest.approx(alone.mean_frequency)


def test_impurities_between_valleys(electrons):
    w = electrons.window
    labels = find_valleys(w, electrons.edges).labels
    kernel = ImpurityScattering(electrons.sums, 1e18, 1.0, 11.7 * np.eye(3))(
        electrons.level, TEMPERATURE
    )
    folded = ReducedKernel.fold(electrons.space, kernel)
    solution = solve_bte(electrons.operator(folded))
    within, between = impurity_dissipation(w, solution, kernel, labels)
    pairs = kernel.tocoo()
    rows = labels[w.irreducible[w.irreducible_states[pairs.coords[0], 0]]]
    columns = labels[w.full_states[pairs.coords[1], 0]]
    weights = from_kernels.PairWeights(solution, AXES[0]).of(*pairs.coords)
    by_hand = float((weights * pairs.data)[rows != columns].sum())
    whole = within + between
    assert between[0, 0] / whole[0, 0] == pytest.approx(by_hand, abs=1e-6)
    assert 0.0 < by_hand < 1.0
    np.testing.assert_allclose(whole, from_kernels.dissipation(solution, folded), rtol=1e-10)
    # Without valleys everything is within one.
    within, between = impurity_dissipation(w, solution, kernel)
    np.testing.assert_allclose(within, whole, rtol=1e-12)
    assert not between.any()

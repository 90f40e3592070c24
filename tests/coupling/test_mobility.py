"""The driver of one carrier: parts, levels, screening, impurities, validity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from silicon_model import DENSITY, TEMPERATURE, Model, charges, silicon, springs

from elphant.coupling.impurities import ImpurityScattering
from elphant.coupling.mobility import (
    CarrierMobility,
    MobilitySettings,
    carrier_mobility,
)
from elphant.coupling.scattering import DeltaSettings
from elphant.coupling.vertex import CouplingVertex
from elphant.electron.transport.solution import solve_bte, solve_mrta, solve_serta
from elphant.electron.transport.valleys import find_valleys
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS

LEVELS = {"serta": solve_serta, "mrta": solve_mrta, "bte": solve_bte}


@pytest.fixture(scope="module")
def holes() -> Model:
    crystal = silicon(masses=(28.0, 51.0))
    return Model.of(crystal, springs(crystal), (8, 8, 8), "hole", 0.6, long_range=charges(crystal))


def solve(model: Model, settings: MobilitySettings, **options) -> CarrierMobility:
    return carrier_mobility(
        model.window, model.vertex, model.phonons, model.long_range, settings,
        directions=np.eye(3), **options,
    )  # fmt: skip


def entry(found: CarrierMobility, **wanted):
    matching = [
        e
        for e in found.entries
        if all(
            getattr(e.solution if name == "level" else e, name) == value
            for name, value in wanted.items()
        )
    ]
    assert len(matching) == 1
    return matching[0].solution


@pytest.fixture(scope="module")
def plain(holes) -> CarrierMobility:
    return solve(
        holes,
        MobilitySettings(temperatures=(200.0, TEMPERATURE), densities=(DENSITY, 1e18)),
        valley=find_valleys(holes.window, holes.edges).labels,
    )


def test_every_combination_is_there(plain):
    assert len(plain.entries) == 2 * 2 * 3 * 3
    assert len(plain.shares) == 2 * 2
    assert {s.level for s in plain.shares} == {"serta", "bte"}
    assert {s.density for s in plain.shares} == {DENSITY}
    assert len(plain.validity) == 2
    assert set(plain.rates) == {"polar", "short", "interference", "total"}
    n = plain.space.n_states
    assert all(rates.shape == (2, n) for rates in plain.rates.values())
    parts = sum(plain.rates[name] for name in ("polar", "short", "interference"))
    np.testing.assert_allclose(parts, plain.rates["total"], rtol=1e-9)
    assert plain.n_pairs > 0


@pytest.mark.parametrize("level", LEVELS)
def test_entries_are_the_solutions_of_the_kernels(holes, plain, level):
    folded = holes.folded
    kernels = {
        "total": folded["polar"] + folded["short"] + folded["interference"],
        "polar": folded["polar"],
        "remaining": folded["short"] + folded["interference"],
    }
    for part, kernel in kernels.items():
        expected = LEVELS[level](holes.operator(kernel)).mobility
        found = entry(plain, temperature=TEMPERATURE, density=DENSITY, part=part, level=level)
        np.testing.assert_allclose(found.mobility, expected, rtol=1e-9, atol=1e-9)


def test_shares_add_up(plain):
    for each in plain.shares:
        shares = each.shares.along(np.array([0.0, 0.0, 1.0]))
        assert sum(shares.parts.values()) == pytest.approx(1.0, abs=1e-12)
        assert shares.intra + shares.inter == pytest.approx(1.0, abs=1e-12)


def test_validity_is_the_mean_relaxation_time(holes, plain):
    operator = holes.operator()
    solution = solve_serta(operator)
    time = solution.effective_time
    found = plain.validity[1]
    assert found.temperature == TEMPERATURE
    # The mean is taken over f(1-f), as in effective_time.
    np.testing.assert_allclose(HBAR_EV_PS / found.broadening, time, rtol=1e-9)
    space, s2 = holes.space, operator.amplitudes**2
    squares = operator.drive[:, :, None] * operator.drive[:, None]
    squares = space.star_mean(squares + space.velocity_spread * s2[:, None, None])
    mean = np.einsum("n,nab->ab", space.weights, squares) / (space.weights @ s2)
    np.testing.assert_allclose(found.mean_free_path, np.sqrt(np.diag(mean)) * time, rtol=1e-9)
    assert 1e-4 < found.broadening[0] / (BOLTZMANN_EV * TEMPERATURE) < 1e2


def test_screening_lowers_the_polar_rate_and_depends_on_the_density(holes, plain):
    settings = MobilitySettings(
        densities=(DENSITY, 1e19), levels=("serta",), screening=True, attribution=True
    )
    seen: list[tuple[int, int]] = []
    found = solve(holes, settings, observe=lambda *done: seen.append(done))
    # Two passes, and the shares at the first density.
    assert seen.count((holes.space.n_states,) * 2) == 3
    assert len(found.shares) == 1
    assert (found.rates["polar"][0] <= plain.rates["polar"][1] * (1 + 1e-9)).all()
    polar = [
        entry(found, density=d, part="polar", level="serta").mobility[0, 0] for d in (DENSITY, 1e19)
    ]
    bare = [
        entry(plain, temperature=TEMPERATURE, density=DENSITY, part="polar", level="serta"),
    ]
    assert bare[0].mobility[0, 0] < polar[0] < polar[1]
    remaining = [
        entry(f, temperature=TEMPERATURE, density=DENSITY, part="remaining", level="serta")
        for f in (found, plain)
    ]
    assert np.isfinite([r.mobility for r in remaining]).all()


def test_impurities_are_one_more_mechanism(holes, plain):
    impurities = ImpurityScattering(holes.sums, 1e18, 1.0, 12.0 * np.eye(3))
    settings = MobilitySettings(levels=("bte",), attribution=False)
    found = solve(holes, settings, impurities=impurities)
    assert not found.shares
    assert (found.rates["impurity"] >= 0.0).all()
    assert found.rates["impurity"].max() > 0.0
    np.testing.assert_allclose(
        found.rates["total"][0] - found.rates["impurity"][0], plain.rates["total"][1], rtol=1e-9
    )
    for part in ("polar", "remaining"):
        # Parts of the coupling to phonons, without the impurities.
        a, b = (
            entry(f, temperature=TEMPERATURE, density=DENSITY, part=part, level="bte").mobility
            for f in (found, plain)
        )
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    a, b = (
        entry(f, temperature=TEMPERATURE, density=DENSITY, part="total", level="bte").mobility
        for f in (found, plain)
    )
    assert a[0, 0] < b[0, 0]


def test_shares_of_impurities_and_phonons_add_up(holes):
    impurities = ImpurityScattering(holes.sums, 1e18, 1.0, 12.0 * np.eye(3))
    settings = MobilitySettings(levels=("serta", "mrta", "bte"), densities=(DENSITY, 1e18))
    found = solve(holes, settings, impurities=impurities)
    assert [(s.level, s.density) for s in found.shares] == [("serta", DENSITY), ("bte", DENSITY)]
    for each in found.shares:
        shares = each.shares.along(np.array([0.0, 0.0, 1.0]))
        assert set(shares.parts) == {"polar", "short", "interference", "impurity"}
        assert sum(shares.parts.values()) == pytest.approx(1.0, abs=1e-10)
        assert 0.0 < shares.parts["impurity"] < 1.0
        assert shares.intra + shares.inter == pytest.approx(1.0, abs=1e-10)


def test_one_kind_of_coupling_alone(holes):
    settings = MobilitySettings(levels=("serta",), attribution=False, screening=True)
    short = solve(holes.with_(long_range=None), settings)
    assert [e.part for e in short.entries] == ["total"]
    bare = CouplingVertex(holes.vertex.hamiltonian, None)
    polar = solve(holes.with_(vertex=bare), replace(settings, screening=False))
    assert [e.part for e in polar.entries] == ["total", "polar"]
    first, second = (e.solution.mobility for e in polar.entries)
    np.testing.assert_allclose(first, second, rtol=1e-12)
    with pytest.raises(ValueError, match="neither a short-range nor a long-range"):
        solve(holes.with_(vertex=bare, long_range=None), settings)


@pytest.fixture(scope="module")
def electrons() -> Model:
    crystal = silicon()
    return Model.of(crystal, springs(crystal), (24, 24, 24), width=0.3)


def test_mobility_falls_with_temperature(electrons):
    settings = MobilitySettings(temperatures=(200.0, 300.0, 400.0), attribution=False)
    found = solve(electrons, settings)
    for level in LEVELS:
        values = [
            entry(found, temperature=t, level=level).mobility[0, 0] for t in settings.temperatures
        ]
        assert values[0] > values[1] > values[2] > 0.0


def test_tetrahedra_and_variants(electrons):
    found = {}
    for kind in ("adaptive", "tetrahedron"):
        settings = MobilitySettings(
            levels=("mrta",), delta=DeltaSettings(kind=kind), variant="directions",
            attribution=False,
        )  # fmt: skip
        found[kind] = solve(electrons, settings).entries[0].solution
        assert found[kind].variant == "directions"
    ratio = found["tetrahedron"].mobility[0, 0] / found["adaptive"].mobility[0, 0]
    assert ratio == pytest.approx(1.0, abs=0.3)

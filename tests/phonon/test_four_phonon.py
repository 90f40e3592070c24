"""Four-phonon scattering: brute force, sampling, invariance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scattering_reference import half_sinh, over_orbits, reference
from toy_crystal import toy_crystal

from elphant.phonon.adapters.modes_adapter import solve_modes
from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.four_phonon import (
    CHANNELS,
    FourPhononDraws,
    FourPhononScattering,
    partner_triples,
)
from elphant.phonon.scattering.phase_space import weighted_phase_space
from elphant.phonon.scattering.sampling import (
    draw_pairs,
    exact_rates,
    expansion_weights,
    ratio_rates,
)

ORTHORHOMBIC = np.diag([3.0, 3.4, 3.9])
WIDE = Broadening(scale=1.0, window=4.0)
TEMPERATURES = (100.0, 300.0)


@pytest.fixture(scope="module")
def toy():
    force_constants = toy_crystal(ORTHORHOMBIC)
    return force_constants, solve_modes(force_constants, (3, 3, 3))


@pytest.fixture(scope="module")
def all_draws(toy):
    """Every pair of one point, each as a draw of its own."""
    force_constants, modes = toy
    engine = FourPhononScattering(force_constants.fourth, modes, WIDE)
    point = int(modes.mesh.irreducible[3])
    return point, engine.draws(point, np.arange(engine.n_pairs), TEMPERATURES)


@pytest.mark.parametrize(("position", "scalar_fields"), [(0, False), (5, False), (5, True)])
def test_rates_and_rows_equal_the_brute_force_sum(toy, position: int, scalar_fields: bool) -> None:
    """Two atoms, 3×3×3 points: all channels and temperatures, without any symmetry."""
    force_constants, modes = toy
    point = int(modes.mesh.irreducible[position])
    engine = FourPhononScattering(force_constants.fourth, modes, WIDE)
    draws = engine.draws(
        point, np.arange(engine.n_pairs), TEMPERATURES,
        collision_weights=np.ones(engine.n_pairs), scalar_fields=scalar_fields,
    )  # fmt: skip
    sums = draws.weighted.sum(axis=0)
    for t, temperature in enumerate(TEMPERATURES):
        rates, row = reference(
            force_constants.fourth, modes, modes.widths(1.0), point, temperature,
            scalar_fields=scalar_fields,
        )  # fmt: skip
        for c, patterns in enumerate(CHANNELS.values()):
            expected = sum(rates[signs] for signs in patterns)
            assert np.abs(sums[t, c] - expected).max() < 1e-10 * np.abs(sums).max()
        difference = over_orbits(modes, point, draws.collision[t]) - over_orbits(modes, point, row)
        assert np.abs(difference).max() < 1e-10 * np.abs(row).max()


def test_triples_stand_for_all_pairs(toy) -> None:
    _, modes = toy
    mesh = modes.mesh
    for point in mesh.irreducible:
        pairs = np.arange(mesh.n_points**2)
        triples, orbit = partner_triples(mesh, int(point), pairs)
        assert np.bincount(orbit).sum() == len(pairs)
        total = mesh.addresses[point] + mesh.addresses[triples].sum(axis=1)
        assert not (total % mesh.divisions).any()
        # Frequencies are the same for every pair of an orbit, up to the order of the partners.
        second, third = pairs // mesh.n_points, pairs % mesh.n_points
        fourth = mesh.index(-mesh.addresses[point] - mesh.addresses[second] - mesh.addresses[third])
        sums = modes.frequencies[second] + modes.frequencies[third] + modes.frequencies[fourth]
        assert np.abs(sums - modes.frequencies[triples].sum(axis=1)[orbit]).max() < 1e-12


def test_operator_annihilates_the_energy_where_it_is_conserved(toy) -> None:
    """With whole-number frequencies every process within a narrow Gaussian is exactly on shell."""
    force_constants, modes = toy
    whole = np.where(modes.frequencies > 0.0, 1.0 + np.arange(modes.n_modes), 0.0)
    modes = replace(modes, frequencies=whole)
    narrow = Broadening(kind="gaussian", sigma_thz=0.05)
    engine = FourPhononScattering(force_constants.fourth, modes, narrow)
    channels = np.zeros(len(CHANNELS))
    for point in modes.mesh.irreducible[1:]:
        draws = engine.draws(
            int(point), np.arange(engine.n_pairs), [300.0],
            collision_weights=np.ones(engine.n_pairs), scalar_fields=True,
        )  # fmt: skip
        rates = draws.weighted.sum(axis=(0, 1))
        channels += rates.sum(axis=1)
        squares = half_sinh(modes.frequencies[point], 300.0) ** 2
        diagonal = squares * rates.sum(axis=0) * modes.frequencies[point]
        change = diagonal + np.einsum("lqs,qs->l", draws.collision[0], modes.frequencies)
        assert np.abs(change).max() < 1e-10 * np.abs(diagonal).max()
    assert (channels > 0.0).all()


def test_single_precision_changes_a_rate_by_one_in_a_million(toy, all_draws) -> None:
    force_constants, modes = toy
    point, draws = all_draws
    engine = FourPhononScattering(force_constants.fourth, modes, WIDE, single_precision=True)
    single = engine.draws(point, np.arange(engine.n_pairs), TEMPERATURES).weighted.sum(axis=0)
    double = draws.weighted.sum(axis=0)
    difference = np.abs(single - double) / double.max(axis=-1, keepdims=True)
    assert 0.0 < difference.max() < 1e-6


def test_chunks_change_nothing(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    force_constants, modes = toy
    engine = FourPhononScattering(force_constants.fourth, modes, WIDE)
    point, pairs = int(modes.mesh.irreducible[2]), np.arange(0, engine.n_pairs, 17)
    weights = np.linspace(0.5, 2.0, len(pairs))
    whole = engine.draws(point, pairs, [300.0], collision_weights=weights)
    monkeypatch.setattr("elphant.phonon.scattering.four_phonon.CHUNK_BYTES", 1.0)
    parts = engine.draws(point, pairs, [300.0], collision_weights=weights)
    for name in ("weighted", "phase_space", "collision"):
        expected = getattr(whole, name)
        assert np.abs(getattr(parts, name) - expected).max() < 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("broadening", [WIDE, Broadening(kind="gaussian", sigma_thz=0.9)])
def test_exact_phase_space_is_the_sum_over_all_pairs(toy, broadening: Broadening) -> None:
    force_constants, modes = toy
    # Without a window, as the time integral has none.
    unbounded = replace(broadening, window=9.0)
    engine = FourPhononScattering(force_constants.fourth, modes, unbounded)
    exact = weighted_phase_space(modes, broadening, TEMPERATURES)
    for i in (1, 4):
        point = int(modes.mesh.irreducible[i])
        draws = engine.draws(point, np.arange(engine.n_pairs), TEMPERATURES)
        summed = draws.phase_space.sum(axis=0)
        largest = summed.max(axis=(1, 2), keepdims=True)
        # What is left are processes with two partners that are the mode itself: one in N².
        assert np.abs(exact[:, :, i] - summed).max() < 3e-3 * largest.max()


def test_whole_population_gives_the_exact_sum(toy, all_draws) -> None:
    _, modes = toy
    point, draws = all_draws
    n = modes.mesh.n_points
    chosen = draw_pairs(modes.mesh, point, seed=3, first=0, count=n * n)
    assert sorted(chosen.pairs) == list(range(n * n))
    subset = FourPhononDraws(
        weighted=draws.weighted[chosen.pairs], phase_space=draws.phase_space[chosen.pairs]
    )
    space = weighted_phase_space(modes, WIDE, TEMPERATURES)[:, :, 3]
    sampled = ratio_rates(subset, chosen.stratum, chosen.sizes, space)
    assert sampled.rates == pytest.approx(exact_rates(draws).rates, rel=1e-10)
    assert not sampled.standard_errors.any()


def test_sampling_is_unbiased_and_its_errors_cover(toy, all_draws) -> None:
    """Mean over 50 seeds within two standard errors; two thirds of the errors cover the truth."""
    _, modes = toy
    point, draws = all_draws
    exact = draws.weighted.sum(axis=(0, 2))
    space = weighted_phase_space(modes, WIDE, TEMPERATURES)[:, :, 3]
    gradient = np.ones((1, len(TEMPERATURES), modes.n_modes))
    means, errors = [], []
    for seed in range(50):
        chosen = draw_pairs(modes.mesh, point, seed=seed, first=0, count=8)
        subset = FourPhononDraws(
            weighted=draws.weighted[chosen.pairs], phase_space=draws.phase_space[chosen.pairs]
        )
        rates = ratio_rates(subset, chosen.stratum, chosen.sizes, space)
        means.append(rates.rates.sum(axis=(1, 2)))
        errors.append(np.sqrt(rates.variance(gradient)[0]))
    means, errors, truth = np.array(means), np.array(errors), exact.sum(axis=-1)
    spread = means.std(axis=0, ddof=1)
    assert (np.abs(means.mean(axis=0) - truth) < 2.0 * spread / np.sqrt(50)).all()
    assert errors.mean(axis=0) == pytest.approx(spread, rel=0.3)
    covered = (np.abs(means - truth) < errors).mean()
    assert 0.55 < covered < 0.85


def test_ratio_with_the_exact_phase_space_does_no_harm(toy, all_draws) -> None:
    """The share of the ratio correction is chosen so that the variance does not grow."""
    _, modes = toy
    point, draws = all_draws
    space = weighted_phase_space(modes, WIDE, TEMPERATURES)[:, :, 3]
    found: dict[str, list[np.ndarray]] = {"plain": [], "ratio": []}
    for seed in range(80):
        chosen = draw_pairs(modes.mesh, point, seed=seed, first=0, count=6)
        subset = FourPhononDraws(
            weighted=draws.weighted[chosen.pairs], phase_space=draws.phase_space[chosen.pairs]
        )
        rates = ratio_rates(subset, chosen.stratum, chosen.sizes, space)
        found["ratio"].append(rates.rates[1].sum(axis=(0, 1)))
        weights = expansion_weights(chosen.stratum, chosen.sizes)
        found["plain"].append(np.einsum("d,dcl->", weights, subset.weighted[:, 1]))
    assert np.std(found["ratio"]) < 1.1 * np.std(found["plain"])


def test_rounds_add_up_and_depend_on_the_seed_alone(toy) -> None:
    _, modes = toy
    whole = draw_pairs(modes.mesh, 5, seed=1, first=0, count=6)
    parts = [draw_pairs(modes.mesh, 5, seed=1, first=f, count=c) for f, c in ((0, 2), (2, 4))]
    for h in range(len(whole.sizes)):
        joined = np.concatenate([part.pairs[part.stratum == h] for part in parts])
        assert (joined == whole.pairs[whole.stratum == h]).all()
    other = draw_pairs(modes.mesh, 5, seed=2, first=0, count=6)
    assert (other.pairs != whole.pairs).any()
    assert len(set(whole.pairs.tolist())) == len(whole.pairs)

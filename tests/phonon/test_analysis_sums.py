"""Accumulations, spectra, rates by process and velocity anisotropy: the parts make the whole."""

from __future__ import annotations

import numpy as np
import pytest

from elphant.phonon.analysis.cumulative import (
    accumulate,
    along_axes,
    mean_free_paths,
    shared_coherence,
    spectrum,
)
from elphant.phonon.analysis.phase_space import (
    RatesByProcess,
    mean_phase_space,
    velocity_anisotropy,
)

N_Q, N_MODES = 12, 6


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def rotation(rng):
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    return q * np.sign(np.diag(r))


def test_accumulations_end_at_the_total(rng):
    frequency = rng.uniform(0, 6, N_Q * N_MODES)
    particle = rng.exponential(size=(N_Q * N_MODES, 3))
    pairs = rng.exponential(size=(N_Q, N_MODES, N_MODES, 3))
    pairs[:, np.arange(N_MODES), np.arange(N_MODES)] = 0
    heat = rng.uniform(0.5, 1, (N_Q, N_MODES))
    wave = shared_coherence(pairs, heat)
    assert np.allclose(wave.sum(axis=(0, 1)), pairs.sum(axis=(0, 1, 2)), rtol=1e-12)
    total = particle.sum(axis=0) + pairs.sum(axis=(0, 1, 2))
    modes = particle + wave.reshape(-1, 3)
    paths = rng.exponential(size=N_Q * N_MODES)
    for quantity in (frequency, paths):
        sums = accumulate(quantity, modes)
        assert np.allclose(sums.total, total, rtol=1e-12)
        assert np.all(np.diff(sums.quantity) >= 0)
        assert np.allclose(sums.at([-1.0, 1e9]), [[0, 0, 0], total], rtol=1e-12)
        assert np.all(np.diff(sums.running, axis=0) >= 0)


def test_coherence_is_shared_by_heat_capacity():
    pairs = np.zeros((2, 2, 1))
    pairs[0, 1] = pairs[1, 0] = 3.0
    assert np.allclose(shared_coherence(pairs, [1.0, 2.0])[:, 0], [2.0, 4.0])
    assert np.allclose(shared_coherence(pairs, [0.0, 0.0])[:, 0], [3.0, 3.0])
    # Not symmetric in the pair, as off-diagonal components may be: the sum stays.
    pairs[1, 0] = 1.0
    assert shared_coherence(pairs, [1.0, 2.0]).sum() == pytest.approx(4.0, rel=1e-14)


def test_half_of_the_sum():
    sums = accumulate([3.0, 1.0, 2.0, 4.0], np.array([[1.0, 0], [1.0, 0], [1.0, 0], [1.0, 5.0]]))
    assert np.allclose(sums.reaching(0.5), [2.0, 4.0])
    assert sums.at(2.0).tolist() == [2.0, 0.0]


def test_spectrum_has_the_area_of_the_sum(rng):
    frequency, values = rng.uniform(0, 5, 40), rng.standard_normal((40, 3))
    grid = np.linspace(0, 5, 101)
    curve = spectrum(frequency, values, grid, 0.2)
    area = (0.5 * (curve[1:] + curve[:-1]) * np.diff(grid)[:, None]).sum(axis=0)
    assert np.allclose(area, values.sum(axis=0), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="cover"):
        spectrum([6.0], [[1.0]], grid, 0.2)


def test_projections_turn_with_the_crystal(rng):
    turn = rotation(rng)
    axes = rng.standard_normal((3, 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    velocity, rate = rng.standard_normal((N_Q, N_MODES, 3)), rng.exponential(size=(N_Q, N_MODES))
    rate[0, 0], rate[0, 1] = 0.0, np.inf
    path = mean_free_paths(velocity, rate, axes)
    assert path[0, :2].max() == 0
    assert np.allclose(path, mean_free_paths(velocity @ turn.T, rate, axes @ turn.T))
    heat, weight = rng.uniform(0.5, 1, (N_Q, N_MODES)), rng.integers(1, 5, N_Q)
    before = velocity_anisotropy(velocity, weight, axes, heat)
    assert np.allclose(before, velocity_anisotropy(velocity @ turn.T, weight, axes @ turn.T, heat))
    tensors = rng.standard_normal((5, 3, 3))
    turned = turn @ tensors @ turn.T
    assert np.allclose(along_axes(tensors, axes), along_axes(turned, axes @ turn.T))


def test_velocity_anisotropy_adds_up(rng):
    velocity, weight = rng.standard_normal((N_Q, N_MODES, 3)), rng.integers(1, 5, N_Q)
    along = velocity_anisotropy(velocity, weight, np.eye(3))
    speed = (velocity**2).sum(axis=-1).mean(axis=1)
    assert along.sum() == pytest.approx((weight * speed).sum() / weight.sum())


def test_rates_by_process_add_up(rng):
    names = ("three_phonon_absorption", "three_phonon_emission", "four_phonon", "isotope")
    channels = {name: rng.exponential(size=(N_Q, N_MODES)) for name in names}
    rates = RatesByProcess(
        frequencies=rng.uniform(0, 6, (N_Q, N_MODES)), weights=np.ones(N_Q), channels=channels
    )
    assert np.allclose(rates.total, sum(channels.values()), rtol=1e-13)
    summary = rates.summary(np.ones((N_Q, N_MODES)))
    whole = ("three_phonon", "four_phonon", "isotope")
    assert sum(summary[name]["share"] for name in whole) == pytest.approx(1, rel=1e-12)
    assert summary["isotope"]["mean"] == pytest.approx(channels["isotope"].mean())
    assert "boundary" not in summary
    with pytest.raises(ValueError, match="unknown channel five_phonon"):
        RatesByProcess(
            frequencies=rates.frequencies, weights=rates.weights,
            channels={"five_phonon": rates.total},
        )  # fmt: skip


def test_left_out_modes_do_not_count():
    rates = RatesByProcess(
        frequencies=[[0.0, 1.0, 2.0]], weights=[2.0], channels={"isotope": [[9.0, 1.0, 3.0]]}
    )
    summary = rates.summary([[0.0, 1.0, 1.0]])["isotope"]
    assert summary == {"mean": pytest.approx(2.0), "median": 1.0, "share": pytest.approx(1.0)}


def test_mean_phase_space():
    assert mean_phase_space([[1.0, 3.0], [5.0, 7.0]], [1, 3]) == pytest.approx(5.0)

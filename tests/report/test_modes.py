"""Mode-resolved sums that the figures draw."""

from __future__ import annotations

import numpy as np
import pytest

from elphant.report.mode_table import mode_table, nearest_neighbour_distance
from elphant.report.plots import cumulative_conductivity, spectral_conductivity
from elphant.report.run_data import RunData


@pytest.fixture(scope="module")
def run(pnma):
    return RunData.load(pnma)


def test_modes_add_up_to_the_tensor(run):
    modes = mode_table(run)
    record = run.conductivity(300.0)
    expected = [record.axes[axis] for axis in "abc"]
    assert np.allclose(modes.conductivity.sum(axis=0), expected, rtol=1e-10)
    assert modes.weight.sum() == pytest.approx(60)


def test_velocities_come_back_from_the_conductivity(run):
    # The synthetic velocities are diagonal star averages: |v_n| of the stored point itself.
    modes = mode_table(run)
    stored = np.abs(run.mesh.group_velocity.reshape(-1, 3) @ run.frame.axis_directions.T)
    live = modes.rate > 0
    assert stored[live].max() > 1
    assert np.allclose(modes.velocity[live], stored[live], rtol=1e-8, atol=1e-9)


def test_spectrum_has_the_area_of_the_conductivity(run):
    modes = mode_table(run)
    grid, spectra, _ = spectral_conductivity.spectrum(modes)
    total = modes.conductivity.sum(axis=0)
    assert np.allclose(np.trapezoid(spectra, grid, axis=1), total, rtol=0.01)


def test_cumulative_ends_at_the_total(run):
    modes = mode_table(run)
    for i in range(3):
        _, running = cumulative_conductivity.cumulative(modes.frequency, modes.conductivity[:, i])
        assert running[-1] == pytest.approx(modes.conductivity[:, i].sum())


def test_shortest_bond(run):
    assert nearest_neighbour_distance(run) == pytest.approx(2.63, abs=0.03)


def test_figures_accept_axes_of_the_caller(run):
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots(1, 2)
    assert cumulative_conductivity.plot(run, axes) is figure
    with pytest.raises(ValueError, match="2 panels"):
        cumulative_conductivity.plot(run, axes[0])

"""Band edges and their k·p models: once per run, and only where a stage is not restored."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

import elphant
from elphant.crystal import find_symmetry
from elphant.crystal.io import read_crystal
from elphant.electron.band_edges import find_band_edges
from elphant.models.hamiltonians.slater_koster import SlaterKosterProvider
from elphant.workflow.stages import bands
from elphant.workflow.stages.bands import EdgeModels


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often edges and models were computed."""
    seen = {"find_band_edges": 0, "edge_interpolation": 0}

    def counted(name):
        function = getattr(bands, name)

        def call(*args, **options):
            seen[name] += 1
            return function(*args, **options)

        return call

    for name in seen:
        monkeypatch.setattr(bands, name, counted(name))
    return seen


def test_models_are_computed_once_when_asked_for(counts):
    crystal = read_crystal(bulk("Si", a=5.431))
    symmetry = find_symmetry(crystal)
    hamiltonian = SlaterKosterProvider("si").predict(crystal)
    models = EdgeModels(hamiltonian, (4, 4, 4), symmetry)
    assert counts == {"find_band_edges": 0, "edge_interpolation": 0}
    assert models.edges is models.edges
    assert models.interpolation is models.interpolation
    assert counts == {"find_band_edges": 1, "edge_interpolation": 1}
    expected = find_band_edges(hamiltonian, (4, 4, 4), symmetry)
    assert models.edges.gap == pytest.approx(expected.gap, abs=1e-12)
    np.testing.assert_array_equal(models.edges.conduction.k_point, expected.conduction.k_point)


def test_stages_of_a_run_share_them(counts, tmp_path):
    def run(kelvin):
        return elphant.run(
            bulk("Si", a=5.431),
            tasks=("bands", "masses"),
            output=tmp_path / "Si.run",
            hamiltonian={"model": "slater-koster:si"},
            electrons={"mesh": (4, 4, 4), "points_per_leg": 3, "temperatures": kelvin},
        )

    first = run(300.0)
    assert counts == {"find_band_edges": 1, "edge_interpolation": 1}
    # Everything restored.
    run(300.0)
    assert counts == {"find_band_edges": 1, "edge_interpolation": 1}
    # Bands restored, masses at another temperature.
    second = run(400.0)
    assert counts == {"find_band_edges": 2, "edge_interpolation": 2}
    edges = [
        [r["axes"] for r in result.content["effective_mass"] if r["kind"] == "band_edge"]
        for result in (first, second)
    ]
    assert edges[0] == edges[1]

"""What is known of the cost of a level before anything is computed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

import elphant
from elphant.errors import ResourceError
from elphant.phonon.adapters.import_files import load_force_constants
from elphant.phonon.levels import LevelScattering, LevelSettings
from elphant.phonon.scattering.operator import components, memory_bytes
from elphant.workflow.level_cost import (
    FourthOrder,
    PlannedCrystal,
    PlannedMesh,
    four_phonon_cost,
    largest_fitting_mesh,
    level_memory,
    require_mesh_memory,
    three_phonon_seconds,
)

BTE = LevelSettings(mesh=(9, 9, 9), temperatures=(200.0, 300.0), collision=True)
FOUR = FourthOrder(wanted=True)


@pytest.fixture(scope="module")
def silicon() -> PlannedCrystal:
    return PlannedCrystal.of(elphant.read_crystal(bulk("Si", "diamond", a=5.43)), 1e-5)


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("mesh", [(5, 5, 5), (4, 4, 2), (3, 5, 7)])
def test_counts_are_those_of_the_calculation(fixtures: Path, mesh, cubic: bool) -> None:
    constants = load_force_constants(fixtures / "Si_phono3py/phono3py_params_Si.yaml.xz")
    modes = LevelScattering(constants, replace(BTE, mesh=mesh)).modes
    crystal = elphant.read_crystal(bulk("Si", "diamond", a=5.43, cubic=cubic))
    for planned in (
        PlannedCrystal.of(crystal, 1e-5),
        PlannedCrystal.of_force_constants(constants, 1e-5),
    ):
        counted = PlannedMesh.of(planned, mesh)
        assert planned.n_modes == modes.n_modes
        assert counted.n_points == modes.mesh.n_points
        assert counted.n_irreducible == modes.mesh.n_irreducible
        assert counted.n_operations == len(modes.mesh.rotations)
        assert len(components(counted)) == len(components(modes.mesh))
        bound = PlannedMesh.of(planned, mesh, exact=False)
        assert bound.n_irreducible <= counted.n_irreducible
        assert bound.n_operations == counted.n_operations


def test_rows_and_operator_are_in_the_memory_of_the_solution(silicon: PlannedCrystal) -> None:
    mesh = PlannedMesh.of(silicon, (19, 19, 19))
    memory = level_memory(silicon, mesh, replace(BTE, mesh=mesh.divisions), FourthOrder())
    sizes = memory_bytes(mesh, silicon.n_modes, 2)
    assert 1e9 * memory.solution > max(2.0 * sizes["rows"], sizes["operator"])
    rta = replace(BTE, mesh=mesh.divisions, collision=False)
    assert level_memory(silicon, mesh, rta, FourthOrder()).solution < memory.solution
    assert memory.peak(1000) == 1000 * memory.scattering


def test_memory_grows_with_everything_that_costs(silicon: PlannedCrystal) -> None:
    def peak(mesh=(15, 15, 15), orders=FourthOrder(), **changes) -> float:  # noqa: B008
        settings = replace(BTE, mesh=mesh, **changes)
        return level_memory(silicon, PlannedMesh.of(silicon, mesh), settings, orders).peak()

    assert peak((17, 17, 17)) > peak()
    assert peak(temperatures=(100.0, 200.0, 300.0)) > peak()
    assert peak(orders=FOUR) >= peak()
    assert peak(orders=FourthOrder(wanted=True, exact=True)) > peak(orders=FOUR)


@pytest.mark.parametrize("mesh", [(60, 60, 60), (31, 44, 17), (900, 900, 900)])
@pytest.mark.parametrize("orders", [FourthOrder(), FOUR])
def test_the_mesh_that_is_named_fits(silicon: PlannedCrystal, mesh, orders) -> None:
    start = time.perf_counter()
    settings = replace(BTE, mesh=mesh)
    with pytest.raises(ResourceError, match="A mesh that fits: --mesh") as refused:
        require_mesh_memory(silicon, settings, 1.0, orders)
    assert time.perf_counter() - start < 20.0
    found = largest_fitting_mesh(silicon, settings, 1.0, orders)
    assert found is not None
    assert ",".join(str(n) for n in found) in str(refused.value)
    assert require_mesh_memory(silicon, replace(BTE, mesh=found), 1.0, orders) <= 1.0
    # Of the same shape, and not much smaller than it has to be.
    ratios = np.array(found) / mesh
    assert ratios.max() / ratios.min() < 1.3
    finer = tuple(int(np.ceil(1.15 * n)) + 1 for n in found)
    assert finer >= mesh or _refused(silicon, replace(BTE, mesh=finer), orders)


def _refused(crystal: PlannedCrystal, settings: LevelSettings, orders: FourthOrder) -> bool:
    try:
        require_mesh_memory(crystal, settings, 1.0, orders)
    except ResourceError:
        return True
    return False


def test_nothing_fits_into_too_little(silicon: PlannedCrystal) -> None:
    with pytest.raises(ResourceError, match="No mesh of this shape fits"):
        require_mesh_memory(silicon, BTE, 0.1, FourthOrder())


def test_times_follow_the_work(silicon: PlannedCrystal) -> None:
    coarse, fine = (PlannedMesh.of(silicon, (n, n, n)) for n in (9, 18))
    seconds = [
        three_phonon_seconds(m, silicon.n_modes, replace(BTE, mesh=m.divisions))
        for m in (coarse, fine)
    ]
    assert 8.0 < seconds[1] / seconds[0] < 80.0

    def four(tolerance: float, exact: bool = False):
        return four_phonon_cost(
            coarse, silicon.n_modes, BTE, tolerance=tolerance, exact=exact, max_rounds=20
        )

    assert four(0.01).seconds > four(0.05).seconds > 0.0
    assert four(0.05, exact=True).draws == coarse.n_points**2
    assert four(1e-9).exact, "a sample of more than half the pairs is replaced by the exact sum"

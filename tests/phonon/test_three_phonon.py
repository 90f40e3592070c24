"""Three-phonon scattering against plain sums, limits and phono3py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scattering_reference import half_sinh, matrix_element, over_orbits, reference
from toy_crystal import toy_crystal

from elphant.phonon.adapters.cluster_adapter import third_order_clusters
from elphant.phonon.adapters.modes_adapter import solve_modes
from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.operator import CollisionOperator, reduce_row
from elphant.phonon.scattering.three_phonon import PartnerPairs, ThreePhononScattering
from elphant.phonon.scattering.vertices import ThirdOrderVertices, third_point
from elphant.units import rate_from_linewidth

ORTHORHOMBIC = np.diag([3.0, 3.4, 3.9])
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toy():
    force_constants = toy_crystal(ORTHORHOMBIC)
    return force_constants, solve_modes(force_constants, (4, 3, 3))


def test_fast_matrix_elements_equal_the_plain_sum(toy) -> None:
    force_constants, modes = toy
    vertices = ThirdOrderVertices(force_constants.third_clusters, modes, CPU)
    points = np.arange(modes.mesh.n_points)
    point = 7
    third = third_point(modes.mesh, point, points)
    folded = vertices.real_space(np.array([point]))[0]
    fast = vertices.squared(folded, point, slice(None), points, third).numpy()
    for q2, q3 in zip(points, third, strict=True):
        plain = np.abs(matrix_element(force_constants.third_clusters, modes, (point, q2, q3))) ** 2
        # (q', q, q'') against (q, q', q'')
        assert np.abs(fast[q2] - plain.transpose(1, 0, 2)).max() < 1e-12 * np.abs(fast).max()


def test_pairs_stand_for_the_whole_mesh(toy) -> None:
    _, modes = toy
    for point in modes.mesh.irreducible:
        pairs = PartnerPairs.of(modes.mesh, int(point))
        assert pairs.multiplicity.sum() == modes.mesh.n_points
        total = modes.mesh.addresses[[point]] + modes.mesh.addresses[pairs.second]
        total = total + modes.mesh.addresses[pairs.third]
        assert not (total % modes.mesh.divisions).any()


@pytest.mark.parametrize("position", [0, 1, 6])
@pytest.mark.parametrize("scalar_fields", [False, True])
def test_rates_and_rows_equal_the_brute_force_sum(toy, position: int, scalar_fields: bool) -> None:
    force_constants, modes = toy
    clusters = force_constants.third_clusters
    broadening = Broadening(scale=1.0, window=4.0)
    engine = ThreePhononScattering(clusters, modes, broadening)
    point = int(modes.mesh.irreducible[position])
    (row,) = engine.rows([point], [100.0, 300.0], collision=True, scalar_fields=scalar_fields)
    for t, temperature in enumerate((100.0, 300.0)):
        rates, expected = reference(
            clusters, modes, modes.widths(1.0), point, temperature, scalar_fields=scalar_fields
        )
        emission = rates[-1, -1]
        absorption = rates[1, -1] + rates[-1, 1]
        scale = max(emission.max(), absorption.max())
        assert np.abs(row.rates[t, 0] - emission).max() < 1e-10 * scale
        assert np.abs(row.rates[t, 1] - absorption).max() < 1e-10 * scale
        difference = over_orbits(modes, point, row.collision[t]) - over_orbits(
            modes, point, expected
        )
        assert np.abs(difference).max() < 1e-10 * np.abs(expected).max()


def test_chunks_of_bands_change_nothing(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    force_constants, modes = toy
    engine = ThreePhononScattering(force_constants.third_clusters, modes, Broadening())
    points = modes.mesh.irreducible
    whole = engine.rows(points, [300.0], collision=True)
    monkeypatch.setattr("elphant.phonon.scattering.three_phonon.CHUNK_BYTES", 1.0)
    for one, other in zip(whole, engine.rows(points, [300.0], collision=True), strict=True):
        assert other.rates == pytest.approx(one.rates, rel=1e-12, abs=1e-18)
        assert other.collision == pytest.approx(one.collision, rel=1e-12, abs=1e-18)


def test_operator_annihilates_the_energy_where_it_is_conserved(toy) -> None:
    """With whole-number frequencies every process within a narrow Gaussian is exactly on shell."""
    force_constants, modes = toy
    modes = replace(modes, frequencies=np.rint(modes.frequencies))
    broadening = Broadening(kind="gaussian", sigma_thz=0.05)
    engine = ThreePhononScattering(force_constants.third_clusters, modes, broadening)
    scattered = 0
    for point in modes.mesh.irreducible:
        (row,) = engine.rows([int(point)], [300.0], collision=True, scalar_fields=True)
        squares = half_sinh(modes.frequencies[point], 300.0) ** 2
        diagonal = squares * row.rates[0].sum(axis=0) * modes.frequencies[point]
        change = diagonal + np.einsum("lqs,qs->l", row.collision[0], modes.frequencies)
        scattered += int((diagonal > 0.0).sum())
        assert np.abs(change).max() <= 1e-10 * max(np.abs(diagonal).max(), 1e-30)
    assert scattered > 10


@pytest.mark.parametrize("kind", ["adaptive", "gaussian"])
def test_mesh_symmetry_changes_no_rate(kind: str) -> None:
    force_constants = toy_crystal(3.2 * np.eye(3), cutoff=4.6)
    broadening = Broadening(kind=kind, sigma_thz=0.8 if kind == "gaussian" else None, scale=1.0)
    rates = []
    for symmetry in (True, False):
        modes = solve_modes(force_constants, (3, 3, 3), mesh_symmetry=symmetry)
        engine = ThreePhononScattering(force_constants.third_clusters, modes, broadening)
        rows = engine.rows(modes.mesh.irreducible, [300.0], collision=False)
        values = modes.degenerate_means(np.array([row.rates[0].sum(axis=0) for row in rows]))
        rates.append(values[modes.mesh.representative])
    assert rates[0] == pytest.approx(rates[1], rel=1e-8)


def test_gaussian_and_tetrahedra_agree_on_a_fine_mesh() -> None:
    force_constants = toy_crystal(3.2 * np.eye(3), cutoff=4.6)
    modes = solve_modes(force_constants, (12, 12, 12))
    means = []
    for broadening in (Broadening(), Broadening(kind="tetrahedron")):
        engine = ThreePhononScattering(force_constants.third_clusters, modes, broadening)
        rows = engine.rows(modes.mesh.irreducible, [300.0], collision=False)
        rates = np.array([row.rates[0].sum(axis=0) for row in rows])
        means.append((rates * modes.mesh.weights[:, None]).sum())
    # 2.7 % on this mesh; both converge to the same limit.
    assert means[0] == pytest.approx(means[1], rel=0.04)


SILICON = Path(__file__).parents[1] / "fixtures" / "Si_phono3py"


@pytest.fixture(scope="module")
def silicon():
    from elphant.phonon.adapters.import_files import load_force_constants

    (path,) = SILICON.glob("phono3py_params*")
    return load_force_constants(path)


def phono3py_rates(force_constants, divisions, mesh_symmetry: bool) -> tuple[np.ndarray, ...]:
    """Return q points, weights, κ_xx and three-phonon rates of phono3py.

    Without its r0 average, and with its weights averaged over degenerate bands: its default leaves
    them as they come, and the rates then depend on the eigensolver's choice of vectors.
    """
    from elphant.phonon.adapters.phono3py_adapter import phono3py_from

    phono3py = phono3py_from(
        force_constants, r0_average=False, mesh_symmetry=mesh_symmetry, symmetry_tolerance=1e-5
    )
    phono3py.mesh_numbers = divisions
    phono3py.init_phph_interaction(exclude_gamma_acoustic=True, average_degenerate_weights=True)
    phono3py.run_thermal_conductivity(temperatures=[300.0])
    result = phono3py.thermal_conductivity
    rates = np.asarray(rate_from_linewidth(np.array(result.gamma[0, 0])))
    return np.array(result.qpoints), np.array(result.grid_weights), rates


@pytest.mark.parametrize("mesh_symmetry", [True, False])
def test_silicon_rates_equal_phono3py_mode_by_mode(silicon, mesh_symmetry: bool) -> None:
    """The identical sum: images as seen from the first atom, the same tetrahedra.

    The difference of 3e-7 that is left is that of the tables of constants.
    """
    divisions = (5, 5, 5) if mesh_symmetry else (3, 3, 3)
    q, weights, expected = phono3py_rates(silicon, divisions, mesh_symmetry)
    modes = solve_modes(silicon, divisions, mesh_symmetry=mesh_symmetry)
    clusters = third_order_clusters(silicon, images="pairs")
    engine = ThreePhononScattering(clusters, modes, Broadening(kind="tetrahedron"))
    rows = engine.rows(modes.mesh.irreducible, [300.0], collision=False)
    ours = modes.degenerate_means(np.array([row.rates[0].sum(axis=0) for row in rows]))
    at = modes.mesh.representative[modes.mesh.index(np.rint(q * divisions).astype(int))]
    moving = modes.irreducible_frequencies[at] > 0.0
    assert ours[at][moving] == pytest.approx(expected[moving], rel=1e-6)
    if mesh_symmetry:
        assert (modes.mesh.weights[at] == weights).all()


def test_images_of_least_perimeter_make_the_operator_symmetric(silicon) -> None:
    modes = solve_modes(silicon, (3, 3, 3))
    asymmetry = {}
    for images in ("pairs", "perimeter"):
        clusters = third_order_clusters(silicon, images=images)
        engine = ThreePhononScattering(clusters, modes, Broadening(scale=1.0))
        rows = engine.rows(modes.mesh.irreducible, [300.0], collision=True)
        operator = CollisionOperator.assemble(
            modes,
            300.0,
            np.array([row.rates[0].sum(axis=0) for row in rows]),
            (reduce_row(modes.mesh, i, row.collision)[0] for i, row in enumerate(rows)),
        )
        asymmetry[images] = operator.asymmetry
    assert asymmetry["perimeter"] < 1e-12 < asymmetry["pairs"]

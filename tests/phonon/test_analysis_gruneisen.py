"""Mode Grüneisen tensors against finite differences of strained spring crystals."""

from __future__ import annotations

import numpy as np
import pytest
from spring_crystal import ORTHORHOMBIC, spring_crystal
from triclinic_springs import LATTICE, MASSES, POSITIONS, dynamical_matrix, modes, third_order

from elphant.phonon.analysis.cumulative import along_axes
from elphant.phonon.analysis.gruneisen import (
    mean_gruneisen,
    mode_gruneisen,
    strain_derivative,
    volume_gruneisen,
)
from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.units import THZ_PER_SQRT_EV_A2_AMU

Q_POINTS = np.array([[0.0, 0.0, 0.0], [0.25, 0.1, -0.3], [0.5, 0.0, 0.0], [0.4, 0.4, 0.2]])


def tensors(rotation=None):
    third, lattice = third_order(), LATTICE
    if rotation is not None:
        blocks = np.einsum("ai,bj,ck,nijk->nabc", rotation, rotation, rotation, third.blocks)
        third = SparseForceConstants(
            atoms=third.atoms, cells=third.cells, blocks=blocks, n_primitive=2
        )
        lattice = LATTICE @ rotation.T
    frequencies, vectors = modes(Q_POINTS, rotation)
    return frequencies, mode_gruneisen(
        third, lattice=lattice, positions=POSITIONS, masses=MASSES, q_points=Q_POINTS,
        frequencies=frequencies, eigenvectors=vectors,
    )  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return tensors()


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)])
def test_components_are_finite_differences_of_strain(result, a, b):
    frequencies, found = result
    step = 2e-5
    strain = np.zeros((3, 3))
    strain[a, b] += 0.5 * step
    strain[b, a] += 0.5 * step
    for iq, q in enumerate(Q_POINTS):
        shifted = [np.linalg.eigvalsh(dynamical_matrix(q, s * strain)) for s in (1, -1)]
        slope = (shifted[0] - shifted[1]) / (2 * step)
        live = frequencies[iq] > 1e-2
        squared = (frequencies[iq] / THZ_PER_SQRT_EV_A2_AMU) ** 2
        expected = -slope[live] / (2 * squared[live])
        assert np.allclose(found[iq, live, a, b], expected, rtol=1e-5, atol=1e-6)


def test_trace_is_the_volume_derivative(result):
    found = result[1]
    step = 1e-5
    q = Q_POINTS[1]
    up, down = (np.linalg.eigvalsh(dynamical_matrix(q, s * step * np.eye(3))) for s in (1, -1))
    # d ln V = 3 step, and ln w is half of ln w².
    expected = -0.5 * (np.log(up) - np.log(down)) / (6 * step)
    assert np.allclose(volume_gruneisen(found)[1], expected, rtol=1e-6)


def test_acoustic_modes_at_gamma_are_left_out(result):
    assert np.abs(result[1][0, :3]).max() == 0
    assert np.abs(result[1][0, 3:]).max() > 0.1


def test_tensors_turn_with_the_crystal(result):
    angle = 0.7
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]]
    ) @ np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
    frequencies, turned = tensors(rotation)
    assert np.allclose(frequencies, result[0], atol=1e-6)
    expected = np.einsum("ai,bj,qsij->qsab", rotation, rotation, result[1])
    assert np.allclose(turned, expected, atol=1e-8)
    before = along_axes(result[1], LATTICE / np.linalg.norm(LATTICE, axis=1)[:, None])
    axes = LATTICE @ rotation.T
    after = along_axes(turned, axes / np.linalg.norm(axes, axis=1)[:, None])
    assert np.allclose(before, after, atol=1e-8)


def test_origin_does_not_matter():
    """The sum rule makes the strain derivative independent of where positions are counted from."""
    third = third_order()
    pairs, cells, slopes = strain_derivative(third, LATTICE, POSITIONS)
    moved = strain_derivative(third, LATTICE, POSITIONS + np.array([0.3, -0.2, 0.7]))
    assert np.array_equal(pairs, moved[0])
    assert np.array_equal(cells, moved[1])
    assert np.allclose(slopes, moved[2], atol=1e-12)


def test_degenerate_modes_share_their_mean():
    values = mode_gruneisen(
        third_order(), lattice=LATTICE, positions=POSITIONS, masses=MASSES, q_points=Q_POINTS[1:2],
        frequencies=modes(Q_POINTS[1:2])[0], eigenvectors=modes(Q_POINTS[1:2])[1],
        degeneracy_tolerance=100.0,
    )  # fmt: skip
    assert np.allclose(values[0], values[0, :1])


def test_mean_is_weighted_by_heat_capacity():
    tensors = np.arange(1.0, 5.0)[:, None, None, None] * np.eye(3)
    heat = np.array([[1.0], [0.0], [1.0], [0.0]])
    mean = mean_gruneisen(tensors, [1, 1, 3, 1], heat)
    assert np.allclose(mean, 2.5 * np.eye(3))
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    uneven = np.diag([1.0, 3.0, 5.0]) * np.ones((4, 1, 1, 1))
    found = mean_gruneisen(uneven, np.ones(4), heat, rotations=[np.eye(3), turn])
    assert np.allclose(found, np.diag([2.0, 2.0, 5.0]))
    with pytest.raises(ValueError, match="heat capacity"):
        mean_gruneisen(tensors, np.ones(4), 0 * heat)


def test_other_orders_are_refused():
    third = SparseForceConstants(
        atoms=np.zeros((1, 2), int), cells=np.zeros((1, 1, 3), int), blocks=np.zeros((1, 3, 3)),
        n_primitive=1,
    )  # fmt: skip
    with pytest.raises(ValueError, match="order 2"):
        mode_gruneisen(
            third, lattice=np.eye(3), positions=[[0, 0, 0]], masses=[1], q_points=[[0, 0, 0]],
            frequencies=[[1, 1, 1]], eigenvectors=np.eye(3)[None].astype(complex),
        )  # fmt: skip


def test_parameters_agree_with_phono3py():
    """The same sum, from clusters here and from the dense array there.

    Springs end well inside the supercell, so that the nearest images of all atoms are unique.
    """
    from phono3py.phonon3.gruneisen import Gruneisen

    from elphant.phonon.adapters.cluster_adapter import third_order_clusters
    from elphant.phonon.adapters.modes_adapter import solve_modes
    from elphant.phonon.adapters.phonopy_adapter import build_phonopy

    constants = spring_crystal(ORTHORHOMBIC)
    modes = solve_modes(constants, np.array([3, 2, 4]))
    points = modes.mesh.irreducible
    q_points = modes.mesh.q_points[points]
    found = mode_gruneisen(
        third_order_clusters(constants), lattice=modes.lattice, positions=modes.positions,
        masses=modes.masses, q_points=q_points, frequencies=modes.frequencies[points],
        eigenvectors=modes.eigenvectors[points],
    )  # fmt: skip
    phonopy = build_phonopy(
        constants.unitcell, constants.supercell_matrix_third, primitive_matrix=np.eye(3)
    )
    reference = Gruneisen(
        np.array(constants.second), np.array(constants.third), phonopy.supercell, phonopy.primitive
    )
    reference.set_qpoints(q_points)
    reference.run()
    expected = volume_gruneisen(np.array(reference.gruneisen_parameters))
    live = modes.frequencies[points] > 1e-2
    assert live.sum() > 20
    assert np.allclose(volume_gruneisen(found)[live], expected[live], atol=1e-5)

"""Meshes, stars and the phonons carried over them."""

from __future__ import annotations

import numpy as np
import pytest
from toy_crystal import CSCL, toy_crystal

from elphant.errors import ConfigurationError
from elphant.phonon.adapters.modes_adapter import solve_modes
from elphant.phonon.adapters.phonopy_adapter import phonopy_from, run_q_points
from elphant.phonon.scattering.mesh import ReciprocalMesh

ORTHORHOMBIC = np.diag([3.0, 3.4, 3.9])
#: Hexagonal close packing: a screw axis and a glide plane, so that eigenvectors gain phases.
HEXAGONAL = np.array([[3.2, 0, 0], [-1.6, 1.6 * np.sqrt(3.0), 0], [0, 0, 5.2]])
HCP = np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])
CRYSTALS = {
    "orthorhombic": (ORTHORHOMBIC, CSCL, (11, 17), (4, 3, 2)),
    "cubic": (3.2 * np.eye(3), CSCL, (11, 17), (4, 4, 4)),
    "hexagonal": (HEXAGONAL, HCP, (12, 12), (4, 4, 3)),
    "triclinic": (
        np.array([[3.1, 0.2, 0.1], [0.3, 3.3, -0.2], [-0.1, 0.4, 3.6]]), CSCL, (11, 17), (3, 4, 2)
    ),
}  # fmt: skip


def crystal(name: str):
    lattice, fractional, numbers, mesh = CRYSTALS[name]
    return toy_crystal(lattice, fractional, numbers, cutoff=4.6), mesh


@pytest.mark.parametrize("name", CRYSTALS)
def test_stars_cover_the_mesh_once(name: str) -> None:
    force_constants, divisions = crystal(name)
    mesh = solve_modes(force_constants, divisions).mesh
    assert mesh.weights.sum() == mesh.n_points == np.prod(divisions)
    at = mesh.operation
    points = np.arange(mesh.n_points)
    assert (mesh.images[at, mesh.irreducible[mesh.representative]] == points).all()
    # The operation really takes one wave vector to the other.
    q = mesh.q_points
    image = np.einsum("pab,pb->pa", mesh.rotations[at], q[mesh.irreducible[mesh.representative]])
    assert np.abs((image - q) - np.rint(image - q)).max() < 1e-12


def test_first_component_of_an_address_runs_fastest() -> None:
    mesh = ReciprocalMesh.build((4, 3, 2), np.eye(3))
    assert mesh.addresses[1].tolist() == [1, 0, 0]
    assert mesh.addresses[4].tolist() == [0, 1, 0]
    assert (mesh.index(mesh.addresses) == np.arange(24)).all()
    assert (mesh.index(mesh.addresses - [4, 3, 2]) == np.arange(24)).all()


def test_operations_that_do_not_keep_the_mesh_are_left_out() -> None:
    fourfold = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    rotations = np.array([np.eye(3, dtype=int), fourfold])
    assert len(ReciprocalMesh.build((4, 4, 2), np.eye(3), rotations).rotations) == 4
    assert len(ReciprocalMesh.build((4, 3, 2), np.eye(3), rotations).rotations) == 2


def test_bad_mesh_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="three positive integers"):
        ReciprocalMesh.build((4, 0, 2), np.eye(3))


@pytest.mark.parametrize("name", CRYSTALS)
def test_modes_of_a_star_solve_the_dynamical_matrix_of_each_point(name: str) -> None:
    force_constants, divisions = crystal(name)
    modes = solve_modes(force_constants, divisions)
    phonopy = phonopy_from(force_constants)
    q = modes.mesh.q_points
    frequencies, vectors, _ = run_q_points(phonopy, q, eigenvectors=True)
    phases = np.repeat(np.exp(2j * np.pi * q @ modes.positions.T), 3, axis=1)[:, :, None]
    direct = phases * vectors
    squares = np.sign(frequencies) * frequencies**2
    expected = np.einsum("qas,qs,qbs->qab", direct, squares, direct.conj())
    e = modes.eigenvectors
    ours = np.einsum("qas,qs,qbs->qab", e, modes.frequencies**2, e.conj())
    # The translations at Γ are set to zero.
    assert np.abs(ours - expected)[1:].max() < 1e-9
    overlap = e.conj().transpose(0, 2, 1) @ e
    assert np.abs(overlap - np.eye(modes.n_modes)).max() < 1e-12


@pytest.mark.parametrize("name", CRYSTALS)
def test_velocities_of_a_star_are_those_of_each_point(name: str) -> None:
    force_constants, divisions = crystal(name)
    modes = solve_modes(force_constants, divisions)
    alone = solve_modes(force_constants, divisions, mesh_symmetry=False)
    # Degenerate sets carry the mean, which does not depend on the basis.
    assert np.abs(modes.velocities - alone.velocities).max() < 1e-7
    assert np.abs(modes.widths() - alone.widths()).max() < 1e-8


def test_velocity_is_the_slope_of_the_frequency() -> None:
    force_constants, divisions = crystal("triclinic")
    modes = solve_modes(force_constants, divisions)
    phonopy = phonopy_from(force_constants)

    def slope(axis: int, step: float) -> np.ndarray:
        # A Cartesian step in q / 2π, as fractional coordinates.
        shift = step * modes.lattice[:, axis]
        above, _, _ = run_q_points(phonopy, modes.mesh.q_points[1:] + shift)
        below, _, _ = run_q_points(phonopy, modes.mesh.q_points[1:] - shift)
        return (above - below) / (2.0 * step)

    for axis in range(3):
        extrapolated = (4.0 * slope(axis, 1e-5) - slope(axis, 2e-5)) / 3.0
        assert np.abs(extrapolated - modes.velocities[1:, :, axis]).max() < 1e-4


def test_width_is_the_spread_over_a_cell_of_the_mesh() -> None:
    """The variance of v·Δq for Δq evenly spread over the cell, here of an orthorhombic mesh."""
    force_constants, divisions = crystal("orthorhombic")
    modes = solve_modes(force_constants, divisions)
    generator = np.random.default_rng(0)
    edges = np.linalg.inv(modes.lattice).T / divisions
    inside = (generator.random((20_000, 3)) - 0.5) @ edges
    spread = (modes.velocities @ inside.T).std(axis=-1)
    widths = modes.widths()
    wide = widths > 1.01 * widths.min()
    assert wide.mean() > 0.5
    assert widths[wide] == pytest.approx(spread[wide], rel=0.02)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_positions_in_the_primitive_cell_do_not_depend_on_the_supercell(size: int) -> None:
    """Clusters and eigenvectors come from different supercells and must mean the same images."""
    from ase.build import bulk

    from elphant.crystal.io import from_ase
    from elphant.phonon.adapters.phonopy_adapter import build_phonopy, primitive_positions

    crystal = from_ase(bulk("Si", "diamond", a=5.43, cubic=True))
    primitive = build_phonopy(crystal, size * np.eye(3, dtype=int)).primitive
    expected = np.array([[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]])
    assert primitive_positions(primitive) == pytest.approx(expected, abs=1e-9)

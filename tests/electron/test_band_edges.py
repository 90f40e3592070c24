"""Band edges off the mesh, bands along a path, and a Hamiltonian of another program."""

from __future__ import annotations

import numpy as np
import pytest
from random_hamiltonian import cosine_bands, doubled, in_other_axes, random_hamiltonian
from stored_hamiltonian import stored_hamiltonian

from elphant.crystal.symmetry import find_symmetry
from elphant.electron.band_edges import edge_interpolation, find_band_edges
from elphant.electron.bands import band_structure
from elphant.electron.effective_mass import inverse_mass
from elphant.electron.velocity import velocities
from elphant.errors import PhysicsError
from elphant.grids import SampledPath, high_symmetry_path, irreducible_mesh, sample_path
from elphant.orbitals import band_energies, solve
from elphant.units import INVERSE_MASS_PER_EV_A2

ORTHORHOMBIC = np.diag([3.0, 4.0, 6.0])


def test_a_path_is_solved_point_by_point():
    h = stored_hamiltonian("si_szv")
    path = sample_path(high_symmetry_path(h.crystal), h.crystal, 10)
    bands = band_structure(h, path)
    assert isinstance(bands.path, SampledPath)
    assert bands.energies == pytest.approx(band_energies(h, path.q_point), abs=1e-10)


def test_edges_and_masses_of_cosine_bands():
    h = cosine_bands(ORTHORHOMBIC, [0.5, 0.3, 0.1])
    edges = find_band_edges(h, (3, 3, 3), find_symmetry(h.crystal))
    assert edges.kind == "direct"
    assert edges.gap == pytest.approx(4.0, abs=1e-12)
    assert edges.direct_gap == pytest.approx(4.0, abs=1e-12)
    # Stationary by symmetry: exactly Γ.
    assert not edges.valence.k_point.any()
    assert not edges.conduction.k_point.any()
    expected = INVERSE_MASS_PER_EV_A2 * np.array([0.5, 0.3, 0.1]) * np.diag(ORTHORHOMBIC) ** 2
    for edge, sign in ((edges.conduction, 1), (edges.valence, -1)):
        tensor = inverse_mass(h, edge.k_point, edge.band).tensor
        assert tensor == pytest.approx(sign * np.diag(expected), abs=1e-10)
    assert edges.to_dict()["value"] == edges.gap


@pytest.mark.parametrize("mesh", [(5, 5, 5), (6, 4, 5)])
def test_edges_of_silicon(mesh):
    """Γ for the holes, six valleys on the way to X for the electrons, in every cell."""
    h = stored_hamiltonian("si_dzvp")
    edges = find_band_edges(h, mesh, find_symmetry(h.crystal))
    assert edges.kind == "indirect"
    assert not edges.valence.k_point.any()
    assert edges.valence.degeneracy == 3
    assert edges.conduction.multiplicity == 6
    k = edges.conduction.k_point
    position = k @ np.linalg.inv(h.crystal.lattice).T
    sizes = np.sort(np.abs(position))
    assert sizes[:2] == pytest.approx([0, 0], abs=1e-6)
    assert 0.7 < sizes[2] * np.abs(h.crystal.lattice).max() * 2 < 1.0
    slope = velocities(h, solve(h, k[None]))[0, edges.conduction.band]
    assert np.abs(slope).max() < 1e-4
    # Nothing lies inside the gap, and nothing is closer vertically.
    fine = band_energies(h, irreducible_mesh((12, 12, 12)).points)
    occupied = h.n_occupied
    assert fine[:, occupied].min() >= edges.conduction.energy - 1e-9
    assert fine[:, occupied - 1].max() <= edges.valence.energy + 1e-9
    assert (fine[:, occupied] - fine[:, occupied - 1]).min() >= edges.direct_gap - 1e-9
    assert edges.gap < edges.direct_gap


def test_the_cell_and_the_mesh_do_not_matter():
    """Without symmetry: other axes, a supercell, and a finer mesh give the same edges."""
    h = random_hamiltonian(7, n_electrons=4.0)
    reference = find_band_edges(h, (6, 6, 6))
    matrix = np.array([[0, 1, 0], [1, 0, 1], [1, 0, 0]])
    for other in (
        find_band_edges(h, (7, 5, 8)),
        find_band_edges(in_other_axes(h, matrix), (6, 6, 6)),
        find_band_edges(doubled(h, 1), (6, 4, 6)),
    ):
        assert other.gap == pytest.approx(reference.gap, abs=1e-8)
        assert other.direct_gap == pytest.approx(reference.direct_gap, abs=1e-8) or (
            other.direct_gap < reference.direct_gap
        )
    fine = band_energies(h, irreducible_mesh((24, 24, 24)).points)
    assert fine[:, 2].min() >= reference.conduction.energy - 1e-9
    assert fine[:, 1].max() <= reference.valence.energy + 1e-9


def test_a_metal_is_refused():
    h = cosine_bands(ORTHORHOMBIC, [0.5, 0.3, 0.1], (0.5, -0.5))
    with pytest.raises(PhysicsError, match="metal"):
        find_band_edges(h, (4, 4, 4))


def test_interpolated_bands_are_exact_at_the_mesh_and_follow_symmetry():
    h = stored_hamiltonian("si_szv")
    symmetry = find_symmetry(h.crystal)
    bands = edge_interpolation(h, (6, 6, 6), symmetry)
    mesh = irreducible_mesh((6, 6, 6))
    first, last = bands.bands
    exact = band_energies(h, mesh.points)[:, first:last]
    assert bands.energies(mesh.points) == pytest.approx(exact, abs=1e-9)
    assert bands.n_models == irreducible_mesh((6, 6, 6), symmetry.rotations).n_points
    k = np.random.default_rng(0).uniform(-1, 1, (40, 3))
    exact = band_energies(h, k)[:, first:last]
    error = np.abs(bands.energies(k) - exact)
    assert np.median(error) < 0.02
    assert error.max() < 0.3
    for rotation in symmetry.rotations[::7]:
        turned = k @ np.linalg.inv(rotation)
        assert bands.energies(turned) == pytest.approx(bands.energies(k), abs=1e-6)


@pytest.mark.shared
def test_openmx_bands_gap_and_masses_of_antimony_selenide(shared_data):
    """PBE at the lattice of the file; its matrix elements are single precision."""
    path = shared_data / "hamiltonian" / "omx_sb2se3.npz"
    openmx = pytest.importorskip("elphant.models.hamiltonians.importers.openmx")
    if not path.is_file():
        pytest.skip("no stored OpenMX Hamiltonian")
    h = openmx.read_openmx_archive(path)
    with np.load(path) as data:
        k, stored = data["kpts"], data["bands"] * 27.2113845
    bands = band_energies(h, k)
    near = slice(h.n_occupied - 10, h.n_occupied + 10)
    assert np.abs(bands - stored)[:, near].max() < 5e-7
    assert np.abs(bands - stored).max() < 3e-5
    electron = inverse_mass(h, [0, 0, 0.3171064], h.n_occupied)
    hole = inverse_mass(h, [0, 0, 0.2051934], h.n_occupied - 1)
    assert electron.energy - hole.energy == pytest.approx(0.69776, abs=1e-5)
    axes = h.crystal.axis_directions
    assert [electron.along(a)[0] for a in axes] == pytest.approx([0.848, 0.1286, 0.358], rel=0.01)
    assert [-hole.along(a)[0] for a in axes] == pytest.approx([1.582, 1.098, 0.213], rel=0.01)

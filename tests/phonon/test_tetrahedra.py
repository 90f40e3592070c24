"""Linear tetrahedra against exact integrals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elphant.phonon.scattering.mesh import ReciprocalMesh
from elphant.phonon.scattering.tetrahedra import (
    TetrahedronCells,
    _high,
    _low,
    _middle,
    tetrahedra_of_cell,
)


def vertex_weights(e: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
    """Return the weights of the corners, (4, n), with the formula of each frequency."""
    columns = []
    for i, w in enumerate(omega):
        formula = _low if w < e[1, i] else _middle if w < e[2, i] else _high
        columns.append(formula(w[None], *(x[i : i + 1] for x in e)))
    return torch.cat(columns, dim=1)


def moments(corners: np.ndarray, omega: float, n: int = 200_000) -> np.ndarray:
    """Return the integrals of the barycentric coordinates over a thin shell, by sampling."""
    generator = np.random.default_rng(1)
    x = np.sort(generator.random((n, 3)), axis=1)
    barycentric = np.diff(np.concatenate([np.zeros((n, 1)), x, np.ones((n, 1))], axis=1), axis=1)
    energy = barycentric @ corners
    width = 0.02
    inside = np.abs(energy - omega) < width
    return barycentric[inside].sum(axis=0) / n / (2.0 * width)


@pytest.mark.parametrize("omega", [0.3, 0.8, 1.4, 2.1])
def test_vertex_weights_are_the_integrals_of_barycentric_coordinates(omega: float) -> None:
    corners = np.array([0.0, 0.6, 1.5, 2.4])
    weights = vertex_weights(torch.tensor(corners)[:, None], torch.tensor([omega]).double())
    assert weights[:, 0].numpy() == pytest.approx(moments(corners, omega), abs=0.02)


def test_weights_integrate_to_a_quarter_for_each_corner() -> None:
    corners = torch.tensor([0.1, 0.4, 1.1, 1.9], dtype=torch.float64)
    omega = torch.linspace(0.1, 1.9, 4_001, dtype=torch.float64)[1:-1]
    weights = vertex_weights(corners[:, None].expand(4, len(omega)), omega)
    integral = weights.sum(dim=1) * (omega[1] - omega[0])
    assert integral.numpy() == pytest.approx(np.full(4, 0.25), abs=1e-5)


def test_six_tetrahedra_fill_the_cell_and_share_the_shortest_diagonal() -> None:
    steps = np.array([[1.0, 0.1, 0.0], [0.2, 1.3, 0.0], [-0.7, -0.6, 1.1]])
    tetrahedra = tetrahedra_of_cell(steps)
    corners = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
    volumes = [abs(np.linalg.det(np.diff(corners[t], axis=0))) / 6.0 for t in tetrahedra]
    assert volumes == pytest.approx([1 / 6] * 6)
    first, last = corners[tetrahedra[0][0]], corners[tetrahedra[0][-1]]
    diagonals = [(a, 1 - a) for a in corners[:4]]
    lengths = [np.linalg.norm((b - a) @ steps) for a, b in diagonals]
    assert np.linalg.norm((last - first) @ steps) == pytest.approx(min(lengths))
    assert all(t[0] == tetrahedra[0][0] and t[-1] == tetrahedra[0][-1] for t in tetrahedra)


def test_density_of_states_equals_phonopys() -> None:
    """Same mesh, same cut of the cells: the density of a cosine band."""
    from phonopy.phonon.tetrahedron_method import TetrahedronMethod

    mesh = ReciprocalMesh.build((5, 6, 4), np.eye(3))
    lattice = np.eye(3)
    q = mesh.q_points
    energies = np.cos(2 * np.pi * q).sum(axis=1) + 0.3 * np.sin(2 * np.pi * q[:, 0])
    targets = np.array([-1.7, -0.4, 0.3, 1.9])
    cells = TetrahedronCells(mesh, lattice)
    slot = torch.arange(mesh.n_points)
    ours = cells.weights(
        torch.tensor(energies)[:, None], torch.tensor(targets), slot, mesh.n_points
    )[..., 0].T.numpy()
    method = TetrahedronMethod(np.linalg.inv(lattice).T / mesh.divisions)
    relative = np.array(method.tetrahedra)
    points = mesh.index(mesh.addresses[:, None, None] + relative[None])
    for point in range(0, mesh.n_points, 7):
        method.set_tetrahedra_omegas(energies[points[point]])
        method.run(targets, value="I")
        reference = np.array(method.get_integration_weight())
        assert ours[point] == pytest.approx(reference, rel=1e-9, abs=1e-12)

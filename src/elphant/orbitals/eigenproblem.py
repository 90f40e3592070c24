"""The generalised eigenproblem H(k) c = ε S(k) c, batched over k."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from elphant.errors import PhysicsError
from elphant.orbitals.hamiltonian import LocalOrbitalHamiltonian

Complex = NDArray[np.complex128]

#: k points solved at once: bounds the memory to about this many bytes per array.
BATCH_BYTES = 128e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EigenStates:
    """Eigenstates at k points, in the lattice gauge.

    Attributes
    ----------
    k_points : ndarray, (n_k, 3)
        In the reciprocal lattice of the cell.
    energies : ndarray, (n_k, n_bands) eV
        Ascending.
    coefficients : ndarray, (n_k, n_orbitals, n_bands)
        Columns c with c† S c = 1.
    """

    k_points: NDArray[np.float64]
    energies: NDArray[np.float64]
    coefficients: Complex


def solve(hamiltonian: LocalOrbitalHamiltonian, k_points: ArrayLike) -> EigenStates:
    """Return all eigenstates at ``k_points`` (n_k, 3), float64.

    Raises
    ------
    PhysicsError
        If S(k) is not positive definite.
    """
    k_points = np.atleast_2d(np.asarray(k_points, dtype=float))
    n = hamiltonian.n_orbitals
    energies = np.empty((len(k_points), n))
    coefficients = np.empty((len(k_points), n, n), dtype=np.complex128)
    for part in batches(len(k_points), n):
        energies[part], coefficients[part] = solve_matrices(*hamiltonian.at(k_points[part]))
    return EigenStates(k_points=k_points, energies=energies, coefficients=coefficients)


def band_energies(hamiltonian: LocalOrbitalHamiltonian, k_points: ArrayLike) -> NDArray[np.float64]:
    """Return band energies alone, (n_k, n_bands) eV; see :func:`solve`."""
    k_points = np.atleast_2d(np.asarray(k_points, dtype=float))
    parts = [
        _energies(*hamiltonian.at(k_points[part]))
        for part in batches(len(k_points), hamiltonian.n_orbitals)
    ]
    return np.concatenate(parts) if parts else np.empty((0, hamiltonian.n_orbitals))


def batches(n_k: int, n_orbitals: int) -> list[slice]:
    """Return slices of k points whose matrices together stay small."""
    size = max(1, int(BATCH_BYTES / (16 * n_orbitals**2)))
    return [slice(start, min(start + size, n_k)) for start in range(0, n_k, size)]


def solve_matrices(H: Complex, S: Complex) -> tuple[NDArray[np.float64], Complex]:
    r"""Return energies (n_k, n) and coefficients (n_k, n, n) of given matrices.

    Through the Cholesky factor S = L L†: eigenvectors u of L⁻¹ H L⁻† give c = L⁻† u.
    """
    reduced, factor = _reduced(H, S)
    values, vectors = torch.linalg.eigh(reduced)
    c = torch.linalg.solve_triangular(factor.mH, vectors, upper=True)
    return values.numpy(), c.numpy()


def _energies(H: Complex, S: Complex) -> NDArray[np.float64]:
    return np.asarray(torch.linalg.eigvalsh(_reduced(H, S)[0]).numpy())


def _reduced(H: Complex, S: Complex) -> tuple[torch.Tensor, torch.Tensor]:
    overlap = torch.tensor(np.ascontiguousarray(S))
    factor, failed = torch.linalg.cholesky_ex(overlap)
    if bool(failed.any()):
        smallest = float(torch.linalg.eigvalsh(overlap[failed != 0])[..., 0].min())
        raise PhysicsError(
            f"the overlap matrix is not positive definite: its smallest eigenvalue is "
            f"{smallest:.2e}.",
            "The orbitals are linearly dependent, S is cut off too early, or H and S belong to "
            "different files.",
            "Use a smaller basis or a larger cut-off, and check that the files match.",
        )
    half = torch.linalg.solve_triangular(factor, torch.tensor(np.ascontiguousarray(H)), upper=False)
    reduced = torch.linalg.solve_triangular(factor, half.mH, upper=False)
    return 0.5 * (reduced + reduced.mH), factor

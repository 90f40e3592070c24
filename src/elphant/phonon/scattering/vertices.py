r"""Matrix elements of phonon interactions: real-space contraction, Fourier sum, batched products.

With lattice-phase eigenvectors (periodic in the reciprocal lattice) and wave vectors that sum to a
reciprocal lattice vector,

.. math:: V_3(q l, q' l', q'' l'') = \sum \Phi_3\, \tilde e_{q l}\, \tilde e_{q' l'}\,
          \tilde e_{q'' l''}\, e^{i q' R_j + i q'' R_k} / \sqrt{m_i m_j m_k},

and likewise for four phonons (A. A. Maradudin and A. E. Fein, Phys. Rev. 128, 2589 (1962)). For a
fixed q, :math:`q'' = -q - q'`, so the phase is :math:`e^{i q'(R_j - R_k)} e^{-i q R_k}`: the sum
over clusters is a Fourier transform over :math:`R_j - R_k`, which is needed only modulo the mesh.
There are no frequency denominators inside.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elphant.phonon.scattering.mesh import ReciprocalMesh
from elphant.phonon.scattering.modes import MeshModes
from elphant.phonon.sparse_force_constants import SparseForceConstants

#: Bytes of the force constants that are folded for several points in one sparse product.
FOLDED_BYTES = 250e6

#: Bytes of the matrix elements of some bands that are computed at a time.
CACHE_BYTES = 1.5e6


def mass_weighted(
    clusters: SparseForceConstants, masses: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the blocks divided by the square roots of the masses, eV Å^-n amu^(-n/2)."""
    factor = 1.0 / np.sqrt(masses[clusters.atoms]).prod(axis=1)
    return np.asarray(clusters.blocks * factor.reshape(-1, *(1,) * clusters.order))


class ThirdOrderVertices:
    """Three-phonon matrix elements on one mesh.

    Parameters
    ----------
    clusters : SparseForceConstants
        Of third order.
    modes : MeshModes
    device : torch.device
    """

    def __init__(
        self, clusters: SparseForceConstants, modes: MeshModes, device: torch.device
    ) -> None:
        self._mesh, self.n_modes, self._device = modes.mesh, modes.n_modes, device
        self._eigenvectors = torch.from_numpy(np.array(modes.eigenvectors)).to(device)
        mesh, n = modes.mesh, modes.n_modes
        third_cells, third_cell = np.unique(clusters.cells[:, 1], axis=0, return_inverse=True)
        self._third_cells = third_cells
        # D = R_j - R_k modulo the mesh, on the smallest box of coordinates that holds all of them.
        offsets = np.mod(clusters.cells[:, 0] - clusters.cells[:, 1], mesh.divisions)
        box = [np.unique(offsets[:, axis], return_inverse=True) for axis in range(3)]
        self._box = tuple(len(values) for values, _ in box)
        (_, d_a), (_, d_b), (_, d_c) = box
        offset = (d_c * self._box[1] + d_b) * self._box[0] + d_a
        self._waves = [
            torch.from_numpy(np.exp(2j * np.pi * np.outer(np.arange(size), values) / size)).to(
                device
            )
            for (values, _), size in zip(box, mesh.divisions, strict=True)
        ]
        # Row (D, j b, k c, i a) of the sparse matrix, column R_k.
        legs = 3 * clusters.atoms[:, :, None] + np.arange(3)
        rows = (
            (offset.reshape(-1, 1, 1, 1) * n + legs[:, 1, None, :, None]) * n
            + legs[:, 2, None, None, :]
        ) * n + legs[:, 0, :, None, None]
        columns = np.broadcast_to(third_cell.reshape(-1, 1, 1, 1), rows.shape)
        values = mass_weighted(clusters, modes.masses)
        self._filled, position = _numbered(rows, int(np.prod(self._box)) * n**3)
        self._matrix = _sparse(
            position.ravel(), columns.ravel(), values.ravel(), (len(self._filled), len(third_cells))
        ).to(device)

    @property
    def points_per_batch(self) -> int:
        """How many points :meth:`real_space` should be asked for at a time."""
        return max(1, int(FOLDED_BYTES / (16 * np.prod(self._box) * self.n_modes**3)))

    def real_space(self, points: NDArray[np.int64]) -> Tensor:
        """Return ``sum_R_k Φ exp(-iq·R_k)`` for some points q: (n_points, n_D, n, n, n)."""
        phases = np.exp(-2j * np.pi * self._mesh.q_points[points] @ self._third_cells.T)
        columns = torch.from_numpy(np.concatenate([phases.real, phases.imag]).T.copy())
        product = self._matrix @ columns.to(self._device)
        n, n_points = self.n_modes, len(points)
        shape = (n_points, int(np.prod(self._box)), n, n, n)
        folded = torch.zeros(shape, dtype=torch.complex128, device=self._device)
        filled = torch.from_numpy(self._filled).to(self._device)
        values = torch.complex(product[:, :n_points], product[:, n_points:])
        folded.view(n_points, -1)[:, filled] = values.T
        return folded

    def squared(
        self,
        folded: Tensor,
        point: int,
        bands: slice,
        second: NDArray[np.int64],
        third: NDArray[np.int64],
    ) -> Tensor:
        """Return ``|V3|²``, (n_pairs, n, n_bands, n) eV² Å⁻⁶ amu⁻³: the modes of q', q and q''.

        Parameters
        ----------
        folded : tensor, (n_D, n, n, n)
            One entry of :meth:`real_space`.
        point : int
            Mesh index of q.
        bands : slice
            Bands at q.
        second, third : ndarray of int, (n_pairs,)
            Mesh indices of q' and q'' = -q - q'.
        """
        n, n_d, n_pairs = self.n_modes, folded.shape[0], len(second)
        wanted = range(n)[bands]
        e_second, e_third = self._eigenvectors[second].transpose(1, 2), self._eigenvectors[third]
        # (D, j, k, l), then (D, j, l, k): the legs that are left stand at either end, so that the
        # two products below take them away without any rearrangement.
        contracted = folded.reshape(n_d * n * n, n) @ self._eigenvectors[point][:, bands]
        contracted = contracted.reshape(n_d, n, n, len(wanted)).transpose(2, 3)
        result = torch.empty((n_pairs, n, len(wanted), n), dtype=torch.float64, device=self._device)
        # Few bands at a time, so that the arrays stay in the cache.
        step = max(1, int(CACHE_BYTES / (16 * n_pairs * n * n)))
        for start in range(0, len(wanted), step):
            some = slice(start, start + step)
            part = contracted[:, :, some]
            at_pairs = self._fourier(part.reshape(n_d, -1), second).reshape(n_pairs, n, -1)
            half = torch.bmm(e_second, at_pairs).reshape(n_pairs, -1, n)
            full = torch.bmm(half, e_third).reshape(n_pairs, n, -1, n)
            result[:, :, some] = (full.real * full.real).addcmul_(full.imag, full.imag)
        return result

    def _fourier(self, values: Tensor, points: NDArray[np.int64]) -> Tensor:
        """Return ``sum_D exp(iq'·D)`` of values (n_D, m) at some mesh points, (n_points, m).

        One axis of the mesh after the other; of the slowest one only the planes that are needed.
        Force constants reach over few cells, so that three products cost less than a fast
        transform of the whole mesh, in which most of the input would be zero.
        """
        box_a, box_b, box_c = self._box
        n_a, n_b, _ = (int(d) for d in self._mesh.divisions)
        plane = points // (n_a * n_b)
        planes, position = np.unique(plane, return_inverse=True)
        x = self._waves[2][planes] @ values.reshape(box_c, -1)
        x = torch.matmul(self._waves[1], x.reshape(len(planes), box_b, -1))
        x = torch.matmul(self._waves[0], x.reshape(len(planes) * n_b, box_a, -1))
        rows = position * (n_a * n_b) + points % (n_a * n_b)
        wanted = torch.from_numpy(rows).to(self._device)
        return x.reshape(len(planes) * n_b * n_a, -1).index_select(0, wanted)


class FourthOrderVertices:
    """Four-phonon matrix elements on one mesh.

    Parameters
    ----------
    clusters : SparseForceConstants
        Of fourth order.
    modes : MeshModes
    device : torch.device
    dtype : torch.dtype
        ``complex128`` or ``complex64``, of the products; phases are taken in double precision.
    """

    def __init__(
        self,
        clusters: SparseForceConstants,
        modes: MeshModes,
        device: torch.device,
        dtype: torch.dtype = torch.complex128,
    ) -> None:
        self._mesh, self.n_modes, self._device = modes.mesh, modes.n_modes, device
        self._eigenvectors = torch.from_numpy(np.array(modes.eigenvectors)).to(device, dtype)
        self._dtype, n = dtype, modes.n_modes
        cells, column = np.unique(
            clusters.cells.reshape(clusters.n_clusters, 9), axis=0, return_inverse=True
        )
        self._cells = cells.reshape(-1, 3, 3)
        # Row (j b, k c, m d, i a): the first leg, contracted first, runs fastest.
        legs = 3 * clusters.atoms[:, :, None] + np.arange(3)
        rows = (
            (legs[:, 1, None, :, None, None] * n + legs[:, 2, None, None, :, None]) * n
            + legs[:, 3, None, None, None, :]
        ) * n + legs[:, 0, :, None, None, None]
        self._filled, position = _numbered(rows, n**4)
        columns = np.broadcast_to(column.reshape(-1, 1, 1, 1, 1), rows.shape)
        values = mass_weighted(clusters, modes.masses)
        self._matrix = _sparse(
            position.ravel(), columns.ravel(), values.ravel(), (len(self._filled), len(cells))
        ).to(device)

    def cartesian(self, triples: NDArray[np.int64]) -> Tensor:
        """Return the Fourier sums between atoms, (n_triples, n³, n) eV Å⁻⁴ amu⁻².

        Parameters
        ----------
        triples : ndarray of int, (n_triples, 3)
            Mesh indices of the wave vectors of the three partners.
        """
        q_points = self._mesh.q_points[triples]  # (n_triples, leg, 3)
        phases = np.exp(2j * np.pi * np.einsum("cla,tla->ct", self._cells, q_points, optimize=True))
        columns = torch.from_numpy(np.concatenate([phases.real, phases.imag], axis=1))
        product = self._matrix @ columns.to(self._device)
        n, n_triples = self.n_modes, len(triples)
        result = torch.zeros((n_triples, n**4), dtype=self._dtype, device=self._device)
        filled = torch.from_numpy(self._filled).to(self._device)
        values = torch.complex(product[:, :n_triples], product[:, n_triples:]).to(self._dtype)
        result[:, filled] = values.T
        return result.reshape(n_triples, n**3, n)

    def squared(
        self, cartesian: Tensor, point: int, bands: slice, triples: NDArray[np.int64]
    ) -> Tensor:
        """Return ``|V4|²``, (n_triples, n, n, n, n_bands) eV² Å⁻⁸ amu⁻⁴, double precision.

        The axes are the modes of the three partners and of the first leg. Each product takes the
        last index away and puts the new one in front, so that no array is ever rearranged.
        """
        n, e = self.n_modes, self._eigenvectors
        n_triples = len(triples)
        first = e[point][:, bands].T.expand(n_triples, -1, -1)
        x = torch.bmm(first, cartesian.transpose(1, 2))
        for leg in (2, 1, 0):
            vectors = e[triples[:, leg]].transpose(1, 2)
            x = torch.bmm(vectors, x.reshape(n_triples, -1, n).transpose(1, 2))
        x = x.reshape(n_triples, n, n, n, first.shape[1])
        return (x.real**2 + x.imag**2).to(torch.float64)


def _numbered(rows: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct values below ``size`` and which of them each entry is."""
    occurs = np.zeros(size, dtype=bool)
    occurs[rows] = True
    number = np.cumsum(occurs) - 1
    return np.flatnonzero(occurs), number[rows]


def _sparse(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float64],
    shape: tuple[int, int],
) -> Tensor:
    """Return a CSR tensor; entries with equal indices add up."""
    from scipy.sparse import coo_array

    matrix = coo_array((values, (rows, columns)), shape=shape).tocsr()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    with warnings.catch_warnings():
        # torch calls its sparse matrices a beta feature whenever one is made.
        warnings.simplefilter("ignore")
        return _csr_tensor(matrix, shape)


def _csr_tensor(matrix: Any, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data),
        size=shape,
        dtype=torch.float64,
    )


def third_point(mesh: ReciprocalMesh, first: int, second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the mesh indices of ``-q - q'``."""
    addresses = mesh.addresses
    return mesh.index(-addresses[first] - addresses[second])

r"""Sums over reciprocal lattice vectors between all pairs of atoms, for many wave vectors at once.

.. math:: T_{c, a\kappa}(q) = \sum_G F_c(q + G)\, e^{i (q + G) \cdot (\tau_a - \tau_\kappa)}

with real F. Everything long-ranged is made of them: dipole forces between atoms and potentials of
dipoles at atoms differ only in F. Because F does not depend on the atoms, all wave vectors, pairs
and components together are one real matrix product; because F is real, T is Hermitian in the atoms
and half of the pairs suffices. Where there are too many pairs for a table (a supercell, at few wave
vectors) each component is a product of plane waves instead.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

#: Bytes of the table of plane waves at all pairs.
TABLE_BYTES = 256e6

#: Two wave vectors whose lengths differ by less than this share (relative) are equally short.
TIE = 1e-9


class PlaneWaveSums:
    """Sums over a fixed set of reciprocal lattice vectors.

    Parameters
    ----------
    crystal : Crystal
    waves : ndarray of int, (n_G, 3)
        The vectors G in the reciprocal lattice of the cell.
    """

    def __init__(self, crystal: Crystal, waves: Integers) -> None:
        self._fractional = crystal.fractional
        self._reciprocal = 2.0 * np.pi * np.linalg.inv(crystal.lattice).T
        self._G = waves @ self._reciprocal
        self._first, self._second = np.triu_indices(crystal.n_atoms)
        self._waves = np.exp(2j * np.pi * (waves @ crystal.fractional.T))
        self._table: Array | None = None
        if 16 * len(waves) * len(self._first) < TABLE_BYTES:
            pairs = self._waves[:, self._first] * self._waves[:, self._second].conj()
            self._table = np.hstack([pairs.real, pairs.imag])

    def bytes_per_point(self, n_components: int) -> int:
        """Return the memory that one wave vector takes in :meth:`__call__`."""
        n_atoms, n_waves = len(self._fractional), len(self._G)
        return 8 * n_waves * (n_components + 6) + 48 * n_components * n_atoms**2

    def wave_vectors(self, q_points: Array) -> Array:
        """Return Q = q + G of all terms, (n_q, n_G, 3) Å⁻¹, Cartesian, 2π included."""
        return np.asarray((q_points @ self._reciprocal)[:, None] + self._G)

    def __call__(self, q_points: Array, factors: Array) -> Complex:
        """Return T, (n_q, n_components, n_atoms, n_atoms).

        Parameters
        ----------
        q_points : ndarray, (n_q, 3)
        factors : ndarray, (n_q, n_components, n_G)
            F at the vectors of :meth:`wave_vectors`.
        """
        n_q, n_components, n_waves = factors.shape
        n_atoms, n_pairs = len(self._fractional), len(self._first)
        result = np.empty((n_q, n_components, n_atoms, n_atoms), dtype=np.complex128)
        if self._table is None:
            for place in np.ndindex(n_q, n_components):
                weighted = self._waves.conj() * factors[place][:, None]
                result[place] = self._waves.T @ weighted
        else:
            both = (factors.reshape(-1, n_waves) @ self._table).reshape(n_q, n_components, -1)
            pairs = both[..., :n_pairs] + 1j * both[..., n_pairs:]
            result[:, :, self._second, self._first] = pairs.conj()
            result[:, :, self._first, self._second] = pairs
        phase = np.exp(2j * np.pi * (q_points @ self._fractional.T))[:, None]
        result *= phase[..., :, None]
        result *= phase.conj()[..., None, :]
        return result


def shortest_images(q_points: Array, crystal: Crystal) -> Array:
    """Return the image of each wave vector (n_q, 3) that lies in the first Brillouin zone.

    Of images on opposite faces always the same one is taken, whichever was given.
    """
    reciprocal = np.linalg.inv(crystal.lattice).T
    q = q_points - np.rint(q_points)
    # Rounding has to send equal points to equal images: -1/2 is +1/2.
    q = np.where(np.abs(q + 0.5) < TIE, 0.5, q)
    around = np.array(list(product((0, 1, -1), repeat=3)), dtype=float)
    candidates = q[:, None] + around
    length = np.linalg.norm(candidates @ reciprocal, axis=2)
    near = length < length.min(axis=1, keepdims=True) * (1.0 + TIE) + TIE
    # Ties go to the candidate whose coordinates are largest, in turn.
    rounded = np.rint(candidates / TIE)
    for axis in range(3):
        value = np.where(near, rounded[..., axis], -np.inf)
        near &= value > value.max(axis=1, keepdims=True) - 10.0
    return np.asarray(candidates[np.arange(len(q)), near.argmax(axis=1)])

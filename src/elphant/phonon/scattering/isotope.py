r"""Scattering of phonons by the mass disorder of isotopes.

.. math::
   \frac{1}{\tau_\lambda} = \frac{\pi}{2 N} \sum_{\lambda'} \omega \omega'
   \sum_k g_k |\mathbf e_{\lambda k}^* \cdot \mathbf e_{\lambda' k}|^2 \, \delta(\omega - \omega'),
   \qquad g_k = \sum_i f_i (1 - m_i / \bar m_k)^2

(S. Tamura, Phys. Rev. B 27, 858 (1983), Eq. 12). With K the matrix under the sum, the collision
operator gets the equilibrium rates :math:`W = \sqrt{n(n+1)}\, K \sqrt{n'(n'+1)}`: in the variable
:math:`\sqrt{n(n+1)}\, g` it is the Laplacian :math:`\sum K - K` of a graph, positive semidefinite
for any width, and the rate does not depend on temperature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.modes import MeshModes
from elphant.phonon.scattering.occupation import half_sinh
from elphant.phonon.scattering.tetrahedra import TetrahedronCells

Array = NDArray[np.float64]

#: The frequency looked for is a corner of its own tetrahedra, and equivalent points have equal
#: frequencies: whole tetrahedra can be flat at it. The limit from above, as in phono3py, does not
#: depend on rounding.
_ABOVE = 1e-9


class IsotopeScattering:
    """Isotope scattering on one mesh.

    Parameters
    ----------
    modes : MeshModes
    mass_variances : array, (n_atoms,)
        ``g_k`` of each atom of the primitive cell.
    broadening : Broadening
        With tetrahedra the rate is the one with ``ω²`` in place of ``ωω'``, equal on the shell.

    Notes
    -----
    Delta functions are averaged over degenerate bands of the partner, and rates over those of the
    mode itself, so that nothing depends on the basis inside a degenerate set.
    """

    def __init__(self, modes: MeshModes, mass_variances: ArrayLike, broadening: Broadening) -> None:
        self.modes, self.broadening = modes, broadening
        self.mass_variances = checked_array("mass_variances", mass_variances, (len(modes.masses),))
        self._cells: TetrahedronCells | None = None
        self._squares: Array | None = None
        if broadening.kind == "tetrahedron":
            self._cells = TetrahedronCells(modes.mesh, modes.lattice)
        elif broadening.kind == "adaptive":
            self._squares = modes.widths(broadening.scale) ** 2
        ids = modes.degenerate_ids
        self._has_degenerate = bool((ids != np.arange(modes.n_modes)).any())
        self._means = modes.set_means

    def strengths(self, point: int) -> Array:
        r"""Return K between the modes at a point and all modes, (n_modes, n_points, n_modes) ps⁻¹.

        The rate is the sum over the partners.
        """
        modes = self.modes
        n, n_points = modes.n_modes, modes.mesh.n_points
        vectors = modes.eigenvectors.reshape(n_points, -1, 3, n)
        overlap = np.zeros((n, n_points, n))
        for atom, variance in enumerate(self.mass_variances):
            if variance > 0.0:
                product = np.tensordot(vectors[point, atom].conj(), vectors[:, atom], (0, 1))
                overlap += variance * (product.real**2 + product.imag**2)
        density = self._density(point)
        if self._has_degenerate:
            means = self._means[modes.mesh.representative]
            density = np.einsum("lqs,qst->lqt", density, means, optimize=True)
        frequencies = modes.frequencies
        own = frequencies[point][:, None, None]
        partner = own if self._cells is not None else frequencies
        moving = (own > 0.0) & (frequencies > 0.0)
        # (π/2N) ω ω' δ(ω) with ω = 2πν and δ(ω) = δ(ν)/2π.
        factor = math.pi**2 / n_points * own * partner * moving
        return np.asarray(factor * overlap * density)

    def rates(self, points: Sequence[int] | None = None) -> Array:
        """Return rates of irreducible points (mesh indices; default all), (n_given, n) ps⁻¹."""
        irreducible = self.modes.mesh.irreducible
        chosen = irreducible if points is None else np.asarray(points, dtype=np.int64)
        result = np.zeros((len(chosen), self.modes.n_modes))
        for i, point in enumerate(chosen):
            position = int(np.searchsorted(irreducible, point))
            result[i] = self._means[position] @ self.strengths(int(point)).sum(axis=(1, 2))
        return result

    def row(self, point: int, temperatures: Sequence[float]) -> tuple[Array, Array]:
        """Return the rates and the row of the collision operator of one irreducible point.

        Parameters
        ----------
        point : int
            Mesh index.
        temperatures : sequence of float, K

        Returns
        -------
        rates : ndarray, (n_modes,) ps⁻¹
        collision : ndarray, (n_t, n_modes, n_points, n_modes) ps⁻¹
            To be added to the rows of the other processes, with the same sign convention. The
            partner is emitted at its own wave vector, so that all elements are negative.
        """
        strengths = self.strengths(point)
        position = int(np.searchsorted(self.modes.mesh.irreducible, point))
        rates = self._means[position] @ strengths.sum(axis=(1, 2))
        frequencies = torch.from_numpy(np.array(self.modes.frequencies))
        thermal = np.array([half_sinh(frequencies, t).numpy() for t in temperatures])
        collision = -thermal[:, point, :, None, None] * strengths * thermal[:, None]
        return rates, collision

    def _density(self, point: int) -> Array:
        """Return ``δ(ν - ν')``, (n_modes, n_points, n_modes) in 1/THz."""
        frequencies = self.modes.frequencies
        n_points = self.modes.mesh.n_points
        if self._cells is not None:
            energies = torch.from_numpy(np.array(frequencies))
            targets = energies[point] * (1.0 + _ABOVE)
            weights = self._cells.weights(energies, targets, torch.arange(n_points), n_points)
            return np.asarray(weights.numpy())
        if self._squares is None:
            assert self.broadening.sigma_thz is not None
            inverse = np.array(1.0 / self.broadening.sigma_thz)
        else:
            inverse = 1.0 / np.sqrt(self._squares[point][:, None, None] + self._squares)
        x = (frequencies[point][:, None, None] - frequencies) * inverse
        inside = np.abs(x) <= self.broadening.window
        density = np.exp(-0.5 * x * x) * inside * inverse
        return np.asarray(self.broadening.gaussian_prefactor * density)


def isotope_rates(modes: MeshModes, mass_variances: ArrayLike, broadening: Broadening) -> Array:
    """Return the isotope rates of all irreducible points, (n_irreducible, n_modes) ps⁻¹.

    See :class:`IsotopeScattering`.
    """
    return IsotopeScattering(modes, mass_variances, broadening).rates()

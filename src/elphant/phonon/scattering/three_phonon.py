r"""Three-phonon scattering: rates and rows of the collision operator.

With all modes annihilated, :math:`q + q' + q'' = G`, one :math:`|V_3|^2` serves every process of a
triplet (A. A. Maradudin and A. E. Fein, Phys. Rev. 128, 2589 (1962)):

.. math::
   \frac{1}{\tau_\lambda} = \frac{\pi\hbar}{4 N} \sum_{\lambda'\lambda''}
   \frac{|V_3|^2}{\omega\omega'\omega''} \Big[ (n' - n'')\, \delta(\omega + \omega' - \omega'')
   + \tfrac12 (1 + n' + n'')\, \delta(\omega - \omega' - \omega'') \Big].

The collision operator needs the equilibrium rate of each process, symmetric in its modes,

.. math:: W = \frac{\pi\hbar}{4N} \frac{|V_3|^2}{\omega\omega'\omega''}
          \prod_i \frac{1}{2\sinh(\hbar\omega_i / 2 k_B T)}\, \delta,

which equals the products of occupations on the energy shell. With Gaussians the rates are taken
from W as well, :math:`1/\tau = \sum W / n(n+1)`, so that the operator is positive semidefinite;
with tetrahedra the first form is used, so that the sum is the one of phono3py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.mesh import ReciprocalMesh
from elphant.phonon.scattering.modes import MeshModes
from elphant.phonon.scattering.occupation import bose, half_sinh
from elphant.phonon.scattering.tetrahedra import TetrahedronCells
from elphant.phonon.scattering.vertices import ThirdOrderVertices, third_point
from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.units import THREE_PHONON_RATE

Array = NDArray[np.float64]

#: Signs of the two partners: emission of both, absorption of the first, absorption of the second.
PATTERNS = ((-1, -1), (1, -1), (-1, 1))

#: Bytes of one chunk of first-leg bands.
CHUNK_BYTES = 100e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScatteringRow:
    """Scattering of the modes at one irreducible point.

    Attributes
    ----------
    rates : ndarray, (n_t, 2, n_modes) ps⁻¹
        Emission and absorption.
    collision : ndarray, (n_t, n_modes, n_points, n_modes) ps⁻¹, or None
        Off-diagonal equilibrium rates between the modes here and all modes of the mesh, for
        vector fields (odd in q); to be projected by the little group of the point.
    """

    rates: Array
    collision: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartnerPairs:
    """Pairs (q', q'') with q + q' + q'' = G, one of each orbit of little group and exchange.

    Attributes
    ----------
    second, third : ndarray of int, (n_pairs,)
    multiplicity : ndarray of int, (n_pairs,)
        Ordered pairs of the mesh that each one stands for.
    """

    second: NDArray[np.int64]
    third: NDArray[np.int64]
    multiplicity: NDArray[np.int64]

    @classmethod
    def of(cls, mesh: ReciprocalMesh, point: int) -> PartnerPairs:
        """Return the pairs of a point."""
        points = np.arange(mesh.n_points)
        first = mesh.orbits(point)
        partner = third_point(mesh, point, points)
        key = np.minimum(first, first[partner])
        multiplicity = np.bincount(key, minlength=mesh.n_points)
        second = np.flatnonzero(multiplicity)
        return cls(second=second, third=partner[second], multiplicity=multiplicity[second])


class ThreePhononScattering:
    """Three-phonon scattering on one mesh.

    Parameters
    ----------
    clusters : SparseForceConstants
        Of third order.
    modes : MeshModes
    broadening : Broadening
    device : torch.device, optional
    """

    def __init__(
        self,
        clusters: SparseForceConstants,
        modes: MeshModes,
        broadening: Broadening,
        device: torch.device | None = None,
    ) -> None:
        self.modes, self.broadening = modes, broadening
        self._device = device or torch.device("cpu")
        self._vertices = ThirdOrderVertices(clusters, modes, self._device)
        self._frequencies = torch.from_numpy(np.array(modes.frequencies)).to(self._device)
        self._widths: Tensor | None = None
        self._cells: TetrahedronCells | None = None
        if broadening.kind == "tetrahedron":
            self._cells = TetrahedronCells(modes.mesh, modes.lattice)
            self._set_means = torch.from_numpy(modes.set_means).to(self._device)
            self._has_sets = (modes.degenerate_ids != np.arange(modes.n_modes)).any(axis=1)
        elif broadening.kind == "adaptive":
            self._widths = torch.from_numpy(modes.widths(broadening.scale)).to(self._device)

    def rows(
        self,
        points: Sequence[int],
        temperatures: Sequence[float],
        *,
        collision: bool,
        scalar_fields: bool = False,
    ) -> list[ScatteringRow]:
        """Return the scattering of some irreducible points.

        Parameters
        ----------
        points : sequence of int
            Mesh indices.
        temperatures : sequence of float, K
        collision : bool
            Also return the rows of the collision operator.
        scalar_fields : bool
            Rows for fields that are even in q, such as the energy, instead of vector fields.
        """
        result = []
        size = self._vertices.points_per_batch
        for start in range(0, len(points), size):
            batch = np.array(points[start : start + size])
            folded = self._vertices.real_space(batch)
            for i, point in enumerate(batch):
                row = self._row(folded[i], int(point), temperatures, collision, scalar_fields)
                result.append(row)
        return result

    def _row(
        self,
        folded: Tensor,
        point: int,
        temperatures: Sequence[float],
        collision: bool,
        scalar_fields: bool,
    ) -> ScatteringRow:
        modes, n = self.modes, self.modes.n_modes
        pairs = PartnerPairs.of(modes.mesh, point)
        rates = np.zeros((len(temperatures), 2, n))
        rows = np.zeros((len(temperatures), n, modes.mesh.n_points, n)) if collision else None
        # A vector field at the mode that is emitted has the opposite sign, so that both partners
        # enter alike; a scalar field keeps the sign of the partner.
        signs = np.array(PATTERNS, dtype=float).T if scalar_fields else np.ones((2, 3))
        per_band = 16 * n * n * (len(pairs.second) * 6 + modes.mesh.n_points * 2)
        step = max(1, min(n, int(CHUNK_BYTES / per_band)))
        for start in range(0, n, step):
            bands = slice(start, min(n, start + step))
            strengths = self._strengths(folded, point, bands, pairs)
            for t, temperature in enumerate(temperatures):
                rates[t, :, bands] = self._rates(strengths, point, bands, pairs, temperature)
                if rows is not None:
                    parts = self._rows(strengths, point, bands, pairs, temperature, signs)
                    for target, values in zip((pairs.second, pairs.third), parts, strict=True):
                        np.add.at(rows[t, bands].transpose(1, 0, 2), target, values)
        return ScatteringRow(rates=rates, collision=rows)

    def _strengths(self, folded: Tensor, point: int, bands: slice, pairs: PartnerPairs) -> Tensor:
        """Return ``W`` without the thermal factors, (3 patterns, n_pairs, n', n_bands, n'') ps⁻¹.

        Summed over the ordered pairs of each orbit, without the half of the ordered sum.
        """
        squared = self._vertices.squared(folded, point, bands, pairs.second, pairs.third)
        weights = self._delta(point, bands, pairs)
        frequencies = self._frequencies
        inverse = torch.where(frequencies > 0.0, 1.0 / frequencies, 0.0)
        multiplicity = torch.from_numpy(pairs.multiplicity.astype(float)).to(self._device)
        scale = THREE_PHONON_RATE / (self.modes.mesh.n_points * (2.0 * math.pi) ** 4)
        partners = scale * multiplicity[:, None] * inverse[pairs.second]
        rest = inverse[point, bands][:, None] * inverse[pairs.third][:, None, :]
        squared *= partners[:, :, None, None]
        squared *= rest[:, None]
        weights *= squared
        return weights

    def _delta(self, point: int, bands: slice, pairs: PartnerPairs) -> Tensor:
        """Return delta functions in 1/THz, (3 patterns, n_pairs, n', n_bands, n'')."""
        if self._cells is not None:
            return self._tetrahedra(point, bands, pairs)
        first, second, third = (
            self._frequencies[point, bands], self._frequencies[pairs.second],
            self._frequencies[pairs.third],
        )  # fmt: skip
        limit = self.broadening.window**2
        if self._widths is None:
            assert self.broadening.sigma_thz is not None
            sigma = torch.full_like(self._frequencies, self.broadening.sigma_thz / math.sqrt(3.0))
        else:
            sigma = self._widths
        squares = limit * sigma**2
        own = squares[point, bands][:, None] + squares[pairs.third][:, None, :]
        variance = squares[pairs.second][:, :, None, None] + own[:, None]
        result = torch.zeros((3, *variance.shape), dtype=torch.float64, device=self._device)
        prefactor = self.broadening.gaussian_prefactor * self.broadening.window
        flat_variance = variance.view(-1)
        for pattern, (s2, s3) in zip(result, PATTERNS, strict=True):
            rest = first[:, None] + s3 * third[:, None, :]
            x = (s2 * second)[:, :, None, None] + rest[:, None]
            x *= x
            inside = torch.nonzero((x < variance).view(-1)).ravel()
            chosen = flat_variance[inside]
            values = torch.exp(-0.5 * limit * x.view(-1)[inside] / chosen) * chosen.rsqrt()
            pattern.view(-1)[inside] = prefactor * values
        return result

    def _tetrahedra(self, point: int, bands: slice, pairs: PartnerPairs) -> Tensor:
        assert self._cells is not None
        frequencies, n = self._frequencies, self.modes.n_modes
        mesh, n_pairs = self.modes.mesh, len(pairs.second)
        partner = frequencies[third_point(mesh, point, np.arange(mesh.n_points))]
        slot = torch.full((mesh.n_points,), -1, dtype=torch.int64, device=self._device)
        numbers = torch.arange(n_pairs, device=self._device)
        slot[torch.from_numpy(pairs.second).to(self._device)] = numbers
        first = frequencies[point, bands]
        sums = (frequencies[:, :, None] + partner[:, None, :]).reshape(-1, n * n)
        differences = (frequencies[:, :, None] - partner[:, None, :]).reshape(-1, n * n)
        # Offsets of (pattern, pair, n', band, n''), behind an element for unwanted points.
        n_bands = len(first)
        per_pair = n * n_bands * n
        result = torch.zeros(3 * n_pairs * per_pair + 1, dtype=torch.float64, device=self._device)
        band = torch.arange(n_bands, device=self._device) * n
        modes = torch.arange(n, device=self._device)
        both = (modes[:, None] * (n_bands * n) + modes).reshape(-1)
        absorbed = torch.cat([band + n_pairs * per_pair, band + 2 * n_pairs * per_pair])
        jobs = [
            (sums, first, band, both),
            (differences, torch.cat([-first, first]), absorbed, both),
        ]
        self._cells.add_weights(jobs, slot, per_pair, result)
        weights = result[1:].reshape(3, n_pairs, n, n_bands, n)
        self._average_sets(weights, pairs)
        return weights

    def _average_sets(self, weights: Tensor, pairs: PartnerPairs) -> None:
        """Average weights over degenerate bands of the partners, in place.

        Bands that meet at a point part at its neighbours, so that their weights differ; the matrix
        elements depend on the choice of vectors, and only the mean weight times their sum does not.
        """
        rows, n = self.modes.mesh.representative, self.modes.n_modes
        for points, is_second in ((pairs.second, True), (pairs.third, False)):
            chosen = np.flatnonzero(self._has_sets[rows[points]])
            if not len(chosen):
                continue
            # The matrices of means are symmetric.
            means = self._set_means[rows[points[chosen]]]
            part = weights[:, chosen]
            if is_second:
                product = torch.matmul(means, part.reshape(3, len(chosen), n, -1))
            else:
                product = torch.matmul(part.reshape(3, len(chosen), -1, n), means)
            weights[:, chosen] = product.reshape(part.shape)

    def _rates(
        self,
        strengths: Tensor,
        point: int,
        bands: slice,
        pairs: PartnerPairs,
        temperature: float,
    ) -> Array:
        """Return rates of emission and absorption, (2, n_bands) ps⁻¹."""
        if self._cells is not None:
            occupation = bose(self._frequencies, temperature)
            n2, n3 = occupation[pairs.second], occupation[pairs.third]
            # Sums over one partner's modes leave one factor n each.
            # A product with ones is faster than a sum over so short an axis.
            to_second = strengths @ strengths.new_ones(strengths.shape[4])
            to_third = strengths.sum(dim=2)
            by_second = torch.einsum("cpib,pi->cb", to_second, n2)
            by_third = torch.einsum("cpbk,pk->cb", to_third, n3)
            emitted = to_second[0].sum(dim=(0, 1)) + by_second[0] + by_third[0]
            absorbed = by_second[1] - by_second[2] - by_third[1] + by_third[2]
            sums = torch.stack([emitted, absorbed])
        else:
            a = half_sinh(self._frequencies, temperature)
            a1, a2, a3 = a[point, bands], a[pairs.second], a[pairs.third]
            over_third = torch.matmul(strengths, a3[None, :, None, :, None])[..., 0]
            by_pattern = torch.einsum("cpib,pi->cb", over_third, a2)
            # W / n(n+1) with n(n+1) = a², so one factor 1/a remains.
            by_pattern *= torch.where(a1 > 0.0, 1.0 / a1, 0.0)
            sums = torch.stack([by_pattern[0], by_pattern[1] + by_pattern[2]])
        return np.asarray((0.5 * sums).cpu().numpy())

    def _rows(
        self,
        strengths: Tensor,
        point: int,
        bands: slice,
        pairs: PartnerPairs,
        temperature: float,
        signs: Array,
    ) -> tuple[Array, Array]:
        """Return what the modes of q' and of q'' get, (n_pairs, n_bands, n) ps⁻¹ each."""
        a = half_sinh(self._frequencies, temperature)
        a1, a2, a3 = a[point, bands], a[pairs.second], a[pairs.third]
        weights = torch.from_numpy(signs).to(self._device)
        first, second = (torch.tensordot(weight, strengths, dims=1) for weight in weights)
        # Half of the ordered pairs of an orbit have either partner first.
        own = 0.5 * a1
        to_second = torch.matmul(first, a3[:, None, :, None])[..., 0]  # (pairs, n', bands)
        to_second *= a2[:, :, None] * own
        to_third = torch.einsum("pibk,pi->pbk", second, a2)
        to_third *= a3[:, None, :] * own[:, None]
        return to_second.transpose(1, 2).cpu().numpy(), to_third.cpu().numpy()

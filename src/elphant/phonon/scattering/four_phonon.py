r"""Four-phonon scattering: exact sums and cluster sampling, rates and rows of the operator.

With all modes annihilated, :math:`q + q' + q'' + q''' = G`, one :math:`|V_4|^2` serves the three
channels of a quartet (T. Feng and X. Ruan, Phys. Rev. B 93, 045202 (2016)):

.. math::
   n (n + 1) \frac{1}{\tau_\lambda} = \frac{\pi\hbar^2}{8 N^2}\, \frac16
   \sum_{\lambda'\lambda''\lambda'''} \sum_{s} \frac{|V_4|^2}{\omega\omega'\omega''\omega'''}
   \prod_i \frac{1}{2 \sinh(\hbar\omega_i / 2 k_B T)}\,
   \delta(\omega + s'\omega' + s''\omega'' + s'''\omega'''),

where the sum over signs leaves out (+++). On the energy shell the product of hyperbolic sines
equals the products of occupations of that paper; off the shell, where a finite width reaches, it
keeps every term positive and symmetric, so that the collision operator is positive semidefinite.

Processes that emit a partner of the degenerate set of the first mode, at its own wave vector,
change nothing and are left out.
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
from elphant.phonon.scattering.occupation import half_sinh
from elphant.phonon.scattering.vertices import FourthOrderVertices
from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.units import FOUR_PHONON_RATE

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Signs of the partners in each channel.
CHANNELS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "recombination": ((1, 1, -1), (1, -1, 1), (-1, 1, 1)),
    "redistribution": ((1, -1, -1), (-1, 1, -1), (-1, -1, 1)),
    "splitting": ((-1, -1, -1),),
}

#: Bytes of the largest temporary array.
CHUNK_BYTES = 30e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FourPhononDraws:
    """What a set of drawn pairs (q', q'') contributes to the modes at one irreducible point.

    Every array holds one entry per drawn pair, in the order of the draws; a mean over draws times
    the size of the population estimates the sum. No process is stored.

    Attributes
    ----------
    weighted : ndarray, (n_draws, n_t, n_channels, n_modes) ps⁻¹
        Contribution to ``1/tau``.
    phase_space : ndarray, (n_draws, n_t, n_channels, n_modes)
        The same sum with ``|V|² = 1``: the auxiliary variable of the ratio estimator.
    collision : ndarray, (n_t, n_modes, n_points, n_modes) ps⁻¹, or None
        Off-diagonal rates summed over the draws with the weights given to :meth:`draws`.
    """

    weighted: Array
    phase_space: Array
    collision: Array | None = None


def partner_triples(mesh: ReciprocalMesh, point: int, pairs: Integers) -> tuple[Integers, Integers]:
    """Reduce pairs (q', q'') by the little group of q and the exchange of the three partners.

    Parameters
    ----------
    pairs : ndarray of int, (n,)
        Ordered pairs as ``index(q') * n_points + index(q'')``.

    Returns
    -------
    triples : ndarray of int, (n_distinct, 3)
        Mesh indices of q', q'' and q''' of one representative per orbit.
    orbit : ndarray of int, (n,)
        Which of them each pair belongs to.
    """
    n = mesh.n_points
    addresses = mesh.addresses
    second, third = pairs // n, pairs % n
    fourth = mesh.index(-addresses[point] - addresses[second] - addresses[third])
    triple = np.stack([second, third, fourth])
    best = np.full(len(pairs), np.iinfo(np.int64).max)
    for operation in mesh.little_group(point):
        image = np.sort(mesh.images[operation][triple], axis=0)
        best = np.minimum(best, image[0] * n + image[1])
    keys, orbit = np.unique(best, return_inverse=True)
    second, third = keys // n, keys % n
    fourth = mesh.index(-addresses[point] - addresses[second] - addresses[third])
    return np.stack([second, third, fourth], axis=1), orbit


class FourPhononScattering:
    """Four-phonon scattering on one mesh.

    Parameters
    ----------
    clusters : SparseForceConstants
        Of fourth order.
    modes : MeshModes
    broadening : Broadening
        ``adaptive`` or ``gaussian``.
    device : torch.device, optional
    single_precision : bool
        Multiply the matrix elements in single precision: twice as fast, relative error of a rate
        about 1e-6. Frequencies, weights and sums stay in double precision.
    """

    def __init__(
        self,
        clusters: SparseForceConstants,
        modes: MeshModes,
        broadening: Broadening,
        device: torch.device | None = None,
        *,
        single_precision: bool = False,
    ) -> None:
        if broadening.kind == "tetrahedron":
            raise ValueError("four-phonon scattering has no tetrahedra; use a Gaussian")
        self.modes, self.broadening = modes, broadening
        self._device = device or torch.device("cpu")
        dtype = torch.complex64 if single_precision else torch.complex128
        self._vertices = FourthOrderVertices(clusters, modes, self._device, dtype)
        self._frequencies = torch.from_numpy(np.array(modes.frequencies)).to(self._device)
        self._widths = torch.from_numpy(mode_widths(modes, broadening)).to(self._device)
        self._ids = torch.from_numpy(np.array(modes.degenerate_ids)).to(self._device)
        self._negatives = modes.mesh.negatives

    @property
    def n_pairs(self) -> int:
        """Size of the population of pairs (q', q'') of each point."""
        return self.modes.mesh.n_points**2

    def draws(
        self,
        point: int,
        pairs: Integers,
        temperatures: Sequence[float],
        *,
        collision_weights: Array | None = None,
        scalar_fields: bool = False,
    ) -> FourPhononDraws:
        """Return the contributions of some pairs.

        Parameters
        ----------
        point : int
            Mesh index of q, an irreducible point.
        pairs : ndarray of int, (n_draws,)
            ``index(q') * n_points + index(q'')``.
        temperatures : sequence of float, K
        collision_weights : ndarray, (n_draws,), optional
            Asks for rows of the collision operator and says with which weight each pair enters.
        scalar_fields : bool
            Rows for fields that are even in q, such as the energy, instead of vector fields.
        """
        n, n_t = self.modes.n_modes, len(temperatures)
        triples, orbit = partner_triples(self.modes.mesh, point, np.asarray(pairs))
        weighted = np.zeros((len(triples), n_t, len(CHANNELS), n))
        phase_space = np.zeros_like(weighted)
        rows: Array | None = None
        row_weights: Array = np.zeros(len(triples))
        if collision_weights is not None:
            rows = np.zeros((n_t, n, self.modes.mesh.n_points, n))
            row_weights = np.asarray(
                np.bincount(orbit, weights=collision_weights, minlength=len(triples)), dtype=float
            )
        thermal = torch.stack([half_sinh(self._frequencies, t) for t in temperatures])
        per_triple = 16 * n**4
        batch = max(1, int(CHUNK_BYTES / per_triple))
        step = max(1, min(n, int(CHUNK_BYTES / (16 * n**3))))
        for start in range(0, len(triples), batch):
            chosen = slice(start, min(start + batch, len(triples)))
            cartesian = self._vertices.cartesian(triples[chosen])
            for band in range(0, n, step):
                bands = slice(band, min(n, band + step))
                self._accumulate(
                    cartesian, point, bands, triples[chosen], thermal,
                    weighted[chosen], phase_space[chosen], rows, row_weights[chosen],
                    scalar_fields,
                )  # fmt: skip
        return FourPhononDraws(
            weighted=weighted[orbit], phase_space=phase_space[orbit], collision=rows
        )

    def _accumulate(
        self,
        cartesian: Tensor,
        point: int,
        bands: slice,
        triples: Integers,
        thermal: Tensor,
        weighted: Array,
        phase_space: Array,
        rows: Array | None,
        row_weights: Array,
        scalar_fields: bool,
    ) -> None:
        """Add the contributions of a batch of triples to some bands of the point, in place."""
        squared = self._vertices.squared(cartesian, point, bands, triples)
        inverse_frequency = torch.where(self._frequencies > 0.0, 1.0 / self._frequencies, 0.0)
        scale = FOUR_PHONON_RATE / (self.modes.mesh.n_points**2 * (2.0 * math.pi) ** 5) / 6.0
        own = scale * inverse_frequency[point, bands]
        first = thermal[:, point, bands]
        # W / n(n+1) leaves one factor 1/a of the first mode; a third index for the batch.
        per_mode = (own * torch.where(first > 0.0, 1.0 / first, 0.0))[:, None]
        factors = [thermal[:, points] * inverse_frequency[points] for points in triples.T]
        # A vector field at the mode that is emitted has the opposite sign, so that all partners
        # enter alike; a scalar field keeps the sign of the partner.
        n_fields = 0 if rows is None else (3 if scalar_fields else 1)
        totals = [torch.zeros_like(squared) for _ in range(n_fields)]
        for c, patterns in enumerate(CHANNELS.values()):
            density = self._density(point, bands, triples, patterns, squared.shape)
            phase_space[:, :, c, bands] = self._sums(density, factors, per_mode)
            density *= squared
            weighted[:, :, c, bands] = self._sums(density, factors, per_mode)
            if n_fields == 1:
                totals[0] += density
            elif n_fields:
                for signs in patterns:
                    one = self._density(point, bands, triples, (signs,), squared.shape) * squared
                    for total, sign in zip(totals, signs, strict=True):
                        total += sign * one
        if rows is not None:
            weight = torch.from_numpy(row_weights).to(self._device)[:, None, None, None, None]
            sums_of = [_contract_to_each(total.mul_(weight), factors) for total in totals]
            for leg in range(3):
                sums = sums_of[leg if scalar_fields else 0][leg]
                values = sums * (first * own)[:, None, None]
                # (n_t, batch, n, bands) to (batch, n_t, bands, n)
                moved = values.permute(1, 0, 3, 2).cpu().numpy()
                np.add.at(rows[:, bands].transpose(2, 0, 1, 3), triples[:, leg], moved)

    @staticmethod
    def _sums(values: Tensor, factors: Sequence[Tensor], per_mode: Tensor) -> Array:
        """Return sums over the partners, (batch, n_t, bands)."""
        sums = _contract(values, factors) * per_mode
        return np.asarray(sums.transpose(0, 1).cpu().numpy())

    def _density(
        self,
        point: int,
        bands: slice,
        triples: Integers,
        patterns: tuple[tuple[int, int, int], ...],
        shape: torch.Size,
    ) -> Tensor:
        """Return the delta functions of one channel, (batch, n, n, n, bands) in 1/THz."""
        nu = [self._frequencies[points] for points in triples.T]
        limit = self.broadening.window**2
        width = [limit * self._widths[points] ** 2 for points in triples.T]
        own, own_width = self._frequencies[point, bands], limit * self._widths[point, bands] ** 2
        # (batch, second partner, third partner, bands)
        rest_width = width[1][:, :, None, None] + width[2][:, None, :, None] + own_width
        result = torch.zeros(shape, dtype=torch.float64, device=self._device)
        unchanged = self._unchanged(point, bands, triples)
        for signs in patterns:
            energies = [sign * x for sign, x in zip(signs, nu, strict=True)]
            rest = energies[1][:, :, None, None] + energies[2][:, None, :, None] + own
            for leg, axis in ((1, 2), (2, 1)):
                if signs[leg] < 0 and leg in unchanged:
                    rest.masked_fill_(unchanged[leg].unsqueeze(axis), torch.inf)
            # One band of the first partner at a time, so that the arrays stay in the cache.
            for m in range(self.modes.n_modes):
                x = rest + energies[0][:, m, None, None, None]
                if signs[0] < 0 and 0 in unchanged:
                    x.masked_fill_(unchanged[0][:, m, None, None, :], torch.inf)
                x.mul_(x)
                variance = rest_width + width[0][:, m, None, None, None]
                inside = torch.nonzero(x < variance, as_tuple=True)
                chosen = variance[inside]
                values = torch.exp(-0.5 * limit * x[inside] / chosen) * chosen.rsqrt()
                slab = result[:, m]
                slab[inside] += values
        result *= self.broadening.gaussian_prefactor * self.broadening.window
        return result

    def _unchanged(self, point: int, bands: slice, triples: Integers) -> dict[int, Tensor]:
        """Return, for legs at -q in some triple, where the partner is the mode itself.

        The mask of a leg has the shape (batch, n, bands); such a partner, when emitted, belongs to
        the degenerate set of the first mode at its own wave vector.
        """
        result = {}
        row = int(np.searchsorted(self.modes.mesh.irreducible, point))
        ids = self._ids[row]
        same = ids[:, None] == ids[None, bands]
        for leg in range(3):
            hit = triples[:, leg] == self._negatives[point]
            if hit.any():
                hits = torch.from_numpy(hit).to(self._device)
                result[leg] = hits[:, None, None] & same[None]
        return result


def mode_widths(modes: MeshModes, broadening: Broadening) -> Array:
    """Return the standard deviation that each mode contributes, (n_points, n_modes) THz.

    A fixed total width is shared equally by the four modes of a process.
    """
    if broadening.kind == "adaptive":
        return modes.widths(broadening.scale)
    assert broadening.sigma_thz is not None
    return np.full(modes.frequencies.shape, 0.5 * broadening.sigma_thz)


def _contract(values: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """Multiply by a factor per partner and sum over the partners: (n_t, batch, bands).

    Parameters
    ----------
    values : tensor, (batch, n, n, n, bands)
    factors : three tensors, (n_t, batch, n)
    """
    batch, n, _, _, n_bands = values.shape
    f1, f2, f3 = (f.transpose(0, 1) for f in factors)  # (batch, n_t, n)
    x = torch.bmm(f1, values.reshape(batch, n, -1)).reshape(batch, -1, n, n, n_bands)
    x = torch.einsum("btjkl,btj->btkl", x, f2)
    return torch.einsum("btkl,btk->tbl", x, f3)


def _contract_to_each(values: Tensor, factors: Sequence[Tensor]) -> list[Tensor]:
    """Sum over two partners, for each choice of the third: three times (n_t, batch, n, bands).

    Arguments as in :func:`_contract`; two passes over the large array serve all three sums.
    """
    batch, n, _, _, n_bands = values.shape
    f1, f2, f3 = (f.transpose(0, 1) for f in factors)
    over_last = torch.matmul(f3[:, None, None], values)  # (batch, n, n, n_t, bands)
    to_first = torch.einsum("bijtl,btj,bti->tbil", over_last, f2, f1)
    to_second = torch.einsum("bijtl,bti,btj->tbjl", over_last, f1, f2)
    over_first = torch.bmm(f1, values.reshape(batch, n, -1)).reshape(batch, -1, n, n, n_bands)
    to_third = torch.einsum("btjkl,btj,btk->tbkl", over_first, f2, f3)
    return [to_first, to_second, to_third]

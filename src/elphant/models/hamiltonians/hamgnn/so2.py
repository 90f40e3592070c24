r"""Tensor products with spherical harmonics in the frame of the edge.

An edge along z has harmonics with m = 0 only, so the coupling keeps |m| and becomes diagonal:

.. math:: \sum_{ab} C_{abM}\, x_a\, Y_b(\hat z) = \kappa_M\, x_{\pm M}, \qquad
          \kappa_M = \sqrt{2 l_2 + 1}\, C_{\pm M,\,0,\,M}

with the sign + for l1 + l2 + l3 even and - for odd. The parities of the two representations fix
this sign, so all paths between them share it. S. Passaro and C. L. Zitnick, arXiv:2302.03655, use
the same property. Nothing is truncated: the result equals the direct product to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from elphant.models.hamiltonians.hamgnn.geometry import EdgeGeometry
from elphant.models.hamiltonians.hamgnn.irreps import Features, Irrep, Irreps, coupling
from elphant.models.hamiltonians.hamgnn.layers import Path, ScaledProduct


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Group:
    """All paths between two representations.

    Attributes
    ----------
    first, result : Irrep
    flipped : bool
        Whether M couples to -M.
    start, stop : int
        Their channels among those of the scale.
    weights : Tensor, (n_first, channels)
    mixing : Tensor, (2 min(l1, l3) + 1, channels, n_out)
        With the factors κ.
    """

    first: Irrep
    result: Irrep
    flipped: bool
    start: int
    stop: int
    weights: Tensor
    mixing: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RotatedProduct:
    """:class:`~elphant.models.hamiltonians.hamgnn.layers.ScaledProduct` in frames of the edges.

    Attributes
    ----------
    groups : tuple
    out : Irreps
    width : int
        Channels that are scaled.
    dim : int
        Largest number of components that one edge needs at a time.
    """

    groups: tuple[_Group, ...]
    out: Irreps
    width: int
    dim: int

    @classmethod
    def of(cls, product: ScaledProduct) -> RotatedProduct:
        """Return the fast form of a product."""
        groups = []
        scaled = 0
        rows: dict[Irrep, int] = {}
        pairs = zip(product.paths, product.weights, strict=True)
        for (result, _), members in groupby(pairs, key=_ends):
            paths, weights = zip(*members, strict=True)
            n = sum(path.n_result for path in paths)
            row = rows.get(result, 0)
            rows[result] = row + n
            if result in product.mixing.matrices:
                matrix = product.mixing.matrices[result][row : row + n]
                groups.append(_group(paths, torch.cat(weights, dim=1), matrix, scaled))
            scaled += n
        dim = max((group.weights.shape[1] * len(group.mixing) for group in groups), default=0)
        return cls(groups=tuple(groups), out=product.mixing.out, width=product.width, dim=dim)

    def __call__(self, features: Features, scale: Tensor, _: EdgeGeometry) -> Features:
        """Return the product, in the frames of the edges; ``features`` are given in them."""
        totals = self.out.zeros(len(scale), scale)
        flipped: Features = {}
        for group in self.groups:
            reach = len(group.mixing) // 2
            low, high = group.first.l - reach, group.first.l + reach + 1
            source = features[group.first]
            if group.flipped:
                if group.first not in flipped:
                    flipped[group.first] = source.flip(0)
                source = flipped[group.first]
            inner = (source[low:high] @ group.weights) * scale[:, group.start : group.stop]
            low, high = group.result.l - reach, group.result.l + reach + 1
            totals[group.result][low:high] += torch.bmm(inner, group.mixing)
        return totals

    def to(self, dtype: torch.dtype, device: torch.device) -> RotatedProduct:
        """Return the same product in another precision or on another device."""
        groups = tuple(
            _Group(
                first=group.first, result=group.result, flipped=group.flipped, start=group.start,
                stop=group.stop, weights=group.weights.to(device, dtype),
                mixing=group.mixing.to(device, dtype),
            )
            for group in self.groups
        )  # fmt: skip
        return RotatedProduct(groups=groups, out=self.out, width=self.width, dim=self.dim)


def _ends(item: tuple[Path, Tensor]) -> tuple[Irrep, int]:
    return item[0].result, item[0].place


def _group(paths: tuple[Path, ...], weights: Tensor, matrix: Tensor, start: int) -> _Group:
    first, result = paths[0].first, paths[0].result
    flipped = (first.l + paths[0].degree + result.l) % 2 == 1
    factors = torch.cat(
        [_diagonal(path, flipped=flipped)[:, None].repeat(1, path.n_result) for path in paths],
        dim=1,
    )
    return _Group(
        first=first, result=result, flipped=flipped, start=start,
        stop=start + weights.shape[1], weights=weights,
        mixing=factors[:, :, None] * matrix,
    )  # fmt: skip


def _diagonal(path: Path, *, flipped: bool) -> Tensor:
    """Return κ for |M| up to the smaller of the two degrees, (2 min + 1,)."""
    a, b, c = path.first.l, path.degree, path.result.l
    reach = min(a, c)
    order = np.arange(-reach, reach + 1)
    source = a + (-order if flipped else order)
    return torch.from_numpy(np.sqrt(2 * b + 1) * coupling(a, b, c)[source, b, c + order])

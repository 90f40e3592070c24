r"""Building blocks of the network: linear maps, radial networks, gates and tensor products.

Normalisation follows e3nn ("component" for representations, "element" for paths): every weight is
drawn with unit variance and divided by the square root of the number of terms that it is summed
over. Activations are multiplied by constants that give them unit second moment for normal input.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import log, sqrt

import torch
from torch import Tensor

from elphant.models.hamiltonians.hamgnn.geometry import EdgeGeometry
from elphant.models.hamiltonians.hamgnn.irreps import (
    Features,
    Irrep,
    Irreps,
    add,
    coupling,
)
from elphant.models.hamiltonians.hamgnn.parameters import ParameterSource

#: Inverse root second moments of the activations; e3nn estimates them from a fixed sample, which
#: is part of the definition of a trained network.
SILU_GAIN = 1.6791767923989418
SOFTPLUS_GAIN = 1.878204668541552
TANH_GAIN = 1.5937334472592695

SCALAR, PSEUDOSCALAR = Irrep(0, 1), Irrep(0, -1)


def _softplus(x: Tensor) -> Tensor:
    return SOFTPLUS_GAIN * (torch.nn.functional.softplus(x) - log(2.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """Mixes the channels of each representation.

    Attributes
    ----------
    matrices : dict of Irrep to Tensor, (channels in, channels out)
    out : Irreps
        A representation that has no channels in gives zeros.
    """

    matrices: dict[Irrep, Tensor]
    out: Irreps

    @classmethod
    def read(
        cls, source: ParameterSource, name: str, irreps_in: Irreps, irreps_out: Irreps
    ) -> Linear:
        """Read the flat weight ``name``: one block per pair of equal slots, slots in outermost."""
        pairs = [
            (i, j)
            for i, (_, first) in enumerate(irreps_in)
            for j, (_, second) in enumerate(irreps_out)
            if first == second
        ]
        n_in = [n for n, _ in irreps_in]
        n_out = [n for n, _ in irreps_out]
        flat = source.take(name, sum(n_in[i] * n_out[j] for i, j in pairs))
        channels_in, channels_out = irreps_in.multiplicities, irreps_out.multiplicities
        matrices = {
            irrep: flat.new_zeros(channels_in[irrep], n)
            for irrep, n in channels_out.items()
            if irrep in channels_in
        }
        row, column = _starts(irreps_in), _starts(irreps_out)
        used = 0
        for i, j in pairs:
            size = n_in[i] * n_out[j]
            block = flat[used : used + size].reshape(n_in[i], n_out[j])
            matrix = matrices[irreps_in.slots[i][1]]
            matrix[row[i] : row[i] + n_in[i], column[j] : column[j] + n_out[j]] = block
            used += size
        for matrix in matrices.values():
            matrix /= sqrt(len(matrix))
        return cls(matrices=matrices, out=irreps_out)

    def __call__(self, features: Features) -> Features:
        """Return the mixed features."""
        like = next(iter(features.values()))
        return {
            irrep: features[irrep] @ self.matrices[irrep]
            if irrep in self.matrices
            else like.new_zeros(irrep.dim, like.shape[1], n)
            for irrep, n in self.out.multiplicities.items()
        }

    def after(self, first: Linear) -> Linear:
        """Return the one map that does ``first`` and then this one."""
        matrices = {
            irrep: first.matrices[irrep] @ matrix
            for irrep, matrix in self.matrices.items()
            if irrep in first.matrices
        }
        return Linear(matrices=matrices, out=self.out)

    def to(self, dtype: torch.dtype, device: torch.device) -> Linear:
        """Return the same map in another precision or on another device."""
        moved = {irrep: matrix.to(device, dtype) for irrep, matrix in self.matrices.items()}
        return Linear(matrices=moved, out=self.out)


def _starts(irreps: Irreps) -> list[int]:
    """Return where the channels of each slot start among all channels of its representation."""
    used: dict[Irrep, int] = {}
    starts = []
    for n, irrep in irreps:
        starts.append(used.get(irrep, 0))
        used[irrep] = starts[-1] + n
    return starts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RadialNetwork:
    r"""Weights of the channels of an edge from its length.

    .. math:: h_{k+1} = \mathrm{silu}(h_k W_k / \sqrt{n_k}), \qquad s = h W / \sqrt{n}

    Attributes
    ----------
    weights : tuple of Tensor, (n_k, n_{k+1})
        Divided by the square root of n_k.
    """

    weights: tuple[Tensor, ...]

    @classmethod
    def read(
        cls, source: ParameterSource, prefix: str, n_in: int, hidden: tuple[int, ...], n_out: int
    ) -> RadialNetwork:
        """Read ``layer0.weight``, ``layer1.weight``, ... below ``prefix``."""
        widths = (n_in, *hidden, n_out)
        return cls(
            weights=tuple(
                source.take(f"{prefix}.layer{k}.weight", widths[k], widths[k + 1]) / sqrt(widths[k])
                for k in range(len(widths) - 1)
            )
        )

    def __call__(self, radial: Tensor) -> Tensor:
        """Return one weight per edge and channel, (n_edges, n_out)."""
        for weight in self.weights[:-1]:
            radial = SILU_GAIN * torch.nn.functional.silu(radial @ weight)
        return radial @ self.weights[-1]

    def to(self, dtype: torch.dtype, device: torch.device) -> RadialNetwork:
        """Return the same network in another precision or on another device."""
        return RadialNetwork(weights=tuple(weight.to(device, dtype) for weight in self.weights))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    r"""x + L2(gate(L1(x))): scalars through an activation, all others times one gate per channel.

    Even scalars and gates pass a shifted softplus, odd scalars a hyperbolic tangent. L1 stores the
    even scalars and the gates behind them as one slot, also where odd scalars stand between.

    Attributes
    ----------
    first, second : Linear
    irreps : Irreps
        Of x and of the result.
    """

    first: Linear
    second: Linear
    irreps: Irreps

    @classmethod
    def read(cls, source: ParameterSource, prefix: str, irreps: Irreps) -> Residual:
        """Read ``linear1.weight`` and ``linear2.weight`` below ``prefix``."""
        scalars = tuple(slot for slot in irreps if slot[1].l == 0)
        gated = tuple(slot for slot in irreps if slot[1].l > 0)
        gates = ((sum(n for n, _ in gated), SCALAR),) if gated else ()
        merged = Irreps((*scalars, *gates, *gated)).multiplicities
        inner = Irreps(tuple((n, irrep) for irrep, n in merged.items()))
        result = Irreps((*scalars, *gated))
        return cls(
            first=Linear.read(source, f"{prefix}.linear1.weight", irreps, inner),
            second=Linear.read(source, f"{prefix}.linear2.weight", result, irreps),
            irreps=irreps,
        )

    def __call__(self, features: Features) -> Features:
        """Return x + L2(gate(L1(x)))."""
        inner = self.first(features)
        even = _softplus(inner[SCALAR])
        start = self.irreps.multiplicities.get(SCALAR, 0)
        active = {SCALAR: even[..., :start]}
        for n, irrep in self.irreps:
            if irrep == PSEUDOSCALAR:
                active[irrep] = TANH_GAIN * torch.tanh(inner[irrep])
            elif irrep != SCALAR:
                active[irrep] = inner[irrep] * even[..., start : start + n]
                start += n
        return add(features, self.second(active))

    def to(self, dtype: torch.dtype, device: torch.device) -> Residual:
        """Return the same block in another precision or on another device."""
        return Residual(
            first=self.first.to(dtype, device),
            second=self.second.to(dtype, device),
            irreps=self.irreps,
        )


@dataclass(frozen=True, slots=True, order=True)
class Path:
    """One term of a tensor product; sorted as the weights are stored: by result, first, degree.

    Attributes
    ----------
    result : Irrep
    place : int
        Slot of the first factor.
    degree : int
        l of the spherical harmonic.
    first : Irrep
    n_first, n_result : int
        Channels.
    """

    result: Irrep
    place: int
    degree: int
    first: Irrep
    n_first: int
    n_result: int


def product_paths(first: Irreps, harmonics: Irreps, target: Irreps) -> tuple[Path, ...]:
    """Return all terms of first ⊗ harmonics that the target has, in the order of the weights."""
    return tuple(
        sorted(
            Path(c, place, y.l, a, n_first, n_result)
            for (place, (n_first, a)), (_, y), (n_result, c) in product(
                enumerate(first), harmonics, target
            )
            if a.couples(y, c)
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaledProduct:
    r"""Tensor product with the harmonics of an edge, scaled by its length, then mixed.

    .. math:: o_{e,wM} = \sum_{p,c} W_{pc,w}\; s_{e,pc}\, \sqrt{\frac{2l_3+1}{n_1}}
              \sum_{u} w^p_{uc} \sum_{ab} C^{l_1 l_2 l_3}_{abM}\, x_{e,ua}\, Y_{l_2 b}(\hat r_e)

    ==  =========================================================  =======================
    p   path (l1, l2, l3), see :class:`Path`
    x   features of the edge or of its two atoms                   (2 l1 + 1, n_edges, n1)
    s   from the length of the edge                                (n_edges, width)
    w   weights of the path                                        (n1, n3)
    W   mixing of all paths with one result                        (paths × n3, n)
    ==  =========================================================  =======================

    This is the direct form; :class:`~elphant.models.hamiltonians.hamgnn.so2.RotatedProduct` is the
    fast one.

    Attributes
    ----------
    paths : tuple of Path
    weights : tuple of Tensor, one (n1, n3) per path
    mixing : Linear
        W.
    """

    paths: tuple[Path, ...]
    weights: tuple[Tensor, ...]
    mixing: Linear

    @classmethod
    def read(
        cls, source: ParameterSource, product_name: str, scaler_name: str,
        first: Irreps, harmonics: Irreps, target: Irreps,
    ) -> ScaledProduct:  # fmt: skip
        """Read the weights of the product and of the mixing after the scaling."""
        paths = product_paths(first, harmonics, target)
        sizes = [path.n_first * path.n_result for path in paths]
        flat = source.take(f"{product_name}.weight", sum(sizes))
        weights = tuple(
            part.reshape(path.n_first, path.n_result) * sqrt(path.result.dim / path.n_first)
            for path, part in zip(paths, torch.split(flat, sizes), strict=True)
        )
        middle = Irreps(tuple((path.n_result, path.result) for path in paths)).simplified()
        mixing = Linear.read(source, f"{scaler_name}.linear_out.weight", middle, target)
        return cls(paths=paths, weights=weights, mixing=mixing)

    @property
    def width(self) -> int:
        """Channels that are scaled."""
        return sum(path.n_result for path in self.paths)

    @property
    def dim(self) -> int:
        """Components before the mixing, of one edge."""
        return sum(path.n_result * path.result.dim for path in self.paths)

    def mixed_by(self, after: Linear) -> ScaledProduct:
        """Return the product with a second linear map behind the first."""
        return ScaledProduct(
            paths=self.paths, weights=self.weights, mixing=after.after(self.mixing)
        )

    def __call__(self, features: Features, scale: Tensor, geometry: EdgeGeometry) -> Features:
        """Return the product, in the frame of the crystal."""
        results: dict[Irrep, list[Tensor]] = {}
        scales = torch.split(scale, [path.n_result for path in self.paths], dim=1)
        for path, weight, s in zip(self.paths, self.weights, scales, strict=True):
            c = torch.as_tensor(
                coupling(path.first.l, path.degree, path.result.l).copy(),
                dtype=s.dtype, device=s.device,
            )  # fmt: skip
            matrix = torch.einsum("abm,nb->nam", c, geometry.harmonics[path.degree])
            coupled = torch.einsum("nam,anu->mnu", matrix, features[path.first])
            results.setdefault(path.result, []).append(s * (coupled @ weight))
        return self.mixing({irrep: torch.cat(parts, dim=2) for irrep, parts in results.items()})

    def to(self, dtype: torch.dtype, device: torch.device) -> ScaledProduct:
        """Return the same product in another precision or on another device."""
        return ScaledProduct(
            paths=self.paths,
            weights=tuple(weight.to(device, dtype) for weight in self.weights),
            mixing=self.mixing.to(dtype, device),
        )


def doubled(irreps: Irreps) -> Irreps:
    """Return the representations of two atoms side by side."""
    return Irreps(tuple((2 * n, irrep) for n, irrep in irreps))

r"""The message passing of SevenNet without messages: sums over neighbours as matrix products.

The convolution of a node n over its neighbours e, for one path p = (l_1, l_2, l_3), is

.. math:: y^p_{n u k} = c_p \sum_{e \in n} w^p_{e u} \sum_{i j} C^{l_1 l_2 l_3}_{i j k}
          x_{s(e) u i} Y_{e j}

S. Batzner et al., Nat. Commun. 13, 2453 (2022), Eqs. 6-7.

=======  ==========================================================  ====================
symbol   meaning                                                     shape
=======  ==========================================================  ====================
x        features of the sending nodes s(e), channel u, component i  (n_nodes, n_u, n_i)
Y        spherical harmonics of the edge vectors                     (n_edges, n_j)
w        radial weights                                              (n_edges, n_u)
C        Wigner 3j symbol, c_p its normalisation                     (n_i, n_j, n_k)
y        result                                                      (n_nodes, n_u, n_k)
=======  ==========================================================  ====================

Written edge by edge, the messages (62 kB per edge in float64 for the l = 3 models) and all their
intermediates are stored for the backward pass, and the evaluation is limited by memory traffic.
Here ``M = C·Y`` is formed first, so that the sum over e and i is one matrix product per node; the
work is cut into chunks that stay in the processor's cache, and the backward pass forms the
products again instead of storing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

#: Edges handled at once: a path's products of so many edges fit into the second-level cache.
CHUNK_EDGES: Final = {"cpu": 512, "cuda": 65536}

#: Key under which the neighbour blocks travel with the graph.
BLOCKS_KEY: Final = "elphant_neighbour_blocks"


@dataclass(frozen=True, slots=True)
class NeighbourBlock:
    """Nodes with the same number of neighbours, whose edges follow each other.

    Attributes
    ----------
    nodes : Tensor of int64, (n,)
        Receiving nodes.
    start : int
        First edge of the block; node m of the block owns the edges ``start + m * degree`` and on.
    degree : int
        Neighbours per node.
    """

    nodes: Tensor
    start: int
    degree: int


@dataclass(frozen=True, slots=True)
class Path:
    """One path of the tensor product: slices into x, Y, w and y, and the coefficients."""

    i_in: int
    harmonics: slice
    weights: slice
    i_out: int
    coefficients: Tensor  # (n_j, n_i * n_k), normalisation included


def neighbour_blocks(degrees: Tensor, chunk_edges: int) -> tuple[Tensor, list[NeighbourBlock]]:
    """Return the order of nodes by degree and the blocks of equal degree.

    Parameters
    ----------
    degrees : Tensor of int64, (n_nodes,)
        Number of neighbours of each node.
    chunk_edges : int
        Largest number of edges of a block (a block has at least one node).

    Returns
    -------
    order : Tensor of int64, (n_nodes,)
        Nodes sorted by degree; edges must be sorted by receiving node in this order.
    blocks : list of NeighbourBlock
        Nodes without neighbours are in no block.
    """
    order = torch.argsort(degrees, stable=True)
    values, counts = torch.unique_consecutive(degrees[order], return_counts=True)
    blocks, first, edge = [], 0, 0
    for degree, count in zip(values.tolist(), counts.tolist(), strict=True):
        step = max(1, chunk_edges // degree) if degree else count
        for begin in range(first, first + count, step):
            nodes = order[begin : min(begin + step, first + count)]
            if degree:
                blocks.append(NeighbourBlock(nodes, edge, degree))
            edge += degree * len(nodes)
        first += count
    return order, blocks


class NodewiseConvolution(torch.nn.Module):
    """Drop-in replacement of sevenn's ``IrrepsConvolution`` for evaluation.

    Parameters
    ----------
    source : sevenn.nn.convolution.IrrepsConvolution
        The layer to replace; its radial network and normalisation are taken over.
    dtype : torch.dtype
        Type of the coupling coefficients, which are computed in float64.
    """

    def __init__(self, source: Any, dtype: torch.dtype) -> None:
        super().__init__()
        product = source.convolution
        self.weight_nn = source.weight_nn
        self.denominator = source.denominator
        self.keys = (source.key_x, source.key_filter, source.key_weight_input)
        self.shapes_in = [(m.mul, m.ir.dim) for m in product.irreps_in1]
        self.shapes_out = [(m.mul, m.ir.dim) for m in product.irreps_out]
        self.paths, tables = _paths(product, dtype)
        for number, table in enumerate(tables):
            self.register_buffer(f"coefficients_{number}", table)

    def forward(self, data: Any) -> Any:
        """Replace the node features of the graph by their convolution."""
        key_x, key_filter, key_weight = self.keys
        weights = self.weight_nn(data[key_weight])
        x = data[key_x]
        # Component-major features: rows (neighbour, component) and columns (channel) of the matrix
        # products are then contiguous.
        features = [
            part.reshape(len(x), mul, dim).transpose(1, 2).contiguous()
            for part, (mul, dim) in zip(
                x.split([mul * dim for mul, dim in self.shapes_in], dim=1),
                self.shapes_in,
                strict=True,
            )
        ]
        paths = [
            Path(i, j, w, o, getattr(self, f"coefficients_{number}"))
            for number, (i, j, w, o) in enumerate(self.paths)
        ]
        # The graph stores (receiver, sender).
        sender = data["edge_index"][1]
        outputs = _Convolution.apply(  # type: ignore[no-untyped-call]
            paths, data[BLOCKS_KEY], self.shapes_out, sender, data[key_filter], weights, *features
        )
        flat = [part.transpose(1, 2).reshape(len(x), -1) for part in outputs]
        data[key_x] = torch.cat(flat, dim=1).div(self.denominator)
        return data


def _paths(product: Any, dtype: torch.dtype) -> tuple[list[Any], list[Tensor]]:
    from e3nn.o3 import wigner_3j

    harmonics, paths, tables, first = product.irreps_in2.slices(), [], [], 0
    for ins in product.instructions:
        l1, l2, l3 = (
            irreps[i].ir.l
            for irreps, i in (
                (product.irreps_in1, ins.i_in1),
                (product.irreps_in2, ins.i_in2),
                (product.irreps_out, ins.i_out),
            )
        )
        if ins.connection_mode != "uvu" or ins.path_shape[1] != 1 or not ins.has_weight:
            raise NotImplementedError(f"tensor product path {ins}")
        symbol = wigner_3j(l1, l2, l3, dtype=torch.float64) * ins.path_weight
        tables.append(symbol.transpose(0, 1).reshape(2 * l2 + 1, -1).to(dtype).contiguous())
        mul = product.irreps_in1[ins.i_in1].mul
        paths.append((ins.i_in1, harmonics[ins.i_in2], slice(first, first + mul), ins.i_out))
        first += mul
    return paths, tables


class _Convolution(torch.autograd.Function):
    """Sum over neighbours and its first derivative (there is no second one)."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, paths, blocks, shapes_out, sender, harmonics, weights, *features
    ):
        ctx.paths, ctx.blocks = paths, blocks
        ctx.save_for_backward(sender, harmonics, weights, *features)
        n_nodes = len(features[0])
        outputs = tuple(weights.new_zeros(n_nodes, dim, mul) for mul, dim in shapes_out)
        for block in blocks:
            edges, xs = _gather(block, sender, features)
            for path in paths:
                m, wx = _products(block, edges, path, harmonics, weights, xs)
                outputs[path.i_out][block.nodes] = torch.bmm(m.transpose(1, 2), wx)
        return outputs

    @staticmethod
    def backward(ctx, *gradients):  # type: ignore[no-untyped-def]
        sender, harmonics, weights, *features = ctx.saved_tensors
        d_harmonics = torch.zeros_like(harmonics)
        d_weights = torch.empty_like(weights)
        d_features = [torch.zeros_like(x) for x in features]
        for block in ctx.blocks:
            edges, xs = _gather(block, sender, features)
            d_xs = [torch.zeros_like(x) for x in xs]
            for path in ctx.paths:
                x, w = xs[path.i_in], weights[edges, path.weights]
                m, wx = _products(block, edges, path, harmonics, weights, xs)
                g = gradients[path.i_out][block.nodes]
                d_wx = torch.bmm(m, g).view(x.shape)
                d_m = torch.bmm(wx, g.transpose(1, 2)).view(len(x), -1)
                d_harmonics[edges, path.harmonics] += d_m @ path.coefficients.T
                d_weights[edges, path.weights] = (d_wx * x).sum(dim=1)
                d_xs[path.i_in].addcmul_(d_wx, w[:, None, :])
            for total, part in zip(d_features, d_xs, strict=True):
                total.index_add_(0, sender[edges], part)
        return None, None, None, None, d_harmonics, d_weights, *d_features


def _gather(block: NeighbourBlock, sender: Tensor, features: Any) -> tuple[slice, list[Tensor]]:
    edges = slice(block.start, block.start + len(block.nodes) * block.degree)
    return edges, [x.index_select(0, sender[edges]) for x in features]


def _products(
    block: NeighbourBlock, edges: slice, path: Path, harmonics: Tensor, weights: Tensor, xs: Any
) -> tuple[Tensor, Tensor]:
    """Return C·Y, (n, degree * n_i, n_k), and w x, (n, degree * n_i, n_u), of a block."""
    x = xs[path.i_in]
    n, rows = len(block.nodes), block.degree * x.shape[1]
    m = harmonics[edges, path.harmonics] @ path.coefficients
    wx = weights[edges, path.weights][:, None, :] * x
    return m.view(n, rows, -1), wx.view(n, rows, -1)

r"""The HamGNN network: messages between atoms, pairs, and heads that give blocks of H.

Y. Zhong, H. Yu, M. Su, X. Gong and H. Xiang, npj Comput. Mater. 9, 182 (2023); the universal model
is that of Y. Zhong, R. Wang, X. Gong and H. Xiang, arXiv:2504.19586. This is an own implementation
of the equations.

Each layer first updates the atoms, then the pairs:

.. math::
    n_b \leftarrow S\,n_b + \mathrm{Res}\Big(\sum_{e=(a,b)} M_e(n_a, n_b, p_e)\Big), \qquad
    p_e \leftarrow S'\,p_e + M'_e(U n_a, U' n_b, p_e)

with M the sum of two products with spherical harmonics, one of the two atoms and one of the pair.
Pairs are kept in the frame of their edge when the fast products are used: linear maps and gates do
not see the difference, and only atoms have to be turned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elphant.models.hamiltonians.hamgnn.blocks import head_irreps
from elphant.models.hamiltonians.hamgnn.geometry import EdgeGeometry, edge_geometry
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph
from elphant.models.hamiltonians.hamgnn.irreps import (
    Features,
    Irreps,
    add,
    join,
    side_by_side,
    take,
    window,
)
from elphant.models.hamiltonians.hamgnn.layers import (
    SCALAR,
    Linear,
    RadialNetwork,
    Residual,
    ScaledProduct,
)
from elphant.models.hamiltonians.hamgnn.message_passing import (
    Convolution,
    Embedding,
    Head,
    Messages,
    PairUpdate,
    Product,
)
from elphant.models.hamiltonians.hamgnn.parameters import (
    ParameterSource,
    ShapeRecorder,
    StateParameters,
)
from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings
from elphant.models.hamiltonians.hamgnn.so2 import RotatedProduct

#: Default bound for what one chunk of edges needs, GB. Larger chunks are not faster.
CHUNK_MEMORY = 0.25

#: Edges of a chunk at least, whatever they need.
SMALLEST_CHUNK = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Features after some layer.

    Attributes
    ----------
    nodes : Features
        In the frame of the crystal.
    edges : Features
        In the frames of the edges where the geometry has such.
    """

    nodes: Features
    edges: Features


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HamGNNNetwork:
    """A network with its weights. Made by :meth:`from_state`.

    Attributes
    ----------
    settings : NetworkSettings
    embedding : Embedding
    convolutions : tuple of Convolution
    pair_updates : tuple of PairUpdate or None
        None where the result is discarded.
    heads : dict of str to Head
        ``onsite_hamiltonian``, ``offsite_hamiltonian``, and with spin-orbit coupling
        ``onsite_ksi``, ``offsite_ksi``.
    rotated : bool
        Whether products are done in the frames of the edges.
    dtype : dtype
    device : device
    chunk_memory : float, GB
        Edges are treated in chunks that need about this much at a time.
    """

    settings: NetworkSettings
    embedding: Embedding
    convolutions: tuple[Convolution, ...]
    pair_updates: tuple[PairUpdate | None, ...]
    heads: dict[str, Head]
    rotated: bool
    dtype: torch.dtype
    device: torch.device
    chunk_memory: float = CHUNK_MEMORY

    @classmethod
    def from_state(
        cls,
        settings: NetworkSettings,
        tensors: Mapping[str, Tensor | NDArray[np.floating]],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        rotated: bool = True,
        chunk_memory: float = CHUNK_MEMORY,
    ) -> HamGNNNetwork:
        """Return the network of a state dictionary.

        Parameters
        ----------
        settings : NetworkSettings
        tensors : mapping of name to array
        dtype : dtype
            float32 or float64.
        device : device
        rotated : bool
            Products in the frames of the edges (fast) or directly (for comparison).
        chunk_memory : float, GB
            See the attribute.

        Raises
        ------
        ModelError
            If a tensor is missing, unknown, or of the wrong shape.
        """
        source = StateParameters(tensors)
        network = _read(source, settings)
        source.require_all_used()
        end = torch.tensor([settings.cutoff], dtype=torch.float64)
        waves = torch.arange(1, settings.n_radial + 1, dtype=torch.float64) * (pi / end)
        for name, expected in (
            ("radial_basis_functions.freqs", waves),
            ("radial_basis.basis.freqs", waves),
            ("cutoff_func.cutoff", end),
            ("radial_basis.cutoff.cutoff", end),
        ):
            source.check_derived(f"representation.{name}", expected)
        ready = network.prepared(dtype=dtype, device=torch.device(device), rotated=rotated)
        return replace(ready, chunk_memory=chunk_memory)

    def prepared(self, *, dtype: torch.dtype, device: torch.device, rotated: bool) -> HamGNNNetwork:
        """Return a network read in float64 in the form in which it is to run."""
        place = (dtype, device)

        def convert(product: Product) -> Product:
            if rotated and isinstance(product, ScaledProduct):
                return RotatedProduct.of(product)
            return product

        embedding = Embedding(
            node=self.embedding.node.to(*place),
            source=self.embedding.source.to(*place),
            target=self.embedding.target.to(*place),
            product=convert(self.embedding.product).to(*place),
            radial=self.embedding.radial.to(*place),
        )
        convolutions = tuple(
            Convolution(
                messages=layer.messages.prepared(convert, place),
                skip=layer.skip.to(*place),
                residual=layer.residual.to(*place),
            )
            for layer in self.convolutions
        )
        pair_updates = tuple(
            layer
            and PairUpdate(
                messages=layer.messages.prepared(convert, place),
                source=layer.source.to(*place),
                target=layer.target.to(*place),
                skip=layer.skip.to(*place),
            )
            for layer in self.pair_updates
        )
        return HamGNNNetwork(
            settings=self.settings, embedding=embedding, convolutions=convolutions,
            pair_updates=pair_updates,
            heads={name: head.to(*place) for name, head in self.heads.items()},
            rotated=rotated, dtype=dtype, device=device,
        )  # fmt: skip

    def geometry(self, graph: OrbitalGraph, positions: Tensor | None = None) -> EdgeGeometry:
        """Return the geometry of all edges, computed in float64.

        Parameters
        ----------
        graph : OrbitalGraph
        positions : Tensor, (n_atoms, 3) bohr, optional
            In place of those of the graph; may carry a tangent.
        """
        if positions is None:
            positions = torch.from_numpy(graph.positions.copy())
        return self.geometry_of(graph.vectors(positions.to(self.device)))

    def geometry_of(self, vectors: Tensor) -> EdgeGeometry:
        """Return the geometry of edges with the given vectors (n, 3), bohr, float64."""
        settings = self.settings
        return edge_geometry(
            vectors, cutoff=settings.cutoff, n_radial=settings.n_radial,
            l_max=settings.largest_degree if self.rotated else settings.l_max,
            dtype=self.dtype, rotated=self.rotated,
        )  # fmt: skip

    def chunks(self, n_edges: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of edges that need at most ``chunk_memory`` each."""
        layer = self.convolutions[0].messages
        per_edge = layer.values_per_edge + 12 * self.settings.irreps.dim
        fitting = int(self.chunk_memory * 1e9 / (per_edge * self.dtype.itemsize))
        size = max(SMALLEST_CHUNK, fitting)
        for start in range(0, n_edges, size):
            yield start, min(start + size, n_edges)

    def embed(self, graph: OrbitalGraph, geometry: EdgeGeometry) -> State:
        """Return the features before the first layer."""
        kinds, place = np.unique(graph.numbers, return_inverse=True)
        if kinds.min() < 0 or kinds.max() >= self.settings.n_types:
            raise ValueError(f"atomic numbers {kinds} are beyond {self.settings.n_types} types")
        types = self._one_hot(kinds)
        nodes = take(self.embedding.node(types), self._places(place))
        start, end = self.ends(graph)
        parts = []
        for low, high in self.chunks(graph.n_edges):
            section = geometry.window(low, high)
            pair = self.embedded_pairs(graph, start[low:high], end[low:high])
            scale = self.embedding.radial(section.radial)
            parts.append(self.embedding.product(pair, scale, section))
        return State(nodes=nodes, edges=join(parts))

    def embedded_pairs(self, graph: OrbitalGraph, start: Tensor, end: Tensor) -> Features:
        """Return scalars of pairs of atoms, from their elements."""
        kinds, place = np.unique(graph.numbers, return_inverse=True)
        types, atoms = self._one_hot(kinds), self._places(place)
        first, second = self.embedding.source(types), self.embedding.target(types)
        return add(take(first, atoms[start]), take(second, atoms[end]))

    def _one_hot(self, kinds: NDArray[np.int64]) -> Features:
        one_hot = torch.zeros(1, len(kinds), self.settings.n_types, dtype=self.dtype)
        one_hot[0, torch.arange(len(kinds)), torch.from_numpy(kinds)] = 1.0
        return {SCALAR: one_hot.to(self.device)}

    def _places(self, place: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(place.reshape(-1)).to(self.device)

    def ends(self, graph: OrbitalGraph) -> tuple[Tensor, Tensor]:
        """Return first and second atom of each edge."""
        start, end = torch.from_numpy(graph.edge_index.copy()).to(self.device)
        return start, end

    def layer(self, i: int, state: State, graph: OrbitalGraph, geometry: EdgeGeometry) -> State:
        """Return the features after layer ``i`` (from 0)."""
        received = self.received(i, state, graph, geometry)
        nodes = self.convolutions[i].update(state.nodes, received)
        return State(nodes=nodes, edges=self.pairs(i, nodes, state.edges, graph, geometry))

    def received(
        self, i: int, state: State, graph: OrbitalGraph, geometry: EdgeGeometry
    ) -> Features:
        """Return the sum of the messages that each atom gets in convolution ``i``."""
        _, end = self.ends(graph)
        received = self.settings.irreps.zeros(graph.n_atoms, geometry.radial)
        for low, high, message in self.messages(i, state, graph, geometry):
            for irrep, part in message.items():
                received[irrep].index_add_(1, end[low:high], part)
        return received

    def pairs(
        self, i: int, nodes: Features, edges: Features, graph: OrbitalGraph,
        geometry: EdgeGeometry,
    ) -> Features:  # fmt: skip
        """Return the pairs after layer ``i``, from its new atoms and the old pairs."""
        update = self.pair_updates[i]
        if update is None:
            return edges
        start, end = self.ends(graph)
        first, second = update.source(nodes), update.target(nodes)
        parts = []
        for low, high in self.chunks(graph.n_edges):
            section = geometry.window(low, high)
            atoms = side_by_side(take(first, start[low:high]), take(second, end[low:high]))
            pairs = window(edges, low, high)
            mixed = update.messages(section.inward(atoms), pairs, section)
            parts.append(add(update.skip(pairs), mixed))
        return join(parts)

    def messages(
        self, i: int, state: State, graph: OrbitalGraph, geometry: EdgeGeometry
    ) -> Iterator[tuple[int, int, Features]]:
        """Yield the messages of convolution ``i`` (from 0) for one range of edges after another.

        They are given in the frame of the crystal.
        """
        start, end = self.ends(graph)
        for low, high in self.chunks(graph.n_edges):
            section = geometry.window(low, high)
            atoms = side_by_side(
                take(state.nodes, start[low:high]), take(state.nodes, end[low:high])
            )
            pairs = window(state.edges, low, high)
            message = self.convolutions[i].messages(section.inward(atoms), pairs, section)
            yield low, high, section.outward(message)

    def run(self, graph: OrbitalGraph, geometry: EdgeGeometry) -> State:
        """Return the features after the last layer."""
        state = self.embed(graph, geometry)
        for i in range(self.settings.n_layers):
            state = self.layer(i, state, graph, geometry)
        return state

    def components(
        self, state: State, geometry: EdgeGeometry, kind: str = "hamiltonian"
    ) -> tuple[Features, Features]:
        """Return what the heads give for atoms and edges, in the frame of the crystal.

        Parameters
        ----------
        state : State
        geometry : EdgeGeometry
        kind : str
            ``hamiltonian`` or ``ksi``.
        """
        off_site = geometry.outward(self.heads[f"offsite_{kind}"](state.edges))
        return self.heads[f"onsite_{kind}"](state.nodes), off_site


def parameter_shapes(settings: NetworkSettings) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every weight of a network."""
    recorder = ShapeRecorder()
    _read(recorder, settings)
    return recorder.shapes


def _read(source: ParameterSource, settings: NetworkSettings) -> HamGNNNetwork:
    """Return the network in float64 with products in their direct form."""
    irreps = settings.irreps
    types = Irreps(((settings.n_types, SCALAR),))
    root = "representation"
    pair = f"{root}.pair_embedding"
    product = ScaledProduct.read(
        source, f"{pair}.conv_tp.tensor_product", f"{pair}.conv_tp.linear_scaler",
        types, settings.harmonics, irreps,
    )  # fmt: skip
    embedding = Embedding(
        node=Linear.read(source, f"{root}.chemical_embedding.linear.weight", types, irreps),
        source=Linear.read(source, f"{pair}.linear_up_src.weight", types, types),
        target=Linear.read(source, f"{pair}.linear_up_dst.weight", types, types),
        product=product,
        radial=RadialNetwork.read(
            source, f"{pair}.conv_tp.weight_generator", settings.n_radial, settings.hidden,
            product.width,
        ),
    )  # fmt: skip
    convolutions, pair_updates = [], []
    for i in range(settings.n_layers):
        prefix = f"{root}.convolutions.{i}"
        convolutions.append(
            Convolution(
                messages=Messages.read(source, f"{prefix}.conv_tp", settings),
                skip=Linear.read(source, f"{prefix}.skip_linear.weight", irreps, irreps),
                residual=Residual.read(source, f"{prefix}.residual", irreps),
            )
        )
        pair_updates.append(_read_pair_update(source, settings, i))
    heads = {}
    for kind in ("hamiltonian", "ksi") if settings.spin_orbit else ("hamiltonian",):
        out = head_irreps(settings.n_orbitals, kind)
        for site in ("onsite", "offsite"):
            name = f"output_module.{site}_{kind}_network"
            heads[f"{site}_{kind}"] = Head.read(source, name, irreps, out)
    return HamGNNNetwork(
        settings=settings, embedding=embedding, convolutions=tuple(convolutions),
        pair_updates=tuple(pair_updates), heads=heads, rotated=False, dtype=torch.float64,
        device=torch.device("cpu"),
    )  # fmt: skip


def _read_pair_update(
    source: ParameterSource, settings: NetworkSettings, i: int
) -> PairUpdate | None:
    """Read pair block ``i``; the first one of legacy networks is stored but has no effect."""
    prefix = f"representation.pair_interactions.{i}"
    irreps = settings.irreps
    messages = Messages.read(source, f"{prefix}.conv_tp", settings)
    first = Linear.read(source, f"{prefix}.linear_up_src.weight", irreps, irreps)
    second = Linear.read(source, f"{prefix}.linear_up_tar.weight", irreps, irreps)
    if settings.legacy_edge_update and i == 0:
        return None
    skip = Linear.read(source, f"{prefix}.skip_linear.weight", irreps, irreps)
    return PairUpdate(messages=messages, source=first, target=second, skip=skip)

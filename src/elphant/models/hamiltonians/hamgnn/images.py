r"""Derivatives over one displaced atom of the infinite crystal.

It changes the features of atoms ever farther away, layer after layer. Values stay periodic, so only
tangents need images: they are kept for those images that the displacement has reached, and a layer
maps tangents to tangents at the periodic values. Away from the displaced atom this map is linear
with the undisturbed geometry; only the edges of the displaced atom need forward differentiation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from elphant.models.hamiltonians.hamgnn.blocks import (
    Blocks,
    assemble,
    coupling_strengths,
    orbital_mask,
)
from elphant.models.hamiltonians.hamgnn.forward_mode import dual, dual_geometry, pushed, split
from elphant.models.hamiltonians.hamgnn.geometry import EdgeGeometry
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph
from elphant.models.hamiltonians.hamgnn.irreps import (
    Features,
    add,
    join,
    side_by_side,
    take,
    window,
)
from elphant.models.hamiltonians.hamgnn.message_passing import Messages
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork, State

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PeriodicValues:
    """Features of the undisplaced crystal, made once for all displacements.

    Attributes
    ----------
    network : HamGNNNetwork
    graph : OrbitalGraph
    vectors : Tensor, (n_edges, 3) bohr
    geometry : EdgeGeometry
    states : tuple of State
        Before the first layer, and after each.
    received : tuple of Features
        Sums of messages in each layer.
    """

    network: HamGNNNetwork
    graph: OrbitalGraph
    vectors: Tensor
    geometry: EdgeGeometry
    states: tuple[State, ...]
    received: tuple[Features, ...]

    @classmethod
    @torch.no_grad()
    def of(
        cls, network: HamGNNNetwork, graph: OrbitalGraph, vectors: Tensor | None = None
    ) -> PeriodicValues:
        """Run the network and keep all features."""
        if vectors is None:
            vectors = graph.vectors(torch.from_numpy(graph.positions.copy()))
        vectors = vectors.to(network.device)
        geometry = network.geometry_of(vectors)
        states = [network.embed(graph, geometry)]
        sums = []
        for i in range(network.settings.n_layers):
            state = states[-1]
            sums.append(network.received(i, state, graph, geometry))
            nodes = network.convolutions[i].update(state.nodes, sums[-1])
            edges = network.pairs(i, nodes, state.edges, graph, geometry)
            states.append(State(nodes=nodes, edges=edges))
        return cls(
            network=network, graph=graph, vectors=vectors, geometry=geometry,
            states=tuple(states), received=tuple(sums),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtomDerivative:
    """How blocks change when one atom of the infinite crystal moves.

    Attributes
    ----------
    atom : int
        The moved atom, in cell 0.
    pairs : ndarray of int, (n_blocks, 2)
        Atoms of bra and ket; the same image twice for on-site blocks.
    cells : ndarray of int, (n_blocks, 2, 3)
        Their cells.
    edges : ndarray of int, (n_blocks,)
        Edge of the periodic graph; -1 for on-site blocks.
    values : Tensor, (n_blocks, n_directions, n, n) hartree/bohr
        Padded, for displacements along x, y, z or along the given directions.
    """

    atom: int
    pairs: Integers
    cells: Integers
    edges: Integers
    values: Tensor


class _Images:
    """Images of atoms or edges that carry tangents, found by index and cell.

    Parameters
    ----------
    rows : ndarray of int, (n, 4)
        Index in the periodic graph and cell (of an edge, that of its first atom).
    """

    def __init__(self, rows: Integers) -> None:
        self.rows = np.unique(rows, axis=0) if len(rows) else rows.reshape(0, 4)
        self._low = self.rows[:, 1:].min(axis=0, initial=0) - 1
        self._span = self.rows[:, 1:].max(axis=0, initial=0) - self._low + 2
        self._keys = self._key(self.rows)

    def _key(self, rows: Integers) -> Integers:
        offset = np.clip(rows[:, 1:] - self._low, 0, self._span - 1)
        key = rows[:, 0]
        for axis in range(3):
            key = key * self._span[axis] + offset[:, axis]
        return np.asarray(key, dtype=np.int64)

    def find(self, rows: Integers) -> Integers:
        """Return the place of each row, or -1."""
        if not len(self.rows):
            return np.full(len(rows), -1, dtype=np.int64)
        key = self._key(rows)
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where(self._keys[place] == key, place, -1)

    def __len__(self) -> int:
        return len(self.rows)


#: Tangents for each direction of the displacement.
Tangents = Sequence[Features]


@torch.no_grad()
def atom_derivative(
    values: PeriodicValues, atom: int, *, reach: float | None = None,
    directions: NDArray[np.float64] | None = None,
) -> AtomDerivative:  # fmt: skip
    """Return the derivative of H - H0 over the position of one atom of the infinite crystal.

    Parameters
    ----------
    values : PeriodicValues
    atom : int
    reach : float, bohr, optional
        Atoms farther from the moved one keep their features, and pairs of two such atoms their
        blocks. Without it nothing is left out: one list radius per layer, and one more.
    directions : ndarray, (n_directions, 3), optional
        Displacements in place of those along x, y and z.
    """
    along = np.eye(3) if directions is None else np.asarray(directions, dtype=float)
    moving = _Propagation(values, atom, reach, along)
    return moving.blocks(moving.run())


@torch.no_grad()
def atom_spin_orbit_derivative(
    values: PeriodicValues, atom: int, momenta: tuple[Blocks, Blocks, Blocks], *,
    reach: float | None = None,
) -> tuple[AtomDerivative, AtomDerivative, AtomDerivative]:  # fmt: skip
    r"""Return :math:`A(\partial\bar\xi\, M_\alpha)`, that of spin-orbit coupling for x, y, z.

    The matrices M are held; what their own change does depends on the bond alone.

    Parameters
    ----------
    values : PeriodicValues
        Of a network with spin-orbit heads.
    atom : int
    momenta : three Blocks
        See :func:`~elphant.models.hamiltonians.hamgnn.blocks.spin_orbit_blocks`.
    reach : float, bohr, optional
        See :func:`atom_derivative`.
    """
    moving = _Propagation(values, atom, reach, np.eye(3))
    return moving.spin_orbit_blocks(moving.run(), momenta)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reached:
    """Images of atoms and edges after the last layer, with their tangents."""

    nodes: _Images
    node_tangents: Tangents
    edges: _Images
    edge_tangents: Tangents


class _Propagation:
    """Carries the tangents of one displaced atom through the layers."""

    def __init__(
        self, values: PeriodicValues, atom: int, reach: float | None,
        directions: NDArray[np.float64],
    ) -> None:  # fmt: skip
        self.values, self.atom, self.reach = values, atom, reach
        self.directions, self.axes = directions, range(len(directions))
        self.network, self.graph = values.network, values.graph
        start, end = self.graph.edge_index
        out, into = np.flatnonzero(start == atom), np.flatnonzero(end == atom)
        rows = np.concatenate(
            [
                np.column_stack([out, np.zeros((len(out), 3), dtype=np.int64)]),
                np.column_stack([into, -self.graph.cell_shift[into]]),
            ]
        )
        self.touched = _Images(rows)
        starts_here = (start[self.touched.rows[:, 0]] == atom) & (
            self.touched.rows[:, 1:] == 0
        ).all(axis=1)
        self.signs = self._tensor(np.where(starts_here, -1.0, 1.0))
        self.index = self._tensor(self.touched.rows[:, 0])
        self.geometry = values.geometry.take(self.index)
        self._duals = [self._geometry_tangent(axis) for axis in self.axes]

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.tensor(array, device=self.network.device)

    def _select(self, images: _Images, rows: Integers) -> Tensor:
        """Return where rows are among images; those that are not get the number of images."""
        place = images.find(rows)
        return self._tensor(np.where(place < 0, len(images), place))

    def _geometry_tangent(self, axis: int) -> EdgeGeometry:
        """Return the tangent of the geometry of the touched edges."""
        vectors = self.values.vectors[self.index]
        change = self.signs.to(vectors)[:, None] * self._tensor(self.directions[axis]).to(vectors)
        with forward_ad.dual_level():
            moving = self.network.geometry_of(dual(vectors, change))
            return EdgeGeometry(
                radial=split(moving.radial)[1],
                harmonics=tuple(split(part)[1] for part in moving.harmonics),
                frames=tuple(split(part)[1] for part in moving.frames),
            )

    def run(self) -> _Reached:
        """Return the tangents after the last layer."""
        nodes = _Images(np.empty((0, 4), dtype=np.int64))
        edges = self.touched
        node_tangents: Tangents = [self._empty() for _ in self.axes]
        edge_tangents: Tangents = [self._embedded(axis) for axis in self.axes]
        for i in range(self.network.settings.n_layers):
            active = self._edges_of(nodes)
            messages = self._messages(
                self.network.convolutions[i].messages, self.values.states[i],
                active, nodes, node_tangents, edges, edge_tangents,
            )  # fmt: skip
            nodes, node_tangents = self._updated_nodes(i, active, messages, nodes, node_tangents)
            edges, edge_tangents = self._updated_pairs(
                i, nodes, node_tangents, edges, edge_tangents
            )
        return _Reached(
            nodes=nodes, node_tangents=node_tangents, edges=edges, edge_tangents=edge_tangents
        )

    def _empty(self) -> Features:
        return self.network.settings.irreps.zeros(0, self.values.geometry.radial)

    def _embedded(self, axis: int) -> Features:
        """Return the tangents of the embedded pairs: they depend on the touched edges only."""
        embedding = self.network.embedding
        atoms = self._tensor(self.graph.edge_index[:, self.touched.rows[:, 0]])
        pair = self.network.embedded_pairs(self.graph, atoms[0], atoms[1])
        with forward_ad.dual_level():
            section = dual_geometry(self.geometry, self._duals[axis])
            result = embedding.product(pair, embedding.radial(section.radial), section)
            return {key: split(part)[1] for key, part in result.items()}

    def _ends(self, edges: _Images) -> tuple[Integers, Integers]:
        """Return the images of both atoms of each edge image."""
        index, cell = edges.rows[:, 0], edges.rows[:, 1:]
        start, end = self.graph.edge_index[:, index]
        return (
            np.column_stack([start, cell]),
            np.column_stack([end, cell + self.graph.cell_shift[index]]),
        )

    def _edges_of(self, nodes: _Images) -> _Images:
        """Return the edges of these atoms in both directions, and the touched ones."""
        start = self.graph.edge_index[0]
        order = np.argsort(start, kind="stable")
        counts = np.bincount(start, minlength=self.graph.n_atoms)
        offset = np.concatenate([[0], np.cumsum(counts)])
        rows = [self.touched.rows]
        for atom in np.unique(nodes.rows[:, 0]):
            cells = nodes.rows[nodes.rows[:, 0] == atom][:, 1:]
            own = order[offset[atom] : offset[atom + 1]]
            index = np.tile(own, len(cells))
            cell = np.repeat(cells, len(own), axis=0)
            rows.append(np.column_stack([index, cell]))
            reverse = self.graph.inverse[index]
            rows.append(np.column_stack([reverse, cell + self.graph.cell_shift[index]]))
        return _Images(np.concatenate(rows))

    def _messages(
        self, layer: Messages, state: State, active: _Images, nodes: _Images,
        node_tangents: Tangents, edges: _Images, edge_tangents: Tangents,
        ends: tuple[Features, Features] | None = None,
        end_tangents: tuple[Tangents, Tangents] | None = None,
    ) -> list[Features]:  # fmt: skip
        """Return the tangents of the messages of the active edges, in their frames.

        ``ends`` are the values of the first and the second atoms where they differ from the nodes
        of ``state``, ``end_tangents`` their tangents.
        """
        first, second = ends or (state.nodes, state.nodes)
        first_tangents, second_tangents = end_tangents or (node_tangents, node_tangents)
        a, b = (self._select(nodes, rows) for rows in self._ends(active))
        p = self._select(edges, active.rows)
        index = self._tensor(active.rows[:, 0])
        results: list[list[Features]] = [[] for _ in self.axes]
        for low, high in self.network.chunks(len(active)):
            section = self.values.geometry.take(index[low:high])
            # Many images of few edges: lengths are the same for all of them.
            distinct, place = torch.unique(index[low:high], return_inverse=True)
            node_scale, edge_scale = layer.scales(self.values.geometry.radial[distinct])
            scales = node_scale[place], edge_scale[place]
            for axis in self.axes:
                atoms = side_by_side(
                    _gather(first_tangents[axis], a[low:high]),
                    _gather(second_tangents[axis], b[low:high]),
                )
                pairs = _gather(edge_tangents[axis], p[low:high])
                results[axis].append(layer.scaled(section.inward(atoms), pairs, scales, section))
        tangents = [join(parts) for parts in results]
        # Where the geometry changes, its part comes on top of the linear one.
        place = self._tensor(active.find(self.touched.rows))
        atom_a, atom_b = self._tensor(self.graph.edge_index)
        atoms = side_by_side(take(first, atom_a[self.index]), take(second, atom_b[self.index]))
        pairs = take(state.edges, self.index)
        for axis in self.axes:
            with forward_ad.dual_level():
                section = dual_geometry(self.geometry, self._duals[axis])
                result = layer(section.inward(atoms), pairs, section)
                extra = {key: split(part)[1] for key, part in result.items()}
            for key, part in extra.items():
                tangents[axis][key].index_add_(1, place, part)
        return tangents

    def _updated_nodes(
        self, i: int, active: _Images, messages: list[Features], nodes: _Images,
        node_tangents: Tangents,
    ) -> tuple[_Images, list[Features]]:  # fmt: skip
        """Return the atoms that have tangents after convolution ``i``, with them."""
        layer, values = self.network.convolutions[i], self.values
        _, receivers = self._ends(active)
        reached = _Images(self._within(np.concatenate([nodes.rows, receivers])))
        place = self._tensor(reached.find(receivers))
        kept = place >= 0
        old = self._select(nodes, reached.rows)
        atom = self._tensor(reached.rows[:, 0])
        where = self._tensor(active.rows[:, 0])
        results = []
        received_values = take(values.received[i], atom)
        for axis in self.axes:
            outward = self._outward(messages[axis], active, where, i, axis)
            received = self.network.settings.irreps.zeros(len(reached), values.geometry.radial)
            for key, part in outward.items():
                received[key].index_add_(1, place[kept], part[:, kept])
            through = pushed(layer.residual, received_values, received)
            results.append(add(layer.skip(_gather(node_tangents[axis], old)), through))
        return reached, results

    def _outward(
        self, messages: Features, active: _Images, where: Tensor, i: int, axis: int
    ) -> Features:
        """Return tangents of messages in the frame of the crystal, which touched edges turn."""
        outward = self.values.geometry.take(where).outward(messages)
        if not self.geometry.frames:
            return outward
        state = self.values.states[i]
        atom_a, atom_b = self._tensor(self.graph.edge_index)
        atoms = side_by_side(
            take(state.nodes, atom_a[self.index]), take(state.nodes, atom_b[self.index])
        )
        layer = self.network.convolutions[i].messages
        message = layer(self.geometry.inward(atoms), take(state.edges, self.index), self.geometry)
        return self._turned(outward, message, active, axis)

    def _turned(self, outward: Features, inside: Features, edges: _Images, axis: int) -> Features:
        """Add what the turning frames of the touched edges do to vectors that stay in them."""
        place = self._tensor(edges.find(self.touched.rows))
        turning = EdgeGeometry(radial=self.geometry.radial, frames=self._duals[axis].frames)
        for key, part in turning.outward(inside).items():
            if key.l > 0:
                outward[key].index_add_(1, place, part)
        return outward

    def _updated_pairs(
        self, i: int, nodes: _Images, node_tangents: Tangents, edges: _Images,
        edge_tangents: Tangents,
    ) -> tuple[_Images, Tangents]:  # fmt: skip
        """Return the pairs that have tangents after pair update ``i``, with them."""
        update = self.network.pair_updates[i]
        if update is None:
            return edges, edge_tangents
        active = self._edges_of(nodes)
        values = self.values.states[i + 1].nodes
        state = State(nodes=values, edges=self.values.states[i].edges)
        mixed = self._messages(
            update.messages, state, active, nodes, node_tangents, edges, edge_tangents,
            ends=(update.source(values), update.target(values)),
            end_tangents=(
                [update.source(part) for part in node_tangents],
                [update.target(part) for part in node_tangents],
            ),
        )  # fmt: skip
        old = self._select(edges, active.rows)
        return active, [
            add(update.skip(_gather(edge_tangents[axis], old)), mixed[axis]) for axis in self.axes
        ]

    def _within(self, rows: Integers) -> Integers:
        """Return the images of atoms within reach."""
        if self.reach is None:
            return rows
        graph = self.graph
        place = graph.positions[rows[:, 0]] + rows[:, 1:] @ graph.cell
        distance = np.linalg.norm(place - graph.positions[self.atom], axis=1)
        return np.asarray(rows[distance <= self.reach])

    def blocks(self, found: _Reached) -> AtomDerivative:
        """Return the derivative of on-site blocks, then of those of the edges."""
        n = self.network.settings.n_orbitals
        parts = [
            torch.stack([assemble(part, n) for part in heads], dim=1)
            for heads in self._heads("hamiltonian", found)
        ]
        return self._result(found, parts[0], parts[1], 1.0)

    def spin_orbit_blocks(
        self, found: _Reached, momenta: tuple[Blocks, Blocks, Blocks]
    ) -> tuple[AtomDerivative, AtomDerivative, AtomDerivative]:
        """Return the derivative of the three components of spin-orbit coupling."""
        n = self.network.settings.n_orbitals
        on_site, off_site = (
            torch.stack([coupling_strengths(part, n) for part in heads], dim=1)
            for heads in self._heads("ksi", found)
        )
        atoms, edges = (self._tensor(i.rows[:, 0]) for i in (found.nodes, found.edges))
        x, y, z = (
            self._result(
                found,
                on_site * momentum.on_site.to(on_site)[atoms][:, None],
                off_site * momentum.off_site.to(off_site)[edges][:, None],
                -1.0,
            )
            for momentum in momenta
        )
        return x, y, z

    def _result(
        self, found: _Reached, on_site: Tensor, off_site: Tensor, sign: float
    ) -> AtomDerivative:
        """Return raw blocks with ``sign`` times their transposes, orbitals that exist only."""
        nodes, edges = found.nodes, found.edges
        first, second = self._ends(edges)
        rows = np.concatenate([nodes.rows, first]), np.concatenate([nodes.rows, second])
        reverse = edges.rows[:, 1:] + self.graph.cell_shift[edges.rows[:, 0]]
        back = edges.find(np.column_stack([self.graph.inverse[edges.rows[:, 0]], reverse]))
        on_site = 0.5 * (on_site + sign * on_site.transpose(2, 3))
        off_site = 0.5 * (off_site + sign * off_site[self._tensor(back)].transpose(2, 3))
        mask = orbital_mask(self.graph.numbers, self.network.settings.n_orbitals)
        bra, ket = (self._tensor(mask[end[:, 0]]).to(on_site) for end in rows)
        values = torch.cat([on_site, off_site])
        return AtomDerivative(
            atom=self.atom,
            pairs=np.stack([rows[0][:, 0], rows[1][:, 0]], axis=1),
            cells=np.stack([rows[0][:, 1:], rows[1][:, 1:]], axis=1),
            edges=np.concatenate([np.full(len(nodes), -1, dtype=np.int64), edges.rows[:, 0]]),
            values=values * bra[:, None, :, None] * ket[:, None, None, :],
        )

    def _heads(self, kind: str, found: _Reached) -> tuple[list[Features], list[Features]]:
        """Return the tangents of what the heads give for atoms and edges, for each direction."""
        values, edges = self.values, found.edges
        on_site, off_site = (self.network.heads[f"{site}_{kind}"] for site in ("onsite", "offsite"))
        at_nodes = take(values.states[-1].nodes, self._tensor(found.nodes.rows[:, 0]))
        of_nodes = [pushed(on_site, at_nodes, part) for part in found.node_tangents]
        index = self._tensor(edges.rows[:, 0])
        at_touched = off_site(take(values.states[-1].edges, self.index))
        of_edges = []
        for axis in self.axes:
            pieces = []
            for low, high in self.network.chunks(len(edges)):
                value = take(values.states[-1].edges, index[low:high])
                through = pushed(off_site, value, window(found.edge_tangents[axis], low, high))
                pieces.append(values.geometry.take(index[low:high]).outward(through))
            outward = join(pieces)
            if self.geometry.frames:
                outward = self._turned(outward, at_touched, edges, axis)
            of_edges.append(outward)
        return of_nodes, of_edges


def _gather(tangents: Features, selection: Tensor) -> Features:
    """Return tangents of the selected images, zero beyond the last."""
    result = {}
    for key, part in tangents.items():
        blank = part.new_zeros(part.shape[0], 1, part.shape[2])
        result[key] = torch.cat([part, blank], dim=1).index_select(1, selection)
    return result

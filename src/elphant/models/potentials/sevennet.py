"""SevenNet: equivariant graph networks, evaluated in batches and in float64 by default."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from elphant.crystal import Crystal
from elphant.crystal.elements import symbols_of
from elphant.engine.threads import torch_threads
from elphant.errors import DependencyError, ModelError
from elphant.models.card import ModelCard
from elphant.models.potentials.checks import build_evaluation, check_dtype, check_elements
from elphant.models.potentials.model_file import verified_file
from elphant.models.potentials.protocol import Evaluation
from elphant.models.registry import model_card, require_head

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

#: Edges (directed neighbour pairs) evaluated at once when no batch size is given. Measured memory
#: is about 0.1 MB per edge in float64 for the largest model of the wheel.
DEFAULT_BATCH_EDGES: Final = {"cpu": 6000, "cuda": 150000}

#: Added to the card of networks built from rotations alone.
NO_PARITY_NOTE: Final = (
    "The network is invariant under rotations but not under inversion or mirrors: crystals that "
    "differ by one have slightly different energies, and forces against those symmetries occur."
)


class SevenNetPotential:
    """A SevenNet checkpoint as an elphant potential.

    Parameters
    ----------
    source : str or Path
        Name of a registered model, or path of a checkpoint.
    head : str, optional
        Modality; required for a model with several.
    dtype : {"float64", "float32"}
        The weights are float32; the network is cast, so that forces are smooth to 1e-12 eV/Å and
        finite differences of them keep their digits.
    device : str
        ``cpu`` or ``cuda[:i]``.
    trust : bool
        Needed for a path: a checkpoint is a pickle, and loading it runs code from it.
    max_batch_atoms : int, optional
        Upper bound of atoms evaluated at once; chosen from a memory estimate when not given.

    Raises
    ------
    ModelError
        If the file is not trusted, its digest is wrong, or the modality is missing or unknown.
    DependencyError
        If sevenn is not installed.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        head: str | None = None,
        dtype: str = "float64",
        device: str = "cpu",
        trust: bool = False,
        max_batch_atoms: int | None = None,
    ) -> None:
        check_dtype(dtype)
        path, card = verified_file(source, "sevennet", trust)
        network, heads, parity = _load_network(path, dtype)
        head = require_head(card.name, head, heads)
        if card.head != head and card.heads:
            card = model_card(card.name, head)
        self._network: Any = network.to(device)
        self._device, self._dtype = device, dtype
        self._modality = network.modal_map[head] if head is not None else None
        self._cutoff = float(network.cutoff)
        self._max_batch_atoms = max_batch_atoms
        n_layers = sum(1 for name, _ in network.named_children() if name.endswith("_convolution"))
        self._card = replace(
            card,
            heads=heads,
            head=head,
            elements=symbols_of(sorted(network.type_map)),
            dtype=dtype,
            cutoff=self._cutoff,
            receptive_field=self._cutoff * n_layers,
            notes=card.notes if parity else f"{card.notes} {NO_PARITY_NOTE}".strip(),
        )
        logger.info("loaded %s (%s, %s, sha256 %s)", card.name, dtype, device, card.sha256[:12])

    @property
    def card(self) -> ModelCard:
        """Description of the model."""
        return self._card

    def evaluate(self, crystals: Sequence[Crystal]) -> list[Evaluation]:
        """Return energy, forces and stress of each crystal, several crystals per network call.

        Raises
        ------
        ModelError
            If an element is unknown to the model or a result is not finite.
        """
        check_elements(self._card, crystals)
        results: list[Evaluation] = []
        for batch in self._batches(crystals):
            results.extend(self._evaluate_batch(batch))
        return results

    def close(self) -> None:
        """Release the network."""
        self._network = None

    def _batches(self, crystals: Sequence[Crystal]) -> Iterator[list[tuple[Crystal, Any]]]:
        """Group neighbouring crystals so that each group fits into memory."""
        bound = DEFAULT_BATCH_EDGES["cuda" if self._device.startswith("cuda") else "cpu"]
        batch: list[tuple[Crystal, Any]] = []
        n_edges = n_atoms = 0
        for crystal in crystals:
            edges = _edges(crystal, self._cutoff)
            if not len(edges[0]):
                raise ModelError(
                    f"no two atoms of {crystal.formula} are within {self._cutoff:g} Å.",
                    f"'{self._card.name}' sees no bonds in this crystal.",
                    "Check the cell lengths and their unit (Å).",
                )
            new_edges, new_atoms = n_edges + len(edges[0]), n_atoms + crystal.n_atoms
            full = (
                new_edges > bound
                if self._max_batch_atoms is None
                else new_atoms > self._max_batch_atoms
            )
            if batch and full:
                yield batch
                batch, new_edges, new_atoms = [], len(edges[0]), crystal.n_atoms
            batch.append((crystal, edges))
            n_edges, n_atoms = new_edges, new_atoms
        if batch:
            yield batch

    def _evaluate_batch(self, batch: list[tuple[Crystal, Any]]) -> list[Evaluation]:
        import sevenn._keys as key

        if self._network is None:
            raise ModelError(f"potential '{self._card.name}' was closed.", fix="Load it again.")
        # On a processor the products are small; more threads would mostly wait for each other.
        with torch_threads(1) if self._device == "cpu" else nullcontext():
            output = self._network(self._graph(batch))
        energies = output[key.PRED_TOTAL_ENERGY].detach().reshape(-1).cpu().numpy()
        forces = output[key.PRED_FORCE].detach().cpu().numpy().astype(float)
        # sevenn orders xx, yy, zz, xy, yz, zx and counts compression positive.
        stress = -output[key.PRED_STRESS].detach().cpu().numpy().astype(float)
        stress = stress[:, [[0, 3, 5], [3, 1, 4], [5, 4, 2]]]
        ends = np.cumsum([crystal.n_atoms for crystal, _ in batch])
        return [
            build_evaluation(
                self._card, crystal, energies[i], forces[end - crystal.n_atoms : end], stress[i]
            )
            for i, ((crystal, _), end) in enumerate(zip(batch, ends, strict=True))
        ]

    def _graph(self, batch: list[tuple[Crystal, Any]]) -> dict[str, Any]:
        """Return one disconnected graph of all crystals of a batch."""
        import sevenn._keys as key
        import torch

        from elphant.models.potentials.sevennet_convolution import (
            BLOCKS_KEY,
            CHUNK_EDGES,
            neighbour_blocks,
        )

        dtype = getattr(torch, self._dtype)
        sizes = np.array([crystal.n_atoms for crystal, _ in batch])
        starts = np.cumsum(sizes) - sizes
        pairs = np.hstack([np.stack(e[:2]) + s for (_, e), s in zip(batch, starts, strict=True)])
        vectors = np.vstack([edges[2] for _, edges in batch])
        numbers = np.concatenate([crystal.numbers for crystal, _ in batch])
        positions = np.vstack([crystal.positions for crystal, _ in batch])

        # Edges grouped by the number of neighbours of their first atom, for the convolution.
        degrees = np.bincount(pairs[0], minlength=len(numbers))
        kind = "cuda" if self._device.startswith("cuda") else "cpu"
        node_order, blocks = neighbour_blocks(torch.as_tensor(degrees), CHUNK_EDGES[kind])
        rank = np.empty(len(numbers), dtype=int)
        rank[node_order.numpy()] = np.arange(len(numbers))
        edge_order = np.argsort(rank[pairs[0]], kind="stable")
        pairs, vectors = pairs[:, edge_order], vectors[edge_order]

        def tensor(array: Any, kind: Any) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(array)).to(self._device, kind)

        graph: dict[str, Any] = {
            key.ATOMIC_NUMBERS: tensor(numbers, torch.int64),
            key.NODE_FEATURE: tensor(numbers, torch.int64),
            key.POS: tensor(positions, dtype),
            key.EDGE_IDX: tensor(pairs, torch.int64),
            key.EDGE_VEC: tensor(vectors, dtype),
            key.CELL_VOLUME: tensor([crystal.volume for crystal, _ in batch], dtype),
            key.NUM_ATOMS: tensor(sizes, torch.int64),
            key.BATCH: tensor(np.repeat(np.arange(len(batch)), sizes), torch.int64),
            BLOCKS_KEY: [replace(b, nodes=b.nodes.to(self._device)) for b in blocks],
        }
        if self._modality is not None:
            graph[key.MODAL_TYPE] = tensor(np.full(len(batch), self._modality), torch.int64)
        return graph


def _load_network(path: Path, dtype: str) -> tuple[Any, tuple[str, ...], bool]:
    """Build the network of a checkpoint in evaluation mode, cast to ``dtype``."""
    try:
        with _captured_warnings():
            from sevenn.util import load_checkpoint
    except ImportError as error:
        raise DependencyError(
            "SevenNet potentials need the package sevenn, which is not installed here.",
            fix="Install it with: pip install 'elphant[sevennet]'; or use --potential-python.",
        ) from error
    import torch

    try:
        with _captured_warnings():
            checkpoint = load_checkpoint(str(path))
            network = checkpoint.build_model()
    except Exception as error:
        raise ModelError(
            f"'{path}' cannot be loaded as a SevenNet checkpoint: {type(error).__name__}: {error}",
            fix="Check that it was written by sevenn and belongs to this version of it.",
        ) from error
    network = network.eval().to(getattr(torch, dtype))
    network.requires_grad_(requires_grad=False)
    network.set_is_batch_data(True)
    # The modality is passed as an index tensor with each batch.
    network.eval_modal_map = False
    _prepare(network, getattr(torch, dtype))
    return network, tuple(network.modal_map or ()), bool(checkpoint.config.get("is_parity"))


def _prepare(network: Any, dtype: torch.dtype) -> None:
    """Make the element embedding yield ``dtype``, and put the fast convolution in place."""
    import sevenn._keys as key

    from elphant.models.potentials.sevennet_convolution import NodewiseConvolution

    def cast(_module: Any, _inputs: Any, data: Any) -> Any:
        # sevenn always makes float32 here.
        for name in (key.NODE_FEATURE, key.NODE_ATTR):
            if name in data and data[name].is_floating_point():
                data[name] = data[name].to(dtype)
        return data

    for name, module in list(network.named_children()):
        if type(module).__name__ == "OnehotEmbedding":
            module.register_forward_hook(cast)
        elif type(module).__name__ == "IrrepsConvolution":
            try:
                network.replace_module(name, NodewiseConvolution(module, dtype))
            except NotImplementedError as reason:
                logger.info("layer %s keeps sevenn's slower convolution: %s", name, reason)


def _edges(crystal: Crystal, cutoff: float) -> tuple[Any, Any, Any]:
    """Return first atoms, second atoms and connecting vectors (Å) of all pairs within reach."""
    from matscipy.neighbours import neighbour_list  # type: ignore[import-untyped]

    first, second, vectors = neighbour_list(
        quantities="ijD",
        pbc=np.ones(3, dtype=bool),
        cell=np.array(crystal.lattice),
        positions=np.array(crystal.positions),
        cutoff=cutoff,
    )
    return first, second, vectors


@contextmanager
def _captured_warnings() -> Iterator[None]:
    """Collect third-party warnings and put them, once each, into the debug log."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in {str(warning.message) for warning in caught}:
        logger.debug("third-party warning: %s", text)

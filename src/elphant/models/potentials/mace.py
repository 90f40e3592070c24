"""MACE: equivariant graph networks, with the head named by the user and float64 by default."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from elphant.crystal import Crystal
from elphant.crystal.elements import symbols_of
from elphant.errors import DependencyError, ModelError, ResourceError
from elphant.models.card import ModelCard
from elphant.models.potentials.checks import build_evaluation, check_dtype, check_elements
from elphant.models.potentials.model_file import verified_file
from elphant.models.potentials.protocol import Evaluation
from elphant.models.registry import model_card, require_head

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

#: Edges (directed neighbour pairs) evaluated at once when no batch size is given.
DEFAULT_BATCH_EDGES: Final = {"cpu": 9000, "cuda": 150000}

#: torch reads its default type, and mace sets environment variables, for the whole process.
_GLOBAL_STATE = threading.RLock()


class MacePotential:
    """A MACE model file as an elphant potential.

    Parameters
    ----------
    source : str or Path
        Name of a registered model, or path of a model file.
    head : str, optional
        Output head; required for a model with several, and never chosen silently.
    dtype : {"float64", "float32"}
        Type the network is cast to. Published weights are float32; force constants want float64.
    device : str
        ``cpu`` or ``cuda[:i]``.
    trust : bool
        Needed for a path: a model file is a pickle, and loading it runs code from it.
    max_batch_atoms : int, optional
        Upper bound of atoms evaluated at once; bounded by the number of edges when not given.

    Raises
    ------
    ModelError
        If the file is not trusted, its digest is wrong, or the head is missing or unknown.
    DependencyError
        If mace-torch is not installed in this environment, or the device does not exist.
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
        path, card = verified_file(source, "mace", trust)
        network = _load_network(path, dtype, device)
        self._heads = tuple(str(name) for name in getattr(network, "heads", ("Default",)))
        head = require_head(card.name, head, self._heads)
        if head in card.heads:
            card = replace(model_card(card.name, head), sha256=card.sha256)
        self._network: Any = network
        self._numbers = [int(number) for number in network.atomic_numbers]
        self._device, self._dtype = device, dtype
        self._cutoff = float(network.r_max)
        self._max_batch_atoms = max_batch_atoms
        self._max_batch_edges = DEFAULT_BATCH_EDGES[device.partition(":")[0]]
        self._card = replace(
            card,
            heads=self._heads,
            head=head,
            elements=symbols_of(self._numbers),
            dtype=dtype,
            cutoff=self._cutoff,
            receptive_field=self._cutoff * int(network.num_interactions),
        )
        logger.info(
            "loaded %s, head %s (%s, %s, sha256 %s)",
            card.name,
            head,
            dtype,
            device,
            card.sha256[:12],
        )

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
        ResourceError
            If one crystal alone does not fit into the memory of the device.
        """
        if self._network is None:
            raise ModelError(f"potential '{self._card.name}' was closed.", fix="Load it again.")
        check_elements(self._card, crystals)
        results: list[Evaluation] = []
        with _contained(self._dtype):
            for batch in self._batches(crystals):
                results.extend(self._evaluate_batch(batch))
        return results

    def close(self) -> None:
        """Release the network."""
        self._network = None

    def _graph(self, crystal: Crystal) -> Any:
        """Return the neighbour graph of one crystal in mace's own data type."""
        from mace import data
        from mace.tools import AtomicNumberTable

        configuration = data.Configuration(
            atomic_numbers=np.array(crystal.numbers),
            positions=np.array(crystal.positions),
            properties={},
            property_weights={},
            cell=np.array(crystal.lattice),
            pbc=(True, True, True),
            head=self._card.head,
        )
        return data.AtomicData.from_config(
            configuration,
            z_table=AtomicNumberTable(self._numbers),
            cutoff=self._cutoff,
            heads=list(self._heads),
        )

    def _batches(self, crystals: Sequence[Crystal]) -> Iterator[list[tuple[Crystal, Any]]]:
        """Build the graphs and group neighbouring ones so that each group fits into memory."""
        batch: list[tuple[Crystal, Any]] = []
        n_edges = n_atoms = 0
        for crystal in crystals:
            graph = self._graph(crystal)
            new_edges = int(graph.edge_index.shape[1])
            n_edges, n_atoms = n_edges + new_edges, n_atoms + crystal.n_atoms
            full = (
                n_edges > self._max_batch_edges
                if self._max_batch_atoms is None
                else n_atoms > self._max_batch_atoms
            )
            if batch and full:
                yield batch
                batch, n_edges, n_atoms = [], new_edges, crystal.n_atoms
            batch.append((crystal, graph))
        if batch:
            yield batch

    def _evaluate_batch(self, batch: list[tuple[Crystal, Any]]) -> list[Evaluation]:
        """Evaluate one batch, in two halves when the accelerator's memory is too small for it."""
        import torch

        try:
            energies, forces, stress = self._forward([graph for _, graph in batch])
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(batch) == 1:
                raise ResourceError(
                    f"{batch[0][0].n_atoms} atoms do not fit into the memory of {self._device}.",
                    str(error).splitlines()[0],
                    "Use smaller supercells, dtype float32 or a device with more memory.",
                ) from error
            half = len(batch) // 2
            self._max_batch_edges = max(self._max_batch_edges // 2, 1)
            return self._evaluate_batch(batch[:half]) + self._evaluate_batch(batch[half:])
        ends = np.cumsum([crystal.n_atoms for crystal, _ in batch])
        return [
            build_evaluation(
                self._card, crystal, energies[i], forces[end - crystal.n_atoms : end], stress[i]
            )
            for i, ((crystal, _), end) in enumerate(zip(batch, ends, strict=True))
        ]

    def _forward(self, graphs: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Return energies (n,) eV, forces (N, 3) eV/Å and stresses (n, 3, 3) eV/Å³."""
        from mace.tools import torch_geometric

        batch = torch_geometric.Batch.from_data_list(list(graphs)).to(self._device)
        output = self._network(batch.to_dict(), compute_stress=True)
        values = [output.get(name) for name in ("energy", "forces", "stress")]
        if any(value is None for value in values):
            raise ModelError(
                f"model '{self._card.name}' gives no energy, forces or stress.",
                f"It is a {type(self._network).__name__}, which predicts something else.",
                "Choose a model of interatomic forces.",
            )
        energies, forces, stress = (_numpy(value) for value in values)
        return energies, forces, stress


def _numpy(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return tensor.detach().cpu().numpy().astype(float)


def _load_network(path: Path, dtype: str, device: str) -> Any:
    """Unpickle a model in evaluation mode, cast to ``dtype`` and moved to ``device``."""
    for package in ("torch", "mace"):
        # find_spec looks without importing: both packages take seconds to import.
        if importlib.util.find_spec(package) is None:
            raise _missing_package(f"it lacks {package}")
    _check_device(device)
    with _contained(dtype):
        import torch

        try:
            import mace.data
            import mace.modules
            import mace.tools.torch_geometric  # noqa: F401  imported while output is contained
        except ImportError as error:
            raise _missing_package(str(error)) from error
        try:
            network = torch.load(path, map_location=device, weights_only=False)
            network = network.to(device=device, dtype=getattr(torch, dtype)).eval()
            network.requires_grad_(requires_grad=False)
            _ = network.r_max, network.atomic_numbers, network.num_interactions
        except Exception as error:  # a foreign pickle can fail in any way
            raise ModelError(
                f"'{path}' cannot be loaded as a MACE model: {type(error).__name__}: {error}",
                "A MACE model file holds a whole network (NAME.model), not a state dictionary or "
                "a training checkpoint, and needs a mace-torch of about the same age.",
                "Check that it was written by mace_run_train or belongs to the published models.",
            ) from error
    return network


def _missing_package(reason: str) -> DependencyError:
    return DependencyError(
        "MACE potentials need the package mace-torch, which cannot be used in this environment "
        f"({sys.executable}): {reason}.",
        "mace-torch needs e3nn 0.4.4 and sevenn a newer one, so each wants its own environment.",
        'In an environment made for MACE run: pip install "elphant[mace]"; then give the path of '
        "its Python with --potential-python.",
    )


def _check_device(device: str) -> None:
    import torch

    kind = device.partition(":")[0]
    if kind not in DEFAULT_BATCH_EDGES:
        raise ModelError(f"device '{device}' is unknown.", fix="Use cpu, cuda or cuda:INDEX.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise DependencyError(
            f"device '{device}' was asked for, but torch {torch.__version__} sees no CUDA device.",
            fix="Use --device cpu, or install a torch build for your GPU.",
        )


@contextmanager
def _contained(dtype: str) -> Iterator[None]:
    """Give mace the process-wide settings it relies on, and put the old ones back afterwards.

    mace reads torch's default type when it builds tensors; importing it sets an environment
    variable that makes every later ``torch.load`` unsafe; it prints, warns, and logs to the root
    logger, which would install a handler there.
    """
    import torch

    variable = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    printed = io.StringIO()
    with _GLOBAL_STATE, contextlib.ExitStack() as stack:
        default, unsafe = torch.get_default_dtype(), os.environ.get(variable)
        stack.callback(torch.set_default_dtype, default)
        stack.callback(_restore_environment, variable, unsafe)
        stack.enter_context(contextlib.redirect_stdout(printed))
        stack.enter_context(contextlib.redirect_stderr(printed))
        stack.enter_context(_quiet_root_logger())
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        stack.enter_context(torch.enable_grad())
        warnings.simplefilter("once")
        # e3nn 0.4.4 loads its own constants with an unqualified torch.load.
        os.environ[variable] = "1"
        torch.set_default_dtype(getattr(torch, dtype))
        yield
    texts = [*{str(warning.message) for warning in caught}, *printed.getvalue().splitlines()]
    for text in filter(str.strip, texts):
        logger.debug("mace: %s", text)


def _restore_environment(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Keep ``logging.info`` and the like from installing a handler on a bare root logger."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)

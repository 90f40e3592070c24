"""Importer of HamGNN predictions: ``graph_data.npz`` with ``hamiltonian.npy``.

The graph holds geometry and overlap, the array the predicted Hamiltonian: float32, hartree and bohr
as OpenMX writes them, orbitals in OpenMX's order. With spin-orbit coupling the ↓↑ blocks of the
array are *not* the Hermitian conjugate of ↑↓ (they have the opposite sign): ↑↓ is taken and ↓↑ made
from it. Graphs of other programs (SIESTA, ABACUS) order their orbitals differently and are not
read.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.crystal.elements import symbols_of
from elphant.errors import ModelError
from elphant.models.hamiltonians.importers.edge_blocks import (
    EdgeList,
    basis_of_labels,
    matrix_of_spin_blocks,
)
from elphant.models.hamiltonians.importers.openmx import openmx_labels
from elphant.models.hamiltonians.importers.restricted_pickle import Record, load_object_array
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
)
from elphant.orbitals.spin import spinor_matrix
from elphant.store.atomic import sha256_of_file
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

Array = NDArray[Any]

GRAPH_FILE = "graph_data.npz"
HAMILTONIAN_FILE = "hamiltonian.npy"

#: (n, l) of the shells of a padded block, by its number of orbitals.
SHELLS = {
    13: ((1, 0), (2, 0), (1, 1), (2, 1), (1, 2)),
    14: ((1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2)),
    19: ((1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (2, 2)),
    26: ((1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (2, 2), (1, 3)),
}

#: Valence electrons of OpenMX's PBE19 pseudopotentials.
VALENCE = {
    "H": 1, "He": 2, "Li": 3, "Be": 2, "B": 3, "C": 4, "N": 5, "O": 6, "F": 7, "Ne": 8, "Na": 9,
    "Mg": 8, "Al": 3, "Si": 4, "P": 5, "S": 6, "Cl": 7, "Ar": 8, "K": 9, "Ca": 10, "Sc": 11,
    "Ti": 12, "V": 13, "Cr": 14, "Mn": 15, "Fe": 16, "Co": 17, "Ni": 18, "Cu": 19, "Zn": 20,
    "Ga": 13, "Ge": 4, "As": 15, "Se": 6, "Br": 7, "Kr": 8, "Rb": 9, "Sr": 10, "Y": 11, "Zr": 12,
    "Nb": 13, "Mo": 14, "Tc": 15, "Ru": 14, "Rh": 15, "Pd": 16, "Ag": 17, "Cd": 12, "In": 13,
    "Sn": 14, "Sb": 15, "Te": 16, "I": 7, "Xe": 8, "Cs": 9, "Ba": 10, "La": 11, "Ce": 12, "Pr": 13,
    "Nd": 14, "Pm": 15, "Sm": 16, "Dy": 20, "Ho": 21, "Lu": 11, "Hf": 12, "Ta": 13, "W": 12,
    "Re": 15, "Os": 14, "Ir": 15, "Pt": 16, "Au": 17, "Hg": 18, "Tl": 19, "Pb": 14, "Bi": 15,
}  # fmt: skip

#: An orbital whose norm is below this is padding.
PADDING_NORM = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """One crystal of a graph file, in bohr, with the padded overlap."""

    numbers: Array
    cell: Array
    positions: Array
    edge_index: Array
    cell_shift: Array
    on_site_overlap: Array
    off_site_overlap: Array
    doping_charge: float

    @property
    def n_blocks(self) -> int:
        """Number of atoms and edges together."""
        return len(self.numbers) + len(self.cell_shift)


def read_hamgnn(
    graph: str | Path,
    hamiltonian: str | Path | None = None,
    *,
    index: int = 0,
    n_electrons: float | None = None,
) -> LocalOrbitalHamiltonian:
    """Return a predicted Hamiltonian.

    Parameters
    ----------
    graph : path-like
        ``graph_data.npz``, or the folder that holds it.
    hamiltonian : path-like, optional
        The array; ``hamiltonian.npy`` beside the graph when not given.
    index : int
        Which structure of the files.
    n_electrons : float, optional
        In place of the valence electrons of OpenMX's PBE19 pseudopotentials.

    Raises
    ------
    ModelError
        If a file is missing, damaged, asks for code to be run, or does not fit the other.
    """
    graph_path = Path(graph)
    if graph_path.is_dir():
        graph_path /= GRAPH_FILE
    array_path = Path(hamiltonian or graph_path.with_name(HAMILTONIAN_FILE))
    graphs = read_graphs(graph_path)
    if not 0 <= index < len(graphs):
        raise ModelError(
            f"'{graph_path}' holds {len(graphs)} structures; number {index} is not there.",
            fix=f"Choose one from 0 to {len(graphs) - 1}.",
        )
    rows = _read_array(array_path)
    spinor, n_padded = _layout(rows, graphs, array_path)
    factor = 2 if spinor else 1
    start = factor * sum(item.n_blocks for item in graphs[:index])
    chosen = graphs[index]
    part = rows[start : start + factor * chosen.n_blocks].astype(float)
    try:
        return _hamiltonian(chosen, part, n_padded, spinor, n_electrons, graph_path, array_path)
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"'{graph_path}' and '{array_path.name}' do not make a Hamiltonian: {error}.",
            "One of them is damaged, or they belong to different structures.",
            "Predict again from this graph file.",
        ) from error


def read_graphs(path: Path) -> list[Graph]:
    """Return the crystals of a ``graph_data.npz`` file; nothing in it is executed.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or asks for code to be run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read("graph.npy")
    except (OSError, KeyError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ModelError(
            f"HamGNN graph file '{path}' cannot be read: {error}.",
            fix="Check the path; the file holds one array called 'graph'.",
        ) from error
    graphs = load_object_array(content, path)
    if not isinstance(graphs, dict) or not graphs:
        raise ModelError(f"'{path}' holds no structures.", fix="Write the graph file again.")
    return [_graph(graphs[key], path) for key in sorted(graphs)]


def _graph(item: Any, path: Path) -> Graph:
    store = item.state.get("_store") if isinstance(item, Record) else None
    mapping = store.state.get("_mapping") if isinstance(store, Record) else None
    if not isinstance(mapping, dict):
        raise ModelError(
            f"a structure in '{path}' is not a torch_geometric graph.",
            fix="Write the graph file again with HamGNN's own tool.",
        )
    try:
        n_atoms = len(mapping["z"])
        numbers = np.asarray(mapping["z"], dtype=np.int64).reshape(n_atoms)
        edge_index = np.asarray(mapping["edge_index"], dtype=np.int64)
        n_edges = edge_index.shape[1]
        charge = np.asarray(mapping.get("doping_charge", 0.0), dtype=float).ravel()
        return Graph(
            numbers=numbers,
            cell=np.asarray(mapping["cell"], dtype=float).reshape(3, 3),
            positions=np.asarray(mapping["pos"], dtype=float).reshape(n_atoms, 3),
            edge_index=edge_index.reshape(2, n_edges),
            cell_shift=np.asarray(mapping["cell_shift"], dtype=np.int64).reshape(n_edges, 3),
            on_site_overlap=np.asarray(mapping["Son"], dtype=float).reshape(n_atoms, -1),
            off_site_overlap=np.asarray(mapping["Soff"], dtype=float).reshape(n_edges, -1),
            doping_charge=float(charge.sum()),
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(
            f"a structure in '{path}' is incomplete: {reason}.",
            "elphant needs z, cell, pos, edge_index, cell_shift, Son and Soff.",
            "Write the graph file again with HamGNN's own tool.",
        ) from error


def _read_array(path: Path) -> Array:
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(
            f"HamGNN prediction '{path}' cannot be read: {error}.", fix="Check the path."
        ) from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind != "f":
        raise ModelError(
            f"'{path}' is not a HamGNN prediction.",
            "That is a two-dimensional array of real numbers, one row per block.",
            "Name the hamiltonian.npy of the prediction.",
        )
    return rows


def _layout(rows: Array, graphs: list[Graph], path: Path) -> tuple[bool, int]:
    """Return whether the blocks are spinor ones, and the padded number of orbitals."""
    total = sum(graph.n_blocks for graph in graphs)
    spinor = len(rows) == 2 * total
    if not spinor and len(rows) != total:
        raise ModelError(
            f"'{path}' has {len(rows)} blocks; the graph has {total} atoms and edges.",
            "Without spin-orbit coupling there is one row per block, with it two.",
            "Use the graph file from which the prediction was made.",
        )
    n = isqrt(rows.shape[1]) // (2 if spinor else 1)
    if (2 * n if spinor else n) ** 2 != rows.shape[1] or n not in SHELLS:
        raise ModelError(
            f"'{path}' has blocks of {rows.shape[1]} elements.",
            f"Known are squares of {', '.join(map(str, SHELLS))} OpenMX orbitals, and of twice "
            "that with spin-orbit coupling.",
            "Use a model for OpenMX.",
        )
    return spinor, n


def _hamiltonian(
    graph: Graph, rows: Array, n: int, spinor: bool, n_electrons: float | None,
    graph_path: Path, array_path: Path,
) -> LocalOrbitalHamiltonian:  # fmt: skip
    n_atoms = len(graph.numbers)
    on_overlap, off_overlap = (
        _scalar_blocks(blocks, n) for blocks in (graph.on_site_overlap, graph.off_site_overlap)
    )
    present = [np.flatnonzero(block.diagonal() > PADDING_NORM) for block in on_overlap]
    edges = EdgeList(
        orbitals=tuple(present), edge_index=graph.edge_index, cell_shift=graph.cell_shift
    )
    S = edges.matrix(on_overlap, off_overlap)
    labels = openmx_labels(list(SHELLS[n]))
    _check_shells(present, labels)
    if spinor:
        blocks = rows[: len(rows) // 2] + 1j * rows[len(rows) // 2 :]
        H = _spinor(edges, blocks.reshape(-1, 2 * n, 2 * n), n_atoms, n)
        S = spinor_matrix(S)
    else:
        blocks = rows.reshape(-1, n, n)
        H = edges.matrix(blocks[:n_atoms], blocks[n_atoms:])
    crystal = _crystal(graph)
    return LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=basis_of_labels([labels[kept] for kept in present], spinor=spinor),
        hamiltonian=H.with_values(H.values * OPENMX_EV_PER_HARTREE),
        overlap=S,
        n_electrons=_electrons(graph, crystal, n_electrons),
        origin=HamiltonianOrigin(
            provider="hamgnn",
            level_of_theory="HamGNN prediction in an OpenMX basis",
            self_consistent=False,
            details={
                "graph_file": graph_path.name,
                "graph_sha256": sha256_of_file(graph_path),
                "file": array_path.name,
                "sha256": sha256_of_file(array_path),
                "spin_orbit": spinor,
                "precision": "float32",
                "hartree_eV": OPENMX_EV_PER_HARTREE,
                "bohr_angstrom": OPENMX_ANGSTROM_PER_BOHR,
            },
        ),
    )


def _scalar_blocks(flat: Array, n: int) -> Array:
    """Return blocks (n_blocks, n, n); of spinor-sized ones the ↑↑ part."""
    size = n if flat.shape[1] == n * n else 2 * n
    return flat.reshape(-1, size, size)[:, :n, :n]


def _check_shells(present: list[Array], labels: Array) -> None:
    for atom, kept in enumerate(present):
        if not len(kept):
            raise ValueError(f"atom {atom + 1} has no orbitals")
        for n, ell in {(row[0], row[1]) for row in labels[kept].tolist()}:
            count = int(((labels[kept, 0] == n) & (labels[kept, 1] == ell)).sum())
            if count != 2 * ell + 1:
                raise ValueError(f"atom {atom + 1} has {count} orbitals of a shell with l = {ell}")


def _spinor(edges: EdgeList, blocks: Array, n_atoms: int, n: int) -> LatticeMatrix:
    up, down = slice(0, n), slice(n, 2 * n)
    parts = [
        edges.matrix(blocks[:n_atoms, rows, columns], blocks[n_atoms:, rows, columns])
        for rows, columns in ((up, up), (down, down), (up, down))
    ]
    return matrix_of_spin_blocks(*parts)


def _crystal(graph: Graph) -> Crystal:
    return Crystal(
        lattice=graph.cell * OPENMX_ANGSTROM_PER_BOHR,
        fractional=graph.positions @ np.linalg.inv(graph.cell),
        numbers=graph.numbers,
    )


def _electrons(graph: Graph, crystal: Crystal, given: float | None) -> float:
    if given is not None:
        return float(given)
    if graph.doping_charge:
        raise ModelError(
            f"the graph carries a doping charge of {graph.doping_charge:g}.",
            "The filling of its bands cannot be told from the elements.",
            "Give the number of electrons per cell.",
        )
    unknown = sorted(set(symbols_of(graph.numbers)) - set(VALENCE))
    if unknown:
        raise ModelError(
            f"the valence electrons of {', '.join(unknown)} are not known.",
            "They depend on the pseudopotential.",
            "Give the number of electrons per cell.",
        )
    return float(sum(VALENCE[symbol] for symbol in crystal.symbols))

r"""The provider ``uni-hamgnn``: H0 and S from OpenMX's tables, and what the network adds.

.. math:: H = T + V_{NA} + V_{NL} + \Delta_\text{network}, \qquad S \text{ exact}

Y. Zhong, R. Wang, X. Gong and H. Xiang, arXiv:2504.19586 (2025). No self-consistent cycle is run:
the network was trained on the difference between H0 and the self-consistent Hamiltonian. Its energy
zero may be off by a constant in each crystal; differences of energies do not feel it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.card import ModelCard
from elphant.models.hamiltonians.hamgnn.blocks import orbital_mask
from elphant.models.hamiltonians.hamgnn.checkpoint import MODEL_NAME, Checkpoint
from elphant.models.hamiltonians.hamgnn.checkpoint_resources import (
    OPENMX_RELEASE,
    load_uni_hamgnn,
    openmx_tables,
    origin_flag,
    uni_hamgnn_record,
)
from elphant.models.hamiltonians.hamgnn.derivatives import environment_derivative
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph, inverse_edges
from elphant.models.hamiltonians.hamgnn.images import PeriodicValues
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork
from elphant.models.hamiltonians.hamgnn.prediction import predict_correction
from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings
from elphant.models.hamiltonians.importers.edge_blocks import EdgeList
from elphant.models.hamiltonians.openmx import (
    STANDARD_BASIS,
    OpenMXData,
    OpenMXMatrices,
    openmx_derivatives,
    openmx_matrices,
    openmx_overlap_derivative,
)
from elphant.models.hamiltonians.protocol import HamiltonianCapabilities
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
    TabulatedRadial,
)
from elphant.orbitals.derivatives import (
    HamiltonianDerivatives,
    VectorMatrix,
    added,
    translation_residual,
)
from elphant.quality import QualityFlag
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

REFERENCES = ("uni_hamgnn", "hamgnn", "openmx_pao")

#: Largest element (hartree/bohr) of blocks of the network's derivative that are left out.
DERIVATIVE_THRESHOLD = 1e-7


class UniHamGNNProvider:
    """Hamiltonians of the networks and the OpenMX tables that the user has added.

    Whether both are there is checked at once; weights are read when they are first needed.

    Parameters
    ----------
    checkpoint : Checkpoint, optional
        In place of the one that was added.
    data : OpenMXData, optional
        In place of the tables that were added.
    basis : mapping of str to str, optional
        Orbital tables of elements, as ``{"Si": "Si7.0-s2p2d1"}``; the network was trained with
        :data:`~elphant.models.hamiltonians.openmx.STANDARD_BASIS`, which is the default.
    dtype : dtype
        In which the network runs.
    reach : float, bohr, optional
        Atoms farther from the moved one than this keep their features in derivatives.
    threshold : float, hartree/bohr
        Blocks of the network's derivative that are smaller are left out.

    Raises
    ------
    ModelError
        If no networks or no tables were added, or they are not there any more.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None = None,
        data: OpenMXData | None = None,
        *,
        basis: Mapping[str, str] | None = None,
        dtype: torch.dtype = torch.float64,
        reach: float | None = None,
        threshold: float = DERIVATIVE_THRESHOLD,
    ) -> None:
        self._given = checkpoint
        self._record = None if checkpoint else uni_hamgnn_record()
        self.data = data or OpenMXData(openmx_tables().path)
        self.basis, self.dtype = dict(basis or {}), dtype
        self.reach, self.threshold = reach, threshold

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The networks as they were added."""
        return self._given or load_uni_hamgnn()

    @cached_property
    def network(self) -> HamGNNNetwork:
        """The network without spin-orbit coupling, ready to run."""
        state = self.checkpoint.nonsoc
        settings = NetworkSettings.from_config(state.config, spin_orbit=False)
        return HamGNNNetwork.from_state(settings, state.tensors, dtype=self.dtype)

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the numbers, without reading weights."""
        source = (
            self._record["source"]["sha256"]
            if self._record is not None
            else self.checkpoint.source.sha256
        )
        return {
            "network_sha256": source, "tables": OPENMX_RELEASE, "basis": self.basis,
            "dtype": _name(self.dtype), "reach": self.reach, "threshold": self.threshold,
        }  # fmt: skip

    @property
    def card(self) -> ModelCard:
        """What the networks are and how far to trust them."""
        source, settings = self.checkpoint.source, self.network.settings
        cutoff = settings.cutoff * OPENMX_ANGSTROM_PER_BOHR
        return ModelCard(
            name=MODEL_NAME,
            provider=MODEL_NAME,
            level_of_theory=self._level_of_theory,
            licence=f"{source.licence} (networks); GPL-3.0 (OpenMX tables)",
            elements=tuple(self.elements),
            sha256=source.sha256,
            dtype=_name(self.dtype),
            cutoff=cutoff,
            receptive_field=settings.n_layers * cutoff,
            references=REFERENCES,
            source=source.origin,
            notes="No self-consistent cycle: a network adds what it would change. Energies have "
            "no common zero between crystals.",
        )

    @property
    def capabilities(self) -> HamiltonianCapabilities:
        """Analytic derivatives of H and S, and the functions of the tables."""
        return HamiltonianCapabilities(
            overlap_derivatives=True, hamiltonian_derivatives=True, basis_functions=True
        )

    @property
    def elements(self) -> list[str]:
        """Elements of the basis, in the order of their table."""
        return list({**STANDARD_BASIS, **self.basis})

    def predict(self, crystal: Crystal) -> LocalOrbitalHamiltonian:
        """Return H(R) and S(R) of a crystal.

        Raises
        ------
        ModelError
            If an element is not covered, a table is missing or unusable, or atoms coincide.
        """
        self._require_covered(crystal)
        matrices = openmx_matrices(crystal, self.data, basis=self._basis_of(crystal))
        correction = self._correction(crystal, matrices)
        h0 = matrices.h0
        return LocalOrbitalHamiltonian(
            crystal=crystal,
            basis=_with_functions(matrices),
            hamiltonian=h0.with_values(h0.values + correction.values),
            overlap=matrices.overlap,
            n_electrons=matrices.n_electrons,
            origin=HamiltonianOrigin(
                provider=MODEL_NAME,
                level_of_theory=self._level_of_theory,
                self_consistent=False,
                details=self._details(matrices, correction),
                references=REFERENCES,
            ),
        )

    def overlap_derivative(self, crystal: Crystal) -> VectorMatrix:
        r"""Return :math:`\langle \partial_\alpha i\,0 | j\,R \rangle`, Å⁻¹.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        """
        self._require_covered(crystal)
        return openmx_overlap_derivative(crystal, self.data, basis=self._basis_of(crystal))

    def derivatives(self, crystal: Crystal) -> HamiltonianDerivatives:
        """Return the derivatives of H and S: of S and H0 by formula, of the network exactly.

        The list of pairs is that of the crystal at rest.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        """
        self._require_covered(crystal)
        of_tables = openmx_derivatives(crystal, self.data, basis=self._basis_of(crystal))
        assert of_tables.overlap is not None
        assert of_tables.environment is not None
        graph = pattern_graph(crystal, of_tables.overlap[0])
        self._require_shells(crystal, of_tables.sizes)
        of_network = environment_derivative(
            PeriodicValues.of(self.network, graph), reach=self.reach, threshold=self.threshold
        )
        # What the threshold takes away must not break the sum rule.
        of_network, residual = translation_residual(of_network)
        return HamiltonianDerivatives(
            sizes=of_tables.sizes,
            overlap=of_tables.overlap,
            two_centre=of_tables.two_centre,
            environment=added([of_tables.environment, of_network]),
            details={
                "method": "tables of OpenMX and the network, analytic",
                "reach_bohr": self.reach,
                "threshold_hartree_per_bohr": self.threshold,
                "translation_residual_network": residual,
                "network_sha256": self.checkpoint.source.sha256,
            },
        )

    @property
    def _level_of_theory(self) -> str:
        source = self.checkpoint.source
        networks = source.title if source.known else f"networks of {source.file} (unknown origin)"
        return f"PBE, OpenMX orbitals DFT_DATA19; {networks}"

    def _details(self, matrices: OpenMXMatrices, correction: LatticeMatrix) -> dict[str, Any]:
        source = self.checkpoint.source
        symbols, species = matrices.crystal.symbols, matrices.species
        return {
            "network": {
                "file": source.file, "sha256": source.sha256, "published": source.known,
                "title": source.title, "origin": source.origin, "licence": source.licence,
                "dtype": _name(self.dtype),
            },
            "tables": matrices.details(),
            "ionic_charges": [float(species[symbol].n_electrons) for symbol in symbols],
            "largest_correction_eV": float(np.abs(correction.values).max(initial=0.0)),
            "spin_orbit": False,
            "notes": list(self.checkpoint.notes),
            "flags": [flag.to_dict() for flag in self._flags()],
        }  # fmt: skip

    def _flags(self) -> list[QualityFlag]:
        return [
            origin_flag(self.checkpoint),
            QualityFlag(
                name="network_energy_zero",
                severity="info",
                message="The energy zero of a network's Hamiltonian is arbitrary in each crystal; "
                "energy differences and couplings do not depend on it.",
            ),
        ]

    def _correction(self, crystal: Crystal, matrices: OpenMXMatrices) -> LatticeMatrix:
        """Return what the network adds, eV, with the blocks of H0."""
        graph = pattern_graph(crystal, matrices.overlap)
        mask = self._require_shells(crystal, matrices.basis.sizes)
        blocks = predict_correction(self.network, graph)
        edges = EdgeList(
            orbitals=tuple(np.flatnonzero(row) for row in mask),
            edge_index=graph.edge_index, cell_shift=graph.cell_shift,
        )  # fmt: skip
        on_site, off_site = (
            OPENMX_EV_PER_HARTREE * part.cpu().double().numpy()
            for part in (blocks.on_site, blocks.off_site)
        )
        return edges.matrix(on_site, off_site)

    def _basis_of(self, crystal: Crystal) -> dict[str, str]:
        return {s: name for s, name in self.basis.items() if s in crystal.symbols}

    def _require_covered(self, crystal: Crystal) -> None:
        known = self.elements
        missing = [symbol for symbol in crystal.elements if symbol not in known]
        if missing:
            raise ModelError(
                f"{MODEL_NAME} does not cover {', '.join(missing)}.",
                f"Its networks were trained with orbitals of {', '.join(known)}.",
                "Use --hamiltonian pyscf, or a Hamiltonian file of another program.",
            )
        if max(crystal.numbers) >= self.network.settings.n_types:
            raise ModelError(
                f"the network knows atomic numbers below {self.network.settings.n_types}; the "
                f"crystal has {max(crystal.numbers)}.",
                "It was made for other elements.",
                "Use --hamiltonian pyscf, or a Hamiltonian file of another program.",
            )

    def _require_shells(self, crystal: Crystal, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the orbitals of each atom in a padded block; they must be those of the tables."""
        mask = orbital_mask(np.asarray(crystal.numbers), self.network.settings.n_orbitals)
        wrong = np.flatnonzero(mask.sum(axis=1) != sizes)
        if len(wrong):
            symbol = crystal.symbols[wrong[0]]
            raise ModelError(
                f"the basis of {symbol} has {sizes[wrong[0]]} orbitals, that of the network "
                f"{mask[wrong[0]].sum()}.",
                "The network gives blocks for one set of shells only.",
                f"Use the shells of {STANDARD_BASIS.get(symbol, 'its training set')}.",
            )
        return mask


def pattern_graph(crystal: Crystal, pattern: LatticeMatrix) -> OrbitalGraph:
    """Return the graph whose edges are the blocks of a matrix, those of single atoms excluded."""
    own = (pattern.pairs[:, 0] == pattern.pairs[:, 1]) & ~pattern.cells.any(axis=1)
    edge_index, cell_shift = pattern.pairs[~own].T, pattern.cells[~own]
    return OrbitalGraph(
        numbers=np.asarray(crystal.numbers, dtype=np.int64),
        positions=np.asarray(crystal.positions) / OPENMX_ANGSTROM_PER_BOHR,
        cell=np.asarray(crystal.lattice) / OPENMX_ANGSTROM_PER_BOHR,
        edge_index=edge_index, cell_shift=cell_shift,
        inverse=inverse_edges(edge_index, cell_shift),
    )  # fmt: skip


def _with_functions(matrices: OpenMXMatrices) -> OrbitalBasis:
    """Return the basis with the radial functions of the tables, in Å."""
    index: dict[tuple[str, int, int], int] = {}
    functions: list[TabulatedRadial] = []
    for symbol, species in matrices.species.items():
        n_radii = int(np.searchsorted(species.pao.r, species.cutoff)) + 1
        r = species.pao.r[:n_radii] * OPENMX_ANGSTROM_PER_BOHR
        for ell, count in species.shells:
            for n in range(count):
                values = species.pao.orbitals[ell][n, :n_radii] * OPENMX_ANGSTROM_PER_BOHR**-1.5
                index[symbol, ell, n + 1] = len(functions)
                functions.append(TabulatedRadial(radii=r, values=values / r**ell, l=ell))
    basis, symbols = matrices.basis, matrices.crystal.symbols
    orbitals = zip(basis.atom.tolist(), basis.l.tolist(), basis.n.tolist(), strict=True)
    return replace(
        basis,
        radial=tuple(functions),
        radial_index=np.array([index[symbols[atom], ell, n] for atom, ell, n in orbitals]),
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

r"""The provider ``uni-hamgnn``: H0 and S from OpenMX's tables, and what the network adds.

.. math:: H = T + V_{NA} + V_{NL} + \Delta_\text{network}, \qquad S \text{ exact}

Y. Zhong, R. Wang, X. Gong and H. Xiang, arXiv:2504.19586 (2025). No self-consistent cycle is run:
the network was trained on the difference between H0 and the self-consistent Hamiltonian. Its energy
zero may be off by a constant in each crystal; differences of energies do not feel it.

With spin-orbit coupling it is a spinor matrix, :math:`H + i \sum_\alpha A_\alpha \sigma_\alpha`,
whose A come from the nonlocal potential, and from a second network where it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.engine.device import resolve_device
from elphant.errors import ModelError
from elphant.models.card import ModelCard
from elphant.models.hamiltonians.hamgnn.analytic_derivatives import AnalyticDerivatives
from elphant.models.hamiltonians.hamgnn.blocks import orbital_mask
from elphant.models.hamiltonians.hamgnn.checkpoint import (
    HOW_TO_GET,
    MODEL_NAME,
    Checkpoint,
    NetworkState,
)
from elphant.models.hamiltonians.hamgnn.checkpoint_resources import (
    OPENMX_RELEASE,
    load_uni_hamgnn,
    openmx_tables,
    origin_flag,
    uni_hamgnn_record,
)
from elphant.models.hamiltonians.hamgnn.choices import UniHamGNNSettings
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph, pattern_graph
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork
from elphant.models.hamiltonians.hamgnn.prediction import predict_correction
from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings
from elphant.models.hamiltonians.hamgnn.spin_orbit import (
    lattice_matrix,
    network_coupling,
)
from elphant.models.hamiltonians.openmx import (
    STANDARD_BASIS,
    OpenMXData,
    OpenMXMatrices,
    openmx_matrices,
    openmx_overlap_derivative,
    openmx_position,
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
    EnvironmentDerivative,
    HamiltonianDerivatives,
    VectorMatrix,
)
from elphant.orbitals.spin import spinor_basis, spinor_matrix
from elphant.quality import QualityFlag
from elphant.store.atomic import sha256_of_file
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

REFERENCES = ("uni_hamgnn", "hamgnn", "openmx_pao")

#: eV/Å of one hartree per bohr.
FORCE_UNIT = OPENMX_EV_PER_HARTREE / OPENMX_ANGSTROM_PER_BOHR

Environments = tuple[EnvironmentDerivative, EnvironmentDerivative, EnvironmentDerivative]
Mask = NDArray[np.bool_]


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
    settings : UniHamGNNSettings, optional
    memory_gb : float, optional
        Derivatives that are expected to need more are refused.

    Raises
    ------
    ModelError
        If no networks or no tables were added, or they are not there any more; or if the second
        network is asked for and there is none.
    DependencyError
        If the device is not available.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None = None,
        data: OpenMXData | None = None,
        *,
        basis: Mapping[str, str] | None = None,
        settings: UniHamGNNSettings | None = None,
        memory_gb: float | None = None,
    ) -> None:
        self._given = checkpoint
        self._record = None if checkpoint else uni_hamgnn_record()
        self.data = data or OpenMXData(openmx_tables().path)
        self.basis, self.settings = dict(basis or {}), settings or UniHamGNNSettings()
        self._memory_gb = memory_gb
        self._device = resolve_device(self.settings.device)
        self._require_second_network()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The networks as they were added."""
        return self._given or load_uni_hamgnn()

    @cached_property
    def network(self) -> HamGNNNetwork:
        """The network without spin-orbit coupling, ready to run."""
        return self._prepared(self.checkpoint.nonsoc, spin_orbit=False)

    @cached_property
    def second_network(self) -> HamGNNNetwork:
        """The network of spin-orbit coupling, ready to run."""
        state = self.checkpoint.soc
        assert state is not None
        return self._prepared(state, spin_orbit=True)

    def _prepared(self, state: NetworkState, *, spin_orbit: bool) -> HamGNNNetwork:
        settings = NetworkSettings.from_config(state.config, spin_orbit=spin_orbit)
        dtype = {"float64": torch.float64, "float32": torch.float32}[self.settings.dtype]
        return HamGNNNetwork.from_state(settings, state.tensors, dtype=dtype, device=self._device)

    @property
    def has_spin(self) -> bool:
        """Whether Hamiltonians are spinor matrices."""
        return self.settings.spin_orbit != "none"

    def identity(self, symbols: Sequence[str] = ()) -> dict[str, Any]:
        """Return what determines the numbers, without reading weights.

        Parameters
        ----------
        symbols : sequence of str
            Elements of the crystal, whose tables are digested.

        Raises
        ------
        ModelError
            If a table of one of them is missing.
        """
        source = (
            self._record["source"]["sha256"]
            if self._record is not None
            else self.checkpoint.source.sha256
        )
        bases = {**STANDARD_BASIS, **self.basis}
        files = {
            file.name: sha256_of_file(file)
            for symbol in sorted(set(symbols) & set(bases))
            for file in self.data.files(symbol, bases[symbol])
        }
        return {
            "network_sha256": source, "tables": OPENMX_RELEASE, "tables_sha256": files,
            "basis": self.basis, **self.settings.identity(),
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
            dtype=self.settings.dtype,
            cutoff=cutoff,
            receptive_field=settings.n_layers * cutoff,
            references=REFERENCES,
            source=source.origin,
            notes="No self-consistent cycle: a network adds what it would change. Energies have "
            f"no common zero between crystals. {self._choices}",
        )

    @property
    def capabilities(self) -> HamiltonianCapabilities:
        """Analytic derivatives of H and S, the functions of the tables, spin-orbit coupling."""
        return HamiltonianCapabilities(
            overlap_derivatives=True, hamiltonian_derivatives=True, basis_functions=True,
            spin_orbit=True, position_matrix=True,
        )  # fmt: skip

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
        matrices = openmx_matrices(
            crystal, self.data, basis=self._basis_of(crystal), spin_orbit=self.has_spin
        )
        graph = pattern_graph(crystal, matrices.overlap)
        mask = self._require_shells(crystal, matrices.basis.sizes)
        correction = lattice_matrix(
            predict_correction(self.network, graph), graph, mask, OPENMX_EV_PER_HARTREE
        )
        hamiltonian = matrices.h0.with_values(matrices.h0.values + correction.values)
        basis, overlap = _with_functions(matrices), matrices.overlap
        details = self._details(matrices, correction)
        if self.has_spin:
            hamiltonian, strength = self._with_spin(hamiltonian, matrices, graph, mask)
            basis, overlap = spinor_basis(basis), spinor_matrix(overlap)
            details |= strength
        return LocalOrbitalHamiltonian(
            crystal=crystal,
            basis=basis,
            hamiltonian=hamiltonian,
            overlap=overlap,
            n_electrons=matrices.n_electrons,
            position=self._between_spinors(
                openmx_position(crystal, self.data, basis=self._basis_of(crystal))
            ),
            origin=HamiltonianOrigin(
                provider=MODEL_NAME,
                level_of_theory=self._level_of_theory,
                self_consistent=False,
                details=details,
                references=REFERENCES,
            ),
        )

    def _with_spin(
        self, scalar: LatticeMatrix, matrices: OpenMXMatrices, graph: OrbitalGraph, mask: Mask
    ) -> tuple[LatticeMatrix, dict[str, float]]:
        """Return the spinor Hamiltonian, and its largest spin-orbit elements, eV."""
        parts = matrices.spin_orbit
        assert parts is not None
        coupling = parts.coupling
        largest = {"largest_spin_orbit_eV": _largest(coupling)}
        if self.settings.spin_orbit == "pseudopotential":
            change = parts.average.values - matrices.nonlocal_.values
            return spinor_matrix(scalar.with_values(scalar.values + change), coupling), largest
        extra = network_coupling(self.second_network, graph, matrices.angular_momentum, mask)
        largest["largest_spin_orbit_of_network_eV"] = _largest(extra)
        x, y, z = (a.with_values(a.values + b.values) for a, b in zip(coupling, extra, strict=True))
        return spinor_matrix(scalar, (x, y, z)), largest

    def overlap_derivative(self, crystal: Crystal) -> VectorMatrix:
        r"""Return :math:`\langle \partial_\alpha i\,0 | j\,R \rangle`, Å⁻¹.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        """
        self._require_covered(crystal)
        found = openmx_overlap_derivative(crystal, self.data, basis=self._basis_of(crystal))
        return self._between_spinors(found)

    def derivatives(self, crystal: Crystal) -> HamiltonianDerivatives:
        """Return the derivatives of H and S: of S and H0 by formula, of the networks exactly.

        The list of pairs is that of the crystal at rest.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        ResourceError
            If they are expected not to fit into the memory.
        """
        self._require_covered(crystal)
        species = self.data.tables(crystal.symbols, self._basis_of(crystal)).species
        sizes = np.array([len(species[symbol].labels) for symbol in crystal.symbols])
        mask = self._require_shells(crystal, sizes)
        work = AnalyticDerivatives(
            crystal=crystal, data=self.data, basis=self._basis_of(crystal), mask=mask,
            settings=self.settings, network=self.network,
            second_network=self.second_network if self.settings.spin_orbit == "network" else None,
            memory_gb=self._memory_gb,
        )  # fmt: skip
        found = work.hamiltonian()
        return replace(
            found, details=found.details | {"network_sha256": self.checkpoint.source.sha256}
        )

    def _between_spinors(self, matrix: VectorMatrix) -> VectorMatrix:
        if not self.has_spin:
            return matrix
        x, y, z = (spinor_matrix(part) for part in matrix)
        return x, y, z

    @property
    def _choices(self) -> str:
        """Choices in words, for the card."""
        chosen = self.settings
        spin = {
            "none": "No spin-orbit coupling",
            "pseudopotential": "Spin-orbit coupling of the pseudopotentials",
            "network": "Spin-orbit coupling of pseudopotentials and second network",
        }[chosen.spin_orbit]
        reach = "all atoms" if chosen.reach is None else f"atoms within {chosen.reach:g} Å"
        return (
            f"{spin}; derivatives of the network over {reach}, blocks above "
            f"{chosen.threshold:g} eV/Å."
        )

    @property
    def _level_of_theory(self) -> str:
        source = self.checkpoint.source
        networks = source.title if source.known else f"networks of {source.file} (unknown origin)"
        spin = ", spin-orbit coupling" if self.has_spin else ""
        return f"PBE{spin}, OpenMX orbitals DFT_DATA19; {networks}"

    def _details(self, matrices: OpenMXMatrices, correction: LatticeMatrix) -> dict[str, Any]:
        source = self.checkpoint.source
        symbols, species = matrices.crystal.symbols, matrices.species
        return {
            "network": {
                "file": source.file, "sha256": source.sha256, "published": source.known,
                "title": source.title, "origin": source.origin, "licence": source.licence,
                "dtype": self.settings.dtype,
            },
            "tables": matrices.details(),
            "ionic_charges": [float(species[symbol].n_electrons) for symbol in symbols],
            "largest_correction_eV": float(np.abs(correction.values).max(initial=0.0)),
            "spin_orbit": self.settings.spin_orbit,
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

    def _basis_of(self, crystal: Crystal) -> dict[str, str]:
        return {s: name for s, name in self.basis.items() if s in crystal.symbols}

    def _require_second_network(self) -> None:
        if self.settings.spin_orbit != "network":
            return
        if self._record is not None:
            there = "soc" in self._record["networks"]
        else:
            there = self.checkpoint.soc is not None
        if not there:
            raise ModelError(
                "the checkpoint that was added has no network of spin-orbit coupling.",
                "hamiltonian.spin_orbit=network takes what a second network adds.",
                f"Use pseudopotential, which needs none, or another checkpoint. {HOW_TO_GET}",
            )

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


def _largest(parts: VectorMatrix) -> float:
    return max(float(np.abs(part.values).max(initial=0.0)) for part in parts)

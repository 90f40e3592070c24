r"""Derivatives of the whole Hamiltonian: of the tables by formula, of the networks exactly.

.. math:: \partial H = \partial H_0 + \partial \Delta_\text{network}
          + i \sum_\alpha (\partial A_\alpha + \partial X_\alpha)\, \sigma_\alpha

with A of the nonlocal potential and X of the second network, where these are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.engine.memory import require_memory
from elphant.models.hamiltonians.hamgnn.choices import UniHamGNNSettings
from elphant.models.hamiltonians.hamgnn.derivatives import (
    environment_derivative,
    spin_orbit_environment_derivative,
)
from elphant.models.hamiltonians.hamgnn.equivalent_atoms import EquivalentAtoms
from elphant.models.hamiltonians.hamgnn.estimates import derivative_memory, reached_pairs
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph, pattern_graph
from elphant.models.hamiltonians.hamgnn.images import PeriodicValues
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork
from elphant.models.hamiltonians.hamgnn.spin_orbit import bond_derivatives, padded_momenta
from elphant.models.hamiltonians.importers.edge_blocks import basis_of_labels
from elphant.models.hamiltonians.openmx import (
    OpenMXData,
    openmx_derivatives,
    openmx_matrices,
    openmx_spin_orbit_derivatives,
)
from elphant.models.hamiltonians.openmx.matrices import Setup, momentum_of_kets
from elphant.orbitals import LatticeMatrix
from elphant.orbitals.derivatives import (
    EnvironmentDerivative,
    HamiltonianDerivatives,
    SpinorEnvironment,
    VectorMatrix,
    added,
    translation_residual,
)
from elphant.orbitals.spin import spinor_matrix
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

#: eV/Å of one hartree per bohr.
FORCE_UNIT = OPENMX_EV_PER_HARTREE / OPENMX_ANGSTROM_PER_BOHR

Environments = tuple[EnvironmentDerivative, EnvironmentDerivative, EnvironmentDerivative]


@dataclass(frozen=True, kw_only=True, eq=False)
class AnalyticDerivatives:
    """The derivatives of one crystal, and what they are made of.

    Attributes
    ----------
    crystal : Crystal
    data : OpenMXData
    basis : mapping of str to str
        Orbital tables of its elements that are not the standard ones.
    mask : ndarray of bool, (n_atoms, n)
        Orbitals of a padded block that each atom has.
    settings : UniHamGNNSettings
    network : HamGNNNetwork
    second_network : HamGNNNetwork or None
        That of spin-orbit coupling, where it takes part.
    memory_gb : float or None
        Memory bound.
    """

    crystal: Crystal
    data: OpenMXData
    basis: Mapping[str, str]
    mask: NDArray[np.bool_]
    settings: UniHamGNNSettings
    network: HamGNNNetwork
    second_network: HamGNNNetwork | None
    memory_gb: float | None = None

    def hamiltonian(self) -> HamiltonianDerivatives:
        """Return the derivatives of H and S; between spinors with spin-orbit coupling.

        Raises
        ------
        ResourceError
            If they are expected not to fit into the memory.
        """
        self._require_memory()
        two_centre = self._two_centre
        of_network, residual = self._of_network()
        scalar = added([self._environment, of_network])
        del of_network  # as large as the sum
        details: dict[str, Any] = {
            "method": "tables of OpenMX and the network, analytic",
            "spin_orbit": self.settings.spin_orbit,
            "reach": self.settings.reach,
            "threshold": self.settings.threshold,
            "dtype": self.settings.dtype,
            "n_atoms_computed": len(self._equivalent.representatives),
            "translation_residual_network": residual,
        }
        if self.settings.spin_orbit == "none":
            return HamiltonianDerivatives(
                sizes=scalar.sizes, overlap=self._overlap, two_centre=two_centre,
                environment=scalar,
                details=details | {"memory_gb": round(scalar.nbytes / 1e9, 3)},
            )  # fmt: skip
        of_coupling = openmx_spin_orbit_derivatives(self.crystal, self.data, basis=self.basis)
        bonds = [part.two_centre for part in of_coupling.coupling]
        x, y, z = (part.environment for part in of_coupling.coupling)
        if self.second_network is None:
            scalar = added([scalar, of_coupling.average.environment])
            two_centre = _sum(two_centre, of_coupling.average.two_centre)
        else:
            more, others = self._of_second_network(self.second_network)
            bonds = [_sum(a, b) for a, b in zip(bonds, more, strict=True)]
            x, y, z = (added([a, b]) for a, b in zip((x, y, z), others, strict=True))
        environment = SpinorEnvironment(
            scalar=scalar, coupling=(self._large(x), self._large(y), self._large(z))
        )
        sx, sy, sz = (
            spinor_matrix(two_centre[axis], (bonds[0][axis], bonds[1][axis], bonds[2][axis]))
            for axis in range(3)
        )
        ox, oy, oz = (spinor_matrix(part) for part in self._overlap)
        return HamiltonianDerivatives(
            sizes=environment.sizes, overlap=(ox, oy, oz), two_centre=(sx, sy, sz),
            environment=environment,
            details=details | {"memory_gb": round(environment.nbytes / 1e9, 3)},
        )  # fmt: skip

    def _require_memory(self) -> None:
        """Raise before the work if reach and crystal are too large."""
        if self.memory_gb is None:
            return
        graph = self._graph
        longest = float(np.linalg.norm(graph.edge_vectors, axis=1).max(initial=0.0))
        field = self.network.settings.n_layers * longest * OPENMX_ANGSTROM_PER_BOHR
        reach = min(self.settings.reach or field, field)
        blocks = reached_pairs(self.crystal, graph.n_edges / graph.n_atoms, reach)
        size = float(np.mean(self.mask.sum(axis=1))) ** 2
        require_memory(
            derivative_memory(graph.n_atoms, blocks, size), self.memory_gb,
            f"the derivatives of a network of {self.network.settings.n_layers} layers, felt by all "
            f"atoms within {reach:.1f} Å of a moved one,",
            "Set hamiltonian.reach to a shorter distance, in Å (6 to 10 is a beginning), and see "
            "that a longer one changes nothing that matters; or raise --memory.",
        )  # fmt: skip

    @cached_property
    def _tables(self) -> HamiltonianDerivatives:
        return openmx_derivatives(self.crystal, self.data, basis=self.basis)

    @property
    def _overlap(self) -> VectorMatrix:
        assert self._tables.overlap is not None
        return self._tables.overlap

    @property
    def _two_centre(self) -> VectorMatrix:
        assert self._tables.two_centre is not None
        return self._tables.two_centre

    @property
    def _environment(self) -> EnvironmentDerivative:
        environment = self._tables.environment
        assert isinstance(environment, EnvironmentDerivative)
        return environment

    @cached_property
    def _graph(self) -> OrbitalGraph:
        return pattern_graph(self.crystal, self._pattern)

    @cached_property
    def _pattern(self) -> LatticeMatrix:
        """The blocks of all matrices, known before any integral."""
        return Setup(self.crystal, self.data, self.basis).pattern

    @cached_property
    def _equivalent(self) -> EquivalentAtoms:
        species = self.data.tables(self.crystal.symbols, self.basis).species
        labels = [species[symbol].labels for symbol in self.crystal.symbols]
        tolerance = self.settings.symmetry_tolerance if self.settings.symmetry else None
        return EquivalentAtoms(
            self.crystal, basis_of_labels(labels, spinor=False), self._pattern, tolerance
        )

    @property
    def _limits(self) -> dict[str, Any]:
        """Reach (bohr), threshold (hartree/bohr) and atoms of the networks' derivatives."""
        reach = self.settings.reach
        return {
            "reach": None if reach is None else reach / OPENMX_ANGSTROM_PER_BOHR,
            "threshold": self.settings.threshold / FORCE_UNIT,
            "atoms": self._equivalent.representatives,
        }

    def _of_network(self) -> tuple[EnvironmentDerivative, float]:
        """Return the derivative of the first network, and how far it missed the sum rule, eV/Å."""
        values = PeriodicValues.of(self.network, self._graph)
        found = self._equivalent.of_all(environment_derivative(values, **self._limits))
        # What the threshold takes away must not break the sum rule.
        return translation_residual(found)

    def _of_second_network(self, network: HamGNNNetwork) -> tuple[list[VectorMatrix], Environments]:
        """Return the derivatives of X for x, y and z: over bonds, and of the strengths."""
        species = self.data.tables(self.crystal.symbols, self.basis).species
        values = PeriodicValues.of(network, self._graph)
        matrices = openmx_matrices(self.crystal, self.data, basis=self.basis)
        momenta = padded_momenta(network, matrices.angular_momentum, self.mask)
        # M = S M(ket), and orbitals keep their M when they move.
        slopes = [momentum_of_kets(part, self.crystal.symbols, species) for part in self._overlap]
        bonds = bond_derivatives(
            values, lambda alpha: (slopes[0][alpha], slopes[1][alpha], slopes[2][alpha]), self.mask
        )
        found = spin_orbit_environment_derivative(values, momenta, **self._limits)
        return list(bonds), self._equivalent.of_all_axial(found)

    def _large(self, part: EnvironmentDerivative) -> EnvironmentDerivative:
        """Return what the threshold leaves of a coupling, which is small far from its atom."""
        if not part.n_blocks:
            return part
        peaks = np.maximum.reduceat(np.abs(part.values), part.offsets[:-1])
        return translation_residual(part.selected(peaks > self.settings.threshold))[0]


def _sum(first: VectorMatrix, second: VectorMatrix) -> VectorMatrix:
    x, y, z = (a.with_values(a.values + b.values) for a, b in zip(first, second, strict=True))
    return x, y, z

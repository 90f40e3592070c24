"""What every Hamiltonian provider offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.models.card import ModelCard
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.orbitals.derivatives import HamiltonianDerivatives, VectorMatrix


@dataclass(frozen=True, slots=True, kw_only=True)
class HamiltonianCapabilities:
    """What a provider can do beyond H(R) and S(R).

    Attributes
    ----------
    overlap_derivatives : bool
        Exact derivatives of S (:class:`DifferentiableOverlap`).
    hamiltonian_derivatives : bool
        Analytic derivatives of H with respect to positions.
    basis_functions : bool
        Radial functions are known, so densities and ELF can be computed.
    spin_orbit : bool
        Spinor Hamiltonians with spin-orbit coupling.
    position_matrix : bool
        Matrix elements of the position between orbitals.
    """

    overlap_derivatives: bool = False
    hamiltonian_derivatives: bool = False
    basis_functions: bool = False
    spin_orbit: bool = False
    position_matrix: bool = False


class HamiltonianProvider(Protocol):
    """A source of Hamiltonians: crystal in, :class:`LocalOrbitalHamiltonian` out."""

    @property
    def card(self) -> ModelCard:
        """Name, level of theory, licence, references."""
        ...

    @property
    def capabilities(self) -> HamiltonianCapabilities:
        """What this provider can do."""
        ...

    def predict(self, crystal: Crystal) -> LocalOrbitalHamiltonian:
        """Return the Hamiltonian of a crystal, in its own frame and cell.

        Raises
        ------
        ModelError
            If an element or the crystal is beyond the provider.
        """
        ...


@runtime_checkable
class PreparesDisplacements(Protocol):
    """A provider whose Hamiltonians of displaced crystals have something in common.

    Self-consistent ones share the points of density and bands, without which their differences
    would be those of the points, and start from the density of the crystal at rest.
    """

    def state_at_rest(self, crystal: Crystal) -> Mapping[str, NDArray[Any]]:
        """Return what is computed once, for the crystal with all atoms at rest, to be stored."""
        ...

    def for_displacements(
        self, crystal: Crystal, state: Mapping[str, NDArray[Any]]
    ) -> HamiltonianProvider:
        """Return the provider for crystals that differ from ``crystal`` by displaced atoms.

        ``state`` is that of :meth:`state_at_rest`; an empty one costs time, not accuracy.
        """
        ...


@runtime_checkable
class DifferentiableOverlap(Protocol):
    """A provider with exact derivatives of the overlap."""

    def overlap_derivative(self, crystal: Crystal) -> VectorMatrix:
        r"""Return :math:`\langle \partial_\alpha i\,0 | j\,R \rangle` in Å⁻¹.

        The derivative is over the position of the bra's atom with the ket held fixed; the one over
        the ket's atom is its negative. Same blocks as S; zero sum rules hold exactly.
        """
        ...


@runtime_checkable
class DifferentiableHamiltonian(Protocol):
    """A provider with analytic derivatives of H: tables by formula, networks by differentiation."""

    def derivatives(self, crystal: Crystal) -> HamiltonianDerivatives:
        """Return the derivatives of H and S over the positions of all atoms of the cell.

        Every atom of the infinite crystal moves on its own: the result holds triplets (i, j, moved
        atom), or two-centre terms, not sums over periodic images.

        Raises
        ------
        ModelError
            If an element or the crystal is beyond the provider.
        """
        ...

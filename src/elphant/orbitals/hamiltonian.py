"""The container every electronic quantity starts from: H(R) and S(R) in local orbitals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elphant.crystal import Crystal
from elphant.errors import PhysicsError
from elphant.orbitals.basis import OrbitalBasis
from elphant.orbitals.bloch import Complex, Gauge, bloch_sum
from elphant.orbitals.lattice_matrix import LatticeMatrix


@dataclass(frozen=True, slots=True, kw_only=True)
class HamiltonianOrigin:
    """Where a Hamiltonian comes from.

    Attributes
    ----------
    provider : str
        Name of the provider or importer, for example ``pyscf``.
    level_of_theory : str
        For example ``PBE, GTH pseudopotentials, gth-dzvp-molopt-sr``.
    self_consistent : bool
        Whether the density is that of the crystal's own ground state.
    details : dict
        Settings, file digests, convergence: plain JSON.
    references : tuple of str
        Keys of :mod:`elphant.models.citations`.
    """

    provider: str
    level_of_theory: str
    self_consistent: bool
    details: dict[str, Any] = field(default_factory=dict)
    references: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "provider": self.provider,
            "level_of_theory": self.level_of_theory,
            "self_consistent": self.self_consistent,
            "details": self.details,
            "references": list(self.references),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HamiltonianOrigin:
        """Rebuild from :meth:`to_dict`."""
        return cls(**{**record, "references": tuple(record["references"])})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalOrbitalHamiltonian:
    r"""Hamiltonian and overlap of a crystal between local orbitals.

    Vectors and angular parts refer to the working Cartesian frame of ``crystal``, which is never
    rotated. The container is spin-free (two electrons per band) or a spinor one; spin-polarised
    (collinear) Hamiltonians are not represented.

    Attributes
    ----------
    crystal : Crystal
    basis : OrbitalBasis
    hamiltonian : LatticeMatrix, eV
    overlap : LatticeMatrix or None
        None for orthonormal orbitals (Wannier functions).
    n_electrons : float
        Valence electrons per cell in the bands of H.
    position : tuple of three LatticeMatrix, or None, Å
        :math:`\langle i\,0 | r_\alpha | j\,R \rangle` about the Cartesian origin, for dipoles.
    origin : HamiltonianOrigin
    """

    crystal: Crystal
    basis: OrbitalBasis
    hamiltonian: LatticeMatrix
    overlap: LatticeMatrix | None
    n_electrons: float
    origin: HamiltonianOrigin
    position: tuple[LatticeMatrix, LatticeMatrix, LatticeMatrix] | None = None

    def __post_init__(self) -> None:
        if self.basis.n_atoms != self.crystal.n_atoms:
            raise ValueError(
                f"the basis has {self.basis.n_atoms} atoms, the crystal {self.crystal.n_atoms}"
            )
        matrices = [self.hamiltonian, *([self.overlap] if self.overlap else [])]
        for matrix in [*matrices, *(self.position or ())]:
            if not np.array_equal(matrix.sizes, self.basis.sizes):
                raise ValueError("a matrix has other numbers of orbitals than the basis")
        if not 0 < self.n_electrons <= self.spin_degeneracy * self.n_orbitals:
            raise ValueError(
                f"{self.n_electrons:g} electrons do not fit into {self.n_orbitals} orbitals"
            )

    @property
    def n_orbitals(self) -> int:
        """Number of orbitals per cell, equal to the number of bands."""
        return self.basis.n_orbitals

    @property
    def spin_degeneracy(self) -> int:
        """Electrons per band and k point: 2, or 1 for spinors."""
        return 1 if self.basis.is_spinor else 2

    @property
    def n_occupied(self) -> int:
        """Number of filled bands of the insulating state.

        Raises
        ------
        PhysicsError
            If the electron number does not fill bands.
        """
        filled = self.n_electrons / self.spin_degeneracy
        if abs(filled - round(filled)) > 1e-6:
            raise PhysicsError(
                f"{self.n_electrons:g} electrons per cell do not fill whole bands.",
                "Such a crystal is a metal, or magnetic; elphant needs a semiconductor.",
                "Check the electron number, or double the cell for a spin-ordered state.",
            )
        return round(filled)

    def at(self, k_points: ArrayLike, *, gauge: Gauge = "lattice") -> tuple[Complex, Complex]:
        """Return H(k) in eV and S(k), each (n_k, n_orbitals, n_orbitals)."""
        H = bloch_sum(self.hamiltonian, k_points, self.crystal, gauge=gauge)
        if self.overlap is not None:
            return H, bloch_sum(self.overlap, k_points, self.crystal, gauge=gauge)
        return H, np.broadcast_to(np.eye(self.n_orbitals, dtype=np.complex128), H.shape)

    def shifted(self, energy: float) -> LocalOrbitalHamiltonian:
        """Return the same Hamiltonian with its energy zero lowered by ``energy`` (eV): H + ES."""
        if self.overlap is None:
            raise ValueError("shifting needs the overlap")
        if not np.array_equal(self.overlap.pairs, self.hamiltonian.pairs) or not np.array_equal(
            self.overlap.cells, self.hamiltonian.cells
        ):
            raise ValueError("shifting needs the same blocks in H and S")
        values = self.hamiltonian.values + energy * self.overlap.values
        return LocalOrbitalHamiltonian(
            crystal=self.crystal,
            basis=self.basis,
            hamiltonian=self.hamiltonian.with_values(values),
            overlap=self.overlap,
            n_electrons=self.n_electrons,
            origin=self.origin,
            position=self.position,
        )

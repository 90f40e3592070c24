"""The ab initio provider: Kohn-Sham Hamiltonians in Gaussian orbitals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.engine.progress import Progress, SilentProgress
from elphant.models.card import ModelCard
from elphant.models.hamiltonians.protocol import HamiltonianCapabilities
from elphant.models.hamiltonians.pyscf.calculation import (
    Calculation,
    PySCFSettings,
    pyscf_version,
    shared_grids,
)
from elphant.models.hamiltonians.pyscf.cell import load_species, orbital_basis
from elphant.models.hamiltonians.pyscf.one_electron import OneElectronIntegrals
from elphant.models.hamiltonians.pyscf.range import aligned, largest_range
from elphant.orbitals import HamiltonianOrigin, LocalOrbitalHamiltonian
from elphant.orbitals.derivatives import VectorMatrix

#: Keys of :mod:`elphant.models.citations`.
REFERENCES = ("pyscf2020", "libxc2018", "lippert1997", "goedecker1996", "vandevondele2007")

#: An element of S counts as much as one of H that is this many eV larger.
OVERLAP_SCALE = 10.0


class PySCFProvider:
    """Kohn-Sham Hamiltonians with basis sets, integrals and functionals from PySCF.

    Parameters
    ----------
    settings : PySCFSettings, optional
    progress : Progress, optional
    response : ndarray, (n_waves,) e/bohr³, optional
        Difference from the density of superposed free atoms that is expected.
    """

    def __init__(
        self,
        settings: PySCFSettings | None = None,
        progress: Progress | None = None,
        response: NDArray[np.complex128] | None = None,
    ) -> None:
        self.settings = settings or PySCFSettings()
        self._progress = progress or SilentProgress()
        self._response = response

    @property
    def card(self) -> ModelCard:
        """Name, level of theory, licence and references."""
        return ModelCard(
            name="pyscf",
            provider="pyscf",
            level_of_theory=self._level,
            licence="Apache-2.0",
            references=self._references,
            source=f"PySCF {pyscf_version()}",
            notes="Semilocal functionals give too small gaps; the basis has an error of its own.",
        )

    @property
    def capabilities(self) -> HamiltonianCapabilities:
        """Overlap derivatives, basis functions and positions; no derivative of H."""
        return HamiltonianCapabilities(
            overlap_derivatives=True, basis_functions=True, position_matrix=True
        )

    @property
    def _level(self) -> str:
        settings = self.settings
        names = f"{settings.functional.upper()}, {settings.pseudopotential.upper()}"
        mode = "" if settings.self_consistent else ", superposed free atoms"
        return f"{names}, {settings.basis.upper()}{mode}"

    @property
    def _references(self) -> tuple[str, ...]:
        return (*REFERENCES, "perdew1996") if self.settings.functional == "pbe" else REFERENCES

    def state_at_rest(self, crystal: Crystal) -> dict[str, NDArray[np.complex128]]:
        """Return the change of the density from free atoms; empty without self-consistency."""
        if not self.settings.self_consistent:
            return {}
        settings = shared_grids(self.settings, crystal)
        calculation = Calculation.prepare(crystal, settings, self._progress)
        density = calculation.run().next_density
        return {"response": density - calculation.atomic_density()}

    def for_displacements(
        self, crystal: Crystal, state: Mapping[str, NDArray[Any]]
    ) -> PySCFProvider:
        """Return a provider for crystals that differ from this one by displaced atoms.

        All of them get the density grid and the k points of ``crystal`` (:func:`shared_grids`), and
        start from superposed atoms with the response of the crystal at rest. What is left to
        converge is then of the order of the displacement.
        """
        settings = shared_grids(self.settings, crystal)
        return PySCFProvider(settings, self._progress, state.get("response"))

    def predict(self, crystal: Crystal) -> LocalOrbitalHamiltonian:
        """Return the Hamiltonian of a crystal, in its own frame and cell.

        Raises
        ------
        ModelError
            If basis, pseudopotential or functional do not exist for this crystal.
        PhysicsError
            If the electron number is odd, or the density does not converge.
        ResourceError
            If the memory does not suffice.
        """
        start = time.perf_counter()
        calculation = Calculation.prepare(crystal, self.settings, self._progress, self._response)
        cycle = calculation.run()
        problem, floor = calculation.problem, self.settings.block_floor
        H, S, x, y, z = aligned(
            crystal,
            [
                [problem.fixed, cycle.local],
                [problem.overlap],
                *[[matrix] for matrix in calculation.position],
            ],
            floors=[floor, floor / OVERLAP_SCALE],
        )
        details = calculation.details(cycle)
        details["block_range"] = round(largest_range(H, crystal), 3)
        details["n_blocks"] = H.n_blocks
        details["seconds"] = round(time.perf_counter() - start, 2)
        return LocalOrbitalHamiltonian(
            crystal=crystal,
            basis=problem.basis,
            hamiltonian=H,
            overlap=S,
            n_electrons=float(problem.n_electrons),
            position=(x, y, z),
            origin=HamiltonianOrigin(
                provider="pyscf",
                level_of_theory=self._level,
                self_consistent=self.settings.self_consistent,
                details=details,
                references=self._references,
            ),
        )

    def overlap_derivative(self, crystal: Crystal) -> VectorMatrix:
        r"""Return :math:`\langle \partial_\alpha i\,0 | j\,R \rangle`, Å⁻¹, exact.

        The blocks are all those of the analytic overlap, a superset of those in
        :meth:`predict`, which also depend on H.
        """
        species = load_species(crystal, self.settings.basis, self.settings.pseudopotential)
        basis = orbital_basis(crystal, species)
        return OneElectronIntegrals(crystal, species, basis).overlap_derivative()

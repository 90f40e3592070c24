r"""The two-centre provider: H(R), S(R) and their exact derivatives from pair integrals.

A test double. It has no self-consistency: :math:`\partial H` is that of two-centre integrals alone,
on-site energies are constants, and energies are only as good as the fit behind the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.card import ModelCard
from elphant.models.hamiltonians.protocol import HamiltonianCapabilities
from elphant.models.hamiltonians.slater_koster.parameters import (
    Element,
    PairIntegrals,
    SlaterKosterParameters,
    read_parameters,
)
from elphant.models.hamiltonians.slater_koster.two_centre import two_centre_blocks
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)
from elphant.orbitals.derivatives import HamiltonianDerivatives, VectorMatrix

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Quantity = Literal["hamiltonian", "overlap"]

#: Atoms closer than this (Å) are outside every fit.
SHORTEST_BOND = 0.5


class SlaterKosterProvider:
    """Two-centre Hamiltonians from a parameter set.

    Parameters
    ----------
    parameters : SlaterKosterParameters, name of a shipped set, or parameter file
    """

    def __init__(self, parameters: SlaterKosterParameters | str | Path) -> None:
        if not isinstance(parameters, SlaterKosterParameters):
            parameters = read_parameters(parameters)
        self.parameters = parameters

    @property
    def card(self) -> ModelCard:
        """What the set is and how far to trust it."""
        return ModelCard(
            name=f"slater-koster:{self.parameters.name}",
            provider="slater-koster",
            level_of_theory=f"two-centre tight binding; {self.parameters.origin}",
            licence=self.parameters.licence,
            elements=tuple(self.parameters.elements),
            sha256=self.parameters.sha256,
            cutoff=self.parameters.longest_cutoff,
            receptive_field=self.parameters.longest_cutoff,
            references=("slater1954",),
            notes="Test double: fast, with exact derivatives; not a source of headline numbers.",
        )

    @property
    def capabilities(self) -> HamiltonianCapabilities:
        """Exact derivatives of H and S; no basis functions."""
        return HamiltonianCapabilities(overlap_derivatives=True, hamiltonian_derivatives=True)

    def predict(self, crystal: Crystal) -> LocalOrbitalHamiltonian:
        """Return H(R) and S(R) of a crystal.

        Raises
        ------
        ModelError
            If the set lacks an element, or two atoms nearly coincide.
        """
        elements = self._elements(crystal)
        orthogonal = self.parameters.orthogonal
        return LocalOrbitalHamiltonian(
            crystal=crystal,
            basis=_basis(elements),
            hamiltonian=self._matrices(crystal, "hamiltonian")[0],
            overlap=None if orthogonal else self._matrices(crystal, "overlap")[0],
            n_electrons=float(sum(element.n_electrons for element in elements)),
            origin=HamiltonianOrigin(
                provider="slater-koster",
                level_of_theory=self.card.level_of_theory,
                self_consistent=False,
                details={
                    "parameters": self.parameters.name,
                    "sha256": self.parameters.sha256,
                    "test_double": True,
                    "ionic_charges": [float(element.n_electrons) for element in elements],
                },
                references=("slater1954",),
            ),
        )

    def overlap_derivative(self, crystal: Crystal) -> VectorMatrix:
        r"""Return :math:`\langle \partial_\alpha i\,0 | j\,R \rangle`, Å⁻¹.

        Over the position of the bra's atom, the ket held; zero for an orthogonal set.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        """
        return self._derivative(crystal, "overlap")

    def hamiltonian_derivative(self, crystal: Crystal) -> VectorMatrix:
        r"""Return :math:`\partial H_{ij}(R) / \partial \tau_{i\alpha}`, eV Å⁻¹.

        Over the position of the bra's atom; that over the ket's atom is its negative, and all
        others vanish: two-centre integrals depend on no third atom.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        """
        return self._derivative(crystal, "hamiltonian")

    def derivatives(self, crystal: Crystal) -> HamiltonianDerivatives:
        """Return the derivatives of H and S: two-centre terms alone, exact.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        """
        two_centre = self.hamiltonian_derivative(crystal)
        orthogonal = self.parameters.orthogonal
        return HamiltonianDerivatives(
            sizes=two_centre[0].sizes,
            overlap=None if orthogonal else self.overlap_derivative(crystal),
            two_centre=two_centre,
            details={"method": "two-centre integrals, analytic"},
        )

    def _derivative(self, crystal: Crystal, quantity: Quantity) -> VectorMatrix:
        _, x, y, z = self._matrices(crystal, quantity)
        return x, y, z

    def _elements(self, crystal: Crystal) -> list[Element]:
        known = self.parameters.elements
        missing = [symbol for symbol in crystal.elements if symbol not in known]
        if missing:
            raise ModelError(
                f"the Slater-Koster set '{self.parameters.name}' does not know "
                f"{', '.join(missing)}.",
                f"Its elements are {', '.join(known)}.",
                "Use another provider, or a parameter file that covers the crystal.",
            )
        return [known[symbol] for symbol in crystal.symbols]

    def _matrices(self, crystal: Crystal, quantity: Quantity) -> list[LatticeMatrix]:
        """Return the matrix and its three derivatives over the bra's position."""
        elements = self._elements(crystal)
        sizes = [sum(2 * shell.l + 1 for shell in element.shells) for element in elements]
        atoms = np.arange(crystal.n_atoms)
        pairs, cells = [np.stack([atoms, atoms], axis=1)], [np.zeros((len(atoms), 3), np.int64)]
        values = [np.concatenate([_on_site(element, quantity).ravel() for element in elements])]
        slopes = [np.zeros((3, len(values[0])))]
        bonds = bonds_within(crystal, self.parameters.longest_cutoff)
        _check_lengths(crystal, bonds)
        symbols = np.array(crystal.symbols)
        for (first, second), pair in self.parameters.pairs.items():
            own = (symbols[bonds.pairs] == [first, second]).all(axis=1)
            own &= np.linalg.norm(bonds.vectors, axis=1) < pair.cutoff
            if not own.any():
                continue
            known = self.parameters.elements
            blocks, derivatives = _blocks(
                pair, known[first], known[second], bonds.vectors[own], quantity
            )
            pairs.append(bonds.pairs[own])
            cells.append(bonds.cells[own])
            values.append(blocks.ravel())
            # Moving the bra shortens the bond vector: the sign turns.
            slopes.append(-derivatives.transpose(1, 0, 2, 3).reshape(3, -1))
        layout: dict[str, Any] = {
            "sizes": np.array(sizes),
            "pairs": np.concatenate(pairs),
            "cells": np.concatenate(cells),
        }
        parts = [np.concatenate(values), *np.concatenate(slopes, axis=1)]
        return [LatticeMatrix(**layout, values=part) for part in parts]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bonds:
    """Directed bonds: atoms (n, 2), cell of the second (n, 3), and vectors (n, 3) Å."""

    pairs: Integers
    cells: Integers
    vectors: Array


def bonds_within(crystal: Crystal, radius: float) -> Bonds:
    """Return all bonds shorter than ``radius`` (Å); an atom is not its own neighbour."""
    # Atoms may lie outside the home cell: search around their wrapped images.
    home = np.floor(crystal.fractional).astype(np.int64)
    wrapped = crystal.fractional - home
    reach = np.ceil(radius / crystal.heights).astype(int) + 1
    axes = [np.arange(-n, n + 1) for n in reach]
    shifts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    pairs, cells, vectors = [], [], []
    for i in range(crystal.n_atoms):
        bond = (wrapped[None] - wrapped[i] + shifts[:, None]) @ crystal.lattice
        near = np.linalg.norm(bond, axis=2) < radius
        near[~shifts.any(axis=1), i] = False
        where, j = np.nonzero(near)
        pairs.append(np.stack([np.full(len(j), i), j], axis=1))
        cells.append(shifts[where] - home[j] + home[i])
        vectors.append(bond[near])
    return Bonds(
        pairs=np.concatenate(pairs), cells=np.concatenate(cells), vectors=np.concatenate(vectors)
    )


def _check_lengths(crystal: Crystal, bonds: Bonds) -> None:
    lengths = np.linalg.norm(bonds.vectors, axis=1)
    if not len(lengths) or lengths.min() >= SHORTEST_BOND:
        return
    i, j = bonds.pairs[lengths.argmin()].tolist()
    raise ModelError(
        f"atoms {i + 1} and {j + 1} ({crystal.symbols[i]}, {crystal.symbols[j]}) are "
        f"{lengths.min():.3f} Å apart.",
        "No bond is that short, and no fit reaches there.",
        "Check the structure.",
    )


def _on_site(element: Element, quantity: Quantity) -> Array:
    energies = [[shell.energy] * (2 * shell.l + 1) for shell in element.shells]
    diagonal = np.concatenate(energies)
    return np.diag(diagonal if quantity == "hamiltonian" else np.ones(len(diagonal)))


def _blocks(
    pair: PairIntegrals, bra: Element, ket: Element, vectors: Array, quantity: Quantity
) -> tuple[Array, Array]:
    """Return blocks (n, n_i, n_j) of bonds and their derivatives (n, 3, n_i, n_j)."""
    r = np.linalg.norm(vectors, axis=1)
    table = pair.hamiltonian if quantity == "hamiltonian" else pair.overlap
    rows, slope_rows = [], []
    for a in bra.shells:
        row, slope_row = [], []
        for b in ket.shells:
            parameters = table.get((a.name, b.name))
            if parameters is None:  # an orthogonal set
                parameters = np.zeros((min(a.l, b.l) + 1, 3))
            values, slopes = pair.evaluate(parameters, r)
            block, derivative = two_centre_blocks(a.l, b.l, values, slopes, vectors)
            row.append(block)
            slope_row.append(derivative)
        rows.append(np.concatenate(row, axis=-1))
        slope_rows.append(np.concatenate(slope_row, axis=-1))
    return np.concatenate(rows, axis=-2), np.concatenate(slope_rows, axis=-2)


def _basis(elements: list[Element]) -> OrbitalBasis:
    atom, n, l, m = [], [], [], []  # noqa: E741
    for index, element in enumerate(elements):
        count: dict[int, int] = {}
        for shell in element.shells:
            count[shell.l] = count.get(shell.l, 0) + 1
            for value in range(-shell.l, shell.l + 1):
                atom.append(index)
                n.append(count[shell.l])
                l.append(shell.l)
                m.append(value)
    return OrbitalBasis(
        atom=np.array(atom),
        n=np.array(n),
        l=np.array(l),
        m=np.array(m),
        spin=np.zeros(len(atom), dtype=np.int64),
    )

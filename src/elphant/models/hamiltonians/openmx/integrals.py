"""Interpolation tables of all integrals between the species of a crystal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from elphant.models.hamiltonians.openmx.angular import Directions
from elphant.models.hamiltonians.openmx.radial import (
    K_SPAN,
    BesselGrid,
    gauss,
    transform,
    trapezoid,
)
from elphant.models.hamiltonians.openmx.species import OpenMXSpecies
from elphant.models.hamiltonians.openmx.two_centre import TwoCentreTable

Array = NDArray[np.float64]

#: Projectors averaged over j, and of j = l ± 1/2.
NONLOCAL_KINDS = ("mean", "plus", "minus")


class IntegralTables:
    """Tables of the integrals between some species, made when first asked for.

    Parameters
    ----------
    species : mapping of str to OpenMXSpecies
    """

    def __init__(self, species: Mapping[str, OpenMXSpecies]) -> None:
        self.species = dict(species)
        self.l_max = max(entry.l_max for entry in self.species.values())
        self._tables: dict[tuple[str, str, str], TwoCentreTable] = {}
        self._strengths: dict[tuple[str, str], Array] = {}

    def table(self, kind: str, bra: str, ket: str) -> TwoCentreTable:
        """Return the table between two elements.

        ``kind`` is "overlap" or "kinetic"; "position" for r times the ket's orbitals; "mean",
        "plus" or "minus" for the ket's nonlocal projectors; "neutral" for its projectors of the
        neutral-atom potential, and "potential" for that potential itself, between orbitals of the
        bra.
        """
        if (kind, bra, ket) not in self._tables:
            self._make(kind)
        return self._tables[kind, bra, ket]

    def strengths(self, kind: str, element: str) -> Array:
        """Return the strengths of projectors, (n_projectors,) Ha (or Ha⁻¹ for "neutral")."""
        if kind == "neutral" and (kind, element) not in self._strengths:
            self._make(kind)
        if (kind, element) not in self._strengths:
            strengths = self.species[element].nonlocal_strengths(kind)
            self._strengths[kind, element] = strengths
        return self._strengths[kind, element]

    def _make(self, kind: str) -> None:
        """Make all tables of one kind: they share the Bessel functions."""
        uniform = kind not in ("neutral", "potential")
        k, weights = (trapezoid if uniform else gauss)(*K_SPAN)
        grid = BesselGrid(k, weights, 2.0 * max(s.cutoff for s in self.species.values()))
        maker: dict[str, Callable[[OpenMXSpecies, BesselGrid], dict[str, TwoCentreTable]]] = {
            "overlap": partial(self._overlaps, kinetic=False),
            "kinetic": partial(self._overlaps, kinetic=True),
            "position": self._positions,
            "neutral": self._neutral,
            "potential": self._potentials,
        }
        make = maker.get(kind) or partial(self._nonlocal, kind=kind)
        for ket, entry in self.species.items():
            for bra, table in make(entry, grid).items():
                self._tables[kind, bra, ket] = table

    def _overlaps(
        self, ket: OpenMXSpecies, grid: BesselGrid, *, kinetic: bool
    ) -> dict[str, TwoCentreTable]:
        return {
            symbol: TwoCentreTable.overlap(bra.orbitals, ket.orbitals, grid, kinetic=kinetic)
            for symbol, bra in self.species.items()
        }

    def _positions(self, ket: OpenMXSpecies, grid: BesselGrid) -> dict[str, TwoCentreTable]:
        return {
            symbol: TwoCentreTable.overlap(bra.orbitals, ket.orbitals_times_r, grid)
            for symbol, bra in self.species.items()
        }

    def _nonlocal(
        self, ket: OpenMXSpecies, grid: BesselGrid, *, kind: str
    ) -> dict[str, TwoCentreTable]:
        projectors = ket.nonlocal_projectors(kind)
        return {
            symbol: TwoCentreTable.overlap(bra.orbitals, projectors, grid)
            for symbol, bra in self.species.items()
        }

    def _neutral(self, ket: OpenMXSpecies, grid: BesselGrid) -> dict[str, TwoCentreTable]:
        projectors = ket.neutral_atom_projectors(self.l_max)
        self._strengths["neutral", ket.symbol] = projectors.strengths
        return {
            symbol: TwoCentreTable.overlap(bra.orbitals_at_gauss, projectors.functions, grid)
            for symbol, bra in self.species.items()
        }

    def _potentials(self, ket: OpenMXSpecies, grid: BesselGrid) -> dict[str, TwoCentreTable]:
        tables = {}
        for symbol, bra in self.species.items():
            orbitals, r, weights = bra.orbitals_on_radii()

            def transforms(
                functions: Array, L: int, r: Array = r, weights: Array = weights
            ) -> Array:
                return transform(functions, L, r, weights, grid.k)

            tables[symbol] = TwoCentreTable.potential(
                orbitals, ket.potential_transform, transforms, grid
            )
        return tables

    def blocks(
        self, kind: str, bras: NDArray[np.str_], kets: NDArray[np.str_], vectors: Array
    ) -> list[tuple[NDArray[np.int64], Array]]:
        """Return integrals of bonds, grouped by elements: (places, blocks) of each group."""
        return [
            (where, self.table(kind, *key).blocks(Directions(vectors[where])))
            for key, where in grouped(bras, kets)
        ]

    def gradients(
        self, kind: str, bras: NDArray[np.str_], kets: NDArray[np.str_], vectors: Array
    ) -> list[tuple[NDArray[np.int64], Array, Array]]:
        """Return integrals and their gradients over the bonds: (places, blocks, gradients)."""
        return [
            (where, *self.table(kind, *key).gradients(Directions(vectors[where])))
            for key, where in grouped(bras, kets)
        ]


def grouped(
    bras: NDArray[np.str_], kets: NDArray[np.str_]
) -> list[tuple[tuple[str, str], NDArray[np.int64]]]:
    """Return the distinct pairs of elements and where each of them stands."""
    keys = sorted(set(zip(bras.tolist(), kets.tolist(), strict=True)))
    return [((a, b), np.flatnonzero((bras == a) & (kets == b))) for a, b in keys]

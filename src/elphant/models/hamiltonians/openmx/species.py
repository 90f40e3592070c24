"""One element of the OpenMX database: its functions and their transforms, in atomic units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from elphant.models.hamiltonians.importers.openmx import openmx_labels
from elphant.models.hamiltonians.openmx.angular import gaunt
from elphant.models.hamiltonians.openmx.neutral_atom import (
    NeutralAtomProjectors,
    neutral_atom_potential,
    neutral_atom_projectors,
)
from elphant.models.hamiltonians.openmx.radial import (
    BEYOND_CUTOFF,
    K_SPAN,
    GridFunctions,
    gauss,
    squared_trapezoid,
    tabulated_transform,
    transform,
    trapezoid,
)
from elphant.models.hamiltonians.openmx.tables import PaoTable, VpsTable
from elphant.models.hamiltonians.openmx.two_centre import RadialSet

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenMXSpecies:
    """Orbitals and pseudopotential of one element, in atomic units.

    Attributes
    ----------
    symbol : str
    basis : str
        Name of the basis, as ``Si7.0-s2p2d1``.
    vps_name : str
        Name of the pseudopotential, as ``Si_PBE19``.
    shells : tuple of (int, int)
        (l, number of shells), l ascending.
    pao : PaoTable
    vps : VpsTable
    """

    symbol: str
    basis: str
    vps_name: str
    shells: tuple[tuple[int, int], ...]
    pao: PaoTable
    vps: VpsTable

    @property
    def cutoff(self) -> float:
        """Radius of the orbitals, bohr."""
        return self.pao.cutoff

    @property
    def n_electrons(self) -> float:
        """Valence electrons of the neutral atom."""
        return self.vps.n_valence

    @property
    def l_max(self) -> int:
        """Largest angular momentum of the orbitals."""
        return self.shells[-1][0]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Rows (n, l, m) of the orbitals in OpenMX's order, (n_orbitals, 3)."""
        shells = [(n + 1, ell) for ell, count in self.shells for n in range(count)]
        return np.asarray(openmx_labels(shells))

    @cached_property
    def orbitals(self) -> RadialSet:
        """Transforms of the orbitals at the uniform wave numbers."""
        return self._orbitals_at_wave_numbers(trapezoid(*K_SPAN)[0])

    @cached_property
    def orbitals_at_gauss(self) -> RadialSet:
        """Transforms of the orbitals at the Gauss-Legendre wave numbers."""
        return self._orbitals_at_wave_numbers(gauss(*K_SPAN)[0])

    @cached_property
    def _neighbouring_shells(self) -> list[tuple[int, list[int]]]:
        """Angular momenta of r times the orbitals, and the places in ``shells`` they come from."""
        found = [
            (ell, [i for i, (own, _) in enumerate(self.shells) if abs(own - ell) == 1])
            for ell in range(self.l_max + 2)
        ]
        return [(ell, places) for ell, places in found if places]

    @cached_property
    def orbitals_times_r(self) -> RadialSet:
        """Transforms of r R(r), bohr, with the angular momenta l ± 1, at the uniform k."""
        k, _ = trapezoid(*K_SPAN)
        r, weights = trapezoid(float(self.pao.r[0]), self.cutoff + BEYOND_CUTOFF)
        on_grid = self._orbitals_at(r).functions
        return RadialSet(
            l=tuple(ell for ell, _ in self._neighbouring_shells),
            functions=tuple(
                tabulated_transform(
                    np.concatenate([on_grid[i] * r for i in places]), ell, r, weights
                )(k)
                for ell, places in self._neighbouring_shells
            ),
        )

    @cached_property
    def position_components(self) -> Array:
        r"""Coefficients of r φ about the own centre, (3, n_functions, n_orbitals).

        :math:`r_\alpha \varphi_j = \sum_i \chi_i C_{\alpha ij}` with :attr:`orbitals_times_r` χ.
        """
        starts, n_orbitals = [], 0
        for ell, count in self.shells:
            starts.append(n_orbitals)
            n_orbitals += count * (2 * ell + 1)
        columns = []
        for ell, places in self._neighbouring_shells:
            for i in places:
                own, count = self.shells[i]
                # Y_1m are y, z, x.
                angular = np.sqrt(4.0 * np.pi / 3.0) * gaunt(ell, own, 1)[:, :, [2, 0, 1]]
                for shell in range(count):
                    part = np.zeros((3, 2 * ell + 1, n_orbitals))
                    first = starts[i] + shell * (2 * own + 1)
                    part[:, :, first : first + 2 * own + 1] = angular.transpose(2, 0, 1)
                    columns.append(part)
        return np.concatenate(columns, axis=1)

    @cached_property
    def nonlocal_momenta(self) -> tuple[int, ...]:
        """Angular momenta of the nonlocal projectors, ascending."""
        return tuple(np.unique(self.vps.l).tolist())

    def nonlocal_projectors(self, kind: str) -> RadialSet:
        """Return transforms of the nonlocal projectors at the uniform wave numbers.

        ``kind`` is "mean" for those averaged over j, "plus" or "minus" for j = l ± 1/2.
        """
        k, _ = trapezoid(*K_SPAN)
        r, weights = trapezoid(float(self.vps.r[0]), self.cutoff + BEYOND_CUTOFF)
        functions = []
        for ell in self.nonlocal_momenta:
            values = self._of_kind(self.vps.projectors[self.vps.l == ell], ell, kind)
            on_grid = GridFunctions(self.vps.r, values, ell)(r)
            functions.append(tabulated_transform(on_grid, ell, r, weights)(k))
        return RadialSet(l=self.nonlocal_momenta, functions=tuple(functions))

    def nonlocal_strengths(self, kind: str) -> Array:
        """Return the strength of each nonlocal projector, every m counted, (n_projectors,) Ha."""
        parts = [np.empty(0)]
        for ell in self.nonlocal_momenta:
            values = self._of_kind(self.vps.energies[self.vps.l == ell], ell, kind)
            parts.append(np.repeat(values, 2 * ell + 1))
        return np.concatenate(parts)

    @cached_property
    def potential(self) -> Array:
        """Neutral-atom potential on the grid of the pseudopotential, (n_r,) Ha."""
        return neutral_atom_potential(self.pao, self.vps)

    @cached_property
    def potential_transform(self) -> Array:
        """Transform of the neutral-atom potential at the Gauss-Legendre wave numbers, (n_k,).

        The quadrature reaches beyond the cut-off, the potential does not.
        """
        k, _ = gauss(*K_SPAN)
        r, weights = squared_trapezoid(float(self.pao.r[0]), self.cutoff + BEYOND_CUTOFF)
        values = GridFunctions(self.vps.r, self.potential[None])(r)
        values[:, r > self.cutoff] = 0.0
        return np.asarray(transform(values, 0, r, weights, k)[0])

    def orbitals_on_radii(self) -> tuple[RadialSet, Array, Array]:
        """Return the orbitals on Gauss-Legendre radii, the radii (bohr), and their weights."""
        r, weights = gauss(float(self.vps.r[0]), self.cutoff + BEYOND_CUTOFF)
        return self._orbitals_at(r), r, weights

    def neutral_atom_projectors(self, l_max: int) -> NeutralAtomProjectors:
        """Return the projectors of V_NA in a crystal whose orbitals reach ``l_max``."""
        return neutral_atom_projectors(self.pao, self.vps, self.potential, l_max)

    def _orbitals_at_wave_numbers(self, k: Array) -> RadialSet:
        return RadialSet(
            l=tuple(ell for ell, _ in self.shells),
            functions=tuple(table(k) for table in self._orbital_transforms),
        )

    @cached_property
    def _orbital_transforms(self) -> tuple[GridFunctions, ...]:
        r, weights = trapezoid(float(self.pao.r[0]), self.cutoff + BEYOND_CUTOFF)
        on_grid = self._orbitals_at(r)
        return tuple(
            tabulated_transform(f, ell, r, weights)
            for ell, f in zip(on_grid.l, on_grid.functions, strict=True)
        )

    def _orbitals_at(self, r: Array) -> RadialSet:
        functions = [
            GridFunctions(self.pao.r, self.pao.orbitals[ell][:count], ell)(r)
            for ell, count in self.shells
        ]
        return RadialSet(l=tuple(ell for ell, _ in self.shells), functions=tuple(functions))

    @staticmethod
    def _of_kind(values: Array, ell: int, kind: str) -> Array:
        plus, minus = values[:, 0], values[:, 1]
        if kind == "mean":
            return np.asarray(((ell + 1) * plus + ell * minus) / (2 * ell + 1))
        return np.asarray({"plus": plus, "minus": minus}[kind])

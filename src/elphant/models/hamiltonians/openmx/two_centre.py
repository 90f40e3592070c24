r"""Two-centre integrals from cached radial tables.

With :math:`\tilde R(k) = \int j_l(kr) R(r) r^2 dr` the integral of two functions a distance
:math:`\mathbf R = \mathbf r_b - \mathbf r_a` apart is

.. math:: S_{ab}(\mathbf R) = 8 \sum_L (-1)^{(l_a - l_b - L)/2}
          \left[\int k^2 \tilde R_a \tilde R_b\, j_L(kR)\, dk\right]
          \sum_M G^{l_a m_a}_{l_b m_b, LM}\, Y_{LM}(\hat{\mathbf R}),

the kinetic energy the same with :math:`4 k^4`, and a potential V about :math:`\mathbf r_b` between
two functions about :math:`\mathbf r_a`

.. math:: 8 \sum_L \left[\int k^2 F_L(k) \tilde V(k)\, j_L(kR)\, dk\right]
          \sum_M G^{l_a m_a}_{l_b m_b, LM}\, Y_{LM}(\hat{\mathbf R}), \qquad
          F_L(k) = \int j_L(kr) R_a R_b\, r^2 dr.

L runs from :math:`|l_a - l_b|` to :math:`l_a + l_b` in steps of 2. T. Ozaki and H. Kino, Phys. Rev.
B 72, 045121 (2005); O. F. Sankey and D. J. Niklewski, Phys. Rev. B 40, 3979 (1989). The brackets
are tabulated over R once for each pair of radial functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.models.hamiltonians.openmx.angular import Directions, gaunt
from elphant.models.hamiltonians.openmx.radial import BesselGrid, DistanceTable

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RadialSet:
    """Radial functions about one centre, grouped by l.

    Order of the functions: l ascending, then number of the shell, then m.

    Attributes
    ----------
    l : tuple of int
        Ascending, each once.
    functions : tuple of ndarray, (n_shells of this l, n)
        On a grid of wave numbers or radii.
    """

    l: tuple[int, ...]  # noqa: E741  the field's own letter
    functions: tuple[Array, ...]

    @property
    def size(self) -> int:
        """Number of functions, every m counted."""
        return sum((2 * ell + 1) * len(f) for ell, f in zip(self.l, self.functions, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Entry:
    """Integrals between all shells of one l of the bra and one l of the ket."""

    rows: slice
    columns: slice
    l_bra: int
    l_ket: int
    tables: dict[int, DistanceTable]


class TwoCentreTable:
    """Integrals between the functions of two species, for any bond.

    Parameters
    ----------
    bra, ket : RadialSet
    table : callable
        (index of l in the bra, index in the ket, L) -> table of (n_bra shells, n_ket shells).
    """

    def __init__(
        self, bra: RadialSet, ket: RadialSet, table: Callable[[int, int, int], DistanceTable]
    ) -> None:
        self.shape = (bra.size, ket.size)
        self._entries: list[_Entry] = []
        row = 0
        for i, l_bra in enumerate(bra.l):
            rows = slice(row, row + len(bra.functions[i]) * (2 * l_bra + 1))
            column = 0
            for j, l_ket in enumerate(ket.l):
                columns = slice(column, column + len(ket.functions[j]) * (2 * l_ket + 1))
                momenta = range(abs(l_bra - l_ket), l_bra + l_ket + 1, 2)
                tables = {L: table(i, j, L) for L in momenta}
                self._entries.append(
                    _Entry(rows=rows, columns=columns, l_bra=l_bra, l_ket=l_ket, tables=tables)
                )
                column = columns.stop
            row = rows.stop

    @classmethod
    def overlap(
        cls, bra: RadialSet, ket: RadialSet, grid: BesselGrid, *, kinetic: bool = False
    ) -> TwoCentreTable:
        """Return overlaps, or kinetic energies in Ha, of functions given by their transforms."""
        weight = 4.0 * grid.k**4 if kinetic else 8.0 * grid.k**2

        def table(i: int, j: int, L: int) -> DistanceTable:
            sign = (-1.0) ** ((bra.l[i] - ket.l[j] - L) // 2)
            product = bra.functions[i][:, None] * ket.functions[j][None]
            return grid.table(sign * weight * product, L)

        return cls(bra, ket, table)

    @classmethod
    def potential(
        cls,
        orbitals: RadialSet,
        potential: Array,
        transform: Callable[[Array, int], Array],
        grid: BesselGrid,
    ) -> TwoCentreTable:
        """Return integrals of a potential at the far end between orbitals of one atom.

        Parameters
        ----------
        orbitals : RadialSet
            On a grid of radii.
        potential : ndarray, (n_k,)
            Transform of the potential, l = 0.
        transform : callable
            (functions on the radii, L) -> their transforms.
        grid : BesselGrid
        """
        weight = 8.0 * grid.k**2 * potential

        def table(i: int, j: int, L: int) -> DistanceTable:
            product = orbitals.functions[i][:, None] * orbitals.functions[j][None]
            flat = transform(product.reshape(-1, product.shape[-1]), L)
            return grid.table(weight * flat.reshape(*product.shape[:2], -1), L)

        return cls(orbitals, orbitals, table)

    def blocks(self, bonds: Directions) -> Array:
        """Return the integrals of bonds, (n, n_bra, n_ket)."""
        result = np.zeros((len(bonds.r), *self.shape))
        for entry in self._entries:
            target: Array | float = 0.0
            for L, table in entry.tables.items():
                radial, _ = table(bonds.r)
                coupling = gaunt(entry.l_bra, entry.l_ket, L)
                angular = np.einsum("uvM,nM->nuv", coupling, bonds.values(L))
                target = target + radial[:, :, None, :, None] * angular[:, None, :, None, :]
            shape = (len(bonds.r), entry.rows.stop - entry.rows.start, -1)
            result[:, entry.rows, entry.columns] = np.reshape(target, shape)
        return result

    def gradients(self, bonds: Directions) -> tuple[Array, Array]:
        """Return the integrals, (n, n_bra, n_ket), and their gradients over the bond vector.

        The gradients have shape (3, n, n_bra, n_ket), per bohr. For a zero bond they are the
        derivative in which the ket moves off the bra.
        """
        n = len(bonds.r)
        result, slope = np.zeros((n, *self.shape)), np.zeros((3, n, *self.shape))
        for entry in self._entries:
            value: Array | float = 0.0
            changes: list[Array | float] = [0.0, 0.0, 0.0]
            for L, table in entry.tables.items():
                coupling = gaunt(entry.l_bra, entry.l_ket, L)
                radial, derivative = (f[:, :, None, :, None] for f in table(bonds.r))
                ratio = bonds.ratio(radial, derivative)
                angular = np.einsum("uvM,nM->nuv", coupling, bonds.values(L))
                across = np.einsum("uvM,nMx->xnuv", coupling, bonds.tangential(L))
                value = value + radial * angular[:, None, :, None, :]
                for axis in range(3):
                    along = bonds.unit[:, axis, None, None] * angular
                    changes[axis] = changes[axis] + derivative * along[:, None, :, None, :]
                    changes[axis] = changes[axis] + ratio * across[axis][:, None, :, None, :]
            shape = (n, entry.rows.stop - entry.rows.start, -1)
            result[:, entry.rows, entry.columns] = np.reshape(value, shape)
            for axis in range(3):
                slope[axis][:, entry.rows, entry.columns] = np.reshape(changes[axis], shape)
        return result, slope

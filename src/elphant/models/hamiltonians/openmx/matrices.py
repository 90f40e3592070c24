r"""Matrices of a crystal before self-consistency: S, T, V_NA, V_NL and spin-orbit coupling.

:math:`H_0 = T + V_{NA} + V_{NL}` between the pseudo-atomic orbitals of OpenMX 3.9 (T. Ozaki, Phys.
Rev. B 67, 155108 (2003); T. Ozaki and H. Kino, Phys. Rev. B 69, 195113 (2004); 72, 045121 (2005)),
with the separable pseudopotentials of I. Morrison, D. M. Bylander and L. Kleinman, Phys. Rev. B 47,
6728 (1993), and spin-orbit coupling after L. A. Hemstreet, C. Y. Fong and J. S. Nelson, Phys. Rev.
B 47, 4238 (1993). Tables and results of OpenMX convert with its own constants: 1 bohr =
0.529177249 Å and 1 Ha = 27.2113845 eV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.hamiltonians.importers.edge_blocks import basis_of_labels
from elphant.models.hamiltonians.openmx.angular import Directions, angular_momentum
from elphant.models.hamiltonians.openmx.database import OpenMXData
from elphant.models.hamiltonians.openmx.integrals import IntegralTables, grouped
from elphant.models.hamiltonians.openmx.neighbours import BlockPlaces, PairList
from elphant.models.hamiltonians.openmx.species import OpenMXSpecies
from elphant.orbitals import LatticeMatrix, OrbitalBasis
from elphant.orbitals.derivatives import VectorMatrix
from elphant.orbitals.spin import spinor_matrix
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Atoms closer than this (bohr) are an error of the structure.
SHORTEST_BOND = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class SpinOrbitParts:
    r"""The nonlocal potential with spin-orbit coupling,
    :math:`V_{NL} = \bar V + i \sum_\alpha A_\alpha \sigma_\alpha`.

    Attributes
    ----------
    average : LatticeMatrix, eV
        :math:`\bar V`, mean of outer products over j; it differs slightly from the nonlocal
        potential of mean projectors.
    coupling : VectorMatrix, eV
        Real A_x, A_y, A_z with :math:`A_{ij}(R) = -A_{ji}(-R)^T`.
    """

    average: LatticeMatrix
    coupling: VectorMatrix


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenMXMatrices:
    """Matrices of a crystal before self-consistency; all have the same blocks.

    Attributes
    ----------
    crystal : Crystal
    basis : OrbitalBasis
    species : dict of str to OpenMXSpecies
    overlap : LatticeMatrix
    kinetic, neutral_atom, nonlocal_ : LatticeMatrix, eV
        T, V_NA, and V_NL of projectors averaged over j.
    spin_orbit : SpinOrbitParts or None
    """

    crystal: Crystal
    basis: OrbitalBasis
    species: dict[str, OpenMXSpecies]
    overlap: LatticeMatrix
    kinetic: LatticeMatrix
    neutral_atom: LatticeMatrix
    nonlocal_: LatticeMatrix
    spin_orbit: SpinOrbitParts | None

    @property
    def n_electrons(self) -> float:
        """Valence electrons per cell."""
        return float(sum(self.species[symbol].n_electrons for symbol in self.crystal.symbols))

    @cached_property
    def h0(self) -> LatticeMatrix:
        """Scalar-relativistic T + V_NA + V_NL, eV."""
        parts = (self.kinetic, self.neutral_atom, self.nonlocal_)
        return self.overlap.with_values(np.sum([part.values for part in parts], axis=0))

    @cached_property
    def h0_spinor(self) -> LatticeMatrix:
        """H0 with spin-orbit coupling, eV; each atom's orbitals all spin up, then all spin down.

        Raises
        ------
        ModelError
            If the matrices were made without spin-orbit coupling.
        """
        if self.spin_orbit is None:
            raise ModelError(
                "these matrices have no spin-orbit part.",
                "It is left out unless asked for: it triples the work on projectors.",
                "Call openmx_matrices(..., spin_orbit=True).",
            )
        scalar = self.kinetic.values + self.neutral_atom.values + self.spin_orbit.average.values
        return spinor_matrix(self.overlap.with_values(scalar), self.spin_orbit.coupling)

    @cached_property
    def angular_momentum(self) -> VectorMatrix:
        r"""Real M with :math:`\langle i\,0 | L_\alpha | j\,R \rangle = i M_\alpha`, in units of ħ.

        L acts on the ket about its own centre.
        """
        return momentum_of_kets(self.overlap, self.crystal.symbols, self.species)

    def details(self) -> dict[str, Any]:
        """Return what the numbers come from: plain JSON."""
        return {
            "species": {
                symbol: {
                    "basis": entry.basis, "vps": entry.vps_name,
                    "pao_sha256": entry.pao.sha256, "vps_sha256": entry.vps.sha256,
                }
                for symbol, entry in self.species.items()
            },
            "hartree_eV": OPENMX_EV_PER_HARTREE,
            "bohr_angstrom": OPENMX_ANGSTROM_PER_BOHR,
        }  # fmt: skip


def openmx_matrices(
    crystal: Crystal,
    data: OpenMXData,
    *,
    basis: Mapping[str, str] | None = None,
    spin_orbit: bool = False,
) -> OpenMXMatrices:
    """Return S, T, V_NA and V_NL of a crystal.

    Parameters
    ----------
    crystal : Crystal
    data : OpenMXData
        A user's own DFT_DATA19 folder.
    basis : mapping of str to str, optional
        Basis of some elements, as ``{"Si": "Si7.0-s2p2d1"}``; the others take the standard one.
    spin_orbit : bool
        Also the j-resolved nonlocal potential.

    Raises
    ------
    ModelError
        If tables are missing or unusable, or two atoms nearly coincide.
    """
    setup = Setup(crystal, data, basis)
    nonlocal_, neutral = three_centre_sums(setup)
    coupled = None
    if spin_orbit:
        average, x, y, z = (
            setup.matrix(part * setup.damping, OPENMX_EV_PER_HARTREE)
            for part in spin_orbit_sums(setup)
        )
        coupled = SpinOrbitParts(average=average, coupling=(x, y, z))
    neutral = setup.damping * neutral + setup.own_potentials()
    return OpenMXMatrices(
        crystal=crystal,
        basis=setup.basis,
        species=setup.tables.species,
        overlap=setup.matrix(setup.two_centre("overlap"), 1.0),
        kinetic=setup.matrix(setup.two_centre("kinetic"), OPENMX_EV_PER_HARTREE),
        neutral_atom=setup.matrix(neutral, OPENMX_EV_PER_HARTREE),
        nonlocal_=setup.matrix(setup.damping * nonlocal_, OPENMX_EV_PER_HARTREE),
        spin_orbit=coupled,
    )


class Setup:
    """What all matrices of one crystal share.

    Parameters
    ----------
    crystal : Crystal
    data : OpenMXData
    basis : mapping of str to str, optional
    """

    def __init__(self, crystal: Crystal, data: OpenMXData, basis: Mapping[str, str] | None) -> None:
        self.crystal = crystal
        self.tables = data.tables(crystal.symbols, basis)
        species = self.tables.species
        self.symbols = np.array(crystal.symbols)
        self.basis = basis_of_labels([species[s].labels for s in crystal.symbols], spinor=False)
        cutoffs = np.array([species[s].cutoff for s in crystal.symbols])
        self.pairs = PairList.of(crystal, cutoffs, self.basis.sizes)
        self.pattern = self.pairs.pattern
        self.places = BlockPlaces(self.pattern)
        self._check_lengths()
        factor, slope = damping(self.pairs.lengths, self.pairs.reach)
        own = self.pairs.is_own
        self.damping_factors = np.where(own, 1.0, factor)
        self.damping_slopes = np.where(own, 0.0, slope)

    def _check_lengths(self) -> None:
        lengths = np.where(self.pairs.is_own, np.inf, self.pairs.lengths)
        if lengths.min() < SHORTEST_BOND:
            i, j = self.pattern.pairs[lengths.argmin()].tolist()
            raise ModelError(
                f"atoms {i + 1} and {j + 1} ({self.symbols[i]}, {self.symbols[j]}) are "
                f"{lengths.min() * OPENMX_ANGSTROM_PER_BOHR:.3f} Å apart.",
                "No bond is that short.",
                "Check the structure.",
            )

    @property
    def damping(self) -> Array:
        """Damping factor of every element of the flat blocks."""
        return np.repeat(self.damping_factors, np.diff(self.pattern.offsets))

    def matrix(self, values: Array, unit: float) -> LatticeMatrix:
        """Return flat values times a unit as a matrix."""
        return self.pattern.with_values(values * unit)

    def scatter(self, target: Array, blocks: Integers, values: Array) -> None:
        """Add blocks (n, n_i, n_j) of one shape to flat values; no block may occur twice."""
        size = int(np.prod(values.shape[1:]))
        places = self.pattern.offsets[blocks][:, None] + np.arange(size)
        target[places] += values.reshape(len(blocks), size)

    def two_centre(self, kind: str) -> Array:
        """Return the flat blocks of a two-centre integral."""
        result = np.zeros(int(self.pattern.offsets[-1]))
        first, second = self.symbols[self.pattern.pairs].T
        for where, blocks in self.tables.blocks(kind, first, second, self.pairs.vectors):
            self.scatter(result, where, blocks)
        return result

    def own_potentials(self) -> Array:
        """Return flat blocks of V_NA of all atoms between orbitals of one atom, Ha."""
        result = np.zeros(int(self.pattern.offsets[-1]))
        first, second = self.symbols[self.pattern.pairs].T
        own = np.flatnonzero(self.pairs.is_own)
        for where, blocks in self.tables.blocks("potential", first, second, self.pairs.vectors):
            for atom in np.unique(self.pattern.pairs[where, 0]).tolist():
                mine = blocks[self.pattern.pairs[where, 0] == atom].sum(axis=0)
                self.scatter(result, own[atom : atom + 1], mine[None])
        return result

    def images(self, centre: int) -> Images:
        """Return the atoms around a centre whose orbitals reach it."""
        pairs = slice(self.pairs.first[centre], self.pairs.first[centre + 1])
        atoms = self.pattern.pairs[pairs, 1]
        return Images(
            atoms=atoms,
            cells=self.pattern.cells[pairs],
            symbols=self.symbols[atoms],
            to_centre=-self.pairs.vectors[pairs],
            sizes=self.pattern.sizes[atoms],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Atoms around a centre in the home cell.

    Attributes
    ----------
    atoms : ndarray of int, (n,)
    cells : ndarray of int, (n, 3)
    symbols : ndarray of str, (n,)
    to_centre : ndarray, (n, 3) bohr
    sizes : ndarray of int, (n,)
        Number of orbitals.
    """

    atoms: Integers
    cells: Integers
    symbols: NDArray[np.str_]
    to_centre: Array
    sizes: Integers

    @cached_property
    def starts(self) -> Integers:
        """Row of the first orbital of each image, (n + 1,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)])

    @cached_property
    def groups(self) -> list[tuple[Integers, Integers]]:
        """Images with equally many orbitals, and the rows of those, (n_images, size)."""
        return [
            (where, self.starts[where][:, None] + np.arange(size))
            for size in np.unique(self.sizes)
            for where in [np.flatnonzero(self.sizes == size)]
        ]

    def overlaps(self, tables: IntegralTables, kind: str, centre: str) -> Array:
        """Return overlaps of all orbitals with the projectors of the centre, (n_rows, n_proj)."""
        parts = []
        for (bra, ket), where in grouped(self.symbols, np.full(len(self.atoms), centre)):
            blocks = tables.table(kind, bra, ket).blocks(Directions(self.to_centre[where]))
            parts.append((where, blocks))
        result = np.empty((int(self.starts[-1]), parts[0][1].shape[2]))
        for where, blocks in parts:
            rows = self.starts[where][:, None] + np.arange(blocks.shape[1])
            result[rows] = blocks
        return result


def damping(r: Array, reach: Array) -> tuple[Array, Array]:
    r"""Return the factor that ends three-centre terms of a pair smoothly, and its slope.

    :math:`10 t^3 - 15 t^4 + 6 t^5` with :math:`t = r_c^i + r_c^j - r` in the last bohr, else 1.
    """
    t = np.clip(reach - r, 0.0, 1.0)
    factor = t**3 * (10.0 + t * (-15.0 + 6.0 * t))
    return factor, -30.0 * t**2 * (1.0 - t) ** 2


def three_centre_sums(setup: Setup) -> tuple[Array, Array]:
    """Return flat blocks, without damping, of V_NL and of V_NA by projectors, Ha.

    The latter are zero between orbitals of one atom.
    """
    results = [np.zeros(int(setup.pattern.offsets[-1])) for _ in range(2)]
    for centre, symbol in enumerate(setup.symbols.tolist()):
        images = setup.images(centre)
        for kind, result, own in zip(("mean", "neutral"), results, (True, False), strict=True):
            b = images.overlaps(setup.tables, kind, symbol)
            product = (b * setup.tables.strengths(kind, symbol)) @ b.T
            add_products(setup, images, [(product, result)], own=own)
    return results[0], results[1]


def spin_orbit_sums(setup: Setup) -> list[Array]:
    r"""Return flat blocks, without damping, of the mean over j and of A_x, A_y, A_z, Ha.

    :math:`\bar V = \sum [(l+1) B_+ + l B_-] / (2l+1)` and
    :math:`A_\alpha = \sum (E_+ b_+ M_\alpha b_+^T - E_- b_- M_\alpha b_-^T) / (2l+1)`.
    """
    results = [np.zeros(int(setup.pattern.offsets[-1])) for _ in range(4)]
    for centre, symbol in enumerate(setup.symbols.tolist()):
        images = setup.images(centre)
        products: list[Array | float] = [0.0] * 4
        for kind, sign in (("plus", 1.0), ("minus", -1.0)):
            b = images.overlaps(setup.tables, kind, symbol)
            weights = spin_orbit_weights(setup.tables.species[symbol], kind)
            products[0] = products[0] + (b * weights[0]) @ b.T
            for axis in range(3):
                products[axis + 1] = products[axis + 1] + sign * (b @ weights[1][axis]) @ b.T
        pairs = [(np.asarray(p), r) for p, r in zip(products, results, strict=True)]
        add_products(setup, images, pairs, own=True)
    return results


def spin_orbit_weights(species: OpenMXSpecies, kind: str) -> tuple[Array, Array]:
    """Return weights of projectors in the mean, (n,), and E M / (2l+1), (3, n, n), Ha.

    ``kind`` is "plus" or "minus".
    """
    strengths = species.nonlocal_strengths(kind)
    mean, coupling = np.empty_like(strengths), np.zeros((3, len(strengths), len(strengths)))
    start = 0
    for ell in species.nonlocal_momenta:
        width = 2 * ell + 1
        for _ in range(int((species.vps.l == ell).sum())):
            own = slice(start, start + width)
            share = (ell + 1 if kind == "plus" else ell) / width
            mean[own] = share * strengths[own]
            coupling[:, own, own] = strengths[start] * angular_momentum(ell) / width
            start += width
    return mean, coupling


def add_products(
    setup: Setup, images: Images, products: list[tuple[Array, Array]], *, own: bool
) -> None:
    """Add products between all orbitals around a centre to the blocks of their pairs.

    Parameters
    ----------
    setup : Setup
    images : Images
    products : list of (ndarray (n_rows, n_rows), ndarray of flat blocks)
    own : bool
        Also to the blocks of an atom with itself.
    """
    for a, atom in enumerate(images.atoms.tolist()):
        index = setup.places.find(atom, images.atoms, images.cells - images.cells[a])
        if not own:
            index[a] = -1
        rows = slice(images.starts[a], images.starts[a + 1])
        for where, columns in images.groups:
            kept = index[where] >= 0
            if not kept.any():
                continue
            for product, target in products:
                part = product[rows][:, columns[kept]].transpose(1, 0, 2)
                setup.scatter(target, index[where][kept], part)


def momentum_of_kets(
    matrix: LatticeMatrix, symbols: Sequence[str], species: Mapping[str, OpenMXSpecies]
) -> VectorMatrix:
    """Return a real matrix times M of the ket's own orbitals, for x, y and z."""
    turned = {symbol: _atom_angular_momentum(entry) for symbol, entry in species.items()}
    parts: list[list[Array]] = [[], [], []]
    for _, j, blocks in matrix.groups:
        values = matrix.group_values(blocks)
        for axis in range(3):
            parts[axis].append((values @ turned[symbols[j]][axis]).ravel())
    x, y, z = (matrix.with_values(np.concatenate(part)) for part in parts)
    return x, y, z


def _atom_angular_momentum(species: OpenMXSpecies) -> Array:
    """Return M between the orbitals of one atom, (3, n, n)."""
    n = len(species.labels)
    result = np.zeros((3, n, n))
    start = 0
    for ell, count in species.shells:
        for _ in range(count):
            own = slice(start, start + 2 * ell + 1)
            result[:, own, own] = angular_momentum(ell)
            start += 2 * ell + 1
    return result

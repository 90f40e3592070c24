r"""Analytic integrals between Gaussian orbitals of a crystal, in real space.

Overlap, kinetic energy, the nonlocal part of the pseudopotential, the position, and the derivative
of the overlap, each as blocks :math:`\langle i\,0 | O | j\,R \rangle`. The range of an atom pair
follows from its most diffuse orbitals.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.models.hamiltonians.pyscf.cell import Species, species_molecule
from elphant.orbitals import LatticeMatrix, OrbitalBasis
from elphant.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
VectorMatrix = tuple[LatticeMatrix, LatticeMatrix, LatticeMatrix]

#: Overlaps of orbitals farther apart than this are left out (dimensionless).
OVERLAP_FLOOR = 1e-11

#: Names of the integrals with r⁰, r² and r⁴ about the centre of the bra.
PROJECTOR_INTEGRALS = ("int1e_ovlp_sph", "int1e_r2_origi_sph", "int1e_r4_origi_sph")

#: Integrals with three Cartesian components.
VECTOR_INTEGRALS = ("int1e_r_sph", "int1e_ipovlp_sph")


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Atoms of the crystal around a centre, sorted by (atom, cell).

    Attributes
    ----------
    atoms : ndarray of int, (n,)
    cells : ndarray of int, (n, 3)
    bonds : ndarray, (n, 3) Å
        From the centre to the image.
    """

    atoms: Integers
    cells: Integers
    bonds: Array


def images_around(crystal: Crystal, centre: int, ranges: Array) -> Images:
    """Return all images of atoms j within ``ranges[j]`` (Å) of atom ``centre``."""
    bonds = crystal.fractional - crystal.fractional[centre]
    reach = ranges.max() / crystal.heights
    lowest = np.floor(-reach - bonds.max(axis=0)).astype(int)
    highest = np.ceil(reach - bonds.min(axis=0)).astype(int)
    axes = [np.arange(low, high + 1) for low, high in zip(lowest, highest, strict=True)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = (bonds[:, None, :] + cells) @ crystal.lattice
    atoms, index = np.nonzero(np.linalg.norm(vectors, axis=2) <= ranges[:, None])
    return Images(atoms=atoms, cells=cells[index], bonds=vectors[atoms, index])


class OneElectronIntegrals:
    """Integrals between the orbitals of one crystal.

    Parameters
    ----------
    crystal : Crystal
    species : dict of str to Species
    basis : OrbitalBasis
        From :func:`elphant.models.hamiltonians.pyscf.cell.orbital_basis`.
    floor : float
        Overlap below which pairs of atoms are left out.
    """

    def __init__(
        self,
        crystal: Crystal,
        species: dict[str, Species],
        basis: OrbitalBasis,
        *,
        floor: float = OVERLAP_FLOOR,
    ) -> None:
        self.crystal, self.species, self.basis = crystal, species, basis
        self._tables = _Tables(species)
        smallest = {s: entry.exponents.min() for s, entry in species.items()}
        alpha = np.array([smallest[symbol] for symbol in crystal.symbols])
        tightness = alpha[:, None] * alpha[None, :] / (alpha[:, None] + alpha[None, :])
        # A product of Gaussians falls as exp(-μ d²); the constant covers polynomial factors.
        self._ranges = np.sqrt((log(1.0 / floor) + 5.0) / tightness) * ANGSTROM_PER_BOHR
        self._images = [images_around(crystal, i, self._ranges[i]) for i in range(crystal.n_atoms)]

    def overlap(self) -> LatticeMatrix:
        """Return S(R)."""
        return self._matrices("int1e_ovlp_sph", 1)[0]

    def kinetic(self) -> LatticeMatrix:
        """Return the kinetic energy T(R), eV."""
        matrix = self._matrices("int1e_kin_sph", 1)[0]
        return matrix.with_values(matrix.values * EV_PER_HARTREE)

    def position(self) -> VectorMatrix:
        """Return the position about the Cartesian origin, Å."""
        overlap = self.overlap()
        rows = np.repeat(overlap.pairs[:, 0], np.diff(overlap.offsets))
        x, y, z = (
            matrix.with_values(
                matrix.values * ANGSTROM_PER_BOHR
                + self.crystal.positions[rows, axis] * overlap.values
            )
            for axis, matrix in enumerate(self._matrices("int1e_r_sph", 3))
        )
        return x, y, z

    def overlap_derivative(self) -> VectorMatrix:
        """Return the derivative of S over the position of the bra's atom, Å⁻¹.

        The integral with the gradient of the bra over the electron's coordinate has the opposite
        sign. On-site blocks are kept: the ket stays while the bra moves.
        """
        x, y, z = (
            matrix.with_values(-matrix.values / ANGSTROM_PER_BOHR)
            for matrix in self._matrices("int1e_ipovlp_sph", 3)
        )
        return x, y, z

    def nonlocal_pseudopotential(self) -> LatticeMatrix:
        r"""Return :math:`\sum_a |p_a\rangle h \langle p_a|` summed over all atoms, eV."""
        pattern = self._pattern()
        total = np.zeros(int(pattern.offsets[-1]))
        lookup = BlockLookup(pattern)
        for centre in range(self.crystal.n_atoms):
            entry = self.species[self.crystal.symbols[centre]]
            if entry.projectors:
                self._add_projectors(centre, entry, pattern, lookup, total)
        return pattern.with_values(total * EV_PER_HARTREE).hermitized()

    def _add_projectors(
        self,
        centre: int,
        entry: Species,
        pattern: LatticeMatrix,
        lookup: BlockLookup,
        total: Array,
    ) -> None:
        """Add the projectors of one atom and its images to the blocks ``total``."""
        radius = max(projector.radius for projector in entry.projectors)
        narrow = 0.5 / radius**2
        smallest = np.array([self.species[s].exponents.min() for s in self.crystal.symbols])
        # Products of two such overlaps enter: the square root of the floor would do.
        ranges = np.sqrt((log(1.0 / OVERLAP_FLOOR) + 5.0) * (1.0 / narrow + 1.0 / smallest))
        images = images_around(self.crystal, centre, ranges * ANGSTROM_PER_BOHR)
        left, right = self._tables.projections(entry, self.crystal, images)
        sizes = self.basis.sizes
        starts = np.concatenate([[0], np.cumsum(sizes[images.atoms])])
        first = np.searchsorted(images.atoms, np.arange(self.crystal.n_atoms + 1))
        for i in range(self.crystal.n_atoms):
            rows = slice(first[i], first[i + 1])
            if rows.start == rows.stop:
                continue
            bra = left[:, starts[rows.start] : starts[rows.stop]]
            block = (bra.T @ right).reshape(-1, sizes[i], right.shape[1])
            for j in range(self.crystal.n_atoms):
                columns = slice(first[j], first[j + 1])
                part = block[:, :, starts[columns.start] : starts[columns.stop]]
                part = part.reshape(len(block), sizes[i], -1, sizes[j]).transpose(0, 2, 1, 3)
                shift = images.cells[None, columns] - images.cells[rows, None]
                index = lookup.find(i, j, shift.reshape(-1, 3))
                kept = index >= 0
                values = part.reshape(-1, sizes[i] * sizes[j])[kept]
                span = lookup.span(i, j)
                if span is None:
                    continue
                target = total[pattern.offsets[span.start] : pattern.offsets[span.stop]]
                np.add.at(target.reshape(-1, sizes[i] * sizes[j]), index[kept] - span.start, values)

    def _pattern(self) -> LatticeMatrix:
        pairs = np.concatenate(
            [
                np.stack([np.full(len(images.atoms), i), images.atoms], axis=1)
                for i, images in enumerate(self._images)
            ]
        )
        cells = np.concatenate([images.cells for images in self._images])
        sizes = self.basis.sizes
        n = int((sizes[pairs[:, 0]] * sizes[pairs[:, 1]]).sum())
        return LatticeMatrix(sizes=sizes, pairs=pairs, cells=cells, values=np.zeros(n))

    def _matrices(self, integral: str, n_components: int) -> list[LatticeMatrix]:
        """Return an integral, one matrix per component, in atomic units."""
        pattern = self._pattern()
        sizes = self.basis.sizes
        values: list[list[Array]] = [[] for _ in range(n_components)]
        for i, images in enumerate(self._images):
            table = self._tables.orbitals(integral, self.crystal, i, images)
            table = table.reshape(n_components, sizes[i], -1)
            starts = np.concatenate([[0], np.cumsum(sizes[images.atoms])])
            first = np.searchsorted(images.atoms, np.arange(self.crystal.n_atoms + 1))
            for j in range(self.crystal.n_atoms):
                part = table[:, :, starts[first[j]] : starts[first[j + 1]]]
                part = part.reshape(n_components, sizes[i], -1, sizes[j])
                for component in range(n_components):
                    values[component].append(part[component].transpose(1, 0, 2).ravel())
        return [pattern.with_values(np.concatenate(entry)) for entry in values]


class BlockLookup:
    """Finds the index of a block (i, j, R) of a lattice matrix, for many R at once."""

    def __init__(self, matrix: LatticeMatrix) -> None:
        self._low = matrix.cells.min(axis=0)
        self._shape = matrix.cells.max(axis=0) - self._low + 1
        n = len(matrix.sizes)
        self._table = np.full((n, n, *self._shape), -1, dtype=np.int64)
        where = (*matrix.pairs.T, *(matrix.cells - self._low).T)
        self._table[where] = np.arange(matrix.n_blocks)
        self._spans = {(i, j): blocks for i, j, blocks in matrix.groups}

    def find(self, i: int, j: int, cells: Integers) -> Integers:
        """Return the index of each block, -1 where there is none."""
        shifted = cells - self._low
        inside = ((shifted >= 0) & (shifted < self._shape)).all(axis=1)
        index = np.full(len(cells), -1)
        index[inside] = self._table[i, j][tuple(shifted[inside].T)]
        return index

    def span(self, i: int, j: int) -> slice | None:
        """Return the run of blocks of an atom pair."""
        return self._spans.get((i, j))


class _Tables:
    """Tables that libcint reads: shells of every element, and positions set for each call."""

    def __init__(self, species: dict[str, Species]) -> None:
        molecule = species_molecule(species)
        self._atoms = {symbol: index for index, symbol in enumerate(species)}
        self._atm, self._bas = molecule._atm, molecule._bas  # noqa: SLF001  libcint's input
        self._env = molecule._env  # noqa: SLF001
        self._coordinates = len(self._env)

    def orbitals(self, integral: str, crystal: Crystal, centre: int, images: Images) -> Array:
        """Return <centre|O|image> of all orbitals, the centre at the origin."""
        return self._evaluate(integral, self._shells(crystal.symbols[centre]), [], crystal, images)

    def projections(self, entry: Species, crystal: Crystal, images: Images) -> tuple[Array, Array]:
        """Return <p|j> and h <p|j>, (n_projectors, n_orbitals of all images)."""
        left, right = [], []
        for projector in entry.projectors:
            alpha = 0.5 / projector.radius**2
            tables = []
            for name, norm in zip(PROJECTOR_INTEGRALS, projector.norms(), strict=False):
                pointer = self._coordinates
                shell = np.array([[0, projector.l, 1, 1, 0, pointer, pointer + 1, 0]])
                tables.append(self._evaluate(name, shell, [alpha, norm], crystal, images))
            stacked = np.stack(tables)
            weighted = np.einsum("ij,jmn->imn", projector.strengths, stacked)
            left.append(stacked.reshape(-1, stacked.shape[2]))
            right.append(weighted.reshape(-1, stacked.shape[2]))
        return np.concatenate(left), np.concatenate(right)

    def _shells(self, symbol: str) -> Integers:
        return np.asarray(self._bas[self._bas[:, 0] == self._atoms[symbol]])

    def _evaluate(
        self,
        integral: str,
        bra: Integers,
        extra: list[float],
        crystal: Crystal,
        images: Images,
    ) -> Array:
        from pyscf.gto import moleintor

        coordinates = np.concatenate([[0.0, 0.0, 0.0], images.bonds.ravel() / ANGSTROM_PER_BOHR])
        start = self._coordinates + len(extra)
        env = np.concatenate([self._env, extra, coordinates])
        atm = np.zeros((1 + len(images.atoms), self._atm.shape[1]), dtype=np.int32)
        atm[:, 0], atm[:, 1] = 1, start + 3 * np.arange(len(atm))
        shells = [bra.copy()]
        shells[0][:, 0] = 0
        for index, atom in enumerate(images.atoms.tolist()):
            ket = self._shells(crystal.symbols[atom]).copy()
            ket[:, 0] = index + 1
            shells.append(ket)
        bas = np.concatenate(shells).astype(np.int32)
        shell_range = (0, len(bra), len(bra), len(bas))
        n_components = 3 if integral in VECTOR_INTEGRALS else 1
        return np.asarray(
            moleintor.getints(
                integral, atm, bas, env, shls_slice=shell_range, comp=n_components, hermi=0
            )
        )

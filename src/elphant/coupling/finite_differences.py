r"""Derivatives of a Hamiltonian from supercells in which one atom is moved.

The work is cut into independent items, so that a workflow can run and store them one by one:
:func:`supercell_displacements` says which atoms to move, :func:`displaced_supercell` builds the
crystals, a provider computes the Hamiltonian of each, and :func:`derivatives_from_supercells` puts
them together: central differences, the space group, the long-range part taken off, blocks brought
from the periodic supercell to the infinite crystal, sum rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal, Symmetry
from elphant.electron.dielectric.born_charges import ChargeDisplacement, charge_displacements
from elphant.models.dielectric.symmetrization import cartesian_operations, images_of_atoms
from elphant.orbitals import LatticeMatrix, OrbitalBasis
from elphant.orbitals.derivatives import (
    EnvironmentDerivative,
    HamiltonianDerivatives,
    VectorMatrix,
    added,
    hermitian,
    rotated,
    translation_residual,
)
from elphant.orbitals.symmetry import OrbitalSymmetry
from elphant.quality import QualityFlag, check_below

if TYPE_CHECKING:
    from elphant.coupling.long_range import LongRangeCoupling

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Repeats = tuple[int, int, int]

#: Displacement of an atom, Å: large against the noise of a self-consistent density, small against
#: the third derivatives of H, of which a central difference contains the square.
DISPLACEMENT = 0.03

#: Blocks of a derivative with a smaller norm are left out, eV/Å.
FLOOR = 1e-3

#: Images that are equally near to within this (Å) share a block.
TIE = 1e-3

#: Blocks whose atoms are on average farther from the moved one than this share of half the
#: supercell are near its edge; the largest share of the norm that may lie there.
OUTER, OUTER_LIMIT = 0.8, 0.1

#: Largest part of the derivative that the translation sum rule may have had to remove.
SUM_RULE_LIMIT = 0.05


def repeated(crystal: Crystal, repeats: Repeats) -> Crystal:
    """Return the supercell of ``repeats`` cells along a, b, c: cell by cell, the last axis fastest.

    Atom ``i`` of cell number ``n`` in :func:`cells_of` is atom ``n * n_atoms + i``.
    """
    cells = cells_of(repeats)
    counts = np.array(repeats)
    fractional = (crystal.fractional[None] + cells[:, None]) / counts
    return Crystal(
        lattice=crystal.lattice * counts[:, None],
        fractional=fractional.reshape(-1, 3),
        numbers=np.tile(crystal.numbers, len(cells)),
        masses=np.tile(crystal.masses, len(cells)),
        name=f"{crystal.name} {'x'.join(str(n) for n in repeats)}",
    )


def cells_of(repeats: Repeats) -> Integers:
    """Return the cells of a supercell, (n_cells, 3)."""
    return np.array(list(product(*(range(n) for n in repeats))), dtype=np.int64)


def compatible_symmetry(symmetry: Symmetry, repeats: Repeats) -> Symmetry:
    """Return the operations that map the lattice of the supercell onto itself."""
    scaled = symmetry.rotations * np.array(repeats)[None, None] / np.array(repeats)[None, :, None]
    kept = (np.abs(scaled - np.rint(scaled)) < 1e-9).all(axis=(1, 2))
    return replace(
        symmetry,
        rotations=symmetry.rotations[kept],
        translations=symmetry.translations[kept],
    )


def supercell_displacements(
    crystal: Crystal, symmetry: Symmetry, repeats: Repeats, size: float = DISPLACEMENT
) -> list[ChargeDisplacement]:
    """Return the displacements from which all derivatives follow, in the home cell.

    One atom of each orbit is moved along directions whose images under its site symmetry span
    space; the opposite displacement is added where no operation makes it.
    """
    usable = compatible_symmetry(symmetry, repeats)
    return charge_displacements(crystal, _with_orbits(crystal, usable), size)


def displaced_supercell(crystal: Crystal, repeats: Repeats, move: ChargeDisplacement) -> Crystal:
    """Return the supercell with one atom of its first cell moved."""
    supercell = repeated(crystal, repeats)
    shift = np.zeros((supercell.n_atoms, 3))
    shift[move.atom] = move.vector
    return supercell.displaced(shift)


@dataclass(frozen=True, kw_only=True, eq=False)
class AssembledDerivatives:
    """Derivatives from supercells and what is known about their error.

    Attributes
    ----------
    derivatives : HamiltonianDerivatives
    sum_rule : float, eV/Å
        Largest element of the translation sums that was removed.
    hermiticity : float, eV/Å
        Largest deviation from hermiticity that was removed.
    symmetry : float, eV/Å
        Largest change by operations that the supercell does not have.
    largest : float, eV/Å
        Largest element of the derivative.
    dropped : float, eV/Å
        Root of the squared norm of the blocks below the floor, of the atom with most of them.
    flags : tuple of QualityFlag
    """

    derivatives: HamiltonianDerivatives
    sum_rule: float
    hermiticity: float
    symmetry: float
    largest: float
    dropped: float
    flags: tuple[QualityFlag, ...]


def derivatives_from_supercells(
    crystal: Crystal,
    symmetry: Symmetry,
    basis: OrbitalBasis,
    repeats: Repeats,
    moves: Sequence[ChargeDisplacement],
    matrices: Sequence[LatticeMatrix],
    *,
    overlap: LatticeMatrix | None,
    overlap_derivative: VectorMatrix | None,
    long_range: LongRangeCoupling | None = None,
    floor: float = FLOOR,
) -> AssembledDerivatives:
    """Put the Hamiltonians of displaced supercells together.

    Parameters
    ----------
    crystal, symmetry, basis
        Of the unit cell at rest.
    repeats : tuple of int
        Of the supercell.
    moves : sequence of ChargeDisplacement
        From :func:`supercell_displacements`.
    matrices : sequence of LatticeMatrix, eV
        H of each displaced supercell, atoms in the order of :func:`repeated`.
    overlap : LatticeMatrix or None
        S of the unit cell.
    overlap_derivative : VectorMatrix or None, Å⁻¹
        Exact derivatives of S.
    long_range : LongRangeCoupling, optional
        Dipole potentials of the unit cell; those of the supercell are taken off, so that only what
        has died out inside the supercell is left.
    floor : float, eV/Å
        Blocks of smaller norm are left out.
    """
    usable = _with_orbits(crystal, compatible_symmetry(symmetry, repeats))
    representation = OrbitalSymmetry.of(crystal, usable, basis)
    operations = cartesian_operations(crystal, usable)
    unfold = _Unfolding(crystal, basis.sizes, repeats, overlap, long_range)
    parts = []
    hermiticity, dropped = 0.0, 0.0
    for atom in sorted({move.atom for move in moves}):
        chosen = [(m, H) for m, H in zip(moves, matrices, strict=True) if m.atom == atom]
        site = np.flatnonzero(representation.atoms[:, atom] == atom)
        derivative = _slope(
            [(move.vector, unfold(H, atom, move.vector)) for move, H in chosen],
            [(int(g), operations[g]) for g in site],
            representation,
        )
        derivative, change = hermitian(derivative)
        hermiticity = max(hermiticity, change)
        # Before the other atoms follow: norms do not change under the space group.
        small = derivative.norms <= floor
        dropped = max(dropped, float(np.sqrt((derivative.norms[small] ** 2).sum())))
        derivative = derivative.selected(~small)
        for target in np.unique(representation.atoms[:, atom]):
            g = int(np.flatnonzero(representation.atoms[:, atom] == target)[0])
            parts.append(rotated(derivative, representation, operations[g], g))
    whole = added(parts)
    parts.clear()
    whole, change = _over_the_rest(whole, crystal, symmetry, usable, basis)
    whole, sum_rule = translation_residual(whole)
    largest = float(np.abs(whole.values).max(initial=0.0))
    outer = _outer_share(whole, crystal, repeats)
    details: dict[str, Any] = {
        "outer_share": outer,
        "method": "central differences in a supercell",
        "supercell": list(repeats),
        "n_displacements": len(moves),
        "displacement": float(np.linalg.norm(moves[0].vector)),
        "floor": floor,
        "dropped": dropped,
        "n_blocks": whole.n_blocks,
        "memory_gb": round(whole.nbytes / 1e9, 3),
        "sum_rule_removed": sum_rule,
        "hermiticity_removed": hermiticity,
        "symmetry_change": change,
        "largest_element": largest,
        "long_range_subtracted": long_range is not None,
        "range_parameter": None if long_range is None else long_range.range_parameter,
    }
    reach = check_below(
        "derivative_supercell",
        outer,
        OUTER_LIMIT,
        f"{100 * outer:.0f} % of the norm of the derivatives of H lies near the edge of the "
        f"{'x'.join(str(n) for n in repeats)} supercell; what should lie beyond is folded back.",
    )
    flag = check_below(
        "derivative_sum_rule",
        sum_rule / max(largest, 1e-12),
        SUM_RULE_LIMIT,
        f"Moving all atoms together changed elements of H by up to {sum_rule:.1e} eV/Å before the "
        f"sum rule was imposed; the largest derivative is {largest:.1f} eV/Å. This is mostly the "
        "density grid; a higher hamiltonian.cutoff shows whether it matters.",
    )
    return AssembledDerivatives(
        derivatives=HamiltonianDerivatives(
            sizes=basis.sizes, overlap=overlap_derivative, environment=whole, details=details
        ),
        sum_rule=sum_rule,
        hermiticity=hermiticity,
        symmetry=change,
        largest=largest,
        dropped=dropped,
        flags=(flag, reach),
    )


def _outer_share(derivative: EnvironmentDerivative, crystal: Crystal, repeats: Repeats) -> float:
    """Return the share of the norm whose atoms are on average near the edge of the supercell."""
    places = crystal.fractional[derivative.pairs] + derivative.cells
    places = places - crystal.fractional[derivative.moved][:, None]
    distance = np.linalg.norm(places @ crystal.lattice, axis=2).mean(axis=1)
    edge = OUTER * 0.5 * float((crystal.heights * np.array(repeats)).min())
    squares = derivative.norms**2
    return float(np.sqrt(squares[distance > edge].sum() / max(squares.sum(), 1e-300)))


def _with_orbits(crystal: Crystal, symmetry: Symmetry) -> Symmetry:
    """Return the symmetry with the orbits of its own operations."""
    return replace(symmetry, equivalent_atoms=images_of_atoms(crystal, symmetry).min(axis=0))


def _slope(
    samples: Sequence[tuple[Array, EnvironmentDerivative]],
    site: Sequence[tuple[int, Array]],
    representation: OrbitalSymmetry,
) -> EnvironmentDerivative:
    r"""Return D of H(u) = H(0) + u·D by least squares over all images under the site symmetry.

    .. math:: D = \Big(\sum u u^T\Big)^{-1} \sum u\, H(u)

    The set of displacements holds the opposite of each, so H(0) and even powers of u cancel. The
    samples hold H three times, as scalars.
    """
    square = np.zeros((3, 3))
    totals = []
    for operation, R in site:
        weighted = []
        for vector, field in samples:
            u = R @ vector
            square += np.outer(u, u)
            lengths = np.diff(field.offsets)
            # u_α in the place of each component of each block.
            factors = np.repeat(np.tile(u, field.n_blocks), np.repeat(lengths // 3, 3))
            turned = rotated(field, representation, np.eye(3), operation)
            weighted.append(turned.with_values(turned.values * factors))
        totals.append(added(weighted))
    total = added(totals)
    inverse = np.linalg.inv(square)
    values = np.empty_like(total.values)
    for length in np.unique(np.diff(total.offsets)):
        blocks = np.flatnonzero(np.diff(total.offsets) == length)
        places = total.offsets[blocks][:, None] + np.arange(length)
        parts = total.values[places].reshape(len(blocks), 3, -1)
        values[places] = np.einsum("ab,nbx->nax", inverse, parts).reshape(len(blocks), -1)
    return total.with_values(values)


def _over_the_rest(
    derivative: EnvironmentDerivative,
    crystal: Crystal,
    symmetry: Symmetry,
    usable: Symmetry,
    basis: OrbitalBasis,
) -> tuple[EnvironmentDerivative, float]:
    """Average over operations that the supercell lacks; return the largest change as well."""
    if len(usable.rotations) == len(symmetry.rotations):
        return derivative, 0.0
    representation = OrbitalSymmetry.of(crystal, symmetry, basis)
    operations = cartesian_operations(crystal, symmetry)
    images = [rotated(derivative, representation, R, g) for g, R in enumerate(operations)]
    mean = added(images)
    mean = mean.with_values(mean.values / len(images))
    change = added([mean, derivative.with_values(-derivative.values)])
    return mean, float(np.abs(change.values).max(initial=0.0))


def _of_supercell(
    long_range: LongRangeCoupling, crystal: Crystal, repeats: Repeats
) -> NDArray[np.complex128]:
    """Return the potentials of the dipoles of all atoms of a supercell on all its atoms."""
    n_cells, data = len(cells_of(repeats)), long_range.dielectric
    charges = np.tile(data.born_charges, (n_cells, 1, 1))
    quadrupoles = long_range.quadrupoles
    whole = replace(
        long_range,
        crystal=repeated(crystal, repeats),
        dielectric=replace(data, born_charges=charges),
        quadrupoles=None if quadrupoles is None else np.tile(quadrupoles, (n_cells, 1, 1, 1)),
    )
    return np.asarray(whole.site_potentials(np.zeros((1, 3)))[0])


class _Unfolding:
    """Brings blocks of a periodic supercell to the images nearest to the moved atom.

    A block (i, j) of a supercell belongs to the moved atom and all its periodic images together. It
    is given to the image for which the sum of the distances to both atoms is smallest, in equal
    parts where several are equally near.
    """

    def __init__(
        self,
        crystal: Crystal,
        sizes: Integers,
        repeats: Repeats,
        overlap: LatticeMatrix | None,
        long_range: LongRangeCoupling | None,
    ) -> None:
        self._crystal, self._sizes = crystal, sizes
        self._cells, self._counts = cells_of(repeats), np.array(repeats)
        self._overlap: dict[tuple[int, ...], Array] = {}
        self._potentials: NDArray[np.complex128] | None = None
        if long_range is not None:
            self._potentials = _of_supercell(long_range, crystal, repeats)
            if overlap is None:
                n = crystal.n_atoms
                self._overlap = {(i, i, 0, 0, 0): np.eye(int(sizes[i])) for i in range(n)}
            else:
                keys = np.hstack([overlap.pairs, overlap.cells]).tolist()
                self._overlap = {tuple(key): overlap.block(b) for b, key in enumerate(keys)}

    def __call__(self, matrix: LatticeMatrix, atom: int, vector: Array) -> EnvironmentDerivative:
        """Return H of one displaced supercell around the moved atom, three times."""
        crystal, n_atoms = self._crystal, self._crystal.n_atoms
        cell, inside = np.divmod(matrix.pairs, n_atoms)
        ends = self._cells[cell]
        ends[:, 1] += matrix.cells * self._counts
        places = (crystal.fractional[inside] + ends) - crystal.fractional[atom]
        chosen, shift, weight = self._nearest(places)
        pairs, cells = inside[chosen], ends[chosen] - (shift * self._counts)[:, None]
        lengths = self._sizes[pairs].prod(axis=1)
        first = matrix.offsets[chosen]
        index = np.repeat(first - np.cumsum(lengths) + lengths, lengths)
        values = matrix.values[index + np.arange(int(lengths.sum()))]
        if self._potentials is not None:
            site = self._potentials[:, atom].real @ vector
            mean = 0.5 * site[matrix.pairs[chosen]].sum(axis=1)
            values = values - self._smooth(pairs, cells, mean)
        values = values * np.repeat(weight, lengths)
        # Three copies per block: (3, n_i, n_j).
        triple = np.repeat(np.cumsum(lengths) - lengths, 3 * lengths)
        within = np.arange(int(3 * lengths.sum())) - np.repeat(
            3 * (np.cumsum(lengths) - lengths), 3 * lengths
        )
        values = values[triple + within % np.repeat(lengths, 3 * lengths)]
        return EnvironmentDerivative(
            sizes=self._sizes, moved=np.full(len(pairs), atom), pairs=pairs, cells=cells,
            values=values,
        )  # fmt: skip

    def _nearest(self, places: Array) -> tuple[Integers, Integers, Array]:
        """Return block, supercell translation and share of every assignment.

        ``places`` (n, 2, 3): fractional positions of both atoms relative to the moved one.
        """
        lattice = self._crystal.lattice
        middle = np.rint(places.mean(axis=1) / self._counts).astype(np.int64)
        around = np.array(list(product((-1, 0, 1), repeat=3)))
        candidates = middle[:, None] + around
        offset = places[:, None] - (candidates * self._counts)[:, :, None]
        distance = np.linalg.norm(offset @ lattice, axis=3).sum(axis=2)
        near = distance < distance.min(axis=1, keepdims=True) + TIE
        block, which = np.nonzero(near)
        return block, candidates[block, which], 1.0 / near.sum(axis=1)[block]

    def _smooth(self, pairs: Integers, cells: Integers, mean: Array) -> Array:
        """Return S_ij times the mean potential of both atoms, block by block."""
        bonds = np.hstack([pairs, cells[:, 1] - cells[:, 0]]).tolist()
        parts = []
        for bond, potential in zip(bonds, mean, strict=True):
            block = self._overlap.get(tuple(bond))
            size = int(self._sizes[bond[0]] * self._sizes[bond[1]])
            parts.append(np.zeros(size) if block is None else potential * block.ravel())
        return np.concatenate(parts)

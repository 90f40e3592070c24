r"""Derivatives of H and S over atomic positions, the raw material of electron-phonon coupling.

Two kinds of terms occur. *Two-centre* terms depend on one bond only: moving the atom of the bra
changes the block (i, j, R), moving that of the ket changes it by the negative. *Environment* terms
depend on a third atom: the self-consistent potential, or the messages of a network. A provider may
give either or both; the derivative is their sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from elphant.arrays import checked_array
from elphant.orbitals.lattice_matrix import LatticeMatrix
from elphant.orbitals.symmetry import OrbitalSymmetry

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

#: Blocks handled at a time, so that copies stay small beside the whole.
BLOCKS_AT_ONCE = 20_000

#: Three lattice matrices, one per Cartesian direction.
VectorMatrix = tuple[LatticeMatrix, LatticeMatrix, LatticeMatrix]


@dataclass(frozen=True, kw_only=True, eq=False)
class EnvironmentDerivative:
    r"""Sparse triplets: blocks of H that change when one atom moves.

    .. math:: D^{\kappa\alpha}_{iR_i,\,jR_j} = \partial \langle i R_i | H | j R_j \rangle
              / \partial \tau_{\kappa 0, \alpha}

    Attributes
    ----------
    sizes : ndarray of int, (n_atoms,)
        Number of orbitals of each atom.
    moved : ndarray of int, (n_blocks,)
        The atom κ that moves, in the home cell.
    pairs : ndarray of int, (n_blocks, 2)
        Atoms i and j.
    cells : ndarray of int, (n_blocks, 2, 3)
        Cells R_i and R_j as seen from the moved atom's cell.
    values : ndarray, (sum of 3 n_i n_j,) eV/Å
        The blocks one after the other, each (3, n_i, n_j).
    """

    sizes: Integers
    moved: Integers
    pairs: Integers
    cells: Integers
    values: Array

    def __post_init__(self) -> None:
        n = len(self.moved)
        for name, shape, dtype in (
            ("sizes", (None,), np.int64),
            ("moved", (n,), np.int64),
            ("pairs", (n, 2), np.int64),
            ("cells", (n, 2, 3), np.int64),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))
        values = checked_array("values", self.values, (int(self.offsets[-1]),))
        object.__setattr__(self, "values", values)

    @cached_property
    def offsets(self) -> Integers:
        """Where each block starts in ``values``, (n_blocks + 1,)."""
        lengths = 3 * self.sizes[self.pairs].prod(axis=1)
        return np.concatenate([[0], np.cumsum(lengths)])

    @property
    def n_blocks(self) -> int:
        """Number of stored blocks."""
        return len(self.moved)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, bytes."""
        return int(self.values.nbytes + self.cells.nbytes + self.pairs.nbytes)

    @cached_property
    def norms(self) -> Array:
        """Frobenius norm of each block over all three directions, (n_blocks,) eV/Å."""
        if not self.n_blocks:
            return np.empty(0)
        squares = []
        for start in range(0, self.n_blocks, BLOCKS_AT_ONCE):
            offsets = self.offsets[start : min(start + BLOCKS_AT_ONCE, self.n_blocks) + 1]
            values = self.values[offsets[0] : offsets[-1]]
            squares.append(np.add.reduceat(values**2, offsets[:-1] - offsets[0]))
        return np.asarray(np.sqrt(np.concatenate(squares)))

    def selected(self, mask: NDArray[np.bool_]) -> EnvironmentDerivative:
        """Return the blocks marked in ``mask`` (n_blocks,)."""
        return EnvironmentDerivative(
            sizes=self.sizes, moved=self.moved[mask], pairs=self.pairs[mask],
            cells=self.cells[mask], values=self.values[np.repeat(mask, np.diff(self.offsets))],
        )  # fmt: skip

    def with_values(self, values: Array) -> EnvironmentDerivative:
        """Return the same blocks with other values."""
        return EnvironmentDerivative(
            sizes=self.sizes, moved=self.moved, pairs=self.pairs, cells=self.cells, values=values
        )

    def images(self, atom: int) -> ImageDerivative:
        """Return the derivative over one atom as sparse matrices between orbital images."""
        mine = self.selected(self.moved == atom)
        images, (place,) = _atom_images([mine])
        return ImageDerivative(
            atoms=images[:, 0], cells=images[:, 1:],
            matrices=_sparse(mine, place, self.sizes[images[:, 0]]),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class SpinorEnvironment:
    r"""The environment terms of a spinor Hamiltonian,
    :math:`\partial H = \partial O + i \sum_\alpha \partial A_\alpha\, \sigma_\alpha`.

    Kept in its real parts: the spin-free one reaches farther than spin-orbit coupling.

    Attributes
    ----------
    scalar : EnvironmentDerivative
        Of O, between spin-free orbitals.
    coupling : three EnvironmentDerivative
        Of A for x, y, z.
    """

    scalar: EnvironmentDerivative
    coupling: tuple[EnvironmentDerivative, EnvironmentDerivative, EnvironmentDerivative]

    @property
    def sizes(self) -> Integers:
        """Number of spinor orbitals of each atom, (n_atoms,)."""
        return 2 * self.scalar.sizes

    @property
    def parts(self) -> tuple[EnvironmentDerivative, ...]:
        """The real parts: spin-free, x, y, z."""
        return (self.scalar, *self.coupling)

    @property
    def n_blocks(self) -> int:
        """Number of stored blocks, all parts together."""
        return sum(part.n_blocks for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, bytes."""
        return sum(part.nbytes for part in self.parts)

    def images(self, atom: int) -> SpinorImageDerivative:
        """Return the derivative over one atom as sparse matrices between orbital images."""
        parts = [part.selected(part.moved == atom) for part in self.parts]
        images, places = _atom_images(parts)
        sizes = self.scalar.sizes[images[:, 0]]
        scalar, x, y, z = (
            _sparse(part, place, sizes) for part, place in zip(parts, places, strict=True)
        )
        starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        # The orbitals of an image are all spin up, then all spin down.
        up = np.repeat(starts, sizes) + np.arange(int(sizes.sum()))
        return SpinorImageDerivative(
            atoms=images[:, 0], cells=images[:, 1:], up=up, down=up + np.repeat(sizes, sizes),
            scalar=scalar, coupling=(x, y, z),
        )  # fmt: skip


def _atom_images(parts: list[EnvironmentDerivative]) -> tuple[Integers, list[Integers]]:
    """Return the distinct ends (n, 4: atom and cell), and those of each block of each part."""
    ends = [
        np.concatenate([part.pairs.reshape(-1, 1), part.cells.reshape(-1, 3)], axis=1)
        for part in parts
    ]
    images, place = np.unique(np.concatenate(ends), axis=0, return_inverse=True)
    cuts = np.cumsum([len(end) for end in ends])[:-1]
    return images.reshape(-1, 4), [part.reshape(-1, 2) for part in np.split(place.ravel(), cuts)]


def _sparse(
    derivative: EnvironmentDerivative, place: Integers, sizes: Integers
) -> tuple[Any, Any, Any]:
    """Return the blocks of one atom as sparse matrices for x, y, z.

    Parameters
    ----------
    derivative : EnvironmentDerivative
    place : ndarray of int, (n_blocks, 2)
        Images of bra and ket of each block.
    sizes : ndarray of int, (n_images,)
        Number of orbitals of each image.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows, columns = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    values = [np.empty((3, 0))]
    shapes = derivative.sizes[derivative.pairs].reshape(-1, 2)
    for n_i, n_j in np.unique(shapes, axis=0).tolist():
        blocks = np.flatnonzero((shapes == [n_i, n_j]).all(axis=1))
        shape = (len(blocks), n_i, n_j)
        first, second = starts[place[blocks]].T
        row = first[:, None, None] + np.arange(n_i)[:, None]
        column = second[:, None, None] + np.arange(n_j)
        rows.append(np.broadcast_to(row, shape).ravel())
        columns.append(np.broadcast_to(column, shape).ravel())
        index = derivative.offsets[blocks][:, None] + np.arange(3 * n_i * n_j)
        parts = derivative.values[index].reshape(len(blocks), 3, n_i * n_j)
        values.append(parts.transpose(1, 0, 2).reshape(3, -1))
    row, column = np.concatenate(rows), np.concatenate(columns)
    n = int(starts[-1])
    x, y, z = (
        csr_array((part, (row, column)), shape=(n, n)) for part in np.concatenate(values, axis=1)
    )
    return x, y, z


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageDerivative:
    """Derivative over one atom of the home cell, between orbitals of atom images.

    Attributes
    ----------
    atoms : ndarray of int, (n_images,)
    cells : ndarray of int, (n_images, 3)
    matrices : three sparse matrices, (n_image_orbitals, n_image_orbitals) eV/Å
        x, y, z.
    """

    atoms: Integers
    cells: Integers
    matrices: tuple[Any, Any, Any]

    def applied(self, columns: Complex) -> Complex:
        """Return the derivatives times columns (n_image_orbitals, m), (n_image_orbitals, m, 3)."""
        return np.stack([_real_product(matrix, columns) for matrix in self.matrices], axis=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class SpinorImageDerivative:
    """The same between spinor orbitals, from its real parts.

    Attributes
    ----------
    atoms : ndarray of int, (n_images,)
    cells : ndarray of int, (n_images, 3)
    up, down : ndarray of int, (n_image_orbitals,)
        Place of each spin-free orbital with either spin.
    scalar : three sparse matrices, (n_image_orbitals, n_image_orbitals) eV/Å
        x, y, z.
    coupling : three times three sparse matrices, eV/Å
        A for the three components of spin, each along x, y, z.
    """

    atoms: Integers
    cells: Integers
    up: Integers
    down: Integers
    scalar: tuple[Any, Any, Any]
    coupling: tuple[tuple[Any, Any, Any], ...]

    def applied(self, columns: Complex) -> Complex:
        r"""Return :math:`(O + i \sum_\alpha A_\alpha \sigma_\alpha)` times columns.

        Shapes (2 n_image_orbitals, m) and (2 n_image_orbitals, m, 3).
        """
        m = columns.shape[1]
        both = np.concatenate([columns[self.up], columns[self.down]], axis=1)
        result = np.empty((*columns.shape, 3), dtype=np.complex128)
        for axis in range(3):
            scalar, x, y, z = (
                _real_product(matrices[axis], both) for matrices in (self.scalar, *self.coupling)
            )
            u, d = slice(0, m), slice(m, 2 * m)
            result[self.up, :, axis] = scalar[:, u] + 1j * z[:, u] + y[:, d] + 1j * x[:, d]
            result[self.down, :, axis] = scalar[:, d] - 1j * z[:, d] - y[:, u] + 1j * x[:, u]
        return result


def _real_product(matrix: Any, columns: Complex) -> Complex:
    """Return a real sparse matrix times complex columns; scipy would make it complex first."""
    product = matrix @ np.ascontiguousarray(columns).view(np.float64)
    return np.asarray(product).view(np.complex128)


@dataclass(frozen=True, kw_only=True, eq=False)
class HamiltonianDerivatives:
    r"""Everything that changes in H and S when atoms move.

    Attributes
    ----------
    sizes : ndarray of int, (n_atoms,)
        Number of orbitals of each atom.
    overlap : VectorMatrix or None, Å⁻¹
        :math:`\langle \partial_\alpha i\,0 | j\,R \rangle`, the bra's atom moved, the ket held;
        None for orthonormal orbitals.
    two_centre : VectorMatrix or None, eV/Å
        The same derivative of the two-centre part of H.
    environment : EnvironmentDerivative, SpinorEnvironment or None, eV/Å
        All the rest.
    details : dict
        How it was made and what was measured: plain JSON.
    """

    sizes: Integers
    overlap: VectorMatrix | None
    two_centre: VectorMatrix | None = None
    environment: EnvironmentDerivative | SpinorEnvironment | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def has_hamiltonian(self) -> bool:
        """Whether a derivative of H is known: without it only the polar coupling is left."""
        return self.two_centre is not None or self.environment is not None


def translation_residual(derivative: EnvironmentDerivative) -> tuple[EnvironmentDerivative, float]:
    r"""Impose :math:`\sum_{\kappa p} \partial H_{ij}(R) / \partial\tau_{\kappa p} = 0`.

    A translation of the whole crystal changes no block. What is left of the sum is taken off the
    terms in which one of the two atoms of the block itself moves, in equal parts: orbitals that
    move through a grid are where such errors arise. A block for which neither is stored takes it
    off all terms in proportion to their squared norms.

    Returns
    -------
    EnvironmentDerivative
    float, eV/Å
        Largest element of the sums that were removed.
    """
    bond = derivative.cells[:, 1] - derivative.cells[:, 0]
    _, place = np.unique(np.hstack([derivative.pairs, bond]), axis=0, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    edges = np.flatnonzero(np.diff(place.ravel()[order], prepend=-1, append=-1))
    at_home = (derivative.pairs == derivative.moved[:, None]) & (derivative.cells == 0).all(axis=2)
    own = at_home.any(axis=1).astype(float)
    values, norms, worst = derivative.values.copy(), derivative.norms**2, 0.0
    for start, stop in pairwise(edges.tolist()):
        blocks = order[start:stop]
        length = int(np.diff(derivative.offsets)[blocks[0]])
        places = derivative.offsets[blocks][:, None] + np.arange(length)
        parts = values[places]
        excess = parts.sum(axis=0)
        worst = max(worst, float(np.abs(excess).max()))
        weight = own[blocks] if own[blocks].any() else norms[blocks]
        share = weight / max(float(weight.sum()), 1e-300)
        values[places] = parts - share[:, None] * excess
    return derivative.with_values(values), worst


def rotated(
    derivative: EnvironmentDerivative,
    symmetry: OrbitalSymmetry,
    rotation: Array,
    operation: int,
) -> EnvironmentDerivative:
    r"""Return the derivative after a space-group operation.

    .. math:: D'^{\,g\kappa,\beta}_{gi,\,gj} = \sum_\alpha R_{\beta\alpha}\, D_i\,
              D^{\kappa\alpha}_{ij}\, D_j^T,
       \qquad R_i' = W R_i + L_i - L_\kappa

    Parameters
    ----------
    derivative : EnvironmentDerivative
    symmetry : OrbitalSymmetry
    rotation : ndarray, (3, 3)
        Cartesian matrix of the operation; the identity for three scalar fields.
    operation : int
    """
    atoms, shifts = symmetry.atoms[operation], symmetry.shifts[operation]
    matrices = symmetry.matrices[operation]
    cells = derivative.cells @ symmetry.rotations[operation].T
    cells = cells + shifts[derivative.pairs] - shifts[derivative.moved][:, None]
    values = np.empty_like(derivative.values)
    groups, place = np.unique(derivative.pairs, axis=0, return_inverse=True)
    for number, (i, j) in enumerate(groups.tolist()):
        blocks = np.flatnonzero(place.ravel() == number)
        n_i, n_j = int(derivative.sizes[i]), int(derivative.sizes[j])
        places = derivative.offsets[blocks][:, None] + np.arange(3 * n_i * n_j)
        parts = derivative.values[places].reshape(-1, 3, n_i, n_j)
        turned = matrices[i] @ parts @ matrices[j].T
        values[places] = np.einsum("ba,naij->nbij", rotation, turned).reshape(len(blocks), -1)
    return EnvironmentDerivative(
        sizes=derivative.sizes, moved=atoms[derivative.moved], pairs=atoms[derivative.pairs],
        cells=cells, values=values,
    )  # fmt: skip


def concatenated(parts: list[EnvironmentDerivative]) -> EnvironmentDerivative:
    """Return the blocks of all parts; none may occur twice."""
    return EnvironmentDerivative(
        sizes=parts[0].sizes, moved=np.concatenate([part.moved for part in parts]),
        pairs=np.concatenate([part.pairs for part in parts]),
        cells=np.concatenate([part.cells for part in parts]),
        values=np.concatenate([part.values for part in parts]),
    )  # fmt: skip


def added(parts: list[EnvironmentDerivative]) -> EnvironmentDerivative:
    """Return the sum; blocks that some of the terms lack count as zero there."""
    keys = np.concatenate(
        [np.hstack([p.moved[:, None], p.pairs, p.cells.reshape(-1, 6)]) for p in parts]
    )
    found, place = np.unique(keys, axis=0, return_inverse=True)
    sizes = parts[0].sizes
    lengths = 3 * sizes[found[:, 1:3]].prod(axis=1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    total = np.zeros(int(starts[-1]))
    first = 0
    for part in parts:
        mine = place.ravel()[first : first + part.n_blocks]
        first += part.n_blocks
        for start in range(0, part.n_blocks, BLOCKS_AT_ONCE):
            chosen = slice(start, min(start + BLOCKS_AT_ONCE, part.n_blocks))
            offsets = part.offsets[chosen.start : chosen.stop + 1]
            shift = np.repeat(starts[mine[chosen]] - offsets[:-1], np.diff(offsets))
            # The blocks of one term are distinct.
            total[shift + np.arange(offsets[0], offsets[-1])] += part.values[
                offsets[0] : offsets[-1]
            ]
    return EnvironmentDerivative(
        sizes=sizes, moved=found[:, 0], pairs=found[:, 1:3], cells=found[:, 3:].reshape(-1, 2, 3),
        values=total,
    )  # fmt: skip


def hermitian(derivative: EnvironmentDerivative) -> tuple[EnvironmentDerivative, float]:
    """Return the mean of the derivative and its transpose, and the largest change, eV/Å."""
    values = np.empty_like(derivative.values)
    sizes, place = np.unique(derivative.sizes[derivative.pairs], axis=0, return_inverse=True)
    for number, (n_i, n_j) in enumerate(sizes.tolist()):
        blocks = np.flatnonzero(place.ravel() == number)
        places = derivative.offsets[blocks][:, None] + np.arange(3 * n_i * n_j)
        parts = derivative.values[places].reshape(-1, 3, n_i, n_j)
        values[places] = parts.swapaxes(2, 3).reshape(len(blocks), -1)
    transposed = EnvironmentDerivative(
        sizes=derivative.sizes, moved=derivative.moved, pairs=derivative.pairs[:, ::-1],
        cells=derivative.cells[:, ::-1], values=values,
    )  # fmt: skip
    half = added([derivative, transposed])
    half = half.with_values(0.5 * half.values)
    change = added([half, derivative.with_values(-derivative.values)])
    return half, float(np.abs(change.values).max(initial=0.0))

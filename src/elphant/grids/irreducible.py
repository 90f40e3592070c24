"""Regular k meshes, with or without a half-step shift, reduced by symmetry and time reversal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.errors import ConfigurationError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KMesh:
    """A regular mesh of the reciprocal cell and its irreducible points.

    The point of address (i, j, k) is ``(address + shift/2) / mesh`` in the reciprocal lattice; the
    first component of the address runs fastest.

    Attributes
    ----------
    points : ndarray, (n_irreducible, 3)
        One point of each star, in the order of the full mesh.
    weights : ndarray, (n_irreducible,)
        Share of the mesh in each star; they sum to 1.
    mesh : ndarray of int, (3,)
        Divisions along the reciprocal lattice vectors.
    shift : ndarray of int, (3,)
        0, or 1 for half a step.
    representative : ndarray of int, (n_full,)
        Index into ``points`` for every point of the full mesh.
    full_points : ndarray, (n_full, 3)
        Coordinates in [0, 1).
    rotations : ndarray of int, (n_operations, 3, 3)
        Operations used, acting on k (columns); those that include time reversal carry a minus.
    operation : ndarray of int, (n_full,)
        Index into ``rotations`` of an operation that takes the representative to the point, up to
        a reciprocal lattice vector.
    """

    points: Array
    weights: Array
    mesh: Integers
    shift: Integers
    representative: Integers
    full_points: Array
    rotations: Integers
    operation: Integers

    def __post_init__(self) -> None:
        n = int(np.prod(self.mesh))
        for name, shape, dtype in (
            ("points", (None, 3), float),
            ("weights", (len(self.points),), float),
            ("mesh", (3,), np.int64),
            ("shift", (3,), np.int64),
            ("representative", (n,), np.int64),
            ("full_points", (n, 3), float),
            ("rotations", (None, 3, 3), np.int64),
            ("operation", (n,), np.int64),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    @property
    def n_points(self) -> int:
        """Number of irreducible points."""
        return len(self.points)

    @property
    def n_full(self) -> int:
        """Number of points of the full mesh."""
        return len(self.full_points)


def irreducible_mesh(
    mesh: Sequence[int] | Integers,
    rotations: ArrayLike | None = None,
    *,
    shift: Sequence[int] | Integers = (0, 0, 0),
    time_reversal: bool = True,
) -> KMesh:
    r"""Reduce a mesh by point operations, and by ε(-k) = ε(k) if ``time_reversal``.

    Parameters
    ----------
    mesh : sequence of int, (3,)
    rotations : array_like of int, (n_ops, 3, 3), optional
        Rotations of the space group, acting on fractional positions (columns, ``x' = R x``);
        k goes to :math:`R^{-T} k`. They must form a group. Those that do not map the mesh onto
        itself (a mesh or a shift of lower symmetry than the crystal) are left out: fewer points
        are equivalent, and sums stay correct. Default: the identity.
    shift : sequence of int, (3,)
        0 or 1 for each axis: in units of half a step.
    time_reversal : bool

    Raises
    ------
    ConfigurationError
        If a division is not positive, or a shift is neither 0 nor 1.
    ValueError
        If the rotations are no group.
    """
    counts, half = np.array(mesh, dtype=np.int64), np.array(shift, dtype=np.int64)
    if counts.shape != (3,) or (counts < 1).any():
        raise ConfigurationError(
            f"mesh {counts.tolist()} is not three positive integers.",
            fix="Give three divisions, for example 4,8,4.",
        )
    if half.shape != (3,) or not np.isin(half, (0, 1)).all():
        raise ConfigurationError(
            f"mesh shift {half.tolist()} is not 0 or 1 along each axis.",
            "The shift counts half steps of the mesh.",
            "Give for example 0,0,0 or 1,1,1.",
        )
    given = np.eye(3, dtype=np.int64)[None] if rotations is None else np.asarray(rotations)
    # One operation at a time: images of all points under all operations would fill the memory.
    n_points = int(np.prod(counts))
    # The arithmetic of 48 operations on millions of points is bound by the memory bus.
    dtype = np.int32 if n_points < 2**31 else np.int64
    first = np.arange(n_points, dtype=dtype).reshape(counts[::-1])
    whole = np.meshgrid(
        *(np.arange(n, dtype=dtype) for n in counts[::-1]), sparse=True, indexing="ij"
    )
    operations: list[Integers] = []
    actions: list[tuple[Integers, Integers]] = []
    for matrix in reciprocal_operations(given, time_reversal=time_reversal):
        action = _on_addresses(matrix, counts, half)
        if action is not None:
            operations.append(matrix)
            actions.append(action)
            np.minimum(first, _images(whole[::-1], counts, *action), out=first)
    first = first.ravel()
    irreducible = np.flatnonzero(first == np.arange(n_points))
    place = np.empty(n_points, dtype=np.int64)
    place[irreducible] = np.arange(len(irreducible))
    representative = place[first]
    addresses = _addresses(counts)
    operation = np.full(n_points, -1, dtype=np.int64)
    for number in reversed(range(len(actions))):
        operation[_images(addresses[irreducible].T, counts, *actions[number])] = number
    if (first[first] != first).any() or (operation < 0).any():
        raise ValueError("the rotations do not form a group")
    points = (addresses + 0.5 * half) / counts
    return KMesh(
        points=points[irreducible],
        weights=np.bincount(representative) / n_points,
        mesh=counts,
        shift=half,
        representative=representative,
        full_points=points,
        rotations=np.array(operations),
        operation=operation,
    )


def reciprocal_operations(rotations: ArrayLike, *, time_reversal: bool = True) -> Integers:
    r"""Return the distinct matrices :math:`R^{-T}` that act on k, (n, 3, 3).

    With time reversal, the negative of each as well.
    """
    found: dict[tuple[int, ...], Integers] = {}
    for sign in (1, -1) if time_reversal else (1,):
        for rotation in np.asarray(rotations):
            matrix = sign * np.rint(np.linalg.inv(rotation).T).astype(np.int64)
            found.setdefault(tuple(matrix.ravel().tolist()), matrix)
    return np.array(list(found.values()))


def _on_addresses(
    matrix: Integers, counts: Integers, half: Integers
) -> tuple[Integers, Integers] | None:
    """Return matrix and offset with which an operation acts on addresses.

    None if it takes a point off the mesh.
    """
    scaled = matrix * counts[:, None]
    if (scaled % counts).any():
        return None
    scaled //= counts
    # Twice the offset, so that it is an integer for shifted points too.
    twice = scaled @ half - half
    return None if (twice % 2).any() else (scaled, twice // 2)


def _images(
    addresses: Sequence[Any] | Integers, counts: Integers, matrix: Integers, offset: Integers
) -> Any:
    """Return the flat index of the image of every point.

    ``addresses`` are three arrays that broadcast against each other: rows of a matrix most often
    have one or two elements, so that most sums are done on lines and planes of a mesh.
    """
    image, stride = 0, 1
    for axis in range(3):
        moved: Any = int(offset[axis])
        for other in np.flatnonzero(matrix[axis]).tolist():
            moved = moved + int(matrix[axis, other]) * addresses[other]
        image = image + np.mod(moved, int(counts[axis])) * stride
        stride *= int(counts[axis])
    return image


def _addresses(counts: Integers) -> Integers:
    """Return the addresses of all points, (n, 3), the first component fastest."""
    index = np.arange(int(np.prod(counts)), dtype=np.int64)
    n_a, n_b = int(counts[0]), int(counts[1])
    return np.stack([index % n_a, index // n_a % n_b, index // (n_a * n_b)], axis=-1)

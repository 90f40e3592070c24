"""Γ-centred mesh of wave vectors and the operations that relate its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.errors import ConfigurationError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


# No slots: what follows from the fields is computed once, where it is first asked for.
@dataclass(frozen=True, kw_only=True, eq=False)
class ReciprocalMesh:
    """Γ-centred mesh of the reciprocal primitive cell, reduced by symmetry and time reversal.

    Point i has the address ``addresses[i]`` and the wave vector ``addresses[i] / divisions``; the
    first component of the address runs fastest, as in phonopy.

    Attributes
    ----------
    divisions : ndarray of int, (3,)
    rotations : ndarray of int, (n_operations, 3, 3)
        Act on fractional wave vectors: ``q' = rotation @ q``. Time reversal is included: the
        reversed partner of an operation carries a minus sign.
    rotations_cartesian : ndarray, (n_operations, 3, 3)
        The same for Cartesian polar vectors such as the group velocity; the minus sign of a
        reversed operation is included.
    space_operation : ndarray of int, (n_operations,)
        Which operation of the space group each one comes from.
    reversed : ndarray of bool, (n_operations,)
        Whether it includes time reversal.
    images : ndarray of int, (n_operations, n_points)
        ``images[g, i]`` is the point onto which operation g takes point i.
    irreducible : ndarray of int, (n_irreducible,)
        The representative of each star, in ascending order.
    representative : ndarray of int, (n_points,)
        Position in ``irreducible`` of the representative of each point.
    operation : ndarray of int, (n_points,)
        An operation that takes the representative to the point.
    """

    divisions: Integers
    rotations: Integers
    rotations_cartesian: Array
    space_operation: Integers
    reversed: NDArray[np.bool_]
    images: Integers
    irreducible: Integers
    representative: Integers
    operation: Integers

    def __post_init__(self) -> None:
        n_operations, n_points = np.shape(self.images)
        for name, shape, dtype in (
            ("divisions", (3,), int),
            ("rotations", (n_operations, 3, 3), int),
            ("rotations_cartesian", (n_operations, 3, 3), float),
            ("space_operation", (n_operations,), int),
            ("images", (n_operations, n_points), int),
            ("irreducible", (None,), int),
            ("representative", (n_points,), int),
            ("operation", (n_points,), int),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    @classmethod
    def build(
        cls,
        divisions: Sequence[int],
        lattice: ArrayLike,
        rotations: ArrayLike | None = None,
        *,
        time_reversal: bool = True,
    ) -> ReciprocalMesh:
        """Reduce a mesh.

        Parameters
        ----------
        divisions : sequence of int, (3,)
        lattice : array, (3, 3) Å
            Primitive lattice vectors as rows.
        rotations : array of int, (n, 3, 3), optional
            Rotations of the space group for fractional positions (``x' = R x``). Those that do
            not map the mesh onto itself are left out. Default: the identity.
        time_reversal : bool
            Use ``ω(-q) = ω(q)``; without it (and without rotations) every point is irreducible.
        """
        counts = np.array(divisions, dtype=np.int64)
        if counts.shape != (3,) or (counts < 1).any():
            raise ConfigurationError(
                f"mesh {counts.tolist()} is not three positive integers.",
                fix="Give three divisions, for example 9,9,9.",
            )
        lattice = np.asarray(lattice, dtype=float)
        given = np.eye(3, dtype=int)[None] if rotations is None else np.asarray(rotations, int)
        reciprocal, cartesian, origin, is_reversed = mesh_operations(
            counts, lattice, given, time_reversal
        )
        addresses = _addresses(counts)
        images = np.array([_index(addresses @ m.T, counts) for m in _scaled(reciprocal, counts)])
        first = images.min(axis=0)
        irreducible = np.unique(first)
        representative = np.searchsorted(irreducible, first)
        operation = np.argmax(images[:, first] == np.arange(len(addresses)), axis=0)
        return cls(
            divisions=counts,
            rotations=reciprocal,
            rotations_cartesian=cartesian,
            space_operation=origin,
            reversed=is_reversed,
            images=images,
            irreducible=irreducible,
            representative=representative,
            operation=operation,
        )

    @property
    def n_points(self) -> int:
        """Number of points of the whole mesh."""
        return int(np.prod(self.divisions))

    @property
    def n_irreducible(self) -> int:
        """Number of irreducible points."""
        return len(self.irreducible)

    @cached_property
    def addresses(self) -> Integers:
        """Integer addresses of the points, (n_points, 3), in [0, divisions)."""
        return _addresses(self.divisions)

    @cached_property
    def q_points(self) -> Array:
        """Fractional wave vectors of the points, (n_points, 3)."""
        return np.asarray(self.addresses / self.divisions)

    @cached_property
    def weights(self) -> Integers:
        """Number of points in the star of each irreducible point, (n_irreducible,)."""
        return np.bincount(self.representative, minlength=self.n_irreducible)

    @cached_property
    def negatives(self) -> Integers:
        """Index of -q for each point, (n_points,)."""
        return self.index(-self.addresses)

    def index(self, addresses: ArrayLike) -> Integers:
        """Return the indices of addresses of any shape (..., 3), taken modulo the divisions."""
        return _index(np.asarray(addresses), self.divisions)

    def little_group(self, point: int) -> Integers:
        """Return the operations that keep a point, (n_kept,)."""
        return np.flatnonzero(self.images[:, point] == point)

    @cached_property
    def projections(self) -> Array:
        """Mean of the Cartesian operations of the little group, (n_irreducible, 3, 3).

        Projects a vector field of the wave vector on what the symmetry allows.
        """
        return np.array(
            [
                self.rotations_cartesian[self.little_group(point)].mean(axis=0)
                for point in self.irreducible
            ]
        )

    @property
    def star_rotations(self) -> Array:
        """Cartesian operation that takes the representative to each point, (n_points, 3, 3)."""
        return self.rotations_cartesian[self.operation]

    def orbits(self, point: int) -> Integers:
        """Return the smallest point of the orbit of each point under the little group of one."""
        return np.asarray(self.images[self.little_group(point)].min(axis=0))


def mesh_operations(
    divisions: Integers, lattice: Array, rotations: Integers, time_reversal: bool = True
) -> tuple[Integers, Array, Integers, NDArray[np.bool_]]:
    """Return the distinct operations that keep a mesh.

    Arguments as in :meth:`ReciprocalMesh.build`; the results are its ``rotations``,
    ``rotations_cartesian``, ``space_operation`` and ``reversed``.
    """
    inverse = np.linalg.inv(lattice)
    found: dict[tuple[int, ...], tuple[Integers, Array, int, bool]] = {}
    for is_reversed in (False, True) if time_reversal else (False,):
        sign = -1 if is_reversed else 1
        for origin, rotation in enumerate(rotations):
            # x' = R x leaves q.x unchanged with q' = R^-T q.
            matrix = sign * np.rint(np.linalg.inv(rotation).T).astype(int)
            scaled = matrix * divisions[:, None] / divisions[None, :]
            key = tuple(matrix.ravel().tolist())
            if key in found or np.abs(scaled - np.rint(scaled)).max() > 1e-9:
                continue
            found[key] = (matrix, sign * (inverse @ rotation.T @ lattice).T, origin, is_reversed)
    matrices, cartesian, origins, flags = zip(*found.values(), strict=True)
    return np.array(matrices), np.array(cartesian), np.array(origins), np.array(flags)


def _scaled(rotations: Integers, divisions: Integers) -> Integers:
    """Return the matrices that act on addresses."""
    ratio = divisions[:, None] / divisions[None, :]
    return np.rint(rotations * ratio).astype(np.int64)


def _addresses(divisions: Integers) -> Integers:
    n_a, n_b, _ = divisions
    index = np.arange(int(np.prod(divisions)), dtype=np.int64)
    return np.stack([index % n_a, index // n_a % n_b, index // (n_a * n_b)], axis=-1)


def _index(addresses: NDArray[np.int64], divisions: Integers) -> Integers:
    wrapped = np.mod(addresses, divisions)
    return np.asarray(
        (wrapped[..., 2] * divisions[1] + wrapped[..., 1]) * divisions[0] + wrapped[..., 0],
        dtype=np.int64,
    )

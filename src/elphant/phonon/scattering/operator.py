r"""The linearised collision operator on the irreducible part of a mesh.

With the deviation :math:`n(n+1)\, \mathbf g` of the occupations, the operator is
:math:`\Xi = \sum_p W_p\, s_p s_p^T`, one term for each process p with equilibrium rate W and
signs s of its modes. A vector field obeys :math:`\mathbf g(Rq) = R\, \mathbf g(q)`, so that sums
over the mesh become sums over irreducible points,

.. math:: X_{(q l a)(q_1 l' b)} = \Big[P_q \sum_{q' \in \mathrm{star}(q_1)} \Xi_{ql,q'l'}\,
          R_{q'} P_{q_1}\Big]_{ab},

where R takes q₁ to q' and P is the mean of the operations that keep a point (L. Chaput, Phys. Rev.
Lett. 110, 265506 (2013)). :math:`w^{1/2} X w^{-1/2}` is symmetric, w being the size of the star.

Where all operations are diagonal, as in orthorhombic crystals along their axes, the directions
decouple: three matrices of the size of one replace one of three times the size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from elphant.phonon.scattering.mesh import ReciprocalMesh
from elphant.phonon.scattering.modes import MeshModes

Array = NDArray[np.float64]
Pair = tuple[int, int]

#: Elements of Cartesian operations below this are zero.
_ZERO = 1e-9

#: Rates below this share of the largest one are zero: processes that a selection rule forbids are
#: left with 1e-30 of the others by rounding, differences of occupations with 1e-16.
NEGLIGIBLE_RATE = 1e-14

#: Edge of the tiles in which matrices are symmetrised without a copy.
_TILE = 2048


def scattered_modes(rates: Array) -> NDArray[np.bool_]:
    """Return which modes are scattered at all, for rates (..., n_irreducible, n_modes)."""
    largest = rates.max(axis=(-2, -1), keepdims=True, initial=0.0)
    return np.asarray((rates > 0.0) & (rates > NEGLIGIBLE_RATE * largest))


class MeshCounts(Protocol):
    """What sizes follow from: a mesh, or the plan of one."""

    @property
    def n_irreducible(self) -> int:
        """Irreducible points."""

    @property
    def rotations_cartesian(self) -> Array:
        """Operations that keep the mesh, (n_operations, 3, 3)."""


def components(mesh: MeshCounts) -> tuple[Pair, ...]:
    """Return the Cartesian components (a, b) that the symmetry lets differ from zero."""
    largest = np.abs(mesh.rotations_cartesian).max(axis=0)
    return tuple((a, b) for a in range(3) for b in range(3) if largest[a, b] > _ZERO)


def axis_groups(mesh: ReciprocalMesh) -> tuple[tuple[int, ...], ...]:
    """Return the sets of Cartesian axes that the operator couples: ((0,), (1,), (2,)) for none."""
    group = [0, 1, 2]
    for a, b in components(mesh):
        group = [group[a] if g == group[b] else g for g in group]
    return tuple(tuple(a for a in range(3) if group[a] == g) for g in dict.fromkeys(group))


def reduce_row(mesh: ReciprocalMesh, position: int, row: Array) -> Array:
    """Fold the row of one irreducible point over the stars of the partners.

    Parameters
    ----------
    mesh : ReciprocalMesh
    position : int
        Of the point in ``mesh.irreducible``.
    row : ndarray, (n_t, n_modes, n_points, n_modes) ps⁻¹
        Sum of the rows of all processes. Partners that are equivalent under the operations that
        keep the point may be lumped together on one of them.

    Returns
    -------
    ndarray, (n_t, n_components, n_modes, n_irreducible, n_modes) ps⁻¹
        In the order of :func:`components`.
    """
    from scipy.sparse import csr_array

    n_t, n, n_points, _ = row.shape
    projections = mesh.projections
    coefficients = projections[position] @ mesh.star_rotations @ projections[mesh.representative]
    values = np.ascontiguousarray(row.transpose(2, 0, 1, 3)).reshape(n_points, -1)
    pairs = components(mesh)
    result = np.empty((n_t, len(pairs), n, mesh.n_irreducible, n))
    for c, (a, b) in enumerate(pairs):
        fold = csr_array(
            (coefficients[:, a, b], (mesh.representative, np.arange(n_points))),
            shape=(mesh.n_irreducible, n_points),
        )
        folded = (fold @ values).reshape(mesh.n_irreducible, n_t, n, n)
        result[:, c] = folded.transpose(1, 2, 0, 3)
    return result


def memory_bytes(mesh: MeshCounts, n_modes: int, n_temperatures: int = 1) -> dict[str, float]:
    """Return sizes: of the reduced rows of one point, of all points, and of one operator.

    Returns
    -------
    dict
        ``row``: one point, all temperatures; ``rows``: all points; ``operator``: the peak while
        the operator of one temperature is put together and solved (the rows not included).
    """
    size = mesh.n_irreducible * n_modes
    row = 8.0 * n_temperatures * len(components(mesh)) * n_modes * size
    return {
        "row": row,
        "rows": row * mesh.n_irreducible,
        "operator": 8.0 * (len(components(mesh)) * size**2 + 2.0 * _TILE**2 + 60.0 * size),
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CollisionOperator:
    r"""Collision operator at one temperature, symmetric by construction.

    It is kept in the variables :math:`y = \sqrt{w\, n(n+1) / \tau}\, g`, in which its diagonal
    part is one (times the projection), so that conjugate gradients need no further
    preconditioner.

    Attributes
    ----------
    modes : MeshModes
    temperature : float, K
    rates : ndarray, (n_irreducible, n_modes) ps⁻¹
        Total 1/tau, averaged over degenerate sets.
    active : ndarray of bool, (n_irreducible, n_modes)
        Modes that take part: those that are scattered.
    scale : ndarray, (n_irreducible, n_modes)
        ``sqrt(w n (n + 1) / tau)``, zero for modes left out; ps^(-1/2).
    matrices : mapping of (a, b) to ndarray, (n_irreducible * n_modes, ...) squared
        Off-diagonal part for a <= b.
    asymmetry : float
        Norm of the antisymmetric over that of the whole off-diagonal part, before it was
        symmetrised.
    """

    modes: MeshModes
    temperature: float
    rates: Array
    active: NDArray[np.bool_]
    scale: Array
    matrices: Mapping[Pair, Array]
    asymmetry: float

    @classmethod
    def assemble(
        cls, modes: MeshModes, temperature: float, rates: Array, rows: Iterable[Array]
    ) -> CollisionOperator:
        """Put the operator together.

        Parameters
        ----------
        modes : MeshModes
        temperature : float, K
        rates : ndarray, (n_irreducible, n_modes) ps⁻¹
            Total 1/tau of everything that scatters, also what has no rows (boundaries).
        rows : iterable of ndarray, (n_components, n_modes, n_irreducible, n_modes) ps⁻¹
            :func:`reduce_row` at this temperature for each irreducible point in order; they may
            be made or loaded one by one.
        """
        mesh, n, n_q = modes.mesh, modes.n_modes, modes.mesh.n_irreducible
        rates = np.asarray(rates, dtype=float)
        if rates.shape != (n_q, n):
            raise ValueError(f"rates has shape {rates.shape}; expected {(n_q, n)}")
        active = (modes.irreducible_frequencies > 0.0) & scattered_modes(
            modes.degenerate_means(rates)
        )
        means = _set_means(modes.degenerate_ids, active)
        rates = np.einsum("qst,qt->qs", means, rates)
        scale = modes.thermal_amplitudes(temperature) * np.sqrt(mesh.weights[:, None] * rates)
        active &= scale > 0.0
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=active)
        pairs = components(mesh)
        size = n_q * n
        matrices = {pair: np.empty((size, size)) for pair in pairs}
        count = 0
        for i, row in enumerate(rows):
            if i >= n_q or row.shape != (len(pairs), n, n_q, n):
                raise ValueError(
                    f"row {i} has shape {row.shape}; expected {n_q} rows of shape "
                    f"{(len(pairs), n, n_q, n)}"
                )
            left = means[i] * inverse[i][:, None] * mesh.weights[i]
            for pair, block in zip(pairs, row, strict=True):
                averaged = np.matmul((left @ block.reshape(n, -1)).reshape(n, n_q, n)
                                     .transpose(1, 0, 2), means.transpose(0, 2, 1))  # fmt: skip
                averaged *= inverse[:, None, :]
                matrices[pair][i * n : (i + 1) * n] = averaged.transpose(1, 0, 2).reshape(n, size)
            count += 1
        if count != n_q:
            raise ValueError(f"{count} rows were given for {n_q} irreducible points")
        asymmetry = _symmetrise(matrices, np.sqrt(rates).ravel())
        return cls(
            modes=modes,
            temperature=float(temperature),
            rates=rates,
            active=active,
            scale=scale * active,
            matrices={pair: m for pair, m in matrices.items() if pair[0] <= pair[1]},
            asymmetry=asymmetry,
        )

    @property
    def size(self) -> int:
        """Number of modes of the irreducible points."""
        return int(self.scale.size)

    @property
    def n_left_out(self) -> int:
        """Modes of the whole mesh that move but are not scattered, and are left out."""
        left_out = (self.modes.irreducible_frequencies > 0.0) & ~self.active
        return int((left_out * self.modes.mesh.weights[:, None]).sum())

    def scaled(self, y: Array, axes: tuple[int, ...]) -> Array:
        """Apply the operator in the scaled variables to (n_axes, size) values of coupled axes.

        Valid for fields that symmetry allows (see :meth:`project`).
        """
        result = np.array(y)
        for (a, b), matrix in self.matrices.items():
            if a in axes and b in axes:
                i, j = axes.index(a), axes.index(b)
                result[i] += matrix @ y[j]
                if i != j:
                    result[j] += matrix.T @ y[i]
        return result

    def project(self, field: Array) -> Array:
        """Return the part of a field (n_irreducible, n_modes, 3) that symmetry allows.

        Components that the little group of a point forbids, differences inside degenerate sets
        and modes that are left out become zero.
        """
        means = _set_means(self.modes.degenerate_ids, self.active)
        return np.asarray(
            np.einsum("qab,qst,qtb->qsa", self.modes.mesh.projections, means, field, optimize=True)
        )

    def apply(self, field: Array) -> Array:
        """Apply the operator to a field g, (n_irreducible, n_modes, 3); times ps⁻¹.

        What symmetry forbids is projected out first.
        """
        n_q, n = self.scale.shape
        scale = self.scale[..., None]
        y = (scale * self.project(field)).reshape(-1, 3).T
        result = self.scaled(y, (0, 1, 2)).T.reshape(n_q, n, 3)
        return np.asarray(result * scale / self.modes.mesh.weights[:, None, None])

    def dense(self, axes: tuple[int, ...]) -> Array:
        """Return the scaled operator of coupled axes as one matrix on allowed fields.

        Forbidden fields are in its null space.
        """
        size = self.size
        n_q, n = self.scale.shape
        result = np.zeros((len(axes), size, len(axes), size))
        for (a, b), matrix in self.matrices.items():
            if a in axes and b in axes:
                i, j = axes.index(a), axes.index(b)
                result[i, :, j, :] = matrix
                if i != j:
                    result[j, :, i, :] = matrix.T
        means = _set_means(self.modes.degenerate_ids, self.active)
        blocks = result.reshape(len(axes), n_q, n, len(axes), n_q, n)
        chosen = np.ix_(axes, axes)
        for q, (projection, mean) in enumerate(
            zip(self.modes.mesh.projections, means, strict=True)
        ):
            part = np.einsum("ab,st->asbt", projection[chosen], mean)
            blocks[:, q, :, :, q, :] += part
        return result.reshape(len(axes) * size, len(axes) * size)


def _set_means(ids: NDArray[np.int64], active: NDArray[np.bool_]) -> Array:
    """Return matrices that average over the active members of degenerate sets, (n_q, n, n)."""
    same = (ids[:, :, None] == ids[:, None, :]) & active[:, :, None] & active[:, None, :]
    count = same.sum(axis=2, keepdims=True)
    return np.asarray(same / np.maximum(count, 1))


def _symmetrise(matrices: Mapping[Pair, Array], roots: Array) -> float:
    """Replace M_ab by (M_ab + M_ba^T) / 2 in place; return the relative antisymmetric part.

    It is measured with rows and columns times ``roots``, (size,): the square roots of the rates
    make elements rates, so that modes with little scattering count little.
    """
    whole = antisymmetric = 0.0
    for (a, b), matrix in matrices.items():
        if a > b:
            continue
        other = matrices[b, a]
        size = len(matrix)
        for i in range(0, size, _TILE):
            rows = slice(i, i + _TILE)
            # Of a matrix with itself, only the upper tiles: they change the lower ones as well.
            for j in range(i if a == b else 0, size, _TILE):
                columns = slice(j, j + _TILE)
                upper, lower = matrix[rows, columns], other[columns, rows].T
                mean, half = 0.5 * (upper + lower), 0.5 * (upper - lower)
                for part in (mean, half):
                    part *= roots[rows, None]
                    part *= roots[columns]
                share = 1.0 if a == b and i == j else 2.0
                odd = share * float(np.square(half).sum())
                antisymmetric += odd
                # Even and odd parts are orthogonal.
                whole += odd + share * float(np.square(mean).sum())
                mean = 0.5 * (upper + lower)
                matrix[rows, columns] = mean
                other[columns, rows] = mean.T
    return float(np.sqrt(antisymmetric / whole)) if whole > 0.0 else 0.0

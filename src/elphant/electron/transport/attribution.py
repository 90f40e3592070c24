r"""How much of the resistance each kind of scattering makes, exactly additive.

The conductivity is homogeneous of degree -1 in the operator, so that for any division
:math:`\mathcal C = \sum_w \mathcal C_w` the logarithmic derivatives

.. math:: -\frac{\partial \ln \sigma}{\partial \ln \mathcal C_w} =
          \frac{\varphi^T \mathcal C_w\, \varphi}{\varphi^T \mathcal C\, \varphi}

sum to one. In the relaxation time approximations :math:`\mathcal C` is diagonal. As sums over pairs
of states, with g = φ/s and q the projection on a direction averaged over the point group,

.. math:: \text{bte: } \tfrac12 \sum w_\lambda K_{\lambda l'} s s' (g - g')\, q\, (g - g'), \qquad
   \text{serta: } \tfrac12 \sum w_\lambda K_{\lambda l'} s s' (g\, q\, g + g' q\, g') ,

so that a kernel that is resolved into many channels needs one weight per pair only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, issparse

from elphant.arrays import checked_array
from elphant.electron.transport.collision import CollisionOperator, ReducedKernel
from elphant.electron.transport.solution import TransportSolution, momentum_rates

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Pairs whose weights are computed at a time.
PAIRS_AT_ONCE = 500_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """Shares of kinds of scattering in the resistance.

    Attributes
    ----------
    directions : ndarray, (n_directions, 3)
        Cartesian unit vectors.
    shares : mapping of str to ndarray, (n_directions,)
        They sum to one where the kinds are all of the scattering; shares of interference may be
        negative. NaN along a direction without current.
    """

    directions: Array
    shares: Mapping[str, Array]

    @property
    def total(self) -> Array:
        """Sum of the shares, (n_directions,)."""
        return np.asarray(np.sum(list(self.shares.values()), axis=0))


def attribute(
    solution: TransportSolution,
    parts: Mapping[str, ReducedKernel | Any],
    directions: ArrayLike | None = None,
) -> Attribution:
    """Return the shares of parts of the kernel.

    Parameters
    ----------
    solution : TransportSolution
    parts : mapping of str to ReducedKernel or kernel, (n, n_full) ps⁻¹
        That sum to the kernel of the solution.
    directions : array_like, (n_directions, 3), optional
        Cartesian; x, y, z by default.
    """
    n = _unit_vectors(directions)
    whole = np.einsum("da,ab,db->d", n, dissipation(solution, solution.operator.kernel), n)
    shares = {}
    for name, kernel in parts.items():
        part = np.einsum("da,ab,db->d", n, dissipation(solution, kernel), n)
        shares[name] = np.divide(part, whole, out=np.full(len(n), np.nan), where=whole != 0.0)
    return Attribution(directions=n, shares=shares)


def dissipation(solution: TransportSolution, kernel: ReducedKernel | Any) -> Array:
    """Return φ C_w φ of one kernel, (3, 3), relative like the response."""
    op = solution.operator
    part = CollisionOperator(op.space, kernel, op.chemical_potential, op.temperature)
    phi = solution.response
    if solution.level == "bte":
        image = part.apply(phi)
    elif solution.level == "mrta":
        assert solution.variant is not None
        image = momentum_rates(part, solution.variant)[:, None] * phi
    else:
        image = part.rates[:, None] * phi
    products = phi[:, :, None] * image[:, None, :]
    products = 0.5 * (products + products.swapaxes(1, 2))
    weighted = op.space.star_mean(products) * op.space.weights[:, None, None]
    return np.asarray(weighted.sum(axis=0))


class PairWeights:
    """Weights of pairs of states: a kernel's share is the sum of weight times element.

    Parameters
    ----------
    solution : TransportSolution
    direction : array_like, (3,)
        Cartesian.
    """

    def __init__(self, solution: TransportSolution, direction: ArrayLike) -> None:
        n = _unit_vectors(np.asarray(direction, dtype=float)[None])[0]
        op = solution.operator
        self._solution, self._space = solution, op.space
        self._metric = op.space.group_mean(np.outer(n, n))
        self._s = op.amplitudes
        self._g = np.where(solution.active[:, None], solution.response / self._s[:, None], 0.0)
        self._squares = self._norms(self._g)
        self._whole = float(n @ dissipation(solution, op.kernel) @ n)
        v = op.space.velocities
        speed = np.linalg.norm(v, axis=1, keepdims=True)
        moving = speed > 1e-9 * speed.max(initial=0.0)
        self._unit = np.divide(v, speed, out=np.zeros_like(v), where=moving)
        self._inverse_speed = np.divide(1.0, speed, out=np.zeros_like(speed), where=moving)[:, 0]

    def _norms(self, fields: Array) -> Array:
        return np.asarray(np.einsum("...a,ab,...b->...", fields, self._metric, fields))

    def of(self, row: Integers, column: Integers) -> Array:
        """Return the weights of pairs, (n_pairs,) ps.

        Parameters
        ----------
        row : ndarray of int, (n_pairs,)
            Irreducible states.
        column : ndarray of int, (n_pairs,)
            Full states.
        """
        space, level = self._space, self._solution.level
        other = space.images[column]
        if level == "bte":
            turned = np.einsum("pab,pb->pa", space.rotations[column], self._g[other])
            squares = self._norms(self._g[row] - turned)
        elif level == "serta":
            squares = self._squares[row] + self._squares[other]
        else:
            turned = np.einsum("pab,pb->pa", space.rotations[column], self._unit[other])
            cosine = np.einsum("pa,pa->p", self._unit[row], turned)
            there, back = cosine, cosine
            if self._solution.variant == "velocity":
                # v·v'/v² and v·v'/v'²: the ratio of the speeds times the cosine.
                speed, inverse = np.linalg.norm(space.velocities, axis=1), self._inverse_speed
                there = cosine * speed[other] * inverse[row]
                back = cosine * speed[row] * inverse[other]
            squares = self._squares[row] * (1.0 - there) + self._squares[other] * (1.0 - back)
        weights = 0.5 * space.weights[row] * self._s[row] * self._s[other] * squares
        return np.asarray(weights / self._whole) if self._whole != 0.0 else weights * np.nan

    def share(self, kernel: Any) -> float:
        """Return the share of a kernel, (n, n_full) ps⁻¹, dense or sparse."""
        if issparse(kernel):
            entries = coo_array(kernel)
            row, column = entries.coords
            parts = [slice(i, i + PAIRS_AT_ONCE) for i in range(0, len(row), PAIRS_AT_ONCE)]
            return float(sum(entries.data[p] @ self.of(row[p], column[p]) for p in parts))
        columns = np.arange(kernel.shape[1])
        total = 0.0
        for i, values in enumerate(kernel):
            total += float(values @ self.of(np.full(len(columns), i), columns))
        return total


def _unit_vectors(directions: ArrayLike | None) -> Array:
    n = np.eye(3) if directions is None else checked_array("directions", directions, (None, 3))
    length = np.linalg.norm(n, axis=1, keepdims=True)
    if (length == 0.0).any():
        raise ValueError("a direction has no length")
    return np.asarray(n / length)

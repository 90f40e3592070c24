r"""The linearised collision operator on the irreducible states of a window.

.. math:: \mathcal C = D - K, \qquad D_\lambda = \sum_{l'} K_{\lambda l'}\, s_{l'} / s_\lambda,
          \qquad s = \sqrt{f(1-f)}, \qquad \mathcal C s = 0

in the variables in which the kernel K is symmetric and does not depend on the chemical potential
(S. Poncé, W. Li, S. Reichardt and F. Giustino, Rep. Prog. Phys. 83, 036501 (2020), equations 32 and
39, multiplied by s of both states). A vector field obeys F(l') = R F(λ'), so that its sums become

.. math:: A_{ab}(\lambda, \lambda') = \Big[P_\lambda \sum_{l' \in \mathrm{star}(\lambda')}
          K_{\lambda l'}\, R_{l'} P_{\lambda'}\Big]_{ab},

P being the mean of the operations that keep a state. With w the weight of a star, w A is symmetric.
D is made from the same symmetrised K, so that carriers are conserved to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from elphant.electron.transport.state_space import StateSpace

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pair = tuple[int, int]

#: A dense array or a sparse matrix of scipy.
Matrix: TypeAlias = Any

#: Rates below this share of the largest one are zero.
NEGLIGIBLE_RATE = 1e-14

#: Below this logarithm, relative to the largest, s is taken as zero.
LOG_NEGLIGIBLE = -300.0

#: Folded matrices with more elements than this share are kept dense.
DENSE_FILL = 0.2

#: Rows of a dense kernel that are folded at a time.
ROWS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedKernel:
    """A kernel folded onto irreducible states, times their weights, and made symmetric.

    Kernels of one space can be added, subtracted and scaled: parts of a scattering, impurities.

    Attributes
    ----------
    space : StateSpace
    scalar : (n, n) ps⁻¹
        w times the sum of K over the star; for numbers of particles.
    blocks : mapping of (a, b) to (n, n) ps⁻¹
        w A_ab for a <= b; the blocks with a > b are their transposes. Only those that the symmetry
        lets differ from zero.
    asymmetry : float
        Norm of the antisymmetric part relative to the whole, before it was taken out. Largest of
        the terms for a sum.
    """

    space: StateSpace
    scalar: Matrix
    blocks: Mapping[Pair, Matrix]
    asymmetry: float

    @classmethod
    def fold(cls, space: StateSpace, kernel: Matrix) -> ReducedKernel:
        """Fold a kernel K, (n, n_full) in ps⁻¹, dense or sparse.

        The quadrature weight of the final state (1/N on a mesh) is part of K.
        """
        n, n_full = space.n_states, len(space.images)
        if kernel.shape != (n, n_full):
            raise ValueError(f"kernel has shape {kernel.shape}; expected {(n, n_full)}")
        if issparse(kernel):
            return cls.fold_rows(space, [csr_array(kernel)])
        starts = range(0, n, ROWS_AT_ONCE)
        return cls.fold_rows(space, (kernel[i : i + ROWS_AT_ONCE] for i in starts))

    @classmethod
    def fold_rows(cls, space: StateSpace, rows: Iterable[Matrix]) -> ReducedKernel:
        """Fold a kernel that is given in blocks of consecutive rows, (n_rows, n_full) each."""
        n, n_full = space.n_states, len(space.images)
        into = _Fold(space)
        scalars: list[Matrix] = []
        parts: dict[Pair, list[Matrix]] = {pair: [] for pair in into.pairs}
        done = 0
        for rows_of_block in rows:
            block = csr_array(rows_of_block) if issparse(rows_of_block) else rows_of_block
            if block.ndim != 2 or block.shape[1] != n_full or done + block.shape[0] > n:
                raise ValueError(f"rows of shape {block.shape} do not fit into {(n, n_full)}")
            chosen = slice(done, done + block.shape[0])
            scalars.append(into.scalar(block, chosen))
            for pair, part in into.vector(block, chosen).items():
                parts[pair].append(part)
            done += block.shape[0]
        if done != n:
            raise ValueError(f"the blocks hold {done} rows; expected {n}")
        scalar = _stacked(scalars)
        whole = {pair: _stacked(part) for pair, part in parts.items()}
        norm, odd = _square_norm(scalar), 0.25 * _square_norm(scalar - scalar.T)
        return cls(
            space=space,
            scalar=0.5 * (scalar + scalar.T),
            blocks={(a, b): 0.5 * (whole[a, b] + whole[b, a].T) for a, b in whole if a <= b},
            asymmetry=float(np.sqrt(odd / norm)) if norm > 0.0 else 0.0,
        )

    def __add__(self, other: ReducedKernel) -> ReducedKernel:
        if other.space is not self.space:
            raise ValueError("kernels of different state spaces cannot be added")
        return ReducedKernel(
            space=self.space,
            scalar=self.scalar + other.scalar,
            blocks={pair: self.blocks[pair] + other.blocks[pair] for pair in self.blocks},
            asymmetry=max(self.asymmetry, other.asymmetry),
        )

    def __mul__(self, factor: float) -> ReducedKernel:
        return ReducedKernel(
            space=self.space,
            scalar=self.scalar * factor,
            blocks={pair: block * factor for pair, block in self.blocks.items()},
            asymmetry=self.asymmetry,
        )

    __rmul__ = __mul__

    def __sub__(self, other: ReducedKernel) -> ReducedKernel:
        return self + other * -1.0

    def times(self, field: Array, axes: tuple[int, ...] = (0, 1, 2)) -> Array:
        """Return w A times the components ``axes`` of a vector field; (n_axes, n) to the same."""
        result = np.zeros((len(axes), self.space.n_states))
        for (a, b), block in self.blocks.items():
            if a in axes and b in axes:
                i, j = axes.index(a), axes.index(b)
                result[i] += block @ field[j]
                if i != j:
                    result[j] += block.T @ field[i]
        return result


class _Fold:
    """Sums over stars as sparse matrices, (n_full, n)."""

    def __init__(self, space: StateSpace) -> None:
        self._space = space
        self.pairs = [(a, b) for group in space.axis_groups for a in group for b in group]
        self._groups = {a: group for group in space.axis_groups for a in group}
        n_full = len(space.images)
        self._place = (np.arange(n_full), space.images)
        self._shape = (n_full, space.n_states)
        turned = space.rotations @ space.state_projections[space.images]
        self._count = csr_array((np.ones(n_full), self._place), shape=self._shape)
        self._turns = {
            (a, b): csr_array((turned[:, a, b], self._place), shape=self._shape)
            for a, b in self.pairs
        }

    def scalar(self, block: Matrix, rows: slice) -> Matrix:
        return _scaled_rows(block @ self._count, self._space.weights[rows])

    def vector(self, block: Matrix, rows: slice) -> dict[Pair, Matrix]:
        turned = {pair: block @ turn for pair, turn in self._turns.items()}
        left = self._space.state_projections[rows] * self._space.weights[rows, None, None]
        return {
            (a, b): sum(_scaled_rows(turned[c, b], left[:, a, c]) for c in self._groups[a])
            for a, b in self.pairs
        }


def _scaled_rows(matrix: Matrix, factors: Array) -> Matrix:
    if issparse(matrix):
        from scipy.sparse import diags_array

        return csr_array(diags_array(factors) @ matrix)
    return np.asarray(matrix) * factors[:, None]


def _stacked(parts: list[Matrix]) -> Matrix:
    if not issparse(parts[0]):
        return np.concatenate(parts)
    from scipy.sparse import vstack

    whole = csr_array(vstack(parts))
    return whole.toarray() if whole.nnz > DENSE_FILL * np.prod(whole.shape) else whole


def _square_norm(matrix: Matrix) -> float:
    values = matrix.data if issparse(matrix) else matrix
    return float(np.square(values).sum())


class CollisionOperator:
    """Collision operator of carriers at one chemical potential and temperature.

    Parameters
    ----------
    space : StateSpace
    kernel : ReducedKernel, ndarray or sparse matrix, (n, n_full) ps⁻¹
        At this temperature. A reduced kernel serves several chemical potentials.
    chemical_potential : float, eV
    temperature : float, K
    """

    def __init__(
        self,
        space: StateSpace,
        kernel: ReducedKernel | Matrix,
        chemical_potential: float,
        temperature: float,
    ) -> None:
        if temperature <= 0.0:
            raise ValueError(f"temperature {temperature} K must be positive")
        self.space = space
        if not isinstance(kernel, ReducedKernel):
            kernel = ReducedKernel.fold(space, kernel)
        self.kernel: ReducedKernel = kernel
        self.chemical_potential = float(chemical_potential)
        self.temperature = float(temperature)

    @property
    def asymmetry(self) -> float:
        """Relative antisymmetric part of the kernel before it was symmetrised."""
        return self.kernel.asymmetry

    @cached_property
    def log_scale(self) -> float:
        """Logarithm of the largest s; ``s = exp(log_scale) * amplitudes``."""
        logs = self.space.log_amplitudes(self.chemical_potential, self.temperature)
        return float(logs.max())

    @cached_property
    def amplitudes(self) -> Array:
        """S relative to its largest value, (n,): no underflow at any density."""
        logs = self.space.log_amplitudes(self.chemical_potential, self.temperature)
        return np.asarray(np.exp(np.maximum(logs - self.log_scale, LOG_NEGLIGIBLE)))

    @cached_property
    def rates(self) -> Array:
        """Out-scattering rates D = 1/tau, (n,) ps⁻¹. Negative where the kernel is."""
        s = self.amplitudes
        return np.asarray(self.kernel.scalar @ s) / (self.space.weights * s)

    @cached_property
    def active(self) -> Bools:
        """States that are scattered, (n,)."""
        magnitude = np.abs(self.rates)
        found = magnitude > NEGLIGIBLE_RATE * magnitude.max(initial=0.0)
        return np.asarray(found & (self.amplitudes > np.exp(LOG_NEGLIGIBLE)))

    def apply(self, field: Array) -> Array:
        """Return C times a vector field, (n, 3); times ps⁻¹."""
        gain = self.kernel.times(np.asarray(field).T).T / self.space.weights[:, None]
        return np.asarray(self.rates[:, None] * field - gain)

    def apply_scalar(self, values: Array) -> Array:
        """Return C times a scalar field, (n,); times ps⁻¹."""
        return np.asarray(self.rates * values - self.kernel.scalar @ values / self.space.weights)

    @property
    def row_sum_error(self) -> float:
        """Largest ``|C s| / D s``: how well carriers are conserved."""
        s = self.amplitudes
        error = np.abs(self.apply_scalar(s))[self.active]
        scale = np.abs(self.rates * s)[self.active]
        return float((error / scale).max(initial=0.0))

    @cached_property
    def drive(self) -> Array:
        """Projected ``v s`` relative to the largest s, (n, 3) Å/ps."""
        v = np.einsum("nab,nb->na", self.space.state_projections, self.space.velocities)
        return np.asarray(v * self.amplitudes[:, None])

    @cached_property
    def reference_energy(self) -> float:
        """Mean energy of the current without collisions, eV; moments are taken around it."""
        weight = self.space.weights * np.square(self.drive).sum(axis=1)
        total = float(weight.sum())
        if total <= 0.0:
            return float(self.space.energies.mean())
        return float(weight @ self.space.energies) / total

    def weighted_in_scattering(self, field: Array) -> Array:
        """Return ``sum K s' F(l') / s`` of a vector field F, (n, 3)."""
        s = self.amplitudes[:, None]
        gain = self.kernel.times((np.asarray(field) * s).T).T
        return np.asarray(gain / (self.space.weights[:, None] * s))

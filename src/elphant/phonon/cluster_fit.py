r"""Joint least-squares fit of force constants of several orders, with cross-validation.

.. math:: F_{i a} = -\Phi_{ij}^{ab} u_{jb} - \tfrac12 \Phi_{ijk}^{abc} u_{jb} u_{kc}
          - \tfrac16 \Phi_{ijkl}^{abcd} u_{jb} u_{kc} u_{ld}

Displacements that come in opposite pairs split the equations: (F(u) - F(-u))/2 holds the even
orders of the energy alone, (F(u) + F(-u))/2 the odd ones.

The snapshots are dealt into folds. Leaving out one fold after the other gives, at the cost of
a few more Cholesky factorisations, the error of the predicted forces and, as a delete-a-group
jackknife, the standard error of the parameters (Kott, J. Off. Stat. 17, 521 (2001)).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from elphant.errors import PhysicsError, ResourceError
from elphant.phonon.cluster_basis import ClusterBasis, force_features

Array = NDArray[np.float64]

#: Parts into which the snapshots are divided for cross-validation.
FOLDS = 5

#: Bytes of the features that are held at a time.
BATCH_BYTES = 2e8

#: Share of the machine's memory that a fit may claim.
MEMORY_SHARE = 0.6

#: Bytes that the normal matrices of all folds may take; beyond it there is no cross-validation.
FOLD_BYTES = 2e9

#: Smallest pivot of the scaled normal matrix that is not rounding.
SINGULAR_PIVOT = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class LinearFit:
    """Parameters of every order with their errors.

    Attributes
    ----------
    parameters : dict of int to ndarray
    relative_error : dict of int to float
        Standard error of the parameters over their norm, by order; empty when not measured.
    cross_validation_rmse : dict of str to float, eV/Å
        Error of left-out forces: ``even`` (orders 2 and 4) and ``odd`` (order 3) parts of opposite
        pairs, or ``all`` without pairs; empty when not measured.
    unexplained_share : dict of int to float
        Share of the variance of left-out forces that remains, for order 3 of the odd part, for
        order 4 of what second order leaves of the even part.
    """

    parameters: dict[int, Array]
    relative_error: dict[int, float]
    cross_validation_rmse: dict[str, float]
    unexplained_share: dict[int, float]


def fit_parameters(
    bases: Mapping[int, ClusterBasis],
    displacements: Array,
    forces: Array,
    translations: NDArray[np.int64],
) -> LinearFit:
    """Fit the parameters of all bases.

    Parameters
    ----------
    bases : mapping of int to ClusterBasis
    displacements, forces : ndarray, (n_snapshots, n_atoms, 3) Å and eV/Å
        Forces without those of the undisplaced supercell.
    translations : ndarray of int, (n_translations, n_atoms)

    Raises
    ------
    PhysicsError
        If there are fewer equations than parameters, or they are singular.
    """
    result = LinearFit({}, {}, {}, {})
    half = _first_of_pairs(displacements)
    if half is None:
        system = _NormalEquations.of(bases, displacements, forces, translations)
        system.solve_into(result, "all", cross_validate=False)
        return result
    parts = {
        "even": (0.5 * (forces[::2] - forces[1::2]), [k for k in bases if k % 2 == 0]),
        "odd": (0.5 * (forces[::2] + forces[1::2]), [k for k in bases if k % 2]),
    }
    for name, (part, orders) in parts.items():
        if orders:
            chosen = {order: bases[order] for order in orders}
            system = _NormalEquations.of(chosen, half, part, translations)
            system.solve_into(result, name, cross_validate=True)
    return result


def underdetermined(parameters: Mapping[int, int], n_equations: int) -> PhysicsError:
    """Return the error for a fit with more unknowns than equations."""
    counts = ", ".join(f"{n} of order {k}" for k, n in sorted(parameters.items()))
    return PhysicsError(
        f"the force-constant fit is underdetermined: {n_equations} equations for {counts}.",
        "Such a fit reproduces its own forces and predicts nothing.",
        "Use more snapshots (larger oversampling), a smaller cutoff_third or cutoff_fourth, or a "
        "smaller supercell.",
    )


def check_memory(
    parameters: Mapping[int, float], n_atoms: int, cutoffs: Mapping[int, float | None]
) -> None:
    """Raise :class:`ResourceError` when a fit needs more than its share of the memory.

    Parameters
    ----------
    parameters : mapping of int to number
        Parameters, or invariants before the sum rules, of each order.
    n_atoms : int
        Atoms of the supercell.
    cutoffs : mapping of int to float or None, Å
        Cut-offs of the orders above 2, for the message.

    The sum rules take, at worst, two dense matrices of the invariants of an order and a null
    space; a fit the normal matrix of one parity, its factorisation and a batch of features.
    """
    total = float(sum(parameters.values()))
    by_parity = [sum(n for k, n in parameters.items() if k % 2 == parity) for parity in (0, 1)]
    square = float(max(by_parity)) ** 2
    folds = min(FOLD_BYTES, 8.0 * FOLDS * square)
    needed = (24.0 * square + folds + 8.0 * total * 3 * n_atoms + BATCH_BYTES) / 1e9
    available = MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    if needed > available:
        names = {3: "cutoff_third", 4: "cutoff_fourth"}
        largest = max(parameters, key=lambda order: parameters[order])
        cutoff = cutoffs.get(largest)
        raise ResourceError(
            f"fitting {total:.0f} force-constant parameters in a supercell of {n_atoms} atoms "
            f"needs about {needed:.0f} GB; {available:.0f} GB may be used here.",
            f"Order {largest} has most of them: its cut-off is "
            f"{'absent' if cutoff is None else f'{cutoff:g} Å'}, and the number of clusters grows "
            f"with power {3 * (largest - 1)} of it.",
            f"Set a smaller {names.get(largest, 'cutoff_third')} (4 to 5 Å is usual for the third "
            "order, 3 to 4 Å for the fourth), or a smaller supercell.",
        )


class _NormalEquations:
    """Normal matrices of the folds of one set of equations."""

    def __init__(self, bases: Mapping[int, ClusterBasis], n_folds: int) -> None:
        self.orders = sorted(bases)
        sizes = [bases[order].n_parameters for order in self.orders]
        edges = np.concatenate([[0], np.cumsum(sizes)])
        self.columns = {
            order: slice(int(edges[i]), int(edges[i + 1])) for i, order in enumerate(self.orders)
        }
        self.size = int(edges[-1])
        self.matrix = np.zeros((n_folds, self.size, self.size))
        self.vector = np.zeros((n_folds, self.size))
        self.square = np.zeros(n_folds)
        self.n_components = np.zeros(n_folds, dtype=int)
        self.n_equations = 0

    @classmethod
    def of(
        cls,
        bases: Mapping[int, ClusterBasis],
        displacements: Array,
        forces: Array,
        translations: NDArray[np.int64],
    ) -> _NormalEquations:
        n_atoms = displacements.shape[1]
        size = sum(basis.n_parameters for basis in bases.values())
        n_folds = min(FOLDS, len(displacements))
        if 8.0 * n_folds * size**2 > FOLD_BYTES:
            n_folds = 1
        system = cls(bases, n_folds)
        # The three sums of the force components over all atoms vanish whatever the parameters.
        system.n_equations = 3 * (n_atoms - 1) * len(displacements)
        if system.n_equations < size:
            counts = {order: basis.n_parameters for order, basis in bases.items()}
            raise underdetermined(counts, system.n_equations)
        widest = max(basis.expansion.shape[1] for basis in bases.values())
        step = max(1, int(BATCH_BYTES / (24.0 * n_atoms * widest)))
        for fold in range(n_folds):
            members = np.arange(fold, len(displacements), n_folds)
            for start in range(0, len(members), step):
                batch = members[start : start + step]
                system._add(fold, bases, displacements[batch], forces[batch], translations)
        return system

    def _add(
        self,
        fold: int,
        bases: Mapping[int, ClusterBasis],
        displacements: Array,
        forces: Array,
        translations: NDArray[np.int64],
    ) -> None:
        features = np.concatenate(
            [force_features(bases[k], displacements, translations) for k in self.orders], axis=1
        )
        target = forces.ravel()
        self.matrix[fold] += features.T @ features
        self.vector[fold] += features.T @ target
        self.square[fold] += target @ target
        self.n_components[fold] += len(target)

    def solve_into(self, result: LinearFit, name: str, *, cross_validate: bool) -> None:
        """Add parameters and errors to ``result``."""
        matrix, vector = self.matrix.sum(axis=0), self.vector.sum(axis=0)
        try:
            solution = _solve(matrix, vector)
        except LinAlgError as error:
            raise PhysicsError(
                f"the force-constant fit of {self.size} parameters is singular.",
                "The displacements do not determine all parameters although there are enough of "
                "them.",
                "Use random displacements, or more of them.",
            ) from error
        for order, columns in self.columns.items():
            result.parameters[order] = solution[columns]
        if cross_validate and len(self.matrix) > 1:
            self._cross_validate(result, name, matrix, vector)

    def _cross_validate(self, result: LinearFit, name: str, matrix: Array, vector: Array) -> None:
        n_folds = len(self.matrix)
        solutions = []
        left_out, below = 0.0, 0.0
        for fold in range(n_folds):
            try:
                without = _solve(matrix - self.matrix[fold], vector - self.vector[fold])
            except LinAlgError:
                return
            solutions.append(without)
            left_out += self._residual(fold, without)
            lower = without.copy()
            lower[self.columns[self.orders[-1]]] = 0.0
            below += self._residual(fold, lower)
        spread = np.array(solutions) - np.mean(solutions, axis=0)
        variance = (n_folds - 1) / n_folds * (spread**2).sum(axis=0)
        for order, columns in self.columns.items():
            norm = float(np.linalg.norm(result.parameters[order]))
            error = float(np.sqrt(variance[columns].sum()))
            result.relative_error[order] = error / norm if norm > 0 else 0.0
        n_components = int(self.n_components.sum())
        result.cross_validation_rmse[name] = float(np.sqrt(max(left_out, 0.0) / n_components))
        highest = self.orders[-1]
        if highest > 2 and below > 0:
            result.unexplained_share[highest] = max(left_out, 0.0) / below

    def _residual(self, fold: int, parameters: Array) -> float:
        """Return the sum of squared errors of the forces of one fold."""
        quadratic = parameters @ self.matrix[fold] @ parameters
        return float(self.square[fold] - 2.0 * parameters @ self.vector[fold] + quadratic)


def _solve(matrix: Array, vector: Array) -> Array:
    """Solve scaled normal equations; the orders differ by powers of the displacement."""
    scale = np.sqrt(np.diag(matrix))
    if not (scale > 0).all():
        raise LinAlgError("a parameter does not enter any equation")
    scaled = matrix / scale / scale[:, None]
    factor = cho_factor(scaled, lower=True, overwrite_a=True, check_finite=True)
    if float(np.diag(factor[0]).min()) < SINGULAR_PIVOT:
        raise LinAlgError("a pivot is rounding")
    return np.asarray(cho_solve(factor, vector / scale)) / scale


def _first_of_pairs(displacements: Array) -> Array | None:
    """Return u of ``u, -u, u', -u', …``, or None when the snapshots are no opposite pairs."""
    if len(displacements) % 2 or not np.allclose(
        displacements[::2], -displacements[1::2], rtol=0.0, atol=1e-12
    ):
        return None
    return displacements[::2]

"""symfc: symmetry-adapted parameters of force constants and their least-squares fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ConfigurationError, PhysicsError, ResourceError

if TYPE_CHECKING:
    from phonopy import Phonopy

Array = NDArray[np.float64]

#: A basis set up to this estimated size is built to count its parameters exactly.
EXACT_COUNT_LIMIT = 4000

#: Configurations that the solver expands at a time.
BATCH_SIZE = 20

#: Share of the machine's memory that a fit may claim.
MEMORY_SHARE = 0.6

#: Relative residual of the training forces above which the normal equations were singular.
SINGULAR_RESIDUAL = 0.9


def count_parameters(
    phonopy: Phonopy, orders: Sequence[int], cutoff_third: float | None
) -> dict[int, int]:
    """Return the number of free parameters of each order in a supercell.

    Free parameters are what translation, permutation, space group and acoustic sum rules leave
    over. Small basis sets are built; the size of a large one is estimated from above.

    Raises
    ------
    ResourceError
        If a fit of that size would not fit in the memory of this machine.
    """
    solver = _solver(phonopy, cutoff_third)
    # Without a cut-off symfc enumerates all triplets; count them by formula before touching it.
    estimates = {k: int(n) for k, n in solver.estimate_basis_size(orders=list(orders)).items()}
    check_memory(estimates, len(phonopy.supercell), cutoff_third)
    if sum(estimates.values()) > EXACT_COUNT_LIMIT:
        # The estimate leaves out operations that map a pair or triplet onto itself; the true
        # number before sum rules has been up to about a tenth larger.
        return {k: ceil(1.1 * n) for k, n in estimates.items()}
    return _build_basis(solver, orders, cutoff_third)


def check_memory(parameters: dict[int, int], n_atoms: int, cutoff_third: float | None) -> None:
    """Raise :class:`ResourceError` when a fit needs more than its share of the memory.

    The dense normal matrix and its factorisation take 24 bytes per element and a batch of
    configurations 8 bytes per parameter and force component; without a cut-off symfc also holds
    several arrays over all 27 N³ elements of the third order.
    """
    n = sum(parameters.values())
    needed = (24.0 * n**2 + 8.0 * n * 3 * n_atoms * BATCH_SIZE) / 1e9
    if 3 in parameters and cutoff_third is None:
        needed += 27.0 * n_atoms**3 * 200.0 / 1e9
    available = MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    if needed > available:
        raise ResourceError(
            f"fitting {n} force-constant parameters in a supercell of {n_atoms} atoms needs about "
            f"{needed:.0f} GB; {available:.0f} GB may be used here.",
            f"The third-order cut-off is {'absent' if cutoff_third is None else cutoff_third} and "
            "the number of triplets grows with its sixth power.",
            "Set a smaller cutoff_third (4 to 5 Å is usual), or a smaller supercell.",
        )


def fit(
    phonopy: Phonopy,
    displacements: Array,
    forces: Array,
    orders: Sequence[int],
    cutoff_third: float | None,
) -> tuple[dict[int, Array], dict[int, int]]:
    """Return compact force constants of the given orders and their numbers of parameters.

    Least squares of ``F_i = - sum_j Φ2_ij u_j - 1/2 sum_jk Φ3_ijk u_j u_k`` in the space of force
    constants that obey all symmetries and the acoustic sum rules.

    Parameters
    ----------
    phonopy : Phonopy
        Supplies the supercell and its symmetry.
    displacements, forces : ndarray, (n_snapshots, n_atoms, 3) Å and eV/Å
        Forces without those of the undisplaced supercell.
    orders : sequence of int
        ``(2,)`` or ``(2, 3)``.
    cutoff_third : float or None, Å

    Raises
    ------
    PhysicsError
        If there are fewer equations than parameters or the equations are singular.
    """
    solver = _solver(phonopy, cutoff_third)
    parameters = _build_basis(solver, orders, cutoff_third)
    n_atoms = displacements.shape[1]
    n_equations = 3 * (n_atoms - 1) * len(displacements)
    if n_equations < sum(parameters.values()):
        raise underdetermined(parameters, n_equations)
    solver.forces = forces
    displaced = np.linalg.norm(displacements, axis=2) > 0
    if tuple(orders) == (2,) and (displaced.sum(axis=1) == 1).all():
        atoms = displaced.argmax(axis=1)
        solver.atoms_fd = {2: atoms}
        solver.displacements_fd = {2: displacements[np.arange(len(atoms)), atoms]}
    else:
        solver.displacements = displacements
    solver.solve(orders=list(orders), is_compact_fc=True, batch_size=BATCH_SIZE)
    constants = {k: _in_primitive_order(phonopy, solver, k) for k in orders}
    _check_solution(phonopy, constants, displacements, forces, parameters)
    return constants, parameters


def predict_forces(
    phonopy: Phonopy, constants: dict[int, Array], displacements: Array
) -> dict[int, Array]:
    """Return the force contribution of each order, (n_snapshots, n_atoms, 3) eV/Å.

    The compact rows are carried to every atom of the supercell by the lattice translations:
    Φ(i; j, k) = Φ(p; T⁻¹j, T⁻¹k) with i = T p.
    """
    forces = {k: np.zeros_like(displacements) for k in constants}
    n_atoms = displacements.shape[1]
    primitive: Any = phonopy.primitive
    for permutation in primitive.atomic_permutations:
        # permutation[j] is the atom on which the translation puts (or from which it brings) j;
        # the set contains every inverse, so either reading visits each translation once.
        moved = displacements[:, permutation, :]
        for p, atom in enumerate(primitive.p2s_map):
            target = permutation[atom]
            u = moved.reshape(len(moved), 3 * n_atoms)
            if 2 in constants:
                rows = constants[2][p].transpose(1, 0, 2).reshape(3, 3 * n_atoms)
                forces[2][:, target] -= u @ rows.T
            if 3 in constants:
                cubic = constants[3][p].transpose(2, 0, 3, 1, 4).reshape(3, 3 * n_atoms, -1)
                for a in range(3):
                    forces[3][:, target, a] -= 0.5 * np.einsum("sx,sx->s", u @ cubic[a], u)
    return forces


def underdetermined(parameters: dict[int, int], n_equations: int) -> PhysicsError:
    """Return the error for a fit with more unknowns than equations."""
    counts = ", ".join(f"{n} of order {k}" for k, n in sorted(parameters.items()))
    return PhysicsError(
        f"the force-constant fit is underdetermined: {n_equations} equations for {counts}.",
        "Such a fit reproduces its own forces and predicts nothing.",
        "Use more snapshots (larger oversampling), a smaller cutoff_third or a smaller supercell.",
    )


def _solver(phonopy: Phonopy, cutoff_third: float | None) -> Any:
    from symfc import Symfc
    from symfc.utils.utils import SymfcAtoms

    supercell = phonopy.supercell
    atoms = SymfcAtoms(
        cell=supercell.cell,
        scaled_positions=supercell.scaled_positions,
        numbers=supercell.numbers,
    )
    return Symfc(
        atoms,
        spacegroup_operations=phonopy.symmetry.symmetry_operations,
        symprec=phonopy.symmetry.tolerance,
        cutoff=None if cutoff_third is None else {3: cutoff_third},
    )


def _build_basis(solver: Any, orders: Sequence[int], cutoff_third: float | None) -> dict[int, int]:
    """Build the basis sets in ``solver`` and return their sizes."""
    parameters = {}
    for order in orders:
        try:
            solver.compute_basis_set(orders=[order])
            parameters[order] = int(solver.basis_set[order].blocked_basis_set.shape[1])
        except AssertionError:
            # symfc asserts on an empty basis: symmetry leaves no parameter of this order.
            parameters[order] = 0
        if not parameters[order]:
            name = {2: "second", 3: "third"}[order]
            raise ConfigurationError(
                f"no {name}-order force constant is left to fit (cut-off {cutoff_third} Å).",
                "The cut-off keeps too few neighbours, or the supercell is so small that bonds "
                "are folded onto their own opposites.",
                "Use a larger cutoff_third or a larger supercell (length_third).",
            )
    return parameters


def _in_primitive_order(phonopy: Phonopy, solver: Any, order: int) -> Array:
    """Return compact force constants whose rows are the atoms of phonopy's primitive cell."""
    constants = np.array(solver.force_constants[order])
    wanted = np.array(phonopy.primitive.p2s_map)
    if np.array_equal(solver.p2s_map, wanted):
        return constants
    full = np.array(_full_rows(phonopy, np.array(solver.p2s_map), constants, wanted))
    return np.ascontiguousarray(full)


def _full_rows(
    phonopy: Phonopy, have: NDArray[np.int64], constants: Array, wanted: NDArray[np.int64]
) -> list[Array]:
    """Translate rows of compact force constants to other representative atoms."""
    rows = []
    permutations = np.array(phonopy.primitive.atomic_permutations)
    for atom in wanted:
        for permutation in permutations:
            match = np.flatnonzero(have == permutation[atom])
            if len(match):
                row = constants[match[0]]
                for axis in range(constants.ndim // 2 - 1):
                    row = np.take(row, permutation, axis=axis)
                rows.append(row)
                break
    return rows


def _check_solution(
    phonopy: Phonopy,
    constants: dict[int, Array],
    displacements: Array,
    forces: Array,
    parameters: dict[int, int],
) -> None:
    """Catch singular normal equations, which LAPACK reports and symfc does not look at."""
    finite = all(np.isfinite(c).all() for c in constants.values())
    scale = float(np.sum(forces**2))
    residual = 0.0
    if finite and scale > 0:
        sample = slice(0, 8)
        predicted = sum(predict_forces(phonopy, constants, displacements[sample]).values())
        difference = float(np.sum((forces[sample] - predicted) ** 2))
        residual = difference / float(np.sum(forces[sample] ** 2))
    if not finite or residual > SINGULAR_RESIDUAL:
        raise PhysicsError(
            f"the force-constant fit of {sum(parameters.values())} parameters is singular "
            f"(relative residual {residual:.2g} of its own forces).",
            "The displacements do not determine all parameters although there are enough of them.",
            "Use random displacements, or more of them.",
        )

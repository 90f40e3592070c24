"""symfc: second-order force constants from one-atom or random displacements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import PhysicsError
from elphant.phonon.cluster_fit import underdetermined

if TYPE_CHECKING:
    from phonopy import Phonopy

Array = NDArray[np.float64]

#: Configurations that the solver expands at a time.
BATCH_SIZE = 20

#: Relative residual of the training forces above which the normal equations were singular.
SINGULAR_RESIDUAL = 0.9


def fit_second(phonopy: Phonopy, displacements: Array, forces: Array) -> tuple[Array, int]:
    """Return compact second-order force constants and their number of parameters.

    Least squares of ``F_i = - sum_j Φ2_ij u_j`` in the space of force constants that obey all
    symmetries and the acoustic sum rule.

    Parameters
    ----------
    phonopy : Phonopy
        Supplies the supercell and its symmetry.
    displacements, forces : ndarray, (n_snapshots, n_atoms, 3) Å and eV/Å
        Forces without those of the undisplaced supercell.

    Raises
    ------
    PhysicsError
        If there are fewer equations than parameters or the equations are singular.
    """
    solver = _solver(phonopy)
    solver.compute_basis_set(orders=[2])
    n_parameters = int(solver.basis_set[2].blocked_basis_set.shape[1])
    n_equations = 3 * (displacements.shape[1] - 1) * len(displacements)
    if n_equations < n_parameters:
        raise underdetermined({2: n_parameters}, n_equations)
    solver.forces = forces
    displaced = np.linalg.norm(displacements, axis=2) > 0
    if (displaced.sum(axis=1) == 1).all():
        atoms = displaced.argmax(axis=1)
        solver.atoms_fd = {2: atoms}
        solver.displacements_fd = {2: displacements[np.arange(len(atoms)), atoms]}
    else:
        solver.displacements = displacements
    solver.solve(orders=[2], is_compact_fc=True, batch_size=BATCH_SIZE)
    constants = _in_primitive_order(phonopy, solver)
    _check_solution(phonopy, constants, displacements, forces, n_parameters)
    return constants, n_parameters


def predict_second(phonopy: Phonopy, constants: Array, displacements: Array) -> Array:
    """Return the harmonic forces, (n_snapshots, n_atoms, 3) eV/Å.

    The compact rows are carried to every atom of the supercell by the lattice translations:
    Φ(i; j) = Φ(p; T⁻¹j) with i = T p.
    """
    forces = np.zeros_like(displacements)
    n_atoms = displacements.shape[1]
    primitive: Any = phonopy.primitive
    for permutation in primitive.atomic_permutations:
        # permutation[j] is the atom on which the translation puts (or from which it brings) j;
        # the set contains every inverse, so either reading visits each translation once.
        u = displacements[:, permutation, :].reshape(-1, 3 * n_atoms)
        for p, atom in enumerate(primitive.p2s_map):
            rows = constants[p].transpose(1, 0, 2).reshape(3, 3 * n_atoms)
            forces[:, permutation[atom]] -= u @ rows.T
    return forces


def _solver(phonopy: Phonopy) -> Any:
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
    )


def _in_primitive_order(phonopy: Phonopy, solver: Any) -> Array:
    """Return compact force constants whose rows are the atoms of phonopy's primitive cell."""
    constants = np.array(solver.force_constants[2])
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
                row = np.take(constants[match[0]], permutation, axis=0)
                rows.append(row)
                break
    return rows


def _check_solution(
    phonopy: Phonopy, constants: Array, displacements: Array, forces: Array, n_parameters: int
) -> None:
    """Catch singular normal equations, which LAPACK reports and symfc does not look at."""
    finite = bool(np.isfinite(constants).all())
    scale = float(np.sum(forces**2))
    residual = 0.0
    if finite and scale > 0:
        sample = slice(0, 8)
        predicted = predict_second(phonopy, constants, displacements[sample])
        difference = float(np.sum((forces[sample] - predicted) ** 2))
        residual = difference / float(np.sum(forces[sample] ** 2))
    if not finite or residual > SINGULAR_RESIDUAL:
        raise PhysicsError(
            f"the force-constant fit of {n_parameters} parameters is singular "
            f"(relative residual {residual:.2g} of its own forces).",
            "The displacements do not determine all parameters although there are enough of them.",
            "Use random displacements, or more of them.",
        )

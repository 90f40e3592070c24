"""Checks of a local-orbital Hamiltonian before anything is computed from it.

What would make every number wrong is an error; what makes some of them doubtful is a flag.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.errors import ModelError, PhysicsError
from elphant.orbitals.eigenproblem import Complex, batches, solve_matrices
from elphant.orbitals.hamiltonian import LocalOrbitalHamiltonian
from elphant.orbitals.lattice_matrix import LatticeMatrix
from elphant.quality import QualityFlag, check_below

#: H(R) that differs more than this from H(-R)† (eV) is refused; above the warning it is doubted.
HERMITIAN_LIMIT = 1e-3
HERMITIAN_WARNING = 1e-5

#: The same for S.
OVERLAP_HERMITIAN_LIMIT = 1e-5
OVERLAP_HERMITIAN_WARNING = 1e-6

#: Below this smallest eigenvalue of S(k) the orbitals count as nearly dependent.
DEPENDENCE_WARNING = 1e-4

#: Elements of the outermost blocks above this (eV) mean that H(R) is cut off too early.
RANGE_WARNING = 0.05

#: Blocks within this fraction of the longest one are the outermost.
OUTER_SHELL = 0.02

#: Blocks longer than this (Å) are not local orbitals but an error in cells or units.
LONGEST_BOND = 200.0

#: Violation of |S_ij|² <= S_ii S_jj beyond which S cannot be an overlap matrix.
SCHWARZ_LIMIT = 1e-6

#: Difference of the sum of band energies from Tr S⁻¹H, relative to the sum of their sizes.
TRACE_LIMIT = 1e-8

#: Bands closer than this (eV) at the sampled k points touch: there is no gap.
GAP_LIMIT = 1e-3

#: Number of sampled k points, the zone centre among them, and the seed of the others.
N_SAMPLES = 5
SEED = 20240601

Array = NDArray[np.float64]


def sampled_k_points(n_points: int = N_SAMPLES) -> Array:
    """Return the zone centre and seeded random points, (n_points, 3)."""
    random = np.random.default_rng(SEED).uniform(-0.5, 0.5, (n_points - 1, 3))
    return np.concatenate([np.zeros((1, 3)), random])


def validate(
    hamiltonian: LocalOrbitalHamiltonian,
    *,
    k_points: ArrayLike | None = None,
    require_gap: bool = False,
) -> list[QualityFlag]:
    """Check a Hamiltonian and return what was found.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    k_points : array_like, (n_k, 3), optional
        Where S(k) and the bands are examined; :func:`sampled_k_points` when not given.
    require_gap : bool
        Refuse a Hamiltonian whose bands overlap at the Fermi level, or whose electrons do not fill
        whole bands, instead of flagging it.

    Raises
    ------
    ModelError
        If H or S is not finite or not Hermitian, a block reaches further than local orbitals can,
        or S violates Schwarz's inequality.
    PhysicsError
        If S(k) is not positive definite; with ``require_gap``, if there is no gap.
    """
    flags = [*_hermitian_flags(hamiltonian)]
    _check_blocks(hamiltonian)
    flags.append(_range_flag(hamiltonian))
    k_points = sampled_k_points() if k_points is None else np.atleast_2d(np.asarray(k_points))
    smallest, energies, trace_error = _sample(hamiltonian, k_points)
    if hamiltonian.overlap is not None:
        flags.append(_dependence_flag(smallest, len(k_points)))
    flags.append(
        check_below(
            "trace",
            trace_error,
            TRACE_LIMIT,
            f"Band energies sum to Tr S⁻¹H within {trace_error:.1e} of their sizes.",
        )
    )
    flags.append(_gap_flag(hamiltonian, energies, require_gap=require_gap))
    return flags


def _hermitian_flags(hamiltonian: LocalOrbitalHamiltonian) -> list[QualityFlag]:
    flags = []
    for name, symbol, matrix, limit, warning, unit in (
        ("hamiltonian", "H", hamiltonian.hamiltonian, HERMITIAN_LIMIT, HERMITIAN_WARNING, " eV"),
        (
            "overlap",
            "S",
            hamiltonian.overlap,
            OVERLAP_HERMITIAN_LIMIT,
            OVERLAP_HERMITIAN_WARNING,
            "",
        ),
    ):
        if matrix is None:
            continue
        if not np.isfinite(matrix.values).all():
            raise ModelError(
                f"{symbol}(R) has non-finite elements.", fix="Compute or copy the file again."
            )
        residual = matrix.hermitian_residual()
        if residual > limit:
            raise ModelError(
                f"{symbol}(R) is not Hermitian: elements differ by up to {residual:.2e}{unit} from "
                f"those of {symbol}(-R)†.",
                f"Up to {limit:g}{unit} is taken for rounding. Blocks are missing, or read in the "
                "wrong order, with the wrong cell, or with bra and ket exchanged.",
                "Check that the file is complete and belongs to this structure.",
            )
        message = f"{symbol}(R) is Hermitian within {residual:.1e}{unit}."
        flags.append(check_below(f"{name}_hermitian", residual, warning, message))
    return flags


def _check_blocks(hamiltonian: LocalOrbitalHamiltonian) -> None:
    """Refuse absurd bonds, and overlaps beyond Schwarz's inequality."""
    for symbol, matrix in (("H", hamiltonian.hamiltonian), ("S", hamiltonian.overlap)):
        if matrix is None:
            continue
        longest = float(_bond_lengths(hamiltonian, matrix).max())
        if longest > LONGEST_BOND:
            raise ModelError(
                f"{symbol}(R) connects atoms {longest:.0f} Å apart.",
                "Lattice vectors R or the lattice itself are misread, or in another unit.",
                "Check that the file belongs to this structure.",
            )
    if hamiltonian.overlap is not None:
        _check_schwarz(hamiltonian.overlap)


def _check_schwarz(overlap: LatticeMatrix) -> None:
    norms = np.zeros(overlap.n_orbitals)
    starts, sizes = overlap.orbital_starts, overlap.sizes
    own = (overlap.pairs[:, 0] == overlap.pairs[:, 1]) & ~overlap.cells.any(axis=1)
    for index in np.flatnonzero(own).tolist():
        atom = overlap.pairs[index, 0]
        norms[starts[atom] : starts[atom] + sizes[atom]] = overlap.block(index).diagonal().real
    if norms.min() <= 0:
        raise PhysicsError(
            f"orbital {int(norms.argmin()) + 1} has norm {norms.min():.3g}.",
            "The overlap matrix is not positive definite.",
            "Check that the overlap belongs to this Hamiltonian.",
        )
    for i, j, blocks in overlap.groups:
        bound = np.sqrt(np.outer(norms[starts[i] :][: sizes[i]], norms[starts[j] :][: sizes[j]]))
        excess = float((np.abs(overlap.group_values(blocks)) / bound).max()) - 1.0
        if excess > SCHWARZ_LIMIT:
            raise ModelError(
                f"orbitals of atoms {i + 1} and {j + 1} overlap by {excess + 1:.4f} norms.",
                "No overlap of two functions exceeds the product of their norms: the matrix is "
                "not an overlap, or its rows are in another order.",
                "Check that the file holds the overlap of this Hamiltonian.",
            )


def _bond_lengths(hamiltonian: LocalOrbitalHamiltonian, matrix: LatticeMatrix) -> Array:
    crystal = hamiltonian.crystal
    fractional = crystal.fractional[matrix.pairs[:, 1]] - crystal.fractional[matrix.pairs[:, 0]]
    lengths = np.linalg.norm((fractional + matrix.cells) @ crystal.lattice, axis=1)
    return np.asarray(lengths)


def _range_flag(hamiltonian: LocalOrbitalHamiltonian) -> QualityFlag:
    """Look at the outermost blocks of H: are they still large?"""
    matrix = hamiltonian.hamiltonian
    lengths = _bond_lengths(hamiltonian, matrix)
    reach = float(lengths.max())
    outer = np.flatnonzero((lengths > (1.0 - OUTER_SHELL) * reach) & (lengths > 0))
    edge = max((float(np.abs(matrix.block(i)).max(initial=0.0)) for i in outer.tolist()), default=0)
    return check_below(
        "hamiltonian_range",
        edge,
        RANGE_WARNING,
        f"H(R) reaches {reach:.1f} Å; its outermost elements are at most {edge:.1e} eV.",
    )


def _sample(hamiltonian: LocalOrbitalHamiltonian, k_points: Array) -> tuple[float, Array, float]:
    """Return the smallest eigenvalue of S, band energies (n_k, n) and the error of the trace."""
    smallest, energies, trace_error = 1.0, [], 0.0
    for part in batches(len(k_points), hamiltonian.n_orbitals):
        H, S = hamiltonian.at(k_points[part])
        if hamiltonian.overlap is not None:
            smallest = min(smallest, float(np.linalg.eigvalsh(S)[:, 0].min()))
            _check_positive(smallest)
        values, _ = solve_matrices(H, S)
        energies.append(values)
        trace_error = max(trace_error, _trace_error(H, S, values))
    return smallest, np.concatenate(energies), trace_error


def _trace_error(H: Complex, S: Complex, values: Array) -> float:
    traces = np.trace(np.linalg.solve(S, H), axis1=1, axis2=2).real
    size = np.maximum(np.abs(values).sum(axis=1), 1.0)
    return float((np.abs(values.sum(axis=1) - traces) / size).max())


def _check_positive(smallest: float) -> None:
    if smallest <= 0:
        raise PhysicsError(
            f"the overlap matrix is not positive definite: its smallest eigenvalue is "
            f"{smallest:.2e}.",
            "The orbitals are linearly dependent, S is cut off too early, or H and S belong to "
            "different files.",
            "Use a smaller basis or a larger cut-off, and check that the files match.",
        )


def _dependence_flag(smallest: float, n_points: int) -> QualityFlag:
    enough = smallest >= DEPENDENCE_WARNING
    return QualityFlag(
        name="overlap_positive",
        severity="info" if enough else "warning",
        message=f"The smallest eigenvalue of S(k) at {n_points} k points is {smallest:.2e}"
        + ("." if enough else ": the orbitals are nearly linearly dependent."),
        value=smallest,
        threshold=DEPENDENCE_WARNING,
    )


def _gap_flag(
    hamiltonian: LocalOrbitalHamiltonian, energies: Array, *, require_gap: bool
) -> QualityFlag:
    try:
        filled = hamiltonian.n_occupied
    except PhysicsError as error:
        if require_gap:
            raise
        return QualityFlag(name="gap", severity="invalid", message=error.what)
    if filled == 0 or filled == hamiltonian.n_orbitals:
        kind = "empty" if filled == 0 else "filled"
        return QualityFlag(
            name="gap",
            severity="warning",
            message=f"All {hamiltonian.n_orbitals} bands are {kind}: there is no gap to speak of.",
        )
    top, bottom = float(energies[:, filled - 1].max()), float(energies[:, filled].min())
    if bottom - top < GAP_LIMIT and require_gap:
        raise PhysicsError(
            f"there is no gap: bands {filled} and {filled + 1} touch or overlap (by "
            f"{top - bottom:.3f} eV).",
            "The crystal is a metal in this Hamiltonian, or the electron number is wrong; elphant "
            "needs a semiconductor.",
            f"Check that {hamiltonian.n_electrons:g} electrons per cell is right for this file.",
        )
    return QualityFlag(
        name="gap",
        severity="info" if bottom - top >= GAP_LIMIT else "invalid",
        message=f"{filled} bands are filled; the gap at {len(energies)} sampled k points is "
        f"{bottom - top:.3f} eV.",
        value=bottom - top,
        threshold=GAP_LIMIT,
    )

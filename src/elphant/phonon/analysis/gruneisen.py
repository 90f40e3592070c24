"""Mode Grüneisen tensors from third-order force constants.

Notation: ``w`` are angular frequencies, ``e`` eigenvectors in the lattice phase (periodic in
reciprocal lattice vectors), R_j the lattice translation of atom j, r_k the position of atom k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.units import THZ_PER_SQRT_EV_A2_AMU

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

#: Modes closer than this (THz) are treated as degenerate: only their mean has a meaning.
DEGENERACY_TOLERANCE = 1e-4


def mode_gruneisen(
    third: SparseForceConstants,
    *,
    lattice: ArrayLike,
    positions: ArrayLike,
    masses: ArrayLike,
    q_points: ArrayLike,
    frequencies: ArrayLike,
    eigenvectors: NDArray[np.complex128],
    cutoff: float = 1e-2,
    degeneracy_tolerance: float = DEGENERACY_TOLERANCE,
) -> Array:
    r"""Return the Grüneisen tensor of every mode.

    .. math:: \gamma_{ab} = -\frac{1}{\omega}\frac{\partial\omega}{\partial\varepsilon_{ab}}
              = -\frac{1}{2\omega^2} \sum_{ijk} \frac{e^*_{i\alpha} e_{j\beta}
              e^{i q\cdot R_j}}{\sqrt{m_i m_j}} \Phi_{ijk}^{\alpha\beta a}\, r_k^b

    A third of the trace is the volume Grüneisen parameter
    :math:`-\partial\ln\omega/\partial\ln V`, the sum above with the factor
    :math:`-1/(6\omega^2)` of J. Fabian and P. B. Allen, Phys. Rev. Lett. 79, 1885 (1997), and
    D. A. Broido, A. Ward and N. Mingo, Phys. Rev. B 72, 014308 (2005). The strain is homogeneous
    with *clamped ions*: fractional coordinates stay fixed, so that the relaxation of internal
    coordinates under strain is not included. In a crystal where every atom is a centre of inversion
    there is no difference.

    Parameters
    ----------
    third : SparseForceConstants
        Third order; its cluster list must be closed under permutations and obey the sum rule.
    lattice : (3, 3) array, Å
        Primitive lattice vectors, rows.
    positions : (n_atoms, 3) array
        Fractional coordinates of the primitive cell.
    masses : (n_atoms,) array, amu
    q_points : (n_q, 3) array
        In units of the reciprocal vectors of the primitive cell.
    frequencies : (n_q, n_modes) array, THz
        Ordinary frequencies.
    eigenvectors : (n_q, 3 n_atoms, n_modes) complex array
        Lattice phase; modes in columns.
    cutoff : float, THz
        Modes at or below it (acoustic modes at Γ, imaginary modes) get zero.
    degeneracy_tolerance : float, THz
        The tensor is averaged over modes closer than this; within such a set it depends on the
        arbitrary choice of eigenvectors.

    Returns
    -------
    ndarray, (n_q, n_modes, 3, 3)
        Symmetric in the last two indices, dimensionless, Cartesian working frame.
    """
    if third.order != 3:
        raise ValueError(f"force constants have order {third.order}; the third is needed")
    pairs, cells, slopes = strain_derivative(third, lattice, positions)
    mass = np.asarray(masses, dtype=float)
    slopes = slopes / np.sqrt(mass[pairs[:, 0]] * mass[pairs[:, 1]])[:, None, None, None, None]
    n_dim = 3 * third.n_primitive
    freqs = np.asarray(frequencies, dtype=float)
    result = np.zeros((*freqs.shape, 3, 3))
    rows = 3 * pairs[:, 0, None, None] + np.arange(3)[None, :, None]
    columns = 3 * pairs[:, 1, None, None] + np.arange(3)[None, None, :]
    for iq, q in enumerate(np.asarray(q_points, dtype=float)):
        phase = np.exp(2j * np.pi * (cells @ q))
        slope = np.zeros((n_dim, n_dim, 3, 3), dtype=complex)
        np.add.at(slope, (rows, columns), slopes * phase[:, None, None, None, None])
        e = eigenvectors[iq]
        half = np.tensordot(slope, e, axes=(1, 0))  # (row, a, b, mode)
        expectation = np.einsum("is,iabs->sab", e.conj(), half).real
        usable = freqs[iq] > cutoff
        omega_squared = (freqs[iq] / THZ_PER_SQRT_EV_A2_AMU) ** 2  # eV Å^-2 amu^-1
        result[iq, usable] = -0.5 * expectation[usable] / omega_squared[usable, None, None]
        result[iq] = _averaged(result[iq], freqs[iq], usable, degeneracy_tolerance)
    return 0.5 * (result + result.swapaxes(-1, -2))


def strain_derivative(
    third: SparseForceConstants, lattice: ArrayLike, positions: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    r"""Return :math:`\partial\Phi_{ij}^{\alpha\beta}/\partial\varepsilon_{ab}` per pair of atoms.

    Positions of the third atom are measured from the midpoint of the pair: the sum rule makes every
    origin equivalent, and this one keeps the dynamical matrix Hermitian where the rule is obeyed
    only approximately.

    Returns
    -------
    pairs : ndarray of int, (n_pairs, 2)
        Primitive atoms i and j.
    cells : ndarray of int, (n_pairs, 3)
        Lattice translation of j.
    slopes : ndarray, (n_pairs, 3, 3, 3, 3) eV/Å²
        Indices: alpha, beta, a, b.
    """
    vectors = np.asarray(lattice, dtype=float)
    fractional = np.asarray(positions, dtype=float)
    i, j, k = third.atoms.T
    second, last = third.cells[:, 0], third.cells[:, 1]
    middle = 0.5 * (fractional[i] + fractional[j] + second)
    arm = (fractional[k] + last - middle) @ vectors
    keys, inverse = np.unique(np.column_stack([i, j, second]), axis=0, return_inverse=True)
    slopes = np.zeros((len(keys), 3, 3, 3, 3))
    terms = third.blocks[..., None] * arm[:, None, None, None, :]
    np.add.at(slopes, np.asarray(inverse).reshape(-1), terms)
    return keys[:, :2], keys[:, 2:], slopes


def volume_gruneisen(tensors: ArrayLike) -> Array:
    """Return ``-d ln w / d ln V``, a third of the trace, for tensors (…, 3, 3).

    Per axis, n·γ·n is the response to a stretch along n: see
    :func:`elphant.phonon.analysis.cumulative.along_axes`.
    """
    return np.asarray(np.trace(np.asarray(tensors, dtype=float), axis1=-2, axis2=-1) / 3.0)


def mean_gruneisen(
    tensors: ArrayLike,
    weights: ArrayLike,
    heat_capacities: ArrayLike,
    rotations: ArrayLike | None = None,
) -> Array:
    """Return the Grüneisen tensor averaged with the mode heat capacities, (3, 3).

    This average enters the thermal expansion: ``alpha = S : gamma C / V`` with the compliance S
    (T. H. K. Barron and G. K. White, Heat Capacity and Thermal Expansion at Low Temperatures,
    Kluwer, 1999).

    Parameters
    ----------
    tensors : (n_q, n_modes, 3, 3) array
    weights : (n_q,) array
        Multiplicity of the q-points.
    heat_capacities : (n_q, n_modes) array
        Zero for modes that are left out.
    rotations : (n_operations, 3, 3) array, optional
        Cartesian point operations of the crystal. Needed where only irreducible points are given:
        their mean alone has not the symmetry of the crystal (its trace is right).
    """
    share = np.asarray(weights, dtype=float)[:, None] * np.asarray(heat_capacities, dtype=float)
    total = share.sum()
    if not total > 0:
        raise ValueError("no mode has a heat capacity")
    mean = np.einsum("qs,qsab->ab", share, np.asarray(tensors, dtype=float))
    mean = np.asarray(mean / total)
    if rotations is not None:
        turns = np.asarray(rotations, dtype=float)
        mean = np.mean(turns @ mean @ turns.swapaxes(-1, -2), axis=0)
    return np.asarray(mean)


def _averaged(
    values: Array, frequencies: Array, usable: NDArray[np.bool_], tolerance: float
) -> Array:
    """Return the means over sets of neighbouring usable modes closer than ``tolerance``."""
    order = np.flatnonzero(usable)[np.argsort(frequencies[usable], kind="stable")]
    if not len(order):
        return values
    breaks = np.flatnonzero(np.diff(frequencies[order]) > tolerance) + 1
    result = values.copy()
    for group in np.split(order, breaks):
        result[group] = values[group].mean(axis=0)
    return result

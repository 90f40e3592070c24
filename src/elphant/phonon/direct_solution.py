r"""Direct solution of the linearised Boltzmann equation on the irreducible part of a mesh.

Following L. Chaput, Phys. Rev. Lett. 110, 265506 (2013) and A. Togo, L. Chaput and I. Tanaka,
Phys. Rev. B 91, 094306 (2015), the collision matrix acts on one vector per mode at the irreducible
points; the operations of the point group are summed into it. Three things that hold exactly make
it smaller, usually by a factor of two to four:

* a vector at q must be invariant under the operations that keep q (on a mirror plane it has two
  components, at Gamma none);
* degenerate modes are treated alike, only the mean of each set counts;
* a mode that does not take part has an empty row.

On the space that is left the matrix should be positive definite, as entropy production demands,
and one Cholesky factorisation replaces the diagonalisation of the whole matrix. Where it is not,
because of the finite mesh or of imaginary modes, the pseudo-inverse is used as in phono3py, and
the result carries a flag.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.phonon.mesh_phonons import MeshPhonons
from elphant.quality import QualityFlag
from elphant.units import rate_from_linewidth

Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

#: Eigenvalues of the collision matrix below this one (ps⁻¹) belong to its null space: phono3py's
#: limit, 1e-8 THz as a half width.
NULL_RATE = float(rate_from_linewidth(1e-8))

#: Rows whose elements are all below this (ps⁻¹) are empty up to rounding.
_EMPTY_RATE = 1e-4 * NULL_RATE

#: Largest relative residual of the solution in the whole, not reduced, space.
RESIDUAL_LIMIT = 1e-9


def direct_mode_conductivity(
    phonons: MeshPhonons, cv: Array, rate: Array, collision: Array, *, label: str = ""
) -> tuple[Array, QualityFlag | None]:
    r"""Mode conductivities from the full linearised Boltzmann equation at one temperature.

    .. math::

        \Omega\, y = b, \qquad b_{q\nu} = w_q \sqrt{c_{q\nu}}\, v_{q\nu}, \qquad
        \kappa^{ij}_{q\nu} = \frac{1}{V} \sum_R \mathrm{sym}\, (R b_{q\nu})^i (R y_{q\nu})^j

    with :math:`\Omega = w (4\pi C) w' + P / \tau`, symmetrised and averaged over degenerate modes,
    :math:`w_q^2` the number of points in the star of q over the number of operations R, and P the
    mean of the operations that keep q. The conductivity is
    :math:`\kappa = \sum_{q\nu} \kappa_{q\nu} / N`; without C it is the relaxation-time
    approximation.

    =========  ==================================================  ==========================  ====
    symbol     meaning                                             shape                       unit
    =========  ==================================================  ==========================  ====
    cv         mode heat capacity                                  (n_q, n_b)                  eV/K
    rate       full width 1/tau                                    (n_q, n_b)                  ps⁻¹
    collision  C, off-diagonal part, half widths; not changed      (n_q, n_b, 3, n_q, n_b, 3)  THz
    =========  ==================================================  ==========================  ====

    Parameters
    ----------
    phonons : MeshPhonons
        Velocities and symmetry of the mesh.
    cv, rate, collision : ndarray
        As in the table; points in the order of ``phonons``.
    label : str
        What is solved, for messages.

    Returns
    -------
    mode_conductivity : ndarray, (n_q, n_b, 3, 3) eV K⁻¹ Å⁻¹ ps⁻¹
        Star weights included.
    flag : QualityFlag or None
        Set where the matrix is not positive definite.
    """
    n_q, n_b = rate.shape
    w = np.sqrt(phonons.weights / len(phonons.operations))
    drive = w[:, None, None] * np.sqrt(cv)[..., None] * phonons.group_velocities
    matrix = collision.reshape(3 * n_q * n_b, 3 * n_q * n_b)
    scale = np.repeat(w, 3 * n_b)
    diagonal = _diagonal_part(phonons, rate)

    basis = _basis(phonons, invariant=True)
    reduced = _reduced(matrix, scale, diagonal, basis)
    driven, flag = _driven(reduced, basis, drive), None
    solution = _cholesky(reduced, driven)
    if solution is not None:
        means = _basis(phonons, invariant=False)
        response = basis @ solution
        residual = _residual(matrix, scale, diagonal, means, response, basis @ driven)
        if residual > RESIDUAL_LIMIT:
            # The matrix couples to vectors that symmetry forbids: keep them, as phono3py does.
            logger.info("%s: residual %.1e of the reduced solution", label, residual)
            solution, basis = None, means
            reduced = _reduced(matrix, scale, diagonal, basis)
            driven = _driven(reduced, basis, drive)
    if solution is None:
        solution, flag = _pseudo_inverse(reduced, driven, label)
        response = basis @ solution

    products = np.einsum("qsi,qsj->qsij", drive, response.reshape(n_q, n_b, 3))
    products = 0.5 * (products + products.swapaxes(-1, -2))
    operations = phonons.operations
    modes = np.einsum("rik,qskl,rjl->qsij", operations, products, operations, optimize=True)
    return np.asarray(modes / phonons.volume), flag


def _diagonal_part(phonons: MeshPhonons, rate: Array) -> Any:
    """Return ``P / tau`` as a sparse block-diagonal matrix over (q, mode, direction), ps⁻¹."""
    from scipy.sparse import block_diag

    return block_diag(
        [np.kron(np.diag(r), p) for r, p in zip(rate, phonons.projections, strict=True)],
        format="csr",
    )


def _basis(phonons: MeshPhonons, *, invariant: bool) -> Any:
    """Return orthonormal vectors over (q, mode, direction) as columns of a sparse matrix.

    They span the means over degenerate sets and, with ``invariant``, of them only the directions
    that the operations at q leave unchanged.
    """
    from scipy.sparse import block_diag

    blocks = []
    for projection, ids in zip(phonons.projections, phonons.degenerate_ids, strict=True):
        members = (ids[:, None] == np.unique(ids)).astype(float)
        means = members / np.sqrt(members.sum(axis=0))
        directions = np.eye(3)
        if invariant:
            values, vectors = np.linalg.eigh(0.5 * (projection + projection.T))
            directions = vectors[:, values > 0.5]
        blocks.append(np.kron(means, directions))
    return block_diag(blocks, format="csr")


def _reduced(matrix: Array, scale: Array, diagonal: Any, basis: Any) -> Array:
    """Return the collision matrix between the vectors of ``basis``, ps⁻¹, without a copy of it."""
    weighted = basis.multiply(scale[:, None]).tocsr()
    # Transposed twice because a sparse matrix multiplies from the left.
    half = weighted.T @ matrix
    full = rate_from_linewidth((weighted.T @ half.T).T)
    return np.asarray(0.5 * (full + full.T) + (basis.T @ diagonal @ basis).toarray())


def _active(reduced: Array) -> NDArray[np.bool_]:
    """Return which rows are not empty."""
    return np.asarray(np.abs(reduced).max(axis=1, initial=0.0) > _EMPTY_RATE)


def _driven(reduced: Array, basis: Any, drive: Array) -> Array:
    """Return the components of the drive; modes that nothing scatters have none."""
    return np.where(_active(reduced), basis.T @ drive.ravel(), 0.0)


def _cholesky(reduced: Array, driven: Array) -> Array | None:
    """Return the solution, or None if the matrix is not safely positive definite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve
    from scipy.linalg.lapack import dpocon

    active = _active(reduced)
    solution = np.zeros_like(driven)
    if active.any():
        kept = reduced[np.ix_(active, active)]
        try:
            factor = cho_factor(kept, lower=True, check_finite=False)
        except LinAlgError:
            return None
        norm = np.abs(kept).sum(axis=0).max()
        reciprocal_condition, _ = dpocon(factor[0], norm, uplo="L")
        # Its product with the norm estimates the smallest eigenvalue, within a small factor.
        if reciprocal_condition * norm < 10.0 * NULL_RATE:
            return None
        solution[active] = cho_solve(factor, driven[active], check_finite=False)
    return solution


def _residual(
    matrix: Array, scale: Array, diagonal: Any, means: Any, response: Array, drive: Array
) -> float:
    """Return the relative residual of a solution in the space of ``means``."""
    scaled = scale * response
    product = 0.5 * scale * rate_from_linewidth(matrix @ scaled + matrix.T @ scaled)
    wanted = means.T @ drive
    size = np.linalg.norm(wanted)
    error = np.linalg.norm(means.T @ (product + diagonal @ response) - wanted)
    return float(error / size) if size > 0.0 else 0.0


def _pseudo_inverse(reduced: Array, driven: Array, label: str) -> tuple[Array, QualityFlag]:
    """Return the solution outside the null space, and a flag that tells why it was needed."""
    values, vectors = np.linalg.eigh(reduced)
    kept = np.abs(values) > NULL_RATE
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
    n_negative = int((values < -NULL_RATE).sum())
    flag = QualityFlag(
        name="collision_matrix_not_positive",
        severity="warning",
        message=f"The collision matrix{' at ' + label if label else ''} is not positive definite: "
        f"{n_negative} of {len(values)} eigenvalues are negative and {int((~kept).sum())} vanish "
        f"(range {values[0]:.1e} to {values[-1]:.1e} ps⁻¹). Its pseudo-inverse was used; a finer "
        "mesh may help.",
        value=float(n_negative / len(values)),
        threshold=0.0,
    )
    logger.warning(flag.message)
    return np.asarray(vectors @ (inverse * (vectors.T @ driven))), flag

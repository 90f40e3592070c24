r"""Two-centre integrals of real harmonics and their exact derivatives.

J. C. Slater and G. F. Koster, Phys. Rev. 94, 1498 (1954). A two-centre block is diagonal in m when
the bond lies along z, with one number :math:`V_\mu` for every :math:`\mu = |m|` (σ, π, δ). For a
bond along any direction it is the rotated one, :math:`D^{l_1} V D^{l_2 T}`: a polynomial in the
direction cosines of degree :math:`l_1 + l_2`. It is expanded in solid harmonics once,

.. math:: B_{m_1 m_2}(\mathbf r) = \sum_{\mu L} V_\mu(r)\, r^{-L}
          \sum_M W^{\mu L}_{m_1 m_2 M}\, S_{LM}(\mathbf r),

which makes derivatives those of :math:`V_\mu` and of polynomials. No direction is special.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from elphant.orbitals.harmonics import (
    rotation_matrix,
    solid_harmonic_gradients,
    solid_harmonics,
)

Array = NDArray[np.float64]

#: Names of the integrals of μ = 0, 1, 2.
BOND_KINDS = ("sigma", "pi", "delta")


def two_centre_blocks(
    l_bra: int, l_ket: int, integrals: Array, slopes: Array, vectors: Array
) -> tuple[Array, Array]:
    """Return blocks of bonds and their Cartesian derivatives.

    Parameters
    ----------
    l_bra, l_ket : int
        Angular momenta, at most 2.
    integrals, slopes : ndarray, (n_bonds, min(l_bra, l_ket) + 1)
        V_μ at the length of each bond, and dV_μ/dr (per Å).
    vectors : ndarray, (n_bonds, 3) Å
        From the atom of the bra to that of the ket.

    Returns
    -------
    blocks : ndarray, (n_bonds, 2 l_bra + 1, 2 l_ket + 1)
    derivatives : ndarray, (n_bonds, 3, 2 l_bra + 1, 2 l_ket + 1)
        With respect to ``vectors``, per Å.
    """
    r = np.linalg.norm(vectors, axis=1)
    unit = vectors / r[:, None]
    shape = (len(vectors), 2 * l_bra + 1, 2 * l_ket + 1)
    blocks, derivatives = np.zeros(shape), np.zeros((len(vectors), 3, *shape[1:]))
    for L, coupling in _couplings(l_bra, l_ket).items():
        angular = np.einsum("uabM,nM->nuab", coupling, solid_harmonics(L, unit))
        # Derivative of S_L(r)/r^L: tangential part of the gradient at the unit vector, over r.
        gradient = solid_harmonic_gradients(L, unit)
        radial = np.einsum("nMx,nx->nM", gradient, unit)
        tangential = (gradient - radial[:, :, None] * unit[:, None, :]) / r[:, None, None]
        blocks += np.einsum("nu,nuab->nab", integrals, angular)
        derivatives += np.einsum("nu,nx,nuab->nxab", slopes, unit, angular)
        derivatives += np.einsum("nu,uabM,nMx->nxab", integrals, coupling, tangential)
    return blocks, derivatives


@lru_cache(maxsize=16)
def _couplings(l_bra: int, l_ket: int) -> dict[int, Array]:
    """Return W for each L, (n_μ, 2 l_bra + 1, 2 l_ket + 1, 2 L + 1).

    Solved from rotated blocks along seeded directions; the expansion is exact, so any sufficient
    set gives the same.
    """
    momenta = range(abs(l_bra - l_ket), l_bra + l_ket + 1, 2)
    directions = np.random.default_rng(0).normal(size=(60, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    design = np.concatenate([solid_harmonics(L, directions) for L in momenta], axis=1)
    samples = np.stack([_rotated_blocks(l_bra, l_ket, unit) for unit in directions])
    solution, *_ = np.linalg.lstsq(design, samples.reshape(len(directions), -1), rcond=None)
    solution = solution.reshape(-1, *samples.shape[1:])
    couplings, start = {}, 0
    for L in momenta:
        couplings[L] = np.moveaxis(solution[start : start + 2 * L + 1], 0, -1)
        start += 2 * L + 1
    return couplings


def _rotated_blocks(l_bra: int, l_ket: int, unit: Array) -> Array:
    """Return the blocks of V_μ = 1 for a bond along ``unit``, (n_μ, 2 l_bra + 1, 2 l_ket + 1)."""
    # Any rotation that carries z to the bond will do: the rest turns about the bond.
    helper = np.eye(3)[np.abs(unit).argmin()]
    first = np.cross(helper, unit)
    first /= np.linalg.norm(first)
    R = np.stack([first, np.cross(unit, first), unit], axis=1)
    bra, ket = rotation_matrix(l_bra, R), rotation_matrix(l_ket, R)
    blocks = []
    for mu in range(min(l_bra, l_ket) + 1):
        along_z = np.zeros((2 * l_bra + 1, 2 * l_ket + 1))
        for m in {mu, -mu}:
            along_z[l_bra + m, l_ket + m] = 1.0
        blocks.append(bra @ along_z @ ket.T)
    return np.array(blocks)

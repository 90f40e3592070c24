r"""The neutral-atom potential: its shape, projectors, and exact integrals on one centre.

:math:`V_{NA} = V_{loc} + V_H[\rho]` of one atom is screened, and ends smoothly at the cut-off.
Between orbitals of two atoms it is replaced by separable projectors that OpenMX builds from the
orbital tables; between orbitals of one atom it is integrated exactly. T. Ozaki and H. Kino,
Phys. Rev. B 72, 045121 (2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.models.hamiltonians.openmx.radial import (
    BEYOND_CUTOFF,
    K_SPAN,
    GridFunctions,
    gauss,
    transform,
)
from elphant.models.hamiltonians.openmx.tables import PaoTable, VpsTable
from elphant.models.hamiltonians.openmx.two_centre import RadialSet

Array = NDArray[np.float64]

#: Radial projectors of each L.
N_PROJECTORS = 12

#: Angular momenta of projectors reach this much beyond the largest one of all orbitals.
BEYOND_L = 6

#: Points of the Gauss-Legendre quadratures of the Hartree potential.
N_GAUSS_HARTREE = 1500

#: Steepness (bohr⁻¹) of the end of the potential at the cut-off.
STEEPNESS = 20.0


def neutral_atom_potential(pao: PaoTable, vps: VpsTable) -> Array:
    r"""Return V_NA on the grid of the pseudopotential, (n_r,) Ha.

    .. math:: V_{NA} = \frac{V_{loc} + c\, V_H}{1 + e^{20 (r - r_c)}}, \qquad
              V_H(r) = 4\pi \left[\frac1r \int_0^r \rho r'^2 dr' + \int_r^\infty \rho r' dr'\right]

    with c such that it vanishes at the grid point nearest :math:`r_c`.
    """
    r = vps.r
    hartree = hartree_potential(pao, r)
    nearest = int(np.abs(r - pao.cutoff).argmin())
    hartree *= -vps.local[nearest] / hartree[nearest]
    end = np.exp(np.minimum(STEEPNESS * (r - pao.cutoff), 700.0))
    return np.asarray((vps.local + hartree) / (1.0 + end))


def hartree_potential(pao: PaoTable, r: Array) -> Array:
    r"""Return :math:`V_H / 4\pi` of the valence density of one atom at the radii (n,).

    Density and integrals are those of OpenMX: interpolated in ln r, and by one Gauss-Legendre rule
    in ln r from the first node of the table to r, another from r to the last. On the kinks of the
    interpolant the rule is off by 1e-7; exact integrals would not give OpenMX's numbers.
    """
    density = GridFunctions(np.log(pao.r), pao.density[None])
    nodes, weights = gauss(0.0, 1.0, N_GAUSS_HARTREE)

    def integral(start: Array, stop: Array, power: int) -> Array:
        x = start[:, None] + (stop - start)[:, None] * nodes
        values = density(x.ravel())[0].reshape(x.shape) * np.exp(power * x)
        return np.asarray((stop - start) * (values @ weights))

    here = np.log(r)
    first, last = (np.full_like(here, np.log(end)) for end in (pao.r[0], pao.r[-1]))
    return np.asarray(integral(first, here, 3) / r + integral(here, last, 2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeutralAtomProjectors:
    """Separable form of V_NA of one atom.

    Attributes
    ----------
    functions : RadialSet
        Transforms of V_NA × projector on the Gauss-Legendre wave numbers.
    strengths : ndarray, (n_projectors,) Ha⁻¹
        One for every function and m.
    """

    functions: RadialSet
    strengths: Array


def neutral_atom_projectors(
    pao: PaoTable, vps: VpsTable, potential: Array, l_max: int
) -> NeutralAtomProjectors:
    r"""Return the projectors of V_NA.

    Seeds of each L are the first orbitals of the table, those of the largest l times powers of r
    where the table ends; they are made orthogonal in :math:`\langle f | V | g \rangle` one after
    the other. :math:`V_{NA} \approx \sum_m |V Q_m\rangle \langle Q_m | V | Q_m \rangle^{-1}
    \langle Q_m V|`. The seeds and their products with V stand on the grid of the pseudopotential
    and are interpolated from there.

    Parameters
    ----------
    pao, vps : PaoTable, VpsTable
    potential : ndarray, (n_r,) Ha
        From :func:`neutral_atom_potential`.
    l_max : int
        Largest angular momentum of the orbitals of *all* species of the crystal.
    """
    r, weights = gauss(float(vps.r[0]), float(vps.r[-1]))
    r_outer, weights_outer = gauss(float(vps.r[0]), pao.cutoff + BEYOND_CUTOFF)
    k, _ = gauss(*K_SPAN)
    measure = weights * r**2
    momenta = tuple(range(l_max + BEYOND_L + 1))
    transforms, strengths = [], []
    for L in momenta:
        own = min(L, pao.l_max)
        table = GridFunctions(pao.r, pao.orbitals[own][:N_PROJECTORS], own)
        seeds = table(vps.r) * vps.r ** (L - own)
        seeds /= np.sqrt(GridFunctions(vps.r, seeds, L)(r) ** 2 @ measure)[:, None]
        products = GridFunctions(vps.r, seeds * potential, L)
        metric = (GridFunctions(vps.r, seeds, L)(r) * measure) @ products(r).T
        combination, norms = orthogonalized(metric)
        outer = combination @ products(r_outer)
        transforms.append(transform(outer, L, r_outer, weights_outer, k))
        strengths.append(np.repeat(1.0 / norms, 2 * L + 1))
    functions = RadialSet(l=momenta, functions=tuple(transforms))
    return NeutralAtomProjectors(functions=functions, strengths=np.concatenate(strengths))


def orthogonalized(metric: Array) -> tuple[Array, Array]:
    r"""Return combinations of seeds that are orthogonal in a metric, and their norms.

    Classical Gram-Schmidt, :math:`Q_i = f_i - \sum_{j<i} Q_j \langle Q_j|V f_i\rangle /
    \langle Q_j|V Q_j\rangle`.

    Parameters
    ----------
    metric : ndarray, (n, n)
        :math:`\langle f_i | V f_j \rangle`. On a coarse quadrature, with :math:`V f` interpolated
        as a whole, it is slightly asymmetric; the order of the factors then matters at the level
        of 1e-5 Ha, and is that of OpenMX.

    Returns
    -------
    ndarray, (n, n)
        Lower triangular, unit diagonal.
    ndarray, (n,)
    """
    n = len(metric)
    combination, norms = np.eye(n), np.empty(n)
    for i in range(n):
        for j in range(i):
            share = combination[j] @ metric[:, i] / norms[j]
            combination[i] -= share * combination[j]
        norms[i] = combination[i] @ metric @ combination[i]
    return combination, norms

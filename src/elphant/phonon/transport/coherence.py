r"""Heat carried by the coherence between bands (Wigner transport equation).

.. math::
   \kappa_C^{ab} = \frac{1}{N V} \sum_q \sum_{s \ne s'} \frac{\omega + \omega'}{4}
   \Big( \frac{c}{\omega} + \frac{c'}{\omega'} \Big) v^a_{ss'} v^b_{s's}
   \frac{\Gamma + \Gamma'}{(\omega - \omega')^2 + (\Gamma + \Gamma')^2}

with half widths :math:`\Gamma = 1/(2\tau)` and the velocity matrix
:math:`v_{ss'} = \langle e | \partial D / \partial q | e' \rangle / (\omega + \omega')` in the phase
convention with atomic positions (M. Simoncelli, N. Marzari and F. Mauri, Nat. Phys. 15, 809
(2019); Phys. Rev. X 12, 041011 (2022), Eq. 49). For s = s' the summand is :math:`c v^2 \tau`.

Pairs inside a degenerate set are left out: they relax like populations and are part of the
velocity products of the relaxation-time and Boltzmann solutions. The split then does not depend on
the choice of eigenvectors, and the coherent part is smaller than in codes that count them here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elphant.phonon.analysis.phase_space import branch_spacing
from elphant.phonon.scattering.modes import MeshModes
from elphant.phonon.transport.relaxation_time import heat_capacities, star_sum
from elphant.units import W_PER_MK_PER_EV_PER_K_A_PS

Array = NDArray[np.float64]

#: Bytes of the temporary arrays of one chunk of points.
CHUNK_BYTES = 200e6


def coherence_weights(frequencies: Array, heat_capacity: Array, rates: Array) -> Array:
    r"""Return the factor of :math:`v^a_{ss'} v^b_{s's}` for all pairs of bands.

    =============  =========================================  ===============  =====
    symbol         meaning                                    shape            unit
    =============  =========================================  ===============  =====
    frequencies    ordinary                                   (..., n)         THz
    heat_capacity  of the modes                               (..., n)         eV/K
    rates          full width 1/tau                           (..., n)         ps⁻¹
    =============  =========================================  ===============  =====

    Returns (..., n, n) in eV K⁻¹ ps, zero where a mode has no frequency or both have no width.
    """
    w = 2.0 * np.pi * frequencies
    first, second = w[..., :, None], w[..., None, :]
    ratio = np.divide(heat_capacity, w, out=np.zeros_like(heat_capacity), where=w > 0.0)
    factor = 0.25 * (first + second) * (ratio[..., :, None] + ratio[..., None, :])
    width = 0.5 * (rates[..., :, None] + rates[..., None, :])
    denominator = (first - second) ** 2 + width**2
    usable = (first > 0.0) & (second > 0.0) & (width > 0.0)
    lorentzian = np.divide(width, denominator, out=np.zeros_like(denominator), where=usable)
    return np.asarray(factor * lorentzian)


def coherence_conductivity(modes: MeshModes, temperatures: Sequence[float], rates: Array) -> Array:
    """Return the coherent part of the conductivity by mode.

    Parameters
    ----------
    modes : MeshModes
    temperatures : sequence of float, K
    rates : ndarray, (n_t, n_irreducible, n_modes) ps⁻¹
        Total 1/tau; averaged over degenerate sets here.

    Returns
    -------
    ndarray, (n_t, n_irreducible, n_modes, 3, 3) W m⁻¹ K⁻¹
        Summed over the stars; the conductivity is the sum over points and modes divided by the
        number of mesh points. Each pair is shared by its modes in the ratio of their heat
        capacities.
    """
    n_irreducible, n = modes.degenerate_ids.shape
    frequencies = modes.irreducible_frequencies
    capacities = heat_capacities(modes, temperatures)
    widths = modes.degenerate_means(rates)
    result = np.zeros((len(capacities), n_irreducible, n, 3, 3))
    step = max(1, int(CHUNK_BYTES / (8.0 * n * n * (12 + 4 * len(capacities)))))
    for start in range(0, n_irreducible, step):
        q = slice(start, start + step)
        ids = modes.degenerate_ids[q]
        v = modes.velocity_matrices[q].transpose(0, 2, 3, 1)
        # v_s's is the conjugate of v_ss', so that the sum over both orders is real and symmetric.
        products = v.real[..., :, None] * v.real[..., None, :]
        products += v.imag[..., :, None] * v.imag[..., None, :]
        products[ids[:, :, None] == ids[:, None, :]] = 0.0
        c = capacities[:, q]
        total = c[..., :, None] + c[..., None, :]
        share = np.divide(
            2.0 * c[..., :, None], total, out=np.zeros_like(total), where=total > 0.0
        )  # fmt: skip
        weights = coherence_weights(frequencies[q], c, widths[:, q]) * share
        flat = products.reshape(*products.shape[:3], 9)
        summed = np.matmul(weights.transpose(1, 2, 0, 3), flat)  # (q, s, t, 9)
        result[:, q] = summed.transpose(2, 0, 1, 3).reshape(len(c), -1, n, 3, 3)
    return np.asarray(star_sum(modes.mesh, result) * (W_PER_MK_PER_EV_PER_K_A_PS / modes.volume))


def wigner_lifetime(modes: MeshModes) -> float:
    """Return ``3 n_atoms / ω_max`` in ps: modes that live shorter conduct mainly by coherence."""
    return 1.0 / branch_spacing(modes.frequencies.max(), modes.n_modes)

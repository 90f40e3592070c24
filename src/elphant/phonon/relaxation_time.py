"""Heat carried by modes that relax independently of each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.units import ANGSTROM_PER_MICROMETRE

Array = NDArray[np.float64]


def rta_mode_conductivity(cv: Array, vv: Array, rate: Array, volume: float) -> Array:
    r"""Mode conductivities in the relaxation-time approximation.

    .. math:: \kappa^{ij}_{q\nu} = \frac{1}{V}\, c_{q\nu}\, (v^i v^j)_{q\nu}\, \tau_{q\nu}

    with :math:`\tau` = 1/rate, and
    :math:`\kappa = \sum_{q\nu} \kappa_{q\nu} / N` (A. Togo, L. Chaput and I. Tanaka, Phys. Rev. B
    91, 094306 (2015), Eq. 5).

    ======  =====================================================  ====================  =======
    symbol  meaning                                                shape                 unit
    ======  =====================================================  ====================  =======
    cv      mode heat capacity                                     (n_t, n_q, n_b)       eV/K
    vv      v (x) v summed over the star of q                      (n_q, n_b, 3, 3)      Å² THz²
    rate    full width 1/tau; modes with rate 0 are left out       (n_t, n_q, n_b)       ps⁻¹
    volume  primitive-cell volume                                  ()                    Å³
    ======  =====================================================  ====================  =======

    Returns (n_t, n_q, n_b, 3, 3) in eV K⁻¹ Å⁻¹ ps⁻¹.
    """
    tau = np.divide(1.0, rate, out=np.zeros_like(rate), where=rate > 0.0)
    return np.asarray(np.einsum("tqs,qsij,tqs->tqsij", cv, vv, tau) / volume)


def boundary_rates(group_velocities: Array, mean_free_path_um: float) -> Array:
    """Return boundary rates ``|v| / L`` in ps⁻¹, (n_q, n_modes).

    The speed, not one component, is used, so that the rate is the same for all directions of
    heat flow. ``group_velocities`` has shape (n_q, n_modes, 3) in Å THz = Å/ps.
    """
    speed = np.linalg.norm(group_velocities, axis=-1)
    return np.asarray(speed / (mean_free_path_um * ANGSTROM_PER_MICROMETRE))

"""Is the Boltzmann picture valid for these phonons? Doubts that belong beside the conductivity."""

from __future__ import annotations

from math import pi

import numpy as np

from elphant.crystal import Crystal
from elphant.crystal.io import shortest_distance
from elphant.phonon.analysis.phase_space import branch_spacing
from elphant.phonon.conductivity import ThermalConductivity
from elphant.quality import QualityFlag, check_below

#: Temperature (K) at which the checks are made (the nearest one computed).
CHECKED_TEMPERATURE = 300.0

#: Share of the conductivity, or of the modes, above which a check becomes a warning.
SHARE_LIMIT = 0.1


def transport_flags(result: ThermalConductivity, crystal: Crystal) -> list[QualityFlag]:
    """Return the checks of the particle picture.

    Three limits are looked at: the mean free path against the shortest interatomic distance (a
    particle must fly farther than one bond); the rate against the frequency (an oscillation must
    live for more than a radian); and the rate against the average spacing of the branches,
    ``1/tau > omega_max / (3 n_atoms)``, beyond which waves tunnel between branches (M. Simoncelli,
    N. Marzari and F. Mauri, Phys. Rev. X 12, 041011 (2022)) and the coherence conductivity counts:
    that is a doubt only where it was not computed.

    Parameters
    ----------
    result : ThermalConductivity
        Relaxation-time result: each mode's share of the conductivity is then positive. The last
        check looks whether it holds a coherence conductivity.
    crystal : Crystal
    """
    at = int(np.argmin(np.abs(result.temperatures - CHECKED_TEMPERATURE)))
    kelvin = f"{result.temperatures[at]:g} K"
    rates = result.rates[at]
    alive = rates > 0.0
    lifetime = np.divide(1.0, rates, out=np.zeros_like(rates), where=alive)
    path = np.linalg.norm(result.group_velocities, axis=-1) * lifetime
    share = np.trace(result.mode_conductivity[at], axis1=-2, axis2=-1)
    share = share / share.sum()
    bond = shortest_distance(crystal)
    modes = alive * result.weights[:, None]
    n_modes = modes.sum()
    omega = 2.0 * pi * np.abs(result.frequencies)
    spacing = branch_spacing(np.abs(result.frequencies).max(), result.frequencies.shape[1])

    short = float(share[alive & (path < bond)].sum())
    damped = float((modes * (rates > omega)).sum() / n_modes)
    wavelike = float((modes * (rates > spacing)).sum() / n_modes)
    waves = (
        f"{100 * wavelike:.1f} % of the modes at {kelvin} have a rate above the mean branch "
        f"spacing ({spacing:.2f} ps⁻¹); "
    )
    if result.coherence is None:
        wave_like = check_below(
            "wave_like_transport",
            wavelike,
            SHARE_LIMIT,
            waves + "the wave-like (coherence) conductivity, not included here, may add to these "
            "numbers (--coherence, with elphant's own engine)",
        )
    else:
        total = float(np.trace(result.conductivity[at] + result.coherence[at]))
        part = float(np.trace(result.coherence[at])) / total
        wave_like = QualityFlag(
            name="wave_like_transport",
            severity="info",
            message=waves + f"the wave-like (coherence) conductivity is {100 * part:.1f} % of the "
            "total and has levels of its own",
            value=wavelike,
            threshold=SHARE_LIMIT,
        )
    return [
        check_below(
            "mean_free_path",
            short,
            SHARE_LIMIT,
            f"{100 * short:.1f} % of the conductivity at {kelvin} is carried by modes whose mean "
            f"free path is below the shortest bond ({bond:.2f} Å); for them the particle picture "
            "is not valid",
        ),
        check_below(
            "overdamped_modes",
            damped,
            SHARE_LIMIT,
            f"{100 * damped:.1f} % of the modes at {kelvin} decay within one radian of their "
            "oscillation",
        ),
        wave_like,
    ]

r"""Weighted four-phonon phase space of a whole mesh, exactly and in seconds.

With :math:`|V_4|^2 = 1` and Gaussians whose variance is a sum over the modes, the weight of a
process is a product of one factor per mode once the delta function is written as

.. math:: \delta(x) = \int dt\, e^{2\pi i x t}\, e^{-2\pi^2 \sigma^2 t^2}.

The sum over the three partners is then a convolution over wave vectors, which a Fourier transform
turns into a product: all :math:`N^2 n_b^4` processes of a point cost one transform per time. The
result is the known auxiliary variable of the ratio estimator in :mod:`.sampling`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.four_phonon import CHANNELS, mode_widths
from elphant.phonon.scattering.modes import MeshModes
from elphant.phonon.scattering.occupation import half_sinh
from elphant.units import FOUR_PHONON_RATE

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Times per chunk times modes of the mesh: bounds the memory of the factors to about 100 MB.
CHUNK_VALUES = 6_000_000

#: The time integral stops where the narrowest Gaussian has decayed to this.
SMALLEST_FACTOR = 1e-12


def weighted_phase_space(
    modes: MeshModes, broadening: Broadening, temperatures: Sequence[float]
) -> Array:
    """Return ``1/tau`` for ``|V4|² = 1``, (n_t, n_channels, n_irreducible, n_modes).

    The unit is ps⁻¹ per eV² Å⁻⁸ amu⁻⁴. The Gaussians are not cut; processes that change nothing
    are left out as in the scattering itself.
    """
    nu, sigma = modes.frequencies, mode_widths(modes, broadening)
    participating = nu > 0.0
    points = modes.mesh.irreducible
    times, steps = _time_grid(nu[participating], sigma[participating])
    result = np.zeros((len(temperatures), len(CHANNELS), len(points), modes.n_modes))
    thermal = [half_sinh(torch.from_numpy(nu.copy()), t).numpy() for t in temperatures]
    inverse = np.divide(1.0, nu, out=np.zeros_like(nu), where=participating)
    chunk = max(1, CHUNK_VALUES // nu.size)
    for start in range(0, len(times), chunk):
        t, dt = times[start : start + chunk], steps[start : start + chunk]
        factors = _factors(t, nu, sigma)
        own = factors[:, points]
        for i, a in enumerate(thermal):
            spectral = np.einsum("tql,ql->tq", factors, a * inverse)
            for c, convolution in enumerate(_convolutions(spectral, modes.mesh.divisions)):
                at_points = convolution[:, points] * dt[:, None]
                result[i, c] += np.einsum("tql,tq->ql", own, at_points).real
    for i, a in enumerate(thermal):
        result[i] -= _unchanged(modes, sigma, a * inverse)
        ratio = np.divide(1.0, a, out=np.zeros_like(a), where=a > 0.0) * inverse
        result[i] *= ratio[points]
    scale = FOUR_PHONON_RATE / (modes.mesh.n_points**2 * (2.0 * math.pi) ** 5) / 6.0
    return np.asarray(scale * np.maximum(result, 0.0))


def _time_grid(nu: Array, sigma: Array) -> tuple[Array, Array]:
    """Return times in ps from zero on, and weights that also count the negative ones."""
    largest = 4.0 * float(nu.max()) + 10.0 * float(sigma.max())
    end = math.sqrt(-math.log(SMALLEST_FACTOR) / 2.0) / (math.pi * 2.0 * float(sigma.min()))
    # Energies repeat with period 1/dt: no process may be mistaken for another.
    step = 1.0 / (1.05 * largest)
    times = np.arange(0.0, end + step, step)
    weights = np.full(len(times), 2.0 * step)
    weights[0] = step
    return times, weights


def _factors(times: Array, nu: Array, sigma: Array) -> Complex:
    """Return the factor of an absorbed mode, (n_times, n_points, n_modes)."""
    t = times[:, None, None]
    return np.asarray(np.exp(2j * np.pi * nu * t - 2.0 * (np.pi * sigma * t) ** 2))


def _convolutions(spectral: Complex, divisions: NDArray[np.int64]) -> list[Complex]:
    """Return the sums over three partners for each channel, (n_times, n_points)."""
    shape = tuple(int(d) for d in divisions[::-1])
    grid = spectral.reshape(-1, *shape)
    axes = (1, 2, 3)
    absorbed, emitted = np.fft.fftn(grid, axes=axes), np.fft.fftn(grid.conj(), axes=axes)
    powers = {1: absorbed, -1: emitted}
    # F(-q) = F(q), so the value at -q - that of the sum rule - is the value at q.
    return [
        len(patterns)
        * np.fft.ifftn(np.prod([powers[s] for s in patterns[0]], axis=0), axes=axes).reshape(
            spectral.shape
        )
        for patterns in CHANNELS.values()
    ]


def _unchanged(modes: MeshModes, sigma: Array, weight: Array) -> Array:
    """Return the processes that emit the first mode itself, (n_channels, n_irr, n_modes)."""
    mesh, nu = modes.mesh, modes.frequencies
    result = np.zeros((len(CHANNELS), mesh.n_irreducible, modes.n_modes))
    negatives = mesh.negatives
    other, other_sigma, other_weight = nu[negatives], sigma[negatives], weight[negatives]
    pair_weight = weight[:, :, None] * other_weight[:, None, :]
    pair_variance = sigma[:, :, None] ** 2 + other_sigma[:, None, :] ** 2
    for c, patterns in enumerate(CHANNELS.values()):
        rest: dict[tuple[int, ...], int] = {}
        for signs in patterns:
            for leg in range(3):
                if signs[leg] < 0:
                    key = tuple(sorted(signs[:leg] + signs[leg + 1 :]))
                    rest[key] = rest.get(key, 0) + 1
        for (s1, s2), count in rest.items():
            x = s1 * nu[:, :, None] + s2 * other[:, None, :]
            for i, point in enumerate(mesh.irreducible):
                for mode in range(modes.n_modes):
                    members = modes.degenerate_ids[i] == modes.degenerate_ids[i, mode]
                    for partner in np.flatnonzero(members):
                        variance = pair_variance + sigma[point, mode] ** 2
                        variance = variance + sigma[point, partner] ** 2
                        values = np.exp(-0.5 * x * x / variance) / np.sqrt(variance)
                        result[c, i, mode] += (
                            count * weight[point, partner] * (values * pair_weight).sum()
                        )
    return result / math.sqrt(2.0 * math.pi)

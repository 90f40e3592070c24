"""Heat carried by modes that relax independently, on the modes of a mesh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from elphant.phonon.relaxation_time import rta_mode_conductivity
from elphant.phonon.scattering.mesh import ReciprocalMesh
from elphant.phonon.scattering.modes import MeshModes
from elphant.phonon.scattering.occupation import heat_capacity
from elphant.phonon.scattering.operator import scattered_modes
from elphant.units import W_PER_MK_PER_EV_PER_K_A_PS

Array = NDArray[np.float64]


def star_sum(mesh: ReciprocalMesh, tensors: Array) -> Array:
    """Sum tensors of the irreducible points over their stars.

    Parameters
    ----------
    mesh : ReciprocalMesh
    tensors : ndarray, (..., n_irreducible, n_modes, 3, 3)
        Unchanged by the operations that keep their point.
    """
    operations = mesh.rotations_cartesian
    mean = np.einsum("gac,gbd->abcd", operations, operations) / len(operations)
    summed = tensors.reshape(*tensors.shape[:-2], 9) @ mean.reshape(9, 9).T
    return np.asarray(summed.reshape(tensors.shape) * mesh.weights[:, None, None, None])


def heat_capacities(modes: MeshModes, temperatures: Sequence[float]) -> Array:
    """Return mode heat capacities, (n_t, n_irreducible, n_modes) eV/K."""
    frequencies = torch.from_numpy(np.array(modes.irreducible_frequencies))
    return np.array([heat_capacity(frequencies, t).numpy() for t in temperatures])


def relaxation_time_conductivity(
    modes: MeshModes, temperatures: Sequence[float], rates: Array
) -> Array:
    """Return mode conductivities in the relaxation-time approximation.

    Parameters
    ----------
    modes : MeshModes
    temperatures : sequence of float, K
    rates : ndarray, (n_t, n_irreducible, n_modes) ps⁻¹
        Total 1/tau; averaged over degenerate sets here. Modes that nothing scatters are left out.

    Returns
    -------
    ndarray, (n_t, n_irreducible, n_modes, 3, 3) W m⁻¹ K⁻¹
        Summed over the stars: the conductivity is the sum over points and modes divided by the
        number of mesh points.
    """
    return _conductivity(modes, temperatures, rates, modes.velocity_products)


def spread_conductivity(modes: MeshModes, temperatures: Sequence[float], rates: Array) -> Array:
    """Return the part that is beyond the mean velocity of degenerate sets.

    The collision operator, averaged over degenerate sets, couples only their mean velocity. What
    ``v (x) v`` has beyond that relaxes with the plain rate. Shapes and units as in
    :func:`relaxation_time_conductivity`.
    """
    v = modes.irreducible_velocities
    spread = modes.velocity_products - v[..., :, None] * v[..., None, :]
    ids = modes.degenerate_ids
    alone = (ids[:, :, None] == ids[:, None, :]).sum(axis=2) == 1
    spread[alone] = 0.0
    return _conductivity(modes, temperatures, rates, spread)


def _conductivity(
    modes: MeshModes, temperatures: Sequence[float], rates: Array, products: Array
) -> Array:
    means = modes.degenerate_means(rates)
    kappa = rta_mode_conductivity(
        heat_capacities(modes, temperatures),
        star_sum(modes.mesh, products),
        np.where(scattered_modes(means), means, 0.0),
        modes.volume,
    )
    return np.asarray(W_PER_MK_PER_EV_PER_K_A_PS * kappa)


def unscattered_modes(modes: MeshModes, rates: Array) -> int:
    """Return how many modes of the whole mesh move but are not scattered at some temperature.

    Parameters
    ----------
    modes : MeshModes
    rates : ndarray, (n_t, n_irreducible, n_modes) ps⁻¹
    """
    scattered = scattered_modes(modes.degenerate_means(rates)).all(axis=0)
    free = ~scattered & (modes.irreducible_frequencies > 0.0)
    return int((free * modes.mesh.weights[:, None]).sum())

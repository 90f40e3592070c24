"""Phonons on the whole mesh, in the form that the scattering sums need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.phonon.scattering.mesh import ReciprocalMesh
from elphant.phonon.scattering.occupation import half_sinh

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Modes below this frequency (THz) take no part in anything.
CUTOFF_THZ = 1e-4

#: Modes closer than this (THz) belong to one degenerate set.
DEGENERATE_THZ = 1e-4

#: Smallest adaptive width, as a share of the mean width of the mesh.
SMALLEST_WIDTH_SHARE = 0.25


# No slots: what follows from the fields is computed once, where it is first asked for.
@dataclass(frozen=True, kw_only=True, eq=False)
class MeshModes:
    r"""Phonons on a mesh, equal at equivalent points to the last bit.

    The irreducible points are solved; the others follow by the operations of the space group.

    Attributes
    ----------
    mesh : ReciprocalMesh
    frequencies : ndarray, (n_points, n_modes) THz
        Modes that take no part (masked imaginary ones, the acoustic ones at Γ) are zero.
    raw_frequencies : ndarray, (n_irreducible, n_modes) THz
        Before the policy for imaginary modes, those negative.
    eigenvectors : ndarray, (n_points, 3 n_atoms, n_modes) complex
        In the *lattice phase*: ``D(q)`` with ``exp(iq·R)``, periodic in the reciprocal lattice, so
        that products over wave vectors that sum to a reciprocal lattice vector need no phase.
    velocities : ndarray, (n_points, n_modes, 3) Å THz
    velocity_matrices : ndarray, (n_irreducible, 3, n_modes, n_modes) complex, Å THz
        ``<e_s| dD/dq |e_s'> / (w_s + w_s')`` from the position-phase dynamical matrix.
    degenerate_ids : ndarray of int, (n_irreducible, n_modes)
        First mode of the degenerate set of each mode.
    masses : ndarray, (n_atoms,) amu
    lattice : ndarray, (3, 3) Å
        Primitive vectors as rows.
    positions : ndarray, (n_atoms, 3)
        Fractional coordinates in the primitive cell.
    step_metric : ndarray, (3, 3) Å⁻²
        :func:`step_metric` of the mesh.
    """

    mesh: ReciprocalMesh
    frequencies: Array
    raw_frequencies: Array
    eigenvectors: Complex
    velocities: Array
    velocity_matrices: Complex
    degenerate_ids: NDArray[np.int64]
    masses: Array
    lattice: Array
    positions: Array
    step_metric: Array

    def __post_init__(self) -> None:
        n_points, n_irreducible = self.mesh.n_points, self.mesh.n_irreducible
        n_atoms = len(self.masses)
        n_modes = 3 * n_atoms
        for name, shape, dtype in (
            ("frequencies", (n_points, n_modes), float),
            ("raw_frequencies", (n_irreducible, n_modes), float),
            ("eigenvectors", (n_points, n_modes, n_modes), complex),
            ("velocities", (n_points, n_modes, 3), float),
            ("velocity_matrices", (n_irreducible, 3, n_modes, n_modes), complex),
            ("degenerate_ids", (n_irreducible, n_modes), int),
            ("masses", (n_atoms,), float),
            ("lattice", (3, 3), float),
            ("positions", (n_atoms, 3), float),
            ("step_metric", (3, 3), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    @property
    def n_modes(self) -> int:
        """Number of branches."""
        return int(self.frequencies.shape[1])

    @property
    def volume(self) -> float:
        """Volume of the primitive cell, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def irreducible_frequencies(self) -> Array:
        """Frequencies at the irreducible points, (n_irreducible, n_modes) THz."""
        return self.frequencies[self.mesh.irreducible]

    @property
    def irreducible_velocities(self) -> Array:
        """Velocities at the irreducible points, (n_irreducible, n_modes, 3) Å THz."""
        return self.velocities[self.mesh.irreducible]

    def degenerate_means(self, values: Array) -> Array:
        """Return (..., n_irreducible, n_modes) values averaged over degenerate sets."""
        return np.asarray(np.einsum("qst,...qt->...qs", self.set_means, values))

    @cached_property
    def set_means(self) -> Array:
        """Matrices that average over degenerate sets, (n_irreducible, n_modes, n_modes)."""
        same = (self.degenerate_ids[:, :, None] == self.degenerate_ids[:, None, :]).astype(float)
        return np.asarray(same / same.sum(axis=2, keepdims=True))

    @cached_property
    def velocity_products(self) -> Array:
        """Products v (x) v, averaged over degenerate sets, (n_irreducible, n_modes, 3, 3) Å² THz².

        ``sum_ss' Re(V_a,ss' V_b,s's) / d`` over a set of d modes does not depend on the basis
        inside the set; the products of the diagonal elements alone would.
        """
        same = self.degenerate_ids[:, :, None] == self.degenerate_ids[:, None, :]
        squares = np.einsum(
            "qast,qbts,qst->abqs", self.velocity_matrices, self.velocity_matrices, same,
            optimize=True,
        ).real  # fmt: skip
        return np.asarray(np.moveaxis(self.degenerate_means(squares), (0, 1), (2, 3)))

    def thermal_amplitudes(self, temperature: float) -> Array:
        """Return ``sqrt(n (n + 1))`` at the irreducible points, (n_irreducible, n_modes)."""
        frequencies = torch.from_numpy(np.array(self.irreducible_frequencies))
        return np.asarray(half_sinh(frequencies, temperature).numpy())

    def widths(self, scale: float = 1.0) -> Array:
        r"""Return the adaptive broadening of each mode, (n_points, n_modes) THz.

        The standard deviation of the frequency over one cell of the mesh,

        .. math:: \sigma_\lambda^2 = \frac{1}{12}
                  \sum_a (\mathbf v_\lambda \cdot \mathbf b_a / N_a)^2,

        with the sum averaged over the operations of the crystal, so that equivalent modes have
        equal widths in a hexagonal mesh too. A process has the variance :math:`\sum_i \sigma_i^2`
        of all its modes: symmetric in the modes, hence a symmetric collision operator. Velocities
        of degenerate modes enter by their mean square, which does not depend on the basis. Widths
        below a quarter of the mean are raised to it, so that flat bands find partners.
        """
        squares = np.einsum("ab,qsab->qs", self.step_metric, self.velocity_products)
        widths = scale * np.sqrt(np.maximum(squares, 0.0) / 12.0)
        weights = self.mesh.weights[:, None] * (self.irreducible_frequencies > CUTOFF_THZ)
        mean = float((widths * weights).sum() / max(1, weights.sum()))
        floor = SMALLEST_WIDTH_SHARE * mean if mean > 0.0 else 0.01
        return np.asarray(np.maximum(widths, floor)[self.mesh.representative])


def step_metric(lattice: Array, mesh: ReciprocalMesh) -> Array:
    """Return the sum of b_a (x) b_a / N_a² over the edges of a mesh cell, averaged by symmetry.

    Without 2π, because a velocity in Å THz is the slope of the ordinary frequency along q / 2π.

    Parameters
    ----------
    lattice : ndarray, (3, 3) Å
    mesh : ReciprocalMesh
        Reduced by the whole space group: its operations are averaged over.
    """
    steps = np.linalg.inv(lattice).T / mesh.divisions[:, None]
    rotations = mesh.rotations_cartesian
    rotated = np.einsum("gab,cb->gca", rotations, steps)
    return np.asarray(np.einsum("gca,gcb->ab", rotated, rotated) / len(rotations))

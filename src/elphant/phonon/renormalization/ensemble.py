"""Gaussian ensembles of displaced supercells: drawing, densities and reweighting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.phonon.renormalization.covariance import (
    PointModes,
    Statistics,
    harmonic_free_energy,
    mean_squares,
    solve_points,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GaussianState:
    r"""Density of the displacements of a supercell in harmonic phonons.

    .. math:: \rho(u) \propto \exp\left(-\tfrac12 \sum_\lambda Q_\lambda^2 /
              \sigma_\lambda^2\right), \quad Q_\lambda = \sum_i e_{i\lambda} \sqrt{m_i}\, u_i

    Imaginary modes count as ones of their absolute frequency, all modes as at least ``floor``; the
    translation of the whole supercell does not move.
    """

    modes: PointModes
    sigma: Array
    root_masses: Array
    free_energy: float

    @classmethod
    def of(
        cls, second: Array, masses: Array, temperature: float, statistics: Statistics, floor: float
    ) -> GaussianState:
        """Return the state of full Φ2, (n_atoms, n_atoms, 3, 3) eV/Å²."""
        n = len(masses)
        roots = np.repeat(np.sqrt(masses), 3)
        matrix = second.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n) / np.outer(roots, roots)
        modes = solve_points(0.5 * (matrix + matrix.T)[None], np.zeros((1, 3)), np.ones(1), masses)
        absolute = np.maximum(np.abs(modes.frequencies), floor)
        sigma = np.sqrt(mean_squares(absolute, temperature, statistics))
        sigma[modes.rigid] = 0.0
        free = harmonic_free_energy(modes, temperature, statistics=statistics, floor=floor)
        return cls(modes, sigma[0], roots, free)

    @property
    def n_imaginary(self) -> int:
        """Modes without a restoring force."""
        return self.modes.count_below(-1e-9)

    def draw(self, n_pairs: int, generator: np.random.Generator) -> Array:
        """Return displacements +u and -u in turn, (2 n_pairs, n_atoms, 3) Å.

        The symmetric square root of the covariance does not depend on the basis chosen within
        degenerate modes, so that equal force constants give equal displacements.
        """
        vectors = self.modes.vectors[0]
        root = (vectors * self.sigma) @ vectors.T / self.root_masses
        plus = generator.standard_normal((n_pairs, len(root))) @ root
        both = np.stack([plus, -plus], axis=1)
        return np.asarray(both.reshape(2 * n_pairs, -1, 3))

    def log_density(self, displacements: Array) -> Array:
        """Return log ρ of displacements, (n,), up to a constant common to all states."""
        moving = ~self.modes.rigid[0]
        flat = displacements.reshape(len(displacements), -1) * self.root_masses
        scaled = flat @ self.modes.vectors[0][:, moving] / self.sigma[moving]
        return np.asarray(-0.5 * (scaled**2).sum(axis=1) - np.log(self.sigma[moving]).sum())


def importance_weights(target: Array, sources: Array, counts: Array) -> Array:
    """Return weights that turn samples of several densities into samples of one; mean near one.

    ``w = ρ_target / Σ_b (n_b / n) ρ_b``: the samples are those of the mixture of all batches.

    Parameters
    ----------
    target : ndarray, (n,)
        log ρ_target of each sample.
    sources : ndarray, (n_batches, n)
        log ρ_b of each sample.
    counts : ndarray, (n_batches,)
        Samples drawn from each density.
    """
    shares = np.log(counts / counts.sum())[:, None]
    mixture = np.logaddexp.reduce(sources + shares, axis=0)
    # The cap only keeps exp finite; such weights have no effective sample size anyway.
    return np.asarray(np.exp(np.minimum(target - mixture, 500.0)))


def effective_share(weights: Array) -> float:
    """Return the effective sample size (Σw)²/Σw² as a share of the number of samples."""
    return float(weights.sum() ** 2 / (len(weights) * (weights**2).sum()))

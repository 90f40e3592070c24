r"""Four-phonon rates from a sample of the pairs (q', q''), with their standard errors.

A draw is a pair of wave vectors, a cluster of :math:`n_b^3` processes for every mode at q. The
pairs are drawn without replacement from strata of q', equally many from each. The rate follows from
the ratio estimator (or a mean of it and of the plain one)

.. math:: \hat\Gamma = P\, \frac{\hat Y}{\hat X},

with :math:`\hat Y` the sampled sum, :math:`\hat X` the same sum with :math:`|V_4|^2 = 1`, and P its
exact value (:mod:`.phase_space`), channel by channel: the fluctuation of the number of processes on
the energy shell cancels (W. G. Cochran, Sampling Techniques, 3rd ed. (1977), chapters 5 and 6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.phonon.scattering.four_phonon import FourPhononDraws
from elphant.phonon.scattering.mesh import ReciprocalMesh

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Strata of q', and with it the number of draws of a round.
STRATA = 4

#: Populations up to this size are shuffled as a whole.
SHUFFLE_LIMIT = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairDraws:
    """Pairs of one round, and where they come from.

    Attributes
    ----------
    pairs : ndarray of int, (n_draws,)
        ``index(q') * n_points + index(q'')``.
    stratum : ndarray of int, (n_draws,)
    sizes : ndarray of int, (n_strata,)
        Pairs in each stratum.
    """

    pairs: Integers
    stratum: Integers
    sizes: Integers


def draw_pairs(
    mesh: ReciprocalMesh, point: int, *, seed: int, first: int, count: int, strata: int = STRATA
) -> PairDraws:
    """Return the draws ``first`` to ``first + count`` (exclusive) of every stratum.

    The sequence of a stratum depends on the seed, the point and the mesh alone, so that rounds can
    be computed in any order and anywhere, and adding a round leaves the earlier ones as they are.
    A stratum that is used up gives no more.
    """
    n = mesh.n_points
    blocks = np.array_split(np.arange(n), min(strata, n))
    pairs, stratum = [], []
    for h, block in enumerate(blocks):
        size = len(block) * n
        generator = np.random.default_rng([seed, point, h])
        local = _distinct(generator, size, min(first + count, size))[first:]
        pairs.append(block[local // n] * n + local % n)
        stratum.append(np.full(len(local), h))
    return PairDraws(
        pairs=np.concatenate(pairs).astype(np.int64),
        stratum=np.concatenate(stratum).astype(np.int64),
        sizes=np.array([len(block) * n for block in blocks], dtype=np.int64),
    )


def _distinct(generator: np.random.Generator, size: int, count: int) -> Integers:
    """Return the first ``count`` entries of a random order of ``range(size)``."""
    if size <= SHUFFLE_LIMIT:
        return np.asarray(generator.permutation(size)[:count])
    found: dict[int, None] = {}
    while len(found) < count:
        # One at a time, so that the sequence does not depend on how many are asked for.
        found.setdefault(int(generator.integers(size)))
    return np.fromiter(found, dtype=np.int64, count=count)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FourPhononRates:
    """Four-phonon rates at one irreducible point with what their errors follow from.

    Attributes
    ----------
    rates : ndarray, (n_t, n_channels, n_modes) ps⁻¹
    residuals : ndarray, (n_draws, n_t, n_modes) ps⁻¹
        Contribution of each draw to the error of the total rate: the estimator is linear in them
        around the truth, and their weighted sum over the draws is zero.
    stratum : ndarray of int, (n_draws,)
    sizes : ndarray of int, (n_strata,)
        Both empty for an exact sum.
    """

    rates: Array
    residuals: Array
    stratum: Integers
    sizes: Integers

    def __post_init__(self) -> None:
        n_t, _, n_modes = np.shape(self.rates)
        n_draws = len(self.residuals)
        for name, shape, dtype in (
            ("rates", (n_t, None, n_modes), float),
            ("residuals", (n_draws, n_t, n_modes), float),
            ("stratum", (n_draws,), int),
            ("sizes", (None,), int),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    def variance(self, gradients: Array) -> Array:
        """Return the variance of linear functions of the total rates.

        Parameters
        ----------
        gradients : ndarray, (n_functions, n_t, n_modes)
            Derivatives with respect to the rates of the modes at this point.

        Returns
        -------
        ndarray, (n_functions, n_t)
            Within-stratum variance with the correction for a finite population; the correlation
            between modes that share a draw is kept.
        """
        values = np.einsum("ftl,dtl->dft", gradients, self.residuals)
        total = np.zeros(values.shape[1:])
        for h, size in enumerate(self.sizes):
            members = values[self.stratum == h]
            n = len(members)
            if n >= size:
                continue
            spread = members.var(axis=0, ddof=1) if n > 1 else np.full(total.shape, np.inf)
            total += size**2 * (1.0 - n / size) * spread / n
        return total

    @property
    def standard_errors(self) -> Array:
        """Standard error of the total rate of each mode, (n_t, n_modes) ps⁻¹."""
        n_t, _, n_modes = self.rates.shape
        single = np.eye(n_modes)[:, None, :].repeat(n_t, axis=1)
        return np.asarray(np.sqrt(self.variance(single)).T)


def expansion_weights(stratum: Integers, sizes: Integers) -> Array:
    """Return how many pairs of the population each draw stands for, (n_draws,)."""
    counts = np.bincount(stratum, minlength=len(sizes))
    return np.asarray((sizes / np.maximum(counts, 1))[stratum])


def exact_rates(draws: FourPhononDraws) -> FourPhononRates:
    """Return the rates from draws that are the whole population, each pair once."""
    _, n_t, _, n_modes = draws.weighted.shape
    return FourPhononRates(
        rates=draws.weighted.sum(axis=0),
        residuals=np.zeros((0, n_t, n_modes)),
        stratum=np.zeros(0, dtype=np.int64),
        sizes=np.zeros(0, dtype=np.int64),
    )


def ratio_rates(
    draws: FourPhononDraws, stratum: Integers, sizes: Integers, phase_space: Array
) -> FourPhononRates:
    r"""Return the rates of the ratio estimator, as far as the sample supports it.

    Parameters
    ----------
    draws : FourPhononDraws
        All rounds so far.
    stratum, sizes : ndarray
        Of the draws.
    phase_space : ndarray, (n_t, n_channels, n_modes)
        Exact value P of the auxiliary variable.

    Notes
    -----
    The estimate is :math:`\hat Y\,[1 + \lambda (P/\hat X - 1)]`. With :math:`\lambda = 1` it is
    the ratio estimator and with 0 the plain expansion; the value in between with the smallest
    variance is taken from the draws, one for all modes of a point and a temperature, because the
    ratio helps only where :math:`|V_4|^2` varies less than the phase space. A sample that is the
    whole population gives the exact sum.
    """
    weights = expansion_weights(stratum, sizes)
    if len(stratum) == sizes.sum():
        return exact_rates(draws)
    sampled = np.einsum("d,dtcl->tcl", weights, draws.weighted)
    auxiliary = np.einsum("d,dtcl->tcl", weights, draws.phase_space)
    found = auxiliary > 0.0
    ratio = np.where(found, sampled / np.where(found, auxiliary, 1.0), 0.0)
    predicted = ratio * draws.phase_space
    share = _optimal_share(draws.weighted, predicted, sampled, stratum)[:, None, None]
    correction = np.where(found, phase_space / np.where(found, auxiliary, 1.0), 1.0)
    residuals = (draws.weighted - share * predicted).sum(axis=2)
    return FourPhononRates(
        rates=sampled * (1.0 + share * (correction - 1.0)),
        residuals=residuals,
        stratum=stratum,
        sizes=sizes,
    )


def _optimal_share(weighted: Array, predicted: Array, sampled: Array, stratum: Integers) -> Array:
    """Return the share of the ratio correction with the smallest pooled variance, (n_t,)."""
    total = sampled.sum(axis=1)
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0.0)
    covariance = np.zeros(len(sampled))
    variance = np.zeros(len(sampled))
    for h in np.unique(stratum):
        y = weighted[stratum == h].sum(axis=2) * scale
        x = predicted[stratum == h].sum(axis=2) * scale
        x = x - x.mean(axis=0)
        covariance += (x * (y - y.mean(axis=0))).sum(axis=(0, 2))
        variance += (x * x).sum(axis=(0, 2))
    share = np.divide(covariance, variance, out=np.zeros_like(covariance), where=variance > 0.0)
    return np.clip(share, 0.0, 1.0)

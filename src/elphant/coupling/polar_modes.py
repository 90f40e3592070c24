r"""Which phonons carry macroscopic fields: permittivity, LO character and Fröhlich's α.

With the dipole per cell of mode ν at Γ, :math:`p_{\nu,\beta} = \sum_{\kappa\alpha} Z_{\kappa,
\beta\alpha}\, e_{\kappa\alpha,\nu} / \sqrt{M_\kappa}`, the permittivity of the crystal with nuclei
that follow a static field is

.. math:: \varepsilon^0 = \varepsilon^\infty + \frac{4\pi}{\Omega} \frac{e^2}{4\pi\epsilon_0}
          \sum_{\nu \in \mathrm{optical}} \frac{p_\nu^* \otimes p_\nu}{\omega_\nu^2}

without the non-analytical correction (X. Gonze and C. Lee, Phys. Rev. B 55, 10355 (1997), equation
67). With the correction for q → 0 along n, the modes LO(n) give what their fields screen,

.. math:: \kappa_\nu(n) = \frac{4\pi}{\Omega} \frac{e^2}{4\pi\epsilon_0}
          \frac{|n \cdot p_\nu|^2}{(n \cdot \varepsilon^\infty \cdot n)^2\, \omega_\nu^2},
          \qquad \sum_\nu \kappa_\nu(n) = \frac{1}{n \cdot \varepsilon^\infty \cdot n}
          - \frac{1}{n \cdot \varepsilon^0 \cdot n},

and couple to electrons as

.. math:: |g_\nu|^2 \to \frac{e^2}{4\pi\epsilon_0} \frac{2\pi}{\Omega q^2}\, \hbar\omega_\nu\,
          \kappa_\nu(n), \qquad
          \alpha = \Big\langle \sum_\nu \sqrt{\frac{\mathrm{Ry}\, m(n)}{\hbar\omega_\nu}}\,
          \kappa_\nu(n) \Big\rangle_n

in the convention in which sums over q carry 1/N (H. Fröhlich, Adv. Phys. 3, 325 (1954) for one mode
and one direction; several modes and all directions in the manner of A. Miglio et al., npj Comput.
Mater. 6, 167 (2020), with m(n) in place of integrals over anisotropic masses).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.errors import PhysicsError
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.plane_wave_sums import shortest_images
from elphant.phonon.unit_cell_modes import UnitCellModes, UnitCellPhonons
from elphant.units import (
    ANGSTROM_PER_BOHR,
    EV_PER_HARTREE,
    PLANCK_EV_PS,
    THZ_SQUARED_FROM_DYNAMICAL_MATRIX,
)

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Optical modes at Γ below this frequency (THz) leave no meaningful static permittivity.
LOWEST_OPTICAL = 0.05

#: Polar angles of the directions over which is averaged; twice as many azimuths.
N_POLAR = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolarModes:
    """Polar phonons at Γ.

    Attributes
    ----------
    epsilon_infinity, epsilon_static : ndarray, (3, 3)
        Permittivity with nuclei at rest, and with nuclei that follow.
    transverse_frequencies : ndarray, (n_modes,) THz
        Γ without non-analytical correction.
    contributions : ndarray, (n_modes, 3, 3)
        Share of each of them in the static permittivity; zero for the acoustic ones.
    directions : ndarray, (n_directions, 3)
        Unit vectors, Cartesian.
    weights : ndarray, (n_directions,)
        Share of the sphere (of both ±n) that each stands for; they add up to one.
    frequencies : ndarray, (n_directions, n_modes) THz
        Γ as the limit along each direction.
    couplings : ndarray, (n_directions, n_modes)
        κ_ν(n).
    """

    epsilon_infinity: Array
    epsilon_static: Array
    transverse_frequencies: Array
    contributions: Array
    directions: Array
    weights: Array
    frequencies: Array
    couplings: Array

    def __post_init__(self) -> None:
        n, n_modes = len(self.directions), len(self.transverse_frequencies)
        for name, shape in (
            ("epsilon_infinity", (3, 3)),
            ("epsilon_static", (3, 3)),
            ("transverse_frequencies", (n_modes,)),
            ("contributions", (n_modes, 3, 3)),
            ("directions", (n, 3)),
            ("weights", (n,)),
            ("frequencies", (n, n_modes)),
            ("couplings", (n, n_modes)),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape))

    @property
    def inverse_difference(self) -> float:
        """Mean over directions of 1/ε∞ - 1/ε0."""
        return float(self.weights @ self.couplings.sum(axis=1))

    @property
    def effective_frequency(self) -> float:
        r"""One LO frequency in the place of all, THz.

        .. math:: \omega^2 = \sum_\nu \kappa_\nu \omega_\nu^2 \Big/ \sum_\nu \kappa_\nu

        averaged over directions: scheme B of R. W. Hellwarth and I. Biaggio, Phys. Rev. B 60, 299
        (1999), equations 58 and 59. NaN if no mode is polar.
        """
        total = self.inverse_difference
        if not total > 0.0:
            return float("nan")
        squares = (self.couplings * self.frequencies**2).sum(axis=1)
        return float((self.weights @ squares / total) ** 0.5)

    def frohlich(self, mass: ArrayLike) -> FrohlichCoupling:
        """Return the coupling of carriers of an effective mass.

        Parameters
        ----------
        mass : float or (3, 3) array, electron masses
            A number, or the effective-mass tensor; of the tensor m(n) = 1/(n·m⁻¹·n).

        Raises
        ------
        ValueError
            If the mass is not positive.
        """
        m = np.asarray(mass, dtype=float)
        tensor = m * np.eye(3) if m.ndim == 0 else m
        if tensor.shape != (3, 3) or not np.linalg.eigvalsh(tensor).min() > 0.0:
            raise ValueError(f"the effective mass {m.tolist()} is not positive")
        inverse = np.linalg.inv(tensor)
        of_direction = 1.0 / ((self.directions @ inverse) * self.directions).sum(axis=1)
        energy = PLANCK_EV_PS * np.where(self.couplings > 0.0, self.frequencies, 1.0)
        rydberg = 0.5 * EV_PER_HARTREE
        parts = np.sqrt(rydberg * of_direction[:, None] / energy) * self.couplings
        by_direction = parts.sum(axis=1)
        return FrohlichCoupling(
            alpha=float(self.weights @ by_direction),
            omega_thz=self.effective_frequency,
            epsilon_static=self.epsilon_static,
            by_direction=by_direction,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrohlichCoupling:
    """Fröhlich's dimensionless coupling constant.

    Attributes
    ----------
    alpha : float
        Sum over modes, mean over directions.
    omega_thz : float, THz
        :attr:`PolarModes.effective_frequency`.
    epsilon_static : ndarray, (3, 3)
    by_direction : ndarray, (n_directions,)
        α for phonons along each of the directions of :class:`PolarModes`.
    """

    alpha: float
    omega_thz: float
    epsilon_static: Array
    by_direction: Array

    @property
    def polaron_radius_factor(self) -> float:
        r"""Length (Å) that divided by the square root of the mass is the radius of the polaron.

        :math:`r = \sqrt{\hbar / 2 m \omega}`; long-range coupling means that it is longer than
        the bonds.
        """
        energy = PLANCK_EV_PS * self.omega_thz
        return float((0.5 * EV_PER_HARTREE / energy) ** 0.5 * ANGSTROM_PER_BOHR)

    def to_dict(self) -> dict[str, Any]:
        """Return the record stored in ``results.json``."""
        return {
            "alpha": self.alpha,
            "omega_thz": self.omega_thz,
            "epsilon_static": self.epsilon_static.tolist(),
        }


def polar_modes(phonons: UnitCellPhonons, *, n_polar: int = N_POLAR) -> PolarModes:
    """Return the polar phonons of a crystal.

    Parameters
    ----------
    phonons : UnitCellPhonons
        With Born charges.
    n_polar : int
        Polar angles of the directions; twice as many azimuths on half a turn.

    Raises
    ------
    ValueError
        If the phonons have no Born charges.
    PhysicsError
        If an optical mode at Γ is imaginary or nearly so: a static field has no answer.
    """
    data = phonons.dielectric
    if data is None:
        raise ValueError("phonons without Born charges have no polar modes")
    at_gamma = phonons.modes([[0.0, 0.0, 0.0]])
    contributions = static_contributions(at_gamma, data, phonons.crystal)
    directions, weights = _half_sphere(n_polar)
    frequencies, couplings = [], []
    for n in directions:
        # Fractional coordinates of a Cartesian direction of the reciprocal lattice.
        modes = phonons.modes([[0.0, 0.0, 0.0]], direction=n @ phonons.crystal.lattice.T)
        p = mode_dipoles(modes, data, phonons.crystal)[0] @ n
        f = modes.frequencies[0]
        polar = f > LOWEST_OPTICAL
        strength = np.abs(p) ** 2 / np.where(polar, f, 1.0) ** 2 * polar
        scale = _prefactor(data, phonons.crystal) / float(n @ data.epsilon_infinity @ n) ** 2
        frequencies.append(f)
        couplings.append(strength * scale)
    return PolarModes(
        epsilon_infinity=data.epsilon_infinity,
        epsilon_static=data.epsilon_infinity + contributions.sum(axis=0),
        transverse_frequencies=at_gamma.frequencies[0],
        contributions=contributions,
        directions=directions,
        weights=weights,
        frequencies=np.array(frequencies),
        couplings=np.array(couplings),
    )


def static_contributions(
    at_gamma: UnitCellModes, dielectric: DielectricData, crystal: Crystal
) -> Array:
    """Return the contribution of each mode to the static permittivity, (n_modes, 3, 3).

    Parameters
    ----------
    at_gamma : UnitCellModes
        First of its points: Γ without non-analytical correction.
    dielectric : DielectricData
    crystal : Crystal

    Raises
    ------
    PhysicsError
        If an optical mode is imaginary or nearly so.
    """
    f = at_gamma.frequencies[0]
    optical = np.ones(len(f), dtype=bool)
    optical[_acoustic(at_gamma)] = False
    if optical.any() and f[optical].min() < LOWEST_OPTICAL:
        raise PhysicsError(
            f"an optical mode at Γ has the frequency {f[optical].min():.3f} THz.",
            "A static field moves the atoms without limit, so there is no static permittivity.",
            "Relax the structure further, or see whether it has a phase of lower symmetry.",
        )
    p = mode_dipoles(at_gamma, dielectric, crystal)[0]
    squares = np.where(optical, f, np.inf) ** 2
    products = np.einsum("sa,sb->sab", p.conj(), p).real
    return np.asarray(_prefactor(dielectric, crystal) * products / squares[:, None, None])


def mode_dipoles(modes: UnitCellModes, dielectric: DielectricData, crystal: Crystal) -> Complex:
    """Return p of every mode, (n_q, n_modes, 3) e amu^(-1/2).

    Away from Γ it is the amplitude of the wave of dipoles, in the phase of the positions of the
    atoms, in the first Brillouin zone.
    """
    n_q, n_modes = modes.frequencies.shape
    e = modes.eigenvectors.reshape(n_q, -1, 3, n_modes) / modes.masses[:, None, None] ** 0.5
    q = shortest_images(modes.q_points, crystal)
    phase = np.exp(-2j * np.pi * (q @ crystal.fractional.T))
    return np.asarray(
        np.einsum("qk,kba,qkas->qsb", phase, dielectric.born_charges, e, optimize=True)
    )


def lo_character(
    modes: UnitCellModes,
    dielectric: DielectricData,
    crystal: Crystal,
    *,
    direction: ArrayLike | None = None,
) -> Array:
    r"""Return the share of each mode in the longitudinal dipoles, (n_q, n_modes).

    .. math:: |q \cdot p_\nu|^2 \Big/ \sum_{\nu'} |q \cdot p_{\nu'}|^2

    Parameters
    ----------
    modes : UnitCellModes
    dielectric : DielectricData
    crystal : Crystal
    direction : array_like, (3,), optional
        Direction of q at Γ, in the reciprocal lattice; zeros are returned there without it.
    """
    reciprocal = np.linalg.inv(crystal.lattice).T
    n = shortest_images(modes.q_points, crystal) @ reciprocal
    gamma = np.linalg.norm(n, axis=1) < 1e-10
    if direction is not None:
        n[gamma] = np.asarray(direction, dtype=float) @ reciprocal
    strength = np.abs(np.einsum("qb,qsb->qs", n, mode_dipoles(modes, dielectric, crystal))) ** 2
    total = strength.sum(axis=1, keepdims=True)
    return np.asarray(strength / np.where(total > 0.0, total, 1.0))


def _prefactor(dielectric: DielectricData, crystal: Crystal) -> float:
    """Return 4π e²/(4πε0 Ω) in THz² amu."""
    strength = 4.0 * np.pi * dielectric.coulomb_constant / crystal.volume
    return float(strength * THZ_SQUARED_FROM_DYNAMICAL_MATRIX)


def _acoustic(at_gamma: UnitCellModes) -> NDArray[np.int64]:
    """Return the three modes in which all atoms move most alike."""
    root = np.sqrt(at_gamma.masses / at_gamma.masses.sum())
    e = at_gamma.eigenvectors[0].reshape(len(root), 3, -1)
    overlap = (np.abs(np.einsum("k,kas->as", root, e)) ** 2).sum(axis=0)
    return np.sort(np.argsort(-overlap, kind="stable")[:3])


def _half_sphere(n_polar: int) -> tuple[Array, Array]:
    """Return directions on half a sphere and their weights: Gauss points times equal angles."""
    cosine, weight = np.polynomial.legendre.leggauss(n_polar)
    angle = (np.arange(2 * n_polar) + 0.5) * np.pi / (2 * n_polar)
    sine = np.sqrt(1.0 - cosine**2)[:, None]
    vectors = np.stack(
        [
            sine * np.cos(angle),
            sine * np.sin(angle),
            np.repeat(cosine[:, None], len(angle), axis=1),
        ],
        axis=-1,
    )
    weights = np.repeat(weight, len(angle)) / (2.0 * len(angle))
    return vectors.reshape(-1, 3), weights

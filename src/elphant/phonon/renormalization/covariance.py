"""Correlation of the displacements of atoms in harmonic phonons, quantum or classical."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.errors import PhysicsError
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.renormalization.second_order import half_of, mesh_points
from elphant.units import BOLTZMANN_EV, PLANCK_EV_PS, THZ_PER_SQRT_EV_A2_AMU

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Statistics = Literal["quantum", "classical"]
ImaginaryModes = Literal["floor", "absolute", "error"]

#: eV of 1 amu Å² THz² (ordinary frequency): m (2πf)² = m f² / THZ_PER_SQRT_EV_A2_AMU².
EV_PER_AMU_A2_THZ2 = 1.0 / THZ_PER_SQRT_EV_A2_AMU**2

#: Modes below this frequency (THz) are treated as if they had it.
FLOOR_THZ = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class PointModes:
    """Phonons at a list of q points that stands for a whole mesh.

    Attributes
    ----------
    q_points : ndarray, (n_q, 3)
    weights : ndarray, (n_q,)
        Points of the mesh that each one stands for (itself and -q).
    eigenvalues : ndarray, (n_q, n_modes) eV Å⁻² amu⁻¹
        Of the dynamical matrix, ascending. The three translations at Γ come last and are zero.
    vectors : ndarray, (n_q, n_modes, n_modes) complex
        Eigenvectors in the columns, lattice phase.
    rigid : ndarray of bool, (n_q, n_modes)
        The three translations at Γ, which take part in nothing.
    """

    q_points: Array
    weights: Array
    eigenvalues: Array
    vectors: Complex
    rigid: NDArray[np.bool_]

    @property
    def frequencies(self) -> Array:
        """Frequencies, (n_q, n_modes) THz; imaginary ones negative, translations zero."""
        return signed_frequencies(self.eigenvalues)

    @property
    def minimum(self) -> float:
        """Lowest frequency of the modes that take part, THz."""
        return float(self.frequencies[~self.rigid].min())

    def count_below(self, limit: float) -> int:
        """Return how many modes of the whole mesh lie below ``limit`` (THz)."""
        below = (self.frequencies < limit) & ~self.rigid
        return int((below.sum(axis=1) * self.weights).sum())

    @property
    def n_modes(self) -> int:
        """Modes of the whole mesh that take part."""
        return int(((~self.rigid).sum(axis=1) * self.weights).sum())


def signed_frequencies(eigenvalues: Array) -> Array:
    """Return ordinary frequencies (THz) of eigenvalues in eV Å⁻² amu⁻¹, imaginary ones negative."""
    return np.asarray(np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_PER_SQRT_EV_A2_AMU)


def solve_points(
    matrices: Complex | Array, q_points: Array, weights: Array, masses: Array
) -> PointModes:
    """Diagonalise dynamical matrices; at Γ the three translations are split off exactly.

    Parameters
    ----------
    matrices : ndarray, (n_q, n_modes, n_modes) complex or real, eV Å⁻² amu⁻¹
    q_points, weights : ndarray, (n_q, 3) and (n_q,)
    masses : ndarray, (n_atoms,) amu
    """
    gamma = np.abs(q_points - np.rint(q_points)).max(axis=1) < 1e-8
    rigid = np.zeros(matrices.shape[:2], dtype=bool)
    if gamma.any():
        matrices = matrices.copy()
        translations = _translations(masses)
        projector = np.eye(len(translations)) - translations @ translations.T
        # Moved above all other modes, so that they are the last three however soft the others.
        top = 2.0 * np.abs(matrices[gamma]).sum(axis=2).max() + 1.0
        matrices[gamma] = (
            projector @ matrices[gamma] @ projector + top * translations @ translations.T
        )
        rigid[gamma, -3:] = True
    eigenvalues, vectors = np.linalg.eigh(matrices)
    eigenvalues[rigid] = 0.0
    return PointModes(q_points, weights, eigenvalues, vectors, rigid)


def _translations(masses: Array) -> Array:
    """Return the three normalised translations, (3 n_atoms, 3)."""
    weights = np.sqrt(masses / masses.sum())
    return np.kron(weights[:, None], np.eye(3))


def mean_squares(
    frequencies: Array, temperature: float, statistics: Statistics = "quantum"
) -> Array:
    r"""Return the mean square of each normal coordinate, Å² amu.

    .. math:: \langle Q^2 \rangle = \frac{\hbar}{2\omega} \coth\frac{\hbar\omega}{2 k_B T}
              \quad\text{or classically}\quad \frac{k_B T}{\omega^2}

    Frequencies in ordinary THz, all positive; temperature in K.
    """
    if statistics == "classical":
        return np.asarray(BOLTZMANN_EV * temperature / (EV_PER_AMU_A2_THZ2 * frequencies**2))
    # ħ/(2ω) = h f / (2 ω²) and ω² of 1 amu is EV_PER_AMU_A2_THZ2 f² in eV/Å².
    zero_point = PLANCK_EV_PS / (2.0 * EV_PER_AMU_A2_THZ2 * frequencies)
    return np.asarray(zero_point * _one_plus_two_n(frequencies, temperature))


def _one_plus_two_n(frequencies: Array, temperature: float) -> Array:
    if temperature <= 0.0:
        return np.ones_like(frequencies)
    x = PLANCK_EV_PS * frequencies / (2.0 * BOLTZMANN_EV * temperature)
    return np.asarray(1.0 / np.tanh(np.minimum(x, 350.0)))


def mode_covariance(
    modes: PointModes,
    temperature: float,
    *,
    statistics: Statistics = "quantum",
    imaginary: ImaginaryModes = "floor",
    floor: float = FLOOR_THZ,
) -> Complex:
    """Return ``<Q Q†>(q)``, (n_q, n_modes, n_modes) Å² amu, mass weighted, lattice phase.

    The translations at Γ are left out. ``imaginary`` says what an imaginary mode counts as: one of
    frequency ``floor`` (THz), one of its absolute frequency, or an error. No mode is taken to be
    softer than ``floor``.
    """
    frequencies = modes.frequencies
    n_imaginary = modes.count_below(-1e-9)
    if imaginary == "error" and n_imaginary:
        raise PhysicsError(
            f"{n_imaginary} of {modes.n_modes} modes are imaginary; the lowest frequency is "
            f"{modes.minimum:.3f} THz.",
            "Atoms have no mean square displacement in a mode without a restoring force.",
            "Renormalise the force constants first, or treat such modes as absolute values.",
        )
    if imaginary == "absolute":
        frequencies = np.abs(frequencies)
    squares = mean_squares(np.maximum(frequencies, floor), temperature, statistics)
    squares[modes.rigid] = 0.0
    return np.asarray(
        (modes.vectors * squares[:, None, :]) @ modes.vectors.conj().transpose(0, 2, 1)
    )


class CovarianceTransform:
    r"""From ``<Q Q†>(q)`` to the correlation of two atoms at given lattice distances.

    .. math:: \langle u_{\kappa a}(0)\, u_{\kappa' b}(R) \rangle = \frac{1}{N \sqrt{m_\kappa
              m_{\kappa'}}} \sum_q \langle Q Q^\dagger \rangle_{\kappa a, \kappa' b}(q)
              \, e^{-2\pi i q R}

    The points stand for q and -q, so that the real part is the whole sum.
    """

    def __init__(self, q_points: Array, weights: Array, masses: Array, cells: ArrayLike) -> None:
        phases = np.exp(-2j * np.pi * np.asarray(cells) @ q_points.T) * (weights / weights.sum())
        self._real, self._imaginary = phases.real.copy(), phases.imag.copy()
        self._scale = np.repeat(1.0 / np.sqrt(masses), 3)

    def __call__(self, covariance: Complex) -> Array:
        """Return the correlations, (n_cells, 3 n_atoms, 3 n_atoms) Å²."""
        n = covariance.shape[1]
        flat = covariance.reshape(len(covariance), n * n)
        summed = self._real @ flat.real - self._imaginary @ flat.imag
        scale = self._scale[:, None] * self._scale[None, :]
        return np.asarray(summed.reshape(-1, n, n) * scale)


@dataclass(frozen=True, slots=True, eq=False)
class DisplacementCovariance:
    """Correlation of the displacements of two atoms.

    Attributes
    ----------
    cells : ndarray of int, (n_cells, 3)
        Lattice translation R of the second atom's cell from that of the first.
    values : ndarray, (n_cells, n_atoms, 3, n_atoms, 3) Å²
        ``<u_κa(0) u_κ'b(R)>``, working frame.
    n_imaginary : int
        Imaginary modes of the mesh, treated by the policy asked for.
    n_floored : int
        Modes of the mesh raised to the lowest frequency allowed, imaginary ones included.
    """

    cells: NDArray[np.int64]
    values: Array
    n_imaginary: int
    n_floored: int


def displacement_covariance(
    force_constants: ForceConstants,
    temperature: float,
    divisions: ArrayLike | None = None,
    cells: ArrayLike = ((0, 0, 0),),
    *,
    statistics: Statistics = "quantum",
    imaginary: ImaginaryModes = "error",
    floor: float = 0.0,
) -> DisplacementCovariance:
    """Return the displacement correlations of a crystal.

    Parameters
    ----------
    force_constants : ForceConstants
    temperature : float, K
    divisions : three int, optional
        Γ-centred mesh of the reciprocal primitive cell; the points that fit the second-order
        supercell when left out.
    cells : (n_cells, 3) array of int
        Lattice distances, in primitive vectors.
    statistics, imaginary, floor
        As for :func:`mode_covariance`.
    """
    from elphant.phonon.adapters import renormalization_adapter as adapter

    crystal = adapter.HarmonicCrystal(force_constants)
    lattice = crystal.lattice
    points = lattice.commensurate_points() if divisions is None else mesh_points(divisions)
    half, weights = half_of(points)
    points = points[half]
    matrices = crystal.dynamical_matrices(points)
    modes = solve_points(matrices, points, weights, lattice.masses)
    floor = max(floor, 1e-6)
    covariance = mode_covariance(
        modes, temperature, statistics=statistics, imaginary=imaginary, floor=floor
    )
    n = lattice.n_atoms
    values = CovarianceTransform(points, weights, lattice.masses, cells)(covariance)
    floored = np.abs(modes.frequencies) if imaginary == "absolute" else modes.frequencies
    n_floored = int((((floored < floor) & ~modes.rigid).sum(axis=1) * weights).sum())
    return DisplacementCovariance(
        np.asarray(cells, dtype=np.int64),
        values.reshape(-1, n, 3, n, 3),
        modes.count_below(-1e-9),
        n_floored,
    )


def harmonic_free_energy(
    modes: PointModes,
    temperature: float,
    *,
    statistics: Statistics = "quantum",
    floor: float = FLOOR_THZ,
) -> float:
    r"""Return the harmonic free energy, eV per primitive cell.

    .. math:: F = \frac{1}{N} \sum_{qs} \left[ \frac{\hbar\omega}{2}
              + k_B T \ln\left(1 - e^{-\hbar\omega/k_B T}\right) \right]

    Classically ``k_B T ln(ħω / k_B T)``. Modes softer than ``floor`` (THz) count as if they had it.
    """
    taking_part = ~modes.rigid
    frequencies = np.maximum(modes.frequencies, floor)
    energy = PLANCK_EV_PS * frequencies
    thermal = BOLTZMANN_EV * temperature
    if statistics == "classical":
        values = thermal * np.log(energy / thermal) if thermal > 0.0 else np.zeros_like(energy)
    else:
        values = 0.5 * energy
        if thermal > 0.0:
            values = values + thermal * np.log(-np.expm1(-energy / thermal))
    summed = np.where(taking_part, values, 0.0).sum(axis=1)
    return float((summed * modes.weights).sum() / modes.weights.sum())


#: ħ in eV ps, for comparisons with formulas in angular frequency.
HBAR_EV_PS = PLANCK_EV_PS / (2.0 * pi)

r"""The bubble: real part of the self energy of two cubic vertices.

A. A. Maradudin and A. E. Fein, Phys. Rev. 128, 2589 (1962), equation 4.20; in the symbols of the
scattering rates, with q + q' + q'' = G and ordered sums,

.. math:: \Delta_s(\Omega) = \frac{\hbar}{16 N} \sum_{q' s' s''} \frac{|V_3|^2}
   {\omega \omega' \omega''} \Big\{ (1 + n' + n'') \Big[ \frac{1}{\Omega - \omega' - \omega''}
   - \frac{1}{\Omega + \omega' + \omega''} \Big] + (n' - n'') \Big[ \frac{1}{\Omega + \omega' -
   \omega''} - \frac{1}{\Omega - \omega' + \omega''} \Big] \Big\}_P

At Ω = 0 this is a correction of the dynamical matrix, the second derivative of the free energy
with respect to the mean positions (R. Bianco et al., Phys. Rev. B 96, 014111 (2017), without the
fourth-order dressing), and has no poles.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import pi
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.errors import ConfigurationError
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.harmonic import IMAGINARY_LIMIT
from elphant.phonon.renormalization.covariance import (
    FLOOR_THZ,
    HBAR_EV_PS,
    PointModes,
    solve_points,
)
from elphant.phonon.renormalization.result import (
    RenormalizedForceConstants,
    Variant,
    stability_flag,
    sum_rule_flags,
)
from elphant.phonon.renormalization.second_order import (
    SecondOrderLattice,
    half_of,
    mesh_points,
)
from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.quality import check_below
from elphant.units import BOLTZMANN_EV, THZ_PER_SQRT_EV_A2_AMU

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: amu Å² ps⁻² of 1 eV.
AMU_A2_PER_PS2_PER_EV = (2.0 * pi * THZ_PER_SQRT_EV_A2_AMU) ** 2

#: Memory of the vertices handled at a time, bytes.
CHUNK_BYTES = 2e8


@dataclass(frozen=True, slots=True, eq=False)
class BubbleCorrection:
    """Static bubble in the layout of Φ2.

    Attributes
    ----------
    correction : ndarray, (n_atoms, n_supercell, 3, 3) eV/Å²
        To be added to Φ2.
    n_excluded : int
        Modes of the mesh below the lowest frequency allowed (imaginary ones included), which
        were left out of the sums; the translations at Γ are not counted.
    """

    correction: Array
    n_excluded: int


def static_bubble(
    force_constants: ForceConstants,
    third: SparseForceConstants,
    temperature: float,
    divisions: ArrayLike | None = None,
    *,
    floor: float = FLOOR_THZ,
) -> BubbleCorrection:
    """Return the correction of Φ2 by the bubble at zero frequency.

    It is calculated at the points that fit the second-order supercell and transformed back.

    Parameters
    ----------
    force_constants : ForceConstants
        Φ2 of the phonons in the loop: harmonic or renormalised.
    third : SparseForceConstants
        Third order.
    temperature : float, K
    divisions : three int, optional
        Γ-centred mesh of q'; the points that fit the supercell when left out.
    floor : float, THz
        Modes below it take no part.
    """
    sums = _BubbleSums(force_constants, third, temperature, divisions, floor)
    points = sums.lattice.commensurate_points()
    half, _ = half_of(points)
    n = 3 * sums.lattice.n_atoms
    matrices = np.zeros((len(points), n, n), dtype=complex)
    negative = _index_of(points, -points)
    for i in half:
        matrices[i] = sums.static_matrix(points[i])
        # D(-q) = D(q)*.
        matrices[negative[i]] = matrices[i].conj()
    correction = sums.lattice.correction_from_matrices(matrices)
    return BubbleCorrection(correction, sums.n_excluded)


def bubble_shifts(
    force_constants: ForceConstants,
    third: SparseForceConstants,
    temperature: float,
    q_points: ArrayLike,
    divisions: ArrayLike | None = None,
    *,
    broadening: float = 0.1,
    floor: float = FLOOR_THZ,
) -> tuple[Array, Array]:
    """Return frequencies and their bubble shifts on the shell, Ω = ω, at given q points.

    Principal values 1/x are taken as x / (x² + ε²) with ε = 2π ``broadening``.

    Parameters
    ----------
    force_constants, third, temperature, divisions, floor
        As for :func:`static_bubble`.
    q_points : (n_q, 3) array
        Reciprocal primitive cell.
    broadening : float, THz

    Returns
    -------
    frequencies : ndarray, (n_q, n_modes) THz
        Ascending, with the three translations at Γ last and zero.
    shifts : ndarray, (n_q, n_modes) THz
        Zero for modes below ``floor``. Renormalised: ``sqrt(ω² + 2 ω Δ)``.
    """
    sums = _BubbleSums(force_constants, third, temperature, divisions, floor)
    points = np.atleast_2d(np.asarray(q_points, dtype=float))
    results = [sums.on_shell(q, 2.0 * pi * broadening) for q in points]
    return np.array([r[0] for r in results]), np.array([r[1] for r in results])


def with_bubble(
    renormalized: RenormalizedForceConstants,
    third: SparseForceConstants,
    divisions: ArrayLike | None = None,
    *,
    floor: float = FLOOR_THZ,
) -> RenormalizedForceConstants:
    """Return a renormalisation with the static bubble of its own phonons added.

    The free energy and the standard errors stay those of the self-consistent solution; flags are
    added for the stability and the sum rules after the correction.
    """
    if "bubble" in renormalized.variant:
        raise ConfigurationError(
            f"the '{renormalized.variant}' force constants contain the bubble already."
        )
    from elphant.phonon.adapters import renormalization_adapter as adapter

    fc = renormalized.force_constants
    bubble = static_bubble(fc, third, renormalized.temperature, divisions, floor=floor)
    second = np.asarray(fc.second + bubble.correction)
    corrected = replace(fc, second=second)
    points = renormalized.q_points
    crystal = adapter.HarmonicCrystal(corrected)
    lattice, matrices = crystal.lattice, crystal.dynamical_matrices(points)
    modes = solve_points(matrices, points, np.ones(len(points)), lattice.masses)
    n_after = modes.count_below(-IMAGINARY_LIMIT)
    flags = (
        *(f for f in renormalized.flags if f.name != "renormalized_stability"),
        stability_flag(
            renormalized.temperature, renormalized.n_imaginary_before, n_after, modes.n_modes,
            (renormalized.minimum_before, modes.minimum),
            where="with bubble, at points that fit the supercell",
        ),
        *sum_rule_flags(np.asarray(fc.second), second, lattice.transposed(second)),
        check_below(
            "bubble_excluded_modes",
            float(bubble.n_excluded),
            0.0,
            f"{bubble.n_excluded} modes below {floor:g} THz were left out of the bubble",
        ),
    )  # fmt: skip
    return replace(
        renormalized,
        force_constants=corrected,
        variant=cast(Variant, f"{renormalized.variant}+bubble"),
        frequencies_after=np.sort(modes.frequencies, axis=1),
        minimum_after=modes.minimum,
        n_imaginary_after=n_after,
        flags=flags,
    )


class _BubbleSums:
    """Phonons of the mesh and cubic vertices with the first leg left open."""

    def __init__(
        self,
        force_constants: ForceConstants,
        third: SparseForceConstants,
        temperature: float,
        divisions: ArrayLike | None,
        floor: float,
    ) -> None:
        from elphant.phonon.adapters import renormalization_adapter as adapter

        if third.order != 3:
            raise ConfigurationError(
                f"the bubble needs third-order force constants, not order {third.order}."
            )
        self._crystal = adapter.HarmonicCrystal(force_constants)
        self._temperature, self._floor = temperature, floor
        self.lattice: SecondOrderLattice = self._crystal.lattice
        self._mesh = (
            self.lattice.commensurate_points() if divisions is None else mesh_points(divisions)
        )
        self._vertices = _Vertices(third, self.lattice.masses)
        self._modes = self._solve(self._mesh)
        below = (self._modes.frequencies < floor) & ~self._modes.rigid
        self.n_excluded = int(below.sum())

    def _solve(self, points: Array) -> PointModes:
        matrices = self._crystal.dynamical_matrices(points)
        return solve_points(matrices, points, np.ones(len(points)), self.lattice.masses)

    def _open_vertices(self, q: Array) -> Iterator[tuple[Complex, Array, Array]]:
        """Yield (n_modes, n', n'') vertices and both partners' frequencies (rad/ps) for each q'."""
        others = -q - self._mesh
        partners = self._solve(others)
        step = self._vertices.points_per_chunk
        for start in range(0, len(self._mesh), step):
            part = slice(start, start + step)
            tensors = self._vertices(self._mesh[part], others[part])
            for i, tensor in enumerate(tensors, start):
                first = np.tensordot(tensor, self._modes.vectors[i], axes=(1, 0))
                both = np.tensordot(first, partners.vectors[i], axes=(1, 0))
                omega = [
                    2.0 * pi * np.where(m.frequencies[i] < self._floor, 0.0, m.frequencies[i])
                    for m in (self._modes, partners)
                ]
                yield both, omega[0], omega[1]

    def static_matrix(self, q: Array) -> Complex:
        r"""Return ``ΔD_ab(q) = ħ/(8N) Σ V*_a V_b F(0) / (ω' ω'')``, eV Å⁻² amu⁻¹."""
        total = np.zeros((3 * self.lattice.n_atoms,) * 2, dtype=complex)
        for vertex, first, second in self._open_vertices(q):
            weights = self._static_factor(first, second)
            flat = vertex.reshape(len(vertex), -1)
            total += (flat.conj() * weights.ravel()) @ flat.T
        scale = HBAR_EV_PS / (8.0 * len(self._mesh)) * AMU_A2_PER_PS2_PER_EV**2
        return np.asarray(0.5 * scale * (total + total.conj().T))

    def on_shell(self, q: Array, epsilon: float) -> tuple[Array, Array]:
        """Return frequencies and shifts (THz) at one q point."""
        modes = self._solve(q[None])
        frequencies = modes.frequencies[0]
        omega = 2.0 * pi * np.where(frequencies < self._floor, 0.0, frequencies)
        total = np.zeros(len(omega))
        for vertex, first, second in self._open_vertices(q):
            squares = np.abs(np.tensordot(modes.vectors[0].T, vertex, axes=(1, 0))) ** 2
            factor = self._dynamic_factor(omega, first, second, epsilon)
            total += np.einsum("sij,sij->s", squares, factor)
        scale = HBAR_EV_PS / (16.0 * len(self._mesh)) * AMU_A2_PER_PS2_PER_EV**3
        shifts = scale * total / np.where(omega > 0.0, omega, np.inf) / (2.0 * pi)
        return frequencies, np.asarray(shifts)

    def _static_factor(self, first: Array, second: Array) -> Array:
        """Return F(0) / (ω' ω''), (n', n''), zero where a mode takes no part."""
        a, b, product = _pairs(first, second)
        n_a, n_b = self._bose(a), self._bose(b)
        difference = a - b
        close = np.abs(difference) < 1e-5 * (a + b)
        ratio = (n_a - n_b) / np.where(close, 1.0, difference)
        ratio = np.where(close, self._bose_slope(0.5 * (a + b)), ratio)
        factor = -2.0 * (1.0 + n_a + n_b) / (a + b) + 2.0 * ratio
        return np.asarray(factor * product)

    def _dynamic_factor(self, omega: Array, first: Array, second: Array, epsilon: float) -> Array:
        """Return F(Ω = ω_s) / (ω' ω''), (n_modes, n', n'')."""
        a, b, product = _pairs(first, second)
        n_a, n_b = self._bose(a), self._bose(b)
        w = omega[:, None, None]

        def principal(x: Array) -> Array:
            return x / (x**2 + epsilon**2)

        factor = (1.0 + n_a + n_b) * (principal(w - a - b) - principal(w + a + b))
        factor += (n_a - n_b) * (principal(w + a - b) - principal(w - a + b))
        return np.asarray(factor * product)

    def _bose(self, omega: Array) -> Array:
        if self._temperature <= 0.0:
            return np.zeros_like(omega)
        x = HBAR_EV_PS * omega / (BOLTZMANN_EV * self._temperature)
        return np.asarray(1.0 / np.expm1(np.minimum(x, 700.0)))

    def _bose_slope(self, omega: Array) -> Array:
        if self._temperature <= 0.0:
            return np.zeros_like(omega)
        n = self._bose(omega)
        return np.asarray(-n * (n + 1.0) * HBAR_EV_PS / (BOLTZMANN_EV * self._temperature))


def _pairs(first: Array, second: Array) -> tuple[Array, Array, Array]:
    """Return both frequencies on a grid, and 1/(ω' ω''), zero where either takes no part."""
    takes_part = (first > 0.0)[:, None] & (second > 0.0)[None, :]
    a, b = np.broadcast_arrays(first[:, None], second[None, :])
    a, b = np.where(takes_part, a, 1.0), np.where(takes_part, b, 1.0)
    return a, b, np.where(takes_part, 1.0 / (a * b), 0.0)


class _Vertices:
    """Mass-weighted third order Fourier transformed over the second and third atom."""

    def __init__(self, third: SparseForceConstants, masses: Array) -> None:
        from scipy.sparse import csr_array

        n = third.n_primitive
        self._n = 3 * n
        cells, index = np.unique(third.cells.reshape(-1, 6), axis=0, return_inverse=True)
        self._cells = cells
        i, j, k = third.atoms.T
        scale = 1.0 / np.sqrt(masses[i] * masses[j] * masses[k])
        a, b, c = (x.ravel() for x in np.indices((3, 3, 3)))
        lines = ((3 * i[:, None] + a) * 3 * n + 3 * j[:, None] + b) * 3 * n + 3 * k[:, None] + c
        values = third.blocks.reshape(-1, 27) * scale[:, None]
        columns = np.repeat(index.reshape(-1), 27)
        self._matrix: Any = csr_array(
            (values.ravel(), (lines.ravel(), columns)), shape=((3 * n) ** 3, len(cells))
        )

    @property
    def points_per_chunk(self) -> int:
        """Points whose vertices fit in the memory set aside."""
        return max(1, int(CHUNK_BYTES / (48.0 * self._n**3)))

    def __call__(self, second: Array, third: Array) -> Complex:
        """Return ``Σ Φ3 exp(iq'·R2 + iq''·R3) / sqrt(mmm)``, (n_q, n_modes, n_modes, n_modes)."""
        phases = np.exp(2j * np.pi * (self._cells[:, :3] @ second.T + self._cells[:, 3:] @ third.T))
        summed = self._matrix @ phases.real + 1j * (self._matrix @ phases.imag)
        return np.ascontiguousarray(summed.T).reshape(-1, self._n, self._n, self._n)


def _index_of(points: Array, wanted: Array) -> NDArray[np.int64]:
    """Return the index of each wanted point, up to reciprocal lattice vectors."""
    miss = points[None] - wanted[:, None]
    return np.asarray(np.abs(miss - np.rint(miss)).max(axis=2).argmin(axis=1))

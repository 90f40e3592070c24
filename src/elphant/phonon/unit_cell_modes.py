r"""Phonons of the user's cell, in the phase convention of local-orbital matrix elements.

A displacement wave moves atom κ of cell R by :math:`e_\kappa(q)\, e^{iq \cdot R}`: eigenvectors in
the *lattice phase*, periodic in the reciprocal lattice. They are those of the usual position phase
times :math:`e^{iq \cdot \tau_\kappa}`. The dynamical matrix is

.. math:: D_{\kappa\alpha,\kappa'\beta}(q) = \frac{1}{\sqrt{M_\kappa M_{\kappa'}}} \Big[ \sum_R
          \Phi^S_{\kappa\alpha,\kappa'\beta}(R)\, e^{iq \cdot R}
          + C_{\kappa\alpha,\kappa'\beta}(q) - \delta_{\kappa\kappa'} \sum_{\kappa''}
          C_{\kappa\alpha,\kappa''\beta}(0) \Big]

.. math:: C_{\kappa\alpha,\kappa'\beta}(q) = \frac{4\pi}{\Omega}\, \frac{e^2}{4\pi\epsilon_0}
          \sum_{Q = q + G \ne 0} \frac{(Q \cdot Z_\kappa)_\alpha (Q \cdot Z_{\kappa'})_\beta}
          {Q \cdot \varepsilon \cdot Q}\, e^{-Q \cdot \varepsilon \cdot Q / 4\Lambda^2}\,
          e^{iQ \cdot (\tau_\kappa - \tau_{\kappa'})}

(X. Gonze and C. Lee, Phys. Rev. B 55, 10355 (1997), equation 71, reciprocal part). The short-range
constants are those that phonopy finds by taking C off at the wave vectors of the supercell, and the
sum runs over the same G, so that frequencies are phonopy's. Many wave vectors at a time are a few
matrix products; what takes time is the eigenproblem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.errors import StructureError
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.plane_wave_sums import PlaneWaveSums, shortest_images
from elphant.units import THZ_PER_SQRT_EV_A2_AMU

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

#: Largest distance (Å) between an atom of the force constants and of the crystal.
SAME_POSITION = 1e-2

#: Bytes of intermediate arrays.
CHUNK_BYTES = 96e6

#: Cartesian step (Å⁻¹, 2π included) of the derivative of the dynamical matrix.
VELOCITY_STEP = 1e-5

#: Frequencies (THz) closer than this belong to one degenerate set.
DEGENERACY_THZ = 1e-4

#: Modes below this frequency (THz) have no velocity: at Γ it depends on the direction.
LOWEST_THZ = 1e-3

#: Direction along which velocities of degenerate modes are told apart, as in phonopy.
GENERAL_DIRECTION = np.array([1.0, 2.0, 3.0]) / 14.0**0.5

#: Pairs of Cartesian components of a symmetric tensor, and where each component finds its pair.
_PAIRS = np.array([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)])
_PLACE = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitCellModes:
    """Phonons at wave vectors of the reciprocal lattice of the user's cell.

    Attributes
    ----------
    q_points : ndarray, (n_q, 3)
        2π not included.
    frequencies : ndarray, (n_q, n_modes) THz
        Ascending; imaginary ones negative.
    eigenvectors : ndarray, (n_q, 3 n_atoms, n_modes) complex
        Lattice phase, atoms in the order of the crystal.
    masses : ndarray, (n_atoms,) amu
    velocities : ndarray, (n_q, n_modes, 3) Å THz, or None
        Group velocities dω/dq, Cartesian. Zero for modes below :data:`LOWEST_THZ`.
    """

    q_points: Array
    frequencies: Array
    eigenvectors: Complex
    masses: Array
    velocities: Array | None = None

    def __post_init__(self) -> None:
        n_q, n_modes = len(self.q_points), 3 * len(self.masses)
        for name, shape, dtype in (
            ("q_points", (n_q, 3), float),
            ("frequencies", (n_q, n_modes), float),
            ("eigenvectors", (n_q, n_modes, n_modes), complex),
            ("masses", (n_modes // 3,), float),
            ("velocities", (n_q, n_modes, 3), float),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_array(name, value, shape, dtype))


@dataclass(frozen=True, kw_only=True, eq=False)
class ShortRange:
    """Force constants of what is left when the field of the dipoles is taken off.

    Attributes
    ----------
    cells : ndarray of int, (n_R, 3)
        Cell of the second atom, the first being in the home cell; -R with every R.
    constants : ndarray, (n_R, 3 n_atoms, 3 n_atoms) eV/Å²
        Shared between equally near images of the supercell.
    """

    cells: Integers
    constants: Array

    def __post_init__(self) -> None:
        n = len(self.cells)
        object.__setattr__(self, "cells", checked_array("cells", self.cells, (n, 3), np.int64))
        side = self.constants.shape[-1]
        constants = checked_array("constants", self.constants, (n, side, side))
        object.__setattr__(self, "constants", constants)


@dataclass(frozen=True, kw_only=True, eq=False)
class DipoleForces:
    """Input of the dipole sum C(q), atoms in the order of the crystal.

    Attributes
    ----------
    born_charges : ndarray, (n_atoms, 3, 3) e
    epsilon_infinity : ndarray, (3, 3)
    coulomb_constant : float, eV Å
    range_parameter : float, Å⁻¹
        Λ.
    waves : ndarray of int, (n_G, 3)
    gamma_tolerance : float, Å⁻¹
        A shorter wave vector counts as Γ.
    """

    born_charges: Array
    epsilon_infinity: Array
    coulomb_constant: float
    range_parameter: float
    waves: Integers
    gamma_tolerance: float


class UnitCellPhonons:
    """Phonons of all atoms of a crystal's own cell, which may be larger than the primitive one.

    Parameters
    ----------
    force_constants : ForceConstants
        With or without the non-analytical correction. Masses are those of its cell.
    crystal : Crystal
        The same structure; its atoms may come in another order or another periodic image.

    Attributes
    ----------
    crystal : Crystal
    masses : ndarray, (n_atoms,) amu
    dielectric : DielectricData or None
        That of the force constants, in the order of the crystal.

    Raises
    ------
    StructureError
        If the force constants belong to another structure.
    """

    def __init__(self, force_constants: ForceConstants, crystal: Crystal) -> None:
        from elphant.phonon.adapters.unit_cell_adapter import harmonic_parts

        self.crystal = crystal
        order = _same_atoms(force_constants.unitcell, crystal)
        self.masses = force_constants.unitcell.masses[order]
        data = force_constants.dielectric
        self.dielectric: DielectricData | None = (
            None if data is None else replace(data, born_charges=data.born_charges[order])
        )
        short, self._dipoles = harmonic_parts(force_constants, crystal, order)
        # Of R and -R one is enough: a real part from cosines, an imaginary one from sines.
        kept = [i for i, R in enumerate(short.cells.tolist()) if R >= [0, 0, 0]]
        self._cells = short.cells[kept]
        roots = np.repeat(self.masses, 3) ** -0.5
        constants = short.constants[kept] * roots[:, None] * roots
        constants[self._cells.any(axis=1)] *= 2.0
        transposed = constants.swapaxes(1, 2)
        self._even = (0.5 * (constants + transposed)).reshape(len(kept), -1)
        self._odd = (0.5 * (constants - transposed)).reshape(len(kept), -1)
        self._roots = roots
        self._sums: PlaneWaveSums | None = None
        if self._dipoles is not None:
            self._sums = PlaneWaveSums(crystal, self._dipoles.waves)
            at_zero = self._dipole_sum(np.zeros((1, 3)), None)[0]
            n = crystal.n_atoms
            totals = at_zero.reshape(n, 3, n, 3).sum(axis=2).real
            self._self_forces = 0.5 * (totals + totals.swapaxes(1, 2))

    def modes(
        self,
        q_points: ArrayLike,
        *,
        direction: ArrayLike | None = None,
        velocities: bool = False,
    ) -> UnitCellModes:
        """Return the phonons at ``q_points`` (n_q, 3).

        Parameters
        ----------
        q_points : array_like, (n_q, 3)
            In the reciprocal lattice of the cell, anywhere.
        direction : array_like, (3,), optional
            Direction of q → 0 in the same coordinates, for the non-analytical correction at Γ,
            which is left out without it.
        velocities : bool
            Whether to compute group velocities. Those of degenerate modes are told apart along
            :data:`GENERAL_DIRECTION`.
        """
        q = np.atleast_2d(np.asarray(q_points, dtype=float))
        reduced = shortest_images(q, self.crystal)
        n_modes = 3 * self.crystal.n_atoms
        frequencies = np.empty((len(q), n_modes))
        vectors = np.empty((len(q), n_modes, n_modes), dtype=np.complex128)
        slopes = np.zeros((len(q), n_modes, 3)) if velocities else None
        size = self._points_at_once()
        for start in range(0, len(q), size):
            part = slice(start, start + size)
            values, vectors[part] = np.linalg.eigh(self._matrices(reduced[part], direction))
            frequencies[part] = np.sign(values) * np.abs(values) ** 0.5 * THZ_PER_SQRT_EV_A2_AMU
            if slopes is not None:
                slopes[part] = self._velocities(reduced[part], frequencies[part], vectors[part])
        return UnitCellModes(
            q_points=q, frequencies=frequencies, eigenvectors=vectors, masses=self.masses,
            velocities=slopes,
        )  # fmt: skip

    def dynamical_matrices(
        self, q_points: ArrayLike, *, direction: ArrayLike | None = None
    ) -> Complex:
        """Return D, (n_q, 3 n_atoms, 3 n_atoms) eV Å⁻² amu⁻¹, lattice phase; see :meth:`modes`."""
        q = shortest_images(np.atleast_2d(np.asarray(q_points, dtype=float)), self.crystal)
        size = self._points_at_once()
        parts = [self._matrices(q[i : i + size], direction) for i in range(0, len(q), size)]
        return np.concatenate(parts)

    def _points_at_once(self) -> int:
        per_point = 2 * 16 * self._even.shape[1]
        if self._sums is not None:
            per_point += self._sums.bytes_per_point(len(_PAIRS))
        return max(1, int(CHUNK_BYTES / per_point))

    def _matrices(self, q: Array, direction: ArrayLike | None) -> Complex:
        """Return D at wave vectors of the first zone, or very close to it."""
        angle = 2.0 * np.pi * (q @ self._cells.T)
        n_modes = len(self._roots)
        flat = np.empty((len(q), n_modes * n_modes), dtype=np.complex128)
        # Σ over R and -R of Φ(R) e^{iqR} with Φ(-R) = Φ(R)ᵀ.
        flat.real = np.cos(angle) @ self._even
        flat.imag = np.sin(angle) @ self._odd
        D = flat.reshape(len(q), n_modes, n_modes)
        if self._sums is not None:
            C = self._dipole_sum(q, direction).reshape(len(q), -1, 3, n_modes // 3, 3)
            atoms = np.arange(n_modes // 3)
            C[:, atoms, :, atoms] -= self._self_forces[:, None]
            D += C.reshape(D.shape) * self._roots[:, None] * self._roots
        return D

    def _dipole_sum(self, q: Array, direction: ArrayLike | None) -> Complex:
        """Return C, (n_q, 3 n_atoms, 3 n_atoms) eV/Å²."""
        data, sums = self._dipoles, self._sums
        assert data is not None
        assert sums is not None
        Q = sums.wave_vectors(q)
        metric = ((Q @ data.epsilon_infinity) * Q).sum(axis=2)
        zero = (Q**2).sum(axis=2) < data.gamma_tolerance**2
        weight = np.exp(-metric / (4.0 * data.range_parameter**2)) / np.where(zero, 1.0, metric)
        weight *= 4.0 * np.pi * data.coulomb_constant / self.crystal.volume
        weight[zero] = 0.0
        b, c = _PAIRS.T
        Q = Q.transpose(2, 0, 1)
        T = sums(q, np.stack([weight * Q[i] * Q[j] for i, j in _PAIRS], axis=1))
        if direction is not None and zero.any():
            n = np.asarray(direction, dtype=float) @ np.linalg.inv(self.crystal.lattice).T
            limit = n[b] * n[c] / (n @ data.epsilon_infinity @ n)
            limit *= 4.0 * np.pi * data.coulomb_constant / self.crystal.volume
            T[zero.any(axis=1)] += limit[:, None, None]
        # Σ_bc Z_κ,bα T_bc,κκ' Z_κ',cβ
        Z, n_atoms = data.born_charges, self.crystal.n_atoms
        C = np.zeros((len(q), n_atoms, 3, n_atoms, 3), dtype=np.complex128)
        half = np.zeros((3, len(q), n_atoms, 3, n_atoms), dtype=np.complex128)
        for b in range(3):
            for c in range(3):
                half[c] += Z[:, b, :, None] * T[:, _PLACE[b, c], :, None]
        for c in range(3):
            C += half[c][..., None] * Z[:, c]
        return C.reshape(len(q), 3 * n_atoms, -1)

    def _velocities(self, q: Array, frequencies: Array, vectors: Complex) -> Array:
        """Return dω/dq by perturbation theory, (n_q, n_modes, 3) Å THz."""
        to_fractional = self.crystal.lattice.T / (2.0 * np.pi)
        slopes = np.empty((3, *vectors.shape), dtype=np.complex128)
        for axis, step in enumerate(VELOCITY_STEP * to_fractional):
            change = self._matrices(q + step, None) - self._matrices(q - step, None)
            slopes[axis] = change / (2.0 * VELOCITY_STEP)
        bras = vectors.conj().swapaxes(1, 2)
        diagonal = np.einsum("qsi,aqij,qjs->qsa", bras, slopes, vectors, optimize=True).real
        gaps = np.diff(frequencies, axis=1) < DEGENERACY_THZ
        for point in np.flatnonzero(gaps.any(axis=1)):
            bounds = np.flatnonzero(~gaps[point]) + 1
            for members in np.split(np.arange(len(self._roots)), bounds):
                if len(members) > 1:
                    e = vectors[point][:, members]
                    inside = e.conj().T @ slopes[:, point] @ e
                    _, rotation = np.linalg.eigh(np.tensordot(GENERAL_DIRECTION, inside, 1))
                    turned = rotation.conj().T @ inside @ rotation
                    diagonal[point, members] = np.einsum("ass->sa", turned).real
        moving = frequencies > LOWEST_THZ
        scale = np.pi * THZ_PER_SQRT_EV_A2_AMU**2 / np.where(moving, frequencies, np.inf)
        return np.asarray(diagonal * scale[..., None])


def _same_atoms(of_constants: Crystal, crystal: Crystal) -> Integers:
    """Return for each atom of the crystal its index in the cell of the force constants."""
    same_cell = (
        of_constants.n_atoms == crystal.n_atoms
        and np.abs(of_constants.lattice - crystal.lattice).max() < SAME_POSITION
    )
    if same_cell:
        offset = crystal.fractional[:, None] - of_constants.fractional[None]
        offset -= np.rint(offset)
        distance = np.linalg.norm(offset @ crystal.lattice, axis=2)
        distance[crystal.numbers[:, None] != of_constants.numbers[None]] = np.inf
        order = distance.argmin(axis=1)
        if distance.min(axis=1).max() < SAME_POSITION and len(set(order.tolist())) == len(order):
            return np.asarray(order, dtype=np.int64)
    raise StructureError(
        f"the force constants belong to another structure ({of_constants}) than the Hamiltonian "
        f"({crystal}).",
        "Phonons and electrons must refer to the same cell and the same atoms.",
        "Use the same structure file for both, and --no-relax or --relax for both.",
    )

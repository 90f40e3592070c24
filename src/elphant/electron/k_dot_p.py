r"""Second-order k·p models of a set of bands, exact to O(q²) in a non-orthogonal basis.

At k0 the complete set of eigenvectors C (C†SC = 1) turns H(k0 + q) and S(k0 + q) into

.. math:: h(q) = \varepsilon + q_\alpha h_\alpha + \tfrac12 q_\alpha q_\beta h_{\alpha\beta},
   \qquad s(q) = 1 + q_\alpha s_\alpha + \tfrac12 q_\alpha q_\beta s_{\alpha\beta}.

Symmetric orthonormalisation :math:`s^{-1/2} h s^{-1/2}` is expanded to second order, and the bands
outside the set A are folded in (P.-O. Löwdin, J. Chem. Phys. 19, 1396 (1951); the symmetrised
denominators of R. Winkler, Spin-Orbit Coupling Effects in Two-Dimensional Electron and Hole
Systems (2003), appendix B). For one band, or one degenerate set, the second-order part is the
inverse-mass matrix with all overlap terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.orbitals import LatticeMatrix, LocalOrbitalHamiltonian, bloch_derivative, solve
from elphant.orbitals.bloch import SECOND, Complex, Gauge, gauge_phases

Array = NDArray[np.float64]

#: Position of the component (α, β) among the six independent second derivatives.
COMPONENT = np.zeros((3, 3), dtype=np.int64)
for _position, (_a, _b) in enumerate(SECOND):
    COMPONENT[_a, _b] = COMPONENT[_b, _a] = _position


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KDotPModel:
    r"""Effective Hamiltonian :math:`\varepsilon + q_\alpha W_\alpha + \frac12 q_\alpha q_\beta D`.

    Attributes
    ----------
    k_point : ndarray, (3,)
        Expansion point, in the reciprocal lattice of the cell.
    first_band : int
        Index of the lowest band of the set.
    all_energies : ndarray, (n_orbitals,) eV
        All bands at ``k_point``.
    energies : ndarray, (n_set,) eV
        Those of the set.
    first : ndarray, (3, n_set, n_set) eV Å
        W.
    second : ndarray, (3, 3, n_set, n_set) eV Å²
        D, symmetric in the Cartesian indices.
    reciprocal : ndarray, (3, 3) Å⁻¹
        Reciprocal lattice vectors with 2π, rows.
    """

    k_point: Array
    first_band: int
    all_energies: Array
    energies: Array
    first: Complex
    second: Complex
    reciprocal: Array

    def __post_init__(self) -> None:
        n = len(self.energies)
        for name, shape, dtype in (
            ("k_point", (3,), float),
            ("all_energies", (None,), float),
            ("energies", (n,), float),
            ("first", (3, n, n), complex),
            ("second", (3, 3, n, n), complex),
            ("reciprocal", (3, 3), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    def matrices(self, q: ArrayLike) -> Complex:
        """Return the effective Hamiltonian at Cartesian offsets ``q`` (n, 3) in Å⁻¹."""
        q = np.atleast_2d(np.asarray(q, dtype=float))
        n = len(self.energies)
        squares = np.stack([q[:, a] * q[:, b] * (0.5 if a == b else 1.0) for a, b in SECOND], 1)
        second = np.array([self.second[a, b].ravel() for a, b in SECOND])
        total = q.astype(complex) @ self.first.reshape(3, -1) + squares.astype(complex) @ second
        return np.asarray(total.reshape(-1, n, n) + np.diag(self.energies))

    def bands(self, q: ArrayLike) -> Array:
        """Return the energies of the set at ``q`` (n, 3) Å⁻¹, (n, n_set) eV."""
        return np.asarray(np.linalg.eigvalsh(self.matrices(q)))

    def bands_and_velocities(self, q: ArrayLike) -> tuple[Array, Complex]:
        """Return energies (n, n_set) and velocity matrices (n, 3, n_set, n_set) in eV Å.

        The velocities are those of the model itself: derivatives of its matrix, between its
        eigenvectors.
        """
        q = np.atleast_2d(np.asarray(q, dtype=float))
        energies, vectors = np.linalg.eigh(self.matrices(q))
        n = len(self.energies)
        slope = q.astype(complex) @ self.second.reshape(3, -1)
        slope = slope.reshape(len(q), 3, n, n) + self.first
        vectors = vectors[:, None]
        return energies, np.swapaxes(vectors.conj(), -1, -2) @ slope @ vectors


def expand(
    hamiltonian: LocalOrbitalHamiltonian,
    k_point: ArrayLike,
    bands: tuple[int, int],
    *,
    separation: float = 0.0,
    damping: float = 0.0,
    gauge: Gauge = "atomic",
) -> KDotPModel:
    """Expand the bands ``bands[0]`` ... ``bands[1] - 1`` around ``k_point`` to second order.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    k_point : array_like, (3,)
    bands : (int, int)
        First band and one past the last; cut off at the ends of the spectrum.
    separation : float, eV
        The set grows until all other bands are at least this far from it.
    damping : float, eV
        Bands outside the set that are closer than about this to a band of it act on that band
        less: at the ends of a wide set their term would otherwise grow without bound away from
        k0, and bend bands of the set through the others. Zero keeps every term exact.
    gauge : {"atomic", "lattice"}
        Changes the model beyond O(q²) only; the atomic gauge follows the bands further.
    """
    k_point = checked_array("k_point", k_point, (3,))
    crystal = hamiltonian.crystal
    states = solve(hamiltonian, k_point[None])
    energies, c = states.energies[0], states.coefficients[0]
    if gauge == "atomic":
        c = gauge_phases(crystal, hamiltonian.basis.atom, k_point[None])[0].conj()[:, None] * c
    bands = separated_set(energies, (max(bands[0], 0), min(bands[1], len(energies))), separation)
    chosen = slice(*bands)
    c_set = c[:, chosen]

    def derivatives(matrix: LatticeMatrix, order: int) -> Complex:
        at_k = bloch_derivative(matrix, k_point[None], crystal, order=order, gauge=gauge)
        return np.asarray(at_k[0])

    def between(matrices: Complex, right: Complex) -> Complex:
        return np.asarray((c_set.conj().T @ matrices) @ right)

    h1 = between(derivatives(hamiltonian.hamiltonian, 1), c)
    h2 = between(derivatives(hamiltonian.hamiltonian, 2), c_set)
    if hamiltonian.overlap is None:
        s1, s2 = np.zeros_like(h1), np.zeros_like(h2)
    else:
        s1 = between(derivatives(hamiltonian.overlap, 1), c)
        s2 = between(derivatives(hamiltonian.overlap, 2), c_set)
    first, second = _fold(energies, chosen, h1, s1, h2, s2, damping)
    return KDotPModel(
        k_point=k_point,
        first_band=bands[0],
        all_energies=energies,
        energies=energies[chosen],
        first=first,
        second=second,
        reciprocal=np.asarray(2.0 * np.pi * np.linalg.inv(crystal.lattice).T),
    )


def _fold(
    energies: Array,
    chosen: slice,
    h1: Complex,
    s1: Complex,
    h2: Complex,
    s2: Complex,
    damping: float,
) -> tuple[Complex, Complex]:
    """Return W (3, n, n) and D (3, 3, n, n) of the set.

    ``h1``, ``s1`` (3, n_set, n_orbitals) are first derivatives between the set and all bands;
    ``h2``, ``s2`` (6, n_set, n_set) second derivatives inside the set.
    """
    inside = energies[chosen]
    # First order between the set and all bands, after orthonormalisation.
    w = h1 - 0.5 * (inside[:, None] + energies) * s1
    outside = np.ones(len(energies), dtype=bool)
    outside[chosen] = False
    w_out = w[:, :, outside]
    distance = inside[:, None] - energies[outside]
    inverse = 1.0 / distance
    if damping:
        # Flat at large distances: bands far from the ends of the set keep their exact curvature.
        inverse *= -np.expm1(-((distance / damping) ** 4))
    second = np.zeros((3, 3, len(inside), len(inside)), dtype=np.complex128)
    for a, b in SECOND:
        # q_a q_b terms of s^(-1/2) h s^(-1/2), once for each order of the two directions.
        term = np.zeros_like(second[a, b])
        for x, y in ((a, b), (b, a)):
            term -= 0.5 * (s1[x] @ h1[y].conj().T + h1[x] @ s1[y].conj().T)
            square = s1[x] @ s1[y].conj().T
            term += 0.375 * (inside[:, None] + inside) * square
            term += 0.25 * (s1[x] * energies) @ s1[y].conj().T
            term += 0.5 * ((w_out[x] * inverse) @ w_out[y].conj().T)
            term += 0.5 * (w_out[x] @ (w_out[y] * inverse).conj().T)
        position = COMPONENT[a, b]
        term += h2[position] - 0.5 * (inside[:, None] + inside) * s2[position]
        second[a, b] = second[b, a] = 0.5 * (term + term.conj().T)
    first = w[:, :, chosen]
    return 0.5 * (first + np.swapaxes(first.conj(), -1, -2)), second


def separated_set(energies: ArrayLike, bands: tuple[int, int], tolerance: float) -> tuple[int, int]:
    """Widen a range of bands until no band outside lies within ``tolerance`` (eV) of its ends.

    Parameters
    ----------
    energies : array_like, (n_bands,) eV
        Ascending.
    bands : (int, int)
        First band and one past the last.
    tolerance : float, eV
    """
    energies = np.asarray(energies, dtype=float)
    first, last = bands
    while first > 0 and energies[first] - energies[first - 1] < tolerance:
        first -= 1
    while last < len(energies) and energies[last] - energies[last - 1] < tolerance:
        last += 1
    return first, last

r"""Electronic polarisation as Berry phases of strings of k points, for non-orthogonal orbitals.

R. D. King-Smith and D. Vanderbilt, Phys. Rev. B 47, 1651 (1993). A string runs once across the
reciprocal cell along one axis; its phase is

.. math:: \varphi = -\mathrm{Im} \ln \prod_s \det \langle u_{m k_s} | u_{n k_{s+1}} \rangle
        = \oint \sum_n \langle u_n | i\partial_k u_n \rangle \cdot dk

over the filled bands, and :math:`\varphi/2\pi` is the sum of their Wannier centres in units of the
lattice vector. In the atomic gauge the overlap of neighbours is

.. math:: \langle u_{m k} | u_{n k+b} \rangle = c_m^\dagger
        [S(\bar k) - i\, b \cdot D(\bar k) + O(b^2)]\, c_n, \qquad \bar k = k + b/2,

with the dipoles D of :mod:`elphant.electron.dielectric.position`; without a position matrix it is
:math:`c_m^\dagger S^{1/2}(k)\, S^{1/2}(k+b)\, c_n`, exact for point charges. At the
midpoint S and D are Hermitian, so that the link from k + b to k is the conjugate of the one from k
to k + b: the phase is odd in b, its error of even order, :math:`O(b^2)` for the whole string. Every
second point of a string is a string too; the two together remove that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.electron.dielectric.position import (
    VectorMatrix,
    bond_dipoles,
    orthonormal_coefficients,
    overlap_or_identity,
)
from elphant.errors import ConfigurationError, PhysicsError
from elphant.grids.irreducible import irreducible_mesh
from elphant.orbitals import LatticeMatrix, LocalOrbitalHamiltonian
from elphant.orbitals.bloch import bloch_sum, gauge_phases
from elphant.orbitals.eigenproblem import batches, solve

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Mesh = tuple[int, int, int]

#: Largest change of a string phase (rad) between two geometries that is followed without doubt.
PHASE_LIMIT = np.pi / 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BerryPhases:
    """Phases of the strings of one crystal, each modulo 2π.

    Attributes
    ----------
    axis : ndarray of int, (n_strings,)
        Reciprocal axis along which a string runs.
    start : ndarray, (n_strings, 3)
        Its first k point.
    weight : ndarray, (n_strings,)
        Share of each string; they sum to 1 for each axis.
    phase : ndarray, (n_strings,) rad
        With all points of the string.
    coarse_phase : ndarray, (n_strings,) rad
        With every second point.
    electrons_per_band : int
    """

    axis: NDArray[np.int64]
    start: Array
    weight: Array
    phase: Array
    coarse_phase: Array
    electrons_per_band: int

    def __post_init__(self) -> None:
        n = len(self.axis)
        object.__setattr__(self, "axis", checked_array("axis", self.axis, (n,), np.int64))
        object.__setattr__(self, "start", checked_array("start", self.start, (n, 3)))
        for name in ("weight", "phase", "coarse_phase"):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), (n,)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, to store the result of one displacement."""
        return {
            "axis": self.axis.tolist(),
            "start": self.start.tolist(),
            "weight": self.weight.tolist(),
            "phase": self.phase.tolist(),
            "coarse_phase": self.coarse_phase.tolist(),
            "electrons_per_band": self.electrons_per_band,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> BerryPhases:
        """Rebuild the object from :meth:`to_dict`."""
        return cls(
            **{name: np.asarray(value) for name, value in record.items() if name != _PER_BAND},
            electrons_per_band=int(record[_PER_BAND]),
        )


_PER_BAND = "electrons_per_band"


def berry_phases(
    hamiltonian: LocalOrbitalHamiltonian, mesh: Mesh, string_points: Mesh | None = None
) -> BerryPhases:
    """Return the phases of strings along the three reciprocal axes.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    mesh : three int
        Mesh of the strings: for those along one axis, its other two divisions are used, half a
        step off Γ where small direct gaps are common. Time reversal halves it.
    string_points : three int, optional
        Points of a string along each axis, even. Default: ``mesh`` rounded up to even, at least 4.

    Raises
    ------
    PhysicsError
        If there is no gap at the points of the strings.
    ConfigurationError
        If a string has an odd number of points, or fewer than four.
    """
    counts = string_points or tuple(max(4, n + n % 2) for n in mesh)
    if any(n < 4 or n % 2 for n in counts):
        raise ConfigurationError(
            f"strings of {counts} points cannot be used.",
            "Every second point makes the coarser string that the error is judged by.",
            "Give even numbers of at least 4.",
        )
    dipoles = bond_dipoles(hamiltonian)
    axes, starts, weights, phases, coarse = [], [], [], [], []
    for axis in range(3):
        across = [1 if other == axis else int(mesh[other]) for other in range(3)]
        points = irreducible_mesh(across, shift=[int(other != axis) for other in range(3)])
        per_batch = _strings_per_batch(counts[axis], hamiltonian.n_orbitals)
        for first in range(0, points.n_points, per_batch):
            start = points.points[first : first + per_batch]
            fine, half = _string_phases(hamiltonian, dipoles, start, axis, counts[axis])
            phases.append(fine)
            coarse.append(half)
        axes.append(np.full(points.n_points, axis))
        starts.append(points.points)
        weights.append(points.weights)
    return BerryPhases(
        axis=np.concatenate(axes),
        start=np.concatenate(starts),
        weight=np.concatenate(weights),
        phase=np.concatenate(phases),
        coarse_phase=np.concatenate(coarse),
        electrons_per_band=hamiltonian.spin_degeneracy,
    )


def electronic_dipole_change(
    phases: BerryPhases, reference: BerryPhases, crystal: Crystal
) -> tuple[Array, Array]:
    r"""Return the change of the dipole of the electrons of a cell, and its discretisation error.

    Each string is followed on its own branch, so no quantum of polarisation can slip in as long as
    no phase changes by more than :data:`PHASE_LIMIT`. The strings with all and with half of the
    points are extrapolated, :math:`(4\varphi - \varphi_{coarse})/3`.

    Parameters
    ----------
    phases, reference : BerryPhases
        Of the changed crystal and of the reference, with the same strings and the same lattice.
    crystal : Crystal
        For the lattice.

    Returns
    -------
    change : ndarray, (3,) e Å
        Cartesian; electrons count negative.
    error : ndarray, (3,) e Å
        Largest possible effect of the extrapolation.

    Raises
    ------
    PhysicsError
        If a string changes too much to be followed.
    """
    if phases.axis.shape != reference.axis.shape or not np.allclose(phases.start, reference.start):
        raise ValueError("the phases belong to different strings")
    fine = _wrapped(phases.phase - reference.phase)
    coarse = _wrapped(phases.coarse_phase - reference.coarse_phase)
    largest = max(float(np.abs(fine).max()), float(np.abs(coarse).max()))
    if largest > PHASE_LIMIT:
        raise PhysicsError(
            f"the Berry phase of a string changes by {largest:.2f} rad between two geometries.",
            "It is known modulo 2π only; so large a change cannot be followed.",
            "Use smaller displacements, or longer strings where the gap is small.",
        )
    best = (4.0 * fine - coarse) / 3.0
    factor = -phases.electrons_per_band / (2.0 * np.pi)
    weighted = [
        [float((phases.weight * values)[phases.axis == axis].sum()) for axis in range(3)]
        for values in (best, np.abs(best - fine))
    ]
    change = factor * np.array(weighted[0]) @ crystal.lattice
    error = np.abs(factor) * np.array(weighted[1]) @ np.abs(crystal.lattice)
    return np.asarray(change), np.asarray(error)


def wannier_centre_sum(phases: BerryPhases) -> Array:
    """Return the sum of the Wannier centres of the filled bands, (3,) fractional, modulo 1.

    Strings are put on the branch nearest to their circular mean.
    """
    best = phases.phase + _wrapped(phases.phase - phases.coarse_phase) / 3.0
    centres = np.empty(3)
    for axis in range(3):
        chosen = phases.axis == axis
        weight, phase = phases.weight[chosen], best[chosen]
        mean = float(np.angle((weight * np.exp(1j * phase)).sum()))
        centres[axis] = mean + float((weight * _wrapped(phase - mean)).sum())
    return np.asarray(np.mod(centres / (2.0 * np.pi), 1.0))


def _string_phases(
    hamiltonian: LocalOrbitalHamiltonian,
    dipoles: VectorMatrix | None,
    start: Array,
    axis: int,
    n_points: int,
) -> tuple[Array, Array]:
    """Return the phases of strings from ``start`` (n_strings, 3), with all and half the points."""
    crystal, n_filled = hamiltonian.crystal, hamiltonian.n_occupied
    step = np.eye(3)[axis] / n_points
    nodes = start[:, None, :] + np.arange(n_points + 1)[:, None] * step
    states = solve(hamiltonian, nodes[:, :-1].reshape(-1, 3))
    _require_gap(states.energies, n_filled)
    shape = (len(start), n_points, hamiltonian.n_orbitals, n_filled)
    c = states.coefficients[:, :, :n_filled].reshape(shape)
    # Lattice-gauge coefficients are periodic, so the string closes with the first ones.
    c = np.concatenate([c, c[:, :1]], axis=1)
    phases = gauge_phases(crystal, hamiltonian.basis.atom, nodes.reshape(-1, 3))
    c = phases.conj().reshape(len(start), n_points + 1, -1, 1) * c
    if dipoles is not None:
        overlap = overlap_or_identity(hamiltonian)
        fine = _links(overlap, dipoles, crystal, nodes[:, :-1] + step / 2, step)
        coarse = _links(overlap, dipoles, crystal, nodes[:, 1::2], 2 * step)
        return _product_phase(c, fine), _product_phase(c[:, ::2], coarse)
    if hamiltonian.overlap is not None:
        S = bloch_sum(hamiltonian.overlap, nodes.reshape(-1, 3), crystal, gauge="atomic")
        c = orthonormal_coefficients(S.reshape(*nodes.shape[:2], *S.shape[1:]), c)
    return _product_phase(c, None), _product_phase(c[:, ::2], None)


def _links(
    overlap: LatticeMatrix,
    dipoles: VectorMatrix,
    crystal: Crystal,
    middles: Array,
    step: Array,
) -> Complex:
    """Return S - i b·D at the midpoints (n_strings, n_links, 3) of links of one step."""
    points = middles.reshape(-1, 3)
    b = 2.0 * np.pi * np.linalg.inv(crystal.lattice) @ step
    along = dipoles[0].with_values(
        b[0] * dipoles[0].values + b[1] * dipoles[1].values + b[2] * dipoles[2].values
    )
    total = bloch_sum(overlap, points, crystal, gauge="atomic")
    total -= 1j * bloch_sum(along, points, crystal, gauge="atomic")
    return total.reshape(*middles.shape[:2], *total.shape[1:])


def _product_phase(c: Complex, links: Complex | None) -> Array:
    """Return minus the phase of the product of determinants along each string.

    Without links the coefficients are those of orthonormal orbitals.
    """
    ket = c[:, 1:] if links is None else links @ c[:, 1:]
    overlaps = c[:, :-1].conj().swapaxes(-1, -2) @ ket
    sign, _ = np.linalg.slogdet(overlaps)
    return np.asarray(-np.angle(sign.prod(axis=1)))


def _wrapped(phase: Array) -> Array:
    """Return phases in (-π, π]."""
    return np.asarray(np.angle(np.exp(1j * phase)))


def _require_gap(energies: Array, n_filled: int) -> None:
    if n_filled == energies.shape[1]:
        return
    gap = float(energies[:, n_filled].min() - energies[:, n_filled - 1].max())
    if gap <= 0:
        raise PhysicsError(
            f"the bands overlap by {-gap:.3f} eV: there is no gap.",
            "The polarisation of a metal is not defined.",
            "Check the electron number and the functional; PBE closes small gaps.",
        )


def _strings_per_batch(n_points: int, n_orbitals: int) -> int:
    """Return how many strings are solved at once."""
    whole = batches(10**9, n_orbitals)[0]
    return int(max(1, (whole.stop - whole.start) // (4 * n_points)))

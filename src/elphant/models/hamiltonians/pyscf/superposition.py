"""Spherical free atoms, whose superposed densities start the self-consistent cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.integrate
import scipy.linalg
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.hamiltonians.pyscf.cell import Species
from elphant.models.hamiltonians.pyscf.local_potential import Functional
from elphant.orbitals import LatticeMatrix, OrbitalBasis
from elphant.units import ANGSTROM_PER_BOHR

Array = NDArray[np.float64]

#: Logarithmic radial grid, bohr.
RADII = np.exp(np.linspace(np.log(1e-5), np.log(40.0), 3000))

#: Mixing, largest number of cycles, and change of the density matrix at which they end.
MIXING, MAX_CYCLES, TOLERANCE = 0.3, 400, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Channel:
    """Radial functions of one angular momentum, on :data:`RADII`, atomic units."""

    l: int  # noqa: E741  the field's own letter
    values: Array
    slopes: Array
    core: Array
    overlap: Array
    electrons: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FreeAtom:
    """A neutral spherical atom with the occupation its pseudopotential was made for, without spin.

    Attributes
    ----------
    matrices : dict of int to ndarray
        Density matrix between the radial functions of one m, for each angular momentum.
    density : ndarray
        On :data:`RADII`, e/bohr³.
    """

    matrices: dict[int, Array]
    density: Array

    def form_factor(self, wave: float) -> float:
        """Return the Fourier transform of the density at a wave number (bohr⁻¹), e."""
        step = np.log(RADII[1] / RADII[0])
        kernel = np.sinc(wave * RADII / np.pi)
        return float(4.0 * np.pi * np.sum(self.density * RADII**3 * kernel) * step)


def free_atoms(
    crystal: Crystal, species: dict[str, Species], basis: OrbitalBasis, functional: Functional
) -> dict[str, FreeAtom]:
    """Return the free atom of every element.

    Raises
    ------
    ModelError
        If an atom does not converge.
    """
    return {
        symbol: _solve_atom(entry, basis, crystal.symbols.index(symbol), functional)
        for symbol, entry in species.items()
    }


def superposed_density_matrix(
    crystal: Crystal, basis: OrbitalBasis, atoms: dict[str, FreeAtom]
) -> LatticeMatrix:
    """Return the density matrix of free atoms placed side by side: on-site blocks."""
    blocks = [
        _on_site_block(atoms[symbol], basis, atom).ravel()
        for atom, symbol in enumerate(crystal.symbols)
    ]
    index = np.arange(crystal.n_atoms)
    return LatticeMatrix(
        sizes=basis.sizes,
        pairs=np.stack([index, index], axis=1),
        cells=np.zeros((crystal.n_atoms, 3), dtype=np.int64),
        values=np.concatenate(blocks),
    )


def _on_site_block(free: FreeAtom, basis: OrbitalBasis, atom: int) -> Array:
    mine = np.flatnonzero(basis.atom == atom)
    n, ell, m = basis.n[mine], basis.l[mine], basis.m[mine]
    block = np.zeros((len(mine), len(mine)))
    for angular, matrix in free.matrices.items():
        same = (ell[:, None] == angular) & (ell[None, :] == angular)
        rows, columns = np.nonzero(same & (m[:, None] == m[None, :]))
        block[rows, columns] = matrix[n[rows] - 1, n[columns] - 1]
    return block


def _solve_atom(entry: Species, basis: OrbitalBasis, atom: int, functional: Functional) -> FreeAtom:
    channels = _channels(entry, basis, atom)
    density = np.zeros_like(RADII)
    matrices: dict[int, Array] = {}
    for cycle in range(MAX_CYCLES):
        potential, slope = _potentials(density, functional)
        change = 0.0
        for channel in channels:
            H = channel.core + _matrix(channel.values, potential, channel.values)
            cross = _matrix(channel.values, slope, channel.slopes)
            H += cross + cross.T
            _, c = scipy.linalg.eigh(H, channel.overlap)
            new = _filled(c, channel)
            old = matrices.get(channel.l, new)
            change = max(change, float(np.abs(new - old).max()))
            matrices[channel.l] = old + MIXING * (new - old)
        density = np.zeros_like(RADII)
        for channel in channels:
            product = np.einsum("pr,pq,qr->r", channel.values, matrices[channel.l], channel.values)
            density += (2 * channel.l + 1) / (4.0 * np.pi) * product
        if cycle and change < TOLERANCE:
            return FreeAtom(matrices=matrices, density=density)
    raise ModelError(
        f"the free {entry.symbol} atom did not converge (change {change:.1e}).",
        "The density of free atoms starts the calculation of the crystal.",
        "Choose another basis or pseudopotential.",
    )


def _channels(entry: Species, basis: OrbitalBasis, atom: int) -> list[Channel]:
    """Return radial functions and core Hamiltonians of the angular momenta that hold electrons."""
    assert basis.radial_index is not None
    mine = basis.atom == atom
    r = RADII
    local = _local_potential(entry)
    channels = []
    for ell, electrons in enumerate(entry.occupation):
        index = basis.radial_index[mine & (basis.l == ell) & (basis.m == -ell)]
        values, slopes = [], []
        for radial in (basis.radial[i] for i in index.tolist()):
            f, g = radial.evaluate((r * ANGSTROM_PER_BOHR) ** 2)
            scale = ANGSTROM_PER_BOHR ** (1.5 + ell)
            values.append(scale * f * r**ell)
            inner = ell * f * r ** max(ell - 1, 0) if ell else 0.0
            slopes.append(scale * (inner + g * ANGSTROM_PER_BOHR**2 * r ** (ell + 1)))
        R, dR = np.array(values), np.array(slopes)
        core = 0.5 * _matrix(dR, np.ones_like(r), dR)
        core += _matrix(R, local + 0.5 * ell * (ell + 1) / r**2, R)
        for projector in entry.projectors:
            if projector.l == ell:
                p = np.array(
                    [
                        norm * r ** (ell + 2 * i) * np.exp(-0.5 * (r / projector.radius) ** 2)
                        for i, norm in enumerate(projector.norms())
                    ]
                )
                b = _matrix(p, np.ones_like(r), R)
                core += b.T @ projector.strengths @ b
        channels.append(
            Channel(
                l=ell, values=R, slopes=dR, core=core,
                overlap=_matrix(R, np.ones_like(r), R), electrons=electrons,
            )
        )  # fmt: skip
    return channels


def _filled(c: Array, channel: Channel) -> Array:
    """Return the density matrix per m of ``electrons`` in the lowest states."""
    left, total = float(channel.electrons), np.zeros_like(channel.core)
    capacity = 2.0 * (2 * channel.l + 1)
    for state in c.T:
        filled = min(left, capacity)
        total += filled / (2 * channel.l + 1) * np.outer(state, state)
        left -= filled
    return total


def _potentials(density: Array, functional: Functional) -> tuple[Array, Array]:
    """Return V_H + ∂f/∂n, and 2 ∂f/∂|∇n|² dn/dr, which acts on derivatives of products."""
    r = RADII
    shell = density * r**2
    inner = _cumulative(shell)
    outer = _cumulative(density * r)
    coulomb = 4.0 * np.pi * (inner / r + outer[-1] - outer)
    derivative = np.gradient(density, np.log(r)) / r
    gradient = None
    if functional.uses_gradient:
        gradient = np.stack([derivative, np.zeros_like(r), np.zeros_like(r)])
    _, first, slope = functional.evaluate(density, gradient)
    return coulomb + first, 2.0 * slope * derivative


def _local_potential(entry: Species) -> Array:
    from scipy.special import erf

    r, x2 = RADII, (RADII / entry.local_radius) ** 2
    polynomial = sum(c * x2**i for i, c in enumerate(entry.local_coefficients))
    long = -entry.charge / r * erf(r / (np.sqrt(2.0) * entry.local_radius))
    return np.asarray(long + np.exp(-0.5 * x2) * polynomial)


def _matrix(left: Array, middle: Array, right: Array) -> Array:
    """Return the integrals of left · middle · right r² dr, with dr = r d(ln r)."""
    step = np.log(RADII[1] / RADII[0])
    return np.asarray((left * (middle * RADII**3 * step)) @ right.T)


def _cumulative(values: Array) -> Array:
    return np.asarray(
        scipy.integrate.cumulative_trapezoid(values * RADII, np.log(RADII), initial=0.0)
    )

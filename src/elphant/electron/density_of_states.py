"""Densities of states by linear tetrahedra, with projections on element and angular momentum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.grids.irreducible import KMesh
from elphant.grids.tetrahedron import mesh_tetrahedra, tetrahedron_sums
from elphant.orbitals import LocalOrbitalHamiltonian, band_energies, bloch_sum, solve
from elphant.orbitals.basis import L_LETTERS
from elphant.orbitals.eigenproblem import batches

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DensityOfStates:
    """Density of states, both spins together.

    Attributes
    ----------
    energies : ndarray, (n_energies,) eV
        Ascending, on the energy zero of the Hamiltonian.
    total : ndarray, (n_energies,) states/(eV cell)
        Mean between the neighbouring energies: it integrates to ``number``.
    number : ndarray, (n_energies,) states/cell
        States below each energy.
    labels : tuple of str
        Names of the projections, such as ``Sb-s``.
    projections : ndarray, (n_projections, n_energies) states/(eV cell)
        Mulliken shares; they sum to the total. Single values can be slightly negative, as
        Mulliken populations of non-orthogonal orbitals can.
    """

    energies: Array
    total: Array
    number: Array
    labels: tuple[str, ...]
    projections: Array

    def __post_init__(self) -> None:
        n = len(self.energies)
        for name, shape in (
            ("energies", (n,)),
            ("total", (n,)),
            ("number", (n,)),
            ("projections", (len(self.labels), n)),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape))


def density_of_states(
    hamiltonian: LocalOrbitalHamiltonian,
    mesh: KMesh,
    energies: ArrayLike,
    *,
    projections: Sequence[str] | None = None,
) -> DensityOfStates:
    """Return the density of states at ``energies``.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    mesh : KMesh
        One diagonalisation per irreducible point.
    energies : array_like, (n_energies,) eV
        Ascending.
    projections : sequence of str, optional
        Labels wanted, of those in :func:`orbital_labels`; all by default, none if empty (faster).

    Raises
    ------
    ValueError
        If a projection is unknown or the energies do not ascend.
    """
    energies = checked_array("energies", energies, (None,))
    if (np.diff(energies) <= 0).any():
        raise ValueError("the energies must ascend")
    available = orbital_labels(hamiltonian)
    labels = tuple(dict.fromkeys(available)) if projections is None else tuple(projections)
    if unknown := set(labels) - set(available):
        raise ValueError(f"there are no orbitals {sorted(unknown)}; there are {set(available)}")
    if labels:
        groups = np.array([[name == label for name in available] for label in labels], dtype=float)
        bands, shares = _bands_and_shares(hamiltonian, mesh.points, groups)
    else:
        bands = band_energies(hamiltonian, mesh.points)
        shares = np.zeros((*bands.shape, 0))
    # Bands above the range add nothing.
    wanted = bands.min(axis=0) < energies[-1]
    bands, shares = bands[:, wanted], shares[:, wanted]
    properties = np.concatenate([np.ones((*bands.shape, 1)), shares], axis=2)
    tetrahedra = mesh_tetrahedra(mesh, hamiltonian.crystal.lattice)
    density, number = tetrahedron_sums(bands, tetrahedra, energies, properties)
    if len(energies) > 1:
        # Tetrahedra narrower than the distance of the energies fall between them: the change of
        # the number of states misses none, so that the density integrates to it.
        density = np.gradient(number, energies, axis=0)
    spin = hamiltonian.spin_degeneracy
    return DensityOfStates(
        energies=energies,
        total=spin * density[:, 0],
        number=spin * number[:, 0],
        labels=labels,
        projections=spin * density[:, 1:].T,
    )


def orbital_labels(hamiltonian: LocalOrbitalHamiltonian) -> list[str]:
    """Return element and letter of each orbital, such as ``Sb-s``; ``w`` where l is unknown."""
    symbols, basis = hamiltonian.crystal.symbols, hamiltonian.basis
    letters = ["w" if ell < 0 else L_LETTERS[ell] for ell in basis.l.tolist()]
    return [f"{symbols[a]}-{x}" for a, x in zip(basis.atom.tolist(), letters, strict=True)]


def _bands_and_shares(
    hamiltonian: LocalOrbitalHamiltonian, k_points: Array, groups: Array
) -> tuple[Array, Array]:
    r"""Return energies (n_k, n_bands) and Mulliken shares (n_k, n_bands, n_groups).

    The share of orbital i in a band is :math:`\mathrm{Re}\, c_i^* (S c)_i`.
    """
    n = hamiltonian.n_orbitals
    energies = np.empty((len(k_points), n))
    shares = np.empty((len(k_points), n, len(groups)))
    for part in batches(len(k_points), 2 * n):
        states = solve(hamiltonian, k_points[part])
        c = states.coefficients
        projected = c
        if hamiltonian.overlap is not None:
            projected = bloch_sum(hamiltonian.overlap, k_points[part]) @ c
        energies[part] = states.energies
        shares[part] = np.swapaxes(groups @ (c.conj() * projected).real, 1, 2)
    return energies, shares

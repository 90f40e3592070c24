r"""Which orbitals make the bands below the valence-band maximum, and how s and p mix in them.

The weight of orbital i in a state is Mulliken's :math:`w_i = \mathrm{Re}\, c_i^* (S c)_i`; the
weights of a state sum to 1. Single weights can be slightly negative, and depend on the basis like
every Mulliken population.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Symmetry
from elphant.grids.irreducible import irreducible_mesh
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.orbitals.basis import L_LETTERS
from elphant.orbitals.eigenproblem import batches, solve_matrices

Array = NDArray[np.float64]

#: Depth (eV) below the valence-band maximum of the states that are analysed.
WINDOW = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrbitalCharacter:
    r"""Character of the valence states within a window below their maximum.

    Attributes
    ----------
    window : float, eV
    n_states : float
        Number of bands in the window, averaged over k.
    weights : ndarray, (n_atoms, l_max + 1)
        Share of the states on the s, p, d ... orbitals of each atom; the total is 1.
    mixing : ndarray, (n_atoms,)
        :math:`\sum 2\sqrt{w_s w_p} / \sum (w_s + w_p)` over the states, w the s and p weights of
        the atom: 0 where every state is s or p alone, 1 where all are half s and half p.
    overlap : ndarray, (n_atoms,) e
        Overlap population :math:`\sum_{i \in s, j \in p'} 2 \mathrm{Re}\, c_i^* S_{ij} c_j` of the
        s orbitals of the atom with the p orbitals of all others (crystal-orbital overlap
        population, T. Hughbanks and R. Hoffmann, J. Am. Chem. Soc. 105, 3528 (1983)), electrons
        per cell. Negative: antibonding, as in lone pairs made of cation s and anion p states
        (A. Walsh et al., Chem. Soc. Rev. 40, 4455 (2011)).
    """

    window: float
    n_states: float
    weights: Array
    mixing: Array
    overlap: Array

    def __post_init__(self) -> None:
        weights = checked_array("weights", self.weights, (None, None))
        object.__setattr__(self, "weights", weights)
        for name in ("mixing", "overlap"):
            values = checked_array(name, getattr(self, name), (len(weights),))
            object.__setattr__(self, name, values)

    def of_atom(self, atom: int) -> dict[str, float]:
        """Return the record of one atom: weights by letter, mixing and s-p overlap."""
        record = dict(zip(L_LETTERS, self.weights[atom].tolist(), strict=False))
        record["mixing"] = float(self.mixing[atom])
        record["overlap"] = float(self.overlap[atom])
        record["window"] = self.window
        return record


def orbital_character(
    hamiltonian: LocalOrbitalHamiltonian,
    mesh: Sequence[int],
    *,
    window: float = WINDOW,
    symmetry: Symmetry | None = None,
) -> OrbitalCharacter:
    """Return the orbital character of the upper valence states, averaged over a k mesh.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
        Spin-free, with angular momenta of all orbitals.
    mesh : sequence of int, (3,)
    window : float, eV
    symmetry : Symmetry, optional
        Only irreducible points are diagonalised, and equivalent atoms are averaged.

    Raises
    ------
    ValueError
        If orbitals are spinors or have no angular momentum (Wannier functions).
    """
    basis = hamiltonian.basis
    if basis.is_spinor or basis.l.min() < 0:
        raise ValueError("orbital character needs spin-free orbitals with known angular momentum")
    points = irreducible_mesh(mesh, None if symmetry is None else symmetry.rotations)
    n_occupied = hamiltonian.n_occupied
    energies, weights, overlaps = [], [], []
    for part in batches(points.n_points, hamiltonian.n_orbitals):
        H, S = hamiltonian.at(points.points[part])
        values, vectors = solve_matrices(H, S)
        c = vectors[:, :, :n_occupied]
        energies.append(values[:, :n_occupied])
        weights.append(_atom_weights(basis.atom, basis.l, c, S))
        overlaps.append(_s_with_p(basis.atom, basis.l, c, S))
    energy = np.concatenate(energies)
    chosen = (energy > energy.max() - window) * points.weights[:, None]
    w = np.concatenate(weights)
    total = float(chosen.sum())
    s, p = np.maximum(w[:, :, 0], 0.0), np.maximum(w[:, :, min(1, w.shape[2] - 1)], 0.0)
    both = np.einsum("kn,kan->a", chosen, s + p)
    shared = np.einsum("kn,kan->a", chosen, 2.0 * np.sqrt(s * p))
    result = {
        "weights": np.einsum("kn,kaln->al", chosen, w) / total,
        "mixing": np.divide(shared, both, out=np.zeros_like(both), where=both > 0.0),
        "overlap": hamiltonian.spin_degeneracy
        * np.einsum("kn,kan->a", chosen, np.concatenate(overlaps)),
    }
    if symmetry is not None:
        result = {name: _over_orbits(value, symmetry) for name, value in result.items()}
    return OrbitalCharacter(window=window, n_states=total, **result)


def _over_orbits(values: Array, symmetry: Symmetry) -> Array:
    """Return the mean over equivalent atoms."""
    averaged = np.empty_like(values)
    for atom in np.unique(symmetry.equivalent_atoms):
        members = symmetry.equivalent_atoms == atom
        averaged[members] = values[members].mean(axis=0)
    return averaged


def _atom_weights(
    atom: NDArray[np.int64],
    ell: NDArray[np.int64],
    c: NDArray[np.complex128],
    S: NDArray[np.complex128],
) -> Array:
    """Return Mulliken weights, (n_k, n_atoms, l_max + 1, n_bands)."""
    orbital = (c.conj() * (S @ c)).real
    shells = np.zeros((len(c), atom.max() + 1, ell.max() + 1, c.shape[2]))
    for index, (a, l_value) in enumerate(zip(atom.tolist(), ell.tolist(), strict=True)):
        shells[:, a, l_value] += orbital[:, index]
    return shells


def _s_with_p(
    atom: NDArray[np.int64],
    ell: NDArray[np.int64],
    c: NDArray[np.complex128],
    S: NDArray[np.complex128],
) -> Array:
    """Return the overlap populations of s with the p of other atoms, (n_k, n_atoms, n_bands)."""
    populations = np.zeros((len(c), atom.max() + 1, c.shape[2]))
    for a in range(int(atom.max()) + 1):
        s = np.flatnonzero((atom == a) & (ell == 0))
        p = np.flatnonzero((atom != a) & (ell == 1))
        if len(s) and len(p):
            partner = S[:, s[:, None], p] @ c[:, p]
            populations[:, a] = 2.0 * (c[:, s].conj() * partner).real.sum(axis=1)
    return populations

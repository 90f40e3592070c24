r"""Electron-phonon matrix elements of a local-orbital Hamiltonian, per displaced atom.

.. math:: g_{\kappa\alpha}(m k', n k) = c_m^\dagger(k')\, [\partial_{\kappa\alpha} H
          - \bar\varepsilon\, \partial_{\kappa\alpha} S]\, c_n(k),
          \qquad \bar\varepsilon = \tfrac12 (\varepsilon_m + \varepsilon_n)

for the displacement wave :math:`u_{\kappa R} \propto e^{i q \cdot R}` with q = k' - k, all in the
lattice gauge. This *co-moving* form is the derivative of the finite-basis eigenproblem: on
shell it is what a frozen phonon gives, and its sum over all atoms vanishes at q = 0 for all bands.
The *projected* form, :math:`\partial H - \varepsilon_n \langle\partial\phi|\phi\rangle -
\varepsilon_m \langle\phi|\partial\phi\rangle`, of programs that put the unity of the basis between
gradient and Hamiltonian (T. Gunst, T. Markussen, K. Stokbro and M. Brandbyge, Phys. Rev. B 93,
035414 (2016)), differs from it by :math:`\tfrac12 (\varepsilon_m - \varepsilon_n)\, c_m^\dagger
[\langle\partial\phi|\phi\rangle - \langle\phi|\partial\phi\rangle]\, c_n`: nothing for elastic
transitions, of the order of a phonon energy on shell.

The work is split in two: what depends on k alone (:meth:`CouplingVertex.kets`), what depends on k'
alone (:meth:`CouplingVertex.bras`), and per pair only matrix products
(:meth:`CouplingVertex.couple`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.orbitals.bloch import bloch_sum
from elphant.orbitals.derivatives import HamiltonianDerivatives, VectorMatrix

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Form = Literal["co-moving", "projected"]

#: Bytes of Bloch sums held at a time.
BLOCH_BYTES = 64e6


@dataclass(frozen=True, kw_only=True, eq=False)
class BlochStates:
    """States at several k points that one side of the matrix elements is made of.

    Attributes
    ----------
    k_points : ndarray, (n_k, 3)
        In the reciprocal lattice of the cell.
    energies : ndarray, (n_k, n_bands) eV
    coefficients : ndarray, (n_k, n_orbitals, n_bands)
        Lattice gauge.
    overlapped : ndarray, (n_k, n_orbitals, n_bands)
        S(k) c(k).
    overlap_slopes, two_centre_slopes : ndarray, (n_k, 3, n_orbitals, n_bands) or None
        B(k) c for kets, B(k)† c for bras, of the overlap (Å⁻¹) and of the two-centre part of H
        (eV/Å).
    """

    k_points: Array
    energies: Array
    coefficients: Complex
    overlapped: Complex
    overlap_slopes: Complex | None
    two_centre_slopes: Complex | None

    @property
    def n_bands(self) -> int:
        """Number of states at each point."""
        return int(self.coefficients.shape[2])

    def part(self, chosen: slice | NDArray[np.int64]) -> BlochStates:
        """Return the states of some of the points."""
        slopes, hops = self.overlap_slopes, self.two_centre_slopes
        return BlochStates(
            k_points=self.k_points[chosen],
            energies=self.energies[chosen],
            coefficients=self.coefficients[chosen],
            overlapped=self.overlapped[chosen],
            overlap_slopes=None if slopes is None else slopes[chosen],
            two_centre_slopes=None if hops is None else hops[chosen],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Kets:
    """One side with the derivative applied.

    Attributes
    ----------
    states : BlochStates
    environment : list of ndarray
        For each atom κ, (n_image_orbitals, n_k, n_bands, 3): the derivative over κ applied to the
        states, at every orbital image that couples to it.
    """

    states: BlochStates
    environment: list[Complex]


class CouplingVertex:
    """Matrix elements between Bloch states and displacements of single atoms.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
        At rest.
    derivatives : HamiltonianDerivatives or None
        None leaves only what the long-range part needs: the transition charges.
    form : {"co-moving", "projected"}
    """

    def __init__(
        self,
        hamiltonian: LocalOrbitalHamiltonian,
        derivatives: HamiltonianDerivatives | None,
        form: Form = "co-moving",
    ) -> None:
        self.hamiltonian, self.derivatives, self.form = hamiltonian, derivatives, form
        sizes, starts = hamiltonian.basis.sizes, hamiltonian.basis.starts
        self._orbitals = [slice(a, a + n) for a, n in zip(starts, sizes, strict=True)]
        environment = derivatives.environment if derivatives else None
        atoms = range(hamiltonian.crystal.n_atoms) if environment is not None else ()
        self._images = [environment.images(atom) for atom in atoms] if environment else []
        nothing = [np.empty(0, dtype=np.int64)]
        self._image_orbitals = [
            np.concatenate([np.arange(starts[a], starts[a] + sizes[a]) for a in i.atoms] or nothing)
            for i in self._images
        ]

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return self.hamiltonian.crystal.n_atoms

    @property
    def n_image_orbitals(self) -> int:
        """Orbital images over all atoms: multiplications per pair and direction."""
        return sum(len(orbitals) for orbitals in self._image_orbitals)

    @property
    def has_short_range(self) -> bool:
        """Whether derivatives of H are known."""
        return self.derivatives is not None and self.derivatives.has_hamiltonian

    def bras(
        self, k_points: ArrayLike, energies: ArrayLike, coefficients: ArrayLike
    ) -> BlochStates:
        """Return the side of the final states; see :class:`BlochStates` for the arrays."""
        return self._states(k_points, energies, coefficients, adjoint=True)

    def kets(self, k_points: ArrayLike, energies: ArrayLike, coefficients: ArrayLike) -> Kets:
        """Return the side of the initial states, with the derivative applied."""
        states = self._states(k_points, energies, coefficients, adjoint=False)
        n_k, _, n_bands = states.coefficients.shape
        environment = []
        for atom, image in enumerate(self._images):
            c = self._at_images(states, atom)
            applied = image.applied(c.reshape(n_k * n_bands, -1).T)
            applied = applied.reshape(-1, n_k, n_bands, 3)
            environment.append(applied)
        return Kets(states=states, environment=environment)

    def couple(self, bras: BlochStates, kets: Kets) -> Complex:
        """Return short-range matrix elements, (n_bra_k, n_ket_k, n_m, n_n, n_atoms, 3) eV/Å.

        Raises
        ------
        ValueError
            If no derivative of H is known.
        """
        if not self.has_short_range:
            raise ValueError("there are no derivatives of the Hamiltonian")
        right = kets.states
        shape = (len(bras.k_points), len(right.k_points), bras.n_bands, right.n_bands)
        # Atoms outermost, so that each is added to contiguous memory.
        g = np.zeros((self.n_atoms, *shape, 3), dtype=np.complex128)
        bra_energy = bras.energies[:, None, :, None, None]
        ket_energy = right.energies[None, :, None, :, None]
        mean = 0.5 * (bra_energy + ket_energy)
        of_ket, of_bra = (mean, mean) if self.form == "co-moving" else (ket_energy, bra_energy)
        for atom, own in enumerate(self._orbitals):
            target = g[atom]
            if right.two_centre_slopes is not None and bras.two_centre_slopes is not None:
                target += _pairs(bras.coefficients, right.two_centre_slopes, own)
                target -= _adjoint_pairs(bras.two_centre_slopes, right.coefficients, own)
            if right.overlap_slopes is not None and bras.overlap_slopes is not None:
                target -= of_ket * _pairs(bras.coefficients, right.overlap_slopes, own)
                target += of_bra * _adjoint_pairs(bras.overlap_slopes, right.coefficients, own)
            if kets.environment:
                target += self._environment(bras, kets.environment[atom], atom)
        return np.moveaxis(g, 0, 4)

    def transition_charges(self, bras: BlochStates, kets: BlochStates) -> Complex:
        r"""Return the overlap charge of each transition on each atom.

        .. math:: \rho_a = \tfrac12 \sum_{i \in a} [c_i^*(k')\,(S c)_i(k) + (S c)_i^*(k')\, c_i(k)]

        They sum to :math:`\delta_{mn}` at k' = k. A smooth potential with the values
        :math:`\Phi_a` on the atoms has the matrix element :math:`\sum_a \rho_a \Phi_a`.

        Returns
        -------
        ndarray, (n_bra_k, n_ket_k, n_m, n_n, n_atoms)
        """
        parts = [
            0.5 * _pairs(bras.coefficients, kets.overlapped[:, None], own)[..., 0]
            + 0.5 * _adjoint_pairs(bras.overlapped[:, None], kets.coefficients, own)[..., 0]
            for own in self._orbitals
        ]
        return np.stack(parts, axis=-1)

    def _states(
        self, k_points: ArrayLike, energies: ArrayLike, coefficients: ArrayLike, *, adjoint: bool
    ) -> BlochStates:
        k = np.atleast_2d(np.asarray(k_points, dtype=float))
        c = np.asarray(coefficients, dtype=np.complex128)
        overlap, derivatives = self.hamiltonian.overlap, self.derivatives
        overlapped = c if overlap is None else np.empty_like(c)
        slopes = derivatives.overlap if derivatives and derivatives.has_hamiltonian else None
        hops = derivatives.two_centre if derivatives else None
        shape = (len(k), 3, *c.shape[1:])
        overlap_slopes = None if slopes is None else np.empty(shape, dtype=np.complex128)
        two_centre = None if hops is None else np.empty(shape, dtype=np.complex128)
        size = max(1, int(BLOCH_BYTES / (16 * c.shape[1] ** 2)))
        for start in range(0, len(k), size):
            part = slice(start, start + size)
            if overlap is not None:
                overlapped[part] = bloch_sum(overlap, k[part]) @ c[part]
            for matrix, target in ((slopes, overlap_slopes), (hops, two_centre)):
                if matrix is not None and target is not None:
                    target[part] = _applied(matrix, k[part], c[part], adjoint=adjoint)
        return BlochStates(
            k_points=k,
            energies=np.asarray(energies, dtype=float),
            coefficients=c,
            overlapped=overlapped,
            overlap_slopes=overlap_slopes,
            two_centre_slopes=two_centre,
        )

    def _environment(self, bras: BlochStates, applied: Complex, atom: int) -> Complex:
        """Return the matrix elements of one atom's environment term."""
        n_orbitals, n_ket, n, _ = applied.shape
        n_bra, m = len(bras.k_points), bras.n_bands
        if not n_orbitals:
            return np.zeros((n_bra, n_ket, m, n, 3), dtype=np.complex128)
        left = self._at_images(bras, atom)
        np.conj(left, out=left)
        product = _product(left.reshape(n_bra * m, -1), applied.reshape(n_orbitals, -1))
        return np.asarray(product.reshape(n_bra, m, n_ket, n, 3).transpose(0, 2, 1, 3, 4))

    def _at_images(self, states: BlochStates, atom: int) -> Complex:
        """Return coefficients on the orbital images that one atom changes, (n_k, n_bands, n)."""
        image = self._images[atom]
        sizes = self.hamiltonian.basis.sizes
        phases = np.exp(2j * np.pi * (states.k_points @ image.cells.T))
        c = states.coefficients.swapaxes(1, 2)[:, :, self._image_orbitals[atom]]
        c *= np.repeat(phases, sizes[image.atoms], axis=1)[:, None]
        return c


def _applied(matrix: VectorMatrix, k: Array, c: Complex, *, adjoint: bool) -> Complex:
    """Return B_α(k) c or B_α(k)† c, (n_k, 3, n_orbitals, n_bands)."""
    parts = []
    for component in matrix:
        B = bloch_sum(component, k)
        parts.append((B.conj().swapaxes(1, 2) if adjoint else B) @ c)
    return np.stack(parts, axis=1)


def _pairs(bra: Complex, ket: Complex, orbitals: slice) -> Complex:
    r"""Return :math:`\sum_{i \in \kappa} c_{im}^* y_{i\alpha n}`, (n_bra, n_ket, m, n, n_alpha).

    Parameters
    ----------
    bra : ndarray, (n_bra, n_orbitals, m)
    ket : ndarray, (n_ket, n_alpha, n_orbitals, n)
    orbitals : slice
    """
    left, right = bra[:, orbitals], ket[:, :, orbitals]
    n_bra, size, m = left.shape
    n_ket, n_alpha, _, n = right.shape
    a = np.ascontiguousarray(left.conj().transpose(0, 2, 1)).reshape(n_bra * m, size)
    b = np.ascontiguousarray(right.transpose(2, 0, 3, 1)).reshape(size, -1)
    product = _product(a, b).reshape(n_bra, m, n_ket, n, n_alpha)
    return np.asarray(product.transpose(0, 2, 1, 3, 4))


def _adjoint_pairs(bra: Complex, ket: Complex, orbitals: slice) -> Complex:
    r"""Return :math:`\sum_{i \in \kappa} z_{i\alpha m}^* c_{in}`, (n_bra, n_ket, m, n, n_alpha)."""
    left, right = bra[:, :, orbitals], ket[:, orbitals]
    n_bra, n_alpha, size, m = left.shape
    n_ket, _, n = right.shape
    a = np.ascontiguousarray(left.conj().transpose(0, 1, 3, 2)).reshape(-1, size)
    b = np.ascontiguousarray(right.transpose(1, 0, 2)).reshape(size, -1)
    product = _product(a, b).reshape(n_bra, n_alpha, m, n_ket, n)
    return np.asarray(product.transpose(0, 3, 2, 4, 1))


def _product(left: Complex, right: Complex) -> Complex:
    """Return the matrix product by torch, whose threads can be counted."""
    # torch warns of arrays that it could not write to.
    a, b = (torch.from_numpy(np.require(x, requirements="W")) for x in (left, right))
    return np.asarray((a @ b).numpy())

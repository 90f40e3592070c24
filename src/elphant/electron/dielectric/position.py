r"""Matrix elements of the position between bands of local-orbital Hamiltonians.

With :math:`u_{nk} = e^{-ik\cdot r}\psi_{nk}` the interband position is
:math:`r_{mn} = \langle u_m | i\partial_k u_n \rangle` for :math:`m \neq n`. In the atomic gauge

.. math::
    r_{mn,\alpha} = -\frac{i}{\varepsilon_m - \varepsilon_n}\,
        c_m^\dagger [\partial_\alpha H - \tfrac12 (\varepsilon_m + \varepsilon_n)\,
        \partial_\alpha S]\, c_n + c_m^\dagger D_\alpha c_n ,

where :math:`D_{ij}(R) = \langle i\,0 | r - \tfrac12(\tau_i + \tau_j + R) | j\,R \rangle` are the
dipoles of pairs of orbitals about the middle of their bond. The formula is that of
C.-C. Lee, Y.-T. Lee, M. Fukuda and T. Ozaki, Phys. Rev. B 98, 115115 (2018), written with the
Hermitian part D of the position: :math:`\langle u_i | i\partial u_j\rangle = \tfrac{i}{2}\partial S
+ D` in the atomic gauge. D does not depend on the origin.

Where a source of Hamiltonians gives no position matrix, the orbitals orthonormalised symmetrically
(P.-O. Löwdin, J. Chem. Phys. 18, 365 (1950)) count as point charges at their atoms. That is
:math:`D = \tfrac{i}{2} [S^{1/2}, \partial S^{1/2}]`. Dipoles inside atoms (s-p, p-d) are then
missing. Setting D to zero instead, which puts the charge of every pair of orbitals into the middle
of its bond, fails for bases with diffuse orbitals: it triples the permittivity of silicon.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elphant.orbitals import EigenStates, LatticeMatrix, LocalOrbitalHamiltonian
from elphant.orbitals.bloch import bloch_derivative, bloch_sum, gauge_phases
from elphant.quality import QualityFlag

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
VectorMatrix = tuple[LatticeMatrix, LatticeMatrix, LatticeMatrix]


def bond_dipoles(hamiltonian: LocalOrbitalHamiltonian) -> VectorMatrix | None:
    r"""Return :math:`\langle i\,0 | r_\alpha - \frac12(\tau_i + \tau_j + R)_\alpha | j\,R \rangle`.

    Three Hermitian lattice matrices in Å, with the blocks of ``position`` and of the overlap
    together; None where the Hamiltonian has no position matrix.
    """
    if hamiltonian.position is None:
        return None
    overlap = hamiltonian.overlap or _identity(hamiltonian)
    pairs, cells = _all_blocks([overlap, *hamiltonian.position])
    overlap = _on_blocks(overlap, pairs, cells)
    tau = hamiltonian.crystal.positions
    middle = 0.5 * (
        tau[overlap.pairs[:, 0]]
        + tau[overlap.pairs[:, 1]]
        + overlap.cells @ hamiltonian.crystal.lattice
    )
    lengths = np.diff(overlap.offsets)
    x, y, z = (
        position.with_values(
            position.values - np.repeat(middle[:, axis], lengths) * overlap.values
        ).hermitized()
        for axis, position in enumerate(
            _on_blocks(position, pairs, cells) for position in hamiltonian.position
        )
    )
    return x, y, z


def overlap_or_identity(hamiltonian: LocalOrbitalHamiltonian) -> LatticeMatrix:
    """Return S(R); for orthonormal orbitals the identity."""
    return hamiltonian.overlap or _identity(hamiltonian)


def interband_position(
    hamiltonian: LocalOrbitalHamiltonian,
    states: EigenStates,
    lower: slice,
    upper: slice,
    *,
    dipoles: VectorMatrix | None = None,
) -> Complex:
    r"""Return :math:`\langle m | r_\alpha | n \rangle` for m in ``lower`` and n in ``upper`` bands.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    states : EigenStates
        Bands in the lattice gauge.
    lower, upper : slice
        Two sets of bands without a common energy at any of the points.
    dipoles : three LatticeMatrix, optional
        :func:`bond_dipoles` of the Hamiltonian, found once by the caller; where None, symmetrically
        orthonormalised orbitals count as point charges at their atoms.

    Returns
    -------
    ndarray, (n_k, 3, n_lower, n_upper) Å
        Cartesian components. They change with the phases of the states, their products
        :math:`r_{mn} r_{nm}` do not.
    """
    k, crystal = states.k_points, hamiltonian.crystal
    c = gauge_phases(crystal, hamiltonian.basis.atom, k).conj()[:, :, None] * states.coefficients
    bra, ket = c[:, None, :, lower].conj().swapaxes(-1, -2), c[:, None, :, upper]
    e_m = states.energies[:, None, lower, None]
    e_n = states.energies[:, None, None, upper]
    H = bloch_derivative(hamiltonian.hamiltonian, k, crystal, order=1, gauge="atomic")
    velocity = bra @ H @ ket
    if hamiltonian.overlap is None:
        S = None
    else:
        S = bloch_derivative(hamiltonian.overlap, k, crystal, order=1, gauge="atomic")
        velocity = velocity - 0.5 * (e_m + e_n) * (bra @ S @ ket)
    position = -1j * velocity / (e_m - e_n)
    if dipoles is not None:
        for axis, dipole in enumerate(dipoles):
            D = bloch_sum(dipole, k, crystal, gauge="atomic")
            position[:, axis] += bra[:, 0] @ D @ ket[:, 0]
    elif S is not None:
        _, overlap = hamiltonian.at(k, gauge="atomic")
        position += bra @ _orthonormal_dipoles(overlap, S) @ ket
    return np.asarray(position)


def orthonormal_coefficients(S: Complex, c: Complex) -> Complex:
    r"""Return :math:`S^{1/2} c`: coefficients of symmetrically orthonormalised orbitals."""
    values, vectors = np.linalg.eigh(S)
    root = np.sqrt(np.maximum(values, 0.0))[..., :, None]
    return np.asarray(vectors @ (root * (vectors.conj().swapaxes(-1, -2) @ c)))


def _orthonormal_dipoles(S: Complex, derivative: Complex) -> Complex:
    r"""Return :math:`\frac{i}{2} [S^{1/2}, \partial_\alpha S^{1/2}]`, (n_k, 3, n, n) Å.

    In the eigenbasis of S with eigenvalues s the derivative of the root is
    :math:`\partial S_{ab} / (\sqrt{s_a} + \sqrt{s_b})`.
    """
    values, vectors = np.linalg.eigh(S)
    root = np.sqrt(np.maximum(values, 0.0))
    difference = root[:, :, None] - root[:, None, :]
    ratio = difference / (root[:, :, None] + root[:, None, :])
    U, adjoint = vectors[:, None], vectors.conj().swapaxes(-1, -2)[:, None]
    return np.asarray(U @ (0.5j * ratio[:, None] * (adjoint @ derivative @ U)) @ adjoint)


def position_flag(hamiltonian: LocalOrbitalHamiltonian) -> QualityFlag:
    """Return what is known about the dipoles between orbitals."""
    if hamiltonian.position is None:
        return QualityFlag(
            name="intra_atomic_dipoles",
            severity="warning",
            message=(
                "The Hamiltonian has no position matrix: orthonormalised orbitals count as charges "
                "at their atoms, and dipoles inside atoms (s-p, p-d) are missing."
            ),
        )
    return QualityFlag(
        name="intra_atomic_dipoles",
        severity="info",
        message="Dipoles come from the position matrix between the orbitals.",
    )


def _identity(hamiltonian: LocalOrbitalHamiltonian) -> LatticeMatrix:
    n = hamiltonian.n_orbitals
    return LatticeMatrix.from_cells(hamiltonian.basis.sizes, [[0, 0, 0]], np.eye(n)[None])


def _all_blocks(matrices: list[LatticeMatrix]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs and cells of every block of any of the matrices, and of their partners."""
    keys = [np.concatenate([matrix.pairs, matrix.cells], axis=1) for matrix in matrices]
    partners = [
        np.concatenate([matrix.pairs[:, ::-1], -matrix.cells], axis=1) for matrix in matrices
    ]
    distinct = np.unique(np.concatenate([*keys, *partners]), axis=0)
    return distinct[:, :2], distinct[:, 2:]


def _on_blocks(
    matrix: LatticeMatrix, pairs: NDArray[np.int64], cells: NDArray[np.int64]
) -> LatticeMatrix:
    """Return the matrix with the given sorted blocks, zero where it has none."""
    if np.array_equal(matrix.pairs, pairs) and np.array_equal(matrix.cells, cells):
        return matrix
    lengths = matrix.sizes[pairs[:, 0]] * matrix.sizes[pairs[:, 1]]
    ends = np.cumsum(lengths)
    values = np.zeros(int(ends[-1]), dtype=matrix.values.dtype)
    keys = np.concatenate([pairs, cells], axis=1).tolist()
    where = {tuple(key): index for index, key in enumerate(keys)}
    own = np.concatenate([matrix.pairs, matrix.cells], axis=1).tolist()
    for index, key in enumerate(own):
        target = where[tuple(key)]
        values[ends[target] - lengths[target] : ends[target]] = matrix.block(index).ravel()
    return LatticeMatrix(sizes=matrix.sizes, pairs=pairs, cells=cells, values=values)

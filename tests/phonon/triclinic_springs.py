"""A triclinic crystal of two atoms with anharmonic springs, whose derivatives are known exactly."""

from __future__ import annotations

import numpy as np

from elphant.crystal import Crystal
from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.units import THZ_PER_SQRT_EV_A2_AMU

LATTICE = np.array([[3.0, 0.0, 0.0], [0.2, 3.4, 0.0], [-0.1, 0.3, 3.9]])
POSITIONS = np.array([[0.0, 0.0, 0.0], [0.47, 0.52, 0.45]])
MASSES = np.array([23.0, 35.5])
CUTOFF = 4.3
SHIFTS = np.array(list(np.ndindex(5, 5, 5))) - 2


def bonds():
    """Yield atoms i, j, the cell of j and the bond of every neighbour in the crystal at rest."""
    for i in range(2):
        for j in range(2):
            for cell in SHIFTS:
                bond = (POSITIONS[j] + cell - POSITIONS[i]) @ LATTICE
                if 1e-3 < np.linalg.norm(bond) < CUTOFF:
                    yield i, j, cell, bond


def constants(length):
    """Return k and g of a spring k/2 (r - r0)^2 + g/6 (r - r0)^3 that is r0 long at rest."""
    return 6.0 * (2.5 / length) ** 4, -15.0 * (2.5 / length) ** 5


def second_derivative(bond, rest):
    k, g = constants(rest)
    r = np.linalg.norm(bond)
    n = bond / r
    stretch = r - rest
    radial, tangential = k + g * stretch, (k * stretch + 0.5 * g * stretch**2) / r
    return radial * np.outer(n, n) + tangential * (np.eye(3) - np.outer(n, n))


def third_derivative(bond):
    length = np.linalg.norm(bond)
    k, g = constants(length)
    n, eye = bond / length, np.eye(3)
    nnn = np.einsum("a,b,c->abc", n, n, n)
    mixed = sum(
        np.einsum(f"{p},{q}->abc", eye, n) for p, q in (("ab", "c"), ("bc", "a"), ("ac", "b"))
    )
    return g * nnn + k / length * (mixed - 3 * nnn)


def dynamical_matrix(q, strain):
    """Return D(q) in the lattice phase of the crystal with strained bonds, eV Å^-2 amu^-1."""
    deformation = np.eye(3) + strain
    matrix = np.zeros((2, 3, 2, 3), dtype=complex)
    for i, j, cell, bond in bonds():
        block = second_derivative(deformation @ bond, np.linalg.norm(bond))
        matrix[i, :, i] += block / MASSES[i]
        phase = np.exp(2j * np.pi * cell @ q)
        matrix[i, :, j] -= block * phase / np.sqrt(MASSES[i] * MASSES[j])
    return matrix.reshape(6, 6)


def third_order():
    """Return the third order as clusters of the infinite crystal."""
    atoms, cells, blocks = [], [], []
    zero = np.zeros(3, dtype=int)
    for i, j, cell, bond in bonds():
        t = third_derivative(bond)
        # One minus sign per derivative with respect to the home end of the spring.
        for row, shift, sign in (
            ((i, i, i), (zero, zero), -1), ((i, i, j), (zero, cell), 1),
            ((i, j, i), (cell, zero), 1), ((i, j, j), (cell, cell), -1),
        ):  # fmt: skip
            atoms.append(row)
            cells.append(shift)
            blocks.append(sign * t)
    return SparseForceConstants(
        atoms=np.array(atoms), cells=np.array(cells), blocks=np.array(blocks), n_primitive=2
    )


def modes(q_points, rotation=None):
    """Return frequencies (n_q, 6) THz and eigenvectors (lattice phase) of the crystal at rest."""
    frequencies, vectors = [], []
    for q in q_points:
        matrix = dynamical_matrix(q, np.zeros((3, 3)))
        if rotation is not None:
            turn = np.kron(np.eye(2), rotation)
            matrix = turn @ matrix @ turn.T
        values, e = np.linalg.eigh(matrix)
        frequencies.append(np.sign(values) * np.sqrt(np.abs(values)) * THZ_PER_SQRT_EV_A2_AMU)
        vectors.append(e)
    return np.array(frequencies), np.array(vectors)


CRYSTAL = Crystal(lattice=LATTICE, fractional=POSITIONS, numbers=np.array([11, 17]), masses=MASSES)
REPEATS = np.array([3, 3, 3])


def supercell():
    """Return 3 x 3 x 3 cells, atoms of one kind together."""
    cells = np.array(list(np.ndindex(*REPEATS)))
    fractional = ((POSITIONS[:, None] + cells) / REPEATS).reshape(-1, 3)
    return Crystal(
        lattice=REPEATS[:, None] * LATTICE, fractional=fractional,
        numbers=np.repeat(CRYSTAL.numbers, len(cells)), masses=np.repeat(MASSES, len(cells)),
    )  # fmt: skip


def energies_forces(crystals):
    """Return energies (n,) eV and forces (n, n_atoms, 3) eV/Å of displaced supercells."""
    rest = supercell()
    n_cells = int(np.prod(REPEATS))
    index = np.arange(n_cells).reshape(REPEATS)
    cells = np.array(list(np.ndindex(*REPEATS)))
    first, second, lengths, vectors = [], [], [], []
    for i, j, cell, bond in bonds():
        target = index[tuple(((cells + cell) % REPEATS).T)]
        first.append(i * n_cells + np.arange(n_cells))
        second.append(j * n_cells + target)
        lengths.append(np.full(n_cells, np.linalg.norm(bond)))
        vectors.append(np.repeat(bond[None], n_cells, axis=0))
    one, two = np.concatenate(first), np.concatenate(second)
    length, vector = np.concatenate(lengths), np.concatenate(vectors)
    k, g = constants(length)
    energies, forces = [], []
    for crystal in crystals:
        shift = (crystal.fractional - rest.fractional) @ rest.lattice
        bond = vector + shift[two] - shift[one]
        r = np.linalg.norm(bond, axis=1)
        stretch = r - length
        # Every spring is listed from both of its ends.
        energies.append(0.5 * (0.5 * k * stretch**2 + g / 6 * stretch**3).sum())
        pull = ((k * stretch + 0.5 * g * stretch**2) / r)[:, None] * bond
        force = np.zeros_like(shift)
        np.add.at(force, one, 0.5 * pull)
        np.add.at(force, two, -0.5 * pull)
        forces.append(force)
    return np.array(energies), np.array(forces)

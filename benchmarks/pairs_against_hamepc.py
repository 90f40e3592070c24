"""Electron-phonon pairs: what one costs here, and what the operation of HamEPC costs per pair.

HamEPC (Y. Zhong et al., the program that accompanies HamGNN) diagonalises H(k+q) for every state
(k, n) and every q, and contracts a dense array of derivatives over all pairs of 27 cells. That
operation is written here from its published description; the program is not used and none of its
code is. Its contraction is stored as one matrix product per atom and direction, the fastest layout,
and so large that a part is timed and scaled; the lines say how much.

Random matrices with the sparsity of Sb2Se3 stand for a Hamiltonian, so that the number of orbitals
can be chosen: about 200 neighbours per atom in H(R), derivatives over each atom between its 60
nearest atoms, as many as a 1x3x1 supercell has.

    OMP_NUM_THREADS=1 python benchmarks/pairs_against_hamepc.py [--orbitals 260,380]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise, product
from math import log
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh

from elphant.coupling.scattering import BRAS_AT_ONCE, KETS_AT_ONCE, mode_sums
from elphant.coupling.vertex import CouplingVertex
from elphant.crystal import Crystal
from elphant.crystal.io import read_crystal
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)
from elphant.orbitals.derivatives import EnvironmentDerivative, HamiltonianDerivatives

STRUCTURE = Path(__file__).parents[1] / "examples" / "Sb2Se3.cif"

#: Neighbours per atom in H(R), and atoms that a derivative reaches.
NEIGHBOURS, REACHED = 200, 60

#: Operations of the point group mmm: of this many states of the window one is an initial state.
OPERATIONS = 8

#: Cells of the cluster of HamEPC, and of how many of them the contraction is timed.
CLUSTER_CELLS, TIMED_CELLS = 27, 9

#: Wave vectors whose modes are kept, and final states of the window.
N_Q, N_FINAL = 2048, 768


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call; the first, which fills caches, is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def neighbours(
    crystal: Crystal,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return pairs (n, 2), cells (n, 3) and distances of all atoms within the range of H."""
    density = crystal.n_atoms / crystal.volume
    radius = (3.0 * NEIGHBOURS / (4.0 * np.pi * density)) ** (1.0 / 3.0)
    reach = [int(np.ceil(radius / height)) for height in crystal.heights]
    cells = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    places = crystal.fractional[None, None] + cells[:, None, None]
    bonds = (places - crystal.fractional[None, :, None]) @ crystal.lattice
    distances = np.linalg.norm(bonds, axis=3)
    cell, i, j = np.nonzero(distances < radius)
    return np.stack([i, j], axis=1), cells[cell], distances[cell, i, j]


def random_hamiltonian(
    crystal: Crystal, size: int, generator: np.random.Generator
) -> LocalOrbitalHamiltonian:
    """Return random Hermitian H and positive definite S, ``size`` orbitals per atom."""
    pairs, cells, distances = neighbours(crystal)
    sizes = np.full(crystal.n_atoms, size)
    decay = np.exp(-distances / 2.0)[:, None, None]
    shape = (len(pairs), size, size)
    H = decay * generator.normal(size=shape)
    # Norms of all blocks of a row add up to less than one half.
    S = decay * generator.normal(size=shape) / (2.0 * size**0.5)
    S *= 0.4 * crystal.n_atoms / decay.sum()
    S[distances == 0.0] += np.eye(size)
    H_R, S_R = (
        LatticeMatrix(sizes=sizes, pairs=pairs, cells=cells, values=blocks.ravel()).hermitized()
        for blocks in (H, S)
    )
    unknown = np.full(crystal.n_atoms * size, -1)
    return LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=OrbitalBasis(
            atom=np.repeat(np.arange(crystal.n_atoms), size),
            n=np.tile(np.arange(1, size + 1), crystal.n_atoms),
            l=unknown, m=0 * unknown, spin=0 * unknown,
        ),
        hamiltonian=H_R, overlap=S_R, n_electrons=112.0,
        origin=HamiltonianOrigin(
            provider="random", level_of_theory="none", self_consistent=False
        ),
    )  # fmt: skip


def random_derivatives(
    hamiltonian: LocalOrbitalHamiltonian, generator: np.random.Generator
) -> HamiltonianDerivatives:
    """Return random derivatives with the range of a 1x3x1 supercell of Sb2Se3."""
    crystal, overlap = hamiltonian.crystal, hamiltonian.overlap
    assert overlap is not None
    _, cells, distances = neighbours(crystal)
    radius, around = float(distances.max()), np.unique(cells, axis=0)
    atoms = np.tile(np.arange(crystal.n_atoms), len(around))
    cells = np.repeat(around, crystal.n_atoms, axis=0)
    places = (crystal.fractional[atoms] + cells) @ crystal.lattice
    moved, pairs, ends = [], [], []
    for atom, position in enumerate(crystal.fractional @ crystal.lattice):
        near = np.argsort(np.linalg.norm(places - position, axis=1))[:REACHED]
        bonds = places[near][None] - places[near][:, None]
        i, j = np.nonzero(np.linalg.norm(bonds, axis=2) < radius)
        moved.append(np.full(len(i), atom))
        pairs.append(np.stack([atoms[near][i], atoms[near][j]], axis=1))
        ends.append(np.stack([cells[near][i], cells[near][j]], axis=1))
    n_blocks = sum(len(part) for part in moved)
    size = int(overlap.sizes[0])
    x, y, z = (overlap.with_values(generator.normal(size=overlap.values.shape)) for _ in range(3))
    return HamiltonianDerivatives(
        sizes=overlap.sizes,
        overlap=(x, y, z),
        environment=EnvironmentDerivative(
            sizes=overlap.sizes, moved=np.concatenate(moved), pairs=np.concatenate(pairs),
            cells=np.concatenate(ends), values=generator.normal(size=3 * n_blocks * size**2),
        ),
    )  # fmt: skip


def random_states(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.complex128]:
    c = generator.normal(size=shape) + 1j * generator.normal(size=shape)
    return np.asarray(c / np.linalg.norm(c, axis=-2, keepdims=True))


def time_dense(
    hamiltonian: LocalOrbitalHamiltonian, generator: np.random.Generator, repeats: int
) -> tuple[float, float]:
    """Return seconds of a diagonalisation and of a dense contraction over all directions."""

    def diagonalise() -> None:
        H, S = hamiltonian.at(generator.random((1, 3)))
        eigh(H[0], S[0])

    n = hamiltonian.n_orbitals
    columns = CLUSTER_CELLS * n
    gradient = np.empty((TIMED_CELLS * n, columns))
    for row in range(0, len(gradient), n):
        gradient[row : row + n] = generator.random((n, columns))
    cells = np.array(list(product((-1, 0, 1), repeat=3)))
    bra, ket = random_states((2, n, 1), generator)[:, :, 0]

    def contract() -> complex:
        k, k_final = generator.random((2, 3))
        left = (np.exp(2j * np.pi * (cells[:TIMED_CELLS] @ k_final))[:, None] * bra).ravel()
        right = (np.exp(2j * np.pi * (cells @ k))[:, None] * ket).ravel()
        # Real matrix, complex vector: two real rows, in the order that was found fastest.
        applied = np.stack([right.real, right.imag]) @ gradient.T
        return complex(left.conj() @ (applied[0] + 1j * applied[1]))

    whole = 3 * hamiltonian.crystal.n_atoms * CLUSTER_CELLS / TIMED_CELLS
    return median_seconds(diagonalise, repeats), whole * median_seconds(contract, repeats)


def time_pairs(
    hamiltonian: LocalOrbitalHamiltonian,
    derivatives: HamiltonianDerivatives,
    generator: np.random.Generator,
    repeats: int,
) -> dict[str, float]:
    """Return seconds per pair of each step, in a run whose window holds so many final states.

    Final states are prepared once, for all initial states of the run.
    """
    vertex = CouplingVertex(hamiltonian, derivatives)
    n, n_modes = hamiltonian.n_orbitals, 3 * hamiltonian.crystal.n_atoms
    n_pairs = KETS_AT_ONCE * N_FINAL
    initial = random_states((KETS_AT_ONCE, n, 1), generator)
    final = random_states((N_FINAL, n, 1), generator)
    k, k_final = generator.random((KETS_AT_ONCE, 3)), generator.random((N_FINAL, 3))
    energies, final_energies = np.zeros((KETS_AT_ONCE, 1)), np.zeros((N_FINAL, 1))
    modes = np.empty((N_Q, n_modes, n_modes), dtype=np.complex128)
    modes[:] = random_states((n_modes, n_modes), generator)
    bras = vertex.bras(k_final, final_energies, final)
    kets = vertex.kets(k, energies, initial)
    batches = [slice(start, start + BRAS_AT_ONCE) for start in range(0, N_FINAL, BRAS_AT_ONCE)]
    n_batch = KETS_AT_ONCE * BRAS_AT_ONCE
    g = vertex.couple(bras.part(batches[0]), kets).reshape(n_batch, n_modes)
    where = generator.integers(N_Q, size=n_batch)
    flip = generator.random(n_batch) < 0.5

    def couple() -> None:
        for batch in batches:
            vertex.couple(bras.part(batch), kets)

    seconds = {
        "kets": median_seconds(lambda: vertex.kets(k, energies, initial), repeats),
        "bras": median_seconds(lambda: vertex.bras(k_final, final_energies, final), repeats),
        "products": median_seconds(couple, repeats),
        "modes": median_seconds(lambda: mode_sums(g, modes, where, flip), repeats),
    }
    seconds["bras"] *= KETS_AT_ONCE * OPERATIONS / N_FINAL
    seconds["modes"] *= len(batches)
    return {name: value / n_pairs for name, value in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orbitals", default="260,380", help="of all 20 atoms together")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    crystal = read_crystal(STRUCTURE)
    print(f"{crystal.n_atoms} atoms, {3 * crystal.n_atoms} modes, one thread; medians")
    print(f"dense contraction: {TIMED_CELLS} of {CLUSTER_CELLS} cells and one of "
          f"{3 * crystal.n_atoms} directions timed, the rest by multiplication")  # fmt: skip
    history: list[tuple[int, float, float, float]] = []
    for n_orbitals in (int(n) for n in options.orbitals.split(",")):
        generator = np.random.default_rng(n_orbitals)
        hamiltonian = random_hamiltonian(crystal, n_orbitals // crystal.n_atoms, generator)
        n = hamiltonian.n_orbitals
        derivatives = random_derivatives(hamiltonian, generator)
        assert derivatives.environment is not None
        dense_bytes = 8.0 * CLUSTER_CELLS**2 * n**2 * 3 * crystal.n_atoms
        sparse_bytes = float(derivatives.environment.nbytes)
        parts = time_pairs(hamiltonian, derivatives, generator, options.repeats)
        del derivatives
        eigen, contraction = time_dense(hamiltonian, generator, options.repeats)
        pair = sum(parts.values())
        # Irreducible states are diagonalised, each once, and meet all final states.
        with_states = pair + eigen / N_FINAL
        print(f"\n{n} orbitals, {hamiltonian.hamiltonian.n_blocks / crystal.n_atoms:.0f} blocks "
              f"per atom; derivatives {dense_bytes / 1e9:.1f} GB dense, "
              f"{sparse_bytes / 1e9:.2f} GB here")  # fmt: skip
        print(f"  as HamEPC, per (k, band, q): diagonalisation {eigen:.3f} s, "
              f"contraction {contraction:.2f} s, together {eigen + contraction:.2f} s")  # fmt: skip
        print(f"  here, per pair: {1e6 * pair:.0f} µs = "
              + " + ".join(f"{name} {1e6 * value:.0f}" for name, value in parts.items())
              + f"; {1 / pair:.0f} pairs/s")  # fmt: skip
        print(f"  with one diagonalisation per initial state: {1e6 * with_states:.0f} µs, "
              f"{1 / with_states:.0f} pairs/s")  # fmt: skip
        for label, other in (("", eigen + contraction), (" diagonalisation alone", eigen)):
            print(f"  ratio{label}: {other / pair:.0f}, "
                  f"with that diagonalisation {other / with_states:.0f}")  # fmt: skip
        history.append((n, pair, eigen, contraction))
    for (n, *few), (n_more, *many) in pairwise(history):
        powers = [log(b / a) / log(n_more / n) for a, b in zip(few, many, strict=True)]
        print(f"\nfrom {n} to {n_more} orbitals: pairs as n^{powers[0]:.1f}, diagonalisation "
              f"n^{powers[1]:.1f}, dense contraction n^{powers[2]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()

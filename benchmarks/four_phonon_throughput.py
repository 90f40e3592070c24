"""Four-phonon scattering: quartets of modes per second, FLOP/s against the machine's products.

Random force constants with the pattern of neighbours within a cut-off stand for a crystal of any
number of atoms, so that the scaling with branches and mesh can be seen without a potential.
Quartets are combinations of four modes (n⁴ per set of wave vectors, equivalent sets counted once);
the operations counted are those of the four complex products, 32 n⁵; the rest of the time goes into
energies and weights.

    python benchmarks/four_phonon_throughput.py [--atoms 2,4,8,20] [--mesh 3,3,3] [--device cpu]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.four_phonon import FourPhononScattering, partner_triples
from elphant.phonon.scattering.mesh import ReciprocalMesh
from elphant.phonon.scattering.modes import MeshModes, step_metric
from elphant.phonon.sparse_force_constants import SparseForceConstants

#: Quartets of atoms per atom of the cell, about as many as within 3.5 Å in Sb2Se3.
CLUSTERS_PER_ATOM = 60


def random_modes(n_atoms: int, divisions: tuple[int, int, int]) -> MeshModes:
    """Return modes with random unitary eigenvectors and an even spectrum up to 8 THz."""
    generator = np.random.default_rng(n_atoms)
    lattice = 3.0 * n_atoms ** (1 / 3) * np.eye(3)
    mesh = ReciprocalMesh.build(divisions, lattice, time_reversal=False)
    n = 3 * n_atoms
    shape = (mesh.n_points, n, n)
    vectors, _ = np.linalg.qr(generator.normal(size=shape) + 1j * generator.normal(size=shape))
    frequencies = np.sort(generator.uniform(0.5, 8.0, (mesh.n_points, n)), axis=1)
    velocities = generator.normal(scale=5.0, size=(mesh.n_points, n, 3))
    matrices = np.zeros((mesh.n_irreducible, 3, n, n), dtype=complex)
    matrices[:, :, np.arange(n), np.arange(n)] = velocities.transpose(0, 2, 1)
    return MeshModes(
        mesh=mesh, frequencies=frequencies, raw_frequencies=frequencies, eigenvectors=vectors,
        velocities=velocities, velocity_matrices=matrices,
        degenerate_ids=np.tile(np.arange(n), (mesh.n_points, 1)), masses=np.full(n_atoms, 50.0),
        lattice=lattice, positions=generator.random((n_atoms, 3)),
        step_metric=step_metric(lattice, mesh),
    )  # fmt: skip


def random_clusters(n_atoms: int) -> SparseForceConstants:
    generator = np.random.default_rng(n_atoms)
    n = CLUSTERS_PER_ATOM * n_atoms
    return SparseForceConstants(
        atoms=generator.integers(n_atoms, size=(n, 4)),
        cells=generator.integers(-1, 2, size=(n, 3, 3)),
        blocks=generator.normal(size=(n, 3, 3, 3, 3)),
        n_primitive=n_atoms,
    )


def product_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return FLOP/s of a large complex product on this device."""
    a = torch.randn(4096, 256, dtype=dtype, device=device)
    b = torch.randn(256, 256, dtype=dtype, device=device)
    a @ b
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 10 * 8 * 4096 * 256 * 256 / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", default="2,4,8,20")
    parser.add_argument("--mesh", default="3,3,3")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    device = torch.device(options.device)
    divisions = tuple(int(n) for n in options.mesh.split(","))
    peaks = {dtype: product_peak(device, dtype) for dtype in (torch.complex128, torch.complex64)}
    print(f"{device}, {torch.get_num_threads()} thread(s); products: "
          f"{peaks[torch.complex128] / 1e9:.1f} GFLOP/s double, "
          f"{peaks[torch.complex64] / 1e9:.1f} GFLOP/s single precision")  # fmt: skip
    for n_atoms in (int(n) for n in options.atoms.split(",")):
        modes = random_modes(n_atoms, divisions)
        clusters, n = random_clusters(n_atoms), 3 * n_atoms
        for single in (False, True):
            engine = FourPhononScattering(
                clusters, modes, Broadening(), device, single_precision=single
            )
            pairs = np.random.default_rng(0).permutation(engine.n_pairs)
            engine.draws(1, pairs[:1], [300.0])
            chosen = pairs[: max(1, min(len(pairs), int(2e7 / n**4)))]
            distinct, _ = partner_triples(modes.mesh, 1, chosen)
            done, start = 0, time.perf_counter()
            while time.perf_counter() - start < options.seconds:
                engine.draws(1, chosen, [300.0])
                done += len(distinct)
            rate = done / (time.perf_counter() - start)
            peak = peaks[torch.complex64 if single else torch.complex128]
            print(
                f"{n:3d} branches, {'single' if single else 'double'}: {rate:9.1f} sets of wave "
                f"vectors/s, {rate * n**4 / 1e6:8.1f} million quartets/s, "
                f"{rate * 32 * n**5 / 1e9:6.1f} GFLOP/s ({rate * 32 * n**5 / peak:.0%} of products)"
            )


if __name__ == "__main__":
    main()

"""Bands between mesh points beside PySCF's own, with the times and the memory of both.

Both solve the same problem: basis, pseudopotentials, functional and k mesh. elphant runs in its own
process; PySCF (KRKS, FFTDF; ``--multigrid`` for its multigrid integrals) starts from elphant's
density matrices, goes on until it is self-consistent by its own measure, and gives its bands at the
same random k points. Energies are compared as they are, without alignment.

    python benchmarks/bands_against_pyscf.py [--crystal si|gaas|FILE] [--k-mesh 4,4,4] [--points 6]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

from elphant.crystal import Crystal
from elphant.crystal.io import read_crystal
from elphant.models.hamiltonians.pyscf import PySCFProvider, PySCFSettings
from elphant.models.hamiltonians.pyscf.cell import load_species, periodic_cell
from elphant.orbitals import band_energies, solve
from elphant.units import EV_PER_HARTREE

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
#: Numbers and lattice constants (Å).
KNOWN = {"si": ((14, 14), 5.43356), "gaas": ((31, 33), 5.65325)}


def find_crystal(name: str) -> Crystal:
    if name not in KNOWN:
        return read_crystal(Path(name))
    numbers, constant = KNOWN[name]
    return Crystal(
        lattice=constant * FCC, fractional=np.array([[0.0] * 3, [0.25] * 3]), numbers=numbers
    )


def mesh_points(mesh: tuple[int, ...]) -> np.ndarray:
    axes = [np.arange(n) / n for n in mesh]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def run_elphant(crystal: Crystal, mesh: tuple[int, ...], k_points: np.ndarray, queue: Any) -> None:
    start = time.perf_counter()
    settings = PySCFSettings(k_mesh=mesh, k_shift=(0, 0, 0))
    h = PySCFProvider(settings).predict(crystal)
    seconds = time.perf_counter() - start
    states = solve(h, mesh_points(mesh))
    filled = states.coefficients[:, :, : h.n_occupied]
    queue.put({
        "bands": band_energies(h, k_points), "n_occupied": h.n_occupied, "seconds": seconds,
        "density_matrices": 2.0 * filled @ filled.conj().transpose(0, 2, 1),
        "details": h.origin.details, "gigabytes": peak_memory(),
    })  # fmt: skip


def run_pyscf(
    crystal: Crystal, mesh: tuple[int, ...], k_points: np.ndarray, start_from: dict[str, Any],
    multigrid: bool, queue: Any,
) -> None:  # fmt: skip
    from pyscf.pbc import dft

    species = load_species(crystal, "gth-dzvp-molopt-sr", "gth-pbe")
    cell = periodic_cell(crystal, species, "gth-pbe")
    # An odd mesh holds both signs of its largest waves.
    cell.mesh = [n + 1 - n % 2 for n in start_from["details"]["density_grid"]]
    calculation = dft.KRKS(cell, cell.get_abs_kpts(mesh_points(mesh)))
    calculation.xc = "pbe"
    if multigrid:
        calculation = calculation.multigrid_numint()
    calculation.conv_tol, calculation.verbose = 1e-8, 0
    start = time.perf_counter()
    energy = calculation.kernel(dm0=start_from["density_matrices"])
    cycles = time.perf_counter() - start
    bands = np.array(calculation.get_bands(cell.get_abs_kpts(k_points))[0]) * EV_PER_HARTREE
    queue.put({
        "bands": bands, "energy": energy * EV_PER_HARTREE, "seconds": cycles,
        "bands_seconds": time.perf_counter() - start - cycles, "gigabytes": peak_memory(),
        "cycles": calculation.cycles,
    })  # fmt: skip


def peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_process(function: Any, *arguments: Any) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=function, args=(*arguments, queue))
    process.start()
    while True:
        try:
            result: dict[str, Any] = queue.get(timeout=5.0)
            break
        except Empty:
            if not process.is_alive():
                raise SystemExit(f"{function.__name__} died") from None
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystal", default="si")
    parser.add_argument("--k-mesh", default="4,4,4")
    parser.add_argument("--points", type=int, default=6)
    parser.add_argument("--multigrid", action="store_true")
    arguments = parser.parse_args()
    mesh = tuple(int(n) for n in arguments.k_mesh.split(","))
    crystal = find_crystal(arguments.crystal)
    k_points = np.random.default_rng(7).random((arguments.points, 3))
    ours = in_process(run_elphant, crystal, mesh, k_points)
    details, n = ours["details"], ours["n_occupied"]
    print(f"{crystal}, k mesh {mesh}, {arguments.points} random k points")
    print(f"elphant: {ours['seconds']:.1f} s, {ours['gigabytes']:.2f} GB, "
          f"{details['iterations']} cycles, grid {details['density_grid']}, energy "
          f"{details['total_energy']:.5f} eV, gap on the mesh {details['gap_on_mesh']:.4f} eV",
          flush=True)  # fmt: skip
    theirs = in_process(run_pyscf, crystal, mesh, k_points, ours, arguments.multigrid)
    print(f"PySCF, from elphant's density: {theirs['seconds']:.1f} s, "
          f"{theirs['gigabytes']:.2f} GB, {theirs['cycles']} cycles, bands "
          f"{theirs['bands_seconds']:.1f} s, energy {theirs['energy']:.5f} eV")  # fmt: skip
    difference = ours["bands"] - theirs["bands"]
    top, bottom = theirs["bands"][:, n - 1].max(), theirs["bands"][:, n].min()
    near = (theirs["bands"] > top - 1.0) & (theirs["bands"] < bottom + 1.0)
    for label, chosen in (("within 1 eV of the gap", near), ("filled bands", slice(0, n))):
        values = 1e3 * (difference[chosen] if label[0] == "w" else difference[:, chosen]).ravel()
        print(f"{label}: {len(values)} energies, rms {np.sqrt(np.mean(values**2)):.3f} meV, "
              f"largest {np.abs(values).max():.3f} meV")  # fmt: skip


if __name__ == "__main__":
    main()

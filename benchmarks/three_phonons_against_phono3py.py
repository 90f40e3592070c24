"""Time and memory of three-phonon scattering beside phono3py, on the same machine in one run.

Both start from the same force constants of silicon and end with the conductivity in the
relaxation-time approximation with linear tetrahedra; reading the file is not counted. phono3py runs
without its r0 average, so that both evaluate the same sum. Each run is a process of its own, the
two alternate, and both use as many threads as OMP_NUM_THREADS and RAYON_NUM_THREADS say (one here).

    python benchmarks/three_phonons_against_phono3py.py [--mesh 15,15,15] [--repeat 3] [--bte]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PARAMS = Path(__file__).parents[1] / "tests/fixtures/Si_phono3py/phono3py_params_Si.yaml.xz"
THREADS = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_phono3py(mesh: tuple[int, ...], bte: bool) -> tuple[float, float]:
    import phono3py

    ph3 = phono3py.load(PARAMS, make_r0_average=False, log_level=0)
    start = time.perf_counter()
    ph3.mesh_numbers = mesh
    ph3.init_phph_interaction()
    ph3.run_thermal_conductivity(temperatures=[300.0], is_LBTE=bte)
    kappa = float(ph3.thermal_conductivity.kappa[0, 0, 0])
    return kappa, time.perf_counter() - start


def run_elphant(mesh: tuple[int, ...], bte: bool, kind: str) -> tuple[float, float]:
    import torch

    from elphant.phonon.adapters.import_files import load_force_constants
    from elphant.phonon.levels import LevelScattering, LevelSettings, solve_level
    from elphant.phonon.scattering.broadening import Broadening

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    force_constants = load_force_constants(PARAMS)
    start = time.perf_counter()
    settings = LevelSettings(
        mesh=mesh, isotope=False, collision=bte, broadening=Broadening(kind=kind)
    )
    scattering = LevelScattering(force_constants, settings)
    three = scattering.three_phonon(range(scattering.modes.mesh.n_irreducible))
    result = solve_level(scattering, three, None, solver="bte" if bte else "rta", coherence=False)
    return float(result.conductivity[0, 0, 0]), time.perf_counter() - start


def measure_one(which: str, mesh: tuple[int, ...], bte: bool) -> None:
    """Run one program in this process and print its figures as JSON."""
    if which == "phono3py":
        kappa, seconds = run_phono3py(mesh, bte)
    else:
        kappa, seconds = run_elphant(mesh, bte, which.split("-")[1])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"kappa": kappa, "seconds": seconds, "memory_gb": memory}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mesh", default="15,15,15")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--bte", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    mesh = tuple(int(n) for n in options.mesh.split(","))
    if options.one:
        measure_one(options.one, mesh, options.bte)
        return
    environment = {**dict.fromkeys(THREADS, "1"), **os.environ}
    figures: dict[str, list[dict[str, Any]]] = {
        "phono3py": [], "elphant-tetrahedron": [], "elphant-adaptive": [],
    }  # fmt: skip
    command = [sys.executable, __file__, "--mesh", options.mesh]
    command += ["--bte"] if options.bte else []
    for _ in range(options.repeat):
        for which, records in figures.items():
            output = subprocess.run(
                [*command, "--one", which],
                check=True, capture_output=True, text=True, env=environment,
            ).stdout  # fmt: skip
            records.append(json.loads(output.splitlines()[-1]))
    solver = "BTE" if options.bte else "RTA"
    print(f"silicon, mesh {options.mesh}, {solver} at 300 K, {options.repeat} runs each, "
          f"{environment['OMP_NUM_THREADS']} thread(s)")  # fmt: skip
    medians = {}
    for which, records in figures.items():
        seconds = [record["seconds"] for record in records]
        medians[which] = statistics.median(seconds)
        print(
            f"{which:20s} median {medians[which]:7.2f} s (min {min(seconds):.2f}, max "
            f"{max(seconds):.2f}), peak {max(r['memory_gb'] for r in records):.2f} GB, "
            f"kappa_xx {records[0]['kappa']:.4f} W/mK, "
            f"{medians['phono3py'] / medians[which]:.1f} times as fast as phono3py"
        )


if __name__ == "__main__":
    main()

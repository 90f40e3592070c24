"""Time and memory of elphant's RTA conductivity beside phono3py's own, on the same machine.

Each program runs in a process of its own, alternating, so that neither profits from the other's
warm files or leftover memory. In this version elphant drives phono3py, so the ratio shows the cost
of storing, sharding and checking; it will show the gain of elphant's own engine later.

    python benchmarks/kappa_against_phono3py.py [--params FILE] [--mesh 9,9,9] [--repeat 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEFAULT = Path(__file__).parents[1] / "tests/fixtures/Si_phono3py/phono3py_params_Si.yaml.xz"


def run_phono3py(params: Path, mesh: tuple[int, ...]) -> float:
    import phono3py

    ph3 = phono3py.load(params, log_level=0)
    ph3.mesh_numbers = mesh
    ph3.init_phph_interaction()
    ph3.run_thermal_conductivity(temperatures=[300.0])
    return float(ph3.thermal_conductivity.kappa[0, 0, 0])


def run_elphant(params: Path, mesh: tuple[int, ...]) -> float:
    import elphant

    with tempfile.TemporaryDirectory() as folder:
        result = elphant.run(
            force_constants=params,
            output=Path(folder) / "bench.run",
            conductivity={
                "mesh": mesh,
                "temperatures": (300.0,),
                "solver": ("rta",),
                "isotopes": False,
            },
        )
        return float(result.thermal_conductivity(300.0).values[0, 0])


def measure_one(which: str, params: Path, mesh: tuple[int, ...]) -> None:
    """Run one program in this process and print its figures as JSON."""
    start = time.perf_counter()
    value = {"phono3py": run_phono3py, "elphant": run_elphant}[which](params, mesh)
    record = {
        "kappa": value,
        "seconds": time.perf_counter() - start,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }
    print(json.dumps(record))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, default=DEFAULT)
    parser.add_argument("--mesh", default="9,9,9")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--one", choices=("phono3py", "elphant"))
    options = parser.parse_args()
    mesh = tuple(int(n) for n in options.mesh.split(","))
    if options.one:
        measure_one(options.one, options.params, mesh)
        return
    figures: dict[str, list[dict[str, float]]] = {"phono3py": [], "elphant": []}
    for _ in range(options.repeat):
        for which, records in figures.items():
            command = [sys.executable, __file__, "--one", which, "--params", str(options.params)]
            output = subprocess.run(
                [*command, "--mesh", options.mesh], check=True, capture_output=True, text=True
            ).stdout
            records.append(json.loads(output.splitlines()[-1]))
    print(f"{options.params.name}, mesh {options.mesh}, RTA at 300 K, {options.repeat} runs each")
    for which, records in figures.items():
        seconds = [record["seconds"] for record in records]
        print(
            f"{which:10s} median {statistics.median(seconds):7.2f} s "
            f"(min {min(seconds):.2f}, max {max(seconds):.2f}), "
            f"peak {max(record['memory_gb'] for record in records):.2f} GB, "
            f"kappa_xx {records[0]['kappa']:.6f} W/mK"
        )
    medians = {k: statistics.median(r["seconds"] for r in v) for k, v in figures.items()}
    print(f"ratio elphant / phono3py: {medians['elphant'] / medians['phono3py']:.2f}")


if __name__ == "__main__":
    main()

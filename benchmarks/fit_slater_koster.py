"""Fit a non-orthogonal two-centre set to the bands of a Hamiltonian file.

    python benchmarks/fit_slater_koster.py OUT.json HAMILTONIAN [HAMILTONIAN ...] --name si-pbe \
        --shells Si:s,p --electrons Si:4 --distances Si-Si:2.35 --cutoff 3.5 5.6 --bands 6

Energies are relative to the valence-band maximum of each file. Bands far above the gap count less.
k points are a mesh and the lines from the zone centre to the points 1/2 0 0 ... 1/2 1/2 1/2.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from elphant.crystal import Crystal
from elphant.errors import PhysicsError
from elphant.models.hamiltonians.loading import load_hamiltonian
from elphant.models.hamiltonians.slater_koster import SlaterKosterProvider
from elphant.models.hamiltonians.slater_koster.parameters import parameters_from_dict
from elphant.models.hamiltonians.slater_koster.two_centre import BOND_KINDS
from elphant.orbitals import band_energies

L = {"s": 0, "p": 1, "d": 2}

#: Rough starting values in eV and 1 (H, S) by kind of integral; signs as for a bond along z.
START = {
    ("s", "s", "sigma"): (-2.0, 0.15),
    ("s", "p", "sigma"): (2.2, -0.2),
    ("p", "p", "sigma"): (2.8, -0.25),
    ("p", "p", "pi"): (-0.8, 0.12),
    ("s", "d", "sigma"): (-1.5, 0.1),
    ("p", "d", "sigma"): (-1.5, 0.1),
    ("p", "d", "pi"): (0.8, -0.05),
    ("d", "d", "sigma"): (-1.0, 0.05),
    ("d", "d", "pi"): (0.8, -0.05),
    ("d", "d", "delta"): (-0.1, 0.01),
}
ENERGY = {"s": -8.0, "p": 0.0, "d": 8.0}
DECAY = 3.0

#: Smaller eigenvalues of S(k) are discouraged: displaced atoms must not make S indefinite.
SMALLEST_OVERLAP = 0.2


def template(
    name: str,
    shells: dict[str, list[str]],
    valence: dict[str, float],
    distances: dict[tuple[str, str], float],
    cutoff: tuple[float, float],
    origin: str,
) -> dict[str, Any]:
    """Return the record with starting values."""
    pairs = []
    for a, b in combinations_with_replacement(shells, 2):
        tables: dict[str, dict[str, list[float]]] = {"hamiltonian": {}, "overlap": {}}
        for x, y in product(shells[a], shells[b]):
            if a == b and L[x] > L[y]:
                continue
            for kind in BOND_KINDS[: min(L[x], L[y]) + 1]:
                low, high = sorted((x, y), key=lambda s: L[s])
                sign = 1.0 if L[x] <= L[y] else (-1.0) ** (L[x] + L[y])
                h, s = START[low, high, kind]
                tables["hamiltonian"][f"{x} {y} {kind}"] = [sign * h, 0.0, DECAY]
                tables["overlap"][f"{x} {y} {kind}"] = [sign * s, 0.0, DECAY]
        pairs.append(
            {"elements": [a, b], "distance": distances[a, b], "onset": cutoff[0],
             "cutoff": cutoff[1], **tables}
        )  # fmt: skip
    return {
        "format": "elphant-slater-koster", "format_version": 1, "name": name, "origin": origin,
        "licence": "MIT", "orthogonal": False,
        "elements": {
            e: {"n_electrons": valence[e],
                "shells": [{"name": s, "l": L[s], "energy": ENERGY[s]} for s in names]}
            for e, names in shells.items()
        },
        "pairs": pairs,
    }  # fmt: skip


def slots(record: dict[str, Any]) -> list[tuple[dict[Any, Any] | list[Any], Any]]:
    """Return (container, key) of every fitted number."""
    found: list[tuple[Any, Any]] = []
    for element in record["elements"].values():
        found += [(shell, "energy") for shell in element["shells"]]
    for pair in record["pairs"]:
        for table in (pair["hamiltonian"], pair["overlap"]):
            found += [(row, i) for row in table.values() for i in range(3)]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Bands (n_k, n_bands) of one crystal, relative to the valence-band maximum."""

    crystal: Crystal
    k_points: np.ndarray
    bands: np.ndarray
    n_filled: int

    @property
    def gap(self) -> float:
        return float(self.bands[:, self.n_filled].min())

    @property
    def weights(self) -> np.ndarray:
        far = np.exp(-np.clip(self.bands - self.gap, 0, None) / 2.0)
        return far * np.where(self.bands < -6, 0.4, 1.0)


def target_of(source: str, k_points: np.ndarray, n_bands: int, skip: int) -> Target:
    reference = load_hamiltonian(source)
    bands = band_energies(reference, k_points)
    filled = reference.n_occupied
    return Target(
        crystal=reference.crystal,
        k_points=k_points,
        bands=bands[:, skip : skip + n_bands] - bands[:, filled - 1].max(),
        n_filled=filled - skip,
    )


def model_bands(record: dict[str, Any], target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Return bands relative to their own valence-band maximum, and smallest eigenvalues of S."""
    h = SlaterKosterProvider(parameters_from_dict(record)).predict(target.crystal)
    bands = band_energies(h, target.k_points)[:, : target.bands.shape[1]]
    smallest = np.linalg.eigvalsh(h.at(target.k_points)[1])[:, 0]
    return bands - bands[:, target.n_filled - 1].max(), smallest


def residuals_of(
    record: dict[str, Any], targets: list[Target], tether: float
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    places = slots(record)
    start = np.array([container[key] for container, key in places])
    scale = np.maximum(np.abs(start), 0.2)

    def residuals(x: np.ndarray) -> np.ndarray:
        for (container, key), value in zip(places, x * scale, strict=True):
            container[key] = float(value)
        parts = [tether * (x - start / scale)]
        for target in targets:
            try:
                bands, smallest = model_bands(record, target)
            except PhysicsError:  # S(k) is not positive: far outside
                parts.append(np.full(target.bands.size + len(target.k_points), 1e2))
                continue
            parts.append(((bands - target.bands) * target.weights).ravel())
            parts.append(5.0 * np.clip(SMALLEST_OVERLAP - smallest, 0.0, None))
        return np.concatenate(parts)

    return residuals, start / scale


def fit(
    record: dict[str, Any], targets: list[Target], evaluations: int, tether: float
) -> dict[str, Any]:
    residuals, start = residuals_of(record, targets, tether)
    result = least_squares(residuals, start, max_nfev=evaluations, verbose=1, x_scale=1.0)
    residuals(result.x)
    for target in targets:
        bands, smallest = model_bands(record, target)
        error, n = bands - target.bands, target.n_filled
        near = (target.bands > -3) & (target.bands < target.gap + 1)
        print(
            f"volume {target.crystal.volume:.2f} A^3: rms of valence bands "
            f"{np.sqrt((error[:, :n] ** 2).mean()):.3f} eV, near the gap "
            f"{np.sqrt((error[near] ** 2).mean()):.3f} eV; gap {bands[:, n].min():.3f} "
            f"(reference {target.gap:.3f}) eV; least eigenvalue of S {smallest.min():.3f}"
        )
    return record


def sampled(mesh: list[int], n_line: int) -> np.ndarray:
    """Return half of a mesh (time reversal) and points on lines to the zone boundary."""
    grid = [np.arange(n) / n for n in mesh]
    points = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, 3)
    keep = [i for i, k in enumerate(points) if tuple((-k % 1).round(9)) >= tuple(k.round(9))]
    ends = [np.array(end) / 2 for end in product((0, 1), repeat=3) if any(end)] if n_line else []
    lines = [(np.arange(n_line) + 0.5)[:, None] / n_line * end for end in ends]
    return np.concatenate([points[keep], *lines])


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return [rounded(entry) for entry in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("hamiltonians", nargs="+", help="files of one crystal at several volumes")
    parser.add_argument("--name", required=True)
    parser.add_argument("--shells", nargs="+", required=True, help="Si:s,p")
    parser.add_argument("--electrons", nargs="+", required=True, help="Si:4")
    parser.add_argument("--distances", nargs="+", required=True, help="Si-Si:2.35")
    parser.add_argument("--cutoff", nargs=2, type=float, required=True)
    parser.add_argument("--bands", type=int, required=True)
    parser.add_argument("--skip", type=int, default=0, help="semicore bands left out")
    parser.add_argument("--mesh", nargs=3, type=int, default=(4, 4, 4))
    parser.add_argument("--lines", type=int, default=0, help="points on each line")
    parser.add_argument("--tether", type=float, default=0.02, help="pull to starting values")
    parser.add_argument("--origin", required=True)
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--start", type=Path, help="an earlier result to start from")
    options = parser.parse_args()
    shells = {e: s.split(",") for e, s in (entry.split(":") for entry in options.shells)}
    valence = {e: float(n) for e, n in (entry.split(":") for entry in options.electrons)}
    distances = {}
    for pair, d in (entry.split(":") for entry in options.distances):
        a, b = pair.split("-")
        distances[a, b] = distances[b, a] = float(d)
    k_points = sampled(options.mesh, options.lines)
    targets = [
        target_of(source, k_points, options.bands, options.skip) for source in options.hamiltonians
    ]
    record = template(
        options.name, shells, valence, distances, tuple(options.cutoff), options.origin
    )
    if options.start:
        record["elements"] = (earlier := json.loads(options.start.read_text()))["elements"]
        record["pairs"] = earlier["pairs"]
    record = fit(record, targets, options.evaluations, options.tether)
    options.out.write_text(json.dumps(rounded(record), indent=1) + "\n")


if __name__ == "__main__":
    main()

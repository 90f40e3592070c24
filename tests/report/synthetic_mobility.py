"""Mobilities of a synthetic run of Sb2Se3: they have the shape and the sums of results.

Mobilities fall as a power of T and with density; shares sum to one; rates are Fröhlich-like with a
threshold. Nothing here is a result.
"""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from elphant.crystal import Crystal, Frame
from elphant.tensors import TransportTensor

TEMPERATURES = (200.0, 300.0, 400.0, 500.0)
DENSITIES = (1e16, 1e18)
#: Along the Pnma axes a, b, c at 300 K and the lowest density, cm² V⁻¹ s⁻¹, BTE.
TOTAL = {"electron": (2.4, 91.0, 16.5), "hole": (4.1, 10.2, 18.8)}
_PARTS = {"total": 1.0, "polar": 1.22, "remaining": 5.4}
_SOLVERS = {"serta": 0.82, "mrta": 1.09, "bte": 1.0}
_MESHES = {"electron": (12, 36, 12), "hole": (12, 36, 12)}
EDGES = np.linspace(0.0, 6.6, 41)

KEYS = {
    "seebeck": "uV K^-1", "electrical_conductivity": "S m^-1",
    "electronic_thermal_conductivity": "W m^-1 K^-1", "lorenz_number": "W Ohm K^-2",
    "figure_of_merit": "1",
}  # fmt: skip


def add_mobility(run: Path, folder: Path, axes: np.ndarray | None = None) -> Path:
    """Copy a synthetic run with electrons to ``folder``, add mobilities, and return the folder.

    ``axes`` are rows in terms of the Pnma axes; zT is added where the run has a lattice part.
    """
    axes = np.eye(3) if axes is None else axes
    folder.mkdir(parents=True, exist_ok=True)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    crystal, frame = Crystal.from_dict(results["structure"]), Frame.from_dict(results["frame"])
    results |= mobility_records(crystal, frame, axes, zt=bool(results["thermal_conductivity"]))
    results["quality"] += FLAGS
    results["provenance"]["citations"] += CITATIONS
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    shutil.copy(run / "data.h5", folder / "data.h5")
    with h5py.File(folder / "data.h5", "a") as file:
        write_rates(file)
    return folder


def mobility_records(
    crystal: Crystal, frame: Frame, axes: np.ndarray, *, zt: bool = False
) -> dict[str, Any]:
    """Return the records of schema 1.3; ``axes`` are rows in terms of the Pnma axes."""
    records: dict[str, Any] = {name: [] for name in ("mobility", *KEYS)}
    for carrier in TOTAL:
        for solver in _SOLVERS:
            for density in DENSITIES:
                for temperature in TEMPERATURES:
                    _add(records, carrier, solver, temperature, density, frame, axes)
    if not zt:
        records["figure_of_merit"] = []
    return records | {
        "schema_version": "1.3",
        "attribution": _attribution(axes),
        "validity": _validity(crystal, axes),
        "carrier_transport": _how(axes),
    }


FLAGS = [
    {"name": "boltzmann_picture_electron", "severity": "warning", "value": None, "threshold": None,
     "message": "electrons at 300 K: the mean free path along some axis is shorter than a bond"},
]  # fmt: skip
CITATIONS = ["ponce2020", "verdi2015"]


def _add(records, carrier, solver, temperature, density, frame, axes) -> None:
    """Add the records of one solution."""
    factor = _SOLVERS[solver] * (temperature / 300.0) ** -1.4 * (1e16 / density) ** 0.03
    base = np.array(TOTAL[carrier]) * factor
    common = {
        "carrier": carrier, "temperature": temperature, "density": density, "solver": solver,
        "variant": "velocity" if solver == "mrta" else None,
    }  # fmt: skip
    for part, ratio in _PARTS.items():
        error = {axis: 0.03 * x for axis, x in zip("abc", np.abs(axes) @ base, strict=True)}
        tensor = _tensor(base * ratio, "cm^2 V^-1 s^-1", frame, axes)
        records["mobility"].append(
            common | tensor | {"part": part, "extrapolated_error": error if ratio == 1.0 else None}
        )
    sign = -1.0 if carrier == "electron" else 1.0
    sigma = 1.602e-19 * density * base * 100.0
    values = {
        "electrical_conductivity": sigma,
        "seebeck": sign * 86.17 * (np.log(2e19 / density) + np.array([2.4, 2.5, 2.6])),
        "electronic_thermal_conductivity": 1.6e-8 * sigma * temperature,
        "lorenz_number": np.array([1.6e-8, 1.5e-8, 1.7e-8]),
        "figure_of_merit": 1e-4 * base,
    }
    for name, unit in KEYS.items():
        record = common | _tensor(values[name], unit, frame, axes)
        if name == "figure_of_merit":
            record |= {"lattice_level": "HA+3ph", "lattice_solver": "bte",
                       "lattice_coherence": False}  # fmt: skip
        records[name].append(record)


def _tensor(values: np.ndarray, unit: str, frame: Frame, axes: np.ndarray) -> dict[str, Any]:
    tensor = axes @ np.diag(values) @ axes.T
    return TransportTensor(values=tensor, unit=unit, frame=frame).to_dict()


def _attribution(axes: np.ndarray) -> list[dict[str, Any]]:
    """Shares per axis: an acoustic and two optical groups; interference is negative along a."""
    centres = 0.5 * (EDGES[1:] + EDGES[:-1])
    records = []
    for carrier in TOTAL:
        for solver in ("serta", "bte"):
            for axis, row in zip("abc", np.abs(axes), strict=True):
                i = int(row.argmax())
                parts = {"polar": 0.86 - 0.1 * i, "short": 0.24 + 0.02 * i}
                parts["interference"] = 1.0 - sum(parts.values())
                shapes = {
                    "polar": np.exp(-(((centres - 5.2) / 0.3) ** 2))
                    + 0.5 * np.exp(-(((centres - 3.4) / 0.25) ** 2)),
                    "short": np.exp(-(((centres - 0.9 - 0.2 * i) / 0.4) ** 2)),
                    "interference": np.exp(-(((centres - 2.4) / 0.8) ** 2)),
                }
                spectra = {name: parts[name] * s / s.sum() for name, s in shapes.items()}
                whole = sum(spectra.values())
                modes = [
                    {"frequency_low": float(low), "frequency_high": float(high),
                     "share": float(whole[n]), **{k: float(v[n]) for k, v in spectra.items()}}
                    for n, (low, high) in enumerate(pairwise(EDGES.tolist()))
                ]  # fmt: skip
                inter = 0.08 + 0.05 * i
                records.append(
                    {"carrier": carrier, "temperature": 300.0, "density": DENSITIES[0],
                     "solver": solver, "variant": None, "axis": axis, "by_part": parts,
                     "by_valley": {"intra": 1.0 - inter, "inter": inter}, "by_mode": modes}
                )  # fmt: skip
    return records


def _validity(crystal: Crystal, axes: np.ndarray) -> list[dict[str, Any]]:
    records = []
    verdicts = {"electron": ("invalid", "valid", "doubtful"), "hole": ("doubtful",) * 3}
    path = {"electron": (1.9, 24.0, 8.1), "hole": (4.2, 3.6, 7.9)}
    for carrier in TOTAL:
        for temperature in TEMPERATURES:
            for n, (axis, row) in enumerate(zip("abc", np.abs(axes), strict=True)):
                i = int(row.argmax())
                kt = 8.617e-5 * temperature
                records.append(
                    {"carrier": carrier, "temperature": temperature, "axis": axis,
                     "hbar_over_tau_ev": kt * (4.4, 0.7, 1.6)[i], "kt_ev": kt,
                     "hbar_omega_ev": 0.0162, "lattice_A": float(crystal.lengths[n]),
                     "mean_free_path_A": path[carrier][i] * 300.0 / temperature,
                     "vertex_difference": {"electron": 0.021, "hole": 0.0087}[carrier],
                     "verdict": verdicts[carrier][i]}
                )  # fmt: skip
    return records


def _how(axes: np.ndarray) -> dict[str, Any]:
    turned = {c: np.rint(np.abs(axes) @ np.array(m)).astype(int) for c, m in _MESHES.items()}
    convergence = []
    for carrier, mesh in turned.items():
        for scale in (0.6, 0.8, 1.0):
            divisions = np.maximum(1, np.rint(scale * mesh)).astype(int)
            shift = 1.0 + 0.05 / scale**2
            values = np.abs(axes) @ np.array(TOTAL[carrier]) * shift
            convergence.append(
                {"carrier": carrier, "solver": "bte", "mesh": divisions.tolist(),
                 "axes": dict(zip("abc", values.tolist(), strict=True))}
            )  # fmt: skip
    frohlich = {
        "alpha": 2.1, "omega_thz": 5.1, "epsilon_static": np.diag([60.0, 110.0, 95.0]).tolist(),
        "mass": np.diag([6.8, 0.16, 0.9]).tolist(),
        "one_mode_mobility": {"serta": 40.1, "mrta": 55.2, "bte": 52.3},
    }  # fmt: skip
    return {
        "mesh": {c: m.tolist() for c, m in turned.items()},
        "window_ev": {"electron": 0.431, "hole": 0.431},
        "n_states": {"electron": 812, "hole": 944},
        "n_pairs": {"electron": 1820344, "hole": 2011730},
        "pair_seconds": {"electron": 41.0, "hole": 44.0},
        "broadening": "adaptive", "vertex": "co-moving", "range_parameter": 0.55,
        "derivatives": {"method": "central differences in a supercell", "supercell": [1, 3, 1],
                        "n_displacements": 60, "displacement": 0.03, "sum_rule_removed": 0.012},
        "convergence": convergence, "parity": {
            "differences": ["wave vectors: every point of a symmetric mesh"],
            "values": [{"carrier": "electron", "part": "total", "temperature": 300.0,
                        "density": 1e16, "unit": "cm^2 V^-1 s^-1",
                        "axes": {"a": 1.7, "b": 80.0, "c": 14.0}}],
        },
        "range_sensitivity": [
            {"carrier": "electron", "solver": "bte", "range_parameter": 0.275,
             "relative_change": {"a": 0.011, "b": -0.006, "c": 0.004}},
        ],
        "frohlich": {"electron": frohlich, "hole": frohlich | {"alpha": 2.6}},
        "mrta_variant": "velocity", "impurities": None, "screening": False, "seconds": 181.0,
    }  # fmt: skip


def write_rates(file: h5py.File) -> None:
    """Write energies, weights and rates of both carriers."""
    rng = np.random.default_rng(3)
    for carrier, scale in (("electron", 60.0), ("hole", 95.0)):
        energy = np.sort(0.43 * rng.random(812) ** 0.7)
        kt = 8.617e-5 * np.array(TEMPERATURES)[:, None]
        above = np.maximum(energy / 0.021 - 1.0, 0.0)
        polar = scale * kt / 0.026 * (1.0 + 0.9 * np.sqrt(above))
        polar = polar * np.exp(0.15 * rng.normal(size=energy.shape))
        short = 0.3 * scale * kt / 0.026 * np.sqrt(energy / 0.05 + 0.1)
        short = short * np.exp(0.35 * rng.normal(size=energy.shape))
        interference = -0.2 * short
        group = file.create_group(f"electrons/transport/{carrier}")
        group["energy"], group["weight"] = energy, np.full(len(energy), 8.0 / 5184)
        group["velocity"] = rng.normal(size=(len(energy), 3)) * 1000.0
        group["temperature"] = np.array(TEMPERATURES)
        group["rate"] = polar + short + interference
        group["rate_polar"], group["rate_short"] = polar, short
        group["rate_interference"] = interference

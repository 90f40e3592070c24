"""Synthetic run directories: a spring model of Sb2Se3 with sixty branches, same for every call.

Frequencies are those of a Born-von-Karman model (longitudinal and transverse springs that decay
with distance) on the Pnma cell, scaled to a highest frequency of 6.46 THz. Rates grow with f
and temperature. Nothing here is a result; it looks like one and adds up like one. With ``ladder``
all levels of theory and the anharmonic analysis are there too, with ``electrons`` the electronic
structure; without ``phonons`` only that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from synthetic_electrons import electron_records, write_electrons

from elphant.crystal import Crystal, Frame, Symmetry, find_symmetry
from elphant.models.card import ModelCard
from elphant.phonon.analysis.cumulative import along_axes
from elphant.phonon.analysis.phase_space import RatesByProcess, velocity_anisotropy
from elphant.quality import QualityFlag
from elphant.tensors import TransportTensor
from elphant.units import (
    BOLTZMANN_EV,
    PLANCK_EV_PS,
    THZ_PER_SQRT_EV_A2_AMU,
    W_PER_MK_PER_EV_PER_K_A_PS,
)

#: Rows: the axes of each setting in terms of the Pnma axes.
SETTINGS = {"Pnma": np.eye(3), "Pbnm": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=float)}
TEMPERATURES = np.array([100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0])
UNIT = "W m^-1 K^-1"

# Sites 4c of Pnma (x, 1/4, z): two Sb, three Se.
_SITES = {
    51: ((0.0224, 0.3291), (0.8500, 0.9622)),
    34: ((0.0536, 0.8665), (0.2149, 0.1967), (0.3705, 0.9479)),
}
_POINTS = {
    "Γ": (0, 0, 0), "X": (0.5, 0, 0), "S": (0.5, 0.5, 0), "Y": (0, 0.5, 0), "Z": (0, 0, 0.5),
    "U": (0.5, 0, 0.5), "R": (0.5, 0.5, 0.5), "T": (0, 0.5, 0.5),
}  # fmt: skip
_PATH = ("ΓXSYΓZURTZ", "YT")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions:
    """What the synthetic run should look like."""

    name: str = "Sb2Se3"
    setting: str = "Pnma"
    preset: str = "quick"
    potential: str = "sevennet-l3i5"
    lengths: tuple[float, float, float] = (11.70, 3.99, 11.33)
    mesh: tuple[int, int, int] = (3, 7, 3)
    n_band_points: int = 14
    stiffness: float = 1.0
    imaginary: bool = False
    bte: bool = True
    arrays: bool = True
    ladder: bool = False
    electrons: bool = False
    phonons: bool = True
    temperatures: tuple[float, ...] = tuple(TEMPERATURES)


def build_run(folder: Path, options: SyntheticOptions | None = None) -> Path:
    """Write ``results.json`` and ``data.h5`` into ``folder`` and return it."""
    options = options or SyntheticOptions()
    folder.mkdir(parents=True, exist_ok=True)
    crystal = sb2se3(options)
    symmetry = find_symmetry(crystal, 1e-3)
    frame = Frame.of(crystal, symmetry)
    model = SpringModel.of(crystal, options)
    arrays = _transport(model, crystal, options)
    results = _results(options, crystal, symmetry, frame, arrays)
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    if options.arrays:
        with h5py.File(folder / "data.h5", "w") as file:
            _write_bands(file, model, options)
            _write_mesh(file, arrays)
            _write_transport(file, arrays, options)
            if options.ladder:
                _write_ladder(file, model, arrays, crystal, options)
            if options.electrons:
                path = {name: item[()] for name, item in file["phonons/bands"].items()}
                path["label"] = [name.decode() for name in path["label"]]
                write_electrons(file, crystal, SETTINGS[options.setting], path)
            if not options.phonons:
                for name in set(file) - {"electrons"}:
                    del file[name]
    return folder


def sb2se3(options: SyntheticOptions) -> Crystal:
    """Return the crystal in the wanted setting."""
    numbers, positions = [], []
    for number, sites in _SITES.items():
        for x, z in sites:
            orbit = [
                (x, 0.25, z),
                (-x, 0.75, -z),
                (0.5 - x, 0.75, 0.5 + z),
                (0.5 + x, 0.25, 0.5 - z),
            ]
            positions += orbit
            numbers += [number] * 4
    axes = SETTINGS[options.setting]
    lengths = axes @ np.array(options.lengths)
    fractional = np.array(positions) @ axes.T % 1.0
    return Crystal(
        lattice=np.diag(lengths),
        fractional=fractional,
        numbers=np.array(numbers),
        name=options.name,
    )


@dataclass(frozen=True, kw_only=True)
class SpringModel:
    """Pairs and springs; gives frequencies, eigenvectors and velocities at any q."""

    crystal: Crystal
    pairs: np.ndarray  # (n_pairs, 2) atoms i, j
    vectors: np.ndarray  # (n_pairs, 3) Å, from i to the image of j
    springs: np.ndarray  # (n_pairs, 3, 3) eV/Å²
    scale: float
    imaginary: bool

    @classmethod
    def of(cls, crystal: Crystal, options: SyntheticOptions) -> SpringModel:
        shifts = np.array(np.meshgrid(*[range(-3, 4)] * 3, indexing="ij")).reshape(3, -1).T
        delta = crystal.fractional[None, :, None] - crystal.fractional[:, None, None] + shifts
        vectors = delta @ crystal.lattice
        distance = np.linalg.norm(vectors, axis=-1)
        i, j, s = np.nonzero((distance > 0.1) & (distance < 5.5))
        r, d = vectors[i, j, s], distance[i, j, s]
        n = r / d[:, None]
        ribbon = SETTINGS[options.setting] @ np.array([0.0, 1.0, 0.0])
        # Bonds decay with distance; stiff chains run along the ribbons (the shortest axis).
        strength = np.exp(-(d - 2.65) / 0.33) + 0.06 * (np.abs(n @ ribbon) > 0.999) * (d < 4.5)
        outer = np.einsum("pi,pj->pij", n, n)
        springs = strength[:, None, None] * (0.93 * outer + 0.07 * np.eye(3))
        model = cls(crystal=crystal, pairs=np.stack([i, j], axis=1), vectors=r, springs=springs,
                    scale=1.0, imaginary=False)  # fmt: skip
        highest = model.solve(np.zeros(3))[0].max()
        scale = (6.46 / highest) ** 2 * options.stiffness
        return cls(crystal=crystal, pairs=model.pairs, vectors=r, springs=springs, scale=scale,
                   imaginary=options.imaginary)  # fmt: skip

    def solve(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return frequencies (THz), eigenvectors (3N, modes) and velocities (modes, 3; Å THz)."""
        n = self.crystal.n_atoms
        wave = 2 * np.pi * q @ np.linalg.inv(self.crystal.lattice).T
        dynamical = np.zeros((n, n, 3, 3), dtype=complex)
        slope = np.zeros((3, n, n, 3, 3), dtype=complex)
        phase = np.exp(1j * self.vectors @ wave)[:, None, None]
        i, j = self.pairs.T
        np.add.at(dynamical, (i, i), self.springs * self.scale)
        np.add.at(dynamical, (i, j), -self.springs * phase * self.scale)
        for axis in range(3):
            gradient = -1j * self.vectors[:, axis, None, None] * self.springs * phase * self.scale
            np.add.at(slope[axis], (i, j), gradient)
        mass = np.sqrt(np.outer(self.crystal.masses, self.crystal.masses))
        dynamical = (dynamical / mass[:, :, None, None]).transpose(0, 2, 1, 3).reshape(3 * n, -1)
        slope = (slope / mass[:, :, None, None]).transpose(0, 1, 3, 2, 4).reshape(3, 3 * n, -1)
        eigenvalues, vectors = np.linalg.eigh(dynamical)
        if self.imaginary:
            # One soft optical branch, softest in the middle of the zone.
            eigenvalues[3] -= eigenvalues[3] * 1.5 * np.exp(-np.abs(np.sin(np.pi * q)).sum())
        factor = THZ_PER_SQRT_EV_A2_AMU
        frequency = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * factor
        rise = ((slope @ vectors) * vectors.conj()).sum(axis=1).real.T
        # v = dω/dq = (2π f0)² <dD/dq> / (2 ω), and ω = 2π f.
        omega = 2 * np.pi * np.where(np.abs(frequency) < 1e-3, np.inf, np.abs(frequency))
        return frequency, vectors, (2 * np.pi * factor) ** 2 * rise / (2 * omega[:, None])


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Everything that goes to data.h5 apart from the bands."""

    q_point: np.ndarray
    weight: np.ndarray
    frequency: np.ndarray
    velocity: np.ndarray
    element_weight: dict[str, np.ndarray]
    heat_capacity: np.ndarray
    rate_three_phonon: np.ndarray
    rate_isotope: np.ndarray
    mode_conductivity: np.ndarray
    temperatures: np.ndarray


def _octant(mesh: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Irreducible points of a Γ-centred odd mesh under mmm, and their multiplicities."""
    axes = [np.arange((n + 1) // 2) / n for n in mesh]
    points = np.array(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).T
    return points, np.prod(np.where(points > 0, 2, 1), axis=1)


def _transport(model: SpringModel, crystal: Crystal, options: SyntheticOptions) -> Arrays:
    axes = SETTINGS[options.setting]
    points, weight = _octant(options.mesh)
    points = points @ axes.T
    solved = [model.solve(q) for q in points]
    frequency = np.array([item[0] for item in solved])
    velocity = np.array([item[2] for item in solved])
    symbols = np.repeat(crystal.symbols, 3)
    element_weight = {
        element: np.array(
            [(np.abs(item[1][symbols == element]) ** 2).sum(axis=0) for item in solved]
        )
        for element in crystal.elements
    }
    t = np.array(options.temperatures)[:, None, None]
    stable = frequency > 1e-2
    x = np.where(stable, PLANCK_EV_PS * frequency / BOLTZMANN_EV, 0.0) / t
    heat = np.where(stable, BOLTZMANN_EV * (0.5 * x / np.sinh(np.where(x > 0, 0.5 * x, 1))) ** 2, 0)
    scatter = np.exp(0.25 * np.random.default_rng(7).standard_normal(frequency.shape))
    f = np.where(stable, frequency, 1.0)
    rate = np.where(stable, 0.16 * scatter * f**1.3 / (1 + 0.04 * f**2), 0) * t / 300
    isotope = np.where(stable, 2.2e-4 * frequency**4 / (1 + 0.05 * frequency**2), 0)
    tau = np.where(stable, 1 / np.where(stable, rate + isotope, 1), 0)
    squared = np.eye(3) * (velocity**2)[..., None]  # star average under mmm: diagonal
    kappa = np.einsum("q,tqs,qsij,tqs->tqsij", weight, heat, squared, tau) / crystal.volume
    return Arrays(
        q_point=points, weight=weight, frequency=frequency, velocity=velocity,
        element_weight=element_weight, heat_capacity=heat, rate_three_phonon=rate,
        rate_isotope=isotope, mode_conductivity=kappa * W_PER_MK_PER_EV_PER_K_A_PS,
        temperatures=np.array(options.temperatures),
    )  # fmt: skip


_BTE_FACTOR = np.array([1.03, 1.06, 1.02])


def _bte(mode_conductivity: np.ndarray, options: SyntheticOptions) -> np.ndarray:
    return mode_conductivity * np.diag(SETTINGS[options.setting] @ _BTE_FACTOR)


def _conductivity(arrays: Arrays, options: SyntheticOptions, solver: str) -> np.ndarray:
    modes = arrays.mode_conductivity
    modes = _bte(modes, options) if solver == "bte" else modes
    return modes.sum(axis=(1, 2)) / arrays.weight.sum()


def _put(group: h5py.Group, name: str, value: Any, units: str, axes: str, frame: str = "") -> None:
    dataset = group.create_dataset(name, data=value)
    dataset.attrs.update({"units": units, "axes": axes, "frame": frame})


LEVELS = ("HA+3ph", "HA+3,4ph", "SCP+3ph", "SCP+3,4ph")
#: Shares of the four-phonon channels: recombination, redistribution, splitting.
_FOUR = {"recombination": 0.22, "redistribution": 0.68, "splitting": 0.10}
_SCP_TEMPERATURES = (200.0, 300.0, 400.0)


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level of theory; the arrays of ``data.h5``."""

    temperature: np.ndarray
    frequency: np.ndarray
    heat_capacity: np.ndarray
    channels: dict[str, np.ndarray]
    rate: np.ndarray
    mode_conductivity: dict[str, np.ndarray]
    coherence: np.ndarray


def hardened(frequency: np.ndarray, temperature: float) -> np.ndarray:
    """Self-consistent frequencies: soft modes become harder, and imaginary ones real."""
    squared = np.sign(frequency) * frequency**2 + 0.35**2 * temperature / 300
    return np.where(np.abs(frequency) < 1e-2, frequency, np.sqrt(np.abs(squared)))


def levels_of(arrays: Arrays, crystal: Crystal, options: SyntheticOptions) -> dict[str, Level]:
    """Return all four levels; the self-consistent ones at three temperatures."""
    axes = SETTINGS[options.setting]
    found = {}
    for name in LEVELS:
        scp, four = name.startswith("SCP"), "4ph" in name
        kept = np.isin(arrays.temperatures, _SCP_TEMPERATURES) | (not scp)
        t = arrays.temperatures[kept][:, None, None]
        f = arrays.frequency
        if scp:
            f = np.array([hardened(f, temperature) for temperature in t.ravel()])
        alive = arrays.rate_three_phonon[kept] > 0
        three = arrays.rate_three_phonon[kept] * (0.88 if scp else 1.0)
        highest = arrays.frequency.max()
        fourth = three * 0.45 * (t / 300) * (0.4 + f / highest) if four else np.zeros_like(three)
        channels = {
            "three_phonon": three,
            "three_phonon_absorption": three * (1 - 0.7 * np.abs(f) / highest),
            "three_phonon_emission": three * 0.7 * np.abs(f) / highest,
            "isotope": arrays.rate_isotope,
        }
        if four:
            channels["four_phonon"] = fourth
            channels |= {f"four_phonon_{key}": share * fourth for key, share in _FOUR.items()}
        rate = three + fourth + arrays.rate_isotope
        tau = np.where(alive, 1 / np.where(alive, rate, 1), 0)
        heat = arrays.heat_capacity[kept]
        weight = arrays.weight[:, None]
        squared = np.eye(3) * (arrays.velocity**2)[..., None]
        unit = W_PER_MK_PER_EV_PER_K_A_PS / crystal.volume
        rta = unit * (weight * heat * tau)[..., None, None] * squared
        # Wave-like: grows with the rate until it is as large as the spacing of the branches.
        spread = np.diag(axes @ np.array([14.0, 20.0, 17.0]))
        wave = unit * (weight * heat * rate / (rate + 1.5))[..., None, None] * spread
        found[name] = Level(
            temperature=arrays.temperatures[kept], frequency=f, heat_capacity=heat,
            channels=channels, rate=np.where(alive, rate, 0), coherence=wave,
            mode_conductivity={"rta": rta, **({"bte": _bte(rta, options)} if options.bte else {})},
        )  # fmt: skip
    return found


def _write_ladder(
    file: h5py.File, model: SpringModel, arrays: Arrays, crystal: Crystal, options: SyntheticOptions
) -> None:
    tqs = "temperature,q,mode"
    for name, level in levels_of(arrays, crystal, options).items():
        group = file.create_group(f"levels/{name}")
        _put(group, "temperature", level.temperature, "K", "temperature")
        _put(group, "q_point", arrays.q_point, "1", "q,reciprocal", "user reciprocal")
        _put(group, "weight", arrays.weight, "1", "q")
        qs = "q,mode" if level.frequency.ndim == 2 else tqs
        _put(group, "frequency", level.frequency, "THz", qs)
        velocity = arrays.velocity
        if qs == tqs:
            velocity = np.repeat(velocity[None], len(level.temperature), axis=0)
        _put(group, "group_velocity", velocity, "Å THz", f"{qs},cartesian", "working")
        _put(group, "heat_capacity", level.heat_capacity, "eV/K", tqs)
        _put(group, "rate", level.rate, "ps^-1", tqs)
        for key, values in level.channels.items():
            shape = tqs if values.ndim == 3 else "q,mode"
            _put(group, f"rates_by_channel/{key}", values, "ps^-1", shape)
        xx = f"{tqs},cartesian,cartesian"
        for solver, values in level.mode_conductivity.items():
            _put(group, f"mode_conductivity/{solver}", values, UNIT, xx, "working")
        _put(group, "coherence", level.coherence, UNIT, xx, "working")
    group = file.create_group("gruneisen")
    _put(group, "q_point", arrays.q_point, "1", "q,reciprocal", "user reciprocal")
    _put(group, "weight", arrays.weight, "1", "q")
    _put(group, "frequency", arrays.frequency, "THz", "q,mode")
    tensor = gruneisen_tensors(arrays, options)
    _put(group, "tensor", tensor, "1", "q,mode,cartesian,cartesian", "working")
    bands = np.asarray(file["phonons/bands/frequency"])
    for variant, shift in (("loop", 1.0), ("stochastic", 0.97)):
        kelvin = _SCP_TEMPERATURES if variant == "loop" else (300.0,)
        group = file.create_group(f"renormalization/{variant}")
        _put(group, "temperature", kelvin, "K", "temperature")
        values = np.array([hardened(bands, t) * shift for t in kelvin])
        _put(group, "bands_frequency", values, "THz", "temperature,point,mode")


def gruneisen_tensors(arrays: Arrays, options: SyntheticOptions) -> np.ndarray:
    """Large for soft modes, different along the three axes."""
    rng = np.random.default_rng(3)
    f = np.abs(arrays.frequency)
    size = 0.7 + 1.5 / (0.6 + f)
    diagonal = SETTINGS[options.setting] @ np.array([1.3, 0.7, 1.9])
    values = size[..., None] * (diagonal + 0.5 * rng.standard_normal((*f.shape, 3)))
    return np.where(f > 0.05, 1, 0)[..., None, None] * (np.eye(3) * values[..., None])


def _ladder_records(
    frame: Frame, symmetry: Symmetry, arrays: Arrays, crystal: Crystal, options: SyntheticOptions
) -> dict[str, Any]:
    """Return the records that a run with all levels has beside the others."""
    kappa, sums, rates, anisotropy = [], [], [], []
    mesh = np.abs(SETTINGS[options.setting] @ np.array(options.mesh)).astype(int).tolist()
    n_weights = arrays.weight.sum()
    for name, level in levels_of(arrays, crystal, options).items():
        four = "4ph" in name
        for solver, modes in level.mode_conductivity.items():
            particle = modes.sum(axis=(1, 2)) / n_weights
            wave = level.coherence.sum(axis=(1, 2)) / n_weights
            for coherence, values in ((False, particle), (True, particle + wave)):
                for temperature, tensor in zip(level.temperature, values, strict=True):
                    record = TransportTensor(values=tensor, unit=UNIT, frame=frame).to_dict()
                    error = dict(zip("abc", (0.04, 0.02, 0.05), strict=True))
                    error = {axis: error[axis] * record["axes"][axis] for axis in "abc"}
                    kappa.append(
                        {"temperature": float(temperature), "level": name, "solver": solver,
                         "coherence": coherence, **record,
                         "standard_error": error if four else None, "symmetry_residual": 3.1e-7,
                         "mesh": mesh, "isotope": True, "boundary_mfp_um": None,
                         "broadening": "adaptive gaussian", "degenerate_average": True,
                         "renormalization": "loop" if name.startswith("SCP") else None}
                    )  # fmt: skip
        if four:
            sums.append(
                {"level": name, "temperature": None, "sampled": True, "n_pairs": 63 * 16 * 63,
                 "n_pairs_drawn": 2400, "seed": 11, "tolerance": 0.05, "converged": True,
                 "relative_error": {"a": 0.04, "b": 0.02, "c": 0.05}, "mesh": mesh,
                 "n_quartets": 2400 * 60**3, "seconds": 312.0, "device": "cpu", "unit": "1"}
            )  # fmt: skip
        at = int(np.abs(level.temperature - 300).argmin())
        kelvin = float(level.temperature[at])
        frequency = level.frequency if level.frequency.ndim == 2 else level.frequency[at]
        by_process = RatesByProcess(
            frequencies=frequency, weights=arrays.weight,
            channels={k: v[at] if v.ndim == 3 else v for k, v in level.channels.items()},
        )  # fmt: skip
        rates += [
            {"level": name, "temperature": kelvin, "channel": key, **values, "unit": "ps^-1"}
            for key, values in by_process.summary(level.heat_capacity[at]).items()
        ]
        along = 0.01 * velocity_anisotropy(
            arrays.velocity, arrays.weight, frame.axis_directions, level.heat_capacity[at]
        )
        axes = dict(zip("abc", along.tolist(), strict=True))
        anisotropy.append({"level": name, "temperature": kelvin, "axes": axes, "unit": "km^2 s^-2"})
    return {
        "schema_version": "1.1", "thermal_conductivity": kappa, "four_phonon": sums,
        "rates": rates, "velocity_anisotropy": anisotropy,
        "gruneisen": [_gruneisen_record(frame, arrays, options)],
        "renormalization": _renormalization_records(arrays, mesh),
        "force_asymmetry": _asymmetry_records(frame, symmetry, crystal, options),
    }  # fmt: skip


def _gruneisen_record(frame: Frame, arrays: Arrays, options: SyntheticOptions) -> dict[str, Any]:
    tensors = gruneisen_tensors(arrays, options)
    at = int(np.abs(arrays.temperatures - 300).argmin())
    share = arrays.weight[:, None] * arrays.heat_capacity[at]
    along = along_axes((share[..., None, None] * tensors).sum(axis=(0, 1)) / share.sum(),
                       frame.axis_directions)  # fmt: skip
    volume = np.trace(tensors, axis1=-2, axis2=-1) / 3
    return {
        "level": "HA+3ph", "temperature": float(arrays.temperatures[at]),
        "mean": float(along.mean()), "axes": dict(zip("abc", along.tolist(), strict=True)),
        "minimum": float(volume.min()), "maximum": float(volume.max()),
        "n_left_out": int((volume == 0).sum()), "unit": "1",
    }  # fmt: skip


def _renormalization_records(arrays: Arrays, mesh: list[int]) -> list[dict[str, Any]]:
    records = []
    for variant, kelvin in (*(("loop", t) for t in _SCP_TEMPERATURES), ("stochastic", 300.0)):
        shift = 1.0 if variant == "loop" else 0.97
        after = shift * hardened(arrays.frequency, kelvin)
        gamma = np.sort(after[0])
        sampled = variant == "stochastic"
        records.append(
            {"variant": variant, "temperature": kelvin, "converged": True,
             "n_iterations": 14 if not sampled else 6, "residual": 6.1e-5 if not sampled else 0.012,
             "free_energy": 0.31 - 1.1e-3 * kelvin,
             "free_energy_renormalized": 0.33 - 1.1e-3 * kelvin,
             "free_energy_error": 2.4e-3 if sampled else None,
             "gamma_before": np.sort(arrays.frequency[0]).tolist(), "gamma_after": gamma.tolist(),
             "gamma_standard_error": np.full(len(gamma), 0.02).tolist() if sampled else None,
             "minimum_before": float(arrays.frequency.min()), "minimum_after": float(after.min()),
             "imaginary_fraction_before": float((arrays.frequency < -0.05).mean()),
             "imaginary_fraction_after": 0.0,
             "continuation": [1200.0, 600.0] if not sampled else [], "mesh": mesh,
             "n_snapshots": 240 if sampled else None,
             "effective_sample_size": 171.0 if sampled else None,
             "seed": 12 if sampled else None, "unit": "THz"}
        )  # fmt: skip
    return records


def _asymmetry_records(
    frame: Frame, symmetry: Symmetry, crystal: Crystal, options: SyntheticOptions
) -> list[dict[str, Any]]:
    """Morse-like wells; the mirror plane makes the ribbon axis symmetric."""
    u = np.array([-0.4, -0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4])
    atoms, counts = np.unique(symmetry.equivalent_atoms, return_counts=True)
    ribbon = SETTINGS[options.setting] @ np.array([0.0, 1.0, 0.0])
    records = []
    for n, (atom, count) in enumerate(zip(atoms, counts, strict=True)):
        for d, (axis, direction) in enumerate(zip("abc", frame.axis_directions, strict=True)):
            even = bool(abs(direction @ ribbon) > 0.99)
            k, g, h = 4.0 + n, 0.0 if even else (-1) ** d * (14.0 - 2 * n - 3 * d), 60.0
            energy = k / 2 * u**2 + g / 6 * u**3 + h / 24 * u**4
            force = -(k * u + g / 2 * u**2 + h / 6 * u**3)
            records.append(
                {"atom": int(atom), "element": crystal.symbols[atom], "multiplicity": int(count),
                 "axis": axis, "direction": direction.tolist(), "symmetric": even,
                 "amplitude": 0.2, "value": float(abs(force[2] + force[8])
                                                  / (abs(force[2]) + abs(force[8]))),
                 "vector_value": 0.05 + 0.01 * n, "quadratic": k, "cubic": g, "quartic": h,
                 "fit_residual": 2.1e-5, "displacements": u.tolist(), "energies": energy.tolist(),
                 "forces": force.tolist(), "third_order_on_site": 0.97 * g,
                 "third_order_norm": 20.0 + abs(g) + n, "unit": "1"}
            )  # fmt: skip
    return records


def _write_bands(file: h5py.File, model: SpringModel, options: SyntheticOptions) -> None:
    axes = SETTINGS[options.setting]
    reciprocal = np.linalg.inv(model.crystal.lattice).T
    points, distances, starts, labels, label_distances = [], [], [], [], []
    position = 0.0
    for run in _PATH:
        starts.append(len(points))
        for start_label, end_label in pairwise(run):
            q0, q1 = (axes @ np.array(_POINTS[name], float) for name in (start_label, end_label))
            length = np.linalg.norm((q1 - q0) @ reciprocal)
            if len(points) == starts[-1]:
                labels.append(start_label)
                label_distances.append(position)
            for s in np.linspace(0, 1, options.n_band_points):
                points.append(q0 + s * (q1 - q0))
                distances.append(position + s * length)
            position += length
            labels.append(end_label)
            label_distances.append(position)
    group = file.create_group("phonons/bands")
    frequency = np.array([model.solve(q)[0] for q in points])
    _put(group, "distance", distances, "1/Å", "point")
    _put(group, "q_point", points, "1", "point,reciprocal", "user reciprocal")
    _put(group, "frequency", frequency, "THz", "point,mode")
    _put(group, "label_distance", label_distances, "1/Å", "label")
    group.create_dataset("label", data=labels, dtype=h5py.string_dtype())
    group["label"].attrs.update({"units": "", "axes": "label", "frame": ""})
    _put(group, "segment_start", starts, "1", "segment")


def _write_mesh(file: h5py.File, arrays: Arrays) -> None:
    group = file.create_group("phonons/mesh")
    _put(group, "q_point", arrays.q_point, "1", "q,reciprocal", "user reciprocal")
    _put(group, "weight", arrays.weight, "1", "q")
    _put(group, "frequency", arrays.frequency, "THz", "q,mode")
    _put(group, "group_velocity", arrays.velocity, "Å THz", "q,mode,cartesian", "working")
    dos = file.create_group("phonons/dos")
    grid = np.linspace(min(0.0, arrays.frequency.min() - 0.3), arrays.frequency.max() + 0.4, 300)
    width = 0.06
    smear = np.exp(-(((grid[:, None, None] - arrays.frequency) / width) ** 2) / 2)
    smear *= arrays.weight[:, None] / arrays.weight.sum() / (width * np.sqrt(2 * np.pi))
    _put(dos, "frequency", grid, "THz", "frequency")
    _put(dos, "total", smear.sum(axis=(1, 2)), "states/THz/cell", "frequency")
    for element, share in arrays.element_weight.items():
        total = (smear * share).sum(axis=(1, 2))
        _put(dos, f"element/{element}", total, "states/THz/cell", "frequency")


def _write_transport(file: h5py.File, arrays: Arrays, options: SyntheticOptions) -> None:
    for solver in ("rta", "bte") if options.bte else ("rta",):
        group = file.create_group(f"thermal_conductivity/{solver}")
        modes = arrays.mode_conductivity
        modes = _bte(modes, options) if solver == "bte" else modes
        total = arrays.rate_three_phonon + arrays.rate_isotope
        tqs = "temperature,q,mode"
        _put(group, "temperature", arrays.temperatures, "K", "temperature")
        _put(group, "heat_capacity", arrays.heat_capacity, "eV/K", tqs)
        _put(group, "rate", total, "ps^-1", tqs)
        _put(group, "rate_three_phonon", arrays.rate_three_phonon, "ps^-1", tqs)
        _put(group, "rate_isotope", arrays.rate_isotope, "ps^-1", "q,mode")
        xx = f"{tqs},cartesian,cartesian"
        _put(group, "mode_conductivity", modes, UNIT, xx, "working")
        total_kappa = _conductivity(arrays, options, solver)
        _put(group, "conductivity", total_kappa, UNIT, "temperature,cartesian,cartesian", "working")


def _records(frame: Frame, arrays: Arrays, options: SyntheticOptions) -> list[dict[str, Any]]:
    records = []
    mesh = np.abs(SETTINGS[options.setting] @ np.array(options.mesh)).astype(int).tolist()
    for solver in ("rta", "bte") if options.bte else ("rta",):
        kappa = _conductivity(arrays, options, solver)
        for temperature, values in zip(arrays.temperatures, kappa, strict=True):
            tensor = TransportTensor(values=values, unit=UNIT, frame=frame).to_dict()
            records.append(
                {"temperature": float(temperature), "level": "HA+3ph", "solver": solver,
                 "coherence": False, **tensor, "standard_error": None, "symmetry_residual": 3.1e-7,
                 "mesh": mesh, "isotope": True, "boundary_mfp_um": None,
                 "broadening": "tetrahedron", "degenerate_average": True}
            )  # fmt: skip
    return records


def _card(options: SyntheticOptions) -> ModelCard:
    mace = options.potential.startswith("mace")
    return ModelCard(
        name=options.potential,
        provider="mace" if mace else "sevennet",
        level_of_theory="PBE (OMat24)" if mace else "PBE (MPtrj)",
        licence="ASL (academic, non-commercial)" if mace else "GPL-3.0",
        non_commercial=mace,
        heads=("omat_pbe", "matpes_r2scan") if mace else (),
        head="omat_pbe" if mace else None,
        elements=(),
        sha256="5f1e6c0d" * 8,
        dtype="float64",
        cutoff=6.0 if mace else 5.0,
        receptive_field=12.0 if mace else 25.0,
        references=("mace2022",) if mace else ("sevennet2024",),
        dispersion="D3(BJ), PBE",
        source="registry",
        notes="Trained on near-equilibrium structures; forces were evaluated in float64.",
    )


def _quality(options: SyntheticOptions, lowest: float, fraction: float) -> list[dict[str, Any]]:
    residual = "Sum-rule residual of the second-order force constants 2.1e-04 eV/Å²."
    flags = [
        QualityFlag(name="residual_force", severity="info", value=8.1e-4, threshold=2e-3,
                    message="Largest residual force after relaxation 8.1e-04 eV/Å."),
        QualityFlag(name="acoustic_sum_rule", severity="info", value=2.1e-4, threshold=1e-3,
                    message=residual),
        QualityFlag(name="heldout_r2_third", severity="info", value=0.982, threshold=0.95,
                    message="Third-order fit explains 98.2 % of held-out anharmonic forces."),
    ]  # fmt: skip
    if options.preset == "quick":
        flags.append(
            QualityFlag(name="mesh_not_converged", severity="warning", value=63.0, threshold=None,
                        message="The quick preset uses one coarse mesh (3×7×3); the conductivity "
                        "along b may change by 20 % or more on a finer one.")
        )  # fmt: skip
    if options.imaginary:
        flags.append(
            QualityFlag(name="imaginary_modes", severity="invalid", value=lowest, threshold=-0.05,
                        message=f"{100 * fraction:.1f} % of the modes are imaginary (lowest "
                        f"{lowest:.2f} THz); they were left out of the conductivity.")
        )  # fmt: skip
    return [flag.to_dict() for flag in flags]


def _structure(crystal: Crystal, symmetry: Symmetry) -> dict[str, Any]:
    return {
        **crystal.to_dict(),
        "formula": "Sb2Se3",
        "n_atoms": crystal.n_atoms,
        "volume": crystal.volume,
        "lengths": crystal.lengths.tolist(),
        "angles": crystal.angles.tolist(),
        "space_group": f"{symmetry.international} ({symmetry.number})",
        "setting": symmetry.setting,
    }


def _results(
    options: SyntheticOptions, crystal: Crystal, symmetry: Symmetry, frame: Frame, arrays: Arrays
) -> dict[str, Any]:
    card = _card(options).to_dict()
    axes = SETTINGS[options.setting]
    before = axes @ np.array([11.7946, 3.9808, 11.2745])
    change = 100 * (crystal.lengths / before - 1)
    supercell = np.abs(axes @ np.diag([1, 3, 1]) @ axes.T).astype(int).tolist()
    fraction = float((arrays.frequency < -0.01).mean())
    space_group = f"{symmetry.international} ({symmetry.number})"
    results = {
        "schema_version": "1.0", "name": options.name, "created": "2026-11-22T16:20:00+00:00",
        "structure": _structure(crystal, symmetry), "frame": frame.to_dict(),
        "relaxation": {
            "space_group_before": space_group, "space_group_after": space_group,
            "max_force": 8.1e-4, "max_stress": 0.012, "n_steps": 37, "converged": True,
            "energy_per_atom": -4.0312, "lengths_before": before.tolist(),
            "lengths_after": crystal.lengths.tolist(), "angles_before": [90.0, 90.0, 90.0],
            "angles_after": [90.0, 90.0, 90.0],
            "change_percent": dict(zip("abc", change.tolist(), strict=True)),
            "volume_change_percent": float(100 * (crystal.volume / np.prod(before) - 1)),
        },
        "potential": card,
        "force_constants": {
            "source": "random", "supercell_second": supercell, "n_atoms_second": 60,
            "supercell_third": supercell, "n_atoms_third": 60,
            "n_snapshots": {"second": 12, "third": 48},
            "design": {"second": "finite-difference", "third": "random"},
            "displacement_amplitude": {"second": 0.02, "third": 0.03},
            "cutoff_third": 4.0, "n_parameters": {"2": 675, "3": 1074},
            "force_rmse": {"2": 0.0021, "3": 0.0034}, "force_r2": {"2": 0.9991, "3": 0.982},
            "sum_rule_residual": {"2": 2.1e-4, "3": 1.4e-3},
        },
        "dielectric": {
            "epsilon_infinity": (axes @ np.diag([15.792, 22.223, 26.616]) @ axes.T).tolist(),
            "born_charges": np.zeros((crystal.n_atoms, 3, 3)).tolist(), "source": "BORN file",
            "coulomb_constant": 14.399645,
        },
        "thermal_conductivity": _records(frame, arrays, options),
        "phonons": {
            "gamma_frequencies": arrays.frequency[0].tolist(),
            "minimum_frequency": float(arrays.frequency.min()),
            "maximum_frequency": float(arrays.frequency.max()),
            "imaginary_fraction": fraction, "mesh": (axes @ options.mesh).astype(int).tolist(),
        },
        "effective_mass": [], "mobility": [], "seebeck": [], "electrical_conductivity": [],
        "electronic_thermal_conductivity": [], "figure_of_merit": [], "band_gap": None,
        "lone_pairs": [], "force_asymmetry": [],
        "quality": _quality(options, float(arrays.frequency.min()), fraction),
        "provenance": {
            "elphant_version": "0.1.0",
            "versions": {"numpy": "2.1.0", "phono3py": "4.9.0", "phonopy": "4.9.0"},
            "models": [card], "seeds": {"displacements": 20, "validation": 21},
            "timings": {"relax": 21.4, "displace": 0.8, "forces": 182.0, "fit": 14.9,
                        "harmonic": 6.1, "kappa": 96.5},
            "peak_memory_gb": 3.4,
            "hardware": {"cpu": "generic x86-64", "n_cores": 2, "memory_gb": 16.0, "gpu": None},
            "command": f"elphant run {options.name}.cif --preset {options.preset}",
            "input_file": f"{options.name}.cif", "input_sha256": "ab12" * 16,
            "preset": options.preset,
            "citations": ["phonopy", "phono3py", "symfc", *card["references"]],
        },
    }  # fmt: skip
    if options.ladder:
        results |= _ladder_records(frame, symmetry, arrays, crystal, options)
        results["force_constants"] |= {
            "n_snapshots": {"second": None, "third": 280},
            "design": {"third": "random"},
            "displacement_amplitude": {"third": 0.08},
            "cutoff_fourth": 3.5,
            "n_clusters_third": None,
            "n_clusters_fourth": 51288,
            "n_parameters": {"2": 675, "3": 1074, "4": 872},
            "force_rmse": {
                "third_order2_only": 0.021,
                "third_order3_only": 0.0064,
                "third": 0.0031,
            },
            "force_r2": {"third_order2_only": 0.961, "third_order3_only": 0.9952, "third": 0.9988},
            "cross_validation_rmse": {"even": 0.0042, "odd": 0.0051},
            "unexplained_share": {"3": 0.031, "4": 0.084},
            "parameter_error": {"2": 0.003, "3": 0.041, "4": 0.12},
            "sum_rule_residual": {"2": 2.1e-4, "3": 1.4e-3, "4": 5.0e-3},
        }
        results["provenance"]["citations"] += [
            "tadano2015",
            "errea2014",
            "feng2016",
            "feng2017",
            "simoncelli2019",
            "simoncelli2022",
            "fugallo2013",
            "tamura1983",
        ]
    if options.electrons:
        flags = results["quality"]
        results |= electron_records(crystal, symmetry, frame, axes)
        results["quality"] = flags + results["quality"]
        results["provenance"]["citations"] += ["pyscf"]
        results["provenance"]["timings"] |= {"scf": 341.0, "bands": 22.0, "elf": 31.0}
    return results if options.phonons else without_phonons(results)


def without_phonons(results: dict[str, Any]) -> dict[str, Any]:
    """Return what a run of the electronic structure alone writes."""
    command = results["provenance"]["command"].replace("elphant run", "elphant bands")
    kept = {"scf", "bands", "elf"}
    timings = {k: v for k, v in results["provenance"]["timings"].items() if k in kept}
    provenance = {
        "command": command, "models": [], "citations": ["pyscf"], "seeds": {}, "timings": timings,
        "versions": {"numpy": "2.1.0", "pyscf": "2.14.0"},
    }  # fmt: skip
    return results | {
        "relaxation": None, "potential": None, "force_constants": None, "phonons": None,
        "dielectric": None, "thermal_conductivity": [],
        "quality": [flag for flag in results["quality"] if flag["name"] == "band_gap_basis"],
        "provenance": results["provenance"] | provenance,
    }  # fmt: skip

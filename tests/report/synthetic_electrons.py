"""The electronic part of a synthetic run of Sb2Se3: bands from cosines, ELF from Gaussians.

Nothing here is a result; it has the shape, the symmetry and the sum rules of one.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from elphant.crystal import Crystal, Frame, Symmetry
from elphant.tensors import TransportTensor

GAP = 0.83
#: Along the Pnma axes, m_e.
MASSES = {"electron": (0.93, 0.16, 6.8), "hole": (0.61, 0.88, 2.7)}
N_VALENCE, N_BANDS = 28, 44
_VALENCE = {51: 5, 34: 6}


def electron_records(
    crystal: Crystal, symmetry: Symmetry, frame: Frame, axes: np.ndarray
) -> dict[str, Any]:
    """Return the records of results.json; ``axes`` are rows in terms of the Pnma axes."""
    localization = Localization(crystal)
    edge = {"degeneracy": 1, "multiplicity": 1}
    top = (axes @ np.array([0.0, 0.5, 0.0])).tolist()
    return {
        "schema_version": "1.2",
        "electronic_structure": {
            "provider": "pyscf", "level_of_theory": "PBE, GTH pseudopotentials, DZVP-MOLOPT-SR-GTH",
            "self_consistent": True, "n_electrons": localization.n_electrons, "n_orbitals": 260,
            "n_atoms": crystal.n_atoms, "k_mesh": [4, 11, 4],
            "details": {"basis": "gth-dzvp-molopt-sr", "scf_k_mesh": [1, 3, 1], "cycles": 14,
                        "energy_change": 3.1e-9},
            "sha256": "77aa" * 16,
            "capabilities": {"overlap_derivatives": True, "basis_functions": True,
                             "spin_orbit": False},
            "valence_maximum_energy": 4.171, "seconds": 341.0, "peak_memory_gb": 2.9,
        },
        "band_gap": {
            "value": GAP, "kind": "indirect", "direct_value": GAP + 0.11, "unit": "eV",
            "valence": {**edge, "k_point": top, "k_label": "Y", "band": N_VALENCE - 1,
                        "energy": 0.0},
            "conduction": {**edge, "k_point": [0.0, 0.0, 0.0], "k_label": "GAMMA",
                           "band": N_VALENCE, "energy": GAP},
            "conduction_valleys": [
                {**edge, "k_point": [0.0, 0.0, 0.0], "band": N_VALENCE, "energy": GAP},
                {**edge, "k_point": [0.5, 0.0, 0.0], "band": N_VALENCE, "energy": GAP + 0.06},
            ],
            "direct_k_point": [0.0, 0.0, 0.0], "is_metal": False,
        },
        "effective_mass": mass_records(frame, axes),
        "lone_pairs": localization.lone_pair_records(symmetry, frame),
        "elf": localization.summary(),
        "quality": [
            {"name": "band_gap_basis", "severity": "warning", "value": 0.83, "threshold": None,
             "message": "Semilocal functionals underestimate gaps; masses inherit the error."},
        ],
    }  # fmt: skip


def mass_records(frame: Frame, axes: np.ndarray) -> list[dict[str, Any]]:
    """Band-edge and conductivity masses of both carriers."""
    records = []
    for carrier, values in MASSES.items():
        for kind, factor, temperature in (("band_edge", 1.0, None), ("conductivity", 1.15, 300.0)):
            tensor = axes @ np.diag(np.array(values) * factor) @ axes.T
            shown = TransportTensor(values=tensor, unit="m_e", frame=frame).to_dict()
            error = {axis: 0.04 * m**1.3 for axis, m in shown["axes"].items()}
            records.append(
                {"carrier": carrier, "kind": kind, "temperature": temperature, "band_index": 0,
                 "k_point": [0.0, 0.0, 0.0] if temperature is None else None,
                 "tensor": tensor.tolist(), "inverse_tensor": np.linalg.inv(tensor).tolist(),
                 "axes": shown["axes"], "principal": shown["principal"], "uncertainty": error,
                 "degeneracy": 1, "energy_spread": None, "unit": "m_e"}
            )  # fmt: skip
    return records


class Localization:
    """Lone pairs beside Sb, shells around Se and bond attractors on a small grid."""

    def __init__(self, crystal: Crystal) -> None:
        self.crystal = crystal
        self.shape = tuple(int(n) for n in 2 * np.round(crystal.lengths / 0.5))
        self.n_electrons = float(sum(_VALENCE[int(z)] for z in crystal.numbers))
        self.bonds, self.vectors = self._bonds()

    def _bonds(self) -> tuple[list[tuple[int, int, np.ndarray]], np.ndarray]:
        """Sb-Se pairs up to 2.95 Å, and per Sb the vector away from its bonds."""
        crystal = self.crystal
        bonds = []
        away = np.zeros((crystal.n_atoms, 3))
        images = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        for i in np.flatnonzero(crystal.numbers == 51):
            for j in np.flatnonzero(crystal.numbers == 34):
                delta = crystal.fractional[j] - crystal.fractional[i] + images
                vectors = delta @ crystal.lattice
                for vector in vectors[np.linalg.norm(vectors, axis=1) < 2.95]:
                    bonds.append((int(i), int(j), vector))
                    away[i] -= vector / np.linalg.norm(vector) ** 3
        size = np.linalg.norm(away, axis=1, keepdims=True)
        return bonds, np.divide(1.25 * away, size, out=away, where=size > 1e-6)

    def _distance(self, point: np.ndarray) -> np.ndarray:
        axes = [np.arange(n) / n for n in self.shape]
        delta = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - point
        return np.linalg.norm((delta - np.round(delta)) @ self.crystal.lattice, axis=-1)

    def grids(self) -> tuple[np.ndarray, np.ndarray]:
        """ELF and a density that integrates to the electron number."""
        crystal = self.crystal
        inverse = np.linalg.inv(crystal.lattice)
        rest = np.ones(self.shape)
        hole = np.ones(self.shape)
        density = np.zeros(self.shape)
        for atom, (z, point) in enumerate(zip(crystal.numbers, crystal.fractional, strict=True)):
            r = self._distance(point)
            hole *= 1 - 0.95 * np.exp(-((r / 0.45) ** 2))
            density += _VALENCE[int(z)] * np.exp(-((r / 0.9) ** 2))
            if z == 34:
                rest *= 1 - 0.62 * np.exp(-(((r - 0.85) / 0.34) ** 2))
            else:
                r = self._distance(point + self.vectors[atom] @ inverse)
                rest *= 1 - 0.94 * np.exp(-((r / 1.25) ** 2))
        for i, _, vector in self.bonds:
            r = self._distance(crystal.fractional[i] + 0.5 * vector @ inverse)
            rest *= 1 - 0.55 * np.exp(-((r / 0.5) ** 2))
        density *= self.n_electrons / (density.mean() * crystal.volume)
        return (1 - rest) * hole, density

    def summary(self) -> dict[str, Any]:
        crystal = self.crystal
        basins = [
            {"kind": "lone_pair", "atoms": [int(i)], "elf_maximum": 0.93, "population": 2.2,
             "position": (crystal.positions[i] + self.vectors[i]).tolist(), "volume": 21.0}
            for i in np.flatnonzero(crystal.numbers == 51)
        ]  # fmt: skip
        rest = self.n_electrons - 2.2 * len(basins)
        basins += [
            {"kind": "bond", "atoms": [i, j], "elf_maximum": 0.71, "volume": 6.0,
             "population": rest / len(self.bonds),
             "position": (crystal.positions[i] + 0.5 * vector).tolist()}
            for i, j, vector in self.bonds
        ]  # fmt: skip
        total = sum(basin["population"] for basin in basins)
        return {
            "grid": list(self.shape), "spacing": float((crystal.lengths / self.shape).max()),
            "n_electrons": self.n_electrons, "basins": basins, "population_sum": total,
            "population_error": abs(total - self.n_electrons), "slice": None,
        }  # fmt: skip

    def lone_pair_records(self, symmetry: Symmetry, frame: Frame) -> list[dict[str, Any]]:
        crystal = self.crystal
        records = []
        for i in np.unique(symmetry.equivalent_atoms):
            if crystal.numbers[i] != 51:
                continue
            vector = self.vectors[i]
            cosine = np.abs(frame.axis_directions @ vector) / np.linalg.norm(vector)
            angles = np.degrees(np.arccos(np.clip(cosine, 0, 1)))
            equivalent = np.flatnonzero(symmetry.equivalent_atoms == i)
            records.append(
                {"atom": int(i), "symbol": "Sb", "multiplicity": len(equivalent),
                 "equivalent_atoms": equivalent.tolist(), "vector": vector.tolist(),
                 "position": (crystal.positions[i] + vector).tolist(), "elf_maximum": 0.93,
                 "distance": float(np.linalg.norm(vector)), "population": 2.2, "volume": 21.0,
                 "angles": dict(zip("abc", angles.tolist(), strict=True)), "vacancy_angle": 6.2,
                 "off_centring": (-0.3 * vector).tolist(), "off_centring_length": 0.375,
                 "bond_valence_sum": 2.91, "bond_valence_vector": (-0.4 * vector).tolist(),
                 "coordination": 5,
                 "sp_mixing": {"s": 0.012, "p": 0.031, "d": 0.001, "mixing": 0.41,
                               "overlap": -0.052, "window": 2.0}}
            )  # fmt: skip
        return records


def band_energies(k: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Energies (n_k, n_bands) eV; the valence edge at Y, the conduction edge at the centre."""
    x, y, z = (2 * np.pi * (k @ axes)).T
    rng = np.random.default_rng(12)
    bands = []
    for n in range(N_VALENCE):
        depth = 0.21 * (N_VALENCE - 1 - n) + 0.25 * (n < 26)
        c = 0.5 * rng.random(3) * np.array([0.25, 0.6, 0.12]) + 0.02
        bands.append(
            -depth - c[0] * (1 - np.cos(x)) - c[1] * (1 + np.cos(y)) - c[2] * (1 - np.cos(z))
        )
    for n in range(N_BANDS - N_VALENCE):
        c = rng.random(3) * np.array([0.25, 0.6, 0.12]) + 0.02
        bands.append(
            GAP + 0.32 * n + c[0] * (1 - np.cos(x)) + c[1] * (1 - np.cos(y))
            + c[2] * (1 - np.cos(z))
        )  # fmt: skip
    return np.sort(np.array(bands).T, axis=1)


def write_electrons(
    file: h5py.File, crystal: Crystal, axes: np.ndarray, path: dict[str, Any]
) -> None:
    """Write bands on the phonon path, the density of states and the grids."""
    group = file.create_group("electrons/bands")
    for name in ("distance", "label_distance", "segment_start"):
        group[name] = path[name]
    group["k_point"] = path["q_point"]
    group["energy"] = band_energies(np.asarray(path["q_point"]), axes)
    labels = ["GAMMA" if name == "Γ" else name for name in path["label"]]
    group.create_dataset("label", data=labels, dtype=h5py.string_dtype())
    k = np.random.default_rng(5).random((400, 3))
    energies = band_energies(k, axes)
    grid = np.linspace(-8.0, 8.0, 500)
    smear = np.exp(-(((grid[:, None, None] - energies) / 0.07) ** 2)) / 0.07 / np.sqrt(np.pi)
    total = 2 * smear.mean(axis=1).sum(axis=1)
    dos = file.create_group("electrons/dos")
    dos["energy"], dos["total"] = grid, total
    filled = grid < 0.5 * GAP
    shares = {"Sb-s": (0.14, 0.12), "Sb-p": (0.18, 0.45), "Sb-d": (0.01, 0.04),
              "Se-s": (0.05, 0.06), "Se-p": (0.6, 0.28), "Se-d": (0.02, 0.05)}  # fmt: skip
    for name, (below, above) in shares.items():
        wave = 1 + 0.4 * np.sin(grid * (2 if name.startswith("Sb") else -2))
        dos[f"projection/{name}"] = total * np.where(filled, below, above) * wave
    elf, density = Localization(crystal).grids()
    file["electrons/elf/elf"] = elf.astype(np.float32)
    file["electrons/elf/density"] = density.astype(np.float32)

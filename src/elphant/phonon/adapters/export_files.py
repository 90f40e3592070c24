"""Writing files that phonopy and phono3py read, and reading back their conductivity file.

phono3py stores linewidths (``gamma``: half width at half maximum, ordinary THz); elphant stores
rates in ps⁻¹. The conversion, ``rate = 4 pi gamma``, happens here and nowhere else on output.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import StoreError
from elphant.phonon.adapters.phono3py_adapter import engine_conversion, phono3py_from
from elphant.phonon.adapters.phonopy_adapter import phonopy_from
from elphant.phonon.conductivity import ThermalConductivity
from elphant.phonon.force_constants import ForceConstants
from elphant.tensors import matrix_to_voigt, voigt_to_matrix
from elphant.units import linewidth_from_rate, rate_from_linewidth

Array = NDArray[np.float64]

#: What goes into the YAML files besides the cells: no displacements or forces.
_YAML_PARTS = {"force_sets": False, "displacements": False}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KappaFile:
    """Content of a phono3py ``kappa-mNNN.hdf5`` file in elphant's units.

    Attributes
    ----------
    mesh : tuple of int, (3,)
    temperatures : ndarray, (n_t,) K
    q_points : ndarray, (n_q, 3)
    weights : ndarray of int, (n_q,)
    frequencies : ndarray, (n_q, n_modes) THz
    group_velocities : ndarray, (n_q, n_modes, 3) Å THz
    heat_capacities : ndarray, (n_t, n_q, n_modes) eV/K
    rates_three_phonon : ndarray, (n_t, n_q, n_modes) ps⁻¹
    rates_isotope : ndarray, (n_q, n_modes) ps⁻¹, or None
    mode_conductivity : ndarray, (n_t, n_q, n_modes, 3, 3) W m⁻¹ K⁻¹, weights included
    conductivity : ndarray, (n_t, 3, 3) W m⁻¹ K⁻¹
    """

    mesh: tuple[int, int, int]
    temperatures: Array
    q_points: Array
    weights: NDArray[np.int64]
    frequencies: Array
    group_velocities: Array
    heat_capacities: Array
    rates_three_phonon: Array
    rates_isotope: Array | None
    mode_conductivity: Array
    conductivity: Array


def write_phonopy_yaml(force_constants: ForceConstants, path: str | Path) -> Path:
    """Write ``phonopy_params.yaml``: cells, second-order force constants, Born charges."""
    phonopy = phonopy_from(force_constants)
    with _replacing(Path(path)) as temporary:
        phonopy.save(temporary, settings={**_YAML_PARTS, "force_constants": True})
    return Path(path)


def write_phono3py_yaml(force_constants: ForceConstants, path: str | Path) -> Path:
    """Write ``phono3py_params.yaml``: cells and Born charges; for use with the fc files."""
    phono3py = phono3py_from(force_constants)
    with _replacing(Path(path)) as temporary:
        phono3py.save(temporary, settings=_YAML_PARTS)
    return Path(path)


def write_fc_hdf5(force_constants: ForceConstants, folder: str | Path) -> tuple[Path, ...]:
    """Write ``fc2.hdf5`` and, if the third order is there, ``fc3.hdf5`` (compact layout).

    Together with :func:`write_phono3py_yaml` they are what
    ``phono3py.load(..., fc2_filename=, fc3_filename=)`` needs.
    """
    import h5py

    phonopy = phonopy_from(force_constants)
    written = [Path(folder) / "fc2.hdf5"]
    with _replacing(written[0]) as temporary, h5py.File(temporary, "w") as file:
        _compressed(file, "force_constants", force_constants.second)
        file["p2s_map"] = np.asarray(phonopy.primitive.p2s_map, dtype="int64")
        file["physical_unit"] = np.array([b"eV/angstrom^2"])
    if force_constants.third is not None:
        third = force_constants.third
        phono3py = phono3py_from(force_constants)
        written.append(Path(folder) / "fc3.hdf5")
        with _replacing(written[1]) as temporary, h5py.File(temporary, "w") as file:
            _compressed(file, "fc3", third)
            file["p2s_map"] = np.asarray(phono3py.primitive.p2s_map, dtype="int64")
            nonzero = np.any(third != 0.0, axis=(3, 4, 5)).astype("byte")
            _compressed(file, "fc3_nonzero_indices", nonzero)
    return tuple(written)


def write_exchange(
    folder: str | Path,
    force_constants: ForceConstants,
    conductivities: Mapping[str, ThermalConductivity] | None = None,
) -> tuple[Path, ...]:
    """Write everything phonopy and phono3py can read of a calculation into one folder.

    Parameters
    ----------
    folder : path
        Created when it does not exist.
    force_constants : ForceConstants
    conductivities : mapping of str to ThermalConductivity, optional
        One file is written for each value; the keys are not used.

    Returns
    -------
    tuple of Path
        ``phonopy_params.yaml``, ``fc2.hdf5``, then if there is a third order ``fc3.hdf5`` and
        ``phono3py_params.yaml``, then the conductivity files.
    """
    folder = Path(folder)
    written = [write_phonopy_yaml(force_constants, folder / "phonopy_params.yaml")]
    written += write_fc_hdf5(force_constants, folder)
    if force_constants.third is not None:
        written.append(write_phono3py_yaml(force_constants, folder / "phono3py_params.yaml"))
    written += [write_kappa_hdf5(result, folder) for result in (conductivities or {}).values()]
    return tuple(written)


def kappa_file_name(result: ThermalConductivity) -> str:
    """Return phono3py's name of the conductivity file, for example ``kappa-m999.hdf5``.

    phono3py uses one name for both solvers; the full solution gets its free middle part here
    (``kappa-m999.bte.hdf5``) so that both can lie in one folder.
    """
    sigma = "" if result.sigma_thz is None else f"-s{result.sigma_thz:g}"
    middle = "" if result.solver == "rta" else f".{result.solver}"
    return f"kappa-m{''.join(map(str, result.mesh))}{sigma}{middle}.hdf5"


def write_kappa_hdf5(result: ThermalConductivity, folder: str | Path) -> Path:
    """Write a conductivity in phono3py's ``kappa-mNNN.hdf5`` layout and return the path."""
    import h5py

    path = Path(folder) / kappa_file_name(result)
    datasets: dict[str, Any] = {
        "temperature": result.temperatures,
        "mesh": np.array(result.mesh, dtype="int64"),
        "qpoint": result.q_points,
        "weight": np.asarray(result.weights, dtype="int64"),
        "frequency": result.frequencies,
        "group_velocity": result.group_velocities,
        "heat_capacity": result.heat_capacities,
        "gamma": _linewidths(result.rates_three_phonon),
        "mode_kappa": matrix_to_voigt(result.mode_conductivity),
        "kappa": matrix_to_voigt(result.conductivity),
    }
    if result.grid_points is not None:
        datasets["grid_point"] = np.asarray(result.grid_points, dtype="int64")
    if result.velocity_products is not None:
        datasets["gv_by_gv"] = matrix_to_voigt(result.velocity_products)
    if result.volume is not None:
        # phono3py divides by 2 gamma instead of multiplying by tau = 1/(4 pi gamma).
        datasets["kappa_unit_conversion"] = engine_conversion() / (2.0 * np.pi) / result.volume
    if result.rates_isotope is not None:
        datasets["gamma_isotope"] = _linewidths(result.rates_isotope)
    if result.sigma_thz is not None:
        datasets["sigma"] = result.sigma_thz
    if result.boundary_mfp_um is not None:
        datasets["boundary_mfp"] = result.boundary_mfp_um
    with _replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value in datasets.items():
            _compressed(file, name, value)
    return path


def read_kappa_hdf5(path: str | Path) -> KappaFile:
    """Read a ``kappa-mNNN.hdf5`` file of phono3py or of :func:`write_kappa_hdf5`.

    Raises
    ------
    StoreError
        If the file cannot be read or lacks a dataset.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            data = {name: np.array(file[name]) for name in file}
        return KappaFile(
            mesh=(int(data["mesh"][0]), int(data["mesh"][1]), int(data["mesh"][2])),
            temperatures=data["temperature"],
            q_points=data["qpoint"],
            weights=data["weight"],
            frequencies=data["frequency"],
            group_velocities=data["group_velocity"],
            heat_capacities=data["heat_capacity"],
            rates_three_phonon=_rates(data["gamma"]),
            rates_isotope=_rates(data["gamma_isotope"]) if "gamma_isotope" in data else None,
            mode_conductivity=voigt_to_matrix(data["mode_kappa"]),
            conductivity=voigt_to_matrix(data["kappa"]),
        )
    except (OSError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is not a readable kappa file of phono3py ({error}).",
            "It needs gamma, frequency, group_velocity, heat_capacity, mode_kappa and kappa.",
            "Write it with phono3py 2 or later for the whole mesh, not for single grid points.",
        ) from error


def _rates(linewidths: Array) -> Array:
    return np.asarray(rate_from_linewidth(linewidths), dtype=float)  # type: ignore[arg-type]


def _linewidths(rates: Array) -> Array:
    return np.asarray(linewidth_from_rate(rates), dtype=float)  # type: ignore[arg-type]


def _compressed(file: Any, name: str, value: Any) -> None:
    array = np.asarray(value)
    file.create_dataset(name, data=array, compression="gzip" if array.size > 64 else None)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path and move it over ``path`` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

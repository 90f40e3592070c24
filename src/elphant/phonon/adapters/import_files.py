"""Force constants from the files of phonopy, phono3py, ShengBTE and FourPhonon.

Nothing is looked up in the current directory: only the path the user gave, and files beside it.
Force sets are turned into force constants as phonopy and phono3py do it by default (finite
differences, compact layout, symmetrised by a projector; a symfc fit for random displacements).
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import check_separation
from elphant.errors import ElphantError, StoreError
from elphant.models.dielectric.born import read_born
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.adapters.import_sources import ImportSource, locate, open_text
from elphant.phonon.adapters.phonopy_adapter import (
    build_phonopy,
    from_phonopy_atoms,
)
from elphant.phonon.force_constants import ForceConstants
from elphant.units import COULOMB_EV_ANGSTROM

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]


def load_force_constants(path: str | Path, born: str | Path | None = None) -> ForceConstants:
    """Return the force constants of a phonopy, phono3py, ShengBTE or FourPhonon calculation.

    Parameters
    ----------
    path : path-like
        A file of the calculation or its folder.
    born : path-like, optional
        BORN file. It takes precedence over charges inside a yaml file, and those over a file named
        ``BORN`` in the same folder.

    Raises
    ------
    StoreError
        If the files are missing, incomplete, damaged, inconsistent, or of a kind not supported.
    StructureError
        If the crystal or the BORN file is not usable.
    """
    source = locate(Path(path))
    with _explained(source.path):
        if source.kind == "phono3py":
            result = _load_phono3py(source)
        elif source.kind == "phonopy":
            result = _load_phonopy(source)
        elif source.kind == "shengbte":
            from elphant.phonon.adapters.shengbte_files import load_shengbte

            result = load_shengbte(source)
            check_separation(result.unitcell)
        else:
            result = _load_force_sets(source)
    dielectric = result.dielectric
    beside = source.folder / "BORN"
    if born is not None or (dielectric is None and beside.is_file()):
        file = Path(born) if born is not None else beside
        dielectric = read_born(file, result.unitcell, find_symmetry(result.unitcell))
    logger.info("force constants read from %s (%s)", source.path, source.kind)
    return replace(result, dielectric=dielectric, source="imported")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn whatever a parser raises into a :class:`StoreError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ElphantError:
        raise
    except Exception as error:
        raise StoreError(
            f"'{path}' cannot be used: {type(error).__name__}: {error}",
            "The file is damaged or cut short, or its companions belong to another calculation.",
            "Compare the file with its original, and check that supercell, displacements and "
            "forces belong together.",
        ) from error


# --- phono3py --------------------------------------------------------------------------------


def _load_phono3py(source: ImportSource) -> ForceConstants:
    from phono3py import Phono3py
    from phono3py.cui.load import compute_force_constants_from_datasets
    from phono3py.interface.phono3py_yaml import Phono3pyYaml

    record = Phono3pyYaml()
    record.read(source.path)
    unitcell = _unitcell(record, source)
    calculation = Phono3py(
        record.unitcell,
        record.supercell_matrix,
        primitive_matrix="auto" if record.primitive_matrix is None else record.primitive_matrix,
        phonon_supercell_matrix=record.phonon_supercell_matrix,
    )
    _read_constants(calculation, source)
    if calculation.fc3 is None or calculation.fc2 is None:
        _read_forces(calculation, record, source)
        calculators = [
            "symfc" if data is not None and "displacements" in data else ""
            for data in (calculation.phonon_dataset or calculation.dataset, calculation.dataset)
        ]
        compute_force_constants_from_datasets(
            calculation,
            fc_calculator="|".join(calculators) if any(calculators) else None,
            symmetrize_fc=True,
            is_compact_fc=True,
            use_symfc_projector=True,
        )
    if calculation.fc2 is None:
        raise StoreError(
            f"'{source.path}' has no forces.",
            "Neither the file itself nor FORCES_FC3, FORCES_FC2, fc2.hdf5 or fc3.hdf5 beside it "
            "hold any.",
            "Put the forces or force constants into the same folder.",
        )
    separate = record.phonon_supercell_matrix is not None
    third = calculation.fc3
    return ForceConstants(
        unitcell=unitcell,
        primitive_matrix=np.array(calculation.primitive_matrix),
        supercell_matrix_second=np.array(
            calculation.phonon_supercell_matrix if separate else calculation.supercell_matrix
        ),
        second=_rows(calculation.fc2, calculation.phonon_primitive),
        supercell_matrix_third=None if third is None else np.array(calculation.supercell_matrix),
        third=None if third is None else _rows(third, calculation.primitive),
        dielectric=_dielectric(
            record.nac_params, calculation.supercell, calculation.primitive, source
        ),
    )


def _read_constants(calculation: Any, source: ImportSource) -> None:
    """Set fc2 and fc3 from HDF5 files beside the yaml file, when there are any."""
    from phono3py.file_IO import read_fc2_from_hdf5, read_fc3_from_hdf5

    second, third = source.beside("fc2.hdf5"), source.beside("fc3.hdf5")
    if third is not None:
        data = read_fc3_from_hdf5(filename=third, p2s_map=calculation.primitive.p2s_map)
        calculation.fc3 = data["fc3"] if isinstance(data, dict) else data
        _check_size(calculation.fc3, calculation.supercell, third)
    if second is not None:
        calculation.fc2 = read_fc2_from_hdf5(
            filename=second, p2s_map=calculation.phonon_primitive.p2s_map
        )
        _check_size(calculation.fc2, calculation.phonon_supercell, second)


def _read_forces(calculation: Any, record: Any, source: ImportSource) -> None:
    from phono3py.cui.create_force_constants import parse_forces
    from phono3py.phonon3.dataset import forces_in_dataset

    datasets: list[tuple[str, str, str]] = [("dataset", "fc3", "FORCES_FC3")]
    if record.phonon_supercell_matrix is not None:
        datasets.append(("phonon_dataset", "phonon_fc2", "FORCES_FC2"))
    for attribute, kind, name in datasets:
        inside = forces_in_dataset(getattr(record, attribute))
        file = None if inside else source.beside(name, f"{name}*")
        if not inside and file is None:
            continue
        dataset = parse_forces(
            calculation,
            ph3py_yaml=record,
            force_filename=file,
            phono3py_yaml_filename=source.path,
            fc_type=kind,
        )
        setattr(calculation, attribute, dataset)


# --- phonopy ---------------------------------------------------------------------------------


def _load_phonopy(source: ImportSource) -> ForceConstants:
    from phonopy.interface.phonopy_yaml import PhonopyYaml

    record = PhonopyYaml()
    record.read(source.path)
    unitcell = _unitcell(record, source)
    phonopy = build_phonopy(
        unitcell, record.supercell_matrix, primitive_matrix=record.primitive_matrix
    )
    if record.force_constants is not None:
        second = _rows(record.force_constants, phonopy.primitive)
    elif record.dataset is not None and _has_forces(record.dataset):
        second = _second_from_forces(phonopy, record.dataset)
    else:
        second = _second_from_files(phonopy, source)
    return _harmonic(
        unitcell,
        phonopy,
        second,
        _dielectric(record.nac_params, phonopy.supercell, phonopy.primitive, source),
    )


def _load_force_sets(source: ImportSource) -> ForceConstants:
    structure = source.beside("POSCAR-unitcell", "POSCAR-unitcell.*", "POSCAR")
    if structure is None:
        raise StoreError(
            f"'{source.folder}' holds FORCE_SETS but no unit cell.",
            "FORCE_SETS knows the forces, not the crystal.",
            "Add the unit cell as POSCAR-unitcell.",
        )
    from phonopy.interface.vasp import read_vasp

    # phonopy's reader also supplies phonopy's table of masses: the frequencies are then those
    # that phonopy itself gives for these files.
    unitcell = from_phonopy_atoms(read_vasp(structure))
    check_separation(unitcell)
    matrix = _supercell_from_companions(source, unitcell)
    phonopy = build_phonopy(unitcell, matrix)
    return _harmonic(unitcell, phonopy, _second_from_files(phonopy, source), None)


def _harmonic(
    unitcell: Crystal, phonopy: Any, second: Array, dielectric: DielectricData | None
) -> ForceConstants:
    return ForceConstants(
        unitcell=unitcell,
        primitive_matrix=np.array(phonopy.primitive_matrix),
        supercell_matrix_second=np.array(phonopy.supercell_matrix),
        second=second,
        dielectric=dielectric,
    )


def _supercell_from_companions(source: ImportSource, unitcell: Crystal) -> NDArray[np.int64]:
    """Return phonopy's supercell matrix from DIM in a .conf file or from an old disp.yaml."""
    for conf in sorted(source.folder.glob("*.conf")):
        match = re.search(r"^\s*DIM\s*=\s*([-\d\s]+)$", conf.read_text(), re.M | re.I)
        if match:
            numbers = [int(word) for word in match.group(1).split()]
            if len(numbers) == 3:
                return np.diag(numbers)
            if len(numbers) == 9:
                return np.reshape(numbers, (3, 3))
            raise StoreError(
                f"DIM in '{conf}' has {len(numbers)} numbers; it needs 3 or 9.",
                fix="Correct the line.",
            )
    displacements = source.beside("disp.yaml")
    if displacements is not None:
        import yaml

        with open_text(displacements) as file:
            lattice = np.array(yaml.safe_load(file)["lattice"], dtype=float)
        # lattice (rows) = M (rows) @ unit cell; phonopy's matrix acts on columns.
        rows = lattice @ np.linalg.inv(unitcell.lattice)
        if np.abs(rows - np.round(rows)).max() < 1e-3:
            return np.asarray(np.round(rows).astype(int).T)
        raise StoreError(
            f"the supercell in '{displacements}' is no multiple of the unit cell.",
            "The two files belong to different structures.",
            "Use the POSCAR-unitcell of this calculation.",
        )
    raise StoreError(
        f"the supercell of '{source.path}' is unknown.",
        "Neither a .conf file with DIM nor disp.yaml lies beside it.",
        "Add a file phonopy.conf with a line such as 'DIM = 1 3 2'.",
    )


def _second_from_files(phonopy: Any, source: ImportSource) -> Array:
    from phonopy.cui.load_helper import read_force_constants_from_hdf5, read_force_sets
    from phonopy.file_IO import parse_FORCE_CONSTANTS

    forces = source.beside("FORCE_SETS")
    if forces is not None:
        return _second_from_forces(phonopy, read_force_sets(forces, supercell=phonopy.supercell))
    p2s = phonopy.primitive.p2s_map
    file = source.beside("force_constants.hdf5")
    if file is not None:
        second = read_force_constants_from_hdf5(file, p2s_map=p2s, calculator="vasp")
    else:
        file = source.beside("FORCE_CONSTANTS")
        if file is None:
            raise StoreError(
                f"'{source.path}' has no forces.",
                "Neither the file itself nor FORCE_SETS, force_constants.hdf5 or FORCE_CONSTANTS "
                "beside it hold any.",
                "Put the forces or force constants into the same folder.",
            )
        second = parse_FORCE_CONSTANTS(file, p2s_map=p2s)
    _check_size(second, phonopy.supercell, file)
    return _rows(second, phonopy.primitive)


def _second_from_forces(phonopy: Any, dataset: Any) -> Array:
    random = "displacements" in dataset
    phonopy.dataset = dataset
    phonopy.produce_force_constants(
        calculate_full_force_constants=False,
        fc_calculator="symfc" if random else None,
        show_drift=False,
    )
    if not random:
        phonopy.symmetrize_force_constants(show_drift=False, use_symfc_projector=True)
    return _rows(phonopy.force_constants, phonopy.primitive)


# --- shared ----------------------------------------------------------------------------------


def _unitcell(record: Any, source: ImportSource) -> Crystal:
    if record.unitcell is None or record.supercell_matrix is None:
        raise StoreError(
            f"'{source.path}' lacks the unit cell or the supercell matrix.",
            fix="Use the file that phonopy or phono3py wrote with the displacements or parameters.",
        )
    if record.calculator not in (None, "vasp"):
        raise StoreError(
            f"'{source.path}' is in the units of {record.calculator}.",
            "Only Å, eV/Å and eV/Å² are read.",
            "Save the calculation with 'phonopy-load --save-params' (or phono3py's), which writes "
            "these units.",
        )
    crystal = from_phonopy_atoms(record.unitcell)
    check_separation(crystal)
    return crystal


def _has_forces(dataset: Any) -> bool:
    if "first_atoms" in dataset:
        return all("forces" in entry for entry in dataset["first_atoms"])
    return "forces" in dataset


def _rows(constants: Any, primitive: Any) -> Array:
    """Return the compact layout: one row per atom of the primitive cell."""
    rows = np.asarray(constants, dtype=float)
    return rows if len(rows) == len(primitive) else np.array(rows[primitive.p2s_map])


def _check_size(constants: Any, supercell: Any, path: Path) -> None:
    if constants.shape[1] != len(supercell):
        raise StoreError(
            f"'{path}' is for {constants.shape[1]} atoms; the supercell has {len(supercell)}.",
            "The force constants belong to another supercell.",
            "Put files of one calculation into the folder.",
        )


def _dielectric(
    parameters: Any, supercell: Any, primitive: Any, source: ImportSource
) -> DielectricData | None:
    """Return the charges of a yaml file, spread from the primitive cell to the unit cell."""
    if parameters is None:
        return None
    charges = np.asarray(parameters["born"], dtype=float)
    # Every unit-cell atom is a lattice translation of one atom of the primitive cell.
    of_unitcell = [primitive.p2p_map[primitive.s2p_map[i]] for i in supercell.u2s_map]
    return DielectricData(
        epsilon_infinity=np.asarray(parameters["dielectric"], dtype=float),
        born_charges=charges[of_unitcell],
        source=source.path.name,
        coulomb_constant=float(parameters.get("factor") or COULOMB_EV_ANGSTROM),
    )

"""Hamiltonians by file or by name: one entry for every source.

Importing this module is cheap; PySCF, PyTorch, sisl and h5py are imported when they are needed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import zipfile
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from elphant.crystal.io import read_crystal
from elphant.errors import ConfigurationError, DependencyError, ModelError
from elphant.models.card import ModelCard
from elphant.models.hamiltonians.importers.hamgnn import (
    GRAPH_FILE,
    HAMILTONIAN_FILE,
    read_hamgnn,
)
from elphant.models.hamiltonians.importers.openmx import read_openmx_archive
from elphant.models.hamiltonians.importers.sisl_reader import read_with_sisl
from elphant.models.hamiltonians.importers.wannier90 import read_wannier90
from elphant.models.hamiltonians.protocol import HamiltonianCapabilities, HamiltonianProvider
from elphant.models.hamiltonians.slater_koster import PARAMETER_SETS, SlaterKosterProvider
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.orbitals.hamiltonian_file import FILE_FORMAT, is_hamiltonian_file, read_hamiltonian
from elphant.orbitals.validation import validate
from elphant.store.atomic import sha256_of_file

logger = logging.getLogger(__name__)

FileKind = Literal["elphant", "wannier90", "openmx-npz", "hamgnn", "sisl"]

#: Providers by name; ``slater-koster`` needs a parameter set behind a colon.
PROVIDERS = ("pyscf", "uni-hamgnn", "slater-koster")

#: Endings that sisl understands.
SISL_SUFFIXES = (".fdf", ".tshs", ".hsx", ".nc", ".dat", ".ham", ".rham")

#: Which options of :func:`load_hamiltonian` each kind of file uses.
USED_OPTIONS: dict[FileKind, tuple[str, ...]] = {
    "elphant": ("structure",),
    "wannier90": ("structure", "n_electrons", "spinor"),
    "openmx-npz": ("structure", "n_electrons", "matrix"),
    "hamgnn": ("structure", "n_electrons", "index"),
    "sisl": ("structure", "n_electrons"),
}

#: The kinds of files, as told to users.
KNOWN_FILES = (
    "elphant's own .h5, Wannier90's seed_tb.dat and seed_hr.dat, an OpenMX archive .npz, HamGNN's "
    f"{GRAPH_FILE} with {HAMILTONIAN_FILE}, and with sisl SIESTA's .fdf, .TSHS, .HSX and .nc"
)


def load_hamiltonian(
    source: str | Path,
    *,
    structure: Any = None,
    n_electrons: float | None = None,
    spinor: bool | None = None,
    matrix: Literal["H", "H0"] = "H",
    index: int = 0,
    require_gap: bool = False,
) -> LocalOrbitalHamiltonian:
    """Return the checked Hamiltonian of a file, or of a provider for a structure.

    Parameters
    ----------
    source : str or Path
        A file or folder (see :data:`KNOWN_FILES`), or the name of a provider as
        :func:`provider_of` takes it.
    structure : Crystal or file, optional
        Needed by providers, by Wannier90 files without a ``.win`` file beside them, and by sisl's
        files without elements. Other files hold their own, which is kept; compare it.
    n_electrons : float, optional
        Electrons per cell; needed by Wannier90 and sisl files.
    spinor : bool, optional
        Of Wannier90 files: whether the functions are spinors.
    matrix : {"H", "H0"}
        Of OpenMX archives: the self-consistent matrix or the one before.
    index : int
        Of HamGNN files: which structure.
    require_gap : bool
        Refuse metals; see :func:`elphant.orbitals.validation.validate`.

    Raises
    ------
    ModelError, StoreError, StructureError
        If the source is unknown, damaged, or does not fit.
    ConfigurationError
        If an argument is given that this kind of source does not use.
    PhysicsError
        If S is not positive definite or, with ``require_gap``, there is no gap.
    DependencyError
        If a needed package is missing.
    """
    path = Path(source).expanduser()
    options = {
        "structure": structure,
        "n_electrons": n_electrons,
        "spinor": spinor,
        "matrix": None if matrix == "H" else matrix,
        "index": index or None,
    }
    if not path.exists() and _names_provider(str(source)):
        hamiltonian = _predicted(str(source), options)
    else:
        hamiltonian = _read(path, recognise(path), options)
    for flag in validate(hamiltonian, require_gap=require_gap):
        if flag.severity != "info":
            logger.warning("%s: %s", source, flag.message)
    return hamiltonian


def _predicted(name: str, options: dict[str, Any]) -> LocalOrbitalHamiltonian:
    structure = options["structure"]
    _refuse_unused("a provider", options, used=("structure",))
    if structure is None:
        raise ConfigurationError(
            f"provider '{name}' needs a structure.", fix="Give the structure file."
        )
    return provider_of(name).predict(read_crystal(structure))


def _read(path: Path, kind: FileKind, options: dict[str, Any]) -> LocalOrbitalHamiltonian:
    _refuse_unused(f"a file of kind {kind}", options, used=USED_OPTIONS[kind])
    structure, n_electrons = options["structure"], options["n_electrons"]
    if kind == "elphant":
        return read_hamiltonian(path)
    if kind == "wannier90":
        return read_wannier90(
            path, structure=structure, n_electrons=n_electrons, spinor=options["spinor"]
        )
    if kind == "openmx-npz":
        return read_openmx_archive(path, which=options["matrix"] or "H", n_electrons=n_electrons)
    if kind == "hamgnn":
        is_array = path.suffix == ".npy"
        return read_hamgnn(
            path.with_name(GRAPH_FILE) if is_array else path,
            path if is_array else None,
            index=options["index"] or 0,
            n_electrons=n_electrons,
        )
    return read_with_sisl(path, structure=structure, n_electrons=n_electrons)


def require_hamiltonian(source: str | Path) -> None:
    """Raise at once if ``source`` is no provider or file, or its package is missing.

    Raises
    ------
    ModelError, DependencyError
        As :func:`load_hamiltonian`.
    """
    path = Path(source).expanduser()
    if not path.exists() and _names_provider(str(source)):
        if str(source).strip().lower() == "pyscf":
            _require_package("pyscf")
        provider_of(str(source))
    elif recognise(path) == "sisl":
        _require_package("sisl")


def digest_of(path: Path) -> str:
    """Return one sha256 of a Hamiltonian file or folder and the files that are read with it.

    Raises
    ------
    ModelError
        If it does not exist or is of no known kind.
    """
    sha = hashlib.sha256()
    for file in _files_of(path):
        sha.update(f"{file.name} {sha256_of_file(file)}\n".encode())
    return sha.hexdigest()


def card_of_file(
    path: Path, hamiltonian: LocalOrbitalHamiltonian
) -> tuple[ModelCard, HamiltonianCapabilities]:
    """Return the card of a Hamiltonian file and what its content allows."""
    origin = hamiltonian.origin
    card = ModelCard(
        name=path.name,
        provider=origin.provider,
        level_of_theory=origin.level_of_theory,
        licence="that of the file",
        elements=hamiltonian.crystal.elements,
        sha256=digest_of(path),
        references=origin.references,
        source=str(path),
        notes="Read from a file; elphant did not compute it.",
    )
    capabilities = HamiltonianCapabilities(
        basis_functions=hamiltonian.basis.has_functions,
        spin_orbit=hamiltonian.basis.is_spinor,
        position_matrix=hamiltonian.position is not None,
    )
    return card, capabilities


def provider_of(name: str) -> HamiltonianProvider:
    """Return the provider of a name: ``pyscf``, ``uni-hamgnn`` or ``slater-koster:SET``.

    SET is one of the shipped sets or a parameter file; there is no default one, because a
    two-centre model is a test double.

    Raises
    ------
    ModelError
        If there is no such provider or set, or its networks or tables were not added.
    DependencyError
        If PySCF is not installed.
    """
    text = name.strip()
    head, _, tail = text.partition(":")
    if head.lower() == "pyscf" and not tail:
        from elphant.models.hamiltonians.pyscf.provider import PySCFProvider

        return PySCFProvider()
    if head.lower() == "uni-hamgnn" and not tail:
        from elphant.models.hamiltonians.hamgnn.provider import UniHamGNNProvider

        return UniHamGNNProvider()
    if head.lower() == "slater-koster":
        if not tail:
            raise ModelError(
                "the Slater-Koster provider needs a parameter set.",
                f"Sets that come with elphant: {', '.join(sorted(PARAMETER_SETS))}.",
                "Write slater-koster:SET or slater-koster:FILE.",
            )
        return SlaterKosterProvider(tail)
    close = get_close_matches(head.lower(), PROVIDERS, n=1, cutoff=0.4)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise ModelError(
        f"there is no Hamiltonian provider called '{name}'.",
        f"Known are {', '.join(PROVIDERS)}.",
        f"{hint}Or name a file: {KNOWN_FILES}.",
    )


def recognise(path: Path) -> FileKind:
    """Return the kind of a Hamiltonian file or folder.

    Raises
    ------
    ModelError
        If it does not exist or is of no known kind.
    """
    if not path.exists():
        if path.suffix or path.name != str(path):
            raise ModelError(f"Hamiltonian file '{path}' does not exist.", fix="Check the path.")
        provider_of(str(path))  # raises, with the nearest valid name
    if path.is_dir():
        if (path / GRAPH_FILE).is_file():
            return "hamgnn"
        raise ModelError(
            f"folder '{path}' holds no Hamiltonian.",
            f"Of folders elphant reads those with {GRAPH_FILE} and {HAMILTONIAN_FILE}.",
            "Name the file itself.",
        )
    name, suffix = path.name.lower(), path.suffix.lower()
    if name.endswith(("_tb.dat", "_hr.dat")):
        return "wannier90"
    if suffix == ".npz":
        return _archive_kind(path)
    if name == HAMILTONIAN_FILE:
        return "hamgnn"
    if suffix in (".h5", ".hdf5") or is_hamiltonian_file(path):
        return "elphant"
    if suffix in SISL_SUFFIXES:
        return "sisl"
    raise ModelError(
        f"the kind of Hamiltonian file '{path}' is not known.",
        f"elphant reads {KNOWN_FILES}.",
        f"Convert the file; elphant's own format is HDF5 with the attribute format={FILE_FORMAT}.",
    )


def _files_of(path: Path) -> list[Path]:
    """Return the files that are read with a Hamiltonian file or folder."""
    kind = recognise(path)
    if kind == "hamgnn":
        folder = path if path.is_dir() else path.parent
        graph = path.name if path.suffix == ".npz" else GRAPH_FILE
        array = path.name if path.suffix == ".npy" else HAMILTONIAN_FILE
        files = [folder / graph, folder / array]
    elif kind == "wannier90":
        seed = path.name.removesuffix("_tb.dat").removesuffix("_hr.dat")
        endings = (".win", "_wsvec.dat", "_centres.xyz")
        files = [path, *(path.with_name(seed + ending) for ending in endings)]
    else:
        files = [path]
    return [file for file in files if file.is_file()]


def _require_package(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        raise DependencyError(
            f"the Python package {name} is not installed.",
            fix=f"Install it: pip install 'elphant[{name}]'.",
        )


def _archive_kind(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"'{path}' is not a readable .npz archive: {error}.", fix="Copy the file again."
        ) from error
    if "graph.npy" in names:
        return "hamgnn"
    if {"S_on.npy", "edge_index.npy"} <= names:
        return "openmx-npz"
    raise ModelError(
        f"the archive '{path}' holds no Hamiltonian.",
        "A HamGNN graph file has the array 'graph', an OpenMX archive 'S_on' and 'edge_index'.",
        "Check the path.",
    )


def _names_provider(text: str) -> bool:
    return text.strip().partition(":")[0].lower() in PROVIDERS


def _refuse_unused(what: str, options: dict[str, Any], *, used: tuple[str, ...]) -> None:
    given = [name for name, value in options.items() if value is not None and name not in used]
    if given:
        raise ConfigurationError(
            f"{' and '.join(given)} cannot be given for {what}.",
            "It would have no effect.",
            "Leave it out.",
        )

"""What a user adds for Uni-HamGNN: the published networks and OpenMX's table of orbitals.

Both are kept in elphant's data directory (``$ELPHANT_HOME`` or the user's own): of the networks a
converted copy, of the OpenMX tables, which are under the GPL, only the path.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from elphant.errors import ModelError, StoreError
from elphant.models.hamiltonians.hamgnn.checkpoint import (
    HOW_TO_GET,
    MODEL_NAME,
    RELEASES,
    Checkpoint,
    read_checkpoint,
)
from elphant.models.hamiltonians.hamgnn.checkpoint_files import (
    CONFIG_FILE,
    load_checkpoint,
    read_record,
    write_checkpoint,
)
from elphant.models.registry import user_models_file
from elphant.quality import QualityFlag
from elphant.store.atomic import read_json, write_json

OPENMX_NAME = "openmx-data"

#: Names that ``elphant models add`` gives to these two instead of to a potential.
RESOURCE_NAMES = (MODEL_NAME, OPENMX_NAME)

#: Release of the OpenMX tables that the networks were trained with, and its pseudopotentials.
OPENMX_RELEASE, VPS_ENDING = "DFT_DATA19", "_PBE19.vps"

#: Name of a pseudopotential; some metals have a hard (H) and a soft (S) one instead.
VPS_NAME = re.compile(r"([A-Z][a-z]?)_PBE19[HS]?\.vps")

HOW_TO_GET_TABLES = (
    "Unpack OpenMX 3.9 (openmx-square.org) and run "
    f"elphant models add {OPENMX_NAME} openmx3.9/{OPENMX_RELEASE}."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One line of the list of models.

    Attributes
    ----------
    name, provider : str
        As in the list of potentials.
    state : {"added", "not added", "missing"}
        Whether it is there; ``missing`` means that it was and is gone or damaged.
    level_of_theory, licence : str
        What the data stand for, and their terms.
    details : dict of str to str
        More, for ``elphant models info``.
    """

    name: str
    provider: str
    state: Literal["added", "not added", "missing"]
    level_of_theory: str
    licence: str
    details: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMXTables:
    """A folder of OpenMX's orbitals and pseudopotentials.

    Attributes
    ----------
    path : str
        The folder, with ``PAO`` and ``VPS`` inside.
    release : str
        ``DFT_DATA19``.
    elements : tuple of str
        Elements with both an orbital and a pseudopotential file.
    """

    path: str
    release: str
    elements: tuple[str, ...]


def resource_directory() -> Path:
    """Return the folder of these data; it need not exist."""
    return user_models_file().parent / "hamiltonians"


def add_uni_hamgnn(path: str | Path) -> Checkpoint:
    """Convert a Uni-HamGNN checkpoint and keep the result; nothing of the file is executed.

    Raises
    ------
    ModelError
        As :func:`~elphant.models.hamiltonians.hamgnn.checkpoint.read_checkpoint`, or if elphant's
        network of these hyper-parameters has other weights.
    ResourceError, StoreError
        If the converted files cannot be written.
    """
    checkpoint = read_checkpoint(path)
    check_weights(checkpoint)
    write_checkpoint(checkpoint, resource_directory() / MODEL_NAME)
    return checkpoint


def check_weights(checkpoint: Checkpoint) -> None:
    """Check name and shape of every weight against elphant's own network.

    A wrong shape means other irreps or another order of them, and with it wrong predictions.

    Raises
    ------
    ModelError
        If a weight is missing, unknown or of another shape, or a hyper-parameter asks for something
        that the network does not have.
    """
    # torch is imported here, so that lists of models do not wait for it.
    from elphant.models.hamiltonians.hamgnn.network import parameter_shapes
    from elphant.models.hamiltonians.hamgnn.parameters import StateParameters
    from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings

    for state in checkpoint.networks.values():
        weights = StateParameters(state.tensors)
        for name, shape in parameter_shapes(NetworkSettings.from_config(state.config)).items():
            weights.take(name, *shape)
        weights.require_all_used()


def load_uni_hamgnn() -> Checkpoint:
    """Return the networks that were added.

    Raises
    ------
    ModelError
        If none were, or their files are damaged.
    """
    uni_hamgnn_record()
    return load_checkpoint(resource_directory() / MODEL_NAME)


def uni_hamgnn_record() -> dict[str, Any]:
    """Return what is recorded of the networks that were added, without reading weights.

    Raises
    ------
    ModelError
        If none were, or the record is damaged.
    """
    folder = resource_directory() / MODEL_NAME
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(
            f"the networks of {MODEL_NAME} are not on this machine ({folder}).",
            "A run does not download anything by itself.",
            HOW_TO_GET,
        )
    return read_record(folder)


def origin_flag(checkpoint: Checkpoint) -> QualityFlag:
    """Return the flag that tells whether the networks are those of a published release."""
    source = checkpoint.source
    if source.known:
        text = f"Networks of {source.title}, {source.origin}, {source.licence}."
    else:
        known = " or ".join(r.file for r in RELEASES.values())
        text = (
            f"The checkpoint {source.file} (sha256 {source.sha256[:16]}…) is not the published "
            f"{known}. Its structure fits; where it comes from, its terms and its accuracy are "
            "not known."
        )
    return QualityFlag(
        name="network_origin", severity="info" if source.known else "warning", message=text
    )


def add_openmx_tables(path: str | Path) -> OpenMXTables:
    """Check a folder of OpenMX tables and remember where it is.

    Raises
    ------
    ModelError
        If it is missing, not such a folder, or of another release.
    """
    tables = check_openmx_tables(path)
    write_json(_openmx_record(), asdict(tables))
    return tables


def openmx_tables() -> OpenMXTables:
    """Return the folder that was added, checked again.

    Raises
    ------
    ModelError
        If none was, or it is not there any more.
    """
    record = _openmx_record()
    if not record.is_file():
        raise ModelError(
            "the orbitals and pseudopotentials of OpenMX are not on this machine.",
            "They are under the GPL and do not come with elphant.",
            HOW_TO_GET_TABLES,
        )
    try:
        path = str(read_json(record)["path"])
    except (StoreError, KeyError, TypeError) as error:
        raise ModelError(f"'{record}' is damaged: {error}.", fix=HOW_TO_GET_TABLES) from error
    return check_openmx_tables(path)


def check_openmx_tables(path: str | Path) -> OpenMXTables:
    """Return what a folder of OpenMX tables holds.

    Parameters
    ----------
    path : path-like
        The folder ``DFT_DATA19``, or one that contains it.

    Raises
    ------
    ModelError
        If it is missing, not such a folder, or of another release.
    """
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise ModelError(
            f"'{folder}' {'is a file, not a folder' if folder.exists() else 'does not exist'}.",
            f"Needed is the unpacked folder {OPENMX_RELEASE} with PAO and VPS inside.",
            HOW_TO_GET_TABLES,
        )
    if not (folder / "PAO").is_dir() and (folder / OPENMX_RELEASE).is_dir():
        folder /= OPENMX_RELEASE
    missing = [name for name in ("PAO", "VPS") if not (folder / name).is_dir()]
    if missing:
        raise ModelError(
            f"'{folder}' has no folder {' and no folder '.join(missing)}.",
            f"The folder {OPENMX_RELEASE} of OpenMX holds orbitals in PAO, pseudopotentials in "
            "VPS.",
            HOW_TO_GET_TABLES,
        )
    pseudopotentials = [file.name for file in (folder / "VPS").glob("*.vps")]
    with_vps = {match[1] for match in map(VPS_NAME.fullmatch, pseudopotentials) if match}
    if not with_vps:
        endings = sorted({name.partition("_")[2] for name in pseudopotentials})
        found = f"it holds *_{', *_'.join(endings[:6])}" if endings else "VPS holds no .vps file"
        raise ModelError(
            f"'{folder}' is not {OPENMX_RELEASE}: {found}.",
            f"The networks were trained with its pseudopotentials *{VPS_ENDING}; those of another "
            "release have other projectors and valence electrons.",
            HOW_TO_GET_TABLES,
        )
    orbitals = (re.match(r"[A-Z][a-z]?(?=\d)", f.name) for f in (folder / "PAO").glob("*.pao"))
    elements = sorted(with_vps & {match[0] for match in orbitals if match})
    if not elements:
        raise ModelError(
            f"'{folder}' has no element with both an orbital and a pseudopotential file.",
            "Files look like PAO/Si7.0.pao and VPS/Si_PBE19.vps.",
            HOW_TO_GET_TABLES,
        )
    return OpenMXTables(path=str(folder), release=OPENMX_RELEASE, elements=tuple(elements))


def resources() -> list[Resource]:
    """Return both resources with their state, for lists; damaged ones do not raise."""
    return [_uni_hamgnn_resource(), _openmx_resource()]


def _uni_hamgnn_resource() -> Resource:
    folder = resource_directory() / MODEL_NAME
    details: dict[str, str] = {}
    state: Literal["added", "not added", "missing"] = "not added"
    release = next(iter(RELEASES.values()))
    licence = release.licence
    if (folder / CONFIG_FILE).is_file():
        try:
            record = read_record(folder)
            details, licence = _details(record, folder), str(record["source"]["licence"])
            state = "added"
        except (ModelError, KeyError, TypeError, AttributeError) as error:
            state, details = "missing", {"problem": str(error)}
    if state != "added":
        details["how to get it"] = HOW_TO_GET
    return Resource(
        name=MODEL_NAME,
        provider="hamgnn",
        state=state,
        level_of_theory="PBE, OpenMX (Hamiltonians)",
        licence=licence,
        details=details,
    )


def _details(record: dict[str, Any], folder: Path) -> dict[str, str]:
    source = record["source"]
    networks = record["networks"]
    lines = {
        "title": source["title"],
        "origin": source["origin"],
        "source": source["file"],
        "sha256": source["sha256"],
        "published": "yes" if source["known"] else "no: not the file of a known release",
    }
    for tag, item in networks.items():
        settings = item["config"]["representation"]
        lines[tag] = (
            f"{item['n_parameters']:,} parameters, {settings['num_layers']} layers, "
            f"cutoff {settings['cutoff']} bohr, {settings['nao_max']} orbitals"
        )
    return {**lines, "folder": str(folder), "notes": " ".join(record["notes"])}


def _openmx_resource() -> Resource:
    state: Literal["added", "not added", "missing"] = "not added"
    details: dict[str, str] = {}
    if _openmx_record().is_file():
        try:
            tables = openmx_tables()
            state = "added"
            details = {
                "folder": tables.path,
                "elements": f"{len(tables.elements)}: {', '.join(tables.elements)}",
            }
        except ModelError as error:
            state, details = "missing", {"problem": str(error)}
    if state != "added":
        details["how to get it"] = HOW_TO_GET_TABLES
    return Resource(
        name=OPENMX_NAME,
        provider="openmx",
        state=state,
        level_of_theory=f"PBE, {OPENMX_RELEASE} (orbitals, pseudopotentials)",
        licence="GPL-3.0",
        details=details,
    )


def _openmx_record() -> Path:
    return resource_directory() / f"{OPENMX_NAME}.json"
